"""Arithmetic between tensors, and with constants: one actor per element of the result; shapes broadcast as in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Tensor, Unary
from graphsim.graph import Axis, Ref

FloatArray = npt.NDArray[np.float32]
Observes = Literal["", "pre", "output"]
#: What element-by-element arithmetic there is, by the op of its actors.
Operation = Literal["sum", "subtract", "product", "divide", "max", "min", "mean"]


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all of these broadcast to.

    Raises:
        RefusedError: there is none.
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise RefusedError(f"its inputs of shapes {', '.join(map(str, shapes))} do not fit") from None


def unary(to: Builder, x: Tensor, function: Unary, *, suffix: str = "", observes: Observes = "output") -> Tensor:
    """A function of each element."""
    y = to.group("sum", x.shape, suffix=suffix, activation=function, observes=observes)
    to.one_to_one(x, y)
    return y


def elementwise(
    to: Builder,
    op: Operation,
    xs: Sequence[Tensor],
    *,
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observes = "output",
) -> Tensor:
    """An op on corresponding elements, one port per tensor."""
    y = to.group(op, common_shape(*(x.shape for x in xs)), suffix=suffix, activation=activation, observes=observes)
    for port, x in enumerate(xs):
        to.elements(x, y, port)
    return y


def constant(to: Builder, array: FloatArray, shape: Sequence[int], *, suffix: str) -> Tensor:
    """Actors that always fire the same value: those of an array that broadcasts to ``shape``."""
    shape = tuple(shape)
    over = (1,) * (len(shape) - array.ndim) + array.shape
    return to.group("sum", shape, suffix=suffix, params={"bias": to.spread(suffix, lambda of: array, over, shape)})


def with_constant(
    to: Builder,
    op: Operation,
    x: Tensor,
    array: FloatArray,
    *,
    first: bool = True,
    suffix: str = "",
    observes: Observes = "output",
) -> Tensor:
    """An op on a tensor and a constant, which becomes a param; ``first``: the tensor is the first operand."""
    if not np.isfinite(array).all():
        raise RefusedError("its constant is not finite")
    shape = common_shape(x.shape, array.shape)
    if shape != x.shape or op in ("max", "min", "mean") or (op == "divide" and not first):
        other = constant(to, array, shape, suffix=f"{suffix}{'.' if suffix else ''}constant")
        return elementwise(to, op, [x, other] if first else [other, x], suffix=suffix, observes=observes)
    over = (1,) * (len(shape) - array.ndim) + array.shape
    name = f"{suffix}{'/' if suffix else ''}constant"

    def param(made: FloatArray) -> Ref:
        return to.spread(name, lambda of: made, over, shape)

    weight: Ref | None = None
    params: dict[str, Ref | None] = {}
    if op == "sum" or (op == "subtract" and first):
        params["bias"] = param(array if op == "sum" else -array)
    elif op == "subtract":
        params["bias"] = param(array)
        weight = Ref(to.constant("minus_one", np.full(1, -1, np.float32)).param)
    elif op == "product":
        weight = param(array)
    else:
        if not array.all():
            raise RefusedError("it divides by a constant of 0")
        params["divisor"] = param(array)
    y = to.group("linear" if weight else "sum", shape, suffix=suffix, params=params, observes=observes)
    to.one_to_one(x, y, weight=weight)
    return y


class Operand(NamedTuple):
    """A factor of a product of matrices, and which of its two last axes is the rows'."""

    tensor: Tensor
    transposed: bool = False


def matmul(to: Builder, left: Operand, right: Operand, *, suffix: str = "", observes: Observes = "output") -> Tensor:
    """left @ right over the last two axes, the axes before them broadcast: an actor of op ``dot`` per element.

    Raises:
        RefusedError: the shapes do not fit.
    """
    a, b = left.tensor.shape, right.tensor.shape
    if len(a) < 2 or len(b) < 2:
        raise RefusedError(f"it multiplies matrices, and gets shapes {a} and {b}")
    rows, inner = (a[-1], a[-2]) if left.transposed else (a[-2], a[-1])
    also, columns = (b[-1], b[-2]) if right.transposed else (b[-2], b[-1])
    if inner != also:
        raise RefusedError(f"its matrices of shapes {a} and {b} do not fit")
    stack = common_shape(a[:-2], b[:-2])
    y = to.group("dot", (*stack, rows, columns), suffix=suffix, observes=observes)
    count = len(stack)
    for port, (factor, sizes) in enumerate(((left, a), (right, b))):
        outer = (1,) * (count - len(sizes) + 2) + sizes[:-2]
        axes = [Axis(n, m, stride=int(n == m)) for n, m in zip(outer, stack, strict=True)]
        axes += [Axis(rows, rows) if port == 0 else Axis(1, rows, stride=0)]
        axes += [Axis(1, columns, stride=0) if port == 0 else Axis(columns, columns)]
        axes += [Axis(inner, 1, taps=inner)]  # the axis of the sum, which the result does not have
        kept, summed = count + port, count + 2
        last = [summed, kept] if factor.transposed == (port == 0) else [kept, summed]
        rest = count + 1 - port
        to.window(factor.tensor, y, axes, port, order=[*range(count), rest, *last])
    return y


def taken(to: Builder, x: Tensor, ranges: Sequence[range], *, observes: Observes = "output") -> Tensor:
    """The elements of ``x`` in a range of every axis.

    Raises:
        RefusedError: there are none.
    """
    if min(map(len, ranges), default=1) < 1:
        raise RefusedError("it takes no elements")
    if all(r == range(size) for r, size in zip(ranges, x.shape, strict=True)):
        return x
    y = to.group("sum", [len(r) for r in ranges], observes=observes)
    to.window(x, y, [Axis(size, len(r), stride=r.step, pad=-r.start) for r, size in zip(ranges, x.shape, strict=True)])
    return y


def concatenated(to: Builder, xs: Sequence[Tensor], axis: int, *, observes: Observes = "output") -> Tensor:
    """Tensors one behind the other along an axis, one port per tensor.

    Raises:
        RefusedError: the other axes differ.
    """
    shape = list(xs[0].shape)
    if any(len(x.shape) != len(shape) or _others(x.shape, axis) != _others(shape, axis) for x in xs):
        raise RefusedError(
            f"its inputs of shapes {', '.join(str(x.shape) for x in xs)} differ in more than axis {axis}"
        )
    shape[axis] = sum(x.shape[axis] for x in xs)
    y = to.group("sum", shape, observes=observes)
    before = 0
    for port, x in enumerate(xs):
        axes = [Axis(n, m, pad=before if i == axis else 0) for i, (n, m) in enumerate(zip(x.shape, shape, strict=True))]
        to.window(x, y, axes, port)
        before += x.shape[axis]
    return y


def _others(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def folded(
    to: Builder,
    op: Operation,
    x: Tensor,
    axes: Sequence[int],
    *,
    keepdims: bool = False,
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observes = "output",
) -> Tensor:
    """All elements along axes folded to one by an op."""
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    shape = kept if keepdims else [n for i, n in enumerate(x.shape) if i not in axes]
    y = to.group(op, shape, suffix=suffix, activation=activation, observes=observes)
    to.window(x, y, [Axis(n, 1, taps=n) if i in axes else Axis(n, n) for i, n in enumerate(x.shape)])
    return y
