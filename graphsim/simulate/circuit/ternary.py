"""A circuit as operations of at most three inputs, as few as a cheap cover finds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from graphsim.graph.channels import IntArray
from graphsim.graph.circuit import Circuit, Int32Array

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Network:
    """Operations of at most three inputs, each behind those that it reads.

    Attributes:
        base: values that are given: inputs and registers, numbers 0 .. base - 1; operation g makes number base + g.
        reads: int32 (operations, 3): numbers; where an operation reads fewer than three, the last ones are 0.
        tables: uint8 (operations,): bit m is the value where bit i of m is the value of read i; it does not depend on
            reads that are not there.
        fan_in: uint8 (operations,).
        roots: int32: the number of each signal that was asked for, in the order asked.
    """

    base: int
    reads: Int32Array
    tables: Bytes
    fan_in: Bytes
    roots: Int32Array


#: A gate as several: what each reads (0 .. k - 1 the inputs, from k on the gates before), and its table.
_Parts = tuple[tuple[tuple[int, ...], int], ...]


def _cofactors(truth: int, k: int, chosen: tuple[int, ...]) -> list[int]:
    """The functions of the other inputs, ascending, for every pattern of the chosen ones."""
    rest = [i for i in range(k) if i not in chosen]
    found = []
    for pattern in range(1 << len(chosen)):
        fixed = sum((pattern >> i & 1) << c for i, c in enumerate(chosen))
        word = 0
        for m in range(1 << len(rest)):
            at = fixed | sum((m >> i & 1) << r for i, r in enumerate(rest))
            word |= (truth >> at & 1) << m
        found.append(word)
    return found


@lru_cache(maxsize=1 << 16)
def parts(truth: int, k: int) -> _Parts:
    """A gate of ``k`` inputs as gates of at most three; the last one is it.

    Where two or three inputs matter to the others only by one bit, a gate makes that bit (Ashenhurst); else an input
    chooses between the two functions of the others (Shannon).
    """
    if k <= 3:
        return ((tuple(range(k)), truth),)
    for size in (3, 2):
        for chosen in combinations(range(k), size):
            cofactors = _cofactors(truth, k, chosen)
            if len(kinds := sorted(set(cofactors))) <= 2:
                bit = sum((c == kinds[-1]) << pattern for pattern, c in enumerate(cofactors))
                rest = [i for i in range(k) if i not in chosen]
                half = 1 << len(rest)
                inner = parts(kinds[0] | kinds[-1] << half, len(rest) + 1)
                return ((chosen, bit), *_placed(inner, [*rest, k], k + 1))
    low, high = _cofactors(truth, k, (k - 1,))
    first = _placed(parts(low, k - 1), list(range(k - 1)), k)
    second = _placed(parts(high, k - 1), list(range(k - 1)), k + len(first))
    ends = (k - 1, k + len(first) - 1, k + len(first) + len(second) - 1)
    return (*first, *second, (ends, 0b11100100))


def _placed(inner: _Parts, inputs: list[int], first: int) -> _Parts:
    """Parts whose inputs are other numbers, and whose gates count from another number on."""
    return tuple(
        (tuple(inputs[r] if r < len(inputs) else r - len(inputs) + first for r in reads), table)
        for reads, table in inner
    )


def network(circuit: Circuit, signals: Int32Array, covered: bool = True) -> Network:
    """The operations that the signals need.

    Args:
        signals: int32: of the circuit.
        covered: have few operations; otherwise every gate of up to three inputs is one.
    """
    from graphsim.simulate.circuit import mapping  # compiles, or loads what was compiled

    base = circuit.first_gate
    fanins, gates, number = _narrow(circuit, int(mapping.ABSENT))
    roots = number[signals].astype(np.int32)
    nodes = base + len(gates)
    cuts = np.full(nodes * mapping.CUTS * 3, mapping.ABSENT, np.int32)
    tables = np.zeros(nodes * mapping.CUTS, np.uint8)
    best, same, uses = (np.zeros(nodes, np.int32) for _ in range(3))
    mapping.cover(base, fanins, gates, roots, mapping.SPREAD, cuts, tables, best, same, uses)
    kept = np.flatnonzero(uses[base:] > 0) + base
    cut = kept * mapping.CUTS + best[kept]
    chosen = cuts.reshape(-1, 3)[cut]
    renumbered = np.zeros(nodes, np.int32)
    renumbered[:base] = np.arange(base)
    renumbered[kept] = base + np.arange(len(kept))
    there = chosen != mapping.ABSENT
    reads = np.where(there, renumbered[np.where(there, chosen, 0)], 0).astype(np.int32)
    fan_in = there.sum(1).astype(np.uint8)
    return Network(base, reads, tables[cut], fan_in, renumbered[same[roots]])


def _narrow(circuit: Circuit, absent: int) -> tuple[Int32Array, Bytes, IntArray]:
    """Gates of at most three inputs: int32 (gates, 3) what they read, uint8 tables; and the number of each signal."""
    base, fan_in = circuit.first_gate, circuit.fan_in
    number = np.arange(circuit.signal_count)
    if not (fan_in > 3).any():
        reads = np.full((circuit.gate_count, 3), absent, np.int32)
        for i in range(3):
            with_i = fan_in > i
            reads[with_i, i] = circuit.index[circuit.indptr[:-1][with_i] + i]
        return reads, circuit.truth.astype(np.uint8), number
    rows: list[tuple[int, ...]] = []
    tables: list[int] = []
    of = number.tolist()
    index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
    for gate in range(circuit.gate_count):
        fanins = [of[s] for s in index[indptr[gate] : indptr[gate + 1]]]
        k, first = len(fanins), base + len(rows)
        for inputs, table in parts(truth[gate], k):
            row = [fanins[r] if r < k else first + r - k for r in inputs]
            rows.append((*row, *[absent] * (3 - len(row))))
            tables.append(table)
        of[base + gate] = base + len(rows) - 1
    reads = np.array(rows, np.int32).reshape(-1, 3)
    return reads, np.array(tables, np.uint8), np.array(of)
