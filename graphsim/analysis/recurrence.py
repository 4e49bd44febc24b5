"""How long the firings of one actor take that wait for each other: a proved lower bound on the period.

The T firings of an actor in an iteration follow each other, and the first of the next iteration comes after the last of
this one, for tokens keep their order. From the start of its first to the end of its last is therefore at most a period.
On a cycle of channels each firing waits for what an earlier one set off: the longest path of firings from the first to
the last, each at its cheapest and no token ever on its way, is a lower bound. (With d initial tokens on a cycle of C
ticks it comes to C / d per firing: the maximum cycle ratio, Reiter, "Scheduling parallel computations", J. ACM 15(4),
1968.)

Paths are the same from firing t on as from firing 0 on. So they are followed for a few firings, and laid end to end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import Costs
from graphsim.analysis.cycles import Cycle, on_cycles, slowest_cycle
from graphsim.graph import Channel, Dense, Graph, OneToOne
from graphsim.passes import unroll

IntArray = npt.NDArray[np.int64]
#: From the ends of the producers' firings to when the consumers' may start; -1: nothing is waited for.
Wait = Callable[[IntArray], IntArray]

#: Firings that paths are followed for.
_STEPS = 48
#: Groups on cycles whose actors are tried: those with the longest firings.
_TRIED = 6


def slowest_recurrence(costs: Costs) -> tuple[int, str, int] | None:
    """The greatest bound found: its ticks, the actor's name, and its number of firings. None without a cycle."""
    graph = costs.graph
    groups = [g for g in groups_on_cycles(graph) if graph.groups[g].firings > 1]
    best: tuple[int, str, int] | None = None
    for group in sorted(groups, key=lambda g: (-int(costs.cheapest(g).max()), g))[:_TRIED]:
        local = int(np.argmax(costs.cheapest(group)))
        ticks = _span(costs, group, local)
        if best is None or ticks > best[0]:
            best = ticks, graph.actor(int(graph.first[group]) + local).name, graph.groups[group].firings
    return best


def slowest_state(costs: Costs) -> Cycle | None:
    """The slowest circle of firings that hand on state from iteration to iteration, each at its cheapest and no token
    ever on its way; its nodes are firings (actors of the unrolled graph). None without any.
    """
    unrolled = unroll(costs.graph)
    graph = unrolled.graph
    if not any(c.initial_tokens for c in graph.channels):
        return None
    cheapest = np.concatenate([costs.cheapest(g) for g in range(len(costs.graph.groups))])
    ticks = cheapest[unrolled.owner]
    for number in np.flatnonzero(unrolled.group < 0).tolist():  # constants, which do no work
        ticks[graph.first[number] : graph.first[number + 1]] = 0
    src, dst, tokens = [], [], []
    for c in graph.channels:
        edges = c.expand(graph.groups[c.src].size, graph.groups[c.dst].size, graph.params)
        src.append(graph.first[c.src] + edges.src)
        dst.append(graph.first[c.dst] + edges.dst)
        tokens.append(np.full(len(edges.src), c.initial_tokens, np.int64))
    for number, group in enumerate(costs.graph.groups):
        chain = unrolled.firings(number) if group.firings > 1 else np.empty(0, np.int64)
        for before, after in zip(chain.tolist(), np.roll(chain, -1).tolist(), strict=True):
            src.append(np.arange(graph.first[before], graph.first[before + 1]))
            dst.append(np.arange(graph.first[after], graph.first[after + 1]))
            tokens.append(np.full(group.size, int(after == chain[0]), np.int64))
    first = np.concatenate(src)
    return slowest_cycle(graph.actor_count, first, np.concatenate(dst), ticks[first], np.concatenate(tokens))


def groups_on_cycles(graph: Graph) -> list[int]:
    """Numbers of the groups that are part of a cycle of channels, ascending."""
    src, dst = (np.array(ends, np.int64) for ends in zip(*((c.src, c.dst) for c in graph.channels), strict=True))
    return np.unique(src[on_cycles(len(graph.groups), src, dst)]).tolist()  # type: ignore[no-any-return]


def _span(costs: Costs, group: int, local: int) -> int:
    """Ticks from the start of an actor's first firing to the end of its last, at least."""
    graph, unrolled = costs.graph, unroll(costs.graph)
    steps = min(graph.groups[group].firings, _STEPS)
    ticks = [costs.cheapest(g) for g in range(len(graph.groups))]
    waits: dict[tuple[int, int], Wait] = {}
    ends: dict[int, IntArray] = {}  # of the firings of a group of the unrolled graph; -1: before it all, or beside it
    last: dict[int, IntArray] = {}  # the same of the latest firing of a group of the original
    begins: list[int] = []
    for number, (of, token) in enumerate(zip(unrolled.group.tolist(), unrolled.token.tolist(), strict=True)):
        if of < 0 or graph.groups[of].firings != graph.groups[group].firings or token >= steps:
            continue
        start = last.get(of, np.full(graph.groups[of].size, -1, np.int64))
        for c in unrolled.graph.channels_into(number):
            if c.src in ends:
                if (of, c.port) not in waits:
                    waits[of, c.port] = _wait(unrolled.graph, c)
                start = np.maximum(start, waits[of, c.port](ends[c.src]))
        if of == group:
            if not begins:
                start = np.full(len(start), -1, np.int64)
                start[local] = 0
            begins.append(int(start[local]))
        ends[number] = last[of] = np.where(start >= 0, start + ticks[of], -1)
    count = graph.groups[group].firings - 1
    most = max(begins[k] * (count // k) + begins[count % k] for k in range(1, steps)) if steps > 1 else 0
    return most + int(ticks[group][local])


def _wait(graph: Graph, c: Channel) -> Wait:
    """How the consumers of a bundle wait for its producers."""
    size, n_dst = graph.groups[c.src].size, graph.groups[c.dst].size
    if isinstance(c, OneToOne):
        return lambda end: end
    if isinstance(c, Dense):
        blocks = c.blocks
        return lambda end: np.repeat(end.reshape(blocks, -1).max(axis=1), n_dst // blocks)
    edges = c.expand(size, n_dst, graph.params)
    consumers, begin = np.unique(edges.dst, return_index=True)

    def listed(end: IntArray) -> IntArray:
        found = np.full(n_dst, -1, np.int64)
        found[consumers] = np.maximum.reduceat(end[edges.src], begin)
        return found

    return listed
