"""What a pass over logic circuits is, and how a sequence of them is one pass."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from graphsim.errors import GraphError
from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, is_circuit, of_graph, to_graph
from graphsim.passes.base import Pass

#: Called with how much of a pass is done, and of how much at most.
Working = Callable[[int, int], None]


@dataclass(frozen=True)
class LogicPass(Pass):
    """A transformation of circuits that keeps what they compute: every output in every cycle, from any inputs.

    Inputs and outputs stay, with their names and in their order. Registers that stay keep their names and values;
    a pass that takes some out says so. A gate that keeps its name keeps its value.
    """

    #: What the pass is called in lists of passes.
    name: ClassVar[str]
    #: Modules that it takes and that compile native code when they are imported first.
    natives: ClassVar[tuple[str, ...]] = ("graphsim.passes.logic.native_sweep",)

    def rewrite(self, circuit: Circuit) -> Circuit:
        """The transformed circuit; equal circuits make equal ones."""
        raise NotImplementedError

    def worked(self, circuit: Circuit, working: Working) -> Circuit:
        """As :meth:`rewrite`; passes that take long tell how far they are."""
        return self.rewrite(circuit)

    def apply(self, graph: Graph) -> Graph:
        """The graph of the transformed circuit, with the notes of the old one.

        Raises:
            GraphError: the graph is not one of gates.
        """
        if not is_circuit(graph):
            raise GraphError(
                f"{graph.name}: is not a circuit, and {self.label()} is a pass for circuits; for networks there are "
                "--prune-zeros and --unroll"
            )
        return to_graph(self.rewrite(of_graph(graph)))

    def label(self) -> str:
        """The pass in messages and tables."""
        return self.name


@dataclass(frozen=True)
class Counts:
    """How big a circuit is: gates, registers, gates on the longest path, and inputs of gates in all.

    ``two_input``: how many gates of two inputs it takes at least, k - 1 for one of k inputs: what circuits of gates of
    different sizes can be compared by.
    """

    gates: int
    two_input: int
    registers: int
    depth: int
    literals: int


def counts(circuit: Circuit) -> Counts:
    """The counts of a circuit."""
    two_input = int(np.maximum(circuit.fan_in - 1, 1).sum())
    return Counts(circuit.gate_count, two_input, circuit.register_count, circuit.depth, len(circuit.index))


@dataclass(frozen=True)
class Step:
    """One pass of a sequence, done: counts before and after, wall time in seconds without compiling native code."""

    label: str
    before: Counts
    after: Counts
    seconds: float


@dataclass(frozen=True)
class Passes(LogicPass):
    """Passes one after the other; graph and circuit are converted once."""

    name: ClassVar[str] = "passes"
    steps: tuple[LogicPass, ...] = ()

    def label(self) -> str:
        return ",".join(step.label() for step in self.steps)

    def rewrite(self, circuit: Circuit) -> Circuit:
        for step in self.steps:
            circuit = step.rewrite(circuit)
        return circuit

    def watched(
        self,
        circuit: Circuit,
        seen: Callable[[Step], None],
        working: Callable[[str, int, int], None] = lambda label, done, of: None,
    ) -> Circuit:
        """As :meth:`rewrite`; tells of each step when it is done, and of long ones how far they are."""
        before = counts(circuit)
        for step in self.steps:
            for module in step.natives:
                importlib.import_module(module)
            start = time.perf_counter()
            circuit = step.worked(circuit, partial(working, step.label()))
            seconds = time.perf_counter() - start
            after = counts(circuit)
            seen(Step(step.label(), before, after, seconds))
            before = after
        return circuit
