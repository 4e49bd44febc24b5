"""The events engine with faults: slow, in plain Python, bit by bit, and the oracle of :mod:`.machine`.

Frames are lists of bits that arrive on a link in a tick, in a lane; what a hop delivers are the bits that are there in
the ticks in which its calendar expects it.
"""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np

from graphsim.graph import Graph
from graphsim.graph.firing import fire
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import FloatArray, Keep, Outputs, Progress, as_inputs, token_shape
from graphsim.simulate.events import EventsEngine, _Firing, _Hop, _Slot, _World
from graphsim.simulate.faults.draws import hit_bits, hop_key, is_hit, threshold
from graphsim.simulate.faults.file import Checksum
from graphsim.simulate.faults.plan import NAN_BITS, POLYNOMIALS, Parcels, Plan, flight
from graphsim.simulate.faults.run import FaultyRun, Frames

#: A token is a float32, or None where it is missing.
Token = np.float32 | None
Bits = list[int]
#: What is counted, in order.
_COUNTED = tuple(Frames.__dataclass_fields__)


class FaultyEvents(EventsEngine):
    """Runs samples as communicating processes with these faults, by the calendar.

    Raises:
        ScheduleError: see :class:`~graphsim.simulate.events.EventsEngine`.
    """

    def __init__(self, graph: Graph, schedule: Schedule, plan: Plan) -> None:
        super().__init__(graph, schedule)
        self.plan = plan
        self.parcels = Parcels.of(self.form.graph, schedule)
        self.lanes: dict[tuple[int, int], int] = {}
        for link in range(len(schedule.machine.links)):
            for _, lane, hop, frame, _ in self.parcels.lanes(schedule, link).tolist():
                self.lanes[hop, frame] = lane
        for wrong in plan.weights:
            for firing in self.firings:
                if firing.prepared is not None:
                    for position in wrong.operands.get(firing.actor, ()):
                        firing.prepared.weights[position] = wrong.after

    def run_with(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        rate: float,
        checksum: Checksum,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> FaultyRun:
        """Run samples; see :class:`graphsim.simulate.faults.run.FaultyEngine`."""
        given = as_inputs(self.graph, samples)
        began = time.perf_counter()
        outputs = self.form.outputs(keep, len(given[0]))
        flags = self.form.outputs(keep, len(given[0]))
        world = _FaultyWorld(self, given, outputs, flags, progress, threshold(rate), checksum)
        with np.errstate(all="ignore"):
            world.run()
        return FaultyRun(
            engine=self.name,
            samples=len(given[0]),
            rate=rate,
            checksum=checksum,
            values=outputs.values,
            missing={name: array != 0 for name, array in flags.values.items()},
            counts=world.counts,
            noticed=np.array([world.noticed.get(v, -1) for v in range(len(self.schedule.machine.nodes))], np.int64),
            wall_seconds=time.perf_counter() - began,
        )


class _FaultyWorld(_World):
    """One run in which things go wrong."""

    def __init__(
        self,
        engine: FaultyEvents,
        given: list[FloatArray],
        outputs: Outputs,
        flags: Outputs,
        progress: Progress | None,
        limit: int,
        checksum: Checksum,
    ) -> None:
        super().__init__(engine, given, outputs, progress)
        self.plan, self.parcels, self.lanes = engine.plan, engine.parcels, engine.lanes
        self.flags, self.limit, self.checksum = flags.parts, limit, checksum
        self.counts = np.zeros((len(given[0]), len(_COUNTED)), np.int64)
        self.noticed: dict[int, int] = {}
        #: By link, tick of arrival, and lane: the bits, None for an invalid frame, and whose they are.
        self.air: dict[tuple[int, int, int], tuple[Bits | None, tuple[int, int, int]]] = {}

    def _count(self, what: str, n: int, many: int = 1) -> None:
        self.counts[n, _COUNTED.index(what)] += many

    def _missing(self, firing: _Firing) -> FloatArray:
        return cast(FloatArray, [None] * max(1, len(firing.made)))

    def _compute(self, firing: _Firing, n: int, operands: list[_Slot]) -> FloatArray:
        now = int(self.env.now)
        if self.plan.dead[firing.node] <= now:
            return self._missing(firing)
        if firing.prepared is None:
            return super()._compute(firing, n, operands)
        read: list[Any] = [
            slot.value[(n - late) % slot.depth] for late, slot in zip(firing.late, operands, strict=True)
        ]
        if any(value is None for value in read):
            self.noticed[firing.node] = min(self.noticed.get(firing.node, now), now)
            return self._missing(firing)
        return fire(firing.prepared, firing.prepared.weights * np.array(read, np.float32)[firing.terms])

    def _ended(self, firing: _Firing, n: int, result: FloatArray) -> FloatArray:
        is_dropped = n in self.plan.dropped.get(firing.actor, ())
        return self._missing(firing) if is_dropped or self.plan.dead[firing.node] <= self.env.now else result

    def _record(self, firing: _Firing, n: int, result: FloatArray) -> None:
        actor = self.graph.actor(firing.actor)
        group, lacks = actor.group_number, result[0] is None
        if lacks and group in self.values:
            result = np.full(max(1, *token_shape(self.graph, group), 1), np.nan, np.float32)
        if group in self.flags:
            self.flags[group][n : n + 1].reshape(-1, *token_shape(self.graph, group))[actor.local] = lacks
        super()._record(firing, n, result)

    # -- links --------------------------------------------------------------------------------------------------------

    def _frame_ticks(self, hop: _Hop, n: int, frame: int) -> tuple[int, int]:
        """The first tick of the cycle in which a frame is sent, and the tick in which it is there without faults."""
        cycle = frame // hop.pace
        first = int(self.schedule.hop_start[hop.number])
        tick = n * self.period + first + cycle * self.machine.link_stride(hop.link)
        return tick, tick + flight(self.schedule, hop.link)

    def _widths(self, hop: _Hop) -> list[int]:
        parcel = self.schedule.hop_parcel[hop.number]
        begin, end = self.schedule.parcel_ptr[parcel : parcel + 2]
        return [int(width) for width in self.parcels.width[begin:end]]

    def _sends(self, hop: _Hop, n: int, carried: list[np.float32]) -> list[np.float32]:
        bits: list[int | None] = []
        for token, width in zip(cast(list[Token], carried), self._widths(hop), strict=True):
            bits += [None] * width if token is None else _bits(token, width)
        size = self.machine.links[hop.link].frame_bits
        bits += [0] * (hop.frames * size - len(bits))
        late = self.plan.late.get(hop.link)
        for frame in range(hop.frames):
            payload = bits[frame * size : (frame + 1) * size]
            tick, arrival = self._frame_ticks(hop, n, frame)
            if late is not None and tick >= late.since:
                arrival = tick + flight(self.schedule, hop.link, late.latency)
            arrived = self._travels(hop, n, frame, None if None in payload else cast(Bits, payload), tick, arrival)
            # What was sent before a link became shorter, and would come after what is sent then, is overtaken.
            first_later = late and late.since + flight(self.schedule, hop.link, late.latency)
            if late is None or tick >= late.since or arrival < cast(int, first_later):
                self.air[hop.link, arrival, self.lanes[hop.number, frame]] = arrived, (hop.number, n, frame)
        return carried

    def _travels(self, hop: _Hop, n: int, frame: int, payload: Bits | None, tick: int, arrival: int) -> Bits | None:
        """What becomes of a frame on its way."""
        if payload is None:
            self._count("withheld", n)
            return None
        self._count("sent", n)
        if any(tick < up and arrival > since for since, up in self.plan.down.get(hop.link, [])):
            self._count("lost", n)
            return None
        key = hop_key(self.plan.faults.seed, hop.number, n)
        if not is_hit(key, frame, self.limit):
            return payload
        self._count("hit", n)
        wrong = payload.copy()
        for bit in hit_bits(key, frame, self.plan.faults.bits, len(payload)):
            wrong[bit] ^= 1
        if _checksum(wrong, self.checksum) != _checksum(payload, self.checksum):
            self._count("noticed", n)
            return None
        self._count("harmless", n, self._is_harmless(hop, frame, payload, wrong))
        return wrong

    def _is_harmless(self, hop: _Hop, frame: int, before: Bits, after: Bits) -> bool:
        """Whether bits differ only where no bit of a token is."""
        size = self.machine.links[hop.link].frame_bits
        used = [k < 32 for width in self._widths(hop) for k in range(width)]
        used += [False] * (hop.frames * size - len(used))
        part = used[frame * size : (frame + 1) * size]
        return not any(a != b and counts for a, b, counts in zip(before, after, part, strict=True))

    def _delivers(self, hop: _Hop, n: int, carried: list[np.float32]) -> list[np.float32]:
        bits: list[int | None] = []
        size = self.machine.links[hop.link].frame_bits
        for frame in range(hop.frames):
            _, arrival = self._frame_ticks(hop, n, frame)
            arrived, whose = self.air.pop((hop.link, arrival, self.lanes[hop.number, frame]), (None, None))
            bits += [None] * size if arrived is None else arrived
            self._count("lost", n, whose is None)
            self._count("misplaced", n, arrived is not None and whose != (hop.number, n, frame))
        tokens: list[Token] = []
        for width in self._widths(hop):
            part, bits = bits[:width], bits[width:]
            tokens.append(None if None in part else _token(cast(Bits, part)))
        return cast(list[np.float32], tokens)


def _bits(token: np.float32, width: int) -> Bits:
    """A token's bits, as :class:`~graphsim.simulate.faults.plan.Parcels` has them."""
    if width == 1:
        return [int(token != 0)]
    word = NAN_BITS if np.isnan(token) else int(np.float32(token).view(np.uint32))
    return [word >> k & 1 for k in range(max(0, 32 - width), 32)] + [0] * (width - 32)


def _token(bits: Bits) -> np.float32:
    if len(bits) == 1:
        return np.float32(bits[0])
    below = max(0, 32 - len(bits))
    word = sum(bit << (below + k) for k, bit in enumerate(bits[:32]))
    return np.float32(np.array(word, np.uint32).view(np.float32))


def _checksum(bits: Bits, checksum: Checksum) -> int:
    """The remainder of the bits, the highest first, times x^degree, by long division."""
    polynomial, degree = POLYNOMIALS[checksum]
    rest = 0
    for bit in [*reversed(bits), *[0] * degree] if degree else []:
        rest = rest << 1 | bit
        if rest >> degree:
            rest ^= 1 << degree | polynomial
    return rest
