"""Can the schedule be read at all: is it for this graph, do its arrays agree, are its places and times possible?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify.facts import input_actors
from graphsim.schedule.verify.verdict import Findings

#: No tick of a schedule may be later: an hour and a half at 200 MHz. Keeps all sums far from the end of int64.
LAST_TICK = 2**40


#: No slot may lie higher: no node has more memory.
LAST_BYTE = 2**50


def check_graph(graph: Graph, schedule: Schedule, found: Findings) -> None:
    found.checked("graph digest", 1)
    if schedule.graph_digest != graph.digest:
        found.add(
            "digest",
            f"the schedule is for graph {schedule.graph_digest[:12]}, not for {graph.name} {graph.digest[:12]}; "
            f"fold this graph again",
        )
    found.checked("rates that unrolling makes one token per firing", len(graph.channels))
    try:
        graph = unroll(graph).graph
    except GraphError as error:
        found.add("rates", str(error))
        return
    found.checked(
        "initial tokens that are the same for all consumers", sum(c.initial_tokens > 0 for c in graph.channels)
    )
    known: dict[int, bytes] = {}
    for c in graph.channels:
        if not c.initial_tokens:
            continue
        group, value = graph.groups[c.src], np.zeros(graph.groups[c.src].size, np.float32)
        if c.initial is not None:
            given = graph.params[c.initial.name].astype(np.float32).reshape(-1)
            value += given[np.arange(group.size) // c.initial.inner % given.size]
        if known.setdefault(c.src, value.tobytes()) != value.tobytes():
            found.add("initial", f"{group.name} has initial tokens of different values on two of its bundles")


def check_encoding(graph: Graph, schedule: Schedule, found: Findings) -> None:
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
    tokens = graph.actor_count + len(input_actors(graph))
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


def check_placement(graph: Graph, schedule: Schedule, found: Findings) -> None:
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
    sources, sinks = (
        [a for g in groups for a in range(int(graph.first[g]), int(graph.first[g + 1]))]
        for groups in (graph.sources, graph.sinks)
    )
    found.checked("sources and sinks on the host", len(sources) + len(sinks))
    for ends, host in ((sources, machine.host), (sinks, machine.sink_host)):
        found.add_all(
            "placement",
            [a for a in ends if inside[a] and node[a] != host],
            lambda a, host=host: (  # type: ignore[misc]
                f"{graph.actor(a).name} is on {machine.nodes[int(node[a])].name}; sources and sinks are on host "
                f"{machine.nodes[host].name}"
            ),
        )


def check_times(graph: Graph, schedule: Schedule, found: Findings) -> None:
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
