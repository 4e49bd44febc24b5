"""Tiles: neurons of one layer that are scheduled as one.

Actors ``k * N .. k * N + N - 1`` of a group are a tile of ``N``, the last one perhaps of fewer (Lünnemann et al.,
"Capturing Neural-Networks as Synchronous Dataflow Graphs"). The graph stays one actor per neuron, and so do values:
what is coarser is the schedule. A tile is on one node. Its actors fire back to back, once all that any of them reads is
there; what they make is sent when the last of them has ended, and what of it is read on the same nodes is one parcel.
Sources, inputs and sinks are in no tile.

What finds times sees a tile as its first actor, which takes as long as all of them; the others take no time, and start
with it. :meth:`Tiles.spread` gives each its ticks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import PINNED_OPS
from graphsim.analysis.waves import waves
from graphsim.errors import PlacementError
from graphsim.graph import Graph

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]


class Tiles:
    """The tiles of a graph in which everything fires once.

    Attributes:
        size: actors in a tile, at most.
        leader: the first actor of each actor's tile, itself where it is in none; int64 (actors,).
        tiled: which actors are in tiles, bool (actors,).

    Raises:
        PlacementError: tiles have no actor, or actors of a group feed each other, as gates do.
    """

    def __init__(self, graph: Graph, size: int) -> None:
        if size < 1:
            raise PlacementError(f"--tile {size}: a tile has one actor at least")
        if int(waves(graph)[-1]) + 1 > len(graph.groups):
            raise PlacementError(f"{graph.name}: its gates feed each other, so that none fire as one; leave out --tile")
        self.graph, self.size = graph, size
        self.leader = np.arange(graph.actor_count)
        self.tiled = np.zeros(graph.actor_count, np.bool_)
        for number, group in enumerate(graph.groups):
            if group.op not in PINNED_OPS:
                first, local = int(graph.first[number]), np.arange(group.size)
                self.leader[first + local] = first + local // size * size
                self.tiled[first + local] = True

    def check(self, node: Int32Array) -> None:
        """Refuse a placement, int32 (actors,), that tears a tile apart.

        Raises:
            PlacementError: names two actors of one.
        """
        away = np.flatnonzero(node != node[self.leader])
        if len(away):
            one, other = (self.graph.actor(int(a)).name for a in (self.leader[away[0]], away[0]))
            raise PlacementError(
                f"{one} and {other} are in one tile and placed on two nodes; place them on one, or leave out --tile"
            )

    def whole(self, ticks: IntArray) -> IntArray:
        """Ticks of firings, int64 (actors,), as those of tiles: all of them at the first actor, 0 at the others."""
        found = np.zeros_like(ticks)
        np.add.at(found, self.leader, ticks)
        return found

    def latest(self, ready: IntArray, group: int) -> None:
        """Raise ``ready``, of the actors of a group, to that of the actor of their tile that is ready last."""
        first = int(self.graph.first[group])
        if self.tiled[first]:
            size = min(self.size, len(ready))
            begin = np.arange(0, len(ready), size)
            ready[:] = np.repeat(np.maximum.reduceat(ready, begin), size)[: len(ready)]

    def spread(self, start: IntArray, ticks: IntArray) -> IntArray:
        """When each actor starts, from when its tile does: one after the other. ``ticks``: of each; int64 (actors,)."""
        before = np.cumsum(ticks) - ticks
        spread: IntArray = start[self.leader] + before - before[self.leader]
        return spread
