"""Numbers with their units, as messages have them."""

from __future__ import annotations


def in_ticks(count: int) -> str:
    """``1 tick``, ``12 ticks``."""
    return "1 tick" if count == 1 else f"{count:,} ticks"
