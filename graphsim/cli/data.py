"""``graphsim fetch`` and ``graphsim train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphsim.cli.common import JsonOption, byte_bars, console_for, say_place, write_json
from graphsim.errors import UsageError


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
    recipe: Annotated[str, typer.Argument(help="mnist or digits.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where the model goes. (default: out/train/RECIPE)"),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed. (default: the recipe's)", min=0)] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs. (default: the recipe's)", min=1)] = None,
    log_dir: Annotated[
        Path | None,
        typer.Option("--log-dir", metavar="DIR", help="TensorBoard logs and checkpoints. (default: DIR/log)"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
    json: JsonOption = None,
) -> None:
    """Train a shipped model again by its recipe: seeded, with TensorBoard logs, checkpoints and resume.

    Examples:

        graphsim train digits

        graphsim train mnist -o trained --resume
    """
    from graphsim.zoo.train import Epoch
    from graphsim.zoo.train import train as train_recipe

    console = console_for(json)

    def say(epoch: Epoch) -> None:
        console.print(
            f"epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.2%}; "
            f"held out: loss {epoch.held_out_loss:.4f}, accuracy {epoch.held_out_accuracy:.2%}"
        )

    done = train_recipe(recipe, output, seed=seed, epochs=epochs, log_dir=log_dir, resume=resume, progress=say)
    console.print(
        f"test accuracy {done.test_accuracy:.2%}; wrote {done.h5}, {done.keras} and {done.card}", soft_wrap=True
    )
    write_json(
        json,
        {
            "schema_version": 1,
            "recipe": recipe,
            "h5": str(done.h5),
            "keras": str(done.keras),
            "card": str(done.card),
            "held_out_accuracy": done.held_out_accuracy,
            "test_accuracy": done.test_accuracy,
        },
    )
