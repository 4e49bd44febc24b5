"""Placement of gates: each where it can fire soonest, given where what it reads is made and how busy nodes are.

Where transport takes longer than a gate, what matters is that gates of one path, and above all of one loop, are on one
node, or on nodes that are near. As in list scheduling for processors at different distances (HEFT: Topcuoglu, Hariri
and Wu, IEEE TPDS 13(3), 2002), gates are taken in the order in which they must fire at the latest, and each gets the
node and the tick where it is done first, modulo a period that is aimed at. A gate whose token closes a loop prefers
nodes from where it comes in time.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import PINNED_OPS, Costs
from graphsim.analysis.cycles import on_cycles
from graphsim.analysis.loops import edges
from graphsim.analysis.transport import nodes_by_distance
from graphsim.schedule.place import Placement

IntArray = npt.NDArray[np.int64]

#: Nodes between which ways are looked up, at most: the nearest to the host.
_NODES = 1024


class Soonest:
    """Placements of one circuit on one machine, for several periods.

    Args:
        costs: of a graph in which everything fires once.
        wave: of each actor, int64 (actors,).
    """

    def __init__(self, costs: Costs, wave: IntArray) -> None:
        self.costs, self.wave = costs, wave
        self._nodes = np.array(nodes_by_distance(costs.machine)[:_NODES], np.int64)
        #: Ticks of a cycle of the nodes, which are alike.
        self._stride = costs.machine.node_stride(costs.machine.host)

    @property
    def able(self) -> bool:
        """Whether it knows how to place this graph: gates and copies that fire once, on nodes that are alike."""
        once = len(self.wave) == self.costs.graph.actor_count
        return once and self.costs.kinds == 1 and not any(self.costs.whole)

    @cached_property
    def _away(self) -> IntArray:
        """Node cycles from each of the nodes to each, int64 (nodes, nodes), by their place in ``_nodes``."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import dijkstra

        machine = self.costs.machine
        links, size = machine.links, len(machine.nodes)
        ends = [link.src for link in links], [link.dst for link in links]
        ways = [way + machine.crossings[link.dst] for link, way in zip(links, machine.ways, strict=True)]
        matrix = coo_array((np.array(ways, np.float64), ends), shape=(size, size)).tocsr()
        found: IntArray = np.ascontiguousarray(dijkstra(matrix, indices=self._nodes)[:, self._nodes], np.int64)
        return -(-found // self._stride)

    @cached_property
    def _edges(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """(from, to, tokens) between actors that are no copies, and what each copy is a copy of, int64 (actors,).

        A copy takes no time and reads one token; it will be where that is made.
        """
        return edges(self.costs)[:4]

    def place(self, period: int) -> Placement | None:
        """The node of every actor, aiming at a period in ticks; None: there is no room."""
        from graphsim.schedule.reserve import assign, earliest, latest

        costs, graph = self.costs, self.costs.graph
        src, dst, tokens, root = self._edges
        actors = graph.actor_count
        # All times here are in cycles of the nodes.
        period = -(-period // self._stride)
        ticks = np.concatenate([costs.ticks(g, costs.machine.host) for g in range(len(graph.groups))]) // self._stride
        step = np.empty(actors, np.int64)
        by_wave = np.argsort(self.wave, kind="stable")
        step[by_wave] = np.arange(actors)
        src, dst = step[src], step[dst]
        by = np.lexsort((src, dst))
        ptr = np.searchsorted(dst[by], np.arange(actors + 1)).astype(np.int64)
        length = ticks[by_wave]
        into, held = src[by], tokens[by]
        early = np.zeros(actors, np.int64)
        if not earliest(ptr, into, length[into], held, period, early):
            return None
        late = np.full(actors, early.max())
        latest(ptr, into, length[into], held, np.zeros(actors, np.int64), period, late)
        out = np.lexsort((dst, src))
        out_ptr = np.searchsorted(src[out], np.arange(actors + 1)).astype(np.int64)
        pinned = np.concatenate([np.full(g.size, g.op in PINNED_OPS) for g in graph.groups])
        copies = root != np.arange(actors)
        # Of equals those without work come first, which others may wait for, then those of loops.
        rank = np.where(length == 0, 0, 2)
        on = dst[on_cycles(actors, src, dst)]
        rank[on] = np.minimum(rank[on], 1)
        order = np.lexsort((np.arange(actors), rank, late)).astype(np.int64)
        order = order[~(pinned | copies)[by_wave[order]]]
        node = np.zeros(actors, np.int64)  # by step, as a place in ``_nodes``; the host is the first of them
        found = assign(
            period, ptr, into, held, out_ptr, dst[out], tokens[out], length, order, early,
            self._away, node,
        )  # fmt: skip
        if not found:
            return None
        placement = self._nodes[node[step]]
        found = np.where(pinned, costs.machine.host, placement[root]).astype(np.int32)
        for number in graph.sinks:
            found[graph.first[number] : graph.first[number + 1]] = costs.machine.sink_host
        return found
