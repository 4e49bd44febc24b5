"""Truth tables as CSV: a line of names, then one of ``0``, ``1`` and ``-`` or ``x`` for each row of the table.

Inputs come first, then a column without a name (or ``|``, ``->``, ``=``), then the outputs. That column may be left out
of a table that is complete: it has 2**k rows, and its first k columns are all that they can be. Where no row says what
an output is, it is 0, which is noted.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.netlist import Netlist
from graphsim.frontends.circuits.pla import Table
from graphsim.frontends.circuits.text import decoded, quoted
from graphsim.graph.circuit import Circuit

_BETWEEN = ("", "|", "->", "=")
_BITS = {"0": "0", "1": "1", "-": "-", "x": "-", "X": "-"}


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a truth table; ``top`` means nothing here, as a file holds one.

    Raises:
        CircuitError: the file is not such a table, or its rows contradict each other.
    """
    netlist = Netlist(str(path), path.stem)
    names, rows = _cells(path, netlist)
    between = [at for at, name in enumerate(names) if name in _BETWEEN]
    if len(between) > 1:
        raise netlist.fail("several columns have no name; one may, between inputs and outputs", 1)
    if between:
        inputs, outputs = between[0], between[0] + 1
        bad = next((line for cells, line in rows if cells[inputs] not in ("", names[inputs])), None)
        if bad is not None:
            raise netlist.fail("the column without a name, between inputs and outputs, stays empty", bad)
    else:
        inputs = outputs = _inputs(netlist, [cells for cells, _ in rows])
    table = Table(names[:inputs], names[outputs:], lines=(1, 1))
    for cells, line in rows:
        wrong = [cell for at, cell in enumerate(cells) if cell not in _BITS and [at] != between]
        if wrong:
            raise netlist.fail(f"{quoted(wrong[0])} is not 0, 1, - or x", line)
        bits = ["".join(_BITS[cell] for cell in part) for part in (cells[:inputs], cells[outputs:])]
        table.rows.append((bits[0], bits[1], line))
    if not table.outputs:
        raise netlist.fail("has no outputs", 1)
    said = {row for row, values, _ in table.rows if "-" not in row + values}
    if len(said) < 1 << inputs:
        netlist.note("table.unknown", "outputs are 0 where no row says what they are")
    return table.circuit(netlist, zeros_are_said=True)


def _cells(path: Path, netlist: Netlist) -> tuple[list[str], list[tuple[list[str], int]]]:
    """The names, and the cells of each row with its line."""
    reader = csv.reader(io.StringIO(decoded(path.read_bytes()), newline=""), strict=True)
    found: list[tuple[list[str], int]] = []
    try:
        found = [([cell.strip() for cell in cells], reader.line_num) for cells in reader if any(cells)]
    except csv.Error as error:
        raise netlist.fail(f"is not CSV: {error}", reader.line_num) from error
    if not found:
        raise CircuitError(str(path), None, "is empty; a truth table begins with a line of names")
    names = found[0][0]
    for cells, line in found[1:]:
        if len(cells) != len(names):
            raise netlist.fail(f"has {len(cells)} columns; the first line names {len(names)}", line)
    return names, found[1:]


def _inputs(netlist: Netlist, rows: list[list[str]]) -> int:
    """How many columns are inputs of a table without a column between inputs and outputs."""
    count = len(rows).bit_length() - 1
    if rows and len(rows) == 1 << count and len(rows[0]) > count:
        inputs = {tuple(cells[:count]) for cells in rows}
        if len(inputs) == len(rows) and all(set(cells) <= {"0", "1"} for cells in inputs):
            return count
    how = "leave a column without a name between them, or give all 2**inputs rows"
    raise netlist.fail(f"cannot tell inputs from outputs; {how}", 1)
