"""Placement: which node fires which actor.

Sources, input actors and sinks sit on the host. Everything else is spread so that the busiest node is as little busy
as possible, because no period is shorter than that node's firings take.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import Costs
from graphsim.analysis.tokens import first_producers
from graphsim.analysis.transport import nodes_by_distance
from graphsim.errors import PlacementError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.machine.one_to_one import one_to_one_nodes
from graphsim.machine.topologies import is_made
from graphsim.schedule.placement_file import Placement, read_placement, write_placement

__all__ = [
    "LIGHT_LAYERS",
    "Placement",
    "check_placement",
    "contiguous",
    "one_to_one",
    "pinned",
    "read_placement",
    "write_placement",
]

IntArray = npt.NDArray[np.int64]

#: A layer whose firings together take at most this part of the busiest node's load is kept on one node, if one has
#: room: spreading it would cost more in communication than it saves.
LIGHT = 16


def pinned(costs: Costs) -> Placement:
    """A placement with everything on the host, but sinks where they sit."""
    graph, machine = costs.graph, costs.machine
    node = np.full(graph.actor_count, machine.host, np.int32)
    for number in graph.sinks:
        node[graph.first[number] : graph.first[number + 1]] = machine.sink_host
    return node


#: What becomes of light layers: spread like all others, spread but not onto the host, or kept together near the host.
LIGHT_LAYERS = ("spread", "off host", "near host")


def contiguous(costs: Costs, nodes: Sequence[int], light: str = "spread", tile: int = 1) -> Placement:
    """Every layer in contiguous ranges of actors over ``nodes``, balanced by work.

    Layers are dealt out in the order of falling cost per actor; each is poured over the nodes like water, so that the
    greatest load is least. Where ``light`` (one of ``LIGHT_LAYERS``) says so, light layers are then dealt with
    differently, if no node gets busier than the busiest by that. Ranges are of whole tiles of so many actors.

    Raises:
        PlacementError: the parameters do not fit into the nodes' memories.
    """
    nodes = sorted(nodes)
    spread = _Pouring(costs, nodes, tile)
    order = sorted(costs.free, key=lambda g: (-spread.greatest(g), g))
    for group in order:
        spread.pour(group)
    top = int(spread.load.max())
    few = [g for g in order if int(costs.ticks(g, nodes[0]).sum()) * LIGHT <= top]
    if light == "spread" or not few or len(nodes) == 1:
        return spread.placement
    other = _Pouring(costs, nodes, tile)
    for group in order:
        if group not in few:
            other.pour(group)
    if light == "off host":
        other.close(costs.machine.host)
        for group in few:
            other.pour(group)
    else:
        near = {v: i for i, v in enumerate(nodes_by_distance(costs.machine))}
        closest = sorted(range(len(nodes)), key=lambda i: near[nodes[i]])
        if not all(other.gather(group, top, closest) for group in sorted(few)):
            return spread.placement
    return other.placement if int(other.load.max()) <= top else spread.placement


class _Pouring:
    """Loads of nodes while layers are dealt out, in tiles of ``tile`` actors, the last of a layer perhaps of fewer.

    ``load`` (ticks) and ``room`` (bytes) run parallel to ``nodes``.
    """

    def __init__(self, costs: Costs, nodes: Sequence[int], tile: int) -> None:
        self.costs, self.nodes, self.tile = costs, np.array(nodes, np.int32), tile
        self.placement = pinned(costs)
        self.load = np.zeros(len(nodes), np.int64)
        self.room = np.array([costs.machine.nodes[v].memory_bytes for v in nodes], np.int64)
        for group in costs.pinned:
            host = costs.host_of(group)
            if host in nodes:
                i = list(nodes).index(host)
                self.load[i] += int(costs.ticks(group, host).sum())
                self.room[i] -= costs.range_bytes(group, 0, costs.graph.groups[group].size)

    def greatest(self, group: int) -> int:
        """Ticks of the dearest tile of a group, wherever it is dearest."""
        if self.tile == 1:
            return self.costs.greatest(group)
        return max(int(ticks.max()) for ticks in self._ticks(group))

    def _size(self, group: int) -> int:
        return -(-self.costs.graph.groups[group].size // self.tile)

    def _ticks(self, group: int) -> list[IntArray]:
        """For each node, ticks of each tile of a group there; one array for nodes that are alike."""
        kinds = self.costs.kind[self.nodes].tolist()
        first = dict(zip(reversed(kinds), reversed(self.nodes.tolist()), strict=True))
        found = {kind: self._tiles(self.costs.ticks(group, v)) for kind, v in first.items()}
        return [found[kind] for kind in kinds]

    def _tiles(self, each: IntArray) -> IntArray:
        """Of every tile, from what is of every actor of a group: the sum."""
        if self.tile == 1:
            return each
        return np.add.reduceat(each, np.arange(0, len(each), min(self.tile, len(each))))

    def close(self, node: int) -> None:
        """Deal nothing more out to a node."""
        keep = self.nodes != node
        self.nodes, self.load, self.room = self.nodes[keep], self.load[keep], self.room[keep]

    def pour(self, group: int) -> None:
        """Deal a layer out so that the greatest load is least; later nodes get less where it makes no difference."""
        if self._follow(group):
            return
        whole = self.costs.graph.groups[group].size % self.tile == 0
        if whole and self.costs.uniform(group) and len(set(self.costs.bytes[group].tolist())) == 1:
            counts = self._level(group)
        else:
            counts = self._ranges(group)
        self._put(group, counts)

    def gather(self, group: int, top: int, order: Sequence[int]) -> bool:
        """Put a layer on one node, or on few in this order, none loaded beyond ``top``. False: it does not fit."""
        if self._follow(group):
            return True
        size = self._size(group)
        ticks = self._ticks(group)
        need = self.costs.range_bytes(group, 0, self.costs.graph.groups[group].size)
        counts = np.zeros(len(self.nodes), np.int64)
        for i in order:
            if self.load[i] + int(ticks[i].sum()) <= top and need <= self.room[i]:
                counts[i] = size
                self._put(group, counts)
                return True
        left = size
        greatest = int(self._tiles(self.costs.bytes[group]).max())
        for i in order:
            dearest = int(ticks[i].max())
            fits = left if dearest == 0 else (top - int(self.load[i])) // dearest
            if greatest and self.room[i] < self.costs.whole[group]:
                fits = min(fits, int(self.room[i]) // greatest)
            counts[i] = min(left, max(0, fits))
            left -= int(counts[i])
        if left == 0:
            self._put(group, counts)
        return left == 0

    def _follow(self, group: int) -> bool:
        """Put a layer that costs nothing, such as a ReLU or a padding, where its inputs are; False: it costs something.

        Each actor goes to where its first token is made; one without inputs to where the actor before it is.
        """
        costs, graph = self.costs, self.costs.graph
        if costs.greatest(group) or costs.whole[group] or not graph.channels_into(group):
            return False
        made = np.full(graph.groups[group].size, -1, np.int64)
        for c in graph.channels_into(group):
            first = first_producers(graph, c)
            made = np.where((made < 0) & (first >= 0), first + graph.first[c.src], made)
        # A register that copies a register goes where the first of them goes; those in a ring stay on the host.
        begin, size = int(graph.first[group]), len(made)
        for _ in range(size.bit_length()):
            own = (made >= begin) & (made < begin + size)
            before = made[np.where(own, made - begin, 0)]
            made = np.where(own & (before >= 0), before, made)
        known = np.maximum.accumulate(np.where(made >= 0, np.arange(len(made)), -1))
        known = np.where(known < 0, np.argmax(made >= 0), known)
        self.placement[graph.first[group] : graph.first[group + 1]] = self.placement[made[known]]
        return True

    def _put(self, group: int, counts: IntArray) -> None:
        """Put so many tiles of a layer on each node, in order."""
        graph = self.costs.graph
        first, size = int(graph.first[group]), graph.groups[group].size
        local = np.repeat(np.repeat(np.arange(len(self.nodes)), counts), min(self.tile, size))[:size]
        self.placement[first : first + size] = self.nodes[local]
        begin = 0
        for i in np.flatnonzero(counts):
            end = min(size, begin + int(counts[i]) * self.tile)
            self.load[i] += int(self.costs.ticks(group, int(self.nodes[i]))[begin:end].sum())
            self.room[i] -= self.costs.range_bytes(group, begin, end)
            begin = end

    def _level(self, group: int) -> IntArray:
        """How many tiles of equal cost each node gets."""
        size = self._size(group)
        ticks = np.array([there[0] for there in self._ticks(group)], np.int64)
        each = int(self._tiles(self.costs.bytes[group])[0])
        room = np.maximum(self.room, 0)
        limit = np.where(room >= self.costs.whole[group], size, np.minimum(room // max(each, 1), size))
        if int(limit.sum()) < size:
            raise self._full(group)

        def fits(level: int) -> IntArray:
            counts = np.where(ticks == 0, size, np.maximum(level - self.load, 0) // np.maximum(ticks, 1))
            counts = np.where(self.load > level, 0, counts)
            return np.asarray(np.minimum(counts, limit), np.int64)

        low, high = -1, int((self.load + ticks * limit).max())
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if int(fits(middle).sum()) >= size else (middle, high)
        counts = fits(low) if low >= 0 else np.zeros(len(ticks), np.int64)
        more = fits(high) - counts
        before = np.concatenate([[0], np.cumsum(more)[:-1]])
        counts += np.clip(size - int(counts.sum()) - before, 0, more)
        return counts

    def _ranges(self, group: int) -> IntArray:
        """How many tiles of different costs each node gets, in order: the least level at which all find room."""
        size = self._size(group)
        ticks = self._ticks(group)
        alike = {id(there): np.concatenate([[0], np.cumsum(there)]) for there in ticks}
        sums = [alike[id(there)] for there in ticks]
        bytes_sum = np.concatenate([[0], np.cumsum(self._tiles(self.costs.bytes[group]))])

        def fill(level: int) -> IntArray:
            counts = np.zeros(len(self.nodes), np.int64)
            at = 0
            for i, total in enumerate(sums):
                if at == size:
                    break
                room, load = int(self.room[i]), int(self.load[i])
                if load > level or room < 0:
                    continue
                end = int(np.searchsorted(total, total[at] + level - load, side="right")) - 1
                if room < self.costs.whole[group]:
                    end = min(end, int(np.searchsorted(bytes_sum, bytes_sum[at] + room, side="right")) - 1)
                counts[i] = end - at
                at = end
            return counts

        low, high = -1, int(self.load.max()) + max(int(total[-1]) for total in sums)
        if int(fill(high).sum()) < size:
            raise self._full(group)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if int(fill(middle).sum()) == size else (middle, high)
        return fill(high)

    def _full(self, group: int) -> PlacementError:
        need, have = self.costs.range_bytes(group, 0, len(self.costs.bytes[group])), int(np.maximum(self.room, 0).sum())
        name = self.costs.graph.groups[group].name
        return PlacementError(
            f"{name} has {need:,} bytes of parameters; the {len(self.nodes)} nodes have {have:,} bytes left for them, "
            f"not all in one piece; use more nodes or more memory_bytes"
        )


def one_to_one(costs: Costs) -> Placement:
    """Every actor on a node of its own, nearest to the host first; sources, inputs and sinks on the host.

    On a machine that is made for a graph every actor has its node.

    Raises:
        PlacementError: the machine has too few nodes, or is made for another graph.
    """
    graph, machine = costs.graph, costs.machine
    if is_made(machine.topology):
        made = one_to_one_nodes(graph)
        if int(made.max()) != machine.sink_host:
            raise PlacementError(
                f"{machine.name} is made for a graph with {machine.sink_host - 1:,} actors on nodes of their own; "
                f"{graph.name} has {int(made.max()) - 1:,}; make the machine for this graph"
            )
        return made
    placement = pinned(costs)
    actors = [a for g in costs.free for a in range(int(graph.first[g]), int(graph.first[g + 1]))]
    nodes = [v for v in nodes_by_distance(machine) if v != machine.host]
    if len(actors) > len(nodes):
        raise PlacementError(
            f"one-to-one needs {len(actors):,} nodes beside the host, one for each actor of {graph.name} that is no "
            f"source, input or sink; {machine.name} has {len(nodes):,}; use a larger machine or another strategy"
        )
    placement[actors] = nodes[: len(actors)]
    return placement


def check_placement(graph: Graph, machine: Machine, placement: Placement) -> None:
    """Refuse a placement that no schedule can have.

    Raises:
        PlacementError: an actor on a switch or outside the machine, a source or sink that is not on the host.
    """
    if placement.shape != (graph.actor_count,):
        raise PlacementError(f"a placement of {len(placement):,} actors; {graph.name} has {graph.actor_count:,}")
    compute = np.zeros(len(machine.nodes), np.bool_)
    compute[list(machine.compute_nodes)] = True
    inside = (placement >= 0) & (placement < len(machine.nodes))
    wrong = np.flatnonzero(~(inside & compute[np.where(inside, placement, 0)]))
    if len(wrong):
        actor, v = graph.actor(int(wrong[0])).name, int(placement[wrong[0]])
        where = f"{machine.nodes[v].name}, a switch" if 0 <= v < len(machine.nodes) else f"node {v}, which is not there"
        raise PlacementError(f"{actor} is placed on {where}; actors fire on compute nodes")
    for number in (*graph.sources, *graph.sinks):
        host = machine.sink_host if number in graph.sinks else machine.host
        if np.any(placement[graph.first[number] : graph.first[number + 1]] != host):
            what = "sinks" if machine.sinks is not None and number in graph.sinks else "sources and sinks"
            raise PlacementError(
                f"{graph.groups[number].name} is placed away from the host; {what} sit on {machine.nodes[host].name}"
            )
