"""Loops: actors that wait for each other in circles from iteration to iteration, and what they prove about the period.

At a period T, what is made in one iteration and read d iterations later may be there d * T ticks later. So an edge from
u to v with d tokens says: start(v) >= start(u) + ticks(u) - d * T. Let D(u, v) be the least sum of d * T - ticks(u)
over all ways from u to v: v starts at most D(u, v) ticks *before* u, whatever the schedule. All of it holds for any
placement, as no transport is counted. Three arguments count it:

*together*
    What goes from u to v and back to u, d iterations later, has D(u, v) + D(v, u) ticks to spare. On two different
    nodes it needs the way there and back. Where less is to spare than the shortest way from any node to another and
    back takes, u and v are on one node. So are all that are joined by such pairs; a node fires for at most T ticks of
    a period.
*around*
    Take any actor r, on node x. Actor z, on node y, starts -D(r, z) after r at the earliest, and later by the way from
    x to y; it ends by D(z, r) + ticks(z) after r, and earlier by the way back. Take the actors whose times, no way
    counted, lie within some L ticks. Those on y share what is left of these L ticks without the way there and back,
    and never more than T ticks; so all of them together take at most the sum of that over all nodes.

*tour*
    A circle of C ticks that holds d tokens has d * T - C ticks to spare. The nodes that it visits must be visited in
    that time, one after the other, and back: k nodes take k times the shortest way from any node to another at least,
    and not less than the shortest tour of three, if they are three or more, or of two. A node fires for at most T
    ticks: C is at most T times the most nodes that there is time for. It is applied to the slowest circle alone.

D grows with T, so what is forbidden at T is forbidden below it, and the least period that is allowed is found by
bisection.

Copies (registers, outputs) take no time and read one token: ways through them count, they themselves are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import Costs
from graphsim.analysis.cycles import parts
from graphsim.analysis.transport import nodes_by_distance, room, shortest_of_three, there_and_back, ways
from graphsim.graph import Graph
from graphsim.machine import Machine

IntArray = npt.NDArray[np.int64]

#: Actors of the largest loop that is looked at, and of the largest whose every actor is taken for r.
MOST = 1_000
_ALL_AROUND = 250
#: Nodes of the largest machine whose ways are looked up.
_NODES = 1_024
#: Ticks of the longest stretch of time that is looked at.
_SPAN = 4_096


@dataclass(frozen=True)
class Loops:
    """Actors on circles, without copies.

    Attributes:
        actor: their ids, int64 (n,), part by part, ascending within a part.
        ptr: int64 (parts + 1,): the strongly connected part p is ``actor[ptr[p]:ptr[p + 1]]``.
        src, dst, tokens: edges within parts, by their places in ``actor``, sorted by (dst, src); int64.
        ticks: of each actor, on the kind of node that is fastest at it, int64 (n,).
    """

    actor: IntArray
    ptr: IntArray
    src: IntArray
    dst: IntArray
    tokens: IntArray
    ticks: IntArray

    def slack(self, part: int, period: int) -> IntArray:
        """D of a part at a period: by how many ticks v may start before u at most, int64 (actors, actors) [u, v]."""
        from graphsim.analysis.native_loops import shortest

        a, b = int(self.ptr[part]), int(self.ptr[part + 1])
        of = slice(*np.searchsorted(self.dst, [a, b]))
        src, dst = self.src[of], self.dst[of]
        found = np.full((b - a, b - a), 1 << 40, np.int64)
        np.fill_diagonal(found, 0)
        np.minimum.at(found, (src - a, dst - a), self.tokens[of] * period - self.ticks[src])
        shortest(found)
        return found


def all_edges(graph: Graph) -> tuple[IntArray, IntArray, IntArray]:
    """(from, to, tokens) between all actors, int64 (edges,)."""
    listed = []
    for c in graph.channels:
        found = c.expand(graph.groups[c.src].size, graph.groups[c.dst].size, graph.params)
        held = np.full(len(found.src), c.initial_tokens, np.int64)
        listed.append((graph.first[c.src] + found.src, graph.first[c.dst] + found.dst, held))
    src, dst, tokens = (np.concatenate([part[i] for part in listed]) for i in range(3))
    return src, dst, tokens


def edges(costs: Costs) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """(from, to, tokens) between actors that are no copies; what each copy is a copy of, and how many iterations late,
    int64 (actors,).

    For a graph in which everything fires once. A copy takes no time and reads one token.
    """
    graph = costs.graph
    src, dst, tokens = all_edges(graph)
    root, late = np.arange(graph.actor_count), np.zeros(graph.actor_count, np.int64)
    for number in costs.free:
        a, b = int(graph.first[number]), int(graph.first[number + 1])
        if costs.greatest(number) == 0 and np.all(graph.fan_in(number) == 1):
            here = np.flatnonzero((dst >= a) & (dst < b))
            root[dst[here]], late[dst[here]] = src[here], tokens[here]
    for _ in range(graph.actor_count.bit_length()):
        late, root = late + np.where(root == root[root], 0, late[root]), root[root]
    kept = root[dst] == dst
    return root[src[kept]], dst[kept], tokens[kept] + late[src[kept]], root, late


def loops(costs: Costs) -> Loops:
    """All loops of a graph in which everything fires once."""
    src, dst, tokens, _, _ = edges(costs)
    part = parts(costs.graph.actor_count, src, dst)
    inner = part[src] == part[dst]
    src, dst, tokens = src[inner], dst[inner], tokens[inner].astype(np.int64)
    actor = np.unique(np.concatenate([src, dst]))
    actor = actor[np.argsort(part[actor], kind="stable")]
    ptr = np.append(np.flatnonzero(np.diff(part[actor], prepend=-1)), len(actor)).astype(np.int64)
    at = np.empty(costs.graph.actor_count, np.int64)
    at[actor] = np.arange(len(actor))
    src, dst = at[src], at[dst]
    order = np.lexsort((src, dst))
    ticks = np.concatenate([costs.cheapest(g) for g in range(len(costs.graph.groups))])[actor]
    return Loops(actor, ptr, src[order], dst[order], tokens[order], ticks)


def tour_bound(ticks: int, tokens: int, machine: Machine, bits: int) -> tuple[int, int]:
    """The least period for a circle by its tour, and how many nodes it has time for in one tick less.

    Args:
        ticks, tokens: of the circle. bits: of the narrowest token.
    """
    least = -(-ticks // tokens)
    nodes = machine.compute_nodes
    if len(nodes) > _NODES:
        return least, len(nodes)
    way = ways(machine, nodes, bits)
    two, three = there_and_back(way), shortest_of_three(way)
    each = int(way[~np.eye(len(nodes), dtype=np.bool_)].min()) if len(nodes) > 1 else 1 << 60

    def visited(period: int) -> int:
        spare = tokens * period - ticks
        if spare < two:
            return 1
        return 2 if spare < three else min(len(nodes), max(3, spare // max(1, each)))

    low, high = least - 1, ticks  # in as many ticks as the circle takes one node does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if visited(middle) * middle < ticks else (low, middle)
    return high, visited(max(1, high - 1))


@dataclass(frozen=True)
class Crowd:
    """Why a period is too short for a loop.

    Attributes:
        period: the shortest that is not ruled out.
        actors: ids of those that take too long in less.
        ticks: what they take.
        room: ticks that there are for them in a period of one tick less.
        around: the actor that they are near to; None: they are on one node.
        span: the ticks within which they fire, or the ticks of the way to another node and back.
    """

    period: int
    actors: tuple[int, ...]
    ticks: int
    room: int
    around: int | None
    span: int


def crowd(costs: Costs, least: int) -> Crowd | None:
    """What the two arguments prove beyond a period that is known to be none too long; None: nothing.

    Args:
        costs: of a graph in which everything fires once.
        least: no period is shorter, and no circle takes longer.
    """
    nodes = costs.machine.compute_nodes
    if len(nodes) > _NODES or not any(c.initial_tokens for c in costs.graph.channels):
        return None
    bits = min(c.token_bits for c in costs.graph.channels)
    test = _Test(loops(costs), ways(costs.machine, nodes, bits))
    best: Crowd | None = None
    for part in range(len(test.loops.ptr) - 1):
        low = least if best is None else best.period
        if (found := test.at(part, low)) is None:
            continue
        # ``low`` is too short by what ``found`` says, ``high`` is not.
        high = 2 * low
        while (worse := test.at(part, high)) is not None:
            low, high, found = high, 2 * high, worse
        while high - low > 1:
            middle = (low + high) // 2
            if (worse := test.at(part, middle)) is None:
                high = middle
            else:
                low, found = middle, worse
        best = found
    return best


def seated(costs: Costs, least: int, enough: int | None = None) -> tuple[int, list[int]]:
    """The first period from ``least`` on at which loops may have nodes and ticks, and the actors on them.

    See :mod:`graphsim.analysis.seats`.

    Args:
        costs: of a graph in which everything fires once.
        enough: a period that need not be looked at, nor any after it; then only few actors are looked at.
    """
    from graphsim.analysis.seats import FEW, first_possible
    from graphsim.analysis.seats import MOST as MOST_SEATED

    nodes = nodes_by_distance(costs.machine)
    if len(nodes) < 2 or len(nodes) > _NODES:
        return least, []
    found = loops(costs)
    if not 0 < len(found.actor) <= (MOST_SEATED if enough is None else FEW):
        return least, []
    bits = min(c.token_bits for c in costs.graph.channels)
    return first_possible(found, ways(costs.machine, nodes, bits), least, enough), found.actor.tolist()


class _Test:
    """Whether a period is too short for a loop."""

    def __init__(self, all_loops: Loops, way: IntArray) -> None:
        self.loops, self._way = all_loops, way
        self._back = there_and_back(way)

    def at(self, part: int, period: int) -> Crowd | None:
        """Why it is, if it is known to be."""
        from graphsim.analysis.native_loops import crowded

        which = slice(int(self.loops.ptr[part]), int(self.loops.ptr[part + 1]))
        ticks, actor = np.ascontiguousarray(self.loops.ticks[which]), self.loops.actor[which]
        work = int(ticks.sum())
        if not 1 < len(ticks) <= MOST or work <= period:
            return None
        slack = self.loops.slack(part, period)
        both = slack + slack.T
        group = _joined(both < self._back)
        load = np.bincount(group, weights=ticks).astype(np.int64)
        if load.max() > period:
            there = tuple(actor[group == int(load.argmax())].tolist())
            return Crowd(period + 1, there, int(load.max()), period, None, self._back)
        near = np.sort(both, axis=1)[:, : 1 + len(ticks) // 2].sum(axis=1)
        around = np.argsort(near, kind="stable")[: len(ticks) if len(ticks) <= _ALL_AROUND else _ALL_AROUND // 4]
        space = room(self._way, min(work, _SPAN), period)
        r, begin, end = (int(x) for x in crowded(slack, ticks, space, around.astype(np.int64)))
        if r < 0:
            return None
        inside = (-slack[r] >= begin) & (slack[:, r] + ticks <= end)
        there = tuple(actor[inside].tolist())
        return Crowd(period + 1, there, int(ticks[inside].sum()), int(space[end - begin]), int(actor[r]), end - begin)


def _joined(pairs: npt.NDArray[np.bool_]) -> IntArray:
    """The component of each of n things of which some pairs are joined, bool (n, n)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    return connected_components(csr_array(pairs), directed=False)[1].astype(np.int64)  # type: ignore[no-any-return]
