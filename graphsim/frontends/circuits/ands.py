"""Circuits as ANDs of two literals, which is all that some formats have.

A literal is twice a number, plus 1 if it is inverted. Number 0 is the constant false; then inputs, registers and ANDs.
"""

from __future__ import annotations

from functools import lru_cache

from graphsim.frontends.circuits.netlist import table
from graphsim.graph.circuit import VARIABLES, Circuit


class Ands:
    """ANDs, none twice and none that is constant or a copy.

    Args:
        first: number of the first AND.

    Attributes:
        rows: (greater literal, lesser literal) of each, in an order in which they can be evaluated.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._found: dict[tuple[int, int], int] = {}
        self.rows: list[tuple[int, int]] = []

    def both(self, a: int, b: int) -> int:
        """The literal of ``a & b``."""
        if a < b:
            a, b = b, a
        if b == 0 or a == b ^ 1:
            return 0
        if b == 1 or a == b:
            return a
        found = self._found.get((a, b))
        if found is None:
            found = self._found[a, b] = 2 * (self._first + len(self.rows))
            self.rows.append((a, b))
        return found

    def either(self, a: int, b: int) -> int:
        """The literal of ``a | b``."""
        return self.both(a ^ 1, b ^ 1) ^ 1


class AndCircuit:
    """The ANDs of a circuit.

    Attributes:
        literals: of each signal of the circuit.
        rows: as :class:`Ands` has them; number 1 + I + R is the first.
    """

    def __init__(self, circuit: Circuit) -> None:
        ands = Ands(1 + circuit.first_gate)
        literals = [2 * (signal + 1) for signal in range(circuit.first_gate)]
        index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
        for gate in range(circuit.gate_count):
            a, b = indptr[gate], indptr[gate + 1]
            steps, shown = _recipe(truth[gate], b - a)
            known = [0, *(literals[signal] for signal in index[a:b])]
            for left, right in steps:
                known.append(ands.both(known[left >> 1] ^ (left & 1), known[right >> 1] ^ (right & 1)))
            literals.append(known[shown >> 1] ^ (shown & 1))
        self.literals, self.rows = literals, ands.rows


@lru_cache(maxsize=1 << 16)
def _recipe(truth: int, fan_in: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """ANDs that make a truth table, over its inputs as numbers 1 .. k, and the literal of the result."""
    ands = Ands(1 + fan_in)
    shown = _make(ands, truth, fan_in)
    return tuple(ands.rows), shown


def _make(ands: Ands, truth: int, fan_in: int) -> int:
    """The literal of a function, by the input that splits it best: where one half is constant or the other inverted."""
    every = table(fan_in, -1)
    best: tuple[int, int, int, int] | None = None
    for i in range(fan_in):
        zero, one = _halves(truth, i, fan_in)
        if zero == one:
            continue
        easy = zero in (0, every) or one in (0, every) or zero == one ^ every
        cost = _support(zero, fan_in) + (0 if easy else _support(one, fan_in) + 3)
        if best is None or cost < best[0]:
            best = (cost, i, zero, one)
    if best is None:
        return truth & 1
    _, i, zero, one = best
    x = 2 * (i + 1)
    if zero == one ^ every:
        other = _make(ands, zero, fan_in)
        return ands.either(ands.both(x, other ^ 1), ands.both(x ^ 1, other)) if other > 1 else x ^ other
    if one in (0, every):
        other = _make(ands, zero, fan_in)
        return ands.either(x, other) if one else ands.both(x ^ 1, other)
    if zero in (0, every):
        other = _make(ands, one, fan_in)
        return ands.either(x ^ 1, other) if zero else ands.both(x, other)
    return ands.either(ands.both(x, _make(ands, one, fan_in)), ands.both(x ^ 1, _make(ands, zero, fan_in)))


def _halves(truth: int, i: int, fan_in: int) -> tuple[int, int]:
    """The functions where input i is 0, and where it is 1, over the same inputs."""
    width = 1 << i
    one = truth & VARIABLES[i]
    zero = truth & ~VARIABLES[i]
    return table(fan_in, zero | zero << width), table(fan_in, one | one >> width)


def _support(truth: int, fan_in: int) -> int:
    """How many inputs a function depends on."""
    return sum(zero != one for zero, one in (_halves(truth, i, fan_in) for i in range(fan_in)))
