"""The events engine: the folded graph as SimPy processes that wait for each other's tokens.

It is the timing oracle of the machine engine, and shares none of its code. Every node has a process that fires its
actors in calendar order (and one for those that take no time, which the host's DMA does); every link has one that sends
its hops in calendar order, and one that puts them into memory at the other end.

``calendar``: firings and hops start at their calendar ticks. A process that had to wait beyond its tick stops the run.

``self_timed``: every firing and every hop starts as soon as the one before it, its tokens and the room that it needs
allow. All of these are constraints that the calendar meets as well, so nothing is later than in the calendar, and the
steady-state period is at most the calendar's (Sriram and Bhattacharyya, Embedded Multiprocessors, on self-timed
schedules). Room is bounded twice: a token waits until the copy of its slot is no longer needed, and a link holds at
most as many parcels as it has cycles of flight and frames per cycle. Whatever starts waits for the next cycle of its
node or link. Hops to and from a switch keep their calendar ticks, as a switch cannot hold back what it passes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

import networkx as nx
import numpy as np
import simpy

from graphsim.analysis.tokens import input_actors, token_bits, token_makers, tokens_before
from graphsim.analysis.waiting import Wait, listed, told
from graphsim.errors import ScheduleError, TokenError
from graphsim.graph import Graph
from graphsim.graph.firing import Prepared, fire, prepare
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify import verify_calendars
from graphsim.simulate.engine import (
    FloatArray,
    Form,
    Keep,
    Outputs,
    Progress,
    Run,
    as_inputs,
    token_shape,
)

Mode = Literal["calendar", "self_timed"]
Process = Generator[simpy.Event, Any, None]


class _Slot:
    """One slot of a node's memory: copies of a token, each kept until all its uses on this node are over."""

    def __init__(self, env: simpy.Environment, depth: int, uses: int) -> None:
        self.env, self.depth, self.uses = env, depth, uses
        self.iteration = [-1] * depth
        self.value = [np.float32(0)] * depth
        self.left = [0] * depth
        self._changed: simpy.Event | None = None

    def has(self, n: int) -> bool:
        """Whether iteration n of the token is here."""
        return self.iteration[n % self.depth] == n

    def has_room(self, n: int) -> bool:
        """Whether the copy that iteration n goes to is no longer needed."""
        return self.left[n % self.depth] == 0

    def claim(self, n: int) -> None:
        """The first bits of iteration n arrive; what was in its copy is gone."""
        self.iteration[n % self.depth] = -1
        self.left[n % self.depth] = self.uses

    def put(self, n: int, value: np.float32) -> None:
        """Iteration n of the token is here."""
        self.iteration[n % self.depth], self.value[n % self.depth] = n, value
        self._notify()

    def hold(self, n: int, value: np.float32, uses: int) -> None:
        """Iteration n is an initial token, with so many uses."""
        self.iteration[n % self.depth], self.value[n % self.depth], self.left[n % self.depth] = n, value, uses

    def use(self, n: int) -> None:
        """One of the uses of iteration n is over."""
        self.left[n % self.depth] -= 1
        self._notify()

    def change(self) -> simpy.Event:
        """An event that happens when something changes here."""
        if self._changed is None:
            self._changed = self.env.event()
        return self._changed

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.succeed()
            self._changed = None


@dataclass(frozen=True)
class _Firing:
    """An actor on its node: ``terms[i]`` is the token of operand i among its distinct ``tokens``, of which each is that
    of so many iterations ago as ``late`` says.
    """

    actor: int
    node: int
    ticks: int
    prepared: Prepared | None
    tokens: tuple[int, ...]
    late: tuple[int, ...]
    terms: np.ndarray[Any, np.dtype[np.int64]]
    made: tuple[int, ...]


@dataclass(frozen=True)
class _Hop:
    """A hop: its link's frames and cycles for this parcel, its frames per cycle, and the tokens of it.

    ``before`` is the hop into the switch that it leaves, if it leaves one; ``after``: how many leave the switch that it
    leads to.
    """

    number: int
    link: int
    src: int
    dst: int
    frames: int
    cycles: int
    pace: int
    tokens: tuple[int, ...]
    before: int | None
    after: int


@dataclass(frozen=True)
class _Stuck:
    """What a process waits with: since when, for iteration n of which token, or of room for it, or for its link."""

    since: int
    item: _Firing | _Hop
    n: int
    token: int
    wants: Literal["token", "room", "link"]


class EventsEngine:
    """Runs samples as communicating processes; slow, for small runs and as an oracle.

    Args:
        mode: ``calendar`` or ``self_timed``, see the module's docstring.

    Raises:
        ScheduleError: the schedule is for another graph, or its calendars cannot be loaded.
    """

    name = "events"

    def __init__(self, graph: Graph, schedule: Schedule, *, mode: Mode = "calendar") -> None:
        self.form = Form(graph, self.name)
        verdict = verify_calendars(graph, schedule)
        if not verdict.ok:
            raise ScheduleError(f"events: these calendars cannot be executed: {verdict.violations[0].message}")
        self.graph, self.schedule, self.mode = graph, schedule, mode
        graph = self.form.graph
        self.firings = _firings(graph, schedule)
        self.hops = _hops(graph, schedule)
        self.uses: dict[tuple[int, int], int] = {}
        #: How many iterations later each firing on a node reads a token.
        self.readings: dict[tuple[int, int], list[int]] = {}
        for firing in self.firings:
            for token, late in zip(firing.tokens, firing.late, strict=True):
                self.readings.setdefault((firing.node, token), []).append(late)
                self.uses[firing.node, token] = self.uses.get((firing.node, token), 0) + 1
        for hop in self.hops:
            for token in hop.tokens if hop.before is None else ():
                self.uses[hop.src, token] = self.uses.get((hop.src, token), 0) + 1

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); see :class:`graphsim.simulate.engine.Engine`.

        Raises:
            TokenError: a process had to wait beyond its calendar tick, or forever; names tick, node and actor.
        """
        given = as_inputs(self.graph, samples)
        began = time.perf_counter()
        outputs = self.form.outputs(keep, len(given[0]))
        world = _World(self, given, outputs, progress)
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            world.run()
        return Run(self.name, len(given[0]), outputs.values, world.timing, time.perf_counter() - began)


def _firings(graph: Graph, schedule: Schedule) -> list[_Firing]:
    inputs = {int(a): graph.actor_count + i for i, a in enumerate(input_actors(graph))}
    found = []
    for actor in graph:
        node = int(schedule.node[actor.id])
        ticks = schedule.machine.ticks(node, actor.work)
        if actor.group.op == "source":
            made = tuple(inputs[int(a)] for a in actor.consumers)
            found.append(_Firing(actor.id, node, ticks, None, (), (), np.empty(0, np.int64), made))
            continue
        prepared = prepare(actor)
        producers = np.array([inputs[actor.id]]) if actor.id in inputs else prepared.producers
        into = graph.channels_into(actor.group_number)
        delays = np.array([into[edge.port].initial_tokens for edge in actor.inputs], np.int64)
        read, terms = np.unique(np.stack([delays, producers]), axis=1, return_inverse=True)
        late, tokens = (tuple(row) for row in read.tolist())
        found.append(_Firing(actor.id, node, ticks, prepared, tokens, late, terms.reshape(-1), (actor.id,)))
    return found


def _hops(graph: Graph, schedule: Schedule) -> list[_Hop]:
    bits, machine = token_bits(graph), schedule.machine
    hops = list(zip(schedule.hop_parcel.tolist(), schedule.hop_link.tolist(), strict=True))
    into = {(parcel, machine.links[link].dst): h for h, (parcel, link) in enumerate(hops)}
    before = [
        into.get((parcel, machine.links[link].src)) if machine.links[link].src in machine.switches else None
        for parcel, link in hops
    ]
    after = Counter(before)
    # A parcel passes the links of a way through switches as fast as the slowest of them.
    pace = [machine.links[link].frames_per_tick for _, link in hops]
    together = nx.Graph([(h, b) for h, b in enumerate(before) if b is not None])
    for part in nx.connected_components(together):
        slowest = min(pace[h] for h in part)
        for h in part:
            pace[h] = slowest
    found = []
    for number, (parcel, link) in enumerate(hops):
        tokens = schedule.parcel_token[schedule.parcel_ptr[parcel] : schedule.parcel_ptr[parcel + 1]].tolist()
        spec = machine.links[link]
        frames = -(-int(bits[tokens].sum()) // spec.frame_bits)
        cycles = -(-frames // pace[number])
        found.append(
            _Hop(
                number, link, spec.src, spec.dst, frames, cycles, pace[number], tuple(tokens), before[number],
                after[number],
            )
        )  # fmt: skip
    return found


class _World:
    """One run: the processes, the memories they share, and what they leave behind."""

    def __init__(
        self, engine: EventsEngine, given: list[FloatArray], outputs: Outputs, progress: Progress | None
    ) -> None:
        self.engine, self.given, self.progress = engine, given, progress
        self.graph, self.schedule = engine.form.graph, engine.schedule
        self.machine, self.period = self.schedule.machine, self.schedule.period
        self.paced = engine.mode == "calendar"
        self.env = simpy.Environment()
        self.samples = len(given[0])
        graph, s = self.graph, self.schedule
        self.values = outputs.parts
        self.timing, self.column = engine.form.ticks(self.samples), engine.form.column.tolist()
        self.sinks_left = [sum(graph.groups[i].size for i in graph.sinks)] * self.samples
        self.slots: dict[tuple[int, int], _Slot] = {}
        count, value = tokens_before(graph)
        for v, token, depth in zip(s.slot_node.tolist(), s.slot_token.tolist(), s.slot_depth.tolist(), strict=True):
            slot = self.slots[v, token] = _Slot(self.env, depth, engine.uses.get((v, token), 0))
            for back in range(1, int(count[token]) + 1 if token < graph.actor_count else 1):
                slot.hold(-back, value[token], sum(late >= back for late in engine.readings.get((v, token), ())))
        self.wires = [
            simpy.Resource(self.env, (1 + link.latency) * link.frames_per_tick) for link in self.machine.links
        ]
        self.flights = [simpy.Store(self.env) for _ in self.machine.links]
        #: What is in switches, by hop into one and iteration: when it leaves, what it is, how many hops will take it.
        self.crossing: dict[tuple[int, int], tuple[int, list[np.float32], int]] = {}
        #: Frames in each cycle of links to and from switches.
        self.loads: list[dict[int, int]] = [{} for _ in self.machine.links]
        #: What each process waits for.
        self.waiting: dict[str, _Stuck] = {}

    def run(self) -> None:
        """Start all processes and let them run until nothing happens any more."""
        s, env = self.schedule, self.env
        for v in range(len(self.machine.nodes)):
            here = [f for f in self.engine.firings if f.node == v]
            # What takes no time is done beside the node's work: the host's DMA does it.
            for kind, part in (("node", [f for f in here if f.ticks]), ("dma", [f for f in here if not f.ticks])):
                if part:
                    env.process(self._node(f"{kind} {v}", part, [int(s.start[f.actor]) for f in part]))
        for link in range(len(self.machine.links)):
            hops = [h for h in self.engine.hops if h.link == link and h.cycles]
            ends = (self.machine.links[link].src, self.machine.links[link].dst)
            if hops and any(v in self.machine.switches for v in ends):
                env.process(self._passing(link, hops, [int(s.hop_start[h.number]) for h in hops]))
            elif hops:
                env.process(self._sender(link, hops, [int(s.hop_start[h.number]) for h in hops]))
                env.process(self._receiver(link))
        env.run()
        if missing := sum(map(bool, self.sinks_left)):
            raise TokenError(
                f"tick {env.now}: nothing can happen any more, and {missing} of {self.samples} samples have not come "
                f"out; {told([self._wait(who, stuck) for who, stuck in self.waiting.items()])}"
            )

    def _calendar(self, items: list[Any], starts: list[int]) -> Iterable[tuple[Any, int, int]]:
        """Items in calendar order over all iterations: (item, iteration, tick); older iterations first in a tick."""
        rows = sorted((start % self.period, -(start // self.period), i) for i, start in enumerate(starts))
        stages = max(-minus for _, minus, _ in rows) + 1
        for k in range(self.samples + stages - 1):
            for residue, minus, i in rows:
                if 0 <= k + minus < self.samples:
                    yield items[i], k + minus, k * self.period + residue

    @property
    def _now(self) -> int:
        return int(self.env.now)

    def _until(self, tick: int) -> Process:
        if self.paced and tick > self.env.now:
            yield self.env.timeout(tick - self.env.now)

    def _aligned(self, stride: int) -> Process:
        """Wait for the next tick in which a component of this stride acts."""
        if over := self.env.now % stride:
            yield self.env.timeout(stride - over)

    def _slot(self, node: int, token: int, tick: int, item: _Firing | _Hop) -> _Slot:
        slot = self.slots.get((node, token))
        if slot is None:
            raise TokenError(f"tick {tick}, {self._describe(item, token, False)}, which is lost: it has no slot there")
        return slot

    def _await(
        self, who: str, slot: _Slot, n: int, tick: int, item: _Firing | _Hop, token: int, writes: bool
    ) -> Process:
        """Wait until iteration n is in a slot, or there is room to write it; beyond the tick, that is an error."""
        while not (slot.has_room(n) if writes else slot.has(n)):
            self.waiting[who] = _Stuck(int(self.env.now), item, n, token, "room" if writes else "token")
            late = self.env.timeout(max(0, tick + 1 - self.env.now)) if self.paced else None
            yield slot.change() if late is None else slot.change() | late
            if self.paced and self.env.now > tick:
                why = "would overwrite what is in use" if writes else "is late or lost: it is not there"
                what = self._describe(item, token, writes)
                raise TokenError(f"tick {tick}, {what} of iteration {n}, which {why}{self._others()}")
        self.waiting.pop(who, None)

    def _node(self, who: str, firings: list[_Firing], starts: list[int]) -> Process:
        for firing, n, tick in self._calendar(firings, starts):
            yield from self._until(tick)
            operands = [self._slot(firing.node, token, tick, firing) for token in firing.tokens]
            for token, late, slot in zip(firing.tokens, firing.late, operands, strict=True):
                if not slot.has(n - late):
                    yield from self._await(who, slot, n - late, tick, firing, token, False)
            yield from self._aligned(self.machine.node_stride(firing.node))
            result = self._compute(firing, n, operands)
            if firing.ticks:
                yield self.env.timeout(firing.ticks)
            result = self._ended(firing, n, result)
            for late, slot in zip(firing.late, operands, strict=True):
                slot.use(n - late)
            for token, value in zip(firing.made, result, strict=False):
                target = self.slots.get((firing.node, token))
                if target is not None:
                    if not target.has_room(n):
                        yield from self._await(who, target, n, tick + firing.ticks, firing, token, True)
                    target.claim(n)
                    target.put(n, value)
            self._record(firing, n, result)

    def _compute(self, firing: _Firing, n: int, operands: list[_Slot]) -> FloatArray:
        """The token of a firing; a source's is its sample."""
        if firing.prepared is None:
            source = self.graph.sources.index(self.graph.actor(firing.actor).group_number)
            sample: FloatArray = self.given[source][n]
            return sample
        read = zip(firing.late, operands, strict=True)
        values = np.array([slot.value[(n - late) % slot.depth] for late, slot in read], np.float32)
        return fire(firing.prepared, firing.prepared.weights * values[firing.terms])

    def _ended(self, firing: _Firing, n: int, result: FloatArray) -> FloatArray:
        """What is made of a firing's token when it ends."""
        return result

    def _sends(self, hop: _Hop, n: int, carried: list[np.float32]) -> list[np.float32]:
        """What a hop takes along of the tokens of its parcel, when it begins to send."""
        return carried

    def _delivers(self, hop: _Hop, n: int, carried: list[np.float32]) -> list[np.float32]:
        """What a hop puts into memory of the tokens of its parcel, when all of it has arrived."""
        return carried

    def _record(self, firing: _Firing, n: int, result: FloatArray) -> None:
        actor = self.graph.actor(firing.actor)
        group = actor.group_number
        if firing.prepared is None:
            at = n, self.column[firing.actor]
            self.timing.fired[at] = min(int(self.timing.fired[at]), self.env.now - firing.ticks)
            return
        if group in self.values:
            shape = token_shape(self.graph, group)
            self.values[group][n : n + 1].reshape(-1, *shape)[actor.local] = result.reshape(shape)
        if group in self.graph.sinks:
            at = n, self.column[firing.actor]
            self.timing.ended[at] = max(int(self.timing.ended[at]), self.env.now)
            self.sinks_left[n] -= 1
            if self.progress is not None and self.sinks_left[n] == 0:
                self.progress(n + 1)

    def _sender(self, link: int, hops: list[_Hop], starts: list[int]) -> Process:
        """Sends hops one after the other; the next may share the last tick of the one before it, if frames fit."""
        rate, way = self.machine.links[link].frames_per_tick, self.machine.ways[link]
        stride = self.machine.link_stride(link)
        who = f"sender {link}"
        last, used = -stride, 0  # the start of the last cycle in which frames are sent so far, and how many
        for hop, n, tick in self._calendar(hops, starts):
            yield from self._until(tick)
            sources = [self._slot(hop.src, token, tick, hop) for token in hop.tokens]
            for token, slot in zip(hop.tokens, sources, strict=True):
                if not slot.has(n):
                    yield from self._await(who, slot, n, tick, hop, token, False)
            wire = self.wires[link].request()
            self.waiting[who] = _Stuck(int(self.env.now), hop, n, hop.tokens[0], "link")
            yield wire
            del self.waiting[who]
            free = last if used + min(hop.frames, rate) <= rate else last + stride
            if free > self.env.now:
                yield self.env.timeout(free - self.env.now)
            yield from self._aligned(stride)
            if self.paced and self.env.now > tick:
                what = self._describe(hop, hop.tokens[0], False)
                raise TokenError(f"tick {tick}, {what} of iteration {n} in tick {self.env.now} only: the link is full")
            rest = hop.frames - (hop.cycles - 1) * rate
            used = used + rest if hop.cycles == 1 and last == self.env.now else rest
            last = self.env.now + (hop.cycles - 1) * stride
            carried = self._sends(hop, n, [slot.value[n % slot.depth] for slot in sources])
            self.flights[link].put((hop, n, self.env.now + way, wire, carried))
            self.env.process(self._sent(sources, n, hop.cycles * stride))
            if hop.cycles > 1:
                yield self.env.timeout((hop.cycles - 1) * stride)

    def _passing(self, link: int, hops: list[_Hop], starts: list[int]) -> Process:
        """Sends hops to or from a switch, each in its tick of the calendar; they may overlap if there is room."""
        who = f"sender {link}"
        for hop, n, tick in self._calendar(hops, starts):
            if tick > self.env.now:
                yield self.env.timeout(tick - self.env.now)
            if hop.before is None:
                sources = [self._slot(hop.src, token, tick, hop) for token in hop.tokens]
                for token, slot in zip(hop.tokens, sources, strict=True):
                    if not slot.has(n):
                        yield from self._await(who, slot, n, tick, hop, token, False)
                carried = [slot.value[n % slot.depth] for slot in sources]
                self.env.process(self._sent(sources, n, hop.cycles * self.machine.link_stride(link)))
            else:
                if not self.paced and (hop.before, n) not in self.crossing:  # what it waits for is not there
                    self.waiting[who] = _Stuck(self._now, hop, n, hop.tokens[0], "token")
                    yield self.env.event()
                leaves, carried, left = self.crossing.pop((hop.before, n), (-1, [], 0))
                if leaves != self.env.now:
                    what = self._describe(hop, hop.tokens[0], False)
                    raise TokenError(f"tick {tick}, {what} of iteration {n}, which the switch does not pass on then")
                if left > 1:
                    self.crossing[hop.before, n] = (leaves, carried, left - 1)
            self._load(hop, n, tick)
            carried = self._sends(hop, n, carried)
            self.env.process(self._arriving(hop, n, self._now + self.machine.ways[link], carried))

    def _load(self, hop: _Hop, n: int, tick: int) -> None:
        """Put a hop's frames into the cycles from now on."""
        load, stride = self.loads[hop.link], self.machine.link_stride(hop.link)
        for k in range(hop.cycles):
            at = self._now + k * stride
            load[at] = load.get(at, 0) + min(hop.pace, hop.frames - k * hop.pace)
            if load[at] > self.machine.links[hop.link].frames_per_tick or self.env.now > tick:
                what = self._describe(hop, hop.tokens[0], False)
                raise TokenError(f"tick {tick}, {what} of iteration {n}, for which the link has no room in tick {at}")
        for at in [at for at in load if at < self.env.now]:
            del load[at]

    def _arriving(self, hop: _Hop, n: int, arrival: int, carried: list[np.float32]) -> Process:
        """What is sent to or from a switch gets to the other end: to the next switch, or into memory."""
        yield self.env.timeout(arrival - self.env.now)
        if hop.dst in self.machine.switches:
            if hop.after:
                self.crossing[hop.number, n] = (
                    arrival + self.machine.crossings[hop.dst],
                    self._delivers(hop, n, carried),
                    hop.after,
                )
            return
        yield from self._stored(f"receiver {hop.link} {n}", hop, n, arrival, carried)

    def _stored(
        self, who: str, hop: _Hop, n: int, arrival: int, carried: list[np.float32], wire: Any = None
    ) -> Process:
        """A parcel gets into memory, from its first frame on; ``wire``: what it held of the link until then."""
        targets = [(self.slots.get((hop.dst, token)), token) for token in hop.tokens]
        for slot, token in targets:
            if slot is not None and not slot.has_room(n):
                yield from self._await(who, slot, n, arrival, hop, token, True)
        for slot, _ in targets:
            if slot is not None:
                slot.claim(n)
        if wire is not None:
            self.wires[hop.link].release(wire)
        if hop.cycles > 1:
            yield self.env.timeout((hop.cycles - 1) * self.machine.link_stride(hop.link))
        for (slot, _), value in zip(targets, self._delivers(hop, n, carried), strict=True):
            if slot is not None:
                slot.put(n, value)

    def _sent(self, sources: list[_Slot], n: int, ticks: int) -> Process:
        yield self.env.timeout(ticks)
        for slot in sources:
            slot.use(n)

    def _receiver(self, link: int) -> Process:
        """Takes parcels off a link in the order they were sent, and puts them where there is room."""
        who = f"receiver {link}"
        while True:
            hop, n, arrival, wire, carried = yield self.flights[link].get()
            if arrival > self.env.now:
                yield self.env.timeout(arrival - self.env.now)
            yield from self._stored(who, hop, n, arrival, carried, wire)

    def _others(self) -> str:
        """All who wait, if that is not one alone, for a message about one of them."""
        waits = [self._wait(*one) for one in self.waiting.items()]
        return f"; {told(waits)}" if len(waits) > 1 else ""

    def _wait(self, who: str, stuck: _Stuck) -> Wait:
        """Of a process that waits: for all that it lacks, and behind whom."""
        item, n = stuck.item, stuck.n
        behind: list[str] = []
        if stuck.wants == "link":
            why, behind = f"has no room on the link for iteration {n}", [f"receiver {cast(_Hop, item).link}"]
            node = cast(_Hop, item).src
        elif stuck.wants == "room":
            node = item.node if isinstance(item, _Firing) else item.dst
            why = f"has no room for iteration {n} of {self._token_name(stuck.token)}"
            behind = self._users(node, stuck.token)
        else:
            node = item.node if isinstance(item, _Firing) else item.src
            late = item.late if isinstance(item, _Firing) else (0,) * len(item.tokens)
            slots = [(t, n - back) for t, back in zip(item.tokens, late, strict=True)]
            lacking = [(t, m) for t, m in slots if (node, t) not in self.slots or not self.slots[node, t].has(m)]
            names = [f"iteration {m} of {self._token_name(t)}{self._ahead(node, t)}" for t, m in lacking]
            why = f"waits for {listed(names)}"
            behind = list(dict.fromkeys(process for t, _ in lacking for process in self._makers(node, t)))
        return Wait(self._who(who), why, tuple(map(self._who, behind)), self.machine.nodes[node].name, stuck.since)

    def _who(self, process: str) -> str:
        """Who a process is, in a message: the actor or link that it is at."""
        kind, _, number = process.partition(" ")
        if process in self.waiting and kind in ("node", "dma"):
            return self.graph.actor(cast(_Firing, self.waiting[process].item).actor).name
        if kind in ("sender", "receiver"):
            return f"{'the end of ' * (kind == 'receiver')}link {self.machine.link_name(int(number.split()[0]))}"
        return process

    def _ahead(self, node: int, token: int) -> str:
        """Whom the firing that makes a token on a node comes after, where that one waits."""
        maker = int(token_makers(self.graph)[token])
        stuck = self.waiting.get(self._process(self.engine.firings[maker]))
        if self.engine.firings[maker].node != node or stuck is None or cast(_Firing, stuck.item).actor == maker:
            return ""
        return f" (made after {self.graph.actor(cast(_Firing, stuck.item).actor).name})"

    def _process(self, firing: _Firing) -> str:
        return f"{'node' if firing.ticks else 'dma'} {firing.node}"

    def _makers(self, node: int, token: int) -> list[str]:
        """Processes that bring a token to a node."""
        maker = self.engine.firings[int(token_makers(self.graph)[token])]
        if maker.node == node:
            return [self._process(maker)]
        links = {hop.link for hop in self.engine.hops if hop.dst == node and token in hop.tokens}
        return [f"{end} {link}" for link in sorted(links) for end in ("receiver", "sender")]

    def _users(self, node: int, token: int) -> list[str]:
        """Processes that need a token on a node."""
        readers = {self._process(f) for f in self.engine.firings if f.node == node and token in f.tokens}
        links = {hop.link for hop in self.engine.hops if hop.src == node and token in hop.tokens}
        return [*sorted(readers), *(f"sender {link}" for link in sorted(links))]

    def _token_name(self, token: int) -> str:
        if token < self.graph.actor_count:
            return f"the token of {self.graph.actor(token).name}"
        reader = int(input_actors(self.graph)[token - self.graph.actor_count])
        return f"the sample's element for {self.graph.actor(reader).name}"

    def _describe(self, item: _Firing | _Hop, token: int, writes: bool) -> str:
        """Node, and what a firing or a hop does there with a token; for messages."""
        name = self._token_name(token)
        if isinstance(item, _Firing):
            node, what = item.node, f"{self.graph.actor(item.actor).name} {'writes' if writes else 'fires and reads'}"
        else:
            node = item.dst if writes else item.src
            what = f"link {self.machine.link_name(item.link)} {'delivers' if writes else 'sends'}"
        return f"node {self.machine.nodes[node].name}: {what} {name}"
