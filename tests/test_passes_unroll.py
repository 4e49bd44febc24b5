"""Unrolling: the same values to the bit, in a graph in which everything fires once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from engine_cases import bits
from graphs import mlp, rnn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import graphs, recurrent, samples

from graphsim.errors import GraphError
from graphsim.graph import Graph, OneToOne
from graphsim.graph.channels import per_actor
from graphsim.graph.firing import fire, prepare
from graphsim.graph.text import dump
from graphsim.graph.verify import verify
from graphsim.passes import Unroll, unroll
from graphsim.simulate.reference import ReferenceEngine

often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def by_definition(graph: Graph, inputs: tuple[npt.NDArray[np.float32], ...]) -> dict[str, npt.NDArray[np.float32]]:
    """Every token of every actor by recursion over its number, counted from the first sample on; no queue anywhere."""
    actors = {actor.id: prepare(actor) for actor in graph if actor.group.op != "source"}
    sources = {int(graph.first[s]): array for s, array in zip(graph.sources, inputs, strict=True)}
    channels = {(c.dst, c.port): c for c in graph.channels}
    n = len(inputs[0])

    @cache
    def firing(actor: int, number: int) -> npt.NDArray[np.float32]:
        """What firing ``number`` of an actor makes: its tokens, or the elements of its one token."""
        one = actors[actor]
        view, group = one.actor, one.actor.group
        terms = []
        sample, _ = divmod(number, group.firings)
        for edge, weight in zip(view.inputs, one.weights, strict=True):
            channel = channels[view.group_number, edge.port]
            if edge.producer in sources:
                return sources[edge.producer].reshape(n, -1)[sample, view.local : view.local + 1]
            for k in range(channel.consume):
                token = number * channel.consume + k - channel.initial_tokens
                per_sample = graph.tokens(channel.src)
                if token < (sample * per_sample if channel.reset else 0):
                    size = graph.groups[channel.src].size
                    local = edge.producer - int(graph.first[channel.src])
                    given = (
                        np.zeros(size) if channel.initial is None else per_actor(channel.initial, size, graph.params)
                    )
                    term = np.float32(0) + np.float32(given[local])
                elif channel.reset:
                    at = number % group.firings * channel.consume + k - channel.initial_tokens
                    term = token_of(edge.producer, sample * per_sample + at)
                else:
                    term = token_of(edge.producer, token)
                terms.append(weight * term)
        return fire(one, np.array(terms, np.float32))

    def token_of(actor: int, number: int) -> np.float32:
        made, which = divmod(
            number, graph.tokens(actors[actor].actor.group_number) // actors[actor].actor.group.firings
        )
        return np.float32(firing(actor, made)[which])

    found = {}
    for number, group in enumerate(graph.groups):
        if group.op == "source":
            continue
        ids = range(int(graph.first[number]), int(graph.first[number + 1]))
        values = np.array(
            [[[firing(a, i * group.firings + f) for a in ids] for f in range(group.firings)] for i in range(n)]
        )
        if group.op == "serial":
            values = values.transpose(0, 3, 2, 1)
        found[group.name] = values.astype(np.float32).reshape(n, -1)
    return found


@often
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(data=st.data(), reset=st.booleans())
def test_the_reference_runs_recurrent_graphs_as_they_are_defined(data: st.DataObject, reset: bool) -> None:
    graph = data.draw(recurrent(max_actors=30, reset=reset))
    inputs = data.draw(samples(graph))
    run = ReferenceEngine(graph).run(inputs)
    for name, expected in by_definition(graph, inputs).items():
        assert np.array_equal(bits(run.values[name].reshape(len(expected), -1)), bits(expected)), name


def leads_to_a_sink(graph: Graph, number: int) -> bool:
    """By networkx, group by group."""
    joined = nx.DiGraph((c.src, c.dst) for c in graph.channels)
    joined.add_nodes_from(range(len(graph.groups)))
    return not {number, *nx.descendants(joined, number)}.isdisjoint(graph.sinks)


@often
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(data=st.data(), reset=st.booleans())
def test_unrolled_graphs_have_the_same_values(data: st.DataObject, reset: bool) -> None:
    graph = data.draw(recurrent(reset=reset))
    inputs = data.draw(samples(graph))
    unrolled = unroll(graph)
    if not all(leads_to_a_sink(unrolled.graph, source) for source in unrolled.graph.sources):
        with pytest.raises(GraphError, match="no sink depends on"):
            Unroll()(graph)
        return
    made = Unroll()(graph)
    verify(made)
    assert made.homogeneous or not reset
    expected = ReferenceEngine(graph).run(inputs).values
    found = ReferenceEngine(made).run(inputs).values
    for number, group in enumerate(graph.groups):
        if group.op == "source":
            continue
        firings = unrolled.firings(number)
        assert len(firings) == graph.tokens(number)
        for k, firing in enumerate(firings):
            name = unrolled.graph.groups[firing].name
            wanted = expected[group.name] if len(firings) == 1 else expected[group.name][:, k]
            if leads_to_a_sink(unrolled.graph, int(firing)):
                assert np.array_equal(bits(found[name]), bits(wanted)), name
            else:
                assert name not in found


@given(graphs(max_actors=30))
def test_a_homogeneous_graph_stays_as_it_is(graph: Graph) -> None:
    assert dump(Unroll()(graph)) == dump(graph)


def test_a_recurrent_layer_unrolled(golden: Callable[[str, str], None]) -> None:
    lines = dump(Unroll()(rnn(2, 2, 2, sequences=True))).splitlines()
    found = "\n".join(line for line in lines if line.startswith(("group", "channel")))
    golden("unrolled_rnn.txt", found + "\n")


def test_the_steps_of_a_serial_window_are_rules_not_lists() -> None:
    made = unroll(rnn(50, 3, 5, sequences=True)).graph
    assert set(made.params) == set(rnn(50, 3, 5).params)


def test_names_that_are_there_already_are_not_taken() -> None:
    graph = rnn(2)
    groups = [dataclasses.replace(g, name="rnn@0") if g.name == "x" else g for g in graph.groups]
    made = Unroll()(Graph("rnn", groups, graph.channels, graph.params))
    assert {"rnn@0", "rnn@@0", "rnn@@1"} <= set(made.number)


def test_too_many_firings_are_refused_before_they_are_made() -> None:
    graph = rnn(2)
    groups = [dataclasses.replace(g, firings=10**12) if g.name == "rnn" else g for g in graph.groups]
    many = Graph("rnn", groups, graph.channels, graph.params)
    with pytest.raises(GraphError, match="unrolled it would have 1,000,000,000,006 groups"):
        unroll(many)


def test_rates_without_meaning_are_refused() -> None:
    graph = mlp(4, 3, 2)
    channels = [dataclasses.replace(c, produce=2, consume=2) if isinstance(c, OneToOne) else c for c in graph.channels]
    with pytest.raises(GraphError, match=r"rates 2:2; only a serial makes and only a take reads several tokens"):
        Unroll()(Graph("rates", graph.groups, channels, graph.params))
