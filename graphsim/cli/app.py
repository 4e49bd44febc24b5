"""The Typer application, and the order in which ``graphsim --help`` lists the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from graphsim import __version__
from graphsim.cli import (
    alu,
    analysis,
    calendars,
    circuits,
    clocks,
    data,
    explore,
    graphs,
    life,
    runs,
    schedules,
    together,
    trace,
    view,
)

app = typer.Typer(
    name="graphsim",
    help="Lower trained networks to dataflow graphs of one actor per neuron, fold them onto simulated hardware, "
    "run them, and check every neuron.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"graphsim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


for command in (
    runs.run,
    together.together,
    graphs.lower,
    graphs.show,
    graphs.formats,
    schedules.fold,
    schedules.verify,
    calendars.calendars,
    trace.trace,
    runs.compare,
    circuits.equal,
    analysis.analyze,
    schedules.machines,
    clocks.clocks,
    explore.sweep,
    explore.pareto,
    view.view,
    data.fetch,
    data.train,
    alu.alu,
    life.life,
):
    app.command(
        name=command.__name__,
        cls=alu.CalculationCommand if command is alu.alu else None,
        no_args_is_help=command not in (runs.run, schedules.machines, alu.alu, life.life, graphs.formats),
    )(command)
