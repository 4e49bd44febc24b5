"""Graphs, schedules and runs as they show themselves in a notebook: small tables of HTML, with no script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from graphsim.graph.words import in_ticks

if TYPE_CHECKING:
    from graphsim.compare.result import Comparison
    from graphsim.graph import Graph
    from graphsim.schedule.schedule import Schedule
    from graphsim.simulate.engine import Run

#: Rows of a table.
SHOWN = 24


def register(shell: Any) -> None:
    """Tell an IPython shell how to show them. Nothing of theirs is imported."""
    html = shell.display_formatter.formatters["text/html"]
    for module, name, show in _SHOWN:
        html.for_type_by_name(module, name, show)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], total: int, below: str = "") -> str:
    head = Markup("").join(Markup("<th>{}</th>").format(column) for column in columns)
    listed = list(rows)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in listed
    )
    more = Markup("<p>and {:,} more</p>").format(total - len(listed)) if total > len(listed) else Markup("")
    end = Markup("<p>{}</p>").format(below) if below else Markup("")
    return str(Markup("<p><b>{}</b></p><table><tr>{}</tr>{}</table>{}{}").format(escape(title), head, body, more, end))


def graph_html(graph: Graph) -> str:
    """Its groups."""
    rows = (
        (g.name, g.op, g.activation, "x".join(map(str, g.shape)) or "-", f"{g.size:,}") for g in graph.groups[:SHOWN]
    )
    title = f"{graph.name}: {graph.actor_count:,} actors, {graph.edge_count:,} edges"
    return _table(title, ("group", "op", "activation", "shape", "actors"), rows, len(graph.groups))


def schedule_html(schedule: Schedule) -> str:
    """Period, bound, and what is where."""
    import numpy as np

    machine, bound = schedule.machine, schedule.bound
    gap = schedule.period / bound.ticks - 1 if bound.ticks else 0.0
    placed = np.bincount(schedule.node, minlength=len(machine.nodes))
    title = f"schedule on {machine.name}: a period of {in_ticks(schedule.period)}"
    rows = ((machine.nodes[v].name, f"{placed[v]:,}") for v in np.flatnonzero(placed)[:SHOWN].tolist())
    below = f"proved lower bound {in_ticks(bound.ticks)} ({bound.reason}), gap {gap:.2%}; placed {schedule.strategy}"
    return _table(title, ("node", "firings per period"), rows, int((placed > 0).sum()), below)


def run_html(run: Run) -> str:
    """What it kept."""
    title = f"{run.engine}: {run.samples:,} samples in {run.wall_seconds:.3g} s (measured)"
    rows = ((name, "x".join(map(str, array.shape))) for name, array in list(run.values.items())[:SHOWN])
    timing = run.timing
    below = ""
    if timing is not None and timing.period is not None:
        below = f"measured period {float(timing.period):,.10g} ticks per sample, latency {in_ticks(timing.latency)}"
    return _table(title, ("group", "values"), rows, len(run.values), below)


def comparison_html(found: Comparison) -> str:
    """Each layer's greatest error over its bound."""
    rows = (
        (one.name, f"{one.checked:,}", f"{one.outside:,}", f"{one.max_error_over_bound:.3f}")
        for one in found.layers[:SHOWN]
    )
    title = f"{found.neurons_outside_bound:,} of {found.neurons_checked:,} values outside their bounds"
    return _table(title, ("group", "judged", "outside", "greatest error over bound"), rows, len(found.layers))


_SHOWN: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("graphsim.graph.graph", "Graph", graph_html),
    ("graphsim.schedule.schedule", "Schedule", schedule_html),
    ("graphsim.simulate.engine", "Run", run_html),
    ("graphsim.compare.result", "Comparison", comparison_html),
)
