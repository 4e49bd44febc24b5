"""Fronts: beside brute force; and what the command says."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from graphsim.cli import main
from graphsim.explore.conditions import condition
from graphsim.explore.pareto import OBJECTIVES, front, usual, weigh
from graphsim.explore.rows import SCHEMA, read_rows, write_row, write_sweep
from graphsim.report.pareto import placement, print_front

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


def test_what_relaxing_buys_stands_under_headings_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Points with the same gains share one; the same machine that gains otherwise is told by its placement."""
    points = [row(1), row(2, machine="line:1"), row(3, machine="line:1", strategy="soonest"), row(4)]
    gains = dict(zip((one["key"] for one in points), (["a"], ["a"], ["b"], ["c"]), strict=True))
    print_front(Console(width=200), [[one] for one in points], ["period"], gains)
    told = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert told[-6:] == [
        *("line:1, greedy, compute: node n0", "  a", "line:1, soonest, compute: node n0", "  b"),
        *("line:4, compute: node n0", "  c"),
    ]


def test_failed_points_and_those_that_break_a_constraint_are_not_weighed() -> None:
    rows = [row(1), row(2, period=10, latency=9999), row(3, status="failed", period=None)]
    found = weigh(rows, OBJECTIVES, [condition("latency < 5000")])
    assert [one["machine"] for one in found.front] == ["line:1"]
    assert (found.failed, found.unmet) == (1, 1)


def faulty(number: int, rate: float, right: float, **values: Any) -> dict[str, Any]:
    wrong = {"faults": "/far/away/corruption.toml", "faults_sha256": "f", "corruption_rate": rate, "checksum": "none"}
    return row(number, faulty_accuracy=right, silent_rate=1 - right, missing_rate=0.0, **{**wrong, **values})


def test_faulty_accuracy_is_weighed_where_all_have_it_and_is_to_be_great() -> None:
    rows = [faulty(1, 0.01, 0.5), faulty(2, 0.01, 0.75), faulty(3, 0.01, 0.9, nodes=8), faulty(4, 0.01, 0.7, nodes=8)]
    assert usual(rows) == (*OBJECTIVES, "faulty_accuracy")
    assert usual([*rows, row(5)]) == usual([row(5)]) == usual([]) == OBJECTIVES
    assert [one["machine"] for one in weigh(rows, usual(rows)).front] == ["line:2", "line:3"]


def test_points_are_weighed_against_those_at_the_same_rate_and_come_in_its_order() -> None:
    rates = (0.1, 0.001, 0.01)
    rows = [faulty(i, rate, 1 - rate - worse) for i, (rate, worse) in enumerate(product(rates, (0, 0.1)))]
    found = weigh(rows, usual(rows))
    assert [(one["corruption_rate"], one["faulty_accuracy"]) for one in found.front] == [
        (0.001, 0.999),
        (0.01, 0.99),
        (0.1, 0.9),
    ]


def test_points_alike_are_one_row_with_their_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        *(
            faulty(i, rate, 0.75, checksum=sum_)
            for i, (rate, sum_) in enumerate(product((0.01, 0.001), ("none", "crc8")))
        ),
        faulty(7, 0.1, 0.25, tile=4),
    ]
    for one in rows:
        write_row(tmp_path, one)
    write_sweep(tmp_path, "study.toml", [], [one["key"] for one in rows])
    assert [len(alike) for alike in weigh(rows, usual(rows)).alike] == [4, 1]
    assert (
        main(["pareto", str(tmp_path), "--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "page")]) == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "5 of 5 points are on the front, 2 different ones" in said and "/far" not in said
    page = (tmp_path / "page" / "pareto.html").read_text()
    assert "/far" not in page and "<th>points</th>" in page and "<th>right with faults</th>" in page
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in re.findall(r"(?s)<tr><td.*?</tr>", page)]
    assert [(line[2], line[3], line[-2]) for line in cells] == [
        ("greedy, corruption.toml at 0.001 or 0.01, checksum crc8 or none", "4", "75.0%"),
        ("greedy, tiles of 4, corruption.toml at 0.1, checksum none", "1", "25.0%"),
    ]
    assert len(json.loads((tmp_path / "out.json").read_text())["front"]) == 5


def test_many_rates_of_points_alike_are_told_by_their_ends() -> None:
    alike = [faulty(i, rate, 1.0) for i, rate in enumerate((1e-3, 0.0, 1e-6))]
    assert placement(alike) == "greedy, corruption.toml at 3 rates of 0 to 0.001, checksum none"


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
