"""Random circuits, and what they compute, worked out gate by gate in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from hypothesis import strategies as st

from graphsim.frontends.circuits.netlist import Netlist
from graphsim.graph.circuit import MAX_FAN_IN, Circuit, pack


def evaluate(circuit: Circuit, cycles: Sequence[Sequence[int]]) -> list[list[int]]:
    """Outputs in each cycle, from the inputs in each cycle: lists of bits in the order of their names."""
    state = [int(bit) for bit in circuit.initial]
    found = []
    for bits in cycles:
        value = [*bits, *state]
        for gate in range(circuit.gate_count):
            m = sum(value[f] << i for i, f in enumerate(circuit.fanins(gate)))
            value.append(int(circuit.truth[gate]) >> m & 1)
        found.append([value[s] for s in circuit.outputs])
        state = [value[s] for s in circuit.following]
    return found


@st.composite
def circuits(
    draw: st.DrawFn, *, inputs: int = 5, registers: int = 3, gates: int = 20, outputs: int = 4, fan_in: int = MAX_FAN_IN
) -> Circuit:
    """Circuits of up to so many inputs, registers, gates and outputs: constants, unread and repeated signals too."""
    i, r = draw(st.integers(0, inputs)), draw(st.integers(0, registers))
    rows: list[list[int]] = []
    truth: list[int] = []
    for g in range(draw(st.integers(0 if i + r else 1, gates))):
        below = i + r + g
        k = draw(st.integers(0, min(fan_in, below)))
        rows.append(sorted(draw(st.sets(st.integers(0, below - 1), min_size=k, max_size=k)) if below else ()))
        truth.append(draw(st.integers(0, (1 << (1 << k)) - 1)))
    signals = st.integers(0, i + r + len(rows) - 1)
    indptr, index = pack(rows)
    shown = draw(st.lists(signals, min_size=1, max_size=outputs))
    return Circuit(
        name="random",
        input_names=tuple(f"i{n}" for n in range(i)),
        output_names=tuple(f"o[{n}]" for n in range(len(shown))),
        outputs=np.array(shown, np.int32),
        indptr=indptr,
        index=index,
        truth=np.array(truth, np.uint64),
        register_names=tuple(f"r{n}" for n in range(r)),
        initial=np.array(draw(st.lists(st.booleans(), min_size=r, max_size=r)), np.bool_),
        following=np.array(draw(st.lists(signals, min_size=r, max_size=r)), np.int32),
    )


def same(one: Circuit, other: Circuit) -> bool:
    """Whether two circuits are encoded alike, names and all."""
    a: Mapping[str, object] = vars(one)
    return all(
        np.array_equal(value, getattr(other, key)) if isinstance(value, np.ndarray) else value == getattr(other, key)
        for key, value in a.items()
        if key in Circuit.__dataclass_fields__
    )


@cache
def life_rule() -> Circuit:
    """The rule of Conway's Game of Life by full adders: inputs nw, n, ne, w, c, e, sw, s, se."""
    net = Netlist("life", "life")
    cells = [net.net(name) for name in ("nw", "n", "ne", "w", "c", "e", "sw", "s", "se")]
    for cell in cells:
        net.input(cell)
    center = cells.pop(4)

    def add(a: int, b: int, c: int) -> tuple[int, int]:
        return net.gate(net.new(), (a, b, c), 0b10010110), net.gate(net.new(), (a, b, c), 0b11101000)

    (s0, c0), (s1, c1) = add(*cells[:3]), add(*cells[3:6])
    s2, c2 = net.gate(net.new(), cells[6:], 0b0110), net.gate(net.new(), cells[6:], 0b1000)
    ones, c3 = add(s0, s1, s2)
    t0, f0 = add(c0, c1, c2)
    twos, f1 = net.gate(net.new(), (t0, c3), 0b0110), net.gate(net.new(), (t0, c3), 0b1000)
    fours = net.gate(net.new(), (f0, f1), 0b1110)
    alive = net.gate(net.new(), (ones, center, twos, fours), sum(1 << m for m in range(16) if m in (5, 6, 7)))
    net.output("next", alive)
    return net.circuit()
