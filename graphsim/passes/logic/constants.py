"""Constant folding, of gates and of registers.

A register is constant if it starts with a value and follows one that is the same whenever all such registers have
theirs: by induction over cycles. The greatest set of such registers is found by starting from all of them and taking
out those that may change, along with whatever depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import CONSTANTS, FALSE, swept


@dataclass(frozen=True)
class Constants(LogicPass):
    """Take constants, and inputs that a gate's table does not depend on, out of the gates.

    A register that is constant is still there, unread: :class:`~graphsim.passes.logic.dead.Dead` takes it out. An
    output that shows it is fed by a gate instead, so that there may be one gate more.
    """

    name: ClassVar[str] = "constants"
    natives: ClassVar[tuple[str, ...]] = (*LogicPass.natives, "graphsim.passes.logic.native_constants")

    def rewrite(self, circuit: Circuit) -> Circuit:
        registers = 2 * np.arange(circuit.input_count, circuit.first_gate)
        constant = constant_registers(circuit)
        registers[constant] = FALSE + circuit.initial[constant]
        return swept(circuit, CONSTANTS, registers)


def constant_registers(circuit: Circuit) -> npt.NDArray[np.bool_]:
    """Which registers always have their initial value, bool (R,)."""
    if not circuit.register_count:
        return np.zeros(0, np.bool_)
    from graphsim.passes.logic.native_constants import UNKNOWN, settle  # takes a while to compile, once

    owner = np.repeat(np.arange(circuit.gate_count), circuit.fan_in)
    order = np.argsort(circuit.index, kind="stable")
    starts = np.searchsorted(circuit.index[order], np.arange(circuit.signal_count + 1))
    value = np.full(circuit.signal_count, UNKNOWN, np.int64)
    value[circuit.input_count : circuit.first_gate] = circuit.initial
    settle(
        circuit.input_count,
        circuit.first_gate,
        circuit.indptr.copy(),
        circuit.index.copy(),
        circuit.truth.copy(),
        circuit.following.copy(),
        starts.astype(np.int64),
        owner[order].astype(np.int64),
        value,
    )
    settled: npt.NDArray[np.bool_] = value[circuit.input_count : circuit.first_gate] != UNKNOWN
    return settled
