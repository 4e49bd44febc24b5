"""Weighted sums of a block of samples over a dense bundle: ``out[r] += x[r] @ weights``, term by term in order.

Two ways, both exact, chosen for every block of ``ROWS`` samples from the zeros in it:

- *skip*: per sample, the inputs that are not zero are packed together first, and only those are multiplied. A term
  whose input is zero leaves every bit of a sum as it was, because sums start at +0 and weights are finite.
- *dense*: tiles of several samples, every term multiplied.

Weights are packed once per engine (:func:`pack`): panels of ``WIDE`` neurons, the last one ``NARROW`` if that suffices,
padded with zeros; in a panel, terms follow each other. All samples of a block pass over ``SLAB`` terms of a panel
before the next, so that those of them that samples use stay in the L1 cache. Meanwhile the inputs of the next block are
brought into the L2 cache.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray  # type: ignore[attr-defined]

from graphsim.native import address, jit, jit_call
from graphsim.simulate.lanes.tiles import (
    LANES,
    NARROW,
    PACK,
    TALL,
    WIDE,
    compress,
    dense_narrow,
    dense_slim,
    dense_tall,
    dense_wide,
    list_narrow,
    pointer,
    prefetch,
    skip_narrow,
    skip_wide,
)

#: Samples per block, terms per slab (a term's number in its slab must fit a byte).
ROWS = 96
SLAB = 112
NARROW_SLAB = 2 * SLAB
#: Floats of a line of the cache.
LINE = 16
#: A block goes the dense way if more than this part of the inputs of its first TRIED samples is not zero. Narrow panels
#: gain less from skipping, because a sample's few sums wait for each other.
DENSITY, NARROW_DENSITY = 0.5, 0.2
TRIED = 8
#: Samples that sums over lists of producers take side by side, and below how many one after the other is faster.
BATCH = NARROW
FEW = 4
AUTO, SKIP, DENSE = 0, 1, 2


def pack(*matrices: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights (terms, neurons) as panels, flat, those of all matrices one behind the other.

    They start where a line of the cache does: a load from two lines takes twice as long.
    """
    panels = []
    for weights in matrices:
        terms, neurons = weights.shape
        for first in range(0, neurons, WIDE):
            part = weights[:, first : first + WIDE]
            panel = np.zeros((terms, WIDE if neurons - first > NARROW else NARROW), np.float32)
            panel[:, : part.shape[1]] = part
            panels.append(panel.reshape(-1))
    size = sum(panel.size for panel in panels)
    memory = np.empty(size + LINE, np.float32)
    first = -(memory.ctypes.data // 4) % LINE
    return np.concatenate(panels, out=memory[first : first + size])


def room(terms: int) -> tuple[int, int, int, int]:
    """Bytes of scratch that :func:`accumulate` needs for sums of so many terms: sums, values, numbers, counts."""
    slabs = -(-terms // SLAB)
    most = _places(terms)
    return ROWS * WIDE * 4, ROWS * most * 4, ROWS * most, ROWS * (slabs + 1) * 8


@jit
def floats(at: int, count: int) -> npt.NDArray[np.float32]:
    """``count`` floats at an address, as an array."""
    return carray(pointer(at), count, np.float32)


def _places(terms: int) -> int:
    """Places for one sample's values: all terms, and what compress writes beyond its end."""
    return terms + PACK


_places_native = jit(_places)


@jit_call
def _compress(x: int, begin: int, end: int, terms: int, slab: int, room: tuple[int, ...]) -> int:
    """Of samples begin .. end - 1, the inputs that are not zero, and where each slab's start. Returns their number."""
    slabs = (terms + slab - 1) // slab
    places = _places_native(terms)
    values, chosen, starts = room[1], room[2], room[3]
    start = carray(pointer(starts), (end, slabs + 1), np.int64)
    found = 0
    for r in range(begin, end):
        row = x + r * terms * 4
        v, c = values + r * places * 4, chosen + r * places
        value, number = floats(v, places), carray(pointer(c), places, np.uint8)
        n = 0
        for s in range(slabs):
            start[r, s] = n
            first = s * slab
            count = min(slab, terms - first)
            whole = count // PACK * PACK
            for i in range(0, whole, PACK):
                n += compress(row + (first + i) * 4, i, v + n * 4, c + n)
            tail = floats(row + (first + whole) * 4, count - whole)
            for i in range(count - whole):
                if tail[i] != np.float32(0):
                    value[n] = tail[i]
                    number[n] = whole + i
                    n += 1
        start[r, slabs] = n
        found += n
    return found


@jit_call
def _skip_slab(
    rows: int, s: int, terms: int, slab: int, width: int, weights: int, room: tuple[int, ...], ahead: int, lines: int
) -> None:
    """Add the terms of slab ``s`` that _compress found, and prefetch ``lines`` from ``ahead`` on."""
    each = (lines + rows - 1) // rows
    sums, values, chosen, starts = room[0], room[1], room[2], room[3]
    slabs, places = (terms + slab - 1) // slab, _places_native(terms)
    start = carray(pointer(starts), (rows, slabs + 1), np.int64)
    for r in range(rows):
        _fetch(ahead, r * each, each)
        n, count = start[r, s], start[r, s + 1] - start[r, s]
        if count == 0:
            continue
        v, c = values + (r * places + n) * 4, chosen + r * places + n
        if width == WIDE:
            skip_wide(sums + r * WIDE * 4, weights, WIDE * 4, v, c, count)
        else:
            skip_narrow(sums + r * WIDE * 4, weights, NARROW * 4, v, c, count)


@jit_call
def _dense_slab(
    x: int,
    rows: int,
    x_row: int,
    count: int,
    width: int,
    used: int,
    weights: int,
    sums: int,
    ahead: int,
    lines: int,
) -> None:
    """Add ``count`` terms to the first ``used`` sums of a panel, and prefetch ``lines`` from ``ahead`` on."""
    tall = rows // TALL * TALL
    tiles = rows // TALL * ((used + NARROW - 1) // NARROW)
    each, done = (lines + tiles - 1) // max(1, tiles), 0
    for column in range(0, used, NARROW):
        for r in range(0, tall, TALL):
            _fetch(ahead, done, each)
            done += each
            at, w = sums + (r * WIDE + column) * 4, weights + column * 4
            if used - column > LANES:
                dense_tall(at, WIDE * 4, w, width * 4, x + r * x_row, x_row, count)
            else:
                dense_slim(at, WIDE * 4, w, width * 4, x + r * x_row, x_row, count)
    for r in range(tall, rows):
        if width == WIDE:
            dense_wide(sums + r * WIDE * 4, 0, weights, WIDE * 4, x + r * x_row, 0, count)
        else:
            dense_narrow(sums + r * WIDE * 4, 0, weights, NARROW * 4, x + r * x_row, 0, count)


@jit
def _fetch(start: int, first: int, lines: int) -> None:
    """Prefetch so many lines of the cache, from the ``first`` behind ``start`` on."""
    for line in range(first, first + lines):
        prefetch(start + line * LINE * 4)


def accumulate(
    x: int,
    rows: int,
    terms: int,
    weights: int,
    out: int,
    neurons: int,
    out_row: int,
    fresh: int,
    scratch: int,
    way: int,
    ahead: int,
) -> int:
    """``out[r] += x[r] @ weights`` for all rows, or ``out[r] = +0 + x[r] @ weights`` if ``fresh``.

    Args:
        x: address of rows of ``terms`` floats, one behind the other.
        out: address of rows of ``neurons`` floats, ``out_row`` floats apart.
        weights: address of the packed weights.
        scratch: address of the addresses of scratch, see :func:`room`.
        way: AUTO, SKIP or DENSE.
        ahead: bytes behind the rows that are read next.

    Returns:
        How many of the rows were done by skipping.
    """
    given = carray(pointer(scratch), 4, np.int64)
    room = (given[0], given[1], given[2], given[3])
    slab, density = (SLAB, DENSITY) if neurons > NARROW else (NARROW_SLAB, NARROW_DENSITY)
    skipped = 0
    for top in range(0, rows, ROWS):
        n = min(ROWS, rows - top)
        first_x, first_out = x + top * terms * 4, out + top * out_row * 4
        skip = way != DENSE
        if skip:
            tried = min(TRIED, n) if way == AUTO else 0
            found = _compress(first_x, 0, tried, terms, slab, room)
            skip = found <= density * tried * terms
            if skip:
                _compress(first_x, tried, n, terms, slab, room)
                skipped += n
        following = x + (top + n) * terms * 4
        ahead_lines = min(ROWS * terms * 4, x + rows * terms * 4 + ahead - following) // (LINE * 4)
        parts = ((terms + slab - 1) // slab) * ((neurons + WIDE - 1) // WIDE)
        lines = (ahead_lines + parts - 1) // parts
        panel = weights
        for column in range(0, neurons, WIDE):
            width = WIDE if neurons - column > NARROW else NARROW
            used = min(width, neurons - column)
            if fresh:
                fill(room[0], n * WIDE)
            else:
                copy(room[0], WIDE, first_out + column * 4, out_row, n, used)
            for first in range(0, terms, slab):
                count = min(slab, terms - first)
                if skip:
                    _skip_slab(n, first // slab, terms, slab, width, panel, room, following, lines)
                else:
                    _dense_slab(first_x + first * 4, n, terms * 4, count, width, used, panel, room[0], following, lines)
                panel += count * width * 4
                following += lines * LINE * 4
            copy(first_out + column * 4, out_row, room[0], WIDE, n, used)
    return skipped


@jit_call
def copy(to: int, to_row: int, source: int, source_row: int, rows: int, count: int) -> None:
    """Copy ``count`` floats of every row; rows are so many floats apart."""
    for r in range(rows):
        a, b = floats(to + r * to_row * 4, count), floats(source + r * source_row * 4, count)
        for i in range(count):
            a[i] = b[i]


@jit_call
def fill(out: int, count: int) -> None:
    """``count`` times +0."""
    a = floats(out, count)
    for i in range(count):
        a[i] = np.float32(0)


@cache
def accumulate_address() -> int:
    """Address of :func:`accumulate` as native code."""
    return address(f"int64({', '.join(['int64'] * 11)})", accumulate)


@jit_call
def accumulate_lists(port: Any, x: int, out: int, size: int, rows: int, fresh: int, room: int) -> None:
    """Add the weighted sums of a SPARSE port to all actors of ``rows`` samples: samples side by side.

    Args:
        room: address of scratch for BATCH samples of producers and of sums.
    """
    sums = room + port.size * BATCH * 4
    for top in range(0, rows, BATCH):
        n = min(BATCH, rows - top)
        first_x, first_out = x + top * port.size * 4, out + top * size * 4
        _transpose_in(room, first_x, port.size, n)
        if fresh:
            fill(sums, size * BATCH)
        else:
            _transpose_in(sums, first_out, size, n)
        begin = np.int64(0)
        for j in range(size):
            end = begin + port.terms
            if port.indptr != 0:
                end = carray(pointer(port.indptr), size + 1, np.int64)[j + 1]
            weights, index = port.weight.address + begin * 4, port.index + begin * 4
            list_narrow(sums + j * BATCH * 4, room, BATCH * 4, weights, index, end - begin)
            begin = end
        _transpose_out(first_out, sums, size, n)


@jit_call
def _transpose_in(to: int, source: int, count: int, rows: int) -> None:
    """Of ``rows`` samples of ``count`` floats, the i-th of all samples together, padded with zeros to BATCH."""
    a = carray(pointer(to), (count, BATCH), np.float32)
    b = carray(pointer(source), (rows, count), np.float32)
    if rows < BATCH:
        fill(to, count * BATCH)
    for i in range(0, count, 16):
        for r in range(rows):
            for k in range(i, min(i + 16, count)):
                a[k, r] = b[r, k]


@jit_call
def _transpose_out(to: int, source: int, count: int, rows: int) -> None:
    """The reverse."""
    a = carray(pointer(to), (rows, count), np.float32)
    b = carray(pointer(source), (count, BATCH), np.float32)
    for i in range(0, count, 16):
        for r in range(rows):
            for k in range(i, min(i + 16, count)):
                a[r, k] = b[k, r]
