"""A long run cut into parts that the workers of a Dask cluster do: the same bits as in one process."""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import StudyError, UsageError
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.simulate.engine import Keep, Progress, Run
from graphsim.simulate.lanes import LanesEngine

FloatArray = npt.NDArray[np.float32]

#: Samples in a part, and parts given to each thread of the cluster ahead of those that it does.
PART, _AHEAD = 4096, 3
#: Bytes of values that are kept in memory; more of them lie in a file that has no name and goes with them.
IN_MEMORY = 1 << 30


class ShardedEngine:
    """Runs a graph with the ``lanes`` engine on the workers of a cluster, parts of the samples side by side.

    No value depends on which samples are run together, so that parts put together are the run itself, bit for bit.
    What a worker was doing when it died is done again by another.

    Values come in part by part and are kept once: in memory, or on disk where there are many.

    Args:
        client: a ``distributed.Client``.
        part: samples in a part. in_memory: bytes of values beyond which they are kept on disk.

    Raises:
        UsageError: state goes from sample to sample, so that none can be run before the one before it.
    """

    name = "lanes"

    def __init__(self, graph: Graph, client: Any, part: int = PART, in_memory: int = IN_MEMORY) -> None:
        if any(channel.initial_tokens for channel in unroll(graph).graph.channels):
            raise UsageError(f"{graph.name}: state goes from sample to sample; it is run in one process only")
        self.graph, self._client, self._part, self._in_memory = graph, client, part, in_memory

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """As of any engine.

        Raises:
            StudyError: a part could not be done, or nobody is there any more. OSError: the disk is full.
        """
        start = time.perf_counter()
        arrays = samples if isinstance(samples, tuple) else (samples,)
        count = len(arrays[0])
        kept = keep if isinstance(keep, str) else tuple(keep)
        # Made by a task, and not only sent, so that it is made again where a worker dies that holds it.
        graph = self._client.submit(_same, self.graph, key=f"graph-{self.graph.digest}")
        ahead = max(1, _AHEAD * sum(self._client.nthreads().values()))
        begins: Iterator[int] = iter(range(0, max(1, count), self._part))
        running: list[Any] = []
        values: dict[str, FloatArray] = {}
        done = parts = 0
        while True:
            for begin in itertools.islice(begins, ahead - len(running)):
                part = tuple(array[begin : begin + self._part] for array in arrays)
                running.append(self._client.submit(_run, graph, self.graph.digest, part, kept, pure=False))
            if not running:
                break
            first = running.pop(0)
            try:
                found = first.result()
            except Exception as error:
                raise StudyError(f"a part of the run was not done: {type(error).__name__}: {error}") from error
            values = values or self._room(found, count)
            end = min(count, done + self._part)
            for name, array in found.items():
                values[name][done:end] = array
            done, parts = end, parts + 1
            if progress is not None:
                progress(done)
        note = f"{parts:,} parts of at most {self._part:,} samples on a cluster"
        return Run(self.name, count, values, None, time.perf_counter() - start, note)

    def _room(self, part: Mapping[str, FloatArray], count: int) -> dict[str, FloatArray]:
        """Arrays for the values of all samples, of those of a part."""
        shapes = {name: (count, *array.shape[1:]) for name, array in part.items()}
        sizes = {name: 4 * math.prod(shape) for name, shape in shapes.items()}
        if sum(sizes.values()) <= self._in_memory:
            return {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        return {name: _on_disk(shape) for name, shape in shapes.items()}


def _on_disk(shape: tuple[int, ...]) -> FloatArray:
    """An array, float32, in a file that has no name.

    Raises:
        OSError: the disk is full.
    """
    size = 4 * math.prod(shape)
    if not size:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):
            # All of it at once: a disk that is full is an error here, and would be a signal when the map is written to.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, np.float32, "r+", shape=shape)


def _same(graph: Graph) -> Graph:
    return graph


_GRAPHS: dict[str, Graph] = {}


@lru_cache(maxsize=2)
def _engine(digest: str) -> LanesEngine:
    return LanesEngine(_GRAPHS.pop(digest), threads=1)


def _run(graph: Graph, digest: str, samples: tuple[FloatArray, ...], keep: Keep) -> dict[str, FloatArray]:
    _GRAPHS[digest] = graph
    engine = _engine(digest)
    ran = engine.run(samples if len(samples) > 1 else samples[0], keep=keep)
    return dict(ran.values)
