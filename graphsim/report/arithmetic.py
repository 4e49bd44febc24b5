"""Studies of arithmetic modules: tables for people at a terminal, and a page with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.colors import qualitative
from rich.console import Console
from rich.markup import escape

from graphsim.files import write_text
from graphsim.report.html import page
from graphsim.report.plots import picture
from graphsim.report.terminal import new_table

Summary = Sequence[Mapping[str, Any]]


def print_summary(console: Console, summary: Summary) -> None:
    """A row per module, operation and distribution; below, what was published of them."""
    columns = ("inputs", "ranges", "models", "solved", "95 % of", "median step", "farthest")
    table = new_table("module", "op", *columns, right=columns)
    for one in summary:
        low, high = one["rate_interval"]
        steps, apart = one["median_step"], one["worst_sparsity_error"]
        table.add_row(
            one["module"],
            one["op"],
            f"{one['inputs']}",
            f"{len(one['ranges'])} {one['distribution']}",
            f"{one['models']:,}",
            f"{one['rate']:.1%}",
            f"{low:.0%}..{high:.0%}",
            "-" if steps is None else f"{steps:,}",
            "-" if apart is None else f"{apart:.1g}",
        )
    console.print(table)
    for one in summary:
        if one["published"]:
            text = f"{one['module']} {one['op']}, published: {said(one['published'])}"
            console.print(text, markup=False, soft_wrap=True)
    console.print("farthest: of a solved model's weights from a whole number", markup=False, soft_wrap=True)


def print_perfect(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A row per division, module and range: :func:`graphsim.zoo.arithmetic.perfect.errors`."""
    columns = ("below", "published", "here", "5 %", "median", "95 %", "float64")
    table = new_table("division", "module", *columns, right=columns)
    for one in rows:
        values = (one["published"], one["error"], *one["quantiles"].values(), one["error_float64"])
        below = f"{one['below']:g}"
        table.add_row(escape(one["division"]), one["module"], below, *(f"{value:.3g}" for value in values))
    console.print(table)
    draws = rows[0]["draws"]
    for line in (
        "published, here: mean squared error of the published draw of 10,000 samples from 0 to there, in float32",
        f"5 %, median, 95 %: of {draws:,} other draws; their mean has no bound: the smallest number of each decides",
        "float64: the published draw, all computed in float64",
    ):
        console.print(line, markup=False, soft_wrap=True)


def said(published: Sequence[Mapping[str, Any]]) -> str:
    """Published rates as text."""
    return "; ".join(f"{p['percent']:g} % with {p['inputs']} inputs ({p['source']})" for p in published)


def write_page(path: Path, summary: Summary) -> None:
    """Write a page that opens offline: success, speed and distance from whole weights per range."""
    figures = {
        "success": _per_range(summary, "rate", "rate_interval", "share of models that solved it"),
        "speed": _per_range(summary, "median_step", "steps_interval", "steps until solved, median and middle half"),
        "sparsity": _per_range(summary, "worst_sparsity_error", None, "farthest weight from a whole number", log=True),
    }
    rows = [{**one, "said": said(one["published"])} for one in summary]
    write_text(path, page("arithmetic.html", figures, rows=rows))


def _per_range(summary: Summary, key: str, interval: str | None, title: str, log: bool = False) -> go.Figure:
    traces = []
    for number, one in enumerate(summary):
        there = {name: rates for name, rates in one["ranges"].items() if rates[key] is not None}
        values = [rates[key] for rates in there.values()]
        errors = None
        if interval is not None:
            ends = [rates[interval] for rates in there.values()]
            up = [max(0.0, high - value) for (_, high), value in zip(ends, values, strict=True)]
            down = [max(0.0, value - low) for (low, _), value in zip(ends, values, strict=True)]
            errors = {"type": "data", "symmetric": False, "array": up, "arrayminus": down}
        traces.append(
            go.Bar(
                x=list(there),
                y=values,
                error_y=errors,
                name=f"{one['module']} {one['op']}, {one['inputs']} inputs",
                marker_color=qualitative.Safe[number % len(qualitative.Safe)],
            )
        )
    made = picture(traces, 340, barmode="group", xaxis_title="training range", yaxis_title=title)
    if log:
        made.update_yaxes(type="log")
    return made
