"""Tokens of a graph and who needs them where: found bundle by bundle, never by listing edges that follow a rule.

Tokens 0 .. actors - 1 are the outputs of the actors; the token from a source to the k-th input actor (over all input
groups, in id order) is ``actors + k``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.fields import Fields
from graphsim.errors import GraphError
from graphsim.graph import Channel, Dense, Graph, OneToOne, Window
from graphsim.graph.channels import per_actor
from graphsim.graph.rates import channel_name

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


def tokens_before(graph: Graph) -> tuple[IntArray, npt.NDArray[np.float32]]:
    """How many initial tokens of each actor there are, and their value: int64 and float32, both (actors,).

    Of several bundles from one group that hold initial tokens, the one with most counts: they are the same tokens.

    Raises:
        GraphError: bundles of one group give them different values, or they are between a source and its inputs.
    """
    count, value = np.zeros(graph.actor_count, np.int64), np.zeros(graph.actor_count, np.float32)
    for c in graph.channels:
        if not c.initial_tokens:
            continue
        if graph.groups[c.src].op == "source":
            raise GraphError(
                f"{channel_name(graph, c)}: initial tokens between a source and its inputs; put them behind the inputs"
            )
        group, at = graph.groups[c.src], slice(int(graph.first[c.src]), int(graph.first[c.src + 1]))
        given = np.zeros(group.size, np.float32)
        if c.initial is not None:
            given = given + per_actor(c.initial, group.size, graph.params).astype(np.float32)
        if count[at].any() and given.tobytes() != value[at].tobytes():
            raise GraphError(
                f"{channel_name(graph, c)}: its initial tokens differ from those of another bundle of {group.name}; "
                "on a machine all consumers of an actor get the same tokens"
            )
        count[at], value[at] = np.maximum(count[at], c.initial_tokens), given
    return count, value


def first_producers(graph: Graph, c: Channel) -> IntArray:
    """The producer on each consumer's first edge of a bundle, int64 (consumers,), local; -1 where it has no edge."""
    n_src, n_dst = graph.groups[c.src].size, graph.groups[c.dst].size
    if isinstance(c, OneToOne):
        return np.arange(n_dst)
    if isinstance(c, Dense):
        return np.arange(n_dst) // (n_dst // c.blocks) * (n_src // c.blocks)
    if isinstance(c, Window):
        found, there = np.zeros(1, np.int64), np.ones(1, np.bool_)
        for at, step in zip(c.positions, c.producer_strides, strict=True):
            first = at[np.arange(len(at)), np.argmax(at >= 0, axis=1)]
            found = (found[:, None] + first * step).reshape(-1)
            there = (there[:, None] & (first >= 0)).reshape(-1)
        return np.where(there, found, -1)
    edges = c.expand(n_src, n_dst, graph.params)
    producers = np.full(n_dst, -1, np.int64)
    consumer, at = np.unique(edges.dst, return_index=True)
    producers[consumer] = edges.src[at]
    return producers


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

    Needs 12 bytes per (token, node) pair that is found, 4 of them to keep; where edges follow a rule, none is listed.
    """
    counts = np.zeros(graph.actor_count, np.int64)
    found: list[npt.NDArray[np.int32]] = []
    for number, group in enumerate(graph.groups):
        channels = graph.channels_from(number)
        if group.op == "source" or not channels:
            continue
        keys = [_read_where(graph, c, node[graph.first[c.dst] : graph.first[c.dst + 1]], nodes) for c in channels]
        key = keys[0] if len(keys) == 1 else np.unique(np.concatenate(keys))
        token, there = np.divmod(key, nodes)
        counts[graph.first[number] : graph.first[number + 1]] = np.bincount(token, minlength=group.size)
        found.append(there.astype(np.int32))
    inputs = input_actors(graph)
    found.append(node[inputs].astype(np.int32))
    ptr = np.concatenate([[0], np.cumsum(np.concatenate([counts, np.ones(len(inputs), np.int64)]))]).astype(np.int64)
    return Readers(ptr, np.concatenate(found))


def _read_where(graph: Graph, c: Channel, there: npt.NDArray[np.int32], nodes: int) -> IntArray:
    """(producer, node) pairs of one bundle as ``producer * nodes + node``, ascending, each once; ``there``: of each
    consumer.
    """
    n_src, n_dst = graph.groups[c.src].size, graph.groups[c.dst].size
    if isinstance(c, OneToOne):
        return np.arange(n_src) * nodes + there
    if isinstance(c, Dense):
        # The nodes of each block, and a copy of them for each of its producers.
        block, at = np.divmod(np.unique(np.arange(n_dst) // (n_dst // c.blocks) * nodes + there), nodes)
        rows, many = n_src // c.blocks, np.bincount(block, minlength=c.blocks)
        first = np.repeat(np.cumsum(many) - many, rows)
        many = np.repeat(many, rows)
        offset = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
        return np.repeat(np.arange(n_src), many) * nodes + at[np.repeat(first, many) + offset]
    if isinstance(c, Window):
        fields = Fields(c)
        field, at = np.divmod(np.unique(fields.of * nodes + there), nodes)
        listed, offsets = fields.outline(field)
        outline = np.unique(listed.producer * nodes + np.repeat(at, np.diff(listed.begin)))
        if len(offsets) == 1:
            return outline
        return np.sort((outline[:, None] + offsets * nodes).reshape(-1))
    edges = c.expand(n_src, n_dst, graph.params)
    return np.unique(edges.src * nodes + there[edges.dst])
