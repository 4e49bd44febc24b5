"""Models made with Keras itself, saved, lowered, run and held against Keras, tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.compare import compare
from graphsim.compare.compare import wanted_tensors
from graphsim.compare.reference import TensorFlowReference
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine

FloatArray = npt.NDArray[np.float32]
FORMATS = (".h5", ".keras")


def samples(*shape: int, seed: int = 0, count: int = 4) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 2, (count, *shape)).astype(np.float32)


def stirred(model: Any) -> Any:
    """Give every weight a value that matters: biases are zero and scales one in a fresh model."""
    rng = np.random.default_rng(3)
    for weight in model.weights:
        if "int" in str(weight.dtype):
            continue
        values = rng.normal(0, 0.6, weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.name else values)
    return model


def saved(model: Any, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    model.save(path)
    return path


def lowered(model: Any, folder: Path, suffix: str) -> Graph:
    return lower(saved(model, folder, suffix))


def assert_within_bounds(path: Path, *inputs: FloatArray) -> Graph:
    """Lower a file, and judge every actor of graphsim and every tensor of TensorFlow by its proved bound."""
    graph = lower(path)
    given = inputs[0] if len(inputs) == 1 else inputs
    run = ReferenceEngine(graph).run(given)
    wanted = wanted_tensors(graph)
    tensors = TensorFlowReference(path).run(given, len(inputs[0]), wanted)
    assert wanted == set(tensors), "TensorFlow does not show what the graph observes"
    comparison = compare(graph, run, tensors)
    assert comparison.first_divergence is None, comparison.first_divergence
    assert all(layer.checked_own for layer in comparison.layers)
    return graph


def assert_both_formats_agree(model: Any, folder: Path, *inputs: FloatArray) -> Graph:
    """Judge the ``.keras`` file of a model as above; its ``.h5``, which Keras cannot always open, lowers alike."""
    graph = assert_within_bounds(saved(model, folder, ".keras"), *inputs)
    assert lowered(model, folder, ".h5").digest == graph.digest
    return graph
