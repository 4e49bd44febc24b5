"""Patterns of Conway's Game of Life: read from files in RLE and in plaintext format, or known by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphsim.errors import DatasetError, UsageError

Board = npt.NDArray[np.bool_]

#: Cells of the largest pattern that is read, dead ones included.
MAX_CELLS = 1 << 26
#: Characters of the longest file that is read.
MAX_TEXT = 1 << 26

#: Patterns known by name, in RLE.
KNOWN = {
    "block": "x = 2, y = 2\n2o$2o!",
    "blinker": "x = 3, y = 1\n3o!",
    "glider": "x = 3, y = 3\nbo$2bo$3o!",
    "r-pentomino": "x = 3, y = 3\nb2o$2o$bo!",
    "acorn": "x = 7, y = 3\nbo$3bo$2o2b3o!",
    "gosper-gun": (
        "x = 36, y = 9\n24bo$22bobo$12b2o6b2o12b2o$11bo3bo4b2o12b2o$2o8bo5bo3b2o$2o8bo3bob2o4bobo$"
        "10bo5bo7bo$11bo3bo$12b2o!"
    ),
}

_HEADER = re.compile(
    r"x\s*=\s*([0-9]{1,12})\s*,\s*y\s*=\s*([0-9]{1,12})\s*(?:,\s*rule\s*=\s*([^\s,:]{1,40})\S*\s*)?", re.IGNORECASE
)
_RUN = re.compile(r"([0-9]*)([bo$!])", re.IGNORECASE)
#: How the rule of Life is spelt.
_LIFE = ("b3/s23", "s23/b3", "b3s23", "s23b3", "23/3", "life", "conway")
_RULE_LINE = re.compile(r"#r\s+(\S{1,40})\s*")


@dataclass(frozen=True, eq=False)
class Pattern:
    """A pattern's name and its cells, bool (rows, columns)."""

    name: str
    cells: Board

    def placed(self, rows: int, columns: int) -> Board:
        """A board of that size with the pattern in its middle.

        Raises:
            UsageError: it does not fit.
        """
        high, wide = self.cells.shape
        if high > rows or wide > columns:
            raise UsageError(f"{self.name}: has {high}x{wide} cells (rows x columns); the board has {rows}x{columns}")
        board = np.zeros((rows, columns), np.bool_)
        top, left = (rows - high) // 2, (columns - wide) // 2
        board[top : top + high, left : left + wide] = self.cells
        return board


def pattern(name: str) -> Pattern:
    """The pattern of a file, or the one known by that name (a key of :data:`KNOWN`).

    Raises:
        DatasetError: the file is no pattern; the message names the line.
        UsageError: there is no such file and no such name.
    """
    if name in KNOWN:
        return Pattern(name, parsed(KNOWN[name], name))
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"{name[:200]!r} is no pattern file, and no pattern that is known: {', '.join(KNOWN)}")
    if path.stat().st_size > MAX_TEXT:
        raise DatasetError(f"{path}: has more than {MAX_TEXT:,} bytes; such large patterns are not read")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text, so no pattern ({error.reason} at byte {error.start})") from error
    return Pattern(path.stem, parsed(text, str(path)))


def parsed(text: str, where: str) -> Board:
    """The cells of a pattern, bool (rows, columns): RLE if a line says ``x = ..., y = ...``, else plaintext.

    Raises:
        DatasetError: it is neither; ``where`` and the line are named.
    """
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("#") or not line.strip():
            continue
        if re.match(r"x\s*=", line.strip(), re.IGNORECASE):
            return _rle(lines, at, where)
        break
    return _plaintext(lines, where)


def rle(cells: Board) -> str:
    """A pattern in RLE, lines of at most 70 characters, ending in a newline."""
    rows, columns = cells.shape
    items: list[str] = []
    skipped = 0
    for row in cells:
        if (alive := np.flatnonzero(row)).size:
            if skipped:
                items.append(_item(skipped, "$"))
            skipped = 0
            used = row[: alive[-1] + 1]
            starts = np.concatenate([[0], np.flatnonzero(used[1:] != used[:-1]) + 1])
            lengths = np.diff(np.concatenate([starts, [len(used)]]))
            items += [_item(n, "o" if used[s] else "b") for s, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
        skipped += 1
    out, line = [f"x = {columns}, y = {rows}, rule = B3/S23"], ""
    for item in (*items, "!"):
        if len(line) + len(item) > 70:
            out.append(line)
            line = ""
        line += item
    return "\n".join((*out, line)) + "\n"


def _item(count: int, tag: str) -> str:
    return f"{count}{tag}" if count > 1 else tag


def _sized(rows: int, columns: int, where: str, line: int) -> Board:
    if rows * columns > MAX_CELLS:
        raise DatasetError(f"{where}, line {line}: {rows:,} rows of {columns:,} cells; at most {MAX_CELLS:,} in all")
    return np.zeros((rows, columns), np.bool_)


def _rle(lines: list[str], at: int, where: str) -> Board:
    header = _HEADER.fullmatch(lines[at].strip())
    if header is None:
        raise DatasetError(f"{where}, line {at + 1}: {lines[at][:60]!r}; write 'x = 3, y = 3, rule = B3/S23'")
    rules = [(at, header[3])] if header[3] is not None else []
    for number, line in enumerate(lines[:at]):  # as XLife wrote it, in a line of its own
        rules += [(number, found[1])] if (found := _RULE_LINE.fullmatch(line)) else []
    for number, rule in rules:
        if rule.lower() not in _LIFE:
            raise DatasetError(f"{where}, line {number + 1}: the rule is {rule}; only B3/S23, Life itself, is played")
    columns, rows = int(header[1]), int(header[2])
    cells = _sized(rows, columns, where, at + 1)
    row = column = 0
    for number, line in enumerate(lines[at + 1 :], at + 2):
        if line.startswith("#"):
            continue
        text, place = "".join(line.split()), 0
        while place < len(text):
            found = _RUN.match(text, place)
            if found is None or len(found[1]) > 9:
                raise DatasetError(f"{where}, line {number}: {text[place : place + 20]!r} is no run of b, o or $")
            place = found.end()
            count, tag = int(found[1] or 1), found[2].lower()
            if tag == "!":
                return cells
            if tag == "$":
                row, column = row + count, 0
                continue
            if tag == "o":
                if row >= rows or column + count > columns:
                    raise DatasetError(
                        f"{where}, line {number}: a cell lies outside the {rows} rows of {columns} cells"
                    )
                cells[row, column : column + count] = True
            column += count
    raise DatasetError(f"{where}, line {len(lines)}: the pattern does not end; an RLE ends in '!'")


def _plaintext(lines: list[str], where: str) -> Board:
    numbered = [(n, line.rstrip()) for n, line in enumerate(lines, 1) if not line.startswith("!")]
    for number, line in numbered:
        if found := re.search(r"[^.O*]", line):
            raise DatasetError(
                f"{where}, line {number}: {found[0]!r}; a pattern is RLE ('x = 3, y = 3' and runs of b, o and $),"
                " or plaintext (lines of . and O)"
            )
    columns = max((len(line) for _, line in numbered), default=0)
    if columns == 0:
        raise DatasetError(f"{where}: has no cells; a pattern has at least one")
    cells = _sized(len(numbered), columns, where, 1)
    for row, (_, line) in enumerate(numbered):
        cells[row, : len(line)] = [tag != "." for tag in line]
    return cells
