"""Faults looked up in a graph and a schedule: which node, link, weight, token, and from which tick on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import token_bits
from graphsim.errors import FaultsError, GraphError, MachineError
from graphsim.graph import Actor, Channel, Graph
from graphsim.machine.positions import KeyPath
from graphsim.passes import unroll
from graphsim.schedule.passage import passages_of
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.faults.file import Checksum, Faults, WeightTable

Int64Array = npt.NDArray[np.int64]

#: A tick that never comes.
NEVER = 2**62
#: The float32 that stands on a link for all that are no numbers.
NAN_BITS = 0x7FC00000
#: The generator polynomial of each checksum without its highest term, and its degree. The CRC of eight bits is that of
#: ATM's header (ITU-T I.432): x^8 + x^2 + x + 1; the parity bit is the CRC by x + 1.
POLYNOMIALS: dict[Checksum, tuple[int, int]] = {"none": (0, 0), "parity": (1, 1), "crc8": (0x07, 8)}


@dataclass(frozen=True)
class LateLink:
    """Frames that are sent over a link from tick ``since`` on have this latency, in link cycles."""

    since: int
    latency: int


@dataclass(frozen=True)
class WrongWeight:
    """A weight of a neuron that is not what it should be.

    Attributes:
        neuron: its name. weight: which of its weighted operands, from 0. bit: of the float32, 0 the lowest.
        before, after: the weight.
        operands: actor (of the unrolled graph) to the positions of its operands that are multiplied with this very
            weight: of this neuron, and of others that its node computes with the same list of weights.
    """

    neuron: str
    weight: int
    bit: int
    before: float
    after: float
    operands: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class Plan:
    """What goes wrong in a run of one graph by one schedule, whatever the rate of corruption.

    Attributes:
        faults: as they were given.
        dead: int64 (nodes,): the tick from which on a node does nothing; :data:`NEVER` for most.
        down: for each link that is down at times, intervals of ticks [from, until).
        late: by link.
        weights: wrong ones.
        dropped: actor (of the unrolled graph) to the iterations in which its token is lost, int64, ascending.
    """

    faults: Faults
    dead: Int64Array
    down: Mapping[int, list[tuple[int, int]]]
    late: Mapping[int, LateLink]
    weights: tuple[WrongWeight, ...]
    dropped: Mapping[int, Int64Array]

    def told(self, schedule: Schedule) -> list[dict[str, Any]]:
        """For each node that crashes, the neighbours that see their link's state change, and in which tick."""
        found = []
        for v in np.flatnonzero(self.dead < NEVER).tolist():
            # The first frame that does not come is the one that would have been sent in the tick of the crash.
            ticks = {
                link.dst: int(self.dead[v]) + flight(schedule, number)
                for number, link in enumerate(schedule.machine.links)
                if link.src == v
            }
            nodes = schedule.machine.nodes
            neighbours = [{"node": nodes[w].name, "tick": tick} for w, tick in sorted(ticks.items())]
            found.append({"node": nodes[v].name, "tick": int(self.dead[v]), "neighbours": neighbours})
        return found


def flight(schedule: Schedule, link: int, latency: int | None = None) -> int:
    """Ticks from the start of the cycle in which a frame is sent until it is there; ``latency``: another, in cycles."""
    machine = schedule.machine
    return machine.ways[link] if latency is None else (1 + latency) * machine.link_stride(link)


def plan_faults(faults: Faults, graph: Graph, schedule: Schedule) -> Plan:
    """Look the faults up.

    Raises:
        FaultsError: one names a node, a link, a neuron or a weight that is not there; names key and line.
    """
    machine = schedule.machine

    def wrong(path: KeyPath, message: str) -> FaultsError:
        return FaultsError(f"{faults.place(path)}: {message}")

    def node_of(path: KeyPath, name: str) -> int:
        try:
            return machine.node_id(name)
        except MachineError as error:
            raise wrong(path, str(error)) from None

    def links_of(key: str, i: int, src: str, dst: str, both_ways: bool) -> list[int]:
        ends = node_of((key, i, "from"), src), node_of((key, i, "to"), dst)
        found = []
        for a, b in (ends, ends[::-1]) if both_ways else (ends,):
            number = machine.link_between(a, b)
            if number is None:
                raise wrong((key, i), f"there is no link from {machine.nodes[a].name} to {machine.nodes[b].name}")
            found.append(number)
        return found

    def actor_of(path: KeyPath, name: str) -> Actor:
        try:
            return graph.actor(name)
        except GraphError as error:
            raise wrong(path, str(error)) from None

    def tick(at: int, unit: str) -> int:
        return min(NEVER - 1, at * schedule.period if unit == "metacycle" else at)

    dead = np.full(len(machine.nodes), NEVER, np.int64)
    down: dict[int, list[tuple[int, int]]] = {}
    for i, crash in enumerate(faults.crashes):
        v = node_of(("crash", i, "node"), crash.node)
        dead[v] = min(int(dead[v]), tick(crash.at, crash.unit))
    for number, link in enumerate(machine.links):
        since = int(min(dead[link.src], dead[link.dst]))
        if since < NEVER:
            down.setdefault(number, []).append((since, NEVER))
    for i, one in enumerate(faults.links_down):
        until = NEVER if one.until is None else tick(one.until, one.unit)
        for number in links_of("link_down", i, one.src, one.dst, one.both_ways):
            down.setdefault(number, []).append((tick(one.at, one.unit), until))
    late: dict[int, LateLink] = {}
    pace = passages_of(schedule).pace if faults.late_links else np.zeros(0, np.int64)
    for i, slow in enumerate(faults.late_links):
        for number in links_of("late_link", i, slow.src, slow.dst, slow.both_ways):
            if number in late:
                raise wrong(("late_link", i), f"the latency of link {machine.link_name(number)} changes twice")
            spec = machine.links[number]
            if spec.dst in machine.switches and slow.latency < spec.latency:
                raise wrong(
                    ("late_link", i, "latency"),
                    f"link {machine.link_name(number)} leads to a switch, and the latency of such a link can only "
                    f"grow: it is {spec.latency}",
                )
            if spec.dst in machine.switches and (pace[schedule.hop_link == number] < spec.frames_per_tick).any():
                raise wrong(
                    ("late_link", i),
                    f"link {machine.link_name(number)} leads to a switch that passes some of its frames on more slowly "
                    f"than they could come; such a link cannot be late here",
                )
            late[number] = LateLink(tick(slow.at, slow.unit), slow.latency)
    dropped: dict[int, set[int]] = {}
    for i, drop in enumerate(faults.drops):
        actor = actor_of(("drop", i, "actor"), drop.actor)
        if actor.group.op == "source":
            raise wrong(("drop", i, "actor"), f"{drop.actor} is a source; name the input actor whose token is lost")
        for firing in _firings(graph, actor):
            dropped.setdefault(firing, set()).update(drop.iterations)
    weights = tuple(
        _weight(graph, schedule, actor_of(("weight", i, "neuron"), table.neuron), table, faults, i)
        for i, table in enumerate(faults.weights)
    )
    lists = {actor: np.array(sorted(iterations), np.int64) for actor, iterations in dropped.items()}
    return Plan(faults, dead, down, late, weights, lists)


def _firings(graph: Graph, actor: Actor) -> list[int]:
    """The actors of the unrolled graph that are firings of an actor."""
    unrolled = unroll(graph)
    groups = unrolled.firings(actor.group_number)
    return [int(unrolled.graph.first[g]) + actor.local for g in groups.tolist()]


def _weight(graph: Graph, schedule: Schedule, actor: Actor, table: WeightTable, faults: Faults, i: int) -> WrongWeight:
    def wrong(key: str, message: str) -> FaultsError:
        return FaultsError(f"{faults.place(('weight', i, key))}: {message}")

    flat = unroll(graph).graph
    firing = _firings(graph, actor)[0]
    group, local = _group_of(flat, firing)
    own = [(c, index) for c, edges in _weighted(flat, group) for index in edges[1][edges[0] == local].tolist()]
    if not own:
        raise wrong("neuron", f"{table.neuron} has no weights")
    if table.weight is not None and table.weight >= len(own):
        raise wrong("weight", f"{table.neuron} has {len(own)} weights, numbered from 0; there is no {table.weight}")
    rng = np.random.Generator(np.random.Philox(key=[faults.seed, i]))
    chosen, bit = int(rng.integers(len(own))), int(rng.integers(32))
    chosen = chosen if table.weight is None else table.weight
    bit = bit if table.bit is None else table.bit
    channel, index = own[chosen]
    assert channel.weight is not None
    name = channel.weight.name
    before = graph.params[name].reshape(-1)[index].astype(np.float32)
    after = _changed(before, bit, table.change)

    operands: dict[int, tuple[int, ...]] = {}
    node = int(schedule.node[firing])
    for number in range(len(flat.groups)):
        ports = flat.channels_into(number)
        if all(c.weight is None or c.weight.name != name for c in ports):
            continue
        first = int(flat.first[number])
        here = np.flatnonzero(schedule.node[first : int(flat.first[number + 1])] == node)
        before_port = np.zeros(flat.groups[number].size, np.int64)
        for c in ports:
            sizes = flat.groups[c.src].size, flat.groups[c.dst].size
            fan_in = c.fan_in(*sizes, flat.params)
            if c.weight is not None and c.weight.name == name:
                edges = c.expand(*sizes, flat.params)
                assert edges.weight is not None
                begin = np.cumsum(fan_in) - fan_in
                for at in np.flatnonzero((edges.weight == index) & np.isin(edges.dst, here)).tolist():
                    consumer = int(edges.dst[at])
                    position = int(before_port[consumer] + at - begin[consumer])
                    operands[first + consumer] = (*operands.get(first + consumer, ()), position)
            before_port += fan_in
    return WrongWeight(table.neuron, chosen, bit, float(before), float(after), operands)


def _group_of(graph: Graph, actor: int) -> tuple[int, int]:
    group = int(np.searchsorted(graph.first, actor, side="right")) - 1
    return group, actor - int(graph.first[group])


def _weighted(graph: Graph, group: int) -> Iterable[tuple[Channel, tuple[Int64Array, Int64Array]]]:
    """The bundles into a group that have weights, by port, with consumer and index of the weight of every edge."""
    for c in graph.channels_into(group):
        edges = c.expand(graph.groups[c.src].size, graph.groups[c.dst].size, graph.params)
        if edges.weight is not None:
            yield c, (edges.dst, edges.weight)


def _changed(weight: np.float32, bit: int, change: str) -> np.float32:
    word, mask = int(weight.view(np.uint32)), 1 << bit
    word = {"flip": word ^ mask, "stuck at 0": word & ~mask, "stuck at 1": word | mask}[change]
    return np.float32(np.array(word, np.uint32).view(np.float32))


@dataclass(frozen=True)
class Parcels:
    """Tokens in frames, as every hop has them.

    Token ``parcel_token[k]`` of a schedule is in the bits ``offset[k] .. offset[k] + width[k] - 1`` of its parcel, of
    which bit b is bit ``b mod frame_bits`` of frame ``b // frame_bits``. What follows the last token is padding. Bit k
    of a token of 32 bits or more is bit k of its float32, from the lowest; those above the 32nd are padding. Of fewer,
    it holds the upper ones of the float32: its bit k is bit ``32 - width + k``; a token of one bit is whether the
    value is zero. What is no number has the bits ``NAN_BITS``, whichever it had: engines differ in them.

    Attributes:
        offset, width: int64, one per entry of ``parcel_token``. bits: of each parcel, int64 (parcels,).
        frames, pace, cycles: of each hop, int64 (hops,): all, those of one cycle of its link, and such cycles.
    """

    offset: Int64Array
    width: Int64Array
    bits: Int64Array
    frames: Int64Array
    pace: Int64Array
    cycles: Int64Array

    @staticmethod
    def of(graph: Graph, schedule: Schedule) -> Parcels:
        """Those of a schedule; ``graph`` is unrolled."""
        s, links = schedule, schedule.machine.links
        width = token_bits(graph)[s.parcel_token]
        end = np.concatenate([[0], np.cumsum(width)])
        size = np.array([link.frame_bits for link in links], np.int64)[s.hop_link]
        pace = passages_of(s).pace
        bits = np.diff(end[s.parcel_ptr])
        frames = -(-bits[s.hop_parcel] // size)
        offset = end[:-1] - np.repeat(end[s.parcel_ptr[:-1]], np.diff(s.parcel_ptr))
        return Parcels(offset, width, bits, frames, pace, -(-frames // pace))

    def lanes(self, schedule: Schedule, link: int) -> Int64Array:
        """The frames of a period on one link as it sends them: rows [tick in the period, lane, hop, frame, tick of
        iteration 0], int64 (frames, 5). Lanes number the frames of one cycle.
        """
        s, stride = schedule, schedule.machine.link_stride(link)
        hops = np.flatnonzero((s.hop_link == link) & (self.frames > 0))
        many = self.frames[hops]
        hop = np.repeat(hops, many)
        frame = np.arange(len(hop)) - np.repeat(np.cumsum(many) - many, many)
        tick = s.hop_start[hop] + frame // self.pace[hop] * stride
        order = np.lexsort([frame, s.hop_start[hop], tick % s.period])
        residue = tick[order] % s.period
        _, first, count = np.unique(residue, return_index=True, return_counts=True)
        lane = np.arange(len(order)) - np.repeat(first, count)
        found: Int64Array = np.stack([residue, lane, hop[order], frame[order], tick[order]], axis=1)
        return found


def syndromes(checksum: Checksum, bits: int) -> npt.NDArray[np.uint64]:
    """What each bit of a frame adds to its checksum, uint64 (bits,): x^(i + degree) modulo the generator.

    Checksums are linear: flipped bits go unnoticed just if these add up to zero.
    """
    polynomial, degree = POLYNOMIALS[checksum]
    found = np.zeros(bits, np.uint64)
    word = polynomial
    for i in range(bits if degree else 0):
        found[i] = word
        word = word << 1
        if word >> degree:
            word = word & (1 << degree) - 1 ^ polynomial
    return found


def with_rates(faults: Faults, rates: Iterable[float]) -> Faults:
    """The same faults at other rates of corruption."""
    return replace(faults, rates=tuple(rates))
