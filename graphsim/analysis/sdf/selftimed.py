"""Self-timed execution, firing by firing: every actor fires as soon as it can.

The second opinion on everything that :mod:`graphsim.analysis.sdf.throughput` proves: a plain simulation with a heap of
ends of firings, which goes on until a state comes back (Ghamarian, Geilen, Stuijk, Basten, Moonen, Bekooij, Theelen and
Mousavi, "Throughput analysis of synchronous data flow graphs", ACSD 2006). Where tokens can pile up without end, as
before a slower actor, no state comes back; such graphs are for the cycle ratio.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from graphsim.analysis.sdf.rates import check_alive, repetition_vector
from graphsim.errors import GraphError
from graphsim.graph.sdf import TimedGraph

#: States that are kept, at most.
MOST_STATES = 1_000_000
#: Firings that a simulation follows, at most.
MOST_FIRINGS = 50_000_000


@dataclass(frozen=True)
class Firing:
    """One firing: which actor, the how manieth of it from 0, and its first tick and the one after its last."""

    actor: int
    number: int
    start: int
    end: int


class SelfTimed:
    """A graph while it runs."""

    def __init__(self, graph: TimedGraph) -> None:
        self.graph = graph
        self.now = 0
        self.tokens = graph.tokens.tolist()
        self.started = [0] * graph.actor_count
        self.ended = [0] * graph.actor_count
        self._last = [0] * graph.actor_count
        self._ends: list[tuple[int, int, int]] = []
        self._into: list[list[int]] = [[] for _ in range(graph.actor_count)]
        self._out: list[list[int]] = [[] for _ in range(graph.actor_count)]
        for c in range(graph.channel_count):
            self._into[int(graph.dst[c])].append(c)
            self._out[int(graph.src[c])].append(c)
        self._made = [graph.produced(c) for c in range(graph.channel_count)]
        self._taken = [graph.consumed(c) for c in range(graph.channel_count)]
        self._ticks = [graph.firing_ticks(a) for a in range(graph.actor_count)]
        self._limit = graph.concurrency.tolist()

    def firings(self) -> Iterator[Firing]:
        """Firings in the order of their starts, without end; ends only where nothing can fire any more.

        Raises:
            GraphError: an actor that takes no time and waits for nothing fires for ever in one tick.
        """
        pending = set(range(self.graph.actor_count))
        at_once = 0
        while True:
            for actor in sorted(pending):
                while self._ready(actor):
                    at_once += 1
                    if at_once > MOST_FIRINGS:
                        raise GraphError(f"{self.graph.name}: {self.graph.actor_name(actor)} fires without end at once")
                    yield self._start(actor)
            pending.clear()
            if not self._ends:
                return
            if self._ends[0][0] > self.now:
                at_once = 0
            self.now = self._ends[0][0]
            while self._ends and self._ends[0][0] == self.now:
                _, number, actor = heapq.heappop(self._ends)
                self.ended[actor] += 1
                pending.add(actor)
                for c in self._out[actor]:
                    self.tokens[c] += self._made[c][number % len(self._made[c])]
                    pending.add(int(self.graph.dst[c]))

    def _ready(self, actor: int) -> bool:
        n = self.started[actor]
        if self._limit[actor] and n - self.ended[actor] >= self._limit[actor]:
            return False
        return all(self.tokens[c] >= self._taken[c][n % len(self._taken[c])] for c in self._into[actor])

    def _start(self, actor: int) -> Firing:
        n = self.started[actor]
        for c in self._into[actor]:
            self.tokens[c] -= self._taken[c][n % len(self._taken[c])]
        self.started[actor] += 1
        end = max(self.now + self._ticks[actor][n % len(self._ticks[actor])], self._last[actor])
        self._last[actor] = end
        heapq.heappush(self._ends, (end, n, actor))
        return Firing(actor, n, self.now, end)

    def state(self) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...], tuple[int, ...]]:
        """What the future depends on: tokens, firings that are under way, and phases."""
        phases = self.graph.phases.tolist()
        under_way = sorted((end - self.now, actor, n % phases[actor]) for end, n, actor in self._ends)
        return tuple(self.tokens), tuple(under_way), tuple(n % p for n, p in zip(self.started, phases, strict=True))


def period_by_states(graph: TimedGraph, most: int = MOST_STATES) -> Fraction:
    """Ticks per iteration, from the first state that comes back.

    Raises:
        InconsistentError, DeadlockError: see :mod:`graphsim.analysis.sdf.rates`.
        GraphError: no state came back in ``most`` of them.
    """
    repetition = repetition_vector(graph)
    check_alive(graph, repetition)
    actor = int(repetition.argmin())
    turn = int(repetition[actor])
    run = SelfTimed(graph)
    seen: dict[object, tuple[int, int]] = {}
    for firing in run.firings():
        if firing.actor != actor or (firing.number + 1) % turn:
            continue
        state, iterations = run.state(), (firing.number + 1) // turn
        if state in seen:
            before, then = seen[state]
            return Fraction(run.now - then, iterations - before)
        if len(seen) >= most:
            break
        seen[state] = iterations, run.now
    raise GraphError(f"{graph.name}: no state came back in {len(seen):,}: tokens pile up before a slower actor")
