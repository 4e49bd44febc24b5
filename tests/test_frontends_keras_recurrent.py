"""Recurrent layers: every option, saved by Keras, against TensorFlow within the bounds, step by step; older files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from keras_files import Json, functional, layer, node, sequential, write_legacy
from keras_models import FORMATS, assert_within_bounds, samples, saved, stirred

from graphsim.compare import compare
from graphsim.compare.compare import wanted_tensors
from graphsim.compare.reference import TensorFlowReference
from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.graph.text import dump, parse
from graphsim.passes import unroll
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
STEPS, FEATURES, UNITS = 5, 4, 3
MASK = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def sequence(keras: Any) -> Any:
    return keras.Input((STEPS, FEATURES), name="x")


def agree(keras: Any, folder: Path, inputs: Any, outputs: Any, *arrays: FloatArray, suffix: str = ".keras") -> Graph:
    model = stirred(keras.Model(inputs, keras.tree.flatten(outputs)))
    return assert_within_bounds(saved(model, folder, suffix), *arrays)


OPTIONS: list[Json] = [
    {},
    {"return_sequences": True},
    {"go_backwards": True},
    {"go_backwards": True, "return_sequences": True, "return_state": True},
    {"return_state": True},
    {"use_bias": False, "return_sequences": True},
    {"unroll": True, "return_sequences": True},
    {"activation": "relu"},
    {"activation": "softmax", "return_sequences": True},
    {"activation": "linear"},
]
GATED: list[Json] = [
    {"implementation": 1, "return_sequences": True},
    {"implementation": 1, "use_bias": False},
    {"recurrent_activation": "hard_sigmoid", "return_sequences": True},
    {"recurrent_activation": "softmax"},
]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU", "GRU before"])
def test_every_option_agrees_at_every_step(keras: Any, tmp_path: Path, kind: str, suffix: str) -> None:
    options = OPTIONS if kind == "SimpleRNN" else OPTIONS + GATED
    name, *before = kind.split()
    if before:
        options = [{"reset_after": False, **option} for option in options]
    x = sequence(keras)
    outputs = [getattr(keras.layers, name)(UNITS, **option)(x) for option in options]
    agree(keras, tmp_path, x, outputs, samples(STEPS, FEATURES), suffix=suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_both_directions_and_cells_agree(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers, x = keras.layers, sequence(keras)
    both = layers.Bidirectional
    outputs = [
        both(layers.LSTM(UNITS, return_sequences=many), merge_mode=mode)(x)
        for mode in ("sum", "mul", "ave", "concat", None)
        for many in (False, True)
    ]
    outputs += [
        both(layers.GRU(UNITS, return_sequences=True, return_state=True))(x),
        both(
            layers.GRU(UNITS, return_sequences=True),
            backward_layer=layers.LSTM(2, go_backwards=True, return_sequences=True),
        )(x),
        layers.RNN(layers.GRUCell(UNITS), return_sequences=True)(x),
        layers.RNN(
            layers.StackedRNNCells(
                [layers.LSTMCell(3), layers.GRUCell(2), layers.SimpleRNNCell(2), layers.LSTMCell(4)]
            ),
            return_sequences=True,
            return_state=True,
        )(x),
        both(layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)])))(x),
    ]
    agree(keras, tmp_path, x, outputs, samples(STEPS, FEATURES), suffix=suffix)


@pytest.mark.slow
def test_states_that_start_from_tensors_agree(keras: Any, tmp_path: Path) -> None:
    layers, x = keras.layers, sequence(keras)
    h, c = keras.Input((UNITS,), name="h"), keras.Input((UNITS,), name="c")
    encoded, *states = layers.LSTM(UNITS, return_state=True)(x)
    outputs = [
        layers.LSTM(UNITS, return_sequences=True)(x, initial_state=[h, c]),
        layers.GRU(UNITS)(x, initial_state=h),
        layers.Bidirectional(layers.GRU(UNITS))(x, initial_state=[h, c]),
        layers.LSTM(UNITS, return_sequences=True)(x, initial_state=states),
        layers.Add()([encoded, h]),
    ]
    start = samples(UNITS, seed=1), samples(UNITS, seed=2)
    agree(keras, tmp_path, [x, h, c], outputs, samples(STEPS, FEATURES), *start)


@pytest.mark.slow
def test_masked_steps_hold_the_state(keras: Any, tmp_path: Path) -> None:
    layers, x = keras.layers, sequence(keras)
    mask, h, c = (
        keras.Input(shape, name=name) for shape, name in (((STEPS,), "mask"), ((UNITS,), "h"), ((UNITS,), "c"))
    )
    outputs = []
    for kind in (layers.SimpleRNN, layers.LSTM, layers.GRU):
        for options in OPTIONS[:5] + OPTIONS[6:7]:
            outputs.append(kind(UNITS, **options)(x, mask=mask))
            outputs.append(kind(UNITS, zero_output_for_mask=True, **options)(x, mask=mask))
    many = {"return_sequences": True, "return_state": True}
    outputs += [
        layers.LSTM(UNITS, **many)(x, mask=mask, initial_state=[h, c]),
        layers.LSTM(UNITS, zero_output_for_mask=True, **many)(x, mask=mask, initial_state=[h, c]),
        layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True))(x, mask=mask),
        layers.Bidirectional(layers.LSTM(UNITS))(x, mask=mask),
        layers.LSTM(UNITS)(layers.Dropout(0.5)(layers.LSTM(2, return_sequences=True)(x, mask=mask))),
        layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]), **many)(x, mask=mask),
    ]
    start = samples(UNITS, seed=1), samples(UNITS, seed=2)
    agree(keras, tmp_path, [x, mask, h, c], outputs, samples(STEPS, FEATURES), MASK, *start)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 6])
def test_layers_on_layers_agree_and_pass_steps_on(keras: Any, tmp_path: Path, steps: int) -> None:
    layers = keras.layers
    chain = [
        keras.Input((steps, FEATURES), name="x"),
        layers.LSTM(3, return_sequences=True, name="first"),
        layers.Dropout(0.2),
        layers.GRU(4, return_sequences=True, name="second"),
        layers.Dense(2, activation="relu"),
        layers.SimpleRNN(2, go_backwards=True),
        layers.Dense(3, activation="softmax"),
    ]
    path = saved(stirred(keras.Sequential(chain)), tmp_path, ".keras")
    graph = assert_within_bounds(path, samples(steps, FEATURES))
    feeders = {graph.groups[c.src].name for c in graph.channels_into(graph.number["second.z"])}
    assert feeders == {"first", "second"}, "a step of the second layer waits for the same step of the first alone"


@pytest.mark.slow
def test_a_shared_layer_shares_its_weights(keras: Any, tmp_path: Path) -> None:
    x, y = (keras.Input((STEPS, FEATURES), name=name) for name in "xy")
    shared = keras.layers.LSTM(UNITS, name="shared")
    arrays = samples(STEPS, FEATURES), samples(STEPS, FEATURES, seed=1)
    graph = agree(keras, tmp_path, [x, y], keras.layers.Subtract()([shared(x), shared(y)]), *arrays)
    assert {"shared.i", "shared:1.i"} <= set(graph.number)
    assert sum(array.size for name, array in graph.params.items() if "kernel" in name) == 4 * UNITS * (FEATURES + UNITS)


@pytest.mark.slow
@pytest.mark.parametrize(("param", "gate"), [("kernel.f", "f"), ("recurrent_kernel.o", "o")])
def test_a_wrong_weight_shows_at_its_gate_and_step(keras: Any, tmp_path: Path, param: str, gate: str) -> None:
    x = sequence(keras)
    path = saved(stirred(keras.Model(x, keras.layers.LSTM(UNITS, name="lstm")(x))), tmp_path, ".keras")
    graph, array = lower(path), samples(STEPS, FEATURES)
    name = f"lstm/cell/{param}"
    wrong = graph.params[name].copy()
    wrong[1, 2] += np.float32(1e-4)
    broken = Graph(graph.name, graph.groups, graph.channels, {**graph.params, name: wrong})
    shown = TensorFlowReference(path).run(array, len(array), wanted_tensors(graph))
    comparison = compare(broken, ReferenceEngine(broken).run(array), shown)
    assert {found.name for found in comparison.layers if found.outside} == {f"lstm.{gate}"}
    assert comparison.first_divergence is not None
    # The state before the first step is zero, so that its kernel shows from the second step on.
    assert comparison.first_divergence.actor == f"lstm.{gate}@{'10'[param == 'kernel.f']}[2]"


@pytest.mark.slow
def test_steps_are_what_the_layers_compute_to_the_last_bit(keras: Any, tmp_path: Path) -> None:
    layers, x = keras.layers, sequence(keras)
    kinds = [layers.SimpleRNN, layers.LSTM, layers.GRU]
    outputs = [kind(UNITS, return_sequences=True, name=kind.__name__)(x) for kind in kinds]
    outputs.append(layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True), merge_mode=None, name="both")(x))
    path = saved(stirred(keras.Model(x, keras.tree.flatten(outputs))), tmp_path, ".keras")
    reference, array = TensorFlowReference(path), samples(STEPS, FEATURES)
    shown, predicted = reference.run(array, len(array)), reference.predict(array)
    *parts, backward = [*(kind.__name__ for kind in kinds), "both/forward", "both/backward"]
    for part, output in zip(parts, predicted, strict=False):
        assert shown[part, 0, "step"].tobytes() == output.tobytes(), part
    assert shown[backward, 0, "step"][:, ::-1].tobytes() == predicted[-1].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
def test_states_are_carried_as_keras_carries_them_in_batches_of_one(keras: Any, tmp_path: Path, batch: int) -> None:
    """Every step of every layer within its bound; masked steps at the end and at the start of a sample hold states."""
    layers, x = keras.layers, keras.Input(batch_shape=(batch, STEPS, FEATURES), name="x")
    masked = layers.Masking()(x)
    carried = layers.LSTM(UNITS, stateful=True, return_sequences=True, go_backwards=True)(masked)
    outputs = [carried, layers.GRU(UNITS, stateful=True)(x), layers.SimpleRNN(UNITS, stateful=True)(masked)]
    outputs.append(layers.Bidirectional(layers.GRU(UNITS, stateful=True, reset_after=False, return_sequences=True))(x))
    outputs.append(layers.Dense(2)(layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], stateful=True)(carried)))
    path = saved(stirred(keras.Model(x, outputs)), tmp_path, ".keras")
    values = samples(STEPS, FEATURES, seed=4, count=5)
    values[1, -1] = values[2, 0] = values[3] = 0
    graph = assert_within_bounds(path, values)
    found, wanted = LanesEngine(graph).run(values, keep="all"), TensorFlowReference(path).predict(values)
    alone = TensorFlowReference(path).predict(values[2:3])
    for number, sink in enumerate(graph.sinks):
        feeder = graph.groups[graph.channels_into(sink)[0].src].name
        assert np.allclose(found.values[feeder].reshape(5, -1), wanted[number].reshape(5, -1), atol=1e-4), feeder
        assert not np.allclose(wanted[number][2:3], alone[number], atol=1e-4)


@pytest.mark.slow
def test_a_state_that_is_not_carried_is_found(keras: Any, tmp_path: Path) -> None:
    x = keras.Input(batch_shape=(1, STEPS, FEATURES), name="x")
    path = saved(stirred(keras.Model(x, keras.layers.LSTM(UNITS, stateful=True, name="lstm")(x))), tmp_path, ".keras")
    graph, values = lower(path), samples(STEPS, FEATURES)
    run = LanesEngine(graph).run(values, keep="all")
    alone = [LanesEngine(graph).run(values[i : i + 1], keep="all") for i in range(len(values))]
    for name, value in run.values.items():
        value[:] = np.concatenate([other.values[name] for other in alone])
    tensors = TensorFlowReference(path).run(values, 1, wanted_tensors(graph))
    found = compare(graph, run, tensors).first_divergence
    assert found is not None and (found.sample, found.judged) == (1, "graphsim")


# -- without Keras --------------------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid_v2(x: Array) -> Array:
    return np.clip(0.2 * x + 0.5, 0, 1)


def lstm(x: Array, kernel: Array, recurrent: Array, bias: Array, inner: Any = sigmoid) -> Array:
    """Hidden states at every step, float64 (N, T, U); columns in the order i, f, c, o."""
    h = c = np.zeros((len(x), len(recurrent)))
    found = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t].astype(np.float64) @ kernel + h @ recurrent + bias, 4, axis=1)
        c = inner(f) * c + inner(i) * np.tanh(g)
        h = inner(o) * np.tanh(c)
        found.append(h)
    return np.stack(found, axis=1)


def gru(x: Array, kernel: Array, recurrent: Array, bias: Array, after: bool, inner: Any = sigmoid) -> Array:
    """Hidden states at every step, float64 (N, T, U); columns in the order z, r, h; bias (2, 3 U) where after."""
    units = len(recurrent)
    h, found = np.zeros((len(x), units)), []
    bias = bias if after else np.stack([bias, np.zeros(3 * units)])
    for t in range(x.shape[1]):
        given = x[:, t].astype(np.float64) @ kernel + bias[0]
        z, r = np.split(inner((given + h @ recurrent + bias[1])[:, : 2 * units]), 2, axis=1)
        last = recurrent[:, 2 * units :]
        held = r * (h @ last + bias[1, 2 * units :]) if after else (r * h) @ last
        h = z * h + (1 - z) * np.tanh(given[:, 2 * units :] + held)
        found.append(h)
    return np.stack(found, axis=1)


def weights(*shapes: tuple[int, ...], seed: int = 5) -> list[FloatArray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.6, shape).astype(np.float32) for shape in shapes]


def file_of(folder: Path, entry: Json, arrays: Mapping[str, Array], *, version: str, steps: int = STEPS) -> Path:
    config = sequential(layer("InputLayer", "x", batch_input_shape=[None, steps, FEATURES]), entry)
    return write_legacy(folder / "model.h5", config, {"x": {}, entry["config"]["name"]: arrays}, version=version)


def values(graph: Graph, x: FloatArray, group: str) -> FloatArray:
    return ReferenceEngine(graph).run(x).values[group]


def test_hard_sigmoid_of_an_lstm_is_that_of_the_keras_that_wrote_it(tmp_path: Path) -> None:
    kernel, recurrent, bias = weights((FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,))
    entry = layer("LSTM", "lstm", units=UNITS, activation="tanh", recurrent_activation="hard_sigmoid")
    arrays = {"lstm/kernel:0": kernel, "lstm/recurrent_kernel:0": recurrent, "lstm/bias:0": bias}
    graph = lower(file_of(tmp_path, entry, arrays, version="2.2.4"))
    x = samples(STEPS, FEATURES)
    np.testing.assert_allclose(values(graph, x, "lstm"), lstm(x, kernel, recurrent, bias, hard_sigmoid_v2), atol=1e-6)


@pytest.mark.parametrize("consume", ["cpu", "gpu"])
def test_lstm_and_gru_of_keras_1(tmp_path: Path, consume: str) -> None:
    x = samples(STEPS, FEATURES)
    for kind, order, stored in (("LSTM", "ifco", "icfo"), ("GRU", "zrh", "zrh")):
        count = len(order)
        kernel, recurrent, bias = weights((FEATURES, count * UNITS), (UNITS, count * UNITS), (count * UNITS,))
        entry = layer(
            kind,
            "rnn_1",
            output_dim=UNITS,
            activation="tanh",
            inner_activation="hard_sigmoid",
            consume_less=consume,
            dropout_W=0.5,
            return_sequences=True,
        )
        arrays = {"rnn_1_W": kernel, "rnn_1_U": recurrent, "rnn_1_b": bias}
        if consume == "cpu":
            split = {name: np.split(a, count, axis=-1) for name, a in (("W", kernel), ("U", recurrent), ("b", bias))}
            arrays = {f"rnn_1_{n}_{gate}": split[n][order.index(gate)] for gate in stored for n in "WUb"}
        graph = lower(file_of(tmp_path, entry, arrays, version="1.2.2"))
        if kind == "LSTM":
            expected = lstm(x, kernel, recurrent, bias, hard_sigmoid_v2)
        else:
            expected = gru(x, kernel, recurrent, bias, False, hard_sigmoid_v2)
        np.testing.assert_allclose(values(graph, x, "rnn_1"), expected, atol=1e-6)


def test_cudnn_layers_have_their_kernels_transposed_and_two_biases(tmp_path: Path) -> None:
    x = samples(STEPS, FEATURES)
    for kind, count in (("CuDNNLSTM", 4), ("CuDNNGRU", 3)):
        kernel, recurrent, bias = weights((FEATURES, count * UNITS), (UNITS, count * UNITS), (2, count * UNITS))
        # From an ordinary layer to cuDNN's: Keras's own convert_lstm_weights with from_cudnn=False.
        stored = [np.hstack([k.T.reshape(k.shape) for k in np.hsplit(kernel, count)])]
        stored.append(np.hstack([k.T for k in np.hsplit(recurrent, count)]))
        arrays = dict(zip(("c/kernel:0", "c/recurrent_kernel:0", "c/bias:0"), [*stored, bias.reshape(-1)], strict=True))
        entry = layer(kind, "c", units=UNITS, return_sequences=True)
        graph = lower(file_of(tmp_path, entry, arrays, version="2.2.4"))
        expected = lstm(x, kernel, recurrent, bias.sum(0)) if count == 4 else gru(x, kernel, recurrent, bias, True)
        np.testing.assert_allclose(values(graph, x, "c"), expected, atol=1e-6)


@pytest.mark.slow
def test_cudnn_layers_compute_what_keras_2_makes_of_their_weights(tmp_path: Path) -> None:
    import tf_keras

    x = samples(STEPS, FEATURES)
    kinds = {"CuDNNLSTM": tf_keras.layers.LSTM(UNITS, name="c"), "CuDNNGRU": tf_keras.layers.GRU(UNITS, name="c")}
    for kind, twin in kinds.items():
        count = 4 if kind == "CuDNNLSTM" else 3
        arrays = weights((FEATURES, count * UNITS), (UNITS, count * UNITS), (2 * count * UNITS,))
        stored = dict(zip(("c/kernel:0", "c/recurrent_kernel:0", "c/bias:0"), arrays, strict=True))
        path = file_of(tmp_path, layer(kind, "c", units=UNITS), stored, version="2.2.4")
        model = tf_keras.Sequential([tf_keras.Input((STEPS, FEATURES)), twin])
        model.load_weights(path)
        np.testing.assert_allclose(values(lower(path), x, "c.last"), model(x).numpy(), atol=1e-6)


def test_states_of_keras_2_may_be_given_as_further_inputs(tmp_path: Path) -> None:
    kernel, recurrent, bias = weights((FEATURES, 3 * UNITS), (UNITS, 3 * UNITS), (3 * UNITS,))
    config = functional(
        [["x", 0, 0], ["h", 0, 0]],
        [["gru", 0, 0]],
        node("InputLayer", "x", [], batch_input_shape=[None, STEPS, FEATURES]),
        node("InputLayer", "h", [], batch_input_shape=[None, UNITS]),
        node(
            "GRU",
            "gru",
            [[["x", 0, 0, {}], ["h", 0, 0, {}]]],
            units=UNITS,
            activation="tanh",
            recurrent_activation="sigmoid",
        ),
        class_name="Model",
    )
    arrays = {"gru/kernel:0": kernel, "gru/recurrent_kernel:0": recurrent, "gru/bias:0": bias}
    graph = lower(write_legacy(tmp_path / "model.h5", config, {"x": {}, "h": {}, "gru": arrays}, version="2.1.3"))
    x, h = samples(STEPS, FEATURES), samples(UNITS, seed=1)
    run = ReferenceEngine(graph).run((x, h)).values
    # The same function, as one more step before: with z = 0 and r h = 0 a step's state is its candidate.
    exact, start = [], h.astype(np.float64)
    for t in range(STEPS):
        given = x[:, t].astype(np.float64) @ kernel + bias
        z, r = np.split(sigmoid(given[:, : 2 * UNITS] + start @ recurrent[:, : 2 * UNITS]), 2, axis=1)
        start = z * start + (1 - z) * np.tanh(given[:, 2 * UNITS :] + (r * start) @ recurrent[:, 2 * UNITS :])
        exact.append(start)
    np.testing.assert_allclose(run["gru"], np.stack(exact, axis=1), atol=1e-6)


def test_a_stateful_layer_goes_on_where_the_sample_before_ended(tmp_path: Path) -> None:
    kernel, recurrent, bias = weights((FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,))
    options = {"activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": True}
    arrays = {"lstm/kernel:0": kernel, "lstm/recurrent_kernel:0": recurrent, "lstm/bias:0": bias}
    graph = lower(
        file_of(tmp_path, layer("LSTM", "lstm", units=UNITS, stateful=True, **options), arrays, version="2.4.0")
    )
    assert "sample to sample" in graph.notes["stateful"]
    x = samples(STEPS, FEATURES, count=3)
    expected = lstm(x.reshape(1, -1, FEATURES), kernel, recurrent, bias).reshape(3, STEPS, UNITS)
    np.testing.assert_allclose(values(graph, x, "lstm"), expected, atol=1e-6)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """An LSTM over all steps, both ways, and a GRU on it."""
    folder = tmp_path_factory.mktemp("small")
    options = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    described = {"class_name": "LSTM", "config": {"name": "lstm", "units": 3, "return_sequences": True, **options}}
    config = sequential(
        layer("InputLayer", "x", batch_input_shape=[None, STEPS, FEATURES]),
        layer("Bidirectional", "both", layer=described),
        layer("GRU", "gru", units=2, reset_after=True, **options),
    )
    both = weights(*[(FEATURES, 12), (3, 12), (12,)] * 2)
    names = [
        f"both/{way}_lstm/{name}:0"
        for way in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    one = weights((6, 6), (2, 6), (2, 6))
    arrays = {"x": {}, "both": dict(zip(names, both, strict=True))}
    arrays["gru"] = {
        f"gru/{name}:0": array for name, array in zip(("kernel", "recurrent_kernel", "bias"), one, strict=True)
    }
    return lower(write_legacy(folder / "model.h5", config, arrays))


def test_a_layer_has_a_group_for_every_gate_that_fires_for_every_step(small: Graph) -> None:
    shown = {g.name: (g.shape, g.firings, g.layer, g.observes) for g in small.groups if g.observes.startswith("step.")}
    for way in ("forward", "backward"):
        for gate in "ifco":
            assert shown[f"both.{way}.{gate}"] == ((3,), STEPS, f"both/{way}", f"step.{gate}")
        assert shown[f"both.{way}.state"] == ((3,), STEPS, f"both/{way}", "step.state")
    assert {f"gru.{gate}" for gate in "zrh"} <= set(shown)
    (loop,) = (c for c in small.channels_into(small.number["gru.z"]) if c.initial_tokens)
    assert small.groups[loop.src].name == "gru"
    assert (loop.initial_tokens, loop.reset) == (1, True)


def test_weights_of_both_directions_are_found_by_name(small: Graph) -> None:
    assert "weights" not in small.notes


def test_engines_and_the_unrolled_graph_give_the_same_bits(small: Graph) -> None:
    x = samples(STEPS, FEATURES, count=9)
    unrolled = unroll(small)
    run, flat = ReferenceEngine(small).run(x).values, ReferenceEngine(unrolled.graph).run(x).values
    lanes, rated = LanesEngine(unrolled.graph, threads=1).run(x).values, LanesEngine(small, threads=1).run(x).values
    assert {name: array.tobytes() for name, array in rated.items()} == {n: array.tobytes() for n, array in run.items()}
    for number, (of, token) in enumerate(zip(unrolled.group, unrolled.token, strict=True)):
        name = unrolled.graph.groups[number].name
        if name not in flat:
            continue
        assert lanes[name].tobytes() == flat[name].tobytes(), name
        if of >= 0:
            made = run[small.groups[of].name].reshape(len(x), small.tokens(int(of)), -1)[:, token]
            assert made.tobytes() == flat[name].tobytes(), name


def test_the_text_of_a_recurrent_graph_reads_back(small: Graph) -> None:
    text = dump(small)
    assert dump(parse(text)) == text


def test_files_of_others_are_lowered_and_agree_with_recorded_values(shared: Path) -> None:
    folder = shared / "models" / "dl4j"
    graph = lower(folder / "simple_rnn_tf_keras_2_model.h5")
    with h5py.File(folder / "simple_rnn_tf_keras_2_inputs_and_outputs.h5") as recorded:
        run = ReferenceEngine(graph).run(recorded["inputs/simple_rnn_1_input"][:])
        for name, group in (("simple_rnn_1", "simple_rnn_1.last"), ("dense_1", "dense_1")):
            np.testing.assert_allclose(run.values[group], recorded[f"activations/{name}"][:], rtol=1e-5, atol=1e-5)


def test_an_lstm_by_keras_2_0_computes_what_its_weights_say(shared: Path) -> None:
    path = shared / "models" / "dl4j" / "lstm_functional_tf_keras_2.h5"
    x = samples(10, 4)
    with h5py.File(path) as file:
        arrays = [file[f"model_weights/lstm/lstm/{name}:0"][:] for name in ("kernel", "recurrent_kernel", "bias")]
    np.testing.assert_allclose(values(lower(path), x, "lstm"), lstm(x, *arrays, hard_sigmoid_v2), atol=2e-6)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (layer("LSTM", "r", units=2, time_major=True), "time is its first axis"),
        (layer("RNN", "r", cell={"class_name": "MyCell", "config": {}}), "cell is of class 'MyCell'"),
        (layer("Bidirectional", "r", layer={"class_name": "Dense", "config": {"units": 2}}), "wraps a layer of class"),
        (layer("LSTM", "r", units=2, recurrent_activation="mine"), "activation 'mine'"),
    ],
)
def test_what_cannot_be_lowered_is_refused(tmp_path: Path, entry: Json, reason: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=reason):
        lower(file_of(tmp_path, entry, {}, version="2.4.0"))


#: What a hand-written config of Keras 2 has to say.
INNER = {"recurrent_activation": "sigmoid"}
GRU = layer("GRU", "r", units=2, **INNER)


@pytest.mark.parametrize(
    ("entry", "arrays", "reason"),
    [
        (layer("LSTM", "r", units=0), {}, "'units' is 0"),
        (layer("LSTM", "r", units=2, **INNER), {}, "weights of 1 layers are missing"),
        (layer("SimpleRNN", "r", units=2), {"kernel": (4, 2), "recurrent_kernel": (2, 2)}, "needs 3"),
        (layer("SimpleRNN", "r", units=2), {"kernel": (4, 2), "recurrent_kernel": (2, 3), "bias": (2,)}, "\\(2, 2\\)"),
        (layer("LSTM", "r", units=2), {}, "'recurrent_activation' is missing"),
        (GRU, {"kernel": (4, 6), "recurrent_kernel": (2, 6), "bias": (2, 6)}, "needs \\(6,\\)"),
        (layer("Bidirectional", "r", layer=layer("LSTM", "l", units=2, **INNER), merge_mode="max"), {}, "merge_mode"),
        (layer("RNN", "r", cell={"class_name": "StackedRNNCells", "config": {"cells": []}}), {}, "'cells' is empty"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_an_error(
    tmp_path: Path, entry: Json, arrays: Mapping[str, Sequence[int]], reason: str
) -> None:
    stored = {f"r/{name}:0": np.ones(shape, np.float32) for name, shape in arrays.items()}
    with pytest.raises(ModelError, match=reason):
        lower(file_of(tmp_path, entry, stored, version="2.4.0"))


def test_recurrent_layers_take_steps_of_features(tmp_path: Path) -> None:
    config = sequential(layer("InputLayer", "x", batch_input_shape=[None, 4]), layer("LSTM", "lstm", units=2, **INNER))
    path = write_legacy(tmp_path / "model.h5", json.dumps(config), {"x": {}})
    with pytest.raises(ModelError, match="takes steps of features; its input has shape"):
        lower(path)


def test_what_a_graph_observes_has_a_name_of_its_own(small: Graph) -> None:
    observing = [g for g in small.groups if g.observes and g.op != "input"]
    assert len(wanted_tensors(small)) == len(observing)


# -- a layer for every step -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_time_distributed_layers_agree(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers, each = keras.layers, keras.layers.TimeDistributed
    x, frames = sequence(keras), keras.Input((4, 6, 5, 2), name="frames")
    pooled = each(layers.MaxPooling2D())(each(layers.Conv2D(3, 2, activation="relu"))(frames))
    outputs = [
        each(layers.Dense(3, activation="relu"))(x),
        each(layers.Dense(3, activation="softmax"))(x),
        each(layers.Dropout(0.5))(x),
        each(layers.Activation("softmax"))(frames),
        each(layers.Reshape((30, 2)))(frames),
        each(layers.BatchNormalization())(frames),
        layers.LSTM(3)(each(layers.Flatten())(pooled)),
        each(layers.Dense(2, activation="softmax"))(layers.LSTM(3, return_sequences=True)(x)),
    ]
    net = keras.Sequential([keras.Input((6, 5, 2)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    shared = keras.Input((FEATURES,), name="features")
    deep = keras.Model(shared, layers.Add()([layers.Dense(2)(shared), layers.Dense(2, activation="tanh")(shared)]))
    twice = each(deep)
    outputs += [layers.GRU(2)(each(net)(frames)), twice(x), twice(layers.LSTM(FEATURES, return_sequences=True)(x))]
    arrays = samples(STEPS, FEATURES), samples(4, 6, 5, 2)
    graph = agree(keras, tmp_path, [x, frames], outputs, *arrays, suffix=suffix)
    assert {g.firings for g in graph.groups if g.op == "linear"} == {1, 4, STEPS}
