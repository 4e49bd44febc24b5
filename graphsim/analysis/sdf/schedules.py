"""Periodic schedules of an iteration on processors that are all alike.

One processor: a periodic admissible sequential schedule (Lee and Messerschmitt 1987). Several: list scheduling of the
firings of one iteration, those with the longest way to the end first (Hu 1961); the next iteration begins when this one
is done, so that the period is its length.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from graphsim.analysis.sdf.expansion import expand
from graphsim.analysis.sdf.rates import check_alive, repetition_vector
from graphsim.graph.sdf import IntArray, TimedGraph


@dataclass(frozen=True)
class Blocked:
    """One iteration on processors.

    Attributes:
        period: ticks per iteration.
        actor, number, processor, start, end: of every firing, int64 (firings,), in the order of starts; ``number``
            counts an actor's firings from 0.
    """

    period: int
    actor: IntArray
    number: IntArray
    processor: IntArray
    start: IntArray
    end: IntArray


def latency(graph: TimedGraph) -> int:
    """Ticks from the first start to the last end of the firings of the first iteration, each as soon as it can be.

    Raises:
        InconsistentError, DeadlockError, GraphError: the graph cannot run, or is too large.
    """
    begin, after, waiting, ticks, _ = _iteration(graph)
    return max(_ranks(begin, after, waiting, ticks), default=0)


def schedule(graph: TimedGraph, processors: int) -> Blocked:
    """A schedule of one iteration on so many processors (at least 1).

    Raises:
        InconsistentError, DeadlockError, GraphError: the graph cannot run, or is too large.
    """
    begin, after, waiting, ticks, first = _iteration(graph)
    rank = _ranks(begin, after, list(waiting), ticks)
    ready = [(-rank[v], v) for v in range(len(ticks)) if not waiting[v]]
    heapq.heapify(ready)
    idle = list(range(processors))
    busy: list[tuple[int, int, int]] = []
    rows: list[tuple[int, int, int, int]] = []
    now = 0
    while ready or busy:
        while ready and idle:
            _, v = heapq.heappop(ready)
            processor = heapq.heappop(idle)
            rows.append((now, v, processor, now + ticks[v]))
            heapq.heappush(busy, (now + ticks[v], v, processor))
        now = busy[0][0]
        while busy and busy[0][0] == now:
            _, v, processor = heapq.heappop(busy)
            heapq.heappush(idle, processor)
            for w in after[begin[v] : begin[v + 1]]:
                waiting[w] -= 1
                if not waiting[w]:
                    heapq.heappush(ready, (-rank[w], w))
    start, firing, on, end = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    actor = np.searchsorted(first, firing, side="right") - 1
    return Blocked(int(end.max()), actor, firing - first[actor], on, start, end)


def _iteration(graph: TimedGraph) -> tuple[list[int], list[int], list[int], list[int], IntArray]:
    """Firings of one iteration: where each one's followers begin in a list, the list, how many firings each waits for,
    ticks, and each actor's first firing.
    """
    repetition = repetition_vector(graph)
    check_alive(graph, repetition)
    found = expand(graph, repetition)
    firings = len(found.ticks)
    within = np.flatnonzero(found.tokens == 0)
    order = np.argsort(found.src[within], kind="stable")
    src, dst = found.src[within][order], found.dst[within][order]
    begin = np.searchsorted(src, np.arange(firings + 1)).tolist()
    return begin, dst.tolist(), np.bincount(dst, minlength=firings).tolist(), found.ticks.tolist(), found.first


def _ranks(begin: list[int], after: list[int], waiting: list[int], ticks: list[int]) -> list[int]:
    """Ticks from the start of each firing to the end of the last that waits for it."""
    order = [v for v, many in enumerate(waiting) if not many]
    for v in order:  # grows while it is walked through
        for w in after[begin[v] : begin[v + 1]]:
            waiting[w] -= 1
            if not waiting[w]:
                order.append(w)
    rank = list(ticks)
    for v in reversed(order):
        rank[v] += max((rank[w] for w in after[begin[v] : begin[v + 1]]), default=0)
    return rank
