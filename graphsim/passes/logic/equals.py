"""Common subexpressions: of gates that compute the same from the same signals, or one the complement of the other, one
stays (structural hashing).

Fanins of a gate are in the order of their signals, so that gates that differ in the order of their inputs only are the
same; and a table is looked up together with its complement. What becomes trivial when two signals turn out to be one
(``x and not x``) is simplified at once, so that one walk finds all there is to find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphsim.graph.circuit import Circuit
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import EVERYTHING, swept

#: A chain of registers that are equal because the ones before them are takes a round per register; most take one.
_ROUNDS = 16


@dataclass(frozen=True)
class Equals(LogicPass):
    """Merge equal gates, and registers that start alike and follow the same signal; the first of them stays.

    A register that is merged is still there, unread: :class:`~graphsim.passes.logic.dead.Dead` takes it out.
    """

    name: ClassVar[str] = "equals"

    def rewrite(self, circuit: Circuit) -> Circuit:
        circuit = swept(circuit, EVERYTHING)
        for _ in range(_ROUNDS):
            own = np.arange(circuit.input_count, circuit.first_gate)
            alike = np.stack([circuit.following.astype(np.int64), circuit.initial.astype(np.int64)])
            _, first, place = np.unique(alike, axis=1, return_index=True, return_inverse=True)
            stays = first[place.reshape(-1)] + circuit.input_count
            read = np.zeros(circuit.signal_count, np.bool_)
            read[np.concatenate([circuit.index, circuit.following, circuit.outputs])] = True
            if not np.any((stays != own) & read[circuit.input_count : circuit.first_gate]):
                break
            circuit = swept(circuit, EVERYTHING, 2 * stays)
        return circuit
