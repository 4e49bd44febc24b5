"""What faults do to answers: runs with faults beside the run without, neuron by neuron."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule, durations
from graphsim.simulate.engine import FloatArray, Progress, Run
from graphsim.simulate.faults.draws import threshold
from graphsim.simulate.faults.file import Checksum, Faults
from graphsim.simulate.faults.plan import NEVER, plan_faults
from graphsim.simulate.faults.run import FaultyRun, Frames
from graphsim.simulate.threads import cores, share

Int64Array = npt.NDArray[np.int64]

#: Samples that one thread runs at a time, and whose values are held.
_PART = 1024
#: What becomes of a sample. ``actor``: the first that is wrong, or -1; ``clean``, ``value``, ``absent``: what it should
#: make, what it makes, and whether that is missing. ``lacks``, ``differs``: whether something of the output does.
_FATE = np.dtype(
    [
        ("actor", np.int64),
        ("clean", np.float32),
        ("value", np.float32),
        ("absent", np.bool_),
        ("lacks", np.bool_),
        ("differs", np.bool_),
        ("other_class", np.bool_),
        ("right", np.bool_),
        ("frames", np.int64, len(Frames.__dataclass_fields__)),
    ]
)

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
        wall_seconds: measured, of all threads together: of simulating the samples that corruption hits, at rate 0 of
            all; where samples depend on each other, of all at every rate.
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
    threads: int | None = None,
    bar: Bar | None = None,
) -> Sweep:
    """Run samples with every checksum at every rate, and compare each run with the one without faults.

    Where no sample depends on another, all are run once without corruption, and at each rate, with each checksum, those
    that it hits; the others are the same there.

    Args:
        clean: the values of all neurons without faults, of any engine.
        labels: int64 (N,), where the graph tells classes.
        engine: ``machine``, or ``events`` for small runs.
        threads: most threads to use; by default as many as this process may use cores. Results do not depend on it.

    Raises:
        FaultsError: a fault names what is not there.
        SimulationError: see the engine.
    """
    plan, n = plan_faults(faults, graph, schedule), clean.samples
    asked = [(checksum, rate) for checksum in faults.checksums for rate in faults.rates]
    run_with: Callable[..., FaultyRun]
    least: Int64Array | None = None
    if engine == "events":
        from graphsim.simulate.faults.events import FaultyEvents

        run_with, threads = FaultyEvents(graph, schedule, plan).run_with, 1
    else:
        from graphsim.simulate.faults.machine import FaultyMachine

        machine = FaultyMachine(graph, schedule, plan)
        run_with, threads = machine.run_with, threads or cores()
        if machine.independent:
            least = machine.least_draws(n, threads)

    base = _Outcome.of(n, schedule)
    outcomes = [_Outcome.of(n, schedule) for _ in asked]
    parts: list[_Part] = []
    if least is not None:
        parts += _pieces(base, "none", 0.0, np.arange(n))
    for outcome, (checksum, rate) in zip(outcomes, asked, strict=True):
        if least is None:
            parts.append(_Part(outcome, checksum, rate, n, {}))
        else:
            parts += _pieces(outcome, checksum, rate, np.flatnonzero(least < threshold(rate)))
    judge, lock = _Judge(graph, schedule, clean, labels), threading.Lock()

    def work(part: _Part) -> None:
        found = run_with(samples, rate=part.rate, checksum=part.checksum, **part.how)
        fates, only = judge.fates(found, part.how.get("only")), part.how.get("only", slice(None))
        with lock:
            part.outcome.add(found, fates, only)

    with (bar or _no_bar)(f"faults: {len(asked)} runs", sum(part.samples for part in parts)) as done:
        share(parts, work, lambda part: part.samples, threads, done)
    cases = [
        judge.damage(outcome if least is None else outcome.completed(base), checksum, rate)
        for outcome, (checksum, rate) in zip(outcomes, asked, strict=True)
    ]
    weights = [
        {"neuron": w.neuron, "weight": w.weight, "bit": w.bit, "before": w.before, "after": w.after}
        for w in plan.weights
    ]
    return Sweep(faults, engine, plan.told(schedule), weights, tuple(cases))


@contextmanager
def _no_bar(description: str, total: int | None) -> Iterator[Progress]:
    yield lambda done: None


@dataclass
class _Outcome:
    """What a run does to samples, as far as they were run.

    Attributes:
        fate: structured (N,): of those that were run. known: which these are, bool (N,).
        noticed: int64 (nodes,): first ticks in which an operand is missing, or NEVER. seconds: measured.
    """

    fate: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]
    noticed: Int64Array
    seconds: float

    @staticmethod
    def of(samples: int, schedule: Schedule) -> _Outcome:
        """Nothing was run yet."""
        nodes = len(schedule.machine.nodes)
        return _Outcome(np.zeros(samples, _FATE), np.zeros(samples, np.bool_), np.full(nodes, NEVER, np.int64), 0.0)

    def add(self, found: FaultyRun, fates: npt.NDArray[Any], which: Int64Array | slice) -> None:
        """Some samples were run."""
        self.fate[which], self.known[which] = fates, True
        self.noticed = np.minimum(self.noticed, np.where(found.noticed < 0, NEVER, found.noticed))
        self.seconds += found.wall_seconds

    def completed(self, base: _Outcome) -> _Outcome:
        """With those samples of the run without corruption that were not run here.

        What is missing there is missing here too, whatever corruption adds.
        """
        fate = np.where(self.known, self.fate, base.fate)
        seconds = self.seconds if self.known.any() else base.seconds
        return _Outcome(fate, self.known | base.known, np.minimum(self.noticed, base.noticed), seconds)


class _Part(NamedTuple):
    """Samples of a run that are run at a time."""

    outcome: _Outcome
    checksum: Checksum
    rate: float
    samples: int
    how: dict[str, Any]


def _pieces(outcome: _Outcome, checksum: Checksum, rate: float, which: Int64Array) -> list[_Part]:
    several = [which[first : first + _PART] for first in range(0, len(which), _PART)]
    return [_Part(outcome, checksum, rate, len(only), {"only": only}) for only in several]


class _Judge:
    """Holds runs with faults against the one without.

    Attributes:
        tick, node: when the last firing of each actor ends in iteration 0, and where, int64 (actors,).
    """

    def __init__(
        self, graph: Graph, schedule: Schedule, clean: Run, labels: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.graph, self.schedule, self.clean, self.labels = graph, schedule, clean, labels
        unrolled = unroll(graph)
        ends = schedule.start + durations(unrolled.graph, schedule.machine, schedule.node)
        self.tick = np.zeros(graph.actor_count, np.int64)
        np.maximum.at(self.tick, unrolled.owner, ends)
        self.node = np.zeros(graph.actor_count, np.int64)
        self.node[unrolled.owner] = schedule.node
        sinks = [graph.groups[sink] for sink in graph.sinks]
        self.has_classes = len(sinks) == 1 and sinks[0].op == "argmax"

    def fates(self, found: FaultyRun, only: Int64Array | None = None) -> npt.NDArray[Any]:
        """What becomes of each sample of a run of all, or of these alone; structured (samples,)."""
        graph, n = self.graph, found.samples
        which: Int64Array | slice = slice(None) if only is None else only
        fates = np.zeros(n, _FATE)
        fates["actor"], fates["frames"] = -1, found.counts
        first_tick = np.full(n, NEVER, np.int64)
        for number, group in enumerate(graph.groups):
            if group.op == "source":
                continue
            shape = n, graph.tokens(number), group.size, -1
            values, truths, missing = (
                array.reshape(shape)
                for array in (found.values[group.name], self.clean.values[group.name][which], found.missing[group.name])
            )
            told = ~(np.isnan(values) & np.isnan(truths))  # links do not keep which NaN it is
            wrong = missing | ((values.view(np.uint32) != truths.view(np.uint32)) & told)
            rows = np.flatnonzero(wrong.any(axis=(1, 2, 3)))
            if number in graph.sinks:
                fates["lacks"] |= missing.any(axis=(1, 2, 3))
                fates["differs"][rows] = True
            if self.has_classes and number in graph.sinks:
                answers = values[:, 0, 0, 0]
                fates["other_class"] = answers != truths[:, 0, 0, 0]
                if self.labels is not None:
                    fates["right"] = answers == self.labels[: self.clean.samples][which]
            # Of this group, the one that is wrong first; of its tokens, the first that is.
            first = int(graph.first[number])
            ticks = self.tick[first : first + group.size]
            by_time = np.argsort(ticks, kind="stable")
            at = by_time[np.argmax(wrong[rows].any(axis=(1, 3))[:, by_time], axis=1)]
            sooner = ticks[at] < first_tick[rows]
            rows, at = rows[sooner], at[sooner]
            if not len(rows):
                continue
            first_tick[rows], fates["actor"][rows] = ticks[at], first + at
            token = np.argmax(wrong[rows, :, at].reshape(len(rows), -1), axis=1)
            for field, array in (("clean", truths), ("value", values), ("absent", missing)):
                fates[field][rows] = array[rows, :, at].reshape(len(rows), -1)[np.arange(len(rows)), token]
        return fates

    def damage(self, outcome: _Outcome, checksum: Checksum, rate: float) -> Damage:
        """What a run with faults has done."""
        graph, fate, nodes = self.graph, outcome.fate, self.schedule.machine.nodes
        affected = np.flatnonzero(fate["actor"] >= 0)
        silent = fate["differs"] & ~fate["lacks"]
        groups = np.searchsorted(graph.first, fate["actor"][affected], side="right") - 1
        tally = np.bincount(groups, minlength=len(graph.groups))
        return Damage(
            rate=rate,
            checksum=checksum,
            samples=len(fate),
            frames=Frames(*fate["frames"].sum(axis=0).tolist()),
            affected=len(affected),
            missing=int(fate["lacks"].sum()),
            silent=int(silent.sum()),
            wrong_class=int((silent & fate["other_class"]).sum()) if self.has_classes else None,
            right=int((fate["right"] & ~fate["lacks"]).sum()) if self.has_classes and self.labels is not None else None,
            first=self._located(int(affected[0]), fate[affected[0]]) if len(affected) else None,
            first_in={graph.groups[g].name: int(tally[g]) for g in np.flatnonzero(tally)},
            noticed={nodes[v].name: int(outcome.noticed[v]) for v in np.flatnonzero(outcome.noticed < NEVER)},
            wall_seconds=outcome.seconds,
        )

    def _located(self, sample: int, fate: Any) -> FirstWrong:
        actor = int(fate["actor"])
        return FirstWrong(
            sample,
            self.graph.actor(actor).name,
            self.schedule.machine.nodes[int(self.node[actor])].name,
            int(self.tick[actor]) + sample * self.schedule.period,
            float(fate["clean"]),
            None if fate["absent"] else float(fate["value"]),
        )
