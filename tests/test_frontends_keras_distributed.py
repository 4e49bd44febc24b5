"""TimeDistributed: recurrent layers and models with such layers, for every step of another axis; ConvLSTM layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras_files import Json, layer, sequential, write_legacy
from keras_models import FloatArray, assert_within_bounds, samples, saved, stirred

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.passes import Unroll
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

OUTER, STEPS, FEATURES, UNITS = 3, 4, 3, 2


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def agree(keras: Any, folder: Path, inputs: Any, outputs: Sequence[Any], *arrays: FloatArray) -> Graph:
    """All engines agree to the bit, with each other, unrolled, and within the bounds with Keras."""
    model = stirred(keras.Model(inputs, list(outputs)))
    graph = assert_within_bounds(saved(model, folder, ".keras"), *arrays)
    given = arrays[0] if len(arrays) == 1 else arrays
    unrolled = Unroll().apply(graph)
    runs = [engine.run(given) for engine in (ReferenceEngine(graph), LanesEngine(graph), LanesEngine(unrolled))]
    for sink in (graph.groups[number].name for number in graph.sinks):
        for other in runs[1:]:
            np.testing.assert_array_equal(runs[0].values[sink], other.values[sink])
    return graph


def recurrent(layers: Any, kind: str, **options: Any) -> Any:
    return getattr(layers, kind)(UNITS, **options)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_recurrent_layer_for_every_step(keras: Any, tmp_path: Path, data: st.DataObject) -> None:
    layers, flags = keras.layers, st.booleans()
    kind = data.draw(st.sampled_from(["SimpleRNN", "LSTM", "GRU"]))
    options = {name: data.draw(flags, label=name) for name in ("return_sequences", "use_bias")}
    if kind == "GRU":
        options["reset_after"] = data.draw(flags)
    inner = recurrent(layers, kind, **options)
    if data.draw(flags, label="both directions"):
        inner = layers.Bidirectional(inner, merge_mode=data.draw(st.sampled_from(["concat", "sum", "mul", "ave"])))
    else:
        inner.go_backwards = data.draw(flags, label="backwards")
    outer = data.draw(st.integers(1, 3), label="outer steps")
    steps = data.draw(st.integers(1, 4), label="inner steps")
    x = keras.Input((outer, steps, FEATURES), name="x")
    graph = agree(keras, tmp_path, x, [layers.TimeDistributed(inner)(x)], samples(outer, steps, FEATURES, count=2))
    # The rows of one group side by side, not one after the other.
    assert max(g.firings for g in graph.groups) == steps


def chain(layers: Any) -> Any:
    return [
        layers.Dense(3, activation="tanh"),
        layers.LSTM(UNITS, return_sequences=True),
        layers.Dropout(0.5),
        layers.Bidirectional(layers.GRU(UNITS, return_sequences=True)),
        layers.SimpleRNN(3),
        layers.Dense(2, activation="softmax"),
    ]


def test_models_with_recurrent_layers_for_every_step(keras: Any, tmp_path: Path) -> None:
    layers, each = keras.layers, keras.layers.TimeDistributed
    x, frames = keras.Input((OUTER, STEPS, FEATURES), name="x"), keras.Input((2, OUTER, 4, 4, 2), name="frames")
    encoder = keras.Sequential([keras.Input((STEPS, FEATURES)), *chain(layers)])
    step = keras.Input((STEPS, FEATURES))
    whole, *states = layers.LSTM(UNITS, return_state=True, return_sequences=True)(step)
    decoder = keras.Model(step, layers.LSTM(UNITS, return_sequences=True)(whole, initial_state=states))
    cells = layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(3)])
    outputs = [
        layers.LSTM(2)(each(encoder)(x)),
        each(decoder)(x),
        each(layers.RNN(cells, return_sequences=True))(x),
        each(layers.GRU(UNITS, activation="softmax"))(x),
        each(each(layers.Conv2D(2, 2)))(frames),
        each(each(layers.Dense(3, activation="relu")))(x),
        each(keras.Sequential([keras.Input((OUTER, 4, 4, 2)), each(layers.Flatten()), layers.GRU(2)]))(frames),
    ]
    graph = agree(
        keras,
        tmp_path,
        [x, frames],
        outputs,
        samples(OUTER, STEPS, FEATURES, count=2),
        samples(2, OUTER, 4, 4, 2, count=2),
    )
    assert max(g.firings for g in graph.groups) == 2 * OUTER


def words(*shape: int) -> FloatArray:
    """Numbers of words of which many are 0."""
    return np.random.default_rng(4).integers(0, 4, shape).astype(np.float32)


MASKED: dict[str, Callable[[Any], Any]] = {
    "a layer": lambda layers: layers.LSTM(UNITS, return_sequences=True),
    "the last step": lambda layers: layers.GRU(UNITS),
    "both directions": lambda layers: layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True)),
}


@pytest.mark.parametrize("name", MASKED)
def test_words_that_are_masked_in_each_sentence(keras: Any, tmp_path: Path, name: str) -> None:
    layers, each = keras.layers, keras.layers.TimeDistributed
    text = keras.Input((OUTER, STEPS), name="text")
    inner = keras.Sequential(
        [keras.Input((STEPS,)), layers.Embedding(4, FEATURES, mask_zero=True), MASKED[name](layers), layers.Flatten()]
    )
    outside = each(MASKED[name](layers))(layers.Embedding(4, FEATURES, mask_zero=True)(text))
    agree(keras, tmp_path, text, [each(inner)(text), layers.Dense(2)(outside)], words(5, OUTER, STEPS))


INNER: Json = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}


def test_states_that_are_carried_from_step_to_step_are_refused(tmp_path: Path) -> None:
    inner = layer("LSTM", "lstm", units=2, stateful=True, **INNER)
    config = sequential(
        layer("InputLayer", "x", batch_input_shape=[None, 2, 3, 4]), layer("TimeDistributed", "each", layer=inner)
    )
    with pytest.raises(UnsupportedLayerError, match="carries states, and a layer around it repeats it"):
        lower(write_legacy(tmp_path / "model.h5", config, {"x": {}}))


OPTIONS: list[Json] = [
    {"return_sequences": True},
    {"padding": "same", "return_sequences": True, "go_backwards": True},
    {"padding": "same", "dilation_rate": 2, "use_bias": False},
    {"strides": 2, "activation": "relu", "return_state": True},
    {"recurrent_activation": "hard_sigmoid", "return_sequences": True, "padding": "same"},
]


@pytest.mark.parametrize("rank", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_recurrent_convolutions_agree(keras: Any, tmp_path: Path, rank: int) -> None:
    """ConvLSTM1D, ConvLSTM2D, ConvLSTM3D."""
    conv = getattr(keras.layers, f"ConvLSTM{rank}D")
    size = (6, 5, 4)[:rank]
    x, mask = keras.Input((3, *size, 2), name="x"), keras.Input((3,), name="mask")
    outputs = [conv(2, 2, **options)(x) for options in (OPTIONS if rank < 3 else OPTIONS[:2])]
    outputs.append(conv(2, 2, return_sequences=True)(x, mask=keras.ops.cast(mask, "bool")))
    h = conv(2, 3, padding="same")(x)
    outputs.append(conv(2, (2, 3, 1)[:rank], padding="same", return_sequences=True)(x, initial_state=[h, h]))
    on = np.array([[1, 1, 0], [0, 1, 1]], np.float32)
    agree(keras, tmp_path, [x, mask], keras.tree.flatten(outputs), samples(3, *size, 2, count=2), on)


@pytest.mark.slow
def test_recurrent_convolutions_in_other_layers_agree(keras: Any, tmp_path: Path) -> None:
    """In Bidirectional, in TimeDistributed, and both at once."""
    layers, x, films = keras.layers, keras.Input((3, 5, 2), name="x"), keras.Input((2, 3, 4, 3, 1), name="films")
    conv, image = layers.ConvLSTM1D, layers.ConvLSTM2D
    outputs = [
        layers.Bidirectional(conv(2, 2, padding="same", return_sequences=True))(x),
        layers.Bidirectional(conv(2, 2, return_state=True), merge_mode="mul")(x),
        layers.TimeDistributed(image(2, 2, padding="same", return_sequences=True))(films),
        layers.TimeDistributed(image(2, 2, strides=2, go_backwards=True))(films),
        layers.TimeDistributed(layers.Bidirectional(image(1, (2, 1), use_bias=False), merge_mode="sum"))(films),
    ]
    agree(
        keras, tmp_path, [x, films], keras.tree.flatten(outputs), *(samples(*t.shape[1:], count=2) for t in (x, films))
    )


def test_recurrent_convolutions_with_channels_first_compute_the_same(keras: Any, tmp_path: Path) -> None:
    """TensorFlow has no such convolutions on a CPU. Small whole numbers make sums that no order changes."""
    rng = np.random.default_rng(2)
    layers, x = keras.layers, rng.integers(0, 2, (4, 2, 5, 4, 2)).astype(np.float32)
    options = {"padding": "same", "activation": "relu", "recurrent_activation": "relu"}
    model = keras.Sequential([keras.Input((2, 5, 4, 2)), layers.ConvLSTM2D(3, 2, **options)])
    turned = keras.Sequential(
        [keras.Input((2, 2, 5, 4)), layers.ConvLSTM2D(3, 2, data_format="channels_first", **options)]
    )
    arrays = [rng.choice([-1, 0, 0, 1, 1], weight.shape) for weight in model.weights]
    values = []
    for net, suffix, pixels in ((model, ".h5", x), (turned, ".keras", np.moveaxis(x, -1, 2))):
        net.set_weights(arrays)
        values.append(ReferenceEngine(lower(saved(net, tmp_path, suffix))).run(pixels).values["sink"])
    assert 0 < values[0].max() < 2**24
    np.testing.assert_array_equal(values[0].reshape(4, 5, 4, 3), np.moveaxis(values[1].reshape(4, 3, 5, 4), 1, -1))


def test_a_recurrent_convolution_of_what_has_too_few_axes_is_refused(tmp_path: Path) -> None:
    inner = layer("ConvLSTM2D", "r", filters=2, kernel_size=[2, 2], **INNER)
    config = sequential(layer("InputLayer", "x", batch_input_shape=[None, 3, 4, 2]), inner)
    with pytest.raises(ModelError, match="takes steps of 2 axes and channels"):
        lower(write_legacy(tmp_path / "model.h5", config, {"x": {}}))
