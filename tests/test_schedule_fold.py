"""Folding: every schedule passes the independent verifier, at the period that placement and routes allow."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_cases import machines
from strategies import graphs

from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.verify import verify

#: The machines on which the period must be within 2 % of its bound.
MACHINES = ("line:8", "torus:4x4", "torus:8x8", "hypercube:4", "full:16", "star:16", "fat_tree:4")


@given(graphs(), machines())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_fold_onto_random_machines(graph: Graph, machine) -> None:  # type: ignore[no-untyped-def]
    schedule = fold(graph, machine)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period


@given(graphs(), machines(), st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_placement_gets_a_schedule(graph: Graph, machine, data) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="placement seed"))
    node = rng.choice(machine.compute_nodes, graph.actor_count).astype(np.int32)
    for group in (*graph.sources, *graph.sinks):
        node[graph.first[group] : graph.first[group + 1]] = machine.host
    schedule = fold(graph, machine, placement=node)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert np.array_equal(schedule.node, node)


@pytest.mark.parametrize("name", MACHINES)
def test_the_period_of_the_mnist_net_is_within_two_percent_of_its_bound(name: str) -> None:
    graph = mlp()
    schedule = fold(graph, load_machine(name))
    assert verify(graph, schedule).ok
    assert schedule.period <= 1.02 * schedule.bound.ticks


@given(graphs(max_actors=30), st.sampled_from(["line", "ring", "full"]), st.sampled_from([1, 4, 16]), st.integers(0, 3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_more_nodes_never_give_a_longer_period(graph: Graph, family: str, macs: int, link_latency: int) -> None:
    periods = [
        fold(graph, load_machine(f"{family}:{n},macs_per_tick={macs},latency={link_latency}")).period
        for n in range(1, 8)
    ]
    assert periods == sorted(periods, reverse=True)
