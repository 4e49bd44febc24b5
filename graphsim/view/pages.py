"""What the pages ask for, as plain JSON types: graph, actor, machine, times."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import input_actors
from graphsim.errors import UsageError
from graphsim.graph import Actor, Graph
from graphsim.passes import unroll
from graphsim.report.plots import COLOURS, merged
from graphsim.report.record import firing_record
from graphsim.report.trace import life_record
from graphsim.report.utilisation import utilisation
from graphsim.schedule.schedule import Schedule, placement_of
from graphsim.trace import Timeline, life_of
from graphsim.trace.life import Hop, Life
from graphsim.view.layout import blocks, positions
from graphsim.view.subject import Seen

IntArray = npt.NDArray[np.int64]

#: Edges of an actor that are listed, bars of one picture, cells of one tile along an edge, rows of a Gantt.
EDGES, BARS, CELLS, ROWS = 200, 6_000, 128, 40
#: Tokens that are followed at most from a source to a sink.
_FAR = 64
#: What cells can be coloured by.
SHADES = ("node", "tick", "inputs")


def overview(seen: Seen) -> dict[str, Any]:
    """Title, numbers on top, and which pages there are."""
    record = seen.record
    return {
        "title": seen.title,
        "tiles": seen.pictures["tiles"],
        "figures": sorted(seen.pictures["figures"]),
        "actors": seen.graph.actor_count,
        "edges": seen.graph.edge_count,
        "agreement": record.get("agreement"),
        "evaluated": record.get("evaluated"),
        "command": record.get("command"),
        "wrong": len(seen.pictures["wrong"]),
        "folded": seen.schedule is not None,
    }


def graph_page(graph: Graph) -> dict[str, Any]:
    """Groups as blocks of cells, and the bundles between them."""
    return {
        "name": graph.name,
        "groups": [
            {
                "name": group.name,
                "op": group.op,
                "activation": group.activation,
                "shape": list(group.shape),
                "size": group.size,
                "colour": COLOURS[number % len(COLOURS)],
                **block.record(),
            }
            for number, (group, block) in enumerate(zip(graph.groups, blocks(graph), strict=True))
        ],
        "channels": [
            {"src": c.src, "dst": c.dst, "port": c.port, "edges": graph.edges_of(c), "initial": c.initial_tokens}
            for c in graph.channels
        ],
    }


def tile(
    graph: Graph, schedule: Schedule | None, number: int, shade: str, row: tuple[int, int], column: tuple[int, int]
) -> dict[str, Any]:
    """A piece of a group's block: one value per cell, or per square of cells where there are too many.

    Args:
        shade: one of :data:`SHADES`.
        row, column: first and one past the last cell; what lies outside is cut off.

    Raises:
        UsageError: no such group, or nothing to colour by.
    """
    if not 0 <= number < len(graph.groups):
        raise UsageError(f"there is no group {number}; there are {len(graph.groups)}")
    block, size = blocks(graph)[number], graph.groups[number].size
    r0, r1 = max(0, row[0]), min(block.rows, row[1])
    c0, c1 = max(0, column[0]), min(block.columns, column[1])
    step = max(1, -(-(r1 - r0) // CELLS), -(-(c1 - c0) // CELLS))
    rows, columns = np.arange(r0, max(r0, r1), step), np.arange(c0, max(c0, c1), step)
    local = rows[:, None] * block.columns + columns
    values = _shades(graph, schedule, number, shade)
    shown = [[None if i >= size else int(values[i]) for i in line] for line in local.tolist()]
    return {"row": int(r0), "column": int(c0), "step": step, "values": shown}


def _shades(graph: Graph, schedule: Schedule | None, number: int, shade: str) -> IntArray:
    if shade not in SHADES or (schedule is None and shade != "inputs"):
        raise UsageError(f"cells cannot be coloured by {shade[:40]!r}; choose one of {', '.join(SHADES)}")
    if schedule is None or shade == "inputs":
        return graph.fan_in(number)
    first = int(graph.first[number])
    if shade == "node":
        return placement_of(graph, schedule)[first : first + graph.groups[number].size].astype(np.int64)
    made = unroll(graph)
    start = np.full(graph.actor_count, np.iinfo(np.int64).max)
    np.minimum.at(start, made.owner, schedule.start)
    return start[first : first + graph.groups[number].size]


def actor_page(graph: Graph, schedule: Schedule | None, name: str) -> dict[str, Any]:
    """An actor with its first inputs and consumers, where each is drawn, and where and when it fires.

    Raises:
        GraphError: there is no such actor.
    """
    actor, drawn = graph.actor(name), blocks(graph)
    inputs, consumers = actor.inputs, actor.consumers

    def place(other: Actor) -> dict[str, Any]:
        x, y = drawn[other.group_number].centre(other.local)
        return {"actor": other.name, "x": x, "y": y}

    return {
        **place(actor),
        "id": actor.id,
        "group": actor.group_number,
        "op": actor.group.op,
        "activation": actor.group.activation,
        "firings_per_sample": actor.group.firings,
        "params": {role: actor.param(role) for role in actor.group.params if role not in ("table", "truth")},
        "truth": None if actor.truth is None else f"{actor.truth:#x}",
        "work": actor.work,
        "inputs": [{**place(graph.actor(e.producer)), "port": e.port, "weight": e.weight} for e in inputs[:EDGES]],
        "input_count": len(inputs),
        "consumers": [place(graph.actor(int(c))) for c in consumers[:EDGES]],
        "consumer_count": len(consumers),
        "firing": None if schedule is None else firing_record(actor, schedule),
    }


def machine_page(graph: Graph, schedule: Schedule) -> dict[str, Any]:
    """Nodes and links, where they are drawn, and how busy they are in a period."""
    machine, load, where = schedule.machine, utilisation(graph, schedule), positions(schedule.machine)
    return {
        "name": machine.name,
        "period": schedule.period,
        "nodes": [
            {
                "name": node.name,
                "kind": node.kind,
                "x": float(where[v, 0]),
                "y": float(where[v, 1]),
                "busy": int(load.node_ticks[v]),
                "actors": int(load.node_actors[v]),
                "bytes": int(load.node_bytes[v]),
                "memory": node.memory_bytes,
                "host": v in (machine.host, machine.sink_host),
            }
            for v, node in enumerate(machine.nodes)
        ],
        "links": [
            {
                "src": link.src,
                "dst": link.dst,
                "name": machine.link_name(k),
                "frames": int(load.link_frames[k]),
                "capacity": int(load.link_capacity[k]),
                "latency": link.latency,
                "bits": link.frame_bits,
            }
            for k, link in enumerate(machine.links)
        ],
    }


def node_page(graph: Graph, schedule: Schedule, name: str) -> dict[str, Any]:
    """What a node has: its actors by group, the first of them by name.

    Raises:
        UsageError: there is no such node.
    """
    machine = schedule.machine
    number = next((v for v, node in enumerate(machine.nodes) if node.name == name), None)
    if number is None:
        raise UsageError(f"{machine.name} has no node {name[:60]!r}")
    there = np.flatnonzero(placement_of(graph, schedule) == number)
    group = np.searchsorted(graph.first, there, side="right") - 1
    return {
        "name": name,
        "groups": [
            {
                "group": graph.groups[g].name,
                "actors": int((group == g).sum()),
                "first": [graph.actor(int(a)).name for a in there[group == g][:12]],
            }
            for g in np.unique(group).tolist()
        ],
    }


def window(seen: Seen, begin: int, end: int, followed: tuple[str, int] | None = None) -> dict[str, Any]:
    """What nodes and links do in ticks ``begin`` to ``end - 1`` of a run, as bars: the busiest, in machine order.

    Bars of one row and group that touch are one; where there are too many, so are those that nearly touch.

    Args:
        followed: actor and iteration: nodes and links on the way of this token are there too, busy or not.

    Raises:
        UsageError: no such ticks.
    """
    line = seen.line
    schedule, graph = line.schedule, line.original
    if not 0 <= begin < end <= begin + 50 * max(schedule.period, line.last) or end > 2**60:
        raise UsageError(f"ticks {begin} to {end}: expected a later end, at most 50 samples away, and none below 0")
    machine, load = schedule.machine, utilisation(graph, schedule)
    owner = unroll(graph).owner
    group_of = np.searchsorted(graph.first, owner, side="right") - 1
    fired = np.flatnonzero(line.end > line.start)
    way = [] if followed is None else _way(line, *followed)
    nodes = _busiest(load.node_ticks, {line.schedule.node[line.graph.actor(life.token).id] for life, _ in way})
    links = _busiest(
        load.link_frames / np.maximum(1, load.link_capacity), {hop.link for _, hops in way for hop in hops}
    )
    carried = schedule.parcel_token[schedule.parcel_ptr[schedule.hop_parcel]].astype(np.int64)
    made_for = carried >= len(owner)
    carried[made_for] = input_actors(line.graph)[carried[made_for] - len(owner)]
    lanes = [
        ("node", nodes, schedule.node[fired].astype(np.int64), group_of[fired], line.start[fired], line.end[fired]),
        ("link", links, schedule.hop_link.astype(np.int64), group_of[carried], line.hop_start, line.hop_sent),
    ]
    bars: list[dict[str, Any]] = []
    rows = []
    for kind, shown, where, group, first, last in lanes:
        names = [machine.nodes[v].name if kind == "node" else machine.link_name(v) for v in shown]
        rows += [{"name": name, "kind": kind} for name in names]
        bars += _bars(shown, names, where, group, first, last, begin, end, schedule.period)
    return {
        "begin": begin,
        "end": end,
        "period": schedule.period,
        "rows": rows,
        "left_out": {
            "nodes": int((load.node_ticks > 0).sum()) - len(nodes),
            "links": int((load.link_frames > 0).sum()) - len(links),
        },
        "groups": [{"name": g.name, "colour": COLOURS[n % len(COLOURS)]} for n, g in enumerate(graph.groups)],
        "bars": bars,
    }


def _busiest(load: npt.NDArray[Any], also: set[int]) -> list[int]:
    found = np.argsort(-load, kind="stable")[: min(ROWS, int((load > 0).sum()))]
    return sorted({int(v) for v in found} | {int(v) for v in also})


def _bars(
    shown: list[int],
    names: list[str],
    where: IntArray,
    group: IntArray,
    first: IntArray,
    last: IntArray,
    begin: int,
    end: int,
    period: int,
) -> list[dict[str, Any]]:
    """Bars of the rows ``shown``, in ticks from the start of the run; iteration 0 is the first there is."""
    kept = np.isin(where, shown)
    where, group, first, last = where[kept], group[kept], first[kept], last[kept]
    if not len(where):
        return []
    oldest = max(0, (begin - int(last.max())) // period)
    newest = max(0, (end - int(first.min())) // period)
    parts = []
    for n in range(oldest, newest + 1):
        inside = np.flatnonzero((last + n * period > begin) & (first + n * period < end))
        parts.append(np.stack([where[inside], group[inside], first[inside] + n * period, last[inside] + n * period]))
    where, group, first, last = np.concatenate(parts, axis=1)
    gap = 0 if len(where) <= BARS else max(1, (end - begin) // 400)
    found = []
    for row, name in zip(shown, names, strict=True):
        for g in np.unique(group[where == row]).tolist():
            mine = (where == row) & (group == g)
            starts, ends = merged(np.maximum(first[mine], begin), np.minimum(last[mine], end), gap)
            found.append({"row": name, "group": g, "from": starts.tolist(), "until": ends.tolist()})
    return found


def follow(seen: Seen, name: str, iteration: int) -> dict[str, Any]:
    """The way of a sample through one actor, from a source to a sink: the lives of the tokens on it.

    Backwards each token is the operand that arrives last, the one that was waited for; forwards it goes to the firing
    that reads it first. ``way`` are the hops that lead to where the next token is made.

    Raises:
        GraphError: there is no such actor, or it has no token.
    """
    line = seen.line
    machine = line.schedule.machine
    return {
        "actor": name,
        "iteration": iteration,
        "steps": [
            {
                **life_record(machine, life),
                "followed": life.token == name,
                "way": [
                    {"link": machine.link_name(hop.link), "sent_from": hop.start, "there_from": hop.arrival}
                    for hop in hops
                ],
            }
            for life, hops in _way(line, name, iteration)
        ],
    }


def _way(line: Timeline, name: str, iteration: int) -> list[tuple[Life, list[Hop]]]:
    """Lives from a source to a sink, each with the hops that bring it to where the next one is made."""
    sinks = {line.graph.groups[number].name for number in line.graph.sinks}
    lives = [life_of(line, name, iteration)]
    while len(lives) < _FAR and line.graph.actor(lives[0].token).group.op != "input":
        before = [operand for operand in lives[0].operands if operand.iteration == iteration]
        if not before:
            break
        waited = max(before, key=lambda operand: (operand.there, operand.actor))
        lives.insert(0, life_of(line, waited.actor, iteration))
    while len(lives) < 2 * _FAR and line.graph.actor(lives[-1].token).group.name not in sinks:
        readers = [use for use in lives[-1].uses if use.iteration == iteration]
        if not readers:
            break
        lives.append(life_of(line, readers[0].actor, iteration))
    return [
        (life, _hops_to(line, life, after.node if after is not None else life.node))
        for life, after in zip_longest(lives, lives[1:])
    ]


def _hops_to(line: Timeline, life: Life, node: int) -> list[Hop]:
    """The hops of a token's tree that lead to a node."""
    links = line.schedule.machine.links
    into = {links[hop.link].dst: hop for hop in life.hops}
    found: list[Hop] = []
    while node != life.node and node in into:
        found.insert(0, into[node])
        node = links[into[node].link].src
    return found
