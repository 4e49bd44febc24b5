"""Inverter absorption: a gate of any truth table reads a complement as easily as the signal itself.

With De Morgan's rule for gates of any table: a gate whose complement is read by outputs and registers, and not the gate
itself, becomes its complement (a NOT behind a NAND makes it an AND, a NOT behind a majority another table), and its
readers take the change into their tables. At most one inverter is left for a signal that outputs and registers read
both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphsim.graph.circuit import Circuit
from graphsim.passes.logic.base import LogicPass
from graphsim.passes.logic.sweep import INVERTERS, swept


@dataclass(frozen=True)
class Inverters(LogicPass):
    """Take inverters into the tables of the gates around them."""

    name: ClassVar[str] = "inverters"

    def rewrite(self, circuit: Circuit) -> Circuit:
        return swept(circuit, INVERTERS)
