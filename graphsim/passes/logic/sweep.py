"""One walk over the gates, in order, that does what several passes ask for: the simplifications that a gate's own
table and the gates it reads show.

Every signal of the old circuit becomes a *literal* of the new one: twice a signal's number, plus 1 for its complement;
or FALSE or TRUE. A gate takes the literals of its fanins into its table. What is left of it may be a constant, a fanin,
or a gate that is there already, and then there is a literal for it; otherwise it becomes a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit

#: What a sweep does, as bits that are added.
CONSTANTS, COPIES, INVERTERS, EQUALS = 1, 2, 4, 8
EVERYTHING = CONSTANTS | COPIES | INVERTERS | EQUALS

#: Literals of no signal.
FALSE, TRUE = -2, -1

Literals = npt.NDArray[np.int64]


def swept(circuit: Circuit, what: int, registers: Sequence[int] | Literals | None = None) -> Circuit:
    """The circuit after a sweep.

    A gate that is read by outputs and registers in its complement only is turned into it (De Morgan) if inverters are
    absorbed; where both are read, an inverter stays. Gates keep their names, unless they were turned.

    Args:
        what: CONSTANTS, COPIES, INVERTERS, EQUALS, added.
        registers: by register, the literal of a signal that it equals: FALSE, TRUE, or of a register before it.
    """
    from graphsim.passes.logic.native_sweep import finish, sweep  # takes a while to compile, once

    first, gates, edges = circuit.first_gate, circuit.gate_count, len(circuit.index)
    literal = np.empty(circuit.signal_count, np.int64)
    literal[:first] = 2 * np.arange(first)
    if registers is not None:
        literal[circuit.input_count : first] = registers
    indptr, index = np.zeros(gates + 1, np.int64), np.zeros(edges, np.int32)
    truth, origin = np.zeros(gates, np.uint64), np.zeros(gates, np.int64)
    old = (circuit.indptr.copy(), circuit.index.copy(), circuit.truth.copy())
    made = sweep(what, first, *old, literal, indptr, index, truth, origin)
    ends = np.concatenate([literal[circuit.following], literal[circuit.outputs]])
    turned = np.zeros(made, np.bool_)
    at_gates = ends[ends >= 2 * first]
    turned[(at_gates[at_gates & 1 == 1] >> 1) - first] = True
    turned[(at_gates[at_gates & 1 == 0] >> 1) - first] = False
    finish(first, made, indptr, index, truth, turned)
    ends = ends.copy()
    to_turned = ends >= 2 * first
    to_turned[to_turned] = turned[(ends[to_turned] >> 1) - first]
    ends[to_turned] ^= 1
    # What is left of complements and constants at outputs and registers gets a gate each.
    missing = (ends < 0) | (ends & 1 == 1)
    wanted = np.unique(ends[missing])
    signal = ends >> 1
    signal[missing] = first + made + np.searchsorted(wanted, ends[missing])
    inverted = wanted[wanted >= 0] >> 1
    edges = int(indptr[made])
    names: tuple[str, ...] = ()
    if circuit.gate_names:
        names = tuple(
            "" if turned[new] else circuit.gate_names[at] for new, at in enumerate(origin[:made].tolist())
        ) + ("",) * len(wanted)
    return replace(
        circuit,
        following=signal[: circuit.register_count].astype(np.int32),
        outputs=signal[circuit.register_count :].astype(np.int32),
        indptr=np.concatenate([indptr[: made + 1], edges + np.cumsum(wanted >= 0)]).astype(np.int64),
        index=np.concatenate([index[:edges], inverted]).astype(np.int32),
        truth=np.concatenate([truth[:made], np.where(wanted == FALSE, 0, 1).astype(np.uint64)]),
        gate_names=names,
    )
