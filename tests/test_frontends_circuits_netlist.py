"""The netlist that circuit files are read into."""

from __future__ import annotations

import pytest
from circuits import evaluate
from hypothesis import given
from hypothesis import strategies as st

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.netlist import Netlist, rewired


def test_nets_may_be_driven_in_any_order_and_fanins_repeat() -> None:
    n = Netlist("x.blif", "x")
    n.gate(n.net("y"), [n.net("t"), n.net("a"), n.net("t")], 0b1000_0000)
    n.gate(n.net("t"), [n.net("b"), n.net("a")], 0b0010)
    for name in "ab":
        n.input(n.net(name))
    n.output("y", n.net("y"))
    circuit = n.circuit()
    assert circuit.gate_names == ("t", "y")
    assert circuit.fanins(0) == (0, 1)
    assert [evaluate(circuit, [[a, b]])[0][0] for a in (0, 1) for b in (0, 1)] == [0, 0, 0, 0]
    assert int(circuit.truth[0]) == 0b0100


@given(st.integers(0, 255), st.permutations([0, 1, 2]))
def test_rewired_tables_read_the_same_inputs(truth: int, places: list[int]) -> None:
    moved = rewired(truth, tuple(places), 3)
    for m in range(8):
        old = sum((m >> places[i] & 1) << i for i in range(3))
        assert moved >> m & 1 == truth >> old & 1


@pytest.mark.parametrize("op", ["and", "or", "xor"])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("width", [1, 6, 7, 43])
def test_wide_gates_become_trees(op: str, inverted: bool, width: int) -> None:
    n = Netlist("x.bench", "x")
    nets = [n.net(f"i{k}") for k in range(width)]
    for net in nets:
        n.input(net)
    n.tree(n.net("y"), op, nets, inverted=inverted)  # type: ignore[arg-type]
    n.output("y", n.net("y"))
    circuit = n.circuit()
    rule = {"and": all, "or": any, "xor": lambda bits: sum(bits) % 2 == 1}[op]
    for word in (0, 1, 3, (1 << width) - 1, 0b1011011 & (1 << width) - 1, 1 << width - 1):
        bits = [word >> k & 1 for k in range(width)]
        assert evaluate(circuit, [bits])[0][0] == int(rule(bits) != inverted)


def test_a_loop_is_named() -> None:
    n = Netlist("x.blif", "x")
    n.input(n.net("a"))
    n.gate(n.net("p"), [n.net("q"), n.net("a")], 8, line=4)
    n.gate(n.net("q"), [n.net("r")], 2, line=5)
    n.gate(n.net("r"), [n.net("p")], 2, line=6)
    n.output("p", n.net("p"))
    with pytest.raises(CircuitError, match=r"x.blif:4: combinational loop: p <- q <- r <- p; a loop needs a register"):
        n.circuit()


def test_a_loop_of_assignments_is_named() -> None:
    n = Netlist("x.v", "x")
    n.alias(n.net("p"), n.net("q"))
    n.alias(n.net("q"), n.net("p"))
    n.output("p", n.net("p"))
    with pytest.raises(CircuitError, match="combinational loop: p <- q <- p"):
        n.circuit()


def test_a_net_has_one_driver() -> None:
    n = Netlist("x.blif", "x")
    n.input(n.net("a"))
    with pytest.raises(CircuitError, match=r"x\.blif:9: net 'a' is driven a second time"):
        n.constant(n.net("a"), True, line=9)


def test_a_net_without_a_driver_is_named_with_its_reader() -> None:
    n = Netlist("x.blif", "x")
    n.gate(n.net("y"), [n.net("a")], 1, line=3)
    n.output("y", n.net("y"))
    with pytest.raises(CircuitError, match=r"x\.blif:3: net 'a' has no driver; 'y' reads it"):
        n.circuit()


def test_a_shift_register_has_no_gates() -> None:
    n = Netlist("x.blif", "x")
    n.input(n.net("d"))
    n.register(n.net("p"), n.net("d"), False)
    n.register(n.net("q"), n.net("p"), True)
    n.output("q", n.net("q"))
    assert [row[0] for row in evaluate(n.circuit(), [[1], [0], [1], [1]])] == [1, 0, 1, 0]


def test_a_chain_of_a_hundred_thousand_gates() -> None:
    n = Netlist("x.blif", "x")
    n.input(n.net("a"))
    last = n.net("a")
    gates = 100_000
    nets = [n.new() for _ in range(gates)]
    for net in reversed(nets):
        n.gate(net, [net - 1 if net > nets[0] else last], 1)
    n.output("y", nets[-1])
    circuit = n.circuit()
    assert circuit.depth == gates
    assert evaluate(circuit, [[0], [1]]) == [[0], [1]]


def clocked(*clocks: tuple[str, bool], gated: bool = False) -> Netlist:
    """Registers, one for each clock and edge. Inputs c, e, d; b buffers c, i inverts b, and if gated g is c and e."""
    n = Netlist("x.v", "x")
    for name in "ced":
        n.input(n.net(name))
    n.gate(n.net("b"), [n.net("c")], 0b10, line=2)
    n.gate(n.net("i"), [n.net("b")], 0b01, line=3)
    if gated:
        n.gate(n.net("g"), [n.net("c"), n.net("e")], 0b1000, line=4)
    for at, (clock, rising) in enumerate(clocks):
        n.clock(n.net(clock), rising, line=10 + at)
        n.register(n.net(f"r{at}"), n.net("d"), False, line=10 + at)
        n.output(f"r{at}", n.net(f"r{at}"))
    return n


def test_a_clock_is_no_input_and_may_pass_buffers_and_inverters() -> None:
    n = clocked(("c", True), ("b", True), ("i", False))
    circuit = n.circuit()
    assert circuit.input_names == ("e", "d")
    assert circuit.gate_count == 0


@pytest.mark.parametrize("edge", ["rising", "falling"])
def test_the_clock_and_its_edge_are_noted(edge: str) -> None:
    circuit = clocked(("c", edge == "rising")).circuit()
    assert circuit.notes == {"clock": f"registers store at the {edge} edge of c, with which a cycle ends"}
    assert circuit.clock == ("c", edge == "rising")


@pytest.mark.parametrize(
    ("clocks", "message"),
    [
        ([("c", True), ("c", False)], "x.v:11: registers are clocked by both edges of 'c'; a circuit has one clock"),
        ([("c", True), ("i", True)], "x.v:11: registers are clocked by both edges of 'c'"),
        ([("c", True), ("e", True)], "x.v:11: registers are clocked by 'c' and by 'e'; a circuit has one clock"),
        ([("c", True), ("g", True)], "x.v:11: clock 'g' is made by a gate or register .'g'.; a clock is an input"),
        ([("nobody", True)], "x.v:10: net 'nobody' has no driver"),
    ],
)
def test_there_is_one_clock(clocks: list[tuple[str, bool]], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        clocked(*clocks, gated=True).circuit()


def test_a_clock_is_not_data() -> None:
    with pytest.raises(CircuitError, match=r"x\.v:4: clock 'c' is read as data, by 'g'"):
        clocked(("c", True), gated=True).circuit()
    n = clocked(("c", True))
    n.output("clk", n.net("i"))
    with pytest.raises(CircuitError, match="clock 'c' is read as data, by 'output clk'"):
        n.circuit()
