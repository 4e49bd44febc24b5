"""Axes in other sizes: straight lines between elements, or the nearest; whole factors need no lists of edges.

As ``tf.image.resize(method="bilinear")`` computes it, which ``keras.ops.image.resize`` calls: element o of the output
lies at (o + 1/2) / factor - 1/2 of the input, between ``left`` and ``right``, and is left + (right - left) share; what
lies beyond an end is the end. Source: ``tensorflow/core/kernels/image/resize_bilinear_op.cc``, the half-pixel scaler,
in float32. An element of an axis of any other size lies at (o + 1/2) scale - 1/2 as well; the nearest to it is that
of number (o + 1/2) scale, rounded down (``resize_nearest_neighbor_op.cc``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from graphsim.errors import ModelError
from graphsim.frontends.blocks.shape import joined, taken
from graphsim.frontends.builder import Builder, FloatArray, Tensor
from graphsim.graph import Axis
from graphsim.graph.graph import Observed

#: How elements of the new size follow from the old.
Method = Literal["bilinear", "nearest"]


def enlarged(to: Builder, x: Tensor, axis: int, times: int, *, suffix: str, observes: Observed = "") -> Tensor:
    """``x`` with ``times`` as many elements along an axis, in one group for the differences and one for the results."""
    size = x.shape[axis]
    parts = [
        [range(n) if i != axis else part for i, n in enumerate(x.shape)]
        for part in (range(1), range(size), range(size - 1, size))
    ]
    with to.within(shows=False):
        wide = joined(to, [taken(to, x, part) for part in parts], axis, suffix=f"{suffix}.ends")
    shape = [n * times if i == axis else n for i, n in enumerate(x.shape)]

    def side(shift: int) -> list[Axis]:
        """Of element o number (o + shift) // times of ``wide``."""
        axes = [Axis(n, n) for n in wide.shape]
        axes[axis] = Axis(size + 2, size * times, times, base=times, pad=times - 1 - shift)
        return axes

    left, right = side(times - times // 2), side(2 * times - times // 2)
    difference = to.group("subtract", shape, suffix=f"{suffix}.difference")
    to.window(wide, difference, right)
    to.window(wide, difference, left, 1)
    y = to.group("linear", shape, suffix=suffix if not observes else "", observes=observes)
    to.window(wide, y, left)
    wrong = to.error(f"{times} times {size} elements lie where rounding decides between which others")
    over = [n if i == axis else 1 for i, n in enumerate(shape)]
    to.one_to_one(
        difference, y, 1, weight=to.spread(f"{suffix}.share", lambda _: _shares(size, times, wrong), over, shape)
    )
    return y


def _shares(size: int, times: int, wrong: ModelError) -> FloatArray:
    """How far each element lies from its left neighbour, float32 (size * times,).

    Raises:
        wrong: rounding puts an element between others than the formula does; no size below 512 was found to.
    """
    o = np.arange(size * times, dtype=np.float32)
    at = (o + np.float32(0.5)) * np.float32(size / (size * times)) - np.float32(0.5)
    below = np.floor(at)
    exact = (2 * np.arange(size * times) + 1 - times) // (2 * times)
    if (below != exact).any():
        raise wrong
    share: FloatArray = (at - below).astype(np.float32)
    return share


def resized(
    to: Builder, x: Tensor, axis: int, size: int, method: Method, *, suffix: str, observes: Observed = ""
) -> Tensor:
    """``x`` with ``size`` elements along an axis: copies, or a group of differences and one of results."""
    shape = [size if i == axis else n for i, n in enumerate(x.shape)]
    old = x.shape[axis]
    scale, half = np.float32(old / size), np.float32(0.5)
    middle = (np.arange(size, dtype=np.float32) + half) * scale

    def elements(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
        chosen = np.clip(numbers.astype(np.intp), 0, old - 1)
        return np.take(np.arange(x.size).reshape(x.shape), chosen, axis=axis)

    if method == "nearest":
        y = to.group("sum", shape, suffix=suffix, observes=observes)
        to.table(x, y, 1, lambda: elements(np.floor(middle)))
        return y
    at = middle - half
    left = np.floor(at)
    name = f"{suffix}.difference" if suffix else "difference"
    difference = to.group("subtract", shape, suffix=name)
    to.table(x, difference, 1, lambda: elements(np.ceil(at)))
    to.table(x, difference, 1, lambda: elements(left), 1)
    y = to.group("linear", shape, suffix=suffix, observes=observes)
    to.table(x, y, 1, lambda: elements(left))
    over = [n if i == axis else 1 for i, n in enumerate(shape)]
    share = to.spread(f"{suffix}.share" if suffix else "share", lambda _: (at - left).astype(np.float32), over, shape)
    to.one_to_one(difference, y, 1, weight=share)
    return y
