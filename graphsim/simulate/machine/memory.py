"""Memories as cells, and lists of tokens as runs of cells. See :class:`.program.Program`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import token_bits, tokens_before
from graphsim.calendars import Calendars
from graphsim.errors import SimulationError
from graphsim.graph import Graph
from graphsim.schedule.schedule import parameter_bytes
from graphsim.simulate.machine.hops import Hops

Int64Array = npt.NDArray[np.int64]

#: Columns of the run table.
CELL, TOKEN, COUNT, RING, SIZE, STEP, TERM = range(7)
#: Cells of no memory: where tokens are looked for that have no place, or one on the node's parameters.
NO_SLOT, ON_PARAMETERS, FIRST_CELL = 0, 1, 2
#: The word of a cell to which nothing has been written: a tag that no token has before iteration 1.
EMPTY = 2**64 - 1
#: Cells, and values in transit, that the engine is willing to hold.
MOST_CELLS = 2**29


class Spots(NamedTuple):
    """Tokens in cells: token i is in ``size`` cells from ``cell`` on, in every one of ``depth`` copies ``step`` apart.

    ``ahead``: by how many copies what is meant is ahead of its iteration's own. All int64.
    """

    token: Int64Array
    cell: Int64Array
    size: Int64Array
    depth: Int64Array
    step: Int64Array
    ahead: Int64Array

    def picked(self, at: Int64Array) -> Spots:
        """Some of them."""
        return Spots(*(column[at] for column in self))


#: Cell, size, depth, step and ahead of a token that lies on parameters.
_ON_PARAMETERS = (ON_PARAMETERS, 1, 1, 0, 0)
#: The same of one that lies nowhere.
_LOST = (NO_SLOT, *_ON_PARAMETERS[1:])


class Memory:
    """All memories of a machine.

    Where rings lie apart, which cells are whose is free: a node's rings of equally many copies are put one behind the
    other in the order of their tokens, whatever port they belong to, so that runs are long. Where rings of a memory
    overlap, its cells are its bits, in the greatest unit in which all that lies there can be told apart.

    Attributes:
        tokens: how many there are. nodes: the same. node: of every actor.
        cells: how many there are in all.
        places: the places of the calendars.
        rings: depth and delay of each kind of ring.
    """

    def __init__(self, graph: Graph, calendars: Calendars, hops: Hops) -> None:
        c, self._calendars = calendars, calendars
        self.nodes, self.node, self.tokens = len(c.machine.nodes), c.node, len(token_bits(graph))
        ring, width = c.place_ring.astype(np.int64), token_bits(graph)[c.place_token]
        low = np.zeros(len(c.unit_bits), np.int64)
        low[: self.nodes] = 8 * parameter_bytes(graph, c.node.astype(np.int32), self.nodes)
        self._base = c.ring_base - low[c.ring_memory]
        #: Bits of a cell of every ring; how many of its cells hold anything; its first cell, and from copy to copy.
        self._unit, self._extent = np.zeros((2, len(ring_bits := c.ring_bits)), np.int64)
        for where, numbers in ((ring, (c.place_bit, width)), (hops.into[hops.of], (hops.to_bit, hops.width))):
            np.maximum.at(self._extent, where, numbers[0] + numbers[1])
            for number in numbers:
                np.gcd.at(self._unit, where, number)
        self._overlaps = _overlapping(c)
        #: Whether rings overlap, or lie on parameters.
        self.irregular = bool(self._overlaps.any() or (self._base < 0).any())
        exact = np.flatnonzero(self._overlaps)
        unit = np.zeros(len(c.unit_bits), np.int64)
        for number in (self._unit, self._base, c.ring_step, ring_bits):
            np.gcd.at(unit, c.ring_memory[exact], number[exact])
        np.gcd.at(unit, c.ring_memory[hops.into], hops.to)
        self._unit[exact], self._extent[exact] = unit[c.ring_memory[exact]], ring_bits[exact]
        self._unit = np.maximum(self._unit, 1)
        self._extent = -(-self._extent // self._unit)
        self._first, self._step = np.zeros((2, len(ring_bits)), np.int64)
        self.cells = self._laid_apart(np.flatnonzero(~self._overlaps), FIRST_CELL)
        self._first[exact] = self._base[exact] // self._unit[exact]
        self._step[exact] = c.ring_step[exact] // self._unit[exact]
        for memory in np.unique(c.ring_memory[exact]).tolist():
            here = exact[c.ring_memory[exact] == memory]
            self._first[here] += self.cells
            last = self._first + (c.ring_copies - 1) * self._step + self._extent
            self.cells = max(self.cells, int(last[here].max()))
        if self.cells > MOST_CELLS:
            raise SimulationError(
                f"machine: {self.cells:,} cells of memory are in use; this engine holds {MOST_CELLS:,}"
            )
        self.rings: list[tuple[int, int]] = [(1, 0)]
        self.places = self.spots(c.place_token.astype(np.int64), ring, c.place_bit, width, np.zeros_like(ring))
        node, token, self._read_place = c.read_place
        self._read = node * self.tokens + token

    def _laid_apart(self, rings: Int64Array, cell: int) -> int:
        """Give rings that overlap no others their cells, from one on; the cell behind them."""
        c = self._calendars
        first = np.full(len(c.ring_bits), self.tokens)
        np.minimum.at(first, c.place_ring, c.place_token)
        like = self._written_alike(rings)
        copies, rings = np.stack([rings, like])[:, like != rings], rings[like == rings]
        memory = c.ring_memory[rings]
        sent = (memory >= self.nodes) & ~c.is_rx[memory]
        keys = c.ring_copies[rings], sent, c.memory_node[memory]
        order = np.lexsort((first[rings], *keys))
        rings = rings[order]
        block = np.zeros(len(rings), np.int64)
        for key in (key[order] for key in keys):
            block[1:] |= key[1:] != key[:-1]
        block = np.cumsum(block)
        wide = np.bincount(block, weights=self._extent[rings]).astype(np.int64)
        room = np.zeros(len(wide), np.int64)
        room[block] = wide[block] * c.ring_copies[rings]
        begin = np.cumsum(room) - room
        inside = np.cumsum(self._extent[rings]) - self._extent[rings]
        inside -= (np.cumsum(wide) - wide)[block]
        self._first[rings], self._step[rings] = cell + begin[block] + inside, wide[block]
        self._first[copies[0]], self._step[copies[0]] = self._first[copies[1]], self._step[copies[1]]
        return cell + int(room.sum())

    def _written_alike(self, rings: Int64Array) -> Int64Array:
        """For each ring the first that holds the same all the time: TX memories of a node, of the same tokens."""
        c, like = self._calendars, rings.copy()
        ptr = np.searchsorted(c.place_ring, np.arange(len(c.ring_bits) + 1))
        memory = c.ring_memory[rings]
        seen: dict[tuple[int, int, bytes, bytes], int] = {}
        for i in np.flatnonzero((memory >= self.nodes) & ~c.is_rx[memory]).tolist():
            here = slice(int(ptr[rings[i]]), int(ptr[rings[i] + 1]))
            where, copies = int(c.memory_node[memory[i]]), int(c.ring_copies[rings[i]])
            key = where, copies, c.place_token[here].tobytes(), c.place_bit[here].tobytes()
            like[i] = seen.setdefault(key, int(rings[i]))
        return like

    def spots(
        self, token: Int64Array, ring: Int64Array, bit: Int64Array, width: Int64Array, ahead: Int64Array
    ) -> Spots:
        """Tokens at bits of rings, as cells; what is beyond all that lies in a ring is left out."""
        copies, unit = self._calendars.ring_copies[ring], self._unit[ring]
        size = np.minimum(width // unit, self._extent[ring] - bit // unit)
        columns = (self._first[ring] + bit // unit, size, copies, np.where(copies > 1, self._step[ring], 0), ahead)
        found = zip(columns, _ON_PARAMETERS, strict=True)
        return Spots(token, *(np.where(self._base[ring] < 0, lost, column) for column, lost in found))

    def overwrites(self, ring: Int64Array) -> npt.NDArray[np.bool_]:
        """Whether what is written to these rings may be written over tokens of others."""
        return self._overlaps[ring]

    def reading(self, node: Int64Array, token: Int64Array) -> Spots:
        """Where actors on these nodes read these tokens; in ``NO_SLOT`` what is not there."""
        columns = [np.full(len(token), lost) for lost in _LOST]
        if len(self._read):
            pair = node * self.tokens + token
            at = np.minimum(np.searchsorted(self._read, pair), len(self._read) - 1)
            kept = self._read[at] == pair
            for column, known in zip(columns, self.places[1:], strict=True):
                column[kept] = known[self._read_place[at[kept]]]
        return Spots(token, *columns)

    def ring(self, depth: Int64Array, delay: Int64Array) -> Int64Array:
        """The numbers of rings of these depths that are used so many iterations later; the list grows as needed."""
        apart = np.int64(2**31)
        distinct, which = np.unique(depth * apart + (delay + apart // 2), return_inverse=True)
        kinds = [(int(kind // apart), int(kind % apart - apart // 2)) for kind in distinct.tolist()]
        self.rings += [kind for kind in kinds if kind not in self.rings]
        numbers = np.array([self.rings.index(kind) for kind in kinds], np.int64)
        found: Int64Array = numbers[which.reshape(-1)]
        return found

    def initial(self, graph: Graph) -> tuple[Int64Array, npt.NDArray[np.uint64]]:
        """The cells that hold initial tokens before the first tick, and the words in them."""
        count, value = tokens_before(graph)
        spots = self.places.picked(self._read_place)
        there = (spots.token < graph.actor_count) & (spots.cell >= FIRST_CELL)
        many = np.where(there, count[np.where(there, spots.token, 0)], 0)
        spots, back = spots.picked(np.repeat(np.arange(len(many)), many)), 1 + ramp(many)
        first = spots.cell + -back % spots.depth * spots.step
        tag = (spots.token - back * self.tokens) % 2**32
        word = tag.astype(np.uint64) << np.uint64(32) | value[spots.token].view(np.uint32).astype(np.uint64)
        return np.repeat(first, spots.size) + ramp(spots.size), np.repeat(word, spots.size)

    def runs(self, spots: Spots, ptr: Int64Array, term: Int64Array, delay: int = 0) -> tuple[Int64Array, Int64Array]:
        """The runs of lists of tokens, where list i is entries ``ptr[i]:ptr[i + 1]``; and where each list's begin.

        ``term`` is what each token is of its list; tokens of one run have consecutive ones. ``delay``: of how many
        iterations ago they are.
        """
        s = spots
        joins = np.zeros(len(s.token), np.bool_)
        joins[1:] = (s.cell[:-1] >= FIRST_CELL) & (s.cell[1:] == (s.cell + s.size)[:-1]) & (np.diff(s.token) == 1)
        for column in (s.depth, s.size, s.step, s.ahead):
            joins[1:] &= np.diff(column) == 0
        joins[1:] &= np.diff(term) == 1
        joins[ptr[:-1][np.diff(ptr) > 0]] = False
        first = np.flatnonzero(~joins)
        count = np.diff(np.append(first, len(s.token)))
        s = s.picked(first)
        token = (s.token - delay * self.tokens) % 2**32
        columns = [s.cell, token, count, self.ring(s.depth, delay - s.ahead), s.size, s.step, term[first]]
        return np.stack(columns, axis=1), np.searchsorted(first, ptr)


def _overlapping(c: Calendars) -> npt.NDArray[np.bool_]:
    """Which rings are in a memory of which some bits are in two copies of rings, bool (rings,)."""
    number = np.repeat(np.arange(len(c.ring_bits)), c.ring_copies)
    begin = c.ring_base[number] + ramp(c.ring_copies) * c.ring_step[number]
    order = np.lexsort((begin, c.ring_memory[number]))
    memory, begin = c.ring_memory[number][order], begin[order]
    end = begin + c.ring_bits[number][order]
    clash = np.unique(memory[1:][(memory[1:] == memory[:-1]) & (begin[1:] < end[:-1])])
    return np.isin(c.ring_memory, clash)


def ramp(count: Int64Array) -> Int64Array:
    """0 .. count[0] - 1, 0 .. count[1] - 1 and so on."""
    return np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
