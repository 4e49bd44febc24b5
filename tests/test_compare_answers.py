"""What a net answered: lines, counts, and records, from results given by hand."""

from __future__ import annotations

import numpy as np
import pytest

from graphsim.compare.answers import Answers, Tally
from graphsim.datasets.arithmetic import OPERATIONS, Calculations, every


def asked(*calculations: tuple[int, str, int], bits: int = 15) -> Calculations:
    a, names, b = zip(*calculations, strict=True)
    codes = np.array([OPERATIONS.index(name) for name in names])
    return Calculations(bits, np.array(a), codes, np.array(b))


def test_a_right_answer_is_one_line() -> None:
    answers = Answers(asked((31720, "/", 4697)), np.array([6]), None)
    assert answers.line(0) == "31720 / 4697 = 6 == 6: OK"


def test_a_wrong_answer_shows_both_numbers_in_binary() -> None:
    answers = Answers(
        asked(
            (
                5,
                "*",
                5,
            ),
            bits=3,
        ),
        np.array([24]),
        None,
    )
    assert answers.line(0).splitlines() == [
        "5 * 5 = 24 != 25: ERROR",
        "  expected 00011001",
        "  actual   00011000",
    ]


def test_counts_of_each_operation_with_the_reference_beside_them() -> None:
    calculations = asked((1, "+", 1), (2, "+", 2), (3, "=", 3), (3, "=", 4))
    answers = Answers(calculations, np.array([2, 5, 32767, 0]), np.array([3, 4, 32767, 1]))
    assert answers.tallies == (Tally("+", 2, 1, 1), Tally("=", 2, 2, 1))
    assert answers.accuracy == 0.75
    assert answers.reference_accuracy == 0.5
    record = answers.record()
    assert (record["graphsim"], record["reference"], record["samples"], record["wrong"]) == (0.75, 0.5, 4, 1)
    assert record["per_operation"]["="] == {"graphsim": 1.0, "reference": 0.5, "samples": 2, "ok": 2, "error": 0}


@pytest.mark.parametrize(
    ("right", "samples", "line"),
    [
        (82, 100, "OP*: Ok: 82, Error: 18 -> 82.0%"),
        (100, 100, "OP*: Ok: 100, Error: 0 -> 100.0%"),
        (0, 100, "OP*: Ok: 0, Error: 100 -> 0.0%"),
        (65535, 65536, "OP*: Ok: 65535, Error: 1 -> 99.998%"),
        (9_999_999, 10_000_000, "OP*: Ok: 9999999, Error: 1 -> 99.999%"),
    ],
)
def test_a_line_of_counts_says_all_right_only_where_all_is(right: int, samples: int, line: str) -> None:
    assert str(Tally("*", samples, right, None)) == line


def test_a_line_of_counts_names_the_reference() -> None:
    assert str(Tally("AND", 4, 4, 3)) == "OPAND: Ok: 4, Error: 0 -> 100.0%   reference: Ok: 3, Error: 1 -> 75.0%"


def test_shown_are_the_first_and_then_wrong_ones() -> None:
    calculations = asked(*((n, "+", 0) for n in range(10)))
    found = np.arange(10)
    found[[1, 7, 8, 9]] = 99
    lines = Answers(calculations, found, None).shown(2)
    assert [line.split(" = ")[0] for line in lines] == ["0 + 0", "1 + 0", "7 + 0", "8 + 0"]


def test_of_all_calculations_some_that_lie_apart_are_shown() -> None:
    calculations = every(2)
    lines = Answers(calculations, calculations.results, None, is_exhaustive=True).shown(3)
    assert [line.split(" = ")[0] for line in lines] == ["0 + 0", "1 OR 2", "3 != 3"]  # numbers 0, 88 and 177 of 178


def test_nothing_asked_is_no_accuracy() -> None:
    none = np.zeros(0, np.int64)
    answers = Answers(Calculations(8, none, none, none), none, none)
    assert (answers.accuracy, answers.reference_accuracy, answers.tallies) == (None, None, ())
