"""The shipped models are what their cards say they are."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from graphsim import pipeline
from graphsim.datasets import load
from graphsim.machine import load_machine
from graphsim.zoo import shipped
from graphsim.zoo.card import read_facts
from graphsim.zoo.quiet import import_tensorflow

WIDTHS = {"mnist": (784, 128, 10), "digits": (64, 32, 10)}
LAYERS = ("dense", "dense_1")

models = pytest.mark.parametrize("name", sorted(WIDTHS))


def facts(name: str) -> dict[str, str]:
    return read_facts(shipped(name).with_suffix(".md"))


def h5_weights(path: Path) -> list[np.ndarray]:
    """Kernel and bias of each dense layer of a legacy full-model file, found by their datasets' names."""
    found: dict[tuple[str, str], np.ndarray] = {}

    def collect(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.split("/")[0], name.split("/")[-1].removesuffix(":0")] = item[()]

    with h5py.File(path) as file:
        file["model_weights"].visititems(collect)
    assert len(found) == 2 * len(LAYERS)
    return [found[layer, part] for layer in LAYERS for part in ("kernel", "bias")]


def keras_weights(path: Path) -> list[np.ndarray]:
    """Kernel and bias of each dense layer of a Keras 3 file."""
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        return [file[f"layers/{layer}/vars/{index}"][()] for layer in LAYERS for index in (0, 1)]


@models
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_digest_is_on_the_card(name: str, suffix: str) -> None:
    path = shipped(name, suffix)
    assert facts(name)[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


@models
def test_both_files_hold_the_same_weights(name: str) -> None:
    ours, theirs = h5_weights(shipped(name, ".h5")), keras_weights(shipped(name, ".keras"))
    assert [a.tobytes() for a in ours] == [b.tobytes() for b in theirs]
    assert [a.shape for a in ours] == [b.shape for b in theirs]


@models
def test_weights_are_those_of_the_card(name: str) -> None:
    weights = h5_weights(shipped(name))
    digest = hashlib.sha256(b"".join(array.astype("<f4").tobytes() for array in weights)).hexdigest()
    assert facts(name)["weights SHA-256"] == digest
    assert facts(name)["parameters"] == str(sum(array.size for array in weights))


@models
def test_weights_have_the_shapes_of_the_net_and_are_finite(name: str) -> None:
    inputs, hidden, classes = WIDTHS[name]
    weights = h5_weights(shipped(name))
    assert [array.shape for array in weights] == [(inputs, hidden), (hidden,), (hidden, classes), (classes,)]
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in weights)


@models
def test_layers_have_their_stable_names_in_both_files(name: str) -> None:
    with h5py.File(shipped(name, ".h5")) as file:
        from_h5 = json.loads(file.attrs["model_config"])
    with zipfile.ZipFile(shipped(name, ".keras")) as archive:
        from_keras = json.loads(archive.read("config.json"))
    for config in (from_h5, from_keras):
        layers = [(layer["class_name"], layer["config"]["name"]) for layer in config["config"]["layers"]]
        assert layers == [
            ("InputLayer", "pixels"),
            ("Flatten", "flatten"),
            ("Dense", "dense"),
            ("Dense", "dense_1"),
        ]
        assert [layer["config"].get("activation") for layer in config["config"]["layers"][2:]] == ["relu", "softmax"]


@models
def test_card_names_the_data_it_was_trained_on(name: str, request: pytest.FixtureRequest) -> None:
    if name == "mnist":
        request.getfixturevalue("mnist")
    card = facts(name)
    digests = {**load(name, "train", 1).sha256, **load(name, "test", 1).sha256}
    assert digests
    assert {file: card[file] for file in digests} == digests


@pytest.mark.slow
@models
def test_tensorflow_measures_the_accuracy_of_the_card(name: str, request: pytest.FixtureRequest) -> None:
    if name == "mnist":
        request.getfixturevalue("mnist")
    test = load(name, "test")
    _, keras = import_tensorflow()
    model = keras.models.load_model(shipped(name), compile=False)
    correct = int((model.predict(test.images, batch_size=500, verbose=0).argmax(axis=1) == test.labels).sum())
    assert facts(name)["test accuracy"] == f"{correct / len(test):.4f} ({correct} of {len(test)})"


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_convolutional_net_has_the_digests_of_its_card(suffix: str) -> None:
    path = shipped("mnist-cnn", suffix)
    assert path.name == f"mnist_cnn{suffix}"
    assert facts("mnist-cnn")[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_tensorflow_measures_the_accuracy_of_the_convolutional_net(suffix: str, mnist: Path) -> None:
    test = load("mnist", "test")
    _, keras = import_tensorflow()
    model = keras.models.load_model(shipped("mnist-cnn", suffix), compile=False)
    found = model.predict(test.images[..., None], batch_size=500, verbose=0).argmax(axis=1)
    correct = int((found == test.labels).sum())
    assert facts("mnist-cnn")["test accuracy"] == f"{correct / len(test):.4f} ({correct} of {len(test)})"
    assert correct >= 9900


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["lanes", "machine"])
def test_the_convolutional_net_runs_on_a_torus_and_agrees_with_tensorflow(engine: str, mnist: Path) -> None:
    dataset, machine = load("mnist", limit=6), load_machine("torus:8x8")
    result = pipeline.run(shipped("mnist-cnn"), dataset, machine, engine=engine)
    assert result.verdict.ok
    assert result.comparison is not None
    assert result.comparison.ok, result.comparison.first_divergence
    assert result.comparison.argmax_agreement == 1.0
    assert result.comparison.neurons_checked == 6 * (24 * 24 * 8 + 12 * 12 * 8 + 8 * 8 * 16 + 4 * 4 * 16 + 10 + 10)


def test_mnist_model_is_accurate_enough() -> None:
    assert float(facts("mnist")["test accuracy"].split()[0]) >= 0.975
