"""The machine as plain data: nodes, directed links, a host, a clock. Checked on construction, immutable after.

Encoding
--------
A node's id is its index in :attr:`Machine.nodes`, a link's id its index in :attr:`Machine.links`; schedules, calendars
and reports use these ids. Links are directed: a cable between two nodes is two links. Between an ordered pair of nodes
there is at most one link (more bandwidth is ``frames_per_tick``), and none from a node to itself.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import reprlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Literal

from graphsim.errors import MachineError
from graphsim.machine.settings import MAX_CYCLE, MAX_LINKS, MAX_NODES, SETTINGS

WORK_UNITS = ("mac", "add", "mul", "compare", "divide", "special", "gate")
"""Units in which the graph counts the work of one firing. ``special`` is exp, log, tanh, sqrt, erf and their kind,
``gate`` one logic gate."""

NODE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}", re.ASCII)
"""What a node may be called: a letter or ``_``, then letters, digits, ``_``, ``.``, ``-``; at most 64 characters."""

NodeKind = Literal["compute", "switch"]


def hint(word: object, choices: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` when one of ``choices`` is close to ``word``, else nothing."""
    import difflib

    some = list(itertools.islice(choices, 5_000))
    near = difflib.get_close_matches(str(word)[:64], some, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def show(value: object, limit: int = 64) -> str:
    """A value as an error message prints it: short, on one line, even when it came from a hostile file."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length():,} bits"
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[:limit] + "...")
    text = reprlib.repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def _check_whole(where: str, key: str, value: object, setting: str) -> None:
    rule = SETTINGS[setting]
    if type(value) is not int:
        raise MachineError(f"{where}: {key} must be a whole number, not {show(value)}")
    if not rule.low <= value <= rule.high:
        raise MachineError(f"{where}: {key} must be from {rule.low} to {rule.high} {rule.unit}, not {show(value)}")


@dataclass(frozen=True, slots=True)
class OpTicks(Mapping[str, int]):
    """Cycles that one unit of work other than a multiply-accumulate takes on a node. Reads as a mapping, hashable."""

    add: int = SETTINGS["node.op_ticks.add"].whole
    mul: int = SETTINGS["node.op_ticks.mul"].whole
    compare: int = SETTINGS["node.op_ticks.compare"].whole
    divide: int = SETTINGS["node.op_ticks.divide"].whole
    special: int = SETTINGS["node.op_ticks.special"].whole
    gate: int = SETTINGS["node.op_ticks.gate"].whole

    def __post_init__(self) -> None:
        for unit in self:
            _check_whole("op_ticks", unit, getattr(self, unit), f"node.op_ticks.{unit}")

    def __getitem__(self, unit: str) -> int:
        if unit not in _OP_UNITS:
            raise KeyError(unit)
        return int(getattr(self, unit))

    def __iter__(self) -> Iterator[str]:
        return iter(_OP_UNITS)

    def __len__(self) -> int:
        return len(_OP_UNITS)


_OP_UNITS = tuple(item.name for item in fields(OpTicks))
_NO_WORK = (SETTINGS["node.macs_per_tick"].whole, OpTicks(), None)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node of the machine.

    A ``compute`` node fires actors, one at a time, and keeps their parameters and tokens in ``memory_bytes`` bytes; it
    passes frames on from there. A ``switch`` is a crossbar with a register at every input and every output: a frame
    that is there leaves ``1 + crossbar_latency`` cycles later, over one output link or several. Nothing is kept, no
    actor may be placed there, its ``memory_bytes`` are 0, and the fields about work keep their defaults.

    Attributes:
        name: unique in the machine, see :data:`NODE_NAME`.
        kind: ``compute`` or ``switch``.
        macs_per_tick: multiply-accumulates done in one cycle.
        op_ticks: cycles per unit of other work; any mapping of units to cycles is accepted and completed with defaults.
        memory_bytes: capacity of the node's memory, in bytes; 0 of a switch.
        ticks_per_firing: when set, every firing that does any work takes this many cycles, whatever the work is.
        frequency: cycles in the time in which a component of frequency 1 has one; see :class:`Machine`.
        crossbar_latency: cycles that a frame spends in a switch between its registers; 0 of compute nodes.
    """

    name: str
    kind: NodeKind = "compute"
    macs_per_tick: int = SETTINGS["node.macs_per_tick"].whole
    op_ticks: Mapping[str, int] = OpTicks()
    memory_bytes: int = SETTINGS["node.memory_bytes"].whole
    ticks_per_firing: int | None = None
    frequency: int = SETTINGS["node.frequency"].whole
    crossbar_latency: int = SETTINGS["switch.crossbar_latency"].whole

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NODE_NAME.fullmatch(self.name):
            raise MachineError(
                f"node {show(self.name)}: a node name is a letter or _, then letters, digits, _ . - (64 at most)"
            )
        where = f"node {self.name}"
        if self.kind not in ("compute", "switch"):
            raise MachineError(f"{where}: kind must be 'compute' or 'switch', not {show(self.kind)}")
        if not isinstance(self.op_ticks, OpTicks):
            object.__setattr__(self, "op_ticks", _op_ticks(where, self.op_ticks))
        if self.kind == "switch":
            if (self.macs_per_tick, self.op_ticks, self.ticks_per_firing) != _NO_WORK:
                raise MachineError(
                    f"{where}: a switch does no work; leave macs_per_tick, op_ticks, ticks_per_firing out"
                )
            if self.memory_bytes not in (0, SETTINGS["node.memory_bytes"].whole):
                raise MachineError(f"{where}: a switch stores nothing; leave memory_bytes out")
            object.__setattr__(self, "memory_bytes", 0)
        elif self.crossbar_latency:
            raise MachineError(f"{where}: only a switch has a crossbar; leave crossbar_latency out")
        _check_whole(where, "crossbar_latency", self.crossbar_latency, "switch.crossbar_latency")
        _check_whole(where, "macs_per_tick", self.macs_per_tick, "node.macs_per_tick")
        _check_whole(where, "memory_bytes", self.memory_bytes, "node.memory_bytes")
        _check_whole(where, "frequency", self.frequency, "node.frequency")
        if self.ticks_per_firing is not None:
            _check_whole(where, "ticks_per_firing", self.ticks_per_firing, "node.ticks_per_firing")

    def cycles(self, work: Mapping[str, int]) -> int:
        """Cycles of this node that one firing doing ``work`` occupies it; :meth:`Machine.ticks` has them in ticks.

        ``ceil(mac / macs_per_tick)`` plus, for every other unit, its count times its ticks in ``op_ticks``;
        ``ticks_per_firing`` overrides this sum. No work costs 0 cycles: that is how sources and input actors run, whose
        samples the host's DMA writes into node memory without the node's help.

        Args:
            work: counts by unit, a subset of :data:`WORK_UNITS`.

        Raises:
            MachineError: the node is a switch and there is work; a unit is unknown; a count is negative.
        """
        for unit, count in work.items():
            if unit not in WORK_UNITS:
                raise MachineError(f"node {self.name}: no such unit of work: {show(unit)}{hint(unit, WORK_UNITS)}")
            if count < 0:
                raise MachineError(f"node {self.name}: {count} units of {unit} is not an amount of work")
        if not any(work.values()):
            return 0
        if self.kind == "switch":
            raise MachineError(f"node {self.name} is a switch and fires no actors; place them on compute nodes")
        if self.ticks_per_firing is not None:
            return self.ticks_per_firing
        macs = -(-work.get("mac", 0) // self.macs_per_tick)
        return macs + sum(count * self.op_ticks[unit] for unit, count in work.items() if unit != "mac")


@dataclass(frozen=True, slots=True)
class Link:
    """One directed link.

    Timing: a frame sent in cycle ``d`` of the link occupies one of its ``frames_per_tick`` places during that cycle
    only, and can be used at the other end (by a firing, or to be sent on) from the start of cycle ``d + 1 + latency``.
    So a latency of 0 still takes one cycle, and what is there at the start of cycle ``d`` can be sent in cycle ``d``.

    Attributes:
        src, dst: node ids of sender and receiver.
        frame_bits: payload of one frame, in bits.
        latency: cycles in flight beyond the cycle of sending.
        frames_per_tick: frames that can be sent in the same cycle.
        calendar_entries: frames the link's calendar can list, that is, frames per period.
        memory_frames: frames that the memory at either end holds: TX memory at ``src``, RX memory at ``dst``.
        calendar_rows: run-length entries of its gather calendar at ``src``, and of its scatter calendar at ``dst``.
        frequency: cycles in the time in which a component of frequency 1 has one; see :class:`Machine`.
    """

    src: int
    dst: int
    frame_bits: int = SETTINGS["link.frame_bits"].whole
    latency: int = SETTINGS["link.latency"].whole
    frames_per_tick: int = SETTINGS["link.frames_per_tick"].whole
    calendar_entries: int = SETTINGS["link.calendar_entries"].whole
    memory_frames: int = SETTINGS["link.memory_frames"].whole
    calendar_rows: int = SETTINGS["link.calendar_rows"].whole
    frequency: int = SETTINGS["link.frequency"].whole

    def __post_init__(self) -> None:
        for end in (self.src, self.dst):
            if type(end) is not int or not 0 <= end < MAX_NODES:
                raise MachineError(f"link {show(self.src)} -> {show(self.dst)}: {show(end)} is not a node id")
        if self.src == self.dst:
            raise MachineError(f"link {self.src} -> {self.dst}: a link joins two different nodes")
        for key in LINK_KEYS:
            value = getattr(self, key)
            if type(value) is not int or not _LINK_LOW[key] <= value <= _LINK_HIGH[key]:
                _check_whole(f"link {self.src} -> {self.dst}", key, value, f"link.{key}")


LINK_KEYS = (
    "frame_bits",
    "latency",
    "frames_per_tick",
    "calendar_entries",
    "memory_frames",
    "calendar_rows",
    "frequency",
)
"""The settings of a link, in the order of its fields."""

_PORTS = (SETTINGS["link.memory_frames"].whole, SETTINGS["link.calendar_rows"].whole)

_LINK_LOW = {key: SETTINGS[f"link.{key}"].low for key in LINK_KEYS}
_LINK_HIGH = {key: SETTINGS[f"link.{key}"].high for key in LINK_KEYS}


@dataclass(frozen=True)
class Machine:
    """The hardware that a graph is folded onto.

    Time. Every node and link has a frequency, a whole number. A tick is the time of one cycle of a component whose
    frequency is the least common multiple of all of them: a component of frequency f has a cycle every ``multiple / f``
    ticks, its *stride*, and acts only in ticks that are multiples of it; in tick 0 all of them act. Where all
    frequencies are equal, a cycle is a tick.

    Attributes:
        name: what reports call it; 1 to 200 printable characters.
        clock_mhz: ticks per microsecond; throughput in samples per second is ``clock_mhz * 1e6 / period``.
        nodes: the nodes; ids are indices.
        links: the directed links; ids are indices.
        host: id of the compute node where sources and their inputs sit.
        sinks: id of the compute node where sinks sit; None: on the host. :attr:`sink_host` is the node itself.
        topology: the built-in (``"torus:4x4"``) whose nodes and links these are, or ``""``. It only makes
            :meth:`to_toml` short; equality and :meth:`digest` do not look at it.

    Raises:
        MachineError: on construction, when anything breaks these rules: 1 to 65,536 nodes with unique names, at most
            1,048,576 links, at most one per ordered pair, compute nodes as hosts, every compute node able to be reached
            from the host and to reach the host of sinks, frequencies whose least common multiple is at most 2**31,
            and one frequency and one width of frames for a switch and its links.
    """

    name: str
    clock_mhz: float
    nodes: tuple[NodeSpec, ...]
    links: tuple[Link, ...]
    host: int = 0
    topology: str = field(default="", compare=False)
    sinks: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "links", tuple(self.links))
        if self.sinks == self.host:
            object.__setattr__(self, "sinks", None)
        if not isinstance(self.name, str) or not 1 <= len(self.name) <= 200 or not self.name.isprintable():
            raise MachineError(f"a machine's name is 1 to 200 printable characters, not {show(self.name)}")
        self._check_clock()
        self._check_nodes()
        self._check_links()
        self._check_frequencies()
        self._check_switches()
        self._check_connected()

    @property
    def sink_host(self) -> int:
        """Id of the node where sinks sit."""
        return self.host if self.sinks is None else self.sinks

    @cached_property
    def compute_nodes(self) -> tuple[int, ...]:
        """Ids of the compute nodes, ascending."""
        return tuple(i for i, node in enumerate(self.nodes) if node.kind == "compute")

    @cached_property
    def switches(self) -> tuple[int, ...]:
        """Ids of the switches, ascending."""
        return tuple(i for i, node in enumerate(self.nodes) if node.kind == "switch")

    @cached_property
    def _out(self) -> tuple[tuple[int, ...], ...]:
        return _grouped(len(self.nodes), [link.src for link in self.links])

    @cached_property
    def _in(self) -> tuple[tuple[int, ...], ...]:
        return _grouped(len(self.nodes), [link.dst for link in self.links])

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def _by_ends(self) -> dict[tuple[int, int], int]:
        return {(link.src, link.dst): i for i, link in enumerate(self.links)}

    @property
    def parts(self) -> tuple[NodeSpec | Link, ...]:
        """All nodes, then all links."""
        return (*self.nodes, *self.links)

    @cached_property
    def timed(self) -> bool:
        """Whether any frequency is other than 1."""
        return any(part.frequency != 1 for part in self.parts)

    @cached_property
    def cycle(self) -> int:
        """Ticks of a cycle of frequency 1: the least common multiple of all frequencies."""
        return math.lcm(*{part.frequency for part in self.parts})

    @cached_property
    def node_strides(self) -> tuple[int, ...]:
        """Ticks of a cycle of each node."""
        return tuple(self.cycle // node.frequency for node in self.nodes)

    @cached_property
    def link_strides(self) -> tuple[int, ...]:
        """Ticks of a cycle of each link."""
        return tuple(self.cycle // link.frequency for link in self.links)

    @cached_property
    def ways(self) -> tuple[int, ...]:
        """For each link, ticks from the start of the cycle in which a frame is sent until it is there."""
        return tuple((1 + link.latency) * stride for link, stride in zip(self.links, self.link_strides, strict=True))

    @cached_property
    def crossings(self) -> tuple[int, ...]:
        """For each node, ticks from when a frame is there until it leaves by itself; 0 of compute nodes."""
        return tuple(
            (1 + node.crossbar_latency) * stride if node.kind == "switch" else 0
            for node, stride in zip(self.nodes, self.node_strides, strict=True)
        )

    def node_stride(self, node: int) -> int:
        """Ticks of a cycle of a node: it acts in ticks that are multiples of it."""
        return self.node_strides[node]

    def link_stride(self, link: int) -> int:
        """Ticks of a cycle of a link: it acts in ticks that are multiples of it."""
        return self.link_strides[link]

    def ticks(self, node: int, work: Mapping[str, int]) -> int:
        """Ticks that one firing doing ``work`` occupies a node; see :meth:`NodeSpec.cycles`."""
        return self.nodes[node].cycles(work) * self.node_strides[node]

    def out_links(self, node: int) -> tuple[int, ...]:
        """Ids of the links that leave ``node``, ascending."""
        return self._out[node]

    def in_links(self, node: int) -> tuple[int, ...]:
        """Ids of the links that arrive at ``node``, ascending."""
        return self._in[node]

    def link_between(self, src: int, dst: int) -> int | None:
        """Id of the link from ``src`` to ``dst``, or None where there is none."""
        return self._by_ends.get((src, dst))

    def node_id(self, name: str) -> int:
        """Id of the node called ``name``.

        Raises:
            MachineError: there is none; the message offers the nearest names.
        """
        if name not in self._by_name:
            raise MachineError(f"{self.name}: no node is called {show(name)}{hint(name, self._by_name)}")
        return self._by_name[name]

    def link_name(self, link: int) -> str:
        """How reports write a link: ``n0->n1``."""
        ends = self.links[link]
        return f"{self.nodes[ends.src].name}->{self.nodes[ends.dst].name}"

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what the hardware is: clock, nodes with names, links in order, host.

        Two machines with equal digests take the same schedules. Names of machine and topology are left out: they say
        where the description came from, not what it describes.
        """
        sha = hashlib.sha256()
        head = ["graphsim machine 1", float(self.clock_mhz), self.host, len(self.nodes), len(self.links)]
        if self.sink_host != self.host:
            head.append(self.sink_host)
        sha.update(_line(head))
        for node in self.nodes:
            ops = list(node.op_ticks.values())
            if node.op_ticks["gate"] == OpTicks().gate:  # schedules from before there were gates stay valid
                ops.pop()
            what: list[object] = [node.macs_per_tick, ops, node.memory_bytes, node.ticks_per_firing]
            sha.update(_line([node.name, node.kind, *(what if node.kind == "compute" else [node.crossbar_latency])]))
        for link in self.links:
            sha.update(
                b"[%d,%d,%d,%d,%d,%d]\n"
                % (link.src, link.dst, link.frame_bits, link.latency, link.frames_per_tick, link.calendar_entries)
            )
            ports = (link.memory_frames, link.calendar_rows)
            if ports != _PORTS:  # schedules from before there were these settings stay valid
                sha.update(b"[%d,%d]\n" % ports)
        if self.timed:  # as above, for the time when there were no frequencies
            sha.update(_line(["frequencies", *(part.frequency for part in self.parts)]))
        return sha.hexdigest()

    def to_toml(self) -> str:
        """This machine as the text of a ``machine.toml`` that loads back to an equal machine.

        Raises:
            MachineError: the text would be larger than a machine file may be (1 MiB).
        """
        from graphsim.machine.writer import machine_toml

        return machine_toml(self)

    def describe(self) -> str:
        """A few lines of plain text: size, speed, memory, links. Ranges where nodes or links differ."""
        compute = [self.nodes[i] for i in self.compute_nodes]
        sizes = _count(len(compute), "compute node")
        if self.switches:
            sizes += f", {_count(len(self.switches), 'switch', 'switches')}"
        sizes += f", {_count(len(self.links), 'directed link')}"
        ops = ", ".join(f"{unit} {_range(node.op_ticks[unit] for node in compute)}" for unit in _OP_UNITS)
        per_firing = {node.ticks_per_firing for node in compute}
        cycle = "cycle" if self.timed else "tick"
        lines = [
            f"{self.name}: {sizes}, clock {self.clock_mhz:g} MHz",
            *self._hosts(),
            f"  compute    {_range(node.macs_per_tick for node in compute)} MAC per {cycle}; {cycle}s per op: {ops}",
        ]
        if self.timed:
            clocks = [f"compute nodes {_range(node.frequency for node in compute)}"]
            if self.switches:
                clocks.append(f"switches {_range(self.nodes[i].frequency for i in self.switches)}")
            if self.links:
                clocks.append(f"links {_range(link.frequency for link in self.links)}")
            lines.insert(
                1, f"  frequency  {', '.join(clocks)}; a cycle at frequency 1 has {_count(self.cycle, 'tick')}"
            )
        if per_firing != {None}:
            fixed = [node.ticks_per_firing for node in compute if node.ticks_per_firing is not None]
            some = "" if None not in per_firing else f" on {_count(len(fixed), 'node')}"
            lines.append(f"             {_range(fixed)} {cycle}s per firing{some}, whatever the work")
        lines.append(f"  memory     {_range(node.memory_bytes for node in compute)} bytes per compute node")
        if self.switches:
            crossing = _range(1 + self.nodes[i].crossbar_latency for i in self.switches)
            lines.append(f"  switches   crossbars: a frame leaves {crossing} {cycle}s after it came")
        if self.links:
            bits, latency, frames, entries, memory, rows, _ = (
                _range(getattr(link, key) for link in self.links) for key in LINK_KEYS
            )
            lines.append(f"  links      frames of {bits} bits, {frames} per {cycle}, latency {latency} {cycle}s")
            lines.append(f"             calendars of {entries} entries, in {rows} rows; memories of {memory} frames")
        return "\n".join(lines)

    def _hosts(self) -> list[str]:
        host, sink_host = self.nodes[self.host].name, self.nodes[self.sink_host].name
        if self.sinks is None:
            return [f"  host       {host}: source and sink sit here"]
        return [f"  host       {host}: source and inputs sit here", f"             {sink_host}: sinks sit here"]

    def _check_clock(self) -> None:
        clock, rule = self.clock_mhz, SETTINGS["clock_mhz"]
        good = type(clock) in (int, float) and math.isfinite(clock) and rule.low <= clock <= rule.high
        if not good:
            raise MachineError(
                f"{self.name}: clock_mhz must be a number from {rule.low:g} to {rule.high:g}, not {show(clock)}"
            )
        object.__setattr__(self, "clock_mhz", float(clock))

    def _check_nodes(self) -> None:
        if not 1 <= len(self.nodes) <= MAX_NODES:
            raise MachineError(f"{self.name}: a machine has 1 to {MAX_NODES:,} nodes, not {len(self.nodes):,}")
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise MachineError(f"{self.name}: two nodes are called {node.name}; give each its own name")
            seen.add(node.name)
        for key, host in (("host", self.host), ("sink host", self.sink_host)):
            if type(host) is not int or not 0 <= host < len(self.nodes):
                raise MachineError(f"{self.name}: {key} {show(host)} is not a node id; there are {len(self.nodes)}")
            if self.nodes[host].kind != "compute":
                raise MachineError(
                    f"{self.name}: {key} {self.nodes[host].name} is a switch; source and sink need a compute node"
                )

    def _check_links(self) -> None:
        if len(self.links) > MAX_LINKS:
            raise MachineError(f"{self.name}: a machine has at most {MAX_LINKS:,} links, not {len(self.links):,}")
        seen: set[tuple[int, int]] = set()
        for link in self.links:
            ends = (link.src, link.dst)
            if max(ends) >= len(self.nodes):
                raise MachineError(
                    f"{self.name}: link {link.src} -> {link.dst} leaves the machine: node ids end at "
                    f"{len(self.nodes) - 1}"
                )
            if ends in seen:
                raise MachineError(
                    f"{self.name}: two links from {self.nodes[link.src].name} to {self.nodes[link.dst].name}; "
                    f"give one of them more frames_per_tick instead"
                )
            seen.add(ends)

    def _check_frequencies(self) -> None:
        multiple = 1
        for frequency in dict.fromkeys(part.frequency for part in self.parts):
            multiple = math.lcm(multiple, frequency)
            if multiple > MAX_CYCLE:
                nodes = (f"node {node.name}" for node in self.nodes if node.frequency == frequency)
                links = (f"link {self.link_name(i)}" for i, v in enumerate(self.links) if v.frequency == frequency)
                raise MachineError(
                    f"{self.name}: the least common multiple of all frequencies, with the {frequency:,} of "
                    f"{next(itertools.chain(nodes, links))}, is more than {MAX_CYCLE:,}; choose frequencies with more "
                    f"common factors"
                )

    def _check_switches(self) -> None:
        """A switch passes on a frame as it is, in the cycle in which it is due."""
        for v in self.switches:
            for i in (*self.in_links(v), *self.out_links(v)):
                link, name = self.links[i], self.nodes[v].name
                if link.frequency != self.nodes[v].frequency:
                    raise MachineError(
                        f"{self.name}: switch {name} has frequency {self.nodes[v].frequency:,}, its link "
                        f"{self.link_name(i)} has {link.frequency:,}; a switch passes on a frame in every cycle: give "
                        f"it and its links one frequency"
                    )
                if link.frame_bits != self.links[other := (*self.in_links(v), *self.out_links(v))[0]].frame_bits:
                    raise MachineError(
                        f"{self.name}: link {self.link_name(i)} has frames of {link.frame_bits:,} bits, "
                        f"{self.link_name(other)} of {self.links[other].frame_bits:,}; switch {name} passes frames on "
                        f"as they are: give all its links one frame_bits"
                    )

    def _check_connected(self) -> None:
        outward = _reached(self.host, self._out, [link.dst for link in self.links])
        inward = _reached(self.sink_host, self._in, [link.src for link in self.links])
        host, sink_host = self.nodes[self.host].name, self.nodes[self.sink_host].name
        for i in self.compute_nodes:
            if not outward[i]:
                raise MachineError(f"{self.name}: no path of links from host {host} to {self.nodes[i].name}; add one")
            if not inward[i]:
                raise MachineError(
                    f"{self.name}: no path of links from {self.nodes[i].name} to host {sink_host}; add one"
                )


def _op_ticks(where: str, values: object) -> OpTicks:
    if not isinstance(values, Mapping):
        raise MachineError(f"{where}: op_ticks maps units of work to ticks; {show(values)} does not")
    for unit in values:
        if unit not in _OP_UNITS:
            raise MachineError(f"{where}: op_ticks has no unit {show(unit)}{hint(unit, _OP_UNITS)}")
    return OpTicks(**values)


def _grouped(size: int, keys: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    groups: list[list[int]] = [[] for _ in range(size)]
    for i, key in enumerate(keys):
        groups[key].append(i)
    return tuple(tuple(group) for group in groups)


def _reached(start: int, links_of: Sequence[Sequence[int]], other_end: Sequence[int]) -> bytearray:
    seen = bytearray(len(links_of))
    seen[start] = 1
    waiting = deque([start])
    while waiting:
        for link in links_of[waiting.popleft()]:
            node = other_end[link]
            if not seen[node]:
                seen[node] = 1
                waiting.append(node)
    return seen


def _line(values: Sequence[object]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
