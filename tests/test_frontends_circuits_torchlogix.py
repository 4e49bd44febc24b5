"""torchlogix's circuits: every operation, outputs, sums, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from circuits import evaluate

from graphsim.errors import CircuitError
from graphsim.frontends.circuits import read
from graphsim.graph.circuit import Circuit, ports

RULES: dict[str, Callable[[int, int], int]] = {
    "CONST_FALSE": lambda a, b: 0,
    "CONST_TRUE": lambda a, b: 1,
    "WIRE": lambda a, b: a,
    "NOT": lambda a, b: 1 - a,
    "NOT_A": lambda a, b: 1 - a,
    "NOT_B": lambda a, b: 1 - b,
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "NAND": lambda a, b: 1 - (a & b),
    "NOR": lambda a, b: 1 - (a | b),
    "XNOR": lambda a, b: 1 - (a ^ b),
    "AND_NOT_B": lambda a, b: a & (1 - b),
    "AND_NOT_A": lambda a, b: (1 - a) & b,
    "OR_NOT_B": lambda a, b: a | (1 - b),
    "OR_NOT_A": lambda a, b: (1 - a) | b,
}


def circuit(tmp_path: Path, **what: Any) -> Circuit:
    """The circuit of a file with these fields."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"n_inputs": 2, "input_shape": [2], **what}), encoding="utf-8")
    return read(path)


def gate(number: int, op: str, in0: int = -1, in1: int = -1) -> dict[str, Any]:
    return {"gate_id": number, "op": op, "in0": in0, "in1": in1, "layer": 0, "node_idx": -1}


@pytest.mark.parametrize("op", RULES)
def test_operations(tmp_path: Path, op: str) -> None:
    found = circuit(tmp_path, gates=[gate(2, op, 0, 1)], output_ids=[2, 0], output_shape=[2])
    assert found.input_names == ("in[0]", "in[1]")
    assert found.output_names == ("out[0]", "out[1]")
    assert found.gate_names == ("g2",)
    for a, b in product((0, 1), repeat=2):
        assert evaluate(found, [[a, b]]) == [[RULES[op](a, b), a]]


def test_an_input_that_is_not_there_is_0(tmp_path: Path) -> None:
    found = circuit(tmp_path, gates=[gate(7, "OR", 0, -1), gate(9, "NAND", 7, -1)], output_ids=[9, 7, -1])
    assert evaluate(found, [[1, 0], [0, 1]]) == [[1, 1, 0], [1, 0, 0]]


def total(found: Circuit, row: list[int]) -> dict[str, int]:
    """Ports as numbers."""
    shown = evaluate(found, [row])[0]
    return {name: sum(shown[at] << i for i, at in enumerate(bits)) for name, bits in ports(found.output_names).items()}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 8, 13, 64])
def test_sums_count_their_terms(tmp_path: Path, count: int) -> None:
    sums = [
        {"input_ids": list(range(count)), "tau": 10.0, "beta": 0.5},
        {"input_ids": [0, 0, 1], "tau": 10, "beta": 0.5},
    ]
    found = circuit(tmp_path, n_inputs=max(2, count), gates=[], output_ids=[], sum_reductions=sums)
    assert len(ports(found.output_names)["sum0"]) == max(1, count.bit_length())
    assert found.notes == {"torchlogix.scores": "the score of a sum is (sum + 0.5) / 10"}
    rng = Random(count)
    for _ in range(50):
        row = [rng.randrange(2) for _ in found.input_names]
        assert total(found, row) == {"sum0": sum(row[:count]), "sum1": 2 * row[0] + row[1]}


def test_groups_of_older_files(tmp_path: Path) -> None:
    gates = [gate(4 + at, "XOR", at, (at + 1) % 4) for at in range(4)]
    groups = {"k": 2, "group_size": 2, "tau": 2.0, "beta": 0.0}
    found = circuit(tmp_path, n_inputs=4, gates=gates, output_ids=[4, 5, 6, 7], output_reduction=groups)
    for row in product((0, 1), repeat=4):
        bits = [row[at] ^ row[(at + 1) % 4] for at in range(4)]
        assert total(found, list(row)) == {"sum0": bits[0] + bits[1], "sum1": bits[2] + bits[3]}


def test_scales_of_their_own_are_noted(tmp_path: Path) -> None:
    sums = [{"input_ids": [0], "tau": 2.0}, {"input_ids": [1], "beta": 1.0}]
    found = circuit(tmp_path, sum_reductions=sums)
    assert found.notes == {"torchlogix.scores": "the scores are (sum0 + 0) / 2, (sum1 + 1) / 1"}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"gates": [gate(2, "AND3", 0, 1)]}, "gate 2 is a 'AND3'; operations are CONST_FALSE, CONST_TRUE"),
        ({"gates": [gate(2, "AND", 0, 5)], "output_ids": [2]}, "net 'g5' has no driver; 'g2' reads it"),
        ({"gates": [gate(2, "AND", 0, 2)], "output_ids": [2]}, "combinational loop: g2 <- g2"),
        ({"gates": [gate(1, "AND", 0, 0)]}, "gate 1 has the number of an input or of another gate"),
        ({"gates": [gate(2, "AND", 0, 0)] * 2}, "gate 2 has the number of an input or of another gate"),
        ({"gates": [gate(-1, "AND", 0, 0)]}, "gate -1 has the number of an input or of another gate"),
        ({"gates": [gate(2, "AND", 0, -3)]}, "there is no gate -3; -1 is the constant 0"),
        ({"gates": [{"op": "AND"}]}, "gates.0.gate_id: Field required"),
        ({"n_inputs": 2_000_000_000}, "n_inputs: Input should be less than or equal to 1048576"),
        ({"sum_reductions": [{"input_ids": [0], "tau": 0.0}]}, "sum 0 is divided by tau = 0"),
        ({"sum_reductions": [{"input_ids": "x"}]}, "sum_reductions.0.input_ids: Input should be a valid array"),
    ],
)
def test_refusals_name_what_is_wrong(tmp_path: Path, what: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit(tmp_path, **what)


def test_what_is_not_json_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"n_inputs": 2,\n "gates": [}', encoding="utf-8")
    with pytest.raises(CircuitError, match=r"x\.json:2: is not JSON"):
        read(path)
