"""What loops prove about the period, against all placements and all ticks of tiny circuits, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_schedule_circuits import circuit, loop

from graphsim.analysis.bounds import lower_bound
from graphsim.analysis.costs import Costs
from graphsim.analysis.loops import crowd, loops, tour_bound
from graphsim.analysis.seats import orbits, seats
from graphsim.analysis.transport import room, shortest_of_three, there_and_back, ways
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import Machine, load_machine
from graphsim.schedule.route import plain_trees

#: (producer, consumer, tokens) between gates.
Edges = list[tuple[int, int, int]]


@st.composite
def tiny(draw: st.DrawFn) -> Circuit:
    """At most four gates, registers between some of them, and one input."""
    gates, registers = draw(st.integers(2, 4), label="gates"), draw(st.integers(1, 2), label="registers")
    first = 1 + registers
    rows = []
    for g in range(gates):
        before = st.lists(st.integers(1, first + g - 1), min_size=1, max_size=2, unique=True)
        rows.append(tuple(sorted(draw(before, label=f"gate {g}"))))
    following = draw(
        st.lists(st.integers(first, first + gates - 1), min_size=registers, max_size=registers), label="next"
    )
    return circuit("tiny", rows, following, [first + gates - 1])


def gate_edges(made: Circuit) -> Edges:
    """Who reads whom, with how many registers between: found by hand, signal by signal."""
    first = 1 + made.register_count
    found = []
    for g in range(made.gate_count):
        for signal in made.index[made.indptr[g] : made.indptr[g + 1]].tolist():
            tokens = 0
            while 1 <= signal < first:
                signal, tokens = int(made.following[signal - 1]), tokens + 1
            if signal >= first:
                found.append((signal - first, g, tokens))
    return found


def distances(machine: Machine) -> list[list[int]]:
    """Ticks from node to node, by relaxing all links until nothing changes."""
    count = len(machine.nodes)
    way = [[0 if a == b else 1 << 30 for b in range(count)] for a in range(count)]
    for _ in range(count):
        for start in way:
            for link in machine.links:
                start[link.dst] = min(start[link.dst], start[link.src] + 1 + link.latency)
    return way


def possible(edges: Edges, gates: int, machine: Machine, period: int) -> bool:
    """Whether any nodes and ticks of gates, of a tick each, keep this period: all of them are tried."""
    way = distances(machine)
    for node in itertools.product(range(len(machine.nodes)), repeat=gates):
        for tick in itertools.product(range(period), repeat=gates):
            if len(set(zip(node, tick, strict=True))) < gates:
                continue
            begin = list(tick)
            for _ in range(gates + 1):
                late = False
                for u, v, tokens in edges:
                    there = begin[u] + 1 + way[node[u]][node[v]] - tokens * period
                    if there > begin[v]:
                        begin[v] += -(-(there - begin[v]) // period) * period
                        late = True
                if not late:
                    return True
    return False


@settings(max_examples=60, deadline=None)
@given(made=tiny(), machine=st.sampled_from(["line:2", "line:2,latency=0", "ring:3,latency=0", "line:3,latency=0"]))
def test_no_nodes_and_ticks_of_a_tiny_circuit_beat_the_bound(made: Circuit, machine: str) -> None:
    hardware = load_machine(machine)
    costs = Costs(to_graph(made), hardware)
    bound = lower_bound(costs)
    assume(bound.ticks > 1)
    assert not possible(gate_edges(made), made.gate_count, hardware, bound.ticks - 1)


def test_the_brute_force_of_this_file_finds_the_shortest_period() -> None:
    """A circle of four gates and two registers: two gates each on two nodes, a link of a tick there and back."""
    made = loop(4, 2)
    edges = gate_edges(made)
    assert sorted(edges) == [(0, 1, 0), (1, 2, 0), (2, 3, 0), (3, 0, 2)]
    hardware = load_machine("line:2,latency=0")
    assert not possible(edges, 4, hardware, 2)
    assert possible(edges, 4, hardware, 3)
    found = crowd(Costs(to_graph(made), hardware), 2)
    assert found is not None
    assert (found.period, found.ticks, found.around) == (3, 4, None)


@pytest.mark.parametrize(("registers", "ticks"), [(1, 12), (2, 8), (3, 6), (5, 4)])
def test_a_circle_that_leaves_a_node_pays_for_the_way(registers: int, ticks: int) -> None:
    """Twelve gates in a circle: on one node 12 ticks; on several (12 + 4) / registers, where 4 is there and back."""
    machine = load_machine("full:12")
    bound = lower_bound(Costs(to_graph(loop(12, registers)), machine))
    assert bound.ticks == ticks == min(12, -(-16 // registers))
    assert bound.kind == "recurrence"


def test_gates_that_must_be_near_to_one_count_together() -> None:
    """A gate, 64 that read it, and a tree of pairs that joins these: a circle of eight ticks, but 128 gates on it."""
    rows: list[tuple[int, ...]] = [(0, 1), *((2,) for _ in range(64))]
    level = list(range(3, 67))
    while len(level) > 1:
        pairs = list(zip(level[::2], level[1::2], strict=True))
        level = list(range(2 + len(rows), 2 + len(rows) + len(pairs)))
        rows += pairs
    graph = to_graph(circuit("fan", rows, [level[0]], [level[0]]))
    machine = load_machine("ring:16")
    found = lower_bound(Costs(graph, machine))
    assert found.kind == "recurrence"
    assert " ticks around gate[" in found.reason
    assert found.ticks > 8


def test_room_is_counted_node_by_node() -> None:
    way = ways(load_machine("line:3"), [0, 1, 2])
    assert way.tolist() == [[0, 2, 4], [2, 0, 2], [4, 2, 0]]
    assert there_and_back(way) == 4
    # From the middle, nodes on both sides have four ticks less.
    assert room(way, 6, 100).tolist() == [0, 1, 2, 3, 4, 7, 10]
    assert room(way, 6, 5).tolist() == [0, 1, 2, 3, 4, 7, 9]


def test_wide_tokens_take_longer() -> None:
    assert ways(load_machine("line:2,frame_bits=8"), [0, 1], 32).tolist() == [[0, 5], [5, 0]]


def test_copies_are_left_out_and_their_tokens_are_not() -> None:
    found = loops(Costs(to_graph(loop(3, 2)), load_machine("line:2")))
    names = [to_graph(loop(3, 2)).actor(int(a)).name for a in found.actor]
    assert names == ["gate[0]", "gate[1]", "gate[2]"]
    assert sorted(zip(found.src.tolist(), found.dst.tolist(), found.tokens.tolist(), strict=True)) == [
        (0, 1, 0),
        (1, 2, 0),
        (2, 0, 2),
    ]
    assert np.array_equal(found.slack(0, 4), [[0, -1, -2], [6, 0, -1], [7, 6, 0]])


@pytest.mark.parametrize(
    ("name", "tours", "ticks"),
    [("line:4", (4, 8), 10), ("ring:8", (4, 8), 10), ("full:4", (4, 6), 10), ("full:4,latency=0", (2, 3), 9)],
)
def test_a_circle_must_visit_the_nodes_that_share_it(name: str, tours: tuple[int, int], ticks: int) -> None:
    """30 ticks in four iterations: in 9 ticks four nodes are needed, for whose tour 6 ticks are too few."""
    machine = load_machine(name)
    way = ways(machine, machine.compute_nodes)
    assert (there_and_back(way), shortest_of_three(way)) == tours
    assert tour_bound(30, 4, machine, 1)[0] == ticks


@settings(max_examples=60, deadline=None)
@given(
    made=tiny(),
    machine=st.sampled_from(["line:2", "ring:3,latency=0", "line:3,latency=0"]),
    period=st.integers(1, 4),
)
def test_seats_are_there_where_brute_force_finds_any(made: Circuit, machine: str, period: int) -> None:
    hardware = load_machine(machine)
    found = loops(Costs(to_graph(made), hardware))
    count = len(found.actor)
    assume(count > 0)
    edges = list(zip(found.src.tolist(), found.dst.tolist(), found.tokens.tolist(), strict=True))
    way = ways(hardware, hardware.compute_nodes)
    seated = seats(found, way, period)
    assert (seated is not None) == possible(edges, count, hardware, period)
    for trees in (None, plain_trees(hardware, hardware.compute_nodes)):
        if (sat := seats(found, way, period, trees)) is None:
            continue
        node, time = sat.node.tolist(), sat.time.tolist()
        assert len({(n, t % period) for n, t in zip(node, time, strict=True)}) == count
        assert all(time[u] + 1 + way[node[u], node[v]] - d * period <= time[v] for u, v, d in edges)
        if trees is None:
            continue
        taken = set()
        for (u, d), sent in sat.sent.items():
            to = {node[v] for a, v, tokens in edges if (a, tokens) == (u, d)}
            assert sent >= time[u] + 1
            assert all(
                sent + way[node[u], node[v]] - d * period <= time[v]
                for a, v, e in edges
                if (a, e) == (u, d) and node[v] != node[u]
            )
            used = {hop for n in to for hop in trees[node[u]][n]}
            assert not taken & {(link, (sent + offset) % period) for link, offset in used}
            taken |= {(link, (sent + offset) % period) for link, offset in used}


@pytest.mark.parametrize(
    ("machine", "fixed", "expected"),
    [
        ("ring:4", [], [0, 0, 0, 0]),
        ("ring:4", [0], [0, 1, 2, 1]),
        ("line:4", [], [0, 1, 1, 0]),
        ("mesh:2x3", [], [0, 1, 0, 0, 1, 0]),
        ("torus:4x4", [], [0] * 16),
    ],
)
def test_nodes_that_distances_do_not_tell_apart(machine: str, fixed: list[int], expected: list[int]) -> None:
    hardware = load_machine(machine)
    assert orbits(ways(hardware, hardware.compute_nodes), fixed).tolist() == expected
