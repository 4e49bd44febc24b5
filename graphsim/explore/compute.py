"""From a point to its row: what a worker does. Nothing here knows of Dask.

What lies in the point (a model that cannot be lowered, a machine that is too small) is a row with its reason. What lies
in the computer (no memory, a file that is not there, another version) is no row: it may be otherwise next time.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from graphsim import __version__
from graphsim.datasets import Dataset
from graphsim.errors import CheckFailed, DatasetError, GraphsimError, ReferenceUnavailableError, StudyError
from graphsim.explore.points import Point
from graphsim.explore.rows import Row
from graphsim.explore.study import Settings, build_machine
from graphsim.files import printable
from graphsim.graph import Graph
from graphsim.pipeline import (
    buffering_named,
    check_comparable,
    check_dataset,
    default_engine,
    draw,
    load_graph,
    make_engine,
    own_classes,
    split_neurons,
)
from graphsim.schedule import Schedule, fold, latency
from graphsim.schedule.verify import Verdict, verify

Made = TypeVar("Made")

#: Characters of a reason that are kept.
_REASON = 2_000


@dataclass(frozen=True)
class Outcome:
    """What became of a point: its row, or why there is none and may be one next time."""

    row: Row | None
    trouble: str = ""


class _Stages:
    """Runs stages one after the other, and notes how long each took and which is running."""

    def __init__(self) -> None:
        self.current = "lower"
        self.seconds: dict[str, float] = {}

    def run(self, stage: str, work: Callable[[], Made]) -> Made:
        self.current = stage
        start = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[f"seconds_{stage}"] = time.perf_counter() - start


def compute(point: Point) -> Outcome:
    """Lower, fold and verify a point; simulate and compare, if it has samples."""
    if point.version != __version__:
        return Outcome(None, f"the worker has graphsim {__version__}, the sweep {point.version}; install the same")
    start = time.perf_counter()
    row: Row = {**point.configuration(), "python": platform.python_version(), "numpy": np.__version__}
    stages = _Stages()
    try:
        found, failure = _results(point, row, stages)
        wrong = {} if failure is None else {"stage": stages.current, "reason": failure}
        status = "ok" if failure is None else "failed"
    except (MemoryError, OSError, StudyError, ReferenceUnavailableError) as error:
        reason = "out of memory; use fewer workers" if isinstance(error, MemoryError) else str(error)
        return Outcome(None, f"{stages.current}: {reason}"[:_REASON])
    except (GraphsimError, CheckFailed) as error:
        found, status, wrong = {}, "failed", {"stage": stages.current, "reason": str(error)[:_REASON]}
    except Exception as error:  # a defect of ours ends a point, not a study
        reason = f"internal: {type(error).__name__}: {error}"[:_REASON]
        found, status, wrong = {}, "failed", {"stage": stages.current, "reason": reason}
    seconds = time.perf_counter() - start
    return Outcome({**row, **found, **stages.seconds, "seconds": seconds, "status": status, **wrong})


def folded(point: Point) -> tuple[Graph, Schedule]:
    """The graph of a point, and its schedule, without running anything.

    Raises:
        StudyError: the model is not the one that the study read. GraphsimError: it cannot be lowered or folded.
    """
    schedule = _folded(_inputs(point))
    return _lowered(point.path, point.model_sha256, point.max_fan_in), schedule


class _Inputs(NamedTuple):
    """All that a schedule depends on: attributes of :class:`Point`.

    ``machine_digest`` is there to tell apart machines of one name, in files that change between studies.
    """

    path: str
    model_sha256: str
    max_fan_in: int | None
    spec: str
    settings: Settings
    machine_digest: str
    place: str | None
    buffering: str
    seed: int
    tile: int


def _inputs(point: Point) -> _Inputs:
    return _Inputs(*(getattr(point, name) for name in _Inputs._fields))


def _results(point: Point, row: Row, stages: _Stages) -> tuple[Row, str | None]:
    """What came out, and what a check found wrong, if one did. What is known only now goes to ``row`` at once."""
    graph = stages.run("lower", lambda: _lowered(point.path, point.model_sha256, point.max_fan_in))
    row["actors"], row["graph_digest"] = graph.actor_count, _digest(point.path, point.model_sha256, point.max_fan_in)
    schedule = stages.run("fold", lambda: _folded(_inputs(point)))
    machine = schedule.machine
    row["nodes"], row["links"] = len(machine.compute_nodes), len(machine.links)
    verdict = stages.run("verify", lambda: _verified(_inputs(point)))
    if not verdict.ok:
        first = verdict.violations[0].message
        return {}, f"the schedule breaks {verdict.violation_count:,} rules; the first: {first}"[:_REASON]
    found = _read_off(graph, schedule)
    if point.dataset is None:
        return found, None
    simulated, failure = _simulated(point, graph, schedule, verdict, stages)
    return {**found, **simulated}, failure


def _read_off(graph: Graph, schedule: Schedule) -> Row:
    from graphsim.report.binding import bindings, in_words
    from graphsim.report.pipelining import pipelining
    from graphsim.report.utilisation import utilisation

    machine, load = schedule.machine, utilisation(graph, schedule)
    binding, overlap = bindings(schedule, load), pipelining(graph, schedule)
    fullest = int(load.node_bytes.argmax())
    share = load.link_frames / np.maximum(1, load.link_capacity)
    busiest = int(share.argmax()) if machine.links else None
    return {
        "strategy": schedule.strategy,
        "period": schedule.period,
        "bound": schedule.bound.ticks,
        "binding_kind": binding[0].kind if binding else None,
        "binding": in_words(binding),
        "latency": latency(graph, schedule),
        "nodes_used": len(np.unique(schedule.node)),
        "memory": int(load.node_bytes[fullest]),
        "fullest_node": machine.nodes[fullest].name,
        "link_load": 0.0 if busiest is None else float(share[busiest]),
        "traffic": int(load.link_frames.sum()),
        "period_unpipelined": overlap.unpipelined,
        "period_layered": overlap.layered,
        "busiest_link": None if busiest is None else machine.link_name(busiest),
    }


def _simulated(
    point: Point, graph: Graph, schedule: Schedule, verdict: Verdict, stages: _Stages
) -> tuple[Row, str | None]:
    from graphsim.report.result import Result

    model = Path(point.path)

    def simulate() -> Result:
        dataset = _samples(point, graph)
        check_dataset(graph, dataset)
        engine = make_engine(point.engine or default_engine(graph), graph, schedule, threads=1)
        ran = engine.run(dataset.inputs, keep="all" if point.compare or point.faults else "outputs")
        return Result("", model, graph, schedule, verdict, dataset, ran, None, {})

    result = stages.run("simulate", simulate)
    found: Row = {"accuracy": result.accuracy}
    if result.measured and result.period_ticks != schedule.period:
        return found, f"the engine measured a period of {result.period_ticks} ticks, scheduled are {schedule.period:,}"
    if point.faults_path is not None:
        found |= stages.run("faults", lambda: _damaged(point, graph, schedule, result))
    if not point.compare:
        return found, None

    def compared() -> Any:
        from graphsim.compare.compare import compare_with_reference

        check_comparable(model)
        whole = None if point.max_fan_in is None else _lowered(point.path, point.model_sha256)
        return compare_with_reference(graph, model, None, result.dataset, result.run, own=own_classes(), whole=whole)

    comparison = stages.run("compare", compared)
    found["outside_bound"] = comparison.neurons_outside_bound
    if comparison.ok:
        return found, None
    first = comparison.first_divergence
    return (
        found,
        f"{comparison.neurons_outside_bound:,} neurons outside of their bounds; the first: {first}",
    )


def _samples(point: Point, graph: Graph) -> Dataset:
    """The samples of a point.

    Raises:
        StudyError: they are not on this computer, or not the ones that the study read.
        DatasetError, UsageError: the file is none of samples, or has too few.
    """
    from graphsim.datasets import load

    assert point.dataset is not None
    if point.dataset == "random":
        return draw(graph, point.samples)
    if point.dataset_path is None:
        try:
            return load(point.dataset, limit=point.samples)
        except DatasetError as error:  # not fetched on this computer
            raise StudyError(str(error)) from None
    _check_content(point.dataset_path, point.dataset_sha256, "samples")
    return load(point.dataset_path, limit=point.samples)


def _damaged(point: Point, graph: Graph, schedule: Schedule, result: Any) -> Row:
    """What the faults of a point do to the answers of a run.

    Raises:
        StudyError: the file is not the one that the study read. FaultsError: it names what is not there.
    """
    from graphsim.simulate.faults import read_faults
    from graphsim.simulate.faults.damage import sweep

    assert point.faults_path is not None
    _check_content(point.faults_path, point.faults_sha256, "faults file")
    read = read_faults(Path(point.faults_path))
    checksums = tuple(one for one in read.checksums if one == point.checksum)
    case = replace(read, rates=(float(point.corruption_rate or 0),), checksums=checksums)
    labels, engine = result.dataset.labels, "events" if point.engine == "events" else "machine"
    (damage,) = sweep(
        case, graph, schedule, result.dataset.inputs, result.run, labels=labels, engine=engine, threads=1
    ).cases
    return {
        "faulty_accuracy": damage.accuracy,
        "silent_rate": damage.silent_rate,
        "missing_rate": damage.missing_rate,
        "coverage": damage.coverage,
    }


@lru_cache(maxsize=4)
def _lowered(path: str, sha256: str, max_fan_in: int | None = None) -> Graph:
    """The graph of a model file, if it still is the one that the study read; its neurons split, if they are to be.

    Raises:
        StudyError: it is not. GraphsimError: it cannot be lowered.
    """
    if max_fan_in is not None:
        return split_neurons(_lowered(path, sha256), max_fan_in)
    _check_content(path, sha256, "model")
    return load_graph(Path(path))


def _check_content(path: str, sha256: str | None, what: str) -> None:
    """Raise StudyError unless a file still is the one that the study read, by the digest (hex) of its bytes."""
    try:
        if not Path(path).is_file():
            raise StudyError(f"{printable(path)}: is not there; bring the {what} back, or run the sweep again")
        with Path(path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StudyError(
            f"{printable(path)}: cannot be read ({error.strerror}); run the sweep again once it can"
        ) from None
    if digest != sha256:
        raise StudyError(f"{printable(path)}: has changed since the sweep began; run it again")


@lru_cache(maxsize=4)
def _digest(path: str, sha256: str, max_fan_in: int | None) -> str:
    return _lowered(path, sha256, max_fan_in).digest


@lru_cache(maxsize=16)
def _folded(of: _Inputs) -> Schedule:
    graph = _lowered(of.path, of.model_sha256, of.max_fan_in)
    machine = build_machine(of.spec, of.settings, graph)
    kind = buffering_named(of.buffering)
    return fold(graph, machine, strategy=of.place, buffering=kind, seed=of.seed, tile=of.tile)


@lru_cache(maxsize=16)
def _verified(of: _Inputs) -> Verdict:
    schedule = _folded(of)
    return verify(_lowered(of.path, of.model_sha256, of.max_fan_in), schedule)
