"""The oracle itself: its shortcut, its rules on cases worked by hand, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from engine_cases import EDGES, bits, chain
from graphs import mlp, rnn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphsim.errors import GraphError
from graphsim.graph import Csr, Dense, Graph, Group, OneToOne, Ref, Table
from graphsim.graph.firing import fold
from graphsim.graph.ops import OPS, argmax, sparsemax
from graphsim.simulate.reference import ReferenceEngine

floats = hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(width=32) | st.sampled_from(EDGES.tolist()))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(terms=floats, op=st.sampled_from(["linear", "sum"]))
def test_sums_are_the_loop_over_the_step(terms: np.ndarray, op: str) -> None:
    step = OPS[op].step
    assert step is not None
    acc = np.float32(0)
    for term in terms:
        acc = step(acc, term)
    assert bits(np.array([fold(op, terms)])) == bits(np.array([acc], np.float32))


def test_sums_add_from_left_to_right() -> None:
    terms = np.array([1e8, 1.0, -1e8, 1.0], np.float32)
    assert fold("sum", terms) == 1.0
    assert fold("sum", terms[[0, 2, 1, 3]]) == 2.0


def test_a_term_is_rounded_before_it_is_added() -> None:
    # 4097**2 = 16785409 needs 25 bits; fused, the difference would be 1.
    dense = Dense(src=1, dst=2, weight=Ref("w"))
    graph = chain(Group(name="g", op="linear", shape=(1,)), 2, dense, {"w": np.array([[-1.0], [4097.0]], np.float32)})
    run = ReferenceEngine(graph).run(np.array([[16785408.0, 4097.0]], np.float32))
    assert run.values["g"].tolist() == [[0.0]]


def test_the_mean_divides_then_adds_the_bias_then_divides() -> None:
    params = {"b": np.array([2.0], np.float32), "d": np.array([4.0], np.float32)}
    group = Group(name="g", op="mean", shape=(1,), params={"bias": Ref("b"), "divisor": Ref("d")})
    run = ReferenceEngine(chain(group, 3, Dense(src=1, dst=2), params)).run(np.array([[3, 6, 9]], np.float32))
    assert run.values["g"].tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("op", "expected"), [("max", 5.0), ("min", -2.0), ("product", -30.0), ("sum", 6.0), ("linear", 6.0), ("mean", 2.0)]
)
def test_folds(op: str, expected: float) -> None:
    graph = chain(Group(name="g", op=op, shape=(1,)), 3, Dense(src=1, dst=2), {})
    run = ReferenceEngine(graph).run(np.array([[3, -2, 5]], np.float32))
    assert run.values["g"].tolist() == [[expected]]


def test_extremes_keep_a_nan() -> None:
    terms = np.array([1.0, np.nan, 2.0], np.float32)
    assert np.isnan(fold("max", terms))
    assert np.isnan(fold("min", terms[[1, 0, 2]]))


@given(floats)
def test_argmax_is_numpys(terms: np.ndarray) -> None:
    assert argmax(terms) == np.argmax(terms)


@given(hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-50, 50, width=32)))
def test_sparsemax_leaves_a_distribution(terms: np.ndarray) -> None:
    # tau is defined by sum(max(z - tau, 0)) = 1 (Martins and Astudillo 2016, eq. 3); here in float64. Of k terms of
    # at most 51, tau takes k + 2 roundings of a sum of at most 51 k, divided by k; k terms carry its error.
    left = np.maximum(terms.astype(np.float64) - float(sparsemax(terms)), 0.0)
    assert abs(left.sum() - 1.0) <= len(terms) * (len(terms) + 2) * 51 * 2.0**-24


def test_sparsemax_of_huge_terms_stays_finite() -> None:
    assert sparsemax(np.array([1e9, 0.0], np.float32)) == np.float32(1e9)


def test_channel_order_is_port_by_port() -> None:
    params = {
        "t": np.array([[2, 0]], np.int32),
        "tw": np.array([[1.0, 1.0]], np.float32),
        "p": np.array([0, 1], np.int64),
        "i": np.array([1], np.int32),
        "cw": np.array([0.5], np.float32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="input", op="input", shape=(3,)),
        Group(name="g", op="linear", shape=(1,)),
        Group(name="sink", op="collect"),
    ]
    channels = [
        Dense(src=0, dst=1),
        Csr(src=1, dst=2, port=1, indptr="p", index="i", weight=Ref("cw")),
        Table(src=1, dst=2, port=0, index="t", weight=Ref("tw")),
        Dense(src=2, dst=3),
    ]
    run = ReferenceEngine(Graph("ports", groups, channels, params)).run(np.array([[1e8, 2.0, -1e8]], np.float32))
    assert run.values["g"].tolist() == [[1.0]]


def test_a_parameter_per_actor_is_the_activations_argument() -> None:
    group = Group(name="g", op="linear", shape=(4,), activation="leaky_relu", params={"alpha": Ref("a", 2)})
    graph = chain(group, 4, OneToOne(src=1, dst=2), {"a": np.array([0.5, 0.25], np.float32)})
    run = ReferenceEngine(graph).run(np.array([[-4, -4, -4, -4]], np.float32))
    assert run.values["g"].tolist() == [[-2.0, -2.0, -1.0, -1.0]]


def test_what_a_run_holds() -> None:
    run = ReferenceEngine(mlp(6, 5, 3)).run(np.zeros((2, 6), np.float32))
    shapes = {name: array.shape for name, array in run.values.items()}
    assert shapes == {
        "pixels": (2, 6),
        "dense": (2, 5),
        "dense_1": (2, 3),
        "dense_1.max": (2, 1),
        "dense_1.exp": (2, 3),
        "dense_1.sum": (2, 1),
        "dense_1.softmax": (2, 3),
        "sink": (2, 2),
    }
    assert (run.engine, run.samples, run.timing) == ("reference", 2, None)


def test_a_graph_that_breaks_its_rules_is_refused() -> None:
    graph = chain(Group(name="g", op="max", shape=(2,)), 3, OneToOne(src=1, dst=2), {})
    with pytest.raises(GraphError, match="one-to-one between 3 producers and 2 consumers"):
        ReferenceEngine(graph)


def test_rates_without_meaning_are_refused() -> None:
    channel = OneToOne(src=1, dst=2, produce=2, consume=2)
    graph = chain(Group(name="g", op="max", shape=(3,)), 3, channel, {})
    with pytest.raises(GraphError, match=r"input -> g \(port 0\): rates 2:2; only a serial"):
        ReferenceEngine(graph)


def test_a_recurrent_layer_by_hand() -> None:
    graph = rnn(3, 2, 2, sequences=True)
    w, u, b = (graph.params[f"rnn/{name}"].astype(np.float64) for name in ("kernel", "recurrent_kernel", "bias"))
    x = np.random.default_rng(1).normal(0, 1, (4, 3, 2)).astype(np.float32)
    run = ReferenceEngine(graph).run(x)
    h = np.zeros((4, 2))
    for t in range(3):
        h = np.tanh(x[:, t].astype(np.float64) @ w + h @ u + b)
        np.testing.assert_allclose(run.values["rnn"][:, t], h, rtol=1e-5, atol=1e-6)
    assert np.array_equal(run.values["states"], run.values["rnn"])
    assert np.array_equal(run.values["steps"], x)
    assert run.values["sink"].shape == (4, 6)


def test_state_goes_from_sample_to_sample_unless_it_is_reset() -> None:
    graph = rnn(2, 2, 2, sequences=True)
    channels = [dataclasses.replace(c, reset=False) for c in graph.channels]
    stateful = Graph("stateful", graph.groups, channels, graph.params)
    x = np.random.default_rng(1).normal(0, 1, (3, 2, 2)).astype(np.float32)
    found = ReferenceEngine(stateful).run(x).values["states"]
    longer = rnn(6, 2, 2, sequences=True)
    whole = ReferenceEngine(
        Graph("longer", longer.groups, longer.channels, {**graph.params, "rnn/pick": longer.params["rnn/pick"]})
    )
    assert np.array_equal(found.reshape(1, 6, 2), whole.run(x.reshape(1, 6, 2)).values["states"])
    assert np.array_equal(found[0], ReferenceEngine(graph).run(x).values["states"][0])
    assert not np.array_equal(found[1], ReferenceEngine(graph).run(x).values["states"][1])


def test_initial_tokens_have_a_value() -> None:
    graph = rnn(1, 2, 2)
    initial = np.array([0.5, -0.0], np.float32)
    channels = [dataclasses.replace(c, initial=Ref("h0")) if c.initial_tokens else c for c in graph.channels]
    run = ReferenceEngine(Graph("initial", graph.groups, channels, {**graph.params, "h0": initial})).run(
        np.zeros((1, 1, 2), np.float32)
    )
    u, b = (graph.params[f"rnn/{name}"] for name in ("recurrent_kernel", "bias"))
    np.testing.assert_allclose(run.values["states"][0], np.tanh(0.5 * u[0] + b), rtol=1e-6)
