"""``graphsim clocks``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsim.cli.common import JsonOption, check_outputs, console_for, progress_bar, say_place, write_json
from graphsim.errors import UsageError

if TYPE_CHECKING:
    from graphsim.simulate.clocks import FloatArray

#: What papers on clocks call it, and what machines are called here.
_NAMES = {"triangle": "full:3"}


def clocks(
    machine: Annotated[str, typer.Argument(help="triangle, a built-in machine such as torus:4x4, or a .toml file.")],
    ppm: Annotated[
        float, typer.Option("--ppm", min=0, max=1e5, help="Oscillators are off by up to this, drawn from the seed.")
    ] = 8.0,
    errors: Annotated[
        str | None, typer.Option("--errors", metavar="LIST", help="Or: how far each is off, in ppm, as in 8,-8,0.")
    ] = None,
    kp: Annotated[
        float, typer.Option("--kp", min=0, max=1e12, help="Proportional gain, ticks per second per frame.")
    ] = 20.0,
    ki: Annotated[
        float, typer.Option("--ki", min=0, max=1e15, help="Integral gain, ticks per second per frame and second.")
    ] = 0.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1e-9, max=1e6, help="How long.")] = 0.5,
    period_us: Annotated[
        float, typer.Option("--period-us", min=1e-3, max=1e9, help="Microseconds between corrections.")
    ] = 100.0,
    depth: Annotated[int, typer.Option("--depth", min=2, max=2**30, help="Frames that an elastic buffer holds.")] = 256,
    delay_ns: Annotated[
        float, typer.Option("--delay-ns", min=0, max=1e9, help="Nanoseconds on every cable; 50 are ten metres.")
    ] = 50.0,
    within: Annotated[
        float, typer.Option("--within", min=0, help="Settled: frequencies this many ppm from each other.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the oscillators' errors.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="TOML", help="Write the machine with the latencies that come of it."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Write report.json and report.html with pictures.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Let a machine's oscillators agree: elastic buffers, frequency control, and the logical latencies of links.

    Examples:

        graphsim clocks triangle --errors 8,-8,0

        graphsim clocks torus:4x4 --report clocks -o settled.toml
    """
    import numpy as np

    from graphsim.files import write_text
    from graphsim.machine import load_machine
    from graphsim.report.clocks import clocks_record, print_clocks, write_clocks
    from graphsim.simulate.clocks import Control, run_clocks, timed_machine

    console = console_for(json)
    check_outputs(json, output, report=report)
    hardware = load_machine(_NAMES.get(machine, machine))
    nodes = len(hardware.nodes)
    drawn = np.random.default_rng(seed).uniform(-ppm, ppm, nodes) if errors is None else _listed(errors, nodes)
    control = Control(kp, ki, period_us * 1e-6, depth, delay_ns * 1e-9)
    with progress_bar("control periods", None) as done:
        found = run_clocks(hardware, drawn, control, seconds, done)
    record = {"schema_version": 1, **clocks_record(hardware, found, within)}
    print_clocks(console, record)
    if output is not None:
        write_text(output, timed_machine(hardware, found).to_toml())
        say_place(console, "wrote", output)
    if report is not None:
        say_place(console, "report:", write_clocks(report, hardware, found, record))
    write_json(json, record)


def _listed(text: str, nodes: int) -> FloatArray:
    import numpy as np

    try:
        listed = [float(part) for part in text.split(",")]
    except ValueError:
        listed = []
    if len(listed) != nodes or not all(abs(value) <= 1e5 for value in listed):
        raise UsageError(f"--errors {text[:60]!r}: it takes {nodes:,} numbers, one per node, from -100000 to 100000")
    return np.array(listed)
