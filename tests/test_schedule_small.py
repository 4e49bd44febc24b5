"""The search for small graphs: it finds optima that were proved; its schedules are valid; it has its limits."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strategies import graphs

from graphsim.analysis.costs import Costs
from graphsim.api import lower
from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import Machine, load_machine
from graphsim.passes import unroll
from graphsim.schedule import fold, latency, small
from graphsim.schedule.candidate import Work
from graphsim.schedule.verify import verify

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import bench_scheduler
import scheduler_cases

MACHINES = st.sampled_from(
    ["line:2", "ring:4,frames_per_tick=2", "mesh:2x3", "full:5", "star:3,switch.crossbar_latency=1", "fat_tree:1"]
)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# Of every family two in which other strategies miss the optimum, as far as there are such.
@pytest.mark.parametrize("number", [3, 9, 14, 24, 29, 99, 52, 62, 31, 86])
def test_the_period_is_the_proved_optimum(number: int) -> None:
    proof = bench_scheduler.optima()[number]
    _, graph, machine = scheduler_cases.case(number, proof.draw)
    schedule = fold(graph, machine)
    assert schedule.strategy == "searched"
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.period == proof.period == proof.period_bound
    assert latency(graph, schedule) >= proof.latency_bound


def check(graph: Graph, machine: Machine) -> None:
    """Valid, and no worse than without the search."""
    schedule, before = fold(graph, machine), fold(graph, machine, strategy="contiguous")
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert (schedule.period, latency(graph, schedule)) <= (before.period, latency(graph, before))
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period


@given(graphs(max_actors=16), MACHINES, st.sampled_from([1, 8, 64, 96]), st.integers(0, 4))
@FEW
def test_schedules_of_nets_are_valid_and_no_worse(graph: Graph, name: str, bits: int, late: int) -> None:
    check(graph, load_machine(f"{name},frame_bits={bits},latency={late}"))


# The gates that read nothing may go with those that do; soonest sends some of them away.
CONSTANTS = Circuit(
    name="constants", input_names=(), output_names=("o[0]",), outputs=np.array([4], np.int32),
    indptr=np.array([0, 0, 0, 1, 2, 3, 8]), index=np.array([0, 0, 1, 0, 1, 2, 3, 4], np.int32),
    truth=np.zeros(6, np.uint64), register_names=(), initial=np.array([], bool), following=np.array([], np.int32),
    gate_names=(), notes={},
)  # fmt: skip


@example(CONSTANTS, "line:2", 1)
@given(circuits(gates=12, inputs=3, registers=3, outputs=3), MACHINES, st.sampled_from([1, 3, 64]))
@FEW
def test_schedules_of_circuits_are_valid_and_no_worse(circuit: Circuit, name: str, bits: int) -> None:
    check(to_graph(circuit), load_machine(f"{name},frame_bits={bits},latency=0"))


def test_constants_fire_no_iterations_before_they_are_read() -> None:
    graph = lower(Path(__file__).parents[1] / "examples" / "circuits" / "adder.blif")
    machine = load_machine("full:3")
    schedule = fold(graph, machine)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.strategy == "searched"
    assert any((graph.fan_in(number) == 0).any() for number in range(len(graph.groups)) if number not in graph.sources)
    source = int(schedule.start[graph.first[graph.sources[0]]])
    assert (schedule.start >= source - schedule.period).all()


def test_equal_input_gives_equal_schedules() -> None:
    _, graph, machine = scheduler_cases.case(29)
    one, other = fold(graph, machine), fold(graph, machine)
    for key, value in vars(one).items():
        assert np.array_equal(value, getattr(other, key)), key


def test_there_is_no_search_beyond_its_limits_nor_where_a_strategy_is_asked_for() -> None:
    _, graph, machine = scheduler_cases.case(14)
    links = tuple(dataclasses.replace(link, frames_per_tick=2) for link in machine.links)
    nodes = (dataclasses.replace(machine.nodes[0], frequency=2), *machine.nodes[1:])
    assert fold(graph, machine).strategy == "searched"
    assert fold(graph, machine, strategy="soonest").strategy == "soonest"
    others = (
        load_machine("star:4"), dataclasses.replace(machine, links=links, topology=""), load_machine("ring:7"),
        load_machine("star:7"), dataclasses.replace(machine, nodes=nodes, topology=""),
        dataclasses.replace(machine, links=(*machine.links[1:], links[0]), topology=""),
    )  # fmt: skip
    able = [small.able(Work(Costs(graph, other), unroll(graph))) for other in (machine, *others)]
    assert able == [True, True, True, False, False, False, False]
