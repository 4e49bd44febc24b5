"""Structural Verilog: the netlists that Yosys, ABC and other tools write, and what people write like them.

Read are gate primitives, ``assign`` with expressions of bits, instances of modules of the file and of Yosys's cells,
and flip-flops as blocks at a clock's edge. The hierarchy is flattened. An expression is one gate if it depends on at
most six nets. What describes behaviour is made gates by Yosys, where it is installed
(:mod:`~graphsim.frontends.circuits.rtl`). Texts are parsed by slang (pyslang); nothing in them is run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from pathlib import Path

from pyslang.syntax import SyntaxKind as Kind

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import cells, rtl, terms, yosys
from graphsim.frontends.circuits.names import within
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.terms import ONE, ZERO, Term
from graphsim.frontends.circuits.verilog.expressions import Expressions
from graphsim.frontends.circuits.verilog.processes import Processes
from graphsim.frontends.circuits.verilog.syntax import (
    BehaviourError,
    Module,
    Node,
    Signal,
    Text,
    line_of,
    module_of,
    offset_of,
    parse,
    parts,
)
from graphsim.frontends.circuits.yosys import WIDEST_LUT
from graphsim.graph.circuit import Circuit
from graphsim.graph.verify import MAX_FAN_IN

#: What a circuit may have once its hierarchy is flattened: bits, gates, operators.
MOST = 1 << 23
#: What an instance counts for: reading it takes as long as so many gates.
_INSTANCE = 16
#: Gates: how inputs are joined, and whether the result is inverted.
_GATES: dict[str, tuple[Callable[[int, int], int], bool]] = {
    "and": (operator.and_, False),
    "nand": (operator.and_, True),
    "or": (operator.or_, False),
    "nor": (operator.or_, True),
    "xor": (operator.xor, False),
    "xnor": (operator.xor, True),
}
_COPIES = {"buf": False, "not": True}


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a Verilog file.

    Args:
        path: of the file; one that ends in ``.sv`` is SystemVerilog.
        top: the module that is the circuit; else the one that is no other's part.

    Raises:
        CircuitError: the file is not Verilog, its nets do not make a circuit, or it takes Yosys to read and that is not
            installed or refuses it.
    """
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # slang counts bytes of UTF-8; a character of another encoding can only be in a comment or a name.
        text = data.decode("latin-1")
    try:
        parsed = parse(path, text)
        modules: dict[str, Node] = {}
        for node in parsed.modules:
            name = node.header.name.valueText
            if name in modules:
                raise CircuitError(str(path), line_of(text, offset_of(node)), f"module {name!r} is there twice")
            modules[name] = node
        return _Design(path, text, parsed, modules, top).circuit()
    except BehaviourError as found:
        line = line_of(text, found.offset)
        system = path.suffix.lower() == ".sv"
        result = rtl.gates(
            str(path),
            data,
            "systemverilog" if system else "verilog",
            top,
            f"{found.what} is not structural Verilog",
            line,
        )
        return yosys.circuit_of(str(path), result, sources=True)


class _Netlist(Netlist):
    """A netlist whose lines are offsets in the text, until a message needs one."""

    def __init__(self, path: Path, text: str, name: str) -> None:
        super().__init__(str(path), name)
        self._text = text

    def fail(self, message: str, line: int | None = None) -> CircuitError:
        return CircuitError(self.path, None if line is None else line_of(self._text, line), message)


class _Design:
    """Modules on their way into a netlist."""

    def __init__(self, path: Path, text: str, parsed: Text, nodes: dict[str, Node], top: str | None) -> None:
        self.path, self.text, self.parsed, self.nodes = path, text, parsed, nodes
        self.known: dict[str, Module] = {}
        self.n = _Netlist(path, text, path.stem)
        self.size = self.instances = self.unknown = self.unset = 0
        self.open: set[str] = set()
        self.constants: dict[str, Net] = {}
        #: Values in cycle 0 of nets that flip-flops drive, as attributes say.
        self.held: dict[Net, bool] = {}
        self.n.name = self.top = self._top(top)

    def module(self, name: str) -> Module:
        """A module's declarations."""
        if name not in self.known:
            self.known[name] = module_of(self.path, self.text, self.nodes[name])
        return self.known[name]

    def _top(self, top: str | None) -> str:
        shown = ", ".join(repr(name) for name in list(self.nodes)[:8]) or "none"
        if top is not None:
            if top in self.nodes:
                return top
            raise self.n.fail(f"has no module {top!r}; its modules are {shown}")
        used = {
            member.type.valueText
            for node in self.nodes.values()
            for member in node.members
            if member.kind == Kind.HierarchyInstantiation
        }
        found = [name for name in self.nodes if name not in used]
        if len(found) != 1:
            how = "more than one module is no other's part" if found else "no module is the top one"
            shown = ", ".join(repr(name) for name in found[:8]) or shown
            raise self.n.fail(f"{how}: {shown}; say which is the circuit (--top)")
        return found[0]

    def grown(self, size: int) -> None:
        """Count what is made."""
        self.size += size
        if self.size > MOST:
            raise self.n.fail(f"more than {MOST:,} bits, gates and operators once its hierarchy is flattened")

    def constant(self, value: str) -> Net:
        """The net that is always "0" or "1"."""
        if value not in self.constants:
            self.constants[value] = self.n.constant(self.n.new(), value == "1")
        return self.constants[value]

    def circuit(self) -> Circuit:
        """The circuit."""
        n, module = self.n, self.module(self.top)
        top = _Place(self, module, "", {})
        for name in module.ports:
            signal = module.signals[name]
            for place, net in enumerate(top.bits(signal)):
                if module.direction[name] == "input":
                    n.input(net, signal.offset)
                else:
                    n.output(signal.bit_name(place), net, signal.offset)
        places = [top]
        self.open.add(top.module.name)
        while places:
            part = next(places[-1].work, None)
            if part is None:
                self.open.discard(places.pop().module.name)
            else:
                places.append(part)
                self.open.add(part.module.name)
        if self.unknown:
            n.note("verilog.unknown", f"{self.unknown:,} bits of constants that are x or z are read as 0")
        if self.unset:
            n.note("verilog.first_values", f"{self.unset:,} registers have none; they start at 0")
        return n.circuit()


class _Place:
    """A module where it is used.

    Attributes:
        n: the netlist.
        path: of its place in the hierarchy, in front of names; "" at the top.
        work: reads it; gives the parts that are modules, which are to be read before it goes on.
    """

    def __init__(self, design: _Design, module: Module, path: str, nets: dict[str, Sequence[Net]]) -> None:
        self.design, self.n, self.module, self.path = design, design.n, module, path
        self._nets = nets
        self._implicit: dict[str, Signal] = {}
        self.expressions = Expressions(self)
        self.processes = Processes(self.expressions)
        self.work = self._work()

    def signal(self, name: str, offset: int) -> Signal:
        """What a name stands for; a name that is not declared is a net of one bit."""
        found = self.module.signals.get(name) or self._implicit.get(name)
        if found is None:
            found = self._implicit[name] = Signal(name, 0, 0, True, offset)
        return found

    def bits(self, signal: Signal) -> Sequence[Net]:
        """Nets of a signal."""
        found = self._nets.get(signal.name)
        if found is None:
            self.grown(signal.width)
            if signal.constant:
                found = [self.design.constant(signal.constant)] * signal.width
            else:
                names = (self.path + signal.bit_name(place) for place in range(signal.width))
                found = [self.n.new(name, signal.offset) for name in names]
            self._nets[signal.name] = found
        return found

    def grown(self, size: int) -> None:
        """Count what is made."""
        self.design.grown(size)

    def unknown(self, count: int) -> None:
        """Count bits that are x or z."""
        self.design.unknown += count

    def _work(self) -> Iterator[_Place]:
        first: dict[Net, bool] = {}
        blocks = []
        for name, node in self.module.first:
            nets = self.bits(self.module.signals[name])
            offset = self.module.signals[name].offset
            first.update(zip(nets, self.processes.constants(node, len(nets), offset), strict=True))
        for name, node in self.module.attributes:
            nets = self.bits(self.module.signals[name])
            values = self.processes.constants(node, len(nets), self.module.signals[name].offset)
            for net, value in zip(nets, values, strict=True):
                self.design.held.setdefault(net, value)
        for item in self.module.items:
            kind = item.kind
            self.grown(1)
            if kind == Kind.ContinuousAssign:
                for assignment in parts(item.assignments):
                    self._assign(assignment)
            elif kind == Kind.Declarator:
                token = item.name
                offset = token.location.offset
                nets = self.bits(self.signal(token.valueText, offset))
                self._drive(nets, self.expressions.bits(item.initializer.expr, len(nets), offset), offset)
            elif kind == Kind.PrimitiveInstantiation:
                for gate in parts(item.instances):
                    self._gate(item.type.rawText, gate)
            elif kind == Kind.HierarchyInstantiation:
                for instance in parts(item.instances):
                    part = self._instance(item, instance)
                    if part is not None:
                        yield part
            elif kind == Kind.InitialBlock:
                first |= self.processes.initial(item)
            else:
                blocks.append(item)
        for block in blocks:
            self.design.unset += self.processes.always(block, first, self.design.held)
        for net, value in first.items():
            if not self.n.is_driven(net):
                self.n.constant(net, value)

    def _assign(self, assignment: Node) -> None:
        if assignment.kind != Kind.AssignmentExpression:
            raise self.n.fail("an assignment is expected", offset_of(assignment.operatorToken))
        offset = assignment.operatorToken.location.offset
        nets = self.expressions.target(assignment.left)
        self._drive(nets, self.expressions.bits(assignment.right, len(nets), offset), offset)

    def _drive(self, nets: Sequence[Net], bits: list[Term], offset: int) -> None:
        self.grown(len(nets))
        for net, term in zip(nets, bits, strict=True):
            terms.drive(self.n, net, term, offset)

    def _gate(self, kind: str, gate: Node) -> None:
        """A gate primitive: its outputs are the first, or of buffers and inverters all but the last."""
        offset = gate.openParen.location.offset
        if gate.decl is not None and len(gate.decl.dimensions):
            raise BehaviourError("an array of gates", offset)
        pins = [_expression(pin, offset) for pin in parts(gate.connections)]
        if len(pins) < 2 or None in pins:
            raise self.n.fail(f"a gate {kind} has an output and inputs; one is missing", offset)
        if kind in _COPIES:
            *outputs, source = pins
            value = self._pin(source, kind, offset)
            for node in outputs:
                net = self._net(node, kind, offset)
                # A buffer is a gate, not a name.
                self.n.gate(net, value.fanins, terms.inverted(value).truth if _COPIES[kind] else value.truth, offset)
            return
        if kind not in _GATES:
            raise BehaviourError(f"a gate {kind}", offset)
        rule, inverted = _GATES[kind]
        inputs = [self._pin(pin, kind, offset) for pin in pins[1:]]
        self.grown(len(inputs))
        value = reduce(lambda a, b: terms.joined(self.n, rule, a, b, line=offset), inputs)
        value = terms.inverted(value) if inverted else value
        self.n.gate(self._net(pins[0], kind, offset), value.fanins, value.truth, offset)

    def _pin(self, node: Node, kind: str, offset: int) -> Term:
        bits = self.expressions.bits(node, None, offset)
        if len(bits) != 1 and node.kind not in (Kind.IntegerLiteralExpression, Kind.IntegerVectorExpression):
            raise self.n.fail(f"an input of a gate {kind} is connected to {len(bits)} bits; it is one", offset)
        return bits[0]

    def _net(self, node: Node, kind: str, offset: int) -> Net:
        nets = self.expressions.target(node)
        if len(nets) != 1:
            raise self.n.fail(f"an output of {kind} is connected to {len(nets)} bits; it is one", offset)
        return nets[0]

    def _instance(self, item: Node, instance: Node) -> _Place | None:
        """An instance; what it is, if it is a module of the file, is still to be read."""
        kind = item.type.valueText
        if instance.decl is None:
            raise self.n.fail(f"an instance of {kind!r} has no name", offset_of(item))
        token = instance.decl.name
        full, offset = self.path + token.valueText, token.location.offset
        if kind == "$lut":
            self._lut(item, instance, full, offset)
            return None
        if item.parameters is not None:
            raise BehaviourError(f"an instance with parameters ({full!r})", offset)
        if len(instance.decl.dimensions):
            raise BehaviourError(f"an array of instances ({full!r})", offset)
        if kind in self.design.nodes:
            return self._part(self.design.module(kind), instance, full, offset)
        if cells.known(kind):
            self._cell(kind, instance, full, offset)
            return None
        raise self.n.fail(f"{full!r} is an instance of {kind!r}, which is no module of the file", offset)

    def _connections(self, ports: Sequence[str], instance: Node, full: str, offset: int) -> dict[str, Node]:
        """What is connected to ports, by their names; ports that are left open are left out."""
        found: dict[str, Node] = {}
        for at, pin in enumerate(parts(instance.connections)):
            if pin.kind == Kind.NamedPortConnection:
                name = pin.name.valueText
                node = _expression(pin, offset)
                if node is None and not pin.openParen.rawText:
                    raise BehaviourError("a connection by name alone", offset)
            elif pin.kind == Kind.OrderedPortConnection or pin.kind == Kind.EmptyPortConnection:
                if at >= len(ports):
                    if pin.kind == Kind.EmptyPortConnection:
                        continue
                    raise self.n.fail(f"{full!r} has {len(ports)} ports, and more connections", offset)
                name, node = ports[at], _expression(pin, offset)
            else:
                raise BehaviourError("a connection with a wildcard", offset)
            if name not in ports:
                raise self.n.fail(f"{full!r} has no port {name!r}", offset)
            if name in found:
                raise self.n.fail(f"port {name!r} of {full!r} is connected twice", offset)
            if node is not None:
                found[name] = node
        return found

    def _part(self, module: Module, instance: Node, full: str, offset: int) -> _Place:
        self.grown(_INSTANCE)
        if module.name in self.design.open:
            raise self.n.fail(f"{full!r} is an instance of {module.name!r} within itself", offset)
        nets: dict[str, Sequence[Net]] = {}
        for name, node in self._connections(module.ports, instance, full, offset).items():
            width = module.signals[name].width
            if module.direction[name] == "output":
                outer = list(self.expressions.target(node))
            else:
                plain = node.kind == Kind.IntegerLiteralExpression or node.kind == Kind.UnbasedUnsizedLiteralExpression
                bits = self.expressions.bits(node, width if plain else None, offset)
                outer = [self._source(term, offset) for term in bits]
            if len(outer) != width:
                shown = f"port {name!r} of {full!r} has {width} bits and is connected to {len(outer)}"
                raise self.n.fail(shown, offset)
            self.grown(width)
            nets[name] = outer
        self.design.instances += 1
        return _Place(self.design, module, within(full, self.design.instances, "."), nets)

    def _source(self, term: Term, offset: int) -> Net:
        if term in (ZERO, ONE):
            return self.design.constant(str(term.truth))
        return terms.net_of(self.n, term, offset)

    def _cell(self, kind: str, instance: Node, full: str, offset: int) -> None:
        output = cells.output(kind)
        pins: dict[str, Net] = {}
        for name, node in self._connections((*cells.inputs(kind), output), instance, full, offset).items():
            if name == output:
                pins[name] = self._net(node, kind, offset)
            else:
                pins[name] = self._source(self._pin(node, kind, offset), offset)
        if output not in pins:
            pins[output] = self.n.new(f"{full}.{output}", offset)
        self.design.unset += kind in cells.FLIP_FLOPS and pins[output] not in self.design.held
        cells.build(self.n, kind, full, pins, self.design.held.get(pins[output], False), offset)

    def _lut(self, item: Node, instance: Node, full: str, offset: int) -> None:
        """A table of Yosys's: bit ``A`` of its parameter LUT."""
        pins = self._connections(("A", "Y"), instance, full, offset)
        given = parts(item.parameters.parameters) if item.parameters is not None else []
        table = [one.expr for one in given if one.kind == Kind.NamedParamAssignment and one.name.valueText == "LUT"]
        if len(table) != 1 or len(pins) != 2:
            raise self.n.fail(f"table {full!r} has a parameter LUT, and pins A and Y; one is missing", offset)
        index = self.expressions.bits(pins["A"], None, offset)
        if len(index) > WIDEST_LUT:
            raise self.n.fail(f"table {full!r} has {len(index)} inputs at pin A; up to {WIDEST_LUT} are read", offset)
        rows = self.processes.constants(table[0], 1 << len(index), offset)
        self.grown(len(rows) >> MAX_FAN_IN)
        truth = sum(1 << m for m, bit in enumerate(rows) if bit)
        value = terms.looked_up(self.n, truth, index, offset)
        terms.drive(self.n, self._net(pins["Y"], "$lut", offset), value, offset)


def _expression(pin: Node, offset: int) -> Node | None:
    """The expression that is connected; None if there is none."""
    node = pin.expr if pin.kind != Kind.EmptyPortConnection else None
    while node is not None and node.kind in (Kind.SimplePropertyExpr, Kind.SimpleSequenceExpr):
        if node.kind == Kind.SimpleSequenceExpr and node.repetition is not None:
            raise BehaviourError("a sequence", offset)
        node = node.expr
    return node
