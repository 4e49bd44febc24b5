"""The Keras layer of differentiable gates, against formulas, finite differences, and nets of chosen gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needed import needed

from graphsim.zoo.logic.gates import NAMES, POLYNOMIALS
from graphsim.zoo.logic.learnt import Learnt
from graphsim.zoo.logic.wiring import wiring

needed("tensorflow")

from graphsim.zoo.logic.layers import Gates, keras, mixing, tf  # noqa: E402


def net(*layers: Gates, inputs: int) -> Any:
    return keras.Sequential([keras.Input((inputs,)), *layers])


def shuffled(model: Any, seed: int) -> Any:
    random = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([random.normal(0, 2, layer.logits.shape).astype(np.float32)])
    return model


def every(bits: int) -> np.ndarray[Any, Any]:
    return (np.arange(1 << bits)[:, None] >> np.arange(bits) & 1).astype(np.float32)


def test_a_fresh_layer_passes_a_on() -> None:
    layer = Gates(6, [(5, 0)])
    model = net(layer, inputs=5)
    inputs = np.random.default_rng(0).random((7, 5), np.float32)
    assert np.array_equal(model(inputs, training=False), inputs[:, layer.wires[:, 0]])
    assert np.allclose(model(inputs, training=True), inputs[:, layer.wires[:, 0]], atol=2e-3)
    assert np.asarray(layer.logits).tolist() == [[10.0 if name == "A" else 0.0 for name in NAMES]] * 6


def test_training_mixes_the_gates_by_their_shares() -> None:
    model = shuffled(net(Gates(8, [3]), inputs=4), 1)
    (layer,) = model.layers
    logits = np.asarray(layer.logits, np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    inputs = np.random.default_rng(2).random((5, 4), np.float32)
    a, b = inputs[:, layer.wires[:, 0]], inputs[:, layer.wires[:, 1]]
    sixteen = np.stack([c0 + ca * a + cb * b + cab * a * b for c0, ca, cb, cab in POLYNOMIALS.tolist()])
    assert np.allclose(model(inputs, training=True), np.einsum("kng,gk->ng", sixteen, shares), atol=1e-6)


@pytest.mark.parametrize("samples", [5, 32])
def test_gradients_against_finite_differences(samples: int) -> None:
    """The function is a polynomial of degree two in each argument, of which central differences are exact."""
    wires, random = wiring(6, 20, 4), np.random.default_rng(3)
    values, polynomials = random.random((6, samples)), random.normal(size=(20, 4))
    weight = random.normal(size=(20, samples))
    function = mixing(wires, 6)

    def loss(values: Any, polynomials: Any) -> Any:
        return tf.reduce_sum(function(values, polynomials) * weight)

    arguments = [tf.constant(values), tf.constant(polynomials)]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        found = tape.gradient(loss(*arguments), arguments)
    for at, argument in enumerate((values, polynomials)):
        expected = np.zeros_like(argument)
        for place in np.ndindex(argument.shape):
            both = [values.copy(), polynomials.copy()]
            both[at][place] += 0.5
            above = float(loss(*map(tf.constant, both)))
            both[at][place] -= 1.0
            expected[place] = above - float(loss(*map(tf.constant, both)))
        assert np.allclose(found[at], expected, rtol=1e-9, atol=1e-9)


def test_evaluation_is_the_net_of_chosen_gates() -> None:
    model = shuffled(net(Gates(20, [1]), Gates(12, [2]), Gates(4, [3]), inputs=7), 4)
    found = np.asarray(model(every(7), training=False))
    assert set(np.unique(found)) <= {0.0, 1.0}
    assert np.array_equal(found, Learnt.of_model(model)(every(7) > 0))


def test_nets_side_by_side_are_the_nets_alone() -> None:
    beside = shuffled(net(Gates(8, [5, 6], shared=True), Gates(3, [(5, 1), (6, 1)]), inputs=4), 9)
    inputs = np.random.default_rng(1).random((6, 4), np.float32)
    together = np.asarray(beside(inputs, training=True))
    for at, seed in enumerate((5, 6)):
        alone = net(Gates(8, [seed]), Gates(3, [(seed, 1)]), inputs=4)
        for layer, both in zip(alone.layers, beside.layers, strict=True):
            layer.set_weights([np.split(np.asarray(both.logits), 2)[at]])
        assert np.array_equal(alone(inputs, training=True), together[:, 3 * at : 3 * at + 3])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_serialisation(suffix: str, tmp_path: Path) -> None:
    model = shuffled(net(Gates(8, [5, 6], shared=True, start=3.0), Gates(3, [(5, 1), (6, 1)]), inputs=4), 9)
    model.save(tmp_path / f"net{suffix}")
    loaded = keras.models.load_model(tmp_path / f"net{suffix}", compile=False)
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    inputs = np.random.default_rng(1).random((6, 4), np.float32)
    for training in (False, True):
        assert np.array_equal(loaded(inputs, training=training), model(inputs, training=training))


def test_layers_of_no_net_are_refused() -> None:
    with pytest.raises(ValueError, match="one net at least"):
        Gates(8, [])
    assert Gates(8, np.arange(2)).get_config()["seeds"] == [0, 1]


def test_inputs_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(ValueError, match="7 inputs cannot be split among 2 nets"):
        net(Gates(8, [5, 6]), inputs=7)
