"""Arithmetic of tensors and constants: one actor per element of the result; shapes broadcast as in NumPy."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from graphsim.frontends.builder import LINEAR, Builder, FloatArray, RefusedError, Stored, Tensor, Unary, Weight
from graphsim.graph import Axis, Ref
from graphsim.graph.graph import Observed

#: What element-by-element arithmetic there is, by the op of its actors.
Operation = Literal["sum", "subtract", "product", "divide", "power", "max", "min", "mean"]
#: What it is done on.
Value = Tensor | FloatArray


def common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all of these broadcast to.

    Raises:
        RefusedError: there is none.
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise RefusedError(f"its inputs of shapes {', '.join(map(str, shapes))} do not fit") from None


def unary(to: Builder, x: Tensor, function: Unary, *, suffix: str = "", observes: Observed = "output") -> Tensor:
    """A function of each element."""
    y = to.group("sum", x.shape, suffix=suffix, activation=function, observes=observes)
    to.one_to_one(x, y)
    return y


def elementwise(
    to: Builder,
    op: Operation,
    operands: Sequence[Value],
    *,
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observed = "output",
) -> Tensor:
    """An op on corresponding elements, one port per operand; a constant beside one tensor becomes a param.

    Raises:
        RefusedError: the shapes do not fit, or a constant is not finite, or divides by 0.
    """
    if len(operands) == 2:
        left, right = operands
        if isinstance(left, Tensor) and not isinstance(right, Tensor):
            return with_constant(to, op, left, right, activation=activation, suffix=suffix, observes=observes)
        if isinstance(right, Tensor) and not isinstance(left, Tensor):
            return with_constant(
                to, op, right, left, first=False, activation=activation, suffix=suffix, observes=observes
            )
    return _ported(to, op, operands, activation, suffix, observes)


def select(
    to: Builder, chosen: Value, one: Value, other: Value, *, suffix: str = "", observes: Observed = "output"
) -> Tensor:
    """``one`` where ``chosen`` is not 0, else ``other``.

    Raises:
        RefusedError: the shapes do not fit, or a constant is not finite.
    """
    return _ported(to, "select", (chosen, one, other), LINEAR, suffix, observes)


def _ported(
    to: Builder, op: str, operands: Sequence[Value], activation: Unary, suffix: str, observes: Observed
) -> Tensor:
    """A group with a port for every operand; constants are actors."""
    shape = common_shape(*(x.shape for x in operands))
    xs = [
        x if isinstance(x, Tensor) else constant(to, x, x.shape, suffix=_within(suffix, f"constant{number}"))
        for number, x in enumerate(operands)
    ]
    y = to.group(op, shape, suffix=suffix, activation=activation, observes=observes)
    for port, x in enumerate(xs):
        to.elements(x, y, port)
    return y


def _within(suffix: str, name: str) -> str:
    return f"{suffix}.{name}" if suffix else name


def constant(to: Builder, array: FloatArray, shape: Sequence[int], *, suffix: str) -> Tensor:
    """Actors that always fire the same value: those of an array that broadcasts to ``shape``.

    Raises:
        RefusedError: it is not finite.
    """
    if not np.isfinite(array).all():
        raise RefusedError("its constant is not finite")
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
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observed = "output",
) -> Tensor:
    """An op on a tensor and a constant, which becomes a param; ``first``: the tensor is the first operand."""
    if not np.isfinite(array).all():
        raise RefusedError("its constant is not finite")
    shape = common_shape(x.shape, array.shape)
    if shape != x.shape or op in ("max", "min", "mean", "power") or (op == "divide" and not first):
        return _ported(to, op, [x, array] if first else [array, x], activation, suffix, observes)
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
    y = to.group(
        "linear" if weight else "sum", shape, suffix=suffix, activation=activation, params=params, observes=observes
    )
    to.one_to_one(x, y, weight=weight)
    return y


# -- sums of products -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Equation:
    """A sum of products as ``numpy.einsum`` writes it, without the batch: letters of the operands and of the result.

    Letters of both operands that the result lacks are summed over, in the order of the left operand.
    """

    left: str
    right: str
    result: str

    @property
    def summed(self) -> str:
        """Letters that are summed over."""
        return "".join(letter for letter in self.left if letter not in self.result)

    def sizes(self, left: Sequence[int], right: Sequence[int]) -> dict[str, int]:
        """The extent of every letter; an operand may have 1 where the other has more.

        Raises:
            RefusedError: the letters do not fit the shapes, or each other.
        """
        if len(self.left) != len(left) or len(self.right) != len(right):
            raise RefusedError(f"it multiplies tensors of shapes {tuple(left)} and {tuple(right)}, which do not fit")
        found: dict[str, int] = {}
        for letters, shape in ((self.left, left), (self.right, right)):
            if len(set(letters)) != len(letters):
                raise RefusedError("it takes a diagonal")
            for letter, size in zip(letters, shape, strict=True):
                if 1 not in (size, found.get(letter, 1)) and size != found[letter]:
                    raise RefusedError(
                        f"it multiplies tensors of shapes {tuple(left)} and {tuple(right)}, which do not fit"
                    )
                found[letter] = max(size, found.get(letter, 1))
        once = {letter for letter in found if (letter in self.left) != (letter in self.right)}
        if len(set(self.result)) != len(self.result) or not set(self.result) <= set(found):
            raise RefusedError(f"it makes {self.result!r}, which its operands do not give")
        if once - set(self.result):
            raise RefusedError("it sums over an axis of one operand alone")
        return found


def contraction(
    to: Builder,
    equation: Equation,
    left: Tensor,
    right: Tensor,
    *,
    shape: Sequence[int] | None = None,
    suffix: str = "",
    observes: Observed = "output",
) -> Tensor:
    """A sum of products of two tensors: one ``dot`` actor per element of the result (of ``shape``, where stated).

    Raises:
        RefusedError: the equation does not fit.
    """
    sizes = equation.sizes(left.shape, right.shape)
    out = [sizes[letter] for letter in equation.result]
    y = to.group("dot", out if shape is None else shape, suffix=suffix, observes=observes)
    for port, (x, letters) in enumerate(((left, equation.left), (right, equation.right))):
        axes, order = _operand(equation, dict(zip(letters, x.shape, strict=True)), sizes, letters)
        to.window(x, y, axes, port, order=order)
    return y


def _operand(
    equation: Equation, own: Mapping[str, int], sizes: Mapping[str, int], letters: str
) -> tuple[list[Axis], list[int]]:
    """The axes of a bundle from an operand, those of the result first, and their order in the operand."""
    axes = [
        Axis(own.get(letter, 1), sizes[letter], stride=1 if own.get(letter, 1) == sizes[letter] else 0)
        for letter in equation.result
    ]
    axes += [
        Axis(own[letter], 1, taps=sizes[letter], dilation=1 if own[letter] == sizes[letter] else 0)
        for letter in equation.summed
    ]
    place = {letter: number for number, letter in enumerate(equation.result + equation.summed)}
    order = [place[letter] for letter in letters]
    return axes, order + [number for number in range(len(axes)) if number not in order]


class Operand(NamedTuple):
    """A factor of a product of matrices, and which of its two last axes is the rows'."""

    tensor: Tensor
    transposed: bool = False


def matmul(to: Builder, left: Operand, right: Operand, *, suffix: str = "", observes: Observed = "output") -> Tensor:
    """left @ right over the last two axes, the axes before them broadcast: an actor of op ``dot`` per element.

    Raises:
        RefusedError: the shapes do not fit.
    """
    a, b = left.tensor.shape, right.tensor.shape
    if len(a) < 2 or len(b) < 2:
        raise RefusedError(f"it multiplies matrices, and gets shapes {a} and {b}")
    outer = string.ascii_uppercase[: max(len(a), len(b)) - 2]
    first = outer[len(outer) - len(a) + 2 :] + ("ki" if left.transposed else "ik")
    second = outer[len(outer) - len(b) + 2 :] + ("jk" if right.transposed else "kj")
    equation = Equation(first, second, f"{outer}ij")
    return contraction(to, equation, left.tensor, right.tensor, suffix=suffix, observes=observes)


def weighted(
    to: Builder,
    equation: Equation,
    x: Tensor,
    kernel: Weight | Stored,
    *,
    bias: Ref | None = None,
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observed = "output",
) -> Tensor:
    """A sum of products with a kernel, the right operand: one ``linear`` actor per element of the result.

    Raises:
        RefusedError: the equation does not fit.
    """
    sizes = equation.sizes(x.shape, kernel.shape)
    own = dict(zip(equation.left, x.shape, strict=True))
    if any(own[letter] != sizes[letter] for letter in equation.left) or math.prod(kernel.shape) != math.prod(
        sizes[letter] for letter in equation.right
    ):
        raise RefusedError(f"its kernel of shape {kernel.shape} does not fit an input of shape {x.shape}")
    shape = [sizes[letter] for letter in equation.result]
    y = to.group("linear", shape, suffix=suffix, activation=activation, params={"bias": bias}, observes=observes)
    free = equation.left[: len(equation.left) - len(equation.summed)]
    given = "".join(letter for letter in equation.result if letter not in free)
    if (free + equation.summed, equation.summed + given, free + given) == (
        equation.left,
        equation.right,
        equation.result,
    ):
        rows, columns = (math.prod(sizes[letter] for letter in letters) for letters in (equation.summed, given))
        to.dense(x, y, weight=_matrix(to, kernel, rows, columns), blocks=math.prod(sizes[letter] for letter in free))
        return y
    steps = {letter: math.prod(kernel.shape[i + 1 :]) for i, letter in enumerate(equation.right)}
    axes, order = _operand(equation, own, sizes, equation.left)
    letters = equation.result + equation.summed
    axes = [
        axis._replace(
            weight_consumer=steps.get(letter, 0) if letter in equation.result else 0,
            weight_tap=steps.get(letter, 0) if letter in equation.summed else 0,
        )
        for letter, axis in zip(letters, axes, strict=True)
    ]
    to.window(x, y, axes, order=order, weight=kernel)
    return y


def _matrix(to: Builder, kernel: Weight | Stored, rows: int, columns: int) -> Weight | Stored:
    """A kernel of other axes as a matrix."""
    if kernel.shape == (rows, columns):
        return kernel
    if isinstance(kernel, Weight):
        weight = kernel
        name = to.derive(
            "/".join(filter(None, (weight.part, f"{weight.name}.matrix"))),
            lambda of: of(weight).reshape(rows, columns),
        )
    else:
        known = to.derived[kernel.param][1]
        name = to.derive("matrix.matrix", lambda of: known(of).reshape(rows, columns))
    return Stored(name, (rows, columns))


# -- parts, joints, folds ---------------------------------------------------------------------------------------------


def folded(
    to: Builder,
    op: Operation,
    x: Tensor,
    axes: Sequence[int],
    *,
    keepdims: bool = False,
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observed = "output",
) -> Tensor:
    """All elements along axes folded to one by an op."""
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    shape = kept if keepdims else [n for i, n in enumerate(x.shape) if i not in axes]
    y = to.group(op, shape, suffix=suffix, activation=activation, observes=observes)
    to.window(x, y, [Axis(n, 1, taps=n) if i in axes else Axis(n, n) for i, n in enumerate(x.shape)])
    return y
