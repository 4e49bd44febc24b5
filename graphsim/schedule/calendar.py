"""Cyclic tables of one period, native: what is free when, modulo the period, on links and on nodes.

Tables of nodes count ticks, tables of links count cycles of their link: a period of P ticks has P / stride of them.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.

A link's table is a part of four arrays, from ``room[link]`` on. Of a link with one frame per cycle, ``begin`` and
``end`` hold its busy stretches, ``busy[link]`` of them, ascending, disjoint and not touching one another. With several
frames per cycle, they hold the cycles that are full, and ``tick`` and ``used`` how many frames are in each of
``ticks[link]`` cycles, ascending.

Links are rows ``[rate, latency, stride]``: frames per cycle, cycles, ticks. Hops are rows ``[link, parent, first, many,
offset, pace, frames, cycles]``: as in ``Routes`` and its ``Passages``; offset in ticks. Hops of a passage are sent as
one piece: the first in some cycle, the others as long after it as their offsets say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.native import entry, jit, jit_call

IntArray = npt.NDArray[np.int64]

#: Columns of links and of hops.
RATE, LATENCY, STRIDE = range(3)
LINK, PARENT, FIRST, MANY, OFFSET, PACE, FRAMES, CYCLES = range(8)
#: Residue of the start of a hop that is taken after others.
LATER = -2
#: Periods that :func:`steady` simulates before it gives up.
_TURNS = 40
#: Firings about to get ready that :func:`steady` looks at before it begins another.
_LOOK_AHEAD = 64


@dataclass(frozen=True)
class Tables:
    """The tables of all links; see the module docstring. All int64."""

    room: IntArray
    busy: IntArray
    begin: IntArray
    end: IntArray
    ticks: IntArray
    tick: IntArray
    used: IntArray

    @staticmethod
    def empty(room: IntArray) -> Tables:
        """Empty tables; ``room``: int64 (links + 1,), where each link's begins, with two entries for every stretch that
        it may get, and one for every tick that it may fill.
        """
        links = np.zeros((2, len(room) - 1), np.int64)
        entries = np.zeros((4, int(room[-1])), np.int64)
        return Tables(room, links[0], entries[0], entries[1], links[1], entries[2], entries[3])

    def copy(self) -> Tables:
        """Tables of their own with the same entries."""
        others = (self.busy, self.begin, self.end, self.ticks, self.tick, self.used)
        return Tables(self.room, *(array.copy() for array in others))


@jit_call
def _right(values: Any, first: Any, count: Any, x: Any) -> Any:
    """How many of ``count`` ascending values from ``first`` on are at most ``x``."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if values[first + middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low


@jit_call
def _find(begin: Any, end: Any, first: Any, count: Any, period: Any, ready: Any, ticks: Any) -> Any:
    """First of the earliest ``ticks`` consecutive ticks from ``ready`` on that are free in every period; -1: none."""
    if count == 0:
        return ready if ticks <= period else -1
    residue = ready % period
    i = _right(begin, first, count, residue)
    at = residue
    if i > 0:
        at = max(residue, end[first + i - 1])
    turn = 0
    for _ in range(count + 1):
        if i == count:
            i, turn = 0, turn + period
        if begin[first + i] + turn - at >= ticks:
            return ready - residue + at
        at = max(at, end[first + i] + turn)
        i += 1
    return -1


@jit_call
def _insert(values: Any, first: Any, count: Any, i: Any, x: Any) -> Any:
    """Put ``x`` before the i-th of ``count`` values."""
    for k in range(first + count, first + i, -1):
        values[k] = values[k - 1]
    values[first + i] = x


@jit_call
def _cover(begin: Any, end: Any, first: Any, count: Any, a: Any, b: Any) -> Any:
    """Mark free ticks a .. b - 1 as busy; returns how many stretches there are then."""
    i = _right(begin, first, count, a)
    before = i > 0 and end[first + i - 1] == a
    after = i < count and begin[first + i] == b
    if before and after:
        end[first + i - 1] = end[first + i]
        for k in range(first + i, first + count - 1):
            begin[k], end[k] = begin[k + 1], end[k + 1]
        return count - 1
    if before:
        end[first + i - 1] = b
    elif after:
        begin[first + i] = a
    else:
        _insert(begin, first, count, i, a)
        _insert(end, first, count, i, b)
        return count + 1
    return count


@jit_call
def _take(begin: Any, end: Any, first: Any, count: Any, period: Any, residue: Any, ticks: Any) -> Any:
    """Take free ticks from ``residue`` on, around the end of the period."""
    over = residue + ticks - period
    if over <= 0:
        return _cover(begin, end, first, count, residue, residue + ticks)
    return _cover(begin, end, first, _cover(begin, end, first, count, residue, period), 0, over)


@jit_call
def _frames(tick: Any, used: Any, first: Any, count: Any, at: Any) -> Any:
    """Frames in a tick of the period."""
    i = _right(tick, first, count, at)
    if i > 0 and tick[first + i - 1] == at:
        return used[first + i - 1]
    return 0


@jit_call
def _fill(
    busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, first: Any, link: Any, period: Any, rate: Any,
    at: Any, frames: Any,
) -> Any:  # fmt: skip
    """Put frames into a tick of the period that has room for them."""
    i = _right(tick, first, ticks[link], at)
    if i > 0 and tick[first + i - 1] == at:
        used[first + i - 1] += frames
        i -= 1
    else:
        _insert(tick, first, ticks[link], i, at)
        _insert(used, first, ticks[link], i, frames)
        ticks[link] += 1
    if used[first + i] == rate:
        busy[link] = _take(begin, end, first, busy[link], period, at, 1)


@jit_call
def _seek(
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, link: Any, period: Any, rate: Any,
    pace: Any, ready: Any, frames: Any,
) -> Any:  # fmt: skip
    """The first cycle from ``ready`` on from which there is room for frames, ``pace`` of them in every cycle but the
    last, in every period; -1: none.
    """
    first = room[link]
    if rate == 1:
        return _find(begin, end, first, busy[link], period, ready, frames)
    whole, rest = frames // pace, frames % pace
    if whole + (rest > 0) > period:
        return -1
    start = ready
    while start < ready + period:
        start = _find(begin, end, first, busy[link], period, start, 1)
        if start < 0 or start >= ready + period:
            return -1
        fits = rest == 0 or _frames(tick, used, first, ticks[link], (start + whole) % period) + rest <= rate
        k = 0
        while fits and k < whole:
            fits = _frames(tick, used, first, ticks[link], (start + k) % period) + pace <= rate
            k += 1
        if fits:
            return start
        start += 1
    return -1


@jit_call
def _occupy(
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, link: Any, period: Any, rate: Any,
    pace: Any, start: Any, frames: Any,
) -> Any:  # fmt: skip
    """Take the room that :func:`_seek` found from cycle ``start`` on."""
    first = room[link]
    if rate == 1:
        busy[link] = _take(begin, end, first, busy[link], period, start % period, frames)
        return
    whole, rest = frames // pace, frames % pace
    for k in range(whole):
        _fill(busy, begin, end, ticks, tick, used, first, link, period, rate, (start + k) % period, pace)
    if rest:
        _fill(busy, begin, end, ticks, tick, used, first, link, period, rate, (start + whole) % period, rest)


@jit
def _travel(
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, period: Any, links: Any,
    parcel: Any, ready: Any, hop_ptr: Any, hops: Any, fixed: Any, hop_start: Any, hop_end: Any, later: Any,
) -> Any:  # fmt: skip
    """Send a parcel that is there in tick ``ready``; see :func:`send`.

    ``later``: over those hops whose residue is :data:`LATER`, all others having been taken; otherwise over the others.
    """
    last = hop_ptr[parcel + 1]
    for h in range(hop_ptr[parcel], last):
        if hops[h, FIRST] != h or (fixed[h] == LATER) != later:
            continue  # the first: it goes with the first hop of its passage
        link = hops[h, LINK]
        at = ready if hops[h, PARENT] < 0 else hop_end[hops[h, PARENT]]
        if fixed[h] >= 0:
            at += (fixed[h] - at) % period
        elif hops[h, MANY] == 1:
            long, rate, pace, frames = links[link, STRIDE], links[link, RATE], hops[h, PACE], hops[h, FRAMES]
            cycle = -(-at // long)
            cycle = _seek(room, busy, begin, end, ticks, tick, used, link, period // long, rate, pace, cycle, frames)
            if cycle < 0:
                return link
            _occupy(room, busy, begin, end, ticks, tick, used, link, period // long, rate, pace, cycle, frames)
            at = cycle * long
        else:
            at = _pass(room, busy, begin, end, ticks, tick, used, period, links, h, last, at, hops)
            if at < 0:
                return -1 - at
        for m in range(h, last if hops[h, MANY] > 1 else h + 1):
            if hops[m, FIRST] == h:
                link = hops[m, LINK]
                hop_start[m] = at + hops[m, OFFSET]
                hop_end[m] = hop_start[m] + (hops[m, CYCLES] + links[link, LATENCY]) * links[link, STRIDE]
    return -1


@jit_call
def _pass(
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, period: Any, links: Any,
    first: Any, last: Any, ready: Any, hops: Any,
) -> Any:  # fmt: skip
    """Take room for the passage that begins with hop ``first``, among hops up to ``last``, on all its links at once.

    All of its links have cycles of one length. Returns the tick in which it starts, or -1 - link: there is no room.
    """
    long = links[hops[first, LINK], STRIDE]
    cycles = period // long
    start = -(-ready // long)
    limit, again = start + cycles, True
    while again:
        again = False
        for m in range(first, last):
            if hops[m, FIRST] == first:
                link, at = hops[m, LINK], start + hops[m, OFFSET] // long
                found = _seek(
                    room, busy, begin, end, ticks, tick, used, link, cycles, links[link, RATE], hops[m, PACE], at,
                    hops[m, FRAMES],
                )  # fmt: skip
                if found < 0 or start + found - at >= limit:
                    return -1 - link
                again = again or found > at
                start += found - at
    for m in range(first, last):
        if hops[m, FIRST] == first:
            link, at = hops[m, LINK], start + hops[m, OFFSET] // long
            _occupy(
                room, busy, begin, end, ticks, tick, used, link, cycles, links[link, RATE], hops[m, PACE], at,
                hops[m, FRAMES],
            )  # fmt: skip
    return start * long


_TABLES = "int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1]"


@entry(
    f"int64({_TABLES}, int64, int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[::1],"
    " int64[::1])"
)
def send(
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, period: Any, links: Any,
    parcels: Any, assembled: Any, hop_ptr: Any, hops: Any, fixed: Any, hop_start: Any, hop_end: Any,
) -> Any:  # fmt: skip
    """Send parcels one after the other, passage by passage, each in the earliest cycles that are free on all its links.

    Args:
        room .. used: the tables of all links, which are filled in.
        links, hops: rows as in the module docstring. hop_ptr: the hops of each parcel, as in ``Routes``.
        parcels: in the order in which they are sent; assembled: when each of them is there.
        fixed: residue of each hop's start, -1 where it is free; free are all hops of passages of several.
        hop_start: filled in; hop_end: when each parcel is in memory at the other end of a hop, filled in.

    Returns:
        -1, or the link on which a frame finds no room.
    """
    for k in range(len(parcels)):
        full = _travel(
            room, busy, begin, end, ticks, tick, used, period, links, parcels[k], assembled[k], hop_ptr, hops, fixed,
            hop_start, hop_end, False,
        )  # fmt: skip
        if full >= 0:
            return full
    return -1


@entry(
    "void(int64[::1], int64[::1], int64[::1], int64[::1], int64, int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64[::1])"
)
def pour(
    room: Any, busy: Any, begin: Any, end: Any, period: Any, order: Any, node: Any, ready: Any, ticks: Any, done: Any
) -> None:
    """Firings poured into what is free of their nodes' periods, each when it is ready, cut in pieces if need be.

    Args:
        room .. end: tables of the nodes, as of links, which are filled in.
        order: of the firings. node, ready, ticks, done: of each firing; the last is filled in: when it has ended.
    """
    for i in order:
        v, at, left = node[i], ready[i], ticks[i]
        first = room[v]
        while left > 0:
            at = _find(begin, end, first, busy[v], period, at, 1)
            if at < 0:
                break
            k = _right(begin, first, busy[v], at % period)
            here = min(left, (begin[first + k] if k < busy[v] else period) - at % period)
            busy[v] = _cover(begin, end, first, busy[v], at % period, at % period + here)
            left -= here
            at += here
        done[i] = at


def steady(
    actors: IntArray, begin: IntArray, ready: IntArray, ticks: IntArray, period: int, *, wait: bool = False
) -> IntArray:
    """Starts of firings that share nodes, when every iteration's are ready a period after the last iteration's.

    A node fires the oldest iteration first, then what was ready first. It is simulated over periods until one is like
    the one before. Where that takes too long, the order found so far is packed back to back.

    Args:
        actors: node after node, ascending; begin: where each node's begin, and where the last one's end.
        ready, ticks: of every actor's firing, in ticks of iteration 0; a node's ``ticks`` sum up to ``period`` at most.
        period: in ticks.
        wait: do not begin a firing just before one of an older iteration gets ready, but wait for that, as far as the
            node's idle time of a period goes. Otherwise the node never waits while something is ready.

    Returns:
        Starts, parallel to ``actors``: none before ``ready``, no two on one node overlapping modulo the period.
    """
    at, long = ready[actors], ticks[actors]
    node = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    inside = np.arange(len(actors)) - begin[node]
    coming = inside[np.lexsort([at % period, node])]
    ranked = inside[np.lexsort([at, node])]
    starts = np.zeros(len(actors), np.int64)
    unsettled = np.zeros(len(begin) - 1, np.bool_)
    _simulate(begin, at, long, coming, ranked, period, wait, starts, unsettled)
    for v in np.flatnonzero(unsettled):
        here = slice(int(begin[v]), int(begin[v + 1]))
        order = np.argsort(starts[here] % period, kind="stable")
        residue = at[here][order[0]] + np.cumsum(long[here][order]) - long[here][order]
        starts[here.start + order] = at[here][order] + (residue - at[here][order]) % period
    return starts


def in_order(actors: IntArray, begin: IntArray, wanted: IntArray, ticks: IntArray, period: int) -> IntArray:
    """Starts of firings that share nodes, each as soon after its wanted start as the firings before it allow.

    On every node they keep the cyclic order of their wanted starts. Arguments and result as those of :func:`steady`.
    """
    if not len(actors):
        return np.empty(0, np.int64)
    at, long = wanted[actors], ticks[actors]
    many = np.diff(begin)
    node = np.repeat(np.arange(len(many)), many)
    order = np.lexsort([at % period, node])
    residue, long = (at % period)[order], long[order]
    before = np.cumsum(long) - long
    before -= np.repeat(before[begin[:-1]], many)
    # How far each firing is behind the back-to-back sequence; what is left over at the end of a period is carried on.
    free = residue - before
    last = np.maximum.reduceat(free, begin[:-1]) + np.add.reduceat(long, begin[:-1]) - period
    free = np.maximum(free, np.repeat(last, many))
    lift = node * (int(np.abs(free).max()) * 2 + 1)
    late = before + np.maximum.accumulate(free + lift) - lift - residue
    starts = np.empty(len(actors), np.int64)
    starts[order] = at[order] + late
    return starts


@jit_call
def _push(heap: Any, key: Any) -> Any:
    """Add to a binary heap, a list of integers with the least one first."""
    heap.append(key)
    i = len(heap) - 1
    while i > 0 and heap[(i - 1) // 2] > key:
        heap[i] = heap[(i - 1) // 2]
        i = (i - 1) // 2
    heap[i] = key


@jit_call
def _pop(heap: Any) -> Any:
    """Remove the least one of a heap."""
    key = heap.pop()
    count, i = len(heap), 0
    if count == 0:
        return
    while 2 * i + 1 < count:
        child = 2 * i + 1
        if child + 1 < count and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = key


@jit_call
def _node(ready: Any, ticks: Any, order: Any, by_rank: Any, period: Any, wait: Any, starts: Any) -> Any:
    """:func:`steady` on one node; whether a period was like the one before."""
    count = len(ready)
    phases = ready % period
    # Iteration n of firing i is released in period n + age: the greater its age, the older what is released.
    age = ready // period
    rank = np.empty(count, np.int64)
    for i in range(count):
        rank[by_rank[i]] = i
    # What is released and waits: iteration * count + rank, the oldest iteration first.
    heap = [np.int64(0)]
    heap.pop()
    # What waits at the end of a period, a bit for each period since its release.
    waits, before = np.zeros(count, np.int64), np.zeros(count, np.int64)
    now, over, over_before = np.int64(0), np.int64(0), np.int64(-1)
    spare = period - ticks.sum() if wait else np.int64(0)
    for turn in range(_TURNS):
        base = turn * period
        at, left = 0, spare
        while True:
            while at < count and base + phases[order[at]] <= now:
                _push(heap, (turn - age[order[at]]) * count + rank[order[at]])
                at += 1
            if len(heap) > 0 and now < base + period:
                iteration, i = heap[0] // count, by_rank[heap[0] % count]
                if left > 0:
                    # Wait for a firing of an older iteration that gets ready before this one would end.
                    until, limit = now, now + min(left, ticks[i] - 1)
                    for ahead in range(at, min(at + _LOOK_AHEAD, 2 * count)):
                        other = order[ahead % count]
                        when = (turn + ahead // count) * period + phases[other]
                        if when > limit:
                            break
                        if turn + ahead // count - age[other] < iteration:
                            until = when
                            break
                    if until > now:
                        left -= until - now
                        now = until
                        continue
                _pop(heap)
                starts[i] = now - iteration * period
                now += ticks[i]
            elif at < count:
                now = max(now, base + phases[order[at]])
            else:
                break
        over = max(now - base - period, np.int64(0))
        waits[:] = 0
        for k in range(len(heap)):
            i = by_rank[heap[k] % count]
            waits[i] |= 1 << (turn - heap[k] // count - age[i])
        same = over == over_before
        for i in range(count):
            same = same and waits[i] == before[i]
            before[i] = waits[i]
        if same:
            return True
        over_before = over
    return False


@entry("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, boolean, int64[::1], boolean[::1])")
def _simulate(
    begin: Any, ready: Any, ticks: Any, coming: Any, ranked: Any, period: Any, wait: Any, starts: Any, unsettled: Any
) -> None:
    """Simulate all nodes; ``coming`` and ``ranked``: each node's firings by phase and by tick of being ready."""
    for v in range(len(begin) - 1):
        a, b = begin[v], begin[v + 1]
        unsettled[v] = not _node(ready[a:b], ticks[a:b], coming[a:b], ranked[a:b], period, wait, starts[a:b])
