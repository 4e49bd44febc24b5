"""The rules of ONNX operators: one short function each, registered under the operator's name.

A tensor of the file has a batch axis, of size 1 here; blocks want tensors without it. :func:`sample` takes it off and
:func:`batched` puts it back. Semantics: the operators' specification at https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks import arith
from graphsim.frontends.blocks import shape as moving
from graphsim.frontends.blocks import softmax as along_axes
from graphsim.frontends.blocks.arith import Operand
from graphsim.frontends.blocks.conv import Kernel, convolution
from graphsim.frontends.blocks.norm import Statistics, by_statistics, standardised
from graphsim.frontends.blocks.pool import pooling, whole
from graphsim.frontends.blocks.reduce import Over, Varying
from graphsim.frontends.blocks.spatial import Slide, along, padded, sliding, transposed
from graphsim.frontends.builder import Array, Builder, RefusedError, Tensor, Unary
from graphsim.frontends.onnx import folding
from graphsim.frontends.onnx.reader import Node
from graphsim.graph import Axis, Ref

Value = Tensor | Array


@dataclass(frozen=True)
class Call:
    """A node with the values of its inputs; None for one that is left out. ``whole``: those are integers, or truths."""

    node: Node
    values: Sequence[Value | None]
    opset: int
    whole: bool = False

    def given(self, number: int) -> bool:
        """Whether an input is there."""
        return number < len(self.values) and self.values[number] is not None

    def tensor(self, number: int) -> Tensor:
        """An input that depends on the sample.

        Raises:
            RefusedError: it is a constant.
        """
        value = self.values[number] if number < len(self.values) else None
        if not isinstance(value, Tensor):
            raise RefusedError(f"its input {number} is a constant, or missing")
        return value

    def constant(self, number: int) -> Array:
        """An input that the file holds.

        Raises:
            RefusedError: it depends on the sample, or is missing.
        """
        value = self.values[number] if number < len(self.values) else None
        if not isinstance(value, np.ndarray):
            raise RefusedError(f"its input {number} is not a constant")
        return value

    def floats(self, number: int) -> npt.NDArray[np.float32]:
        """A constant as float32.

        Raises:
            RefusedError: it depends on the sample, is missing, or has other elements than numbers.
        """
        found = self.constant(number)
        if found.dtype.kind not in "fiub":
            raise RefusedError(f"its input {number} has elements of type {found.dtype}")
        return found.astype(np.float32)

    def fitting(self, number: int, shape: Sequence[int]) -> npt.NDArray[np.float32]:
        """A constant as float32, broadcast to a shape.

        Raises:
            RefusedError: it does not fit.
        """
        found = self.floats(number)
        if len(found.shape) > len(shape) or any(
            n not in (1, m) for n, m in zip(found.shape[::-1], shape[::-1], strict=False)
        ):
            raise RefusedError(f"its input {number} of shape {found.shape} does not fit {tuple(shape)}")
        return np.broadcast_to(found, shape)

    def axis(self, name: str, default: int, rank: int) -> int:
        """An attribute that is an axis of a tensor of ``rank`` axes, counted from the front.

        Raises:
            RefusedError: it is none.
        """
        return folding.axis(self.integer(name, default), rank)

    def integer(self, name: str, default: int) -> int:
        """An attribute."""
        return int(self.node.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """An attribute, rounded to float32.

        Raises:
            RefusedError: it is not finite.
        """
        found = float(np.float32(self.node.attributes.get(name, default)))
        if not math.isfinite(found):
            raise RefusedError(f"its {name} is {found}")
        return found

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        """An attribute."""
        return [int(n) for n in self.node.attributes.get(name, default)]


Rule = Callable[[Builder, Call], Sequence[Value]]
RULES: dict[str, Rule] = {}
"""Every rule, by operator."""


def operator(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def sample_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the batch axis, where there is one: what groups have."""
    return tuple(shape[1:]) if len(shape) > 1 and shape[0] == 1 else tuple(shape)


def sample(x: Tensor) -> Tensor:
    """A tensor without its batch axis.

    Raises:
        RefusedError: it has none.
    """
    if len(x.shape) < 2 or x.shape[0] != 1:
        raise RefusedError(f"its input of shape {x.shape} has no batch axis in front")
    return x.reshaped(x.shape[1:])


def batched(y: Tensor) -> Tensor:
    """A tensor with a batch axis in front."""
    return replace(y, shape=(1, *y.shape))


def _group(to: Builder, op: str, shape: Sequence[int], **more: Any) -> Tensor:
    return replace(to.group(op, sample_shape(shape), observes="output", **more), shape=tuple(shape))


def _applied(to: Builder, x: Tensor, function: Unary) -> Tensor:
    y = _group(to, "sum", x.shape, activation=function)
    to.one_to_one(x, y)
    return y


# -- one element at a time --------------------------------------------------------------------------------------------

_UNARY: dict[str, str] = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Cos": "cos",
    "Exp": "exp",
    "Mish": "mish",
    "Sin": "sin",
    "HardSwish": "hard_silu",
    "Abs": "abs",
    "Ceil": "ceil",
    "Erf": "erf",
    "Floor": "floor",
    "Neg": "negative",
    "Round": "round",
    "Reciprocal": "reciprocal",
    "Sign": "sign",
    "Sqrt": "sqrt",
}
for _name, _row in _UNARY.items():
    operator(_name)(lambda to, call, row=_row: [_applied(to, call.tensor(0), Unary(row))])  # type: ignore[misc]


@operator("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Selu", "HardSigmoid", "Gelu", "Log")
def activation(to: Builder, call: Call) -> Sequence[Value]:
    """Activations with arguments."""
    match call.node.op:
        case "LeakyRelu":
            row = Unary("leaky_relu", (call.number("alpha", 0.01),))
        case "Elu":
            row = Unary("elu", (call.number("alpha", 1.0),))
        case "Celu":
            row = Unary("celu", (call.number("alpha", 1.0),))
        case "ThresholdedRelu":
            row = Unary("threshold", (call.number("alpha", 1.0), 0.0))
        case "Selu":
            usual = call.number("alpha", 1.67326319217681884765625), call.number("gamma", 1.05070102214813232421875)
            if usual != (float(np.float32(1.67326319217681884765625)), float(np.float32(1.05070102214813232421875))):
                raise RefusedError("its alpha and gamma are not the usual ones")
            row = Unary("selu")
        case "HardSigmoid":
            named = {(1 / 6, 0.5): "hard_sigmoid", (0.2, 0.5): "hard_sigmoid_v2"}
            given = call.node.attributes.get("alpha", 0.2), call.node.attributes.get("beta", 0.5)
            found = [name for pair, name in named.items() if np.allclose(pair, given, atol=1e-7, rtol=0)]
            if not found:
                raise RefusedError(f"its alpha and beta are {given}; {list(named)} are lowered")
            row = Unary(found[0])
        case "Gelu":
            row = Unary("gelu_tanh" if call.node.attributes.get("approximate") == "tanh" else "gelu")
        case _:
            row = Unary("log")
    return [_applied(to, call.tensor(0), row)]


@operator("Softmax", "LogSoftmax")
def softmax(to: Builder, call: Call) -> Sequence[Value]:
    """Along an axis; before operator set 13, along all axes from it on."""
    x = call.tensor(0)
    axis = call.axis("axis", -1 if call.opset >= 13 else 1, len(x.shape))
    axes = range(axis, len(x.shape)) if call.opset < 13 else [axis]
    if 0 in axes:
        raise RefusedError("it works along the batch axis")
    block = along_axes.softmax if call.node.op == "Softmax" else along_axes.log_softmax
    return [batched(block(to, sample(x), [a - 1 for a in axes]))]


@operator("PRelu")
def prelu(to: Builder, call: Call) -> Sequence[Value]:
    """Slopes that broadcast to the input."""
    x = call.tensor(0)
    call.fitting(1, x.shape)
    slope = call.floats(1)
    over = (1,) * (len(x.shape) - slope.ndim) + slope.shape
    ref = to.spread("slope", lambda of: slope, over, x.shape)
    y = _group(to, "sum", x.shape, activation=Unary("leaky_relu"), params={"alpha": ref})
    to.one_to_one(x, y)
    return [y]


@operator("Identity", "Dropout")
def identity(to: Builder, call: Call) -> Sequence[Value]:
    """Nothing at inference."""
    return [call.tensor(0)]


@operator("Cast")
def cast(to: Builder, call: Call) -> Sequence[Value]:
    """Between kinds of numbers: fractions are cut off, truths are 1 and 0."""
    kind, x = call.integer("to", 1), call.tensor(0)
    if kind == 9:
        return [_applied(to, x, Unary("nonzero"))]
    if kind not in folding.NUMBERS:
        raise RefusedError("it makes other numbers than float32 and integers")
    if folding.NUMBERS[kind] in (np.float32, np.float64) or call.whole:
        return [x]
    return [_applied(to, x, Unary("trunc"))]


# -- products of matrices ---------------------------------------------------------------------------------------------


def _has_batch(xs: Sequence[Tensor]) -> bool:
    """Whether all of these have a batch axis in front and the same number of axes."""
    return len({len(x.shape) for x in xs}) == 1 and all(len(x.shape) > 1 and x.shape[0] == 1 for x in xs)


@operator("MatMul", "Gemm")
def matrix_product(to: Builder, call: Call) -> Sequence[Value]:
    """With a constant matrix: neurons."""
    if call.node.op == "MatMul" and not (isinstance(call.values[0], Tensor) and _is_matrix(call.values[1])):
        return _product(to, call)
    x, weights = call.tensor(0), call.floats(1)
    if call.node.op == "Gemm":
        if call.integer("transA", 0):
            raise RefusedError("its first operand is transposed")
        weights = weights.T if call.integer("transB", 0) else weights
        alpha = np.float32(call.number("alpha", 1.0))
        weights = weights if alpha == 1 else weights * alpha
    if weights.ndim != 2 or x.shape[-1] != len(weights):
        raise RefusedError(f"its matrix of shape {weights.shape} does not fit an input of shape {x.shape}")
    params: dict[str, Ref | None] = {}
    if call.node.op == "Gemm" and call.given(2):
        bias = np.float32(call.number("beta", 1.0)) * call.floats(2)
        if bias.size not in (1, weights.shape[1]):
            raise RefusedError(f"its bias has shape {bias.shape}")
        params["bias"] = Ref(to.constant("bias", bias.reshape(-1)).param)
    y = _group(to, "linear", (*x.shape[:-1], weights.shape[1]), params=params)
    to.dense(x, y, weight=to.constant("kernel", np.ascontiguousarray(weights)), blocks=math.prod(x.shape[:-1]))
    return [y]


def as_tensor(to: Builder, call: Call, number: int) -> Tensor:
    """An input; a constant as actors.

    Raises:
        RefusedError: it is missing.
    """
    value = call.values[number] if number < len(call.values) else None
    if isinstance(value, Tensor):
        return value
    array = call.floats(number)
    return arith.constant(to, array, array.shape, suffix=f"constant{number}")


def _product(to: Builder, call: Call) -> Sequence[Value]:
    """MatMul of two tensors, or of a constant and a tensor: an actor of op ``dot`` per element."""
    left, right = (as_tensor(to, call, i) for i in (0, 1))
    if min(len(left.shape), len(right.shape)) < 2:
        raise RefusedError(f"it multiplies shapes {left.shape} and {right.shape}; matrices are lowered")
    if len(left.shape) == len(right.shape) > 2 and left.shape[0] == right.shape[0] == 1:
        return [batched(arith.matmul(to, Operand(sample(left)), Operand(sample(right))))]
    return [arith.matmul(to, Operand(left), Operand(right))]


def _is_matrix(value: Value | None) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2


# -- windows ----------------------------------------------------------------------------------------------------------


def _slides(call: Call, taps: Sequence[int]) -> list[Slide]:
    strides, dilations = (call.integers(name, [1] * len(taps)) for name in ("strides", "dilations"))
    if not len(strides) == len(dilations) == len(taps) or min([*strides, *dilations, *taps]) < 1:
        raise RefusedError("its strides, dilations and kernel do not fit")
    return [Slide(*parts) for parts in zip(taps, strides, dilations, strict=True)]


def _pads(call: Call, rank: int) -> list[tuple[int, int]]:
    pads = call.integers("pads", [0] * 2 * rank)
    if len(pads) != 2 * rank or min(pads) < 0:
        raise RefusedError(f"its pads are {pads}")
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _windows(call: Call, x: Tensor, taps: Sequence[int]) -> list[Axis]:
    """How the window slides over (channels, spatial axes)."""
    rules: list[Callable[[int], Axis]] = []
    auto = call.node.attributes.get("auto_pad", "NOTSET")
    for slide, (before, after) in zip(_slides(call, taps), _pads(call, len(taps)), strict=True):

        def rule(size: int, slide: Slide = slide, before: int = before, after: int = after) -> Axis:
            if auto == "VALID":
                return padded(size, slide, 0, 0)
            if auto == "SAME_UPPER":
                return sliding(size, slide, "same")
            if auto == "SAME_LOWER":
                upper = sliding(size, slide, "same")
                total = max((upper.consumers - 1) * slide.stride + slide.reach - size, 0)
                return upper._replace(pad=total - total // 2)
            found = padded(size, slide, before, after)
            if call.integer("ceil_mode", 0) and (size + before + after - slide.reach) % slide.stride:
                # A window that starts within the input or its padding in front may end beyond it.
                extra = found.consumers * slide.stride < size + before
                return found._replace(consumers=found.consumers + int(extra))
            return found

        rules.append(rule)
    return along(sample(x), 0, rules)


def _kernel(call: Call) -> npt.NDArray[np.float32]:
    """Of as many axes as the input has."""
    kernel = call.floats(1)
    if kernel.ndim != len(call.tensor(0).shape) or kernel.ndim < 3 or not kernel.size:
        raise RefusedError(f"its kernel of shape {kernel.shape} does not fit an input of {call.tensor(0).shape}")
    stated = call.integers("kernel_shape", kernel.shape[2:])
    if stated != list(kernel.shape[2:]):
        raise RefusedError(f"its kernel_shape is {stated}, and its kernel has shape {kernel.shape}")
    return kernel


@operator("Conv")
def conv(to: Builder, call: Call) -> Sequence[Value]:
    """Kernel (filters, channels of a group, *taps); channels come first."""
    x, kernel = call.tensor(0), _kernel(call)
    bias = to.constant("bias", call.floats(2)) if call.given(2) else None
    axes = _windows(call, x, kernel.shape[2:])
    found = Kernel(to.constant("kernel", kernel), kernel.shape, 1, 0)
    groups = call.integer("group", 1)
    y = convolution(to, sample(x), axes, found, channels=0, groups=groups, bias=bias, observes="output")
    return [batched(y)]


@operator("ConvTranspose")
def conv_transpose(to: Builder, call: Call) -> Sequence[Value]:
    """Kernel (channels, filters of a group, *taps)."""
    x, kernel = call.tensor(0), _kernel(call)
    groups, rank = call.integer("group", 1), kernel.ndim - 2
    if call.node.attributes.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in call.node.attributes:
        raise RefusedError("its padding is not stated in numbers")
    extra = call.integers("output_padding", [0] * rank)
    if len(extra) != rank or min(extra) < 0:
        raise RefusedError(f"its output_padding is {extra}")
    rules: list[Callable[[int], Axis]] = []
    for slide, (before, after), more in zip(_slides(call, kernel.shape[2:]), _pads(call, rank), extra, strict=True):

        def rule(
            size: int, slide: Slide = slide, lost: int = before + after, before: int = before, more: int = more
        ) -> Axis:
            return transposed(size, slide, (size - 1) * slide.stride + slide.reach - lost + more, before)

        rules.append(rule)
    if groups != 1:
        raise RefusedError(f"it has {groups} groups")
    bias = to.constant("bias", call.floats(2)) if call.given(2) else None
    found = Kernel(to.constant("kernel", kernel), kernel.shape, 0, 1)
    axes = along(sample(x), 0, rules)
    return [batched(convolution(to, sample(x), axes, found, channels=0, bias=bias, observes="output"))]


@operator("MaxPool", "AveragePool")
def pool(to: Builder, call: Call) -> Sequence[Value]:
    """Windows over the spatial axes; padding counts for the average only where it says so."""
    x, taps = call.tensor(0), call.integers("kernel_shape", [])
    if not taps:
        raise RefusedError("it has no window")
    if len([name for name in call.node.outputs if name]) > 1:
        raise RefusedError("its second output, places of the greatest elements, is not lowered")
    axes = _windows(call, x, taps)
    if call.node.op == "MaxPool":
        return [batched(pooling(to, sample(x), axes, "max"))]
    if call.integer("count_include_pad", 0) and any(n for pair in _pads(call, len(taps)) for n in pair):
        raise RefusedError("its average counts the padding")
    return [batched(pooling(to, sample(x), axes, "mean"))]


@operator("GlobalMaxPool", "GlobalAveragePool")
def global_pool(to: Builder, call: Call) -> Sequence[Value]:
    """Over all spatial axes."""
    x = sample(call.tensor(0))
    if len(x.shape) < 2:
        raise RefusedError(f"its input of shape {call.tensor(0).shape} has no spatial axes")
    op = "max" if call.node.op == "GlobalMaxPool" else "mean"
    return [batched(pooling(to, x, whole(x, range(1, len(x.shape))), op))]  # type: ignore[arg-type]


# -- normalisation ----------------------------------------------------------------------------------------------------


@operator("BatchNormalization")
def batch_normalization(to: Builder, call: Call) -> Sequence[Value]:
    """By the statistics that it has learnt."""
    if call.integer("training_mode", 0):
        raise RefusedError("it is in training mode")
    x = sample(call.tensor(0))
    found = Statistics(*(call.floats(i) for i in range(1, 5)))
    if any(array.shape != x.shape[:1] for array in found if array is not None):
        raise RefusedError(f"its statistics are not one number for each channel of samples of shape {x.shape}")
    return [batched(by_statistics(to, x, 0, lambda of: found, call.number("epsilon", 1e-5)))]


@operator("LayerNormalization")
def layer_normalization(to: Builder, call: Call) -> Sequence[Value]:
    """Over all axes from one on."""
    if len([name for name in call.node.outputs if name]) > 1:
        raise RefusedError("its further outputs, the statistics, are not lowered")
    x = sample(call.tensor(0))
    rank = len(x.shape)
    axis = call.axis("axis", -1, rank + 1) - 1
    if axis < 0:
        raise RefusedError("it normalises over the batch axis")
    axes = tuple(range(axis, rank))
    gamma, beta = (
        to.constant(name, call.fitting(i, x.shape[axis:]).reshape(-1)) if call.given(i) else None
        for name, i in (("gamma", 1), ("beta", 2))
    )
    over = Over(x.shape, frozenset(axes))
    scale = None if gamma is None else Varying(gamma, axes)
    offset = None if beta is None else Ref(beta.param)
    return [batched(standardised(to, x, over, call.number("epsilon", 1e-5), scale, offset))]


# -- moving elements --------------------------------------------------------------------------------------------------


@operator("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(to: Builder, call: Call) -> Sequence[Value]:
    """The same elements in another shape: no actors."""
    x = call.tensor(0)
    arrays = [value if isinstance(value, np.ndarray) else None for value in call.values]
    match call.node.op:
        case "Reshape":
            target = folding.integers(call.constant(1))
            shape = folding.reshaped(x.shape, target, bool(call.integer("allowzero", 0)))
        case "Flatten":
            axis = folding.axis(call.integer("axis", 1), len(x.shape), last=True)
            shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
        case "Squeeze":
            axes = folding.axes_of(call.node.attributes, arrays)
            gone = (
                {folding.axis(a, len(x.shape)) for a in axes}
                if axes is not None
                else {i for i, n in enumerate(x.shape) if n == 1}
            )
            if any(x.shape[i] != 1 for i in gone):
                raise RefusedError(f"it takes away axes {axes} of shape {x.shape}; their sizes should be 1")
            shape = tuple(n for i, n in enumerate(x.shape) if i not in gone)
        case _:
            axes = folding.axes_of(call.node.attributes, arrays) or []
            rank = len(x.shape) + len(axes)
            added = {folding.axis(axis, rank) for axis in axes}
            if len(added) < len(axes):
                raise RefusedError(f"it adds axes {axes}, one of them twice")
            kept = iter(x.shape)
            shape = tuple(1 if i in added else next(kept) for i in range(rank))
    return [replace(x.reshaped(shape), classes=x.classes)]


@operator("Shape")
def shape(to: Builder, call: Call) -> Sequence[Value]:
    """Known while lowering."""
    sizes = np.array(call.tensor(0).shape, np.int64)
    return [sizes[call.integer("start", 0) : call.node.attributes.get("end")]]


@operator("Transpose")
def transpose(to: Builder, call: Call) -> Sequence[Value]:
    """Axes in another order; where only axes of size 1 move, no actors."""
    x = call.tensor(0)
    order = call.integers("perm", list(range(len(x.shape)))[::-1])
    if sorted(order) != list(range(len(x.shape))):
        raise RefusedError(f"its perm {order} is not an order of {len(x.shape)} axes")
    shape = tuple(x.shape[i] for i in order)
    wide = [i for i in order if x.shape[i] != 1]
    if wide == sorted(wide):
        return [x.reshaped(shape)]
    return [replace(moving.transposed(to, x, order, sample_shape(shape)), shape=shape)]


@operator("Concat")
def concat(to: Builder, call: Call) -> Sequence[Value]:
    """One port per input."""
    xs = [call.tensor(i) for i in range(len(call.values))]
    axis = call.axis("axis", 1, len(xs[0].shape))
    if axis and _has_batch(xs):
        return [batched(moving.joined(to, [sample(x) for x in xs], axis - 1))]
    return [moving.joined(to, xs, axis)]


@operator("Slice")
def slice_(to: Builder, call: Call) -> Sequence[Value]:
    """Every so manieth element of some axes."""
    x = call.tensor(0)
    arrays = [value if isinstance(value, np.ndarray) else None for value in call.values]
    parts = folding.slices(call.node.attributes, arrays, len(x.shape))
    return [taken(to, x, [range(*part.indices(size)) for part, size in zip(parts, x.shape, strict=True)])]


def taken(to: Builder, x: Tensor, ranges: Sequence[range]) -> Tensor:
    """The elements of ``x`` in a range of every axis."""
    if _has_batch([x]) and ranges[0] == range(1):
        return batched(moving.taken(to, sample(x), ranges[1:]))
    return moving.taken(to, x, ranges)


@operator("Split")
def split(to: Builder, call: Call) -> Sequence[Value]:
    """Consecutive parts of an axis."""
    x = call.tensor(0)
    axis = call.axis("axis", 0, len(x.shape))
    count = len(call.node.outputs)
    if call.given(1):
        sizes = folding.integers(call.constant(1))
    else:
        each = -(-x.shape[axis] // count)
        sizes = call.integers("split", [each] * (count - 1) + [x.shape[axis] - each * (count - 1)])
    if sum(sizes) != x.shape[axis] or len(sizes) != count or min(sizes) < 1:
        raise RefusedError(f"it splits an axis of {x.shape[axis]} into {sizes}")
    parts, start = [], 0
    for size in sizes:
        ranges = [range(start, start + size) if i == axis else range(n) for i, n in enumerate(x.shape)]
        parts.append(taken(to, x, ranges))
        start += size
    return parts


@operator("Expand")
def expand(to: Builder, call: Call) -> Sequence[Value]:
    """Broadcast."""
    x = call.tensor(0)
    wanted = folding.bounded(folding.integers(call.constant(1)))
    try:
        shape = np.broadcast_shapes(x.shape, wanted)
    except ValueError:
        raise RefusedError(f"its input of shape {x.shape} does not fit {wanted}") from None
    if shape == x.shape:
        return [x]
    y = _group(to, "sum", shape)
    to.elements(x, y)
    return [y]
