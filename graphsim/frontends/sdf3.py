"""SDF3 files: timed dataflow graphs in XML, as the tools of TU Eindhoven read and write them (sdf and csdf).

Stuijk, Geilen and Basten, "SDF3: SDF for free", ACSD 2006. Read are actors, ports with rates, channels with initial
tokens, execution times of the default processor (of several marked so, the last), and token sizes. What else stands in
a file is left alone.

SDF3 limits how many firings of an actor overlap by channels from the actor to itself; an attribute of ours,
``concurrency`` of ``actorProperties``, does it without one (0: no limit). In a file with either, an actor with neither
has no limit. A file with neither says nothing of overlap, and none of its actors overlaps itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, ParseError, SubElement, indent

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from graphsim.errors import GraphError, ModelError
from graphsim.graph.sdf import MOST, MOST_PHASES, Flow, TimedGraph, timed_graph

#: Bytes of a file, at most.
MOST_BYTES = 1 << 28
#: Characters that XML cannot say.
_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: What includes other files (XInclude): a graph without what it leaves out would be another one.
_INCLUDES = "{http://www.w3.org/2001/XInclude}"
_RUN = re.compile(r"\s*(?:([0-9]{1,15})\s*\*\s*)?([0-9]{1,15})\s*", re.ASCII)


def read(path: Path) -> TimedGraph:
    """The graph of an SDF3 file.

    Raises:
        ModelError: it is not such a file, or what it says cannot be; the message names file, actor and channel.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if data is None:
        raise ModelError(f"{path}: is larger than {MOST_BYTES:,} bytes")
    elsewhere = ModelError(f"{path}: declares entities or includes, which SDF3 files do without; refused")
    try:
        root = fromstring(data)
    except ParseError as error:
        raise ModelError(f"{path}: is no XML: {error}") from error
    except DefusedXmlException as error:
        raise elsewhere from error
    except (LookupError, ValueError) as error:  # an encoding that is unknown, or is not what it says
        raise ModelError(f"{path}: is no XML: {error}") from error
    if any(element.tag.startswith(_INCLUDES) for element in root.iter()):
        raise elsewhere
    return _Reader(str(path)).graph(root)


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.phases = 0

    def fail(self, message: str) -> ModelError:
        return ModelError(f"{self.path}: {message}")

    def graph(self, root: Element) -> TimedGraph:
        application = root.find("applicationGraph")
        if root.tag != "sdf3" or application is None:
            raise self.fail("has no <sdf3><applicationGraph>; expected an SDF3 file")
        kind = next((k for k in ("sdf", "csdf") if application.find(k) is not None), None)
        if kind is None:
            raise self.fail(f"holds a graph of type {root.get('type')!r}; expected sdf or csdf")
        body, properties = application.find(kind), application.find(f"{kind}Properties")
        assert body is not None
        rates: dict[tuple[str, str], tuple[str, list[int]]] = {}
        actors: dict[str, None] = {}
        for actor in body.findall("actor"):
            name = self.attribute(actor, "name", "an actor")
            if name in actors:
                raise self.fail(f"actor {name!r} is there twice")
            if "concurrency" in actor.attrib:
                raise self.fail(f"actor {name!r}: concurrency is not of <actor>; write it into its <actorProperties>")
            actors[name] = None
            for port in actor.findall("port"):
                where = f"actor {name!r}: a port"
                key = name, self.attribute(port, "name", where)
                if key in rates:
                    raise self.fail(f"actor {name!r}: port {key[1]!r} is there twice")
                direction = self.attribute(port, "type", where)
                if direction not in ("in", "out"):
                    raise self.fail(f"actor {name!r}: port {key[1]!r} is of type {direction!r}; expected in or out")
                rates[key] = direction, self.numbers(port, "rate", f"actor {name!r}: port {key[1]!r}")
        times, limits, bits = self.properties(properties, actors)
        flows = [self.flow(channel, rates, bits) for channel in body.findall("channel")]
        if not actors:
            raise self.fail("has no actors")
        untimed = [name for name in actors if name not in times]
        if untimed:
            raise self.fail(f"actors without an execution time: {', '.join(untimed[:8])}")
        name = application.get("name") or "sdf"
        try:
            says = bool(limits) or any(flow.src == flow.dst for flow in flows)
            unsaid = 0 if says else 1
            return timed_graph(
                name, {a: times[a] for a in actors}, flows, concurrency={a: limits.get(a, unsaid) for a in actors}
            )
        except GraphError as error:
            raise self.fail(str(error)) from error

    def properties(
        self, properties: Element | None, actors: dict[str, None]
    ) -> tuple[dict[str, list[int]], dict[str, int], dict[str, int]]:
        """Execution times, limits of concurrency, and bits of tokens, by name."""
        times: dict[str, list[int]] = {}
        limits: dict[str, int] = {}
        bits: dict[str, int] = {}
        for one in properties.findall("actorProperties") if properties is not None else ():
            name = self.attribute(one, "actor", "actorProperties")
            if name not in actors:
                raise self.fail(f"actorProperties of actor {name!r}, which is not there")
            processors = one.findall("processor")
            chosen = [p for p in processors if p.get("default") == "true"] or processors[:1]
            found = chosen[-1].find("executionTime") if chosen else None
            if found is not None:
                times[name] = self.numbers(found, "time", f"actor {name!r}: executionTime")
            if (limit := one.get("concurrency")) is not None:
                limits[name] = self.number(limit, f"actor {name!r}: concurrency")
        for one in properties.findall("channelProperties") if properties is not None else ():
            size = one.find("tokenSize")
            if size is not None:
                channel = self.attribute(one, "channel", "channelProperties")
                bits[channel] = self.number(size.get("sz", "0"), f"channel {channel!r}: tokenSize")
        return times, limits, bits

    def flow(self, channel: Element, rates: dict[tuple[str, str], tuple[str, list[int]]], bits: dict[str, int]) -> Flow:
        name = self.attribute(channel, "name", "a channel")
        ends: list[tuple[str, list[int]]] = []
        for end, direction in (("src", "out"), ("dst", "in")):
            actor = self.attribute(channel, f"{end}Actor", f"channel {name!r}")
            port = self.attribute(channel, f"{end}Port", f"channel {name!r}")
            found = rates.get((actor, port))
            if found is None:
                raise self.fail(f"channel {name!r}: there is no port {port!r} of actor {actor!r}")
            if found[0] != direction:
                raise self.fail(f"channel {name!r}: port {port!r} of actor {actor!r} leads {found[0]}, not {direction}")
            ends.append((actor, found[1]))
        tokens = self.number(channel.get("initialTokens", "0"), f"channel {name!r}: initialTokens")
        return Flow(ends[0][0], ends[1][0], ends[0][1], ends[1][1], tokens, name, bits.get(name, 0))

    def attribute(self, element: Element, key: str, where: str) -> str:
        value = element.get(key)
        if not value:
            raise self.fail(f"{where}: has no {key}")
        return value

    def number(self, text: str, where: str) -> int:
        found = _RUN.fullmatch(text)
        if found is None or found[1] is not None:
            raise self.fail(f"{where} is {text[:40]!r}; expected a whole number from 0 to {MOST:,}")
        return int(found[2])

    def numbers(self, element: Element, key: str, where: str) -> list[int]:
        """A number for each phase: ``1,2,2*0`` is 1, 2, 0, 0. The phases of a file are counted."""
        result: list[int] = []
        for part in self.attribute(element, key, where).split(","):
            found = _RUN.fullmatch(part)
            if found is None:
                raise self.fail(f"{where}: {key} is {part[:40]!r}; expected whole numbers from 0 to {MOST:,}")
            times = int(found[1]) if found[1] is not None else 1
            self.phases += times
            if self.phases > MOST_PHASES:
                raise self.fail(f"{where}: rates and times have more than {MOST_PHASES:,} phases in all")
            result += [int(found[2])] * times
        if not result:
            raise self.fail(f"{where}: {key} has no phases")
        return result


def write(graph: TimedGraph) -> bytes:
    """The graph as an SDF3 file; csdf where an actor has several phases. What XML cannot say in names is said as
    ``\\x1b``.
    """
    actor_names = [_said(graph.actor_name(a)) for a in range(graph.actor_count)]
    channel_names = [_said(name) for name in graph.channel_names]
    kind = "sdf" if (graph.phases == 1).all() else "csdf"
    root = Element("sdf3", {"type": kind, "version": "1.0"})
    application = SubElement(root, "applicationGraph", {"name": _said(graph.name)})
    body = SubElement(application, kind, {"name": _said(graph.name), "type": _said(graph.name)})
    actors = [SubElement(body, "actor", {"name": name, "type": name}) for name in actor_names]
    for c, name in enumerate(channel_names):
        ends: dict[str, str] = {}
        for end, actor, rate, direction in (
            ("src", int(graph.src[c]), graph.produced(c), "out"),
            ("dst", int(graph.dst[c]), graph.consumed(c), "in"),
        ):
            port = f"{direction}{c}"
            SubElement(actors[actor], "port", {"name": port, "type": direction, "rate": ",".join(str(r) for r in rate)})
            ends |= {f"{end}Actor": actor_names[actor], f"{end}Port": port}
        tokens = {"initialTokens": str(graph.tokens[c])} if graph.tokens[c] else {}
        SubElement(body, "channel", {"name": name, **ends, **tokens})
    properties = SubElement(application, f"{kind}Properties")
    says = bool((graph.concurrency > 0).any() or (graph.src == graph.dst).any())
    for a, name in enumerate(actor_names):
        limit = int(graph.concurrency[a])
        more = {"concurrency": str(limit)} if limit or not says else {}
        one = SubElement(properties, "actorProperties", {"actor": name, **more})
        processor = SubElement(one, "processor", {"type": "p", "default": "true"})
        SubElement(processor, "executionTime", {"time": ",".join(str(t) for t in graph.firing_ticks(a))})
    for c, name in enumerate(channel_names):
        if graph.token_bits[c]:
            one = SubElement(properties, "channelProperties", {"channel": name})
            SubElement(one, "tokenSize", {"sz": str(graph.token_bits[c])})
    indent(root)
    import io

    text = io.BytesIO()
    ElementTree(root).write(text, encoding="UTF-8", xml_declaration=True)
    return text.getvalue() + b"\n"


def _said(name: str) -> str:
    return _UNSAYABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", name)
