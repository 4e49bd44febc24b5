"""Pareto fronts: a table for people at a terminal, and a page with a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
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
    "faulty_accuracy": "right with faults",
    "silent_rate": "answers silently wrong",
    "missing_rate": "answers missing",
}
#: Those of them that are shares.
_SHARES = ("link_load", "faulty_accuracy", "silent_rate", "missing_rate")
#: Names of one row of points alike that are listed.
_NAMED = 4
#: Rows of the front that the terminal and the page list, and dominated points that the page draws.
SHOWN, DRAWN = 200, 20_000


def print_front(
    console: Console, front: Sequence[Sequence[Row]], objectives: Sequence[str], relaxed: Mapping[str, Sequence[str]]
) -> None:
    """A row for the points of the front that are alike, with what binds them; what all have in common is said once.

    Args:
        front: points that are equal in all objectives, together.
        relaxed: by key, what changes of its machine would buy.
    """
    counted = ["points"] if any(len(alike) > 1 for alike in front) else []
    titles = [UNITS[name] for name in objectives]
    rows = [listed(alike, objectives) for alike in front[:SHOWN]]
    common = [name for name in ("model", "placement") if len(rows) > 1 and len({one[name] for one in rows}) == 1]
    for name in common:
        console.print(f"{name:<11}{escape(rows[0][name])}", soft_wrap=True)
    worded = [name for name in ("model", "machine", "placement") if name not in common]
    table = new_table(*worded, *counted, *titles, "bottleneck", right=[*counted, *titles])
    for one in rows:
        count = [f"{one['points']:,}"] if counted else []
        table.add_row(*(escape(one[name]) for name in worded), *count, *one["numbers"], escape(one["bottleneck"]))
    console.print(table)
    told: dict[tuple[str, ...], list[Row]] = {}
    for row in _flat(front[:SHOWN]):
        if lines := relaxed.get(row["key"], ()):
            told.setdefault((row["machine"], bottleneck(row), *lines), []).append(row)
    times = Counter((machine, binds) for machine, binds, *_ in told)
    for (machine, binds, *gains), points in told.items():
        own = listed(points, objectives)
        # The same machine may gain otherwise with another model or placement.
        which = [own[name] for name in worded if name != "machine"] if times[machine, binds] > 1 else []
        console.print(f"[bold]{escape(machine)}[/], {escape(', '.join([*which, binds]))}", soft_wrap=True)
        for line in gains:
            console.print(f"  {escape(line)}", soft_wrap=True)
    if len(front) > SHOWN:
        console.print(f"and {len(front) - SHOWN:,} more; --json has all of them")


def listed(alike: Sequence[Row], objectives: Sequence[str]) -> dict[str, Any]:
    """What a table says of points that are equal in all objectives, and how many they are."""
    return {
        "model": _some(row["model"] for row in alike),
        "machine": _some(row["machine"] for row in alike),
        "placement": placement(alike),
        "points": len(alike),
        "numbers": [said(name, alike[0][name]) for name in objectives],
        "bottleneck": _some(bottleneck(row) for row in alike),
    }


def said(name: str, value: float) -> str:
    """A measure as people read it."""
    return f"{value:.1%}" if name in _SHARES else f"{value:,}"


def placement(alike: Sequence[Row]) -> str:
    """How points were folded, and what went wrong in them, short."""
    how = _some(map(_folded, alike))
    wrong = [row for row in alike if row["faults"]]
    if not wrong:
        return how
    files = _some(PurePath(row["faults"]).name for row in wrong)
    rates = [f"{rate:g}" for rate in sorted({row["corruption_rate"] for row in wrong})]
    at = " or ".join(rates) if len(rates) < 3 else f"{len(rates)} rates of {rates[0]} to {rates[-1]}"
    return f"{how}, {files} at {at}, checksum {_some(row['checksum'] for row in wrong)}"


def _folded(row: Row) -> str:
    double = ", double" if row["buffering"] == "double" else ""
    split = f", max fan-in {row['max_fan_in']}" if row["max_fan_in"] else ""
    tiles = f", tiles of {row['tile']}" if (row["tile"] or 1) > 1 else ""
    return f"{row['strategy']}{double}{split}{tiles}" + (f", seed {row['seed']}" if row["seed"] else "")


def _some(names: Iterable[str]) -> str:
    """Different names, the first ones."""
    found = list(dict.fromkeys(names))
    more = [f"{len(found) - _NAMED:,} more"] if len(found) > _NAMED else []
    return " or ".join([*found[:_NAMED], *more])


def _flat(front: Sequence[Sequence[Row]]) -> list[Row]:
    return [row for alike in front for row in alike]


def bottleneck(row: Row) -> str:
    """What takes the whole period."""
    return row["binding"] or f"nothing known; {in_ticks(row['bound'])} are proved to be needed"


def write_page(
    path: Path,
    front: Sequence[Sequence[Row]],
    behind: Sequence[Row],
    objectives: Sequence[str],
    greater: Sequence[str],
    x: str,
    y: str,
    remark: str,
    relaxed: Mapping[str, Sequence[str]],
) -> None:
    """Write a page that opens offline: all points by two measures, dominated ones grey, and the front as a table.

    Args:
        front: as for :func:`print_front`. behind: dominated points.
        greater: those of the objectives that are to be great.
    """
    rows = [
        {
            **listed(alike, objectives),
            "relaxed": list(dict.fromkeys(line for row in alike for line in relaxed.get(row["key"], ()))),
        }
        for alike in front[:SHOWN]
    ]
    text = page(
        "pareto.html",
        {"front": _points(front, behind, objectives, x, y)},
        titles=[UNITS[name] for name in objectives],
        greater=[UNITS[name] for name in objectives if name in greater],
        listed=rows,
        with_points=any(len(alike) > 1 for alike in front),
        with_relaxed=bool(relaxed),
        more=max(0, len(front) - SHOWN),
        on_front=sum(map(len, front)),
        dominated=len(behind),
        remark=remark,
    )
    write_text(path, text)


def _points(
    front: Sequence[Sequence[Row]], behind: Sequence[Row], objectives: Sequence[str], x: str, y: str
) -> go.Figure:
    grey = [[row] for row in behind[:DRAWN]]
    traces = [_scatter(grey, objectives, x, y, "dominated", "rgba(128,128,128,0.45)", 7)] if grey else []
    models = sorted({row["model"] for row in (*_flat(front), *behind)})
    for number, model in enumerate(models):
        own = [alike for alike in front if alike[0]["model"] == model]
        traces.append(_scatter(own, objectives, x, y, f"front: {model}", COLOURS[number % len(COLOURS)], 10))
    return picture(traces, 460, xaxis_title=UNITS[x], yaxis_title=UNITS[y])


def _scatter(
    points: Sequence[Sequence[Row]], objectives: Sequence[str], x: str, y: str, name: str, colour: str, size: int
) -> go.Scatter:
    texts = []
    for alike in points:
        one = listed(alike, objectives)
        count = [f"{one['points']:,} points alike"] if one["points"] > 1 else []
        numbers = [f"{UNITS[name]}: {number}" for name, number in zip(objectives, one["numbers"], strict=True)]
        words = f"{_plain(one['machine'])}, {_plain(one['placement'])}"
        texts.append("<br>".join([words, *count, *numbers, _plain(one["bottleneck"])]))
    return go.Scatter(
        x=[alike[0][x] for alike in points],
        y=[alike[0][y] for alike in points],
        text=texts,
        hoverinfo="text",
        mode="markers",
        name=_plain(name),
        marker={"color": colour, "size": size},
    )


def _plain(text: str) -> str:
    """Text of files in Plotly's labels, which read some HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
