"""How many random calculations a net that calculates has right, of each operation, in the simulated graph.

    python scripts/judge_alu.py models/alu15.h5 --seed 20261126

prints a line per operation, e.g. ``OP/: Ok: 97312, Error: 2688 -> 97.3%``. Calculations are drawn as for
``graphsim run --dataset alu``, with a seed of one's own: one that had no part in training, nor in any choice of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphsim.cli.common import OpsOption, operations, progress_bar
from graphsim.compare.answers import answer
from graphsim.datasets.arithmetic import OPERATIONS, load_calculations
from graphsim.pipeline import load_graph
from graphsim.simulate.engine import output_groups
from graphsim.simulate.lanes import LanesEngine
from graphsim.zoo import alu_recipes


def main(
    model: Annotated[Path, typer.Argument(help="A net that calculates, in the flat form.")],
    seed: Annotated[int, typer.Option("--seed", help="Of the calculations.", min=0)],
    each: Annotated[int, typer.Option("--each", help="Calculations of each operation.", min=1)] = 100_000,
    ops: OpsOption = None,
    reference: Annotated[bool, typer.Option("--reference", help="Ask TensorFlow too.")] = False,
) -> None:
    """Judge a net by random calculations of each of its operations."""
    graph = load_graph(model)
    bits = graph.groups[graph.number[output_groups(graph)[0]]].size // 2 - 1
    shipped = {recipe.model: recipe.valid_ops for recipe in alu_recipes()}
    learnt = operations(ops) or shipped.get(model.stem, OPERATIONS)
    dataset = load_calculations(bits, each * len(learnt), seed, learnt)
    theirs = None
    if reference:
        from graphsim.compare.reference import TensorFlowReference

        theirs = TensorFlowReference(model)
    with progress_bar("calculating", len(dataset)) as done:
        answers = answer(LanesEngine(graph), graph, dataset, theirs, progress=done)
    for tally in answers.tallies:
        typer.echo(str(tally))


if __name__ == "__main__":
    typer.run(main)
