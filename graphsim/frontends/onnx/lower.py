"""From an ONNX file to a graph: constants folded, every operator built by its rule, all refusals at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from graphsim.errors import GraphError, ModelError, UnsupportedLayerError
from graphsim.frontends.blocks.arith import constant
from graphsim.frontends.blocks.shape import joined
from graphsim.frontends.builder import ANY_MEMORY, Builder, FloatArray, Memory, RefusedError, Tensor, Weight
from graphsim.frontends.onnx import folding
from graphsim.frontends.onnx import functions as _functions  # noqa: F401 - registers its rules
from graphsim.frontends.onnx import moving as _moving  # noqa: F401 - registers its rules
from graphsim.frontends.onnx import recurrent as _recurrent  # noqa: F401 - registers its rules
from graphsim.frontends.onnx.operators import RULES, Call, Value, sample_shape
from graphsim.frontends.onnx.reader import Array, Body, Node, OnnxModel, read
from graphsim.graph import Graph
from graphsim.graph.verify import verify

#: Operators that compute with all of their inputs, not with the first by the others' leave.
_OF_ALL = ("Add", "Concat", "Div", "Max", "Min", "Mod", "Mul", "Pow", "Sub", "Sum", "Where")
#: Operators that make truths or integers whatever they take.
_TRUTHS = ("And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual")
_WHOLE = frozenset((*_TRUTHS, "Not", "Or", "Shape", "Size", "Xor"))
_FLOAT = np.dtype(np.float32)

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
        self._ran = 0
        self._within: list[str] = []  # names of nodes whose graphs are run
        self._constants: dict[str, list[Array | None]] = {}  # of nodes inside, at first
        self._calls: dict[str, int] = {}
        self._made_whole: list[bool] = []
        self._whole: set[str] = set()  # tensors whose elements are integers or truths

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
            if not dtype.startswith("float"):
                self._whole.add(given.name)
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
            if node.op not in RULES and node.op not in folding.OPERATORS and not node.bodies:
                raise RefusedError("is not lowered")
            self._unknown.update(node.outputs)
            return
        missing = [name for name in node.inputs if name and name not in self.values]
        if missing:
            raise ModelError(f"{self.model.file}: node {node.name!r} takes {missing[0]!r}, which nothing makes")
        values = [self.values[name] if name else None for name in node.inputs]
        if node.bodies:
            self._keep(node, self._loop(node, values) if node.op == "Loop" else self._branch(node, values))
            return
        self._count()
        made = self._made(node, values)
        self._keep(node, made)
        # What an output is called is what a reference shows it as.
        for name, value in zip(node.outputs, made, strict=False):
            if isinstance(value, Tensor):
                self._observe(value, name)

    def _count(self) -> None:
        self._ran += 1
        if self._ran > MAX_NODES:
            raise ModelError(f"{self.model.file}: its loops run more than {MAX_NODES:,} nodes; so many are lowered")

    def _keep(self, node: Node, made: Sequence[Value]) -> None:
        """The outputs of a node by name."""
        whole = self._makes_whole(node)
        for number, (name, value) in enumerate(zip(node.outputs, made, strict=False)):
            if name:
                self.values[name] = value
                if whole or (node.op == "TopK" and number):
                    self._whole.add(name)

    def _made(self, node: Node, values: Sequence[Value | None]) -> Sequence[Value]:
        """What a node makes of its inputs."""
        arrays = [value for value in values if isinstance(value, np.ndarray) or value is None]
        is_constant = len(arrays) == len(values)
        if is_constant:
            made = folding.fold(node, arrays)
            if made is not None:
                return made
        rule = RULES.get(node.op)
        if rule is None:
            raise RefusedError("is not lowered")
        self._name(node, arrays)
        given = list(values)
        if is_constant and given and isinstance(given[0], np.ndarray) and given[0].dtype.kind == "f":
            array = given[0].astype(np.float32)  # constants that functions are applied to are actors, with their bounds
            given[0] = constant(self.builder, array, array.shape, suffix="constant")
        return rule(self.builder, Call(node, given, self.model.opset, self._is_whole(node)))

    def _name(self, node: Node, arrays: Sequence[Array | None]) -> None:
        """What the groups of a node are named after. Repetitions of a loop share its constants where they are equal."""
        to, name = self.builder, "/".join((*self._within, node.name))
        to.layer, to.call = name, 0
        if not self._within:
            return
        known = self._constants.setdefault(name, list(arrays))
        same = len(known) == len(arrays) and all(
            a is b or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))
            for a, b in zip(known, arrays, strict=True)
        )
        if same:
            to.call = self._calls.get(name, 0)
            self._calls[name] = to.call + 1
        else:
            again = self._calls.get(f"{name}@", 1)
            self._calls[f"{name}@"] = again + 1
            to.layer = f"{name}@{again}"

    # -- graphs inside ----------------------------------------------------------------------------------------------

    def _inside(self, node: Node, body: Body, given: Sequence[Value], whole: Sequence[bool]) -> list[Value]:
        """The outputs of a graph inside a node, whose names hide those around it.

        Raises:
            RefusedError: something in it is not lowered, or its inputs do not fit.
        """
        if len(body.inputs) != len(given):
            raise RefusedError(f"its graph takes {len(body.inputs)} inputs; it gets {len(given)}")
        values, unknown, found = self.values, self._unknown, self._whole
        self.values = {**values, **body.constants, **dict(zip(body.inputs, given, strict=True))}
        self._unknown, self._whole = set(unknown), found - set(body.inputs)
        self._whole |= {name for name, is_whole in zip(body.inputs, whole, strict=True) if is_whole}
        self._within.append(node.name)
        try:
            with self.builder.within(shows=False):
                for inner in body.nodes:
                    try:
                        self._run(inner)
                    except RefusedError as reason:
                        raise RefusedError(f"in its graph, {inner.name}: operator {inner.op}: {reason}") from None
            if lost := [name for name in body.outputs if name not in self.values]:
                raise RefusedError(f"its graph has no output {lost[0]!r}")
            self._made_whole = [name in self._whole for name in body.outputs]
            return [self.values[name] for name in body.outputs]
        finally:
            self._within.pop()
            self.values, self._unknown, self._whole = values, unknown, found

    def _branch(self, node: Node, values: Sequence[Value | None]) -> list[Value]:
        """The graph that a constant chooses."""
        condition = values[0] if values else None
        if not isinstance(condition, np.ndarray) or condition.size != 1:
            raise RefusedError("which of its graphs is taken depends on the sample")
        body = node.bodies.get("then_branch" if condition.reshape(-1)[0] else "else_branch")
        if body is None:
            raise RefusedError("it has no graph for its condition")
        return self._inside(node, body, (), ())

    def _loop(self, node: Node, values: Sequence[Value | None]) -> list[Value]:
        """A loop whose repetitions are known: an actor for every firing, as of a recurrent layer that is unrolled."""
        body = node.bodies.get("body")
        if body is None or len(values) < 2:
            raise RefusedError("it has no body, or no inputs")
        most, going = ([] if value is None else folding.single(value) for value in values[:2])
        carried = [value for value in values[2:] if value is not None]
        whole = [name in self._whole for name in node.inputs[2:] if name]
        parts: list[list[Value]] = []
        number = 0
        while (not most or number < most[0]) and (not going or going[0]):
            self._count()
            given: list[Value] = [np.array(number, np.int64), np.array(True), *carried]
            condition, *made = self._inside(node, body, given, [True, True, *whole])
            going = folding.single(condition)
            carried, whole = made[: len(carried)], self._made_whole[1 : 1 + len(carried)]
            parts.append(made[len(carried) :])
            number += 1
        if not parts and len(node.outputs) > len(carried):
            raise RefusedError("it makes sequences of no elements")
        self.builder.layer, self.builder.call = "/".join((*self._within, node.name)), 0
        return [*carried, *(self._stacked(list(steps), i) for i, steps in enumerate(zip(*parts, strict=True)))]

    def _stacked(self, steps: list[Value], number: int) -> Value:
        """What repetitions made, along a new first axis."""
        arrays = [step for step in steps if isinstance(step, np.ndarray)]
        if len(arrays) == len(steps):
            if len({array.shape for array in arrays}) > 1:
                raise RefusedError("its repetitions make different shapes")
            return np.stack(arrays)
        to = self.builder
        tensors = [
            step
            if isinstance(step, Tensor)
            else constant(to, step.astype(np.float32), step.shape, suffix=f"step{number}.{i}")
            for i, step in enumerate(steps)
        ]
        return joined(to, [x.reshaped((1, *x.shape)) for x in tensors], 0, suffix=f"steps{number}", observes="")

    def _is_whole(self, node: Node) -> bool:
        """Whether what it computes with are integers or truths, by the inputs that say what it computes with."""
        inputs = {"Where": node.inputs[1:], "OneHot": node.inputs[2:]}.get(node.op, node.inputs)
        if node.op not in _OF_ALL:
            inputs = inputs[:1]
        found = [
            name in self._whole or getattr(self.values[name], "dtype", _FLOAT).kind in "iub" for name in inputs if name
        ]
        return bool(found) and all(found)

    def _makes_whole(self, node: Node) -> bool:
        if node.op == "Cast":
            return node.attributes.get("to", 1) not in (1, 10, 11, 16)
        return node.op in _WHOLE or self._is_whole(node)

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
