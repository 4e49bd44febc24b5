"""Normalisation by the statistics of a sample: one group for every step of the formula, rounded where Keras rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from graphsim.frontends.blocks.reduce import Over, Varying
from graphsim.frontends.builder import Builder, FloatArray, Stored, Tensor, Unary, Weight
from graphsim.graph import Ref
from graphsim.graph.graph import Observed

SQUARE, RSQRT = Unary("square"), Unary("rsqrt")


#: float32 roundings that lie between Keras's batch normalisation and the graph's weight and bias, which were derived in
#: float64 and rounded once. Keras computes inv = gamma * rsqrt(variance + epsilon), then x * inv + (beta - mean * inv).
#: In units of 2^-24, relative to |x inv| + |mean inv| + |beta|: variance + epsilon 1/2 (the root halves it), rsqrt 4
#: (2 ulp; 3 measured), gamma 1, mean * inv 1, beta - that 1, the final sum 1; the weight or bias as stored 1: 9.5.
BATCH_NORM_ROUNDINGS = 10


class Statistics(NamedTuple):
    """What batch normalisation has learnt of every channel, float32; None for a scale of 1 and an offset of 0."""

    gamma: FloatArray | None
    beta: FloatArray | None
    mean: FloatArray
    variance: FloatArray


def by_statistics(
    to: Builder,
    x: Tensor,
    channels: int,
    statistics: Callable[[Callable[[Weight], FloatArray]], Statistics],
    epsilon: float,
) -> Tensor:
    """(x - mean) gamma / sqrt(variance + epsilon) + beta along axis ``channels``, one actor per element.

    As x weight + bias, both derived from the statistics in float64 and rounded once.
    """
    over = [size if i == channels else 1 for i, size in enumerate(x.shape)]

    def derive(of: Callable[[Weight], FloatArray]) -> tuple[Any, Any, Any]:
        found = statistics(of)
        spread = found.variance.astype(np.float64) + epsilon
        if spread.min() <= 0:
            raise to.error(f"its moving_variance has an element of {found.variance.min()}, whose root cannot be taken")
        scale = (1.0 if found.gamma is None else found.gamma.astype(np.float64)) / np.sqrt(spread)
        return scale, found.mean * scale, 0.0 if found.beta is None else found.beta.astype(np.float64)

    def scale(of: Callable[[Weight], FloatArray]) -> FloatArray:
        return derive(of)[0].astype(np.float32)  # type: ignore[no-any-return]

    def bias(of: Callable[[Weight], FloatArray]) -> FloatArray:
        _, moved, offset = derive(of)
        return (offset - moved).astype(np.float32)  # type: ignore[no-any-return]

    def magnitude(of: Callable[[Weight], FloatArray]) -> FloatArray:
        _, moved, offset = derive(of)
        rounded: FloatArray = (np.abs(offset) + np.abs(moved)).astype(np.float32)
        return np.nextafter(rounded, np.float32(np.inf))

    params = {role: to.spread(role, rule, over, x.shape) for role, rule in (("bias", bias), ("magnitude", magnitude))}
    y = to.group("linear", x.shape, params=params, extra_roundings=BATCH_NORM_ROUNDINGS, observes="output")
    to.one_to_one(x, y, weight=to.spread("scale", scale, over, x.shape))
    return y


def mean(to: Builder, x: Tensor, over: Over) -> Tensor:
    """The mean along axes."""
    y = to.group("mean", over.kept, suffix="mean")
    over.down(to, x, y)
    return y


def variance_root(to: Builder, x: Tensor, over: Over, epsilon: Stored, centre: Tensor | None) -> Tensor:
    """1 / sqrt(mean((x - centre)**2) + epsilon), where ``centre`` is the mean, or 0 for None."""
    if centre is None:
        square = to.group("sum", x.shape, suffix="square", activation=SQUARE)
    else:
        square = to.group("subtract", x.shape, suffix="square", activation=SQUARE)
        over.up(to, centre, square, 1)
    to.one_to_one(x, square)
    y = to.group("mean", over.kept, suffix="inverse", activation=RSQRT, params={"bias": Ref(epsilon.param)})
    over.down(to, square, y)
    return y


def standardised(to: Builder, x: Tensor, over: Over, epsilon: float, gamma: Varying | None, beta: Ref | None) -> Tensor:
    """x f + (beta - m f) with f = gamma / sqrt(v + epsilon), m and v the mean and variance along axes.

    As ``keras.ops.layer_normalization`` and Keras's GroupNormalization compute it. ``gamma`` varies along axes of
    ``over.shape``; ``beta`` is by element.
    """
    middle = mean(to, x, over)
    inverse = variance_root(to, x, over, _epsilon(to, epsilon), middle)
    scaled = to.group("product", x.shape, suffix="scaled")
    to.one_to_one(x, scaled)
    over.up(to, inverse, scaled, 1, scale=gamma)
    varying = () if gamma is None else gamma.axes
    shape = [n if i in varying or i not in over.axes else 1 for i, n in enumerate(over.shape)]
    moved = to.group("product", shape, suffix="moved")
    over.up(to, middle, moved, onto=shape)
    over.up(to, inverse, moved, 1, scale=gamma, onto=shape)
    y = to.group("linear", x.shape, params={"bias": beta}, observes="output")
    to.one_to_one(scaled, y)
    minus = to.constant("minus_one", np.array([-1], np.float32))
    over.up(to, moved, y, 1, scale=Varying(minus, ()))
    return y


def scaled_by_root(
    to: Builder, x: Tensor, over: Over, epsilon: float, gamma: Varying | None, *, centred: bool
) -> Tensor:
    """x gamma / sqrt(v + epsilon), v the variance along axes where it is ``centred``, else the mean square."""
    middle = mean(to, x, over) if centred else None
    inverse = variance_root(to, x, over, _epsilon(to, epsilon), middle)
    y = to.group("product", x.shape, observes="output")
    to.one_to_one(x, y)
    over.up(to, inverse, y, 1, scale=gamma)
    return y


def unit(
    to: Builder,
    x: Tensor,
    over: Over,
    *,
    least: float,
    most: float = 1e12,
    part: str = "",
    observes: Observed = "output",
) -> Tensor:
    """x / sqrt(max(s, least)), with s the sum of squares along axes; for least 0, x min(1 / sqrt(s), most)."""
    within = f"{part}." if part else ""
    square = to.group("sum", x.shape, suffix=f"{within}square", activation=SQUARE)
    to.one_to_one(x, square)
    at_least, at_most = Unary("threshold", (least, least)), Unary("clipped_relu", (0.0, most, 0.0))
    total = to.group("sum", over.kept, suffix=f"{within}sum", activation=at_least if least else RSQRT)
    over.down(to, square, total)
    inverse = to.group("sum", over.kept, suffix=f"{within}inverse", activation=RSQRT if least else at_most)
    to.one_to_one(total, inverse)
    y = to.group("product", x.shape, suffix=part, observes=observes)
    to.one_to_one(x, y)
    over.up(to, inverse, y, 1)
    return y


def _epsilon(to: Builder, epsilon: float) -> Stored:
    return to.constant("epsilon", np.array([epsilon], np.float32))
