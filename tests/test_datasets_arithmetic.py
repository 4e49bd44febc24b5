"""Calculations and their bits, against Python's own integers."""

from __future__ import annotations

import operator
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphsim.datasets.arithmetic import (
    OPERATIONS,
    Calculations,
    Encoding,
    domain_size,
    draw,
    every,
    from_bits,
    operation_codes,
    to_bits,
    why_invalid,
)
from graphsim.errors import UsageError

PYTHON = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
    "%": operator.mod,
    "AND": operator.and_,
    "OR": operator.or_,
    "XOR": operator.xor,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
    "!=": operator.ne,
}


SEED_1 = [
    (16771, 10804), (31144, 25836), (4723, 9935), (31085, 14860), (10218, 4393), (13871, 13209),
    (27122, 6666), (13408, 8595), (18009, 24587), (903, 9188), (24691, 15898), (17633, 32136),
]  # fmt: skip


def right(bits: int, a: int, name: str, b: int) -> int:
    value = PYTHON[name](a, b)
    return value if not isinstance(value, bool) else 2**bits - 1 if value else 0


def valid(a: int, name: str, b: int) -> bool:
    return (name != "-" or a >= b) and (name not in ("/", "%") or b > 0)


def test_every_calculation_of_four_bits_is_there_once_with_pythons_result() -> None:
    found = every(4)
    expected = [
        (a, name, b, right(4, a, name, b))
        for name, a, b in product(OPERATIONS, range(16), range(16))
        if valid(a, name, b)
    ]
    codes = [OPERATIONS[code] for code in found.operation.tolist()]
    assert list(zip(found.a.tolist(), codes, found.b.tolist(), found.results.tolist(), strict=True)) == expected


def test_there_are_753280_calculations_of_eight_bits() -> None:
    assert domain_size(8) == len(every(8)) == 753_280


@pytest.mark.parametrize("ops", [("+",), ("-", "<"), ("%", "/", "*")])
def test_valid_ops_restrict_the_domain(ops: tuple[str, ...]) -> None:
    found = every(3, ops)
    assert {OPERATIONS[code] for code in found.operation.tolist()} == set(ops)
    assert len(found) == domain_size(3, ops)


@given(st.integers(1, 30), st.sampled_from(OPERATIONS), st.data())
def test_a_calculation_in_bits(bits: int, name: str, data: st.DataObject) -> None:
    a = data.draw(st.integers(0, 2**bits - 1))
    b = data.draw(st.integers(0, a) if name == "-" else st.integers(int(name in ("/", "%")), 2**bits - 1))
    one = Calculations(bits, np.array([a]), np.array([OPERATIONS.index(name)]), np.array([b]))
    first, second = (format(v, f"0{bits + 1}b")[::-1] for v in (a, b))
    code = "".join("1" if other == name else "0" for other in OPERATIONS)
    assert "".join(map(str, one.inputs()[0])) == first + code + second
    assert "".join(map(str, one.targets()[0])) == format(right(bits, a, name, b), f"0{2 * bits + 2}b")[::-1]
    width = max(bits + 1, 12)
    assert ["".join(map(str, row)) for row in one.vectors()[0]] == [
        word.ljust(width, "0") + place for word, place in zip((first, code, second), ("100", "010", "001"), strict=True)
    ]


def test_fifteen_bits_take_44_inputs_and_32_outputs() -> None:
    encoding = Encoding(15)
    assert (encoding.inputs, encoding.outputs, encoding.greatest) == (44, 32, 32767)


@given(st.lists(st.integers(0, 2**60 - 1), min_size=1))
def test_bits_read_back(values: list[int]) -> None:
    assert from_bits(to_bits(np.array(values), 60)).tolist() == values


def test_a_bit_is_one_above_one_half_and_nan_is_no_one() -> None:
    assert from_bits(np.array([[0.51, 0.5, 1.0, np.nan]], np.float32)).tolist() == [5]


def test_drawn_calculations_are_valid_and_reach_every_pair_evenly() -> None:
    count = 64_000
    for code, name in enumerate(OPERATIONS):
        found = draw(3, np.full(count, code), np.random.PCG64(code))
        pairs = Counter(zip(found.a.tolist(), found.b.tolist(), strict=True))
        size = domain_size(3, [name])
        assert all(valid(a, name, b) for a, b in pairs)
        assert len(pairs) == size
        # Pearson's statistic has mean size - 1 and variance 2 (size - 1).
        statistic = sum((seen - count / size) ** 2 / (count / size) for seen in pairs.values())
        assert abs(statistic - (size - 1)) < 5 * np.sqrt(2 * (size - 1))


def test_a_seed_means_the_same_calculations_for_ever() -> None:
    found = draw(15, np.arange(12), np.random.PCG64(1))
    assert list(zip(found.a.tolist(), found.b.tolist(), strict=True)) == SEED_1


def test_operations_by_name() -> None:
    assert operation_codes(["%", "+", "+"]) == (0, 4)
    assert operation_codes() == tuple(range(12))
    with pytest.raises(UsageError, match=r"no operation '\^'; choose from: \+ - \* / % AND OR XOR < > = !="):
        operation_codes(["^"])
    with pytest.raises(UsageError, match="at least one operation"):
        operation_codes([])


@pytest.mark.parametrize(
    ("calculation", "why"),
    [
        ((3, "-", 4), "3 - 4 is negative"),
        ((3, "/", 0), "3 / 0 is undefined"),
        ((0, "%", 0), "0 % 0 is undefined"),
        ((256, "+", 0), "256 is not an unsigned integer of 8 bits"),
        ((0, "+", -1), "-1 is not an unsigned integer of 8 bits"),
    ],
)
def test_why_a_calculation_is_invalid(calculation: tuple[int, str, int], why: str) -> None:
    assert why in str(why_invalid(8, *calculation))


def test_valid_calculations_have_no_reason() -> None:
    assert all(
        (why_invalid(2, a, name, b) is None) == valid(a, name, b)
        for name, a, b in product(OPERATIONS, range(4), range(4))
    )


@pytest.mark.parametrize("bits", [0, 31, -1])
def test_bits_out_of_range(bits: int) -> None:
    with pytest.raises(UsageError, match=f"operands have 1 to 30 bits, not {bits}"):
        Encoding(bits)


def test_too_large_a_domain_is_refused() -> None:
    with pytest.raises(UsageError, match="too many to go through"):
        every(15)
