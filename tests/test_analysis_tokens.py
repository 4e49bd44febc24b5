"""Tokens and their readers, against every edge listed one by one."""

from __future__ import annotations

import numpy as np
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import graphs

from graphsim.analysis.tokens import input_actors, readers, token_bits, token_makers
from graphsim.graph import Graph


@given(st.one_of(graphs(), graphs(windows=True)), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_readers_are_the_nodes_of_all_consumers(graph: Graph, nodes: int, seed: int) -> None:
    node = np.random.default_rng(seed).integers(0, nodes, graph.actor_count).astype(np.int32)
    inputs = input_actors(graph).tolist()
    expected: list[set[int]] = [set() for _ in range(graph.actor_count + len(inputs))]
    for actor in graph:
        for producer in (edge.producer for edge in actor.inputs):
            source = graph.actor(producer).group.op == "source"
            token = graph.actor_count + inputs.index(actor.id) if source else producer
            expected[token].add(int(node[actor.id]))
    found = readers(graph, node, nodes)
    assert [found.node[a:b].tolist() for a, b in zip(found.ptr[:-1], found.ptr[1:], strict=True)] == [
        sorted(there) for there in expected
    ]


def test_tokens_of_the_sample_come_after_those_of_the_actors() -> None:
    graph = mlp(5, 3, 2)
    assert input_actors(graph).tolist() == [1, 2, 3, 4, 5]
    bits, makers = token_bits(graph), token_makers(graph)
    assert len(bits) == graph.actor_count + 5
    assert makers[graph.actor_count :].tolist() == [0] * 5
    assert makers[: graph.actor_count].tolist() == list(range(graph.actor_count))
    assert bits[0] == 0 and bits[graph.actor_count - 1] == 0  # a source's own id, and the sink's
    assert set(bits[1 : graph.actor_count - 1].tolist()) == {32}
