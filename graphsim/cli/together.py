"""``graphsim together``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from graphsim.cli.common import (
    JsonOption,
    PluginOption,
    check_outputs,
    console_for,
    load_plugins,
    progress_bar,
    say_place,
    write_json,
)
from graphsim.cli.schedules import BufferingOption, FrameBitsOption, MachineOption, PlaceOption, hardware
from graphsim.errors import CheckFailed, UsageError


def together(
    applications: Annotated[
        list[str],
        typer.Argument(
            metavar="APPLICATION...",
            help="Models, circuits or .gsim graphs. NAME=FILE calls one NAME; otherwise it is called as its file.",
        ),
    ],
    machine: MachineOption = "torus:4x4",
    frame_bits: FrameBitsOption = None,
    buffering: BufferingOption = "single",
    place: PlaceOption = None,
    engine: Annotated[
        str, typer.Option("--engine", "-e", metavar="E", help="machine, events or frames: one that runs schedules.")
    ] = "machine",
    samples: Annotated[
        int, typer.Option("--samples", "-n", metavar="N", help="Random samples of every application.", min=1)
    ] = 100,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of samples and of placements that use chance.", min=0, max=2**31 - 1)
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="GSIM", help="Write the graph of all there; the schedule beside it."),
    ] = None,
    plugin: PluginOption = None,
    json: JsonOption = None,
) -> None:
    """Run several applications on one machine at once, each isolated, and compare each with its run alone.

    All are scheduled at one period, in which each takes one sample (a circuit: one clock cycle). No tick of a node, no
    frame of a link and no byte of memory is of two of them, which is verified. Random samples of each input's range run
    through all at once; every application's outputs must have the bits of its run alone. Exit status 1 if not.

    Examples:

        graphsim together left=models/digits_mlp.h5 right=models/digits_mlp.h5 --machine torus:8x8

        graphsim together models/digits_mlp.h5 models/life.blif --samples 500 --json result.json

        graphsim together models/digits_mlp.h5 models/mnist_mlp.h5 -o both.gsim
    """
    from graphsim import pipeline
    from graphsim.report.together import print_together, together_record
    from graphsim.schedule.store import save

    console = console_for(json)
    load_plugins(plugin)
    if output is not None and output.suffix != ".gsim":
        raise UsageError(f"--output {output}: is no .gsim file; the schedule goes beside it as .fold")
    check_outputs(json, output, None if output is None else output.with_suffix(".fold"))
    files = _named(applications)
    result = pipeline.together(
        {name: pipeline.load_graph(path) for name, path in files.items()},
        hardware(machine, frame_bits),
        samples=samples,
        engine=engine,
        strategy=place,
        buffering=pipeline.buffering_named(buffering),
        seed=seed,
        command=shlex.join(["graphsim", *sys.argv[1:]]),
        bar=progress_bar,
    )
    print_together(console, result)
    if output is not None:
        pipeline.save_graph(result.union.graph, output)
        save(result.schedule, output.with_suffix(".fold"))
        say_place(console, "wrote", output, f", and its schedule beside it as {output.with_suffix('.fold').name}")
    write_json(json, together_record(result))
    if not result.ok:
        raise CheckFailed(
            f"{result.different:,} output values are not those of the applications alone, "
            f"{result.isolation.edges + result.isolation.parcels:,} edges and parcels lead between them"
        )


def _named(applications: list[str]) -> dict[str, Path]:
    """The files, by the names of their applications.

    Raises:
        UsageError: two have one name, or a name is none.
    """
    from graphsim.errors import GraphError
    from graphsim.graph.union import check_name

    found: dict[str, Path] = {}
    for given in applications:
        name, mark, path = given.partition("=")
        if not mark or Path(given).exists():
            name, path = Path(given).stem, given
        try:
            check_name(name)
        except GraphError as error:
            raise UsageError(f"{given}: {error}; write NAME=FILE") from error
        if name in found:
            raise UsageError(
                f"{path}: there is an application {name} already ({found[name]}); give this one another name: "
                f"{name}2={path}"
            )
        found[name] = Path(path)
    return found
