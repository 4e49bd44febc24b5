"""What relaxing a machine would buy: the period of a point with more links, wider frames, faster nodes, shorter ways.

Each relaxation is judged on the changed machine itself. Where its lower bound is no less than the period there is now,
nothing can be gained: that is *proved*. Otherwise the graph is *folded* onto it, as it was onto the machine before;
what a fold finds is gained, and where it finds nothing shorter, nothing is known of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from graphsim.analysis.costs import Costs
from graphsim.errors import InfeasibleError, MachineError, PlacementError, StudyError
from graphsim.explore.compute import folded
from graphsim.explore.points import point_of
from graphsim.explore.rows import Row, read_origins
from graphsim.files import printable, write_text
from graphsim.graph import Graph
from graphsim.machine import Machine, needs_graph
from graphsim.machine.topologies import is_made
from graphsim.schedule import Schedule, fold, proved

How = Literal["proved", "folded"]


@dataclass(frozen=True)
class Relaxed:
    """One change of a machine, and what comes of it.

    Attributes:
        what: the change, in words: ``2 more links beside n0->n1 and n1->n0``.
        before, after: ticks of the period; they are equal where nothing is gained.
        how: ``proved``: no schedule on the changed machine has a shorter period than there is now; ``folded``: a
            schedule on it was made, and ``after`` is its period, if that is shorter.
        bound: proved of the changed machine.
    """

    what: str
    before: int
    after: int
    how: How
    bound: int

    @property
    def gain(self) -> float:
        """The share of the period that is saved."""
        return 1 - self.after / self.before

    def __str__(self) -> str:
        if self.after < self.before:
            return f"{self.what}: -{self.gain:.0%} period ({self.after:,} ticks, {self.how})"
        return f"{self.what}: nothing ({self.how if self.how == 'proved' else 'no shorter period was found'})"

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"gain": self.gain}


def changes(graph: Graph, schedule: Schedule) -> list[tuple[str, Machine]]:
    """(in words, the changed machine) of each relaxation that a machine allows; ``schedule``: made on it."""
    machine = schedule.machine
    found: list[tuple[str, Callable[[], Machine]]] = []
    full = full_links(graph, schedule)
    if full:
        more = "1 more link" if len(full) == 1 else f"{len(full):,} more links"
        names = [machine.link_name(i) for i in full]
        shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2:,} others"]
        words = f"{more} beside {' and '.join(filter(None, (', '.join(shown[:-1]), shown[-1])))}"
        found.append((words, lambda: _beside(machine, full)))
    if machine.links:
        found.append(("frames twice as wide", lambda: _links(machine, lambda one: {"frame_bits": 2 * one.frame_bits})))
    if any(link.latency > 1 for link in machine.links):
        shorter = "half the latency of all links"
        found.append((shorter, lambda: _links(machine, lambda one: {"latency": -(-one.latency // 2)})))
    found.append(("twice the MACs per tick", lambda: _nodes(machine, "macs_per_tick")))
    if schedule.remark and "bytes" in schedule.remark:
        found.append(("twice the memory", lambda: _nodes(machine, "memory_bytes")))
    made = []
    for what, change in found:
        try:
            made.append((what, change()))
        except MachineError:  # at the end of what a setting allows
            continue
    return made


def full_links(graph: Graph, schedule: Schedule) -> list[int]:
    """Links that send in every tick; where none does, the busiest; none of machines that have one link per pair."""
    from graphsim.report.utilisation import utilisation

    machine = schedule.machine
    load = utilisation(graph, schedule)
    if is_made(machine.topology) or not load.link_frames.any():
        return []
    per_tick = load.link_capacity // max(1, schedule.period)
    needed = -(-load.link_frames // np.maximum(1, per_tick))
    full = np.flatnonzero(needed >= schedule.period)
    return [int(i) for i in full] or [int(np.argmax(load.link_frames / np.maximum(1, load.link_capacity)))]


def _beside(machine: Machine, chosen: Iterable[int]) -> Machine:
    """One more link alike beside each of these: as many frames per tick, and as long a calendar, again."""
    twice = set(chosen)
    links = [
        replace(link, frames_per_tick=2 * link.frames_per_tick, calendar_entries=2 * link.calendar_entries)
        if number in twice
        else link
        for number, link in enumerate(machine.links)
    ]
    return replace(machine, links=tuple(links), topology="")


def _links(machine: Machine, change: Callable[[Any], dict[str, int]]) -> Machine:
    return replace(machine, links=tuple(replace(link, **change(link)) for link in machine.links))


def _nodes(machine: Machine, setting: str) -> Machine:
    nodes = [
        replace(node, **{setting: 2 * getattr(node, setting)}) if node.kind == "compute" else node
        for node in machine.nodes
    ]
    return replace(machine, nodes=tuple(nodes))


def relax(graph: Graph, schedule: Schedule, *, strategy: str | None = None, seed: int = 0) -> list[Relaxed]:
    """What each relaxation buys, the greatest gain first.

    Args:
        strategy, seed: that the schedule was folded with.
    """
    found = []
    for what, machine in changes(graph, schedule):
        before = after = schedule.period
        how: How = "proved"
        try:
            grain, kind = schedule.tile, schedule.buffering
            bound = proved(Costs(graph, machine), buffering=kind, tile=grain).ticks
            if bound < before:
                other = fold(graph, machine, strategy=strategy, buffering=kind, seed=seed, tile=grain)
                after, how = min(before, other.period), "folded"
        except (InfeasibleError, PlacementError):
            continue
        found.append(Relaxed(what, before, after, how, bound))
    return sorted(found, key=lambda one: one.after)


def relax_points(
    folder: Path, rows: Sequence[Row], progress: Callable[[int], None] | None = None
) -> dict[str, list[Relaxed]]:
    """What relaxing buys each of these points of a sweep, by key; kept in ``DIR/relaxed`` and not computed again.

    Raises:
        StudyError: a model or machine is not there any more, or has changed.
    """
    models, machines = read_origins(folder)
    found = {}
    for number, row in enumerate(rows):
        file = folder / "relaxed" / f"{row['key']}.json"
        if (kept := _kept(file)) is not None:
            found[row["key"]] = kept
        else:
            origins = models.get(row["model_sha256"]), machines.get(row["machine"])
            found[row["key"]] = made = _relaxed_point(row, *origins)
            document = {"schema_version": 1, "relaxed": [asdict(one) for one in made]}
            write_text(file, json.dumps(document, indent=1) + "\n")
        if progress is not None:
            progress(number + 1)
    return found


def _relaxed_point(row: Row, path: str | None, spec: str | None) -> list[Relaxed]:
    if path is None or spec is None or not Path(path).is_file():
        what = f"the model {row['model']}" if spec is not None else f"the machine {row['machine']}"
        raise StudyError(f"{what} is not where it was when the sweep ran; run 'graphsim sweep' again")
    graph, schedule = folded(point_of(row, path, spec))
    if schedule.machine.digest() != row["machine_digest"] and not needs_graph(spec):
        raise StudyError(f"the machine {row['machine']} has changed since the sweep ran; run 'graphsim sweep' again")
    return relax(graph, schedule, strategy=row["place"], seed=row["seed"])


def _kept(file: Path) -> list[Relaxed] | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema_version"] != 1:
            return None
        return [Relaxed(**one) for one in document["relaxed"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"{printable(file)}: cannot be read ({error}); take it away, and it is computed anew"
        ) from None
