"""The events engine: the timing oracle of the machine engine, and self-timed execution."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from graphs import mlp, rnn
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import CASES, valid
from schedules import simple_schedule
from strategies import graphs, samples

from graphsim.errors import GraphError, ScheduleError, SimulationError, TokenError
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.schedule.fold import fold
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import FloatArray, Run, Timing
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.frames import FramesEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine

MACHINES = (
    "line:1",
    "line:3",
    "mesh:2x2",
    "star:3",
    "fat_tree:2",
    "full:3,frame_bits=24,latency=0",
    "ring:3,latency=9",
)


def assert_same_values(run: Run, expected: Run) -> None:
    assert run.values.keys() == expected.values.keys()
    for name, array in expected.values.items():
        assert run.values[name].tobytes() == array.tobytes(), name


def timing_of(run: Run) -> Timing:
    assert run.timing is not None
    return run.timing


def check_all_engines(graph: Graph, schedule: Schedule, inputs: tuple[FloatArray, ...]) -> None:
    """Same bits from all; same ticks from machine and events; self-timed never later, its period never longer."""
    reference = ReferenceEngine(graph).run(inputs)
    machine = MachineEngine(graph, schedule).run(inputs)
    events = EventsEngine(graph, schedule).run(inputs)
    free = EventsEngine(graph, schedule, mode="self_timed").run(inputs)
    for run in (machine, events, free):
        assert_same_values(run, reference)
    assert timing_of(events).source_ticks.tolist() == timing_of(machine).source_ticks.tolist()
    assert timing_of(events).sink_ticks.tolist() == timing_of(machine).sink_ticks.tolist()
    assert np.all(timing_of(free).sink_ticks <= timing_of(machine).sink_ticks)
    assert np.all(timing_of(free).source_ticks <= timing_of(machine).source_ticks)


@settings(max_examples=50, deadline=None)
@given(st.data(), graphs(max_actors=30), st.sampled_from(MACHINES), st.integers(1, 4), st.integers(0, 99))
def test_engines_agree_on_simple_schedules(data: st.DataObject, graph: Graph, name: str, pack: int, seed: int) -> None:
    schedule = simple_schedule(graph, load_machine(name), pack=pack, seed=seed)
    check_all_engines(graph, schedule, data.draw(samples(graph, 6)))


@settings(max_examples=50, deadline=None)
@given(st.data(), graphs(max_actors=30), st.sampled_from(MACHINES))
def test_engines_agree_on_folded_graphs(data: st.DataObject, graph: Graph, name: str) -> None:
    schedule = fold(graph, load_machine(name))
    check_all_engines(graph, schedule, data.draw(samples(graph, 6)))


@pytest.mark.parametrize("name", ["torus:2x2", "star:4,frames_per_tick=3", "line:2,frame_bits=7"])
def test_self_timed_steady_state_is_at_least_as_fast(name: str) -> None:
    graph = mlp(20, 9, 4)
    schedule = fold(graph, load_machine(name))
    inputs = np.random.default_rng(0).random((40, 20), dtype=np.float32)
    period = timing_of(EventsEngine(graph, schedule, mode="self_timed").run(inputs)).period
    assert period is not None
    assert period <= schedule.period


def test_a_single_node_is_busy_all_the_time() -> None:
    """Nothing can be faster than the sum of all firings, and nothing need be slower."""
    graph = mlp(12, 6, 3)
    schedule = simple_schedule(graph, load_machine("line:1"))
    inputs = np.zeros((8, 12), np.float32)
    work = sum(schedule.machine.nodes[0].cycles(actor.work) for actor in graph)
    ticks = timing_of(EventsEngine(graph, schedule, mode="self_timed").run(inputs)).sink_ticks
    assert ticks.tolist() == [work * (n + 1) for n in range(8)]


def test_room_holds_a_self_timed_source_back() -> None:
    """With one copy of every token, a sample enters only when the pixels of the one before have been read."""
    graph = mlp(12, 6, 3)
    schedule = simple_schedule(graph, load_machine("line:1"))
    assert schedule.slot_depth.max() == 1
    timing = timing_of(EventsEngine(graph, schedule, mode="self_timed").run(np.zeros((8, 12), np.float32)))
    assert np.all(timing.source_ticks[2:] > timing.sink_ticks[:-2] - schedule.period)
    deeper = replace(schedule, slot_depth=np.full_like(schedule.slot_depth, 3), slot_address=schedule.slot_address * 3)
    ahead = timing_of(EventsEngine(graph, deeper, mode="self_timed").run(np.zeros((8, 12), np.float32)))
    assert ahead.source_ticks[4] < timing.source_ticks[4]
    assert ahead.sink_ticks.tolist() == timing.sink_ticks.tolist()


@pytest.mark.parametrize("name", [k for k, case in CASES.items() if case.data and case.kind != "slot overlap"])
def test_a_schedule_that_breaks_the_timing_of_data_stops_the_run(name: str) -> None:
    """Overlapping slots are left to the machine engine: memory has no addresses here."""
    graph, schedule = valid()
    broken = CASES[name].mutate(graph, schedule)
    with pytest.raises(TokenError, match=r"^tick \d+, node \w+: "):
        EventsEngine(graph, broken).run(np.ones((12, 12), np.float32))


@pytest.mark.parametrize("name", CASES)
def test_a_corrupted_schedule_never_gives_wrong_values(name: str) -> None:
    graph, schedule = valid()
    inputs = np.random.default_rng(3).random((9, 12), dtype=np.float32)
    try:
        run = EventsEngine(graph, CASES[name].mutate(graph, schedule)).run(inputs)
    except (ScheduleError, TokenError):
        return
    assert_same_values(run, ReferenceEngine(graph).run(inputs))


def starved() -> tuple[Graph, Schedule, str]:
    """A schedule without one of its hops, and the input actor whose element that brings."""
    graph, schedule = valid()
    return graph, CASES["hop_left_out"].mutate(graph, schedule), "pixels[3]"


def test_starvation_ends_a_self_timed_run_and_all_who_wait_are_named() -> None:
    graph, broken, actor = starved()
    with pytest.raises(TokenError) as caught:
        EventsEngine(graph, broken, mode="self_timed").run(np.ones((3, 12), np.float32))
    first, *waits = str(caught.value).splitlines()
    assert first.startswith("tick 59: nothing can happen any more, and 3 of 3 samples have not come out; starvation:")
    assert f"  since tick 0, node n1: {actor} waits for iteration 0 of the sample's element for {actor}" in waits
    made = [i for i in range(12) if broken.node[graph.actor(f"pixels[{i}]").id] == broken.node[graph.actor(actor).id]]
    late = [f"iteration 0 of the token of pixels[{i}]" for i in made if i >= 3]
    (node,) = (wait for wait in waits if ": dense[0] waits" in wait)
    assert node.startswith("  since tick 18, node n1: ")
    assert all(token in node for token in late)
    assert any(wait.startswith("  since tick 16, node s0: link s0->n2 waits for iteration 0") for wait in waits)


def test_a_calendar_does_not_wait_beyond_its_tick() -> None:
    """The first tick in which a token is missing is the last one, whatever could still happen elsewhere."""
    graph, broken, actor = starved()
    tick = broken.start[graph.actor(actor).id]
    with pytest.raises(TokenError) as caught:
        EventsEngine(graph, broken).run(np.ones((3, 12), np.float32))
    assert str(caught.value).startswith(
        f"tick {tick}, node n1: {actor} fires and reads the sample's element for {actor} of iteration 0, which is late "
        f"or lost: it is not there"
    )
    with pytest.raises(TokenError, match=f"tick {tick}, node n1: {re.escape(actor)} "):
        MachineEngine(graph, broken).run(np.ones((3, 12), np.float32))
    with pytest.raises(TokenError, match=f"tick {tick}, node n1: {re.escape(actor)} "):
        FramesEngine(graph, broken).run(np.ones((3, 12), np.float32))


def test_a_deadlock_names_the_circle() -> None:
    """A sum before its terms, on one node: the node waits for what comes later on it."""
    graph = mlp(6, 4, 3)
    schedule = simple_schedule(graph, load_machine("line:2"))
    one, other = (graph.actor(f"dense_1.{name}[0]").id for name in ("sum", "max"))
    assert schedule.node[one] == schedule.node[other]
    start = schedule.start.copy()
    start[[one, other]] = start[[other, one]]
    broken = replace(schedule, start=start)
    with pytest.raises(TokenError) as caught:
        EventsEngine(graph, broken, mode="self_timed").run(np.ones((3, 6), np.float32))
    first, wait, *_ = str(caught.value).splitlines()
    assert first.endswith("deadlock: dense_1.sum[0] waits for dense_1.sum[0]")
    assert wait.startswith(
        "  since tick 44, node n1: dense_1.sum[0] waits for iteration 0 of the token of dense_1.exp[0] (made after "
        "dense_1.sum[0])"
    )
    for engine in (MachineEngine(graph, broken), FramesEngine(graph, broken)):
        with pytest.raises(TokenError) as caught:
            engine.run(np.ones((3, 6), np.float32))
        for i in range(3):
            assert f"the token of dense_1.exp[{i}]" in str(caught.value)


def test_queues_of_tokens_that_can_never_be_full_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that the rules refuse, run all the same."""
    graph = rnn(steps=3)
    channels = [replace(c, initial_tokens=0) if c.src == c.dst else c for c in graph.channels]
    dead = Graph("dead", graph.groups, channels, graph.params)
    with pytest.raises(GraphError):
        ReferenceEngine(dead)
    monkeypatch.setattr("graphsim.simulate.reference.check_runnable", lambda *_: None)
    monkeypatch.setattr("graphsim.simulate.reference._is_own", lambda _: False)
    with pytest.raises(SimulationError) as caught:
        ReferenceEngine(dead).run(np.ones((2, *graph.groups[1].shape), np.float32))
    first, ring, *_ = str(caught.value).splitlines()
    assert first == "reference: this iteration cannot be completed; deadlock: rnn waits for rnn"
    assert ring == "  rnn waits with firing 0 for channel rnn -> rnn (port 1) (holds 0 of 1 tokens)"


def test_a_schedule_for_another_graph_is_refused() -> None:
    _, schedule = valid()
    with pytest.raises(ScheduleError, match="fold this graph again"):
        EventsEngine(mlp(12, 6, 3, seed=7), schedule)


def test_it_keeps_what_is_asked_for_and_counts_samples() -> None:
    graph, schedule = valid()
    seen: list[int] = []
    run = EventsEngine(graph, schedule).run(np.ones((3, 12), np.float32), keep="outputs", progress=seen.append)
    assert set(run.values) == {"dense_1.softmax", "sink"}
    assert seen == [1, 2, 3]
