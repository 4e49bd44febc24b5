"""Architectures: the JSON of a Sequential or Functional model, of any Keras, as layers and calls in order.

Spellings that are read:

* Sequential: a list of layers (Keras <= 2.2.2), or an object with ``layers``; its input is an InputLayer, or the first
  layer's ``batch_input_shape`` or ``input_dim``, or the model's ``build_input_shape``.
* Functional (``Model`` before Keras 2.4): ``layers`` with ``inbound_nodes``, ``input_layers``, ``output_layers``.
  A node of Keras 1 and 2 is a list of ``[layer, node, tensor, kwargs]``, or an object of them; of Keras 3 an object
  with ``args`` and ``kwargs``, in which a tensor is an object of class ``__keras_tensor__`` with a ``keras_history``.
* Models nest: a layer may be a Sequential or Functional model. References count the calls of such a layer from 1 where
  its own construction counts as call 0: everywhere in Keras 1 and 2, and for Functional models in ``output_layers`` of
  Keras 3. Here calls count from 0.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeGuard

from graphsim.errors import ModelError
from graphsim.frontends.keras.fields import Fields, shown

SEQUENTIAL = ("Sequential",)
FUNCTIONAL = ("Functional", "Model")
#: Models within models: deeper than this is no model.
MAX_NESTING = 20
#: Characters in a layer's name.
MAX_NAME = 2000
#: Tensors of more axes than this are refused.
MAX_AXES = 16


class TensorId(NamedTuple):
    """An output of a call: the layer's name, the number of the call, the number of the output."""

    layer: str
    node: int
    output: int


@dataclass(frozen=True)
class Layer:
    """A layer of a model.

    Attributes:
        name: exactly as in the file.
        path: the name, after the names of the models it is nested in, separated by slashes.
        class_name, module: of its class; the module is "" where the file does not say.
        fields: its config.
        is_custom: whether the file says that its class is not Keras's.
        registered: the name its class is registered by (``package>Class``); "" where the file does not say.
        inner: the model, where the layer is one, or is a TimeDistributed one.
    """

    name: str
    path: str
    class_name: str
    module: str
    fields: Fields
    is_custom: bool = False
    inner: Model | None = None
    registered: str = ""

    @property
    def is_model(self) -> bool:
        """Whether the layer itself is a model."""
        return self.inner is not None and self.class_name != "TimeDistributed"


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: that is called.
        node: number of this call among the layer's calls, from 0.
        args, kwargs: what it is called with: JSON values (lists and objects too) in which a TensorId stands for a
            tensor. Keyword arguments that are null or False are left out.
    """

    layer: Layer
    node: int
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[TensorId, ...]:
        """Tensors it is called on, in order."""
        found: list[TensorId] = []
        map_tensors(found.append, (*self.args, *self.kwargs.values()))
        return tuple(found)


def map_tensors(function: Callable[[TensorId], Any], value: Any) -> Any:
    """A structure of lists, tuples and dicts in which every TensorId is replaced by what ``function`` makes of it."""
    if isinstance(value, TensorId):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(function, item) for item in value)
    return value


@dataclass(frozen=True)
class Model:
    """A model: its layers in the order of the file, and the calls its outputs need, each after those it takes from.

    ``sequential`` says which kind it is; ``inputs`` are outputs of InputLayers, whose calls have no inputs;
    ``input_keys`` are their names in a call with an object of tensors.
    """

    name: str
    class_name: str
    layers: tuple[Layer, ...]
    calls: tuple[Call, ...]
    inputs: tuple[TensorId, ...]
    outputs: tuple[TensorId, ...]
    sequential: bool
    fields: Fields
    input_keys: tuple[str, ...] = ()

    def walk(self) -> Iterator[Layer]:
        """All layers, those of nested models after the layer that is the model."""
        for layer in self.layers:
            yield layer
            if layer.inner is not None:
                yield from layer.inner.walk()


def read_model(entry: Fields, prefix: str = "", depth: int = 0) -> Model:
    """The model in ``entry``, an object with ``class_name`` and ``config``.

    Raises:
        ModelError: the JSON is not that of a Sequential or Functional model, or contradicts itself.
    """
    if depth > MAX_NESTING:
        raise entry.error(f"models nest more than {MAX_NESTING} deep")
    class_name = entry.text("class_name")
    if class_name in SEQUENTIAL:
        return _read_sequential(entry, class_name, prefix, depth)
    return _read_functional(entry, class_name, prefix, depth)


def _read_layer(entry: Fields, prefix: str, depth: int, position: int) -> Layer:
    class_name = entry.text("class_name")
    is_model = class_name in SEQUENTIAL or class_name in FUNCTIONAL
    raw = entry.find("config")
    if is_model and isinstance(raw, list):  # a nested bare-list Sequential names itself beside its config
        fields = Fields({"layers": raw}, entry.file, entry.place)
    else:
        fields = entry.child("config")
    name = entry.find("name")
    if name is None:
        name = fields.find("name")
    if name is None and is_model:
        name = f"{class_name.lower()}_{position}"
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise entry.error(f"the layer's name is {shown(name)}; it should be a string of 1 to {MAX_NAME:,} characters")
    path = f"{prefix}{name}"
    fields.place = f"layer {path!r}"
    module, registered = entry.text("module", default=""), entry.text("registered_name", default="")
    # Keras 3 writes the module of its own classes, and "package>name" for registered classes of others.
    is_known = not module or module.startswith(("keras", "tf_keras", "tensorflow"))
    is_custom = ">" in registered + class_name or not is_known
    inner = read_model(entry, f"{path}/", depth + 1) if is_model else None
    if class_name == "TimeDistributed" and fields.child("layer").find("class_name") in (*SEQUENTIAL, *FUNCTIONAL):
        inner = read_model(fields.child("layer"), f"{path}/", depth + 1)
    return Layer(name, path, class_name, module, fields, is_custom, inner, registered)


def _read_layers(fields: Fields, entries: list[Any], prefix: str, depth: int) -> list[tuple[Layer, Fields]]:
    found: dict[str, tuple[Layer, Fields]] = {}
    for position, value in enumerate(entries):
        entry = fields.element(value, f"layer {position}")
        layer = _read_layer(entry, prefix, depth, position)
        if layer.name in found:
            raise fields.error(f"two layers are called {layer.name!r}; names must be unique")
        found[layer.name] = (layer, entry)
    if not found:
        raise fields.error("the model has no layers")
    return list(found.values())


def _read_sequential(entry: Fields, class_name: str, prefix: str, depth: int) -> Model:
    raw = entry.find("config")
    config = Fields({"layers": raw}, entry.file, entry.place) if isinstance(raw, list) else entry.child("config")
    layers = [layer for layer, _ in _read_layers(config, config.items("layers"), prefix, depth)]
    if layers[0].class_name != "InputLayer":
        layers.insert(0, _implied_input(config, layers[0], prefix))
    calls = [Call(layers[0], 0)]
    for before, layer in itertools.pairwise(layers):
        if layer.class_name == "InputLayer":
            raise config.error(f"InputLayer {layer.name!r} is not the first layer")
        calls.append(Call(layer, 0, (TensorId(before.name, 0, 0),)))
    name = config.text("name", default="sequential")
    first, last = (TensorId(layer.name, 0, 0) for layer in (layers[0], layers[-1]))
    return Model(name, class_name, tuple(layers), tuple(calls), (first,), (last,), True, config)


def _implied_input(config: Fields, first: Layer, prefix: str) -> Layer:
    """The input that a Sequential model without an InputLayer has: ``<first layer>_input``."""
    shape, dtype = _stated_shape(first), first.fields.find("dtype")
    if shape is None:
        shape = config.find("build_input_shape")
    name = f"{first.name}_input"
    data = {"batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32", "name": name}
    return Layer(name, f"{prefix}{name}", "InputLayer", "", Fields(data, config.file, f"layer {first.path!r}"))


def _stated_shape(layer: Layer) -> Any:
    if layer.inner is not None and layer.is_model:
        of_inner = next((inner for inner in layer.inner.layers if inner.class_name == "InputLayer"), None)
        return None if of_inner is None else _stated_shape(of_inner)
    shape = layer.fields.find("batch_shape", "batch_input_shape")
    if shape is None and layer.class_name == "Dense" and layer.fields.find("input_dim") is not None:
        shape = [None, layer.fields.find("input_dim")]
    return shape


def input_shape(layer: Layer) -> tuple[int | None, ...]:
    """Shape of an InputLayer's tensor without the batch axis; None where a size is not known.

    Raises:
        ModelError: it states none, or one that is no shape.
    """
    shape = _stated_shape(layer)
    fields = layer.fields
    if shape is None:
        raise fields.error("the file does not say what shape the input has; build the model before it is saved")
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_AXES:
        raise fields.error(f"the input's shape is {shown(shape)}; it should be a list of sizes")
    for size in shape:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise fields.error(f"the input's shape is {shown(shape)}; sizes should be null or at least 1")
    return tuple(shape[1:])


def _read_functional(entry: Fields, class_name: str, prefix: str, depth: int) -> Model:
    config = entry.child("config")
    pairs = _read_layers(config, config.items("layers"), prefix, depth)
    layers = {layer.name: layer for layer, _ in pairs}
    calls: dict[tuple[str, int], Call] = {}
    for layer, described in pairs:
        nodes = described.items("inbound_nodes", default=[])
        if layer.class_name == "InputLayer":
            calls[layer.name, 0] = Call(layer, 0)
            continue
        for number, node in enumerate(nodes):
            calls[layer.name, number] = _read_node(layer, number, node, described)
    inputs = _tensor_list(config, "input_layers")
    outputs = _tensor_list(config, "output_layers")
    for tensor in inputs:
        if tensor.layer not in layers or layers[tensor.layer].class_name != "InputLayer":
            raise config.error(f"'input_layers' names {tensor.layer!r}, which is not an InputLayer of this model")
    is_keras3 = any(
        _is_of_keras_3(node) for _, described in pairs for node in described.items("inbound_nodes", default=[])
    )
    calls, outputs = _from_zero(layers, calls, outputs, is_keras3)
    ordered = _ordered(config, layers, calls, inputs, outputs)
    name = config.text("name", default="model")
    stated = config.find("input_layers")
    keys = sorted(stated) if isinstance(stated, dict) else [tensor.layer for tensor in inputs]
    return Model(name, class_name, tuple(layers.values()), ordered, inputs, outputs, False, config, tuple(keys))


def _from_zero(
    layers: dict[str, Layer], calls: dict[tuple[str, int], Call], outputs: tuple[TensorId, ...], is_keras3: bool
) -> tuple[dict[tuple[str, int], Call], tuple[TensorId, ...]]:
    """References to calls of nested models, counted from 0 (see the module docstring)."""
    taken = [tensor for call in calls.values() for tensor in call.inputs]
    # Keras 3 counts differently in calls and in outputs; before, all references count alike.
    kinds = [(taken, False), (list(outputs), True)] if is_keras3 else [(taken + list(outputs), False)]
    offsets: list[dict[str, int]] = []
    for tensors, are_outputs in kinds:
        offset = {}
        for layer in layers.values():
            if layer.is_model:
                made = sum(name == layer.name for name, _ in calls)
                nodes = {tensor.node for tensor in tensors if tensor.layer == layer.name}
                usual = 1 if not is_keras3 or (are_outputs and layer.class_name in FUNCTIONAL) else 0
                offset[layer.name] = 0 if 0 in nodes else 1 if made in nodes else usual
        offsets.append(offset)

    def renumbered(value: Any, offset: dict[str, int]) -> Any:
        return map_tensors(lambda t: t._replace(node=t.node - offset.get(t.layer, 0)), value)

    return (
        {
            key: replace(call, args=renumbered(call.args, offsets[0]), kwargs=renumbered(call.kwargs, offsets[0]))
            for key, call in calls.items()
        },
        renumbered(outputs, offsets[-1]),
    )


def _read_node(layer: Layer, number: int, node: object, entry: Fields) -> Call:
    """One entry of ``inbound_nodes``, in either style."""
    place = f"{entry.place}, call {number} of {layer.name!r}"
    if _is_of_keras_3(node):
        described = Fields(node, entry.file, place)
        args = tuple(_argument(value, described) for value in described.items("args"))
        kwargs = {key: _argument(value, described) for key, value in described.child("kwargs", default={}).data.items()}
        return Call(layer, number, args, _given(kwargs))
    described = Fields({}, entry.file, place)
    if not isinstance(node, list | dict) or not node:
        raise described.error(f"is {shown(node)}; it should be a list of [layer, node, tensor]")
    keywords: dict[str, Any] = {}
    first = _older_argument(node, described, keywords)
    is_one = isinstance(node, list) and len(node) == 1  # in a list of its own
    return Call(layer, number, (first[0] if is_one else first,), _given(keywords))


def _is_of_keras_3(node: object) -> TypeGuard[dict[str, Any]]:
    """Whether an entry of ``inbound_nodes`` is in the style of Keras 3: one of Keras 2 may be an object of tensors."""
    return isinstance(node, dict) and isinstance(node.get("kwargs", {}), dict) and _is_list_of_arguments(node)


def _is_list_of_arguments(node: dict[str, Any]) -> bool:
    args = node.get("args")
    return "args" in node and not (isinstance(args, list) and args[:1] and isinstance(args[0], str))


def _given(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if value is not None and value is not False}


def _argument(value: Any, place: Fields) -> Any:
    """An argument of Keras 3: JSON in which tensors are objects."""
    tensor = _history(value, place)
    if tensor is not None:
        return tensor
    if isinstance(value, list):
        return [_argument(item, place) for item in value]
    if isinstance(value, dict):
        return {key: _argument(value[key], place) for key in sorted(value)}  # as Keras takes them apart
    return value


def _older_argument(value: Any, place: Fields, kwargs: dict[str, Any], depth: int = 0) -> Any:
    """A first argument of Keras 1 and 2: ``[layer, node, tensor]``, a constant as ``["_CONSTANT_VALUE", -1, x]``, or
    lists or objects of them, each of which may have the keyword arguments of the call behind it."""
    if depth > MAX_NESTING:
        raise place.error(f"its arguments nest more than {MAX_NESTING} deep")
    if isinstance(value, dict):
        return {key: _older_argument(value[key], place, kwargs, depth + 1) for key in sorted(value)}
    if isinstance(value, list) and not any(isinstance(item, str) for item in value[:1]):
        return [_older_argument(item, place, kwargs, depth + 1) for item in value]
    if isinstance(value, list) and len(value) > 3 and isinstance(value[3], dict):
        kwargs |= {key: _older_keyword(item) for key, item in value[3].items()}
    if isinstance(value, list) and len(value) >= 3 and value[0] == "_CONSTANT_VALUE":
        return value[2]
    return _tensor_id(value, place)


def _older_keyword(value: Any) -> Any:
    """A keyword argument of Keras 2: JSON in which tensors are ``[layer, node, tensor]``."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        if value[0] == "_CONSTANT_VALUE":
            return value[2]
        if all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value[1:]):
            return TensorId(*value)
    if isinstance(value, list):
        return [_older_keyword(item) for item in value]
    if isinstance(value, dict):
        return {key: _older_keyword(item) for key, item in value.items()}
    return value


def _history(value: object, place: Fields) -> TensorId | None:
    """The tensor in a Keras 3 argument, or None where it is something else."""
    if not isinstance(value, dict) or value.get("class_name") != "__keras_tensor__":
        return None
    return _tensor_id(Fields(value, place.file, place.place).child("config").items("keras_history"), place)


def _tensor_id(value: object, place: Fields) -> TensorId:
    if isinstance(value, list) and len(value) >= 3:
        layer, node, output = value[:3]
        numbers = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (node, output))
        if isinstance(layer, str) and numbers:
            return TensorId(layer, node, output)
    raise place.error(f"{shown(value)} should be [layer, node, tensor]")


def _tensor_list(config: Fields, key: str) -> tuple[TensorId, ...]:
    """``input_layers`` or ``output_layers``: one tensor, or lists of them, or objects, which Keras orders by key."""
    found: list[TensorId] = []

    def collect(value: object) -> None:
        if isinstance(value, dict):
            value = [value[key] for key in sorted(value)]
        if isinstance(value, list) and value and not isinstance(value[0], str):
            for item in value:
                collect(item)
        else:
            found.append(_tensor_id(value, config))

    collect(config.find(key))
    if len(set(found)) != len(found) and key == "input_layers":
        raise config.error(f"{key!r} names a tensor twice")
    return tuple(found)


def _ordered(
    config: Fields,
    layers: dict[str, Layer],
    calls: dict[tuple[str, int], Call],
    inputs: tuple[TensorId, ...],
    outputs: tuple[TensorId, ...],
) -> tuple[Call, ...]:
    """The calls that the outputs need, and all inputs, in the order of the file as far as what they take allows."""

    def producer(tensor: TensorId, wanted_by: str) -> tuple[str, int]:
        if tensor.layer not in layers:
            raise config.error(f"{wanted_by} takes from {tensor.layer!r}, which is not a layer of this model")
        if (tensor.layer, tensor.node) not in calls:
            raise config.error(f"{wanted_by} takes from call {tensor.node} of {tensor.layer!r}, which is never made")
        return tensor.layer, tensor.node

    needed: dict[tuple[str, int], set[tuple[str, int]]] = {}
    stack = [producer(t, "an output of the model") for t in outputs] + [producer(t, "the model") for t in inputs]
    while stack:
        key = stack.pop()
        if key not in needed:
            needed[key] = {producer(t, f"layer {key[0]!r}") for t in calls[key].inputs}
            stack.extend(needed[key])
    for key in needed:
        if calls[key].layer.class_name == "InputLayer" and TensorId(*key, 0) not in inputs:
            raise config.error(f"InputLayer {key[0]!r} is used but is not among the model's inputs")

    position = {key: i for i, key in enumerate(calls)}
    by_position = list(calls)
    waiting = {key: len(takes) for key, takes in needed.items()}
    users: dict[tuple[str, int], list[tuple[str, int]]] = {key: [] for key in needed}
    for key, takes in needed.items():
        for taken in takes:
            users[taken].append(key)
    ready = [position[key] for key, count in waiting.items() if not count]
    heapq.heapify(ready)
    ordered: list[Call] = []
    while ready:
        key = by_position[heapq.heappop(ready)]
        ordered.append(calls[key])
        for user in users[key]:
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, position[user])
    if len(ordered) < len(needed):
        stuck = next(key for key in calls if waiting.get(key))
        raise ModelError(f"{config.file}: layer {stuck[0]!r} takes part in a cycle: it needs its own output")
    return tuple(ordered)
