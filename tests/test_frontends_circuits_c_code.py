"""Straight-line C: what is read, what it computes, what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from circuits import circuits, evaluate
from hypothesis import HealthCheck, assume, given, settings

from graphsim.compare.logic import Evaluation
from graphsim.errors import CircuitError
from graphsim.frontends.circuits import read, write
from graphsim.graph.circuit import Circuit


def circuit(tmp_path: Path, text: str, top: str | None = None) -> Circuit:
    """The circuit in a text."""
    path = tmp_path / "x.c"
    path.write_text(text, encoding="utf-8")
    return read(path, top)


def outputs(found: Circuit) -> list[list[int]]:
    """Outputs for all inputs, the last input changing fastest."""
    return [evaluate(found, [list(row)])[0] for row in product((0, 1), repeat=found.input_count)]


def test_one_operation_per_statement(tmp_path: Path) -> None:
    text = """#include <stdint.h>
    // a full adder
    typedef uint64_t cell;
    void adder(const cell in[3], cell out[2]) {
      cell x = in[0] ^ in[1];   /* half */
      cell y = x & in[2];
      cell z = in[0] & in[1], unused;
      out[0] = x ^ in[2];
      out[1] = y | z;
    }"""
    found = circuit(tmp_path, text)
    assert found.name == "adder"
    assert found.input_names == ("in[0]", "in[1]", "in[2]")
    assert found.output_names == ("out[0]", "out[1]")
    assert found.gate_names == ("x", "y", "z", "out[0]", "out[1]")
    assert outputs(found) == [[sum(row) & 1, sum(row) >> 1] for row in product((0, 1), repeat=3)]


def test_expressions_constants_and_values(tmp_path: Path) -> None:
    text = """int f(int a, uint8_t b, unsigned long c) {
      int t = ~(a & ~b) ^ (c | 0), u = -1 & ~0;
      t &= u; t |= a & 0x10; t ^= 1u; t ^= (int)~01;
      return t;
    }"""
    found = circuit(tmp_path, text)
    assert found.input_names == ("a", "b", "c")
    assert found.output_names == ("f",)
    # t ^= 1; t ^= ~1 (whose least significant bit is 0).
    assert outputs(found) == [[(1 - (a & (1 - b))) ^ c ^ 1] for a, b, c in product((0, 1), repeat=3)]


def test_calls_are_followed(tmp_path: Path) -> None:
    text = """static cell both(cell a, cell b) { return a & b; }
    static void swap(const cell *from, cell *to) { to[0] = from[1]; to[1] = both(from[0], from[1]); }
    void t(cell *in, cell *out) { cell w[2]; swap(in, w); swap(w, out); (void)in; }"""
    found = circuit(tmp_path, text)
    assert outputs(found) == [[a & b, b & a & b] for a, b in product((0, 1), repeat=2)]
    assert circuit(tmp_path, text, "both").input_names == ("a", "b")


def test_bool_has_its_own_not(tmp_path: Path) -> None:
    text = "void circuit(const bool in[2], bool out[1]) { bool g = (!in[0]) & in[1]; out[0] = !g | false; }"
    assert outputs(circuit(tmp_path, text)) == [[1], [0], [1], [1]]
    with pytest.raises(CircuitError, match=r"x\.c:1: 'g' is bool and would be whether any bit is 1; use ! for ~"):
        circuit(tmp_path, "void circuit(const bool in[2], bool out[1]) { bool g = ~in[0]; out[0] = g; }")
    with pytest.raises(CircuitError, match=r"! of a word is whether all its bits are 0; use ~"):
        circuit(tmp_path, "int f(int a) { return !a; }")


@given(circuits(registers=0))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_c_is_read_as_it_was_written(tmp_path: Path, one: Circuit) -> None:
    write(one, tmp_path / "y.c")
    other = read(tmp_path / "y.c")
    rng = Random(5)
    rows = [[rng.randrange(2) for _ in one.input_names] for _ in range(10)]
    # Inputs behind the last one that is read are not in the text.
    assert other.input_count <= one.input_count
    assert evaluate(other, [row[: other.input_count] for row in rows]) == evaluate(one, rows)


@given(circuits())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_c_with_state_is_refused_by_name(tmp_path: Path, one: Circuit) -> None:
    assume(one.leading_to_outputs().register_count)
    write(one, tmp_path / "y.c")
    with pytest.raises(CircuitError, match=r"y\.c"):
        read(tmp_path / "y.c", "random_step")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int f(int a) { return a + 1; }", r"x\.c:1: operator \+; & \| \^ ~ are read"),
        ("int f(int a) {\n for (;;) a = a; }", r"x\.c:2: this is not straight-line code: for"),
        ("int f(int a) {\n if (a) return a; }", r"x\.c:2: this is not straight-line code: if"),
        ("int f(int a) {\n int b; return b; }", r"x\.c:2: 'b' is read before it has a value"),
        ("int f(int a) {\n return b; }", r"x\.c:2: 'b' is not declared"),
        ("int f(int a) {\n int a; return a; }", r"x\.c:2: 'a' is declared a second time"),
        ("int f(int a) {\n return g(a); }", r"x\.c:2: 'g' is called, which is no function of the file"),
        ("int f(int a) {\n return f(a); }", "no function could be the circuit"),
        ("int f(int a) { return 1.5; }", "a constant is not a plain number"),
        ("int f(float a) { return 1; }", "'a' is float; values are integers"),
        ("int f(struct s a) { return 1; }", "no structures and functions"),
        ("int f(int **a) { return 1; }", "'a' is an array of arrays"),
        ("int f(int a[2]) { return a[2]; }", r"a\[2\]: 'a' has 2 elements"),
        ("int f(int a[2]) { return a[a[0]]; }", "the element of 'a' is not a plain number"),
        ("int f(int a[4000000000]) { return a[0]; }", "'a' has 4,000,000,000 elements"),
        ("void f(int a[2], int b[2]) { b[0] = a[0]; }", r"output b\[1\] is never written"),
        ("void f(int *a) { a[1] = a[0]; }", r"a\[0\] is read before it is written; an array is an input or an output"),
        ("void f(const int *a, int *b) { a[1] = b[0]; }", "'a' is const"),
        (
            "int f(int a) { return a; }\nint g(int a) { return a; }",
            "more than one function could be the circuit: 'f', 'g'",
        ),
        ("int f(int a) { return a; } int f(int a) { return a; }", "function 'f' is there twice"),
        ("#define X 1\nint f(int a) { return a; }", r"x\.c:1: '#define X 1': the preprocessor is not run here"),
        ("int f(int a) {\n return a &; }", r"x\.c:2: is not C: Invalid expression"),
        ("int f(int a) {\n return a b; }", r"x\.c:2: is not C: "),
        ("int x = 3;", "outside of functions"),
        ("void f(int a) { }\n int g(int a) { return f(a); }", "a function that returns nothing is used as a value"),
        ("int f(int a) { }", "function 'f' returns nothing"),
        ("", "no function could be the circuit: none"),
    ],
)
def test_refusals_name_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuit(tmp_path, text)


def test_calls_that_double_at_every_level_are_refused(tmp_path: Path) -> None:
    text = "static int f0(int a) { return a; }\n"
    for i in range(1, 40):
        text += f"{'static ' if i < 39 else ''}int f{i}(int a) {{ return f{i - 1}(a) ^ f{i - 1}(a); }}\n"
    with pytest.raises(CircuitError, match="more than 4,194,304 statements and operators"):
        circuit(tmp_path, text)


MANY = 100_000


@pytest.mark.slow
@pytest.mark.parametrize("expression", [" ^ ".join(["a"] * MANY), "(a ^ " * MANY + "a" + ")" * MANY])
def test_deep_expressions(tmp_path: Path, expression: str) -> None:
    found = circuit(tmp_path, f"int f(int a, int b) {{ return b ^ {expression}; }}")
    expected = [[b ^ (a & expression.count("a"))] for a, b in product((0, 1), repeat=2)]
    assert Evaluation(found).outputs(np.array(list(product((0, 1), repeat=2)))).tolist() == expected
