"""Repetition vector, consistency, and deadlock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from math import lcm

import numpy as np

from graphsim.analysis.waiting import Wait, told
from graphsim.errors import DeadlockError, GraphError, InconsistentError
from graphsim.graph.sdf import IntArray, TimedGraph

#: Firings of an iteration, at most, for what follows them one by one.
MOST_FIRINGS = 20_000_000
#: Firings that are followed to learn in which tick a deadlock is there.
MOST_FOLLOWED = 1_000_000
#: Firings of an iteration, of all actors together, stay below this, so that 64 bits count them.
_COUNTED = 1 << 62


def repetition_vector(graph: TimedGraph) -> IntArray:
    """Firings of each actor in an iteration, int64 (actors,): the fewest, at least a full turn of phases, that leave
    every channel with as many tokens as before. Parts of the graph that no channel joins have iterations of their own.

    Raises:
        InconsistentError: there are none; names the channel on which tokens would pile up or run out.
        GraphError: there are too many to count in 64 bits.
    """
    if graph.homogeneous:
        return np.ones(graph.actor_count, np.int64)
    made = np.add.reduceat(graph.produce, graph.produce_ptr[:-1]).tolist() if graph.channel_count else []
    taken = np.add.reduceat(graph.consume, graph.consume_ptr[:-1]).tolist() if graph.channel_count else []
    src, dst = graph.src.tolist(), graph.dst.tolist()
    around: list[list[int]] = [[] for _ in range(graph.actor_count)]
    for c in range(graph.channel_count):
        around[src[c]].append(c)
        around[dst[c]].append(c)
    turns: list[Fraction | None] = [None] * graph.actor_count
    result = [0] * graph.actor_count
    for root in range(graph.actor_count):
        if turns[root] is not None:
            continue
        turns[root] = Fraction(1)
        part, queue, scale = [root], deque([root]), 1
        while queue:
            actor = queue.popleft()
            here = turns[actor]
            assert here is not None
            for c in around[actor]:
                other, ratio = (
                    (dst[c], Fraction(made[c], taken[c])) if src[c] == actor else (src[c], Fraction(taken[c], made[c]))
                )
                there = here * ratio
                if turns[other] is None:
                    scale = lcm(scale, there.denominator)
                    if max(scale, there.numerator) >= _COUNTED:  # turns of the root, and at the least of the other
                        raise _uncountable(graph, other)
                    turns[other] = there
                    part.append(other)
                    queue.append(other)
                elif turns[other] != there:
                    raise InconsistentError(
                        f"{graph.name}: inconsistent rates: channel {graph.channel_name(c)} asks for "
                        f"{there} turns of {graph.actor_name(other)} for every turn of {graph.actor_name(root)}, other "
                        f"channels for {turns[other]}"
                    )
        found = [turns[a] for a in part]
        whole = [int(f * scale) for f in found if f is not None]
        for actor, many in zip(part, whole, strict=True):
            # No number divides all of these: for every factor of the scale one of them lacks it, and the root has it.
            result[actor] = many * int(graph.phases[actor])
    if sum(result) >= _COUNTED:
        raise _uncountable(graph, result.index(max(result)))
    return np.array(result, np.int64)


def _uncountable(graph: TimedGraph, actor: int) -> GraphError:
    return GraphError(
        f"{graph.name}: an iteration has more than 2**62 firings, many of them of {graph.actor_name(actor)}: "
        "too many to count; are its rates right?"
    )


def check_alive(graph: TimedGraph, repetition: IntArray) -> None:
    """Check that an iteration can be completed, by completing one, whatever time it takes.

    Raises:
        DeadlockError: it cannot; names a cycle of actors that wait for each other.
        GraphError: it has too many firings to try.
    """
    if int(repetition.sum()) > MOST_FIRINGS:
        raise GraphError(
            f"{graph.name}: an iteration has {int(repetition.sum()):,} firings; at most {MOST_FIRINGS:,} are followed"
        )
    tokens, left = graph.tokens.tolist(), repetition.tolist()
    fired = [0] * graph.actor_count
    src, dst = graph.src.tolist(), graph.dst.tolist()
    into: list[list[int]] = [[] for _ in left]
    out: list[list[int]] = [[] for _ in left]
    for c in range(graph.channel_count):
        into[dst[c]].append(c)
        out[src[c]].append(c)
    made = [graph.produced(c) for c in range(graph.channel_count)]
    taken = [graph.consumed(c) for c in range(graph.channel_count)]

    def lacking(actor: int) -> int | None:
        """A channel that has too few tokens for the next firing."""
        return next((c for c in into[actor] if tokens[c] < taken[c][fired[actor] % len(taken[c])]), None)

    queue = deque(range(graph.actor_count))
    waiting = [True] * graph.actor_count
    while queue:
        actor = queue.popleft()
        waiting[actor] = False
        before = fired[actor]
        while left[actor] and lacking(actor) is None:
            for c in into[actor]:
                tokens[c] -= taken[c][fired[actor] % len(taken[c])]
            for c in out[actor]:
                tokens[c] += made[c][fired[actor] % len(made[c])]
            fired[actor] += 1
            left[actor] -= 1
        for c in out[actor] if fired[actor] > before else ():
            if not waiting[dst[c]] and left[dst[c]]:
                waiting[dst[c]] = True
                queue.append(dst[c])
    stuck = next((a for a, many in enumerate(left) if many), None)
    if stuck is None:
        return
    raise _deadlock(graph, fired, stuck, lacking, tokens)


def _deadlock(
    graph: TimedGraph, fired: list[int], stuck: int, lacking: Callable[[int], int | None], tokens: list[int]
) -> DeadlockError:
    """Of a graph in which nobody can fire that must: the circle of those who wait, from one of them back."""
    at: dict[int, int] = {}
    path: list[int] = []
    while stuck not in at:
        at[stuck] = len(path)
        path.append(stuck)
        channel = lacking(stuck)
        assert channel is not None  # whatever can fire has fired
        stuck = int(graph.src[channel])
    ring = path[at[stuck] :]
    since = _last_end(graph, fired, set(ring))
    waits = []
    for actor in ring:
        channel = lacking(actor)
        assert channel is not None
        rates = graph.consumed(channel)
        why = (
            f"waits with firing {fired[actor]} for channel {graph.channel_name(channel)}, which holds "
            f"{tokens[channel]} of {rates[fired[actor] % len(rates)]} tokens"
        )
        waits.append(Wait(graph.actor_name(actor), why, (graph.actor_name(int(graph.src[channel])),), tick=since))
    return DeadlockError(
        f"{graph.name}: {told(waits)}\none of these channels needs more initial tokens",
        tuple(graph.actor_name(a) for a in ring),
    )


def _last_end(graph: TimedGraph, fired: list[int], ring: set[int]) -> int | None:
    """The tick in which the last firing of actors that then wait for each other ends, all firing as soon as they can;
    None where that takes too long to find out.
    """
    from graphsim.analysis.sdf.selftimed import SelfTimed  # which uses this module

    left, last = sum(fired[a] for a in ring), 0
    for firing in islice(SelfTimed(graph).firings(), MOST_FOLLOWED):
        if not left:
            break
        if firing.actor in ring:
            left, last = left - 1, max(last, firing.end)
    return None if left else last
