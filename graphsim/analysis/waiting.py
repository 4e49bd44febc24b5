"""Who waits for what when nothing can go on: one diagnosis for queues of tokens, for processes and for calendars.

What waits, waits for tokens of a channel, or for room. Where those who have to act first wait themselves, around a
circle, it is a deadlock; where they are none of those who wait, it is starvation: a token is lost, or was never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Lines of a message on those who wait, and tokens that one of them lists.
SHOWN, LISTED = 12, 4


@dataclass(frozen=True)
class Wait:
    """Somebody who cannot go on, and why.

    Attributes:
        who: an actor, or a link.
        why: the channel or token, and what is not there.
        behind: those who have to act first; of several, one is enough for a circle.
        node: where, or "".
        tick: since when; None where there is no clock.
    """

    who: str
    why: str
    behind: tuple[str, ...]
    node: str = ""
    tick: int | None = None

    def __str__(self) -> str:
        since = [] if self.tick is None else [f"since tick {self.tick}"]
        place = ", ".join([*since, *([f"node {self.node}"] if self.node else [])])
        return f"{place}{': ' if place else ''}{self.who} {self.why}"


def circle(waits: Sequence[Wait]) -> tuple[str, ...]:
    """Names around a circle in which each waits for the next; () where there is none."""
    behind: dict[str, list[str]] = {}
    for wait in waits:
        behind.setdefault(wait.who, []).extend(wait.behind)
    over: set[str] = set()
    for root in behind:
        path: dict[str, None] = {}  # in the order in which they were come to
        todo = [(root, iter(behind[root]))] if root not in over else []
        path |= dict.fromkeys([root]) if todo else {}
        while todo:
            other = next(todo[-1][1], None)
            if other is None:
                over.add(todo.pop()[0])
                path.popitem()
            elif other in path:
                names = list(path)
                return tuple(names[names.index(other) :])
            elif other in behind and other not in over:
                path[other] = None
                todo.append((other, iter(behind[other])))
    return ()


def told(waits: Sequence[Wait]) -> str:
    """A line that says whether it is deadlock or starvation, and one for each who waits: those around the circle first,
    then those who wait for nobody who waits, then those of longest standing.
    """
    around, all_names = circle(waits), {wait.who for wait in waits}
    ring = [wait for wait in waits if wait.who in around]
    others = [wait for wait in waits if wait.who not in around]
    others.sort(key=lambda wait: (not all_names.isdisjoint(wait.behind), wait.tick or 0))
    ring.sort(key=lambda wait: around.index(wait.who))
    lines = [str(wait) for wait in (*ring, *others)]
    more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    head = "starvation: a token is lost, or was never made"
    if around:
        skipped = (f"... {len(around) - SHOWN:,} more ...",) if len(around) > SHOWN else ()
        head = f"deadlock: {' waits for '.join((*around[:SHOWN], *skipped, around[0]))}"
    return "\n  ".join([head, *lines[:SHOWN], *more])


def listed(names: Sequence[str]) -> str:
    """The first of several names of tokens, each once, and how many more there are."""
    once = list(dict.fromkeys(names))
    more = f" and {len(once) - LISTED:,} more" if len(once) > LISTED else ""
    return f"{', '.join(once[:LISTED])}{more}"
