"""The fixed set of small graphs and machines on which the scheduler is held against the optimum, all seeded.

Five families of graphs in turn: chains, layered nets, multicasts, loops with state, circuits; lines, rings, meshes,
toruses and full machines of 2 to 6 nodes, with frames of 8, 32 or 64 bits and links of latency 0 to 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from graphsim.graph import Channel, Dense, Graph, Group, OneToOne, Table
from graphsim.graph.circuit import Circuit, pack, to_graph
from graphsim.machine import Machine, load_machine

#: How many there are.
CASES = 100
_MACHINES = (
    "line:2", "line:3", "line:4", "ring:3", "ring:4", "ring:5", "ring:6", "mesh:2x2", "mesh:2x3", "mesh:3x2",
    "torus:2x3", "torus:3x2", "full:3", "full:4", "full:5", "full:6",
)  # fmt: skip


class Case(NamedTuple):
    """One graph on one machine."""

    family: str
    graph: Graph
    machine: Machine


class _Net:
    """A graph under construction, behind a source and its inputs."""

    def __init__(self, name: str, inputs: int, rng: np.random.Generator) -> None:
        self.name, self.rng = name, rng
        self.groups = [Group(name="source", op="source"), Group(name="x", op="input", shape=(inputs,))]
        self.channels: list[Channel] = [Dense(src=0, dst=1)]
        self.params: dict[str, np.ndarray] = {}

    def layer(self, size: int, *, fan_in: int | None = None, src: int | None = None) -> int:
        """A layer of sums, maxima or means that reads another, the last one by default: all of it, or ``fan_in``."""
        number = len(self.groups)
        src = number - 1 if src is None else src
        op = str(self.rng.choice(["sum", "max", "mean"]))
        linear = [] if fan_in == 0 else ["linear", "linear"]  # with one input and no activation it would cost nothing
        activation = str(self.rng.choice([*linear, "relu", "tanh"]))
        self.groups.append(Group(name=f"g{number}", op=op, shape=(size,), activation=activation))
        if fan_in is None:
            self.channels.append(Dense(src=src, dst=number))
        elif fan_in == 0:
            self.channels.append(OneToOne(src=src, dst=number))
        else:
            rows = self.rng.integers(0, self.groups[src].size, (size, fan_in)).astype(np.int32)
            self.params[f"i{number}"] = rows
            self.channels.append(Table(src=src, dst=number, index=f"i{number}"))
        return number

    def graph(self, *shown: int) -> Graph:
        """The graph, with a sink that collects each of these layers, the last one by default."""
        for src in shown or (len(self.groups) - 1,):
            self.channels.append(Dense(src=src, dst=len(self.groups)))
            self.groups.append(Group(name=f"sink{src}", op="collect"))
        return Graph(self.name, self.groups, self.channels, self.params)


def _chains(name: str, rng: np.random.Generator) -> Graph:
    """Rows of actors side by side, each of which reads the one before it."""
    width, length = int(rng.integers(1, 5)), int(rng.integers(2, 7))
    net = _Net(name, width, rng)
    for _ in range(length):
        net.layer(width, fan_in=0)
    return net.graph()


def _layered(name: str, rng: np.random.Generator) -> Graph:
    """Dense and sparse layers, sometimes with a way around one of them."""
    net = _Net(name, int(rng.integers(2, 9)), rng)
    for _ in range(int(rng.integers(1, 4))):
        net.layer(int(rng.integers(2, 9)), fan_in=None if rng.random() < 0.6 else int(rng.integers(1, 4)))
    return net.graph()


def _multicasts(name: str, rng: np.random.Generator) -> Graph:
    """Few tokens that many actors read, and back to few."""
    net = _Net(name, int(rng.integers(1, 4)), rng)
    net.layer(int(rng.integers(1, 3)))
    wide = net.layer(int(rng.integers(4, 17)))
    if rng.random() < 0.5:
        net.layer(int(rng.integers(1, 4)))
        return net.graph()
    net.layer(int(rng.integers(2, 7)), fan_in=2, src=wide)
    return net.graph()


def _loops(name: str, rng: np.random.Generator) -> Graph:
    """Layers with state: each reads itself, or one behind it, from one or two iterations ago."""
    net = _Net(name, int(rng.integers(1, 4)), rng)
    size = int(rng.integers(2, 7))
    first = net.layer(size)
    last = first
    for _ in range(int(rng.integers(0, 3))):
        last = net.layer(size, fan_in=0 if rng.random() < 0.5 else 2)
    net.channels.append(OneToOne(src=last, dst=first, port=1, initial_tokens=int(rng.integers(1, 3))))
    net.groups[first] = Group(name=f"g{first}", op="sum", shape=(size,), activation="tanh")
    net.layer(int(rng.integers(1, 4)))
    return net.graph()


def _circuits(name: str, rng: np.random.Generator) -> Graph:
    """Gates of two or three inputs, with up to four registers."""
    inputs, registers = int(rng.integers(2, 5)), int(rng.integers(0, 4))
    gates, outputs = int(rng.integers(5, 17)), int(rng.integers(1, 5))
    known = inputs + registers
    near = [range(max(0, known + g - 12), known + g) for g in range(gates)]
    rows = [
        sorted(rng.choice(list(near[g]), min(int(rng.integers(2, 4)), len(near[g])), replace=False).tolist())
        for g in range(gates)
    ]
    truth = [int(rng.integers(1, (1 << (1 << len(row))) - 1)) for row in rows]
    indptr, index = pack(rows)
    signals = np.arange(known + gates)
    return to_graph(
        Circuit(
            name=name,
            input_names=tuple(f"i{n}" for n in range(inputs)),
            output_names=tuple(f"o{n}" for n in range(outputs)),
            outputs=signals[-outputs:].astype(np.int32),
            indptr=indptr,
            index=index,
            truth=np.array(truth, np.uint64),
            register_names=tuple(f"r{n}" for n in range(registers)),
            initial=np.zeros(registers, np.bool_),
            following=rng.choice(signals[known:], registers).astype(np.int32),
        )
    )


FAMILIES: dict[str, Callable[[str, np.random.Generator], Graph]] = {
    "chains": _chains,
    "layered": _layered,
    "multicasts": _multicasts,
    "loops": _loops,
    "circuits": _circuits,
}


def case(number: int, draw: int = 0) -> Case:
    """Case ``number``, 0 .. ``CASES - 1`` for those of the set; always the same.

    Args:
        draw: 0, or the number of another graph and machine of the same family, which takes the place of the case where
            nobody knows the optimum of those before it.
    """
    rng = np.random.default_rng([2026, number, draw] if draw else [2026, number])
    family = list(FAMILIES)[number % len(FAMILIES)]
    graph = FAMILIES[family](f"{family}{number}", rng)
    shape = _MACHINES[int(rng.integers(len(_MACHINES)))]
    frame, latency = int(rng.choice([8, 32, 64, 64])), int(rng.integers(0, 4))
    machine = load_machine(f"{shape},frame_bits={frame},latency={latency}")
    return Case(family, graph, machine)
