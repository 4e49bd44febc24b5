"""Pooling: one actor per output element that folds the elements in its window."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

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


def whole(x: Tensor, reduced: Collection[int]) -> list[Axis]:
    """Axes for :func:`pooling` over all elements along the axes ``reduced``, of which one element stays."""
    return [Axis(size, 1, size) if i in reduced else Axis(size, size) for i, size in enumerate(x.shape)]
