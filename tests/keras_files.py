"""Keras model files written by hand, in the layouts of Keras 1, 2 and 3, for tests that need no Keras."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Json = dict[str, Any]
Array = npt.NDArray[Any]


def layer(class_name: str, name: str, **config: Any) -> Json:
    """A layer of a Sequential config."""
    return {"class_name": class_name, "config": {"name": name, **config}}


def node(class_name: str, name: str, calls: Sequence[Any], **config: Any) -> Json:
    """A layer of a Functional config; ``calls`` are its inbound nodes."""
    return {**layer(class_name, name, **config), "name": name, "inbound_nodes": list(calls)}


def sequential(*layers: Json, name: str = "sequential") -> Json:
    """A Sequential model as Keras 2.3 and later write it."""
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def functional(inputs: Any, outputs: Any, *layers: Json, class_name: str = "Functional") -> Json:
    """A Functional model."""
    config = {"name": "model", "layers": list(layers), "input_layers": inputs, "output_layers": outputs}
    return {"class_name": class_name, "config": config}


def write_legacy(
    path: Path,
    config: Json | str | None,
    weights: Mapping[str, Mapping[str, Array]],
    *,
    version: str | None = "2.4.0",
    root: str = "model_weights",
) -> Path:
    """An ``.h5`` file: weights by layer and by weight name. ``config`` None leaves the architecture out."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version.encode()
        if config is not None:
            file.attrs["model_config"] = (config if isinstance(config, str) else json.dumps(config)).encode()
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = [weight.encode() for weight in arrays]
            for weight, array in arrays.items():
                own.create_dataset(weight, data=array)
    return path


def weights_file(arrays: Mapping[str, Array]) -> bytes:
    """An HDF5 file with datasets at paths, as bytes."""
    stream = BytesIO()
    with h5py.File(stream, "w") as file:
        for path, array in arrays.items():
            file.create_dataset(path, data=array)
    return stream.getvalue()


def write_keras(path: Path, config: Json | str, weights: Mapping[str, Array] | bytes, version: str = "3.15.1") -> Path:
    """A ``.keras`` file: weights by path, or the bytes of the member that should hold them."""
    with zipfile.ZipFile(path, "w") as zf:
        zf.writestr("metadata.json", json.dumps({"keras_version": version}))
        zf.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        zf.writestr("model.weights.h5", weights if isinstance(weights, bytes) else weights_file(weights))
    return path


#: A net of 3-2-2 with every kind of field that matters, and its weights: for tests that break it.
KERNEL, BIAS = np.array([[1, -2], [0.5, 1], [-1, 0.25]], np.float32), np.array([0.5, -0.5], np.float32)
SECOND, OFFSET = np.array([[1, 2], [3, -4]], np.float32), np.array([0.125, 0.25], np.float32)
SMALL = sequential(
    layer("InputLayer", "pixels", batch_input_shape=[None, 3]),
    layer("Dense", "hidden", units=2, activation="relu"),
    layer("Dense", "answer", units=2, activation="softmax"),
)
SMALL_LEGACY: dict[str, dict[str, Array]] = {
    "pixels": {},
    "hidden": {"hidden/kernel:0": KERNEL, "hidden/bias:0": BIAS},
    "answer": {"answer/kernel:0": SECOND, "answer/bias:0": OFFSET},
}
SMALL_V3: dict[str, Array] = {
    "layers/dense/vars/0": KERNEL,
    "layers/dense/vars/1": BIAS,
    "layers/dense_1/vars/0": SECOND,
    "layers/dense_1/vars/1": OFFSET,
}


def small_values(x: Array) -> Array:
    """What the small net computes, in float64."""
    logits = np.maximum(x @ KERNEL.astype(np.float64) + BIAS, 0) @ SECOND.astype(np.float64) + OFFSET
    exp = np.exp(logits - logits.max(1, keepdims=True))
    result: Array = exp / exp.sum(1, keepdims=True)
    return result
