"""Calendars as text for people, as JSON and as CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from graphsim.analysis.tokens import input_actors, token_bits, token_makers
from graphsim.calendars.calendars import IDLE, Calendars, Table
from graphsim.graph import Graph
from graphsim.passes import unroll

SCHEMA = 1
FORMATS = ("text", "json", "csv")


class Row(NamedTuple):
    """One row of a table, as files have it. What does not apply is None.

    Attributes:
        table: ``compute``, ``instant``, ``gather``, ``scatter``, ``crossbar`` or ``place``.
        component: name of the node, link or memory.
        begin: cycle of the node, or frame, of the metacycle; of an instant, tick.
        length: cycles, or frames; of a place, bits.
        stage: it is done for iteration k - stage in metacycle k.
        actor: who fires; of a place, whose token it is.
        memory, base: of the ring's first copy, in bytes of a node or frames of a port; None if it begins within one.
        bit: the same address in bits.
        copies, step: of the ring, and bits from copy to copy: iteration n is at bit ``bit + n mod copies * step``.
        source, lane: of a crossbar, the link that its first frame came over, and in which lane of the cycle.
    """

    table: str
    component: str
    begin: int | None = None
    length: int | None = None
    stage: int | None = None
    actor: str | None = None
    memory: str | None = None
    base: int | None = None
    bit: int | None = None
    copies: int | None = None
    step: int | None = None
    source: str | None = None
    lane: int | None = None


def rows(graph: Graph, calendars: Calendars) -> Iterator[Row]:
    """All rows: nodes with compute calendars and instant firings, links with gather and scatter, outputs of switches
    with crossbar, places. An end of a link that is a switch has no rows of gather or scatter.

    Args:
        graph: that the calendars are for, before it is unrolled.
    """
    names, c = _Names(unroll(graph).graph), calendars
    for v, node in enumerate(c.machine.nodes):
        for i in _of(c.fire, v):
            actor = None if c.fire.what[i] == IDLE else names.actor(int(c.fire.what[i]))
            stage = None if actor is None else int(c.fire.stage[i])
            yield Row("compute", node.name, int(c.fire.begin[i]), int(c.fire.length[i]), stage, actor)
        for i in np.flatnonzero(c.instant_node == v).tolist():
            actor = names.actor(int(c.instant_actor[i]))
            yield Row("instant", node.name, int(c.instant_tick[i]), 0, int(c.instant_stage[i]), actor)
    for name, table, switched in (("gather", c.gather, c.from_switch), ("scatter", c.scatter, c.into_switch)):
        for link, spec in enumerate(c.machine.links):
            for i in _of(table, link) if not switched[link] else ():
                begin, length, ring = int(table.begin[i]), int(table.length[i]), int(table.what[i])
                row = Row(name, c.machine.link_name(link), begin, length)
                if ring != IDLE:
                    address = _address(c, ring, int(table.offset[i]) * spec.frame_bits)
                    row = Row(name, row.component, begin, length, int(table.stage[i]), None, *address)
                yield row
    for link in np.flatnonzero(c.from_switch).tolist():
        for i in _of(c.crossbar, link):
            row = Row("crossbar", c.machine.link_name(link), int(c.crossbar.begin[i]), int(c.crossbar.length[i]))
            if c.crossbar.what[i] != IDLE:
                source = c.machine.link_name(int(c.crossbar.what[i]))
                row = row._replace(source=source, lane=int(c.crossbar.offset[i]))
            yield row
    width = token_bits(names.graph)
    for ring, token, bit in zip(c.place_ring.tolist(), c.place_token.tolist(), c.place_bit.tolist(), strict=True):
        memory = c.memory_name(int(c.ring_memory[ring]))
        yield Row("place", memory, None, int(width[token]), None, names.token(token), *_address(c, ring, bit))


def text(graph: Graph, calendars: Calendars) -> str:
    """For people: a table for every node, link and memory in which there is something."""
    c, lines = calendars, [f"{graph.name} on {calendars.machine.name}: metacycles of {calendars.period:,} ticks"]
    heads = {
        "compute": " cycle cycles  iteration  actor",
        "instant": "  tick         iteration  actor",
        "gather": " frame frames  iteration  from",
        "scatter": " frame frames  iteration  to",
        "crossbar": " frame frames             from",
        "place": "   bit   bits             token",
    }
    before = None
    for row in rows(graph, c):
        if (row.table, row.component) != before:
            before = row.table, row.component
            lines += ["", f"{row.component}: {row.table}", heads[row.table]]
        if row.table == "place":
            ring = f" ({row.copies} copies, {row.step} bits apart)" if row.copies != 1 else ""
            lines.append(f"{row.bit:>6} {row.length:>6}             {row.actor}{ring}")
            continue
        what = row.actor or row.source or "-"
        if row.lane:
            what += f", lane {row.lane}"
        if row.memory is not None:
            place = f"frame {row.base}" if row.base is not None else f"bit {row.bit}"
            ring = f" ({row.copies} copies, {row.step} bits apart)" if row.copies != 1 else ""
            what = f"{row.memory}, {place}{ring}"
        when = "" if row.stage is None else f"k - {row.stage}" if row.stage else "k"
        lines.append(f"{row.begin:>6} {row.length:>6}  {when:<9}  {what}")
    return "\n".join(lines) + "\n"


def csv_text(graph: Graph, calendars: Calendars) -> str:
    """As CSV: a line for every row, its columns the attributes of :class:`Row`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows(graph, calendars))
    return out.getvalue()


def document(graph: Graph, calendars: Calendars) -> dict[str, Any]:
    """As JSON has it: what is loaded, with the addresses of every operand of every actor.

    ``operands`` has for each actor its runs in the order in which it reads them: ``count`` tokens of so many ``bits``,
    ``apart`` bits from each other, those of ``back`` iterations ago; otherwise addresses are those of :class:`Row`.
    """
    c = calendars
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows(graph, c):
        entry = {key: value for key, value in row._asdict().items() if value is not None and key != "table"}
        found.setdefault(row.table, []).append(entry)
    capacity = [spec.memory_bytes for spec in c.machine.nodes] + [link.memory_frames for link in c.machine.links] * 2
    memories = [
        {"memory": c.memory_name(m), "unit_bits": int(c.unit_bits[m]), "used": int(c.used[m]), "capacity": capacity[m]}
        for m in range(len(c.unit_bits))
    ]
    links = [
        {
            "link": c.machine.link_name(i),
            "frame_bits": link.frame_bits,
            "latency": link.latency,
            "stride": int(c.link_stride[i]),
            "frames_per_tick": link.frames_per_tick,
            "calendar_rows": link.calendar_rows,
        }
        for i, link in enumerate(c.machine.links)
    ]
    nodes = [
        {"node": spec.name, "kind": spec.kind, "stride": stride}
        | ({"crossbar_latency": spec.crossbar_latency} if spec.kind == "switch" else {})
        for spec, stride in zip(c.machine.nodes, c.node_stride.tolist(), strict=True)
    ]
    tables = {name: found.get(name, []) for name in ("compute", "instant", "gather", "scatter", "crossbar", "place")}
    return {
        "schema_version": SCHEMA,
        "graph": {"name": graph.name, "digest": c.graph_digest},
        "machine": {"name": c.machine.name, "digest": c.machine.digest()},
        "period": c.period,
        "nodes": nodes,
        "links": links,
        "memories": memories,
        **tables,
        "operands": list(_operands(unroll(graph).graph, c)),
    }


def formatted(graph: Graph, calendars: Calendars, form: str) -> str:
    """The calendars in one of :data:`FORMATS`."""
    if form == "json":
        return _json(document(graph, calendars))
    return csv_text(graph, calendars) if form == "csv" else text(graph, calendars)


def _json(document: dict[str, Any]) -> str:
    """JSON with every entry of a list on a line of its own."""
    parts = []
    for key, value in document.items():
        lines = ",\n".join("  " + json.dumps(entry) for entry in value) if isinstance(value, list) else ""
        parts.append(f" {json.dumps(key)}: " + (f"[\n{lines}\n ]" if lines else json.dumps(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _of(table: Table, component: int) -> range:
    """The rows of a component."""
    return range(int(table.ptr[component]), int(table.ptr[component + 1]))


def _address(c: Calendars, ring: int, bit: int) -> tuple[str, int | None, int, int, int]:
    """Memory, base, bit, copies and step of an address in a ring."""
    memory = int(c.ring_memory[ring])
    at = int(c.ring_base[ring]) + bit
    base, within = divmod(at, int(c.unit_bits[memory]))
    where = c.memory_name(memory), None if within else base
    return *where, at, int(c.ring_copies[ring]), int(c.ring_step[ring])


class _Names:
    """Names of actors and tokens of an unrolled graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._inputs, self._makers = input_actors(graph), token_makers(graph)

    def actor(self, actor: int) -> str:
        return self.graph.actor(actor).name

    def token(self, token: int) -> str:
        """Whose token it is; of a source, for whom."""
        name = self.actor(int(self._makers[token]))
        if token < self.graph.actor_count:
            return name
        return f"{name} for {self.actor(int(self._inputs[token - self.graph.actor_count]))}"


def _operands(graph: Graph, c: Calendars) -> Iterator[dict[str, Any]]:
    """What every actor reads, as runs."""
    node, token, place = c.read_place
    tokens = len(token_bits(graph))
    key, width = node * tokens + token, token_bits(graph)
    inputs = input_actors(graph)
    for number, group in enumerate(graph.groups):
        parts: list[list[dict[str, Any]]] = [[] for _ in range(group.size)]
        for channel in graph.channels_into(number):
            sizes = graph.groups[channel.src].size, group.size
            edges = channel.expand(*sizes, graph.params)
            read = int(graph.first[channel.src]) + edges.src
            actor = int(graph.first[number]) + edges.dst
            if graph.groups[channel.src].op == "source":
                read = graph.actor_count + np.searchsorted(inputs, actor)
            at = np.minimum(np.searchsorted(key, c.node[actor] * tokens + read), max(len(key) - 1, 0))
            there = key[at] == c.node[actor] * tokens + read if len(key) else np.zeros(len(at), np.bool_)
            where = np.where(there, place[at] if len(key) else 0, -1)
            for a, first, count, apart in _runs(c, where, edges.dst):
                p = int(where[first])
                run: dict[str, Any] = {"count": count, "back": channel.initial_tokens}
                if p >= 0:
                    address = _address(c, int(c.place_ring[p]), int(c.place_bit[p]))
                    run |= dict(zip(("memory", "base", "bit", "copies", "step"), address, strict=True))
                    run |= {"bits": int(width[read[first]]), "apart": apart}
                parts[a].append({k: v for k, v in run.items() if v is not None})
        for local, runs in enumerate(parts):
            if runs:
                reader = int(graph.first[number]) + local
                where_on = c.machine.nodes[int(c.node[reader])].name
                yield {"actor": graph.actor(reader).name, "node": where_on, "runs": runs}


def _runs(
    c: Calendars, place: np.ndarray[Any, Any], reader: np.ndarray[Any, Any]
) -> Iterator[tuple[int, int, int, int]]:
    """(reader, first, count, bits apart) of runs of places in equal steps, in the same memory and rings alike."""
    ring = c.place_ring[place]
    columns = (c.ring_memory[ring], c.ring_copies[ring], c.ring_step[ring])
    bit = (c.ring_base[ring] + c.place_bit[place]).tolist()
    alike = [tuple(row) for row in zip(*(a.tolist() for a in (*columns, reader, place < 0)), strict=True)]
    first = 0
    for i in range(1, len(place) + 1):
        apart = bit[first + 1] - bit[first] if i > first + 1 else None
        joins = i < len(place) and alike[i] == alike[first]
        if joins and (apart is None or bit[i] - bit[i - 1] == apart):
            continue
        yield int(reader[first]), first, i - first, apart or 0
        first = i
