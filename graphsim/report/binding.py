"""What keeps a schedule's period from being shorter, as far as anything is known to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphsim.graph import Graph
from graphsim.graph.words import in_ticks
from graphsim.report.utilisation import Utilisation
from graphsim.schedule.schedule import Schedule

#: What binds, by its kind.
WORDS = {"compute": "compute", "link": "communication", "recurrence": "recurrence"}


@dataclass(frozen=True)
class Binding:
    """One thing that takes the whole period.

    Attributes:
        kind: "compute" (a node that fires in every tick), "link" (one that sends in every tick), "recurrence" (firings
            that wait for each other for as long as the period).
        resource: what it is, in words: ``node n3``, ``link n0->n1``, ``actor lstm[7]``.
    """

    kind: Literal["compute", "link", "recurrence"]
    resource: str


def bindings(schedule: Schedule, load: Utilisation) -> tuple[Binding, ...]:
    """All that takes the whole period: nodes, then links, then what the schedule's bounds name, without repeats.

    Empty where nothing does: then the period is the shortest that was found, and nothing here forbids a shorter one.
    """
    machine = schedule.machine
    nodes = np.flatnonzero(load.node_ticks >= schedule.period).tolist()
    # A link that needs one tick less would allow a period that is shorter by one, even if its last tick is not full.
    per_tick = load.link_capacity // max(1, schedule.period)
    links = np.flatnonzero(-(-load.link_frames // np.maximum(1, per_tick)) >= schedule.period).tolist()
    found = [Binding("compute", f"node {machine.nodes[v].name}") for v in nodes]
    found += [Binding("link", f"link {machine.link_name(i)}") for i in links]
    for bound in (schedule.placement_bound, schedule.bound):
        # Where nodes or links are full, other bounds on them say the same in other words.
        if bound.ticks == schedule.period and (bound.kind == "recurrence" or not found):
            found.append(Binding(bound.kind, bound.resource))
    return tuple(dict.fromkeys(found))


def in_words(found: Sequence[Binding], limit: int = 3) -> str:
    """``compute: node n0 and node n1; communication: link n0->n1``; of each kind the first ``limit`` are named."""
    parts = []
    for kind, word in WORDS.items():
        names = [one.resource for one in found if one.kind == kind]
        shown = names if len(names) <= limit else [*names[: limit - 1], f"{len(names) - limit + 1:,} more"]
        if names:
            parts.append(f"{word}: {' and '.join(filter(None, (', '.join(shown[:-1]), shown[-1])))}")
    return "; ".join(parts)


def why_nothing(schedule: Schedule, load: Utilisation) -> str:
    """What there is to say of a schedule in which nothing takes the whole period."""
    machine = schedule.machine
    v = int(load.node_ticks.argmax())
    busiest = {f"node {machine.nodes[v].name}": load.node_ticks[v] / max(1, schedule.period)}
    if machine.links:
        share = load.link_frames / np.maximum(1, load.link_capacity)
        busiest[f"link {machine.link_name(int(share.argmax()))}"] = float(share.max())
    name = max(busiest, key=busiest.__getitem__)
    percent = math.floor(1000 * busiest[name]) / 10  # never rounded up to all of it
    return (
        f"no node or link is busy all the time (the busiest is {name}, {percent:.1f}%), and no recurrence is known"
        f" to take as long: {in_ticks(schedule.period)} are the shortest period found, perhaps not the shortest there"
        f" is; less than {max(schedule.bound.ticks, 1):,} are proved to be impossible on this machine"
    )


def hint(graph: Graph, found: Sequence[Binding]) -> str:
    """What may be tried for a shorter period; "" where there is nothing to say."""
    if graph.firing_count == graph.actor_count or any(one.kind != "recurrence" for one in found):
        return ""
    return (
        "actors that fire once per step hold samples up: graphsim lower --unroll gives every step actors of its own,"
        " so that samples may follow each other faster"
    )
