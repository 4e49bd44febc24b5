"""The maximum cycle ratio, exactly.

What a token sets off comes back to it around a cycle of C ticks after D iterations, D being the tokens on the cycle:
no period is shorter than C / D (Reiter, "Scheduling parallel computations", J. ACM 15(4), 1968). The
slowest is found by policy iteration (Howard; Cochet-Terrasson, Cohen, Gaubert, Mc Gettrick and Quadrat, "Numerical
computation of spectral elements in max-plus algebra", 1998), part by strongly connected part, in integers throughout: a
ratio p / q is compared by ``q ticks - p tokens``, so that the last round proves the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.native import entry, jit_call

IntArray = npt.NDArray[np.int64]

#: Times that all edges are looked at before policies are followed again.
_SWEEPS = 4


@dataclass(frozen=True)
class Cycle:
    """A cycle.

    Attributes:
        ticks, tokens: their sums along it.
        nodes, edges: in their order, the node of least number first; edge i leads from node i.
    """

    ticks: int
    tokens: int
    nodes: tuple[int, ...]
    edges: tuple[int, ...]

    @property
    def ratio(self) -> Fraction:
        """Ticks per token."""
        return Fraction(self.ticks, self.tokens)


class CycleWithoutTokensError(GraphError):
    """A cycle without tokens can never run."""

    def __init__(self, cycle: Cycle) -> None:
        super().__init__(f"a cycle through node {cycle.nodes[0]} has no tokens: it can never run")
        self.cycle = cycle


def on_cycles(nodes: int, src: IntArray, dst: IntArray) -> npt.NDArray[np.bool_]:
    """Which edges are part of some cycle, bool (edges,)."""
    part = parts(nodes, src, dst)
    found: npt.NDArray[np.bool_] = part[src] == part[dst]
    return found


def parts(nodes: int, src: IntArray, dst: IntArray) -> npt.NDArray[np.int32]:
    """The strongly connected part that each node belongs to, int32 (nodes,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    matrix = coo_array((np.ones(len(src), np.int8), (src, dst)), shape=(nodes, nodes))
    part: npt.NDArray[np.int32] = connected_components(matrix, directed=True, connection="strong")[1]
    return part


def slowest_cycle(nodes: int, src: IntArray, dst: IntArray, ticks: IntArray, tokens: IntArray) -> Cycle | None:
    """A cycle of the greatest ratio of ticks to tokens; None if no cycle takes any ticks.

    Args:
        nodes: number of them.
        src, dst, ticks, tokens: of the edges; int64 (edges,), ticks and tokens not negative.

    Raises:
        CycleWithoutTokensError: names its edges.
        GraphError: numbers too large to compare in 64 bits.
    """
    if not len(src):
        return None
    part = parts(nodes, src, dst)
    inner = np.flatnonzero(part[src] == part[dst])
    if not len(inner):
        return None
    src, dst, ticks, tokens = src[inner], dst[inner], ticks[inner], tokens[inner]
    empty = np.flatnonzero(tokens == 0)
    if len(empty):
        _check_tokens(nodes, src[empty], dst[empty], inner[empty])
    # Edges of each part together, a node's edges one after the other.
    order = np.lexsort((dst, src, part[src]))
    src, dst, ticks, tokens = (np.ascontiguousarray(a[order], dtype=np.int64) for a in (src, dst, ticks, tokens))
    ends = np.append(np.flatnonzero(np.diff(part[src], prepend=-1)), len(src))
    best: Cycle | None = None
    state = _State(*(np.zeros(nodes, np.int64) for _ in _State._fields))
    for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        # A part of one node is common (an actor that does not overlap itself): nothing to search.
        alone = src[a] == src[b - 1]
        found = _only(src, ticks, tokens, a, b) if alone else _howard(src, dst, ticks, tokens, a, b, state)
        if best is None or found.ratio > best.ratio:
            best = found
    assert best is not None
    if not best.ticks:
        return None
    least = best.nodes.index(min(best.nodes))
    turned = (*best.edges[least:], *best.edges[:least])
    edges = tuple(inner[order[list(turned)]].tolist())
    return replace(best, nodes=(*best.nodes[least:], *best.nodes[:least]), edges=edges)


class _State(NamedTuple):
    """Room for a search, by node: its incoming edges, its chosen edge, its potential, and a mark."""

    first: IntArray
    last: IntArray
    policy: IntArray
    value: IntArray
    mark: IntArray


def _only(src: IntArray, ticks: IntArray, tokens: IntArray, a: int, b: int) -> Cycle:
    """Of the edges from a node to itself the slowest."""
    best = max(range(a, b), key=lambda e: Fraction(int(ticks[e]), int(tokens[e])))
    return Cycle(int(ticks[best]), int(tokens[best]), (int(src[best]),), (best,))


def _check_tokens(nodes: int, src: IntArray, dst: IntArray, edge: IntArray) -> None:
    """Refuse a cycle among edges that have no tokens; ``edge``: their numbers."""
    part = parts(nodes, src, dst)
    inner = np.flatnonzero(part[src] == part[dst])
    if not len(inner):
        return
    leaving = dict(zip(src[inner].tolist(), inner.tolist(), strict=True))
    node, path = int(src[inner[0]]), list[int]()
    at: dict[int, int] = {}
    while node not in at:
        at[node] = len(path)
        path.append(leaving[node])
        node = int(dst[leaving[node]])
    cycle = path[at[node] :]
    raise CycleWithoutTokensError(Cycle(0, 0, tuple(src[cycle].tolist()), tuple(edge[cycle].tolist())))


def _howard(src: IntArray, dst: IntArray, ticks: IntArray, tokens: IntArray, a: int, b: int, state: _State) -> Cycle:
    """Policy iteration on one strongly connected part, edges a .. b - 1, sorted by source."""
    nodes = src[a:b][np.flatnonzero(np.diff(src[a:b], prepend=-1))]
    into = a + np.argsort(dst[a:b], kind="stable")
    begin = np.searchsorted(dst[into], nodes)
    end = np.searchsorted(dst[into], nodes, side="right")
    state.first[nodes], state.last[nodes] = begin, end
    _, tokens_around, at = howard(
        nodes, src, dst, ticks, tokens, a, b, into, state.first, state.last, state.policy, state.value, state.mark
    )
    if tokens_around == 0:
        raise GraphError(f"ticks up to {ticks[a:b].max():,} on {len(nodes):,} nodes: too large for 64 bits")
    cycle = [at]
    node = int(dst[state.policy[at]])
    while node != at:
        cycle.append(node)
        node = int(dst[state.policy[node]])
    edges = tuple(int(state.policy[node]) for node in cycle)
    return Cycle(int(ticks[list(edges)].sum()), int(tokens[list(edges)].sum()), tuple(cycle), edges)


@jit_call
def _greater(p: Any, q: Any, r: Any, s: Any) -> Any:
    """Whether p / q > r / s, of fractions with positive denominators, by Euclid's algorithm: nothing can overflow."""
    while True:
        if p // q != r // s:
            return p // q > r // s
        p, r = p % q, r % s
        if p == 0 or r == 0:
            return p != 0
        p, q, r, s = s, r, q, p


@jit_call
def _best_cycle(nodes: Any, dst: Any, ticks: Any, tokens: Any, policy: Any, mark: Any) -> Any:
    """(ticks, tokens, a node) of the cycle of the policy with the greatest ratio."""
    for node in nodes:
        mark[node] = -1
    best_p, best_q, best_at = 0, 1, -1
    for turn in range(len(nodes)):
        node = nodes[turn]
        while mark[node] == -1:
            mark[node] = turn
            node = dst[policy[node]]
        if mark[node] != turn:
            continue
        p, q, first = 0, 0, node
        while True:
            p += ticks[policy[node]]
            q += tokens[policy[node]]
            node = dst[policy[node]]
            if node == first:
                break
        if best_at < 0 or _greater(p, q, best_p, best_q):
            best_p, best_q, best_at = p, q, first
    return best_p, best_q, best_at


@entry(
    "Tuple((int64, int64, int64))(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, int64,"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])"
)
def howard(
    nodes: Any,
    src: Any,
    dst: Any,
    ticks: Any,
    tokens: Any,
    a: Any,
    b: Any,
    into: Any,
    first: Any,
    last: Any,
    policy: Any,
    value: Any,
    mark: Any,
) -> Any:
    """(p, q, a node of the cycle) of the greatest ratio p / q, leaving the cycle in ``policy``; q is 0 where numbers
    are too large.

    Args:
        nodes: of the part. src, dst, ticks, tokens: of edges a .. b - 1, sorted by source.
        into: those edges sorted by target; ``into[first[v]:last[v]]`` lead into node v.
        policy, value, mark: room, by node: the edge chosen, the ticks of the way to the best cycle, a mark.
    """
    heaviest, most = 0, 0
    for e in range(a, b):
        heaviest, most = max(heaviest, ticks[e]), max(most, tokens[e])
        if e == a or src[e] != src[e - 1] or ticks[e] > ticks[policy[src[e]]]:
            policy[src[e]] = e
    queue = np.empty(len(nodes), np.int64)
    while True:
        p, q, at = _best_cycle(nodes, dst, ticks, tokens, policy, mark)
        x, y = p, q
        while y:
            x, y = y, x % y
        if x > 1:
            p, q = p // x, q // x
        if (float(heaviest) * q + float(most) * p) * (len(nodes) + 1) >= 4.0e18:
            return p, 0, at
        # Backwards from the cycle, along the policy where it leads there, else along any edge that does.
        for node in nodes:
            mark[node] = 0
        mark[at], value[at] = 1, 0
        for others in range(2):
            head, tail = 0, 0
            for node in nodes:
                if mark[node] == 1 and (others == 1 or node == at):
                    queue[tail] = node
                    tail += 1
            while head < tail:
                node = queue[head]
                head += 1
                for i in range(first[node], last[node]):
                    e = into[i]
                    before = src[e]
                    if mark[before] == 0 and (others == 1 or policy[before] == e):
                        mark[before] = 1
                        policy[before] = e
                        value[before] = q * ticks[e] - p * tokens[e] + value[node]
                        queue[tail] = before
                        tail += 1
        # Better edges by these values, last nodes first, as edges mostly lead to nodes of higher number; a few times,
        # which costs less than following policies. If there are none at once, the values prove the ratio.
        improved = False
        for _ in range(_SWEEPS):
            again = False
            for e in range(b - 1, a - 1, -1):
                node = src[e]
                reached = q * ticks[e] - p * tokens[e] + value[dst[e]]
                if reached > value[node]:
                    value[node] = reached
                    policy[node] = e
                    again = True
            improved = improved or again
            if not again:
                break
        if not improved:
            return p, q, at
