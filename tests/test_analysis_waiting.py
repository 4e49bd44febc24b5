"""Who waits for whom: circles against networkx, and what is told of them."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from graphsim.analysis.waiting import SHOWN, Wait, circle, told


@given(st.lists(st.tuples(st.integers(0, 7), st.lists(st.integers(0, 9), max_size=3)), max_size=8))
def test_a_circle_is_found_where_there_is_one(rows: list[tuple[int, list[int]]]) -> None:
    waits = [Wait(f"a{who}", "lacks a token", tuple(f"a{b}" for b in behind)) for who, behind in rows]
    graph = nx.DiGraph((wait.who, other) for wait in waits for other in wait.behind)
    found = circle(waits)
    assert bool(found) == (not nx.is_directed_acyclic_graph(graph))
    assert all(graph.has_edge(a, b) for a, b in zip(found, (*found[1:], *found[:1]), strict=True))


def test_a_long_way_behind_each_other() -> None:
    waits = [Wait(f"a{i}", "lacks a token", (f"a{i + 1}",)) for i in range(5000)]
    assert circle(waits) == ()
    assert len(circle([*waits, Wait("a5000", "lacks a token", ("a0",))])) == 5001


def test_what_is_told() -> None:
    waits = [
        Wait("c", "lacks d", ("d",), "n1", 7),
        Wait("a", "lacks b", ("b",), "n0", 5),
        Wait("b", "lacks a", ("a",), "", 9),
    ]
    assert told(waits).splitlines() == [
        "deadlock: a waits for b waits for a",
        "  since tick 5, node n0: a lacks b",
        "  since tick 9: b lacks a",
        "  since tick 7, node n1: c lacks d",
    ]
    assert told(waits[:1]).startswith("starvation: ")
    many = told([Wait(f"a{i}", "lacks x", ("x",)) for i in range(SHOWN + 3)]).splitlines()
    assert (len(many), many[-1]) == (SHOWN + 2, "  ... and 3 more")
