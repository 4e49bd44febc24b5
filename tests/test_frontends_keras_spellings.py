"""Files by older versions of Keras, written by hand: their spellings, their layouts, and what their names meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import (
    BIAS,
    KERNEL,
    OFFSET,
    SECOND,
    SMALL,
    SMALL_LEGACY,
    SMALL_V3,
    Array,
    functional,
    layer,
    node,
    sequential,
    small_values,
    write_keras,
    write_legacy,
)

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine

X = np.array([[1, 2, 3], [-1, 0.5, 2], [0, 0, 0], [-3, 1, 1]], np.float32)


def run(graph: Graph, *inputs: Array) -> dict[str, Array]:
    return dict(ReferenceEngine(graph).run(inputs[0] if len(inputs) == 1 else inputs).values)


def output(graph: Graph, *inputs: Array) -> Array:
    feeder = graph.groups[graph.channels_into(graph.sinks[0])[0].src]
    return run(graph, *inputs)[feeder.name]


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


# -- Sequential -----------------------------------------------------------------------------------------------------


def test_a_bare_list_of_keras_1(tmp_path: Path) -> None:
    config = {
        "class_name": "Sequential",
        "config": [
            layer(
                "Dense", "dense_1", output_dim=2, input_dim=3, batch_input_shape=[None, 3], activation="linear",
                bias=True, W_regularizer=None, b_regularizer=None, init="glorot_uniform", input_dtype="float32",
            ),
            layer("Activation", "activation_1", activation="relu"),
            layer("Dropout", "dropout_1", p=0.5),
            layer("Dense", "dense_2", output_dim=2, bias=False, input_dim=None, activation="softmax"),
        ],
    }  # fmt: skip
    weights = {
        "dense_1": {"dense_1_W": KERNEL, "dense_1_b": BIAS},
        "activation_1": {},
        "dropout_1": {},
        "dense_2": {"dense_2_W": SECOND},
    }
    graph = lower(write_legacy(tmp_path / "m.h5", config, weights, version="1.2.2"))
    assert [g.name for g in graph.groups][:4] == ["source", "dense_1_input", "dense_1", "activation_1"]
    logits = relu(X @ KERNEL + BIAS) @ SECOND
    np.testing.assert_allclose(run(graph, X)["dense_2"], logits, rtol=1e-6)
    assert graph.notes == {
        "input.dense_1_input": "float32 [3]",
        "keras_version": "1.2.2",
        "keras_semantics": "Keras 1 (the file states its version): hard_sigmoid(x) = clip(0.2 x + 0.5, 0, 1)",
    }


def test_a_sequential_of_keras_1_may_state_its_input_as_a_number(tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": [layer("Dense", "d", output_dim=2, input_dim=3, activation="relu")]}
    graph = lower(write_legacy(tmp_path / "m.h5", config, {"d": {"d_W": KERNEL, "d_b": BIAS}}, version="1.0.4"))
    np.testing.assert_allclose(output(graph, X), relu(X @ KERNEL + BIAS), rtol=1e-6)


def test_a_bare_list_of_keras_2_with_a_nested_bare_list(tmp_path: Path) -> None:
    inner = {
        "class_name": "Sequential",
        "name": "inner",
        "config": [layer("Dense", "hidden", units=2, activation="relu", batch_input_shape=[None, 3])],
    }
    config = {"class_name": "Sequential", "config": [inner, layer("Dense", "answer", units=2, activation="softmax")]}
    weights = {"inner": SMALL_LEGACY["hidden"], "answer": SMALL_LEGACY["answer"]}
    graph = lower(write_legacy(tmp_path / "m.h5", config, weights, version="2.1.3"))
    assert [g.name for g in graph.groups][:3] == ["source", "inner_input", "inner/hidden"]
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)


def test_the_shape_of_a_model_that_was_built_later(tmp_path: Path) -> None:
    config = sequential(layer("Dense", "hidden", units=2, activation="relu"))
    config["config"]["build_input_shape"] = [None, 3]
    graph = lower(write_legacy(tmp_path / "m.h5", config, {"hidden": SMALL_LEGACY["hidden"]}))
    np.testing.assert_allclose(output(graph, X), relu(X @ KERNEL + BIAS), rtol=1e-6)


def test_a_model_that_was_never_built_is_refused(tmp_path: Path) -> None:
    config = sequential(layer("Dense", "hidden", units=2))
    with pytest.raises(ModelError, match="does not say what shape the input has"):
        lower(write_legacy(tmp_path / "m.h5", config, {}))


# -- Functional -----------------------------------------------------------------------------------------------------


def test_nodes_of_keras_1_and_its_merge_layers(tmp_path: Path) -> None:
    modes = ("sum", "mul", "ave", "max", "concat")
    layers = [node("InputLayer", name, [], batch_input_shape=[None, 3]) for name in ("a", "b")]
    layers += [node("Merge", mode, [[["a", 0, 0], ["b", 0, 0]]], mode=mode, concat_axis=-1) for mode in modes]
    config = functional([["a", 0, 0], ["b", 0, 0]], [[mode, 0, 0] for mode in modes], *layers, class_name="Model")
    values = run(lower(write_legacy(tmp_path / "m.h5", config, {}, version="1.2.2")), X, X[::-1])
    a, b = X, X[::-1]
    expected = (a + b, a * b, (a + b) / 2, np.maximum(a, b), np.concatenate([a, b], 1))
    for mode, want in zip(modes, expected, strict=True):
        np.testing.assert_allclose(values[mode], want, rtol=1e-6)


@pytest.mark.parametrize("mode", ["join", "<lambda>"])
def test_other_modes_of_merge_are_refused(tmp_path: Path, mode: str) -> None:
    layers = [node("InputLayer", "a", [], batch_input_shape=[None, 3]), node("Merge", "m", [[["a", 0, 0]]], mode=mode)]
    config = functional([["a", 0, 0]], [["m", 0, 0]], *layers)
    with pytest.raises(UnsupportedLayerError, match=f"m: mode '{mode}' of Keras 1's Merge is not lowered"):
        lower(write_legacy(tmp_path / "m.h5", config, {}, version="1.2.2"))


def test_nodes_of_tf_keras_with_arguments_that_change_nothing(tmp_path: Path) -> None:
    config = functional(
        [["x", 0, 0]],
        [["answer", 0, 0]],
        # Not in the order in which they are called.
        node("Dense", "answer", [[["hidden", 0, 0, {}]]], units=2, activation="softmax_v2"),
        node("Dense", "hidden", [[["drop", 0, 0, {}]]], units=2, activation="relu"),
        node("Dropout", "drop", [[["x", 0, 0, {"training": False}]]], rate=0.5),
        node("InputLayer", "x", [], batch_input_shape=[None, 3], dtype="float32", sparse=False, ragged=False),
    )
    weights = {name: SMALL_LEGACY[name] for name in ("hidden", "answer")} | {"x": {}, "drop": {}}
    graph = lower(write_legacy(tmp_path / "m.h5", config, weights))
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)


def test_dropout_that_is_told_to_train_is_refused(tmp_path: Path) -> None:
    layers = [
        node("InputLayer", "x", [], batch_input_shape=[None, 3]),
        node("Dropout", "drop", [[["x", 0, 0, {"training": True}]]], rate=0.5),
    ]
    with pytest.raises(UnsupportedLayerError, match="drop: it is called with 'training'"):
        lower(write_legacy(tmp_path / "m.h5", functional([["x", 0, 0]], [["drop", 0, 0]], *layers), {}))


def test_nested_models_of_keras_2_count_their_calls_from_one(tmp_path: Path) -> None:
    inner = sequential(
        layer("InputLayer", "inner_input", batch_input_shape=[None, 3]),
        layer("Dense", "hidden", units=3, activation="relu"),
        name="inner",
    )
    square = np.array([[1, 2, 0], [0, 1, -1], [0.5, 0, 1]], np.float32)
    config = functional(
        [["x", 0, 0]],
        [["inner", 2, 0]],
        node("InputLayer", "x", [], batch_input_shape=[None, 3]),
        {**inner, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]]},
    )
    weights = {"x": {}, "inner": {"hidden/kernel:0": square, "hidden/bias:0": np.zeros(3, np.float32)}}
    graph = lower(write_legacy(tmp_path / "m.h5", config, weights))
    np.testing.assert_allclose(output(graph, X), relu(relu(X @ square) @ square), rtol=1e-6)
    assert len(graph.params) == 2


def test_outputs_may_be_one_tensor_or_an_object(tmp_path: Path) -> None:
    layers = [
        node("InputLayer", "x", [], batch_shape=[None, 3]),
        node("ReLU", "r", [{"args": [tensor("x", 0)], "kwargs": {}}]),
        node("ELU", "e", [{"args": [tensor("x", 0)], "kwargs": {}}]),
    ]
    for outputs, sinks in ((["r", 0, 0], ["sink"]), ({"p": ["r", 0, 0], "q": [["e", 0, 0]]}, ["sink_r", "sink_e"])):
        graph = lower(write_keras(tmp_path / "m.keras", functional(["x", 0, 0], outputs, *layers), {}))
        assert [graph.groups[n].name for n in graph.sinks] == sinks


def tensor(name: str, call: int, output: int = 0) -> dict[str, Any]:
    history = {"shape": [None, 3], "dtype": "float32", "keras_history": [name, call, output]}
    return {"class_name": "__keras_tensor__", "config": history}


# -- meanings -------------------------------------------------------------------------------------------------------

OLD = np.clip(np.float32(0.2) * X + np.float32(0.5), 0, 1)
NEW = np.clip(X + 3, 0, 6) / 6


@pytest.mark.parametrize(
    ("version", "expected", "stated"),
    [
        ("1.1.0", OLD, "Keras 1 (the file"),
        ("2.15.0", OLD, "Keras 2 (the file"),
        ("3.0.0", NEW, "Keras 3 (the file"),
        (None, OLD, "Keras 2 (no version stated; the config says 'batch_input_shape')"),
    ],
)
def test_hard_sigmoid_means_what_it_meant(tmp_path: Path, version: str | None, expected: Array, stated: str) -> None:
    config = sequential(
        layer("InputLayer", "x", batch_input_shape=[None, 3]), layer("Activation", "y", activation="hard_sigmoid")
    )
    graph = lower(write_legacy(tmp_path / "m.h5", config, {}, version=version))
    np.testing.assert_allclose(output(graph, X), expected, rtol=1e-6)
    assert stated in graph.notes["keras_semantics"]


@pytest.mark.parametrize("version", ["0.3.1", "4.0.0", "three", "31.0"])
def test_versions_that_are_not_known_are_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ModelError, match="versions 1, 2 and 3 are known"):
        lower(write_legacy(tmp_path / "m.h5", SMALL, SMALL_LEGACY, version=version))


@pytest.mark.parametrize(
    ("class_name", "config", "expected"),
    [
        ("LeakyReLU", {"alpha": 0.5}, np.where(X < 0, 0.5 * X, X)),
        ("LeakyReLU", {}, np.where(X < 0, np.float32(0.3) * X, X)),
        ("ThresholdedReLU", {"theta": 1.0}, np.where(X > 1, X, 0)),
        ("ReLU", {"max_value": 1.5}, np.clip(X, 0, 1.5)),
        ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 1.0}, np.where(X > 1, X, 0)),
        (
            "Activation",
            {"activation": {"class_name": "LeakyReLU", "config": {"alpha": 0.5}}},
            np.where(X < 0, X / 2, X),
        ),
        ("Activation", {"activation": {"class_name": "function", "config": "tanh"}}, np.tanh(X)),
        ("Activation", {"activation": None}, X),
    ],
)
def test_activation_layers_of_keras_2(tmp_path: Path, class_name: str, config: dict[str, Any], expected: Array) -> None:
    model = sequential(layer("InputLayer", "x", batch_input_shape=[None, 3]), layer(class_name, "y", **config))
    np.testing.assert_allclose(output(lower(write_legacy(tmp_path / "m.h5", model, {})), X), expected, rtol=1e-6)


def test_prelu_of_keras_1(tmp_path: Path) -> None:
    model = sequential(layer("InputLayer", "x", batch_input_shape=[None, 3]), layer("PReLU", "p", init="zero"))
    alphas = np.array([0.5, -1, 2], np.float32)
    graph = lower(write_legacy(tmp_path / "m.h5", model, {"x": {}, "p": {"p_alphas": alphas}}, version="1.2.0"))
    np.testing.assert_allclose(output(graph, X), np.where(X < 0, alphas * X, X), rtol=1e-6)


def batch_norm(**config: Any) -> tuple[dict[str, Any], dict[str, Array]]:
    model = sequential(
        layer("InputLayer", "x", batch_input_shape=[None, 3]), layer("BatchNormalization", "n", **config)
    )
    gamma, beta, mean, spread = (np.array(v, np.float32) for v in ([2, 1, 0.5], [0, 1, -1], [1, -1, 0], [4, 0.25, 9]))
    names = ("n_gamma", "n_beta", "n_running_mean", "n_running_std")
    return model, dict(zip(names, (gamma, beta, mean, spread), strict=True))


def test_the_running_std_of_keras_1_is_a_variance(tmp_path: Path) -> None:
    model, weights = batch_norm(mode=0, axis=-1, epsilon=1e-3)
    graph = lower(write_legacy(tmp_path / "m.h5", model, {"x": {}, "n": weights}, version="1.2.0"))
    gamma, beta, mean, variance = weights.values()
    np.testing.assert_allclose(output(graph, X), (X - mean) * gamma / np.sqrt(variance + 1e-3) + beta, rtol=1e-6)
    magnitude = graph.params["n/magnitude"]
    np.testing.assert_allclose(magnitude, abs(beta) + abs(mean * gamma) / np.sqrt(variance + 1e-3), rtol=1e-6)


@pytest.mark.parametrize("mode", [1, 2])
def test_modes_of_batch_normalisation_that_look_at_the_batch_are_refused(tmp_path: Path, mode: int) -> None:
    model, weights = batch_norm(mode=mode)
    with pytest.raises(UnsupportedLayerError, match=f"n: mode {mode} of Keras 1 normalises by the statistics"):
        lower(write_legacy(tmp_path / "m.h5", model, {"x": {}, "n": weights}, version="1.2.0"))


def test_an_axis_may_be_a_list_of_one_as_in_tf_keras(tmp_path: Path) -> None:
    model, weights = batch_norm(axis=[1], epsilon=1e-3)
    assert lower(write_legacy(tmp_path / "m.h5", model, {"x": {}, "n": weights})).actor_count == 8
    model, weights = batch_norm(axis=[1, 2])
    with pytest.raises(UnsupportedLayerError, match="jointly"):
        lower(write_legacy(tmp_path / "m.h5", model, {"x": {}, "n": weights}))


def policy(class_name: str, name: str) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name}}


@pytest.mark.parametrize("dtype", ["float32", policy("Policy", "float32"), policy("DTypePolicy", "float64")])
def test_dtypes_that_are_lowered(tmp_path: Path, dtype: Any) -> None:
    config = sequential(
        layer("InputLayer", "x", batch_input_shape=[None, 3], dtype="uint8"),
        layer("Dense", "hidden", units=2, dtype=dtype),
    )
    assert lower(write_legacy(tmp_path / "m.h5", config, {"hidden": SMALL_LEGACY["hidden"]})).actor_count == 7


# -- weights --------------------------------------------------------------------------------------------------------


def test_layers_are_matched_by_order_where_names_differ(tmp_path: Path) -> None:
    architecture = tmp_path / "m.json"
    architecture.write_text(json.dumps(SMALL))
    renamed = {f"other_{name}": arrays for name, arrays in SMALL_LEGACY.items()}
    weights = write_legacy(tmp_path / "w.h5", None, renamed, root="", version="2.4.0")
    graph = lower(architecture, weights)
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)
    assert graph.notes["weights"] == "layers matched by order, their names differ"
    assert graph.name == "m"


def test_weights_are_matched_by_name_before_order(tmp_path: Path) -> None:
    swapped = {name: dict(reversed(arrays.items())) for name, arrays in SMALL_LEGACY.items()}
    graph = lower(write_legacy(tmp_path / "m.h5", SMALL, swapped))
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)
    assert "weights" not in graph.notes


def test_weights_without_telling_names_are_matched_by_order(tmp_path: Path) -> None:
    plain = {name: {f"v{i}": a for i, a in enumerate(arrays.values())} for name, arrays in SMALL_LEGACY.items()}
    graph = lower(write_legacy(tmp_path / "m.h5", SMALL, plain))
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)
    assert graph.notes["weights"] == "weights matched by order in hidden, answer"


def test_nested_weights_without_telling_names_are_trainable_first(tmp_path: Path) -> None:
    inner = sequential(
        layer("Dense", "frozen", units=3, use_bias=False, trainable=False, batch_input_shape=[None, 3]),
        layer("BatchNormalization", "n", scale=False, epsilon=0.0),
        layer("Dense", "d", units=1, use_bias=False),
        name="inner",
    )
    kernel, beta, mean = np.eye(3, dtype=np.float32) * 2, np.float32([1, 2, 3]), np.float32([4, 5, 6])
    variance, last = np.float32([4, 16, 0.25]), np.float32([[1], [10], [100]])
    stored = {f"v{i}": array for i, array in enumerate((beta, last, kernel, mean, variance))}
    graph = lower(write_legacy(tmp_path / "m.h5", sequential(inner), {"inner": stored}))
    np.testing.assert_allclose(output(graph, X), ((X * 2 - mean) / np.sqrt(variance) + beta) @ last, rtol=1e-5)


def test_weights_of_keras_3_are_found_by_class_and_number(tmp_path: Path) -> None:
    graph = lower(write_keras(tmp_path / "m.keras", SMALL, SMALL_V3))
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)


def test_weights_of_tensorflow_2_12_count_weighted_layers_twice(tmp_path: Path) -> None:
    folder = "_layer_checkpoint_dependencies"
    weights = {
        f"{folder}/dense/vars/0": KERNEL,
        f"{folder}/dense/vars/1": BIAS,
        f"{folder}/dense_2/vars/0": SECOND,
        f"{folder}/dense_2/vars/1": OFFSET,
    }
    graph = lower(write_keras(tmp_path / "m.keras", SMALL, weights, version="2.12.0"))
    np.testing.assert_allclose(output(graph, X), small_values(X), rtol=1e-6)


def test_half_precision_weights_are_widened_exactly(tmp_path: Path) -> None:
    halves = {n: {k: a.astype(np.float16) for k, a in arrays.items()} for n, arrays in SMALL_LEGACY.items()}
    graph = lower(write_legacy(tmp_path / "m.h5", SMALL, halves))
    np.testing.assert_array_equal(graph.params["hidden/kernel"], KERNEL)
    assert graph.notes["weights"] == "converted to float32 from float16"


def test_the_small_net_lowers_to_the_groups_that_tests_elsewhere_assume(tmp_path: Path) -> None:
    from graphs import mlp

    graph = lower(write_legacy(tmp_path / "m.h5", json.loads(json.dumps(SMALL)), SMALL_LEGACY))
    wanted = mlp(3, 2, 2)
    renamed = {"pixels": "pixels", "hidden": "dense", "answer": "dense_1"}
    for mine, theirs in zip(graph.groups, wanted.groups, strict=True):
        head, _, tail = mine.name.partition(".")
        assert (renamed.get(head, head) + "." * bool(tail) + tail, mine.op, mine.shape) == (
            theirs.name, theirs.op, theirs.shape,
        )  # fmt: skip
        assert (mine.activation, mine.observes, mine.call) == (theirs.activation, theirs.observes, theirs.call)
    kinds = [(type(c), c.src, c.dst, c.port) for c in graph.channels]
    assert kinds == [(type(c), c.src, c.dst, c.port) for c in wanted.channels]
