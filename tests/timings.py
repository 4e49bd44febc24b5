"""A folded graph as a graph of events that wait for each other: what limits a self-timed run, as a cycle ratio.

Written from the description of self-timed execution in :mod:`graphsim.simulate.events`, without its code: everything
that the hardware does has events, and each waits for others, of the same iteration or of so many before:

- a firing starts when the one before it in its node's order is done and its tokens are there; it is done when it has
  ended and there is room for what it made, token by token;
- a hop starts when the one before it on its link has sent, its tokens are there, and the link has room; it is
  delivered when what came before it is, it has arrived, and there is room for all its tokens;
- a token's copy has room when all who use it have: firings when they end, hops when they have sent.

Where a link moves one frame in a tick and all components act in every tick, that is all there is to time: starts are
greatest sums over paths, and in the long run the period is the maximum cycle ratio.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np

from graphsim.analysis.cycles import slowest_cycle
from graphsim.analysis.tokens import input_actors, token_bits
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule

Key = tuple[object, ...]


class Events:
    """Events, each with the tick that the calendar gives it, and what they wait for."""

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        self.graph, self.schedule, self.period = unroll(graph).graph, schedule, schedule.period
        machine = schedule.machine
        assert all(link.frames_per_tick == link.frequency == 1 for link in machine.links)
        assert all(node.frequency == 1 for node in machine.nodes)
        self.tick: dict[Key, int] = {}
        self.edges: list[tuple[Key, Key, int, int]] = []
        self.users: dict[tuple[int, int], list[tuple[Key, int]]] = defaultdict(list)
        self.room = {
            (int(v), int(t)): int(d)
            for v, t, d in zip(schedule.slot_node, schedule.slot_token, schedule.slot_depth, strict=True)
        }
        self._firings()
        self._hops()
        self._rooms()

    def period_by_cycles(self) -> Fraction:
        """The maximum cycle ratio; what a token is before tick 0 is there, and so is all room."""
        number = {key: i for i, key in enumerate(self.tick)}
        stage = {key: tick // self.period for key, tick in self.tick.items()}
        rows = [
            (number[x], number[y], ticks, late + stage[y] - stage[x]) for x, y, ticks, late in self.edges if x in number
        ]
        src, dst, ticks, tokens = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        assert tokens.min() >= 0, "the calendar itself breaks a constraint"
        found = slowest_cycle(len(number), src, dst, ticks, tokens)
        return Fraction(0) if found is None else found.ratio

    def _after(self, y: Key, x: Key, ticks: int = 0, late: int = 0) -> None:
        """y of iteration n is so many ticks after x of iteration n - late, or more."""
        self.edges.append((x, y, ticks, late))

    def _in_turn(self, items: list[tuple[int, Key, Key, int]], behind: int = 1) -> None:
        """Items (start, first event, last event, ticks after it): each begins after the ``behind``-th before it.

        In a period come first those that start first in it, of those in one tick that of the earliest iteration.
        """
        order = sorted(range(len(items)), key=lambda i: (items[i][0] % self.period, -(items[i][0] // self.period), i))
        for at, i in enumerate(order):
            back, place = divmod(at - behind, len(order))
            j = order[place]
            late = -back - items[i][0] // self.period + items[j][0] // self.period
            self._after(items[i][1], items[j][2], items[j][3], late)

    def _firings(self) -> None:
        graph, s = self.graph, self.schedule
        elements = {int(a): graph.actor_count + i for i, a in enumerate(input_actors(graph))}
        self.made: dict[tuple[int, int], Key] = {}
        turns: dict[tuple[int, bool], list[tuple[int, Key, Key, int]]] = defaultdict(list)
        for actor in graph:
            node, start = int(s.node[actor.id]), int(s.start[actor.id])
            ticks = s.machine.ticks(node, actor.work)
            begins, ends = ("begins", actor.id), ("ends", actor.id)
            self.tick |= {begins: start, ends: start + ticks}
            self._after(ends, begins, ticks)
            into = graph.channels_into(actor.group_number)
            read = {(e.producer, into[e.port].initial_tokens) for e in actor.inputs}
            if actor.id in elements:
                read = {(elements[actor.id], 0)}
            for token, late in sorted(read) if actor.group.op != "source" else ():
                self._after(begins, ("there", node, token), 0, late)
                self.users[node, token].append((ends, late))
            tokens = [elements[int(a)] for a in actor.consumers] if actor.group.op == "source" else [actor.id]
            last = ends
            for token in tokens:
                if (node, token) in self.room:
                    there = ("there", node, token)
                    self.tick[there] = start + ticks
                    self._after(there, last)
                    last = self.made[node, token] = there
            turns[node, ticks > 0].append((start, begins, last, 0))
        for items in turns.values():
            self._in_turn(items)

    def _hops(self) -> None:
        s, links, bits = self.schedule, self.schedule.machine.links, token_bits(self.graph)
        turns: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for h, (parcel, link, start) in enumerate(
            zip(s.hop_parcel.tolist(), s.hop_link.tolist(), s.hop_start.tolist(), strict=True)
        ):
            tokens = s.parcel_token[s.parcel_ptr[parcel] : s.parcel_ptr[parcel + 1]].tolist()
            cycles = -(-int(bits[tokens].sum()) // links[link].frame_bits)
            if not cycles:
                continue
            sends, arrives, delivers = ("sends", h), ("arrives", h), ("delivers", h)
            way = 1 + links[link].latency
            self.tick |= {sends: start, arrives: start + way, delivers: start + way + cycles - 1}
            self._after(arrives, sends, way)
            self._after(delivers, arrives, cycles - 1)
            for token in tokens:
                self._after(sends, ("there", links[link].src, token))
                self.users[links[link].src, token].append((("sent", h), 0))
                if (links[link].dst, token) in self.room:
                    there = ("there", links[link].dst, token)
                    self.tick[there] = start + way + cycles - 1
                    self._after(there, delivers)
                    self.made[links[link].dst, token] = arrives
            self.tick["sent", h] = start + cycles
            self._after(("sent", h), sends, cycles)
            turns[link].append((start, h, cycles))
        for link, hops in turns.items():
            self._in_turn([(start, ("sends", h), ("sent", h), 0) for start, h, _ in hops])
            self._in_turn([(start, ("arrives", h), ("delivers", h), 0) for start, h, _ in hops])
            self._in_turn([(start, ("sends", h), ("arrives", h), 0) for start, h, _ in hops], 1 + links[link].latency)

    def _rooms(self) -> None:
        for slot, depth in self.room.items():
            for user, late in self.users[slot] if slot in self.made else ():
                # Iteration n goes where n - depth was, which a firing reads ``late`` iterations later.
                self._after(self.made[slot], user, 0, depth - late)
