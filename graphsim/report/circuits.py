"""Circuits, and runs of them, for people at a terminal and as plain JSON types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, of_graph, ports
from graphsim.graph.gates import kinds
from graphsim.graph.words import in_ticks

if TYPE_CHECKING:
    from graphsim.compare.logic import Judgement
    from graphsim.frontends.circuits.stimulus import Stimulus
    from graphsim.schedule.schedule import Schedule
    from graphsim.schedule.verify import Verdict
    from graphsim.simulate.engine import Run
    from graphsim.simulate.faults.damage import Sweep

BitArray = npt.NDArray[np.uint8]

#: Ports in a line of a summary, and cycles and ports in a table of values.
_PORTS, _CYCLES, _COLUMNS = 12, 8, 10
#: Digits of a value that a table shows.
_DIGITS = 40


@dataclass(frozen=True)
class CircuitResult:
    """A circuit that was run, and what came out.

    Attributes:
        command: the command line that repeats it.
        graph: of gates. circuit: what it is of.
        stimulus: what went in.
        run: values by group and, from engines with a clock, times.
        judgement: by an independent evaluation; None when none was asked for.
        expected: the outputs by what the stimulus says of them.
        schedule, verdict: the folding, and what the verifier said of it; None where nothing was folded.
        seconds: measured wall seconds of each stage, in order.
        faults: what runs with faults did; None where none were asked for.
    """

    command: str
    graph: Graph
    circuit: Circuit
    stimulus: Stimulus
    run: Run
    judgement: Judgement | None
    expected: Judgement
    schedule: Schedule | None
    verdict: Verdict | None
    seconds: dict[str, float]
    faults: Sweep | None = None

    @property
    def outputs(self) -> BitArray:
        """What came out: 0 or 1, uint8 (cycles, outputs)."""
        return self.run.values["output"].astype(np.uint8)

    @property
    def registers(self) -> BitArray:
        """What registers held: 0 or 1, uint8 (cycles, R); without columns where the run has not kept them."""
        stored = self.run.values.get("register")
        if stored is None or not self.circuit.register_count:
            return np.zeros((self.stimulus.cycles, 0), np.uint8)
        return np.concatenate([self.circuit.initial[None], stored[:-1]])[: len(stored)].astype(np.uint8)


def _ports(names: Sequence[str]) -> str:
    """Ports with their widths: ``a[0..7], en``."""
    found = [f"{name}[0..{len(at) - 1}]" if len(at) > 1 else name for name, at in ports(names).items()]
    more = f" and {len(found) - _PORTS:,} more" if len(found) > _PORTS else ""
    return escape(", ".join(found[:_PORTS]) + more) or "none"


def print_circuit(console: Console, graph: Graph) -> None:
    """Inputs, registers, outputs, depth and gates by kind; what its reader noted."""
    circuit = of_graph(graph)
    size = f"{circuit.gate_count:,} gates, depth {circuit.depth:,}"
    console.print(f"[bold]{escape(circuit.name)}[/]: circuit of {size}; as a graph {graph.actor_count:,} actors")
    for what, names in (
        ("inputs", circuit.input_names),
        ("registers", circuit.register_names),
        ("outputs", circuit.output_names),
    ):
        console.print(f"  {what:10} {len(names):,}: {_ports(names)}" if names else f"  {what:10} none", soft_wrap=True)
    if ones := int(circuit.initial.sum()):
        console.print(f"  {'':10} of the registers {ones:,} start at 1")
    if circuit.gate_count:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("gate")
        table.add_column("how many", justify="right")
        for kind, count in kinds(circuit).items():
            table.add_row(kind, f"{count:,}")
        console.print(table)
    for key, note in circuit.notes.items():
        console.print(f"[dim]{escape(key)}: {escape(note)}[/]", soft_wrap=True)


def circuit_record(circuit: Circuit) -> dict[str, Any]:
    """Sizes of a circuit, its ports and its gates by kind."""
    return {
        "inputs": {name: len(at) for name, at in ports(circuit.input_names).items()},
        "outputs": {name: len(at) for name, at in ports(circuit.output_names).items()},
        "registers": circuit.register_count,
        "gates": circuit.gate_count,
        "depth": circuit.depth,
        "kinds": kinds(circuit),
    }


def print_circuit_run(console: Console, result: CircuitResult) -> None:
    """What was run, the first cycles, and who agrees."""
    stimulus, run = result.stimulus, result.run
    cycles = "1 cycle" if stimulus.cycles == 1 else f"{stimulus.cycles:,} cycles"
    console.print(f"stimulus   {cycles} of {escape(stimulus.source)}", soft_wrap=True)
    if stimulus.remark:
        console.print(f"[yellow]warning[/]    {escape(stimulus.remark)}", soft_wrap=True)
    _print_values(console, result)
    note = f", {run.note}" if run.note else ""
    console.print(f"engine     {run.engine}, {run.wall_seconds:.3f} s (measured){note}")
    if run.timing is not None and run.timing.period is not None:
        console.print(
            f"period     {float(run.timing.period):,.4g} ticks per cycle, latency {in_ticks(run.timing.latency)}"
        )
    if result.judgement is not None:
        _print_judgement(console, "evaluated", result.judgement, "values, by an independent evaluation")
    if result.expected.checked:
        _print_judgement(console, "expected", result.expected, "output values that the stimulus states")


def _print_judgement(console: Console, label: str, found: Judgement, what: str) -> None:
    word = "[green]all agree[/]" if not found.differ else f"[red]{found.differ:,} differ[/], first: "
    first = "" if found.first is None else escape(str(found.first))
    console.print(f"{label:10} {found.checked:,} {what}: {word}{first}", soft_wrap=True)


def _print_values(console: Console, result: CircuitResult) -> None:
    """A table of the first cycles, where there are few enough ports."""
    from graphsim.frontends.circuits.stimulus import as_integers, written

    circuit = result.circuit
    inputs = as_integers(circuit.input_names, result.stimulus.inputs[:_CYCLES])
    outputs = as_integers(circuit.output_names, result.outputs[:_CYCLES])
    if len(inputs) + len(outputs) > _COLUMNS:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for label in ("cycle", *inputs):
        table.add_column(escape(label), justify="right")
    for label in outputs:
        table.add_column(f"-> {escape(label)}", justify="right")
    for t in range(min(_CYCLES, result.stimulus.cycles)):
        values = (str(written(column[t])) for part in (inputs, outputs) for column in part.values())
        table.add_row(str(t), *(text if len(text) <= _DIGITS else text[: _DIGITS - 3] + "..." for text in values))
    if result.stimulus.cycles > _CYCLES:
        table.add_row("...")
    console.print(table)


def circuit_run_record(result: CircuitResult) -> dict[str, Any]:
    """The document of ``run --json`` for a circuit, without that of its graph and schedule."""
    timing = result.run.timing
    period = timing.period if timing is not None else None
    return {
        "command": result.command,
        "stimulus": {"source": result.stimulus.source, "cycles": result.stimulus.cycles},
        "simulation": {
            "engine": result.run.engine,
            "engine_note": result.run.note,
            "wall_seconds": result.run.wall_seconds,
            "stage_wall_seconds": result.seconds,
            "period_ticks": None if period is None else float(period),
            "latency_ticks": None if timing is None or period is None else timing.latency,
        },
        "evaluated": None if result.judgement is None else _judgement_record(result.judgement),
        "expected": _judgement_record(result.expected) if result.expected.checked else None,
    }


def _judgement_record(found: Judgement) -> dict[str, Any]:
    first = found.first
    return {
        "checked": found.checked,
        "differ": found.differ,
        "first": None
        if first is None
        else {"cycle": first.cycle, "signal": first.signal, "found": first.found, "expected": first.expected},
    }
