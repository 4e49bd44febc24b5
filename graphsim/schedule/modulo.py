"""Times for graphs of gates and for state that goes from sample to sample: modulo scheduling of single steps.

A *step* is a firing, or the sending of a parcel, or, where many actors on a node read the same tokens, the gathering of
these. A step waits for others; where what it reads was made d iterations ago, that is there d periods earlier. Steps
that wait for each other in a circle are a *loop*. No period is shorter than the slowest circle of a loop takes per
token that it holds, transport included (:mod:`graphsim.analysis.cycles`): with placement and routes given, this is a
lower bound like the busiest node's firings.

At a given period loops get their ticks first, then everything else, in the order in which it could be ready, each step
in the first ticks that are free in the tables of nodes and links (Lam, "Software pipelining", PLDI 1988: strongly
connected parts first; Rau, "Iterative modulo scheduling", MICRO-27, 1994). If that fails, the period is made longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.analysis.cycles import Cycle, slowest_cycle
from graphsim.analysis.tokens import Readers
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule.placed import Int32Array, IntArray, Placed, Times
from graphsim.schedule.reading import Cases, Direct
from graphsim.schedule.route import Routes
from graphsim.schedule.tiles import Tiles
from graphsim.schedule.together import Found

#: So many actors must share a list of tokens on average that gathering it becomes a step of its own.
_SHARED = 2


class Modulo(Placed):
    """Finds times for one placement and its routes.

    Steps are numbered so that those without tokens on the edge between them follow each other: wave after wave,
    gatherings before firings before parcels.

    Args:
        ticks: of each actor's firing, int64 (actors,); with ``tiles`` as :meth:`Tiles.whole` gives them.
        wave: of each actor.
        chains: numbers of groups whose actors are the firings of the same actors, one after the other.
        tiles: where given, the starts that are found are those of tiles.
    """

    def __init__(
        self,
        graph: Graph,
        machine: Machine,
        node: Int32Array,
        read: Readers,
        routes: Routes,
        ticks: IntArray,
        wave: IntArray,
        chains: Sequence[IntArray] = (),
        tiles: Tiles | None = None,
    ) -> None:
        super().__init__(graph, machine, node, read, routes, ticks)
        self._leader = np.arange(graph.actor_count) if tiles is None else tiles.leader
        self._hop_of = np.full(len(self.pairs.token), -1, np.int64)
        self._hop_of[self.deliver_pair] = self.deliver_hop
        self._number(wave, self._listed(chains))

    def _listed(self, chains: Sequence[IntArray]) -> list[tuple[IntArray, IntArray, IntArray, IntArray]]:
        """All edges as (from, to, hop, tokens): actors, then parcels, then gatherings count as steps for now."""
        graph, pairs, routes = self.graph, self.pairs, self.routes
        parcels = len(routes.parcel_node)
        self._gathers: list[int] = []  # the group that each gathering is for
        found = []

        def brought(pair: IntArray, to: IntArray, tokens: int) -> None:
            """Edges that bring pairs to steps."""
            hop = self._hop_of[pair]
            maker = self.makers[pairs.token[pair]].astype(np.int64)
            origin = np.where(hop < 0, maker, graph.actor_count + np.append(routes.hop_parcel, -1)[hop])
            found.append((origin, to, hop, np.full(len(pair), tokens, np.int64)))

        for number in range(len(graph.groups)):
            first = int(graph.first[number])
            for c, reading in zip(graph.channels_into(number), self.reading[number], strict=True):
                if isinstance(reading, Direct):
                    brought(reading.pair, first + np.arange(len(reading.pair)), c.initial_tokens)
                    continue
                assert isinstance(reading, Cases)
                actors = np.flatnonzero(reading.case >= 0)
                case = reading.case[actors]
                if len(actors) < _SHARED * len(reading.begin):
                    count = reading.size[case]
                    offset = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
                    pair = reading.pair[np.repeat(reading.begin[case], count) + offset]
                    brought(pair, first + np.repeat(actors, count), c.initial_tokens)
                    continue
                base = graph.actor_count + parcels + len(self._gathers)
                self._gathers += [number] * len(reading.begin)
                brought(reading.pair, base + np.repeat(np.arange(len(reading.begin)), reading.size), c.initial_tokens)
                none = np.zeros(len(actors), np.int64)
                found.append((base + case, first + actors, none - 1, none))
        made = np.repeat(np.arange(parcels), np.diff(routes.parcel_ptr))
        none = np.zeros(len(made), np.int64)
        maker = self.makers[routes.parcel_token].astype(np.int64)
        found.append((maker, graph.actor_count + made, none - 1, none))
        for chain in chains:
            local = np.arange(graph.groups[chain[0]].size)
            none = np.zeros(len(local), np.int64)
            for before, after in zip(chain, np.roll(chain, -1), strict=True):
                again = none + int(after == chain[0])
                found.append((graph.first[before] + local, graph.first[after] + local, none - 1, again))
        return found

    def _number(self, wave: IntArray, listed: list[tuple[IntArray, IntArray, IntArray, IntArray]]) -> None:
        """Number steps and sort edges."""
        graph, routes = self.graph, self.routes
        actors, parcels = graph.actor_count, len(routes.parcel_node)
        group = np.array(self._gathers, np.int64)
        # A gathering belongs to the first wave of the group that it is for: what it reads is made before all of it.
        least = np.minimum.reduceat(wave, graph.first[:-1])
        first = self.makers[routes.parcel_token[routes.parcel_ptr[:-1]]]
        rank = np.concatenate([3 * wave + 1, 3 * wave[first] + 2, 3 * least[group]])
        order = np.argsort(rank, kind="stable")
        self._step = np.empty_like(order)  # the number of each actor, parcel, gathering
        self._step[order] = np.arange(len(order))
        src, dst, hop, tokens = (np.concatenate([part[i] for part in listed]) for i in range(4))
        led = np.concatenate([self._leader, np.arange(actors, len(self._step))])
        src, dst = self._step[led[src]], self._step[led[dst]]
        order = np.lexsort((src, dst))
        self._src, self._dst, self._hop, self._tokens = src[order], dst[order], hop[order], tokens[order]
        steps = len(self._step)
        self._ptr = np.searchsorted(self._dst, np.arange(steps + 1)).astype(np.int64)
        self._length, self._node = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
        self._beat = np.ones(steps, np.int64)
        self._beat[self._step[:actors]] = self.stride
        self._parcel = np.full(steps, -1, np.int64)
        self._length[self._step[:actors]], self._node[self._step[:actors]] = self.ticks, self.node
        self._parcel[self._step[actors : actors + parcels]] = np.arange(parcels)
        # From when its passage can begin until a hop has brought the parcel; then over all passages before.
        link = self.links[routes.hop_link]
        way = routes.passages.offset + routes.hop_ticks + link[:, 1] * link[:, 2]
        before = routes.hop_parent[routes.passages.first]
        whole, at = way.copy(), before.copy()
        while (on := at >= 0).any():
            whole[on] += way[at[on]]
            at[on] = before[at[on]]
        #: Ticks from the sending of a parcel to the end of each hop, int64 (hops,).
        self._way = whole
        self._lag = np.where(self._hop < 0, self._length[self._src], np.append(whole, 0)[self._hop])

    @cached_property
    def cycle(self) -> Cycle | None:
        """The slowest circle of steps, transport included, its nodes numbers of steps; None without any."""
        return slowest_cycle(len(self._length), self._src, self._dst, self._lag, self._tokens)

    def actors_of(self, cycle: Cycle) -> list[int]:
        """Ids of the actors that fire in a circle, in order."""
        actor = np.full(len(self._length), -1, np.int64)
        actor[self._step[: self.graph.actor_count]] = np.arange(self.graph.actor_count)
        return [int(a) for a in actor[list(cycle.nodes)] if a >= 0]

    @cached_property
    def _parts(self) -> tuple[IntArray, int]:
        """The strongly connected part of each step, and how many there are."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        steps = len(self._length)
        if not self._tokens.any():
            return np.arange(steps), steps
        matrix = coo_array((np.ones(len(self._src), np.int8), (self._src, self._dst)), shape=(steps, steps))
        count, part = connected_components(matrix, directed=True, connection="strong")
        return part.astype(np.int64), int(count)

    def _fixed(self, part: IntArray, inner: npt.NDArray[np.bool_]) -> IntArray:
        """The residue of each hop, int64 (hops,), none of which is known: later where a loop need not wait for it.

        Args:
            part: of each step. inner: whether each part is a loop.
        """
        from graphsim.schedule.calendar import LATER

        needed = np.zeros(len(self.hops), np.bool_)
        hop = self._hop[(part[self._src] == part[self._dst]) & (self._hop >= 0)]
        first, parent = self.routes.passages.first, self.routes.hop_parent
        while len(hop):
            needed[hop] = needed[first[hop]] = True
            hop = np.unique(parent[hop])
            hop = hop[hop >= 0]
        parcel = self._step[self.graph.actor_count + self.routes.hop_parcel]
        return np.where(inner[part[parcel]] & ~needed, LATER, -1)

    def find(self, period: int, wanted: Found | None = None) -> Times | None:
        """Times with this period, or None where some are not found.

        ``wanted``: the earliest ticks of what is on loops, in an iteration of their own.
        """
        from graphsim.schedule.calendar import Tables
        from graphsim.schedule.reserve import DONE, earliest, latest, ordered, reserve

        routes, machine = self.routes, self.machine
        early = np.zeros(len(self._length), np.int64)
        if not earliest(self._ptr, self._src, self._lag, self._tokens, period, early):
            return None
        part, count = self._parts
        across = part[self._src] != part[self._dst]
        soon = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(soon, part, early)
        low, high = part[self._src[across]], part[self._dst[across]]
        by = np.argsort(low, kind="stable")
        order = np.empty(count, np.int64)
        waits = np.bincount(high, minlength=count).astype(np.int64)
        ordered(np.searchsorted(low[by], np.arange(count + 1)).astype(np.int64), high[by], waits, soon, order)
        members = np.argsort(part, kind="stable").astype(np.int64)
        member_ptr = np.searchsorted(part[members], np.arange(count + 1)).astype(np.int64)
        inner = np.zeros(count, np.bool_)
        inner[part[self._src[~across]]] = True
        looped = np.flatnonzero(inner[part])
        size = np.bincount(part, minlength=count)[part]
        last = np.zeros(count, np.int64)
        np.maximum.at(last, part, early)
        late = last[part]
        latest(self._ptr, self._src, self._lag, self._tokens, part, period, late)
        floor = np.where(inner[part], early, 0)
        if wanted is not None:
            floor[inner[part]] = 0
            on = wanted.start >= 0
            floor[self._step[: len(on)][on]] = wanted.start[on]
            sent = wanted.sent[self.makers[routes.parcel_token[routes.parcel_ptr[:-1]]]]
            floor[self._step[len(on) : len(on) + len(sent)][sent >= 0]] = sent[sent >= 0]
            late = floor.copy()
            lag = np.where(across, np.iinfo(np.int32).min, self._lag)
            if not earliest(self._ptr, self._src, lag, self._tokens, period, late):
                return None
        looped = looped[np.lexsort((looped, late[looped], part[looped], -size[looped]))].astype(np.int64)

        many = np.bincount(self.node[self.ticks > 0], minlength=len(machine.nodes))
        n_room = np.concatenate([[0], np.cumsum(2 * many + 2)]).astype(np.int64)
        n_busy = np.zeros(len(machine.nodes), np.int64)
        n_begin, n_end = np.zeros((2, int(n_room[-1])), np.int64)
        tables = Tables.empty(self.table_room())
        time = np.zeros(len(self._length), np.int64)
        hop_start, hop_end = np.zeros((2, len(self.hops)), np.int64)
        found = reserve(
            period, self._ptr, self._src, self._hop, self._tokens, self._node, self._length, self._beat, self._parcel,
            part, order, members, member_ptr, looped, n_room, n_busy, n_begin, n_end,
            tables.room, tables.busy, tables.begin, tables.end, tables.ticks, tables.tick, tables.used,
            self.links, routes.hop_ptr, self.hops, self._fixed(part, inner), floor, time, hop_start, hop_end,
        )  # fmt: skip
        if found != DONE:
            return None
        start = time[self._step[self._leader]]
        return Times(start, hop_start, self.span(start))
