"""Does every token get to where it is read, once and in time?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from graphsim.graph import Dense, Window
from graphsim.schedule.verify.facts import Facts, lookup
from graphsim.schedule.verify.verdict import BoolArray, Findings, IntArray


class _Needs(NamedTuple):
    """(node, token) pairs that firings read, ascending: the earliest reading and the end of the last one."""

    pair: IntArray
    first: IntArray
    last: IntArray


def _gather(pair: IntArray, first: IntArray, last: IntArray) -> _Needs:
    """Merge readings of the same pair."""
    order = np.argsort(pair, kind="stable")
    pair = pair[order]
    if not len(pair):
        return _Needs(pair, first, last)
    begins = np.flatnonzero(np.r_[True, pair[1:] != pair[:-1]])
    return _Needs(pair[begins], np.minimum.reduceat(first[order], begins), np.maximum.reduceat(last[order], begins))


def _needs(facts: Facts) -> _Needs:
    graph, parts = facts.graph, []
    for c in graph.channels:
        sizes = graph.groups[c.src].size, graph.groups[c.dst].size
        maker, reader = int(graph.first[c.src]), int(graph.first[c.dst])
        # An edge with d initial tokens reads what was made d iterations ago, and needs it for a tick at least.
        delay = c.initial_tokens * facts.period
        until = np.maximum(facts.end, facts.start + 1) if c.initial_tokens else facts.end
        if isinstance(c, Dense) and graph.groups[c.src].op != "source":
            rows, columns = sizes[0] // c.blocks, sizes[1] // c.blocks
            readers = slice(reader, reader + sizes[1])
            block = np.arange(sizes[1]) // columns
            spots = _gather(
                block * len(facts.machine.nodes) + facts.node[readers], facts.start[readers], until[readers]
            )
            blocks, nodes = np.divmod(spots.pair, len(facts.machine.nodes))
            token = (maker + blocks * rows)[:, None] + np.arange(rows)
            pair = (nodes[:, None] * facts.tokens + token).ravel()
            parts.append(_Needs(pair, np.repeat(spots.first, rows) + delay, np.repeat(spots.last, rows) + delay))
            continue
        if isinstance(c, Window):
            parts.append(_window_needs(facts, c, maker, reader, delay, until))
            continue
        edges = c.expand(*sizes, graph.params)
        actor = reader + edges.dst
        token = facts.token_of_input(actor) if graph.groups[c.src].op == "source" else maker + edges.src
        pair = facts.node[actor] * facts.tokens + token
        parts.append(_gather(pair, facts.start[actor] + delay, until[actor] + delay))
    empty = np.empty(0, np.int64)
    return _gather(*(np.concatenate([empty, *(part[i] for part in parts)]) for i in range(3)))


#: Combinations of a place and taps that are looked at together.
_AT_ONCE = 1 << 22


def _window_needs(facts: Facts, c: Window, maker: int, reader: int, delay: int, until: IntArray) -> _Needs:
    """What a window reads: consumers on one node at one place of the window need the same tokens and are merged first.

    A consumer's place is its coordinates but for those along which the window does not move.
    """
    axes, shape = c.axes, tuple(axis.consumers for axis in c.axes)
    actors = slice(reader, reader + math.prod(shape))
    moves = [axis.consumers if axis.stride else 1 for axis in axes]
    place = np.zeros(shape, np.int64)
    for number, (axis, extent) in enumerate(zip(axes, moves, strict=True)):
        at = np.arange(axis.consumers).reshape([-1 if i == number else 1 for i in range(len(axes))])
        place = place * extent + (at if axis.stride else 0)
    nodes = len(facts.machine.nodes)
    spots = _gather(place.ravel() * nodes + facts.node[actors], facts.start[actors], until[actors])
    step = dict.fromkeys(range(len(axes)), 1)  # how far apart producers are along an axis
    inner = 1
    for number in reversed(c.order or range(len(axes))):
        step[number], inner = inner, inner * axes[number].producers
    parts = []
    chunk = max(1, _AT_ONCE // math.prod(axis.taps for axis in axes))
    for low in range(0, len(spots.pair), chunk):
        some = _Needs(*(column[low : low + chunk] for column in spots))
        places, node = np.divmod(some.pair, nodes)
        row, token = np.arange(len(places)), np.full(len(places), maker)
        for number in reversed(range(len(axes))):
            axis = axes[number]
            places, o = np.divmod(places, moves[number])
            position = o[row, None] * axis.stride + np.arange(axis.taps) * axis.dilation - axis.pad
            hit, tap = np.nonzero(
                (position % axis.base == 0) & (position >= 0) & (position // axis.base < axis.producers)
            )
            token = token[hit] + position[hit, tap] // axis.base * step[number]
            row = row[hit]
        parts.append(_gather(node[row] * facts.tokens + token, some.first[row] + delay, some.last[row] + delay))
    return _gather(*(np.concatenate([part[i] for part in parts]) for i in range(3)))


class Held(NamedTuple):
    """(node, token) pairs that are ever in a node's memory, ascending: when they must have room, and until when.

    ``optional`` marks tokens that stay unread where they were made: they may do without a slot.
    """

    pair: IntArray
    claim: IntArray
    release: IntArray
    optional: BoolArray


def check_deliveries(facts: Facts, found: Findings) -> Held:
    """Every token is in the memory of each node that reads it, once, and in time."""
    made = np.flatnonzero((facts.maker >= 0) & (facts.bits > 0))
    maker = facts.maker[made]
    sizes = facts.parcel_size[facts.hop_parcel]
    hop = np.repeat(np.arange(len(sizes)), sizes)
    offset = np.arange(len(hop)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    sent = facts.parcel_token[facts.schedule.parcel_ptr[facts.hop_parcel][hop] + offset]

    into = ~facts.switch[facts.hop_to[hop]]  # switches keep nothing
    kept = hop[into]
    pair = np.concatenate([facts.node[maker] * facts.tokens + made, facts.hop_to[kept] * facts.tokens + sent[into]])
    claim = np.concatenate([facts.end[maker], (facts.hop_start + facts.hop_stride + facts.hop_latency)[kept]])
    arrival = np.concatenate([facts.end[maker], facts.hop_arrival[kept]])
    order = np.lexsort([arrival, pair])
    pair, claim, arrival = pair[order], claim[order], arrival[order]
    again = np.zeros(len(pair), np.bool_)
    again[1:] = pair[1:] == pair[:-1]
    found.checked("(node, token) pairs that come to be once", int((~again).sum()))
    found.add_all(
        "duplicate",
        again,
        lambda i: f"tick {arrival[i]}: {facts.pair_name(int(pair[i]))}, where it has been since tick {arrival[i - 1]}",
    )
    pair, claim, arrival = pair[~again], claim[~again], arrival[~again]

    needs = _needs(facts)
    found.checked("edges whose token is there before it is used", facts.graph.edge_count)
    at, there = lookup(pair, needs.pair)
    found.add_all(
        "lost",
        ~there,
        lambda i: f"{_reader_name(facts, needs, i)} needs {facts.pair_name(int(needs.pair[i]))}, where it never gets",
    )
    found.add_all(
        "late",
        there & (arrival[at] > needs.first) if len(pair) else np.zeros(len(needs.pair), np.bool_),
        lambda i: (
            f"{_reader_name(facts, needs, i)} at tick {needs.first[i]} reads {facts.pair_name(int(needs.pair[i]))}, "
            f"which is there from tick {arrival[at[i]]} on"
        ),
    )

    release = arrival.copy()
    release[at[there]] = np.maximum(release[at[there]], needs.last[there])
    leaves, present = lookup(pair, facts.hop_from[hop] * facts.tokens + sent)
    np.maximum.at(release, leaves[present], facts.hop_sent[hop][present])
    used = np.zeros(len(pair), np.bool_)
    used[at[there]] = True
    used[leaves[present]] = True
    local = facts.node[facts.maker[pair % facts.tokens]] == pair // facts.tokens
    return Held(pair, claim, release, ~used & local)


def _reader_name(facts: Facts, needs: _Needs, i: int) -> str:
    """The first actor that reads this pair, for a message."""
    node, token = divmod(int(needs.pair[i]), facts.tokens)
    count = facts.graph.actor_count
    readers = facts.graph.actor(token).consumers if token < count else facts.inputs[token - count : token - count + 1]
    here = readers[facts.node[readers] == node]
    return facts.graph.actor(int(here[np.argmin(facts.start[here])])).name
