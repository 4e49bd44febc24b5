"""Networks: lowered, folded, verified, run, and compared with the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsim.errors import UsageError
from graphsim.pipeline.engines import make_engine
from graphsim.pipeline.loading import load_graph, own_classes, split_neurons
from graphsim.pipeline.samples import checked_samples
from graphsim.pipeline.stages import folded, ignored, machine_for, no_bar, timed

if TYPE_CHECKING:
    from graphsim.compare.answers import Answers
    from graphsim.compare.result import Comparison
    from graphsim.datasets import Dataset
    from graphsim.datasets.arithmetic import CalculationDataset
    from graphsim.graph import Graph
    from graphsim.pipeline.samples import Data
    from graphsim.pipeline.stages import Bar, Hardware, Warn
    from graphsim.report.result import Result
    from graphsim.schedule.schedule import Buffering
    from graphsim.simulate.engine import Engine, Keep
    from graphsim.simulate.faults import Faults


def check_comparable(model: Path) -> None:
    """Raise UsageError for what TensorFlow cannot read."""
    if model.suffix == ".gsim":
        raise UsageError(
            f"{model}: a .gsim graph cannot be compared, as TensorFlow reads Keras models; give the model, or use "
            "graphsim run --no-reference"
        )


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
    warn: Warn = ignored,
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

    bars = bar or no_bar
    if reference:
        check_comparable(model)
    seconds: dict[str, float] = {}
    with timed(seconds, "lower"):
        whole = load_graph(model, weights, warn=warn, discretize=discretize)
        graph = split_neurons(whole, max_fan_in)
    split_from = None if graph is whole else whole
    dataset = checked_samples(data, graph, warn)
    calculations = _calculations(dataset, exhaustive)
    if calculations is not None:
        result_group(graph, calculations)
    how: dict[str, Any] = {"strategy": strategy, "placement": placement, "seed": seed}
    schedule, verdict = folded(graph, machine, seconds, bars, buffering=buffering, tile=tile, **how)
    granularity = {}
    if graph is not whole or tile != 1:
        with bars("folding whole neurons one by one, to compare", None):
            granularity = grains(whole, graph, schedule, machine_for(machine, whole), **how)
    if faults is not None:
        from graphsim.simulate.faults import plan_faults

        plan_faults(faults, graph, schedule)  # names that are not there are told before anything is run
    with timed(seconds, "prepare"), bars("preparing the engine (compiles native code the first time)", None):
        chosen = make_engine(engine, graph, schedule, threads) if runner is None else runner(graph)
    with timed(seconds, "simulate"), bars("simulating", len(dataset)) as done:
        # Answers are read off the outputs; every neuron is only looked at to be compared.
        keep: Keep = "all" if reference or faults is not None else "outputs"
        ran = chosen.run(dataset.inputs, keep=keep, progress=done)
    comparison = None
    if reference:
        from graphsim.compare.compare import compare_with_reference

        with timed(seconds, "compare"), bars("comparing", len(dataset)) as done:
            comparison = compare_with_reference(
                graph, model, weights, dataset, ran, progress=done, own=own_classes(), whole=split_from
            )
    answers = None
    if calculations is not None:
        answers = answers_of_run(graph, calculations, ran, comparison)
        if exhaustive:
            with timed(seconds, "exhaustive"):
                answers = _every_answer(graph, model, weights, calculations, threads, reference, bars)
    damage = None
    if faults is not None:
        from graphsim.simulate.faults.damage import sweep

        used = "events" if engine == "events" else "machine"
        with timed(seconds, "faults"):
            damage = sweep(
                faults,
                graph,
                schedule,
                dataset.inputs,
                ran,
                labels=dataset.labels,
                engine=used,
                threads=threads,
                bar=bars,
            )
    return Result(
        command, model, graph, schedule, verdict, dataset, ran, comparison, seconds, answers, damage, granularity
    )


def compare(
    model: Path,
    data: Data,
    *,
    weights: Path | None = None,
    discretize: float | None = None,
    max_fan_in: int | None = None,
    bar: Bar | None = None,
    warn: Warn = ignored,
) -> tuple[Graph, Dataset, Comparison]:
    """Compare every neuron with the reference, values only, in the lanes engine. Graph and samples come with it.

    ``discretize``, ``max_fan_in``, ``warn``: see :func:`run`.

    Raises:
        GraphsimError: whatever input is unusable.
    """
    from graphsim.compare.compare import compare_with_reference
    from graphsim.simulate.lanes import LanesEngine

    bars = bar or no_bar
    check_comparable(model)
    whole = load_graph(model, weights, warn=warn, discretize=discretize)
    graph = split_neurons(whole, max_fan_in)
    split_from = None if graph is whole else whole
    dataset = checked_samples(data, graph, warn)
    with bars("preparing the engine (compiles native code the first time)", None):
        engine = LanesEngine(graph)
    ran = engine.run(dataset.inputs, keep="all")
    with bars("comparing", len(dataset)) as done:
        found = compare_with_reference(
            graph, model, weights, dataset, ran, progress=done, own=own_classes(), whole=split_from
        )
    return graph, dataset, found


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
