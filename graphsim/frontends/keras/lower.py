"""From a Keras model file to a graph: check every layer, build the structure, read the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graphsim.errors import GraphError, GraphsimError, ModelError, UnsupportedLayerError
from graphsim.frontends.blocks.recurrent import for_every_step
from graphsim.frontends.builder import (
    ANY_MEMORY,
    Array,
    Builder,
    Derivation,
    FloatArray,
    Learnt,
    Memory,
    RefusedError,
    Tensor,
    Weight,
)
from graphsim.frontends.keras.archive import Archive, open_archive
from graphsim.frontends.keras.config import (
    FUNCTIONAL,
    SEQUENTIAL,
    Call,
    Layer,
    Model,
    TensorId,
    input_shape,
    map_tensors,
    read_model,
)
from graphsim.frontends.keras.fields import shown
from graphsim.frontends.keras.layers import (
    OPERATIONS,
    OWN,
    RULES,
    Calling,
    Given,
    Knowing,
    Known,
    Merged,
    calling,
    operation_calling,
    reason_without_rule,
)
from graphsim.frontends.keras.plugins import load_installed
from graphsim.frontends.keras.semantics import Semantics, detect
from graphsim.frontends.keras.weights import is_operation, locate, read_weight
from graphsim.graph import Graph
from graphsim.graph.verify import verify

#: Policies of computing whose values a float32 graph can stand for.
_DTYPES = ("float32", "float64")
#: Notes of a graph of whole weights: how far a weight was allowed to be from one.
DISTANCE = "discretized.distance"
#: Nested models that call each other twice make 2^depth calls out of a few kilobytes.
MAX_CALLS = 20_000
#: What a call makes: None is what needs a layer that was refused.
Value = Tensor | Known | Merged | None
#: What is between layers and is no tensor of a sample.
_ODD = {Known: "numbers that no sample changes", Merged: "rows of all samples, merged into one axis"}
#: The layers that learn gates, by the names they are registered with.
_OF_GATES = frozenset({"graphsim>Gates", "graphsim>Levels", "graphsim>GroupSum", "graphsim>CellStep"})
_INPUT_DTYPES = (*_DTYPES, "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def lower(
    path: Path | str,
    weights: Path | str | None = None,
    *,
    name: str | None = None,
    memory: Memory = ANY_MEMORY,
    discretize: float | None = None,
) -> Graph:
    """Lower a Keras model file to a graph of one actor per neuron. Neither Keras nor TensorFlow is imported.

    Args:
        path: a full model (``.h5``, ``.keras``), or an architecture (``.json``).
        weights: a file to take the weights from instead; needed where ``path`` has none.
        name: of the graph; the file's name without its suffix when None.
        memory: what weights and lists of edges may take.
        discretize: round the weights of arithmetic modules to the whole numbers that they converge to, and build the
            formula that is left; a weight that is farther than this from one is refused. The note ``discretized`` of
            the graph has the distance.

    Raises:
        UnsupportedLayerError: some layers cannot be lowered; lists all of them. No weight has been read.
        ModelError: a file cannot be read, is damaged, or contradicts itself; names file and place. Or it takes more
            than ``memory`` allows; says how much. Or ``discretize`` is given, and no layer is an arithmetic module, or
            one has not converged; names the weight that is farthest.
    """
    path = Path(path)
    archive = open_archive(path)
    second = open_archive(Path(weights)) if weights is not None else None
    try:
        return _lower(archive, second, name or path.stem, memory, discretize)
    finally:
        for opened in (archive, second):
            if opened is not None and opened.weights is not None:
                opened.weights.close()


def _lower(
    archive: Archive, second: Archive | None, name: str, memory: Memory, discretize: float | None = None
) -> Graph:
    file, entry = archive.file, archive.config
    if entry is None:
        raise ModelError(
            f"{file}: holds no architecture (no attribute 'model_config'). If it holds weights only, give the"
            " architecture as the model (a .json file, from model.to_json()) and this file as its weights"
        )
    semantics = detect(archive.version, entry.data, file, second.version if second is not None else "")
    class_name = entry.text("class_name")
    if class_name not in SEQUENTIAL and class_name not in FUNCTIONAL:
        reason = "only Sequential and Functional models say in their files how their layers are connected"
        raise UnsupportedLayerError(file, [(class_name, f"is a model of a class of its own; {reason}")])
    model = read_model(entry)
    semantics = replace(semantics, backend=(archive if second is None else second).backend or archive.backend)
    lowerer = _lowered(file, semantics, model, memory, None)
    weights = _Weights(lowerer.builder, model, archive if second is None else second)
    if discretize is not None:
        # A second time, now that the weights are known: what is built follows from them.
        lowerer = _lowered(file, semantics, model, memory, Learnt(weights.of, discretize))
        if not (layers := lowerer.builder.discretized):
            raise ModelError(f"{file}: has no layer of an arithmetic module, whose weights could be made whole")
        lowerer.builder.notes |= {DISTANCE: f"{discretize!r}", "discretized": ", ".join(dict.fromkeys(layers))}
    params = lowerer.builder.compute(weights.of)
    notes = semantics.notes() | lowerer.builder.notes
    if note := weights.note():
        notes["weights"] = note
    try:
        graph = Graph(name, lowerer.builder.groups, lowerer.builder.channels, params, notes)
        verify(graph)
    except GraphError as error:
        raise ModelError(f"{file}: lowers to a graph that breaks a rule of graphs: {error}") from None
    return graph


def _lowered(file: str, semantics: Semantics, model: Model, memory: Memory, learnt: Learnt | None) -> _Lowerer:
    """A model's structure."""
    lowerer = _Lowerer(file, semantics)
    lowerer.builder.memory, lowerer.builder.learnt = memory, learnt
    lowerer.check(model)
    outputs = lowerer.build(model)
    lowerer.raise_refusals(model)
    lowerer.finish(outputs)
    return lowerer


class _Lowerer:
    """Runs the rules over a model: first halves for all layers, then second halves call by call."""

    def __init__(self, file: str, semantics: Semantics) -> None:
        self.file, self.semantics = file, semantics
        self.builder = Builder(file)
        self._made: dict[str, Calling | Knowing] = {}
        self._steppers: set[str] = set()  # layers that know what to do with tensors of steps
        self._refusals: dict[str, str] = {}
        self._calls = 0

    # -- checking ---------------------------------------------------------------------------------------------------

    def check(self, model: Model) -> None:
        """Find a lowering for every layer, and note the reasons where there is none."""
        paths: set[str] = set()
        for layer in model.walk():
            if layer.path in paths:
                raise ModelError(f"{self.file}: two layers are at {layer.path!r}; rename one")
            paths.add(layer.path)
            try:
                self._check_layer(layer)
            except RefusedError as reason:
                self._refusals.setdefault(layer.path, str(reason))

    def _check_layer(self, layer: Layer) -> None:
        if layer.inner is not None:
            return
        if is_operation(layer) or _is_bare_operation(layer, self.semantics):
            self._made[layer.path] = operation_calling(layer.class_name, layer.fields, self.semantics)
            return
        _check_dtype(layer)
        if layer.is_custom or (layer.class_name not in RULES and layer.class_name != "InputLayer"):
            self._check_own(layer)
            return
        if layer.class_name == "InputLayer":
            return
        self._made[layer.path] = calling(layer.class_name, layer.fields, self.semantics)
        if RULES[layer.class_name].steps:
            self._steppers.add(layer.path)

    def _check_own(self, layer: Layer) -> None:
        """A layer that is not Keras's, or that has no rule there: a plugin may have one."""
        load_installed()
        names = (layer.registered, layer.class_name, layer.class_name.rpartition(">")[2])
        rule = next((OWN[name] for name in names if name in OWN), None)
        if rule is None and not _OF_GATES.isdisjoint(names):
            raise RefusedError("is for learning gates; lower the circuit that training writes beside the model (.blif)")
        if rule is None and layer.is_custom:
            raise RefusedError(
                f"class {shown(layer.class_name)} is not Keras's own; its code cannot be lowered; a plugin can say how"
                " (--plugin)"
            )
        if rule is None:
            raise RefusedError(reason_without_rule(layer.class_name))
        with self._guarded(layer):
            made = calling(layer.class_name, layer.fields, self.semantics, rule)

        def build(to: Builder, given: Given) -> Sequence[Tensor]:
            known = set(to.derived)
            with self._guarded(layer):
                outputs: Any = made(to, given)
                found: list[Any] = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
                if wrong := [x for x in found if not _is_made(to, x)]:
                    raise TypeError(f"it returns {wrong[0]!r:.200}, which is not a tensor of the graph")
            for name in to.derived.keys() - known:
                to.derived[name] = to.derived[name][0], self._guarded_derivation(layer, to.derived[name][1])
            return found

        self._made[layer.path] = build
        if rule.steps:
            self._steppers.add(layer.path)

    @contextmanager
    def _guarded(self, layer: Layer) -> Iterator[None]:
        """Whatever a plugin's rule raises ends as a ModelError that names the layer."""
        try:
            yield
        except (RefusedError, GraphsimError, KeyboardInterrupt):
            raise
        except BaseException as error:  # SystemExit too
            raise ModelError(
                f"{self.file}: layer {layer.path!r}: the rule of a plugin fails: {type(error).__name__}: {error}"
            ) from error

    def _guarded_derivation(self, layer: Layer, derivation: Derivation) -> Derivation:
        def derived(of: Callable[[Weight], FloatArray]) -> Array:
            with self._guarded(layer):
                found: Any = derivation(of)
                if not isinstance(found, np.ndarray) or found.dtype not in (np.float32, np.int32, np.int64):
                    raise TypeError(f"it derives {found!r:.200}, which is no array of float32 or int32")
                return found

        return derived

    def raise_refusals(self, model: Model) -> None:
        """Raise UnsupportedLayerError if a layer was refused."""
        listed = [(layer.path, self._refusals[layer.path]) for layer in model.walk() if layer.path in self._refusals]
        if listed:
            raise UnsupportedLayerError(self.file, listed)

    # -- building ---------------------------------------------------------------------------------------------------

    def build(self, model: Model) -> list[tuple[TensorId, Value]]:
        """Sources, inputs and all calls of the outermost model; its output tensors, None where one is not known."""
        to = self.builder
        layers = {layer.name: layer for layer in model.layers}
        given: list[Value] = []
        for tensor in model.inputs:
            layer = layers[tensor.layer]
            sizes = input_shape(layer)
            shape = [size for size in sizes if size is not None]
            if len(shape) < len(sizes):
                reason = f"its shape {sizes} has sizes that are not known; save the model with fixed sizes"
                self._refusals.setdefault(layer.path, reason)
            if layer.path in self._refusals:
                given.append(None)
                continue
            given.append(to.input(layer.path, shape, only=len(model.inputs) == 1, dtype=_dtype(layer) or "float32"))
        return list(zip(model.outputs, self._run(model, given), strict=True))

    def _run(self, model: Model, given: Sequence[Value], enclosing: int = 0) -> list[Value]:
        """Build the calls of a model on ``given`` inputs. A tensor that needs a refused layer is None.

        ``enclosing`` is the number of this call of the model itself: where the model calls a layer n times, the n
        calls numbered from ``enclosing * n`` are this time's.
        """
        values: dict[TensorId, Value] = dict(zip(model.inputs, given, strict=True))
        unknown: set[tuple[str, int]] = set()  # calls that could not be built
        nodes: dict[str, int] = {}
        for call in model.calls:
            nodes[call.layer.name] = max(nodes.get(call.layer.name, 0), call.node + 1)

        def value(tensor: TensorId) -> Value:
            if tensor not in values and (tensor.layer, tensor.node) not in unknown:
                raise ModelError(f"{self.file}: layer {tensor.layer!r} has no output {tensor.output}")
            return values.get(tensor)

        for call in model.calls:
            if call.layer.class_name == "InputLayer":
                continue
            self._count_call()
            number = enclosing * nodes[call.layer.name] + call.node
            xs = [value(t) for t in call.inputs]
            made: Sequence[Value]
            try:
                if call.layer.inner is not None:
                    run = self._run_inner if call.layer.is_model else self._run_for_every_step
                    named = _by_name(call, call.layer.inner)
                    made = run(call.layer, call.layer.inner, number, [value(t) for t in named] if named else xs)
                else:
                    made = self._run_layer(call, number, values if None not in xs else None)
            except RefusedError as reason:
                self._refusals.setdefault(call.layer.path, str(reason))
                made = []
            if not made:
                unknown.add((call.layer.name, call.node))
            values |= {TensorId(call.layer.name, call.node, i): tensor for i, tensor in enumerate(made)}
        return [value(t) for t in model.outputs]

    def _count_call(self) -> None:
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise ModelError(f"{self.file}: calls layers more than {MAX_CALLS:,} times, more than graphsim lowers")

    def _run_layer(self, call: Call, number: int, values: Mapping[TensorId, Value] | None) -> Sequence[Value]:
        """The outputs of a call of a layer; none where they are not known: the layer, or one before it, was refused."""
        if values is None or call.layer.path not in self._made:
            return []
        self.builder.layer, self.builder.call = call.layer.path, number

        knows = call.layer.class_name in RULES and RULES[call.layer.class_name].knows

        def value(tensor: TensorId) -> Value:
            x = values[tensor]
            if isinstance(x, Known | Merged) and not knows:
                raise RefusedError(f"it is called on {_ODD[type(x)]}, the output of {tensor.layer!r}")
            return self.builder.settled(x) if isinstance(x, Tensor) and call.layer.path not in self._steppers else x

        args, kwargs = map_tensors(value, (call.args, dict(call.kwargs)))
        made = self._made[call.layer.path](self.builder, Given(args, kwargs))
        return [made] if isinstance(made, Tensor | Known | Merged) else made

    def _run_inner(self, layer: Layer, inner: Model, number: int, xs: Sequence[Value]) -> list[Value]:
        if len(xs) != len(inner.inputs):
            raise ModelError(f"{self.file}: layer {layer.path!r} takes {len(inner.inputs)} inputs; it gets {len(xs)}")
        inputs = {input_layer.name: input_layer for input_layer in inner.layers}
        for tensor, x in zip(inner.inputs, xs, strict=True):
            wanted = input_shape(inputs[tensor.layer])
            if isinstance(x, Known | Merged):
                raise RefusedError(f"it is called on {_ODD[type(x)]}")
            if x is not None and (
                len(x.shape) != len(wanted) or any(w not in (None, n) for w, n in zip(wanted, x.shape, strict=True))
            ):
                raise ModelError(f"{self.file}: layer {layer.path!r} takes shape {wanted}; it gets {x.shape}")
        return self._run(inner, xs, number)

    def _run_for_every_step(self, layer: Layer, inner: Model, number: int, xs: Sequence[Value]) -> Sequence[Value]:
        """A model in a TimeDistributed layer; a mask stays with the steps."""
        to = self.builder
        if len(xs) != 1:
            raise RefusedError(f"it is called on {len(xs)} tensors; it takes one")
        x = xs[0]

        def one(step: Tensor) -> Tensor:
            outputs = self._run_inner(layer, inner, number, [step])
            to.layer, to.call = layer.path, number
            if len(outputs) != 1 or not isinstance(outputs[0], Tensor):
                refused = "has layers that are not lowered" if None in outputs else f"has {len(outputs)} outputs"
                raise RefusedError(f"its model {refused}")
            return outputs[0]

        if x is None:
            return []
        if isinstance(x, Known | Merged):
            raise RefusedError(f"it is called on {_ODD[type(x)]}")
        to.layer, to.call = layer.path, number
        if len(x.shape) < 2:
            raise to.error(f"repeats a model along its first axis; its input has shape {x.shape}")
        return [for_every_step(to, x, one)]

    def finish(self, outputs: list[tuple[TensorId, Value]]) -> None:
        """Add a sink for every output: the answer of a classifier, or all values. Drop what leads to no sink."""
        for tensor, x in outputs:
            if isinstance(x, Known | Merged):
                raise ModelError(f"{self.file}: {tensor.layer}: an output of the model is {_ODD[type(x)]}")
        self.builder.finish([(tensor.layer, x) for tensor, x in outputs if isinstance(x, Tensor)])


def _by_name(call: Call, inner: Model) -> list[TensorId] | None:
    """The tensors that a model is called on, in its order, where it is called with an object; None where not."""
    given = call.args[0] if call.args else None
    if not isinstance(given, dict) or set(given) < set(inner.input_keys):
        return None
    found = [given.get(key) for key in inner.input_keys]
    return [tensor for tensor in found if isinstance(tensor, TensorId)] or None


def _is_made(to: Builder, x: Any) -> bool:
    """Whether it is a tensor of the graph under construction, in a shape that its group has elements for."""
    if not isinstance(x, Tensor) or not isinstance(x.group, int) or not 0 <= x.group < len(to.groups):
        return False
    return min(x.shape, default=1) > 0 and x.size == to.groups[x.group].size * max(x.steps, 1)


def _is_bare_operation(layer: Layer, semantics: Semantics) -> bool:
    """Whether it is an operation in a ``.h5`` file of Keras 3, which names no modules: layers can be trained."""
    bare = not layer.module and "trainable" not in layer.fields.data
    return bare and semantics.major == 3 and layer.class_name in OPERATIONS


def _check_dtype(layer: Layer) -> None:
    dtype = _dtype(layer)
    allowed = _INPUT_DTYPES if layer.class_name == "InputLayer" else _DTYPES
    if dtype is not None and dtype not in allowed:
        raise RefusedError(f"it computes in {shown(dtype)}; graphs compute in float32")
    if layer.fields.find("quantization_config") is not None:
        raise RefusedError("it is quantised; graphs compute in float32")


def _dtype(layer: Layer) -> Any:
    """The type that a layer computes in, as its config names it."""
    dtype = layer.fields.find("dtype")
    if isinstance(dtype, dict):
        config = dtype.get("config")
        dtype = config.get("name") if isinstance(config, dict) else dtype.get("class_name")
    return dtype


# -- parameters -----------------------------------------------------------------------------------------------------


class _Weights:
    """The weights that a model's structure asks for, found in a file; each is read once, when it is needed."""

    def __init__(self, builder: Builder, model: Model, source: Archive) -> None:
        declared = any(builder.weights.values())
        self._h5 = source.weights
        self._arrays: dict[Weight, FloatArray] = {}
        self._paths: dict[Weight, str] = {}
        self._types: set[str] = set()
        self._note = ""
        if self._h5 is None and declared:
            raise ModelError(f"{source.file}: has no weights; give the file that has them with --weights")
        if self._h5 is not None and declared:
            located = locate(model, builder.weights, self._h5)
            self._paths, self._note = located.paths, located.note

    def of(self, weight: Weight) -> FloatArray:
        """A weight."""
        if weight not in self._arrays:
            assert self._h5 is not None
            self._arrays[weight], stored_as = read_weight(weight, self._paths[weight], self._h5)
            self._types.add(stored_as)
        return self._arrays[weight]

    def note(self) -> str:
        """How the weights were found and read, where that is not as usual."""
        notes = [self._note] if self._note else []
        if converted := sorted(self._types - {"float32"}):
            notes.append(f"converted to float32 from {', '.join(converted)}")
        return "; ".join(notes)
