"""What overlapping samples is worth: throughput with one sample in flight, with one in each layer, and as scheduled.

All three are the same schedule, every firing and hop at its tick after the sample's first, with samples let in more or
less often, one every Q ticks:

*unpipelined*
    One sample is in flight: Q is at least the latency.
*layer-pipelined*
    At most one sample is in each layer: Q is at least the longest *stage*. A layer's stage begins with the first of its
    firings and ends when the last of them has ended and the last of its tokens has arrived wherever it is read.
*modulo-scheduled*
    What the scheduler found: as many samples in flight as fit; Q is the period.

Each Q is the least one for which no node fires twice at once, no link sends more frames than it can, and cycles of all
that is used are whole. Every multiple of the period is one: then a sample takes the place of some that are left out. No
Q is below the period, as nothing is known of those. Later samples only give tokens more time, so that all else that a
schedule must keep to holds too (the verifier accepts the same schedule with this period).

Other schedules may do better one sample at a time: this one was made for throughput.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import token_makers
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.report.utilisation import hop_frames
from graphsim.schedule.passage import passages_of
from graphsim.schedule.schedule import Schedule, durations, latency

IntArray = npt.NDArray[np.int64]

#: Firings and hops that are looked at, over all periods tried, before the next multiple of the period is taken.
_EFFORT = 3_000_000
#: What looking costs besides, in firings and hops.
_TRY = 300


@dataclass(frozen=True)
class Stage:
    """A layer's share of an iteration: its name, the tick in which it begins, and how many it takes."""

    layer: str
    begin: int
    ticks: int


@dataclass(frozen=True)
class Pipelining:
    """Ticks from sample to sample, in each of the three ways.

    Attributes:
        unpipelined, layered, modulo: in ticks.
        stages: of all layers, in the order of the graph.
        latency: of a sample, in each.
        clock_mhz: of the machine.
        exact: whether ``unpipelined`` and ``layered`` are the least; else the search for these was cut short.
    """

    unpipelined: int
    layered: int
    modulo: int
    stages: tuple[Stage, ...]
    latency: int
    clock_mhz: float
    exact: bool

    @property
    def longest(self) -> Stage:
        """The longest stage, the first of equals."""
        return max(self.stages, key=lambda stage: stage.ticks)

    def ways(self, each: str = "sample") -> tuple[tuple[str, int, str], ...]:
        """(name, ticks from sample to sample, what it is) of each way, for people; ``each``: what a sample is."""
        longest = self.longest
        flight = -(-self.latency // self.modulo)
        shared = self.layered > max(longest.ticks, self.modulo)
        return (
            ("unpipelined", self.unpipelined, f"one {each} in flight"),
            (
                "layer-pipelined",
                self.layered,
                f"one {each} in each layer; {longest.layer} takes longest, {longest.ticks:,} ticks"
                + ("; nodes or links that layers share are free for the next one only then" if shared else ""),
            ),
            (
                "modulo-scheduled",
                self.modulo,
                f"this schedule: {flight:,} {each}{'s' if flight != 1 else ''} in flight",
            ),
        )

    @property
    def gain(self) -> float:
        """Throughput as scheduled over that with one sample in flight."""
        return self.unpipelined / self.modulo

    def samples_per_second(self, ticks: int) -> float:
        """At the machine's clock."""
        return self.clock_mhz * 1e6 / ticks

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        periods = {"unpipelined": self.unpipelined, "layer_pipelined": self.layered, "modulo_scheduled": self.modulo}
        return {
            name: {"period_ticks": ticks, "samples_per_second_simulated": self.samples_per_second(ticks)}
            for name, ticks in periods.items()
        } | {
            "longest_stage": self.longest.layer,
            "stages": [{"layer": one.layer, "begin_tick": one.begin, "ticks": one.ticks} for one in self.stages],
            "gain": self.gain,
            "exact": self.exact,
        }


def pipelining(graph: Graph, schedule: Schedule) -> Pipelining:
    """The three periods of a schedule."""
    calendar = _Calendar(graph, schedule)
    stages = calendar.stages()
    through = latency(graph, schedule)
    layered, first = calendar.period(max(stage.ticks for stage in stages))
    # What no way leads from a source to, such as a state of its own, may begin before and end after.
    whole = max(stage.begin + stage.ticks for stage in stages) - min(stage.begin for stage in stages)
    unpipelined, second = calendar.period(max(through, whole))
    clock = schedule.machine.clock_mhz
    # What has room for one sample in all layers has room for one in each: the search for that may have been cut short.
    layered = min(layered, unpipelined)
    return Pipelining(unpipelined, layered, schedule.period, stages, through, clock, first and second)


class _Calendar:
    """Who is busy when, in one iteration: nodes in firings that take time; links in full cycles of hops, and in the
    cycle of a hop that is not full.
    """

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        machine = schedule.machine
        self.graph, self.schedule = unroll(graph).graph, schedule
        self.ticks = durations(graph, machine, schedule.node)
        link = schedule.hop_link.astype(np.int64)
        pace = passages_of(schedule).pace
        stride = np.array(machine.link_strides, np.int64)[link]
        delay = np.array([one.latency for one in machine.links], np.int64)[link]
        full, rest = np.divmod(hop_frames(graph, schedule), pace)
        self.arrival = schedule.hop_start + (full + (rest > 0) + delay) * stride
        fires, sends, fills = self.ticks > 0, full > 0, rest > 0
        begin, one = schedule.hop_start, np.ones(int(fires.sum()), np.int64)
        nodes = _Stretches(
            schedule.node[fires].astype(np.int64),
            schedule.start[fires],
            self.ticks[fires],
            one,
            np.ones(len(machine.nodes), np.int64),
        )
        links = _Stretches(
            np.concatenate([link[sends], link[fills]]),
            np.concatenate([begin[sends], (begin + full * stride)[fills]]),
            np.concatenate([(full * stride)[sends], stride[fills]]),
            np.concatenate([pace[sends], rest[fills]]),
            np.array([one.frames_per_tick for one in machine.links], np.int64),
        )
        #: Nodes first: there are fewer firings than hops.
        self.stretches = (nodes, links)
        used = {machine.node_strides[v] for v in np.unique(schedule.node).tolist()}
        used |= {machine.link_strides[i] for i in np.unique(link).tolist()}
        #: Ticks of which a period is a multiple. Metacycles of double buffering alternate everywhere at once.
        self.grain = schedule.period if schedule.buffering == "double" else math.lcm(*used)

    def stages(self) -> tuple[Stage, ...]:
        """The stage of every layer."""
        graph, schedule = self.graph, self.schedule
        names = [group.layer or group.name for group in graph.groups]
        layers = list(dict.fromkeys(names))
        number = np.array([layers.index(name) for name in names], np.int64)
        layer = np.repeat(number, np.diff(graph.first))
        begin = np.full(len(layers), np.iinfo(np.int64).max)
        end = np.zeros(len(layers), np.int64)
        np.minimum.at(begin, layer, schedule.start)
        np.maximum.at(end, layer, schedule.start + self.ticks)
        arrived = np.zeros(len(schedule.parcel_node), np.int64)
        np.maximum.at(arrived, schedule.hop_parcel, self.arrival)
        made = layer[token_makers(graph)[schedule.parcel_token]]
        np.maximum.at(end, made, np.repeat(arrived, np.diff(schedule.parcel_ptr)))
        found = zip(layers, begin.tolist(), (end - begin).tolist(), strict=True)
        return tuple(Stage(name, first, ticks) for name, first, ticks in found)

    def period(self, least: int) -> tuple[int, bool]:
        """The least period from this one on, and from the schedule's own, that has room; and whether it is the least.

        Where looking at all of them takes too long, it is the next multiple of the schedule's own.
        """
        own = self.schedule.period
        certain = -(-least // own) * own
        effort = _EFFORT
        for period in range(-(-max(least, own) // self.grain) * self.grain, certain, self.grain):
            if effort <= 0:
                return certain, False
            for part in self.stretches:
                effort -= _TRY + len(part.who)
                if not part.have_room(period):
                    break
            else:
                return period, True
        return max(own, certain), True


@dataclass(frozen=True)
class _Stretches:
    """Stretches of time in which nodes, or links, are busy, all int64: whose, from when, for how long, with how much of
    what each may have at once, which is ``room``.
    """

    who: IntArray
    begin: IntArray
    length: IntArray
    load: IntArray
    room: IntArray

    def have_room(self, period: int) -> bool:
        """Whether nobody has more to do at once than it can, with a sample every so many ticks."""
        if int(self.length.max(initial=0)) > period:
            return False
        begin = self.begin % period
        end = begin + self.length
        over = end > period  # goes on at the start of the next
        who = np.concatenate([self.who, self.who[over]])
        begin = np.concatenate([begin, np.zeros(int(over.sum()), np.int64)])
        load = np.concatenate([self.load, self.load[over]])
        end = np.concatenate([np.minimum(end, period), end[over] - period])
        change = np.concatenate([load, -load])
        tick, where = np.concatenate([begin, end]), np.concatenate([who, who])
        # In order of time, what ends before what begins. Everybody ends with nothing to do, so that sums go on.
        order = np.argsort((where * (period + 1) + tick) * 2 + (change > 0), kind="stable")
        level = np.cumsum(change[order])
        return bool((level <= self.room[where[order]]).all())
