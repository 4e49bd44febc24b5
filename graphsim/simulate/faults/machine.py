"""The machine engine with faults."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from graphsim.calendars import Calendars
from graphsim.errors import SimulationError
from graphsim.graph import Graph
from graphsim.schedule.passage import passages_of
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import FloatArray, Keep, Progress, as_inputs
from graphsim.simulate.faults.draws import draw, mix, threshold
from graphsim.simulate.faults.file import MOST_BITS, Checksum
from graphsim.simulate.faults.plan import NEVER, Parcels, Plan, flight, syndromes
from graphsim.simulate.faults.run import FaultyRun, Frames
from graphsim.simulate.machine.engine import CHUNK, MachineEngine
from graphsim.simulate.machine.memory import COUNT, EMPTY, MOST_CELLS, TERM
from graphsim.simulate.machine.program import KIND, SEGMENT, SEGMENT_END, WHO, Program, output_columns
from graphsim.simulate.threads import share

Int64Array = npt.NDArray[np.int64]


class FaultyMachine(MachineEngine):
    """Runs samples as the machine would with these faults.

    A calendar knows nothing of faults: every firing and every hop has its tick, whatever there is to read. A firing
    that finds an operand missing makes nothing; a frame that would carry part of a missing token is sent as invalid,
    and what arrives invalid is missing.

    Raises:
        SimulationError, ScheduleError: see :class:`~graphsim.simulate.machine.engine.MachineEngine`.
    """

    apart = True  # what happens on a link happens to single hops

    def __init__(self, graph: Graph, schedule: Schedule, plan: Plan) -> None:
        super().__init__(graph, schedule)
        from graphsim.simulate.faults import loop  # compiles, or loads what is compiled

        self._advance_with_faults, self._find_least = loop.advance, loop.find_least
        self.plan = plan
        self._schedule = schedule
        program = _numbered(self._program, self.calendars, schedule)
        self._faulty, self._in_full = _with_weights(self._form.graph, program, plan)
        first, last = loop.FIRST_ROW, loop.LAST_ROW
        changes = (np.diff(program.events[:, [KIND, WHO]].astype(np.int64), axis=0) != 0).any(axis=1)
        self._ends = np.append(True, changes) * first | np.append(changes, True) * last
        seed = mix(plan.faults.seed)
        self._keys = np.array([draw(seed, hop) for hop in range(len(schedule.hop_link))], np.uint64)
        self._tables = None if plan.late else _Tables.of(self._form.graph, schedule, plan, 0)

    @property
    def independent(self) -> bool:
        """Whether no sample depends on another one: no state goes from one to the next, and no frame comes in the place
        of another iteration's.
        """
        return not self.plan.late and not any(c.initial_tokens for c in self._form.graph.channels)

    def least_draws(self, samples: int, threads: int) -> Int64Array:
        """The least of the numbers that decide which frames of a sample are hit, int64 (N,).

        Where it is not below a rate's :func:`~graphsim.simulate.faults.draws.threshold`, none is.
        """
        frames = np.ascontiguousarray(Parcels.of(self._form.graph, self._schedule).frames, np.int64)
        least = np.empty(samples, np.int64)
        spans = [(first, min(first + CHUNK, samples)) for first in range(0, samples, CHUNK)]
        share(
            spans,
            lambda span: self._find_least(*span, self._keys, frames, least),
            lambda span: span[1] - span[0],
            threads,
            None,
        )
        return least

    def run_with(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        rate: float,
        checksum: Checksum,
        keep: Keep = "all",
        progress: Progress | None = None,
        only: Int64Array | None = None,
    ) -> FaultyRun:
        """Run samples; see :class:`graphsim.simulate.faults.run.FaultyEngine`. May be called from several threads.

        Args:
            only: the numbers of the samples to run, ascending, if they are :attr:`independent`: they alone, as they are
                in a run of all.
        """
        graph, p, faults = self._form.graph, self._faulty, self.plan.faults
        given = as_inputs(graph, samples)
        iterations = np.arange(len(given[0])) if only is None else only
        if only is not None:
            given = [array[only] for array in given]
        n = len(iterations)
        if n * p.tokens >= 2**32 - p.tokens:  # tags would recur, and what is stale would pass for what is missing
            most = 2**32 // p.tokens - 2
            raise SimulationError(
                f"machine: {n:,} samples in one run with faults; {most:,} are the most for this graph"
            )
        t = self._tables or _Tables.of(graph, self._schedule, self.plan, n)
        outputs = self._form.outputs(keep, n, flat=True)
        missing = np.zeros(len(outputs.memory), np.uint8)
        actors = output_columns(graph, p, outputs)
        words, transit = np.full(p.cells, EMPTY, np.uint64), np.zeros(max(1, p.transit), np.uint64)
        words[p.initial_cell] = p.initial_word
        scratch = np.zeros(max(1, p.scratch), np.float32)
        rings = np.zeros(p.stages * len(p.depths), np.uint64)
        rows = np.zeros((CHUNK + p.stages, self._input_count), np.float32)
        counts, status = np.zeros((n, len(Frames.__dataclass_fields__)), np.int64), np.zeros(5, np.int64)
        noticed = np.full(len(self.calendars.machine.nodes), NEVER, np.int64)
        history, history_states = np.zeros(t.history, np.uint64), np.zeros(t.history_states, np.uint8)
        stamps, states = np.full(t.stamps, -1, np.int64), np.zeros(t.most_frames, np.uint8)
        origins, pads = np.zeros((t.most_frames, 4), np.int64), np.full((t.history_states, MOST_BITS), -1, np.int32)
        check = syndromes(checksum, t.most_bits)

        began = time.perf_counter()
        last = n + p.stages - 1 if n else 0
        for first in range(0, last, CHUNK):
            end = min(first + CHUNK, last)
            row = max(0, first - p.stages + 1)
            self._fill(rows, given, row, min(end, n))
            self._advance_with_faults(
                first, end, n, p.period, p.stages, p.tokens, graph.actor_count, row,
                p.events, p.event_tick, p.depths, p.delays, rings, p.runs, p.segments, p.weights,
                actors, p.arguments, p.bias, p.divisor,
                words, words.view(np.float32), transit, transit.view(np.float32), scratch,
                rows, outputs.memory, missing, status, iterations, self._ends,
                t.hops, t.offset, t.width, t.down_from, t.down, t.node, self.plan.dead, t.dropped_from, t.dropped,
                self._in_full, t.late, t.lanes, t.frame_lane, history, history_states, pads, stamps, states,
                origins, self._keys, threshold(rate), faults.bits, check, counts, noticed,
            )  # fmt: skip
            if progress is not None:
                progress(min(max(0, end - p.stages + 1), n))
        return FaultyRun(
            engine=self.name,
            samples=n,
            rate=rate,
            checksum=checksum,
            values=outputs.values,
            missing={name: _beside(missing, outputs.memory, array) for name, array in outputs.values.items()},
            counts=counts,
            noticed=np.where(noticed < NEVER, noticed, -1),
            wall_seconds=time.perf_counter() - began,
        )


def _beside(flags: npt.NDArray[np.uint8], memory: FloatArray, array: FloatArray) -> npt.NDArray[np.bool_]:
    """The flags that lie where an array lies in its memory."""
    start = (array.ctypes.data - memory.ctypes.data) // memory.itemsize
    strides = [stride // memory.itemsize for stride in array.strides]
    return np.lib.stride_tricks.as_strided(flags[start:].view(np.bool_), array.shape, strides)


@dataclass(frozen=True)
class _Tables:
    """What the loop reads beside the program; see :mod:`.loop`. The rest are sizes of what it writes."""

    hops: Int64Array
    offset: Int64Array
    width: Int64Array
    down_from: Int64Array
    down: Int64Array
    node: Int64Array
    dropped_from: Int64Array
    dropped: Int64Array
    late: Int64Array
    lanes: Int64Array
    frame_lane: Int64Array
    history: int
    history_states: int
    stamps: int
    most_frames: int
    most_bits: int

    @staticmethod
    def of(graph: Graph, schedule: Schedule, plan: Plan, samples: int) -> _Tables:
        """Of a run of so many samples: on the latest link there are no more iterations than there are."""
        from graphsim.simulate.faults import loop

        s, links, parcels = schedule, schedule.machine.links, Parcels.of(graph, schedule)
        hops = np.zeros((len(s.hop_link), loop.HOP_COLUMNS), np.int64)
        hops[:, loop.LINK], hops[:, loop.START], hops[:, loop.CYCLES] = s.hop_link, s.hop_start, parcels.cycles
        hops[:, loop.STRIDE_OF] = np.array(s.machine.link_strides, np.int64)[s.hop_link]
        hops[:, loop.FIRST] = s.parcel_ptr[s.hop_parcel]
        hops[:, loop.TOKENS] = np.diff(s.parcel_ptr)[s.hop_parcel]
        hops[:, loop.BITS], hops[:, loop.FRAMES] = parcels.bits[s.hop_parcel], parcels.frames
        hops[:, loop.FRAME_BITS] = np.array([link.frame_bits for link in links], np.int64)[s.hop_link]
        passages = passages_of(s)
        hops[:, loop.RATE], hops[:, loop.PASSES] = passages.pace, passages.many[passages.first] > 1
        hops[:, loop.FLIGHT] = np.array(s.machine.ways, np.int64)[s.hop_link]
        hops[:, loop.LATE] = -1

        late = np.zeros((len(plan.late), loop.LATE_COLUMNS), np.int64)
        lanes: list[Int64Array] = [np.empty((0, loop.LANE_COLUMNS), np.int64)]
        rows = words = states = stamps = frame_rows = 0
        for number, (link, change) in enumerate(sorted(plan.late.items())):
            found = parcels.lanes(s, link)
            later = flight(s, link, change.latency)
            late[number] = change.since, later, rows, rows + len(found)
            lanes.append(found)
            rows += len(found)
            here = np.flatnonzero(s.hop_link == link)
            longest = int(parcels.cycles[here].max(initial=0)) * s.machine.link_stride(link)
            copies = min((max(later, flight(s, link)) + 2 * longest) // s.period + 2, max(1, samples))
            for h in here.tolist():
                tokens, frames = int(hops[h, loop.TOKENS]), int(hops[h, loop.FRAMES])
                hops[h, loop.LATE], hops[h, loop.COPIES] = number, copies
                hops[h, loop.HISTORY], hops[h, loop.STATES], hops[h, loop.STAMP] = words, states, stamps
                hops[h, loop.LANE_ROW] = frame_rows
                words, states, stamps = words + copies * tokens, states + copies * frames, stamps + copies
                frame_rows += frames
        if max(words, states * MOST_BITS) > MOST_CELLS:
            raise SimulationError(
                f"machine: {words:,} tokens in {states:,} frames may be on late links at once, more than this engine "
                "holds; give them less latency, or run fewer samples"
            )
        table = np.concatenate(lanes)
        frame_lane = np.zeros(max(1, frame_rows), np.int64)
        frame_lane[hops[table[:, loop.LANE_HOP], loop.LANE_ROW] + table[:, loop.LANE_FRAME]] = table[:, loop.LANE]

        intervals = [plan.down.get(link, []) for link in range(len(links))]
        dropped = [plan.dropped.get(a, np.empty(0, np.int64)) for a in range(graph.actor_count)]
        return _Tables(
            hops=hops,
            offset=parcels.offset,
            width=np.ascontiguousarray(parcels.width),
            down_from=np.cumsum([0, *(len(one) for one in intervals)]).astype(np.int64),
            down=np.array([pair for one in intervals for pair in one], np.int64).reshape(-1, 2),
            node=s.node.astype(np.int64),
            dropped_from=np.cumsum([0, *(len(one) for one in dropped)]).astype(np.int64),
            dropped=np.concatenate(dropped),
            late=late,
            lanes=table,
            frame_lane=frame_lane,
            history=max(1, words),
            history_states=max(1, states),
            stamps=max(1, stamps),
            most_frames=max(1, int(parcels.frames.max(initial=0))),
            most_bits=max((link.frame_bits for link in links), default=1),
        )


def _numbered(program: Program, calendars: Calendars, schedule: Schedule) -> Program:
    """The program with hops numbered as in the schedule: a link carries a token in one hop."""
    s, hops, legs, events = schedule, program.hops, program.legs, program.events.copy()
    if not len(hops.link):
        return program
    leads = s.parcel_token[s.parcel_ptr[s.hop_parcel]]
    number = {key: h for h, key in enumerate(zip(s.hop_link.tolist(), leads.tolist(), strict=True))}
    first = calendars.place_token[hops.place[np.searchsorted(hops.of, np.arange(len(hops.link)))]]
    order = np.array([number[key] for key in zip(legs.link.tolist(), first[legs.hop].tolist(), strict=True)], np.int64)
    actors = len(program.actors)
    carried = events[:, WHO] >= actors
    events[carried, WHO] = actors + order[events[carried, WHO] - actors]
    return replace(program, events=events)


def _with_weights(graph: Graph, program: Program, plan: Plan) -> tuple[Program, npt.NDArray[np.uint8]]:
    """The program with wrong weights, and of which actors no term may be left out, uint8 (actors,).

    Every actor with a wrong weight gets a list of weights of its own.
    """
    in_full = np.zeros(graph.actor_count, np.uint8)
    if not plan.weights:
        return program, in_full
    segments, added, top = program.segments.copy(), [program.weights], len(program.weights)
    own: dict[int, FloatArray] = {}
    for wrong in plan.weights:
        for actor, positions in wrong.operands.items():
            in_full[actor] |= not np.isfinite(wrong.after)
            seen = 0
            for s in range(int(program.actors[actor, SEGMENT]), int(program.actors[actor, SEGMENT_END])):
                runs = program.runs[segments[s, 0] : segments[s, 1]].astype(np.int64)
                term = np.concatenate([[0], *(row[TERM] + np.arange(row[COUNT]) for row in runs)]).astype(np.int64)[1:]
                for position in positions:
                    if not seen <= position < seen + len(term):
                        continue
                    if s not in own:
                        first = int(segments[s, 2])
                        own[s] = program.weights[first : first + int(term.max()) + 1].copy()
                        segments[s, 2] = top
                        added.append(own[s])
                        top += len(own[s])
                    own[s][term[position - seen]] = wrong.after
                seen += len(term)
    return replace(program, segments=segments, weights=np.concatenate(added)), in_full
