"""Graphs with windows, dot, select, lookup and actors without edges: folded, verified, run with a clock."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_cases import machines
from schedules import simple_schedule
from strategies import graphs, samples
from test_simulate_events import MACHINES, check_all_engines

from graphsim.analysis.tokens import input_actors, readers
from graphsim.graph import Graph
from graphsim.graph.verify import verify as verify_graph
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.verify import verify

slow_ones = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(graphs(windows=True), machines())
@slow_ones
def test_random_graphs_fold_onto_random_machines(graph: Graph, machine) -> None:  # type: ignore[no-untyped-def]
    verify_graph(graph)
    schedule = fold(graph, machine)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period


@given(graphs(windows=True), st.integers(1, 20), st.integers(0, 2**32 - 1))
@slow_ones
def test_readers_are_the_nodes_of_all_consumers(graph: Graph, nodes: int, seed: int) -> None:
    node = np.random.default_rng(seed).integers(0, nodes, graph.actor_count).astype(np.int32)
    inputs = input_actors(graph).tolist()
    expected: list[set[int]] = [set() for _ in range(graph.actor_count + len(inputs))]
    for actor in graph:
        for producer in (edge.producer for edge in actor.inputs):
            source = graph.actor(producer).group.op == "source"
            token = graph.actor_count + inputs.index(actor.id) if source else producer
            expected[token].add(int(node[actor.id]))
    found = readers(graph, node, nodes)
    assert [found.node[a:b].tolist() for a, b in zip(found.ptr[:-1], found.ptr[1:], strict=True)] == [
        sorted(there) for there in expected
    ]


@given(st.data(), graphs(max_actors=40, windows=True), st.sampled_from(MACHINES), st.integers(1, 4), st.integers(0, 99))
@slow_ones
def test_engines_agree_on_simple_schedules(data: st.DataObject, graph: Graph, name: str, pack: int, seed: int) -> None:
    schedule = simple_schedule(graph, load_machine(name), pack=pack, seed=seed)
    assert verify(graph, schedule).violations == ()
    check_all_engines(graph, schedule, data.draw(samples(graph, 6)))


@given(st.data(), graphs(max_actors=40, windows=True), st.sampled_from(MACHINES))
@slow_ones
def test_engines_agree_on_folded_graphs(data: st.DataObject, graph: Graph, name: str) -> None:
    schedule = fold(graph, load_machine(name))
    check_all_engines(graph, schedule, data.draw(samples(graph, 6)))
