"""Pooling: one actor per output element that folds the elements in its window."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.builder import Builder, Tensor
from graphsim.graph import Axis


def pooling(
    to: Builder,
    x: Tensor,
    axes: Sequence[Axis],
    op: Literal["max", "mean", "min", "sum"],
    shape: Sequence[int] | None = None,
) -> Tensor:
    """Windows over ``x``, one axis for each of its; what lies in the padding does not count (nor does "mean" count it).

    Axes: see :mod:`graphsim.frontends.blocks.spatial`. Their consumers are the output's ``shape`` unless it is stated.
    """
    y = to.group(op, [axis.consumers for axis in axes] if shape is None else shape, observes="output")
    to.window(x, y, axes)
    return y


def masked_mean(to: Builder, x: Tensor, mask: Tensor, steps: int) -> Tensor:
    """The mean along axis number ``steps`` of the elements whose step counts: sum of x mask, by sum of mask."""
    over = Over(x.shape, frozenset([steps]))
    along = [Axis(n, n) if i == steps else Axis(1, n, stride=0) for i, n in enumerate(x.shape)]
    masked = to.group("product", x.shape, suffix="masked")
    to.one_to_one(x, masked)
    to.window(mask, masked, along, 1)
    shape = [n for i, n in enumerate(x.shape) if i != steps]
    total = to.group("sum", shape, suffix="sum")
    over.down(to, masked, total)
    count = to.group("sum", (), suffix="count")
    to.dense(mask, count)
    y = to.group("divide", shape, observes="output")
    to.one_to_one(total, y)
    to.dense(count, y, 1)
    return y


def whole(x: Tensor, reduced: Collection[int]) -> list[Axis]:
    """Axes for :func:`pooling` over all elements along the axes ``reduced``, of which one element stays."""
    return [Axis(size, 1, size) if i in reduced else Axis(size, size) for i, size in enumerate(x.shape)]
