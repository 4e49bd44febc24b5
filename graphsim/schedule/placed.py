"""A placement with its routes, as what finds times for it sees it: who reads what where, and which hop brings it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import Readers, token_makers
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule.reading import Pairs
from graphsim.schedule.route import Routes

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Times:
    """Starts of one iteration in ticks: int64 (actors,), int64 (hops,) in the order of the routes; and the latency."""

    start: IntArray
    hop_start: IntArray
    latency: int


class Placed:
    """Actors on nodes, and the parcels between them.

    Attributes:
        ticks: of each actor's firing, int64 (actors,).
        grain: ticks of which every period is a multiple: those of a cycle of all nodes and links that are used.
        stride: ticks of a cycle of each actor's node, int64 (actors,): where its firing may start.
        links, hops: what the native code reads of links and hops; see :mod:`~graphsim.schedule.calendar`.
        makers: the actor that makes each token, int32 (tokens,).
        pairs: (token, node) pairs that are read.
        reading: for each group, what each bundle into it reads, in the order of the ports.
        deliver_hop, deliver_pair: of every token that a hop brings to a node where it is read, by hop; int64.
    """

    def __init__(
        self, graph: Graph, machine: Machine, node: Int32Array, read: Readers, routes: Routes, ticks: IntArray
    ) -> None:
        self.graph, self.machine, self.node, self.routes, self.ticks = graph, machine, node, routes, ticks
        self.grain = grain(machine, node, routes)
        self.stride = np.array(machine.node_strides, np.int64)[node]
        self.links, self.hops = _rows(machine, routes)
        self.makers = token_makers(graph)
        self.pairs = Pairs(graph, node, self.makers, read, len(machine.nodes))
        groups = range(len(graph.groups))
        self.reading = [[self.pairs.reading(c) for c in graph.channels_into(number)] for number in groups]
        hop, token = carried(routes)
        to = np.array([link.dst for link in machine.links], np.int64)[routes.hop_link[hop]]
        pair = self.pairs.find(token, to)
        self.deliver_hop, self.deliver_pair = hop[pair >= 0], pair[pair >= 0]

    def whole(self, ticks: int) -> int:
        """The least period from so many ticks on."""
        return -(-ticks // self.grain) * self.grain

    def table_room(self) -> IntArray:
        """Where the table of each link begins, int64 (links + 1,).

        A hop may add two stretches to its link's table; of several frames per cycle, an entry for every cycle.
        """
        link = self.routes.hop_link
        each = 2 + np.where(self.links[link, 0] > 1, 2 * self.routes.hop_cycles, 0)
        room = np.bincount(link, weights=each, minlength=len(self.links))
        return np.concatenate([[0], np.cumsum(room)]).astype(np.int64)

    def span(self, start: IntArray) -> int:
        """Ticks from the first source firing to the end of the last sink firing."""
        first = self.graph.first
        ends = start + self.ticks
        last = max(int(ends[first[g] : first[g + 1]].max()) for g in self.graph.sinks)
        return last - min(int(start[first[g] : first[g + 1]].min()) for g in self.graph.sources)

    def first_readings(self, start: IntArray) -> IntArray:
        """When each pair of iteration 0 is read first, at the earliest, int64 (pairs,)."""
        end = int(start.max()) + 1
        left = np.zeros(len(self.pairs.token), np.int64)
        for number in range(len(self.graph.groups)):
            at = slice(int(self.graph.first[number]), int(self.graph.first[number + 1]))
            for reading in self.reading[number]:
                reading.release(end - start[at], left)
        return end - left

    def last_readings(self, start: IntArray, period: int) -> IntArray:
        """Until when each pair of iteration 0 is read, int64 (pairs,); ``start``: of every actor's firing.

        What is read d iterations later is needed d periods longer, and through the tick in which that firing starts.
        """
        graph, last = self.graph, np.zeros(len(self.pairs.token), np.int64)
        for number in range(len(graph.groups)):
            at = slice(int(graph.first[number]), int(graph.first[number + 1]))
            end = start[at] + self.ticks[at]
            for c, reading in zip(graph.channels_into(number), self.reading[number], strict=True):
                if c.initial_tokens:
                    reading.release(np.maximum(end, start[at] + 1) + c.initial_tokens * period, last)
                else:
                    reading.release(end, last)
        return last


def constants_late(placed: Placed, start: IntArray, hop_start: IntArray, period: int) -> tuple[IntArray, IntArray]:
    """Starts of firings and hops, the first at 0, with constants made no whole period earlier than they are read.

    What reads nothing may fire in any iteration, and a search that looks at ticks modulo the period has no reason to
    prefer one; but the token is kept until it is read, and so long an iteration is in flight. Parcels of constants
    alone are sent later, too.
    """
    graph, routes, makers, pairs = placed.graph, placed.routes, placed.makers, placed.pairs
    reads = np.concatenate([graph.fan_in(g) for g in range(len(graph.groups))])
    for source in graph.sources:
        reads[graph.first[source] : graph.first[source + 1]] = 1
    if reads.all():
        return start, hop_start
    end, first = start + placed.ticks, placed.first_readings(start)
    latest = int(start.max())

    carried_by = np.repeat(np.arange(len(routes.parcel_node)), np.diff(routes.parcel_ptr))
    moved = np.full(len(routes.parcel_node), latest)
    moved[carried_by[reads[makers[routes.parcel_token]] > 0]] = 0
    way = np.array(placed.machine.ways, np.int64)[routes.hop_link]
    hop, pair = placed.deliver_hop, placed.deliver_pair
    np.minimum.at(moved, routes.hop_parcel[hop], first[pair] - (hop_start + way)[hop])
    hop_start = hop_start + (np.maximum(0, moved) // period * period)[routes.hop_parcel]

    spare = np.where(reads == 0, latest - start, 0)
    home = pairs.node == placed.node[makers[pairs.token]]
    maker = makers[pairs.token[home]]
    np.minimum.at(spare, maker, first[home] - end[maker])
    hop, token = carried(routes)
    leaves = routes.hop_parent[hop] < 0
    maker = makers[token[leaves]]
    np.minimum.at(spare, maker, hop_start[hop[leaves]] - end[maker])
    start = start + np.maximum(0, spare) // period * period
    return start - start.min(), hop_start - start.min()


def grain(machine: Machine, node: Int32Array, routes: Routes) -> int:
    """The least common multiple, in ticks, of the cycles of all nodes and links that are used."""
    nodes = {machine.node_strides[v] for v in np.unique(node).tolist()}
    return math.lcm(*nodes, *{machine.link_strides[link] for link in np.unique(routes.hop_link).tolist()})


def _rows(machine: Machine, routes: Routes) -> tuple[IntArray, IntArray]:
    """Links and hops as native code reads them."""
    columns = [
        [link.frames_per_tick for link in machine.links],
        [link.latency for link in machine.links],
        machine.link_strides,
    ]
    p = routes.passages
    hops: list[npt.NDArray[np.signedinteger]]
    hops = [routes.hop_link, routes.hop_parent, p.first, p.many, p.offset, p.pace, routes.hop_frames, routes.hop_cycles]
    links = np.array(columns, np.int64).T
    return np.ascontiguousarray(links), np.stack([column.astype(np.int64) for column in hops], axis=1)


def carried(routes: Routes) -> tuple[IntArray, IntArray]:
    """(hop, token) for every token that a hop carries, by hop; int64."""
    sizes = np.diff(routes.parcel_ptr)[routes.hop_parcel]
    hop = np.repeat(np.arange(len(sizes)), sizes)
    offset = np.arange(len(hop)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    token = routes.parcel_token[routes.parcel_ptr[routes.hop_parcel][hop] + offset]
    return hop, token.astype(np.int64)
