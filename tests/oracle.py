"""Who is right about a model file: what was recorded, else Keras 3, else Keras 2 (the package tf-keras)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.compare import Recorded, compare, load_recorded, reference_of, wanted_tensors
from graphsim.compare.result import Comparison
from graphsim.graph import Graph
from graphsim.simulate.engine import Engine
from graphsim.simulate.reference import ReferenceEngine

FloatArray = npt.NDArray[np.float32]


class Judged(NamedTuple):
    """Inputs, the outputs that are right for them, one array each, and who says so."""

    judge: str
    inputs: tuple[FloatArray, ...]
    outputs: tuple[FloatArray, ...]


def keras_outputs(
    path: Path,
    inputs: tuple[FloatArray, ...] = (),
    *,
    weights: Path | None = None,
    recorded: Path | None = None,
    keras_3: bool = True,
) -> Judged:
    """The outputs of a model file.

    Args:
        inputs: float32 (N, *shape), one per input of the model; not needed where they were recorded.
        recorded: a recording, which judges before anybody else.
        keras_3: whether today's Keras may judge: not of files that it is known to read wrong.
    """
    if recorded is not None:
        found: Recorded = load_recorded(recorded)
        return Judged("recorded", found.inputs, found.outputs)
    from graphsim.zoo.quiet import import_tensorflow

    keras = import_tensorflow()[1]
    if keras_3:
        try:
            return Judged("Keras 3", inputs, _outputs(_opened(keras, path, weights), inputs))
        except Exception:  # Keras raises anything at all for files it does not like: the next one is asked
            pass
    import tf_keras

    return Judged("Keras 2", inputs, _outputs(_opened(tf_keras, path, weights), inputs))


def _opened(keras: Any, path: Path, weights: Path | None) -> Any:
    if path.suffix != ".json":
        return keras.models.load_model(path, compile=False, safe_mode=True)
    model = keras.models.model_from_json(path.read_text(encoding="utf-8"))
    model.load_weights(weights)
    return model


def _outputs(model: Any, inputs: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
    outputs = model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
    flat = (
        outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, list | tuple) else [outputs]
    )
    return tuple(output.numpy() for output in flat)


def judged_by_tensorflow(
    path: Path, graph: Graph, inputs: FloatArray | tuple[FloatArray, ...], engine: Engine | None = None
) -> Comparison:
    """Every neuron of a run and of TensorFlow within its bound, or not."""
    run = (engine or ReferenceEngine(graph)).run(inputs)  # type: ignore[arg-type]
    reference = reference_of(graph, path)
    return compare(graph, run, reference.run(inputs, run.samples, wanted_tensors(graph)))
