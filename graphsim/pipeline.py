"""One way through the house: model -> graph -> schedule -> verify -> simulate -> compare -> Result."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graphsim.errors import (
    CheckFailed,
    CircuitError,
    DatasetError,
    InfeasibleError,
    MachineError,
    PlacementError,
    UsageError,
)

if TYPE_CHECKING:
    from graphsim.compare.answers import Answers
    from graphsim.compare.result import Comparison
    from graphsim.datasets import Dataset
    from graphsim.datasets.arithmetic import CalculationDataset
    from graphsim.frontends.builder import Memory
    from graphsim.frontends.circuits.stimulus import Stimulus
    from graphsim.graph import Graph
    from graphsim.machine import Machine
    from graphsim.report.circuits import CircuitResult
    from graphsim.report.result import Result
    from graphsim.report.together import Together
    from graphsim.schedule.schedule import Buffering, Schedule
    from graphsim.schedule.verify import Verdict
    from graphsim.simulate.engine import Engine, FloatArray, Keep
    from graphsim.simulate.faults import Faults

#: Engines by name, with what ``--help`` says of them.
ENGINES = {
    "lanes": "native speed, many samples side by side (default)",
    "circuit": "gates, 64 lanes in a word (default for circuits)",
    "machine": "executes the calendars tick by tick and measures period and latency",
    "events": "SimPy discrete events; slow, the timing oracle",
    "frames": "works off the calendars bit by bit; very slow, the hardware oracle",
    "reference": "one actor at a time in plain Python; slow, the value oracle",
}

#: Engines that execute calendars.
TIMED = ("machine", "events", "frames")
#: Values of a circuit's run that are kept for all gates; of longer runs only the outputs are.
_HELD = 1 << 27

#: A machine, or what makes one for a graph.
Hardware: TypeAlias = "Machine | Callable[[Graph], Machine]"

#: Samples, or what makes them for a graph.
Data: TypeAlias = "Dataset | Callable[[Graph], Dataset]"

#: Opens a progress bar: (description, total) -> context manager that yields a callback of the count done.
Bar = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


#: Tells the user something that stops nothing.
Warn = Callable[[str], None]


def _ignored(warning: str) -> None:
    pass


def machine_for(hardware: Hardware, graph: Graph) -> Machine:
    """The machine itself, made for the graph if need be.

    Raises:
        MachineError: it cannot be made for this graph.
    """
    return hardware(graph) if callable(hardware) else hardware


def buffering_named(name: str) -> Buffering:
    """The kind of buffering of that name.

    Raises:
        UsageError: there is none.
    """
    from graphsim.schedule import BUFFERING

    for known in BUFFERING:
        if name == known:
            return known
    raise UsageError(f"there is no buffering {name!r}; choose one of {', '.join(BUFFERING)}")


def existing(path: Path, what: str) -> Path:
    """The path, if it is a file.

    Raises:
        UsageError: it is not; the message says what was expected.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file; expected {what}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a file (a pipe or a device)"
        raise UsageError(f"{path}: is {kind}; expected {what}")
    return path


def load_graph(
    path: Path,
    weights: Path | None = None,
    top: str | None = None,
    warn: Warn = _ignored,
    discretize: float | None = None,
) -> Graph:
    """A graph from a .gsim file, or lowered from a model or circuit file as :func:`lower` does.

    Raises:
        GraphError, ModelError, UsageError: the file cannot be used.
    """
    existing(path, "a .gsim graph, a model (.h5, .keras, .onnx, .json with --weights) or a circuit (.blif, .aig, ...)")
    if path.suffix == ".fold":
        raise UsageError(f"{path}: is a schedule; give the graph (.gsim) or the model that it was folded from")
    if path.suffix == ".gsim":
        from graphsim.graph.store import load

        if discretize is not None:
            raise UsageError(f"{path}: is a graph already; give --discretize where the model is lowered")
        return load(path)
    return lower(path, weights, top=top, warn=warn, discretize=discretize)


def save_graph(graph: Graph, path: Path) -> None:
    """Write a graph as .gsim, or a circuit in the format of circuits that the suffix names.

    Raises:
        UsageError: the suffix names a format of circuits, and the graph is not one of gates.
    """
    from graphsim.frontends.circuits import can_write, write
    from graphsim.graph.circuit import is_circuit, of_graph
    from graphsim.graph.store import save

    if not can_write(path):
        save(graph, path)
    elif is_circuit(graph):
        write(of_graph(graph), path)
    else:
        raise UsageError(f"{path}: {graph.name} is not a circuit; a graph of neurons is written as .gsim")


def lower(
    path: Path,
    weights: Path | None = None,
    max_memory: int | None = None,
    top: str | None = None,
    warn: Warn = _ignored,
    discretize: float | None = None,
) -> Graph:
    """A graph lowered from a model file: Keras, or ONNX (``.onnx``).

    Or from a circuit file, of which ``top`` is the model or module that is meant, where it has several.

    What would take more than ``max_memory`` bytes is refused before it is built. Where that is None, ``warn`` is told
    what would take more than half of this machine's memory, and what would take more than all of it is refused.

    ``discretize``: the weights of arithmetic modules are rounded to the whole numbers that they converge to, none of
    them by more than this (:func:`graphsim.frontends.keras.lower`).

    Raises:
        ModelError, UsageError: the file cannot be used.
    """
    if discretize is not None and (is_circuit_file(path) or path.suffix == ".onnx"):
        raise UsageError(f"{path}: --discretize is for arithmetic modules, which are layers of Keras models")
    if is_circuit_file(path):
        from graphsim.frontends.circuits import read
        from graphsim.graph.circuit import to_graph

        if weights is not None:
            raise UsageError(f"{path}: is a circuit, which has no weights; leave out --weights")
        circuit = read(path, top)
        if not circuit.output_names:
            raise CircuitError(
                str(path), None, f"circuit {circuit.name!r} has no outputs, so that nothing is to be run"
            )
        return to_graph(circuit)
    if top is not None:
        raise UsageError(f"{path}: is not a circuit; --top names the model or module of a circuit file")
    if path.suffix == ".onnx":
        from graphsim.frontends.onnx import lower as lower_onnx

        if weights is not None:
            raise UsageError(f"{path}: an ONNX file has its weights in it; leave out --weights")
        return lower_onnx(path, memory=_memory(max_memory, warn))
    from graphsim.frontends.keras import lower as lower_keras

    return lower_keras(path, weights, memory=_memory(max_memory, warn), discretize=discretize)


def split_neurons(graph: Graph, max_fan_in: int | None) -> Graph:
    """The graph with sums of at most so many terms (:mod:`graphsim.passes.fan_in`); itself where that is None.

    Raises:
        UsageError: that is below 2.
    """
    if max_fan_in is None:
        return graph
    from graphsim.passes import SplitFanIn

    return SplitFanIn(max_fan_in)(graph)


def is_circuit_file(path: Path) -> bool:
    """Whether a file is read as a circuit."""
    from graphsim.frontends.circuits import format_of

    return format_of(path) is not None


def own_classes() -> dict[str, Any]:
    """Classes of layers that are not Keras's, by name, which plugins bring for TensorFlow."""
    from graphsim.frontends.keras.plugins import keras_objects

    return keras_objects()


def _memory(most: int | None, warn: Warn) -> Memory:
    from graphsim.frontends.builder import ANY_MEMORY, Memory

    if most is not None:
        return Memory(most)
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a machine that does not say
        return ANY_MEMORY
    return Memory(there, there // 2, warn)


def default_engine(graph: Graph) -> str:
    """The engine that runs such a graph fastest."""
    from graphsim.graph.circuit import is_circuit

    return "circuit" if is_circuit(graph) else "lanes"


def make_engine(name: str, graph: Graph, schedule: Schedule | None, threads: int | None = None) -> Engine:
    """The engine of that name, ready to run; those that execute calendars need a schedule.

    Raises:
        UsageError: there is no such engine, or it needs a schedule and has none.
    """
    if name == "lanes":
        from graphsim.simulate.lanes import LanesEngine

        return LanesEngine(graph, threads=threads)
    if name == "circuit":
        from graphsim.simulate.circuit import CircuitEngine

        return CircuitEngine(graph, threads=threads)
    if name in TIMED:
        if schedule is None:
            raise UsageError(f"the {name} engine executes a schedule; name a machine with --machine")
        if name == "machine":
            from graphsim.simulate.machine import MachineEngine

            return MachineEngine(graph, schedule)
        if name == "frames":
            from graphsim.simulate.frames import FramesEngine

            return FramesEngine(graph, schedule)
        from graphsim.simulate.events import EventsEngine

        return EventsEngine(graph, schedule)
    if name == "reference":
        from graphsim.simulate.reference import ReferenceEngine

        return ReferenceEngine(graph)
    raise UsageError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")


def check_comparable(model: Path) -> None:
    """Raise UsageError for what TensorFlow cannot read."""
    if model.suffix == ".gsim":
        raise UsageError(
            f"{model}: a .gsim graph cannot be compared, as TensorFlow reads Keras models; give the model, or use "
            "graphsim run --no-reference"
        )


def samples_for(data: Data, graph: Graph) -> Dataset:
    """The samples themselves, made for the graph if need be."""
    return data(graph) if callable(data) else data


def inputs_of(dataset: Dataset) -> tuple[FloatArray, ...]:
    """The samples of each input, in order: float32 (N, *shape)."""
    return dataset.inputs if isinstance(dataset.inputs, tuple) else (dataset.inputs,)


def draw(graph: Graph, count: int | None = None, seed: int = 0) -> Dataset:
    """Samples for any graph, 32 where ``count`` is None (:func:`graphsim.simulate.samples.random_samples`)."""
    from graphsim.datasets.own import ArrayDataset
    from graphsim.simulate.samples import random_samples

    arrays = random_samples(graph, 32 if count is None else count, seed)
    return ArrayDataset(
        name="random",
        split="drawn",
        inputs=arrays if len(arrays) > 1 else arrays[0],
        labels=None,
        source=f"NumPy's default generator, seed {seed}",
        prepared="drawn, even over the range that the model states, or standard normal",
    )


def check_dataset(graph: Graph, dataset: Dataset) -> None:
    """Raise DatasetError unless the samples fit the graph's input."""
    from graphsim.simulate.engine import input_groups

    choose = "another --dataset: an .npz file of your own, or random"
    if dataset.name == "alu":
        choose = f"other --bits, --vectors or {choose}"
    groups, arrays = [graph.groups[number] for number in input_groups(graph)], inputs_of(dataset)
    if len(groups) != len(arrays):
        has = "one" if len(arrays) == 1 else str(len(arrays))
        raise DatasetError(
            f"{graph.name} takes {len(groups)} inputs; dataset {dataset.name} has {has}; choose {choose}"
        )
    for group, array in zip(groups, arrays, strict=True):
        if int(np.prod(array.shape[1:])) != group.size:
            which = "" if len(groups) == 1 else f" at {group.name}"
            raise DatasetError(
                f"{graph.name} takes samples of shape {group.shape}{which}; dataset {dataset.name} has "
                f"{array.shape[1:]}; choose {choose}"
            )


def run_circuit(
    graph: Graph,
    stimulus: Stimulus,
    *,
    machine: Hardware | None = None,
    engine: str | None = None,
    strategy: str | None = None,
    placement: Path | None = None,
    buffering: Buffering = "single",
    seed: int = 0,
    threads: int | None = None,
    reference: bool = True,
    faults: Faults | None = None,
    command: str = "",
    bar: Bar | None = None,
    warn: Warn = _ignored,
) -> CircuitResult:
    """Run a circuit; fold it onto ``machine`` first, if there is one, and verify the schedule.

    ``reference`` compares every gate and register in every cycle with an independent evaluation (outputs alone, where
    that would be too many values to hold). ``faults``, which need a machine: see :func:`run`; its inputs are those of
    the stimulus, a sample a clock cycle. ``warn`` is told of engines that will take long.

    Raises:
        GraphsimError: whatever input is unusable. CheckFailed: the verifier rejects the schedule (nothing is run then).
    """
    from graphsim.compare.logic import judge_outputs, judge_run
    from graphsim.graph.circuit import of_graph
    from graphsim.report.circuits import CircuitResult
    from graphsim.schedule import fold
    from graphsim.schedule.verify import verify

    bars = bar or _no_bar
    seconds: dict[str, float] = {}
    circuit = of_graph(graph)
    name = engine or default_engine(graph)
    if (slow := _takes_long(name, graph.actor_count * stimulus.cycles)) is not None:
        warn(slow)
    schedule = verdict = None
    if machine is not None:
        with _timed(seconds, "fold"), bars("folding", None):
            made = machine_for(machine, graph)
            schedule = fold(graph, made, strategy=strategy, placement=placement, buffering=buffering, seed=seed)
        with _timed(seconds, "verify"):
            verdict = verify(graph, schedule)
        _check_verdict(verdict)
    if faults is not None:
        from graphsim.simulate.faults import plan_faults

        if schedule is None:
            raise UsageError("faults are those of a machine; name one (--machine)")
        plan_faults(faults, graph, schedule)
        if stimulus.cycles * graph.actor_count > _HELD:
            raise UsageError(
                f"--faults compares every gate in every cycle: {stimulus.cycles:,} cycles of {graph.actor_count:,} "
                f"actors are more than the {_HELD:,} values that are held; take fewer cycles (--samples)"
            )
    with _timed(seconds, "prepare"), bars("preparing the engine (compiles native code the first time)", None):
        chosen = make_engine(name, graph, schedule, threads)
    width = max(1, circuit.input_count)  # a circuit without inputs gets one that nobody reads
    samples = np.zeros((stimulus.cycles, width), np.float32)
    samples[:, : circuit.input_count] = stimulus.inputs
    keep: Keep = "all" if samples.shape[0] * graph.actor_count <= _HELD else "outputs"
    with _timed(seconds, "simulate"), bars("simulating", stimulus.cycles) as done:
        ran = chosen.run(samples, keep=keep, progress=done)
    judgement = None
    if reference:
        with _timed(seconds, "compare"):
            judgement = judge_run(circuit, stimulus.inputs, ran.values)
    outputs = ran.values["output"].astype(np.uint8)
    expected = judge_outputs(circuit, outputs, stimulus.expected, stimulus.known)
    damage = None
    if faults is not None and schedule is not None:
        from graphsim.simulate.faults.damage import sweep

        with _timed(seconds, "faults"):
            used = "events" if name == "events" else "machine"
            damage = sweep(faults, graph, schedule, samples, ran, engine=used, bar=bars)
    return CircuitResult(
        command, graph, circuit, stimulus, ran, judgement, expected, schedule, verdict, seconds, damage
    )


def together(
    applications: Mapping[str, Graph],
    machine: Hardware,
    *,
    samples: int = 100,
    engine: str = "machine",
    strategy: str | None = None,
    buffering: Buffering = "single",
    seed: int = 0,
    threads: int | None = None,
    command: str = "",
    bar: Bar | None = None,
) -> Together:
    """Fold several applications onto one machine at one period, run random samples of all at once, and compare each
    with a run of its own; and fold each onto the machine alone.

    ``seed`` is that of the samples and of placements that use chance. Machines that are made for a graph are made for
    each application that is alone.

    Raises:
        GraphsimError: whatever input is unusable; an application, or all of them together, do not fit.
        CheckFailed: the verifier rejects the schedule (nothing is run then).
    """
    from graphsim.graph.union import beside, union
    from graphsim.report.isolation import isolation
    from graphsim.report.together import Application, Together, unequal
    from graphsim.schedule import fold
    from graphsim.schedule.verify import verify
    from graphsim.simulate.samples import random_samples

    if engine not in TIMED:
        raise UsageError(
            f"{engine!r} runs no schedules, which keep applications apart; choose one of {', '.join(TIMED)}"
        )
    bars = bar or _no_bar
    seconds: dict[str, float] = {}
    both = union(applications)
    with _timed(seconds, "fold_alone"), bars("folding each alone", None):
        alone = [_fold_alone(name, graph, machine, strategy, buffering, seed) for name, graph in applications.items()]
    with _timed(seconds, "fold"), bars("folding all together", None):
        schedule = fold(both.graph, machine_for(machine, both.graph), strategy=strategy, buffering=buffering, seed=seed)
    with _timed(seconds, "verify"):
        verdict = verify(both.graph, schedule)
    _check_verdict(verdict)
    given = [random_samples(graph, samples, seed + number) for number, graph in enumerate(both.parts)]
    with _timed(seconds, "prepare"), bars("preparing the engines (compiles native code the first time)", None):
        chosen = make_engine(engine, both.graph, schedule, threads)
        others = [make_engine(default_engine(graph), graph, None, threads) for graph in both.parts]
    with _timed(seconds, "simulate"), bars("simulating", samples) as done:
        ran = chosen.run(beside(given), keep="outputs", progress=done)
    with _timed(seconds, "simulate_alone"):
        solos = [one.run(inputs, keep="outputs") for one, inputs in zip(others, given, strict=True)]
    assert ran.timing is not None
    found = []
    for number, (name, graph) in enumerate(applications.items()):
        timing = ran.timing.between(both.sources(number), both.sinks(number))
        compared = unequal(both.own(number, ran.values), solos[number].values)
        found.append(Application(name, graph, alone[number], solos[number], timing, *compared))
    return Together(command, both, schedule, verdict, isolation(both, schedule), ran, tuple(found), seconds)


def _fold_alone(
    name: str, graph: Graph, machine: Hardware, strategy: str | None, buffering: Buffering, seed: int
) -> Schedule:
    """An application's schedule with the machine to itself; an error names the application."""
    from graphsim.schedule import fold

    try:
        return fold(graph, machine_for(machine, graph), strategy=strategy, buffering=buffering, seed=seed)
    except (InfeasibleError, MachineError, PlacementError) as error:
        raise type(error)(f"application {name}, even alone on the machine: {error}") from error


def _check_verdict(verdict: Verdict) -> None:
    if not verdict.ok:
        raise CheckFailed(
            f"the schedule breaks {verdict.violation_count} rules; the first: {verdict.violations[0].message}"
        )


def _checked_samples(data: Data, graph: Graph, warn: Warn) -> Dataset:
    dataset = samples_for(data, graph)
    check_dataset(graph, dataset)
    if (remark := remark_on_range(graph, dataset)) is not None:
        warn(remark)
    return dataset


def remark_on_range(graph: Graph, dataset: Dataset) -> str | None:
    """One line where samples lie far outside of the range that the graph's notes state for its input, or fill almost
    none of a range that the model itself brings to the size of 1; else None.
    """
    from graphsim.simulate.engine import input_groups
    from graphsim.simulate.samples import stated_ranges

    fed = {graph.groups[g].layer: array for g, array in zip(input_groups(graph), inputs_of(dataset), strict=True)}
    for name, least, greatest, why in stated_ranges(graph):
        span = greatest - least
        low, high = float(np.min(fed[name])), float(np.max(fed[name]))
        is_far = low < least - span or high > greatest + span
        is_small = why in ("Rescaling", "Normalization") and high - low < span / 50
        if is_far or is_small:
            return (
                f"{dataset.name} has values from {low:.4g} to {high:.4g} ({dataset.prepared}), and {name} expects"
                f" {least:.4g} to {greatest:.4g} (by its {why}): were they prepared as for training?"
            )
    return None


def run(
    model: Path,
    data: Data,
    machine: Hardware,
    *,
    weights: Path | None = None,
    engine: str = "lanes",
    strategy: str | None = None,
    placement: Path | None = None,
    buffering: Buffering = "single",
    seed: int = 0,
    threads: int | None = None,
    reference: bool = True,
    exhaustive: bool = False,
    faults: Faults | None = None,
    discretize: float | None = None,
    max_fan_in: int | None = None,
    tile: int = 1,
    runner: Callable[[Graph], Engine] | None = None,
    command: str = "",
    bar: Bar | None = None,
    warn: Warn = _ignored,
) -> Result:
    """Lower ``model``, fold it onto ``machine``, verify the schedule, run ``data`` and compare with the reference.

    ``warn`` is called with what :func:`lower` and :func:`remark_on_range` say, before anything is run.
    ``exhaustive`` is for calculations: ``data`` are run and compared neuron by neuron, and then all calculations
    there are go through the same graph in the lanes engine, and through the reference, for their results alone.
    ``discretize``: see :func:`lower`; the reference has the rounded weights, too.
    ``runner``: makes the engine, in the place of ``engine``.
    ``max_fan_in``: see :func:`split_neurons`; the reference is judged by the graph before. ``tile``: see
    :func:`graphsim.schedule.fold`. With either of them whole neurons are folded one by one, too, to compare.
    ``faults``: run the samples with them as well, in the machine engine, or in ``events`` if that is the engine.

    Raises:
        GraphsimError: whatever input is unusable. CheckFailed: the verifier rejects the schedule (nothing is run then).
    """
    from graphsim.compare.answers import answers_of_run, result_group
    from graphsim.report.granularity import grains
    from graphsim.report.result import Result
    from graphsim.schedule import fold
    from graphsim.schedule.verify import verify

    bars = bar or _no_bar
    if reference:
        check_comparable(model)
    seconds: dict[str, float] = {}
    with _timed(seconds, "lower"):
        whole = load_graph(model, weights, warn=warn, discretize=discretize)
        graph = split_neurons(whole, max_fan_in)
    split_from = None if graph is whole else whole
    dataset = _checked_samples(data, graph, warn)
    calculations = _calculations(dataset, exhaustive)
    if calculations is not None:
        result_group(graph, calculations)
    with _timed(seconds, "fold"), bars("folding", None):
        made = machine_for(machine, graph)
        how: dict[str, Any] = {"strategy": strategy, "placement": placement, "seed": seed}
        schedule = fold(graph, made, buffering=buffering, tile=tile, **how)
    with _timed(seconds, "verify"):
        verdict = verify(graph, schedule)
    _check_verdict(verdict)
    granularity = {}
    if graph is not whole or tile != 1:
        with bars("folding whole neurons one by one, to compare", None):
            granularity = grains(whole, graph, schedule, machine_for(machine, whole), **how)
    if faults is not None:
        from graphsim.simulate.faults import plan_faults

        plan_faults(faults, graph, schedule)  # names that are not there are told before anything is run
    with _timed(seconds, "prepare"), bars("preparing the engine (compiles native code the first time)", None):
        chosen = make_engine(engine, graph, schedule, threads) if runner is None else runner(graph)
    with _timed(seconds, "simulate"), bars("simulating", len(dataset)) as done:
        # Answers are read off the outputs; every neuron is only looked at to be compared.
        keep: Keep = "all" if reference or faults is not None else "outputs"
        ran = chosen.run(dataset.inputs, keep=keep, progress=done)
    comparison = None
    if reference:
        from graphsim.compare.compare import compare_with_reference

        with _timed(seconds, "compare"), bars("comparing", len(dataset)) as done:
            comparison = compare_with_reference(
                graph, model, weights, dataset, ran, progress=done, own=own_classes(), whole=split_from
            )
    answers = None
    if calculations is not None:
        answers = answers_of_run(graph, calculations, ran, comparison)
        if exhaustive:
            with _timed(seconds, "exhaustive"):
                answers = _every_answer(graph, model, weights, calculations, threads, reference, bars)
    damage = None
    if faults is not None:
        from graphsim.simulate.faults.damage import sweep

        used = "events" if engine == "events" else "machine"
        with _timed(seconds, "faults"):
            damage = sweep(faults, graph, schedule, dataset.inputs, ran, labels=dataset.labels, engine=used, bar=bars)
    return Result(
        command, model, graph, schedule, verdict, dataset, ran, comparison, seconds, answers, damage, granularity
    )


def _calculations(dataset: Dataset, exhaustive: bool) -> CalculationDataset | None:
    from graphsim.datasets.arithmetic import CalculationDataset, check_every

    if isinstance(dataset, CalculationDataset):
        if exhaustive:
            check_every(dataset.calculations.bits, dataset.valid_ops)
        return dataset
    if exhaustive:
        raise UsageError(f"--exhaustive goes through all calculations of --dataset alu; {dataset.name} has none")
    return None


def _every_answer(
    graph: Graph,
    model: Path,
    weights: Path | None,
    dataset: CalculationDataset,
    threads: int | None,
    reference: bool,
    bars: Bar,
) -> Answers:
    from graphsim.compare.answers import answer
    from graphsim.compare.reference import TensorFlowReference
    from graphsim.datasets.arithmetic import every_calculation
    from graphsim.simulate.lanes import LanesEngine

    whole = every_calculation(dataset.calculations.bits, dataset.valid_ops, as_vectors=dataset.as_vectors)
    theirs = TensorFlowReference(model, weights) if reference else None
    with bars("all calculations", len(whole)) as done:
        return answer(LanesEngine(graph, threads=threads), graph, whole, theirs, progress=done)


def compare(
    model: Path,
    data: Data,
    *,
    weights: Path | None = None,
    discretize: float | None = None,
    max_fan_in: int | None = None,
    bar: Bar | None = None,
    warn: Warn = _ignored,
) -> tuple[Graph, Dataset, Comparison]:
    """Compare every neuron with the reference, values only, in the lanes engine. Graph and samples come with it.

    ``discretize``, ``max_fan_in``, ``warn``: see :func:`run`.

    Raises:
        GraphsimError: whatever input is unusable.
    """
    from graphsim.compare.compare import compare_with_reference
    from graphsim.simulate.lanes import LanesEngine

    bars = bar or _no_bar
    check_comparable(model)
    whole = load_graph(model, weights, warn=warn, discretize=discretize)
    graph = split_neurons(whole, max_fan_in)
    split_from = None if graph is whole else whole
    dataset = _checked_samples(data, graph, warn)
    with bars("preparing the engine (compiles native code the first time)", None):
        engine = LanesEngine(graph)
    ran = engine.run(dataset.inputs, keep="all")
    with bars("comparing", len(dataset)) as done:
        found = compare_with_reference(
            graph, model, weights, dataset, ran, progress=done, own=own_classes(), whole=split_from
        )
    return graph, dataset, found


#: Firings of gates a second, roughly, of engines that are there to be believed and not to be fast; and seconds from
#: which on it is said.
_RATES = {"events": 3_000, "frames": 6_000, "reference": 60_000}
_LONG = 100


def _takes_long(engine: str, firings: int) -> str | None:
    """What to say of an engine that will take long for so many firings of gates; None: it will not."""
    rate = _RATES.get(engine, math.inf)
    seconds = firings / rate
    if seconds < _LONG:
        return None
    took = f"{seconds / 60:,.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:,.0f} hours"
    faster = "circuit" if engine == "reference" else "machine"
    return (
        f"the {engine} engine fires about {rate:,} gates a second, and has {firings:,} to fire: about {took};"
        f" --engine {faster} gives the same values much sooner, --samples runs fewer cycles"
    )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


@contextmanager
def _no_bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda done: None
