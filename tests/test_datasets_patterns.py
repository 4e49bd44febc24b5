"""Patterns of Life: both file formats, what they refuse, and the round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graphsim.datasets.patterns import KNOWN, parsed, pattern, rle
from graphsim.errors import DatasetError, UsageError

GLIDER = [[0, 1, 0], [0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    "text",
    [
        "x = 3, y = 3, rule = B3/S23\nbo$2bo$3o!",
        "#N Glider\n#C a comment, x = 9\nx=3,y=3\nb o $ 2b\no$3o! whatever follows",
        "X = 3, Y = 3, RULE = 23/3\nBOB$bbO$\n\n3O$!",
        "x = 3, y = 3, rule = B3/S23:T10,10\nbo$2bo$3o!",
        "#r 23/3\nx = 3, y = 3, rule = b3s23\r\nbo$2bo$3o!",
        "!Name: Glider\n!\n.O.\n..O\nOOO\n",
        ".*\n..*\n***",
    ],
)
def test_a_glider_in_each_format(text: str) -> None:
    assert parsed(text, "a file").astype(int).tolist() == GLIDER


def test_rows_that_are_left_out() -> None:
    assert parsed("x = 2, y = 4\no3$bo!", "f").astype(int).tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    assert parsed("O\n\n.O", "f").astype(int).tolist() == [[1, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 3", "f, line 1: 'x = 3'; write 'x = 3, y = 3"),
        ("x = 3, y = 3, rule = B36/S23\nbo!", "f, line 1: the rule is B36/S23; only"),
        ("#C\n#r 36/23\nx = 3, y = 3\nbo!", "f, line 2: the rule is 36/23; only"),
        ("#C\nx = 3, y = 3\nbo$\n2bz!", "f, line 4: 'z!' is no run of b, o or"),
        ("x = 3, y = 3\n9999999999o!", "f, line 2: '9999999999o!' is no run"),
        ("x = 3, y = 1\nbo$o!", "f, line 2: a cell lies outside the 1 rows of 3 cells"),
        ("x = 3, y = 1\n4o!", "f, line 2: a cell lies outside"),
        ("x = 3, y = 3\nbo$2bo", "f, line 2: the pattern does not end"),
        ("x = 100000, y = 100000\no!", "f, line 1: 100,000 rows of 100,000 cells; at most"),
        ("!Name\n.O.\n.Q.", "f, line 3: 'Q'; a pattern is RLE"),
        ("", "f: has no cells"),
        ("!only comments\n\n", "f: has no cells"),
    ],
)
def test_what_is_no_pattern(text: str, said: str) -> None:
    with pytest.raises(DatasetError) as error:
        parsed(text, "f")
    assert str(error.value).startswith(said)


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 90))))
def test_what_is_written_is_read(cells: np.ndarray) -> None:
    text = rle(cells)
    assert max(map(len, text.splitlines())) <= 70
    assert np.array_equal(parsed(text, "f"), cells)


def test_files_and_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.rle"
    file.write_text(KNOWN["glider"])
    found = pattern(str(file))
    assert found.name == "mine"
    assert found.cells.astype(int).tolist() == GLIDER
    assert found.placed(5, 6).astype(int).sum(axis=0).tolist() == [0, 1, 2, 2, 0, 0]
    assert {name: int(pattern(name).cells.sum()) for name in KNOWN} == {
        "block": 4,
        "blinker": 3,
        "glider": 5,
        "r-pentomino": 5,
        "acorn": 7,
        "gosper-gun": 36,
    }
    with pytest.raises(UsageError, match=r"no pattern that is known: block, blinker"):
        pattern(str(tmp_path / "other.rle"))
    with pytest.raises(UsageError, match=r"has 3x3 cells \(rows x columns\); the board has 2x8"):
        found.placed(2, 8)
    file.write_bytes(b"x = 3, y = 3\n\xff")
    with pytest.raises(DatasetError, match="is not text, so no pattern"):
        pattern(str(file))
