"""Do nodes and links act when they can, with room: firings on nodes, frames on links, parcels along their trees."""

from __future__ import annotations

import numpy as np

from graphsim.schedule.verify.facts import Facts, lookup
from graphsim.schedule.verify.verdict import Findings, IntArray


def check_strides(facts: Facts, found: Findings) -> None:
    """Nodes and links act in ticks that are multiples of their strides, in every period."""
    found.checked("firings and hops in ticks in which their node or link acts", len(facts.start) + len(facts.hop_start))
    stride = facts.node_stride[facts.node]
    found.add_all(
        "stride",
        facts.start % stride != 0,
        lambda a: (
            f"{facts.graph.actor(a).name} starts at tick {facts.start[a]}; {facts.node_name(int(facts.node[a]))} acts "
            f"every {stride[a]} ticks"
        ),
    )
    found.add_all(
        "stride",
        facts.hop_start % facts.hop_stride != 0,
        lambda h: f"{facts.hop_name(h)}: the link acts every {facts.hop_stride[h]} ticks",
    )
    nodes, first = np.unique(facts.node, return_index=True)
    links, hop = np.unique(facts.hop_link, return_index=True)
    found.checked("nodes and links in use of whose cycles the period has a whole number", len(nodes) + len(links))
    period = facts.period
    found.add_all(
        "period",
        period % stride[first] != 0,
        lambda i: f"{facts.node_name(int(nodes[i]))} acts every {stride[first[i]]} ticks; the period has {period}",
    )
    found.add_all(
        "period",
        period % facts.hop_stride[hop] != 0,
        lambda i: (
            f"{facts.machine.link_name(int(links[i]))} acts every {facts.hop_stride[hop[i]]} ticks; the period has "
            f"{period}"
        ),
    )


def check_firings(facts: Facts, found: Findings) -> None:
    """All firings of an actor are on one node, one after the other, those of an iteration after those before it.

    What a serial emits are tokens of one firing: they are on one node, in any order.
    """
    first, count = facts.graph.first, 0
    for number, group in enumerate(facts.original.groups):
        firings = facts.unrolled.firings(number)
        if len(firings) < 2:
            continue
        count += len(firings) * group.size
        at = first[firings][:, None] + np.arange(group.size)  # (firings, actors)

        def name(i: int, number: int = number) -> str:
            return facts.original.actor(int(facts.original.first[number]) + i).name

        away = (facts.node[at] != facts.node[at[0]]).any(axis=0)
        found.add_all(
            "firings",
            away,
            lambda i, at=at, name=name: (  # type: ignore[misc]
                f"{name(i)} fires on {len(np.unique(facts.node[at[:, i]]))} nodes, one of them "
                f"{facts.node_name(facts.node[at[0, i]])}; all firings of an actor are on one node"
            ),
        )
        if group.op == "serial":
            continue
        # The firing after the last is the first of the next iteration.
        start = np.concatenate([facts.start[at], facts.start[at[:1]] + facts.period])
        early = start[1:] < facts.end[at]
        found.add_all(
            "firings",
            early.reshape(-1),
            lambda i, start=start, at=at, name=name: (  # type: ignore[misc]
                f"firing {i // at.shape[1]} of {name(i % at.shape[1])} ends at tick "
                f"{facts.end[at].reshape(-1)[i]}, and the next one starts at tick {start[1:].reshape(-1)[i]} already"
            ),
        )
    found.checked("firings of one actor on one node, one after the other", count)


def check_nodes(facts: Facts, found: Findings) -> None:
    found.checked("firings that share their node with no other in any tick of the period", len(facts.start))
    node, tick = crowded(
        facts.node,
        facts.start,
        facts.ticks,
        np.ones_like(facts.ticks),
        np.ones(len(facts.machine.nodes), np.int64),
        facts.period,
    )

    def message(i: int) -> str:
        here = (facts.node == node[i]) & ((tick[i] - facts.start) % facts.period < facts.ticks)
        names = [facts.graph.actor(int(a)).name for a in np.flatnonzero(here)[:3]]
        again = " fires again before it has ended" if len(names) == 1 else " fire at once"
        return f"{facts.node_name(int(node[i]))}, tick {tick[i]} of the period: {' and '.join(names)}{again}"

    found.add_all("firing overlap", range(len(node)), message)


def check_links(facts: Facts, found: Findings) -> None:
    found.checked("frames on links, never more in a tick than the link takes", int(facts.hop_frames.sum()))
    last = facts.hop_frames - (facts.hop_cycles - 1) * facts.hop_pace
    link, tick = crowded(
        np.concatenate([facts.hop_link, facts.hop_link]),
        np.concatenate([facts.hop_start, facts.hop_sent - facts.hop_stride]),
        np.concatenate([facts.hop_ticks - facts.hop_stride, np.minimum(facts.hop_cycles, 1) * facts.hop_stride]),
        np.concatenate([facts.hop_pace, last]),
        facts.link_rate,
        facts.period,
    )

    def crowd(i: int) -> str:
        here = (facts.hop_link == link[i]) & ((tick[i] - facts.hop_start) % facts.period < facts.hop_ticks)
        parcels = ", ".join(str(p) for p in facts.hop_parcel[here][:4])
        capacity = facts.link_rate[link[i]]
        return (
            f"{facts.machine.link_name(int(link[i]))}, tick {tick[i]} of the period: parcels {parcels} need more than "
            f"its {capacity} frame{'s' if capacity > 1 else ''} per {'tick' if facts.cycle == 1 else 'cycle'}"
        )

    found.add_all("link overload", range(len(link)), crowd)

    entries = np.array([one.calendar_entries for one in facts.machine.links], np.int64)
    frames = np.bincount(facts.hop_link, weights=facts.hop_frames, minlength=len(entries)).astype(np.int64)
    found.checked("link calendars that fit", len(entries))
    found.add_all(
        "calendar",
        frames > entries,
        lambda i: (
            f"{facts.machine.link_name(i)} sends {frames[i]} frames per period; its calendar has {entries[i]} entries"
        ),
    )


def crowded(
    owner: IntArray, start: IntArray, length: IntArray, load: IntArray, capacity: IntArray, period: int
) -> tuple[IntArray, IntArray]:
    """Where intervals that repeat every period load their owner beyond its capacity.

    Interval i puts ``load[i]`` on ``owner[i]`` during ``start[i] <= t < start[i] + length[i]``, modulo the period.
    Returns (owner, tick) of the beginning of each stretch of ticks that carries too much.
    """
    always = np.zeros(len(capacity), np.int64)
    np.add.at(always, owner, length // period * load)
    first = start % period
    last = first + length % period
    over = last > period
    rise = np.concatenate([first, np.zeros(int(over.sum()), np.int64), np.zeros(len(capacity), np.int64)])
    fall = np.concatenate([np.minimum(last, period), last[over] - period, np.zeros(len(capacity), np.int64)])
    who = np.concatenate([owner, owner[over], np.arange(len(capacity))])
    much = np.concatenate([load, load[over], np.zeros(len(capacity), np.int64)])

    where = np.concatenate([who * (period + 1) + rise, who * (period + 1) + fall])
    order = np.argsort(where, kind="stable")
    where, change = where[order], np.concatenate([much, -much])[order]
    begins = np.flatnonzero(np.r_[True, where[1:] != where[:-1]]) if len(where) else np.empty(0, np.int64)
    level = np.cumsum(np.add.reduceat(change, begins)) if len(where) else np.empty(0, np.int64)
    owners, ticks = np.divmod(where[begins], period + 1)
    bad = (level + always[owners] > capacity[owners]) & (ticks < period)
    return owners[bad], ticks[bad]


def check_parcels(facts: Facts, found: Findings) -> None:
    """Parcels are assembled where their tokens are made; hops form trees and wait for their parcel."""
    found.checked("parcels assembled where their tokens are made", len(facts.parcel_node))
    found.add_all("parcel", facts.parcel_size == 0, lambda p: f"parcel {p} is empty")
    maker = facts.maker[facts.parcel_token]
    wrong = (maker < 0) | (facts.node[maker] != facts.parcel_node[facts.parcel_of_token])
    found.add_all("parcel", wrong, lambda i: _misplaced(facts, i))
    pair = facts.parcel_of_token * facts.tokens + facts.parcel_token
    pairs, count = np.unique(pair, return_counts=True)
    found.add_all(
        "parcel",
        count > 1,
        lambda i: f"parcel {pairs[i] // facts.tokens} holds {facts.token_name(int(pairs[i] % facts.tokens))} twice",
    )

    found.checked("hops that start where their parcel is, once it is there", len(facts.hop_link))
    assembled = np.zeros(len(facts.parcel_node), np.int64)
    np.maximum.at(assembled, facts.parcel_of_token, facts.end[maker])
    nodes = len(facts.machine.nodes)
    reached = facts.hop_parcel * nodes + facts.hop_to
    order = np.argsort(reached, kind="stable")
    ordered = reached[order]
    again = np.zeros(len(reached), np.bool_)
    again[order[1:]] = ordered[1:] == ordered[:-1]
    again |= facts.hop_to == facts.parcel_node[facts.hop_parcel]
    found.add_all("tree", again, lambda h: f"{facts.hop_name(h)} takes the parcel to a node that has it already")

    wanted = facts.hop_parcel * nodes + facts.hop_from
    at_root = facts.hop_from == facts.parcel_node[facts.hop_parcel]
    before, there = lookup(ordered, wanted)
    found.add_all(
        "tree",
        ~(at_root | there),
        lambda h: f"{facts.hop_name(h)}: the parcel never gets to {facts.node_name(int(facts.hop_from[h]))}",
    )
    ready = np.where(there, facts.hop_arrival[order][before] if len(order) else 0, 0)
    ready = np.where(at_root, assembled[facts.hop_parcel], ready)
    found.add_all(
        "hop early",
        (at_root | there) & ~facts.switch[facts.hop_from] & (facts.hop_start < ready),
        lambda h: (
            f"{facts.hop_name(h)}: the parcel is in {facts.node_name(int(facts.hop_from[h]))} from tick {ready[h]} on"
        ),
    )


def check_transits(facts: Facts, found: Findings) -> None:
    """A switch stores nothing: a hop out of it starts when the frames of the hop into it leave the switch."""
    h = np.flatnonzero(facts.switch[facts.hop_from] & (facts.hop_before >= 0))
    found.checked("hops that leave a switch when their frames do", len(h))
    crossing = np.array([1 + node.crossbar_latency for node in facts.machine.nodes], np.int64) * facts.node_stride
    before, v = facts.hop_before[h], facts.hop_from[h]
    due = (facts.hop_start + facts.hop_stride + facts.hop_latency)[before] + crossing[v]
    found.add_all(
        "transit",
        facts.hop_start[h] != due,
        lambda i: (
            f"{facts.hop_name(int(h[i]))}: the switch {facts.node_name(int(v[i]))} passes the parcel on from tick "
            f"{due[i]} on"
        ),
    )


def _misplaced(facts: Facts, i: int) -> str:
    token, parcel = int(facts.parcel_token[i]), int(facts.parcel_of_token[i])
    where = facts.node_name(int(facts.parcel_node[parcel]))
    if facts.maker[token] < 0:
        return f"parcel {parcel} holds token {token}, a source's own id, which names no token"
    made = facts.node_name(int(facts.node[facts.maker[token]]))
    return f"parcel {parcel} starts on {where} with {facts.token_name(token)}, which is made on {made}"
