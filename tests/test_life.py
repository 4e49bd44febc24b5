"""Life by a circuit, against the rule written with scipy, and against what is known of famous patterns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from circuits import life_rule
from rich.console import Console
from scipy.ndimage import convolve

from graphsim.cli import main
from graphsim.cli.life import sized
from graphsim.cli.play import Player, play
from graphsim.datasets.patterns import Board, parsed, pattern
from graphsim.errors import UsageError
from graphsim.life import automaton, drawn, places, soup
from graphsim.zoo import models_folder

MODELS = models_folder()


def following(board: Board) -> Board:
    """One generation by the rule, with scipy."""
    around = convolve(board.astype(np.int8), np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]), mode="wrap")
    return (around == 3) | (board & (around == 2))


def played(name: str, rows: int, columns: int, generations: int) -> Board:
    torus = automaton(life_rule(), pattern(name).placed(rows, columns))
    torus.step(generations)
    return torus.board


@pytest.mark.parametrize(
    ("rows", "columns", "density"), [(1, 1, 1.0), (2, 3, 0.5), (40, 64, 0.3), (17, 130, 0.4), (5, 1100, 0.6)]
)
def test_random_boards_of_any_size(rows: int, columns: int, density: float) -> None:
    board = soup(rows, columns, density, rows)
    torus = automaton(life_rule(), board)
    for _ in range(3):
        torus.step()
        board = following(board)
        assert np.array_equal(torus.board, board)


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (100, 65)])
def test_a_long_run(rows: int, columns: int) -> None:
    board = soup(rows, columns, 0.4, 3)
    torus = automaton(life_rule(), board)
    torus.step(200)
    for _ in range(200):
        board = following(board)
    assert np.array_equal(torus.board, board)


def test_a_glider_comes_back_around_the_torus() -> None:
    start = pattern("glider").placed(9, 12)
    assert np.array_equal(played("glider", 9, 12, 4), np.roll(start, (1, 1), (0, 1)))
    assert np.array_equal(played("glider", 9, 12, 4 * 36), start)


def test_the_gun_fires_a_glider_every_thirty_generations() -> None:
    gun = pattern("gosper-gun")
    high, wide = gun.cells.shape
    torus = automaton(life_rule(), gun.placed(120, 160))
    top, left = (120 - high) // 2, (160 - wide) // 2
    for fired in range(1, 4):
        torus.step(30)
        assert np.array_equal(torus.board[top : top + high, left : left + wide], gun.cells)
        assert torus.board.sum() == 36 + 5 * fired
    torus.step(15)
    assert not np.array_equal(torus.board[top : top + high, left : left + wide], gun.cells)


def test_the_r_pentomino_settles() -> None:
    assert played("r-pentomino", 1024, 1024, 1103).sum() == 116


def test_boards_are_drawn_two_rows_to_a_line() -> None:
    assert drawn(pattern("glider").cells) == [" ▀▄", "▀▀▀"]


@pytest.mark.parametrize("text", ["", "5", "0x4", "4x0", "axb", "99999999x99999999", "1048577x1", "-4x4"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no size of a board; write rows and columns"):
        sized(text)


def player(**options: float) -> Player:
    return Player(automaton(life_rule(), pattern("glider").placed(16, 16)), 10.0, None, **options)


def test_what_keys_do() -> None:
    at = player()
    at.advance(0.17)
    at.advance(0.17)
    assert at.generation == 3
    at.key(" ")
    at.advance(10.0)
    assert at.generation == 3
    at.key("n")
    assert (at.generation, at.paused) == (4, True)
    assert np.array_equal(at.automaton.board, np.roll(pattern("glider").placed(16, 16), (1, 1), (0, 1)))
    at.key("+")
    assert at.speed == 15.0
    at.key("-")
    assert at.speed == pytest.approx(10.0)
    at.key("r")
    assert at.generation == 0
    assert np.array_equal(at.automaton.board, soup(16, 16, 0.35, 1))
    at.key("x")
    assert not at.done
    at.key("q")
    assert at.done


def test_playing_stops_at_the_last_generation() -> None:
    at = player()
    at.last, at.speed = 7, 1000.0
    console = Console(force_terminal=True, width=40, height=12, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    play(at, console, keys=lambda seconds: "")
    assert at.generation == 7
    shown = at.frame(9, 30).plain.split("\n")
    assert shown[:-1] == drawn(at.automaton.board)
    assert shown[-1] == "generation 7  5 live  1e+03 ge"


def test_the_shipped_circuit_plays_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = tmp_path / "after.rle"
    assert main(["life", "glider", "--size", "9x12", "--steps", "36", "--save", str(saved)]) == 0
    shown = capsys.readouterr().out.splitlines()
    start = pattern("glider").placed(9, 12)
    after = np.roll(start, (9, 9), (0, 1))
    assert shown[:5] == drawn(after)
    assert shown[5] == "generation 36: 5 of 108 cells live"
    assert np.array_equal(parsed(saved.read_text(), "saved"), after)


def test_the_benchmark_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["life", "--size", "64x64", "--steps", "50", "--bench", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    board = soup(64, 64, 0.35, 0)
    for _ in range(50):
        board = following(board)
    assert record["population"] == board.sum()
    assert (record["rows"], record["columns"], record["generations"]) == (64, 64, 50)
    assert record["gates"] <= 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bench"], "--bench: say how many generations, with --steps"),
        ([], "this is no terminal to draw in; say how many generations to play"),
        (["--size", "3by4", "--steps", "1"], "--size '3by4' is no size of a board"),
        (["gun", "--steps", "1"], "'gun' is no pattern file, and no pattern that is known: block,"),
        (["gosper-gun", "--size", "8x8", "--steps", "1"], "gosper-gun: has 9x36 cells (rows x columns)"),
        (["--steps", "1", "--circuit", str(MODELS / "mnist_gates.aig")], "a circuit that plays Life has nine inputs"),
        (["--steps", "1", "--circuit", str(MODELS / "life.md")], "life.md: is not a circuit"),
    ],
)
def test_what_cannot_be_played(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["life", *arguments]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""


def test_inputs_are_told_by_their_names() -> None:
    rule = life_rule()
    order = [4, 0, 8, 1, 7, 2, 6, 3, 5]
    names = tuple(rule.input_names[at] for at in order)
    assert places(replace(rule, input_names=names)) == [places(rule)[at] for at in order]
    assert places(replace(rule, input_names=tuple("abcdefghi"))) == places(rule)
