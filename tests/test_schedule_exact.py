"""The exact solver: its schedules pass the verifier, and no placement, route and order of tiny cases beats them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needed import needed
from test_analysis_bounds import tiny_graphs, tiny_machines

from graphsim.errors import PlacementError
from graphsim.graph import Dense, Graph, Group, OneToOne
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import Machine, load_machine
from graphsim.schedule import exact, fold, latency
from graphsim.schedule.verify import verify

needed("ortools")


def check(graph: Graph, machine: Machine, effort: float = 0.3) -> None:
    """A schedule as good as fold's at least, valid, and no better than what is proved."""
    best = exact.optimum(graph, machine, effort=effort)
    verdict = verify(graph, best.schedule)
    assert verdict.ok, verdict.violations
    folded = fold(graph, machine)
    key = best.schedule.period, latency(graph, best.schedule)
    assert key <= (folded.period, latency(graph, folded))
    assert best.period_bound <= best.schedule.period
    assert best.latency_bound <= latency(graph, best.schedule)
    assert best.schedule.bound.ticks <= best.schedule.placement_bound.ticks <= best.schedule.period


@given(tiny_graphs(), tiny_machines(), st.sampled_from([1, 2]))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_schedules_of_nets_are_valid_and_no_worse_than_those_of_fold(graph: Graph, machine: Machine, rate: int) -> None:
    links = tuple(dataclasses.replace(link, frames_per_tick=rate, frequency=1) for link in machine.links)
    nodes = tuple(dataclasses.replace(node, frequency=1) for node in machine.nodes)
    check(graph, dataclasses.replace(machine, nodes=nodes, links=links, topology=""))


@given(
    circuits(gates=6, inputs=3, registers=2, outputs=2),
    st.sampled_from(["line:2", "ring:3", "star:2", "star:3,switch.crossbar_latency=2"]),
)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_schedules_of_circuits_are_valid_and_no_worse_than_those_of_fold(circuit: Circuit, name: str) -> None:
    check(to_graph(circuit), load_machine(f"{name},frame_bits=2,latency=0"))


def loop(ticks: int) -> Graph:
    """Two actors of 8 ticks or more each, the second of which the first reads one iteration later."""
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(1,)),
        Group(name="a", op="sum", shape=(1,), activation="tanh"),
        Group(name="b", op="sum", shape=(1,), activation="tanh"),
        Group(name="sink", op="collect"),
    ]
    channels = [
        Dense(src=0, dst=1), Dense(src=1, dst=2), OneToOne(src=3, dst=2, port=1, initial_tokens=ticks),
        Dense(src=2, dst=3), Dense(src=3, dst=4),
    ]  # fmt: skip
    return Graph("loop", groups, channels, {})


@pytest.mark.parametrize(
    ("held", "period", "late"),
    [
        (1, 17, 17),  # both on one node: 9 and 8 ticks, and no way between them
        (2, 11, 21),  # apart: 9 + 8 ticks and two ways of 2 ticks each in two iterations
    ],
)
def test_the_optimum_of_a_loop_is_known(held: int, period: int, late: int) -> None:
    best = exact.optimum(loop(held), load_machine("line:2"))
    assert (best.schedule.period, best.period_bound) == (period, period)
    assert latency(loop(held), best.schedule) == late
    assert best.latency_bound == late


def test_two_tokens_share_a_frame_where_that_is_shorter() -> None:
    groups = [
        Group(name="source", op="source"), Group(name="x", op="input", shape=(4,)),
        Group(name="y", op="max", shape=(4,), activation="tanh"), Group(name="sink", op="collect"),
    ]  # fmt: skip
    graph = Graph("wide", groups, [Dense(src=0, dst=1), Dense(src=1, dst=2), Dense(src=2, dst=3)], {})
    machine = load_machine("line:2,frame_bits=128,latency=0,op_ticks.special=1")
    best = exact.optimum(graph, machine)
    # Four firings of 3 compares and a tanh, two on each node; all inputs in one frame, both results in one.
    assert best.schedule.period == best.period_bound == 8
    assert latency(graph, best.schedule) == best.latency_bound == 10


def test_equal_input_gives_equal_schedules() -> None:
    one, other = (exact.optimum(loop(2), load_machine("ring:3"), effort=0.2) for _ in range(2))
    for key, value in vars(one.schedule).items():
        assert np.array_equal(value, getattr(other.schedule, key)), key


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(PlacementError, match="exact is for up to 100 firings and copies on 8 nodes"):
        exact.optimum(loop(1), load_machine("line:9"))
    machine = load_machine("line:2")
    mixed = dataclasses.replace(machine, nodes=(dataclasses.replace(machine.nodes[0], frequency=2), machine.nodes[1]))
    with pytest.raises(PlacementError, match="machines of one frequency"):
        exact.optimum(loop(1), mixed)


def test_the_command_says_what_is_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from graphsim.cli import main
    from graphsim.graph.store import save

    save(loop(1), tmp_path / "loop.gsim")
    assert main(["fold", str(tmp_path / "loop.gsim"), "-m", "line:2", "--exact", "-o", str(tmp_path / "a.fold")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the optimum: no period is below 17 ticks, this one's is 17;" in said
