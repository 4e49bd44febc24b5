"""Dense layers, activations, what makes no actors, and merges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from graphsim.frontends.blocks.shape import joined, transposed
from graphsim.frontends.builder import (
    Builder,
    RefusedError,
    Tensor,
    Unary,
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
    steps=True,
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
        return transposed(to, x, [*range(1, len(x.shape)), 0], [x.size])

    return build


# -- neurons --------------------------------------------------------------------------------------------------------


@lowers("Dense", "TimeDistributedDense", mask="pass")
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
        return joined(to, xs, at)

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
