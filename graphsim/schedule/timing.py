"""When everything happens: starts of firings and hops, for a placement and routes, at a period that has room.

Every node's firings and every link's frames fit into one period, and iterations may overlap as much as they like;
therefore a graph without cycles has a schedule at that period. What takes thought is latency: a node that is busy all
the time must fire the last layers between firings of the next iteration, and the residues of all its firings must be
such that nothing just misses its slot and waits for a whole period.

1. Estimate when the inputs of each firing are there, with one iteration alone on the machine.
2. On every node, simulate the steady state with these estimates (:func:`~graphsim.schedule.calendar.steady`).
3. With these starts, follow the tokens over the links. Where a token now comes too late, let its reader wait for it, a
   little longer every time, and go back to 2.
4. When nothing comes too late, that is the schedule. Keep the order that each node found, and let everything start as
   early as that order allows. Otherwise keep the residues, and let what comes too late wait for its next turn.

Where there are many layers this does not come to an end. Therefore another way is tried too: layer by layer, firings
are poured into what is still free of their nodes' periods, which leaves no gaps, and then fired in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graphsim.analysis.tokens import Readers, input_actors
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule.placed import Int32Array, IntArray, Placed, Times
from graphsim.schedule.route import Routes
from graphsim.schedule.tiles import Tiles

if TYPE_CHECKING:
    from graphsim.schedule.calendar import Tables

#: Margins that are tried when firings are poured, in longest firings of their node.
_MARGINS = (0, 1, 2, 3, 4, 6, 8)
#: Rounds of steps 2 and 3.
_ROUNDS = 24
#: What a group costs in a pass, in firings; it counts where there is one for every step.
_PER_GROUP = 50
#: Firings and hops that are looked at, over all passes, before the latency found so far is taken.
EFFORT = 4_000_000
#: As many firings and hops cost about as much as what every pass costs besides.
_PASS = 10_000


@dataclass(frozen=True)
class _Settled:
    """Times, the estimates that led to them, and when the inputs of each firing are really there."""

    times: Times
    ready: IntArray
    needed: IntArray


@dataclass(frozen=True)
class _Kept:
    """The state of a pass after the first groups, which do no work and so are the same in every pass of a period."""

    period: int
    tables: Tables
    arrival: IntArray
    hop_start: IntArray
    token_end: IntArray
    start: IntArray


class Timing(Placed):
    """Finds times for one placement and its routes.

    Args:
        ticks: of each actor's firing, int64 (actors,); with ``tiles`` as :meth:`Tiles.whole` gives them.
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
        chains: Sequence[IntArray] = (),
        tiles: Tiles | None = None,
    ) -> None:
        super().__init__(graph, machine, node, read, routes, ticks)
        groups = range(len(graph.groups))
        self._tiles = tiles
        #: The firing whose end is that of each token's making.
        self._ending = self.makers if tiles is None else tiles.leader[self.makers]
        self._chains = chains
        self._pass_effort = graph.actor_count + _PASS + (_PER_GROUP * len(graph.groups) if chains else 0)
        #: The group of the firings before those of each group, -1 where there are none.
        self._before = np.full(len(graph.groups), -1, np.int64)
        for chain in chains:
            self._before[chain[1:]] = chain[:-1]
        self._tokens = [self._made(number) for number in groups]
        self._hops = np.searchsorted(routes.parcel_group, np.arange(len(graph.groups) + 1))
        order = np.argsort(node, kind="stable")
        #: Actors that do work, node after node: those of ``_worker[i]`` are ``_busy[_ends[i]:_ends[i + 1]]``.
        self._busy = order[ticks[order] > 0]
        self._worker, first = np.unique(node[self._busy], return_index=True)
        self._ends = np.append(first, len(self._busy)).astype(np.int64)
        worked = np.add.reduceat(ticks, graph.first[:-1])
        self._workless = int(np.argmax(worked > 0)) if worked.any() else len(worked)
        self._kept: _Kept | None = None
        self._effort = EFFORT
        self._full = -1
        self._packed: set[int] = set()
        self._estimate = self._estimated_start = np.zeros(0, np.int64)
        self._strided = bool((self.stride > 1).any())
        self._fixed = np.full(len(routes.hop_link), -1, np.int64)
        self._room = self.table_room()

    def stretch(self, start: IntArray) -> int:
        """The longest time from the start of an actor's first firing to the end of its last, in one iteration."""
        longest = 0
        for chain in self._chains:
            a, b = (int(self.graph.first[g]) for g in (chain[0], chain[-1]))
            size = self.graph.groups[chain[0]].size
            longest = max(longest, int((start[b : b + size] + self.ticks[b : b + size] - start[a : a + size]).max()))
        return longest

    def stretch_alone(self) -> int:
        """The same if iterations do not overlap."""
        self._alone()
        return self.stretch(self._estimated_start)

    def apart(self, least: int) -> tuple[int, Times]:
        """A period from ``least`` on, and times with which no node begins an iteration before it has ended the last.

        Every node does in a period what it would do if iterations did not overlap at all.
        """
        self._alone()
        plan = self._estimated_start
        ends = plan + self.ticks
        first = np.full(len(self.machine.nodes), np.iinfo(np.int64).max)
        last = np.zeros(len(self.machine.nodes), np.int64)
        np.minimum.at(first, self.node[self._busy], plan[self._busy])
        np.maximum.at(last, self.node[self._busy], ends[self._busy])
        period = self.whole(max(least, int((last - first)[last > 0].max(initial=1)), self.stretch(plan)))
        while True:
            found = self._follow(period, plan, strict=False)
            if found is not None and np.array_equal(found[0][self._busy], plan[self._busy]):
                return period, Times(found[0], found[1], self.span(found[0]))
            # A hop met one of another iteration; in the end none does.
            period = self.whole(period + max(1, period // 32))

    def find(self, period: int, effort: int = EFFORT) -> Times | None:
        """Times with this period, or None where frames cannot be fitted into the links' calendars.

        Args:
            effort: firings and hops that are looked at before the best found so far is taken.
        """
        self._effort = effort
        none = np.zeros(self.graph.actor_count, np.int64)
        alone = self._alone()
        settled = [self._settle(period, alone, none, wait=wait) for wait in (False, True)]
        while all(s is None for s in settled) and self._pack(period):
            settled = [self._settle(period, alone, none, wait=wait) for wait in (False, True)]
        settled.append(self._poured(period))

        def key(settled: _Settled) -> tuple[bool, int]:
            return self.stretch(settled.times.start) > period, settled.times.latency

        best = min((s for s in settled if s is not None), key=key, default=None)
        if best is None:
            return None
        tries = [self._swept(best, period, sweeps, strict=strict) for sweeps, strict in ((3, False), (1, True))]
        return min((best, *tries), key=key).times

    def _swept(self, settled: _Settled, period: int, sweeps: int, *, strict: bool) -> _Settled:
        """The best found when layer by layer, from first to last, firings are freed from waiting for their nodes.

        One step may undo another, and may do good only together with the next: without ``strict`` every step is taken,
        whatever becomes of the latency; with it only those that do not raise it.
        """
        best = now = settled
        delay = np.zeros(self.graph.actor_count, np.int64)
        for _ in range(sweeps):
            for number in range(self._workless, len(self.graph.groups)):
                held = None if self._effort <= 0 else self._held_up(now, period, number)
                other = None if held is None else self._settle(period, now.ready, delay + held, wait=True)
                if held is None or other is None or (strict and other.times.latency > now.times.latency):
                    continue
                now, delay = other, delay + held
                if now.times.latency < best.times.latency:
                    best = now
        return best

    def _settle(self, period: int, ready: IntArray, delay: IntArray, *, wait: bool) -> _Settled | None:
        """Rounds of steps 2 and 3.

        Args:
            period: in ticks.
            ready: an estimate to begin with.
            delay: how much later than ready each firing may start at the earliest.
            wait: nodes with time to spare keep it for the last layers.
        """
        best: _Settled | None = None
        patience = np.zeros(len(ready), np.int64)
        for turn in range(_ROUNDS):
            plan = self._plan(ready + delay, period, wait)
            result = self._follow(period, plan, strict=False)
            if result is None:
                return None
            start, hop_start, needed = result
            late = (needed > plan) & (self.ticks > 0)
            if not late.any():
                times = Times(start, hop_start, self.span(start))
                return (
                    best if best is not None and best.times.latency <= times.latency else _Settled(times, ready, needed)
                )
            last = turn == _ROUNDS - 1 or self._effort <= 0
            if turn == 0 or last:
                strict = self._follow(period, plan, strict=True)
                if strict is not None:
                    times = Times(strict[0], strict[1], self.span(strict[0]))
                    if best is None or times.latency < best.times.latency:
                        best = _Settled(times, ready, strict[2])
            if last:
                break
            # Only the first layer that is late waits longer than it must; those behind it may be late because of it.
            settled = int(self.graph.first[np.searchsorted(self.graph.first, int(np.argmax(late)), side="right")])
            patience[settled:] = 0
            patience = np.where(
                late & (np.arange(len(late)) < settled), np.maximum(2 * patience, needed - plan), patience
            )
            ready = np.maximum(needed, np.where(patience > 0, np.where(late, plan + patience, ready), needed))
        return best

    def _held_up(self, settled: _Settled, period: int, number: int) -> IntArray | None:
        """How much to delay which firings so that those of one group need not wait for their nodes.

        A node that has begun a long firing of the next iteration lets a short one of the last layers wait. If what it
        does for the next iteration is delayed by the right amount, that long firing begins just after the short one.
        None: nothing waits like that.
        """
        start, needed = settled.times.start, settled.needed
        a, b = int(self.graph.first[number]), int(self.graph.first[number + 1])
        waits = a + np.flatnonzero((start[a:b] > needed[a:b]) & (self.ticks[a:b] > 0))
        delay = np.zeros(len(start), np.int64)
        seen: set[int] = set()
        for actor in waits[np.lexsort((waits, needed[waits]))].tolist():
            if int(self.node[actor]) in seen:
                continue
            row = int(np.searchsorted(self._worker, self.node[actor]))
            here = self._busy[self._ends[row] : self._ends[row + 1]]
            turns, into = np.divmod(needed[actor] - start[here], period)
            blocking = here[(turns >= 1) & (into < self.ticks[here])]
            if len(blocking):
                seen.add(int(self.node[actor]))
                first = int(blocking[0])
                delay[here[needed[here] <= needed[first]]] = (needed[actor] - start[first]) % period
        return delay if delay.any() else None

    def _pack(self, period: int) -> bool:
        """Give the hops of the link that had no room for one fixed residues, back to back in the order of their first
        estimate: that always fits if the link has ticks enough. False: it has not, or hops go on through a switch.
        """
        link = self._full
        if link < 0 or link in self._packed:
            return False
        hops = np.flatnonzero(self.routes.hop_link == link)
        hops = hops[np.argsort(self._estimate[hops], kind="stable")]
        ticks, passages = self.routes.hop_ticks[hops], self.routes.passages
        if int(ticks.sum()) > period or (passages.many[passages.first[hops]] > 1).any():
            return False
        begin = int(self._estimate[hops[0]]) + np.cumsum(ticks) - ticks
        self._packed.add(link)
        self._fixed[hops] = begin % period
        self._kept = None
        return True

    def _alone(self) -> IntArray:
        """When the inputs of each firing are there if iterations do not overlap."""
        self._full, self._packed = -1, set()
        self._fixed[:] = -1
        free = np.zeros(len(self.machine.nodes), np.int64)

        def start(first: int, last: int, ready: IntArray) -> IntArray:
            """Firings of one group, node by node in the order of their ids, each when it is ready and its node free."""
            found = ready.copy()
            at = np.flatnonzero(self.ticks[first:last] > 0)
            at = at[np.argsort(self.node[first:last][at], kind="stable")]
            if not len(at):
                return found
            nodes, begin, many = np.unique(self.node[first:last][at], return_index=True, return_counts=True)
            ticks = self.ticks[first:last][at]
            before = np.cumsum(ticks) - ticks
            before -= np.repeat(before[begin], many)
            wait = np.maximum(ready[at] - before, np.repeat(free[nodes], many))
            # The greatest so far on the same node: later nodes are lifted above all earlier ones.
            lift = np.repeat(np.arange(len(nodes)) * (int(wait.max()) + 1), many)
            found[at] = before + np.maximum.accumulate(wait + lift) - lift
            ends = begin + many - 1
            free[nodes] = found[at[ends]] + ticks[ends]
            return found

        result = self._pass(None, start)
        assert result is not None
        self._estimated_start, self._estimate = result[0], result[1]
        return result[2]

    def _poured(self, period: int) -> _Settled | None:
        """The best found by pouring: as if firings could be cut in pieces, each is done at once when it is ready, in
        ticks of the period that its node has left; then all are whole, in that order, with a margin for those delayed.
        """
        best: _Settled | None = None
        for margin in _MARGINS:
            ready, plan = self._cut(period, margin)
            result = self._follow(period, plan, strict=True)
            if result is None:
                break
            settled = _Settled(Times(result[0], result[1], self.span(result[0])), ready, result[2])
            if best is None or settled.times.latency < best.times.latency:
                best = settled
            if not np.any((result[2] > plan) & (self.ticks > 0)):
                break
        return best

    def _cut(self, period: int, margin: int) -> tuple[IntArray, IntArray]:
        """When the inputs of each firing are there, and its planned start; ``margin``: in longest firings of a node."""
        from graphsim.schedule.calendar import in_order, pour

        ticks, node, nodes = self.ticks, self.node.astype(np.int64), len(self.machine.nodes)
        room = np.concatenate([[0], np.cumsum(2 * np.bincount(node, minlength=nodes) + 2)]).astype(np.int64)
        busy, begin, end = np.zeros(nodes, np.int64), np.zeros(room[-1], np.int64), np.zeros(room[-1], np.int64)
        longest = np.zeros(nodes, np.int64)
        np.maximum.at(longest, node, ticks)
        wanted = np.zeros(len(node), np.int64)

        def start(first: int, last: int, ready: IntArray) -> IntArray:
            here, done = slice(first, last), ready.copy()
            pour(room, busy, begin, end, period, np.argsort(ready, kind="stable"), node[here], ready, ticks[here], done)
            wanted[here] = done - ticks[here]
            found: IntArray = np.where(ticks[here] > 0, wanted[here] + margin * longest[node[here]], ready)
            return found

        result = self._pass(None, start)
        assert result is not None
        plan = result[0].copy()
        plan[self._busy] = in_order(self._busy, self._ends, wanted, ticks, period)
        return result[2], plan

    def _plan(self, ready: IntArray, period: int, wait: bool) -> IntArray:
        """Starts of all firings: those of each node in its steady state, those without work when they are ready."""
        from graphsim.schedule.calendar import steady

        plan = ready.copy()
        plan[self._busy] = steady(self._busy, self._ends, ready, self.ticks, period, wait=wait)
        return plan

    def _follow(self, period: int, plan: IntArray, *, strict: bool) -> tuple[IntArray, IntArray, IntArray] | None:
        """Follow all tokens with planned starts; what comes too late starts late, or (strict) at its next turn."""
        ticks = self.ticks

        def start(first: int, last: int, ready: IntArray) -> IntArray:
            planned = plan[first:last]
            taken = planned - (planned - ready) // period * period if strict else np.maximum(planned, ready)
            return np.where(ticks[first:last] > 0, taken, ready)

        return self._pass(period, start)

    def _pass(
        self, period: int | None, choose: Callable[[int, int, IntArray], IntArray]
    ) -> tuple[IntArray, IntArray, IntArray] | None:
        """Group by group: when inputs are there, starts, arrivals. Returns (starts, hop starts, ready).

        None: frames did not fit. Without a period, links are never occupied by another iteration.
        """
        from graphsim.schedule.calendar import Tables

        graph, first = self.graph, self.graph.first
        start = np.zeros(graph.actor_count, np.int64)
        ready = np.zeros(graph.actor_count, np.int64)
        arrival = np.zeros(len(self.pairs.token), np.int64)
        hop_start, hop_end = np.zeros((2, len(self.hops)), np.int64)
        cycle = period if period is not None else 1 << 50
        token_end = np.zeros(len(self.makers), np.int64)
        self._effort -= self._pass_effort
        kept = self._kept if self._kept is not None and self._kept.period == cycle else None
        if kept is None:
            tables = Tables.empty(self._room)
        else:
            tables = kept.tables.copy()
            arrival[:], hop_start[:], token_end[:] = kept.arrival, kept.hop_start, kept.token_end
            start[:] = ready[:] = kept.start
        for number in range(0 if kept is None else self._workless, len(graph.groups)):
            if kept is None and number == self._workless and period is not None:
                self._kept = _Kept(
                    cycle, tables.copy(), arrival.copy(), hop_start.copy(), token_end.copy(), start.copy()
                )
            a, b = int(first[number]), int(first[number + 1])
            for reading in self.reading[number]:
                np.maximum(ready[a:b], reading.ready(arrival), out=ready[a:b])
            if (before := int(self._before[number])) >= 0:
                p, q = int(first[before]), int(first[before + 1])
                np.maximum(ready[a:b], start[p:q] + self.ticks[p:q], out=ready[a:b])
            if self._strided:
                stride = self.stride[a:b]
                ready[a:b] = -(-ready[a:b] // stride) * stride
            if self._tiles is not None:
                self._tiles.latest(ready[a:b], number)
            start[a:b] = choose(a, b, ready[a:b])
            if self._tiles is not None:
                start[a:b] = start[self._tiles.leader[a:b]]
            low, high = self._tokens[number]
            token_end[low:high] = start[self._ending[low:high]] + self.ticks[self._ending[low:high]]
            made = slice(int(self.pairs.ptr[low]), int(self.pairs.ptr[high]))
            arrival[made] = np.where(self.pairs.local[made], token_end[self.pairs.token[made]], 0)
            if not self._send(number, cycle, tables, token_end, hop_start, hop_end, arrival):
                return None
        return start, hop_start, ready

    def _send(
        self,
        number: int,
        cycle: int,
        tables: Tables,
        token_end: IntArray,
        hop_start: IntArray,
        hop_end: IntArray,
        arrival: IntArray,
    ) -> bool:
        """Send the parcels of one group, those that are ready first first; False: a frame finds no room."""
        from graphsim.schedule.calendar import send

        routes = self.routes
        low, high = int(self._hops[number]), int(self._hops[number + 1])
        if low == high:
            return True
        cut = int(routes.parcel_ptr[low])
        tokens = routes.parcel_token[cut : int(routes.parcel_ptr[high])]
        assembled = np.maximum.reduceat(token_end[tokens], routes.parcel_ptr[low:high] - cut)
        order = np.argsort(assembled, kind="stable")
        self._effort -= int(routes.hop_ptr[high] - routes.hop_ptr[low])
        full = send(
            tables.room, tables.busy, tables.begin, tables.end, tables.ticks, tables.tick, tables.used,
            cycle, self.links, low + order, assembled[order], routes.hop_ptr, self.hops, self._fixed, hop_start,
            hop_end,
        )  # fmt: skip
        if full >= 0:
            self._full = full
            return False
        i, j = np.searchsorted(self.deliver_hop, routes.hop_ptr[[low, high]])
        arrival[self.deliver_pair[i:j]] = hop_end[self.deliver_hop[i:j]]
        return True

    def _made(self, number: int) -> tuple[int, int]:
        """The tokens that a group makes, first and end."""
        graph = self.graph
        a, b = int(graph.first[number]), int(graph.first[number + 1])
        if graph.groups[number].op != "source":
            return a, b
        fed = graph.channels_from(number)[0].dst
        low = graph.actor_count + int(np.searchsorted(input_actors(graph), graph.first[fed]))
        return low, low + graph.groups[fed].size
