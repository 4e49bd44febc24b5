"""Verilog as syntax: text into trees by slang, and what a module declares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pyslang import Bag, DiagnosticEngine, LanguageVersion, SourceManager
from pyslang.parsing import LexerOptions, ParserOptions, PreprocessorOptions, Token
from pyslang.syntax import SyntaxKind, SyntaxTree

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.depth import on_stack

#: How deep a text may be nested, and the stack that slang needs for it: at most 1,100 bytes a level were seen.
_DEPTH = 250_000
_STACK = 1 << 30
#: How deep it may be where there is no such stack.
_SHALLOW = 1000
#: Words that begin what slang nests without counting.
_NESTING = re.compile(
    r"\b(?:module|macromodule|begin|if|for|case[xz]?|generate|class|struct|union|interface|package|program|checker|fork"
    r"|config|function|task|property|sequence|covergroup|clocking|primitive|specify)\b"
)
#: Bits of the widest signal or constant.
WIDEST = 1 << 20
#: Comments, texts and names in which a backtick means nothing, or a directive.
_DIRECTIVE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\\\S+|`(\w*)', re.DOTALL)
#: Directives that do not change what a module is.
_HARMLESS = {
    "timescale",
    "default_nettype",
    "celldefine",
    "endcelldefine",
    "resetall",
    "nounconnected_drive",
    "suppress_faults",
    "nosuppress_faults",
    "enable_portfaults",
    "disable_portfaults",
    "delay_mode_path",
    "delay_mode_unit",
}
_NUMBER = re.compile(r"[0-9][0-9_]*")

#: A node of slang's tree.
Node = Any


class BehaviourError(Exception):
    """What takes a synthesis tool to read: ``what`` it is, and where it stands in the text."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.what, self.offset = what, offset


class Signal(NamedTuple):
    """A net or variable that is declared.

    Attributes:
        name: of it.
        left, right: the numbers of its most and least significant bits; both 0 if it has one bit, without a number.
        scalar: whether it is that one bit.
        offset: where it is declared.
        constant: "0" or "1" for a supply, else "".
    """

    name: str
    left: int
    right: int
    scalar: bool
    offset: int
    constant: str = ""

    @property
    def width(self) -> int:
        """Bits."""
        return abs(self.left - self.right) + 1

    def place(self, number: int) -> int | None:
        """Where a bit of that number is, the least significant bit being at 0; None if there is none."""
        at = number - self.right if self.left >= self.right else self.right - number
        return at if 0 <= at < self.width and not self.scalar else None

    def bit_name(self, place: int) -> str:
        """What the bit at a place is called."""
        number = self.right + place if self.left >= self.right else self.right - place
        return self.name if self.scalar else f"{self.name}[{number}]"


@dataclass
class Module:
    """A module's declarations, and what else it is made of.

    Attributes:
        name: of it.
        offset: where it begins.
        ports: names, in order.
        direction: of each port, "input" or "output".
        signals: all that is declared, by name.
        items: members that make something, in order.
        first: values that signals start with, or have if nothing drives them: name and expression.
        attributes: values that they start with if a flip-flop drives them, by Yosys's attribute ``init``.
    """

    name: str
    offset: int
    ports: list[str] = field(default_factory=list)
    direction: dict[str, str] = field(default_factory=dict)
    signals: dict[str, Signal] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    first: list[tuple[str, Node]] = field(default_factory=list)
    attributes: list[tuple[str, Node]] = field(default_factory=list)


class Text(NamedTuple):
    """A text that was parsed.

    Attributes:
        modules: as slang's trees. Their memory is that of ``tree``: they may be used only as long as it is there.
        tree: the whole, and what it was read with.
    """

    modules: list[Node]
    tree: tuple[SyntaxTree, SourceManager]


def parse(path: Path, text: str) -> Text:
    """Modules in a text.

    Raises:
        CircuitError: the text is not Verilog.
        BehaviourError: it has macros or includes, which are not followed here.
    """
    if "`" in text:
        for found in _DIRECTIVE.finditer(text):
            if found[1] is not None and found[1] not in _HARMLESS:
                raise BehaviourError(f"the directive `{found[1]}", found.start())
    if sum(1 for _ in _NESTING.finditer(text)) > 2 * _DEPTH:
        raise CircuitError(str(path), None, f"has more than {2 * _DEPTH:,} modules, blocks and conditions")
    manager = SourceManager()
    try:
        try:
            tree = on_stack(_STACK, lambda: _tree(path, text, manager, _DEPTH))
        except MemoryError:
            tree = _tree(path, text, manager, _SHALLOW)
    except RuntimeError:
        raise CircuitError(str(path), None, "is nested too deep") from None
    engine = DiagnosticEngine(manager)
    for problem in tree.diagnostics:
        if problem.isError():
            line = line_of(text, problem.location.offset)
            raise CircuitError(str(path), line, f"is not Verilog: {engine.formatMessage(problem)}")
    root: Node = tree.root
    members = root.members if root.kind == SyntaxKind.CompilationUnit else [root]
    modules = []
    for member in members:
        if member.kind != SyntaxKind.ModuleDeclaration:
            raise BehaviourError("what stands outside of modules", offset_of(member))
        modules.append(member)
    return Text(modules, (tree, manager))


def _tree(path: Path, text: str, manager: SourceManager, depth: int) -> SyntaxTree:
    options, limits, lexing, including = Bag(), ParserOptions(), LexerOptions(), PreprocessorOptions()
    limits.maxRecursionDepth = depth
    including.maxIncludeDepth = 0
    if path.suffix.lower() != ".sv":
        for part in (limits, lexing, including):
            part.languageVersion = LanguageVersion.v1364_2005
    options.parserOptions, options.lexerOptions, options.preprocessorOptions = limits, lexing, including
    return SyntaxTree.fromText(text, manager, str(path), "", options)


def line_of(text: str, offset: int) -> int:
    """The line in which a byte of a text is."""
    return text.encode().count(b"\n", 0, offset) + 1


def offset_of(node: Node) -> int:
    """Where a node of little depth begins, in bytes."""
    offset: int = node.getFirstToken().location.offset
    return offset


def parts(separated: Iterable[Node]) -> list[Node]:
    """Elements of a list, without the commas between them."""
    return [part for part in separated if not isinstance(part, Token)]


def number(node: Node) -> int | None:
    """The value of a plain number; None if it is anything else."""
    if node.kind == SyntaxKind.IntegerLiteralExpression:
        text = node.literal.rawText
        return int(text.replace("_", "")) if _NUMBER.fullmatch(text) and len(text) < 12 else None
    return None


def module_of(path: Path, text: str, node: Node) -> Module:
    """What a module declares.

    Raises:
        CircuitError: its declarations contradict each other.
        BehaviourError: they take more than numbers and names to understand.
    """
    return _Declarations(path, text, node).module


class _Declarations:
    def __init__(self, path: Path, text: str, node: Node) -> None:
        self.path, self.text = path, text
        header = node.header
        if header.parameters is not None:
            raise BehaviourError(f"the parameters of module {header.name.valueText!r}", offset_of(node))
        self.module = Module(header.name.valueText, offset_of(node))
        self.ranged: dict[str, bool] = {}
        self._header(header.ports)
        for member in node.members:
            self._member(member)
        for name in self.module.ports:
            if name not in self.module.direction:
                raise self._fail(
                    f"port {name!r} of module {self.module.name!r} is neither input nor output", self.module
                )

    def _fail(self, message: str, at: Module | Signal | Node) -> CircuitError:
        offset = at.offset if isinstance(at, Module | Signal) else offset_of(at)
        return CircuitError(str(self.path), line_of(self.text, offset), message)

    def _header(self, ports: Node) -> None:
        if ports is None:
            return
        if ports.kind == SyntaxKind.NonAnsiPortList:
            for port in parts(ports.ports):
                plain = port.kind == SyntaxKind.ImplicitNonAnsiPort and port.expr is not None
                if not plain or port.expr.kind != SyntaxKind.PortReference or port.expr.select is not None:
                    raise BehaviourError("a port that is more than a name", offset_of(port))
                self._port(port.expr.name.valueText, port)
        elif ports.kind == SyntaxKind.AnsiPortList:
            direction, data = "", None
            for port in parts(ports.ports):
                if port.kind != SyntaxKind.ImplicitAnsiPort:
                    raise BehaviourError("a port that is more than a name", offset_of(port))
                header = port.header
                given = getattr(header, "direction", None)
                if given is not None and given.rawText:
                    direction, data = given.rawText, None
                if data is None or self._says_more(header):
                    data = header
                self._port(port.declarator.name.valueText, port)
                self._declare_port(direction, data, port.declarator)
                self._attributes(port, [port.declarator])
        else:
            raise BehaviourError("a list of ports with a wildcard", offset_of(ports))

    @staticmethod
    def _says_more(header: Node) -> bool:
        """Whether a port's header has a type of its own."""
        kind = getattr(header, "dataType", None)
        net = getattr(header, "netType", None)
        return (kind is not None and (kind.kind != SyntaxKind.ImplicitType or len(kind.dimensions) > 0)) or (
            net is not None and bool(net.rawText)
        )

    def _port(self, name: str, node: Node) -> None:
        if name in self.module.ports:
            raise self._fail(f"port {name!r} is there twice", node)
        self.module.ports.append(name)

    def _declare_port(self, direction: str, header: Node, declarator: Node) -> None:
        name = declarator.name.valueText
        if direction not in ("input", "output"):
            raise self._fail(
                f"port {name!r} is {direction or 'of no direction'}; ports are inputs or outputs", declarator
            )
        if name in self.module.direction:
            raise self._fail(f"port {name!r} is declared twice", declarator)
        if name not in self.module.ports:
            raise self._fail(f"{direction} {name!r} is not among the ports of module {self.module.name!r}", declarator)
        self.module.direction[name] = direction
        net = getattr(header, "netType", None)
        self._declare(declarator, header.dataType, net.rawText if net is not None else "")

    def _declare(self, declarator: Node, kind: Node, net: str = "") -> None:
        name = declarator.name.valueText
        offset = declarator.name.location.offset
        if net not in ("", "wire", "tri", "supply0", "supply1"):
            raise BehaviourError(f"nets of type {net}", offset)
        if kind.kind not in (SyntaxKind.ImplicitType, SyntaxKind.RegType, SyntaxKind.LogicType, SyntaxKind.BitType):
            raise BehaviourError(f"{name!r}, which is not declared as bits,", offset)
        if kind.signing.rawText == "signed":
            raise BehaviourError(f"{name!r}, which is signed,", offset)
        if len(declarator.dimensions) or len(kind.dimensions) > 1:
            raise BehaviourError(f"{name!r}, which is an array,", offset)
        left, right = self._range(kind.dimensions[0]) if len(kind.dimensions) else (0, 0)
        new = Signal(name, left, right, not len(kind.dimensions), offset, net[-1] if net.startswith("supply") else "")
        old = self.module.signals.get(name)
        # `output q; reg [3:0] q;` says the range once in some old files, `output [3:0] q; reg q;` in others.
        if old is not None and name not in self.module.direction:
            raise self._fail(f"{name!r} is declared a second time", new)
        if old is not None and not old.scalar and not new.scalar and (old.left, old.right) != (left, right):
            shown = f"{name!r} is declared [{left}:{right}] here and [{old.left}:{old.right}] before"
            raise self._fail(shown, new)
        if old is None or old.scalar:
            self.module.signals[name] = new
        if declarator.initializer is not None:
            self.module.first.append((name, declarator.initializer.expr))

    def _range(self, dimension: Node) -> tuple[int, int]:
        specifier = dimension.specifier
        if specifier is None or specifier.kind != SyntaxKind.RangeDimensionSpecifier:
            raise BehaviourError("a range that is not of numbers", offset_of(dimension))
        selector = specifier.selector
        if selector.kind != SyntaxKind.SimpleRangeSelect:
            raise BehaviourError("a range that is not of numbers", offset_of(dimension))
        left, right = number(selector.left), number(selector.right)
        if left is None or right is None:
            raise BehaviourError("a range that is not of plain numbers", offset_of(dimension))
        if abs(left - right) >= WIDEST:
            raise self._fail(f"[{left}:{right}] are more than {WIDEST:,} bits", dimension)
        return left, right

    def _attributes(self, node: Node, declarators: list[Node]) -> None:
        for attribute in node.attributes:
            for one in parts(attribute.specs):
                if one.name.valueText == "init" and one.value is not None:
                    self.module.attributes += [(each.name.valueText, one.value.expr) for each in declarators]

    def _member(self, member: Node) -> None:
        kind = member.kind
        if kind in (SyntaxKind.PortDeclaration, SyntaxKind.NetDeclaration, SyntaxKind.DataDeclaration):
            self._attributes(member, parts(member.declarators))
        if kind == SyntaxKind.PortDeclaration:
            for declarator in parts(member.declarators):
                self._declare_port(member.header.direction.rawText, member.header, declarator)
        elif kind == SyntaxKind.NetDeclaration:
            for declarator in parts(member.declarators):
                before = len(self.module.first)
                self._declare(declarator, member.type, member.netType.rawText)
                # The first value of a net is what always drives it.
                if len(self.module.first) > before:
                    self.module.first.pop()
                    self.module.items.append(declarator)
        elif kind == SyntaxKind.DataDeclaration:
            if any(word.rawText not in ("var", "static") for word in member.modifiers):
                raise BehaviourError("a declaration with modifiers", offset_of(member))
            for declarator in parts(member.declarators):
                self._declare(declarator, member.type)
        elif kind in _ITEMS:
            self.module.items.append(member)
        elif kind not in _IGNORED:
            words = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.name).lower()
            raise BehaviourError(f"a {words}", offset_of(member))


_ITEMS = {
    SyntaxKind.ContinuousAssign,
    SyntaxKind.PrimitiveInstantiation,
    SyntaxKind.HierarchyInstantiation,
    SyntaxKind.AlwaysBlock,
    SyntaxKind.AlwaysFFBlock,
    SyntaxKind.InitialBlock,
}
_IGNORED = {SyntaxKind.EmptyMember, SyntaxKind.SpecifyBlock, SyntaxKind.TimeUnitsDeclaration}
