"""``graphsim fetch`` and ``graphsim train``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from graphsim.cli.common import (
    JsonOption,
    OpsOption,
    byte_bars,
    check_outputs,
    console_for,
    operations,
    progress_bar,
    refuse_options,
    say_place,
    write_json,
)
from graphsim.errors import UsageError
from graphsim.zoo.nalu.tasks import TASKS as NALU_TASKS


def fetch(
    dataset: Annotated[str, typer.Argument(help="mnist.")],
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror", metavar="URL|PATH", help="Take the files from here. (default: public mirrors in turn)"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is already there.")] = False,
    json: JsonOption = None,
) -> None:
    """Download a dataset into the user's cache folder; every file is verified by its SHA-256.

    Examples:

        graphsim fetch mnist

        graphsim fetch mnist --mirror /media/usb/mnist
    """
    from graphsim.datasets.download import fetch_mnist

    if dataset != "mnist":
        raise UsageError(f"nothing to fetch for {dataset!r}; mnist is the only dataset that is downloaded")
    console = console_for(json)
    with byte_bars() as report:
        folder = fetch_mnist(mirror, force, progress=report)
    say_place(console, "mnist is in", folder)
    write_json(json, {"schema_version": 1, "dataset": "mnist", "folder": str(folder)})


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="mnist, mnist-cnn, mnist-gates, digits, life, checkerboard, alu8, alu15; or alu or arithmetic with "
            f"options as below; or a task of the NALU's: {', '.join(f'nalu-{name}' for name in NALU_TASKS)}."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "--out", "-o", metavar="DIR", help="Where the model goes. (default: out/train/RECIPE)"
        ),
    ] = None,
    bits: Annotated[int | None, typer.Option("--bits", help="alu: bits of the operands. (default: 15)", min=1)] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant", help="alu: minimal, medium, large, residual, residual-wide or attention. (default: residual)"
        ),
    ] = None,
    units: Annotated[int | None, typer.Option("--units", help="alu: width of the net.", min=1)] = None,
    depth: Annotated[int | None, typer.Option("--depth", help="alu: blocks of the net.", min=1)] = None,
    ops: OpsOption = None,
    tuning: Annotated[
        int | None, typer.Option("--tuning", help="alu: most epochs on the hardest calculations.", min=0)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed. (default: the recipe's)", min=0)] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs. (default: the recipe's)", min=1)] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Stop training after so many, wherever that is.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="H5", help="Start from these weights, not from random ones.")
    ] = None,
    export_weights: Annotated[
        Path | None, typer.Option("--export-weights", metavar="H5", help="Also write the weights alone (.weights.h5).")
    ] = None,
    log_dir: Annotated[
        Path | None,
        typer.Option("--log-dir", metavar="DIR", help="TensorBoard logs and checkpoints. (default: DIR/log)"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="mnist-gates, nalu-TASK: the large one, which takes longer.")
    ] = False,
    module: Annotated[
        str | None,
        typer.Option("--module", metavar="LIST", help="arithmetic: modules, such as NMU,NMRU, or all. (default: NMRU)"),
    ] = None,
    op: Annotated[
        str | None, typer.Option("--op", metavar="LIST", help="arithmetic: add, sub, mul, div. (default: div)")
    ] = None,
    inputs: Annotated[
        int | None, typer.Option("--inputs", metavar="N", help="arithmetic: inputs, of which two count. (default: 2)")
    ] = None,
    distribution: Annotated[
        str | None,
        typer.Option(
            "--distribution",
            metavar="NAME",
            help="arithmetic: which ranges: published, signs (mixed), harder. (default: the nine published)",
        ),
    ] = None,
    in_range: Annotated[
        str | None,
        typer.Option("--range", metavar="[A,B]", help="arithmetic: one training range of those. (default: all)"),
    ] = None,
    perfect: Annotated[
        bool,
        typer.Option(
            "--perfect", help="arithmetic: train nothing; errors of perfect weights, dividing by small numbers."
        ),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", metavar="N", help="arithmetic, nalu-TASK: models per range, or in all. (default: 25, the task's)"
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            metavar="N",
            min=1,
            max=10**8,
            help="arithmetic, nalu-TASK: steps. (default: as published, the task's)",
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Train a shipped model again by its recipe, or a net that calculates: seeded, with TensorBoard logs, checkpoints
    and resume.

    Examples:

        graphsim train digits

        graphsim train mnist -o trained --resume

        graphsim train alu --bits 8 --variant residual --ops '+,-' --minutes 5

        graphsim train arithmetic --module NMRU --op div --out study

        graphsim train nalu-static --resume
    """
    from graphsim.zoo.recipes import RECIPES, Recipe, alu_recipe
    from graphsim.zoo.train import Epoch
    from graphsim.zoo.train import train as train_recipe

    console = console_for(json)
    check_outputs(json, export_weights)
    of_arithmetic = {"module": module, "op": op, "inputs": inputs, "distribution": distribution, "range": in_range}
    of_arithmetic |= {"perfect": perfect or None}
    others: dict[str, object] = {
        "bits": bits,
        "variant": variant,
        "units": units,
        "depth": depth,
        "ops": ops,
        "tuning": tuning,
    }
    others |= {"epochs": epochs, "minutes": minutes, "weights": weights, "export-weights": export_weights}
    if recipe.startswith("nalu-"):
        others |= {"log-dir": log_dir, **of_arithmetic}
        refuse_options(f"other recipes; `graphsim train {recipe}` has none of them", others)
        from graphsim.cli.nalu import train_nalu

        train_nalu(console, recipe, output, seed=seed, seeds=seeds, steps=steps, full=full, resume=resume, json=json)
        return
    if recipe == "arithmetic":
        refuse_options("other recipes; `graphsim train arithmetic` has none of them", others)
        from graphsim.cli.arithmetic import judge_perfect, train_arithmetic

        if perfect:
            of_training = {**of_arithmetic, "perfect": None, "steps": steps, "output": output}
            refuse_options("training; with --perfect nothing is trained", of_training)
            judge_perfect(console, draws=seeds, json=json)
            return
        train_arithmetic(
            console,
            output or Path("out/train/arithmetic"),
            modules=module,
            operations=op,
            inputs=inputs,
            distribution=distribution,
            ranges=in_range,
            seeds=seeds,
            steps=steps,
            json=json,
        )
        return
    refuse_options(
        f"`graphsim train arithmetic`, not for the recipe {recipe}", {**of_arithmetic, "seeds": seeds, "steps": steps}
    )
    chosen: str | Recipe = recipe
    if full:
        chosen = f"{recipe}-full"
        if chosen not in RECIPES:
            raise UsageError(f"--full: only for `graphsim train mnist-gates`, not for the recipe {recipe}")
    if recipe == "alu":
        chosen = alu_recipe(
            15 if bits is None else bits,
            variant or "residual",
            operations(ops),
            units=units,
            depth=depth,
            tuning=tuning,
        )
    else:
        given = {"bits": bits, "variant": variant, "units": units, "depth": depth, "ops": ops, "tuning": tuning}
        refuse_options(f"`graphsim train alu`, not for the recipe {recipe}", given)

    bar, shown = ExitStack(), dict[str, Callable[[int], None]]()

    def step(epoch: int, done: int, of: int) -> None:
        if not shown:
            shown["done"] = bar.enter_context(progress_bar(f"epoch {epoch}", of))
        shown["done"](done)

    def say(epoch: Epoch) -> None:
        bar.close()  # a line and a bar would write over each other
        shown.clear()
        console.print(str(epoch), markup=False, soft_wrap=True)

    with bar:
        done = train_recipe(
            chosen,
            output,
            seed=seed,
            epochs=epochs,
            log_dir=log_dir,
            resume=resume,
            minutes=minutes,
            weights=weights,
            export_weights=export_weights,
            progress=say,
            steps=step,
        )
    if done.stopped:
        console.print(f"stopped by --minutes after {done.stopped}; --resume goes on", soft_wrap=True)
    if (choices := done.more.get("choices as text")) is not None:
        last = choices.read_text(encoding="utf-8").strip().rpartition("\n\n")[2]
        console.print(last, markup=False, soft_wrap=True)
    console.print(
        f"test accuracy {done.scores['test_accuracy']:.2%}; wrote {', '.join(map(str, done.written))}",
        soft_wrap=True,
        markup=False,
    )
    write_json(
        json,
        {
            "schema_version": 1,
            "recipe": done.recipe,
            "h5": str(done.h5) if done.h5 is not None else None,
            "keras": str(done.keras),
            "card": str(done.card),
            "stopped": done.stopped or None,
            "more": {what: str(path) for what, path in done.more.items()},
            **done.scores,
        },
    )
