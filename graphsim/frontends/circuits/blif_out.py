"""BLIF files as they are written: one model, a cover for each gate, a latch without a clock's name for each register.

A gate that an output shows has the output's name. An output that shows an input, a register or the same as another one
is a cover of its own, a copy: in BLIF an output is a net.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphsim.frontends.circuits.cover import rows_of
from graphsim.frontends.circuits.names import distinct, spelt
from graphsim.graph.circuit import Circuit

#: Characters of names: all that can be seen, but for those that begin comments, go on lines, or join ports.
_ALLOWED = r"!-\"$-<>-\[\]-~"
_WIDTH = 100


def write(circuit: Circuit, suffix: str) -> bytes:
    """The bytes of a file."""
    nets, outputs, copies = _nets(circuit)
    name = spelt([circuit.name], _ALLOWED)[0]
    out = [f".model {name}", *_wrapped(".inputs", nets[: circuit.input_count]), *_wrapped(".outputs", outputs)]
    registers = nets[circuit.input_count : circuit.first_gate]
    for net, following, initial in zip(registers, circuit.following.tolist(), circuit.initial.tolist(), strict=True):
        out.append(f".latch {nets[following]} {net} {int(initial)}")
    index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
    for gate in range(circuit.gate_count):
        # A cover without rows is 0, but to Yosys unknown if it has inputs.
        fanins = index[indptr[gate] : indptr[gate + 1]] if truth[gate] else []
        out += _wrapped(".names", [*(nets[signal] for signal in fanins), nets[circuit.first_gate + gate]])
        rows, value = rows_of(truth[gate], len(fanins))
        out += [f"{row} {int(value)}".lstrip() for row in rows]
    for net, output in copies:
        out += [*_wrapped(".names", [net, output]), "1 1"]
    return "\n".join([*out, ".end", ""]).encode()


def _nets(circuit: Circuit) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Names of the nets of all signals, and of the outputs; and the copies: (net, output) where they differ."""
    ports = spelt([*circuit.input_names, *circuit.register_names], _ALLOWED)
    shown = circuit.outputs.tolist()
    wanted = spelt(circuit.output_names, _ALLOWED)
    own = {name: signal for signal, name in enumerate(ports)}
    outputs = distinct(
        (name for name, signal in zip(wanted, shown, strict=True) if own.get(name) != signal),
        ports,
    )
    rest = iter(outputs)
    outputs = [name if own.get(name) == signal else next(rest) for name, signal in zip(wanted, shown, strict=True)]
    first = circuit.first_gate
    names = spelt(circuit.gate_names, _ALLOWED) if circuit.gate_names else [""] * circuit.gate_count
    gates = [
        (names[gate] if circuit.gate_names and circuit.gate_names[gate] else f"n{first + gate}")
        for gate in range(circuit.gate_count)
    ]
    by_output: dict[int, str] = {}
    copies = []
    for name, signal in zip(outputs, shown, strict=True):
        if signal >= first and signal not in by_output:
            by_output[signal] = name
        elif signal >= first or ports[signal] != name:
            copies.append((signal, name))
    others = iter(
        distinct(
            (name for gate, name in enumerate(gates) if first + gate not in by_output),
            [*ports, *outputs],
        )
    )
    nets = ports + [by_output[s] if (s := first + gate) in by_output else next(others) for gate in range(len(gates))]
    return nets, outputs, [(nets[signal], name) for signal, name in copies]


def _wrapped(what: str, words: Sequence[str] | Iterable[str]) -> list[str]:
    """A statement in lines that are not too long."""
    out, line = [], what
    for word in words:
        if len(line) + len(word) + 3 > _WIDTH and line != what:
            out.append(line + " \\")
            line = ""
        line += f" {word}"
    return [*out, line]
