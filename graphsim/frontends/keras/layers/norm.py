"""Normalisation, by constants and by what a sample itself has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphsim.frontends.builder import Builder, Derivation, FloatArray, RefusedError, Tensor, Weight, positive_axis
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.semantics import Semantics

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
