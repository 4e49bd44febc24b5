"""Folding: place, route, find the period, find the times, allot the memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphsim.analysis.bounds import Bound
from graphsim.analysis.tokens import readers
from graphsim.errors import InfeasibleError, PlacementError, ScheduleError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule.costs import Costs
from graphsim.schedule.place import Placement, check_placement, contiguous, one_to_one, read_placement
from graphsim.schedule.route import Routes, route
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.slots import Slots, allot, check_memory
from graphsim.schedule.timing import Times, Timing

IntArray = npt.NDArray[np.int64]

#: Placement strategies by name, with what ``--help`` says of them.
STRATEGIES = {
    "contiguous": "every layer in contiguous ranges, balanced by work (default)",
    "one-to-one": "every actor on a node of its own",
}


def fold(
    graph: Graph,
    machine: Machine,
    *,
    strategy: str = "contiguous",
    placement: Path | str | Placement | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Schedule:
    """Fold a graph onto a machine: the smallest period first, then latency, then memory.

    Args:
        strategy: one of ``STRATEGIES``.
        placement: a placement file, or the node of every actor, int32 (actors,); used instead of a strategy.
        seed: of strategies that use chance.
        progress: called now and then with the number of candidates tried so far.

    Raises:
        ScheduleError: rates other than 1 or initial tokens.
        PlacementError: the strategy does not fit graph and machine, or the placement file is wrong.
        InfeasibleError: no schedule exists; names the node or link, the resource and the shortfall.
    """
    _check_rates(graph)
    costs = Costs(graph, machine)
    if placement is not None:
        strategy = "file"
        node = placement if isinstance(placement, np.ndarray) else read_placement(placement, graph, machine)
    elif strategy == "one-to-one":
        node = one_to_one(costs)
    elif strategy == "contiguous":
        node = contiguous(costs, machine.compute_nodes)
    else:
        raise PlacementError(f"there is no placement strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}")
    check_placement(graph, machine, node)
    return _schedule(costs, node, strategy)


def _check_rates(graph: Graph) -> None:
    for c in graph.channels:
        where = f"channel {graph.groups[c.src].name} -> {graph.groups[c.dst].name} (port {c.port})"
        if (c.produce, c.consume) != (1, 1):
            raise ScheduleError(
                f"{where} has rates {c.produce}:{c.consume}; folding takes graphs of one token per firing"
            )
        if c.initial_tokens:
            raise ScheduleError(
                f"{where} has {c.initial_tokens} initial tokens; folding takes graphs without initial tokens"
            )


def _schedule(costs: Costs, node: Placement, strategy: str) -> Schedule:
    graph, machine = costs.graph, costs.machine
    read = readers(graph, node, len(machine.nodes))
    routes = route(graph, machine, node, read)
    ticks = costs.durations(node)
    bound = _placement_bound(machine, node, ticks, routes)
    _check_calendars(machine, routes)
    timing = Timing(graph, machine, node, read, routes, ticks)
    period = bound.ticks
    times = timing.find(period)
    while times is None:
        period += max(1, period // 64)
        times = timing.find(period)
    slots = allot(costs, timing, times, period)
    check_memory(costs, slots)
    return _encode(
        costs,
        node,
        strategy,
        period,
        routes,
        times,
        slots,
        Bound(1, "compute", "all nodes", "a period has at least one tick"),
        bound,
    )


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


def _check_calendars(machine: Machine, routes: Routes) -> None:
    frames = link_frames(machine, routes)
    room = np.array([link.calendar_entries for link in machine.links], np.int64)
    if len(frames) and np.any(frames > room):
        link = int(np.argmax(frames - room))
        raise InfeasibleError(
            f"link {machine.link_name(link)}: calendar: {frames[link]:,} frames per period, it has {room[link]:,} "
            f"entries: {frames[link] - room[link]:,} too few; use more calendar_entries, wider frames or fewer nodes"
        )


def _encode(
    costs: Costs,
    node: Placement,
    strategy: str,
    period: int,
    routes: Routes,
    times: Times,
    slots: Slots,
    bound: Bound,
    placement_bound: Bound,
) -> Schedule:
    order = np.lexsort((routes.hop_link, times.hop_start, routes.hop_parcel))
    schedule = Schedule(
        graph_digest=costs.graph.digest,
        machine=costs.machine,
        strategy=strategy,
        period=period,
        node=node.astype(np.int32),
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
        placement_bound=placement_bound,
    )
    for value in vars(schedule).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return schedule
