"""Graphs with windows, dot, select, lookup and actors without edges: folded, verified, run with a clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import Net, lenet5, mobilenet, resnet8
from schedule_cases import machines
from schedules import lists_read, placement, simple_schedule
from strategies import graphs, samples
from test_simulate_events import MACHINES, check_all_engines

from graphsim.analysis.costs import parameter_bytes
from graphsim.analysis.tokens import first_producers
from graphsim.graph import Axis, Dense, Graph, Group, Ref, Window
from graphsim.graph.verify import verify as verify_graph
from graphsim.machine import load_machine
from graphsim.passes.unroll import unroll
from graphsim.schedule import fold, latency
from graphsim.schedule.verify import verify
from graphsim.schedule.verify.facts import Facts
from graphsim.schedule.verify.memory import parameter_bytes as verified_bytes
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.machine import MachineEngine

slow_ones = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(graphs(windows=True), machines())
@slow_ones
def test_random_graphs_fold_onto_random_machines(graph: Graph, machine) -> None:  # type: ignore[no-untyped-def]
    verify_graph(graph)
    schedule = fold(graph, machine)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period


@given(graphs(windows=True))
@slow_ones
def test_the_first_producer_is_that_of_the_first_edge(graph: Graph) -> None:
    for channel in graph.channels:
        sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
        edges = [channel.inputs(j, *sizes, graph.params).src.tolist() for j in range(sizes[1])]
        assert first_producers(graph, channel).tolist() == [src[0] if src else -1 for src in edges]


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


@given(graphs(windows=True), st.sampled_from(MACHINES), st.integers(0, 99))
@slow_ones
def test_a_node_keeps_every_list_of_weights_once(graph: Graph, name: str, seed: int) -> None:
    machine = load_machine(name)
    node = np.array(placement(graph, machine, seed), np.int32)
    kept: list[set[tuple[str, tuple[int, ...]]]] = [set() for _ in machine.nodes]
    for actor in graph:
        kept[node[actor.id]] |= lists_read(actor)
    expected = [4 * sum(len(elements) for _, elements in lists) for lists in kept]
    assert parameter_bytes(graph, node, len(machine.nodes)).tolist() == expected
    assert verified_bytes(Facts(graph, unroll(graph), simple_schedule(graph, machine, seed=seed))).tolist() == expected


def test_all_positions_of_a_filter_share_its_weights() -> None:
    net = Net(8, 8, 3)
    graph = net.graph(net.dense(net.average(net.conv(1, 5)), 4), "shared")
    conv, dense, host = graph.first[2], graph.first[4], np.zeros(graph.actor_count, np.int32)
    filters, classes = 4 * (3 * 3 * 3 * 5 + 5), 4 * (5 * 4 + 4)
    assert parameter_bytes(graph, host, 2).tolist() == [filters + classes, 0]
    apart = host.copy()
    apart[conv + 5 * np.arange(64) + 2] = 1  # one of the five filters
    assert parameter_bytes(graph, apart, 2).tolist() == [filters * 4 // 5 + classes, filters // 5]
    apart[dense] = 1
    assert parameter_bytes(graph, apart, 2)[1] == filters // 5 + classes // 4


def test_an_actor_without_edges_fires_in_every_iteration() -> None:
    """Actor 0 of the padding: it waits for no token, only for its calendar, or for room for what it makes."""
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(3,)),
        Group(name="pad", op="sum", shape=(4,)),
        Group(name="top", op="max", shape=(1,), activation="tanh"),
        Group(name="sink", op="collect"),
    ]
    into = Window(src=1, dst=2, axes=(Axis(3, 4, pad=1),))
    graph = Graph("padded", groups, [Dense(src=0, dst=1), into, Dense(src=2, dst=3), Dense(src=3, dst=4)], {})
    schedule = fold(graph, load_machine("line:2"))
    samples = -np.arange(1, 31, dtype=np.float32).reshape(10, 3)
    for mode in ("calendar", "self_timed"):
        run = EventsEngine(graph, schedule, mode=mode).run(samples)
        assert run.values["top"].tolist() == [[0.0]] * 10
        assert run.timing is not None
        assert run.timing.sink_ticks.tolist() == sorted(set(run.timing.sink_ticks.tolist()))


def test_a_table_is_kept_whole_by_its_column() -> None:
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(4,)),
        Group(name="word", op="lookup", shape=(4, 3), params={"table": Ref("words")}),
        Group(name="sink", op="collect"),
    ]
    into = Window(src=1, dst=2, axes=(Axis(4, 4), Axis(1, 3, stride=0)))
    words = np.random.default_rng(0).normal(0, 1, (50, 3)).astype(np.float32)
    graph = Graph("words", groups, [Dense(src=0, dst=1), into, Dense(src=2, dst=3)], {"words": words})
    assert parameter_bytes(graph, np.zeros(graph.actor_count, np.int32), 1).tolist() == [4 * 150]
    samples = np.array([[0, 49, 7, 50], [3.9, -0.5, 1, 2]], np.float32)
    run = MachineEngine(graph, fold(graph, load_machine("torus:2x2"))).run(samples)
    assert np.array_equal(run.values["word"][0, :3], words[[0, 49, 7]]) and np.isnan(run.values["word"][0, 3]).all()
    assert np.array_equal(run.values["word"][1], words[[3, 0, 1, 2]])


@pytest.mark.slow
@pytest.mark.parametrize("make", [lenet5, resnet8])
def test_convolutional_nets_run_on_a_torus(make) -> None:  # type: ignore[no-untyped-def]
    graph = make()
    schedule = fold(graph, load_machine("torus:8x8"))
    assert verify(graph, schedule).ok
    assert schedule.period <= 1.01 * schedule.bound.ticks
    images = np.random.default_rng(1).random((3, *graph.groups[1].shape), dtype=np.float32)
    run, expected = MachineEngine(graph, schedule).run(images), LanesEngine(graph).run(images)
    for name, values in expected.values.items():
        assert run.values[name].tobytes() == values.tobytes()
    assert run.timing is not None
    assert (run.timing.period, run.timing.latency) == (schedule.period, latency(graph, schedule))
    # Layer upon layer: none may just miss its turn and wait for a whole period each time.
    assert run.timing.latency < len(graph.groups) * schedule.period / 2


@pytest.mark.slow
def test_a_mobilenet_folds_onto_a_large_torus() -> None:
    graph = mobilenet(size=48)
    schedule = fold(graph, load_machine("torus:16x16"))
    assert graph.actor_count > 120_000
    assert verify(graph, schedule).ok
    assert schedule.period <= 1.01 * schedule.bound.ticks
