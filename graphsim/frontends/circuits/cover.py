"""Covers: functions as lists of products, each a row of ``0``, ``1`` and ``-`` with one character per input.

Up to six inputs make one gate. More make a gate for every product and a tree that joins them; or, if that takes fewer
gates, one for each cofactor by the first six inputs and a tree of multiplexers that the others steer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from graphsim.frontends.circuits.netlist import Net, Netlist, table
from graphsim.graph.circuit import VARIABLES
from graphsim.graph.verify import MAX_FAN_IN

_ALL = (1 << 64) - 1
#: Inputs up to which all values of a function are worked out.
_MOST = 14


@lru_cache(maxsize=1 << 14)
def truth_of(fan_in: int, rows: tuple[str, ...], value: bool) -> int:
    """The truth table that is ``value`` where one of the rows matches, with at most six inputs."""
    word = 0
    for row in rows:
        product = _ALL
        for i, bit in enumerate(row):
            if bit != "-":
                product &= VARIABLES[i] if bit == "1" else ~VARIABLES[i]
        word |= product
    return table(fan_in, word if value else ~word)


def drive(
    netlist: Netlist,
    net: Net,
    fanins: Sequence[Net],
    rows: Sequence[str],
    value: bool = True,
    line: int | None = None,
    products: dict[str, Net] | None = None,
) -> None:
    """A cover drives the net: it is ``value`` where one of the rows matches; without rows it is always 0.

    ``products``, where several covers have the same inputs: nets of rows that there are already.
    """
    if not rows:
        netlist.constant(net, False, line)
    elif len(fanins) <= MAX_FAN_IN:
        netlist.gate(net, fanins, truth_of(len(fanins), tuple(rows), value), line)
    elif any(not row.strip("-") for row in rows):
        netlist.constant(net, value, line)
    elif len(fanins) <= _MOST and len(rows) > 1 << len(fanins) - MAX_FAN_IN:
        matched = np.zeros((2,) * len(fanins), np.bool_)  # the last axis is the first input
        for row in set(rows):
            matched[tuple(slice(None) if bit == "-" else int(bit) for bit in reversed(row))] = True
        drive_by_table(netlist, net, fanins, np.packbits(matched == value, bitorder="little").tobytes(), line)
    elif len(rows) == 1 and products is None:
        netlist.tree(net, "and", _parts(netlist, fanins, rows[0], line), inverted=not value, line=line)
    else:
        made = {} if products is None else products
        for row in rows:
            if row not in made:
                made[row] = product(netlist, fanins, row, line)
        netlist.tree(net, "or", [made[row] for row in rows], inverted=not value, line=line)


def drive_by_table(netlist: Netlist, net: Net, fanins: Sequence[Net], table: bytes, line: int | None = None) -> None:
    """A function of more than six inputs drives the net: its value is bit ``sum(value(fanins[i]) << i)`` of the table.

    Made of cofactors by the first six inputs, and multiplexers of two or four that choose among them.

    Args:
        table: 2**k / 8 bytes, the lowest bits first.
    """
    words = np.frombuffer(table, "<u8").tolist()
    made: dict[tuple[int, ...], Net] = {}
    for word in words:
        if (word,) not in made:
            used = fanins[:MAX_FAN_IN] if word not in (0, _ALL) else ()
            made[word,] = netlist.gate(netlist.new(), used, word, line)
    chosen = [made[word,] for word in words]
    steer = list(fanins[MAX_FAN_IN:])
    while steer:
        bits = min(2, len(steer))
        selects, steer = steer[:bits], steer[bits:]
        ways = 1 << bits
        word = 0
        for way in range(ways):
            wanted = VARIABLES[way]
            for bit in range(bits):
                select = VARIABLES[ways + bit]
                wanted &= select if way >> bit & 1 else ~select
            word |= wanted
        outcome = []
        for at in range(0, len(chosen), ways):
            data = tuple(chosen[at : at + ways])
            if len(set(data)) == 1:
                outcome.append(data[0])
                continue
            key = (*data, *selects)
            if key not in made:
                made[key] = netlist.gate(netlist.new(), key, word, line)
            outcome.append(made[key])
        chosen = outcome
    netlist.alias(net, chosen[0], line)


def product(netlist: Netlist, fanins: Sequence[Net], row: str, line: int | None = None) -> Net:
    """The net that is 1 where the row matches: that of an input itself, where it is all that the row asks for."""
    parts = _parts(netlist, fanins, row, line)
    if not parts:
        return netlist.constant(netlist.new(), True, line)
    return parts[0] if len(parts) == 1 else netlist.tree(netlist.new(), "and", parts, line=line)


def _parts(netlist: Netlist, fanins: Sequence[Net], row: str, line: int | None) -> list[Net]:
    """Nets that are all 1 where the row matches: gates of up to six inputs each."""
    asked = [(fanin, bit == "1") for fanin, bit in zip(fanins, row, strict=True) if bit != "-"]
    parts = []
    for at in range(0, len(asked), MAX_FAN_IN):
        part = asked[at : at + MAX_FAN_IN]
        if len(part) == 1 and part[0][1]:
            parts.append(part[0][0])
        else:
            pattern = sum(bit << i for i, (_, bit) in enumerate(part))
            parts.append(netlist.gate(netlist.new(), [fanin for fanin, _ in part], 1 << pattern, line))
    return parts


def rows_of(truth: int, fan_in: int) -> tuple[tuple[str, ...], bool]:
    """A cover of a truth table, and the value that its rows are for: 1, or 0 where that takes fewer rows."""
    on, off = _irredundant(truth, fan_in), _irredundant(table(fan_in, ~truth), fan_in)
    return (off, False) if 0 < len(off) < len(on) else (on, True)


@lru_cache(maxsize=1 << 14)
def _irredundant(truth: int, fan_in: int) -> tuple[str, ...]:
    """Products that cover exactly the ones of a truth table, none of which can be left out.

    Minato, "Fast generation of irredundant sum-of-products forms from binary decision diagrams", SASIMI 1992.
    """
    return tuple(_products(truth, truth, fan_in)[0])


def _products(least: int, most: int, fan_in: int) -> tuple[list[str], int]:
    """Products over the first ``fan_in`` inputs whose union is between two tables; and that union."""
    if not least:
        return [], 0
    if most == table(fan_in, _ALL):
        return ["-" * fan_in], most
    half = 1 << fan_in - 1
    low = (1 << half) - 1
    least_0, least_1, most_0, most_1 = least & low, least >> half, most & low, most >> half
    rows_0, union_0 = _products(least_0 & ~most_1, most_0, fan_in - 1)
    rows_1, union_1 = _products(least_1 & ~most_0, most_1, fan_in - 1)
    rest, union = _products(least_0 & ~union_0 | least_1 & ~union_1, most_0 & most_1, fan_in - 1)
    rows = [row + "0" for row in rows_0] + [row + "1" for row in rows_1] + [row + "-" for row in rest]
    return rows, union_0 | union | (union_1 | union) << half
