"""Taking gates of up to six inputs apart into gates of at most three: native code.

Where two or three inputs matter to the others only by one bit, a gate makes that bit (Ashenhurst, 1957); else the last
input chooses between two functions of the others (Shannon), each taken apart likewise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit, Int32Array
from graphsim.native import entry, jit_call
from graphsim.passes.logic.words import Word

#: In place of an input that a part does not have: greater than any number.
ABSENT = 0x7FFFFFFF

#: Gates that a gate of so many inputs may become.
MOST = np.array([1, 1, 1, 1, 3, 7, 15], np.int64)
#: Inputs of a gate, and levels of choices in it.
_INPUTS, _LEVELS = 6, 4
#: The table of input 0 choosing between inputs 1 and 2.
_CHOICE = 0b11011000
_ONE = np.uint64(1)


#: Sets of three inputs.
_THREES = 20


def _subsets() -> npt.NDArray[np.int64]:
    """Sets of three, then of two of the inputs, as bits, in ascending order."""
    found = [mask for size in (3, 2) for mask in range(1 << _INPUTS) if mask.bit_count() == size]
    return np.array(found, np.int64)


SUBSETS = _subsets()


@jit_call
def _cofactor(truth: Word, k: int, chosen: int, pattern: int) -> Word:
    """The function of the other inputs where the chosen ones have a pattern."""
    word = np.uint64(0)
    rest = ((1 << k) - 1) & ~chosen
    fixed = 0
    left = chosen
    i = 0
    while left:
        low = left & -left
        if pattern >> i & 1:
            fixed |= low
        left ^= low
        i += 1
    part = 0
    m = 0
    while True:  # through the subsets of the rest, ascending
        word |= ((truth >> np.uint64(fixed | part)) & _ONE) << np.uint64(m)
        if part == rest:
            return word
        part = (part - rest) & rest
        m += 1


@jit_call
def _bit(truth: Word, k: int, chosen: int, size: int, found: Any) -> bool:
    """Whether the chosen inputs matter by one bit; ``found`` becomes its table, and the functions for 0 and for 1."""
    first = _cofactor(truth, k, chosen, 0)
    found[0], found[1], found[2] = 0, first, first
    for pattern in range(1, 1 << size):
        word = _cofactor(truth, k, chosen, pattern)
        if word == first:
            continue
        if found[2] == first:
            found[2] = word
        elif found[2] != word:
            return False
        found[0] |= _ONE << np.uint64(pattern)
    return True


@jit_call
def _add(a: int, b: int, c: int, table: Word, base: int, rows: Any, tables: Any, count: Any) -> Any:
    at = count[0]
    rows[at, 0], rows[at, 1], rows[at, 2] = a, b, c
    tables[at] = table
    count[0] = at + 1
    return base + at


@jit_call
def _reduced(truth: Word, k: int, own: Any, base: int, rows: Any, tables: Any, count: Any, sets: Any) -> Any:
    """Add parts that make a bit of two or three inputs, while there are any; the function of what is left in ``own``.

    Returns:
        Its table, and how many inputs it has.
    """
    found = np.zeros(3, np.uint64)
    picked = np.zeros(3, np.int32)
    s = 0
    while k > 3 and s < len(sets):
        chosen = sets[s]
        s += 1
        if chosen >> k or not _bit(truth, k, chosen, 3 if s <= _THREES else 2, found):
            continue
        n = rest = 0
        picked[2] = ABSENT
        for i in range(k):
            if chosen >> i & 1:
                picked[n] = own[i]
                n += 1
            else:
                own[rest] = own[i]
                rest += 1
        own[rest] = _add(picked[0], picked[1], picked[2], found[0], base, rows, tables, count)
        truth = found[1] | (found[2] << np.uint64(1 << rest))
        k = rest + 1
        s = 0
    return truth, k


@entry("int64(int64, int64[::1], int32[::1], uint64[::1], int32[:,::1], uint8[::1], int32[::1], int64[::1])")
def _taken_apart(base: int, indptr: Any, index: Any, truth: Any, rows: Any, tables: Any, number: Any, sets: Any) -> Any:
    # Level 0 is the gate, level n + 1 one of the two functions that an input of level n chooses between.
    inputs = np.zeros((_LEVELS, _INPUTS), np.int32)
    words = np.zeros(_LEVELS, np.uint64)
    sizes = np.zeros(_LEVELS, np.int64)
    begun = np.zeros(_LEVELS, np.int64)
    high = np.zeros(_LEVELS, np.int32)
    count = np.zeros(1, np.int64)
    for s in range(base):
        number[s] = s
    for g in range(len(truth)):
        words[0], sizes[0], begun[0] = truth[g], indptr[g + 1] - indptr[g], 0
        for i in range(sizes[0]):
            inputs[0, i] = number[index[indptr[g] + i]]
        level = made = 0
        while level >= 0:
            k = sizes[level]
            if begun[level] == 0:
                words[level], k = _reduced(words[level], k, inputs[level], base, rows, tables, count, sets)
                sizes[level] = k
            if k <= 3:
                a = inputs[level, 0] if k > 0 else ABSENT
                b = inputs[level, 1] if k > 1 else ABSENT
                c = inputs[level, 2] if k > 2 else ABSENT
                made = _add(a, b, c, words[level], base, rows, tables, count)
                level -= 1
                continue
            begun[level] += 1
            if begun[level] == 2:
                high[level] = made
            if begun[level] == 3:
                made = _add(inputs[level, k - 1], high[level], made, np.uint64(_CHOICE), base, rows, tables, count)
                level -= 1
                continue
            words[level + 1] = _cofactor(words[level], k, 1 << (k - 1), 2 - begun[level])
            for i in range(k - 1):
                inputs[level + 1, i] = inputs[level, i]
            sizes[level + 1], begun[level + 1] = k - 1, 0
            level += 1
        number[base + g] = made
    return count[0]


def taken_apart(circuit: Circuit) -> tuple[Int32Array, npt.NDArray[np.uint8], Int32Array]:
    """The parts of all gates of a circuit, in an order in which they can be evaluated.

    Returns:
        int32 (parts, 3), what each part reads, ABSENT behind the last; uint8 (parts,), their tables; and int32
        (signals,), the number of each signal: inputs and registers have their own, a gate has that of its last part,
        part p being number inputs + registers + p.
    """
    many = int(MOST[circuit.fan_in].sum())
    rows, tables = np.zeros((many, 3), np.int32), np.zeros(many, np.uint8)
    number = np.zeros(circuit.signal_count, np.int32)
    indptr, index, truth = (np.array(part) for part in (circuit.indptr, circuit.index, circuit.truth))
    many = int(_taken_apart(circuit.first_gate, indptr, index, truth, rows, tables, number, SUBSETS))
    return rows[:many], tables[:many], number
