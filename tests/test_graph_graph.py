from __future__ import annotations

import numpy as np
import pytest
from graphs import mlp
from hypothesis import given, settings
from strategies import graphs

from graphsim.errors import GraphError
from graphsim.graph import Dense, Graph, Group, InputEdge, OneToOne, Ref, Table
from graphsim.graph.ops import ACTIVATIONS, OPS


def tensor() -> Graph:
    """source -> x[2,3,4] -> y[2,3,4], with a bias per row of four and a slope per last index."""
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(2, 3, 4)),
        Group(name="y", op="mean", shape=(2, 3, 4), activation="elu", params={"bias": Ref("b", 4), "alpha": Ref("a")}),
        Group(name="sink", op="collect"),
    ]
    params = {"b": np.arange(6, dtype=np.float32), "a": np.array([0.5, 1, 2, 4], np.float32)}
    return Graph("tensor", groups, [Dense(src=0, dst=1), OneToOne(src=1, dst=2), Dense(src=2, dst=3)], params)


def test_an_actor_has_its_inputs_weights_and_cost() -> None:
    graph = mlp()
    actor = graph["dense_1", 7]
    kernel = graph.params["dense_1/kernel"]
    first = int(graph.first[graph.number["dense"]])
    assert actor.name == "dense_1[7]"
    assert actor.inputs == tuple(InputEdge(first + i, 0, float(kernel[i, 7])) for i in range(128))
    assert actor.param("bias") == float(graph.params["dense_1/bias"][7])
    assert actor.param("alpha") is None
    assert actor.work == {"mac": 129}


def test_inputs_come_port_by_port() -> None:
    graph = mlp()
    exp, top = graph["dense_1.exp", 3], graph["dense_1.max", 0]
    assert exp.inputs == (InputEdge(graph["dense_1", 3].id, 0, None), InputEdge(top.id, 1, None))


def test_consumers_are_listed_once_per_edge_group_by_group() -> None:
    graph = mlp()
    names = [graph.actor(int(i)).name for i in graph["dense_1", 3].consumers]
    assert names == ["dense_1.max[0]", "dense_1.exp[3]"]
    assert graph.actor("sink").consumers.size == 0
    twice = Graph(
        "g",
        graph.groups,
        [*graph.channels, Table(src=1, dst=2, port=1, index="t")],
        {**graph.params, "t": np.full((128, 2), 5, np.int32)},
    )
    assert len(twice["pixels", 5].consumers) == 3 * 128


@settings(deadline=None, max_examples=40)
@given(graphs(max_actors=40))
def test_inputs_and_consumers_are_two_views_of_the_same_edges(graph: Graph) -> None:
    forward = sorted((a.id, int(c)) for a in graph for c in a.consumers)
    backward = sorted((e.producer, a.id) for a in graph for e in a.inputs)
    assert forward == backward
    assert len(forward) == graph.edge_count


@settings(deadline=None, max_examples=40)
@given(graphs(max_actors=40))
def test_every_actor_is_found_by_its_name_and_id(graph: Graph) -> None:
    names = [actor.name for actor in graph]
    assert len(set(names)) == len(names) == len(graph) == graph.actor_count
    assert [graph.actor(name).id for name in names] == list(range(graph.actor_count))


@settings(deadline=None, max_examples=40)
@given(graphs(max_actors=40))
def test_work_of_an_actor_follows_from_its_own_edges(graph: Graph) -> None:
    for actor in graph:
        group, work = actor.group, dict(OPS[actor.group.op].work(len(actor.inputs)))
        if "bias" in group.params:
            unit = "mac" if group.op == "linear" else "add"
            work[unit] = work.get(unit, 0) + 1
        if "divisor" in group.params:
            work["divide"] = work.get("divide", 0) + 1
        for unit, count in ACTIVATIONS[group.activation].work.items():
            work[unit] = work.get(unit, 0) + count
        assert actor.work == {unit: count for unit, count in work.items() if count}


def test_names_of_tensor_actors_and_params_in_blocks() -> None:
    graph = tensor()
    actor = graph["y", 1, 2, 3]
    assert actor.name == "y[1,2,3]"
    assert (actor.local, actor.group_number, actor.id) == (23, 2, 1 + 24 + 23)
    assert (actor.param("bias"), actor.param("alpha")) == (5.0, 4.0)
    assert graph["y", 0, 1, 2].param("bias") == 1.0
    assert graph["y", (1, 2, 3)] == graph["y", 23] == graph.actor("y[1,2,3]") == graph.actor(" y[ 1, 2 ,3 ] ") == actor


def test_a_single_actor_is_called_as_its_group() -> None:
    graph = tensor()
    assert graph.actor("source") == graph["source",] == graph.actor(0)
    assert graph.actor("source").name == "source"
    assert graph["source", 0].name == "source"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (-1, "there is no actor -1; ids run from 0 to 49"),
        (50, "there is no actor 50; ids run from 0 to 49"),
        ("z[1]", "tensor has no group 'z'; it has: source, x, y, sink"),
        ("y", r"y is a group of shape \(2, 3, 4\); its actors are called y\[0,0,0\]"),
        ("y[]", "is not an actor's name; write GROUP"),
        ("y[-1,0,0]", "is not an actor's name; write GROUP"),
        ("y[24]", r"y\[24\] is outside the group's shape \(2, 3, 4\)"),
        ("y[2,0,0]", r"y\[2, 0, 0\] is outside the group's shape"),
        ("y[0,0]", r"y\[0, 0\] is outside"),
        ("y[0 0 0]", "is not an actor's name; write GROUP"),
        ("y[1,,2]", "is not an actor's name; write GROUP"),
        ("y[999999999999999999,0,0]", r"y\[999999999999999999, 0, 0\] is outside"),
        ("y[" + "9" * 5000 + "]", "is not an actor's name; write GROUP"),
        ("", "is not an actor's name; write GROUP"),
        ("[3]", "is not an actor's name; write GROUP"),
    ],
)
def test_an_actor_that_is_not_there_is_refused_with_what_there_is(key: int | str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        tensor().actor(key)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(GraphError, match=r"y\[-1, 0, 0\] is outside"):
        tensor()["y", -1, 0, 0]


def test_params_are_read_only_and_channels_sorted() -> None:
    graph = mlp(5, 4, 3)
    with pytest.raises(ValueError, match="read-only"):
        graph.params["dense/bias"][0] = 1
    assert [(c.dst, c.port) for c in graph.channels] == sorted((c.dst, c.port) for c in graph.channels)


def test_the_digest_is_the_same_for_every_order_of_making() -> None:
    graph = mlp(5, 4, 3)
    again = Graph(graph.name, graph.groups, graph.channels[::-1], dict(reversed(graph.params.items())))
    assert again.digest == graph.digest
    assert len(graph.digest) == 64


def test_the_mnist_classifier_has_the_actors_and_edges_it_should() -> None:
    graph = mlp()
    sizes = {group.name: group.size for group in graph.groups}
    assert sizes == {
        "source": 1,
        "pixels": 784,
        "dense": 128,
        "dense_1": 10,
        "dense_1.max": 1,
        "dense_1.exp": 10,
        "dense_1.sum": 1,
        "dense_1.softmax": 10,
        "sink": 1,
    }
    assert graph.actor_count == len(graph) == 946
    assert graph.edge_count == 784 + 784 * 128 + 128 * 10 + 7 * 10
    assert repr(graph) == "<Graph mlp: 946 actors in 9 groups, 102,486 edges>"
    assert (graph.sources, graph.sinks) == ((0,), (8,))
