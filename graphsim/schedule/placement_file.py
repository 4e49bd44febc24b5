"""Placement files: which actors fire on which node, to keep, to edit and to give back with ``--placement``.

CSV has a header line ``actors,node`` and one assignment per line; JSON has the same assignments in an object::

    actors,node                 {
    dense[0:8],n0_0               "graphsim_placement": 1,
    dense[8],n0_1                 "nodes": {"dense[0:8]": "n0_0", "dense[8]": "n0_1", "dense_1": "n0_2"}
    dense_1,n0_2                }

``dense_1`` is a whole group; ``dense[8]`` or ``conv2d[3,4,0]`` is one actor by its index in the group's shape;
``dense[0:8]`` are actors 0 to 7 of the group, counted in C order. Every actor stands in at most one assignment.
Sources, input actors and sinks that are left out sit on the host; sources and sinks can sit nowhere else. All other
actors must be there.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError, MachineError, PlacementError
from graphsim.files import write_text
from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.machine import Machine
from graphsim.schedule.schedule import Schedule, placement_of

Placement = npt.NDArray[np.int32]

#: Size above which a placement file is refused unread.
MAX_FILE_BYTES = 64 * 2**20
_RANGE = re.compile(r"(.+)\[([0-9]{1,12}):([0-9]{1,12})\]", re.DOTALL)
_VERSION = "graphsim_placement"


def write_placement(graph: Graph, schedule: Schedule, path: Path | str) -> None:
    """Write where a schedule fires every actor, as JSON or CSV by the suffix of ``path``, atomically.

    Raises:
        PlacementError: the suffix is neither .json nor .csv.
        UsageError: the folder cannot be written.
    """
    path = Path(path)
    rows: list[tuple[str, str]] = []
    placement = placement_of(graph, schedule)
    for number, group in enumerate(graph.groups):
        node = placement[graph.first[number] : graph.first[number + 1]]
        cuts = [0, *(np.flatnonzero(np.diff(node)) + 1).tolist(), len(node)]
        for a, b in itertools.pairwise(cuts):
            actors = group.name if b - a == group.size else f"{group.name}[{a}:{b}]"
            rows.append((actors, schedule.machine.nodes[int(node[a])].name))
    if _kind(path) == "json":
        write_text(path, json.dumps({_VERSION: 1, "nodes": dict(rows)}, indent=1) + "\n")
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("actors", "node"))
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_placement(path: Path | str, graph: Graph, machine: Machine) -> Placement:
    """The node of every actor, int32 (actors,), as a placement file says.

    Raises:
        PlacementError: the file cannot be read, is not what it should be, names actors or nodes that are not there or
            an actor twice, or leaves one out. The message names file and line or key.
    """
    path = Path(path)
    node = np.full(graph.actor_count, -1, np.int32)
    for place, actors, name in _assignments(path):
        try:
            v = machine.node_id(name)
            first, last = _actors(graph, actors)
        except (GraphError, MachineError) as error:
            raise PlacementError(f"{place}: {error}") from error
        taken = np.flatnonzero(node[first:last] >= 0)
        if len(taken):
            raise PlacementError(f"{place}: {graph.actor(first + int(taken[0])).name} has a node already")
        node[first:last] = v
    for number, group in enumerate(graph.groups):
        if group.op in ("source", "input", *SINKS):
            at = node[graph.first[number] : graph.first[number + 1]]
            at[at < 0] = machine.sink_host if group.op in SINKS else machine.host
    missing = np.flatnonzero(node < 0)
    if len(missing):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise PlacementError(f"{path}: {graph.actor(int(missing[0])).name}{more} has no node; assign every actor")
    return node


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in (".json", ".csv"):
        raise PlacementError(f"{path}: a placement file is .json or .csv")
    return kind[1:]


def _actors(graph: Graph, text: str) -> tuple[int, int]:
    """Ids of the actors that an assignment names, first and end."""
    match = _RANGE.fullmatch(text.strip())
    if text.strip() in graph.number:
        number = graph.number[text.strip()]
        return int(graph.first[number]), int(graph.first[number + 1])
    if match is None:
        actor = graph.actor(text)
        return actor.id, actor.id + 1
    name, a, b = match[1], int(match[2]), int(match[3])
    if name not in graph.number:
        raise GraphError(f"{graph.name} has no group {name[:64]!r}; it has: {', '.join(graph.number)}")
    number = graph.number[name]
    if not a < b <= graph.groups[number].size:
        raise GraphError(f"{name}[{a}:{b}]: {name} has actors 0 to {graph.groups[number].size - 1}")
    return int(graph.first[number]) + a, int(graph.first[number]) + b


def _assignments(path: Path) -> Iterator[tuple[str, str, str]]:
    """(where in the file, actors, node) of every assignment."""
    kind, text = _kind(path), _text(path)
    if kind == "json":
        yield from _from_json(path, text)
        return
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, None)
        if header is None or [field.strip() for field in header] != ["actors", "node"]:
            raise PlacementError(f"{path}:1: the first line must be: actors,node")
        for row in rows:
            if not row:
                continue
            if len(row) != 2:
                raise PlacementError(f"{path}:{rows.line_num}: {len(row)} fields; write actors,node")
            yield f"{path}:{rows.line_num}", row[0], row[1].strip()
    except csv.Error as error:
        raise PlacementError(f"{path}:{rows.line_num}: not CSV ({error})") from error


def _from_json(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            keys = [key for key, _ in items]
            twice = next(key for i, key in enumerate(keys) if key in keys[:i])
            raise PlacementError(f"{path}: key {twice[:64]!r} stands there twice")
        return found

    try:
        data = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise PlacementError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError):
        raise PlacementError(f"{path}: not JSON that can be read; a value is too long or nested too deep") from None
    if not isinstance(data, dict) or set(data) != {_VERSION, "nodes"} or data[_VERSION] != 1:
        raise PlacementError(f'{path}: must be an object with the keys "{_VERSION}": 1 and "nodes"')
    if not isinstance(data["nodes"], dict):
        raise PlacementError(f'{path}: "nodes" must be an object from actors to node names')
    for actors, name in data["nodes"].items():
        if not isinstance(name, str):
            raise PlacementError(f"{path}: nodes[{actors[:64]!r}]: must be a node's name")
        yield f"{path}: {actors[:64]}", actors, name


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise PlacementError(f"{path}: is not a file")
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PlacementError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(content) > MAX_FILE_BYTES:
        raise PlacementError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB, the most a placement file may be")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlacementError(f"{path}: not UTF-8 text at byte {error.start}") from None
