"""What faults do to answers: runs with faults beside the run without, neuron by neuron."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule, durations
from graphsim.simulate.engine import FloatArray, Progress, Run
from graphsim.simulate.faults.file import Checksum, Faults
from graphsim.simulate.faults.plan import Plan, plan_faults
from graphsim.simulate.faults.run import FaultyEngine, FaultyRun, Frames

BoolArray = npt.NDArray[np.bool_]


#: Opens a progress bar: (description, total) -> context manager that yields a callback of the count done.
Bar = Callable[[str, int | None], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class FirstWrong:
    """The neuron with which a sample goes wrong first.

    Attributes:
        sample: its number. actor: the neuron's name. node: where it fires. tick: when its firing ends, in that sample.
        clean, value: without faults and with them; the value is None where it is missing.
    """

    sample: int
    actor: str
    node: str
    tick: int
    clean: float
    value: float | None


@dataclass(frozen=True)
class Damage:
    """What one rate of corruption, with one checksum, has done.

    Attributes:
        rate, checksum: of the run. samples: N. frames: what happened to them.
        affected: samples in which some neuron is wrong or missing.
        missing: samples of whose output something is missing: these are known to be bad.
        silent: samples whose output is there and differs in some bit: nothing gives these away.
        wrong_class: of the silent ones, those with another class; None without classes.
        right: samples whose class is there and is the label; None without labels.
        first: where the first sample that goes wrong does so; None if none does.
        first_in: how many samples go wrong first in each group, by its name, in order of the graph.
        noticed: for each node where a firing finds an operand missing, the first tick in which one does.
        wall_seconds: measured.
    """

    rate: float
    checksum: Checksum
    samples: int
    frames: Frames
    affected: int
    missing: int
    silent: int
    wrong_class: int | None
    right: int | None
    first: FirstWrong | None
    first_in: Mapping[str, int]
    noticed: Mapping[str, int]
    wall_seconds: float

    @property
    def accuracy(self) -> float | None:
        """Share of all samples that are answered with the label: a missing answer is not right."""
        return None if self.right is None or not self.samples else self.right / self.samples

    @property
    def accuracy_of_answers(self) -> float | None:
        """Share of the answers that are there which are the label."""
        there = self.samples - self.missing
        return None if self.right is None or not there else self.right / there

    @property
    def coverage(self) -> float | None:
        """Share of the corrupted frames that the checksum gives away; None where no frame was hit."""
        return self.frames.noticed / self.frames.hit if self.frames.hit else None

    @property
    def silent_rate(self) -> float:
        """Share of the samples whose output is silently wrong."""
        return self.silent / self.samples if self.samples else 0.0

    @property
    def missing_rate(self) -> float:
        """Share of the samples without a full output."""
        return self.missing / self.samples if self.samples else 0.0

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "rate": self.rate,
            "checksum": self.checksum,
            "samples": self.samples,
            "frames": asdict(self.frames),
            "detection_coverage": self.coverage,
            "affected": self.affected,
            "missing": self.missing,
            "silent": self.silent,
            "silent_rate": self.silent_rate,
            "missing_rate": self.missing_rate,
            "wrong_class": self.wrong_class,
            "right": self.right,
            "accuracy": self.accuracy,
            "accuracy_of_answers": self.accuracy_of_answers,
            "first_wrong": None if self.first is None else asdict(self.first),
            "first_wrong_in_groups": dict(self.first_in),
            "first_missing_tick": dict(self.noticed),
            "wall_seconds": self.wall_seconds,
        }


@dataclass(frozen=True)
class Sweep:
    """All runs with the faults of one file.

    Attributes:
        faults: the file. engine: name of the engine that ran them.
        crashes: see :meth:`~graphsim.simulate.faults.plan.Plan.told`.
        weights: wrong ones, as plain values.
        cases: one per checksum and rate, by checksum in the file's order, then by rate.
    """

    faults: Faults
    engine: str
    crashes: list[dict[str, Any]]
    weights: list[dict[str, Any]]
    cases: tuple[Damage, ...]

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "file": self.faults.record(),
            "engine": self.engine,
            "crashes": self.crashes,
            "wrong_weights": self.weights,
            "runs": [case.record() for case in self.cases],
        }


def sweep(
    faults: Faults,
    graph: Graph,
    schedule: Schedule,
    samples: FloatArray | tuple[FloatArray, ...],
    clean: Run,
    *,
    labels: npt.NDArray[np.int64] | None = None,
    engine: str = "machine",
    bar: Bar | None = None,
) -> Sweep:
    """Run samples with every checksum at every rate, and compare each run with the one without faults.

    Args:
        clean: the values of all neurons without faults, of any engine.
        labels: int64 (N,), where the graph tells classes.
        engine: ``machine``, or ``events`` for small runs.

    Raises:
        FaultsError: a fault names what is not there.
        SimulationError: see the engine.
    """
    plan = plan_faults(faults, graph, schedule)
    chosen = _engine(engine, graph, schedule, plan)
    order = _Order(graph, schedule)
    cases = []
    for checksum in faults.checksums:
        for rate in faults.rates:
            with (bar or _no_bar)(f"faults: {rate:g}, checksum {checksum}", clean.samples) as done:
                found = chosen.run_with(samples, rate=rate, checksum=checksum, progress=done)
            cases.append(compare_runs(graph, schedule, clean, found, labels, order))
    weights = [
        {"neuron": w.neuron, "weight": w.weight, "bit": w.bit, "before": w.before, "after": w.after}
        for w in plan.weights
    ]
    return Sweep(faults, engine, plan.told(schedule), weights, tuple(cases))


@contextmanager
def _no_bar(description: str, total: int | None) -> Iterator[Progress]:
    yield lambda done: None


def _engine(name: str, graph: Graph, schedule: Schedule, plan: Plan) -> FaultyEngine:
    if name == "events":
        from graphsim.simulate.faults.events import FaultyEvents

        return FaultyEvents(graph, schedule, plan)
    from graphsim.simulate.faults.machine import FaultyMachine

    return FaultyMachine(graph, schedule, plan)


class _Order:
    """When the last firing of each actor ends in iteration 0, int64 by actor of the original graph, and where."""

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        unrolled = unroll(graph)
        ends = schedule.start + durations(graph, schedule.machine, schedule.node)
        self.tick = np.zeros(graph.actor_count, np.int64)
        np.maximum.at(self.tick, unrolled.owner, ends)
        self.node = np.zeros(graph.actor_count, np.int64)
        self.node[unrolled.owner] = schedule.node


def compare_runs(
    graph: Graph,
    schedule: Schedule,
    clean: Run,
    found: FaultyRun,
    labels: npt.NDArray[np.int64] | None = None,
    order: _Order | None = None,
) -> Damage:
    """What a run with faults has done, from all values of both runs."""
    order = order or _Order(graph, schedule)
    n = found.samples
    first_tick = np.full(n, np.iinfo(np.int64).max, np.int64)
    first_actor = np.full(n, -1, np.int64)
    for number, group in enumerate(graph.groups):
        if group.op == "source":
            continue
        first, size = int(graph.first[number]), group.size
        wrong = _wrong(graph, number, clean, found)
        ticks = order.tick[first : first + size]
        by_time = np.argsort(ticks, kind="stable")
        any_wrong = wrong.any(axis=1)
        at = by_time[np.argmax(wrong[:, by_time], axis=1)]
        sooner = any_wrong & (ticks[at] < first_tick)
        first_tick[sooner], first_actor[sooner] = ticks[at][sooner], first + at[sooner]
    affected = np.flatnonzero(first_actor >= 0)
    lacks, differs = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for sink in graph.sinks:
        name = graph.groups[sink].name
        lacks |= found.missing[name].reshape(n, -1).any(axis=1)
        differs |= _wrong(graph, sink, clean, found).any(axis=1)
    silent = differs & ~lacks
    wrong_class = right = None
    if len(graph.sinks) == 1 and graph.groups[graph.sinks[0]].op == "argmax":
        name = graph.groups[graph.sinks[0]].name
        answers, truths = (run.values[name].reshape(n, -1)[:, 0] for run in (found, clean))
        wrong_class = int((silent & (answers != truths)).sum())
        if labels is not None:
            right = int((~lacks & (answers == labels[:n])).sum())
    groups = np.searchsorted(graph.first, first_actor[affected], side="right") - 1
    tally = np.bincount(groups, minlength=len(graph.groups))
    nodes = schedule.machine.nodes
    return Damage(
        rate=found.rate,
        checksum=found.checksum,
        samples=n,
        frames=found.frames,
        affected=len(affected),
        missing=int(lacks.sum()),
        silent=int(silent.sum()),
        wrong_class=wrong_class,
        right=right,
        first=_located(graph, schedule, clean, found, order, int(affected[0]), int(first_actor[affected[0]]))
        if len(affected)
        else None,
        first_in={graph.groups[g].name: int(tally[g]) for g in np.flatnonzero(tally)},
        noticed={nodes[v].name: int(found.noticed[v]) for v in np.flatnonzero(found.noticed >= 0)},
        wall_seconds=found.wall_seconds,
    )


def _wrong(graph: Graph, number: int, clean: Run, found: FaultyRun) -> BoolArray:
    """Of which actors of a group any token is missing or differs in a bit, bool (N, size)."""
    group, n = graph.groups[number], found.samples
    differs = found.missing[group.name] | (
        found.values[group.name].view(np.uint32) != clean.values[group.name].view(np.uint32)
    )
    steps = graph.tokens(number)
    result: BoolArray = differs.reshape(n, steps, group.size, -1).any(axis=(1, 3))
    return result


def _located(
    graph: Graph, schedule: Schedule, clean: Run, found: FaultyRun, order: _Order, sample: int, actor: int
) -> FirstWrong:
    who = graph.actor(actor)
    name, steps = who.group.name, graph.tokens(who.group_number)
    values, truths, missing = (
        array[sample].reshape(steps, who.group.size, -1)[:, who.local].reshape(-1)
        for array in (found.values[name], clean.values[name], found.missing[name])
    )
    at = int(np.argmax(missing | (values.view(np.uint32) != truths.view(np.uint32))))
    return FirstWrong(
        sample,
        who.name,
        schedule.machine.nodes[int(order.node[actor])].name,
        int(order.tick[actor]) + sample * schedule.period,
        float(truths[at]),
        None if missing[at] else float(values[at]),
    )
