"""Placement files, and the placements that strategies make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import mlp

from graphsim.analysis.costs import Costs
from graphsim.errors import PlacementError
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.place import contiguous, read_placement, write_placement

GRAPH = mlp(12, 6, 3)
MACHINE = load_machine("full:3")


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_a_written_placement_reads_back(tmp_path: Path, suffix: str) -> None:
    schedule = fold(GRAPH, load_machine("torus:3x3"))
    path = tmp_path / f"p.{suffix}"
    write_placement(GRAPH, schedule, path)
    assert np.array_equal(read_placement(path, GRAPH, schedule.machine), schedule.node)
    assert np.array_equal(fold(GRAPH, schedule.machine, placement=path).node, schedule.node)


def test_groups_ranges_and_single_actors_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "actors,node\ndense[0:4],n1\ndense[4],n2\n dense[5] , n0\ndense_1,n2\ndense_1.max,n0\n"
        "dense_1.exp,n0\ndense_1.sum,n0\n\ndense_1.softmax,n1\n"
    )
    node = read_placement(path, GRAPH, MACHINE)
    assert node[GRAPH.first[2] : GRAPH.first[3]].tolist() == [1, 1, 1, 1, 2, 0]
    assert node[GRAPH.first[3] : GRAPH.first[4]].tolist() == [2, 2, 2]
    assert set(node[: GRAPH.first[2]].tolist()) == {0}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "nodes\n", r"p\.csv:1: the first line must be: actors,node"),
        ("p.csv", "actors,node\ndense\n", r"p\.csv:2: 1 fields"),
        ("p.csv", "actors,node\ndense,n9\n", r"p\.csv:2: full:3: no node is called 'n9'"),
        ("p.csv", "actors,node\ndnse,n1\n", r"p\.csv:2: mlp has no group"),
        ("p.csv", "actors,node\ndense[4:9],n1\n", r"p\.csv:2: dense\[4:9\]: dense has actors 0 to 5"),
        ("p.csv", "actors,node\ndense[9],n1\n", r"p\.csv:2: dense\[9\] is outside the group's shape"),
        ("p.csv", "actors,node\ndense,n1\ndense[2],n0\n", r"p\.csv:3: dense\[2\] has a node already"),
        ("p.csv", "actors,node\ndense,n1\n", r"p\.csv: dense_1\[0\] and 10 more has no node"),
        ("p.csv", 'actors,node\n"dense\n', r"p\.csv:\d+: not CSV"),
        ("p.json", "{", r"p\.json:1: not JSON"),
        ("p.json", "[]", r"p\.json: must be an object with the keys"),
        ("p.json", '{"graphsim_placement": 1, "nodes": {"dense": 3}}', "must be a node's name"),
        ("p.json", '{"graphsim_placement": 1, "nodes": {"dense": "n0", "dense": "n1"}}', "stands there twice"),
        ("p.json", "[" * 100_000, r"p\.json: not JSON that can be read"),
        ("p.txt", "", r"p\.txt: a placement file is \.json or \.csv"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PlacementError, match=message):
        read_placement(tmp_path / name, GRAPH, MACHINE)


def test_sinks_stay_on_the_host_and_switches_stay_empty() -> None:
    machine = load_machine("star:3")
    node = np.zeros(GRAPH.actor_count, np.int32)
    node[-1] = 1
    with pytest.raises(PlacementError, match="sink is placed away from the host"):
        fold(GRAPH, machine, placement=node)
    node[-1], node[GRAPH.first[2]] = 0, 3
    with pytest.raises(PlacementError, match=r"dense\[0\] is placed on s0, a switch"):
        fold(GRAPH, machine, placement=node)


def test_layers_lie_in_contiguous_ranges_and_the_busiest_node_is_as_idle_as_can_be() -> None:
    graph, machine = mlp(), load_machine("torus:4x4")
    costs = Costs(graph, machine)
    node = contiguous(costs, machine.compute_nodes)
    hidden = node[graph.first[2] : graph.first[3]]
    assert np.all(np.diff(hidden) >= 0)
    assert np.bincount(hidden).tolist() == [8] * 16
    assert np.bincount(node, weights=costs.durations(node)).max() == 8 * 785 + 129


def test_slower_nodes_get_less() -> None:
    machine = load_machine("full:2")
    text = machine.to_toml() + '\n[[node_override]]\nnodes = ["n1"]\nmacs_per_tick = 3\n'
    from graphsim.machine import parse_machine

    graph = mlp(300, 40, 4)
    costs = Costs(graph, parse_machine(text))
    node = contiguous(costs, (0, 1))
    assert np.bincount(node[graph.first[2] : graph.first[3]]).tolist() == [10, 30]


def test_memory_limits_what_a_node_gets() -> None:
    graph = mlp(100, 20, 2)
    machine = load_machine("full:4,memory_bytes=2250")
    node = contiguous(Costs(graph, machine), machine.compute_nodes)
    assert np.bincount(node[graph.first[2] : graph.first[3]]).tolist() == [5, 5, 5, 5]
