"""Families of machines: ``torus:{2..8}x{2..8}`` stands for 49 of them, ``torus`` for the family that is meant by it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from graphsim.errors import MachineError
from graphsim.machine.model import show
from graphsim.machine.topologies import TOPOLOGIES

#: Machines that one text may stand for.
MOST_MACHINES = 65_536

#: What a topology's name alone stands for.
FAMILIES = {
    "line": "line:{1..64}",
    "ring": "ring:{1..64}",
    "mesh": "mesh:{1..16}x{1..16}",
    "torus": "torus:{1..16}x{1..16}",
    "full": "full:{1..64}",
    "star": "star:{1..64}",
    "tree": "tree:{0..7}x2",
    "fat_tree": "fat_tree:{0..8}",
    "hypercube": "hypercube:{0..8}",
}
assert set(FAMILIES) == set(TOPOLOGIES)

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"\s*([0-9]{1,9})\s*\.\.\s*([0-9]{1,9})\s*(?:\.\.\s*([0-9]{1,9})\s*)?", re.ASCII)
_LISTED = re.compile(r"\s*[0-9]{1,18}\s*(?:,\s*[0-9]{1,18}\s*)*", re.ASCII)


def family(spec: str) -> list[str]:
    """Names of all machines that a text stands for, as :func:`expanded`; a topology's name alone is one of
    :data:`FAMILIES`, and settings may follow it after commas.

    Raises:
        MachineError: a range is wrong, or stands for too many machines.
    """
    name, comma, settings = spec.strip().partition(",")
    return expanded(FAMILIES.get(name.strip(), name) + comma + settings)


def expanded(spec: str) -> list[str]:
    """``torus:{2..4}x{2,8}`` as all the names that it stands for, the last range fastest.

    Raises:
        MachineError: a range is wrong, or stands for too many machines.
    """
    parts = _BRACES.split(spec)
    if any(brace in part for part in parts[::2] for brace in "{}"):
        raise MachineError(
            f"{show(spec)} has a brace without its other; a range is {{2..8}}, {{2..16..2}} or {{2,4,8}}"
        )
    ranges = [_range(text) for text in parts[1::2]]
    total = math.prod(len(values) for values in ranges)
    if total > MOST_MACHINES:
        raise MachineError(f"{show(spec)} stands for {total:,} machines; {MOST_MACHINES:,} are the most")
    names = []
    for chosen in itertools.product(*ranges):
        between = [*(str(value) for value in chosen), ""]
        names.append("".join(text + value for text, value in zip(parts[::2], between, strict=True)))
    return names


def _range(text: str) -> Sequence[int]:
    if _LISTED.fullmatch(text):
        return [int(part) for part in text.split(",")]
    match = _RANGE.fullmatch(text)
    if match is None:
        raise MachineError(f"{{{text[:40]}}} is no range; write {{2..8}}, {{2..16..2}} or {{2,4,8}}")
    low, high, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if high < low or step < 1:
        raise MachineError(
            f"{{{text[:40]}}} is an empty range; write the smaller number first, and a step of at least 1"
        )
    return range(low, high + 1, step)
