"""The Python interface: the commands as functions. ``import graphsim as gs`` has them all.

::

    g = gs.lower("models/digits_mlp.h5")
    s = gs.fold(g, "torus:4x4")
    x = gs.dataset("digits").inputs
    r = gs.run(g, s, x)
    r.values["dense_1"], s.period, r.timing.latency

Everything takes and gives plain objects: a :class:`~graphsim.graph.Graph`, a :class:`~graphsim.machine.Machine`, a
:class:`~graphsim.schedule.schedule.Schedule`, a :class:`~graphsim.simulate.engine.Run`, a
:class:`~graphsim.compare.result.Comparison`. In a notebook each shows itself (:mod:`graphsim.report.notebook`). Errors
are those of :mod:`graphsim.errors`, as on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from graphsim import pipeline
from graphsim.errors import UsageError

if TYPE_CHECKING:
    from graphsim.analysis.equivalence import Equivalence
    from graphsim.analysis.sdf.throughput import Throughput
    from graphsim.compare.result import Comparison
    from graphsim.datasets import Dataset
    from graphsim.explore.autofold import Search
    from graphsim.graph import Graph
    from graphsim.graph.sdf import TimedGraph
    from graphsim.machine import Machine
    from graphsim.schedule.schedule import Schedule
    from graphsim.schedule.verify import Verdict
    from graphsim.simulate.engine import Keep, Run
    from graphsim.trace.life import Life

__all__ = [
    "analyze",
    "compare_model",
    "dataset",
    "equal",
    "fold",
    "fold_to",
    "life_of",
    "load",
    "load_machine",
    "lower",
    "run",
    "save",
    "verify",
]


def lower(
    path: Path | str, *, weights: Path | str | None = None, passes: Sequence[str] = (), top: str | None = None
) -> Graph:
    """A graph of one actor per neuron or gate, from a model (Keras, ONNX), a circuit, or a ``.gsim`` file.

    Args:
        path: the file.
        weights: a weights-only ``.h5`` that belongs to an architecture given as ``.json``.
        passes: of circuits: names of passes or of lists of them, in order (``["default"]``).
        top: of circuits: the model or module that is meant.

    Raises:
        GraphsimError: the file cannot be used; the message says why.

    >>> gs.lower("models/digits_mlp.h5").actor_count
    130
    """
    graph = pipeline.load_graph(Path(path), None if weights is None else Path(weights), top)
    if not passes:
        return graph
    from graphsim.passes.logic import passes_of

    return passes_of(",".join(passes)).apply(graph)


def load_machine(spec: Machine | str, graph: Graph | None = None) -> Machine:
    """A machine: a built-in one by name (``torus:4x4,latency=3``), a ``machine.toml``, or one made for a graph
    (``one-to-one``).

    Raises:
        MachineError: there is no such machine.

    >>> len(gs.load_machine("torus:4x4").links)
    64
    """
    if not isinstance(spec, str):
        return spec
    from graphsim.machine import load_machine as load

    return load(spec, graph)


def fold(
    graph: Graph,
    machine: Machine | str = "torus:4x4",
    *,
    place: str | None = None,
    placement: Path | str | npt.NDArray[np.int32] | None = None,
    buffering: Literal["single", "double"] = "single",
    seed: int = 0,
    tile: int = 1,
) -> Schedule:
    """A schedule of a graph on a machine: placement, routes, calendars.

    Args:
        machine: as :func:`load_machine` takes it.
        place: a strategy (``contiguous``, ``greedy``, ``hypergraph``, ``one-to-one``, ``soonest``).
        placement: a placement file, or the node of every actor, int32 (actors,); instead of a strategy.
        buffering: whether computing and communicating overlap (``single``) or alternate (``double``).
        seed: of strategies that use chance.
        tile: so many neurons of a layer are scheduled as one: on one node, back to back, sent together.

    Raises:
        GraphsimError: no schedule exists, or what was given does not fit; the message says what is short.

    >>> g = gs.lower("models/digits_mlp.h5")
    >>> s = gs.fold(g, "line:2")
    >>> s.period >= s.bound.ticks
    True
    """
    from graphsim.schedule import fold as fold_graph

    hardware = _machine_for(machine, graph)
    how: dict[str, Any] = {"strategy": place, "placement": placement, "buffering": buffering}
    return fold_graph(graph, hardware, seed=seed, tile=tile, **how)


def fold_to(
    graph: Graph,
    family: str | Sequence[Machine | str],
    target: float,
    minimize: Literal["nodes", "latency", "memory"] = "nodes",
    *,
    place: str | None = None,
    buffering: Literal["single", "double"] = "single",
    seed: int = 0,
) -> Search:
    """The cheapest machine of a family on which a graph runs at ``target`` samples per second, or what stops it.

    Args:
        family: ``torus``, ``torus:{1..8}x{1..8}``, or machines one by one.
        minimize: nodes of the machine, ticks of latency, or bytes in the fullest node.
        place, buffering, seed: as :func:`fold` takes them.

    Raises:
        GraphsimError: there is no such machine, or the target is no number above 0.

    >>> g = gs.lower("models/digits_mlp.h5")
    >>> found = gs.fold_to(g, "ring:{1..8}", 250_000)
    >>> found.best.machine, found.schedule.period, found.stopped_by
    ('ring:4', 655, '')
    """
    from graphsim.explore.autofold import cheapest, minimize_named
    from graphsim.machine.family import family as machines_of

    machines = machines_of(family) if isinstance(family, str) else family
    made = [_machine_for(one, graph) for one in machines]
    return cheapest(graph, made, target, minimize_named(minimize), strategy=place, buffering=buffering, seed=seed)


def _machine_for(spec: Machine | str, graph: Graph) -> Machine:
    from graphsim.machine import needs_graph

    return load_machine(spec, graph if isinstance(spec, str) and needs_graph(spec) else None)


def verify(graph: Graph, schedule: Schedule) -> Verdict:
    """What the independent verifier says of a schedule: ``ok``, and what was checked and found.

    >>> g = gs.lower("models/digits_mlp.h5")
    >>> gs.verify(g, gs.fold(g, "line:2")).ok
    True
    """
    from graphsim.schedule.verify import verify as verify_schedule

    return verify_schedule(graph, schedule)


def run(
    graph: Graph,
    schedule: Schedule | None = None,
    samples: npt.ArrayLike | tuple[npt.ArrayLike, ...] | None = None,
    *,
    engine: str | None = None,
    keep: Keep = "all",
    threads: int | None = None,
) -> Run:
    """Run samples through a graph.

    Args:
        schedule: for engines that execute one (``machine``, ``events``, ``frames``), which are chosen where there is
            one; else the engine is ``lanes``, or ``circuit`` for gates.
        samples: float32 (N, *input shape); a tuple of such arrays where there are several inputs, in source order.
        engine: by name.
        keep: values of which groups are kept.
        threads: of engines that use several.

    Raises:
        GraphsimError: the engine cannot run this, or the samples do not fit.

    >>> g = gs.lower("models/digits_mlp.h5")
    >>> r = gs.run(g, gs.fold(g, "line:2"), gs.dataset("digits", 5).inputs)
    >>> r.engine, r.samples, r.values["sink"][:, 0].astype(int).tolist()
    ('machine', 5, [2, 8, 2, 6, 6])
    """
    if samples is None:
        raise UsageError("run: give it samples, float32 (N, *input shape)")
    chosen = engine or ("machine" if schedule is not None else pipeline.default_engine(graph))
    prepared = pipeline.make_engine(chosen, graph, schedule, threads)
    if isinstance(samples, tuple):
        several: Any = tuple(np.asarray(array, np.float32) for array in samples)
        return prepared.run(several, keep=keep)
    return prepared.run(np.asarray(samples, np.float32), keep=keep)


def compare_model(model: Path | str, data: Dataset | str, *, weights: Path | str | None = None) -> Comparison:
    """Every neuron of a model beside TensorFlow's (of an ONNX model, beside the onnx package's), within its own bound.

    Raises:
        GraphsimError: the reference is missing, or cannot read the model.

    >>> gs.compare_model("models/digits_mlp.h5", gs.dataset("digits", 20)).neurons_outside_bound
    0
    """
    samples = dataset(data) if isinstance(data, str) else data
    return pipeline.compare(Path(model), samples, weights=None if weights is None else Path(weights))[-1]


def dataset(name: str, limit: int | None = None) -> Dataset:
    """Samples: ``digits``, ``mnist`` (see ``graphsim fetch``), ``alu``, or of an ``.npz`` file; the first so many.

    >>> gs.dataset("digits", 3).inputs.shape
    (3, 8, 8)
    """
    from graphsim.datasets import load as load_dataset

    return load_dataset(name, limit=limit)


def analyze(graph: Graph | Path | str, machine_spec: Machine | str = "torus:4x4") -> tuple[TimedGraph, Throughput]:
    """Exact throughput of a timed dataflow graph: of an SDF3 file, or of a graph whose firings a machine's nodes price.

    Raises:
        GraphError: rates do not balance, or the graph is dead; names the cycle.

    >>> timed, found = gs.analyze(gs.lower("models/digits_mlp.h5"))
    >>> found.period
    Fraction(65, 1)
    """
    from graphsim.analysis.sdf.convert import of_graph
    from graphsim.analysis.sdf.throughput import throughput

    if isinstance(graph, (str, Path)):
        if Path(graph).suffix == ".xml":
            from graphsim.frontends.sdf3 import read

            timed = read(pipeline.existing(Path(graph), "an SDF3 file (.xml)"))
            return timed, throughput(timed)
        graph = lower(graph)
    timed = of_graph(graph, _machine_for(machine_spec, graph))
    return timed, throughput(timed)


def equal(one: Graph, other: Graph) -> Equivalence:
    """Whether two circuits compute the same: proved, or with inputs for which they differ."""
    from graphsim.analysis.equivalence import compare as compare_circuits
    from graphsim.graph.circuit import of_graph

    return compare_circuits(of_graph(one), of_graph(other))


def life_of(graph: Graph, schedule: Schedule, actor: str, iteration: int = 0) -> Life:
    """The life of an actor's token: what it waits for, its way, its readers, and when its memory is free.

    >>> g = gs.lower("models/digits_mlp.h5")
    >>> len(gs.life_of(g, gs.fold(g, "line:2"), "dense[3]").operands)
    64
    """
    from graphsim.trace import life_of as life
    from graphsim.trace import timeline

    return life(timeline(graph, schedule), actor, iteration)


def load(path: Path | str, graph: Graph | None = None) -> Any:
    """A graph from a ``.gsim`` file, or a schedule from a ``.fold`` file and the graph that it is of.

    Raises:
        GraphsimError: the file cannot be read, or is of another graph.
    """
    path = Path(path)
    if path.suffix != ".fold":
        return lower(path)
    if graph is None:
        raise UsageError(f"{path}: a schedule is loaded with the graph that it is of: load(path, graph)")
    from graphsim.schedule.store import load as load_schedule

    return load_schedule(pipeline.existing(path, "a .fold schedule"), graph)


def save(thing: Graph | Schedule, path: Path | str) -> None:
    """Write a graph as ``.gsim``, a circuit in the format that the suffix names, or a schedule as ``.fold``."""
    from graphsim.graph import Graph
    from graphsim.schedule.store import save as save_schedule

    if isinstance(thing, Graph):
        pipeline.save_graph(thing, Path(path))
    else:
        save_schedule(thing, Path(path))
