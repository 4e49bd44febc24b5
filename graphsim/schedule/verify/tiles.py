"""Are tiles what the schedule says they are: on one node, fired back to back, and sent when they are whole?"""

from __future__ import annotations

import numpy as np

from graphsim.graph.ops import SINKS
from graphsim.schedule.verify.facts import Facts
from graphsim.schedule.verify.verdict import Findings


def check_tiles(facts: Facts, found: Findings) -> None:
    """Actors k * N to k * N + N - 1 of each group that computes are one tile, where a schedule says N."""
    size, graph = facts.schedule.tile, facts.graph
    if size == 1:
        return
    begin, end = np.arange(graph.actor_count), np.arange(graph.actor_count)  # first and last actor of each tile
    tiled = np.zeros(graph.actor_count, np.bool_)
    for number, group in enumerate(graph.groups):
        if group.op in ("source", "input", *SINKS):
            continue
        first, local = int(graph.first[number]), np.arange(group.size)
        begin[first + local] = first + local - local % size
        tiled[first + local] = True
        end[first + local] = np.minimum(begin[first + local] + size, first + group.size) - 1
    follows = np.flatnonzero(begin != np.arange(graph.actor_count))
    found.checked("actors of tiles that follow the one before, on its node", len(follows))
    found.add_all(
        "tile",
        (facts.node[follows] != facts.node[follows - 1]) | (facts.start[follows] != facts.end[follows - 1]),
        lambda i: (
            f"{graph.actor(int(follows[i])).name} starts at tick {facts.start[follows[i]]} on "
            f"{facts.node_name(int(facts.node[follows[i]]))}, and the actor before it in its tile ends at tick "
            f"{facts.end[follows[i] - 1]} on {facts.node_name(int(facts.node[follows[i] - 1]))}"
        ),
    )
    if not facts.parcel_size.all():
        return  # an empty parcel is told elsewhere
    maker, parcel = facts.maker[facts.parcel_token], facts.parcel_of_token
    leader = begin[maker[facts.schedule.parcel_ptr[:-1]]]
    mixed = np.zeros(len(leader), np.bool_)
    mixed[parcel[(begin[maker] != leader[parcel]) & (tiled[maker] | tiled[leader[parcel]])]] = True
    found.checked("parcels of one tile that are sent when it is whole", int(tiled[leader].sum()))
    found.add_all(
        "tile", mixed, lambda p: f"parcel {p} has tokens of {graph.actor(int(leader[p])).name} and of another tile"
    )
    early = facts.hop_start < facts.end[end[leader[facts.hop_parcel]]]
    found.add_all(
        "tile",
        early,
        lambda h: (
            f"{facts.hop_name(h)} starts at tick {facts.hop_start[h]}; the tile that it carries ends at tick "
            f"{facts.end[end[leader[facts.hop_parcel[h]]]]}"
        ),
    )
