"""The window bundle: edges by an affine rule along each axis. Convolutions, pooling, padding, slices, transposes, sums.

A window bundle sees its groups as tensors with the same number of *axes*. Consumers are numbered in C order over the
axes' ``consumers``, producers in C order over the axes' ``producers``, taken in the order ``order``. Along one axis,
consumer coordinate o and tap t lead to position ``q = o stride + t dilation - pad``; there is an edge if ``base``
divides q and ``0 <= q / base < producers``, and its producer has coordinate ``q / base``. (Stride, window dilation,
base dilation and padding are those of convolutions in XLA.) An edge of the bundle is an edge along every axis.

In channel order the taps of the last axis vary fastest. The weight of an edge is element ::

    weight_offset + sum over axes of (t weight_tap + o weight_consumer)

of the flat weight array, so that a kernel is stored once, in any layout. Examples, one axis per line:

==================================== ================================================================================
a convolution's row                  ``Axis(h_in, h_out, taps=k_h, stride=s, pad=p, weight_tap=k_w c_in c_out)``
its channels                         ``Axis(c_in, c_out, taps=c_in, stride=0, weight_tap=c_out, weight_consumer=1)``
all of an axis, to one (a reduction) ``Axis(n, 1, taps=n)``
one, to all of an axis (a broadcast) ``Axis(1, m, stride=0)``
an axis as it is                     ``Axis(n, n)``
elements 2, 3, 4 of an axis          ``Axis(n, 3, pad=-2)``
an axis behind 5 others (a port of   ``Axis(n, 5 + n, pad=5)``: the first five consumers get no edge here
a concatenation), or padded
an axis backwards                    ``Axis(n, n, stride=-1, pad=1 - n)``
a transposed convolution's row       ``Axis(h_in, h_out, taps=k, dilation=-1, base=s, pad=-p)``
==================================== ================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np

from graphsim.errors import GraphError
from graphsim.graph.channels import BoolArray, Channel, Edges, IntArray, Params

#: Coordinates and strides are below this, so that positions stay far below 2**63.
_MOST = 1 << 40


class Axis(NamedTuple):
    """One axis of a window bundle; see the module docstring. All integers; the weight strides are in elements."""

    producers: int
    consumers: int
    taps: int = 1
    stride: int = 1
    dilation: int = 1
    base: int = 1
    pad: int = 0
    weight_tap: int = 0
    weight_consumer: int = 0

    def position(self) -> IntArray:
        """Producer coordinate of each (consumer coordinate, tap), int64 (consumers, taps); -1 where no edge is."""
        o = np.arange(self.consumers if self.stride else 1, dtype=np.int64)[:, None]
        t = np.arange(self.taps, dtype=np.int64)[None, :]
        at, rest = np.divmod(o * self.stride + t * self.dilation - self.pad, self.base)
        at = np.where((rest == 0) & (at >= 0) & (at < self.producers), at, np.int64(-1))
        return np.broadcast_to(at, (self.consumers, self.taps))  # without a stride all consumers share one row


class _Coordinates(NamedTuple):
    """Edges along one axis, as parallel arrays: producer coordinate, tap, consumer coordinate."""

    producer: IntArray
    tap: IntArray
    consumer: IntArray


@dataclass(frozen=True, kw_only=True)
class Window(Channel):
    """Edges by an affine rule along each axis; the encoding is in the module docstring.

    Attributes:
        axes: in the order of the consumers' axes.
        order: of the axes among the producers; () for the same order.
        weight_offset: element of the weight array that tap 0 of consumer 0 reads.
    """

    kind: ClassVar[str] = "window"
    axes: tuple[Axis, ...]
    order: tuple[int, ...] = ()
    weight_offset: int = 0

    @cached_property
    def positions(self) -> tuple[IntArray, ...]:
        """:meth:`Axis.position` of every axis."""
        return tuple(axis.position() for axis in self.axes)

    @cached_property
    def producer_strides(self) -> tuple[int, ...]:
        """How far apart producers are along every axis."""
        strides = [0] * len(self.axes)
        step = 1
        for axis in reversed(self.order or range(len(self.axes))):
            strides[axis] = step
            step *= self.axes[axis].producers
        return tuple(strides)

    @cached_property
    def consumer_shape(self) -> tuple[int, ...]:
        """Consumers along every axis."""
        return tuple(axis.consumers for axis in self.axes)

    @cached_property
    def terms(self) -> int:
        """Edges into a consumer that misses none: the product of the taps."""
        return math.prod(axis.taps for axis in self.axes)

    def edge_count(self, n_src: int, n_dst: int, params: Params) -> int:
        return math.prod(int(np.count_nonzero(at >= 0)) for at in self.positions)

    def fan_in(self, n_src: int, n_dst: int, params: Params) -> IntArray:
        counts = [np.count_nonzero(at >= 0, axis=1).astype(np.int64) for at in self.positions]
        found: IntArray = _outer(np.multiply, counts)
        return found

    def fan_in_range(self, n_src: int, n_dst: int, params: Params) -> tuple[int, int]:
        counts = [np.count_nonzero(at >= 0, axis=1) for at in self.positions]
        return math.prod(int(c.min()) for c in counts), math.prod(int(c.max()) for c in counts)

    def inputs(self, consumer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        found = []
        for at, o in zip(self.positions, np.unravel_index(consumer, self.consumer_shape), strict=True):
            taps = np.flatnonzero(at[o] >= 0)
            found.append(_Coordinates(at[o, taps], taps, np.full(len(taps), o, np.int64)))
        return self._edges(found)

    def outputs(self, producer: int, n_src: int, n_dst: int, params: Params) -> Edges:
        found = []
        for axis, at, step in zip(self.axes, self.positions, self.producer_strides, strict=True):
            coordinate = producer // step % axis.producers
            consumers, taps = np.nonzero(at == coordinate)
            found.append(_Coordinates(np.full(len(taps), coordinate, np.int64), taps, consumers))
        edges = self._edges(found)
        order = np.argsort(edges.dst, kind="stable")
        return Edges(edges.src, edges.dst[order], None if edges.weight is None else edges.weight[order])

    def consumed(self, n_src: int, n_dst: int, params: Params) -> BoolArray:
        masks = []
        for axis, at in zip(self.axes, self.positions, strict=True):
            mask = np.zeros(axis.producers, np.bool_)
            mask[at[at >= 0]] = True
            masks.append(mask)
        found: BoolArray = _outer(np.logical_and, [masks[i] for i in self.order or range(len(self.axes))])
        return found

    def expand(self, n_src: int, n_dst: int, params: Params) -> Edges:
        found = []
        for at in self.positions:
            consumers, taps = np.nonzero(at >= 0)
            found.append(_Coordinates(at[consumers, taps], taps, consumers))
        edges = self._edges(found)
        order = np.argsort(edges.dst, kind="stable")
        weight = None if edges.weight is None else edges.weight[order]
        return Edges(edges.src[order], edges.dst[order], weight)

    def _edges(self, along: Sequence[_Coordinates]) -> Edges:
        """All combinations of edges along the axes, the last axis' varying fastest."""
        step = math.prod(self.consumer_shape)
        parts: list[tuple[IntArray, IntArray, IntArray]] = []
        for axis, stride, (producer, tap, consumer) in zip(self.axes, self.producer_strides, along, strict=True):
            step //= axis.consumers
            parts.append((producer * stride, consumer * step, tap * axis.weight_tap + consumer * axis.weight_consumer))
        flat = [_outer(np.add, [part[i] for part in parts]) for i in range(3)]
        return Edges(flat[0], flat[1], None if self.weight is None else flat[2] + self.weight_offset)

    def check(self, n_src: int, n_dst: int, params: Params) -> None:
        if not self.axes:
            raise GraphError("a window bundle has at least one axis")
        if self.order and sorted(self.order) != list(range(len(self.axes))):
            raise GraphError(f"order {self.order} is not a permutation of {len(self.axes)} axes")
        for axis in self.axes:
            if min(axis.producers, axis.consumers, axis.taps, axis.base) < 1 or max(map(abs, axis)) >= _MOST:
                raise GraphError(f"axis {tuple(axis)}: extents, taps and base are at least 1, and all below {_MOST}")
        producers, consumers = (math.prod(axis[i] for axis in self.axes) for i in (0, 1))
        if (producers, consumers) != (n_src, n_dst):
            raise GraphError(f"its axes have {producers} producers and {consumers} consumers, not {n_src} and {n_dst}")
        if max(axis.consumers * axis.taps for axis in self.axes) > max(1 << 26, n_src, n_dst):
            raise GraphError("an axis with more taps than there could be edges")
        if self.weight is not None:
            least = greatest = self.weight_offset
            for axis in self.axes:
                for stride, count in ((axis.weight_tap, axis.taps), (axis.weight_consumer, axis.consumers)):
                    least += min(0, stride * (count - 1))
                    greatest += max(0, stride * (count - 1))
            size = params[self.weight.name].size
            if least < 0 or greatest >= size:
                raise GraphError(f"weight {self.weight.name} has {size} elements; edges name {least} to {greatest}")


def _outer(function: np.ufunc, parts: Sequence[Any]) -> Any:
    """A function over all combinations of elements, flat, the last part's elements varying fastest."""
    return reduce(lambda a, b: function.outer(a, b).reshape(-1), parts)
