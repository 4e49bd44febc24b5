"""Attention, embeddings, masks and merges in files of Keras 2: tf-keras, which wrote them, is the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import FORMATS, FloatArray, lowered, samples, stirred
from needed import needed

from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tf_keras() -> Any:
    import_tensorflow()
    return needed("tf_keras")


def holes(*shape: int, seed: int) -> FloatArray:
    """Samples some of whose steps are 0 throughout, the first none."""
    values = samples(*shape, seed=seed)
    gone = np.random.default_rng(seed).random(values.shape[:2]) < 0.4
    gone[:, 0] = False
    values[gone] = 0
    return values


def assert_agrees(model: Any, folder: Path, suffix: str, *inputs: FloatArray) -> None:
    graph = lowered(model, folder, suffix)
    run = ReferenceEngine(graph).run(inputs)
    fast = LanesEngine(graph).run(inputs, keep="all")
    for name, array in run.values.items():
        np.testing.assert_array_equal(fast.values[name], array, err_msg=name)
    for number, tensor in enumerate(model(list(inputs))):
        wanted = np.asarray(tensor, np.float32).reshape(len(inputs[0]), -1)
        feeder = graph.groups[graph.channels_into(graph.sinks[number])[0].src].name
        found = run.values[feeder].reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5, err_msg=feeder)


@pytest.mark.parametrize("suffix", FORMATS)
def test_attention(tf_keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = tf_keras.layers
    q, v = tf_keras.Input((3, 4), name="q"), tf_keras.Input((5, 4), name="v")
    mq, mv = layers.Masking()(q), layers.Masking()(v)
    outputs = [
        layers.Attention(use_scale=True)([q, v]),
        layers.Attention(score_mode="concat")([mq, mv]),
        layers.Attention()([mq, mv], use_causal_mask=True),
        layers.AdditiveAttention()([mq, mv]),
        layers.MultiHeadAttention(2, 3)(q, v),
        layers.MultiHeadAttention(2, 3, value_dim=2, output_shape=5)(mq, mv),
        layers.MultiHeadAttention(2, 3)(mq, mv, use_causal_mask=True),
        *layers.MultiHeadAttention(1, 2, use_bias=False)(q, mv, return_attention_scores=True),
    ]
    model = stirred(tf_keras.Model([q, v], outputs))
    assert_agrees(model, tmp_path, suffix, holes(3, 4, seed=1), holes(5, 4, seed=2))


@pytest.mark.parametrize("suffix", FORMATS)
def test_masks_of_merges(tf_keras: Any, tmp_path: Path, suffix: str) -> None:
    """A step counts where it does in all inputs that have a mask."""
    layers = tf_keras.layers
    x = tf_keras.Input((5, 3), name="x")
    m, other = layers.Masking()(x), layers.Masking(1.0)(x)
    merges = [layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]
    merges += [lambda: layers.Concatenate(axis=-1)]
    pairs = ([m, other], [m, x], [x, m], [m, m])
    outputs = [layers.GlobalAveragePooling1D()(make()(pair)) for make in merges for pair in pairs]
    values = holes(5, 3, seed=4)
    values[:, 3] = 1
    assert_agrees(tf_keras.Model([x], outputs), tmp_path, suffix, values)


@pytest.mark.parametrize("suffix", FORMATS)
def test_embeddings_dot_and_sums_of_products(tf_keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = tf_keras.layers
    words, x = tf_keras.Input((4,), dtype="int32", name="words"), tf_keras.Input((4, 3), name="x")
    made = layers.Embedding(5, 3, mask_zero=True)(words)
    outputs = [
        layers.GlobalAveragePooling1D()(layers.Dropout(0.1)(made)),
        layers.Dot((1, 1))([made, x]),
        layers.Dot(2, normalize=True)([made, x]),
        layers.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d", activation="relu")(x),
    ]
    numbers = np.random.default_rng(5).integers(0, 5, (4, 4)).astype(np.float32)
    numbers[:, 0] = 1
    assert_agrees(stirred(tf_keras.Model([words, x], outputs)), tmp_path, suffix, numbers, samples(4, 3, seed=2))


@pytest.mark.parametrize("suffix", FORMATS)
def test_softmax_of_what_is_masked(tf_keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = tf_keras.layers
    x, mask = tf_keras.Input((3, 5), name="x"), tf_keras.Input((3, 5), name="mask")
    outputs = [layers.Softmax()(x, mask=mask), layers.Softmax(axis=[1, 2])(x, mask=mask)]
    values = (np.random.default_rng(1).random((6, 3, 5)) < 0.5).astype(np.float32)
    assert_agrees(tf_keras.Model([x, mask], outputs), tmp_path, suffix, samples(3, 5, seed=1, count=6), values)
