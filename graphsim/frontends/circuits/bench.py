"""Netlists of the ISCAS benchmarks (``.bench``).

What the format is: Brglez, Bryan and Kozminski, "Combinational profiles of sequential benchmark circuits", ISCAS 1989;
tables (``LUT 0x8 (a, b)``), ``vdd`` and ``gnd`` are ABC's. The format gives registers no first value: they start at 0.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.cover import drive_by_table
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.text import lines, quoted
from graphsim.graph.circuit import Circuit
from graphsim.graph.verify import MAX_FAN_IN

#: A name may have parentheses of its own: 1GAT(0).
_PORT = re.compile(r"(INPUT|OUTPUT)\s*\(\s*(\S+?)\s*\)", re.IGNORECASE)
_GATE = re.compile(r"(\S+)\s*=\s*([A-Za-z_0-9]+?)(?:\s+(0x[0-9a-f]+))?\s*\((.*)\)", re.IGNORECASE)
_CONSTANT = re.compile(r"(\S+)\s*=\s*(vdd|gnd|vcc|const0|const1)(?:\s*\(\s*\))?", re.IGNORECASE)
#: Gates of any number of inputs: what joins them, and whether it is inverted.
_JOINED: dict[str, tuple[Literal["and", "or", "xor"], bool]] = {
    "AND": ("and", False),
    "NAND": ("and", True),
    "OR": ("or", False),
    "NOR": ("or", True),
    "XOR": ("xor", False),
    "XNOR": ("xor", True),
    "NXOR": ("xor", True),
}
#: Gates of one input, and whether it is inverted.
_SINGLE = {"NOT": True, "INV": True, "BUF": False, "BUFF": False}
_MOST = 16


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in a .bench file; ``top`` means nothing here, as a file holds one.

    Raises:
        CircuitError: the file is not .bench, or its nets do not make a circuit.
    """
    netlist = Netlist(str(path), path.stem)
    registers = 0
    outputs = []
    for number, line in lines(path):
        if not line:
            continue
        if port := _PORT.fullmatch(line):
            net = netlist.net(port[2], number)
            if port[1].upper() == "INPUT":
                netlist.input(net, number)
            else:
                outputs.append((port[2], net, number))
        elif constant := _CONSTANT.fullmatch(line):
            netlist.constant(netlist.net(constant[1], number), constant[2].lower() in ("vdd", "vcc", "const1"), number)
        elif gate := _GATE.fullmatch(line):
            names = [name.strip() for name in gate[4].split(",")]
            if not all(names):
                raise netlist.fail(f"gate {quoted(gate[1])} has an input without a name", number)
            fanins = [netlist.net(name, number) for name in names]
            registers += _gate(netlist, netlist.net(gate[1], number), gate[2].upper(), gate[3], fanins, number)
        else:
            shape = "INPUT(name), OUTPUT(name) or name = GATE(names)"
            raise netlist.fail(f"{quoted(line)} is not {shape}", number)
    if not outputs:
        raise CircuitError(str(path), None, "has no OUTPUT")
    for name, net, number in outputs:
        netlist.output(name, net, number)
    if registers:
        netlist.note("bench.first_values", "the format has none; registers start at 0")
    return netlist.circuit()


def _gate(netlist: Netlist, net: Net, kind: str, word: str | None, fanins: list[Net], line: int) -> bool:
    """Say what drives a net; whether it is a register."""
    count = len(fanins)
    if (kind == "LUT") != (word is not None):
        raise netlist.fail(
            f"{kind} {word or ''} of net {netlist.name_of(net)!r}: a table is written LUT 0x8 (a, b)", line
        )
    if kind in _JOINED:
        op, inverted = _JOINED[kind]
        netlist.tree(net, op, fanins, inverted=inverted, line=line)
    elif kind in _SINGLE or kind == "DFF":
        if count != 1:
            raise netlist.fail(f"{kind} of net {netlist.name_of(net)!r} has {count} inputs; it takes 1", line)
        if kind == "DFF":
            netlist.register(net, fanins[0], False, line)
            return True
        netlist.gate(net, fanins, 1 if _SINGLE[kind] else 2, line)
    elif word is not None:
        table = int(word[2 : 3 + (1 << _MOST)], 16) if len(word) < 3 + (1 << _MOST) else -1
        if count > _MOST or table < 0 or table >> (1 << count):
            what = f"table of net {netlist.name_of(net)!r} does not fit its {count} inputs"
            raise netlist.fail(f"{what}; it has 2**inputs bits, for at most {_MOST}", line)
        if count <= MAX_FAN_IN:
            netlist.gate(net, fanins, table, line)
        else:
            drive_by_table(netlist, net, fanins, table.to_bytes((1 << count) // 8, "little"), line)
    else:
        known = ", ".join((*_JOINED, *_SINGLE, "DFF", "LUT"))
        raise netlist.fail(f"there is no gate {kind} (net {netlist.name_of(net)!r}); known: {known}", line)
    return False
