"""The maximum cycle ratio, against every simple cycle there is."""

from __future__ import annotations

import itertools
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
from circuits import circuits
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.analysis.cycles import CycleWithoutTokensError, slowest_cycle
from graphsim.analysis.waves import waves
from graphsim.graph.circuit import Circuit, to_graph


def ratio_by_all_cycles(edges: list[tuple[int, int, int, int]]) -> Fraction | None:
    """The greatest ratio of all simple cycles, by networkx."""
    between: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, b, weight, tokens in edges:
        between.setdefault((a, b), []).append((weight, tokens))
    best = None
    for cycle in nx.simple_cycles(nx.DiGraph(list(between))):
        steps = [between[cycle[i], cycle[(i + 1) % len(cycle)]] for i in range(len(cycle))]
        for chosen in itertools.product(*steps):
            ratio = Fraction(sum(w for w, _ in chosen), sum(t for _, t in chosen))
            best = ratio if best is None or ratio > best else best
    return best


@st.composite
def weighted(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int, int]]]:
    count = draw(st.integers(1, 6))
    edges = []
    for _ in range(draw(st.integers(0, 14))):
        a, b = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        edges.append((a, b, draw(st.integers(0, 9)), draw(st.integers(0 if a < b else 1, 3))))
    return count, edges


@given(weighted())
@settings(max_examples=300)
def test_no_cycle_is_slower(case: tuple[int, list[tuple[int, int, int, int]]]) -> None:
    count, edges = case
    arrays = (np.array([e[i] for e in edges], np.int64) for i in range(4))
    found = slowest_cycle(count, *arrays)
    expected = ratio_by_all_cycles(edges)
    assert (found.ratio if found else 0) == (expected or 0)
    if found:
        chosen = [edges[e] for e in found.edges]
        assert [e[0] for e in chosen] == list(found.nodes)
        assert [e[1] for e in chosen] == [*found.nodes[1:], found.nodes[0]]
        assert (sum(e[2] for e in chosen), sum(e[3] for e in chosen)) == (found.ticks, found.tokens)
        assert len(set(found.nodes)) == len(found.nodes)


def test_a_cycle_without_tokens_is_named() -> None:
    src, dst = np.array([0, 1, 2, 0]), np.array([1, 2, 1, 0])
    with pytest.raises(CycleWithoutTokensError) as caught:
        slowest_cycle(3, src, dst, np.ones(4, np.int64), np.array([0, 0, 0, 1]))
    assert sorted(caught.value.cycle.edges) == [1, 2]


def test_a_ring_of_many_nodes() -> None:
    count = 20_000
    at = np.arange(count)
    found = slowest_cycle(count, at, (at + 1) % count, np.full(count, 3), (at == count - 1).astype(np.int64) * 7)
    assert found is not None
    assert (found.ticks, found.tokens) == (3 * count, 7)
    assert found.nodes == tuple(range(count))


@settings(deadline=None)
@given(circuits(registers=2, gates=25))
def test_waves_are_levels_of_gates(circuit: Circuit) -> None:
    graph = to_graph(circuit)
    found = waves(graph)
    assert sorted(set(found.tolist())) == list(range(int(found.max()) + 1))
    for c in graph.channels:
        if c.initial_tokens:
            continue
        edges = c.expand(graph.groups[c.src].size, graph.groups[c.dst].size, graph.params)
        assert np.all(found[graph.first[c.src] + edges.src] < found[graph.first[c.dst] + edges.dst])
    if "gate" in graph.number and graph.groups[graph.number["gate"]].size == circuit.gate_count:
        first = int(graph.first[graph.number["gate"]])
        own = [0] * circuit.gate_count
        for g in range(circuit.gate_count):
            inner = [f - circuit.first_gate for f in circuit.fanins(g) if f >= circuit.first_gate]
            own[g] = 1 + max((own[f] for f in inner), default=-1)
        level = found[first : first + circuit.gate_count]
        assert (level - level.min()).tolist() == own
