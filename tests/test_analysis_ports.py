"""Ports by their rule do what ports by their edges do, in blocks of any size."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_graph_window import sizes, windows

from graphsim.analysis import ports
from graphsim.analysis.ports import Ball, EdgePort, Sums, WindowPort, as_window, prepare, products
from graphsim.graph import Axis, Channel, Dense, Graph, Group, OneToOne, Ref, Window

OFTEN = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def joined(channel: Channel, n_src: int, n_dst: int, seed: int = 0) -> Graph:
    """Two groups with the bundle between them, and a weight array that is large enough."""
    groups = [Group(name="a", op="input", shape=(n_src,)), Group(name="b", op="sum", shape=(n_dst,))]
    rng = np.random.default_rng(seed)
    return Graph("two", groups, [channel], {"w": rng.normal(0, 1, 600).astype(np.float32)})


def both(graph: Graph) -> tuple[EdgePort, WindowPort]:
    (channel,) = graph.channels
    window = as_window(graph, channel)
    assert window is not None
    return EdgePort(graph, channel), WindowPort(graph, channel, window)


def ball(n_src: int, seed: int, *, with_radius: bool) -> Ball:
    rng = np.random.default_rng(seed)
    value = rng.normal(0, 1, (2, n_src)) * (rng.random((2, n_src)) < 0.8)
    return Ball(value, rng.random((2, n_src)) if with_radius else None)


def assert_same(expected: Sums, found: Sums) -> None:
    """Sizes may be rounded up, a little."""
    assert found.value == pytest.approx(expected.value, rel=1e-12, abs=1e-12)
    assert (found.scale >= expected.scale * (1 - 1e-12)).all()
    assert (found.scale <= expected.scale * (1 + 2e-5)).all()
    assert (found.moved is None) == (expected.moved is None)
    if found.moved is not None and expected.moved is not None:
        assert found.moved == pytest.approx(expected.moved, rel=1e-12, abs=1e-12)


@OFTEN
@given(channel=windows(), seed=st.integers(0, 2**32 - 1), terms=st.sampled_from([1, 7, 1 << 21]), radius=st.booleans())
def test_a_window_by_its_rule_is_the_window_by_its_edges(channel: Window, seed: int, terms: int, radius: bool) -> None:
    graph = joined(channel, *sizes(channel), seed)
    edges, rule = both(graph)
    x = ball(edges.n_src, seed, with_radius=radius)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports, "TERMS", terms)
        patch.setattr(ports, "_TAP_BY_TAP", int(np.random.default_rng(seed).choice([0, 128])))
        expected, found = edges.sums(x), rule.sums(x)
        assert (rule.weight_sum() >= edges.weight_sum() * (1 - 1e-12)).all()
    assert_same(expected, found)
    assert rule.count(x.value != 0).tolist() == edges.count(x.value != 0).tolist()
    assert rule.fan_in.tolist() == edges.fan_in.tolist()
    for step in (np.maximum, np.minimum, np.add, np.multiply):
        gathered, _ = edges.terms(Ball(x.value))
        assert rule.fold(step, x.value) == pytest.approx(edges.fold(step, gathered.value), rel=1e-12, abs=1e-12)
    if rule.is_full:
        rows = np.broadcast_to(rule.rows(x.value), (2, *channel.consumer_shape, channel.terms))
        assert rows.reshape(2, edges.n_dst, -1).tolist() == edges.rows(x.value).tolist()


@pytest.mark.parametrize(
    "channel",
    [
        Dense(src=0, dst=1, blocks=3),
        Dense(src=0, dst=1, blocks=3, weight=Ref("m")),
        OneToOne(src=0, dst=1),
        OneToOne(src=0, dst=1, weight=Ref("v", 2)),
    ],
)
def test_dense_and_one_to_one_have_the_rule_of_a_window(channel: Channel) -> None:
    n_src, n_dst = 12, 12 if isinstance(channel, OneToOne) else 6
    graph = joined(channel, n_src, n_dst)
    rng = np.random.default_rng(4)
    params = {"m": rng.normal(0, 1, (4, 2)).astype(np.float32), "v": rng.normal(0, 1, 3).astype(np.float32)}
    graph = Graph("two", graph.groups, graph.channels, params)
    edges, rule = both(graph)
    x = ball(n_src, 1, with_radius=True)
    assert_same(edges.sums(x), rule.sums(x))
    assert rule.weight_sum() == pytest.approx(edges.weight_sum())


@OFTEN
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_products_of_two_ports(data: st.DataObject, seed: int) -> None:
    """Windows over the same consumers, of all taps of one axis each: matrix products, batched ones, dot products."""
    taps = data.draw(st.integers(1, 4))
    kinds = data.draw(st.lists(st.sampled_from(["both", "left", "right", "neither"]), min_size=2, max_size=4))
    found: list[list[Axis]] = [[], []]
    for side, mine in ((0, "left"), (1, "right")):
        through = data.draw(st.integers(0, len(kinds) - 1))
        for i, kind in enumerate(kinds):
            consumers = 3 if i % 2 else 2
            varies = kind in ("both", mine)
            axis = Axis(consumers, consumers) if varies else Axis(1, consumers, stride=0)
            if i == through:
                step = 2 if varies else 0
                axis = Axis(taps + step * (consumers - 1), consumers, taps=taps, stride=step)
            found[side].append(axis)
    n_src = [math.prod(axis.producers for axis in axes) for axes in found]
    n_dst = math.prod(axis.consumers for axis in found[0])
    groups = [Group(name=f"g{i}", op="sum", shape=(size,)) for i, size in enumerate((*n_src, n_dst))]
    channels = [Window(src=i, dst=2, port=i, axes=tuple(axes)) for i, axes in enumerate(found)]
    graph = Graph("dot", groups, channels, {})
    values = [ball(size, seed + i, with_radius=False).value for i, size in enumerate(n_src)]
    left, right = (prepare(graph, channel, summed=False) for channel in graph.channels)
    assert isinstance(left, WindowPort)
    assert isinstance(right, WindowPort)
    expected = (
        EdgePort(graph, graph.channels[0]).rows(values[0]) * EdgePort(graph, graph.channels[1]).rows(values[1])
    ).sum(-1)
    assert products(left, right, *values) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_large_convolution_is_never_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 x 64 x 16 inputs, 3x3 kernels, 32 filters: 18 million edges; checked at a few actors."""
    k, c, f, size = 3, 16, 32, 64
    rng = np.random.default_rng(3)
    axes = (
        Axis(size, size, taps=k, pad=1, weight_tap=k * c * f),
        Axis(size, size, taps=k, pad=1, weight_tap=c * f),
        Axis(c, f, taps=c, stride=0, weight_tap=f, weight_consumer=1),
    )
    channel = Window(src=0, dst=1, axes=axes, weight=Ref("w"))
    graph = joined(channel, size * size * c, size * size * f)
    kernel = rng.normal(0, 1, k * k * c * f).astype(np.float32)
    graph = Graph("conv", graph.groups, graph.channels, {"w": kernel})
    monkeypatch.setattr(Window, "expand", None)
    port = prepare(graph, channel, summed=True)
    x = Ball(rng.normal(0, 1, (1, size * size * c)))
    found, count = port.sums(x), port.count(x.value != 0)
    for consumer in (0, 31, 63 * 32, 33 * 64 * 32 + 17, size * size * f - 1):
        edges = channel.inputs(consumer, port.n_src, port.n_dst, graph.params)
        assert edges.weight is not None
        w, terms = kernel[edges.weight].astype(np.float64), x.value[0, edges.src]
        assert found.value[0, consumer] == pytest.approx(w @ terms, rel=1e-12)
        assert 1 <= found.scale[0, consumer] / (np.abs(w) @ np.abs(terms)) < 1 + 1e-4
        assert count[0, consumer] == len(terms)
    assert dataclasses.replace(channel, weight=None).fan_in_range(port.n_src, port.n_dst, {}) == (4 * c, 9 * c)
