"""Window bundles as records: two ways to walk the same edges in channel order.

*Runs* (any op): the consumers along the last axis are done side by side (axes behind it that only have taps are moved
in front of it where that leaves channel order as it is). Their edges at one tap of the last axis are a run: every
``step``-th consumer from ``first`` on, ``count`` of them, and producers that follow each other as evenly. For the
consumers' coordinates on the other axes, the taps there give a list of offsets; the runs are applied to each.

*Patches* (weighted sums whose weights do not depend on where the window lies): axes are of three kinds. *Positions*:
the weight is the same for every consumer. *Filters*: all consumers have the same producers, each its own weights.
*Groups*: both differ. For every position of a group, the terms are laid out one behind the other, zeros where there is
no edge (such a term leaves every bit of a sum as it was), and multiplied by a matrix (terms, filters) that is gathered
from the weights once. Of a patch, pieces that lie together among the producers are copied together: also runs, here as
(zeros before, floats, offset of the first).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.graph import Axis, Window
from graphsim.graph.channels import IntArray
from graphsim.simulate.engine import FloatArray

#: A per-actor parameter: actor j reads ``address[(j // inner) % length]``.
PARAMETER = np.dtype([("address", np.int64), ("inner", np.int64), ("length", np.int64)])
#: Offsets along one axis: of coordinate ``o = (number // divide) % consumers``, tap t: ``table[o * row + t]`` floats,
#: -1 where there is no edge.
AXIS = np.dtype(
    [(n, np.int64) for n in ("table", "row", "taps", "divide", "consumers", "weight_tap", "weight_consumer")]
)
#: Edges of one tap of the last axis; all in elements.
RUN = np.dtype([(n, np.int64) for n in ("first", "step", "count", "x", "x_step", "weight", "weight_step")])
#: A window bundle; ``axes`` and ``runs`` are addresses of records. ``number``: consumers along the axes in ``axes``;
#: ``part``: its units must be multiples of this. The second line is for patches: floats of a run, and how far apart
#: they are among the producers; by which coordinate runs differ; how far apart consumers are, and those of groups (an
#: address); floats of a group's packed weights; rows that are laid out at a time.
WINDOW = np.dtype(
    [(n, np.int64) for n in ("axes", "axis_count", "runs", "run_count", "number", "length", "offset", "list", "part")]
    + [(n, np.int64) for n in ("run_length", "run_step", "run_divide", "run_consumers", "groups", "filters")]
    + [(n, np.int64) for n in ("position_step", "filter_step", "group_at", "group_weights", "rows")]
)
#: Consumers whose producers may lie apart and yet stay in the L1 cache together.
_SIDE_BY_SIDE = 512
#: Filters below which runs are as fast as patches.
_FEWEST = 4


class Held:
    """Keeps alive what records point to."""

    def __init__(self) -> None:
        self._arrays: dict[int, npt.NDArray[np.generic]] = {}

    def address(self, array: npt.NDArray[np.generic]) -> int:
        """Address of a C-contiguous array's elements, from now on valid."""
        self._arrays[array.ctypes.data] = array
        return int(array.ctypes.data)

    def record(self, address: int) -> Any:
        """The record at an address given before."""
        return self._arrays[address][0]


class _Along(NamedTuple):
    """An axis, and how far apart producers are along it."""

    axis: Axis
    apart: int

    @property
    def table(self) -> IntArray:
        """Offsets (consumers, taps), -1 without an edge; one row where all consumers share it."""
        at = self.axis.position()[: self.axis.consumers if self.axis.stride else 1]
        found: IntArray = np.where(at < 0, np.int64(-1), at * self.apart)
        return found

    @property
    def plain(self) -> bool:
        """Whether consumer o's only producer is o."""
        a = self.axis
        same = a.producers == a.consumers and a.taps == 1
        return same and (a.consumers == 1 or a.stride == 1) and a.pad == 0 and a.base == 1

    @property
    def shared(self) -> bool:
        """Whether all consumers have the same producers."""
        return self.axis.stride == 0 or self.axis.consumers == 1


def _simplified(window: Window, *, joined: bool = True) -> list[_Along]:
    """The axes without those that do nothing, and with neighbours that are taken as they are joined to one."""
    found: list[_Along] = []
    for along in (_Along(a, s) for a, s in zip(window.axes, window.producer_strides, strict=True)):
        axis = along.axis
        if axis.consumers == 1 and axis.taps == 1 and axis.pad == 0:
            continue
        if joined and found and along.plain and found[-1].plain and found[-1].apart == along.apart * axis.producers:
            before = found[-1].axis
            if window.weight is None or before.weight_consumer == axis.weight_consumer * axis.consumers:
                n = before.consumers * axis.consumers
                found[-1] = _Along(axis._replace(producers=n, consumers=n), along.apart)
                continue
        found.append(along)
    return found or [_Along(Axis(1, 1), 1)]


def _with_consumers_last(axes: list[_Along]) -> list[_Along]:
    """The axes, but one with a few consumers behind those that only have taps: if it has one tap, order stays."""
    at = max((i for i, along in enumerate(axes) if along.axis.consumers > 1), default=len(axes) - 1)
    if axes[at].axis.taps > 1 or axes[at].axis.consumers > _SIDE_BY_SIDE:
        return axes
    return [*axes[:at], *axes[at + 1 :], axes[at]]


def _axes(axes: list[_Along], divides: list[int], held: Held) -> int:
    """Address of AXIS records."""
    records = np.zeros(max(1, len(axes)), AXIS)
    for i, (along, divide) in enumerate(zip(axes, divides, strict=True)):
        table, axis = np.ascontiguousarray(along.table), along.axis
        row = axis.taps if len(table) > 1 else 0
        weights = axis.weight_tap, axis.weight_consumer
        records[i] = (held.address(table), row, axis.taps, divide, axis.consumers, *weights)
    return held.address(records)


def _behind(sizes: list[int]) -> list[int]:
    """For each size, the product of those behind it."""
    return [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]


def as_runs(window: Window, held: Held, *, joined: bool = True) -> Any:
    """A WINDOW record to walk by runs; ``joined``: of axes that may have been joined."""
    *outer, last = _with_consumers_last(_simplified(window, joined=joined))
    runs = _runs(last)
    record = np.zeros((), WINDOW)[()]
    sizes = [along.axis.consumers for along in outer]
    record["axes"], record["axis_count"] = _axes(outer, _behind(sizes), held), len(outer)
    record["runs"], record["run_count"] = held.address(runs), len(runs)
    record["number"], record["length"] = math.prod(sizes), last.axis.consumers
    record["part"], record["offset"] = last.axis.consumers, window.weight_offset
    record["list"] = math.prod(along.axis.taps for along in outer)
    return record


def _runs(last: _Along) -> npt.NDArray[np.void]:
    """RUN records of the last axis, by tap; taps without edges are left out."""
    axis, table = last.axis, last.table
    found = []
    for t in range(axis.taps):
        at = np.flatnonzero(table[:, t] >= 0)
        if not len(at):
            continue
        first, step, count = int(at[0]), 1, len(at)
        x, x_step = int(table[first, t]), 0
        if len(table) == 1:
            count = axis.consumers
        elif count > 1:
            step = int(at[1]) - first
            x_step = int(table[at[1], t]) - x
        weight = t * axis.weight_tap + first * axis.weight_consumer
        found.append((first, step, count, x, x_step, weight, step * axis.weight_consumer))
    return np.array(found, RUN) if found else np.zeros(0, RUN)


@dataclass(frozen=True)
class Patches:
    """A window bundle by patches.

    Attributes:
        axes: all of them, simplified. positions, filters, groups: how many consumers of each kind.
        terms: of a patch.
        position_step, filter_step: how far apart consumers are.
        group_at: the first consumer of each group, int64 (groups,).
    """

    window: Window
    axes: list[_Along]
    positions: int
    filters: int
    groups: int
    terms: int
    position_step: int
    filter_step: int
    group_at: IntArray

    @property
    def flat(self) -> bool:
        """Whether a position's consumers lie together, and positions follow each other."""
        return self.filter_step == 1 and self.position_step == self.filters * self.groups

    def weights(self, flat: npt.NDArray[np.generic]) -> list[FloatArray]:
        """The matrices (terms, filters) of all groups, from the bundle's weight array."""
        axes = [along.axis for along in self.axes]
        shape, strides = [], []
        for kind in (_GROUP, None, _FILTER):
            for axis, along in zip(axes, self.axes, strict=True):
                if kind is None:
                    shape.append(axis.taps)
                    strides.append(axis.weight_tap * 4)
                elif _kind(along) == kind:
                    shape.append(axis.consumers)
                    strides.append(axis.weight_consumer * 4)
        start = flat.reshape(-1)[self.window.weight_offset :]
        view = np.lib.stride_tricks.as_strided(start, shape, strides, writeable=False)
        matrices = np.ascontiguousarray(view).reshape(self.groups, self.terms, self.filters)
        return list(matrices)

    def record(self, held: Held) -> Any:
        """A WINDOW record, but for what depends on the packed weights."""
        record = np.zeros((), WINDOW)[()]
        consumers = [along.axis.consumers for along in self.axes]
        divides = [1] * len(self.axes)
        for kind, step in ((_GROUP, 1), (_POSITION, self.groups)):
            members = [i for i, along in enumerate(self.axes) if _kind(along) == kind]
            for i, behind in zip(members, _behind([consumers[i] for i in members]), strict=True):
                divides[i] = behind * step
        cut, table, length, apart = _pieces(self.axes)
        outer = self.axes[:cut]
        record["axes"], record["axis_count"] = _axes(outer, divides[:cut], held), cut
        record["runs"], record["run_count"] = held.address(table), len(table)
        record["run_length"], record["run_step"] = length, apart
        record["run_divide"], record["run_consumers"] = (divides[cut] if cut < len(self.axes) else 1), len(table)
        record["number"], record["groups"], record["filters"] = self.positions, self.groups, self.filters
        record["position_step"], record["filter_step"] = self.position_step, self.filter_step
        record["group_at"] = held.address(self.group_at)
        record["list"] = math.prod(along.axis.taps for along in outer)
        whole = self.positions * self.filters * self.groups
        record["part"] = self.filters * self.groups if self.flat else whole
        return record


_POSITION, _FILTER, _GROUP = range(3)


def _kind(along: _Along) -> int:
    if along.axis.weight_consumer == 0 or along.axis.consumers == 1:
        return _POSITION
    return _FILTER if along.shared else _GROUP


def as_patches(window: Window) -> Patches | None:
    """A weighted window by patches; None where runs serve better, or consumers of a kind do not lie evenly."""
    axes = _simplified(window)
    steps = _behind([along.axis.consumers for along in axes])
    count, apart = [1, 1, 1], [1, 1, 1]
    for kind in (_POSITION, _FILTER):
        for along, step in zip(axes, steps, strict=True):
            if _kind(along) != kind or along.axis.consumers == 1:
                continue
            if count[kind] > 1 and apart[kind] != step * along.axis.consumers:
                return None
            count[kind], apart[kind] = count[kind] * along.axis.consumers, step
    group_at = np.zeros(1, np.int64)
    for along, step in zip(axes, steps, strict=True):
        if _kind(along) == _GROUP:
            group_at = np.add.outer(group_at, np.arange(along.axis.consumers, dtype=np.int64) * step).reshape(-1)
    if count[_FILTER] < _FEWEST:
        return None
    if count[_POSITION] == 1:
        apart[_POSITION] = math.prod(along.axis.consumers for along in axes)
    positions, filters = count[_POSITION], count[_FILTER]
    terms = math.prod(along.axis.taps for along in axes)
    return Patches(window, axes, positions, filters, len(group_at), terms, apart[_POSITION], apart[_FILTER], group_at)


def is_dense(window: Window, patches: Patches) -> bool:
    """Whether patch p is the ``terms`` producers from p * terms on, so that nothing needs to be laid out."""
    producers = math.prod(axis.producers for axis in window.axes)  # some may have no consumer here
    if not patches.flat or patches.groups != 1 or producers != patches.positions * patches.terms:
        return False
    *outer, last = patches.axes
    axis = last.axis
    whole = last.shared and axis.taps == axis.producers == patches.terms and axis.dilation == 1 == axis.base
    rows = not outer or (len(outer) == 1 and outer[0].plain and outer[0].apart == axis.taps)
    return whole and axis.pad == 0 and last.apart == 1 and rows


def _pieces(axes: list[_Along]) -> tuple[int, IntArray, int, int]:
    """Of patches: the first axis that is part of a run, runs by its coordinate, floats of a run, and how far apart."""
    last = axes[-1]
    if not _even(last.axis):
        return len(axes), np.array([[0, 1, 0]], np.int64), 1, 1
    axis, apart = last.axis, last.axis.dilation * last.apart
    table = _intervals(last.table)
    if len(axes) > 1 and len(table) == 1 and table[0, 1] == axis.taps:
        before = axes[-2]
        if _even(before.axis) and (before.axis.taps == 1 or before.axis.dilation * before.apart == axis.taps * apart):
            longer = _intervals(before.table)
            longer[:, :2] *= axis.taps
            longer[:, 2] += table[0, 2]
            return len(axes) - 2, longer, before.axis.taps * axis.taps, apart
    return len(axes) - 1, table, axis.taps, apart


def _even(axis: Axis) -> bool:
    """Whether the taps that have an edge are neighbours, ascending."""
    return axis.taps == 1 or (axis.base == 1 and axis.dilation >= 1)


def _intervals(table: IntArray) -> IntArray:
    """From offsets (consumers, taps): the first tap with an edge, their number, the offset of the first."""
    edge = table >= 0
    first = np.argmax(edge, axis=1)
    found: IntArray = np.stack([first, edge.sum(axis=1), np.maximum(table[np.arange(len(table)), first], 0)], axis=1)
    return np.ascontiguousarray(found, np.int64)
