"""Rules of ONNX operators that give elements other places, or take those that are named; see ``operators``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks import arith
from graphsim.frontends.blocks import shape as moving
from graphsim.frontends.blocks.arith import Equation
from graphsim.frontends.blocks.norm import standardised
from graphsim.frontends.blocks.reduce import Over, Varying
from graphsim.frontends.builder import MAX_LISTED, Builder, RefusedError, Tensor, Unary
from graphsim.frontends.onnx import folding
from graphsim.frontends.onnx.operators import Call, Value, batched, operator, sample, sample_shape, taken
from graphsim.graph import Axis, Ref

Places = npt.NDArray[np.intp]

_NOUGHT = np.zeros((), np.float32)


def _numbers(x: Tensor) -> Places:
    """The number of every element, in the shape of the tensor."""
    return np.arange(x.size, dtype=np.intp).reshape(x.shape)


def _from(to: Builder, x: Tensor, where: Places) -> Tensor:
    """The elements of those numbers.

    Raises:
        RefusedError: there are none, or too many to be listed.
    """
    if not 0 < where.size <= MAX_LISTED:
        raise RefusedError(f"it makes {where.size:,} elements")
    y = to.group("sum", sample_shape(where.shape), observes="output")
    to.table(x, y, 1, lambda: where)
    return replace(y, shape=where.shape)


def _bounded(shape: Sequence[int]) -> None:
    """Before an array of that shape is made.

    Raises:
        RefusedError: it has too many elements.
    """
    if math.prod(shape) > MAX_LISTED:
        raise RefusedError(f"it makes {math.prod(shape):,} elements")


@operator("Gather")
def gather(to: Builder, call: Call) -> Sequence[Value]:
    """Elements of an axis by constant numbers; or rows of a constant table by the numbers of other neurons."""
    if isinstance(call.values[0], np.ndarray):
        return _rows(to, call)
    x = call.tensor(0)
    axis = call.axis("axis", 0, len(x.shape))
    if len(call.values) > 1 and isinstance(call.values[1], Tensor):
        return [_by_neurons(to, x, call.values[1], axis)]
    index = call.constant(1)
    wanted = [folding.axis(i, x.shape[axis], "index") for i in folding.integers(index)]
    if not wanted:
        raise RefusedError("it takes no element")
    step = wanted[1] - wanted[0] if len(wanted) > 1 else 1
    shape = [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]]
    if step == 0 or wanted != [wanted[0] + i * step for i in range(len(wanted))]:
        _bounded(shape)
        chosen = np.take(_numbers(x), np.array(wanted, np.intp).reshape(index.shape), axis=axis)
        return [_from(to, x, chosen)]
    stop = wanted[0] + step * len(wanted)
    y = taken(to, x, [range(wanted[0], stop, step) if i == axis else range(n) for i, n in enumerate(x.shape)])
    return [y.reshaped(shape)]


def _rows(to: Builder, call: Call) -> Sequence[Value]:
    """An embedding."""
    table, numbers = call.floats(0), call.tensor(1)
    if call.axis("axis", 0, table.ndim) or not table.size:
        raise RefusedError("it takes elements of a constant along another axis than the first")
    width = table.shape[1:]
    to.expects(numbers)(0, len(table) - 1, call.node.op)
    stored = to.constant("table", table.reshape(len(table), -1))
    made = to.group(
        "lookup",
        [*sample_shape(numbers.shape), math.prod(width)],
        params={"table": Ref(stored.param)},
        observes="output",
    )
    to.elements(numbers.reshaped([*sample_shape(numbers.shape), 1]), made)
    return [replace(made, shape=(*numbers.shape, *width))]


def _by_neurons(to: Builder, x: Tensor, numbers: Tensor, axis: int) -> Tensor:
    """A sum of products: element k of the axis times whether the number is k; negative ones count from the end."""
    own = np.arange(x.shape[axis], dtype=np.float32)
    with to.within(shows=False):
        below = arith.elementwise(to, "min", [numbers, _NOUGHT], activation=Unary("nonzero"), suffix="below")
        from_end = arith.elementwise(to, "sum", [numbers, np.float32(len(own)) + _NOUGHT], suffix="from_end")
        numbers = arith.select(to, below, from_end, numbers, suffix="number")
    wide = numbers.reshaped([*numbers.shape, 1])
    chosen = arith.elementwise(to, "subtract", [wide, own], activation=Unary("zero"), suffix="chosen", observes="")
    free = "ABCDEFGHIJKLM"[: len(numbers.shape)]
    letters = "abcdefghijklm"[: len(x.shape)]
    result = letters[:axis] + free + letters[axis + 1 :]
    return arith.contraction(to, Equation(f"{free}{letters[axis]}", letters, result), chosen, x)


@operator("GatherElements")
def gather_elements(to: Builder, call: Call) -> Sequence[Value]:
    """Elements of an axis by constant numbers, each place its own."""
    x, index = call.tensor(0), call.constant(1)
    axis = call.axis("axis", 0, len(x.shape))
    if index.ndim != len(x.shape) or any(
        n > m for i, (n, m) in enumerate(zip(index.shape, x.shape, strict=True)) if i != axis
    ):
        raise RefusedError(f"its numbers of shape {index.shape} do not fit {x.shape}")
    wanted = [folding.axis(i, x.shape[axis], "index") for i in folding.integers(index)]
    kept = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(index.shape))
    chosen = np.array(wanted, np.intp).reshape(index.shape)
    return [_from(to, x, np.take_along_axis(_numbers(x)[kept], chosen, axis=axis))]


@operator("Tile")
def tile(to: Builder, call: Call) -> Sequence[Value]:
    """The whole several times, along every axis."""
    x, times = call.tensor(0), folding.integers(call.constant(1))
    if len(times) != len(x.shape) or min(times, default=1) < 1:
        raise RefusedError(f"it repeats shape {x.shape} {times} times")
    if all(n == 1 or m == 1 for n, m in zip(x.shape, times, strict=True)):
        shape = [n * m for n, m in zip(x.shape, times, strict=True)]
        if shape == list(x.shape):
            return [x]
        y = to.group("sum", sample_shape(shape), observes="output")
        to.window(x, y, [Axis(n, m * n, stride=1 if m == 1 else 0) for n, m in zip(x.shape, times, strict=True)])
        return [replace(y, shape=tuple(shape))]
    _bounded([n * m for n, m in zip(x.shape, times, strict=True)])
    return [_from(to, x, np.tile(_numbers(x), times))]


@operator("Pad")
def pad(to: Builder, call: Call) -> Sequence[Value]:
    """Zeros around, another constant, or elements of its own; negative numbers crop."""
    x = call.tensor(0)
    given = call.integers("pads", []) or folding.integers(call.constant(1))
    value = float(call.fitting(2, [1])[0]) if call.given(2) else call.number("value", 0.0)
    mode, rank = call.node.attributes.get("mode", "constant"), len(x.shape)
    at = [folding.axis(i, rank) for i in folding.integers(call.constant(3))] if call.given(3) else list(range(rank))
    if len(given) != 2 * len(at) or len(set(at)) != len(at):
        raise RefusedError(f"its pads are {given}")
    pads = [(0, 0)] * rank
    for number, axis in enumerate(at):
        pads[axis] = given[number], given[number + len(at)]
    axes = [moving.widened(n, *pair) for n, pair in zip(x.shape, pads, strict=True)]
    shape = tuple(axis.consumers for axis in axes)
    if mode == "constant":
        inside = replace(
            moving.moved(to, x, axes, shape=sample_shape(shape), observes="output" if not value else ""), shape=shape
        )
        if not value:
            return [inside]
        if not math.isfinite(value):
            raise RefusedError(f"it pads with {value}")
        _bounded(shape)
        border = np.ones(x.shape, np.float32)
        cut = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, pads, strict=True))
        wide = np.pad(border[cut], [(max(0, a), max(0, b)) for a, b in pads], constant_values=0)
        around = np.where(wide == 0, np.float32(value), np.float32(0)).astype(np.float32)
        return [arith.elementwise(to, "sum", [inside, around])]
    if mode not in ("reflect", "edge", "wrap") or min(n for pair in pads for n in pair) < 0:
        raise RefusedError(f"its mode is {mode!r}, or it crops")
    _bounded(shape)
    if any(max(pair) >= n + (mode == "edge") * max(pair) for n, pair in zip(x.shape, pads, strict=True) if max(pair)):
        raise RefusedError(f"it pads shape {x.shape} by {pads}, more than there is")
    named: Any = mode
    return [_from(to, x, np.pad(_numbers(x), pads, mode=named))]


@operator("ReverseSequence")
def reverse_sequence(to: Builder, call: Call) -> Sequence[Value]:
    """The first elements of an axis backwards, as many as a constant says of every sample."""
    x = call.tensor(0)
    time, batch = call.axis("time_axis", 0, len(x.shape)), call.axis("batch_axis", 1, len(x.shape))
    lengths = folding.integers(call.constant(1))
    if time == batch or len(lengths) != x.shape[batch] or any(not 0 <= n <= x.shape[time] for n in lengths):
        raise RefusedError(f"its sequences of shape {x.shape} have lengths {lengths}")
    where = np.moveaxis(_numbers(x), (batch, time), (0, 1)).copy()
    for number, length in enumerate(lengths):
        where[number, :length] = where[number, :length][::-1].copy()
    return [_from(to, x, np.moveaxis(where, (0, 1), (batch, time)))]


@operator("DepthToSpace", "SpaceToDepth")
def blocks(to: Builder, call: Call) -> Sequence[Value]:
    """Blocks of pixels, and channels of one; channels come first."""
    x, size = call.tensor(0), call.integer("blocksize", 0)
    if len(x.shape) != 4 or size < 1:
        raise RefusedError(f"it takes blocks of {size} of shape {x.shape}")
    n, depth, h, w = x.shape
    if call.node.op == "SpaceToDepth":
        if h % size or w % size:
            raise RefusedError(f"its blocks of {size} do not fit shape {x.shape}")
        parts = _numbers(x).reshape(n, depth, h // size, size, w // size, size).transpose(0, 3, 5, 1, 2, 4)
        return [_from(to, x, parts.reshape(n, depth * size**2, h // size, w // size))]
    if depth % size**2:
        raise RefusedError(f"its blocks of {size} do not fit shape {x.shape}")
    few = depth // size**2
    if call.node.attributes.get("mode", "DCR") == "DCR":
        parts = _numbers(x).reshape(n, size, size, few, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = _numbers(x).reshape(n, few, size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
    return [_from(to, x, parts.reshape(n, few, h * size, w * size))]


@operator("Trilu")
def triangle(to: Builder, call: Call) -> Sequence[Value]:
    """The elements on one side of a diagonal of the last two axes; the others 0."""
    x = call.tensor(0)
    k = folding.integers(call.constant(1)) if call.given(1) else [0]
    if len(x.shape) < 2 or len(k) != 1:
        raise RefusedError(f"it takes triangles of shape {x.shape}")
    _bounded(x.shape[-2:])
    ones = np.ones(x.shape[-2:], np.float32)
    limit = int(np.clip(k[0], -x.size, x.size))
    kept = np.triu(ones, limit) if call.integer("upper", 1) else np.tril(ones, limit)
    return [arith.select(to, np.broadcast_to(kept, x.shape), x, np.zeros((), np.float32))]


@operator("OneHot")
def one_hot(to: Builder, call: Call) -> Sequence[Value]:
    """One of two constants for every class, by the numbers of other neurons; negative ones count from the end."""
    x, depth, values = call.tensor(0), folding.integers(call.constant(1)), call.floats(2)
    rank = len(x.shape) + 1
    if len(depth) != 1 or not 0 < depth[0] <= MAX_LISTED or values.shape != (2,):
        raise RefusedError(f"its number of classes is {depth}, its values {values.tolist()[:4]}")
    at = call.axis("axis", -1, rank)
    classes = np.arange(depth[0], dtype=np.float32).reshape([-1 if i == at else 1 for i in range(rank)])
    wide = x.reshaped([*x.shape[:at], 1, *x.shape[at:]])
    parts = [
        arith.elementwise(to, "subtract", [wide, wanted], activation=Unary("zero"), suffix=name, observes="")
        for name, wanted in (("is", classes), ("is_from_end", classes - np.float32(depth[0])))
    ]
    off, on = (np.full((), value, np.float32) for value in values)
    return [arith.select(to, arith.elementwise(to, "max", parts, suffix="chosen", observes=""), on, off)]


@operator("Resize", "Upsample")
def resize(to: Builder, call: Call) -> Sequence[Value]:
    """Axes in other sizes: of the nearest elements, or by weights, straight lines (``linear``) or cubic ones."""
    x = call.tensor(0)
    mode, attributes = call.node.attributes.get("mode", "nearest"), call.node.attributes
    sizes, scales = _sizes(call, x)
    y = x
    changed = [i for i, (n, m, s) in enumerate(zip(x.shape, sizes, scales, strict=True)) if n != m or s != 1]
    if mode not in ("nearest", "linear", "cubic") or (
        call.given(1) and attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    ):
        raise RefusedError(f"its mode is {mode!r}, or it crops")
    if call.integer("antialias", 0):
        raise RefusedError("it smooths what it makes smaller (antialias)")
    if not changed:
        return [moving.moved(to, x, [Axis(n, n) for n in x.shape], shape=sample_shape(x.shape)).reshaped(x.shape)]
    for number, axis in enumerate(changed):
        is_last = number == len(changed) - 1
        at = _positions(call, y.shape[axis], sizes[axis], scales[axis])
        y = _resized(to, call, y, axis, at, mode, "" if is_last else f"axis{axis}")
    return [y]


def _sizes(call: Call, x: Tensor) -> tuple[list[int], list[float]]:
    """The size of every axis, and how many times the old it is."""
    rank = len(x.shape)
    old = call.node.op == "Upsample" or call.opset < 11
    which = 1 if old else 2
    stated = [float(n) for n in call.floats(which).reshape(-1)] if call.given(which) else []
    stated = stated or [float(n) for n in call.node.attributes.get("scales", [])]
    if stated:
        if len(stated) != rank or not all(0 < n < 1 << 20 for n in stated):
            raise RefusedError(f"it makes shape {x.shape} {stated} times as large")
        return [math.floor(n * times) for n, times in zip(x.shape, stated, strict=True)], stated
    wanted = folding.integers(call.constant(3))
    if len(wanted) != rank or min(wanted) < 1 or "axes" in call.node.attributes:
        raise RefusedError(f"it makes shape {x.shape} {wanted}")
    return wanted, [m / n for n, m in zip(x.shape, wanted, strict=True)]


def _positions(call: Call, old: int, new: int, scale: float) -> npt.NDArray[np.float64]:
    """Where in the old axis every element of the new one lies."""
    if new < 1:
        raise RefusedError("nothing is left of it")
    _bounded([new])
    o = np.arange(new, dtype=np.float64)
    usual = "asymmetric" if call.node.op == "Upsample" or call.opset < 11 else "half_pixel"
    match call.node.attributes.get("coordinate_transformation_mode", usual):
        case "half_pixel":
            return (o + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (o + 0.5) / scale - 0.5 if new > 1 else np.zeros(1)
        case "half_pixel_symmetric":
            centre = old / 2 * (1 - new / (scale * old))
            return centre + (o + 0.5) / scale - 0.5
        case "align_corners":
            whole = scale * old  # in the reference's rounding, where that is whole
            return o * (old - 1) / ((whole if abs(whole - new) < 1e-6 else new) - 1) if new > 1 else np.zeros(1)
        case "asymmetric":
            return o / scale
        case other:
            raise RefusedError(f"its coordinate_transformation_mode is {other!r}")


def _resized(
    to: Builder, call: Call, x: Tensor, axis: int, at: npt.NDArray[np.float64], mode: str, suffix: str
) -> Tensor:
    """One axis: every element a weighted sum of its neighbours, those beyond an end being the end."""
    old, shape = x.shape[axis], [len(at) if i == axis else n for i, n in enumerate(x.shape)]
    floor = np.floor(at)
    if mode == "nearest":
        rounding = call.node.attributes.get("nearest_mode", "round_prefer_floor")
        usual = "floor" if call.node.op == "Upsample" or call.opset < 11 else rounding
        chosen = {
            "floor": floor,
            "ceil": np.ceil(at),
            "round_prefer_floor": np.ceil(at - 0.5),
            "round_prefer_ceil": np.floor(at + 0.5),
        }.get(usual)
        if chosen is None:
            raise RefusedError(f"its nearest_mode is {usual!r}")
        taps, shares = chosen[:, None], np.ones((len(at), 1))
    elif mode == "linear":
        share = at - floor
        taps, shares = np.stack([floor, floor + 1], 1), np.stack([1 - share, share], 1)
    else:
        left = np.ceil(at) - 1  # of an element that is hit, the one before it, as in the reference
        taps, shares = left[:, None] + np.arange(-1, 3), _cubic(at - left, call.number("cubic_coeff_a", -0.75))
        if call.integer("exclude_outside", 0):
            shares = np.where((taps < 0) | (taps >= old), 0, shares)
            shares = shares / shares.sum(axis=1, keepdims=True)
    _bounded([*shape, taps.shape[1]])
    places = np.clip(taps, 0, old - 1).astype(np.intp)
    where = np.moveaxis(np.take(_numbers(x), places, axis=axis), axis + 1, -1)
    # The reference's weights are these, before they are rounded to float32 (cubic ones are float32 already).
    y = to.group("linear", sample_shape(shape), suffix=suffix, extra_roundings=2, observes="" if suffix else "output")
    over = shares.astype(np.float32).reshape([*(len(at) if i == axis else 1 for i in range(len(shape))), -1])
    count = taps.shape[1]
    to.table(x, y, count, lambda: where, weights=lambda: np.broadcast_to(over, [*shape, count]))
    return replace(y, shape=tuple(shape))


def _cubic(ratio: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """Weights (n, 4) of the neighbours of n places, each ``ratio`` behind the second: Keys's kernel.

    Operation by operation as ``onnx/reference/ops/op_resize.py`` (``_cubic_coeffs``) has them, in float32 as its
    attribute ``cubic_coeff_a`` is, so that they are the same bits: where terms of the size of 12 cancel, no bound
    relative to what is left would hold.
    """
    one = np.float32(a)

    def far(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        s = place.astype(np.float32)
        return ((one * s - 5 * one) * s + 8 * one) * s - 4 * one

    def near(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        s = place.astype(np.float32)
        return ((one + 2) * s - (one + 3)) * s * s + 1

    return np.stack([far(ratio + 1), near(ratio), near(1 - ratio), far((1 - ratio) + 1)], axis=1).astype(np.float64)


# -- normalisation by what a sample has -------------------------------------------------------------------------------


@operator("InstanceNormalization", "GroupNormalization")
def group_normalization(to: Builder, call: Call) -> Sequence[Value]:
    """Over all elements of every group of channels; a group of its own for every channel of an instance."""
    x = sample(call.tensor(0))
    depth = x.shape[0]
    groups = call.integer("num_groups", 0) if call.node.op == "GroupNormalization" else depth
    if len(x.shape) < 2 or groups < 1 or depth % groups:
        raise RefusedError(f"its {groups} groups do not fit samples of shape {x.shape}")
    gamma, beta = call.floats(1), call.floats(2)
    if gamma.shape == (groups,) != (depth,) and call.opset < 21:  # one number for each group
        gamma, beta = (np.repeat(array, depth // groups) for array in (gamma, beta))
    if gamma.shape != (depth,) or beta.shape != (depth,):
        raise RefusedError(f"its scale and bias of shapes {gamma.shape} and {beta.shape} do not fit {depth} channels")
    view = (groups, depth // groups, math.prod(x.shape[1:]))
    scale = Varying(to.constant("gamma", gamma), (0, 1))
    offset = to.spread("beta", lambda of: beta, (*view[:2], 1), view)
    over = Over(view, frozenset((1, 2)))
    return [batched(standardised(to, x, over, call.number("epsilon", 1e-5), scale, offset))]
