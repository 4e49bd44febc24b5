"""What the clocks of a machine did, as JSON, for people at a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from rich.console import Console
from rich.markup import escape

from graphsim.machine import Machine
from graphsim.report.html import page, write_folder
from graphsim.report.plots import picture
from graphsim.report.terminal import new_table
from graphsim.simulate.clocks import Clocks

#: Rows of a table, lines of a picture, points of a line: at most so many.
SHOWN, LINES, POINTS = 12, 32, 1000


def clocks_record(machine: Machine, clocks: Clocks, within: float) -> dict[str, Any]:
    """Frequencies in parts per million off the nominal one, occupancies in frames, times in seconds, as JSON."""
    ppm = clocks.parts_per_million()
    names = [node.name for node in machine.nodes]
    links = [machine.link_name(link) for link in range(len(machine.links))]
    low, high = clocks.occupancy.min(axis=0), clocks.occupancy.max(axis=0)
    return {
        "machine": {"name": machine.name, "nodes": len(names), "links": len(links)},
        "control": asdict(clocks.control),
        "nominal_hz": clocks.nominal,
        "seconds": float(clocks.time[-1]),
        "settled": {"within_ppm": within, "seconds": clocks.settled(within)},
        "frequency_error": {"measured": clocks.error, "closed_form": clocks.predicted},
        "nodes": [
            {"name": name, "uncontrolled_ppm": float(own), "final_ppm": float(last)}
            for name, own, last in zip(names, (clocks.uncontrolled / clocks.nominal - 1) * 1e6, ppm[-1], strict=True)
        ],
        "links": [
            {"name": name, "lambda_ticks": int(ticks), "occupancy": {"min": int(a), "max": int(b), "final": int(end)}}
            for name, ticks, a, b, end in zip(links, clocks.latency, low, high, clocks.occupancy[-1], strict=True)
        ],
    }


def print_clocks(console: Console, record: Mapping[str, Any]) -> None:
    """A few lines and two tables."""
    control, settled, error = record["control"], record["settled"], record["frequency_error"]
    sizes = f"{record['machine']['nodes']:,} nodes, {record['machine']['links']:,} links"
    console.print(
        f"[bold]{escape(record['machine']['name'])}[/]: {sizes}, {record['nominal_hz'] / 1e6:g} MHz; "
        f"kp {control['kp']:g}, ki {control['ki']:g}, {record['seconds']:g} s"
    )
    table = new_table("node", "alone, ppm", "at the end, ppm", right=("alone, ppm", "at the end, ppm"))
    for row in record["nodes"][:SHOWN]:
        table.add_row(escape(row["name"]), f"{row['uncontrolled_ppm']:+.3f}", f"{row['final_ppm']:+.3f}")
    console.print(table)
    _more(console, record["nodes"], "nodes")
    columns = ("lambda, ticks", "least", "most", "at the end")
    table = new_table("link", *columns, right=columns, title="frames in elastic buffers")
    for row in record["links"][:SHOWN]:
        fill = row["occupancy"]
        table.add_row(escape(row["name"]), *(f"{n:,}" for n in (row["lambda_ticks"], *fill.values())))
    console.print(table)
    _more(console, record["links"], "links")
    when = settled["seconds"]
    within = f"within {settled['within_ppm']:g} ppm of each other"
    console.print(f"all clocks {within} after {when * 1e3:,.1f} ms" if when is not None else f"clocks not {within} yet")
    closed = error["closed_form"]
    more = "" if closed is None else f"; in closed form, without delay and rounding to frames: {closed:,.0f}"
    console.print(f"squared frequency error: {error['measured']:,.0f} ticks²/s{more}")


def _more(console: Console, rows: list[Any], what: str) -> None:
    if len(rows) > SHOWN:
        console.print(f"[dim]and {len(rows) - SHOWN:,} more {what}; --json lists all[/]")


def write_clocks(folder: Path, machine: Machine, clocks: Clocks, record: Mapping[str, Any]) -> Path:
    """Write report.json and report.html, a page that opens offline, into a folder; the page's path."""
    ppm, occupancy = clocks.parts_per_million(), clocks.occupancy[:-1].astype(np.float64)
    names = [node.name for node in machine.nodes]
    links = [machine.link_name(link) for link in range(len(machine.links))]
    figures = {
        "frequency": _lines(clocks.time[:-1], ppm, names, "parts per million"),
        "occupancy": _lines(clocks.time[:-1], occupancy, links, "frames") if links else None,
    }
    return write_folder(folder, record, page("clocks.html", figures, record=record, lines=LINES))


def _lines(time: Any, values: Any, names: list[str], unit: str) -> go.Figure:
    """Values over time, the lines that differ most from the others; each point the last of those that it stands for."""
    far = np.argsort(-np.abs(values - values.mean(axis=1, keepdims=True)).max(axis=0), kind="stable")
    step = -(-len(time) // POINTS)
    lines = [
        go.Scatter(x=np.round(time[::step] * 1e3, 6), y=np.round(values[::step, i], 4), name=names[i], mode="lines")
        for i in sorted(far[:LINES].tolist())
    ]
    return picture(lines, 380, xaxis_title="milliseconds", yaxis_title=unit)
