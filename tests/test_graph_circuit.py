"""Circuits: their encoding, and the graph of gates that says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits, evaluate, same
from hypothesis import given
from hypothesis import strategies as st

from graphsim.errors import GraphError, SimulationError
from graphsim.graph import store
from graphsim.graph.circuit import Circuit, of_graph, pack, ports, to_graph
from graphsim.graph.verify import verify
from graphsim.simulate.circuit import CircuitEngine
from graphsim.simulate.reference import ReferenceEngine


def counter() -> Circuit:
    """Two bits that count while ``en`` is 1, from 2; and the carry."""
    indptr, index = pack([(0, 1), (0, 1), (2, 4)])
    return Circuit(
        name="counter",
        input_names=("en",),
        output_names=("q[0]", "q[1]", "carry"),
        outputs=np.array([1, 2, 4], np.int32),
        indptr=indptr,
        index=index,
        truth=np.array([0b0110, 0b1000, 0b0110], np.uint64),
        register_names=("r0", "r1"),
        initial=np.array([False, True]),
        following=np.array([3, 5], np.int32),
    )


def run(circuit: Circuit, cycles: list[list[int]]) -> list[list[int]]:
    width = max(1, circuit.input_count)
    samples = np.array([bits or [0] for bits in cycles], np.float32).reshape(len(cycles), width)
    found = ReferenceEngine(to_graph(circuit)).run(samples).values["sink"]
    return found.reshape(len(cycles), -1).astype(int).tolist()  # type: ignore[no-any-return]


def test_a_counter_counts() -> None:
    cycles = run(counter(), [[1], [1], [0], [1], [1]])
    assert [a + 2 * b for a, b, _ in cycles] == [2, 3, 0, 0, 1]
    assert [carry for *_, carry in cycles] == [0, 1, 0, 0, 1]


@given(circuits(), st.data())
def test_the_graph_computes_what_the_circuit_computes(circuit: Circuit, data: st.DataObject) -> None:
    bits = st.lists(st.integers(0, 1), min_size=circuit.input_count, max_size=circuit.input_count)
    cycles = data.draw(st.lists(bits, min_size=1, max_size=5))
    assert run(circuit, cycles) == evaluate(circuit, cycles)


@given(circuits())
def test_the_graph_keeps_its_rules_and_leads_back_to_the_circuit(circuit: Circuit) -> None:
    graph = to_graph(circuit)
    verify(graph)
    back = of_graph(graph)
    assert same(back, circuit) or same(back, circuit.leading_to_outputs())


@given(circuits())
def test_what_leads_to_no_output_is_left_out_and_nothing_else(circuit: Circuit) -> None:
    live = circuit.leading_to_outputs()
    live.check()
    read = set(live.index.tolist()) | set(live.following.tolist()) | set(live.outputs.tolist())
    assert read >= set(range(live.input_count, live.signal_count))
    cycles = [[n >> i & 1 for i in range(circuit.input_count)] for n in (0, 5, 9, 31)]
    assert evaluate(live, cycles) == evaluate(circuit, cycles)


def test_a_graph_of_gates_is_stored_and_read(tmp_path: Path) -> None:
    store.save(to_graph(counter()), tmp_path / "c.gsim")
    assert same(of_graph(store.load(tmp_path / "c.gsim")), counter())


def test_levels_count_gates() -> None:
    assert counter().level.tolist() == [0, 0, 0, 1, 1, 2]
    assert counter().depth == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": np.array([0, 1, 1, 0, 2, 4], np.int32)}, "gate 1 reads signals .1, 0.; they ascend"),
        ({"index": np.array([0, 1, 0, 1, 2, 5], np.int32)}, "gate 2 reads signals"),
        ({"truth": np.array([6, 16, 6], np.uint64)}, "gate 1 has 2 inputs and truth table 0x10"),
        ({"outputs": np.array([1, 2, 6], np.int32)}, "outputs are"),
        ({"following": np.array([1], np.int32)}, "registers are"),
        ({"input_names": ("r0",)}, "two signals are called 'r0'"),
    ],
)
def test_a_broken_encoding_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        replace(counter(), **change).check()  # type: ignore[arg-type]


def test_a_loop_within_the_gates_is_refused() -> None:
    graph = to_graph(counter())
    params = dict(graph.params)
    params["gate->gate.index"] = np.array([2], np.int32)
    with pytest.raises(GraphError, match="leads from actor 2 to actor 2"):
        verify(type(graph)(graph.name, graph.groups, graph.channels, params, graph.notes))


@pytest.mark.parametrize("whole", [True, False])
def test_a_circuit_without_outputs_has_a_graph_and_nothing_to_run(whole: bool) -> None:
    circuit = replace(counter(), output_names=(), outputs=np.zeros(0, np.int32))
    circuit = circuit if whole else circuit.leading_to_outputs()
    graph = to_graph(circuit)
    verify(graph)
    assert same(of_graph(graph), circuit)
    with pytest.raises(SimulationError, match="has no outputs, so that nothing is to be run"):
        CircuitEngine(graph)


def test_numbered_names_are_bits_of_a_port() -> None:
    assert ports(("a[1]", "b", "a[0]", "c[1]", "[0]", "d", "d[0]")) == {
        "a": (2, 0),
        "b": (1,),
        "c[1]": (3,),
        "[0]": (4,),
        "d": (5,),
        "d[0]": (6,),
    }


def test_ports_of_very_many_bits_and_very_many_ports_are_found() -> None:
    many = 100_000  # minutes, if every bit looked through all others
    assert ports([f"a[{i}]" for i in range(many)]) == {"a": tuple(range(many))}
    assert len(ports([f"a{i}[0]" for i in range(many)])) == many


def test_a_bit_that_is_there_twice_is_in_a_port_once() -> None:
    assert ports(["a[0]", "a[00]", "a[1]"]) == {"a[0]": (0,), "a": (1, 2)}
