"""Operations on real numbers: t = x_0 op x_1 of vectors drawn from a range, what arithmetic modules learn.

The nine ranges, each to train on and another to test on, are those of Mistry, Farrahi and Hare, *Exploring the Learning
Mechanisms of Neural Division Modules* (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError

#: By name; for numbers, arrays and tensors.
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}
#: Squared error, in the mean over a test range, below which a model has solved its operation.
SOLVED = 1e-5
#: Samples, unless another number is asked for.
COUNT = 1000


class Range(NamedTuple):
    """Where inputs come from: intervals (low, high), each as likely as it is long."""

    train: tuple[tuple[float, float], ...]
    test: tuple[tuple[float, float], ...]

    @property
    def name(self) -> str:
        """The training range as people write it: ``[-2,-1]``."""
        return named(self.train)


def named(intervals: tuple[tuple[float, float], ...]) -> str:
    """Intervals as people write them: ``[-6,-2]u[2,6]``."""
    return "u".join(f"[{low:g},{high:g}]" for low, high in intervals)


#: The nine ranges of the division paper.
RANGES = (
    Range(((-20, -10),), ((-40, -20),)),
    Range(((-2, -1),), ((-6, -2),)),
    Range(((-1.2, -1.1),), ((-6.1, -1.2),)),
    Range(((-0.2, -0.1),), ((-2, -0.2),)),
    Range(((-2, 2),), ((-6, -2), (2, 6))),
    Range(((0.1, 0.2),), ((0.2, 2),)),
    Range(((1, 2),), ((2, 6),)),
    Range(((1.1, 1.2),), ((1.2, 6),)),
    Range(((10, 20),), ((20, 40),)),
)


def range_named(text: str) -> Range:
    """The range that trains on an interval, as ``[1,2]``.

    Raises:
        UsageError: there is none.
    """
    try:
        wanted = tuple(float(end) for end in text.strip().removeprefix("[").removesuffix("]").split(","))
    except ValueError:
        wanted = ()
    for one in RANGES:
        if wanted == one.train[0]:
            return one
    raise UsageError(f"--range {text[:40]!r}: there is {', '.join(one.name for one in RANGES)}")


def operation_named(text: str) -> str:
    """The operation of a name.

    Raises:
        UsageError: there is none.
    """
    if text not in OPERATIONS:
        raise UsageError(f"--op {text[:40]!r}: there is {', '.join(OPERATIONS)}")
    return text


@dataclass(frozen=True)
class OperationDataset:
    """Vectors from the test range of a :class:`Range`, and what is right for each.

    Attributes:
        operation: a key of :data:`OPERATIONS`.
        intervals: where ``inputs`` are from.
        inputs: float32 (N, I), of which columns 0 and 1 count. targets: float64 (N,), of these very inputs.
    """

    operation: str
    intervals: tuple[tuple[float, float], ...]
    seed: int
    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float64]
    name: str = "arithmetic"
    split: str = "test"
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """How they were made."""
        return f"x0 {self.operation} x1, drawn evenly from {named(self.intervals)}, seed {self.seed}"

    @property
    def prepared(self) -> str:
        """Nothing was."""
        return "as they are"

    @property
    def labels(self) -> None:
        """There are no classes."""
        return

    def __len__(self) -> int:
        return len(self.inputs)

    def squared_error(self, outputs: npt.NDArray[np.float32]) -> float:
        """The mean squared error of outputs, (N, 1); not a number where some output is none."""
        with np.errstate(all="ignore"):
            return float(np.mean((outputs.reshape(len(outputs), -1)[:, 0] - self.targets[: len(outputs)]) ** 2))


def load_operations(
    operation: str, one: Range, inputs: int = 2, count: int | None = None, seed: int = 0
) -> OperationDataset:
    """Samples from the test range: seeded, generated, never stored.

    Raises:
        UsageError: there is no such operation, or too few inputs.
    """
    operation_named(operation)
    if inputs < 2:
        raise UsageError(f"an operation takes two inputs at least, not {inputs}")
    rng = np.random.default_rng(seed)
    sizes = np.array([high - low for low, high in one.test])
    chosen = rng.choice(len(sizes), (COUNT if count is None else count, inputs), p=sizes / sizes.sum())
    low, high = (np.array([part[end] for part in one.test])[chosen] for end in (0, 1))
    x = rng.uniform(low, high).astype(np.float32)
    wide = x.astype(np.float64)
    return OperationDataset(operation, one.test, seed, x, OPERATIONS[operation](wide[:, 0], wide[:, 1]))
