"""Graphs against Keras itself: every layer and activation, saved by Keras in both formats, lowered, and run.

Every tensor that a group says it observes is compared, not the outputs alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import FORMATS, FloatArray, lowered, samples, stirred

from graphsim.analysis.rounding import TENSORFLOW, Ball, Rounding
from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo.quiet import import_tensorflow

pytestmark = pytest.mark.slow

#: 17 units in the last place: sums here have at most 40 terms of the order of 1.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def keras() -> Any:
    _, module = import_tensorflow()
    module.utils.set_random_seed(7)
    return module


def sink_values(graph: Graph, values: dict[str, FloatArray], number: int) -> FloatArray:
    """What the group that feeds a sink holds, flat."""
    feeder = graph.groups[graph.channels_into(graph.sinks[number])[0].src]
    return values[feeder.name].reshape(len(values[feeder.name]), -1)


def assert_agrees(keras: Any, model: Any, graph: Graph, *inputs: FloatArray) -> dict[str, FloatArray]:
    """Compare all outputs, and all tensors that top-level layers show, with Keras's. Returns the graph's values."""
    values = dict(ReferenceEngine(graph).run(inputs[0] if len(inputs) == 1 else inputs).values)
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    expected = model(given)
    expected = list(expected.values()) if isinstance(expected, dict) else expected
    expected = expected if isinstance(expected, (list, tuple)) else [expected]
    assert len(expected) == len(graph.sinks)
    for number, tensor in enumerate(expected):
        flat = tensor.numpy().reshape(len(inputs[0]), -1)
        np.testing.assert_allclose(sink_values(graph, values, number), flat, rtol=TOLERANCE, atol=TOLERANCE)
    shown = [g for g in graph.groups if g.observes == "output" and "/" not in g.layer and g.op != "input"]
    if shown:
        tensors = [model.get_layer(g.layer)._inbound_nodes[g.call].output_tensors[0] for g in shown]
        computed = keras.Model(model.inputs, tensors)(given)
        for group, tensor in zip(shown, computed if isinstance(computed, list) else [computed], strict=True):
            flat, mine = tensor.numpy(), values[group.name]
            assert flat.size == mine.size, group.name
            np.testing.assert_allclose(
                mine.reshape(flat.shape), flat, rtol=TOLERANCE, atol=TOLERANCE, err_msg=group.name
            )
    return values


ACTIVATIONS = [
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh",
    "tanh_shrink",
]  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_activation_agrees_in_dense_layers_and_alone(keras: Any, tmp_path: Path, suffix: str) -> None:
    pixels = keras.Input((6,), name="pixels")
    outputs = []
    for name in ACTIVATIONS:
        outputs.append(keras.layers.Dense(4, activation=name, name=f"in_{name}")(pixels))
        outputs.append(keras.layers.Activation(name, name=f"alone_{name}")(pixels))
    model = stirred(keras.Model(pixels, outputs))
    assert_agrees(keras, model, lowered(model, tmp_path, suffix), samples(6, count=8))


def test_every_activation_of_this_keras_is_named_above_or_refused(keras: Any, tmp_path: Path) -> None:
    # threshold has arguments that files do not record; sparsemax is right here and wrong in Keras, see below.
    names = {name for name in dir(keras.activations) if not name.startswith("_")}
    assert names - {"deserialize", "get", "serialize"} == {*ACTIVATIONS, "threshold", "sparsemax"}


def test_sparsemax_sums_to_one_and_is_the_nearest_point_of_the_simplex(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5,), name="x"), keras.layers.Activation("sparsemax", name="answer")])
    graph = lowered(model, tmp_path, ".keras")
    x = samples(5, seed=2, count=20) / 4
    y = ReferenceEngine(graph).run(x).values["answer.sparsemax"]
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)
    assert (y > 0).sum(1).max() > 2, "a sample must have several positive outputs, or nothing is tested"
    # The projection onto the simplex is the point p with (x - p) . (q - p) <= 0 for every corner q.
    slack = (x - y)[:, None, :] * (np.eye(5)[None] - y[:, None, :])
    assert slack.sum(2).max() < 1e-6
    assert "Martins" in graph.notes["sparsemax"]


def layer_cases(layers: Any) -> dict[str, tuple[tuple[int, ...], list[Any]]]:
    """Name to input shape and the layers to chain."""
    return {
        "flatten": ((2, 3, 4), [layers.Flatten()]),
        "flatten channels first": ((2, 3, 4), [layers.Flatten(data_format="channels_first"), layers.Dense(3)]),
        "reshape": ((12,), [layers.Reshape((3, -1)), layers.Dense(5, activation="relu")]),
        "dense without bias": ((7,), [layers.Dense(5, use_bias=False)]),
        "dense on rows": ((3, 2, 4), [layers.Dense(5, activation="tanh")]),
        "dense softmax on rows": ((3, 4), [layers.Dense(5, activation="softmax")]),
        "dense glu on rows": ((3, 4), [layers.Dense(6, activation="glu")]),
        "softmax": ((6,), [layers.Softmax()]),
        "softmax over a middle axis": ((3, 4, 2), [layers.Softmax(axis=2)]),
        "softmax over the first axis": ((3, 4, 2), [layers.Softmax(axis=1)]),
        "softmax over two axes": ((3, 4, 2), [layers.Softmax(axis=[1, 3])]),
        "softmax over the last two axes": ((3, 4, 2), [layers.Softmax(axis=(-1, -2))]),
        "relu": ((9,), [layers.ReLU()]),
        "relu with everything": ((9,), [layers.ReLU(max_value=1.5, negative_slope=0.3, threshold=0.25)]),
        "relu capped": ((9,), [layers.ReLU(max_value=1.25)]),
        "relu 6": ((9,), [layers.ReLU(max_value=6)]),
        "leaky relu": ((9,), [layers.LeakyReLU(negative_slope=0.35)]),
        "elu": ((9,), [layers.ELU(alpha=0.7)]),
        "prelu": ((3, 4), [layers.PReLU()]),
        "prelu shared": ((3, 4, 2), [layers.PReLU(shared_axes=[1, 2])]),
        "prelu shared in the middle": ((3, 4, 2), [layers.PReLU(shared_axes=[2])]),
        "prelu shared everywhere": ((3, 4), [layers.PReLU(shared_axes=[1, 2])]),
        "activation layer in dense": ((4,), [layers.Dense(5, activation=layers.LeakyReLU(negative_slope=0.1))]),
        "batch normalisation": ((8,), [layers.BatchNormalization(epsilon=0.01)]),
        "batch normalisation, channels first": ((3, 4, 2), [layers.BatchNormalization(axis=1)]),
        "batch normalisation, channels last": ((3, 4, 2), [layers.BatchNormalization()]),
        "batch normalisation, bare": ((8,), [layers.BatchNormalization(scale=False, center=False)]),
        "rescaling": ((5,), [layers.Rescaling(1 / 255, offset=-0.5)]),
        "rescaling by arrays": ((2, 3), [layers.Rescaling([0.5, 2.0, -1.0], offset=np.array([1.0, 0.0, 3.0]))]),
        "normalization": ((4,), [layers.Normalization()]),
        "normalization of two axes": ((3, 4, 2), [layers.Normalization(axis=(1, 3))]),
        "normalization without axis": ((3, 4), [layers.Normalization(axis=None)]),
        "normalization stated": ((3, 2), [layers.Normalization(mean=[1.0, -2.0], variance=[4.0, 0.3])]),
        "normalization inverted": ((3, 2), [layers.Normalization(mean=0.4, variance=1.7, invert=True)]),
        "only in training": (
            (4, 6),
            [
                layers.Dropout(0.5),
                layers.SpatialDropout1D(0.5),
                layers.GaussianNoise(1.0),
                layers.GaussianDropout(0.5),
                layers.AlphaDropout(0.5),
                layers.ActivityRegularization(0.1),
                layers.Dense(3),
            ],
        ),
        "spatial dropout": (
            (2, 2, 2, 3),
            [layers.SpatialDropout3D(0.5), layers.Reshape((2, 4, 3)), layers.SpatialDropout2D(0.5)],
        ),
    }


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_layer_agrees(keras: Any, tmp_path: Path, suffix: str) -> None:
    for number, (name, (shape, chain)) in enumerate(layer_cases(keras.layers).items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = keras.Sequential([keras.Input(shape, name="pixels"), *chain])
        if any(isinstance(layer, keras.layers.Normalization) and layer.input_mean is None for layer in chain):
            chain[0].adapt(samples(*shape, seed=5, count=32))
        else:
            stirred(model)
        try:
            assert_agrees(keras, model, lowered(model, folder, suffix), samples(*shape))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


MERGES: dict[str, Callable[[Any], Any]] = {
    "add": lambda layers: layers.Add(),
    "subtract": lambda layers: layers.Subtract(),
    "multiply": lambda layers: layers.Multiply(),
    "average": lambda layers: layers.Average(),
    "maximum": lambda layers: layers.Maximum(),
    "minimum": lambda layers: layers.Minimum(),
    "concatenate": lambda layers: layers.Concatenate(axis=1),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_merge_agrees_also_where_shapes_broadcast(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    a, b = keras.Input((3, 4), name="a"), keras.Input((3, 4), name="b")
    row, column = keras.Input((4,), name="row"), keras.Input((3, 1), name="column")
    outputs = [make(layers)([a, b]) for make in MERGES.values()]
    outputs += [make(layers)([a, row]) for name, make in MERGES.items() if name != "concatenate"]
    outputs += [make(layers)([column, row]) for name, make in MERGES.items() if name != "concatenate"]
    outputs += [layers.Concatenate()([column, a, b]), layers.Concatenate(axis=-2)([b, a]), layers.Add()([a, b, a, a])]
    model = keras.Model([a, b, row, column], outputs)
    inputs = [samples(*t.shape[1:], seed=i) for i, t in enumerate(model.inputs)]
    assert_agrees(keras, model, lowered(model, tmp_path, suffix), *inputs)


def branching(keras: Any) -> Any:
    """Two inputs, a shared layer, a nested Sequential that is called twice, a nested Functional with two outputs."""
    layers = keras.layers
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = layers.Dense(4, name="shared")
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, layers.ReLU(max_value=2.0), name="d"), layers.BatchNormalization(name="n")],
        name="inner",
    )
    x = layers.Add()([shared(a), inner(b)])
    y = inner(shared(x))
    u = keras.Input((4,), name="u")
    v = layers.Dense(3, name="v")(u)
    pair = keras.Model(u, [v, layers.Dense(2, activation="softmax", name="w")(v)], name="pair")
    p, q = pair(y)
    return stirred(keras.Model([b, a], [q, layers.Concatenate()([y, x, p])]))


@pytest.mark.parametrize("suffix", FORMATS)
def test_shared_layers_and_nested_models_agree_and_store_weights_once(keras: Any, tmp_path: Path, suffix: str) -> None:
    model = branching(keras)
    graph = lowered(model, tmp_path, suffix)
    assert_agrees(keras, model, graph, samples(4, seed=1), samples(4, seed=2))
    assert [graph.groups[n].name for n in graph.sources] == ["source_b", "source_a"]
    assert [graph.groups[n].op for n in graph.sinks] == ["argmax", "collect"]
    kernels = [name for name in graph.params if name.endswith("/kernel")]
    assert sorted(kernels) == ["inner/d/kernel", "pair/v/kernel", "pair/w/kernel", "shared/kernel"]
    assert {"shared", "shared:1"} <= set(graph.number)
    assert graph.groups[graph.number["shared:1"]].call == 1
    assert graph.groups[graph.number["inner/n:1"]].layer == "inner/n"


@pytest.mark.parametrize("suffix", FORMATS)
def test_inputs_and_outputs_by_name_are_in_the_order_of_their_names(keras: Any, tmp_path: Path, suffix: str) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    outputs = {"y": keras.layers.Add(name="s")([a, b]), "c": keras.layers.Subtract(name="d")([a, b])}
    model = keras.Model({"zz": a, "aa": b}, outputs)
    graph = lowered(model, tmp_path, suffix)
    assert [graph.groups[n].name for n in graph.sources] == [f"source_{t.name}" for t in model.inputs]
    assert [graph.groups[n].name for n in graph.sinks] == ["sink_d", "sink_s"]


def test_an_unused_output_of_a_nested_model_leaves_no_actors(keras: Any, tmp_path: Path) -> None:
    u = keras.Input((4,), name="u")
    pair = keras.Model(u, [keras.layers.Dense(3, name="v")(u), keras.layers.Dense(2, name="w")(u)], name="pair")
    x = keras.Input((4,), name="x")
    model = stirred(keras.Model(x, pair(x)[0]))
    graph = lowered(model, tmp_path, ".keras")
    assert "pair/v" in graph.number
    assert "pair/w" not in graph.number
    assert_agrees(keras, model, graph, samples(4))


@pytest.mark.parametrize("suffix", FORMATS)
def test_frozen_layers_keep_their_weights_apart(keras: Any, tmp_path: Path, suffix: str) -> None:
    layers = keras.layers
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4),
            layers.BatchNormalization(),
            layers.Dense(4, trainable=False),
            layers.BatchNormalization(),
        ]
    )
    frozen = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(4)])
    frozen.trainable = False
    model = stirred(keras.Sequential([keras.Input((4,)), inner, frozen, layers.Dense(2, trainable=False)]))
    assert_agrees(keras, model, lowered(model, tmp_path, suffix), samples(4))


def test_pairs_of_architecture_and_weights_agree(keras: Any, tmp_path: Path) -> None:
    model = branching(keras)
    (tmp_path / "model.json").write_text(model.to_json())
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.h5")
    model.save(tmp_path / "model.keras")
    for weights in ("model.weights.h5", "model.h5", "model.keras"):
        graph = lower(tmp_path / "model.json", tmp_path / weights)
        assert_agrees(keras, model, graph, samples(4, seed=1), samples(4, seed=2))


def test_both_formats_give_the_same_graph(keras: Any, tmp_path: Path) -> None:
    model = branching(keras)
    graphs = [lowered(model, tmp_path, suffix) for suffix in FORMATS]
    assert graphs[0].digest == graphs[1].digest


def test_layers_without_names_that_groups_can_have(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,), name="my pixels"), keras.layers.Dense(2, name="7 größe [x]")])
    graph = lowered(model, tmp_path, ".keras")
    assert [g.name for g in graph.groups] == ["source", "my_pixels", "_7_gr__e__x_", "sink"]
    assert graph.groups[2].layer == "7 größe [x]"
    assert_agrees(keras, model, graph, samples(3))


def test_many_layers_of_long_names_are_found_though_keras_cuts_their_list(keras: Any, tmp_path: Path) -> None:
    chain = [keras.layers.Dense(1, name=f"{'long' * 200}_{number}") for number in range(90)]
    model = stirred(keras.Sequential([keras.Input((1,)), *chain]))
    import h5py

    graph = lowered(model, tmp_path, ".h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert "layer_names1" in file["model_weights"].attrs
    assert_agrees(keras, model, graph, samples(1))


def test_custom_classes_are_refused_even_under_a_name_of_keras(keras: Any, tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("mine")
    class Dense(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x * 2

    model = keras.Sequential([keras.Input((3,)), Dense(name="impostor")])
    for suffix in FORMATS:
        with pytest.raises(UnsupportedLayerError) as caught:
            lowered(model, tmp_path, suffix)
        assert [name for name, _ in caught.value.layers] == ["impostor"]


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "bfloat16", "mixed_bfloat16"])
def test_layers_that_compute_in_less_than_float32_are_refused(keras: Any, tmp_path: Path, policy: str) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=policy, name="narrow")])
    with pytest.raises(UnsupportedLayerError, match=f"narrow: it computes in '{policy}'"):
        lowered(model, tmp_path, ".keras")


def test_quantised_layers_are_refused(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="quantised")])
    model.quantize("int8")
    with pytest.raises(UnsupportedLayerError, match="quantised"):
        lowered(model, tmp_path, ".keras")


def test_weights_in_float64_are_converted_and_noted(keras: Any, tmp_path: Path) -> None:
    model = stirred(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="float64")]))
    graph = lowered(model, tmp_path, ".keras")
    assert "float64" in graph.notes["weights"]
    assert_agrees(keras, model, graph, samples(3))


def test_batch_normalisation_stays_within_its_proved_bound(keras: Any, tmp_path: Path) -> None:
    """Means far larger than the results, so that Keras's way of deriving its factors in float32 shows."""
    rng = np.random.default_rng(11)
    model = keras.Sequential([keras.Input((4096,)), keras.layers.BatchNormalization(name="norm")])
    mean, variance = rng.normal(0, 100, 4096), 10 ** rng.uniform(-5, 3, 4096)
    model.layers[0].set_weights([rng.normal(0, 3, 4096), rng.normal(0, 3, 4096), mean, variance])
    graph = lowered(model, tmp_path, ".keras")
    x = (mean + np.sqrt(variance) * rng.normal(0, 1, (16, 4096))).astype(np.float32)
    number = graph.number["norm"]
    ball = Rounding(graph).evaluate(number, {number - 1: Ball.observed(x)}, TENSORFLOW)
    error = np.abs(model(x).numpy().astype(np.float64) - ball.value) / ball.spread
    assert error.max() < 1
    bare = dataclasses.replace(graph.groups[number], extra_roundings=0)
    bound = Graph("bare", [*graph.groups[:number], bare, *graph.groups[number + 1 :]], graph.channels, graph.params)
    ball = Rounding(bound).evaluate(number, {number - 1: Ball.observed(x)}, TENSORFLOW)
    assert (np.abs(model(x).numpy() - ball.value) / ball.spread).max() > 1, "the extra roundings must be needed"
