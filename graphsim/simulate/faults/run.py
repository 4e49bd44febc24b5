"""What a run with faults produces, whichever engine made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphsim.simulate.engine import FloatArray, Keep, Progress
from graphsim.simulate.faults.file import Checksum


@dataclass(frozen=True)
class Frames:
    """Numbers of frames, each on each hop.

    Attributes:
        sent: valid ones that were sent. hit: of these, corrupted ones.
        noticed: hit ones that the checksum gives away; they are missing then.
        harmless: hit ones that it does not, but where only padding has changed.
        lost: that did not come: on links that were down, or too late.
        misplaced: that were taken for others, off a link whose latency had changed.
        withheld: not sent as valid, because a token in them was missing.
    """

    sent: int
    hit: int
    noticed: int
    harmless: int
    lost: int
    misplaced: int
    withheld: int


@dataclass(frozen=True)
class FaultyRun:
    """What a run with faults produced.

    Attributes:
        engine: name of the engine. samples: N. rate, checksum: of corruption, and how frames were protected.
        values: as a :class:`~graphsim.simulate.engine.Run` has them; NaN where a token is missing.
        missing: bool arrays of the same shapes: where that is so.
        counts: int64 (N, 7): what happened to the frames of each sample, in the order of :class:`Frames`.
        noticed: int64 (nodes,): the first tick in which a firing on a node finds an operand missing; -1 for none.
        wall_seconds: measured wall time of the run itself.
    """

    engine: str
    samples: int
    rate: float
    checksum: Checksum
    values: Mapping[str, FloatArray]
    missing: Mapping[str, npt.NDArray[np.bool_]]
    counts: npt.NDArray[np.int64]
    noticed: npt.NDArray[np.int64]
    wall_seconds: float

    @property
    def frames(self) -> Frames:
        """What happened to frames, in all."""
        return Frames(*self.counts.sum(axis=0).tolist())


class FaultyEngine(Protocol):
    """An engine made for one graph, one schedule and one plan of faults."""

    def run_with(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        rate: float,
        checksum: Checksum,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> FaultyRun:
        """Run samples, float32 (N, *input shape), at this rate of corruption and with frames protected like this."""
        ...
