"""One placement with its routes: the period that it allows, its times, its memory, and the schedule that this makes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.analysis.bounds import Bound, circle_bound, doubled, recurrence_bound, rounded
from graphsim.analysis.costs import LAST_TICK, Costs
from graphsim.analysis.tokens import Readers, readers
from graphsim.analysis.waves import waves
from graphsim.errors import InfeasibleError
from graphsim.graph.words import in_ticks
from graphsim.machine import Machine
from graphsim.machine.topologies import is_made
from graphsim.passes import Unrolled
from graphsim.schedule.double import Double
from graphsim.schedule.modulo import Modulo
from graphsim.schedule.place import Placement
from graphsim.schedule.placed import Placed, Times, grain
from graphsim.schedule.route import STYLES, Packed, Routes, route
from graphsim.schedule.schedule import Buffering, Schedule
from graphsim.schedule.slots import Slots, allot, check_memory
from graphsim.schedule.tiles import Tiles
from graphsim.schedule.timing import EFFORT, Timing
from graphsim.schedule.together import Found

IntArray = npt.NDArray[np.int64]


class Work:
    """What is placed and what is timed: actors, and, where they fire several times, each firing.

    Attributes:
        costs: of the graph, whose actors are placed. unrolled: the graph of its firings.
        fired: of the unrolled graph, whose actors are routed, timed and kept.
        owner: the actor of each firing, int64 (firings,).
        chains: numbers of the groups of the firings of one group after the other, for each that fires several times.
        wave: of each firing, int64 (firings,).
        recurrence: the bound of the slowest cycle, or None.
        looped: whether state goes from sample to sample.
        buffering: how computing and communicating follow each other.
        tiles: of firings, where they are scheduled in tiles.
        modular: whether it does, or gates feed gates: steps are timed one by one.
        size: how much work a placement is, in firings.
    """

    def __init__(
        self, costs: Costs, unrolled: Unrolled, buffering: Buffering = "single", tiles: Tiles | None = None
    ) -> None:
        graph = costs.graph
        self.costs, self.unrolled, self.buffering, self.tiles = costs, unrolled, buffering, tiles
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


@dataclass(frozen=True)
class Candidate:
    """A placement of firings with its routes.

    Attributes:
        bound: no period with these is shorter.
        estimate: the period that they seem to allow.
        wanted: the ticks that the placement was made for, if it was.
    """

    work: Work
    node: Placement
    ticks: IntArray
    read: Readers
    routes: Routes
    bound: Bound
    estimate: int
    wanted: Found | None = None

    @property
    def nodes(self) -> int:
        """How many nodes fire actors."""
        return len(np.unique(self.node))

    @property
    def least(self) -> int:
        """What the period seems to be at least, with the buffering that is wanted."""
        return self.estimate if self.work.buffering == "single" else self._twice.ticks

    @property
    def _twice(self) -> Bound:
        """What the busiest node or link proves where computing and communicating alternate."""
        return doubled(placement_bound_of(self.work.fired.machine, self.node, self.ticks, self.routes))

    @cached_property
    def times(self) -> Times | None:
        """Times at the period that the placement was made for, if there are any."""
        return None if self.wanted is None else self.modulo.find(self.wanted.period, self.wanted)

    @property
    def timing(self) -> Timing:
        """What finds times for it, layer by layer."""
        costs, work = self.work.fired, self.work
        return Timing(
            costs.graph, costs.machine, self.node, self.read, self.routes, self._planned, work.chains, work.tiles
        )

    @property
    def modulo(self) -> Modulo:
        """What finds times for it, step by step."""
        return Modulo(*self._stepped)

    @property
    def _stepped(self) -> tuple[Any, ...]:
        """What finds times step by step is made of."""
        costs, work = self.work.fired, self.work
        placed = costs.graph, costs.machine, self.node, self.read, self.routes, self._planned
        return *placed, work.wave, work.chains, work.tiles

    @property
    def _planned(self) -> IntArray:
        """Ticks of firings as they are planned: in tiles, if there are any."""
        return self.ticks if self.work.tiles is None else self.work.tiles.whole(self.ticks)

    def _single(self, placed: Placed, times: Times) -> tuple[Placed, Times]:
        """Times of tiles as those of their actors, and the placement as these see it."""
        costs, tiles = self.work.fired, self.work.tiles
        if tiles is None:
            return placed, times
        placed = Placed(costs.graph, costs.machine, self.node, self.read, self.routes, self.ticks)
        return placed, replace(times, start=tiles.spread(times.start, self.ticks))

    def _alternating(self, strategy: str, bound: Bound) -> tuple[tuple[int, int, int, int], Schedule]:
        """The schedule with double buffering; otherwise as :meth:`timed`."""
        costs, double = self.work.fired, Double(*self._stepped)
        found = double.alternate()
        placed, times = self._single(double, found.times)
        slots = allot(costs, placed, times, found.period)
        check_memory(costs, slots)
        key = found.period, found.times.latency, int(slots.used.sum()), self.nodes
        candidate = replace(self, bound=max(self._twice, self.bound, key=lambda b: b.ticks))
        schedule = encode(candidate, strategy, found.period, times, slots, bound)
        return key, replace(schedule, buffering="double", remark=found.remark)

    def timed(self, strategy: str, bound: Bound, most: int | None) -> tuple[tuple[int, int, int, int], Schedule] | None:
        """The schedule, with (period, latency, bytes, nodes) to compare it by; None if its period is above ``most``.

        Raises:
            InfeasibleError: a node's memory is too small.
        """
        if self.work.buffering == "double":
            return self._alternating(strategy, bound)
        placed: Placed
        candidate = self
        if self.work.modular:
            placed = modulo = self.modulo
            result = _modular(modulo, self.estimate, most, self.wanted)
            if result is None:
                return None
            period, times = result
        else:
            placed = timing = self.timing
            find = _recurrent if self.work.chains else _found
            period, times = find(timing, self.bound.ticks)
            if self.work.chains and self.work.size <= _CIRCLED:
                candidate = circled(self)
                # A latency of several periods is worth it if they are shorter by more than a little.
                result = _modular(self.modulo, candidate.bound.ticks, period - 1 - period // 64)
                period, times = result or (period, times)
        placed, times = self._single(placed, times)
        slots = allot(self.work.fired, placed, times, period)
        check_memory(self.work.fired, slots)
        key = period, times.latency, int(slots.used.sum()), self.nodes
        return key, encode(candidate, strategy, period, times, slots, bound)


def _found(timing: Timing, period: int, effort: int = EFFORT) -> tuple[int, Times]:
    """A period from this one on, and times for it."""
    times = timing.find(period, effort)
    while times is None:  # frames of several ticks may not fit between others
        period = timing.whole(period + max(1, period // 64))
        times = timing.find(period, effort)
    return period, times


def _modular(modulo: Modulo, least: int, most: int | None, wanted: Found | None = None) -> tuple[int, Times] | None:
    """A short period from ``least`` on, and times for it; None if there are none up to ``most``.

    The ticks that a placement was made for are tried before others.

    Steps get longer until times are found; between that period and the last one without, others are tried.
    """
    grain = modulo.grain
    least = -(-least // grain)  # from here on in grains
    most = None if most is None else most // grain
    if most is not None and least > most:
        return None
    if wanted is not None and wanted.period >= least and (times := modulo.find(wanted.period, wanted)) is not None:
        return wanted.period, times
    low, period, step = least - 1, least, max(1, least // 64)
    for turn in itertools.count():
        if (times := modulo.find(period * grain)) is not None:
            break
        if most is not None and period >= most:
            return None
        low, step = period, step if turn < _SMALL_STEPS else 2 * step
        period = period + step if most is None else min(most, period + step)
    while period - low > 1 + low // 64:
        middle = (low + period) // 2
        if (other := modulo.find(middle * grain)) is None:
            low = middle
        else:
            period, times = middle, other
    assert times is not None
    return period * grain, times


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
        needed = timing.whole(timing.stretch(times.start))
        if needed <= period < best[0]:
            best = period, times
        else:
            low = max(low, period)
        if best[0] - low <= max(timing.grain, 1 + best[0] // 64):
            break
        period = needed if low < needed < best[0] else timing.whole((low + best[0]) // 2)
    return best


#: What part of the usual effort is made for a period that is tried, and how many are tried.
_SHARE = 4
_NARROWED = 8


def routed(work: Work, node: Placement, ticks: IntArray, wanted: Found | None = None) -> Candidate:
    """Route a placement; where links bind, in other ways too.

    Args:
        ticks: of each firing. wanted: the ticks that the placement was made for.

    Raises:
        InfeasibleError: a link's calendar is too small.
    """
    graph, machine = work.fired.graph, work.costs.machine
    read = readers(graph, node, len(machine.nodes))
    wave = work.wave
    if wanted is not None:
        wave = np.unique(wave * (len(node) + 2) + wanted.company, return_inverse=True)[1].astype(np.int64)
    plain = wanted.start >= 0 if wanted is not None and wanted.fixed else None
    packed = Packed(graph, machine, node, read, wave, work.tiles, plain)
    enough = max(1, int(np.bincount(node, weights=ticks).max())) if wanted is None else wanted.period
    if work.looped and wanted is None:  # where a circle of firings binds, it is of no use to balance links
        routes = route(packed, _UNBALANCED)
        fast = Candidate(work, node, ticks, read, routes, placement_bound_of(machine, node, ticks, routes), 1)
        if (found := circled(fast)).bound.kind == "recurrence" and _full_link(machine, routes) is None:
            return found
    candidates = []
    error: InfeasibleError | None = None
    direct = is_made(machine.topology)  # there is one way only
    many = len(packed.classes) * len(machine.nodes) > _MANY
    for style in STYLES[: 1 if many or direct else None]:
        routes = route(packed, _UNBALANCED if direct else enough, style)
        bound = placement_bound_of(machine, node, ticks, routes)
        try:
            _check_calendars(machine, routes)
        except InfeasibleError as full:
            error = full
            continue
        candidates.append(Candidate(work, node, ticks, read, routes, bound, bound.ticks, wanted))
        if bound.kind == "compute":
            break
    if not candidates:
        assert error is not None
        raise error
    best = min(candidates, key=lambda c: c.bound.ticks)
    if work.modular:
        return circled(best)
    if not work.chains:
        return best
    if work.recurrence is not None and work.recurrence.ticks > best.bound.ticks:
        best = replace(best, bound=_whole(machine, node, best.routes, work.recurrence))
    timing = best.timing
    return replace(best, estimate=max(best.bound.ticks, timing.whole(timing.stretch_alone())))


def circled(candidate: Candidate) -> Candidate:
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
    bound = _whole(candidate.work.costs.machine, candidate.node, candidate.routes, bound)
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


def _whole(machine: Machine, node: Placement, routes: Routes, bound: Bound) -> Bound:
    """A bound for a placement and its routes, rounded up to a period that all that is used can have."""
    return rounded(bound, grain(machine, node, routes), "whole cycles of all nodes and links in use")


def placement_bound_of(machine: Machine, node: Placement, ticks: IntArray, routes: Routes) -> Bound:
    """The busiest node or link: no period with this placement and these routes is shorter."""
    return _whole(machine, node, routes, _busiest(machine, node, ticks, routes))


def _busiest(machine: Machine, node: Placement, ticks: IntArray, routes: Routes) -> Bound:
    busy = np.zeros(len(machine.nodes), np.int64)
    np.add.at(busy, node, ticks)
    v = int(np.argmax(busy))
    frames = link_frames(machine, routes)
    rate = np.array([link.frames_per_tick for link in machine.links], np.int64)
    stride = np.array(machine.link_strides, np.int64)
    needed = -(-frames // rate) * stride
    if len(needed) and needed.max() > max(1, busy[v]):
        link = int(np.argmax(needed))
        return Bound(
            int(needed[link]),
            "link",
            f"link {machine.link_name(link)}",
            f"link {machine.link_name(link)} carries {frames[link]:,} frames per period, {rate[link]:,} "
            + ("per tick" if stride[link] == 1 else f"in {in_ticks(int(stride[link]))}"),
        )
    name, count = machine.nodes[v].name, int(np.count_nonzero((node == v) & (ticks > 0)))
    return Bound(
        max(1, int(busy[v])),
        "compute",
        f"node {name}",
        f"node {name} has {count:,} firings, of {in_ticks(int(busy[v]))} in all",
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


def encode(candidate: Candidate, strategy: str, period: int, times: Times, slots: Slots, bound: Bound) -> Schedule:
    routes, costs = candidate.routes, candidate.work.costs
    if (last := max(int(times.start.max()), int(times.hop_start.max(initial=0)))) > LAST_TICK:
        raise InfeasibleError(
            f"something would start in tick {last:,}, beyond {LAST_TICK:,}, the last that is counted; use lower "
            f"op_ticks and latencies, or frequencies that have more common factors"
        )
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
        placement_bound=max(candidate.bound, bound, key=lambda b: b.ticks),
        tile=1 if candidate.work.tiles is None else candidate.work.tiles.size,
    )
    for value in vars(schedule).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return schedule
