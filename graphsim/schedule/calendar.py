"""Cyclic tables of one period: what is free when, modulo the period."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush


class Lane:
    """One thing at a time: busy stretches of a period, ascending, disjoint and not touching one another."""

    __slots__ = ("_begin", "_end", "period")

    def __init__(self, period: int) -> None:
        self.period = period
        self._begin: list[int] = []
        self._end: list[int] = []

    def copy(self) -> Lane:
        """A table of its own with the same entries."""
        other = Lane(self.period)
        other._begin, other._end = self._begin.copy(), self._end.copy()
        return other

    def find(self, ready: int, ticks: int) -> int:
        """First of the earliest ``ticks`` consecutive ticks from tick ``ready`` on that are free in every period.

        -1: there are none.
        """
        begin, end, period = self._begin, self._end, self.period
        count = len(begin)
        if not count:
            return ready if ticks <= period else -1
        residue = ready % period
        i = bisect_right(begin, residue)
        at = max(residue, end[i - 1]) if i else residue
        round_start = 0
        for _ in range(count + 1):
            if i == count:
                i, round_start = 0, round_start + period
            if begin[i] + round_start - at >= ticks:
                return ready - residue + at
            at = max(at, end[i] + round_start)
            i += 1
        return -1

    def place(self, ready: int, ticks: int) -> int:
        """Take what :meth:`find` finds; -1 and unchanged where it finds nothing."""
        start = self.find(ready, ticks)
        if start >= 0:
            self.take(start % self.period, ticks)
        return start

    def take(self, residue: int, ticks: int) -> None:
        """Take free ticks, ``residue < period``."""
        over = residue + ticks - self.period
        if over > 0:
            self._take(residue, self.period)
            self._take(0, over)
        else:
            self._take(residue, residue + ticks)

    def _take(self, first: int, last: int) -> None:
        begin, end = self._begin, self._end
        i = bisect_right(begin, first)
        joins_before = i > 0 and end[i - 1] == first
        joins_after = i < len(begin) and begin[i] == last
        if joins_before and joins_after:
            end[i - 1] = end[i]
            del begin[i], end[i]
        elif joins_before:
            end[i - 1] = last
        elif joins_after:
            begin[i] = first
        else:
            begin.insert(i, first)
            end.insert(i, last)


class WideLane:
    """Several frames per tick: like :class:`Lane`, but a tick is full only when ``rate`` frames are in it."""

    __slots__ = ("_full", "_used", "period", "rate")

    def __init__(self, period: int, rate: int) -> None:
        self.period, self.rate = period, rate
        self._full = Lane(period)
        self._used: dict[int, int] = {}

    def copy(self) -> WideLane:
        """A table of its own with the same entries."""
        other = WideLane(self.period, self.rate)
        other._full, other._used = self._full.copy(), self._used.copy()
        return other

    def place(self, ready: int, frames: int) -> int:
        """Take room for ``frames`` frames from tick ``ready`` on, full ticks first, in every period; the first tick.

        -1: there is no such room.
        """
        whole, rest = divmod(frames, self.rate)
        if whole == 0:
            return self._single(ready, rest)
        for start in range(ready, ready + self.period):
            if self._fits(start, whole, rest):
                for tick in range(start, start + whole):
                    self._fill(tick % self.period, self.rate)
                if rest:
                    self._fill((start + whole) % self.period, rest)
                return start
        return -1

    def _single(self, ready: int, frames: int) -> int:
        tick = ready
        while True:
            tick = self._full.find(tick, 1)
            if tick < 0 or tick >= ready + self.period:
                return -1
            if self._used.get(tick % self.period, 0) + frames <= self.rate:
                self._fill(tick % self.period, frames)
                return tick
            tick += 1

    def _fits(self, start: int, whole: int, rest: int) -> bool:
        period, used = self.period, self._used
        if whole + (rest > 0) > period:
            return False
        if any(used.get(tick % period, 0) for tick in range(start, start + whole)):
            return False
        return not rest or used.get((start + whole) % period, 0) + rest <= self.rate

    def _fill(self, tick: int, frames: int) -> None:
        total = self._used.get(tick, 0) + frames
        self._used[tick] = total
        if total == self.rate:
            self._full.take(tick, 1)


def steady(ready: Sequence[int], ticks: Sequence[int], period: int, *, wait: bool = False) -> list[int]:
    """Starts of firings that share one node, when every iteration's are ready a period after the last iteration's.

    The node fires the oldest iteration first, then what was ready first. It is simulated over periods until one is
    like the one before. Where that takes too long, the order found so far is packed back to back.

    Args:
        ready, ticks: of each firing, in ticks of iteration 0; the sum of ``ticks`` is at most ``period``.
        wait: do not begin a firing just before one of an older iteration gets ready, but wait for that, as far as the
            node's idle time of a period goes. Otherwise the node never waits while something is ready.

    Returns:
        Starts, none before ``ready``, no two firings overlapping modulo the period.
    """
    count = len(ready)
    order = sorted(range(count), key=lambda i: (ready[i] % period, i))
    phases = [ready[i] % period for i in order]
    # Iteration n of firing i is released in period n + age: the greater its age, the older what is released.
    age = [ready[i] // period for i in range(count)]
    rank = [0] * count
    for position, i in enumerate(sorted(range(count), key=lambda i: (ready[i], i))):
        rank[i] = position

    def coming(turn: int, at: int, now: int, iteration: int, within: int) -> int:
        """When the next firing of an older iteration gets ready, if it does so within so many ticks; else ``now``."""
        for ahead in range(at, min(at + _LOOK_AHEAD, 2 * count)):
            later, position = divmod(ahead, count)
            when = (turn + later) * period + phases[position]
            if when > now + within:
                break
            if turn + later - age[order[position]] < iteration:
                return when
        return now

    starts = [0] * count
    heap: list[tuple[int, int, int, int]] = []
    before: tuple[int, list[tuple[int, int]]] | None = None
    now = 0
    spare = period - sum(ticks) if wait else 0
    for turn in range(_TURNS):
        base = turn * period
        at, left = 0, spare
        while True:
            while at < count and base + phases[at] <= now:
                i = order[at]
                heappush(heap, (turn - age[i], rank[i], i, turn))
                at += 1
            if heap and now < base + period:
                if left:
                    until = coming(turn, at, now, heap[0][0], min(left, ticks[heap[0][2]] - 1))
                    if until > now:
                        left -= until - now
                        now = until
                        continue
                _, _, i, released = heappop(heap)
                starts[i] = now + (age[i] - released) * period
                now += ticks[i]
            elif at < count:
                now = max(now, base + phases[at])
            else:
                break
        state = max(now - base - period, 0), sorted((i, turn - released) for *_, i, released in heap)
        if state == before:
            return starts
        before = state
    return packed(sorted(range(count), key=lambda i: (starts[i] % period, i)), ready, ticks, period)


#: Periods that ``steady`` simulates before it gives up.
_TURNS = 40
#: Firings about to get ready that ``steady`` looks at before it begins another.
_LOOK_AHEAD = 64


def packed(order: Sequence[int], ready: Sequence[int], ticks: Sequence[int], period: int) -> list[int]:
    """Starts of firings back to back in a cyclic order: each at the first tick from ``ready`` on with its residue."""
    starts = [0] * len(ready)
    residue = ready[order[0]] % period if order else 0
    for i in order:
        starts[i] = ready[i] + (residue - ready[i]) % period
        residue += ticks[i]
    return starts
