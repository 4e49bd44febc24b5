"""Gates as polynomials, their wiring, and nets of chosen gates as circuits; none of it needs TensorFlow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from circuits import evaluate
from hypothesis import given
from hypothesis import strategies as st

from graphsim.errors import UsageError
from graphsim.zoo.logic.gates import NAMES, PASS_A, POLYNOMIALS, TRUTHS
from graphsim.zoo.logic.learnt import Layer, Learnt
from graphsim.zoo.logic.wiring import wiring

#: The gates in the order asked for, as plain Python.
MEANT = {
    "FALSE": lambda a, b: False,
    "AND": lambda a, b: a and b,
    "A&!B": lambda a, b: a and not b,
    "A": lambda a, b: a,
    "B&!A": lambda a, b: b and not a,
    "B": lambda a, b: b,
    "XOR": lambda a, b: a != b,
    "OR": lambda a, b: a or b,
    "NOR": lambda a, b: not (a or b),
    "XNOR": lambda a, b: a == b,
    "NOT B": lambda a, b: not b,
    "A|!B": lambda a, b: a or not b,
    "NOT A": lambda a, b: not a,
    "B|!A": lambda a, b: b or not a,
    "NAND": lambda a, b: not (a and b),
    "TRUE": lambda a, b: True,
}


def test_the_sixteen_gates_are_those_meant_in_the_order_meant() -> None:
    assert list(MEANT) == list(NAMES)
    assert NAMES[PASS_A] == "A"
    for gate, (name, truth) in enumerate(zip(NAMES, TRUTHS, strict=True)):
        for a, b in itertools.product((False, True), repeat=2):
            expected = MEANT[name](a, b)
            assert truth >> (a + 2 * b) & 1 == expected
            assert POLYNOMIALS[gate] @ [1, a, b, a * b] == expected


@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_a_relaxed_gate_is_the_probability_of_a_one(a: float, b: float) -> None:
    corners = np.array([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    for polynomial, truth in zip(POLYNOMIALS, TRUTHS, strict=True):
        expected = corners @ [truth >> m & 1 for m in range(4)]
        assert float(polynomial @ np.array([1, a, b, a * b])) == pytest.approx(expected, abs=1e-12)


def test_neighbours_come_first() -> None:
    wires = wiring(9, 8, 0)
    assert sorted(map(tuple, wires.tolist())) == [(n, n + 1) for n in range(8)]
    assert sorted(map(tuple, wiring(9, 3, 0).tolist())) == [(0, 1), (2, 3), (4, 5)]
    assert sorted(map(tuple, wiring(9, 6, 0).tolist())) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7)]


@given(inputs=st.integers(2, 40), gates=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_no_pair_comes_again_before_all_have_come(inputs: int, gates: int, seed: int) -> None:
    wires = wiring(inputs, gates, seed)
    assert wires.shape == (gates, 2)
    assert wires.dtype == np.int32
    assert wires.min() >= 0
    assert wires.max() < inputs
    pairs = [tuple(sorted(pair)) for pair in wires.tolist()]
    assert all(a != b for a, b in pairs)
    often = {pair: pairs.count(pair) for pair in set(pairs)}
    every = inputs * (inputs - 1) // 2
    assert len(often) == min(gates, every)
    assert max(often.values()) == -(-gates // every)
    exchanged = sum(a > b for a, b in wires.tolist())
    assert exchanged == sum(min(every, gates - start) for start in range(every, gates, 2 * every))


def test_the_seed_decides_the_order_and_what_is_not_next_to_each_other() -> None:
    assert np.array_equal(wiring(50, 60, (3, 1)), wiring(50, 60, (3, 1)))
    assert not np.array_equal(wiring(50, 60, (3, 1)), wiring(50, 60, (3, 2)))
    far = [{tuple(pair) for pair in wiring(50, 60, seed).tolist() if abs(pair[0] - pair[1]) > 1} for seed in (1, 2)]
    assert [len(some) for some in far] == [11, 11]
    assert far[0] != far[1]


def test_the_wiring_of_a_seed_never_changes() -> None:
    assert wiring(6, 8, (7, 1)).tolist() == [[2, 5], [4, 5], [3, 5], [2, 4], [0, 1], [1, 2], [3, 4], [2, 3]]


@pytest.mark.parametrize(("inputs", "gates"), [(1, 4), (4, 0)])
def test_layers_that_cannot_be_wired(inputs: int, gates: int) -> None:
    with pytest.raises(UsageError, match="a gate needs two inputs, a layer one gate"):
        wiring(inputs, gates, 0)


@st.composite
def nets(draw: st.DrawFn) -> Learnt:
    widths = draw(st.lists(st.integers(2, 9), min_size=2, max_size=5))
    layers = []
    for at, (inputs, gates) in enumerate(itertools.pairwise(widths)):
        chosen = draw(st.lists(st.integers(0, 15), min_size=gates, max_size=gates))
        layers.append(Layer(wiring(inputs, gates, at), np.array(chosen, np.uint8)))
    return Learnt(widths[0], tuple(layers))


@given(nets())
def test_extraction_keeps_the_function(net: Learnt) -> None:
    every = np.arange(1 << net.inputs)[:, None] >> np.arange(net.inputs) & 1
    circuit = net.circuit("net", [f"i{n}" for n in range(net.inputs)], [f"o{n}" for n in range(len(net.layers[-1][1]))])
    circuit.check()
    assert circuit.gate_count == net.gate_count == net.counts().sum()
    found = net(every.astype(np.bool_))
    for row, outputs in zip(every.tolist(), found.astype(int).tolist(), strict=True):
        value = [bool(bit) for bit in row]
        for wires, gates in net.layers:
            value = [MEANT[NAMES[g]](value[a], value[b]) for (a, b), g in zip(wires.tolist(), gates, strict=True)]
        assert outputs == [int(bit) for bit in value]
        assert evaluate(circuit, [row]) == [outputs]


def test_a_gate_that_ignores_an_input_is_extracted_without_it() -> None:
    gates = np.array([NAMES.index(name) for name in ("A", "NOT B", "TRUE")], np.uint8)
    wires = np.array([[1, 0], [0, 1], [0, 1]], np.int32)
    circuit = Learnt(2, (Layer(wires, gates),)).circuit("net", ["a", "b"], ["x", "y", "z"])
    assert [circuit.fanins(gate) for gate in range(3)] == [(1,), (1,), ()]
    assert circuit.truth.tolist() == [0b10, 0b01, 1]
