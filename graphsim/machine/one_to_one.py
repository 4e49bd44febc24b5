"""The machine that is made for a graph: a node for every actor, a direct link wherever two of them communicate.

One node holds the sources and all input actors, which cost nothing there: the host. Every actor that computes has a
node of its own. The sinks share one more node with the actors of the softmax that feeds them. From node to node there
is a link if any actor on the one feeds an actor on the other, and only then; ``one-to-one:multicast`` is the same but
for the host, which has a single link, to a switch with a link to every node that reads the input.

Nodes are numbered host, actors in the order of their ids, sinks, switch. A node that nothing feeds (a constant, a ring
of registers) is linked from the host, one that feeds nothing to the sinks' node: every node of a machine has a way from
the one and to the other.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import MachineError
from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.machine.settings import MAX_LINKS, MAX_NODES
from graphsim.machine.topologies import Shape

MULTICAST = "one-to-one:multicast"
#: What is different from other machines where nothing is said about it.
NODE_DEFAULTS: dict[str, Any] = {"ticks_per_firing": 1}
#: Memories and calendars of links are those of bittide hardware.
LINK_DEFAULTS: dict[str, Any] = {"frame_bits": 128, "latency": 0, "memory_frames": 255, "calendar_rows": 1024}

_EDGES = 1 << 26
"""Edges of a bundle that are listed at once to find out which nodes communicate; more cannot fit on links anyway."""


def one_to_one_nodes(graph: Graph) -> npt.NDArray[np.int32]:
    """The node of every actor on the machine made for a graph, int32 (actors,)."""
    together = _softmax_groups(graph)
    node = np.zeros(graph.actor_count, np.int32)
    used = 1
    for number, group in enumerate(graph.groups):
        if group.op in ("source", "input") or number in together:
            continue
        node[graph.first[number] : graph.first[number + 1]] = np.arange(used, used + group.size)
        used += group.size
    for number in together:
        node[graph.first[number] : graph.first[number + 1]] = used
    return node


def one_to_one_shape(name: str, graph: Graph) -> Shape:
    """Nodes and links of the machine called ``name`` for a graph.

    Raises:
        MachineError: there is no such machine, or it would have more nodes or links than a machine may have.
    """
    if name not in ("one-to-one", MULTICAST):
        raise MachineError(f"{name[:64]!r}: there are one-to-one and {MULTICAST}; settings follow after commas")
    computing = graph.actor_count - sum(
        graph.groups[g].size for g in range(len(graph.groups)) if graph.groups[g].op in ("source", "input")
    )
    computing -= sum(graph.groups[g].size for g in _softmax_groups(graph))
    switches = int(name == MULTICAST)
    if computing + 2 + switches > MAX_NODES:
        raise MachineError(
            f"{graph.name} has {computing:,} actors that each need a node; a machine has at most "
            f"{MAX_NODES:,} nodes, {2 + switches} of which are taken; fold it onto fewer, for example torus:16x16"
        )
    node = one_to_one_nodes(graph)
    sinks = computing + 1
    pairs = _pairs(graph, node, computing + 2)
    switch = sinks + 1
    if switches:
        out = pairs[:, 0] == 0
        pairs = np.concatenate([pairs[~out], [[0, switch]], np.where(pairs[out] == 0, switch, pairs[out])])
    if len(pairs) <= MAX_LINKS:
        pairs = _completed(pairs, computing + 2 + switches, sinks, switch if switches else 0)
    if len(pairs) > MAX_LINKS:
        raise _too_many(graph, f"{len(pairs):,}")
    ends = pairs[np.lexsort([pairs[:, 1], pairs[:, 0]])].tolist()
    return Shape(_names(graph, node, sinks, switches), sinks + 1, tuple((a, b, 1) for a, b in ends), sinks)


def _softmax_groups(graph: Graph) -> set[int]:
    """Numbers of the sinks, and of the groups of each softmax that feeds nothing but them."""
    found = set(graph.sinks)
    for sink in graph.sinks:
        for last in {c.src for c in graph.channels_into(sink)}:
            ops = {graph.groups[last].op: last}
            for c in graph.channels_into(last):
                ops[graph.groups[c.src].op] = c.src
            if set(ops) == {"divide", "subtract", "sum"} and graph.groups[ops["subtract"]].activation == "exp":
                greatest = {c.src for c in graph.channels_into(ops["subtract"]) if graph.groups[c.src].op == "max"}
                parts = {*ops.values(), *greatest}
                if all(c.dst in found | parts for g in parts for c in graph.channels_from(g)):
                    found |= parts
    return found


def _pairs(graph: Graph, node: npt.NDArray[np.int32], nodes: int) -> npt.NDArray[np.int64]:
    """(sender, receiver) of every two nodes that communicate, int64 (pairs, 2), ascending."""
    keys = [np.empty(0, np.int64)]
    for c in graph.channels:
        src = node[graph.first[c.src] : graph.first[c.src + 1]].astype(np.int64)
        dst = node[graph.first[c.dst] : graph.first[c.dst + 1]].astype(np.int64)
        if len(np.unique(src)) == 1:
            read = c.fan_in(len(src), len(dst), graph.params) > 0
            keys.append(np.unique(src[0] * nodes + dst[read]))
            continue
        edges = c.edge_count(len(src), len(dst), graph.params)
        if edges > _EDGES:
            raise _too_many(graph, f"about {edges:,}")
        listed = c.expand(len(src), len(dst), graph.params)
        keys.append(np.unique(src[listed.src] * nodes + dst[listed.dst]))
    key = np.unique(np.concatenate(keys))
    pairs: npt.NDArray[np.int64] = np.stack(np.divmod(key, nodes), axis=1)
    found: npt.NDArray[np.int64] = pairs[pairs[:, 0] != pairs[:, 1]]
    return found


def _too_many(graph: Graph, links: str) -> MachineError:
    return MachineError(
        f"the actors of {graph.name} need {links} direct links; a machine has at most {MAX_LINKS:,}; fold "
        "it onto a machine with fewer, for example torus:16x16"
    )


def _completed(pairs: npt.NDArray[np.int64], nodes: int, sinks: int, sender: int) -> npt.NDArray[np.int64]:
    """Pairs with those added without which a node has no way from the host, or none to the sinks."""
    more = []
    for start, near, far in ((0, 0, 1), (sinks, 1, 0)):
        out: list[list[int]] = [[] for _ in range(nodes)]
        for pair in pairs.tolist():
            out[pair[near]].append(pair[far])
        seen = bytearray(nodes)
        for v in [start, *range(sinks + 1)]:
            if seen[v]:
                continue
            if v != start:
                more.append([sender, v] if near == 0 else [v, sinks])
            waiting = [v]
            seen[v] = 1
            while waiting:
                for u in out[waiting.pop()]:
                    if not seen[u]:
                        seen[u] = 1
                        waiting.append(u)
    return np.unique(np.concatenate([pairs, np.array(more, np.int64).reshape(-1, 2)]), axis=0)


def _names(graph: Graph, node: npt.NDArray[np.int32], sinks: int, switches: int) -> tuple[str, ...]:
    """``dense.17`` for the node of ``dense[17]``; what would be too long, or there twice, gets its number instead."""
    names = [f"n{v}" for v in range(sinks + 1)] + ["s0"] * switches
    taken = {"host", "sink", "s0"}
    names[0], names[sinks] = "host", "sink"
    for number, group in enumerate(graph.groups):
        at = node[graph.first[number] : graph.first[number + 1]].tolist()
        if group.op in ("source", "input", *SINKS) or at[0] == sinks:
            continue
        base = re.sub(r"[^A-Za-z0-9_\-]", "_", group.name)
        base = base if re.match("[A-Za-z_]", base) else f"_{base}"
        own = [base if not group.shape else f"{base}.{i}" for i in range(group.size)]
        if len(own[-1]) > 64 or not taken.isdisjoint(own):
            own = [f"g{number}.{i}" for i in range(group.size)]
        taken.update(own)
        for v, name in zip(at, own, strict=True):
            names[v] = name
    return tuple(names)
