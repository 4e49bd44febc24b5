"""The page of a circuit's run: what it says, and in a real browser that it draws and is silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drawn import drawn

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

#: All on the host but one register.
PLACEMENT = "actors,node\ngate[0:3],n0\nregister[0],n1\nregister[1],n0\noutput[0:2],n0\n"


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
    plots = {"plot-waves", "plot-loads", "plot-nodes", "plot-links"}
    assert drawn(browser, plots) == plots
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


def test_what_is_not_for_circuits_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "counter.blif").write_text(COUNTER, encoding="utf-8")
    assert main(["run", str(tmp_path / "counter.blif"), "--exhaustive"]) == 2
    assert "--exhaustive: not for circuits" in capsys.readouterr().err


def test_a_circuit_with_faults(tmp_path: Path, browser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A bit that is lost in a register stays lost; a flipped one is told as wrong, gate by gate."""
    drop = '[[drop]]\nactor = "register[1]"\niterations = [4]\n'
    (tmp_path / "f.toml").write_text(f'checksums = ["none"]\n[corruption]\nrates = [0, 0.2]\n{drop}', encoding="utf-8")
    (tmp_path / "p.csv").write_text(PLACEMENT, encoding="utf-8")
    options = ["--machine", "line:2,frame_bits=1", "--placement", str(tmp_path / "p.csv")]
    record, _ = report(tmp_path, {"</script>": [1] * 30}, *options, "--faults", str(tmp_path / "f.toml"))
    assert record["evaluated"]["differ"] == 0
    none, some = record["faults"]["runs"]
    assert (none["frames"]["hit"], none["silent"], none["missing"], none["first_wrong"]["actor"]) == (
        0,
        0,
        25,
        "register[1]",
    )
    assert none["first_wrong"]["sample"] == 4
    assert some["frames"]["hit"] > 0
    assert some["affected"] >= none["affected"]
    assert "faults of f.toml, seed 0: 30 clock cycles a run, through the machine engine" in capsys.readouterr().out
    browser.get((tmp_path / "out" / "report.html").as_uri())
    drawn(browser, {"plot-damage", "plot-origins", "plot-waves"})
    assert "f.toml, seed 0, through the machine engine" in browser.find_element("css selector", "#faults").text
    assert browser.get_log("browser") == []


def test_faults_of_circuits_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "counter.blif").write_text(COUNTER, encoding="utf-8")
    (tmp_path / "f.toml").write_text('[[crash]]\nnode = "n9_9"\nat = 1\n', encoding="utf-8")
    assert main(["run", str(tmp_path / "counter.blif"), "--faults", str(tmp_path / "f.toml")]) == 2
    assert "f.toml:2: crash[0].node: torus:4x4: no node is called 'n9_9'" in capsys.readouterr().err
