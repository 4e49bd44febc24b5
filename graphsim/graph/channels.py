"""Channel bundles: every edge between two groups, encoded by a rule or by an index, never as objects.

A bundle joins group ``src`` (n_src actors) to input port ``dst``/``port`` of a group (n_dst actors). Edges are
ordered consumer by consumer, and within a consumer in *channel order*, in which its weighted sum accumulates. Actor
numbers here are local to their group (0 .. size - 1, C order over the group's shape).

======== ========================================== ================================== =========================
kind     edges of consumer j, in channel order      weight of its e-th edge            bytes stored per edge
======== ========================================== ================================== =========================
Dense    block r = j // (n_dst / blocks): every     W[e, j mod (n_dst / blocks)],      0 (4 with weight, shared
         actor of block r of src, ascending         W: (n_src/blocks, n_dst/blocks)    by all blocks)
OneToOne actor j                                    w[(j // inner) mod len(w)]         0
Table    index[j, e], index: int32 (n_dst, k)       w[j, e]                            4 (8 with weight)
Csr      index[indptr[j] + e], int32 and int64      w[indptr[j] + e]                   4 (8 with weight)
Window   by an affine rule along each axis, see     in any layout, see there           0 (4 per weight, shared)
         :mod:`graphsim.graph.window`
======== ========================================== ================================== =========================

``Dense(blocks=1)`` is all-to-all; from a group of one it is a broadcast, to a group of one a reduction, and with blocks
it is the same along the last axis of a tensor (a softmax over the last axis, a dense layer over time steps).

The dataflow view of a bundle: every edge is a FIFO channel with ``produce`` and ``consume`` tokens per firing,
``initial_tokens`` tokens at the start and ``token_bits`` bits per token. All consumers of an actor get the same token,
except a source's: its e-th edge carries element e of the sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Params = Mapping[str, npt.NDArray[np.generic]]


class Ref(NamedTuple):
    """A parameter by reference: its name in the graph's params; actor i of a group reads ``(i // inner) mod len``."""

    name: str
    inner: int = 1


class Edges(NamedTuple):
    """Explicit edges, all int64 of one length: local producer, local consumer, flat index into the weight array.

    ``weight`` is None for a bundle without weights.
    """

    src: IntArray
    dst: IntArray
    weight: IntArray | None


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What all kinds have.

    Attributes:
        src, dst: numbers of the groups. port: of the consumers.
        weight: of every edge, by a rule of the kind.
        produce, consume: tokens per firing.
        initial_tokens: on every edge at the start.
        token_bits: width of a token.
        initial: value of the initial tokens of every producer's edges, float32; +0 where it is None or -0.
        reset: whether every iteration starts from the initial tokens: what the iteration before has left is dropped.
            Without it, the state of one sample is where the next one starts.
    """

    kind: ClassVar[str]

    src: int
    dst: int
    port: int = 0
    weight: Ref | None = None
    produce: int = 1
    consume: int = 1
    initial_tokens: int = 0
    token_bits: int = 32
    initial: Ref | None = None
    reset: bool = False

    def references(self) -> tuple[str, ...]:
        """Names of the params this bundle refers to, weight and initial tokens last."""
        return tuple(ref.name for ref in (self.weight, self.initial) if ref is not None)

    def edge_count(self, n_src: int, n_dst: int, params: Params) -> int:
        """How many edges the bundle has."""
        raise NotImplementedError

    def fan_in(self, n_src: int, n_dst: int, params: Params) -> IntArray:
        """Edges into each consumer, int64 (n_dst,)."""
        raise NotImplementedError

    def fan_in_range(self, n_src: int, n_dst: int, params: Params) -> tuple[int, int]:
        """Least and greatest number of edges into a consumer."""
        raise NotImplementedError

    def inputs(self, consumer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        """The edges of one consumer, in channel order."""
        raise NotImplementedError

    def outputs(self, producer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        """The edges of one producer, by consumer, then in channel order."""
        raise NotImplementedError

    def consumers(self, producer: int, n_src: int, n_dst: int, params: Params) -> IntArray:
        """Local consumers of one producer, ascending, each as often as it has edges from it."""
        return self.outputs(producer, n_src, n_dst, params).dst

    def consumed(self, n_src: int, n_dst: int, params: Params) -> BoolArray:
        """Which producers have a consumer here, bool (n_src,)."""
        return np.ones(n_src, np.bool_)

    def expand(self, n_src: int, n_dst: int, params: Params) -> Edges:
        """Every edge: the oracle for all other methods. Costs 24 bytes per edge; meant for small graphs and checks."""
        raise NotImplementedError

    def check(self, n_src: int, n_dst: int, params: Params) -> None:
        """Raise GraphError where sizes, indices or weights do not fit."""
        raise NotImplementedError

    def _check_weight(self, shape: tuple[int, ...], params: Params) -> None:
        if self.weight is not None and params[self.weight.name].shape != shape:
            found = params[self.weight.name].shape
            raise GraphError(f"weight {self.weight.name} has shape {found}; this {self.kind} bundle needs {shape}")


@dataclass(frozen=True, kw_only=True)
class Dense(Channel):
    """Every actor of block r of src to every actor of block r of dst."""

    kind: ClassVar[str] = "dense"
    blocks: int = 1

    def edge_count(self, n_src: int, n_dst: int, params: Params) -> int:
        return n_src * n_dst // self.blocks

    def fan_in(self, n_src: int, n_dst: int, params: Params) -> IntArray:
        return np.full(n_dst, n_src // self.blocks, np.int64)

    def fan_in_range(self, n_src: int, n_dst: int, params: Params) -> tuple[int, int]:
        return n_src // self.blocks, n_src // self.blocks

    def inputs(self, consumer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        rows, columns = n_src // self.blocks, n_dst // self.blocks
        block, column = divmod(consumer, columns)
        local = np.arange(rows, dtype=np.int64)
        weight = None if self.weight is None else local * columns + column
        return Edges(local + block * rows, np.full(rows, consumer, np.int64), weight)

    def outputs(self, producer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        columns = n_dst // self.blocks
        block, row = divmod(producer, n_src // self.blocks)
        local = np.arange(columns, dtype=np.int64)
        weight = None if self.weight is None else row * columns + local
        return Edges(np.full(columns, producer, np.int64), block * columns + local, weight)

    def expand(self, n_src: int, n_dst: int, params: Params) -> Edges:
        rows, columns = n_src // self.blocks, n_dst // self.blocks
        block, column, row = (a.ravel() for a in np.indices((self.blocks, columns, rows), dtype=np.int64))
        weight = None if self.weight is None else row * columns + column
        return Edges(block * rows + row, block * columns + column, weight)

    def check(self, n_src: int, n_dst: int, params: Params) -> None:
        if self.blocks < 1 or n_src % self.blocks or n_dst % self.blocks:
            raise GraphError(f"{self.blocks} blocks do not divide {n_src} producers and {n_dst} consumers")
        self._check_weight((n_src // self.blocks, n_dst // self.blocks), params)


@dataclass(frozen=True, kw_only=True)
class OneToOne(Channel):
    """Actor j of src to actor j of dst."""

    kind: ClassVar[str] = "one_to_one"

    def edge_count(self, n_src: int, n_dst: int, params: Params) -> int:
        return n_dst

    def fan_in(self, n_src: int, n_dst: int, params: Params) -> IntArray:
        return np.ones(n_dst, np.int64)

    def fan_in_range(self, n_src: int, n_dst: int, params: Params) -> tuple[int, int]:
        return 1, 1

    def _weights(self, consumers: IntArray, params: Params) -> IntArray | None:
        if self.weight is None:
            return None
        return (consumers // self.weight.inner) % len(params[self.weight.name])

    def inputs(self, consumer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        at = np.array([consumer], np.int64)
        return Edges(at, at, self._weights(at, params))

    def outputs(self, producer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        return self.inputs(producer, n_src, n_dst, params)

    def expand(self, n_src: int, n_dst: int, params: Params) -> Edges:
        at = np.arange(n_dst, dtype=np.int64)
        return Edges(at, at, self._weights(at, params))

    def check(self, n_src: int, n_dst: int, params: Params) -> None:
        if n_src != n_dst:
            raise GraphError(f"one-to-one between {n_src} producers and {n_dst} consumers")
        if self.weight is not None:
            check_periodic(self.weight, n_dst, params)


@dataclass(frozen=True, kw_only=True)
class Table(Channel):
    """A fixed number of producers per consumer, listed in the param ``index``: int32 (n_dst, k), local producers."""

    kind: ClassVar[str] = "table"
    index: str

    def references(self) -> tuple[str, ...]:
        return (self.index, *super().references())

    def _index(self, params: Params) -> npt.NDArray[np.int32]:
        return params[self.index]  # type: ignore[return-value]

    def edge_count(self, n_src: int, n_dst: int, params: Params) -> int:
        return self._index(params).size

    def fan_in(self, n_src: int, n_dst: int, params: Params) -> IntArray:
        return np.full(n_dst, self._index(params).shape[1], np.int64)

    def fan_in_range(self, n_src: int, n_dst: int, params: Params) -> tuple[int, int]:
        return self._index(params).shape[1], self._index(params).shape[1]

    def inputs(self, consumer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        row = self._index(params)[consumer].astype(np.int64)
        k = len(row)
        weight = None if self.weight is None else np.arange(consumer * k, (consumer + 1) * k, dtype=np.int64)
        return Edges(row, np.full(k, consumer, np.int64), weight)

    def outputs(self, producer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        index = self._index(params)
        at = np.nonzero(index.reshape(-1) == producer)[0].astype(np.int64)
        weight = None if self.weight is None else at
        return Edges(np.full(len(at), producer, np.int64), at // index.shape[1], weight)

    def consumed(self, n_src: int, n_dst: int, params: Params) -> BoolArray:
        return _named(self._index(params), n_src)

    def expand(self, n_src: int, n_dst: int, params: Params) -> Edges:
        index = self._index(params)
        weight = None if self.weight is None else np.arange(index.size, dtype=np.int64)
        dst = np.repeat(np.arange(n_dst, dtype=np.int64), index.shape[1])
        return Edges(index.ravel().astype(np.int64), dst, weight)

    def check(self, n_src: int, n_dst: int, params: Params) -> None:
        index = params[self.index]
        if index.dtype != np.int32 or index.ndim != 2 or len(index) != n_dst or index.shape[1] < 1:
            found = f"{index.dtype} {index.shape}"
            raise GraphError(f"index {self.index} is {found}; a table needs int32 ({n_dst}, k) with k at least 1")
        _check_range(self.index, index, n_src)
        self._check_weight(index.shape, params)


@dataclass(frozen=True, kw_only=True)
class Csr(Channel):
    """Any number of producers per consumer: ``indptr`` int64 (n_dst + 1,), local producers ``index`` int32 (edges,)."""

    kind: ClassVar[str] = "csr"
    indptr: str
    index: str

    def references(self) -> tuple[str, ...]:
        return (self.indptr, self.index, *super().references())

    def edge_count(self, n_src: int, n_dst: int, params: Params) -> int:
        return params[self.index].size

    def fan_in(self, n_src: int, n_dst: int, params: Params) -> IntArray:
        return np.diff(params[self.indptr])

    def fan_in_range(self, n_src: int, n_dst: int, params: Params) -> tuple[int, int]:
        counts = self.fan_in(n_src, n_dst, params)
        return int(counts.min()), int(counts.max())

    def inputs(self, consumer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        first, last = (int(i) for i in params[self.indptr][consumer : consumer + 2])
        weight = None if self.weight is None else np.arange(first, last, dtype=np.int64)
        return Edges(params[self.index][first:last].astype(np.int64), np.full(last - first, consumer, np.int64), weight)

    def outputs(self, producer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        at = np.nonzero(params[self.index] == np.int32(producer))[0].astype(np.int64)
        dst: IntArray = np.searchsorted(params[self.indptr], at, side="right") - 1
        return Edges(np.full(len(at), producer, np.int64), dst, None if self.weight is None else at)

    def consumed(self, n_src: int, n_dst: int, params: Params) -> BoolArray:
        return _named(params[self.index], n_src)

    def expand(self, n_src: int, n_dst: int, params: Params) -> Edges:
        index = params[self.index]
        weight = None if self.weight is None else np.arange(index.size, dtype=np.int64)
        dst = np.repeat(np.arange(n_dst, dtype=np.int64), self.fan_in(n_src, n_dst, params))
        return Edges(index.astype(np.int64), dst, weight)

    def check(self, n_src: int, n_dst: int, params: Params) -> None:
        indptr: npt.NDArray[np.int64] = params[self.indptr]  # type: ignore[assignment]
        index = params[self.index]
        if indptr.dtype != np.int64 or indptr.shape != (n_dst + 1,):
            raise GraphError(f"indptr {self.indptr} is {indptr.dtype} {indptr.shape}; needs int64 ({n_dst + 1},)")
        if index.dtype != np.int32 or index.ndim != 1:
            raise GraphError(f"index {self.index} is {index.dtype} {index.shape}; needs int32 (edges,)")
        if indptr[0] != 0 or indptr[-1] != index.size or np.any(indptr[1:] < indptr[:-1]):
            raise GraphError(f"indptr {self.indptr} does not ascend from 0 to {index.size}")
        _check_range(self.index, index, n_src)
        self._check_weight(index.shape, params)


def check_periodic(ref: Ref, size: int, params: Params) -> None:
    """Raise GraphError unless ``ref`` is a vector whose length times ``inner`` divides ``size``."""
    array = params[ref.name]
    if array.ndim != 1 or array.size == 0 or ref.inner < 1 or size % (array.size * ref.inner):
        raise GraphError(
            f"param {ref.name} {array.shape} with inner {ref.inner} does not repeat evenly over {size} actors"
        )


def check_table(ref: Ref, size: int, params: Params) -> None:
    """Raise GraphError unless ``ref`` is a matrix whose number of columns times ``inner`` divides ``size``."""
    array = params[ref.name]
    if array.ndim != 2 or array.size == 0 or ref.inner < 1 or size % (array.shape[1] * ref.inner):
        raise GraphError(
            f"param {ref.name} {array.shape} with inner {ref.inner} is no table whose columns repeat evenly over {size}"
            " actors"
        )


def per_actor(ref: Ref, size: int, params: Params) -> npt.NDArray[Any]:
    """A vector param as each actor of a group of ``size`` reads it, in the param's dtype, (size,)."""
    array = params[ref.name]
    return array[(np.arange(size) // ref.inner) % len(array)]


def _named(index: npt.NDArray[np.generic], n_src: int) -> BoolArray:
    mask = np.zeros(n_src, np.bool_)
    mask[index.reshape(-1)] = True
    return mask


def _check_range(name: str, index: npt.NDArray[np.generic], n_src: int) -> None:
    if index.size and (int(index.min()) < 0 or int(index.max()) >= n_src):
        raise GraphError(f"index {name} names producers outside 0..{n_src - 1}")
