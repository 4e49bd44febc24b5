"""Placement of circuits whose loops bind: actors of loops get nodes and ticks at a period, the others what is left.

What is on a loop has little time for ways, and what that is depends on the period alone
(:mod:`graphsim.analysis.loops`). So the period comes first, and then a search for nodes and ticks at which every token
comes in time and no node fires two actors at once: of loops of up to 100 actors by a solver, which finds them or proves
that there are none (:mod:`graphsim.analysis.seats`), and counts links if that can be; else by ejection
(:mod:`graphsim.schedule.settle`). All other actors can wait for any number of periods: they go where
those are that they read or that read them, as long as there is room in the period.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import PINNED_OPS, Costs
from graphsim.analysis.loops import MOST, Loops, edges, loops
from graphsim.analysis.seats import Seats, UndecidedError, seats
from graphsim.analysis.transport import ways
from graphsim.graph.ops import SINKS
from graphsim.schedule.place import Placement, nodes_by_distance

IntArray = npt.NDArray[np.int64]

#: Actors times nodes times ticks that a search looks at, at most.
_BUDGET = 20_000_000
#: Searches for one period, that start with different actors.
_TURNS = 3
#: Nodes for the actors of loops, at most: those nearest to the host.
_NODES = 64
#: Actors of all loops, at most.
_ACTORS = 2_000


@dataclass(frozen=True)
class Found:
    """A placement, and the ticks of the actors of loops that go with it.

    Attributes:
        period: what it is for.
        node: of every actor, int32 (actors,).
        start: the tick of each actor of a loop in an iteration of its own loop, and of copies of what they make, -1 of
            all others; int64 (actors,).
        sent: the tick in which its token is sent, -1 where that may be any; int64 (actors,).
        alone: whether the token of an actor travels alone, bool (actors,).
    """

    period: int
    node: Placement
    start: IntArray
    sent: IntArray
    alone: npt.NDArray[np.bool_]


class Together:
    """Placements of one circuit on one machine, for several periods."""

    def __init__(self, costs: Costs, wave: IntArray) -> None:
        self.costs, self.wave = costs, wave
        self._nodes = nodes_by_distance(costs.machine)[:_NODES]

    @cached_property
    def _loops(self) -> Loops:
        return loops(self.costs)

    @cached_property
    def _away(self) -> IntArray:
        return ways(self.costs.machine, self._nodes, min(c.token_bits for c in self.costs.graph.channels))

    @property
    def able(self) -> bool:
        """Whether there are loops, not too many actors on them, and one clock."""
        machine = self.costs.machine
        if max(*machine.node_strides, *machine.link_strides, 1) > 1:
            return False
        count = len(self._loops.actor)
        return 0 < count <= _ACTORS and int(np.diff(self._loops.ptr).max()) <= MOST

    def places(self, period: int) -> Iterator[Found]:
        """Nodes of all actors and ticks of those on loops at a period, in some ways; none where none were found.

        First links are counted; then come those of ejection, and last those of the solver without links.
        """
        found, seated = self._loops, None
        with suppress(UndecidedError):
            if (seated := seats(found, self._away, period)) is None:
                return
        linked = None
        with suppress(UndecidedError):
            linked = seats(found, self._away, period, self._trees)
        for one in (linked, self._settled(period), seated):
            if one is not None and (made := self._made(one, period)) is not None:
                yield made

    def _made(self, seated: Seats, period: int) -> Found | None:
        """All actors placed, where loops have their seats; None: there is no room."""
        found, node, time = self._loops, seated.node, seated.time
        placed = np.full(self.costs.graph.actor_count, -1, np.int64)
        placed[found.actor] = np.array(self._nodes)[node]
        if not self._fill(placed, period):
            return None
        part = np.repeat(np.arange(len(found.ptr) - 1), np.diff(found.ptr))
        earliest = np.minimum.reduceat(time, found.ptr[:-1])[part]
        # Late enough that no register has its token before tick 0.
        shift = -earliest + earliest % period + period * int(found.tokens.max())
        count = self.costs.graph.actor_count
        start, sent = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
        start[found.actor] = time + shift
        at = np.full(count, -1, np.int64)
        at[found.actor] = np.arange(len(found.actor))
        for a in np.flatnonzero(self._alone).tolist():
            u, late = int(at[self._root[a]]), int(self._late[a])
            if a != self._root[a]:
                start[a] = time[u] + shift[u] + found.ticks[u] - late * period
            if (u, late) in seated.sent:
                sent[a] = seated.sent[u, late] + shift[u] - late * period
        return Found(period, placed.astype(np.int32), start, sent, self._alone)

    @cached_property
    def _trees(self) -> list[list[list[tuple[int, int]]]]:
        from graphsim.schedule.route import plain_trees

        return plain_trees(self.costs.machine, self._nodes)

    @cached_property
    def _root(self) -> IntArray:
        """What each copy is a copy of, int64 (actors,)."""
        return edges(self.costs)[3]

    @cached_property
    def _late(self) -> IntArray:
        """How many iterations ago a copy's token was made, int64 (actors,)."""
        return edges(self.costs)[4]

    @cached_property
    def _alone(self) -> npt.NDArray[np.bool_]:
        """Whose tokens travel alone, bool (actors,): of actors of loops, and of registers that hold what these make."""
        graph = self.costs.graph
        found = np.zeros(graph.actor_count, np.bool_)
        found[self._loops.actor] = True
        found = found[self._root]
        for number in graph.sinks:
            for c in graph.channels_into(number):
                made = graph.groups[c.src]
                if all(graph.groups[other.dst].op in SINKS for other in graph.channels if other.src == c.src):
                    found[graph.first[c.src] : graph.first[c.src] + made.size] = False
        return found

    def _settled(self, period: int) -> Seats | None:
        """Nodes and ticks of actors of loops by ejection; None: none were found."""
        from graphsim.schedule.settle import settle

        found, count = self._loops, len(self._loops.actor)
        size = np.diff(found.ptr)
        part = np.repeat(np.arange(len(size)), size)
        slack = [found.slack(p, period) for p in range(len(size))]
        if any((np.diag(one) < 0).any() for one in slack):
            return None
        spare = np.concatenate([_spare(one) for one in slack])
        rank = np.empty(count, np.int64)
        reach = np.concatenate([one.max(axis=0) for one in slack])
        rank[np.lexsort((np.arange(count), reach, spare, -size[part]))] = np.arange(count)
        ptr = np.searchsorted(found.dst, np.arange(count + 1)).astype(np.int64)
        out = np.lexsort((found.dst, found.src))
        out_ptr = np.searchsorted(found.src[out], np.arange(count + 1)).astype(np.int64)
        begins = np.concatenate([[0], np.cumsum(size * size)]).astype(np.int64)
        flat = np.concatenate([one.reshape(-1) for one in slack])
        node, time = np.zeros(count, np.int64), np.zeros(count, np.int64)
        for turn in range(_TURNS):
            if turn:  # the same with others first of those that weigh the same
                rank = np.random.default_rng(turn).permutation(count).astype(np.int64)
            left = settle(
                period, ptr, found.src, found.tokens, out_ptr, found.dst[out], found.tokens[out], found.ticks,
                part, found.ptr, begins, size, flat, rank, self._away, self._pinned[self._nodes], _BUDGET, node, time,
            )  # fmt: skip
            if not left:
                return Seats(node, time)
        return None

    @cached_property
    def _ticks(self) -> IntArray:
        """Of each actor, int64 (actors,)."""
        costs = self.costs
        return np.concatenate([costs.ticks(g, costs.machine.host) for g in range(len(costs.graph.groups))])

    @cached_property
    def _pinned(self) -> IntArray:
        """Ticks of each node that sources, inputs and sinks take, int64 (nodes,)."""
        load = np.zeros(len(self.costs.machine.nodes), np.int64)
        first = self.costs.graph.first
        for number in self.costs.pinned:
            load[self.costs.machine.host] += int(self._ticks[first[number] : first[number + 1]].sum())
        return load

    def _fill(self, placed: IntArray, period: int) -> bool:
        """Place all actors that have no node, -1; False: there is no room."""
        costs, graph = self.costs, self.costs.graph
        src, dst, _, root, _ = edges(costs)
        pinned = np.concatenate([np.full(g.size, g.op in PINNED_OPS) for g in graph.groups])
        placed[pinned] = costs.machine.host
        load = self._pinned.copy()
        on_loops = self._loops.actor
        np.add.at(load, placed[on_loops], self._ticks[on_loops])
        near: list[list[int]] = [[] for _ in range(graph.actor_count)]
        for a, b in zip(src.tolist(), dst.tolist(), strict=True):
            near[a].append(b)
            near[b].append(a)
        nodes = nodes_by_distance(costs.machine)
        ticks = self._ticks.tolist()
        waiting = np.flatnonzero((placed < 0) & (root == np.arange(graph.actor_count)))
        for a in waiting[np.argsort(self.wave[waiting], kind="stable")].tolist():
            votes = np.bincount([placed[b] for b in near[a] if placed[b] >= 0 and not pinned[b]], minlength=len(load))
            fits = [v for v in nodes if load[v] + ticks[a] <= period]
            if not fits:
                return False
            best = max(fits, key=lambda v: (votes[v], -load[v]))
            placed[a] = best
            load[best] += ticks[a]
        copies = root != np.arange(graph.actor_count)
        placed[copies & ~pinned] = placed[root[copies & ~pinned]]
        return True


def _spare(slack: IntArray) -> IntArray:
    """What the tightest circle through each actor and another leaves, int64 (actors,)."""
    both = slack + slack.T
    np.fill_diagonal(both, 1 << 40)
    found: IntArray = both.min(axis=1)
    return found
