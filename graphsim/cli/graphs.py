"""``graphsim lower`` and ``graphsim show``."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from graphsim.cli.common import (
    DiscretizeOption,
    DistanceOption,
    JsonOption,
    MaxFanInOption,
    PluginOption,
    TopOption,
    WeightsOption,
    bytes_of,
    check_outputs,
    console_for,
    distance_of,
    load_plugins,
    progress_bar,
    reading,
    say_place,
    write_json,
)
from graphsim.errors import CheckFailed, ModelError, UsageError
from graphsim.files import write_text
from graphsim.pipeline import existing, load_graph, save_graph, split_neurons

if TYPE_CHECKING:
    from rich.console import Console

    from graphsim.graph import Graph
    from graphsim.passes.logic import Step

#: Seconds after which passes and checks say what they do, where no bar is drawn.
_SILENT = 3.0


def lower(
    model: Annotated[
        Path,
        typer.Argument(help="Trained model (.h5, .keras, .onnx, .json with --weights) or circuit (.blif, .aig, ...)."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="GSIM",
            help="Where the graph goes; a circuit also as .blif, .aig, .v, .c, ... (default: MODEL.gsim, here)",
        ),
    ] = None,
    top: TopOption = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="BYTES",
            help="Refuse what takes more, e.g. 4G. (default: warn from half of the machine's)",
        ),
    ] = None,
    discretize: DiscretizeOption = False,
    distance: DistanceOption = None,
    prune_zeros: Annotated[
        bool,
        typer.Option("--prune-zeros", help="Leave out edges of weight zero, and neurons that then lead nowhere."),
    ] = False,
    max_fan_in: MaxFanInOption = None,
    unroll: Annotated[
        bool, typer.Option("--unroll", help="Give every step of a recurrent layer actors of its own.")
    ] = False,
    to_logic: Annotated[
        bool,
        typer.Option(
            "--to-logic", help="Make gates of a network of bits: quantised neurons, each of at most 12 bits, proved."
        ),
    ] = False,
    levels: Annotated[
        str | None,
        typer.Option("--levels", metavar="A,B", help="With --to-logic: what inputs of 0 and 1 stand for. (0,1)"),
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option("--passes", metavar="LIST", help="Simplify a circuit: default, or names of passes with commas."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="With --passes: prove that the circuit computes what it did.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Lower a trained model to a dataflow graph of one actor per neuron, or a circuit to one of an actor per gate.

    Examples:

        graphsim lower models/mnist_mlp.h5

        graphsim lower net.json --weights net_weights.h5 -o net.gsim

        graphsim lower models/arithmetic/nmru_div.h5 --discretize

        graphsim lower models/mnist_mlp.h5 --max-fan-in 16

        graphsim lower adder.blif -o adder.aig

        graphsim lower adder.blif --passes default --check
    """
    from graphsim.pipeline import lower as lower_model
    from graphsim.report.record import graph_record
    from graphsim.report.terminal import print_graph, print_warning

    console = console_for(json)
    load_plugins(plugin)
    existing(model, "a model (.h5, .keras, .onnx, or .json with --weights) or a circuit (.blif, .aig, ...)")
    target = output or Path(model.stem + ".gsim")
    check_outputs(json, target)
    if target.resolve() == model.resolve():
        raise UsageError(f"{target}: would overwrite the model itself; choose another name with -o")
    if levels is not None and not to_logic:
        raise UsageError("--levels: only with --to-logic, of whose inputs it says the values")
    if check and passes is None:
        raise UsageError("--check: only with --passes, whose circuit it compares with the one before")
    limit = None if max_memory is None else bytes_of("--max-memory", max_memory)
    warn = partial(print_warning, console)
    allowed = distance_of(discretize, distance)
    with reading():
        if model.suffix == ".gsim":
            graph = load_graph(model, discretize=allowed)
        else:
            graph = lower_model(model, weights, limit, top, warn, allowed)
    record: dict[str, Any] = {"schema_version": 1, **_formulas(console, graph)}
    if prune_zeros:
        from graphsim.passes.prune import PruneZeros

        whole, graph = graph, PruneZeros()(graph)
        record["pruned"] = {
            what: {"before": getattr(whole, count), "after": getattr(graph, count)}
            for what, count in (("actors", "actor_count"), ("edges", "edge_count"))
        }
    if max_fan_in is not None:
        graph = split_neurons(graph, max_fan_in)
        console.print(f"[bold]max fan-in[/] {graph.notes.get('max_fan_in', 'nothing to split')}", soft_wrap=True)
    if unroll:
        from graphsim.passes.unroll import Unroll

        graph = Unroll()(graph)
    if to_logic:
        from graphsim.passes.to_logic import PROVED, ToLogic

        graph = ToLogic(_pair(levels))(graph)
        console.print(f"[bold]to logic[/]: proved equal: {graph.notes[PROVED]}")
        record["to_logic"] = {"proved": graph.notes[PROVED]}
    if passes is not None:
        graph = _simplified(console, graph, passes, check, record)
        if record.get("check", {}).get("verdict") not in (None, "equal"):
            write_json(json, record)
            raise CheckFailed(f"{model}: {record['check']['message']}; {target} is not written")
    save_graph(graph, target)
    print_graph(console, graph)
    say_place(console, "wrote", target, f" ({target.stat().st_size:,} bytes)")
    write_json(json, record | {"graph": graph_record(graph), "output": str(target)})


def _formulas(console: Console, graph: Graph) -> dict[str, Any]:
    """The formulas of a graph whose weights were made whole, printed, and for the record; nothing of others."""
    if "discretized" not in graph.notes:
        return {}
    from graphsim.graph.formula import formulas

    found = formulas(graph)
    for line in found:
        console.print(line, markup=False, soft_wrap=True)
    return {"formulas": found}


def _learnt_formulas(console: Console, graph: Graph, path: Path, weights: Path | None) -> dict[str, Any]:
    """The formulas that a model of arithmetic modules has learnt, printed, or why it has none; nothing of others."""
    if "arithmetic" not in graph.notes or path.suffix == ".gsim":
        return {}
    try:
        whole = load_graph(path, weights, discretize=distance_of(True, None))
    except ModelError as error:
        console.print(f"no formula: {error}", markup=False, soft_wrap=True)
        return {}
    console.print("with whole weights (--discretize):", markup=False)
    return _formulas(console, whole)


def _pair(levels: str | None) -> tuple[float, float]:
    """Two different values: ``-1,1``."""
    if levels is None:
        return 0.0, 1.0
    try:
        with np.errstate(over="ignore"):
            zero, one = np.array(levels.split(","), np.float64).astype(np.float32).tolist()
    except ValueError:
        raise UsageError(f"--levels {levels[:40]!r}: expected two numbers, such as 0,1 or -1,1") from None
    if not (math.isfinite(zero) and math.isfinite(one)) or zero == one:
        raise UsageError(f"--levels {levels[:40]!r}: expected two different finite numbers, as float32 holds them")
    return zero, one


def _simplified(console: Console, graph: Graph, listed: str, check: bool, record: dict[str, Any]) -> Graph:
    """The graph of a circuit after passes; the record gets their counts, and what the check says."""
    from graphsim.graph.circuit import is_circuit, of_graph, to_graph
    from graphsim.passes.logic import passes_of
    from graphsim.report.record import equivalence_record, step_record
    from graphsim.report.terminal import print_equivalence, print_steps

    passes = passes_of(listed)
    if not is_circuit(graph):
        raise UsageError(
            f"{graph.name}: is not a circuit, and --passes is for circuits; for networks there are --prune-zeros and "
            "--unroll"
        )
    circuit = of_graph(graph)
    steps: list[Step] = []
    with ExitStack() as bar:
        bar.enter_context(progress_bar("passes (compiles native code the first time)", None, say_after=_SILENT))
        shown: dict[tuple[str, int], Callable[[int], None]] = {}

        def working(label: str, done: int, of: int) -> None:
            if (label, of) not in shown:
                bar.close()  # one bar at a time
                shown.clear()
                shown[label, of] = bar.enter_context(progress_bar(label, of, _SILENT))
            shown[label, of](done)

        after = passes.watched(circuit, steps.append, working)
    print_steps(console, steps)
    record["passes"] = [step_record(step) for step in steps]
    if check:
        from graphsim.analysis.equivalence import compare

        with progress_bar("checking equality (compiles native code the first time)", None, say_after=_SILENT):
            found = compare(circuit, after)
        print_equivalence(console, found)
        record["check"] = equivalence_record(found)
    return to_graph(after)


def show(
    graph: Annotated[Path, typer.Argument(help="A .gsim graph, or a model or circuit that is lowered first.")],
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="NAME", help="Show one actor, e.g. 'dense[17]' or sink.")
    ] = None,
    fold: Annotated[
        Path | None,
        typer.Option("--fold", metavar="FOLD", help="With --actor: also where and when it fires in this schedule."),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the whole graph as text, which parses back.")] = False,
    dot: Annotated[Path | None, typer.Option("--dot", metavar="FILE", help="Write Graphviz DOT.")] = None,
    graphml: Annotated[Path | None, typer.Option("--graphml", metavar="FILE", help="Write GraphML.")] = None,
    top: TopOption = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    discretize: DiscretizeOption = False,
    distance: DistanceOption = None,
    json: JsonOption = None,
) -> None:
    """Show a graph: its groups and channels, one actor, or an export.

    Small graphs are exported actor by actor; larger ones, to DOT, as one box per group. Of arithmetic modules the
    formula that they have learnt is printed as well; with --discretize the graph is that formula.

    Examples:

        graphsim show mnist_mlp.gsim

        graphsim show mnist_mlp.gsim --actor 'dense[17]' --fold mnist_mlp.fold

        graphsim show models/digits_mlp.h5 --dot digits.dot

        graphsim show models/arithmetic/nmru_div.h5 --discretize
    """
    from graphsim.report.record import actor_record, graph_record
    from graphsim.report.terminal import print_actor, print_graph

    console = console_for(json)
    if text and actor is not None:
        raise UsageError("--text prints the whole graph and --actor one of its actors; give one of them")
    if fold is not None and actor is None:
        raise UsageError("--fold says where and when an actor fires; name the actor with --actor")
    load_plugins(plugin)
    check_outputs(json, dot, graphml)
    with reading():
        loaded = load_graph(graph, weights, top, discretize=distance_of(discretize, distance))
    record: dict[str, Any] = {"schema_version": 1, "graph": graph_record(loaded)}
    if actor is not None:
        found = loaded.actor(actor)
        print_actor(console, found)
        record["actor"] = actor_record(found)
        if fold is not None:
            from graphsim.report.record import firing_record
            from graphsim.report.terminal import print_firing
            from graphsim.schedule.store import load as load_schedule

            schedule = load_schedule(existing(fold, "a .fold schedule"), loaded)
            print_firing(console, found, schedule)
            record["firing"] = firing_record(found, schedule)
    elif text:
        from graphsim.graph.text import dump

        typer.echo(dump(loaded), nl=False, err=json == "-")
    else:
        print_graph(console, loaded)
        record |= _formulas(console, loaded) or _learnt_formulas(console, loaded, graph, weights)
    if dot is not None:
        from graphsim.graph.views import DOT_LIMIT, group_dot, to_dot

        small = loaded.actor_count + loaded.edge_count <= DOT_LIMIT
        write_text(dot, to_dot(loaded) if small else group_dot(loaded))
        say_place(console, "wrote", dot, f": {'every actor' if small else 'one box per group'}")
    if graphml is not None:
        from graphsim.graph.views import to_graphml

        to_graphml(loaded, graphml)
        say_place(console, "wrote", graphml)
    write_json(json, record)


def formats(json: JsonOption = None) -> None:
    """Print what can be lowered: files, circuits, layers, operations and activations.

    Examples:

        graphsim formats

        graphsim formats --json formats.json
    """
    from graphsim.frontends.formats import FILES, SECTIONS, circuits, record
    from graphsim.report.terminal import print_formats

    console = console_for(json)
    check_outputs(json)
    print_formats(console, FILES, circuits(), {title: section() for title, section in SECTIONS.items()})
    write_json(json, {"schema_version": 1, **record()})
