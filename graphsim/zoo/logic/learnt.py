"""A net of chosen gates: what is left of differentiable gates when each has made up its mind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Circuit, pack
from graphsim.zoo.logic.gates import NAMES, TRUTHS
from graphsim.zoo.logic.wiring import Wires

Bits = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Choices = npt.NDArray[np.uint8]


class Layer(NamedTuple):
    """``wires``: int32 (gates, 2), inputs A and B of each gate among the layer's inputs; ``gates``: uint8 (gates,),
    which of the sixteen gates each is.
    """

    wires: Wires
    gates: Choices


@dataclass(frozen=True, eq=False)
class Learnt:
    """Layers of gates, each fed by the outputs of the one before, the first by ``inputs`` inputs."""

    inputs: int
    layers: tuple[Layer, ...]

    @classmethod
    def of_model(cls, model: Any) -> Learnt:
        """The chosen gates of a Keras model whose layers of gates follow one another."""
        return cls.of_layers([layer for layer in model.layers if hasattr(layer, "logits")])

    @classmethod
    def of_layers(cls, found: Sequence[Any]) -> Learnt:
        """The chosen gates of Keras layers (:class:`graphsim.zoo.logic.layers.Gates`), each fed by the one before."""
        chosen = [np.asarray(layer.logits).argmax(axis=1).astype(np.uint8) for layer in found]
        return cls(found[0].inputs, tuple(map(Layer, (layer.wires for layer in found), chosen)))

    @cached_property
    def gate_count(self) -> int:
        """Gates in all layers."""
        return sum(len(layer.gates) for layer in self.layers)

    def counts(self) -> npt.NDArray[np.int64]:
        """How many gates of each layer are which, int64 (layers, 16)."""
        return np.stack([np.bincount(layer.gates, minlength=len(NAMES)) for layer in self.layers])

    def __call__(self, inputs: Bits) -> Bits:
        """Outputs (samples, outputs) of inputs (samples, inputs), bool."""
        samples = len(inputs)
        found = np.unpackbits(self.packed(np.packbits(inputs.T, axis=1)), axis=1, count=samples)
        return found.T.astype(np.bool_)

    def packed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Outputs (outputs, words) of inputs (inputs, words), unsigned integers, each bit a sample of its own."""
        ones = np.array(-1).astype(values.dtype)
        for layer in self.layers:
            a, b = values[layer.wires[:, 0]], values[layer.wires[:, 1]]
            truth = np.array(TRUTHS)[layer.gates][:, None]
            none, only_a, only_b, both = (np.where(truth >> m & 1, ones, np.zeros_like(ones)) for m in range(4))
            values = (~a & ~b & none) | (a & ~b & only_a) | (~a & b & only_b) | (a & b & both)
        return values

    def circuit(self, name: str, input_names: Sequence[str], output_names: Sequence[str]) -> Circuit:
        """The circuit with a gate for every learnt one, those included that pass an input on, ignore one, or lead
        nowhere; its outputs are the last layer's.
        """
        rows: list[list[int]] = []
        truth: list[int] = []
        first, below = 0, self.inputs
        for layer in self.layers:
            for (a, b), gate in zip(layer.wires.tolist(), layer.gates.tolist(), strict=True):
                word = TRUTHS[gate]
                if a > b:
                    a, b, word = b, a, word & 0b1001 | word >> 1 & 0b0010 | word << 1 & 0b0100
                row, reduced = _needed(first + a, first + b, word)
                rows.append(row)
                truth.append(reduced)
            first, below = below, below + len(layer.gates)
        indptr, index = pack(rows)
        return Circuit(
            name=name,
            input_names=tuple(input_names),
            output_names=tuple(output_names),
            outputs=np.arange(first, below, dtype=np.int32),
            indptr=indptr,
            index=index,
            truth=np.array(truth, np.uint64),
            initial=np.zeros(0, np.bool_),
            following=np.zeros(0, np.int32),
        )


def _needed(a: int, b: int, word: int) -> tuple[list[int], int]:
    """Fanins and truth table of a gate of two inputs, without inputs that it ignores."""
    if word in (0b0000, 0b1111):
        return [], word & 1
    if word in (0b1010, 0b0101):
        return [a], word & 0b11
    if word in (0b1100, 0b0011):
        return [b], word & 1 | word >> 1 & 0b10
    return [a, b], word


def run(circuit: Circuit, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Outputs (outputs, words) of a circuit without registers, for inputs (inputs, words): unsigned integers, of which
    each bit is a sample of its own.
    """
    value = list(inputs)
    for gate in range(circuit.gate_count):
        fanins, truth = circuit.fanins(gate), int(circuit.truth[gate])
        found = np.zeros(inputs.shape[1:], inputs.dtype)
        for m in range(1 << len(fanins)):
            if truth >> m & 1:
                term = ~np.zeros_like(found)
                for at, fanin in enumerate(fanins):
                    term &= value[fanin] if m >> at & 1 else ~value[fanin]
                found |= term
        value.append(found)
    return np.stack([value[signal] for signal in circuit.outputs])
