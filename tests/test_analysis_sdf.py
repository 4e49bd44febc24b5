"""Timed dataflow: repetition vectors, deadlock, throughput, buffers, schedules; each against another way to it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from dataflow import consistent
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import lenet5

from graphsim.analysis.sdf.buffers import smallest_capacity, tradeoff
from graphsim.analysis.sdf.convert import homogeneous, of_graph
from graphsim.analysis.sdf.rates import check_alive, repetition_vector
from graphsim.analysis.sdf.schedules import latency, schedule
from graphsim.analysis.sdf.selftimed import SelfTimed, period_by_states
from graphsim.analysis.sdf.throughput import throughput
from graphsim.errors import DeadlockError, GraphError, InconsistentError
from graphsim.graph.sdf import Flow, TimedGraph, timed_graph
from graphsim.machine import load_machine


@given(consistent())
def test_a_repetition_vector_balances_every_channel_and_is_the_least(graph: TimedGraph) -> None:
    found = repetition_vector(graph)
    for c in range(graph.channel_count):
        assert graph.produced(c)[0] * found[graph.src[c]] == graph.consumed(c)[0] * found[graph.dst[c]]
    assert np.gcd.reduce(found) == 1
    assert found.min() >= 1


def test_rates_that_nothing_balances_are_named() -> None:
    graph = timed_graph("g", {"a": 1, "b": 1}, [Flow("a", "b", 2, 1), Flow("a", "b", 1, 1, name="second")])
    with pytest.raises(InconsistentError, match=r"second \(a -> b\)"):
        repetition_vector(graph)


def test_a_deadlock_names_the_actors_that_wait() -> None:
    flows = [Flow("s", "a"), Flow("a", "b", 1, 2), Flow("b", "c"), Flow("c", "a", 2, 1, tokens=1)]
    graph = timed_graph("g", dict.fromkeys("sabc", 1), flows)
    with pytest.raises(DeadlockError) as caught:
        throughput(graph)
    assert set(caught.value.cycle) == {"a", "b", "c"}
    assert "initial tokens" in str(caught.value)


def test_a_deadlock_names_channels_and_the_tick() -> None:
    flows = [Flow("s", "a"), Flow("a", "b", 1, 2), Flow("b", "c"), Flow("c", "a", 2, 1, tokens=1, name="back")]
    with pytest.raises(DeadlockError) as caught:
        throughput(timed_graph("g", {"s": 1, "a": 5, "b": 1, "c": 1}, flows))
    assert str(caught.value).splitlines() == [
        "g: deadlock: a waits for c waits for b waits for a",
        # a's only firing begins when s has ended.
        "  since tick 6: a waits with firing 1 for channel back (c -> a), which holds 0 of 1 tokens",
        "  since tick 6: c waits with firing 0 for channel b->c (b -> c), which holds 0 of 1 tokens",
        "  since tick 6: b waits with firing 0 for channel a->b (a -> b), which holds 1 of 2 tokens",
        "one of these channels needs more initial tokens",
    ]


@given(consistent(tied=True))
@settings(max_examples=300, deadline=None)
def test_throughput_is_that_of_the_simulation(graph: TimedGraph) -> None:
    try:
        expected = period_by_states(graph)
    except DeadlockError:
        with pytest.raises(DeadlockError):
            throughput(graph)
        return
    assert throughput(graph).period == expected


@st.composite
def phased(draw: st.DrawFn) -> TimedGraph:
    """Cyclo-static graphs of two actors, tied both ways."""
    phases = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rate = st.integers(0, 3)
    produce = draw(st.lists(rate, min_size=phases[0], max_size=phases[0]).filter(any))
    consume = draw(st.lists(rate, min_size=phases[1], max_size=phases[1]).filter(any))
    ticks = [draw(st.lists(st.integers(1, 9), min_size=p, max_size=p)) for p in phases]
    forth = Flow("a", "b", produce, consume, draw(st.integers(0, 6)))
    back = Flow("b", "a", consume, produce, draw(st.integers(0, 12)))
    return timed_graph("g", {"a": ticks[0], "b": ticks[1]}, [forth, back], concurrency=draw(st.integers(0, 2)))


@given(phased())
@settings(max_examples=300, deadline=None)
def test_throughput_of_phases_is_that_of_the_simulation(graph: TimedGraph) -> None:
    try:
        check_alive(graph, repetition_vector(graph))
    except DeadlockError:
        with pytest.raises(DeadlockError):
            throughput(graph)
        return
    try:
        expected = period_by_states(graph, most=5_000)
    except GraphError:
        assume(False)
    assert throughput(graph).period == expected


def test_a_period_may_be_a_fraction() -> None:
    graph = timed_graph("g", {"a": 3, "b": 4}, [Flow("a", "b"), Flow("b", "a", tokens=2)], concurrency=0)
    found = throughput(graph)
    assert found.period == Fraction(7, 2)
    assert found.iterations_per_tick == Fraction(2, 7)


def test_nothing_limits_actors_that_may_overlap_without_a_cycle() -> None:
    assert throughput(timed_graph("g", {"a": 3, "b": 4}, [Flow("a", "b")], concurrency=0)).period == 0
    assert throughput(timed_graph("g", {"a": [3, 1], "b": 4}, [], concurrency=0)).period == 0


@given(consistent(tied=True))
@settings(max_examples=60, deadline=None)
def test_the_expansion_has_the_same_period(graph: TimedGraph) -> None:
    try:
        period = throughput(graph).period
    except DeadlockError:
        return
    expanded = homogeneous(graph)
    assert expanded.homogeneous
    assert throughput(expanded).period == period


@given(consistent(tied=True), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_a_schedule_keeps_all_that_waits_apart(graph: TimedGraph, processors: int) -> None:
    try:
        found = schedule(graph, processors)
    except DeadlockError:
        return
    order = np.lexsort((found.start, found.processor))
    same = np.diff(found.processor[order]) == 0
    assert (found.start[order][1:] >= found.end[order][:-1])[same].all()
    tokens = graph.tokens.copy()
    events = sorted([(e, 0, i) for i, e in enumerate(found.end)] + [(s, 1, i) for i, s in enumerate(found.start)])
    for _, starts, i in events:
        actor = found.actor[i]
        for c in range(graph.channel_count):
            if not starts and graph.src[c] == actor:
                tokens[c] += graph.produced(c)[0]
            if starts and graph.dst[c] == actor:
                tokens[c] -= graph.consumed(c)[0]
                assert tokens[c] >= 0
    assert (tokens == graph.tokens).all()
    assert found.period >= latency(graph)
    assert found.period >= throughput(graph).period


def test_one_processor_takes_as_long_as_all_firings() -> None:
    graph = timed_graph("g", {"a": 2, "b": 3}, [Flow("a", "b", 3, 2)])
    assert schedule(graph, 1).period == 2 * 2 + 3 * 3


@given(consistent(tied=True))
@settings(max_examples=100, deadline=None)
def test_latency_is_that_of_the_simulation(graph: TimedGraph) -> None:
    repetition = repetition_vector(graph)
    try:
        found = latency(graph)
    except DeadlockError:
        return
    left, last = int(repetition.sum()), 0
    for firing in SelfTimed(graph).firings():
        if firing.number < repetition[firing.actor]:
            left, last = left - 1, max(last, firing.end)
            if not left:
                break
    assert found == last


def bounded(graph: TimedGraph, capacity: dict[int, int]) -> TimedGraph:
    """The graph with a channel of free space beside each channel that is bounded."""
    names = graph.actor_names
    ends = [(names[a], names[b]) for a, b in zip(graph.src, graph.dst, strict=True)]
    flows = [
        Flow(*ends[c], graph.produced(c), graph.consumed(c), int(graph.tokens[c]), f"c{c}")
        for c in range(graph.channel_count)
    ]
    flows += [
        Flow(*ends[c][::-1], graph.consumed(c), graph.produced(c), size - int(graph.tokens[c]), f"s{c}")
        for c, size in capacity.items()
    ]
    ticks = {name: graph.firing_ticks(a) for a, name in enumerate(names)}
    return timed_graph("g", ticks, flows, concurrency=dict(zip(names, graph.concurrency.tolist(), strict=True)))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_buffers_are_the_least_of_all_that_there_are(data: st.DataObject) -> None:
    """Against every distribution up to the total of the last point, each simulated."""
    rate = st.integers(1, 3)
    ticks = {name: data.draw(st.integers(1, 5)) for name in "abc"}
    flows = [Flow("a", "b", data.draw(rate), data.draw(rate)), Flow("b", "c", data.draw(rate), data.draw(rate))]
    graph = timed_graph("g", ticks, flows)
    found = tradeoff(graph)
    assert found.complete
    assert found.points[-1].period == throughput(graph).period
    most = found.points[-1].total
    assume(most <= 24)
    best: dict[int, Fraction] = {}
    for x in range(1, most):
        for y in range(1, most - x + 1):
            try:
                period = period_by_states(bounded(graph, {0: x, 1: y}))
            except DeadlockError:
                continue
            best[x + y] = min(period, best.get(x + y, period))
    front: list[tuple[int, Fraction]] = []
    for total in sorted(best):
        if not front or best[total] < front[-1][1]:
            front.append((total, best[total]))
    assert [(p.total, p.period) for p in found.points] == front


def test_a_smallest_capacity_is_what_the_rates_ask_for() -> None:
    graph = timed_graph("g", {"a": 1, "b": 1}, [Flow("a", "b", 4, 6, tokens=1)])
    assert smallest_capacity(graph, 0) == (4 + 6 - 2 + 1, 2)
    phased = timed_graph("g", {"a": 1, "b": 1}, [Flow("a", "b", [2, 4], 2, tokens=1)])
    assert smallest_capacity(phased, 0) == (4 + 1, 2)


def test_buffers_of_a_graph_that_nothing_limits_are_refused() -> None:
    graph = timed_graph("g", {"a": 1, "b": 1}, [Flow("a", "b")], concurrency=0)
    with pytest.raises(GraphError, match="limit concurrency"):
        tradeoff(graph)


def test_buffers_of_more_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Iterations that are too long are refused before they are expanded; a search that meets too much is cut off."""
    long = timed_graph("long", {"a": 1, "b": 1}, [Flow("a", "b", 3_000_000, 3_000_001)])
    with pytest.raises(GraphError, match=r"^long: an iteration has 12,000,002 dependences .* up to 10,000,000"):
        tradeoff(long)
    chain = timed_graph("g", dict.fromkeys("abcde", 3), [Flow(a, b, 2, 3) for a, b in pairwise("abcde")])
    whole = tradeoff(chain)
    monkeypatch.setattr("graphsim.analysis.sdf.buffers.MOST_HELD", 4 * 12)
    cut = tradeoff(chain)
    assert (whole.complete, whole.full, cut.complete, cut.full) == (True, False, False, True)
    assert cut.tried < whole.tried
    assert [(p.total, p.period) for p in cut.points] == [(p.total, p.period) for p in whole.points][: len(cut.points)]


def test_a_network_is_a_timed_graph_whose_period_is_its_dearest_neuron() -> None:
    graph = lenet5()
    timed = of_graph(graph, load_machine("line:1"))
    assert timed.channel_count == graph.edge_count
    assert throughput(timed).period == timed.ticks.max()
    assert throughput(replace(timed, concurrency=np.zeros(timed.actor_count, np.int64))).period == 0


def test_numbers_too_large_are_refused() -> None:
    with pytest.raises(GraphError, match="must be from 0 to 2"):
        timed_graph("g", {"a": 1 << 41}, [])
    with pytest.raises(GraphError, match="rates are 0 in all phases"):
        timed_graph("g", {"a": 1, "b": 1}, [Flow("a", "b", [0, 0], 1)])
    with pytest.raises(GraphError, match="2 phases; the actor has 3"):
        timed_graph("g", {"a": [1, 2, 3], "b": 1}, [Flow("a", "b", [1, 0], 1)])


@pytest.mark.parametrize("ratio", [(1 << 40, 1), (1 << 40, (1 << 40) - 1)])
def test_iterations_too_long_to_count_are_refused(ratio: tuple[int, int]) -> None:
    actors = [f"a{i}" for i in range(3000)]
    chain = [Flow(a, b, *ratio) for a, b in pairwise(actors)]
    with pytest.raises(GraphError, match="too many to count"):
        repetition_vector(timed_graph("g", dict.fromkeys(actors, 1), chain))


def test_firings_are_counted_together() -> None:
    leaves = [f"a{i}" for i in range(8)]  # 2**61 firings each: 2**64 in all, which 64 bits take for 0
    flows = [Flow("root", "b", 1 << 24, 1), *(Flow("b", leaf, 1 << 37, 1) for leaf in leaves)]
    with pytest.raises(GraphError, match="too many to count"):
        repetition_vector(timed_graph("g", dict.fromkeys(["root", "b", *leaves], 1), flows))


def test_overlapping_firings_with_too_many_dependences_are_refused() -> None:
    falling = list(range(20_000, 0, -1))
    graph = timed_graph("g", {"a": falling, "b": 1}, [Flow("a", "b", [1] * 20_000, [1] * 20_000)], concurrency=0)
    with pytest.raises(GraphError, match="actor a: 200,010,000 dependences on overlapping firings"):
        throughput(graph)


def test_phases_are_bounded_before_they_are_spread() -> None:
    flows = [Flow("a", "b", name=f"c{i}") for i in range(2000)]
    with pytest.raises(GraphError, match="phases of actors and of ends of channels"):
        timed_graph("g", {"a": [1] * 10_000, "b": 1}, flows)


def test_channels_of_one_name_are_numbered() -> None:
    graph = timed_graph("g", {"a": 1, "b": 1}, [Flow("a", "b"), Flow("a", "b"), Flow("b", "a", name="back")])
    assert graph.channel_names == ("a->b#0", "a->b#1", "back")
