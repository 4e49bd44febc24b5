"""Rules of ONNX operators that compute element by element, compare, choose, or fold axes; see ``operators``.

Truths are 1 and 0, and integers are float32, exact up to 2**24.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from graphsim.frontends.blocks import arith
from graphsim.frontends.blocks.arith import Equation, Operation
from graphsim.frontends.blocks.shape import moved
from graphsim.frontends.blocks.sort import sorted_along
from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Tensor, Unary
from graphsim.frontends.onnx import folding
from graphsim.frontends.onnx.operators import Call, Value, as_tensor, operator, sample_shape
from graphsim.graph import Axis
from graphsim.graph.graph import Observed

_LARGEST = np.full((), np.finfo(np.float32).max, np.float32)


def operands(call: Call, *numbers: int) -> tuple[list[arith.Value], Callable[[Tensor], Tensor]]:
    """Inputs that NumPy would broadcast, without the batch axis where all have it; and what gives it back to a result.

    Raises:
        RefusedError: one of them is missing, or a constant differs from sample to sample.
    """
    given = [call.values[i] if i < len(call.values) else None for i in numbers or range(len(call.values))]
    if any(value is None for value in given):
        raise RefusedError("one of its inputs is missing")
    values: list[arith.Value] = [
        value if isinstance(value, Tensor) else call.floats(i)
        for i, value in zip(numbers or range(len(given)), given, strict=True)
    ]
    rank = max(len(value.shape) for value in values)
    tensors = [value for value in values if isinstance(value, Tensor)]
    batched = rank > 1 and all(len(x.shape) == rank and x.shape[0] == 1 for x in tensors)
    if not batched or any(len(value.shape) == rank and value.shape[0] != 1 for value in values):
        return values, lambda y: y
    stripped: list[arith.Value] = [
        value.reshape(value.shape[1:])
        if isinstance(value, np.ndarray) and value.ndim == rank
        else value.reshaped(value.shape[1:])
        if isinstance(value, Tensor)
        else value
        for value in values
    ]
    return stripped, lambda y: replace(y, shape=(1, *y.shape))


def _ended(to: Builder, x: Tensor, row: str, suffix: str = "", observed: bool = True) -> Tensor:
    return arith.unary(to, x, Unary(row), suffix=suffix, observes="output" if observed else "")


# -- one element at a time --------------------------------------------------------------------------------------------


@operator("Tan")
def tan(to: Builder, call: Call) -> Sequence[Value]:
    """The sine by the cosine."""
    [x], back = operands(call, 0)
    assert isinstance(x, Tensor)
    return [back(arith.elementwise(to, "divide", [_ended(to, x, row, row, observed=False) for row in ("sin", "cos")]))]


@operator("Sinh", "Cosh")
def hyperbolic(to: Builder, call: Call) -> Sequence[Value]:
    """Half of the difference, or of the sum, of a function of x and of -x."""
    [x], back = operands(call, 0)
    assert isinstance(x, Tensor)
    row, op = ("expm1", "subtract") if call.node.op == "Sinh" else ("exp", "sum")
    minus = _ended(to, x, "negative", "minus", observed=False)
    parts = [_ended(to, part, row, name, observed=False) for name, part in (("rising", x), ("falling", minus))]
    twice = arith.elementwise(to, op, parts, suffix="twice", observes="")  # type: ignore[arg-type]
    return [back(arith.elementwise(to, "divide", [twice, np.full((), 2, np.float32)]))]


@operator("Clip")
def clip(to: Builder, call: Call) -> Sequence[Value]:
    """At least and at most; either may be missing."""
    ends: list[float] = []
    for number, (name, usual) in enumerate((("min", -math.inf), ("max", math.inf)), 1):
        if call.given(number):
            array = call.floats(number)
            if array.size != 1 or math.isnan(float(array.reshape(-1)[0])):
                raise RefusedError(f"its {name} is not one number")
            ends.append(float(array.reshape(-1)[0]))
        else:
            ends.append(float(np.float32(call.node.attributes.get(name, usual))))
    x, back = operands(call, 0)
    y: Value = x[0]
    assert isinstance(y, Tensor)
    least, greatest = (float(np.clip(end, -_LARGEST, _LARGEST)) for end in ends)
    return [back(arith.unary(to, y, Unary("clip", (least, greatest))))]


@operator("IsNaN", "IsInf")
def special(to: Builder, call: Call) -> Sequence[Value]:
    """Whether it is not a number, which is neither at least 0 nor less; or beyond all others."""
    [x], back = operands(call, 0)
    assert isinstance(x, Tensor)
    if call.node.op == "IsInf":
        if not call.integer("detect_positive", 1) or not call.integer("detect_negative", 1):
            raise RefusedError("it tells infinities of one sign")
        size = _ended(to, x, "abs", "size", observed=False)
        return [back(arith.elementwise(to, "subtract", [size, _LARGEST], activation=Unary("positive")))]
    minus = _ended(to, x, "negative", "minus", observed=False)
    sides = [
        _ended(to, x, "nonnegative", "above", observed=False),
        _ended(to, minus, "positive", "below", observed=False),
    ]
    return [back(arith.elementwise(to, "sum", sides, activation=Unary("zero")))]


@operator("Not")
def negation(to: Builder, call: Call) -> Sequence[Value]:
    """1 where it is 0."""
    [x], back = operands(call, 0)
    assert isinstance(x, Tensor)
    return [back(_ended(to, x, "zero"))]


# -- several ----------------------------------------------------------------------------------------------------------

_OPS: dict[str, Operation] = {
    "Add": "sum",
    "Sum": "sum",
    "Sub": "subtract",
    "Mul": "product",
    "Div": "divide",
    "Max": "max",
    "Min": "min",
    "Mean": "mean",
    "Pow": "power",
}


@operator(*_OPS)
def arithmetic(to: Builder, call: Call) -> Sequence[Value]:
    """Element by element, operands broadcast; a constant beside one tensor becomes a param. Integers divide to such."""
    values, back = operands(call)
    op = _OPS[call.node.op]
    if op == "power" and isinstance(values[0], Tensor) and isinstance(values[1], np.ndarray) and values[1].size == 1:
        shape = arith.common_shape(values[0].shape, values[1].shape)
        if shape == values[0].shape:
            return [back(arith.unary(to, values[0], Unary("power", (float(values[1].reshape(-1)[0]),))))]
    if op == "divide" and call.whole:
        return [back(_divided(to, values, "trunc"))]
    return [back(arith.elementwise(to, op, values))]


def _divided(to: Builder, values: Sequence[arith.Value], row: str, suffix: str = "") -> Tensor:
    observes: Observed = "" if suffix else "output"
    return arith.elementwise(to, "divide", values, activation=Unary(row), suffix=suffix, observes=observes)


@operator("Mod")
def mod(to: Builder, call: Call) -> Sequence[Value]:
    """What division leaves: of the sign of the divisor, or, with ``fmod``, of the dividend."""
    values, back = operands(call, 0, 1)
    quotient = _divided(to, values, "trunc" if call.integer("fmod", 0) else "floor", "quotient")
    whole = arith.elementwise(to, "product", [quotient, values[1]], suffix="whole", observes="")
    return [back(arith.elementwise(to, "subtract", [values[0], whole]))]


#: Comparisons: the row that says so of the difference, and whether of the second less the first.
_COMPARISONS = {
    "Equal": ("zero", False),
    "Greater": ("positive", False),
    "GreaterOrEqual": ("nonnegative", False),
    "Less": ("positive", True),
    "LessOrEqual": ("nonnegative", True),
}


@operator(*_COMPARISONS)
def comparison(to: Builder, call: Call) -> Sequence[Value]:
    """Of finite numbers: the difference of two infinite ones is not a number."""
    values, back = operands(call, 0, 1)
    row, is_swapped = _COMPARISONS[call.node.op]
    return [back(arith.elementwise(to, "subtract", values[::-1] if is_swapped else values, activation=Unary(row)))]


@operator("And", "Or", "Xor")
def logic(to: Builder, call: Call) -> Sequence[Value]:
    """Of truths."""
    values, back = operands(call, 0, 1)
    op: Operation = {"And": "product", "Or": "max", "Xor": "subtract"}[call.node.op]  # type: ignore[assignment]
    return [back(arith.elementwise(to, op, values, activation=Unary("nonzero")))]


@operator("Where")
def where(to: Builder, call: Call) -> Sequence[Value]:
    """The second where the first is true, else the third."""
    values, back = operands(call, 0, 1, 2)
    return [back(arith.select(to, *(_finite(value) for value in values)))]


def _finite(value: arith.Value) -> arith.Value:
    """Constants that hide scores, such as -inf, as the largest numbers there are."""
    return value if isinstance(value, Tensor) else np.clip(value, -_LARGEST, _LARGEST)


# -- products ---------------------------------------------------------------------------------------------------------


@operator("Einsum")
def einsum(to: Builder, call: Call) -> Sequence[Value]:
    """A sum of products of two operands."""
    text = str(call.node.attributes.get("equation", "")).replace(" ", "")
    inputs, arrow, result = text.partition("->")
    letters = inputs.split(",")
    if (
        not arrow
        or len(letters) != 2
        or not all(part.isalpha() and part.isascii() for part in (*letters, result or "a"))
    ):
        raise RefusedError(f"its equation is {text!r}; a product of two operands with all letters stated is lowered")
    left, right = (as_tensor(to, call, i) for i in (0, 1))
    return [arith.contraction(to, Equation(letters[0], letters[1], result), left, right)]


# -- along axes -------------------------------------------------------------------------------------------------------

#: Before, and after: what is done with every element, by what they are folded, what is done with the result.
_FOLDS: dict[str, tuple[str, Operation, str]] = {
    "ReduceMean": ("linear", "mean", "linear"),
    "ReduceSum": ("linear", "sum", "linear"),
    "ReduceMax": ("linear", "max", "linear"),
    "ReduceMin": ("linear", "min", "linear"),
    "ReduceProd": ("linear", "product", "linear"),
    "ReduceL1": ("abs", "sum", "linear"),
    "ReduceL2": ("square", "sum", "sqrt"),
    "ReduceSumSquare": ("square", "sum", "linear"),
    "ReduceLogSum": ("linear", "sum", "log"),
}


def reduced_axes(call: Call, rank: int) -> set[int]:
    """Axes of a reduction; all where none are stated.

    Raises:
        RefusedError: they are not axes.
    """
    arrays = [value if isinstance(value, np.ndarray) else None for value in call.values]
    axes = folding.axes_of(call.node.attributes, arrays)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return set()
    return {folding.axis(a, rank) for a in axes} if axes else set(range(rank))


@operator(*_FOLDS)
def reduce(to: Builder, call: Call) -> Sequence[Value]:
    """Over axes."""
    x = call.tensor(0)
    axes = reduced_axes(call, len(x.shape))
    before, op, after = _FOLDS[call.node.op]
    if not axes and before == after == "linear":
        return [x]
    terms = x if before == "linear" else _ended(to, x, before, "terms", observed=False)
    y = arith.folded(to, op, terms, sorted(axes), activation=LINEAR if after == "linear" else Unary(after))
    return [y.reshaped(_kept(call, x, axes))]


def _kept(call: Call, x: Tensor, axes: set[int]) -> list[int]:
    shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
    return shape if call.integer("keepdims", 1) else [n for i, n in enumerate(shape) if i not in axes]


@operator("ReduceLogSumExp")
def log_sum_exp(to: Builder, call: Call) -> Sequence[Value]:
    """The greatest, and the logarithm of the sum of the exponentials of what the others are below it."""
    x = call.tensor(0)
    axes = reduced_axes(call, len(x.shape))
    if not axes:
        return [x]
    at = sorted(axes)
    greatest = arith.folded(to, "max", x, at, keepdims=True, suffix="max", observes="")
    exp = arith.elementwise(to, "subtract", [x, greatest], activation=Unary("exp"), suffix="exp", observes="")
    log = arith.folded(to, "sum", exp, at, keepdims=True, activation=Unary("log"), suffix="log", observes="")
    return [arith.elementwise(to, "sum", [log, greatest]).reshaped(_kept(call, x, axes))]


@operator("LpNormalization")
def lp_normalization(to: Builder, call: Call) -> Sequence[Value]:
    """By the norm along an axis."""
    x, order = call.tensor(0), call.integer("p", 2)
    if order not in (1, 2):
        raise RefusedError(f"its p is {order}; 1 and 2 are lowered")
    at = [call.axis("axis", -1, len(x.shape))]
    terms = _ended(to, x, "abs" if order == 1 else "square", "terms", observed=False)
    root = LINEAR if order == 1 else Unary("sqrt")
    norm = arith.folded(to, "sum", terms, at, keepdims=True, activation=root, suffix="norm", observes="")
    return [arith.elementwise(to, "divide", [x, norm])]


@operator("ArgMax", "ArgMin")
def first_extreme(to: Builder, call: Call) -> Sequence[Value]:
    """The number of the first of the greatest or least elements: the least number of those that equal it."""
    x = call.tensor(0)
    at = call.axis("axis", 0, len(x.shape))
    op: Literal["max", "min"] = "max" if call.node.op == "ArgMax" else "min"
    last = bool(call.integer("select_last_index", 0))
    best = arith.folded(to, op, x, [at], keepdims=True, suffix="best", observes="")
    equal = arith.elementwise(to, "subtract", [x, best], activation=Unary("zero"), suffix="equal", observes="")
    numbers = np.arange(x.shape[at], dtype=np.float32).reshape([n if i == at else 1 for i, n in enumerate(x.shape)])
    none = np.full((), -1 if last else x.shape[at], np.float32)
    chosen = arith.select(to, equal, numbers, none, suffix="number", observes="")
    return [arith.folded(to, "max" if last else "min", chosen, [at]).reshaped(_kept(call, x, {at}))]


@operator("CumSum")
def cumulative_sum(to: Builder, call: Call) -> Sequence[Value]:
    """Each element and those before it, or after it, summed; itself not where it is exclusive."""
    x = call.tensor(0)
    axes = folding.integers(call.constant(1))
    if len(axes) != 1:
        raise RefusedError(f"it sums along {axes}; one axis is lowered")
    at = folding.axis(axes[0], len(x.shape))
    n = x.shape[at]
    without = 1 if call.integer("exclusive", 0) else 0
    along = Axis(n, n, taps=n, pad=-without if call.integer("reverse", 0) else n - 1 + without)
    y = moved(to, x, [along if i == at else Axis(m, m) for i, m in enumerate(x.shape)], shape=sample_shape(x.shape))
    return [replace(y, shape=x.shape)]


@operator("TopK")
def top_k(to: Builder, call: Call) -> Sequence[Value]:
    """The greatest or least of an axis, in order, and their numbers."""
    x = call.tensor(0)
    count = folding.integers(call.constant(1)) if len(call.values) > 1 else [call.integer("k", 0)]
    if len(count) != 1:
        raise RefusedError(f"its number of elements is {count}")
    at = call.axis("axis", -1, len(x.shape))
    descending = bool(call.integer("largest", 1))
    return sorted_along(to, x, at, count[0], descending=descending, numbers="output:1")
