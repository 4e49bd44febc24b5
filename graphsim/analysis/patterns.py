"""What the signals of a circuit are under many input patterns at a time, 64 to a word."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import VARIABLES, Int32Array, Words
from graphsim.native import entry

_MAX_FAN_IN = 6
_ALL = 0xFFFF_FFFF_FFFF_FFFF


@entry("void(int64, int64[::1], int32[::1], uint64[::1], uint64[:,::1])")
def evaluate(first_gate: int, indptr: npt.NDArray[np.int64], index: Int32Array, truth: Words, value: Words) -> None:
    """Fill the rows of the gates of ``value``, uint64 (signals, words), of which the rows before them are given.

    A gate is a tree of multiplexers: its table, bit by bit, at the leaves, and fanin i chooses in its level.
    """
    rows = np.empty(64, np.uint64)
    for gate in range(len(truth)):
        start = indptr[gate]
        k = indptr[gate + 1] - start
        for w in range(value.shape[1]):
            for m in range(1 << k):
                rows[m] = np.uint64(0) - ((truth[gate] >> np.uint64(m)) & np.uint64(1))
            for i in range(k):
                chosen = value[index[start + i], w]
                for m in range(1 << (k - 1 - i)):
                    rows[m] = rows[2 * m] ^ (chosen & (rows[2 * m] ^ rows[2 * m + 1]))
            value[first_gate + gate, w] = rows[0]


def counting(variables: int, start: int, words: int) -> Words:
    """Patterns ``64 * start`` and following, uint64 (variables, words): bit i of a pattern's number is variable i."""
    found = np.empty((variables, words), np.uint64)
    number = np.arange(start, start + words)
    for i in range(variables):
        if i < _MAX_FAN_IN:
            found[i] = VARIABLES[i]
        else:
            found[i] = np.where(number >> (i - _MAX_FAN_IN) & 1, np.uint64(_ALL), np.uint64(0))
    return found


def bit(row: Words, pattern: int) -> int:
    """The value in one pattern of a row of words."""
    return int(row[pattern >> 6]) >> (pattern & 63) & 1


def first_set(row: Words) -> int:
    """The first pattern in which a row is 1; -1 if there is none."""
    where = np.flatnonzero(row)
    if not len(where):
        return -1
    word = int(row[where[0]])
    return int(where[0]) * 64 + (word & -word).bit_length() - 1
