"""Random timed dataflow graphs."""

from __future__ import annotations

from math import gcd

from hypothesis import strategies as st

from graphsim.graph.sdf import Flow, TimedGraph, timed_graph


@st.composite
def consistent(draw: st.DrawFn, *, actors: int = 4, tied: bool = False) -> TimedGraph:
    """Consistent SDF graphs, alive or dead.

    Args:
        tied: every channel has one that leads back, so that no tokens pile up, and no actor overlaps itself.
    """
    count = draw(st.integers(1, actors))
    names = [f"a{i}" for i in range(count)]
    turns = [draw(st.integers(1, 4)) for _ in names]
    ticks = {name: draw(st.integers(1 if tied else 0, 9)) for name in names}
    flows = [(draw(st.integers(0, i - 1)), i) for i in range(1, count)]
    flows += draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=3))
    made = []
    for n, (a, b) in enumerate(flows):
        factor = draw(st.integers(1, 2))
        g = gcd(turns[a], turns[b])
        produce, consume = turns[b] // g * factor, turns[a] // g * factor
        made.append(Flow(names[a], names[b], produce, consume, draw(st.integers(0, 12)), f"c{n}"))
        if tied and a != b:
            made.append(Flow(names[b], names[a], consume, produce, draw(st.integers(0, 16)), f"r{n}"))
    return timed_graph("random", ticks, made, concurrency=1 if tied else draw(st.integers(0, 2)))
