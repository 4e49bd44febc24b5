"""Names in circuit files: none twice, and none that a format cannot spell."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Characters of all names of a circuit. A file may say a long name once and have many nets of it.
MOST = 1 << 30
#: Characters of an instance's path.
_LONGEST = 200


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names, of which those that are there already, or ``taken``, get a number behind them: ``a``, ``a_2``, ..."""
    used = set(taken)
    last: dict[str, int] = {}
    result = []
    for name in names:
        new, number = name, last.get(name, 1)
        while new in used:
            number += 1
            new = f"{name}_{number}"
        last[name] = number
        used.add(new)
        result.append(new)
    return result


def spelt(names: Iterable[str], allowed: str) -> list[str]:
    """The names with ``_`` for every run of characters that are not allowed (a regular expression's set), none empty
    and none twice.
    """
    wrong = re.compile(f"[^{allowed}]+")
    return distinct([wrong.sub("_", name) or "_" for name in names])


def within(path: str, number: int, joint: str) -> str:
    """What stands in front of names within an instance: its path, or if that is long its number, as paths add up."""
    return f"{path if len(path) <= _LONGEST else f'instance_{number}'}{joint}"


def printable(name: str) -> str:
    """A name as terminals may show it: control characters in it become codes, such as ``\\x1b``."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
