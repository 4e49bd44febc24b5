"""ONNX files as data: parsed by the ``onnx`` package, checked, bounded; no operator of the file is ever run.

A model is lowered for one sample: the first axis of every input, where its size is not stated, has size 1, and every
shape in the file follows from that. Weights that lie in other files are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import ModelError

Array = npt.NDArray[np.generic]

#: Larger files are refused by protobuf itself.
MAX_BYTES = (1 << 31) - 1
#: Levels of graphs inside graphs that are read.
MAX_LEVELS = 8
#: Types of inputs that a float32 graph can stand for.
_KINDS = ("float32", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
#: Names of operator sets whose operators are known; "" and "ai.onnx" are the standard one.
DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Input:
    """An input of the model: its shape for one sample, batch axis (of size 1) included."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Node:
    """One operator of the file.

    Attributes:
        op: its type, such as ``Conv``.
        name: the node's, or where it has none, that of its first output.
        inputs, outputs: names of tensors; "" for one that is left out.
        attributes: by name: int, float, str, or lists of them, or an array.
        refused: why it cannot be lowered, known from its form: it is of another domain, or has graphs inside that are
            not looked into.
        bodies: the graphs inside a Loop (``body``) or an If, by the name of the attribute.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    refused: str = ""
    bodies: Mapping[str, Body] = field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    """A graph inside a node: names of its inputs and outputs, its nodes in order, its constants by name.

    What it takes and neither has nor makes is of the graph around it.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]


@dataclass(frozen=True)
class OnnxModel:
    """A model: its nodes in topological order, its constants by name, and its version.

    Attributes:
        file: path, for messages.
        opset: version of the standard operator set.
        producer: what wrote the file.
    """

    file: str
    opset: int
    producer: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]


def read(path: Path) -> OnnxModel:
    """Read a file.

    Raises:
        ModelError: the ``onnx`` package is missing, or the file is damaged, not ONNX, or has parts elsewhere.
    """
    file = str(path)
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelError(
            f"{file}: reading ONNX needs the onnx package: pip install '.[onnx]' in the checkout"
        ) from error
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{file}: has more than {MAX_BYTES:,} bytes; ONNX files are smaller")
        proto = onnx.ModelProto()
        proto.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (DecodeError, RecursionError, ValueError, MemoryError) as error:
        raise ModelError(f"{file}: is not an ONNX file ({_first_line(error)})") from error
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"{file}: holds no model: no nodes, or no operator set")
    elsewhere = [name for graph in _graphs(file, proto.graph) for name in _elsewhere(graph)]
    if elsewhere:
        raise ModelError(
            f"{file}: {len(elsewhere)} weights lie in other files ({', '.join(map(_text, elsewhere[:3]))}); save the"
            " model with all its data in one file (onnx.save with save_as_external_data=False)"
        )
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # the checker raises ValidationError, and other things for files made to be wrong
        raise ModelError(f"{file}: is not a valid ONNX model: {_first_line(error)}") from error
    return _model(file, proto)


def _graphs(file: str, graph: Any, depth: int = 0) -> Iterator[Any]:
    """A graph, and those inside its nodes.

    Raises:
        ModelError: they are too many levels deep.
    """
    if depth > MAX_LEVELS:
        raise ModelError(f"{file}: has graphs inside graphs, more than {MAX_LEVELS} levels; that many are read")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(file, inner, depth + 1)


def _elsewhere(graph: Any) -> list[Any]:
    """Names of tensors of a graph whose elements lie in other files."""
    found = [tensor.name for tensor in graph.initializer if _is_elsewhere(tensor)]
    found += [node.output[0] for node in graph.node if node.output and any(_is_elsewhere(a.t) for a in node.attribute)]
    return found


def _is_elsewhere(tensor: Any) -> bool:
    """Whether a tensor's elements lie in another file, which is never opened."""
    return bool(tensor.external_data) or tensor.data_location == tensor.EXTERNAL


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _model(file: str, proto: Any) -> OnnxModel:
    opset = max((entry.version for entry in proto.opset_import if entry.domain in DOMAINS), default=0)
    own = {(_text(function.domain), _text(function.name)) for function in proto.functions}
    constants = _constants(file, proto.graph)
    nodes = _nodes(file, proto.graph, own)
    inputs = tuple(_input(file, value) for value in proto.graph.input if _text(value.name) not in constants)
    outputs = tuple(_text(value.name) for value in proto.graph.output)
    producer = " ".join(filter(None, (_text(proto.producer_name), _text(proto.producer_version))))
    return OnnxModel(file, opset, producer, inputs, outputs, nodes, constants)


def _constants(file: str, graph: Any) -> dict[str, Array]:
    """The weights of a graph.

    Raises:
        ModelError: they are damaged, or sparse.
    """
    if graph.sparse_initializer:
        raise ModelError(f"{file}: has sparse weights, which are not read; save the model with dense ones")
    return {_text(tensor.name): _array(file, _text(tensor.name), tensor) for tensor in graph.initializer}


def _nodes(file: str, graph: Any, own: Collection[tuple[str, str]]) -> tuple[Node, ...]:
    """The nodes of a graph; ``own``: domains and names of the model's own functions."""
    nodes: list[Node] = []
    taken: set[str] = set()
    for number, node in enumerate(graph.node):
        given, made = (tuple(_text(name) for name in names) for names in (node.input, node.output))
        name = base = _text(node.name) or next((output for output in made if output), f"node_{number}")
        again = 2
        while name in taken:  # names are for people, and may be there twice; parameters are found by them here
            name, again = f"{base}_{again}", again + 1
        taken.add(name)
        refused = "" if node.domain in DOMAINS else f"it is of domain {node.domain!r}, not one of ONNX's own"
        if (_text(node.domain), _text(node.op_type)) in own:
            refused = "it is a function of the model's own"
        inside = [a for a in node.attribute if a.HasField("g") or a.graphs]
        if inside and (node.op_type not in ("Loop", "If") or any(a.graphs for a in inside)):
            refused = "it has graphs inside, which are not lowered"
        plain = [] if refused else [a for a in node.attribute if not a.HasField("g")]
        attributes = {_text(a.name): _attribute(file, name, a) for a in plain}
        bodies = {} if refused else {_text(a.name): _body(file, a.g, own) for a in inside}
        nodes.append(Node(_text(node.op_type), name, given, made, attributes, refused, bodies))
    return tuple(nodes)


def _body(file: str, graph: Any, own: Collection[tuple[str, str]]) -> Body:
    inputs, outputs = (tuple(_text(value.name) for value in values) for values in (graph.input, graph.output))
    return Body(inputs, outputs, _nodes(file, graph, own), _constants(file, graph))


def _text(value: str | bytes) -> str:
    """A name; protobuf gives bytes where it is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _array(file: str, name: str, tensor: Any) -> Array:
    from onnx import numpy_helper

    try:
        array: Array = numpy_helper.to_array(tensor)
    except Exception as error:  # sizes that contradict the data end in any of several exceptions
        raise ModelError(f"{file}: tensor {name!r} is damaged: {_first_line(error)}") from error
    return array


def _attribute(file: str, node: str, attribute: Any) -> Any:
    from onnx import helper

    value = helper.get_attribute_value(attribute)
    if hasattr(value, "data_type"):
        return _array(file, f"{attribute.name} of {node}", value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if not isinstance(value, (int, float, str)) and hasattr(value, "__iter__") else value


def _input(file: str, value: Any) -> Input:
    from onnx import TensorProto, helper

    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise ModelError(f"{file}: input {value.name!r} is not a tensor of a known number of axes")
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if sizes and sizes[0] in (None, 0, -1):
        sizes[0] = 1
    if sizes and sizes[0] != 1:
        raise ModelError(
            f"{file}: input {value.name!r} takes {sizes[0]} samples at a time; a graph sees one: export the model"
            " with a batch axis of unknown size"
        )
    shape = tuple(size for size in sizes if size is not None and size > 0)
    if len(shape) < len(sizes):
        raise ModelError(
            f"{file}: input {value.name!r} has axes of unknown size beside the first; export the model with fixed sizes"
        )
    try:
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name if kind.elem_type != TensorProto.UNDEFINED else ""
    except KeyError:
        raise ModelError(f"{file}: input {value.name!r} has elements of an unknown type {kind.elem_type}") from None
    if dtype not in ("", *_KINDS):
        raise ModelError(f"{file}: input {value.name!r} has elements of type {dtype}; graphs compute in float32")
    return Input(_text(value.name), shape, dtype)
