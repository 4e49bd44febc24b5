"""Transformations of logic circuits, one per file, and the names under which they are asked for."""

from __future__ import annotations

from graphsim.errors import UsageError
from graphsim.passes.logic.balance import Balance
from graphsim.passes.logic.base import Counts, LogicPass, Passes, Step, counts
from graphsim.passes.logic.constants import Constants
from graphsim.passes.logic.copies import Copies
from graphsim.passes.logic.dead import Dead
from graphsim.passes.logic.equals import Equals
from graphsim.passes.logic.inverters import Inverters
from graphsim.passes.logic.strong import Strong
from graphsim.passes.logic.tables import Tables
from graphsim.passes.logic.two import Two

__all__ = [
    "DEFAULT",
    "PASSES",
    "Balance",
    "Constants",
    "Copies",
    "Counts",
    "Dead",
    "Equals",
    "Inverters",
    "LogicPass",
    "Passes",
    "Step",
    "Strong",
    "Tables",
    "Two",
    "counts",
    "passes_of",
]

#: Passes by name.
PASSES: dict[str, LogicPass] = {
    step.label(): step
    for step in (
        Constants(),
        Copies(),
        Inverters(),
        Equals(),
        Dead(),
        Dead(registers=False),
        Two(),
        Balance(),
        *(Tables(inputs) for inputs in range(2, 7)),
        *(Tables(inputs, shallow=True) for inputs in range(2, 7)),
        Strong(),
    )
}
#: What ``default`` stands for: in near-linear time, never more gates and registers than before, gates of any size.
DEFAULT = ("dead", "constants", "copies", "inverters", "equals", "dead")


def passes_of(listed: str) -> Passes:
    """The passes of a list of names, separated by commas, in this order; ``default`` is a name for several.

    Raises:
        UsageError: there is no pass of such a name.
    """
    steps: list[LogicPass] = []
    for name in (part.strip() for part in listed.split(",")):
        for one in DEFAULT if name == "default" else (name,):
            if one not in PASSES:
                raise UsageError(f"there is no pass {one[:40]!r} for circuits; choose of default, {', '.join(PASSES)}")
            steps.append(PASSES[one])
    return Passes(tuple(steps))
