"""Every method of every channel kind against ``expand()``, and ``expand()`` against the definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import given, settings
from strategies import graphs

from graphsim.graph import Channel, Csr, Dense, Edges, Graph, OneToOne, Ref, Table

Params = dict[str, npt.NDArray[np.generic]]


def _rows(edges: Edges) -> list[tuple[int, ...]]:
    weight = edges.weight if edges.weight is not None else np.full(len(edges.src), -1)
    return list(zip(edges.src.tolist(), edges.dst.tolist(), weight.tolist(), strict=True))


def _bundles(graph: Graph) -> list[tuple[Channel, int, int]]:
    return [(c, graph.groups[c.src].size, graph.groups[c.dst].size) for c in graph.channels]


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_inputs_are_the_edges_of_one_consumer_in_order(graph: Graph) -> None:
    for channel, n_src, n_dst in _bundles(graph):
        rows = _rows(channel.expand(n_src, n_dst, graph.params))
        found = [row for j in range(n_dst) for row in _rows(channel.inputs(j, n_src, n_dst, graph.params))]
        assert found == rows


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_outputs_are_the_edges_of_one_producer_by_consumer(graph: Graph) -> None:
    for channel, n_src, n_dst in _bundles(graph):
        rows = _rows(channel.expand(n_src, n_dst, graph.params))
        for i in range(n_src):
            expected = [row for row in rows if row[0] == i]
            assert _rows(channel.outputs(i, n_src, n_dst, graph.params)) == expected
            assert channel.consumers(i, n_src, n_dst, graph.params).tolist() == [row[1] for row in expected]


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_counts_are_those_of_the_edges(graph: Graph) -> None:
    for channel, n_src, n_dst in _bundles(graph):
        edges = channel.expand(n_src, n_dst, graph.params)
        fan_in = np.bincount(edges.dst, minlength=n_dst)
        assert channel.edge_count(n_src, n_dst, graph.params) == len(edges.src)
        assert channel.fan_in(n_src, n_dst, graph.params).tolist() == fan_in.tolist()
        assert channel.fan_in_range(n_src, n_dst, graph.params) == (fan_in.min(), fan_in.max())
        consumed = np.bincount(edges.src, minlength=n_src) > 0
        assert channel.consumed(n_src, n_dst, graph.params).tolist() == consumed.tolist()


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_every_index_array_is_int64_and_every_weight_exists(graph: Graph) -> None:
    for channel, n_src, n_dst in _bundles(graph):
        edges = channel.expand(n_src, n_dst, graph.params)
        assert edges.src.dtype == edges.dst.dtype == np.int64
        assert (edges.weight is None) == (channel.weight is None)
        if edges.weight is not None and channel.weight is not None:
            assert edges.weight.dtype == np.int64
            assert 0 <= edges.weight.min() <= edges.weight.max() < graph.params[channel.weight.name].size


def test_dense_is_all_to_all_with_weights_as_keras_lays_them_out() -> None:
    rows = _rows(Dense(src=0, dst=1, weight=Ref("w")).expand(3, 2, {}))
    kernel = np.array([[10, 11], [20, 21], [30, 31]])
    assert [(s, d, kernel.flat[w]) for s, d, w in rows] == [
        (0, 0, 10),
        (1, 0, 20),
        (2, 0, 30),
        (0, 1, 11),
        (1, 1, 21),
        (2, 1, 31),
    ]


def test_dense_blocks_share_one_matrix_along_the_last_axis() -> None:
    rows = _rows(Dense(src=0, dst=1, blocks=2, weight=Ref("w")).expand(4, 4, {}))
    assert rows == [(0, 0, 0), (1, 0, 2), (0, 1, 1), (1, 1, 3), (2, 2, 0), (3, 2, 2), (2, 3, 1), (3, 3, 3)]


def test_one_to_one_repeats_its_weights_in_blocks() -> None:
    params: Params = {"w": np.zeros(2, np.float32)}
    rows = _rows(OneToOne(src=0, dst=1, weight=Ref("w", 3)).expand(12, 12, params))
    assert rows == [(j, j, (j // 3) % 2) for j in range(12)]


def test_table_lists_producers_per_consumer() -> None:
    params: Params = {"t": np.array([[2, 0], [1, 1]], np.int32)}
    assert _rows(Table(src=0, dst=1, index="t", weight=Ref("w")).expand(3, 2, params)) == [
        (2, 0, 0),
        (0, 0, 1),
        (1, 1, 2),
        (1, 1, 3),
    ]


def test_csr_gives_each_consumer_its_own_number_of_producers() -> None:
    params: Params = {"p": np.array([0, 2, 2, 3], np.int64), "i": np.array([5, 4, 5], np.int32)}
    channel = Csr(src=0, dst=1, indptr="p", index="i")
    assert _rows(channel.expand(6, 3, params)) == [(5, 0, -1), (4, 0, -1), (5, 2, -1)]
    assert channel.consumers(5, 6, 3, params).tolist() == [0, 2]
    assert channel.inputs(1, 6, 3, params).src.size == 0


def _bytes_of(channel: Channel, params: Params) -> int:
    """Bytes that only this bundle needs: everything it refers to (an instance itself holds a few numbers)."""
    assert not any(isinstance(value, np.ndarray) for value in vars(channel).values())
    return sum(params[name].nbytes for name in channel.references())


@pytest.mark.parametrize("weighted", [False, True])
def test_explicit_edges_take_at_most_8_bytes(weighted: bool) -> None:
    n_dst, k = 1000, 40
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 60, n_dst)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    params: Params = {
        "table": rng.integers(0, 500, (n_dst, k)).astype(np.int32),
        "table_w": np.zeros((n_dst, k), np.float32),
        "indptr": indptr,
        "index": rng.integers(0, 500, indptr[-1]).astype(np.int32),
        "index_w": np.zeros(indptr[-1], np.float32),
    }
    table = Table(src=0, dst=1, index="table", weight=Ref("table_w") if weighted else None)
    csr = Csr(src=0, dst=1, indptr="indptr", index="index", weight=Ref("index_w") if weighted else None)
    for channel, pointers in ((table, 0), (csr, 8 * (n_dst + 1))):
        channel.check(500, n_dst, params)
        edges = channel.edge_count(500, n_dst, params)
        assert _bytes_of(channel, params) - pointers == edges * (8 if weighted else 4)


def test_ruled_edges_take_no_bytes_but_their_weights() -> None:
    params: Params = {"w": np.zeros((784, 128), np.float32), "v": np.zeros(4, np.float32)}
    assert _bytes_of(Dense(src=0, dst=1), params) == _bytes_of(OneToOne(src=0, dst=1), params) == 0
    assert _bytes_of(Dense(src=0, dst=1, weight=Ref("w")), params) == 4 * 784 * 128
    blocks = Dense(src=0, dst=1, weight=Ref("w"), blocks=50)
    assert blocks.edge_count(784 * 50, 128 * 50, params) * 4 == 50 * _bytes_of(blocks, params)


def test_the_mnist_classifier_stores_no_weight_twice() -> None:
    graph = mlp()
    weights = 784 * 128 + 128 * 10
    assert sum(v.nbytes for v in graph.params.values()) == 4 * (weights + 128 + 10)
    weighted = [c for c in graph.channels if c.weight is not None]
    assert sum(graph.edges_of(c) for c in weighted) == weights
