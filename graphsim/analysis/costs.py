"""What every actor costs on every node: ticks of a firing, bytes of parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import InfeasibleError
from graphsim.graph import Dense, Graph, OneToOne, Window
from graphsim.graph.ops import SINKS
from graphsim.machine import Machine

IntArray = npt.NDArray[np.int64]

#: No tick of a schedule may be later: an hour and a half at 200 MHz. Keeps all sums far from the end of int64.
LAST_TICK = 2**40
#: Group params that a firing reads; ``magnitude`` serves comparisons only and is not on the machine.
FIRING_ROLES = ("bias", "divisor", "alpha")
#: Groups of these ops sit on the hosts under every strategy; a placement file may move input actors only.
PINNED_OPS = ("source", "input", *SINKS)


class Stored(NamedTuple):
    """How actors of one group read one param: each a list of its elements, all lists alike but for where they begin.

    Attributes:
        param: its name.
        steps: int64: elements of a list, counted from its first; a list that a window cuts short is meant whole.
        actors: int64, local. begin: int64, parallel to it: the flat index of the first element of each one's list.
    """

    param: str
    steps: IntArray
    actors: IntArray
    begin: IntArray


def stored(graph: Graph, group: int) -> list[Stored]:
    """The weights and params that firings of a group read: one entry for every param, port and length of list."""
    one, params = graph.groups[group], graph.params
    everyone, single = np.arange(one.size), np.zeros(1, np.int64)
    found = []
    for role in FIRING_ROLES:
        if role in one.params:
            ref = one.params[role]
            found.append(Stored(ref.name, single, everyone, everyone // ref.inner % len(params[ref.name])))
    if "table" in one.params:
        ref = one.params["table"]
        entries, columns = params[ref.name].shape
        found.append(Stored(ref.name, columns * np.arange(entries), everyone, everyone // ref.inner % columns))
    for c in graph.channels_into(group):
        if c.weight is None:
            continue
        name, array = c.weight.name, params[c.weight.name]
        if isinstance(c, Dense):
            rows, columns = array.shape
            found.append(Stored(name, columns * np.arange(rows), everyone, everyone % columns))
        elif isinstance(c, OneToOne):
            found.append(Stored(name, single, everyone, everyone // c.weight.inner % len(array)))
        elif isinstance(c, Window):
            steps, begin = single, single + c.weight_offset
            for axis in c.axes:
                steps = (steps[:, None] + axis.weight_tap * np.arange(axis.taps)).reshape(-1)
                begin = (begin[:, None] + axis.weight_consumer * np.arange(axis.consumers)).reshape(-1)
            found.append(Stored(name, steps, everyone, begin))
        else:
            length = c.fan_in(graph.groups[c.src].size, one.size, params)
            first = np.cumsum(length) - length
            for k in np.unique(length[length > 0]).tolist():
                at = np.flatnonzero(length == k)
                found.append(Stored(name, np.arange(k), at, first[at]))
    return found


def parameter_bytes(graph: Graph, node: npt.NDArray[np.int32], nodes: int) -> IntArray:
    """Bytes of parameters on each of so many nodes when actor a is on ``node[a]``, int64 (nodes,).

    4 for every element of every list of weights or params that a firing there reads. Actors that read the same list of
    the same param (the positions of a filter) share one copy of it; it is kept whole, whatever a border cuts off.
    """
    lists: dict[tuple[str, bytes], list[IntArray]] = {}
    for number in range(len(graph.groups)):
        for s in stored(graph, number):
            there = node[graph.first[number] + s.actors]
            key = np.unique(s.begin * nodes + there)
            lists.setdefault((s.param, s.steps.tobytes()), []).append(key)
    total = np.zeros(nodes, np.int64)
    for (_, steps), keys in lists.items():
        key = keys[0] if len(keys) == 1 else np.unique(np.concatenate(keys))
        total += 4 * (len(steps) // 8) * np.bincount(key % nodes, minlength=nodes)
    return total


class Costs:
    """Prices, looked up once: nodes that price work alike are one *kind*, actors with equal fan-in one *case*.

    All firings of an actor are on one node, so that their ticks count together.

    Attributes:
        kind: int64 (nodes,): the kind of each node; -1 for switches.
        bytes: for each group, int64 (size,): bytes of parameters that each actor reads.
        whole: for each group: bytes of parameters that a node keeps if it fires all of the group.
        pinned: numbers of the groups that sit on the hosts.
        free: numbers of the other groups.
    """

    def __init__(self, graph: Graph, machine: Machine) -> None:
        self.graph, self.machine = graph, machine
        kinds: dict[object, int] = {}
        self.kind = np.full(len(machine.nodes), -1, np.int64)
        examples = []
        for v in machine.compute_nodes:
            spec = machine.nodes[v]
            key = (spec.frequency, spec.macs_per_tick, tuple(spec.op_ticks.items()), spec.ticks_per_firing)
            if key not in kinds:
                kinds[key] = len(kinds)
                examples.append(v)
            self.kind[v] = kinds[key]
        self.kinds = len(kinds)
        self.bytes: list[IntArray] = []
        self.whole: list[int] = []
        for number, group in enumerate(graph.groups):
            need, whole = np.zeros(group.size, np.int64), 0
            for s in stored(graph, number):
                need[s.actors] += 4 * len(s.steps)
                whole += 4 * len(s.steps) * len(np.unique(s.begin))
            self.bytes.append(need)
            self.whole.append(whole)
        self._case: list[IntArray] = []
        self._price: list[IntArray] = []
        for number in range(len(graph.groups)):
            fan_in, case = np.unique(graph.fan_in(number), return_inverse=True)
            work = [graph.work_of(number, int(k)) for k in fan_in]
            self._case.append(case.reshape(-1))
            price = [[machine.ticks(v, w) * graph.groups[number].firings for w in work] for v in examples]
            if max(map(max, price)) > LAST_TICK:
                raise InfeasibleError(
                    f"a firing of {graph.groups[number].name} takes {max(map(max, price)):,} ticks on {machine.name}, "
                    f"beyond tick {LAST_TICK:,}, the last that is counted; use lower op_ticks or frequencies that have "
                    f"more common factors"
                )
            self._price.append(np.array(price, np.int64))
        self.pinned = [i for i, g in enumerate(graph.groups) if g.op in PINNED_OPS]
        self.free = [i for i, g in enumerate(graph.groups) if g.op not in PINNED_OPS]

    def host_of(self, group: int) -> int:
        """The node where a pinned group sits."""
        return self.machine.sink_host if self.graph.groups[group].op in SINKS else self.machine.host

    def range_bytes(self, group: int, begin: int, end: int) -> int:
        """Bytes of parameters that actors ``begin`` .. ``end - 1`` of a group need on one node, at most."""
        return min(int(self.bytes[group][begin:end].sum()), self.whole[group])

    def ticks(self, group: int, node: int) -> IntArray:
        """Ticks of each actor of a group on a node, all its firings in an iteration together, int64 (size,)."""
        found: IntArray = self._price[group][self.kind[node]][self._case[group]]
        return found

    def cheapest(self, group: int) -> IntArray:
        """Ticks of one firing of each actor of a group on the kind of node that is fastest at it, int64 (size,)."""
        found: IntArray = self._price[group].min(axis=0)[self._case[group]] // self.graph.groups[group].firings
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
