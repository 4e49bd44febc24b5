"""A calculator: each answer is a run of the dataflow graph of a net that calculates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphsim import zoo
from graphsim.compare.answers import Answers, answer
from graphsim.datasets.arithmetic import (
    OPERATIONS,
    CalculationDataset,
    Calculations,
    Encoding,
    why_invalid,
)
from graphsim.errors import DatasetError, UsageError
from graphsim.graph import Graph
from graphsim.pipeline import load_graph
from graphsim.simulate.engine import input_groups, output_groups
from graphsim.simulate.lanes import LanesEngine


class Calculator:
    """Answers calculations with a model of one's own, or with the shipped net of the fewest bits that will do.

    Models are lowered when they are first needed, and kept.

    Args:
        bits: of the shipped net to use, whatever the operands; None to choose for each calculation.
        model: a net that calculates.

    Raises:
        GraphsimError: the model cannot be used; there is no shipped net of so many bits.
    """

    def __init__(self, bits: int | None = None, model: Path | None = None) -> None:
        self._nets: dict[Path, _Net] = {}
        if model is not None:
            net = self._net(model)
            if bits not in (None, net.bits):
                raise UsageError(f"{model}: calculates with {net.bits} bits, not {bits}")
            self._choices: list[tuple[int, Path | None]] = [(net.bits, model)]
        elif bits is not None:
            self._choices = [(bits, zoo.shipped_alu(bits)[0])]
        else:
            self._choices = [(recipe.bits, None) for recipe in zoo.alu_recipes()]

    def __call__(self, a: int, operation: str, b: int) -> Answers:
        """What the net makes of one calculation.

        Raises:
            UsageError: it lies outside the domain, or no net has learnt it; the message says why.
        """
        path = self._choose(a, operation, b)
        net = self._net(path)
        code = OPERATIONS.index(operation)
        asked = Calculations(net.bits, np.array([a]), np.array([code]), np.array([b]))
        return answer(net.engine, net.graph, CalculationDataset(asked, (operation,), net.as_vectors, "one", "asked"))

    def _choose(self, a: int, operation: str, b: int) -> Path:
        reason = None
        for bits, model in self._choices:
            reason = why_invalid(bits, a, operation, b)
            if reason is not None:
                continue
            path, learnt = zoo.shipped_alu(bits) if model is None else (model, OPERATIONS)
            if operation in learnt:
                return path
            reason = f"the net of {bits} bits has not learnt {operation}; it knows {' '.join(learnt)}"
        raise UsageError(str(reason))

    def _net(self, path: Path) -> _Net:
        if path not in self._nets:
            self._nets[path] = _Net(path)
        return self._nets[path]


class _Net:
    """A lowered net, ready to run, and the encoding that it takes: read off the sizes of its input and output."""

    def __init__(self, path: Path) -> None:
        self.graph: Graph = load_graph(path)
        inputs, outputs = input_groups(self.graph), output_groups(self.graph)
        fed, given = self.graph.groups[inputs[0]].size, self.graph.groups[self.graph.number[outputs[0]]].size
        self.bits = given // 2 - 1
        encoding = Encoding(self.bits) if len(inputs) == len(outputs) == 1 and given % 2 == 0 and given >= 4 else None
        if encoding is None or fed not in (encoding.inputs, int(np.prod(encoding.vectors))):
            raise DatasetError(f"{path}: is no net that calculates: it takes {fed} numbers and gives {given}")
        self.as_vectors = fed != encoding.inputs
        self.engine = LanesEngine(self.graph)
