"""What functions of TensorFlow's make of numbers that no sample changes: shapes, and what is computed from them.

Models of Keras 2 record ``tf.reshape(x, [tf.shape(x)[0], -1])`` as four calls, of which only the last has to do with
values. The others are computed here, while lowering, as NumPy does with TensorFlow's types: whole numbers are int32,
others float32. The number of samples is not known, and stands as None, as in shapes that Keras prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks.arith import constant
from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.config import MAX_AXES
from graphsim.frontends.keras.fields import MAX_ELEMENTS, shown
from graphsim.frontends.keras.layers.rearranging import index
from graphsim.frontends.keras.layers.registry import Known

Numbers = npt.NDArray[Any]
#: Elements of a constant, at most.
MOST = MAX_ELEMENTS


def stated(value: Any) -> Any:
    """A structure of arguments with JSON in place of what is known."""
    if isinstance(value, Known):
        return value.value.tolist()
    if isinstance(value, dict):
        return {key: stated(item) for key, item in value.items()}
    return [stated(item) for item in value] if isinstance(value, list) else value


def has_tensor(value: Any) -> bool:
    """Whether a tensor is anywhere in a structure of arguments."""
    if isinstance(value, dict):
        return any(map(has_tensor, value.values()))
    return isinstance(value, Tensor) or (isinstance(value, list) and any(map(has_tensor, value)))


def shape_of(x: Any) -> Known:
    """The shape of a tensor, its batch and all, or of numbers."""
    if not isinstance(x, Tensor):
        return Known(np.array(_array(x).shape, np.int32))
    return Known(np.array([None, *x.shape], object))


def _array(value: Any) -> Numbers:
    """An argument as an array.

    Raises:
        RefusedError: it is none.
    """
    if isinstance(value, Known):
        return value.value
    value = stated(value)
    if isinstance(value, dict):  # of a slice, or an array that Keras wrote with its type
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else value
    try:
        array = np.array(value)
        if array.dtype.kind not in "iufbO":
            raise ValueError("no numbers")
        if array.dtype.kind in "iu":
            if array.size and not -(1 << 31) <= int(array.min()) <= int(array.max()) < 1 << 31:
                raise ValueError("beyond int32")
            return array.astype(np.int32)
        if array.dtype.kind == "f":
            return array.astype(np.float32)
        flat = array.reshape(-1).tolist() if array.dtype == object else [None]
        if array.dtype == bool or all(n is None or (type(n) is int and abs(n) < 1 << 31) for n in flat):
            return array
    except (ValueError, OverflowError):
        pass
    raise RefusedError(f"it is called on {shown(value)}, which is not an array of numbers")


class _Arguments:
    """The arguments of a call, by position or name."""

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs

    def get(self, name: str, at: int = -1, default: Any = None) -> Any:
        value = self.args[at] if 0 <= at < len(self.args) else self.kwargs.get(name)
        return default if value is None else value

    def array(self, name: str, at: int = -1) -> Numbers:
        value = self.args[at] if 0 <= at < len(self.args) else self.kwargs.get(name)
        return _array(value)

    def axis(self, default: int | None = None) -> Any:
        value = stated(self.get("axis", default=default))
        return tuple(value) if isinstance(value, list) else value

    def sizes(self, name: str, at: int = -1) -> list[int | None]:
        """A shape.

        Raises:
            RefusedError: it is none that can be.
        """
        array = self.array(name, at)
        sizes: list[int | None] = array.reshape(-1).tolist()
        if array.ndim > 1 or len(sizes) > MAX_AXES or any(n is not None and n < 0 for n in sizes):
            raise RefusedError(f"its shape is {shown(stated(array.tolist()))}")
        _check_size([n or 1 for n in sizes])
        return sizes


def _check_size(shape: Sequence[int]) -> None:
    if math.prod(shape) > MOST:
        raise RefusedError(f"it makes an array of shape {shown(tuple(shape))}; graphsim keeps {MOST:,} numbers at most")


def _two(function: Callable[[Any, Any], Any], both: Any = None) -> Callable[[_Arguments], Numbers]:
    """A function of two arrays; ``both``: what it makes of the number of samples and itself, where that is known."""

    def of_elements(left: Any, right: Any) -> Any:
        if left is None and right is None and both is not None:
            return both
        if left is None or right is None:
            raise RefusedError("it computes with the number of samples")
        return function(left, right)

    def build(of: _Arguments) -> Numbers:
        left, right = of.array("x", 0), of.array("y", 1)
        _check_size(np.broadcast_shapes(left.shape, right.shape))
        if left.dtype != object and right.dtype != object:
            # A Python number takes the type of the other operand; arrays are of one type.
            kind = np.result_type(left, right) if left.ndim and right.ndim else left.dtype if left.ndim else right.dtype
            if np.float32 in (left.dtype, right.dtype):
                kind = np.dtype(np.float32)
            return np.asarray(function(left.astype(kind), right.astype(kind)))
        made = np.asarray(np.frompyfunc(of_elements, 2, 1)(left, right))
        return made if None in made.reshape(-1).tolist() else np.array(made.tolist())

    return build


def _fold(function: Callable[..., Any]) -> Callable[[_Arguments], Numbers]:
    def build(of: _Arguments) -> Numbers:
        x = of.array("x", 0)
        keepdims = bool(of.get("keepdims", default=False))
        return np.asarray(function(_complete(x), axis=of.axis(), keepdims=keepdims)).astype(x.dtype)

    return build


def _complete(x: Numbers) -> Numbers:
    if x.dtype == object:
        raise RefusedError("it computes with the number of samples")
    return x


def _one(function: Callable[[Any], Any]) -> Callable[[_Arguments], Numbers]:
    return lambda of: np.asarray(function(_complete(of.array("x", 0))))


def _cast(of: _Arguments) -> Numbers:
    x, kind = of.array("x", 0), str(of.get("dtype", 1)).rpartition(".")[2]
    if x.dtype == object and kind.startswith("int"):
        return x
    wanted = {"float32": np.float32, "float64": np.float32, "bool": np.bool_, "int32": np.int32, "int64": np.int32}
    if kind not in wanted:
        raise RefusedError(f"it makes {shown(kind)} of its input; graphs compute in float32")
    return _complete(x).astype(wanted[kind])


def _range(of: _Arguments) -> Numbers:
    numbers = [_complete(of.array(name, at)) for at, name in enumerate(("start", "limit", "delta")) if of.get(name, at)]
    if any(n.ndim for n in numbers) or not numbers or (len(numbers) == 3 and not numbers[2]):
        raise RefusedError("its ends are not numbers")
    ends = [n.item() for n in numbers]
    kind = np.float32 if any(n.dtype == np.float32 for n in numbers) else np.int32
    first, last, step = ends if len(ends) == 3 else [*ends, 1] if len(ends) == 2 else [0, *ends, 1]
    _check_size([max(0, math.ceil((last - first) / step))])
    return np.arange(first, last, step, dtype=kind)


def _concatenated(of: _Arguments) -> Numbers:
    values = of.get("values", 0)
    parts = [_array(part) for part in (values if isinstance(values, list) else [values])]
    _check_size([sum(part.size for part in parts)])
    parts = [part if part.size else part.astype(np.int32) for part in parts]
    return np.concatenate(parts, axis=of.axis(0))


def _stacked(of: _Arguments) -> Numbers:
    values = of.get("values", 0)
    parts = [_array(part) for part in (values if isinstance(values, list) else [values])]
    _check_size([sum(part.size for part in parts)])
    return np.stack(parts, axis=of.axis(0))


def _gathered(of: _Arguments) -> Numbers:
    x, indices = of.array("params", 0), _complete(of.array("indices", 1))
    _check_size([x.size, indices.size])
    return np.take(x, indices, axis=of.axis(0))


def _filled(number: float | None) -> Callable[[_Arguments], Numbers | tuple[Numbers, list[int]]]:
    def build(of: _Arguments) -> Numbers | tuple[Numbers, list[int]]:
        value = of.array("value", 1) if number is None else np.asarray(number, _type(of))
        return _spread(value, of.sizes("dims" if number is None else "shape", 0))

    return build


def _type(of: _Arguments) -> npt.DTypeLike:
    kind = str(of.get("dtype", default="float32"))
    return np.int32 if kind.startswith("int") else np.bool_ if kind == "bool" else np.float32


def _spread(value: Numbers, sizes: Sequence[int | None]) -> Numbers | tuple[Numbers, list[int]]:
    """An array broadcast; where the first size is that of the batch, what every sample has, and its shape."""
    if None not in sizes:
        return np.broadcast_to(value, [n for n in sizes if n is not None])
    if None in sizes[1:] or (value.ndim == len(sizes) and value.shape[0] != 1):
        raise RefusedError("it gives other numbers to every sample")
    inner = [n for n in sizes[1:] if n is not None]
    return _complete(value.reshape(value.shape[1:]) if value.ndim == len(sizes) else value), inner


def _tiled(of: _Arguments) -> Numbers | tuple[Numbers, list[int]]:
    value, times = of.array("input", 0), of.sizes("multiples", 1)
    if len(times) != value.ndim:
        raise RefusedError(f"it repeats an array of shape {value.shape} {shown(times)} times")
    _check_size([value.size, *(n or 1 for n in times)])
    if None not in times:
        return np.tile(value, [n for n in times if n is not None])
    inner = np.tile(value, [1, *(n or 0 for n in times[1:])])
    return _spread(inner, [None, *inner.shape[1:]])


def _item(of: _Arguments) -> Numbers:
    key = stated(of.kwargs.get("slice_spec"))
    keys = [index(item) for item in (key if isinstance(key, list) else [key])]
    return np.asarray(of.array("x", 0)[tuple(keys)])


def _strided(of: _Arguments) -> Numbers:
    keys = strided_keys({key: stated(value) for key, value in of.kwargs.items()})
    return np.asarray(of.array("x", 0)[tuple(index(item) for item in keys)])


def strided_keys(values: Mapping[str, Any]) -> list[Any]:
    """The items of ``tf.strided_slice``, as ``x[...]`` takes them: slices as objects, numbers, None, an ellipsis.

    Raises:
        RefusedError: they are not numbers.
    """
    begin, end = values.get("begin"), values.get("end")
    steps = values.get("strides")
    if steps is None and isinstance(begin, list):
        steps = [1] * len(begin)
    lists = (begin, end, steps)
    masks = {name: values.get(f"{name}_mask") or 0 for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    if not all(isinstance(part, list) for part in lists) or len({len(part) for part in lists}) != 1:  # type: ignore[arg-type]
        raise RefusedError(f"it takes elements from {shown(begin)} to {shown(end)} by {shown(steps)}")
    if not all(type(mask) is int for mask in masks.values()):
        raise RefusedError("its masks are not whole numbers")
    found: list[Any] = []
    for number, (first, last, step) in enumerate(zip(*lists, strict=True)):  # type: ignore[arg-type]
        is_set = {name for name, mask in masks.items() if mask >> number & 1}
        if "ellipsis" in is_set:
            found.append({"class_name": "__ellipsis__", "config": {}})
        elif "new_axis" in is_set:
            found.append(None)
        elif "shrink_axis" in is_set:
            found.append(first)
        else:
            start, stop = None if "begin" in is_set else first, None if "end" in is_set else last
            found.append({"start": start, "stop": stop, "step": step})
    return found


def _elements(of: _Arguments) -> list[Numbers]:
    x, axis = of.array("value", 0), of.axis(0)
    return [np.take(x, number, axis=axis) for number in range(x.shape[axis])]


def _where(of: _Arguments) -> Numbers:
    chosen, one, other = _complete(of.array("condition", 0)), of.array("x", 1), of.array("y", 2)
    _check_size(np.broadcast_shapes(chosen.shape, one.shape, other.shape))
    return np.asarray(np.where(chosen, one, other))


#: By the last part of the function's name, as in :mod:`graphsim.frontends.keras.layers.tensorflow`.
FUNCTIONS: dict[str, Callable[[_Arguments], Any]] = {
    "abs": _one(np.abs),
    "add": _two(np.add),
    "broadcast_to": lambda of: _spread(of.array("input", 0), of.sizes("shape", 1)),
    "cast": _cast,
    "concat": _concatenated,
    "divide": _two(np.true_divide, 1),
    "equal": _two(np.equal, True),
    "exp": _one(np.exp),
    "expand_dims": lambda of: np.expand_dims(of.array("input", 0), of.axis()),
    "fill": _filled(None),
    "floor_div": _two(np.floor_divide, 1),
    "floordiv": _two(np.floor_divide, 1),
    "floormod": _two(np.mod, 0),
    "gather": _gathered,
    "getitem": _item,
    "greater": _two(np.greater, False),
    "identity": lambda of: of.array("input", 0),
    "less": _two(np.less, False),
    "log": _one(np.log),
    "maximum": _two(np.maximum),
    "minimum": _two(np.minimum),
    "multiply": _two(np.multiply),
    "negative": _one(np.negative),
    "not_equal": _two(np.not_equal, False),
    "ones": _filled(1),
    "ones_like": lambda of: np.ones(of.array("x", 0).shape, np.int32),
    "pow": _two(np.power),
    "range": _range,
    "reduce_max": _fold(np.max),
    "reduce_min": _fold(np.min),
    "reduce_prod": _fold(np.prod),
    "reduce_sum": _fold(np.sum),
    "reshape": lambda of: of.array("tensor", 0).reshape([n or 0 for n in of.array("shape", 1).reshape(-1).tolist()]),
    "rsqrt": _one(lambda x: 1 / np.sqrt(x.astype(np.float32))),
    "sqrt": _one(lambda x: np.sqrt(x.astype(np.float32))),
    "square": _one(np.square),
    "squeeze": lambda of: np.squeeze(of.array("input", 0), of.axis()),
    "stack": _stacked,
    "strided_slice": _strided,
    "subtract": _two(np.subtract, 0),
    "tile": _tiled,
    "transpose": lambda of: np.transpose(of.array("x", 0), stated(of.get("perm"))),
    "truediv": _two(np.true_divide, 1),
    "unstack": _elements,
    "where": _where,
    "zeros": _filled(0),
    "zeros_like": lambda of: np.zeros(of.array("x", 0).shape, np.int32),
}


def evaluated(to: Builder, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Known | Tensor | list[Known]:
    """What a function makes of arguments without a tensor: numbers, or a tensor that is the same for every sample.

    Raises:
        RefusedError: it is not one that is known, or the arguments are none that it takes.
    """
    found = FUNCTIONS.get(name)
    if found is None:
        raise RefusedError(
            f"it is called on numbers and no tensor; what TensorFlow's {name} makes of them is not known"
        )
    try:
        with np.errstate(all="ignore"):
            made = found(_Arguments(args, kwargs))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise RefusedError(f"TensorFlow's {name} cannot be computed of what it is called on: {error}") from None
    if isinstance(made, tuple):
        value, shape = made
        return constant(to, value.astype(np.float32), shape, suffix="")
    if isinstance(made, list):
        return [_known(part) for part in made]
    return _known(made)


def _known(made: Any) -> Known:
    array = np.asarray(made)
    has_batch = array.dtype == object and None in array.reshape(-1).tolist()
    return Known(array if has_batch or array.dtype != object else np.array(array.tolist(), np.int32))
