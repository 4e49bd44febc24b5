"""Structural Verilog as it is written: one module, an assignment for each gate, a block at an edge for registers.

Bits of inputs, or of outputs, that stand together in order are one port. What no tool could spell has ``_`` for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from graphsim.frontends.circuits.formula import Dialect, formula, written
from graphsim.frontends.circuits.names import distinct, spelt
from graphsim.graph.circuit import Circuit, ports

#: Characters of names; behind a backslash all that can be seen may stand.
_ALLOWED = "!-~"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_VERILOG = Dialect("1'b0", "1'b1", chosen="({0} ? {1} : {2})")
#: Names that are words of Verilog or SystemVerilog are written behind a backslash.
_WORDS = frozenset(
    word
    for line in (
        "accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin",
        "bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos",
        "config const constraint context continue cover covergroup coverpoint cross deassign default defparam design",
        "disable dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate",
        "endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify",
        "endtable endtask enum event eventually expect export extends extern final first_match for force foreach",
        "forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins",
        "implements implies import incdir include initial inout input inside instance int integer interconnect",
        "interface intersect join join_any join_none large let liblist library local localparam logic longint",
        "macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not",
        "notif0 notif1 null or output package packed parameter pmos posedge primitive priority program property",
        "protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase",
        "randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0",
        "rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal",
        "showcancelled signed small soft solve specify specparam static string strong strong0 strong1 struct super",
        "supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit",
        "tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until",
        "until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard",
        "wire with within wor xnor xor",
    )
    for word in line.split()
)


class _Ports(NamedTuple):
    """Ports of one direction: declarations without a name, names, and what each bit is called in expressions."""

    ranges: list[str]
    names: list[str]
    bits: list[str]


def write(circuit: Circuit, suffix: str) -> bytes:
    """The bytes of a file."""
    inputs, outputs = _grouped(circuit.input_names), _grouped(circuit.output_names)
    names = distinct([*inputs.names, *outputs.names])
    inputs, outputs = _renamed(inputs, names[: len(inputs.names)]), _renamed(outputs, names[len(inputs.names) :])
    clock_name, rising = circuit.clock
    clock = distinct(spelt([clock_name or "clk"], _ALLOWED), names)[0] if circuit.register_count else ""
    first = circuit.first_gate
    shown = circuit.outputs.tolist()
    # A gate that an output shows is that output's net.
    own: dict[int, str] = {}
    for bit, signal in zip(outputs.bits, shown, strict=True):
        if signal >= first:
            own.setdefault(signal, bit)
    wanted = spelt(circuit.register_names, _ALLOWED)
    wanted += [
        (circuit.gate_names[gate] if circuit.gate_names else "") or f"n{first + gate}"
        for gate in range(circuit.gate_count)
        if first + gate not in own
    ]
    inner = [_name(name) for name in distinct(spelt(wanted, _ALLOWED), [*names, clock])]
    registers, wires = inner[: circuit.register_count], inner[circuit.register_count :]
    rest = iter(wires)
    nets = [*inputs.bits, *registers, *(own.get(first + gate) or next(rest) for gate in range(circuit.gate_count))]
    declared = [
        *([f"input {_name(clock)}"] if clock else []),
        *(f"input {range_}{_name(name)}" for range_, name in zip(inputs.ranges, inputs.names, strict=True)),
        *(f"output {range_}{_name(name)}" for range_, name in zip(outputs.ranges, outputs.names, strict=True)),
    ]
    out = [f"module {_name(spelt([circuit.name], _ALLOWED)[0])} (", ",\n".join(f"  {port}" for port in declared), ");"]
    out += [f"  reg {name};" for name in registers]
    out += [f"  wire {name};" for name in wires]
    index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
    for gate in range(circuit.gate_count):
        fanins = [nets[signal] for signal in index[indptr[gate] : indptr[gate + 1]]]
        out.append(f"  assign {nets[first + gate]} = {written(formula(truth[gate], len(fanins)), fanins, _VERILOG)};")
    out += [
        f"  assign {bit} = {nets[signal]};"
        for bit, signal in zip(outputs.bits, shown, strict=True)
        if own.get(signal) != bit
    ]
    if registers:
        begins, follows = circuit.initial.tolist(), circuit.following.tolist()
        out += [
            "  initial begin",
            *(f"    {r} = 1'b{int(b)};" for r, b in zip(registers, begins, strict=True)),
            "  end",
        ]
        out.append(f"  always @({'posedge' if rising else 'negedge'} {_name(clock)}) begin")
        out += [f"    {register} <= {nets[signal]};" for register, signal in zip(registers, follows, strict=True)]
        out.append("  end")
    return "\n".join([*out, "endmodule", ""]).encode()


def _grouped(names: Sequence[str]) -> _Ports:
    """Bits that stand together in order, from number 0 on, as one port of several bits."""
    result = _Ports([], [], [])
    together = {
        places[0]: (base, len(places))
        for base, places in ports(names).items()
        if len(places) > 1 and places == tuple(range(places[0], places[0] + len(places)))
    }
    wanted: list[tuple[str, int]] = []
    at = 0
    while at < len(names):
        wanted.append(together.get(at, (names[at], 0)))
        at += wanted[-1][1] or 1
    for (_, width), name in zip(wanted, spelt([name for name, _ in wanted], _ALLOWED), strict=True):
        result.ranges.append(f"[{width - 1}:0] " if width else "")
        result.names.append(name)
    return result


def _renamed(group: _Ports, names: list[str]) -> _Ports:
    """Ports under other names, and their bits."""
    bits: list[str] = []
    for range_, name in zip(group.ranges, names, strict=True):
        width = int(range_[1:].split(":")[0]) + 1 if range_ else 0
        bits += [f"{_name(name)}[{number}]" for number in range(width)] if width else [_name(name)]
    return _Ports(group.ranges, names, bits)


def _name(name: str) -> str:
    """A name as it is written."""
    return name if _PLAIN.fullmatch(name) and name not in _WORDS else f"\\{name} "
