"""Result: everything that one run produced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from graphsim.schedule.schedule import latency

if TYPE_CHECKING:
    from graphsim.compare.answers import Answers
    from graphsim.compare.result import Comparison
    from graphsim.datasets import Dataset
    from graphsim.datasets.images import ImageDataset
    from graphsim.graph import Graph
    from graphsim.schedule.schedule import Schedule
    from graphsim.schedule.verify import Verdict
    from graphsim.simulate.engine import Run
    from graphsim.simulate.faults.damage import Sweep


@dataclass(frozen=True)
class Result:
    """What was run, and what came out.

    Attributes:
        command: the command line that repeats it.
        model: the model file. graph: lowered from it.
        schedule, verdict: the folding, and what the independent verifier said of it.
        dataset: the samples and labels. run: the values (all groups) and, from engines with a clock, times.
        comparison: with the reference; None when none was asked for.
        seconds: measured wall seconds of each stage (lower, fold, verify, simulate, compare), in order.
        answers: where the dataset is calculations: what came out for each; of all there are, where that was asked for.
        granularity: where neurons were split or scheduled in tiles, measures of that and of whole neurons one by one,
            by name (:mod:`graphsim.report.granularity`).
        faults: what those of a file did to the same samples, where there was one.
    """

    command: str
    model: Path
    graph: Graph
    schedule: Schedule
    verdict: Verdict
    dataset: Dataset
    run: Run
    comparison: Comparison | None
    seconds: dict[str, float]
    answers: Answers | None = None
    faults: Sweep | None = None
    granularity: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def predictions(self) -> npt.NDArray[np.int64] | None:
        """The class each sample was given, int64 (N,): the argmax sink's; None where the graph has no such sink."""
        if len(self.graph.sinks) != 1:
            return None
        sink = self.graph.groups[self.graph.sinks[0]]
        return self.run.values[sink.name][:, 0].astype(np.int64) if sink.op == "argmax" else None

    @cached_property
    def accuracy(self) -> float | None:
        """Share of samples whose class is the label; None without classes or samples."""
        if self.predictions is None or self.dataset.labels is None or self.run.samples == 0:
            return None
        return float(np.mean(self.predictions == self.dataset.labels[: self.run.samples]))

    @cached_property
    def squared_errors(self) -> dict[str, float | None] | None:
        """Of operations on numbers, the mean squared error here, and the reference's; None of other datasets."""
        from graphsim.datasets.operations import OperationDataset

        if not isinstance(self.dataset, OperationDataset):
            return None
        name = self.graph.groups[self.graph.channels_into(self.graph.sinks[0])[0].src].name
        theirs = None if self.comparison is None else self.comparison.reference_outputs.get(name)
        return {
            "graphsim": self.dataset.squared_error(self.run.values[name]),
            "reference": None if theirs is None else self.dataset.squared_error(theirs),
        }

    @property
    def images(self) -> ImageDataset | None:
        """The dataset, where it is one of images."""
        from graphsim.datasets.images import ImageDataset

        return self.dataset if isinstance(self.dataset, ImageDataset) else None

    @cached_property
    def latency_ticks(self) -> int:
        """Ticks from the source to the sink of one sample: measured where the engine has a clock, else scheduled."""
        return self.run.timing.latency if self.measured else latency(self.graph, self.schedule)  # type: ignore[union-attr]

    @property
    def measured(self) -> bool:
        """Whether period and latency were measured from the spacing of outputs, not read from the schedule."""
        return self.run.timing is not None and self.run.timing.period is not None

    @cached_property
    def period_ticks(self) -> Fraction:
        """Ticks per sample in steady state: measured where the engine has a clock and two samples, else scheduled."""
        measured = self.run.timing.period if self.run.timing is not None else None
        return Fraction(self.schedule.period) if measured is None else measured

    @property
    def samples_per_second(self) -> float:
        """Simulated throughput: the machine's clock over the period."""
        return self.schedule.machine.clock_mhz * 1e6 / float(self.period_ticks)
