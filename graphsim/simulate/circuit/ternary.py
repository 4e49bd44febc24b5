"""A circuit as operations of at most three inputs: what AVX-512 calls ternary logic.

It is simplified by the passes' sweep, then covered. The pass ``lut3`` finds covers of the same size and keeps the depth
where asked to; this one takes a fifth of its time, as every run of a new circuit waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit, Int32Array
from graphsim.passes.logic.sweep import EVERYTHING, swept

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


def network(circuit: Circuit, signals: Int32Array) -> Network:
    """The operations that the signals need, int32 numbers of the circuit's: of each, a value of the network."""
    from graphsim.simulate.circuit import apart, cover  # compile, or load what was compiled

    names = tuple(map(str, range(len(signals))))
    circuit = swept(replace(circuit, outputs=signals, output_names=names, gate_names=()), EVERYTHING)
    base = circuit.first_gate
    fanins, gates, number = apart.taken_apart(circuit)
    roots = number[circuit.outputs]
    nodes = base + len(gates)
    cuts = np.full(nodes * cover.CUTS * 3, apart.ABSENT, np.int32)
    tables = np.zeros(nodes * cover.CUTS, np.uint8)
    best, same, uses = (np.zeros(nodes, np.int32) for _ in range(3))
    cover.cover(base, fanins, gates, roots, cover.SPREAD, cuts, tables, best, same, uses)
    kept = np.flatnonzero(uses[base:] > 0) + base
    cut = kept * cover.CUTS + best[kept]
    chosen = cuts.reshape(-1, 3)[cut]
    renumbered = np.zeros(nodes, np.int32)
    renumbered[:base] = np.arange(base)
    renumbered[kept] = base + np.arange(len(kept))
    there = chosen != apart.ABSENT
    reads = np.where(there, renumbered[np.where(there, chosen, 0)], 0).astype(np.int32)
    return Network(base, reads, tables[cut], there.sum(1).astype(np.uint8), renumbered[same[roots]])
