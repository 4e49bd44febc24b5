"""Window bundles: every method against ``expand()``, and ``expand()`` against the rule written out, edge by edge."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.errors import GraphError
from graphsim.graph import Axis, Channel, Edges, Graph, Group, Ref, Window
from graphsim.graph.text import dump, parse

Row = tuple[int, int, int]


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window bundle of a few axes, weighted from an array that is as large as its edges need."""
    axes = tuple(
        Axis(
            producers=draw(st.integers(1, 5)),
            consumers=draw(st.integers(1, 5)),
            taps=draw(st.integers(1, 4)),
            stride=draw(st.integers(-2, 3)),
            dilation=draw(st.integers(-2, 3)),
            base=draw(st.integers(1, 3)),
            pad=draw(st.integers(-4, 4)),
            weight_tap=draw(st.integers(-3, 6)),
            weight_consumer=draw(st.integers(-3, 6)),
        )
        for _ in range(draw(st.integers(1, 3)))
    )
    order = draw(st.sampled_from([(), *itertools.permutations(range(len(axes)))]))
    lowest = sum(min(0, a.weight_tap * (a.taps - 1)) + min(0, a.weight_consumer * (a.consumers - 1)) for a in axes)
    weight = draw(st.sampled_from([None, Ref("w")]))
    return Window(src=0, dst=1, axes=axes, order=order, weight=weight, weight_offset=-lowest)


def sizes(channel: Window) -> tuple[int, int]:
    return math.prod(a.producers for a in channel.axes), math.prod(a.consumers for a in channel.axes)


def by_definition(channel: Window) -> list[Row]:
    """The edges as the module docstring defines them, in nested loops."""
    axes, order = channel.axes, channel.order or tuple(range(len(channel.axes)))
    rows: list[Row] = []
    for consumer in itertools.product(*(range(a.consumers) for a in axes)):
        for taps in itertools.product(*(range(a.taps) for a in axes)):
            at = [o * a.stride + t * a.dilation - a.pad for a, o, t in zip(axes, consumer, taps, strict=True)]
            if any(q % a.base or not 0 <= q // a.base < a.producers for a, q in zip(axes, at, strict=True)):
                continue
            where = [q // a.base for a, q in zip(axes, at, strict=True)]
            src = dst = 0
            for i in order:
                src = src * axes[i].producers + where[i]
            for a, o in zip(axes, consumer, strict=True):
                dst = dst * a.consumers + o
            weight = channel.weight_offset + sum(
                t * a.weight_tap + o * a.weight_consumer for a, o, t in zip(axes, consumer, taps, strict=True)
            )
            rows.append((src, dst, weight if channel.weight else -1))
    return rows


def rows_of(edges: Edges) -> list[Row]:
    weight = edges.weight if edges.weight is not None else np.full(len(edges.src), -1)
    return list(zip(edges.src.tolist(), edges.dst.tolist(), weight.tolist(), strict=True))


@settings(deadline=None, max_examples=200)
@given(windows())
def test_edges_are_those_of_the_rule(channel: Window) -> None:
    n_src, n_dst = sizes(channel)
    assert rows_of(channel.expand(n_src, n_dst, {})) == by_definition(channel)


@settings(deadline=None, max_examples=100)
@given(windows())
def test_every_method_agrees_with_the_edges(channel: Window) -> None:
    n_src, n_dst = sizes(channel)
    rows = by_definition(channel)
    edges = channel.expand(n_src, n_dst, {})
    assert [row for j in range(n_dst) for row in rows_of(channel.inputs(j, n_src, n_dst, {}))] == rows
    for i in range(n_src):
        assert rows_of(channel.outputs(i, n_src, n_dst, {})) == [row for row in rows if row[0] == i]
    fan_in = np.bincount(edges.dst, minlength=n_dst)
    assert channel.edge_count(n_src, n_dst, {}) == len(rows)
    assert channel.fan_in(n_src, n_dst, {}).tolist() == fan_in.tolist()
    assert channel.fan_in_range(n_src, n_dst, {}) == (fan_in.min(), fan_in.max())
    assert channel.consumed(n_src, n_dst, {}).tolist() == (np.bincount(edges.src, minlength=n_src) > 0).tolist()
    assert edges.src.dtype == edges.dst.dtype == np.int64


@settings(deadline=None, max_examples=60)
@given(windows())
def test_the_text_of_a_window_parses_back(channel: Window) -> None:
    n_src, n_dst = sizes(channel)
    groups = [Group(name="a", op="sum", shape=(n_src,)), Group(name="b", op="sum", shape=(n_dst,))]
    graph = Graph("g", groups, [channel], {"w": np.zeros(500, np.float32)})
    assert parse(dump(graph), graph.params).channels == (channel,)


def test_a_convolution_reads_its_kernel_as_keras_lays_it_out() -> None:
    """4x4x2 inputs, 3x3 kernel, stride 2, padding same (0 above and left, 1 below and right), 3 filters."""
    kernel = np.arange(3 * 3 * 2 * 3).reshape(3, 3, 2, 3)
    axes = (
        Axis(4, 2, taps=3, stride=2, weight_tap=18),
        Axis(4, 2, taps=3, stride=2, weight_tap=6),
        Axis(2, 3, taps=2, stride=0, weight_tap=3, weight_consumer=1),
    )
    found = Window(src=0, dst=1, axes=axes, weight=Ref("k")).inputs((1 * 2 + 1) * 3 + 2, 32, 12, {})
    expected = [((2 + y) * 8 + (2 + x) * 2 + c, kernel[y, x, c, 2]) for y in range(2) for x in range(2) for c in (0, 1)]
    assert found.weight is not None
    assert list(zip(found.src.tolist(), found.weight.tolist(), strict=True)) == expected


BROKEN: dict[str, tuple[Channel, str]] = {
    "no axes": (Window(src=0, dst=1, axes=()), "at least one axis"),
    "sizes": (Window(src=0, dst=1, axes=(Axis(3, 2),)), "3 producers and 2 consumers, not 4 and 2"),
    "order": (Window(src=0, dst=1, axes=(Axis(2, 1), Axis(2, 2)), order=(0, 0)), "not a permutation"),
    "base": (Window(src=0, dst=1, axes=(Axis(4, 2, base=0),)), "at least 1"),
    "absurd": (Window(src=0, dst=1, axes=(Axis(4, 2, stride=1 << 62),)), "below"),
    "taps": (Window(src=0, dst=1, axes=(Axis(4, 2, taps=1 << 30),)), "more taps"),
    "weight": (Window(src=0, dst=1, axes=(Axis(4, 2, taps=3, weight_tap=2),), weight=Ref("w")), "edges name 0 to 4"),
    "weight below": (Window(src=0, dst=1, axes=(Axis(4, 2, weight_consumer=-1),), weight=Ref("w")), "name -1 to 0"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_window_that_does_not_fit_is_refused(rule: str) -> None:
    channel, message = BROKEN[rule]
    with pytest.raises(GraphError, match=message):
        channel.check(4, 2, {"w": np.zeros(4, np.float32)})
