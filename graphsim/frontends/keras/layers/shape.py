"""Layers that move elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from graphsim.frontends.blocks.resample import KERNELS, Kernel, resampled_image
from graphsim.frontends.blocks.resize import enlarged
from graphsim.frontends.blocks.shape import moved, repeated, transposed, widened
from graphsim.frontends.blocks.spatial import along
from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, pairs, per_axis, spatial_axes
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis

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


def _up_sampling(rank: int) -> Rule:
    """Every element several times along every spatial axis, or straight lines between them."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        first = channels_first(fields)
        how = fields.text("interpolation", default="nearest").lower()
        if how == "bilinear" and rank == 2:
            return _bilinear(per_axis(fields, rank, "size", "length", default=2), first, semantics)
        if rank == 2 and how in KERNELS:
            return _by_weights(KERNELS[how], per_axis(fields, rank, "size", "length", default=2), first, semantics)
        if how != "nearest":
            raise RefusedError(
                f"interpolation {shown(how)} is not lowered, only 'nearest', 'bilinear' and {list(KERNELS)}"
            )
        rules = [partial(repeated, times=n) for n in per_axis(fields, rank, "size", "length", default=2)]

        def build(to: Builder, x: Tensor) -> Tensor:
            return moved(to, x, along(x, channel_axis(x, rank, first), rules))

        return build

    return rule


def _check_version(how: str, semantics: Semantics) -> None:
    version = [int(part) for part in semantics.version.split(".")[:2] if part.isdecimal()]
    if semantics.major < 3 and version < [2, 4]:
        raise RefusedError(f"what {how!r} means to Keras {semantics.version or 2} depends on its TensorFlow")


def _by_weights(kernel: Kernel, times: Sequence[int], first: bool, semantics: Semantics) -> Lowering:
    """Along the height, then along the width, as TensorFlow does."""
    _check_version(kernel, semantics)

    def build(to: Builder, x: Tensor) -> Tensor:
        channel_axis(x, 2, first)
        at = spatial_axes(2, first)
        sizes = {axis: x.shape[axis] * n for axis, n in zip(at, times, strict=True)}
        return resampled_image(to, x, sizes, kernel, antialias=False)

    return build


def _bilinear(times: Sequence[int], first: bool, semantics: Semantics) -> Lowering:
    """Along the width, then along the height, as TensorFlow does."""
    _check_version("bilinear", semantics)

    def build(to: Builder, x: Tensor) -> Tensor:
        if len(x.shape) != 3:
            raise RefusedError(f"its input has shape {x.shape}; it takes 2 spatial axes and channels")
        rows = 1 if first else 0
        if max(times) == 1:
            return moved(to, x, [Axis(n, n) for n in x.shape])
        if times[0] == 1:
            return enlarged(to, x, rows + 1, times[1], suffix="across", observes="output")
        wide = enlarged(to, x, rows + 1, times[1], suffix="across") if times[1] > 1 else x
        return enlarged(to, wide, rows, times[0], suffix="down", observes="output")

    return build


@lowers("Permute")
def permute(fields: Fields, semantics: Semantics) -> Lowering:
    """The axes in another order, counted from 1."""
    dims = fields.items("dims")

    def build(to: Builder, x: Tensor) -> Tensor:
        if any(isinstance(d, bool) for d in dims) or sorted(map(str, dims)) != sorted(
            map(str, range(1, len(x.shape) + 1))
        ):
            raise to.error(f"'dims' is {shown(dims)}; it should be the numbers 1 to {len(x.shape)} in some order")
        return transposed(to, x, [d - 1 for d in dims])

    return build


@lowers("RepeatVector")
def repeat_vector(fields: Fields, semantics: Semantics) -> Lowering:
    """The same vector in every step."""
    times = fields.size("n")

    def build(to: Builder, x: Tensor) -> Tensor:
        if len(x.shape) != 1:
            raise RefusedError(f"its input has shape {x.shape}; the layer takes a vector")
        return moved(to, x, [Axis(1, times, stride=0), Axis(x.size, x.size)])

    return build


for _rank in (1, 2, 3):
    lowers(f"UpSampling{_rank}D")(_up_sampling(_rank))
    lowers(f"ZeroPadding{_rank}D")(_widening(_rank, "padding", 1, 1))
    lowers(f"Cropping{_rank}D")(_widening(_rank, "cropping", 1, -1))
