"""Configs of real models with values that no layer should have: each file is lowered or refused, in one message.

What Keras writes for every family of layers is changed in one to three places: sizes of zero, negative and huge ones,
values of other types, missing keys, other names. The weights stay as they are.
"""

from __future__ import annotations

import copy
import io
import json
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphsim.errors import ModelError
from graphsim.frontends.keras import lower
from graphsim.zoo.quiet import import_tensorflow

CASES = 60
FAMILIES = ("conv", "grow", "text", "attention", "embedding", "shared", "state", "orders", "images")
SECONDS = 10.0
ODD: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    3,
    7,
    1 << 20,
    1 << 40,
    2**63,
    -(2**63),
    0.5,
    -1.5,
    1e300,
    True,
    False,
    None,
    "",
    "x",
)
ODD += ("same", "valid", "relu", "channels_first", [], {}, [0], [1, 1], [-1, 2], [1 << 40], [[1, 2], [3, 4]], [None])


def _models(keras: Any) -> dict[str, Any]:
    """A few models that together have layers of every family."""
    layers = keras.layers

    def net(shape: tuple[int, ...], *parts: Any) -> Any:
        return keras.Sequential([keras.Input(shape), *parts])

    image = (8, 8, 3)
    return {
        "conv": net(
            image,
            layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.MaxPooling2D(2),
            layers.SeparableConv2D(3, 2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ),
        "grow": net(
            (4, 4, 2),
            layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
            layers.UpSampling2D(2),
            layers.UpSampling2D((1, 2), interpolation="bilinear"),
            layers.Cropping2D(((1, 1), (2, 0))),
            layers.AveragePooling2D(3, padding="same"),
            layers.Permute((2, 1, 3)),
            layers.LayerNormalization(),
            layers.GroupNormalization(2),
            layers.Flatten(),
            layers.RepeatVector(3),
            layers.Reshape((-1, 3)),
            layers.UnitNormalization(),
        ),
        "text": net(
            (6, 3),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
            layers.GRU(3, return_sequences=True),
            layers.TimeDistributed(layers.Dense(2)),
            layers.SimpleRNN(2),
        ),
        "attention": _attention(keras),
        "embedding": _embedding(keras),
        "shared": _shared(keras),
        "state": _state(keras),
        "orders": _orders(keras),
        "images": net(
            (6, 5, 2),
            layers.Resizing(4, 7, interpolation="bicubic"),
            layers.Resizing(5, 3, interpolation="lanczos3", antialias=True),
            layers.UpSampling2D((2, 1), interpolation="lanczos5"),
            layers.AdaptiveMaxPooling2D((3, 2)),
            layers.AdaptiveAveragePooling2D((2, 3)),
        ),
    }


def _attention(keras: Any) -> Any:
    layers = keras.layers
    x, context = keras.Input((4, 6)), keras.Input((3, 6))
    heads = layers.MultiHeadAttention(2, 3, value_dim=2)
    y, scores = heads(x, context, return_attention_scores=True)
    y = layers.LayerNormalization()(layers.Add()([x, y]))
    y = layers.GroupQueryAttention(3, 4, 2)(y, context, use_causal_mask=True)
    z = layers.Attention(use_scale=True, score_mode="concat")([y, context])
    y = layers.Concatenate()([z, layers.AdditiveAttention()([y, context], use_causal_mask=True)])
    y = layers.EinsumDense("abc,cde->abde", output_shape=(4, 3, 2), bias_axes="de", activation="relu")(y)
    return keras.Model([x, context], [layers.Flatten()(y), layers.Softmax(axis=(2, 3))(scores)])


def _embedding(keras: Any) -> Any:
    layers = keras.layers
    words, x = keras.Input((4,), dtype="int32"), keras.Input((4, 3))
    y = layers.Embedding(5, 3, mask_zero=True)(words)
    y = layers.Add()([layers.Masking(0.5)(x), y])
    y = layers.Multiply()([y, layers.Maximum()([x, y])])
    y = layers.GRU(2, return_sequences=True, go_backwards=True)(y)
    y = layers.MultiHeadAttention(2, 2)(y, y)
    y = layers.Dot((2, 1), normalize=True)([y, layers.Permute((2, 1))(y)])
    pooled = layers.GlobalAveragePooling1D()(layers.Concatenate(axis=1)([y, y]))
    return keras.Model([words, x], layers.Average()([pooled, layers.Dense(4)(pooled)]))


def _shared(keras: Any) -> Any:
    """A model in a model, called twice, and operations between layers."""
    layers, ops = keras.layers, keras.ops
    inner_x, inner_z = keras.Input((3, 2)), keras.Input((3, 2))
    dense = layers.Dense(2, activation="tanh")
    inner = keras.Model([inner_x, inner_z], [dense(inner_x), layers.Subtract()([dense(inner_z), inner_x])])
    x = keras.Input((3, 2))
    one, other = inner([x, x * 2.0])
    one, other = inner([ops.relu(other) + one[:, ::-1], ops.concatenate([one[:, 1:], other[:, :1]], axis=1)])
    y = layers.TimeDistributed(keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dropout(0.5)]))(one)
    y = ops.matmul(ops.transpose(y, (0, 2, 1)), ops.softmax(other, axis=1))
    return keras.Model(x, [ops.max(y, axis=-1), ops.reshape(ops.sum(one, axis=1, keepdims=True), (-1, 2))])


def _orders(keras: Any) -> Any:
    """Operations between layers that put elements in order, or fold them."""
    ops, x = keras.ops, keras.Input((4, 4))
    greatest, numbers = ops.top_k(x, 2)
    y = ops.take_along_axis(x, numbers, axis=-1) + greatest * ops.median(x, axis=1, keepdims=True)[:, :, :1]
    z = ops.tril(ops.sort(x, axis=1), 1) + ops.rot90(ops.triu(x), axes=(1, 2)) + ops.cumprod(ops.normalize(x), axis=1)
    parts = ops.array_split(ops.mod(z, 1.5), 3, axis=2)
    folded = [ops.norm(y, axis=2), ops.logsumexp(z, axis=1), ops.diagonal(z, axis1=1, axis2=2), ops.argsort(z[:, 0])]
    return keras.Model(x, [*parts, *folded, ops.hypot(y, y), *ops.moments(z, axes=(1,))])


def _state(keras: Any) -> Any:
    """Recurrent layers with every option, cells by themselves, and states that are handed on."""
    layers = keras.layers
    x = keras.Input(batch_shape=(1, 4, 3))
    y, h, c = layers.LSTM(2, return_state=True, return_sequences=True, go_backwards=True)(layers.Masking()(x))
    y = layers.LSTM(2, return_sequences=True, stateful=True, recurrent_activation="hard_sigmoid")(y)
    y = layers.LSTM(2, return_sequences=True)(y, initial_state=[h, c])
    y = layers.GRU(2, return_sequences=True, reset_after=False, use_bias=False)(y)
    y = layers.Bidirectional(layers.SimpleRNN(2, return_sequences=True), merge_mode="ave")(y)
    cells = [layers.LSTMCell(2), layers.GRUCell(3)]
    return keras.Model(x, layers.RNN(layers.StackedRNNCells(cells), unroll=True)(y))


@pytest.fixture(scope="module")
def archives(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The models as ``.keras`` files."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, model in _models(keras).items():
        model.save(folder / f"{name}.keras")
        found[name] = (folder / f"{name}.keras").read_bytes()
    return found


@pytest.fixture(scope="module")
def keras() -> Any:
    return import_tensorflow()[1]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in nested JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from _places(item)


def _mutated(config: Any, rng: random.Random) -> Any:
    changed = copy.deepcopy(config)
    for _ in range(rng.choice((1, 1, 2, 3))):
        layer = rng.choice(changed["config"]["layers"])
        places = list(_places(layer))
        container, key = rng.choice(places)
        alike = [(other, k) for other, k in _places(changed["config"]["layers"]) if k == key and k != "config"]
        if isinstance(container, dict) and rng.random() < 0.15:
            del container[key]
        elif rng.random() < 0.3:  # what has the same name elsewhere: other sizes, other tensors
            other, _ = rng.choice(alike or [(container, key)])
            container[key] = copy.deepcopy(other[key])
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return changed


@pytest.mark.parametrize("name", FAMILIES)
def test_odd_configs_are_lowered_or_refused(name: str, archives: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"{name}.keras"
    path.write_bytes(archives[name])
    lower(path)
    with zipfile.ZipFile(io.BytesIO(archives[name])) as zf:
        members = {member: zf.read(member) for member in zf.namelist()}
    config = json.loads(members["config.json"])
    rng = random.Random(name)
    verdicts = {"lowered": 0, "refused": 0}
    for case in range(CASES):
        mutated = json.dumps(_mutated(config, rng)).encode()
        with zipfile.ZipFile(path, "w") as zf:
            for member, data in members.items():
                zf.writestr(member, mutated if member == "config.json" else data)
        began = time.monotonic()
        try:
            lower(path)
            verdicts["lowered"] += 1
        except ModelError as error:
            verdicts["refused"] += 1
            assert str(path) in str(error), f"case {case}: {error}"
        except Exception as error:
            raise AssertionError(f"case {case}: {mutated.decode()}") from error
        assert time.monotonic() - began < SECONDS, f"case {case} takes too long: {mutated.decode()}"
    assert min(verdicts.values()) > 0, verdicts
