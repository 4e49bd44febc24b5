"""The verifier accepts what is right and rejects everything else, for the right reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import CASES, changed, hops_of, valid
from schedules import simple_schedule
from strategies import graphs

from graphsim.graph import Dense, Graph, Group
from graphsim.machine import load_machine
from graphsim.schedule.schedule import durations
from graphsim.schedule.verify import KINDS, SHOWN_PER_KIND, verify
from graphsim.schedule.verify.calendars import crowded

MACHINES = ("line:1", "line:3", "mesh:2x2", "star:3", "fat_tree:1", "full:3,frame_bits=32,latency=0", "tree:1x2")


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("pack", [1, 3])
def test_a_valid_schedule_is_accepted(name: str, pack: int) -> None:
    graph = mlp(12, 6, 3)
    verdict = verify(graph, simple_schedule(graph, load_machine(name), pack=pack))
    assert verdict.violations == ()
    assert verdict.ok


@settings(deadline=None)
@given(graphs(max_actors=40), st.sampled_from(MACHINES), st.integers(1, 4), st.integers(0, 99))
def test_valid_schedules_of_random_graphs_are_accepted(graph: Graph, name: str, pack: int, seed: int) -> None:
    verdict = verify(graph, simple_schedule(graph, load_machine(name), pack=pack, seed=seed))
    assert verdict.violations == ()


def test_it_counts_what_it_checked() -> None:
    graph, schedule = valid()
    checks = dict(verify(graph, schedule).checks)
    assert checks["edges whose token is there before it is used"] == graph.edge_count
    assert checks["actors placed on compute nodes"] == graph.actor_count
    tokens = np.diff(schedule.parcel_ptr)[schedule.hop_parcel]
    assert checks["frames on links, never more in a tick than the link takes"] == tokens.sum()  # one token per frame
    assert checks["(node, token) pairs that have their one slot"] == len(schedule.slot_node)


def test_the_schedule_that_is_corrupted_has_all_that_can_be_corrupted() -> None:
    graph, schedule = valid()
    ticks = durations(graph, schedule.machine, schedule.node)
    assert verify(graph, schedule).ok
    assert np.diff(schedule.parcel_ptr).max() > 2  # hops of several ticks
    assert schedule.slot_depth.max() > 1  # tokens that outlive a period
    assert (schedule.start + ticks).max() > schedule.period  # iterations that overlap


@pytest.mark.parametrize("name", CASES)
def test_a_corrupted_schedule_is_rejected_for_the_right_reason(name: str) -> None:
    graph, schedule = valid()
    case = CASES[name]
    verdict = verify(graph, case.mutate(graph, schedule))
    assert not verdict.ok
    assert case.kind in verdict.kinds
    assert verdict.violation_count >= len(verdict.violations) > 0


def test_every_kind_of_violation_has_a_corruption() -> None:
    assert {case.kind for case in CASES.values()} == set(KINDS) - {"rates", "firings", "initial", "tile"}


def test_rates_other_than_one_are_refused() -> None:
    groups = [Group(name="s", op="source"), Group(name="i", op="input", shape=(2,)), Group(name="o", op="collect")]
    channels = [Dense(src=0, dst=1), Dense(src=1, dst=2)]
    graph = Graph("g", groups, channels, {})
    schedule = simple_schedule(graph, load_machine("line:1"))
    several = Graph("g", groups, [channels[0], replace(channels[1], produce=2)], {})
    assert verify(several, replace(schedule, graph_digest=several.digest)).kinds == {"rates"}


@pytest.mark.parametrize("initial", [0, 1, 2])
def test_initial_tokens_let_a_consumer_fire_that_many_periods_early(initial: int) -> None:
    groups = [
        Group(name="s", op="source"),
        Group(name="i", op="input", shape=(2,)),
        Group(name="m", op="max", shape=(1,)),
        Group(name="o", op="collect"),
    ]
    channels = [Dense(src=0, dst=1), Dense(src=1, dst=2), Dense(src=2, dst=3)]
    plain = Graph("g", groups, channels, {})
    schedule = simple_schedule(plain, load_machine("line:2,op_ticks.compare=7"))
    later = 3 * schedule.period
    schedule = replace(schedule, start=schedule.start + later, hop_start=schedule.hop_start + later)
    delayed = Graph("g", groups, [*channels[:2], replace(channels[2], initial_tokens=initial)], {})
    early = changed(schedule.start, 4, int(schedule.start[4]) - initial * schedule.period)
    address = np.arange(len(schedule.slot_address)) * 64  # room for as many copies as there are initial tokens
    depth = np.maximum(schedule.slot_depth, initial)
    schedule = replace(schedule, graph_digest=delayed.digest, slot_depth=depth, slot_address=address)
    assert verify(delayed, replace(schedule, start=early)).ok
    too_early = changed(early, 4, int(early[4]) - schedule.period)
    assert "late" in verify(delayed, replace(schedule, start=too_early)).kinds


def test_messages_name_the_place() -> None:
    graph, schedule = valid()
    messages = {
        name: [
            v.message
            for v in verify(graph, CASES[name].mutate(graph, schedule)).violations
            if v.kind == CASES[name].kind
        ]
        for name in CASES
    }
    assert all(messages.values())
    host = schedule.machine.nodes[schedule.machine.host].name
    tick = int(schedule.start[graph.actor("dense_1[2]").id]) % schedule.period
    early = f"dense_1[2] at tick {tick} reads the token of dense["
    assert all(early in m for m in messages["firing_before_its_tokens"])
    assert messages["sink_away_from_the_host"] == [f"sink is on n1; sources and sinks are on host {host}"]
    assert any("sink" in m and host in m for m in messages["two_firings_at_once"])
    assert all("s0->n" in m and "tick" in m for m in messages["two_hops_at_once"])
    assert all("where it never gets" in m for m in messages["hop_left_out"])
    assert all("needs" in m and "it has 64" in m for m in messages["memory_too_small"])


def test_messages_are_capped_and_violations_are_not() -> None:
    graph, schedule = valid()
    verdict = verify(graph, replace(schedule, start=np.full_like(schedule.start, -1)))
    assert verdict.violation_count == graph.actor_count
    assert len(verdict.violations) == SHOWN_PER_KIND


def test_a_hop_leaves_a_switch_one_tick_after_its_first_frame_came_and_never_else() -> None:
    graph, schedule = valid()
    hops = hops_of(schedule)
    machine = schedule.machine
    for h, (parcel, start, link) in enumerate(hops):
        if machine.links[link].src in machine.switches:
            first, into = next((t, k) for p, t, k in hops if p == parcel and machine.links[k].dst in machine.switches)
            assert start == first + 1 + machine.links[into].latency + 1
            for other in (start - 1, start + 1):
                moved = replace(schedule, hop_start=changed(schedule.hop_start, h, other))
                assert verify(graph, moved).kinds & {"transit", "encoding"}


def test_a_hop_may_start_at_the_tick_its_parcel_is_there_and_not_before() -> None:
    graph = mlp(12, 6, 3)
    schedule = simple_schedule(graph, load_machine("line:3,latency=2"), seed=4)
    hops, links = hops_of(schedule), schedule.machine.links
    passed = 0
    for h, (parcel, _, link) in enumerate(hops):
        for other, start, into in hops:
            if other == parcel and links[into].dst == links[link].src:  # parcels of one frame, passed on by the middle
                passed += 1
                for tick, early in ((start + 3, False), (start + 2, True)):
                    moved = replace(schedule, hop_start=changed(schedule.hop_start, h, tick))
                    assert ("hop early" in verify(graph, moved).kinds) == early
    assert passed


@settings(deadline=None)
@given(
    st.integers(1, 9),
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 25), st.integers(1, 3)), min_size=1, max_size=7
    ),
    st.integers(1, 4),
)
def test_crowded_agrees_with_counting_tick_by_tick(
    period: int, intervals: list[tuple[int, int, int, int]], capacity: int
) -> None:
    owner, start, length, load = (np.array(column, np.int64) for column in zip(*intervals, strict=True))
    used = np.zeros((2, period), np.int64)
    for who, first, ticks, much in intervals:
        for tick in range(first, first + ticks):
            used[who, tick % period] += much
    owners, ticks = crowded(owner, start, length, load, np.full(2, capacity), period)
    assert all(used[v, t] > capacity for v, t in zip(owners, ticks, strict=True))
    assert set(owners.tolist()) == set(np.flatnonzero((used > capacity).any(axis=1)).tolist())


def test_half_a_million_actors_are_verified_in_bulk() -> None:
    """On one node, so that the schedule is easily written down; 512 blocks of a thousand edges each."""
    n, blocks = 1 << 18, 512
    groups = [
        Group(name="s", op="source"),
        Group(name="i", op="input", shape=(n,)),
        Group(name="d", op="sum", shape=(n,)),
        Group(name="m", op="max", shape=(1,)),
        Group(name="o", op="argmax"),
    ]
    wide = [Dense(src=0, dst=1), Dense(src=1, dst=2, blocks=blocks), Dense(src=2, dst=3), Dense(src=3, dst=4)]
    graph = Graph("wide", groups, wide, {})
    machine = load_machine("line:1,memory_bytes=16777216")
    small = Graph(
        "s",
        [groups[0], *(replace(g, shape=(1,)) for g in groups[1:4]), groups[4]],
        [*(Dense(src=i, dst=i + 1) for i in range(4))],
        {},
    )
    schedule = simple_schedule(small, machine)
    ticks = durations(graph, machine, np.zeros(graph.actor_count, np.int32))
    start = np.cumsum(ticks) - ticks
    token = np.concatenate([np.arange(1, 2 * n + 2), graph.actor_count + np.arange(n)]).astype(np.int32)
    schedule = replace(
        schedule,
        graph_digest=graph.digest,
        period=int(ticks.sum()),
        node=np.zeros(graph.actor_count, np.int32),
        start=start,
        slot_node=np.zeros(len(token), np.int32),
        slot_token=token,
        slot_address=4 * np.arange(len(token), dtype=np.int64),
        slot_depth=np.ones(len(token), np.int32),
    )
    verdict = verify(graph, schedule)
    assert verdict.violations == ()
    assert dict(verdict.checks)["edges whose token is there before it is used"] == 2 * n + n * n // blocks + 1
    late = replace(schedule, start=changed(start, 2 * n + 1, 0))
    assert {"late", "firing overlap"} <= verify(graph, late).kinds
