"""Passes over circuits: each takes out what it is for, and keeps what is computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits, evaluate
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphsim.analysis.equivalence import compare
from graphsim.cli import main
from graphsim.errors import GraphError, UsageError
from graphsim.graph import store
from graphsim.graph.circuit import Circuit, of_graph, pack, to_graph
from graphsim.passes.logic import (
    DEFAULT,
    PASSES,
    Balance,
    Constants,
    Copies,
    Dead,
    Equals,
    Inverters,
    LogicPass,
    Passes,
    Strong,
    Tables,
    Two,
    counts,
    passes_of,
)


def made(
    inputs: int,
    gates: list[tuple[tuple[int, ...], int]],
    outputs: list[int],
    registers: list[tuple[int, int]] | None = None,
    names: tuple[str, ...] = (),
) -> Circuit:
    """A circuit of gates (fanins, truth) and registers (initial, following)."""
    indptr, index = pack([row for row, _ in gates])
    registers = registers or []
    circuit = Circuit(
        name="made",
        input_names=tuple(f"i{n}" for n in range(inputs)),
        output_names=tuple(f"o{n}" for n in range(len(outputs))),
        outputs=np.array(outputs, np.int32),
        indptr=indptr,
        index=index,
        truth=np.array([truth for _, truth in gates], np.uint64),
        register_names=tuple(f"r{n}" for n in range(len(registers))),
        initial=np.array([bool(initial) for initial, _ in registers], np.bool_),
        following=np.array([following for _, following in registers], np.int32),
        gate_names=names,
    )
    circuit.check()
    return circuit


def shown(circuit: Circuit) -> tuple[list[tuple[tuple[int, ...], int]], list[int]]:
    """Gates and outputs, as :func:`made` takes them."""
    circuit.check()
    gates = [(circuit.fanins(g), int(circuit.truth[g])) for g in range(circuit.gate_count)]
    return gates, circuit.outputs.tolist()


def cycles(circuit: Circuit, seed: int, count: int = 12) -> list[list[int]]:
    return np.random.default_rng(seed).integers(0, 2, (count, circuit.input_count)).tolist()


AND, OR, XOR, NAND, NOT, COPY, ZERO, ONE = 0b1000, 0b1110, 0b0110, 0b0111, 0b01, 0b10, 0, 1


#: All passes, with as little search as there can be.
QUICK = {**PASSES, "strong": Strong(effort=0.001)}


@pytest.mark.parametrize("step", QUICK.values(), ids=QUICK)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=25)
@given(circuit=circuits(gates=25), seed=st.integers(0, 99))
def test_a_pass_keeps_what_is_computed(step: LogicPass, circuit: Circuit, seed: int) -> None:
    after = step.rewrite(circuit)
    after.check()
    assert (after.input_names, after.output_names) == (circuit.input_names, circuit.output_names)
    stimulus = cycles(circuit, seed)
    assert evaluate(after, stimulus) == evaluate(circuit, stimulus)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(circuits(gates=25))
def test_the_default_passes_never_make_more(circuit: Circuit) -> None:
    before, after = counts(circuit), counts(passes_of("default").rewrite(circuit))
    assert after.gates + after.registers <= before.gates + before.registers
    assert after.literals <= before.literals + after.gates
    assert after.depth <= before.depth + 1  # an inverter may be left at an output


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(circuits(gates=25))
def test_the_search_never_makes_more_two_input_gates(circuit: Circuit) -> None:
    after = counts(QUICK["strong"].rewrite(circuit))
    assert after.gates == after.two_input
    assert after.gates <= min(counts(PASSES[name].rewrite(circuit)).gates for name in ("two", "lut2"))
    assert after.gates <= circuit.gate_count or int(circuit.fan_in.max()) > 2


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(circuits(gates=25, registers=0))
def test_the_default_passes_find_nothing_when_run_again(circuit: Circuit) -> None:
    once = passes_of("default").rewrite(circuit)
    assert counts(passes_of("default").rewrite(once)) == counts(once)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(circuits(), st.integers(0, 99))
def test_a_gate_that_keeps_its_name_keeps_its_value(circuit: Circuit, seed: int) -> None:
    named = made_named(circuit)
    after = passes_of("default").rewrite(named)
    kept = [g for g, name in enumerate(after.gate_names) if name]
    old = [named.gate_names.index(after.gate_names[g]) for g in kept]
    stimulus = cycles(circuit, seed)
    assert evaluate(showing(after, [after.first_gate + g for g in kept]), stimulus) == evaluate(
        showing(named, [named.first_gate + g for g in old]), stimulus
    )


def made_named(circuit: Circuit) -> Circuit:
    return replace(circuit, gate_names=tuple(f"n{g}" for g in range(circuit.gate_count)))


def showing(circuit: Circuit, signals: list[int]) -> Circuit:
    names = tuple(f"s{n}" for n in range(len(signals)))
    return replace(circuit, output_names=names, outputs=np.array(signals, np.int32))


def test_constants_are_folded_into_their_readers() -> None:
    before = made(2, [((), ONE), ((0, 2), AND), ((), ZERO), ((1, 4), OR), ((3, 5), AND), ((0, 4), AND)], [6, 7])
    assert shown(Constants().rewrite(before)) == ([((0,), COPY), ((1,), COPY), ((2, 3), AND), ((), ZERO)], [4, 5])


def test_an_input_that_the_table_does_not_depend_on_goes() -> None:
    assert shown(Constants().rewrite(made(2, [((0, 1), 0b1100)], [2]))) == ([((1,), COPY)], [2])


def test_a_register_that_stays_as_it_starts_is_a_constant() -> None:
    # r1 follows r0 or-ed with r1: both start at 0 and nothing ever sets them; r2 starts at 1.
    before = made(1, [((1, 2), OR), ((0, 2), OR)], [5, 3], [(0, 1), (0, 4), (1, 1)])
    after = Dead().rewrite(Constants().rewrite(before))
    assert after.register_names == ("r2",)
    assert shown(after) == ([((0,), COPY), ((), ZERO)], [2, 1])


def test_copies_are_read_through() -> None:
    before = made(2, [((0,), COPY), ((2,), COPY), ((0, 3), AND), ((1, 3), OR)], [4, 5, 3])
    assert shown(Copies().rewrite(before)) == ([((0, 1), OR)], [0, 2, 0])


def test_inverters_go_into_the_tables_around_them() -> None:
    # NOT (NOT a AND NOT b) is a OR b
    before = made(2, [((0,), NOT), ((1,), NOT), ((2, 3), AND), ((4,), NOT)], [5])
    assert shown(Inverters().rewrite(before)) == ([((0, 1), OR)], [2])


def test_one_inverter_is_left_where_both_are_shown() -> None:
    before = made(2, [((0, 1), AND), ((2,), NOT), ((2,), NOT), ((0, 4), XOR)], [2, 3, 4, 5])
    assert shown(Inverters().rewrite(before)) == ([((0, 1), AND), ((0, 2), 0b1001), ((2,), NOT)], [2, 4, 4, 3])


def test_equal_gates_and_complements_are_one() -> None:
    before = made(3, [((0, 1), AND), ((0, 1), AND), ((0, 1), NAND), ((2, 3), OR), ((2, 5), 0b1011)], [6, 7])
    gates, outputs = shown(Equals().rewrite(before))
    assert gates == [((0, 1), AND), ((2, 3), OR)]
    assert outputs == [4, 4]


def test_registers_that_do_the_same_are_one() -> None:
    before = made(1, [((1, 2), XOR), ((3, 4), 0b1000)], [5, 6], [(0, 0), (0, 0), (1, 1), (1, 2)])
    after = Dead().rewrite(Equals().rewrite(before))
    assert after.register_names == ("r0", "r2")
    assert shown(after) == ([((), ZERO)], [3, 2])
    assert evaluate(after, cycles(before, 1)) == evaluate(before, cycles(before, 1))


def test_dead_logic_goes_and_registers_stay_when_they_are_to() -> None:
    before = made(1, [((0, 1), AND), ((0,), NOT), ((0, 2), OR)], [5], [(0, 3), (1, 4)])
    assert Dead().rewrite(before).register_names == ("r1",)
    assert Dead().rewrite(before).gate_count == 2
    assert Dead(registers=False).rewrite(before).register_names == ("r0", "r1")
    assert Dead(registers=False).rewrite(before).gate_count == 3


def test_chains_of_a_hundred_thousand_gates_and_registers_are_no_trouble() -> None:
    n = 100_000
    chain = made(2, [((0, 1), NAND)] + [((g + 1,), NOT) for g in range(1, n)], [n + 1])
    after = passes_of("default").rewrite(chain)
    assert shown(after) == ([((0, 1), AND)], [2])
    shift = made(1, [((n,), COPY)], [n + 1], [(0, max(0, r)) for r in range(n)])
    assert counts(passes_of("default").rewrite(shift)).registers == n
    still = made(1, [((n,), COPY)], [n + 1], [(0, r or 1) for r in range(n)])
    assert shown(passes_of("default").rewrite(still)) == ([((), ZERO)], [1])


def test_a_sequence_converts_once_and_tells_of_each_step() -> None:
    before = made(2, [((0, 1), AND), ((0, 1), AND), ((2, 3), XOR)], [4])
    seen: list[tuple[str, int, int]] = []
    steps = passes_of("equals, dead")
    after = steps.watched(before, lambda s: seen.append((s.label, s.before.gates, s.after.gates)))
    assert seen == [("equals", 3, 2), ("dead", 2, 1)]
    assert shown(of_graph(steps(to_graph(before)))) == shown(after)


def test_unknown_passes_are_refused() -> None:
    with pytest.raises(UsageError, match="no pass 'optimise' for circuits; choose of default, constants"):
        passes_of("default,optimise")


def test_graphs_of_networks_are_refused() -> None:
    with pytest.raises(GraphError, match=r"is not a circuit.*--prune-zeros and --unroll"):
        Passes((Copies(),))(mlp())


def test_lower_prints_and_checks_and_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = made(2, [((0,), NOT), ((1,), NOT), ((2, 3), AND), ((4,), NOT)], [5])
    store.save(to_graph(before), tmp_path / "c.gsim")
    line = ["lower", str(tmp_path / "c.gsim"), "-o", str(tmp_path / "d.gsim"), "--passes", "default", "--check"]
    assert main([*line, "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [step["pass"] for step in record["passes"]] == list(DEFAULT)
    assert record["passes"][0]["before"] == {"gates": 4, "two_input": 4, "registers": 0, "depth": 3, "literals": 5}
    assert record["passes"][-1]["after"] == {"gates": 1, "two_input": 1, "registers": 0, "depth": 1, "literals": 2}
    assert record["check"]["verdict"] == "equal"
    assert shown(of_graph(store.load(tmp_path / "d.gsim"))) == ([((0, 1), OR)], [2])


def test_lower_refuses_passes_where_they_mean_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.save(mlp(4, 3, 2), tmp_path / "net.gsim")
    line = ["lower", str(tmp_path / "net.gsim"), "-o", str(tmp_path / "x.gsim")]
    assert main([*line, "--passes", "default"]) == 2
    assert "is not a circuit, and --passes is for circuits; for networks there are" in capsys.readouterr().err
    assert main([*line, "--check"]) == 2
    assert "--check: only with --passes" in capsys.readouterr().err


def test_lower_writes_nothing_that_is_not_proved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(LogicPass):
        name = "wrong"

        def rewrite(self, circuit: Circuit) -> Circuit:
            return replace(circuit, truth=circuit.truth ^ np.uint64(1))

    monkeypatch.setitem(PASSES, "wrong", Wrong())
    store.save(to_graph(made(2, [((0, 1), AND)], [2])), tmp_path / "c.gsim")
    line = ["lower", str(tmp_path / "c.gsim"), "-o", str(tmp_path / "d.gsim"), "--passes", "wrong", "--check"]
    assert main([*line, "--json", str(tmp_path / "r.json")]) == 1
    assert "i0=0 i1=0: output o0 was 0 and is 1" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())["check"]["verdict"] == "different"
    assert not (tmp_path / "d.gsim").exists()


def life() -> Circuit:
    """The rule of Life, counting neighbours one by one, in unary up to four; cell 8 is the one in the middle."""
    gates: list[tuple[tuple[int, ...], int]] = []

    def gate(a: int, b: int, truth: int) -> int:
        gates.append(((a, b) if a < b else (b, a), truth))
        return 8 + len(gates)

    counted = [0]  # at least 1, 2, 3, 4 of the cells so far
    for cell in range(1, 8):
        for k in range(min(len(counted), 3), 0, -1):
            more = gate(counted[k - 1], cell, AND)
            if k == len(counted):
                counted.append(more)
            else:
                counted[k] = gate(counted[k], more, OR)
        counted[0] = gate(counted[0], cell, OR)
    _, two, three, four = counted
    return made(9, gates, [gate(gate(two, four, XOR), gate(8, three, OR), AND)])


def every(cells: int) -> list[list[int]]:
    return [[n >> i & 1 for i in range(cells)] for n in range(1 << cells)]


def alive(cells: list[int]) -> list[int]:
    around = sum(cells[:8])
    return [int(around == 3 or (around == 2 and cells[8] == 1))]


@pytest.mark.slow
def test_the_rule_of_life_comes_down_to_the_size_of_an_adder() -> None:
    rule = life()
    assert evaluate(rule, every(9)) == [alive(cells) for cells in every(9)]
    gates = Strong().rewrite(rule)
    tables = Tables(3).rewrite(gates)
    for smaller in (gates, tables):
        assert evaluate(smaller, every(9)) == [alive(cells) for cells in every(9)]
    assert gates.fan_in.max() <= 2
    assert gates.gate_count <= 40
    assert tables.fan_in.max() <= 3
    assert tables.gate_count <= 25


def ripple(bits: int) -> Circuit:
    """An adder of two-input gates: five a bit, but for the first."""
    gates: list[tuple[tuple[int, ...], int]] = [((0, bits), XOR), ((0, bits), AND)]
    outputs, carry = [2 * bits], 2 * bits + 1
    for i in range(1, bits):
        at = 2 * bits + len(gates)
        gates += [((i, bits + i), XOR), ((i, bits + i), AND), ((carry, at), XOR), ((carry, at), AND)]
        gates.append(((at + 1, at + 3), OR))
        outputs.append(at + 2)
        carry = at + 4
    return made(2 * bits, gates, [*outputs, carry])


def test_an_adder_takes_two_tables_of_three_inputs_a_bit() -> None:
    covered = Tables(3).rewrite(ripple(32))
    assert counts(covered).gates == 2 * 32
    assert counts(covered).depth == 32


def test_tables_of_six_inputs_take_the_least_depth_where_it_is_asked_for() -> None:
    """A conjunction of 36, in a chain: two levels of six-input tables do; in the chain's order it takes seven."""
    chain = made(36, [((0, 1), AND)] + [((i, 36 + i - 2), AND) for i in range(2, 36)], [70])
    assert counts(Tables(6, shallow=True).rewrite(chain)).gates == 7
    wide = made(4, [((0, 1), AND), ((2, 3), AND), ((4, 5), AND)], [6])
    assert counts(Tables(4, shallow=True).rewrite(wide)) == counts(Tables(4).rewrite(wide))
    assert counts(Tables(4).rewrite(wide)).gates == 1


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(circuits(gates=30, registers=0), st.integers(2, 6), st.booleans())
def test_tables_have_so_many_inputs_and_are_never_more_than_the_gates(
    circuit: Circuit, inputs: int, shallow: bool
) -> None:
    two = Two().rewrite(circuit)
    assert two.gate_count == 0 or two.fan_in.max() <= 2
    covered = Tables(inputs, shallow).rewrite(circuit)
    assert covered.gate_count == 0 or covered.fan_in.max() <= inputs
    assert covered.gate_count <= two.gate_count or shallow
    assert covered.depth <= two.depth
    small = passes_of("default").rewrite(circuit)
    if small.gate_count == 0 or small.fan_in.max() <= inputs:
        assert covered.gate_count <= small.gate_count or shallow


def test_windows_of_big_circuits_get_smaller_and_stay_equal() -> None:
    """Sixteen inputs are too many for whole tables. How far the search is, is told all along."""
    adder = ripple(8)
    told: list[tuple[str, int, int]] = []
    search = Passes((Strong(effort=0.2),))
    smaller = search.watched(twisted(adder), lambda step: None, lambda *so_far: told.append(so_far))
    assert shown(smaller) == shown(search.rewrite(twisted(adder)))
    done = [part for _, part, _ in told]
    assert len({(label, of) for label, _, of in told}) == 1
    assert done == sorted(done) and 0 < done[0] < done[-1] <= told[0][2]
    assert smaller.gate_count <= adder.gate_count
    assert compare(adder, smaller).equal is True


def twisted(circuit: Circuit) -> Circuit:
    """Every exclusive or written with three gates: (a or b) and not (a and b)."""
    first, gates = circuit.first_gate, []
    place = list(range(first))
    for g in range(circuit.gate_count):
        row = tuple(sorted(place[s] for s in circuit.fanins(g)))
        if int(circuit.truth[g]) == XOR:
            gates += [(row, OR), (row, NAND)]
            row = (first + len(gates) - 2, first + len(gates) - 1)
            gates.append((row, AND))
        else:
            gates.append((row, int(circuit.truth[g])))
        place.append(first + len(gates) - 1)
    return made(first, gates, [place[s] for s in circuit.outputs.tolist()])


@pytest.mark.parametrize("op", [AND, OR, XOR, 0b1001])
def test_a_chain_of_a_hundred_thousand_becomes_a_tree(op: int) -> None:
    n = 100_000
    chain = made(n, [((0, 1), op)] + [((i, n + i - 2), op) for i in range(2, n)], [2 * n - 2])
    tree = counts(Balance().rewrite(chain))
    assert (tree.gates, tree.depth) == (n - 1, 17)


def test_late_signals_are_joined_last() -> None:
    # i3 and i4 take two gates to be there: ((late and i0) and i1) and i2 is of depth 5, late and (i0 i1 i2) of depth 3.
    late = [((3, 4), XOR), ((4, 5), OR)]
    before = made(5, [*late, ((0, 6), AND), ((1, 7), AND), ((2, 8), AND)], [9])
    assert (counts(before).depth, counts(Balance().rewrite(before)).depth) == (5, 3)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=100)
@given(circuits(gates=40, fan_in=2))
def test_balancing_makes_neither_more_gates_nor_more_depth(circuit: Circuit) -> None:
    two, balanced = Two().rewrite(circuit), Balance().rewrite(circuit)
    assert balanced.gate_count <= two.gate_count
    assert balanced.depth <= two.depth


def test_a_big_circuit_of_nothing_becomes_nothing() -> None:
    """Too many gates to be searched as a whole; every output is always 0, which only its truth table shows."""
    gates: list[tuple[tuple[int, ...], int]] = [((0, 1), XOR), ((0, 1), 0b0010), ((0, 1), 0b0100), ((3, 4), OR)]
    gates.append(((2, 5), XOR))
    last = 6
    for g in range(500):  # (last and i) is 0, and last stays so
        gates.append(((g % 2, last), AND))
        last = 2 + len(gates) - 1
    assert shown(Strong(effort=0.01).rewrite(made(2, gates, [last]))) == ([((), ZERO)], [2])
