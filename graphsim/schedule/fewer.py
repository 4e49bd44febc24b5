"""More nodes of the same kind never give a longer period: what a smaller machine of the family does, a larger one can.

A machine holds the smaller members of its family (:mod:`graphsim.machine.members`). Let S(m) be the period that the
search finds on m. What is taken on a machine M is the least S(m) of all its members m, M among them: members of members
are members, so it never grows with M. Members whose lower bound is no shorter than what is found already are left out,
and nothing is done where the period is the lower bound.

A schedule of a member is one of the machine. Where every link of the member is one link of the machine, it is so word
for word, on other ids. Where a smaller ring closes, a link of the member is a way of several links, which nothing else
uses: nodes on it pass frames on.

* On every link of such a way, frames are sent as on the link of the member, all of them later by the same number of
  ticks. That is as long as the longest parcel takes to the next node, so each is there before it is sent on; and what
  did not overlap does not overlap.
* What waits for a parcel that comes later is put off by whole periods. So every node fires in the same ticks of the
  period as before. Where no state goes from iteration to iteration, firings do not wait for each other in circles, so
  this ends.
* Only latency and copies of waiting tokens grow. If memory is too small for them, the member is of no use.

So it may be with loops: one that goes all the way round, and has no time to spare for that, cannot be put off, and a
larger ring may really be slower. Where computing and communicating alternate, nothing can be put off at all: only
members of the first kind are looked at. For both, lines and meshes are members too: rings and toruses left open.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from graphsim.analysis.bounds import Bound, fewest_ticks
from graphsim.analysis.costs import parameter_bytes
from graphsim.analysis.tokens import readers, token_bits, token_makers
from graphsim.errors import InfeasibleError, PlacementError
from graphsim.graph import Graph
from graphsim.graph.words import in_ticks
from graphsim.machine import Machine
from graphsim.machine.members import Member, member, smaller
from graphsim.machine.topologies import numbers_of
from graphsim.schedule.candidate import Candidate, Work, circled, encode, placement_bound_of
from graphsim.schedule.passage import passages
from graphsim.schedule.placed import Placed, Times
from graphsim.schedule.route import Routes
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.slots import allot, check_memory

IntArray = npt.NDArray[np.int64]

#: Finds a schedule on a machine; with a number of ticks, one whose period is shorter, or None.
Search = Callable[[Machine, int | None], Schedule | None]

#: Nodes of all members that may help, times firings: beyond, only members whose numbers are powers of two are searched.
MOST = 1_000_000
#: Where firings of one actor follow each other, a firing takes a search so much longer.
RECURRENT = 100


def shortest(work: Work, bound: Bound, found: Schedule | None, search: Search) -> Schedule | None:
    """The schedule of the least period: the one found for the whole machine, if any, or one of a member.

    Args:
        work: on the machine. bound: of the machine.
    """
    machine = work.costs.machine
    need = int(parameter_bytes(work.costs.graph, np.zeros(work.costs.graph.actor_count, np.int32), 1)[0])
    for name in _hopeful(work, None if found is None else found.period):
        if found is not None and found.period <= bound.ticks:
            break
        one = member(machine, name)
        if one is None or not (one.direct or work.buffering == "single"):
            continue
        if sum(one.machine.nodes[v].memory_bytes for v in one.machine.compute_nodes) < need:
            continue
        try:
            small = search(one.machine, None if found is None else found.period)
        except (PlacementError, InfeasibleError):
            continue
        if small is None or (found is not None and small.period >= found.period):
            continue
        try:
            found = translated(work, bound, one, small)
        except InfeasibleError as error:
            if found is not None:
                said = f"{one.machine.name} has a period of {in_ticks(small.period)}, not to be had here: {error}"
                found = replace(found, remark=_also(found.remark, said))
    return found


def _hopeful(work: Work, period: int | None) -> list[str]:
    """Members that may have a shorter period than this, those of fewest nodes first.

    Rings that are left open matter where those that close may not be of use: where firings wait for each other in
    circles, or computing and communicating alternate.
    """
    each = RECURRENT if work.chains else 1
    left_open = work.looped or bool(work.chains) or work.buffering == "double"
    listed = smaller(work.costs.machine, left_open=left_open)
    if period is not None:
        low, high = 0, len(listed)  # from high on fewest_ticks is shorter
        while low < high:
            middle = (low + high) // 2
            enough = fewest_ticks(work.costs, listed[middle][0]) < period
            low, high = (low, middle) if enough else (middle + 1, high)
        listed = listed[low:]
    if sum(nodes for nodes, _ in listed) * work.size * each > MOST:
        listed = [(nodes, name) for nodes, name in listed if all(n & (n - 1) == 0 for n in numbers_of(name)[1])]
        if work.chains and work.buffering == "single":
            own = numbers_of(work.costs.machine.topology)[0]
            listed = [(nodes, name) for nodes, name in listed if numbers_of(name)[0] == own]
    return [name for _, name in listed]


def _also(remark: str, said: str) -> str:
    return "; ".join(filter(None, (remark, said)))[:1000]


def translated(work: Work, bound: Bound, one: Member, small: Schedule) -> Schedule:
    """A schedule of a member as one of the machine, of the same period.

    Args:
        work: on the machine. bound: of the machine.

    Raises:
        InfeasibleError: tokens that are on their way for longer do not fit into a node's memory, or come too late to
            close a loop.
    """
    graph, machine = work.fired.graph, work.costs.machine
    node = np.array(one.node, np.int32)[small.node]
    ways = _Ways(graph, machine, one, small)
    ticks, read = work.fired.durations(node), readers(graph, node, len(machine.nodes))
    proved = small.placement_bound if one.direct else placement_bound_of(machine, node, ticks, ways.routes)
    candidate = Candidate(work, node, ticks, read, ways.routes, proved, proved.ticks)
    if work.modular and not one.direct:
        candidate = circled(candidate)
    said = f"folded as onto {one.machine.name}, inside {machine.name}: of all its nodes a longer period was found"
    placed = Placed(graph, machine, node, read, ways.routes, ticks)
    again = None if one.direct else _timed_again(candidate, small, bound)
    try:
        start, hop_start = (small.start, small.hop_start) if one.direct else ways.delayed(placed, small, work.chains)
        times = Times(start, hop_start, placed.span(start))
        slots = allot(work.fired, placed, times, small.period)
        check_memory(work.fired, slots)
        schedule = encode(candidate, small.strategy, small.period, times, slots, bound)
    except InfeasibleError:
        if again is None:
            raise
        return replace(again[1], remark=said)
    if again is not None and again[0] <= (small.period, times.latency, int(slots.used.sum()), candidate.nodes):
        return replace(again[1], remark=said)
    return replace(schedule, buffering=small.buffering, remark=_also(small.remark, said))


def _timed_again(
    candidate: Candidate, small: Schedule, bound: Bound
) -> tuple[tuple[int, int, int, int], Schedule] | None:
    """Other times for the same placement and routes, which may have a smaller latency; None: none were found.

    Should their period be shorter they are not taken: a yet larger machine might not find the like again.
    """
    try:
        found = candidate.timed(small.strategy, bound, small.period)
    except InfeasibleError:
        return None
    return found if found is not None and found[0][0] == small.period else None


class _Ways:
    """The hops of a member's schedule, each as the hops that stand for it.

    Attributes:
        routes: on the machine; hops of one way follow each other.
    """

    def __init__(self, graph: Graph, machine: Machine, one: Member, small: Schedule) -> None:
        hops = np.arange(len(small.hop_link))
        long = np.array([len(path) for path in one.path], np.int64)[small.hop_link]
        #: First and last hop of the way that each hop is, the hop that each of these is part of, and how far along.
        self.last = np.cumsum(long) - 1
        self.first = self.last + 1 - long
        self.of = np.repeat(hops, long)
        self.along: IntArray = np.arange(len(self.of)) - self.first[self.of]
        ends = np.array([(link.src, link.dst) for link in one.machine.links], np.int64).reshape(-1, 2)[small.hop_link]
        #: The hop that brings the parcel to where each starts, -1 where it is made; parents come first.
        self.parent = _parents(small, ends, len(one.machine.nodes))
        flat = np.concatenate([np.empty(0, np.int64), *(np.array(path, np.int64) for path in one.path)])
        begin = np.cumsum([0, *(len(path) for path in one.path)])
        link = flat[begin[small.hop_link[self.of]] + self.along]
        bits = np.array([each.frame_bits for each in machine.links], np.int64)[link]
        payload = np.add.reduceat(np.append(token_bits(graph)[small.parcel_token], 0), small.parcel_ptr[:-1])
        frames = -(-payload[small.hop_parcel[self.of]] // bits)
        parent = np.where(self.along > 0, np.arange(len(link)) - 1, np.append(self.last, -1)[self.parent][self.of])
        together = passages(machine, link, parent)
        cycles = -(-frames // together.pace)
        stride = np.array(machine.link_strides, np.int64)[link]
        makers = token_makers(graph)[small.parcel_token[small.parcel_ptr[:-1]]]
        parcels = small.hop_parcel[self.of]
        self.routes = Routes(
            parcel_node=np.array(one.node, np.int32)[small.parcel_node],
            parcel_ptr=small.parcel_ptr,
            parcel_token=small.parcel_token,
            parcel_group=np.searchsorted(graph.first, makers, side="right") - 1,
            hop_ptr=np.searchsorted(parcels, np.arange(len(small.parcel_node) + 1)).astype(np.int64),
            hop_parcel=parcels,
            hop_link=link.astype(np.int32),
            hop_parent=parent,
            hop_frames=frames,
            hop_cycles=cycles,
            hop_ticks=cycles * stride,
            passages=together,
        )
        #: Ticks from the start of each hop until its parcel is at the other end.
        self.way = (cycles + np.array([each.latency for each in machine.links], np.int64)[link]) * stride
        #: Ticks from link to link of the way that each hop is part of: as long as its slowest parcel needs.
        slowest = np.zeros(len(one.path), np.int64)
        np.maximum.at(slowest, small.hop_link[self.of], self.way)
        self.step: IntArray = slowest[small.hop_link]

    def delayed(self, placed: Placed, small: Schedule, chains: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
        """Starts of firings and hops: those of the member, put off by as few whole periods as their inputs need.

        Args:
            chains: see :class:`~graphsim.schedule.candidate.Work`: the first firing of an iteration waits for the last.

        Raises:
            InfeasibleError: firings wait for each other in a circle that leaves no time for it.
        """
        graph, routes, period = placed.graph, self.routes, small.period
        start: IntArray = small.start.copy()
        sent = small.hop_start.copy()
        levels = []
        at = np.flatnonzero(self.parent < 0)
        while len(at):
            levels.append(at)
            at = np.flatnonzero(np.isin(self.parent, at))

        def put_off(planned: IntArray, ready: IntArray) -> IntArray:
            late: IntArray = planned + np.maximum(-(-(ready - planned) // period), 0) * period
            return late

        arrival = np.zeros(len(placed.pairs.token), np.int64)
        # In a round everything waits for what it reads; without loops no way is longer than there are firings.
        for _ in range(graph.actor_count + 1):
            made = (start + placed.ticks)[placed.makers]
            assembled = np.maximum.reduceat(np.append(made[routes.parcel_token], 0), routes.parcel_ptr[:-1])
            for at in levels:
                before = self.parent[at]
                there = np.where(before < 0, assembled[small.hop_parcel[at]], self._arrived(sent)[before])
                sent[at] = put_off(sent[at], there)
            arrival[:] = np.where(placed.pairs.local, made[placed.pairs.token], 0)
            hop_end = self._hop_start(sent) + self.way
            arrival[placed.deliver_pair] = hop_end[placed.deliver_hop]
            again = start.copy()
            for number in range(len(graph.groups)):
                here = slice(int(graph.first[number]), int(graph.first[number + 1]))
                for c, reading in zip(graph.channels_into(number), placed.reading[number], strict=True):
                    again[here] = put_off(again[here], reading.ready(arrival) - c.initial_tokens * period)
            for chain in chains:
                fired = [slice(int(graph.first[number]), int(graph.first[number + 1])) for number in chain]
                for first, then in itertools.pairwise([*fired, fired[0]]):
                    ends = start[first] + placed.ticks[first] - (period if then == fired[0] else 0)
                    again[then] = put_off(again[then], ends)
            if np.array_equal(again, start):
                return start, self._hop_start(sent)
            start = again
        raise InfeasibleError("firings of a loop wait for tokens that take longer to come round")

    def _hop_start(self, sent: IntArray) -> IntArray:
        """When each hop starts, from when each way begins."""
        found: IntArray = sent[self.of] + self.along * self.step[self.of]
        return found

    def _arrived(self, sent: IntArray) -> IntArray:
        """When each way has brought its parcel to its end."""
        found: IntArray = (self._hop_start(sent) + self.way)[self.last]
        return found


def _parents(small: Schedule, ends: IntArray, nodes: int) -> IntArray:
    """For each hop the one of its parcel that ends where it starts, -1 at the parcel's node; ``ends``: of each hop."""
    reached = small.hop_parcel * nodes + ends[:, 1]
    order = np.argsort(reached)
    wanted = small.hop_parcel * nodes + ends[:, 0]
    at = order[np.minimum(np.searchsorted(reached[order], wanted), max(0, len(order) - 1))]
    return np.where(small.parcel_node[small.hop_parcel] == ends[:, 0], -1, at).astype(np.int64)
