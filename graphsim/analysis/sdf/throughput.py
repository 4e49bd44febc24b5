"""Exact throughput: the period of an iteration, as a fraction of ticks, and the cycle that it is the ratio of.

Firings that start as soon as they can have, in the long run, a period that is the greatest ratio of ticks to tokens of
any cycle of the homogeneous expansion (Reiter 1968; Baccelli, Cohen, Olsder and Quadrat, "Synchronization and
Linearity", 1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from graphsim.analysis.cycles import slowest_cycle
from graphsim.analysis.sdf.expansion import expand
from graphsim.analysis.sdf.rates import check_alive, repetition_vector
from graphsim.errors import GraphError
from graphsim.graph.sdf import IntArray, TimedGraph


@dataclass(frozen=True)
class Throughput:
    """How often an iteration completes when every firing starts as soon as it can.

    Attributes:
        repetition: firings of each actor in an iteration, int64 (actors,).
        period: ticks per iteration, in the long run; 0 where nothing limits it.
        cycle: (actor, channel) around a cycle of that ratio: each actor's firing is waited for through the channel by
            the next actor; a channel that is no channel's number is a limit of concurrency. () where there is none.
    """

    repetition: IntArray
    period: Fraction
    cycle: tuple[tuple[int, int], ...]

    @property
    def iterations_per_tick(self) -> Fraction | None:
        """1 / period; None where nothing limits it."""
        return 1 / self.period if self.period else None


def throughput(graph: TimedGraph) -> Throughput:
    """Consistency, deadlock, and the period.

    Raises:
        InconsistentError, DeadlockError: see :mod:`graphsim.analysis.sdf.rates`.
        GraphError: the graph is too large to be followed.
    """
    repetition = repetition_vector(graph)
    expansion = expand(graph, repetition)
    firings = int(expansion.first[-1])
    try:
        found = slowest_cycle(firings, expansion.src, expansion.dst, expansion.ticks[expansion.src], expansion.tokens)
    except GraphError:
        check_alive(graph, repetition)  # names the actors that wait for each other, if that is it
        raise
    if found is None:
        return Throughput(repetition, Fraction(0), ())
    actors = np.searchsorted(expansion.first, found.nodes, side="right") - 1
    channels = expansion.channel[list(found.edges)]
    return Throughput(repetition, found.ratio, tuple(zip(actors.tolist(), channels.tolist(), strict=True)))
