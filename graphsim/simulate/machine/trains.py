"""Hops that follow each other on their way as one event, where nobody can tell the difference.

A *train* is a row of hops over the same links in which each is read from memory when the last of them is, and written
to memory when the last of them arrives. That is the same as one after the other if, in that time,

* nothing is written to where the earlier ones are read from, and
* nothing reads what the earlier ones write, or would have to.

What is compared are times within a period, with the order that events of one tick have. Where a schedule does odd
things with memory (tokens that come twice, slots that share bytes), every hop is a train of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

#: After every turn.
NEVER = np.iinfo(np.int64).max
#: Iterations in flight that are told apart; more than any engine holds.
_STAGES = 1 << 20


def turns(tick: IntArray, phase: IntArray | int, period: int) -> IntArray:
    """When events of iteration 0 happen within a period, in the order of: tick, older iterations first, phase."""
    stage, residue = np.divmod(tick, period)
    result: IntArray = (residue * _STAGES + np.maximum(_STAGES - 1 - stage, 0)) * 4 + phase
    return result


def next_of(owner: IntArray, turn: IntArray, asked_owner: IntArray, asked: IntArray) -> IntArray:
    """The first of the turns of each asked owner that is not before the asked turn; ``NEVER``: there is none."""
    if not len(turn):
        return np.full(len(asked), NEVER)
    values, rank = np.unique(turn, return_inverse=True)
    many = len(values) + 1
    key = np.unique(owner * many + rank.reshape(-1))
    wanted = asked_owner * many + np.searchsorted(values, asked)
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    where, which = np.divmod(key[at], many)
    result: IntArray = np.where((key[at] >= wanted) & (where == asked_owner), values[which], NEVER)
    return result


def couple(
    way: IntArray, read: IntArray, write: IntArray, read_until: IntArray, write_until: IntArray, alone: IntArray
) -> IntArray:
    """The last hop of the train of each hop, int64 (hops,).

    Args:
        way: of each hop, the links that it goes over.
        read, write: its turns, and the stages they are in: int64 (hops, 2).
        read_until, write_until: turns from which on it must have been read, and written.
        alone: whether it is a train of its own, whatever follows.
    """
    last = np.arange(len(way))
    order = np.lexsort([read[:, 0], read[:, 1], way])
    rows = np.stack([way, read[:, 1], write[:, 1], read[:, 0], write[:, 0], read_until, write_until, alone], axis=1)[
        order
    ].tolist()
    begin, limits = 0, (NEVER, NEVER)
    before: tuple[int, int, int] | None = None
    for i, (where, r_stage, w_stage, r, w, r_until, w_until, single) in enumerate(rows):
        joins = before == (where, r_stage, w_stage) and not single and r < limits[0] and w < limits[1]
        if not joins:
            last[order[begin:i]] = order[max(i - 1, 0)]
            begin, limits = i, (NEVER, NEVER)
        before = None if single else (where, r_stage, w_stage)
        limits = min(limits[0], r_until), min(limits[1], w_until)
    last[order[begin:]] = order[-1:]
    return last
