"""Layers of arithmetic modules as actors: every value within its bound of TensorFlow's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from oracle import judged_by_tensorflow

from graphsim.errors import ModelError, UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.graph.formula import formulas
from graphsim.zoo.arithmetic.layers import LAYERS, ArithmeticCell
from graphsim.zoo.arithmetic.modules import MODULES, keras

INPUTS, UNITS = 4, 3


def saved(name: str, folder: Path, seed: int = 0, whole: bool = False, suffix: str = "keras") -> Path:
    """A model of one module with weights anywhere it may have them, or with whole ones."""
    layer = LAYERS[name](UNITS, name="unit")
    model = keras.Sequential([keras.Input((INPUTS,)), layer])
    rng = np.random.default_rng(seed)
    for key, weight in MODULES[name].weights.items():
        low, high = weight.clip or (-2.0, 2.0)
        values = rng.uniform(low, high, weight.shape(INPUTS, UNITS))
        layer.held[key].assign(np.rint(values) if whole else values)
    path = folder / f"{name}.{suffix}"
    model.save(path)
    return path


def converged(name: str, folder: Path, seed: int = 0, off: float = 0.01) -> Path:
    """A model whose matrices and gates are within ``off`` of whole numbers; one output may take no input at all."""
    module, rng = MODULES[name], np.random.default_rng(seed)
    layer = LAYERS[name](UNITS, name="unit")
    model = keras.Sequential([keras.Input((INPUTS,)), layer])
    for key, weight in module.weights.items():
        low = 0 if key == "gate" else min(module.whole)
        shape = weight.shape(INPUTS, UNITS)
        values = rng.integers(low, 2, shape) * (key != "wi") * (1 - off) + rng.uniform(0, off, shape)
        if key.startswith("what"):  # tanh, or the sigmoid of a PosNAC
            values = 8 * np.rint(values) if "mhat" in module.weights else 5 * (2 * np.rint(values) - 1)
        elif key.startswith("mhat"):
            values = np.full(shape, 9.0)
        elif key == "gate" and weight.kind == "outputs":
            values = 5 * (2 * np.rint(values) - 1)
        elif key == "gate" and weight.kind == "inputs":  # an input that counts nowhere
            values = np.array([1.0, 0.01, 0.99, 1.02])
        if weight.kind == "matrix" and seed and not key.startswith("mhat") and key != "gate" and name != "PosNACMul":
            values[:, -1] = 0
        layer.held[key].assign(values)
    path = folder / f"{name}.keras"
    model.save(path)
    return path


def inputs(seed: int = 0) -> npt.NDArray[np.float32]:
    """Numbers of either sign and many sizes, zero among them where modules take it."""
    rng = np.random.default_rng(seed)
    size = 2.0 ** rng.uniform(-6, 4, (40, INPUTS))
    return (size * rng.choice([-1, 1], size.shape)).astype(np.float32)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_lowered_within_its_bounds(name: str, whole: bool, tmp_path: Path) -> None:
    path = saved(name, tmp_path, whole=whole)
    comparison = judged_by_tensorflow(path, lower(path), inputs())
    assert comparison.ok
    assert comparison.neurons_checked >= 40 * UNITS


@pytest.mark.parametrize("name", ["NALU", "NMU", "NMRU"])
def test_zeros_and_h5_files(name: str, tmp_path: Path) -> None:
    given = inputs(1)
    given[::3, 1] = 0
    path = saved(name, tmp_path, seed=2, suffix="h5")
    assert judged_by_tensorflow(path, lower(path), given).ok


def test_a_module_on_more_than_a_vector_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5, 2)), LAYERS["NAU"](1, name="unit")])
    model.save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedLayerError, match="unit: it takes a vector per sample"):
        lower(tmp_path / "m.keras")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODULES)
def test_a_formula_is_within_its_bounds_of_the_module_with_whole_weights(name: str, seed: int, tmp_path: Path) -> None:
    path = converged(name, tmp_path, seed)
    graph = lower(path, discretize=0.1)
    comparison = judged_by_tensorflow(path, graph, inputs(seed))
    assert comparison.ok
    assert comparison.neurons_checked >= 40 * UNITS


def test_a_weight_that_has_not_converged_is_named(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), LAYERS["NMRU"](1, name="unit")])
    model.layers[0].held["w"].assign([[1.0], [0.05], [0.37], [0.9]])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"'unit': has not converged: w\[2, 0\] = 0\.37 is 0\.37 from 0, farther than"):
        lower(tmp_path / "m.keras", discretize=0.1)
    assert formulas(lower(tmp_path / "m.keras", discretize=0.4)) == ["y = x0 * 1/x1"]


def test_an_imaginary_exponent_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), LAYERS["NPU"](1, name="unit")])
    for name, value in (("wr", 1.0), ("wi", 1.0), ("gate", 1.0)):
        held = model.layers[0].held[name]
        held.assign(np.full(held.shape, value))
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"wi\[0, 0\] = 1 is 1 from 0"):
        lower(tmp_path / "m.keras", discretize=0.1)


def test_a_model_without_arithmetic_is_not_discretized(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="no layer of an arithmetic module"):
        lower(tmp_path / "m.keras", discretize=0.1)


@pytest.mark.parametrize(
    ("weights", "formula"),
    [
        ([1, 0, 0, 1, 0, 0, 0, -1], "y = x0 + x3 - x7"),
        ([0, -1, 0, 0, 0, 0, 0, 0], "y = -x1"),
        ([0, 1, 1, 0, 0, 0, 0, 0], "y = x1 + x2"),
    ],
)
def test_a_sum_has_the_inputs_that_count(weights: list[float], formula: str, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8,)), LAYERS["NAU"](1, name="unit")])
    model.layers[0].held["w"].assign(np.reshape(weights, (8, 1)))
    model.save(tmp_path / "m.keras")
    graph = lower(tmp_path / "m.keras", discretize=0.1)
    assert formulas(graph) == [formula]
    assert [edge.weight or 1 for edge in graph["unit", 0].inputs] == [w for w in weights if w]


def recurrent(name: str, weights: list[list[float]], path: Path) -> Path:
    """A recurrent layer of one module on three steps of two numbers, with its only matrix."""
    cell = ArithmeticCell(name, 2)
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.RNN(cell, return_sequences=True, name="rnn")])
    cell.held["w"].assign(weights)
    model.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "weights", "states"),
    [
        (
            "NAU",
            [[0.99, 0], [0, 1], [1, -0.98], [0, 0.02]],
            ["serial(x0, x2, x4) + rnn[0](t-1)", "serial(x1, x3, x5) - rnn[0](t-1)"],
        ),
        (
            "NMU",
            [[1, 0.01], [0.97, 0], [0, 1], [0, 0]],
            ["serial(x0, x2, x4) * serial(x1, x3, x5)", "rnn[0](t-1)"],
        ),
    ],
)
def test_a_recurrent_cell_with_whole_weights_is_a_recurrence(
    name: str, weights: list[list[float]], states: list[str], tmp_path: Path
) -> None:
    path = recurrent(name, weights, tmp_path / "m.keras")
    graph = lower(path, discretize=0.1)
    steps = np.random.default_rng(0).uniform(-2, 2, (20, 3, 2)).astype(np.float32)
    assert judged_by_tensorflow(path, graph, steps).ok
    assert formulas(graph)[:2] == [f"rnn[{number}](t) = {state}" for number, state in enumerate(states)]


def test_a_recurrent_cell_that_has_not_converged_is_named(tmp_path: Path) -> None:
    path = recurrent("NAU", [[1, 0], [0, 0.6], [0, 0], [0, 0]], tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"'rnn': has not converged: w\[1, 1\] = 0\.6 is 0\.4 from 1"):
        lower(path, discretize=0.1)
