"""Do calendars fit the machine, and can they be worked off at all? What loads calendars asks this first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import token_bits
from graphsim.calendars.calendars import IDLE, Calendars, Table
from graphsim.errors import CalendarError, InvalidAddressError, OutOfCalendarError, OutOfMemoryError, ScheduleError
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import durations

BoolArray = npt.NDArray[np.bool_]


def check(graph: Graph, calendars: Calendars) -> None:
    """Refuse calendars that the hardware could not load, or that are not of this graph.

    Whether they bring every token to where it is read, and in time, is for those who run them to find out.

    Raises:
        ScheduleError: they are for another graph.
        OutOfMemoryError, InvalidAddressError, OutOfCalendarError, CalendarError: names memory, calendar and row.
    """
    if calendars.graph_digest != graph.digest:
        raise ScheduleError(
            f"the calendars are for graph {calendars.graph_digest[:12]}, not for {graph.name} {graph.digest[:12]}; "
            "fold this graph again"
        )
    flat = unroll(graph).graph
    _check_rings(calendars)
    _check_tables(calendars)
    _check_frames(calendars)
    _check_crossbars(calendars)
    _check_places(flat, calendars)
    _check_firings(flat, calendars)


def _first(wrong: BoolArray) -> int:
    """The first place where something is wrong, -1 where nothing is."""
    return int(np.argmax(wrong)) if wrong.any() else -1


def _check_rings(c: Calendars) -> None:
    memories = len(c.unit_bits)
    if (i := _first((c.ring_memory < 0) | (c.ring_memory >= memories))) >= 0:
        raise InvalidAddressError(f"ring {i}: there is no memory {c.ring_memory[i]}; they run from 0 to {memories - 1}")
    wrong = (c.ring_base < 0) | (c.ring_copies < 1) | (c.ring_bits < 0) | (c.ring_step < 0)
    wrong |= c.ring_base % c.unit_bits[c.ring_memory] != 0
    if (i := _first(wrong)) >= 0:
        raise InvalidAddressError(
            f"{c.memory_name(int(c.ring_memory[i]))}: ring {i} has {c.ring_copies[i]} copies of {c.ring_bits[i]} bits "
            f"from bit {c.ring_base[i]} on; a ring has a copy, and begins with a byte or a frame of its memory"
        )
    links = [link.memory_frames for link in c.machine.links]
    have = np.array([spec.memory_bytes for spec in c.machine.nodes] + links + links, np.int64)
    if (m := _first(c.used > have)) >= 0:
        unit, key = ("bytes", "memory_bytes") if m < len(c.machine.nodes) else ("frames", "memory_frames")
        raise OutOfMemoryError(
            f"{c.memory_name(m)}: out of memory: {c.used[m]:,} {unit} are needed, it has {have[m]:,}: "
            f"{c.used[m] - have[m]:,} too few; use more {key}, or more nodes"
        )


def _check_tables(c: Calendars) -> None:
    links = c.machine.links
    rows = np.array([link.calendar_rows for link in links], np.int64)
    for name, table, units, stride, most in (
        ("compute", c.fire, c.period // c.node_stride, c.node_stride, None),
        ("gather", c.gather, c.link_units, c.link_stride, rows),
        ("scatter", c.scatter, c.link_units, c.link_stride, rows),
        ("crossbar", c.crossbar, c.link_units, c.link_stride, rows),
    ):
        count = np.diff(table.ptr)
        if table.ptr[0] != 0 or table.ptr[-1] != len(table.what) or (count < 0).any() or len(count) != len(units):
            raise OutOfCalendarError(f"{name} calendars: the rows of their components do not follow each other")

        def owner(i: int, name: str = name) -> str:
            where = f"node {c.machine.nodes[i].name}" if name == "compute" else f"link {c.machine.link_name(i)}"
            return f"{where}, {name} calendar"

        if (i := _first((table.length < 1) | (table.offset < 0))) >= 0:
            raise OutOfCalendarError(
                f"{owner(int(table.owner[i]))}: row {i - table.ptr[table.owner[i]]} has length {table.length[i]}, and "
                f"offset {table.offset[i]}; rows last, and begin at 0 or later"
            )
        total = np.zeros(len(units), np.int64)
        np.add.at(total, table.owner, table.length)
        if (i := _first(total != units)) >= 0:
            raise OutOfCalendarError(
                f"{owner(i)}: out of calendar: its rows make up {total[i]:,} of the {units[i]:,} "
                f"{'cycles' if name == 'compute' else 'frames'} of a metacycle"
            )
        used = np.bincount(table.owner[table.what != IDLE], minlength=len(units)) > 0
        if (i := _first(used & (c.period % stride != 0))) >= 0:
            raise OutOfCalendarError(
                f"{owner(i)}: out of calendar: a metacycle of {c.period:,} ticks is no whole number of its cycles of "
                f"{stride[i]:,} ticks"
            )
        if most is not None and (i := _first(count > most)) >= 0:
            raise OutOfCalendarError(
                f"{owner(i)}: out of calendar: {count[i]:,} rows are needed, it has {most[i]:,}: "
                f"{count[i] - most[i]:,} too few; use more calendar_rows, or larger parcels"
            )


def _check_frames(c: Calendars) -> None:
    """Rows of links use rings that their engines reach, and stay inside of them."""
    nodes, links = len(c.machine.nodes), len(c.machine.links)
    src = np.array([link.src for link in c.machine.links], np.int64)
    bits = np.array([link.frame_bits for link in c.machine.links], np.int64)
    for name, table in (("gather", c.gather), ("scatter", c.scatter)):
        i = np.flatnonzero(table.what != IDLE)
        ring, link = table.what[i], table.owner[i]

        def row(k: int, name: str = name, table: Table = table, i: npt.NDArray[np.intp] = i) -> str:
            at = table.owner[i[k]]
            return f"link {c.machine.link_name(int(at))}, {name} calendar, row {i[k] - table.ptr[at]}: invalid address"

        if (k := _first((c.from_switch if name == "gather" else c.into_switch)[link])) >= 0:
            raise InvalidAddressError(f"{row(k)}: a switch has no memory")
        if (k := _first((ring < 0) | (ring >= len(c.ring_memory)))) >= 0:
            raise InvalidAddressError(f"{row(k)}: there is no ring {ring[k]}")
        memory = c.ring_memory[ring].astype(np.int64)
        if name == "scatter":
            reached = memory == nodes + links + link
        else:
            reached = (memory == nodes + link) | (c.is_rx[memory] & (c.memory_node[memory] == src[link]))
        if (k := _first(~reached)) >= 0:
            raise InvalidAddressError(f"{row(k)}: its engine does not reach {c.memory_name(int(memory[k]))}")
        end = (table.offset[i] + table.length[i]) * bits[link]
        if (k := _first(end > c.ring_bits[ring])) >= 0:
            raise InvalidAddressError(
                f"{row(k)}: frames from {table.offset[i[k]]} to {table.offset[i[k]] + table.length[i[k]] - 1} of ring "
                f"{ring[k]}, which has {c.ring_bits[ring[k]]} bits"
            )


def _check_crossbars(c: Calendars) -> None:
    """Rows of outputs of switches name inputs of the same switch, and lanes of theirs."""
    table, links = c.crossbar, c.machine.links
    i = np.flatnonzero(table.what != IDLE)
    what, link, rate = table.what[i].astype(np.int64), table.owner[i], c.link_rate

    def row(k: int) -> str:
        return f"link {c.machine.link_name(int(link[k]))}, crossbar calendar, row {i[k] - table.ptr[link[k]]}"

    if (k := _first(~c.from_switch[link])) >= 0:
        raise InvalidAddressError(f"{row(k)}: invalid address: {c.machine.nodes[links[link[k]].src].name} is no switch")
    if (k := _first((what < 0) | (what >= len(links)))) >= 0:
        raise InvalidAddressError(f"{row(k)}: invalid address: there is no link {what[k]}")
    src, dst = (np.array([getattr(one, end) for one in links], np.int64) for end in ("src", "dst"))
    if (k := _first(dst[what] != src[link])) >= 0:
        raise InvalidAddressError(
            f"{row(k)}: invalid address: link {c.machine.link_name(int(what[k]))} does not lead to its switch"
        )
    if (k := _first(table.stage[i] != 0)) >= 0:
        raise OutOfCalendarError(
            f"{row(k)}: it has stage {table.stage[i[k]]}; a switch works off every row, in stage 0"
        )
    # Of a row within a cycle those lanes are used; of one that goes on in the next cycle, all of the output.
    first = table.begin[i] % rate[link]
    shift, last = table.offset[i] - first, first + table.length[i] - 1
    over = last >= rate[link]
    low, high = np.where(over, 0, first) + shift, np.where(over, rate[link] - 1, last) + shift
    if (k := _first((low < 0) | (high >= rate[what]))) >= 0:
        raise InvalidAddressError(
            f"{row(k)}: invalid address: lanes {low[k]} to {high[k]} of link {c.machine.link_name(int(what[k]))}, "
            f"which has {rate[what[k]]}"
        )


def _check_places(flat: Graph, c: Calendars) -> None:
    bits = token_bits(flat)
    if (i := _first((c.place_token < 0) | (c.place_token >= len(bits)))) >= 0:
        raise InvalidAddressError(f"place {i}: there is no token {c.place_token[i]}")
    if (i := _first((c.place_ring < 0) | (c.place_ring >= len(c.ring_memory)))) >= 0:
        raise InvalidAddressError(f"place {i}: there is no ring {c.place_ring[i]}")
    end = c.place_bit + bits[c.place_token]
    if (i := _first((c.place_bit < 0) | (end > c.ring_bits[c.place_ring]))) >= 0:
        ring = int(c.place_ring[i])
        raise InvalidAddressError(
            f"{c.memory_name(int(c.ring_memory[ring]))}: invalid address: token {c.place_token[i]} is at bit "
            f"{c.place_bit[i]} of ring {ring}, which has {c.ring_bits[ring]} bits"
        )


def _check_firings(flat: Graph, c: Calendars) -> None:
    """Every actor fires once in a metacycle, for as long as its work takes."""
    i = np.flatnonzero(c.fire.what != IDLE)
    actor = np.concatenate([c.fire.what[i], c.instant_actor]).astype(np.int64)
    if (k := _first((actor < 0) | (actor >= flat.actor_count))) >= 0:
        raise CalendarError(f"compute calendars: there is no actor {actor[k]}; they end at {flat.actor_count - 1}")
    if (k := _first((c.instant_node < 0) | (c.instant_node >= len(c.machine.nodes)))) >= 0:
        raise CalendarError(f"{flat.actor(int(c.instant_actor[k])).name}: there is no node {c.instant_node[k]}")
    if (k := _first((c.instant_tick < 0) | (c.instant_tick >= c.period))) >= 0:
        raise OutOfCalendarError(
            f"{flat.actor(int(c.instant_actor[k])).name}: out of calendar: tick {c.instant_tick[k]} of a metacycle of "
            f"{c.period}"
        )
    begins = np.bincount(actor, minlength=flat.actor_count)
    going_on = c.fire.what[i[c.fire.offset[i] > 0]]
    begins -= np.bincount(going_on, minlength=flat.actor_count)
    if (a := _first(begins != 1)) >= 0:
        raise OutOfCalendarError(f"{flat.actor(a).name} fires {begins[a]} times in a metacycle; every actor fires once")
    kinds = np.array([spec.kind == "compute" for spec in c.machine.nodes])
    if (a := _first(~kinds[c.node])) >= 0:
        raise CalendarError(f"{flat.actor(a).name} is on {c.machine.nodes[int(c.node[a])].name}, a switch")
    has = np.zeros(flat.actor_count, np.int64)
    np.add.at(has, c.fire.what[i], c.fire.length[i])
    needs = durations(flat, c.machine, c.node.astype(np.int32))
    has *= c.node_stride[c.node]
    if (a := _first(has != needs)) >= 0:
        raise CalendarError(f"{flat.actor(a).name}: its rows take {has[a]} ticks; it works for {needs[a]}")
    _check_whole_firings(flat, c)


def _check_whole_firings(flat: Graph, c: Calendars) -> None:
    """A firing of two rows is the last and the first of its node."""
    fire = c.fire
    i = np.flatnonzero((fire.what != IDLE) & (fire.offset > 0))
    last = fire.ptr[fire.owner[i] + 1] - 1
    whole = (i == fire.ptr[fire.owner[i]]) & (fire.what[last] == fire.what[i])
    whole &= (fire.stage[last] + 1 == fire.stage[i]) & (fire.length[last] == fire.offset[i]) & (fire.offset[last] == 0)
    if (k := _first(~whole)) >= 0:
        raise OutOfCalendarError(f"{flat.actor(int(fire.what[i[k]])).name}: its firing is in pieces")
