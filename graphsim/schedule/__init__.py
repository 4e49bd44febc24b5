"""Fold a graph onto a machine: place, route, calendar; and an independent verifier.

::

    fold.py        fold(graph, machine): the way through everything below
    place.py       which node fires which actor: contiguous, one-to-one
    partition.py   which node fires which actor: greedy, hypergraph
    placement_file.py  placements to keep and to edit
    route.py       tokens into parcels, a tree of links for each parcel
    passage.py     what of a way is one piece, because switches store nothing
    timing.py      starts of firings and hops at a period: latency
    double.py      starts of firings and hops where computing and communicating alternate
    calendar.py    cyclic tables of nodes and links
    reading.py     which tokens each firing reads, in bulk
    slots.py       memory: copies and addresses
    fewer.py       schedules of smaller machines of the family, on the larger one
    schedule.py    the result, and its encoding
    store.py       the .fold file
    verify/        checks a schedule; shares nothing with the rest
"""

from graphsim.schedule.fold import STRATEGIES, fold, proved
from graphsim.schedule.schedule import BUFFERING, Bound, Buffering, Schedule, durations, latency

__all__ = ["BUFFERING", "STRATEGIES", "Bound", "Buffering", "Schedule", "durations", "fold", "latency", "proved"]
