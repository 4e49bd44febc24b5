"""What moves elements: padding, cropping, repeating, transposing. Actors that pass their one input on."""

from __future__ import annotations

from collections.abc import Sequence

from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.graph import Axis
from graphsim.graph.graph import Observed


def moved(
    to: Builder,
    x: Tensor,
    axes: Sequence[Axis],
    order: Sequence[int] = (),
    shape: Sequence[int] | None = None,
    *,
    suffix: str = "",
    observes: Observed = "output",
) -> Tensor:
    """One edge, or none and the value 0, to every element; ``order`` of the axes in ``x``, see the window bundle.

    The axes' consumers are the output's ``shape`` unless it is stated.
    """
    y = to.group("sum", [axis.consumers for axis in axes] if shape is None else shape, suffix=suffix, observes=observes)
    to.window(x, y, axes, order=order)
    return y


def transposed(to: Builder, x: Tensor, axes: Sequence[int], shape: Sequence[int] | None = None) -> Tensor:
    """Axis number i of the output is axis number ``axes[i]`` of ``x``; or the elements in that order, in ``shape``."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return moved(to, x, [Axis(x.shape[axis], x.shape[axis]) for axis in axes], order, shape)


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


def joined(to: Builder, xs: Sequence[Tensor], axis: int, *, suffix: str = "", observes: Observed = "output") -> Tensor:
    """Tensors one behind the other along an axis; each is a port that feeds its part of the actors.

    Raises:
        RefusedError: they differ in other axes.
    """
    if len({(*x.shape[:axis], *x.shape[axis + 1 :]) for x in xs}) != 1:
        raise RefusedError(
            f"its inputs of shapes {', '.join(str(x.shape) for x in xs)} differ in more than axis {axis}"
        )
    total = sum(x.shape[axis] for x in xs)
    shape = [total if i == axis else n for i, n in enumerate(xs[0].shape)]
    y = to.group("sum", shape, suffix=suffix, observes=observes)
    before = 0
    for port, x in enumerate(xs):
        axes = [Axis(n, m, pad=before if i == axis else 0) for i, (n, m) in enumerate(zip(x.shape, shape, strict=True))]
        to.window(x, y, axes, port)
        before += x.shape[axis]
    return y


def taken(to: Builder, x: Tensor, ranges: Sequence[range]) -> Tensor:
    """The elements of ``x`` in a range of every axis; ``x`` itself where that is all.

    Raises:
        RefusedError: there are none.
    """
    axes = [_ranged(size, part) for size, part in zip(x.shape, ranges, strict=True)]
    return x if all(axis == Axis(n, n) for axis, n in zip(axes, x.shape, strict=True)) else moved(to, x, axes)


def sliced(size: int, part: slice) -> Axis:
    """The elements of an axis that a Python slice takes.

    Raises:
        RefusedError: it takes none.
    """
    return _ranged(size, range(*part.indices(size)))


def _ranged(size: int, part: range) -> Axis:
    if not part:
        raise RefusedError(f"it takes no element of an axis of {size}")
    return Axis(size, len(part), stride=part.step if len(part) > 1 else 1, pad=-part.start)
