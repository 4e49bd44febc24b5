#!/usr/bin/env python3
"""Train a shipped model again: ``python scripts/train.py mnist``.

Writes the model as ``.h5`` and ``.keras`` with a card to ``out/train/<recipe>``, and TensorBoard logs and a checkpoint
per epoch below ``log`` in there. Stopped runs go on with ``--resume`` and end with the same weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from graphsim.cli import asking_again
from graphsim.errors import GraphsimError
from graphsim.zoo.recipes import RECIPES
from graphsim.zoo.train import train

OUT = Console(markup=False, highlight=False, soft_wrap=True)
ERR = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    """Run the command line; 0 when trained, 2 on unusable input, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument(
        "--out", type=Path, help="folder for the model files and the card (default: out/train/<recipe>)"
    )
    parser.add_argument(
        "--log-dir", type=Path, help="folder for TensorBoard logs and checkpoints (default: log in the output folder)"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--resume", action="store_true", help="go on after the newest checkpoint")
    options = parser.parse_args()
    with asking_again() as interrupts:
        try:
            return _trained(options)
        except BaseException:
            # A library in the middle of something may turn the interrupt into an exception of its own.
            if not interrupts:
                raise
            ERR.print("stopped; the finished epochs are kept, go on with --resume")
            return 130


def _trained(options: argparse.Namespace) -> int:
    try:
        result = train(
            options.recipe,
            options.out,
            seed=options.seed,
            epochs=options.epochs,
            log_dir=options.log_dir,
            resume=options.resume,
            progress=lambda epoch: OUT.print(str(epoch)),
        )
    except GraphsimError as error:
        ERR.print(f"error: {error}")
        return 2
    OUT.print(f"{', '.join(map(str, result.written))}: test accuracy {result.scores['test_accuracy']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
