"""The report as a folder: report.json, and report.html, a page that opens offline and fetches nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from graphsim.errors import UsageError
from graphsim.files import write_text
from graphsim.graph import Graph
from graphsim.report import faults, plots
from graphsim.report.binding import bindings, hint, in_words, why_nothing
from graphsim.report.granularity import columns
from graphsim.report.result import Result
from graphsim.report.utilisation import utilisation
from graphsim.schedule.schedule import Schedule

#: At most so many wrong samples are drawn.
WRONG = 60
#: Of calculations, at most so many lines, and so many more that are wrong.
LINES = 24


def write_report(folder: Path, result: Result, record: Mapping[str, Any]) -> Path:
    """Write a run's folder, each file atomically, and return the page's path.

    The folder holds report.json, the record; report.html, the page; and, for ``graphsim view``, graph.gsim,
    schedule.fold and pictures.json.

    Args:
        folder: made if it is not there.
        result: what was run.
        record: :func:`graphsim.report.record.run_record` of it.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    pictures = Pictures(_figures(result), _tiles(record), _wrong(result))
    path = write_folder(folder, record, _render(result, record, pictures))
    keep_run(folder, pictures, result.graph, result.schedule)
    return path


@dataclass(frozen=True)
class Pictures:
    """What a page shows of a run.

    Attributes:
        figures: Plotly figures by name; None where there is nothing to draw.
        tiles: the numbers on top: name, value, note, and what kind of number it is.
        wrong: samples whose class is not their label; of images, with their pixels.
    """

    figures: Mapping[str, Any]
    tiles: Sequence[Mapping[str, str]]
    wrong: Sequence[Mapping[str, Any]] = ()


def write_folder(folder: Path, record: Mapping[str, Any], text: str) -> Path:
    """Write report.json, a record, and report.html, a page as text, into a folder; the page's path.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; --report takes a folder")
    write_text(folder / "report.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    path = folder / "report.html"
    write_text(path, text)
    return path


def keep_run(folder: Path, pictures: Pictures, graph: Graph, schedule: Schedule | None) -> None:
    """Write beside a report what ``graphsim view`` looks around in; what an earlier run left goes.

    Raises:
        UsageError: the folder cannot be written.
    """
    from graphsim.graph.store import save as save_graph
    from graphsim.schedule.store import save as save_schedule

    document = {
        "schema_version": 1,
        "figures": {name: json.loads(f.to_json()) for name, f in pictures.figures.items() if f is not None},
        "tiles": list(pictures.tiles),
        "wrong": list(pictures.wrong[:WRONG]),
    }
    write_text(folder / "pictures.json", json.dumps(document, separators=(",", ":")) + "\n")
    save_graph(graph, folder / "graph.gsim")
    if schedule is None:
        (folder / "schedule.fold").unlink(missing_ok=True)
    else:
        save_schedule(schedule, folder / "schedule.fold")


def _render(result: Result, record: Mapping[str, Any], pictures: Pictures) -> str:
    comparison = result.comparison
    divergence = None if comparison is None else comparison.first_divergence
    return page(
        "report.html",
        pictures.figures,
        record=record,
        ok=comparison is None or comparison.ok,
        tiles=pictures.tiles,
        each="sample",
        grain_columns=columns(record["granularity"]),
        binding=binding(result.schedule, result.graph),
        divergence=str(divergence) if divergence is not None else "",
        shown=shown(result.schedule),
        wrong=pictures.wrong[:WRONG],
        wrong_total=len(pictures.wrong),
        **faults.page_values(result.faults),
        answers=result.answers,
        answer_lines=[] if result.answers is None else result.answers.shown(LINES),
    )


def page(template: str, figures: Mapping[str, Any], **values: Any) -> str:
    """A page that opens offline: a template that extends ``page.html``, with ``plots.NAME`` where a figure goes.

    Args:
        template: its name in ``graphsim/report/templates``.
        figures: Plotly figures by name; None where there is nothing to draw.
        values: what else the template reads.
    """
    environment = Environment(
        loader=PackageLoader("graphsim.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(
        **values,
        plots={
            name: None if figure is None else Markup(f'<div id="plot-{name}"></div>')
            for name, figure in figures.items()
        },
        figures=_script({f"plot-{name}": json.loads(f.to_json()) for name, f in figures.items() if f is not None}),
        plotly=Markup(get_plotlyjs()),
    )


def _script(value: Any) -> Markup:
    """JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def schedule_figures(graph: Graph, schedule: Schedule) -> dict[str, Any]:
    """What can be drawn before anything runs."""
    return {
        "graph": plots.group_graph(graph),
        "loads": plots.loads(graph, schedule),
        "nodes": plots.node_gantt(graph, schedule),
        "links": plots.link_gantt(graph, schedule),
        "pipelining": plots.pipelining(graph, schedule),
    }


def _figures(result: Result) -> dict[str, Any]:
    graph, schedule, comparison = result.graph, result.schedule, result.comparison
    figures: dict[str, Any] = {
        **schedule_figures(graph, schedule),
        "agreement": None if comparison is None else plots.agreement(comparison),
        "ulps": None if comparison is None else plots.ulps(comparison),
        "confusion": None,
    }
    figures |= faults.figures(result.faults)
    images = result.images
    if result.predictions is not None and images is not None:
        classes = images.classes
        matrix = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(matrix, (images.labels[: result.run.samples], result.predictions), 1)
        figures["confusion"] = plots.confusion(matrix, classes)
    return figures


def _tiles(record: Mapping[str, Any]) -> list[dict[str, str]]:
    throughput, simulation, schedule = record["throughput"], record["simulation"], record["schedule"]
    tiles = [
        ("period", f"{throughput['period_ticks']:,}", "ticks per sample", "simulated"),
        ("latency", f"{throughput['latency_ticks']:,}", "ticks, source to sink", "simulated"),
        ("throughput", f"{throughput['samples_per_second_simulated']:,.0f}", "samples per second", "simulated"),
        ("pipelining", f"{schedule['pipelining']['gain']:.2f}x", "over one sample at a time", "simulated"),
        ("lower bound", f"{schedule['lower_bound_ticks']:,}", "ticks per sample", "proved"),
        ("wall time", f"{simulation['wall_seconds']:.3g} s", f"{simulation['samples']:,} samples", "measured"),
    ]
    if record["agreement"] is not None:
        ratio = record["agreement"]["max_error_over_bound"]
        tiles.append(("worst error", ratio if isinstance(ratio, str) else f"{ratio:.3f}", "of its bound", "measured"))
    if record["accuracy"]["graphsim"] is not None:
        what = "labels" if "per_operation" not in record["accuracy"] else "results"
        tiles.append(("accuracy", f"{record['accuracy']['graphsim']:.2%}", f"of the {what}", "measured"))
    return [dict(zip(("name", "value", "note", "kind"), tile, strict=True)) for tile in tiles]


def binding(schedule: Schedule, graph: Graph) -> str:
    """What binds, or why nothing does, and what would help: sentences."""
    load = utilisation(graph, schedule)
    found = bindings(schedule, load)
    said = f"What binds is {in_words(found)}." if found else f"Nothing binds: {why_nothing(schedule, load)}."
    more = hint(graph, found)
    return f"{said} {more[:1].upper()}{more[1:]}." if more else said


def shown(schedule: Schedule) -> dict[str, str]:
    """Which nodes and links the pictures show, in words; nothing where they show all."""
    machine = schedule.machine
    nodes, links = len(machine.compute_nodes), len(machine.links)
    return {
        "nodes": f" (the {plots.ROWS} busiest of {nodes:,})" if nodes > plots.ROWS else "",
        "links": f" (the {plots.ROWS // 2} busiest of {links:,})" if links > plots.ROWS // 2 else "",
    }


def _wrong(result: Result) -> list[dict[str, Any]]:
    """The samples whose class is not the label, with their pixels as base64 bytes where they are images."""
    dataset = result.images
    if result.predictions is None or dataset is None or dataset.images.ndim != 3:
        return []
    labels, classes = dataset.labels[: result.run.samples], dataset.classes
    found = np.nonzero(result.predictions != labels)[0]
    height, width = dataset.images.shape[1:]
    return [
        {
            "sample": int(i),
            "label": classes[int(labels[i])],
            "predicted": classes[int(result.predictions[i])],
            "width": width,
            "height": height,
            "pixels": base64.b64encode(np.rint(dataset.images[i] * 255).astype(np.uint8).tobytes()).decode(),
        }
        for i in found
    ]
