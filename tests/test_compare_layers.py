"""Every layer against TensorFlow, each neuron within its proved bound, each layer by its own tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from oracle import judged_by_tensorflow

from graphsim.analysis.rounding import TENSORFLOW, Ball, Rounding
from graphsim.compare import TensorFlowReference, compare_recorded, compare_with_reference, load_recorded
from graphsim.datasets import load
from graphsim.errors import DatasetError, UsageError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.pipeline import check_dataset
from graphsim.simulate.reference import ReferenceEngine


@pytest.fixture(scope="module")
def keras() -> Any:
    from graphsim.zoo.quiet import import_tensorflow

    keras = import_tensorflow()[1]
    keras.utils.set_random_seed(11)
    return keras


def shuffled(model: Any, seed: int) -> None:
    """Weights that are all different from each other: biases and statistics too; variances are positive."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(0, 1, weight.shape) / np.sqrt(max(1, np.prod(weight.shape[:-1])))
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.path else values)


#: Shape of the input, and the layers of a chain, from keras.layers.
CHAINS: dict[str, tuple[tuple[int, ...], Callable[[Any], list[Any]]]] = {
    "convolutions": (
        (9, 8, 4),
        lambda k: [
            k.Conv2D(6, 3, padding="same", activation="relu", name="same"),
            k.Conv2D(4, (2, 3), strides=(2, 1), name="strided"),
            k.Conv2D(6, 2, dilation_rate=2, padding="same", activation="tanh", groups=2, name="dilated"),
            k.BatchNormalization(name="norm"),
            k.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="gelu", name="depthwise"),
            k.SeparableConv2D(5, 3, padding="same", activation="softmax", name="separable"),
        ],
    ),
    "transposed convolutions": (
        (4, 5, 3),
        lambda k: [
            k.Conv2DTranspose(5, 3, strides=2, padding="same", activation="silu", name="same"),
            k.Conv2DTranspose(4, (2, 3), padding="valid", name="valid"),
            k.UpSampling2D((2, 1), name="up"),
        ],
    ),
    "one dimension": (
        (20, 3),
        lambda k: [
            k.Conv1D(6, 4, padding="causal", activation="sigmoid", dilation_rate=2, name="causal"),
            k.SeparableConv1D(4, 3, name="separable"),
            k.MaxPooling1D(3, 2, name="max"),
            k.AveragePooling1D(2, padding="same", name="average"),
            k.Conv1DTranspose(4, 3, strides=2, activation="elu", name="transposed"),
            k.GlobalAveragePooling1D(name="mean"),
        ],
    ),
    "normalisation": (
        (6, 5, 4),
        lambda k: [
            k.LayerNormalization(name="layer"),
            k.GroupNormalization(2, name="group"),
            k.Conv2D(4, 1, name="mix"),
            k.LayerNormalization(axis=[1, 2, 3], name="all"),
            k.UnitNormalization(name="unit"),
            k.RMSNormalization(name="rms"),
        ],
    ),
    "order": (
        (4, 3, 5),
        lambda k: [
            k.Permute((3, 1, 2), name="permuted"),
            k.Conv2D(4, 2, name="mix"),
            k.Reshape((-1, 4), name="rows"),
            k.Dense(6, "softmax", name="classes"),
            k.Flatten(name="flat"),
            k.RepeatVector(2, name="repeated"),
        ],
    ),
    "pooling": (
        (10, 9, 5),
        lambda k: [
            k.AveragePooling2D(3, 2, padding="same", name="same"),
            k.MaxPooling2D(2, 1, padding="same", name="max"),
            k.AveragePooling2D((2, 3), 1, name="valid"),
            k.ZeroPadding2D(((1, 0), (2, 1)), name="padded"),
            k.Cropping2D(((0, 1), (1, 0)), name="cropped"),
            k.GlobalMaxPooling2D(name="greatest"),
        ],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_layers_are_within_their_bounds(keras: Any, tmp_path: Path, name: str) -> None:
    shape, layers = CHAINS[name]
    model = keras.Sequential([keras.layers.Input(shape, name="x"), *layers(keras.layers)])
    shuffled(model, 3)
    path = tmp_path / "chain.keras"
    model.save(path)
    rng = np.random.default_rng(5)
    # Between zeros and large values: what TensorFlow should not mix shows at once.
    inputs = rng.normal(0, 1, (3, *shape)) * rng.choice([0, 1, 1e3], (3, *shape), p=[0.3, 0.6, 0.1])
    found = judged_by_tensorflow(path, lower(path), inputs.astype(np.float32))
    assert found.ok, found.first_divergence
    checked = {layer.layer: layer for layer in found.layers if layer.checked}
    renaming = (keras.layers.Reshape, keras.layers.Flatten)
    assert set(checked) == {layer.name for layer in model.layers if not isinstance(layer, renaming)}
    assert 0 < found.max_error_over_bound <= 1


def test_a_wrong_weight_of_a_convolution_is_found_where_it_is(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    chain = [layers.Conv2D(4, 3, padding="same", name=name, activation="relu") for name in ("one", "two", "three")]
    model = keras.Sequential([layers.Input((6, 6, 3), name="x"), *chain])
    shuffled(model, 1)
    path = tmp_path / "chain.keras"
    model.save(path)
    right = lower(path)
    kernel = right.params["two/kernel"].copy()
    kernel.reshape(-1)[7 * 4 + 2] *= np.float32(1.01)  # of filter 2
    wrong = Graph(right.name, right.groups, right.channels, {**right.params, "two/kernel": kernel})
    inputs = np.random.default_rng(5).normal(0, 1, (4, 6, 6, 3)).astype(np.float32)
    assert judged_by_tensorflow(path, right, inputs).ok
    found = judged_by_tensorflow(path, wrong, inputs)
    assert {layer.layer: layer.outside > 0 for layer in found.layers if layer.checked} == {
        "one": False, "two": True, "three": False
    }  # fmt: skip
    assert found.first_divergence is not None
    assert found.first_divergence.actor.startswith("two[")
    assert found.first_divergence.actor.endswith(",2]")


@pytest.mark.parametrize(("size", "channels", "filters", "batch"), [(16, 16, 16, 1), (28, 32, 64, 2), (7, 64, 32, 8)])
def test_tensorflow_convolves_without_transforms(
    keras: Any, tmp_path: Path, size: int, channels: int, filters: int, batch: int
) -> None:
    """The bounds are for sums of products. Of a single pixel, a neuron's sum is one product, or exactly 0.

    Winograd's transforms would mix a pixel into the sums of its neighbours, and leave their rounding there.
    """
    layer = keras.layers.Conv2D(filters, 3, padding="same", name="conv")
    model = keras.Sequential([keras.layers.Input((size, size, channels), name="x"), layer])
    shuffled(model, 2)
    layer.bias.assign(np.zeros(filters))
    path = tmp_path / "conv.keras"
    model.save(path)
    rng = np.random.default_rng(3)
    images = np.zeros((batch, size, size, channels), np.float32)
    for image in images:
        image[tuple(rng.integers(0, n) for n in image.shape)] = 1e4 * rng.normal()
    shown = TensorFlowReference(path).run(images, batch)["conv", 0, "output"]
    ball = Rounding(graph := lower(path)).evaluate(graph.number["conv"], {1: Ball.observed(images)}, TENSORFLOW)
    assert (np.abs(shown.reshape(batch, -1) - ball.value) <= ball.spread).all()
    assert np.count_nonzero(ball.value) <= batch * 9 * filters
    assert ball.spread[ball.value == 0].max() < 1e-30


def test_integers_and_operations_are_observed_under_their_names(keras: Any, tmp_path: Path) -> None:
    """Classes are integers to Keras, masks go from layer to layer, and operations are calls like any other."""
    keras.utils.clear_session()  # Keras numbers the names of operations
    layers, ops = keras.layers, keras.ops
    numbers = layers.Input((4,), dtype="int32", name="numbers")
    embedded = layers.Embedding(7, 6, mask_zero=True, name="embedded")(numbers)
    mixed = layers.Dense(6, "tanh", name="mixed")(embedded)
    pieces = ops.split(ops.add(mixed, 1.0), 2, axis=2)
    model = keras.Model(numbers, layers.GlobalAveragePooling1D(name="mean")(ops.multiply(*pieces)))
    shuffled(model, 4)
    path = tmp_path / "ops.keras"
    model.save(path)
    samples = np.random.default_rng(8).integers(0, 7, (5, 4)).astype(np.float32)
    reference = TensorFlowReference(path)
    found = reference.run(samples, 5)
    assert set(found) == {
        ("numbers", 0, "output"), ("embedded", 0, "output"), ("mixed", 0, "pre"), ("mixed", 0, "output"),
        ("add", 0, "output"), ("split", 0, "output"), ("split", 0, "output:1"), ("multiply", 0, "output"),
        ("mean", 0, "output"),
    }  # fmt: skip
    table = np.asarray(model.get_layer("embedded").embeddings)
    assert np.array_equal(found["embedded", 0, "output"], table[samples.astype(int)])
    product = found["split", 0, "output"] * found["split", 0, "output:1"]
    assert np.array_equal(found["multiply", 0, "output"], product)
    assert np.array_equal(found["mean", 0, "output"], reference.predict(samples)[0])


def test_a_mask_goes_through_a_layer_whose_activation_is_seen_apart(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    x = layers.Input((4, 3), name="x")
    y = layers.Dense(5, "relu", name="dense")(layers.Masking(name="masked")(x))
    model = keras.Model(x, layers.GlobalAveragePooling1D(name="mean")(y))
    path = tmp_path / "masked.keras"
    model.save(path)
    samples = np.random.default_rng(8).normal(0, 1, (5, 4, 3)).astype(np.float32)
    samples[:, 2:] = 0
    reference = TensorFlowReference(path)
    found = reference.run(samples, 5)
    assert np.array_equal(found["mean", 0, "output"], reference.predict(samples)[0])
    assert found["mean", 0, "output"] == pytest.approx(found["dense", 0, "output"][:, :2].mean(axis=1), abs=1e-6)


def test_several_inputs_and_outputs(keras: Any, tmp_path: Path) -> None:
    """Every call of a layer is judged by a tensor of its own."""
    layers = keras.layers
    z, x = layers.Input((4, 6), name="z"), layers.Input((4, 6), name="x")
    y = layers.Add(name="sum")([z, x])
    inner_in = layers.Input((4, 6), name="inner_in")
    inner = keras.Model(inner_in, layers.Dense(6, "tanh", name="deep")(inner_in), name="inner")
    y = layers.Multiply(name="product")([inner(y), inner(x)])
    outputs = [layers.Flatten(name="flat")(y), layers.GlobalMaxPooling1D(name="greatest")(y)]
    model = keras.Model([z, x], outputs)
    shuffled(model, 4)
    path = tmp_path / "two.keras"
    model.save(path)
    graph = lower(path)
    rng = np.random.default_rng(8)
    inputs = tuple(rng.normal(0, 1, (5, 4, 6)).astype(np.float32) for _ in range(2))
    found = judged_by_tensorflow(path, graph, inputs)
    assert found.ok, found.first_divergence
    checked = {layer.layer: layer.checked for layer in found.layers if layer.checked}
    assert set(checked) == {"sum", "inner/deep", "product", "greatest"}
    run = ReferenceEngine(graph).run(inputs)
    whole = compare_with_reference(graph, path, None, Several(inputs), run)
    assert whole.ok
    assert whole.neurons_checked == found.neurons_checked
    with pytest.raises(UsageError, match="other samples"):
        compare_with_reference(graph, path, None, Several((inputs[0][::-1].copy(), inputs[1])), run)
    with pytest.raises(UsageError, match="takes 2 inputs; the samples have 1"):
        compare_with_reference(graph, path, None, Several(inputs[1:]), run)
    with pytest.raises(DatasetError, match="takes 2 inputs; dataset digits has one"):
        check_dataset(graph, load("digits", limit=1))
    # The same from a recording.
    recording = tmp_path / "recorded.npz"
    theirs = TensorFlowReference(path).predict(inputs)
    arrays = {f"inputs_{i}": array for i, array in enumerate(inputs)} | {
        f"outputs_{i}": a for i, a in enumerate(theirs)
    }
    np.savez(recording, **arrays)
    recorded = load_recorded(recording)
    again = compare_recorded(graph, ReferenceEngine(graph).run(recorded.inputs), recorded)
    assert again.ok, again.first_divergence
    assert again.neurons_checked == sum(array.size for array in theirs)


@dataclass(frozen=True)
class Several:
    """Samples of a model with several inputs."""

    inputs: tuple[npt.NDArray[np.float32], ...]
    labels: None = None
