"""Convolutions.

Keras on Theano computes true convolutions, with every kernel turned round, and pads "same" by half a kernel in front.
Keras 1 stores the kernel of a Convolution1D with an axis of one element, and where the channels are first, stores
kernels filters first. Source: ``preprocess_weights_for_loading`` in keras/engine/saving.py of Keras 2.2.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from graphsim.frontends.blocks.conv import Kernel, convolution
from graphsim.frontends.blocks.spatial import Slide, along, padded, same_padding, sliding, transposed
from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Tensor, Unary, Weight
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import Lowering, lowers
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, padding, per_axis, slides
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis, Ref
from graphsim.graph.graph import Observed


class _Convolution:
    """What the configs of all convolutions have in common."""

    def __init__(self, fields: Fields, semantics: Semantics, rank: int, *, causal: bool = False) -> None:
        self.fields, self.rank, self.semantics = fields, rank, semantics
        self.slides = slides(fields, rank)
        self.taps = [slide.taps for slide in self.slides]
        self.padding = padding(fields, causal=causal)
        self.first = channels_first(fields)
        self.has_bias = fields.flag("use_bias", "bias", default=True)
        self.activation = activations.read(fields, semantics)
        self.is_theano = semantics.backend == "theano"
        if semantics.major == 1 and not semantics.backend and self.first and max(self.taps) > 1:
            raise RefusedError(
                "the file is by Keras 1 and does not say whether it ran on Theano, which turns kernels round; write"
                " 'theano' or 'tensorflow' into the attribute 'backend' of the file with the weights"
            )

    def kernel(self, to: Builder, depth: int, filters: int) -> Kernel:
        """The kernel of ``depth`` input channels (of a group) and of all filters, in the layout of the file."""
        if self.semantics.major == 1 and not self.semantics.backend and max(self.taps) > 1:
            to.notes["kernels"] = "taken as TensorFlow's, since their channels are last; Theano's are turned round"
        if self.semantics.major > 1:
            shape, takes, gives = (*self.taps, depth, filters), self.rank, self.rank + 1
        elif self.rank == 1:
            shape, takes, gives = (*self.taps, 1, depth, filters), 2, 3
        elif self.first:
            shape, takes, gives = (filters, depth, *self.taps), 1, 0
        else:
            shape, takes, gives = (*self.taps, depth, filters), self.rank, self.rank + 1
        return Kernel(to.weight("kernel", shape), shape, takes, gives, self.is_theano)

    def refuse(self, what: str) -> None:
        """For layers of which it is not known what Keras on Theano stored."""
        if self.is_theano or (self.semantics.major == 1 and self.first):
            raise RefusedError(f"{what} of Keras on Theano, or by Keras 1 with channels first, are not lowered")

    def channels(self, x: Tensor) -> int:
        """The axis of the channels of ``x``."""
        return channel_axis(x, self.rank, self.first)

    def axes(self, x: Tensor) -> list[Axis]:
        """How the window slides over every axis of ``x``."""
        rules = [functools.partial(_slide, slide=slide, convolution=self) for slide in self.slides]
        return along(x, self.channels(x), rules)

    def bias(self, to: Builder, filters: int) -> Weight | None:
        """The bias, to be asked for after the kernels, as Keras does."""
        return to.weight("bias", [filters]) if self.has_bias else None

    def ending(
        self, to: Builder, x: Tensor, axes: Sequence[Axis], kernel: Kernel, bias: Weight | None, groups: int = 1
    ) -> Tensor:
        """The convolution whose output is the layer's, and the activation."""
        is_unary = isinstance(self.activation, Unary)
        y = convolution(
            to,
            x,
            axes,
            kernel,
            channels=self.channels(x),
            groups=groups,
            bias=bias,
            activation=self.activation if isinstance(self.activation, Unary) else LINEAR,
            observes="output" if is_unary else "pre",
        )
        if bias is not None and self.semantics.major == 3:
            activations.note_column(to, y.shape, self.channels(x))
        return activations.along(to, y, self.activation)

    def ended(
        self, to: Builder, x: Tensor, axes: Sequence[Axis], kernel: Weight, shape: Sequence[int], bias: Ref | None
    ) -> Tensor:
        """Weighted sums that are no convolution, whose output is the layer's, and the activation."""
        unary = self.activation if isinstance(self.activation, Unary) else None
        observes: Observed = "pre" if unary is None else "output"
        params = {"bias": bias}
        y = to.group("linear", shape, activation=unary or LINEAR, params=params, observes=observes)
        to.window(x, y, axes, weight=kernel)
        return activations.along(to, y, self.activation)


def _slide(size: int, slide: Slide, convolution: _Convolution) -> Axis:
    if convolution.is_theano and convolution.padding == "same":
        if slide.dilation > 1:
            raise RefusedError("a dilated convolution of Keras on Theano with padding 'same' is not lowered")
        before, out = slide.taps // 2, -(-size // slide.stride)
        return padded(size, slide, before, (out - 1) * slide.stride + slide.taps - size - before)
    return sliding(size, slide, convolution.padding)


def unslide(size: int, slide: Slide, more: int | None, padding: str) -> Axis:
    """A transposed convolution along one axis: TensorFlow's gradient of a convolution over what is made here.

    ``more`` is Keras's output_padding.
    """
    if padding == "valid":
        reach = max(slide.reach, slide.stride) if more is None else slide.reach + more
        return transposed(size, slide, (size - 1) * slide.stride + reach, 0)
    out = size * slide.stride if more is None else (size - 1) * slide.stride + slide.reach % 2 + more
    if -(-out // slide.stride) != size:
        raise RefusedError(
            f"its output_padding {more} makes {out} elements of {size}, which TensorFlow does not compute"
        )
    return transposed(size, slide, out, same_padding(size, out, slide) // 2)


Rule = Callable[[Fields, Semantics], Lowering]


@lowers("Deconvolution2D")
def deconvolution(fields: Fields, semantics: Semantics) -> Lowering:
    """Keras 1's transposed convolution, whose config states the shape of its output, batch axis and all."""
    conv = _Convolution(fields, semantics, 2)
    conv.refuse("transposed convolutions")
    filters, shape = fields.size("nb_filter", "filters"), fields.items("output_shape")
    sizes = [n for i, n in enumerate(shape) if i in (1, 2)]
    if len(shape) != 4 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
        raise fields.error(f"'output_shape' is {shown(shape)}; it should be the batch's size and three more")

    def stated(size: int, slide: Slide, out: int) -> Axis:
        window = sliding(out, slide, conv.padding)
        if window.consumers != size:
            raise RefusedError(f"it makes {out} elements of {size}, which its window and strides do not")
        return transposed(size, slide, out, window.pad)

    rules = [functools.partial(stated, slide=slide, out=n) for slide, n in zip(conv.slides, sizes, strict=True)]

    def build(to: Builder, x: Tensor) -> Tensor:
        at = conv.channels(x)
        kernel = to.weight("kernel", [*conv.taps, x.shape[at], filters])
        used = Kernel(kernel, kernel.shape, takes=2, gives=3)
        return conv.ending(to, x, along(x, at, rules), used, conv.bias(to, filters))

    return build


def _local(rank: int) -> Rule:
    """LocallyConnected1D, LocallyConnected2D of Keras 1 and 2: windows that have a kernel of their own at every place.

    Kernels (places, taps and channels, filters), biases (*places, filters).
    """

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        conv = _Convolution(fields, semantics, rank)
        conv.refuse("locally connected layers")
        filters = fields.size("filters", "nb_filter")
        if conv.first or conv.padding != "valid" or fields.integer("implementation", default=1) != 1:
            raise RefusedError("only channels last, padding 'valid' and implementation 1 are lowered")

        def build(to: Builder, x: Tensor) -> Tensor:
            *spatial, channel = conv.axes(x)
            depth = channel.producers
            places = [axis.consumers for axis in spatial]
            width = math.prod(conv.taps) * depth
            kernel = to.weight("kernel", [math.prod(places), width, filters])
            bias = to.weight("bias", [*places, filters]) if conv.has_bias else None
            found = [
                axis._replace(
                    weight_tap=math.prod(conv.taps[i + 1 :]) * depth * filters,
                    weight_consumer=math.prod(places[i + 1 :]) * width * filters,
                )
                for i, axis in enumerate(spatial)
            ]
            found.append(Axis(depth, filters, depth, stride=0, weight_tap=filters, weight_consumer=1))
            flat = None if bias is None else Ref(to.derive("biases", lambda of: of(bias).reshape(-1)))
            return conv.ended(to, x, found, kernel, [*places, filters], flat)

        return build

    return rule


def _conv(rank: int) -> Rule:
    """Conv1D, Conv2D, Conv3D: over all channels, or over those of a group."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        conv = _Convolution(fields, semantics, rank, causal=rank == 1)
        filters = fields.size("filters", "nb_filter")
        groups = fields.integer("groups", default=1)
        if groups < 1 or filters % groups:
            raise fields.error(f"{filters} filters cannot be divided into {groups} groups")

        def build(to: Builder, x: Tensor) -> Tensor:
            depth = x.shape[conv.channels(x)]
            if depth % groups:
                raise RefusedError(f"its input has {depth} channels, which cannot be divided into {groups} groups")
            kernel = conv.kernel(to, depth // groups, filters)
            return conv.ending(to, x, conv.axes(x), kernel, conv.bias(to, filters), groups)

        return build

    return rule


def _depthwise_kernel(to: Builder, taps: Sequence[int], depth: int, multiplier: int, name: str) -> Kernel:
    """Output channel c of group g is element (g, c) of Keras's kernel, which lies where a grouped kernel has it."""
    kernel = to.weight(name, [*taps, depth, multiplier])
    rank = len(taps)
    return Kernel(kernel, (*taps, 1, depth * multiplier), takes=rank, gives=rank + 1)


def _depthwise(rank: int) -> Rule:
    """DepthwiseConv1D, DepthwiseConv2D: every channel by itself."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        conv = _Convolution(fields, semantics, rank)
        conv.refuse("depthwise convolutions")
        multiplier = fields.integer("depth_multiplier", default=1)
        name = "kernel" if semantics.major == 3 else "depthwise_kernel"
        if multiplier < 1:
            raise fields.error(f"'depth_multiplier' is {multiplier}; it should be at least 1")

        def build(to: Builder, x: Tensor) -> Tensor:
            depth = x.shape[conv.channels(x)]
            kernel = _depthwise_kernel(to, conv.taps, depth, multiplier, name)
            return conv.ending(to, x, conv.axes(x), kernel, conv.bias(to, depth * multiplier), groups=depth)

        return build

    return rule


def _separable(rank: int) -> Rule:
    """SeparableConv1D, SeparableConv2D: a depthwise convolution, then one over the channels of each element."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        conv = _Convolution(fields, semantics, rank, causal=rank == 1)
        conv.refuse("depthwise convolutions")
        filters = fields.size("filters", "nb_filter")
        multiplier = fields.integer("depth_multiplier", default=1)
        if multiplier < 1:
            raise fields.error(f"'depth_multiplier' is {multiplier}; it should be at least 1")

        def build(to: Builder, x: Tensor) -> Tensor:
            at = conv.channels(x)
            depth = x.shape[at]
            kernel = _depthwise_kernel(to, conv.taps, depth, multiplier, "depthwise_kernel")
            points = to.weight("pointwise_kernel", [*[1] * rank, depth * multiplier, filters])
            bias = conv.bias(to, filters)
            middle = convolution(to, x, conv.axes(x), kernel, channels=at, groups=depth, suffix="depthwise")
            used = Kernel(points, points.shape, takes=rank, gives=rank + 1)
            return conv.ending(to, middle, [Axis(size, size) for size in middle.shape], used, bias)

        return build

    return rule


def _transpose(rank: int) -> Rule:
    """Conv1DTranspose, Conv2DTranspose, Conv3DTranspose: to every element from those whose window would see it."""

    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        conv = _Convolution(fields, semantics, rank)
        conv.refuse("transposed convolutions")
        filters = fields.size("filters", "nb_filter")
        is_stated = fields.find("output_padding") is not None
        more = per_axis(fields, rank, "output_padding", least=0) if is_stated else (None,) * rank
        if any(m is not None and m >= slide.stride for m, slide in zip(more, conv.slides, strict=True)):
            raise fields.error(f"'output_padding' {more} should be less than the strides along every axis")
        rules = [
            functools.partial(unslide, slide=slide, more=m, padding=conv.padding)
            for slide, m in zip(conv.slides, more, strict=True)
        ]

        def build(to: Builder, x: Tensor) -> Tensor:
            at = conv.channels(x)
            kernel = to.weight("kernel", [*conv.taps, filters, x.shape[at]])
            used = Kernel(kernel, kernel.shape, takes=rank + 1, gives=rank)
            return conv.ending(to, x, along(x, at, rules), used, conv.bias(to, filters))

        return build

    return rule


for _rank in (1, 2, 3):
    lowers(f"Conv{_rank}DTranspose")(_transpose(_rank))
    lowers(f"Conv{_rank}D", f"Convolution{_rank}D")(_conv(_rank))
for _rank in (1, 2):
    lowers(f"LocallyConnected{_rank}D")(_local(_rank))
    lowers(f"DepthwiseConv{_rank}D")(_depthwise(_rank))
    lowers(f"SeparableConv{_rank}D", f"SeparableConvolution{_rank}D")(_separable(_rank))
lowers("AtrousConvolution1D")(_conv(1))
lowers("AtrousConvolution2D")(_conv(2))
