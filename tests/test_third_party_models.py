"""Models that other people trained, with Keras 1 and 2: what graphsim computes is what their Keras computed.

Judged by outputs that were recorded with the file, else by Keras 3, else by Keras 2 (see ``oracle``). Every neuron of
what TensorFlow's Keras opens is judged as well, within its bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from oracle import judged_by_tensorflow, keras_outputs

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.simulate.engine import input_groups, output_groups
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A file under ``shared/models``, who judges it, and what belongs to it.

    Inputs that were not recorded are drawn from ``low`` to ``high``: what the model was trained on. Keras 3 does not
    judge where it takes ``hard_sigmoid`` for its own.
    """

    file: str
    judge: str
    recorded: str = ""
    weights: str = ""
    samples: int = 8
    low: float = 0.0
    high: float = 1.0
    keras_3: bool = True


CASES = [
    Case("dl4j/LeakyReLU_0_model.h5", "recorded", "dl4j/LeakyReLU_0_inputs_and_outputs.h5"),
    Case(
        "dl4j/mnist_mlp_tf_keras_2_config.json",
        "recorded",
        "dl4j/mnist_mlp_tf_keras_2_inputs_and_outputs.h5",
        "dl4j/mnist_mlp_tf_keras_2_weights.h5",
    ),
    Case("dl4j/cnn_batch_norm.h5", "Keras 2", low=-1.0),
    Case(
        "dl4j/simple_rnn_tf_keras_2_model.h5", "recorded", "dl4j/simple_rnn_tf_keras_2_inputs_and_outputs.h5", low=-1.0
    ),
    Case("dl4j/lstm_functional_tf_keras_2.h5", "Keras 2", low=-1.0, keras_3=False),
    Case("mlcommons_tiny/ad01.h5", "Keras 3", low=-3.0, high=3.0),
    Case("mlcommons_tiny/pretrainedResnet.h5", "Keras 3", samples=4, high=255.0),
    Case("face_classification/tiny_XCEPTION_KDEF.hdf5", "Keras 3", samples=2, low=-1.0),
]


def drawn(graph: Graph, case: Case) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(17)
    shapes = [graph.groups[number].shape for number in input_groups(graph)]
    return tuple(rng.uniform(case.low, case.high, (case.samples, *shape)).astype(np.float32) for shape in shapes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case.file).stem)
def test_outputs_are_those_of_the_keras_that_wrote_the_file(shared: Path, case: Case) -> None:
    folder = shared / "models"
    weights = folder / case.weights if case.weights else None
    graph = lower(folder / case.file, weights)
    recorded = folder / case.recorded if case.recorded else None
    right = keras_outputs(
        folder / case.file, drawn(graph, case), weights=weights, recorded=recorded, keras_3=case.keras_3
    )
    assert right.judge == case.judge
    engine = ReferenceEngine(graph) if graph.edge_count < 20_000 else LanesEngine(graph)
    run = engine.run(right.inputs if len(right.inputs) > 1 else right.inputs[0])
    names = output_groups(graph)
    assert len(names) == len(right.outputs)
    for name, expected in zip(names, right.outputs, strict=True):
        found = run.values[name].reshape(expected.shape)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found / scale, expected / scale, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [c for c in CASES if not c.weights], ids=lambda case: Path(case.file).stem)
def test_every_neuron_is_within_its_bound(shared: Path, case: Case) -> None:
    path = shared / "models" / case.file
    graph = lower(path)
    engine = ReferenceEngine(graph) if graph.edge_count < 20_000 else LanesEngine(graph)
    found = judged_by_tensorflow(path, graph, drawn(graph, case), engine)
    assert found.ok, found.first_divergence
    assert found.neurons_checked > 0


def test_a_file_with_code_is_refused(shared: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"lambda_1.*\n.*lambda_2"):
        lower(shared / "models" / "dl4j" / "sequential_lambda.h5")
