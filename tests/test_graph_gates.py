"""What gates are called."""

from __future__ import annotations

import pytest

from graphsim.graph.gates import kind


@pytest.mark.parametrize(
    ("truth", "fan_in", "name"),
    [
        (0, 0, "FALSE"),
        (1, 0, "TRUE"),
        (0b10, 1, "COPY"),
        (0b01, 1, "NOT"),
        (0b00, 1, "FALSE"),
        (0b1000, 2, "AND"),
        (0b0111, 2, "NAND"),
        (0b1110, 2, "OR"),
        (0b0001, 2, "NOR"),
        (0b0110, 2, "XOR"),
        (0b1001, 2, "XNOR"),
        (0b0010, 2, "AND NOT"),
        (0b0100, 2, "AND NOT"),
        (0b1011, 2, "OR NOT"),
        (0b1101, 2, "OR NOT"),
        (0b1100, 2, "COPY"),
        (0b0101, 2, "NOT"),
        (0b1111, 2, "TRUE"),
        (0b1000_0000, 3, "AND 3"),
        (0b1001_0110, 3, "XOR 3"),
        (0b1110_1000, 3, "MAJORITY"),
        (0b1100_1010, 3, "MUX"),
        (0b1110_0010, 3, "MUX"),
        (0b1000_1000, 3, "AND"),
        (0b0001_0000, 3, "LUT 3"),
        (0xFFFF_FFFF_FFFF_FFFE, 6, "OR 6"),
        (0x7FFF_FFFF_FFFF_FFFF, 6, "NAND 6"),
        (0x1234_5678_9ABC_DEF0, 6, "LUT 6"),
    ],
)
def test_gates_have_the_names_that_people_give_them(truth: int, fan_in: int, name: str) -> None:
    assert kind(truth, fan_in) == name
