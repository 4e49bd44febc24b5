"""What a net that calculates answered, in the terms of arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from graphsim.compare.result import Comparison
from graphsim.datasets.arithmetic import (
    OPERATIONS,
    CalculationDataset,
    Calculations,
    Encoding,
    Integers,
    from_bits,
)
from graphsim.errors import DatasetError
from graphsim.graph import Graph
from graphsim.simulate.engine import Engine, Progress, Run, output_groups

if TYPE_CHECKING:
    from graphsim.compare.reference import TensorFlowReference

PART = 1 << 15
"""Calculations that are run at a time where only results are kept."""


@dataclass(frozen=True)
class Tally:
    """How many calculations of one operation there were, and how many of them graphsim and the reference had right."""

    operation: str
    samples: int
    right: int
    reference_right: int | None

    def __str__(self) -> str:
        """E.g. ``OP*: Ok: 82, Error: 18 -> 82.0%``, then the reference's where there is one."""
        own = f"OP{self.operation}: {_counts(self.right, self.samples)}"
        if self.reference_right is None:
            return own
        return f"{own}   reference: {_counts(self.reference_right, self.samples)}"


def _counts(right: int, samples: int) -> str:
    wrong = samples - right
    # 100.0 % is said only where nothing is wrong.
    share = min(round(100 * right / samples, 3), 99.999) if wrong else 100.0
    text = f"{share:.1f}" if round(share, 1) == share or share < 99.9 else f"{share:.3f}"
    return f"Ok: {right}, Error: {wrong} -> {text}%"


@dataclass(frozen=True)
class Answers:
    """What came out of a graph for each calculation, and out of the reference.

    Attributes:
        calculations: what was asked.
        found: int64 (N,): the simulated graph's results.
        reference: int64 (N,): the reference's; None without one.
        is_exhaustive: whether these are all valid calculations there are.
    """

    calculations: Calculations
    found: Integers
    reference: Integers | None
    is_exhaustive: bool = False

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which results are right."""
        return np.equal(self.found, self.calculations.results)

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """One per operation that occurs, in the order of the codes."""
        codes = self.calculations.operation
        theirs = None if self.reference is None else self.reference == self.calculations.results
        return tuple(
            Tally(
                OPERATIONS[code],
                int(np.count_nonzero(codes == code)),
                int(np.count_nonzero(self.right[codes == code])),
                None if theirs is None else int(np.count_nonzero(theirs[codes == code])),
            )
            for code in np.unique(codes).tolist()
        )

    @property
    def accuracy(self) -> float | None:
        """Share of right results; None where nothing was asked."""
        return float(np.mean(self.right)) if len(self.found) else None

    @property
    def reference_accuracy(self) -> float | None:
        """The reference's."""
        if self.reference is None or not len(self.found):
            return None
        return float(np.mean(self.reference == self.calculations.results))

    def line(self, index: int) -> str:
        """E.g. ``31720 / 4697 = 6 == 6: OK``; the right result comes second, and both in binary where they differ."""
        asked, found = self.calculations, int(self.found[index])
        expected = int(asked.results[index])
        sum_ = f"{asked.a[index]} {OPERATIONS[int(asked.operation[index])]} {asked.b[index]}"
        if found == expected:
            return f"{sum_} = {found} == {expected}: OK"
        width = asked.encoding.outputs
        return f"{sum_} = {found} != {expected}: ERROR\n  expected {expected:0{width}b}\n  actual   {found:0{width}b}"

    def shown(self, limit: int) -> list[str]:
        """Lines of ``limit`` calculations at most, and of further wrong ones, again ``limit`` at most.

        They are the first ones; of all calculations that there are, some that lie evenly apart.
        """
        count = min(limit, len(self.found))
        some = np.linspace(0, len(self.found) - 1, count).astype(np.int64) if self.is_exhaustive else np.arange(count)
        wrong = np.setdiff1d(np.flatnonzero(~self.right), some)[:limit]
        return [self.line(int(index)) for index in (*some, *wrong)]

    def record(self) -> dict[str, Any]:
        """The key ``accuracy`` of a document."""
        return {
            "graphsim": self.accuracy,
            "reference": self.reference_accuracy,
            "samples": len(self.found),
            "exhaustive": self.is_exhaustive,
            "wrong": int(np.count_nonzero(~self.right)),
            "per_operation": {
                tally.operation: {
                    "graphsim": tally.right / tally.samples,
                    "reference": None if tally.reference_right is None else tally.reference_right / tally.samples,
                    "samples": tally.samples,
                    "ok": tally.right,
                    "error": tally.samples - tally.right,
                }
                for tally in self.tallies
            },
        }


def result_group(graph: Graph, dataset: CalculationDataset) -> str:
    """The group of which each actor is one bit of the result.

    Raises:
        DatasetError: the graph has several outputs, or not as many bits as results of this dataset have.
    """
    names = output_groups(graph)
    size = graph.groups[graph.number[names[0]]].size
    bits = dataset.calculations.bits
    wanted = Encoding(bits).outputs
    if len(names) != 1 or size != wanted:
        has = f"{len(names)} outputs" if len(names) != 1 else f"an output of {size} bits"
        raise DatasetError(f"{graph.name} has {has}; results of dataset alu with --bits {bits} have {wanted} bits")
    return names[0]


def answers_of_run(
    graph: Graph, dataset: CalculationDataset, run: Run, comparison: Comparison | None = None
) -> Answers:
    """Read the results off a run over a dataset, and off what it was compared with."""
    output = result_group(graph, dataset)
    theirs = None if comparison is None else comparison.reference_outputs.get(output)
    found = from_bits(run.values[output].reshape(run.samples, -1))
    return Answers(dataset.calculations, found, None if theirs is None else from_bits(theirs), dataset.split == "all")


def answer(
    engine: Engine,
    graph: Graph,
    dataset: CalculationDataset,
    reference: TensorFlowReference | None = None,
    progress: Progress | None = None,
) -> Answers:
    """Run a dataset of any size for its results alone, a part at a time, and the reference on the same parts."""
    output = result_group(graph, dataset)
    found, theirs = [], []
    for start in range(0, len(dataset), PART):
        part = dataset[start : start + PART]
        run = engine.run(part.inputs, keep="outputs")
        found.append(from_bits(run.values[output].reshape(len(part), -1)))
        if reference is not None:
            theirs.append(from_bits(reference.predict(part.inputs)[0]))
        if progress is not None:
            progress(start + len(part))
    together = np.concatenate(theirs) if theirs else None
    return Answers(dataset.calculations, np.concatenate(found), together, dataset.split == "all")
