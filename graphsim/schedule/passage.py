"""Passages: what of a parcel's way is one rigid piece, because switches pass frames on without storing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.machine import Machine
from graphsim.schedule.schedule import Schedule

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Passages:
    """How hops hang together. A passage is a hop out of a compute node and all hops that follow it through switches.

    Attributes:
        first: int64 (hops,): the hop with which each hop's passage begins; its own number where it does itself.
        many: int64 (hops,): hops of the passage that begins with each hop; 0 where none does.
        offset: int64 (hops,): ticks from the start of its passage to the start of each hop.
        pace: int64 (hops,): frames that it sends per cycle, the least frames_per_tick of the links of its passage.
    """

    first: IntArray
    many: IntArray
    offset: IntArray
    pace: IntArray


def passages(machine: Machine, link: IntArray, parent: IntArray) -> Passages:
    """The passages of hops over these links, int64 (hops,).

    Args:
        parent: the hop that brings the parcel to where each hop starts, -1 where none does; int64 (hops,).
    """
    rate = np.array([one.frames_per_tick for one in machine.links], np.int64)[link]
    every = np.arange(len(link))
    if not machine.switches:
        return Passages(every, np.ones_like(every), np.zeros_like(every), rate)
    src = np.array([one.src for one in machine.links], np.int64)[link]
    through = (parent >= 0) & (np.array(machine.crossings, np.int64)[src] > 0)
    step = np.array(machine.ways, np.int64)[link[parent]] + np.array(machine.crossings, np.int64)[src]
    first, offset = np.where(through, parent, every), np.where(through, step, 0)
    for _ in range(len(link).bit_length()):
        offset, first = offset + offset[first], first[first]
    least = np.full(len(link), np.iinfo(np.int64).max)
    np.minimum.at(least, first, rate)
    return Passages(first, np.bincount(first, minlength=len(link)).astype(np.int64), offset, least[first])


def passages_of(schedule: Schedule) -> Passages:
    """The passages of a schedule's hops."""
    machine = schedule.machine
    parcel, link = schedule.hop_parcel.astype(np.int64), schedule.hop_link.astype(np.int64)
    src, dst = (np.array([getattr(one, end) for one in machine.links], np.int64)[link] for end in ("src", "dst"))
    reached, wanted = parcel * len(machine.nodes) + dst, parcel * len(machine.nodes) + src
    order = np.argsort(reached, kind="stable")
    at = np.minimum(np.searchsorted(reached[order], wanted), max(0, len(link) - 1))
    there = reached[order][at] == wanted if len(link) else np.zeros(0, np.bool_)
    return passages(machine, link, np.where(there, order[at], -1) if len(link) else link)
