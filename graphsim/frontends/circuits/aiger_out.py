"""AIGER files as they are written: ASCII (``.aag``), or binary (``.aig``) where literals descend and are deltas.

Gates become ANDs (:mod:`graphsim.frontends.circuits.ands`); registers that start at 1 make it version 1.9.
"""

from __future__ import annotations

from graphsim.frontends.circuits.ands import AndCircuit
from graphsim.graph.circuit import Circuit


def write(circuit: Circuit, suffix: str) -> bytes:
    """The bytes of a file with that suffix."""
    binary = suffix == ".aig"
    made = AndCircuit(circuit)
    literals, rows = made.literals, made.rows
    inputs, registers = circuit.input_count, circuit.register_count
    first = inputs + registers + 1
    counts = (inputs + registers + len(rows), inputs, registers, len(circuit.outputs), len(rows))
    out = [f"{'aig' if binary else 'aag'} {' '.join(str(count) for count in counts)}\n"]
    if not binary:
        out += [f"{2 * (at + 1)}\n" for at in range(inputs)]
    for at, (signal, initial) in enumerate(zip(circuit.following.tolist(), circuit.initial.tolist(), strict=True)):
        latch = "" if binary else f"{2 * (inputs + at + 1)} "
        out.append(f"{latch}{literals[signal]}{' 1' if initial else ''}\n")
    out += [f"{literals[signal]}\n" for signal in circuit.outputs.tolist()]
    middle = b""
    if binary:
        middle = _deltas(first, rows)
    else:
        out += [f"{2 * (first + at)} {left} {right}\n" for at, (left, right) in enumerate(rows)]
    tail = []
    names = (("i", circuit.input_names), ("l", circuit.register_names), ("o", circuit.output_names))
    for kind, of_kind in names:
        tail += [f"{kind}{at} {_line(name)}\n" for at, name in enumerate(of_kind)]
    tail.append(f"c\n{_line(circuit.name)}\n")
    return "".join(out).encode() + middle + "".join(tail).encode()


def _line(name: str) -> str:
    """A name without line ends, and not empty."""
    return " ".join(name.splitlines()) or "_"


def _deltas(first: int, rows: list[tuple[int, int]]) -> bytes:
    """Two differences per AND, seven bits a byte, the lowest first."""
    data = bytearray()
    for at, (left, right) in enumerate(rows):
        for delta in (2 * (first + at) - left, left - right):
            while delta > 127:
                data.append(delta & 127 | 128)
                delta >>= 7
            data.append(delta)
    return bytes(data)
