"""Normalisation by the statistics of a sample: one group for every step of the formula, rounded where Keras rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from graphsim.frontends.builder import Builder, Stored, Tensor, Unary, Weight
from graphsim.graph import Axis, Ref

SQUARE, RSQRT = Unary("square"), Unary("rsqrt")


class Varying(NamedTuple):
    """A param that varies along some axes of a tensor, whose elements it has in C order."""

    stored: Weight | Stored
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Over:
    """Some axes of a tensor, along which statistics are taken.

    Attributes:
        shape: of the tensor; a view of it that has as many elements will do.
        axes: along which elements are folded to one.
    """

    shape: tuple[int, ...]
    axes: frozenset[int]

    @property
    def kept(self) -> tuple[int, ...]:
        """The shape with 1 for every axis that is folded."""
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.shape))

    def down(self, to: Builder, x: Tensor, y: Tensor, port: int = 0) -> None:
        """All elements along the axes to the one of ``y``."""
        to.window(x, y, [Axis(n, 1, taps=n) if i in self.axes else Axis(n, n) for i, n in enumerate(self.shape)], port)

    def up(
        self,
        to: Builder,
        y: Tensor,
        x: Tensor,
        port: int = 0,
        *,
        scale: Varying | None = None,
        onto: Sequence[int] = (),
    ) -> None:
        """The one element of ``y`` to every element along the axes (of ``onto``, if not of the whole shape)."""
        onto = tuple(onto) or self.shape
        kept = y.shape
        step = 1
        steps = [0] * len(onto)
        for axis in reversed(() if scale is None else scale.axes):
            steps[axis] = step
            step *= self.shape[axis]
        axes = [
            Axis(kept[i], n, stride=0 if kept[i] == 1 else 1, weight_consumer=step)
            for i, (n, step) in enumerate(zip(onto, steps, strict=True))
        ]
        to.window(y, x, axes, port, weight=None if scale is None else scale.stored)


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


def unit(to: Builder, x: Tensor, over: Over, *, least: float) -> Tensor:
    """x / sqrt(max(s, least)), with s the sum of squares along axes; for least 0, x min(1 / sqrt(s), 1e12)."""
    square = to.group("sum", x.shape, suffix="square", activation=SQUARE)
    to.one_to_one(x, square)
    at_least, at_most = Unary("threshold", (least, least)), Unary("clipped_relu", (0.0, 1e12, 0.0))
    total = to.group("sum", over.kept, suffix="sum", activation=at_least if least else RSQRT)
    over.down(to, square, total)
    inverse = to.group("sum", over.kept, suffix="inverse", activation=RSQRT if least else at_most)
    to.one_to_one(total, inverse)
    y = to.group("product", x.shape, observes="output")
    to.one_to_one(x, y)
    over.up(to, inverse, y, 1)
    return y


def _epsilon(to: Builder, epsilon: float) -> Stored:
    return to.constant("epsilon", np.array([epsilon], np.float32))
