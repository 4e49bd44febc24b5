"""Whether applications on one machine can get into each other's way: what is theirs, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphsim.analysis.tokens import token_makers
from graphsim.graph.channels import IntArray
from graphsim.graph.union import Union
from graphsim.passes import unroll
from graphsim.report.utilisation import hop_frames
from graphsim.schedule.schedule import Schedule, durations


@dataclass(frozen=True)
class Isolation:
    """What applications share under a schedule of their union.

    That nothing shares a tick of a node, a frame of a link or a byte of memory is the verifier's to say; here is
    counted what would let one application reach another in spite of that.

    Attributes:
        edges: from actors of one application to those of another.
        parcels: with tokens of several applications, which share frames.
        ticks: int64 (applications, nodes): of each node's firings, in a period.
        frames: int64 (applications, links): over each link, in a period.
    """

    edges: int
    parcels: int
    ticks: IntArray
    frames: IntArray

    @property
    def ok(self) -> bool:
        """Whether nothing lets one application reach another."""
        return self.edges == 0 and self.parcels == 0

    @property
    def shared_nodes(self) -> int:
        """Nodes that fire actors of several applications."""
        return int(np.count_nonzero(np.count_nonzero(self.ticks, axis=0) > 1))

    @property
    def shared_links(self) -> int:
        """Links that carry frames of several applications."""
        return int(np.count_nonzero(np.count_nonzero(self.frames, axis=0) > 1))


def isolation(union: Union, schedule: Schedule) -> Isolation:
    """What the applications share, read off the graph and the schedule."""
    machine, unrolled = schedule.machine, unroll(union.graph)
    of = union.of_actor[unrolled.owner]
    ticks = np.zeros((len(union.names), len(machine.nodes)), np.int64)
    np.add.at(ticks, (of, schedule.node), durations(union.graph, machine, schedule.node))
    carried = of[token_makers(unrolled.graph)[schedule.parcel_token]]
    frames = np.zeros((len(union.names), len(machine.links)), np.int64)
    parcels = 0
    if len(schedule.parcel_node):
        least, most = (f.reduceat(carried, schedule.parcel_ptr[:-1]) for f in (np.minimum, np.maximum))
        parcels = int(np.count_nonzero(least != most))
        np.add.at(frames, (least[schedule.hop_parcel], schedule.hop_link), hop_frames(union.graph, schedule))
    return Isolation(union.crossing, parcels, ticks, frames)
