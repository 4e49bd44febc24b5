"""Layers that move elements."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from graphsim.frontends.blocks.shape import moved, widened
from graphsim.frontends.blocks.spatial import along
from graphsim.frontends.builder import Builder, Tensor
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, pairs
from graphsim.frontends.keras.semantics import Semantics

Rule = Callable[[Fields, Semantics], Lowering]


def _widening(rank: int, key: str, default: int, sign: int) -> Rule:
    """Zeros around the spatial axes, or elements less."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        first = channels_first(fields)
        rules = [partial(widened, before=sign * a, after=sign * b) for a, b in pairs(fields, rank, key, default)]

        def build(to: Builder, x: Tensor) -> Tensor:
            return moved(to, x, along(x, channel_axis(x, rank, first), rules))

        return build

    return rule


for _rank in (1, 2, 3):
    lowers(f"ZeroPadding{_rank}D")(_widening(_rank, "padding", 1, 1))
    lowers(f"Cropping{_rank}D")(_widening(_rank, "cropping", 1, -1))
