"""Constraints of a study, ``nodes < 100`` or ``latency <= 5,000 ticks``: a name, a comparison and a number."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphsim.errors import StudyError
from graphsim.machine.model import hint, show

#: What is known of a point before it is computed. Of machines that are made for a graph, nodes and links are not.
OF_POINTS = (
    *("nodes", "links", "link_latency", "frame_bits", "macs_per_tick", "memory_bytes", "max_fan_in", "tile", "seed"),
    "corruption_rate",
)
#: What is known of it afterwards.
OF_RESULTS = (
    *("period", "bound", "latency", "nodes_used", "memory", "link_load", "traffic", "actors", "accuracy"),
    *("faulty_accuracy", "silent_rate", "missing_rate"),
)

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FORM = re.compile(
    r"\s*([A-Za-z_]+)\s*(<=|>=|==|!=|<|>)\s*([+-]?[0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*"
    r"(?:ticks?|bytes?|bits?|nodes?|links?)?\s*",
    re.ASCII,
)
_LONGEST = 200


@dataclass(frozen=True)
class Condition:
    """``name sign number``, as written in ``text``."""

    text: str
    name: str
    sign: str
    number: float

    def holds(self, facts: Mapping[str, Any]) -> bool | None:
        """Whether it does; None where the fact is not known."""
        value = facts.get(self.name)
        return None if value is None else _COMPARISONS[self.sign](value, self.number)


def condition(text: str) -> Condition:
    """The condition that a text states.

    Raises:
        StudyError: it states none, or of something that is not known of points.
    """
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise StudyError(f"{show(text)} is no constraint; write a name, < <= > >= == or !=, and a number: nodes < 100")
    name, sign, number = match.groups()
    if name not in (*OF_POINTS, *OF_RESULTS):
        known = [*OF_POINTS, *OF_RESULTS]
        raise StudyError(
            f"nothing called {show(name)} is known of a point{hint(name, known)}; there are {' '.join(known)}"
        )
    return Condition(text.strip(), name, sign, float(number.replace(",", "").replace("_", "")))


def may_hold(conditions: Iterable[Condition], facts: Mapping[str, Any]) -> bool:
    """Whether no condition fails for what is known."""
    return all(one.holds(facts) is not False for one in conditions)


def hold(conditions: Iterable[Condition], facts: Mapping[str, Any]) -> bool:
    """Whether every condition holds; one whose fact is not known does not."""
    return all(one.holds(facts) is True for one in conditions)
