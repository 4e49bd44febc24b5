"""The independent verifier: is this schedule right for this graph on this machine?

It believes nothing. From graph, machine and schedule alone it derives what every firing takes, which node needs which
token when, when each token gets there and how long it must stay, and it compares that with what the schedule says.
It shares no code with the planner: only the :class:`Schedule` encoding, whose docstring is the law it enforces.

Everything is done in bulk: dense and window bundles are reduced to (node, token) pairs without listing their edges.

::

    verdict.py     what is said
    facts.py       what follows from graph, machine and schedule
    encoding.py    whether it can be read at all
    calendars.py   room on nodes and links
    tiles.py       actors that are scheduled as one
    deliveries.py  tokens where they are read, in time
    memory.py      tokens kept while they live
"""

from __future__ import annotations

from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify.calendars import (
    check_firings,
    check_links,
    check_nodes,
    check_parcels,
    check_strides,
    check_transits,
)
from graphsim.schedule.verify.deliveries import check_deliveries
from graphsim.schedule.verify.encoding import check_encoding, check_graph, check_placement, check_times
from graphsim.schedule.verify.facts import Facts
from graphsim.schedule.verify.memory import check_memory, check_slots
from graphsim.schedule.verify.tiles import check_tiles
from graphsim.schedule.verify.verdict import KINDS, SHOWN_PER_KIND, Findings, Verdict, Violation

__all__ = ["KINDS", "SHOWN_PER_KIND", "Verdict", "Violation", "verify", "verify_calendars"]


def verify(graph: Graph, schedule: Schedule) -> Verdict:
    """Check a schedule against graph and machine. A bad schedule gives a bad verdict, never an exception.

    Later checks presuppose earlier ones: a schedule for another graph, or whose arrays contradict each other, is
    rejected before its times are looked at.
    """
    found = Findings()
    facts = _readable(graph, schedule, found)
    if facts is None:
        return found.verdict()
    check_strides(facts, found)
    check_firings(facts, found)
    check_tiles(facts, found)
    check_nodes(facts, found)
    check_links(facts, found)
    check_transits(facts, found)
    check_parcels(facts, found)
    held = check_deliveries(facts, found)
    check_slots(facts, held, found)
    _check_bounds(facts, found)
    return found.verdict()


def verify_calendars(graph: Graph, schedule: Schedule) -> Verdict:
    """Check only what a machine could not even load: arrays and ids, placement, calendars of nodes and links, memory.

    What happens to tokens is not looked at: an engine finds that out by executing the calendars.
    """
    found = Findings()
    facts = _readable(graph, schedule, found)
    if facts is None:
        return found.verdict()
    check_strides(facts, found)
    check_nodes(facts, found)
    check_links(facts, found)
    check_transits(facts, found)
    check_memory(facts, found)
    return found.verdict()


def _readable(graph: Graph, schedule: Schedule, found: Findings) -> Facts | None:
    """What follows from a schedule that can be read at all; None, and findings, for one that cannot."""
    check_graph(graph, schedule, found)
    if found.count:
        return None
    unrolled = unroll(graph)
    for stage in (check_encoding, check_placement, check_times):
        stage(unrolled.graph, schedule, found)
        if found.count:
            return None
    return Facts(graph, unrolled, schedule)


def _check_bounds(facts: Facts, found: Findings) -> None:
    s = facts.schedule
    found.checked("recorded bounds that the period respects", 2)
    for name, bound in (("lower bound", s.bound), ("lower bound of the placement", s.placement_bound)):
        if bound.ticks > s.period:
            found.add(
                "bound", f"the recorded {name} is {bound.ticks} ticks ({bound.resource}); the period is {s.period}"
            )
    if s.placement_bound.ticks < s.bound.ticks:
        found.add(
            "bound",
            f"the recorded bound for this placement, {s.placement_bound.ticks} ticks, is below the bound for any, "
            f"{s.bound.ticks}",
        )
