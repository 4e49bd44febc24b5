"""Copy propagation: who reads a copy reads what was copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphsim.graph.circuit import Circuit
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import COPIES, swept


@dataclass(frozen=True)
class Copies(LogicPass):
    """Take out gates of one input that copy it."""

    name: ClassVar[str] = "copies"

    def rewrite(self, circuit: Circuit) -> Circuit:
        return swept(circuit, COPIES)
