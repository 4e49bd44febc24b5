"""Pooling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from graphsim.frontends.blocks.pool import adaptive, masked_mean, pooling, whole
from graphsim.frontends.blocks.spatial import Slide, along, sliding
from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, padding, per_axis, spatial_axes
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis

Rule = Callable[[Fields, Semantics], Lowering]
Op = Literal["max", "mean"]


def _pooling(rank: int, op: Op) -> Rule:
    """A window over the spatial axes; an average is over the elements that are there."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        sizes = per_axis(fields, rank, "pool_size", "pool_length", default=2)
        is_stated = fields.find("strides", "stride") is not None
        strides = per_axis(fields, rank, "strides", "stride") if is_stated else sizes
        name, first = padding(fields), channels_first(fields)
        if name == "same" and semantics.backend == "theano":
            raise RefusedError("pooling of Keras on Theano with padding 'same' is not lowered")
        rules = [
            partial(sliding, slide=Slide(size, stride), padding=name)
            for size, stride in zip(sizes, strides, strict=True)
        ]

        def build(to: Builder, x: Tensor) -> Tensor:
            return pooling(to, x, along(x, channel_axis(x, rank, first), rules), op)

        return build

    return rule


def _global(rank: int, op: Op) -> Rule:
    """All elements of every channel; an average over steps knows masks."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        first, is_kept = channels_first(fields), fields.flag("keepdims", default=False)

        def build(to: Builder, x: Tensor) -> Tensor:
            at = channel_axis(x, rank, first)
            if x.mask is not None and op == "mean" and rank == 1:
                if x.mask.shape != (x.shape[1 if first else 0],):
                    raise RefusedError(f"its mask has shape {x.mask.shape}, not one value for each step")
                y = masked_mean(to, x, x.mask, 1 if first else 0)
                return y.reshaped([x.shape[at] if i == at else 1 for i in range(2)]) if is_kept else y
            return pooling(to, x, whole(x, spatial_axes(rank, first)), op, None if is_kept else [x.shape[at]])

        return build

    return rule


def _adaptive(rank: int, op: Op) -> Rule:
    """As many windows as are wanted: side by side where the input can be divided so, else some overlap."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        first, wanted = channels_first(fields), per_axis(fields, rank, "output_size")

        def divided(size: int, parts: int) -> Axis:
            return sliding(size, Slide(size // parts, size // parts), "valid")

        def build(to: Builder, x: Tensor) -> Tensor:
            at = channel_axis(x, rank, first)
            parts = dict(zip(spatial_axes(rank, first), wanted, strict=True))
            if any(x.shape[axis] % count for axis, count in parts.items()):
                shape = [parts.get(axis, size) for axis, size in enumerate(x.shape)]
                return adaptive(to, x, parts, op, shape)
            return pooling(to, x, along(x, at, [partial(divided, parts=count) for count in wanted]), op)

        return build

    return rule


_OPS: dict[str, Op] = {"Max": "max", "Average": "mean"}
for _rank in (1, 2, 3):
    for _name, _op in _OPS.items():
        lowers(f"{_name}Pooling{_rank}D")(_pooling(_rank, _op))
        lowers(f"Adaptive{_name}Pooling{_rank}D")(_adaptive(_rank, _op))
        lowers(f"Global{_name}Pooling{_rank}D")(_global(_rank, _op))
