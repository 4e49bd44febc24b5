"""Folding: place, route, find the period, find the times, allot the memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphsim.analysis.bounds import Bound, circle_bound, fewest_ticks, lower_bound, recurrence_bound
from graphsim.analysis.costs import Costs
from graphsim.analysis.tokens import Readers, readers, tokens_before
from graphsim.analysis.waves import waves
from graphsim.errors import GraphsimError, InfeasibleError, PlacementError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.passes import Unrolled, unroll
from graphsim.schedule.modulo import Modulo
from graphsim.schedule.partition import greedy, hypergraph
from graphsim.schedule.place import (
    LIGHT_LAYERS,
    Placement,
    check_placement,
    contiguous,
    nodes_by_distance,
    one_to_one,
    read_placement,
)
from graphsim.schedule.placed import Placed, Times
from graphsim.schedule.route import STYLES, Packed, Routes, route
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.slots import Slots, allot, check_memory
from graphsim.schedule.soonest import Soonest
from graphsim.schedule.timing import EFFORT, Timing

IntArray = npt.NDArray[np.int64]

#: Placement strategies by name, with what ``--help`` says of them.
STRATEGIES = {
    "contiguous": "every layer in contiguous ranges, balanced by work (default)",
    "one-to-one": "every actor on a node of its own",
    "hypergraph": "least traffic, by multilevel hypergraph partitioning; needs graphsim[partition]",
    "greedy": "the dearest actors first, then single moves that save traffic",
    "soonest": "circuits only: every gate where it can fire soonest (default for them)",
}


def fold(
    graph: Graph,
    machine: Machine,
    *,
    strategy: str | None = None,
    placement: Path | str | Placement | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Schedule:
    """Fold a graph onto a machine: the smallest period first, then latency, then memory.

    Args:
        strategy: one of ``STRATEGIES``; None: ``soonest`` for circuits, else ``contiguous``.
        placement: a placement file, or the node of every actor, int32 (actors,); used instead of a strategy.
        seed: of strategies that use chance.
        progress: called now and then with the number of candidates tried so far.

    Raises:
        GraphError: rates other than one elsewhere than at ``serial`` and ``take``; or bundles from one group hold
            initial tokens of different values.
        PlacementError: the strategy does not fit graph and machine, or the placement file is wrong.
        InfeasibleError: no schedule exists; names the node or link, the resource and the shortfall.
    """
    unrolled = unroll(graph)
    tokens_before(unrolled.graph)  # refuses those that no memory can hold
    costs = Costs(graph, machine)
    tried = _Tried(_Work(costs, unrolled), progress)
    bound = lower_bound(costs)
    soonest = Soonest(costs, tried.work.wave)
    if strategy is None:
        strategy = "soonest" if tried.work.modular and soonest.able else "contiguous"
    if placement is not None:
        strategy = "file"
        given = placement if isinstance(placement, np.ndarray) else read_placement(placement, graph, machine)
        check_placement(graph, machine, given)
        tried.add(given)
    elif strategy == "one-to-one":
        tried.add(one_to_one(costs))
    elif strategy == "hypergraph":
        tried.add(hypergraph(costs, seed))
    elif strategy == "greedy":
        tried.add(greedy(costs))
    elif strategy == "contiguous":
        _search(costs, tried)
    elif strategy == "soonest":
        _search_soonest(soonest, tried, bound.ticks)
    else:
        raise PlacementError(f"there is no placement strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}")
    return tried.schedule(strategy, bound)


def _search(costs: Costs, tried: _Tried) -> None:
    """Contiguous placements on all nodes, and on the k nearest to the host wherever that might be better.

    Fewer nodes help where communication binds, or where layers happen to divide better. No placement on k nodes has a
    period below ``fewest_ticks(costs, k)``, so most numbers of nodes need not be tried.
    """
    nodes = nodes_by_distance(costs.machine)
    count = len(nodes)
    most = max(1, _PLACED // tried.work.size)
    counts = _counts(count)
    if len(LIGHT_LAYERS) * len(counts) > most:
        counts = [max(1, count >> i) for i in range(count.bit_length())]
    for k in counts:
        for light in LIGHT_LAYERS:
            if tried.period is None or (tried.count < most and fewest_ticks(costs, k) < tried.period):
                tried.attempt(lambda k=k, light=light: contiguous(costs, nodes[:k], light))  # type: ignore[misc]
    if tried.period is None or tried.count >= most:
        return
    # Of the same period, for latency: the least k that may have it, and other places for light layers.
    low, high = 1, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fewest_ticks(costs, middle) <= tried.period else (middle + 1, high)
    best = min(tried.found, key=lambda c: c.estimate)
    for k in dict.fromkeys((best.nodes, low)):
        for light in LIGHT_LAYERS:
            if tried.count < most:
                tried.attempt(lambda k=k, light=light: contiguous(costs, nodes[:k], light))  # type: ignore[misc]


def _search_soonest(soonest: Soonest, tried: _Tried, period: int) -> None:
    """Placements of gates where they can fire soonest, aiming at periods from this one on; and one in ranges.

    Raises:
        PlacementError: the graph is no circuit, or its nodes are not alike.
    """
    if not (tried.work.modular and soonest.able):
        raise PlacementError(
            f"{tried.work.costs.graph.name}: soonest places circuits, on nodes that are alike; use --place contiguous"
        )
    tried.attempt(lambda: contiguous(tried.work.costs, tried.work.costs.machine.compute_nodes))
    most = max(_FEWEST, _PLACED_GATES // tried.work.size)
    tries, aim = 0, float(period)
    growth = 1 + 1 / 8
    while tries < most and (tries == 0 or tried.period is None or int(aim) < tried.period):
        if (found := soonest.place(int(aim))) is not None:
            tried.attempt(lambda node=found: node)  # type: ignore[misc]
            tries += 1
            if tries == 1 and tried.period is not None:
                growth = max(growth, (tried.period / aim) ** (1 / most))
        aim = max(aim + 1, aim * growth)


#: Gates that are placed over all placements tried, and how many of these there are at least.
_PLACED_GATES = 100_000
_FEWEST = 4


def _counts(count: int) -> list[int]:
    """Numbers of nodes to try, ``count`` first, falling: the next ones and all small ones, and each fifth between."""
    found, k = {count}, 1
    while k <= count:
        found.add(k)
        k += max(1, k // 5)
    return sorted(found | set(range(max(1, count - _NEXT), count)) | set(range(1, min(_NEXT, count) + 1)), reverse=True)


#: Numbers of nodes up to this one, and down to this many below all nodes, are tried one by one.
_NEXT = 16
#: Actors that are placed over all placements tried. Where that is too few for all numbers of nodes, all, half, a
#: quarter and so on of the nodes are tried; and the search ends when that many are placed and a schedule is found.
_PLACED = 1_000_000


class _Work:
    """What is placed and what is timed: actors, and, where they fire several times, each firing.

    Attributes:
        costs: of the graph, whose actors are placed.
        fired: of the unrolled graph, whose actors are routed, timed and kept.
        owner: the actor of each firing, int64 (firings,).
        chains: numbers of the groups of the firings of one group after the other, for each that fires several times.
        wave: of each firing, int64 (firings,).
        recurrence: the bound of the slowest cycle, or None.
        looped: whether state goes from sample to sample.
        modular: whether it does, or gates feed gates: steps are timed one by one.
        size: how much work a placement is, in firings.
    """

    def __init__(self, costs: Costs, unrolled: Unrolled) -> None:
        graph = costs.graph
        self.costs = costs
        self.fired = costs if unrolled.graph is graph else Costs(unrolled.graph, costs.machine)
        self.owner = unrolled.owner
        self.chains = [unrolled.firings(number) for number, group in enumerate(graph.groups) if group.firings > 1]
        self.wave = waves(unrolled.graph)
        self.recurrence = recurrence_bound(costs)
        self.looped = any(c.initial_tokens for c in unrolled.graph.channels)
        self.modular = self.looped or int(self.wave[-1]) + 1 > len(unrolled.graph.groups)
        self.size = unrolled.graph.actor_count + _PER_GROUP * len(self.chains and unrolled.graph.groups)


#: What it takes to place a group of firings, in firings.
_PER_GROUP = 100


class _Tried:
    """Placements tried so far, each with its routes and the period that these allow."""

    def __init__(self, work: _Work, progress: Callable[[int], None] | None) -> None:
        self.work, self.progress = work, progress
        self.found: list[_Candidate] = []
        self.count = 0
        self.error: GraphsimError | None = None

    @property
    def period(self) -> int | None:
        """The smallest so far."""
        return min((c.estimate for c in self.found), default=None)

    def attempt(self, place: Callable[[], Placement]) -> None:
        """Add a placement, or remember why it cannot be."""
        try:
            self.add(place())
        except (PlacementError, InfeasibleError) as error:
            self.error = self.error or error

    def add(self, node: Placement) -> None:
        """Add a placement of actors.

        Raises:
            InfeasibleError: a link's calendar is too small.
        """
        self.count += 1
        if self.progress is not None:
            self.progress(self.count)
        node = node[self.work.owner]
        if any(np.array_equal(c.node, node) for c in self.found):
            return
        ticks = self.work.fired.durations(node)
        busy = np.bincount(node, weights=ticks).max()
        if self.found and self.period is not None and busy > self.period:
            return
        self.found.append(_routed(self.work, node, ticks))

    def schedule(self, strategy: str, bound: Bound) -> Schedule:
        """The best schedule: smallest period, then latency, then memory, then the fewest nodes."""
        best: tuple[tuple[int, int, int, int], Schedule] | None = None
        ranked = sorted(self.found, key=lambda c: (c.estimate, c.nodes))
        timed = max(1, min(_TIMED, _PLACED // self.work.size))
        for number, candidate in enumerate(ranked):
            if best is not None and candidate.estimate + (number >= timed) > best[0][0]:
                break
            try:
                found = candidate.timed(strategy, bound, None if best is None else best[0][0])
            except InfeasibleError as error:
                self.error = self.error or error
                continue
            if found is None:
                continue
            key, schedule = found
            if best is None or key < best[0]:
                best = key, schedule
        if best is None:
            assert self.error is not None
            raise self.error
        return replace(best[1], remark=self._remark(best[1]))

    def _remark(self, best: Schedule) -> str:
        """Why more nodes were not used, if a placement on more of them failed."""
        used, there = len(np.unique(best.node)), len(self.work.costs.machine.compute_nodes)
        if self.error is None or used == there:
            return ""
        return f"{used:,} of {there:,} nodes are used; a placement on more failed: {self.error}"[:1000]


#: Candidates of one period whose latency is found out, at most.
_TIMED = 6


@dataclass(frozen=True)
class _Candidate:
    """A placement of firings with its routes.

    Attributes:
        bound: no period with these is shorter.
        estimate: the period that they seem to allow.
    """

    work: _Work
    node: Placement
    ticks: IntArray
    read: Readers
    routes: Routes
    bound: Bound
    estimate: int

    @property
    def nodes(self) -> int:
        """How many nodes fire actors."""
        return len(np.unique(self.node))

    @property
    def timing(self) -> Timing:
        """What finds times for it, layer by layer."""
        costs = self.work.fired
        return Timing(costs.graph, costs.machine, self.node, self.read, self.routes, self.ticks, self.work.chains)

    @property
    def modulo(self) -> Modulo:
        """What finds times for it, step by step."""
        costs, work = self.work.fired, self.work
        return Modulo(costs.graph, costs.machine, self.node, self.read, self.routes, self.ticks, work.wave, work.chains)

    def timed(self, strategy: str, bound: Bound, most: int | None) -> tuple[tuple[int, int, int, int], Schedule] | None:
        """The schedule, with (period, latency, bytes, nodes) to compare it by; None if its period is above ``most``.

        Raises:
            InfeasibleError: a node's memory is too small.
        """
        placed: Placed
        candidate = self
        if self.work.modular:
            placed = modulo = self.modulo
            result = _modular(modulo, self.estimate, most)
            if result is None:
                return None
            period, times = result
        else:
            placed = timing = self.timing
            find = _recurrent if self.work.chains else _found
            period, times = find(timing, self.bound.ticks)
            if self.work.chains and self.work.size <= _CIRCLED:
                candidate = _circled(self)
                # A latency of several periods is worth it if they are shorter by more than a little.
                result = _modular(self.modulo, candidate.bound.ticks, period - 1 - period // 64)
                period, times = result or (period, times)
        slots = allot(self.work.fired, placed, times, period)
        check_memory(self.work.fired, slots)
        key = period, times.latency, int(slots.used.sum()), self.nodes
        return key, _encode(candidate, strategy, period, times, slots, bound)


def _found(timing: Timing, period: int, effort: int = EFFORT) -> tuple[int, Times]:
    """A period from this one on, and times for it."""
    times = timing.find(period, effort)
    while times is None:  # frames of several ticks may not fit between others
        period += max(1, period // 64)
        times = timing.find(period, effort)
    return period, times


def _modular(modulo: Modulo, least: int, most: int | None) -> tuple[int, Times] | None:
    """A short period from ``least`` on, and times for it; None if there are none up to ``most``.

    Steps get longer until times are found; between that period and the last one without, others are tried.
    """
    if most is not None and least > most:
        return None
    low, period, step = least - 1, least, max(1, least // 64)
    for turn in itertools.count():
        if (times := modulo.find(period)) is not None:
            break
        if most is not None and period >= most:
            return None
        low, step = period, step if turn < _SMALL_STEPS else 2 * step
        period = period + step if most is None else min(most, period + step)
    while period - low > 1 + low // 64:
        middle = (low + period) // 2
        if (other := modulo.find(middle)) is None:
            low = middle
        else:
            period, times = middle, other
    assert times is not None
    return period, times


#: Steps from period to period that are equal, before they get longer.
_SMALL_STEPS = 8


def _recurrent(timing: Timing, least: int) -> tuple[int, Times]:
    """A period from ``least`` on, short, but as long as any actor takes from its first firing to the end of its last.

    How long that is depends on the period: the more iterations overlap, the more firings wait for nodes and links. It
    is short enough in the end when they hardly do; between that and the last that was too short, others are tried.
    """
    best = timing.apart(least)
    low, period = least - 1, least
    for _ in range(_NARROWED):
        if period >= best[0]:
            break
        period, times = _found(timing, period, EFFORT // _SHARE)
        needed = timing.stretch(times.start)
        if needed <= period < best[0]:
            best = period, times
        else:
            low = max(low, period)
        if best[0] - low <= 1 + best[0] // 64:
            break
        period = needed if low < needed < best[0] else (low + best[0]) // 2
    return best


#: What part of the usual effort is made for a period that is tried, and how many are tried.
_SHARE = 4
_NARROWED = 8


def _routed(work: _Work, node: Placement, ticks: IntArray) -> _Candidate:
    """Route a placement; where links bind, in other ways too.

    Raises:
        InfeasibleError: a link's calendar is too small.
    """
    graph, machine = work.fired.graph, work.costs.machine
    read = readers(graph, node, len(machine.nodes))
    packed = Packed(graph, machine, node, read, work.wave)
    busy = int(np.bincount(node, weights=ticks).max())
    if work.looped:  # where a circle of firings binds, it is of no use to balance links
        routes = route(packed, _UNBALANCED)
        plain = _Candidate(work, node, ticks, read, routes, _placement_bound(machine, node, ticks, routes), 1)
        if (found := _circled(plain)).bound.kind == "recurrence" and _full_link(machine, routes) is None:
            return found
    candidates = []
    error: InfeasibleError | None = None
    many = len(packed.classes) * len(machine.nodes) > _MANY
    for style in STYLES[: 1 if many else None]:
        routes = route(packed, max(1, busy), style)
        bound = _placement_bound(machine, node, ticks, routes)
        try:
            _check_calendars(machine, routes)
        except InfeasibleError as full:
            error = full
            continue
        candidates.append(_Candidate(work, node, ticks, read, routes, bound, bound.ticks))
        if bound.kind == "compute":
            break
    if not candidates:
        assert error is not None
        raise error
    best = min(candidates, key=lambda c: c.bound.ticks)
    if work.modular:
        return _circled(best)
    if not work.chains:
        return best
    if work.recurrence is not None and work.recurrence.ticks > best.bound.ticks:
        best = replace(best, bound=work.recurrence)
    return replace(best, estimate=max(best.bound.ticks, best.timing.stretch_alone()))


def _circled(candidate: _Candidate) -> _Candidate:
    """A candidate whose bound counts its slowest circle of firings and parcels too."""
    candidate = replace(candidate, estimate=candidate.bound.ticks)
    if not (candidate.work.looped or candidate.work.chains):
        return candidate
    modulo = candidate.modulo
    cycle = modulo.cycle
    ticks = 0 if cycle is None else -(-cycle.ticks // cycle.tokens)
    if cycle is None or ticks <= candidate.bound.ticks:
        return candidate
    bound = circle_bound(candidate.work.fired.graph, modulo.actors_of(cycle), cycle, " and their transport")
    return replace(candidate, bound=bound, estimate=bound.ticks)


#: Firings of the largest recurrent net whose circles are looked for, and that is timed step by step too.
_CIRCLED = 8_000
#: Ticks of a link that are enough if it need not be balanced.
_UNBALANCED = 1 << 40
#: Trees times nodes beyond which one style of routing must do: the others look at every node for every tree.
_MANY = 2_000_000


def link_frames(machine: Machine, routes: Routes) -> IntArray:
    """Frames per period on every link, int64 (links,)."""
    frames = np.zeros(len(machine.links), np.int64)
    np.add.at(frames, routes.hop_link, routes.hop_frames)
    return frames


def _placement_bound(machine: Machine, node: Placement, ticks: IntArray, routes: Routes) -> Bound:
    """The busiest node or link: no period with this placement and these routes is shorter."""
    busy = np.zeros(len(machine.nodes), np.int64)
    np.add.at(busy, node, ticks)
    v = int(np.argmax(busy))
    frames = link_frames(machine, routes)
    rate = np.array([link.frames_per_tick for link in machine.links], np.int64)
    needed = -(-frames // rate)
    if len(needed) and needed.max() > max(1, busy[v]):
        link = int(np.argmax(needed))
        return Bound(
            int(needed[link]),
            "link",
            f"link {machine.link_name(link)}",
            f"link {machine.link_name(link)} carries {frames[link]:,} frames per period, {rate[link]:,} per tick",
        )
    name, count = machine.nodes[v].name, int(np.count_nonzero((node == v) & (ticks > 0)))
    return Bound(
        max(1, int(busy[v])), "compute", f"node {name}", f"node {name} fires {count:,} actors for {busy[v]:,} ticks"
    )


def _full_link(machine: Machine, routes: Routes) -> int | None:
    """The link with most frames too many for its calendar."""
    short = link_frames(machine, routes) - np.array([link.calendar_entries for link in machine.links], np.int64)
    return int(np.argmax(short)) if len(short) and short.max() > 0 else None


def _check_calendars(machine: Machine, routes: Routes) -> None:
    if (link := _full_link(machine, routes)) is not None:
        frames = link_frames(machine, routes)
        room = [one.calendar_entries for one in machine.links]
        raise InfeasibleError(
            f"link {machine.link_name(link)}: calendar: {frames[link]:,} frames per period, it has {room[link]:,} "
            f"entries: {frames[link] - room[link]:,} too few; use more calendar_entries, wider frames or fewer nodes"
        )


def _encode(candidate: _Candidate, strategy: str, period: int, times: Times, slots: Slots, bound: Bound) -> Schedule:
    routes, costs = candidate.routes, candidate.work.costs
    order = np.lexsort((routes.hop_link, times.hop_start, routes.hop_parcel))
    schedule = Schedule(
        graph_digest=costs.graph.digest,
        machine=costs.machine,
        strategy=strategy,
        period=period,
        node=candidate.node.astype(np.int32),
        start=times.start,
        parcel_node=routes.parcel_node,
        parcel_ptr=routes.parcel_ptr,
        parcel_token=routes.parcel_token,
        hop_parcel=routes.hop_parcel[order],
        hop_link=routes.hop_link[order],
        hop_start=times.hop_start[order],
        slot_node=slots.node,
        slot_token=slots.token,
        slot_address=slots.address,
        slot_depth=slots.depth,
        bound=bound,
        placement_bound=candidate.bound,
    )
    for value in vars(schedule).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return schedule
