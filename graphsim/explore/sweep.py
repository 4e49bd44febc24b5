"""What is missing of a study, computed by the workers of a Dask cluster, and kept here.

Workers compute, this process writes: rows need no shared disk, and each is written once, whichever worker made it. A
worker that dies loses what it was computing, and Dask gives that to another.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphsim.errors import StudyError, UsageError
from graphsim.explore.compute import Outcome, compute
from graphsim.explore.points import Point
from graphsim.explore.rows import Row, known_keys, read_rows, write_row

#: Points given to each thread of the cluster ahead of those that it computes, and to all threads at least.
_AHEAD, _LEAST = 4, 16
#: Seconds until a scheduler must answer, and until a worker must be there.
_ANSWER, _WORKER = 10, 60
#: Of processes here: nobody looks at samples of what they do, nor need they look after themselves many times a second.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "500ms",
    # Dask has memory given back to the system after almost every array, which costs a tenth of the time of a point.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
#: How often a row is made again that died with its worker.
_ATTEMPTS = 5


@dataclass
class Tally:
    """How far a study is.

    Attributes:
        points: in all. known: there before. done: there now, failed ones too.
        failures: why points failed, and how many.
        troubles: points that have no row for now, each with why.
    """

    points: int
    known: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    troubles: list[tuple[Point, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def remaining(self) -> int:
        return self.points - self.done

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "points": self.points,
            "known_before": self.known,
            "done": self.done,
            "failed": self.failed,
            "failures": dict(self.failures.most_common()),
            "remaining": self.remaining,
            "troubles": [{"key": point.key, "reason": reason} for point, reason in self.troubles],
        }


def tally(points: Sequence[Point], folder: Path) -> Tally:
    """How far a study is in a folder.

    Raises:
        StudyError: a file there is damaged.
    """
    rows = read_rows(folder, [point.key for point in points])
    return Tally(len(points), len(rows), len(rows), Counter(filter(None, map(_failure, rows))))


def _failure(row: Row) -> str:
    """Why a point failed; nothing if it did not."""
    return f"{row['stage']}: {row['reason']}" if row["status"] == "failed" else ""


def missing(points: Sequence[Point], folder: Path) -> list[Point]:
    """The points that have no row."""
    known = known_keys(folder)
    return [point for point in points if point.key not in known]


def sweep(points: Sequence[Point], folder: Path, client: Any, progress: Callable[[Tally], None] | None = None) -> Tally:
    """Have what is missing computed, and keep each row as soon as it is there.

    Args:
        client: a ``distributed.Client``.
        progress: called after each point.

    Raises:
        StudyError: the scheduler went away. OSError: the disk is full. The folder can be gone on with in any case.
    """
    from distributed import as_completed

    state = tally(points, folder)
    left = iter(missing(points, folder))
    ahead = max(_LEAST, _AHEAD * sum(client.nthreads().values()))
    running: dict[str, tuple[Point, int]] = {}
    arriving = as_completed(with_results=True, raise_errors=False)

    def submit(point: Point, attempt: int = 0) -> None:
        name = f"point-{point.key}-{attempt}"
        running[name] = point, attempt
        arriving.add(client.submit(compute, point, key=name))

    for point in itertools.islice(left, ahead):
        submit(point)
    for future, result in arriving:
        point, attempt = running.pop(future.key)
        if future.status in ("cancelled", "lost"):
            # A row that was made, and died with its worker before it was fetched; or nobody is there any more.
            if client.status == "running" and attempt < _ATTEMPTS:
                submit(point, attempt + 1)
                continue
            raise StudyError(
                f"the scheduler is gone, {state.remaining:,} of {state.points:,} points are left; "
                "what was computed is kept: run the same again to go on"
            )
        outcome = result if future.status == "finished" else Outcome(None, _trouble(result))
        if outcome.row is None:
            state.troubles.append((point, outcome.trouble))
        else:
            write_row(folder, outcome.row)
            state.done += 1
            if failure := _failure(outcome.row):
                state.failures[failure] += 1
        if progress is not None:
            progress(state)
        for following in itertools.islice(left, 1):
            submit(following)
    return state


def _trouble(result: Any) -> str:
    """Why a task came to no end, of ``(type, exception, traceback)``."""
    from distributed.scheduler import KilledWorker

    error = result[1]
    if isinstance(error, KilledWorker):
        return "the workers that computed it died, perhaps for lack of memory; use fewer workers, or give each more"
    return f"{type(error).__name__}: {error}"


@contextmanager
def cluster(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """A client of the scheduler at an address, or of processes started here, which end with it.

    Args:
        scheduler: ``tcp://host:port``; None: processes here.
        workers: how many of these; None: one per core.

    Raises:
        UsageError: ``distributed`` is not installed. StudyError: no scheduler answers, or it has no workers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError("a sweep runs on Dask: pip install 'graphsim[explore]'") from error

    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is told as an error of ours
    if scheduler is None:
        with (
            dask.config.set(_QUIET),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as local,
            Client(local) as client,
        ):
            try:
                yield client
            except BaseException:
                _kill(local)
                raise
        return
    try:
        with ThreadPoolExecutor(1) as pool:  # a loop of its own, as a notebook has one that runs
            pool.submit(asyncio.run, _answers(scheduler)).result()
        client = Client(scheduler, timeout=_ANSWER)
    except (OSError, ValueError, TimeoutError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else f"nothing came back within {_ANSWER} s"
        if isinstance(error, MemoryError):  # of what is no scheduler, bytes are taken for sizes
            reason = "what is there speaks another protocol"
        raise StudyError(
            f"{scheduler}: no scheduler answers ({reason}); start one with 'dask scheduler', or leave out --scheduler"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKER)
        except TimeoutError:
            raise StudyError(f"{scheduler}: has no workers; start some with 'dask worker {scheduler}'") from None
        yield client


async def _answers(address: str) -> None:
    """Return when a scheduler has greeted: a client would wait for minutes for what is silent.

    Raises:
        OSError, ValueError, TimeoutError: none does.
    """
    from distributed.comm import connect
    from distributed.security import Security

    greeting = connect(address, timeout=_ANSWER, **Security().get_connection_args("client"))
    (await asyncio.wait_for(greeting, _ANSWER)).abort()


def _kill(local: Any) -> None:
    """End the processes of a ``LocalCluster`` at once, whatever they compute: that would be waited for."""
    for nanny in local.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)
