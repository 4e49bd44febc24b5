"""Folding: every schedule passes the independent verifier, at the period that placement and routes allow."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_cases import machines
from strategies import graphs

from graphsim.errors import GraphError, InfeasibleError, PlacementError
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.schedule import fold, latency
from graphsim.schedule.store import save
from graphsim.schedule.verify import verify

#: The machines on which the period must be within 2 % of its bound.
MACHINES = ("line:8", "torus:4x4", "torus:8x8", "hypercube:4", "full:16", "star:16", "fat_tree:4")


@given(graphs(), machines())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_fold_onto_random_machines(graph: Graph, machine) -> None:  # type: ignore[no-untyped-def]
    schedule = fold(graph, machine)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period


@given(graphs(), machines(), st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_placement_gets_a_schedule(graph: Graph, machine, data) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="placement seed"))
    node = rng.choice(machine.compute_nodes, graph.actor_count).astype(np.int32)
    for group in (*graph.sources, *graph.sinks):
        node[graph.first[group] : graph.first[group + 1]] = machine.host
    schedule = fold(graph, machine, placement=node)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert np.array_equal(schedule.node, node)


@pytest.mark.parametrize("name", MACHINES)
def test_the_period_of_the_mnist_net_is_within_two_percent_of_its_bound(name: str) -> None:
    graph = mlp()
    schedule = fold(graph, load_machine(name))
    assert verify(graph, schedule).ok
    assert schedule.period <= 1.02 * schedule.bound.ticks


def test_large_graphs_that_no_schedule_is_found_for_are_refused_after_two_placements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folding = import_module("graphsim.schedule.fold")
    graph, machine = mlp(40, 8, 4), load_machine("ring:7,calendar_entries=1,memory_bytes=800")
    tried: list[int] = []
    with pytest.raises(InfeasibleError, match="calendar"):
        fold(graph, machine, progress=tried.append)
    everywhere = len(tried)
    tried.clear()
    monkeypatch.setattr(folding, "_PLACED", 10)
    monkeypatch.setattr(folding, "_PLACED_IN_VAIN", 100)
    with pytest.raises(InfeasibleError, match="calendar"):
        fold(graph, machine, progress=tried.append)
    assert len(tried) == 2 < everywhere


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(fold(mlp(), load_machine("torus:3x3")), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_late_layer_does_not_slip_a_whole_period() -> None:
    # Nodes with a logit are busy in every tick: the logit must wait for one hidden neuron of the next image (785 ticks)
    # after the last hidden neuron has ended, and no longer.
    graph = mlp()
    schedule = fold(graph, load_machine("torus:4x4"))
    assert latency(graph, schedule) < 6409 + 785 + 129 + 300


@pytest.mark.parametrize("strategy", ["one-to-one", "greedy", "hypergraph"])
def test_other_strategies_make_valid_schedules(strategy: str) -> None:
    graph = mlp(30, 12, 4)
    if strategy == "hypergraph":
        pytest.importorskip("mtkahypar")
    schedule = fold(graph, load_machine("torus:6x6"), strategy=strategy)
    assert verify(graph, schedule).ok
    assert schedule.strategy == strategy
    if strategy == "one-to-one":
        others = schedule.node[graph.first[2] : graph.first[8]]
        assert len(set(others.tolist())) == len(others)
        assert schedule.machine.host not in others


@pytest.mark.parametrize("strategy", ["greedy", "hypergraph"])
@given(graph=graphs(max_actors=40), machine=machines())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_other_strategies_take_random_graphs(strategy: str, graph: Graph, machine) -> None:  # type: ignore[no-untyped-def]
    if strategy == "hypergraph":
        pytest.importorskip("mtkahypar")
    schedule = fold(graph, machine, strategy=strategy)
    assert verify(graph, schedule).ok


def test_all_strategies_balance_the_mnist_net_alike() -> None:
    pytest.importorskip("mtkahypar")
    graph, machine = mlp(), load_machine("torus:4x4")
    periods = {strategy: fold(graph, machine, strategy=strategy).period for strategy in ("greedy", "hypergraph")}
    assert periods == {"greedy": 6409, "hypergraph": 6409}


def test_one_to_one_says_how_many_nodes_are_missing() -> None:
    with pytest.raises(PlacementError, match=r"one-to-one needs 160 nodes beside the host.*full:16 has 15"):
        fold(mlp(), load_machine("full:16"), strategy="one-to-one")


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlacementError, match="contiguous, one-to-one, hypergraph, greedy"):
        fold(mlp(4, 4, 2), load_machine("full:2"), strategy="metis")


def test_too_little_memory_for_parameters_is_named() -> None:
    with pytest.raises(PlacementError, match=r"dense has 401,920 bytes of parameters; the 4 nodes have 40,000 bytes"):
        fold(mlp(), load_machine("full:4,memory_bytes=10000"))


def test_too_little_memory_for_tokens_is_named_with_the_shortfall() -> None:
    graph = mlp(64, 8, 2)
    need = 4 * (8 * 65 + 2 * 9)
    with pytest.raises(InfeasibleError, match=r"node n0: memory: .* too few"):
        fold(graph, load_machine(f"full:1,memory_bytes={need + 100}"))


def test_too_small_calendars_are_named_with_the_shortfall() -> None:
    graph = mlp(64, 8, 2)
    node = np.zeros(graph.actor_count, np.int32)
    node[graph.first[2] : graph.first[3]] = 1
    message = r"link n0->n1: calendar: 32 frames per period, it has 20 entries: 12 too few"
    with pytest.raises(InfeasibleError, match=message):
        fold(graph, load_machine("line:2,calendar_entries=20"), placement=node)


def test_small_calendars_are_avoided_where_placement_is_free() -> None:
    graph = mlp(64, 8, 2)
    schedule = fold(graph, load_machine("line:2,calendar_entries=20"))
    assert verify(graph, schedule).ok
    assert set(schedule.node.tolist()) == {0}


def test_graphs_with_other_rates_are_refused() -> None:
    graph = mlp(4, 4, 2)
    channels = [dataclasses.replace(c, produce=2, consume=2) if (c.src, c.dst) == (2, 3) else c for c in graph.channels]
    with pytest.raises(GraphError, match=r"dense -> dense_1 \(port 0\): rates 2:2; only a serial makes"):
        fold(Graph("rates", graph.groups, channels, graph.params), load_machine("full:2"))


def test_input_actors_may_sit_elsewhere() -> None:
    graph = mlp(16, 4, 2)
    node = np.zeros(graph.actor_count, np.int32)
    node[graph.first[1] : graph.first[2]] = np.arange(16) % 4
    schedule = fold(graph, load_machine("ring:4"), placement=node)
    assert verify(graph, schedule).ok
    assert schedule.strategy == "file"


def test_pixels_reach_all_nodes_over_all_links_of_the_host() -> None:
    schedule = fold(mlp(), load_machine("torus:4x4"))
    out = [int(np.count_nonzero(schedule.hop_link == link)) for link in schedule.machine.out_links(0)]
    # 392 frames over 4 links are 98 each at best; one shortest-path tree would send all of them over every link.
    assert max(out) <= 130


def test_progress_counts_candidates() -> None:
    seen: list[int] = []
    fold(mlp(8, 6, 2), load_machine("full:4"), progress=seen.append)
    assert seen == list(range(1, len(seen) + 1)) and seen
