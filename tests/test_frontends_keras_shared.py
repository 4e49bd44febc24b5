"""Third-party files beside the checkout: lowered, with the values they were recorded with, or refused by reason."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.simulate.reference import ReferenceEngine

#: What each file contains that is not lowered yet, class by class; an empty count means that it is lowered.
REFUSED = {
    "mlcommons_tiny/ad01.h5": {},
    "dl4j/LeakyReLU_0_model.h5": {},
    "mlcommons_tiny/pretrainedResnet.h5": {},
    "face_classification/tiny_XCEPTION_KDEF.hdf5": {},
    "dl4j/simple_rnn_tf_keras_2_model.h5": {},
    "dl4j/lstm_functional_tf_keras_2.h5": {},
    "dl4j/sequential_lambda.h5": {"Lambda": 2},
    "dl4j/cnn_batch_norm.h5": {},
}
#: Files that are not a model by themselves.
PARTS = {
    "dl4j/mnist_mlp_tf_keras_2_config.json": "has no weights",
    "dl4j/mnist_mlp_tf_keras_2_weights.h5": "holds no architecture",
    "dl4j/mnist_mlp_tf_keras_2_inputs_and_outputs.h5": "holds no architecture",
    "dl4j/simple_rnn_tf_keras_2_inputs_and_outputs.h5": "holds no architecture",
    "dl4j/LeakyReLU_0_inputs_and_outputs.h5": "holds no architecture",
}


def test_every_file_is_accounted_for(shared: Path) -> None:
    with (shared / "models" / "PROVENANCE.csv").open() as stream:
        listed = {row["file"] for row in csv.DictReader(stream)}
    assert listed == set(REFUSED) | set(PARTS)


@pytest.mark.parametrize("file", REFUSED)
def test_is_lowered_or_all_its_layers_without_rule_are_named(shared: Path, file: str) -> None:
    path = shared / "models" / file
    if not REFUSED[file]:
        assert lower(path).actor_count > 0
        return
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(path)
    assert Counter(reason.split()[0] for _, reason in caught.value.layers) == REFUSED[file]
    assert str(path) in str(caught.value)


def test_lambdas_are_refused_as_code(shared: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="code from a model file is never run"):
        lower(shared / "models" / "dl4j" / "sequential_lambda.h5")


@pytest.mark.parametrize("file", PARTS)
def test_parts_of_models_say_what_is_missing(shared: Path, file: str) -> None:
    with pytest.raises(ModelError, match=PARTS[file]):
        lower(shared / "models" / file)


def test_recorded_values_of_a_pair_by_keras_2_0(shared: Path) -> None:
    folder = shared / "models" / "dl4j"
    graph = lower(folder / "mnist_mlp_tf_keras_2_config.json", folder / "mnist_mlp_tf_keras_2_weights.h5")
    assert graph.notes["keras_version"] == "2.0.6"
    with h5py.File(folder / "mnist_mlp_tf_keras_2_inputs_and_outputs.h5") as recorded:
        run = ReferenceEngine(graph).run(recorded["inputs/dense_1_input"][:8])
        for layer, group in (("dense_1", "dense_1"), ("dense_2", "dense_2"), ("dense_3", "dense_3.softmax")):
            np.testing.assert_allclose(run.values[group], recorded[f"activations/{layer}"][:8], rtol=1e-5, atol=1e-5)
        answers = recorded["predictions/dense_3"][:8]
    np.testing.assert_array_equal(run.values["sink"][:, 0], answers.argmax(1))


def test_recorded_values_of_a_leaky_relu_by_keras_2_3(shared: Path) -> None:
    folder = shared / "models" / "dl4j"
    graph = lower(folder / "LeakyReLU_0_model.h5")
    assert [g.name for g in graph.groups] == ["source", "dense_input", "dense", "leaky_re_lu_1", "sink"]
    with h5py.File(folder / "LeakyReLU_0_inputs_and_outputs.h5") as recorded:
        run = ReferenceEngine(graph).run(recorded["inputs/dense_input"][:])
        for layer in ("dense", "leaky_re_lu_1"):
            np.testing.assert_allclose(run.values[layer], recorded[f"activations/{layer}"][:], rtol=1e-5, atol=1e-5)


def test_the_autoencoder_computes_what_its_weights_say(shared: Path) -> None:
    path = shared / "models" / "mlcommons_tiny" / "ad01.h5"
    x = np.random.default_rng(0).normal(0, 1, (2, 640)).astype(np.float32)
    values = ReferenceEngine(lower(path)).run(x).values
    exact = x.astype(np.float64)
    with h5py.File(path) as file:
        weights = file["model_weights"]
        for number in range(10):
            suffix = f"_{number}" if number else ""
            dense = weights[f"dense{suffix}/dense{suffix}"]
            exact = exact @ dense["kernel:0"][:].astype(np.float64) + dense["bias:0"][:]
            if number < 9:
                norm = weights[f"batch_normalization{suffix}/batch_normalization{suffix}"]
                scale = norm["gamma:0"][:] / np.sqrt(norm["moving_variance:0"][:].astype(np.float64) + 1e-3)
                exact = np.maximum((exact - norm["moving_mean:0"][:]) * scale + norm["beta:0"][:], 0)
    np.testing.assert_allclose(values["dense_9"], exact, rtol=2e-5, atol=2e-5)
