"""Lines of TOML keys: against documents written so that every value is a number found nowhere else in the text."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.machine.positions import KeyPath, line_at, lines_of

BASE = 1_000_000
NOISE = [
    "# a comment with = [ ] { } \" ' in it",
    "",
    "  \t",
    '{free} = "a # b = [ \\" ] \\\\"',
    "{free} = 'C:\\'",
    '{free} = """\nx = 1\n[no.table]\n\\""" two quotes"""""',
    "{free} = '''\n[[neither]]\n''two'''''",
    "{free} = 1979-05-27 07:32:00 # a date with a blank",
    "{free} = [ # comment ]\n  '[', \"]\", # ,\n]",
    '{free} = { a = "}", b.c = [1, 2] }',
]
KEYS = ["a", "b-c", "'d e'", '"f.g"', '"\\u0068#"', "9", "a.i", "a . j", '"k"."l"']


class Writer:
    """Draws a document; values are BASE, BASE + 1, ... in the order of the text."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.values = 0
        self.names = 0
        self.lines: list[str] = []

    def free(self) -> str:
        self.names += 1
        return f"x{self.names}"

    def number(self) -> str:
        self.values += 1
        return str(BASE + self.values - 1)

    def value(self, depth: int) -> str:
        kind = self.draw(st.sampled_from(["number", "number", "array", "table"])) if depth else "number"
        if kind == "number":
            return self.number()
        count = self.draw(st.integers(0, 3))
        if kind == "table":
            pairs = [f"{self.free()}.{self.free()} = {self.value(depth - 1)}" for _ in range(count)]
            return "{ " + ", ".join(pairs) + " }"
        gap = self.draw(st.sampled_from([" ", "\n", " # ], [\n\t", "\n\n"]))
        items = [f"{gap}{self.value(depth - 1)}" for _ in range(count)]
        return "[" + ",".join(items) + self.draw(st.sampled_from(["", gap, f",{gap}" if items else ""])) + "]"

    def body(self) -> None:
        for key in self.draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True)):
            if key == "a":
                key = self.free()
            space = self.draw(st.sampled_from(["", " ", "\t"]))
            self.lines.append(f"{space}{key}{space}={space}{self.value(3)}{space}# {key} = 0")
            for noise in self.draw(st.lists(st.sampled_from(NOISE), max_size=2)):
                self.lines.append(noise.replace("{free}", self.free()))

    def document(self) -> str:
        self.body()
        arrays = 0
        for _ in range(self.draw(st.integers(0, 4))):
            kind = self.draw(st.sampled_from(["table", "deep", "array", "inside"]))
            if kind == "inside" and arrays:
                self.lines.append(f"[rows.'{self.free()}'.\"{self.free()}\"] # [[")
            elif kind == "array":
                arrays += 1
                self.lines.append("[[ rows ]]")
            else:
                self.lines.append(f"[{self.free()}]" if kind == "table" else f"  [ {self.free()} . {self.free()} ]")
            self.body()
        return "\n".join(self.lines)


@st.composite
def documents(draw: st.DrawFn) -> str:
    return Writer(draw).document()


def numbers_in(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from numbers_in(one, (*path, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from numbers_in(one, (*path, i))
    elif isinstance(value, int) and value >= BASE:
        yield path, value


@settings(max_examples=400, deadline=None)
@given(text=documents())
def test_every_value_is_on_the_line_where_its_number_stands(text: str) -> None:
    lines = lines_of(text)
    for path, number in numbers_in(tomllib.loads(text)):
        assert lines[path] == text[: text.index(str(number))].count("\n") + 1


@settings(max_examples=100, deadline=None)
@given(text=documents())
def test_nothing_but_what_is_there_has_a_line(text: str) -> None:
    def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
        yield path
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            yield from paths(one, (*path, key))

    assert set(lines_of(text)) == set(paths(tomllib.loads(text))) - {()}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("a", "b"), 1),
        (("t",), 3),
        (("t", "u"), 5),
        (("t", "missing"), 3),
        (("rows",), 6),
        (("rows", 0), 6),
        (("rows", 1), 8),
        (("rows", 1, "x"), 9),
        (("rows", 1, "missing", 3), 8),
        (("rows", 1, "sub", "y"), 11),
        (("missing",), None),
        ((), None),
    ],
)
def test_lines_and_the_nearest_around(path: KeyPath, line: int | None) -> None:
    text = "a.b = 1\n\n[t]\n# u = 0\nu = 2\n[[rows]]\nx = 3\n[[rows]]\nx = 4\n[rows.sub]\ny = 5\n"
    assert line_at(lines_of(text), path) == line
