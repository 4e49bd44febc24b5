"""Placements that look at single actors: greedy balance with local refinement, and hypergraph partitioning.

The traffic of a placement is counted as hypergraph partitioners do (Karypis and Kumar 1999, "k-1"): a token that is
read on n nodes other than its own is sent n times. Here a token and all its readers are a *net*; a net costs its weight
times the number of its nodes but one.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import PINNED_OPS, Costs
from graphsim.errors import PlacementError
from graphsim.schedule.place import Placement, contiguous, pinned

IntArray = npt.NDArray[np.int64]

#: Pins (token, reader) that are listed at most; dense layers have as many as they have edges.
MAX_PINS = 20_000_000
#: Actors beyond which single moves are not tried any more.
MAX_MOVED = 20_000
_PASSES = 4
#: Graphs with fewer free actors per node are placed greedily instead.
_FEWEST_PER_NODE = 2
_INITIALIZER: list[Any] = []


class Nets:
    """Nets of a graph: net n joins the actors ``pins[ptr[n]:ptr[n + 1]]`` and weighs ``weight[n]``.

    Tokens of actors that sit on the host and have the same readers are one net, in which one of them stands for all.
    """

    def __init__(self, costs: Costs) -> None:
        graph = costs.graph
        found: dict[tuple[int, bytes], list[int]] = {}
        total = 0
        for number, group in enumerate(graph.groups):
            first, fixed = int(graph.first[number]), group.op in PINNED_OPS
            channels = [] if group.op == "source" else graph.channels_from(number)
            for local in range(group.size if channels else 0):
                parts = [
                    graph.first[c.dst] + c.consumers(local, group.size, graph.groups[c.dst].size, graph.params)
                    for c in channels
                ]
                readers = np.unique(np.concatenate(parts))
                if not len(readers):
                    continue
                key = (first if fixed else first + local, readers.tobytes())
                if key in found:
                    found[key][1] += 1
                    continue
                found[key] = [first + local, 1]
                total += len(readers) + 1
                if total > MAX_PINS:
                    raise PlacementError(
                        f"{graph.name} has more than {MAX_PINS:,} (token, reader) pairs, too many to weigh one by one; "
                        f"use --place contiguous"
                    )
        sets = [
            np.unique(np.append(np.frombuffer(names, np.int64), maker))
            for (_, names), (maker, _) in zip(found, found.values(), strict=True)
        ]
        self.weight = np.array([count for _, count in found.values()], np.int64)
        self.ptr = np.concatenate([[0], np.cumsum([len(s) for s in sets])]).astype(np.int64)
        self.pins = np.concatenate([np.empty(0, np.int64), *sets])

    def volume(self, node: Placement, nodes: int) -> int:
        """Tokens sent, each once for every node other than its own that reads it."""
        net = np.repeat(np.arange(len(self.weight)), np.diff(self.ptr))
        pairs = np.unique(net * nodes + node[self.pins])
        return int((self.weight * (np.bincount(pairs // nodes, minlength=len(self.weight)) - 1)).sum())


def greedy(costs: Costs) -> Placement:
    """The dearest actors first, each to the node that is done with it soonest; then moves that save traffic.

    Raises:
        PlacementError: the parameters do not fit into the nodes' memories.
    """
    machine, graph = costs.machine, costs.graph
    nodes = np.array(machine.compute_nodes, np.int64)
    placement = pinned(costs)
    load, room = _loads(costs, placement, costs.pinned)
    actors = [(g, a) for g in costs.free for a in range(graph.groups[g].size)]
    price = {g: np.array([costs.ticks(g, v) for v in _one_of_each_kind(costs)]) for g in costs.free}
    actors.sort(key=lambda item: (-int(price[item[0]][:, item[1]].min()), item))
    heaps = [[(int(load[v]), v) for v in nodes.tolist() if costs.kind[v] == kind] for kind in range(costs.kinds)]
    for heap in heaps:
        heapq.heapify(heap)
    kept: dict[tuple[int, int], int] = {}
    for group, local in actors:
        each = int(costs.bytes[group][local])
        ends = []
        for kind, heap in enumerate(heaps):
            while heap and room[heap[0][1]] < min(each, costs.whole[group] - kept.get((group, heap[0][1]), 0)):
                heapq.heappop(heap)
            if heap:
                ends.append((heap[0][0] + int(price[group][kind, local]), heap[0][1], kind))
        if not ends:
            raise PlacementError(
                f"{graph.actor(int(graph.first[group]) + local).name} has {each:,} bytes of parameters, and no node "
                f"has that much memory left; use more nodes or more memory_bytes"
            )
        end, v, kind = min(ends)
        heapq.heapreplace(heaps[kind], (end, v))
        load[v] = end
        before = kept.get((group, v), 0)
        kept[group, v] = min(before + each, costs.whole[group])
        room[v] -= kept[group, v] - before
        placement[int(graph.first[group]) + local] = v
    return _refined(costs, placement, int(load.max()))


def hypergraph(costs: Costs, seed: int) -> Placement:
    """Multilevel hypergraph partitioning with Mt-KaHyPar, deterministic preset; then single moves.

    Raises:
        PlacementError: the package ``mtkahypar`` is not installed, or the graph is too large.
    """
    try:
        import mtkahypar  # noqa: F401
    except ImportError as error:
        raise PlacementError(
            "placement strategy hypergraph needs the package mtkahypar; pip install '.[partition]' in the checkout, or "
            "use "
            "--place contiguous"
        ) from error
    machine, graph = costs.machine, costs.graph
    nodes = list(machine.compute_nodes)
    free = [a for g in costs.free for a in range(int(graph.first[g]), int(graph.first[g + 1]))]
    if len(nodes) == 1 or len(free) < _FEWEST_PER_NODE * len(nodes):
        return greedy(costs)  # too few actors for coarsening to mean anything
    nets = Nets(costs)
    balanced = contiguous(costs, nodes)
    load, _ = _loads(costs, balanced, range(len(graph.groups)))
    # Vertex 0 stands for all that sits on the host; the others are the free actors.
    vertex = np.zeros(graph.actor_count, np.int64)
    vertex[free] = np.arange(1, len(free) + 1)
    edges, weight = [], []
    for number in range(len(nets.weight)):
        pins = np.unique(vertex[nets.pins[nets.ptr[number] : nets.ptr[number + 1]]])
        if len(pins) > 1:
            edges.append(pins.tolist())
            weight.append(int(nets.weight[number]))
    ticks = costs.durations(np.full(graph.actor_count, nodes[0], np.int32))
    fixed = int(ticks.sum() - ticks[free].sum())
    # No node may be busier than in the balanced placement; in ticks of the first node, where nodes differ.
    work = np.bincount(balanced, weights=ticks, minlength=len(machine.nodes)).astype(np.int64)
    limit = [int(load.max()) * max(1, int(work[v])) // max(1, int(load[v])) for v in nodes]
    most = [max(1, w) for w in (limit if costs.kinds > 1 else [int(load.max())] * len(nodes))]
    blocks = _partitioned([fixed, *ticks[free].tolist()], edges, weight, most, nodes.index(machine.host), seed)
    placement = pinned(costs)
    placement[free] = np.array(nodes, np.int32)[blocks[1:]]
    placement = _refined(costs, placement, int(load.max()), nets)
    if int(_loads(costs, placement, range(len(graph.groups)))[0].max()) > int(load.max()):
        placement = _refined(costs, _evened(costs, placement, balanced), int(load.max()), nets)
    return placement


def _partitioned(
    vertices: list[int], edges: list[list[int]], weights: list[int], most: list[int], host: int, seed: int
) -> list[int]:
    """Blocks of the vertices, of at most so much weight each, vertex 0 in block ``host``."""
    import mtkahypar

    if not _INITIALIZER:  # the library allows this once per process
        _INITIALIZER.append(mtkahypar.initialize(1, False))
    library = _INITIALIZER[0]
    mtkahypar.set_seed(seed)
    context = library.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(len(most), 0.03, mtkahypar.Objective.KM1)
    context.logging = False
    # The library takes no weight of 0: those are 1, and all others so large that it does not matter.
    unit = len(vertices) + 1
    context.set_individual_target_block_weights([w * unit + unit for w in most])
    whole = library.create_hypergraph(
        context, len(vertices), len(edges), edges, [max(1, v * unit) for v in vertices], weights
    )
    whole.add_fixed_vertices([host] + [-1] * (len(vertices) - 1), len(most))
    return list(whole.partition(context).get_partition())


def _evened(costs: Costs, placement: Placement, balanced: Placement) -> Placement:
    """``placement``, changed so that every node has as many actors of every layer as in ``balanced``."""
    graph, nodes = costs.graph, len(costs.machine.nodes)
    result = placement.copy()
    for group in costs.free:
        first, end = int(graph.first[group]), int(graph.first[group + 1])
        wanted = np.bincount(balanced[first:end], minlength=nodes)
        moving: list[int] = []
        for v in range(nodes):
            here = first + np.flatnonzero(placement[first:end] == v)
            moving += here[wanted[v] :].tolist()
            wanted[v] -= min(len(here), int(wanted[v]))
        result[sorted(moving)] = np.repeat(np.arange(nodes), wanted)
    return result


def _one_of_each_kind(costs: Costs) -> list[int]:
    return [int(np.flatnonzero(costs.kind == kind)[0]) for kind in range(costs.kinds)]


def _loads(costs: Costs, placement: Placement, groups: list[int] | range) -> tuple[IntArray, IntArray]:
    """Ticks of each node for the actors of some groups, and the bytes of memory that their parameters leave."""
    graph, machine = costs.graph, costs.machine
    load = np.zeros(len(machine.nodes), np.int64)
    room = np.array([spec.memory_bytes for spec in machine.nodes], np.int64)
    ticks = costs.durations(placement)
    for group in groups:
        at = slice(int(graph.first[group]), int(graph.first[group + 1]))
        np.add.at(load, placement[at], ticks[at])
        np.subtract.at(room, placement[at], costs.bytes[group])
    return load, room


def _refined(costs: Costs, placement: Placement, top: int, nets: Nets | None = None) -> Placement:
    """Move single actors: off nodes that are busier than ``top`` where possible, and then wherever traffic falls.

    Fiduccia and Mattheyses' gains (1982), first improvement, no node ever getting busier than ``top``.
    """
    graph, machine = costs.graph, costs.machine
    actors = [a for g in costs.free for a in range(int(graph.first[g]), int(graph.first[g + 1]))]
    if len(actors) > MAX_MOVED or len(machine.compute_nodes) == 1:
        return placement
    nets = nets if nets is not None else Nets(costs)
    count = np.zeros((len(nets.weight), len(machine.nodes)), np.int32)
    owner = np.repeat(np.arange(len(nets.weight)), np.diff(nets.ptr))
    np.add.at(count, (owner, placement[nets.pins]), 1)
    order = np.argsort(nets.pins, kind="stable")
    ends = np.searchsorted(nets.pins[order], np.arange(graph.actor_count + 1))
    load, room = _loads(costs, placement, range(len(graph.groups)))
    nodes = np.array(machine.compute_nodes, np.int64)
    prices = [costs.durations(np.full(graph.actor_count, v, np.int32)) for v in _one_of_each_kind(costs)]
    price = np.array(prices)[costs.kind[nodes]] if costs.kinds > 1 else np.array(prices)
    at = {int(v): i if costs.kinds > 1 else 0 for i, v in enumerate(nodes)}
    need = np.concatenate(costs.bytes)
    for _ in range(_PASSES):
        moved = False
        for a in actors:
            u = int(placement[a])
            over = load[u] > top
            mine = owner[order[ends[a] : ends[a + 1]]]
            weight = nets.weight[mine]
            saved = int(weight[count[mine, u] == 1].sum())
            if saved == 0 and not over:
                continue
            ticks = price[:, a]
            gain = saved - (weight[:, None] * (count[mine][:, nodes] == 0)).sum(axis=0)
            allowed = (load[nodes] + ticks <= top) & (room[nodes] >= need[a]) & (nodes != u)
            if not allowed.any():
                continue
            best = int(np.argmax(np.where(allowed, gain, np.iinfo(np.int64).min)))
            if gain[best] <= 0 and not over:
                continue
            v = int(nodes[best])
            load[u] -= ticks[at[u]]
            load[v] += ticks[at[v]]
            room[u] += need[a]
            room[v] -= need[a]
            count[mine, u] -= 1
            count[mine, v] += 1
            placement[a] = v
            moved = True
        if not moved:
            break
    return placement
