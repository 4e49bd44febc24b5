"""The inner loop of :mod:`graphsim.analysis.cycles`, native.

Importing this module compiles its entry point, or loads it from disk where it was compiled before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import entry


@entry("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def slowest(ptr: Any, src: Any, ticks: Any, tokens: Any, on: Any, size: Any) -> None:
    """The nodes of a slowest cycle into ``on``; how many, their ticks and tokens into ``size``: zeros without any.

    Edges are sorted by the node that they lead to, ``ptr[v]`` .. ``ptr[v + 1] - 1`` those to v.
    """
    nodes = len(ptr) - 1
    top, below = np.int64(0), np.int64(1)  # the ratio so far: top / below
    far, into = np.zeros(nodes, np.int64), np.full(nodes, -1, np.int64)
    seen = np.zeros(nodes, np.int64)
    while True:
        changed = False
        for v in range(nodes):
            for e in range(ptr[v], ptr[v + 1]):
                through = far[src[e]] + ticks[e] * below - tokens[e] * top
                if through > far[v]:
                    far[v], into[v] = through, e
                    changed = True
        if not changed:
            return
        # Follow the edges by which nodes were reached last, backwards: is there a cycle of them?
        seen[:] = 0
        best_ticks, best_tokens, count = top, below, 0
        for root in range(nodes):
            v = root
            while v >= 0 and seen[v] == 0:
                seen[v] = root + 1
                v = src[into[v]] if into[v] >= 0 else -1
            if v < 0 or seen[v] != root + 1:
                continue
            around, held, u = np.int64(0), np.int64(0), v
            while True:
                around, held = around + ticks[into[u]], held + tokens[into[u]]
                u = src[into[u]]
                if u == v:
                    break
            if held > 0 and around * best_tokens > best_ticks * held:
                best_ticks, best_tokens, count = around, held, 0
                while True:
                    on[count] = u
                    count += 1
                    u = src[into[u]]
                    if u == v:
                        break
        if count == 0:
            continue
        on[:count] = on[:count][::-1].copy()
        size[0], size[1], size[2] = count, best_ticks, best_tokens
        top, below = best_ticks, best_tokens
        far[:] = 0
        into[:] = -1
