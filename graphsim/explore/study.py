"""From ``study.toml`` to a :class:`Study`: what is varied. The format is specified in ``docs/explore.md``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field, ValidationError

from graphsim.datasets import NAMES
from graphsim.datasets.own import SUFFIXES
from graphsim.errors import GraphsimError, MachineError, StudyError
from graphsim.explore.conditions import Condition, condition
from graphsim.files import printable
from graphsim.graph import Graph
from graphsim.machine import Machine, load_machine, needs_graph
from graphsim.machine.family import MOST_MACHINES, expanded
from graphsim.machine.load import file_and_settings
from graphsim.machine.model import hint, show
from graphsim.machine.positions import KeyPath
from graphsim.machine.settings import SETTINGS
from graphsim.machine.tables import Fault, Form, Table, places
from graphsim.machine.topologies import is_made, is_topology
from graphsim.pipeline import ENGINES
from graphsim.schedule import BUFFERING
from graphsim.schedule.fold import STRATEGIES
from graphsim.simulate.faults import Checksum, read_faults

Mode = Literal["grid", "random", "latin"]

#: Settings of machines that may be varied: the key in a study, and the setting that it is.
VARIED = {
    "link_latency": "link.latency",
    "frame_bits": "link.frame_bits",
    "macs_per_tick": "node.macs_per_tick",
    "memory_bytes": "node.memory_bytes",
}
#: Values of those settings that a point fixes, by key in :data:`VARIED`.
Settings = tuple[tuple[str, int], ...]

#: Points that the grid of a study may have.
MOST_POINTS = 1_000_000


def _within(key: str) -> Any:
    return Field(ge=int(SETTINGS[VARIED[key]].low), le=int(SETTINGS[VARIED[key]].high))


def _values(default: list[Any] | None = None) -> Any:
    """A list that has something in it where it is given."""
    return Field(default=default or [], min_length=1)


class _StudyTable(Table):
    mode: Mode = "grid"
    count: Annotated[int | None, Field(ge=1, le=MOST_POINTS)] = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    constraints: Annotated[list[str], FailFast()] = Field(default_factory=list)
    models: Annotated[list[str], Field(min_length=1), FailFast()]
    machines: Annotated[list[str], Field(min_length=1), FailFast()]
    link_latency: Annotated[list[Annotated[int, _within("link_latency")]], FailFast()] = _values()
    frame_bits: Annotated[list[Annotated[int, _within("frame_bits")]], FailFast()] = _values()
    macs_per_tick: Annotated[list[Annotated[int, _within("macs_per_tick")]], FailFast()] = _values()
    memory_bytes: Annotated[list[Annotated[int, _within("memory_bytes")]], FailFast()] = _values()
    max_fan_in: Annotated[list[Annotated[int, Field(ge=2, le=2**31 - 1)]], FailFast()] = _values()
    tile: Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], FailFast()] = _values([1])
    place: Annotated[list[str], FailFast()] = _values()
    buffering: Annotated[list[str], FailFast()] = _values(["single"])
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], FailFast()] = _values([0])
    datasets: Annotated[list[str], FailFast()] = _values()
    faults: Annotated[list[str], FailFast()] = _values()
    samples: Annotated[int | None, Field(ge=1, le=10**9)] = None
    engine: str | None = None
    compare: bool | None = None


_FORM = Form("study", StudyError, "name fewer things", {(): _StudyTable})


@dataclass(frozen=True)
class Model:
    """A model file: its name in the study, where it is (absolute), SHA-256 (hex) of its bytes."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Samples:
    """What is simulated: a dataset by its name, or a file of samples, where it is, and SHA-256 (hex) of its bytes."""

    name: str
    path: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class FaultCase:
    """One rate of corruption with one checksum, of a faults file: its name in the study, where it is, its SHA-256."""

    name: str
    path: str
    sha256: str
    rate: float
    checksum: Checksum


@dataclass(frozen=True)
class Study:
    """What is studied.

    Attributes:
        name: what its file is called.
        mode, count, seed: how points are chosen of the grid; count None: all of it.
        constraints: on points, and on what comes out.
        models: of which graphs are lowered.
        machines: (what the study calls it, what :func:`~graphsim.machine.load_machine` takes) of each, ranges
            expanded.
        settings: by key in :data:`VARIED`, the values of those that are varied.
        fan_ins: most terms of a sum, where neurons are split; (None,): they are not.
        tiles: how many neurons of a layer are scheduled as one.
        places: strategies of placement; None: the graph's default.
        buffering, seeds: of folding.
        datasets: what is simulated; (None,): nothing is. samples: the first so many of each; None: all.
        faults: what goes wrong, in runs besides the one in which nothing does; (None,): nothing.
        engine: None: the graph's default. compare: with the reference, neuron by neuron.
    """

    name: str
    mode: Mode
    count: int | None
    seed: int
    constraints: tuple[Condition, ...]
    models: tuple[Model, ...]
    machines: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, tuple[int, ...]], ...]
    fan_ins: tuple[int | None, ...]
    tiles: tuple[int, ...]
    places: tuple[str | None, ...]
    buffering: tuple[str, ...]
    seeds: tuple[int, ...]
    datasets: tuple[Samples | None, ...]
    faults: tuple[FaultCase | None, ...]
    samples: int | None
    engine: str | None
    compare: bool


def read_study(path: Path) -> Study:
    """The study that a TOML file describes; files that it names are looked for from its own folder.

    Raises:
        StudyError: the file cannot be read, is larger than 1 MiB, is not TOML, breaks the format, or names what is not
            there. The message has one line per fault: ``file:line: key: what is wrong``.
    """
    return study_from_toml(_FORM.read(path), printable(path), path.parent)


def study_from_toml(text: str, source: str = "study.toml", folder: Path = Path()) -> Study:
    """The study that TOML text describes; ``source`` is what messages call it.

    Raises:
        StudyError: as for :func:`read_study`.
    """
    text = text.replace("\r\n", "\n")
    data, place = _FORM.parse(text, source), places(text, source)
    try:
        return _study(_StudyTable.model_validate(data), Path(source).name, folder)
    except (ValidationError, Fault) as error:
        raise StudyError(_FORM.report(error, place)) from None


def _study(table: _StudyTable, name: str, folder: Path) -> Study:
    if table.mode != "grid" and table.count is None:
        raise Fault(("mode",), f"{table.mode} takes a number of points; add count")
    if table.mode == "grid" and table.count is not None:
        raise Fault(("count",), "a grid has all its points; leave this out, or set mode to random or latin")
    if not table.datasets:
        for key in ("samples", "engine", "compare", "faults"):
            if getattr(table, key) not in (None, []):
                raise Fault((key,), "nothing is simulated without datasets; add datasets, or leave this out")
    if table.engine is not None:
        _known(("engine",), table.engine, list(ENGINES))
        if table.faults and table.engine not in ("machine", "events"):
            raise Fault(("engine",), "faults are those of a machine: take machine or events, or leave this out")
    for key, known in (("place", STRATEGIES), ("buffering", BUFFERING)):
        for i, one in enumerate(getattr(table, key)):
            _known((key, i), one, list(known))
    varied = {key: values for key in VARIED if (values := getattr(table, key))}
    return Study(
        name=name,
        mode=table.mode,
        count=table.count,
        seed=table.seed,
        constraints=tuple(_condition(("constraints", i), one) for i, one in enumerate(table.constraints)),
        models=tuple(_model(("models", i), one, folder) for i, one in enumerate(table.models)),
        machines=_machines(table.machines, list(varied), folder),
        settings=tuple((key, _distinct(values)) for key, values in varied.items()),
        fan_ins=_distinct(table.max_fan_in) or (None,),
        tiles=_distinct(table.tile),
        places=_distinct(table.place) or (None,),
        buffering=_distinct(table.buffering),
        seeds=_distinct(table.seeds),
        datasets=tuple(_samples(("datasets", i), one, folder) for i, one in enumerate(table.datasets)) or (None,),
        faults=tuple(case for i, one in enumerate(table.faults) for case in _faults(("faults", i), one, folder))
        or (None,),
        samples=table.samples,
        engine=table.engine,
        compare=bool(table.compare),
    )


def _distinct(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _known(path: KeyPath, name: str, known: list[str]) -> None:
    if name not in known:
        raise Fault(path, f"there is no {show(name)}{hint(name, known)}; choose one of {', '.join(known)}")


def _condition(path: KeyPath, text: str) -> Condition:
    try:
        return condition(text)
    except StudyError as error:
        raise Fault(path, str(error)) from None


def _model(path: KeyPath, name: str, folder: Path) -> Model:
    return Model(name, *_file(path, "model", name, folder))


def _samples(path: KeyPath, name: str, folder: Path) -> Samples:
    if name.endswith(SUFFIXES):
        return Samples(name, *_file(path, "samples", name, folder))
    _known(path, name, [*NAMES, "random"])
    return Samples(name)


def _faults(path: KeyPath, name: str, folder: Path) -> list[FaultCase]:
    """Every rate of a file with every checksum."""
    file, digest = _file(path, "faults file", name, folder)
    try:
        read = read_faults(Path(file))
    except GraphsimError as error:
        raise Fault(path, str(error)) from None
    return [FaultCase(name, file, digest, rate, checksum) for rate in read.rates for checksum in read.checksums]


def _file(path: KeyPath, what: str, name: str, folder: Path) -> tuple[str, str]:
    """Where a file of a study is, absolute, and the SHA-256 (hex) of its bytes."""
    file = (folder / name).absolute()
    try:
        if file.exists() and not file.is_file():  # opening a pipe would wait for somebody to write
            raise ValueError("it is not a file")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Fault(
            path, f"cannot read the {what} {show(name, 200)} ({reason}); paths start at the study's folder"
        ) from None
    return str(file), digest


def _machines(specs: Sequence[str], varied: list[str], folder: Path) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for i, spec in enumerate(specs):
        path: KeyPath = ("machines", i)
        for one in _expanded(path, spec.strip()):
            built_in = is_topology(one) or is_made(one)
            file, settings = ("", one.split(",")[1:]) if built_in else file_and_settings(one)
            inline = {item.partition("=")[0].strip() for item in settings}
            for key in varied:
                setting = VARIED[key]
                if inline & {setting, setting.partition(".")[2]}:
                    raise Fault(path, f"{show(one)} sets {setting.partition('.')[2]}, and so does {key}; keep one")
            taken = one if built_in or not (folder / file).is_file() else str((folder / one).absolute())
            try:
                if not needs_graph(taken):
                    load_machine(taken)
            except GraphsimError as error:
                raise Fault(path, str(error)) from None
            found[one] = taken
            if len(found) > MOST_MACHINES:
                raise Fault(path, f"more than {MOST_MACHINES:,} machines; make its ranges smaller")
    return tuple(found.items())


def _expanded(path: KeyPath, spec: str) -> list[str]:
    try:
        return expanded(spec)
    except MachineError as error:
        raise Fault(path, str(error)) from None


def build_machine(spec: str, settings: Settings, graph: Graph | None = None) -> Machine:
    """A machine with settings changed on all its links, or on all nodes that compute.

    Raises:
        MachineError: there is no such machine, or it is made for a graph and there is none.
    """
    machine = load_machine(spec, graph if needs_graph(spec) else None)
    chosen: dict[str, dict[str, Any]] = {VARIED[key].split(".")[0]: {} for key, _ in settings}
    for key, value in settings:
        part, setting = VARIED[key].split(".")
        chosen[part][setting] = value
    if on_links := chosen.get("link"):
        machine = replace(machine, links=tuple(replace(link, **on_links) for link in machine.links))
    if on_nodes := chosen.get("node"):
        nodes = (replace(node, **on_nodes) if node.kind == "compute" else node for node in machine.nodes)
        machine = replace(machine, nodes=tuple(nodes))
    return machine


def machine_name(spec: str, settings: Settings) -> str:
    """A machine with settings as ``--machine`` takes it; of a file, the file and what is changed."""
    changed = [f"{VARIED[key].partition('.')[2]}={value}" for key, value in settings]
    return ",".join([spec, *changed])
