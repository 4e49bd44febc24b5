"""Pareto fronts: a table for people at a terminal, and a page with a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from rich.console import Console
from rich.markup import escape

from graphsim.files import write_text
from graphsim.graph.words import in_ticks
from graphsim.report.html import page
from graphsim.report.plots import COLOURS, picture
from graphsim.report.terminal import new_table

Row = Mapping[str, Any]

#: Measures by name: what their numbers are called.
UNITS = {
    "nodes": "nodes",
    "nodes_used": "nodes used",
    "links": "links",
    "period": "period, ticks",
    "bound": "bound, ticks",
    "latency": "latency, ticks",
    "memory": "fullest node, bytes",
    "link_load": "busiest link",
    "traffic": "frames per period",
    "silent_rate": "answers silently wrong",
    "missing_rate": "answers missing",
}
#: Rows of the front that the terminal and the page list, and dominated points that the page draws.
SHOWN, DRAWN = 200, 20_000


def print_front(
    console: Console, front: Sequence[Row], objectives: Sequence[str], relaxed: Mapping[str, Sequence[str]]
) -> None:
    """A row per point of the front, with what binds it; ``relaxed``: by key, what changes of its machine would buy."""
    titles = [UNITS[name] for name in objectives]
    table = new_table("model", "machine", "placement", *titles, "bottleneck", right=titles)
    for row in front[:SHOWN]:
        numbers = [said(name, row[name]) for name in objectives]
        table.add_row(escape(row["model"]), escape(row["machine"]), placement(row), *numbers, escape(bottleneck(row)))
    console.print(table)
    for row in front[:SHOWN]:
        if row["key"] in relaxed:
            console.print(f"[bold]{escape(row['machine'])}[/], {escape(bottleneck(row))}", soft_wrap=True)
        for line in relaxed.get(row["key"], ()):
            console.print(f"  {escape(line)}", soft_wrap=True)
    if len(front) > SHOWN:
        console.print(f"and {len(front) - SHOWN:,} more; --json has all of them")


def said(name: str, value: float) -> str:
    """A measure as people read it."""
    return f"{value:.1%}" if name in ("link_load", "silent_rate", "missing_rate") else f"{value:,}"


def placement(row: Row) -> str:
    """How a point was folded, short."""
    double = ", double" if row["buffering"] == "double" else ""
    split = f", max fan-in {row['max_fan_in']}" if row["max_fan_in"] else ""
    tiles = f", tiles of {row['tile']}" if (row["tile"] or 1) > 1 else ""
    wrong = f", {row['faults']} at {row['corruption_rate']:g}, checksum {row['checksum']}" if row["faults"] else ""
    return f"{row['strategy']}{double}{split}{tiles}" + (f", seed {row['seed']}" if row["seed"] else "") + wrong


def bottleneck(row: Row) -> str:
    """What takes the whole period."""
    return row["binding"] or f"nothing known; {in_ticks(row['bound'])} are proved to be needed"


def write_page(
    path: Path,
    rows: Sequence[Row],
    best: Sequence[bool],
    objectives: Sequence[str],
    x: str,
    y: str,
    remark: str,
    relaxed: Mapping[str, Sequence[str]],
) -> None:
    """Write a page that opens offline: all points by two measures, dominated ones grey, and the front as a table."""
    front = [row for row, on in zip(rows, best, strict=True) if on]
    listed = [
        {
            "model": row["model"],
            "machine": row["machine"],
            "placement": placement(row),
            "numbers": [said(name, row[name]) for name in objectives],
            "bottleneck": bottleneck(row),
            "relaxed": list(relaxed.get(row["key"], ())),
        }
        for row in front[:SHOWN]
    ]
    text = page(
        "pareto.html",
        {"front": _points(rows, best, objectives, x, y)},
        titles=[UNITS[name] for name in objectives],
        listed=listed,
        with_relaxed=bool(relaxed),
        more=max(0, len(front) - SHOWN),
        on_front=len(front),
        dominated=len(rows) - len(front),
        remark=remark,
    )
    write_text(path, text)


def _points(rows: Sequence[Row], best: Sequence[bool], objectives: Sequence[str], x: str, y: str) -> go.Figure:
    behind = [row for row, on in zip(rows, best, strict=True) if not on][:DRAWN]
    traces = [_scatter(behind, objectives, x, y, "dominated", "rgba(128,128,128,0.45)", 7)] if behind else []
    models = list(dict.fromkeys(row["model"] for row in rows))
    for number, model in enumerate(models):
        own = [row for row, on in zip(rows, best, strict=True) if on and row["model"] == model]
        traces.append(_scatter(own, objectives, x, y, f"front: {model}", COLOURS[number % len(COLOURS)], 10))
    return picture(traces, 460, xaxis_title=UNITS[x], yaxis_title=UNITS[y])


def _scatter(
    rows: Sequence[Row], objectives: Sequence[str], x: str, y: str, name: str, colour: str, size: int
) -> go.Scatter:
    texts = []
    for row in rows:
        lines = [f"{UNITS[one]}: {said(one, row[one])}" for one in objectives]
        texts.append("<br>".join([f"{_plain(row['machine'])}, {placement(row)}", *lines, _plain(bottleneck(row))]))
    return go.Scatter(
        x=[row[x] for row in rows],
        y=[row[y] for row in rows],
        text=texts,
        hoverinfo="text",
        mode="markers",
        name=_plain(name),
        marker={"color": colour, "size": size},
    )


def _plain(text: str) -> str:
    """Text of files in Plotly's labels, which read some HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
