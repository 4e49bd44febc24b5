"""TensorFlow's functions, which Keras 2 records in functional models, in the terms of the operations of Keras 3.

``TFOpLambda`` and ``SlicingOpLambda`` (TensorFlow 2.4 and later) name a function of TensorFlow's Python interface; its
first argument stands in the call, the others are keywords of the call. ``TensorFlowOpLayer`` (TensorFlow 2.0 to 2.3)
names an operation of TensorFlow's graphs; its constant inputs are in the config, by their places among the inputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphsim.frontends.builder import Builder, RefusedError, Tensor
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.layers import known as knowledge
from graphsim.frontends.keras.layers.operations import OPERATIONS, Made, Recorded, bound
from graphsim.frontends.keras.layers.registry import Calling, Given, Knowing, Known, Merged, calls
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
_BESIDE = frozenset({"name", "batch_dims", "partition_strategy", "use_cudnn_on_gpu", "validate_indices"})

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
    **{
        name: Function("AveragePool", "inputs", {"value": "inputs"})
        for name in ("avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d", "pool")
    },
    **{
        name: Function("MaxPool", "inputs", {"value": "inputs"})
        for name in ("max_pool", "max_pool1d", "max_pool2d", "max_pool3d")
    },
    **{
        name: Function("Conv", "inputs", {"filter": "kernel", "filters": "kernel"})
        for name in ("conv1d", "conv2d", "conv3d", "convolution")
    },
    **{
        f"conv{rank}d_transpose": Function("ConvTranspose", "inputs", {"filter": "kernel", "filters": "kernel"})
        for rank in (1, 2, 3)
    },
    **{name: Function("Flip") for name in ("flip_left_right", "flip_up_down")},
    "band_part": Function("BandPart"),
    "crop_to_bounding_box": Function("CropImages", "images"),
    "extract_patches": Function("ExtractPatches", "images"),
    "local_response_normalization": Function("LocalResponse"),
    "pad_to_bounding_box": Function("PadImages", "images"),
    "reduce_euclidean_norm": Function("Norm", "x", _FOLDING),
    "rgb_to_grayscale": Function("RGBToGrayscale", "images"),
    "separable_conv2d": Function("SeparableConv", "inputs"),
    "trace": Function("Trace"),
    "batch_flatten": Function("Reshape"),
    "broadcast_to": Function("BroadcastTo"),
    "crelu": Function("Crelu"),
    "depth_to_space": Function("DepthToSpace"),
    "depthwise_conv2d": Function("DepthwiseConv", "inputs", {"filter": "kernel"}),
    "diag_part": Function("Diagonal"),
    "embedding_lookup": Function("Take", "x", {"ids": "indices"}, {"axis": 0}),
    "ensure_shape": Function("Identity"),
    "matrix_transpose": Function("Swapaxes"),
    "resize": Function("Resize", "images"),
    "scalar_mul": Function("Multiply", "x1", {"x": "x2"}),
    "slice": Function("GetItem"),
    "space_to_depth": Function("SpaceToDepth"),
    "strided_slice": Function("GetItem"),
    "tensordot": Function("Tensordot", "x1", {"b": "x2"}),
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


@calls("TFOpLambda", "SlicingOpLambda", knows=True)
def function(fields: Fields, semantics: Semantics) -> Knowing:
    """A function of TensorFlow's, by its name: the operation of Keras 3 that it is, or what it makes of numbers."""
    name = fields.text("function")
    last = name.rsplit(".", 1)[-1]
    known = FUNCTIONS.get(last)
    if known is None and last not in knowledge.FUNCTIONS and last != "shape":
        raise RefusedError(f"TensorFlow's function {shown(name)} is not lowered")

    def build(to: Builder, given: Given) -> Made | Known | Merged | Sequence[Known]:
        if known is not None and _works_on_rows(known.operation, given):
            return _on_rows(to, build, known.operation, given)
        if last == "shape" and given.args:
            return knowledge.shape_of(given.args[0])
        kwargs = dict(given.kwargs)
        if last in knowledge.FUNCTIONS and not knowledge.has_tensor([*given.args, kwargs]):
            return knowledge.evaluated(to, last, given.args, kwargs)
        if known is None:
            raise RefusedError(f"TensorFlow's function {shown(name)} is lowered on numbers, not on what a sample has")
        operation = known.operation
        if last == "pool":
            operation = {"MAX": "MaxPool", "AVG": "AveragePool"}.get(str(kwargs.get("pooling_type")), "")
        if kwargs.get("batch_dims", 0) != 0:
            if last != "gather" or not isinstance(kwargs.get("indices"), Tensor):
                raise RefusedError("it takes other elements of every sample")
            operation, kwargs = "Gather", {key: kwargs.get(key) for key in ("indices", "axis", "batch_dims")}
        kwargs = knowledge.stated(kwargs)
        beside = _BESIDE - {"batch_dims"} if operation == "Gather" else _BESIDE
        values = {known.names.get(key, key): value for key, value in kwargs.items() if key not in beside}
        values = dict(known.usual if operation == known.operation else {}) | values
        if given.args:
            values[known.first] = knowledge.stated(given.args[0])
        if len(given.args) > 1:
            raise RefusedError(f"it is called with {len(given.args)} arguments beside keywords; one is usual")
        values = _as_in_keras_3(last, operation, values)
        if operation not in OPERATIONS:
            raise RefusedError(f"its pooling is {shown(kwargs.get('pooling_type'))}; MAX and AVG are lowered")
        return _built(to, name, OPERATIONS[operation], fields, values)

    return build


#: Operations that do to every row by itself what they do to a sample of rows.
_ROW_BY_ROW = frozenset(
    ("Add", "Divide", "Matmul", "Multiply", "Relu", "Sigmoid", "Silu", "Subtract", "Tanh", "TrueDivide")
)


def _works_on_rows(operation: str, given: Given) -> bool:
    """Whether a call merges rows of all samples, or is on such rows.

    Raises:
        RefusedError: it is on such rows, and there is no telling what it does to them.
    """
    x, shape = given.args[0] if given.args else None, given.kwargs.get("shape")
    if isinstance(x, Tensor):
        return operation == "Reshape" and len(x.shape) > 1 and knowledge.stated(shape) == [-1, x.shape[-1]]
    merged = [value for value in [*given.args, *given.kwargs.values()] if isinstance(value, Merged)]
    if merged and (merged != [x] or operation not in ("Reshape", *_ROW_BY_ROW)):
        raise RefusedError("it is called on rows of all samples, merged into one axis")
    return bool(merged)


def _on_rows(
    to: Builder,
    build: Callable[[Builder, Given], Made | Known | Merged | Sequence[Known]],
    operation: str,
    given: Given,
) -> Made | Merged:
    x = given.args[0]
    if isinstance(x, Tensor):
        return Merged(x.reshaped((x.size // x.shape[-1], x.shape[-1])))
    rows: Tensor = x.tensor
    if operation != "Reshape":
        others = [value for key, value in given.kwargs.items() if key in ("y", "b", "bias")]
        if any(np.ndim(knowledge.stated(value)) > (2 if operation == "Matmul" else 1) for value in others):
            raise RefusedError("it is called on rows of all samples, with a constant of more axes")
        made = build(to, Given((rows,), given.kwargs))
        assert isinstance(made, Tensor)
        return Merged(made)
    shape = knowledge.stated(given.kwargs.get("shape"))
    inner = shape[1:] if isinstance(shape, list) and len(shape) > 1 and shape[0] in (-1, None) else None
    if inner is None or any(type(n) is not int or n < 1 for n in inner) or math.prod(inner) != rows.size:
        raise RefusedError(f"it makes shape {shown(shape)} of rows of all samples, {rows.shape} of each")
    return rows.reshaped(inner)


def _sliced(values: dict[str, Any]) -> dict[str, Any]:
    """``tf.slice``: where elements begin, and how many there are; -1 for all that are left."""
    begin, size = values.get("begin"), values.get("size")
    if not isinstance(begin, list) or not isinstance(size, list) or len(begin) != len(size):
        raise RefusedError(f"it takes {shown(size)} elements from {shown(begin)} on")
    if any(type(n) is not int or n < 0 for n in begin) or any(n is not None and type(n) is not int for n in size):
        raise RefusedError(f"it takes {shown(size)} elements from {shown(begin)} on")
    ends = [None if n in (-1, None) else first + n for first, n in zip(begin, size, strict=True)]
    starts = [None if first == 0 and end is None else first for first, end in zip(begin, ends, strict=True)]
    key = [{"start": a, "stop": b, "step": None} for a, b in zip(starts, ends, strict=True)]
    return {"x": values.get("x"), "key": key}


def _strided(values: dict[str, Any]) -> dict[str, Any]:
    key = knowledge.strided_keys(values)
    if key and isinstance(key[0], dict) and key[0].get("stop") is None:
        key[0] = {"start": key[0].get("start") or None, "stop": None, "step": None if key[0].get("step") == 1 else 0}
    return {"x": values.get("x"), "key": key}


#: What convolutions call their kernels.
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def _windowed(values: dict[str, Any], sizes: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of a convolution or of pooling: sizes may be stated for all axes, or for all but batch and channels."""
    made = {key: value for key, value in values.items() if key in ("inputs", *_KERNELS, "output_shape")}
    order = values.get("data_format") or ""
    if not isinstance(order, str) or order not in ("", "NWC", "NHWC", "NDHWC", "NCW", "NCHW", "NCDHW"):
        raise RefusedError(f"its data_format is {shown(order)}")
    first = order.startswith("NC") and len(order) > 2
    made["data_format"] = "channels_first" if first else "channels_last"
    if not isinstance(values.get("padding"), str):
        raise RefusedError(f"its padding is {shown(values.get('padding'))}; names are lowered")
    made["padding"] = values["padding"].lower()
    x = values.get("inputs")
    rank = len(x.shape) + 1 if isinstance(x, Tensor) else 0
    for theirs, ours in sizes.items():
        value = values.get(theirs)
        if isinstance(value, list) and len(value) == rank:
            channels = 1 if first else rank - 1
            if value[0] != 1 or value[channels] != 1:
                raise RefusedError(f"its {theirs} are {shown(value)}, along the batch or the channels too")
            value = [n for i, n in enumerate(value) if i not in (0, channels)]
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None:
            made[ours] = value
    return made


def _convolved(values: dict[str, Any]) -> dict[str, Any]:
    values = {"padding": "SAME", **values} if "output_shape" in values else values
    names = {f"{part}_filter": f"{part}_kernel" for part in ("depthwise", "pointwise")}
    sizes = {"strides": "strides", "stride": "strides"}
    sizes |= dict.fromkeys(("dilations", "dilation_rate", "rate"), "dilation_rate")
    return _windowed({names.get(key, key): value for key, value in values.items()}, sizes)


def _pooled(values: dict[str, Any]) -> dict[str, Any]:
    if any(values.get(key) not in (None, 1, [1], [1, 1], [1, 1, 1]) for key in ("dilations", "dilation_rate")):
        raise RefusedError("its windows have gaps")
    if "window_shape" in values:
        values = {**values, "strides": values.get("strides") or 1}
    return _windowed(values, {"ksize": "pool_size", "window_shape": "pool_size", "strides": "strides"})


def _patched(values: dict[str, Any]) -> dict[str, Any]:
    sizes = {"sizes": "size", "strides": "strides", "rates": "dilation_rate"}
    made = _windowed({**values, "inputs": values.get("images")}, sizes)
    return {"images": made.pop("inputs"), **made}


def _boxed(sign: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Boxes by their upper left corner and their size."""
    what = "padding" if sign > 0 else "cropping"

    def translated(values: dict[str, Any]) -> dict[str, Any]:
        made = {"images": values.get("images"), f"top_{what}": values.get("offset_height")}
        made |= {key: values.get(key) for key in ("target_height", "target_width")}
        return made | {f"left_{what}": values.get("offset_width")}

    return translated


def _resized(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("preserve_aspect_ratio"):
        raise RefusedError("'preserve_aspect_ratio' is not lowered")
    made = {"images": values.get("images"), "size": values.get("size"), "antialias": values.get("antialias")}
    return made | {"interpolation": values.get("method", "bilinear")}


def _only(**more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The tensor, and what the function's name says."""
    return lambda values: {"x": values.get("x")} | more


def _blocked(values: dict[str, Any]) -> dict[str, Any]:
    order = values.get("data_format", "NHWC")
    if order not in ("NHWC", "NCHW"):
        raise RefusedError(f"its data_format is {shown(order)}")
    return {**values, "data_format": "channels_last" if order == "NHWC" else "channels_first"}


#: Functions whose arguments are others than those of the operation of Keras 3.
_TRANSLATED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "avg_pool": _pooled,
    "avg_pool1d": _pooled,
    "avg_pool2d": _pooled,
    "avg_pool3d": _pooled,
    "batch_flatten": _only(newshape=[None, -1]),
    "conv1d": _convolved,
    "conv2d": _convolved,
    "conv3d": _convolved,
    **{f"conv{rank}d_transpose": _convolved for rank in (1, 2, 3)},
    "convolution": _convolved,
    "crop_to_bounding_box": _boxed(-1),
    "extract_patches": _patched,
    "flip_left_right": _only(axis=-2),
    "flip_up_down": _only(axis=-3),
    "pad_to_bounding_box": _boxed(1),
    "separable_conv2d": _convolved,
    "trace": _only(axis1=-2, axis2=-1),
    "depth_to_space": _blocked,
    "depthwise_conv2d": _convolved,
    "diag_part": _only(axis1=-2, axis2=-1),
    "ensure_shape": _only(),
    "matrix_transpose": _only(axis1=-2, axis2=-1),
    "max_pool": _pooled,
    "max_pool1d": _pooled,
    "max_pool2d": _pooled,
    "max_pool3d": _pooled,
    "pool": _pooled,
    "resize": _resized,
    "slice": _sliced,
    "space_to_depth": _blocked,
    "strided_slice": _strided,
}


def _as_in_keras_3(name: str, operation: str, values: dict[str, Any]) -> dict[str, Any]:
    """Arguments that TensorFlow means otherwise."""
    if name in _TRANSLATED:
        return _TRANSLATED[name](values)
    if operation == "Matmul":
        for side, operand in (("a", "x1"), ("b", "x2")):
            if values.pop(f"transpose_{side}", False) | values.pop(f"adjoint_{side}", False):
                values[f"turned_{operand}"] = True
    if operation == "Norm" and values.get("ord") == "euclidean":
        values["ord"] = None
    if isinstance(values.get("mode"), str):
        values["mode"] = values["mode"].lower()
    if values.get("direction") in ("ASCENDING", "DESCENDING"):
        values["descending"] = values.pop("direction") == "DESCENDING"
    if name == "bias_add" and str(values.get("data_format") or "NHWC") in ("NWC", "NHWC", "NDHWC", "N...C"):
        values.pop("data_format", None)
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
