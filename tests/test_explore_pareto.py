"""Fronts: beside brute force; and what the command says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphsim.cli import main
from graphsim.explore.conditions import condition
from graphsim.explore.pareto import OBJECTIVES, front, weigh
from graphsim.explore.rows import SCHEMA, read_rows, write_row, write_sweep

TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(0, 4) | st.floats(0, 4)] * width), min_size=0, max_size=40)
)


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@given(TABLES)
def test_the_front_is_what_no_other_dominates(table: list[tuple[float, ...]]) -> None:
    if not table:
        return
    assert front(table).tolist() == [not any(dominates(other, row) for other in table) for row in table]


def row(number: int, model: str = "a.h5", **values: Any) -> dict[str, Any]:
    filled: dict[str, Any] = {name: None for name in SCHEMA.names}  # noqa: C420
    defaults = {"nodes": 4, "period": 100, "latency": 50, "memory": 1000, "link_load": 0.5, "bound": 90}
    own = {"key": f"{number:064x}", "model": model, "model_sha256": model, "machine": f"line:{number}"}
    text = {"status": "ok", "strategy": "greedy", "buffering": "single", "seed": 0, "binding": "compute: node n0"}
    return {**filled, **defaults, **own, **text, **values}


def test_models_do_not_dominate_each_other() -> None:
    found = weigh([row(1), row(2, "b.h5", period=200), row(3, period=200)], OBJECTIVES)
    assert [(one["machine"], best) for one, best in zip(found.rows, found.best, strict=True)] == [
        ("line:1", True),
        ("line:3", False),
        ("line:2", True),
    ]


def test_failed_points_and_those_that_break_a_constraint_are_not_weighed() -> None:
    rows = [row(1), row(2, period=10, latency=9999), row(3, status="failed", period=None)]
    found = weigh(rows, OBJECTIVES, [condition("latency < 5000")])
    assert [one["machine"] for one in found.front] == ["line:1"]
    assert (found.failed, found.unmet) == (1, 1)


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    rows = [row(1), row(2, nodes=2, period=300), row(3, period=400), row(4, latency=9000, period=1)]
    for one in rows:
        write_row(tmp_path, one)
    write_row(tmp_path, row(9, period=1))  # of an older study
    keys = [one["key"] for one in rows]
    write_sweep(tmp_path, "study.toml", ["latency < 5000"], [*keys, "f" * 64])
    return tmp_path


def test_pareto_weighs_the_points_of_the_last_study(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pareto", str(swept), "--json", str(swept / "out.json"), "--report", str(swept / "page")]) == 0
    document = json.loads((swept / "out.json").read_text())
    assert [one["machine"] for one in document["front"]] == ["line:2", "line:1"]
    assert len(document["dominated"]) == 1
    assert (document["points"], document["computed"], document["unmet"]) == (5, 4, 1)
    said = capsys.readouterr().out
    assert "compute: node n0" in said
    assert "2 of 3 points are on the front" in said
    page = (swept / "page" / "pareto.html").read_text()
    assert "line:2" in page and "dominated" in page


def test_objectives_and_constraints_can_be_chosen(swept: Path) -> None:
    arguments = ["pareto", str(swept), "--over", "period", "--where", "nodes > 2", "--json", str(swept / "out.json")]
    assert main(arguments) == 0
    assert [one["machine"] for one in json.loads((swept / "out.json").read_text())["front"]] == ["line:1"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--over", "perod"], "'perod' cannot be weighed (did you mean 'period'?)"),
        (["--x", "speed"], "'speed' cannot be weighed"),
        (["--where", "period"], "'period' is no constraint"),
        (["--where", "period < 1"], "nothing to weigh; of 4 results, 0 failed and 4 do not meet the constraints"),
    ],
)
def test_bad_options_are_told(swept: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pareto", str(swept), *more]) == 2
    assert said in capsys.readouterr().err


def test_another_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pareto", str(tmp_path)]) == 2
    assert "give the folder that graphsim sweep --out wrote" in capsys.readouterr().err


def test_a_damaged_row_is_named(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = swept / "results" / f"{1:064x}.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    assert main(["pareto", str(swept)]) == 2
    assert "take it away, and run the sweep again" in capsys.readouterr().err


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    written = row(5, period=7, link_load=0.25, compare=True)
    write_row(tmp_path, written)
    assert read_rows(tmp_path) == [written]


def test_a_row_that_lacks_what_it_must_have_is_named(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_row(swept, row(2, nodes=2, period=300, latency=None))
    assert main(["pareto", str(swept)]) == 2
    said = capsys.readouterr().err
    assert f"{row(2)['key']}.parquet: lacks latency" in " ".join(said.split())
