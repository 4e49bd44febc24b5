"""``graphsim run`` and ``graphsim compare``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from graphsim.cli.circuits import (
    OutputsOption,
    StimulusOption,
    VcdOption,
    check_options,
    circuit_at,
    run_circuit,
)
from graphsim.cli.common import (
    DiscretizeOption,
    DistanceOption,
    JsonOption,
    MaxFanInOption,
    OpsOption,
    PluginOption,
    TileOption,
    TopOption,
    WeightsOption,
    check_outputs,
    console_for,
    distance_of,
    load_plugins,
    operations,
    progress_bar,
    refuse_options,
    say_place,
    write_json,
)
from graphsim.cli.schedules import (
    BufferingOption,
    FrameBitsOption,
    MachineOption,
    PlacementOption,
    PlaceOption,
    hardware,
)
from graphsim.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from graphsim.graph import Graph
    from graphsim.pipeline import Data
    from graphsim.simulate.engine import Engine

#: Parameters of ``run`` that mean something for circuits.
_FOR_CIRCUITS = (
    "model",
    "machine",
    "engine",
    "samples",
    "frame_bits",
    "buffering",
    "place",
    "placement",
    "seed",
    "threads",
    "stimulus",
    "outputs",
    "vcd",
    "reference",
    "faults",
    "report",
    "top",
    "plugin",
    "json",
)
DatasetOption = Annotated[
    str,
    typer.Option(
        "--dataset",
        "-d",
        metavar="D",
        help="mnist, digits, alu or arithmetic; an .npz file with x (and y); or random, drawn for the model.",
    ),
]
BitsOption = Annotated[
    int | None,
    typer.Option("--bits", help="alu: bits of the operands. (default: 15)", min=1),
]
VectorsOption = Annotated[
    bool, typer.Option("--vectors", help="alu: operands and operation as three vectors, for attention models.")
]
OpOption = Annotated[
    str | None, typer.Option("--op", metavar="OP", help="arithmetic: add, sub, mul or div. (default: div)")
]
InputsOption = Annotated[
    int | None,
    typer.Option("--inputs", metavar="N", help="arithmetic: inputs, of which two count. (default: 2)", min=2),
]
RangeOption = Annotated[
    str | None,
    typer.Option("--range", metavar="[A,B]", help="arithmetic: the training range whose test range is drawn from."),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        "-n",
        metavar="N",
        help="How many samples, of circuits cycles. (default: all; alu 1200, arithmetic 1000, random 32, circuits 256)",
        min=1,
    ),
]


def run(
    context: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(help="Trained model or circuit. (default: the dataset's shipped model)", show_default=False),
    ] = None,
    dataset: DatasetOption = "digits",
    bits: BitsOption = None,
    ops: OpsOption = None,
    vectors: VectorsOption = False,
    op: OpOption = None,
    in_range: RangeOption = None,
    inputs: InputsOption = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="alu: then answer all calculations there are, with lanes.")
    ] = False,
    machine: MachineOption = "torus:4x4",
    frame_bits: FrameBitsOption = None,
    buffering: BufferingOption = "single",
    engine: Annotated[
        str,
        typer.Option(
            "--engine", "-e", metavar="E", help="lanes, circuit (for circuits), machine, events, frames or reference."
        ),
    ] = "lanes",
    samples: SamplesOption = None,
    place: PlaceOption = None,
    placement: PlacementOption = None,
    seed: Annotated[
        int,
        typer.Option("--seed", help="Seed of placements that use chance, and of drawn samples.", min=0, max=2**31 - 1),
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            help="Threads of the lanes engine and of runs with faults. (default: all cores)",
            min=1,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Run samples on a Dask cluster, tcp://host:port; lanes."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Run samples on so many processes here; lanes.", min=1, max=1024),
    ] = None,
    stimulus: StimulusOption = None,
    outputs: OutputsOption = None,
    vcd: VcdOption = None,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference/--no-reference", help="Compare every neuron with TensorFlow, gates with another way."
        ),
    ] = True,
    faults: Annotated[
        Path | None,
        typer.Option(
            "--faults", metavar="FILE", help="Then run with the faults of a faults.toml, in the machine engine."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Write report.json and report.html there.")
    ] = None,
    top: TopOption = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    max_fan_in: MaxFanInOption = None,
    tile: TileOption = 1,
    discretize: DiscretizeOption = False,
    distance: DistanceOption = None,
    json: JsonOption = None,
) -> None:
    """Run a trained model as a dataflow graph on simulated hardware, and check every neuron against TensorFlow.

    Lowers the model, folds it onto the machine, verifies the schedule, simulates the dataset, compares, reports.

    Examples:

        graphsim run

        graphsim run --dataset mnist --machine torus:8x8 --engine machine --report out

        graphsim run my_model.keras --dataset samples.npz --json result.json

        graphsim run my_model.keras --dataset random --no-reference

        graphsim run --dataset mnist --machine one-to-one --buffering double --frame-bits 128 --engine machine

        graphsim run --dataset alu --bits 8 --exhaustive

        graphsim run models/arithmetic/nmru_div.h5 --discretize --dataset arithmetic --op div

        graphsim run --dataset mnist --faults examples/faults/corruption.toml --report out

        graphsim run counter.blif --stimulus counter.json --vcd counter.vcd
    """
    from graphsim import pipeline
    from graphsim.report import terminal
    from graphsim.report.granularity import print_granularity
    from graphsim.report.record import run_record
    from graphsim.simulate.faults.file import read_faults

    console = console_for(json)
    load_plugins(plugin)
    if engine not in pipeline.ENGINES:
        raise UsageError(f"there is no engine {engine!r}; choose one of {', '.join(pipeline.ENGINES)}")
    check_outputs(json, outputs, vcd, report=report)
    if (circuit := circuit_at(model, top)) is not None:
        given = check_options(context, _FOR_CIRCUITS)
        run_circuit(
            console,
            circuit,
            model=model,
            stimulus=stimulus,
            outputs=outputs,
            vcd=vcd,
            machine=machine if given & {"machine", "frame_bits", "buffering"} else None,
            frame_bits=frame_bits,
            buffering=buffering,
            engine=engine if "engine" in given else None,
            samples=samples,
            place=place,
            placement=placement,
            seed=seed,
            threads=threads,
            reference=reference,
            faults=faults,
            report=report,
            json=json,
        )
        return
    for_circuits = {"stimulus": stimulus, "outputs": outputs, "vcd": vcd, "top": top}
    refuse_options("circuits, such as .blif or .aig files", for_circuits)
    data, chosen = _samples(dataset, samples, bits, ops, vectors, seed, model, op, in_range, inputs)
    pipeline.existing(chosen, "a model (.h5, .keras, .onnx, .json with --weights)")
    hardware_chosen = hardware(machine, frame_bits)
    wrong = None if faults is None else read_faults(faults)
    with _sharded(scheduler, workers, engine) as runner:
        result = pipeline.run(
            chosen,
            data,
            hardware_chosen,
            runner=runner,
            weights=weights,
            engine=engine,
            strategy=place,
            placement=placement,
            buffering=pipeline.buffering_named(buffering),
            seed=seed,
            threads=threads,
            reference=reference,
            exhaustive=exhaustive,
            faults=wrong,
            discretize=distance_of(discretize, distance),
            max_fan_in=max_fan_in,
            tile=tile,
            command=shlex.join(["graphsim", *sys.argv[1:]]),
            bar=progress_bar,
            warn=partial(terminal.print_warning, console),
        )
    terminal.print_graph(console, result.graph)
    terminal.print_schedule(console, result.graph, result.schedule)
    if result.granularity:
        print_granularity(console, result.granularity)
    terminal.print_verdict(console, result.verdict)
    terminal.print_run(console, result)
    if result.answers is not None:
        terminal.print_answers(console, result.answers)
    if result.faults is not None:
        from graphsim.report.faults import print_faults

        print_faults(console, result.faults, result.accuracy)
    record = run_record(result)
    if report is not None:
        from graphsim.report.html import write_report

        page = write_report(report, result, record)
        say_place(console, "report    ", page)
    write_json(json, record)
    if result.comparison is not None and not result.comparison.ok:
        raise CheckFailed(
            f"{result.comparison.neurons_outside_bound:,} neuron values lie outside their rounding bounds"
        )


@contextmanager
def _sharded(scheduler: str | None, workers: int | None, engine: str) -> Iterator[Callable[[Graph], Engine] | None]:
    """What makes an engine that runs samples on a cluster; None where there is to be none.

    Raises:
        UsageError: both kinds of cluster are named, or another engine than lanes.
    """
    if scheduler is None and workers is None:
        yield None
        return
    if scheduler is not None and workers is not None:
        raise UsageError("--workers: only for processes here; those of --scheduler are its own")
    if engine != "lanes":
        raise UsageError(f"--engine {engine}: samples are run on a cluster by lanes only; leave one of them out")
    from graphsim.explore.shard import ShardedEngine
    from graphsim.explore.sweep import cluster

    with cluster(scheduler, workers) as client:
        yield lambda graph: ShardedEngine(graph, client)


def compare(
    model: Annotated[Path, typer.Argument(help="Trained model: .h5, .keras, .onnx, or .json with --weights.")],
    dataset: DatasetOption = "digits",
    bits: BitsOption = None,
    ops: OpsOption = None,
    vectors: VectorsOption = False,
    op: OpOption = None,
    in_range: RangeOption = None,
    inputs: InputsOption = None,
    samples: SamplesOption = None,
    weights: WeightsOption = None,
    plugin: PluginOption = None,
    max_fan_in: MaxFanInOption = None,
    discretize: DiscretizeOption = False,
    distance: DistanceOption = None,
    json: JsonOption = None,
) -> None:
    """Compare every neuron of a model with TensorFlow, without any hardware.

    Each value is judged by its own proved rounding bound. Exit status 1 if one lies outside.

    Example:

        graphsim compare models/mnist_mlp.h5 --dataset mnist --samples 1000
    """
    from graphsim import pipeline
    from graphsim.report import terminal
    from graphsim.report.record import comparison_record

    console = console_for(json)
    load_plugins(plugin)
    check_outputs(json)
    pipeline.existing(model, "a model (.h5, .keras, .onnx, .json with --weights)")
    data, _ = _samples(dataset, samples, bits, ops, vectors, 0, model, op, in_range, inputs)
    warn = partial(terminal.print_warning, console)
    graph, chosen, comparison = pipeline.compare(
        model,
        data,
        weights=weights,
        discretize=distance_of(discretize, distance),
        max_fan_in=max_fan_in,
        bar=progress_bar,
        warn=warn,
    )
    console.print(f"{comparison.samples:,} samples of {escape(chosen.name)}")
    terminal.print_inputs(console, graph, chosen)
    terminal.print_comparison(console, comparison)
    write_json(json, {"schema_version": 1, **comparison_record(comparison)})
    if not comparison.ok:
        raise CheckFailed(f"{comparison.neurons_outside_bound:,} neuron values lie outside their rounding bounds")


def _samples(
    name: str,
    count: int | None,
    bits: int | None,
    ops: str | None,
    vectors: bool,
    seed: int,
    model: Path | None,
    op: str | None,
    in_range: str | None,
    inputs: int | None,
) -> tuple[Data, Path]:
    """The samples that the options name, and the model: the shipped one for them where none is given."""
    from graphsim.datasets import load
    from graphsim.datasets.arithmetic import load_calculations
    from graphsim.datasets.own import SUFFIXES
    from graphsim.pipeline import draw
    from graphsim.zoo import shipped, shipped_alu, shipped_arithmetic

    if name != "arithmetic":
        refuse_options(f"--dataset arithmetic, not for {name}", {"op": op, "range": in_range, "inputs": inputs})
    if name != "alu":
        refuse_options(f"--dataset alu, not for {name}", {"bits": bits, "ops": ops, "vectors": vectors or None})
    if name == "arithmetic":
        from graphsim.datasets.operations import load_operations
        from graphsim.datasets.ranges import RANGES, range_named

        operation = op or "div"
        one = RANGES[6] if in_range is None else range_named(in_range)
        return load_operations(operation, one, inputs or 2, count, seed), model or shipped_arithmetic(operation)
    if name == "random" or name.endswith(SUFFIXES):
        if model is None:
            raise UsageError(f"--dataset {name}: no model ships for it; name a model")
        return partial(draw, count=count, seed=seed) if name == "random" else load(name, limit=count), model
    if name != "alu":
        return load(name, limit=count), shipped(name) if model is None else model
    length, valid_ops = 15 if bits is None else bits, operations(ops)
    if model is None:
        model, learnt = shipped_alu(length)
        valid_ops = list(learnt) if valid_ops is None else valid_ops
    return load_calculations(length, count, seed, valid_ops, as_vectors=vectors), model
