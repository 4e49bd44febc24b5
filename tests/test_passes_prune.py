"""Pruning: what stays computes the same bits, what is left out is what adds nothing, and everybody can run the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import graphs, samples

from graphsim.cli import main
from graphsim.graph import Csr, Dense, Graph, Group, OneToOne, Ref
from graphsim.graph.verify import verify
from graphsim.passes import PruneZeros
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine

FloatArray = npt.NDArray[np.float32]


def thinned(graph: Graph, share: float, seed: int) -> Graph:
    """The graph with so many of its floating-point params' elements, chosen at random, set to zero."""
    rng = np.random.default_rng(seed)
    divisors = {g.params["divisor"].name for g in graph.groups if "divisor" in g.params}
    params = {
        name: np.where(rng.random(array.shape) < share, np.float32(0), array)
        if array.dtype == np.float32 and name not in divisors
        else array
        for name, array in graph.params.items()
    }
    return Graph(graph.name, graph.groups, graph.channels, params, graph.notes)


def of_the_kept(graph: Graph, pruned: Graph, name: str, values: FloatArray) -> FloatArray:
    """The values of the original group that are left in the pruned one."""
    group = pruned.groups[pruned.number[name]]
    if "element" not in group.params:
        return values
    flat = values.reshape(len(values), -1)
    return flat[:, pruned.params[group.params["element"].name]]


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.integers(0, 2**16))
def test_every_value_that_is_left_keeps_its_bits(data: st.DataObject, share: float, seed: int) -> None:
    graph = thinned(data.draw(graphs()), share, seed)
    x = data.draw(samples(graph))
    before = ReferenceEngine(graph).run(x).values
    if not all(np.isfinite(values).all() for values in before.values()):
        return  # 0 times infinity is not left out without trace, as the pass says
    pruned = PruneZeros()(graph)
    assert pruned.edge_count <= graph.edge_count
    assert pruned.actor_count <= graph.actor_count
    for make in (ReferenceEngine, LanesEngine):
        after = make(pruned).run(x).values
        for name, values in after.items():
            wanted = of_the_kept(graph, pruned, name, before[name])
            assert wanted.reshape(values.shape).tobytes() == values.tobytes()
    again = PruneZeros()(pruned)
    assert (again.actor_count, again.edge_count) == (pruned.actor_count, pruned.edge_count)


def test_what_is_left_of_a_net_is_what_leads_from_input_to_output() -> None:
    """Against a plain search over single edges, with networkx."""
    import networkx as nx

    graph = thinned(mlp(30, 40, 5), 0.95, 3)
    graph.params["dense/bias"].flags.writeable = False
    pruned = PruneZeros()(graph)
    whole = nx.DiGraph()
    zero = set()
    for actor in graph:
        bias = actor.param("bias") or 0.0
        terms = [e for e in actor.inputs if e.weight != 0 and e.producer not in zero]
        if actor.group.op == "linear" and not terms and bias == 0:
            zero.add(actor.id)
        whole.add_node(actor.id)
        whole.add_edges_from((e.producer, actor.id) for e in (terms if actor.group.op == "linear" else actor.inputs))
    sinks = [int(graph.first[number]) for number in graph.sinks]
    live = set().union(*(nx.ancestors(whole, sink) for sink in sinks))
    expected = [a.local for a in graph if a.id in live and a.group.name == "dense"]
    group = pruned.groups[pruned.number["dense"]]
    assert pruned.params[group.params["element"].name].tolist() == expected
    assert 0 < len(expected) < 40
    sums = [a for a in graph if a.group.op == "linear" and a.id in live]
    edges = sum((e.producer, a.id) in whole.edges for a in sums for e in a.inputs)
    assert sum(pruned.edges_of(c) for c in pruned.channels if pruned.groups[c.dst].op == "linear") == edges


def test_a_dense_bundle_stays_where_a_list_of_edges_would_take_more_memory() -> None:
    few, many = (PruneZeros()(thinned(mlp(30, 40, 5), share, 1)) for share in (0.3, 0.9))
    assert isinstance(few.channels_into(2)[0], Dense)
    assert isinstance(many.channels_into(2)[0], Csr)
    assert PruneZeros()(mlp(30, 40, 5)).channels == mlp(30, 40, 5).channels


def test_a_layer_of_zeros_is_constant() -> None:
    graph = thinned(mlp(6, 4, 3), 1.0, 0)
    pruned = PruneZeros()(graph)
    verify(pruned)
    x = np.ones((2, 6), np.float32)
    np.testing.assert_array_equal(
        ReferenceEngine(pruned).run(x).values["sink"], ReferenceEngine(graph).run(x).values["sink"]
    )


def test_a_sum_of_two_branches_loses_the_dead_part_of_both() -> None:
    params = {
        "a": np.array([[1, 0, 2], [0, 0, 3]], np.float32),
        "b": np.array([[1, 0, 0], [1, 0, 0]], np.float32),
        "w": np.array([[1], [1], [1]], np.float32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(2,)),
        Group(name="left", op="linear", shape=(3,), activation="relu"),
        Group(name="right", op="linear", shape=(3,)),
        Group(name="both", op="sum", shape=(3,)),
        Group(name="y", op="linear", shape=(1,)),
        Group(name="sink", op="collect"),
    ]
    channels = [
        Dense(src=0, dst=1),
        Dense(src=1, dst=2, weight=Ref("a")),
        Dense(src=1, dst=3, weight=Ref("b")),
        OneToOne(src=2, dst=4),
        OneToOne(src=3, dst=4, port=1),
        Dense(src=4, dst=5, weight=Ref("w")),
        Dense(src=5, dst=6),
    ]
    graph = Graph("branches", groups, channels, params)
    pruned = PruneZeros()(graph)
    sizes = {g.name: g.size for g in pruned.groups}
    assert sizes == {"source": 1, "x": 2, "left": 2, "right": 1, "both": 2, "y": 1, "sink": 1}
    x = np.array([[1, -2], [3, 4]], np.float32)
    np.testing.assert_array_equal(
        ReferenceEngine(pruned).run(x).values["sink"], ReferenceEngine(graph).run(x).values["sink"]
    )


def test_the_pruned_graph_is_compared_element_by_element() -> None:
    from graphsim.compare import compare

    graph = thinned(mlp(30, 40, 5), 0.95, 3)
    pruned = PruneZeros()(graph)
    x = np.random.default_rng(0).normal(0, 1, (3, 30)).astype(np.float32)
    whole = ReferenceEngine(graph).run(x).values
    shown = {(g.layer, g.call, g.observes): whole[g.name] for g in graph.groups if g.observes}
    comparison = compare(pruned, ReferenceEngine(pruned).run(x), shown)
    assert comparison.first_divergence is None
    assert next(a for a in comparison.layers if a.name == "dense").checked == 3 * pruned.groups[2].size
    shown["dense", 0, "output"] = shown["dense", 0, "output"][:, ::-1].copy()
    assert compare(pruned, ReferenceEngine(pruned).run(x), shown).first_divergence is not None


def test_the_command_reports_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(__file__).parent.parent / "models" / "digits_mlp.h5"
    target, report = tmp_path / "d.gsim", tmp_path / "d.json"
    assert main(["lower", str(model), "-o", str(target), "--prune-zeros", "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["pruned"]["actors"]["after"] <= found["pruned"]["actors"]["before"]
    assert found["pruned"]["edges"]["after"] == found["graph"]["edges"]
    assert "left out" in found["graph"]["notes"]["pruned"]
