"""A trace for Perfetto (ui.perfetto.dev) and Chrome: JSON in the Trace Event Format.

A tick is shown as a microsecond, so that every time is a whole number. Three processes: nodes, one thread each, with
their firings; links, with what they carry, one slice per parcel; memory, a counter per node of the bytes that tokens
take. A token whose life is followed has arrows from its firing along its hops to the firings that read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphsim.trace.life import life_of
from graphsim.trace.timeline import IntArray, Timeline, check_size, levels

NODES, LINKS, MEMORY = 1, 2, 3

Event = dict[str, Any]


def perfetto(line: Timeline, iterations: int, follow: str | None = None) -> str:
    """The trace as text, of iterations 0 .. iterations - 1; events are sorted by time.

    Firings that take no ticks (source and inputs) are left out.

    Args:
        follow: name of an actor whose token is followed with arrows.

    Raises:
        ScheduleError: the trace would be too large.
        GraphError: no actor is called like that.
    """
    check_size(line, iterations)
    schedule, machine, period = line.schedule, line.schedule.machine, line.schedule.period
    events: list[Event] = []
    for pid, what in ((NODES, "nodes"), (LINKS, "links"), (MEMORY, "memory, bytes of tokens")):
        events.append(_named("process_name", pid, 0, what))
        events.append({"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}})
    events += [_named("thread_name", NODES, v, node.name) for v, node in enumerate(machine.nodes)]
    lane, lanes = _lanes(line)
    tracks = sorted({(int(link), int(number)) for link, number in zip(schedule.hop_link, lane, strict=True)})
    for link, number in tracks:
        more = f" ({number + 1})" if number else ""
        events.append(_named("thread_name", LINKS, link * lanes + number, machine.link_name(link) + more))

    timed: list[Event] = []
    busy = np.flatnonzero(line.end > line.start)
    names = {a: line.graph.actor(a).name for a in busy.tolist()}
    parcels = [line.token_name(int(line.parcel_tokens(p)[0])) for p in range(len(schedule.parcel_node))]
    sizes = np.diff(schedule.parcel_ptr)
    for n in range(iterations):
        at = n * period
        for a in busy.tolist():
            args = {"iteration": n, "actor": a}
            timed.append(_slice(names[a], NODES, int(schedule.node[a]), line.start[a], line.end[a], at, args))
        for h, p in enumerate(schedule.hop_parcel.tolist()):
            more = f" +{sizes[p] - 1}" if sizes[p] > 1 else ""
            args = {"iteration": n, "parcel": p, "tokens": int(sizes[p]), "frames": int(line.hop_frames[h])}
            track = int(schedule.hop_link[h]) * lanes + int(lane[h])
            timed.append(_slice(parcels[p] + more, LINKS, track, line.hop_start[h], line.hop_sent[h], at, args))
    for v, tick, level in zip(*(part.tolist() for part in levels(line, iterations)), strict=True):
        timed.append({"ph": "C", "name": machine.nodes[v].name, "pid": MEMORY, "ts": tick, "args": {"bytes": level}})
    if follow is not None:
        for n in range(iterations):
            timed += _arrows(line, follow, n, lane, lanes)
    timed.sort(key=lambda event: event["ts"])
    document = {
        "displayTimeUnit": "ns",
        "otherData": {
            "graph": line.original.name,
            "machine": machine.name,
            "period_ticks": period,
            "iterations": iterations,
            "one_tick_is_shown_as": "1 microsecond",
            "clock_mhz": machine.clock_mhz,
        },
        "traceEvents": events + timed,
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _named(what: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _slice(name: str, pid: int, tid: int, start: int, end: int, shift: int, args: Event) -> Event:
    ticks = int(end - start)
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": int(start) + shift, "dur": ticks, "args": args}


def _lanes(line: Timeline) -> tuple[IntArray, int]:
    """Rows of each link, so that no two hops of a row overlap in any iteration: (row of each hop, rows at most).

    Links that move several frames per tick may have several parcels under way, and a viewer shows only slices that
    are inside each other or apart.
    """
    s = line.schedule
    lane = np.zeros(len(s.hop_link), np.int64)
    period, start, ticks = s.period, line.hop_start, line.hop_sent - line.hop_start
    for link in [number for number, one in enumerate(s.machine.links) if one.frames_per_tick > 1]:
        rows: list[list[int]] = []
        for h in np.flatnonzero(s.hop_link == link).tolist():
            for number, row in enumerate(rows):
                before, after = (start[h] - start[row]) % period, (start[row] - start[h]) % period
                if not ((before < ticks[row]) | (after < ticks[h])).any():
                    lane[h] = number
                    row.append(h)
                    break
            else:
                lane[h] = len(rows)
                rows.append([h])
    return lane, int(lane.max(initial=0)) + 1


def _arrows(line: Timeline, follow: str, n: int, lane: IntArray, lanes: int) -> Iterator[Event]:
    """One flow: from the firing over the hops to the first reader on every node."""
    life = life_of(line, follow, n)
    flow = {"cat": "token", "name": life.token, "id": n + 1}
    yield {**flow, "ph": "s", "pid": NODES, "tid": life.node, "ts": life.fired[0]}
    for hop in life.hops:
        track = hop.link * lanes + int(lane[hop.number])
        yield {**flow, "ph": "t", "pid": LINKS, "tid": track, "ts": hop.start}
    for v in sorted({use.node for use in life.uses}):
        first = min((use for use in life.uses if use.node == v), key=lambda use: use.start)
        yield {**flow, "ph": "f", "bp": "e", "pid": NODES, "tid": v, "ts": first.start}
