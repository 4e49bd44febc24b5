"""Split neurons with many inputs into partial sums and an adder tree: no sum is left with more than K terms.

A weighted sum (op ``linear``) or a sum (op ``sum``) of more than K terms becomes

- *partial sums* of at most K terms each, actors of their own: ``dense/part`` has one for every chunk of every neuron's
  inputs, in channel order; of a convolution, ``conv/part`` for every box of taps. Kernels stay as they are, stored
  once: partial sums read their part of them by rule. Listed edges (tables, csr) are listed chunk by chunk.
- *adders* of at most K terms, level by level: ``dense/sum1``, ``dense/sum2`` ..., while more than K are left;
- the neuron itself, which adds up what is left, then its bias, and applies its activation. It keeps its name.

A bundle that brings one term goes to the neuron as before. State is read by the partial sums: they fire as often as the
neuron, over the bundle that the neuron had, initial tokens and all.

**The order of float32 additions changes**, and so do values, within rounding; the notes say so (``max_fan_in``). Means
and everything that is no sum stay whole. A comparison with an outside reference judges the reference by the graph
before, and every neuron of this one by the roundings of its own tree (:func:`graphsim.analysis.rounding.trees`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError
from graphsim.graph import Axis, Channel, Csr, Dense, Graph, Group, OneToOne, Ref, Window
from graphsim.passes.base import Pass

#: Ops whose terms may be added in any order, but for rounding.
_SUMS = ("linear", "sum")
#: The note that says that, and how, neurons were split.
NOTE = "max_fan_in"


@dataclass(frozen=True)
class SplitFanIn(Pass):
    """Split sums of more than ``most`` terms; see the module's docstring. Without any the graph stays as it is.

    Raises:
        UsageError: ``most`` is below 2.
    """

    most: int

    def __post_init__(self) -> None:
        if self.most < 2:
            raise UsageError(f"--max-fan-in {self.most}: a sum has two terms at least; give 2 or more")

    def apply(self, graph: Graph) -> Graph:
        return _Splitter(graph, self.most).split()


@dataclass(frozen=True)
class _Part:
    """What a neuron's sum still has to add up: a group whose actors are, in C order, (before, terms, after), of which
    those of one ``terms`` axis belong to one neuron. ``number``: of the group among those that are made.
    """

    number: int
    before: int
    terms: int
    after: int


class _Box(NamedTuple):
    """Taps along one axis: ``times`` so many, one behind the other, from ``begin`` on."""

    begin: int
    taps: int
    times: int


class _Splitter:
    """The groups and channels of the new graph, as they are made."""

    def __init__(self, graph: Graph, most: int) -> None:
        self.graph, self.most = graph, most
        self.params: dict[str, npt.NDArray[np.generic]] = dict(graph.params)
        self.groups: list[Group] = []
        self.channels: list[Channel] = []
        #: Where each group of the original is; those behind the one at hand are not there yet.
        self.number: dict[int, int] = {}
        #: Bundles whose producer is still to be numbered, as it is in the original.
        self.open: list[Channel] = []
        self.taken = {group.name for group in graph.groups}
        self.told: list[str] = []

    def split(self) -> Graph:
        """The graph."""
        graph = self.graph
        for number, group in enumerate(graph.groups):
            into = graph.channels_into(number)
            widest = int(graph.fan_in(number).max(initial=0)) if group.op in _SUMS else 0
            if widest > self.most:
                self._split(number, group, into, widest)
                continue
            self.number[number] = len(self.groups)
            self.groups.append(group)
            self.open += [replace(c, dst=self.number[number]) for c in into]
        if not self.told:
            return graph
        channels = [replace(c, src=self.number[c.src]) for c in self.open] + self.channels
        used = {ref.name for group in self.groups for ref in group.params.values()}
        used |= {name for channel in channels for name in channel.references()}
        params = {name: array for name, array in self.params.items() if name in used}
        note = f"{self.most}: the order of float32 additions is another; split were {'; '.join(self.told)}"
        return Graph(graph.name, self.groups, channels, params, {**graph.notes, NOTE: note})

    def _split(self, number: int, group: Group, into: Sequence[Channel], widest: int) -> None:
        parts: list[_Part] = []
        direct: list[Channel] = []
        for channel in into:
            n_src, n_dst = self.graph.groups[channel.src].size, group.size
            if channel.fan_in_range(n_src, n_dst, self.graph.params)[1] == 1:
                direct.append(channel)
            elif isinstance(channel, Dense | Window):
                parts += self._chunks(group, _window(channel, n_src, n_dst))
            else:
                parts += self._listed(group, channel)
        if len(direct) + bool(parts) > self.most:
            parts += self._together(group, direct)
            direct = []
        first = sum(part.terms for part in parts)
        levels = 0
        while sum(part.terms for part in parts) + len(direct) > self.most:
            levels += 1
            parts = self._level(group, parts, levels)
        self.number[number] = len(self.groups)
        weighted = any(channel.weight is not None for channel in direct)
        self.groups.append(replace(group, op="linear" if weighted else "sum"))
        for port, channel in enumerate(direct):
            self.open.append(replace(channel, dst=self.number[number], port=port))
        for port, part in enumerate(parts, len(direct)):
            self.channels.append(_gather(part, self.number[number], port, 1))
        self.told.append(
            f"{group.name} ({widest:,} terms, {first:,} partial sums, {levels} level{'s' * (levels != 1)} of adders)"
        )

    def _add(self, group: Group, name: str, op: str, shape: tuple[int, ...]) -> int:
        """A group of sums that belongs to a neuron's layer; its number."""
        full, count = f"{group.name}/{name}", 0
        while full in self.taken:
            count += 1
            full = f"{group.name}/{name}.{count}"
        self.taken.add(full)
        made = Group(name=full, op=op, shape=shape, firings=group.firings, layer=group.layer, call=group.call)
        self.groups.append(made)
        return len(self.groups) - 1

    def _chunks(self, group: Group, whole: Window) -> list[_Part]:
        """Partial sums over boxes of taps of a window bundle, the last axes' taps in one as far as they fit.

        Along one axis whose consumers all read all, full boxes are an axis of one group; others are groups.
        """
        sizes, room = [1] * len(whole.axes), self.most
        for i in reversed(range(len(whole.axes))):
            sizes[i] = min(whole.axes[i].taps, room)
            if sizes[i] < whole.axes[i].taps:
                break
            room //= sizes[i]
        cut = [i for i, axis in enumerate(whole.axes) if sizes[i] < axis.taps]
        inner = next((i for i in reversed(cut) if _reads_all(whole.axes[i])), -1)
        boxes: list[list[_Box]] = []
        for i, (axis, size) in enumerate(zip(whole.axes, sizes, strict=True)):
            if i == inner and axis.taps // size > 1:
                full = axis.taps // size
                rest = [_Box(full * size, axis.taps % size, 1)] if axis.taps % size else []
                boxes.append([_Box(0, size, full), *rest])
            else:
                boxes.append([_Box(t, min(size, axis.taps - t), 1) for t in range(0, axis.taps, size)])
        return [part for box in itertools.product(*boxes) if (part := self._box(group, whole, box, inner)) is not None]

    def _box(self, group: Group, whole: Window, box: Sequence[_Box], inner: int) -> _Part | None:
        """The partial sums over a box; None where its taps lead outside for all."""
        axes, order, offset, cut, terms = list(whole.axes), whole.order, whole.weight_offset, len(whole.axes), 1
        for i, (axis, one) in enumerate(zip(whole.axes, box, strict=True)):
            axes[i] = axis._replace(taps=one.taps, pad=axis.pad - one.begin * axis.dilation)
            offset += one.begin * axis.weight_tap
        if inner >= 0 and box[inner].times > 1:
            axis, size, terms, cut = whole.axes[inner], box[inner].taps, box[inner].times, inner
            step = size * axis.weight_tap
            chunks = Axis(axis.producers, terms, size, stride=size, weight_tap=axis.weight_tap, weight_consumer=step)
            columns = Axis(1, axis.consumers, stride=0, weight_consumer=axis.weight_consumer)
            axes[inner : inner + 1] = [chunks, columns]
            # The axis has become two; the others behind it count one more.
            order = tuple(j for i in order for j in ((i, i + 1) if i == inner else (i + (i > inner),)))
        shape = tuple(axis.consumers for axis in axes)
        made = replace(whole, axes=tuple(axes), order=order, weight_offset=offset, port=0)
        if made.edge_count(self.graph.groups[whole.src].size, math.prod(shape), self.params) == 0:
            return None
        number = self._add(group, "part", "sum" if whole.weight is None else "linear", shape)
        self.open.append(replace(made, dst=number))
        return _Part(number, math.prod(shape[:cut]), terms, math.prod(shape[cut + 1 :]))

    def _listed(self, group: Group, channel: Channel) -> list[_Part]:
        """Partial sums over listed edges, one group for every chunk of all neurons."""
        n_src = self.graph.groups[channel.src].size
        edges = channel.expand(n_src, group.size, self.graph.params)
        counts = np.bincount(edges.dst, minlength=group.size)
        rank = np.arange(len(edges.dst)) - np.repeat(np.cumsum(counts) - counts, counts)
        parts = []
        for number, begin in enumerate(range(0, int(counts.max()), self.most)):
            chosen = (rank >= begin) & (rank < begin + self.most)
            at = self._add(group, "part", "sum" if channel.weight is None else "linear", group.shape)
            name = f"{self.groups[at].name}/{channel.port}.{number}"
            ends = np.concatenate([[0], np.cumsum(np.bincount(edges.dst[chosen], minlength=group.size))])
            self.params[f"{name}/ends"] = ends.astype(np.int64)
            self.params[f"{name}/index"] = edges.src[chosen].astype(np.int32)
            weight = None
            if channel.weight is not None and edges.weight is not None:
                weight = Ref(f"{name}/weight")
                self.params[weight.name] = self.graph.params[channel.weight.name].reshape(-1)[edges.weight[chosen]]
            common: dict[str, Any] = _carried(channel)
            self.open.append(Csr(**common, dst=at, port=0, weight=weight, indptr=f"{name}/ends", index=f"{name}/index"))
            parts.append(_Part(at, group.size, 1, 1))
        return parts

    def _together(self, group: Group, direct: Sequence[Channel]) -> list[_Part]:
        """Partial sums over bundles of one term each."""
        parts = []
        for begin in range(0, len(direct), self.most):
            some = direct[begin : begin + self.most]
            weighted = any(channel.weight is not None for channel in some)
            number = self._add(group, "part", "linear" if weighted else "sum", group.shape)
            self.open += [replace(channel, dst=number, port=port) for port, channel in enumerate(some)]
            parts.append(_Part(number, group.size, 1, 1))
        return parts

    def _level(self, group: Group, parts: list[_Part], level: int) -> list[_Part]:
        """What a level of adders leaves of them."""
        name = f"sum{level}"
        if any(part.terms > 1 for part in parts):
            found = []
            for part in parts:
                if part.terms == 1:
                    found.append(part)
                    continue
                terms = -(-part.terms // self.most)
                number = self._add(group, name, "sum", (part.before, terms, part.after))
                self.channels.append(_gather(part, number, 0, terms, self.most))
                found.append(_Part(number, part.before, terms, part.after))
            return found
        found = []
        for begin in range(0, len(parts), self.most):
            some = parts[begin : begin + self.most]
            if len(some) == 1:
                found += some
                continue
            number = self._add(group, name, "sum", group.shape)
            self.channels += [OneToOne(src=one.number, dst=number, port=port) for port, one in enumerate(some)]
            found.append(_Part(number, group.size, 1, 1))
        return found


def _window(channel: Dense | Window, n_src: int, n_dst: int) -> Window:
    """The same edges by a rule along each axis."""
    if isinstance(channel, Window):
        return channel
    rows, columns, blocks = n_src // channel.blocks, n_dst // channel.blocks, channel.blocks
    matrix = Axis(rows, columns, taps=rows, stride=0, weight_tap=columns, weight_consumer=1)
    return Window(**_carried(channel), dst=channel.dst, weight=channel.weight, axes=(Axis(blocks, blocks), matrix))


def _carried(channel: Channel) -> dict[str, Any]:
    """Where a bundle comes from, its rates, and its state."""
    names = ("src", "produce", "consume", "initial_tokens", "token_bits", "initial", "reset")
    return {name: getattr(channel, name) for name in names}


def _reads_all(axis: Axis) -> bool:
    """Whether all consumers along an axis read all its producers, each at the tap of its number."""
    return (axis.stride, axis.dilation, axis.base, axis.pad) == (0, 1, 1, 0) and axis.taps == axis.producers


def _gather(part: _Part, dst: int, port: int, consumers: int, taps: int | None = None) -> Channel:
    """The bundle that adds up the terms of a part: all of them, or so many for each of some consumers."""
    if part.terms == 1:
        return OneToOne(src=part.number, dst=dst, port=port)
    along = Axis(part.terms, consumers, taps=taps or part.terms, stride=taps or 0)
    axes = (Axis(part.before, part.before), along, Axis(part.after, part.after))
    return Window(src=part.number, dst=dst, port=port, axes=axes)
