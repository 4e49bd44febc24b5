"""What every actor costs on every node: ticks of a firing, bytes of parameters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.machine import Machine

IntArray = npt.NDArray[np.int64]

#: Group params that a firing reads; ``magnitude`` serves comparisons only and is not on the machine.
FIRING_ROLES = ("bias", "divisor", "alpha")
#: Groups of these ops sit on the host under every strategy; a placement file may move input actors only.
PINNED_OPS = ("source", "input", *SINKS)


def parameter_bytes(graph: Graph, group: int) -> IntArray:
    """Bytes of parameters that a node keeps for each actor of a group, int64 (size,).

    4 for every weighted input edge and for every param that a firing reads: an actor brings its own copy wherever it
    is placed.
    """
    one = graph.groups[group]
    floats = np.full(one.size, sum(role in one.params for role in FIRING_ROLES), np.int64)
    for c in graph.channels_into(group):
        if c.weight is not None:
            floats += c.fan_in(graph.groups[c.src].size, one.size, graph.params)
    return 4 * floats


class Costs:
    """Prices, looked up once: nodes that price work alike are one *kind*, actors with equal fan-in one *case*.

    Attributes:
        kind: int64 (nodes,): the kind of each node; -1 for switches.
        bytes: for each group, int64 (size,): bytes of parameters of each actor.
        pinned: numbers of the groups that sit on the host.
        free: numbers of the other groups.
    """

    def __init__(self, graph: Graph, machine: Machine) -> None:
        self.graph, self.machine = graph, machine
        kinds: dict[object, int] = {}
        self.kind = np.full(len(machine.nodes), -1, np.int64)
        examples = []
        for v in machine.compute_nodes:
            spec = machine.nodes[v]
            key = (spec.macs_per_tick, tuple(spec.op_ticks.items()), spec.ticks_per_firing)
            if key not in kinds:
                kinds[key] = len(kinds)
                examples.append(spec)
            self.kind[v] = kinds[key]
        self.kinds = len(kinds)
        self.bytes = [parameter_bytes(graph, g) for g in range(len(graph.groups))]
        self._case: list[IntArray] = []
        self._price: list[IntArray] = []
        for number in range(len(graph.groups)):
            fan_in, case = np.unique(graph.fan_in(number), return_inverse=True)
            work = [graph.work_of(number, int(k)) for k in fan_in]
            self._case.append(case.reshape(-1))
            self._price.append(np.array([[spec.ticks(w) for w in work] for spec in examples], np.int64))
        self.pinned = [i for i, g in enumerate(graph.groups) if g.op in PINNED_OPS]
        self.free = [i for i, g in enumerate(graph.groups) if g.op not in PINNED_OPS]

    def ticks(self, group: int, node: int) -> IntArray:
        """Ticks of a firing of each actor of a group on a node, int64 (size,)."""
        found: IntArray = self._price[group][self.kind[node]][self._case[group]]
        return found

    def uniform(self, group: int) -> bool:
        """Whether all actors of a group cost the same, on every node."""
        return int(self._price[group].shape[1]) == 1

    def greatest(self, group: int) -> int:
        """Ticks of the group's dearest actor on the kind of node that is slowest at it."""
        return int(self._price[group].max())

    def cases(self, group: int) -> tuple[IntArray, IntArray]:
        """The different prices in a group: ticks, int64 (kinds, cases), and how many actors have each, (cases,)."""
        return self._price[group], np.bincount(self._case[group], minlength=self._price[group].shape[1])

    def durations(self, node: npt.NDArray[np.int32]) -> IntArray:
        """Ticks of each actor's firing on the node it is placed on, int64 (actors,)."""
        ticks = np.empty(self.graph.actor_count, np.int64)
        for number in range(len(self.graph.groups)):
            at = slice(int(self.graph.first[number]), int(self.graph.first[number + 1]))
            ticks[at] = self._price[number][self.kind[node[at]], self._case[number]]
        return ticks
