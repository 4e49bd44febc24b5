"""What an analysis of a timed dataflow graph found, as JSON and for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from graphsim.errors import DeadlockError, InconsistentError
from graphsim.report.terminal import new_table

if TYPE_CHECKING:
    from graphsim.analysis.sdf.buffers import Tradeoff
    from graphsim.analysis.sdf.schedules import Blocked
    from graphsim.analysis.sdf.throughput import Throughput
    from graphsim.graph.sdf import TimedGraph

#: Rows that a table has, actors that are busy most first; and names that a row of actors with equal numbers has.
SHOWN, NAMED = 24, 3
#: Actors whose repetitions JSON lists one by one.
LISTED = 100_000


def exact(value: Fraction) -> int | str:
    """A number as JSON has it: whole, or a fraction as text (``7/2``)."""
    return value.numerator if value.denominator == 1 else str(value)


def around(graph: TimedGraph, cycle: Sequence[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """(actor, firings in a row) around a cycle of waiting firings."""
    for actor, firings in groupby(actor for actor, _ in cycle):
        yield graph.actor_name(actor), sum(1 for _ in firings)


def analysis_record(graph: TimedGraph, found: Throughput, latency: int | None) -> dict[str, Any]:
    """Consistency, repetition vector, deadlock, throughput, as JSON. Times are in ticks."""
    rate = found.iterations_per_tick
    few = graph.actor_count <= LISTED and bool(graph.actor_names)
    names = dict(zip(graph.actor_names, found.repetition.tolist(), strict=True)) if few else None
    return {
        "graph": {
            "name": graph.name,
            "actors": graph.actor_count,
            "channels": graph.channel_count,
            "firings_per_iteration": int(found.repetition.sum()),
        },
        "consistent": True,
        "repetition_vector": names,
        "deadlock_free": True,
        "throughput": None if rate is None else f"{rate.numerator}/{rate.denominator}",
        "period": exact(found.period),
        "latency": latency,
        "critical_cycle": [{"actor": name, "firings": many} for name, many in around(graph, found.cycle)],
    }


def refused_record(graph: TimedGraph, error: InconsistentError | DeadlockError) -> dict[str, Any]:
    """What is known of a graph that cannot run: the same keys, None where there is no answer."""
    dead = isinstance(error, DeadlockError)
    return {
        "graph": {"name": graph.name, "actors": graph.actor_count, "channels": graph.channel_count},
        "consistent": dead,
        "repetition_vector": None,
        "deadlock_free": False if dead else None,
        "throughput": None,
        "period": None,
        "latency": None,
        "critical_cycle": [],
        "blocked": list(error.cycle) if isinstance(error, DeadlockError) else [],
    }


def tradeoff_record(graph: TimedGraph, found: Tradeoff) -> dict[str, Any]:
    """Total capacities in tokens, periods in ticks."""
    return {
        "complete": found.complete,
        "tried": found.tried,
        "points": [
            {
                "total": point.total,
                "period": exact(point.period),
                "throughput": f"{point.period.denominator}/{point.period.numerator}",
                "capacity": {
                    name: int(size)
                    for name, size, src, dst in zip(
                        graph.channel_names, point.capacity, graph.src, graph.dst, strict=True
                    )
                    if src != dst
                },
            }
            for point in found.points
        ],
    }


def blocked_record(graph: TimedGraph, found: Blocked) -> dict[str, Any]:
    """Firings of one iteration on processors, in ticks."""
    columns = (found.actor, found.number, found.processor, found.start, found.end)
    return {
        "processors": int(found.processor.max()) + 1,
        "period": found.period,
        "firings": [
            {"actor": graph.actor_name(a), "firing": n, "processor": p, "start": s, "end": e}
            for a, n, p, s, e in zip(*(column.tolist() for column in columns), strict=True)
        ],
    }


def print_analysis(console: Console, graph: TimedGraph, found: Throughput, latency: int | None) -> None:
    """Throughput and what limits it, and the busiest actors."""
    console.print(
        f"[bold]{escape(graph.name)}[/]: {graph.actor_count:,} actors, {graph.channel_count:,} channels, "
        f"{int(found.repetition.sum()):,} firings per iteration"
    )
    console.print("consistent, free of deadlock [dim](proved)[/]")
    if not found.period:
        console.print("throughput  [bold]unlimited[/]: no firings that take time wait for each other in a cycle")
        return
    rate = 1 / found.period
    console.print(
        f"throughput  [bold]{rate.numerator}/{rate.denominator}[/] iterations per tick: a period of "
        f"[bold]{found.period}[/] ticks [dim](proved, exact)[/]"
    )
    if latency is not None:
        console.print(f"latency     {latency:,} ticks, first iteration [dim](exact)[/]")
    steps = list(around(graph, found.cycle))
    shown = " -> ".join(f"{escape(name)}{f' x {many:,}' if many > 1 else ''}" for name, many in steps[:SHOWN])
    more = f" -> ... ({len(steps) - SHOWN:,} more)" if len(steps) > SHOWN else ""
    console.print(f"limited by  {shown}{more}", soft_wrap=True)
    work = np.add.reduceat(graph.ticks, graph.phase_ptr[:-1]) * (found.repetition // graph.phases)
    rows = new_table("actor", "firings", "ticks each", "busy", right=("firings", "ticks each", "busy"))
    low, high = (least.reduceat(graph.ticks, graph.phase_ptr[:-1]) for least in (np.minimum, np.maximum))
    facts = np.stack([-work, found.repetition, low, high])
    order = np.lexsort(facts[::-1])
    begins = np.append(np.flatnonzero((np.diff(facts[:, order], prepend=-1) != 0).any(axis=0)), len(order))
    for begin, end in pairwise(begins[: SHOWN + 1].tolist()):
        actor, names = order[begin], [graph.actor_name(a) for a in order[begin : min(end, begin + NAMED)].tolist()]
        more = f" and {end - begin - NAMED:,} more" if end - begin > NAMED else ""
        each = f"{low[actor]:,}" if low[actor] == high[actor] else f"{low[actor]:,} to {high[actor]:,}"
        busy = float(work[actor] / found.period)
        often = f"{busy:.1%}" if busy <= 1 else f"{busy:.2f} at once"
        rows.add_row(escape(", ".join(names)) + more, f"{found.repetition[actor]:,}", each, often)
    console.print(rows)
    if len(begins) > SHOWN + 1:
        console.print(f"[dim]the {begins[SHOWN]:,} that are busy most of {graph.actor_count:,}[/]")


def print_tradeoff(console: Console, found: Tradeoff) -> None:
    """The Pareto front."""
    rows = new_table("tokens in all", "period", "throughput", right=("tokens in all", "period", "throughput"))
    points = found.points
    for point in points if len(points) <= 2 * SHOWN else (*points[:SHOWN], *points[-SHOWN:]):
        rows.add_row(f"{point.total:,}", str(point.period), f"{point.period.denominator}/{point.period.numerator}")
    console.print(rows)
    tried = f"{len(points):,} Pareto points of {found.tried:,} distributions tried"
    if found.complete:
        console.print(f"{tried}; the last is as fast as buffers without bounds [dim](exact)[/]")
    else:
        why = "no more are held in memory" if found.full else "faster ones may need more (--most)"
        console.print(f"{tried}; [bold]cut off[/]: {why}")
