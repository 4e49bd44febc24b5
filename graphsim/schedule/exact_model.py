"""All schedules of a small graph on a small machine at one period, as constraints for OR-Tools' CP-SAT.

Nothing of what :class:`~graphsim.schedule.schedule.Schedule` allows is left out, but that nodes may be short of memory:
any placement, any tree of links for every token, any packing, any times.

Packing. A parcel that leaves its node over several links may as well be several parcels, one per link and what lies
behind it: links carry the same frames, and no node gets a token twice. So a token is in at most one parcel on each
link, and "token u travels in the parcel that token t leads" is a relation on links: ``led[t, u, l]``, t being the
least token of the parcel. It holds on every link that the parcel takes, before and behind l, or on none.

Where all tokens are as wide as n frames, and links move one frame per tick, a parcel may as well be its tokens one
after the other, each no later than before: then there is no packing. Where n tokens just fill a frame, a parcel may as
well be cut into parcels of one frame. Otherwise parcels have any number of frames.

Where. Input actors may be moved off the host; that is of use only where tokens are packed, or wider before an input
than behind it. Otherwise a tree from the host by way of that node is as good.

When. What starts at tick s starts at ``s % period`` of the table of its node or link. Tables are circles: intervals
that begin in [0, period), and a copy of each a period later, do not overlap.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from graphsim.analysis.costs import PINNED_OPS, Costs
from graphsim.analysis.tokens import input_actors, token_bits, token_makers
from graphsim.graph.ops import SINKS
from graphsim.machine import Machine
from graphsim.passes import Unrolled

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel

    from graphsim.schedule.schedule import Schedule


@dataclass(frozen=True)
class Problem:
    """What is to be scheduled, as lists.

    Attributes:
        machine: where.
        owner: of each firing, the actor.
        ticks: of each firing, on each node; a switch has none.
        allowed: of each actor, the nodes that may fire it.
        chains: firings of one actor in order, for each that fires several times.
        tokens: ids of the tokens that somebody reads; the other lists about tokens have an entry for each of these.
        maker: the firing that makes it. bits: its width. readers: (firing, iterations ago) of each that reads it.
        frames_whole: every token fills so many frames, or 0.
        fill: so many tokens just fill a frame, or 0; all of them, where all fit into one.
        sources, sinks: firings.
    """

    machine: Machine
    owner: list[int]
    ticks: list[dict[int, int]]
    allowed: list[list[int]]
    chains: list[list[int]]
    tokens: list[int]
    maker: list[int]
    bits: list[int]
    readers: list[list[tuple[int, int]]]
    frames_whole: int
    fill: int
    sources: list[int]
    sinks: list[int]


def problem_of(costs: Costs, unrolled: Unrolled) -> Problem:
    """The problem of a graph and its firings."""
    graph, machine = unrolled.graph, costs.machine
    inputs, makers, width = input_actors(graph), token_makers(graph).tolist(), token_bits(graph).tolist()
    readers: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for c in graph.channels:
        edges = c.expand(graph.groups[c.src].size, graph.groups[c.dst].size, graph.params)
        for src, dst in zip(edges.src.tolist(), edges.dst.tolist(), strict=True):
            reader = int(graph.first[c.dst]) + dst
            token = int(graph.first[c.src]) + src
            if graph.groups[c.src].op == "source":
                token = graph.actor_count + int(np.searchsorted(inputs, reader))
            readers[token].add((reader, c.initial_tokens))
    tokens = sorted(t for t in readers if width[t])
    bits = [width[t] for t in tokens]
    rate = {link.frames_per_tick for link in machine.links}
    frame = {link.frame_bits for link in machine.links}
    whole = fill = 0
    if tokens and len(frame) == 1:
        (size,) = frame
        if len(set(bits)) == 1 and rate == {1} and bits[0] % size == 0:
            whole = bits[0] // size
        elif sum(bits) <= size:
            fill = len(tokens)
        elif len(set(bits)) == 1 and rate == {1} and size % bits[0] == 0:
            fill = size // bits[0]
    allowed = []
    for group in costs.graph.groups:
        pinned = group.op in PINNED_OPS and not (group.op == "input" and not whole)
        home = machine.sink_host if group.op in SINKS else machine.host
        allowed += [[home] if pinned else list(machine.compute_nodes)] * group.size
    firing = Costs(graph, machine)
    ticks: list[dict[int, int]] = [{} for _ in range(graph.actor_count)]
    for v in machine.compute_nodes:
        for a, t in enumerate(firing.durations(np.full(graph.actor_count, v, np.int32)).tolist()):
            ticks[a][v] = t
    chains: list[list[int]] = []
    for number, group in enumerate(costs.graph.groups):
        if group.firings > 1 and group.op != "serial":  # what a serial emits, it emits in any order
            first = graph.first[unrolled.firings(number)]
            chains += [(first + i).tolist() for i in range(group.size)]

    def members(groups: Any) -> list[int]:
        return [a for g in groups for a in range(int(graph.first[g]), int(graph.first[g + 1]))]

    return Problem(
        machine, unrolled.owner.tolist(), ticks, allowed, chains, tokens, [makers[t] for t in tokens], bits,
        [sorted(readers[t]) for t in tokens], whole, fill, members(graph.sources), members(graph.sinks),
    )  # fmt: skip


def longest(problem: Problem) -> int:
    """The longest way through firings of one iteration from a source to a sink, each where it is fastest, in ticks."""
    least = [min(ticks[v] for v in problem.allowed[o]) for o, ticks in zip(problem.owner, problem.ticks, strict=True)]
    ends = [least[a] if a in problem.sources else -1 for a in range(len(least))]
    waits = [(m, a) for m, row in zip(problem.maker, problem.readers, strict=True) for a, ago in row if not ago]
    changed = True
    while changed:
        changed = False
        for maker, reader in waits:
            if ends[maker] >= 0 and ends[maker] + least[reader] > ends[reader]:
                ends[reader] = ends[maker] + least[reader]
                changed = True
    return max(0, *(ends[a] for a in problem.sinks))


class Model:
    """Constraints on everything at one period; or, without a period, those on loads only, the least period wanted.

    Attributes:
        model: of CP-SAT. It minimises the latency, or the period.
        on: of each actor, whether it is on a node, by node.
        travels: places in the problem's lists of the tokens that may have to travel.
        taken: whether a token takes a link, by (token, link).
        leads: whether a token is the first of a parcel on a link. led: (t, u, link), see above.
        start: of each firing. sent: of each token on each link.
    """

    def __init__(self, problem: Problem, period: int | None, most: int | None = None) -> None:
        """``most``: no greater latency (or period) is wanted."""
        from ortools.sat.python import cp_model

        self.problem, self.period = problem, period
        self.model: CpModel = cp_model.CpModel()
        self._zero = self.model.new_constant(0)
        machine = problem.machine
        self._into = [machine.in_links(v) for v in range(len(machine.nodes))]
        self._from = [machine.out_links(v) for v in range(len(machine.nodes))]
        self._place()
        self.travels = []
        for i, maker in enumerate(problem.maker):
            where = {v for a in (maker, *(a for a, _ in problem.readers[i])) for v in self._nodes(a)}
            if len(where) > 1:
                self.travels.append(i)
        self.taken = {
            (i, n): self.model.new_bool_var(f"taken {i} {n}") for i in self.travels for n in range(len(machine.links))
        }
        self._trees()
        if period is None:
            self._loads(most)
            return
        self.leads: dict[tuple[int, int], Any] = self.taken
        self.led: dict[tuple[int, int, int], Any] = {}
        if not problem.frames_whole:
            self._pack()
        self._time(period, most)
        self._occupy(period)

    def _nodes(self, firing: int) -> list[int]:
        return self.problem.allowed[self.problem.owner[firing]]

    def _at(self, firing: int, v: int) -> Any:
        return self.on[self.problem.owner[firing]].get(v, self._zero)

    def _place(self) -> None:
        self.on: list[dict[int, Any]] = []
        work: list[dict[int, int]] = [defaultdict(int) for _ in self.problem.allowed]
        for owner, ticks in zip(self.problem.owner, self.problem.ticks, strict=True):
            for v, t in ticks.items():
                work[owner][v] += t
        for owner, nodes in enumerate(self.problem.allowed):
            here = {v: self.model.new_bool_var(f"on {owner} {v}") for v in nodes}
            self.model.add_exactly_one(here.values())
            for v, var in here.items():
                if self.period is not None and work[owner][v] > self.period:
                    self.model.add(var == 0)
            self.on.append(here)

    def _there(self, i: int, v: int) -> Any:
        """Whether a token is ever in a node's memory, as a sum."""
        return self._at(self.problem.maker[i], v) + sum(self.taken[i, n] for n in self._into[v])

    def _trees(self) -> None:
        """A token gets to a node once, over a link from where it is, and to where it is read."""
        for i in self.travels:
            for v in range(len(self._into)):
                self.model.add(self._there(i, v) <= 1)
                for n in self._from[v]:
                    self.model.add(self.taken[i, n] <= self._there(i, v))
            for reader in {a for a, _ in self.problem.readers[i]}:
                for v in self._nodes(reader):
                    self.model.add(self._at(reader, v) <= self._there(i, v))

    def _bits(self, n: int) -> Any:
        return sum(self.problem.bits[i] * self.taken[i, n] for i in self.travels)

    def _loads(self, most: int | None) -> None:
        """What a period must have room for, whatever the packing; trees may even be circles."""
        problem, model = self.problem, self.model
        limit = most or sum(max(t.values(), default=0) for t in problem.ticks) + sum(problem.bits) + 1
        period = model.new_int_var(1, limit, "period")
        for v in problem.machine.compute_nodes:
            model.add(sum(t[v] * self._at(a, v) for a, t in enumerate(problem.ticks) if t.get(v)) <= period)
        for n, link in enumerate(problem.machine.links):
            model.add(self._bits(n) <= link.frame_bits * link.frames_per_tick * period)
            model.add(self._bits(n) <= link.frame_bits * link.calendar_entries)
        model.minimize(period)

    def _pack(self) -> None:
        """Every token on a link leads its parcel or is led by an earlier token, on all the way of that parcel."""
        model, problem, links = self.model, self.problem, self.problem.machine.links
        self.leads = {key: model.new_bool_var(f"leads {key}") for key in self.taken}
        for n in range(len(links)):
            for at, u in enumerate(self.travels):
                for t in self.travels[:at]:
                    self.led[t, u, n] = model.new_bool_var(f"led {t} {u} {n}")
                    model.add_implication(self.led[t, u, n], self.leads[t, n])
                before = sum(self.led[t, u, n] for t in self.travels[:at])
                model.add(self.leads[u, n] + before == self.taken[u, n])
        for (t, u, n), led in self.led.items():
            src, dst = links[n].src, links[n].dst
            here, other = self._at(problem.maker[t], src), self._at(problem.maker[u], src)
            model.add(here == other).only_enforce_if(led)
            for near in (*self._into[src], *self._from[dst]):
                if (links[near].src, links[near].dst) == (dst, src):
                    continue  # back to where it came from, which no parcel goes
                for one in (t, u):
                    model.add_bool_or(led.negated(), self.taken[one, near].negated(), self.led[t, u, near])

    def _time(self, period: int, most: int | None) -> None:
        """Starts, and when tokens are where. The first source starts at tick 0, others before or after that."""
        problem, model, machine = self.problem, self.model, self.problem.machine
        # No simple way through firings and hops is longer, each of which waits for less than a period.
        lengths = [max(t.values(), default=0) for t in problem.ticks]
        frames = 1 + max((sum(problem.bits) // link.frame_bits for link in machine.links), default=0)
        hop = period + frames + max((link.latency for link in machine.links), default=0) + max(machine.crossings)
        end = sum(lengths) + period * len(lengths) + hop * len(self.travels) * max(1, len(machine.nodes) - 1)
        self._end = end
        self.start, self.ends = [], []
        first = problem.sources[0]
        for a, ticks in enumerate(problem.ticks):
            start = model.new_int_var(-end, end, f"start {a}") if a != first else self._zero
            self.start.append(start)
            self.ends.append(start + sum(t * self._at(a, v) for v, t in ticks.items() if t and v in self._nodes(a)))
        for chain in problem.chains:
            for a, b in pairwise(chain):
                model.add(self.start[b] >= self.ends[a])
            model.add(self.start[chain[0]] + period >= self.ends[chain[-1]])
        self.latency = model.new_int_var(0, end if most is None else most, "latency")
        for sink in problem.sinks:
            for source in problem.sources:
                model.add(self.latency >= self.ends[sink] - self.start[source])
        model.minimize(self.latency)
        travels = set(self.travels)
        self._counted: dict[tuple[int, int], tuple[Any, Any]] = {}
        self.sent, self.takes, self.there = {}, {}, {}
        for i, maker in enumerate(problem.maker):
            for reader, ago in problem.readers[i]:
                model.add(self.start[reader] + ago * period >= self.ends[maker])
            if i not in travels:
                continue
            for v in range(len(machine.nodes)):
                self.there[i, v] = model.new_int_var(-end, end, f"there {i} {v}")
                if v in self._nodes(maker):
                    model.add(self.there[i, v] >= self.ends[maker]).only_enforce_if(self._at(maker, v))
            for reader, ago in problem.readers[i]:
                for v in self._nodes(reader):
                    at = self._at(reader, v)
                    model.add(self.start[reader] + ago * period >= self.there[i, v]).only_enforce_if(at)
            for n, link in enumerate(machine.links):
                self.sent[i, n] = model.new_int_var(-end, end, f"sent {i} {n}")
                taken, sent = self.taken[i, n], self.sent[i, n]
                self.takes[i, n] = ticks = self._frames(i, n)[1]
                if not machine.crossings[link.src]:
                    model.add(sent >= self.there[i, link.src]).only_enforce_if(taken)
                model.add(self.there[i, link.dst] >= sent + ticks + link.latency).only_enforce_if(taken)
            for v in machine.switches:  # which store nothing
                for m, n in product(self._into[v], self._from[v]):
                    leaves = self.sent[i, m] + machine.ways[m] + machine.crossings[v]
                    model.add(self.sent[i, n] == leaves).only_enforce_if(self.taken[i, m], self.taken[i, n])
        for (t, u, n), led in self.led.items():
            model.add(self.sent[t, n] == self.sent[u, n]).only_enforce_if(led)
            if not isinstance(self.takes[t, n], int):
                model.add(self.takes[t, n] == self.takes[u, n]).only_enforce_if(led)

    def _frames(self, i: int, n: int) -> tuple[Any, Any]:
        """Frames and ticks of the parcel that a token leads, numbers or variables."""
        problem, link = self.problem, self.problem.machine.links[n]
        if problem.frames_whole or problem.fill:
            just = max(1, problem.frames_whole)
            return just, just  # more than one frame only where links move one per tick
        if (i, n) not in self._counted:
            model, rate = self.model, link.frames_per_tick
            most = 1 + sum(problem.bits) // link.frame_bits
            frames: Any = model.new_int_var(1, most, f"frames {i} {n}")
            led = sum(problem.bits[u] * self.led[i, u, n] for u in self.travels if u > i)
            model.add(frames * link.frame_bits >= problem.bits[i] + led).only_enforce_if(self.leads[i, n])
            ticks: Any = frames
            if rate > 1:
                ticks = model.new_int_var(1, most, f"ticks {i} {n}")
                model.add(ticks * rate >= frames)
                model.add(ticks * rate <= frames + rate - 1)
            self._counted[i, n] = frames, ticks
        return self._counted[i, n]

    def _occupy(self, period: int) -> None:
        """No two firings on a node, no two frames too many on a link in a tick of the period."""
        problem, model = self.problem, self.model
        place: list[Any] = []
        for a, start in enumerate(self.start):
            place.append(self._residue(start, period, f"turn {a}") if any(problem.ticks[a].values()) else None)
        for v in problem.machine.compute_nodes:
            here = []
            for a, ticks in enumerate(problem.ticks):
                if not ticks.get(v) or v not in self._nodes(a):
                    continue
                here += self._circle(place[a], ticks[v], self._at(a, v), period, f"{a} {v}")
            model.add_no_overlap(here)
            model.add(sum(t[v] * self._at(a, v) for a, t in enumerate(problem.ticks) if t.get(v)) <= period)
        for n, link in enumerate(problem.machine.links):
            here, rate = [], link.frames_per_tick
            loads: list[Any] = []
            for i in self.travels:
                at = self._residue(self.sent[i, n], period, f"tick {i} {n}")
                frames, ticks = self._frames(i, n)
                if isinstance(frames, int) or rate == 1:
                    here += self._circle(at, ticks, self.leads[i, n], period, f"hop {i} {n}")
                else:  # full ticks first, then one with what is left
                    here += self._circle(at, ticks - 1, self.leads[i, n], period, f"hop {i} {n}")
                    loads += [rate] * (len(here) - len(loads))
                    last = model.new_int_var(0, 2 * period, f"last {i} {n}")
                    model.add(last == at + ticks - 1).only_enforce_if(self.leads[i, n])
                    here += self._circle(last, 1, self.leads[i, n], period, f"rest {i} {n}")
                    left = model.new_int_var(1, rate, f"left {i} {n}")
                    model.add(left == frames - rate * (ticks - 1)).only_enforce_if(self.leads[i, n])
                    loads += [left] * (len(here) - len(loads))
                loads += [1] * (len(here) - len(loads))
            if rate == 1:
                model.add_no_overlap(here)
            else:
                model.add_cumulative(here, loads, rate)
            self._fits(n, period)

    def _fits(self, n: int, period: int) -> None:
        """A link's frames fit into its period and its calendar; what a parcel leads fits into its frames."""
        problem, model, link = self.problem, self.model, self.problem.machine.links[n]
        most = min(link.calendar_entries, link.frames_per_tick * period)
        model.add(self._bits(n) <= link.frame_bits * most)
        frames = []
        for i in self.travels:
            count = self._frames(i, n)[0]
            if isinstance(count, int):
                frames.append(count * self.leads[i, n])
                continue
            frames.append(model.new_int_var(0, 1 + sum(problem.bits) // link.frame_bits, f"sends {i} {n}"))
            model.add(frames[-1] >= count).only_enforce_if(self.leads[i, n])
        model.add(sum(frames) <= most)
        if problem.fill and problem.fill < len(problem.tokens):
            for i in self.travels:
                model.add(sum(self.led[i, u, n] for u in self.travels if u > i) < problem.fill)

    def _residue(self, start: Any, period: int, name: str) -> Any:
        """Where in the period something starts."""
        at = self.model.new_int_var(0, period - 1, name)
        turn = self.model.new_int_var(-self._end // period, self._end // period, "of " + name)
        self.model.add(start == at + period * turn)
        return at

    def _circle(self, at: Any, length: Any, there: Any, period: int, name: str) -> list[Any]:
        """Intervals on the circle of a period: one, and its copy a period later, where what goes around the end is."""
        found = []
        for begin in (at, at + period):
            end = begin + length
            if not isinstance(length, int):  # a sum of two variables is no end of an interval
                end = self.model.new_int_var(0, 4 * period, "end of " + name)
                self.model.add(end == begin + length).only_enforce_if(there)
            found.append(self.model.new_optional_interval_var(begin, length, end, there, name))
        return found

    def hint(self, schedule: Schedule) -> None:
        """Start the search from a schedule of this period."""
        problem, model = self.problem, self.model
        for owner, v in dict(zip(problem.owner, schedule.node.tolist(), strict=True)).items():
            for other, var in self.on[owner].items():
                model.add_hint(var, other == v)
        zero = int(schedule.start[problem.sources[0]])
        for a, start in enumerate((schedule.start - zero).tolist()):
            if a != problem.sources[0]:
                model.add_hint(self.start[a], start)
        place = {problem.tokens[i]: i for i in self.travels}
        parcels = np.split(schedule.parcel_token, schedule.parcel_ptr[1:-1]) if len(schedule.parcel_node) else []
        chunk = 1 if problem.frames_whole else problem.fill or len(problem.tokens)
        leader: dict[tuple[int, int], int] = {}
        hops = schedule.hop_parcel.tolist(), schedule.hop_link.tolist(), (schedule.hop_start - zero).tolist()
        for p, n, sent in zip(*hops, strict=True):
            row = sorted(place[t] for t in parcels[p].tolist())
            for at, i in enumerate(row):
                leader[i, n] = row[at - at % chunk]
                model.add_hint(self.sent[i, n], sent + at // chunk * max(1, problem.frames_whole))
        for key, taken in self.taken.items():
            model.add_hint(taken, key in leader)
            if not problem.frames_whole:
                model.add_hint(self.leads[key], leader.get(key) == key[0])
        for (t, u, n), led in self.led.items():
            model.add_hint(led, leader.get((u, n)) == t)
