"""From an ONNX file to a graph: constants folded, every operator built by its rule, all refusals at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from graphsim.errors import GraphError, ModelError, UnsupportedLayerError
from graphsim.frontends.builder import ANY_MEMORY, Builder, FloatArray, Memory, RefusedError, Tensor, Weight
from graphsim.frontends.onnx import folding
from graphsim.frontends.onnx import recurrent as _recurrent  # noqa: F401 - registers its rules
from graphsim.frontends.onnx.operators import RULES, Call, Value, sample_shape
from graphsim.frontends.onnx.reader import Node, OnnxModel, read
from graphsim.graph import Graph
from graphsim.graph.verify import verify

#: More nodes than this are refused.
MAX_NODES = 100_000


def lower(path: Path | str, *, name: str | None = None, memory: Memory = ANY_MEMORY) -> Graph:
    """Lower an ONNX file to a graph of one actor per neuron; nothing in the file is run.

    Args:
        name: of the graph; the file's name without its suffix when None.
        memory: what constants and lists of edges may take.

    Raises:
        UnsupportedLayerError: some operators cannot be lowered; lists all of them.
        ModelError: the file cannot be read, is damaged, or contradicts itself; or takes more than ``memory`` allows.
    """
    path = Path(path)
    model = read(path)
    lowerer = _Lowerer(model)
    lowerer.builder.memory, lowerer.builder.held = memory, path.stat().st_size
    lowerer.build()
    graph = lowerer.graph(name or path.stem)
    try:
        verify(graph)
    except GraphError as error:
        raise ModelError(f"{model.file}: lowers to a graph that breaks a rule of graphs: {error}") from None
    return graph


class _Lowerer:
    """Goes through the nodes in order; what a refused node would have made is not known, and nor is what follows."""

    def __init__(self, model: OnnxModel) -> None:
        self.model, self.builder = model, Builder(model.file)
        self.values: dict[str, Value] = dict(model.constants)
        self.refusals: list[tuple[str, str]] = []
        self._unknown: set[str] = set()

    def build(self) -> None:
        """Inputs and all nodes.

        Raises:
            UnsupportedLayerError: nodes were refused.
        """
        model, to = self.model, self.builder
        if len(model.nodes) > MAX_NODES:
            raise ModelError(f"{model.file}: has {len(model.nodes):,} nodes; at most {MAX_NODES:,} are lowered")
        for given in model.inputs:
            only, dtype = len(model.inputs) == 1, given.dtype or "float32"
            x = to.input(given.name, sample_shape(given.shape), only=only, dtype=dtype)
            self.values[given.name] = x.reshaped(given.shape)
        for node in model.nodes:
            try:
                self._run(node)
            except RefusedError as reason:
                self.refusals.append((node.name, f"operator {node.op}: {reason}"))
                self._unknown.update(node.outputs)
        if self.refusals:
            raise UnsupportedLayerError(model.file, self.refusals)

    def _run(self, node: Node) -> None:
        """One node: folded where all it takes is constant, else built."""
        if node.refused:
            raise RefusedError(node.refused)
        if any(name in self._unknown for name in node.inputs):
            if node.op not in RULES and node.op not in folding.OPERATORS:
                raise RefusedError("is not lowered")
            self._unknown.update(node.outputs)
            return
        missing = [name for name in node.inputs if name and name not in self.values]
        if missing:
            raise ModelError(f"{self.model.file}: node {node.name!r} takes {missing[0]!r}, which nothing makes")
        values = [self.values[name] if name else None for name in node.inputs]
        made: Sequence[Value] | None = None
        arrays = [value for value in values if isinstance(value, np.ndarray) or value is None]
        if len(arrays) == len(values):
            made = folding.fold(node, arrays)
        if made is None:
            rule = RULES.get(node.op)
            if rule is None:
                raise RefusedError("is not lowered")
            self.builder.layer, self.builder.call = node.name, 0
            made = rule(self.builder, Call(node, values, self.model.opset))
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                self.values[name] = value
        # What an output is called is what a reference shows it as.
        for name, value in zip(node.outputs, made, strict=False):
            if isinstance(value, Tensor):
                self._observe(value, name)

    def _observe(self, x: Tensor, name: str) -> None:
        group = self.builder.groups[x.group]
        if group.observes and group.layer == self.builder.layer and math.prod(x.shape) == group.size:
            self.builder.groups[x.group] = replace(group, layer=name)

    def graph(self, name: str) -> Graph:
        """The graph, with a sink for every output."""
        model, to = self.model, self.builder
        outputs: list[tuple[str, Tensor]] = []
        for output in model.outputs:
            value = self.values.get(output)
            if not isinstance(value, Tensor):
                raise ModelError(f"{model.file}: output {output!r} does not depend on the inputs")
            outputs.append((output, value))
        to.finish(outputs)
        params = to.compute(_no_weight)
        notes = {"onnx": f"opset {model.opset}" + (f", written by {model.producer}" if model.producer else "")}
        return Graph(name, to.groups, to.channels, params, notes | to.notes)


def _no_weight(weight: Weight) -> FloatArray:
    raise KeyError(weight.param)  # rules of ONNX have constants only
