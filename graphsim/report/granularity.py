"""What a choice of granularity does to a schedule: actors, period, latency, traffic, memory, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from graphsim.errors import InfeasibleError, PlacementError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.report.terminal import new_table
from graphsim.report.utilisation import utilisation
from graphsim.schedule.schedule import Schedule, latency

#: Of the graph, not of its schedule: tiles do not change them.
_OF_GRAPH = ("actors", "edges")
#: Measures by the key that they have in JSON: what the terminal calls them.
COLUMNS = {
    "actors": "actors",
    "edges": "edges",
    "period_ticks": "period",
    "latency_ticks": "latency",
    "traffic_frames": "frames per period",
    "peak_memory_bytes": "fullest node, bytes",
    "nodes_used": "nodes used",
}


def measures(graph: Graph, schedule: Schedule) -> dict[str, Any]:
    """By the keys of :data:`COLUMNS`; traffic is the sum over all links of the frames that each sends in a period."""
    load = utilisation(graph, schedule)
    return {
        "actors": graph.actor_count,
        "edges": graph.edge_count,
        "period_ticks": schedule.period,
        "latency_ticks": latency(graph, schedule),
        "traffic_frames": int(load.link_frames.sum()),
        "peak_memory_bytes": int(load.node_bytes.max()),
        "nodes_used": int((load.node_actors > 0).sum()),
    }


def grains(
    whole: Graph,
    graph: Graph,
    schedule: Schedule,
    machine: Machine,
    *,
    strategy: str | None = None,
    placement: Path | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Measures of whole neurons, scheduled one by one, and of a schedule of another grain; empty where it has none.

    The first are left out where whole neurons cannot be folded.

    Args:
        whole: the graph. graph: the same with neurons split, or itself, which is what was scheduled.
        machine: on which to fold whole neurons.
        strategy, placement, seed: that it was folded with.
    """
    split = "" if graph is whole else f"max-fan-in {graph.notes['max_fan_in'].partition(':')[0]}"
    tiles = "" if schedule.tile == 1 else f"tiles of {schedule.tile:,}"
    if not (split or tiles):
        return {}
    from graphsim.schedule import fold

    own = {", ".join(filter(None, (split, tiles))): measures(graph, schedule)}
    kind = schedule.buffering
    try:
        other = fold(whole, machine, strategy=strategy, placement=placement, buffering=kind, seed=seed)
    except (InfeasibleError, PlacementError):
        return own
    return {"neurons": measures(whole, other), **own}


def columns(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Those of :data:`COLUMNS` that a table of choices has: without what is of the graph, where all have one graph."""
    all_of = {key: {values[key] for values in found.values()} for key in _OF_GRAPH}
    return {key: title for key, title in COLUMNS.items() if key not in _OF_GRAPH or len(all_of[key]) > 1}


def print_granularity(console: Console, found: Mapping[str, Mapping[str, Any]]) -> None:
    """One row per choice, by name."""
    titles = columns(found)
    table = new_table("granularity", *titles.values(), right=tuple(titles.values()))
    for name, values in found.items():
        table.add_row(name, *(f"{values[key]:,}" for key in titles))
    console.print(table)
