"""What moves elements: padding, cropping, repeating, transposing. Actors that pass their one input on."""

from __future__ import annotations

from collections.abc import Sequence

from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.graph import Axis


def moved(to: Builder, x: Tensor, axes: Sequence[Axis], order: Sequence[int] = ()) -> Tensor:
    """One edge, or none and the value 0, to every element; ``order`` of the axes in ``x``, see the window bundle."""
    y = to.group("sum", [axis.consumers for axis in axes], observes="output")
    to.window(x, y, axes, order=order)
    return y


def transposed(to: Builder, x: Tensor, axes: Sequence[int]) -> Tensor:
    """Axis number i of the output is axis number ``axes[i]`` of ``x``."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return moved(to, x, [Axis(x.shape[axis], x.shape[axis]) for axis in axes], order)


def repeated(size: int, times: int) -> Axis:
    """Every element so many times, one after the other.

    The one position p with o - times < p <= o that ``times`` divides is that of element o // times.
    """
    return Axis(size, size * times, times, base=times, pad=times - 1)


def widened(size: int, before: int, after: int) -> Axis:
    """An axis with so many zeros before and after; negative numbers crop.

    Raises:
        RefusedError: nothing is left.
    """
    if size + before + after < 1:
        raise RefusedError(f"it crops {-before} and {-after} elements off an axis of {size}")
    return Axis(size, size + before + after, pad=before)
