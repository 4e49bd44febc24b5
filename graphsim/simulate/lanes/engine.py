"""The default engine: native speed, the same bits as the reference."""

from __future__ import annotations

import ctypes
import threading
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graphsim.errors import SimulationError
from graphsim.graph import Graph
from graphsim.graph.channels import IntArray
from graphsim.graph.circuit import is_circuit
from graphsim.simulate.engine import (
    FloatArray,
    Form,
    Keep,
    Outputs,
    Progress,
    Run,
    as_inputs,
)
from graphsim.simulate.lanes.program import Program
from graphsim.simulate.lanes.state import cut, rows_for
from graphsim.simulate.threads import cores, share

#: How weighted sums over dense bundles are done: terms whose input is zero skipped, or all multiplied. Bits are equal.
Way = Literal["auto", "skip", "dense"]
_WAYS: tuple[Way, ...] = ("auto", "skip", "dense")

#: A block's values are to stay in a core's L2 cache, or at least those that are alive at a time near it (bytes).
_CACHE = 384 << 10
_ROOM = 8 << 20
#: Samples per block: not fewer, as weights are read once per block; a multiple of this; not more.
_STEP = 24
_LEAST, _MOST = 96, 480
#: Edges below which a second thread costs more time than it saves.
_WORTH_A_THREAD = 4_000_000
#: The same for a second thread on the same sample.
_WORTH_A_TEAM = 20_000_000
#: Least ranges that samples are divided in.
_SPANS = 8


@dataclass(frozen=True)
class Ways:
    """How often a group's weighted sums (one per sample, and per block of a blocked bundle) were done which way."""

    skip: int
    dense: int


class _Workspace:
    """One thread's memory: rows of values that the run does not keep, scratch for sums, and counts."""

    def __init__(self, program: Program, block: int, room: tuple[int, ...]) -> None:
        local = program.local[program.local > 0]
        sizes = [program.row * block * 4, *(local * 4).tolist(), *room]
        starts = np.concatenate([[0], np.cumsum([-(-size // 64) * 64 + 64 for size in sizes])])
        self._memory = np.empty(int(starts[-1]) + 64, np.uint8)
        addresses = ((self._memory.ctypes.data + 63) // 64 * 64 + starts[:-1]).astype(np.int64)
        self.at = np.zeros((len(program.place), 3), np.int64)
        self.values = np.zeros_like(self.at)
        self.values[:, 0] = addresses[0] + program.place * block * 4
        self.values[program.local > 0, 0] = addresses[1 : 1 + len(local)]
        self.values[:, 2] = program.local > 0
        self.room = addresses[1 + len(local) :]
        self.counts = np.zeros((len(program.steps), 2), np.int64)
        self.addresses = self.at.ctypes.data, self.room.ctypes.data, self.counts.ctypes.data


class LanesEngine:
    """Runs a graph in native code, on several threads, a block of samples at a time.

    Each neuron's sum is accumulated from left to right; what runs side by side in vector lanes and threads are neurons
    and samples. Results do not depend on the number of threads. An engine may be used from several threads.

    Where state goes from sample to sample, they are run one after the other, from the initial tokens on in every run.

    Args:
        graph: the graph; its params must not change while the engine is used.
        threads: most threads to use; by default as many as this process may use cores.
        way: of weighted sums; "auto" decides for every block from the zeros in it.

    Raises:
        GraphError: the graph breaks its own rules.
        SimulationError: the graph is of a circuit; or no thread is allowed.
    """

    name = "lanes"

    def __init__(self, graph: Graph, threads: int | None = None, way: Way = "auto") -> None:
        import graphsim.native  # noqa: F401 - first, as it says what is wrong with Numba's settings
        from graphsim.simulate.lanes import execute, loops, sums  # these import Numba; new code is compiled

        if is_circuit(graph):
            raise SimulationError(f"{self.name}: {graph.name} is a circuit; use the circuit engine")
        if any(group.op == "lut" for group in graph.groups):
            raise SimulationError(
                f"{self.name}: {graph.name} has gates beside neurons; use an engine that runs schedules, or reference"
            )
        self._form = Form(graph, self.name)
        self.graph = graph
        graph, self._states = cut(self._form.graph)
        if threads is not None and threads < 1:
            raise SimulationError(f"{threads} threads; the lanes engine needs at least one")
        self.threads = threads or cores()
        self._execute = execute.execute
        self._program = program = Program(graph, loops, sums.ROWS, _WAYS.index(way))
        row = sum(int(w) * 4 for w, g in zip(program.widths, graph.groups, strict=True) if g.op != "source")
        block = max(_LEAST, min(_MOST, _CACHE // row // _STEP * _STEP))
        self._block = max(1, min(block, _ROOM // max(1, program.row * 4)))
        self._rows = [int(width) * 4 for width in program.widths]
        self._room = (
            *sums.room(program.summed_terms),
            program.offsets * 16,
            program.patches * 4,
            program.most_ports * 8,
            program.scratch * 4,
        )
        self._records = program.steps.ctypes.data, len(program.steps), program.ports.ctypes.data
        self._shift = len(graph.groups) - len(self._form.graph.groups)
        fed = [source for source in graph.sources if source >= self._shift]
        self._feeds = [(source, graph.channels_from(source)[0].dst) for source in fed]
        self._idle: list[_Workspace] = []
        self._lock = threading.Lock()
        self._counts = np.zeros((len(program.steps), 2), np.int64)

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); see :class:`graphsim.simulate.engine.Engine`."""
        inputs = as_inputs(self.graph, samples)
        began = time.perf_counter()
        n = len(inputs[0])
        outputs = self._form.outputs(keep, n)
        where: list[tuple[int, int, int]] = []
        for (source, group), array in zip(self._feeds, inputs, strict=True):
            address, row = array.ctypes.data, self._rows[source]
            where += [(source, address, row), (group, address, row)]
        for number, part in outputs.parts.items():
            group = number + self._shift
            where.append((group, part.ctypes.data, self._rows[group]))
        counts = np.zeros((len(self._program.steps), 2), np.int64)
        least = min(_STEP, self._block)
        threads = max(1, min(self.threads, self._program.edges * n // _WORTH_A_THREAD, -(-n // least)))
        block = min(self._block, max(least, -(-n // threads)))
        if self._states:
            self._run_in_sequence(where, n, outputs, counts, progress)
        elif (
            -(-n // least) < self.threads
            and (members := min(self.threads, self._program.edges * n // _WORTH_A_TEAM)) > 1
        ):
            self._run_team(where, n, members, counts)
            if progress is not None:
                progress(n)
        elif n <= block and progress is None:
            self._run_span(where, 0, n, block, counts)
        else:
            spans = _spans(n, block, threads)
            share(
                spans,
                lambda span: self._run_span(where, *span, block, counts),
                lambda span: span[1] - span[0],
                threads,
                progress,
            )
        self._counts = counts
        return Run(self.name, n, outputs.values, None, time.perf_counter() - began)

    def _run_in_sequence(
        self, where: list[tuple[int, int, int]], n: int, outputs: Outputs, counts: IntArray, progress: Progress | None
    ) -> None:
        """Run samples one after the other, each from the state that those before it have left."""
        rows = rows_for(self._states, n)
        made: dict[int, FloatArray] = {}
        for state, array in zip(self._states, rows, strict=True):
            where += [(group, array.ctypes.data, array.shape[1] * 4) for group in (state.source, state.input)]
            if state.group not in made:
                part = outputs.parts.get(state.group - self._shift)
                made[state.group] = np.empty_like(array) if part is None else part.reshape(n, -1)
                where.append((state.group, made[state.group].ctypes.data, array.shape[1] * 4))
        for sample in range(n):
            for state, array in zip(self._states, rows, strict=True):
                state.fill(sample, array, made[state.group])
            self._run_span(where, sample, sample + 1, 1, counts)
            if progress is not None:
                progress(sample + 1)

    def _run_span(self, where: list[tuple[int, int, int]], first: int, last: int, block: int, counts: IntArray) -> None:
        """Run a range of samples in this thread."""
        space = self._workspace(where)
        self._execute_in(space, first, last, block, 0, 1, 0)
        with self._lock:
            counts += space.counts
        self._idle.append(space)

    def _run_team(self, where: list[tuple[int, int, int]], n: int, members: int, counts: IntArray) -> None:
        """Run a few samples, several threads on each."""
        spaces = [self._workspace(where) for _ in range(members)]
        shared = self._program.place >= 0
        for space in spaces[1:]:
            space.at[shared] = spaces[0].at[shared]
        meeting = np.array([0, 0, _others()], np.int64)
        block, go = min(n, self._block), threading.Event()
        ready: list[bool] = []

        def help_out(member: int) -> None:
            go.wait()
            if ready:
                self._execute_in(spaces[member], 0, n, block, member, members, meeting.ctypes.data)

        helpers = [threading.Thread(target=help_out, args=(member,), daemon=True) for member in range(1, members)]
        try:
            for helper in helpers:
                helper.start()
            ready.append(True)
        finally:  # nobody may wait for a member that could not start
            go.set()
        self._execute_in(spaces[0], 0, n, block, 0, members, meeting.ctypes.data)
        for helper in helpers:
            helper.join()
        for space in spaces:
            counts += space.counts
            self._idle.append(space)

    def _workspace(self, where: list[tuple[int, int, int]]) -> _Workspace:
        """Memory for a run. ``where``: groups with rows of their own, address, bytes per row."""
        try:
            space = self._idle.pop()
        except IndexError:
            space = _Workspace(self._program, self._block, self._room)
        space.at[:], space.counts[:] = space.values, 0
        for group, address, row in where:
            space.at[group] = address, row, 0
        return space

    def _execute_in(
        self, space: _Workspace, first: int, last: int, block: int, member: int, members: int, meeting: int
    ) -> None:
        at, room, ways = space.addresses
        self._execute(*self._records, at, len(space.at), room, ways, first, last, block, member, members, meeting)

    @property
    def ways(self) -> dict[str, Ways]:
        """Of the last run: how each group's weighted sums were done. Groups without such sums are left out."""
        groups = (self._form.graph.groups[number - self._shift] for number in self._program.steps["group"])
        return {
            group.name: Ways(int(skipped), int(total - skipped))
            for group, (skipped, total) in zip(groups, self._counts, strict=True)
            if total
        }


def _spans(n: int, block: int, threads: int) -> list[tuple[int, int]]:
    """Ranges of whole blocks, ever shorter, so that a thread that is held up does not hold up the others at the end."""
    spans: list[tuple[int, int]] = []
    first, most = 0, max(1, -(-n // block) // _SPANS)
    while first < n:
        size = max(1, min(most, (n - first) // block // (2 * threads))) * block
        spans.append((first, min(first + size, n)))
        first += size
    return spans


def _others() -> int:
    """Address of a function that lets other threads run; 0 where the system has none."""
    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
