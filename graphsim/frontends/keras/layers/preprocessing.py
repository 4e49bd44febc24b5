"""Preprocessing that is part of a model: sizes of images, classes of numbers; random changes are for training only.

Layers that read texts, hash, or change an image by statistics of its own are refused: they are not arithmetic of
neurons, or not yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphsim.frontends.blocks.arith import elementwise, folded
from graphsim.frontends.blocks.resample import KERNELS, Kernel, resampled_image
from graphsim.frontends.blocks.resize import Method, resized
from graphsim.frontends.blocks.shape import moved, sliced
from graphsim.frontends.builder import Builder, FloatArray, RefusedError, Tensor, Unary
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.distributed import only_tensor
from graphsim.frontends.keras.layers.registry import Calling, Given, Lowering, calling, calls, lowers
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, spatial_axes
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis


@lowers(
    "AugMix",
    "CutMix",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Solarization",
    trains=True,
)
def augmentation(fields: Fields, semantics: Semantics) -> Lowering:
    """Layers that change images in training only."""
    return lambda to, x: x


def _image(x: Tensor, first: bool) -> Sequence[int]:
    """The axes of height and width."""
    channel_axis(x, 2, first)
    return spatial_axes(2, first)


@lowers("CenterCrop", trains=True)
def center_crop(fields: Fields, semantics: Semantics) -> Lowering:
    """The middle of an image that is large enough."""
    wanted, first = (fields.size("height"), fields.size("width")), channels_first(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        axes = [Axis(n, n) for n in x.shape]
        for axis, size in zip(_image(x, first), wanted, strict=True):
            start = (x.shape[axis] - size) // 2
            if start < 0:
                raise RefusedError(f"it makes {size} elements of {x.shape[axis]}, and then resizes the image")
            axes[axis] = sliced(x.shape[axis], slice(start, start + size))
        return moved(to, x, axes)

    return build


@lowers("Resizing", trains=True)
def resizing(fields: Fields, semantics: Semantics) -> Lowering:
    """An image in another size, of its nearest elements, by straight lines or by weights of more neighbours.

    Straight lines along the width, then the height; weights along the height, then the width.
    """
    wanted, first = (fields.size("height"), fields.size("width")), channels_first(fields)
    method = fields.text("interpolation", default="bilinear").lower()
    if method not in ("bilinear", "nearest", *KERNELS):
        raise RefusedError(
            f"interpolation {shown(method)} is not lowered, only 'nearest', 'bilinear' and {list(KERNELS)}"
        )
    smooths = fields.flag("antialias", default=False) and method != "nearest"
    for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio"):
        if fields.flag(key, default=False):
            raise RefusedError(f"{key!r} is not lowered")
    how: Method = "bilinear" if method == "bilinear" else "nearest"
    kernel: Kernel | None = KERNELS.get(method, "bilinear" if smooths else None)

    def build(to: Builder, x: Tensor) -> Tensor:
        at = _image(x, first)
        if kernel is not None:
            return resampled_image(to, x, dict(zip(at, wanted, strict=True)), kernel, antialias=smooths)
        changed = [(i, n) for i, n in zip(_image(x, first), wanted, strict=True) if x.shape[i] != n][::-1]
        if not changed:
            return moved(to, x, [Axis(n, n) for n in x.shape])
        for number, (axis, size) in enumerate(changed):
            is_last = number == len(changed) - 1
            name = "" if is_last else "across"
            x = resized(to, x, axis, size, how, suffix=name, observes="output" if is_last else "")
        return x

    return build


# -- classes --------------------------------------------------------------------------------------------------------


def _encoded(to: Builder, x: Tensor, mode: str, depth: int) -> Tensor:
    """Whole numbers as so many classes: those that are there (``multi_hot``), how many (``count``), or ``one_hot``."""
    classes = np.arange(depth, dtype=np.float32)
    if mode == "one_hot":
        rows = x.shape[:-1] if x.shape[-1:] == (1,) else x.shape
        return elementwise(to, "subtract", [x.reshaped([*rows, 1]), classes], activation=Unary("zero"))
    if len(x.shape) != 1:
        raise RefusedError(f"its output_mode {mode!r} takes a list of numbers; its input has shape {x.shape}")
    with to.within(shows=False):
        is_class = elementwise(
            to, "subtract", [x.reshaped([x.size, 1]), classes], activation=Unary("zero"), suffix="class"
        )
    return folded(to, "sum" if mode == "count" else "max", is_class, [0])


def _mode(fields: Fields, default: str, *more: str) -> str:
    mode = fields.text("output_mode", default=default)
    if mode not in ("one_hot", "multi_hot", "count", *more):
        raise RefusedError(f"its output_mode is {shown(mode)}, which is not lowered")
    if fields.flag("sparse", default=False):
        raise RefusedError("it makes sparse tensors")
    return mode


@lowers("CategoryEncoding")
def category_encoding(fields: Fields, semantics: Semantics) -> Lowering:
    """Whole numbers as classes: one neuron for each."""
    depth, mode = fields.size("num_tokens"), _mode(fields, "multi_hot")

    def build(to: Builder, x: Tensor) -> Tensor:
        to.expects(x)(0, depth - 1, "CategoryEncoding")
        return _encoded(to, x, mode, depth)

    return build


@lowers("Discretization")
def discretization(fields: Fields, semantics: Semantics) -> Lowering:
    """In which range each element lies: how many bounds it has reached."""
    bounds: FloatArray = np.atleast_1d(fields.array("bin_boundaries"))
    mode = _mode(fields, "int", "int")
    if bounds.ndim != 1 or (np.diff(bounds) < 0).any():
        raise fields.error("'bin_boundaries' should be numbers in ascending order")

    def build(to: Builder, x: Tensor) -> Tensor:
        with to.within(shows=False):
            reached = elementwise(
                to, "subtract", [x.reshaped([*x.shape, 1]), bounds], activation=Unary("nonnegative"), suffix="reached"
            )
        with to.within(shows=mode == "int"):
            number = folded(to, "sum", reached, [len(x.shape)], suffix="" if mode == "int" else "number")
        return number if mode == "int" else _encoded(to, number, mode, len(bounds) + 1)

    return build


@lowers("IntegerLookup")
def integer_lookup(fields: Fields, semantics: Semantics) -> Lowering:
    """Whole numbers as their places in a vocabulary that the config states."""
    words = fields.find("vocabulary")
    if words is None:
        raise RefusedError("its vocabulary is not in its config")
    vocabulary = np.atleast_1d(fields.array("vocabulary"))
    unknown = fields.integer("num_oov_indices", default=1)
    mask = fields.find("mask_token")
    if vocabulary.ndim != 1 or unknown != 1 or fields.flag("invert", default=False):
        raise RefusedError("it is inverted, or has other than one number for what is not in its vocabulary")
    if fields.text("output_mode", default="int") != "int" or (np.abs(vocabulary) >= 2**24).any():
        raise RefusedError("it makes classes, or has words of 2**24 and more")
    if mask is not None:
        vocabulary = np.concatenate([[np.float32(fields.number("mask_token"))], vocabulary]).astype(np.float32)
    # Without a mask 0 is what is unknown; with one, 0 is the mask and 1 what is unknown.
    first = 0.0 if mask is None else 1.0
    steps = np.arange(1, len(vocabulary) + 1) if mask is None else np.array([-1, *range(1, len(vocabulary))])

    def build(to: Builder, x: Tensor) -> Tensor:
        with to.within(shows=False):
            place = elementwise(
                to, "subtract", [x.reshaped([*x.shape, 1]), vocabulary], activation=Unary("zero"), suffix="word"
            )
            shift = elementwise(to, "product", [place, steps.astype(np.float32)], suffix="place")
            number = folded(to, "sum", shift, [len(x.shape)], suffix="number")
        return elementwise(to, "sum", [number, np.full((), first, np.float32)])

    return build


# -- several --------------------------------------------------------------------------------------------------------


@calls("Pipeline")
def pipeline(fields: Fields, semantics: Semantics) -> Calling:
    """Layers one after the other, which have no weights."""
    entries = [fields.element(value, f"layer {i}") for i, value in enumerate(fields.items("layers"))]
    rules = [calling(entry.text("class_name"), entry.child("config"), semantics) for entry in entries]

    def build(to: Builder, given: Given) -> Tensor:
        kwargs = {key: value for key, value in given.kwargs.items() if key != "training"}
        x = only_tensor(Given(given.args, kwargs))
        since = len(to.groups)
        with to.within(shows=False):
            for number, rule in enumerate(rules):
                with to.within(str(number)):
                    made = rule(to, Given((x,), {}))
                if not isinstance(made, Tensor):
                    raise RefusedError("it has a layer with several outputs")
                x = made
        if to.weights.get(to.layer):
            raise RefusedError("it has layers with weights")
        return to.observe(x, since)

    return build
