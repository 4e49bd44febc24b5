"""Operations on real numbers: t = x_0 op x_1 of vectors drawn from a range, what arithmetic modules learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.ranges import Range
from graphsim.datasets.shown import Shown
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


def operation_named(text: str) -> str:
    """The operation of a name.

    Raises:
        UsageError: there is none.
    """
    if text not in OPERATIONS:
        raise UsageError(f"--op {text[:40]!r}: there is {', '.join(OPERATIONS)}")
    return text


@dataclass(frozen=True, repr=False)
class OperationDataset(Shown):
    """Vectors from the test range of a :class:`Range`, and what is right for each.

    Attributes:
        operation: a key of :data:`OPERATIONS`.
        spread: where ``inputs`` are from, and how they are spread there, in words.
        inputs: float32 (N, I), of which columns 0 and 1 count. targets: float64 (N,), of these very inputs.
    """

    operation: str
    spread: str
    seed: int
    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float64]
    name: str = "arithmetic"
    split: str = "test"
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """How they were made."""
        return f"x0 {self.operation} x1, drawn {self.spread}, seed {self.seed}"

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
    x = one.drawn((COUNT if count is None else count, inputs), np.random.default_rng(seed)).astype(np.float32)
    wide = x.astype(np.float64)
    return OperationDataset(operation, one.spread("test"), seed, x, OPERATIONS[operation](wide[:, 0], wide[:, 1]))
