"""Counting votes with gates: adder trees, and the class with the greatest count."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from graphsim.errors import UsageError
from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.graph.circuit import Circuit
from graphsim.zoo.logic.parts import placed

#: Of a, b and whether the less significant bits of a are greater than those of b: whether a is.
_GREATER = 0b1011_0010
#: Of a, b and c: b if c, else a.
_CHOOSE = 0b1100_1010


class _Rival(NamedTuple):
    """A class in the running: its votes and its number, least significant bit first."""

    votes: list[Net]
    number: list[Net]


def voting(circuit: Circuit, classes: int, name: str = "class") -> Circuit:
    """A circuit whose outputs are votes, completed by counting them and finding the class with the most.

    The outputs are dealt to the classes in equal parts, in order. The new outputs are the bits of the class's number,
    least significant first, ``class[0]`` and so on; of several classes with the most votes the first wins. Counting is
    by full adders of two gates of three inputs each, carries saved, until no two bits of a count weigh the same.

    Raises:
        UsageError: the outputs cannot be dealt out, or there are registers.
    """
    if classes < 2 or len(circuit.outputs) % classes or circuit.register_count:
        raise UsageError(f"{circuit.name}: {len(circuit.outputs)} votes cannot be dealt to {classes} classes")
    net = Netlist(circuit.name, circuit.name)
    inputs = [net.net(name) for name in circuit.input_names]
    for signal in inputs:
        net.input(signal)
    votes = placed(net, circuit, inputs)
    share = len(votes) // classes
    counts = [net.count(votes[at * share : (at + 1) * share]) for at in range(classes)]
    width = max(1, (classes - 1).bit_length())
    numbers = [[net.constant(net.new(), bool(at >> bit & 1)) for bit in range(width)] for at in range(classes)]
    rivals = list(map(_Rival, counts, numbers))
    while len(rivals) > 1:
        winners = [_better(net, *pair) for pair in zip(rivals[0::2], rivals[1::2], strict=False)]
        rivals = winners + (rivals[-1:] if len(rivals) % 2 else [])
    for bit, found in enumerate(rivals[0].number):
        net.output(f"{name}[{bit}]", found)
    return replace(net.circuit(), notes=circuit.notes)


def _better(net: Netlist, one: _Rival, other: _Rival) -> _Rival:
    """The rival with more votes; the first if both have as many."""
    greater = net.constant(net.new(), False)
    for a, b in zip(other.votes, one.votes, strict=True):
        greater = net.gate(net.new(), (a, b, greater), _GREATER)

    def chosen(first: list[Net], second: list[Net]) -> list[Net]:
        return [net.gate(net.new(), (a, b, greater), _CHOOSE) for a, b in zip(first, second, strict=True)]

    return _Rival(chosen(one.votes, other.votes), chosen(one.number, other.number))
