"""More nodes of the same kind never give a longer period."""

from __future__ import annotations

import dataclasses
import itertools
import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import graphs

from graphsim.analysis import seats
from graphsim.analysis.bounds import lower_bound
from graphsim.analysis.costs import Costs
from graphsim.errors import InfeasibleError
from graphsim.graph import Graph
from graphsim.machine import Machine, load_machine
from graphsim.machine.members import Member, member, smaller
from graphsim.passes import unroll
from graphsim.schedule import fewer, fold, latency
from graphsim.schedule import small as searches
from graphsim.schedule.candidate import Work
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify import verify

#: Seeded graphs: "loops" have state, "circuits" are gates, some with registers, the others are nets.
KINDS: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "scheduler_cases.py"))["FAMILIES"]

#: Machines of each family, each of which holds some of those before it.
FAMILIES = {
    "line": ("1", "2", "3", "5"),
    "ring": ("1", "2", "3", "4", "5", "6"),
    "mesh": ("1x1", "1x2", "2x2", "3x2", "3x3"),
    "torus": ("1x1", "1x3", "2x3", "3x3", "4x3"),
    "full": ("1", "2", "3", "4"),
    "star": ("1", "2", "3", "5"),
    "tree": ("0x1", "1x1", "1x2", "2x2", "2x3"),
    "fat_tree": ("0", "1", "2", "3"),
    "hypercube": ("0", "1", "2", "3"),
}

#: (family, smaller, larger, kind and seed of the graph, settings): the search alone finds longer periods on the larger.
LONGER = (
    ("line", "1", "2", "loops", 3, "frame_bits=1,macs_per_tick=1,latency=1"),
    ("mesh", "1x1", "2x2", "loops", 135, "frame_bits=1,macs_per_tick=4,latency=0"),
    ("full", "1", "2", "loops", 123, "frame_bits=1,macs_per_tick=4,latency=2"),
    ("star", "2", "3", "circuits", 22, "frame_bits=1,macs_per_tick=1,latency=0"),
    ("star", "3", "4", "circuits", 184, "frame_bits=64,macs_per_tick=1,latency=1"),
    ("tree", "1x3", "2x3", "circuits", 202, "frame_bits=64,macs_per_tick=1,latency=3"),
    ("fat_tree", "0", "2", "loops", 207, "frame_bits=1,macs_per_tick=1,latency=1"),
)


def graph_of(kind: str, seed: int) -> Graph:
    made: Graph = KINDS[kind](f"{kind}{seed}", np.random.default_rng(seed))
    return made


def work_on(graph: Graph, machine: Machine) -> Work:
    return Work(Costs(graph, machine), unroll(graph))


@given(
    graphs(max_actors=30),
    st.sampled_from(sorted(FAMILIES)),
    st.sampled_from([1, 8, 64]),
    st.sampled_from([1, 16]),
    st.integers(0, 3),
)
@settings(max_examples=30)
def test_more_nodes_never_give_a_longer_period(graph: Graph, family: str, bits: int, macs: int, away: int) -> None:
    chosen = f"frame_bits={bits},macs_per_tick={macs},latency={away}"
    found = [fold(graph, load_machine(f"{family}:{size},{chosen}")) for size in FAMILIES[family]]
    assert all(verify(graph, schedule).ok for schedule in found)
    periods = [schedule.period for schedule in found]
    assert periods == sorted(periods, reverse=True)


@pytest.mark.parametrize(("family", "few", "more", "kind", "seed", "chosen"), LONGER)
def test_where_the_search_alone_breaks_the_rule(
    family: str, few: str, more: str, kind: str, seed: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "able", lambda _: False)  # which has better schedules of some
    monkeypatch.setattr(seats, "MOST", 0)  # likewise
    monkeypatch.setattr(import_module("graphsim.schedule.fold"), "_better", lambda graph, best, search: best)
    graph = graph_of(kind, seed)
    small, large = (fold(graph, load_machine(f"{family}:{size},{chosen}")) for size in (few, more))
    assert verify(graph, large).ok, verify(graph, large).violations
    assert large.period <= small.period
    monkeypatch.setattr(fewer, "_hopeful", lambda *_: [])
    alone = fold(graph, load_machine(f"{family}:{more},{chosen}"))
    assert alone.period > small.period, "the case no longer tells the two apart"


@pytest.mark.parametrize("spec", ["ring:6", "torus:3x2x3", "tree:2x3", "star:4", "fat_tree:2", "mesh:2x3"])
@pytest.mark.parametrize("kind", ["layered", "multicasts", "circuits", "loops"])
def test_schedules_of_all_members_are_schedules_of_the_machine(kind: str, spec: str) -> None:
    graph, machine = graph_of(kind, 5), load_machine(f"{spec},frame_bits=16")
    work = work_on(graph, machine)
    bound = lower_bound(work.costs)
    count = 0
    for _, name in smaller(machine, left_open=True)[1:]:
        one = member(machine, name)
        assert one is not None
        small = fold(graph, one.machine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fewer, "_timed_again", lambda *_: None)  # nothing but putting off
            delayed = _translated(work, bound, one, small)
        found = _translated(work, bound, one, small)
        for schedule in (delayed, found):
            if schedule is None:
                assert kind == "loops" and not one.direct
                continue
            assert verify(graph, schedule).ok, verify(graph, schedule).violations
            assert schedule.period == small.period
            assert schedule.machine == machine
            count += 1
        if delayed is not None and one.direct:
            assert (delayed.period, latency(graph, delayed)) == (small.period, latency(graph, small))
    assert count


def _translated(work: Work, bound: Any, one: Member, small: Schedule) -> Schedule | None:
    """The translated schedule, None where a loop has no time for it."""
    try:
        return fewer.translated(work, bound, one, small)
    except InfeasibleError:
        return None


def test_a_loop_without_time_for_the_longer_way_round_stays_on_a_line_or_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searches, "able", lambda _: False)  # which has better schedules of both
    monkeypatch.setattr(seats, "MOST", 0)  # likewise
    graph = graph_of("loops", 63)
    chosen = "frame_bits=8,macs_per_tick=4,latency=0"
    small, large = (fold(graph, load_machine(f"ring:{size},{chosen}")) for size in (3, 4))
    assert (small.period, large.period) == (20, 20)
    assert "folded as onto line:4, inside ring:4" in large.remark
    monkeypatch.setattr(fewer, "smaller", lambda machine, left_open: smaller(machine))  # no lines
    large = fold(graph, load_machine(f"ring:4,{chosen}"))
    assert large.period == 21
    assert "ring:3 has a period of 20 ticks, not to be had here: firings of a loop wait" in large.remark


def test_the_least_of_all_members_is_taken() -> None:
    graph, machine = graph_of("layered", 7), load_machine("torus:3x4,frame_bits=2")
    work = work_on(graph, machine)
    bound = lower_bound(work.costs)
    periods: list[int] = []

    def search(one: Machine, _: int | None) -> Schedule:
        periods.append(fold(graph, one).period)
        return fold(graph, one)

    best = fewer.shortest(work, bound, None, search)
    assert best is not None
    assert len(periods) == 11
    assert best.period == min(periods)


@given(graphs(max_actors=30), st.sampled_from([1, 8]), st.sampled_from(["ring:5", "mesh:2x3", "star:4"]))
@settings(max_examples=10)
def test_what_need_not_be_found_changes_nothing_that_is(graph: Graph, bits: int, spec: str) -> None:
    """A search for something shorter than T finds what one without T finds, or nothing if that is no shorter."""
    from graphsim.schedule.fold import _searched

    machine = load_machine(f"{spec},frame_bits={bits},macs_per_tick=16")
    work = work_on(graph, machine)
    bound = lower_bound(work.costs)

    def period(below: int | None) -> int | None:
        found = _searched(work, "contiguous", 0, lambda: None, bound, below)
        return None if found is None else found.period

    plain = period(None)
    assert plain is not None
    assert period(plain + 1) == plain
    assert (period(plain) or plain) >= plain
    assert period(2 * plain) == plain


def test_a_machine_that_is_no_built_in_has_no_members() -> None:
    machine = load_machine("ring:4")
    assert smaller(dataclasses.replace(machine, topology="")) == []
    assert smaller(dataclasses.replace(machine, links=machine.links[1:])) == []


def test_large_graphs_are_held_against_members_with_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    work = work_on(mlp(8, 8, 4), load_machine("mesh:3x5"))
    some = fewer._hopeful(work, None)
    assert "mesh:3x3" in some and "mesh:1x1" in some
    monkeypatch.setattr(fewer, "MOST", 1)
    assert fewer._hopeful(work, None) == [n for n in some if "3" not in n and "5" not in n]


def test_what_does_not_fit_on_all_nodes_may_fit_on_fewer() -> None:
    # On two nodes more frames cross the link than its calendar lists; one node needs none.
    graph, chosen = mlp(40, 8, 4), "calendar_entries=4,frame_bits=8"
    schedule = fold(graph, load_machine(f"full:2,{chosen}"))
    assert verify(graph, schedule).ok
    assert schedule.period == fold(graph, load_machine(f"full:1,{chosen}")).period


@pytest.mark.parametrize(
    "spec",
    [
        "line:5",
        "ring:5",
        "mesh:3x4",
        "mesh:2x3x2",
        "torus:4x3",
        "torus:3x4x3",
        "full:5",
        "star:5",
        "tree:3x3",
        "fat_tree:3",
        "hypercube:4",
    ],
)
def test_members_are_the_machines_of_their_names(spec: str) -> None:
    chosen = "frame_bits=48,latency=3,frames_per_tick=2,macs_per_tick=7,memory_bytes=100000"
    machine = load_machine(f"{spec},{chosen}")
    for nodes, name in smaller(machine, left_open=True):
        one = member(machine, name)
        assert one is not None
        own = load_machine(f"{name},{chosen}")
        assert nodes == len(own.compute_nodes)
        assert one.machine.links == own.links
        assert [dataclasses.replace(a, name=b.name) for a, b in zip(one.machine.nodes, own.nodes, strict=True)] == list(
            own.nodes
        )
        assert list(one.node) == sorted(set(one.node)) and one.node[0] == machine.host
        used = list(itertools.chain.from_iterable(one.path))
        assert len(used) == len(set(used)), "two links of a member share one of the machine"
        inner: list[int] = []
        for link, path in zip(own.links, one.path, strict=True):
            way = [machine.links[path[0]].src, *(machine.links[i].dst for i in path)]
            assert (way[0], way[-1]) == (one.node[link.src], one.node[link.dst])
            assert all(machine.links[a].dst == machine.links[b].src for a, b in itertools.pairwise(path))
            inner += way[1:-1]
        assert not set(inner) & set(one.node)


def test_members_have_the_settings_that_they_have_in_the_machine() -> None:
    machine = load_machine("ring:5")
    quick = dataclasses.replace(machine.nodes[1], macs_per_tick=9)
    wide = dataclasses.replace(machine.links[1], frame_bits=128)
    changed = dataclasses.replace(
        machine, nodes=(machine.nodes[0], quick, *machine.nodes[2:]), links=(machine.links[0], wide, *machine.links[2:])
    )
    assert [len(one.path) if (one := member(changed, f"ring:{n}")) else None for n in (1, 2, 3, 4)] == [
        0,
        2,
        None,
        None,
    ]
    two = member(changed, "ring:2")
    assert two is not None
    assert two.machine.nodes[1] == quick
    assert member(dataclasses.replace(machine, host=3), "ring:3") is None
