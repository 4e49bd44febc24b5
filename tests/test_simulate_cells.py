"""Boards that circuits drive: every cell becomes the circuit's answer to its neighbourhood, on boards of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from circuits import evaluate
from scipy.signal import convolve2d

from graphsim.errors import SimulationError
from graphsim.graph.circuit import Circuit, pack
from graphsim.simulate.circuit import CellularAutomaton, kept, stencil

#: Narrower than a word, of whole words, of whole vectors, and wider than what registers hold.
SIZES = [
    (1, 1),
    (2, 3),
    (17, 1),
    (1, 70),
    (3, 64),
    (5, 65),
    (9, 128),
    (4, 500),
    (3, 512),
    (6, 513),
    (5, 1024),
    (4, 1025),
]
WIDE = [(5, 1500), (2, 2048), (1, 4100)]


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "folder", lambda: path)
        yield path


def made(rows: Sequence[Sequence[int]], truth: Sequence[int], output: int) -> Circuit:
    indptr, index = pack(rows)
    return Circuit(
        name="rule",
        input_names=tuple(f"i{n}" for n in range(9)),
        output_names=("o",),
        outputs=np.array([output], np.int32),
        indptr=indptr,
        index=index,
        truth=np.array(truth, np.uint64),
        initial=np.zeros(0, np.bool_),
        following=np.zeros(0, np.int32),
    )


def life() -> Circuit:
    """Conway's rule as a sum of products over six inputs at a time: nothing that adds."""
    rows: list[list[int]] = []
    truth: list[int] = []
    # Gates 9 .. 136: each function "cells 0-4 are this pattern", then with the patterns of cells 5-8 that give life.
    for low in range(32):
        rows.append([0, 1, 2, 3, 4])
        truth.append(1 << low)
    for low in range(32):
        table = 0
        for high in range(16):
            others = (low & 0b1111).bit_count() + high.bit_count()
            table |= int(others == 3 or (others == 2 and low >> 4)) << high
        rows.append([5, 6, 7, 8])
        truth.append(table)
    for low in range(32):
        rows.append([9 + low, 41 + low])
        truth.append(0b1000)
    terms = list(range(73, 105))
    while len(terms) > 1:
        rows.append(terms[:2])
        truth.append(0b1110)
        terms = [*terms[2:], 8 + len(rows)]
    return made(rows, truth, terms[0])


def rule(seed: int, gates: int = 25) -> Circuit:
    rng = np.random.default_rng(seed)
    rows = [sorted(rng.choice(9 + g, 2 + g % 2, replace=False).tolist()) for g in range(gates)]
    return made(rows, [int(rng.integers(1, (1 << (1 << len(row))) - 1)) for row in rows], 8 + gates)


def next_board(board: Any, answers: Any, places: Sequence[tuple[int, int]]) -> Any:
    pattern = sum(np.roll(board, (-down, -right), (0, 1)).astype(int) << i for i, (down, right) in enumerate(places))
    return answers[pattern]


def table(circuit: Circuit) -> Any:
    return np.array([evaluate(circuit, [[p >> i & 1 for i in range(9)]])[0][0] for p in range(512)], np.bool_)


@pytest.mark.parametrize("size", SIZES + WIDE)
def test_life_is_life(size: tuple[int, int]) -> None:
    board = np.random.default_rng(size).random(size) < 0.4
    automaton = CellularAutomaton(life(), board)
    assert automaton.is_summed
    assert np.array_equal(automaton.board, board)
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    for generations in (1, 2, 3):
        automaton.step(generations)
        for _ in range(generations):
            # scipy wraps once around only; a board that is repeated is as wide as its neighbourhood at least.
            others = convolve2d(np.tile(board, (3, 3)), ring, mode="same", boundary="wrap")
            others = others[size[0] : 2 * size[0], size[1] : 2 * size[1]]
            board = (others == 3) | (board & (others == 2))
        assert np.array_equal(automaton.board, board)


@pytest.mark.parametrize("seed", range(12))
def test_any_rule_on_any_board(seed: int) -> None:
    circuit = rule(seed)
    rng = np.random.default_rng(seed)
    places = [stencil.ROW_BY_ROW[i] for i in rng.permutation(9)] if seed % 2 else list(stencil.ROW_BY_ROW)
    answers = table(circuit)
    size = (SIZES[1:] + WIDE)[seed]
    board = rng.random(size) < 0.5
    automaton = CellularAutomaton(circuit, board, places)
    assert not automaton.is_summed
    automaton.step(3)
    for _ in range(3):
        board = next_board(board, answers, places)
    assert np.array_equal(automaton.board, board)


@pytest.mark.parametrize("output", [0, 4, 8, 9, 10])
def test_rules_that_look_at_one_cell_or_none(output: int) -> None:
    circuit = made([[], [5]], [1, 1], output)
    board = np.random.default_rng(output).random((7, 40)) < 0.5
    automaton = CellularAutomaton(circuit, board)
    automaton.step(2)
    answers = table(circuit)
    for _ in range(2):
        board = next_board(board, answers, stencil.ROW_BY_ROW)
    assert np.array_equal(automaton.board, board)


def test_rows_share_what_they_can() -> None:
    """Sums of three rows are made once per row: of Life's 12 operations, 2 are others' of two rows before."""
    automaton = CellularAutomaton(life(), np.zeros((3, 3), np.bool_))
    assert automaton.operations == 10
    # The same sum of three cells in each row: one operation per row, and one for the sum of the sums.
    odd = made([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]], [0x96] * 4, 12)
    assert CellularAutomaton(odd, np.zeros((3, 3), np.bool_)).operations == 2


def test_a_glider_goes_round() -> None:
    board = np.zeros((11, 77), np.bool_)
    board[[0, 1, 2, 2, 2], [1, 2, 0, 1, 2]] = True
    automaton = CellularAutomaton(life(), board)
    automaton.step(4 * 11)
    assert np.array_equal(automaton.board, np.roll(board, 11, 1))
    automaton.step(4 * 11 * 76)
    assert np.array_equal(automaton.board, board)


def test_a_board_can_be_set_anew() -> None:
    automaton = CellularAutomaton(life(), np.zeros((4, 70), np.bool_))
    for shape in ((4, 70), (6, 130), (3, 1100), (4, 70)):
        board = np.zeros(shape, np.bool_)
        board[1, 0:3] = True
        automaton.board = board
        automaton.step(2)
        assert automaton.board.shape == shape
        if shape[0] > 4:  # a blinker, with room around
            assert np.array_equal(automaton.board, board)


def test_other_circuits_are_refused() -> None:
    two = made([[0, 1]], [6], 9)
    with pytest.raises(SimulationError, match="an automaton takes nine inputs and one output"):
        CellularAutomaton(two, np.zeros((3, 3), np.bool_), stencil.ROW_BY_ROW[:8])
    with pytest.raises(SimulationError, match="it has rows and columns"):
        CellularAutomaton(two, np.zeros((0, 3), np.bool_))
