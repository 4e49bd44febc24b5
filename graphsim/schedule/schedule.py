"""The schedule: where every actor fires, when, how its tokens travel, and where they are kept meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from graphsim.analysis.bounds import Bound
from graphsim.analysis.costs import parameter_bytes
from graphsim.analysis.tokens import token_bits
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.passes import unroll

__all__ = ["BUFFERING", "Bound", "Buffering", "Schedule", "durations", "latency", "parameter_bytes", "token_bits"]

IntArray = npt.NDArray[np.int64]

Buffering = Literal["single", "double"]
#: Kinds of buffering: in single, computing and communicating overlap; in double they alternate.
BUFFERING: tuple[Buffering, ...] = get_args(Buffering)


@dataclass(frozen=True)
class Schedule:
    """A periodic (modulo) schedule of one graph on one machine: iteration n repeats iteration 0, n * period ticks
    later.

    Firings. Where actors fire several times per iteration, everything here is about the graph that
    :func:`~graphsim.passes.unroll.unroll` makes: its actors are the firings, and arrays have an entry for each. All
    firings of one actor are on one node, and one after the other, the first of an iteration after the last of the one
    before it. For other graphs, firings are actors.

    Time. Every node and link acts in ticks that are multiples of its stride (:class:`~graphsim.machine.Machine`): all
    firings of a node and all hops over a link start in such ticks, and the period is a multiple of the strides of all
    nodes with actors and of all links with hops. A cycle of a component takes as many ticks as its stride.

    Actor a fires in iteration 0 during ticks ``start[a] <= t < start[a] + duration(a)``; it reads its inputs at
    the start of tick ``start[a]``, its token is in its node's memory from the start of tick ``start[a] + duration(a)``.
    Durations are not stored: the machine prices the graph's work. A duration of 0 is allowed (source and inputs).

    Tokens. Token ids 0 .. actors - 1 are the outputs of the actors (the same token to all consumers); a source's tokens
    are distinct: the one on its edge to input actor b has id ``actors + (b - first input actor)``, counting the input
    actors over all input groups in id order. A source's own id names no token.

    Parcels. A parcel is what travels: tokens ``parcel_token[parcel_ptr[p]:parcel_ptr[p + 1]]``, packed bit by bit in
    that order into ``ceil(bits / frame_bits)`` frames of each link it takes. It is assembled at node
    ``parcel_node[p]``, where all its tokens are produced.

    Hops. Hop h sends parcel ``hop_parcel[h]`` over link ``hop_link[h]``, from tick ``hop_start[h]`` of iteration 0
    on, in ``ceil(frames / pace)`` consecutive cycles of the link, full cycles first. It may start once the parcel is in
    the memory of the link's source node, and is in the memory of its destination from the start of tick ``hop_start +
    (cycles + latency) * stride`` on. The pace is the link's ``frames_per_tick``, if no end of it is a switch. The hops
    of a parcel form a tree from ``parcel_node``: each node gets it once. Hops are sorted by (parcel, start, link).

    Switches store nothing: a frame that is there in tick t leaves in tick ``t + (1 + crossbar_latency) * stride``. So a
    hop out of a switch starts exactly ``(1 + latency + 1 + crossbar_latency) * stride`` ticks after the hop into it
    (strides are equal there). A hop from a compute node and those that follow it through switches are a *passage*; its
    frames pass one by one, and the pace of all its hops is the least ``frames_per_tick`` of its links.

    Slots. A compute node that holds a token (made there, used there, or passed on there) keeps it in slot s:
    ``slot_node``, ``slot_token``, byte address ``slot_address`` of the first of ``slot_depth`` copies. Iteration n
    uses copy ``n mod depth``, at address + (n mod depth) * bytes of the token (bits rounded up to bytes). A slot is
    claimed when the token's first frame arrives (hop start + (1 + latency) * stride) or its firing ends, and free once
    the last local consumer's firing has ended and the last hop from here has been sent. A token that nobody reads needs
    no slot where it is made. Sorted by (node, token).

    State. A firing of iteration n that reads over a channel with d initial tokens reads the token of iteration n - d,
    and needs it until it has ended, or to the end of the tick in which it starts. Tokens of iterations before 0 are the
    initial ones: before tick 0 every slot of a token holds all of them, that of iteration -k in copy ``-k mod depth``,
    k = 1 .. d, d being the most on any channel; so it has d copies at least. No parcel brings them.

    Parameters. Every node keeps those of its actors in bytes ``0 .. parameter bytes - 1`` (:func:`parameter_bytes`):
    each list of weights once, however many actors there read it, so that all positions of a filter share it. Slots lie
    above, each in bytes of its own.

    Attributes (all arrays read-only):
        graph_digest: :attr:`Graph.digest` of the graph (before it is unrolled).
        machine: the whole machine description.
        strategy: name of the placement strategy.
        period: ticks per iteration.
        node: int32 (actors,). start: int64 (actors,).
        parcel_node: int32 (parcels,). parcel_ptr: int64 (parcels + 1,). parcel_token: int32.
        hop_parcel, hop_link: int32 (hops,). hop_start: int64 (hops,).
        slot_node, slot_token, slot_depth: int32 (slots,). slot_address: int64 (slots,).
        bound: the proved lower bound for any placement on this machine.
        placement_bound: the lower bound for this placement and these routes.
        buffering: how computing and communicating follow each other; see :mod:`~graphsim.schedule.double`.
        tile: actors of a layer that are scheduled as one, at most; see :mod:`~graphsim.schedule.tiles`.
        remark: what stood in the way of using more nodes, if something did; else "".
    """

    graph_digest: str
    machine: Machine
    strategy: str
    period: int
    node: npt.NDArray[np.int32]
    start: IntArray
    parcel_node: npt.NDArray[np.int32]
    parcel_ptr: IntArray
    parcel_token: npt.NDArray[np.int32]
    hop_parcel: npt.NDArray[np.int32]
    hop_link: npt.NDArray[np.int32]
    hop_start: IntArray
    slot_node: npt.NDArray[np.int32]
    slot_token: npt.NDArray[np.int32]
    slot_address: IntArray
    slot_depth: npt.NDArray[np.int32]
    bound: Bound
    placement_bound: Bound
    remark: str = ""
    buffering: Buffering = "single"
    tile: int = 1

    def __repr__(self) -> str:
        return (
            f"<Schedule on {self.machine.name}: period {self.period:,} ticks, {len(self.node):,} firings and copies, "
            f"{len(self.parcel_node):,} parcels, placed {self.strategy}>"
        )


def placement_of(graph: Graph, schedule: Schedule) -> npt.NDArray[np.int32]:
    """The node of every actor of the graph, int32 (actors,)."""
    node = np.empty(graph.actor_count, np.int32)
    node[unroll(graph).owner] = schedule.node
    return node


def durations(graph: Graph, machine: Machine, node: npt.NDArray[np.int32]) -> IntArray:
    """Ticks of each firing on the node it is placed on, int64 (firings,)."""
    graph = unroll(graph).graph
    result = np.zeros(graph.actor_count, np.int64)
    for number, group in enumerate(graph.groups):
        first = int(graph.first[number])
        fan_in = graph.fan_in(number)
        placed = node[first : first + group.size]
        pairs, inverse = np.unique(fan_in * len(machine.nodes) + placed, return_inverse=True)
        cases = (divmod(pair, len(machine.nodes)) for pair in pairs.tolist())
        ticks = [machine.ticks(v, graph.work_of(number, k)) for k, v in cases]
        result[first : first + group.size] = np.asarray(ticks, np.int64)[inverse.reshape(-1)]
    return result


def latency(graph: Graph, schedule: Schedule) -> int:
    """Ticks from the source's first firing to the end of the sink's last, in one iteration."""
    graph = unroll(graph).graph
    ends = schedule.start + durations(graph, schedule.machine, schedule.node)
    last = max(int(ends[graph.first[i] : graph.first[i + 1]].max()) for i in graph.sinks)
    return last - min(int(schedule.start[graph.first[i] : graph.first[i + 1]].min()) for i in graph.sources)
