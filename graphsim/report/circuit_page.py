"""The report on a circuit's run as a folder: report.json, and report.html, a page that opens offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from graphsim.graph.circuit import ports
from graphsim.report import faults, plots
from graphsim.report.circuits import CircuitResult
from graphsim.report.html import Pictures, binding, keep_run, page, shown, write_folder

#: What a circuit computes one after the other, where nets have samples.
EACH = "clock cycle"
#: Cycles and ports that are drawn, and ports that are listed.
CYCLES, PORTS, LISTED = 64, 48, 256
#: Height of a port's line, in a row of height 1.
_TALL = 0.7
#: Characters of a value that stand within one drawn cycle of its bus, and in all.
_ROOM, _CHARACTERS = 2, 40

IntArray = npt.NDArray[np.int64]


def write_circuit_report(folder: Path, result: CircuitResult, record: Mapping[str, Any]) -> Path:
    """Write the folder of a circuit's run, as :func:`graphsim.report.html.write_report` does; the page's path.

    Args:
        folder: made if it is not there.
        record: the document of ``run --json`` for the circuit.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    graph, schedule, begin = result.graph, result.schedule, _begin(result)
    count = min(CYCLES, result.stimulus.cycles - begin)
    waves, total = _waves(result, begin, count)
    figures: dict[str, Any] = {"waves": waves, "loads": None, "nodes": None, "links": None}
    if schedule is not None:
        figures |= {
            "loads": plots.loads(graph, schedule),
            "nodes": plots.node_gantt(graph, schedule),
            "links": plots.link_gantt(graph, schedule),
        }
    figures |= faults.figures(result.faults, EACH)
    pictures = Pictures(figures, _tiles(record))
    text = page(
        "circuit.html",
        figures,
        record=record,
        circuit=result.circuit,
        tiles=pictures.tiles,
        verdicts=_verdicts(result),
        firsts=[str(found.first) for found in (result.judgement, result.expected) if found is not None and found.first],
        remark=result.stimulus.remark,
        ports=_ports(result),
        listed=LISTED,
        begin=begin,
        count=count,
        drawn=min(PORTS, total),
        total=total,
        each=EACH,
        binding=None if schedule is None else binding(schedule, graph),
        shown=None if schedule is None else shown(schedule),
        **faults.page_values(result.faults, EACH),
    )
    path = write_folder(folder, record, text)
    keep_run(folder, pictures, graph, schedule)
    return path


def _begin(result: CircuitResult) -> int:
    """The first cycle that is drawn: 0, or one shortly before the first value that differs."""
    firsts = [found.first.cycle for found in (result.judgement, result.expected) if found is not None and found.first]
    first = min(firsts, default=0)
    return 0 if first < CYCLES else first - CYCLES // 2


def _tiles(record: Mapping[str, Any]) -> list[dict[str, str]]:
    circuit, simulation, cycles = record["graph"]["circuit"], record["simulation"], record["stimulus"]["cycles"]
    tiles = [
        ("gates", f"{circuit['gates']:,}", f"depth {circuit['depth']:,}", ""),
        ("registers", f"{circuit['registers']:,}", "one clock", ""),
        ("wall time", f"{simulation['wall_seconds']:.3g} s", f"{cycles:,} clock cycles", "measured"),
    ]
    if "schedule" in record:
        schedule, hertz = record["schedule"], record["machine"]["clock_mhz"] * 1e6
        measured = simulation["period_ticks"] is not None
        period = simulation["period_ticks"] if measured else schedule["period_ticks"]
        latency = simulation["latency_ticks"] if measured else schedule["latency_ticks"]
        tiles += [
            ("period", f"{period:,.10g}", "ticks per clock cycle", "simulated"),
            ("latency", f"{latency:,}", "ticks, source to sink", "simulated"),
            ("throughput", f"{hertz / period:,.0f}", "clock cycles per second", "simulated"),
            ("lower bound", f"{schedule['lower_bound_ticks']:,}", "ticks per clock cycle", "proved"),
        ]
    return [dict(zip(("name", "value", "note", "kind"), tile, strict=True)) for tile in tiles]


def _verdicts(result: CircuitResult) -> list[dict[str, Any]]:
    """What values were compared with, and how it came out."""
    judged = ((result.judgement, "values of gates, registers and outputs", "an independent evaluation"),)
    stated = ((result.expected if result.expected.checked else None, "output values", "what the stimulus expects"),)
    return [
        {"ok": not found.differ, "text": f"{found.differ:,} of {found.checked:,} {what} differ from {whom}"}
        for found, what, whom in (*judged, *stated)
        if found is not None
    ]


def _ports(result: CircuitResult) -> list[dict[str, Any]]:
    circuit = result.circuit
    of = (("input", circuit.input_names), ("output", circuit.output_names), ("register", circuit.register_names))
    return [{"kind": kind, "name": name, "bits": len(at)} for kind, names in of for name, at in ports(names).items()]


def _waves(result: CircuitResult, begin: int, count: int) -> tuple[go.Figure | None, int]:
    """Inputs, outputs and registers over so many cycles as a logic analyser draws them; and how many ports there are.

    Crosses stand where a bit of an output is not what the stimulus expects.
    """
    circuit, stimulus, cycles = result.circuit, result.stimulus, slice(begin, begin + count)
    wrong = stimulus.known[cycles] & (stimulus.expected[cycles] != result.outputs[cycles])
    kinds: list[tuple[str, Sequence[str], npt.NDArray[np.uint8]]] = [
        ("input", circuit.input_names, stimulus.inputs),
        ("output", circuit.output_names, result.outputs),
    ]
    if (registers := result.registers).shape[1]:
        kinds.append(("register", circuit.register_names, registers))
    rows = [
        (kind, name, bits[cycles][:, at], wrong[:, at].any(axis=1) if kind == "output" else None)
        for kind, names, bits in kinds
        for name, at in ports(names).items()
    ]
    if not rows or not count:
        return None, len(rows)
    traces: list[go.Scatter] = []
    labels: list[str] = []
    crosses: tuple[list[float], list[float]] = ([], [])
    for kind, name, bits, missed in islice(rows, PORTS):
        low, colour = float(-len(labels)), plots.COLOURS[("input", "output", "register").index(kind)]
        labels.append(name if len(name) <= _CHARACTERS else name[: _CHARACTERS - 3] + "...")
        traces += _wave(labels[-1], kind, bits, begin, low, colour)
        if missed is not None:
            at = np.flatnonzero(missed)
            crosses[0].extend((begin + at + 0.5).tolist())
            crosses[1].extend([low + _TALL / 2] * len(at))
    if crosses[0]:
        marker = {"symbol": "x", "size": 8, "color": "red"}
        said = "cycle %{customdata}<extra>not what is expected</extra>"
        traces.append(
            go.Scatter(
                x=crosses[0],
                customdata=[int(x) for x in crosses[0]],
                y=crosses[1],
                mode="markers",
                marker=marker,
                showlegend=False,
                hovertemplate=said,
            )
        )
    figure = plots.picture(traces, 90 + 26 * len(labels))
    figure.update_xaxes(title="clock cycle", range=[begin, begin + count], rangemode="nonnegative")
    at_middle = [_TALL / 2 - row for row in range(len(labels))]
    figure.update_yaxes(
        tickvals=at_middle, ticktext=labels, range=[-len(labels) + 0.85, 1], showgrid=False, zeroline=False
    )
    figure.update_layout(margin={"l": 40 + 7 * max(map(len, labels))})
    return figure, len(rows)


def _wave(
    name: str, kind: str, bits: npt.NDArray[np.uint8], begin: int, low: float, colour: str
) -> Iterator[go.Scatter]:
    """The line of a port: one that steps, of a bit; a band that is cut where the value changes, of several bits."""
    cycles, line = len(bits), {"color": colour, "width": 1.5}
    hover = f"cycle %{{x}}: %{{customdata}}<extra>{kind}</extra>"
    if bits.shape[1] == 1:
        level = (low + _TALL * np.append(bits[:, 0], bits[-1, 0])).round(2).tolist()
        values: list[Any] = [*bits[:, 0].tolist(), int(bits[-1, 0])]
        yield go.Scatter(
            x=list(range(begin, begin + cycles + 1)),
            y=level,
            mode="lines",
            line={**line, "shape": "hv"},
            customdata=values,
            hovertemplate=hover,
            name=name,
            showlegend=False,
        )
        return
    first = np.flatnonzero(np.append(True, (bits[1:] != bits[:-1]).any(axis=1)))
    last = np.append(first[1:], cycles)
    high, x, y = low + _TALL, [], []
    for a, b in zip((begin + first).tolist(), (begin + last).tolist(), strict=True):
        x += [a, b, b, a, a, None]
        y += [low, low, high, high, low, None]
    yield go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", name=name, showlegend=False)
    values = [hex(int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little")) for row in bits[first]]
    room = np.maximum(_ROOM, (last - first) * (2 * CYCLES // max(1, cycles))).tolist()
    yield go.Scatter(
        x=(begin + (first + last) / 2).tolist(),
        y=[low + _TALL / 2] * len(first),
        mode="text",
        text=[value[2:] if len(value) - 2 <= fits else "" for value, fits in zip(values, room, strict=True)],
        textfont={"size": 10},
        customdata=[
            [a, b - 1, value if len(value) <= _CHARACTERS else value[: _CHARACTERS - 3] + "..."]
            for a, b, value in zip((begin + first).tolist(), (begin + last).tolist(), values, strict=True)
        ],
        hovertemplate=f"cycles %{{customdata[0]}} to %{{customdata[1]}}: %{{customdata[2]}}<extra>{kind}</extra>",
        name=name,
        showlegend=False,
    )
