"""The outside reference: it computes what Keras computes, shows it under the graph's names, and fails kindly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from strategies import ACTIVATION_ARGS, OTHER_ARGS

from graphsim.analysis.rounding import TENSORFLOW, Ball, Rounding
from graphsim.compare import TensorFlowReference, compare_with_reference, wanted_tensors
from graphsim.datasets import load
from graphsim.errors import ReferenceUnavailableError
from graphsim.frontends.keras import lower
from graphsim.graph import Dense, Graph, Group, OneToOne
from graphsim.graph.ops import ACTIVATIONS
from graphsim.simulate.reference import ReferenceEngine

MODELS = Path(__file__).parents[1] / "models"

#: TensorFlow is imported by the first of these, which takes some five seconds.
pytestmark = pytest.mark.slow


class Samples:
    """Images without a dataset; the labels say nothing."""

    def __init__(self, images: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        self.inputs, self.labels = images, np.zeros(len(images), np.int64)


@pytest.fixture(scope="module")
def keras() -> Any:
    from graphsim.zoo.quiet import import_tensorflow

    return import_tensorflow()[1]


@pytest.fixture(scope="module")
def digits() -> TensorFlowReference:
    return TensorFlowReference(MODELS / "digits_mlp.h5")


def test_the_walk_is_the_model_bit_for_bit(digits: TensorFlowReference) -> None:
    images = load("digits").images
    found = digits.run(images, len(images))
    assert np.array_equal(found["dense_1", 0, "output"], digits.predict(images)[0])


def test_tensors_are_named_as_the_graph_names_them(digits: TensorFlowReference) -> None:
    wanted = wanted_tensors(lower(MODELS / "digits_mlp.h5"))
    found = digits.run(load("digits").images[:7], 3, wanted)
    assert set(found) == wanted == {("dense", 0, "output"), ("dense_1", 0, "pre"), ("dense_1", 0, "output")}
    assert {values.shape for values in found.values()} == {(7, 32), (7, 10)}
    assert all(values.dtype == np.float32 for values in found.values())


def test_before_and_after_the_activation(digits: TensorFlowReference) -> None:
    found = digits.run(load("digits").images[:50], 50)
    assert np.array_equal(np.maximum(found["dense", 0, "pre"], 0), found["dense", 0, "output"])
    assert (found["dense", 0, "pre"] < 0).any()


def test_the_compiled_model_takes_time(digits: TensorFlowReference) -> None:
    assert digits.seconds(load("digits").images[:20], 8) > 0


def test_shared_nested_and_merged_layers(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(3)
    x = layers.Input((6,), name="x")
    shared = layers.Dense(6, activation="tanh", name="shared")
    inner_in = layers.Input((6,), name="inner_in")
    inner = keras.Model(inner_in, layers.Dense(5, activation="gelu", name="deep")(inner_in), name="inner")
    first = shared(x)
    second = shared(first)
    merged = layers.Add(name="sum")([first, second])
    joined = layers.Concatenate(name="joined")([inner(merged), x])
    stacked = keras.Sequential([layers.Dense(4, name="a"), layers.Softmax(name="b")], name="stacked")
    y = layers.Dense(3, activation="softmax", name="classes")(joined)
    model = keras.Model(x, [y, stacked(merged)])
    path = tmp_path / "net.keras"
    model.save(path)
    images = np.random.default_rng(0).normal(0, 1, (40, 6)).astype(np.float32)
    reference, graph = TensorFlowReference(path), lower(path)
    found = reference.run(images, 40)
    outputs = reference.predict(images)
    assert np.array_equal(found["classes", 0, "output"], outputs[0])
    assert np.array_equal(found["stacked/b", 0, "output"], outputs[1])
    assert np.array_equal(found["shared", 0, "output"] + found["shared", 1, "output"], found["sum", 0, "output"])
    assert {("inner/deep", 0, "output"), ("stacked/a", 0, "output")} <= set(found)
    comparison = compare_with_reference(graph, path, None, Samples(images), ReferenceEngine(graph).run(images))
    assert comparison.ok, comparison.first_divergence
    assert len(comparison.outputs) == 2
    assert wanted_tensors(graph) <= set(found)


def test_calls_are_numbered_as_the_model_was_put_together(keras: Any, tmp_path: Path) -> None:
    """A later call of a shared layer may be computed first; a shared model calls its layers anew."""
    layers = keras.layers
    keras.utils.set_random_seed(4)
    x = layers.Input((5,), name="x")
    shared = layers.Dense(5, activation="tanh", name="shared")
    early = shared(layers.Dense(5, name="long")(layers.Dense(5, name="before")(x)))
    late = shared(x)
    for i in range(3):
        late = layers.Dense(5, activation="relu", name=f"after{i}")(late)
    inner_in = layers.Input((5,), name="inner_in")
    twice = layers.Dense(5, activation="elu", name="twice")
    inner = keras.Model(inner_in, twice(twice(inner_in)), name="inner")
    model = keras.Model(x, layers.Add(name="sum")([early, inner(late), inner(early)]))
    path = tmp_path / "net.keras"
    model.save(path)
    graph = lower(path)
    images = np.random.default_rng(0).normal(0, 1, (10, 5)).astype(np.float32)
    found = TensorFlowReference(path).run(images, 10)
    by_hand = np.tanh(images @ np.asarray(shared.kernel) + np.asarray(shared.bias))
    assert found["shared", 1, "output"] == pytest.approx(by_hand, abs=1e-5)
    assert {key for key in found if key[0] == "inner/twice" and key[2] == "output"} == {
        ("inner/twice", i, "output") for i in range(4)
    }
    comparison = compare_with_reference(graph, path, None, Samples(images), ReferenceEngine(graph).run(images))
    assert comparison.ok, comparison.first_divergence
    assert comparison.neurons_checked == 10 * 5 * (2 + 2 + 3 + 4 + 1)


def test_every_layer_that_is_lowered_agrees(keras: Any, tmp_path: Path) -> None:
    """Batch normalisation, rescaling, normalisation, merges and activation layers, each within its bound."""
    layers = keras.layers
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(1)
    x = layers.Input((4, 6), name="x")
    norm = layers.Normalization(axis=-1, mean=rng.normal(0, 1, 6), variance=rng.uniform(0.1, 3, 6), name="norm")
    y = layers.Rescaling(1 / 3, offset=-0.2, name="rescaled")(norm(x))
    y = layers.Dense(8, name="dense")(y)
    batch = layers.BatchNormalization(name="batch")
    y = layers.LeakyReLU(0.3, name="leaky")(batch(y))
    a, b = layers.Dense(8, "silu", name="a")(y), layers.Dense(8, "softplus", name="b")(y)
    merged = [
        merge(name=merge.__name__.lower())([a, b])
        for merge in (layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum)
    ]
    y = layers.Concatenate(name="all")(merged)
    y = layers.ELU(1.3, name="elu")(layers.PReLU(alpha_initializer="glorot_normal", name="prelu")(y))
    y = layers.Flatten(name="flat")(layers.Dense(5, "log_softmax", name="log")(y))
    model = keras.Model(x, layers.Dense(3, "sigmoid", name="last")(y))
    batch.set_weights([rng.normal(1, 0.3, 8), rng.normal(0, 1, 8), rng.normal(0, 2, 8), rng.uniform(0.01, 4, 8)])
    path = tmp_path / "wide.keras"
    model.save(path)
    graph = lower(path)
    images = rng.normal(0, 2, (60, 4, 6)).astype(np.float32)
    comparison = compare_with_reference(graph, path, None, Samples(images), ReferenceEngine(graph).run(images))
    assert comparison.ok, comparison.first_divergence
    seen = {layer.layer for layer in comparison.layers if layer.checked}
    assert seen >= {"norm", "rescaled", "dense", "batch", "leaky", "a", "b", "multiply", "all", "prelu", "elu", "log"}


# -- the allowances of the activation table -------------------------------------------------------------------------


def keras_function(keras: Any, name: str, args: tuple[float, ...]) -> Callable[[Any], Any]:
    a = keras.activations
    special: dict[str, Callable[[Any], Any]] = {
        "exp": a.exponential,
        **{row: getattr(keras.ops, row) for row in ("log", "square", "abs", "negative")},
        **{row: getattr(keras.ops, row) for row in ("sqrt", "rsqrt", "reciprocal", "log1p", "expm1", "erf")},
        **{row: getattr(keras.ops, row) for row in ("sign", "floor", "ceil", "round", "trunc", "sin", "cos")},
        "clip": lambda x: keras.ops.clip(x, *args),
        "power": lambda x: keras.ops.power(x, *args),
        "zero": lambda x: keras.ops.cast(keras.ops.equal(x, 0), "float32"),
        "nonzero": lambda x: keras.ops.cast(keras.ops.not_equal(x, 0), "float32"),
        "positive": lambda x: keras.ops.cast(keras.ops.greater(x, 0), "float32"),
        "nonnegative": lambda x: keras.ops.cast(keras.ops.greater_equal(x, 0), "float32"),
        "gelu": lambda x: a.gelu(x, approximate=False),
        "gelu_tanh": lambda x: a.gelu(x, approximate=True),
        "hard_sigmoid_v2": TensorFlowReference(MODELS / "digits_mlp.h5").hard_sigmoid_v2,
        "clipped_relu": lambda x: keras.layers.ReLU(args[1], args[0], args[2])(x),
    }
    return special.get(name) or (lambda x: getattr(a, name)(x, *args))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_tensorflows_activations_keep_the_stated_allowances(keras: Any, name: str) -> None:
    """Over float32 numbers of every exponent and both signs, one in 2**14 of all there are, and around zero."""
    args = {**OTHER_ARGS, **ACTIVATION_ARGS}[name]
    bits = np.arange(0, 2**32, 2**14 + 1, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([bits.view(np.float32), np.linspace(-20, 20, 2**16, dtype=np.float32)])
    x = x[np.isfinite(x)]
    if name == "squareplus":
        x = x[np.abs(x) < 1e19]  # TensorFlow squares x, which overflows above
    if name in ("log", "sqrt", "rsqrt", "power"):
        x = x[x > 0]
    if name == "log1p":
        x = x[x > -1]
    found = np.asarray(keras_function(keras, name, args)(keras.ops.convert_to_tensor(x)))
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(1,)),
        Group(name="y", op="sum", shape=(1,), activation=name, activation_args=args),
    ]
    graph = Graph(name, groups, [Dense(src=0, dst=1), OneToOne(src=1, dst=2)], {})
    ball = Rounding(graph).evaluate(2, {1: Ball.observed(x[:, None])}, TENSORFLOW)
    exact, bound = ball.value[:, 0], ball.spread[:, 0]
    with np.errstate(invalid="ignore"):
        within = (found == exact) | (np.abs(found - exact) <= bound)
    assert within.all(), x[~within]


# -- older files ----------------------------------------------------------------------------------------------------


def test_files_of_keras_2_are_read_as_they_are(shared: Path) -> None:
    folder = shared / "models" / "dl4j"
    leaky = TensorFlowReference(folder / "LeakyReLU_0_model.h5")
    assert leaky.run(np.ones((2, 16), np.float32), 2)["dense", 0, "output"].shape == (2, 32)
    pair = TensorFlowReference(folder / "mnist_mlp_tf_keras_2_config.json", folder / "mnist_mlp_tf_keras_2_weights.h5")
    with h5py.File(folder / "mnist_mlp_tf_keras_2_inputs_and_outputs.h5") as file:
        inputs, expected = file["inputs/dense_1_input"][()], file["predictions/dense_3"][()]
    assert np.abs(pair.run(inputs, 100)["dense_3", 0, "output"] - expected).max() < 1e-5


def test_a_bare_list_of_layers_is_opened(shared: Path) -> None:
    reference = TensorFlowReference(shared / "models" / "dl4j" / "cnn_batch_norm.h5")
    found = reference.run(np.ones((1, 10, 10, 3), np.float32), 1)
    assert ("batch_normalization_1", 0, "output") in found


def test_hard_sigmoid_means_what_it_meant_when_the_file_was_written(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((1,)), layers.Dense(1, "hard_sigmoid", name="d"), layers.Activation("hard_sigmoid", name="e")]
    )
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    path = tmp_path / "old.h5"
    model.save(path)
    x = np.array([[-2.75], [1.0]], np.float32)
    now = TensorFlowReference(path).run(x, 2)
    then = TensorFlowReference(path, hard_sigmoid_v2={"d", "e"})
    assert now["d", 0, "output"][:, 0] == pytest.approx([0.25 / 6, 4 / 6])
    assert then.run(x, 2)["d", 0, "output"][:, 0] == pytest.approx([0.0, 0.7])
    assert then.run(x, 2)["e", 0, "output"][:, 0] == pytest.approx([0.5, 0.64])
    assert "d, e" in then.notes[0]


# -- failing kindly -------------------------------------------------------------------------------------------------


def test_without_tensorflow_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ReferenceUnavailableError, match=r"\[tensorflow\].*--no-reference"):
        TensorFlowReference(MODELS / "digits_mlp.h5")


def test_files_that_keras_cannot_read_are_named_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"not a model")
    with pytest.raises(ReferenceUnavailableError, match=r"broken\.h5.*--no-reference"):
        TensorFlowReference(broken)
    strange = tmp_path / "strange.json"
    strange.write_text(json.dumps({"class_name": "Nothing", "config": {}}))
    with pytest.raises(ReferenceUnavailableError, match=r"strange\.json"):
        TensorFlowReference(strange)


def test_code_in_a_file_is_refused(shared: Path) -> None:
    with pytest.raises(ReferenceUnavailableError, match="sequential_lambda"):
        TensorFlowReference(shared / "models" / "dl4j" / "sequential_lambda.h5")


def test_samples_of_another_shape_are_refused(digits: TensorFlowReference) -> None:
    with pytest.raises(ReferenceUnavailableError, match=r"\(8, 8\).*\(3,\)"):
        digits.run(np.ones((2, 3), np.float32), 2)


def test_other_precisions_are_refused(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2, dtype="float64", name="d")])
    model.save(tmp_path / "double.keras")
    with pytest.raises(ReferenceUnavailableError, match="float64"):
        TensorFlowReference(tmp_path / "double.keras")


def test_loading_is_quiet() -> None:
    code = (
        "import sys; from graphsim.compare import TensorFlowReference\n"
        f"TensorFlowReference({str(MODELS / 'digits_mlp.h5')!r}).predict(__import__('numpy').zeros((1, 64), 'f'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
