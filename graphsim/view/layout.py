"""Where things are drawn: groups of actors as blocks of cells, nodes of the machine as points. Deterministic."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.graph import Graph
from graphsim.machine import Machine

#: Nodes up to which distances in the machine decide where they are drawn; beyond, they stand in rows.
_SPRINGS = 80
#: Room between columns of groups, between groups of a column, and between lines of columns; a single actor is 2 wide.
_GAP, _APART, _LINE = 5, 3, 4
_GRID = re.compile(r"n(\d+)_(\d+)(?:_(\d+))?")


@dataclass(frozen=True)
class Block:
    """A group on the page: ``columns`` cells wide, one actor a cell, in C order from the upper left.

    Attributes:
        x, y: of the upper left corner; y grows downwards.
        cell: side of a cell. columns, rows: cells.
    """

    x: float
    y: float
    cell: float
    columns: int
    rows: int

    def record(self) -> dict[str, Any]:
        """As the page has it."""
        return {"x": self.x, "y": self.y, "cell": self.cell, "columns": self.columns, "rows": self.rows}

    def centre(self, local: int) -> tuple[float, float]:
        """Of the cell of an actor, by its number in the group."""
        row, column = divmod(local, self.columns)
        return self.x + (column + 0.5) * self.cell, self.y + (row + 0.5) * self.cell


def blocks(graph: Graph) -> list[Block]:
    """A block per group: columns of groups from left to right by the longest way from a source, in lines like text.

    A block's side grows with the logarithm of its actors, so that a layer of ten is seen beside one of a million.
    """
    depth = [0] * len(graph.groups)
    for number in range(len(graph.groups)):
        for c in graph.channels_into(number):
            if c.src != number:
                depth[number] = max(depth[number], depth[c.src] + 1)
    width: dict[int, float] = {}
    below: dict[int, float] = {}
    sizes = []
    for number, group in enumerate(graph.groups):
        columns = _columns(group.shape, group.size)
        rows = max(1, -(-group.size // columns))
        cell = (1 + math.log2(1 + group.size)) / max(columns, rows)
        sizes.append((columns, rows, cell))
        width[depth[number]] = max(width.get(depth[number], 0), columns * cell)
        below[depth[number]] = below.get(depth[number], 0) + rows * cell + _APART
    left, middle = _lines(width, below)
    at = {column: middle[column] - height / 2 for column, height in below.items()}
    found = []
    for number, (columns, rows, cell) in enumerate(sizes):
        column = depth[number]
        found.append(Block(left[column] + (width[column] - columns * cell) / 2, at[column], cell, columns, rows))
        at[column] += rows * cell + _APART
    return found


def _lines(width: dict[int, float], height: dict[int, float]) -> tuple[dict[int, float], dict[int, float]]:
    """Columns of groups in lines below each other, as text is: the left edge of each column, and its middle.

    So many lines that the page is about half as wide again as it is high.
    """
    total, tallest = sum(one + _GAP for one in width.values()), max(height.values(), default=0) + _LINE
    longest = total / max(1, round(math.sqrt(total / (1.5 * tallest))))
    left, lines, x = {}, [[0]], 0.0
    for column in sorted(width):
        if x and x + width[column] / 2 > longest:
            x = 0.0
            lines.append([])
        if column:
            lines[-1].append(column)
        left[column] = x
        x += width[column] + _GAP
    middle: dict[int, float] = {}
    y = 0.0
    for line in lines:
        high = max(height[column] for column in line)
        middle |= dict.fromkeys(line, y + high / 2)
        y += high + _LINE
    return left, middle


def _columns(shape: tuple[int, ...], size: int) -> int:
    """Cells in a row: an image's own, otherwise about as many as rows."""
    if len(shape) == 2 and max(shape) <= 8 * min(shape):
        return shape[1]
    return max(1, math.isqrt(max(0, size - 1)) + 1)


def positions(machine: Machine) -> npt.NDArray[np.float64]:
    """Where every node is drawn, float64 (nodes, 2): a grid's as its name says, others by distance, or in rows."""
    count = len(machine.nodes)
    named = [_GRID.fullmatch(node.name) for node in machine.nodes]
    if count and all(named):
        parts = [[int(part or 0) for part in match.groups()] for match in named if match]
        return np.array([(y + 0.35 * z, x + 0.3 * z) for x, y, z in parts], np.float64)
    turn = np.arange(count) * (2 * math.pi / max(1, count))
    circle = np.stack([np.sin(turn), -np.cos(turn)], axis=1)
    if count > _SPRINGS:
        columns = math.isqrt(count - 1) + 1
        return np.array([divmod(i, columns)[::-1] for i in range(count)], np.float64)
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((link.src, link.dst) for link in machine.links)
    if count < 3 or not nx.is_connected(graph) or all(degree == 2 for _, degree in graph.degree):
        return circle
    found = nx.kamada_kawai_layout(graph, pos=dict(enumerate(circle)))
    return np.array([np.round(found[i], 6) for i in range(count)], np.float64)
