"""Bits of expressions: functions of a few nets that have not become gates yet.

An expression is read into terms; operators join them as long as they depend on at most six nets, and make gates of
parts when there are more. So ``~a & b`` is one gate, as is any expression that fits into one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from graphsim.frontends.circuits.netlist import Net, Netlist, rewired, table
from graphsim.graph.verify import MAX_FAN_IN


class Term(NamedTuple):
    """One bit.

    Attributes:
        fanins: nets that it depends on, at most six, none twice.
        truth: bit ``sum(value(fanins[i]) << i)`` of it is the value.
    """

    fanins: tuple[Net, ...]
    truth: int


ZERO, ONE = Term((), 0), Term((), 1)
#: The truth table of a copy of one net.
_COPY = 0b10
#: Tables over two nets of the first and the second, or their complements, by their tables over one.
_FIRST, _SECOND = (0, 0b0101, 0b1010), (0, 0b0011, 0b1100)


def of(net: Net) -> Term:
    """A net's value."""
    return Term((net,), _COPY)


def inverted(term: Term) -> Term:
    """The opposite."""
    return Term(term.fanins, table(len(term.fanins), ~term.truth))


def both(n: Netlist, a: Term, b: Term, line: int | None = None) -> Term:
    """a and b."""
    return joined(n, lambda x, y: x & y, a, b, line=line)


def either(n: Netlist, a: Term, b: Term, line: int | None = None) -> Term:
    """a or b."""
    return joined(n, lambda x, y: x | y, a, b, line=line)


def differ(n: Netlist, a: Term, b: Term, line: int | None = None) -> Term:
    """Exclusive or."""
    return joined(n, lambda x, y: x ^ y, a, b, line=line)


def chosen(n: Netlist, select: Term, one: Term, zero: Term, line: int | None = None) -> Term:
    """``one`` where ``select`` is 1, else ``zero``."""
    if one == zero:
        return one
    return joined(n, lambda s, x, y: s & x | ~s & y, select, one, zero, line=line)


def looked_up(n: Netlist, truth: int, index: list[Term], line: int | None = None) -> Term:
    """Bit ``sum(index[i] << i)`` of a table of any size."""
    if len(index) <= MAX_FAN_IN and all(term.truth == _COPY for term in index):
        nets = [term.fanins[0] for term in index]
        if len(set(nets)) == len(nets):
            return Term(tuple(nets), table(len(nets), truth))
    rows = [ONE if truth >> m & 1 else ZERO for m in range(1 << len(index))]
    for select in index:
        rows = [chosen(n, select, rows[at + 1], rows[at], line) for at in range(0, len(rows), 2)]
    return rows[0]


def joined(n: Netlist, rule: Callable[..., int], *terms: Term, line: int | None = None) -> Term:
    """A function of terms.

    Args:
        n: where parts become gates, if all together depend on more than six nets.
        rule: works on words bit by bit.
        terms: its operands, at most six.
        line: of the expression.
    """
    if len(terms) == 2:
        (a, one), (b, two) = terms
        if len(a) == len(b) == 1 and a != b and 0 < one < 3 and 0 < two < 3:
            return Term(a + b, rule(_FIRST[one], _SECOND[two]) & 0b1111)
    fanins = tuple(dict.fromkeys(net for term in terms for net in term.fanins))
    if len(fanins) > MAX_FAN_IN:
        parts = list(terms)
        while len(fanins) > MAX_FAN_IN:
            most = max(range(len(parts)), key=lambda i: len(parts[i].fanins))
            parts[most] = of(net_of(n, parts[most], line))
            fanins = tuple(dict.fromkeys(net for term in parts for net in term.fanins))
        terms = tuple(parts)
    place = {net: at for at, net in enumerate(fanins)}
    words = [rewired(term.truth, tuple(place[net] for net in term.fanins), len(fanins)) for term in terms]
    return Term(fanins, table(len(fanins), rule(*words)))


def net_of(n: Netlist, term: Term, line: int | None = None) -> Net:
    """A net that has the value: the one that the term is a copy of, or a new one with a gate."""
    if term.truth == _COPY and len(term.fanins) == 1:
        return term.fanins[0]
    return n.gate(n.new(line=line), term.fanins, term.truth, line)


def drive(n: Netlist, net: Net, term: Term, line: int | None = None) -> None:
    """Let the term drive a net: by a gate, or if it is a copy of a net, as the same net."""
    if term.truth == _COPY and len(term.fanins) == 1:
        n.alias(net, term.fanins[0], line)
    else:
        n.gate(net, term.fanins, term.truth, line)
