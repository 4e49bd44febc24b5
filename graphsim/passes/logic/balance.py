"""Balancing: trees of conjunctions, or of exclusive ors, in the shape of least depth."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from graphsim.graph.circuit import Circuit, pack
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import EVERYTHING, swept
from graphsim.passes.logic.two import XOR, Builder, Two


@dataclass(frozen=True)
class Balance(LogicPass):
    """Two-input gates of less depth, and not more of them.

    A gate is a conjunction of literals, or its complement (De Morgan), or an exclusive or. One that is read once, by a
    gate of its kind, is taken into its reader; what is then read by many-input gates is joined two by two, those that
    are there first before all others (Huffman's tree, with the maximum for the sum, is of least depth).
    """

    name: ClassVar[str] = "balance"

    def rewrite(self, circuit: Circuit) -> Circuit:
        circuit = Two().rewrite(circuit)
        first = circuit.first_gate
        readers = np.bincount(
            np.concatenate([circuit.index, circuit.following, circuit.outputs]), minlength=circuit.signal_count
        ).tolist()
        index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
        # Gate g is the conjunction (or exclusive or) of literals parts[g], or its complement if turned[g].
        parts: list[list[int]] = []
        turned: list[int] = []
        exclusive: list[bool] = []
        for g, op in enumerate(truth):
            fanins = index[indptr[g] : indptr[g + 1]]
            exclusive.append(len(fanins) == 2 and op in (XOR, XOR ^ 15))
            if len(fanins) < 2 or exclusive[g]:
                parts.append([2 * s for s in fanins])
                turned.append(op & 1)
            else:
                turned.append(int(op.bit_count() == 3))
                row = (op ^ 15 if turned[g] else op).bit_length() - 1
                parts.append([2 * s | (~row >> i & 1) for i, s in enumerate(fanins)])
        absorbed = [False] * len(truth)
        for g, row in enumerate(parts):
            for literal in row:
                inner = (literal >> 1) - first
                if inner >= 0 and readers[literal >> 1] == 1 and exclusive[inner] == exclusive[g] and len(row) == 2:
                    absorbed[inner] = len(parts[inner]) == 2 and (exclusive[g] or not (literal & 1) ^ turned[inner])
        made = Builder(first)
        place = [2 * s for s in range(circuit.signal_count)]
        level = [0] * first
        for g in range(len(truth)):
            if absorbed[g]:
                continue
            leaves: list[int] = []
            flips = turned[g]
            stack = parts[g][::-1]
            while stack:
                literal = stack.pop()
                inner = (literal >> 1) - first
                if inner >= 0 and absorbed[inner]:
                    if exclusive[g]:
                        flips ^= turned[inner] ^ (literal & 1)
                    stack += parts[inner][::-1]
                else:
                    leaves.append(place[literal >> 1] ^ (literal & 1))
            if not leaves:
                place[first + g] = -2 | flips
            else:
                place[first + g] = _joined(made, leaves, exclusive[g], level) ^ flips
        signals = [made.signal(place[s]) for s in (*circuit.following.tolist(), *circuit.outputs.tolist())]
        indptr_, index_ = pack(made.rows)
        balanced = replace(
            circuit,
            gate_names=(),
            indptr=indptr_,
            index=index_,
            truth=np.array(made.truth, np.uint64),
            following=np.array(signals[: circuit.register_count], np.int32),
            outputs=np.array(signals[circuit.register_count :], np.int32),
        )
        return swept(balanced, EVERYTHING)


def _joined(made: Builder, leaves: list[int], exclusive: bool, level: list[int]) -> int:
    """A literal of all leaves together. ``level``: depth of the signals made so far; extended."""
    heap = [(level[leaf >> 1] if leaf >= 0 else 0, at, leaf) for at, leaf in enumerate(leaves)]
    heapq.heapify(heap)
    count = len(heap)
    while len(heap) > 1:
        _, _, one = heapq.heappop(heap)
        _, _, other = heapq.heappop(heap)
        found = made.differ(one, other) if exclusive else made.all(one, other)
        while len(level) < made.first_gate + len(made.rows):
            level.append(1 + max(level[s] for s in made.rows[len(level) - made.first_gate]))
        heapq.heappush(heap, (level[found >> 1] if found >= 0 else 0, count, found))
        count += 1
    return heap[0][2]
