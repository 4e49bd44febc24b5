"""From neurons to gates: a small network whose inputs are bits becomes a circuit that computes the same.

A neuron of up to twelve bits is a table: it is fired once for every pattern of them, by the very arithmetic of
:mod:`graphsim.graph.firing`. Bits that only come in with a weight of zero, and those that change no bit of its value,
are not among them. The values found are its levels; which of them a neuron has is a number, whose bits are functions of
the same twelve, built from gates of up to six inputs. Neurons behind it read either the bits that it reads, if those
are few enough together, or its number.

Every table is proved: the gates that were built for a number's bits are evaluated for all patterns, and must give what
the neuron gave.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, is_circuit, pack, to_graph
from graphsim.graph.firing import fire, prepare
from graphsim.graph.verify import MAX_FAN_IN
from graphsim.passes.base import Pass

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
_Element = TypeVar("_Element", bound=np.generic)

#: Bits that a neuron may depend on.
MAX_BITS = 12
#: The note with the values that outputs stand for, by port.
LEVELS = "circuit.levels"
#: The note that says how much was proved.
PROVED = "circuit.proved"
_IGNORE = {"over": "ignore", "under": "ignore", "invalid": "ignore", "divide": "ignore"}


class _Table(NamedTuple):
    """What an actor is for every pattern of the signals that it depends on: pattern m has signal ``support[i]`` at bit
    i of m.
    """

    support: tuple[int, ...]
    values: FloatArray


class _Number(NamedTuple):
    """Signals, least significant first, that say the how manieth of its levels an actor has."""

    bits: tuple[int, ...]
    levels: FloatArray


@dataclass(frozen=True)
class ToLogic(Pass):
    """Make a circuit of a network of bits; see the module's docstring.

    Attributes:
        levels: the values that an input stands for where its bit is 0, and where it is 1.

    Raises:
        GraphError: lists the neurons that depend on too many bits; or the graph is a circuit, or has rates, state, or
            values that are not numbers.
    """

    levels: tuple[float, float] = (0.0, 1.0)

    def apply(self, graph: Graph) -> Graph:
        if is_circuit(graph):
            raise GraphError(f"{graph.name}: is a circuit already; gates are made of networks")
        if not graph.homogeneous or any(g.op in ("serial", "take") for g in graph.groups):
            raise GraphError(f"{graph.name}: has steps or state; gates are made of networks without (--unroll)")
        made = _Maker(graph, np.array(self.levels, np.float32))
        return made.graph()


class _Maker:
    def __init__(self, graph: Graph, levels: FloatArray) -> None:
        self.source, self.levels = graph, levels
        self.names: list[str] = []
        self.rows: list[tuple[int, ...]] = []
        self.truth: list[int] = []
        self.tables: dict[int, _Table] = {}
        self.numbers: dict[int, _Number] = {}
        self.wide: list[str] = []
        self._built: dict[tuple[tuple[int, ...], bytes], int] = {}
        self.patterns = self.proved = 0

    def graph(self) -> Graph:
        graph = self.source
        inputs = [n for n, g in enumerate(graph.groups) if g.op == "input"]
        for number in inputs:
            group = graph.groups[number]
            for i in range(group.size):
                self.tables[int(graph.first[number]) + i] = _Table((len(self.names),), self.levels)
                self.names.append(f"{group.name}[{i}]")
        outputs: list[tuple[str, int]] = []
        levels: dict[str, list[float]] = {}
        with np.errstate(**_IGNORE):  # type: ignore[arg-type]
            for number, group in enumerate(graph.groups):
                if group.op in ("source", "input", "collect"):
                    continue
                for actor in range(int(graph.first[number]), int(graph.first[number + 1])):
                    self._table(actor)
            if self.wide:
                listed = ", ".join(self.wide[:8]) + (f" and {len(self.wide) - 8:,} more" if len(self.wide) > 8 else "")
                raise GraphError(
                    f"{graph.name}: neurons that depend on more than {MAX_BITS} bits: {listed}; gates are made of "
                    "networks of few and quantised inputs per neuron"
                )
            for sink in graph.sinks:
                for port, shown in self._shown(sink):
                    if port not in levels:  # a neuron may be an output twice
                        outputs += [(f"{port}[{i}]", bit) for i, bit in enumerate(shown.bits)]
                        levels[port] = shown.levels.tolist()
        indptr, index = pack(self.rows)
        circuit = Circuit(
            name=graph.name,
            input_names=tuple(self.names),
            output_names=tuple(name for name, _ in outputs),
            outputs=np.array([bit for _, bit in outputs], np.int32),
            indptr=indptr,
            index=index,
            truth=np.array(self.truth, np.uint64),
            initial=np.zeros(0, np.bool_),
            following=np.zeros(0, np.int32),
            notes={
                **graph.notes,
                LEVELS: json.dumps(levels, separators=(",", ":")),
                PROVED: f"{self.proved:,} bits of neurons, on {self.patterns:,} patterns",
            },
        )
        return to_graph(circuit)

    def _shown(self, sink: int) -> list[tuple[str, _Number]]:
        """(port, number) of what a sink takes, or of the class that it finds."""
        graph = self.source
        name = graph.groups[sink].name
        if graph.groups[sink].op == "argmax":
            return [(f"{name}.class", self._number(int(graph.first[sink])))]
        found = []
        for actor in range(int(graph.first[sink]), int(graph.first[sink + 1])):
            for edge in graph.actor(actor).inputs:
                one = graph.actor(edge.producer)
                found.append((f"{one.group.name}.{one.local}", self._number(edge.producer)))
        return found

    def _table(self, actor: int) -> None:
        prepared = prepare(self.source.actor(actor))
        producers, weights = prepared.producers, prepared.weights
        if prepared.op == "linear":  # a sum starts at +0, which adding a zero of either sign leaves as it is
            infinite = [bool(np.isinf(self.tables[p].values).any()) for p in producers.tolist()]
            counts = (weights != 0) | np.array(infinite, np.bool_)
            producers, weights = producers[counts], weights[counts]
        of = producers.tolist()
        parts = [self.tables[p] for p in of]
        support = _union(parts)
        if len(support) > MAX_BITS:
            parts = [
                part if len(part.support) < 2 else _filled(self._number(p)) for p, part in zip(of, parts, strict=True)
            ]
            support = _union(parts)
        if len(support) > MAX_BITS:
            self.wide.append(f"{prepared.actor.name} ({len(support)})")
            self.tables[actor] = _Table((), np.zeros(1, np.float32))
            return
        place = {signal: i for i, signal in enumerate(support)}
        pattern = np.arange(1 << len(support))
        terms = np.zeros((len(parts), len(pattern)), np.float32)
        for row, part in zip(terms, parts, strict=True):
            own = np.zeros(len(pattern), np.int64)
            for i, signal in enumerate(part.support):
                own |= (pattern >> place[signal] & 1) << i
            row[:] = part.values[own]
        terms *= weights[:, None]
        # By their bits, as -0 and 0 may become different values.
        different, which = np.unique(terms.view(np.int32).T, axis=0, return_inverse=True)
        fired = np.array([fire(prepared, row)[0] for row in different.view(np.float32)], np.float32)
        values = fired[which.reshape(-1)]
        if np.isnan(values).any() and not self.wide:
            raise GraphError(f"{self.source.name}: {prepared.actor.name} is no number for some inputs")
        support, bits = _reduced(support, values.view(np.int32))
        self.tables[actor] = _Table(support, bits.view(np.float32))

    def _number(self, actor: int) -> _Number:
        """The number of the level that an actor has, built from gates and proved."""
        if actor in self.numbers:
            return self.numbers[actor]
        table = self.tables[actor]
        # By their bits, as -0 and 0 may become different values; but in the order of their values.
        found, which = np.unique(table.values.view(np.int32), return_inverse=True)
        order = np.argsort(found.view(np.float32), kind="stable")
        levels, which = found.view(np.float32)[order], np.argsort(order)[which.reshape(-1)]
        count = max(1, int(len(levels) - 1).bit_length())
        bits = []
        for i in range(count):
            wanted = (which >> i & 1).astype(np.bool_)
            signal = self._function(table.support, wanted)
            if not np.array_equal(self._evaluated(signal, table.support), wanted):
                raise GraphError(f"{self.source.actor(actor).name}: bit {i} of its gates is not what it computes")
            self.proved += 1
            self.patterns += len(wanted)
            bits.append(signal)
        self.numbers[actor] = _Number(tuple(bits), levels)
        return self.numbers[actor]

    def _function(self, support: tuple[int, ...], wanted: BoolArray) -> int:
        """A signal that is this function of ascending signals: split at the last one while they are too many."""
        support, wanted = _reduced(support, wanted)
        key = support, np.packbits(wanted).tobytes()
        if key not in self._built:
            if len(support) == 1 and wanted.tolist() == [False, True]:
                return support[0]
            if len(support) <= MAX_FAN_IN:
                self._built[key] = self._gate(support, sum(int(one) << m for m, one in enumerate(wanted)))
            else:
                half = len(wanted) // 2
                zero, one = (self._function(support[:-1], part) for part in (wanted[:half], wanted[half:]))
                self._built[key] = self._choice(support[-1], zero, one)
        return self._built[key]

    def _choice(self, chooser: int, zero: int, one: int) -> int:
        """A gate that shows ``one`` where the chooser is 1, else ``zero``."""
        fanins = tuple(sorted({chooser, zero, one}))
        truth = 0
        for m in range(1 << len(fanins)):
            value = {signal: m >> i & 1 for i, signal in enumerate(fanins)}
            truth |= (value[one] if value[chooser] else value[zero]) << m
        return self._gate(fanins, truth)

    def _gate(self, fanins: tuple[int, ...], truth: int) -> int:
        self.rows.append(fanins)
        self.truth.append(truth)
        return len(self.names) + len(self.rows) - 1

    def _evaluated(self, signal: int, support: tuple[int, ...]) -> BoolArray:
        """What the gates make of a signal, for every pattern of others."""
        pattern = np.arange(1 << len(support))
        value = {one: (pattern >> i & 1).astype(np.bool_) for i, one in enumerate(support)}
        stack = [signal]
        while stack:
            one = stack[-1]
            if one in value:
                stack.pop()
                continue
            fanins = self.rows[one - len(self.names)]
            if missing := [f for f in fanins if f not in value]:
                stack += missing
                continue
            m = np.zeros(len(pattern), np.int64)
            for i, f in enumerate(fanins):
                m |= value[f].astype(np.int64) << i
            truth = self.truth[one - len(self.names)]
            value[one] = np.array([truth >> k & 1 for k in range(1 << len(fanins))], np.bool_)[m]
        return value[signal]


def _union(parts: Sequence[_Table]) -> tuple[int, ...]:
    """All signals that some tables depend on, ascending."""
    return tuple(sorted({signal for part in parts for signal in part.support}))


def _filled(number: _Number) -> _Table:
    """A level for every pattern of a number's bits; patterns that never are get the greatest."""
    at = np.minimum(np.arange(1 << len(number.bits)), len(number.levels) - 1)
    return _Table(number.bits, number.levels[at])


def _reduced(support: tuple[int, ...], table: npt.NDArray[_Element]) -> tuple[tuple[int, ...], npt.NDArray[_Element]]:
    """A table without the signals that it does not depend on."""
    for i in reversed(range(len(support))):
        halves = table.reshape(-1, 2, 1 << i)
        if np.array_equal(halves[:, 0], halves[:, 1]):
            support, table = support[:i] + support[i + 1 :], halves[:, 0].reshape(-1)
    return support, table
