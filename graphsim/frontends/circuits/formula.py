"""Formulas of gates: how a truth table of up to six inputs is written with and, or, exclusive or, not and choice."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from graphsim.frontends.circuits.netlist import table
from graphsim.graph.circuit import VARIABLES

#: Inputs of tables of which each is tried as the one that selects.
_TRIED = 4


class Formula(NamedTuple):
    """A formula.

    Attributes:
        op: ``0`` or ``1``; ``var``, a variable; ``not`` of one; ``and``, ``or``, ``xor`` of two; ``mux``, which is the
            second operand where the first is 1, else the third.
        operands: of it.
        variable: its number.
    """

    op: str
    operands: tuple[Formula, ...] = ()
    variable: int = 0


class Dialect(NamedTuple):
    """How a language writes formulas: patterns of the operators, with ``{0}``, ``{1}``, ``{2}`` for the operands."""

    zero: str
    one: str
    inverted: str = "~{0}"
    both: str = "({0} & {1})"
    either: str = "({0} | {1})"
    differ: str = "({0} ^ {1})"
    chosen: str = "(({0} & {1}) | (~{0} & {2}))"


def written(formula: Formula, names: list[str], dialect: Dialect) -> str:
    """A formula in a language, without parentheses around the whole.

    Args:
        formula: it.
        names: of its variables.
        dialect: the language.
    """
    text = _written(formula, names, dialect)
    return text[1:-1] if formula.op in ("and", "or", "xor", "mux") else text


def _written(formula: Formula, names: list[str], dialect: Dialect) -> str:
    if formula.op == "var":
        return names[formula.variable]
    patterns = {
        "0": dialect.zero,
        "1": dialect.one,
        "not": dialect.inverted,
        "and": dialect.both,
        "or": dialect.either,
        "xor": dialect.differ,
        "mux": dialect.chosen,
    }
    return patterns[formula.op].format(*(_written(operand, names, dialect) for operand in formula.operands))


@lru_cache(maxsize=1 << 16)
def formula(truth: int, fan_in: int) -> Formula:
    """A formula of a truth table over variables 0 .. ``fan_in`` - 1.

    Inputs are split in two wherever the table is a function of some of them, joined with a function of the others;
    where it is not, an input selects between two tables of the others, the one that leaves least to write.
    """
    support = [i for i in range(fan_in) if _cofactor(truth, fan_in, i, 0) != _cofactor(truth, fan_in, i, 1)]
    ones = table(fan_in, -1)
    if truth in (0, ones):
        return Formula("1" if truth else "0")
    if len(support) == 1:
        variable = Formula("var", variable=support[0])
        return variable if truth == table(fan_in, VARIABLES[support[0]]) else _inverted(variable)
    for size in range(1, len(support)):
        for chosen in combinations(support, size):
            found = _split(truth, fan_in, chosen)
            if found is not None:
                return found
    if len(support) > _TRIED:
        return _selection(truth, fan_in, support[0])
    return min((_selection(truth, fan_in, i) for i in support), key=_size)


def _selection(truth: int, fan_in: int, i: int) -> Formula:
    one, zero = (formula(_cofactor(truth, fan_in, i, value), fan_in) for value in (1, 0))
    return Formula("mux", (Formula("var", variable=i), one, zero))


def _size(of: Formula) -> int:
    """Operators in a formula."""
    return sum(map(_size, of.operands)) + (of.op != "var")


def variables(of: Formula) -> set[int]:
    """Variables in a formula."""
    return {of.variable} if of.op == "var" else {v for operand in of.operands for v in variables(operand)}


def _inverted(operand: Formula) -> Formula:
    return operand.operands[0] if operand.op == "not" else Formula("not", (operand,))


def _cofactor(truth: int, fan_in: int, i: int, value: int) -> int:
    """The table with input i held at a value; it no longer depends on it."""
    mask, width = VARIABLES[i], 1 << i
    if value:
        half = truth & mask
        return table(fan_in, half | half >> width)
    half = truth & ~mask
    return table(fan_in, half | half << width)


def _split(truth: int, fan_in: int, chosen: tuple[int, ...]) -> Formula | None:
    """The table as a function of the chosen inputs joined with one of the others, if it is that."""
    rows: dict[int, int] = {}
    for m in range(1 << len(chosen)):
        row, where = truth, table(fan_in, -1)
        for at, i in enumerate(chosen):
            row = _cofactor(row, fan_in, i, m >> at & 1)
            where &= VARIABLES[i] if m >> at & 1 else ~VARIABLES[i]
        rows[row] = rows.get(row, 0) | where
        if len(rows) > 2:
            return None
    (one, where), (other, _) = rows.items()
    ones = table(fan_in, -1)
    if one in (0, ones):
        one, other, where = other, one, ones & ~where
    if other == 0:
        op, dual = "and", "or"
    elif other == ones:
        op, dual, where = "or", "and", ones & ~where
    elif one == ones & ~other:
        op, dual, one = "xor", "xor", other
    else:
        return None
    parts = formula(where, fan_in), formula(one, fan_in)
    plain = tuple(part.operands[0] if part.op == "not" else part for part in parts)
    inverted = sum(part.op == "not" for part in parts)
    if op == "xor":
        return _inverted(Formula(op, plain)) if inverted == 1 else Formula(op, plain)
    return _inverted(Formula(dual, plain)) if inverted == 2 else Formula(op, parts)
