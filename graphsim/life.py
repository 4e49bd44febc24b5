"""Life on a torus, played by a circuit: every cell's next state is the circuit's answer to its neighbourhood."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphsim import zoo
from graphsim.datasets.patterns import Board
from graphsim.errors import UsageError
from graphsim.graph.circuit import Circuit
from graphsim.simulate.circuit.cells import CellularAutomaton

#: Names of the nine cells of a neighbourhood, and where they lie: rows down and columns to the right of the middle.
NEIGHBOURS = {
    "nw": (-1, -1),
    "n": (-1, 0),
    "ne": (-1, 1),
    "w": (0, -1),
    "c": (0, 0),
    "e": (0, 1),
    "sw": (1, -1),
    "s": (1, 0),
    "se": (1, 1),
}
#: A cell above another, by which of them live: the upper one counts 1, the lower 2.
_BLOCKS = " ▀▄█"
#: Cells of the largest board, and the longest side.
MAX_CELLS, MAX_SIDE = 1 << 30, 1 << 20


def life_circuit(path: Path | None = None) -> Circuit:
    """The circuit of a file, or the learnt one that ships, fit to be played: nine inputs, one output, no registers.

    Raises:
        GraphsimError: the file cannot be used, or its circuit is another.
    """
    from graphsim.frontends.circuits import read

    file = path if path is not None else zoo.models_folder() / "life.blif"
    circuit = read(file)
    if circuit.input_count != 9 or len(circuit.outputs) != 1 or circuit.register_count:
        raise UsageError(
            f"{file}: has {circuit.input_count} inputs, {len(circuit.outputs)} outputs and"
            f" {circuit.register_count} registers; a circuit that plays Life has nine inputs, the cells of a"
            f" neighbourhood ({', '.join(NEIGHBOURS)}, or any names in that order), and one output"
        )
    return circuit


def places(circuit: Circuit) -> list[tuple[int, int]]:
    """Where the cell of each input lies, by the input's name; by its number if names are others."""
    if set(circuit.input_names) == set(NEIGHBOURS):
        return [NEIGHBOURS[name] for name in circuit.input_names]
    return list(NEIGHBOURS.values())


def automaton(circuit: Circuit, board: Board) -> CellularAutomaton:
    """The board, to be driven by the circuit."""
    return CellularAutomaton(circuit, board, places(circuit))


def soup(rows: int, columns: int, density: float, seed: int) -> Board:
    """A random board: each cell lives with the same probability."""
    return np.random.default_rng(seed).random((rows, columns), np.float32) < density


def drawn(board: Board) -> list[str]:
    """The board as text, two rows of cells to a line of half blocks."""
    rows = np.pad(board, ((0, board.shape[0] % 2), (0, 0)))
    pairs = rows[0::2] + 2 * rows[1::2].astype(np.uint8)
    return ["".join(_BLOCKS[pair] for pair in line) for line in pairs.tolist()]
