"""Stimulus files and output files: JSON, CSV and VCD."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from hypothesis import given
from hypothesis import strategies as st

from graphsim.compare.logic import Evaluation
from graphsim.errors import DatasetError
from graphsim.frontends.circuits.netlist import Netlist
from graphsim.frontends.circuits.stimulus import Stimulus, as_integers, random_stimulus, read_stimulus, write_outputs
from graphsim.graph.circuit import Circuit, clock_note


def adder(bits: int = 3) -> Circuit:
    """``s = a + b + c``, of so many bits."""
    n = Netlist("adder.blif", "adder")
    a, b = ([n.net(f"{name}[{i}]") for i in range(bits)] for name in "ab")
    carry = n.net("c")
    for net in (*a, *b, carry):
        n.input(net)
    for i in range(bits):
        n.gate(n.net(f"s[{i}]"), [a[i], b[i], carry], 0b1001_0110)
        carry = n.gate(n.new(), [a[i], b[i], carry], 0b1110_1000)
        n.output(f"s[{i}]", n.net(f"s[{i}]"))
    n.output(f"s[{bits}]", carry)
    return n.circuit()


def read(tmp_path: Path, name: str, text: str, circuit: Circuit | None = None) -> Stimulus:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_stimulus(tmp_path / name, circuit or adder())


JSON = '{"a": [3, "0x7", 5], "b": [1, "0b111", 2], "c": 1, "s": [5, null, 8]}'
PARTS = '{"inputs": {"a": [3, 7, 5], "b": [1, 7, 2], "c": 1}, "outputs": {"s": [5, "x", 8]}, "cycles": 3}'
CSV = "cycle,a,b[0],b[1],b[2],c,s\n0,3,1,0,0,1,5\n1,0x7,1,1,1,1,\n2,5,0,1,0,1,8\n"
VCD = """$timescale 1ns $end $scope module tb $end
$var wire 3 a a [2:0] $end $var reg 3 b b [2:0] $end $var wire 1 c c $end $var wire 4 s s [3:0] $end
$upscope $end $enddefinitions $end
#0 b11 a b1 b 1c b101 s #7 b111 a b111 b bx s #30 b101 a b10 b b1000 s #40
"""
CLOCKED = """$scope module tb $end $var wire 1 k clk $end
$var wire 3 a a $end $var reg 3 b b $end $var wire 1 c c $end $var wire 4 s s [3:0] $end
$upscope $end $enddefinitions $end
$dumpvars 1k bx a bx b xc bx s $end #1 b0 a #2 0k b11 a b1 b 1c b101 s
#3 1k b111 a b111 b bx s #4 0k #5 1k b101 a b10 b b1000 s #7 0k #8 1k
"""


@pytest.mark.parametrize(
    ("name", "text"), [("s.json", JSON), ("p.json", PARTS), ("s.csv", CSV), ("s.vcd", VCD), ("c.vcd", CLOCKED)]
)
def test_every_format_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    found = read(tmp_path, name, text)
    assert as_integers(adder().input_names, found.inputs) == {"a": [3, 7, 5], "b": [1, 7, 2], "c": [1, 1, 1]}
    assert found.known.all(axis=1).tolist() == found.known.any(axis=1).tolist() == [True, False, True]
    assert as_integers(adder().output_names, found.expected)["s"][::2] == [5, 8]
    assert found.remark == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.json", '{"a": [1], "b": [8], "c": 0}', "8 is not a value of 'b', which has 3 bits"),
        ("s.json", '{"a": [-1], "b": [0], "c": 0}', "-1 is not a value of 'a'"),
        ("s.json", '{"a": [1, 2], "b": [1], "c": 0}', "'b' has 1 values; there are 2 cycles"),
        ("s.json", '{"a": [1], "b": [1]}', "has not a value in every cycle for input 'c'"),
        ("s.json", '{"a": [1, null], "b": [1, 1], "c": 0}', "in every cycle for input 'a.0.', 'a.1.', 'a.2.'"),
        ("s.json", '{"a": 1, "b": 1, "c": 0}', "does not say how many cycles"),
        ("s.json", '{"d": [1], "a": [1], "b": [1], "c": 0}', "has no input 'd'; it has 'a', 'b', 'c'"),
        ("s.json", '{"inputs": {"a": [1], "b": [1], "c": 0}, "outputs": {"t": 1}}', "has no output 't'; it has 's'"),
        ("s.json", '{"a": [1], "a[0]": [1], "b": [1], "c": 0}', "input 'a.0.' has values twice"),
        ("s.json", '{"a": [1.5], "b": [1], "c": 0}', "'1.5', a value of 'a', is not a whole number"),
        ("s.json", '{"a": [{}], "b": [1], "c": 0}', "is not a whole number"),
        ("s.json", "[1]", "is not an object"),
        ("s.json", "[" * 100_000, "is not JSON"),
        ("s.json", '{"a": [' + "9" * 5000 + "]}", "is not JSON"),
        ("s.json", '{"inputs": {"a": 1, "b": 1, "c": 1}, "cycles": 100000000000}', "more than 1,073,741,824 values"),
        ("s.json", '{"a": ["0x' + "f" * 5000 + '"], "b": 1, "c": 1}', "a number of 20,000 bits is not a value of 'a'"),
        ("s.vcd", "$var wire 1 ! a [", "s.vcd: ends before .enddefinitions"),
        ("s.vcd", VCD + "\x1b", r"is not a VCD file that can be read \(.*\\x1b\)"),
        ("s.csv", "", "is empty"),
        ("s.csv", "a,b,c\n1,1\n", "s.csv:2: has 2 cells; the first line has 3"),
        ("s.csv", "a,b,a\n1,1,1\n", "column 'a' is there twice"),
        ("s.csv", "a,b,c\n1,one,1\n", "'one', a value of 'b', is not a whole number"),
        ("s.vcd", VCD.replace("1 c c", "1 c d"), "has no signal 'c', an input of the circuit"),
        ("s.vcd", "$var wire", "ends before .enddefinitions"),
        ("s.vcd", "$var wire x ! a $end", "is not a VCD file"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, name, text)


def test_a_circuit_without_inputs_is_told_how_many_cycles(tmp_path: Path, shared: Path) -> None:
    from graphsim.frontends.circuits import read as read_circuit

    toggle = read_circuit(shared / "circuits" / "aiger" / "toggle.aag")
    found = read(tmp_path, "s.json", '{"cycles": 4, "o0": [0, 1, 0, 1]}', toggle)
    assert found.inputs.shape == (4, 0)
    assert Evaluation(toggle).outputs(found.inputs)[:, 0].tolist() == found.expected[:, 0].tolist() == [0, 1, 0, 1]


def test_inputs_of_a_dump_that_are_not_known_are_0_and_it_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, "s.vcd", VCD.replace("1c", "xc"))
    assert found.inputs[:, -1].tolist() == [0, 0, 0]
    assert found.remark == "3 values of inputs are neither 0 nor 1; they are 0"


def test_a_circuit_reads_dumps_at_the_edge_of_its_clock(tmp_path: Path) -> None:
    falling = replace(adder(), notes={"clock": clock_note("tick", rising=False)})
    found = read(tmp_path, "c.vcd", CLOCKED.replace("k clk", "z clk $end $var wire 1 k tick"), falling)
    assert as_integers(falling.input_names, found.inputs)["a"] == [0, 7, 5]


@given(circuits(), st.integers(0, 9), st.sampled_from([".json", ".csv", ".vcd"]))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, circuit: Circuit, cycles: int, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"out{suffix}"
    stimulus = random_stimulus(circuit, cycles, 1)
    values = Evaluation(circuit).values(stimulus.inputs)
    outputs = values[:, circuit.outputs]
    write_outputs(path, circuit, stimulus, outputs, values[:, circuit.input_count : circuit.first_gate])
    if suffix == ".vcd":
        back = read_stimulus(path, circuit)
        assert np.array_equal(back.inputs, stimulus.inputs)
    elif suffix == ".json":
        written = {"inputs": dict.fromkeys(circuit.input_names, 0), **json.loads(path.read_text(encoding="utf-8"))}
        path.write_text(json.dumps(written), encoding="utf-8")
        back = read_stimulus(path, circuit)
    else:
        back = read_stimulus(path, replace(circuit, input_names=(), register_names=(), notes={}))
    assert np.array_equal(back.expected, outputs)
    assert back.known.all()


@pytest.mark.parametrize("edge", ["rising", "falling"])
def test_registers_of_a_dump_change_with_the_edge_at_which_their_clock_stores(tmp_path: Path, edge: str) -> None:
    netlist = Netlist("toggle", "toggle")
    netlist.output("q", netlist.net("q"))
    netlist.register(netlist.net("q"), netlist.gate(netlist.new(), (netlist.net("q"),), 0b01), False)
    toggle = replace(netlist.circuit(), notes={"clock": clock_note("tick", edge == "rising")})
    path, states = tmp_path / "out.vcd", np.array([[0], [1], [0]], np.uint8)
    write_outputs(path, toggle, random_stimulus(toggle, 3, 0), states, states)
    code = {
        line.split()[4]: line.split()[3] for line in path.read_text(encoding="utf-8").splitlines() if "$var" in line
    }
    text = path.read_text(encoding="utf-8").partition("$dumpvars")[2]
    high, low = ("1", "0") if edge == "rising" else ("0", "1")
    assert f"#5\n{high}{code['tick']}\n1{code['q']}\n#10\n{low}{code['tick']}\n#15\n" in text
    assert read_stimulus(path, toggle).expected.tolist() == states.tolist()


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_values_with_too_many_digits_for_a_number_are_hexadecimal(tmp_path: Path, suffix: str) -> None:
    bits = 16_000  # 4,817 digits, of which Python writes and reads 4,300
    netlist = Netlist("wide", "wide")
    for i in range(bits):
        netlist.input(netlist.net(f"a[{i}]"))
        netlist.output(f"b[{i}]", netlist.net(f"a[{i}]"))
    wide = netlist.circuit()
    stimulus = random_stimulus(wide, 2, 0)
    write_outputs(tmp_path / f"out{suffix}", wide, stimulus, stimulus.inputs, stimulus.inputs[:, :0])
    text = (tmp_path / f"out{suffix}").read_text(encoding="utf-8")
    assert text.count("0x") == 2
    swapped = text.replace('"outputs"', '"inputs"').replace("cycle,b", "cycle,a").replace('"b"', '"a"')
    assert np.array_equal(read(tmp_path, f"in{suffix}", swapped, wide).inputs, stimulus.inputs)
