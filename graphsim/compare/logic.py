"""What a circuit computes, worked out level by level: the authority that runs of circuits are held to.

It knows nothing of graphs and engines: it follows the encoding that :class:`~graphsim.graph.circuit.Circuit` states.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit

BitArray = npt.NDArray[np.uint8]

#: Values of one level's gates that are worked out together; bounds memory, not results.
_TOGETHER = 1 << 20


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
            for gates, fanins, truth in self._levels:
                row = np.zeros((len(gates), part.shape[1]), np.uint64)
                for i, fanin in enumerate(fanins):
                    row |= part[fanin].astype(np.uint64) << np.uint64(i)
                part[gates] = truth >> row & np.uint64(1)
            if circuit.register_count:
                self.state = part[circuit.following, 0]
        return found.T

    def outputs(self, inputs: npt.NDArray[np.generic]) -> BitArray:
        """The outputs in the cycles that come next: uint8 (cycles, outputs)."""
        return self.values(inputs)[:, self._circuit.outputs]

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
