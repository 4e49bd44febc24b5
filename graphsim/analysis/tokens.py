"""Tokens of a graph and who needs them where: found bundle by bundle, never by listing the edges of a dense bundle.

Tokens 0 .. actors - 1 are the outputs of the actors; the token from a source to the k-th input actor (over all input
groups, in id order) is ``actors + k``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.graph import Dense, Graph, OneToOne

IntArray = npt.NDArray[np.int64]


def input_actors(graph: Graph) -> IntArray:
    """Ids of the actors that sources feed, ascending, int64."""
    groups = sorted(number for number, group in enumerate(graph.groups) if group.op == "input")
    parts = [np.arange(graph.first[g], graph.first[g + 1], dtype=np.int64) for g in groups]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def token_bits(graph: Graph) -> IntArray:
    """Width of every token in bits, int64 (tokens,); 0 for those of a group that feeds nobody, and a source's own."""
    inputs = input_actors(graph)
    bits = np.zeros(graph.actor_count + len(inputs), np.int64)
    for c in graph.channels:
        if graph.groups[c.src].op == "source":
            first, last = np.searchsorted(inputs, graph.first[c.dst : c.dst + 2])
            at = slice(graph.actor_count + int(first), graph.actor_count + int(last))
        else:
            at = slice(int(graph.first[c.src]), int(graph.first[c.src + 1]))
        bits[at] = np.maximum(bits[at], c.token_bits)
    return bits


def token_makers(graph: Graph) -> npt.NDArray[np.int32]:
    """The actor that makes each token, int32 (tokens,)."""
    inputs = input_actors(graph)
    makers = np.empty(graph.actor_count + len(inputs), np.int32)
    makers[: graph.actor_count] = np.arange(graph.actor_count)
    for c in graph.channels:
        if graph.groups[c.src].op == "source":
            first, last = np.searchsorted(inputs, graph.first[c.dst : c.dst + 2])
            makers[graph.actor_count + int(first) : graph.actor_count + int(last)] = graph.first[c.src]
    return makers


@dataclass(frozen=True)
class Readers:
    """Which nodes read which tokens under a placement.

    Attributes:
        ptr: int64 (tokens + 1,); token t is read on nodes ``node[ptr[t]:ptr[t + 1]]``.
        node: int32, ascending within a token, each once; the token's own node too if it is read there.
    """

    ptr: IntArray
    node: npt.NDArray[np.int32]


def readers(graph: Graph, node: npt.NDArray[np.int32], nodes: int) -> Readers:
    """The nodes that read each token when actor a is on ``node[a]`` of a machine with ``nodes`` nodes.

    Needs a bit per token and node of one group at a time, and 4 bytes per (token, node) pair that is found.
    """
    counts = np.zeros(graph.actor_count, np.int64)
    found: list[npt.NDArray[np.int32]] = []
    width = -(-nodes // 8)
    for number, group in enumerate(graph.groups):
        channels = graph.channels_from(number)
        if group.op == "source" or not channels:
            continue
        mask = np.zeros((group.size, width), np.uint8)
        for c in channels:
            size = graph.groups[c.dst].size
            there = node[graph.first[c.dst] : graph.first[c.dst + 1]]
            if isinstance(c, Dense):
                rows = np.zeros((c.blocks, nodes), np.bool_)
                rows[np.repeat(np.arange(c.blocks), size // c.blocks), there] = True
                mask.reshape(c.blocks, -1, width)[:] |= np.packbits(rows, axis=1)[:, None, :]
            elif isinstance(c, OneToOne):
                mask[np.arange(size), there >> 3] |= (128 >> (there & 7)).astype(np.uint8)
            else:
                edges = c.expand(group.size, size, graph.params)
                pair = np.unique(edges.src * nodes + there[edges.dst])
                src, at = np.divmod(pair, nodes)
                np.bitwise_or.at(mask, (src, at >> 3), (128 >> (at & 7)).astype(np.uint8))
        first = int(graph.first[number])
        step = max(1, (1 << 24) // nodes)
        for begin in range(0, group.size, step):
            bits = np.unpackbits(mask[begin : begin + step], axis=1, count=nodes)
            counts[first + begin : first + begin + len(bits)] = bits.sum(axis=1, dtype=np.int64)
            found.append(np.nonzero(bits)[1].astype(np.int32))
    inputs = input_actors(graph)
    found.append(node[inputs].astype(np.int32))
    ptr = np.concatenate([[0], np.cumsum(np.concatenate([counts, np.ones(len(inputs), np.int64)]))]).astype(np.int64)
    return Readers(ptr, np.concatenate(found))
