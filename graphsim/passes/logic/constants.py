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

from graphsim.graph.circuit import Circuit, Int32Array
from graphsim.native import entry, jit
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import CONSTANTS, FALSE, Literals, swept
from graphsim.passes.logic.words import ONES, ZERO, cofactor, stretched

_UNKNOWN = 2


@jit
def _value(gate: int, indptr: Literals, index: Int32Array, truth: npt.NDArray[np.uint64], value: Literals) -> int:
    """Value of a gate from those of its fanins: 0, 1 or unknown."""
    word = stretched(truth[gate], indptr[gate + 1] - indptr[gate])
    for i in range(indptr[gate + 1] - indptr[gate]):
        read = value[index[indptr[gate] + i]]
        if read != _UNKNOWN:
            word = cofactor(word, i, read == 1)
    return 0 if word == ZERO else 1 if word == ONES else _UNKNOWN


@entry(
    "void(int64, int64, int64[::1], int32[::1], uint64[::1], int32[::1], int64[::1], int64[::1], int64[::1])",
)
def _settle(
    inputs: int,
    first_gate: int,
    indptr: Literals,
    index: Int32Array,
    truth: npt.NDArray[np.uint64],
    following: Int32Array,
    starts: Literals,
    readers: Literals,
    value: Literals,
) -> None:
    """Values of all signals, 0, 1 or unknown, where unknown spreads until it stays where it is.

    ``readers[starts[s]:starts[s + 1]]``: gates that read signal s. A signal becomes unknown once, and only then are
    its readers looked at again.
    """
    gates, registers = len(truth), len(following)
    head = np.full(len(value), -1, np.int64)
    after = np.empty(registers, np.int64)
    for r in range(registers):
        after[r] = head[following[r]]
        head[following[r]] = r
    stack = np.empty(len(value), np.int64)
    for gate in range(gates):
        value[first_gate + gate] = _value(gate, indptr, index, truth, value)
    top = 0
    for r in range(registers):
        if value[inputs + r] != _UNKNOWN and value[following[r]] != value[inputs + r]:
            value[inputs + r] = _UNKNOWN
            stack[top] = inputs + r
            top += 1
    while top:
        top -= 1
        signal = stack[top]
        for at in range(starts[signal], starts[signal + 1]):
            gate = first_gate + readers[at]
            if value[gate] != _UNKNOWN and _value(readers[at], indptr, index, truth, value) == _UNKNOWN:
                value[gate] = _UNKNOWN
                stack[top] = gate
                top += 1
        r = head[signal]
        while r >= 0:
            if value[inputs + r] != _UNKNOWN:
                value[inputs + r] = _UNKNOWN
                stack[top] = inputs + r
                top += 1
            r = after[r]


@dataclass(frozen=True)
class Constants(LogicPass):
    """Take constants, and inputs that a gate's table does not depend on, out of the gates.

    A register that is constant is still there, unread: :class:`~graphsim.passes.logic.dead.Dead` takes it out. An
    output that shows it is fed by a gate instead, so that there may be one gate more.
    """

    name: ClassVar[str] = "constants"

    def rewrite(self, circuit: Circuit) -> Circuit:
        registers = 2 * np.arange(circuit.input_count, circuit.first_gate)
        constant = constant_registers(circuit)
        registers[constant] = FALSE + circuit.initial[constant]
        return swept(circuit, CONSTANTS, registers)


def constant_registers(circuit: Circuit) -> npt.NDArray[np.bool_]:
    """Which registers always have their initial value, bool (R,)."""
    if not circuit.register_count:
        return np.zeros(0, np.bool_)
    owner = np.repeat(np.arange(circuit.gate_count), circuit.fan_in)
    order = np.argsort(circuit.index, kind="stable")
    starts = np.searchsorted(circuit.index[order], np.arange(circuit.signal_count + 1))
    value = np.full(circuit.signal_count, _UNKNOWN, np.int64)
    value[circuit.input_count : circuit.first_gate] = circuit.initial
    _settle(
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
    settled: npt.NDArray[np.bool_] = value[circuit.input_count : circuit.first_gate] != _UNKNOWN
    return settled
