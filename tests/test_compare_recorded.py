"""Comparing with recorded outputs: third-party recordings, simple archives, and files that are neither."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from graphs import mlp

from graphsim.compare import Recorded, compare_recorded, load_recorded
from graphsim.errors import DatasetError
from graphsim.frontends.keras import lower
from graphsim.simulate.reference import ReferenceEngine


def first(recorded: Recorded, n: int) -> Recorded:
    return dataclasses.replace(
        recorded,
        inputs=tuple(array[:n] for array in recorded.inputs),
        outputs=tuple(array[:n] for array in recorded.outputs),
        layers={name: array[:n] for name, array in recorded.layers.items()},
    )


@pytest.mark.parametrize(
    ("model", "weights", "recording", "layers"),
    [
        ("LeakyReLU_0_model.h5", None, "LeakyReLU_0_inputs_and_outputs.h5", {"dense", "leaky_re_lu_1"}),
        (
            "mnist_mlp_tf_keras_2_config.json",
            "mnist_mlp_tf_keras_2_weights.h5",
            "mnist_mlp_tf_keras_2_inputs_and_outputs.h5",
            {"dense_1", "dense_2", "dense_3"},
        ),
    ],
)
def test_third_party_recordings_agree(
    shared: Path, model: str, weights: str | None, recording: str, layers: set[str]
) -> None:
    """What an older Keras computed elsewhere, years ago, is within the bounds of every layer."""
    folder = shared / "models" / "dl4j"
    graph = lower(folder / model, None if weights is None else folder / weights)
    recorded = first(load_recorded(folder / recording), 20)
    found = compare_recorded(graph, ReferenceEngine(graph).run(recorded.inputs), recorded)
    assert found.ok, found.first_divergence
    assert {layer.layer for layer in found.layers if layer.checked} == layers


def test_a_wrong_recording_is_found(shared: Path) -> None:
    folder = shared / "models" / "dl4j"
    graph = lower(folder / "LeakyReLU_0_model.h5")
    recorded = load_recorded(folder / "LeakyReLU_0_inputs_and_outputs.h5")
    recorded.layers["dense"][1, 5] += 1e-4
    found = compare_recorded(graph, ReferenceEngine(graph).run(recorded.inputs), recorded)
    assert found.first_divergence is not None
    assert (found.first_divergence.actor, found.first_divergence.sample) == ("dense[5]", 1)


def test_an_archive_of_inputs_and_outputs(tmp_path: Path) -> None:
    graph = mlp(8, 6, 4)
    images = np.random.default_rng(0).random((5, 8)).astype(np.float32)
    run = ReferenceEngine(graph).run(images)
    np.savez(tmp_path / "r.npz", inputs=images, outputs=run.values["dense_1.softmax"])
    recorded = load_recorded(tmp_path / "r.npz")
    found = compare_recorded(graph, run, recorded)
    assert found.ok
    assert (found.neurons_checked, found.reference_name, found.reference_version) == (20, "recorded outputs", "r.npz")
    worse = dataclasses.replace(recorded, outputs=(recorded.outputs[0] + np.float32(1e-4),))
    assert compare_recorded(graph, run, worse).neurons_outside_bound > 0


def test_several_inputs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    arrays = {f"inputs_{i}": np.full((2, 1), i) for i in (10, 2)}
    np.savez(tmp_path / "r.npz", outputs=np.zeros((2, 1)), **arrays)
    assert [float(array[0, 0]) for array in load_recorded(tmp_path / "r.npz").inputs] == [2.0, 10.0]


def test_a_dataset_instead_of_a_group(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["inputs"], file["outputs"] = np.ones((3, 2)), np.ones((3, 1))
    recorded = load_recorded(tmp_path / "r.h5")
    assert (len(recorded.inputs), recorded.outputs[0].shape, recorded.layers) == (1, (3, 1), {})


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "empty.npz", other=np.zeros(3))
    np.savez(tmp_path / "ragged.npz", inputs=np.zeros((3, 1)), outputs=np.zeros((2, 1)))
    np.savez(tmp_path / "objects.npz", inputs=np.array([{}]), outputs=np.zeros((1, 1)))
    np.savez(tmp_path / "text.npz", inputs=np.array(["a"]), outputs=np.zeros((1, 1)))
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    (tmp_path / "broken.h5").write_bytes(b"nothing")
    for name in ("empty.npz", "ragged.npz", "objects.npz", "text.npz", "broken.npz", "broken.h5", "missing.h5"):
        with pytest.raises(DatasetError, match=name):
            load_recorded(tmp_path / name)


def test_a_recording_of_another_model_is_refused(tmp_path: Path) -> None:
    graph = mlp(8, 6, 4)
    run = ReferenceEngine(graph).run(np.zeros((1, 8), np.float32))
    two = Recorded(tmp_path, (np.zeros((1, 8), np.float32),), (np.zeros((1, 4), np.float32),) * 2, {})
    with pytest.raises(DatasetError, match="2 outputs"):
        compare_recorded(graph, run, two)
