"""Operations that put elements in order, or take those that other neurons name."""

from __future__ import annotations

import string

import numpy as np

from graphsim.frontends.blocks.arith import Equation, contraction, elementwise, folded
from graphsim.frontends.blocks.sort import sorted_along
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary
from graphsim.frontends.keras.layers.operations import Bound, Made, operation
from graphsim.graph import Axis


@operation("Sort", takes="x axis descending")
def sort(to: Builder, of: Bound) -> Made:
    """The least first; for TensorFlow the greatest, where it says so."""
    x = of.tensor()
    at = of.axis(len(x.shape), default=-1)
    return sorted_along(to, x, at, x.shape[at], descending=of.flag("descending"))


@operation("Argsort", takes="x axis descending")
def argsort(to: Builder, of: Bound) -> Made:
    """Their numbers, that of the least first; for TensorFlow of the greatest, where it says so."""
    x = of.tensor()
    at = of.axis(len(x.shape), default=-1)
    return sorted_along(to, x, at, x.shape[at], descending=of.flag("descending"), values=None, numbers="output")


@operation("TopK", takes="x k sorted")
def top_k(to: Builder, of: Bound) -> Made:
    """The greatest of the last axis and their numbers, the greatest first."""
    x = of.tensor()
    at = of.axis(len(x.shape), default=-1)
    return sorted_along(to, x, at, of.integer("k"), descending=True, numbers="output:1")


@operation("Median", takes="x axis keepdims")
def median(to: Builder, of: Bound) -> Made:
    """The mean of the one or two in the middle."""
    x, axes = of.tensor(), of.axes(len(of.tensor().shape))
    if len(axes) != 1:
        raise RefusedError(f"it takes the median along {len(axes)} axes; along one it is lowered")
    at = axes[0]
    size = x.shape[at]
    with to.within(shows=False):
        [ordered] = sorted_along(to, x, at, size // 2 + 1, descending=False)
    shape = [n for i, n in enumerate(x.shape) if i != at]
    kept = [1 if i == at else n for i, n in enumerate(x.shape)]
    y = to.group("mean", kept if of.flag("keepdims") else shape, suffix="median", observes="output")
    middle = 2 - size % 2
    first = size // 2 + 1 - middle
    to.window(
        ordered,
        y,
        [Axis(size // 2 + 1, 1, taps=middle, pad=-first) if i == at else Axis(n, n) for i, n in enumerate(x.shape)],
    )
    return y


@operation("TakeAlongAxis", takes="x indices axis")
def take_along_axis(to: Builder, of: Bound) -> Made:
    """The elements of an axis that other neurons name, or constants; negative numbers count from the end."""
    x, rank = of.tensor(), len(of.tensor().shape)
    at = of.axis(rank)
    given = of.get("indices")
    if not isinstance(given, Tensor):
        [numbers] = [item for item in of.operands("x", "indices") if not isinstance(item, Tensor)]
        if numbers.ndim != rank or any(
            n not in (1, m) for i, (n, m) in enumerate(zip(numbers.shape, x.shape, strict=True)) if i != at
        ):
            raise RefusedError(f"it takes elements by numbers of shape {numbers.shape}, of samples of shape {x.shape}")
        if numbers.min(initial=0) < -x.shape[at] or numbers.max(initial=0) >= x.shape[at] or not numbers.size:
            raise RefusedError(f"it takes elements that an axis of {x.shape[at]} does not have")
        chosen = np.broadcast_to(numbers, [numbers.shape[i] if i == at else n for i, n in enumerate(x.shape)])
        where = np.take_along_axis(np.arange(x.size).reshape(x.shape), chosen.astype(np.intp) % x.shape[at], axis=at)
        y = to.group("sum", where.shape, observes="output")
        to.table(x, y, 1, lambda: where)
        return y
    if len(given.shape) != rank:
        raise RefusedError(f"it takes elements by numbers of shape {given.shape}, of samples of shape {x.shape}")
    return _named(to, x, given, at)


@operation("Gather", takes="x indices axis batch_dims")
def gather(to: Builder, of: Bound) -> Made:
    """Of TensorFlow, where batch and more axes are shared: of each sample the elements that neurons name."""
    x, numbers, shared = of.tensor(), of.tensor("indices"), of.integer("batch_dims")
    at = of.axis(len(x.shape), default=shared)
    shared += (len(numbers.shape) + 1) * (shared < 0)
    kept = shared - 1
    if not 0 <= kept <= at < len(x.shape) or x.shape[:kept] != numbers.shape[:kept]:
        raise RefusedError(
            f"it takes elements by numbers of shape {numbers.shape}, of samples of shape {x.shape}, with batch_dims"
            f" {shared} along axis {at + 1}"
        )
    letters = string.ascii_lowercase[: len(x.shape)]
    free = string.ascii_uppercase[: len(numbers.shape) - kept]
    left = letters[:kept] + free
    return _named(to, x, numbers, at, left, letters[:at] + free + letters[at + 1 :])


def _named(
    to: Builder, x: Tensor, numbers: Tensor, at: int, left: str | None = None, result: str | None = None
) -> Tensor:
    """A sum of products: element k of the axis times whether the number is k, or k less the size of the axis.

    ``left`` and ``result`` letter the axes of the numbers and of what is made; those of ``x`` where they are None.
    """
    size, letters = x.shape[at], string.ascii_lowercase[: len(x.shape)]
    own = np.arange(size, dtype=np.float32)
    wide = numbers.reshaped([*numbers.shape, 1])
    parts = [
        elementwise(to, "subtract", [wide, wanted], activation=Unary("zero"), suffix=name, observes="")
        for name, wanted in (("is", own), ("is_from_end", own - np.float32(size)))
    ]
    chosen = elementwise(to, "max", parts, suffix="chosen", observes="")
    left = letters.replace(letters[at], "Z") if left is None else left
    equation = Equation(f"{left}Y", letters.replace(letters[at], "Y"), left if result is None else result)
    return contraction(to, equation, chosen, x)


@operation("Ptp", takes="x axis keepdims")
def spread(to: Builder, of: Bound) -> Made:
    """The greatest less the least."""
    x = of.tensor()
    axes = of.axes(len(x.shape))
    ends = [folded(to, op, x, axes, keepdims=of.flag("keepdims"), suffix=op, observes="") for op in ("max", "min")]
    return elementwise(to, "subtract", ends)
