"""Learning Life: the course, its pictures, a run that is stopped and resumed, and what ships."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import evaluate, life_rule
from needed import needed

from graphsim.errors import CheckFailed, UsageError
from graphsim.frontends.circuits import read
from graphsim.passes.logic import passes_of
from graphsim.zoo import models_folder
from graphsim.zoo.card import read_facts
from graphsim.zoo.logic import history
from graphsim.zoo.logic.gates import NAMES
from graphsim.zoo.logic.life import CELLS, neighbourhoods
from graphsim.zoo.logic.pictures import COLOURS, SYMBOLS, apportioned, bars, bars_png, learning_gif
from graphsim.zoo.recipes import RECIPES, LifeRecipe
from graphsim.zoo.train import train

Image = needed("PIL.Image")


def test_the_neighbourhoods_are_the_rule() -> None:
    cells, following = neighbourhoods()
    assert len({tuple(row) for row in cells.tolist()}) == 512
    for row, alive in zip(cells.astype(int).tolist(), following, strict=True):
        assert evaluate(life_rule(), [row]) == [[int(alive)]]
    assert int(following.sum()) == 140


@pytest.mark.parametrize("file", ["life.blif", "life_pruned.blif"])
def test_the_shipped_circuits_are_the_rule(file: str) -> None:
    circuit = read(models_folder() / file)
    assert circuit.input_names == CELLS
    assert circuit.output_names == ("next",)
    cells, following = neighbourhoods()
    assert [evaluate(circuit, [row])[0][0] for row in cells.astype(int).tolist()] == following.astype(int).tolist()
    facts = read_facts(models_folder() / "life.md")
    said = facts["optimised gates" if file == "life.blif" else "pruned gates"]
    assert said.startswith(f"{circuit.gate_count} (")
    assert f"depth {circuit.depth}, equal to the rule on all 512" in said


def test_the_shipped_circuit_is_small() -> None:
    circuit = read(models_folder() / "life.blif")
    assert circuit.gate_count <= 40
    assert circuit.fan_in.max() == 2
    assert passes_of("lut3").rewrite(circuit).gate_count <= 25


@pytest.mark.parametrize(
    ("counts", "width", "parts"),
    [([1, 1, 2], 8, [2, 2, 4]), ([1, 1, 1], 4, [2, 1, 1]), ([0, 5], 3, [0, 3]), ([0, 0], 7, [0, 0])],
)
def test_bars_are_dealt_by_largest_remainders(counts: list[int], width: int, parts: list[int]) -> None:
    assert apportioned(counts, width) == parts


def test_bars_as_text() -> None:
    counts = np.zeros((2, 16), np.int64)
    counts[0, NAMES.index("AND")], counts[0, NAMES.index("A")], counts[1, NAMES.index("NOT B")] = 2, 6, 1
    assert bars(counts, 8) == ["layer 1 &&AAAAAA 8", "layer 2 bbbbbbbb 1", "& AND  A A  b NOT B"]
    assert len(set(SYMBOLS)) == len(set(COLOURS)) == 16


def test_bars_as_png() -> None:
    counts = np.zeros((1, 16), np.int64)
    counts[0, [NAMES.index("AND"), NAMES.index("OR")]] = 1, 3
    shown = np.asarray(Image.open(io.BytesIO(bars_png([("epoch 1", counts)]))).convert("RGB"))

    def places(name: str) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.nonzero((shown == list(bytes.fromhex(COLOURS[NAMES.index(name)][1:]))).all(axis=2))
        return rows, columns

    legend = len(places("XOR")[0])
    assert 2.5 < (len(places("OR")[0]) - legend) / (len(places("AND")[0]) - legend) < 3.5
    for name in set(NAMES) - {"AND", "OR", "FALSE", "TRUE"}:  # those in the bar, and those grey as edges of letters are
        rows, columns = places(name)
        before = shown[rows.min() : rows.max(), columns.min() - 4 : columns.min() - 1]
        assert (before == 255).all(), f"the label in front of {name} is cut"


def test_the_animation_shows_what_is_wrong() -> None:
    played = np.array([[1, 1], [0, 0]], np.bool_)
    right = np.array([[1, 0], [1, 0]], np.bool_)
    image = Image.open(io.BytesIO(learning_gif([("one", played, right), ("two", right, right)], cell=2)))
    assert image.n_frames == 2
    shown = np.asarray(image.convert("RGB"))[20:24]
    assert [tuple(shown[2 * r, 2 * c].tolist()) for r in (0, 1) for c in (0, 1)] == [
        (0, 0, 0),
        (214, 39, 40),
        (255, 165, 60),
        (255, 255, 255),
    ]
    image.seek(1)
    assert tuple(np.asarray(image.convert("RGB"))[20, 2].tolist()) == (255, 255, 255)


def recipe(**changes: object) -> LifeRecipe:
    life = RECIPES["life"]
    assert isinstance(life, LifeRecipe)
    return replace(life, **changes)  # type: ignore[arg-type]


class Stopped(Exception):  # noqa: N818 - not an error
    pass


def test_choices_that_were_kept(tmp_path: Path) -> None:
    moments = list(np.random.default_rng(1).integers(0, 99, (3, 4, 16)))
    history.keep(tmp_path, moments, [(f"epoch {at}", some) for at, some in enumerate(moments)])
    assert np.array_equal(history.kept(tmp_path, 2), moments[:2])
    for damage in (
        lambda path: path.write_bytes(path.read_bytes()[:50]),
        lambda path: path.write_text("no"),
        Path.unlink,
    ):
        damage(tmp_path / "choices.npz")
        with pytest.raises(UsageError, match=r"choices\.npz: is missing or damaged"):
            history.kept(tmp_path, 2)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path) -> None:
    needed("tensorflow")
    plan = recipe(widths=(12, 6, 3, 1), nets=2, epochs=5, stride=2)
    seen: list[int] = []

    def stop(epoch: object) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(plan, tmp_path / "one", progress=stop)
    for resume in (False, True):
        with pytest.raises(CheckFailed, match="go on with --resume, or"):
            train(plan, tmp_path / "three", resume=resume, minutes=1e-9)
    for name in ("one", "two", "three"):
        with pytest.raises(CheckFailed, match=r"none of the 2 nets .* in 5 epochs; give more epochs"):
            train(plan, tmp_path / name, resume=True, progress=lambda epoch: seen.append(epoch.number))
    assert seen == [4, 5, 2, 4, 5, 4, 5]
    logs = [tmp_path / name / "log" for name in ("one", "two", "three")]
    assert all((log / "epoch-0005.keras").is_file() for log in logs)
    one, two, three = (np.load(log / "choices.npz")["choices"] for log in logs)
    assert one.shape == (3, 2, 22)
    shown = [(log / "choices.txt").read_text() for log in logs]
    assert shown[0].count("layer ") == 3 * 4 and "\nepoch 5\n" in shown[0]
    assert shown == shown[:1] * 3
    assert all(Image.open(log / "choices.png").format == "PNG" for log in logs)
    assert np.array_equal(one, two) and np.array_equal(one, three)
    from graphsim.zoo.logic.layers import keras

    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "tensorboard").touch()
    with pytest.raises(UsageError, match=r"log/tensorboard: cannot write here \(.*\); choose another place"):
        train(plan, tmp_path)
    (tmp_path / "log" / "tensorboard").unlink()
    (tmp_path / "log" / "epoch-0002.keras").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"epoch-0002\.keras: cannot be gone on with; start afresh"):
        train(plan, tmp_path, resume=True)

    nets = [keras.models.load_model(log / "epoch-0005.keras") for log in logs]
    for first, second, third in zip(*(net.get_weights() for net in nets), strict=True):
        assert np.array_equal(first, second) and np.array_equal(first, third)


@pytest.mark.slow
def test_life_is_learnt(tmp_path: Path) -> None:
    needed("tensorflow")
    done = train(recipe(nets=2, epochs=1000), tmp_path)
    assert done.scores["wrong"] == 0
    assert done.h5 is None
    assert set(done.more) == {"circuit", "pruned circuit", "choices", "choices as text", "animation"}
    cells, following = neighbourhoods()
    for what in ("circuit", "pruned circuit"):
        circuit = read(done.more[what])
        assert [evaluate(circuit, [row])[0][0] for row in cells.astype(int).tolist()] == following.astype(int).tolist()
    assert read(done.more["circuit"]).gate_count <= 40
    assert Image.open(done.more["animation"]).n_frames == 60
    assert done.more["choices as text"].read_text().count("layer ") == 24 * 5
