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

    They are what gather and scatter calendars say together: the frame that is sent in one tick is the one that arrives
    ``1 + latency`` cycles later. What only one end says is lost, or is an invalid frame, and no hop.

    Attributes (all int64):
        link, frames: of each hop.
        source: the ring it is read from.
        into: the ring it is written to, from bit ``to`` of it on.
        ahead: how many copies ahead of its own iteration's it is written; 0 unless calendars contradict each other.
        first, last: the first and the last cycle of its link in which it is sent, from the start of iteration 0 on.
        of, place: of every token that is carried, by hop: the hop and the place that it is read from.
        to_bit, width: where it is in the ring at the other end, and how many bits it has.
    """

    link: Int64Array
    frames: Int64Array
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


def find_hops(graph: Graph, calendars: Calendars) -> Hops:
    """The hops of checked calendars.

    Args:
        graph: unrolled.
    """
    c, links = calendars, calendars.machine.links
    rate = np.array([link.frames_per_tick for link in links], np.int64)
    bits = np.array([link.frame_bits for link in links], np.int64)
    flight = (1 + np.array([link.latency for link in links], np.int64)) * rate  # in frames
    units = c.link_units
    low = np.cumsum(units) - units  # the metacycles of all links, one behind the other
    gather, scatter = low[c.gather.owner] + c.gather.begin, low[c.scatter.owner] + c.scatter.begin

    # Arrivals are cut wherever a row of either table begins.
    on = c.gather.owner
    sent = low[on] + (c.gather.begin + flight[on]) % units[on]
    cut = np.unique(np.concatenate([scatter, sent]))
    link = np.searchsorted(low, cut, side="right") - 1  # the last of those that begin there: others have no cycle
    count = np.diff(np.append(cut, int(units.sum())))
    arrives = cut - low[link]
    leaves = (arrives - flight[link]) % units[link]
    wraps = (leaves + flight[link]) // units[link]
    g = np.searchsorted(gather, low[link] + leaves, side="right") - 1
    s = np.searchsorted(scatter, cut, side="right") - 1
    kept = np.flatnonzero((c.gather.what[g] != IDLE) & (c.scatter.what[s] != IDLE))
    link, count, arrives, leaves, wraps = (column[kept] for column in (link, count, arrives, leaves, wraps))
    g, s = g[kept], s[kept]

    source, into = c.gather.what[g].astype(np.int64), c.scatter.what[s].astype(np.int64)
    begin = c.gather.stage[g] * units[link] + leaves
    origin = c.gather.offset[g] + leaves - c.gather.begin[g]
    to = c.scatter.offset[s] + arrives - c.scatter.begin[s]
    ahead = c.gather.stage[g] + wraps - c.scatter.stage[s]

    # What goes on where the stretch before it ends, later on, at either end, is one hop.
    order = np.lexsort((begin, origin, ahead, into, source, link))
    link, count, begin, source, into, origin, to, ahead = (
        column[order] for column in (link, count, begin, source, into, origin, to, ahead)
    )
    new = np.ones(len(link), np.bool_)
    for column in (link, source, into, ahead):
        new[1:] &= np.diff(column) == 0
    new[1:] &= (origin[1:] == (origin + count)[:-1]) & (to[1:] == (to + count)[:-1])
    new[1:] &= begin[1:] >= (begin + count)[:-1]
    new[1:] = ~new[1:]
    at = np.flatnonzero(new)
    last = np.append(at, len(new))[1:] - 1
    frames = np.add.reduceat(count, at) if len(at) else count
    first_cycle, last_cycle = begin[at] // rate[link[at]], (begin + count - 1)[last] // rate[link[at]]
    link, source, into, origin, to, ahead = (column[at] for column in (link, source, into, origin, to, ahead))

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
    return Hops(
        link, frames, source, into, to * bits[link], ahead, first_cycle, last_cycle, of, place, to_bit, width[place]
    )
