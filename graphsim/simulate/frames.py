"""The frames engine: calendars worked off tick by tick, bit by bit. Slow, and the oracle of the hardware level.

Nothing here knows what a parcel or a hop is. There are memories of bits, FIFOs of frames, and engines that work off
their calendars:

- every memory is a vector of bits, each 0, 1 or unknown; before tick 0 all are unknown but those of initial tokens;
- every link is a FIFO of ``1 + latency`` places, one for every cycle, each of ``frames_per_tick`` frames; in the first
  tick of every cycle the oldest comes out, to the scatter engine, and one goes in, from the gather engine;
- every switch is a delay line of ``1 + crossbar_latency`` places for each link into it; in the first tick of every
  cycle what comes out of them goes to the links that its crossbar calendars say;
- a frame is valid or not; before tick 0 the FIFOs hold invalid frames, and an idle gather engine sends them. What is
  invalid is not written;
- an actor reads the bits of its operands at their addresses, and its token is written bit by bit to its own.

An operand with unknown bits ends the run. Bits that are there but of another token or iteration do not: hardware cannot
tell. That is for the ``machine`` engine, which tags its memory, and for comparing values.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import input_actors, token_bits, token_makers, tokens_before
from graphsim.analysis.waiting import listed
from graphsim.calendars import IDLE, Calendars, Table, check, compile_calendars
from graphsim.errors import SimulationError, TokenError
from graphsim.graph import Graph
from graphsim.graph.firing import Prepared, fire, prepare
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import FloatArray, Form, Keep, Outputs, Progress, Run, as_inputs, token_shape

BitArray = npt.NDArray[np.uint8]

#: A bit that nothing has been written to.
UNKNOWN = 2
#: Bits of memory that the engine is willing to hold, and frames and firings in one metacycle.
MOST_BITS, MOST_EVENTS = 2**30, 2**24

#: What happens in a tick, in this order (see :class:`~graphsim.calendars.Calendars`).
_ARRIVE, _END, _INSTANT, _BEGIN, _LEAVE = range(5)
_PHASE = {_ARRIVE: 0, _END: 0, _INSTANT: 1, _BEGIN: 2, _LEAVE: 2}
#: Frames in one place of a FIFO, None where they are invalid.
_Frames = list[BitArray | None]


@dataclass(frozen=True)
class _Place:
    """Where a token lies: ``width`` bits from ``first + (n mod copies) * step`` on, in a memory."""

    memory: int
    first: int
    copies: int
    step: int
    width: int

    def bits(self, iteration: int) -> slice:
        """The bits of one iteration's token."""
        first = self.first + iteration % self.copies * self.step
        return slice(first, first + self.width)


@dataclass(frozen=True)
class _Actor:
    """What an actor reads and where it writes. Each operand is a token, its place or None, and how old it is."""

    id: int
    prepared: Prepared | None
    operands: tuple[tuple[int, _Place | None, int], ...]
    made: tuple[tuple[int, tuple[_Place, ...]], ...]


class FramesEngine:
    """Runs samples as the hardware would, bit by bit.

    Args:
        graph: that the schedule or the calendars are for.
        schedule: a schedule, which is compiled, or calendars.

    Raises:
        ScheduleError: the schedule or the calendars are for another graph, or do not fit the machine.
        SimulationError: tokens of a width that no value fits in, or more bits than this engine holds.
    """

    name = "frames"

    def __init__(self, graph: Graph, schedule: Schedule | Calendars) -> None:
        self.form = Form(graph, self.name)
        if isinstance(schedule, Schedule):
            schedule = compile_calendars(graph, schedule)
        else:
            check(graph, schedule)
        self.graph, self.calendars = graph, schedule
        self._check_size()
        self.places = self._places()
        self.actors = self._actors()
        self.events = self._events()
        self.crossbars = self._crossbars()

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); see :class:`graphsim.simulate.engine.Engine`.

        Raises:
            TokenError: an operand has bits that were never written; names tick, node and actor.
            SimulationError: a value does not fit into its token: only 0 and 1 fit into one bit.
        """
        given = as_inputs(self.graph, samples)
        began = time.perf_counter()
        outputs = self.form.outputs(keep, len(given[0]))
        world = _Hardware(self, given, outputs)
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            world.run(progress)
        return Run(self.name, len(given[0]), outputs.values, world.timing, time.perf_counter() - began)

    def _check_size(self) -> None:
        c, width = self.calendars, token_bits(self.form.graph)
        held = int((c.used * c.unit_bits).sum())
        busy = int(c.gather.length[c.gather.what != IDLE].sum())
        if held > MOST_BITS or busy > MOST_EVENTS:
            raise SimulationError(
                f"frames: {held:,} bits of memory, {busy:,} frames in a period; this engine holds {MOST_BITS:,} and "
                f"{MOST_EVENTS:,}; run the machine engine"
            )
        wrong = np.flatnonzero((width > 1) & (width < 32))
        if len(wrong):
            maker = self.form.graph.actor(int(token_makers(self.form.graph)[wrong[0]])).name
            raise SimulationError(f"frames: the token of {maker} has {width[wrong[0]]} bits; values have 1, or 32 bits")

    def _places(self) -> list[_Place]:
        c, width = self.calendars, token_bits(self.form.graph)
        ring = c.place_ring
        columns = (c.ring_memory[ring], c.ring_base[ring] + c.place_bit, c.ring_copies[ring], c.ring_step[ring])
        return [_Place(*row) for row in zip(*(a.tolist() for a in (*columns, width[c.place_token])), strict=True)]

    def _actors(self) -> list[_Actor]:
        graph, c = self.form.graph, self.calendars
        inputs = {int(a): graph.actor_count + i for i, a in enumerate(input_actors(graph))}
        read = {(v, t): self.places[p] for v, t, p in zip(*(a.tolist() for a in c.read_place), strict=True)}
        written: dict[tuple[int, int], list[_Place]] = {}
        for place, token in zip(self.places, c.place_token.tolist(), strict=True):
            if not c.is_rx[place.memory]:
                written.setdefault((int(c.memory_node[place.memory]), token), []).append(place)
        found = []
        for actor in graph:
            node = int(c.node[actor.id])
            made = [inputs[int(a)] for a in actor.consumers] if actor.group.op == "source" else [actor.id]
            outputs = tuple((token, tuple(written.get((node, token), ()))) for token in made)
            if actor.group.op == "source":
                found.append(_Actor(actor.id, None, (), outputs))
                continue
            prepared = prepare(actor)
            tokens = [inputs[actor.id]] if actor.id in inputs else prepared.producers.tolist()
            into = graph.channels_into(actor.group_number)
            late = [into[edge.port].initial_tokens for edge in actor.inputs]
            operands = tuple((t, read.get((node, t)), d) for t, d in zip(tokens, late, strict=True))
            found.append(_Actor(actor.id, prepared, operands, outputs))
        return found

    def _events(self) -> list[list[tuple[int, ...]]]:
        """What happens in each tick of a metacycle: (stage, kind, who, frame in the tick, ring, frame in the ring)."""
        c = self.calendars
        found: list[list[tuple[int, ...]]] = [[] for _ in range(c.period)]
        instants = (c.instant_tick, c.instant_stage, c.instant_actor)
        for tick, stage, actor in zip(*(a.tolist() for a in instants), strict=True):
            found[tick].append((stage, _INSTANT, actor, 0, 0, 0))
        for node, begin, actor, length, stage, offset in _rows(c.fire):
            stride = int(c.node_stride[node])
            if offset == 0:
                found[begin * stride].append((stage, _BEGIN, actor, 0, 0, 0))
            later, end = divmod((begin + length) * stride, c.period)
            goes_on = later == 1 and self._goes_on(actor, stage)
            if not goes_on:
                found[end].append((stage + later, _END, actor, 0, 0, 0))
        for kind, table in ((_LEAVE, c.gather), (_ARRIVE, c.scatter)):
            for link, begin, ring, length, stage, offset in _rows(table):
                for i in range(length):
                    cycle, lane = divmod(begin + i, c.machine.links[link].frames_per_tick)
                    found[cycle * int(c.link_stride[link])].append((stage, kind, link, lane, ring, offset + i))
        for events in found:  # older iterations first
            events.sort(key=lambda e: (-e[0], _PHASE[e[1]], e[1:]))
        return found

    def _crossbars(self) -> list[list[tuple[int, int, int, int]]]:
        """What switches do in each tick of a metacycle: (link, lane) of outputs, (link, lane) of inputs."""
        c = self.calendars
        found: list[list[tuple[int, int, int, int]]] = [[] for _ in range(c.period)]
        for link, begin, source, length, _, offset in _rows(c.crossbar):
            rate = c.machine.links[link].frames_per_tick
            for i in range(length):
                cycle, lane = divmod(begin + i, rate)
                found[cycle * int(c.link_stride[link])].append((link, lane, source, lane + offset - begin % rate))
        return found

    def _goes_on(self, actor: int, stage: int) -> bool:
        """Whether a firing that reaches the end of the metacycle goes on in the next."""
        fire = self.calendars.fire
        return bool(((fire.what == actor) & (fire.stage == stage + 1) & (fire.offset > 0)).any())


def _rows(table: Table) -> list[tuple[int, ...]]:
    """(component, begin, what, length, stage, offset) of all rows that are not idle."""
    columns = (table.owner, table.begin, table.what, table.length, table.stage, table.offset)
    return [row for row in zip(*(a.tolist() for a in columns), strict=True) if row[2] != IDLE]


class _Hardware:
    """One run: memories, FIFOs, and the firings that have not ended."""

    def __init__(self, engine: FramesEngine, given: list[FloatArray], outputs: Outputs) -> None:
        self.engine, self.given, self.values = engine, given, outputs.parts
        self.graph, self.calendars = engine.form.graph, engine.calendars
        c = self.calendars
        self.samples = len(given[0])
        self.memories: list[BitArray] = [np.full(n, UNKNOWN, np.uint8) for n in (c.used * c.unit_bits).tolist()]
        self.fifos: list[deque[_Frames]] = [
            deque([[None] * link.frames_per_tick for _ in range(1 + link.latency)]) for link in c.machine.links
        ]
        #: Links by stride; what no calendar sends over carries nothing but invalid frames, and is left out.
        self.by_stride: dict[int, list[int]] = {}
        tables = (c.gather, c.scatter, c.crossbar)
        in_use = {link for table in tables for link in table.owner[table.what != IDLE].tolist()}
        for link in sorted(in_use | set(c.crossbar.what[c.crossbar.what != IDLE].tolist())):
            self.by_stride.setdefault(int(c.link_stride[link]), []).append(link)
        self.crossings: dict[int, deque[_Frames]] = {
            i: deque([[None] * link.frames_per_tick for _ in range(1 + c.machine.nodes[link.dst].crossbar_latency)])
            for i, link in enumerate(c.machine.links)
            if c.into_switch[i]
        }
        self.working: dict[tuple[int, int], FloatArray] = {}
        self.timing, self.column = engine.form.ticks(self.samples), engine.form.column.tolist()
        self.sinks_left = [sum(self.graph.groups[i].size for i in self.graph.sinks)] * self.samples
        count, value = tokens_before(self.graph)
        for token, at in zip(*(a.tolist() for a in c.read_place[1:]), strict=True):
            for back in range(1, int(count[token]) + 1 if token < self.graph.actor_count else 1):
                self._write(engine.places[at], -back, value[token], token)

    def run(self, progress: Progress | None) -> None:
        """All ticks until every sample has come out, or a calendar's last stage has been worked off."""
        c, events = self.calendars, self.engine.events
        stages = 1 + max(max(map(itemgetter(0), part), default=0) for part in events)
        done = 0
        for k in range(self.samples + stages - 1 if self.samples else 0):
            for residue, part in enumerate(events):
                self._tick(k, k * c.period + residue, part, self.engine.crossbars[residue])
            if progress is not None:
                while done < self.samples and not self.sinks_left[done]:
                    done += 1
                progress(done)

    def _tick(self, k: int, tick: int, events: list[tuple[int, ...]], passed: list[tuple[int, int, int, int]]) -> None:
        specs = self.calendars.machine.links
        acting = [i for stride, links in self.by_stride.items() if tick % stride == 0 for i in links]
        arriving = {i: self.fifos[i].popleft() for i in acting}
        leaving: dict[int, _Frames] = {i: [None] * specs[i].frames_per_tick for i in acting}
        crossed = {i: self.crossings[i].popleft() for i in acting if i in self.crossings}
        for i in crossed:
            self.crossings[i].append(arriving[i])
        for link, lane, source, came in passed:
            leaving[link][lane] = crossed[source][came]
        for stage, kind, who, lane, ring, frame in events:
            n = k - stage
            if not 0 <= n < self.samples:
                continue
            if kind == _ARRIVE:
                valid = arriving[who][lane]
                if valid is not None:
                    memory, bits = self._frame(who, ring, frame, n)
                    self.memories[memory][bits] = valid
            elif kind == _LEAVE:
                memory, bits = self._frame(who, ring, frame, n)
                leaving[who][lane] = self.memories[memory][bits].copy()
            else:
                actor = self.engine.actors[who]
                if kind != _END:
                    self.working[who, n] = self._compute(actor, n, tick)
                if kind != _BEGIN:
                    self._effect(actor, n, tick, self.working.pop((who, n)))
        for i, frames in leaving.items():
            self.fifos[i].append(frames)

    def _frame(self, link: int, ring: int, frame: int, n: int) -> tuple[int, slice]:
        """The memory and the bits of one frame of a ring, in the copy of iteration n."""
        c, size = self.calendars, self.calendars.machine.links[link].frame_bits
        first = int(c.ring_base[ring] + n % c.ring_copies[ring] * c.ring_step[ring]) + frame * size
        return int(c.ring_memory[ring]), slice(first, first + size)

    def _compute(self, actor: _Actor, n: int, tick: int) -> FloatArray:
        """The token of a firing; a source's is its sample."""
        if actor.prepared is None:
            source = self.graph.sources.index(self.graph.actor(actor.id).group_number)
            at = n, self.column[actor.id]
            self.timing.fired[at] = min(int(self.timing.fired[at]), tick)
            sample: FloatArray = self.given[source][n]
            return sample
        values = [self._read(place, n - late) for _, place, late in actor.operands]
        if None in values:
            raise TokenError(self._lacking(actor, values, n, tick))
        return fire(actor.prepared, actor.prepared.weights * np.array(values, np.float32))

    def _read(self, place: _Place | None, n: int) -> np.float32 | None:
        """A token in the copy of iteration n; None where it has no place, or bits that nothing has been written to."""
        if place is None:
            return None
        bits = self.memories[place.memory][place.bits(n)]
        return None if (bits == UNKNOWN).any() else _unpacked(bits)

    def _lacking(self, actor: _Actor, values: list[np.float32 | None], n: int, tick: int) -> str:
        """What a firing does not find, for a message."""
        makers = token_makers(self.graph)
        wrong = [
            f"iteration {n - late} of the token of {self.graph.actor(int(makers[token])).name}, which "
            f"{'has no place there' if place is None else 'has bits that nothing has been written to'}"
            for (token, place, late), value in zip(actor.operands, values, strict=True)
            if value is None
        ]
        node = self.calendars.machine.nodes[int(self.calendars.node[actor.id])].name
        return f"tick {tick}, node {node}: {self.graph.actor(actor.id).name} fires and reads {listed(wrong)}"

    def _effect(self, actor: _Actor, n: int, tick: int, result: FloatArray) -> None:
        """A firing's end: its token gets into memory, and to the outputs."""
        for (token, places), value in zip(actor.made, result, strict=False):
            for place in places:
                self._write(place, n, value, token)
        group = self.graph.actor(actor.id).group_number
        if actor.prepared is not None and group in self.values:
            shape = token_shape(self.graph, group)
            local = self.graph.actor(actor.id).local
            self.values[group][n : n + 1].reshape(-1, *shape)[local] = result.reshape(shape)
        if group in self.graph.sinks:
            at = n, self.column[actor.id]
            self.timing.ended[at] = max(int(self.timing.ended[at]), tick)
            self.sinks_left[n] -= 1

    def _write(self, place: _Place, n: int, value: Any, token: int) -> None:
        bits = _packed(value, place.width)
        if bits is None:
            maker = self.graph.actor(int(token_makers(self.graph)[token])).name
            raise SimulationError(f"frames: iteration {n} of the token of {maker} is {value}; one bit holds 0 or 1")
        self.memories[place.memory][place.bits(n)] = bits


def _packed(value: Any, width: int) -> BitArray | None:
    """The bits of a token, least significant first: a float32 and zeros, or one bit; None where that cannot hold it."""
    if width == 1:
        return np.array([value == 1], np.uint8) if value == 1 or np.float32(value).tobytes() == bytes(4) else None
    bits = np.zeros(width, np.uint8)
    bits[:32] = np.unpackbits(np.array([value], "<f4").view(np.uint8), bitorder="little")
    return bits


def _unpacked(bits: BitArray) -> np.float32:
    if len(bits) == 1:
        return np.float32(bits[0])
    return np.float32(np.packbits(bits[:32], bitorder="little").view("<f4")[0])
