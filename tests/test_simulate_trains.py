"""Trains of hops: as many as can be, and never one that makes a difference."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import CASES, valid
from schedule_cases import machines
from strategies import graphs
from test_simulate_machine import assert_same_values, images

from graphsim.errors import ScheduleError, TokenError
from graphsim.graph import Graph
from graphsim.machine import Machine, load_machine
from graphsim.schedule import Schedule, fold
from graphsim.simulate.engine import Run
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.machine import program as compiled
from graphsim.simulate.machine.memory import NO_SLOT
from graphsim.simulate.machine.program import CELL, MOVED, READ
from graphsim.simulate.machine.trains import NEVER, couple, next_of, turns


def every_hop_alone(graph: Graph, schedule: Schedule) -> MachineEngine:
    with patch.object(
        compiled, "_trains", lambda graph, calendars, memory, hops, start, ticks: np.arange(len(hops.link))
    ):
        return MachineEngine(graph, schedule)


def outcome(make: object, graph: Graph, schedule: Schedule, inputs: npt.NDArray[np.float32]) -> Run | None:
    try:
        return make(graph, schedule).run(inputs)  # type: ignore[operator, no-any-return]
    except (ScheduleError, TokenError):
        return None


@pytest.mark.parametrize("name", CASES)
def test_broken_schedules_fail_with_trains_as_they_do_without(name: str) -> None:
    graph, schedule = valid()
    broken, inputs = CASES[name].mutate(graph, schedule), images(graph, 6)
    ours, other = (outcome(make, graph, broken, inputs) for make in (MachineEngine, every_hop_alone))
    assert (ours is None) == (other is None)
    if ours is not None and other is not None:
        assert_same_values(ours, other)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), graphs(max_actors=30), machines(), st.sampled_from(["single", "double"]))
def test_times_that_are_moved_fail_with_trains_as_they_do_without(
    data: st.DataObject, graph: Graph, machine: Machine, buffering: str
) -> None:
    schedule = fold(graph, machine, buffering=buffering)  # type: ignore[arg-type]
    hops = len(schedule.hop_start)
    if hops:
        at = data.draw(st.lists(st.integers(0, hops - 1), min_size=1, max_size=4))
        moved = schedule.hop_start.copy()
        stride = np.array(machine.link_strides, np.int64)[schedule.hop_link]
        moved[at] = np.maximum(0, moved[at] + data.draw(st.integers(-3, 3)) * stride[at])
        order = np.lexsort([schedule.hop_link, moved, schedule.hop_parcel])
        schedule = replace(
            schedule,
            hop_parcel=schedule.hop_parcel[order],
            hop_link=schedule.hop_link[order],
            hop_start=moved[order],
        )
    rng = np.random.default_rng(0)
    inputs = tuple(
        rng.random((6, *graph.groups[graph.channels_from(source)[0].dst].shape), np.float32) for source in graph.sources
    )
    ours, other = (outcome(make, graph, schedule, inputs) for make in (MachineEngine, every_hop_alone))  # type: ignore[arg-type]
    assert (ours is None) == (other is None)
    if ours is not None and other is not None:
        assert_same_values(ours, other)
        assert ours.timing is not None
        assert other.timing is not None
        assert ours.timing.sink_ticks.tolist() == other.timing.sink_ticks.tolist()


def test_an_image_goes_over_each_link_in_few_trains() -> None:
    graph = mlp()
    schedule = fold(graph, load_machine("one-to-one", graph))
    program = MachineEngine(graph, schedule)._program
    assert len(schedule.hop_link) == 128 * 196 + 1280 + 10
    assert len(np.unique(program.train)) <= 128 * 3 + 1280 + 10


def test_a_token_that_a_train_does_not_find_is_named_with_its_own_tick() -> None:
    graph = mlp()
    schedule = fold(graph, load_machine("one-to-one", graph))
    engine = MachineEngine(graph, schedule)
    program = engine._program
    sizes = np.bincount(program.train, minlength=len(program.train))
    last = int(np.argmax(sizes))
    first = int(np.flatnonzero(program.train == last)[np.argmin(schedule.hop_start[program.train == last])])
    rows = program.events[:, 0] == READ
    event = int(np.flatnonzero(rows & (program.events[:, 2] == graph.actor_count + last))[0])
    program.events[event, MOVED + CELL] = NO_SLOT
    link = schedule.machine.link_name(int(schedule.hop_link[first]))
    with pytest.raises(TokenError) as caught:
        engine.run(images(graph, 2))
    assert str(caught.value).startswith(f"tick {schedule.hop_start[first]}, node host: link {link} sends iteration 0")


def test_turns_are_in_the_order_of_events() -> None:
    period = 10
    later = turns(np.array([3, 4, 23, 13, 3]), np.array([2, 0, 0, 0, 0]), period)
    # In tick 3 of a period: iteration n - 2, then n - 1, then n, phase after phase; then tick 4.
    assert np.argsort(later).tolist() == [2, 3, 4, 0, 1]


def test_next_turn_of_an_owner() -> None:
    owner, turn = np.array([0, 0, 2]), np.array([5, 9, 7])
    asked = next_of(owner, turn, np.array([0, 0, 0, 1, 2, 2]), np.array([5, 6, 10, 0, 1, 8]))
    assert asked.tolist() == [5, 9, NEVER, NEVER, 7, NEVER]
    none = np.empty(0, np.int64)
    assert next_of(none, none, np.array([3]), np.array([0])).tolist() == [NEVER]


def coupled(link: list[int], read_until: list[int], write_until: list[int], alone: list[bool]) -> list[int]:
    """Hops that are read in turns 0, 1, 2 and so on, and written ten turns later."""
    count = len(link)
    read = np.stack([np.arange(count), np.zeros(count, np.int64)], axis=1)
    until = [np.array([NEVER if x < 0 else x for x in column]) for column in (read_until, write_until)]
    return couple(np.array(link), read, read + np.array([10, 0]), *until, np.array(alone)).tolist()


@pytest.mark.parametrize(
    ("link", "read_until", "write_until", "alone", "last"),
    [
        ([0, 0, 0, 0], [-1] * 4, [-1] * 4, [False] * 4, [3, 3, 3, 3]),
        ([0, 1, 0, 1], [-1] * 4, [-1] * 4, [False] * 4, [2, 3, 2, 3]),
        ([0, 0, 0, 0], [2, -1, -1, -1], [-1] * 4, [False] * 4, [1, 1, 3, 3]),
        ([0, 0, 0, 0], [-1] * 4, [-1, 13, -1, -1], [False] * 4, [2, 2, 2, 3]),
        ([0, 0, 0, 0], [-1] * 4, [-1] * 4, [False, True, False, False], [0, 1, 3, 3]),
        ([0], [-1], [-1], [False], [0]),
    ],
)
def test_a_train_ends_before_something_would_notice(
    link: list[int], read_until: list[int], write_until: list[int], alone: list[bool], last: list[int]
) -> None:
    assert coupled(link, read_until, write_until, alone) == last
