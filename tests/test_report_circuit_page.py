"""The page of a circuit's run: what it says, and in a real browser that it draws and is silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphsim.cli import main

#: Two bits that count up, of which one follows the other; ``</script>`` is the name of an input.
COUNTER = """.model counter
.inputs </script>
.outputs q[0] q[1]
.latch d0 q[0] 0
.latch d1 q[1] 1
.names </script> q[0] d0
10 1
01 1
.names </script> q[0] c
11 1
.names c q[1] d1
10 1
01 1
.end
"""


def report(folder: Path, stimulus: dict[str, Any], *arguments: str, status: int = 0) -> tuple[dict[str, Any], str]:
    (folder / "counter.blif").write_text(COUNTER, encoding="utf-8")
    (folder / "s.json").write_text(json.dumps(stimulus), encoding="utf-8")
    files = [str(folder / "counter.blif"), "--stimulus", str(folder / "s.json"), "--report", str(folder / "out")]
    assert main(["run", *files, *arguments]) == status
    record: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    return record, (folder / "out" / "report.html").read_text(encoding="utf-8")


def test_the_page_says_what_a_circuit_is_and_how_it_came_out(tmp_path: Path) -> None:
    record, page = report(tmp_path, {"</script>": [1] * 6, "q": [2, 3, 0, 1, 2, 3]}, "--engine", "reference")
    body = page[page.index("<body>") : page.index("<script>")]
    assert record["graph"]["circuit"]["kinds"] == {"AND": 1, "XOR": 2}
    assert record["evaluated"]["differ"] == 0
    for words in (
        "3 gates and 2 registers",
        "0 of 42 values of gates, registers and outputs differ from an independent evaluation",
        "0 of 12 output values differ from what the stimulus expects",
        "<tr><td>XOR</td><td>2</td></tr>",
        "<tr><td>&lt;/script&gt;</td><td>input</td><td>1</td></tr>",
        "<tr><td>q</td><td>output</td><td>2</td></tr>",
        "not folded onto a machine",
    ):
        assert words in " ".join(body.split())
    assert "machine" not in record


def test_a_difference_late_in_a_run_is_drawn(tmp_path: Path) -> None:
    expected = [(2 + t) % 4 for t in range(200)]
    expected[150] ^= 2
    _, page = report(tmp_path, {"</script>": 1, "q": expected}, "--engine", "reference", status=1)
    assert "The first difference: q[1] is 0 in cycle 150, expected 1." in page
    assert "Cycles 118 to 181, around the first difference" in page


def test_it_renders_waveforms_and_a_schedule_in_silence(tmp_path: Path, browser: Any) -> None:
    record, _ = report(
        tmp_path,
        {"</script>": [1, 1, 0, 1], "q": [2, 3, 1, 0]},
        "--machine",
        "torus:2x2",
        "--engine",
        "events",
        status=1,
    )
    browser.get((tmp_path / "out" / "report.html").as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('[id^=plot-]')].map(e => [e.id, e.querySelectorAll('.main-svg').length])"
    )
    assert {name for name, svgs in drawn if svgs > 0} == {"plot-waves", "plot-loads", "plot-nodes", "plot-links"}
    # Rows from top to bottom: the input, then the output as its values, crossed out where others were expected.
    waves = browser.execute_script(
        "return document.getElementById('plot-waves').data.map(d => [d.name || '', d.mode, d.text || [], d.x])"
    )
    assert waves[0][:2] == ["</script>", "lines"]
    assert waves[2][:3] == ["q", "text", ["2", "3", "0"]]
    assert waves[2][3] == [0.5, 1.5, 3.0]
    assert [x for name, mode, _, x in waves if mode == "markers"] == [[2.5]]
    assert browser.get_log("browser") == []
    period = browser.find_element("css selector", ".tiles").text
    assert f"{record['simulation']['period_ticks']:.10g}\nticks per clock cycle" in period


@pytest.mark.parametrize("option", ["--faults", "--exhaustive"])
def test_what_is_not_for_circuits_is_refused(tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "counter.blif").write_text(COUNTER, encoding="utf-8")
    more = [str(tmp_path / "counter.blif")] if option == "--faults" else []
    assert main(["run", str(tmp_path / "counter.blif"), option, *more]) == 2
    assert f"{option}: not for circuits" in capsys.readouterr().err
