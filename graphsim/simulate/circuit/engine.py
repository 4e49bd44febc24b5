"""The engine for circuits: 64 lanes in a word, eight words in a register, the bits of the reference."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
import numpy.typing as npt

import graphsim.native  # noqa: F401 - first, as it says what is wrong with Numba's settings
from graphsim.errors import SimulationError
from graphsim.graph import Graph
from graphsim.graph.circuit import Words, is_circuit, of_graph
from graphsim.simulate.circuit.code import WORDS
from graphsim.simulate.circuit.packed import PackedCircuit, Way
from graphsim.simulate.engine import (
    FloatArray,
    Keep,
    Progress,
    Run,
    as_inputs,
    check_runnable,
    kept_groups,
    value_shape,
)
from graphsim.simulate.threads import cores

_WAYS: tuple[Way, ...] = ("auto", "compiled", "interpreted")
#: Bytes of packed values at a time.
_ROOM = 32 << 20
_ONE = np.float32(1).view(np.int32)


class CircuitEngine:
    """Runs a graph of gates bit-parallel.

    Samples of a circuit without registers are lanes. Those of a clocked circuit are the cycles of one stream, as they
    follow each other; :meth:`run_words` runs many streams side by side.

    Args:
        graph: of a circuit.
        threads: most threads to use; by default as many as this process may use cores.
        way: see :class:`graphsim.simulate.circuit.packed.PackedCircuit`.

    Attributes:
        circuit: the circuit that the graph is of.

    Raises:
        GraphError: the graph breaks its own rules.
        SimulationError: it is not of a circuit, or of one without outputs; or no thread is allowed.
    """

    name = "circuit"

    def __init__(self, graph: Graph, threads: int | None = None, way: Way = "auto") -> None:
        check_runnable(graph, self.name)
        if not is_circuit(graph):
            raise SimulationError(f"{self.name}: {graph.name} is not a graph of gates; use the lanes engine")
        if threads is not None and threads < 1:
            raise SimulationError(f"{threads} threads; the circuit engine needs at least one")
        if way not in _WAYS:
            raise SimulationError(f"{self.name}: there is no way {way!r}; choose one of {', '.join(_WAYS)}")
        self.graph, self.circuit = graph, of_graph(graph)
        if not self.circuit.output_names:
            raise SimulationError(f"{self.name}: {graph.name} has no outputs, so that nothing is to be run")
        self.threads = threads or cores()
        self._way = way
        self._shown = self._packed(self.circuit.outputs)
        self._last = self._shown
        self._every: PackedCircuit | None = None

    def prepare(self) -> None:
        """Compile now, if ``way`` is "compiled", or take the code from the cache; else map the circuit."""
        self._shown.prepare()

    @property
    def ran(self) -> Literal["compiled", "interpreted"] | None:
        """How the last run was done; None before the first."""
        return self._last.ran

    @property
    def compile_seconds(self) -> float:
        """What compiling for the last run's outputs took, or finding the code in the cache; 0.0 if it was not done."""
        return self._last.compile_seconds

    @property
    def note(self) -> str:
        """How the last run was done, for people."""
        if self.ran != "compiled":
            return self.ran or ""
        return f"compiled, {'code from the cache' if self.was_kept else 'code made'} in {self.compile_seconds:.3f} s"

    @property
    def was_kept(self) -> bool:
        """Whether the code of the last run came from the cache on disk."""
        return self._last.was_kept

    def run_words(self, inputs: Words) -> Words:
        """Run words of 64 lanes: bit k of word w is lane 64 w + k.

        Args:
            inputs: uint64 (inputs, words) for one cycle in every lane; or (cycles, inputs, words), each lane a stream
                of its own whose registers begin with their initial values.

        Returns:
            uint64 (outputs, words), or (cycles, outputs, words).

        Raises:
            SimulationError: the shape does not fit.
        """
        self._last = self._shown
        return self._shown.run(inputs) if inputs.ndim == 2 else self._shown.run_cycles(inputs)

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, inputs) of 0.0 and 1.0; see :class:`graphsim.simulate.engine.Engine`.

        Raises:
            SimulationError: the shape does not fit; or a sample has a value other than 0 and 1.
        """
        (flat,) = as_inputs(self.graph, samples)
        kept = kept_groups(self.graph, keep)
        self._check_bits(flat)
        n, circuit = len(flat), self.circuit
        names = [self.graph.groups[g].name for g in kept]
        values = {
            name: np.empty((n, *value_shape(self.graph, g)), np.float32) for g, name in zip(kept, names, strict=True)
        }
        packed = self._last = self._all if {"gate", "register"} & set(names) else self._shown
        if n:
            packed.prepare(n if circuit.register_count else -(-n // (64 * WORDS)))
        began = time.perf_counter()
        # Where the signals that the groups show are among the packed circuit's.
        ends = np.cumsum([0, circuit.gate_count, circuit.register_count, len(circuit.outputs)])
        places = {"gate": slice(ends[0], ends[1]), "register": slice(ends[1], ends[2])}
        first = ends[2] if packed is not self._shown else 0
        places["output"] = places["sink"] = slice(first, first + len(circuit.outputs))
        bits = flat[:, : circuit.input_count] != 0
        signals = circuit.signal_count + len(packed.signals)
        state = packed.initial(1)
        step = (
            max(64, _ROOM * 8 // signals // 64 * 64) if not circuit.register_count else max(1, _ROOM // 64 // signals)
        )
        for begin in range(0, n, step):
            end = min(n, begin + step)
            if circuit.register_count:
                words = packed.run_cycles(bits[begin:end, :, None].astype(np.uint64), state)
                found = (words[:, :, 0] & np.uint64(1)).astype(np.float32)
            else:
                found = _unpacked(packed.run(_packed(bits[begin:end])), end - begin)
            for name, array in values.items():
                if name != "input":
                    array[begin:end] = found[:, places[name]].reshape(array[begin:end].shape)
            if progress is not None:
                progress(end)
        if "input" in values:
            values["input"][:] = flat
        return Run(self.name, n, values, None, time.perf_counter() - began, self.note)

    def _check_bits(self, flat: FloatArray) -> None:
        found = flat.view(np.int32)
        wrong = (found != 0) & (found != _ONE)
        if wrong.any():
            sample, bit = (int(at) for at in np.argwhere(wrong)[0])
            name = self.circuit.input_names[bit] if self.circuit.input_count else f"input[{bit}]"
            raise SimulationError(
                f"{self.graph.name}: input {name} is {flat[sample, bit]!s} in sample {sample}; a circuit takes 0 and 1"
            )

    @property
    def _all(self) -> PackedCircuit:
        """The circuit with every gate shown, then what registers become, then the outputs."""
        if self._every is None:
            c = self.circuit
            gates = np.arange(c.first_gate, c.signal_count)
            self._every = self._packed(np.concatenate([gates, c.following, c.outputs]).astype(np.int32))
        return self._every

    def _packed(self, signals: npt.NDArray[np.int32]) -> PackedCircuit:
        return PackedCircuit(self.circuit, signals, self._way, self.threads)


def _packed(bits: npt.NDArray[np.bool_]) -> Words:
    """Bool (lanes, signals) as uint64 (signals, words)."""
    lanes, signals = bits.shape
    words = np.zeros((signals, -(-lanes // 64) * 8), np.uint8)
    words[:, : -(-lanes // 8)] = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
    return words.view("<u8").astype(np.uint64, copy=False)


def _unpacked(words: Words, lanes: int) -> FloatArray:
    """uint64 (signals, words) as float32 (lanes, signals)."""
    data = words.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(data, axis=1, count=lanes, bitorder="little").T.astype(np.float32)
