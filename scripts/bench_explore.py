"""Benchmarks of sweeps: what the machinery costs over its points, and what a second worker is worth.

    python scripts/bench.py --explore

Points are of one model on tori of 24 to 48 nodes, about half a second of work each, with seeds of their own, so that
none is shared. Every round computes them in this process, one after the other, then on a cluster of one worker, and on
one of two, which have computed points before: starting a cluster is not counted, nor is the first use of native code.

The overhead is told twice. In wall time: that of a sweep on one worker over the sum of what its points took there, by
their own rows. In processor time: all that this process and the worker spent over what the same points take in one
process without a cluster; that counts what the machinery does beside the points, too. All this needs a quiet machine:
part of the machinery's work is by the second, of which points take more with other work to do, and two workers are not
two cores then.
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
from graphsim.explore.rows import read_rows
from graphsim.explore.study import study_from_toml
from graphsim.explore.sweep import cluster, sweep
from graphsim.zoo import shipped

ROUNDS = 3
MACHINES = "torus:{4..8..2}x6"


def explore_rows() -> Iterator[Row]:
    """The overhead of a sweep on one worker, and the gain of two over one."""
    alone, single, double, own, spent = [], [], [], [], []
    with cluster(None, 1) as one, cluster(None, 2) as two:
        for turn in range(ROUNDS + 1):
            # Seeds are new in every round, as workers keep what they made. The first is to get warm.
            fresh = _points(list(range(100 * turn, 100 * turn + 4)))
            begin = time.process_time()
            for point in fresh:
                assert computing.compute(point).row is not None
            without = time.process_time() - begin
            before = _processor(one)
            wall, points = _swept(fresh, one)
            after = _processor(one)
            faster, _ = _swept(fresh, two)
            if turn > 0:
                alone.append(without)
                spent.append(after - before)
                single.append(wall)
                own.append(points)
                double.append(faster)
    count = len(fresh)
    yield _row(f"sweep of {count} points, wall over their sum", single, own, 1.1, at_most=True)
    yield _row(f"sweep of {count} points, processor over their sum", spent, alone, 1.1, at_most=True)
    yield _row(f"sweep of {count} points, one worker over two", single, double, 1.8, at_most=False)


def _points(seeds: Sequence[int]) -> list[Point]:
    text = f'models = ["{shipped("mnist")}"]\nmachines = ["{MACHINES}"]\nseeds = {list(seeds)}\n'
    return points_of(study_from_toml(text))


def _processor(client: Any) -> float:
    """Processor seconds that this process and the workers of a client have used so far."""
    workers: dict[str, float] = client.run(time.process_time)
    return time.process_time() + sum(workers.values())


def _swept(points: Sequence[Point], client: Any) -> tuple[float, float]:
    """Wall seconds of a sweep into an empty folder, and the sum of those of its points."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        state = sweep(points, Path(folder), client)
        took = time.perf_counter() - start
        rows = read_rows(Path(folder))
    assert state.remaining == state.failed == 0
    return took, sum(row["seconds"] for row in rows)


def _row(name: str, over: Sequence[float], under: Sequence[float], target: float, *, at_most: bool) -> Row:
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    middle = f"{statistics.median(over):.3g} s", f"{statistics.median(under):.3g} s"
    return Row(name, *middle, statistics.median(ratios), min(ratios), max(ratios), target, at_most)
