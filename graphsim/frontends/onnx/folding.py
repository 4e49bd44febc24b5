"""Constants of an ONNX file, computed while it is read: the arithmetic of shapes, and of weights.

Only what exporters need for that is here, and no array larger than :data:`MAX_ELEMENTS` is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.frontends.builder import RefusedError
from graphsim.frontends.onnx.reader import Node

Array = npt.NDArray[np.generic]

#: Elements of an array that folding makes, beyond those of its largest operand.
MAX_ELEMENTS = 1 << 22

#: Among the attributes of a node that is folded: how many outputs it has.
OUTPUTS = "number of outputs"

#: Kinds of numbers, by ONNX's number of them.
NUMBERS = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}


def fold(node: Node, arrays: Sequence[Array | None]) -> list[Array] | None:
    """The outputs of a node whose inputs are all known; None where it is not one that is folded.

    Raises:
        RefusedError: its operands do not fit, or its result would be too large.
    """
    rule = OPERATORS.get(node.op)
    if rule is None:
        return None
    try:
        with np.errstate(all="ignore"):
            made = rule({OUTPUTS: len(node.outputs)} | dict(node.attributes), arrays)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise RefusedError(f"its constant operands do not fit ({error})") from None
    return [np.asarray(array) for array in (made if isinstance(made, list) else [made])]


def bounded(shape: Sequence[int], *given: Array | None) -> tuple[int, ...]:
    """A shape, if it is not absurdly larger than what is given.

    Raises:
        RefusedError: it is.
    """
    size = math.prod(int(n) for n in shape)
    if size > max(MAX_ELEMENTS, *(array.size for array in given if array is not None), 0) or min(shape, default=0) < 0:
        raise RefusedError(f"its constant result would have shape {tuple(int(n) for n in shape)}")
    return tuple(int(n) for n in shape)


def axis(number: int, size: int, what: str = "axis", *, last: bool = False) -> int:
    """A number below ``size`` (or ``size`` itself, where ``last``), counted from the front; negative from the end.

    Raises:
        RefusedError: it is none.
    """
    if not -size <= number < size + last:
        raise RefusedError(f"its {what} {number} is not one of {size}")
    return number if number >= 0 else number + size


def integers(array: Array | None) -> list[int]:
    """The elements of a constant that states sizes or places.

    Raises:
        RefusedError: they are no integers.
    """
    if array is None or array.dtype.kind not in "iu":
        raise RefusedError(f"it takes integers; it gets {'none' if array is None else array.dtype}")
    return [int(n) for n in array.reshape(-1)]


def single(value: Any) -> list[Any]:
    """The one element of a constant.

    Raises:
        RefusedError: it is none: how often a loop runs depends on the sample.
    """
    if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.kind not in "fiub":
        raise RefusedError("how often it runs depends on the sample")
    return [value.reshape(-1)[0]]


def axes_of(attributes: Mapping[str, Any], arrays: Sequence[Array | None], place: int = 1) -> list[int] | None:
    """Axes, an attribute before operator set 13 and an input since."""
    if "axes" in attributes:
        return [int(axis) for axis in attributes["axes"]]
    if len(arrays) > place and arrays[place] is not None:
        return integers(arrays[place])
    return None


def slices(attributes: Mapping[str, Any], arrays: Sequence[Array | None], rank: int) -> list[slice]:
    """What Slice takes of every axis."""
    if "starts" in attributes:
        starts, ends, axes = attributes["starts"], attributes["ends"], attributes.get("axes")
        steps = None
    else:
        starts, ends = (integers(arrays[i]) for i in (1, 2))
        axes, steps = (integers(arrays[i]) if len(arrays) > i and arrays[i] is not None else None for i in (3, 4))
    taken = [slice(None)] * rank
    places = list(axes if axes is not None else range(len(starts)))
    if not len(places) == len(starts) == len(ends) == len(steps if steps is not None else starts):
        raise RefusedError("its starts, ends, axes and steps are of different numbers")
    for number, place in enumerate(places):
        step = int(steps[number]) if steps is not None else 1
        if step == 0:
            raise RefusedError("its step is 0")
        start, end = int(starts[number]), int(ends[number])
        taken[axis(place, rank)] = slice(start, None if step < 0 and end < -(1 << 30) else end, step)
    return taken


def reshaped(shape: Sequence[int], target: Sequence[int], allow_zero: bool = False) -> tuple[int, ...]:
    """The shape that Reshape makes: 0 keeps a size, -1 is what is left.

    Raises:
        RefusedError: the numbers of elements differ.
    """
    sizes = [shape[i] if n == 0 and not allow_zero and i < len(shape) else int(n) for i, n in enumerate(target)]
    size, known = math.prod(shape), math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known:
        sizes[sizes.index(-1)] = size // known
    if math.prod(sizes) != size or min(sizes, default=1) < 0:
        raise RefusedError(f"it reshapes {tuple(shape)} to {tuple(int(n) for n in target)}, which does not fit")
    return tuple(sizes)


def _constant(attributes: Mapping[str, Any], _: Sequence[Array | None]) -> Array:
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in attributes:
            value = attributes[key]
            if isinstance(value, np.ndarray):
                return value
            return np.asarray(value, np.float32 if "float" in key else np.int64)
    raise ValueError("a constant without a value of numbers")


def _constant_of_shape(attributes: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    value = np.asarray(attributes.get("value", np.zeros(1, np.float32))).reshape(-1)[0]
    return np.full(bounded(np.asarray(arrays[0]).tolist()), value)


def _cast(attributes: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    return np.asarray(arrays[0]).astype(NUMBERS[int(attributes["to"])])


def _expand(_: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    x = np.asarray(arrays[0])
    shape = np.broadcast_shapes(x.shape, bounded(np.asarray(arrays[1]).tolist(), x))
    return np.broadcast_to(x, bounded(shape, x)).copy()


def _tile(_: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    x, times = np.asarray(arrays[0]), np.asarray(arrays[1]).tolist()
    bounded([n * t for n, t in zip(x.shape, times, strict=True)], x)
    return np.tile(x, times)


def _range(_: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    start, limit, step = (np.asarray(array).reshape(-1)[0] for array in arrays)
    bounded([max(0, math.ceil((limit - start) / step))])
    return np.arange(start, limit, step)


def _unsqueeze(attributes: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    return np.expand_dims(np.asarray(arrays[0]), tuple(axes_of(attributes, arrays) or ()))


def _squeeze(attributes: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    axes = axes_of(attributes, arrays)
    return np.squeeze(np.asarray(arrays[0]), None if axes is None else tuple(axes))


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Mapping[str, Any], Sequence[Array | None]], Array]:
    def rule(_: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
        left, right = (np.asarray(array) for array in arrays)
        bounded(np.broadcast_shapes(left.shape, right.shape), left, right)
        return function(left, right)

    return rule


def _divide(left: Array, right: Array) -> Array:
    if np.issubdtype(left.dtype, np.integer):  # ONNX divides integers towards zero
        return np.trunc(left.astype(np.float64) / right.astype(np.float64)).astype(left.dtype)
    return left / right  # type: ignore[operator, no-any-return]


def _reduce(function: Callable[..., Any]) -> Callable[[Mapping[str, Any], Sequence[Array | None]], Array]:
    def rule(attributes: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
        axes = axes_of(attributes, arrays)
        x = np.asarray(arrays[0])
        axis = tuple(axes) if axes else None
        if axis is None and attributes.get("noop_with_empty_axes", 0):
            return x
        return np.asarray(function(x, axis=axis, keepdims=bool(attributes.get("keepdims", 1)))).astype(x.dtype)

    return rule


def _matmul(_: Mapping[str, Any], arrays: Sequence[Array | None]) -> Array:
    left, right = (np.asarray(array) for array in arrays)
    bounded([*left.shape[:-1], *right.shape[-1:]], left, right)
    return np.matmul(left, right)  # type: ignore[no-any-return]


def _split(attributes: Mapping[str, Any], arrays: Sequence[Array | None]) -> list[Array]:
    x, at = np.asarray(arrays[0]), int(attributes.get("axis", 0))
    sizes = attributes.get("split") or (integers(arrays[1]) if len(arrays) > 1 else None)
    if sizes is None:
        count = int(attributes[OUTPUTS])
        each = -(-x.shape[at] // count)
        sizes = [each] * (count - 1) + [x.shape[at] - each * (count - 1)]
    if sum(sizes) != x.shape[at] or min(sizes) < 0 or len(sizes) > MAX_ELEMENTS:
        raise ValueError(f"parts of {sizes} elements")
    return np.split(x, np.cumsum(sizes)[:-1], axis=at)


OPERATORS: dict[str, Callable[[Mapping[str, Any], Sequence[Array | None]], Array | list[Array]]] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Identity": lambda attributes, arrays: np.asarray(arrays[0]),
    "Shape": lambda attributes, arrays: np.array(np.asarray(arrays[0]).shape, np.int64),
    "Cast": _cast,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Gather": lambda attributes, arrays: np.take(
        np.asarray(arrays[0]), np.asarray(arrays[1]).astype(np.int64), axis=int(attributes.get("axis", 0))
    ),
    "Slice": lambda attributes, arrays: np.asarray(arrays[0])[
        tuple(slices(attributes, arrays, np.asarray(arrays[0]).ndim))
    ],
    "Concat": lambda attributes, arrays: np.concatenate(
        [np.asarray(array) for array in arrays], axis=int(attributes["axis"])
    ),
    "Reshape": lambda attributes, arrays: np.asarray(arrays[0]).reshape(
        reshaped(np.asarray(arrays[0]).shape, np.asarray(arrays[1]).tolist(), bool(attributes.get("allowzero", 0)))
    ),
    "Transpose": lambda attributes, arrays: np.transpose(np.asarray(arrays[0]), attributes.get("perm")),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Pow": _binary(np.power),
    "Mod": lambda attributes, arrays: _binary(np.fmod if attributes.get("fmod", 0) else np.mod)(attributes, arrays),
    "MatMul": _matmul,
    "Split": _split,
    "Equal": _binary(np.equal),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Xor": _binary(np.logical_xor),
    "Not": lambda attributes, arrays: np.logical_not(np.asarray(arrays[0])),
    "Neg": lambda attributes, arrays: np.negative(np.asarray(arrays[0])),
    "Abs": lambda attributes, arrays: np.abs(np.asarray(arrays[0])),
    "Ceil": lambda attributes, arrays: np.ceil(np.asarray(arrays[0])),
    "Floor": lambda attributes, arrays: np.floor(np.asarray(arrays[0])),
    "Reciprocal": lambda attributes, arrays: np.reciprocal(np.asarray(arrays[0])),
    "Relu": lambda attributes, arrays: np.maximum(np.asarray(arrays[0]), 0),
    "Size": lambda attributes, arrays: np.array(np.asarray(arrays[0]).size, np.int64),
    "Sqrt": lambda attributes, arrays: np.sqrt(np.asarray(arrays[0])),
    "Where": lambda attributes, arrays: np.where(*(np.asarray(array) for array in arrays)),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
}
