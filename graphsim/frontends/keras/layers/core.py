"""Dense layers, activations, and what makes no actors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from graphsim.frontends.blocks.arith import constant, elementwise, select
from graphsim.frontends.blocks.shape import transposed
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
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Ref

# -- no actors ------------------------------------------------------------------------------------------------------


@lowers(
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
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

        def build(to: Builder, x: Tensor) -> Tensor:
            if class_name == "Softmax" and x.mask is not None:
                return _masked_softmax(to, x, x.mask, activation, is_added=semantics.major == 2)
            return activations.apply(to, x, activation)

        return build

    return rule


#: What Keras puts in the place of elements that a softmax leaves out, or adds to them.
_LEFT_OUT = -1e9
#: Activations that make nothing but 0 and 1.
_TRUTHS = ("nonnegative", "nonzero", "positive", "zero")


def _masked_softmax(to: Builder, x: Tensor, mask: Tensor, softmax: activations.Activation, *, is_added: bool) -> Tensor:
    """Keras 3 puts a large negative number where the mask is at most 1/2, and 0 into what comes out there; Keras 2 adds
    one (``is_added``), so that where all is masked, it leaves nothing out.
    """
    if len(mask.shape) != len(x.shape):
        raise RefusedError(f"its mask of shape {mask.shape} is not one for every element of shape {x.shape}")
    low = np.full((), _LEFT_OUT, np.float32)
    if is_added:
        with to.within(shows=False):
            left_out = elementwise(to, "subtract", [np.ones((), np.float32), mask], suffix="left_out")
            added = elementwise(to, "product", [left_out, low], suffix="added")
            x = elementwise(to, "sum", [x, added], suffix="kept")
        return activations.apply(to, x, softmax)
    with to.within(shows=False):
        if to.groups[mask.group].activation not in _TRUTHS:
            # As an actor, not a bias: a difference of equal numbers is exactly 0, and there the mask turns.
            half = constant(to, np.full((), 0.5, np.float32), (), suffix="half")
            mask = elementwise(to, "subtract", [mask, half], activation=Unary("positive"), suffix="mask")
        y = activations.apply(to, select(to, mask, x, low, suffix="kept"), softmax)
    shown = select(to, mask, y, np.zeros((), np.float32), suffix="masked")
    return replace(shown, classes=y.classes)


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
