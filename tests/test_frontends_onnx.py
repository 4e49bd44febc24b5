"""ONNX operators against the reference implementation of the ``onnx`` package, and files that are not what they say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from needed import needed

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.builder import Memory
from graphsim.frontends.onnx import folding, lower
from graphsim.frontends.onnx.operators import RULES
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine

onnx = needed("onnx")

FloatArray = npt.NDArray[np.float32]
RNG = np.random.default_rng(7)


def weights(*shape: int) -> FloatArray:
    return RNG.normal(size=shape).astype(np.float32)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> Any:
    return onnx.helper.make_node(op, list(inputs), list(outputs), name=f"{op}_{outputs[0]}", **attributes)


def model(
    nodes: Sequence[Any],
    shape: Sequence[int | str],
    constants: dict[str, npt.NDArray[Any]] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> Any:
    """A model of one input ``x``, written for any batch."""
    made = onnx.helper.make_graph(
        list(nodes),
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", *shape])],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)


def saved(proto: Any, folder: Path) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def outputs_of(graph: Graph, x: FloatArray) -> list[FloatArray]:
    run = ReferenceEngine(graph).run(x)
    return [run.values[graph.groups[graph.channels_into(sink)[0].src].name] for sink in graph.sinks]


def test_the_reader_has_a_case_for_every_rule() -> None:
    tested = {n.op_type for proto, _ in CASES.values() for n in proto.graph.node}
    assert set(RULES) - tested == set()


CASES: dict[str, tuple[Any, tuple[int, ...]]] = {}


def case(
    label: str,
    nodes: Sequence[Any],
    shape: Sequence[int],
    constants: dict[str, npt.NDArray[Any]] | None = None,
    **more: Any,
) -> None:
    CASES[label] = model(nodes, shape, constants, **more), tuple(shape)


for _op in ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Mish", "HardSwish", "Selu", "Elu", "Identity"):
    case(_op, [node(_op, ["x"])], (7,), opset=18)
for _op in ("Abs", "Ceil", "Cos", "Erf", "Floor", "Neg", "Round", "Sign", "Sin"):
    case(_op, [node(_op, ["x"])], (7,))
for _op, _attributes in (
    ("LeakyRelu", {"alpha": 0.125}),
    ("Celu", {"alpha": 2.0}),
    ("ThresholdedRelu", {"alpha": 0.5}),
    ("HardSigmoid", {}),
    ("Softmax", {}),
    ("LogSoftmax", {"axis": 1}),
):
    case(f"{_op} {_attributes}", [node(_op, ["x"], **_attributes)], (3, 4))
case("HardSigmoid of PyTorch", [node("HardSigmoid", ["x"], alpha=1 / 6, beta=0.5)], (5,))
case("Log", [node("Exp", ["x"], ["e"]), node("Log", ["e"])], (5,))
case("Gelu", [node("Gelu", ["x"], ["g"]), node("Gelu", ["g"], approximate="tanh")], (5,), opset=20)
case("PRelu", [node("PRelu", ["x", "s"])], (3, 2), {"s": weights(3, 1)})
case("Dropout", [node("Dropout", ["x"]), node("Cast", ["y"], ["z"], to=1)], (4,), outputs=("z",))
case(
    "Gemm", [node("Gemm", ["x", "w", "b"], alpha=0.5, beta=2.0, transB=1)], (4,), {"w": weights(3, 4), "b": weights(3)}
)
case("MatMul", [node("MatMul", ["x", "w"])], (2, 4), {"w": weights(4, 3)})
for _op in ("Add", "Sub", "Mul", "Div"):
    case(f"{_op} constant", [node(_op, ["x", "c"])], (2, 3), {"c": weights(3)})
for _op in ("Add", "Mul", "Sub"):
    case(f"constant {_op}", [node(_op, ["c", "x"])], (2, 3), {"c": weights(2, 1)})
for _op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"):
    _nodes = [node("Sigmoid", ["x"], ["s"]), node(_op, ["x", "s"])]
    case(f"{_op} of tensors", _nodes, (2, 3))
_FILTERS = {"w": weights(4, 3, 3, 2), "b": weights(4)}
case("Conv", [node("Conv", ["x", "w", "b"], strides=[2, 1], pads=[1, 0, 2, 1])], (3, 6, 5), _FILTERS)
case("Conv same", [node("Conv", ["x", "w"], auto_pad="SAME_UPPER", strides=[2, 2])], (3, 5, 4), {"w": _FILTERS["w"]})
case("Conv same lower", [node("Conv", ["x", "w"], auto_pad="SAME_LOWER")], (3, 5, 4), {"w": _FILTERS["w"]})
case("Conv groups", [node("Conv", ["x", "w"], group=2, dilations=[2])], (4, 9), {"w": weights(6, 2, 3)})
case(
    "ConvTranspose",
    [node("ConvTranspose", ["x", "w", "b"], strides=[2, 1], pads=[1, 0, 0, 1], output_padding=[1, 0])],
    (3, 4, 3),
    {"w": weights(3, 2, 3, 2), "b": weights(2)},
)
case("MaxPool", [node("MaxPool", ["x"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])], (2, 5, 5))
case("AveragePool", [node("AveragePool", ["x"], kernel_shape=[3], strides=[2], pads=[1, 1])], (2, 6))
case("GlobalMaxPool", [node("GlobalMaxPool", ["x"])], (2, 3, 4))
case("GlobalAveragePool", [node("GlobalAveragePool", ["x"])], (2, 3, 4))
case(
    "Reshape by computed shape",
    [
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "zero", "one"], ["batch"]),
        node("Concat", ["batch", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["r"]),
        node("Relu", ["r"]),
    ],
    (2, 6),
    {"zero": np.array([0]), "one": np.array([1]), "rest": np.array([4, 3])},
)
case("Flatten", [node("Flatten", ["x"], ["f"]), node("Relu", ["f"])], (2, 3))
_AXES = {"a": np.array([1])}
case(
    "Unsqueeze",
    [node("Unsqueeze", ["x", "a"], ["u"]), node("Squeeze", ["u", "a"], ["s"]), node("Relu", ["s"])],
    (3,),
    _AXES,
)
case("Transpose", [node("Transpose", ["x"], perm=[0, 3, 1, 2])], (2, 3, 4))
case("Concat", [node("Relu", ["x"], ["r"]), node("Concat", ["x", "r"], axis=2)], (2, 3))
_STATISTICS = {"g": weights(3), "b": weights(3), "m": weights(3), "v": np.abs(weights(3)) + np.float32(0.1)}
case("BatchNormalization", [node("BatchNormalization", ["x", "g", "b", "m", "v"])], (3, 2, 2), _STATISTICS)
_NORM = {"g": weights(4), "b": weights(4)}
case("LayerNormalization", [node("LayerNormalization", ["x", "g", "b"])], (3, 4), _NORM)
case("LayerNormalization over two axes", [node("LayerNormalization", ["x", "g"], axis=1)], (3, 4), {"g": weights(3, 4)})
_SLICES = {"s": np.array([1, -1]), "e": np.array([5, -6]), "a": np.array([1, 2]), "t": np.array([2, -2])}
case("Slice", [node("Slice", ["x", "s", "e", "a", "t"])], (6, 5), _SLICES)
case("Split", [node("Split", ["x", "n"], ["y", "z"], axis=2)], (2, 5), {"n": np.array([2, 3])}, outputs=("y", "z"))
case("Gather", [node("Gather", ["x", "i"], axis=1)], (5, 2), {"i": np.array(3)})
case("Gather some", [node("Gather", ["x", "i"], axis=1)], (5, 2), {"i": np.array([4, 2, 0])})
case("Expand", [node("Expand", ["x", "n"])], (1, 3), {"n": np.array([1, 4, 3])})
case("Pad", [node("Pad", ["x", "p"])], (3, 4), {"p": np.array([0, 1, 0, 0, 2, 1])})
for _op in ("ReduceMean", "ReduceMax", "ReduceMin"):
    case(_op, [node(_op, ["x"], axes=[2], keepdims=0)], (3, 4))
case("ReduceSum", [node("ReduceSum", ["x", "a"])], (3, 4), {"a": np.array([1])})
for _op, _gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
    for _direction, _count in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
        _weights = {
            "w": weights(_count, _gates * 3, 2),
            "r": weights(_count, _gates * 3, 3),
            "b": weights(_count, 2 * _gates * 3),
            "back": np.array([1, 0]),
        }
        _options = {"linear_before_reset": 1} if (_op, _direction) == ("GRU", "reverse") else {}
        _nodes = [
            node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            node(_op, ["t", "w", "r", "b"], ["s", "y"], hidden_size=3, direction=_direction, **_options),
            node("Relu", ["s"], ["z"]),
        ]
        case(f"{_op} {_direction}", _nodes, (5, 2), _weights, outputs=("y", "z"))


for _op in ("Tan", "Sinh", "Cosh", "Reciprocal", "IsNaN", "IsInf"):
    _cast = [node("Cast", ["t"], to=1)] if _op.startswith("Is") else [node("Relu", ["t"])]
    case(_op, [node(_op, ["x"], ["t"]), *_cast], (7,))
case("Sqrt", [node("Abs", ["x"], ["a"]), node("Sqrt", ["a"])], (5,))
_ENDS = {"least": np.array(-0.5, np.float32), "most": np.array(0.75, np.float32)}
case("Clip", [node("Clip", ["x", "least", "most"])], (7,), _ENDS)
case("Clip above", [node("Clip", ["x", "", "most"])], (7,), _ENDS)
case("Clip by attributes", [node("Clip", ["x"], min=-1.0, max=0.25)], (7,), opset=7)
case("Pow", [node("Pow", ["x", "two"])], (2, 3), {"two": np.array(2, np.float32)})
case("Pow of tensors", [node("Abs", ["x"], ["a"]), node("Pow", ["a", "x"])], (2, 3))
case("Pow of a constant", [node("Pow", ["c", "x"])], (2, 3), {"c": np.abs(weights(1, 3)) + np.float32(0.5)})
case("Max of three", [node("Sin", ["x"], ["s"]), node("Max", ["x", "c", "s"])], (2, 3), {"c": weights(1, 2, 3)})
case("Mod", [node("Mod", ["x", "c"], fmod=1)], (2, 3), {"c": np.array([0.7, -0.3, 2.0], np.float32)})
_WHOLE = [node("Mul", ["x", "five"], ["m"]), node("Cast", ["m"], ["i"], to=7)]
_INTEGERS = {"five": np.array(5, np.float32), "n": np.array([3, -2, 2])}
for _op in ("Mod", "Div"):
    case(f"{_op} of integers", [*_WHOLE, node(_op, ["i", "n"], ["q"]), node("Cast", ["q"], to=1)], (2, 3), _INTEGERS)
for _op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
    _nodes = [node("Floor", ["x"], ["f"]), node(_op, ["f", "c"], ["t"]), node("Cast", ["t"], to=1)]
    case(_op, _nodes, (2, 3), {"c": np.array([0, -1, 1], np.float32)})
for _op in ("And", "Or", "Xor"):
    _truths = [node("Cast", ["x"], ["n"], to=7), node("Cast", ["n"], ["p"], to=9), node("Less", ["x", "zero"], ["q"])]
    _nodes = [*_truths, node(_op, ["p", "q"], ["t"]), node("Not", ["t"], ["u"]), node("Cast", ["u"], to=1)]
    case(_op, _nodes, (4, 3), {"zero": np.array(0, np.float32)})
_HIDDEN = {"m": np.tril(np.ones((1, 3, 3), bool)), "hide": np.array(-np.inf, np.float32)}
case("Where", [node("Where", ["m", "x", "hide"], ["s"]), node("Softmax", ["s"], axis=-1)], (3, 3), _HIDDEN)
case("MatMul of tensors", [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"])], (3, 4))
case("MatMul by a constant", [node("MatMul", ["w", "x"])], (4, 2), {"w": weights(1, 3, 4)})
case("Einsum", [node("Einsum", ["x", "x"], equation="bij,bkj->bki")], (3, 4))
for _op in ("ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"):
    case(_op, [node(_op, ["x"], axes=[1], keepdims=0)], (3, 4))
case("ReduceLogSum", [node("Exp", ["x"], ["e"]), node("ReduceLogSum", ["e"], axes=[2])], (3, 4))
for _p in (1, 2):
    # The reference implementation takes no absolute values, the specification does.
    _nodes = [node("Abs", ["x"], ["a"]), node("LpNormalization", ["a"], axis=1, p=_p)]
    case(f"LpNormalization {_p}", _nodes, (3, 4))
for _op in ("ArgMax", "ArgMin"):
    for _last in (0, 1):
        _nodes = [node("Floor", ["x"], ["f"]), node(_op, ["f"], ["n"], axis=2, keepdims=0, select_last_index=_last)]
        case(f"{_op} {_last}", [*_nodes, node("Cast", ["n"], to=1)], (3, 5))
for _options in ({}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}):
    case(f"CumSum {_options}", [node("CumSum", ["x", "a"], **_options)], (3, 4), {"a": np.array(1)})
for _largest in (0, 1):
    _nodes = [node("TopK", ["x", "k"], ["y", "n"], axis=1, largest=_largest), node("Cast", ["n"], ["z"], to=1)]
    case(f"TopK {_largest}", _nodes, (5, 2), {"k": np.array([3])}, outputs=("y", "z"))
case("Gather in any order", [node("Gather", ["x", "i"], axis=1)], (5, 2), {"i": np.array([[4, 0], [1, 1]])})
_CLASSES = [node("ArgMax", ["x"], ["n"], axis=2, keepdims=0)]
case("Gather of rows", [*_CLASSES, node("Gather", ["w", "n"])], (4, 3), {"w": weights(3, 5)})
case("Gather by neurons", [*_CLASSES, node("Gather", ["x", "n"], ["g"], axis=2), node("Relu", ["g"])], (4, 4))
_NEGATED = [*_CLASSES, node("Cast", ["n"], ["f"], to=1), node("Neg", ["f"], ["m"]), node("Cast", ["m"], ["e"], to=7)]
case("Gather of rows from the end", [*_NEGATED, node("Gather", ["w", "e"])], (4, 3), {"w": weights(3, 5)})
case("Gather from the end", [*_NEGATED, node("Gather", ["x", "e"], ["g"], axis=2), node("Relu", ["g"])], (4, 4))
case("GatherElements", [node("GatherElements", ["x", "i"], axis=1)], (3, 2), {"i": np.array([[[2, 0], [-1, 1]]])})
case("Tile", [node("Tile", ["x", "n"])], (3, 2), {"n": np.array([1, 2, 3])})
case("Tile of ones", [node("Tile", ["x", "n"])], (1, 2), {"n": np.array([1, 3, 1])})
for _mode in ("reflect", "edge"):
    case(f"Pad {_mode}", [node("Pad", ["x", "p"], mode=_mode)], (4, 3), {"p": np.array([0, 2, 1, 0, 1, 2])})
_AROUND = {"p": np.array([0, 2, 1, 0, 1, 0]), "v": np.array(1.5, np.float32)}
case("Pad by a number", [node("Pad", ["x", "p", "v"])], (4, 3), _AROUND)
_REVERSED = [node("ReverseSequence", ["x", "n"], batch_axis=0, time_axis=1)]
case("ReverseSequence", _REVERSED, (4, 3), {"n": np.array([3])})
case("SpaceToDepth", [node("SpaceToDepth", ["x"], blocksize=2)], (3, 4, 2))
for _mode in ("DCR", "CRD"):
    case(f"DepthToSpace {_mode}", [node("DepthToSpace", ["x"], blocksize=2, mode=_mode)], (8, 3, 2))
for _upper in (0, 1):
    case(f"Trilu {_upper}", [node("Trilu", ["x", "k"], upper=_upper)], (4, 3), {"k": np.array(1)})
_ONE_HOT = {"d": np.array(4), "v": np.array([-1, 2], np.float32)}
case("OneHot", [*_CLASSES, node("OneHot", ["n", "d", "v"], axis=1)], (4, 3), _ONE_HOT)
case("InstanceNormalization", [node("InstanceNormalization", ["x", "g", "b"])], (4, 3, 2), _NORM)
case("GroupNormalization", [node("GroupNormalization", ["x", "g", "b"], num_groups=2)], (4, 3), _NORM, opset=21)
_SIZES = {"s": np.array([1, 2, 7, 5])}
for _mode in ("nearest", "linear", "cubic"):
    for _place in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        _nodes = [node("Resize", ["x", "", "", "s"], mode=_mode, coordinate_transformation_mode=_place)]
        case(f"Resize {_mode} {_place}", _nodes, (2, 4, 3), _SIZES)
for _options in ({"exclude_outside": 1}, {"cubic_coeff_a": -0.3, "coordinate_transformation_mode": "align_corners"}):
    _nodes = [node("Resize", ["x", "", "", "s"], mode="cubic", **_options)]
    case(f"Resize cubic {_options}", _nodes, (49, 1), {"s": np.array([1, 145, 2])})
for _rounding in ("floor", "ceil", "round_prefer_ceil"):
    _nodes = [node("Resize", ["x", "", "f"], mode="nearest", nearest_mode=_rounding)]
    case(f"Resize {_rounding}", _nodes, (2, 4, 3), {"f": np.array([1, 1, 1.5, 2], np.float32)})
case("Upsample", [node("Upsample", ["x", "f"])], (2, 3, 3), {"f": np.array([1, 1, 2, 3], np.float32)}, opset=9)


def graph(
    name: str, inputs: Sequence[tuple[str, int]], nodes: Sequence[Any], outputs: Sequence[tuple[str, int]]
) -> Any:
    """A graph inside a node: names of inputs and outputs, each with its kind of numbers."""
    values = [[onnx.helper.make_tensor_value_info(n, kind, None) for n, kind in pair] for pair in (inputs, outputs)]
    return onnx.helper.make_graph(list(nodes), name, *values)


_FLOAT, _INT, _BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
#: As tf2onnx writes a recurrent layer: a state that starts as a constant, and of every step what it was.
_STEP = graph(
    "step",
    [("i", _INT), ("go", _BOOL), ("state", _FLOAT)],
    [
        node("Gather", ["t", "i"], ["now"]),
        node("MatMul", ["now", "w"], ["a"]),
        node("MatMul", ["state", "r"], ["b"]),
        node("Add", ["a", "b"], ["c"]),
        node("Tanh", ["c"], ["next"]),
        node("Less", ["i", "last"], ["on"]),
        node("Identity", ["next"], ["shown"]),
    ],
    [("on", _BOOL), ("next", _FLOAT), ("shown", _FLOAT)],
)
_LOOP = {"w": weights(2, 3), "r": weights(3, 3), "zeros": np.zeros((1, 3), np.float32), "last": np.array(2)}
_LOOP |= {"times": np.array(5), "yes": np.array(True)}
_TURNED = node("Transpose", ["x"], ["t"], perm=[1, 0, 2])
for _times in ("times", ""):
    _nodes = [_TURNED, node("Loop", [_times, "yes", "zeros"], ["y", "z"], body=_STEP)]
    case(f"Loop {_times}", _nodes, (5, 2), _LOOP, outputs=("y", "z"))
_BRANCHES = {
    f"{name}_branch": graph(name, [], [node(op, ["x"], [f"{op}.o"])], [(f"{op}.o", _FLOAT)])
    for name, op in (("then", "Relu"), ("else", "Tanh"))
}
case("If", [node("If", ["yes"], **_BRANCHES)], (3,), _LOOP)


@pytest.mark.parametrize("label", CASES)
def test_values_are_those_of_the_reference_implementation(label: str, tmp_path: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    proto, shape = CASES[label]
    x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    found = outputs_of(lower(saved(proto, tmp_path)), x)
    evaluator = ReferenceEvaluator(proto)
    for i in range(len(x)):
        for mine, theirs in zip(found, evaluator.run(None, {"x": x[i : i + 1]}), strict=True):
            np.testing.assert_allclose(mine[i].reshape(-1), theirs.reshape(-1), rtol=3e-6, atol=3e-6)


def test_softmax_before_operator_set_13_is_over_all_axes_from_its_own(tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=(2, 2, 3)).astype(np.float32)
    (found,) = outputs_of(lower(saved(model([node("Softmax", ["x"])], (2, 3), opset=11), tmp_path)), x)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), 1, rtol=1e-6)


def test_a_convolution_has_one_actor_per_output_element_and_its_kernel_once(tmp_path: Path) -> None:
    graph = lower(saved(CASES["Conv"][0], tmp_path))
    conv = graph.groups[graph.number["Conv_y"]]
    assert conv.shape == (4, 4, 5)
    assert (conv.layer, conv.observes) == ("y", "output")
    assert graph.params["Conv_y/kernel"].shape == (4, 3, 3, 2)


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_all_operators_that_are_not_lowered_are_listed(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("NonZero", ["r"], ["n"]),
        node("Det", ["n"], ["d"]),
        node("Relu", ["d"], ["e"]),
        node("Acosh", ["x"], ["y"]),
    ]
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(saved(model(nodes, (3, 3), outputs=("y", "e")), tmp_path))
    assert [name for name, _ in caught.value.layers] == ["NonZero_n", "Det_d", "Acosh_y"]


def _external(tmp_path: Path) -> Any:
    proto = model([node("MatMul", ["x", "w"])], (4,), {"w": weights(4, 3)})
    tensor = proto.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return proto


def _external_constant(tmp_path: Path) -> Any:
    """A constant that would be read from the folder one happens to be in."""
    tensor = onnx.numpy_helper.from_array(weights(4, 3), "w")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "w.bin"
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return model([node("Constant", [], ["w"], value=tensor), node("MatMul", ["x", "w"])], (4,))


def _own_function(tmp_path: Path) -> Any:
    proto = model([node("Relu", ["x"])], (3,))
    opset = onnx.helper.make_opsetid("", 17)
    body = [onnx.helper.make_node("Tanh", ["a"], ["b"])]
    proto.functions.append(onnx.helper.make_function("", "Relu", ["a"], ["b"], body, [opset]))
    return proto


def _input_of_type(kind: int) -> Any:
    proto = model([node("Relu", ["x"])], (3,))
    proto.graph.input[0].type.tensor_type.elem_type = kind
    return proto


def _absurd() -> Any:
    proto = model([node("MatMul", ["x", "w"])], (4,), {"w": weights(4, 3)})
    proto.graph.initializer[0].dims[0] = 1 << 40
    return proto


BROKEN: dict[str, tuple[Any, str]] = {
    "external data": (_external, "lie in other files"),
    "a constant elsewhere": (_external_constant, "1 weights lie in other files"),
    "a function of its own": (_own_function, "it is a function of the model's own"),
    "strings": (lambda _: _input_of_type(onnx.TensorProto.STRING), "graphs compute in float32"),
    "halves": (lambda _: _input_of_type(onnx.TensorProto.FLOAT16), "type float16; graphs compute in float32"),
    "an axis that is not there": (lambda _: model([node("Softmax", ["x"], axis=3)], (2, 2)), "axis 3 is not one of 3"),
    "the batch axis from behind": (lambda _: model([node("Softmax", ["x"], axis=-3)], (2, 2)), "along the batch axis"),
    "an index that is not there": (
        lambda _: model([node("Gather", ["x", "i"], axis=1)], (3,), {"i": np.array(3)}),
        "index 3 is not one of 3",
    ),
    "axes of size 2 squeezed": (
        lambda _: model([node("Squeeze", ["x", "a"])], (2, 2), {"a": np.array([1])}),
        r"takes away axes \[1\] of shape",
    ),
    "a slope that does not fit": (
        lambda _: model([node("PRelu", ["x", "s"])], (3,), {"s": weights(2)}),
        r"input 1 of shape \(2,\) does not fit",
    ),
    "weights of two axes": (
        lambda _: model([node("LSTM", ["x", "w", "r"], hidden_size=1)], (1, 2), {"w": weights(1, 4), "r": weights(4)}),
        "its weights have shapes|is not",
    ),
    "a slope without end": (lambda _: model([node("Elu", ["x"], alpha=float("inf"))], (3,)), "its alpha is inf"),
    "absurd sizes": (lambda _: _absurd(), "is damaged|not a valid"),
    "cycle": (
        lambda _: model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])], (3,), outputs=("b",)),
        "not a valid|nothing makes",
    ),
    "fixed batch": (lambda _: _fixed_batch(), "takes 8 samples at a time"),
    "unknown sizes": (lambda _: model([node("Relu", ["x"])], ("width",)), "axes of unknown size"),
    "no nodes": (lambda _: model([], (3,)), "holds no model"),
    "an output from nowhere": (lambda _: model([node("Relu", ["x"], ["z"])], (3,)), "does not depend|not a valid"),
    "a matrix that does not fit": (
        lambda _: model([node("MatMul", ["x", "w"])], (5,), {"w": weights(4, 3)}),
        "does not fit",
    ),
    "a constant bomb": (
        lambda _: model(
            [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"])], (3,), {"s": np.array([1 << 20, 1 << 20])}
        ),
        "constant result would have shape",
    ),
}


def _fixed_batch() -> Any:
    proto = model([node("Relu", ["x"])], (3,))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    return proto


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_named(what: str, tmp_path: Path) -> None:
    make, message = BROKEN[what]
    with pytest.raises(ModelError, match=message) as caught:
        lower(saved(make(tmp_path), tmp_path))
    assert "m.onnx" in str(caught.value)


def test_nodes_of_one_name_keep_weights_of_their_own(tmp_path: Path) -> None:
    matrices = {"a": weights(3, 3), "b": weights(3, 3)}
    made = [onnx.helper.make_node("MatMul", [x, w], [y], name="same") for x, w, y in (("x", "a", "h"), ("h", "b", "y"))]
    graph = lower(saved(model(made, (3,), matrices), tmp_path))
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(outputs_of(graph, x)[0], x @ matrices["a"] @ matrices["b"], rtol=1e-5, atol=1e-5)


def test_an_input_that_nothing_reads_stays(tmp_path: Path) -> None:
    proto = model([node("Relu", ["x"])], (3,))
    proto.graph.input.insert(0, onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 2]))
    graph = lower(saved(proto, tmp_path))
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    run = ReferenceEngine(graph).run((x[:, :2], x))
    assert (run.values["Relu_y"] == np.maximum(x, 0)).all()
    assert graph.notes["input.z.unused"] == "no output depends on it"


def test_an_input_says_which_numbers_it_takes(tmp_path: Path) -> None:
    proto = model([node("Cast", ["x"], ["f"], to=1), node("Relu", ["f"])], (3,))
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    notes = lower(saved(proto, tmp_path)).notes
    assert (notes["input.x"], notes["input.x.range"]) == ("uint8 [3]", "0..255 by uint8")


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    whole = CASES["Conv"][0].SerializeToString()
    rng = np.random.default_rng(3)
    path = tmp_path / "m.onnx"
    for _ in range(500):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(bytes(data[: rng.integers(1, len(data))] if rng.random() < 0.2 else data))
        try:
            lower(path)
        except ModelError as error:
            assert str(path) in str(error)


ODD = (0, 1, -1, 2, 3, -2, 7, 64, 1 << 20, 1 << 40, (1 << 63) - 1, -(1 << 63))


def _change(proto: Any, rng: random.Random) -> None:
    """One attribute, input, constant, size or operator set of a model made odd."""
    changed, sizes = rng.choice(proto.graph.node), proto.graph.input[0].type.tensor_type.shape.dim
    names = ["", "x", "nowhere", *changed.output, *(c.name for c in proto.graph.initializer)]
    match rng.randrange(8):
        case 0 | 1 if changed.attribute:
            attribute = rng.choice(changed.attribute)
            value = onnx.helper.get_attribute_value(attribute)
            if attribute.HasField("g"):
                _change_inside(attribute.g, rng)
                return
            odd: Any = {float: [0.0, -1.0, 1e38, float("inf")], bytes: ["", "SAME_UPPER", "reverse", "x"]}.get(
                type(value), ODD
            )
            if isinstance(value, (int, float, bytes)):
                new = rng.choice(odd)
            else:
                new = [rng.choice(ODD) if rng.random() < 0.4 else n for n in (*value, 1) if rng.random() < 0.8]
            changed.attribute.remove(attribute)
            if new != []:
                changed.attribute.append(onnx.helper.make_attribute(attribute.name, new))
        case 2 if changed.input:
            changed.input[rng.randrange(len(changed.input))] = rng.choice(names)
        case 3:
            changed.input.append(rng.choice(names))
        case 4:
            changed.op_type = rng.choice([*RULES, *folding.OPERATORS, "If"])
        case 5 if proto.graph.initializer:
            constant = rng.choice(proto.graph.initializer)
            array = onnx.numpy_helper.to_array(constant)
            flat = array.reshape(-1).copy()
            if flat.size:
                flat[rng.randrange(flat.size)] = rng.choice(ODD[:-2] if flat.itemsize == 8 else ODD[:8])
            forms = flat.reshape(array.shape), flat, array.T.copy(), flat[:0], array.astype(np.complex64), array[None]
            constant.CopyFrom(onnx.numpy_helper.from_array(rng.choice(forms), constant.name))
        case 6 if sizes:
            sizes[rng.randrange(len(sizes))].dim_value = rng.choice(ODD)
            if rng.random() < 0.3:
                del sizes[-1]
        case _:
            proto.opset_import[0].version = rng.choice([1, 7, 11, 13, 18, 99])


def _change_inside(inner: Any, rng: random.Random) -> None:
    """One input, output or operator of a graph inside a node made odd."""
    names = [*(value.name for value in inner.input), *(name for n in inner.node for name in n.output), "x", "nowhere"]
    match rng.randrange(4):
        case 0:
            rng.choice(inner.node).op_type = rng.choice([*RULES, *folding.OPERATORS, "Loop"])
        case 1:
            changed = rng.choice(inner.node)
            changed.input[rng.randrange(len(changed.input))] = rng.choice(names)
        case 2:
            rng.choice(inner.output).name = rng.choice(names)
        case _:
            inner.input.extend([inner.output[0]])


@pytest.mark.filterwarnings("error")
def test_odd_models_are_lowered_or_refused(tmp_path: Path) -> None:
    verdicts = {"lowered": 0, "refused": 0}
    labels = sorted(CASES)
    for number in range(2400):
        rng = random.Random(number)
        proto = onnx.ModelProto()
        proto.CopyFrom(CASES[labels[number % len(labels)]][0])
        for _ in range(rng.choice((1, 1, 2, 3))):
            _change(proto, rng)
        path = saved(proto, tmp_path)
        try:
            lower(path, memory=Memory(1 << 30))
            verdicts["lowered"] += 1
        except ModelError as error:
            verdicts["refused"] += 1
            assert str(path) in str(error), f"case {number}: {error}"
        except Exception as error:
            raise AssertionError(f"case {number}: {proto}") from error
    assert min(verdicts.values()) > 100, verdicts
