"""How long tokens are on their way from node to node at least, whatever else is on the links."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphsim.machine import Machine

IntArray = npt.NDArray[np.int64]


#: Ticks from a node to one that it cannot reach: more than any way, and three of them still fit 64 bits.
NO_WAY = 1 << 40


def ways(machine: Machine, nodes: Sequence[int], bits: int = 1) -> IntArray:
    """Ticks from each of some nodes to each, int64 (nodes, nodes), for a token of so many bits that is alone.

    It need not wait for a cycle of any clock, and is whole on a node before it is sent on; switches pass frames on one
    by one, so that only one counts on machines that have some, and the time in switches. For the narrowest token of a
    graph this is a lower bound for all of them. :data:`NO_WAY` where there is none.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    links, size = machine.links, len(machine.nodes)
    ends = [link.src for link in links], [link.dst for link in links]
    if any(node.kind == "switch" for node in machine.nodes):
        bits = 1
    cycles = [-(-max(1, bits) // (link.frame_bits * link.frames_per_tick)) + link.latency for link in links]
    ticks = np.array(cycles) * np.array(machine.link_strides)
    ticks += np.array([machine.crossings[link.dst] for link in links], np.int64)
    matrix = coo_array((ticks.astype(np.float64), ends), shape=(size, size)).tocsr()
    found = dijkstra(matrix, indices=list(nodes))[:, list(nodes)]
    return np.ascontiguousarray(np.where(np.isinf(found), NO_WAY, found), np.int64)


def there_and_back(way: IntArray) -> int:
    """Ticks of the shortest way from any node to another one and back; 2^62 on one node."""
    if len(way) < 2:
        return 1 << 62
    both = way + way.T
    np.fill_diagonal(both, 1 << 62)
    return int(both.min())


def shortest_of_three(way: IntArray) -> int:
    """Ticks of the shortest tour of any three nodes; 2^62 on fewer."""
    if len(way) < 3:
        return 1 << 62
    apart = way + np.where(np.eye(len(way), dtype=np.bool_), NO_WAY, 0)
    best = 1 << 62
    for a in range(len(way)):
        best = min(best, int((apart[a][:, None] + apart + apart[:, a][None, :]).min()))
    return best


def room(way: IntArray, most: int, period: int) -> IntArray:
    """How many ticks nodes can fire for within so many ticks of what happens on one of them, int64 (most + 1,).

    In ``room[L]`` a node counts for what is left of L ticks when a token has been there and back, but at most for a
    period; the node where it is most in all is taken.
    """
    both = way + way.T
    found = np.zeros(most + 1, np.int64)
    span = np.arange(most + 1)
    for row in np.unique(np.sort(both, axis=1), axis=0):
        ticks, many = np.unique(row, return_counts=True)
        left = np.minimum(np.maximum(span[:, None] - ticks, 0), period)
        found = np.maximum(found, (left * many).sum(axis=1))
    return found


def nodes_by_distance(machine: Machine) -> list[int]:
    """Compute nodes, those with the shortest way from the host and to the sinks first, then by id."""
    there, back = distances(machine, machine.host), distances(machine, machine.sink_host, reverse=True)
    return sorted(machine.compute_nodes, key=lambda v: (there[v] + back[v], v))


def distances(machine: Machine, start: int, *, reverse: bool = False) -> list[int]:
    """Ticks that a frame takes from ``start`` to each node (or the way back) on free links; -1 where there is no way.

    Dijkstra, by the way of each link and the crossing of each switch.
    """
    found = [-1] * len(machine.nodes)
    heap = [(0, start)]
    while heap:
        far, v = heapq.heappop(heap)
        if found[v] >= 0:
            continue
        found[v] = far
        for number in machine.in_links(v) if reverse else machine.out_links(v):
            link = machine.links[number]
            other = link.src if reverse else link.dst
            if found[other] < 0:
                heapq.heappush(heap, (far + machine.ways[number] + machine.crossings[link.dst], other))
    return found
