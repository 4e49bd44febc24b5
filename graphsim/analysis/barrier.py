"""Recurrent layers whose every step waits for all of the step before: what that proves about the period.

Let H be a layer whose firings of step t are all read by each firing of some layers G at step t + 1 (gates of an LSTM; H
itself where it is a simple recurrent layer), and let every firing of G be followed, within its step, by firings that
take D ticks or more and end with one of H. So what G fires at step t + 1 starts D ticks or more after all that G fires
at step t. All firings of an actor are on one node. Let k nodes fire G, y the one that has most to do of a step of it, L
ticks: no less than work and pigeonhole prove for k nodes. Let z be another, and S(t) when y starts with step t. Then

    S(t + 1) >= S(t) + L + D
    S(t + 2) >= S(t) + L + D + (from y to z) + (a firing on z) + D + (from z to y)

as z waits for the last firing of y, and y for z. Of k nodes one is at least as far from y, there and back, as the node
that is number k - 1 by that from the node where it is nearest. The T steps of an iteration are over when the actor that
was first on y has fired T times, and it fires for the next iteration afterwards, so that for a firing of f ticks

    period >= S(T - 1) - S(0) + f

holds for some k, and the least over all k is a bound. With one node there is no z, and L is all of the work. Any of the
layers that read H may be G: fewer do less, but more may follow them. The greatest of these bounds is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import Costs
from graphsim.analysis.transport import ways
from graphsim.graph import Channel, Dense, Graph, OneToOne

IntArray = npt.NDArray[np.int64]

#: Nodes of the largest machine whose ways are looked up.
_NODES = 1_024
#: Layers that read one layer of whose every choice is looked at.
_FEW = 6


@dataclass(frozen=True)
class Barrier:
    """What the steps of a layer prove.

    Attributes:
        ticks: no period is shorter.
        layers: names of the groups whose every firing waits for all of the step before.
        firings: of all of them in a step. steps: how many there are.
        nodes: on how many nodes they take so long.
        step, two: ticks of a step there, and of two with what goes to another node and back.
    """

    ticks: int
    layers: tuple[str, ...]
    firings: int
    steps: int
    nodes: int
    step: int
    two: int


def slowest_barrier(costs: Costs, *, transport: bool = True) -> Barrier | None:
    """The greatest such bound; None where no step waits for all of another. ``transport``: with what is on its way."""
    graph, nodes = costs.graph, costs.machine.compute_nodes
    found: list[Barrier] = []
    back: IntArray | None = None
    for number, group in enumerate(graph.groups):
        layers = sorted({c.dst for c in graph.channels_from(number) if _waits_for_all(graph, c)})
        if group.firings < 2 or not layers:
            continue
        after = _after(costs, number)
        if back is None:
            back = _there_and_back(costs, transport)
        for few in _some(layers):
            least = min(int(after[layer].min()) for layer in few)
            if least < 0:
                continue
            ticks = np.sort(np.concatenate([costs.cheapest(layer) for layer in few]))[::-1]
            names = tuple(graph.groups[layer].name for layer in few)
            most = min(len(nodes), len(ticks))
            every = [_on(ticks, least, int(back[k]), k + 1, group.firings, names) for k in range(most)]
            found.append(min(every, key=lambda barrier: barrier.ticks))
    return max(found, key=lambda barrier: barrier.ticks, default=None)


def _some(layers: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """All choices of some of a few layers; of many the whole."""
    if len(layers) > _FEW:
        return [tuple(layers)]
    return itertools.chain.from_iterable(itertools.combinations(layers, n) for n in range(len(layers), 0, -1))


def _on(ticks: IntArray, after: int, back: int, nodes: int, steps: int, names: tuple[str, ...]) -> Barrier:
    """On so many nodes, of firings of falling ticks, followed by ``after`` ticks of a step."""
    sums, short = np.concatenate([[0], np.cumsum(ticks)]), int(ticks[-1])
    shared = np.arange((len(ticks) - 1) // nodes + 1)  # of shared * nodes + 1 firings one more share a node
    last = shared * nodes
    load = max(-(-int(sums[-1]) // nodes), int((sums[last + 1] - sums[last - shared]).max()))
    step = load + after
    two = max(2 * step, load + short + 2 * after + back)
    pairs, more = divmod(steps - 1, 2)
    return Barrier(pairs * two + more * step + short, names, len(ticks), steps, nodes, step, two)


def _there_and_back(costs: Costs, transport: bool) -> IntArray:
    """How far the farthest of k nodes is from any of them, there and back, at least; int64 (nodes,), k from 1 on."""
    nodes = costs.machine.compute_nodes
    if not transport or len(nodes) > _NODES:
        return np.zeros(len(nodes), np.int64)
    way = ways(costs.machine, nodes, min(c.token_bits for c in costs.graph.channels))
    found: IntArray = np.sort(way + way.T, axis=1).min(axis=0)
    return found


def _waits_for_all(graph: Graph, c: Channel) -> bool:
    """Whether every firing of the reader waits for all of the writer's step before."""
    same = graph.groups[c.src].firings == graph.groups[c.dst].firings and c.produce == c.consume == 1
    return same and isinstance(c, Dense) and c.blocks == 1 and c.initial_tokens == 1


def _after(costs: Costs, last: int) -> dict[int, IntArray]:
    """How long firings are followed by others of their step, up to one of group ``last``: by group, int64 (actors,).

    The longest way, in ticks, the firing of ``last`` among them; 0 for ``last`` itself, -1 where no way leads there.
    """
    graph = costs.graph
    firings = graph.groups[last].firings
    found: dict[int, IntArray] = {}
    for number in reversed(range(len(graph.groups))):
        group = graph.groups[number]
        if group.firings != firings:
            continue
        longest = np.full(group.size, 0 if number == last else -1, np.int64)
        for c in graph.channels_from(number):
            if c.initial_tokens or c.dst not in found or not c.produce == c.consume == 1:
                continue
            then = np.where(found[c.dst] >= 0, found[c.dst] + costs.cheapest(c.dst), -1)
            if isinstance(c, OneToOne):
                longest = np.maximum(longest, then)
            elif isinstance(c, Dense):
                longest = np.maximum(longest, np.repeat(then.reshape(c.blocks, -1).max(axis=1), group.size // c.blocks))
            else:
                edges = c.expand(group.size, graph.groups[c.dst].size, graph.params)
                np.maximum.at(longest, edges.src, then[edges.dst])
        found[number] = longest
    return found
