"""The events engine: the timing oracle of the machine engine, and self-timed execution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import CASES, valid
from schedules import simple_schedule
from strategies import graphs, samples

from graphsim.errors import ScheduleError, TokenError
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.schedule.fold import fold
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import FloatArray, Run, Timing
from graphsim.simulate.events import EventsEngine
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


def test_a_lost_token_is_waited_for_forever_and_named() -> None:
    graph, schedule = valid()
    broken = CASES["hop_left_out"].mutate(graph, schedule)
    with pytest.raises(TokenError, match=r"node \w+: .* fires and reads the .* waits forever"):
        EventsEngine(graph, broken, mode="self_timed").run(np.ones((3, 12), np.float32))


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
