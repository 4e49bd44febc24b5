"""Pooling: one actor per output element that folds the elements in its window."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.builder import MAX_LISTED, Builder, RefusedError, Tensor
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


def adaptive(
    to: Builder, x: Tensor, parts: Mapping[int, int], op: Literal["max", "mean"], shape: Sequence[int]
) -> Tensor:
    """So many windows along each of some axes: part i of n is elements floor(i size / n) to ceil((i + 1) size / n).

    Windows that are smaller than others name an element again, with weight 0 for a mean: 1 by their size is the weight.

    Raises:
        RefusedError: there are too many windows to be listed.
    """
    if math.prod(shape) > MAX_LISTED:
        raise RefusedError(f"it makes {math.prod(shape):,} windows, more than graphsim lists")
    chosen, shares = [], []
    for axis, size in enumerate(x.shape):
        count = parts.get(axis, size)
        first = np.arange(count) * size // count
        after = -(-(np.arange(count) + 1) * size // count)
        taps = first[:, None] + np.arange((after - first).max())
        inside = taps < after[:, None]
        chosen.append(np.where(inside, taps, first[:, None]))
        shares.append(inside / (after - first)[:, None])
    fan_in = math.prod(taps.shape[1] for taps in chosen)

    def joined(along: Sequence[npt.NDArray[Any]], by: Callable[[Any, Any], Any]) -> npt.NDArray[Any]:
        """What is along every axis, for every place of the result and every tap."""
        rank, whole = len(along), np.zeros((1,) * 2 * len(along), along[0].dtype)
        for axis, array in enumerate(along):
            here = [1] * 2 * rank
            here[axis], here[rank + axis] = array.shape
            whole = by(whole, array.reshape(here)) if axis else array.reshape(here)
        return whole

    def where() -> npt.NDArray[np.intp]:
        steps = [math.prod(x.shape[axis + 1 :]) for axis in range(len(x.shape))]
        return joined([taps * step for taps, step in zip(chosen, steps, strict=True)], np.add)

    if op == "max":
        y = to.group("max", shape, observes="output")
        to.table(x, y, fan_in, where)
        return y
    y = to.group("linear", shape, extra_roundings=2, observes="output")
    to.table(x, y, fan_in, where, weights=lambda: joined(shares, np.multiply))
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
