"""How the cost of lowering, folding and simulating grows with the graph, over four decades of actors.

Run by ``python scripts/bench.py --scale``. Networks of two kinds are built by Keras with random weights and saved:
images of growing size through the same three convolutions, and dense layers of growing width. Each is lowered, folded,
verified and simulated in this process. Times are processor seconds of all threads, so that they mean the same on a busy
machine; what is compiled once per machine is compiled before.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from rich.console import Console
from rich.progress import track
from rich.table import Table

from graphsim import pipeline
from graphsim.files import replacing
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.verify import verify
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.zoo.quiet import import_tensorflow

#: Links and memories that take what the largest of these graphs needs.
MACHINE = "torus:8x8,calendar_entries=100000000,memory_bytes=1073741824"
#: Sides of images: about 10^2 to 10^6 actors.
SIDES = (2, 4, 7, 12, 22, 40, 70, 125, 224)
#: Units of each of three dense layers. Edges grow with their square, so these end at 10^4 actors.
UNITS = (25, 80, 250, 800, 2500)
#: Graphs from this size on decide the exponent: below, fixed costs hide it.
LARGE = 10_000
SAMPLES = 4
#: What is measured, in the order of the columns.
COSTS = ("lower", "fold", "verify", "machine, prepare", "machine, sample", "lanes, sample")


@dataclass(frozen=True)
class Point:
    """One graph: its kind and size, and processor seconds of each of ``COSTS``."""

    family: str
    actors: int
    edges: int
    seconds: dict[str, float]


def measure(family: str, path: Path, shape: tuple[int, ...]) -> Point:
    """Lower, fold, verify and run one model file."""
    seconds: dict[str, float] = {}

    def timed(name: str, job: Callable[[], Any], parts: int = 1) -> Any:
        start = time.process_time()
        found = job()
        seconds[name] = (time.process_time() - start) / parts
        return found

    graph: Graph = timed("lower", lambda: pipeline.load_graph(path))
    schedule = timed("fold", lambda: fold(graph, load_machine(MACHINE)))
    verdict = timed("verify", lambda: verify(graph, schedule))
    samples = np.random.default_rng(0).random((SAMPLES, *shape), dtype=np.float32)
    machine = timed("machine, prepare", lambda: MachineEngine(graph, schedule))
    run = timed("machine, sample", lambda: machine.run(samples, keep="outputs"), SAMPLES)
    lanes = LanesEngine(graph)
    lanes.run(samples, keep="outputs")
    other = timed("lanes, sample", lambda: lanes.run(samples, keep="outputs"), SAMPLES)
    same = all(np.array_equal(run.values[name], values, equal_nan=True) for name, values in other.values.items())
    if not verdict.ok or not same:
        raise SystemExit(f"{path.name}: the schedule is wrong, or machine and lanes differ; nothing is worth timing")
    return Point(family, graph.actor_count, graph.edge_count, seconds)


def models(keras: Any, folder: Path) -> Iterator[tuple[str, Path, tuple[int, ...]]]:
    """(family, file, input shape) of all networks, the smallest first."""
    layers = keras.layers
    for side in SIDES:
        shape: tuple[int, ...] = (side, side, 3)
        parts = [layers.Input(shape)]
        for filters in (8, 16, 32):
            parts += [
                layers.Conv2D(filters, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(2, padding="same"),
            ]
        model = keras.Sequential([*parts, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])
        yield "conv", _saved(model, folder / f"conv{side}.h5"), shape
    for units in UNITS:
        parts = [layers.Input((units,)), *(layers.Dense(units, activation="relu") for _ in range(3))]
        model = keras.Sequential([*parts, layers.Dense(10, activation="softmax")])
        yield "dense", _saved(model, folder / f"dense{units}.h5"), (units,)


def _saved(model: Any, path: Path) -> Path:
    model.save(path)
    return path


def exponents(points: list[Point]) -> dict[str, dict[str, float]]:
    """By family and cost, the power of actors + edges with which the cost grows, fitted to the large graphs."""
    found: dict[str, dict[str, float]] = {}
    for family in dict.fromkeys(p.family for p in points):
        large = [p for p in points if p.family == family and p.actors + p.edges >= LARGE]
        size = np.log([p.actors + p.edges for p in large])
        found[family] = {
            cost: float(np.polyfit(size, np.log([max(p.seconds[cost], 1e-6) for p in large]), 1)[0]) for cost in COSTS
        }
    return found


def plot(points: list[Point], path: Path) -> None:
    """Processor seconds against actors, both logarithmic, as a page of its own."""
    figure = go.Figure()
    for family, dash in (("conv", "solid"), ("dense", "dot")):
        some = [p for p in points if p.family == family]
        for cost in COSTS:
            figure.add_scatter(
                x=[p.actors for p in some],
                y=[p.seconds[cost] for p in some],
                text=[f"{p.edges:,} edges" for p in some],
                name=f"{cost} ({family})",
                line={"dash": dash},
            )
    figure.update_xaxes(type="log", title="actors")
    figure.update_yaxes(type="log", title="processor seconds (of one sample, where it says sample)")
    figure.update_layout(title=f"Cost against size, on {MACHINE}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.write_html(temporary, include_plotlyjs=True)


def scale(console: Console, path: Path) -> list[Point]:
    """Measure all networks, print a table and the exponents, and draw them into ``path``."""
    _, keras = import_tensorflow()
    table = Table("net", "actors", "edges", *(cost.replace(", ", "\n") for cost in COSTS), title="processor seconds")
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        count = len(SIDES) + len(UNITS)
        for family, file, shape in track(models(keras, Path(folder)), "measuring", count, console=console):
            if not points:
                measure(family, file, shape)  # compiles, or loads what is compiled
            point = measure(family, file, shape)
            points.append(point)
            row = [_short(point.seconds[cost]) for cost in COSTS]
            table.add_row(family, f"{point.actors:,}", f"{point.edges:,}", *row)
    for family, powers in exponents(points).items():
        table.add_row(family, "power of", "size", *(f"{powers[cost]:.2f}" for cost in COSTS))
    console.print(table)
    plot(points, path)
    console.print(f"drawn into {path}")
    return points


def _short(value: float) -> str:
    """Two digits that count."""
    return f"{value:.{max(0, 1 - math.floor(math.log10(max(value, 1e-5))))}f}"
