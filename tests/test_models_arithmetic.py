"""The shipped arithmetic modules: each is its operation, lowered, whole, folded, and beside TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphsim.cli import main
from graphsim.datasets.operations import OPERATIONS
from graphsim.zoo import models_folder, shipped_arithmetic

MODELS = sorted((models_folder() / "arithmetic").glob("*.h5"))
FORMULAS = {"add": "y = x0 + x1", "sub": "y = x0 - x1", "mul": "y = x0 * x1", "div": "y = x0 * 1/x1"}


def test_every_operation_has_a_module_and_every_module_a_card() -> None:
    assert {shipped_arithmetic(operation) for operation in OPERATIONS} <= set(MODELS)
    assert all(model.with_suffix(".md").is_file() for model in MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_a_module_is_its_operation(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operation = model.stem.partition("_")[2]
    for options in ([], ["--discretize"]):
        assert main(["show", str(model), *options]) == 0
        assert FORMULAS[operation] in capsys.readouterr().out
    for more in ([], ["--discretize"]):
        options = ["--dataset", "arithmetic", "--op", operation, "--range", "[-2,2]", "--samples", "100", *more]
        record = tmp_path / "run.json"
        assert main(["run", str(model), *options, "-m", "line:2", "-e", "machine", "--json", str(record)]) == 0
        found = json.loads(record.read_text(encoding="utf-8"))
        assert found["schedule"]["verified"]
        assert found["agreement"]["neurons_outside_bound"] == 0
        errors = found["accuracy"]["mean_squared_error"]
        assert max(errors["graphsim"], errors["reference"]) < 1e-5
