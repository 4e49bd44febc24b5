"""Yosys's cells of one bit: gates, multiplexers, tables, flip-flops, latches.

What each does: "Gate-level cells" of the Yosys manual. A cycle of a circuit ends with an edge of its clock. Resets,
sets and loads that do not wait for the clock act on the whole cycle in which they are active: the output shows the
new value in that cycle, and the flip-flop has it after it. Edges of them within a cycle cannot be told. A latch is a
flip-flop without a clock, which data override while it is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from graphsim.frontends.circuits import terms
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.frontends.circuits.terms import ONE, ZERO, Term
from graphsim.graph.circuit import VARIABLES

A, B, C, D = VARIABLES[:4]

#: Inputs of a gate, least significant bit of the table's index first, and its table.
GATES: dict[str, tuple[str, int]] = {
    "$_BUF_": ("A", A),
    "$_NOT_": ("A", ~A),
    "$_AND_": ("AB", A & B),
    "$_NAND_": ("AB", ~(A & B)),
    "$_OR_": ("AB", A | B),
    "$_NOR_": ("AB", ~(A | B)),
    "$_XOR_": ("AB", A ^ B),
    "$_XNOR_": ("AB", ~(A ^ B)),
    "$_ANDNOT_": ("AB", A & ~B),
    "$_ORNOT_": ("AB", A | ~B),
    "$_MUX_": ("ABS", C & B | ~C & A),
    "$_NMUX_": ("ABS", ~(C & B | ~C & A)),
    "$_AOI3_": ("ABC", ~(A & B | C)),
    "$_OAI3_": ("ABC", ~((A | B) & C)),
    "$_AOI4_": ("ABCD", ~(A & B | C & D)),
    "$_OAI4_": ("ABCD", ~((A | B) & (C | D))),
}
#: Data inputs of wide multiplexers and what selects among them, least significant bit first.
MUXES = {
    "$_MUX4_": ("ABCD", "ST"),
    "$_MUX8_": ("ABCDEFGH", "STU"),
    "$_MUX16_": ("ABCDEFGHIJKLMNOP", "STUV"),
}


class Force(NamedTuple):
    """What overrides the data of a flip-flop: the input that does, the value at which it does, and what it makes it:
    0, 1, or what another input says.
    """

    pin: str
    active: bool
    value: str


class FlipFlop(NamedTuple):
    """A kind of flip-flop or latch.

    Attributes:
        rising: its edge; None if it has no clock of its own.
        data: what it stores: its input D, or "" if it keeps what it has (a latch).
        enable: the value of E at which it takes data; None if it always does.
        at_edge: what overrides data at an edge.
        at_once: what overrides everything, without waiting for an edge; the first that is active counts.
        enabled_reset: whether E has a say in ``at_edge`` too.
    """

    rising: bool | None
    data: str = "D"
    enable: bool | None = None
    at_edge: tuple[Force, ...] = ()
    at_once: tuple[Force, ...] = ()
    enabled_reset: bool = False

    @property
    def pins(self) -> tuple[str, ...]:
        """Its inputs."""
        forces = self.at_edge + self.at_once
        loads = tuple(force.value for force in forces if force.value not in "01")
        clock = () if self.rising is None else ("C",)
        data = (self.data,) if self.data else ()
        return (*data, *clock, *(("E",) if self.enable is not None else ()), *(force.pin for force in forces), *loads)


def _flip_flops() -> dict[str, FlipFlop]:
    """By type. Letters say at which edges and values: N or P of clock, of set, reset or load, then the value that a
    reset makes, then N or P of the enable.
    """
    result = {"$_FF_": FlipFlop(None)}
    levels = (("N", False), ("P", True))
    for (c, edge), (e, enable) in product(levels, (("", None), *levels)):
        mark = "E" if e else ""
        result[f"$_DFF{mark}_{c}{e}_"] = FlipFlop(edge, enable=enable)
        for r, active in levels:
            for value in "01":
                force = (Force("R", active, value),)
                result[f"$_DFF{mark}_{c}{r}{value}{e}_"] = FlipFlop(edge, enable=enable, at_once=force)
                result[f"$_SDFF{mark}_{c}{r}{value}{e}_"] = FlipFlop(edge, enable=enable, at_edge=force)
                if e:
                    result[f"$_SDFFCE_{c}{r}{value}{e}_"] = FlipFlop(
                        edge, enable=enable, at_edge=force, enabled_reset=True
                    )
            result[f"$_ALDFF{mark}_{c}{r}{e}_"] = FlipFlop(edge, enable=enable, at_once=(Force("L", active, "AD"),))
            for s, other in levels:
                both = (Force("R", active, "0"), Force("S", other, "1"))
                result[f"$_DFFSR{mark}_{c}{s}{r}{e}_"] = FlipFlop(edge, enable=enable, at_once=both)
    for (s, setting), (r, active) in product(levels, levels):
        both = (Force("R", active, "0"), Force("S", setting, "1"))
        result[f"$_SR_{s}{r}_"] = FlipFlop(None, "", at_once=both)
        for e, open_at in levels:
            result[f"$_DLATCHSR_{e}{s}{r}_"] = FlipFlop(None, "", at_once=(*both, Force("E", open_at, "D")))
    for e, open_at in levels:
        opened = Force("E", open_at, "D")
        result[f"$_DLATCH_{e}_"] = FlipFlop(None, "", at_once=(opened,))
        for (r, active), value in product(levels, "01"):
            result[f"$_DLATCH_{e}{r}{value}_"] = FlipFlop(None, "", at_once=(Force("R", active, value), opened))
    return result


FLIP_FLOPS = _flip_flops()
#: Types that are refused, and why.
_REFUSED = {
    "$_TBUF_": "drives nothing at times; circuits have two values",
}


def known(kind: str) -> bool:
    """Whether a type is a cell of one bit, whether it can be used or not."""
    return kind in GATES or kind in MUXES or kind in FLIP_FLOPS or kind in _REFUSED


def inputs(kind: str) -> tuple[str, ...]:
    """Inputs of a type."""
    if kind in GATES:
        return tuple(GATES[kind][0])
    if kind in MUXES:
        return tuple("".join(MUXES[kind]))
    return FLIP_FLOPS[kind].pins if kind in FLIP_FLOPS else ()


def output(kind: str) -> str:
    """The output of a type."""
    return "Q" if kind in FLIP_FLOPS else "Y"


def build(
    n: Netlist, kind: str, name: str, pins: Mapping[str, Net], initial: bool = False, line: int | None = None
) -> None:
    """A cell drives the net at its output.

    Args:
        n: where.
        kind: its type, one that is :func:`known`.
        name: of the cell, for messages.
        pins: the net at each pin.
        initial: value of a flip-flop in cycle 0.
        line: of the cell.

    Raises:
        CircuitError: a pin is not connected, or cells of the type are refused.
    """
    if kind in _REFUSED:
        raise n.fail(f"cell {name!r} of type {kind} {_REFUSED[kind]}", line)
    for pin in (*inputs(kind), output(kind)):
        if pin not in pins:
            raise n.fail(f"pin {pin} of cell {name!r}, of type {kind}, is not connected", line)
    net = pins[output(kind)]
    if kind in GATES:
        names, truth = GATES[kind]
        n.gate(net, [pins[pin] for pin in names], truth, line)
    elif kind in MUXES:
        data, select = MUXES[kind]
        rows = [terms.of(pins[pin]) for pin in data]
        for pin in select:
            chooses = terms.of(pins[pin])
            rows = [terms.chosen(n, chooses, rows[i + 1], rows[i], line) for i in range(0, len(rows), 2)]
        terms.drive(n, net, rows[0], line)
    else:
        store(n, FLIP_FLOPS[kind], net, {pin: terms.of(pins[pin]) for pin in inputs(kind)}, initial, line)
        if "C" in pins and FLIP_FLOPS[kind].rising is not None:
            n.clock(pins["C"], bool(FLIP_FLOPS[kind].rising), line)


def store(
    n: Netlist, kind: FlipFlop, net: Net, pins: Mapping[str, Term], initial: bool, line: int | None = None
) -> None:
    """A flip-flop drives the net. Its clock is the caller's affair."""
    state = n.new(f"{n.name_of(net)}.stored", line) if kind.at_once else net
    held = terms.of(state)
    value = pins[kind.data] if kind.data else held
    if kind.enabled_reset:
        value = forced(n, kind.at_edge, pins, value, line)
    if kind.enable is not None:
        value = terms.chosen(n, pins["E"] if kind.enable else terms.inverted(pins["E"]), value, held, line)
    if not kind.enabled_reset:
        value = forced(n, kind.at_edge, pins, value, line)
    n.register(state, terms.net_of(n, forced(n, kind.at_once, pins, value, line), line), initial, line)
    if kind.at_once:
        terms.drive(n, net, forced(n, kind.at_once, pins, held, line), line)


def forced(n: Netlist, forces: tuple[Force, ...], pins: Mapping[str, Term], value: Term, line: int | None) -> Term:
    """A value, or what overrides it: the first of ``forces`` that is active."""
    for force in reversed(forces):
        active = pins[force.pin] if force.active else terms.inverted(pins[force.pin])
        new = {"0": ZERO, "1": ONE}.get(force.value) or pins[force.value]
        value = terms.chosen(n, active, new, value, line)
    return value
