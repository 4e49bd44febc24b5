from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp, rnn
from hypothesis import given, settings
from strategies import graphs

from graphsim.errors import GraphError
from graphsim.graph import Csr, Dense, Graph, Group, OneToOne, Ref, Table
from graphsim.graph.views import as_networkx, group_dot, to_dot, to_graphml


def materialised(graph: Graph) -> nx.MultiDiGraph:
    """The same graph made edge by edge from every channel's ``expand()``: the oracle of the view."""
    made = nx.MultiDiGraph(name=graph.name)
    for actor in graph:
        group = actor.group
        made.add_node(actor.id, name=actor.name, group=group.name, op=group.op, firings=group.firings)
    for channel in graph.channels:
        sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
        edges = channel.expand(*sizes, graph.params)
        for at, (src, dst) in enumerate(zip(edges.src.tolist(), edges.dst.tolist(), strict=True)):
            rates = {"produce": channel.produce, "consume": channel.consume}
            data: dict[str, float] = {"port": channel.port, "initial_tokens": channel.initial_tokens, **rates}
            if edges.weight is not None and channel.weight is not None:
                data["weight"] = float(graph.params[channel.weight.name].flat[edges.weight[at]])
            made.add_edge(int(graph.first[channel.src]) + src, int(graph.first[channel.dst]) + dst, **data)
    return made


def recurrent() -> Graph:
    """A group that feeds an earlier one through initial tokens, and one actor that feeds another three times."""
    params: dict[str, npt.NDArray[np.generic]] = {
        "t": np.array([[0, 0, 1], [1, 0, 0]], np.int32),
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "p": np.array([0, 0, 2], np.int64),
        "i": np.array([1, 1], np.int32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(2,)),
        Group(name="h", op="linear", shape=(2,)),
        Group(name="sink", op="collect"),
    ]
    channels = [
        Dense(src=0, dst=1),
        Table(src=1, dst=2, index="t", weight=Ref("w")),
        OneToOne(src=2, dst=2, port=1, initial_tokens=1),
        Csr(src=1, dst=2, port=2, indptr="p", index="i"),
        Dense(src=2, dst=3),
    ]
    return Graph("recurrent", groups, channels, params)


@settings(deadline=None, max_examples=40)
@given(graphs(max_actors=40, rates=True))
def test_the_view_is_the_graph_made_edge_by_edge(graph: Graph) -> None:
    view, made = as_networkx(graph), materialised(graph)
    assert dict(view.nodes(data=True)) == dict(made.nodes(data=True))
    assert sorted(view.edges(keys=True), key=str) == sorted(made.edges(keys=True), key=str)
    assert {(u, v, k): d for u, v, k, d in view.edges(keys=True, data=True)} == {
        (u, v, k): d for u, v, k, d in made.edges(keys=True, data=True)
    }
    assert {(u, v, k): d for u, v, k, d in view.in_edges(keys=True, data=True)} == {
        (u, v, k): d for u, v, k, d in made.in_edges(keys=True, data=True)
    }
    assert dict(view.in_degree()) == dict(made.in_degree())
    assert dict(view.out_degree()) == dict(made.out_degree())


ALGORITHMS: dict[str, Callable[[nx.MultiDiGraph], object]] = {
    "is_directed_acyclic_graph": nx.is_directed_acyclic_graph,
    "topological_generations": lambda g: [sorted(level) for level in nx.topological_generations(g)],
    "lexicographical_topological_sort": lambda g: list(nx.lexicographical_topological_sort(g)),
    "dag_longest_path_length": lambda g: nx.dag_longest_path_length(g, weight=None),
    "shortest_path_length": lambda g: dict(nx.all_pairs_shortest_path_length(g)),
    "descendants": lambda g: nx.descendants(g, 1),
    "ancestors": lambda g: nx.ancestors(g, g.number_of_nodes() - 1),
    "weakly_connected_components": lambda g: [sorted(c) for c in nx.weakly_connected_components(g)],
    "strongly_connected_components": lambda g: sorted(map(sorted, nx.strongly_connected_components(g))),
    "dijkstra on port": lambda g: nx.single_source_dijkstra_path_length(g, 0, weight="port"),
    "pagerank": lambda g: {n: round(p, 9) for n, p in nx.pagerank(g, weight=None).items()},
    "to_undirected": lambda g: sorted(map(sorted, nx.connected_components(g.to_undirected()))),
    "subgraph": lambda g: sorted(g.subgraph(range(5)).edges()),
    "reverse": lambda g: sorted(g.reverse(copy=False).edges()),
    "condensation": lambda g: sorted(nx.condensation(nx.DiGraph(g)).edges()),
    "adjacency": lambda g: nx.to_scipy_sparse_array(g, weight=None).toarray().tolist(),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_networkx_algorithms_give_the_same_on_the_view(algorithm: str) -> None:
    graph = mlp(6, 5, 3)
    assert ALGORITHMS[algorithm](as_networkx(graph)) == ALGORITHMS[algorithm](materialised(graph))


def test_topological_sort_and_paths_of_the_mnist_classifier() -> None:
    graph = mlp()
    view = as_networkx(graph)
    place = {actor: i for i, actor in enumerate(nx.topological_sort(view))}
    assert len(place) == 946
    assert all(place[u] < place[v] for u, v in view.edges())
    path = nx.shortest_path(view, graph["pixels", 300].id, graph.actor("sink").id)
    assert [view.nodes[i]["group"] for i in path] == [
        "pixels",
        "dense",
        "dense_1",
        "dense_1.exp",
        "dense_1.softmax",
        "sink",
    ]
    assert view.number_of_edges() == graph.edge_count


def test_an_actor_that_feeds_another_twice_has_two_edges() -> None:
    graph = recurrent()
    view = as_networkx(graph)
    x0, h0, h1 = graph["x", 0].id, graph["h", 0].id, graph["h", 1].id
    assert view.number_of_edges(x0, h0) == 2
    assert [view.edges[x0, h0, k]["weight"] for k in (0, 1)] == [0.0, 1.0]
    assert [view.edges[x0, h1, k]["weight"] for k in (0, 1)] == [4.0, 5.0]
    assert [d["port"] for d in view[graph["x", 1].id][h1].values()] == [0, 2, 2]
    assert view.edges[h0, h0, 0] == {"port": 1, "produce": 1, "consume": 1, "initial_tokens": 1}
    assert not nx.is_directed_acyclic_graph(view)


def test_rates_and_firings_are_shown() -> None:
    graph = rnn(3, 1, 1)
    view = as_networkx(graph)
    steps, state = graph.actor("steps[0]").id, graph.actor("rnn[0]").id
    assert view.nodes[state]["firings"] == 3
    edge = view.edges[steps, state, 0]
    assert (edge["produce"], edge["consume"], edge["initial_tokens"]) == (3, 1, 0)
    dot = to_dot(graph)
    assert f'a{steps} -> a{state} [taillabel="3:1", tooltip=' in dot
    assert f"a{state} -> a{state} [headlabel=1, style=dashed, label=1" in dot
    boxes = group_dot(graph)
    assert "rnn: linear [1], tanh, 3 firings" in boxes
    assert "rates 3:1" in boxes


def test_the_view_cannot_be_changed() -> None:
    view = as_networkx(mlp(3, 2, 2))
    assert nx.is_frozen(view)
    with pytest.raises(nx.NetworkXError, match="Frozen graph can't be modified"):
        view.add_edge(0, 1)
    with pytest.raises(nx.NetworkXError, match="Frozen graph can't be modified"):
        view.remove_node(0)
    assert view.copy().number_of_edges() == view.number_of_edges()


@pytest.mark.parametrize("key", [-1, 23, "dense[0]", 1.5, None, (1, 2)])
def test_what_is_no_actor_id_is_not_in_the_view(key: object) -> None:
    view = as_networkx(mlp(6, 4, 3))
    assert key not in view
    with pytest.raises(KeyError):
        view.nodes[key]


def test_the_view_of_a_large_graph_costs_what_is_asked_of_it() -> None:
    n = 20_000
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(n,)),
        Group(name="y", op="sum", shape=(n,)),
        Group(name="sink", op="collect"),
    ]
    graph = Graph("wide", groups, [Dense(src=0, dst=1), Dense(src=1, dst=2), Dense(src=2, dst=3)], {})
    tracemalloc.start()
    try:
        view = as_networkx(graph)
        assert view.in_degree(graph["y", 7].id) == n
        assert view.has_edge(graph["x", 1].id, graph["y", 7].id)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000  # there are 400 million edges
    finally:
        tracemalloc.stop()


def test_dot_of_every_actor(golden: Callable[[str, str], None]) -> None:
    golden("recurrent.dot", to_dot(recurrent()))


def test_dot_of_every_group(golden: Callable[[str, str], None]) -> None:
    golden("mnist_mlp_groups.dot", group_dot(mlp()))


def test_dot_quotes_what_names_hold() -> None:
    graph = Graph(
        'a "b"\n', [Group(name='q"\\', op="source"), Group(name="s", op="collect")], [Dense(src=0, dst=1)], {}
    )
    assert 'digraph "a \\"b\\" " {' in to_dot(graph)
    assert '[label="q\\"\\\\"];' in to_dot(graph)


def test_exports_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    message = "mlp: 946 actors and 102,486 edges; {} is for at most 5,000 together"
    with pytest.raises(GraphError, match=message.format("DOT")):
        to_dot(mlp())
    with pytest.raises(GraphError, match=message.format("GraphML")):
        to_graphml(mlp(), tmp_path / "g.graphml")
    assert list(tmp_path.iterdir()) == []
    graph = recurrent()
    assert to_dot(graph, limit=graph.actor_count + graph.edge_count)
    with pytest.raises(GraphError, match="at most 19 together"):
        to_dot(graph, limit=graph.actor_count + graph.edge_count - 1)


def test_graphml_reads_back(tmp_path: Path) -> None:
    graph = recurrent()
    to_graphml(graph, tmp_path / "g.graphml")
    back = nx.read_graphml(tmp_path / "g.graphml", node_type=int)
    view = as_networkx(graph)
    assert dict(back.nodes(data=True)) == dict(view.nodes(data=True))
    read = sorted((u, v, sorted(d.items())) for u, v, d in back.edges(data=True))
    assert read == sorted((u, v, sorted(d.items())) for u, v, d in view.edges(data=True))


def test_graphml_of_a_name_that_xml_cannot_hold(tmp_path: Path) -> None:
    base = recurrent()
    to_graphml(Graph("a\x00b", base.groups, base.channels, base.params), tmp_path / "g.graphml")
    assert nx.read_graphml(tmp_path / "g.graphml").graph["name"] == "a\ufffdb"


def test_networkx_is_imported_only_when_it_is_used() -> None:
    code = "import sys, graphsim.graph.views; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
