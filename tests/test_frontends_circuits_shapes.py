"""Circuits of shapes that converters trip over, through files of every format that is written and read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from test_frontends_circuits_written import ROUND

from graphsim.compare.logic import Evaluation
from graphsim.frontends.circuits import read, write
from graphsim.frontends.circuits.netlist import Netlist
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.graph.verify import verify

_AND, _XOR, _NOT = 0b1000, 0b0110, 0b01


def shift_register() -> Circuit:
    """Flip-flops fed by an input and by each other, two shown by outputs of other names, one output shown twice."""
    n = Netlist("shift", "shift")
    n.input(n.net("d"))
    n.input(n.net("unused"))
    n.register(n.net("p"), n.net("d"), False)
    n.register(n.net("q"), n.net("p"), True)
    for name, net in (("y", "q"), ("z", "q"), ("p", "p"), ("through", "d")):
        n.output(name, n.net(net))
    return n.circuit()


def reconvergent(depth: int = 60) -> Circuit:
    """Every gate reads both gates before it: 2**depth paths; two outputs share all of it."""
    n = Netlist("paths", "paths")
    a, b = n.net("a"), n.net("b")
    for net in (a, b, n.net("unused[0]"), n.net("unused[1]")):
        n.input(net)
    for _ in range(depth):
        a, b = n.gate(n.new(), [a, b], _XOR), n.gate(n.new(), [a, b], 0b1101)
    n.output("y", a)
    n.output("z", b)
    return n.circuit()


@cache
def chain(gates: int = 100_000) -> Circuit:
    """An inverter behind an AND behind an inverter, and so on, with a register to end."""
    n = Netlist("chain", "chain")
    last, also = n.net("a"), n.net("b")
    n.input(last)
    n.input(also)
    for at in range(gates // 2):
        last = n.gate(n.new(), [n.gate(n.new(), [last], _NOT), also if at % 1000 == 7 else last], 0b1101)
    n.register(n.net("r"), last, True)
    n.output("y", last)
    n.output("z", n.net("r"))
    return n.circuit()


def through(circuit: Circuit, path: Path) -> Circuit:
    """The circuit, written and read, which gives the same outputs from the same inputs."""
    write(circuit, path)
    back = read(path)
    cycles = np.random.default_rng(3).integers(0, 2, (2, circuit.input_count))
    assert back.input_names == circuit.input_names
    assert back.output_names == circuit.output_names
    assert np.array_equal(Evaluation(back).outputs(cycles), Evaluation(circuit).outputs(cycles))
    return back


@pytest.mark.parametrize("suffix", ROUND)
def test_shift_registers(tmp_path: Path, suffix: str) -> None:
    back = through(shift_register(), tmp_path / f"x{suffix}")
    assert back.register_count == 2
    verify(to_graph(back))
    cycles = np.array([[1, 0], [0, 0], [1, 0], [1, 0]])
    assert Evaluation(back).outputs(cycles)[:, 0].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("suffix", ROUND)
def test_two_to_the_sixty_paths(tmp_path: Path, suffix: str) -> None:
    back = through(reconvergent(), tmp_path / f"x{suffix}")
    assert back.gate_count <= 60 * 8
    verify(to_graph(back))


@pytest.mark.parametrize("suffix", ROUND)
def test_a_hundred_thousand_gates_in_a_row(tmp_path: Path, suffix: str) -> None:
    back = through(chain(), tmp_path / f"x{suffix}")
    to_graph(back)


@pytest.mark.parametrize("suffix", ROUND)
def test_the_smallest_circuits(tmp_path: Path, suffix: str) -> None:
    n = Netlist("one", "one")
    n.constant(n.net("y"), True)
    n.output("y", n.net("y"))
    back = through(n.circuit(), tmp_path / f"x{suffix}")
    assert Evaluation(back).outputs(np.zeros((2, 0), np.uint8)).tolist() == [[1], [1]]


def test_chains_in_bench_files(tmp_path: Path) -> None:
    gates = 100_000
    rows = [f"n{i} = NOT(n{i - 1})" for i in range(gates, 0, -1)]
    (tmp_path / "x.bench").write_text("\n".join(["INPUT(n0)", f"OUTPUT(n{gates})", *rows]), encoding="utf-8")
    circuit = read(tmp_path / "x.bench")
    assert circuit.depth == gates
    assert Evaluation(circuit).outputs(np.array([[0], [1]])).tolist() == [[0], [1]]
