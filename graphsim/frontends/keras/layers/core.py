"""Dense layers, activations, what makes no actors, normalisation by constants, and merges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphsim.frontends.builder import (
    Builder,
    Derivation,
    FloatArray,
    RefusedError,
    Tensor,
    Unary,
    Weight,
    positive_axis,
)
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.config import MAX_AXES
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import RULES, Lowering, Merging, lowers, merges
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Ref

# -- no actors ------------------------------------------------------------------------------------------------------


@lowers(
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    mask="pass",
)
def identity(fields: Fields, semantics: Semantics) -> Lowering:
    """Layers that do something in training only."""
    return lambda to, x: x


@lowers("Reshape")
def reshape(fields: Fields, semantics: Semantics) -> Lowering:
    """The same elements in another shape; one size may be -1."""
    target = fields.items("target_shape")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < -1 or n == 0 for n in target) or target.count(-1) > 1:
        raise fields.error(f"'target_shape' is {shown(target)}; it should be sizes, of which one may be -1")
    if len(target) > MAX_AXES:
        raise fields.error(f"'target_shape' has {len(target)} axes; at most {MAX_AXES} are lowered")

    def build(to: Builder, x: Tensor) -> Tensor:
        known = math.prod(n for n in target if n != -1)
        shape = [x.size // known if n == -1 else n for n in target]
        if math.prod(shape) != x.size:
            raise to.error(f"reshapes {x.shape} to {tuple(target)}, which has another number of elements")
        return x.reshaped(shape)

    return build


@lowers("Flatten")
def flatten(fields: Fields, semantics: Semantics) -> Lowering:
    """All elements along one axis; for channels_first, in the order they would have with the channels last."""
    channels_first = fields.text("data_format", default="channels_last") == "channels_first"

    def build(to: Builder, x: Tensor) -> Tensor:
        if not channels_first or len(x.shape) < 2 or x.shape[0] == 1 or x.size == x.shape[0]:
            return x.reshaped([x.size])
        y = to.group("sum", [x.size], observes="output")
        to.table(x, y, 1, lambda: np.moveaxis(np.arange(x.size).reshape(x.shape), 0, -1))
        return y

    return build


# -- neurons --------------------------------------------------------------------------------------------------------


@lowers("Dense", mask="pass")
def dense(fields: Fields, semantics: Semantics) -> Lowering:
    """activation(x @ kernel + bias) along the last axis."""
    units = fields.size("units", "output_dim")
    has_bias = fields.flag("use_bias", "bias", default=True)
    activation = activations.read(fields, semantics)

    def build(to: Builder, x: Tensor) -> Tensor:
        if not x.shape:
            raise to.error("its input has no axis beside the batch")
        *rows, width = x.shape
        kernel = to.weight("kernel", [width, units])
        bias = Ref(to.weight("bias", [units]).param) if has_bias else None
        shape, params = [*rows, units], {"bias": bias}
        if isinstance(activation, Unary):
            y = to.group("linear", shape, activation=activation, params=params, observes="output")
        else:
            y = to.group("linear", shape, params=params, observes="pre")
        to.dense(x, y, weight=kernel, blocks=math.prod(rows))
        return activations.along(to, y, activation)

    return build


def _activation_layer(class_name: str) -> Callable[[Fields, Semantics], Lowering]:
    """A layer that is an activation, of this class."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        activation = activations.of_layer(class_name, fields, semantics)
        return lambda to, x: activations.apply(to, x, activation)

    return rule


for _name in activations.LAYERS:
    lowers(_name, mask="pass")(_activation_layer(_name))


@lowers("PReLU", mask="pass")
def prelu(fields: Fields, semantics: Semantics) -> Lowering:
    """x above zero, alpha x below, with an alpha per element, shared along ``shared_axes``."""
    shared = fields.find("shared_axes")
    shared = [] if shared is None else shared if isinstance(shared, list) else [shared]

    def build(to: Builder, x: Tensor) -> Tensor:
        axes = {positive_axis(axis, len(x.shape)) for axis in shared}
        over = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
        alpha = to.weight("alpha", over)
        ref = to.spread("alphas", lambda of: of(alpha), over, x.shape)
        y = to.group("sum", x.shape, activation=Unary("leaky_relu"), params={"alpha": ref}, observes="output")
        to.one_to_one(x, y)
        return y

    return build


#: float32 roundings that lie between Keras's batch normalisation and the graph's weight and bias, which were derived in
#: float64 and rounded once. Keras computes inv = gamma * rsqrt(variance + epsilon), then x * inv + (beta - mean * inv).
#: In units of 2^-24, relative to |x inv| + |mean inv| + |beta|: variance + epsilon 1/2 (the root halves it), rsqrt 4
#: (2 ulp; 3 measured), gamma 1, mean * inv 1, beta - that 1, the final sum 1; the weight or bias as stored 1: 9.5.
BATCH_NORM_ROUNDINGS = 10


@lowers("BatchNormalization", mask="pass")
def batch_normalization(fields: Fields, semantics: Semantics) -> Lowering:
    """One actor per element: x weight + bias, both derived from four weights in float64 and rounded once."""
    if fields.integer("mode", default=0) != 0:
        raise RefusedError(f"mode {fields.find('mode')} of Keras 1 normalises by the statistics of the batch")
    axis = fields.find("axis")
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else -1 if axis is None else axis
    if isinstance(axis, list):
        raise RefusedError(f"it normalises over axes {axis} jointly")
    epsilon = fields.number("epsilon", default=1e-3)
    has_scale, has_center = fields.flag("scale", default=True), fields.flag("center", default=True)

    def build(to: Builder, x: Tensor) -> Tensor:
        at = positive_axis(axis, len(x.shape))
        over = [size if i == at else 1 for i, size in enumerate(x.shape)]
        shape = [x.shape[at]]
        gamma = to.weight("gamma", shape) if has_scale else None
        beta = to.weight("beta", shape) if has_center else None
        mean = to.weight("moving_mean", shape, trainable=False)
        variance = to.weight("moving_variance", shape, trainable=False)

        def derive(of: Callable[[Weight], FloatArray]) -> tuple[Any, Any, Any]:
            spread = of(variance).astype(np.float64) + epsilon
            if spread.min() <= 0:
                raise to.error(
                    f"its moving_variance has an element of {of(variance).min()}, whose root cannot be taken"
                )
            scale = (1.0 if gamma is None else of(gamma).astype(np.float64)) / np.sqrt(spread)
            return scale, of(mean) * scale, 0.0 if beta is None else of(beta).astype(np.float64)

        def scale(of: Callable[[Weight], FloatArray]) -> FloatArray:
            return derive(of)[0].astype(np.float32)  # type: ignore[no-any-return]

        def bias(of: Callable[[Weight], FloatArray]) -> FloatArray:
            _, moved, offset = derive(of)
            return (offset - moved).astype(np.float32)  # type: ignore[no-any-return]

        def magnitude(of: Callable[[Weight], FloatArray]) -> FloatArray:
            _, moved, offset = derive(of)
            rounded: FloatArray = (np.abs(offset) + np.abs(moved)).astype(np.float32)
            return np.nextafter(rounded, np.float32(np.inf))

        params = {
            role: to.spread(role, rule, over, x.shape) for role, rule in (("bias", bias), ("magnitude", magnitude))
        }
        y = to.group("linear", x.shape, params=params, extra_roundings=BATCH_NORM_ROUNDINGS, observes="output")
        to.one_to_one(x, y, weight=to.spread("scale", scale, over, x.shape))
        return y

    return build


def _constant(array: FloatArray) -> Derivation:
    return lambda of: array


@lowers("Rescaling")
def rescaling(fields: Fields, semantics: Semantics) -> Lowering:
    """x scale + offset; both are numbers, or arrays that NumPy would broadcast."""
    scale = fields.array("scale")
    offset = fields.array("offset") if fields.find("offset") is not None else np.zeros((), np.float32)

    def build(to: Builder, x: Tensor) -> Tensor:
        refs = []
        for role, array in (("scale", scale), ("offset", offset)):
            over = (1,) * (len(x.shape) - array.ndim) + array.shape
            if len(over) > len(x.shape) or any(n not in (1, size) for n, size in zip(over, x.shape, strict=True)):
                raise to.error(f"its {role} of shape {array.shape} does not fit an input of shape {x.shape}")
            refs.append(to.spread(role, _constant(array), over, x.shape))
        y = to.group("linear", x.shape, params={"bias": refs[1]}, observes="output")
        to.one_to_one(x, y, weight=refs[0])
        return y

    return build


@lowers("Normalization")
def normalization(fields: Fields, semantics: Semantics) -> Lowering:
    """(x - mean) / max(sqrt(variance), 1e-7), or back again where it is inverted; each step rounded as in Keras."""
    axis = fields.data.get("axis", -1)
    axes = [] if axis is None else axis if isinstance(axis, list) else [axis]
    is_inverted = fields.flag("invert", default=False)
    stated = None if fields.find("mean") is None else (fields.array("mean"), fields.array("variance"))

    def build(to: Builder, x: Tensor) -> Tensor:
        kept = sorted({positive_axis(a, len(x.shape)) for a in axes})
        over = [size if i in kept else 1 for i, size in enumerate(x.shape)]
        shape = [x.shape[i] for i in kept]
        if stated is None:
            mean, variance = (to.weight(name, shape, trainable=False) for name in ("mean", "variance"))
            to.weight("count", [], trainable=False)

        def statistic(of: Callable[[Weight], FloatArray], which: int) -> FloatArray:
            if stated is None:
                return of((mean, variance)[which]).reshape(over)
            array = stated[which]
            try:  # from right to left along the axes kept, as Keras aligns them
                return np.broadcast_to(array, shape).reshape(over)
            except ValueError:
                raise to.error(f"its mean and variance have shape {array.shape}; its input needs {shape}") from None

        def deviation(of: Callable[[Weight], FloatArray]) -> FloatArray:
            found = statistic(of, 1)
            if found.min() < 0:
                raise to.error(f"its variance has an element of {found.min()}, whose root cannot be taken")
            return np.maximum(np.sqrt(found), np.float32(1e-7))

        divisor = to.spread("deviation", deviation, over, x.shape)
        if is_inverted:
            bias = to.spread("mean_values", lambda of: statistic(of, 0), over, x.shape)
            y = to.group("linear", x.shape, params={"bias": bias}, observes="output")
            to.one_to_one(x, y, weight=divisor)
        else:
            bias = to.spread("minus_mean", lambda of: -statistic(of, 0), over, x.shape)
            y = to.group("sum", x.shape, params={"bias": bias, "divisor": divisor}, observes="output")
            to.one_to_one(x, y)
        return y

    return build


# -- merges ---------------------------------------------------------------------------------------------------------

_MERGE_OPS = {
    "Add": "sum",
    "Subtract": "subtract",
    "Multiply": "product",
    "Average": "mean",
    "Maximum": "max",
    "Minimum": "min",
}


def _elementwise(op: str) -> Callable[[Fields, Semantics], Merging]:
    """One actor per element, one port per input, inputs broadcast as NumPy does."""

    def rule(fields: Fields, semantics: Semantics) -> Merging:
        def build(to: Builder, xs: Sequence[Tensor]) -> Tensor:
            if op == "subtract" and len(xs) != 2:
                raise to.error(f"subtracts {len(xs)} tensors; it takes two")
            try:
                shape = np.broadcast_shapes(*(x.shape for x in xs))
            except ValueError:
                raise to.error(f"its inputs of shapes {', '.join(str(x.shape) for x in xs)} do not fit") from None
            y = to.group(op, shape, observes="output")
            for port, x in enumerate(xs):
                to.elements(x, y, port)
            return y

        return build

    return rule


for _name, _op in _MERGE_OPS.items():
    merges(_name)(_elementwise(_op))


@merges("Concatenate")
def concatenate(fields: Fields, semantics: Semantics) -> Merging:
    """Actors that pass their one input on; each input tensor is a port that feeds some of them."""
    axis = fields.integer("axis", "concat_axis", default=-1)

    def build(to: Builder, xs: Sequence[Tensor]) -> Tensor:
        rank = len(xs[0].shape)
        at = positive_axis(axis, rank)
        others = {(*x.shape[:at], *x.shape[at + 1 :]) for x in xs}
        if len(others) != 1 or any(len(x.shape) != rank for x in xs):
            raise to.error(f"its inputs of shapes {', '.join(str(x.shape) for x in xs)} differ in more than axis {at}")
        shape = list(xs[0].shape)
        shape[at] = sum(x.shape[at] for x in xs)
        y = to.group("sum", shape, observes="output")
        start = 0
        for port, x in enumerate(xs):

            def index(x: Tensor = x, start: int = start) -> np.ndarray[Any, np.dtype[np.intp]]:
                found = np.full(shape, -1)
                window = tuple(slice(start, start + x.shape[at]) if i == at else slice(None) for i in range(rank))
                found[window] = np.arange(x.size).reshape(x.shape)
                return found.reshape(-1)

            to.csr(x, y, x.size, index, port)
            start += x.shape[at]
        return y

    return build


@merges("Merge")
def merge(fields: Fields, semantics: Semantics) -> Merging:
    """Keras 1's Merge in a functional model: the layer that its mode names."""
    mode = fields.text("mode", default="sum")
    classes = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate"}
    rule = RULES[classes[mode]].many if mode in classes else None
    if rule is None:
        raise RefusedError(f"mode {mode!r} of Keras 1's Merge is not lowered")
    return rule(fields, semantics)
