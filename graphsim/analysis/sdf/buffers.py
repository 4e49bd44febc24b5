"""Minimal buffers: for every throughput that can be had, the least total capacity of channels that gives it.

A channel of bounded capacity is a channel and one that leads back with the free space: space is claimed when a firing
of the producer starts, and freed when one of the consumer ends. Capacities are searched in order of their total; where
a distribution is not fast enough, at least one of the channels whose space lies on its critical cycle has to grow, and
only those are tried. So nothing is missed, and the points found are exact (Stuijk, Geilen and Basten,
"Throughput-buffering trade-off exploration for cyclo-static and synchronous dataflow graphs", IEEE Trans. Computers
57(10), 2008).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import gcd

import numpy as np

from graphsim.analysis.cycles import CycleWithoutTokensError, slowest_cycle
from graphsim.analysis.sdf.expansion import expand, expand_channel
from graphsim.analysis.sdf.rates import repetition_vector
from graphsim.errors import GraphError
from graphsim.graph.sdf import IntArray, TimedGraph

#: Distributions that are tried, unless told otherwise.
MOST_TRIED = 200_000
#: Dependences of an iteration with the space of its channels, at most: a search works on all of them, about 200 bytes
#: for each.
MOST_EDGES = 10_000_000
#: Capacities that are kept of distributions that were met, 8 bytes or a little more each.
MOST_HELD = 40_000_000
#: Capacities of channels whose edges are kept, if they have no more than so many edges in all; 24 bytes for each.
_KEPT, _KEPT_EDGES = 256, 20_000_000


@dataclass(frozen=True)
class Distribution:
    """Capacities of channels, and the period that they allow.

    Attributes:
        capacity: tokens that each channel can hold, int64 (channels,); 0 for channels from an actor to itself, which
            hold what they must.
        total: sum of the capacities.
        period: ticks per iteration.
    """

    capacity: IntArray
    total: int
    period: Fraction


@dataclass(frozen=True)
class Tradeoff:
    """The Pareto front of total capacity against period.

    Attributes:
        points: ascending by total; every one is faster than all before it.
        tried: distributions whose period was worked out.
        complete: whether the last point is as fast as unbounded buffers; if not, the search was cut off, and the points
            are exact as far as they go.
        full: whether it was cut off because more distributions were met than are held.
    """

    points: tuple[Distribution, ...]
    tried: int
    complete: bool
    full: bool = False


def smallest_capacity(graph: TimedGraph, channel: int) -> tuple[int, int]:
    """(capacity, step): no schedule ever runs with less, and only this plus multiples of the step differ.

    Of SDF channels: p + c - g + d mod g, or d if that is more, where g is the greatest common divisor of p and c (Ade,
    Lauwereins and Peperstraete, "Data memory minimisation for synchronous data flow graphs", DAC 1997). Of CSDF
    channels, what one firing needs beside the d mod g tokens that never leave.
    """
    made, taken, tokens = graph.produced(channel), graph.consumed(channel), int(graph.tokens[channel])
    step = gcd(*made, *taken)
    least = made[0] + taken[0] - step if len(made) == len(taken) == 1 else max(*made, *taken)
    return max(least + tokens % step, tokens), step


def tradeoff(graph: TimedGraph, *, most: int = MOST_TRIED, progress: Callable[[int], None] | None = None) -> Tradeoff:
    """Every throughput with the least total capacity that gives it, from the smallest live one to the greatest.

    Raises:
        InconsistentError, DeadlockError, GraphError: the graph itself cannot run, or is too large.
    """
    _check_size(graph)
    search = _Search(graph)
    bounded = [c for c in range(graph.channel_count) if graph.src[c] != graph.dst[c]]
    limits = dict(zip(bounded, (smallest_capacity(graph, c) for c in bounded), strict=True))
    goal = search.unbounded()
    if not goal:
        raise GraphError(f"{graph.name}: nothing limits its throughput, so no buffers are enough; limit concurrency")
    start = tuple(limits[c][0] for c in bounded)
    queue = [(sum(start), start)]
    seen = {start}
    points: list[Distribution] = []
    tried = 0
    while queue and tried < most:
        if len(seen) * len(bounded) > MOST_HELD:
            return Tradeoff(tuple(points), tried, False, True)
        total, sizes = heapq.heappop(queue)
        tried += 1
        if progress is not None:
            progress(tried)
        found = search.bounded(dict(zip(bounded, sizes, strict=True)))
        if found.period is not None and (not points or found.period < points[-1].period):
            capacity = np.zeros(graph.channel_count, np.int64)
            capacity[bounded] = sizes
            if points and points[-1].total == total:
                points.pop()
            points.append(Distribution(capacity, total, found.period))
            if found.period <= goal:
                # Others of this total cannot be faster.
                return Tradeoff(tuple(points), tried, True)
        for c in found.waiting:
            at = bounded.index(c)
            grown = (*sizes[:at], sizes[at] + limits[c][1], *sizes[at + 1 :])
            if grown not in seen:
                seen.add(grown)
                heapq.heappush(queue, (sum(grown), grown))
    return Tradeoff(tuple(points), tried, False)


def _check_size(graph: TimedGraph) -> None:
    """Refuse what would not fit into memory, before anything of it is made."""
    repetition = repetition_vector(graph)
    edges = sum(int(repetition[end].sum()) for end in (graph.src, graph.dst, graph.concurrency > 0))
    if edges > MOST_EDGES:
        raise GraphError(
            f"{graph.name}: an iteration has {edges:,} dependences with the space of its channels; buffers are "
            f"searched for up to {MOST_EDGES:,}"
        )


@dataclass(frozen=True)
class _Found:
    """A period, or None for a deadlock; and the channels whose space lies on the critical cycle."""

    period: Fraction | None
    waiting: tuple[int, ...]


class _Search:
    """A graph's expansion, to which the space of its channels is added."""

    def __init__(self, graph: TimedGraph) -> None:
        self.graph = graph
        self.repetition = repetition_vector(graph)
        self.base = expand(graph, self.repetition)
        # Neighbouring distributions share most capacities; an iteration of many firings makes each of them large.
        largest = int(self.repetition.max(initial=1))
        self._back = lru_cache(maxsize=min(_KEPT, max(1, _KEPT_EDGES // largest)))(self._space)

    def unbounded(self) -> Fraction:
        """The period without any bounds on channels."""
        base = self.base
        found = slowest_cycle(int(base.first[-1]), base.src, base.dst, base.ticks[base.src], base.tokens)
        return found.ratio if found is not None else Fraction(0)

    def bounded(self, capacity: dict[int, int]) -> _Found:
        """The period with these capacities by channel."""
        src, dst, tokens = [self.base.src], [self.base.dst], [self.base.tokens]
        channel = [np.full(len(self.base.src), -1)]
        for c, size in capacity.items():
            a, b, t = self._back(c, size)
            src.append(a)
            dst.append(b)
            tokens.append(t)
            channel.append(np.full(len(a), c))
        of, first = np.concatenate(channel), np.concatenate(src)
        period: Fraction | None = None
        try:
            cycle = slowest_cycle(
                int(self.base.first[-1]), first, np.concatenate(dst), self.base.ticks[first], np.concatenate(tokens)
            )
            period = cycle.ratio if cycle is not None else Fraction(0)
        except CycleWithoutTokensError as stuck:
            cycle = stuck.cycle
        edges = list(cycle.edges) if cycle is not None else []
        waiting = tuple(sorted({int(c) for c in of[edges] if c >= 0}))
        if period is None and not waiting:
            raise GraphError(f"{self.graph.name}: deadlock, whatever the buffers")
        return _Found(period, waiting)

    def _space(self, c: int, size: int) -> tuple[IntArray, IntArray, IntArray]:
        """(src, dst, tokens) of the edges of the space of a channel."""
        graph, one = self.graph, slice(c, c + 1)
        made, taken = (np.array(rates, np.int64) for rates in (graph.produced(c), graph.consumed(c)))
        space = replace(
            graph,
            src=graph.dst[one],
            dst=graph.src[one],
            tokens=size - graph.tokens[one],
            produce=taken,
            produce_ptr=np.array([0, len(taken)], np.int64),
            consume=made,
            consume_ptr=np.array([0, len(made)], np.int64),
            channel_names=(),
            token_bits=graph.token_bits[one],
        )
        src, dst, tokens, _ = expand_channel(space, self.repetition, self.base.first, 0)
        return src, dst, tokens
