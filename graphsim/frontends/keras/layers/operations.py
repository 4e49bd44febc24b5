"""Operations: functions that a functional model records as calls, ``keras.ops`` of Keras 3 and TensorFlow's of Keras 2.

Both spellings lead to one table, :data:`OPERATIONS`. Keras 3 writes the arguments of an operation in two places: those
of its class in the config, tensors and constants in the call; they are bound to names in the order of ``takes``.
Keras 2 writes TensorFlow's function and its arguments (``TFOpLambda``, ``SlicingOpLambda``), or, up to TensorFlow 2.3,
the node of a TensorFlow graph (``TensorFlowOpLayer``); :mod:`graphsim.frontends.keras.layers.tensorflow` translates.

Tensors that are true or false are 1 or 0. Integers are float32, exact up to 2**24.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from graphsim.frontends.blocks.arith import (
    Equation,
    Operand,
    Operation,
    Value,
    constant,
    contraction,
    elementwise,
    folded,
    select,
    unary,
    weighted,
)
from graphsim.frontends.blocks.arith import matmul as product
from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.blocks.shape import moved
from graphsim.frontends.builder import (
    Builder,
    FloatArray,
    RefusedError,
    Tensor,
    Unary,
    positive_axis,
)
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.attention import spelled
from graphsim.frontends.keras.layers.registry import Calling, Given
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis
from graphsim.graph.graph import Observed

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
        return self._aligned([self.operand(item, name) for item in items])

    def operands(self, *names: str) -> list[Value]:
        """Tensors and constants that NumPy would broadcast, without the batch axis.

        Raises:
            RefusedError: no tensor is among them, or they do not fit without working along the batch.
        """
        return self._aligned([self.operand(self.get(name), name) for name in names])

    def operand(self, value: Any, name: str) -> Value:
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
        array = self.operand(value, name)
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
    "Cos": "cos",
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
    "Sin": "sin",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "Sqrt": "sqrt",
    "Square": "square",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
    "Trunc": "trunc",
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
    """To a constant power, or to that of another tensor."""
    operands = of.operands("x1", "x2")
    if not isinstance(operands[0], Tensor) or isinstance(operands[1], Tensor) or operands[1].size != 1:
        return elementwise(to, "power", operands)
    return unary(to, of.tensor("x1"), Unary("power", (of.number("x2"),)))


@operation("Round", takes="x decimals")
def rounded(to: Builder, of: Bound) -> Made:
    """To whole numbers."""
    if of.integer("decimals", 0):
        raise RefusedError("it keeps decimals; rounding to whole numbers is lowered")
    return unary(to, of.tensor(), Unary("round"))


@operation("Cast", takes="x dtype")
def cast(to: Builder, of: Bound) -> Made:
    """To float32, which everything is; to whole numbers, which are float32; or to true and false."""
    dtype = of.get("dtype", "float32")
    if isinstance(dtype, str) and dtype.split(".")[-1] in ("float32", "float64", "float"):
        return of.tensor()
    if dtype == "bool":
        return unary(to, of.tensor(), Unary("nonzero"))
    if isinstance(dtype, str) and dtype.split(".")[-1] in ("int32", "int64"):
        return unary(to, of.tensor(), Unary("trunc"))
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
    "Subtract": "subtract",
    "Multiply": "product",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Maximum": "max",
    "Minimum": "min",
}
for _name, _op in _TWO.items():
    operation(_name, takes="x1 x2")(lambda to, of, op=_op: elementwise(to, op, of.operands("x1", "x2")))  # type: ignore[misc]


@operation("Add", takes="x1 x2")
def add(to: Builder, of: Bound) -> Made:
    """The sum."""
    left, right = of.operands("x1", "x2")
    if isinstance(left, Tensor) and not isinstance(right, Tensor):
        wide = [i for i, n in enumerate(right.shape, len(left.shape) - right.ndim) if n > 1]
        if wide == [0]:
            activations.note_column(to, left.shape, 0)
    return elementwise(to, "sum", [left, right])


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


def _truths(to: Builder, of: Bound) -> list[Value]:
    """Both operands, 1 where they are not 0."""
    return [
        unary(to, x, Unary("nonzero"), suffix=f"truth{i}", observes="")
        if isinstance(x, Tensor)
        else (x != 0).astype(np.float32)
        for i, x in enumerate(of.operands("x1", "x2"))
    ]


@operation("LogicalXor", takes="x1 x2")
def logical_xor(to: Builder, of: Bound) -> Made:
    """1 where one of both is not 0, and the other is."""
    return elementwise(to, "subtract", _truths(to, of), activation=Unary("nonzero"))


@operation("FloorDivide", takes="x1 x2")
def floor_divide(to: Builder, of: Bound) -> Made:
    """The quotient, rounded down."""
    return elementwise(to, "divide", of.operands("x1", "x2"), activation=Unary("floor"))


@operation("DivideNoNan", takes="x1 x2")
def divide_no_nan(to: Builder, of: Bound) -> Made:
    """The quotient; 0 where the divisor is."""
    left, right = of.operands("x1", "x2")
    divisor = select(to, right, right, np.ones((), np.float32), suffix="divisor", observes="")
    quotient = elementwise(to, "divide", [left, divisor], suffix="quotient", observes="")
    return select(to, right, quotient, np.zeros((), np.float32))


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


@operation("FullLike", takes="x fill_value dtype")
def full_like(to: Builder, of: Bound) -> Made:
    """A constant, which only has the shape of its operand."""
    return _filled(of.number("fill_value"))(to, of)


@operation("OneHot", takes="x num_classes axis dtype sparse")
def one_hot(to: Builder, of: Bound) -> Made:
    """Whole numbers as classes, along a last axis that is new."""
    x = of.tensor()
    if of.integer("axis", -1) not in (-1, len(x.shape) + 1) or of.flag("sparse"):
        raise RefusedError("its classes are along an axis that is not the last, or sparse")
    classes = np.arange(of.integer("num_classes"), dtype=np.float32)
    return elementwise(to, "subtract", [x.reshaped([*x.shape, 1]), classes], activation=Unary("zero"))


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


@operation("CountNonzero", takes="x axis")
def count_nonzero(to: Builder, of: Bound) -> Made:
    """How many elements are not 0."""
    return _truth("sum")(to, of)


def _spread(to: Builder, of: Bound, observes: Observed = "") -> Tensor:
    """The mean of the squares of what the elements differ from their mean, along axes that are kept."""
    x = of.tensor()
    axes = of.axes(len(x.shape))
    mean = folded(to, "mean", x, axes, keepdims=True, suffix="mean", observes="")
    square = elementwise(to, "subtract", [x, mean], activation=Unary("square"), suffix="square", observes="")
    return folded(to, "mean", square, axes, keepdims=of.flag("keepdims"), suffix="var", observes=observes)


@operation("Var", takes="x axis keepdims")
def variance(to: Builder, of: Bound) -> Made:
    """The variance."""
    return _spread(to, of, "output")


@operation("Std", takes="x axis keepdims")
def deviation(to: Builder, of: Bound) -> Made:
    """The root of the variance."""
    return unary(to, _spread(to, of), Unary("sqrt"))


def _first_extreme(op: Literal["max", "min"]) -> _Build:
    """The number of the first of the greatest or least elements: the least number of those that equal it."""

    def build(to: Builder, of: Bound) -> Made:
        x = of.tensor()
        rank = len(x.shape)
        at = of.axis(rank)
        best = folded(to, op, x, [at], keepdims=True, suffix="best", observes="")
        equal = elementwise(to, "subtract", [x, best], activation=Unary("zero"), suffix="equal", observes="")
        shape = [n if i == at else 1 for i, n in enumerate(x.shape)]
        numbers = np.arange(x.shape[at], dtype=np.float32).reshape(shape)
        none = np.full((), x.shape[at], np.float32)
        chosen = select(to, equal, numbers, none, suffix="number", observes="")
        return folded(to, "min", chosen, [at], keepdims=of.flag("keepdims"))

    return build


operation("Argmax", takes="x axis keepdims")(_first_extreme("max"))
operation("Argmin", takes="x axis keepdims")(_first_extreme("min"))


@operation("Diff", takes="a n axis")
def difference(to: Builder, of: Bound) -> Made:
    """Each element less the one before it."""
    x = of.tensor("a")
    at = of.axis(len(x.shape), default=-1)
    size = x.shape[at]
    if of.integer("n", 1) != 1 or size < 2:
        raise RefusedError(f"it takes differences {of.integer('n', 1)} times of {size} elements; once is lowered")
    y = to.group("subtract", [n - (i == at) for i, n in enumerate(x.shape)], observes="output")
    for port, pad in enumerate((-1, 0)):
        to.window(x, y, [Axis(n, n - 1, pad=pad) if i == at else Axis(n, n) for i, n in enumerate(x.shape)], port)
    return y


@operation("Cumsum", takes="x axis exclusive reverse")
def cumsum(to: Builder, of: Bound) -> Made:
    """Each element and those before it, summed; for TensorFlow also without itself, or with those behind it."""
    x = of.tensor()
    at = of.axis(len(x.shape))
    own = of.flag("exclusive")
    pad = -int(own) if of.flag("reverse") else x.shape[at] - 1 + own
    axes = [Axis(n, n, taps=n, pad=pad) if i == at else Axis(n, n) for i, n in enumerate(x.shape)]
    return moved(to, x, axes)


# -- products of matrices -------------------------------------------------------------------------------------------


@operation("Matmul", takes="x1 x2 turned_x1 turned_x2")
def matmul(to: Builder, of: Bound) -> Made:
    """Of the last two axes, all others broadcast; with a constant matrix: neurons. TensorFlow may transpose first."""
    left, right = of.get("x1"), of.get("x2")
    if isinstance(left, Tensor) and not isinstance(right, Tensor):
        matrix = of.operand(right, "x2")
        assert not isinstance(matrix, Tensor)
        if matrix.ndim != 2 or not left.shape or of.flag("turned_x1"):
            raise RefusedError(f"it multiplies by a constant of shape {matrix.shape}; one of two axes is lowered")
        matrix = np.ascontiguousarray(matrix.T) if of.flag("turned_x2") else matrix
        free = string.ascii_lowercase[: len(left.shape) - 1]
        return weighted(to, Equation(f"{free}X", "XY", f"{free}Y"), left, to.constant("matrix", matrix))
    first, second = of.tensor("x1"), of.tensor("x2")
    rank = len(first.shape)
    if rank != len(second.shape) or rank < 2:
        raise RefusedError(
            f"it multiplies samples of shapes {first.shape} and {second.shape}; both need the same number of axes,"
            " two or more"
        )
    return product(to, Operand(first, of.flag("turned_x1")), Operand(second, of.flag("turned_x2")))


@operation("Dot", takes="x1 x2")
def dot(to: Builder, of: Bound) -> Made:
    """With a constant matrix."""
    if isinstance(of.get("x2"), Tensor):
        raise RefusedError("it multiplies the samples of a batch by each other; matmul and einsum are lowered")
    return matmul(to, of)


@operation("Tensordot", takes="x1 x2 axes")
def tensordot(to: Builder, of: Bound) -> Made:
    """Sums of products with a constant, over some axes of both."""
    x, axes = of.tensor("x1"), of.get("axes", 2)
    if isinstance(of.get("x2"), Tensor):
        raise RefusedError("it multiplies the samples of a batch by each other; matmul and einsum are lowered")
    array = of.operand(of.get("x2"), "x2")
    assert not isinstance(array, Tensor)
    rank = len(x.shape)
    if type(axes) is int and 1 <= axes <= min(rank, array.ndim):
        mine, theirs = list(range(rank - axes, rank)), list(range(axes))
    elif isinstance(axes, list) and len(axes) == 2:
        sides = [side if isinstance(side, list) else [side] for side in axes]
        mine = [positive_axis(axis, rank) for axis in sides[0]]
        theirs = [_axis_of(array, axis) for axis in sides[1]]
    else:
        raise RefusedError(f"its axes are {shown(axes)}")
    if len(mine) != len(theirs) or len(set(mine)) != len(mine) or len(set(theirs)) != len(theirs) or not mine:
        raise RefusedError(f"its axes are {shown(axes)}")
    left, right = string.ascii_lowercase[:rank], list(string.ascii_uppercase[: array.ndim])
    for one, other in zip(mine, theirs, strict=True):
        right[other] = left[one]
    result = [c for i, c in enumerate(left) if i not in mine] + [c for i, c in enumerate(right) if i not in theirs]
    equation = Equation(left, "".join(right), "".join(result))
    return weighted(to, equation, x, to.constant("matrix", array))


def _axis_of(array: FloatArray, axis: Any) -> int:
    """An axis of a constant, which has no batch."""
    if type(axis) is not int or not -array.ndim <= axis < array.ndim:
        raise RefusedError(f"axis {shown(axis)} is not an axis of a constant of shape {array.shape}")
    return axis % array.ndim


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
    matrix = of.operand(right, "operand")
    assert not isinstance(matrix, Tensor)
    return weighted(to, spelled(text, len(left.shape)), left, to.constant("matrix", matrix))
