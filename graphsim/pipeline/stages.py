"""What the ways through the house share: machines made for graphs, verdicts, clocks, progress, warnings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from graphsim.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from graphsim.graph import Graph
    from graphsim.machine import Machine
    from graphsim.schedule.schedule import Buffering, Schedule
    from graphsim.schedule.verify import Verdict

#: A machine, or what makes one for a graph.
Hardware: TypeAlias = "Machine | Callable[[Graph], Machine]"

#: Opens a progress bar: (description, total) -> context manager that yields a callback of the count done.
Bar = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

#: Tells the user something that stops nothing.
Warn = Callable[[str], None]


def ignored(warning: str) -> None:
    """A :data:`Warn` that tells nobody."""


def machine_for(hardware: Hardware, graph: Graph) -> Machine:
    """The machine itself, made for the graph if need be.

    Raises:
        MachineError: it cannot be made for this graph.
    """
    return hardware(graph) if callable(hardware) else hardware


def buffering_named(name: str) -> Buffering:
    """The kind of buffering of that name.

    Raises:
        UsageError: there is none.
    """
    from graphsim.schedule import BUFFERING

    for known in BUFFERING:
        if name == known:
            return known
    raise UsageError(f"there is no buffering {name!r}; choose one of {', '.join(BUFFERING)}")


def folded(
    graph: Graph,
    machine: Hardware,
    seconds: dict[str, float],
    bars: Bar,
    *,
    what: str = "folding",
    **options: Any,
) -> tuple[Schedule, Verdict]:
    """A schedule that the verifier accepts, and its verdict; ``options``: of :func:`graphsim.schedule.fold`.

    Raises:
        GraphsimError: whatever input is unusable. CheckFailed: the verifier rejects the schedule.
    """
    from graphsim.schedule import fold
    from graphsim.schedule.verify import verify

    with timed(seconds, "fold"), bars(what, None):
        schedule = fold(graph, machine_for(machine, graph), **options)
    with timed(seconds, "verify"):
        verdict = verify(graph, schedule)
    if not verdict.ok:
        raise CheckFailed(
            f"the schedule breaks {verdict.violation_count} rules; the first: {verdict.violations[0].message}"
        )
    return schedule, verdict


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note the wall seconds that a stage takes."""
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


@contextmanager
def no_bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A :data:`Bar` that is not drawn."""
    yield lambda done: None
