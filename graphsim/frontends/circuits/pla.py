"""Truth tables as espresso reads them (``.pla``).

What the format is: espresso(5), Berkeley. Where a function does not matter it is 0, which is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.cover import drive
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.text import FREE_NAMES, lines, quoted
from graphsim.graph.circuit import Circuit

_TYPES = ("f", "fd", "fr", "fdr")
_IGNORED = (".p", ".pair", ".phase", ".param")
_PLANE = str.maketrans("2", "-", "|\t ")
#: Pairs of rows that are compared to find those that contradict each other.
_PAIRS = 1 << 20


@dataclass
class Table:
    """A truth table: rows of ``0``, ``1`` and ``-``, per input and per output, with their lines.

    ``-`` of an output: nothing is said. ``lines``: where inputs and outputs are named.
    """

    inputs: list[str]
    outputs: list[str]
    rows: list[tuple[str, str, int]] = field(default_factory=list)
    lines: tuple[int | None, int | None] = (None, None)

    def circuit(self, netlist: Netlist, *, zeros_are_said: bool) -> Circuit:
        """The circuit that is 1 where a row says so, and 0 elsewhere.

        Args:
            zeros_are_said: an output's ``0`` in a row means that it is 0 there, not merely that it says nothing.

        Raises:
            CircuitError: two rows contradict each other.
        """
        nets = [netlist.net(name) for name in self.inputs]
        for net in nets:
            netlist.input(net, self.lines[0])
        if zeros_are_said:
            self._check(netlist)
        products: dict[str, Net] = {}
        for at, name in enumerate(self.outputs):
            rows = [row for row, values, _ in self.rows if values[at] == "1"]
            net = netlist.new(name)
            drive(netlist, net, nets, rows, products=products)
            netlist.output(name, net, self.lines[1])
        return netlist.circuit()

    def _check(self, netlist: Netlist) -> None:
        """Complain about rows of which one says 1 and the other 0 for the same inputs."""
        care = [int(row.translate(_CARE) or "0", 2) for row, _, _ in self.rows]
        ones = [int(row.replace("-", "0") or "0", 2) for row, _, _ in self.rows]
        left = _PAIRS
        for at, name in enumerate(self.outputs):
            on = [i for i, (_, values, _) in enumerate(self.rows) if values[at] == "1"]
            off = [i for i, (_, values, _) in enumerate(self.rows) if values[at] == "0"]
            left -= len(on) * len(off)
            if left < 0:
                netlist.note("table.rows", "so many that contradictions were not looked for; 1 wins")
                return
            for i in on:
                for j in off:
                    if not care[i] & care[j] & (ones[i] ^ ones[j]):
                        lines = f"lines {self.rows[i][2]} and {self.rows[j][2]}"
                        message = f"{lines} say 1 and 0 of output {name!r} for the same inputs"
                        raise netlist.fail(message, max(self.rows[i][2], self.rows[j][2]))


_CARE = str.maketrans("01-", "110")


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a .pla file; ``top`` means nothing here, as a file holds one.

    Raises:
        CircuitError: the file is not a table, or its rows contradict each other.
    """
    netlist = Netlist(str(path), path.stem)
    counts: dict[str, int] = {}
    names: dict[str, list[str]] = {}
    named: dict[str, int] = {}
    kind = "fd"
    rows: list[tuple[str, str, int]] = []
    room = FREE_NAMES + path.stat().st_size
    for number, line in lines(path):
        what, *words = line.split() if line.startswith(".") else [""]
        if what == ".phase" and "0" in "".join(words):
            raise netlist.fail(f"{quoted(line)} turns outputs into their complements; write their rows so", number)
        if not line or what in _IGNORED:
            continue
        if what in (".e", ".end"):
            break
        if what in (".i", ".o"):
            if len(words) != 1 or not words[0].isdecimal() or len(words[0]) > 12 or int(words[0]) > room:
                raise netlist.fail(f"{quoted(line)}: a number of columns that the file has room for", number)
            if what in counts:
                raise netlist.fail(f"{what} is there a second time", number)
            counts[what] = int(words[0])
        elif what in (".ilb", ".ob", ".olb"):
            of = ".i" if what == ".ilb" else ".o"
            names[of], named[of] = words, number
        elif what == ".type":
            if words not in [[known] for known in _TYPES]:
                raise netlist.fail(f"{quoted(line)}: the types are {', '.join(_TYPES)}", number)
            kind = words[0]
        elif what:
            raise netlist.fail(f"{quoted(what)} is not known in a table of bits", number)
        else:
            rows.append(_row(netlist, line, counts, number))
    for what in (".i", ".o"):
        if what not in counts:
            raise CircuitError(str(path), None, f"has no {what}: how many {_NAMES[what]} there are")
        if len(names.setdefault(what, _default(what, counts[what]))) != counts[what]:
            message = f"names {len(names[what])} {_NAMES[what]}; {what} says {counts[what]}"
            raise netlist.fail(message, named[what])
    silent = any("-" in values for _, values, _ in rows)
    if kind in ("fr", "fdr") or (kind == "fd" and silent):
        netlist.note("pla.type", f"{kind}; outputs are 0 where they do not matter")
    table = Table(names[".i"], names[".o"], rows, (named.get(".i"), named.get(".o")))
    return table.circuit(netlist, zeros_are_said=kind in ("fr", "fdr"))


_NAMES = {".i": "inputs", ".o": "outputs"}
_OUTPUTS = str.maketrans("2~4", "--1")


def _default(what: str, count: int) -> list[str]:
    return [f"{what[1]}{at}" for at in range(count)]


def _row(netlist: Netlist, line: str, counts: dict[str, int], number: int) -> tuple[str, str, int]:
    """A row's inputs and outputs."""
    if ".i" not in counts or ".o" not in counts:
        raise netlist.fail(f"{quoted(line)} comes before .i and .o, or is no row", number)
    bits = line.translate(_PLANE)
    width, shown = counts[".i"], counts[".o"]
    plane, values = bits[:width], bits[width:].translate(_OUTPUTS)
    if len(bits) != width + shown or plane.strip("01-") or values.strip("01-"):
        raise netlist.fail(f"row {quoted(line)} is not {width} inputs of 0, 1 and -, and {shown} outputs", number)
    return plane, values, number
