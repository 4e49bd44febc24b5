"""Files of faults, and what is told of them: keys and lines in errors, tables, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import drawn
from mutations import valid

from graphsim.cli import main
from graphsim.errors import FaultsError
from graphsim.report.faults import damage, origins, rows
from graphsim.simulate.faults import faults_from_toml, plan_faults, read_faults
from graphsim.simulate.faults.damage import sweep
from graphsim.simulate.machine import MachineEngine

EXAMPLES = Path(__file__).parents[1] / "examples" / "faults"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_are_read(path: Path) -> None:
    assert read_faults(path).name == path.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", "f.toml: no faults; write [corruption], "),
        ("[corruption]\nrates = [0.1, 1.5]", "f.toml:2: corruption.rates[1]: must be at most 1.0, not 1.5"),
        (
            f"[corruption]\nrates = {[0.1] * 65}",
            "f.toml:2: corruption.rates: must be an array of at most 64 entries, not one of 65",
        ),
        ("[corruption]\nrate = 0.1", "f.toml:2: corruption.rate: unknown key (did you mean 'rates'?)"),
        ("[corruption]\nrates = [nan]", "f.toml:2: corruption.rates[0]: must be a finite number, not nan"),
        (
            'checksums = ["md5"]\n[corruption]\nrates = [0]',
            "f.toml:1: checksums[0]: must be 'none', 'parity' or 'crc8'",
        ),
        ('[[crash]]\nnode = "n1"', "f.toml:1: crash[0].at: this key is missing; add it"),
        (
            '[[link_down]]\nfrom = "n0"\nto = "n1"\nat = 5\nuntil = 5',
            "f.toml:5: link_down[0].until: must be after at, 5, not 5",
        ),
        ("seed = \n", "f.toml:1: not TOML: Invalid value"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_key_and_line(text: str, message: str) -> None:
    with pytest.raises(FaultsError) as error:
        faults_from_toml(text, "f.toml")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[crash]]\nnode = "x9"\nat = 1', "f.toml:2: crash[0].node: star:3: no node is called 'x9'"),
        ('[[late_link]]\nfrom = "n0"\nto = "n1"\nat = 1\nlatency = 3', "f.toml:1: late_link[0]: there is no link from"),
        ('[[weight]]\nneuron = "dense[99]"', "f.toml:2: weight[0].neuron: dense[99] is outside the group's shape (6,)"),
        ('[[weight]]\nneuron = "dense[1]"\nweight = 12', "f.toml:3: weight[0].weight: dense[1] has 12 weights"),
        ('[[weight]]\nneuron = "sink"', "f.toml:2: weight[0].neuron: sink has no weights"),
        ('[[drop]]\nactor = "source"\niterations = [1]', "f.toml:2: drop[0].actor: source is a source"),
    ],
)
def test_names_that_are_not_there_are_named_with_key_and_line(text: str, message: str) -> None:
    with pytest.raises(FaultsError) as error:
        plan_faults(faults_from_toml(text, "f.toml"), *valid())
    assert str(error.value).startswith(message)


def test_a_sweep_says_what_each_rate_does() -> None:
    graph, schedule = valid()
    inputs = np.random.default_rng(0).random((400, 12), dtype=np.float32)
    clean = MachineEngine(graph, schedule).run(inputs)
    labels = clean.values["sink"][:, 0].astype(np.int64)  # so that without faults all are right
    faults = faults_from_toml("seed = 2\n[corruption]\nrates = [0, 0.001, 0.02]")
    found = sweep(faults, graph, schedule, inputs, clean, labels=labels)
    assert [(case.checksum, case.rate) for case in found.cases] == [
        (checksum, rate) for checksum in ("none", "crc8") for rate in (0, 0.001, 0.02)
    ]
    none, crc8 = found.cases[:3], found.cases[3:]
    for case in (none[0], crc8[0]):
        assert (case.affected, case.missing, case.silent, case.accuracy, case.first) == (0, 0, 0, 1.0, None)
        assert case.coverage is None
    for case in none[1:]:
        assert case.missing == 0
        assert case.silent > 0
        assert case.wrong_class is not None
        assert case.accuracy == 1 - case.wrong_class / 400
        assert case.coverage == 0
    for case in crc8[1:]:
        assert case.silent == 0
        assert case.missing > 0
        assert case.accuracy == 1 - case.missing / 400
        assert case.accuracy_of_answers == 1
        assert case.coverage == 1
    for case in found.cases:
        assert sum(case.first_in.values()) == case.affected >= case.missing + case.silent
    assert len(rows(found)) == len(found.cases)
    assert len(damage(found).data) == 6
    assert origins(found) is not None
    assert found.record()["runs"][4]["detection_coverage"] == 1


def test_the_first_wrong_neuron_is_located() -> None:
    """A wrong weight shows first in the neuron that has it; a lost token, in the actor that did not make it."""
    graph, schedule = valid()
    inputs = np.random.default_rng(0).random((6, 12), dtype=np.float32)
    clean = MachineEngine(graph, schedule).run(inputs)
    text = '[[weight]]\nneuron = "dense_1[2]"\nweight = 3\nbit = 31\n[[drop]]\nactor = "pixels[4]"\niterations = [0]'
    (case,) = sweep(faults_from_toml(f'checksums = ["none"]\n{text}'), graph, schedule, inputs, clean).cases
    assert case.first is not None
    assert (case.first.actor, case.first.sample, case.first.value) == ("pixels[4]", 0, None)
    assert case.first.clean == float(inputs[0, 4])
    assert case.first_in["pixels"] == 1
    assert set(case.first_in) <= {"pixels", "dense_1"}


def test_the_command_tells_what_faults_did(tmp_path: Path, browser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The digits on a torus, a link down for a while and frames hit: told at the terminal, in JSON, and drawn."""
    down = '[[link_down]]\nfrom = "n0_0"\nto = "n0_1"\nat = 5\nuntil = 9\n'
    (tmp_path / "f.toml").write_text(f"seed = 3\n[corruption]\nrates = [0, 0.01]\n{down}", encoding="utf-8")
    files = ["--faults", str(tmp_path / "f.toml"), "--report", str(tmp_path / "out")]
    options = ["--machine", "torus:2x2", "--samples", "40", "--no-reference", "--engine", "machine"]
    assert main(["run", "--json", str(tmp_path / "r.json"), *options, *files]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record == json.loads((tmp_path / "out" / "report.json").read_text())
    told = record["faults"]
    assert [(one["checksum"], one["rate"]) for one in told["runs"]] == [
        (checksum, rate) for checksum in ("none", "crc8") for rate in (0, 0.01)
    ]
    assert all(one["frames"]["lost"] > 0 for one in told["runs"])
    none, _, _, crc8 = told["runs"]
    assert 3 <= none["missing"] < 40
    assert (none["silent"], crc8["silent"], crc8["detection_coverage"]) == (0, 0, 1)
    assert none["accuracy"] < record["accuracy"]["graphsim"]
    out = " ".join(capsys.readouterr().out.split())
    assert "faults of f.toml, seed 3: 40 samples a run, through the machine engine" in out
    browser.get((tmp_path / "out" / "report.html").as_uri())
    drawn(browser, {"plot-damage", "plot-origins"})
    curves = browser.execute_script("return document.getElementById('plot-damage').data.map(d => [d.name, d.y])")
    assert ["right, none", [one["accuracy"] for one in told["runs"][:2]]] in curves
    section = browser.find_element("css selector", "#faults").text
    assert f"on {none['first_wrong']['node']}, sample {none['first_wrong']['sample']}" in section
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", "no faults; write [corruption]"),
        ('[[crash]]\nnode = "n7_7"\nat = 3', "no node is called 'n7_7'"),
        ("[corruption]\nrates = [2]", "must be at most 1.0, not 2"),
    ],
)
def test_the_command_refuses_files_that_are_wrong(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.toml").write_text(text, encoding="utf-8")
    assert main(["run", "--samples", "3", "--no-reference", "--faults", str(tmp_path / "f.toml")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    """On the digits net: the names of their neurons are those of both nets that ship, their nodes those of any 4x4."""
    options = ["--machine", "torus:4x4", "--samples", "20", "--no-reference", "--json", str(tmp_path / "r.json")]
    assert main(["run", *options, "--faults", str(path)]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["faults"]["file"]["name"] == path.name
