"""Everything that a schedule lets happen, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.errors import ScheduleError
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify import verify
from graphsim.schedule.verify.deliveries import check_deliveries
from graphsim.schedule.verify.facts import Facts
from graphsim.schedule.verify.verdict import Findings

IntArray = npt.NDArray[np.int64]

#: What a trace holds at most: firings, hops and tokens in memory, over all its iterations.
MOST_EVENTS = 4_000_000


@dataclass(frozen=True)
class Timeline:
    """When things happen in iteration 0, in ticks; in iteration n they do so n periods later. Intervals are half open.

    It is what the independent verifier derives from graph, machine and schedule, not what the scheduler noted.

    Attributes:
        original: the graph. graph: the same unrolled, as schedules are about it; its actors are firings.
        schedule: the schedule, which has been verified.
        start, end: int64 (firings,): of each firing.
        hop_start, hop_sent, hop_arrival: int64 (hops,): ticks in which a hop sends are ``hop_start .. hop_sent - 1``;
            what it brings is in memory from ``hop_arrival`` on.
        hop_frames: int64 (hops,): frames that it sends, ``hop_pace`` of them in every ``hop_stride`` ticks.
        kept_node, kept_token: int64 (kept,), ascending by (node, token): what a node has in memory at some time.
        kept_from, kept_until: int64 (kept,): from when room is taken for it, and until when it is needed.
        kept_bytes: int64 (kept,): bytes of the token.
        maker: int64 (tokens,): the firing that makes each token, -1 for a source's own.
        bits: int64 (tokens,): its width.
        inputs: int64: ids of input actors; token ``actors + k`` is what the source sends to ``inputs[k]``.
    """

    original: Graph
    graph: Graph
    schedule: Schedule
    start: IntArray
    end: IntArray
    hop_start: IntArray
    hop_sent: IntArray
    hop_arrival: IntArray
    hop_frames: IntArray
    hop_pace: IntArray
    hop_stride: IntArray
    kept_node: IntArray
    kept_token: IntArray
    kept_from: IntArray
    kept_until: IntArray
    kept_bytes: IntArray
    maker: IntArray
    bits: IntArray
    inputs: IntArray

    @property
    def last(self) -> int:
        """The tick by which everything of iteration 0 is over."""
        return int(max(self.end.max(initial=0), self.hop_arrival.max(initial=0), self.kept_until.max(initial=0)))

    def token_name(self, token: int) -> str:
        """How people call a token: by the actor that makes it, or that the source makes it for."""
        actors = self.graph.actor_count
        return self.graph.actor(token if token < actors else int(self.inputs[token - actors])).name

    def parcel_tokens(self, parcel: int) -> npt.NDArray[np.int32]:
        """Ids of the tokens in a parcel, as they are packed."""
        ptr = self.schedule.parcel_ptr
        return self.schedule.parcel_token[ptr[parcel] : ptr[parcel + 1]]


def timeline(graph: Graph, schedule: Schedule) -> Timeline:
    """The timeline of a schedule.

    Raises:
        ScheduleError: the verifier rejects the schedule; the message is its first finding.
    """
    verdict = verify(graph, schedule)
    if not verdict.ok:
        raise ScheduleError(f"the schedule breaks {verdict.violation_count:,} rules: {verdict.violations[0].message}")
    facts = Facts(graph, unroll(graph), schedule)
    held = check_deliveries(facts, Findings())
    node, token = np.divmod(held.pair, facts.tokens)
    return Timeline(
        original=graph,
        graph=facts.graph,
        schedule=schedule,
        start=facts.start,
        end=facts.end,
        hop_start=facts.hop_start,
        hop_sent=facts.hop_sent,
        hop_arrival=facts.hop_arrival,
        hop_frames=facts.hop_frames,
        hop_pace=facts.hop_pace,
        hop_stride=facts.hop_stride,
        kept_node=node,
        kept_token=token,
        kept_from=held.claim,
        kept_until=held.release,
        kept_bytes=facts.bytes[token],
        maker=facts.maker,
        bits=facts.bits,
        inputs=facts.inputs,
    )


def check_size(line: Timeline, iterations: int) -> None:
    """Refuse traces that no viewer opens.

    Raises:
        ScheduleError: says how many events there would be.
    """
    events = iterations * (len(line.start) + len(line.hop_start) + len(line.kept_node))
    if events > MOST_EVENTS:
        raise ScheduleError(
            f"{iterations:,} iterations are {events:,} firings, hops and tokens; a trace holds {MOST_EVENTS:,}: take "
            f"fewer iterations"
        )


def levels(line: Timeline, iterations: int) -> tuple[IntArray, IntArray, IntArray]:
    """How full memories are, in bytes of tokens: (node, tick, bytes from that tick on), sorted, changes only."""
    shift = np.arange(iterations)[:, None] * line.schedule.period
    node = np.tile(line.kept_node, 2 * iterations)
    tick = np.concatenate([(line.kept_from + shift).ravel(), (line.kept_until + shift).ravel()])
    change = np.concatenate([np.tile(line.kept_bytes, iterations), np.tile(-line.kept_bytes, iterations)])
    order = np.lexsort([tick, node])
    node, tick = node[order], tick[order]
    total = np.cumsum(change[order])  # over all nodes before, too, whose changes add up to nothing
    last = np.ones(len(node), np.bool_)
    last[:-1] = (node[1:] != node[:-1]) | (tick[1:] != tick[:-1])
    return node[last], tick[last], total[last]
