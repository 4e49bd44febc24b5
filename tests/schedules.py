"""A scheduler for tests: simple, slow, and independent of graphsim's own.

It takes any placement, gives every firing and every hop the first free ticks modulo the period, and makes the period
longer until everything fits; a period of one whole iteration always does. Nothing is optimal here.
"""

from __future__ import annotations

import itertools
import math
from collections import deque

import numpy as np

from graphsim.graph import Actor, Graph, Window
from graphsim.machine import Machine
from graphsim.schedule.schedule import Bound, Schedule


def placement(graph: Graph, machine: Machine, seed: int = 0) -> list[int]:
    """A random node for every actor; sources and sinks on the host."""
    rng = np.random.default_rng(seed)
    at_host = (*graph.sources, *graph.sinks)
    return [
        machine.host if actor.group_number in at_host else int(rng.choice(machine.compute_nodes)) for actor in graph
    ]


class _Table:
    """Which cycles of the period are taken, on one node or link; counts frames. A cycle has ``stride`` ticks."""

    def __init__(self, period: int, capacity: int, stride: int) -> None:
        self.used, self.capacity, self.stride = [0] * (period // stride), capacity, stride

    def fits(self, start: int, loads: list[int], *, take: bool = False) -> bool:
        """Whether these loads fit, cycle by cycle, from tick ``start`` on; ``take``: they do, and are put there."""
        total: dict[int, int] = {}
        for i, load in enumerate(loads):
            at = (start // self.stride + i) % len(self.used)
            total[at] = total.get(at, 0) + load
        if take:
            for at, load in total.items():
                self.used[at] += load
        return take or all(self.used[at] + load <= self.capacity for at, load in total.items())


def reserve(tables: list[tuple[_Table, int]], ready: int, loads: list[int]) -> int | None:
    """The first tick from ``ready`` on from which loads fit into all tables, so many ticks later; None if never."""
    stride, period = tables[0][0].stride, len(tables[0][0].used)
    first = -(-ready // stride)
    for start in range(first * stride, (first + period) * stride, stride):
        if all(table.fits(start + late, loads) for table, late in tables):
            for table, late in tables:
                table.fits(start + late, loads, take=True)
            return start
    return None


def simple_schedule(
    graph: Graph, machine: Machine, *, seed: int = 0, pack: int = 1, period: int | None = None, gap: int = 0
) -> Schedule:
    """A valid schedule.

    Args:
        seed: of the placement.
        pack: how many tokens of one group and node, with the same destinations, travel in one parcel.
        period: the first period that is tried; the least that nodes and links allow by default.
        gap: bytes left free between slots.
    """
    node = placement(graph, machine, seed)
    actors = list(graph)
    inputs = [a.id for a in actors if a.group.op == "input"]
    token_of_input = {a: graph.actor_count + i for i, a in enumerate(inputs)}
    maker = {a.id: a.id for a in actors if a.group.op != "source"}
    reads: dict[int, list[int]] = {}
    for actor in actors:
        if actor.id in token_of_input:
            reads[actor.id] = [token_of_input[actor.id]]
            maker[token_of_input[actor.id]] = actor.inputs[0].producer
        else:
            reads[actor.id] = sorted({e.producer for e in actor.inputs})
    bits = {
        token: max((c.token_bits for c in graph.channels_from(graph.actor(made).group_number)), default=0)
        for token, made in maker.items()
    }
    ticks = [machine.nodes[node[a.id]].cycles(a.work) * strides(machine)[0][node[a.id]] for a in actors]

    wanted: dict[int, set[int]] = {}
    for reader, tokens in reads.items():
        for token in tokens:
            wanted.setdefault(token, set()).add(node[reader])
    alike: dict[tuple[int, int, tuple[int, ...]], list[int]] = {}
    for token in sorted(wanted):
        home = node[maker[token]]
        away = tuple(sorted(wanted[token] - {home}))
        if away:
            alike.setdefault((graph.actor(maker[token]).group_number, home, away), []).append(token)
    parcels = [
        (home, away, tokens[i : i + pack])
        for (_, home, away), tokens in sorted(alike.items())
        for i in range(0, len(tokens), pack)
    ]

    first = period
    if first is None:
        busy = np.zeros(len(machine.nodes), np.int64)
        np.add.at(busy, node, ticks)
        first = max(1, int(busy.max()))
    grain = math.lcm(*(stride for part in strides(machine) for stride in part))
    attempt = first
    while True:
        attempt = -(-attempt // grain) * grain
        found = _try(graph, machine, node, ticks, reads, maker, bits, parcels, attempt, gap)
        if found is not None:
            return found
        attempt += max(1, attempt // 4)


def strides(machine: Machine) -> tuple[list[int], list[int]]:
    """Ticks of a cycle of every node and of every link."""
    multiple = math.lcm(*(part.frequency for part in (*machine.nodes, *machine.links)))
    return [multiple // n.frequency for n in machine.nodes], [multiple // k.frequency for k in machine.links]


def _tree(machine: Machine, home: int, away: tuple[int, ...]) -> list[int]:
    """Links of a tree of shortest paths from one node to others, nearest first."""
    came: dict[int, int] = {}
    waiting = deque([home])
    while waiting:
        at = waiting.popleft()
        for link in machine.out_links(at):
            to = machine.links[link].dst
            if to != home and to not in came:
                came[to] = link
                waiting.append(to)
    keep: set[int] = set()
    for target in away:
        while target != home:
            keep.add(came[target])
            target = machine.links[came[target]].src
    return [link for link in came.values() if link in keep]


def lists_read(actor: Actor) -> set[tuple[str, tuple[int, ...]]]:
    """What an actor reads of which param: flat elements in order, of a window as if it missed no edge."""
    graph, group = actor.graph, actor.group
    found = set()
    for role, ref in group.params.items():
        elements = np.arange(graph.params[ref.name].size).reshape(graph.params[ref.name].shape)
        columns = elements if role == "table" else elements[None]
        if role != "magnitude":
            found.add((ref.name, tuple(columns[:, actor.local // ref.inner % columns.shape[1]].tolist())))
    for c in graph.channels_into(actor.group_number):
        if isinstance(c, Window) and c.weight is not None:
            at = np.unravel_index(actor.local, c.consumer_shape)
            first = c.weight_offset + sum(int(o) * axis.weight_consumer for axis, o in zip(c.axes, at, strict=True))
            taps = itertools.product(*(range(axis.taps) for axis in c.axes))
            strides = [axis.weight_tap for axis in c.axes]
            found.add(
                (c.weight.name, tuple(first + sum(t * w for t, w in zip(tap, strides, strict=True)) for tap in taps))
            )
        elif c.weight is not None:
            read = c.inputs(actor.local, graph.groups[c.src].size, group.size, graph.params).weight
            assert read is not None
            found.add((c.weight.name, tuple(read.tolist())))
    return found


def _try(
    graph: Graph,
    machine: Machine,
    node: list[int],
    ticks: list[int],
    reads: dict[int, list[int]],
    maker: dict[int, int],
    bits: dict[int, int],
    parcels: list[tuple[int, tuple[int, ...], list[int]]],
    period: int,
    gap: int,
) -> Schedule | None:
    node_strides, link_strides = strides(machine)
    nodes = [_Table(period, 1, stride) for stride in node_strides]
    links = [
        _Table(period, link.frames_per_tick, stride) for link, stride in zip(machine.links, link_strides, strict=True)
    ]
    parcel_of = {token: p for p, (_, _, tokens) in enumerate(parcels) for token in tokens}
    starts: list[int] = []
    hops: list[tuple[int, int, int, int]] = []  # parcel, start, link, ticks
    arrived: dict[tuple[int, int], int] = {}  # (parcel, node)
    claim: dict[tuple[int, int], int] = {}  # (node, token)
    release: dict[tuple[int, int], int] = {}

    def travel(parcel: int) -> bool:
        home, away, tokens = parcels[parcel]
        arrived[parcel, home] = max(starts[maker[t]] + ticks[maker[t]] for t in tokens)
        tree = _tree(machine, home, away)
        for root in tree:
            if machine.nodes[machine.links[root].src].kind == "switch":
                continue
            passing = [(root, 0)]  # with all that follows through switches, so many ticks later
            for link, late in passing:
                spec, through = machine.links[link], machine.nodes[machine.links[link].dst]
                if through.kind == "switch":
                    behind = late + (2 + spec.latency + through.crossbar_latency) * link_strides[link]
                    passing += [(other, behind) for other in tree if machine.links[other].src == spec.dst]
            frames = -(-sum(bits[t] for t in tokens) // machine.links[root].frame_bits)
            full, rest = divmod(frames, pace := min(machine.links[link].frames_per_tick for link, _ in passing))
            loads = [pace] * full + ([rest] if rest else [])
            source = machine.links[root].src
            start = reserve([(links[link], late) for link, late in passing], arrived[parcel, source], loads)
            if start is None:
                return False
            for t in tokens:
                release[source, t] = max(release[source, t], start + len(loads) * link_strides[root])
            for link, late in passing:
                spec, begin = machine.links[link], start + late
                hops.append((parcel, begin, link, len(loads)))
                if machine.nodes[spec.dst].kind == "switch":
                    continue
                arrived[parcel, spec.dst] = begin + (len(loads) + spec.latency) * link_strides[link]
                for t in tokens:
                    claim[spec.dst, t] = begin + (1 + spec.latency) * link_strides[link]
                    release[spec.dst, t] = arrived[parcel, spec.dst]
        return True

    for a, duration in enumerate(ticks):
        here, ready = node[a], 0
        for token in reads[a]:
            if node[maker[token]] == here:
                ready = max(ready, starts[maker[token]] + ticks[maker[token]])
                continue
            parcel = parcel_of[token]
            if (parcel, here) not in arrived and not travel(parcel):
                return None
            ready = max(ready, arrived[parcel, here])
        cycles = duration // node_strides[here]
        start = reserve([(nodes[here], 0)], ready, [1] * cycles) if duration <= period else None
        if start is None:
            return None
        starts.append(start)
        for token in reads[a]:
            release[here, token] = max(release[here, token], start + duration)
        for token, made in maker.items():
            if made == a and bits[token]:
                claim[here, token] = release[here, token] = start + duration

    hops.sort()
    kept: list[set[tuple[str, tuple[int, ...]]]] = [set() for _ in machine.nodes]
    for actor in graph:
        kept[node[actor.id]] |= lists_read(actor)
    top = [4 * sum(len(elements) for _, elements in lists) for lists in kept]
    slots = []
    for v, token in sorted(claim):
        depth = max(1, -(-(release[v, token] - claim[v, token]) // period))
        slots.append((v, token, top[v], depth))
        top[v] += depth * -(-bits[token] // 8) + gap
    bound = Bound(1, "compute", "nothing", "a test schedule proves nothing")
    return Schedule(
        graph_digest=graph.digest,
        machine=machine,
        strategy="test",
        period=period,
        node=np.array(node, np.int32),
        start=np.array(starts, np.int64),
        parcel_node=np.array([home for home, _, _ in parcels], np.int32),
        parcel_ptr=np.cumsum([0, *(len(tokens) for _, _, tokens in parcels)], dtype=np.int64),
        parcel_token=np.array([t for _, _, tokens in parcels for t in tokens], np.int32),
        hop_parcel=np.array([h[0] for h in hops], np.int32),
        hop_link=np.array([h[2] for h in hops], np.int32),
        hop_start=np.array([h[1] for h in hops], np.int64),
        slot_node=np.array([s[0] for s in slots], np.int32),
        slot_token=np.array([s[1] for s in slots], np.int32),
        slot_address=np.array([s[2] for s in slots], np.int64),
        slot_depth=np.array([s[3] for s in slots], np.int32),
        bound=bound,
        placement_bound=bound,
    )
