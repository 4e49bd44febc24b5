"""Operations on numbers as samples, and runs of modules that learnt them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

from graphsim.cli import main
from graphsim.datasets.operations import OPERATIONS, load_operations
from graphsim.datasets.ranges import HARDER, RANGES, SIGNS, Range
from graphsim.errors import UsageError


@pytest.mark.parametrize("operation", OPERATIONS)
def test_targets_are_the_operation_on_the_very_inputs(operation: str) -> None:
    found = load_operations(operation, RANGES[4], inputs=3, count=200, seed=5)
    assert found.inputs.shape == (200, 3)
    a, b = (found.inputs[:, i].astype(np.float64) for i in (0, 1))
    expected = {"add": a + b, "sub": a - b, "mul": a * b, "div": a / b}[operation]
    assert np.array_equal(found.targets, expected)
    assert ((np.abs(found.inputs) >= 2) & (np.abs(found.inputs) <= 6)).all()
    assert found.squared_error(expected[:, None].astype(np.float32)) < 1e-10
    assert np.isnan(found.squared_error(np.full((200, 1), np.nan, np.float32)))


def test_a_seed_says_which_samples() -> None:
    one, same, other = (load_operations("mul", RANGES[0], seed=seed).inputs for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("one", [*SIGNS, *HARDER], ids=lambda one: one.name)
def test_numbers_are_spread_by_the_law_of_their_range(one: Range) -> None:
    x = load_operations("div", one, inputs=3, count=20_000, seed=3).inputs.astype(np.float64)
    if one.law.kind == "apart":
        for values, (low, high) in zip((x[:, 0], x[:, 1], x[:, 2]), (one.test[0], *2 * [one.test[1]]), strict=True):
            assert kstest(values, "uniform", (low, high - low)).pvalue > 1e-3
        return
    flat = x.ravel()
    if one.law.kind == "benford":
        digits = np.array([int(f"{value:e}"[0]) for value in flat])
        expected = np.log10(1 + 1 / np.arange(1, 10))
        np.testing.assert_allclose(np.bincount(digits, minlength=10)[1:] / len(flat), expected, atol=0.01)
    elif one.law.kind == "normal":
        (low, high), (mean, deviation) = one.test[0], one.law.test
        ends = (np.array([low, high]) - mean) / deviation
        assert kstest(flat, "truncnorm", (*ends, mean, deviation)).pvalue > 1e-3
    else:
        assert all(((flat >= low) & (flat <= high)).mean() == pytest.approx(0.5, abs=0.02) for low, high in one.test)


def test_one_input_is_too_few() -> None:
    with pytest.raises(UsageError, match="two inputs at least"):
        load_operations("mul", RANGES[0], inputs=1)


def test_a_module_runs_on_its_operation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from graphsim.zoo.arithmetic.layers import LAYERS
    from graphsim.zoo.arithmetic.modules import keras

    layer = LAYERS["NMRU"](1)
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.held["w"].assign(np.array([[1], [0], [0], [1]], np.float32))
    model.save(tmp_path / "divide.h5")
    options = ["--dataset", "arithmetic", "--op", "div", "--range", "[-2,2]", "--samples", "50", "-m", "line:2"]
    assert main(["run", str(tmp_path / "divide.h5"), *options, "--json", str(tmp_path / "r.json")]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["agreement"]["neurons_outside_bound"] == 0
    errors = record["accuracy"]["mean_squared_error"]
    assert errors["graphsim"] < 1e-10
    assert errors["reference"] < 1e-10
    assert "mean squared, of 50" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--op", "root"], ["--range", "[3,4]"], ["--inputs", "5"]])
def test_operations_that_there_are_not(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(Path(__file__).parents[1] / "models" / "digits_mlp.h5")
    assert main(["run", model, "--dataset", "arithmetic", *options]) == 2
    assert main(["run", model, "--dataset", "digits", *options]) == 2
    assert "only for --dataset arithmetic" in " ".join(capsys.readouterr().err.split())
