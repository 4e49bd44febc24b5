"""The machine that is made for a graph: a node per actor, a link wherever tokens go from node to node, and no other."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from circuits import circuits
from graphs import mlp, rnn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import graphs
from typer.testing import CliRunner

from graphsim.cli.app import app
from graphsim.errors import MachineError, PlacementError
from graphsim.graph import Dense, Graph, Group
from graphsim.graph.circuit import to_graph
from graphsim.machine import Machine, load_machine, needs_graph, parse_machine
from graphsim.machine.one_to_one import one_to_one_nodes
from graphsim.schedule import fold
from graphsim.schedule.verify import verify


def links(machine: Machine) -> set[tuple[int, int]]:
    return {(link.src, link.dst) for link in machine.links}


def communicating(graph: Graph) -> set[tuple[int, int]]:
    """Pairs of nodes of which one feeds the other, edge by edge."""
    node = one_to_one_nodes(graph).tolist()
    pairs = {(node[edge.producer], node[actor.id]) for actor in graph for edge in actor.inputs}
    return {(a, b) for a, b in pairs if a != b}


def test_the_mnist_net_has_140_nodes() -> None:
    graph = mlp()
    machine = load_machine("one-to-one", graph)
    assert [spec.name for spec in machine.nodes[:2]] == ["host", "dense.0"]
    assert len(machine.nodes) == 1 + 128 + 10 + 1
    assert len(machine.links) == 128 + 1280 + 10
    assert links(machine) == communicating(graph)
    assert (machine.host, machine.sink_host) == (0, 139)
    assert {spec.ticks_per_firing for spec in machine.nodes} == {1}
    assert {(link.frame_bits, link.latency, link.frames_per_tick) for link in machine.links} == {(128, 0, 1)}
    assert {int(v) for v in one_to_one_nodes(graph)[graph.actor("dense_1[9]").id + 1 :]} == {139}


def test_with_multicast_the_host_has_one_link() -> None:
    graph = mlp()
    machine = load_machine("one-to-one:multicast", graph)
    assert [machine.nodes[v].name for v in machine.switches] == ["s0"]
    assert [machine.link_name(link) for link in machine.out_links(machine.host)] == ["host->s0"]
    assert len(machine.out_links(machine.node_id("s0"))) == 128
    direct = load_machine("one-to-one", graph)
    assert {pair for pair in links(machine) if 140 not in pair} == {pair for pair in links(direct) if 0 not in pair}


def test_settings_follow_the_name() -> None:
    machine = load_machine("one-to-one,frame_bits=32,latency=3,ticks_per_firing=2", mlp(4, 3, 2))
    assert {(link.frame_bits, link.latency) for link in machine.links} == {(32, 3)}
    assert {spec.ticks_per_firing for spec in machine.nodes} == {2}
    assert machine.name == "one-to-one,frame_bits=32,latency=3,ticks_per_firing=2"


@pytest.mark.parametrize(
    "spec", ["one-to-one", "one-to-one:multicast", "torus:2x2", "torus:2x2,latency=3", "star:3,frame_bits=64"]
)
def test_frame_bits_are_an_option_of_every_machine(spec: str) -> None:
    if "frame_bits" in spec:
        with pytest.raises(MachineError, match="frame_bits is set twice"):
            load_machine(spec, mlp(4, 3, 2), frame_bits=24)
        return
    machine = load_machine(spec, mlp(4, 3, 2), frame_bits=24)
    assert {link.frame_bits for link in machine.links} == {24}


def test_frame_bits_change_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('topology = "ring:3"\n[link]\nframe_bits = 8\nlatency = 2\n')
    assert {(link.frame_bits, link.latency) for link in load_machine(str(path), None, 96).links} == {(96, 2)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(max_actors=40) | circuits(registers=4, gates=25).map(to_graph), st.booleans())
def test_links_are_where_tokens_go(graph: Graph, multicast: bool) -> None:
    machine = load_machine("one-to-one:multicast" if multicast else "one-to-one", graph)
    wanted = communicating(graph)
    found = links(machine)
    if multicast:
        switch = machine.node_id("s0")
        through = {(0, b) for a, b in found if a == switch}
        assert {a for a, b in found if b == switch} == {0}
        found = {pair for pair in found if switch not in pair} | through
    assert wanted <= found
    # Others are there only so that every node has a way from the host and to the sinks.
    bare = nx.DiGraph(sorted(wanted))
    bare.add_nodes_from([0, machine.sink_host])
    for a, b in found - wanted:
        assert a == 0 or b == machine.sink_host
        no_way_in = b not in nx.descendants(bare, 0)
        no_way_out = a not in nx.ancestors(bare, machine.sink_host)
        assert no_way_in if a == 0 and b != machine.sink_host else no_way_in or no_way_out
    assert verify(graph, fold(graph, machine)).ok


@pytest.mark.parametrize("graph", [mlp(6, 5, 3), rnn(3, 2, 4)], ids=["mlp", "rnn"])
def test_it_is_written_down_with_its_nodes_and_links(graph: Graph) -> None:
    machine = load_machine("one-to-one,latency=2", graph)
    assert parse_machine(machine.to_toml()) == machine
    assert "sink_host" in machine.to_toml()


def test_a_file_may_name_it(tmp_path: Path) -> None:
    path = tmp_path / "made.toml"
    path.write_text('topology = "one-to-one"\n[[node_override]]\nnodes = ["dense.1"]\nticks_per_firing = 5\n')
    graph = mlp(4, 3, 2)
    assert needs_graph(str(path))
    assert not needs_graph("torus:2x2")
    machine = load_machine(str(path), graph)
    assert machine.nodes[machine.node_id("dense.1")].ticks_per_firing == 5
    assert fold(graph, machine).strategy == "one-to-one"


def test_names_that_clash_or_are_too_long_become_numbers() -> None:
    graph = layers([(name, 2) for name in ("host", "a/b", "a_b", "_9", "l" * 63)])
    machine = load_machine("one-to-one", graph)
    assert [spec.name for spec in machine.nodes] == [
        "host", "host.0", "host.1", "a_b.0", "a_b.1", "g4.0", "g4.1", "_9.0", "_9.1", "g6.0", "g6.1", "sink",
    ]  # fmt: skip


def layers(sizes: list[tuple[str, int]]) -> Graph:
    """Layers of sums, each reading all of the one before."""
    groups = [Group(name="source", op="source"), Group(name="x", op="input", shape=(1,))]
    groups += [Group(name=name, op="sum", shape=(size,)) for name, size in sizes]
    groups.append(Group(name="sink", op="collect"))
    return Graph("layers", groups, [Dense(src=i, dst=i + 1) for i in range(len(groups) - 1)], {})


def test_a_graph_of_100_000_actors_is_too_large() -> None:
    with pytest.raises(MachineError) as caught:
        load_machine("one-to-one", layers([("y", 100_000)]))
    assert str(caught.value) == (
        "one-to-one: topology: layers has 100,000 actors that each need a node; a machine has at most 65,536 "
        "nodes, 2 of which are taken; fold it onto fewer, for example torus:16x16"
    )


def test_too_many_links_are_refused() -> None:
    graph = layers([("a", 1100), ("b", 1100)])
    with pytest.raises(MachineError, match="the actors of layers need 1,212,200 direct links; a machine has at most"):
        load_machine("one-to-one", graph)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("one-to-one", "is made for a graph, and there is none here; graphsim run and graphsim fold have one"),
        ("one-to-one:multi", "there are one-to-one and one-to-one:multicast"),
        ("one-to-one,latncy=3", r"no setting 'latncy' \(did you mean 'latency'"),
        ("one-to-one,sink_host=n7", "no node is called 'n7'"),
    ],
)
def test_what_is_wrong_is_said(spec: str, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        load_machine(spec, None if spec == "one-to-one" else mlp(4, 3, 2))


def test_it_takes_its_own_placement_only() -> None:
    graph = mlp(4, 3, 2)
    machine = load_machine("one-to-one", graph)
    with pytest.raises(PlacementError, match="has the links of its own placement, not those of greedy"):
        fold(graph, machine, strategy="greedy")
    with pytest.raises(PlacementError, match="is made for a graph with 5 actors on nodes of their own"):
        fold(mlp(4, 4, 2), machine)


def test_a_placement_without_a_way_is_refused() -> None:
    graph = mlp(4, 3, 2)
    machine = load_machine("one-to-one", graph)
    node = one_to_one_nodes(graph)
    first, second = (graph.actor(name).id for name in ("dense[0]", "dense_1[0]"))
    node[[first, second]] = node[[second, first]]
    with pytest.raises(Exception, match="no path of links leads from node") as caught:
        fold(graph, machine, placement=np.asarray(node, np.int32))
    assert type(caught.value).__name__ == "InfeasibleError"


def test_the_machine_of_a_model_is_shown() -> None:
    result = CliRunner().invoke(app, ["machines", "one-to-one", "--graph", "models/digits_mlp.h5"])
    assert result.exit_code == 0, result.output
    assert "44 compute nodes" in result.output
    assert "sink: sinks sit here" in result.output
    assert "one-to-one[:multicast]" in CliRunner().invoke(app, ["machines"]).output
