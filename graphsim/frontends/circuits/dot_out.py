"""Circuits for Graphviz: gates by what they do, registers as boxes with their first values."""

from __future__ import annotations

from graphsim.graph.circuit import Circuit

#: What gates of up to two inputs are called, by number of inputs and truth table.
_KINDS = {
    (0, 0b0): "0",
    (0, 0b1): "1",
    (1, 0b10): "BUF",
    (1, 0b01): "NOT",
    (2, 0b0001): "NOR",
    (2, 0b0010): "A&!B",
    (2, 0b0100): "B&!A",
    (2, 0b0110): "XOR",
    (2, 0b0111): "NAND",
    (2, 0b1000): "AND",
    (2, 0b1001): "XNOR",
    (2, 0b1011): "A|!B",
    (2, 0b1101): "B|!A",
    (2, 0b1110): "OR",
}


def write(circuit: Circuit, suffix: str) -> bytes:
    """The bytes of a file. A gate's inputs A, B, ... are in the order of their numbers; edges bear them where there are
    several and the gate is not the same for all.
    """
    first, inputs = circuit.first_gate, circuit.input_count
    out = [f"digraph {_text(circuit.name)} {{", "  rankdir=LR;", "  node [fontsize=10];"]
    out += [
        f"  s{s} [label={_text(name)}, shape=triangle, orientation=270];" for s, name in enumerate(circuit.input_names)
    ]
    for r, (name, initial) in enumerate(zip(circuit.register_names, circuit.initial.tolist(), strict=True)):
        out.append(f"  s{inputs + r} [label={_text(f'{name} = {int(initial)}')}, shape=box];")
    index, indptr, truth = circuit.index.tolist(), circuit.indptr.tolist(), circuit.truth.tolist()
    for gate in range(circuit.gate_count):
        fanins = index[indptr[gate] : indptr[gate + 1]]
        kind = _KINDS.get((len(fanins), truth[gate])) or f"{truth[gate]:#x}"
        name = circuit.gate_names[gate] if circuit.gate_names else ""
        out.append(f"  s{first + gate} [label={_text(f'{name}: {kind}' if name else kind)}];")
        lettered = len(fanins) > 1 and kind not in ("NOR", "XOR", "NAND", "AND", "XNOR", "OR")
        out += [
            f"  s{signal} -> s{first + gate}" + (f" [headlabel={'ABCDEF'[i]}, fontsize=8];" if lettered else ";")
            for i, signal in enumerate(fanins)
        ]
    for r, signal in enumerate(circuit.following.tolist()):
        out.append(f"  s{signal} -> s{inputs + r} [style=dashed];")
    for j, (name, signal) in enumerate(zip(circuit.output_names, circuit.outputs.tolist(), strict=True)):
        out += [f"  o{j} [label={_text(name)}, shape=triangle, orientation=90];", f"  s{signal} -> o{j};"]
    return "\n".join([*out, "}", ""]).encode()


def _text(text: str) -> str:
    """Text between quotes; nothing in it means anything to Graphviz."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
