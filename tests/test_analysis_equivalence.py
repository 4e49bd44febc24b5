"""Circuits are compared: what is equal is proved, what differs is shown, and what is not known is not claimed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from circuits import circuits, evaluate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_passes_logic import made, showing

from graphsim.analysis import equivalence
from graphsim.analysis.cover import clauses, irredundant, table_of
from graphsim.analysis.equivalence import Counterexample, compare
from graphsim.errors import UsageError
from graphsim.graph.circuit import Circuit
from graphsim.passes.logic import passes_of


def shows(before: Circuit, after: Circuit, found: Counterexample) -> None:
    """The counterexample, run by the independent evaluation, shows what it says."""
    values = []
    for circuit in (before, after):
        cycles = [[bits[name] for name in circuit.input_names] for bits in found.inputs]
        outputs = evaluate(circuit, cycles)
        values.append([dict(zip(circuit.output_names, row, strict=True)) for row in outputs])
    assert values[0][:-1] == values[1][:-1]
    assert (values[0][-1][found.output], values[1][-1][found.output]) == (found.before, found.after)
    assert found.before != found.after


def truly_equal(before: Circuit, after: Circuit) -> bool:
    """Brute force: all input patterns from all states that runs get to."""
    seen = {(tuple(before.initial.tolist()), tuple(after.initial.tolist()))}
    waiting = list(seen)
    for states in waiting:
        for bits in itertools.product((0, 1), repeat=before.input_count):
            results = []
            for circuit, state in zip((before, after), states, strict=True):
                wide = showing(circuit, [*circuit.outputs.tolist(), *circuit.following.tolist()])
                row = evaluate(replace(wide, initial=np.array(state, np.bool_)), [list(bits)])[0]
                results.append((row[: len(circuit.outputs)], tuple(map(bool, row[len(circuit.outputs) :]))))
            if results[0][0] != results[1][0]:
                return False
            pair = (results[0][1], results[1][1])
            if pair not in seen:
                seen.add(pair)
                waiting.append(pair)
    return True


def with_fault(circuit: Circuit, gate: int, bit: int) -> Circuit:
    truth = circuit.truth.copy()
    truth[gate] ^= np.uint64(1 << bit)
    return replace(circuit, truth=truth)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(circuits(gates=30))
def test_no_wolf_is_cried_at_what_passes_do(circuit: Circuit) -> None:
    assert compare(circuit, passes_of("default").rewrite(circuit)).equal is True


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(circuits(inputs=4, registers=2, gates=15), st.data())
def test_a_fault_in_one_gate_is_found_exactly_when_it_shows(circuit: Circuit, data: st.DataObject) -> None:
    if not circuit.gate_count:
        return
    gate = data.draw(st.integers(0, circuit.gate_count - 1))
    faulty = with_fault(circuit, gate, data.draw(st.integers(0, (1 << int(circuit.fan_in[gate])) - 1)))
    found = compare(circuit, faulty)
    assert found.equal is truly_equal(circuit, faulty)
    if not found.equal:
        assert found.counterexample is not None
        shows(circuit, faulty, found.counterexample)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=100)
@given(circuits(inputs=8, registers=0, gates=30), st.data())
def test_the_solver_agrees_with_all_patterns(circuit: Circuit, data: st.DataObject) -> None:
    other = passes_of("default").rewrite(circuit)
    if circuit.gate_count and data.draw(st.booleans()):
        gate = data.draw(st.integers(0, circuit.gate_count - 1))
        other = with_fault(circuit, gate, data.draw(st.integers(0, (1 << int(circuit.fan_in[gate])) - 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equivalence, "_random_run", lambda *_: None)
        by_patterns = compare(circuit, other)
        patch.setattr(equivalence, "EXHAUSTIVE", -1)
        by_solver = compare(circuit, other)
    assert by_solver.how.startswith("SAT")
    assert by_solver.equal is by_patterns.equal
    if by_solver.counterexample:
        shows(circuit, other, by_solver.counterexample)


def adder(bits: int, carry_select: bool) -> Circuit:
    """a + b; either by majority and exclusive or of three, or by two-input gates."""
    gates: list[tuple[tuple[int, ...], int]] = []
    outputs = []

    def gate(fanins: tuple[int, ...], truth: int) -> int:
        gates.append((fanins, truth))
        return 2 * bits + len(gates) - 1

    carry = gate((0, bits), 0b1000)
    outputs.append(gate((0, bits), 0b0110))
    for i in range(1, bits):
        if carry_select:
            half, both = gate((i, bits + i), 0b0110), gate((i, bits + i), 0b1000)
            outputs.append(gate(tuple(sorted((half, carry))), 0b0110))
            carry = gate((both, gate(tuple(sorted((half, carry))), 0b1000)), 0b1110)
        else:
            outputs.append(gate(tuple(sorted((i, bits + i, carry))), 0b10010110))
            carry = gate(tuple(sorted((i, bits + i, carry))), 0b11101000)
    return made(2 * bits, gates, [*outputs, carry])


def test_adders_of_two_kinds_are_equal_by_the_solver() -> None:
    found = compare(adder(32, True), adder(32, False))
    assert found.equal is True
    assert found.how.startswith("SAT")


def test_a_rare_difference_is_found_by_the_solver() -> None:
    """One pattern of 2^40 tells the two apart."""
    gates: list[tuple[tuple[int, ...], int]] = [((0, 1), 0b1000)]
    gates += [((i, 40 + i - 2), 0b1000) for i in range(2, 40)]
    before = made(40, gates, [40 + len(gates) - 1])
    found = compare(before, made(40, [*gates[:-1], ((), 0)], [40 + len(gates) - 1]))
    assert found.equal is False
    assert found.counterexample is not None
    assert set(found.counterexample.inputs[0].values()) == {1}
    shows(before, made(40, [*gates[:-1], ((), 0)], [40 + len(gates) - 1]), found.counterexample)


def test_what_is_not_decided_is_not_claimed() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equivalence, "EXHAUSTIVE", -1)
        undecided = compare(multiplier(8, False), multiplier(8, True), conflicts=0)
    assert (undecided.equal, undecided.counterexample) == (None, None)
    assert "not decided within 0 conflicts" in undecided.how


def multiplier(bits: int, turned: bool) -> Circuit:
    """a * b, or b * a: rows of partial products, added one after the other."""
    gates: list[tuple[tuple[int, ...], int]] = []

    def gate(a: int, b: int, *more: int, truth: int) -> int:
        gates.append((tuple(sorted((a, b, *more))), truth))
        return 2 * bits + len(gates) - 1

    def product(i: int, j: int) -> int:
        return gate(*((j, bits + i) if turned else (i, bits + j)), truth=0b1000)

    row, outputs = [product(i, 0) for i in range(bits)], []
    outputs.append(row.pop(0))
    for j in range(1, bits):
        carry, new = None, []
        for i in range(bits):
            addends = [s for s in (product(i, j), row[i] if i < len(row) else None, carry) if s is not None]
            if len(addends) == 1:
                new.append(addends[0])
                carry = None
                continue
            new.append(gate(*addends, truth=0b0110 if len(addends) == 2 else 0b10010110))
            carry = gate(*addends, truth=0b1000 if len(addends) == 2 else 0b11101000)
        row = [*new[1:], *([] if carry is None else [carry])]
        outputs.append(new[0])
    return made(2 * bits, gates, outputs + row)


def test_a_state_that_no_run_gets_to_does_not_count() -> None:
    # r0 and r1 count 00, 01, 10 and around; the circuits differ in 11 only.
    gates = [((0, 1), 0b0001), ((1,), 0b01), ((0, 1), 0b1000)]
    before = made(0, [*gates[:1], ((0, 1), 0b0010), gates[2]], [4], [(0, 2), (0, 3)])
    after = made(0, [*gates[:1], ((0, 1), 0b0010), ((), 0)], [4], [(0, 2), (0, 3)])
    found = compare(before, after)
    assert found.equal is True
    assert "all runs from the initial state" in found.how


def test_a_difference_many_cycles_away_is_found() -> None:
    # An 8-bit counter that counts while the input is 1; the circuits differ when it is full.
    gates: list[tuple[tuple[int, ...], int]] = []
    carry, following = 0, []
    for bit in range(1, 9):
        gates.append(((carry, bit) if carry < bit else (bit, carry), 0b0110))
        following.append(8 + len(gates))
        gates.append(((carry, bit) if carry < bit else (bit, carry), 0b1000))
        carry = 8 + len(gates)
    registers = [(0, f) for f in following]
    before = made(1, gates, [carry], registers)
    after = made(1, [*gates, ((), 0)], [carry + 1], registers)
    found = compare(before, after)
    assert found.equal is False
    assert found.counterexample is not None
    assert len(found.counterexample.inputs) == 256
    shows(before, after, found.counterexample)


def test_the_first_gate_that_differs_is_named() -> None:
    before = made(2, [((0, 1), 0b1000), ((0, 2), 0b0110), ((1, 3), 0b1110)], [4], names=("a", "b", "c"))
    found = compare(before, with_fault(before, 1, 0)).counterexample
    assert found is not None
    assert (found.output, found.gate) == ("o0", "b")
    assert str(found) == "i0=0 i1=0: output o0 was 0 and is 1; first gate that differs: b"


def test_inputs_and_outputs_are_matched_by_name() -> None:
    before = made(2, [((0, 1), 0b0100)], [2, 0])
    after = replace(made(2, [((0, 1), 0b0010)], [1, 2]), input_names=("i1", "i0"), output_names=("o1", "o0"))
    assert compare(before, after).equal is True
    with pytest.raises(UsageError, match="different outputs: o1, out"):
        compare(before, replace(before, output_names=("o0", "out")))


@given(st.integers(0, 6), st.data())
def test_covers_are_the_function_and_irredundant(variables: int, data: st.DataObject) -> None:
    full = (1 << (1 << variables)) - 1
    on = data.draw(st.integers(0, full))
    upto = on | data.draw(st.integers(0, full))
    cubes = irredundant(on, upto, variables)
    table = table_of(cubes, variables)
    assert on & ~table == 0
    assert table & ~upto == 0
    assert all(on & ~table_of(cubes[:i] + cubes[i + 1 :], variables) for i in range(len(cubes)))
    assert table_of(tuple(cube for cube, value in clauses(on, variables) if value), variables) == on
