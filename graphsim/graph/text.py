"""The graph as text: one page that a reviewer can read and diff, and that parses back.

::

    graphsim text 1
    graph mlp
    note keras_version="3.15.1"
    param dense/bias float32 [128] sha256=1f2e...
    param dense/kernel float32 [784,128] sha256=90ab...
    group source source []
    group pixels input [784] layer=pixels observes=output
    group dense linear [128] activation=relu() bias=$dense/bias layer=dense observes=output
    channel pixels -> dense port=0 kind=dense rates=1:1 tokens=0 bits=32 weight=$dense/kernel

One statement per line, in this order: ``graph``, ``note``, ``param``, ``group`` (in the graph's order, which numbers
the actors), ``channel``. Blank lines and lines that start with ``#`` are skipped. Grammar of a line, ``{}`` repeated,
``[]`` optional, tokens separated by spaces::

    graph   = "graph" name
    note    = "note" name "=" name
    param   = "param" name dtype shape "sha256=" 64 hexadecimal digits
    group   = "group" name op shape ["activation=" name "(" [float {"," float}] ")"] {role "=" ref}
              ["firings=" int] ["extra_roundings=" int] ["layer=" name] ["call=" int] ["observes=" name]
    channel = "channel" name "->" name "port=" int "kind=" name "rates=" int ":" int "tokens=" int "bits=" int
              {field "=" (int | ref | shape | axes)} ["weight=" ref] ["initial=" ref] ["reset=1"]
    axes    = {"(" int "," int {"," int} ")"}     the fields of Axis in order; defaults at the end are left out
    shape   = "[" [int {"," int}] "]"
    ref     = "$" name ["@" int]          a param; "@n": each element serves n consecutive actors (Ref.inner)
    name    = a bare word of letters, digits and "_./:-", not starting with a digit, "-" or ":", or a JSON string

``rates`` are produce:consume in tokens per firing, ``tokens`` the initial tokens, ``bits`` the width of a token. What a
group line leaves out has the default of :class:`~graphsim.graph.graph.Group`. Floats are written so that they read
back exactly (``repr`` of float64; ``inf`` and ``nan`` included). ``sha256`` of a param is over its elements,
little-endian, in C order; the arrays themselves are not in the text. Equal graphs have equal text, byte for byte.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph.channels import Channel, Ref
from graphsim.graph.graph import Graph, Group, Param
from graphsim.graph.kinds import KINDS
from graphsim.graph.window import Axis

VERSION = 1
_WORD = re.compile(r"[A-Za-z_.][A-Za-z0-9_./:-]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_INT = re.compile(r"-?[0-9]{1,18}(?![0-9.eE])")
_FLOAT = re.compile(r"-?(?:inf|nan|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_SHA256 = re.compile(r"[0-9a-f]{64}(?![0-9a-f])")
_COMMON = {field.name for field in dataclasses.fields(Channel)}


def dump(graph: Graph) -> str:
    """The graph as text, in the format of this module's docstring; ends with a newline.

    Raises:
        GraphError: two groups have one name, so that no line could tell them apart.
    """
    if len(graph.number) != len(graph.groups):
        names = [g.name for g in graph.groups]
        twice = next(n for n in names if names.count(n) > 1)
        raise GraphError(f"{graph.name}: two groups are called {twice!r}; give each its own name")
    lines = [f"graphsim text {VERSION}", f"graph {_name(graph.name)}"]
    lines += [f"note {_name(key)}={_name(value)}" for key, value in graph.notes.items()]
    lines += [f"param {_name(n)} {p.dtype} {_shape(p.shape)} sha256={p.sha256}" for n, p in graph.declared.items()]
    lines += [_group_line(group) for group in graph.groups]
    lines += [_channel_line(graph, channel) for channel in graph.channels]
    return "\n".join(lines) + "\n"


def _name(name: str) -> str:
    return name if _WORD.fullmatch(name) else json.dumps(name)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(str(extent) for extent in shape)}]"


def _ref(ref: Ref) -> str:
    return f"${_name(ref.name)}" + (f"@{ref.inner}" if ref.inner != 1 else "")


def _group_line(group: Group) -> str:
    parts = ["group", _name(group.name), _name(group.op), _shape(group.shape)]
    if group.activation != "linear" or group.activation_args:
        args = ",".join(repr(float(a)) for a in group.activation_args)
        parts.append(f"activation={_name(group.activation)}({args})")
    parts += [f"{_name(role)}={_ref(group.params[role])}" for role in sorted(group.params)]
    if group.firings != 1:
        parts.append(f"firings={group.firings}")
    if group.extra_roundings:
        parts.append(f"extra_roundings={group.extra_roundings}")
    if group.layer:
        parts.append(f"layer={_name(group.layer)}")
    if group.call:
        parts.append(f"call={group.call}")
    if group.observes:
        parts.append(f"observes={_name(group.observes)}")
    return " ".join(parts)


def _channel_line(graph: Graph, channel: Channel) -> str:
    c, groups = channel, graph.groups
    parts = [
        f"channel {_name(groups[c.src].name)} -> {_name(groups[c.dst].name)} port={c.port} kind={_name(c.kind)}",
        f"rates={c.produce}:{c.consume} tokens={c.initial_tokens} bits={c.token_bits}",
    ]
    for field in dataclasses.fields(c):
        value = getattr(c, field.name)
        if field.name not in _COMMON and value != ():
            parts.append(f"{field.name}={_field(value)}")
    if c.weight is not None:
        parts.append(f"weight={_ref(c.weight)}")
    if c.initial is not None:
        parts.append(f"initial={_ref(c.initial)}")
    if c.reset:
        parts.append("reset=1")
    return " ".join(parts)


def _field(value: Any) -> str:
    """A value of a field that one kind of channel has."""
    if isinstance(value, str):
        return _ref(Ref(value))
    if not isinstance(value, tuple):
        return str(value)
    if not isinstance(value[0], Axis):
        return _shape(value)
    return "".join(f"({','.join(map(str, _cut(axis)))})" for axis in value)


def _cut(axis: Axis) -> tuple[int, ...]:
    """The fields of an axis without the defaults at its end."""
    values = list(axis)
    while len(values) > 2 and values[-1] == Axis._field_defaults[Axis._fields[len(values) - 1]]:
        values.pop()
    return tuple(values)


class _Line:
    """A cursor over one line; every complaint names the file's line number and what was expected."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text, self.at = number, text, 0

    def fail(self, message: str) -> GraphError:
        return GraphError(f"line {self.number}: {message}")

    def take(self, pattern: re.Pattern[str], expected: str) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            rest = self.text[self.at : self.at + 20]
            raise self.fail(f"expected {expected} at column {self.at + 1}, found {rest!r}")
        self.at = match.end()
        return match[0]

    def skip(self, literal: str) -> bool:
        """Whether ``literal`` comes next; if so, move past it."""
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        return True

    def literal(self, literal: str) -> None:
        if not self.skip(literal):
            raise self.fail(
                f"expected {literal!r} at column {self.at + 1}, found {self.text[self.at : self.at + 20]!r}"
            )

    def name(self, expected: str) -> str:
        if not self.text.startswith('"', self.at):
            return self.take(_WORD, expected)
        quoted = self.take(_STRING, expected)
        try:
            return str(json.loads(quoted))
        except ValueError as error:
            raise self.fail(f"{quoted} is not a JSON string") from error

    def integer(self, expected: str) -> int:
        return int(self.take(_INT, f"{expected} (an integer of at most 18 digits)"))

    def shape(self) -> tuple[int, ...]:
        self.literal("[")
        extents: list[int] = []
        while not self.skip("]"):
            if extents:
                self.literal(",")
            extents.append(self.integer("an extent"))
        return tuple(extents)

    def axes(self) -> tuple[Axis, ...]:
        found: list[Axis] = []
        while self.skip("("):
            values = [self.integer("a number of an axis")]
            while not self.skip(")"):
                self.literal(",")
                values.append(self.integer("a number of an axis"))
            if not 2 <= len(values) <= len(Axis._fields):
                raise self.fail(f"an axis of {len(values)} numbers; it has 2 to {len(Axis._fields)}")
            found.append(Axis(*values))
        return tuple(found)

    def ref(self) -> Ref:
        self.literal("$")
        name = self.name("a param's name")
        return Ref(name, self.integer("the number of actors per element")) if self.skip("@") else Ref(name)

    def end(self) -> None:
        if self.at < len(self.text):
            raise self.fail(f"nothing expected at column {self.at + 1}, found {self.text[self.at : self.at + 20]!r}")


def parse(text: str, params: Mapping[str, npt.NDArray[np.generic]] | None = None) -> Graph:
    """Read what :func:`dump` wrote. The graph is not verified; see :mod:`graphsim.graph.verify`.

    With ``params`` (exactly the ones that the text declares) each array's dtype, shape and SHA-256 are checked.
    Without, the graph has its structure only: ``graph.missing`` names the params that are not there,
    ``graph.declared`` tells their dtypes and shapes, and reading one from ``graph.params`` raises GraphError instead
    of inventing values.

    Raises:
        GraphError: not in the format (the message names the line), or params that are not the declared ones.
    """
    statements = [
        _Line(number, line.rstrip(" \r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not statements or not statements[0].text.startswith("graphsim text "):
        raise GraphError("line 1: not a graph as text; it starts with 'graphsim text 1'")
    header = statements.pop(0)
    header.literal("graphsim text ")
    version = header.integer("a version")
    if version != VERSION:
        raise header.fail(f"text version {version}; this graphsim reads version {VERSION}")
    header.end()

    order = ("graph", "note", "param", "group", "channel")
    name: str | None = None
    notes: dict[str, str] = {}
    declared: dict[str, Param] = {}
    groups: dict[str, Group] = {}
    numbers: dict[str, int] = {}
    channels: list[Channel] = []
    stage = 0
    for line in statements:
        keyword = line.take(_WORD, "one of " + ", ".join(order))
        if keyword not in order:
            raise line.fail(f"{keyword!r} is none of {', '.join(order)}")
        if order.index(keyword) < stage:
            raise line.fail(f"a {keyword} line after the {order[stage]} lines; the order is {', '.join(order)}")
        stage = order.index(keyword)
        line.literal(" ")
        if keyword == "graph":
            if name is not None:
                raise line.fail("a second graph; a text holds one")
            name = line.name("the graph's name")
        elif keyword == "note":
            key = _new(line, "note", line.name("the note's key"), notes)
            line.literal("=")
            notes[key] = line.name("the note's text")
        elif keyword == "param":
            key = _new(line, "param", line.name("the param's name"), declared)
            declared[key] = _parse_param(line)
        elif keyword == "group":
            key = _new(line, "group", line.name("the group's name"), groups)
            numbers[key] = len(numbers)
            groups[key] = _parse_group(line, key)
        else:
            channels.append(_parse_channel(line, numbers))
        line.end()
    if name is None:
        raise GraphError("line 2: there is no graph line")
    graph = Graph(name, list(groups.values()), channels, params or {}, notes, declared=declared)
    if params is not None:
        graph.check_params()
    return graph


def _new(line: _Line, what: str, key: str, known: Mapping[str, object]) -> str:
    if key in known:
        raise line.fail(f"a second {what} {key!r}")
    return key


def _parse_param(line: _Line) -> Param:
    line.literal(" ")
    dtype = line.name("a dtype")
    line.literal(" ")
    shape = line.shape()
    line.literal(" sha256=")
    return Param(dtype, shape, line.take(_SHA256, "64 hexadecimal digits"))


def _parse_group(line: _Line, name: str) -> Group:
    line.literal(" ")
    op = line.name("an op")
    line.literal(" ")
    fields: dict[str, Any] = {"name": name, "op": op, "shape": line.shape(), "params": {}}
    while line.skip(" "):
        key = line.name("a key")
        line.literal("=")
        known: dict[str, Any] = fields
        value: Any
        if line.text.startswith("$", line.at):
            known, value = fields["params"], line.ref()
        elif key == "activation":
            value = line.name("an activation")
            args: list[float] = []
            line.literal("(")
            while not line.skip(")"):
                if args:
                    line.literal(",")
                args.append(float(line.take(_FLOAT, "a number")))
            fields["activation_args"] = tuple(args)
        elif key in ("firings", "extra_roundings", "call"):
            value = line.integer(key)
        elif key in ("layer", "observes"):
            value = line.name(key)
        else:
            raise line.fail(f"a group has no {key!r}")
        known[_new(line, "value of", key, known)] = value
    return Group(**fields)


#: How a field of a kind of channel is read, by its annotation.
_FIELDS: dict[str, Callable[[_Line], Any]] = {
    "int": lambda line: line.integer("a number"),
    "str": lambda line: line.ref().name,
    "tuple[int, ...]": _Line.shape,
    "tuple[Axis, ...]": _Line.axes,
}


def _parse_channel(line: _Line, numbers: Mapping[str, int]) -> Channel:
    ends: list[int] = []
    for separator in (" -> ", " port="):
        name = line.name("a group's name")
        if name not in numbers:
            raise line.fail(f"there is no group {name!r}")
        ends.append(numbers[name])
        line.literal(separator)
    fields: dict[str, Any] = {"src": ends[0], "dst": ends[1], "port": line.integer("a port")}
    line.literal(" kind=")
    kind = line.name("a kind")
    if kind not in KINDS:
        raise line.fail(f"no channel kind {kind!r}; there are: {', '.join(KINDS)}")
    for key, separator in (
        ("produce", " rates="),
        ("consume", ":"),
        ("initial_tokens", " tokens="),
        ("token_bits", " bits="),
    ):
        line.literal(separator)
        fields[key] = line.integer(key)
    own = {f.name: f for f in dataclasses.fields(KINDS[kind]) if f.name not in _COMMON}
    given: dict[str, Any] = {}
    while line.skip(" "):
        key = line.name("a field")
        line.literal("=")
        _new(line, "value of", key, given)
        if key in ("weight", "initial"):
            given[key] = line.ref()
        elif key == "reset":
            given[key] = bool(line.integer("0 or 1"))
        elif key in own:
            given[key] = _FIELDS[str(own[key].type)](line)
        else:
            raise line.fail(f"a {kind} channel has no {key!r}")
    lacking = [n for n, f in own.items() if f.default is dataclasses.MISSING and n not in given]
    if lacking:
        raise line.fail(f"a {kind} channel needs {', '.join(lacking)}")
    return KINDS[kind](**fields, **given)
