"""A machine as the text of a ``machine.toml``: as a topology with settings where it is one, else as lists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from graphsim.errors import MachineError
from graphsim.machine.model import LINK_KEYS, Link, Machine, NodeSpec
from graphsim.machine.settings import MAX_FILE_BYTES, MAX_TEXT_BYTES, SETTINGS
from graphsim.machine.topologies import SCALED_KEYS, Shape, shape_of

_LINK_KEYS = tuple(key for key in LINK_KEYS if key != "frequency")
_LINK_VALUES = attrgetter(*_LINK_KEYS)
_NODE_KEYS = ("macs_per_tick", "ticks_per_firing", "memory_bytes")

Settings = dict[str, Any]


@dataclass(frozen=True)
class _Form:
    """What the tables of nodes and links in the file hold; frequencies only where some are not 1 (``timed``)."""

    timed: bool
    #: Of links that are alike, the same settings: machines have a million of them.
    known: dict[tuple[int, ...], Settings] = field(default_factory=dict)

    def node(self, node: NodeSpec) -> Settings:
        """The settings of a node. Of a switch those of its crossbar, and its frequency."""
        settings = self._frequency(node)
        if node.kind == "switch":
            return settings | {"crossbar_latency": node.crossbar_latency}
        settings |= {key: getattr(node, key) for key in _NODE_KEYS if getattr(node, key) is not None}
        return {**settings, **{f"op_ticks.{unit}": ticks for unit, ticks in node.op_ticks.items()}}

    def link(self, link: Link) -> Settings:
        """The settings of a link."""
        found = self.known.get(key := (link.frequency, *_LINK_VALUES(link)))
        if found is None:
            found = self.known[key] = self._frequency(link) | dict(zip(_LINK_KEYS, _LINK_VALUES(link), strict=True))
        return found

    def _frequency(self, part: NodeSpec | Link) -> Settings:
        return {"frequency": part.frequency} if self.timed else {}


def machine_toml(machine: Machine) -> str:
    """See :meth:`Machine.to_toml`, of which this is the body."""
    return _text_of(machine, MAX_FILE_BYTES, apart=False)[0]


def machine_parts(machine: Machine) -> tuple[str, list[tuple[int, int]]]:
    """The machine as TOML and, unless it is a built-in, (sender, receiver) of its links, which the text then leaves to
    them: a machine that is made for a large graph has too many links to be listed by name.

    Raises:
        MachineError: the text would be larger than 8 MiB: too many nodes and links are unlike the others.
    """
    return _text_of(machine, MAX_TEXT_BYTES, apart=True)


def _text_of(machine: Machine, most: int, *, apart: bool) -> tuple[str, list[tuple[int, int]]]:
    form = _Form(machine.timed)
    compute = _commonest(form.node(machine.nodes[i]) for i in machine.compute_nodes)
    switch = _commonest(form.node(machine.nodes[i]) for i in machine.switches)
    shape = shape_of(machine)
    link = _common_link(form, machine.links, shape)
    if shape is not None and not _is_within_bounds(link, shape):
        shape, link = None, _common_link(form, machine.links, None)
    head = [
        f"name = {_text(machine.name)}",
        f"clock_mhz = {machine.clock_mhz!r}",
        f"host = {_text(machine.nodes[machine.host].name)}",
    ]
    if machine.sinks is not None:
        head.append(f"sink_host = {_text(machine.nodes[machine.sinks].name)}")
    defaults = [*_table("node", compute), *_table("switch", switch), *_table("link", link)]
    if shape is not None:
        head.append(f"topology = {_text(machine.topology)}")
        lines = [*head, *defaults, *_overrides(form, machine, shape, compute, switch, link)]
    else:
        lines = [*head, *_nodes(form, machine, compute, switch)]
        lines += [] if apart else _links(form, machine, link)
        lines += [*defaults, *(_unlike(form, machine, link) if apart else [])]
    text = "\n".join(lines) + "\n"
    if len(text.encode("utf-8")) > most:
        raise MachineError(
            f"{machine.name}: its description is larger than {most // 2**20} MiB, the most it may be; use fewer nodes "
            "and links, or a built-in topology with fewer exceptions"
        )
    return text, [] if shape is not None or not apart else [(one.src, one.dst) for one in machine.links]


def _common_link(form: _Form, links: Sequence[Link], shape: Shape | None) -> Settings:
    """The [link] table from which most links follow, the capacities of the shape taken into account."""
    common = _commonest(map(form.link, links))
    if shape is None or not links:
        return common
    for key in SCALED_KEYS:
        pairs = [(getattr(link, key), capacity) for link, (_, _, capacity) in zip(links, shape.links, strict=True)]
        common |= _commonest({key: value // capacity} for value, capacity in pairs if value % capacity == 0)
    return common


def _is_within_bounds(link: Settings, shape: Shape) -> bool:
    """Whether a reader would accept ``link`` as the [link] table of this shape."""
    widest = max((capacity for _, _, capacity in shape.links), default=1)
    return all(link.get(key, 1) * widest <= SETTINGS[f"link.{key}"].high for key in SCALED_KEYS)


def _nodes(form: _Form, machine: Machine, compute: Settings, switch: Settings) -> list[str]:
    lines = ["nodes = ["]
    for node in machine.nodes:
        own = form.node(node)
        if node.kind == "compute":
            entry = {"name": node.name, **_difference(own, compute)}
        else:
            entry = {"name": node.name, "kind": "switch", **_difference(own, switch)}
        lines.append(f"  {_inline(entry)},")
    return [*lines, "]"]


def _links(form: _Form, machine: Machine, link: Settings) -> list[str]:
    entries = [_inline({**_ends(machine, one), **_difference(form.link(one), link)}) for one in machine.links]
    return ["links = [", *(f"  {entry}," for entry in entries), "]"]


def _unlike(form: _Form, machine: Machine, link: Settings) -> list[str]:
    """An override of every link that is not like most."""
    lines: list[str] = []
    for one in machine.links:
        if own := _difference(form.link(one), link):
            lines += ["", "[[link_override]]", *_assignments({**_ends(machine, one), **own})]
    return lines


def _ends(machine: Machine, link: Link) -> Settings:
    return {"from": machine.nodes[link.src].name, "to": machine.nodes[link.dst].name}


def _overrides(
    form: _Form, machine: Machine, shape: Shape, compute: Settings, switch: Settings, link: Settings
) -> list[str]:
    lines: list[str] = []
    for node in machine.nodes:
        own = _difference(form.node(node), compute if node.kind == "compute" else switch)
        if own:
            lines += ["", "[[node_override]]", f"nodes = [{_text(node.name)}]", *_assignments(own)]
    scaled = {
        capacity: {**link, **{key: link[key] * capacity for key in SCALED_KEYS}}
        for capacity in {capacity for _, _, capacity in shape.links}
    }
    for one, (_, _, capacity) in zip(machine.links, shape.links, strict=True):
        settings = form.link(one)
        own = {} if settings == scaled[capacity] else _difference(settings, scaled[capacity])
        if own:
            lines += ["", "[[link_override]]", *_assignments({**_ends(machine, one), **own})]
    return lines


def _commonest(all_settings: Iterable[Settings]) -> Settings:
    """Per key the value that most have, first come on ties; only keys that all have, for a file cannot unset one."""
    alike: dict[int, Settings] = {}
    times = Counter[int]()
    for settings in all_settings:
        alike[id(settings)] = settings
        times[id(settings)] += 1
    counts: dict[str, Counter[int]] = {}
    for number, settings in alike.items():
        for key, value in settings.items():
            counts.setdefault(key, Counter())[value] += times[number]
    total = times.total()
    return {key: count.most_common(1)[0][0] for key, count in counts.items() if count.total() == total}


def _difference(own: Settings, common: Mapping[str, Any]) -> Settings:
    return {key: value for key, value in own.items() if key not in common or common[key] != value}


def _table(name: str, settings: Settings) -> list[str]:
    return ["", f"[{name}]", *_assignments(settings)] if settings else []


def _assignments(settings: Settings) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in settings.items()]


def _inline(settings: Settings) -> str:
    return "{ " + ", ".join(_assignments(settings)) + " }"


def _value(value: int | str) -> str:
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    """A TOML basic string. Names hold no control characters, so JSON's escapes, a subset of TOML's, suffice."""
    return json.dumps(text, ensure_ascii=False)
