"""Double buffering: computing and communicating alternate, in *metacycles* of M ticks each.

In every other metacycle nodes fire, in those between them links send; memories are in two sets that are exchanged
after each. So what is made in metacycle i is sent in metacycle i + 1 and used in metacycle i + 2 by firings on other
nodes; firings on the same node may use it in metacycle i already, after it is made. All hops of a parcel end in the
metacycle in which it is sent. M is what the longer of the two needs, and the period is two metacycles:

    2 * M = 2 * max(the busiest node's firings, the ticks until all parcels have arrived)

rounded up to whole cycles of all nodes and links in use.

No iteration overlaps computing with communicating, but iterations follow each other as in a pipeline, one in every
period, and a firing's *stage* is the number of periods after the first in which it fires. Where firings wait for each
other in a circle that takes more metacycles than the initial tokens on it allow, an iteration has k pairs of
metacycles instead of one, each pair with firings and parcels of its own, and the period is 2 * k * M.

This is the schedule of machines that exchange all their memories at once. It gives away half of the time at most: the
other one, ``single``, sends while it computes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphsim.analysis.cycles import slowest_cycle
from graphsim.schedule.modulo import Modulo
from graphsim.schedule.placed import IntArray, Times

#: A period that no communication reaches the end of.
_ENDLESS = 1 << 50


class Alternating(NamedTuple):
    """Times with double buffering, and what they are made of.

    Attributes:
        metacycle: ticks of one metacycle.
        pairs: pairs of metacycles in a period.
        computing, communicating: ticks that are needed of a metacycle.
    """

    times: Times
    metacycle: int
    pairs: int
    computing: int
    communicating: int

    @property
    def period(self) -> int:
        """Ticks from iteration to iteration."""
        return 2 * self.pairs * self.metacycle

    @property
    def remark(self) -> str:
        """What the period consists of, in words."""
        several = "" if self.pairs == 1 else f"{self.pairs:,} times "
        return (
            f"double buffering: {several}2 metacycles of {self.metacycle:,} ticks; computing needs "
            f"{self.computing:,} of one, communicating {self.communicating:,}"
        )


class Double(Modulo):
    """Finds times in which computing and communicating alternate, for one placement and its routes."""

    def alternate(self) -> Alternating:
        """The times.

        Raises:
            CycleWithoutTokensError: firings wait for each other in a circle without initial tokens.
        """
        actors = self.graph.actor_count
        step = self._step[self._leader]
        # A firing can use what another on its node makes in the same metacycle if it comes after that one there.
        lag = np.where(self._hop >= 0, 1, self._src >= self._dst).astype(np.int64)
        cycle = slowest_cycle(len(self._step), self._src, self._dst, lag, self._tokens)
        pairs = 1 if cycle is None else max(1, -(-cycle.ticks // cycle.tokens))
        stage = self._stages(lag, pairs)
        fired, sent = stage[step], stage[self._step[actors : actors + len(self.routes.parcel_node)]]

        turn = self.node * pairs + fired % pairs
        order = np.lexsort([step, turn])
        ends = np.cumsum(self.ticks[order])
        begins = ends - self.ticks[order]
        first = np.flatnonzero(np.diff(turn[order], prepend=-1))
        into = np.empty(actors, np.int64)
        into[order] = begins - np.repeat(begins[first], np.diff(np.append(first, actors)))
        computing = int((into + self.ticks).max())

        hop_into, arrived = self._sent(sent % pairs, pairs)
        communicating = int(arrived.max(initial=0))
        metacycle = self.whole(max(1, computing, communicating))
        start = 2 * metacycle * fired + into
        hop_start = 2 * metacycle * sent[self.routes.hop_parcel] + metacycle + hop_into
        return Alternating(Times(start, hop_start, self.span(start)), metacycle, pairs, computing, communicating)

    def _stages(self, lag: IntArray, pairs: int) -> IntArray:
        """The pair of metacycles in which each step is done, counted from the first, as early as can be."""
        from graphsim.schedule.reserve import earliest

        stage = np.zeros(len(self._step), np.int64)
        found = earliest(self._ptr, self._src, lag, self._tokens, pairs, stage)
        assert found, "no circle of steps takes more metacycles than its tokens allow"
        return stage

    def _sent(self, turn: IntArray, pairs: int) -> tuple[IntArray, IntArray]:
        """Ticks of its metacycle in which each hop starts, and has arrived; ``turn``: the pair of each parcel.

        Parcels with the longest way to go are sent first, each hop in the first ticks that its link has free.
        """
        from graphsim.schedule.calendar import Tables, send

        routes = self.routes
        start, end = np.zeros((2, len(self.hops)), np.int64)
        fixed = np.full(len(self.hops), -1, np.int64)
        way = np.zeros(len(turn), np.int64)
        np.maximum.at(way, routes.hop_parcel, self._way)
        room = self.table_room()
        for number in range(pairs):
            parcels = np.flatnonzero(turn == number)
            parcels = parcels[np.argsort(-way[parcels], kind="stable")]
            tables = Tables.empty(room)
            send(
                tables.room, tables.busy, tables.begin, tables.end, tables.ticks, tables.tick, tables.used,
                _ENDLESS, self.links, parcels, np.zeros(len(parcels), np.int64), routes.hop_ptr, self.hops, fixed,
                start, end,
            )  # fmt: skip
        return start, end
