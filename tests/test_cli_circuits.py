"""``graphsim lower``, ``show`` and ``run`` with circuits."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from graphsim.cli import main
from graphsim.cli.common import progress_bar
from graphsim.pipeline import engines

COUNTER = """.model counter
.inputs clk en
.outputs q[0] q[1] carry
.latch d0 q[0] re clk 0
.latch d1 q[1] re clk 1
.names en q[0] d0
10 1
01 1
.names en q[0] c
11 1
.names c q[1] d1
10 1
01 1
.names c q[1] carry
11 1
.end
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counter.blif").write_text(COUNTER, encoding="utf-8")
    return tmp_path


def run_record(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    assert main(["run", "counter.blif", "--engine", "reference", "--json", "r.json", *arguments]) == status, (
        capsys.readouterr().err
    )
    record: dict[str, Any] = json.loads(Path("r.json").read_text(encoding="utf-8"))
    return record


def test_a_circuit_goes_from_format_to_format(here: Path) -> None:
    for source, target in (("counter.blif", "a.aag"), ("a.aag", "a.gsim"), ("a.gsim", "a.aig"), ("a.aig", "b.blif")):
        assert main(["lower", source, "-o", target]) == 0
    assert main(["run", "b.blif", "--engine", "reference", "--outputs", "b.json"]) == 0
    assert main(["run", "counter.blif", "--engine", "reference", "--outputs", "c.json"]) == 0
    assert (here / "b.json").read_bytes() == (here / "c.json").read_bytes()


def test_a_circuit_of_nothing_goes_from_format_to_format(here: Path) -> None:
    (here / "empty.aag").write_text("aag 0 0 0 0 0\n", encoding="utf-8")
    assert main(["lower", "empty.aag", "--passes", "default", "--check", "-o", "empty.blif"]) == 0
    assert main(["lower", "empty.blif", "-o", "again.aag"]) == 0
    assert (here / "again.aag").read_text(encoding="utf-8") == "aag 0 0 0 0 0\nc\nempty\n"


def test_show_says_what_a_circuit_is_made_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "counter.blif", "--json", "show.json"]) == 0
    said = capsys.readouterr().out
    for words in ("circuit of 4 gates, depth 2", "inputs     1: en", "registers  2: q[0..1]", "outputs    3: q[0..1]"):
        assert words in said
    assert "1 start at 1" in said
    circuit = json.loads((here / "show.json").read_text(encoding="utf-8"))["graph"]["circuit"]
    assert circuit == {
        "inputs": {"en": 1},
        "outputs": {"q": 2, "carry": 1},
        "registers": 2,
        "gates": 4,
        "depth": 2,
        "kinds": {"AND": 2, "XOR": 2},
    }
    assert main(["show", "counter.blif", "--actor", "gate[2]"]) == 0


def test_a_run_follows_its_stimulus_and_is_judged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "s.json").write_text('{"en": [1, 1, 0, 1], "q": [2, 3, 0, null], "carry": [0, 1, 0, 0]}', encoding="utf-8")
    record = run_record(capsys, "--stimulus", "s.json", "--outputs", "o.csv", "--vcd", "o.vcd")
    assert (here / "o.csv").read_text(encoding="utf-8") == "cycle,q,carry\n0,2,0\n1,3,1\n2,0,0\n3,0,0\n"
    assert record["evaluated"]["checked"] == 4 * (4 + 2 + 3)
    assert record["evaluated"]["differ"] == record["expected"]["differ"] == 0
    assert record["expected"]["checked"] == 10
    assert record["stimulus"] == {"source": "s.json", "cycles": 4}
    again = run_record(capsys, "--stimulus", "o.vcd")
    assert (again["stimulus"]["cycles"], again["expected"]["checked"], again["expected"]["differ"]) == (4, 12, 0)
    assert run_record(capsys, "--stimulus", "s.json", "--samples", "2")["stimulus"]["cycles"] == 2


def test_what_is_not_as_expected_fails_the_check(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "s.csv").write_text("en,q\n1,2\n0,2\n", encoding="utf-8")
    record = run_record(capsys, "--stimulus", "s.csv", status=1)
    assert record["expected"] == {
        "checked": 4,
        "differ": 1,
        "first": {"cycle": 1, "signal": "q[0]", "found": 1, "expected": 0},
    }
    assert "q[0] is 1 in cycle 1, expected 0" in capsys.readouterr().err


def test_a_run_without_stimulus_is_random_and_repeats(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for _ in range(2):
        record = run_record(capsys, "--samples", "50", "--seed", "7", "--no-reference", "--outputs", "o.json")
        assert record["evaluated"] is record["expected"] is None
        said.append((here / "o.json").read_bytes())
    assert said[0] == said[1]
    assert json.loads(said[0])["cycles"] == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "counter.blif", "--dataset", "mnist"], "--dataset: not for circuits"),
        (["run", "counter.blif", "--stimulus", "none.json"], "none.json: there is no such file"),
        (["run", "counter.blif", "--stimulus", "counter.blif"], "a stimulus is a .json, .csv, .vcd file"),
        (["run", "counter.blif", "--outputs", "x.txt"], "x.txt: is written as .json, .csv, .vcd"),
        (["run", "counter.blif", "--vcd", "x.json"], "x.json: is written as .vcd"),
        (["run", "counter.blif", "--stimulus", "s.csv", "--outputs", "./s.csv"], "s.csv: would overwrite what the run"),
        (["run", "counter.blif", "--outputs", "x.vcd", "--vcd", "x.vcd"], "x.vcd: is named by --outputs and by --vcd"),
        (["run", "counter.blif", "--stimulus", "none.csv"], "none.csv: has no cycles"),
        (["run", "counter.blif", "--samples", "1000000000000"], "--samples: 1,000,000,000,000 cycles of this circuit"),
        (["run", "counter.blif", "--top", "other"], "counter.blif: has no model 'other'; it has counter"),
        (["run", "--vcd", "x.vcd"], "--vcd: only for circuits"),
        (["lower", "counter.blif", "--weights", "w.h5"], "is a circuit, which has no weights"),
        (["lower", "bad.blif"], "bad.blif:3: net 'y' has no driver"),
        (["run", "empty.aag"], "circuit 'empty' has no outputs, so that nothing is to be run"),
        (["lower", "giant.aag"], "giant.aag:1: the header promises"),
        (["show", "counter.blif", "--top", "other"], "has no model 'other'"),
    ],
)
def test_bad_input_is_one_message(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (here / "bad.blif").write_text(".model m\n.inputs a\n.outputs y\n.end\n", encoding="utf-8")
    (here / "empty.aag").write_text("aag 0 0 0 0 0\n", encoding="utf-8")
    (here / "giant.aag").write_text("aag 2000000000 0 0 0 2000000000\n", encoding="utf-8")
    (here / "none.csv").write_text("en\n", encoding="utf-8")
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert "Traceback" not in said


def test_neurons_are_not_written_as_gates(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(__file__).resolve().parents[1] / "models" / "digits_mlp.h5"
    assert main(["lower", str(model), "-o", "x.blif"]) == 2
    assert "is not a circuit; a graph of neurons is written as .gsim" in capsys.readouterr().err
    assert not (here / "x.blif").exists()


@pytest.mark.parametrize(("gate", "status"), [("AND", 0), ("NAND", 1)])
def test_two_circuits_are_equal_or_not(gate: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "a.bench").write_text("INPUT(a)\nINPUT(b)\nOUTPUT(y)\nn = NAND(a, b)\ny = NOT(n)\n")
    (tmp_path / "b.bench").write_text(f"INPUT(b)\nINPUT(a)\nOUTPUT(y)\ny = {gate}(b, a)\n")
    assert (
        main(["equal", str(tmp_path / "a.bench"), str(tmp_path / "b.bench"), "--json", str(tmp_path / "r")]) == status
    )
    found = json.loads((tmp_path / "r").read_text())
    assert found["verdict"] == ("different" if status else "equal")
    if status:
        assert found["counterexample"]["output"] == "y"


def test_what_takes_a_while_says_so_where_no_bar_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    def said(seconds: float | None) -> str:
        before = threading.active_count()
        with progress_bar("compiling", None, seconds):
            deadline = time.monotonic() + 10
            while seconds == 0 and threading.active_count() > before and time.monotonic() < deadline:
                time.sleep(0.001)
        return capsys.readouterr().err

    assert said(0) == "compiling ...\n"
    assert said(1e6) == said(None) == ""


def test_circuits_of_other_names_are_not_comparable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.bench").write_text("INPUT(a)\nOUTPUT(y)\ny = NOT(a)\n")
    (tmp_path / "b.bench").write_text("INPUT(c)\nOUTPUT(y)\ny = NOT(c)\n")
    assert main(["equal", str(tmp_path / "a.bench"), str(tmp_path / "b.bench")]) == 2
    assert "different inputs: a, c" in capsys.readouterr().err


def test_an_engine_that_will_take_long_is_said_to(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engines._RATES, "reference", 0.1)
    run_record(capsys, "--samples", "2")
    said = " ".join(capsys.readouterr().out.split())
    assert "the reference engine fires about 0.1 gates a second, and has 24 to fire: about 4 minutes; --engine" in said
    monkeypatch.undo()
    monkeypatch.chdir(here)
    run_record(capsys, "--samples", "2")
    assert "gates a second" not in capsys.readouterr().out
