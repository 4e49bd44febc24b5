"""Rounding bounds: never broken by any order of summation, fused or not, and not loose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from strategies import ACTIVATION_ARGS, OTHER_ARGS, graphs, samples

from graphsim.analysis.functions import VECTORISED, apply, reach
from graphsim.analysis.rounding import GRAPHSIM, TENSORFLOW, Arithmetic, Ball, Rounding, gamma
from graphsim.errors import GraphError, SimulationError
from graphsim.graph import Axis, Channel, Dense, Graph, Group, OneToOne, Ref, Window
from graphsim.graph.arithmetic import raised
from graphsim.graph.ops import ACTIVATIONS
from graphsim.simulate.reference import ReferenceEngine

ARGUMENTS = {**OTHER_ARGS, **ACTIVATION_ARGS}
ALMOST_ANYTHING = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def layer(inputs: int, outputs: int, rng: np.random.Generator, activation: str = "linear") -> Graph:
    """One dense layer with random weights of mixed sizes and signs."""
    params = {
        "w": (rng.normal(0, 1, (inputs, outputs)) * 2.0 ** rng.integers(-6, 6, (inputs, outputs))).astype(np.float32),
        "b": rng.normal(0, 1, outputs).astype(np.float32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(inputs,)),
        Group(name="y", op="linear", shape=(outputs,), activation=activation, params={"bias": Ref("b")}),
        Group(name="sink", op="collect"),
    ]
    channels = [Dense(src=0, dst=1), Dense(src=1, dst=2, weight=Ref("w")), Dense(src=2, dst=3)]
    return Graph("layer", groups, channels, params)


def runnable(data: st.DataObject) -> tuple[Graph, Mapping[str, npt.NDArray[np.float32]]]:
    """A random graph that engines run, and its values for a few random samples."""
    graph = data.draw(graphs(windows=data.draw(st.booleans())))
    try:
        values = ReferenceEngine(graph).run(data.draw(samples(graph))).values
    except SimulationError:
        reject()
    assume(not any(np.isnan(array).any() for array in values.values()))  # a lookup of an entry that is not there
    return graph, values


def outside(values: npt.NDArray[np.float32], ball: Ball) -> npt.NDArray[np.bool_]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    return ~((flat == ball.value) | (np.abs(flat - ball.value) <= ball.spread))


def left_to_right(terms: npt.NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for term in terms:
        total = np.float32(total + term)
    return total


def pairwise(terms: npt.NDArray[np.float32]) -> np.float32:
    while len(terms) > 1:
        half = len(terms) // 2
        terms = np.concatenate([(terms[:half] + terms[half : 2 * half]).astype(np.float32), terms[2 * half :]])
    return np.float32(terms[0])


def fused(w: npt.NDArray[np.float32], x: npt.NDArray[np.float32]) -> np.float32:
    """A chain of fused multiply-adds: the float64 product is exact; long double adds to it before the one rounding."""
    total = np.float32(0)
    for a, b in zip(w, x, strict=True):
        total = np.float32(np.longdouble(total) + np.longdouble(a) * np.longdouble(b))
    return total


@ALMOST_ANYTHING
@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(1, 60), zeros=st.sampled_from([0.0, 0.5, 0.9]))
def test_no_order_of_summation_leaves_the_bound(seed: int, inputs: int, zeros: float) -> None:
    rng = np.random.default_rng(seed)
    graph = layer(inputs, 3, rng)
    x = (rng.normal(0, 1, (2, inputs)) * (rng.random((2, inputs)) >= zeros)).astype(np.float32)
    w, b = graph.params["w"], graph.params["b"]
    ball = Rounding(graph).evaluate(2, {1: Ball.observed(x)}, GRAPHSIM)
    for i in range(2):
        for j in range(3):
            order = rng.permutation(inputs)
            products = (w[order, j] * x[i, order]).astype(np.float32)
            found = [
                np.float32(left_to_right(products) + b[j]),
                left_to_right(np.concatenate([b[j : j + 1], products])),
                pairwise(np.concatenate([products, b[j : j + 1]])),
                np.float32(fused(w[order, j], x[i, order]) + b[j]),
                np.float32(pairwise(products[::2]) + (pairwise(products[1::2]) if inputs > 1 else 0)) + b[j],
            ]
            exact, radius = ball.value[i, j], ball.spread[i, j]
            assert [abs(float(value) - exact) <= radius for value in found] == [True] * len(found)


def convolution(seed: int) -> tuple[Graph, npt.NDArray[np.float32]]:
    """A 3x3 convolution with padding same and a bias, from 5x4x3 to 5x4x2, and two samples with some zeros."""
    rng = np.random.default_rng(seed)
    axes = (
        Axis(5, 5, taps=3, pad=1, weight_tap=18),
        Axis(4, 4, taps=3, pad=1, weight_tap=6),
        Axis(3, 2, taps=3, stride=0, weight_tap=2, weight_consumer=1),
    )
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(5, 4, 3)),
        Group(name="y", op="linear", shape=(5, 4, 2), params={"bias": Ref("b")}),
        Group(name="sink", op="collect"),
    ]
    channels = [Dense(src=0, dst=1), Window(src=1, dst=2, axes=axes, weight=Ref("k")), Dense(src=2, dst=3)]
    kernel = rng.normal(0, 1, (3, 3, 3, 2)) * 2.0 ** rng.integers(-6, 6, (3, 3, 3, 2))
    params = {"k": kernel.astype(np.float32), "b": rng.normal(0, 1, 2).astype(np.float32)}
    x = rng.normal(0, 1, (2, 60)) * (rng.random((2, 60)) < rng.choice([0.3, 1.0]))
    return Graph("convolution", groups, channels, params), x.astype(np.float32)


@ALMOST_ANYTHING
@given(seed=st.integers(0, 2**32 - 1))
def test_no_order_of_summation_leaves_the_bound_of_a_convolution(seed: int) -> None:
    graph, x = convolution(seed)
    rng = np.random.default_rng(seed)
    for arithmetic in (GRAPHSIM, TENSORFLOW):
        ball = Rounding(graph).evaluate(2, {1: Ball.observed(x)}, arithmetic)
        for j in range(40):
            edges = graph.channels[1].inputs(j, 60, 40, graph.params)
            assert edges.weight is not None
            order = rng.permutation(len(edges.src))
            w, terms = graph.params["k"].reshape(-1)[edges.weight[order]], x[:, edges.src[order]]
            bias, exact = graph.params["b"][j % 2], terms.astype(np.float64) @ w.astype(np.float64)
            assert ball.value[:, j] == pytest.approx(exact + float(bias), rel=1e-12, abs=1e-12)
            for i in range(2):
                products = (w * terms[i]).astype(np.float32)
                found = [pairwise(products) + bias, left_to_right(products) + bias, fused(w, terms[i]) + bias]
                error = [abs(float(value) - ball.value[i, j]) for value in found]
                assert max(error) <= ball.spread[i, j]


def assert_is_bound(found: Any, exact: Any) -> None:
    """Never below what is proved; above it by no more than summing sizes in float32 may take."""
    assert (found >= exact).all()
    assert (found <= exact * (1 + 1e-5)).all()


def test_a_convolution_counts_the_terms_that_a_border_leaves() -> None:
    """Higham's k is that of each consumer: 12 terms in a corner, 18 at an edge, 27 inside, and the bias."""
    graph, _ = convolution(1)
    x = np.ones((1, 60), np.float32)
    ball = Rounding(graph).evaluate(2, {1: Ball.observed(x)}, GRAPHSIM)
    kernel, bias = (np.abs(graph.params[name].astype(np.float64)) for name in "kb")
    assert_is_bound(ball.spread.reshape(5, 4, 2)[0, 0], gamma(13).item() * (kernel[1:, 1:].sum((0, 1, 2)) + bias))
    assert_is_bound(ball.spread.reshape(5, 4, 2)[2, 1], gamma(28).item() * (kernel.sum((0, 1, 2)) + bias))


def three(op: str, sizes: tuple[int, ...], channels: list[Channel], size: int, **more: Any) -> Graph:
    """Inputs of some sizes into one group."""
    groups = [Group(name=f"x{i}", op="input", shape=(n,)) for i, n in enumerate(sizes)]
    return Graph(
        op, [*groups, Group(name="y", op=op, shape=(size,), params=more.get("params", {}))], channels, more["arrays"]
    )


@ALMOST_ANYTHING
@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([0.0, 1e-4]))
def test_a_dot_of_two_tensors_holds_any_order_and_any_operands_in_their_balls(seed: int, shift: float) -> None:
    """A 3x5 by 5x2 matrix product, two operands off by up to ``shift``."""
    rng = np.random.default_rng(seed)
    left = Window(src=0, dst=2, port=0, axes=(Axis(3, 3), Axis(5, 2, taps=5, stride=0)))
    right = Window(src=1, dst=2, port=1, axes=(Axis(5, 3, taps=5, stride=0), Axis(2, 2)))
    graph = three("dot", (15, 10), [left, right], 6, arrays={})
    a, b = (rng.normal(0, 1, (1, n)) * (rng.random(n) < 0.7) for n in (15, 10))
    near = [(v + rng.uniform(-shift, shift, v.shape)).astype(np.float32) for v in (a, b)]
    radius = [np.abs(n - v) for n, v in zip(near, (a, b), strict=True)]
    ball = Rounding(graph).evaluate(2, {0: Ball(a, radius[0]), 1: Ball(b, radius[1])}, GRAPHSIM)
    assert ball.value == pytest.approx((a.reshape(3, 5) @ b.reshape(5, 2)).reshape(1, 6), rel=1e-13, abs=1e-13)
    for i, j in np.ndindex(3, 2):
        order = rng.permutation(5)
        x, y = near[0].reshape(3, 5)[i, order], near[1].reshape(5, 2)[order, j]
        for found in (fused(x, y), pairwise(x * y), left_to_right(x * y)):
            assert abs(float(found) - ball.value[0, 2 * i + j]) <= ball.spread[0, 2 * i + j]


def test_a_dot_bound_is_highams_with_the_terms_that_are_not_zero() -> None:
    graph = three("dot", (4, 4), [Dense(src=0, dst=2), Dense(src=1, dst=2, port=1)], 1, arrays={})
    a, b = np.array([[1.5, 0, 3, -2]]), np.array([[2.0, 1, 0, 0.25]])
    ball = Rounding(graph).evaluate(2, {0: Ball(a), 1: Ball(b)}, GRAPHSIM)
    assert (ball.value[0, 0], ball.spread[0, 0]) == (2.5, pytest.approx(gamma(2).item() * 3.5, rel=1e-6))


def test_a_select_copies_one_or_holds_both() -> None:
    channels: list[Channel] = [OneToOne(src=i, dst=3, port=i) for i in range(3)]
    graph = three("select", (6, 6, 6), channels, 6, arrays={})
    chosen = Ball(np.array([[0.0, 1.0, np.nan, 0.5, 0.5, 0.0]]), np.array([[0.0, 0.0, 0.0, 0.25, 0.5, 1.0]]))
    one, other = Ball(np.full((1, 6), 3.0), np.full((1, 6), 0.5)), Ball(np.full((1, 6), -1.0))
    ball = Rounding(graph).evaluate(3, {0: chosen, 1: one, 2: other}, GRAPHSIM)
    assert ball.value[0].tolist() == [-1, 3, 3, 3, 1.25, 1.25]
    assert ball.spread[0] == pytest.approx([0, 0.5, 0.5, 0.5, 2.25, 2.25], rel=1e-6)
    assert ball.spread[0, 0] == 0
    assert (ball.spread[0, 1:] >= [0.5, 0.5, 0.5, 2.25, 2.25]).all()


@ALMOST_ANYTHING
@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([0.0, 1e-4, 0.5]), is_whole=st.booleans())
def test_a_power_holds_any_operands_in_their_balls(seed: int, shift: float, is_whole: bool) -> None:
    """Positive bases to any exponent, and bases around 0 to whole ones."""
    rng = np.random.default_rng(seed)
    graph = three("power", (40, 40), [OneToOne(src=i, dst=2, port=i) for i in range(2)], 40, arrays={})
    base, exponent = rng.normal(0, 2, (1, 40)), rng.normal(0, 3, (1, 40))
    if is_whole:
        exponent = np.rint(exponent)
    else:
        base = np.abs(base)
    near = base + rng.uniform(-shift, shift, base.shape), exponent + (0 if is_whole else rng.uniform(-shift, shift))
    x, y = (array.astype(np.float32) for array in near)
    balls = {0: Ball(base, np.abs(x - base)), 1: Ball(exponent, np.abs(y - exponent))}
    ball = Rounding(graph).evaluate(2, balls, GRAPHSIM)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
        found = np.array([[raised(a, b) for a, b in zip(x[0], y[0], strict=True)]], np.float32)
    assert found == pytest.approx(exact.astype(np.float32), rel=2e-7, nan_ok=True)
    known = np.isfinite(exact) & np.isfinite(ball.spread)
    assert known.sum() > (10 if shift < 0.5 else 0)
    assert (np.abs(found - ball.value) <= ball.spread)[known].all()


def test_a_lookup_copies() -> None:
    graph = three(
        "lookup",
        (5,),
        [OneToOne(src=0, dst=1)],
        5,
        params={"table": Ref("t")},
        arrays={"t": np.arange(3, dtype="f")[:, None] / 3},
    )
    number = Ball(np.array([[0.0, 2.0, 1.125, 3.0, -1.5]]))
    ball = Rounding(graph).evaluate(1, {0: number}, TENSORFLOW)
    assert ball.value[0].tolist() == pytest.approx(
        [0, float(np.float32(2) / 3), float(np.float32(1) / 3), np.nan, float(np.float32(2) / 3)], nan_ok=True
    )
    assert ball.spread[0].tolist() == [0] * 5
    ball = Rounding(graph).evaluate(1, {0: Ball(number.value, np.full((1, 5), 0.25))}, TENSORFLOW)
    assert ball.spread[0].tolist() == [0, np.inf, np.inf, np.inf, 0]


@pytest.mark.parametrize("arithmetic", [GRAPHSIM, TENSORFLOW])
def test_what_is_infinite_for_sure_stays_certain(arithmetic: Arithmetic) -> None:
    """A masked score: minus infinity less the greatest, e to that is 0, with nothing to doubt."""
    channels: list[Channel] = [OneToOne(src=0, dst=2), OneToOne(src=1, dst=2, port=1)]
    groups = [Group(name=n, op="input", shape=(2,)) for n in "ab"]
    graph = Graph("masked", [*groups, Group(name="y", op="subtract", shape=(2,), activation="exp")], channels, {})
    inputs = {0: Ball(np.array([[-np.inf, 1.0]])), 1: Ball(np.array([[2.0, 2.0]]), np.array([[1e-6, 1e-6]]))}
    ball = Rounding(graph).evaluate(2, inputs, arithmetic)
    assert ball.value[0].tolist() == [0, np.exp(-1)]
    assert ball.spread[0, 0] < 1e-37
    assert 1e-7 < ball.spread[0, 1] < 1e-5


@ALMOST_ANYTHING
@given(data=st.data())
def test_the_engines_arithmetic_stays_within_the_bounds_of_every_kind_of_group(data: st.DataObject) -> None:
    graph, values = runnable(data)
    rounding = Rounding(graph)
    balls = {graph.number[name]: Ball.observed(array) for name, array in values.items()}
    for number, group in enumerate(graph.groups):
        if rounding.producers(number):
            judged = outside(values[group.name], rounding.evaluate(number, balls, GRAPHSIM))
            assert not judged.any(), group


@ALMOST_ANYTHING
@given(data=st.data())
def test_radii_carry_through_groups_that_were_not_observed(data: st.DataObject) -> None:
    """From the inputs alone: every later value lies in a ball computed from balls."""
    graph, values = runnable(data)
    rounding = Rounding(graph)
    balls: dict[int, Ball] = {}
    for number, group in enumerate(graph.groups):
        if group.op == "input":
            balls[number] = Ball.observed(values[group.name])
        elif rounding.producers(number):
            balls[number] = rounding.evaluate(number, balls, GRAPHSIM)
            assert not outside(values[group.name], balls[number]).any(), group


def test_weights_slightly_off_are_found() -> None:
    """The bounds are not loose: a weight off by a relative 2**-8 shows on most inputs of ordinary size."""
    rng = np.random.default_rng(7)
    graph = layer(128, 40, rng)
    x = np.abs(rng.normal(0, 1, (50, 128))).astype(np.float32)
    graph = Graph("plain", graph.groups, graph.channels, {**graph.params, "w": rng.normal(0, 1, (128, 40)).astype("f")})
    kernel = graph.params["w"].copy()
    rows = rng.integers(0, 128, 40)
    kernel[rows, np.arange(40)] *= np.float32(1 + 2.0**-8)
    wrong = Graph("wrong", graph.groups, graph.channels, {**graph.params, "w": kernel})
    values = ReferenceEngine(graph).run(x).values["y"]
    right, found = (Rounding(g).evaluate(2, {1: Ball.observed(x)}, GRAPHSIM) for g in (graph, wrong))
    assert not outside(values, right).any()
    assert outside(values, found).any(axis=0).mean() > 0.9


def test_the_bound_is_highams_with_the_terms_that_are_not_zero() -> None:
    graph = layer(100, 1, np.random.default_rng(1))
    x = np.zeros((1, 100), np.float32)
    x[0, :7] = 1.5
    ball = Rounding(graph).evaluate(2, {1: Ball.observed(x)}, GRAPHSIM)
    w, b = graph.params["w"].astype(np.float64)[:, 0], float(graph.params["b"][0])
    scale = 1.5 * np.abs(w[:7]).sum() + abs(b)
    assert ball.value[0, 0] == pytest.approx(1.5 * w[:7].sum() + b, rel=1e-14)
    assert_is_bound(ball.spread[0, 0], 8 * 2.0**-24 / (1 - 8 * 2.0**-24) * scale)


def test_gamma() -> None:
    assert gamma(1).item() == 2.0**-24 / (1 - 2.0**-24)
    assert gamma(2.0**24).item() == np.inf


def test_a_neuron_that_is_off_for_sure_has_no_room() -> None:
    graph = layer(3, 1, np.random.default_rng(2), activation="relu")
    w = graph.params["w"].astype(np.float64)[:, 0]
    x = (-100 * np.sign(w)).astype(np.float32)[None, :]
    ball = Rounding(graph).evaluate(2, {1: Ball.observed(x)}, TENSORFLOW)
    assert (ball.value[0, 0], ball.spread[0, 0]) == (0.0, 0.0)


def test_overflow_leaves_nothing_to_say() -> None:
    graph = layer(2, 1, np.random.default_rng(2))
    x = np.full((1, 2), 3e38, np.float32)
    big = Graph("big", graph.groups, graph.channels, {"w": np.full((2, 1), 2, np.float32), "b": graph.params["b"]})
    assert Rounding(big).evaluate(2, {1: Ball.observed(x)}, GRAPHSIM).spread[0, 0] == np.inf


def test_a_state_of_the_sample_before_is_an_input_of_its_own() -> None:
    graph, rng = layer(2, 2, np.random.default_rng(0)), np.random.default_rng(1)
    x, before = (rng.normal(size=(1, 2)).astype(np.float32) for _ in range(2))
    channels = [*graph.channels, OneToOne(src=2, dst=2, port=1, initial_tokens=1)]
    rounding = Rounding(Graph("loop", graph.groups, channels, graph.params))
    assert rounding.carried == {2}
    balls = {1: Ball.observed(x), ~2: Ball.observed(before)}
    alone = Rounding(graph).evaluate(2, balls, GRAPHSIM)
    np.testing.assert_allclose(rounding.evaluate(2, balls, GRAPHSIM).value, alone.value + before, rtol=1e-15)


@pytest.mark.parametrize("kind", [{"initial_tokens": 2}, {"initial_tokens": 1, "reset": True}])
def test_other_feedback_has_no_rounding_rule(kind: dict[str, Any]) -> None:
    graph = layer(2, 2, np.random.default_rng(0))
    channels = [OneToOne(src=2, dst=2, port=1, **kind), *graph.channels]
    with pytest.raises(GraphError, match="initial tokens"):
        Rounding(Graph("loop", graph.groups, channels, graph.params))


def test_softmax_bound_runs_from_the_logits_to_the_classes() -> None:
    """Max, exp and sum unseen: the classes' radii are still a few dozen ulps, and hold float32 softmaxes."""
    graph = mlp(8, 6, 5)
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 8, (200, 5)).astype(np.float32)
    rounding, number = Rounding(graph), graph.number
    balls = {number["dense_1"]: Ball.observed(logits)}
    for name in ("dense_1.max", "dense_1.exp", "dense_1.sum", "dense_1.softmax"):
        balls[number[name]] = rounding.evaluate(number[name], balls, TENSORFLOW)
    found = balls[number["dense_1.softmax"]]
    shifted = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    assert exps.dtype == np.float32
    for softmax in (exps / exps.sum(axis=1, keepdims=True), exps * (1 / exps.sum(axis=1, keepdims=True))):
        assert not outside(softmax, found).any()
    ulps = found.spread / (2.0**-24 * found.value)
    assert ulps.max() < 2 * (40 + np.abs(shifted).max())


#: Activations of positive operands.
POSITIVE = ("log", "sqrt", "rsqrt", "power", "log1p")


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_vectorised_forms_are_the_rules(name: str) -> None:
    rng = np.random.default_rng(5)
    args = ARGUMENTS.get(name, ())
    x = np.concatenate([rng.normal(0, 3, 2000), rng.normal(0, 40, 500), [-1.0, 0.0, 0.5, 1.0, 3.0, -3.0]])
    x = x[x != 0] if name in ("reciprocal", *POSITIVE) else x
    x = np.abs(x) if name in POSITIVE else x
    if ACTIVATIONS[name].steepest is not None:
        x = x.astype(np.float32).astype(np.float64)  # angles are reduced as float32 numbers
    found = apply(name, x, args)
    expected = np.array([ACTIVATIONS[name].rule(float(v), *args) for v in x])
    allowance = ACTIVATIONS[name].reference(*args)
    room = 2.0**-47 * (np.abs(expected) + allowance.operand * np.abs(x) + allowance.absolute)
    assert (np.abs(found - expected) <= room).all(), x[np.abs(found - expected) > room]


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_reach_covers_every_point_of_the_interval(name: str) -> None:
    rng = np.random.default_rng(6)
    args = ARGUMENTS.get(name, ())
    x, error = rng.normal(0, 3, 3000), rng.lognormal(-3, 3, 3000)
    if name in POSITIVE:
        x, error = np.abs(x) + error, error * 0.999
    got, centre = reach(name, x, error, args), apply(name, x, args)
    slack = 1e-12 * (1 + np.abs(centre))
    for t in np.linspace(-1, 1, 41):
        there = apply(name, x + t * error, args)
        assert (np.abs(there - centre) <= got + slack + 1e-12 * np.abs(there)).all()


def test_every_activation_has_a_vectorised_form() -> None:
    assert set(VECTORISED) == set(ACTIVATIONS)
