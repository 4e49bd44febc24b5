"""Which consumers of a window bundle read the same producers: they share a *field*, which is listed once.

Consumers that differ only along axes without a stride have the same field: all filters of a convolution at one
position. Fields are numbered in C order over the other axes' consumers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.graph import Window

IntArray = npt.NDArray[np.int64]


class Listed(NamedTuple):
    """What some fields contain: entries ``begin[i]:begin[i + 1]`` are those of the i-th one, in channel order.

    Attributes:
        producer: int64, local.
        term: int64: number of the combination of taps, of all combinations in channel order.
        begin: int64 (fields + 1,).
    """

    producer: IntArray
    term: IntArray
    begin: IntArray


class Fields:
    """The fields of a window bundle.

    Attributes:
        count: how many there are.
        of: int64 (consumers,): the field of each consumer.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._shape = tuple(axis.consumers if axis.stride else 1 for axis in window.axes)
        self.count = math.prod(self._shape)
        self.of = np.zeros(1, np.int64)
        for axis, extent in zip(window.axes, self._shape, strict=True):
            along = np.arange(axis.consumers, dtype=np.int64) if extent > 1 else np.zeros(axis.consumers, np.int64)
            self.of = (self.of[:, None] * extent + along).reshape(-1)

    def listed(self, fields: IntArray) -> Listed:
        """The producers in these fields."""
        return self._list(fields, [True] * len(self._shape))

    def outline(self, fields: IntArray) -> tuple[Listed, IntArray]:
        """The producers in these fields without the axes that every field has the whole of, and what to add for those.

        Field i contains every sum of one of its producers and one offset, int64 (offsets,); terms mean nothing here.
        """
        offsets, kept = np.zeros(1, np.int64), []
        for axis, at, step in zip(
            self._window.axes, self._window.positions, self._window.producer_strides, strict=True
        ):
            whole = axis.stride == 0 and len(np.unique(at[0][at[0] >= 0])) == axis.producers
            kept.append(not whole)
            if whole:
                offsets = (offsets[:, None] + step * np.arange(axis.producers, dtype=np.int64)).reshape(-1)
        return self._list(fields, kept), offsets

    def _list(self, fields: IntArray, kept: list[bool]) -> Listed:
        """Along the axes that are not kept, only coordinate 0, as one tap."""
        window = self._window
        producer = np.zeros((len(fields), 1), np.int64)
        there = np.ones((len(fields), 1), np.bool_)
        coordinates = np.unravel_index(fields, self._shape)
        for at, o, step, keep in zip(window.positions, coordinates, window.producer_strides, kept, strict=True):
            if not keep:
                continue
            along = at[o][:, None, :]
            producer = (producer[:, :, None] + along * step).reshape(len(fields), -1)
            there = (there[:, :, None] & (along >= 0)).reshape(len(fields), -1)
        begin = np.concatenate([[0], np.cumsum(np.count_nonzero(there, axis=1))]).astype(np.int64)
        return Listed(producer[there], np.nonzero(there)[1].astype(np.int64), begin)

    def distinct(self) -> IntArray:
        """How many different producers each consumer reads, int64 (consumers,)."""
        found = np.ones(1, np.int64)
        for axis, at in zip(self._window.axes, self._window.positions, strict=True):
            rows = np.sort(at[:1] if axis.stride == 0 else at, axis=1)
            new = (rows >= 0) & np.diff(rows, axis=1, prepend=-1).astype(np.bool_)
            counts = np.broadcast_to(new.sum(axis=1, dtype=np.int64), axis.consumers)
            found = (found[:, None] * counts).reshape(-1)
        return found
