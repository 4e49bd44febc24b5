"""What registers and gates always have, native.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Int32Array
from graphsim.native import entry, jit
from graphsim.passes.logic.sweep import Literals
from graphsim.passes.logic.words import ONES, ZERO, cofactor, stretched

#: The value of a signal that may change.
UNKNOWN = 2


@jit
def _value(gate: int, indptr: Literals, index: Int32Array, truth: npt.NDArray[np.uint64], value: Literals) -> int:
    """Value of a gate from those of its fanins: 0, 1 or unknown."""
    word = stretched(truth[gate], indptr[gate + 1] - indptr[gate])
    for i in range(indptr[gate + 1] - indptr[gate]):
        read = value[index[indptr[gate] + i]]
        if read != UNKNOWN:
            word = cofactor(word, i, read == 1)
    return 0 if word == ZERO else 1 if word == ONES else UNKNOWN


@entry(
    "void(int64, int64, int64[::1], int32[::1], uint64[::1], int32[::1], int64[::1], int64[::1], int64[::1])",
)
def settle(
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
        if value[inputs + r] != UNKNOWN and value[following[r]] != value[inputs + r]:
            value[inputs + r] = UNKNOWN
            stack[top] = inputs + r
            top += 1
    while top:
        top -= 1
        signal = stack[top]
        for at in range(starts[signal], starts[signal + 1]):
            gate = first_gate + readers[at]
            if value[gate] != UNKNOWN and _value(readers[at], indptr, index, truth, value) == UNKNOWN:
                value[gate] = UNKNOWN
                stack[top] = gate
                top += 1
        r = head[signal]
        while r >= 0:
            if value[inputs + r] != UNKNOWN:
                value[inputs + r] = UNKNOWN
                stack[top] = inputs + r
                top += 1
            r = after[r]
