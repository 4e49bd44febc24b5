"""Axes in other sizes by weights of more than two neighbours: cubic, Lanczos, and smoothing where an image shrinks.

As ``tf.image.resize`` computes it. ``bicubic`` without antialias: ``core/kernels/image/resize_bicubic_op.cc`` of
TensorFlow, whose weights are those of 1024 places between two elements, of Keys's kernel with a = -1/2, and whose
sums are made 1 where neighbours are missing. Everything else: ``ScaleAndTranslate`` (``sampling_kernels.h``), with
kernels of Lanczos, of Keys, and a triangle, wider by the factor by which an axis shrinks where it smooths. Weights
are computed in float32 in the order of those files, so that they differ from TensorFlow's by a few roundings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks.shape import moved
from graphsim.frontends.builder import MAX_LISTED, Builder, FloatArray, RefusedError, Tensor
from graphsim.graph import Axis
from graphsim.graph.graph import Observed

Kernel = Literal["bilinear", "bicubic", "lanczos3", "lanczos5"]

#: Kernels that need weights of more than two neighbours, by the names that Keras gives them.
KERNELS: dict[str, Kernel] = {"bicubic": "bicubic", "lanczos3": "lanczos3", "lanczos5": "lanczos5"}
#: Roundings of TensorFlow's weights, relative to them: those of its sines, products and sums of weights.
ROUNDINGS = 32
#: Places between two elements that the bicubic kernel tells apart.
_PLACES = 1024
_RADIUS = {"bilinear": 1.0, "bicubic": 2.0, "lanczos3": 3.0, "lanczos5": 5.0}
_LEAST = np.float32(1000) * np.finfo(np.float32).tiny


def resampled_image(to: Builder, x: Tensor, sizes: Mapping[int, int], kernel: Kernel, *, antialias: bool) -> Tensor:
    """``x`` with other sizes along some axes, one after the other.

    Lanczos weights of an axis whose size stays are not quite 0 and 1 in float32, so that it is computed as well.

    Raises:
        RefusedError: there are too many edges to be listed.
    """
    changed = [axis for axis, size in sizes.items() if x.shape[axis] != size or kernel.startswith("lanczos")]
    if not changed:
        return moved(to, x, [Axis(n, n) for n in x.shape])
    for axis in changed:
        is_last = axis == changed[-1]
        name = "" if is_last else f"axis{axis}"
        observes: Observed = "output" if is_last else ""
        x = resampled(to, x, axis, sizes[axis], kernel, antialias=antialias, suffix=name, observes=observes)
    return x


class Weights(NamedTuple):
    """For every element of the new axis so many elements of the old, and their weights: (size, k) each."""

    taps: npt.NDArray[np.intp]
    shares: FloatArray


def resampled(
    to: Builder,
    x: Tensor,
    axis: int,
    size: int,
    kernel: Kernel,
    *,
    antialias: bool,
    suffix: str,
    observes: Observed = "",
) -> Tensor:
    """``x`` with ``size`` elements along an axis: one ``linear`` actor per element.

    Raises:
        RefusedError: there are too many edges to be listed.
    """
    shape = [size if i == axis else n for i, n in enumerate(x.shape)]
    old = x.shape[axis]
    elements, least = x.size // old * size, min(old, int(2 * _RADIUS[kernel]))
    if elements * least > MAX_LISTED:  # known before any weight is computed
        raise RefusedError(f"it makes {elements:,} elements of {least} others or more, more than graphsim lists")
    found = _cubic(old, size) if kernel == "bicubic" and not antialias else _spans(old, size, kernel, antialias)
    count = found.taps.shape[1]
    y = to.group("linear", shape, suffix=suffix, extra_roundings=ROUNDINGS, observes=observes)

    def where() -> npt.NDArray[np.intp]:
        numbers = np.arange(x.size, dtype=np.intp).reshape(x.shape)
        return np.moveaxis(np.take(numbers, found.taps, axis=axis), axis + 1, -1)

    over = found.shares.reshape([*(size if i == axis else 1 for i in range(len(shape))), count])
    to.table(x, y, count, where, weights=lambda: np.broadcast_to(over, [*shape, count]))
    return y


def _cubic(old: int, new: int) -> Weights:
    """Of ``resize_bicubic``, centres of pixels being half."""
    scale = np.float32(old) / np.float32(new)
    at = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(at)
    place = np.rint((at - below) * np.float32(_PLACES)).astype(np.intp)
    x = np.arange(_PLACES + 1) / _PLACES
    a = -0.5
    near = (((a + 2) * x - (a + 3)) * x * x + 1).astype(np.float32)
    x = x + 1
    far = (((a * x - 5 * a) * x + 8 * a) * x - 4 * a).astype(np.float32)
    shares = np.stack([far[place], near[place], near[_PLACES - place], far[_PLACES - place]], 1)
    taps = below.astype(np.intp)[:, None] + np.arange(-1, 3)
    shares = np.where((taps >= 0) & (taps < old), shares, np.float32(0))
    total = ((shares[:, 0] + shares[:, 1]) + shares[:, 2]) + shares[:, 3]
    shares = shares * (np.float32(1) / total)[:, None]  # the sum is that of two neighbours at least
    return Weights(np.clip(taps, 0, old - 1), shares)


def _spans(old: int, new: int, kernel: Kernel, antialias: bool) -> Weights:
    """Of ``ScaleAndTranslate``."""
    one, half = np.float32(1), np.float32(0.5)
    inverse = one / (np.float32(new) / np.float32(old))
    wide = max(inverse, one) if antialias else one
    narrow, radius = one / wide, np.float32(_RADIUS[kernel])
    at = (np.arange(new, dtype=np.float32) + half) * inverse
    first = np.clip(np.ceil(at - radius * wide - half).astype(np.intp), 0, old - 1)
    last = np.clip(np.floor(at + radius * wide - half).astype(np.intp), 0, old - 1)
    taps = first[:, None] + np.arange((last - first).max() + 1)
    distance = np.abs((taps.astype(np.float32) + half - at[:, None]) * narrow)
    shares = np.where(taps <= last[:, None], _kernel(kernel, distance), np.float32(0))
    total = np.zeros(new, np.float32)
    for number in range(shares.shape[1]):
        total = total + shares[:, number]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(np.abs(total)[:, None] >= _LEAST, shares * (one / total)[:, None], shares)
    return Weights(np.clip(taps, 0, old - 1), shares.astype(np.float32))


def _kernel(kernel: Kernel, x: FloatArray) -> FloatArray:
    """The weight of an element at a distance, float32."""
    one, two = np.float32(1), np.float32(2)
    if kernel == "bilinear":
        line: FloatArray = np.maximum(np.float32(0), one - x).astype(np.float32)
        return line
    if kernel == "bicubic":
        near = ((np.float32(1.5) * x - np.float32(2.5)) * x) * x + one
        far = ((np.float32(-0.5) * x + np.float32(2.5)) * x - np.float32(4)) * x + two
        return np.where(x >= two, np.float32(0), np.where(x >= one, far, near)).astype(np.float32)
    radius = np.float32(_RADIUS[kernel])
    pi = np.float32(np.pi)
    safe = np.where(x <= np.float32(1e-3), one, x)
    wave = radius * np.sin(pi * safe) * np.sin(pi * safe / radius) / (pi * pi * safe * safe)
    return np.where(x > radius, np.float32(0), np.where(x <= np.float32(1e-3), one, wave)).astype(np.float32)
