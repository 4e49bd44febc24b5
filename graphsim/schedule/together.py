"""Placement of circuits whose loops bind: actors of loops get nodes and ticks at a period, the others what is left.

What is on a loop has little time for ways, and what that is depends on the period alone
(:mod:`graphsim.analysis.loops`). So the period comes first, and then a search for nodes and ticks at which every token
comes in time and no node fires two actors at once: of loops of up to 250 actors by a solver, which finds them or proves
that there are none (:mod:`graphsim.analysis.seats`), and counts links if that can be; else by ejection
(:mod:`graphsim.schedule.settle`). All other actors can wait for any number of periods: they go where
those are that they read or that read them, as long as there is room in the period.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import PINNED_OPS, Costs
from graphsim.analysis.loops import MOST, Loops, all_edges, edges, loops
from graphsim.analysis.seats import FEW, MOST_PAIRS, Seats, UndecidedError, seats
from graphsim.analysis.transport import nodes_by_distance, ways
from graphsim.schedule.place import Placement

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
        company: tokens of actors that have the same number may travel together, int64 (actors,).
        fixed: whether tokens of loops go by the fixed trees that links were counted with.
    """

    period: int
    node: Placement
    start: IntArray
    sent: IntArray
    company: IntArray
    fixed: bool = True


class Together:
    """Placements of one circuit on one machine, for several periods.

    Args:
        few: the solver is asked about loops of few actors only.
    """

    def __init__(self, costs: Costs, wave: IntArray, *, few: bool = False) -> None:
        self.costs, self.wave, self.few = costs, wave, few
        self._nodes = nodes_by_distance(costs.machine)[:_NODES]

    @cached_property
    def _loops(self) -> Loops:
        return loops(self.costs)

    @cached_property
    def _away(self) -> IntArray:
        return ways(self.costs.machine, self._nodes, min(c.token_bits for c in self.costs.graph.channels))

    @cached_property
    def _near(self) -> IntArray:
        """The ways between those nodes that the solver is asked about."""
        most = max(2, MOST_PAIRS // len(self._loops.actor))
        return np.ascontiguousarray(self._away[:most, :most])

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

        First come those that count links; then those of ejection, and last those of the solver without links. Of each
        there are two, as tokens that are read elsewhere too may find too much on fixed trees.
        """
        for made in self._found(period):
            yield made
            yield replace(made, fixed=False)

    def _found(self, period: int) -> Iterator[Found]:
        linked = seated = None
        if not self.few or len(self._loops.actor) <= FEW:
            with suppress(UndecidedError):
                linked = seats(self._loops, self._near, period, self._trees)
            if linked is not None and (made := self._made(linked, period)) is not None:
                yield made
            with suppress(UndecidedError):
                seated = seats(self._loops, self._near, period)
                if seated is None and len(self._near) == len(self.costs.machine.compute_nodes):
                    return
        for one in (self._settled(period), seated):
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
        *_, root, behind = self._edges
        for a in np.flatnonzero((self._company > 1) & (at[root] >= 0)).tolist():
            u, late = int(at[root[a]]), int(behind[a])
            if a != root[a]:
                start[a] = time[u] + shift[u] + found.ticks[u] - late * period
            gone = [seated.sent[u, late + held] for held in self._held[a] if (u, late + held) in seated.sent]
            if gone:
                sent[a] = min(gone) + shift[u] - late * period
        return Found(period, placed.astype(np.int32), start, sent, self._company)

    @cached_property
    def _trees(self) -> list[list[list[tuple[int, int]]]]:
        from graphsim.schedule.route import plain_trees

        return plain_trees(self.costs.machine, self._nodes[: len(self._near)])

    @cached_property
    def _edges(self) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
        """Edges between actors that are no copies, what each copy is a copy of, and how many iterations late."""
        return edges(self.costs)

    @cached_property
    def _held(self) -> list[list[int]]:
        """How many iterations later each actor's token is read, ascending."""
        src, _, tokens = all_edges(self.costs.graph)
        found: list[list[int]] = [[] for _ in range(self.costs.graph.actor_count)]
        for a, held in np.unique(np.stack([src, tokens]), axis=1).T.tolist():
            found[a].append(held)
        return found

    @cached_property
    def _company(self) -> IntArray:
        """Whose tokens may travel together, int64 (actors,): those with the same number.

        A parcel waits for all its tokens. If one is made of what a loop makes, and another is read by a loop, that loop
        has got longer. So what is on the way from loops to loops travels alone (numbers from 2 on); what only leads to
        loops (1) and all else (0) travel apart.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import breadth_first_order

        count, on = self.costs.graph.actor_count, self._loops.actor
        src, dst, _ = all_edges(self.costs.graph)
        reached = np.zeros((2, count + 1), np.bool_)
        for way, (a, b) in enumerate(((src, dst), (dst, src))):
            # from one more vertex that leads to all loops
            ends = np.append(a, np.full(len(on), count)), np.append(b, on)
            matrix = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(count + 1, count + 1)).tocsr()
            reached[way, breadth_first_order(matrix, count, return_predecessors=False)] = True
        after, before = reached[:, :count]
        return np.where(before, np.where(after, 2 + np.arange(count), 1), 0)

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
        src, dst, _, root, _ = self._edges
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
