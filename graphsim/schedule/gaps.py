"""Stretches of a node's or link's period that are taken, and free ticks between them: native, for small graphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import jit_call

#: What :func:`place` and :func:`together` return where there is no room.
NO_ROOM = -1


@jit_call
def fit(gap: Any, gaps: Any, left: Any, lefts: Any) -> Any:
    """Whether lengths, falling, fit into gaps, each into the first that is long enough; gaps are used up."""
    for i in range(lefts):
        found = False
        for g in range(gaps):
            if gap[g] >= left[i]:
                gap[g] -= left[i]
                found = True
                break
        if not found:
            return False
    return True


@jit_call
def take(begin: Any, end: Any, busy: Any, start: Any, length: Any) -> None:
    """Add a stretch from ``start``, which is below the period, to the ``busy`` ones."""
    i = busy
    while i > 0 and begin[i - 1] > start:
        begin[i], end[i] = begin[i - 1], end[i - 1]
        i -= 1
    begin[i], end[i] = start, start + length


@jit_call
def place(
    begin: Any, end: Any, busy: Any, period: Any, ready: Any, length: Any, left: Any, lefts: Any, gap: Any
) -> Any:
    """The first tick from ``ready`` on for so many free ticks, modulo the period, such that what is left fits too; -1.

    Args:
        begin, end: the ``busy`` stretches that are taken, by begin, which is below the period; the tick is added.
        left: ``lefts`` lengths that are still to come, falling; this one is taken out.
        gap: room for stretches.
    """
    for i in range(lefts):
        if left[i] == length:
            for j in range(i, lefts - 1):
                left[j] = left[j + 1]
            break
    lefts -= 1
    if busy == 0:
        begin[0], end[0] = ready % period, ready % period + length
        return ready
    phase = ready % period
    # The stretch in which ``ready`` lies, or the first behind it.
    first = 0
    while first < busy and begin[first] <= phase:
        first += 1
    chosen = np.int64(-1)
    at = np.int64(0)
    for turn in range(busy + 1):
        # Free from the end of stretch ``b`` to the begin of stretch ``a``, which is the next one.
        b = first - 1 + turn
        around = b // busy
        low = end[b - around * busy] + around * period
        a = b + 1
        high = begin[a - (a // busy) * busy] + (a // busy) * period
        low_from = max(low, phase) if turn == 0 else low
        if turn == busy:
            high = min(high, phase + period + length - 1)
        if high - low_from < length:
            continue
        for end_aligned in range(2):
            if end_aligned == 1 and (turn == busy or high - length == low_from):
                continue
            at = high - length if end_aligned == 1 else low_from
            if lefts <= 0 or left[0] <= 1:
                chosen = at
                break
            gaps = 0
            for g in range(busy):
                size = begin[0] + period - end[g] if g == busy - 1 else begin[g + 1] - end[g]
                if g == (b % busy):
                    whole = begin[a % busy] + (a // busy) * period - low
                    gap[gaps] = at - low
                    gaps += 1
                    size = whole - (at - low) - length
                gap[gaps] = size
                gaps += 1
            if fit(gap, gaps, left, lefts):
                chosen = at
                break
        if chosen >= 0:
            break
    if chosen < 0:
        return np.int64(NO_ROOM)
    take(begin, end, busy, chosen % period, length)
    return ready + (chosen - phase)


@jit_call
def sort_falling(row: Any, count: Any) -> None:
    for i in range(1, count):
        x, j = row[i], i
        while j > 0 and row[j - 1] < x:
            row[j] = row[j - 1]
            j -= 1
        row[j] = x


@jit_call
def together(
    begin: Any, end: Any, busy: Any, period: Any, ready: Any, length: Any, links: Any, offset: Any, count: Any
) -> Any:
    """The first tick from ``ready`` on at which a passage has so many free ticks on all its links; they are taken.

    Args:
        begin, end, busy: of every link. links: the first ``count`` are those of the passage. offset: ticks by which
            each of them sends later than the first.
    """
    at = ready
    while at < ready + period:
        later = at
        for i in range(count):
            n = links[i]
            phase = (at + offset[i]) % period
            for j in range(busy[n]):
                for around in (-period, 0, period):
                    low, high = begin[n, j] + around, end[n, j] + around
                    if low < phase + length and phase < high:
                        later = max(later, at + high - phase)
        if later == at:
            for i in range(count):
                n = links[i]
                take(begin[n], end[n], busy[n], (at + offset[i]) % period, length)
                busy[n] += 1
            return at
        at = later
    return np.int64(NO_ROOM)
