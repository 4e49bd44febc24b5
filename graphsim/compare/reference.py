"""The outside authority: TensorFlow computes the same model, and shows the tensors that the graph observes.

The model is walked layer by layer, eagerly, with Keras's own layer objects, weights and activation functions: the same
operations in the same order as ``model(x)`` makes them (a test holds the two equal to the last bit). Where a layer
applies an activation at its end, the tensor before it is seen as well.

Recurrent layers show what they hold at every step as well (:mod:`graphsim.compare.steps`).

Observed tensors are named as groups name them (:class:`graphsim.graph.Group`): layer, call, and what of the layer:
"pre" (before its activation), "output", of a layer with several outputs "output:1" and so on for the others, and of a
recurrent layer its steps. Operations (keras.ops) of a functional model are calls like any other, named as the model
names them. Layers of a model inside the model are named ``outer/inner``. ``call`` numbers the calls of a shared layer,
from 0, in the order in which the model was put together; where a model that calls a layer n times is itself called
again, its m-th call has the layer's calls from ``m * n`` on.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from graphsim.compare.steps import cells_of, listening
from graphsim.errors import GraphsimError, ReferenceUnavailableError
from graphsim.zoo.quiet import import_tensorflow

FloatArray = npt.NDArray[np.float32]
#: Layer, call, and which of its tensors.
Tensor = tuple[str, int, str]
#: Called with the number of samples done so far.
Progress = Callable[[int], None]

WITHOUT = "To run without a comparison, use --no-reference."


class TensorFlowReference:
    """A Keras model, loaded by Keras itself and computed by TensorFlow on the CPU in float32.

    Args:
        path: a full model (``.h5``, ``.keras``), or an architecture (``.json``) with ``weights``.
        weights: a weights file for the model; needed for ``.json``.
        hard_sigmoid_v2: paths of the layers whose ``hard_sigmoid`` is that of Keras 1 and 2, clip(0.2 x + 0.5, 0, 1).
            Keras 3 computes another function under the same name, whoever wrote the file, so that it must be told.
        own: classes of layers that are not Keras's, by name, to load the model with.
        discretize: whether the weights of arithmetic modules are rounded to whole numbers first.

    Attributes:
        name, version: what computes, for the report.
        in_batches: it computes many samples at a time, and what it makes of one may depend on how many. Not where a
            layer is stateful: then samples follow each other in batches of one, as in graphs.
        notes: what was done differently from plain ``keras.models.load_model``.

    Raises:
        ReferenceUnavailableError: TensorFlow is not installed, or its Keras cannot read the model; names the file and
            Keras's reason.
    """

    name = "TensorFlow"

    def __init__(
        self,
        path: Path | str,
        weights: Path | str | None = None,
        hard_sigmoid_v2: Collection[str] = (),
        own: Mapping[str, Any] | None = None,
        discretize: bool = False,
    ):
        try:
            self._tf, self._keras = import_tensorflow()
        except ReferenceUnavailableError as error:
            raise ReferenceUnavailableError(
                f"comparing needs TensorFlow, which is not installed: pip install '.[tensorflow]' in the checkout."
                f" {WITHOUT}"
            ) from error
        self.version = f"{self._tf.__version__} (Keras {self._keras.__version__})"
        self.path, self._own = Path(path), dict(own or {})
        self.notes: tuple[str, ...] = ()
        self._model = self._load(None if weights is None else Path(weights))
        inputs = self._keras.layers.InputLayer
        layers = [layer for _, layer in self._layers(self._model, "") if not isinstance(layer, inputs)]
        policies = {layer.dtype_policy.compute_dtype for layer in layers}
        if policies - {"float32"}:
            found = ", ".join(sorted(policies - {"float32"}))
            raise ReferenceUnavailableError(
                f"{path}: has layers that Keras computes in {found}, not float32. {WITHOUT}"
            )
        self._stateful = [layer for _, layer in self._layers(self._model, "") if getattr(layer, "stateful", False)]
        if self._stateful:
            self._one_at_a_time()
        if discretize:
            self._discretize()
        self._older = frozenset(hard_sigmoid_v2)
        if self._older:
            self.notes += (
                f"hard_sigmoid of {', '.join(sorted(self._older))} computed as Keras 1 and 2 defined it,"
                " clip(0.2 x + 0.5, 0, 1), since Keras 3 reads the file with another definition",
            )

    @property
    def in_batches(self) -> bool:
        """Whether many samples are computed at a time."""
        return not self._stateful

    # -- loading ----------------------------------------------------------------------------------------------------

    def _load(self, weights: Path | None) -> Any:
        import graphsim.zoo.arithmetic.layers  # noqa: F401 - registers what files may have of it

        models = self._keras.models
        try:
            with self._on_cpu(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
                warnings.simplefilter("ignore")
                repaired = _as_keras_2_file(self.path, weights, Path(folder))
                if repaired is not None:
                    model = models.load_model(repaired, self._own, compile=False, safe_mode=True)
                elif self.path.suffix == ".json":
                    model = models.model_from_json(self.path.read_text(encoding="utf-8"), self._own)
                else:
                    model = models.load_model(self.path, self._own, compile=False, safe_mode=True)
                if repaired is None and weights is not None:
                    model.load_weights(weights)
        except Exception as error:  # Keras raises anything at all for files it does not like
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ReferenceUnavailableError(
                f"{self.path}: Keras {self._keras.__version__} cannot read this model: {reason}. {WITHOUT}"
            ) from error
        if not (hasattr(model, "layers") and getattr(model, "built", False) and getattr(model, "inputs", None)):
            raise ReferenceUnavailableError(f"{self.path}: Keras does not know this model's inputs. {WITHOUT}")
        return model

    def _discretize(self) -> None:
        from graphsim.zoo.arithmetic.layers import Arithmetic, ArithmeticCell

        modules: dict[str, Any] = {}
        for path, layer in self._layers(self._model, ""):
            parts = [(path, layer), *cells_of(self._keras, layer, path)]
            modules |= {name: part for name, part in parts if isinstance(part, Arithmetic | ArithmeticCell)}
        with self._on_cpu():
            for layer in modules.values():
                layer.discretize()
        self.notes += (f"weights of {', '.join(modules)} rounded to whole numbers",)

    def _one_at_a_time(self) -> None:
        """The same model for batches of one sample, whatever size of batch it was built for."""
        names = ", ".join(path for path, layer in self._layers(self._model, "") if layer in self._stateful)
        try:
            with self._on_cpu(), self._keras.utils.custom_object_scope(self._own):
                model = type(self._model).from_config(_for_one_sample(self._model.get_config()))
                model.set_weights(self._model.get_weights())
        except Exception as error:
            raise ReferenceUnavailableError(
                f"{self.path}: Keras cannot build this model, whose {names} carry states, for one sample at a time:"
                f" {error}. {WITHOUT}"
            ) from error
        self._model = model
        self._stateful = [layer for _, layer in self._layers(model, "") if getattr(layer, "stateful", False)]
        self.notes += (f"computed one sample at a time, since {names} carry states from sample to sample",)

    def _start(self) -> None:
        """Forget what samples before have left."""
        for layer in self._stateful:  # Keras's own reset_state fails for cells on each other
            for state in self._keras.tree.flatten(layer.states or []):
                state.assign(self._keras.ops.zeros_like(state))

    def _layers(self, model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        """Every layer that is not itself a model, with its path."""
        for layer in model.layers:
            if self._is_model(layer):
                yield from self._layers(layer, f"{prefix}{layer.name}/")
            else:
                yield f"{prefix}{layer.name}", layer

    def _is_model(self, layer: Any) -> bool:
        return isinstance(layer, self._keras.Model)

    # -- running ----------------------------------------------------------------------------------------------------

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        batch: int,
        wanted: Collection[Tensor] | None = None,
        progress: Progress | None = None,
        *,
        resume: bool = False,
    ) -> dict[Tensor, FloatArray]:
        """Compute samples, ``batch`` at a time, and return the tensors ``wanted``, or all: float32 (N, *shape).

        Args:
            resume: let layers that carry states go on from the sample before, rather than start anew.
            samples: float32 (N, *shape), of any shape with as many elements as the model's input; a tuple for several
                inputs, in the model's order.
        """
        arrays = self._as_inputs(samples)
        total = len(arrays[0])
        batch = 1 if self._stateful else batch
        if not resume:
            self._start()
        parts: dict[Tensor, FloatArray] = {}
        for start in range(0, total, batch):
            chunk = [array[start : start + batch] for array in arrays]
            seen = self._observe(chunk, wanted)
            if len(chunk[0]) == total:
                parts = seen
            for key, values in seen.items() if len(chunk[0]) < total else ():
                kept = parts.setdefault(key, np.empty((total, *values.shape[1:]), np.float32))
                kept[start : start + batch] = values
            if progress is not None:
                progress(min(total, start + batch))
        return parts

    def predict(self, samples: FloatArray | tuple[FloatArray, ...]) -> list[FloatArray]:
        """The outputs of ``model(samples)`` itself, all samples in one batch: float32 (N, *shape) each."""
        self._start()
        made: list[list[FloatArray]] = []
        with self._computing():
            arrays = self._as_inputs(samples)
            batch = 1 if self._stateful else max(1, len(arrays[0]))
            for start in range(0, max(1, len(arrays[0])), batch):
                outputs = self._model(self._packed([a[start : start + batch] for a in arrays]), training=False)
                made.append([np.asarray(output, np.float32) for output in self._keras.tree.flatten(outputs)])
        return [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*made, strict=True)]

    def seconds(self, samples: FloatArray | tuple[FloatArray, ...], batch: int) -> float:
        """Measured wall seconds of a warm ``tf.function(model)`` over all samples, ``batch`` at a time."""
        tf = self._tf
        with self._computing():
            arrays = self._as_inputs(samples)
            batch = 1 if self._stateful else batch
            starts = range(0, len(arrays[0]), batch)
            chunks = [self._packed([tf.constant(a[start : start + batch]) for a in arrays]) for start in starts]
            compiled = tf.function(lambda x: self._model(x, training=False), reduce_retracing=True)
            for chunk in {0, len(chunks) - 1}:
                compiled(chunks[chunk])
                compiled(chunks[chunk])
            began = time.perf_counter()
            for inputs in chunks:
                outputs = compiled(inputs)
            for output in self._keras.tree.flatten(outputs):
                output.numpy()
            return time.perf_counter() - began

    def _packed(self, arrays: list[Any]) -> Any:
        return arrays[0] if len(arrays) == 1 else arrays

    def _as_inputs(self, samples: FloatArray | tuple[FloatArray, ...]) -> list[FloatArray]:
        arrays = samples if isinstance(samples, tuple) else (samples,)
        inputs = self._model.inputs
        if len(arrays) != len(inputs):
            raise ReferenceUnavailableError(
                f"{self.path}: the model has {len(inputs)} inputs; {len(arrays)} were given. {WITHOUT}"
            )
        shaped: list[FloatArray] = []
        for array, tensor in zip(arrays, inputs, strict=True):
            shape = tuple(tensor.shape[1:])
            if None not in shape and int(np.prod(shape)) == int(np.prod(array.shape[1:])):
                array = array.reshape(len(array), *shape)
            elif len(shape) != array.ndim - 1:
                raise ReferenceUnavailableError(
                    f"{self.path}: the model takes samples of shape {shape}; got {array.shape[1:]}. {WITHOUT}"
                )
            shaped.append(np.ascontiguousarray(array, np.float32))
        return shaped

    def _observe(self, arrays: list[FloatArray], wanted: Collection[Tensor] | None) -> dict[Tensor, FloatArray]:
        seen: dict[Tensor, FloatArray] = {}

        def see(layer: str, number: int, which: str, value: Any) -> None:
            key: Tensor = (layer, number, which)
            if (wanted is None or key in wanted) and hasattr(value, "numpy"):
                seen[key] = np.asarray(value).astype(np.float32, copy=False)  # without a copy where it is float32

        def call_layer(path: str, number: int, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            with listening(self._keras, layer, path, self._meant) as heard:
                shown, output = self._call(path, layer, args, kwargs)
                for which, value in shown.items():
                    see(path, number, which, value)
                for (part, which), value in heard(args).items():
                    see(part, number, which, value)
            return output

        with self._computing():
            inputs = [self._tf.constant(array) for array in arrays]
            for tensor, value in zip(self._model.inputs, inputs, strict=True):
                see(tensor.name, 0, "output", value)
            self._walk(self._model, "", 0, inputs, call_layer)
        return seen

    def _walk(
        self, model: Any, prefix: str, enclosing: int, inputs: list[Any], call_layer: Callable[..., Any]
    ) -> list[Any]:
        """The outputs of the ``enclosing``-th call of a model, layer by layer, as ``model(inputs)`` computes them."""

        def call(layer: Any, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            path = f"{prefix}{layer.name}"
            if self._is_model(layer):
                flat = self._keras.tree.flatten(args)
                return self._packed(self._walk(layer, f"{path}/", number, flat, call_layer))
            return call_layer(path, number, layer, args, kwargs)

        # As Keras does: numbers of classes, for an Embedding, are integers to the model.
        inputs = [self._keras.ops.cast(value, tensor.dtype) for value, tensor in zip(inputs, model.inputs, strict=True)]
        if isinstance(model, self._keras.Sequential):
            value = inputs[0]
            for layer in model.layers:
                value = call(layer, enclosing, (value,), {})
            return [value]
        values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
        for node, number, of in _nodes_in_order(model):
            args, kwargs = node.arguments.fill_in(values)
            outputs = self._keras.tree.flatten(call(node.operation, enclosing * of + number, args, kwargs))
            values |= {id(tensor): value for tensor, value in zip(node.outputs, outputs, strict=True)}
        return [values[id(tensor)] for tensor in model.outputs]

    def _call(self, path: str, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """What a call of a layer shows, by name, and its output."""
        if getattr(layer, "_call_has_training_arg", False):  # some layers train unless they are told not to
            kwargs = {**kwargs, "training": False}
        layers, linear = self._keras.layers, self._keras.activations.linear
        activation = getattr(layer, "activation", None)
        ends_with_it = isinstance(layer, (layers.Dense, layers.EinsumDense, *_convolutions(layers)))
        if path in self._older and isinstance(layer, layers.Activation):
            output = self.hard_sigmoid_v2(args[0])
            return {"output": output}, output
        if not ends_with_it or activation is None or activation is linear:
            output = layer(*args, **kwargs)
            first, *others = self._keras.tree.flatten(output)
            named = {f"output:{i}": tensor for i, tensor in enumerate(others, 1)}
            return {"output": first} | ({"pre": first} if ends_with_it else {}) | named, output
        layer.activation = linear
        try:
            before = layer(*args, **kwargs)
        finally:
            layer.activation = activation
        output = self.hard_sigmoid_v2(before) if path in self._older else activation(before)
        if (mask := getattr(before, "_keras_mask", None)) is not None:
            output._keras_mask = mask  # Keras hands it on from tensor to tensor
        return {"pre": before, "output": output}, output

    def _meant(self, path: str, function: Any) -> Any:
        """The activation function that a part of a layer was written with."""
        is_older = path in self._older and function is self._keras.activations.hard_sigmoid
        return self.hard_sigmoid_v2 if is_older else function

    def hard_sigmoid_v2(self, x: Any) -> Any:
        """Keras 2's ``backend.hard_sigmoid``: clip(0.2 x + 0.5, 0, 1), in its operations."""
        tf = self._tf
        return tf.clip_by_value(tf.constant(0.2, x.dtype) * x + tf.constant(0.5, x.dtype), 0.0, 1.0)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        try:
            with self._on_cpu():
                yield
        except GraphsimError:
            raise
        except Exception as error:  # a model that loads may still fail to compute
            # TensorFlow tells the reason last, behind the lines of code it was traced from.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[-1][:300] if lines else type(error).__name__
            raise ReferenceUnavailableError(
                f"{self.path}: TensorFlow cannot compute this model: {reason}. {WITHOUT}"
            ) from error

    @contextmanager
    def _on_cpu(self) -> Iterator[None]:
        """A graphics processor would sum in TF32 or in other orders of its own; the bounds are for float32."""
        with self._tf.device("/CPU:0"):
            yield


def _as_keras_2_file(path: Path, weights: Path | None, folder: Path) -> Path | None:
    """A full-model ``.h5`` of Keras 2 with the same contents, for what Keras 3 does not open as it is; else None.

    Three kinds need it: a Sequential model of Keras <= 2.2.2, whose config is a bare list of layers; a Sequential model
    without an InputLayer, whose first layer states the shape with the batch axis (Keras 3 adds another); and an
    architecture in JSON by Keras 1 or 2, which names no modules, with its weights in ``.h5``. The contents are copied.
    """
    source = weights or path
    if path.suffix == ".json":
        text = path.read_text(encoding="utf-8")
    elif path.suffix in (".h5", ".hdf5"):
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config", "")
    else:
        return None
    config = json.loads(text) if text else None
    if not isinstance(config, dict) or source.suffix not in (".h5", ".hdf5"):
        return None
    is_changed = path.suffix == ".json" and "module" not in config
    if isinstance(config.get("config"), list):
        config["config"], is_changed = {"name": config["class_name"].lower(), "layers": config["config"]}, True
    if config.get("class_name") == "Sequential":
        first = config["config"]["layers"][0]
        if first["class_name"] != "InputLayer" and "batch_input_shape" in first["config"]:
            shape = first["config"].pop("batch_input_shape")
            stated = {"batch_input_shape": shape, "dtype": "float32", "name": f"{first['config']['name']}_input"}
            config["config"]["layers"].insert(0, {"class_name": "InputLayer", "config": stated})
            is_changed = True
    if not is_changed:
        return None
    made = folder / "model.h5"
    with h5py.File(source, "r") as old, h5py.File(made, "w") as new:
        new.attrs["model_config"] = json.dumps(config)
        group = old.get("model_weights", old)
        for key, value in group.attrs.items():
            new.require_group("model_weights").attrs[key] = value
        for key in group:
            group.copy(key, new.require_group("model_weights"))
    return made


def _for_one_sample(config: Any) -> Any:
    """The config of a model with batches of one sample wherever it says how large they are."""
    if isinstance(config, dict):
        sized = ("batch_shape", "batch_input_shape", "input_shape")
        return {
            key: [1, *value[1:]]
            if key in sized and isinstance(value, list | tuple) and value
            else _for_one_sample(value)
            for key, value in config.items()
        }
    return [_for_one_sample(item) for item in config] if isinstance(config, list | tuple) else config


def _convolutions(layers: Any) -> tuple[type, ...]:
    kinds = ("Conv", "DepthwiseConv", "SeparableConv")
    names = [f"{kind}{rank}D" for kind in kinds for rank in (1, 2, 3)]
    names += [f"Conv{rank}DTranspose" for rank in (1, 2, 3)]
    return tuple(getattr(layers, name) for name in names if hasattr(layers, name))


def _nodes_in_order(model: Any) -> list[tuple[Any, int, int]]:
    """The calls of a functional model, each after those it takes from: (node, its number among so many of its layer).

    Keras keeps the nodes of a model by depth, the deepest first, and numbers those of a layer in ``_inbound_nodes``,
    where the calls by other models are as well.
    """
    try:
        nodes = [n for depth in sorted(model._nodes_by_depth, reverse=True) for n in model._nodes_by_depth[depth]]
        mine = {id(node) for node in nodes}
        calls = {id(n.operation): [id(c) for c in n.operation._inbound_nodes if id(c) in mine] for n in nodes}
    except AttributeError as error:
        raise ReferenceUnavailableError(
            f"this version of Keras hides how its models are connected. {WITHOUT}"
        ) from error
    of = {key: len(found) for key, found in calls.items()}
    return [(n, calls[id(n.operation)].index(id(n)), of[id(n.operation)]) for n in nodes if not n.is_input]
