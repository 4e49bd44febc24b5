"""The maximum cycle ratio of a graph whose edges take ticks and hold tokens: exact, and near-linear in practice.

What a token sets off comes back to it around a cycle of C ticks after D iterations, D being the tokens on the cycle:
no period is shorter than C / D (Reiter, "Scheduling parallel computations", J. ACM 15(4), 1968). The greatest ratio is
found from below, by the idea that Howard and Lawler share (Dasdan, "Experimental analysis of the fastest optimum cycle
ratio and mean algorithms", ACM TODAES 9(4), 2004): given a ratio L, longest paths under ``ticks - L * tokens`` either
settle, and then no cycle has a greater one, or close a cycle that has; its ratio is the next L.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cycle:
    """A cycle.

    Attributes:
        ticks, tokens: their sums along it; at least one token.
        nodes: those it leads through, in order, the least number first.
    """

    ticks: int
    tokens: int
    nodes: tuple[int, ...]

    @property
    def ratio(self) -> Fraction:
        """Ticks per token."""
        return Fraction(self.ticks, self.tokens)


@dataclass(frozen=True)
class Dependences:
    """Edges of a graph, all int64: node ``dst`` waits for ``src`` for so many ticks, less a period for each token.

    Nodes are numbered so that edges without tokens lead from lower numbers to higher ones.
    """

    nodes: int
    src: IntArray
    dst: IntArray
    ticks: IntArray
    tokens: IntArray

    def inner(self) -> npt.NDArray[np.bool_]:
        """Which edges are part of some cycle, bool (edges,)."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not self.tokens.any():
            return np.zeros(len(self.src), np.bool_)
        ones = np.ones(len(self.src), np.int8)
        matrix = coo_array((ones, (self.src, self.dst)), shape=(self.nodes, self.nodes))
        _, part = connected_components(matrix, directed=True, connection="strong")
        found: npt.NDArray[np.bool_] = part[self.src] == part[self.dst]
        return found


def slowest_cycle(edges: Dependences) -> Cycle | None:
    """A cycle of the greatest ratio; None if no cycle takes any ticks."""
    inner = edges.inner()
    if not inner.any():
        return None
    nodes, where = np.unique(np.concatenate([edges.src[inner], edges.dst[inner]]), return_inverse=True)
    src, dst = np.split(where.reshape(-1), 2)
    order = np.argsort(dst, kind="stable")
    ptr = np.searchsorted(dst[order], np.arange(len(nodes) + 1)).astype(np.int64)
    of = np.flatnonzero(inner)[order]
    on, size = np.zeros(len(nodes), np.int64), np.zeros(3, np.int64)
    from graphsim.analysis.howard import slowest  # compiles, or loads what is compiled

    slowest(ptr, src[order].astype(np.int64), edges.ticks[of], edges.tokens[of], on, size)
    if not size[0]:
        return None
    found = nodes[on[: int(size[0])]].tolist()
    least = found.index(min(found))
    return Cycle(int(size[1]), int(size[2]), tuple(found[least:] + found[:least]))
