"""``graphsim trace``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsim.cli.common import (
    JsonOption,
    PluginOption,
    WeightsOption,
    check_outputs,
    console_for,
    load_plugins,
    say_place,
    write_json,
)
from graphsim.errors import UsageError

if TYPE_CHECKING:
    from graphsim.graph import Graph
    from graphsim.trace.waves import Values


def trace(
    graph: Annotated[Path, typer.Argument(help="A .gsim graph, or a model or circuit that is lowered first.")],
    schedule: Annotated[Path, typer.Argument(help="A .fold schedule of that graph.")],
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="NAME", help="Print the life of this actor's token.")
    ] = None,
    iteration: Annotated[
        int, typer.Option("--iteration", metavar="N", min=0, max=10**9, help="With --actor: of which sample.")
    ] = 0,
    perfetto: Annotated[
        Path | None,
        typer.Option("--perfetto", metavar="JSON", help="Write a trace for ui.perfetto.dev; follows --actor."),
    ] = None,
    vcd: Annotated[Path | None, typer.Option("--vcd", metavar="VCD", help="Write waveforms.")] = None,
    iterations: Annotated[
        int, typer.Option("--iterations", metavar="N", min=1, max=10**6, help="Samples that are traced.")
    ] = 3,
    signals: Annotated[
        str | None,
        typer.Option("--signals", metavar="REGEX", help="With --vcd: only these, such as 'nodes.n0|tokens.dense'."),
    ] = None,
    timescale: Annotated[
        str, typer.Option("--timescale", metavar="TIME", help="With --vcd: what a tick is written as.")
    ] = "1 ns",
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="D", help="With --vcd: add the values of tokens, of mnist or digits."),
    ] = None,
    stimulus: Annotated[
        Path | None,
        typer.Option("--stimulus", metavar="FILE", help="With --vcd, of circuits: add the values of tokens."),
    ] = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    json: JsonOption = None,
) -> None:
    """See time: the life of a token, a trace for Perfetto, waveforms.

    Examples:

        graphsim trace mnist_mlp.gsim mnist_mlp.fold --actor 'dense[17]' --perfetto trace.json

        graphsim trace counter.blif counter.fold --vcd counter.vcd --stimulus s.json --signals 'tokens'
    """
    from graphsim.pipeline import existing, load_graph
    from graphsim.report.trace import life_record, print_life
    from graphsim.schedule.store import load
    from graphsim.trace.life import life_of
    from graphsim.trace.timeline import timeline

    if actor is None and perfetto is None and vcd is None:
        raise UsageError("trace: name a token with --actor, or a file with --perfetto or --vcd")
    if vcd is None and (dataset or stimulus or signals):
        raise UsageError("--dataset, --stimulus and --signals are for --vcd")
    if dataset and stimulus:
        raise UsageError("--dataset and --stimulus: values are of one of them")
    console = console_for(json)
    load_plugins(plugin)
    check_outputs(json, perfetto, vcd)
    loaded = load_graph(graph, weights)
    folded = load(existing(schedule, "a .fold schedule"), loaded)
    line = timeline(loaded, folded)
    record = {"schema_version": 1, "graph": loaded.name, "machine": folded.machine.name, "period_ticks": folded.period}
    if actor is not None:
        life = life_of(line, actor, iteration)
        print_life(console, folded.machine, life)
        record["life"] = life_record(folded.machine, life)
    if perfetto is not None:
        from graphsim.files import write_text
        from graphsim.trace.perfetto import perfetto as perfetto_text

        write_text(perfetto, perfetto_text(line, iterations, actor))
        say_place(console, "wrote", perfetto, "; open it at ui.perfetto.dev, where a tick is shown as 1 µs")
    if vcd is not None:
        from graphsim.trace.waves import write_waves

        values = _values(loaded, iterations, dataset, stimulus)
        count = write_waves(vcd, line, iterations, timescale=timescale, only=signals, values=values)
        say_place(console, "wrote", vcd, f": {count:,} signals")
    write_json(json, record)


def _values(graph: Graph, count: int, dataset: str | None, stimulus: Path | None) -> Values | None:
    """What every group computes of the first samples, if there is something to run."""
    from graphsim import pipeline

    if dataset is not None:
        from graphsim.datasets import load

        samples = load(dataset, limit=count)
        pipeline.check_dataset(graph, samples)
        return pipeline.make_engine("lanes", graph, None).run(samples.inputs).values
    if stimulus is None:
        return None
    from graphsim.frontends.circuits.stimulus import read_stimulus
    from graphsim.graph.circuit import is_circuit, of_graph

    if not is_circuit(graph):
        raise UsageError("--stimulus: only for circuits; networks take --dataset")
    given = read_stimulus(pipeline.existing(stimulus, "a stimulus (.json, .csv or .vcd)"), of_graph(graph))
    return pipeline.run_circuit(graph, given.first(count), reference=False).run.values
