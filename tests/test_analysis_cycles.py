"""The maximum cycle ratio, against every simple cycle there is."""

from __future__ import annotations

from fractions import Fraction

import networkx as nx
import numpy as np
from circuits import circuits
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.analysis.cycles import Dependences, slowest_cycle
from graphsim.analysis.waves import waves
from graphsim.graph.circuit import Circuit, to_graph


@st.composite
def dependences(draw: st.DrawFn) -> Dependences:
    """Graphs of up to seven nodes; edges without tokens lead forward."""
    nodes = draw(st.integers(1, 7))
    rows = []
    for _ in range(draw(st.integers(0, 14))):
        a, b = (draw(st.integers(0, nodes - 1)) for _ in range(2))
        rows.append((a, b, draw(st.integers(0, 9)), draw(st.integers(int(a >= b), 3))))
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Dependences(nodes, *(np.ascontiguousarray(column) for column in columns))


@settings(deadline=None)
@given(dependences())
def test_no_cycle_is_slower(edges: Dependences) -> None:
    net = nx.MultiDiGraph()
    for a, b, ticks, tokens in zip(edges.src, edges.dst, edges.ticks, edges.tokens, strict=True):
        net.add_edge(int(a), int(b), cost=(int(ticks), int(tokens)))
    best = Fraction(0)
    for cycle in nx.simple_cycles(nx.DiGraph(net)):
        # Of parallel edges any may be taken: try all ways around.
        ways = [(0, 0)]
        for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            costs = [one["cost"] for one in net[a][b].values()]
            ways = [(t + ticks, d + tokens) for t, d in ways for ticks, tokens in costs]
        best = max(best, *(Fraction(t, d) for t, d in ways))
    found = slowest_cycle(edges)
    if best == 0:
        assert found is None
        return
    assert found is not None
    assert found.ratio == best
    assert len(set(found.nodes)) == len(found.nodes)
    pairs = zip(found.nodes, [*found.nodes[1:], found.nodes[0]], strict=True)
    assert all(net.has_edge(a, b) for a, b in pairs)


def test_a_ring_of_many_nodes() -> None:
    count = 20_000
    at = np.arange(count)
    edges = Dependences(count, at, (at + 1) % count, np.full(count, 3), (at == count - 1).astype(np.int64) * 7)
    found = slowest_cycle(edges)
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
