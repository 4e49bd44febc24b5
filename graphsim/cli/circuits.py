"""``graphsim equal``, and ``graphsim run`` of circuits."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsim.cli.common import (
    JsonOption,
    TopOption,
    check_outputs,
    console_for,
    progress_bar,
    reading,
    say_place,
    write_json,
)
from graphsim.cli.schedules import hardware
from graphsim.errors import CheckFailed, GraphError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from graphsim.graph import Graph

StimulusOption = Annotated[
    Path | None,
    typer.Option("--stimulus", metavar="FILE", help="circuits: inputs by cycle, .json, .csv or .vcd. (random)"),
]
OutputsOption = Annotated[
    Path | None, typer.Option("--outputs", metavar="FILE", help="circuits: write outputs, as .json, .csv or .vcd.")
]
VcdOption = Annotated[
    Path | None, typer.Option("--vcd", metavar="FILE", help="circuits: write inputs, registers and outputs as VCD.")
]
#: Seconds after which a stage of a run says what it is doing, where no bar is drawn.
_SILENT = 1.0
#: Cycles of a run without stimulus.
_CYCLES = 256


def equal(
    one: Annotated[Path, typer.Argument(help="A circuit (.blif, .aig, .v, ...) or a .gsim graph of one.")],
    other: Annotated[Path, typer.Argument(help="Another with the same names of inputs and outputs.")],
    top: TopOption = None,
    json: JsonOption = None,
) -> None:
    """Prove that two circuits compute the same, or show inputs for which they differ.

    Exit status: 0 equal; 1 different, or not decided within the limit of the solver; 2 not comparable.

    Examples:

        graphsim equal adder.v adder.blif
    """
    from graphsim.analysis.equivalence import compare
    from graphsim.graph.circuit import of_graph
    from graphsim.pipeline import load_graph
    from graphsim.report.record import equivalence_record
    from graphsim.report.terminal import print_equivalence

    console = console_for(json)
    check_outputs(json)
    with reading():
        before, after = (of_graph(load_graph(path, top=top)) for path in (one, other))
    found = compare(before, after)
    print_equivalence(console, found)
    write_json(json, {"schema_version": 1, **equivalence_record(found)})
    if found.verdict != "equal":
        raise CheckFailed(f"{one} and {other}: {found.message}")


def circuit_at(path: Path | None, top: str | None) -> Graph | None:
    """The graph of a circuit in a file; None if the file is of something else."""
    from graphsim.pipeline import is_circuit_file, load_graph

    if path is None:
        return None
    if is_circuit_file(path):
        with reading():
            return load_graph(path, top=top)
    from graphsim.graph.circuit import is_circuit

    if path.suffix == ".gsim" and path.is_file():
        try:
            graph = load_graph(path)
        except GraphError:  # whoever runs it will say so
            return None
        return graph if is_circuit(graph) else None
    return None


def check_options(context: typer.Context, allowed: tuple[str, ...]) -> set[str]:
    """The options that were given, by parameter name.

    Raises:
        UsageError: one of them means nothing for circuits.
    """
    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }
    if wrong := sorted(given - set(allowed)):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(f"{named}: not for circuits, whose inputs are those of --stimulus")
    return given


def run_circuit(
    console: Console,
    graph: Graph,
    *,
    model: Path | None,
    stimulus: Path | None,
    outputs: Path | None,
    vcd: Path | None,
    machine: str | None,
    frame_bits: int | None,
    buffering: str,
    engine: str | None,
    samples: int | None,
    place: str | None,
    placement: Path | None,
    seed: int,
    threads: int | None,
    reference: bool,
    faults: Path | None,
    report: Path | None,
    json: str | None,
) -> None:
    """Run a circuit and print what came of it.

    Raises:
        CheckFailed: values differ from the independent evaluation, or from what the stimulus expects.
    """
    from graphsim import pipeline
    from graphsim.frontends.circuits.stimulus import (
        check_outputs_path,
        check_size,
        random_stimulus,
        read_stimulus,
        write_outputs,
    )
    from graphsim.graph.circuit import of_graph
    from graphsim.report import terminal
    from graphsim.report.circuits import print_circuit_run
    from graphsim.report.record import circuit_document
    from graphsim.simulate.faults.file import read_faults

    circuit = of_graph(graph)
    for path in (outputs, vcd):
        check_outputs_path(path, is_vcd=path is vcd)
    read = {path.resolve() for path in (model, stimulus) if path is not None}
    for path in (outputs, vcd):
        if path is not None and path.resolve() in read:
            raise UsageError(f"{path}: would overwrite what the run reads; choose another name")
    if outputs is not None and vcd is not None and outputs.resolve() == vcd.resolve():
        raise UsageError(f"{vcd}: is named by --outputs and by --vcd; choose two names")
    if stimulus is None:
        cycles = samples or _CYCLES
        check_size("--samples", circuit, cycles)
        going_in = random_stimulus(circuit, cycles, seed)
    else:
        going_in = read_stimulus(pipeline.existing(stimulus, "a stimulus (.json, .csv or .vcd)"), circuit)
        going_in = going_in.first(samples)
        if not going_in.cycles:
            raise UsageError(f"{stimulus}: has no cycles, so that there is nothing to run; give one at least")
    if (engine in pipeline.TIMED or faults is not None) and machine is None:
        machine = "torus:4x4"
    result = pipeline.run_circuit(
        graph,
        going_in,
        machine=None if machine is None else hardware(machine, frame_bits),
        engine=engine,
        strategy=place,
        placement=placement,
        buffering=pipeline.buffering_named(buffering),
        seed=seed,
        threads=threads,
        reference=reference,
        faults=None if faults is None else read_faults(faults),
        command=shlex.join(["graphsim", *sys.argv[1:]]),
        bar=partial(progress_bar, say_after=_SILENT),
        warn=partial(terminal.print_warning, console),
    )
    terminal.print_graph(console, graph)
    record = circuit_document(result)
    if result.schedule is not None and result.verdict is not None:
        terminal.print_schedule(console, graph, result.schedule)
        terminal.print_verdict(console, result.verdict)
    print_circuit_run(console, result)
    if result.faults is not None:
        from graphsim.report.faults import print_faults

        print_faults(console, result.faults, None, "clock cycle")
    for path in (outputs, vcd):
        if path is not None:
            write_outputs(path, circuit, result.stimulus, result.outputs, result.registers)
            say_place(console, "wrote     ", path)
    if report is not None:
        from graphsim.report.circuit_page import write_circuit_report

        say_place(console, "report    ", write_circuit_report(report, result, record))
    write_json(json, record)
    for found, whom in (
        (result.judgement, "an independent evaluation"),
        (result.expected, "what the stimulus expects"),
    ):
        if found is not None and found.differ:
            raise CheckFailed(f"{found.differ:,} values differ from {whom}; the first: {found.first}")
