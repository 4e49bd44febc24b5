"""Modulo reservation, native: firings and hops in the cyclic tables of nodes and links, loops first.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import entry, jit_call
from graphsim.schedule.calendar import _find, _pop, _push, _take, _travel

#: What :func:`reserve` returns.
DONE, NO_ROOM, UNSETTLED = range(3)
#: Sweeps over the loops before they are given up at a period.
_SWEEPS = 32


@entry("boolean(int64[::1], int64[::1], int64[::1], int64[::1], int64, int64[::1])")
def earliest(ptr: Any, src: Any, lag: Any, tokens: Any, period: Any, found: Any) -> Any:
    """The earliest tick of every step if nodes and links had room for everything at once; False: the period is too
    short for a cycle.

    Edges are sorted by the step that they lead to. ``found`` is filled in, from the floors that it holds.
    """
    for _ in range(len(found) + 2):
        changed = False
        for v in range(len(found)):
            for e in range(ptr[v], ptr[v + 1]):
                at = found[src[e]] + lag[e] - tokens[e] * period
                if at > found[v]:
                    found[v] = at
                    changed = True
        if not changed:
            return True
    return False


@entry("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, int64[::1])")
def latest(ptr: Any, src: Any, lag: Any, tokens: Any, part: Any, period: Any, found: Any) -> None:
    """The latest tick of every step of a loop from which none of its other steps gets later than ``found`` says.

    ``part``: of each step, edges from one part to another do not count; the other arguments as for :func:`earliest`.
    """
    changed = True
    while changed:
        changed = False
        for v in range(len(found) - 1, -1, -1):
            for e in range(ptr[v], ptr[v + 1]):
                at = found[v] - lag[e] + tokens[e] * period
                if part[src[e]] == part[v] and at < found[src[e]]:
                    found[src[e]] = at
                    changed = changed or src[e] >= v


@entry("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def ordered(ptr: Any, dst: Any, waits: Any, early: Any, found: Any) -> None:
    """Parts of an acyclic graph in an order in which edges lead forward; of those that may be next, the earliest.

    Args:
        ptr, dst: edges from part p to parts ``dst[ptr[p]:ptr[p + 1]]``. waits: edges into each part; used up.
        early: of each part. found: filled in.
    """
    count, at = len(found), 0
    heap = [np.int64(0)]
    heap.pop()
    for p in range(count):
        if waits[p] == 0:
            _push(heap, early[p] * count + p)
    while len(heap) > 0:
        p = int(heap[0] % count)
        _pop(heap)
        found[at] = p
        at += 1
        for e in range(ptr[p], ptr[p + 1]):
            waits[dst[e]] -= 1
            if waits[dst[e]] == 0:
                _push(heap, early[dst[e]] * count + dst[e])


@jit_call
def _arrival(e: Any, src: Any, hop: Any, length: Any, time: Any, hop_end: Any) -> Any:
    """When what an edge brings is there, in the iteration that made it."""
    if hop[e] >= 0:
        return hop_end[hop[e]]
    return time[src[e]] + length[src[e]]


@jit_call
def _book(
    v: Any, ready: Any, period: Any, node: Any, length: Any, beat: Any, parcel: Any,
    n_room: Any, n_busy: Any, n_begin: Any, n_end: Any,
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, links: Any,
    hop_ptr: Any, hops: Any, fixed: Any,
    time: Any, hop_start: Any, hop_end: Any,
) -> Any:  # fmt: skip
    """Give a step its ticks from ``ready`` on: a firing those of its node, a parcel those of its links. False: there is
    no room.
    """
    ready = -(-ready // beat[v]) * beat[v]
    time[v] = ready
    if length[v] > 0:
        at = node[v]
        start = _find(n_begin, n_end, n_room[at], n_busy[at], period, ready, length[v])
        if start < 0:
            return False
        n_busy[at] = _take(n_begin, n_end, n_room[at], n_busy[at], period, start % period, length[v])
        time[v] = start
    elif parcel[v] >= 0:
        full = _travel(
            room, busy, begin, end, ticks, tick, used, period, links, parcel[v], ready, hop_ptr, hops, fixed, hop_start,
            hop_end, False,
        )  # fmt: skip
        return full < 0
    return True


_INTS = "int64[::1], "
_ROWS = "int64[:, ::1], "


@entry(f"int64(int64, {_INTS * 8}{_INTS * 5}{_INTS * 4}{_INTS * 7}{_ROWS}{_INTS}{_ROWS}{_INTS * 5}".rstrip(", ") + ")")
def reserve(
    period: Any,
    ptr: Any, src: Any, hop: Any, tokens: Any, node: Any, length: Any, beat: Any, parcel: Any,
    part: Any, order: Any, members: Any, member_ptr: Any, looped: Any,
    n_room: Any, n_busy: Any, n_begin: Any, n_end: Any,
    room: Any, busy: Any, begin: Any, end: Any, ticks: Any, tick: Any, used: Any, links: Any,
    hop_ptr: Any, hops: Any, fixed: Any,
    floor: Any, time: Any, hop_start: Any, hop_end: Any,
) -> Any:  # fmt: skip
    """Times for all steps of a graph with loops: strongly connected parts whose cycles hold tokens.

    First the loops alone, each step when what it reads from its own loop is there. Where the token of an earlier
    iteration comes too late, its reader waits until then, and all is done again, until nothing is late. Then the hops
    that bring their tokens to others, and everything in order; a loop keeps its residues and is shifted by whole
    periods to where its other inputs are there.

    Args:
        ptr, src, hop, tokens: edges, by the step that they lead to; ``hop``: what brings the token, -1 if it is made
            where it is read.
        node, length, beat, parcel: of each step: where it fires, for how long, and in multiples of how many ticks it
            may start; or which parcel it sends, else -1.
        part: of each step. order: of the parts. members, member_ptr: the steps of each part, ascending.
        looped: the steps of all loops in the order in which they get room.
        n_room .. n_end: tables of the nodes. room .. used: of the links. All empty; filled in.
        links .. hops: as for :func:`graphsim.schedule.calendar.send`.
        fixed: of each hop, -1; ``LATER`` for those of parcels in loops on which no step of a loop waits.
        floor: when each step may start at the earliest; those of loops are raised.
        time, hop_start, hop_end: filled in.
    """
    for sweep in range(_SWEEPS):
        n_busy[:] = 0
        busy[:] = 0
        ticks[:] = 0
        for v in looped:
            ready = floor[v]
            for e in range(ptr[v], ptr[v + 1]):
                if tokens[e] == 0 and part[src[e]] == part[v]:
                    ready = max(ready, _arrival(e, src, hop, length, time, hop_end))
            if not _book(
                v, ready, period, node, length, beat, parcel, n_room, n_busy, n_begin, n_end, room, busy, begin, end,
                ticks, tick, used, links, hop_ptr, hops, fixed, time, hop_start, hop_end,
            ):  # fmt: skip
                return NO_ROOM
        late = False
        for v in looped:
            for e in range(ptr[v], ptr[v + 1]):
                if tokens[e] > 0 and part[src[e]] == part[v]:
                    ready = _arrival(e, src, hop, length, time, hop_end) - tokens[e] * period
                    if ready > time[v]:
                        floor[v] = max(floor[v], ready)
                        late = True
        if not late:
            break
        if sweep == _SWEEPS - 1:
            return UNSETTLED
    for v in looped:
        if parcel[v] >= 0:
            full = _travel(
                room, busy, begin, end, ticks, tick, used, period, links, parcel[v], time[v], hop_ptr, hops, fixed,
                hop_start, hop_end, True,
            )  # fmt: skip
            if full >= 0:
                return NO_ROOM
    for p in order:
        first, last = member_ptr[p], member_ptr[p + 1]
        loop = False
        shift = np.int64(0)
        ready = np.int64(0)
        for m in range(first, last):
            v = members[m]
            ready = np.int64(0)
            for e in range(ptr[v], ptr[v + 1]):
                if part[src[e]] == p:
                    loop = True
                else:
                    ready = max(ready, _arrival(e, src, hop, length, time, hop_end) - tokens[e] * period)
            if loop or last - first > 1:
                shift = max(shift, -((time[v] - ready) // period))
        if loop:
            if shift > 0:
                for m in range(first, last):
                    v = members[m]
                    time[v] += shift * period
                    if parcel[v] >= 0:
                        for h in range(hop_ptr[parcel[v]], hop_ptr[parcel[v] + 1]):
                            hop_start[h] += shift * period
                            hop_end[h] += shift * period
        elif not _book(
            members[first], ready, period, node, length, beat, parcel, n_room, n_busy, n_begin, n_end, room, busy,
            begin, end, ticks, tick, used, links, hop_ptr, hops, fixed, time, hop_start, hop_end,
        ):  # fmt: skip
            return NO_ROOM
    return DONE


@entry(f"boolean(int64, {_INTS * 9}int64[:, ::1], int64[::1])")
def assign(
    period: Any, ptr: Any, src: Any, tokens: Any, out_ptr: Any, out_dst: Any, out_tokens: Any, length: Any, order: Any,
    early: Any, away: Any, node: Any,
) -> Any:  # fmt: skip
    """Give every step the node where it can start soonest; False: there is no room. See :mod:`.soonest`.

    Args:
        ptr, src, tokens: edges by the step that they lead to. out_ptr, out_dst, out_tokens: by the step they come from.
        length: ticks of each step. order: of those that get a node; the others stay where ``node`` says.
        early: when each could start if nothing took any way.
        away: ticks from node to node. node: filled in.
    """
    nodes, steps = len(away), len(length)
    n_busy = np.zeros(nodes, np.int64)
    # Two stretches for every firing, of which a period has room for as many as it has ticks.
    each = 2 * min(len(order), period) + 2
    n_begin, n_end = np.zeros(nodes * each, np.int64), np.zeros(nodes * each, np.int64)
    load = np.zeros(nodes, np.int64)
    time, known = early.copy(), np.ones(steps, np.bool_)
    known[order] = False
    for v in order:
        best, best_late, best_start = -1, np.int64(0), np.int64(0)
        for n in range(nodes):
            if load[n] + length[v] > period:
                continue
            ready = early[v]
            for e in range(ptr[v], ptr[v + 1]):
                u = src[e]
                if known[u]:
                    ready = max(ready, time[u] + length[u] + away[node[u], n] - tokens[e] * period)
            start = ready
            if length[v] > 0:
                start = _find(n_begin, n_end, n * each, n_busy[n], period, ready, length[v])
                if start < 0:
                    continue
            late = np.int64(0)
            for e in range(out_ptr[v], out_ptr[v + 1]):
                w = out_dst[e]
                if known[w] and out_tokens[e] > 0:
                    late = max(late, start + length[v] + away[n, node[w]] - out_tokens[e] * period - time[w])
            if best < 0 or late < best_late or (late == best_late and start < best_start):
                best, best_late, best_start = n, late, start
        if best < 0:
            return False
        node[v], time[v], known[v] = best, best_start, True
        load[best] += length[v]
        if length[v] > 0:
            n_busy[best] = _take(n_begin, n_end, best * each, n_busy[best], period, best_start % period, length[v])
    return True
