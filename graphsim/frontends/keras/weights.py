"""Which array of a file is which weight of which layer.

Two layouts:

* *Legacy* (``.h5`` of Keras 1, 2 and 3, and weights-only ``.h5`` of Keras 1 and 2): attribute ``layer_names`` lists
  groups, attribute ``weight_names`` of each lists its datasets, in the order trainable, then not trainable. A nested
  model is one such group. Layers are matched by name, and where the names of the file and the architecture differ, by
  order, as Keras does; weights of a layer are matched by name, else by order. The notes say when order was used.
* *Version 3* (``.keras``, ``.weights.h5`` of Keras 3): layer i of a model lies in ``layers/<class in snake case>``,
  with ``_1``, ``_2`` and so on after it when that is taken; its weights in ``vars/0``, ``vars/1`` ..., in the order
  trainable, then not trainable. Names of layers play no part. Operations that are no layers are not counted, nor is
  the InputLayer of a Sequential model. Files of TensorFlow 2.12 say ``_layer_checkpoint_dependencies`` for ``layers``
  and count every layer with weights twice.

Source: keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py of Keras 3.15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphsim.errors import ModelError
from graphsim.frontends.builder import FloatArray, Weight
from graphsim.frontends.keras.config import Layer, Model
from graphsim.frontends.keras.fields import shown
from graphsim.frontends.keras.hdf5 import WORKSPACE, Hdf5
from graphsim.frontends.keras.limits import memory_at_most

#: What attention of several heads calls the layers it is made of.
_PROJECTIONS = ("query", "key", "value", "gate", "attention_output")
#: Classes whose name in the config is not the one that version 3 calls their group by.
_RENAMED = {"GroupQueryAttention": "GroupedQueryAttention"}
Declared = Mapping[str, Sequence[Weight]]

#: What older versions call a weight.
_OLD_NAMES = {
    "W": "kernel",
    "U": "recurrent_kernel",
    "b": "bias",
    "alphas": "alpha",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}


@dataclass(frozen=True)
class Located:
    """Where each weight lies, as the path of its dataset, and how that was found out ("" when by name alone)."""

    paths: dict[Weight, str]
    note: str = ""


def locate(model: Model, declared: Declared, h5: Hdf5) -> Located:
    """Find every declared weight in a file, and check that its shape is the one the architecture asks for.

    Raises:
        ModelError: weights are missing, superfluous, or of the wrong shape.
    """
    with memory_at_most(WORKSPACE):
        return _locate(model, declared, h5)


def _locate(model: Model, declared: Declared, h5: Hdf5) -> Located:
    root = "model_weights" if h5.has_group("model_weights") else ""
    names = _names(h5, root, "layer_names")
    if names is not None:
        located = _locate_legacy(model, declared, h5, root, names)
    else:
        located = Located(_locate_v3(model, declared, h5, ""))
    for weight, path in located.paths.items():
        shape = h5.shape(path)
        if shape is None:
            raise ModelError(f"{h5.file}: layer {weight.layer!r}: weight {weight.name!r} is missing ({shown(path)})")
        if shape != weight.shape:
            raise ModelError(
                f"{h5.file}: layer {weight.layer!r}: weight {weight.name!r} has shape {shape} in the file;"
                f" the architecture needs {weight.shape}"
            )
    return located


def read_weight(weight: Weight, path: str, h5: Hdf5) -> tuple[FloatArray, str]:
    """Elements of a located weight, float32, and the type they are stored in. Raises ModelError that names layer."""
    try:
        return h5.read(path)
    except ModelError as error:
        rest = str(error).removeprefix(f"{h5.file}: ")
        raise ModelError(f"{h5.file}: layer {weight.layer!r}: weight {weight.name!r}: {rest}") from None


# -- legacy ---------------------------------------------------------------------------------------------------------


def _names(h5: Hdf5, path: str, attribute: str) -> list[str] | None:
    """A list of names, which Keras cuts into ``<attribute>0``, ``<attribute>1`` ... where it is long."""
    whole = h5.texts(path, attribute)
    if whole is not None:
        return whole
    parts: list[str] = []
    number = 0
    while (part := h5.texts(path, f"{attribute}{number}")) is not None:
        parts += part
        number += 1
    return parts if number else None


def _locate_legacy(model: Model, declared: Declared, h5: Hdf5, root: str, names: list[str]) -> Located:
    wanted = {layer.name: weights for layer in model.layers if (weights := _legacy_order(layer, declared))}
    stored: dict[str, list[str]] = {}
    for name in names:
        path = f"{root}/{name}" if root else name
        found = _names(h5, path, "weight_names")
        if found is None:
            raise ModelError(f"{h5.file}: group {shown('/' + path)} is missing, or has no attribute 'weight_names'")
        if found:
            stored[name] = found
    pairs = {name: name for name in wanted}
    notes = []
    missing = [name for name in wanted if name not in stored]
    if missing:
        if len(wanted) != len(stored):
            raise ModelError(
                f"{h5.file}: weights of {len(missing)} layers are missing: {', '.join(map(shown, missing[:20]))};"
                f" the file has weights of: {', '.join(map(shown, list(stored)[:20])) or 'none'}"
            )
        pairs = dict(zip(wanted, stored, strict=True))
        notes.append("layers matched by order, their names differ")
    paths: dict[Weight, str] = {}
    by_order = []
    for name, weights in wanted.items():
        datasets = stored[pairs[name]]
        if len(datasets) != len(weights):
            listed = ", ".join(map(shown, datasets[:8]))
            raise ModelError(
                f"{h5.file}: layer {name!r} has {len(datasets)} weights in the file ({listed});"
                f" the architecture needs {len(weights)} ({', '.join(w.name for w in weights[:8])})"
            )
        chosen = _by_name(weights, datasets)
        if chosen is None:
            chosen = dict(zip(weights, datasets, strict=True))
            by_order.append(name)
        base = f"{root}/{pairs[name]}" if root else pairs[name]
        paths |= {weight: f"{base}/{dataset}" for weight, dataset in chosen.items()}
    if by_order:
        notes.append(f"weights matched by order in {', '.join(by_order)}")
    return Located(paths, "; ".join(notes))


def _legacy_order(layer: Layer, declared: Declared) -> list[Weight]:
    """A layer's weights in Keras's order: the trainable ones, then the others."""

    def collect(layer: Layer, frozen: bool) -> tuple[list[Weight], list[Weight]]:
        frozen = frozen or not layer.fields.flag("trainable", default=True)
        trained: list[Weight] = []
        fixed: list[Weight] = []
        if layer.inner is None:
            for weight in declared.get(layer.path, ()):
                (trained if weight.trainable and not frozen else fixed).append(weight)
        else:
            for child in layer.inner.layers:
                of_child = collect(child, frozen)
                trained += of_child[0]
                fixed += of_child[1]
        return trained, fixed

    trained, fixed = collect(layer, frozen=False)
    return trained + fixed


def _by_name(weights: Sequence[Weight], datasets: Sequence[str]) -> dict[Weight, str] | None:
    """Match weights to dataset names such as ``dense_1/kernel:0``; None where the names do not decide."""
    nested = len({weight.layer for weight in weights}) > 1
    has_parts = any(_part([weight.part]) for weight in weights)
    named: dict[str, str] = {}
    for dataset in datasets:
        *before, last = dataset.split(":")[0].split("/")
        if not nested:
            last = last.removeprefix(f"{weights[0].layer}_")  # Keras 1 writes dense_1_W
        last = _OLD_NAMES.get(last, last)
        key = "/".join([*before, last]) if nested else f"{_part(before)}{last}" if has_parts else last
        if key in named:
            return None
        named[key] = dataset
    chosen = {}
    for weight in weights:
        own = f"{_part([weight.part])}{weight.name}" if has_parts else weight.name
        wanted = f"{weight.layer.split('/', 1)[-1]}/{weight.name}" if nested else own
        fitting = [key for key in named if key == wanted or (nested and _ends_with(key, wanted))]
        if len(fitting) != 1:
            return None
        chosen[weight] = named[fitting[0]]
    return chosen if len(set(chosen.values())) == len(chosen) else None


def _part(path: Sequence[str]) -> str:
    """Which part of its layer a name belongs to, if to any: a side of Bidirectional, a projection of attention."""
    side = next((side for side in ("forward_", "backward_") if any(part.startswith(side) for part in path)), "")
    name = path[-1].strip("_").removesuffix("_dense") if path else ""
    projection = "attention_output" if name == "output" else name
    return side or (f"{projection}/" if projection in _PROJECTIONS else "")


def _ends_with(key: str, wanted: str) -> bool:
    """Whether a dataset's name ends with the wanted path, or with its last two parts, at a slash."""
    short = "/".join(wanted.split("/")[-2:])
    return any(key == tail or key.endswith(f"/{tail}") for tail in (wanted, short))


# -- version 3 ------------------------------------------------------------------------------------------------------


def snake_case(class_name: str) -> str:
    """As ``keras.src.utils.naming.to_snake_case``."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _locate_v3(model: Model, declared: Declared, h5: Hdf5, base: str) -> dict[Weight, str]:
    paths: dict[Weight, str] = {}
    folder = next((f for f in ("layers", "_layer_checkpoint_dependencies") if h5.has_group(f"{base}{f}")), None)
    if folder is None:
        if any(declared.get(layer.path) for layer in model.walk()):
            raise ModelError(f"{h5.file}: {shown('/' + base)} has no weights: neither 'layer_names' nor 'layers'")
        return paths
    layers = [layer for layer in model.layers if not is_operation(layer)]
    if model.sequential:
        layers = [layer for layer in layers if layer.class_name != "InputLayer"]
    used: dict[str, int] = {}
    for layer in layers:
        own = list(declared.get(layer.path, ()))
        class_name = _RENAMED.get(layer.class_name, layer.class_name)
        name = _unique(snake_case(class_name), used)
        path = f"{base}{folder}/{name}"
        if layer.inner is not None:
            found = _locate_v3(layer.inner, declared, h5, f"{path}/" if layer.is_model else f"{path}/layer/")
            paths |= found
        else:
            found = {}
            for part in dict.fromkeys(weight.part for weight in own):
                here = [w for w in own if w.part == part]
                if layer.class_name == "SpectralNormalization" and not part:  # lists the kernel in it as its own too
                    kernel = next(w for w in own if w.part and w.name in ("kernel", "embeddings"))
                    here.insert(0, replace(kernel, part=""))
                paths |= _locate_part(layer, here, h5, _attribute(h5, path, part))
        if folder != "layers" and (own or found):
            _unique(snake_case(class_name), used)
    return paths


def _attribute(h5: Hdf5, path: str, part: str) -> str:
    """The group of a part of a layer: the name of an attribute, which starts with an underscore in some versions."""
    before, _, last = part.rpartition("/")
    found = f"{path}/{part}".rstrip("/")
    hidden = "/".join(filter(None, (path, before, f"_{last}")))
    return hidden if part and not h5.has_group(found) and h5.has_group(hidden) else found


def _locate_part(layer: Layer, own: Sequence[Weight], h5: Hdf5, path: str) -> dict[Weight, str]:
    """The weights of a layer that lie in one group."""
    count = 0
    while h5.shape(f"{path}/vars/{count}") is not None:
        count += 1
    if count != len(own):
        raise ModelError(
            f"{h5.file}: layer {layer.path!r} has {count} weights in the file (at {path});"
            f" the architecture needs {len(own)} ({', '.join(w.name for w in own)})"
        )
    return {weight: f"{path}/vars/{number}" for number, weight in enumerate(own)}


def _unique(name: str, used: dict[str, int]) -> str:
    if name in used:
        used[name] += 1
        return f"{name}_{used[name]}"
    used[name] = 0
    return name


def is_operation(layer: Layer) -> bool:
    """Whether it is a function that a Keras 3 Functional model recorded (``x + y``), not a layer."""
    return layer.module.startswith("keras.src.ops") or layer.module.startswith("keras.ops")
