"""How busy each node and link is in one period of a schedule, and how full each memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import token_bits
from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.passes import unroll
from graphsim.schedule.schedule import Schedule, durations, placement_of

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Utilisation:
    """Per period of the schedule.

    Attributes:
        node_ticks: int64 (nodes,): ticks in which the node fires an actor.
        node_actors: int64 (nodes,): actors placed there.
        node_bytes: int64 (nodes,): memory used, parameters and token slots.
        link_frames: int64 (links,): frames sent.
        link_capacity: int64 (links,): frames that could be sent.
    """

    node_ticks: IntArray
    node_actors: IntArray
    node_bytes: IntArray
    link_frames: IntArray
    link_capacity: IntArray


def hop_frames(graph: Graph, schedule: Schedule) -> IntArray:
    """Frames that each hop sends over its link, int64 (hops,)."""
    bits = token_bits(unroll(graph).graph)[schedule.parcel_token]
    parcel_bits = np.add.reduceat(bits, schedule.parcel_ptr[:-1]) if len(schedule.parcel_node) else bits[:0]
    frame_bits = np.array([link.frame_bits for link in schedule.machine.links], np.int64)
    return -(-parcel_bits[schedule.hop_parcel] // frame_bits[schedule.hop_link])


def folding(graph: Graph, schedule: Schedule) -> tuple[int, int]:
    """How many actors compute, sources, inputs and sinks not counted, and how many nodes have any of them."""
    apart = [number for number, group in enumerate(graph.groups) if group.op in ("source", "input", *SINKS)]
    computes = np.ones(graph.actor_count, np.bool_)
    for number in apart:
        computes[graph.first[number] : graph.first[number + 1]] = False
    return int(computes.sum()), len(np.unique(placement_of(graph, schedule)[computes]))


def utilisation(graph: Graph, schedule: Schedule) -> Utilisation:
    """Read the loads off a schedule."""
    machine = schedule.machine
    nodes, links = len(machine.nodes), len(machine.links)
    ticks = np.zeros(nodes, np.int64)
    np.add.at(ticks, schedule.node, durations(graph, machine, schedule.node))
    frames = np.zeros(links, np.int64)
    np.add.at(frames, schedule.hop_link, hop_frames(graph, schedule))
    top = np.zeros(nodes, np.int64)
    token_bytes = -(-token_bits(unroll(graph).graph)[schedule.slot_token] // 8)
    np.maximum.at(top, schedule.slot_node, schedule.slot_address + schedule.slot_depth * token_bytes)
    return Utilisation(
        node_ticks=ticks,
        node_actors=np.bincount(placement_of(graph, schedule), minlength=nodes).astype(np.int64),
        node_bytes=top,
        link_frames=frames,
        link_capacity=np.array(
            [
                link.frames_per_tick * (schedule.period // stride)
                for link, stride in zip(machine.links, machine.link_strides, strict=True)
            ],
            np.int64,
        ),
    )
