"""Bounds on the period against every placement of tiny graphs, and the numbers of known cases."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from schedules import strides

from graphsim.analysis.bounds import fewest_ticks, lower_bound
from graphsim.analysis.costs import Costs
from graphsim.graph import Channel, Dense, Graph, Group, Table
from graphsim.graph.ops import SINKS
from graphsim.machine import Machine, load_machine


@st.composite
def tiny_graphs(draw: st.DrawFn) -> Graph:
    """At most 7 actors beside source and sink: inputs, one or two layers, dense or sparse, some with a second port."""
    inputs = draw(st.integers(1, 3), label="inputs")
    layers = draw(st.sampled_from([[1], [2], [3], [4], [1, 1], [2, 1], [3, 1], [2, 2], [1, 3]]), label="layers")
    ops = draw(st.lists(st.sampled_from(["sum", "max", "mean"]), min_size=2, max_size=2), label="ops")
    bits = draw(st.sampled_from([8, 32]), label="token bits")
    params: dict[str, np.ndarray] = {}
    groups = [Group(name="source", op="source"), Group(name="x", op="input", shape=(inputs,))]
    channels: list[Channel] = [Dense(src=0, dst=1, token_bits=bits)]
    for number, size in enumerate(layers):
        src, dst = len(groups) - 1, len(groups)
        groups.append(Group(name=f"g{number}", op=ops[number], shape=(size,), activation="exp"))
        if draw(st.booleans(), label="sparse"):
            listed = st.lists(st.integers(0, groups[src].size - 1), min_size=2 * size, max_size=2 * size)
            params[f"i{number}"] = np.array(draw(listed, label="index"), np.int32).reshape(size, 2)
            channels.append(Table(src=src, dst=dst, index=f"i{number}", token_bits=bits))
        else:
            channels.append(Dense(src=src, dst=dst, token_bits=bits))
    groups.append(Group(name="sink", op="argmax"))
    channels.append(Dense(src=len(groups) - 2, dst=len(groups) - 1, token_bits=bits))
    return Graph("tiny", groups, channels, params)


@st.composite
def tiny_machines(draw: st.DrawFn) -> Machine:
    machine = load_machine(draw(st.sampled_from(["line:1", "line:2", "line:3", "full:3", "star:2"]), label="machine"))
    special = draw(st.lists(st.sampled_from([0, 1, 8, 30]), min_size=1, max_size=2), label="special")
    width = draw(st.sampled_from([4, 16, 32, 64]), label="frame bits")
    clocks = draw(
        st.sampled_from([((1,), 1), ((1,), 1), ((1, 2), 1), ((3, 2), 2), ((2,), 1), ((1,), 3)]), label="clocks"
    )
    nodes = tuple(
        dataclasses.replace(
            node,
            op_ticks={"special": special[i % len(special)]} if node.kind == "compute" else {},
            frequency=clocks[0][i % len(clocks[0])] if node.kind == "compute" else clocks[1],
        )
        for i, node in enumerate(machine.nodes)
    )
    links = tuple(dataclasses.replace(link, frame_bits=width, frequency=clocks[1]) for link in machine.links)
    return dataclasses.replace(machine, nodes=nodes, links=links, topology="")


def _paths(machine: Machine) -> dict[tuple[int, int], list[int]]:
    """Links of one shortest path between every two nodes; paths from one node form a tree."""
    found: dict[tuple[int, int], list[int]] = {}
    for start in range(len(machine.nodes)):
        found[start, start] = []
        waiting = [start]
        for v in waiting:
            for link in machine.out_links(v):
                there = machine.links[link].dst
                if (start, there) not in found:
                    found[start, there] = [*found[start, v], link]
                    waiting.append(there)
    return found


def _shortest_period(graph: Graph, machine: Machine) -> int:
    """The least over all placements of the busiest node or link: a period that a schedule can have."""
    count = graph.actor_count
    edges = []
    for c in graph.channels:
        e = c.expand(graph.groups[c.src].size, graph.groups[c.dst].size, graph.params)
        for src, dst in zip(e.src.tolist(), e.dst.tolist(), strict=True):
            producer, consumer = int(graph.first[c.src]) + src, int(graph.first[c.dst]) + dst
            token = count + consumer if graph.groups[c.src].op == "source" else producer
            edges.append((token, producer, consumer, c.token_bits))
    node_strides, link_strides = strides(machine)
    ticks = [
        [
            node.cycles(graph.actor(a).work) * stride if node.kind == "compute" else 0
            for node, stride in zip(machine.nodes, node_strides, strict=True)
        ]
        for a in range(count)
    ]
    paths = _paths(machine)
    free = [a for a in range(count) if graph.actor(a).group.op not in ("source", *SINKS)]
    best = 1 << 60
    for choice in itertools.product(machine.compute_nodes, repeat=len(free)):
        place = [machine.host] * count
        for actor, node in zip(free, choice, strict=True):
            place[actor] = node
        busy = [0] * len(machine.nodes)
        for a in range(count):
            busy[place[a]] += ticks[a][place[a]]
        if max(busy) >= best:
            continue
        readers: dict[tuple[int, int, int], set[int]] = defaultdict(set)
        for token, producer, consumer, bits in edges:
            if place[producer] != place[consumer]:
                readers[token, place[producer], bits].add(place[consumer])
        together: dict[tuple[int, frozenset[int]], int] = defaultdict(int)
        for (_, home, bits), there in readers.items():
            together[home, frozenset(there)] += bits
        frames = [0] * len(machine.links)
        for (home, nodes), bits in together.items():
            for link in {link for node in nodes for link in paths[home, node]}:
                frames[link] += -(-bits // machine.links[link].frame_bits)
        sent = [many * stride for many, stride in zip(frames, link_strides, strict=True)]
        used = {node_strides[v] for v in place} | {link_strides[i] for i, many in enumerate(frames) if many}
        grain = math.lcm(*used)
        best = min(best, -(-max(1, *busy, *sent) // grain) * grain)
    return best


@given(tiny_graphs(), tiny_machines())
@settings(max_examples=40, deadline=None)
def test_no_placement_of_a_tiny_graph_beats_the_bound(graph: Graph, machine: Machine) -> None:
    assert lower_bound(Costs(graph, machine)).ticks <= _shortest_period(graph, machine)


@pytest.mark.parametrize(
    ("name", "ticks"),
    [
        ("line:1", 101_967),  # all the work: 128 * 785 + 10 * 129 + 9 + 90 + 9 + 80 + 9
        ("line:8", 12_746),  # an eighth of it
        ("torus:4x4", 6_409),  # 129 firings on 16 nodes: nine together, eight of 785 ticks and one of 129
        ("torus:8x8", 1_699),
        ("torus:16x16", 785),  # one firing
    ],
)
def test_the_bound_of_the_mnist_net(name: str, ticks: int) -> None:
    assert lower_bound(Costs(mlp(), load_machine(name))).ticks == ticks


def test_links_bind_where_nodes_are_fast() -> None:
    bound = lower_bound(Costs(mlp(), load_machine("line:64,macs_per_tick=785,calendar_entries=100000")))
    # 785 MACs a tick leave 128 + 10 + 197 ticks of work; with less than 392 frames per period all of it is on the host.
    assert (bound.kind, bound.ticks) == ("link", 137)


def test_fewer_nodes_never_have_a_lower_bound() -> None:
    costs = Costs(mlp(), load_machine("line:40"))
    bounds = [fewest_ticks(costs, k) for k in range(1, 41)]
    assert bounds == sorted(bounds, reverse=True)
