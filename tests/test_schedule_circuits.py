"""Graphs of gates fold like nets: verified, run by both timed engines, equal to the reference, at their period."""

from __future__ import annotations

import numpy as np
from circuits import circuits
from engine_cases import assert_same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify import verify
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine

MACHINES = ("line:1", "line:3", "torus:2x2", "torus:2x2,latency=7", "star:4,frame_bits=1", "full:5,op_ticks.gate=3")


def check(graph: Graph, schedule: Schedule, cycles: int = 8, seed: int = 0) -> None:
    """The verifier accepts it, and both engines run it as it says."""
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    inputs = np.random.default_rng(seed).integers(0, 2, (cycles, *graph.groups[1].shape)).astype(np.float32)
    expected = ReferenceEngine(graph).run(inputs)
    for engine in (MachineEngine(graph, schedule), EventsEngine(graph, schedule)):
        run = engine.run(inputs)
        assert_same(run, expected)
        assert run.timing is not None
        assert run.timing.period == schedule.period
    assert_same(EventsEngine(graph, schedule, mode="self_timed").run(inputs), expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(circuits(registers=4, gates=30), st.sampled_from(MACHINES))
def test_random_circuits_fold_and_run(circuit: Circuit, machine: str) -> None:
    graph = to_graph(circuit)
    schedule = fold(graph, load_machine(machine))
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period
    check(graph, schedule)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(circuits(registers=4, gates=20), st.sampled_from(MACHINES), st.integers(0, 2**32 - 1))
def test_any_placement_of_a_circuit_gets_a_schedule(circuit: Circuit, name: str, seed: int) -> None:
    graph, machine = to_graph(circuit), load_machine(name)
    node = np.random.default_rng(seed).choice(machine.compute_nodes, graph.actor_count).astype(np.int32)
    for group in (*graph.sources, *graph.sinks):
        node[graph.first[group] : graph.first[group + 1]] = machine.host
    schedule = fold(graph, machine, placement=node)
    assert np.array_equal(schedule.node, node)
    check(graph, schedule)
