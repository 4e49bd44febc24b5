"""TensorFlow's functions, which Keras 2 records in functional models, in the terms of the operations of Keras 3.

``TFOpLambda`` and ``SlicingOpLambda`` (TensorFlow 2.4 and later) name a function of TensorFlow's Python interface; its
first argument stands in the call, the others are keywords of the call. ``TensorFlowOpLayer`` (TensorFlow 2.0 to 2.3)
names an operation of TensorFlow's graphs; its constant inputs are in the config, by their places among the inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers.operations import OPERATIONS, Made, Recorded, bound
from graphsim.frontends.keras.layers.registry import Calling, Given, calls
from graphsim.frontends.keras.semantics import Semantics


@dataclass(frozen=True)
class Function:
    """A function of TensorFlow's.

    Attributes:
        operation: what it is in Keras 3.
        first: which argument the first one is.
        names: what others are called, where TensorFlow calls them otherwise.
        usual: arguments that Keras 3 takes otherwise where they are not stated.
    """

    operation: str
    first: str = "x"
    names: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, Any] = field(default_factory=dict)


def _two(operation: str) -> Function:
    return Function(operation, "x1", {"y": "x2"})


_FOLDING = {"reduction_indices": "axis", "keep_dims": "keepdims"}
_CLIP = {"clip_value_min": "x_min", "clip_value_max": "x_max"}

#: Arguments that change nothing (batch_dims is looked at before).
_BESIDE = frozenset({"name", "batch_dims", "validate_indices"})

#: By the last part of the function's name: ``math.add``, ``__operators__.add`` and ``add`` are one.
FUNCTIONS: dict[str, Function] = {
    **{
        name: Function(name.capitalize())
        for name in ("ceil", "cos", "erf", "exp", "expm1", "floor", "log", "log1p", "mish")
    },
    **{name: Function(name.capitalize()) for name in ("negative", "reciprocal", "relu", "relu6", "rsqrt", "selu")},
    **{
        name: Function(name.capitalize()) for name in ("sigmoid", "sign", "silu", "sin", "softplus", "softsign", "sqrt")
    },
    **{name: Function(name.capitalize()) for name in ("square", "tanh", "identity", "cast", "cumsum", "squeeze")},
    **{name: Function(name.capitalize()) for name in ("cosh", "cumprod", "round", "sinh", "sort", "argsort", "tan")},
    "abs": Function("Absolute"),
    "add": _two("Add"),
    "add_n": Function("AddN", "xs", {"inputs": "xs"}),
    "argmax": Function("Argmax", "x", usual={"axis": 0}),
    "argmin": Function("Argmin", "x", usual={"axis": 0}),
    "bias_add": Function("Add", "x1", {"bias": "x2"}),
    "clip_by_value": Function("Clip", "x", _CLIP),
    "concat": Function("Concatenate", "xs"),
    "divide": _two("Divide"),
    "divide_no_nan": _two("DivideNoNan"),
    "einsum": Function("Einsum", "subscripts", {"inputs": "operands"}),
    "elu": Function("Elu"),
    "equal": _two("Equal"),
    "expand_dims": Function("ExpandDims"),
    "floor_div": _two("FloorDivide"),
    "floormod": _two("Mod"),
    "gather": Function("Take", "x", usual={"axis": 0}),
    "gelu": Function("Gelu", usual={"approximate": False}),
    "getitem": Function("GetItem", "x", {"slice_spec": "key"}),
    "greater": _two("Greater"),
    "greater_equal": _two("GreaterEqual"),
    "l2_normalize": Function("L2Normalize"),
    "leaky_relu": Function("LeakyRelu", "x", {"alpha": "negative_slope"}),
    "less": _two("Less"),
    "less_equal": _two("LessEqual"),
    "log_sigmoid": Function("LogSigmoid"),
    "log_softmax": Function("LogSoftmax"),
    "log_softmax_v2": Function("LogSoftmax"),
    "logical_and": _two("LogicalAnd"),
    "logical_not": Function("LogicalNot"),
    "logical_or": _two("LogicalOr"),
    "matmul": Function("Matmul", "x1", {"b": "x2"}),
    "maximum": _two("Maximum"),
    "minimum": _two("Minimum"),
    "multiply": _two("Multiply"),
    "not_equal": _two("NotEqual"),
    "norm": Function("Norm", "x", {"tensor": "x"}),
    "one_hot": Function("OneHot", "x", {"depth": "num_classes"}),
    "ones_like": Function("OnesLike"),
    "pad": Function("Pad", "x", {"paddings": "pad_width"}),
    "pow": _two("Power"),
    "reduce_all": Function("All", "x", _FOLDING),
    "reduce_any": Function("Any", "x", _FOLDING),
    "reduce_logsumexp": Function("Logsumexp", "x", _FOLDING),
    "reduce_max": Function("Max", "x", _FOLDING),
    "reduce_mean": Function("Mean", "x", _FOLDING),
    "reduce_min": Function("Min", "x", _FOLDING),
    "reduce_prod": Function("Prod", "x", _FOLDING),
    "reduce_sum": Function("Sum", "x", _FOLDING),
    "reduce_std": Function("Std", "x", _FOLDING),
    "reduce_variance": Function("Var", "x", _FOLDING),
    "repeat": Function("Repeat"),
    "reshape": Function("Reshape", "x", {"shape": "newshape"}),
    "reverse": Function("Flip"),
    "roll": Function("Roll"),
    "softmax": Function("Softmax"),
    "softmax_v2": Function("Softmax"),
    "split": Function("Split", "x", {"num_or_size_splits": "indices_or_sections"}),
    "stack": Function("Stack"),
    "squared_difference": _two("SquaredDifference"),
    "stop_gradient": Function("StopGradient"),
    "subtract": _two("Subtract"),
    "swish": Function("Silu"),
    "tile": Function("Tile", "x", {"multiples": "repeats", "input": "x"}),
    "top_k": Function("TopK", "x", {"input": "x"}, {"k": 1}),
    "transpose": Function("Transpose", "x", {"perm": "axes"}),
    "truediv": _two("TrueDivide"),
    "unstack": Function("Unstack"),
    "zeros_like": Function("ZerosLike"),
    "where": Function("Where", "condition", {"x": "x1", "y": "x2"}),
}

#: Operations of TensorFlow's graphs: the operation of Keras 3, and what its inputs are.
NODES: dict[str, tuple[str, tuple[str, ...]]] = {
    **{name: (name, ("x",)) for name in ("Elu", "Erf", "Exp", "Floor", "Log", "Log1p", "Reciprocal", "Relu", "Relu6")},
    **{name: (name, ("x",)) for name in ("Rsqrt", "Selu", "Sigmoid", "Sign", "Softmax", "Softplus", "Softsign")},
    **{name: (name, ("x",)) for name in ("Sqrt", "Square", "Tanh", "Identity", "Cos", "Sin")},
    **{name: (name, ("x1", "x2")) for name in ("Add", "Maximum", "Minimum")},
    **{name: (name, ("x", "axis")) for name in ("Max", "Mean", "Min", "Prod", "Sum", "ExpandDims")},
    "Abs": ("Absolute", ("x",)),
    "AddV2": ("Add", ("x1", "x2")),
    "Mul": ("Multiply", ("x1", "x2")),
    "Neg": ("Negative", ("x",)),
    "Pow": ("Power", ("x1", "x2")),
    "RealDiv": ("Divide", ("x1", "x2")),
    "Reshape": ("Reshape", ("x", "newshape")),
    "Sub": ("Subtract", ("x1", "x2")),
    "Transpose": ("Transpose", ("x", "axes")),
}


@calls("TFOpLambda", "SlicingOpLambda")
def function(fields: Fields, semantics: Semantics) -> Calling:
    """A function of TensorFlow's, by its name: the operation of Keras 3 that it is."""
    name = fields.text("function")
    known = FUNCTIONS.get(name.rsplit(".", 1)[-1])
    if known is None:
        raise RefusedError(f"TensorFlow's function {shown(name)} is not lowered")
    found = OPERATIONS[known.operation]

    def build(to: Builder, given: Given) -> Made:
        if given.kwargs.get("batch_dims", 0) != 0:
            raise RefusedError("it takes other elements of every sample")
        values = {known.names.get(key, key): value for key, value in given.kwargs.items() if key not in _BESIDE}
        values = dict(known.usual) | values
        if given.args:
            values[known.first] = given.args[0]
        if len(given.args) > 1:
            raise RefusedError(f"it is called with {len(given.args)} arguments beside keywords; one is usual")
        return _built(to, name, found, fields, _as_in_keras_3(known.operation, values))

    return build


def _as_in_keras_3(operation: str, values: dict[str, Any]) -> dict[str, Any]:
    """Arguments that TensorFlow means otherwise."""
    if operation == "Matmul":
        for side, operand in (("a", "x1"), ("b", "x2")):
            if values.pop(f"transpose_{side}", False) | values.pop(f"adjoint_{side}", False):
                values[f"turned_{operand}"] = True
    if operation == "Norm" and values.get("ord") == "euclidean":
        values["ord"] = None
    if isinstance(values.get("mode"), str):
        values["mode"] = values["mode"].lower()
    if values.get("direction") == "ASCENDING":
        del values["direction"]
    parts = values.get("indices_or_sections")
    if isinstance(parts, list) and all(isinstance(n, int) for n in parts):  # sizes, where Keras 3 has ends
        values["indices_or_sections"] = [sum(parts[: i + 1]) for i in range(len(parts) - 1)]
    return values


def _built(to: Builder, name: str, found: Recorded, fields: Fields, values: Mapping[str, Any]) -> Made:
    return found.build(to, bound(found, shown(name), fields, {}, Given((), values)))


@calls("TensorFlowOpLayer")
def node(fields: Fields, semantics: Semantics) -> Calling:
    """A node of a TensorFlow graph: the operation of Keras 3 that it is."""
    described = fields.find("node_def")
    try:
        described = json.loads(described) if isinstance(described, str) else described
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict) or not isinstance(described.get("op"), str):
        raise fields.error(f"'node_def' is {shown(fields.find('node_def'))}; it should be a node of a TensorFlow graph")
    name = described["op"]
    if name not in NODES and name not in ("ConcatV2", "Pack"):
        raise RefusedError(f"TensorFlow's operation {shown(name)} is not lowered")
    constants = fields.child("constants", default={}).data
    attributes = described.get("attr")
    keeps = isinstance(attributes, dict) and attributes.get("keep_dims") == {"b": True}

    def build(to: Builder, given: Given) -> Made:
        tensors = given.args[0] if given.args else []
        tensors = list(tensors) if isinstance(tensors, list) else [tensors]
        inputs: list[Any] = []
        while tensors or str(len(inputs)) in constants:
            inputs.append(constants[str(len(inputs))] if str(len(inputs)) in constants else tensors.pop(0))
        if name == "ConcatV2":
            return _built(to, name, OPERATIONS["Concatenate"], fields, {"xs": inputs[:-1], "axis": inputs[-1]})
        if name == "Pack":
            axis = attributes.get("axis") if isinstance(attributes, dict) else None
            at = int(axis.get("i", 0)) if isinstance(axis, dict) else 0
            return _built(to, name, OPERATIONS["Stack"], fields, {"x": inputs, "axis": at})
        operation, takes = NODES[name]
        if len(inputs) != len(takes) or not isinstance(inputs[0], Tensor | list | int | float):
            raise RefusedError(f"it has {len(inputs)} inputs; {name} takes {len(takes)}")
        values = dict(zip(takes, inputs, strict=True)) | ({"keepdims": True} if keeps else {})
        return _built(to, name, OPERATIONS[operation], fields, values)

    return build
