"""Which (token, node) pairs each firing reads, bundle by bundle, in a form that times can be pushed through in bulk.

A *pair* is a token on a node that reads it; pairs are numbered as in :class:`~graphsim.analysis.tokens.Readers`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphsim.analysis.fields import Fields
from graphsim.analysis.tokens import Readers, input_actors
from graphsim.graph import Channel, Dense, Graph, OneToOne, Window

IntArray = npt.NDArray[np.int64]


class Reading(Protocol):
    """What the consumers of one bundle read."""

    def ready(self, arrival: IntArray) -> IntArray:
        """When each consumer has all its tokens, int64 (size,), from the arrival of every pair."""
        ...

    def release(self, end: IntArray, last: IntArray) -> None:
        """Raise ``last`` of every pair to the end of the last firing that reads it; ``end``: of each consumer."""
        ...


class Direct:
    """Consumer j reads pair ``pair[j]``."""

    def __init__(self, pair: IntArray) -> None:
        self.pair = pair

    def ready(self, arrival: IntArray) -> IntArray:
        return arrival[self.pair]

    def release(self, end: IntArray, last: IntArray) -> None:
        np.maximum.at(last, self.pair, end)


class Cases:
    """Consumers that read the same pairs are one case.

    Case i reads ``pair[begin[i]:begin[i + 1]]``, one at least; consumer j belongs to ``case[j]``, -1 where it reads
    nothing.
    """

    def __init__(self, pair: IntArray, begin: IntArray, case: IntArray) -> None:
        kept = np.diff(begin) > 0
        self.pair, self.begin = pair, begin[:-1][kept]
        self.size = np.diff(begin)[kept]
        self.case = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)[case]

    def ready(self, arrival: IntArray) -> IntArray:
        latest = np.maximum.reduceat(arrival[self.pair], self.begin) if len(self.begin) else self.begin
        found: IntArray = np.append(latest, 0)[self.case]
        return found

    def release(self, end: IntArray, last: IntArray) -> None:
        ends = np.zeros(len(self.begin) + 1, np.int64)
        np.maximum.at(ends, self.case, end)
        np.maximum.at(last, self.pair, np.repeat(ends[:-1], self.size))


class Pairs:
    """All pairs of a placement.

    Attributes:
        token, node: int64 (pairs,): what is read where.
        local: bool (pairs,): whether the token is made on that node.
    """

    def __init__(
        self, graph: Graph, placed: npt.NDArray[np.int32], makers: npt.NDArray[np.int32], read: Readers, nodes: int
    ) -> None:
        self.graph, self.placed, self.nodes, self.ptr = graph, placed, nodes, read.ptr
        self.token = np.repeat(np.arange(len(read.ptr) - 1), np.diff(read.ptr))
        self.node = read.node.astype(np.int64)
        self.local = self.node == placed[makers[self.token]]
        self._key = self.token * nodes + self.node

    def find(self, token: IntArray, node: IntArray) -> IntArray:
        """Numbers of (token, node) pairs; -1 for those that are not read."""
        if not len(self._key):
            return np.full(len(token), -1, np.int64)
        key = token * self.nodes + node
        at = np.minimum(np.searchsorted(self._key, key), len(self._key) - 1)
        return np.where(self._key[at] == key, at, -1).astype(np.int64)

    def reading(self, c: Channel) -> Reading:
        """What the consumers of a bundle read."""
        graph = self.graph
        a, b = int(graph.first[c.dst]), int(graph.first[c.dst + 1])
        size, there = b - a, self.placed[a:b].astype(np.int64)
        producers, src = graph.groups[c.src], int(graph.first[c.src])
        if producers.op == "source":
            low = graph.actor_count + int(np.searchsorted(input_actors(graph), a))
            return Direct(self.find(np.arange(low, low + size), there))
        if isinstance(c, OneToOne):
            return Direct(self.find(np.arange(src, src + size), there))
        if isinstance(c, Dense):
            pair = np.arange(self.ptr[src], self.ptr[src + producers.size])
            block = (self.token[pair] - src) // (producers.size // c.blocks)
            cases, which = np.unique(block * self.nodes + self.node[pair], return_inverse=True)
            order = np.argsort(which, kind="stable")
            begin = np.searchsorted(which[order], np.arange(len(cases) + 1))
            wanted = np.arange(size) // (size // c.blocks) * self.nodes + there
            return Cases(pair[order], begin, np.searchsorted(cases, wanted))
        if isinstance(c, Window):
            fields = Fields(c)
            spots, case = np.unique(fields.of * self.nodes + there, return_inverse=True)
            field, at = np.divmod(spots, self.nodes)
            listed = fields.listed(field)
            pair = self.find(src + listed.producer, np.repeat(at, np.diff(listed.begin)))
            return Cases(pair, listed.begin, case.reshape(-1))
        edges = c.expand(producers.size, size, graph.params)
        order = np.argsort(edges.dst, kind="stable")
        dst = edges.dst[order]
        begin = np.searchsorted(dst, np.arange(size + 1))
        return Cases(self.find(src + edges.src[order], there[dst]), begin, np.arange(size))
