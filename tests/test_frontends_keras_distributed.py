"""TimeDistributed: recurrent layers and models with such layers, for every step of another axis."""

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

from graphsim.errors import UnsupportedLayerError
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
