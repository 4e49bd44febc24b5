"""Waves: the actors of one group that can fire side by side.

A group whose actors do not feed each other within an iteration is one wave. Gates do: a gate's wave is that of its
level, which is 0 if it reads no gate of its group, else 1 more than the highest level among those that it reads. Actors
of other groups that read gates, such as registers, are as many waves as there are of what they read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.graph import Graph

IntArray = npt.NDArray[np.int64]


def waves(graph: Graph) -> IntArray:
    """The wave of every actor, int64 (actors,), numbered group after group and level after level without gaps.

    Channels without initial tokens lead from lower waves to higher ones.
    """
    found = np.empty(graph.actor_count, np.int64)
    count = [0]  # of the waves of each group, and of all before it
    for number, group in enumerate(graph.groups):
        into = [c for c in graph.channels_into(number) if c.initial_tokens == 0]
        level = np.zeros(group.size, np.int64)
        if own := [c for c in into if c.src == number]:
            edges = [c.expand(group.size, group.size, graph.params) for c in own]
            level = _levels(group.size, np.concatenate([e.src for e in edges]), np.concatenate([e.dst for e in edges]))
        elif several := [c for c in into if count[c.src + 1] - count[c.src] > 1]:
            latest = np.full(group.size, -1, np.int64)
            for c in several:
                read = c.expand(graph.groups[c.src].size, group.size, graph.params)
                np.maximum.at(latest, read.dst, found[graph.first[c.src] + read.src])
            level = np.unique(latest, return_inverse=True)[1].reshape(-1)
        found[graph.first[number] : graph.first[number + 1]] = count[-1] + level
        count.append(count[-1] + 1 + int(level.max(initial=0)))
    return found


def _levels(size: int, src: IntArray, dst: IntArray) -> IntArray:
    """Levels of so many actors, of which edges lead to later ones only."""
    order = np.argsort(dst, kind="stable")
    level = [0] * size
    for a, b in zip(src[order].tolist(), dst[order].tolist(), strict=True):
        if level[a] >= level[b]:
            level[b] = level[a] + 1
    return np.array(level, np.int64)
