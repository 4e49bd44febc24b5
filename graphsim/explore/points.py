"""The points of a study, each known by the content of its inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from graphsim import __version__
from graphsim.errors import StudyError
from graphsim.explore.conditions import may_hold
from graphsim.explore.study import MOST_POINTS, VARIED, FaultCase, Settings, Study, build_machine, machine_name
from graphsim.machine import load_machine, needs_graph
from graphsim.machine.family import MOST_MACHINES
from graphsim.machine.load import file_and_settings
from graphsim.machine.topologies import is_topology, topology_shape

#: Of what a key says and a row holds; a change makes all rows anew.
FORMAT = 1


@dataclass(frozen=True)
class Point:
    """One model on one machine with settings, perhaps with samples.

    Attributes:
        model: as the study names it. path: where it is, absolute. model_sha256: of its bytes.
        machine: as ``--machine`` takes it, settings included. spec: without them.
        settings: what is changed of it. machine_digest: of the machine with settings.
        nodes, links: of the machine, nodes that compute; None where it is made for the graph.
        place: strategy; None: the graph's default. buffering, seed: of folding.
        dataset: None: nothing is simulated. dataset_path, dataset_sha256: of a file of samples, where it is, absolute,
            and of its bytes. samples, engine, compare: as in :class:`~graphsim.explore.study.Study`.
        max_fan_in: most terms of a sum, where neurons are split; None: they are not.
        tile: so many neurons of a layer are scheduled as one.
        faults: as the study names the file of what goes wrong; None: nothing does. faults_path, faults_sha256: where it
            is, absolute, and of its bytes. corruption_rate, checksum: which of its runs this is.
        version: of graphsim.
    """

    model: str
    path: str
    model_sha256: str
    machine: str
    spec: str
    settings: Settings
    machine_digest: str
    nodes: int | None
    links: int | None
    place: str | None
    buffering: str
    seed: int
    dataset: str | None
    samples: int | None
    engine: str | None
    compare: bool
    dataset_path: str | None = None
    dataset_sha256: str | None = None
    max_fan_in: int | None = None
    tile: int = 1
    faults: str | None = None
    faults_path: str | None = None
    faults_sha256: str | None = None
    corruption_rate: float | None = None
    checksum: str | None = None
    version: str = __version__

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of the content of the model, the machine, all settings and the version: not of any name."""
        content = {
            "format": FORMAT,
            "version": self.version,
            "model": self.model_sha256,
            "machine": self.machine_digest,
            "place": self.place,
            "buffering": self.buffering,
            "seed": self.seed,
            "dataset": self.dataset_sha256 or self.dataset,
            "samples": self.samples,
            "engine": self.engine,
            "compare": self.compare,
        }
        if self.max_fan_in is not None:
            content["max_fan_in"] = self.max_fan_in
        if self.tile != 1:
            content["tile"] = self.tile
        if self.faults_sha256 is not None:
            content["faults"] = [self.faults_sha256, self.corruption_rate, self.checksum]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def configuration(self) -> dict[str, Any]:
        """The columns of a row that are known before anything is computed."""
        settings: dict[str, int | None] = dict.fromkeys(VARIED)
        return {
            "key": self.key,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "machine": self.machine,
            "machine_digest": self.machine_digest,
            "nodes": self.nodes,
            "links": self.links,
            **settings,
            **dict(self.settings),
            "max_fan_in": self.max_fan_in,
            "tile": self.tile,
            "place": self.place,
            "buffering": self.buffering,
            "seed": self.seed,
            "dataset": self.dataset,
            "samples": self.samples,
            "engine": self.engine,
            "compare": self.compare,
            "dataset_sha256": self.dataset_sha256,
            "faults": self.faults,
            "faults_sha256": self.faults_sha256,
            "corruption_rate": self.corruption_rate,
            "checksum": self.checksum,
            "version": self.version,
        }


def point_of(row: Mapping[str, Any], path: str, spec: str) -> Point:
    """The point that a row is of.

    Args:
        row: one of :data:`graphsim.explore.rows.SCHEMA`.
        path: where the model is. spec: what the machine was made of, its settings left out.
    """
    # Rows of before a setting was there have none: it was what it is by default.
    known = {
        one.name: row[one.name]
        for one in fields(Point)
        if one.name in row and (row[one.name] is not None or one.default is MISSING)
    }
    settings = tuple((key, row[key]) for key in VARIED if row[key] is not None)
    return Point(**known, path=path, spec=spec, settings=settings)


def points_of(study: Study, progress: Callable[[int], None] | None = None) -> list[Point]:
    """All points of a study that its constraints allow, in the order of its grid, each content once.

    ``grid``: every combination. ``random``: ``count`` of them that are allowed, or all if there are no more. ``latin``:
    a Latin hypercube of ``count`` samples, its axes cut into as many parts as they have values; samples that fall
    together, or are not allowed, are fewer points. ``progress`` is called with how many combinations were looked at.

    Raises:
        StudyError: the grid has more than :data:`~graphsim.explore.study.MOST_POINTS` points; choose some at random.
    """
    axes: list[tuple[Any, ...]] = [
        study.models,
        study.machines,
        *(values for _, values in study.settings),
        study.fan_ins,
        study.tiles,
        study.places,
        study.buffering,
        study.seeds,
        study.datasets,
        study.faults,
    ]
    sizes = tuple(len(axis) for axis in axes)
    if study.mode == "grid" and prod(sizes) > MOST_POINTS:
        raise StudyError(
            f"{study.name}: the grid has {prod(sizes):,} points, and {MOST_POINTS:,} are the most; "
            'choose some of them with mode = "random" and count'
        )
    numbers = {"grid": _every, "random": _drawn, "latin": _latin}[study.mode](sizes, study)
    found: dict[str, tuple[tuple[int, ...], Point]] = {}
    sized = any(one.name in ("nodes", "links") for one in study.constraints)
    for number, indices in enumerate(numbers):
        if progress is not None and number % 1_000 == 0:
            progress(number)
        chosen = [axis[i] for axis, i in zip(axes, indices, strict=True)]
        if may_hold(study.constraints, _facts(study, chosen, sized)):
            point = _point(study, chosen)
            found.setdefault(point.key, (indices, point))
        if study.mode == "random" and len(found) == study.count:
            break
    return [point for _, point in sorted(found.values(), key=lambda one: one[0])]


def _facts(study: Study, chosen: list[Any], sized: bool) -> dict[str, Any]:
    """What constraints ask of a point, before its machine has its settings; ``sized``: nodes and links too."""
    _, (_, spec), *values, max_fan_in, tile, _, _, seed, _, faults = chosen
    facts = {key: value for (key, _), value in zip(study.settings, values, strict=True)}
    facts |= {"max_fan_in": max_fan_in, "tile": tile, "seed": seed}
    facts["corruption_rate"] = None if faults is None else faults.rate
    if sized:
        facts["nodes"], facts["links"] = _size(spec)
    return facts


def _point(study: Study, chosen: list[Any]) -> Point:
    model, (name, spec), *values, max_fan_in, tile, place, buffering, seed, dataset, faults = chosen
    settings: Settings = tuple((key, value) for (key, _), value in zip(study.settings, values, strict=True))
    digest, nodes, links = _described(spec, settings)
    simulated = dataset is not None
    return Point(
        model=model.name,
        path=model.path,
        model_sha256=model.sha256,
        machine=machine_name(name, settings),
        spec=spec,
        settings=settings,
        machine_digest=digest,
        nodes=nodes,
        links=links,
        place=place,
        buffering=buffering,
        seed=seed,
        dataset=dataset.name if simulated else None,
        dataset_path=dataset.path if simulated else None,
        dataset_sha256=dataset.sha256 if simulated else None,
        samples=study.samples if simulated else None,
        engine=study.engine if simulated else None,
        compare=study.compare and simulated,
        max_fan_in=max_fan_in,
        tile=tile,
        **_going_wrong(faults),
    )


def _going_wrong(case: FaultCase | None) -> dict[str, Any]:
    """What a point says of its faults."""
    if case is None:
        return {}
    file = {"faults": case.name, "faults_path": case.path, "faults_sha256": case.sha256}
    return {**file, "corruption_rate": case.rate, "checksum": case.checksum}


@lru_cache(maxsize=MOST_MACHINES)
def _size(spec: str) -> tuple[int | None, int | None]:
    """Nodes that compute and links of a machine, which no setting changes; None where it is made for a graph."""
    if needs_graph(spec):
        return None, None
    if is_topology(spec):  # the links of a large machine take longer to make than to count
        shape = topology_shape(spec.partition(",")[0].strip())
        return shape.first_switch, len(shape.links)
    machine = load_machine(spec)
    return len(machine.compute_nodes), len(machine.links)


@lru_cache(maxsize=4096)
def _described(spec: str, settings: Settings) -> tuple[str, int | None, int | None]:
    """Digest, nodes and links of a machine; of one that is made for a graph, a digest of what it is made by."""
    if needs_graph(spec):
        name, inline = file_and_settings(spec)
        file = Path(name)
        made_by = ",".join([hashlib.sha256(file.read_bytes()).hexdigest(), *inline]) if file.is_file() else spec
        return hashlib.sha256(json.dumps([made_by, settings]).encode()).hexdigest(), None, None
    machine = build_machine(spec, settings)
    return machine.digest(), len(machine.compute_nodes), len(machine.links)


def _every(sizes: tuple[int, ...], study: Study) -> Iterator[tuple[int, ...]]:
    yield from np.ndindex(sizes)


def _drawn(sizes: tuple[int, ...], study: Study) -> Iterator[tuple[int, ...]]:
    """Combinations in an order of chance, without repeats: all of them, or, of very many, some."""
    generator = np.random.default_rng(study.seed)
    total = prod(sizes)
    if total <= MOST_POINTS:
        for number in generator.permutation(total).tolist():
            yield tuple(int(i) for i in np.unravel_index(number, sizes))
        return
    seen: set[tuple[int, ...]] = set()
    for _ in range(MOST_POINTS):
        indices = tuple(int(i) for i in generator.integers(0, sizes))
        if indices not in seen:
            seen.add(indices)
            yield indices


def _latin(sizes: tuple[int, ...], study: Study) -> Iterator[tuple[int, ...]]:
    from scipy.stats.qmc import LatinHypercube

    assert study.count is not None
    unit = LatinHypercube(len(sizes), rng=np.random.default_rng(study.seed)).random(study.count)
    cells = np.minimum((unit * np.array(sizes)).astype(np.int64), np.array(sizes) - 1)
    for row in cells.tolist():
        yield tuple(row)
