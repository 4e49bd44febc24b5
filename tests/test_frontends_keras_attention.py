"""Attention of every kind: every option, saved by Keras, against TensorFlow within the bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import node, write_legacy
from keras_models import FORMATS, FloatArray, assert_both_formats_agree, assert_within_bounds, samples, saved, stirred

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.zoo.quiet import import_tensorflow

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def holes(*shape: int, seed: int) -> FloatArray:
    """Samples some of whose steps are 0 throughout, the first none."""
    values = samples(*shape, seed=seed)
    gone = np.random.default_rng(seed).random(values.shape[:2]) < 0.4
    gone[:, 0] = False
    values[gone] = 0
    return values


@slow
def test_attention(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    q, v, k = (keras.Input(shape, name=name) for name, shape in (("q", (3, 4)), ("v", (5, 2)), ("k", (5, 4))))
    w = keras.Input((5, 4), name="w")
    outputs = []
    for options in (
        {},
        {"use_scale": True, "dropout": 0.5},
        {"score_mode": "concat"},
        {"score_mode": "concat", "use_scale": True},
    ):
        outputs += [
            layers.Attention(**options)([q, v, k]),
            layers.Attention(**options)([q, w], use_causal_mask=True),
            *layers.Attention(**options)([q, v, k], return_attention_scores=True),
        ]
    for has_scale in (True, False):
        outputs += [
            layers.AdditiveAttention(use_scale=has_scale)([q, v, k]),
            layers.AdditiveAttention(use_scale=has_scale)([q, w], use_causal_mask=True),
            *layers.AdditiveAttention(use_scale=has_scale)([q, w], return_attention_scores=True),
        ]
    model = stirred(keras.Model([q, v, k, w], outputs))
    inputs = samples(3, 4, seed=1), samples(5, 2, seed=2), samples(5, 4, seed=3), samples(5, 4, seed=4)
    assert_both_formats_agree(model, tmp_path, *inputs)


@slow
def test_masked_attention(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    q, v = keras.Input((3, 4), name="q"), keras.Input((5, 4), name="v")
    mq, mv = layers.Masking()(q), layers.Masking()(v)
    outputs = []
    for kind in (layers.Attention, layers.AdditiveAttention):
        outputs += [
            kind()([mq, mv]),
            kind()([mq, v]),
            kind()([q, mv, v]),
            kind()([mq, mv], use_causal_mask=True),
            layers.GlobalAveragePooling1D()(kind()([mq, mv])),
        ]
    model = stirred(keras.Model([q, v], outputs))
    assert_both_formats_agree(model, tmp_path, holes(3, 4, seed=1), holes(5, 4, seed=2))


@slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_multi_head_attention(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    q, v, k = (keras.Input(shape, name=name) for name, shape in (("q", (3, 4)), ("v", (5, 6)), ("k", (5, 3))))
    outputs = [
        layers.MultiHeadAttention(2, 3)(q, v),
        layers.MultiHeadAttention(1, 4, value_dim=2, use_bias=False)(q, v, k),
        layers.MultiHeadAttention(3, 2, output_shape=5, dropout=0.3)(q, v, k),
        layers.MultiHeadAttention(2, 2, output_shape=(2, 3))(q, q),
        layers.MultiHeadAttention(2, 2)(q, q, use_causal_mask=True),
        layers.MultiHeadAttention(2, 2, dropout=0.1)(q, v, use_causal_mask=True),
        layers.MultiHeadAttention(2, 2, sliding_window=2)(q, v),
        layers.MultiHeadAttention(2, 2, sliding_window=2)(v, v, use_causal_mask=True),
        layers.MultiHeadAttention(2, 3, value_dim=2, use_gate=True)(q, v),
        *layers.MultiHeadAttention(2, 3, attention_axes=1)(q, v, return_attention_scores=True),
        *layers.MultiHeadAttention(2, 3)(q, v, return_attention_scores=True, use_causal_mask=True),
    ]
    model = stirred(keras.Model([q, v, k], outputs))
    inputs = samples(3, 4, seed=1), samples(5, 6, seed=2), samples(5, 3, seed=3)
    assert_within_bounds(saved(model, tmp_path, suffix), *inputs)


@slow
def test_masked_multi_head_attention(keras: Any, tmp_path: Path) -> None:
    """Queries without any key that counts are among the samples: fused, they see the mean of all values, else 0."""
    layers = keras.layers
    q, v = keras.Input((3, 4), name="q"), keras.Input((5, 4), name="v")
    given = keras.Input((3, 5), name="given")
    mq, mv = layers.Masking()(q), layers.Masking()(v)
    outputs = []
    for dropout in (0.0, 0.2):
        make = lambda dropout=dropout: layers.MultiHeadAttention(2, 3, dropout=dropout)  # noqa: E731
        outputs += [
            make()(mq, mv),
            make()(q, mv),
            make()(mq, v),
            make()(mq, mv, use_causal_mask=True),
            make()(q, v, attention_mask=given),
            make()(mq, mv, mv, attention_mask=given, use_causal_mask=True),
            layers.GlobalAveragePooling1D()(make()(mq, mv)),
            *make()(mq, mv, return_attention_scores=True),
        ]
    model = stirred(keras.Model([q, v, given], outputs))
    mask = np.random.default_rng(3).integers(0, 2, (4, 3, 5)).astype(np.float32)
    mask[0, 0] = 0
    assert_both_formats_agree(model, tmp_path, holes(3, 4, seed=1), holes(5, 4, seed=2), mask)


@slow
def test_multi_head_attention_over_several_axes(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    q, v = keras.Input((2, 3, 4), name="q"), keras.Input((2, 3, 5), name="v")
    outputs = [
        layers.MultiHeadAttention(2, 3)(q, v),
        layers.MultiHeadAttention(2, 3, attention_axes=(2,))(q, v),
        layers.MultiHeadAttention(2, 3, attention_axes=1)(q, v),
    ]
    model = stirred(keras.Model([q, v], outputs))
    inputs = samples(2, 3, 4, seed=1), samples(2, 3, 5, seed=2)
    assert_within_bounds(saved(model, tmp_path, ".keras"), *inputs)


@slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_grouped_query_attention(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    q, v = keras.Input((3, 4), name="q"), keras.Input((5, 4), name="v")
    outputs = [
        layers.GroupQueryAttention(3, 4, 2)(q, v),
        layers.GroupQueryAttention(2, 4, 1, use_bias=False)(q, q, use_causal_mask=True),
        layers.GroupQueryAttention(2, 2, 2, dropout=0.2)(q, v, v),
        *layers.GroupQueryAttention(2, 4, 2)(q, v, return_attention_scores=True),
    ]
    model = stirred(keras.Model([q, v], outputs))
    assert_within_bounds(saved(model, tmp_path, suffix), samples(3, 4, seed=1), samples(5, 4, seed=2))


@slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_einsum_dense(keras: Any, tmp_path: Path, suffix: str) -> None:
    dense = keras.layers.EinsumDense
    x = keras.Input((3, 4, 5), name="x")
    row = keras.Input((4,), name="row")
    outputs = [
        dense("ab,bc->ac", 6, bias_axes="c", activation="relu")(row),
        dense("abcd,de->abce", (None, None, 2), bias_axes="e")(x),
        dense("...x,xy->...y", 2, bias_axes="y", activation="softmax")(x),
        dense("abcd,cde->abe", (None, 6))(x),
        dense("abcd,bde->abce", (3, 4, 2), bias_axes="be")(x),
        dense("abcd,bcef->adfe", (5, 2, 3), bias_axes="d", activation="tanh")(x),
        dense("abcd,ecd->aeb", (2, 3), bias_axes="e")(x),
    ]
    model = stirred(keras.Model([x, row], outputs))
    assert_within_bounds(saved(model, tmp_path, suffix), samples(3, 4, 5), samples(4))


@pytest.mark.parametrize(
    ("equation", "shape", "reason"),
    [
        ("ab,ac->bc", [2], "batch axis"),
        ("ab->a", [2], "two operands"),
        ("ab,cd->ad", [2], "how large c"),
        ("aab,bc->aac", [2], "two operands"),
    ],
)
def test_equations_that_are_refused(tmp_path: Path, equation: str, shape: list[int], reason: str) -> None:
    inside = {
        "name": "m",
        "layers": [
            node("InputLayer", "x", [], batch_input_shape=[None, 3]),
            node("EinsumDense", "e", [[["x", 0, 0, {}]]], equation=equation, output_shape=shape, bias_axes=None),
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["e", 0, 0]],
    }
    path = write_legacy(tmp_path / "m.h5", {"class_name": "Model", "config": inside}, {})
    with pytest.raises(UnsupportedLayerError, match=reason):
        lower(path)


def test_calls_that_are_refused(tmp_path: Path) -> None:
    inside = {
        "name": "m",
        "layers": [
            node("InputLayer", "x", [], batch_input_shape=[None, 3, 2]),
            node("Attention", "alone", [[["x", 0, 0, {}]]]),
            node("Attention", "scored", [[["x", 0, 0, {"scores": 3}], ["x", 0, 0, {"scores": 3}]]]),
            node("MultiHeadAttention", "heads", [[["x", 0, 0, {}]]], num_heads=1, key_dim=2),
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["alone", 0, 0], ["scored", 0, 0], ["heads", 0, 0]],
    }
    path = write_legacy(tmp_path / "m.h5", {"class_name": "Model", "config": inside}, {})
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(path)
    reasons = dict(caught.value.layers)
    assert "not called on a list" in reasons["alone"]
    assert "'scores'" in reasons["scored"]
    assert "query and value" in reasons["heads"]
