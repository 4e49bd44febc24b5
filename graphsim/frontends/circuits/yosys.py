"""Yosys's JSON (``write_json``): modules of cells of one bit, their hierarchy flattened.

What the format is: "write_json" in the Yosys manual. Bits x and z are read as 0, and noted. Cells of more than one bit
are made cells of one bit by Yosys itself, where it is installed (:mod:`~graphsim.frontends.circuits.rtl`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import cells, names, rtl, terms
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.graph.circuit import Circuit

#: A bit of a signal: the number of its net, or what it always is.
Bit = int | Literal["0", "1", "x", "z"]

#: Cells and bits of ports that a circuit may have once its hierarchy is flattened.
MOST = 1 << 22
#: Inputs of the widest lookup table.
WIDEST_LUT = 16
#: Cells that drive nothing: marks of the hierarchy, and statements for simulators and provers.
_SILENT = {"$scopeinfo"}
_STATEMENTS = {"$assert", "$assume", "$live", "$fair", "$cover", "$check", "$print"}
_SOURCE = re.compile(r"[^|]*:([0-9]+)[.:-]")
_SYNTAX = re.compile(r"Invalid JSON: (.*) at line ([0-9]+) column [0-9]+", re.DOTALL)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Port(_Part):
    """A port; ``bits`` from the least significant on, which has number ``offset``, or if ``upto`` the greatest one."""

    direction: Literal["input", "output", "inout"]
    bits: list[Bit]
    offset: int = 0
    upto: int = 0


class Cell(_Part):
    """A cell: a gate, or a part that is a module."""

    type: str
    attributes: dict[str, str | int] = {}
    parameters: dict[str, str | int] = {}
    connections: dict[str, list[Bit]]


class NetName(_Part):
    """A name of bits."""

    bits: list[Bit]
    hide_name: int = 0
    offset: int = 0
    upto: int = 0
    attributes: dict[str, str | int] = {}


class Module(_Part):
    """A module."""

    attributes: dict[str, str | int] = {}
    ports: dict[str, Port] = {}
    cells: dict[str, Cell] = {}
    netnames: dict[str, NetName] = {}
    memories: dict[str, object] = {}
    processes: dict[str, object] = Field(default={})

    @cached_property
    def names(self) -> dict[int, str]:
        """What each net is called: as a port if it is one, else by the first name that Yosys did not make up."""
        known: dict[int, str] = {}
        order = sorted(self.netnames.items(), key=lambda item: (item[0] not in self.ports, item[1].hide_name != 0))
        named: list[tuple[str, Port | NetName]] = [*self.ports.items(), *order]
        for name, net in named:
            for bit, called in zip(net.bits, bit_names(name, net), strict=True):
                if isinstance(bit, int):
                    known.setdefault(bit, called)
        return known

    @cached_property
    def initial(self) -> dict[int, bool]:
        """Values of nets in cycle 0, where they are given."""
        result: dict[int, bool] = {}
        for net in self.netnames.values():
            if "init" in net.attributes:
                for bit, value in zip(net.bits, _bits(net.attributes["init"], len(net.bits)), strict=True):
                    if isinstance(bit, int) and value in "01":
                        result[bit] = value == "1"
        return result


class Design(_Part):
    """A file."""

    modules: dict[str, Module]


def bit_names(name: str, net: Port | NetName) -> list[str]:
    """Names of its bits, from the least significant on: its own if there is one bit, else with their numbers."""
    if len(net.bits) == 1:
        return [name]
    numbers = range(net.offset, net.offset + len(net.bits))
    return [f"{name}[{number}]" for number in (reversed(numbers) if net.upto else numbers)]


def _bits(value: str | int, width: int) -> str:
    """Bits of a parameter, from the least significant on; those that are not given are 0."""
    word = value if isinstance(value, str) else f"{value % (1 << width):b}"
    return word[::-1].ljust(width, "0")[:width]


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a JSON file of Yosys's.

    Args:
        path: of the file.
        top: the module that is the circuit; else the one that the file marks, or the only one that is no other's part.

    Raises:
        CircuitError: the file is not what Yosys writes, or its nets do not make a circuit.
    """
    return circuit_of(str(path), path.read_bytes(), top)


def circuit_of(path: str, data: bytes, top: str | None = None, *, sources: bool = False) -> Circuit:
    """The circuit in the text of a JSON file.

    Args:
        path: of the file, for messages.
        data: its contents.
        top: the module that is the circuit.
        sources: whether lines in messages are those that the cells came from, not those of the JSON.

    Raises:
        CircuitError: as for :func:`read`.
    """
    try:
        design = Design.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        if found := _SYNTAX.fullmatch(first["msg"]):
            raise CircuitError(path, int(found[2]), f"is not JSON: {found[1]}") from None
        where = ".".join(str(step) for step in first["loc"][:5])
        raise CircuitError(path, None, f"{where or 'the file'}: {first['msg']}, as Yosys writes it") from None
    parts = [part for module in design.modules.values() for part in (module.ports, module.netnames)]
    if sum(len(title) * len(net.bits) for part in parts for title, net in part.items()) > names.MOST:
        raise CircuitError(path, None, f"names of bits add up to more than {names.MOST:,} characters")
    name = _top(path, design, top)
    if coarse := _coarse(design, name):
        if sources:
            raise CircuitError(path, None, f"{coarse}, nor does Yosys make gates of it")
        return circuit_of(path, rtl.gates(path, data, "json", name.removeprefix("\\"), coarse), sources=True)
    flat = _Flattening(path, b"" if sources else data, design, name)
    if sources:
        flat.n.note(
            "rtl", "made gates by Yosys; registers without a first value start at 0, bits that are x or z are 0"
        )
    return flat.circuit()


def _coarse(design: Design, top: str) -> str:
    """What in a module and its parts is not of one bit, in words; "" if nothing is."""
    met, stack = {top}, [top]
    while stack:
        title = stack.pop()
        module = design.modules[title]
        if module.memories or module.processes:
            return f"module {title!r} has memories or processes"
        for name, cell in module.cells.items():
            kind = cell.type
            fine = cells.known(kind) or kind == "$lut" or kind in _SILENT or kind in _STATEMENTS
            if not fine and kind in design.modules:
                if kind not in met:
                    met.add(kind)
                    stack.append(kind)
            elif not fine and kind.startswith("$"):
                return f"cell {name!r} of module {title!r} is a {kind}, which is not a gate"
    return ""


def _is_set(module: Module, attribute: str) -> bool:
    value = module.attributes.get(attribute, 0)
    return any(bit == "1" for bit in value) if isinstance(value, str) else value != 0


def _top(path: str, design: Design, top: str | None) -> str:
    """The name of the module that is the circuit."""
    modules = {
        name: module
        for name, module in design.modules.items()
        if not (_is_set(module, "blackbox") or _is_set(module, "whitebox"))
    }
    if top is not None:
        if top in modules:
            return top
        raise CircuitError(path, None, f"has no module {top!r}; its modules are {_listed(modules)}")
    marked = [name for name, module in modules.items() if _is_set(module, "top")]
    parts = {cell.type for module in modules.values() for cell in module.cells.values()}
    found = marked or [name for name in modules if name not in parts]
    if len(found) != 1:
        how = "more than one module is no other's part" if found else "no module is the top one"
        raise CircuitError(path, None, f"{how}: {_listed(found or modules)}; say which is the circuit (--top)")
    return found[0]


def _listed(known: Mapping[str, object] | Sequence[str]) -> str:
    shown = [repr(name) for name, _ in zip(known, range(8), strict=False)]
    return ", ".join(shown) + (", ..." if len(known) > len(shown) else "") or "none"


class _Netlist(Netlist):
    """A netlist whose lines are numbers of ports and cells, in the order in which they were met, until a message needs
    one.

    Attributes:
        met: module, "ports" or "cells", name, and the cell's attribute ``src``.
    """

    def __init__(self, path: str, name: str, data: bytes) -> None:
        super().__init__(path, name)
        self._data = data
        self.met: list[tuple[str, str, str, str]] = []

    def fail(self, message: str, line: int | None = None) -> CircuitError:
        return CircuitError(self.path, None if line is None else self._line(*self.met[line]), message)

    def meet(self, module: str, kind: Literal["ports", "cells"], name: str, source: str = "") -> int:
        """Count a port or cell; its number, which stands for its line."""
        self.met.append((module, kind, name, source))
        return len(self.met) - 1

    def _line(self, module: str, kind: str, name: str, source: str) -> int | None:
        if not self._data:
            found = _SOURCE.match(source)
            return int(found[1]) if found else None
        at = 0
        for key in (module, kind, name):
            at = self._data.find(json.dumps(key).encode(), at)
            if at < 0:
                return None
        return self._data.count(b"\n", 0, at) + 1


class _Place(NamedTuple):
    """A module where it is used.

    Attributes:
        name: of the module.
        path: of its place in the hierarchy, in front of names; "" at the top.
        nets: of its bits, as far as they are known.
        left: its cells that are still to come.
    """

    name: str
    path: str
    module: Module
    nets: dict[int, Net]
    left: Iterator[tuple[str, Cell]]


class _Flattening:
    """A design on its way into a netlist."""

    def __init__(self, path: str, data: bytes, design: Design, top: str) -> None:
        self.design = design
        self.n = _Netlist(path, top.removeprefix("\\"), data)
        self.constants: dict[str, Net] = {}
        self.unknown = self.unset = self.latches = 0
        self.skipped: Counter[str] = Counter()
        self.size = self.instances = 0
        self.places: list[_Place] = []
        self.open: set[str] = set()
        self._enter(self._place(top, "", {}))

    def circuit(self) -> Circuit:
        n, top = self.n, self.places[0]
        for name, port in top.module.ports.items():
            self._grown(len(port.bits))
            line = n.meet(top.name, "ports", name)
            if port.direction == "inout":
                raise n.fail(f"port {name!r} is inout; a circuit's ports are inputs or outputs", line)
            for bit, called in zip(port.bits, bit_names(name, port), strict=True):
                if port.direction == "output":
                    n.output(called, self._net(top, bit), line)
                elif isinstance(bit, int):
                    n.input(self._net(top, bit), line)
                else:
                    raise n.fail(f"input {called!r} is the constant {bit}", line)
        while self.places:
            place = self.places[-1]
            item = next(place.left, None)
            if item is None:
                self.open.discard(self.places.pop().name)
                continue
            self._grown(1)
            name, cell = item
            self._cell(place, name, cell, n.meet(place.name, "cells", name, str(cell.attributes.get("src", ""))))
        if self.unknown:
            n.note("yosys.unknown", f"{self.unknown:,} bits that are x or z are read as 0")
        if self.latches:
            n.note(
                "yosys.latches", f"{self.latches:,} latches show their data in the whole cycle in which they are open"
            )
        if self.unset:
            n.note("yosys.first_values", f"{self.unset:,} registers have none; they start at 0")
        if self.skipped:
            n.note("yosys.skipped", ", ".join(f"{many} {kind}" for kind, many in sorted(self.skipped.items())))
        return n.circuit()

    def _place(self, name: str, path: str, nets: dict[int, Net]) -> _Place:
        module = self.design.modules[name]
        return _Place(name, path, module, nets, iter(module.cells.items()))

    def _enter(self, place: _Place) -> None:
        self.places.append(place)
        self.open.add(place.name)

    def _grown(self, size: int) -> None:
        self.size += size
        if self.size > MOST:
            raise self.n.fail(f"more than {MOST:,} cells and bits of ports once its hierarchy is flattened")

    def _net(self, place: _Place, bit: Bit) -> Net:
        if isinstance(bit, int):
            net = place.nets.get(bit)
            if net is None:
                net = place.nets[bit] = self.n.new(place.path + place.module.names.get(bit, f"${bit}"))
            return net
        self.unknown += bit in "xz"
        value = "1" if bit == "1" else "0"
        if value not in self.constants:
            self.constants[value] = self.n.constant(self.n.new(), value == "1")
        return self.constants[value]

    def _cell(self, place: _Place, name: str, cell: Cell, line: int) -> None:
        kind = cell.type
        full = place.path + name
        if kind in self.design.modules and not cells.known(kind):
            self._instance(place, full, cell, line)
        elif kind == "$lut":
            self._lut(place, full, cell, line)
        elif cells.known(kind):
            self._gate(place, full, cell, line)
        elif kind in _STATEMENTS:
            self.skipped[kind] += 1
        elif kind not in _SILENT:
            raise self.n.fail(f"cell {full!r} is of type {kind!r}, which is no module of the file and no gate", line)

    def _gate(self, place: _Place, full: str, cell: Cell, line: int) -> None:
        out = cells.output(cell.type)
        pins = {}
        for pin, bits in cell.connections.items():
            if len(bits) > 1:
                shown = f"pin {pin} of cell {full!r}, a {cell.type}, is connected to {len(bits)} bits; it is one"
                raise self.n.fail(shown, line)
            if bits:
                pins[pin] = self._net(place, bits[0])
        if out not in pins:
            pins[out] = self.n.new(f"{full}.{out}", line)
        held = cell.connections.get(out) or ["x"]
        first = place.module.initial.get(held[0]) if isinstance(held[0], int) else None
        self.latches += cell.type.startswith(("$_DLATCH", "$_SR_"))
        self.unset += first is None and cell.type in cells.FLIP_FLOPS
        cells.build(self.n, cell.type, full, pins, bool(first), line)

    def _lut(self, place: _Place, full: str, cell: Cell, line: int) -> None:
        index, out = cell.connections.get("A", []), cell.connections.get("Y", [])
        if len(out) != 1:
            raise self.n.fail(f"table {full!r} has {len(out)} outputs at pin Y; it has one", line)
        if len(index) > WIDEST_LUT:
            raise self.n.fail(f"table {full!r} has {len(index)} inputs at pin A; up to {WIDEST_LUT} are read", line)
        if "LUT" not in cell.parameters:
            raise self.n.fail(f"table {full!r} has no parameter LUT", line)
        word = _bits(cell.parameters["LUT"], 1 << len(index))
        truth = sum(1 << m for m, bit in enumerate(word) if bit == "1")
        row = [terms.of(self._net(place, bit)) for bit in index]
        terms.drive(self.n, self._net(place, out[0]), terms.looked_up(self.n, truth, row, line), line)

    def _instance(self, place: _Place, full: str, cell: Cell, line: int) -> None:
        """A module as part of another: its ports are the nets that it is connected to."""
        n, module = self.n, self.design.modules[cell.type]
        if _is_set(module, "blackbox"):
            raise n.fail(f"cell {full!r} is a {cell.type!r}, of which the file has ports only", line)
        if cell.type in self.open:
            raise n.fail(f"cell {full!r} is a {cell.type!r} within itself", line)
        for pin in cell.connections:
            if pin not in module.ports:
                raise n.fail(f"cell {full!r} connects pin {pin!r}, which module {cell.type!r} does not have", line)
        self.instances += 1
        part = self._place(cell.type, names.within(full, self.instances, "."), {})
        for name, port in module.ports.items():
            self._grown(len(port.bits))
            bits = cell.connections.get(name, [])
            if bits and len(bits) != len(port.bits):
                shown = f"port {name!r} of cell {full!r} has {len(port.bits)} bits and is connected to {len(bits)}"
                raise n.fail(shown, line)
            if port.direction == "inout":
                raise n.fail(f"port {name!r} of cell {full!r} is inout; ports are inputs or outputs", line)
            for inner, outer in zip(port.bits, bits, strict=False):
                self._connect(part, inner, self._net(place, outer), port.direction == "output", line)
        self._enter(part)

    def _connect(self, part: _Place, inner: Bit, outer: Net, output: bool, line: int) -> None:
        """A bit of a part's port is the net outside; if the part has that bit as another net already, they are one."""
        if isinstance(inner, int) and inner not in part.nets:
            part.nets[inner] = outer
        elif output:
            self.n.alias(outer, self._net(part, inner), line)
        else:
            self.n.alias(self._net(part, inner), outer, line)
