"""A graph as a program: flat records that native code walks, one step per group and one record per port.

Everything is a number: codes, sizes, group numbers, and addresses of parameters (0 where there is none), so that one
compiled interpreter runs every graph and nothing is compiled per model. All fields are int64 but the activation's
arguments, which are float64. ``function`` and ``activation`` are addresses of native code.

A value's *row* is what one sample has of a group: its actors' tokens, one behind the other, float32.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from graphsim.graph import Channel, Csr, Dense, Graph, OneToOne, Ref, Table
from graphsim.graph.ops import OPS
from graphsim.simulate.engine import FloatArray, token_shape

#: Kinds of step. INPUT: the sample itself. SUM: folds its terms from +0, FOLD: from the first term. WHOLE: an op on all
#: terms at once.
INPUT, SUM, FOLD, WHOLE = range(4)

#: Kinds of port. EACH: consumer j takes producer j // repeat. MATRIX: part of a SUM, over a dense bundle with weights.
#: RANGE: consumer j takes ``terms`` producers from (j // columns) * terms. LIST: consumer j takes those that an index
#: lists, from indptr[j], or j * terms where there is no indptr. Further kinds of bundles come here and into ``loops``.
EACH, MATRIX, RANGE, LIST = range(4)

#: Values that an activation takes aside at a time.
CHUNK = 512

#: A per-actor parameter: actor j reads ``address[(j // inner) % length]``.
PARAMETER = np.dtype([("address", np.int64), ("inner", np.int64), ("length", np.int64)])
PORT = np.dtype(
    [
        (name, np.int64)
        for name in ("kind", "source", "size", "repeat", "terms", "columns", "index", "indptr", "function")
    ]
    + [("weight", PARAMETER)]  # of EACH; else only its address
)
STEP = np.dtype(
    [(name, np.int64) for name in ("kind", "group", "size", "width", "first_port", "last_port")]
    + [("activation", np.int64)]
    + [(role, PARAMETER) for role in ("count", "bias", "divisor", "alpha")]
    + [("arguments", np.float64, (3,))]
)


class Native(Protocol):
    """The parts of the native code that a program refers to: module ``loops``."""

    def pack(self, weights: FloatArray) -> FloatArray:
        """Weights (terms, neurons) in the order in which sums read them."""

    def op_address(self, op: str, port: int) -> int:
        """Address of the native code of an op for a kind of port."""

    def activation_address(self, name: str) -> int:
        """Address of the native code of an activation, 0 for none."""


class Program:
    """The records of a graph, and what they point to.

    Attributes:
        steps: STEP records (groups but sources, in order).
        ports: PORT records, those of a step together, by port.
        widths: floats in a row of each group, int64 (groups,); of a source, its sample's.
        scratch: floats of scratch for an actor's terms or a chunk of values.
        summed_terms: the most that a MATRIX port gives an actor.
        edges: of the graph, as a measure of work.
    """

    def __init__(self, graph: Graph, native: Native) -> None:
        self._graph, self._native = graph, native
        self._packed: dict[tuple[str, int], FloatArray] = {}
        self._held: list[npt.NDArray[np.generic]] = []
        self.widths = np.array(
            [g.size * int(np.prod(token_shape(graph, i), dtype=int)) for i, g in enumerate(graph.groups)], np.int64
        )
        for source in graph.sources:
            self.widths[source] = graph.groups[graph.channels_from(source)[0].dst].size
        numbers = [i for i, g in enumerate(graph.groups) if g.op != "source"]
        self.steps = np.zeros(len(numbers), STEP)
        ports: list[npt.NDArray[np.void]] = []
        for step, number in zip(self.steps, numbers, strict=True):
            self._fill_step(step, number)
            step["first_port"] = len(ports)
            ports += [self._port(channel) for channel in graph.channels_into(number)]
            step["last_port"] = len(ports)
        self.ports = np.array(ports, PORT)
        self.scratch = max(CHUNK, int(self.ports["terms"].max()))
        self.summed_terms = max(1, int(self.ports["terms"][self.ports["kind"] == MATRIX].max(initial=0)))
        self.edges = graph.edge_count

    def _fill_step(self, step: Any, number: int) -> None:
        graph, group = self._graph, self._graph.groups[number]
        start = OPS[group.op].start
        step["kind"] = INPUT if group.op == "input" else {"zero": SUM, "first": FOLD, "none": WHOLE}[start]
        step["group"], step["size"], step["width"] = number, group.size, self.widths[number] // group.size
        step["activation"] = self._native.activation_address(group.activation)
        step["arguments"][: len(group.activation_args)] = group.activation_args
        for role in ("bias", "divisor", "alpha"):
            if role in group.params:
                step[role] = self._parameter(group.params[role])
        if group.op == "mean":
            fan_in = graph.fan_in(number)
            even = np.all(fan_in == fan_in[0])
            counts = (fan_in[:1] if even else fan_in).astype(np.float32)
            step["count"] = self._address(counts), group.size if even else 1, len(counts)

    def _port(self, channel: Channel) -> Any:
        graph, port = self._graph, np.zeros((), PORT)[()]
        src, dst = graph.groups[channel.src], graph.groups[channel.dst]
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
                port["kind"] = MATRIX if weight is not None and OPS[dst.op].start == "zero" else RANGE
            if weight is not None:
                array = self._matrix(weight, columns) if port["kind"] == MATRIX else graph.params[weight]
                port["weight"] = self._address(array), 1, columns
        elif isinstance(channel, Table | Csr):
            port["kind"], port["index"] = LIST, self._address(graph.params[channel.index])
            fan_in = channel.fan_in(src.size, dst.size, graph.params)
            port["terms"] = fan_in.max()
            if isinstance(channel, Csr):
                port["indptr"] = self._address(graph.params[channel.indptr])
            if channel.weight is not None:
                port["weight"]["address"] = self._address(graph.params[channel.weight.name])
        else:
            raise NotImplementedError(f"lanes has no loop for {channel.kind} bundles")
        if dst.op != "input" and port["kind"] != MATRIX:
            port["function"] = self._native.op_address(dst.op, int(port["kind"]))
        return port

    def _matrix(self, name: str, columns: int) -> FloatArray:
        """Packed weights; one copy however many bundles share them."""
        key = name, columns
        if key not in self._packed:
            self._packed[key] = self._native.pack(self._graph.params[name])  # type: ignore[arg-type]
        return self._packed[key]

    def _parameter(self, ref: Ref) -> tuple[int, int, int]:
        array = self._graph.params[ref.name]
        return self._address(array), ref.inner, len(array)

    def _address(self, array: npt.NDArray[np.generic]) -> int:
        self._held.append(array)
        return int(array.ctypes.data)
