"""Axes of a tensor that are folded to one element each, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from graphsim.frontends.builder import Builder, Stored, Tensor, Weight
from graphsim.graph import Axis


class Varying(NamedTuple):
    """A param that varies along some axes of a tensor, whose elements it has in C order."""

    stored: Weight | Stored
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Over:
    """Some axes of a tensor.

    Axes at the end are blocks of neighbours, and make dense bundles; others make window bundles.

    Attributes:
        shape: of the tensor; a view of it that has as many elements will do.
        axes: along which elements are folded to one.
    """

    shape: tuple[int, ...]
    axes: frozenset[int]

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The shape with 1 for every axis that is folded."""
        return tuple(1 if i in self.axes else n for i, n in enumerate(self.shape))

    @property
    def rows(self) -> int:
        """How many elements are kept."""
        return math.prod(self.kept)

    @property
    def is_blocks(self) -> bool:
        """Whether the elements that are folded to one are neighbours."""
        return self.rows * math.prod(self.shape[min(self.axes, default=len(self.shape)) :]) == math.prod(self.shape)

    def down(self, to: Builder, x: Tensor, y: Tensor, port: int = 0) -> None:
        """All elements of ``x`` along the axes to the one of ``y``, which has the shape ``kept``."""
        if self.is_blocks:
            to.dense(x, y, port, blocks=self.rows)
            return
        axes = [Axis(n, 1, taps=n) if i in self.axes else Axis(n, n) for i, n in enumerate(self.shape)]
        to.window(x, y, axes, port)

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
        """The one element of ``y`` to every element of ``x`` along the axes.

        Args:
            scale: weight of the edges, which varies along axes of ``shape``.
            onto: shape of ``x``, where it lacks some of the axes that are folded (is 1 there).
        """
        onto = tuple(onto) or self.shape
        if self.is_blocks and scale is None and onto == self.shape:
            to.dense(y, x, port, blocks=self.rows)
            return
        step = 1
        steps = [0] * len(onto)
        for axis in reversed(() if scale is None else scale.axes):
            steps[axis] = step
            step *= self.shape[axis]
        axes = [
            Axis(few, n, stride=0 if few == 1 else 1, weight_consumer=step)
            for few, n, step in zip(y.shape, onto, steps, strict=True)
        ]
        to.window(y, x, axes, port, weight=None if scale is None else scale.stored)
