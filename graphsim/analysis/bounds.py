"""Proved lower bounds on the period of a graph on a machine, whatever the placement, the routes and the order.

Let P be the period. Every node fires for at most P ticks of it, every link has at most P / stride cycles, in each of
which it carries frames_per_tick frames; sources are on the host, sinks on it or on a host of their own. From this
follow:

*work*
    Weigh every kind of node by some w > 0. An actor uses at least min over kinds of w * ticks, all nodes together have
    P times the sum of their weights. With nodes of one kind: total ticks / nodes. (This is the dual of the linear
    program that spreads fractions of actors; every choice of weights is a proof.)
*largest firing*
    An actor fires on one node: P is at least its ticks on the fastest node for it.
*pigeonhole*
    Of the k * m + 1 largest firings, k + 1 are on one of the m nodes: P is at least the sum of the k + 1 smallest of
    them. (The list-scheduling bound; Dell'Amico and Martello 1995 call its first cases L2.)
*tiles*
    Where neurons are scheduled in tiles, largest firing and pigeonhole hold for tiles, too: each is on one node.
*host*
    The sinks' firings.
*input links*
    A node other than the host that fires an actor which reads d bits of the sample gets them over its incoming links,
    and they leave the host: d <= P * bits per tick of those links. Nodes whose links are too narrow for that, at a
    given P, fire none of these actors; the other nodes, and the host, must have room for all of them: work and
    pigeonhole again, with fewer nodes.
*layer links*
    A node that fires an actor which reads n outputs of one layer makes at most P / t of them itself, t being the fewest
    ticks that one takes; the others come over its incoming links. Again nodes with narrow links drop out.

*recurrence*
    See :mod:`graphsim.analysis.recurrence`, :mod:`graphsim.analysis.barrier` for layers whose steps wait for all of the
    step before, and :mod:`graphsim.analysis.loops` for what transport adds to circles; of
    loops that are small a solver says at which periods they have room at all (:mod:`graphsim.analysis.seats`).

The two about links get weaker as P grows, so the least P that they allow is found by bisection. And P is a multiple of
the strides of all that is used, of the host's at least.

Where computing and communicating alternate, nodes fire in one half of a period's ticks and links send in the other, and
firings that follow each other around a circle have half of its ticks: all of these bounds are doubled, but for what
transport adds to recurrence, which holds as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from graphsim.analysis.barrier import Barrier, slowest_barrier
from graphsim.analysis.costs import Costs
from graphsim.analysis.cycles import Cycle
from graphsim.analysis.fields import Fields
from graphsim.analysis.loops import Crowd, crowd, seated, tour_bound
from graphsim.analysis.recurrence import slowest_recurrence, slowest_state
from graphsim.graph import Channel, Dense, Graph, OneToOne, Window
from graphsim.graph.ops import SINKS
from graphsim.graph.words import in_ticks
from graphsim.passes import unroll

IntArray = npt.NDArray[np.int64]

#: Different amounts of input that are tried as what an actor reads "at least".
_THRESHOLDS = 8
#: Actors of a circle that are named.
_NAMED = 8
#: Weights of kinds of nodes are multiples of one part in this many.
_WEIGHT_UNIT = 1 << 20


@dataclass(frozen=True)
class Bound:
    """A proved lower bound on the period, and what proves it.

    Attributes:
        ticks: no schedule on this machine has a shorter period.
        kind: "compute" (firings on nodes), "link" (frames on links), "recurrence" (firings that wait for each other).
        resource: what binds, in words: ``node n3``, ``links into node n5``, ``all nodes``.
        reason: one sentence with the numbers.
    """

    ticks: int
    kind: Literal["compute", "link", "recurrence"]
    resource: str
    reason: str


def lower_bound(
    costs: Costs, *, alternating: bool = False, besides: Sequence[Bound] = (), enough: int | None = None
) -> Bound:
    """The greatest of all bounds, for any placement with sources and sinks on the host; the first of equals.

    All firings of an actor are on one node.

    Args:
        alternating: nodes fire in one half of a period's ticks and links send in the other (double buffering).
        besides: what else is proved of the ticks of nodes or of links, as :func:`tile_bounds` are.
        enough: a bound of so many ticks is as good as any that is higher.
    """
    graph = costs.graph
    cheapest, many = _firings(costs, range(len(graph.groups)))
    bounds = [_work(costs), _largest(costs), _pigeonhole(costs, cheapest, many), _host(costs)]
    bounds += [*_input_links(costs), *_layer_links(costs), *besides]
    if (recurrence := recurrence_bound(costs, transport=not alternating)) is not None:
        bounds.append(recurrence)
    best = max(bounds, key=lambda bound: bound.ticks)
    if alternating:
        best = doubled(rounded(best, costs.machine.node_stride(costs.machine.host), "a cycle of the host"))
    if recurrence is not None and unroll(graph).graph is graph and (found := crowd(costs, best.ticks)) is not None:
        best = _crowd_bound(graph, found)
    if recurrence is not None and unroll(graph).graph is graph:
        best = _seats_bound(costs, best, enough)
    return rounded(best, costs.machine.node_stride(costs.machine.host), "a cycle of the host")


def rounded(bound: Bound, grain: int, what: str) -> Bound:
    """The bound, where a period is a multiple of ``grain`` ticks; ``what`` takes so many."""
    ticks = -(-bound.ticks // grain) * grain
    if ticks == bound.ticks:
        return bound
    return replace(bound, ticks=ticks, reason=f"{bound.reason}; a period is a multiple of {in_ticks(grain)}, {what}")


def doubled(bound: Bound) -> Bound:
    """What a bound on the ticks of nodes or of links proves where computing and communicating alternate."""
    return replace(bound, ticks=2 * bound.ticks, reason=f"{bound.reason}; computing and communicating alternate")


def recurrence_bound(costs: Costs, *, transport: bool = True) -> Bound | None:
    """What the firings of actors that wait for each other prove; None without any.

    ``transport``: with the time that the slowest circle takes to visit nodes, and steps to wait for each other.
    """
    bounds = []
    if (found := slowest_recurrence(costs)) is not None:
        ticks, name, firings = found
        reason = f"{name} fires {firings:,} times per sample, each time after what the firing before it set off"
        bounds.append(Bound(ticks, "recurrence", f"actor {name}", reason))
    if (cycle := slowest_state(costs)) is not None:
        bounds.append(circle_bound(unroll(costs.graph).graph, list(cycle.nodes), cycle))
        if transport:
            bounds.append(_tour_bound(costs, cycle, bounds[-1]))
    if (barrier := slowest_barrier(costs, transport=transport)) is not None:
        bounds.append(_barrier_bound(barrier))
    return max(bounds, key=lambda bound: bound.ticks, default=None)


def _tour_bound(costs: Costs, cycle: Cycle, plain: Bound) -> Bound:
    """What the slowest circle proves, as it must visit the nodes that share its work; or what it proved before."""
    bits = min(c.token_bits for c in costs.graph.channels)
    ticks, visited = tour_bound(cycle.ticks, cycle.tokens, costs.machine, bits)
    if ticks <= plain.ticks:
        return plain
    nodes = "1 node" if visited == 1 else f"{visited:,} nodes"
    reason = f"{plain.reason}; in a period of {ticks - 1:,} it has time to visit {nodes}, too few for so many ticks"
    return Bound(ticks, "recurrence", plain.resource, reason)


def _barrier_bound(found: Barrier) -> Bound:
    """What steps prove that wait for all of the step before."""
    where, several = _listed(found.layers), "1 node" if found.nodes == 1 else f"{found.nodes:,} nodes"
    steps = f"each of {found.steps:,} steps of {where}, {found.firings:,} firings, waits for all of the step before"
    takes = f"on {several} one takes {in_ticks(found.step)}"
    if found.two > 2 * found.step:
        takes += f", and two, with the way to the farthest of them and back, {in_ticks(found.two)}"
    return Bound(found.ticks, "recurrence", f"the steps of {where}", f"{steps}; {takes}")


def _crowd_bound(graph: Graph, found: Crowd) -> Bound:
    """What actors of a loop prove that are too many for the nodes near to each other."""
    where = _listed([graph.actor(a).name for a in found.actors])
    many = f"{len(found.actors):,} firings of one loop, of {in_ticks(found.ticks)} in all,"
    shorter = f"in a period of {found.period - 1:,}"
    if found.around is None:
        reason = (
            f"{many} must be on one node {shorter}, as circles through them leave less than the {in_ticks(found.span)}"
            f" to another node and back: {where}"
        )
    else:
        near = graph.actor(found.around).name
        reason = (
            f"{many} are within {in_ticks(found.span)} around {near} {shorter}; nodes that can be reached and left in"
            f" these have {in_ticks(found.room)} for them: {where}"
        )
    return Bound(found.period, "recurrence", where, reason)


def _seats_bound(costs: Costs, best: Bound, enough: int | None) -> Bound:
    """What a solver proves of all loops together, beyond a bound that is known; or that bound."""
    ticks, actors = seated(costs, best.ticks, enough)
    if ticks == best.ticks:
        return best
    where = _listed([costs.graph.actor(a).name for a in actors])
    reason = (
        f"{len(actors):,} firings of loops cannot all have a node and a tick in a period of {ticks - 1:,} so that "
        f"every token comes in time (decided by SAT): {where}"
    )
    return Bound(ticks, "recurrence", where, reason)


def _listed(names: Sequence[str]) -> str:
    """Names, or the first of them and how many more there are."""
    return ", ".join(names if len(names) <= _NAMED else [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1:,} more"])


def circle_bound(graph: Graph, actors: Sequence[int], cycle: Cycle, besides: str = "") -> Bound:
    """What a circle of actors that wait for each other proves; ``besides``: what else takes ticks on it."""
    names = [graph.actor(a).name for a in actors]
    where = _listed(names)
    few = "firing" if len(names) == 1 else "firings"
    held = "1 iteration" if cycle.tokens == 1 else f"{cycle.tokens:,} iterations"
    take = "takes" if len(names) == 1 and not besides else "take"
    reason = f"{len(names):,} {few} around a circle{besides} {take} {in_ticks(cycle.ticks)} in {held}: {where}"
    return Bound(-(-cycle.ticks // cycle.tokens), "recurrence", where, reason)


def fewest_ticks(costs: Costs, nodes: int) -> int:
    """A lower bound for placements on any ``nodes`` compute nodes: work and pigeonhole, each firing at its cheapest."""
    ticks, many = _firings(costs, range(len(costs.graph.groups)))
    level, _ = _crowded(ticks, many, nodes)
    return max(1, level, -(-int((ticks * many).sum()) // nodes), int(ticks[0]))


def _firings(costs: Costs, groups: range | list[int]) -> tuple[IntArray, IntArray]:
    """Ticks of firings on the node that is fastest for them, in falling order without repeats, and how many of each."""
    found: dict[int, int] = {}
    for group in groups:
        prices, many = costs.cases(group)
        for ticks, count in zip(prices.min(axis=0).tolist(), many.tolist(), strict=True):
            found[ticks] = found.get(ticks, 0) + count
    ticks = np.array(sorted(found, reverse=True), np.int64)
    return ticks, np.array([found[t] for t in ticks.tolist()], np.int64)


def tile_bounds(costs: Costs, leader: IntArray) -> list[Bound]:
    """What is proved by actors being on one node together: the largest tile, and pigeonhole over tiles.

    Args:
        costs: of a graph in which everything fires once.
        leader: the first actor of each actor's tile, itself where it is in none; int64 (actors,).
    """
    leaders, tile = np.unique(leader, return_inverse=True)
    prices = np.zeros((costs.kinds, len(leaders)), np.int64)
    for kind in range(costs.kinds):
        v = int(np.argmax(costs.kind == kind))
        np.add.at(prices[kind], tile, costs.durations(np.full(len(leader), v, np.int32)))
    ticks, many = np.unique(prices.min(axis=0), return_counts=True)
    at = int(leaders[prices.min(axis=0).argmax()])
    size = int(np.count_nonzero(leader == at))
    tiles = f"{size:,} firings from {costs.graph.actor(at).name} on"
    longest = int(ticks[-1])
    largest = Bound(longest, "compute", f"a tile of {tiles}", f"{tiles} are one tile, of {in_ticks(longest)}")
    return [largest, _pigeonhole(costs, ticks[::-1], many[::-1], "tiles")]


def _work(costs: Costs) -> Bound:
    graph, machine = costs.graph, costs.machine
    nodes = np.bincount(costs.kind[list(machine.compute_nodes)], minlength=costs.kinds)
    host = int(costs.kind[machine.sink_host])  # of the sinks
    fixed, prices, many = 0, [np.empty((costs.kinds, 0), np.int64)], [np.empty(0, np.int64)]
    for group in range(len(graph.groups)):
        price, count = costs.cases(group)
        if graph.groups[group].op in SINKS:
            fixed += int((price[host] * count).sum())
        else:
            prices.append(price)
            many.append(count)
    price, count = np.concatenate(prices, axis=1), np.concatenate(many)

    columns: list[list[int]] = price.T.tolist()

    def proved(weights: list[int]) -> int:
        """Exact, in Python's integers: weights times ticks may pass 64 bits."""
        least = fixed * weights[host]
        for column, n in zip(columns, count.tolist(), strict=True):
            least += min(w * t for w, t in zip(weights, column, strict=True)) * int(n)
        return -(-least // sum(w * int(n) for w, n in zip(weights, nodes.tolist(), strict=True)))

    speed = np.asarray(1.0 / np.maximum((price * count).sum(axis=1), 1), np.float64)
    best = 0
    for _ in range(1 if costs.kinds == 1 else 24):
        weight = np.maximum(np.rint(speed / speed.max() * _WEIGHT_UNIT), 1).astype(np.int64)
        best = max(best, proved(weight.tolist()))
        # Where the relaxed placement that these weights stand for overloads a kind of node, make that kind dearer.
        chosen = (weight[:, None] * price).argmin(axis=0)
        used = np.bincount(chosen, weights=(price[chosen, np.arange(len(count))] * count), minlength=costs.kinds)
        used[host] += fixed
        load = used / nodes
        speed = speed * (0.5 + load / max(load.max(), 1e-9))
    total = int((price[host] * count).sum()) + fixed
    several = "1 node" if len(machine.compute_nodes) == 1 else f"{len(machine.compute_nodes):,} nodes"
    reason = (
        f"{in_ticks(total)} of firings on {several}"
        if costs.kinds == 1
        else f"all firings, each where it is cheapest for what it takes from {several} of {costs.kinds} kinds"
    )
    return Bound(max(1, best), "compute", "all nodes", reason)


def _largest(costs: Costs) -> Bound:
    graph, best = costs.graph, Bound(1, "compute", "all nodes", "a period has at least one tick")
    for group in range(len(graph.groups)):
        prices, _ = costs.cases(group)
        pinned = graph.groups[group].op in SINKS
        ticks = int((prices[costs.kind[costs.machine.sink_host]] if pinned else prices.min(axis=0)).max())
        if ticks > best.ticks:
            name = graph.groups[group].name
            best = Bound(ticks, "compute", f"a firing of {name}", f"one firing of {name} takes {in_ticks(ticks)}")
    return best


def _pigeonhole(costs: Costs, ticks: IntArray, many: IntArray, what: str = "firings") -> Bound:
    nodes = len(costs.machine.compute_nodes)
    level, k = _crowded(ticks, many, nodes)
    reason = (
        f"of the {k * nodes + 1:,} largest {what} some {k + 1:,} must share one of {nodes:,} nodes; "
        f"the {k + 1:,} smallest of them take {in_ticks(level)}"
    )
    return Bound(level, "compute", "all nodes", reason)


def _crowded(ticks: IntArray, many: IntArray, nodes: int) -> tuple[int, int]:
    """The pigeonhole bound for ``nodes`` nodes and firings in falling order, ``many`` of each; and the k of it."""
    ends = np.cumsum(many)
    sums = np.concatenate([[0], np.cumsum(ticks * many)])
    begins = ends - many

    def total(first: IntArray) -> IntArray:
        """Ticks of the ``first`` largest firings."""
        at = np.minimum(np.searchsorted(ends, first, side="left"), len(ends) - 1)
        result: IntArray = sums[at] + (first - begins[at]) * ticks[at]
        return result

    count = int(ends[-1]) if len(ends) else 0
    if count < nodes + 1:
        return 1, 0
    # Between two changes of price the bound rises with k, so its greatest value is just before a change, or at the end.
    last = (count - 1) // nodes
    near = np.concatenate([(ends - 1) // nodes, ends // nodes, ends // max(1, nodes - 1), [last]])
    k = np.unique(np.clip(np.concatenate([near, near - 1, near + 1]), 1, last))
    levels = total(k * nodes + 1) - total(k * nodes - k)
    best = int(np.argmax(levels))
    return max(1, int(levels[best])), int(k[best])


def _host(costs: Costs) -> Bound:
    graph, machine = costs.graph, costs.machine
    load = sum(int(costs.ticks(g, machine.sink_host).sum()) for g in graph.sinks)
    name = machine.nodes[machine.sink_host].name
    return Bound(max(1, load), "compute", f"node {name}", f"the sinks take {in_ticks(load)} on the host {name}")


@dataclass(frozen=True)
class _Demand:
    """Actors that only certain nodes can fire at a given period.

    Attributes:
        ticks, many: of their firings, as :func:`_firings` returns them.
        fixed: ticks of the sinks, to be counted if their host is among the nodes that may fire these actors.
        bits: bits that a node gets over its incoming links if it fires one of them, from the period.
        host: whether the host gets these bits too.
        only_host: whether only the host of the sinks may fire them.
        what: for the reason.
    """

    ticks: IntArray
    many: IntArray
    fixed: int
    bits: Callable[[int], int]
    host: bool
    only_host: bool
    what: str


def _input_links(costs: Costs) -> list[Bound]:
    """Of actors that read the sample directly, for several amounts of it."""
    graph = costs.graph
    read = [_sample_bits(graph, group) for group in range(len(graph.groups))]
    amounts = np.unique(np.concatenate([r for r in read if r is not None] or [np.empty(0, np.int64)]))
    amounts = amounts[amounts > 0]
    if len(amounts) > _THRESHOLDS:
        amounts = amounts[np.linspace(0, len(amounts) - 1, _THRESHOLDS).astype(np.int64)]
    fixed = sum(int(costs.ticks(g, costs.machine.sink_host).sum()) for g in graph.sinks)
    bounds = []
    for amount in amounts.tolist():
        found: dict[int, int] = {}
        for group, bits in enumerate(read):
            if bits is None or graph.groups[group].op in SINKS:
                continue
            at = np.flatnonzero(bits >= amount)
            fastest = np.min([costs.ticks(group, v)[at] for v in _one_of_each_kind(costs)], axis=0)
            for ticks, count in zip(*(part.tolist() for part in np.unique(fastest, return_counts=True)), strict=True):
                found[ticks] = found.get(ticks, 0) + count
        ticks = np.array(sorted(found, reverse=True), np.int64)
        many = np.array([found[t] for t in ticks.tolist()], np.int64)
        what = f"{int(many.sum()):,} actors read at least {amount:,} bits of the sample each"
        bounds.append(_solve(costs, _Demand(ticks, many, fixed, lambda _, d=amount: d, False, False, what)))  # type: ignore[misc]
    return bounds


def _sample_bits(graph: Graph, group: int) -> IntArray | None:
    """Bits of the sample that each actor of a group reads directly, int64 (size,); None if none does.

    Through one bundle, so that no element is counted twice; of several bundles the one that brings most.
    """
    most = None
    for c in graph.channels_into(group):
        if graph.groups[c.src].op != "input":
            continue
        feed = graph.channels_into(c.src)[0]
        bits = min(feed.token_bits, *(out.token_bits for out in graph.channels_from(c.src)))
        read = _distinct(graph, c)
        most = read * bits if most is None else np.maximum(most, read * bits)
    return most


def _distinct(graph: Graph, c: Channel) -> IntArray:
    """How many different producers each consumer of a bundle reads, int64 (consumers,)."""
    n_src, n_dst = graph.groups[c.src].size, graph.groups[c.dst].size
    if isinstance(c, Window):
        return Fields(c).distinct()
    if isinstance(c, Dense | OneToOne):
        return c.fan_in(n_src, n_dst, graph.params)
    edges = c.expand(n_src, n_dst, graph.params)
    return np.bincount(np.unique(edges.dst * n_src + edges.src) // n_src, minlength=n_dst).astype(np.int64)


def _layer_links(costs: Costs) -> list[Bound]:
    """Of actors that read much of another layer: as much as the one that reads most."""
    graph, bounds = costs.graph, []
    for c in graph.channels:
        if not isinstance(c, Dense | Window) or graph.groups[c.src].op in ("source", "input"):
            continue
        read = _distinct(graph, c)
        rows = int(read.max())
        fewest = int(costs.cases(c.src)[0].min())
        if fewest == 0 or rows < 2:
            continue
        readers = np.flatnonzero(read == rows)
        fastest = np.min([costs.ticks(c.dst, v)[readers] for v in _one_of_each_kind(costs)], axis=0)
        ticks, many = (part[::-1].astype(np.int64) for part in np.unique(fastest, return_counts=True))

        def bits(period: int, rows: int = rows, fewest: int = fewest, width: int = c.token_bits) -> int:
            return max(0, rows - period // fewest) * width

        names = graph.groups[c.src].name, graph.groups[c.dst].name
        part = "all" if rows == graph.groups[c.src].size else "some"
        what = f"a firing of {names[1]} reads {part} {rows:,} outputs of {names[0]}"
        pinned = graph.groups[c.dst].op in SINKS
        bounds.append(_solve(costs, _Demand(ticks, many, 0, bits, True, pinned, what)))
    return bounds


def _solve(costs: Costs, demand: _Demand) -> Bound:
    """The least period that a demand allows."""
    machine = costs.machine
    host = machine.host
    width = [link.frame_bits * link.frames_per_tick * link.frequency for link in machine.links]
    # Bits in as many ticks as a cycle of frequency 1 has.
    capacity = {v: sum(width[i] for i in machine.in_links(v)) for v in machine.compute_nodes}
    out = sum(width[i] for i in machine.out_links(host))
    work = int((demand.ticks * demand.many).sum())

    def able(period: int) -> list[int]:
        need = demand.bits(period) * machine.cycle
        if not demand.host and out * period < need:
            return [host]
        nodes = [machine.sink_host] if demand.only_host else machine.compute_nodes
        return [v for v in nodes if (v == host and not demand.host) or capacity[v] * period >= need]

    def allows(period: int) -> bool:
        nodes = able(period)
        fixed = demand.fixed if machine.sink_host in nodes else 0
        return bool(nodes) and fixed + work <= period * len(nodes) and _pigeon(demand, len(nodes)) <= period

    low, high = 0, 1
    while not allows(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if allows(middle) else (middle, high)
    before = able(high - 1)
    share = f"{len(before):,} of {len(machine.compute_nodes):,} nodes"
    same = len(before) == len(able(high))
    few = f"only {share} have links wide enough" if same else f"in less time only {share} can get them"
    where = (
        "links out of the host"
        if not demand.host and out * (high - 1) < demand.bits(high - 1) * machine.cycle
        else "links into nodes"
    )
    return Bound(high, "link", where, f"{demand.what}; {few}")


def _pigeon(demand: _Demand, nodes: int) -> int:
    level, _ = _crowded(demand.ticks, demand.many, nodes)
    return max(level, int(demand.ticks[0]) if len(demand.ticks) else 1)


def _one_of_each_kind(costs: Costs) -> list[int]:
    seen: dict[int, int] = {}
    for v in costs.machine.compute_nodes:
        seen.setdefault(int(costs.kind[v]), v)
    return list(seen.values())


def fewest_latency(costs: Costs) -> int:
    """A lower bound on the latency, for any placement: the longest way of a sample, each firing at its cheapest.

    Over groups: where every actor of a group has an edge over a bundle without initial tokens, none of them ends before
    the first of the bundle's producers has, and its own firing. Ways over links are not counted.
    """
    graph = unroll(costs.graph).graph
    if graph is not costs.graph:
        costs = Costs(graph, costs.machine)
    ended: dict[int, int] = {}
    latency = 1
    for number, group in enumerate(graph.groups):
        pinned = number in costs.pinned
        ticks = costs.ticks(number, costs.host_of(number)) if pinned else costs.cheapest(number)
        before = [
            ended[c.src]
            for c in graph.channels_into(number)
            if c.initial_tokens == 0
            and c.src in ended
            and c.fan_in_range(graph.groups[c.src].size, group.size, graph.params)[0] > 0
        ]
        if group.op == "source":
            ended[number] = int(ticks.min())
        elif before:
            ended[number] = max(before) + int(ticks.min())
        if group.op in SINKS and before:
            latency = max(latency, max(before) + int(ticks.max()))
    return latency
