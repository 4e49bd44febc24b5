"""What follows from graph, machine and schedule, before anything is compared."""

from __future__ import annotations

import math

import numpy as np

from graphsim.graph import Graph
from graphsim.passes import Unrolled
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify.verdict import BoolArray, IntArray

FLOAT_BYTES = 4


#: Group params that a firing reads; ``magnitude`` serves comparisons only and is not on the machine.
FIRING_ROLES = ("bias", "divisor", "alpha")


def input_actors(graph: Graph) -> IntArray:
    """Ids of the actors that sources feed, ascending; the k-th one's element of the sample is token actors + k."""
    groups = sorted({c.dst for source in graph.sources for c in graph.channels_from(source)})
    parts = [np.arange(graph.first[g], graph.first[g + 1], dtype=np.int64) for g in groups]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


class Facts:
    """What follows from graph, machine and schedule, before anything is compared.

    Token t is made by actor ``maker[t]`` (-1: no such token, a source's own id) and has ``bits[t]`` bits (0: nobody
    consumes it); ``before[t]`` of them are there before the first is made. Actors are firings, those of the unrolled
    graph. A (node, token) pair is one integer, ``node * tokens + token``. A cycle of a node takes ``node_stride``
    ticks, one of a hop's link ``hop_stride``; all other times are in ticks.
    """

    def __init__(self, original: Graph, unrolled: Unrolled, schedule: Schedule) -> None:
        self.original, self.unrolled = original, unrolled
        self.graph, self.schedule, self.machine = unrolled.graph, schedule, schedule.machine
        graph = self.graph
        self.period = schedule.period
        self.cycle = 1
        for part in self.machine.parts:
            self.cycle = math.lcm(self.cycle, part.frequency)
        self.node_stride = np.array([self.cycle // node.frequency for node in self.machine.nodes], np.int64)
        self.node = schedule.node.astype(np.int64)
        self.start = schedule.start.astype(np.int64)
        self.ticks = self._ticks()
        self.end = self.start + self.ticks

        self.inputs = input_actors(graph)
        self.tokens = graph.actor_count + len(self.inputs)
        self.maker, self.bits = self._tokens()
        self.bytes = -(-self.bits // 8)
        self.before = np.zeros(self.tokens, np.int64)
        for c in graph.channels:
            made = slice(int(graph.first[c.src]), int(graph.first[c.src + 1]))
            self.before[made] = np.maximum(self.before[made], c.initial_tokens)

        self.parcel_node = schedule.parcel_node.astype(np.int64)
        self.parcel_size = np.diff(schedule.parcel_ptr).astype(np.int64)
        self.parcel_token = schedule.parcel_token.astype(np.int64)
        self.parcel_of_token = np.repeat(np.arange(len(self.parcel_node)), self.parcel_size)
        parcel_bits = np.zeros(len(self.parcel_node), np.int64)
        np.add.at(parcel_bits, self.parcel_of_token, self.bits[self.parcel_token])

        links = self.machine.links
        link_stride = np.array([self.cycle // link.frequency for link in links], np.int64)
        self.hop_parcel = schedule.hop_parcel.astype(np.int64)
        self.hop_link = schedule.hop_link.astype(np.int64)
        self.hop_start = schedule.hop_start.astype(np.int64)
        self.link_rate = np.array([link.frames_per_tick for link in links], np.int64)
        self.hop_from = np.array([link.src for link in links], np.int64)[self.hop_link]
        self.hop_to = np.array([link.dst for link in links], np.int64)[self.hop_link]
        frame_bits = np.array([link.frame_bits for link in links], np.int64)[self.hop_link]
        self.hop_frames = -(-parcel_bits[self.hop_parcel] // frame_bits)
        self.hop_stride = link_stride[self.hop_link]
        self.switch = np.array([node.kind == "switch" for node in self.machine.nodes], np.bool_)
        self.hop_before = self._before()
        self.hop_pace = self._pace()
        self.hop_cycles = -(-self.hop_frames // self.hop_pace)
        self.hop_ticks = self.hop_cycles * self.hop_stride
        self.hop_sent = self.hop_start + self.hop_ticks
        self.hop_latency = np.array([link.latency for link in links], np.int64)[self.hop_link] * self.hop_stride
        self.hop_arrival = self.hop_sent + self.hop_latency

    def _before(self) -> IntArray:
        """The hop that brings its parcel to where each hop starts; -1 where none does."""
        nodes = len(self.machine.nodes)
        reached = self.hop_parcel * nodes + self.hop_to
        order = np.argsort(reached, kind="stable")
        at, there = lookup(reached[order], self.hop_parcel * nodes + self.hop_from)
        return np.where(there, order[at], -1) if len(order) else order

    def _pace(self) -> IntArray:
        """Frames that each hop sends per cycle: what all links take that the parcel passes without being stored."""
        pace = self.link_rate[self.hop_link]
        after = np.flatnonzero(self.switch[self.hop_from] & (self.hop_before >= 0))
        before = self.hop_before[after]
        for _ in range(2 * len(self.machine.switches) + 2):
            slowest = pace.copy()
            np.minimum.at(slowest, before, pace[after])
            np.minimum.at(slowest, after, slowest[before])
            if np.array_equal(slowest, pace):
                break
            pace = slowest
        return pace

    def _ticks(self) -> IntArray:
        """Ticks of every actor's firing on its node."""
        graph, ticks = self.graph, np.zeros(self.graph.actor_count, np.int64)
        for number in range(len(graph.groups)):
            actors = slice(int(graph.first[number]), int(graph.first[number + 1]))
            fan_in = graph.fan_in(number)
            cases, which = np.unique(fan_in * len(self.machine.nodes) + self.node[actors], return_inverse=True)
            priced = [
                self.machine.nodes[int(case) % len(self.machine.nodes)].cycles(
                    graph.work_of(number, int(case) // len(self.machine.nodes))
                )
                for case in cases
            ]
            ticks[actors] = np.array(priced, np.int64)[which]
        return ticks * self.node_stride[self.node]

    def _tokens(self) -> tuple[IntArray, IntArray]:
        graph = self.graph
        maker = np.full(self.tokens, -1, np.int64)
        bits = np.zeros(self.tokens, np.int64)
        for number, group in enumerate(graph.groups):
            first, last = int(graph.first[number]), int(graph.first[number + 1])
            if group.op != "source":
                maker[first:last] = np.arange(first, last)
                bits[first:last] = max((c.token_bits for c in graph.channels_from(number)), default=0)
                continue
            for c in graph.channels_from(number):
                edges = c.expand(group.size, graph.groups[c.dst].size, graph.params)
                token = self.token_of_input(int(graph.first[c.dst]) + edges.dst)
                maker[token] = first + edges.src
                bits[token] = c.token_bits
        return maker, bits

    def token_of_input(self, actor: IntArray) -> IntArray:
        """The tokens that sources send to these input actors."""
        return self.graph.actor_count + np.searchsorted(self.inputs, actor)

    def token_name(self, token: int) -> str:
        if token >= self.graph.actor_count:
            return f"the sample's element for {self.graph.actor(int(self.inputs[token - self.graph.actor_count])).name}"
        return f"the token of {self.graph.actor(token).name}"

    def node_name(self, node: int) -> str:
        return self.machine.nodes[node].name

    def pair_name(self, pair: int) -> str:
        node, token = divmod(pair, self.tokens)
        return f"{self.token_name(token)} on {self.node_name(node)}"

    def hop_name(self, hop: int) -> str:
        parcel = int(self.hop_parcel[hop])
        count, link = int(self.parcel_size[parcel]), self.machine.link_name(int(self.hop_link[hop]))
        what = "empty"
        if count:
            what = self.token_name(int(self.parcel_token[self.schedule.parcel_ptr[parcel]]))
            what += f" and {count - 1} more" if count > 1 else ""
        return f"hop {hop} over {link} at tick {self.hop_start[hop]} (parcel {parcel}: {what})"


def lookup(ordered: IntArray, wanted: IntArray) -> tuple[IntArray, BoolArray]:
    """Positions of ``wanted`` in an ascending array, and whether they are there (the position is valid anyway)."""
    if not len(ordered):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return at, ordered[at] == wanted
