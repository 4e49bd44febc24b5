"""Straight-line C: functions that compute with ``& | ^ ~`` and constants, one statement after the other.

The circuit is what happens to the least significant bit of every value, which is what happens to each bit: a function
of words is the same circuit in 64 lanes. Values are integers or ``cell``, or ``bool`` with ``!`` for ``~``. What a
function is given, or reads from a parameter that is an array, are inputs; what it returns or writes to one, outputs. An
expression on the right is one gate if it depends on at most six values, named as what it is assigned to. Calls of
functions of the file are followed. Texts are parsed by pycparser, never compiled, never run.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycparser import c_ast, c_lexer, c_parser

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import terms
from graphsim.frontends.circuits.depth import Step, done
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.terms import ONE, ZERO, Term
from graphsim.graph.circuit import Circuit

#: Statements and operators that are followed, calls included.
MOST = 1 << 22
#: What a call counts for.
_CALL = 16
#: Elements of the longest array.
_LONGEST = 1 << 20
#: Frames of the parser: about twelve for each level of parentheses, of a hundred bytes each.
_FRAMES = 2_000_000
#: Types that files use without saying where they are from.
_TYPES = (
    "cell",
    "bool",
    *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"{sign}int_fast{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "size_t",
    "uintptr_t",
)
_TRUTHS = {"bool", "_Bool"}
#: What is taken out before the text is parsed: comments, texts (which stay), lines for the preprocessor.
_SKIPPED = re.compile(r'//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"|^[ \t]*#[^\n]*', re.DOTALL | re.MULTILINE)
_HARMLESS = re.compile(r"\s*#\s*(?:include\s*[<\"][\w./]+[>\"]|pragma\s+once)?\s*")
_WHERE = re.compile(r"[^:]*:([0-9]+)(?::[0-9]+)?: (.*)", re.DOTALL)
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)[uUlL]*")
_OPERATORS = {"&": terms.both, "|": terms.either, "^": terms.differ}

#: A node of pycparser's tree.
Node = Any


@dataclass
class _Array:
    """Elements that are known by their numbers.

    Attributes:
        name: of it.
        size: elements; None if it is not said.
        truth: whether its elements are bool.
        parameter: whether what is not there yet comes from outside.
        fixed: whether it may not be written to.
        values: as they are now.
        inputs: nets that were read before they were written.
        written: elements that were written.
    """

    name: str
    size: int | None
    truth: bool
    parameter: bool = False
    fixed: bool = False
    values: dict[int, Term] = field(default_factory=dict)
    inputs: dict[int, Net] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)


@dataclass
class _Variable:
    """A variable: its value, None before it has one, and whether it is bool."""

    value: Term | None
    truth: bool


@dataclass
class _Frame:
    """A function at work: what its names mean, and what it has returned."""

    names: dict[str, _Variable | _Array]
    result: Term | None = None
    returned: bool = False


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit that a function in a C file computes.

    Args:
        path: of the file.
        top: the function; else the only one that is neither static nor called by another.

    Raises:
        CircuitError: the file is not C, or its function does more than this module reads.
    """
    return _Reader(path, top).circuit()


class _Reader:
    def __init__(self, path: Path, top: str | None) -> None:
        self.path = str(path)
        self.size = 0
        tree = self._parsed(path.read_bytes().decode("utf-8", "replace"))
        self.functions: dict[str, Node] = {}
        self.truths = set(_TRUTHS)
        for node in tree.ext or ():
            if isinstance(node, c_ast.FuncDef):
                if node.decl.name in self.functions:
                    raise self._fail(f"function {node.decl.name!r} is there twice", node)
                self.functions[node.decl.name] = node
            elif isinstance(node, c_ast.Typedef) and self._base(node.type, node) in self.truths:
                self.truths.add(node.name)
            elif not isinstance(node, c_ast.Typedef) and not (
                isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl)
            ):
                raise self._fail("outside of functions there may be types and declarations of functions only", node)
        self.top = self._top(top)
        self.open = {self.top}
        self.n = Netlist(self.path, self.top)

    def _fail(self, message: str, node: Node) -> CircuitError:
        line = getattr(getattr(node, "coord", None), "line", None)
        return CircuitError(self.path, line, message)

    def _parsed(self, text: str) -> Node:
        def blank(found: re.Match[str]) -> str:
            if found[0][0] == '"':
                return found[0]
            if found[0].lstrip().startswith("#") and not _HARMLESS.fullmatch(found[0]):
                line = text.count("\n", 0, found.end()) + 1
                raise CircuitError(self.path, line, f"{found[0].strip()[:60]!r}: the preprocessor is not run here")
            return re.sub(r"[^\n]", " ", found[0])

        text = _SKIPPED.sub(blank, text)
        known = "".join(f"typedef int {name};" for name in _TYPES)
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(_FRAMES)
        parser = c_parser.CParser(lexer=_Lexer)
        try:
            return parser.parse(f'{known}\n#line 1 "text"\n{text}', "text")
        except c_parser.ParseError as error:
            found = _WHERE.fullmatch(str(error))
            line, what = (int(found[1]), found[2]) if found else (parser.clex.line, str(error).partition(": ")[2])
            raise CircuitError(self.path, line, f"is not C: {what[:200]}") from None
        except RecursionError:
            raise CircuitError(self.path, None, "its expressions are nested too deep") from None
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise CircuitError(self.path, parser.clex.line, "is not C that can be parsed") from None
        finally:
            sys.setrecursionlimit(before)

    def _top(self, top: str | None) -> str:
        shown = ", ".join(repr(name) for name in list(self.functions)[:8]) or "none"
        if top is not None:
            if top in self.functions:
                return top
            raise CircuitError(self.path, None, f"has no function {top!r}; its functions are {shown}")
        called = _Calls()
        for node in self.functions.values():
            called.walk(node.body)
        found = [
            name
            for name, node in self.functions.items()
            if name not in called.names and "static" not in node.decl.storage
        ]
        if len(found) != 1:
            how = "more than one function could be the circuit" if found else "no function could be the circuit"
            shown = ", ".join(repr(name) for name in found[:8]) or shown
            raise CircuitError(self.path, None, f"{how}: {shown}; say which (--top)")
        return found[0]

    def _grown(self, size: int, node: Node) -> None:
        self.size += size
        if self.size > MOST:
            raise self._fail(f"more than {MOST:,} statements and operators once calls are followed", node)

    def circuit(self) -> Circuit:
        """The circuit."""
        n, function = self.n, self.functions[self.top]
        frame = _Frame({})
        scalars: list[tuple[str, Net]] = []
        for parameter in self._parameters(function):
            name = parameter.name
            variable = self._declared(parameter)
            if isinstance(variable, _Array):
                variable.parameter = True
            else:
                net = n.new(name, parameter.coord.line)
                variable.value = terms.of(net)
                scalars.append((name, net))
            frame.names[name] = variable
        self._run(function, frame)
        nets = dict(scalars)
        for name, variable in frame.names.items():
            if isinstance(variable, _Array) and variable.parameter:
                self._port(variable, function)
            elif name in nets:
                n.input(nets[name], function.decl.coord.line)
        if frame.result is not None:
            n.output(self.top, self._net(frame.result))
        return n.circuit()

    def _port(self, array: _Array, function: Node) -> None:
        """Elements of a parameter are inputs, or outputs if it was written to."""
        n = self.n
        if array.inputs and array.written:
            both = min(array.inputs)
            shown = f"{array.name}[{both}] is read before it is written; an array is an input or an output"
            raise self._fail(shown, function.decl)
        most = max((*array.inputs, *array.written), default=-1) + 1
        for at in range(array.size or most):
            name = f"{array.name}[{at}]"
            if array.written:
                if at not in array.values:
                    raise self._fail(f"output {name} is never written", function.decl)
                n.output(name, self._net(array.values[at]))
            else:
                net = array.inputs[at] if at in array.inputs else n.new(name)
                n.input(net, function.decl.coord.line)

    def _net(self, term: Term) -> Net:
        return terms.net_of(self.n, term)

    def _parameters(self, function: Node) -> list[Node]:
        arguments = function.decl.type.args
        listed = [] if arguments is None else list(arguments.params)
        if len(listed) == 1 and getattr(listed[0], "name", "") is None:
            return []
        for parameter in listed:
            if not isinstance(parameter, c_ast.Decl) or parameter.name is None:
                raise self._fail(f"a parameter of {function.decl.name!r} has no name", function.decl)
        return listed

    def _base(self, kind: Node, node: Node) -> str:
        """The name of a plain type, or of an array's elements."""
        while isinstance(kind, c_ast.ArrayDecl | c_ast.PtrDecl | c_ast.TypeDecl):
            kind = kind.type
        if isinstance(kind, c_ast.IdentifierType):
            return " ".join(kind.names)
        raise self._fail("only integers and arrays of integers are read, no structures and functions", node)

    def _declared(self, declaration: Node) -> _Variable | _Array:
        kind, name = declaration.type, declaration.name
        base = self._base(kind, declaration)
        if base in ("void", "float", "double", "long double"):
            raise self._fail(f"{name!r} is {base}; values are integers", declaration)
        truth = base in self.truths
        if isinstance(kind, c_ast.TypeDecl):
            return _Variable(None, truth)
        inner = kind.type
        if not isinstance(inner, c_ast.TypeDecl):
            raise self._fail(f"{name!r} is an array of arrays or pointers", declaration)
        size = None
        if isinstance(kind, c_ast.ArrayDecl) and kind.dim is not None:
            size = self._integer(kind.dim, f"the size of {name!r}")
            if size > _LONGEST:
                raise self._fail(f"{name!r} has {size:,} elements", declaration)
        return _Array(name, size, truth, fixed="const" in inner.quals)

    def _integer(self, node: Node, what: str) -> int:
        found = _INTEGER.fullmatch(node.value) if isinstance(node, c_ast.Constant) else None
        if found is None or len(found[1]) > 400:
            raise self._fail(f"{what} is not a plain number", node)
        digits = found[1]
        octal = digits.isdigit() and digits[0] == "0" and len(digits) > 1
        try:
            return int(digits, 8 if octal else 0)
        except ValueError:
            raise self._fail(f"{digits!r} is not a number", node) from None

    def _run(self, function: Node, frame: _Frame) -> None:
        done(self._function(function, frame))

    def _function(self, function: Node, frame: _Frame) -> Step[None]:
        for statement in function.body.block_items or ():
            if frame.returned:
                raise self._fail("nothing comes after return", statement)
            yield self._statement(statement, frame)
        returns = self._base(function.decl.type.type, function.decl) != "void"
        if returns != (frame.result is not None):
            raise self._fail(
                f"function {function.decl.name!r} {'returns nothing' if returns else 'is void'}", function.decl
            )

    def _statement(self, node: Node, frame: _Frame) -> Step[None]:
        self._grown(1, node)
        if isinstance(node, c_ast.Decl):
            if node.name in frame.names:
                raise self._fail(f"{node.name!r} is declared a second time", node)
            variable = frame.names[node.name] = self._declared(node)
            if node.init is not None:
                if isinstance(variable, _Array):
                    raise self._fail(f"array {node.name!r} has first values; assign them one by one", node)
                value = yield self._value(node.init, frame)
                self._set(variable, node.name, value, node)
        elif isinstance(node, c_ast.DeclList):
            for declaration in node.decls:
                yield self._statement(declaration, frame)
        elif isinstance(node, c_ast.Assignment):
            yield self._assignment(node, frame)
        elif isinstance(node, c_ast.Return):
            frame.returned = True
            if node.expr is not None:
                result, _ = yield self._value(node.expr, frame)
                frame.result = result
        elif isinstance(node, c_ast.Compound):
            for statement in node.block_items or ():
                yield self._statement(statement, frame)
        elif isinstance(node, c_ast.FuncCall):
            yield self._call(node, frame)
        elif isinstance(node, c_ast.Cast) and self._base(node.to_type.type, node) == "void":
            return
        elif not isinstance(node, c_ast.EmptyStatement):
            words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
            raise self._fail(f"this is not straight-line code: {words}", node)

    def _assignment(self, node: Node, frame: _Frame) -> Step[None]:
        value: tuple[Term, bool] = yield self._value(node.rvalue, frame)
        if node.op != "=":
            if node.op[:-1] not in _OPERATORS:
                raise self._fail(f"operator {node.op}; = &= |= ^= are read", node)
            old: tuple[Term, bool] = yield self._value(node.lvalue, frame)
            joined = _OPERATORS[node.op[:-1]](self.n, old[0], value[0], node.coord.line)
            value = joined, old[1] and value[1]
        target = node.lvalue
        if isinstance(target, c_ast.ID):
            variable = self._variable(target, frame)
            if isinstance(variable, _Array):
                raise self._fail(f"array {target.name!r} is assigned as a whole", node)
            self._set(variable, target.name, value, node)
            return
        array, at = self._element(target, frame)
        if array.fixed:
            raise self._fail(f"{array.name!r} is const", node)
        self._checked(array.truth, value, f"{array.name}[{at}]", node)
        array.values[at] = self._gate(value[0], f"{array.name}[{at}]", node)
        array.written.add(at)

    def _set(self, variable: _Variable, name: str, value: tuple[Term, bool], node: Node) -> None:
        self._checked(variable.truth, value, name, node)
        variable.value = self._gate(value[0], name, node)

    def _checked(self, truth: bool, value: tuple[Term, bool], name: str, node: Node) -> None:
        if truth and not value[1]:
            raise self._fail(f"{name!r} is bool and would be whether any bit is 1; use ! for ~, or an integer", node)

    def _gate(self, term: Term, name: str, node: Node) -> Term:
        """A term with a gate of its own, unless it is a constant or a copy."""
        if not term.fanins or (len(term.fanins) == 1 and term.truth == 0b10):
            return term
        line = node.coord.line
        return terms.of(self.n.gate(self.n.new(name, line), term.fanins, term.truth, line))

    def _variable(self, node: Node, frame: _Frame) -> _Variable | _Array:
        found = frame.names.get(node.name)
        if found is None:
            raise self._fail(f"{node.name!r} is not declared", node)
        return found

    def _element(self, node: Node, frame: _Frame) -> tuple[_Array, int]:
        if isinstance(node, c_ast.ArrayRef) and isinstance(node.name, c_ast.ID):
            name, at = node.name, self._integer(node.subscript, f"the element of {node.name.name!r}")
        elif isinstance(node, c_ast.UnaryOp) and node.op == "*" and isinstance(node.expr, c_ast.ID):
            name, at = node.expr, 0
        else:
            raise self._fail("this is no variable and no element of an array", node)
        array = self._variable(name, frame)
        if not isinstance(array, _Array):
            raise self._fail(f"{name.name!r} is not an array", node)
        if at >= (array.size if array.size is not None else _LONGEST):
            has = f"has {array.size} elements" if array.size is not None else "is not so long"
            raise self._fail(f"{array.name}[{at:,}]: {array.name!r} {has}", node)
        self._grown(1, node)
        return array, at

    def _value(self, node: Node, frame: _Frame) -> Step[tuple[Term, bool]]:
        """The least significant bit of an expression, and whether the rest of it is 0 (as of a bool)."""
        rest: list[tuple[str, Node]] = []
        while isinstance(node, c_ast.BinaryOp):
            if node.op not in _OPERATORS:
                raise self._fail(f"operator {node.op}; & | ^ ~ are read", node)
            rest.append((node.op, node))
            node = node.left
        self._grown(1 + len(rest), node)
        term, truth = yield self._operand(node, frame)
        for op, binary in reversed(rest):
            other, other_truth = yield self._value(binary.right, frame)
            term = _OPERATORS[op](self.n, term, other, binary.coord.line if binary.coord else None)
            truth = truth and other_truth
        return term, truth

    def _operand(self, node: Node, frame: _Frame) -> Step[tuple[Term, bool]]:
        if isinstance(node, c_ast.UnaryOp) and node.op in ("~", "!", "+"):
            term, truth = yield self._value(node.expr, frame)
            if node.op == "+":
                return term, truth
            if node.op == "!" and not truth:
                raise self._fail("! of a word is whether all its bits are 0; use ~, or bool", node)
            return terms.inverted(term), node.op == "!"
        if isinstance(node, c_ast.UnaryOp) and node.op == "-" and isinstance(node.expr, c_ast.Constant):
            return (ONE if self._integer(node.expr, "a constant") & 1 else ZERO), False
        if isinstance(node, c_ast.Constant):
            number = self._integer(node, "a constant")
            return (ONE if number & 1 else ZERO), number in (0, 1)
        if isinstance(node, c_ast.ID) and node.name in ("true", "false") and node.name not in frame.names:
            return (ONE if node.name == "true" else ZERO), True
        if isinstance(node, c_ast.ID):
            variable = self._variable(node, frame)
            if isinstance(variable, _Array):
                raise self._fail(f"array {node.name!r} is used as a value", node)
            if variable.value is None:
                raise self._fail(f"{node.name!r} is read before it has a value", node)
            return variable.value, variable.truth
        if isinstance(node, c_ast.Cast):
            term, truth = yield self._value(node.expr, frame)
            to_truth = self._base(node.to_type.type, node) in self.truths
            if to_truth and not truth:
                raise self._fail("a word as bool is whether any of its bits is 1", node)
            return term, truth
        if isinstance(node, c_ast.BinaryOp):
            inner: tuple[Term, bool] = yield self._value(node, frame)
            return inner
        if isinstance(node, c_ast.FuncCall):
            result: tuple[Term, bool] | None = yield self._call(node, frame)
            if result is None:
                raise self._fail("a function that returns nothing is used as a value", node)
            return result
        if isinstance(node, c_ast.ArrayRef | c_ast.UnaryOp):
            array, at = self._element(node, frame)
            if at not in array.values:
                if not array.parameter:
                    raise self._fail(f"{array.name}[{at}] is read before it has a value", node)
                array.inputs[at] = self.n.new(f"{array.name}[{at}]", node.coord.line)
                array.values[at] = terms.of(array.inputs[at])
            return array.values[at], array.truth
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(node).__name__).lower()
        raise self._fail(f"in an expression only & | ^ ~, values and constants are read, no {words}", node)

    def _call(self, node: Node, frame: _Frame) -> Step[tuple[Term, bool] | None]:
        name = node.name.name if isinstance(node.name, c_ast.ID) else None
        function = self.functions.get(name or "")
        if function is None:
            raise self._fail(f"{name!r} is called, which is no function of the file", node)
        parameters = self._parameters(function)
        arguments = list(node.args.exprs) if node.args is not None else []
        if len(parameters) != len(arguments):
            raise self._fail(f"{name!r} takes {len(parameters)} values and is given {len(arguments)}", node)
        self._grown(_CALL, node)
        if node.name.name in self.open:
            raise self._fail(f"{name!r} is called within itself", node)
        inner = _Frame({})
        for parameter, argument in zip(parameters, arguments, strict=True):
            variable = self._declared(parameter)
            if isinstance(variable, _Array):
                given = frame.names.get(argument.name) if isinstance(argument, c_ast.ID) else None
                if not isinstance(given, _Array):
                    raise self._fail(f"{name!r} is to be given an array as {parameter.name!r}", node)
                inner.names[parameter.name] = given
            else:
                value = yield self._value(argument, frame)
                self._set(variable, parameter.name, value, node)
                inner.names[parameter.name] = variable
        self.open.add(node.name.name)
        yield self._function(function, inner)
        self.open.discard(node.name.name)
        if inner.result is None:
            return None
        return inner.result, self._base(function.decl.type.type, node) in self.truths


class _Lexer(c_lexer.CLexer):  # type: ignore[misc]
    """Knows the line of the last token, which some of the parser's messages leave out."""

    line = 1

    def token(self) -> Any:
        """The next token; None at the end."""
        found = super().token()
        self.line = self.line if found is None else found.lineno
        return found


class _Calls:
    """Names of functions that are called somewhere."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def walk(self, node: Node) -> None:
        """Look through a tree, however deep."""
        stack = [node]
        while stack:
            found = stack.pop()
            if isinstance(found, c_ast.FuncCall) and isinstance(found.name, c_ast.ID):
                self.names.add(found.name.name)
            stack += [child for _, child in found.children()]
