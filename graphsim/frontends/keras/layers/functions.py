"""Operations that are made of others, step by step as Keras computes them with TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphsim.frontends.blocks.arith import Equation, Value, contraction, elementwise, folded, select, unary
from graphsim.frontends.blocks.attention import LEAST, causal, counted, mixed, replaced, scaled, weights_of
from graphsim.frontends.blocks.norm import Statistics, by_statistics, scaled_by_root, standardised
from graphsim.frontends.blocks.reduce import Over, Varying
from graphsim.frontends.blocks.shape import joined
from graphsim.frontends.builder import Builder, FloatArray, RefusedError, Tensor, Unary
from graphsim.frontends.keras.fields import shown
from graphsim.frontends.keras.layers.operations import Bound, Made, operation
from graphsim.graph import Axis
from graphsim.graph.graph import Observed

_ONE, _TWO = np.ones((), np.float32), np.full((), 2, np.float32)


def _tensor(x: Value) -> Tensor:
    """What an operation on a tensor made."""
    assert isinstance(x, Tensor)
    return x


# -- one element at a time ------------------------------------------------------------------------------------------


@operation("Tan")
def tan(to: Builder, of: Bound) -> Made:
    """The sine by the cosine."""
    parts = [unary(to, of.tensor(), Unary(row), suffix=row, observes="") for row in ("sin", "cos")]
    return elementwise(to, "divide", parts)


def _hyperbolic(row: str, op: str) -> None:
    """Half of the sum, or of the difference, of a function of x and of -x."""

    @operation({"expm1": "Sinh", "exp": "Cosh"}[row])
    def build(to: Builder, of: Bound) -> Made:
        x = of.tensor()
        minus = unary(to, x, Unary("negative"), suffix="minus", observes="")
        parts = [
            unary(to, part, Unary(row), suffix=name, observes="") for name, part in (("rising", x), ("falling", minus))
        ]
        twice = elementwise(to, op, parts, suffix="twice", observes="")  # type: ignore[arg-type]
        return elementwise(to, "divide", [twice, _TWO])


_hyperbolic("expm1", "subtract")
_hyperbolic("exp", "sum")


def _logarithm(base: int) -> None:
    """The natural logarithm by that of the base, which Keras rounds to float32."""

    @operation(f"Log{base}")
    def build(to: Builder, of: Bound) -> Made:
        natural = unary(to, of.tensor(), Unary("log"), suffix="natural", observes="")
        return elementwise(to, "divide", [natural, np.full((), math.log(base), np.float32)])


_logarithm(2)
_logarithm(10)


@operation("Exp2")
def exp2(to: Builder, of: Bound) -> Made:
    """2 to the power of x."""
    return elementwise(to, "power", [_TWO, of.tensor()])


@operation("Fabs")
def absolute(to: Builder, of: Bound) -> Made:
    """Without its sign."""
    return unary(to, of.tensor(), Unary("abs"))


# -- two tensors, or a tensor and a constant -------------------------------------------------------------------------


@operation("Fmax", takes="x1 x2")
def fmax(to: Builder, of: Bound) -> Made:
    """The greater one."""
    return elementwise(to, "max", of.operands("x1", "x2"))


@operation("Fmin", takes="x1 x2")
def fmin(to: Builder, of: Bound) -> Made:
    """The smaller one."""
    return elementwise(to, "min", of.operands("x1", "x2"))


@operation("Mod", takes="x1 x2")
def mod(to: Builder, of: Bound) -> Made:
    """What division leaves, of the sign of the divisor: x - floor(x / y) y."""
    left, right = of.operands("x1", "x2")
    floor = elementwise(to, "divide", [left, right], activation=Unary("floor"), suffix="floor", observes="")
    whole = elementwise(to, "product", [floor, right], suffix="whole", observes="")
    return elementwise(to, "subtract", [left, whole])


@operation("Logaddexp", takes="x1 x2")
def logaddexp(to: Builder, of: Bound) -> Made:
    """max(x, y) + log(1 + exp(-|x - y|))."""
    operands = of.operands("x1", "x2")
    greatest = elementwise(to, "max", operands, suffix="max", observes="")
    distance = elementwise(to, "subtract", operands, activation=Unary("abs"), suffix="distance", observes="")
    minus = unary(to, distance, Unary("negative"), suffix="minus", observes="")
    smaller = unary(to, minus, Unary("exp"), suffix="exp", observes="")
    more = unary(to, smaller, Unary("log1p"), suffix="log", observes="")
    return elementwise(to, "sum", [greatest, more])


@operation("Hypot", takes="x1 x2")
def hypot(to: Builder, of: Bound) -> Made:
    """The greater one times the root of 1 and the square of the ratio, as Keras computes it."""
    sizes: list[Value] = [
        unary(to, x, Unary("abs"), suffix=f"size{i}", observes="") if isinstance(x, Tensor) else np.abs(x)
        for i, x in enumerate(of.operands("x1", "x2"))
    ]
    greater = elementwise(to, "max", sizes, suffix="max", observes="")
    smaller = elementwise(to, "min", sizes, suffix="min", observes="")
    divisor = select(to, greater, greater, _ONE, suffix="divisor", observes="")
    ratio = elementwise(to, "divide", [smaller, divisor], suffix="ratio", observes="")
    square = unary(to, ratio, Unary("square"), suffix="square", observes="")
    root = elementwise(to, "sum", [square, _ONE], activation=Unary("sqrt"), suffix="root", observes="")
    return elementwise(to, "product", [greater, root])


@operation("Heaviside", takes="x1 x2")
def heaviside(to: Builder, of: Bound) -> Made:
    """0 below 0, 1 above, the other operand at 0."""
    left, right = of.operands("x1", "x2")
    if not isinstance(left, Tensor):
        raise RefusedError("its first operand is a constant")
    above = unary(to, left, Unary("positive"), suffix="above", observes="")
    return select(to, left, above, right)


# -- along axes -----------------------------------------------------------------------------------------------------


@operation("Logsumexp", takes="x axis keepdims")
def logsumexp(to: Builder, of: Bound) -> Made:
    """The greatest, and the logarithm of the sum of the exponentials of what the others are below it."""
    x = of.tensor()
    axes = of.axes(len(x.shape))
    greatest = folded(to, "max", x, axes, keepdims=True, suffix="max", observes="")
    exp = elementwise(to, "subtract", [x, greatest], activation=Unary("exp"), suffix="exp", observes="")
    log = folded(to, "sum", exp, axes, keepdims=True, activation=Unary("log"), suffix="log", observes="")
    kept = elementwise(to, "sum", [log, greatest])
    return kept if of.flag("keepdims") else kept.reshaped([n for i, n in enumerate(x.shape) if i not in axes])


def _length(to: Builder, x: Tensor, order: float, axes: Sequence[int], keepdims: bool, observes: Observed) -> Tensor:
    """The norm of vectors: the root of the sum of so many-th powers; over several axes that of all their elements."""
    suffix = "" if observes else "norm"
    power = {1.0: Unary("abs"), 2.0: Unary("square")}.get(order)
    if power is None:
        size = unary(to, x, Unary("abs"), suffix="size", observes="")
        terms = unary(to, size, Unary("power", (order,)), suffix="power", observes="")
        root = Unary("power", (float(np.float32(1) / np.float32(order)),))
    else:
        terms = unary(to, x, power, suffix="power", observes="")
        root = Unary("linear") if order == 1 else Unary("sqrt")
    return folded(to, "sum", terms, axes, keepdims=keepdims, activation=root, suffix=suffix, observes=observes)


@operation("Norm", takes="x ord axis keepdims")
def norm(to: Builder, of: Bound) -> Made:
    """The norm of vectors, or of matrices over all their elements."""
    x = of.tensor()
    axes, order = of.axes(len(x.shape)), of.get("ord", 2)
    if (len(axes) > 1 and order != "fro" and of.get("ord") is not None) or (len(axes) == 1 and order == "fro"):
        raise RefusedError(f"its norm {shown(order)} over {len(axes)} axes is not lowered")
    number = 2.0 if order == "fro" else of.number("ord", 2.0)
    if number <= 0:
        raise RefusedError(f"its norm {shown(order)} is not lowered; positive numbers are")
    return _length(to, x, number, axes, of.flag("keepdims"), "output")


@operation("Normalize", takes="x axis order epsilon")
def normalize(to: Builder, of: Bound) -> Made:
    """By the norm along axes, or by epsilon where that is greater."""
    x = of.tensor()
    axes = of.axes(len(x.shape)) if of.get("axis") is not None else [len(x.shape) - 1]
    order, epsilon = of.number("order", 2), of.number("epsilon", 1e-7)
    if order < 1 or epsilon <= 0:
        raise RefusedError(f"its order is {order:g}, its epsilon {epsilon:g}; numbers above 0 are lowered")
    if order == 2:
        square = unary(to, x, Unary("square"), suffix="square", observes="")
        inverse = folded(
            to, "sum", square, axes, keepdims=True, activation=Unary("rsqrt"), suffix="inverse", observes=""
        )
        most = np.full((), 1 / epsilon, np.float32)
        return elementwise(to, "product", [x, elementwise(to, "min", [inverse, most], suffix="least", observes="")])
    length = _length(to, x, order, axes, True, "")
    return elementwise(
        to,
        "divide",
        [x, elementwise(to, "max", [length, np.full((), epsilon, np.float32)], suffix="least", observes="")],
    )


@operation("Average", takes="x axis weights")
def average(to: Builder, of: Bound) -> Made:
    """The mean."""
    if of.get("weights") is not None:
        raise RefusedError("its elements have weights")
    x = of.tensor()
    return folded(to, "mean", x, of.axes(len(x.shape)))


@operation("Cumprod", takes="x axis dtype")
def cumprod(to: Builder, of: Bound) -> Made:
    """Each element and those before it, multiplied."""
    x = of.tensor()
    at = of.axis(len(x.shape))
    y = to.group("product", x.shape, observes="output")
    to.window(x, y, [Axis(n, n, taps=n, pad=n - 1) if i == at else Axis(n, n) for i, n in enumerate(x.shape)])
    return y


@operation("Moments", takes="x axes keepdims synchronized")
def moments(to: Builder, of: Bound) -> Made:
    """Mean and variance."""
    x = of.tensor()
    axes, keepdims = of.axes(len(x.shape), "axes"), of.flag("keepdims")
    mean = folded(to, "mean", x, axes, keepdims=True, suffix="mean", observes="output")
    square = elementwise(to, "subtract", [x, mean], activation=Unary("square"), suffix="square", observes="")
    spread = folded(to, "mean", square, axes, keepdims=True, suffix="var", observes="output:1")
    kept = [n for i, n in enumerate(x.shape) if i not in axes]
    return [part if keepdims else part.reshaped(kept) for part in (mean, spread)]


# -- normalisation and attention ------------------------------------------------------------------------------------

#: Where an operation does not state its epsilon (``keras.config.epsilon()``).
_EPSILON = 1e-7


def _constant(of: Bound, name: str, shape: Sequence[int]) -> FloatArray | None:
    """A constant of that shape, or None where it is not given."""
    value = of.get(name)
    if value is None:
        return None
    if isinstance(value, Tensor):
        raise RefusedError(f"its {name} is another tensor; constants are lowered")
    array = of.operand(value, name)
    assert not isinstance(array, Tensor)
    if array.shape != tuple(shape):
        raise RefusedError(f"its {name} has shape {array.shape}; it should have {tuple(shape)}")
    return array


@operation("BatchNorm", takes="x mean variance axis offset scale epsilon")
def batch_norm(to: Builder, of: Bound) -> Made:
    """By statistics that are constants."""
    x, at = of.tensor(), of.axis(len(of.tensor().shape))
    mean, variance, beta, gamma = (
        _constant(of, name, [x.shape[at]]) for name in ("mean", "variance", "offset", "scale")
    )
    if mean is None or variance is None:
        raise RefusedError("its mean or its variance is missing")
    found = Statistics(gamma, beta, mean, variance)
    return by_statistics(to, x, at, lambda of: found, of.number("epsilon", 1e-3))


def _normalised(of: Bound) -> tuple[Tensor, list[int], Over]:
    x = of.tensor()
    axes = of.axes(len(x.shape)) if of.get("axis") is not None else [len(x.shape) - 1]
    return x, axes, Over(x.shape, frozenset(axes))


@operation("LayerNorm", takes="x gamma beta axis epsilon rms_scaling")
def layer_norm(to: Builder, of: Bound) -> Made:
    """Mean 0 and variance 1 along axes, then times a constant gamma, plus a constant beta."""
    x, axes, over = _normalised(of)
    if of.flag("rms_scaling"):
        raise RefusedError("it scales by the root of a variance (rms_scaling); the layer LayerNormalization is lowered")
    shape = [x.shape[axis] for axis in axes]
    gamma, beta = (_constant(of, name, shape) for name in ("gamma", "beta"))
    varying = [n if i in axes else 1 for i, n in enumerate(x.shape)]
    scale = None if gamma is None else Varying(to.constant("gamma", gamma), tuple(axes))
    offset = None if beta is None else to.spread("beta", lambda of: beta, varying, x.shape)
    return standardised(to, x, over, of.number("epsilon", _EPSILON), scale, offset)


@operation("RMSNorm", takes="x scale axis epsilon")
def rms_norm(to: Builder, of: Bound) -> Made:
    """Mean square 1 along axes, then times a constant scale."""
    x, axes, over = _normalised(of)
    if of.get("scale") is not None and axes != [len(x.shape) - 1]:
        raise RefusedError("it has a scale along other axes than the last")
    scale = _constant(of, "scale", [x.shape[axis] for axis in axes])
    varying = None if scale is None else Varying(to.constant("scale", scale), tuple(axes))
    return scaled_by_root(to, x, over, of.number("epsilon", _EPSILON), varying, centred=False)


@operation(
    "DotProductAttention",
    takes="query key value bias mask scale is_causal flash_attention attn_logits_soft_cap",
)
def dot_product_attention(to: Builder, of: Bound) -> Made:
    """Queries, keys and values (steps, heads, features): values weighted by the softmax of scores, head by head."""
    query, key, value = (of.tensor(name) for name in ("query", "key", "value"))
    shapes = ", ".join(str(x.shape) for x in (query, key, value))
    fits = all(len(x.shape) == 3 for x in (query, key, value)) and query.shape[1:] == key.shape[1:]
    if not fits or value.shape[:2] != key.shape[:2]:
        raise RefusedError(f"its inputs have shapes {shapes}; steps, heads and features that fit are lowered")
    if of.get("bias") is not None or of.get("flash_attention"):
        raise RefusedError("it has a bias, or asks for flash attention")
    scores = contraction(to, Equation("tnh", "snh", "nts"), query, key, suffix="scores", observes="")
    factor = of.number("scale", float(np.float32(1) / np.sqrt(np.float32(key.shape[-1]))))
    scores = scaled(to, scores, factor, "scaled")
    masks = []
    if of.get("mask") is not None:
        mask = of.tensor("mask")
        if len(mask.shape) != 3 or any(n not in (1, m) for n, m in zip(mask.shape, scores.shape, strict=True)):
            raise RefusedError(f"its mask has shape {mask.shape}; it should fit {scores.shape}")
        masks.append(mask)
    static = causal(query.shape[0], key.shape[0]) if of.flag("is_causal") else None
    scores = replaced(to, scores, counted(to, masks, static), LEAST)
    return mixed(to, weights_of(to, scores, [2]), value, Equation("nts", "snh", "tnh"), observes="output")


# -- TensorFlow's alone ---------------------------------------------------------------------------------------------


@operation("SquaredDifference", takes="x1 x2")
def squared_difference(to: Builder, of: Bound) -> Made:
    """The square of the difference."""
    return elementwise(to, "subtract", of.operands("x1", "x2"), activation=Unary("square"))


@operation("AddN", takes="xs")
def add_n(to: Builder, of: Bound) -> Made:
    """The sum of several."""
    return elementwise(to, "sum", of.tensors("xs"))


@operation("L2Normalize", takes="x axis epsilon")
def l2_normalize(to: Builder, of: Bound) -> Made:
    """By the root of the sum of squares, or of epsilon where that is greater."""
    x = of.tensor()
    square = unary(to, x, Unary("square"), suffix="square", observes="")
    total = folded(to, "sum", square, of.axes(len(x.shape)), keepdims=True, suffix="sum", observes="")
    most = np.full((), of.number("epsilon", 1e-12), np.float32)
    inverse = elementwise(to, "max", [total, most], activation=Unary("rsqrt"), suffix="inverse", observes="")
    return elementwise(to, "product", [x, inverse])


@operation("Crelu", takes="x axis")
def crelu(to: Builder, of: Bound) -> Made:
    """What is above 0, and behind it what is below, without its sign."""
    x = of.tensor()
    minus = unary(to, x, Unary("negative"), suffix="minus", observes="")
    parts = [unary(to, y, Unary("relu"), suffix=name, observes="") for y, name in ((x, "above"), (minus, "below"))]
    return joined(to, parts, of.axis(len(x.shape), default=-1))
