"""Cyclic calendars against a list of booleans."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.schedule.calendar import Tables, send, steady


def placed(period: int, rate: int, requests: list[tuple[int, int]]) -> list[int]:
    """Starts of hops of so many frames, ready at these ticks, on one link, as far as they find room; -1 for the first
    that does not.
    """
    ready, frames = (np.array(column, np.int64) for column in zip(*requests, strict=True))
    ticks = -(-frames // rate)
    count, none = len(ready), np.zeros(len(ready), np.int64)
    t = Tables.empty(np.array([0, 2 * int(ticks.sum()) + 2 * count], np.int64))
    start, end = np.full(count, -1, np.int64), none.copy()
    hops = np.stack([none, none - 1, np.arange(count), none + 1, none, none + rate, frames, ticks], axis=1)
    send(
        t.room, t.busy, t.begin, t.end, t.ticks, t.tick, t.used, period, np.array([[rate, 0, 1]]), np.arange(count),
        ready, np.arange(count + 1), hops, none - 1, start, end,
    )  # fmt: skip
    return [int(s) for s in start]


@settings(deadline=None)
@given(st.integers(1, 24), st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), min_size=1, max_size=12))
def test_a_lane_takes_the_earliest_free_stretch(period: int, requests: list[tuple[int, int]]) -> None:
    found, busy = placed(period, 1, requests), [False] * period
    for start, (ready, ticks) in zip(found, requests, strict=True):
        starts = [
            t
            for t in range(ready, ready + period)
            if ticks <= period and not any(busy[(t + k) % period] for k in range(ticks))
        ]
        assert start == (starts[0] if starts else -1)
        if not starts:
            break
        for k in range(ticks):
            busy[(start + k) % period] = True


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.integers(2, 4),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=16),
)
def test_a_wide_lane_fills_ticks_to_their_rate(period: int, rate: int, requests: list[tuple[int, int]]) -> None:
    found, used = placed(period, rate, requests), [0] * period
    for start, (ready, frames) in zip(found, requests, strict=True):
        whole, rest = divmod(frames, rate)
        shape = [rate] * whole + ([rest] if rest else [])
        starts = [
            t
            for t in range(ready, ready + period)
            if len(shape) <= period and all(used[(t + k) % period] + n <= rate for k, n in enumerate(shape))
        ]
        assert start == (starts[0] if starts else -1)
        if not starts:
            break
        for k, n in enumerate(shape):
            used[(start + k) % period] += n


firings = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 9)), min_size=1, max_size=12)


def fired(ready: list[int], ticks: list[int], period: int, *, wait: bool = False) -> list[int]:
    """Starts of these firings on one node."""
    count = len(ready)
    columns = np.array(ready, np.int64), np.array(ticks, np.int64)
    starts = steady(np.arange(count), np.array([0, count], np.int64), *columns, period, wait=wait)
    return [int(s) for s in starts]


@settings(deadline=None)
@given(firings, st.integers(0, 10), st.booleans())
def test_steady_firings_wait_for_their_inputs_and_never_overlap(
    items: list[tuple[int, int]], idle: int, wait: bool
) -> None:
    ready, ticks = [r for r, _ in items], [d for _, d in items]
    period = sum(ticks) + idle
    starts = fired(ready, ticks, period, wait=wait)
    assert all(s >= r for s, r in zip(starts, ready, strict=True))
    used = [(s + k) % period for s, d in zip(starts, ticks, strict=True) for k in range(d)]
    assert len(set(used)) == len(used)


def test_a_full_node_fires_a_late_actor_between_firings_of_the_next_iteration() -> None:
    assert fired([0, 0, 25], [10, 10, 3], 23) == [0, 13, 33]
