"""Operations with windows between layers: convolutions, pooling, images in other sizes. They work as the layers do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from graphsim.frontends.blocks.arith import Equation, elementwise, unary, weighted, with_constant
from graphsim.frontends.blocks.conv import Kernel, convolution
from graphsim.frontends.blocks.shape import moved, widened
from graphsim.frontends.blocks.spatial import Padding, Slide, along, sliding, transposed
from graphsim.frontends.builder import MAX_LISTED, Builder, FloatArray, RefusedError, Tensor, Unary
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.conv import unslide
from graphsim.frontends.keras.layers.operations import Bound, Made, operation
from graphsim.frontends.keras.layers.registry import RULES
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, padding, per_axis
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis

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
    """The tensor of a convolution, and its windows."""

    def __init__(self, of: Bound, taps: Sequence[int], rank: int) -> None:
        self.fields = fields = Fields(dict(of.values), of.fields.file, of.fields.place)
        strides = per_axis(fields, rank, "strides", default=1)
        dilations = per_axis(fields, rank, "dilation_rate", default=1)
        self.padding: Padding = padding(fields, causal=rank == 1)
        self.x = of.tensor("inputs")
        self.channels = channel_axis(self.x, rank, channels_first(fields))
        self.windows = [Slide(*numbers) for numbers in zip(taps, strides, dilations, strict=True)]

    @property
    def axes(self) -> list[Axis]:
        """How the windows lie."""
        return along(self.x, self.channels, [partial(sliding, slide=w, padding=self.padding) for w in self.windows])


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
    return _depthwise(to, _kernel(of, "kernel", rank), of, rank, "")


def _depthwise(to: Builder, kernel: FloatArray, of: Bound, rank: int, suffix: str) -> Tensor:
    how = _Sliding(of, kernel.shape[:rank], rank)
    *taps, depth, each = kernel.shape
    if depth != how.x.shape[how.channels]:
        raise RefusedError(f"its kernel of shape {kernel.shape} does not fit samples of shape {how.x.shape}")
    made = Kernel(to.constant(f"{suffix}kernel", kernel), (*taps, 1, depth * each), rank, rank + 1)
    observes = "" if suffix else "output"
    return convolution(
        to,
        how.x,
        how.axes,
        made,
        channels=how.channels,
        groups=depth,
        observes=observes,
        suffix=suffix,
    )


@operation("SeparableConv", takes="inputs depthwise_kernel pointwise_kernel strides padding data_format dilation_rate")
def separable(to: Builder, of: Bound) -> Made:
    """Of every channel by itself, then over the channels of each element, by constant kernels."""
    rank = len(of.tensor("inputs").shape) - 1
    points = _kernel(of, "pointwise_kernel", rank)
    middle = _depthwise(to, _kernel(of, "depthwise_kernel", rank), of, rank, "depthwise")
    at = _Sliding(of, [1] * rank, rank).channels
    if points.shape[:-1] != (*[1] * rank, middle.shape[at]):
        raise RefusedError(f"its kernel of shape {points.shape} does not fit {middle.shape[at]} channels")
    made = Kernel(to.constant("kernel", points), points.shape, rank, rank + 1)
    return convolution(to, middle, [Axis(n, n) for n in middle.shape], made, channels=at, observes="output")


@operation("ConvTranspose", takes=f"{_CONVOLUTION} output_padding output_shape")
def conv_transpose(to: Builder, of: Bound) -> Made:
    """To every element from those whose window would see it, by a constant kernel. TensorFlow states the new shape."""
    rank = len(of.tensor("inputs").shape) - 1
    kernel = _kernel(of, "kernel", rank)
    how = _Sliding(of, kernel.shape[:rank], rank)
    if kernel.shape[-1] != how.x.shape[how.channels] or how.padding == "causal":
        raise RefusedError(f"its kernel of shape {kernel.shape} does not fit samples of shape {how.x.shape}")
    if of.get("output_shape") is None:
        is_stated = of.get("output_padding") is not None
        more = per_axis(how.fields, rank, "output_padding", least=0) if is_stated else (None,) * rank
        rules = [partial(unslide, slide=w, more=m, padding=how.padding) for w, m in zip(how.windows, more, strict=True)]
    else:
        sizes = _stated_sizes(of, how, kernel.shape[-2])
        rules = [
            partial(_to_size, slide=w, out=n, padding=how.padding) for w, n in zip(how.windows, sizes, strict=True)
        ]
    made = Kernel(to.constant("kernel", kernel), kernel.shape, rank + 1, rank)
    axes = along(how.x, how.channels, rules)
    return convolution(to, how.x, axes, made, channels=how.channels, observes="output")


def _stated_sizes(of: Bound, how: _Sliding, filters: int) -> list[int]:
    """The sizes that a shape, batch and all, states for the axes of an image."""
    shape = of.get("output_shape")
    sizes = shape[1:] if isinstance(shape, list) else []
    rank = len(how.x.shape)
    if len(sizes) != rank or any(type(n) is not int or not 0 < n <= MAX_LISTED for n in sizes):
        raise RefusedError(f"its output shape is {shown(shape)}; sizes are lowered")
    if sizes.pop(how.channels) != filters:
        raise RefusedError(f"its output shape is {shown(shape)}, its kernel makes {filters} channels")
    return sizes


def _to_size(size: int, slide: Slide, out: int, padding: Padding) -> Axis:
    window = sliding(out, slide, padding)
    if window.consumers != size:
        raise RefusedError(f"it makes {out} elements of {size}, which its window and strides do not")
    return transposed(size, slide, out, window.pad)


#: What red, green and blue weigh in ``tf.image.rgb_to_grayscale``.
GREY = [[0.2989], [0.587], [0.114]]

# -- parts of images --------------------------------------------------------------------------------------------------


@operation("ExtractPatches", takes="images size strides dilation_rate padding data_format")
def patches(to: Builder, of: Bound) -> Made:
    """The elements of every window of an image side by side: rows, columns, channels."""
    x, rank = of.tensor("images"), 2
    given = Fields(dict(of.values), of.fields.file, of.fields.place)
    taps = per_axis(given, rank, "size")
    values = {**of.values, "inputs": x, "strides": of.get("strides", list(taps))}
    how = _Sliding(Bound(values, of.fields), taps, rank)
    found = [axis for i, axis in enumerate(how.axes) if i != how.channels]
    before = [max(axis.pad, 0) for axis in found]
    ends = [(a.consumers - 1) * w.stride + w.reach - a.pad for a, w in zip(found, how.windows, strict=True)]
    sizes = [n for i, n in enumerate(x.shape) if i != how.channels]
    after = [max(end - n, 0) for end, n in zip(ends, sizes, strict=True)]
    if any(before + after):
        around = list(zip(before, after, strict=True))
        around.insert(how.channels, (0, 0))
        with to.within(shows=False):
            x = moved(to, x, [widened(n, *pair) for n, pair in zip(x.shape, around, strict=True)], suffix="padded")
    rows, columns = (
        (np.arange(a.consumers) * w.stride)[:, None] + np.arange(w.taps) * w.dilation
        for a, w in zip(found, how.windows, strict=True)
    )
    if rows.size * columns.size * x.shape[how.channels] > MAX_LISTED:
        raise RefusedError(f"it makes more than {MAX_LISTED:,} elements")
    image = np.moveaxis(np.arange(x.size).reshape(x.shape), how.channels, 2)
    where = image[rows[:, None, :, None], columns[None, :, None, :]].reshape(len(rows), len(columns), -1)
    where = np.moveaxis(where, 2, how.channels)
    # Keras 3 forgets what it is called, and gives it another name when it opens the file.
    y = to.group("sum", where.shape, observes="output" if "name" in of.fields.data else "")
    to.table(x, y, 1, lambda: where)
    return y


_SIDES = (("top", "bottom", "height"), ("left", "right", "width"))


def _around(of: Bound, x: Tensor, what: str) -> list[tuple[int, int]]:
    """How much is cropped or padded before and after each axis of an image; one of three numbers follows from two."""
    if len(x.shape) != 3:
        raise RefusedError(f"its input has shape {x.shape}; images are lowered")
    first = of.get("data_format", "channels_last") == "channels_first"
    sign = 1 if what == "padding" else -1
    found = []
    for (one, other, side), size in zip(_SIDES, x.shape[1:] if first else x.shape[:2], strict=True):
        before, after, target = of.get(f"{one}_{what}"), of.get(f"{other}_{what}"), of.get(f"target_{side}")
        if any(n is not None and type(n) is not int for n in (before, after, target)):
            raise RefusedError(f"its {what} of an axis of {size} is {shown(before)} and {shown(after)}")
        change = None if target is None else sign * (target - size)
        if before is None and change is not None and after is not None:
            before = change - after
        if after is None and change is not None and before is not None:
            after = change - before
        if any(type(n) is not int or n < 0 for n in (before, after)) or (what == "cropping" and before + after >= size):
            raise RefusedError(f"its {what} of an axis of {size} is {shown(before)} and {shown(after)}")
        found.append((before, after))
    found.insert(0 if first else 2, (0, 0))
    return found


@operation(
    "PadImages",
    takes="images top_padding left_padding bottom_padding right_padding target_height target_width data_format",
)
def pad_images(to: Builder, of: Bound) -> Made:
    """Zeros around it."""
    x = of.tensor("images")
    return moved(to, x, [widened(n, *pair) for n, pair in zip(x.shape, _around(of, x, "padding"), strict=True)])


@operation(
    "CropImages",
    takes="images top_cropping left_cropping bottom_cropping right_cropping target_height target_width data_format",
)
def crop_images(to: Builder, of: Bound) -> Made:
    """Without what is around it."""
    x = of.tensor("images")
    cut = _around(of, x, "cropping")
    return moved(to, x, [Axis(n, n - a - b, pad=-a) for n, (a, b) in zip(x.shape, cut, strict=True)])


@operation("RGBToGrayscale", takes="images data_format")
def grey(to: Builder, of: Bound) -> Made:
    """One channel of three, weighted as TensorFlow does."""
    x = of.tensor("images")
    if len(x.shape) != 3 or of.get("data_format", "channels_last") == "channels_first":
        raise RefusedError(f"its input has shape {x.shape}; images with their channels last are lowered")
    if x.shape[2] == 1:
        return x
    kernel = to.constant("kernel", np.array(GREY, np.float32))
    return weighted(to, Equation("hwc", "cg", "hwg"), x, kernel)


@operation("LocalResponse", takes="x depth_radius bias alpha beta")
def local_response(to: Builder, of: Bound) -> Made:
    """Of TensorFlow: x by a power of a sum of squares of channels near, by the exponential of a logarithm, as there."""
    x = of.tensor()
    depth, radius = x.shape[-1], min(of.integer("depth_radius", 5), x.shape[-1])
    if len(x.shape) != 3 or radius < 0:
        raise RefusedError(f"its input has shape {x.shape}, its depth_radius is {radius}; images are lowered")
    bias, alpha, beta = (np.full((), of.number(key, 1.0), np.float32) for key in ("bias", "alpha", "beta"))
    if not (bias > 0 and alpha >= 0):
        raise RefusedError(f"its bias is {bias}, its alpha {alpha}; positive numbers are lowered")
    square = unary(to, x, Unary("square"), suffix="square", observes="")
    near = Axis(depth, depth, taps=2 * radius + 1, pad=radius)
    with to.within(shows=False):
        total = moved(to, square, [*(Axis(n, n) for n in x.shape[:-1]), near], suffix="sum")
    scaled = with_constant(to, "product", total, alpha, suffix="scaled")
    if beta == 1:
        return elementwise(to, "divide", [x, with_constant(to, "sum", scaled, bias, suffix="norm")])
    root = Unary("rsqrt" if beta == 0.5 else "log")
    norm = with_constant(to, "sum", scaled, bias, activation=root, suffix="norm")
    if beta != 0.5:
        norm = with_constant(to, "product", norm, -beta, activation=Unary("exp"), suffix="factor")
    return elementwise(to, "product", [x, norm])
