"""Merges, embeddings and masks: saved by Keras, against TensorFlow within the bounds; and what Keras 1 called Merge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import layer, node, write_legacy
from keras_models import FORMATS, FloatArray, assert_both_formats_agree, assert_within_bounds, samples, saved, stirred

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def classes(*shape: int, of: int = 5) -> FloatArray:
    return np.random.default_rng(5).integers(0, of, (6, *shape)).astype(np.float32)


@slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_merges(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    x, y, row = keras.Input((3, 2), name="x"), keras.Input((3, 2), name="y"), keras.Input((2,), name="row")
    merged = [
        layers.Add()([x, y, x]),
        layers.Add()([x, row]),
        layers.Subtract()([x, y]),
        layers.Multiply()([x, y, row]),
        layers.Average()([x, y, y]),
        layers.Maximum()([x, y]),
        layers.Minimum()([x, row]),
        layers.Concatenate()([x, y]),
        layers.Concatenate(axis=1)([x, y, x]),
        layers.Concatenate(axis=-2)([x, y]),
    ]
    model = stirred(keras.Model([x, y, row], merged))
    inputs = samples(3, 2, seed=1), samples(3, 2, seed=2), samples(2, seed=3)
    assert_within_bounds(saved(model, tmp_path, suffix), *inputs)


@slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_dot(keras: Any, tmp_path: Path, suffix: str) -> None:
    dot = keras.layers.Dot
    u, v = keras.Input((3,), name="u"), keras.Input((3,), name="v")
    x, y = keras.Input((4, 3), name="x"), keras.Input((3, 5), name="y")
    z = keras.Input((2, 3, 4), name="z")
    made = [
        dot(1)([u, v]),
        dot(-1, normalize=True)([u, v]),
        dot((2, 1))([x, y]),
        dot((2, 1), normalize=True)([x, y]),
        dot((1, 2))([u, x]),
        dot((1, 1))([y, u]),
        dot((3, 1))([z, x]),
        dot((1, 2))([y, z]),
    ]
    model = keras.Model([u, v, x, y, z], made)
    inputs = samples(3, seed=1), samples(3, seed=2), samples(4, 3, seed=3), samples(3, 5, seed=4), samples(2, 3, 4)
    assert_within_bounds(saved(model, tmp_path, suffix), *inputs)


@slow
def test_embeddings(keras: Any, tmp_path: Path) -> None:
    """Rows from the end among them; and an input that no output depends on."""
    layers = keras.layers
    words = keras.Input((4,), dtype="int32", name="words")
    pairs = keras.Input((2, 3), name="pairs")
    outputs = [
        layers.Dense(2)(layers.Embedding(5, 3)(words)),
        layers.GlobalAveragePooling1D()(layers.Embedding(5, 2, mask_zero=True)(words)),
        layers.Embedding(5, 2)(pairs),
    ]
    model = stirred(keras.Model([words, keras.Input((2,), name="unread"), pairs], outputs))
    numbers = classes(4)
    numbers[:2] -= 5
    assert_both_formats_agree(model, tmp_path, numbers, samples(2, count=6), classes(2, 3))


def masked(keras: Any) -> tuple[Any, Any, FloatArray]:
    """An input of steps, masked, and samples some of whose steps are 0 throughout; none wholly."""
    x = keras.Input((5, 3), name="x")
    values = samples(5, 3, seed=4, count=6)
    values[np.random.default_rng(1).random((6, 5)) < 0.5] = 0
    values[:, 2] = 1
    values[0, 0, 0] = 0
    return x, keras.layers.Masking()(x), values


@slow
def test_masks_pass_through_layers_that_support_them(keras: Any, tmp_path: Path) -> None:
    """Seen by the mean over the steps that count."""
    layers = keras.layers
    x, m, values = masked(keras)
    chains: list[list[Any]] = [
        [layers.Dense(2)], [layers.Activation("tanh")], [layers.ReLU()], [layers.LeakyReLU()], [layers.ELU()],
        [layers.PReLU()], [layers.Dropout(0.5)], [layers.SpatialDropout1D(0.5)], [layers.GaussianNoise(0.5)],
        [layers.GaussianDropout(0.5)], [layers.AlphaDropout(0.5)], [layers.ActivityRegularization()],
        [layers.BatchNormalization()], [layers.LayerNormalization()], [layers.GroupNormalization(1)],
        [layers.UnitNormalization()], [layers.RMSNormalization()], [layers.Rescaling(2.0)], [layers.Identity()],
        [layers.Normalization(mean=0.5, variance=2.0)], [layers.Conv1D(2, 1)], [layers.Masking(1.0)],
        [layers.Reshape((3, 5))], [layers.Permute((2, 1))], [layers.MaxPooling1D(2)], [layers.ZeroPadding1D(1)],
        [layers.Cropping1D(1)], [layers.UpSampling1D(2)], [layers.EinsumDense("abc,cd->abd", (None, 2))],
        [layers.Dense(3), layers.Activation("sigmoid"), layers.Dropout(0.1)],
    ]  # fmt: skip
    outputs = [layers.GlobalAveragePooling1D()(m), layers.GlobalAveragePooling1D(keepdims=True)(m)]
    for chain in chains:
        y = m
        for one in chain:
            y = one(y)
        outputs.append(layers.GlobalAveragePooling1D()(y))
    model = stirred(keras.Model(x, outputs))
    assert_both_formats_agree(model, tmp_path, values)


@pytest.mark.slow
def test_a_softmax_leaves_out_what_is_masked(keras: Any, tmp_path: Path) -> None:
    """Rows of which nothing is left are 0, and an element counts where its mask is greater than one half."""
    layers = keras.layers
    x, mask = keras.Input((3, 5), name="x"), keras.Input((3, 5), name="mask")
    outputs = [
        layers.Softmax()(x, mask=mask),
        layers.Softmax(axis=1)(x, mask=mask > 0.5),
        layers.Softmax(axis=[1, 2])(x, mask=mask),
    ]
    values = np.random.default_rng(1).choice([0, 0.25, 0.5, 0.75, 1], (8, 3, 5)).astype(np.float32)
    values[:2, 1] = 0
    values[2] = 0
    model = keras.Model([x, mask], outputs)
    assert_both_formats_agree(model, tmp_path, samples(3, 5, seed=1, count=8), values)


@slow
def test_masks_of_merges(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    x, m, values = masked(keras)
    other = layers.Masking(1.0)(x)
    values[:, 4] = 1
    merges = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]
    merges += [layers.Concatenate, lambda: layers.Concatenate(axis=1), lambda: layers.Dot(2)]
    pairs = ([m, other], [m, x], [x, m], [m, m])
    outputs = [layers.GlobalAveragePooling1D()(make()(pair)) for make in merges for pair in pairs]
    model = keras.Model(x, outputs)
    assert_both_formats_agree(model, tmp_path, values)


def merge_v1(folder: Path, *shapes: tuple[int, ...], **config: Any) -> Graph:
    """Keras 1's Merge on inputs of these shapes."""
    names = [f"in{i}" for i in range(len(shapes))]
    nodes = [node("InputLayer", n, [], batch_input_shape=[None, *s]) for n, s in zip(names, shapes, strict=True)]
    merge = node("Merge", "merged", [[[n, 0, 0] for n in names]], **config)
    inside = {"name": "m", "layers": [*nodes, merge], "input_layers": [[n, 0, 0] for n in names]}
    inside["output_layers"] = [["merged", 0, 0]]
    model = {"class_name": "Model", "config": inside}
    return lower(write_legacy(folder / "v1.h5", model, {}, version="1.2.2"))


def cosine(a: FloatArray, b: FloatArray) -> Any:
    return (a * b).sum(1, keepdims=True) / np.sqrt((a * a).sum(1, keepdims=True) * (b * b).sum(1, keepdims=True))


V1: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any]]] = {
    "sum": (lambda a, b: a + b, {}),
    "mul": (lambda a, b: a * b, {}),
    "ave": (lambda a, b: (a + b) / 2, {}),
    "max": (np.maximum, {}),
    "concat": (lambda a, b: np.concatenate([a, b], 1), {"concat_axis": -1}),
    "dot": (lambda a, b: (a * b).sum(1, keepdims=True), {"dot_axes": -1}),
    "cos": (cosine, {"dot_axes": 1}),
}


@pytest.mark.parametrize("mode", V1)
def test_modes_of_keras_1(tmp_path: Path, mode: str) -> None:
    expected, config = V1[mode]
    graph = merge_v1(tmp_path, (3,), (3,), mode=mode, **config)
    a, b = samples(3, seed=1), samples(3, seed=2)
    found = ReferenceEngine(graph).run((a, b)).values["sink"]
    np.testing.assert_allclose(found.reshape(4, -1), expected(a, b), rtol=1e-6, atol=1e-6)


def test_dot_of_matrices_by_keras_1(tmp_path: Path) -> None:
    graph = merge_v1(tmp_path, (4, 3), (3, 5), mode="dot", dot_axes=[2, 1])
    a, b = samples(4, 3, seed=1), samples(3, 5, seed=2)
    found = ReferenceEngine(graph).run((a, b)).values["sink"]
    np.testing.assert_allclose(found.reshape(4, 4, 5), a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"mode": "<lambda>"}, "mode '<lambda>' of Keras 1's Merge is not lowered"),
        ({"mode": "cos", "dot_axes": 2}, "axis 2 is not an axis"),
        ({"mode": "dot", "dot_axes": [1, 1, 1]}, "one number or two"),
        ({"mode": "concat", "concat_axis": 0}, "batch axis"),
    ],
)
def test_what_is_refused(tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=reason):
        merge_v1(tmp_path, (3,), (3,), **config)


def test_tensors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for mode in ("sum", "concat", "dot"):
        with pytest.raises(UnsupportedLayerError, match="shapes"):
            merge_v1(tmp_path, (3, 2), (2, 4), mode=mode)


def test_masks_of_keras_2_count_where_all_do(tmp_path: Path) -> None:
    """Keras 2 keeps the mask of one input, and of two the steps that both have; Keras 3 neither."""
    inside = {
        "name": "m",
        "layers": [
            node("InputLayer", "x", [], batch_input_shape=[None, 3, 1]),
            node("Masking", "zeros", [[["x", 0, 0, {}]]], mask_value=0.0),
            node("Masking", "ones", [[["x", 0, 0, {}]]], mask_value=1.0),
            node("Add", "both", [[["zeros", 0, 0, {}], ["ones", 0, 0, {}]]]),
            node("Add", "one", [[["zeros", 0, 0, {}], ["x", 0, 0, {}]]]),
            node("GlobalAveragePooling1D", "mean_both", [[["both", 0, 0, {}]]]),
            node("GlobalAveragePooling1D", "mean_one", [[["one", 0, 0, {}]]]),
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["mean_both", 0, 0], ["mean_one", 0, 0]],
    }
    path = write_legacy(tmp_path / "m.h5", {"class_name": "Model", "config": inside}, {}, version="2.4.0")
    x = np.array([[[0], [1], [3]]], np.float32)
    values = ReferenceEngine(lower(path)).run(x).values
    # Step 0 becomes 0 + 0, step 1 1 + 0, step 2 3 + 3; both masks leave step 2, one leaves steps 1 and 2.
    assert values["mean_both"].item() == 6
    assert values["mean_one"].item() == (2 + 6) / 2


def test_an_embedding_of_keras_1(tmp_path: Path) -> None:
    config = [
        layer("Embedding", "words", batch_input_shape=[None, 3], input_dim=4, output_dim=2, input_length=3, dropout=0.2)
    ]
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    model = {"class_name": "Sequential", "config": config}
    path = write_legacy(tmp_path / "e.h5", model, {"words": {"words_W": table}}, version="1.2.2")
    values = ReferenceEngine(lower(path)).run(np.array([[3, 0, 2]], np.float32)).values["words"]
    np.testing.assert_array_equal(values, table[None, [3, 0, 2]])
