"""Benchmarks of sweeps: what the machinery costs over its points, and what a second worker is worth.

    python scripts/bench.py --explore

Points are of one model on rings, each with a seed of its own, so that none is shared; they are computed in this process
first, one after the other, and then by clusters of one and of two workers, all in every round. Starting a cluster is
not counted: each worker has computed a point before. On a machine with other work to do two workers are not two cores.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import Row

from graphsim.explore import compute as computing
from graphsim.explore.points import Point, points_of
from graphsim.explore.study import study_from_toml
from graphsim.explore.sweep import cluster, sweep
from graphsim.zoo import shipped

ROUNDS = 3


def explore_rows() -> Iterator[Row]:
    """The overhead of a sweep on one worker, and the gain of two over one."""
    warm = _points("ring:2", [1000, 1001, 1002, 1003])
    alone, single, double = [], [], []
    with cluster(None, 1) as one, cluster(None, 2) as two:
        _swept(warm, one)
        _swept(warm, two)
        for point in warm:
            computing.compute(point)
        for turn in range(ROUNDS):
            # Seeds are new in every round, as workers keep what they made.
            fresh = _points("ring:{4..6}", list(range(100 * turn, 100 * turn + 8)))
            start = time.perf_counter()
            for point in fresh:
                assert computing.compute(point).row is not None
            alone.append(time.perf_counter() - start)
            single.append(_swept(fresh, one))
            double.append(_swept(fresh, two))
    count = len(fresh)
    overhead = [swept / sum_ for swept, sum_ in zip(single, alone, strict=True)]
    gain = [first / second for first, second in zip(single, double, strict=True)]
    yield _row(f"sweep of {count} points over their sum", single, alone, overhead, 1.1, at_most=True)
    yield _row(f"sweep of {count} points, two workers over one", double, single, gain, 1.8, at_most=False)


def _points(machines: str, seeds: Sequence[int]) -> list[Point]:
    text = f'models = ["{shipped("mnist")}"]\nmachines = ["{machines}"]\nseeds = {list(seeds)}\n'
    return points_of(study_from_toml(text))


def _swept(points: Sequence[Point], client: Any) -> float:
    """Seconds of a sweep into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        state = sweep(points, Path(folder), client)
        took = time.perf_counter() - start
    assert state.remaining == state.failed == 0
    return took


def _row(
    name: str, ours: Sequence[float], other: Sequence[float], ratios: Sequence[float], target: float, *, at_most: bool
) -> Row:
    middle = f"{statistics.median(ours):.3g} s", f"{statistics.median(other):.3g} s"
    return Row(name, *middle, statistics.median(ratios), min(ratios), max(ratios), target, at_most)
