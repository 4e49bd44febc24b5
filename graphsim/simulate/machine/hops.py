"""What links carry: frames that a gather engine sends and a scatter engine writes, joined to whole parcels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import token_bits
from graphsim.calendars import IDLE, Calendars
from graphsim.graph import Graph

Int64Array = npt.NDArray[np.int64]


class Hops(NamedTuple):
    """Stretches of frames that go from one ring to another, one behind the other at either end.

    They are what gather, crossbar and scatter calendars say together: the frame that is sent in one cycle is the one
    that arrives ``1 + latency`` cycles later, and leaves a switch ``1 + crossbar_latency`` cycles after that. What only
    one end says is lost, or is an invalid frame, and no hop. What leaves a switch over several links is several hops.

    Attributes (all int64):
        frames: of each hop.
        path: the links that it goes over, a row for each hop, -1 after its end. There are switches between them.
        way: a number for its row, the same for those that are equal.
        flight: ticks from the start of the cycle in which a frame is sent until it is there.
        source: the ring it is read from.
        into: the ring it is written to, from bit ``to`` of it on.
        ahead: how many copies ahead of its own iteration's it is written; 0 unless calendars contradict each other.
        first, last: the first and the last cycle of its link in which it is sent, from the start of iteration 0 on.
        of, place: of every token that is carried, by hop: the hop and the place that it is read from.
        to_bit, width: where it is in the ring at the other end, and how many bits it has.
    """

    frames: Int64Array
    path: Int64Array
    way: Int64Array
    flight: Int64Array
    source: Int64Array
    into: Int64Array
    to: Int64Array
    ahead: Int64Array
    first: Int64Array
    last: Int64Array
    of: Int64Array
    place: Int64Array
    to_bit: Int64Array
    width: Int64Array

    @property
    def link(self) -> Int64Array:
        """The link over which each hop is sent, int64 (hops,)."""
        return self.path[:, 0]


class Legs(NamedTuple):
    """Hops over single links: legs of those of :class:`Hops`. What several of them begin with is there once.

    Attributes (all int64):
        link: of each leg.
        parent: the leg into the switch that it leaves, a lower number; -1 of those that leave a compute node.
        hop: the hop whose last leg it is; of others, the first hop that has it.
    """

    link: Int64Array
    parent: Int64Array
    hop: Int64Array


def find_legs(hops: Hops) -> Legs:
    """The legs of hops."""
    known: dict[tuple[int, ...], int] = {}
    rows: list[tuple[int, int, int]] = []
    lead = np.append(hops.place, -1)[np.searchsorted(hops.of, np.arange(len(hops.link)))]
    read = np.stack([hops.source, hops.first, hops.last, hops.frames, lead], axis=1).tolist()
    for h, (path, what) in enumerate(zip(hops.path.tolist(), read, strict=True)):
        links = [link for link in path if link >= 0]
        for i, link in enumerate(links):
            parent = -1 if i == 0 else known[(*what, *links[:i])]
            if i + 1 == len(links):
                rows.append((link, parent, h))
            elif (key := (*what, *links[: i + 1])) not in known:
                known[key] = len(rows)
                rows.append((link, parent, h))
    return Legs(*np.array(rows, np.int64).reshape(-1, 3).T)


class _Pieces(NamedTuple):
    """Frames that are followed back from where they are written to where they were read; int64 (pieces,).

    ``row`` is that of the scatter calendar, ``to`` the number of the piece's first frame in it. The frames left over
    ``link``, the first of them as number ``at`` of a metacycle, ``wraps`` metacycles and ``flight`` ticks before they
    are written. ``many``: how many frames.
    """

    row: Int64Array
    to: Int64Array
    link: Int64Array
    at: Int64Array
    many: Int64Array
    wraps: Int64Array
    flight: Int64Array

    def picked(self, which: Int64Array) -> _Pieces:
        """Some of them."""
        return _Pieces(*(column[which] for column in self))

    def cut(self, which: Int64Array, begin: Int64Array, end: Int64Array) -> _Pieces:
        """Parts of some of them: frames ``begin`` to ``end`` of each."""
        p = self.picked(which)
        return p._replace(to=p.to + begin, at=p.at + begin, many=end - begin)


def _sent(c: Calendars, p: _Pieces, cycles: Int64Array, ticks: Int64Array) -> _Pieces:
    """Pieces as they were so many cycles of their links before, and so many ticks; cut where a metacycle begins."""
    units = c.link_units[p.link]
    wraps, at = np.divmod(p.at - cycles * c.link_rate[p.link], units)
    p = p._replace(at=at, wraps=p.wraps - wraps, flight=p.flight + ticks)
    over = np.flatnonzero(p.at + p.many > units)
    left = units - p.at
    here = np.minimum(p.many, left)
    rest = p.cut(over, left[over], p.many[over])
    rest = rest._replace(at=np.zeros(len(over), np.int64), wraps=rest.wraps - 1)
    return _Pieces(*(np.concatenate(both) for both in zip(p._replace(many=here), rest, strict=True)))


def _cut(c: Calendars, p: _Pieces, borders: Int64Array) -> tuple[_Pieces, Int64Array]:
    """Pieces cut wherever frames of all links, one link behind the other, have these borders; and where each begins."""
    low = np.cumsum(c.link_units) - c.link_units
    first, last = (np.searchsorted(borders, low[p.link] + at, side="right") - 1 for at in (p.at, p.at + p.many - 1))
    parts = last - first + 1
    which = np.repeat(np.arange(len(parts)), parts)
    border = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
    begin = np.maximum(borders[border] - low[p.link[which]], p.at[which])
    after = np.append(borders, c.link_units.sum())[border + 1] - low[p.link[which]]
    end = np.minimum(after, (p.at + p.many)[which])
    return p.cut(which, begin - p.at[which], end - p.at[which]), border


def find_hops(graph: Graph, calendars: Calendars) -> Hops:
    """The hops of checked calendars.

    Args:
        graph: unrolled.
    """
    c, links = calendars, calendars.machine.links
    rate, units = c.link_rate, c.link_units
    bits = np.array([link.frame_bits for link in links], np.int64)
    flight = 1 + np.array([link.latency for link in links], np.int64)
    low = np.cumsum(units) - units  # the metacycles of all links, one behind the other
    gather, crossed = (low[table.owner] + table.begin for table in (c.gather, c.crossbar))

    # What is written, followed back through switches. What goes round in circles never came from anywhere.
    row = np.flatnonzero(c.scatter.what != IDLE)
    none, link = np.zeros_like(row), c.scatter.owner[row]
    p = _Pieces(row, none, link, c.scatter.begin[row], c.scatter.length[row], none, none)
    p = _sent(c, p, flight[link], (flight * c.link_stride)[link])
    path = p.link[:, None]
    read: list[tuple[_Pieces, Int64Array, Int64Array]] = []
    for _ in range(1 + len(c.machine.switches)):
        here = np.flatnonzero(~c.from_switch[p.link])
        piece, at = _cut(c, p.picked(here)._replace(row=here), gather)
        whose = piece.row
        read.append((piece._replace(row=p.row[whose]), at, path[whose]))
        here = np.flatnonzero(c.from_switch[p.link])
        if not len(here):
            break
        piece, at = _cut(c, p.picked(here)._replace(row=here), crossed)
        kept = np.flatnonzero(c.crossbar.what[at] != IDLE)
        piece, at = piece.picked(kept), at[kept]
        p, path = _through(c, piece._replace(row=p.row[piece.row]), path[piece.row], at)
    steps = len(read)
    p = _Pieces(*(np.concatenate(columns) for columns in zip(*(one for one, _, _ in read), strict=True)))
    g = np.concatenate([at for _, at, _ in read])
    path = np.concatenate([np.pad(way, ((0, 0), (0, steps - way.shape[1])), constant_values=-1) for _, _, way in read])
    kept = np.flatnonzero(c.gather.what[g] != IDLE)
    p, g, path = p.picked(kept), g[kept], path[kept]

    source, into = c.gather.what[g].astype(np.int64), c.scatter.what[p.row].astype(np.int64)
    begin = c.gather.stage[g] * units[p.link] + p.at
    origin = c.gather.offset[g] + p.at - c.gather.begin[g]
    to = c.scatter.offset[p.row] + p.to
    ahead = c.gather.stage[g] + p.wraps - c.scatter.stage[p.row]
    way = _numbers(path)

    # What goes on where the stretch before it ends, later on, at either end, is one hop.
    order = np.lexsort((begin, origin, ahead, into, source, p.flight, way))
    link, count, begin, source, into, origin, to, ahead, way, ticks = (
        column[order] for column in (p.link, p.many, begin, source, into, origin, to, ahead, way, p.flight)
    )
    new = np.ones(len(link), np.bool_)
    for column in (way, ticks, source, into, ahead):
        new[1:] &= np.diff(column) == 0
    new[1:] &= (origin[1:] == (origin + count)[:-1]) & (to[1:] == (to + count)[:-1])
    new[1:] &= begin[1:] >= (begin + count)[:-1]
    new[1:] = ~new[1:]
    at = np.flatnonzero(new)
    last = np.append(at, len(new))[1:] - 1
    frames = np.add.reduceat(count, at) if len(at) else count
    first_cycle, last_cycle = begin[at] // rate[link[at]], (begin + count - 1)[last] // rate[link[at]]
    link, source, into, origin, to, ahead, way, ticks = (
        column[at] for column in (link, source, into, origin, to, ahead, way, ticks)
    )
    path = path[order[at]]

    # Tokens whose bits are in these frames, all of them.
    wide = int(c.ring_bits.max(initial=0)) + 1
    key = c.place_ring * np.int64(wide) + c.place_bit
    width = token_bits(graph)[c.place_token]
    low_end = np.searchsorted(key, source * wide + origin * bits[link])
    high_end = np.searchsorted(key + width, source * wide + (origin + frames) * bits[link], side="right")
    carried = np.maximum(high_end - low_end, 0)
    of = np.repeat(np.arange(len(link)), carried)
    place = np.repeat(low_end - (np.cumsum(carried) - carried), carried) + np.arange(int(carried.sum()))
    to_bit = c.place_bit[place] + ((to - origin) * bits[link])[of]
    into_bit = to * bits[link]
    return Hops(
        frames,
        path,
        way,
        ticks,
        source,
        into,
        into_bit,
        ahead,
        first_cycle,
        last_cycle,
        of,
        place,
        to_bit,
        width[place],
    )


def _through(c: Calendars, p: _Pieces, path: Int64Array, row: Int64Array) -> tuple[_Pieces, Int64Array]:
    """Pieces that left switches as rows of crossbar calendars say, as they were sent over the links into them.

    Lanes of a cycle follow those of the cycle before at both ends only where all lanes are used, and none is changed
    for another: elsewhere, pieces are cut into cycles.
    """
    rate, links = c.link_rate, c.machine.links
    before = c.crossbar.what[row].astype(np.int64)
    shift = c.crossbar.offset[row] - c.crossbar.begin[row] % rate[p.link]
    apart = (rate[before] != rate[p.link]) | (shift != 0)
    begin = p.at // rate[p.link]
    cycles = np.where(apart, (p.at + p.many - 1) // rate[p.link] - begin + 1, 1)
    which = np.repeat(np.arange(len(cycles)), cycles)
    number = np.arange(len(which)) - np.repeat(np.cumsum(cycles) - cycles, cycles)
    low = (begin[which] + number) * rate[p.link[which]] - p.at[which]
    first = np.maximum(low, 0)
    end = np.where(apart[which], np.minimum(low + rate[p.link[which]], p.many[which]), p.many[which])
    p, before, shift = p.cut(which, np.where(apart[which], first, 0), end), before[which], shift[which]
    cycle, lane = np.divmod(p.at, rate[p.link])
    p = p._replace(link=before, at=cycle * rate[before] + lane + shift)
    flight = np.array([1 + link.latency + 1 + c.machine.nodes[link.dst].crossbar_latency for link in links], np.int64)
    # Cut where a metacycle begins, and each part has the path of what it is part of.
    whole = p._replace(row=np.arange(len(before)))
    sent = _sent(c, whole, flight[before], (flight * c.link_stride)[before])
    return sent._replace(row=p.row[sent.row]), np.column_stack([before, path[which]])[sent.row]


def _numbers(path: Int64Array) -> Int64Array:
    """Numbers for rows, the same for those that are equal: of one column, what is in it."""
    number = path[:, 0]
    for column in path[:, 1:].T:
        number = np.unique(number * (int(path.max(initial=0)) + 2) + column + 1, return_inverse=True)[1].reshape(-1)
    return number
