"""``graphsim analyze``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsim.cli.common import (
    JsonOption,
    WeightsOption,
    check_outputs,
    console_for,
    progress_bar,
    say_place,
    write_json,
)
from graphsim.errors import DeadlockError, InconsistentError, UsageError
from graphsim.pipeline import existing, load_graph

if TYPE_CHECKING:
    from graphsim.graph.sdf import TimedGraph

#: Firings, and tokens that they wait for, that latency is worked out for; beyond, it takes longer than a user waits.
_MOST_FIRINGS, _MOST_WAITS = 200_000, 2_000_000


def analyze(
    graph: Annotated[Path, typer.Argument(help="SDF3 file (.xml, sdf or csdf), .gsim graph, model or circuit.")],
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            metavar="N",
            min=0,
            max=1 << 40,
            help="Firings of one actor that may overlap; 0: any number. (what an SDF3 file's self-loops say; where "
            "it has none, and for networks: 1)",
        ),
    ] = None,
    buffers: Annotated[
        bool, typer.Option("--buffers", help="Also the least buffers for every throughput that can be had.")
    ] = False,
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=1, help="With --buffers: distributions to try at most.")
    ] = 200_000,
    processors: Annotated[
        int | None,
        typer.Option("--processors", metavar="N", min=1, max=1 << 20, help="Also schedule an iteration on N alike."),
    ] = None,
    expand: Annotated[
        Path | None,
        typer.Option("--expand", metavar="XML", help="Write the homogeneous expansion as an SDF3 file."),
    ] = None,
    machine: Annotated[
        str, typer.Option("--machine", "-m", metavar="M", help="For networks: whose nodes price the firings.")
    ] = "torus:4x4",
    weights: WeightsOption = None,
    json: JsonOption = None,
) -> None:
    """Analyze dataflow: consistency, deadlock, exact throughput and what limits it, buffers, schedules.

    Networks and circuits are taken as if every actor had a node of its own: the bound that no machine beats.

    Examples:

        graphsim analyze h263decoder.xml --buffers

        graphsim analyze models/mnist_mlp.h5

        graphsim analyze modem.xml --processors 2 --json -
    """
    from dataclasses import replace

    import numpy as np

    from graphsim.analysis.sdf.throughput import throughput
    from graphsim.report.dataflow import analysis_record, print_analysis, refused_record

    console = console_for(json)
    existing(graph, "an SDF3 file (.xml), a .gsim graph, a model or a circuit")
    check_outputs(json, expand)
    timed = _timed(graph, machine, weights)
    if concurrency is not None:
        timed = replace(timed, concurrency=np.full(timed.actor_count, concurrency, np.int64))
    try:
        found = throughput(timed)
    except (InconsistentError, DeadlockError) as error:
        write_json(json, {"schema_version": 1, **refused_record(timed, error)})
        raise
    latency = None
    waits = int(found.repetition[timed.dst].sum())
    if found.period and int(found.repetition.sum()) <= _MOST_FIRINGS and waits <= _MOST_WAITS:
        from graphsim.analysis.sdf.schedules import latency as first_latency

        latency = first_latency(timed)
    record = {"schema_version": 1, **analysis_record(timed, found, latency)}
    print_analysis(console, timed, found, latency)
    if buffers:
        from graphsim.analysis.sdf.buffers import tradeoff
        from graphsim.report.dataflow import print_tradeoff, tradeoff_record

        if not timed.channel_names:
            raise UsageError(f"{graph}: --buffers is for SDF3 files; a network's buffers come with its schedule (fold)")
        with progress_bar("distributions", None) as done:
            points = tradeoff(timed, most=most, progress=done)
        print_tradeoff(console, points)
        record["buffers"] = tradeoff_record(timed, points)
    if processors is not None:
        from graphsim.analysis.sdf.schedules import schedule
        from graphsim.report.dataflow import blocked_record

        blocked = schedule(timed, processors)
        console.print(
            f"on {processors:,} processor{'s' * (processors > 1)}: a period of [bold]{blocked.period:,}[/] ticks, "
            "iterations one after the other [dim](list scheduling)[/]"
        )
        record["schedule"] = blocked_record(timed, blocked)
    if expand is not None:
        from graphsim.analysis.sdf.convert import homogeneous
        from graphsim.files import write_bytes
        from graphsim.frontends.sdf3 import write

        write_bytes(expand, write(homogeneous(timed)))
        say_place(console, "wrote", expand)
    write_json(json, record)


def _timed(path: Path, machine: str, weights: Path | None) -> TimedGraph:
    if path.suffix == ".xml":
        from graphsim.frontends.sdf3 import read

        return read(path)
    from graphsim.analysis.sdf.convert import of_graph
    from graphsim.machine import load_machine

    graph = load_graph(path, weights)
    return of_graph(graph, load_machine(machine, graph))
