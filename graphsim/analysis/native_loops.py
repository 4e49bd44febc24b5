"""What :mod:`graphsim.analysis.loops` looks through, as native code.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import entry


@entry("void(int64[:, ::1])")
def shortest(found: Any) -> None:
    """Lengths of edges between nodes, made lengths of the shortest ways (Floyd and Warshall).

    Args:
        found: [u, v] of the edge from u to v, something large where there is none, 0 from a node to itself; filled in.
    """
    for k in range(len(found)):
        for i in range(len(found)):
            first = found[i, k]
            for j in range(len(found)):
                whole = first + found[k, j]
                found[i, j] = whole if whole < found[i, j] else found[i, j]


@entry("Tuple((int64, int64, int64))(int64[:, ::1], int64[::1], int64[::1], int64[::1])")
def crowded(slack: Any, ticks: Any, room: Any, around: Any) -> Any:
    """(r, a, b) of the first actor r of ``around`` that more must fire near to than there is room for; (-1, 0, 0)
    without any.

    What starts a ticks after r at the earliest, and ends b ticks after it at the latest, takes more than
    ``room[b - a]`` ticks.

    Args:
        slack: by how many ticks v may start before u at most, [u, v]. ticks: of each actor.
        room: ticks that there are in so many ticks.
    """
    count = len(ticks)
    begin, end = np.empty(count, np.int64), np.empty(count, np.int64)
    for r in around:
        for z in range(count):
            begin[z], end[z] = -slack[r, z], slack[z, r] + ticks[z]
        latest = np.argsort(-begin, kind="mergesort")
        for b in np.unique(end):
            busy = 0
            for z in latest:
                if end[z] <= b:
                    busy += ticks[z]
                    span = b - begin[z]
                    if span >= len(room):
                        break
                    if busy > room[span]:
                        return r, begin[z], b
    return -1, 0, 0
