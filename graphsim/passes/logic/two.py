"""Gates of many inputs as two-input gates.

A table is taken apart where it falls apart: a variable that stands alone in front of the rest (``x and g``, ``x xor
g``), then two variables that enter through one gate (a disjoint decomposition: Ashenhurst 1957). What is left is
expanded by the variable, and by the one of Shannon's and Davio's expansions, that takes the fewest gates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import ClassVar

import numpy as np

from graphsim.graph.circuit import VARIABLES, Circuit, pack
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import EVERYTHING, swept

_ALL = (1 << 64) - 1
AND, OR, XOR = 0b1000, 0b1110, 0b0110


def _cofactors(word: int, i: int) -> tuple[int, int]:
    """A stretched table with variable i at 0 and at 1."""
    step, high, low = 1 << i, word & VARIABLES[i], word & ~VARIABLES[i]
    return low | low << step, high | high >> step


def _support(word: int) -> list[int]:
    return [i for i in range(6) if (word >> (1 << i) ^ word) & ~VARIABLES[i] & _ALL]


@lru_cache(maxsize=1 << 18)
def _cost(word: int) -> int:
    """Gates that a table takes by its best expansion; those that parts share are counted for each."""
    return _best(word)[0]


@lru_cache(maxsize=1 << 18)
def _best(word: int) -> tuple[int, tuple[int, ...]]:
    """Gates, and the first step of how to make them.

    ``(i, rest)``: variable i, alone, and the rest. ``(i, j, gate, rest)``: a gate of variables i and j stands for i in
    the rest. ``(i, which, 0, first, second)``: an expansion by i, Shannon's (which = 0: both cofactors) or Davio's (a
    cofactor, that of 0 or 1 for which = 1 or 2, and the difference of both).
    """
    support = _support(word)
    if len(support) <= 1:
        return 0, ()
    for i in support:
        zero, one = _cofactors(word, i)
        if zero in (0, _ALL) or one in (0, _ALL) or zero == one ^ _ALL:
            rest = one if zero in (0, _ALL) else zero
            return 1 + _cost(rest), (i, rest)
    for i, j in combinations(support, 2):
        if (step := _pair(word, i, j)) is not None:
            return 1 + _cost(step[3]), step
    found = []
    for i in support:
        zero, one = _cofactors(word, i)
        for plan, first, second, gates in ((0, zero, one, 3), (1, zero, zero ^ one, 2), (2, one, zero ^ one, 2)):
            found.append((gates + _cost(first) + _cost(second), (i, plan, 0, first, second)))
    return min(found)


def _pair(word: int, i: int, j: int) -> tuple[int, int, int, int] | None:
    """The table with variable i in place of a gate of i and j, if it can be written so: (i, j, gate, rest)."""
    low, high = _cofactors(word, i)
    parts = [*_cofactors(low, j), *_cofactors(high, j)]  # by i * 2 + j
    if len(set(parts)) != 2:
        return None
    gate = sum((parts[2 * x + y] != parts[0]) << (x + 2 * y) for x in (0, 1) for y in (0, 1))
    other = next(part for part in parts if part != parts[0])
    return i, j, gate, (other & VARIABLES[i]) | (parts[0] & ~VARIABLES[i])


class Builder:
    """Two-input gates under construction. A literal is twice a signal plus 1 for its complement; -2 and -1: 0 and 1."""

    def __init__(self, first_gate: int) -> None:
        self.first_gate = first_gate
        self.rows: list[tuple[int, ...]] = []
        self.truth: list[int] = []
        self._known: dict[tuple[int, int, int], int] = {}

    def add(self, fanins: tuple[int, ...], truth: int) -> int:
        """A gate as it is; returns its signal."""
        self.rows.append(fanins)
        self.truth.append(truth)
        return self.first_gate + len(self.rows) - 1

    def gate(self, op: int, a: int, b: int) -> int:
        """A literal of a two-input gate of two literals."""
        if a >> 1 == b >> 1:
            low, high = op >> ((a & 1) + 2 * (b & 1)) & 1, op >> ((a & 1 ^ 1) + 2 * (b & 1 ^ 1)) & 1
            return -2 | low if low == high else a & ~1 | low
        if a >> 1 > b >> 1:
            a, b = b, a
            op = op & 0b1001 | (op & 2) << 1 | (op & 4) >> 1
        if a & 1:
            op = (op & 5) << 1 | (op & 10) >> 1
        if b & 1:
            op = (op & 3) << 2 | (op & 12) >> 2
        turned = op & 1
        key = (a >> 1, b >> 1, op ^ 15 if turned else op)
        if key not in self._known:
            self._known[key] = 2 * self.add(key[:2], key[2])
        return self._known[key] | turned

    def table2(self, op: int, a: int, b: int) -> int:
        """A literal of any two-input table of two literals, constants too."""
        if a < 0 or b < 0 or op in (0, 15):
            rows = [op >> m & 1 for m in range(4)]
            if a < 0:
                rows = [rows[(a & 1) + (m & 2)] for m in range(4)]
            if b < 0:
                rows = [rows[(m & 1) + 2 * (b & 1)] for m in range(4)]
            if len(set(rows)) == 1:
                return -2 | rows[0]
            if a < 0 or b < 0:
                return (b if a < 0 else a) ^ rows[0]
        return self.gate(op, a, b)

    def table(self, word: int, literals: list[int]) -> int:
        """A literal of a stretched table of literals."""
        support = _support(word)
        if not support:
            return -1 if word & 1 else -2
        if len(support) == 1:
            return literals[support[0]] ^ (word & 1)
        _, step = _best(word)
        i = step[0]
        if len(step) == 2:
            zero, one = _cofactors(word, i)
            rest = self.table(step[1], literals)
            if zero == one ^ _ALL:
                return self.gate(XOR, literals[i], rest)
            op = {(True, 0): AND, (True, _ALL): 0b1101, (False, 0): 0b0100, (False, _ALL): OR}
            return self.gate(op[(zero in (0, _ALL), zero if zero in (0, _ALL) else one)], literals[i], rest)
        if len(step) == 4:
            inner = self.gate(step[2], literals[i], literals[step[1]])
            return self.table(step[3], [*literals[:i], inner, *literals[i + 1 :]])
        first, second = self.table(step[3], literals), self.table(step[4], literals)
        x = literals[i]
        if step[1] == 0:
            return self.any(self.all(x ^ 1, first), self.all(x, second))
        return self.differ(first, self.all(x if step[1] == 1 else x ^ 1, second))

    def all(self, a: int, b: int) -> int:
        """a and b."""
        if -2 in (a, b) or a == b ^ 1:
            return -2
        if a == b or b == -1:
            return a
        return b if a == -1 else self.gate(AND, a, b)

    def any(self, a: int, b: int) -> int:
        """a or b."""
        return self.all(a ^ 1, b ^ 1) ^ 1

    def differ(self, a: int, b: int) -> int:
        """a xor b."""
        if a < 0 or b < 0:
            return max(a, b) ^ (min(a, b) & 1) if max(a, b) >= 0 else -2 | ((a ^ b) & 1)
        if a >> 1 == b >> 1:
            return -2 | ((a ^ b) & 1)
        return self.gate(XOR, a, b)

    def signal(self, literal: int) -> int:
        """A signal of a literal; an inverter or a constant is made where there is none."""
        if literal < 0:
            return self.add((), literal & 1)
        return self.add((literal >> 1,), 0b01) if literal & 1 else literal >> 1


@dataclass(frozen=True)
class Two(LogicPass):
    """Only gates of at most two inputs; inverters are left at outputs and registers alone."""

    name: ClassVar[str] = "two"

    def rewrite(self, circuit: Circuit) -> Circuit:
        circuit = swept(circuit, EVERYTHING)
        if circuit.gate_count and int(circuit.fan_in.max()) <= 2:
            return circuit
        first = circuit.first_gate
        made = Builder(first)
        signal = list(range(circuit.signal_count))
        index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
        for gate, word in enumerate(truth):
            fanins = [signal[s] for s in index[indptr[gate] : indptr[gate + 1]]]
            if len(fanins) == 2:
                literal = made.gate(word, 2 * fanins[0], 2 * fanins[1])
            else:
                for i in range(len(fanins), 6):
                    word |= word << (1 << i)
                literal = made.table(word, [2 * s for s in fanins])
            signal[first + gate] = made.signal(literal)
        indptr_, index_ = pack(made.rows)
        names = [""] * len(made.rows)
        for gate, name in enumerate(circuit.gate_names):
            if name and signal[first + gate] >= first:
                names[signal[first + gate] - first] = name
        place = np.array(signal, np.int32)
        return swept(
            replace(
                circuit,
                indptr=indptr_,
                index=index_,
                truth=np.array(made.truth, np.uint64),
                outputs=place[circuit.outputs],
                following=place[circuit.following],
                gate_names=tuple(names) if circuit.gate_names else (),
            ),
            EVERYTHING,
        )
