"""Rates are consistent and feedback can start: each rule broken once, and cycles held against brute force."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from graphs import rnn
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.errors import GraphError
from graphsim.graph import Csr, Dense, Graph, Group, OneToOne
from graphsim.graph.verify import verify


def changed(
    groups: Mapping[str, Mapping[str, Any]] | None = None,
    channels: Mapping[tuple[str, int], Mapping[str, Any]] | None = None,
    params: Mapping[str, Any] | None = None,
) -> Graph:
    """A recurrent layer of 3 steps with fields of groups, and of channels by consumer and port, replaced."""
    base = rnn(3, 2, 2)
    return Graph(
        base.name,
        [dataclasses.replace(g, **(groups or {}).get(g.name, {})) for g in base.groups],
        [dataclasses.replace(c, **(channels or {}).get((base.groups[c.dst].name, c.port), {})) for c in base.channels],
        {**base.params, **(params or {})},
    )


def uneven() -> Graph:
    base = changed(params={"p": np.array([0, 2, 6], np.int64), "i": np.array([0, 1, 2, 3, 4, 5], np.int32)})
    channels = [Csr(src=1, dst=2, indptr="p", index="i") if c.dst == 2 else c for c in base.channels]
    return Graph("uneven", base.groups, channels, base.params)


BROKEN: dict[str, tuple[Callable[[], Graph], str]] = {
    "inconsistent": (
        lambda: changed(channels={("rnn", 0): {"produce": 2}}),
        r"channel steps -> rnn \(port 0\): steps makes 2 tokens per iteration \(2 in each of 1 firings\), rnn takes 3",
    ),
    "a take of too few": (
        lambda: changed(channels={("states", 0): {"consume": 1}}),
        r"channel rnn -> states \(port 0\): rnn makes 3 .* states takes 1 \(1 in each of 1\); these must be equal",
    ),
    "a serial that fires often": (
        lambda: changed({"steps": {"firings": 3}}, {("steps", 0): {"produce": 3}, ("rnn", 0): {"produce": 1}}),
        "group steps: 3 firings per iteration; op serial fires once",
    ),
    "a source that fires often": (
        lambda: changed({"source": {"firings": 2}}, {("x", 0): {"consume": 2}}),
        "group source: 2 firings per iteration; op source fires once",
    ),
    "a source with rates": (
        lambda: changed(channels={("x", 0): {"produce": 2, "consume": 2}}),
        r"channel source -> x \(port 0\): rates 2:2 and 0 initial tokens; a source gives one token",
    ),
    "a late source": (
        lambda: changed(channels={("x", 0): {"initial_tokens": 2}}),
        r"channel source -> x \(port 0\): rates 1:1 and 2 initial tokens; a source gives one token",
    ),
    "a serial of another number": (
        lambda: changed({"rnn": {"firings": 6}}, {("rnn", 0): {"produce": 6}, ("states", 0): {"consume": 6}}),
        r"channel steps -> rnn \(port 0\): rates 6:1; steps emits one token for each of its 3 edges",
    ),
    "a serial of different numbers": (uneven, r"channel x -> steps \(port 0\): 2 to 4 edges per actor"),
    "a serial with an activation": (lambda: changed({"steps": {"activation": "relu"}}), "op serial takes no relu"),
    "a take without picks": (lambda: changed({"states": {"params": {}}}), "group states: op take needs a pick"),
    "picks elsewhere": (
        lambda: changed({"rnn": {"params": rnn().groups[4].params}}),
        "group rnn: op linear takes no pick",
    ),
    "picks missing": (
        lambda: Graph("g", rnn(3).groups, rnn(3).channels, {k: v for k, v in rnn(3).params.items() if "pick" not in k}),
        "group states: pick: there is no param 'rnn/pick'",
    ),
    "a take of a token too far": (
        lambda: changed(params={"rnn/pick": np.array([3], np.int32)}),
        r"group states: pick rnn/pick names tokens from 3 to 3; channel rnn -> states \(port 0\) brings tokens 0 to 2",
    ),
    "a take of a negative token": (
        lambda: changed(params={"rnn/pick": np.array([-1], np.int32)}),
        "names tokens from -1 to -1",
    ),
    "picks of another type": (
        lambda: changed(params={"rnn/pick": np.array([2], np.int64)}),
        "group states: pick rnn/pick is int64; must be int32",
    ),
    "picks that do not repeat evenly": (
        lambda: changed(params={"rnn/pick": np.zeros(3, np.int32)}),
        r"group states: pick: param rnn/pick \(3,\) with inner 2 does not repeat evenly over 2 actors",
    ),
    "feedback at another rate": (
        lambda: changed({"rnn": {"firings": 3}}, {("rnn", 1): {"produce": 2, "consume": 2}}),
        r"channel rnn -> rnn \(port 1\): 1 initial tokens on a cycle that takes 2 at a time; it would never fire",
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_broken_rule_is_named(rule: str) -> None:
    make, message = BROKEN[rule]
    with pytest.raises(GraphError, match=message):
        verify(make())


def test_recurrent_layers_are_valid() -> None:
    verify(rnn())
    verify(rnn(sequences=True))
    verify(rnn(1))


def cycle(firings: list[int], tokens: list[int]) -> Graph:
    """source -> input -> a ring of single actors with rates that are consistent -> sink; the last feeds the first."""
    names = [f"g{i}" for i in range(len(firings))]
    groups = [Group(name="source", op="source"), Group(name="x", op="input")]
    groups += [Group(name=n, op="max", firings=f) for n, f in zip(names, firings, strict=True)]
    groups.append(Group(name="sink", op="collect", firings=firings[0]))
    channels = [Dense(src=0, dst=1), Dense(src=1, dst=2, produce=firings[0])]
    for i, held in enumerate(tokens):
        a, b = i, (i + 1) % len(firings)
        made = math.lcm(firings[a], firings[b])
        port = 1 if b == 0 else 0
        rates = {"produce": made // firings[a], "consume": made // firings[b], "initial_tokens": held}
        channels.append(OneToOne(src=2 + a, dst=2 + b, port=port, **rates))
    return Graph("ring", groups, [*channels, Dense(src=2, dst=len(groups) - 1)], {})


def runs(firings: list[int], graph: Graph) -> bool:
    """Whether every group of the ring gets to fire as often as it says, by firing whatever can."""
    ring = [c for c in graph.channels if isinstance(c, OneToOne)]
    held = [c.initial_tokens for c in ring]
    fired = dict.fromkeys(range(2, 2 + len(firings)), 0)
    while any(fired[g] < firings[g - 2] for g in fired):
        for g in fired:
            into = [i for i, c in enumerate(ring) if c.dst == g]
            if fired[g] < firings[g - 2] and all(held[i] >= ring[i].consume for i in into):
                for i, c in enumerate(ring):
                    held[i] += (c.produce if c.src == g else 0) - (c.consume if c.dst == g else 0)
                fired[g] += 1
                break
        else:
            return False
    return True


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_cycle_that_is_accepted_runs(data: st.DataObject) -> None:
    firings = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=3))
    tokens = data.draw(st.lists(st.integers(0, 6), min_size=len(firings), max_size=len(firings)))
    tokens[-1] = max(tokens[-1], 1)
    graph = cycle(firings, tokens)
    try:
        verify(graph)
    except GraphError as error:
        assert "cycle" in str(error)
        if len(set(firings)) == 1:  # of these nothing is refused that would run
            assert not runs(firings, graph)
    else:
        assert runs(firings, graph)
