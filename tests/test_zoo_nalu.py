"""The NALU tasks: their samples against brute force, resuming, and each kind of model compared within its bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphsim.cli import main
from graphsim.cli.nalu import compared
from graphsim.errors import DatasetError, UsageError
from graphsim.zoo.nalu.run import run_task
from graphsim.zoo.nalu.tasks import TASKS, Size, Task, task_named

TINY = Size(seeds=1, steps=3, batch=4, rate=0.01)

#: One model of each kind that a task trains.
KINDS = {
    "identity": ("prelu",),
    "static": ("NALU a/b",),
    "recurrent": ("NAC a-b",),
    "language": ("NALU",),
    "program": ("Linear",),
    "track-time": ("NAC",),
    "mnist-addition": ("NAU",),
    "mnist-counting": ("LSTM",),
    "mnist-parity": ("tanh(W)x",),
}

#: The task that is trained here for a few steps; of the others, what is judged and kept are the models at their start.
TRAINED = "recurrent"
#: Nothing is trained.
UNTRAINED = TINY._replace(steps=0)


def tiny(task: str, *models: str) -> Task:
    """A task of some of its models."""
    return replace(TASKS[task], models=models, claims=())


def ran(task: Task, folder: Path, size: Size = UNTRAINED, **options: Any) -> dict[str, Any]:
    """A run whose models are not compared."""
    return run_task(task, folder, size, 1, lambda *_: {"outside": 0}, **options)


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images by chance in place of MNIST's, and little that models are judged by."""
    from graphsim.zoo.nalu import digits, grid, sequences

    rng = np.random.default_rng(2)
    some = digits.Images(
        rng.integers(0, 256, (40, 28, 28, 1)).astype(np.float32) / np.float32(255),
        rng.integers(0, 10, 40, np.int32),
    )
    monkeypatch.setattr(digits, "images", lambda: (some, some, some))
    monkeypatch.setattr(digits, "SEQUENCES", 2)
    monkeypatch.setattr(grid, "JUDGED", 12)
    monkeypatch.setattr(sequences, "JUDGED", 8)
    monkeypatch.setattr(sequences, "LONG", 50)


@pytest.mark.parametrize("task", TASKS)
def test_what_a_task_trains_is_lowered_and_every_neuron_is_within_its_bound(task: str, tmp_path: Path) -> None:
    size = TINY if task == TRAINED else UNTRAINED
    results = run_task(tiny(task, *KINDS[task]), tmp_path, size, 1, lambda path, samples: compared(task, path, samples))
    assert [row["model"] for row in results["rows"]] == list(KINDS[task])
    for row in results["rows"]:
        assert row["check"]["outside"] == 0
        assert row["check"]["values"] > row["check"]["samples"] > 0
        assert row["scores"].keys() == TASKS[task].scores.keys()
        assert all((tmp_path / file).is_file() for file in row["files"])
    assert json.loads((tmp_path / "results.json").read_text()) == results


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_row_of_the_table_fits_itself(task: Task) -> None:
    assert all(model in task.models and score in task.scores for model, score in task.published)
    assert set(KINDS[task.name]) <= set(task.models)
    assert set(task.paces) <= {model.split()[0] for model in task.models}
    perfect = {model: dict.fromkeys(task.scores, 0.0) for model in task.models}
    unknown = {model: dict.fromkeys(task.scores, math.nan) for model in task.models}
    for claim in task.claims:
        assert isinstance(claim.holds(perfect), bool)
        assert not claim.holds(unknown), "what is not a number shows nothing"


def test_a_kind_of_model_has_a_pace_of_its_own() -> None:
    task = replace(TASKS["recurrent"], paces={"NAC": (3, 2.0)})
    assert task.size_of("NAC a-b", TINY) == Size(seeds=1, steps=9, batch=4, rate=0.02)
    assert task.size_of("NAU a-b", TINY) == TINY


def test_a_run_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    task, known = tiny("identity", "linear"), []
    first = ran(task, tmp_path)
    more = ran(
        replace(task, models=("linear", "relu")),
        tmp_path,
        resume=True,
        done=lambda row, there: known.append((row["model"], there)),
    )
    assert known == [("linear", True), ("relu", False)]
    assert more["rows"][0] == first["rows"][0]
    ran(replace(task, models=("elu", "linear", "relu")), tmp_path, resume=True)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["elu", "linear", "relu"], "what comes before is in its place"
    assert rows[1:] == more["rows"]


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    task = tiny("identity", "linear")
    ran(task, tmp_path)
    with pytest.raises(DatasetError, match="other settings"):
        run_task(task, tmp_path, UNTRAINED._replace(batch=5), 1, lambda *_: {}, resume=True)
    whole = json.loads((tmp_path / "results.json").read_text())
    for broken in ("{", "[]", json.dumps({**whole, "rows": [{"model": "linear"}]})):
        (tmp_path / "results.json").write_text(broken)
        with pytest.raises(DatasetError, match="cannot be read as results"):
            ran(task, tmp_path, resume=True)


def test_a_place_that_is_no_folder_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["train", "nalu-identity", "-o", str(tmp_path / "taken" / "there")]) == 2
    assert "taken" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_scores_and_weights(tmp_path: Path) -> None:
    one, other = (ran(tiny("static", "NAC a+b"), tmp_path / name, TINY)["rows"][0] for name in "ab")
    assert one["scores"] == other["scores"]
    assert one["more"] == other["more"]


def test_there_is_no_other_task() -> None:
    assert task_named("nalu-static") is TASKS["static"]
    with pytest.raises(UsageError, match="there are identity, "):
        task_named("nalu-other")


@pytest.mark.parametrize(
    ("sign", "of"),
    [
        ("a+b", lambda a, b: a + b),
        ("a-b", lambda a, b: a - b),
        ("a*b", lambda a, b: a * b),
        ("a/b", lambda a, b: a / b),
        ("sqrt(a)", lambda a, b: math.sqrt(a)),
    ],
)
def test_targets_of_the_static_task(sign: str, of: Callable[[float, float], float]) -> None:
    from graphsim.zoo.nalu.scalars import target

    x = np.random.default_rng(3).uniform(1, 10, (5, 10))
    expected = [[of(sum(row[:4]), sum(row[3:7]))] for row in x.tolist()]
    np.testing.assert_allclose(target(x, sign), expected, rtol=1e-12)


def test_training_side_by_side_is_adam_on_each_model_by_itself() -> None:
    """Against Keras's own Adam, with its own way to clip, on one model at a time."""
    from graphsim.zoo.arithmetic.modules import keras, tf
    from graphsim.zoo.nalu.scalars import autoencoder, squared
    from graphsim.zoo.nalu.side_by_side import NORM, train

    x = np.linspace(-1, 4, 8, dtype=np.float32)[:, np.newaxis]
    size = Size(seeds=2, steps=5, batch=8, rate=0.02)
    build = lambda seed: autoencoder("tanh", seed)  # noqa: E731
    learnt = train(build, lambda key, step: (tf.constant(x), tf.constant(2 * x)), squared, size, 4, lambda steps: None)
    for number in range(2):
        model = build(4 + number)
        optimizer = keras.optimizers.Adam(size.rate, epsilon=1e-7, global_clipnorm=NORM)
        for step in range(size.steps):
            optimizer.learning_rate = size.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / size.steps)))
            with tf.GradientTape() as tape:
                loss = squared(2 * x, model(x))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        for mine, theirs in zip(learnt.weights, model.get_weights(), strict=True):
            np.testing.assert_allclose(mine[number], theirs, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize(("sign", "of"), [("a+b", 1), ("a-b", -1)])
def test_targets_of_the_recurrent_task(sign: str, of: int) -> None:
    from graphsim.zoo.nalu.sequences import total

    x = np.random.default_rng(3).random((4, 7, 2))
    expected = [[sum(step[0] for step in one) + of * sum(step[1] for step in one)] for one in x.tolist()]
    np.testing.assert_allclose(total(x, sign), expected, rtol=1e-12)


def test_answers_about_digits() -> None:
    from graphsim.zoo.nalu.digits import answers
    from graphsim.zoo.nalu.side_by_side import tf

    classes = np.random.default_rng(4).integers(0, 10, (3, 6), np.int32)
    for n, row in enumerate(classes.tolist()):
        for t in range(6):
            so_far = row[: t + 1]
            expected = {
                "mnist-addition": [sum(so_far)],
                "mnist-counting": [so_far.count(digit) for digit in range(10)],
                "mnist-parity": [sum(digit % 2 for digit in so_far)],
            }
            for task, wanted in expected.items():
                assert answers(task, classes)[n, t].tolist() == wanted
                assert answers(task, tf.constant(classes))[n, t].numpy().tolist() == wanted


def test_digits_are_looked_at_together_in_training_as_one_by_one_in_what_is_kept() -> None:
    from graphsim.zoo.nalu.digits import network, trainee

    x = np.random.default_rng(5).random((2, 10, 28, 28, 1)).astype(np.float32)
    for task, kind in (("mnist-addition", "NAC"), ("mnist-counting", "LSTM"), ("mnist-parity", "Wx+b")):
        trained, kept = trainee(task, kind, 1), network(task, kind, 2)
        kept.set_weights(trained.get_weights())
        found = trained(x).numpy()
        np.testing.assert_allclose(kept(x), found if task == "mnist-parity" else found[:, -1], rtol=1e-4, atol=1e-5)


def test_phrases_and_numbers() -> None:
    from graphsim.zoo.nalu.language import GREATEST, LONGEST, WORDS, phrase, split, tokens

    said = {0: "zero", 13: "thirteen", 40: "forty", 85: "eighty five", 100: "one hundred", 1000: "one thousand"}
    said |= {515: "five hundred and fifteen", 207: "two hundred and seven", 999: "nine hundred and ninety nine"}
    assert {number: phrase(number) for number in said} == said
    assert len({phrase(number) for number in range(GREATEST + 1)}) == GREATEST + 1
    assert max(len(phrase(number).split()) for number in range(GREATEST + 1)) == LONGEST
    assert [WORDS[word] for word in tokens(85)] == ["", "", "", "eighty", "five"]
    parts = split(5)
    assert [len(part) for part in parts] == [169, 200, 632]
    assert sorted(np.concatenate(parts)) == list(range(GREATEST + 1))
    assert {word for number in parts.train for word in phrase(number).split()} == set(WORDS[1:])


def test_programs_are_read_character_by_character() -> None:
    from graphsim.zoo.nalu.sequences import CHARACTERS, encoded, matching

    x = encoded(7, 42)
    assert x.shape == (9, 11) and not x[:5].any()
    assert "".join(CHARACTERS[row.argmax()] for row in x[5:]) == "7+42"
    assert x[5:].sum() == 4
    assert [matching(123, found) for found in (123.4, 122.7, 133.0, 23.0, 1123.0, -123.0, math.nan)] == [
        *(1, 1, 2 / 3, 2 / 3, 3 / 4, 0, 0)
    ]


def test_what_a_planner_may_do() -> None:
    """Against every walk there is: may the goal be entered at exactly the last step, and not before?"""
    from graphsim.zoo.nalu.grid import MOVES, SIDE, allowed

    def can(row: int, column: int, goal: tuple[int, int], left: int) -> bool:
        if left == 0 or (row, column) == goal:
            return left == 0 and (row, column) == goal
        return any(can(*step(row, column, move), goal, left - 1) for move in MOVES)

    def step(row: int, column: int, move: tuple[int, int]) -> tuple[int, int]:
        return min(max(row + move[0], 0), SIDE - 1), min(max(column + move[1], 0), SIDE - 1)

    rng = np.random.default_rng(8)
    for _ in range(60):
        cell, goal, left = int(rng.integers(25)), int(rng.integers(25)), int(rng.integers(1, 5))
        if cell == goal:
            continue
        found = allowed(np.array([cell]), np.array([goal]), np.array([left]))[0]
        assert found.tolist() == [can(*step(*divmod(cell, SIDE), move), divmod(goal, SIDE), left - 1) for move in MOVES]


def test_an_agent_that_does_what_a_planner_may_succeeds_and_others_do_not() -> None:
    from graphsim.zoo.nalu.grid import CELLS, TESTED, allowed, successes

    def planner(x: Any) -> Any:
        cell, goal, time = x[..., :CELLS].argmax(-1), x[..., CELLS : 2 * CELLS].argmax(-1), x[..., -2].astype(int)
        values = [allowed(cell[:, n], goal[:, n], time[:, n] - n) for n in range(TESTED)]
        return np.stack(values, axis=1).astype(np.float32)

    assert successes(planner, 1) == [1.0] * TESTED
    assert max(successes(lambda x: np.zeros((*x.shape[:2], 5)), 1)[3:]) < 0.1


def test_weights_of_a_nau_are_pulled_to_whole_numbers() -> None:
    from graphsim.zoo.arithmetic.layers import LAYERS
    from graphsim.zoo.arithmetic.modules import keras, tf
    from graphsim.zoo.nalu.scalars import squared
    from graphsim.zoo.nalu.side_by_side import train

    x = np.random.default_rng(6).uniform(1, 2, (16, 3)).astype(np.float32)
    wanted = x @ np.array([[0.8], [-0.3], [0.1]], np.float32)

    def build(seed: int) -> Any:
        given = keras.Input((3,))
        return keras.Model(given, LAYERS["NAU"](1, seed=seed)(given))

    def furthest(sparsity: float) -> float:
        size = Size(seeds=1, steps=1000, batch=16, rate=0.02)
        learnt = train(
            build,
            lambda key, step: (tf.constant(x), tf.constant(wanted)),
            squared,
            size,
            1,
            lambda steps: None,
            sparsity=sparsity,
        )
        held = np.abs(learnt.weights[0])
        return float(np.minimum(held, np.abs(1 - held)).max())

    assert furthest(0.0) > 0.2
    assert furthest(10.0) < 0.02


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nalu-nothing"], "there is no NALU task"),
        (["nalu-static", "--seeds", "0"], "--seeds"),
        (["nalu-static", "--seeds", "100000"], "from 1 to 1,000"),
        (["nalu-static", "--seed", str(2**31)], "--seed"),
        (["nalu-static", "--module", "NAC"], "--module: only for other recipes"),
        (["nalu-static", "--epochs", "3"], "--epochs: only for other recipes"),
    ],
)
def test_what_the_command_line_refuses(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *options]) == 2
    assert said in capsys.readouterr().err


def test_the_page_names_every_task_and_its_models() -> None:
    page = " ".join((Path(__file__).parents[1] / "docs" / "nalu.md").read_text(encoding="utf-8").split())
    for task in TASKS.values():
        assert f"graphsim train nalu-{task.name}" in page
        assert task.about in page
        assert all(difference in page for difference in task.differs)
