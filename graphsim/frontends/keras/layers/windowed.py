"""Operations with windows between layers: convolutions, pooling, images in other sizes. They work as the layers do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from graphsim.frontends.blocks.conv import Kernel, convolution
from graphsim.frontends.blocks.spatial import Slide, along, sliding
from graphsim.frontends.builder import Builder, FloatArray, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.operations import Bound, Made, operation
from graphsim.frontends.keras.layers.registry import RULES
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, padding, per_axis
from graphsim.frontends.keras.semantics import Semantics

_SEMANTICS = Semantics("", 3, "an operation of Keras 3")


def _as_layer(to: Builder, class_name: str, x: Tensor, of: Bound, config: dict[str, Any]) -> Tensor:
    """What a layer of that class makes."""
    single = RULES[class_name].single
    assert single is not None
    return single(Fields(config, of.fields.file, of.fields.place), _SEMANTICS)(to, x)


def _pool(kind: str) -> None:
    @operation(f"{kind}Pool", takes="inputs pool_size strides padding data_format")
    def build(to: Builder, of: Bound) -> Made:
        """As the pooling layer of so many axes."""
        x = of.tensor("inputs")
        rank = len(x.shape) - 1
        if rank not in (1, 2, 3):
            raise RefusedError(f"its input has shape {x.shape}; it takes one to three axes and channels")
        config = {key: value for key, value in of.values.items() if key != "inputs"}
        return _as_layer(to, f"{kind}Pooling{rank}D", x, of, config)


_pool("Max")
_pool("Average")


_RESIZE = "images size interpolation antialias data_format crop_to_aspect_ratio pad_to_aspect_ratio"


# How is filled counts where the ratio of the sides is kept, which is refused.
@operation("Resize", takes=f"{_RESIZE} fill_mode fill_value")
def resize(to: Builder, of: Bound) -> Made:
    """An image in another size."""
    size = of.integers("size")
    if len(size) != 2:
        raise RefusedError(f"its size has {len(size)} numbers; images are lowered")
    config = {key: value for key, value in of.values.items() if key not in ("images", "size")}
    return _as_layer(to, "Resizing", of.tensor("images"), of, config | {"height": size[0], "width": size[1]})


def _kernel(of: Bound, name: str, rank: int) -> FloatArray:
    """A kernel that the file states: of so many axes, that of the input channels and that of the others."""
    value = of.get(name)
    if isinstance(value, Tensor):
        raise RefusedError("its kernel is another tensor; constants are lowered")
    array = of.operand(value, name)
    assert not isinstance(array, Tensor)
    if array.ndim != rank + 2:
        raise RefusedError(f"its kernel has shape {array.shape}; it should have {rank + 2} axes")
    return array


class _Sliding:
    """The tensor of a convolution, and how its windows lie."""

    def __init__(self, of: Bound, taps: Sequence[int], rank: int) -> None:
        fields = Fields(dict(of.values), of.fields.file, of.fields.place)
        strides = per_axis(fields, rank, "strides", default=1)
        dilations = per_axis(fields, rank, "dilation_rate", default=1)
        name = padding(fields, causal=rank == 1)
        self.x = of.tensor("inputs")
        self.channels = channel_axis(self.x, rank, channels_first(fields))
        windows = [Slide(*numbers) for numbers in zip(taps, strides, dilations, strict=True)]
        self.axes = along(self.x, self.channels, [partial(sliding, slide=w, padding=name) for w in windows])


_CONVOLUTION = "inputs kernel strides padding data_format dilation_rate"


@operation("Conv", takes=_CONVOLUTION)
def convolved(to: Builder, of: Bound) -> Made:
    """By a constant kernel; of fewer input channels, in groups."""
    rank = len(of.tensor("inputs").shape) - 1
    kernel = _kernel(of, "kernel", rank)
    how = _Sliding(of, kernel.shape[:rank], rank)
    groups, rest = divmod(how.x.shape[how.channels], kernel.shape[rank])
    if rest or not groups:
        raise RefusedError(f"its kernel of shape {kernel.shape} does not fit samples of shape {how.x.shape}")
    stored = to.constant("kernel", kernel)
    made = Kernel(stored, kernel.shape, rank, rank + 1)
    return convolution(to, how.x, how.axes, made, channels=how.channels, groups=groups, observes="output")


@operation("DepthwiseConv", takes=_CONVOLUTION)
def depthwise(to: Builder, of: Bound) -> Made:
    """Of every channel by itself, by a constant kernel."""
    rank = len(of.tensor("inputs").shape) - 1
    kernel = _kernel(of, "kernel", rank)
    how = _Sliding(of, kernel.shape[:rank], rank)
    *taps, depth, each = kernel.shape
    if depth != how.x.shape[how.channels]:
        raise RefusedError(f"its kernel of shape {kernel.shape} does not fit samples of shape {how.x.shape}")
    shape = (*taps, 1, depth * each)
    made = Kernel(to.constant("kernel", kernel), shape, rank, rank + 1)
    return convolution(to, how.x, how.axes, made, channels=how.channels, groups=depth, observes="output")
