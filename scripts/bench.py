"""Benchmarks: each row is a ratio of two times measured alternately in this one run, against the least we ask of it.

    python scripts/bench.py                 all rows
    python scripts/bench.py --only lanes    rows whose name contains "lanes"
    python scripts/bench.py --json out.json
    python scripts/bench.py --logic         circuits, on one thread, see bench_logic.py; --circuits DIR has more of them
    python scripts/bench.py --explore       sweeps: overhead over their points, two workers over one
    python scripts/bench.py --scheduler     period and latency of 100 small graphs against the optimum, which is in
                                            scheduler_optima.json; --prove makes that file, with OR-Tools, in an hour
    python scripts/bench.py --scale         cost of lowering, folding and simulating against the size of the graph

A ratio is the median over the rounds of (time of the other) / (our time), or of samples per second where the two do not
run the same number of samples. Needs MNIST (`graphsim fetch mnist`) and TensorFlow.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from graphsim import pipeline
from graphsim.cli.common import write_json
from graphsim.datasets import load
from graphsim.errors import GraphsimError
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.schedule import BUFFERING
from graphsim.zoo import shipped

THREADS = 2
PER_SECOND = 2_500  # images that the machine engine simulates on the machine made for their net, at least
MACHINES = ("line:8", "torus:4x4", "torus:8x8", "hypercube:4", "full:16", "star:16", "fat_tree:4")


@dataclass(frozen=True)
class Row:
    """One benchmark: what was compared, both medians in words, the ratio and its spread, and what we ask of it.

    ``at_most`` turns the sense round: the ratio must not exceed ``target``.
    """

    name: str
    ours: str
    other: str
    ratio: float
    low: float
    high: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the median reaches the target."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def seconds(job: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call, wall time by default."""
    start = clock()
    job()
    return clock() - start


def paired(
    name: str,
    ours: Callable[[], object],
    other: Callable[[], object],
    target: float,
    *,
    rounds: int = 15,
    ours_per_call: int = 1,
    other_per_call: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Row:
    """Time two jobs alternately, after one uncounted call of each; a call of each does so many samples."""
    ours()
    other()
    pairs = [(seconds(ours, clock) / ours_per_call, seconds(other, clock) / other_per_call) for _ in range(rounds)]
    ratios = [b / a for a, b in pairs]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row(name, _time(mine), _time(theirs), statistics.median(ratios), min(ratios), max(ratios), target)


def _time(value: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def lanes_rows() -> Iterator[Row]:
    """The lanes engine against TensorFlow on the 10,000 MNIST test images, and on one."""
    from graphsim.simulate.lanes import LanesEngine

    tf, keras = _tensorflow()
    images = load("mnist").inputs
    graph = pipeline.load_graph(shipped("mnist"))
    engine = LanesEngine(graph, threads=THREADS)
    model: Any = keras.models.load_model(shipped("mnist"), compile=False)
    function = tf.function(lambda x: model(x, training=False))
    tensor = tf.constant(images)
    yield paired(
        "lanes, 10,000 images, 2 threads: against tf.function",
        lambda: engine.run(images, keep="outputs"),
        lambda: function(tensor).numpy(),
        1.5,
        rounds=30,
    )
    yield paired(
        "lanes, 10,000 images: against model.predict(batch_size=32)",
        lambda: engine.run(images, keep="outputs"),
        lambda: model.predict(images, batch_size=32, verbose=0),
        5.0,
        rounds=5,
    )
    one, one_tensor = images[:1], tensor[:1]
    yield paired(
        "lanes, one image, prepared: against a warm tf.function",
        lambda: [engine.run(one, keep="outputs") for _ in range(100)],
        lambda: [function(one_tensor).numpy() for _ in range(100)],
        5.0,
        ours_per_call=100,
        other_per_call=100,
    )


def net_rows() -> Iterator[Row]:
    """The lanes engine against TensorFlow on 8 images through the nets of keras.applications, all neurons simulated."""
    for name in ("ResNet50", "MobileNetV2"):
        yield _net_row(name)


def _net_row(name: str) -> Row:
    from graphsim.simulate.lanes import LanesEngine

    tf, keras = _tensorflow()
    keras.utils.set_random_seed(0)
    model: Any = getattr(keras.applications, name)(weights=None)
    graph = _lowered(model)
    engine = LanesEngine(graph, threads=THREADS)
    function = tf.function(lambda x: model(x, training=False))
    images = np.random.default_rng(0).random((8, 224, 224, 3), dtype=np.float32)
    tensor = tf.constant(images)
    return paired(
        f"nets, {name}, 8 images, {graph.actor_count / 1e6:.0f} M actors: against tf.function",
        lambda: engine.run(images, keep="outputs"),
        lambda: function(tensor).numpy(),
        1 / 3,
        rounds=7,
    )


def sparse_rows() -> Iterator[Row]:
    """A net of which 95 % of the weights are zero, without their edges: against the same with them, and TensorFlow."""
    from graphsim.passes import PruneZeros
    from graphsim.simulate.lanes import LanesEngine

    tf, keras = _tensorflow()
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, activation=a) for n, a in ((1024, "relu"), (1024, "relu"), (10, "softmax"))]
    model: Any = keras.Sequential([keras.Input((784,)), *layers])
    rng = np.random.default_rng(0)
    for layer in layers:
        kernel, bias = layer.get_weights()
        layer.set_weights([np.where(rng.random(kernel.shape) < 0.95, 0, kernel * 4), bias])
    graph = _lowered(model)
    whole, pruned = LanesEngine(graph, threads=THREADS), LanesEngine(PruneZeros()(graph), threads=THREADS)
    samples = rng.random((10_000, 784), dtype=np.float32)
    function = tf.function(lambda x: model(x, training=False))
    tensor = tf.constant(samples)
    yield paired(
        "sparse, 784-1024-1024-10, 95 % zeros: without them against with them",
        lambda: pruned.run(samples, keep="outputs"),
        lambda: whole.run(samples, keep="outputs"),
        4.0,
        rounds=7,
    )
    yield paired(
        "sparse, 784-1024-1024-10, 95 % zeros: without them against tf.function",
        lambda: pruned.run(samples, keep="outputs"),
        lambda: function(tensor).numpy(),
        1.0,
        rounds=7,
    )


def _tensorflow() -> tuple[Any, Any]:
    """TensorFlow and Keras, on as many threads as we use."""
    from graphsim.zoo.quiet import import_tensorflow

    tf, keras = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    return tf, keras


def _lowered(model: Any) -> Graph:
    """A model's graph, by way of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return pipeline.load_graph(path)


def machine_rows() -> Iterator[Row]:
    """The machine engine over all images against the events engine over a few, samples per second, one core."""
    from graphsim.schedule import fold
    from graphsim.simulate.events import EventsEngine
    from graphsim.simulate.machine import MachineEngine

    images = load("mnist").inputs
    graph = pipeline.load_graph(shipped("mnist"))
    schedule = fold(graph, load_machine("torus:4x4"))
    fast, slow = MachineEngine(graph, schedule), EventsEngine(graph, schedule)
    few = 10
    yield paired(
        "machine, 10,000 images on torus:4x4: against events",
        lambda: fast.run(images, keep="outputs"),
        lambda: slow.run(images[:few], keep="outputs"),
        200.0,
        rounds=3,
        ours_per_call=len(images),
        other_per_call=few,
    )


def one_to_one_rows() -> Iterator[Row]:
    """The machine engine on the machine made for the MNIST net, one core: against a fixed rate, and against events."""
    from graphsim.schedule import fold
    from graphsim.simulate.events import EventsEngine
    from graphsim.simulate.machine import MachineEngine

    images = load("mnist").inputs
    graph = pipeline.load_graph(shipped("mnist"))
    machine = load_machine("one-to-one", graph, frame_bits=128)
    for buffering in BUFFERING:
        schedule = fold(graph, machine, buffering=buffering)
        engine = MachineEngine(graph, schedule)
        engine.run(images[:10])
        times = sorted(seconds(partial(engine.run, images), time.process_time) for _ in range(3))
        rates = [len(images) / t for t in times]
        name = f"machine, 10,000 images on 140 one-to-one nodes, {buffering}: against {PER_SECOND:,} images/s"
        low, median, high = (rate / PER_SECOND for rate in reversed(rates))
        ours = f"{rates[1]:,.0f} images/s of processor time"
        yield Row(name, ours, f"{PER_SECOND:,} images/s", median, low, high, 1.0)
    fast, slow = engine, EventsEngine(graph, schedule)
    few = 4
    yield paired(
        "machine, 10,000 images on 140 one-to-one nodes: against events",
        lambda: fast.run(images, keep="outputs"),
        lambda: slow.run(images[:few], keep="outputs"),
        200.0,
        rounds=3,
        ours_per_call=len(images),
        other_per_call=few,
        clock=time.process_time,
    )


def process_rows() -> Iterator[Row]:
    """Whole processes against a process that only imports TensorFlow."""

    def process(*command: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True)

    importing = process("-c", "import tensorflow")
    with tempfile.TemporaryDirectory() as folder:
        gsim, folded = str(Path(folder) / "mnist.gsim"), str(Path(folder) / "mnist.fold")
        model = str(shipped("mnist"))
        yield paired(
            "graphsim lower mnist_mlp.h5, whole process: against import tensorflow",
            process("-m", "graphsim", "lower", model, "-o", gsim),
            importing,
            4.0,
            rounds=5,
        )
        yield paired(
            "graphsim fold on torus:8x8, whole process: against import tensorflow",
            process("-m", "graphsim", "fold", gsim, "--machine", "torus:8x8", "-o", folded),
            importing,
            1.0,
            rounds=5,
        )


def period_rows() -> Iterator[Row]:
    """Period over the proved lower bound of any schedule on that machine, MNIST, defaults."""
    from graphsim.schedule import fold

    graph = pipeline.load_graph(shipped("mnist"))
    for name in MACHINES:
        schedule = fold(graph, load_machine(name))
        ratio = schedule.period / schedule.bound.ticks
        ours, bound = f"{schedule.period:,} ticks", f"{schedule.bound.ticks:,} ticks"
        yield Row(f"period on {name} over its lower bound", ours, bound, ratio, ratio, ratio, 1.02, at_most=True)


def main(
    only: Annotated[str, typer.Option("--only", help="Rows whose name contains this.")] = "",
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Also write the rows as JSON.")] = None,
    growth: Annotated[bool, typer.Option("--scale", help="Cost against size of graph instead; also a plot.")] = False,
    logic: Annotated[bool, typer.Option("--logic", help="Rows of circuits only.")] = False,
    circuits: Annotated[
        Path | None,
        typer.Option("--circuits", metavar="DIR", help="Where --logic finds c6288, multiplier and hyp."),
    ] = None,
    explore: Annotated[bool, typer.Option("--explore", help="Rows of sweeps only.")] = False,
    scheduler: Annotated[bool, typer.Option("--scheduler", help="Small graphs against the optimum instead.")] = False,
    prove: Annotated[bool, typer.Option("--prove", help="Prove the optima of --scheduler first.")] = False,
    effort: Annotated[float, typer.Option("--effort", help="Work of each question of --prove.")] = 2.0,
    plot: Annotated[Path, typer.Option("--plot", metavar="FILE", help="Where --scale draws.")] = Path("out/scale.html"),
) -> None:
    """Measure, print ratios, and say which reach what we ask of them."""
    console = Console(stderr=json == "-")
    if scheduler:
        from bench_scheduler import scheduler as against_optimum

        write_json(json, {"schema_version": 1, **against_optimum(console, prove, effort)})
        return
    if growth:
        from scale import exponents, scale

        points = scale(console, plot)
        found = {"points": [asdict(point) for point in points], "exponents": exponents(points)}
        write_json(json, {"schema_version": 1, **found})
        return
    table = Table("benchmark", "ours", "other", "ratio (min..max)", "asked", "met")
    rows: list[Row] = []
    groups: dict[str, Callable[[], Iterator[Row]]] = {
        "lanes": lanes_rows,
        "nets": net_rows,
        "sparse": sparse_rows,
        "machine": machine_rows,
        "one-to-one": one_to_one_rows,
        "graphsim": process_rows,
        "period": period_rows,
    }
    if logic:
        from bench_logic import logic_rows

        groups = {"logic": lambda: logic_rows(circuits)}
    if explore:
        from bench_explore import explore_rows

        groups = {"sweep": explore_rows}
    for key, group in groups.items():
        if only and only not in key:
            continue
        for row in group():
            rows.append(row)
            sense = "<=" if row.at_most else ">="
            spread = f"{row.ratio:.3g} ({row.low:.3g}..{row.high:.3g})"
            table.add_row(row.name, row.ours, row.other, spread, f"{sense} {row.target:g}", "yes" if row.met else "NO")
    console.print(table)
    write_json(json, {"schema_version": 1, "rows": [asdict(row) | {"met": row.met} for row in rows]})


if __name__ == "__main__":
    try:
        typer.run(main)
    except GraphsimError as error:
        sys.exit(f"error: {error}")
