"""The independent verifier: is this schedule right for this graph on this machine?

It believes nothing. From graph, machine and schedule alone it derives what every firing takes, which node needs which
token when, when each token gets there and how long it must stay, and it compares that with what the schedule says.
It shares no code with the planner: only the :class:`Schedule` encoding, whose docstring is the law it enforces.

Everything is done in bulk: dense and window bundles are reduced to (node, token) pairs without listing their edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph import Dense, Graph, OneToOne, Window
from graphsim.passes import Unrolled, unroll
from graphsim.schedule.schedule import Schedule

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: What can be wrong with a schedule.
Kind = Literal[
    "digest",  # made for another graph
    "encoding",  # arrays that contradict each other: lengths, ranges, order
    "rates",  # a graph that this encoding cannot express: not even unrolled one token per firing
    "placement",  # an actor on no node, on a switch, or a source or sink away from the host
    "time",  # a start before tick 0 or beyond all reason
    "firings",  # firings of one actor on several nodes, or not one after the other
    "firing overlap",  # two firings on one node in one tick
    "link overload",  # more frames on a link in one tick than it takes
    "calendar",  # more frames per period than the link's calendar lists
    "parcel",  # an empty parcel, or one with tokens that are not made where it starts
    "tree",  # a hop from where its parcel never is, or a second way to one node
    "hop early",  # a hop that starts before its parcel is there
    "late",  # a token used before it is there
    "lost",  # a token used where it never gets
    "duplicate",  # a token that gets to one node twice
    "slot",  # no slot, two slots, or one for a token that is never there
    "slot depth",  # a slot that is written again while its token is live
    "slot overlap",  # two slots, or a slot and the parameters, in the same bytes
    "memory",  # bytes beyond the node's memory
    "bound",  # a period below a bound that is recorded as proved
]
KINDS: tuple[str, ...] = get_args(Kind)

#: No tick of a schedule may be later: an hour and a half at 200 MHz. Keeps all sums far from the end of int64.
LAST_TICK = 2**40
#: No slot may lie higher: no node has more memory.
LAST_BYTE = 2**50
#: Violations of one kind that are written out; all are counted.
SHOWN_PER_KIND = 8

FLOAT_BYTES = 4
#: Group params that a firing reads; ``magnitude`` serves comparisons only and is not on the machine.
FIRING_ROLES = ("bias", "divisor", "alpha")


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong: its kind, and a sentence that names tick, node, link, actor as far as they apply."""

    kind: Kind
    message: str


@dataclass(frozen=True)
class Verdict:
    """What the verifier found.

    Attributes:
        ok: nothing is wrong.
        checks: what was checked, in words, and how many of them.
        violations: what is wrong, at most ``SHOWN_PER_KIND`` of each kind.
        violation_count: how many violations there are, shown or not.
    """

    ok: bool
    checks: tuple[tuple[str, int], ...]
    violations: tuple[Violation, ...]
    violation_count: int

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of violation found."""
        return frozenset(v.kind for v in self.violations)


@dataclass
class _Findings:
    """Collects checks and violations."""

    checks: list[tuple[str, int]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    count: int = 0

    def checked(self, what: str, how_many: int) -> None:
        self.checks.append((what, how_many))

    def add(self, kind: Kind, message: str) -> None:
        self.add_all(kind, [0], lambda _: message)

    def add_all(self, kind: Kind, where: BoolArray | Iterable[int], message: Callable[[int], str]) -> None:
        """One violation for every True of a mask, or for every index; messages are made for the first few only."""
        at = np.flatnonzero(where) if isinstance(where, np.ndarray) and where.dtype == bool else list(where)
        self.count += len(at)
        self.violations += [Violation(kind, message(int(i))) for i in at[:SHOWN_PER_KIND]]

    def verdict(self) -> Verdict:
        return Verdict(self.count == 0, tuple(self.checks), tuple(self.violations), self.count)


def verify(graph: Graph, schedule: Schedule) -> Verdict:
    """Check a schedule against graph and machine. A bad schedule gives a bad verdict, never an exception.

    Later checks presuppose earlier ones: a schedule for another graph, or whose arrays contradict each other, is
    rejected before its times are looked at.
    """
    found = _Findings()
    facts = _readable(graph, schedule, found)
    if facts is None:
        return found.verdict()
    _check_firings(facts, found)
    _check_nodes(facts, found)
    _check_links(facts, found)
    _check_parcels(facts, found)
    held = _check_deliveries(facts, found)
    _check_slots(facts, held, found)
    _check_bounds(facts, found)
    return found.verdict()


def verify_calendars(graph: Graph, schedule: Schedule) -> Verdict:
    """Check only what a machine could not even load: arrays and ids, placement, calendars of nodes and links, memory.

    What happens to tokens is not looked at: an engine finds that out by executing the calendars.
    """
    found = _Findings()
    facts = _readable(graph, schedule, found)
    if facts is None:
        return found.verdict()
    _check_nodes(facts, found)
    _check_links(facts, found)
    _check_memory(facts, found)
    return found.verdict()


def _readable(graph: Graph, schedule: Schedule, found: _Findings) -> _Facts | None:
    """What follows from a schedule that can be read at all; None, and findings, for one that cannot."""
    _check_graph(graph, schedule, found)
    if found.count:
        return None
    unrolled = unroll(graph)
    for stage in (_check_encoding, _check_placement, _check_times):
        stage(unrolled.graph, schedule, found)
        if found.count:
            return None
    return _Facts(graph, unrolled, schedule)


def _check_graph(graph: Graph, schedule: Schedule, found: _Findings) -> None:
    found.checked("graph digest", 1)
    if schedule.graph_digest != graph.digest:
        found.add(
            "digest",
            f"the schedule is for graph {schedule.graph_digest[:12]}, not for {graph.name} {graph.digest[:12]}; "
            f"fold this graph again",
        )
    found.checked("rates that unrolling makes one token per firing", len(graph.channels))
    try:
        unroll(graph)
    except GraphError as error:
        found.add("rates", str(error))


def _check_encoding(graph: Graph, schedule: Schedule, found: _Findings) -> None:
    s, machine = schedule, schedule.machine
    lengths = {
        "node": graph.actor_count,
        "start": graph.actor_count,
        "parcel_node": None,
        "parcel_ptr": np.size(s.parcel_node) + 1,
        "parcel_token": None,
        "hop_parcel": None,
        "hop_link": np.size(s.hop_parcel),
        "hop_start": np.size(s.hop_parcel),
        "slot_node": None,
        "slot_token": np.size(s.slot_node),
        "slot_address": np.size(s.slot_node),
        "slot_depth": np.size(s.slot_node),
    }
    found.checked("schedule arrays", len(lengths))
    for name, length in lengths.items():
        array = getattr(s, name)
        if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != "i":
            found.add("encoding", f"{name} is not a vector of signed integers")
        elif length is not None and len(array) != length:
            found.add("encoding", f"{name} has {len(array)} entries; it needs {length}")
    if type(s.period) is not int or not 1 <= s.period <= LAST_TICK:
        found.add("encoding", f"a period of {s.period!r} ticks; it must be an integer from 1 to {LAST_TICK}")
    if found.count:
        return

    ptr = s.parcel_ptr
    if ptr[0] != 0 or ptr[-1] != len(s.parcel_token) or np.any(np.diff(ptr) < 0):
        found.add("encoding", f"parcel_ptr does not ascend from 0 to {len(s.parcel_token)}")
    tokens = graph.actor_count + len(_input_actors(graph))
    for name, end in {
        "parcel_node": len(machine.nodes),
        "parcel_token": tokens,
        "hop_parcel": len(s.parcel_node),
        "hop_link": len(machine.links),
        "slot_node": len(machine.nodes),
        "slot_token": tokens,
    }.items():
        array = getattr(s, name)
        found.add_all(
            "encoding",
            (array < 0) | (array >= end),
            lambda i, name=name, array=array, end=end: f"{name}[{i}] is {array[i]}; ids run from 0 to {end - 1}",  # type: ignore[misc]
        )
    found.add_all("encoding", s.slot_depth < 1, lambda i: f"slot_depth[{i}] is {s.slot_depth[i]}; a slot has a copy")
    found.add_all(
        "encoding",
        (s.slot_address < 0) | (s.slot_address > LAST_BYTE),
        lambda i: f"slot_address[{i}] is {s.slot_address[i]}; bytes run from 0 to {LAST_BYTE}",
    )
    if not _ascends(s.hop_parcel, s.hop_start, s.hop_link):
        found.add("encoding", "hops are not sorted by (parcel, start, link)")
    if not _ascends(s.slot_node, s.slot_token):
        found.add("encoding", "slots are not sorted by (node, token)")


def _ascends(*keys: npt.NDArray[np.signedinteger]) -> bool:
    """Whether rows sorted by these keys, the first weighing most, would stay as they are."""
    return bool(np.array_equal(np.lexsort(keys[::-1]), np.arange(len(keys[0]))))


def _check_placement(graph: Graph, schedule: Schedule, found: _Findings) -> None:
    machine, node = schedule.machine, schedule.node
    found.checked("actors placed on compute nodes", graph.actor_count)
    inside = (node >= 0) & (node < len(machine.nodes))
    found.add_all(
        "placement",
        ~inside,
        lambda i: f"{graph.actor(i).name} is on node {node[i]}; nodes run from 0 to {len(machine.nodes) - 1}",
    )
    compute = np.array([spec.kind == "compute" for spec in machine.nodes])
    found.add_all(
        "placement",
        inside & ~compute[np.where(inside, node, 0)],
        lambda i: f"{graph.actor(i).name} is on {machine.nodes[int(node[i])].name}, a switch; switches fire no actors",
    )
    ends = [a for g in (*graph.sources, *graph.sinks) for a in range(int(graph.first[g]), int(graph.first[g + 1]))]
    found.checked("sources and sinks on the host", len(ends))
    host = machine.nodes[machine.host].name
    away = [a for a in ends if inside[a] and node[a] != machine.host]
    found.add_all(
        "placement",
        away,
        lambda a: (
            f"{graph.actor(a).name} is on {machine.nodes[int(node[a])].name}; sources and sinks are on host {host}"
        ),
    )


def _check_times(graph: Graph, schedule: Schedule, found: _Findings) -> None:
    start, hop_start = schedule.start, schedule.hop_start
    found.checked("start ticks in range", len(start) + len(hop_start))
    found.add_all(
        "time",
        (start < 0) | (start > LAST_TICK),
        lambda i: f"{graph.actor(i).name} starts at tick {start[i]}; ticks run from 0 to {LAST_TICK}",
    )
    found.add_all(
        "time",
        (hop_start < 0) | (hop_start > LAST_TICK),
        lambda i: f"hop {i} starts at tick {hop_start[i]}; ticks run from 0 to {LAST_TICK}",
    )


def _input_actors(graph: Graph) -> IntArray:
    """Ids of the actors that sources feed, ascending; the k-th one's element of the sample is token actors + k."""
    groups = sorted({c.dst for source in graph.sources for c in graph.channels_from(source)})
    parts = [np.arange(graph.first[g], graph.first[g + 1], dtype=np.int64) for g in groups]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


class _Facts:
    """What follows from graph, machine and schedule, before anything is compared.

    Token t is made by actor ``maker[t]`` (-1: no such token, a source's own id) and has ``bits[t]`` bits (0: nobody
    consumes it). Actors are firings, those of the unrolled graph. A (node, token) pair is one integer, ``node * tokens
    + token``.
    """

    def __init__(self, original: Graph, unrolled: Unrolled, schedule: Schedule) -> None:
        self.original, self.unrolled = original, unrolled
        self.graph, self.schedule, self.machine = unrolled.graph, schedule, schedule.machine
        graph = self.graph
        self.period = schedule.period
        self.node = schedule.node.astype(np.int64)
        self.start = schedule.start.astype(np.int64)
        self.ticks = self._ticks()
        self.end = self.start + self.ticks

        self.inputs = _input_actors(graph)
        self.tokens = graph.actor_count + len(self.inputs)
        self.maker, self.bits = self._tokens()
        self.bytes = -(-self.bits // 8)

        self.parcel_node = schedule.parcel_node.astype(np.int64)
        self.parcel_size = np.diff(schedule.parcel_ptr).astype(np.int64)
        self.parcel_token = schedule.parcel_token.astype(np.int64)
        self.parcel_of_token = np.repeat(np.arange(len(self.parcel_node)), self.parcel_size)
        parcel_bits = np.zeros(len(self.parcel_node), np.int64)
        np.add.at(parcel_bits, self.parcel_of_token, self.bits[self.parcel_token])

        links = self.machine.links
        self.hop_parcel = schedule.hop_parcel.astype(np.int64)
        self.hop_link = schedule.hop_link.astype(np.int64)
        self.hop_start = schedule.hop_start.astype(np.int64)
        self.link_rate = np.array([link.frames_per_tick for link in links], np.int64)
        self.hop_from = np.array([link.src for link in links], np.int64)[self.hop_link]
        self.hop_to = np.array([link.dst for link in links], np.int64)[self.hop_link]
        frame_bits = np.array([link.frame_bits for link in links], np.int64)[self.hop_link]
        self.hop_latency = np.array([link.latency for link in links], np.int64)[self.hop_link]
        self.hop_frames = -(-parcel_bits[self.hop_parcel] // frame_bits)
        self.hop_ticks = -(-self.hop_frames // self.link_rate[self.hop_link])
        self.hop_sent = self.hop_start + self.hop_ticks
        self.hop_arrival = self.hop_sent + self.hop_latency

    def _ticks(self) -> IntArray:
        """Ticks of every actor's firing on its node."""
        graph, ticks = self.graph, np.zeros(self.graph.actor_count, np.int64)
        for number in range(len(graph.groups)):
            actors = slice(int(graph.first[number]), int(graph.first[number + 1]))
            fan_in = graph.fan_in(number)
            cases, which = np.unique(fan_in * len(self.machine.nodes) + self.node[actors], return_inverse=True)
            priced = [
                self.machine.nodes[int(case) % len(self.machine.nodes)].ticks(
                    graph.work_of(number, int(case) // len(self.machine.nodes))
                )
                for case in cases
            ]
            ticks[actors] = np.array(priced, np.int64)[which]
        return ticks

    def _tokens(self) -> tuple[IntArray, IntArray]:
        graph = self.graph
        maker = np.full(self.tokens, -1, np.int64)
        bits = np.zeros(self.tokens, np.int64)
        for number, group in enumerate(graph.groups):
            first, last = int(graph.first[number]), int(graph.first[number + 1])
            if group.op != "source":
                maker[first:last] = np.arange(first, last)
                bits[first:last] = max((c.token_bits for c in graph.channels_from(number)), default=0)
                continue
            for c in graph.channels_from(number):
                edges = c.expand(group.size, graph.groups[c.dst].size, graph.params)
                token = self.token_of_input(int(graph.first[c.dst]) + edges.dst)
                maker[token] = first + edges.src
                bits[token] = c.token_bits
        return maker, bits

    def token_of_input(self, actor: IntArray) -> IntArray:
        """The tokens that sources send to these input actors."""
        return self.graph.actor_count + np.searchsorted(self.inputs, actor)

    def token_name(self, token: int) -> str:
        if token >= self.graph.actor_count:
            return f"the sample's element for {self.graph.actor(int(self.inputs[token - self.graph.actor_count])).name}"
        return f"the token of {self.graph.actor(token).name}"

    def node_name(self, node: int) -> str:
        return self.machine.nodes[node].name

    def pair_name(self, pair: int) -> str:
        node, token = divmod(pair, self.tokens)
        return f"{self.token_name(token)} on {self.node_name(node)}"

    def hop_name(self, hop: int) -> str:
        parcel = int(self.hop_parcel[hop])
        count, link = int(self.parcel_size[parcel]), self.machine.link_name(int(self.hop_link[hop]))
        what = "empty"
        if count:
            what = self.token_name(int(self.parcel_token[self.schedule.parcel_ptr[parcel]]))
            what += f" and {count - 1} more" if count > 1 else ""
        return f"hop {hop} over {link} at tick {self.hop_start[hop]} (parcel {parcel}: {what})"


def _check_firings(facts: _Facts, found: _Findings) -> None:
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


def _check_nodes(facts: _Facts, found: _Findings) -> None:
    found.checked("firings that share their node with no other in any tick of the period", len(facts.start))
    node, tick = _crowded(
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


def _check_links(facts: _Facts, found: _Findings) -> None:
    found.checked("frames on links, never more in a tick than the link takes", int(facts.hop_frames.sum()))
    rate = facts.link_rate[facts.hop_link]
    last = facts.hop_frames - (facts.hop_ticks - 1) * rate
    link, tick = _crowded(
        np.concatenate([facts.hop_link, facts.hop_link]),
        np.concatenate([facts.hop_start, facts.hop_sent - 1]),
        np.concatenate([facts.hop_ticks - 1, np.minimum(facts.hop_ticks, 1)]),
        np.concatenate([rate, last]),
        facts.link_rate,
        facts.period,
    )

    def crowd(i: int) -> str:
        here = (facts.hop_link == link[i]) & ((tick[i] - facts.hop_start) % facts.period < facts.hop_ticks)
        parcels = ", ".join(str(p) for p in facts.hop_parcel[here][:4])
        capacity = facts.link_rate[link[i]]
        return (
            f"{facts.machine.link_name(int(link[i]))}, tick {tick[i]} of the period: parcels {parcels} need more than "
            f"its {capacity} frame{'s' if capacity > 1 else ''} per tick"
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


def _crowded(
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


def _check_parcels(facts: _Facts, found: _Findings) -> None:
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
    before, there = _lookup(ordered, wanted)
    found.add_all(
        "tree",
        ~(at_root | there),
        lambda h: f"{facts.hop_name(h)}: the parcel never gets to {facts.node_name(int(facts.hop_from[h]))}",
    )
    ready = np.where(there, facts.hop_arrival[order][before] if len(order) else 0, 0)
    ready = np.where(at_root, assembled[facts.hop_parcel], ready)
    found.add_all(
        "hop early",
        (at_root | there) & (facts.hop_start < ready),
        lambda h: (
            f"{facts.hop_name(h)}: the parcel is in {facts.node_name(int(facts.hop_from[h]))} from tick {ready[h]} on"
        ),
    )


def _misplaced(facts: _Facts, i: int) -> str:
    token, parcel = int(facts.parcel_token[i]), int(facts.parcel_of_token[i])
    where = facts.node_name(int(facts.parcel_node[parcel]))
    if facts.maker[token] < 0:
        return f"parcel {parcel} holds token {token}, a source's own id, which names no token"
    made = facts.node_name(int(facts.node[facts.maker[token]]))
    return f"parcel {parcel} starts on {where} with {facts.token_name(token)}, which is made on {made}"


def _lookup(ordered: IntArray, wanted: IntArray) -> tuple[IntArray, BoolArray]:
    """Positions of ``wanted`` in an ascending array, and whether they are there (the position is valid anyway)."""
    if not len(ordered):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return at, ordered[at] == wanted


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


def _needs(facts: _Facts) -> _Needs:
    graph, parts = facts.graph, []
    for c in graph.channels:
        sizes = graph.groups[c.src].size, graph.groups[c.dst].size
        maker, reader = int(graph.first[c.src]), int(graph.first[c.dst])
        delay = c.initial_tokens * facts.period  # an edge with d initial tokens reads what was made d iterations ago
        if isinstance(c, Dense) and graph.groups[c.src].op != "source":
            rows, columns = sizes[0] // c.blocks, sizes[1] // c.blocks
            readers = slice(reader, reader + sizes[1])
            block = np.arange(sizes[1]) // columns
            spots = _gather(
                block * len(facts.machine.nodes) + facts.node[readers], facts.start[readers], facts.end[readers]
            )
            blocks, nodes = np.divmod(spots.pair, len(facts.machine.nodes))
            token = (maker + blocks * rows)[:, None] + np.arange(rows)
            pair = (nodes[:, None] * facts.tokens + token).ravel()
            parts.append(_Needs(pair, np.repeat(spots.first, rows) + delay, np.repeat(spots.last, rows) + delay))
            continue
        if isinstance(c, Window):
            parts.append(_window_needs(facts, c, maker, reader, delay))
            continue
        edges = c.expand(*sizes, graph.params)
        actor = reader + edges.dst
        token = facts.token_of_input(actor) if graph.groups[c.src].op == "source" else maker + edges.src
        pair = facts.node[actor] * facts.tokens + token
        parts.append(_gather(pair, facts.start[actor] + delay, facts.end[actor] + delay))
    empty = np.empty(0, np.int64)
    return _gather(*(np.concatenate([empty, *(part[i] for part in parts)]) for i in range(3)))


#: Combinations of a place and taps that are looked at together.
_AT_ONCE = 1 << 22


def _window_needs(facts: _Facts, c: Window, maker: int, reader: int, delay: int) -> _Needs:
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
    spots = _gather(place.ravel() * nodes + facts.node[actors], facts.start[actors], facts.end[actors])
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


class _Held(NamedTuple):
    """(node, token) pairs that are ever in a node's memory, ascending: when they must have room, and until when.

    ``optional`` marks tokens that stay unread where they were made: they may do without a slot.
    """

    pair: IntArray
    claim: IntArray
    release: IntArray
    optional: BoolArray


def _check_deliveries(facts: _Facts, found: _Findings) -> _Held:
    """Every token is in the memory of each node that reads it, once, and in time."""
    made = np.flatnonzero((facts.maker >= 0) & (facts.bits > 0))
    maker = facts.maker[made]
    sizes = facts.parcel_size[facts.hop_parcel]
    hop = np.repeat(np.arange(len(sizes)), sizes)
    offset = np.arange(len(hop)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    sent = facts.parcel_token[facts.schedule.parcel_ptr[facts.hop_parcel][hop] + offset]

    pair = np.concatenate([facts.node[maker] * facts.tokens + made, facts.hop_to[hop] * facts.tokens + sent])
    claim = np.concatenate([facts.end[maker], (facts.hop_start + 1 + facts.hop_latency)[hop]])
    arrival = np.concatenate([facts.end[maker], facts.hop_arrival[hop]])
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
    at, there = _lookup(pair, needs.pair)
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
    leaves, present = _lookup(pair, facts.hop_from[hop] * facts.tokens + sent)
    np.maximum.at(release, leaves[present], facts.hop_sent[hop][present])
    used = np.zeros(len(pair), np.bool_)
    used[at[there]] = True
    used[leaves[present]] = True
    local = facts.node[facts.maker[pair % facts.tokens]] == pair // facts.tokens
    return _Held(pair, claim, release, ~used & local)


def _reader_name(facts: _Facts, needs: _Needs, i: int) -> str:
    """The first actor that reads this pair, for a message."""
    node, token = divmod(int(needs.pair[i]), facts.tokens)
    count = facts.graph.actor_count
    readers = facts.graph.actor(token).consumers if token < count else facts.inputs[token - count : token - count + 1]
    here = readers[facts.node[readers] == node]
    return facts.graph.actor(int(here[np.argmin(facts.start[here])])).name


def _check_slots(facts: _Facts, held: _Held, found: _Findings) -> None:
    s = facts.schedule
    slot_node, slot_token = s.slot_node.astype(np.int64), s.slot_token.astype(np.int64)
    address, depth = s.slot_address.astype(np.int64), s.slot_depth.astype(np.int64)
    pair = slot_node * facts.tokens + slot_token

    found.checked("(node, token) pairs that have their one slot", len(held.pair))
    twice = np.zeros(len(pair), np.bool_)
    twice[1:] = pair[1:] == pair[:-1]
    found.add_all("slot", twice, lambda i: f"{facts.pair_name(int(pair[i]))} has two slots")
    at, there = _lookup(pair, held.pair)
    found.add_all(
        "slot", ~there & ~held.optional, lambda i: f"{facts.pair_name(int(held.pair[i]))} has no slot to be kept in"
    )
    _, known = _lookup(held.pair, pair)
    found.add_all("slot", ~known, lambda i: f"slot {i} is for {facts.pair_name(int(pair[i]))}, where it never is")

    found.checked("slots deep enough for the life of their tokens", len(pair))
    life = held.release - held.claim
    short = there & (-(-life // facts.period) > depth[at]) if len(pair) else there
    found.add_all(
        "slot depth",
        short,
        lambda i: (
            f"{facts.pair_name(int(held.pair[i]))} lives from tick {held.claim[i]} to {held.release[i]}; with "
            f"{depth[at[i]]} of {-(-life[i] // facts.period)} copies it is overwritten at tick "
            f"{held.claim[i] + depth[at[i]] * facts.period}"
        ),
    )

    parameters = _parameter_bytes(facts)
    end = address + depth * facts.bytes[slot_token]
    found.checked("slots that share no byte with another or with the parameters", len(pair))
    found.add_all(
        "slot overlap",
        address < parameters[slot_node],
        lambda i: (
            f"the slot of {facts.pair_name(int(pair[i]))} at byte {address[i]} lies in the node's "
            f"{parameters[slot_node[i]]} bytes of parameters"
        ),
    )
    order = np.lexsort([end, address, slot_node])
    before, after = order[:-1], order[1:]
    # The farthest end so far on the same node: ends are replaced by their rank, and nodes told apart by an offset.
    ranked = np.argsort(end, kind="stable")
    rank = np.empty_like(ranked)
    rank[ranked] = np.arange(len(ranked))
    farthest = end[ranked[np.maximum.accumulate(rank[order] + slot_node[order] * len(end))[:-1] % max(len(end), 1)]]
    clash = (slot_node[before] == slot_node[after]) & (farthest > address[after])
    found.add_all(
        "slot overlap",
        clash,
        lambda i: (
            f"the slot of {facts.pair_name(int(pair[after[i]]))} at byte {address[after[i]]} begins before byte "
            f"{farthest[i]}, where a slot below it ends"
        ),
    )
    _check_memory(facts, found)


def _check_memory(facts: _Facts, found: _Findings) -> None:
    s = facts.schedule
    memory = np.array([spec.memory_bytes for spec in facts.machine.nodes], np.int64)
    found.checked("node memories that fit", len(memory))
    top = _parameter_bytes(facts)
    np.maximum.at(top, s.slot_node, s.slot_address + s.slot_depth * facts.bytes[s.slot_token])
    found.add_all(
        "memory",
        top > memory,
        lambda v: f"{facts.node_name(v)} needs {top[v]} bytes of memory; it has {memory[v]}",
    )


def _parameter_bytes(facts: _Facts) -> IntArray:
    """Bytes of parameters on every node: 4 per element of every list of weights or params that firings there read.

    A list is known by its param, its first element and the steps from there on; actors on one node that read the same
    list need it once. A window's list is that of a consumer that misses no edge.
    """
    graph, nodes = facts.graph, len(facts.machine.nodes)
    lists: dict[tuple[str, bytes], list[IntArray]] = {}
    for number in range(len(graph.groups)):
        node = facts.node[graph.first[number] : graph.first[number + 1]]
        for param, steps, first in _read_lists(graph, number):
            pairs = np.where(first >= 0, first * nodes + node, -1)
            lists.setdefault((param, steps.tobytes()), []).append(pairs[pairs >= 0])
    total = np.zeros(nodes, np.int64)
    for (_, form), parts in lists.items():
        copies = np.bincount(np.unique(np.concatenate(parts)) % nodes, minlength=nodes)
        total += FLOAT_BYTES * np.frombuffer(form, np.int64).size * copies
    return total


def _read_lists(graph: Graph, number: int) -> Iterator[tuple[str, IntArray, IntArray]]:
    """(param, steps, first element of each actor's list or -1) of everything that firings of a group read."""
    group = graph.groups[number]
    local = np.arange(group.size)
    for role, ref in group.params.items():
        if role in FIRING_ROLES:
            yield ref.name, np.zeros(1, np.int64), local // ref.inner % graph.params[ref.name].size
        elif role == "table":
            entries, columns = graph.params[ref.name].shape
            yield ref.name, np.arange(entries) * columns, local // ref.inner % columns
    for c in graph.channels_into(number):
        if c.weight is None:
            continue
        weight, size = graph.params[c.weight.name], graph.groups[c.src].size
        if isinstance(c, OneToOne):
            yield c.weight.name, np.zeros(1, np.int64), local // c.weight.inner % weight.size
        elif isinstance(c, Dense):
            yield c.weight.name, np.arange(weight.shape[0]) * weight.shape[1], local % weight.shape[1]
        elif isinstance(c, Window):
            tap = np.indices([axis.taps for axis in c.axes]).reshape(len(c.axes), -1)
            at = np.indices([axis.consumers for axis in c.axes]).reshape(len(c.axes), -1)
            steps = np.array([axis.weight_tap for axis in c.axes]) @ tap
            yield c.weight.name, steps, np.array([axis.weight_consumer for axis in c.axes]) @ at + c.weight_offset
        else:  # every edge has a weight of its own
            edges = c.fan_in(size, group.size, graph.params)
            first = np.cumsum(edges) - edges
            for length in np.unique(edges[edges > 0]):
                yield c.weight.name, np.arange(length), np.where(edges == length, first, -1)


def _check_bounds(facts: _Facts, found: _Findings) -> None:
    s = facts.schedule
    found.checked("recorded bounds that the period respects", 2)
    for name, bound in (("lower bound", s.bound), ("lower bound of the placement", s.placement_bound)):
        if bound.ticks > s.period:
            found.add(
                "bound", f"the recorded {name} is {bound.ticks} ticks ({bound.resource}); the period is {s.period}"
            )
    if s.placement_bound.ticks < s.bound.ticks:
        found.add(
            "bound",
            f"the recorded bound for this placement, {s.placement_bound.ticks} ticks, is below the bound for any, "
            f"{s.bound.ticks}",
        )
