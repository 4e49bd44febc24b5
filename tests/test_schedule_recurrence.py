"""Schedules of graphs whose actors fire several times: one node per actor, in order, and no period below the proved."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from engine_cases import assert_same
from graphs import rnn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import recurrent, samples

from graphsim.analysis.bounds import recurrence_bound
from graphsim.analysis.costs import Costs
from graphsim.analysis.recurrence import groups_on_cycles, slowest_recurrence
from graphsim.graph import Dense, Graph, Group, OneToOne, Ref
from graphsim.machine import load_machine
from graphsim.passes import Unroll, unroll
from graphsim.report.record import firing_record, schedule_record
from graphsim.schedule import fold
from graphsim.schedule.placement_file import read_placement, write_placement
from graphsim.schedule.schedule import Schedule, placement_of
from graphsim.schedule.store import load, save
from graphsim.schedule.verify import verify
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine

CLOCKED = "line:3,node.frequency=3,link.frequency=2"
MACHINES = ("line:1", "line:3", "torus:2x2,latency=7", "star:4,macs_per_tick=4", CLOCKED)


def two_groups(steps: int = 6, units: int = 4) -> Graph:
    """A layer whose state goes through two groups: h = tanh(x + U z), z = relu(V h); the last h is taken."""
    base, rng = rnn(steps, units, units), np.random.default_rng(3)
    params = {
        **base.params,
        "u": rng.normal(0, 0.5, (units, units)).astype(np.float32),
        "v": rng.normal(0, 0.5, (units, units)).astype(np.float32),
    }
    h = dataclasses.replace(base.groups[3], name="h", params={})
    groups = [*base.groups[:3], h, dataclasses.replace(h, name="z", activation="relu"), *base.groups[4:]]
    channels = [
        *base.channels[:2],
        OneToOne(src=2, dst=3, produce=steps),
        Dense(src=4, dst=3, port=1, weight=Ref("u"), initial_tokens=1, reset=True),
        Dense(src=3, dst=4, weight=Ref("v")),
        OneToOne(src=3, dst=5, consume=steps),
        Dense(src=5, dst=6),
    ]
    return Graph("two groups", groups, channels, params)


def check_firings(graph: Graph, schedule: Schedule) -> None:
    """Firings of one actor, looked at one by one."""
    unrolled = unroll(graph)
    machine = schedule.machine
    for actor in graph:
        if actor.group.firings == 1:
            continue
        groups = [unrolled.graph.groups[i].name for i in unrolled.firings(actor.group_number)]
        firings = [unrolled.graph[name, actor.local] if actor.group.shape else unrolled.graph[name,] for name in groups]
        assert len(firings) == actor.group.firings
        assert len({int(schedule.node[f.id]) for f in firings}) == 1
        node = int(schedule.node[firings[0].id])
        times = [(int(schedule.start[f.id]), int(schedule.start[f.id]) + machine.ticks(node, f.work)) for f in firings]
        times.append((times[0][0] + schedule.period, 0))
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), machine=st.sampled_from(MACHINES))
def test_random_recurrent_graphs_fold_and_run(data: st.DataObject, machine: str) -> None:
    graph = data.draw(recurrent(max_actors=30))
    inputs = data.draw(samples(graph, n=5))
    schedule = fold(graph, load_machine(machine))
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    check_firings(graph, schedule)
    expected = ReferenceEngine(graph).run(inputs)
    for engine in (MachineEngine(graph, schedule), EventsEngine(graph, schedule)):
        run = engine.run(inputs)
        assert_same(run, expected)
        assert run.timing is not None
        assert run.timing.period == schedule.period


@pytest.mark.parametrize("strategy", ["contiguous", "greedy", "one-to-one"])
def test_every_strategy_keeps_firings_together(strategy: str) -> None:
    graph = rnn(3, 2, 4)
    schedule = fold(graph, load_machine("torus:4x4"), strategy=strategy)
    assert verify(graph, schedule).ok
    check_firings(graph, schedule)


def test_the_recurrence_is_a_bound_and_is_reached() -> None:
    graph = two_groups()
    machine = load_machine("torus:3x3,macs_per_tick=1")
    bound = recurrence_bound(Costs(graph, machine), transport=False)
    assert bound is not None
    # h takes one product for z and 5 or so for its sum and tanh, z its 4 products: the work of the shipped table.
    spec = machine.nodes[machine.host]
    h, z = (spec.cycles(graph.actor(name).work) for name in ("h[0]", "z[0]"))
    assert bound.ticks == 5 * (h + z) + max(h, z)
    assert (bound.kind, bound.resource) == ("recurrence", "actor h[0]")
    assert "h[0] fires 6 times per sample" in bound.reason
    schedule = fold(graph, load_machine("line:1"), strategy="contiguous")
    assert verify(graph, schedule).ok


def test_steps_with_actors_of_their_own_can_be_faster() -> None:
    graph, machine = two_groups(), load_machine("torus:4x4")
    unrolled = Unroll()(graph)
    inputs = np.random.default_rng(1).normal(0, 1, (6, 6, 4)).astype(np.float32)
    one, other = fold(graph, machine), fold(unrolled, machine)
    assert verify(graph, one).ok
    assert verify(unrolled, other).ok
    assert other.period < one.period
    assert one.bound.ticks > other.period
    runs = MachineEngine(graph, one).run(inputs), MachineEngine(unrolled, other).run(inputs)
    for name in ("states", "sink"):
        assert np.array_equal(runs[0].values[name], runs[1].values[name])
    assert runs[0].timing is not None
    assert runs[0].timing.period == one.period


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=recurrent(max_actors=25))
def test_the_recurrence_is_the_longest_path_of_firings(graph: Graph) -> None:
    costs = Costs(graph, load_machine("line:2"))
    found = slowest_recurrence(costs)
    unrolled = unroll(graph)
    wide, spec = unrolled.graph, costs.machine.nodes[0]
    ticks = [spec.cycles(actor.work) for actor in wide]
    net = nx.DiGraph([(e.producer, actor.id) for actor in wide for e in actor.inputs])
    net.add_nodes_from(range(len(wide)))
    longest = 0
    for number in groups_on_cycles(graph):
        groups = unrolled.firings(number)
        for before, after in itertools.pairwise(groups):
            size = graph.groups[number].size
            net.add_edges_from((int(wide.first[before]) + i, int(wide.first[after]) + i) for i in range(size))
    order = list(nx.topological_sort(net))
    for number in groups_on_cycles(graph):
        groups = unrolled.firings(number)
        if len(groups) < 2:
            continue
        for local in range(graph.groups[number].size):
            first, last = (int(wide.first[g]) + local for g in (groups[0], groups[-1]))
            begin = {first: 0}
            for u in order:
                for v in net.successors(u) if u in begin else ():
                    begin[v] = max(begin.get(v, 0), begin[u] + ticks[u])
            longest = max(longest, begin[last] + ticks[last])
    assert (found is None) == (longest == 0)
    if found is not None:
        assert found[0] <= longest
        often = [g for g in groups_on_cycles(graph) if graph.groups[g].firings > 1]
        if all(graph.groups[g].size == 1 for g in often):
            assert found[0] == longest


def broken(schedule: Schedule, **arrays: np.ndarray) -> Schedule:
    return dataclasses.replace(schedule, **arrays)


def test_the_verifier_sees_firings_that_are_not_together_or_not_in_order() -> None:
    graph = rnn(3, 2, 2)
    schedule = fold(graph, load_machine("line:3"))
    wide = unroll(graph).graph
    ids = [wide.actor(f"rnn@{t}[0]").id for t in range(3)]
    node = schedule.node.copy()
    node[ids[1]] = (node[ids[1]] + 1) % 3
    found = [v.message for v in verify(graph, broken(schedule, node=node)).violations if v.kind == "firings"]
    assert len(found) == 1
    assert found[0].startswith("rnn[0] fires on 2 nodes")
    start = schedule.start.copy()
    start[ids[2]] += schedule.period
    found = [v.message for v in verify(graph, broken(schedule, start=start)).violations if v.kind == "firings"]
    assert len(found) == 1
    assert found[0].startswith("firing 2 of rnn[0] ends at tick ")
    start = schedule.start.copy()
    start[ids[1]] = start[ids[0]]
    assert "firings" in verify(graph, broken(schedule, start=start)).kinds


def test_parameters_are_kept_once_for_all_firings() -> None:
    graph = rnn(5, 3, 4)
    schedule = fold(graph, load_machine("line:1"))
    # kernel 3x4, recurrent kernel 4x4, bias 4; no slot lies below, and the first lies right above.
    assert int(schedule.slot_address.min()) == 4 * (12 + 16 + 4)


def test_files_and_records_of_a_recurrent_schedule(tmp_path: Path) -> None:
    graph, machine = rnn(3, 2, 4), load_machine("line:3")
    schedule = fold(graph, machine)
    save(schedule, tmp_path / "rnn.fold")
    again = load(tmp_path / "rnn.fold", graph)
    assert np.array_equal(again.start, schedule.start)
    assert verify(graph, again).ok
    write_placement(graph, schedule, tmp_path / "rnn.csv")
    placement = read_placement(tmp_path / "rnn.csv", graph, machine)
    assert np.array_equal(placement, placement_of(graph, schedule))
    assert np.array_equal(fold(graph, machine, placement=placement).node, schedule.node)
    firing = firing_record(graph["rnn", 1], schedule)
    assert len(firing["firings"]) == 3
    assert firing["start_tick"] == firing["firings"][0]["start_tick"]
    assert firing["end_tick"] == firing["firings"][2]["end_tick"]
    record = schedule_record(graph, schedule)["schedule"]
    computing = [number for number, group in enumerate(graph.groups) if group.name not in ("source", "x", "sink")]
    actors = np.concatenate([placement[graph.first[n] : graph.first[n + 1]] for n in computing])
    assert record["folding_factor"] == pytest.approx(len(actors) / len(set(actors.tolist())))


def test_groups_that_fire_often_without_feedback_are_in_order_too() -> None:
    base = rnn(4, 2, 3)
    channels = [c for c in base.channels if not c.initial_tokens]
    graph = Graph("no feedback", base.groups, channels, base.params)
    schedule = fold(graph, load_machine("line:3"))
    assert verify(graph, schedule).ok
    check_firings(graph, schedule)
    assert slowest_recurrence(Costs(graph, load_machine("line:3"))) is None


def test_the_group_of_a_single_actor_is_a_firing_chain() -> None:
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(3,)),
        Group(name="s", op="serial"),
        Group(name="acc", op="sum", firings=3),
        Group(name="last", op="take", params={"pick": Ref("two")}),
        Group(name="sink", op="collect"),
    ]
    channels = [
        Dense(src=0, dst=1),
        Dense(src=1, dst=2),
        OneToOne(src=2, dst=3, produce=3),
        OneToOne(src=3, dst=3, port=1, initial_tokens=1, reset=True),
        OneToOne(src=3, dst=4, consume=3),
        Dense(src=4, dst=5),
    ]
    graph = Graph("acc", groups, channels, {"two": np.array([2], np.int32)})
    schedule = fold(graph, load_machine("line:2"))
    assert verify(graph, schedule).ok
    check_firings(graph, schedule)
    run = MachineEngine(graph, schedule).run(np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    assert run.values["acc"].tolist() == [[1, 3, 6], [4, 9, 15]]
    assert run.values["sink"].tolist() == [[6], [15]]


def test_what_binds_a_recurrence_is_named_with_its_transport() -> None:
    graph = rnn(6, 3, 8)
    schedule = fold(graph, load_machine("torus:4x4"))
    bound = schedule.placement_bound
    assert schedule.period == bound.ticks > schedule.bound.ticks
    assert bound.kind == "recurrence"
    assert "rnn@1[" in bound.resource
    assert "firings around a circle and their transport take" in bound.reason
