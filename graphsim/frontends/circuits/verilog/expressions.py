"""Verilog's expressions as bits: operators on bits, selections, concatenations, conditions, tables.

Widths follow IEEE 1364-2005, 5.4: an operand of a bitwise operator is as wide as the whole expression's context, filled
up with 0. Only as many low bits are worked out as are asked for. Arithmetic is left to synthesis tools.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Protocol

from pyslang.syntax import SyntaxKind as Kind

from graphsim.frontends.circuits import terms
from graphsim.frontends.circuits.depth import Step, done
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.terms import ONE, ZERO, Term
from graphsim.frontends.circuits.verilog.syntax import WIDEST, BehaviourError, Node, Signal, number, offset_of, parts

#: Selecting inputs of the widest table: ``16'h1234 >> {a, b, c, d}``.
_WIDEST_INDEX = 16
_WHOLE = 32
_BASES = {"b": 2, "o": 8, "d": 10, "h": 16}
_DIGITS = {"b": 1, "o": 3, "h": 4}
_UNKNOWN = re.compile(r"[xzXZ?]")

_BITWISE: dict[Kind, Callable[[int, int], int]] = {
    Kind.BinaryAndExpression: operator.and_,
    Kind.BinaryOrExpression: operator.or_,
    Kind.BinaryXorExpression: operator.xor,
    Kind.BinaryXnorExpression: lambda x, y: ~(x ^ y),
}
_LOGICAL: dict[Kind, Callable[[int, int], int]] = {
    Kind.LogicalAndExpression: operator.and_,
    Kind.LogicalOrExpression: operator.or_,
}
#: Reductions: what joins the bits, and whether the result is inverted.
_REDUCTIONS: dict[Kind, tuple[Callable[[int, int], int], bool]] = {
    Kind.UnaryBitwiseAndExpression: (operator.and_, False),
    Kind.UnaryBitwiseNandExpression: (operator.and_, True),
    Kind.UnaryBitwiseOrExpression: (operator.or_, False),
    Kind.UnaryBitwiseNorExpression: (operator.or_, True),
    Kind.UnaryBitwiseXorExpression: (operator.xor, False),
    Kind.UnaryBitwiseXnorExpression: (operator.xor, True),
    Kind.UnaryLogicalNotExpression: (operator.or_, True),
}
_EQUALITY = {Kind.EqualityExpression: False, Kind.InequalityExpression: True}
_CONSTANTS = (Kind.IntegerLiteralExpression, Kind.IntegerVectorExpression, Kind.UnbasedUnsizedLiteralExpression)


class Scope(Protocol):
    """Where names mean something."""

    @property
    def n(self) -> Netlist:
        """What it makes its gates in."""

    def signal(self, name: str, offset: int) -> Signal:
        """What is declared by that name, or what the name declares by being used."""

    def bits(self, signal: Signal) -> Sequence[Net]:
        """Its nets, from the least significant bit on."""

    def grown(self, size: int) -> None:
        """So much has been made or looked at.

        Raises:
            CircuitError: it is too much in all.
        """

    def unknown(self, count: int) -> None:
        """So many bits of constants are x or z, and have been taken as 0."""


class Expressions:
    """Reads expressions of a scope.

    Attributes:
        read: nets whose values were read; who wants to know empties it before.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope, self.n = scope, scope.n
        self.read: set[Net] = set()

    def bits(self, node: Node, width: int | None, offset: int) -> list[Term]:
        """The low bits of an expression.

        Args:
            node: the expression.
            width: how many; None for as many as it has by itself.
            offset: where it stands, for gates and messages.
        """
        plain = self._plain(node, width)
        return done(self._bits(node, width, offset)) if plain is None else plain

    def _values(self, node: Node) -> list[Term]:
        nets = self.target(node)
        self.read.update(nets)
        return [terms.of(net) for net in nets]

    def _plain(self, node: Node, width: int | None) -> list[Term] | None:
        """Bits of a name or of its complement, which most operands are; None for others."""
        kind = node.kind
        if kind == Kind.IdentifierName or kind == Kind.IdentifierSelectName:
            return _cut(self._values(node), width)
        if kind == Kind.UnaryBitwiseNotExpression:
            operand = node.operand
            if operand.kind == Kind.IdentifierName or operand.kind == Kind.IdentifierSelectName:
                return [terms.inverted(term) for term in _cut(self._values(operand), width)]
        return None

    def bit(self, node: Node, offset: int) -> Term:
        """Whether an expression is not 0."""
        return done(self._truth(node, offset))

    def target(self, node: Node) -> Sequence[Net]:
        """Nets that a name, a selection or a concatenation of them stands for, from the least significant bit on."""
        if node.kind != Kind.ConcatenationExpression:
            return self._named(node)
        nets: list[Net] = []
        stack = [node]
        while stack:
            part = stack.pop()
            if part.kind == Kind.ConcatenationExpression:
                stack += parts(part.expressions)
            else:
                nets += self._named(part)
        return nets

    def _named(self, node: Node) -> Sequence[Net]:
        if node.kind == Kind.IdentifierName:
            token = node.identifier
            return self.scope.bits(self.scope.signal(token.valueText, token.location.offset))
        if node.kind == Kind.IdentifierSelectName:
            return self._selected(node)
        raise self.n.fail(
            "this is driven, and is no net, selection of bits, or concatenation of these", offset_of(node)
        )

    def _selected(self, node: Node) -> Sequence[Net]:
        token = node.identifier
        name, offset = token.valueText, token.location.offset
        signal = self.scope.signal(name, offset)
        if len(node.selectors) != 1:
            raise BehaviourError(f"a selection from an array ({name!r})", offset)
        selector = node.selectors[0].selector
        if selector is None:
            raise self.n.fail(f"{name!r}: which bits are selected is missing", offset)
        kind = selector.kind
        if kind == Kind.BitSelect:
            high = low = self._number(selector.expr, name, offset)
        else:
            high, low = self._number(selector.left, name, offset), self._number(selector.right, name, offset)
            if kind == Kind.AscendingRangeSelect or kind == Kind.DescendingRangeSelect:
                width, down = low, kind == Kind.DescendingRangeSelect
                if not 0 < width <= WIDEST:
                    raise self.n.fail(f"{name!r}: {width} bits are selected", offset)
                first, last = (high - width + 1, high) if down else (high, high + width - 1)
                high, low = (last, first) if signal.left >= signal.right else (first, last)
        bits = self.scope.bits(signal)
        ends = signal.place(high), signal.place(low)
        if ends[0] is None or ends[1] is None:
            has = "one bit, without a number" if signal.scalar else f"bits [{signal.left}:{signal.right}]"
            raise self.n.fail(f"{name!r} has {has}; [{high}{f':{low}' if high != low else ''}] is selected", offset)
        if ends[0] < ends[1]:
            raise self.n.fail(f"{name!r} is declared [{signal.left}:{signal.right}]; [{high}:{low}] turns it", offset)
        return bits[ends[1] : ends[0] + 1]

    def _number(self, node: Node, name: str, offset: int) -> int:
        found = number(node)
        if found is None:
            raise BehaviourError(f"a selection from {name!r} that is not by a plain number", offset)
        return found

    def _bits(self, node: Node, width: int | None, offset: int) -> Step[list[Term]]:
        kind = node.kind
        while kind == Kind.ParenthesizedExpression:
            node = node.expression
            kind = node.kind
        self.scope.grown(1)
        if kind == Kind.IdentifierName or kind == Kind.IdentifierSelectName:
            return _cut(self._values(node), width)
        if kind in _CONSTANTS:
            return _cut(self.constant(node, width, offset), width)
        if kind in _BITWISE:
            found: list[Term] = yield self._chain(node, width, offset)
            return found
        if kind == Kind.UnaryBitwiseNotExpression:
            inverted = yield self._bits(node.operand, width, offset)
            return [terms.inverted(term) for term in inverted]
        if kind in _REDUCTIONS:
            rule, invert = _REDUCTIONS[kind]
            all_bits = yield self._bits(node.operand, None, offset)
            result = self._reduced(rule, all_bits, offset)
            return _cut([terms.inverted(result) if invert else result], width)
        if kind == Kind.ConditionalExpression:
            found = yield self._conditional(node, width, offset)
            return found
        if kind == Kind.ConcatenationExpression:
            result_bits: list[Term] = []
            for part in reversed(parts(node.expressions)):
                result_bits += yield self._bits(part, None, offset)
            return _cut(result_bits, width)
        if kind == Kind.MultipleConcatenationExpression:
            times = number(node.expression)
            if times is None:
                raise BehaviourError("a repetition that is not by a plain number", offset)
            once: list[Term] = yield self._bits(node.concatenation, None, offset)
            if times * len(once) > WIDEST:
                raise self.n.fail(f"{times:,} times {len(once):,} bits are more than {WIDEST:,}", offset)
            return _cut(once * times, width)
        if kind in _LOGICAL:
            left = yield self._truth(node.left, offset)
            right = yield self._truth(node.right, offset)
            return _cut([self._joined(_LOGICAL[kind], left, right, offset)], width)
        if kind in _EQUALITY:
            found = yield self._equal(node, width, offset)
            return found
        if kind == Kind.LogicalShiftRightExpression:
            found = yield self._looked_up(node, width, offset)
            return found
        raise BehaviourError(f"the operator of a{_words(kind)}", offset)

    def _chain(self, node: Node, width: int | None, offset: int) -> Step[list[Term]]:
        """Bitwise operators, of which there may be very many to the left of each other."""
        if width is None:
            width = yield self._width(node, offset)
        rest: list[tuple[Callable[[int, int], int], Node]] = []
        while node.kind in _BITWISE or node.kind == Kind.ParenthesizedExpression:
            if node.kind == Kind.ParenthesizedExpression:
                node = node.expression
            else:
                rest.append((_BITWISE[node.kind], node.right))
                node = node.left
        result = self._plain(node, width)
        if result is None:
            result = yield self._bits(node, width, offset)
        self.scope.grown(len(rest))
        for rule, operand in reversed(rest):
            other = self._plain(operand, width)
            if other is None:
                other = yield self._bits(operand, width, offset)
            assert result is not None
            result = [self._joined(rule, a, b, offset) for a, b in zip(result, other, strict=True)]
        assert result is not None
        return result

    def _conditional(self, node: Node, width: int | None, offset: int) -> Step[list[Term]]:
        conditions = parts(node.predicate.conditions)
        if len(conditions) != 1 or conditions[0].matchesClause is not None:
            raise BehaviourError("a condition with patterns", offset)
        if width is None:
            width = yield self._width(node, offset)
        select = yield self._truth(conditions[0].expr, offset)
        one = yield self._bits(node.left, width, offset)
        zero = yield self._bits(node.right, width, offset)
        return [terms.chosen(self.n, select, a, b, offset) for a, b in zip(one, zero, strict=True)]

    def _equal(self, node: Node, width: int | None, offset: int) -> Step[list[Term]]:
        left_width = yield self._width(node.left, offset)
        right_width = yield self._width(node.right, offset)
        most = max(left_width, right_width)
        left = yield self._bits(node.left, most, offset)
        right = yield self._bits(node.right, most, offset)
        differ = [self._joined(operator.xor, a, b, offset) for a, b in zip(left, right, strict=True)]
        any_differs = self._reduced(operator.or_, differ, offset)
        return _cut([any_differs if _EQUALITY[node.kind] else terms.inverted(any_differs)], width)

    def _looked_up(self, node: Node, width: int | None, offset: int) -> Step[list[Term]]:
        """A constant shifted by bits: a table that they are looked up in."""
        table = node.left
        while table.kind == Kind.ParenthesizedExpression:
            table = table.expression
        if table.kind not in _CONSTANTS:
            raise BehaviourError("a shift of what is not a constant", offset)
        values = self.constant(table, None, offset)
        index = yield self._bits(node.right, None, offset)
        if len(index) > _WIDEST_INDEX:
            raise BehaviourError(f"a shift by {len(index)} bits", offset)
        word = sum(1 << at for at, value in enumerate(values) if value == ONE)
        wanted = len(values) if width is None else min(width, len(values))
        self.scope.grown(wanted << len(index))
        return _cut([terms.looked_up(self.n, word >> at, index, offset) for at in range(wanted)], width)

    def _truth(self, node: Node, offset: int) -> Step[Term]:
        bits = yield self._bits(node, None, offset)
        return self._reduced(operator.or_, bits, offset)

    def _width(self, node: Node, offset: int) -> Step[int]:
        """Bits that an expression has by itself."""
        widest = 0
        while True:
            self.scope.grown(1)
            kind = node.kind
            if kind == Kind.ParenthesizedExpression:
                node = node.expression
            elif kind == Kind.UnaryBitwiseNotExpression:
                node = node.operand
            elif kind in _BITWISE:
                right = yield self._width(node.right, offset)
                widest, node = max(widest, right), node.left
            elif kind == Kind.ConditionalExpression:
                right = yield self._width(node.left, offset)
                widest, node = max(widest, right), node.right
            else:
                break
        if kind == Kind.IdentifierName or kind == Kind.IdentifierSelectName:
            return max(widest, len(self.target(node)))
        if kind in _CONSTANTS:
            return max(widest, len(self.constant(node, None, offset)))
        if kind == Kind.ConcatenationExpression:
            total = 0
            for part in parts(node.expressions):
                total += yield self._width(part, offset)
            return max(widest, total)
        if kind == Kind.MultipleConcatenationExpression:
            once: int = yield self._width(node.concatenation, offset)
            return max(widest, once * (number(node.expression) or 0))
        if kind == Kind.LogicalShiftRightExpression:
            shifted: int = yield self._width(node.left, offset)
            return max(widest, shifted)
        return max(widest, 1)

    def constant(self, node: Node, width: int | None, offset: int) -> list[Term]:
        """Bits of a constant, as many as it has by itself; one like ``'1`` has as many as are asked for."""
        if node.kind == Kind.UnbasedUnsizedLiteralExpression:
            text = node.literal.rawText[1:].lower()
            self.scope.unknown(text in "xz")
            return [ONE if text == "1" else ZERO] * (width or 1)
        if node.kind == Kind.IntegerLiteralExpression:
            text, base, size = node.literal.rawText.replace("_", ""), "d", _WHOLE
        else:
            base, text = node.base.rawText[1:].lower(), node.value.rawText.replace("_", "").lower()
            size = int(node.size.rawText.replace("_", "")[:9] or 0) if node.size.rawText else _WHOLE
        if base.startswith("s"):
            raise BehaviourError("a signed constant", offset)
        if not 0 < size <= WIDEST:
            raise self.n.fail(f"a constant of {size:,} bits; 1 to {WIDEST:,} can be", offset)
        try:
            bits = _digits(text, base, size)
        except ValueError:
            raise self.n.fail(f"{text!r} is not a number of base {_BASES.get(base, base)}", offset) from None
        unknown = sum(bit in "xz" for bit in bits)
        if unknown:
            self.scope.unknown(unknown)
        self.scope.grown(size)
        return [ONE if bit == "1" else ZERO for bit in bits]

    def _joined(self, rule: Callable[[int, int], int], a: Term, b: Term, offset: int) -> Term:
        return terms.joined(self.n, rule, a, b, line=offset)

    def _reduced(self, rule: Callable[[int, int], int], bits: list[Term], offset: int) -> Term:
        if not bits:
            raise self.n.fail("an expression of no bits", offset)
        return reduce(lambda a, b: self._joined(rule, a, b, offset), bits)


def _cut(bits: list[Term], width: int | None) -> list[Term]:
    """So many bits: the low ones, or filled up with 0."""
    if width is None or width == len(bits):
        return bits
    return bits[:width] if width < len(bits) else bits + [ZERO] * (width - len(bits))


def _digits(text: str, base: str, size: int) -> str:
    """Characters 0, 1, x or z of a number, from the least significant bit on."""
    if base == "d":
        if _UNKNOWN.fullmatch(text):
            return text.replace("?", "z") * size
        word = f"{int(text) % (1 << size):b}"[::-1] if len(text) < 4000 else ""
        if not word:
            raise ValueError
        return word.ljust(size, "0")
    width = _DIGITS[base]
    bits = "".join(
        digit.replace("?", "z") * width if _UNKNOWN.fullmatch(digit) else f"{int(digit, 1 << width):0{width}b}"
        for digit in text[-(size // width + 1) :]
    )[::-1]
    # The greatest digit, if it is x or z, goes on.
    fill = bits[-1] if bits and bits[-1] in "xz" else "0"
    return bits[:size].ljust(size, fill)


def _words(kind: Kind) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.name).lower()
    return f"n {words}" if words[0] in "aeiou" else f" {words}"
