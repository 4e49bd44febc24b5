"""Names in circuit files: none twice, and none that a format cannot spell."""

from __future__ import annotations

import re
from collections.abc import Iterable


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


def printable(name: str) -> str:
    """A name as terminals may show it: control characters in it become codes, such as ``\\x1b``."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
