"""The homogeneous expansion: every firing of an iteration a node, and what each waits for.

Sriram and Bhattacharyya, "Embedded Multiprocessors", ch. 3. Tokens are counted, not listed: firing n of a consumer
takes tokens up to a number that its rates say, and waits for the firing of the producer that makes the last of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphsim.errors import GraphError
from graphsim.graph.sdf import IntArray, TimedGraph

#: Edges of an expansion, at most.
MOST_EDGES = 100_000_000


class Expansion(NamedTuple):
    """Firings, and what they wait for.

    Attributes:
        first: number of each actor's firing 0, int64 (actors + 1,); the last is the number of firings.
        ticks: of each firing, int64 (firings,).
        src, dst: firings; dst waits for the end of src, ``tokens`` iterations earlier. int64 (edges,).
        tokens: int64 (edges,).
        channel: that the edge is of, int64 (edges,); of limits of concurrency: the number of channels, plus the actor.
    """

    first: IntArray
    ticks: IntArray
    src: IntArray
    dst: IntArray
    tokens: IntArray
    channel: IntArray

    def actor(self, firing: int) -> int:
        """Whose firing it is."""
        return int(np.searchsorted(self.first, firing, side="right")) - 1


def expand(graph: TimedGraph, repetition: IntArray) -> Expansion:
    """The expansion of an iteration.

    Raises:
        GraphError: it has more than ``MOST_EDGES`` edges.
    """
    edges = int(repetition[graph.dst].sum()) + int(repetition[graph.concurrency > 0].sum())
    if edges > MOST_EDGES or int(repetition.sum()) > MOST_EDGES:
        raise GraphError(f"{graph.name}: an iteration has {edges:,} dependences; at most {MOST_EDGES:,} are followed")
    first = np.concatenate([[0], np.cumsum(repetition)]).astype(np.int64)
    turns = repetition // graph.phases
    if (graph.phases == 1).all():
        ticks = np.repeat(graph.ticks, repetition)
    else:
        parts = [np.tile(graph.firing_ticks(a), int(many)) for a, many in enumerate(turns)]
        ticks = np.concatenate(parts)
    if graph.homogeneous:
        limited = np.flatnonzero(graph.concurrency)
        return Expansion(
            first,
            ticks,
            np.concatenate([graph.src.astype(np.int64), limited]),
            np.concatenate([graph.dst.astype(np.int64), limited]),
            np.concatenate([graph.tokens, graph.concurrency[limited]]),
            np.concatenate([np.arange(graph.channel_count), graph.channel_count + limited]),
        )
    found = [(np.empty(0, np.int64),) * 4]  # there may be no channels
    found += [expand_channel(graph, repetition, first, c) for c in range(graph.channel_count)]
    for actor in np.flatnonzero(graph.concurrency).tolist():
        count = int(repetition[actor])
        numbers = np.arange(count, dtype=np.int64)
        src, dst = _lasting(graph, actor, numbers - int(graph.concurrency[actor]), numbers)
        channel = np.full(len(src), graph.channel_count + actor)
        found.append((first[actor] + src % count, first[actor] + dst, -(src // count), channel))
    src, dst, tokens, channel = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Expansion(first, ticks, src, dst, tokens, channel)


def expand_channel(
    graph: TimedGraph, repetition: IntArray, first: IntArray, c: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """(src, dst, tokens, channel) of the edges of one channel."""
    producer, consumer = int(graph.src[c]), int(graph.dst[c])
    made = np.cumsum(graph.produce[graph.produce_ptr[c] : graph.produce_ptr[c + 1]])
    taken = np.cumsum(graph.consume[graph.consume_ptr[c] : graph.consume_ptr[c + 1]])
    n = np.arange(repetition[consumer], dtype=np.int64)
    turn, phase = np.divmod(n, len(taken))
    # How many the producer must have made. A firing that takes none waits all the same: for those before it to start.
    last = turn * taken[-1] + taken[phase] - int(graph.tokens[c])
    src, dst = _lasting(graph, producer, _maker(made, last), n)
    count = int(repetition[producer])
    return (
        first[producer] + src % count,
        first[consumer] + dst,
        -(src // count),
        np.full(len(dst), c, np.int64),
    )


def _maker(made: IntArray, number: IntArray) -> IntArray:
    """The firing that makes token ``number``, counted from 1; negative before the first iteration.

    Args:
        made: tokens made up to each phase of a turn.
    """
    turn, within = np.divmod(number - 1, int(made[-1]))
    found: IntArray = turn * len(made) + np.searchsorted(made, within, side="right")
    return found


def _lasting(graph: TimedGraph, actor: int, until: IntArray, waiting: IntArray) -> tuple[IntArray, IntArray]:
    """(firing, who waits for it), where ``waiting`` wait until all firings of an actor up to ``until`` have ended.

    Firings start in their order. So of those in the last turn of phases one matters only if it takes longer than all
    behind it, and of those before that turn none does: the next one in the same phase ends later.
    """
    ticks = np.array(graph.firing_ticks(actor), np.int64)
    if graph.concurrency[actor] == 1 or (ticks == ticks[0]).all():
        return until, waiting
    back, steps = _longer(ticks.tolist())
    edges = int((steps[until % len(ticks)] + 1).sum())
    if edges > MOST_EDGES:
        raise GraphError(
            f"{graph.name}: actor {graph.actor_name(actor)}: {edges:,} dependences on overlapping firings; at most "
            f"{MOST_EDGES:,} are followed; limit its concurrency"
        )
    firings, waits = [until], [waiting]
    while (more := steps[until % len(ticks)] > 0).any():
        until, waiting = until[more], waiting[more]
        until = until - back[until % len(ticks)]
        firings.append(until)
        waits.append(waiting)
    return np.concatenate(firings), np.concatenate(waits)


def _longer(ticks: list[int]) -> tuple[IntArray, IntArray]:
    """Of each phase: how far back the last one is that takes longer, and how many such steps lead to a longest one."""
    back, steps = np.zeros(len(ticks), np.int64), np.zeros(len(ticks), np.int64)
    first = ticks.index(max(ticks))
    longer: list[int] = []  # phases before this one, each longer than all behind it
    for at in range(first, first + len(ticks)):
        while longer and ticks[longer[-1] % len(ticks)] <= ticks[at % len(ticks)]:
            longer.pop()
        if longer:
            back[at % len(ticks)] = at - longer[-1]
            steps[at % len(ticks)] = steps[longer[-1] % len(ticks)] + 1
        longer.append(at)
    return back, steps
