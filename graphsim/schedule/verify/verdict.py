"""What a verification says: every check that was made, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


BoolArray = npt.NDArray[np.bool_]


#: What can be wrong with a schedule.
Kind = Literal[
    "digest",  # made for another graph
    "encoding",  # arrays that contradict each other: lengths, ranges, order
    "rates",  # a graph that this encoding cannot express: not even unrolled one token per firing
    "placement",  # an actor on no node, on a switch, or a source or sink away from the host
    "time",  # a start before tick 0 or beyond all reason
    "stride",  # a firing or a hop in a tick in which its node or link does not act
    "period",  # a period that is no multiple of the stride of a node or link that is used
    "firings",  # firings of one actor on several nodes, or not one after the other
    "tile",  # actors of a tile on several nodes, or not back to back; a parcel of several tiles
    "firing overlap",  # two firings on one node in one tick
    "link overload",  # more frames on a link in one tick than it takes
    "calendar",  # more frames per period than the link's calendar lists
    "parcel",  # an empty parcel, or one with tokens that are not made where it starts
    "tree",  # a hop from where its parcel never is, or a second way to one node
    "transit",  # a hop out of a switch at another time than its frames leave the switch
    "hop early",  # a hop that starts before its parcel is there
    "late",  # a token used before it is there
    "lost",  # a token used where it never gets
    "duplicate",  # a token that gets to one node twice
    "slot",  # no slot, two slots, or one for a token that is never there
    "slot depth",  # a slot that is written again while its token is live
    "initial",  # initial tokens that are not all there at the start, or of two values
    "slot overlap",  # two slots, or a slot and the parameters, in the same bytes
    "memory",  # bytes beyond the node's memory
    "bound",  # a period below a bound that is recorded as proved
]


KINDS: tuple[str, ...] = get_args(Kind)


#: Violations of one kind that are written out; all are counted.
SHOWN_PER_KIND = 8


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong: its kind, and a sentence that names tick, node, link, actor as far as they apply."""

    kind: Kind
    message: str


@dataclass(frozen=True)
class Verdict:
    """What the verifier found.

    Attributes:
        ok: nothing is wrong.
        checks: what was checked, in words, and how many of them.
        violations: what is wrong, at most ``SHOWN_PER_KIND`` of each kind.
        violation_count: how many violations there are, shown or not.
    """

    ok: bool
    checks: tuple[tuple[str, int], ...]
    violations: tuple[Violation, ...]
    violation_count: int

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of violation found."""
        return frozenset(v.kind for v in self.violations)


@dataclass
class Findings:
    """Collects checks and violations."""

    checks: list[tuple[str, int]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    count: int = 0

    def checked(self, what: str, how_many: int) -> None:
        self.checks.append((what, how_many))

    def add(self, kind: Kind, message: str) -> None:
        self.add_all(kind, [0], lambda _: message)

    def add_all(self, kind: Kind, where: BoolArray | Iterable[int], message: Callable[[int], str]) -> None:
        """One violation for every True of a mask, or for every index; messages are made for the first few only."""
        at = np.flatnonzero(where) if isinstance(where, np.ndarray) and where.dtype == bool else list(where)
        self.count += len(at)
        self.violations += [Violation(kind, message(int(i))) for i in at[:SHOWN_PER_KIND]]

    def verdict(self) -> Verdict:
        return Verdict(self.count == 0, tuple(self.checks), tuple(self.violations), self.count)
