"""Applications that ran on one machine at once: each beside its run alone, as terminal text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from graphsim.graph import Graph
from graphsim.graph.union import Union
from graphsim.graph.words import in_ticks
from graphsim.report.binding import bindings, in_words, why_nothing
from graphsim.report.isolation import Isolation
from graphsim.report.record import clean, graph_record, schedule_record, ticks, verdict_record
from graphsim.report.terminal import new_table, print_schedule, print_verdict, seconds
from graphsim.report.utilisation import utilisation
from graphsim.schedule.schedule import Schedule, latency
from graphsim.schedule.verify import Verdict
from graphsim.simulate.engine import FloatArray, Run, Timing


@dataclass(frozen=True)
class Application:
    """One of several applications, beside itself alone.

    Attributes:
        name: among them. graph: its own.
        alone: its schedule with the machine to itself.
        solo: its run by itself, by an engine without a clock.
        timing: its times in the run of all, from its own sources and sinks.
        values: output values compared, over all samples.
        different: of them, how many had other bits than in the solo run.
        first: group, sample and element of the first of these; "" where there is none.
    """

    name: str
    graph: Graph
    alone: Schedule
    solo: Run
    timing: Timing
    values: int
    different: int
    first: str


@dataclass(frozen=True)
class Together:
    """What ran together, and what came out.

    Attributes:
        command: the command line that repeats it.
        union: of the applications' graphs.
        schedule, verdict: of the union, and what the independent verifier said of it.
        isolation: what the applications share.
        run: of the union.
        applications: in order.
        seconds: measured wall seconds of each stage.
    """

    command: str
    union: Union
    schedule: Schedule
    verdict: Verdict
    isolation: Isolation
    run: Run
    applications: tuple[Application, ...]
    seconds: dict[str, float]

    @property
    def different(self) -> int:
        """Output values that are not those of the solo runs."""
        return sum(one.different for one in self.applications)

    @property
    def ok(self) -> bool:
        """Whether every application answered as it does alone, and none can reach another."""
        return self.different == 0 and self.isolation.ok


def unequal(found_by: Mapping[str, FloatArray], solo: Mapping[str, FloatArray]) -> tuple[int, int, str]:
    """Values compared, how many have other bits (all NaNs are alike), and where the first of these is, or ""."""
    compared = different = 0
    first = ""
    for name, alone in solo.items():
        found = found_by[name]
        differs = (found.view(np.int32) != alone.view(np.int32)) & ~(np.isnan(found) & np.isnan(alone))
        compared += alone.size
        different += int(np.count_nonzero(differs))
        if not first and differs.any():
            sample, *element = (int(i) for i in np.argwhere(differs)[0])
            first = f"{name}, sample {sample}, element {element}"
    return compared, different, first


def print_together(console: Console, result: Together) -> None:
    """The schedule of all, isolation, and each application beside itself alone."""
    schedule, run, apart = result.schedule, result.run, result.isolation
    print_schedule(console, result.union.graph, schedule)
    print_verdict(console, result.verdict)
    said = (
        f"{apart.edges:,} edges and {apart.parcels:,} parcels between applications; {apart.shared_nodes:,} nodes and "
        f"{apart.shared_links:,} links are shared, no tick, frame or byte of them twice (verified)"
    )
    mark = "[green]isolated[/]" if apart.ok else "[red]not isolated[/]"
    console.print(f"  {mark}   {said}", soft_wrap=True)
    console.print(
        f"[bold]{run.engine}[/] engine: {run.samples:,} random samples of every application at once, "
        f"{seconds(run.wall_seconds)} (measured here)"
    )
    columns = ("application", "actors", "outputs", "beside", "period", "latency", "alone", "its bound", "its latency")
    table = new_table(*columns, title="Together, and each alone on the machine", right=("actors", *columns[4:]))
    for one in result.applications:
        period = "" if one.timing.period is None else f"{float(one.timing.period):,.10g}"
        table.add_row(
            escape(one.name),
            f"{one.graph.actor_count:,}",
            f"[red]{one.different:,} of {one.values:,} differ[/]" if one.different else f"all {one.values:,} equal",
            one.solo.engine,
            period,
            f"{one.timing.latency:,}",
            f"{one.alone.period:,}",
            f"{one.alone.bound.ticks:,}",
            f"{latency(one.graph, one.alone):,}",
        )
    console.print(table)
    for one in result.applications:
        load = utilisation(one.graph, one.alone)
        binds = in_words(bindings(one.alone, load)) or f"nothing: {why_nothing(one.alone, load)}"
        console.print(f"  {escape(one.name)} alone binds {escape(binds)}", soft_wrap=True)
        if one.first:
            console.print(f"  {escape(one.name)} differs first in {escape(one.first)}", soft_wrap=True)
    each = sum(one.alone.period for one in result.applications)
    console.print(
        f"  one period of all takes {in_ticks(schedule.period)}; one of each, one application after the other, "
        f"{in_ticks(each)} (simulated)",
        soft_wrap=True,
    )


def together_record(result: Together) -> dict[str, Any]:
    """The document of ``graphsim together --json``, schema version 1."""
    apart, run = result.isolation, result.run
    record: dict[str, Any] = clean(
        {
            "schema_version": 1,
            "command": result.command,
            "graph": graph_record(result.union.graph),
            **schedule_record(result.union.graph, result.schedule),
            "verdict": verdict_record(result.verdict),
            "isolation": {
                "ok": apart.ok,
                "edges_between_applications": apart.edges,
                "parcels_of_several_applications": apart.parcels,
                "shared_nodes": apart.shared_nodes,
                "shared_links": apart.shared_links,
            },
            "simulation": {
                "engine": run.engine,
                "samples": run.samples,
                "wall_seconds": run.wall_seconds,
                "stage_wall_seconds": result.seconds,
            },
            "applications": [_application_record(one, apart, number) for number, one in enumerate(result.applications)],
            "ok": result.ok,
        }
    )
    return record


def _application_record(one: Application, apart: Isolation, number: int) -> dict[str, Any]:
    period = one.timing.period
    return {
        "name": one.name,
        "actors": one.graph.actor_count,
        "outputs_equal": one.different == 0,
        "values_compared": one.values,
        "values_different": one.different,
        "first_difference": one.first or None,
        "solo_engine": one.solo.engine,
        "period_ticks": None if period is None else ticks(period),
        "latency_ticks": one.timing.latency,
        "firing_ticks_per_period": int(apart.ticks[number].sum()),
        "frames_per_period": int(apart.frames[number].sum()),
        "alone": schedule_record(one.graph, one.alone)["schedule"],
    }
