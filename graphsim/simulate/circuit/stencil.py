"""A circuit of nine cells as the fewest operations per row of a board, what rows share being done once.

Going down a board, what was worked out from one row is there for the next rows: an operation whose inputs are those of
another, one row further up, is that other's result of one row before. So every operation is done for the lowest row
that it is needed for, and its results of up to two rows before are carried along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from graphsim.graph.circuit import Circuit, pack
from graphsim.simulate.circuit.ternary import Network, network

#: A value, and how many rows below the one meant.
Shifted = tuple[int, int]
#: The places of a neighbourhood, row by row: rows down, columns to the right.
ROW_BY_ROW = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
#: Values 0, 1, 2 of a row: the neighbours to the left of its cells, the cells themselves, those to the right.
COLUMNS = 3


@dataclass(frozen=True)
class Operation:
    """A table of up to three values, each of the same row or up to two rows above."""

    table: int
    reads: tuple[Shifted, ...]


@dataclass(frozen=True)
class Stencil:
    """What is done at each row.

    Attributes:
        operations: in order; operation i makes value COLUMNS + i.
        leads: by value: how many rows below the row that is written the value is worked out for, at most 1.
        ages: by value: for how many more rows it is carried, 0 to 2.
        output: the value that is written.
    """

    operations: tuple[Operation, ...]
    leads: tuple[int, ...]
    ages: tuple[int, ...]
    output: Shifted


def stencil(circuit: Circuit, places: Sequence[tuple[int, int]] = ROW_BY_ROW) -> tuple[Stencil, bool]:
    """The stencil with fewer operations: the circuit's own, or that of sums.

    Args:
        circuit: nine inputs, one output, no registers.
        places: where the cell of each input lies: rows down and columns to the right, -1 to 1.

    Returns:
        The stencil; and whether it is of sums: whether the circuit's 512 answers depend only on the cell in the middle
        and on how many of the others are 1, and adding them up takes fewer operations than the circuit's own.
    """
    own = _shared(network(circuit, circuit.outputs), places)
    if (answers := _by_sum(circuit, places)) is not None:
        sums = _sums(answers)
        added = _shared(network(sums, sums.outputs), ROW_BY_ROW)
        if len(added.operations) < len(own.operations):
            return added, True
    return own, False


def _shared(net: Network, places: Sequence[tuple[int, int]]) -> Stencil:
    """Operations of a network of nine inputs, without those that are others' one or two rows further up."""
    at: list[Shifted] = [(right + 1, down) for down, right in places]
    known: dict[Operation, int] = {}
    for reads, table, fan_in in zip(net.reads.tolist(), net.tables.tolist(), net.fan_in.tolist(), strict=True):
        sources = [at[r] for r in reads[:fan_in]]
        lowest = max((down for _, down in sources), default=0)
        best = min(
            (tuple((sources[i][0], sources[i][1] - lowest) for i in order), _reordered(table, order))
            for order in permutations(range(fan_in))
        )
        operation = Operation(best[1], best[0])
        at.append((known.setdefault(operation, COLUMNS + len(known)), lowest))
    operations = tuple(known)
    root = at[int(net.roots[0])]
    count = COLUMNS + len(operations)
    leads, least = [-9] * count, [9] * count
    leads[root[0]] = least[root[0]] = root[1]
    for value in range(count - 1, COLUMNS - 1, -1):
        for source, down in operations[value - COLUMNS].reads:
            leads[source] = max(leads[source], leads[value] + down)
            least[source] = min(least[source], leads[value] + down)
    for column in range(COLUMNS):  # rows are loaded before they are written
        leads[column] = 1
        least[column] = min(least[column], 1)
    ages = tuple(max(0, lead - low) for lead, low in zip(leads, least, strict=True))
    return Stencil(operations, tuple(leads), ages, root)


def _reordered(table: int, order: tuple[int, ...]) -> int:
    """The table whose input i is input ``order[i]`` of the given one; inputs beyond do not matter."""
    found = 0
    for m in range(8):
        old = sum((m >> i & 1) << source for i, source in enumerate(order))
        found |= (table >> old & 1) << m
    return found


def answers(circuit: Circuit) -> list[int]:
    """The output for every pattern of the inputs: bit i of the pattern is input i."""
    patterns = 1 << circuit.input_count
    values = [np.array([p >> i & 1 for p in range(patterns)]) for i in range(circuit.input_count)]
    for gate in range(circuit.gate_count):
        word = int(circuit.truth[gate])
        table = np.array([word >> m & 1 for m in range(64)])
        m = np.zeros(patterns, np.int64)
        for i, fanin in enumerate(circuit.fanins(gate)):
            m += values[fanin] << i
        values.append(table[m])
    found: list[int] = values[int(circuit.outputs[0])].tolist()
    return found


def _by_sum(circuit: Circuit, places: Sequence[tuple[int, int]]) -> list[list[int]] | None:
    """Answers by the cell in the middle and the sum of the others, if they depend on nothing else."""
    if sorted(places) != sorted(ROW_BY_ROW):
        return None
    middle = list(places).index((0, 0))
    found: list[list[int]] = [[-1] * 9, [-1] * 9]
    for pattern, answer in enumerate(answers(circuit)):
        cell = pattern >> middle & 1
        others = pattern.bit_count() - cell
        if found[cell][others] not in (-1, answer):
            return None
        found[cell][others] = answer
    return found


def _sums(answers: list[list[int]]) -> Circuit:
    """A circuit that adds up the cells of each row, then the rows."""
    rows: list[tuple[int, ...]] = []
    truth: list[int] = []

    def gate(table: int, *fanins: int) -> int:
        order = sorted(range(len(fanins)), key=lambda i: fanins[i])
        rows.append(tuple(fanins[i] for i in order))
        size = 1 << len(fanins)
        truth.append(
            sum((table >> sum((m >> i & 1) << old for i, old in enumerate(order)) & 1) << m for m in range(size))
        )
        return 8 + len(rows)

    odd, two = 0x96, 0xE8  # of three inputs: whether an odd number of them are 1; whether two or more are
    ones = [gate(odd, 0, 1, 2), gate(0b0110, 3, 5), gate(odd, 6, 7, 8)]
    twos = [gate(two, 0, 1, 2), gate(0b1000, 3, 5), gate(two, 6, 7, 8)]
    one, carry = gate(odd, *ones), gate(two, *ones)
    pairs, fours = gate(odd, *twos), gate(two, *twos)
    # The sum is one + 2 (carry + pairs) + 4 fours; what cannot be counts as 0.
    inputs = (4, one, carry, pairs, fours)
    table = 0
    for m in range(32):
        cell, a, b, c, d = (m >> i & 1 for i in range(5))
        total = a + 2 * (b + c) + 4 * d
        table |= (answers[cell][total] if total <= 8 else 0) << m
    last = gate(table, *inputs)
    indptr, index = pack(rows)
    return Circuit(
        name="sums",
        input_names=tuple(f"i{n}" for n in range(9)),
        output_names=("o",),
        outputs=np.array([last], np.int32),
        indptr=indptr,
        index=index,
        truth=np.array(truth, np.uint64),
        initial=np.zeros(0, np.bool_),
        following=np.zeros(0, np.int32),
    )
