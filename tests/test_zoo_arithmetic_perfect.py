"""Perfect weights that divide by small numbers: the published errors, and the same by numbers written out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from graphsim.cli import main
from graphsim.zoo.arithmetic import perfect
from graphsim.zoo.arithmetic.perfect import BELOW, PUBLISHED, SEED, draw, error


@pytest.mark.parametrize(("division", "module"), PUBLISHED)
def test_the_published_draw_has_the_published_errors(division: str, module: str) -> None:
    for below, published in zip(BELOW, PUBLISHED[division, module], strict=True):
        found = error(division, module, [draw(division, below, np.random.RandomState(SEED))])
        assert found[0] == pytest.approx(published, rel=5e-4)


def test_errors_are_those_of_the_equations() -> None:
    x = np.array([[1e-5, 3e-6], [0.3, 0.7]])
    single = x.astype(np.float32)
    above = (single[:, 0] + np.float32(1)) - np.float32(1)  # w a + 1 - w, of which small a keep little
    inverse = (1 / single[:, 1] + np.float32(1)) - np.float32(1)
    expected = (above * inverse - (x[:, 0] / x[:, 1]).astype(np.float32)).astype(np.float64) ** 2
    found = error("a/b of [a, b]", "NMRU", [x[:1], x[1:]])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    exactly = error("1/a of [a]", "RealNPU", [x[:, :1]], np.float64)
    np.testing.assert_allclose(exactly, np.mean((1 / (x[:, 0] + 2**-23) - 1 / x[:, 0]) ** 2), rtol=1e-9)


def test_the_command_prints_them_in_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perfect, "SAMPLES", 50)
    record = tmp_path / "perfect.json"
    assert main(["train", "arithmetic", "--perfect", "--seeds", "2", "--json", str(record)]) == 0
    assert "0.0327" in capsys.readouterr().out
    rows = json.loads(record.read_text())["perfect"]
    assert len(rows) == len(BELOW) * len(PUBLISHED)
    assert all(row["quantiles"]["5"] <= row["quantiles"]["50"] <= row["quantiles"]["95"] for row in rows)
