"""What faults did, for people: a table at the terminal, and the pictures of the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from rich.console import Console
from rich.markup import escape

from graphsim.report.plots import COLOURS, picture
from graphsim.report.terminal import new_table
from graphsim.simulate.faults.damage import Damage, Sweep

#: How runs with different checksums are drawn.
_DASHES = ("solid", "dash", "dot")


def share(value: float | None, digits: int = 2) -> str:
    """A share as people read it; - where there is none."""
    return "-" if value is None else f"{value:.{digits}%}"


def first_wrong(case: Damage, each: str = "sample") -> str:
    """Where the first sample of a run goes wrong, in words; ``each``: what a sample is."""
    first = case.first
    if first is None:
        return "no neuron"
    value = "missing" if first.value is None else f"{first.value:.9g}"
    return f"{first.actor} on {first.node}, {each} {first.sample}, tick {first.tick:,}: {value}, not {first.clean:.9g}"


def rows(sweep: Sweep) -> list[dict[str, str]]:
    """One row of text per run, by column."""
    return [
        {
            "checksum": case.checksum,
            "rate": f"{case.rate:g}",
            "frames": f"{case.frames.sent:,}",
            "hit": f"{case.frames.hit:,}",
            "noticed": share(case.coverage),
            "lost": f"{case.frames.lost:,}",
            "affected": f"{case.affected:,}",
            "missing": share(case.missing_rate),
            "silent": share(case.silent_rate),
            "wrong class": "-" if case.wrong_class is None else f"{case.wrong_class:,}",
            "accuracy": share(case.accuracy),
        }
        for case in sweep.cases
    ]


def print_faults(console: Console, sweep: Sweep, accuracy: float | None, each: str = "sample") -> None:
    """A table of the runs with faults, and what there is to say of single ones; ``each``: what a sample is."""
    table_rows = rows(sweep)
    columns = list(table_rows[0])
    table = new_table(*columns, right=columns[1:])
    for row in table_rows:
        table.add_row(*row.values())
    without = "" if accuracy is None else f"; without faults, {accuracy:.2%} are answered right"
    samples = sweep.cases[0].samples
    console.print(
        f"[bold]faults[/] of {escape(sweep.faults.name)}, seed {sweep.faults.seed}: {samples:,} {each}s a run, through "
        f"the {sweep.engine} engine{without}",
        soft_wrap=True,
    )
    console.print(table)
    for crash in sweep.crashes:
        seen = ", ".join(f"{n['node']} (tick {n['tick']:,})" for n in crash["neighbours"]) or "nobody"
        console.print(
            f"  crash      {crash['node']} in tick {crash['tick']:,}; its link state tells {seen}", soft_wrap=True
        )
    for wrong in sweep.weights:
        console.print(
            f"  weight     {escape(wrong['neuron'])}, weight {wrong['weight']}, bit {wrong['bit']}: "
            f"{wrong['before']:.9g} is {wrong['after']:.9g}",
            soft_wrap=True,
        )
    for case in sweep.cases:
        if case.first is not None:
            where = f"{case.rate:g}, {case.checksum}" if len(sweep.cases) > 1 else "first"
            console.print(f"  wrong      {where}: {escape(first_wrong(case, each))}", soft_wrap=True)


def page_values(sweep: Sweep | None, each: str = "sample") -> dict[str, Any]:
    """What ``faults.html`` reads; ``each``: what a sample is."""
    if sweep is None:
        return {"faults": None}
    firsts = [
        {"run": f"{case.rate:g}, {case.checksum}", "what": first_wrong(case, each)}
        for case in sweep.cases
        if case.first is not None
    ]
    return {"faults": sweep, "fault_rows": rows(sweep), "fault_firsts": firsts}


def figures(sweep: Sweep | None, each: str = "sample") -> dict[str, Any]:
    """The pictures of ``faults.html``; ``each``: what a sample is."""
    return {"damage": sweep and damage(sweep, each), "origins": sweep and origins(sweep, each)}


def damage(sweep: Sweep, each: str = "sample") -> go.Figure:
    """Shares of samples against the rate of corruption: right, silently wrong, missing. Rate 0 is drawn at the left."""
    traces: list[Any] = []
    rates = [rate for rate in sweep.faults.rates if rate > 0]
    least = min(rates, default=1.0) / 10
    kinds = (
        ("right", "accuracy", COLOURS[0]),
        ("silent", "silent_rate", COLOURS[1]),
        ("missing", "missing_rate", COLOURS[2]),
    )
    for number, checksum in enumerate(sweep.faults.checksums):
        cases = [case for case in sweep.cases if case.checksum == checksum]
        for name, field, colour in kinds:
            values = [getattr(case, field) for case in cases]
            if values[0] is None:
                continue
            traces.append(
                go.Scatter(
                    x=[max(case.rate, least) for case in cases],
                    y=values,
                    mode="lines+markers",
                    name=f"{name}, {checksum}",
                    line={"color": colour, "dash": _DASHES[number % len(_DASHES)]},
                    customdata=[case.rate for case in cases],
                    hovertemplate=f"rate %{{customdata:g}}: %{{y:.2%}} {name}, checksum {checksum}<extra></extra>",
                )
            )
    figure = picture(traces, 380)
    ticks = [least, *rates] if 0.0 in sweep.faults.rates else rates
    figure.update_xaxes(
        type="log",
        title="probability of corruption, per frame and hop",
        tickvals=ticks,
        ticktext=[f"{0 if tick == least else tick:g}" for tick in ticks],
    )
    figure.update_yaxes(title=f"share of {each}s", tickformat=".0%", range=[-0.03, 1.03])
    return figure


def origins(sweep: Sweep, each: str = "sample") -> go.Figure | None:
    """In which groups samples go wrong first, one bar per run; None where none does."""
    names = list(dict.fromkeys(name for case in sweep.cases for name in case.first_in))
    hit = [case for case in sweep.cases if case.first_in]
    if not hit:
        return None
    traces = [
        go.Bar(
            y=[f"{case.rate:g}, {case.checksum}" for case in hit],
            x=[case.first_in.get(name, 0) for case in hit],
            name=name,
            orientation="h",
            marker={"color": COLOURS[number % len(COLOURS)]},
            hovertemplate=f"%{{y}}: %{{x:,}} {each}s go wrong first in {name}<extra></extra>",
        )
        for number, name in enumerate(names)
    ]
    figure = picture(traces, int(np.clip(120 + 28 * len(hit), 180, 900)), barmode="stack")
    figure.update_xaxes(title=f"{each}s that go wrong, by the group of the first wrong neuron")
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(legend_traceorder="normal")
    return figure
