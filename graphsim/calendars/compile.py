"""From a schedule to the tables that the hardware loads."""

from __future__ import annotations

import numpy as np

from graphsim.analysis.tokens import token_bits, token_makers
from graphsim.calendars.calendars import IDLE, Calendars, IntArray, Table
from graphsim.calendars.check import check
from graphsim.errors import ScheduleError
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.passage import passages_of
from graphsim.schedule.schedule import Schedule, durations
from graphsim.schedule.verify import verify_calendars


def compile_calendars(graph: Graph, schedule: Schedule) -> Calendars:
    """The calendars of a schedule: tables filled in, and rings allotted in the memories of ports.

    What happens to tokens is not looked at: a schedule that brings them too late has calendars that do so.

    Args:
        graph: that the schedule is for, before it is unrolled.

    Raises:
        ScheduleError: the schedule is for another graph, or nodes and links have no room for what is in it.
        CalendarError: calendars or memories of the machine are too small.
    """
    verdict = verify_calendars(graph, schedule)
    if not verdict.ok:
        more = f" ({verdict.violation_count - 1} more)" if verdict.violation_count > 1 else ""
        raise ScheduleError(f"the machine cannot load this schedule: {verdict.violations[0].message}{more}")
    flat, s, machine = unroll(graph).graph, schedule, schedule.machine
    ticks = durations(graph, machine, s.node)
    busy = np.flatnonzero(ticks > 0)
    node = s.node.astype(np.int64)
    strides = np.array(machine.node_strides, np.int64)
    stride = strides[node[busy]]
    fire = _table(
        len(machine.nodes), node[busy], s.start[busy] // stride, ticks[busy] // stride, busy, s.period // strides
    )
    instant = np.flatnonzero(ticks == 0)
    instant = instant[np.lexsort((instant, s.start[instant] % s.period))]
    hops = _Hops(flat, schedule)
    rings = _Rings(flat, schedule, hops)
    calendars = Calendars(
        graph_digest=s.graph_digest,
        machine=machine,
        period=s.period,
        fire=fire,
        gather=hops.table(rings.gathered, 0),
        scatter=hops.table(rings.scattered, 1),
        crossbar=hops.crossbar(),
        instant_node=s.node[instant].astype(np.int32),
        instant_actor=instant.astype(np.int32),
        instant_tick=s.start[instant] % s.period,
        instant_stage=s.start[instant] // s.period,
        ring_memory=rings.memory.astype(np.int32),
        ring_base=rings.base,
        ring_copies=rings.copies,
        ring_step=rings.step,
        ring_bits=rings.bits,
        place_ring=rings.place_ring.astype(np.int32),
        place_token=rings.place_token.astype(np.int32),
        place_bit=rings.place_bit,
    )
    for array in _arrays(calendars):
        array.flags.writeable = False
    check(graph, calendars)
    return calendars


def _arrays(calendars: Calendars) -> list[IntArray]:
    """All arrays of the calendars."""
    tables = (calendars.fire, calendars.gather, calendars.scatter, calendars.crossbar)
    owners = (vars(calendars), *(vars(table) for table in tables))
    return [value for owner in owners for value in owner.values() if isinstance(value, np.ndarray)]


def _table(
    owners: int, owner: IntArray, start: IntArray, length: IntArray, what: IntArray, units: IntArray,
    offset: IntArray | None = None,
) -> Table:  # fmt: skip
    """A table of stretches that fit into their owners' metacycles without overlap, with idle rows between them.

    Args:
        owners: how many there are.
        owner, start, length, what: of each stretch, starts counted from the start of iteration 0; no length is 0.
        units: of a metacycle of each owner; not 0 where it has a stretch.
        offset: of each stretch, where it is not the beginning of what is done.
    """
    whole = units[owner]
    stage, begin = np.divmod(start, whole)
    offset = np.zeros_like(start) if offset is None else offset
    over = np.maximum(begin + length - whole, 0)
    cut = np.flatnonzero(over)
    here = length - over
    owner = np.concatenate([owner, owner[cut]])
    what = np.concatenate([what, what[cut]])
    stage = np.concatenate([stage, stage[cut] + 1])
    offset = np.concatenate([offset, (offset + here)[cut]])
    begin = np.concatenate([begin, np.zeros(len(cut), np.int64)])
    length = np.concatenate([here, over[cut]])

    # Every stretch is an idle row up to it and its own; then an idle row to the end. Empty ones are left out.
    order = np.lexsort((begin, owner))
    owner, what, stage, offset, begin, length = (a[order] for a in (owner, what, stage, offset, begin, length))
    count = np.bincount(owner, minlength=owners)
    first = np.cumsum(count) - count
    end = begin + length
    before = np.concatenate([[0], end[:-1]]) if len(end) else end
    before[first[count > 0]] = 0
    last = np.zeros(owners, np.int64)
    last[count > 0] = end[(first + count - 1)[count > 0]]
    rows = int(2 * len(owner) + owners)
    own = 2 * np.arange(len(owner)) + owner + 1  # the row of each stretch
    tail = np.cumsum(2 * count + 1) - 1
    columns = np.zeros((4, rows), np.int64)
    columns[0] = IDLE
    columns[0, own], columns[2, own], columns[3, own] = what, stage, offset
    columns[1, own - 1], columns[1, own], columns[1, tail] = begin - before, length, units - last
    kept = columns[1] != 0
    ptr = np.concatenate([[0], np.cumsum(kept)])[np.concatenate([[0], tail + 1])]
    columns = columns[:, kept]
    return Table(ptr.astype(np.int64), columns[0].astype(np.int32), *(columns[i].copy() for i in (1, 2, 3)))


def _ramp(count: IntArray) -> IntArray:
    """0 .. count[0] - 1, 0 .. count[1] - 1 and so on."""
    return np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)


class _Hops:
    """Hops in frames of their links."""

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        s, links = schedule, schedule.machine.links
        self.links, strides = len(links), np.array(schedule.machine.link_strides, np.int64)
        self.parcel, self.link = s.hop_parcel.astype(np.int64), s.hop_link.astype(np.int64)
        self.all_rates = np.array([link.frames_per_tick for link in links], np.int64)
        self.rate = self.all_rates[self.link]
        self.src = np.array([link.src for link in links], np.int64)[self.link]
        self.dst = np.array([link.dst for link in links], np.int64)[self.link]
        self.frame_bits = np.array([link.frame_bits for link in links], np.int64)[self.link]
        self.flight = 1 + np.array([link.latency for link in links], np.int64)[self.link]
        switch = np.array([node.kind == "switch" for node in schedule.machine.nodes], np.bool_)
        #: Which hops leave a switch, and which lead to one.
        self.leaves, self.enters = switch[self.src], switch[self.dst]
        self.parent = self._parents(len(switch))
        total = np.concatenate([[0], np.cumsum(token_bits(graph)[s.parcel_token])])[s.parcel_ptr]
        self.frames = -(-np.diff(total)[self.parcel] // self.frame_bits)
        self.units = s.period // strides * self.all_rates
        # Parts of cycles that parcels may share: the last of a hop if it is not full, and all of those on whose way
        # through switches a link takes fewer frames. In a cycle, frames follow those of the hops before.
        pace = passages_of(s).pace
        full, rest = np.divmod(self.frames, pace)
        slow = pace < self.rate
        parts = np.where(slow, full, 0) + (rest > 0)
        start, cycles = s.hop_start // strides[self.link], (s.period // strides)[self.link]
        hop, number = np.repeat(np.arange(len(parts)), parts), _ramp(parts)
        tick = start[hop] + np.where(slow[hop], number, full[hop])
        count = np.where(slow[hop] & (number < full[hop]), pace[hop], rest[hop])
        order = np.lexsort((hop, tick % cycles[hop], self.link[hop]))
        key = self.link[hop[order]] * s.period + (tick % cycles[hop])[order]
        before = np.cumsum(count[order]) - count[order]
        begins = np.ones(len(key), np.bool_)
        begins[1:] = key[1:] != key[:-1]
        before -= before[np.flatnonzero(begins)][np.cumsum(begins) - 1] if len(key) else before
        lane = np.zeros(len(hop), np.int64)
        lane[order] = before
        whole = np.flatnonzero(~slow & (full > 0))
        joined = ~slow[hop] & (full[hop] > 0) & (lane == 0)  # the end of the full ticks before it
        end = np.zeros(len(parts), np.int64)
        end[hop[joined]] = count[joined]
        apart = np.flatnonzero(~joined)
        #: Stretches of frames: hop, first frame counted from iteration 0's start, how many, and the first one's number.
        self.piece = np.concatenate([whole, hop[apart]])
        self.begin = np.concatenate([(start * self.rate)[whole], (tick * self.rate[hop] + lane)[apart]])
        self.count = np.concatenate([(full * self.rate + end)[whole], count[apart]])
        done = np.where(slow[hop], number * pace[hop], full[hop] * self.rate[hop])
        self.offset = np.concatenate([np.zeros(len(whole), np.int64), done[apart]])

    def _parents(self, nodes: int) -> IntArray:
        """The hop that brings each hop's parcel to its source; -1 where there is none."""
        key = self.parcel * nodes + self.dst
        order = np.argsort(key, kind="stable")
        wanted = self.parcel * nodes + self.src
        at = np.minimum(np.searchsorted(key[order], wanted), max(len(key) - 1, 0))
        if not len(key):
            return at
        found: IntArray = np.where(key[order][at] == wanted, order[at], -1)
        return found

    def crossbar(self) -> Table:
        """The calendars of the outputs of all switches: frame by frame, and rows of what comes from one input."""
        hop = np.repeat(self.piece, self.count)
        number = _ramp(self.count)
        frame, unit = np.repeat(self.offset, self.count) + number, np.repeat(self.begin, self.count) + number
        near = self.leaves[hop] | self.enters[hop]
        hop, frame, unit = hop[near], frame[near], unit[near]
        lane = unit % self.rate[hop]
        # Where each frame of the hop into the switch was.
        most = int(self.frames.max(initial=0)) + 1
        key = hop * most + frame
        order = np.argsort(key)
        out = np.flatnonzero(self.leaves[hop] & (self.parent[hop] >= 0))
        out = out[np.lexsort((unit[out] % self.units[self.link[hop[out]]], self.link[hop[out]]))]
        parent = self.parent[hop[out]]
        came = lane[order][np.searchsorted(key[order], parent * most + frame[out])]

        link, at = self.link[hop[out]], unit[out] % self.units[self.link[hop[out]]]
        what, shift = self.link[parent], came - lane[out]
        begins = np.ones(len(out), np.bool_)
        begins[1:] = (np.diff(link) != 0) | (np.diff(at) != 1) | (np.diff(what) != 0) | (np.diff(shift) != 0)
        first = np.flatnonzero(begins)
        length = np.diff(np.append(first, len(out)))
        return _table(self.links, link[first], at[first], length, what[first], self.units, came[first])

    def table(self, ring: IntArray, flights: int) -> Table:
        """The calendars at one end of all links, for the ring that each hop uses there, so many flights later."""
        some = (self.count > 0) & ~(self.enters if flights else self.leaves)[self.piece]
        hop = self.piece[some]
        begin = self.begin[some] + flights * (self.flight * self.rate)[hop]
        return _table(self.links, self.link[hop], begin, self.count[some], ring[hop], self.units, self.offset[some])


class _Rings:
    """Where everything lies: rings in the order of memories, each memory filled from its first frame on.

    Attributes:
        memory, base, copies, step, bits: as in :class:`Calendars`; so are place_ring, place_token, place_bit.
        gathered, scattered: the rings that each hop reads and writes.
    """

    def __init__(self, graph: Graph, schedule: Schedule, hops: _Hops) -> None:
        s, nodes = schedule, len(schedule.machine.nodes)
        self._bits, self._makers = token_bits(graph), token_makers(graph)
        self._tokens = len(self._bits)
        slot = s.slot_node.astype(np.int64) * self._tokens + s.slot_token
        order = np.argsort(slot, kind="stable")
        self._slot, self._depth = slot[order], s.slot_depth[order].astype(np.int64)
        self._schedule = s

        root = hops.src == s.parcel_node[hops.parcel]
        parent = hops.parent
        own = root | (parent < 0)  # what is sent from TX memory; a parcel that never came is looked for there too
        local = self._local_slots(graph, nodes)
        senders, receivers = np.flatnonzero(own & ~hops.leaves), np.flatnonzero(~hops.enters)
        n_local, n_tx, n_rx = len(local), len(senders), len(receivers)

        tx, rx = np.full((2, len(hops.link)), -1, np.int64)
        tx[senders], rx[receivers] = n_local + np.arange(n_tx), n_local + n_tx + np.arange(n_rx)
        self.gathered, self.scattered = np.where(own, tx, rx[parent] if len(parent) else tx), rx
        whole = hops.frames * hops.frame_bits
        room = whole.copy()  # of what is passed on in frames of another size, all of these must be in the ring
        np.maximum.at(room, parent[~own & ~hops.leaves], whole[~own & ~hops.leaves])
        room = -(-room // hops.frame_bits) * hops.frame_bits
        token = s.slot_token[local].astype(np.int64)
        size = -(-self._bits[token] // 8) * 8
        ends = nodes + hops.link[senders], nodes + hops.links + hops.link[receivers]
        self.memory = np.concatenate([s.slot_node[local], *ends])
        self.copies = np.concatenate(
            [
                s.slot_depth[local],
                self._deepest(hops, senders, hops.src),
                self._deepest(hops, receivers, hops.dst),
            ]
        ).astype(np.int64)
        self.bits = np.concatenate([size, whole[senders], room[receivers]]).astype(np.int64)
        leads = np.append(s.parcel_token, 0)[s.parcel_ptr[hops.parcel]]  # the first token of each hop's parcel
        base, step = self._allotted(n_local, np.concatenate([leads[senders], leads[receivers]]))
        self.base = np.concatenate([8 * s.slot_address[local], base]).astype(np.int64)
        self.step = np.concatenate([size, step]).astype(np.int64)

        parts = [(np.arange(n_local), token, np.zeros(n_local, np.int64))]
        for end, rings, which in ((hops.src, tx, senders), (hops.dst, rx, receivers)):
            hop, moved, bit = self._carried(hops, which)
            kept = self._find(end[hop] * self._tokens + moved) >= 0
            parts.append((rings[hop[kept]], moved[kept], bit[kept]))
        self.place_ring, self.place_token, self.place_bit = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        self._sort()

    def _sort(self) -> None:
        """Number rings by memory and base, and sort places."""
        order = np.lexsort((self.base, self.memory))
        number = np.empty_like(order)
        number[order] = np.arange(len(order))
        self.memory, self.base, self.copies, self.step, self.bits = (
            column[order] for column in (self.memory, self.base, self.copies, self.step, self.bits)
        )
        self.gathered, self.scattered = (
            np.where(ring < 0, -1, number[ring]) if len(number) else ring for ring in (self.gathered, self.scattered)
        )
        self.place_ring = number[self.place_ring]
        order = np.lexsort((self.place_bit, self.place_ring))
        self.place_ring, self.place_token, self.place_bit = (
            column[order] for column in (self.place_ring, self.place_token, self.place_bit)
        )

    def _find(self, pair: IntArray) -> IntArray:
        """The slot of each (node, token) pair, in the order of pairs; -1 where there is none."""
        if not len(self._slot):
            return np.full(len(pair), -1, np.int64)
        at = np.minimum(np.searchsorted(self._slot, pair), len(self._slot) - 1)
        return np.where(self._slot[at] == pair, at, -1).astype(np.int64)

    def _local_slots(self, graph: Graph, nodes: int) -> IntArray:
        """Numbers of the slots whose token is made on their node and read there too."""
        from graphsim.analysis.tokens import readers

        s = self._schedule
        made = s.node[self._makers[s.slot_token]] == s.slot_node
        read = readers(graph, s.node, nodes)
        key = np.repeat(np.arange(self._tokens), np.diff(read.ptr)) * nodes + read.node
        return np.flatnonzero(made & np.isin(s.slot_token.astype(np.int64) * nodes + s.slot_node, key))

    def _carried(self, hops: _Hops, which: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """(hop, token, bit in the parcel) of every token that these hops carry."""
        s = self._schedule
        count = np.diff(s.parcel_ptr)[hops.parcel[which]]
        hop = np.repeat(which, count)
        at = s.parcel_ptr[hops.parcel[hop]] + _ramp(count)
        width = self._bits[s.parcel_token]
        bit = np.cumsum(width) - width
        begin = np.append(bit, 0)[np.minimum(s.parcel_ptr[:-1], len(bit))]
        return hop, s.parcel_token[at].astype(np.int64), bit[at] - begin[hops.parcel[hop]]

    def _deepest(self, hops: _Hops, which: IntArray, end: IntArray) -> IntArray:
        """Copies of the parcels of hops at one end: as many as the slot of one of their tokens has there."""
        hop, token, _ = self._carried(hops, which)
        at = self._find(end[hop] * self._tokens + token)
        copies = np.ones(len(end), np.int64)
        np.maximum.at(copies, hop[at >= 0], self._depth[at[at >= 0]])
        return copies[which]

    def _allotted(self, first: int, token: IntArray) -> tuple[IntArray, IntArray]:
        """Bases and steps of the rings from ``first`` on, of which each begins with this token.

        In every memory, rings of equally many copies lie together, in the order of their tokens, so that what is read
        one after the other lies one behind the other.
        """
        memory, copies, bits = self.memory[first:], self.copies[first:], self.bits[first:]
        order = np.lexsort((token, copies, memory))
        memory, copies, bits = memory[order], copies[order], bits[order]
        blocks = np.ones(len(order), np.bool_)
        blocks[1:] = (np.diff(memory) != 0) | (np.diff(copies) != 0)
        block, begins = np.cumsum(blocks) - 1, np.flatnonzero(blocks)
        inside = np.cumsum(bits) - bits
        inside -= inside[begins][block]
        wide = np.zeros(len(begins), np.int64)
        np.add.at(wide, block, bits)
        room = wide * copies[begins]
        before = np.cumsum(room) - room
        at = np.searchsorted(memory[begins], memory[begins])  # the first block of the same memory
        base, step = np.empty((2, len(order)), np.int64)
        base[order], step[order] = (before - before[at])[block] + inside, wide[block]
        return base, step
