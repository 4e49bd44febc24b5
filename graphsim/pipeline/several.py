"""Several applications on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphsim.errors import InfeasibleError, MachineError, PlacementError, UsageError
from graphsim.pipeline.engines import TIMED, default_engine, make_engine
from graphsim.pipeline.stages import folded, machine_for, no_bar, timed

if TYPE_CHECKING:
    from graphsim.graph import Graph
    from graphsim.pipeline.stages import Bar, Hardware
    from graphsim.report.together import Together
    from graphsim.schedule.schedule import Buffering, Schedule


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
    from graphsim.simulate.samples import random_samples

    if engine not in TIMED:
        raise UsageError(
            f"{engine!r} runs no schedules, which keep applications apart; choose one of {', '.join(TIMED)}"
        )
    bars = bar or no_bar
    seconds: dict[str, float] = {}
    both = union(applications)
    with timed(seconds, "fold_alone"), bars("folding each alone", None):
        alone = [_fold_alone(name, graph, machine, strategy, buffering, seed) for name, graph in applications.items()]
    how: dict[str, Any] = {"strategy": strategy, "buffering": buffering, "seed": seed}
    schedule, verdict = folded(both.graph, machine, seconds, bars, what="folding all together", **how)
    given = [random_samples(graph, samples, seed + number) for number, graph in enumerate(both.parts)]
    with timed(seconds, "prepare"), bars("preparing the engines (compiles native code the first time)", None):
        chosen = make_engine(engine, both.graph, schedule, threads)
        others = [make_engine(default_engine(graph), graph, None, threads) for graph in both.parts]
    with timed(seconds, "simulate"), bars("simulating", samples) as done:
        ran = chosen.run(beside(given), keep="outputs", progress=done)
    with timed(seconds, "simulate_alone"):
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
