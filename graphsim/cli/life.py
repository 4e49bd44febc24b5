"""``graphsim life``: the learnt circuit plays Conway's Game of Life."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphsim.cli.common import JsonOption, check_outputs, console_for, progress_bar, reading, say_place, write_json
from graphsim.errors import UsageError
from graphsim.files import write_text

if TYPE_CHECKING:
    from graphsim.datasets.patterns import Board

_SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,9})", re.IGNORECASE)
#: Cells that are played without looking whether to stop.
_UNINTERRUPTED = 1 << 30
#: Rows and columns of a board that no terminal shows.
_UNSEEN = (48, 80)
#: The widest board that is printed.
_PRINTED = 400


def life(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="File in RLE or plaintext format; or block, blinker, glider, r-pentomino, acorn, gosper-gun."
            " (default: random cells)",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Rows and columns of the torus. (default: what fits the terminal; 48x80 where none plays)",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Generations. (default: until stopped)", min=0)
    ] = None,
    bench: Annotated[bool, typer.Option("--bench", help="Draw nothing; say how long it took.")] = False,
    circuit: Annotated[
        Path | None, typer.Option("--circuit", metavar="FILE", help="A circuit of the rule. (default: the learnt one)")
    ] = None,
    density: Annotated[
        float, typer.Option("--density", help="Share of living cells in a random board.", min=0.0, max=1.0)
    ] = 0.35,
    seed: Annotated[int, typer.Option("--seed", help="Seed of a random board.", min=0)] = 0,
    speed: Annotated[
        float, typer.Option("--speed", metavar="G", help="Generations per second, in the terminal.", min=0.1, max=1000)
    ] = 12.0,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="RLE", help="Write the last board as a pattern file.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Play Conway's Game of Life on a torus, with the circuit that was learnt from its 512 neighbourhoods.

    In a terminal: space pauses, n steps, + and - change the speed, r makes a random board, q quits.

    Examples:

        graphsim life

        graphsim life gosper-gun --size 80x120

        graphsim life --steps 100000 --size 512x512 --bench
    """
    from graphsim.datasets.patterns import pattern as pattern_of
    from graphsim.datasets.patterns import rle

    console = console_for(json)
    check_outputs(json, save)
    if bench and steps is None:
        raise UsageError("--bench: say how many generations, with --steps")
    live = not bench and json is None and console.is_terminal and sys.stdin is not None and sys.stdin.isatty()
    if not live and steps is None:
        raise UsageError("this is no terminal to draw in; say how many generations to play, with --steps")
    rows, columns = (2 * max(8, console.height - 2), max(16, console.width)) if live else _UNSEEN
    with reading():
        from graphsim.life import automaton as automaton_of
        from graphsim.life import life_circuit, soup

        if size is not None:
            rows, columns = sized(size)
        board = pattern_of(pattern).placed(rows, columns) if pattern is not None else soup(rows, columns, density, seed)
        rule = life_circuit(circuit)
        automaton = automaton_of(rule, board)
    if live:
        from graphsim.cli.play import Player, play

        player = Player(automaton, speed, steps, density, seed)
        play(player, console)
        generations, seconds, ready = player.generation, None, None
    else:
        generations = steps or 0
        began = time.perf_counter()
        automaton.step(0)
        ready = time.perf_counter() - began
        began = time.perf_counter()
        at_once = max(1, _UNINTERRUPTED // board.size)
        with progress_bar("playing", generations, say_after=3.0) as progress:
            for done in range(0, generations, at_once):
                automaton.step(min(at_once, generations - done))
                progress(done)
        seconds = time.perf_counter() - began
    last = automaton.board
    population = int(last.sum())
    if bench and seconds is not None:
        pace = generations * rows * columns / seconds if seconds else 0.0
        console.print(
            f"{generations:,} generations of {rows}x{columns} cells by {rule.gate_count} gates in {seconds:.3f} s"
            f" (measured), ready in {ready:.2f} s: {pace:.3g} cells/s; {population:,} cells live",
            soft_wrap=True,
        )
    elif not live:
        _print(console, last)
        console.print(f"generation {generations:,}: {population:,} of {last.size:,} cells live")
    if save is not None:
        write_text(save, rle(last))
        say_place(console, "the board is in", save)
    write_json(
        json,
        {
            "schema_version": 1,
            "rows": rows,
            "columns": columns,
            "gates": rule.gate_count,
            "generations": generations,
            "population": population,
            "measured_seconds": seconds,
            "measured_seconds_until_ready": ready,
        },
    )


def sized(text: str) -> tuple[int, int]:
    """Rows and columns of a ``--size``.

    Raises:
        UsageError: it is none, or too large.
    """
    from graphsim.life import MAX_CELLS, MAX_SIDE

    found = _SIZE.fullmatch(text.strip())
    rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and rows * columns <= MAX_CELLS):
        raise UsageError(
            f"--size {text[:40]!r} is no size of a board; write rows and columns, such as 64x128,"
            f" at most {MAX_CELLS:,} cells"
        )
    return rows, columns


def _print(console: object, board: Board) -> None:
    from rich.console import Console

    from graphsim.life import drawn

    assert isinstance(console, Console)
    if board.shape[1] <= _PRINTED and board.shape[0] <= _PRINTED:
        for line in drawn(board):
            console.print(line, markup=False, soft_wrap=True)
