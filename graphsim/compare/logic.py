"""What a circuit computes, worked out level by level or gate by gate: the authority that runs of circuits are held to.

It knows nothing of graphs and engines: it follows the encoding that :class:`~graphsim.graph.circuit.Circuit` states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit

BitArray = npt.NDArray[np.uint8]

#: Values of one level's gates that are worked out together; bounds memory, not results.
_TOGETHER = 1 << 20
#: Values per level below which arrays cost more than they save: choose how values are found, not what they are.
NARROW = 64


class Evaluation:
    """A circuit at work, from its initial state on.

    Attributes:
        state: of the registers, uint8 (R,), 0 or 1, in the cycle that comes next.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self.state: BitArray = circuit.initial.astype(np.uint8)

    def values(self, inputs: npt.NDArray[np.generic]) -> BitArray:
        """Every signal in every one of the cycles that come next.

        Args:
            inputs: 0 or 1, (cycles, I).

        Returns:
            uint8 (cycles, signals), a view.
        """
        circuit = self._circuit
        cycles = len(inputs)
        found = np.zeros((circuit.signal_count, cycles), np.uint8)
        found[: circuit.input_count] = inputs.T
        step = 1 if circuit.register_count else max(1, _TOGETHER // max(1, circuit.gate_count))
        for at in range(0, cycles, step):
            part = found[:, at : at + step]
            part[circuit.input_count : circuit.first_gate] = self.state[:, None]
            if circuit.gate_count * part.shape[1] < NARROW * circuit.depth:
                self._gate_by_gate(part)
            else:
                self._level_by_level(part)
            if circuit.register_count:
                self.state = part[circuit.following, 0]
        return found.T

    def outputs(self, inputs: npt.NDArray[np.generic]) -> BitArray:
        """The outputs in the cycles that come next: uint8 (cycles, outputs)."""
        return self.values(inputs)[:, self._circuit.outputs]

    def _level_by_level(self, value: BitArray) -> None:
        """Fill in the gates of (signals, cycles)."""
        for gates, fanins, truth in self._levels:
            row = np.zeros((len(gates), value.shape[1]), np.uint64)
            for i, fanin in enumerate(fanins):
                row |= value[fanin].astype(np.uint64) << np.uint64(i)
            value[gates] = truth >> row & np.uint64(1)

    def _gate_by_gate(self, value: BitArray) -> None:
        """Fill in the gates of (signals, cycles), for circuits that are deeper than wide."""
        first = self._circuit.first_gate
        for t in range(value.shape[1]):
            bits = value[:first, t].tolist()
            for fanins, truth in self._gates:
                row = 0
                for i, fanin in enumerate(fanins):
                    row |= bits[fanin] << i
                bits.append(truth >> row & 1)
            value[:, t] = bits

    @cached_property
    def _gates(self) -> list[tuple[list[int], int]]:
        """Fanins and truth table of each gate."""
        index, indptr = self._circuit.index.tolist(), self._circuit.indptr.tolist()
        return [
            (index[a:b], truth)
            for a, b, truth in zip(indptr[:-1], indptr[1:], self._circuit.truth.tolist(), strict=True)
        ]

    @cached_property
    def _levels(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint64]]]:
        """Gates of the same depth: their signals (n,), fanins (most, n), and truth tables (n, 1).

        Where a gate has fewer fanins than others, its table is repeated, so that those which fill up do not matter.
        """
        circuit = self._circuit
        fan_in, truth = circuit.fan_in, np.array(circuit.truth)
        most = int(fan_in.max(initial=0))
        rows = np.zeros((most, circuit.gate_count), np.int64)
        for i in range(most):
            rows[i, fan_in > i] = circuit.index[circuit.indptr[:-1][fan_in > i] + i]
            truth[fan_in <= i] |= truth[fan_in <= i] << np.uint64(1 << i)
        level = circuit.level[circuit.first_gate :]
        order = np.argsort(level, kind="stable")
        ends = np.cumsum(np.bincount(level, minlength=1)) if len(level) else np.zeros(1, np.int64)
        parts = np.split(order, ends[:-1])
        return [(part + circuit.first_gate, rows[:, part], truth[part, None]) for part in parts if len(part)]


@dataclass(frozen=True)
class Difference:
    """A signal that a run and somebody else disagree on, in one cycle."""

    cycle: int
    signal: str
    found: int
    expected: int

    def __str__(self) -> str:
        return f"{self.signal} is {self.found} in cycle {self.cycle:,}, expected {self.expected}"


@dataclass(frozen=True)
class Judgement:
    """How many values were compared, how many differ, and the first that does: by cycle, then by signal."""

    checked: int
    differ: int
    first: Difference | None


def judge_run(circuit: Circuit, inputs: BitArray, values: Mapping[str, npt.NDArray[np.float32]]) -> Judgement:
    """Compare the values of a run's groups, as far as it kept them, with :class:`Evaluation`.

    Args:
        inputs: 0 or 1, (cycles, I).
        values: by group of the circuit's graph: ``gate``, ``register`` (what it stores in that cycle), ``output``.
    """
    authority = Evaluation(circuit)
    signals: dict[str, npt.NDArray[np.integer]] = {
        "gate": np.arange(circuit.first_gate, circuit.signal_count),
        "register": circuit.following,
        "output": circuit.outputs,
    }
    names = {"register": circuit.register_names, "output": circuit.output_names}
    checked = differ = 0
    first: Difference | None = None
    step = max(1, _TOGETHER // max(1, circuit.signal_count))
    for at in range(0, len(inputs), step):
        expected = authority.values(inputs[at : at + step])
        for group, of_group in signals.items():
            if group not in values or not len(of_group):
                continue
            found = values[group][at : at + step].reshape(len(expected), len(of_group))
            wrong = found != expected[:, of_group]
            checked += wrong.size
            differ += int(wrong.sum())
            if wrong.any():
                cycle, i = (int(n) for n in np.argwhere(wrong)[0])
                if first is None or at + cycle < first.cycle:
                    name = names[group][i] if group in names else circuit.signal_name(int(of_group[i]))
                    value, truth = int(found[cycle, i]), int(expected[cycle, of_group[i]])
                    first = Difference(at + cycle, name, value, truth)
    return Judgement(checked, differ, first)


def judge_outputs(circuit: Circuit, outputs: BitArray, expected: BitArray, known: npt.NDArray[np.bool_]) -> Judgement:
    """Compare outputs, (cycles, outputs), with those that a file expects, where they are known."""
    wrong = known & (outputs != expected)
    first = None
    if wrong.any():
        cycle, i = (int(n) for n in np.argwhere(wrong)[0])
        first = Difference(cycle, circuit.output_names[i], int(outputs[cycle, i]), int(expected[cycle, i]))
    return Judgement(int(known.sum()), int(wrong.sum()), first)
