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
    columns = ("inputs", "models", "solved", "95 % of", "steps", "off")
    table = new_table("module", *columns, right=columns)
    for one in summary:
        low, high = one["rate_interval"]
        steps, apart = one["median_step"], one["worst_sparsity_error"]
        table.add_row(
            _studied(one),
            f"{one['inputs']}",
            f"{one['models']:,}",
            f"{one['rate']:.1%}",
            f"{low:.0%}..{high:.0%}",
            "-" if steps is None else f"{steps:,}",
            "-" if apart is None else f"{apart:.1g}",
        )
    console.print(table)
    for line in (
        "steps: until solved, in the median of the models that solved it",
        "off: the farthest that a weight of those is from a whole number",
        *(f"published: {_studied(one)}: {said(one['published'])}" for one in summary if one["published"]),
    ):
        console.print(line, markup=False, soft_wrap=True)


def _studied(one: Mapping[str, Any]) -> str:
    """Module and operation, and the distribution where it is not the published nine ranges."""
    distribution = "" if one["distribution"] == "published" else f", {one['distribution']}"
    return f"{one['module']} {one['op']}{distribution}"


def print_perfect(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table per division, with a row per module and range: :func:`graphsim.zoo.arithmetic.perfect.errors`."""
    columns = ("below", "published", "here", "5 %", "median", "95 %")
    for division in dict.fromkeys(row["division"] for row in rows):
        table = new_table("module", *columns, title=escape(division), right=columns)
        for one in rows:
            if one["division"] == division:
                values = (one["published"], one["error"], *one["quantiles"].values())
                table.add_row(one["module"], f"{one['below']:g}", *(f"{value:.3g}" for value in values))
        console.print(table)
    for line in (
        "published, here: mean squared error of the published draw of 10,000 samples from 0 to there, in float32",
        f"5 %, median, 95 %: of {rows[0]['draws']:,} other draws; their mean has no bound: the smallest number decides",
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
                name=f"{_studied(one)}, {one['inputs']} inputs",
                marker_color=qualitative.Safe[number % len(qualitative.Safe)],
            )
        )
    made = picture(traces, 340, barmode="group", xaxis_title="training range", yaxis_title=title)
    if log:
        made.update_yaxes(type="log")
    return made
