"""Arithmetic modules against their equations, written again as loops over plain numbers, and their gradients."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphsim.errors import UsageError
from graphsim.zoo.arithmetic.layers import LAYERS
from graphsim.zoo.arithmetic.modules import MODULES, keras, length, module_named, penalty, sparsity_error, tf

PHI = (1 + 5**0.5) / 2
X = np.array([[1.5, -0.7, 2.25], [-3.0, 0.4, 0.9], [0.2, 5.0, -1.1]])
UNITS = 2


def sigmoid(v: float, base: float = math.e) -> float:
    return 1 / (1 + base**-v)


def tanh(v: float, base: float = math.e) -> float:
    return (base**v - base**-v) / (base**v + base**-v)


def nac(w: Any, i: int, o: int, which: str = "", base: float = math.e) -> float:
    return tanh(w["what" + which][i, o], base) * sigmoid(w["mhat" + which][i, o], base)


def weighted(x: Any, w: Callable[[int], float]) -> float:
    return sum(w(i) * x[i] for i in range(len(x)))


def power(x: Any, w: Callable[[int], float]) -> float:
    return math.exp(sum(w(i) * math.log(abs(x[i]) + 1e-7) for i in range(len(x))))


def nalu(w: Any, x: Any, o: int, base: float = math.e, which: str = "") -> float:
    g = sigmoid(weighted(x, lambda i: w["gate"][i, o]), base)
    one = weighted(x, lambda i: nac(w, i, o, "", base))
    return g * one + (1 - g) * power(x, lambda i: nac(w, i, o, which, base))


def inalu(w: Any, x: Any, o: int) -> float:
    g = sigmoid(w["gate"][o])
    exponent = sum(nac(w, i, o, "_mul") * math.log(abs(x[i]) + 1e-7) for i in range(len(x)))
    s = math.prod(
        math.copysign(1, x[i]) * abs(nac(w, i, o, "_mul")) + 1 - abs(nac(w, i, o, "_mul")) for i in range(len(x))
    )
    return g * weighted(x, lambda i: nac(w, i, o)) + (1 - g) * s * math.exp(min(20, exponent))


def npu(w: Any, x: Any, o: int) -> float:
    """As its authors have it: a complex power of complex numbers, and the real part of it."""
    total = 0j
    for i in range(len(x)):
        g = min(max(w["gate"][i], 0), 1)
        r, k = g * (abs(x[i]) + 2**-23) + 1 - g, math.pi * g if x[i] < 0 else 0
        total += complex(w["wr"][i, o], w["wi"][i, o] if "wi" in w else 0) * complex(math.log(r), k)
    return cmath.exp(total).real


def nru(w: Any, x: Any, o: int) -> float:
    terms = [(x[i], w["w"][i, o]) for i in range(len(x))]
    return math.prod(math.copysign(abs(v) ** u, v) * abs(u) + 1 - abs(u) for v, u in terms)


def nmru(w: Any, x: Any, o: int) -> float:
    both = [*x, *(1 / v for v in x)]
    size = math.prod(w["w"][i, o] * abs(v) + 1 - w["w"][i, o] for i, v in enumerate(both))
    return size * math.cos(sum(w["w"][i, o] * math.pi for i, v in enumerate(both) if v < 0))


def nmu(w: Any, x: Any, o: int) -> float:
    return math.prod(w["w"][i, o] * x[i] + 1 - w["w"][i, o] for i in range(len(x)))


EQUATIONS: dict[str, Callable[[Any, Any, int], float]] = {
    "NAC": lambda w, x, o: weighted(x, lambda i: nac(w, i, o)),
    "NACMul": lambda w, x, o: power(x, lambda i: nac(w, i, o)),
    "PosNACMul": lambda w, x, o: power(x, lambda i: sigmoid(w["what"][i, o])),
    "NALU": nalu,
    "NALUSeparate": lambda w, x, o: nalu(w, x, o, which="_mul"),
    "GNALU": lambda w, x, o: nalu(w, x, o, base=PHI),
    "INALU": inalu,
    "NAU": lambda w, x, o: weighted(x, lambda i: w["w"][i, o]),
    "NMU": nmu,
    "SNMU": nmu,
    "NPU": npu,
    "RealNPU": npu,
    "RealNPUModified": npu,
    "NRU": nru,
    "NMRU": nmru,
}


def drawn(name: str, seed: int = 1, dtype: Any = np.float64) -> dict[str, Any]:
    """Weights somewhere within where the module holds them, far from zero."""
    rng, found = np.random.default_rng(seed), {}
    for key, weight in MODULES[name].weights.items():
        low, high = weight.clip or (-1.0, 1.0)
        if key == "gate" and "NPU" in name:
            low, high = 0.0, 1.0
        found[key] = rng.uniform(low, high, weight.shape(X.shape[1], UNITS)).astype(dtype)
    return found


def test_every_module_has_an_equation() -> None:
    assert EQUATIONS.keys() == MODULES.keys() == LAYERS.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_computes_its_equation(name: str) -> None:
    w = drawn(name)
    found = MODULES[name].forward(w, tf.constant(X), False).numpy()
    expected = [[EQUATIONS[name](w, x, o) for o in range(UNITS)] for x in X]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", MODULES)
def test_models_side_by_side_are_models_alone(name: str) -> None:
    models = [drawn(name, seed, np.float32) for seed in range(3)]
    xs = np.stack([X * scale for scale in (1, 2, -0.5)]).astype(np.float32)
    together = MODULES[name].forward({k: np.stack([m[k] for m in models]) for k in models[0]}, tf.constant(xs), False)
    for number, (w, x) in enumerate(zip(models, xs, strict=True)):
        alone = MODULES[name].forward(w, tf.constant(x), False)
        np.testing.assert_allclose(together[number], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MODULES)
def test_gradients_are_differences(name: str) -> None:
    w = drawn(name)
    module, x, noise = MODULES[name], tf.constant(X), np.random.default_rng(2).uniform(1, 5, X.shape)
    training = name == "SNMU"  # what the others do in training is tested apart

    def loss(weights: dict[str, Any]) -> Any:
        return tf.reduce_sum(tf.sin(module.forward(weights, x, training, noise)))

    variables = {key: tf.Variable(value) for key, value in w.items()}
    with tf.GradientTape() as tape:
        total = loss(variables)
    gradients = tape.gradient(total, variables)
    for key, value in w.items():
        for at in np.ndindex(value.shape):
            step = 1e-6
            ends = []
            for sign in (1, -1):
                moved = {k: v.copy() for k, v in w.items()}
                moved[key][at] += sign * step
                ends.append(float(loss(moved)))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(gradients[key].numpy()[at]) == pytest.approx(slope, rel=1e-4, abs=1e-5), (key, at)


def test_noise_that_multiplies_a_product_cancels_where_weights_are_whole() -> None:
    w = {"w": np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])}
    noise = np.random.default_rng(0).uniform(1, 5, X.shape)
    quiet = MODULES["SNMU"].forward(w, tf.constant(X), False).numpy()
    np.testing.assert_allclose(MODULES["SNMU"].forward(w, tf.constant(X), True, noise), quiet, rtol=1e-12)


def test_an_nru_in_training_counts_any_weight_but_zero_as_whole() -> None:
    w = {"w": np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 1e-9]])}
    found = MODULES["NRU"].forward(w, tf.constant(X), True).numpy()
    np.testing.assert_allclose(found[:, 0], np.sign(X[:, 0] * X[:, 1]) * np.sqrt(np.abs(X[:, 0] / X[:, 1])), rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], 1, rtol=1e-9)


def test_division_by_zero_is_what_the_equation_gives() -> None:
    perfect = {
        "NMRU": {"w": [[1], [0], [0], [1]]},
        "NRU": {"w": [[1], [-1]]},
        "RealNPU": {"wr": [[1], [-1]], "gate": [1, 1]},
        "NACMul": {"what": [[20], [-20]], "mhat": [[20], [20]]},
    }

    def quotient(name: str, a: float, b: float) -> float:
        weights = {key: np.array(value, np.float32) for key, value in perfect[name].items()}
        return float(MODULES[name].forward(weights, tf.constant([[a, b]], tf.float32), False)[0, 0])

    assert quotient("NMRU", 3, 0) == math.inf
    assert quotient("NMRU", -3, 0) == -math.inf
    assert math.isnan(quotient("NMRU", 0, 3))  # 1/0, by a weight of 0
    assert math.isnan(quotient("NRU", 3, 0))  # the sign of 0, by 1/0
    assert quotient("NRU", 0, 3) == 0
    assert quotient("RealNPU", 3, 0) == pytest.approx(3 * 2**23, rel=1e-5)
    assert quotient("NACMul", 3, 0) == pytest.approx(3e7, rel=1e-4)


@pytest.mark.parametrize("name", MODULES)
def test_layers_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), LAYERS[name](UNITS, seed=3)])
    expected = model(X.astype(np.float32)).numpy()
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
        loaded = keras.models.load_model(tmp_path / f"m.{suffix}")
        np.testing.assert_array_equal(loaded(X.astype(np.float32)).numpy(), expected)


@pytest.mark.parametrize("name", ["NAU", "NMU", "NRU", "NMRU", "RealNPUModified"])
def test_weights_are_held_after_every_step(name: str) -> None:
    layer = LAYERS[name](1, sparsity=10.0)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(50.0), "mse")
    x = np.random.default_rng(0).uniform(1, 2, (32, 3)).astype(np.float32)
    model.fit(x, 100 * x[:, :1], epochs=2, batch_size=8, verbose=0)
    for key, weight in MODULES[name].weights.items():
        assert weight.clip is not None
        low, high = weight.clip
        assert np.all((layer.held[key].numpy() >= low) & (layer.held[key].numpy() <= high))


def test_a_seed_starts_a_layer_the_same_and_another_otherwise() -> None:
    x = X.astype(np.float32)
    one, same, other = (LAYERS["NALU"](2, seed=seed)(x).numpy() for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_starts_are_where_the_papers_say() -> None:
    wide = {}
    for name in ("NAU", "NMU", "INALU", "NMRU", "NPU"):
        layer = LAYERS[name](200, seed=1)
        layer.build((None, 300))
        wide[name] = {key: value.numpy() for key, value in layer.held.items()}
    assert np.abs(wide["NAU"]["w"]).max() == pytest.approx(3**0.5 * (2 / 500) ** 0.5, rel=1e-3)
    assert (wide["NMU"]["w"].min(), wide["NMU"]["w"].max()) == (
        pytest.approx(0.25, abs=1e-3),
        pytest.approx(0.75, abs=1e-3),
    )
    assert wide["INALU"]["what"].mean() == pytest.approx(0.88, abs=0.01)
    assert wide["INALU"]["mhat"].std() == pytest.approx(0.2, abs=0.01)
    assert wide["NMRU"]["w"].shape == (600, 200)
    assert (wide["NPU"]["wi"] == 0).all()
    assert (wide["NPU"]["gate"] == 0.5).all()


def test_distance_from_whole_numbers() -> None:
    matrix = np.array([[[1.0, -0.9], [0.0, 0.3]], [[1.0, 0.0], [-1.0, 1.0]]], np.float32)
    np.testing.assert_allclose(sparsity_error(matrix), [0.3, 0], atol=1e-7)
    np.testing.assert_allclose(penalty(MODULES["NAU"], {"w": matrix}), [0.1, 0], atol=1e-7)
    gated = {"wr": matrix, "gate": np.array([[0.75, 1], [1, 1]], np.float32)}
    np.testing.assert_allclose(penalty(MODULES["RealNPU"], gated), [0.225, 0], atol=1e-7)
    np.testing.assert_allclose(penalty(MODULES["RealNPUModified"], gated), [1.8 / 4 + 0.125, 0.25], atol=1e-7)
    np.testing.assert_allclose(length(MODULES["RealNPU"], gated), [2.2 + 1.75, 3 + 2], atol=1e-6)


def test_modules_are_named_as_people_write_them() -> None:
    assert module_named("iNALU").name == "INALU"
    assert module_named("G-NALU").name == "GNALU"
    with pytest.raises(UsageError, match="no arithmetic module 'NAND'; there are NAC, "):
        module_named("NAND")
