"""Normalisation, by constants and by what a sample itself has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphsim.frontends.blocks.norm import Statistics, by_statistics, scaled_by_root, standardised, unit
from graphsim.frontends.blocks.reduce import Over, Varying
from graphsim.frontends.builder import Builder, Derivation, FloatArray, RefusedError, Tensor, Weight, positive_axis
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Ref


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
        shape = [x.shape[at]]
        gamma = to.weight("gamma", shape) if has_scale else None
        beta = to.weight("beta", shape) if has_center else None
        mean = to.weight("moving_mean", shape, trainable=False)
        variance = to.weight("moving_variance", shape, trainable=False)

        def statistics(of: Callable[[Weight], FloatArray]) -> Statistics:
            return Statistics(
                None if gamma is None else of(gamma), None if beta is None else of(beta), of(mean), of(variance)
            )

        return by_statistics(to, x, at, statistics, epsilon)

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
        if scale.min() > 0 and offset.max() <= 0:  # to 0..1, or to a range around 0
            ends = np.where(offset < 0, -2.0 * offset, 1.0) / scale
            to.expects(x)(0, float(ends.max()), "Rescaling")
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
        say = to.expects(x)
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
            deviations = np.maximum(np.sqrt(found), np.float32(1e-7))
            if not is_inverted:
                centre = statistic(of, 0)
                say(float((centre - 4 * deviations).min()), float((centre + 4 * deviations).max()), "Normalization")
            return deviations

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


# -- by what a sample itself has ------------------------------------------------------------------------------------


def _axes(fields: Fields) -> list[Any]:
    """The axes of a layer's config, one or several, as they are written."""
    axis = fields.find("axis")
    return axis if isinstance(axis, list) and axis else [-1 if axis is None or axis == [] else axis]


class _Learnt:
    """The weights gamma and beta of a normalisation, in the order in which Keras makes them."""

    def __init__(self, fields: Fields) -> None:
        self.has_scale = fields.flag("scale", default=True)
        self.has_center = fields.flag("center", default=True)

    def gamma(self, to: Builder, shape: list[int], axes: list[int], name: str = "gamma") -> Varying | None:
        return Varying(to.weight(name, shape), tuple(axes)) if self.has_scale else None

    def beta(self, to: Builder, shape: list[int], over: list[int], view: Sequence[int]) -> Ref | None:
        if not self.has_center:
            return None
        beta = to.weight("beta", shape)
        return to.spread("betas", lambda of: of(beta), over, view)


@lowers("LayerNormalization", mask="pass")
def layer_normalization(fields: Fields, semantics: Semantics) -> Lowering:
    """Mean 0 and variance 1 along axes, then times gamma, plus beta."""
    axes, learnt = _axes(fields), _Learnt(fields)
    epsilon = fields.number("epsilon", default=1e-3)
    by_root = fields.flag("rms_scaling", default=False)
    if by_root:
        learnt.has_scale = True

    def build(to: Builder, x: Tensor) -> Tensor:
        found = [positive_axis(axis, len(x.shape)) for axis in axes]
        along, shape = sorted(set(found)), [x.shape[axis] for axis in found]
        over = Over(x.shape, frozenset(along))
        gamma = learnt.gamma(to, shape, along)
        if by_root:
            return scaled_by_root(to, x, over, epsilon, gamma, centred=True)
        varying = [n if axis in along else 1 for axis, n in enumerate(x.shape)]
        return standardised(to, x, over, epsilon, gamma, learnt.beta(to, shape, varying, x.shape))

    return build


@lowers("RMSNormalization")
def rms_normalization(fields: Fields, semantics: Semantics) -> Lowering:
    """Mean square 1 along axes, then times scale, which Keras aligns with the last axes, whichever they are."""
    axes, epsilon = _axes(fields), fields.number("epsilon", default=1e-6)

    def build(to: Builder, x: Tensor) -> Tensor:
        along = sorted({positive_axis(axis, len(x.shape)) for axis in axes})
        shape = [x.shape[axis] for axis in along]
        scale = to.weight("scale", shape)
        last = range(len(x.shape) - len(shape), len(x.shape))
        if any(n not in (1, x.shape[axis]) for n, axis in zip(shape, last, strict=True)):
            raise RefusedError(f"its scale of shape {tuple(shape)} does not fit the last axes of {x.shape}")
        varying = tuple(axis for n, axis in zip(shape, last, strict=True) if n > 1)
        return scaled_by_root(to, x, Over(x.shape, frozenset(along)), epsilon, Varying(scale, varying), centred=False)

    return build


@lowers("GroupNormalization", mask="pass")
def group_normalization(fields: Fields, semantics: Semantics) -> Lowering:
    """Mean 0 and variance 1 over all elements of a group of channels, then times gamma, plus beta."""
    groups, axis = fields.integer("groups", default=32), fields.integer("axis", default=-1)
    epsilon, learnt = fields.number("epsilon", default=1e-3), _Learnt(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        at = positive_axis(axis, len(x.shape))
        depth = x.shape[at]
        count = depth if groups == -1 else groups
        if count < 1 or depth % count:
            raise RefusedError(f"its input has {depth} channels, which cannot be divided into {count} groups")
        view = (*x.shape[:at], count, depth // count, *x.shape[at + 1 :])
        over = Over(view, frozenset(i for i in range(len(view)) if i != at))
        gamma = learnt.gamma(to, [depth], [at, at + 1])
        varying = [n if i in (at, at + 1) else 1 for i, n in enumerate(view)]
        return standardised(to, x, over, epsilon, gamma, learnt.beta(to, [depth], varying, view))

    return build


@lowers("UnitNormalization", mask="pass")
def unit_normalization(fields: Fields, semantics: Semantics) -> Lowering:
    """Sum of squares 1 along axes. Keras 2 bounded the sum from below by 1e-12, Keras 3 its root's inverse by 1e12."""
    axes, least = _axes(fields), 1e-12 if semantics.major < 3 else 0.0

    def build(to: Builder, x: Tensor) -> Tensor:
        along = frozenset(positive_axis(axis, len(x.shape)) for axis in axes)
        return unit(to, x, Over(x.shape, along), least=float(np.float32(least)))

    return build
