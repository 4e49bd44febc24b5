"""A graph as a program: flat records that native code walks, one step per group and one record per port.

Everything is a number: codes, sizes, group numbers, and addresses of parameters (0 where there is none), so that one
compiled interpreter runs every graph and nothing is compiled per model. All fields are int64 but the activation's
arguments, which are float64. ``function`` and ``activation`` are addresses of native code.

A value's *row* is what one sample has of a group: its actors' tokens, one behind the other, float32. The rows of a
block of samples lie one behind the other too, so that a group's values are one *range*, actor after actor, sample after
sample. A step may be run on part of that range, a *unit*; a *chain* is several steps run one after the other on each
unit, while its values are in the cache.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from graphsim.graph import Channel, Csr, Dense, Graph, OneToOne, Ref, Table, Window
from graphsim.graph.ops import OPS
from graphsim.simulate.engine import FloatArray, token_shape
from graphsim.simulate.lanes.windows import PARAMETER, WINDOW, Held, as_patches, as_runs, is_dense

#: Kinds of step. INPUT: the sample itself. FOLD: folds its terms one by one. ELEMENT: an op on exactly one term per
#: port. WHOLE: an op on all terms at once.
INPUT, FOLD, ELEMENT, WHOLE = range(4)

#: Kinds of port. EACH: consumer j takes producer j // repeat. MATRIX: a weighted sum over a dense bundle.
#: RANGE: consumer j takes ``terms`` producers from (j // columns) * terms. LIST: consumer j takes those that an index
#: lists, from indptr[j], or j * terms where there is no indptr; SPARSE: the same in a weighted sum. RUNS and PATCHES: a
#: window bundle, see :mod:`graphsim.simulate.lanes.windows`; PATCHES is a weighted sum.
EACH, MATRIX, RANGE, LIST, SPARSE, RUNS, PATCHES = range(7)

#: Values that an activation takes aside at a time.
CHUNK = 512
#: Floats of a unit, and rows of sums in it; no unit is made longer than LONGEST for another step to join the chain.
_UNIT, _UNIT_ROWS, _LONGEST = 4096, 96, 1 << 16
#: Floats of patches that are laid out at a time.
_PATCH = 1 << 18

PORT = np.dtype(
    [
        (name, np.int64)
        for name in ("kind", "source", "size", "repeat", "terms", "columns", "index", "indptr", "function")
    ]
    + [(name, np.int64) for name in ("sum", "accumulate", "way")]
    + [("weight", PARAMETER), ("window", np.int64)]  # the weight's inner and length of EACH only; a WINDOW's address
)
STEP = np.dtype(
    [(name, np.int64) for name in ("kind", "group", "size", "width", "first_port", "last_port")]
    + [(name, np.int64) for name in ("chain", "unit", "granule", "activation", "function", "entries")]
    + [(role, PARAMETER) for role in ("count", "bias", "divisor", "alpha", "table")]
    + [("arguments", np.float64, (3,))]
)
#: Params of a group that become fields of its step.
_ROLES = ("bias", "divisor", "alpha")


class Native(Protocol):
    """The parts of the native code that a program refers to: module ``loops``."""

    #: Samples that a SPARSE port takes side by side.
    BATCH: int

    def pack(self, *matrices: FloatArray) -> FloatArray:
        """Weights (terms, neurons) in the order in which sums read them, those of several matrices together."""

    def fold_address(self, op: str, port: int) -> int:
        """Address of the native code of an op, or of "take", for a kind of port."""

    def accumulate_address(self) -> int:
        """Address of the native code of weighted sums over a MATRIX port."""

    def sum_address(self, port: int) -> int:
        """Address of the native code of weighted sums over a SPARSE or a PATCHES port."""

    def gather_address(self) -> int:
        """Address of the native code that collects an actor's terms."""

    def op_address(self, op: str) -> int:
        """Address of the native code of an op that folds nothing."""

    def activation_address(self, name: str) -> int:
        """Address of the native code of an activation, 0 for none."""


class Program:
    """The records of a graph, and what they point to.

    Attributes:
        steps: STEP records (groups but sources, in order). Of the first of each chain, ``chain`` is the number of its
            steps, and ``unit`` the floats of its units, a multiple of ``granule``, or 0 for all of a block.
        ports: PORT records, those of a step together, by port.
        widths: floats in a row of each group, int64 (groups,); of a source, its sample's.
        place: where the row of each group lies in a thread's memory, in floats, int64 (groups,): groups whose lives do
            not overlap share places. -1 for what is fed from outside.
        local: of groups that live only within a unit of their chain: its floats; else 0. int64 (groups,).
        row: floats in all places together.
        summed_terms: the most that a MATRIX or PATCHES port gives an actor.
        scratch: floats for an actor's terms, a chunk of values, or the terms of a unit.
        offsets: the most entries in a list of offsets of windows.
        patches: floats for patches, their sums, and a transposed block of samples.
        most_ports: the most ports of a step.
        edges: of the graph, as a measure of work.
    """

    def __init__(self, graph: Graph, native: Native, rows: int, way: int) -> None:
        self._graph, self._native, self._way = graph, native, way
        self._packed: dict[tuple[object, ...], FloatArray] = {}
        self._held = Held()
        self.widths = np.array(
            [g.size * int(np.prod(token_shape(graph, i), dtype=int)) for i, g in enumerate(graph.groups)], np.int64
        )
        for source in graph.sources:
            self.widths[source] = graph.groups[graph.channels_from(source)[0].dst].size
        numbers = [i for i, g in enumerate(graph.groups) if g.op != "source"]
        self.steps = np.zeros(len(numbers), STEP)
        self.offsets, self.patches, self.scratch, self.summed_terms, self.most_ports = 1, 0, CHUNK, 1, 1
        ports: list[Any] = []
        for step, number in zip(self.steps, numbers, strict=True):
            self._fill_step(step, number)
            into = [self._port(channel, rows) for channel in graph.channels_into(number)]
            if self._in_pairs(number, into):
                step["function"] = self._native.op_address("pairs")
            step["first_port"], step["last_port"] = len(ports), len(ports) + len(into)
            ports += into
            self.most_ports = max(self.most_ports, len(into))
            self.scratch = max(self.scratch, sum(int(port["terms"]) for port in into))
        self.ports = np.array(ports, PORT)
        self._chain()
        self._place()
        self.edges = graph.edge_count

    def _fill_step(self, step: Any, number: int) -> None:
        graph, group = self._graph, self._graph.groups[number]
        if group.op == "input":
            step["kind"] = INPUT
        elif OPS[group.op].start != "none":
            step["kind"] = FOLD
        else:
            step["kind"] = ELEMENT if group.op in ("select", "lookup") else WHOLE
            step["function"] = self._native.op_address(group.op)
        step["group"], step["size"], step["width"] = number, group.size, self.widths[number] // group.size
        step["activation"] = self._native.activation_address(group.activation)
        step["arguments"][: len(group.activation_args)] = group.activation_args
        for role in _ROLES:
            if role in group.params:
                step[role] = self._parameter(group.params[role])
        if "table" in group.params:
            ref = group.params["table"]
            step["entries"], columns = graph.params[ref.name].shape
            step["table"] = self._held.address(graph.params[ref.name]), ref.inner, columns
        if group.op == "mean":
            fan_in = graph.fan_in(number)
            even = np.all(fan_in == fan_in[0])
            counts = (fan_in[:1] if even else fan_in).astype(np.float32)
            step["count"] = self._held.address(counts), group.size if even else 1, len(counts)

    def _port(self, channel: Channel, rows: int) -> Any:
        graph, port = self._graph, np.zeros((), PORT)[()]
        src, dst = graph.groups[channel.src], graph.groups[channel.dst]
        summed = channel.weight is not None and OPS[dst.op].start == "zero"
        port["source"], port["size"] = channel.src, src.size
        port["repeat"] = port["columns"] = port["terms"] = 1
        if src.op == "source":
            port["kind"], port["size"] = EACH, dst.size
        elif isinstance(channel, OneToOne):
            port["kind"] = EACH
            if channel.weight is not None:
                port["weight"] = self._parameter(channel.weight)
        elif isinstance(channel, Dense):
            terms, columns = src.size // channel.blocks, dst.size // channel.blocks
            port["terms"], port["columns"] = terms, columns
            weight = None if channel.weight is None else channel.weight.name
            if terms == 1:
                port["kind"], port["repeat"] = EACH, columns
            else:
                port["kind"] = MATRIX if summed else RANGE
            if weight is not None:
                array = graph.params[weight] if port["kind"] != MATRIX else self._matrix(weight, columns)
                port["weight"] = self._held.address(array), 1, columns
        elif isinstance(channel, Table | Csr):
            port["kind"], port["index"] = LIST, self._held.address(graph.params[channel.index])
            port["terms"] = channel.fan_in_range(src.size, dst.size, graph.params)[1]
            if isinstance(channel, Csr):
                port["indptr"] = self._held.address(graph.params[channel.indptr])
            if channel.weight is not None:
                port["weight"]["address"] = self._held.address(graph.params[channel.weight.name])
            if summed:
                port["kind"] = SPARSE
                self.patches = max(self.patches, (src.size + dst.size) * self._native.BATCH)
        elif isinstance(channel, Window):
            self._window(port, channel, rows, summed=summed)
        else:
            raise NotImplementedError(f"lanes has no loop for {channel.kind} bundles")
        kind = int(port["kind"])
        if kind in (MATRIX, PATCHES):
            port["accumulate"], port["way"] = self._native.accumulate_address(), self._way
        if kind in (SPARSE, PATCHES):
            port["sum"] = self._native.sum_address(kind)
        if OPS[dst.op].start != "none" and kind not in (MATRIX, PATCHES):
            port["function"] = self._native.fold_address(dst.op, LIST if kind == SPARSE else kind)
        elif dst.op in ("select", "lookup"):
            port["function"] = self._native.fold_address("take", kind)
        elif dst.op != "input" and (kind != RANGE or dst.op == "dot"):
            port["function"] = self._native.gather_address()
        return port

    def _window(self, port: Any, channel: Window, rows: int, *, summed: bool) -> None:
        weights = None if channel.weight is None else self._graph.params[channel.weight.name]
        patches = as_patches(channel) if summed else None
        if patches is not None and weights is not None:
            port["terms"], port["columns"] = patches.terms, patches.filters
            self.summed_terms = max(self.summed_terms, patches.terms)
            key = (channel.weight, channel.axes, channel.weight_offset)
            if key not in self._packed:
                self._packed[key] = self._native.pack(*patches.weights(weights))
            packed = self._packed[key]
            port["weight"]["address"] = self._held.address(packed)
            if is_dense(channel, patches):
                port["kind"] = MATRIX
                return
            port["kind"], window = PATCHES, patches.record(self._held)
            window["group_weights"] = packed.size // patches.groups
            window["rows"] = most = min(rows, max(6, _PATCH // patches.terms))
            self.patches = max(self.patches, most * (patches.terms + patches.filters))
        else:
            joined = self._graph.groups[channel.dst].op != "dot"  # whose ports are walked side by side
            port["kind"], window = RUNS, as_runs(channel, self._held, joined=joined)
            port["terms"] = channel.terms
            if weights is not None:
                port["weight"]["address"] = self._held.address(weights)
        self.offsets = max(self.offsets, int(window["list"]))
        record = np.zeros(1, WINDOW)
        record[0] = window
        port["window"] = self._held.address(record)

    def _in_pairs(self, number: int, ports: list[Any]) -> bool:
        """Whether a group is of op dot and its ports are window bundles whose edges pair off tap by tap."""
        graph = self._graph
        if graph.groups[number].op != "dot" or any(port["kind"] != RUNS for port in ports):
            return False
        for channel, port in zip(graph.channels_into(number), ports, strict=True):
            sizes = graph.groups[channel.src].size, graph.groups[number].size
            if channel.fan_in_range(*sizes, graph.params)[0] != port["terms"]:
                return False
        one, other = (self._held.record(int(port["window"])) for port in ports)
        self.offsets = max(self.offsets, int(one["list"]) + int(other["list"]))
        return bool(one["length"] == other["length"])

    def _chain(self) -> None:
        """Join steps to chains, and find the units of each."""
        steps, at = self.steps, 0
        while at < len(steps):
            granule, target = self._granule(steps[at])
            last = at + 1
            if granule:
                granule = math.lcm(granule, self._period(steps[at]))
                while last < len(steps) and self._follows(steps[at], steps[last]):
                    longer = math.lcm(granule, self._period(steps[last]))
                    if longer > max(granule, target, _LONGEST):
                        break
                    granule, last = longer, last + 1
                steps[at]["granule"], steps[at]["unit"] = granule, granule * max(1, target // granule)
            steps[at]["chain"] = last - at
            if steps[at]["kind"] == ELEMENT:
                floats = int(steps[at]["unit"]) or 0
                self.scratch = max(self.scratch, floats * int(steps[at]["last_port"] - steps[at]["first_port"]))
            at = last

    def _granule(self, step: Any) -> tuple[int, int]:
        """What a unit of a step must be a multiple of, in floats, but for its params; and about how long it should be.

        (0, 0): the step is run on whole blocks only.
        """
        if step["kind"] in (INPUT, WHOLE):
            return 0, 0
        granule, target = 1, _UNIT
        for port in self.ports[step["first_port"] : step["last_port"]]:
            part = int(port["repeat"])
            if port["kind"] in (LIST, SPARSE):
                return (int(step["size"]), 1) if step["kind"] == ELEMENT else (0, 0)
            if port["kind"] in (MATRIX, RANGE):
                part = int(port["columns"])
            elif port["kind"] in (RUNS, PATCHES):
                part = int(self._held.record(int(port["window"]))["part"])
            granule = math.lcm(granule, part)
            if port["kind"] in (MATRIX, PATCHES):
                target = max(target, _UNIT_ROWS * part)
        return granule, target

    def _period(self, step: Any) -> int:
        """After how many floats the params of a step repeat."""
        refs = [step[role] for role in ("count", "table", *_ROLES)]
        refs += [p["weight"] for p in self.ports[step["first_port"] : step["last_port"]] if p["kind"] == EACH]
        return math.lcm(*(int(ref["inner"]) * int(ref["length"]) for ref in refs if ref["address"]))

    def _follows(self, head: Any, step: Any) -> bool:
        """Whether actor j of a step takes the values of actors j, and there are as many as of the head of its chain."""
        ports = self.ports[step["first_port"] : step["last_port"]]
        same = step["kind"] == FOLD and step["size"] == head["size"]
        return bool(same and np.all(ports["kind"] == EACH) and np.all(ports["repeat"] == 1))

    def _place(self) -> None:
        """Give groups places that are free while they live: from their own chain to that of their last consumer."""
        graph = self._graph
        chain_of = np.full(len(graph.groups), -1, np.int64)
        heads = np.flatnonzero(self.steps["chain"])
        for number, head in enumerate(heads):
            chain_of[self.steps["group"][head : head + self.steps["chain"][head]]] = number
        self.place, self.local = np.full((2, len(graph.groups)), -1, np.int64)
        self.local[:] = 0
        ends: list[list[int]] = [[] for _ in heads]
        free = _Free()
        for number, head in enumerate(heads):
            for group in self.steps["group"][head : head + self.steps["chain"][head]].tolist():
                if graph.groups[group].op == "input":
                    continue
                readers = [int(chain_of[c.dst]) for c in graph.channels_from(group)]
                last = max(readers, default=number)
                if last == number and readers and self.steps["unit"][head]:
                    self.local[group] = self.steps["unit"][head]
                    continue
                self.place[group] = free.take(int(self.widths[group]))
                ends[last].append(group)
            for group in ends[number]:
                free.give(int(self.place[group]), int(self.widths[group]))
        self.row = free.end

    def _matrix(self, name: str, columns: int) -> FloatArray:
        """Packed weights; one copy however many bundles share them."""
        key = name, columns
        self.summed_terms = max(self.summed_terms, len(self._graph.params[name]))
        if key not in self._packed:
            self._packed[key] = self._native.pack(self._graph.params[name])  # type: ignore[arg-type]
        return self._packed[key]

    def _parameter(self, ref: Ref) -> tuple[int, int, int]:
        array = self._graph.params[ref.name]
        return self._held.address(array), ref.inner, len(array)


class _Free:
    """Places in memory: the least that is large enough, else more at the end. In floats, multiples of 16."""

    def __init__(self) -> None:
        self.end = 0
        self._gaps: list[tuple[int, int]] = []

    def take(self, size: int) -> int:
        size = -(-size // 16) * 16
        fitting = [(length, first) for first, length in self._gaps if length >= size]
        if fitting:
            length, first = min(fitting)
            self._gaps.remove((first, length))
            if length > size:
                self._gaps.append((first + size, length - size))
            return first
        first = self.end
        for gap in self._gaps:
            if sum(gap) == self.end:  # what is free at the end grows
                self._gaps.remove(gap)
                first = gap[0]
                break
        self.end = first + size
        return first

    def give(self, first: int, size: int) -> None:
        self._gaps.append((first, -(-size // 16) * 16))
        joined: list[tuple[int, int]] = []
        for gap in sorted(self._gaps):
            if joined and sum(joined[-1]) == gap[0]:
                joined[-1] = joined[-1][0], joined[-1][1] + gap[1]
            else:
                joined.append(gap)
        self._gaps = joined
