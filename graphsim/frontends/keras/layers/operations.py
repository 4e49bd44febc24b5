"""Operations: functions that a functional model records as calls, ``keras.ops`` of Keras 3 and TensorFlow's of Keras 2.

Both spellings lead to one table, :data:`OPERATIONS`. Keras 3 writes the arguments of an operation in two places: those
of its class in the config, tensors and constants in the call; they are bound to names in the order of ``takes``.
Keras 2 writes TensorFlow's function and its arguments (``TFOpLambda``, ``SlicingOpLambda``), or, up to TensorFlow 2.3,
the node of a TensorFlow graph (``TensorFlowOpLayer``); :mod:`graphsim.frontends.keras.layers.tensorflow` translates.

Tensors that are true or false are 1 or 0. Integers are float32, exact up to 2**24.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphsim.frontends.blocks.arith import (
    Equation,
    Operation,
    Value,
    constant,
    contraction,
    elementwise,
    select,
    unary,
    weighted,
)
from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.blocks.shape import joined, moved, repeated, sliced, transposed
from graphsim.frontends.builder import (
    Builder,
    FloatArray,
    RefusedError,
    Tensor,
    Unary,
    positive_axis,
)
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.config import MAX_AXES
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.attention import spelled
from graphsim.frontends.keras.layers.registry import Calling, Given
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis

Made = Tensor | Sequence[Tensor]


class Bound:
    """The arguments of an operation, by name, as JSON values with a Tensor for every tensor."""

    def __init__(self, values: Mapping[str, Any], fields: Fields) -> None:
        self.values, self.fields = values, fields

    def get(self, name: str, default: Any = None) -> Any:
        """A value as it is."""
        value = self.values.get(name)
        return default if value is None else value

    def tensor(self, name: str = "x") -> Tensor:
        """A tensor.

        Raises:
            RefusedError: it is something else.
        """
        value = self.get(name)
        if not isinstance(value, Tensor):
            raise RefusedError(f"its argument {name} is {shown(value)}, not a tensor")
        return value

    def tensors(self, name: str) -> list[Value]:
        """A list of tensors, among which may be constants."""
        value = self.get(name)
        items = value if isinstance(value, list) else [value]
        return self._aligned([self._operand(item, name) for item in items])

    def operands(self, *names: str) -> list[Value]:
        """Tensors and constants that NumPy would broadcast, without the batch axis.

        Raises:
            RefusedError: no tensor is among them, or they do not fit without working along the batch.
        """
        return self._aligned([self._operand(self.get(name), name) for name in names])

    def _operand(self, value: Any, name: str) -> Value:
        if isinstance(value, Tensor):
            return value
        if value is None or isinstance(value, str):
            raise RefusedError(f"its argument {name} is {shown(value)}, not a tensor or a constant")
        return Fields({name: _numbers(value)}, self.fields.file, self.fields.place).array(name)

    def _aligned(self, operands: list[Value]) -> list[Value]:
        ranks = [len(x.shape) for x in operands if isinstance(x, Tensor)]
        if not ranks:
            raise RefusedError("it takes no tensor")
        if len(set(ranks)) > 1:
            raise RefusedError("it takes tensors of different ranks, and would broadcast along the batch axis")
        return [x if isinstance(x, Tensor) else self._sample(x, ranks[0]) for x in operands]

    def _sample(self, array: FloatArray, rank: int) -> FloatArray:
        if array.ndim == rank + 1 and array.shape[0] == 1:
            return array.reshape(array.shape[1:])
        if array.ndim > rank:
            raise RefusedError(f"it takes a constant of shape {array.shape} beside a tensor of {rank} axes and a batch")
        return array

    def flag(self, name: str) -> bool:
        """True or false; false where it is missing."""
        value = self.get(name, False)
        if not isinstance(value, (bool, int)):
            raise RefusedError(f"its argument {name} is {shown(value)}, not true or false")
        return bool(value)

    def number(self, name: str, default: float | None = None) -> float:
        """A number, rounded to float32.

        Raises:
            RefusedError: it is none.
        """
        value = self.get(name, default)
        if isinstance(value, Tensor) or value is None:
            raise RefusedError(f"its argument {name} is not a constant")
        array = self._operand(value, name)
        if array.shape != ():
            raise RefusedError(f"its argument {name} is {shown(value)}, not a number")
        return float(array)  # type: ignore[arg-type]

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise RefusedError(f"its argument {name} is {shown(value)}, not a whole number")
        return value

    def integers(self, name: str) -> list[int]:
        """Whole numbers, in a list or as an array."""
        value = self.get(name)
        if isinstance(value, dict):
            config = value.get("config")
            value = config.get("value") if isinstance(config, dict) else None
        items = value if isinstance(value, list) else [value]
        if any(isinstance(n, bool) or not isinstance(n, int) for n in items):
            raise RefusedError(f"its argument {name} is {shown(value)}, not whole numbers")
        return list(items)

    def axis(self, rank: int, name: str = "axis", default: int | None = None) -> int:
        """An axis of the sample."""
        return positive_axis(self.get(name, default), rank)

    def axes(self, rank: int, name: str = "axis") -> list[int]:
        """Axes of the sample, in ascending order.

        Raises:
            RefusedError: the batch axis is among them.
        """
        if self.get(name) is None:
            raise RefusedError("it works along all axes, the batch among them; name the axes of a sample")
        return sorted({positive_axis(axis, rank) for axis in self.integers(name)})


def _numbers(value: Any) -> Any:
    """JSON with 1 and 0 for true and false."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key != "config" and key != "value" else _numbers(item) for key, item in value.items()}
    return int(value) if isinstance(value, bool) else value


@dataclass(frozen=True)
class Recorded:
    """How an operation that models record is lowered.

    Attributes:
        takes: names of its arguments, in the order in which a call fills those that the config does not state.
    """

    build: Callable[[Builder, Bound], Made]
    takes: tuple[str, ...]


OPERATIONS: dict[str, Recorded] = {}
"""Every operation, by the name of its class in Keras 3."""

_Build = Callable[[Builder, Bound], Made]
#: What configs state beside arguments.
_BESIDE = frozenset({"name", "dtype", "trainable"})


def operation(*names: str, takes: str = "x") -> Callable[[_Build], _Build]:
    """Register what builds the operations of these names."""

    def register(build: _Build) -> _Build:
        OPERATIONS.update(dict.fromkeys(names, Recorded(build, tuple(takes.split()))))
        return build

    return register


def operation_calling(class_name: str, fields: Fields, semantics: Semantics) -> Calling:
    """What builds calls of an operation of Keras 3.

    Raises:
        RefusedError: it is not one that is lowered.
    """
    found = OPERATIONS.get(class_name)
    if found is None:
        raise RefusedError(f"the operation {shown(class_name)} is not lowered")
    stated = {key: value for key, value in fields.data.items() if key in found.takes or key not in _BESIDE}
    return lambda to, given: found.build(to, bound(found, class_name, fields, stated, given))


def bound(found: Recorded, name: str, fields: Fields, stated: Mapping[str, Any], given: Given) -> Bound:
    """Arguments by name.

    Raises:
        RefusedError: there are more than the operation knows.
    """
    free = [parameter for parameter in found.takes if parameter not in stated and parameter not in given.kwargs]
    if len(given.args) > len(free):
        raise RefusedError(f"it is called with {len(given.args)} arguments; {name} takes {len(free)}")
    values = dict(stated) | dict(zip(free, given.args, strict=False)) | dict(given.kwargs)
    unknown = [key for key, value in values.items() if key not in found.takes and value is not None]
    if unknown:
        raise RefusedError(f"it is called with {', '.join(map(shown, unknown))}, which is not lowered")
    return Bound(values, fields)


# -- one element at a time ------------------------------------------------------------------------------------------

#: Operations of Keras 3 that are a row of the activation table.
_ROWS = {
    "Absolute": "abs",
    "Ceil": "ceil",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Log": "log",
    "Log1p": "log1p",
    "LogSigmoid": "log_sigmoid",
    "LogicalNot": "zero",
    "Mish": "mish",
    "Negative": "negative",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Relu6": "relu6",
    "Rsqrt": "rsqrt",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "Sqrt": "sqrt",
    "Square": "square",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
}
for _name, _row in _ROWS.items():
    operation(_name)(lambda to, of, row=_row: unary(to, of.tensor(), Unary(row)))  # type: ignore[misc]

#: Those with arguments: the row, and its arguments by name with what they are where they are not stated.
_WITH_ARGUMENTS: dict[str, tuple[str, dict[str, float]]] = {
    "Celu": ("celu", {"alpha": 1.0}),
    "Elu": ("elu", {"alpha": 1.0}),
    "HardShrink": ("hard_shrink", {"threshold": 0.5}),
    "LeakyRelu": ("leaky_relu", {"negative_slope": 0.2}),
    "SoftShrink": ("soft_shrink", {"threshold": 0.5}),
    "Squareplus": ("squareplus", {"b": 4.0}),
    "Threshold": ("threshold", {"threshold": 0.0, "default_value": 0.0}),
}


def _with_arguments(row: str, arguments: Mapping[str, float]) -> _Build:
    def build(to: Builder, of: Bound) -> Made:
        return unary(to, of.tensor(), Unary(row, tuple(of.number(name, usual) for name, usual in arguments.items())))

    return build


for _name, (_row, _arguments) in _WITH_ARGUMENTS.items():
    operation(_name, takes=f"x {' '.join(_arguments)}")(_with_arguments(_row, _arguments))


@operation("Gelu", takes="x approximate")
def gelu(to: Builder, of: Bound) -> Made:
    """Gelu, or its approximation by tanh, which Keras makes where the config does not say otherwise."""
    return unary(to, of.tensor(), Unary("gelu_tanh" if of.get("approximate", True) else "gelu"))


@operation("Clip", takes="x x_min x_max")
def clip(to: Builder, of: Bound) -> Made:
    """Between two numbers."""
    return unary(to, of.tensor(), Unary("clip", (of.number("x_min"), of.number("x_max"))))


@operation("Power", takes="x1 x2")
def power(to: Builder, of: Bound) -> Made:
    """To a constant power."""
    return unary(to, of.tensor("x1"), Unary("power", (of.number("x2"),)))


@operation("Cast", takes="x dtype")
def cast(to: Builder, of: Bound) -> Made:
    """To float32, which everything is; or to true and false."""
    dtype = of.get("dtype", "float32")
    if isinstance(dtype, str) and dtype.split(".")[-1] in ("float32", "float64", "float"):
        return of.tensor()
    if dtype == "bool":
        return unary(to, of.tensor(), Unary("nonzero"))
    raise RefusedError(f"it makes {shown(dtype)} of its input; graphs compute in float32")


@operation("ConvertToTensor", "Copy", "Identity", "StopGradient", takes="x variable dtype sparse ragged")
def identity(to: Builder, of: Bound) -> Made:
    """Nothing."""
    return of.tensor("x" if of.get("x") is not None else "variable")


def _along(kind: str) -> _Build:
    def build(to: Builder, of: Bound) -> Made:
        axes = (-1,) if of.get("axis") is None else tuple(of.integers("axis"))
        return activations.apply(to, of.tensor(), activations.Along(kind, axes))

    return build


for _kind in activations.ALONG:
    operation("".join(part.capitalize() for part in _kind.split("_")), takes="x axis")(_along(_kind))


# -- two tensors, or a tensor and a constant -------------------------------------------------------------------------

_TWO: dict[str, Operation] = {
    "Add": "sum",
    "Subtract": "subtract",
    "Multiply": "product",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Maximum": "max",
    "Minimum": "min",
}
for _name, _op in _TWO.items():
    operation(_name, takes="x1 x2")(lambda to, of, op=_op: elementwise(to, op, of.operands("x1", "x2")))  # type: ignore[misc]

#: Comparisons: the row that says so of the difference, and whether of the second less the first.
_COMPARISONS = {
    "Equal": ("zero", False),
    "NotEqual": ("nonzero", False),
    "Greater": ("positive", False),
    "GreaterEqual": ("nonnegative", False),
    "Less": ("positive", True),
    "LessEqual": ("nonnegative", True),
}


def _comparison(row: str, is_swapped: bool) -> _Build:
    """Of finite numbers: the difference of two infinite ones is not a number."""

    def build(to: Builder, of: Bound) -> Made:
        operands = of.operands("x1", "x2")
        return elementwise(to, "subtract", operands[::-1] if is_swapped else operands, activation=Unary(row))

    return build


for _name, (_row, _is_swapped) in _COMPARISONS.items():
    operation(_name, takes="x1 x2")(_comparison(_row, _is_swapped))


@operation("LogicalAnd", takes="x1 x2")
def logical_and(to: Builder, of: Bound) -> Made:
    """1 where both are not 0."""
    return elementwise(to, "product", of.operands("x1", "x2"), activation=Unary("nonzero"))


@operation("LogicalOr", takes="x1 x2")
def logical_or(to: Builder, of: Bound) -> Made:
    """1 where one of two truths is 1."""
    return elementwise(to, "max", of.operands("x1", "x2"))


@operation("Where", takes="condition x1 x2")
def where(to: Builder, of: Bound) -> Made:
    """The second where the first is true, else the third."""
    return select(to, *of.operands("condition", "x1", "x2"))


def _filled(number: float) -> _Build:
    """Constants, which only have the shape of their operand."""
    array = np.full((), number, np.float32)
    return lambda to, of: constant(to, array, of.tensor().shape, suffix="constant")


operation("ZerosLike", takes="x dtype")(_filled(0.0))
operation("OnesLike", takes="x dtype")(_filled(1.0))


# -- folds ----------------------------------------------------------------------------------------------------------

_FOLDS = {"Sum": "sum", "Mean": "mean", "Max": "max", "Min": "min", "Prod": "product", "Amax": "max", "Amin": "min"}


def _fold(op: str) -> _Build:
    def build(to: Builder, of: Bound) -> Made:
        x = of.tensor()
        over = Over(x.shape, frozenset(of.axes(len(x.shape))))
        kept = over.kept if of.flag("keepdims") else [n for i, n in enumerate(x.shape) if i not in over.axes]
        y = to.group(op, kept, observes="output")
        over.down(to, x, y)
        return y

    return build


for _name, _folded in _FOLDS.items():
    operation(_name, takes="x axis keepdims")(_fold(_folded))


def _truth(op: str) -> _Build:
    def build(to: Builder, of: Bound) -> Made:
        truths = unary(to, of.tensor(), Unary("nonzero"), suffix="truth", observes="")
        return _fold(op)(to, Bound(dict(of.values) | {"x": truths}, of.fields))

    return build


operation("Any", takes="x axis keepdims")(_truth("max"))
operation("All", takes="x axis keepdims")(_truth("min"))


@operation("Cumsum", takes="x axis")
def cumsum(to: Builder, of: Bound) -> Made:
    """Each element and those before it, summed."""
    x = of.tensor()
    at = of.axis(len(x.shape))
    axes = [Axis(n, n, taps=n, pad=n - 1) if i == at else Axis(n, n) for i, n in enumerate(x.shape)]
    return moved(to, x, axes)


# -- products of matrices -------------------------------------------------------------------------------------------


@operation("Matmul", takes="x1 x2")
def matmul(to: Builder, of: Bound) -> Made:
    """Of the last two axes, all others broadcast; with a constant matrix: neurons."""
    left, right = of.get("x1"), of.get("x2")
    if isinstance(left, Tensor) and not isinstance(right, Tensor):
        matrix = of._operand(right, "x2")
        assert not isinstance(matrix, Tensor)
        if matrix.ndim != 2 or not left.shape:
            raise RefusedError(f"it multiplies by a constant of shape {matrix.shape}; one of two axes is lowered")
        free = string.ascii_lowercase[: len(left.shape) - 1]
        return weighted(to, Equation(f"{free}X", "XY", f"{free}Y"), left, to.constant("matrix", matrix))
    first, second = of.tensor("x1"), of.tensor("x2")
    rank = len(first.shape)
    if rank != len(second.shape) or rank < 2:
        raise RefusedError(
            f"it multiplies samples of shapes {first.shape} and {second.shape}; both need the same number of axes,"
            " two or more"
        )
    free = string.ascii_lowercase[: rank - 2]
    return contraction(to, Equation(f"{free}XY", f"{free}YZ", f"{free}XZ"), first, second)


@operation("Dot", takes="x1 x2")
def dot(to: Builder, of: Bound) -> Made:
    """With a constant matrix."""
    if isinstance(of.get("x2"), Tensor):
        raise RefusedError("it multiplies the samples of a batch by each other; matmul and einsum are lowered")
    return matmul(to, of)


@operation("Einsum", takes="subscripts operands x1 x2")
def einsum(to: Builder, of: Bound) -> Made:
    """A sum of products of two tensors, or of a tensor and a constant."""
    text = of.get("subscripts")
    given = of.get("operands", [of.get("x1"), of.get("x2")])
    # Keras 3 takes the operands one by one.
    given = [value for value in (given if isinstance(given, list) else [given, of.get("x1")]) if value is not None]
    if not isinstance(text, str) or len(given) != 2 or not isinstance(given[0], Tensor):
        raise RefusedError(
            f"it sums products of {len(given)} operands; two are lowered, of which the first is a tensor"
        )
    text = text.replace(" ", "")
    left, right = given
    if isinstance(right, Tensor):
        return contraction(to, spelled(text, len(left.shape), len(right.shape)), left, right)
    matrix = of._operand(right, "operand")
    assert not isinstance(matrix, Tensor)
    return weighted(to, spelled(text, len(left.shape)), left, to.constant("matrix", matrix))


# -- shapes ---------------------------------------------------------------------------------------------------------


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
    x = of.tensor()
    at = of.axis(len(x.shape), default=0)
    size, parts = x.shape[at], of.get("indices_or_sections")
    if isinstance(parts, int) and not isinstance(parts, bool):
        if parts < 1 or size % parts:
            raise RefusedError(f"it splits an axis of {size} into {parts} parts")
        cuts = [size // parts * i for i in range(1, parts)]
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
    keys = [_key(item) for item in (key if isinstance(key, list) else [key])]
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


def _key(value: Any) -> Any:
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
    """Elements of an axis, by constant numbers."""
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


@operation("Flip", takes="x axis")
def flip(to: Builder, of: Bound) -> Made:
    """Backwards."""
    x = of.tensor()
    gone = of.axes(len(x.shape))
    return moved(to, x, [Axis(n, n, stride=-1, pad=1 - n) if i in gone else Axis(n, n) for i, n in enumerate(x.shape)])


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
