"""Operations that give elements other places: shapes, transposes, parts, joins, repeats. They compute nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks.arith import common_shape, select
from graphsim.frontends.blocks.shape import joined, moved, repeated, sliced, transposed, widened
from graphsim.frontends.builder import MAX_LISTED, Builder, RefusedError, Tensor, positive_axis
from graphsim.frontends.keras.config import MAX_AXES
from graphsim.frontends.keras.fields import shown
from graphsim.frontends.keras.layers.operations import Bound, Made, operation
from graphsim.graph import Axis, Ref


@operation("Reshape", takes="x newshape")
def reshape(to: Builder, of: Bound) -> Made:
    """The same elements in another shape; the batch axis stays."""
    x, shape = of.tensor(), of.get("newshape")
    if isinstance(shape, dict):
        shape = of.integers("newshape")
    sizes = shape if isinstance(shape, list) else [shape]
    if not sizes or any(n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < -1) for n in sizes):
        raise RefusedError(f"its shape is {shown(shape)}; it should be sizes")
    if len(sizes) > MAX_AXES:
        raise RefusedError(f"its shape has {len(sizes)} axes; at most {MAX_AXES} are lowered")
    batch, *wanted = sizes
    known = math.prod(n for n in wanted if n not in (-1, None))
    free = sum(n in (-1, None) for n in wanted)
    if free == 1 and known and batch not in (-1,) and x.size % known == 0:
        wanted = [x.size // known if n in (-1, None) else n for n in wanted]
    if batch not in (-1, None) or free > 1 or math.prod(n or 0 for n in wanted) != x.size:
        raise RefusedError(
            f"it reshapes samples of shape {x.shape} to {shown(shape)}, and moves elements between samples"
        )
    return x.reshaped(wanted)


@operation("Transpose", takes="x axes")
def transpose(to: Builder, of: Bound) -> Made:
    """The axes in another order; the batch stays in front."""
    x = of.tensor()
    rank = len(x.shape)
    if of.get("axes") is None:
        raise RefusedError("it turns all axes round, the batch among them")
    first, *axes = of.integers("axes")
    if first != 0 or sorted(axis % (rank + 1) for axis in axes) != list(range(1, rank + 1)):
        raise RefusedError(f"it moves the batch axis, or names axes {axes} of {rank + 1}")
    return _permuted(to, x, [axis % (rank + 1) - 1 for axis in axes])


def _permuted(to: Builder, x: Tensor, axes: Sequence[int]) -> Tensor:
    if [axis for axis in axes if x.shape[axis] > 1] == [axis for axis in range(len(axes)) if x.shape[axis] > 1]:
        return x.reshaped([x.shape[axis] for axis in axes])
    return transposed(to, x, axes)


@operation("Swapaxes", takes="x axis1 axis2")
def swapaxes(to: Builder, of: Bound) -> Made:
    """Two axes in each other's place."""
    x = of.tensor()
    axes = list(range(len(x.shape)))
    one, other = (of.axis(len(x.shape), name) for name in ("axis1", "axis2"))
    axes[one], axes[other] = axes[other], axes[one]
    return _permuted(to, x, axes)


@operation("Moveaxis", takes="x source destination")
def moveaxis(to: Builder, of: Bound) -> Made:
    """Axes in other places."""
    x = of.tensor()
    source, destination = ([positive_axis(a, len(x.shape)) for a in of.integers(n)] for n in ("source", "destination"))
    if len(source) != len(destination) or len(set(source)) != len(source) or len(set(destination)) != len(source):
        raise RefusedError("it moves an axis twice, or two to one place")
    return _permuted(to, x, [int(i) for i in _moved(len(x.shape), source, destination)])


def _moved(rank: int, source: Sequence[int], destination: Sequence[int]) -> list[int]:
    order = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return order


@operation("ExpandDims", takes="x axis")
def expand_dims(to: Builder, of: Bound) -> Made:
    """An axis of size 1 more."""
    x = of.tensor()
    shape = list(x.shape)
    rank = len(shape) + 1
    places = sorted(positive_axis(axis, rank + len(of.integers("axis")) - 1) for axis in of.integers("axis"))
    for place in places:
        shape.insert(place, 1)
    return x.reshaped(shape)


@operation("Squeeze", takes="x axis")
def squeeze(to: Builder, of: Bound) -> Made:
    """Without axes of size 1."""
    x = of.tensor()
    gone = [i for i, n in enumerate(x.shape) if n == 1] if of.get("axis") in (None, []) else of.axes(len(x.shape))
    if any(x.shape[axis] != 1 for axis in gone):
        raise RefusedError(f"it leaves out axes of samples of shape {x.shape} that are larger than 1")
    return x.reshaped([n for i, n in enumerate(x.shape) if i not in gone])


@operation("Concatenate", takes="xs axis")
def concatenate(to: Builder, of: Bound) -> Made:
    """One behind the other."""
    xs = _only_tensors(of)
    at = of.axis(len(xs[0].shape), default=0)
    return joined(to, xs, at)


@operation("Append", takes="x1 x2 axis")
def append(to: Builder, of: Bound) -> Made:
    """The second behind the first."""
    xs = [of.tensor(name) for name in ("x1", "x2")]
    return joined(to, xs, of.axis(len(xs[0].shape)))


def _stacked(axis: int) -> Callable[[Builder, Bound], Made]:
    """One behind the other along an axis of the sample."""

    def build(to: Builder, of: Bound) -> Made:
        xs = _only_tensors(of)
        shapes = [x.shape if len(x.shape) > axis else (*x.shape, 1) for x in xs]
        return joined(to, [x.reshaped(shape) for x, shape in zip(xs, shapes, strict=True)], axis)

    return build


operation("Hstack", takes="xs")(_stacked(0))
operation("Dstack", takes="xs")(_stacked(1))


@operation("Stack", takes="x axis")
def stack(to: Builder, of: Bound) -> Made:
    """Along a new axis."""
    xs = _only_tensors(of, "x")
    at = positive_axis(of.get("axis", 0), len(xs[0].shape) + 1)
    if len({x.shape for x in xs}) != 1:
        raise RefusedError(f"its inputs of shapes {', '.join(str(x.shape) for x in xs)} differ")
    return joined(to, [x.reshaped([*x.shape[:at], 1, *x.shape[at:]]) for x in xs], at)


def _only_tensors(of: Bound, name: str = "xs") -> list[Tensor]:
    xs = of.tensors(name)
    found = [x for x in xs if isinstance(x, Tensor)]
    if len(found) < len(xs):
        raise RefusedError("it joins tensors with constants")
    return found


@operation("Split", takes="x indices_or_sections axis")
def split(to: Builder, of: Bound) -> Made:
    """Parts of an axis."""
    return _parts(to, of, of.axis(len(of.tensor().shape), default=0), even=True)


@operation("ArraySplit", takes="x indices_or_sections axis")
def array_split(to: Builder, of: Bound) -> Made:
    """Parts of an axis, of which the first ones may have an element more."""
    return _parts(to, of, of.axis(len(of.tensor().shape), default=0), even=False)


operation("Hsplit", takes="x indices_or_sections")(lambda to, of: _parts(to, of, 0, even=True))
operation("Dsplit", takes="x indices_or_sections")(lambda to, of: _parts(to, of, 1, even=True))


def _parts(to: Builder, of: Bound, at: int, *, even: bool) -> Made:
    x = of.tensor()
    if at >= len(x.shape):
        raise RefusedError(f"it splits axis {at + 1} of samples of shape {x.shape}")
    size, parts = x.shape[at], of.get("indices_or_sections")
    if isinstance(parts, int) and not isinstance(parts, bool):
        if not 1 <= parts <= size or (even and size % parts):
            raise RefusedError(f"it splits an axis of {size} into {parts} parts")
        cuts = [size // parts * i + min(i, size % parts) for i in range(1, parts)]
    else:
        cuts = of.integers("indices_or_sections")
    ends = [0, *cuts, size]
    made = []
    for number, (start, stop) in enumerate(itertools.pairwise(ends)):
        axes = [sliced(n, slice(start, stop)) if i == at else Axis(n, n) for i, n in enumerate(x.shape)]
        observes = f"output:{number}" if number else "output"
        made.append(moved(to, x, axes, suffix=str(number), observes=observes))
    return made


@operation("GetItem", takes="x key")
def getitem(to: Builder, of: Bound) -> Made:
    """Slices, whole numbers, new axes and an ellipsis; the batch as it is."""
    x, key = of.tensor(), of.values.get("key")
    keys = [index(item) for item in (key if isinstance(key, list) else [key])]
    taking = sum(item is not None and item is not Ellipsis for item in keys)
    rank = len(x.shape) + 1
    if taking > rank or keys.count(Ellipsis) > 1:
        raise RefusedError(f"it takes element {shown(key)} of a tensor with {rank} axes")
    at = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[at : at + 1] = [slice(None)] * (rank - taking)
    if keys[0] != slice(None):
        raise RefusedError("it takes some of the samples of a batch, or an axis in front of it")
    axes: list[Axis] = []
    shape: list[int] = []
    for item in keys[1:]:
        if item is None:
            shape.append(1)
            continue
        size = x.shape[len(axes)]
        if isinstance(item, slice):
            axes.append(sliced(size, item))
            shape.append(axes[-1].consumers)
        elif -size <= item < size:
            axes.append(Axis(size, 1, pad=-(item % size)))
        else:
            raise RefusedError(f"it takes element {item} of an axis of {size}")
    if all(axis == Axis(n, n) for axis, n in zip(axes, x.shape, strict=True)):
        return x.reshaped(shape)
    return moved(to, x, axes, shape=shape)


def index(value: Any) -> Any:
    """One index: a slice, a whole number, None for a new axis, or an ellipsis."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, dict):
        if value.get("class_name") == "__ellipsis__":
            return Ellipsis
        config = value.get("config", value)
        if isinstance(config, dict) and set(config) == {"start", "stop", "step"}:
            ends = [config[name] for name in ("start", "stop", "step")]
            if (
                all(end is None or (isinstance(end, int) and not isinstance(end, bool)) for end in ends)
                and ends[2] != 0
            ):
                return slice(*ends)
    raise RefusedError(f"it takes element {shown(value)}, which is not lowered")


@operation("Take", takes="x indices axis")
def take(to: Builder, of: Bound) -> Made:
    """Elements of an axis, by constant numbers; or rows of a constant table, by those of a tensor."""
    numbers, table = of.get("indices"), of.get("x")
    if isinstance(numbers, Tensor) and not isinstance(table, Tensor):
        return _looked_up(to, of, numbers)
    x = of.tensor()
    at, value = of.axis(len(x.shape)), of.get("indices")
    if isinstance(value, Tensor):
        raise RefusedError("it takes elements that other neurons name; an Embedding layer is lowered")
    indices = of.integers("indices")
    size = x.shape[at]
    if not indices or any(not -size <= i < size for i in indices):
        raise RefusedError(f"it takes elements {shown(indices)} of an axis of {size}")
    kept = [] if isinstance(value, int) else [len(indices)]
    shape = [*x.shape[:at], *kept, *x.shape[at + 1 :]]
    y = to.group("sum", shape, observes="output")
    to.table(x, y, 1, lambda: np.take(np.arange(x.size).reshape(x.shape), np.array(indices) % size, axis=at))
    return y


def _looked_up(to: Builder, of: Bound, numbers: Tensor) -> Tensor:
    array = of.operand(of.get("x"), "x")
    if isinstance(array, Tensor) or array.ndim < 1 or of.integer("axis", 0) != 0:
        raise RefusedError("it takes elements of a constant along an axis that is not the first")
    inner = math.prod(array.shape[1:])
    table = to.constant("table", array.reshape(len(array), inner))
    y = to.group("lookup", [*numbers.shape, inner], params={"table": Ref(table.param)}, observes="output")
    to.elements(numbers.reshaped([*numbers.shape, 1]), y)
    return y.reshaped([*numbers.shape, *array.shape[1:]])


@operation("BroadcastTo", takes="x shape")
def broadcast_to(to: Builder, of: Bound) -> Made:
    """As often as fills a shape; the batch as it is."""
    x, sizes = of.tensor(), of.get("shape")
    shape = sizes[1:] if isinstance(sizes, list) else None
    if not shape or any(type(n) is not int or n < 1 for n in shape) or sizes[0] is not None:
        raise RefusedError(f"it broadcasts samples of shape {x.shape} to {shown(sizes)}")
    if len(shape) != len(x.shape) or common_shape(tuple(shape), x.shape) != tuple(shape):
        raise RefusedError(f"it broadcasts samples of shape {x.shape} to {shown(sizes)}")
    y = to.group("sum", shape, observes="output")
    to.elements(x, y)
    return y


@operation("Flip", takes="x axis")
def flip(to: Builder, of: Bound) -> Made:
    """Backwards."""
    x = of.tensor()
    gone = of.axes(len(x.shape))
    return moved(to, x, [Axis(n, n, stride=-1, pad=1 - n) if i in gone else Axis(n, n) for i, n in enumerate(x.shape)])


@operation("Fliplr")
def fliplr(to: Builder, of: Bound) -> Made:
    """The first axis of the sample backwards."""
    x = of.tensor()
    if not x.shape:
        raise RefusedError("its input has no axis beside the batch")
    return moved(to, x, [Axis(n, n) if i else Axis(n, n, stride=-1, pad=1 - n) for i, n in enumerate(x.shape)])


@operation("Rot90", takes="array k axes")
def rot90(to: Builder, of: Bound) -> Made:
    """A quarter of a turn, so many times, in the plane of two axes."""
    x = of.tensor("array")
    if of.get("axes") is None or len(of.integers("axes")) != 2:
        raise RefusedError("it turns the batch; name two axes of a sample")
    one, other = (positive_axis(axis, len(x.shape)) for axis in of.integers("axes"))
    if one == other:
        raise RefusedError("it turns an axis into itself")
    if of.integer("k", 1) % 4 == 2:
        raise RefusedError("it makes half a turn, for which Keras on TensorFlow computes something else than NumPy")
    return _from(to, x, np.rot90(np.arange(x.size).reshape(x.shape), of.integer("k", 1), (one, other)))


def _offset(of: Bound, name: str) -> int:
    """How far a diagonal lies from the main one; beyond the tensor it does not matter how far."""
    most = of.tensor().size
    return max(-most, min(of.integer(name, 0), most))


def _triangle(lower: bool) -> Callable[[Builder, Bound], Made]:
    """The elements on one side of a diagonal of the last two axes; the others 0."""

    def build(to: Builder, of: Bound) -> Made:
        x, k = of.tensor(), _offset(of, "k")
        if len(x.shape) < 2:
            raise RefusedError(f"it takes triangles of samples of shape {x.shape}")
        kept = np.tril(np.ones(x.shape[-2:], np.float32), k) if lower else np.triu(np.ones(x.shape[-2:], np.float32), k)
        return select(to, np.broadcast_to(kept, x.shape), x, np.zeros((), np.float32))

    return build


operation("Tril", takes="x k")(_triangle(True))
operation("Triu", takes="x k")(_triangle(False))


@operation("BandPart", takes="x num_lower num_upper")
def band(to: Builder, of: Bound) -> Made:
    """Of TensorFlow: so many diagonals below the main one and above it, of the last two axes; the others 0."""
    x, size = of.tensor(), max(of.tensor().shape, default=0)
    if len(x.shape) < 2:
        raise RefusedError(f"it takes bands of samples of shape {x.shape}")
    below, above = (min(n, size) if n >= 0 else size for n in (of.integer("num_lower"), of.integer("num_upper")))
    kept = np.triu(np.tril(np.ones(x.shape[-2:], np.float32), above), -below)
    return select(to, np.broadcast_to(kept, x.shape), x, np.zeros((), np.float32))


def _diagonal(of: Bound) -> tuple[Tensor, npt.NDArray[np.intp]]:
    """The tensor, and the numbers of its elements on a diagonal of two axes, along a last axis."""
    x = of.tensor()
    if of.get("axis1") is None or of.get("axis2") is None:
        raise RefusedError("its diagonal is one of the batch; name two axes of a sample")
    one, other = (of.axis(len(x.shape), name) for name in ("axis1", "axis2"))
    if one == other:
        raise RefusedError("it takes a diagonal of one axis")
    where = np.diagonal(np.arange(x.size).reshape(x.shape), _offset(of, "offset"), one, other)
    if not where.size:
        raise RefusedError("it takes a diagonal that has no elements")
    return x, where


@operation("Diagonal", takes="x offset axis1 axis2")
def diagonal(to: Builder, of: Bound) -> Made:
    """The elements on a diagonal."""
    return _from(to, *_diagonal(of))


@operation("Trace", takes="x offset axis1 axis2")
def trace(to: Builder, of: Bound) -> Made:
    """Their sum."""
    x, where = _diagonal(of)
    y = to.group("sum", where.shape[:-1], observes="output")
    to.table(x, y, where.shape[-1], lambda: where)
    return y


def _blocks(into_depth: bool) -> Callable[[Builder, Bound], Made]:
    """Blocks of pixels, and channels of one: the order in a block, then that of the channels."""

    def build(to: Builder, of: Bound) -> Made:
        x, size = of.tensor(), of.integer("block_size")
        first = of.get("data_format", "channels_last") == "channels_first"
        if len(x.shape) != 3 or size < 1:
            raise RefusedError(f"it takes blocks of {size} of samples of shape {x.shape}; images are lowered")
        where = np.moveaxis(np.arange(x.size).reshape(x.shape), 0 if first else 2, 2)
        h, w, depth = where.shape
        if (into_depth and (h % size or w % size)) or (not into_depth and depth % size**2):
            raise RefusedError(f"its blocks of {size} do not fit samples of shape {x.shape}")
        if into_depth:
            parts = where.reshape(h // size, size, w // size, size, depth).transpose(0, 2, 1, 3, 4)
            where = parts.reshape(h // size, w // size, depth * size**2)
        else:
            parts = where.reshape(h, w, size, size, depth // size**2).transpose(0, 2, 1, 3, 4)
            where = parts.reshape(h * size, w * size, depth // size**2)
        return _from(to, x, np.moveaxis(where, 2, 0) if first else where)

    return build


operation("SpaceToDepth", takes="x block_size data_format")(_blocks(True))
operation("DepthToSpace", takes="x block_size data_format")(_blocks(False))


@operation("Roll", takes="x shift axis")
def roll(to: Builder, of: Bound) -> Made:
    """The last elements of an axis, then the others."""
    x, at = of.tensor(), of.axis(len(of.tensor().shape))
    size = x.shape[at]
    moves = of.integer("shift") % size
    if not moves:
        return moved(to, x, [Axis(n, n) for n in x.shape])
    y = to.group("sum", x.shape, observes="output")
    for port, pad in enumerate((moves, moves - size)):
        to.window(x, y, [Axis(n, n, pad=pad) if i == at else Axis(n, n) for i, n in enumerate(x.shape)], port)
    return y


@operation("Repeat", takes="x repeats axis")
def repeat(to: Builder, of: Bound) -> Made:
    """Every element several times."""
    x, times = of.tensor(), of.integer("repeats")
    at = of.axis(len(x.shape))
    if times < 1:
        raise RefusedError(f"it repeats elements {times} times")
    return moved(to, x, [repeated(n, times) if i == at else Axis(n, n) for i, n in enumerate(x.shape)])


@operation("Tile", takes="x repeats")
def tile(to: Builder, of: Bound) -> Made:
    """The whole several times, along every axis."""
    x, times = of.tensor(), of.integers("repeats")
    times = [1] * (len(x.shape) + 1 - len(times)) + times
    if len(times) != len(x.shape) + 1 or times[0] != 1 or min(times) < 1:
        raise RefusedError(f"it repeats samples of shape {x.shape} {times} times along batch and axes")
    where = np.tile(np.arange(x.size).reshape(x.shape), times[1:])
    return _from(to, x, where)


@operation("Pad", takes="x pad_width mode constant_values")
def pad(to: Builder, of: Bound) -> Made:
    """Zeros around it, or elements of its own."""
    x, mode = of.tensor(), of.get("mode", "constant")
    pairs = of.get("pad_width")
    items = pairs if isinstance(pairs, list) else []
    widths = [tuple(pair) for pair in items if isinstance(pair, list) and len(pair) == 2]
    is_right = len(widths) == len(items) == len(x.shape) + 1 and widths[0] == (0, 0)
    if not is_right or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for pair in widths for n in pair):
        raise RefusedError(f"it pads samples of shape {x.shape} by {shown(pairs)}")
    if mode == "constant":
        axes = [widened(n, *pair) for n, pair in zip(x.shape, widths[1:], strict=True)]
        value = np.float32(of.number("constant_values", 0.0))
        if not value:
            return moved(to, x, axes)
        if (size := math.prod(n + sum(pair) for n, pair in zip(x.shape, widths[1:], strict=True))) > MAX_LISTED:
            raise RefusedError(f"it makes {size:,} elements")
        filled = np.pad(np.zeros(x.shape, np.float32), widths[1:], constant_values=value)
        y = to.group("sum", filled.shape, params={"bias": Ref(to.constant("around", filled.reshape(-1)).param)})
        to.window(x, y, axes)
        return to.observe(y, y.group)
    if mode not in ("reflect", "symmetric"):
        raise RefusedError(f"its mode is {shown(mode)}, which is not lowered")
    if any(max(pair) > n - (mode == "reflect") for n, pair in zip(x.shape, widths[1:], strict=True)):
        raise RefusedError(f"it pads samples of shape {x.shape} by {shown(pairs)}, more than they have")
    return _from(to, x, np.pad(np.arange(x.size).reshape(x.shape), widths[1:], mode=mode))


def _from(to: Builder, x: Tensor, where: npt.NDArray[np.intp]) -> Tensor:
    """The elements of those numbers."""
    y = to.group("sum", where.shape, observes="output")
    to.table(x, y, 1, lambda: where)
    return y


@operation("Unstack", takes="x num axis")
def unstack(to: Builder, of: Bound) -> Made:
    """Each index of an axis by itself."""
    x = of.tensor()
    at = of.axis(len(x.shape), default=0)
    made = []
    for number in range(x.shape[at]):
        axes = [Axis(n, 1, pad=-number) if i == at else Axis(n, n) for i, n in enumerate(x.shape)]
        observes = f"output:{number}" if number else "output"
        shape = [n for i, n in enumerate(x.shape) if i != at]
        made.append(moved(to, x, axes, shape=shape, suffix=str(number), observes=observes))
    return made
