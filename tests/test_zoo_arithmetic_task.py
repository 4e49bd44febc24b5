"""The single module task: what is drawn, what is learnt, and studies that are gone on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphsim.cli import main
from graphsim.datasets.ranges import HARDER, RANGES, SIGNS, range_named
from graphsim.errors import DatasetError, UsageError
from graphsim.zoo.arithmetic import task
from graphsim.zoo.arithmetic.modules import MODULES, keras
from graphsim.zoo.arithmetic.study import Study, read_rows, run_study, summary
from graphsim.zoo.arithmetic.task import Recipe, recipe, train, wilson

QUICK = Recipe(inputs=2, steps=2000, batch=64, rate=1e-2, pull=10.0, start=1000, end=1500)


def test_numbers_are_drawn_evenly_from_their_intervals() -> None:
    unit = task.tf.constant(np.linspace(1e-6, 1 - 1e-6, 10001, dtype=np.float32))
    one = task._drawn(unit, RANGES, "test").numpy()
    for values, expected in zip(one, RANGES, strict=True):
        inside = np.zeros(len(values), bool)
        total = sum(high - low for low, high in expected.test)
        for low, high in expected.test:
            here = (values >= low - 1e-5) & (values <= high + 1e-5)
            assert here.mean() == pytest.approx((high - low) / total, abs=1e-3)
            inside |= here
        assert inside.all()


def test_numbers_are_drawn_by_the_laws_of_their_ranges() -> None:
    """Against NumPy's way to the same quantiles, in float64."""
    ranges = (*HARDER, RANGES[0], *SIGNS)
    unit = np.random.default_rng(1).random((2001, 3)).astype(np.float32)

    class Given:
        random = staticmethod(lambda shape: unit.astype(np.float64))

    found = task._drawn(task.tf.constant(unit), ranges, "test").numpy()
    for values, one in zip(found, ranges, strict=True):
        if one.law.kind != "even":
            np.testing.assert_allclose(values, one.drawn(unit.shape, Given()), rtol=1e-4, atol=1e-4)
        inside = [(values >= low - 1e-5) & (values <= high + 1e-5) for low, high in one.test]
        assert np.any(inside, axis=0).all()


def test_no_number_between_is_zero() -> None:
    unit = task.tf.function(lambda: task._units((1 << 16,), 7, 0), jit_compile=True)().numpy()
    assert ((unit > 0) & (unit < 1)).all()
    drawn = task._drawn(task.tf.constant([0.5 - 2.0**-24, 0.5 + 2.0**-24]), RANGES[4:5], "train").numpy()
    assert (drawn != 0).all()


@pytest.mark.parametrize(("name", "operation"), [("NAU", "sub"), ("NMU", "mul")])
def test_a_module_learns_its_operation(name: str, operation: str) -> None:
    settings = replace(QUICK, pull=0.01) if name == "NAU" else QUICK
    ranges = (RANGES[4], RANGES[4]) if name == "NAU" else RANGES[6:8]
    learnt = train(MODULES[name], operation, settings, ranges=ranges, seeds=range(3))
    assert all(row["solved"] for row in learnt.rows())
    whole = {"sub": [1, -1], "mul": [1, 1]}[operation]
    np.testing.assert_allclose(learnt.final["w"][..., 0], np.broadcast_to(whole, (2, 3, len(whole))), atol=1e-5)


def test_results_depend_on_neither_threads_nor_other_ranges() -> None:
    few = Recipe(2, 300, 32, 1e-2, 10.0, 100, 200)
    both = train(MODULES["NMU"], "mul", few, ranges=RANGES[5:7], seeds=range(2), threads=2)
    one = train(MODULES["NMU"], "mul", few, ranges=RANGES[6:7], seeds=range(2), threads=1)
    assert both.final["w"][1:].tobytes() == one.final["w"].tobytes()
    assert both.test[:, 1:].tobytes() == one.test.tobytes()


def test_training_is_the_recipe_step_by_step() -> None:
    """Replayed in float64: gradients as differences, the penalty, the clipped norm, Adam, and weights that are held."""
    settings = Recipe(inputs=2, steps=12, batch=8, rate=0.05, pull=10.0, start=4, end=9)
    learnt = train(MODULES["NMRU"], "div", settings, ranges=RANGES[:1], seeds=[4], threads=1)
    key = int(np.random.SeedSequence([4]).generate_state(1)[0] >> 1)
    units = task.tf.function(lambda step: task._units((1, 8, 2), key, step), jit_compile=True)
    w = task._start(MODULES["NMRU"], settings, 1, [4])["w"][0, 0].astype(np.float64)
    mean, square, norms = np.zeros_like(w), np.zeros_like(w), []
    for step in range(12):
        x = -20 + 10 * units(task.tf.constant(step)).numpy()[0].astype(np.float64)
        both = np.concatenate([x, 1 / (x + 2.0**-23)], axis=1)
        pull = 10 * min(max((step - 4) / 5, 0), 1)

        def loss(w: Any, both: Any = both, pull: float = pull) -> Any:
            size = np.prod(w[:, 0] * np.abs(both) + 1 - w[:, 0], axis=1)
            found = size * np.cos(np.pi * (both < 0) @ w[:, 0])
            return np.mean((found - both[:, 0] / both[:, 1]) ** 2) + pull * np.mean(np.minimum(abs(w), abs(1 - w)))

        moves = 1e-6 * np.eye(4)[..., np.newaxis]
        gradient = np.array([[(loss(w + move) - loss(w - move)) / 2e-6] for move in moves])
        norms.append(float(np.linalg.norm(gradient)))
        gradient /= max(1, norms[-1])
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        rate = 0.05 * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        w = np.clip(w - rate * mean / (np.sqrt(square) + 1e-7), 0, 1)
    assert max(norms) > 1
    np.testing.assert_allclose(learnt.final["w"][0, 0], w, atol=1e-4)


def test_recipes_are_the_published_ones() -> None:
    assert recipe(MODULES["NAU"]) == Recipe(2, 50_000, 128, 1e-3, 0.01, 20_000, 35_000)
    assert recipe(MODULES["NRU"], 10) == Recipe(10, 100_000, 128, 1e-3, 10.0, 50_000, 75_000)
    assert recipe(MODULES["NRU"]).rate == 1.0
    assert recipe(MODULES["NMRU"]).rate == 1e-2
    assert recipe(MODULES["RealNPUModified"]) == Recipe(2, 50_000, 128, 5e-3, 1.0, 40_000, 50_000)
    assert recipe(MODULES["RealNPUModified"], 10) == Recipe(10, 100_000, 128, 5e-3, 1.0, 50_000, 75_000)
    real = recipe(MODULES["RealNPU"])
    steps = (0, 9_999, 10_000, 25_000, 49_999)
    weights = [float(real.shrunk(task.tf.constant(step))) for step in steps]
    np.testing.assert_allclose(weights, [1e-9, 1e-9, 1e-8, 1e-7, 1e-7], rtol=1e-5)
    pulled = [float(recipe(MODULES["NMU"]).pulled(task.tf.constant(step))) for step in (0, 27_500, 40_000)]
    np.testing.assert_allclose(pulled, [0, 5, 10], rtol=1e-5)


@pytest.mark.parametrize(
    ("successes", "tries", "low", "high"), [(25, 25, 0.8668, 1.0), (0, 10, 0.0, 0.2775), (7, 10, 0.3968, 0.8922)]
)
def test_wilsons_interval(successes: int, tries: int, low: float, high: float) -> None:
    assert wilson(successes, tries) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_ranges_are_named_by_what_they_train_on() -> None:
    assert range_named("[1, 2]") is RANGES[6]
    assert range_named("[-.2,-0.10]") is RANGES[3]
    assert range_named("[-2,-1]; [1,2]") is SIGNS[2]
    assert range_named("benford[10, 100]") is HARDER[0]
    assert len({one.name for one in (*RANGES, *SIGNS, *HARDER)}) == len((*RANGES, *SIGNS, *HARDER))
    for wrong in ("[3,4]", "one", "", "[1,2,3]"):
        with pytest.raises(UsageError, match=r"there is \[-20,-10\]"):
            range_named(wrong)


def test_a_study_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    told: list[bool] = []
    first = Study((MODULES["NMU"],), ("mul",), ranges=RANGES[6:7], seeds=2, steps=200)
    more = Study((MODULES["NMU"], MODULES["NAU"]), ("mul",), ranges=RANGES[6:7], seeds=2, steps=200)
    rows = run_study(first, tmp_path, done=lambda rows, known: told.append(known))
    before = (tmp_path / "results.parquet").read_bytes()
    after = run_study(more, tmp_path, done=lambda rows, known: told.append(known))
    assert told == [False, True, False]
    assert [row for row in after if row["module"] == "NMU"] == rows
    assert read_rows(tmp_path / "results.parquet") == after
    assert before != (tmp_path / "results.parquet").read_bytes()
    by_module = {one["module"]: one for one in summary(after)}
    assert by_module["NMU"]["models"] == 2
    assert by_module["NMU"]["solved"] == sum(row["solved"] for row in rows)
    assert by_module["NAU"]["rate"] == 0.0  # it cannot multiply


def test_the_command_leaves_results_a_page_and_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    options = ["--module", "NMRU", "--op", "div", "--range", "[1,2]", "--seeds", "2", "--steps", "2000"]
    assert main(["train", "arithmetic", *options, "--out", str(out), "--json", str(tmp_path / "s.json")]) == 0
    assert "NMRU div: 2 of 2 models solved it" in capsys.readouterr().out
    study = json.loads((tmp_path / "s.json").read_text())["study"]
    assert study[0]["published"][0]["percent"] == 91.6
    assert (out / "results.csv").read_text().count("\n") == 3
    assert "plot-success" in (out / "report.html").read_text()
    model = keras.models.load_model(out / "models" / "nmru_div.h5")
    np.testing.assert_allclose(model.layers[0].held["w"][:, 0], [1, 0, 0, 1], atol=1e-5)
    assert float(model(np.array([[3, 4]], np.float32))[0, 0]) == pytest.approx(0.75, rel=1e-5)


def test_a_place_that_is_no_folder_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphsim.zoo.arithmetic.study.train", None)
    (tmp_path / "taken").write_text("")
    assert main(["train", "arithmetic", "--out", str(tmp_path / "taken" / "there")]) == 2
    assert "taken" in capsys.readouterr().err


def test_results_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "results.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DatasetError, match=r"results\.parquet: is not a Parquet file"):
        read_rows(tmp_path / "results.parquet")


@pytest.mark.parametrize(
    "options",
    [
        ["--module", "NAND"], ["--op", "root"], ["--range", "[3,4]"], ["--inputs", "1"], ["--inputs", "1001"],
        ["--seeds", "0"],
        ["--bits", "4"], ["--epochs", "2"], ["--distribution", "odd"], ["--distribution", "signs", "--range", "[1,2]"],
        ["--perfect"], ["--perfect", "--seeds", "0"],
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "arithmetic", *options, "--out", str(tmp_path / "x")]) == 2
    assert "error: " in capsys.readouterr().err
    assert main(["train", "digits", "--module", "NMU", "--out", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()
