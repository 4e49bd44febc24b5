"""Proved lower bounds on the period of a graph on a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bound:
    """A proved lower bound on the period, and what proves it.

    Attributes:
        ticks: no schedule on this machine has a shorter period.
        kind: "compute" (firings on nodes), "link" (frames on links).
        resource: what binds, in words: ``node n3``, ``links into node n5``, ``all nodes``.
        reason: one sentence with the numbers.
    """

    ticks: int
    kind: Literal["compute", "link"]
    resource: str
    reason: str
