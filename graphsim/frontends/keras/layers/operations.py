"""Operations that functional models record between layers: ``keras.ops`` of Keras 3 (``x * 2.0 + y[:, 1:3]``).

An operation is called with tensors, numbers, arrays and slices in its arguments; its config has what its constructor
was given. Axes count the batch, which no operation may touch. A tensor that a comparison makes is 1 or 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks import arith
from graphsim.frontends.blocks.arith import Operand, Operation
from graphsim.frontends.blocks.shape import transposed
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary, positive_axis
from graphsim.frontends.keras import activations
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.registry import Calling, Given
from graphsim.frontends.keras.semantics import Semantics

Make = Callable[[Fields, Semantics], Calling]

OPERATIONS: dict[str, Make] = {}
"""Every rule of an operation, by class name."""

#: Elements of a constant in a call.
MAX_CONSTANT = 1 << 20


def operates(*names: str) -> Callable[[Make], Make]:
    """Register a rule for operations: (Fields, Semantics) -> Calling."""

    def register(rule: Make) -> Make:
        OPERATIONS.update(dict.fromkeys(names, rule))
        return rule

    return register


def _only(given: Given, count: int) -> list[Any]:
    """The arguments of an operation, ``count`` of them, by position or by name.

    Raises:
        RefusedError: it has another number.
    """
    found = [*given.args, *given.kwargs.values()]
    if len(found) != count:
        raise RefusedError(f"it is called with {len(found)} arguments; {count} are lowered")
    return found


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise RefusedError(f"it is called on {shown(value)}, which is no tensor")
    return value


def _constant(value: Any, rank: int) -> npt.NDArray[np.float32]:
    """A constant among the arguments, without its batch axis.

    Raises:
        RefusedError: it is no array of numbers, or its batch axis is not of size 1.
    """
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else None
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise RefusedError(f"its argument {shown(value)} is no array of numbers") from None
    if value is None or array.size > MAX_CONSTANT or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise RefusedError(f"its argument {shown(value)} is no finite array of numbers")
    if array.ndim > rank:
        if array.shape[0] != 1 or array.ndim > rank + 1:
            raise RefusedError(f"its constant of shape {array.shape} has a batch axis")
        array = array[0]
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


# -- element by element -----------------------------------------------------------------------------------------------


def combined(to: Builder, op: Operation, values: Sequence[Any], **more: Any) -> Tensor:
    """An op on two operands, of which one may be a constant."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) == len(values):
        if len({len(x.shape) for x in tensors}) > 1:
            raise RefusedError(f"its inputs of shapes {', '.join(str(x.shape) for x in tensors)} have different ranks")
        return arith.elementwise(to, op, tensors, **more)
    if len(tensors) != 1 or len(values) != 2:
        raise RefusedError("it is called on constants only")
    first = isinstance(values[0], Tensor)
    array = _constant(values[1 if first else 0], len(tensors[0].shape))
    return arith.with_constant(to, op, tensors[0], array, first=first, **more)


def _binary(op: Operation) -> Make:
    def rule(fields: Fields, semantics: Semantics) -> Calling:
        def build(to: Builder, given: Given) -> Tensor:
            values = _only(given, 1) if len(given.args) == 1 and isinstance(given.args[0], list) else _only(given, 2)
            return combined(to, op, values[0] if len(values) == 1 else values)

        return build

    return rule


_BINARY: dict[str, Operation] = {
    "Add": "sum",
    "Subtract": "subtract",
    "Multiply": "product",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Maximum": "max",
    "Minimum": "min",
}
for _name, _op in _BINARY.items():
    operates(_name)(_binary(_op))


def _compare(function: str, swapped: bool) -> Make:
    """A comparison: a difference, and the sign of it. Exact: a difference of floats is 0 for equal ones only."""

    def rule(fields: Fields, semantics: Semantics) -> Calling:
        def build(to: Builder, given: Given) -> Tensor:
            values = _only(given, 2)
            less = combined(to, "subtract", values[::-1] if swapped else values, suffix="difference", observes="")
            return arith.unary(to, less, Unary(function))

        return build

    return rule


for _name, _row, _swapped in (
    ("Greater", "positive", False),
    ("GreaterEqual", "nonnegative", False),
    ("Less", "positive", True),
    ("LessEqual", "nonnegative", True),
    ("Equal", "zero", False),
    ("NotEqual", "nonzero", False),
):
    operates(_name)(_compare(_row, _swapped))


@operates("Where")
def where(fields: Fields, semantics: Semantics) -> Calling:
    """One of two, as a condition says."""

    def build(to: Builder, given: Given) -> Tensor:
        values = _only(given, 3)
        condition = _tensor(values[0])
        rank = len(condition.shape)
        given_values = [v if isinstance(v, Tensor) else _constant(v, rank) for v in values[1:]]
        shape = arith.common_shape(condition.shape, *(v.shape for v in given_values))
        chosen = [
            v if isinstance(v, Tensor) else arith.constant(to, v, shape, suffix=f"constant{i}")
            for i, v in enumerate(given_values)
        ]
        if len({len(x.shape) for x in (condition, *chosen)}) > 1:
            raise RefusedError("its inputs have different ranks")
        y = to.group("select", shape, observes="output")
        for port, x in enumerate((condition, *chosen)):
            to.elements(x, y, port)
        return y

    return build


#: Functions of each element without arguments: Keras's class to the row of the activation table.
_FUNCTIONS = {
    "Absolute": "abs",
    "Abs": "abs",
    "Negative": "negative",
    "Square": "square",
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Reciprocal": "reciprocal",
    "Exp": "exp",
    "Log": "log",
    "Sign": "sign",
}
#: Activation functions that are recorded as operations, to the names that layers give them.
_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Silu": "silu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "Selu": "selu",
    "TanhShrink": "tanh_shrink",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
}
#: Those with one argument: class, row, its name in the config, default.
_WITH_ARGUMENT = {
    "LeakyRelu": ("leaky_relu", "negative_slope", 0.2),
    "Elu": ("elu", "alpha", 1.0),
    "Celu": ("celu", "alpha", 1.0),
    "HardShrink": ("hard_shrink", "threshold", 0.5),
    "SoftShrink": ("soft_shrink", "threshold", 0.5),
    "Squareplus": ("squareplus", "b", 4.0),
}


def _function(class_name: str) -> Make:
    def rule(fields: Fields, semantics: Semantics) -> Calling:
        if class_name in _FUNCTIONS:
            row: activations.Activation = Unary(_FUNCTIONS[class_name])
        elif class_name in _ACTIVATIONS:
            row = activations.named(_ACTIVATIONS[class_name], semantics)
        elif class_name in _WITH_ARGUMENT:
            name, key, default = _WITH_ARGUMENT[class_name]
            row = Unary(name, (fields.number(key, default=default),))
        elif class_name == "Gelu":
            row = Unary("gelu_tanh" if fields.flag("approximate", default=True) else "gelu")
        elif class_name == "Threshold":
            row = Unary("threshold", (fields.number("threshold"), fields.number("value", "default_value")))
        else:
            axis = fields.find("axis")
            axes = tuple(axis) if isinstance(axis, list) else (-1 if axis is None else axis,)
            row = activations.Along({"Softmax": "softmax", "LogSoftmax": "log_softmax"}.get(class_name, "glu"), axes)
        return lambda to, given: activations.apply(to, _tensor(_only(given, 1)[0]), row)

    return rule


for _name in (*_FUNCTIONS, *_ACTIVATIONS, *_WITH_ARGUMENT, "Gelu", "Threshold", "Softmax", "LogSoftmax", "Glu"):
    operates(_name)(_function(_name))


@operates("Clip")
def clip(fields: Fields, semantics: Semantics) -> Calling:
    """Not below one number, not above another."""
    low, high = fields.number("x_min"), fields.number("x_max")

    def build(to: Builder, given: Given) -> Tensor:
        x = _tensor(_only(given, 1)[0])
        above = arith.with_constant(to, "max", x, np.full((), low, np.float32), suffix="low", observes="")
        return arith.with_constant(to, "min", above, np.full((), high, np.float32))

    return build


#: Further float32 roundings of TensorFlow's power, which goes by way of exp and log and keeps within 2 ulp, seen from
#: its operand: a root halves them.
POWER_ROUNDINGS = 4


@operates("Power")
def power(fields: Fields, semantics: Semantics) -> Calling:
    """A constant exponent: a whole number up to 8, as a product, or 0.5, -1, -0.5."""

    def build(to: Builder, given: Given) -> Tensor:
        x, exponent = _only(given, 2)
        if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
            raise RefusedError(f"its exponent is {shown(exponent)}; a number is lowered")
        rows = {0.5: "sqrt", -1: "reciprocal", -0.5: "rsqrt"}
        shape, times = _tensor(x).shape, int(exponent) if exponent in range(1, 9) else 1
        if exponent in rows:
            activation = Unary(rows[exponent])
            y = to.group("sum", shape, activation=activation, extra_roundings=POWER_ROUNDINGS, observes="output")
        elif exponent in range(1, 9):
            y = to.group("product", shape, extra_roundings=POWER_ROUNDINGS, observes="output")
        else:
            raise RefusedError(f"its exponent is {exponent}; {', '.join(map(str, rows))} and 1 to 8 are lowered")
        for port in range(times):
            to.one_to_one(x, y, port)
        return y

    return build


# -- along axes -------------------------------------------------------------------------------------------------------


def _reduction(op: Operation) -> Make:
    def rule(fields: Fields, semantics: Semantics) -> Calling:
        axis = fields.find("axis")
        keep = fields.flag("keepdims", default=False)
        if fields.find("initial") is not None:
            raise RefusedError("it starts from an initial value")
        if axis is None:
            raise RefusedError("it reduces over all axes, the batch among them")

        def build(to: Builder, given: Given) -> Tensor:
            x = _tensor(_only(given, 1)[0])
            axes = sorted({positive_axis(a, len(x.shape)) for a in (axis if isinstance(axis, list) else [axis])})
            return arith.folded(to, op, x, axes, keepdims=keep)

        return build

    return rule


for _name, _op in (("Sum", "sum"), ("Mean", "mean"), ("Max", "max"), ("Min", "min"), ("Prod", "product")):
    operates(_name)(_reduction(_op))


@operates("Matmul")
def matmul(fields: Fields, semantics: Semantics) -> Calling:
    """Over the last two axes; a constant second factor makes neurons."""

    def build(to: Builder, given: Given) -> Tensor:
        left, right = _only(given, 2)
        x = _tensor(left)
        if isinstance(right, Tensor):
            if len(right.shape) != len(x.shape):
                raise RefusedError(f"its inputs of shapes {x.shape} and {right.shape} have different ranks")
            return arith.matmul(to, Operand(x), Operand(right))
        array = _constant(right, len(x.shape) + 1)
        if array.ndim != 2 or not x.shape or x.shape[-1] != len(array):
            raise RefusedError(f"its matrix of shape {array.shape} does not fit an input of shape {x.shape}")
        y = to.group("linear", (*x.shape[:-1], array.shape[1]), observes="output")
        to.dense(x, y, weight=to.constant("matrix", array), blocks=math.prod(x.shape[:-1]))
        return y

    return build


# -- moving elements --------------------------------------------------------------------------------------------------


@operates("Reshape")
def reshape(fields: Fields, semantics: Semantics) -> Calling:
    """The same elements in another shape; the first size is the batch's."""
    target = fields.items("newshape")

    def build(to: Builder, given: Given) -> Tensor:
        x = _tensor(_only(given, 1)[0])
        sizes = target[1:]
        if any(isinstance(n, bool) or not isinstance(n, int) or n < -1 or n == 0 for n in sizes):
            raise RefusedError(f"its newshape is {shown(target)}")
        known = math.prod(n for n in sizes if n != -1)
        if len(target) > 16 or sizes.count(-1) > 1 or target[:1] not in ([-1], [None]) or x.size % known:
            raise RefusedError(f"it reshapes {x.shape} to {shown(target)}, which moves elements between samples")
        shape = [x.size // known if n == -1 else n for n in sizes]
        if math.prod(shape) != x.size:
            raise RefusedError(f"it reshapes {x.shape} to {shown(target)}, which moves elements between samples")
        return x.reshaped(shape)

    return build


@operates("Transpose")
def transpose(fields: Fields, semantics: Semantics) -> Calling:
    """Axes in another order."""
    axes = fields.items("axes")

    def build(to: Builder, given: Given) -> Tensor:
        x = _tensor(_only(given, 1)[0])
        order = [a + len(axes) if isinstance(a, int) and a < 0 else a for a in axes]
        if order[:1] != [0] or sorted(order, key=str) != sorted(range(len(x.shape) + 1), key=str):
            raise RefusedError(f"its axes {shown(axes)} move the batch, or are no order of its axes")
        return transposed(to, x, [a - 1 for a in order[1:]])

    return build


def _axes(fields: Fields) -> list[Any]:
    axis = fields.find("axis")
    return axis if isinstance(axis, list) else [axis]


@operates("ExpandDims")
def expand_dims(fields: Fields, semantics: Semantics) -> Calling:
    """New axes of size 1."""
    axes = _axes(fields)

    def build(to: Builder, given: Given) -> Tensor:
        x = _tensor(_only(given, 1)[0])
        rank = len(x.shape) + len(axes)
        added = {positive_axis(a, rank) for a in axes}
        if len(added) < len(axes):
            raise RefusedError(f"its axes {shown(axes)} name one twice")
        sizes = iter(x.shape)
        return x.reshaped([1 if i in added else next(sizes) for i in range(rank)])

    return build


@operates("Squeeze")
def squeeze(fields: Fields, semantics: Semantics) -> Calling:
    """Without axes of size 1."""
    axes = _axes(fields)

    def build(to: Builder, given: Given) -> Tensor:
        x = _tensor(_only(given, 1)[0])
        gone = {positive_axis(a, len(x.shape)) for a in axes}
        if any(x.shape[i] != 1 for i in gone):
            raise RefusedError(f"it squeezes axes {shown(axes)} of shape {x.shape}")
        return x.reshaped([n for i, n in enumerate(x.shape) if i not in gone])

    return build


@operates("GetItem")
def get_item(fields: Fields, semantics: Semantics) -> Calling:
    """Slices, numbers, new axes and the ellipsis; the first takes the whole batch."""

    def build(to: Builder, given: Given) -> Tensor:
        x, key = _only(given, 2)
        keys = list(key) if isinstance(key, (list, tuple)) else [key]
        wanted = [_key(k) for k in keys]
        if wanted.count(Ellipsis) > 1:
            raise RefusedError("it has two ellipses")
        taking = sum(k is not None and k is not Ellipsis for k in wanted)
        rank = len(_tensor(x).shape)
        if taking > rank + 1:
            raise RefusedError(f"it takes {taking} axes of a tensor with {rank} and the batch")
        if Ellipsis not in wanted:
            wanted.append(Ellipsis)
        at = wanted.index(Ellipsis)
        wanted[at : at + 1] = [slice(None)] * (rank + 1 - taking)
        if wanted[0] != slice(None):
            raise RefusedError("it takes some of the batch")
        ranges: list[range] = []
        shape: list[int] = []
        for k in wanted[1:]:
            if k is None:
                shape.append(1)
                continue
            size = x.shape[len(ranges)]
            if isinstance(k, int):
                if not -size <= k < size:
                    raise RefusedError(f"it takes element {k} of an axis of {size}")
                ranges.append(range(k % size, k % size + 1))
                continue
            ranges.append(range(*k.indices(size)))
            shape.append(len(ranges[-1]))
        return arith.taken(to, x, ranges).reshaped(shape)

    return build


def _key(value: Any) -> Any:
    """One part of an index: an int, a slice, None or Ellipsis."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, dict):
        config = value.get("config")
        if value.get("class_name") == "__ellipsis__":
            return Ellipsis
        if value.get("class_name") == "__slice__" and isinstance(config, dict):
            parts = [config.get(key) for key in ("start", "stop", "step")]
            if all(p is None or (isinstance(p, int) and not isinstance(p, bool)) for p in parts) and parts[2] != 0:
                return slice(*parts)
    raise RefusedError(f"it is indexed by {shown(value)}")


def _listed(given: Given) -> list[Tensor]:
    values = _only(given, 1)[0]
    if not isinstance(values, list) or not values or not all(isinstance(v, Tensor) for v in values):
        raise RefusedError("it is not called on a list of tensors")
    return values


@operates("Concatenate")
def concatenate(fields: Fields, semantics: Semantics) -> Calling:
    """One behind the other."""
    axis = fields.integer("axis", default=0)

    def build(to: Builder, given: Given) -> Tensor:
        xs = _listed(given)
        return arith.concatenated(to, xs, positive_axis(axis, len(xs[0].shape)))

    return build


@operates("Stack")
def stack(fields: Fields, semantics: Semantics) -> Calling:
    """One behind the other along a new axis."""
    axis = fields.integer("axis", default=0)

    def build(to: Builder, given: Given) -> Tensor:
        xs = _listed(given)
        at = positive_axis(axis, len(xs[0].shape) + 1)
        return arith.concatenated(to, [x.reshaped((*x.shape[:at], 1, *x.shape[at:])) for x in xs], at)

    return build


@operates("Split")
def split(fields: Fields, semantics: Semantics) -> Calling:
    """Into parts of equal size, or at places."""
    axis, sections = fields.integer("axis", default=0), fields.find("indices_or_sections")

    def build(to: Builder, given: Given) -> Sequence[Tensor]:
        x = _tensor(_only(given, 1)[0])
        at = positive_axis(axis, len(x.shape))
        size = x.shape[at]
        if isinstance(sections, int) and not isinstance(sections, bool) and sections > 0 and size % sections == 0:
            ends = [size // sections * (i + 1) for i in range(sections)]
        elif isinstance(sections, list) and all(isinstance(e, int) and 0 < e < size for e in sections):
            ends = [*sections, size]
        else:
            raise RefusedError(f"it splits an axis of {size} at {shown(sections)}")
        found, start = [], 0
        for end in ends:
            ranges = [range(start, end) if i == at else range(n) for i, n in enumerate(x.shape)]
            found.append(arith.taken(to, x, ranges, observes=""))
            start = end
        return found

    return build
