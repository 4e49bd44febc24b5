"""The pictures of the report, as Plotly figures without colours of their own background: the page sets those."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.colors import qualitative

from graphsim.analysis.tokens import input_actors
from graphsim.compare.result import RATIO_EDGES, Comparison
from graphsim.graph import Graph
from graphsim.passes import unroll
from graphsim.report.utilisation import hop_frames, utilisation
from graphsim.schedule.passage import passages_of
from graphsim.schedule.schedule import Schedule, durations

#: At most so many rows (nodes, links) in one picture; the busiest are shown and the caption says so.
ROWS = 32
#: At most so many bars in one Gantt; neighbouring firings of one group are drawn as one bar until it fits.
BARS = 4000
#: Those that all eyes tell apart first, then more of them, for nets of many groups.
COLOURS = [*qualitative.Safe, *qualitative.Alphabet]

IntArray = npt.NDArray[np.int64]


def group_colours(graph: Graph) -> dict[int, str]:
    """A colour per group, stable over all pictures."""
    return {number: COLOURS[number % len(COLOURS)] for number in range(len(graph.groups))}


def picture(traces: list[Any], height: int, **layout: Any) -> go.Figure:
    figure = go.Figure(traces)
    figure.update_layout(
        height=height,
        margin={"l": 70, "r": 20, "t": 20, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        **layout,
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.25)", zerolinecolor="rgba(128,128,128,0.4)")
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.25)", zerolinecolor="rgba(128,128,128,0.4)")
    return figure


def merged(start: IntArray, end: IntArray, gap: int = 0) -> tuple[IntArray, IntArray]:
    """Unions of intervals ``[start, end)`` that touch or lie at most ``gap`` ticks apart, ascending."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    if not len(start):
        return start, end
    new = np.concatenate([[True], start[1:] > end[:-1] + gap])
    last = np.concatenate([new[1:], [True]])
    return start[new], end[last]


def _bars(
    rows: list[str], lane: IntArray, kind: IntArray, start: IntArray, end: IntArray, names: dict[int, str], colours: Any
) -> list[go.Bar]:
    """One horizontal bar trace per kind; intervals of one lane and kind that touch are one bar."""
    traces = []
    gap = 0 if len(start) <= BARS else max(1, int(end.max() - start.min()) // 500)
    for number, name in names.items():
        at: list[str] = []
        base: list[int] = []
        length: list[int] = []
        for row in range(len(rows)):
            chosen = (lane == row) & (kind == number)
            first, last = merged(start[chosen], end[chosen], gap)
            at += [rows[row]] * len(first)
            base += first.tolist()
            length += (last - first).tolist()
        if at:
            traces.append(
                go.Bar(
                    y=at,
                    base=base,
                    x=length,
                    orientation="h",
                    name=name,
                    marker={"color": colours[number], "line": {"width": 0}},
                    customdata=np.stack([np.asarray(base), np.asarray(base) + np.asarray(length)], axis=1),
                    hovertemplate=f"%{{y}}: {name}<br>ticks %{{customdata[0]}} to %{{customdata[1]}}<extra></extra>",
                )
            )
    return traces


def group_graph(graph: Graph) -> go.Figure:
    """Groups as points, channel bundles as lines, from left to right by the longest way from a source."""
    depth = [0] * len(graph.groups)
    for number in range(len(graph.groups)):
        for c in graph.channels_into(number):
            depth[number] = max(depth[number], depth[c.src] + 1)
    rows: dict[int, int] = {}
    y = []
    for d in depth:
        y.append(-rows.get(d, 0))
        rows[d] = rows.get(d, 0) + 1
    colours = group_colours(graph)
    lines = go.Scatter(
        x=[x for c in graph.channels for x in (depth[c.src], (depth[c.src] + depth[c.dst]) / 2, depth[c.dst], None)],
        # A bundle that passes over other columns is bent downwards, clear of the groups between.
        y=[v for c in graph.channels for v in (y[c.src], _bend(y, depth, c.src, c.dst), y[c.dst], None)],
        mode="lines",
        line={"color": "rgba(128,128,128,0.6)", "width": 1.5, "shape": "spline"},
        hoverinfo="skip",
        showlegend=False,
    )
    points = go.Scatter(
        x=depth,
        y=y,
        mode="markers+text",
        marker={"size": 16, "color": [colours[n] for n in range(len(graph.groups))], "symbol": "square"},
        text=[f"{g.name} ({g.size:,})" for g in graph.groups],
        textposition=["top center" if d % 2 else "bottom center" for d in depth],
        customdata=[[g.op, g.activation] for g in graph.groups],
        hovertemplate="%{text}<br>%{customdata[0]}, then %{customdata[1]}<extra></extra>",
        showlegend=False,
    )
    figure = picture([lines, points], 150 + 60 * max(rows.values()))
    figure.update_xaxes(visible=False, range=[-0.6, max(depth) + 0.6])
    figure.update_yaxes(visible=False, range=[-max(rows.values()) + 0.2, 0.7])
    return figure


def _bend(y: list[int], depth: list[int], src: int, dst: int) -> float:
    return (y[src] + y[dst]) / 2 - (0.35 if depth[dst] - depth[src] > 1 else 0.0)


def node_gantt(graph: Graph, schedule: Schedule, periods: int = 2) -> go.Figure:
    """Firings on the busiest nodes over so many periods in steady state, coloured by group."""
    machine, period = schedule.machine, schedule.period
    load = utilisation(graph, schedule)
    shown = np.sort(np.argsort(-load.node_ticks, kind="stable")[: min(ROWS, int((load.node_ticks > 0).sum()))])
    length = durations(graph, machine, schedule.node)
    actors = np.nonzero((length > 0) & np.isin(schedule.node, shown))[0]
    group = np.searchsorted(graph.first, unroll(graph).owner[actors], side="right") - 1
    first = schedule.start[actors] % period
    lane = np.searchsorted(shown, schedule.node[actors])
    start = np.concatenate([first + n * period for n in range(-1, periods)])
    end = np.clip(start + np.tile(length[actors], periods + 1), 0, periods * period)
    start = np.maximum(start, 0)
    keep = end > start
    rows = [machine.nodes[int(v)].name for v in shown]
    names = {n: graph.groups[n].name for n in np.unique(group).tolist()}
    traces = _bars(
        rows,
        np.tile(lane, periods + 1)[keep],
        np.tile(group, periods + 1)[keep],
        start[keep],
        end[keep],
        names,
        group_colours(graph),
    )
    figure = picture(traces, 120 + 20 * len(rows), barmode="overlay", bargap=0.25)
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=rows)
    figure.update_xaxes(title="tick (simulated)", range=[0, periods * period])
    for n in range(1, periods):
        figure.add_vline(x=n * period, line={"dash": "dot", "width": 1, "color": "grey"})
    return figure


def link_gantt(graph: Graph, schedule: Schedule, periods: int = 2) -> go.Figure | None:
    """Frames on the busiest links over so many periods in steady state; None where nothing travels."""
    machine, period = schedule.machine, schedule.period
    load = utilisation(graph, schedule)
    busy = load.link_frames / np.maximum(1, load.link_capacity)
    shown = np.sort(np.argsort(-busy, kind="stable")[: min(ROWS // 2, int((busy > 0).sum()))])
    if not len(shown):
        return None
    hops = np.nonzero(np.isin(schedule.hop_link, shown))[0]
    length = (
        -(-hop_frames(graph, schedule)[hops] // passages_of(schedule).pace[hops])
        * np.array(machine.link_strides)[schedule.hop_link[hops]]
    )
    parcel = schedule.hop_parcel[hops]
    token = schedule.parcel_token[schedule.parcel_ptr[parcel]].astype(np.int64)
    unrolled = unroll(graph)
    distinct = token >= unrolled.graph.actor_count
    token[distinct] = input_actors(unrolled.graph)[token[distinct] - unrolled.graph.actor_count]
    group = np.searchsorted(graph.first, unrolled.owner[token], side="right") - 1
    first = schedule.hop_start[hops] % period
    start = np.concatenate([first + n * period for n in range(-1, periods)])
    end = np.clip(start + np.tile(length, periods + 1), 0, periods * period)
    start = np.maximum(start, 0)
    keep = end > start
    rows = [machine.link_name(int(k)) for k in shown]
    names = {n: f"tokens of {graph.groups[n].name}" for n in np.unique(group).tolist()}
    lane = np.tile(np.searchsorted(shown, schedule.hop_link[hops]), periods + 1)[keep]
    traces = _bars(rows, lane, np.tile(group, periods + 1)[keep], start[keep], end[keep], names, group_colours(graph))
    figure = picture(traces, 120 + 20 * len(rows), barmode="overlay", bargap=0.25)
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=rows)
    figure.update_xaxes(title="tick (simulated)", range=[0, periods * period])
    return figure


def pipelining(graph: Graph, schedule: Schedule, iterations: int = 4) -> go.Figure:
    """Consecutive samples on their way through the layers: from each group's first firing to its last."""
    length = durations(graph, schedule.machine, schedule.node)
    owner = unroll(graph).owner
    rows, traces = [], []
    for number in range(len(graph.groups)):
        ids = np.flatnonzero((owner >= graph.first[number]) & (owner < graph.first[number + 1]))
        if length[ids].any() and graph.channels_into(number):
            rows.append((number, int(schedule.start[ids].min()), int((schedule.start[ids] + length[ids]).max())))
    for n in range(iterations):
        shift = n * schedule.period
        traces.append(
            go.Bar(
                y=[graph.groups[number].name for number, _, _ in rows],
                base=[first + shift for _, first, _ in rows],
                x=[last - first for _, first, last in rows],
                orientation="h",
                name=f"sample {n}",
                offsetgroup=str(n),
                marker={"color": COLOURS[n % len(COLOURS)]},
                hovertemplate="%{y}<br>ticks %{base} to %{x}<extra>sample " + str(n) + "</extra>",
            )
        )
    figure = picture(traces, 120 + 26 * len(rows), barmode="group", bargap=0.15)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="tick (simulated)")
    return figure


def loads(graph: Graph, schedule: Schedule) -> go.Figure:
    """How busy each node and each link is, sorted: firing ticks and sent frames as a share of the period."""
    load = utilisation(graph, schedule)
    machine = schedule.machine
    compute = list(machine.compute_nodes)
    nodes = load.node_ticks[compute] / max(1, schedule.period)
    order = np.argsort(-nodes, kind="stable")
    traces = [
        go.Bar(
            x=np.arange(len(order)),
            y=nodes[order],
            name="nodes: ticks busy",
            marker={"color": COLOURS[0]},
            customdata=[machine.nodes[compute[i]].name for i in order],
            hovertemplate="%{customdata}: %{y:.1%}<extra></extra>",
        )
    ]
    if machine.links:
        links = load.link_frames / np.maximum(1, load.link_capacity)
        order = np.argsort(-links, kind="stable")
        traces.append(
            go.Scatter(
                x=np.arange(len(order)) * max(1, len(compute) - 1) / max(1, len(order) - 1),
                y=links[order],
                name="links: frames sent",
                line={"color": COLOURS[1]},
                customdata=[machine.link_name(int(i)) for i in order],
                hovertemplate="%{customdata}: %{y:.1%}<extra></extra>",
            )
        )
    figure = picture(traces, 260)
    figure.update_xaxes(title="nodes and links, busiest first", showticklabels=False)
    figure.update_yaxes(title="share of the period", tickformat=".0%", range=[0, 1.05])
    return figure


def confusion(matrix: IntArray, classes: tuple[str, ...]) -> go.Figure:
    """Labels against predicted classes; the diagonal is left out of the colour scale."""
    off = matrix.astype(float)
    np.fill_diagonal(off, np.nan)
    trace = go.Heatmap(
        z=off,
        x=list(classes),
        y=list(classes),
        text=matrix,
        texttemplate="%{text}",
        colorscale="Reds",
        showscale=False,
        hovertemplate="label %{y}, predicted %{x}: %{text}<extra></extra>",
    )
    figure = picture([trace], 420)
    figure.update_xaxes(title="predicted", type="category", showgrid=False)
    figure.update_yaxes(title="label", type="category", autorange="reversed", showgrid=False)
    return figure


def agreement(comparison: Comparison) -> go.Figure:
    """Per layer, which share of the neuron values used how much of its bound; red is outside."""
    layers = [layer for layer in comparison.layers if layer.checked]
    edges = RATIO_EDGES
    names = ["exact", *(f"{low:.2g}..{high:.2g}" for low, high in pairwise(edges[:-1])), "outside"]
    traces = [
        go.Bar(
            x=names,
            y=np.asarray(layer.ratios) / max(1, sum(layer.ratios)),
            name=layer.name,
            marker={"color": COLOURS[i % len(COLOURS)]},
            customdata=layer.ratios,
            hovertemplate="%{x}: %{customdata:,} values<extra>%{fullData.name}</extra>",
        )
        for i, layer in enumerate(layers)
    ]
    figure = picture(traces, 300, barmode="group")
    figure.add_vrect(x0=len(names) - 1.5, x1=len(names) - 0.5, fillcolor="red", opacity=0.12, line_width=0)
    figure.update_xaxes(title="|error of the reference| / its bound", type="category", range=[-0.5, len(names) - 0.5])
    figure.update_yaxes(title="share of values", tickformat=".0%")
    return figure


def ulps(comparison: Comparison) -> go.Figure:
    """Per layer, how many float32 numbers lie between graphsim's value and the reference's."""
    layers = [layer for layer in comparison.layers if layer.checked]
    traces = [
        go.Bar(
            x=list(layer.ulps),
            y=np.asarray(list(layer.ulps.values())) / max(1, sum(layer.ulps.values())),
            name=layer.name,
            marker={"color": COLOURS[i % len(COLOURS)]},
            customdata=list(layer.ulps.values()),
            hovertemplate="%{x} ulp: %{customdata:,} values<extra>%{fullData.name}</extra>",
        )
        for i, layer in enumerate(layers)
    ]
    figure = picture(traces, 300, barmode="group")
    figure.update_xaxes(
        title="difference between graphsim and the reference, in units in the last place", type="category"
    )
    figure.update_yaxes(title="share of values", tickformat=".0%")
    return figure
