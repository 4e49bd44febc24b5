"""The sweep's walk over the gates, native.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Int32Array
from graphsim.native import entry, jit
from graphsim.passes.logic.sweep import CONSTANTS, COPIES, EQUALS, FALSE, INVERTERS, TRUE, Literals
from graphsim.passes.logic.words import ONES, V, Word, cofactor, depends, flipped, shrunk, stretched, swapped

#: Stands behind all signals where fanins are sorted.
_GONE = 1 << 40
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)


@jit
def _hash(word: Word, fanins: Literals, fan_in: int) -> Word:
    h = word * _MIX
    for i in range(fan_in):
        h = ((h ^ (h >> np.uint64(29))) + np.uint64(fanins[i])) * _MIX
    return np.int64(h >> np.uint64(2))


@jit
def _without(fanins: Literals, i: int, k: int) -> int:
    """Take fanin i out; returns how many are left."""
    for j in range(i, k - 1):
        fanins[j] = fanins[j + 1]
    return k - 1


@jit
def _moved(word: Word, i: int, k: int) -> Word:
    """The table in which variable i comes behind the k others."""
    for j in range(i, k):
        word = swapped(word, j)
    return word


@entry(
    "int64(int64, int64, int64[::1], int32[::1], uint64[::1],"
    " int64[::1], int64[::1], int32[::1], uint64[::1], int64[::1])"
)
def sweep(
    what: int,
    first_gate: int,
    indptr: Literals,
    index: Int32Array,
    truth: npt.NDArray[np.uint64],
    literal: Literals,
    new_indptr: Literals,
    new_index: Int32Array,
    new_truth: npt.NDArray[np.uint64],
    origin: Literals,
) -> int:
    """Fill the arrays of the new gates and the literals of the old ones; returns the number of new gates.

    ``literal`` comes with those of inputs and registers. ``origin``: the old gate that each new one was made for.
    """
    size = 16
    while size < 2 * len(truth):
        size *= 2
    table = np.full(size if what & EQUALS else 1, -1, np.int32)
    fanins = np.empty(6, np.int64)
    made = 0
    new_indptr[0] = 0
    for gate in range(len(truth)):
        k = indptr[gate + 1] - indptr[gate]
        word = stretched(truth[gate], k)
        for i in range(k):
            read = literal[index[indptr[gate] + i]]
            if read < 0:
                word = cofactor(word, i, read == TRUE)
                fanins[i] = _GONE
            else:
                if read & 1:
                    word = flipped(word, i)
                if what & CONSTANTS and not depends(word, i):
                    fanins[i] = _GONE
                else:
                    fanins[i] = read >> 1
        for i in range(1, k):
            j = i
            while j > 0 and fanins[j - 1] > fanins[j]:
                fanins[j - 1], fanins[j] = fanins[j], fanins[j - 1]
                word = swapped(word, j - 1)
                j -= 1
        while k > 0 and fanins[k - 1] == _GONE:
            k -= 1
        i = 0
        while i + 1 < k:
            if fanins[i] != fanins[i + 1]:
                i += 1
                continue
            # One signal, read twice: only the rows in which both are alike count.
            alike = cofactor(cofactor(word, i, True), i + 1, True) & V[i]
            word = alike | (cofactor(cofactor(word, i, False), i + 1, False) & ~V[i])
            k = _without(fanins, i + 1, k)
            word = _moved(word, i + 1, k)
        if what & CONSTANTS:
            for i in range(k - 1, -1, -1):
                if not depends(word, i):
                    k = _without(fanins, i, k)
                    word = _moved(word, i, k)
        if k == 0 and what & CONSTANTS:
            literal[first_gate + gate] = TRUE if word & np.uint64(1) else FALSE
            continue
        if k == 1 and ((word == V[0] and what & COPIES != 0) or (word == ~V[0] and what & INVERTERS != 0)):
            literal[first_gate + gate] = 2 * fanins[0] + int(word != V[0])
            continue
        found = -1
        slot = 0
        if what & EQUALS:
            key = ~word if what & INVERTERS != 0 and word & np.uint64(1) != 0 else word
            slot = _hash(key, fanins, k) & (size - 1)
            while found < 0 and table[slot] >= 0:
                other = table[slot]
                same = new_indptr[other + 1] - new_indptr[other] == k
                same = same and (new_truth[other] == word or (what & INVERTERS != 0 and new_truth[other] == ~word))
                for i in range(k):
                    same = same and new_index[new_indptr[other] + i] == fanins[i]
                if same:
                    found = other
                else:
                    slot = (slot + 1) & (size - 1)
        if found >= 0:
            literal[first_gate + gate] = 2 * (first_gate + found) + int(new_truth[found] != word)
            continue
        if what & EQUALS:
            table[slot] = made
        for i in range(k):
            new_index[new_indptr[made] + i] = fanins[i]
        new_indptr[made + 1] = new_indptr[made] + k
        new_truth[made] = word
        origin[made] = gate
        literal[first_gate + gate] = 2 * (first_gate + made)
        made += 1
    return made


@entry("void(int64, int64, int64[::1], int32[::1], uint64[::1], boolean[::1])")
def finish(
    first_gate: int,
    gates: int,
    indptr: Literals,
    index: Int32Array,
    truth: npt.NDArray[np.uint64],
    turned: npt.NDArray[np.bool_],
) -> None:
    """Turn gates into their complements, in their tables and their readers'; leave of each word its own table."""
    for gate in range(gates):
        a, b = indptr[gate], indptr[gate + 1]
        word = truth[gate]
        for i in range(b - a):
            if index[a + i] >= first_gate and turned[index[a + i] - first_gate]:
                word = flipped(word, i)
        if turned[gate]:
            word ^= ONES
        truth[gate] = shrunk(word, b - a)
