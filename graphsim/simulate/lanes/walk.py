"""Walking the edges of window bundles: lists of offsets, and patches laid out (see ``windows``). Native code.

Scratch is a list of addresses, ``room``: of the sums' own (see :func:`graphsim.simulate.lanes.sums.room`), and then, by
the numbers below, of lists of offsets, patches, addresses of rows, and terms of an actor or a chunk of values.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from graphsim.native import address, jit, jit_call
from graphsim.simulate.lanes.program import PATCHES, PORT
from graphsim.simulate.lanes.sums import FEW, accumulate_lists, floats
from graphsim.simulate.lanes.tiles import ask11, call8, pointer
from graphsim.simulate.lanes.windows import AXIS, WINDOW

#: Numbers in ``room``.
LISTS, PATCHED, SOURCES, TERMS = 4, 5, 6, 7
_AXIS_BYTES = AXIS.itemsize


@jit
def shifts(axes: int, count: int, number: int) -> int:
    """How far the coordinates of consumer ``number`` shift its weights."""
    total = 0
    for a in range(count):
        axis = carray(pointer(axes + a * _AXIS_BYTES), 1, AXIS)[0]
        total += (number // axis.divide) % axis.consumers * axis.weight_consumer
    return total


@jit_call
def offsets(axes: int, count: int, number: int, lists: int, holes: bool) -> int:
    """List what taps along some axes add for consumer ``number``: to the producer, to the weight; returns how many.

    Written at ``lists``, in channel order: int64 pairs. With ``holes``, taps without an edge are listed as -1.
    """
    found = 1
    entry = carray(pointer(lists), (1 << 40, 2), np.int64)
    entry[0, 0], entry[0, 1] = 0, 0
    for a in range(count):
        axis = carray(pointer(axes + a * _AXIS_BYTES), 1, AXIS)[0]
        coordinate = (number // axis.divide) % axis.consumers
        table = carray(pointer(axis.table + coordinate * axis.row * 8), axis.taps, np.int64)
        valid = 0
        for t in range(axis.taps):
            if holes or table[t] >= 0:
                valid += 1
        if valid == 0:
            return 0
        for i in range(found - 1, -1, -1):  # from the end, so that no entry is overwritten before it is read
            x, w = entry[i, 0], entry[i, 1]
            place = (i + 1) * valid - 1
            for t in range(axis.taps - 1, -1, -1):
                if table[t] >= 0 and x >= 0:
                    entry[place, 0], entry[place, 1] = x + table[t], w + t * axis.weight_tap
                    place -= 1
                elif holes:
                    entry[place, 0] = -1
                    place -= 1
        found *= valid
    return found


@jit_call
def _lay_out(
    window: Any, x: int, row: int, first: int, count: int, group: int, terms: int, to: int, lists: int
) -> None:
    """The patches of ``count`` positions from ``first`` on, numbered over all samples, whose rows are ``row`` bytes."""
    entry = carray(pointer(lists), (window.list, 2), np.int64)
    runs = carray(pointer(window.runs), (window.run_count, 3), np.int64)
    length, apart = window.run_length, window.run_step
    for p in range(first, first + count):
        r, position = divmod(p, window.number)
        number = position * window.groups + group
        found = offsets(window.axes, window.axis_count, number, lists, True)
        before, inside, start = runs[(number // window.run_divide) % window.run_consumers]
        behind = length - before - inside
        at = to + (p - first) * terms * 4
        for i in range(found):
            if entry[i, 0] < 0:
                _zero(at, length)
            else:
                source = x + r * row + (entry[i, 0] + start) * 4
                _zero(at, before)
                if apart == 1:
                    _move(at + before * 4, source, inside)
                else:
                    piece = floats(at + before * 4, inside)
                    for k in range(inside):
                        piece[k] = floats(source + k * apart * 4, 1)[0]
                _zero(at + (before + inside) * 4, behind)
            at += length * 4
        if found == 0:
            _zero(at, terms)


@jit
def _zero(to: int, count: int) -> None:
    a = floats(to, count)
    for i in range(count):
        a[i] = np.float32(0)


@jit
def _move(to: int, source: int, count: int) -> None:
    a, b = floats(to, count), floats(source, count)
    for i in range(count):
        a[i] = b[i]


def _sum_patches(record: int, x: int, out: int, size: int, begin: int, end: int, fresh: int, rooms: int) -> int:
    """Add a PATCHES port's sums to actors begin .. end - 1 of a block's rows; ``fresh``: start them.

    Returns:
        How many sums of a position were done by skipping.
    """
    port = carray(pointer(record), 1, PORT)[0]
    room = carray(pointer(rooms), TERMS + 1, np.int64)
    window = carray(pointer(port.window), 1, WINDOW)[0]
    group_at = carray(pointer(window.group_at), window.groups, np.int64)
    terms, filters, row = port.terms, window.filters, port.size * 4
    patch = room[PATCHED]
    apart = patch + window.rows * terms * 4
    together = window.filter_step == 1
    flat = together and window.position_step * window.number == size
    first, last = begin // size * window.number, end // size * window.number
    if flat:
        first, last = begin // window.position_step, end // window.position_step
    skipped = 0
    for g in range(window.groups):
        weights = port.weight.address + g * window.group_weights * 4
        at = first
        while at < last:
            stop = last if flat else min(last, (at // window.number + 1) * window.number)
            n = min(window.rows, stop - at)
            _lay_out(window, x, row, at, n, g, terms, patch, room[LISTS])
            r, position = divmod(at, window.number)
            to = out + (r * size + position * window.position_step + group_at[g]) * 4
            sums, sums_row = to, window.position_step
            if not together:
                sums, sums_row = apart, filters
                if not fresh:
                    _turn(apart, filters, 1, to, window.position_step, window.filter_step, n, filters)
            given = (patch, n, terms, weights, sums, filters, sums_row, fresh, rooms, port.way, 0)
            skipped += ask11(port.accumulate, given)
            if not together:
                _turn(to, window.position_step, window.filter_step, apart, filters, 1, n, filters)
            at += n
    return skipped


def _sum_lists(record: int, x: int, out: int, size: int, begin: int, end: int, fresh: int, rooms: int) -> int:
    """The same for a SPARSE port, whole rows of all samples."""
    port = carray(pointer(record), 1, PORT)[0]
    rows = (end - begin) // size
    first = x + begin // size * port.size * 4, out + begin * 4
    if rows >= FEW:
        room = carray(pointer(rooms), TERMS + 1, np.int64)
        accumulate_lists(port, *first, size, rows, fresh, room[PATCHED])
    else:
        call8(port.function, (record, x, out, size, begin, end, fresh, rooms))
    return 0


@cache
def sum_address(port: int) -> int:
    """Address of the native code of weighted sums over a PATCHES or a SPARSE port."""
    function = _sum_patches if port == PATCHES else _sum_lists
    return address(f"int64({', '.join(['int64'] * 8)})", function)


@jit_call
def _turn(to: int, to_row: int, to_step: int, source: int, row: int, step: int, rows: int, count: int) -> None:
    """Copy ``count`` floats of every row between places where they are spaced differently."""
    for i in range(count):
        for r in range(rows):
            floats(to + (r * to_row + i * to_step) * 4, 1)[0] = floats(source + (r * row + i * step) * 4, 1)[0]
