"""``graphsim fold``, ``graphsim verify`` and ``graphsim machines``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from graphsim.cli.common import (
    DiscretizeOption,
    DistanceOption,
    JsonOption,
    MaxFanInOption,
    PluginOption,
    TileOption,
    WeightsOption,
    check_outputs,
    console_for,
    distance_of,
    load_plugins,
    progress_bar,
    reading,
    say_place,
    write_json,
)
from graphsim.errors import CheckFailed, InfeasibleError, PlacementError
from graphsim.graph.words import in_ticks
from graphsim.pipeline import Hardware, buffering_named, existing, load_graph, machine_for, split_neurons

#: Seconds after which a line says what goes on, where no bar is drawn.
_SILENT = 10.0

MachineOption = Annotated[
    str,
    typer.Option(
        "--machine",
        "-m",
        metavar="M",
        help="A built-in machine such as torus:4x4 (see 'graphsim machines') or a .toml file.",
    ),
]
FrameBitsOption = Annotated[
    int | None,
    typer.Option("--frame-bits", metavar="N", help="Bits in a frame, on all links. (as the machine says)", min=1),
]
BufferingOption = Annotated[
    str,
    typer.Option(
        "--buffering", metavar="B", help="single: computing and communicating overlap; double: they alternate."
    ),
]
PlaceOption = Annotated[
    str | None,
    typer.Option(
        "--place",
        metavar="STRATEGY",
        help="Placement: contiguous, greedy, hypergraph, one-to-one, soonest. (default: soonest for circuits, else"
        " contiguous; one-to-one on that machine)",
    ),
]
PlacementOption = Annotated[
    Path | None, typer.Option("--placement", metavar="FILE", help="Place actors as this file says.")
]


def hardware(spec: str, frame_bits: int | None) -> Hardware:
    """The machine of the options: itself, or, if it is made for a graph, what makes it.

    Raises:
        MachineError: there is no such machine, or what it says is wrong.
    """
    from graphsim.machine import load_machine, needs_graph

    if needs_graph(spec):
        return partial(load_machine, spec, frame_bits=frame_bits)
    return load_machine(spec, frame_bits=frame_bits)


def fold(
    graph: Annotated[Path, typer.Argument(help="A .gsim graph, or a model that is lowered first.")],
    machine: MachineOption = "torus:4x4",
    frame_bits: FrameBitsOption = None,
    buffering: BufferingOption = "single",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLD", help="Where the schedule goes. (default: GRAPH.fold, here)"),
    ] = None,
    place: PlaceOption = None,
    placement: PlacementOption = None,
    write_placement: Annotated[
        Path | None,
        typer.Option("--write-placement", metavar="FILE", help="Also write the placement, for --placement."),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Small graphs only: the optimum, or how far it may be; needs graphsim[exact]."),
    ] = False,
    effort: Annotated[
        float, typer.Option("--effort", help="Work of each question of --exact, a few seconds each.", min=0.01, max=1e6)
    ] = 4.0,
    max_fan_in: MaxFanInOption = None,
    tile: TileOption = 1,
    rate: Annotated[
        float | None,
        typer.Option(
            "--target-samples-per-second",
            metavar="F",
            help="Find the cheapest machine that is so fast; --machine is then a family: torus, torus:{1..8}x{1..8}.",
        ),
    ] = None,
    minimize: Annotated[
        str, typer.Option("--minimize", metavar="WHAT", help="What is cheap in it: nodes, latency or memory.")
    ] = "nodes",
    seed: Annotated[int, typer.Option("--seed", help="Seed of strategies that use chance.", min=0, max=2**31 - 1)] = 0,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    discretize: DiscretizeOption = False,
    distance: DistanceOption = None,
    json: JsonOption = None,
) -> None:
    """Fold a graph onto a machine: place its actors, route their tokens, and fill in every calendar.

    Examples:

        graphsim fold mnist_mlp.gsim --machine torus:8x8

        graphsim fold mnist_mlp.gsim --machine examples/machines/mesh.toml -o mesh.fold

        graphsim fold mnist_mlp.gsim --machine one-to-one --buffering double

        graphsim fold small.gsim --machine ring:4 --exact

        graphsim fold mnist_mlp.gsim --machine torus:4x4 --tile 8

        graphsim fold mnist_mlp.gsim --machine torus --target-samples-per-second 50000 --minimize nodes
    """
    from graphsim.explore.autofold import Search, cheapest, minimize_named
    from graphsim.machine.family import family
    from graphsim.report.granularity import grains, print_granularity
    from graphsim.report.record import schedule_record
    from graphsim.report.search import print_search
    from graphsim.report.terminal import print_schedule
    from graphsim.schedule import fold as fold_graph
    from graphsim.schedule import latency
    from graphsim.schedule.placement_file import write_placement as write_placement_file
    from graphsim.schedule.store import save

    console = console_for(json)
    load_plugins(plugin)
    target = output or Path(graph.stem + ".fold")
    check_outputs(json, target, write_placement)
    if max_fan_in is not None and placement is not None:
        raise PlacementError("--placement places the neurons of a graph that is not split; leave out --max-fan-in")
    if rate is not None and (exact or placement):
        raise PlacementError("--target-samples-per-second folds onto many machines; leave out --exact and --placement")
    what = minimize_named(minimize)
    names = [machine] if rate is None else family(machine)
    chosen = [hardware(name, frame_bits) for name in names]
    with reading():
        lowered = load_graph(graph, weights, discretize=distance_of(discretize, distance))
    loaded = split_neurons(lowered, max_fan_in)
    made = [machine_for(one, loaded) for one in chosen]
    search: Search | None = None
    proved: dict[str, int] = {}
    if rate is not None:
        with progress_bar("folding onto a family of machines", len(made)) as done:
            kind = buffering_named(buffering)
            how: dict[str, Any] = {"strategy": place, "buffering": kind, "seed": seed, "tile": tile}
            search = cheapest(loaded, made, rate, what, **how, progress=done)
        print_search(console, search.record())
        if search.schedule is None:
            write_json(json, {"schema_version": 1, "family": search.record(), "output": None})
            raise InfeasibleError(search.stopped_by)
    with progress_bar("folding", None, say_after=_SILENT):
        if search is not None and search.schedule is not None:
            schedule = search.schedule
        elif exact:
            from graphsim.schedule.exact import optimum

            if place or placement or buffering != "single" or tile != 1:
                raise PlacementError(
                    "--exact finds a placement of its own, for single buffering and neurons by themselves; leave the "
                    "others out"
                )
            best = optimum(loaded, made[0], effort=effort)
            schedule = best.schedule
            proved = {"period_bound": best.period_bound, "latency_bound": best.latency_bound}
        else:
            schedule = fold_graph(
                loaded,
                made[0],
                strategy=place,
                placement=placement,
                buffering=buffering_named(buffering),
                seed=seed,
                tile=tile,
            )
    with progress_bar("saving the schedule with its machine", None, say_after=_SILENT):
        save(schedule, target)
    print_schedule(console, loaded, schedule)
    if proved:
        whether = "the optimum" if proved["period_bound"] == schedule.period else "perhaps not the optimum"
        console.print(
            f"{whether}: no period is below {in_ticks(proved['period_bound'])}, this one's is {schedule.period:,}; "
            f"no latency at it below {proved['latency_bound']:,}, this one's is {latency(loaded, schedule):,}"
        )
    say_place(console, "wrote", target, f" ({target.stat().st_size:,} bytes); 'graphsim verify' checks it")
    if write_placement is not None:
        write_placement_file(loaded, schedule, write_placement)
        say_place(console, "wrote", write_placement)
    granularity: dict[str, Any] = {}
    if loaded is not lowered or tile != 1:
        same = schedule.machine if rate is not None else machine_for(chosen[0], lowered)
        with progress_bar("folding whole neurons one by one, to compare", None):
            granularity = grains(lowered, loaded, schedule, same, strategy=place, placement=placement, seed=seed)
        print_granularity(console, granularity)
    if loaded is not lowered:
        console.print(f"  max fan-in {loaded.notes['max_fan_in']}", soft_wrap=True)
    if json is None:
        return
    record = schedule_record(loaded, schedule) | ({"proved": proved} if proved else {})
    record |= {"granularity": granularity} if granularity else {}
    record |= {"family": search.record()} if search is not None else {}
    write_json(json, {"schema_version": 1, **record, "output": str(target)})


def verify(
    graph: Annotated[Path, typer.Argument(help="A .gsim graph, or a model that is lowered first.")],
    schedule: Annotated[Path, typer.Argument(help="A .fold schedule of that graph.")],
    max_fan_in: MaxFanInOption = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    json: JsonOption = None,
) -> None:
    """Check a schedule against its graph and machine, independently of the scheduler that made it.

    Example:

        graphsim verify mnist_mlp.gsim mnist_mlp.fold
    """
    from graphsim.report.record import verdict_record
    from graphsim.report.terminal import print_verdict
    from graphsim.schedule.store import load
    from graphsim.schedule.verify import verify as verify_schedule

    console = console_for(json)
    load_plugins(plugin)
    check_outputs(json)
    with reading():
        loaded = split_neurons(load_graph(graph, weights), max_fan_in)
    verdict = verify_schedule(loaded, load(existing(schedule, "a .fold schedule"), loaded))
    print_verdict(console, verdict, full=True)
    write_json(json, {"schema_version": 1, "verdict": verdict_record(verdict)})
    if not verdict.ok:
        first = verdict.violations[0].message
        raise CheckFailed(f"{schedule}: the schedule breaks {verdict.violation_count} rules; the first: {first}")


def machines(
    machine: Annotated[str | None, typer.Argument(metavar="[MACHINE]", help="Describe this machine.")] = None,
    toml: Annotated[bool, typer.Option("--toml", help="Print the machine as a machine.toml to start from.")] = False,
    graph: Annotated[
        Path | None, typer.Option("--graph", metavar="FILE", help="The graph or model that one-to-one is made for.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """List the built-in machines, or describe one.

    Examples:

        graphsim machines

        graphsim machines torus:4x4 --toml > my_machine.toml

        graphsim machines one-to-one --graph models/mnist_mlp.h5
    """
    from graphsim.machine import MADE, builtin_topologies, load_machine
    from graphsim.report.terminal import print_machine, print_machines

    console = console_for(json)
    if machine is None:
        topologies = [*builtin_topologies(), *MADE]
        print_machines(console, topologies)
        listed = [{"pattern": p, "description": d, "example": e} for p, d, e in topologies]
        write_json(json, {"schema_version": 1, "machines": listed})
        return
    from graphsim.report.record import machine_record

    shown = load_machine(machine, None if graph is None else load_graph(graph))
    if toml:
        typer.echo(shown.to_toml(), nl=False, err=json == "-")
    else:
        print_machine(console, shown)
    write_json(json, {"schema_version": 1, "machine": machine_record(shown)})
