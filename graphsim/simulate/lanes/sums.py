"""Weighted sums of a block of samples over a dense bundle: ``out[r] += x[r] @ weights``, term by term in order.

Two ways, both exact, chosen for every block of ``ROWS`` samples from the zeros in it:

- *skip*: per sample, the inputs that are not zero are packed together first, and only those are multiplied. A term
  whose input is zero leaves every bit of a sum as it was, because sums start at +0 and weights are finite.
- *dense*: tiles of several samples, every term multiplied.

Weights are packed once per engine (:func:`pack`): panels of ``WIDE`` neurons, the last one ``NARROW`` if that suffices,
padded with zeros; in a panel, terms follow each other. ``SLAB`` terms of a panel stay in the L1 cache while all samples
of a block pass over them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import carray  # type: ignore[attr-defined]

from graphsim.simulate.lanes.tiles import (
    LANES,
    NARROW,
    TALL,
    UNROLL,
    WIDE,
    compress8,
    dense_narrow,
    dense_tall,
    dense_wide,
    pointer,
    skip_narrow,
    skip_wide,
)
from graphsim.simulate.native import jit, jit_call

#: Samples per block, terms per slab: 28 KiB of a panel's weights (a term's number in its slab must fit a byte).
ROWS = 96
SLAB = 112 * 8 // LANES
#: Blocks with a greater part of inputs that are not zero go the dense way.
DENSITY = 0.6
AUTO, SKIP, DENSE = 0, 1, 2


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights (terms, neurons) as panels, flat."""
    terms, neurons = weights.shape
    panels = []
    for first in range(0, neurons, WIDE):
        part = weights[:, first : first + WIDE]
        panel = np.zeros((terms, WIDE if neurons - first > NARROW else NARROW), np.float32)
        panel[:, : part.shape[1]] = part
        panels.append(panel.reshape(-1))
    return np.concatenate(panels)


def room(terms: int) -> tuple[int, int, int, int]:
    """Bytes of scratch that :func:`accumulate` needs for sums of so many terms: sums, values, numbers, counts."""
    slabs = -(-terms // SLAB)
    most = _row_room(terms)
    return ROWS * WIDE * 4, ROWS * most * 4, ROWS * most, ROWS * (slabs + 1) * 8


@jit
def floats(address: int, count: int) -> npt.NDArray[np.float32]:
    """``count`` floats at an address, as an array."""
    return carray(pointer(address), count, np.float32)


def _row_room(terms: int) -> int:
    """Places for one sample's values: all terms, padding per slab, and what compress8 writes beyond its end."""
    return terms + (-(-terms // SLAB)) * UNROLL + 8


_row_room_native = jit(_row_room)


@jit_call
def _density(x: int, rows: int, terms: int) -> float:
    """The part of inputs that are not zero, in every fourth sample."""
    found, seen = 0, 0
    for r in range(0, rows, 4):
        row = floats(x + r * terms * 4, terms)
        n = 0
        for i in range(terms):
            n += row[i] != np.float32(0)
        found += n
        seen += terms
    return found / seen


@jit_call
def _compress(x: int, rows: int, terms: int, values: int, chosen: int, starts: int) -> None:
    """Per sample and slab, the inputs that are not zero, and where in the sample's places each slab starts."""
    slabs = (terms + SLAB - 1) // SLAB
    places = _row_room_native(terms)
    start = carray(pointer(starts), (rows, slabs + 1), np.int64)
    for r in range(rows):
        row = x + r * terms * 4
        value = floats(values + r * places * 4, places)
        number = carray(pointer(chosen + r * places), places, np.uint8)
        v, c = values + r * places * 4, chosen + r * places
        n = 0
        for s in range(slabs):
            start[r, s] = n
            first = s * SLAB
            count = min(SLAB, terms - first)
            whole = count // 8 * 8
            for i in range(0, whole, 8):
                n += compress8(row + (first + i) * 4, i, v + n * 4, c + n)
            tail = floats(row + (first + whole) * 4, count - whole)
            for i in range(count - whole):
                if tail[i] != np.float32(0):
                    value[n] = tail[i]
                    number[n] = whole + i
                    n += 1
            while n % UNROLL != 0:
                value[n] = np.float32(0)
                number[n] = 0
                n += 1
        start[r, slabs] = n


@jit_call
def _skip_slab(rows: int, s: int, slabs: int, places: int, width: int, weights: int, room: tuple[int, ...]) -> None:
    sums, values, chosen, starts, _ = room
    start = carray(pointer(starts), (rows, slabs + 1), np.int64)
    for r in range(rows):
        n, count = start[r, s], start[r, s + 1] - start[r, s]
        v, c = values + (r * places + n) * 4, chosen + r * places + n
        if width == WIDE:
            skip_wide(sums + r * WIDE * 4, weights, WIDE * 4, v, c, count)
        else:
            skip_narrow(sums + r * WIDE * 4, weights, NARROW * 4, v, c, count)


@jit_call
def _dense_slab(x: int, rows: int, x_row: int, count: int, width: int, weights: int, sums: int) -> None:
    tall = rows // TALL * TALL
    for column in range(0, width, NARROW):
        for r in range(0, tall, TALL):
            at = sums + (r * WIDE + column) * 4
            dense_tall(at, WIDE * 4, weights + column * 4, width * 4, x + r * x_row, x_row, count)
    for r in range(tall, rows):
        if width == WIDE:
            dense_wide(sums + r * WIDE * 4, 0, weights, WIDE * 4, x + r * x_row, 0, count)
        else:
            dense_narrow(sums + r * WIDE * 4, 0, weights, NARROW * 4, x + r * x_row, 0, count)


@jit_call
def accumulate(
    x: int, rows: int, terms: int, weights: int, out: int, neurons: int, room: tuple[int, ...], way: int
) -> int:
    """``out[r] += x[r] @ weights`` for all rows.

    Args:
        x, out: addresses of rows of ``terms`` and ``neurons`` floats, one behind the other.
        weights: address of the packed weights.
        room: addresses of scratch, see :func:`room`.
        way: AUTO, SKIP or DENSE.

    Returns:
        How many of the rows were done by skipping.
    """
    slabs = (terms + SLAB - 1) // SLAB
    places = _row_room_native(terms)
    skipped = 0
    for top in range(0, rows, ROWS):
        n = min(ROWS, rows - top)
        first_x, first_out = x + top * terms * 4, out + top * neurons * 4
        skip = way == SKIP or (way == AUTO and _density(first_x, n, terms) <= DENSITY)
        if skip:
            skipped += n
            _compress(first_x, n, terms, room[1], room[2], room[3])
        panel = weights
        for column in range(0, neurons, WIDE):
            width = WIDE if neurons - column > NARROW else NARROW
            used = min(width, neurons - column)
            _copy(room[0], WIDE, first_out + column * 4, neurons, n, used)
            for s in range(slabs):
                count = min(SLAB, terms - s * SLAB)
                if skip:
                    _skip_slab(n, s, slabs, places, width, panel, room)
                else:
                    _dense_slab(first_x + s * SLAB * 4, n, terms * 4, count, width, panel, room[0])
                panel += count * width * 4
            _copy(first_out + column * 4, neurons, room[0], WIDE, n, used)
    return skipped


@jit_call
def _copy(to: int, to_row: int, source: int, source_row: int, rows: int, count: int) -> None:
    """Copy ``count`` floats of every row; rows are so many floats apart."""
    for r in range(rows):
        a, b = floats(to + r * to_row * 4, count), floats(source + r * source_row * 4, count)
        for i in range(count):
            a[i] = b[i]
