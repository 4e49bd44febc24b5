"""From ``machine.toml``, or settings after a built-in name or a file, to a :class:`Machine`.

The format is specified in ``docs/machines.md``; the classes below are its schema. Everything is strict: no unknown
keys, no text or booleans for numbers, no NaN, and bounds from :mod:`graphsim.machine.settings`. Every fault is reported
with its key and, in files, its line.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import FailFast, Field, ValidationError

from graphsim.errors import MachineError
from graphsim.files import printable
from graphsim.machine.model import NODE_NAME, Link, Machine, NodeSpec, OpTicks, hint, show
from graphsim.machine.positions import KeyPath
from graphsim.machine.settings import SETTINGS
from graphsim.machine.tables import Fault, Form, Table, dotted, places
from graphsim.machine.topologies import SCALED_KEYS, Shape, is_made, scaled_links, topology_shape

if TYPE_CHECKING:
    from graphsim.graph import Graph


def _bounded(setting: str) -> Any:
    return Field(ge=SETTINGS[setting].low, le=SETTINGS[setting].high)


class _OpTicksTable(Table):
    add: Annotated[int | None, _bounded("node.op_ticks.add")] = None
    mul: Annotated[int | None, _bounded("node.op_ticks.mul")] = None
    compare: Annotated[int | None, _bounded("node.op_ticks.compare")] = None
    divide: Annotated[int | None, _bounded("node.op_ticks.divide")] = None
    special: Annotated[int | None, _bounded("node.op_ticks.special")] = None
    gate: Annotated[int | None, _bounded("node.op_ticks.gate")] = None


class _NodeTable(Table):
    frequency: Annotated[int | None, _bounded("node.frequency")] = None
    macs_per_tick: Annotated[int | None, _bounded("node.macs_per_tick")] = None
    op_ticks: _OpTicksTable | None = None
    ticks_per_firing: Annotated[int | None, _bounded("node.ticks_per_firing")] = None
    memory_bytes: Annotated[int | None, _bounded("node.memory_bytes")] = None


class _SwitchTable(Table):
    frequency: Annotated[int | None, _bounded("switch.frequency")] = None
    crossbar_latency: Annotated[int | None, _bounded("switch.crossbar_latency")] = None


class _LinkTable(Table):
    frequency: Annotated[int | None, _bounded("link.frequency")] = None
    frame_bits: Annotated[int | None, _bounded("link.frame_bits")] = None
    latency: Annotated[int | None, _bounded("link.latency")] = None
    frames_per_tick: Annotated[int | None, _bounded("link.frames_per_tick")] = None
    calendar_entries: Annotated[int | None, _bounded("link.calendar_entries")] = None
    memory_frames: Annotated[int | None, _bounded("link.memory_frames")] = None
    calendar_rows: Annotated[int | None, _bounded("link.calendar_rows")] = None


class _AnyNodeTable(_NodeTable):
    """Of a node that may be a switch."""

    crossbar_latency: Annotated[int | None, _bounded("switch.crossbar_latency")] = None


class _NodeEntry(_AnyNodeTable):
    name: str
    kind: Literal["compute", "switch"] = "compute"


class _NodeOverride(_AnyNodeTable):
    nodes: Annotated[list[str], Field(min_length=1), FailFast()]


class _LinkEntry(_LinkTable):
    src: Annotated[str, Field(alias="from")]
    dst: Annotated[str, Field(alias="to")]
    both_ways: bool = False


class _MachineTable(Table):
    # Lists stop at their first faulty entry: a file of a hundred thousand faults must not cost a report on each.
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    clock_mhz: Annotated[float | None, _bounded("clock_mhz")] = None
    host: str | None = None
    sink_host: str | None = None
    topology: str | None = None
    nodes: Annotated[list[_NodeEntry], FailFast()] = Field(default_factory=list)
    links: Annotated[list[_LinkEntry], FailFast()] = Field(default_factory=list)
    node: _NodeTable = _NodeTable()
    switch: _SwitchTable = _SwitchTable()
    link: _LinkTable = _LinkTable()
    node_override: Annotated[list[_NodeOverride], FailFast()] = Field(default_factory=list)
    link_override: Annotated[list[_LinkEntry], FailFast()] = Field(default_factory=list)


def read_machine(path: Path, graph: Graph | None = None, settings: Sequence[str] = ()) -> Machine:
    """The machine that a TOML file describes.

    Args:
        path: the file.
        graph: for which the machine is made, if its topology is one-to-one.
        settings: ``key=value`` texts, as for :func:`machine_with_settings`. They hold on all nodes or links, whatever
            the file says of one.

    Raises:
        MachineError: the file cannot be read, is larger than 1 MiB, is not TOML, or breaks the format. The message has
            one line per fault: ``file:line: key: what is wrong``. Or a setting is wrong.
    """
    text = _FORM.read(path)
    return machine_from_toml(text, printable(path), path.stem, graph, settings=settings)


def machine_from_toml(
    text: str,
    source: str = "machine.toml",
    default_name: str = "machine",
    graph: Graph | None = None,
    links: Sequence[tuple[int, int]] = (),
    settings: Sequence[str] = (),
) -> Machine:
    """The machine that TOML text describes; ``source`` is what messages call it, ``links`` go from node to node and are
    those that the text does not list, ``settings`` are as for :func:`read_machine`.

    Raises:
        MachineError: as for :func:`read_machine`.
    """
    text = text.replace("\r\n", "\n")
    data = _FORM.parse(text, source)
    changed = _changed(",".join([source, *settings]), settings)
    try:
        machine = _machine(data, default_name, graph, links, changed.table)
    except (ValidationError, Fault) as error:
        raise MachineError(_FORM.report(error, changed.place(places(text, source)))) from None
    whole = ",".join([machine.name, *settings])
    return replace(machine, name=whole) if settings and len(whole) <= 200 else machine


def machine_with_settings(topology: str, settings: Sequence[str], spec: str, graph: Graph | None = None) -> Machine:
    """A built-in machine with settings changed, as in ``torus:4x4,macs_per_tick=4``.

    Args:
        topology: the built-in name.
        settings: ``key=value`` texts; keys as in ``machine.toml``, without ``node.`` or ``link.``.
        spec: the whole text, for messages; it becomes the machine's name, unless it is longer than 200 characters.
        graph: for which the machine is made, if its topology is one-to-one.

    Raises:
        MachineError: an unknown key, a key given twice, or a value that does not fit.
    """
    changed = _changed(spec, settings)
    data = {"topology": topology, "name": spec if len(spec) <= 200 else topology}
    try:
        return _machine(data, spec, graph, changed=changed.table)
    except (ValidationError, Fault) as error:
        raise MachineError(_FORM.report(error, changed.place(lambda path: f"{spec}: {dotted(path)}"))) from None


@dataclass(frozen=True)
class _Changed:
    """Settings that follow a name: ``spec``, the whole text; their ``paths``; the ``table`` that a file would have."""

    spec: str
    paths: frozenset[KeyPath]
    table: _MachineTable

    def place(self, others: Callable[[KeyPath], str]) -> Callable[[KeyPath], str]:
        """What says where a key is: among the settings, or where ``others`` says."""
        return lambda path: f"{self.spec}: {dotted(path)}" if path in self.paths else others(path)


def _changed(spec: str, settings: Sequence[str]) -> _Changed:
    """What ``key=value`` texts say.

    Raises:
        MachineError: an unknown key, a key given twice, or a value that does not fit.
    """
    data: dict[str, Any] = {}
    seen: set[KeyPath] = set()
    for item in settings:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not key or not value:
            raise MachineError(f"{spec}: {item[:64]!r} is not a setting; write key=value, as in latency=2")
        path = _INLINE_KEYS.get(key)
        if path is None:
            near = hint(key, _INLINE_KEYS)
            raise MachineError(f"{spec}: no setting {key[:64]!r}{near}; there are {' '.join(_SHOWN_INLINE_KEYS)}")
        if path in seen:
            raise MachineError(f"{spec}: {key} is set twice; keep one")
        seen.add(path)
        table = data
        for part in path[:-1]:
            table = table.setdefault(str(part), {})
        table[str(path[-1])] = _inline_value(value)
    try:
        return _Changed(spec, frozenset(seen), _MachineTable.model_validate(data))
    except ValidationError as error:
        raise MachineError(_FORM.report(error, lambda path: f"{spec}: {dotted(path)}")) from None


def _inline_keys() -> tuple[dict[str, KeyPath], list[str]]:
    """The path of every key, short or not, and the keys to show. Keys that would mean two things have no short form."""
    keys: dict[str, KeyPath] = {"host": ("host",), "sink_host": ("sink_host",)}
    shown = ["host", "sink_host"]
    last = Counter(setting.partition(".")[2] for setting in SETTINGS if not setting.startswith("switch."))
    for setting in SETTINGS:
        section, _, short = setting.partition(".")
        if section == "switch" or last[short] > 1 or not short:
            short = setting
        keys[setting] = keys[short] = tuple(setting.split("."))
        shown.append(short)
    return keys, shown


_INLINE_KEYS, _SHOWN_INLINE_KEYS = _inline_keys()


def _inline_value(text: str) -> int | float | str:
    if re.fullmatch(r"[+-]?[0-9]+(_[0-9]+)*", text, re.ASCII):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _machine(
    data: Mapping[str, Any],
    default_name: str,
    graph: Graph | None,
    apart: Sequence[tuple[int, int]] = (),
    changed: _MachineTable | None = None,
) -> Machine:
    """Build the machine; raises ValidationError or Fault, which the callers turn into messages.

    ``changed``: settings that hold on all nodes and links, whatever ``data`` says.
    """
    table = _MachineTable.model_validate(data)
    changed = changed or _MachineTable()
    name = table.name if table.name is not None else table.topology or default_name
    if not name.isprintable() or not 1 <= len(name) <= 200:
        raise Fault(("name",), "a machine's name is 1 to 200 printable characters")
    sinks: int | None = None
    if table.topology is not None:
        if apart:
            raise Fault(("topology",), "has links of its own, and there are others beside the text")
        nodes, links, sinks = _from_topology(table, graph, changed)
    else:
        nodes, links = _from_lists(table, apart, changed)
    ids = {node.name: i for i, node in enumerate(nodes)}
    host = next((i for i, node in enumerate(nodes) if node.kind == "compute"), None)
    if host is None:
        raise Fault(("nodes",), "every node is a switch; at least one must compute")
    if (named := changed.host or table.host) is not None:
        host = _host(nodes, ids, "host", named)
    if (named := changed.sink_host or table.sink_host) is not None:
        sinks = _host(nodes, ids, "sink_host", named)
    clock = changed.clock_mhz or table.clock_mhz or SETTINGS["clock_mhz"].default
    assert clock is not None
    try:
        return Machine(name, float(clock), tuple(nodes), tuple(links), host, table.topology or "", sinks)
    except MachineError as error:
        # What is left to find once every entry is sound concerns all links together: a path that is missing.
        place = next(key for key in ("topology", "links", "nodes") if key in table.model_fields_set)
        raise Fault((place,), str(error).removeprefix(f"{name}: ")) from None


def _host(nodes: Sequence[NodeSpec], ids: Mapping[str, int], key: str, name: str) -> int:
    found = _node_id(ids, name, (key,))
    if nodes[found].kind != "compute":
        raise Fault((key,), f"{name} is a switch; source and sink need a compute node")
    return found


@dataclass(frozen=True)
class _Defaults:
    compute: NodeSpec
    switch: NodeSpec
    link: Link


def _defaults(table: _MachineTable) -> _Defaults:
    switch = NodeSpec("switch", "switch")
    node, link = NodeSpec("node"), Link(0, 1)
    if is_made(table.topology or ""):
        from graphsim.machine.one_to_one import LINK_DEFAULTS, NODE_DEFAULTS

        node, link = replace(node, **NODE_DEFAULTS), replace(link, **LINK_DEFAULTS)
    return _Defaults(
        _with_node_settings(node, table.node),
        replace(switch, **table.switch.given()),
        replace(link, **table.link.given()),
    )


def _shape(name: str, graph: Graph | None) -> Shape:
    """The shape of a topology, made for the graph if it is one of those.

    Raises:
        MachineError: there is no such topology, no graph for it, or it would be too large.
    """
    if not is_made(name):
        return topology_shape(name)
    if graph is None:
        raise MachineError(
            f"{name[:64]} is made for a graph, and there is none here; graphsim run and graphsim fold have one, and "
            "graphsim machines with --graph"
        )
    from graphsim.machine.one_to_one import one_to_one_shape

    return one_to_one_shape(name, graph)


def _from_topology(
    table: _MachineTable, graph: Graph | None, changed: _MachineTable
) -> tuple[list[NodeSpec], list[Link], int | None]:
    for key in ("nodes", "links"):
        if key in table.model_fields_set:
            raise Fault((key,), f"cannot stand beside topology; use {key[:-1]}_override to change some {key}")
    assert table.topology is not None
    try:
        shape = _shape(table.topology, graph)
    except MachineError as error:
        raise Fault(("topology",), str(error)) from None
    base = _defaults(table)
    even = replace(base.link, **changed.link.given())
    nodes = [
        replace(base.compute if i < shape.first_switch else base.switch, name=name)
        for i, name in enumerate(shape.names)
    ]
    widest = max((capacity for _, _, capacity in shape.links), default=1)
    for key in SCALED_KEYS:
        most = int(SETTINGS[f"link.{key}"].high)
        if widest * max(getattr(base.link, key), getattr(even, key)) > most:
            raise Fault(
                ("link", key), f"links at the root of {table.topology} have {widest:,} times this; {most:,} is the most"
            )
    links = scaled_links(base.link, shape)
    _apply_node_overrides(table, nodes)
    _apply_link_overrides(table, nodes, links)
    return *_with_changed(nodes, links, changed, scaled_links(even, shape)), shape.sinks


def _from_lists(
    table: _MachineTable, apart: Sequence[tuple[int, int]], changed: _MachineTable
) -> tuple[list[NodeSpec], list[Link]]:
    if "nodes" not in table.model_fields_set:
        raise Fault((), 'neither topology nor nodes; write topology = "torus:4x4", or list [[nodes]] and [[links]]')
    base = _defaults(table)
    nodes: list[NodeSpec] = []
    ids: dict[str, int] = {}
    for i, entry in enumerate(table.nodes):
        path = ("nodes", i)
        if not NODE_NAME.fullmatch(entry.name):
            raise Fault(
                (*path, "name"),
                f"must be a letter or _, then letters, digits, _ . - (64 at most), not {show(entry.name)}",
            )
        if entry.name in ids:
            raise Fault((*path, "name"), f"two nodes are called {entry.name}; give each its own name")
        ids[entry.name] = i
        template = base.compute if entry.kind == "compute" else base.switch
        nodes.append(_with_node_settings(replace(template, name=entry.name), entry, path))
    links: list[Link] = []
    seen: dict[tuple[int, int], int] = {}
    for i, link in enumerate(table.links):
        for src, dst in _directions(link, ids, ("links", i)):
            if (src, dst) in seen:
                first = seen[src, dst]
                raise Fault(
                    ("links", i),
                    f"a second link from {nodes[src].name} to {nodes[dst].name}, after links[{first}]; "
                    f"give that one more frames_per_tick instead",
                )
            seen[src, dst] = i
            links.append(replace(base.link, src=src, dst=dst, **_link_settings(link)))
    links += [replace(base.link, src=src, dst=dst) for src, dst in apart]
    _apply_node_overrides(table, nodes)
    _apply_link_overrides(table, nodes, links)
    return _with_changed(nodes, links, changed, [replace(base.link, **changed.link.given())] * len(links))


def _with_changed(
    nodes: Sequence[NodeSpec], links: Sequence[Link], changed: _MachineTable, even: Sequence[Link]
) -> tuple[list[NodeSpec], list[Link]]:
    """Nodes and links with the settings that hold on all of them; those of links are what ``even`` has."""
    keys = changed.link.given()
    return (
        [
            _with_node_settings(node, changed.node)
            if node.kind == "compute"
            else replace(node, **changed.switch.given())
            for node in nodes
        ],
        [replace(link, **{key: getattr(one, key) for key in keys}) for link, one in zip(links, even, strict=True)],
    )


def _apply_node_overrides(table: _MachineTable, nodes: list[NodeSpec]) -> None:
    ids = {node.name: i for i, node in enumerate(nodes)}
    for i, override in enumerate(table.node_override):
        for j, name in enumerate(override.nodes):
            node = _node_id(ids, name, ("node_override", i, "nodes", j))
            nodes[node] = _with_node_settings(nodes[node], override, ("node_override", i))


def _apply_link_overrides(table: _MachineTable, nodes: list[NodeSpec], links: list[Link]) -> None:
    if not table.link_override:
        return
    ids = {node.name: i for i, node in enumerate(nodes)}
    by_ends = {(link.src, link.dst): i for i, link in enumerate(links)}
    for i, override in enumerate(table.link_override):
        for ends in _directions(override, ids, ("link_override", i)):
            if ends not in by_ends:
                src, dst = (nodes[end].name for end in ends)
                raise Fault(("link_override", i), f"there is no link from {src} to {dst}")
            which = by_ends[ends]
            links[which] = replace(links[which], **_link_settings(override))


def _directions(entry: _LinkEntry, ids: Mapping[str, int], path: KeyPath) -> list[tuple[int, int]]:
    src = _node_id(ids, entry.src, (*path, "from"))
    dst = _node_id(ids, entry.dst, (*path, "to"))
    if src == dst:
        raise Fault((*path, "to"), f"a link joins two different nodes, and both ends are {entry.src}")
    return [(src, dst), (dst, src)] if entry.both_ways else [(src, dst)]


def _node_id(ids: Mapping[str, int], name: str, path: KeyPath) -> int:
    if name not in ids:
        some = ", ".join(itertools.islice(ids, 3)) + (", ..." if len(ids) > 3 else "")
        raise Fault(path, f"no node is called {show(name)}{hint(name, ids)}; there are {some}")
    return ids[name]


def _with_node_settings(node: NodeSpec, table: _NodeTable, path: KeyPath = ("node",)) -> NodeSpec:
    settings = {key: value for key, value in table.given().items() if key not in ("name", "kind", "nodes")}
    if node.kind == "switch":
        for key in (*settings, *(["op_ticks"] if table.op_ticks else [])):
            if key not in _SwitchTable.model_fields:
                only = " and ".join(_SwitchTable.model_fields)
                raise Fault((*path, key), f"{node.name} is a switch, without work or memory; only {only} fit it")
    elif "crossbar_latency" in settings:
        raise Fault((*path, "crossbar_latency"), f"{node.name} computes; only a switch has a crossbar")
    if table.op_ticks is not None:
        assert isinstance(node.op_ticks, OpTicks)
        settings["op_ticks"] = replace(node.op_ticks, **table.op_ticks.given())
    return replace(node, **settings) if settings else node


def _link_settings(table: _LinkEntry) -> dict[str, Any]:
    return {key: value for key, value in table.given().items() if key not in ("src", "dst", "both_ways")}


_FORM = Form(
    "machine",
    MachineError,
    "name a topology instead of listing its nodes and links",
    {
        (): _MachineTable,
        ("node",): _NodeTable,
        ("node", "op_ticks"): _OpTicksTable,
        ("switch",): _SwitchTable,
        ("link",): _LinkTable,
        ("nodes",): _NodeEntry,
        ("nodes", "op_ticks"): _OpTicksTable,
        ("links",): _LinkEntry,
        ("node_override",): _NodeOverride,
        ("node_override", "op_ticks"): _OpTicksTable,
        ("link_override",): _LinkEntry,
    },
)
