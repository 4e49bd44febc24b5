"""Cyclic calendars against a list of booleans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphsim.schedule.calendar import Lane, WideLane, packed, steady


@given(st.integers(1, 24), st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12))
def test_a_lane_takes_the_earliest_free_stretch(period: int, requests: list[tuple[int, int]]) -> None:
    lane, busy = Lane(period), [False] * period
    for ready, ticks in requests:
        starts = [
            t
            for t in range(ready, ready + period)
            if ticks <= period and not any(busy[(t + k) % period] for k in range(ticks))
        ]
        expected = starts[0] if starts else -1
        assert lane.place(ready, ticks) == expected
        for k in range(ticks if starts else 0):
            busy[(expected + k) % period] = True


@given(st.integers(1, 12), st.integers(2, 4), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=16))
def test_a_wide_lane_fills_ticks_to_their_rate(period: int, rate: int, requests: list[tuple[int, int]]) -> None:
    lane, used = WideLane(period, rate), [0] * period
    for ready, frames in requests:
        whole, rest = divmod(frames, rate)
        shape = [rate] * whole + ([rest] if rest else [])
        starts = [
            t
            for t in range(ready, ready + period)
            if len(shape) <= period and all(used[(t + k) % period] + n <= rate for k, n in enumerate(shape))
        ]
        expected = starts[0] if starts else -1
        assert lane.place(ready, frames) == expected
        for k, n in enumerate(shape if starts else []):
            used[(expected + k) % period] += n


firings = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 9)), min_size=1, max_size=12)


@given(firings, st.integers(0, 10))
def test_steady_firings_wait_for_their_inputs_and_never_overlap(items: list[tuple[int, int]], idle: int) -> None:
    ready, ticks = [r for r, _ in items], [d for _, d in items]
    period = sum(ticks) + idle
    for starts in (steady(ready, ticks, period), packed(list(range(len(items))), ready, ticks, period)):
        assert all(s >= r for s, r in zip(starts, ready, strict=True))
        used = [(s + k) % period for s, d in zip(starts, ticks, strict=True) for k in range(d)]
        assert len(set(used)) == len(used)


def test_a_full_node_fires_a_late_actor_between_firings_of_the_next_iteration() -> None:
    assert steady([0, 0, 25], [10, 10, 3], 23) == [0, 13, 33]
