"""Sums of products of small truth tables, and from them clauses."""

from __future__ import annotations

from functools import lru_cache

from graphsim.graph.circuit import VARIABLES

#: Literals of variables: i + 1 for variable i, -(i + 1) for its complement.
Cube = tuple[int, ...]


@lru_cache(maxsize=1 << 16)
def irredundant(on: int, upto: int, variables: int) -> tuple[Cube, ...]:
    """Cubes whose sum is 1 wherever ``on`` is and nowhere that ``upto`` is not, of which none can be left out.

    Minato and Morreale's recursion (Minato, "Fast generation of irredundant sum-of-products forms from binary decision
    diagrams", 1992), on truth tables of up to six variables as integers.
    """
    return tuple(cube for cube, _ in _cubes(on, upto, variables))


def _cubes(on: int, upto: int, variables: int) -> list[tuple[Cube, int]]:
    full = (1 << (1 << variables)) - 1
    if on == 0:
        return []
    if upto == full:
        return [((), full)]
    i = variables - 1
    step = 1 << i
    low = (1 << step) - 1
    on0, on1, up0, up1 = on & low, on >> step, upto & low, upto >> step
    with0 = _cubes(on0 & ~up1, up0, i)
    with1 = _cubes(on1 & ~up0, up1, i)
    left0, left1 = on0, on1
    for _, table in with0:
        left0 &= ~table
    for _, table in with1:
        left1 &= ~table
    both = _cubes(left0 | left1, up0 & up1, i)
    return (
        [((*cube, -variables), table) for cube, table in with0]
        + [((*cube, variables), table << step) for cube, table in with1]
        + [(cube, table | table << step) for cube, table in both]
    )


@lru_cache(maxsize=1 << 16)
def clauses(truth: int, fan_in: int) -> tuple[tuple[Cube, bool], ...]:
    """The rows of a gate: (cube of its fanins, value that the gate has wherever the cube is 1)."""
    full = (1 << (1 << fan_in)) - 1
    off = full & ~truth
    return tuple((cube, True) for cube in irredundant(truth, truth, fan_in)) + tuple(
        (cube, False) for cube in irredundant(off, off, fan_in)
    )


def table_of(cubes: tuple[Cube, ...], variables: int) -> int:
    """The truth table of a sum of cubes."""
    full = (1 << (1 << variables)) - 1
    found = 0
    for cube in cubes:
        table = full
        for literal in cube:
            word = VARIABLES[abs(literal) - 1] & full
            table &= word if literal > 0 else ~word
        found |= table
    return found
