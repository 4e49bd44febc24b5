"""What gates are called, by their truth tables: for people who ask what a circuit is made of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from graphsim.graph.circuit import VARIABLES, Circuit

_ALL = (1 << 64) - 1
#: Truth tables of gates with three inputs that have a name, up to the order of inputs.
_THREE = {0b1110_1000: "MAJORITY"}


def _table(truth: int, fan_in: int) -> int:
    return truth & ((1 << (1 << fan_in)) - 1)


@lru_cache(maxsize=1 << 12)
def kind(truth: int, fan_in: int) -> str:
    """The name of a gate with that truth table: ``AND``, ``XNOR 3``, ``MUX``, ``LUT 5``, ...

    Two-input gates with one input inverted are ``AND NOT`` and ``OR NOT``, whichever it is; wider ones say how many
    inputs they have. A gate that does not depend on some of its inputs is called by those that it depends on.
    """
    used = [i for i in range(fan_in) if _halves_differ(truth, i, fan_in)]
    if len(used) < fan_in:
        truth, fan_in = _without_the_rest(truth, used), len(used)
    if fan_in == 0:
        return "TRUE" if truth else "FALSE"
    if fan_in == 1:
        return "COPY" if truth == 0b10 else "NOT"
    words = {"AND": _ALL, "OR": 0, "XOR": 0}
    for v in VARIABLES[:fan_in]:
        words = {"AND": words["AND"] & v, "OR": words["OR"] | v, "XOR": words["XOR"] ^ v}
    inverse = {"AND": "NAND", "OR": "NOR", "XOR": "XNOR"}
    for name, word in words.items():
        for shown, value in ((name, word), (inverse[name], ~word)):
            if truth == _table(value, fan_in):
                return shown if fan_in == 2 else f"{shown} {fan_in}"
    if fan_in == 2:
        return "AND NOT" if truth.bit_count() == 1 else "OR NOT"
    if fan_in == 3:
        if truth in _THREE:
            return _THREE[truth]
        if truth in _muxes():
            return "MUX"
    return f"LUT {fan_in}"


def kinds(circuit: Circuit) -> dict[str, int]:
    """How many gates of each kind a circuit has, the most frequent first, then by name."""
    found: dict[str, int] = {}
    for fan_in in range(7):
        tables, counts = np.unique(circuit.truth[circuit.fan_in == fan_in], return_counts=True)
        for truth, count in zip(tables.tolist(), counts.tolist(), strict=True):
            name = kind(truth, fan_in)
            found[name] = found.get(name, 0) + count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _halves_differ(truth: int, i: int, fan_in: int) -> bool:
    one, zero = truth & VARIABLES[i], truth & ~VARIABLES[i]
    return _table(one >> (1 << i), fan_in) != _table(zero, fan_in)


def _without_the_rest(truth: int, used: list[int]) -> int:
    """The truth table over the inputs that matter."""
    result = 0
    for m in range(1 << len(used)):
        at = sum((m >> place & 1) << i for place, i in enumerate(used))
        result |= (truth >> at & 1) << m
    return result


@lru_cache(maxsize=1)
def _muxes() -> frozenset[int]:
    """Truth tables that choose between two inputs by the third, in any order."""
    found = set()
    for select in range(3):
        a, b = (i for i in range(3) if i != select)
        for low, high in ((a, b), (b, a)):
            s, one, zero = VARIABLES[select], VARIABLES[high], VARIABLES[low]
            found.add(_table(s & one | ~s & zero, 3))
    return frozenset(found)
