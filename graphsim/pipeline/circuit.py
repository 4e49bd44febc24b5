"""Circuits: folded, verified, run cycle by cycle, and judged by an independent evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphsim.errors import UsageError
from graphsim.pipeline.engines import default_engine, make_engine, takes_long
from graphsim.pipeline.stages import folded, ignored, no_bar, timed

if TYPE_CHECKING:
    from graphsim.frontends.circuits.stimulus import Stimulus
    from graphsim.graph import Graph
    from graphsim.pipeline.stages import Bar, Hardware, Warn
    from graphsim.report.circuits import CircuitResult
    from graphsim.schedule.schedule import Buffering
    from graphsim.simulate.engine import Keep
    from graphsim.simulate.faults import Faults

#: Values of a circuit's run that are kept for all gates; of longer runs only the outputs are.
_HELD = 1 << 27


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
    warn: Warn = ignored,
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

    bars = bar or no_bar
    seconds: dict[str, float] = {}
    circuit = of_graph(graph)
    if not circuit.output_names:
        raise UsageError(f"circuit {circuit.name!r} has no outputs, so that nothing is to be run")
    name = engine or default_engine(graph)
    if (slow := takes_long(name, graph.actor_count * stimulus.cycles)) is not None:
        warn(slow)
    schedule = verdict = None
    if machine is not None:
        how: dict[str, Any] = {"strategy": strategy, "placement": placement, "buffering": buffering, "seed": seed}
        schedule, verdict = folded(graph, machine, seconds, bars, **how)
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
    with timed(seconds, "prepare"), bars("preparing the engine (compiles native code the first time)", None):
        chosen = make_engine(name, graph, schedule, threads)
    width = max(1, circuit.input_count)  # a circuit without inputs gets one that nobody reads
    samples = np.zeros((stimulus.cycles, width), np.float32)
    samples[:, : circuit.input_count] = stimulus.inputs
    keep: Keep = "all" if samples.shape[0] * graph.actor_count <= _HELD else "outputs"
    with timed(seconds, "simulate"), bars("simulating", stimulus.cycles) as done:
        ran = chosen.run(samples, keep=keep, progress=done)
    judgement = None
    if reference:
        with timed(seconds, "compare"), bars("comparing (compiles native code the first time)", None):
            judgement = judge_run(circuit, stimulus.inputs, ran.values)
    outputs = ran.values["output"].astype(np.uint8)
    expected = judge_outputs(circuit, outputs, stimulus.expected, stimulus.known)
    damage = None
    if faults is not None and schedule is not None:
        from graphsim.simulate.faults.damage import sweep

        with timed(seconds, "faults"):
            used = "events" if name == "events" else "machine"
            damage = sweep(faults, graph, schedule, samples, ran, engine=used, threads=threads, bar=bars)
    return CircuitResult(
        command, graph, circuit, stimulus, ran, judgement, expected, schedule, verdict, seconds, damage
    )
