"""How the configs of convolutions, pooling and padding say sizes, paddings and the order of axes, in every Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from graphsim.frontends.blocks.spatial import Padding, Slide
from graphsim.frontends.builder import RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields, shown

#: Keys of Keras 1 that state one number per axis, by the number of axes.
KERNEL_V1 = {1: ("filter_length",), 2: ("nb_row", "nb_col"), 3: ("kernel_dim1", "kernel_dim2", "kernel_dim3")}


def per_axis(fields: Fields, rank: int, *keys: str, default: int | None = None, least: int = 1) -> tuple[int, ...]:
    """A whole number for each of ``rank`` axes, from a list or from one number for all."""
    value = fields.find(*keys)
    if value is None and default is not None:
        return (default,) * rank
    numbers = value if isinstance(value, list) else [value] * rank
    if len(numbers) != rank or any(isinstance(n, bool) or not isinstance(n, int) or n < least for n in numbers):
        wanted = f"{rank} whole numbers" if rank > 1 else "a whole number"
        found = "missing" if value is None else shown(value)
        raise fields.error(f"{keys[0]!r} is {found}; it should be {wanted} of at least {least}")
    return tuple(numbers)


def kernel_size(fields: Fields, rank: int) -> tuple[int, ...]:
    """The size of a convolution's window."""
    if fields.find("kernel_size") is None and fields.find(KERNEL_V1[rank][0]) is not None:
        return tuple(fields.size(key) for key in KERNEL_V1[rank])
    return per_axis(fields, rank, "kernel_size")


def slides(fields: Fields, rank: int) -> tuple[Slide, ...]:
    """The windows of a convolution."""
    strides = per_axis(fields, rank, "strides", "subsample", "subsample_length", default=1)
    dilations = per_axis(fields, rank, "dilation_rate", "atrous_rate", default=1)
    return tuple(Slide(*numbers) for numbers in zip(kernel_size(fields, rank), strides, dilations, strict=True))


def padding(fields: Fields, *, causal: bool = False) -> Padding:
    """The padding by name; "causal" only where the layer has it."""
    name = fields.text("padding", "border_mode", default="valid").lower()
    for known in get_args(Padding):
        if name == known and (causal or known != "causal"):
            return known  # type: ignore[no-any-return]
    raise RefusedError(f"padding {shown(name)} is not one that is lowered (valid, same{', causal' if causal else ''})")


def channels_first(fields: Fields) -> bool:
    """Whether the channels come before the spatial axes.

    Where a file does not say, Keras asks the settings of the user who loads it; they are taken to be Keras's own.
    """
    name = fields.text("data_format", "dim_ordering", default="channels_last")
    if name not in ("channels_first", "channels_last", "th", "tf", "default"):
        raise fields.error(f"'data_format' is {shown(name)}; it should be channels_first or channels_last")
    return name in ("channels_first", "th")


def channel_axis(x: Tensor, rank: int, first: bool) -> int:
    """Which axis of ``x`` is that of its channels.

    Raises:
        RefusedError: it has not ``rank`` axes besides.
    """
    if len(x.shape) != rank + 1:
        raise RefusedError(
            f"its input has shape {x.shape}; the layer takes {rank} spatial {'axis' if rank == 1 else 'axes'} and"
            " channels"
        )
    return 0 if first else rank


def spatial_axes(rank: int, first: bool) -> Sequence[int]:
    """The axes that are not the channels'."""
    return range(1, rank + 1) if first else range(rank)


def pairs(fields: Fields, rank: int, key: str, default: int) -> tuple[tuple[int, int], ...]:
    """Two numbers for each axis, before and after: one number for all, one per axis, or a pair per axis."""
    value: Any = fields.data.get(key, default)
    wanted = f"a number, {rank} numbers or {rank} pairs of numbers, none negative"
    if rank == 1 and isinstance(value, list) and len(value) == 2 and not isinstance(value[0], list):
        value = [value]
    items = value if isinstance(value, list) else [value] * rank
    found = [item if isinstance(item, list) else [item, item] for item in items]
    numbers = [n for pair in found for n in pair]
    if len(found) != rank or any(len(pair) != 2 for pair in found):
        raise fields.error(f"{key!r} is {shown(value)}; it should be {wanted}")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers):
        raise fields.error(f"{key!r} is {shown(value)}; it should be {wanted}")
    return tuple((pair[0], pair[1]) for pair in found)
