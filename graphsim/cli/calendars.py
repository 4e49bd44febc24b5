"""``graphsim calendars``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsim.cli.common import PluginOption, WeightsOption, check_outputs, console_for, load_plugins, say_place
from graphsim.errors import GraphsimError, UsageError
from graphsim.files import write_text
from graphsim.pipeline import existing, load_graph

if TYPE_CHECKING:
    from graphsim.graph import Graph
    from graphsim.schedule.schedule import Schedule

#: Suffixes of files that a graph may be in, in the order in which they are looked for.
_SUFFIXES = (".gsim", ".keras", ".h5", ".hdf5", ".onnx", ".blif", ".aag", ".aig", ".v")


def calendars(
    schedule: Annotated[Path, typer.Argument(help="A .fold schedule.")],
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph", metavar="FILE", help="Its graph or model. (default: of the same name, beside it or here)"
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", metavar="F", help="text, json or csv.")] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where they go. (default: standard output)")
    ] = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
) -> None:
    """Compile a schedule to what the hardware loads: compute, gather and scatter calendars, and where tokens lie.

    Examples:

        graphsim calendars mnist_mlp.fold

        graphsim calendars mnist_mlp.fold --graph mnist_mlp.gsim --format json -o mnist_mlp.json
    """
    from graphsim.calendars import compile_calendars
    from graphsim.calendars.text import FORMATS, formatted
    from graphsim.schedule.store import load

    if form not in FORMATS:
        raise UsageError(f"--format {form!r}: there is no such format; choose one of {', '.join(FORMATS)}")
    load_plugins(plugin)
    check_outputs(None, output)
    folded = load(existing(schedule, "a .fold schedule"))
    loaded = load_graph(graph, weights) if graph is not None else _graph_of(schedule, folded, weights)
    text = formatted(loaded, compile_calendars(loaded, folded), form)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
        say_place(console_for(None), "wrote", output, f" ({output.stat().st_size:,} bytes)")


def _graph_of(path: Path, schedule: Schedule, weights: Path | None) -> Graph:
    """The graph that a schedule is for: in a file of the same name beside it, or in the current folder."""
    places = [folder / (path.stem + suffix) for folder in (path.parent, Path()) for suffix in _SUFFIXES]
    tried = [place for place in dict.fromkeys(places) if place.is_file()]
    for place in tried:
        try:
            graph = load_graph(place, weights)
        except GraphsimError:
            continue
        if graph.digest == schedule.graph_digest:
            return graph
    found = (
        f"{', '.join(map(str, tried))} holds another" if tried else f"there is no {path.stem}.gsim beside it or here"
    )
    raise UsageError(f"{path}: its graph is not found: {found}; name the graph or the model with --graph")
