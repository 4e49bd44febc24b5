"""Rewriting to lookup tables of k inputs (k = 3: what AVX-512 calls ternary logic)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from graphsim.graph.circuit import Circuit
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import EVERYTHING, swept
from graphsim.passes.logic.two import Two


@dataclass(frozen=True)
class Tables(LogicPass):
    """Cover the circuit by gates of up to k inputs, as few as the cover by cuts finds.

    Attributes:
        inputs: k, 2 to 6.
        shallow: keep the least depth that tables of k inputs allow for the two-input gates at hand.
    """

    name: ClassVar[str] = "lut"
    natives: ClassVar[tuple[str, ...]] = (*LogicPass.natives, "graphsim.passes.logic.covering")
    inputs: int = 3
    shallow: bool = False

    def label(self) -> str:
        return f"lut{self.inputs}" + ("-shallow" if self.shallow else "")

    def rewrite(self, circuit: Circuit) -> Circuit:
        from graphsim.passes.logic.covering import cover, tables_of  # takes a while to compile, once

        before = swept(circuit, EVERYTHING)
        circuit = Two().rewrite(circuit).leading_to_outputs()
        first = circuit.first_gate
        best, sizes = np.zeros((circuit.gate_count, self.inputs), np.int32), np.zeros(circuit.gate_count, np.int64)
        made, used = np.zeros(circuit.gate_count, np.uint64), np.zeros(circuit.gate_count, np.bool_)
        arrays = (circuit.indptr.copy(), circuit.index.copy())
        roots = np.unique(np.concatenate([circuit.outputs, circuit.following])).astype(np.int64)
        cover(self.inputs, first, self.shallow, *arrays, roots, best, sizes)
        tables_of(first, *arrays, circuit.truth.copy(), roots, best, sizes, made, used)
        leaves = np.arange(self.inputs) < sizes[:, None]
        whole = replace(
            circuit,
            truth=made,
            indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            index=best[leaves],
        )
        kept = np.ones(circuit.signal_count, np.bool_)
        kept[first:] = used
        covered = swept(whole.only(kept), EVERYTHING)
        fits = before.gate_count == 0 or int(before.fan_in.max()) <= self.inputs
        fewer = before.gate_count <= covered.gate_count and (before.depth <= covered.depth or not self.shallow)
        return before if fits and fewer else covered
