"""What is looked at: the folder of a run, or of a sweep whose points are folded again when they are opened."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from graphsim.errors import StudyError, UsageError
from graphsim.explore.compute import folded
from graphsim.explore.pareto import usual, weigh
from graphsim.explore.points import point_of
from graphsim.explore.rows import Row, read_origins, read_rows, read_sweep
from graphsim.graph import Graph
from graphsim.graph.store import load as load_graph
from graphsim.report.html import schedule_figures
from graphsim.report.pareto import bottleneck, placement
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.store import load as load_schedule
from graphsim.trace import Timeline, timeline

#: Of report.json and pictures.json.
_MOST_BYTES = 1 << 28
#: Runs of a sweep's points that are kept in memory.
_KEPT = 8


@dataclass
class Seen:
    """One run to look at.

    Attributes:
        title: what it is, in a line.
        record: report.json of a run; of a sweep's point, its row.
        pictures: figures, tiles and wrong samples, as :class:`graphsim.report.html.Pictures` is kept.
        graph: the graph. schedule: how it was folded; None of a circuit that was not.
    """

    title: str
    record: Mapping[str, Any]
    pictures: Mapping[str, Any]
    graph: Graph
    schedule: Schedule | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def _line(self) -> Timeline:
        assert self.schedule is not None
        return timeline(self.graph, self.schedule)

    @property
    def line(self) -> Timeline:
        """When everything happens, as the verifier derives it.

        Raises:
            UsageError: nothing was folded. ScheduleError: the verifier rejects the schedule.
        """
        if self.schedule is None:
            raise UsageError("this run has no schedule: it was not folded onto a machine")
        with self._lock:
            return self._line


@dataclass
class Subject:
    """A run, or a sweep.

    Attributes:
        folder: where it is.
        run: of the folder of a run.
        rows: of the folder of a sweep: the points that went well, with ``front`` added; None of a run.
        origins: where the sweep's models are, by the SHA-256 of their bytes; what its machines were made of, by name.
    """

    folder: Path
    run: Seen | None
    rows: list[Row] | None = None
    origins: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    _points: dict[str, Seen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seen(self, name: str) -> Seen:
        """A run by name: ``run``, or the key of a sweep's point, which is lowered and folded again.

        Raises:
            KeyError: there is none of this name. GraphsimError: it cannot be folded again.
        """
        if self.run is not None and name == "run":
            return self.run
        row = next((row for row in self.rows or () if row["key"] == name), None)
        if row is None:
            raise KeyError(name)
        with self._lock:
            if name not in self._points:
                while len(self._points) >= _KEPT:
                    del self._points[next(iter(self._points))]
                self._points[name] = _folded_again(row, *self.origins)
            return self._points[name]


def open_folder(folder: Path) -> Subject:
    """The subject in a folder.

    Raises:
        UsageError: there is none. GraphsimError: a file of it cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; give one of run --report, or of sweep --out")
    if (folder / "sweep.json").is_file():
        return _sweep(folder)
    if not (folder / "report.json").is_file():
        raise UsageError(f"{folder}: is neither the folder of a run (run --report) nor of a sweep (sweep --out)")
    record, pictures = _document(folder / "report.json"), _document(folder / "pictures.json")
    for key, kind in (("figures", dict), ("tiles", list), ("wrong", list)):
        within = pictures.get(key)
        every = within.values() if isinstance(within, dict) else within
        if not isinstance(within, kind) or not all(isinstance(one, dict) for one in every or ()):
            raise UsageError(f"{folder / 'pictures.json'}: its {key} are not what graphsim writes; run --report again")
    graph = load_graph(folder / "graph.gsim")
    fold = folder / "schedule.fold"
    schedule = load_schedule(fold, graph) if fold.is_file() else None
    on = "" if schedule is None else f" on {schedule.machine.name}"
    return Subject(folder, Seen(f"{graph.name}{on}", record, pictures, graph, schedule))


def _document(path: Path) -> dict[str, Any]:
    if path.exists() and (not path.is_file() or path.stat().st_size > _MOST_BYTES):
        raise UsageError(f"{path}: is no file, or of more than {_MOST_BYTES:,} bytes; run --report again")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); run --report writes it") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not what graphsim writes ({str(error)[:100]}); run --report again") from None
    return found


def _sweep(folder: Path) -> Subject:
    _, keys = read_sweep(folder)
    read = read_rows(folder, keys)
    found = weigh(read, usual(read))
    if not found.rows:
        raise StudyError(f"{folder}: no point is done and went well; let the sweep run first")
    rows = [
        {**row, "front": best, "bottleneck": bottleneck(row), "folded": placement([row])}
        for row, best in zip(found.rows, found.best, strict=True)
    ]
    return Subject(folder, None, rows, read_origins(folder))


def _folded_again(row: Row, models: Mapping[str, str], machines: Mapping[str, str]) -> Seen:
    """The run of a point, without samples: same input, same schedule."""
    path = models.get(row["model_sha256"], row["model"])
    graph, schedule = folded(point_of(row, path, machines.get(row["machine"], row["machine"])))
    tiles = [
        {"name": name.replace("_", " "), "value": f"{row[name]:,}", "note": note, "kind": kind}
        for name, note, kind in (
            ("period", "ticks per sample", "simulated"),
            ("bound", "ticks per sample", "proved"),
            ("latency", "ticks, source to sink", "simulated"),
            ("nodes_used", f"of {row['nodes']:,} nodes", ""),
            ("memory", f"bytes, on {row['fullest_node']}", ""),
        )
    ]
    figures = {name: json.loads(f.to_json()) for name, f in schedule_figures(graph, schedule).items() if f is not None}
    return Seen(
        f"{row['model']} on {row['machine']}", row, {"figures": figures, "tiles": tiles, "wrong": []}, graph, schedule
    )
