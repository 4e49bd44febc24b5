"""Nets that calculate: their recipes and shapes, and a course that is stopped, resumed, and ends the same."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphsim.datasets.arithmetic import OPERATIONS, Encoding, sample
from graphsim.errors import UsageError
from graphsim.zoo.alu import AluCourse, _command, margins
from graphsim.zoo.nets import ALU, build
from graphsim.zoo.recipes import RECIPES, VARIANTS, AluRecipe, alu_recipe

TINY = dataclasses.replace(
    alu_recipe(3, "residual"),
    units=24,
    depth=1,
    epochs=3,
    steps=20,
    batch=64,
    tuning_epochs=3,
    tuning_steps=10,
    hardest=50,
)


@pytest.fixture(scope="module")
def tensorflow() -> tuple[Any, Any]:
    from graphsim.zoo.quiet import import_tensorflow

    return import_tensorflow()


def test_the_shipped_recipes_are_found_by_their_settings() -> None:
    assert alu_recipe(8) is RECIPES["alu8"]
    assert alu_recipe(15, "residual") is RECIPES["alu15"]
    assert "*" not in alu_recipe(15).valid_ops
    assert alu_recipe(8).valid_ops == OPERATIONS


def test_other_settings_have_a_name_of_their_own() -> None:
    made = alu_recipe(8, "residual", ["+", "-"])
    assert (made.name, made.model, made.valid_ops) == ("alu8-residual", "alu8_residual", ("+", "-"))
    assert alu_recipe(15, valid_ops=["*"]).valid_ops == ("*",)
    assert alu_recipe(12, units=10, depth=3).depth == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "huge"}, "no variant 'huge'; choose one of: minimal, medium, large, residual"),
        ({"bits": 31}, "operands have 1 to 30 bits, not 31"),
        ({"valid_ops": ["**"]}, r"no operation '\*\*'"),
    ],
)
def test_unusable_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        alu_recipe(**settings)


def test_every_variant_has_a_net() -> None:
    assert set(ALU) == set(VARIANTS)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_a_net_takes_a_calculation_and_gives_the_bits_of_a_result(variant: str, tensorflow: tuple[Any, Any]) -> None:
    model = build(tensorflow[1], dataclasses.replace(alu_recipe(4, variant), units=8, depth=1))
    encoding = Encoding(4)
    shape = encoding.vectors if variant == "attention" else (encoding.inputs,)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, encoding.outputs)
    assert model.layers[-1].activation.__name__ == "sigmoid"


def test_a_margin_is_the_smallest_logit_and_negative_where_a_bit_is_wrong(tensorflow: tuple[Any, Any]) -> None:
    tf, keras = tensorflow
    model = build(keras, dataclasses.replace(alu_recipe(2), units=8, depth=1))
    asked = sample(2, 60, 5)
    found = margins(tf, keras, model, asked.inputs(), asked.targets())
    chances = model(asked.inputs().astype(np.float32)).numpy().astype(np.float64)
    logits = np.log(chances / (1 - chances))
    expected = np.where(asked.targets() == 1, logits, -logits).min(axis=1)
    assert np.allclose(found, expected, atol=1e-4)
    assert ((found > 0) == ((chances > 0.5) == asked.targets()).all(axis=1)).all()


def test_training_draws_operations_by_their_shares() -> None:
    plan = dataclasses.replace(TINY, shares=(1.0, 3.0, *[0.0] * 10))
    drawn = AluCourse(plan)._fresh(20_000, np.random.PCG64(0))
    counts = np.bincount(drawn.operation, minlength=12)
    assert counts[2:].sum() == 0
    assert abs(counts[1] / 20_000 - 0.75) < 0.02


def test_some_comparisons_are_between_near_operands() -> None:
    plan = dataclasses.replace(TINY, bits=15, near=0.25, shares=tuple(float(n in "=/") for n in OPERATIONS))
    drawn = AluCourse(plan)._fresh(20_000, np.random.PCG64(0))
    near = np.array([int(a ^ b).bit_count() <= 1 for a, b in zip(drawn.a.tolist(), drawn.b.tolist(), strict=True)])
    comparison = drawn.operation == OPERATIONS.index("=")
    assert abs(near[comparison].mean() - 0.25) < 0.02
    assert near[~comparison].mean() < 0.01


RESUMED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_zoo_alu import TINY
from graphsim.zoo.train import train
class Stop(Exception): ...
def stop_after(last):
    def say(epoch):
        if epoch.number == last:
            raise Stop
    return say
for last in (2, 3, 5):
    try:
        train(TINY, "parts", log_dir="log", resume=last > 2, progress=stop_after(last))
    except Stop:
        pass
print(train(TINY, "parts", log_dir="log", resume=True, export_weights="alone.weights.h5").weights_sha256)
whole, seen = train(TINY, "whole"), []
minute = train(TINY, "minute", minutes=1e-9, steps=lambda *step: seen.append(step))
print(whole.weights_sha256, minute.weights_sha256)
assert seen == [(1, 1, 20)], seen
assert (minute.stopped, whole.stopped) == ("0 of 6 epochs and 1 of 20 steps of the next", "")
assert train(TINY, "minute", resume=True).weights_sha256 == whole.weights_sha256
train(TINY, "minute", minutes=1e-9)
print(Path("whole/alu3_residual.h5").read_bytes() == Path("parts/alu3_residual.h5").read_bytes())
from graphsim.zoo.nets import build
from graphsim.zoo.train import _load_weights, weights_sha256
import keras
for path in ("alone.weights.h5", "whole/alu3_residual.h5"):
    model = build(keras, TINY)
    _load_weights(model, Path(path))
    print(weights_sha256(model.get_weights()))
"""


@pytest.mark.slow
def test_a_course_stopped_in_either_phase_ends_with_the_same_weights(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESUMED, Path(__file__).parent], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    resumed, whole, minute, same, *imported = done.stdout.split()
    assert resumed == whole != minute
    assert same == "True"
    assert imported == [whole, whole]
    card = (tmp_path / "whole" / "alu3_residual.md").read_text()
    assert "a fit over the whole domain, not generalisation" in card
    assert "of 724 (all valid calculations)" in card
    assert "Train it again with" in card
    stopped = (tmp_path / "minute" / "alu3_residual.md").read_text()
    assert "| epochs | 0 of 6 epochs and 1 of 20 steps of the next, stopped by --minutes |" in stopped
    assert "Training was stopped by --minutes after 0 of 6 epochs and 1 of 20 steps of the next;" in stopped
    assert "No command gives these weights again" in stopped
    assert "Train it again with" not in stopped


def test_recipes_are_of_their_kind() -> None:
    assert all(isinstance(RECIPES[name], AluRecipe) == name.startswith("alu") for name in RECIPES)


def test_the_command_of_a_card_has_every_setting() -> None:
    made = alu_recipe(8, "residual", ["+", "-"], units=10, depth=3, tuning=7)
    settings = "--bits 8 --variant residual --ops '+,-' --units 10 --depth 3 --tuning 7"
    assert _command(made) == f"graphsim train alu {settings} --seed 1 --epochs 65"
    assert _command(alu_recipe(8)) == "graphsim train alu8 --seed 1 --epochs 65"
    assert _command(alu_recipe(12, "minimal")).startswith("graphsim train alu --bits 12 --variant minimal --ops ")
