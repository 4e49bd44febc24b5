"""Dead logic: what no output depends on, in any cycle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from graphsim.graph.circuit import Circuit
from graphsim.passes.logic.base import LogicPass


@dataclass(frozen=True)
class Dead(LogicPass):
    """Take out gates and, unless told not to, registers that no output depends on in any cycle.

    Attributes:
        registers: whether registers may go; False keeps all of them, and what they follow.
    """

    name: ClassVar[str] = "dead"
    registers: bool = True

    def label(self) -> str:
        return "dead" if self.registers else "dead-gates"

    def rewrite(self, circuit: Circuit) -> Circuit:
        if self.registers:
            return circuit.leading_to_outputs()
        shown = np.concatenate([circuit.outputs, np.arange(circuit.input_count, circuit.first_gate, dtype=np.int32)])
        live = replace(circuit, outputs=shown).leading_to_outputs()
        return replace(live, outputs=live.outputs[: len(circuit.outputs)])
