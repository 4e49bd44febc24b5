"""The machine engine: executes calendars tick by tick, with tokens in addressed memory."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import input_actors, token_makers
from graphsim.analysis.waiting import listed
from graphsim.calendars import Calendars, check, compile_calendars
from graphsim.errors import SimulationError, TokenError
from graphsim.graph import Graph
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import (
    FloatArray,
    Form,
    Keep,
    Progress,
    Run,
    as_inputs,
    input_groups,
)
from graphsim.simulate.machine.memory import CELL, COUNT, EMPTY, NO_SLOT, ON_PARAMETERS, RING, SIZE, STEP, TOKEN
from graphsim.simulate.machine.program import (
    FIRE,
    READ,
    SEGMENT,
    SEGMENT_END,
    Program,
    compile_program,
    output_columns,
)

#: Periods that are executed between two calls of ``progress``.
CHUNK = 256
#: Iterations are numbered with 31 bits in tags.
MOST_SAMPLES = 2**31 - 1


class MachineEngine:
    """Runs samples as the machine would: event by event, several iterations in flight, one period after the other.

    It knows graph and calendars, and of a schedule nothing else. What a firing or a hop reads, it reads at the address
    that the calendars give, in its tick; memory is tagged with token and iteration, and anything else than the expected
    tag stops the run. Times are those of source firings and of ends of sink firings as they happen, prologue and
    epilogue included.

    Args:
        graph: that the schedule or the calendars are for.
        schedule: a schedule, which is compiled, or calendars.

    Raises:
        SimulationError: too much is in flight.
        ScheduleError: it is for another graph, or the calendars cannot be loaded.
    """

    name = "machine"
    #: Whether hops are executed one by one, and link by link.
    apart = False

    def __init__(self, graph: Graph, schedule: Schedule | Calendars) -> None:
        import graphsim.native  # noqa: F401 - first, as it says what is wrong with Numba's settings
        from graphsim.simulate.machine.interpreter import advance  # compiles, or loads what is compiled

        self._form = Form(graph, self.name)
        self._advance = advance
        if isinstance(schedule, Schedule):
            schedule = compile_calendars(graph, schedule)
        else:
            check(graph, schedule)
        self.graph, self.calendars = graph, schedule
        graph = self._form.graph
        self._program = compile_program(graph, schedule, apart=self.apart)
        inputs = input_actors(graph)
        # Sources are given in source order, elements are numbered by input actor: the order of the input groups.
        self._source_order = sorted(range(len(graph.sources)), key=lambda s: input_groups(graph)[s])
        self._input_count = len(inputs)

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); see :class:`graphsim.simulate.engine.Engine`.

        Raises:
            TokenError: a token was late, stale, lost or overwritten; names tick, node and actor.
        """
        graph, p = self._form.graph, self._program
        given = as_inputs(graph, samples)
        n = len(given[0])
        if n > MOST_SAMPLES:
            raise SimulationError(f"machine: {n:,} samples in one run; it numbers at most {MOST_SAMPLES:,}")
        outputs = self._form.outputs(keep, n, flat=True)
        actors = output_columns(graph, p, outputs)
        timing = self._form.ticks(n)
        words, transit = np.full(p.cells, EMPTY, np.uint64), np.zeros(max(1, p.transit), np.uint64)
        words[p.initial_cell] = p.initial_word
        scratch = np.zeros(max(1, p.scratch), np.float32)
        rings = np.zeros(p.stages * len(p.depths), np.uint64)
        status = np.zeros(5, np.int64)
        rows = np.zeros((CHUNK + p.stages, self._input_count), np.float32)

        began = time.perf_counter()
        last = n + p.stages - 1 if n else 0
        for first in range(0, last, CHUNK):
            end = min(first + CHUNK, last)
            row = max(0, first - p.stages + 1)
            self._fill(rows, given, row, min(end, n))
            failed = self._advance(
                first, end, n, p.period, p.stages, p.tokens, graph.actor_count, row,
                p.events, p.event_tick, p.depths, p.delays, rings, p.runs, p.segments, p.weights,
                actors, p.arguments, p.bias, p.divisor,
                words, words.view(np.float32), transit, transit.view(np.float32), scratch,
                rows, outputs.memory, self._form.column, timing.fired, timing.ended, status,
            )  # fmt: skip
            if failed:
                others = _others(graph, p, status, words, rings)
                raise TokenError(_message(graph, self.calendars, p, status) + others)
            if progress is not None:
                progress(min(max(0, end - p.stages + 1), n))
        wall = time.perf_counter() - began
        return Run(self.name, n, outputs.values, timing, wall)

    def _fill(self, rows: FloatArray, given: list[FloatArray], first: int, end: int) -> None:
        """Copy samples ``first`` .. ``end - 1`` of all sources side by side."""
        column = 0
        for source in self._source_order:
            flat = given[source]
            rows[: max(0, end - first), column : column + flat.shape[1]] = flat[first:end]
            column += flat.shape[1]


def _message(graph: Graph, calendars: Calendars, p: Program, status: npt.NDArray[np.int64]) -> str:
    """What went wrong, from the interpreter's status row: tick, node, actor, token, and what was found instead."""
    event, period, expected, found, cell = (int(v) for v in status)
    kind, stage, who = (int(v) for v in p.events[event, :3])
    iteration = period - stage
    # Tags are numbers of tokens modulo 2**32: what was found is the one nearest to what was expected.
    # What is read of an earlier iteration is that many times the number of tokens below this one's.
    back, token = divmod((expected - iteration * p.tokens + 2**31) % 2**32 - 2**31, p.tokens)
    tick = period * p.period + int(p.event_tick[event])
    machine = calendars.machine
    if who < graph.actor_count:
        node, what = int(p.node[who]), f"{graph.actor(who).name} fires and reads"
    else:
        link = int(p.hops.link[who - graph.actor_count])
        node, what = machine.links[link].src, f"link {machine.link_name(link)} sends"
    if who >= graph.actor_count and kind == READ:
        tick = iteration * p.period + _read_tick(calendars, p, who - graph.actor_count, token)
    wanted = iteration + back
    nearest = wanted * p.tokens + token + (found - expected + 2**31) % 2**32 - 2**31
    if cell == NO_SLOT:
        why = "is lost: it has no slot in the memory of this node"
    elif cell == ON_PARAMETERS:
        why = "is lost: its slot lies on the parameters of this node"
    elif found == EMPTY >> 32:
        why = "is late or lost: nothing is in its slot"
    elif nearest % p.tokens != token:
        why = f"is overwritten: in its slot is iteration {nearest // p.tokens} of {_token(graph, nearest % p.tokens)}"
    elif nearest < wanted * p.tokens:
        why = f"is late or lost: in its slot is still iteration {nearest // p.tokens}, which is stale"
    else:
        why = f"is overwritten: in its slot is iteration {nearest // p.tokens} already"
    place = f"tick {tick}, node {machine.nodes[node].name}"
    return f"{place}: {what} iteration {wanted} of {_token(graph, token)}, which {why}"


def _others(
    graph: Graph,
    p: Program,
    status: npt.NDArray[np.int64],
    words: npt.NDArray[np.uint64],
    rings: npt.NDArray[np.uint64],
) -> str:
    """What else the firing that failed does not find, for its message."""
    event, period, expected = (int(v) for v in status[:3])
    kind, stage, who = (int(v) for v in p.events[event, :3])
    if kind != FIRE:  # a hop reads one token after the other
        return ""
    iteration, row = period - stage, (period - stage) % p.stages * len(p.depths)
    lacking: list[str] = []
    for first, end, _ in p.segments[p.actors[who, SEGMENT] : p.actors[who, SEGMENT_END]].tolist():
        for run in p.runs[first:end].tolist():
            cell = run[CELL] + int(rings[row + run[RING]]) * run[STEP]
            for i in range(run[COUNT]):
                tag = (iteration * p.tokens + run[TOKEN] + i) % 2**32
                found = words[cell + i * run[SIZE] : cell + (i + 1) * run[SIZE]] >> np.uint64(32)
                if (found != tag).any() and tag != expected:
                    lacking.append(_token(graph, ((tag - iteration * p.tokens + 2**31) % 2**32 - 2**31) % p.tokens))
    return f"; also missing: {listed(lacking)}" if lacking else ""


def _read_tick(calendars: Calendars, p: Program, last: int, token: int) -> int:
    """When, in iteration 0, the hop of a train reads this token."""
    for hop in np.flatnonzero(p.train == last).tolist():
        if token in calendars.place_token[p.hops.place[p.hops.of == hop]]:
            return int((p.hops.last[hop] + 1) * calendars.link_stride[p.hops.link[hop]]) - 1
    raise AssertionError(f"hop {last} carries no token {token}")


def _token(graph: Graph, token: int) -> str:
    if token >= graph.actor_count:
        actor = int(input_actors(graph)[token - graph.actor_count])
        source = graph.actor(int(token_makers(graph)[token])).name
        return f"{source}'s token for {graph.actor(actor).name}"
    return f"the token of {graph.actor(token).name}"
