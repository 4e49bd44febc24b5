"""Every engine without a clock gives the reference's bits, on graphs and samples of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from engine_cases import EDGES, assert_same, bits, chain, wild_samples
from graphs import mlp, rnn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import ACTIVATION_ARGS, OTHER_ARGS, graphs, recurrent

from graphsim.datasets import load
from graphsim.errors import GraphError, SimulationError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph, Group, OneToOne, Ref
from graphsim.graph.ops import ACTIVATIONS
from graphsim.passes import Unroll
from graphsim.simulate.lanes import LanesEngine, Way, engine
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo import shipped

WAYS: tuple[Way, ...] = ("auto", "skip", "dense")
ARGS = {**OTHER_ARGS, **ACTIVATION_ARGS}

engines = pytest.mark.parametrize("make", [ReferenceEngine, LanesEngine], ids=["reference", "lanes"])
Make = Callable[[Graph], Any]


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small blocks, and threads even for little work."""
    monkeypatch.setattr(engine, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(engine, "_LEAST", 4)
    monkeypatch.setattr(engine, "_MOST", 4)
    yield


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_lanes_is_the_reference_on_random_graphs(data: st.DataObject) -> None:
    graph = data.draw(graphs(windows=True))
    samples = data.draw(wild_samples(graph, data.draw(st.integers(1, 9), label="samples")))
    expected = ReferenceEngine(graph).run(samples)
    for way in WAYS:
        assert_same(LanesEngine(graph, way=way).run(samples), expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 31, 33, 1000])
@pytest.mark.usefixtures("many_threads")
def test_samples_and_threads_do_not_matter(n: int, threads: int) -> None:
    graph = mlp(20, 17, 4)
    samples = np.random.default_rng(n).normal(0, 1, (n, 20)).astype(np.float32)
    samples[samples < 0.3] = 0.0
    expected = ReferenceEngine(graph).run(samples)
    lanes = LanesEngine(graph, threads)
    assert_same(lanes.run(samples), expected)
    assert_same(lanes.run(samples), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_the_rule_rounded_once(name: str) -> None:
    rng = np.random.default_rng(7)
    near = rng.normal(0, 4, 500).astype(np.float32)
    values = np.concatenate([EDGES, rng.integers(0, 2**32, 1500, np.uint32).view(np.float32), near])
    sample = values[None]
    group = Group(name="g", op="linear", shape=(sample.size,), activation=name, activation_args=ARGS[name])
    graph = chain(group, sample.size, OneToOne(src=1, dst=2), {})
    with np.errstate(all="ignore"):
        expected = [np.float32(ACTIVATIONS[name].rule(float(np.float32(0) + x), *ARGS[name])) for x in sample[0]]
    for make in (ReferenceEngine, LanesEngine):
        found = make(graph).run(sample).values["g"]
        assert np.array_equal(bits(found[0]), bits(np.array(expected, np.float32)))


@pytest.mark.parametrize("name", [name for name, row in ACTIVATIONS.items() if len(row.args) == 1])
def test_arguments_per_actor(name: str) -> None:
    alpha = np.array([0.25, 2.0, 1.5], np.float32)
    group = Group(name="g", op="linear", shape=(12,), activation=name, params={"alpha": Ref("alpha", 2)})
    graph = chain(group, 12, OneToOne(src=1, dst=2), {"alpha": alpha})
    samples = np.random.default_rng(3).normal(0, 2, (50, 12)).astype(np.float32)
    rule = ACTIVATIONS[name].rule
    expected = [[rule(float(x), float(alpha[j // 2 % 3])) for j, x in enumerate(row)] for row in samples]
    for make in (ReferenceEngine, LanesEngine):
        assert np.array_equal(
            make(graph).run(samples).values["g"], np.array(expected).astype(np.float32), equal_nan=True
        )


@engines
def test_what_is_kept(make: Make) -> None:
    graph = mlp(6, 5, 3)
    samples = np.random.default_rng(0).random((3, 6), dtype=np.float32)
    everything = make(graph).run(samples).values
    assert list(everything) == [g.name for g in graph.groups if g.op != "source"]
    outputs = make(graph).run(samples, keep="outputs").values
    assert list(outputs) == ["dense_1.softmax", "sink"]
    named = make(graph).run(samples, keep=["sink", "pixels"]).values
    assert list(named) == ["pixels", "sink"]
    for some in (outputs, named):
        assert all(np.array_equal(some[name], everything[name]) for name in some)


@engines
def test_an_unknown_group_cannot_be_kept(make: Make) -> None:
    with pytest.raises(SimulationError, match="no group conv; there are: source, pixels"):
        make(mlp(6, 5, 3)).run(np.zeros((1, 6), np.float32), keep=["conv"])


@engines
@pytest.mark.parametrize("shape", [(2, 5), (2, 7), (6,), ()])
def test_samples_of_another_shape_are_refused(make: Make, shape: tuple[int, ...]) -> None:
    with pytest.raises(SimulationError, match=r"input pixels takes samples of shape \(6,\)"):
        make(mlp(6, 5, 3)).run(np.zeros(shape, np.float32))


@engines
def test_the_number_of_inputs_is_checked(make: Make) -> None:
    one = np.zeros((1, 6), np.float32)
    with pytest.raises(SimulationError, match="takes 1 inputs; 2 were given"):
        make(mlp(6, 5, 3)).run((one, one))


@engines
def test_values_are_the_runs_own(make: Make) -> None:
    samples = np.random.default_rng(0).random((3, 6), dtype=np.float32)
    before = samples.copy()
    run = make(mlp(6, 5, 3)).run(samples)
    assert np.array_equal(samples, before)
    samples[:] = 7.0
    assert np.array_equal(run.values["pixels"], before)


@engines
def test_samples_may_be_of_any_layout(make: Make) -> None:
    samples = np.random.default_rng(0).random((4, 6))
    expected = make(mlp(6, 5, 3)).run(samples.astype(np.float32))
    for layout in (samples, np.asfortranarray(samples), np.repeat(samples, 2, axis=0)[::2], samples.reshape(4, 2, 3)):
        assert_same(make(mlp(6, 5, 3)).run(layout), expected)


@engines
@pytest.mark.usefixtures("many_threads")
def test_progress_grows_to_the_number_of_samples(make: Make) -> None:
    seen: list[int] = []
    make(mlp(6, 5, 3)).run(np.zeros((70, 6), np.float32), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[0] > 0
    assert seen[-1] == 70


@pytest.mark.usefixtures("mnist")
def test_mnist_mlp_on_real_images(golden: Callable[[str, str], None]) -> None:
    graph = lower(shipped("mnist"))
    images = load("mnist", "test", 8).images
    expected = ReferenceEngine(graph).run(images)
    for way in WAYS:
        assert_same(LanesEngine(graph, way=way).run(images), expected)
    logits = expected.values["dense_1"]
    text = "\n".join(" ".join(float(x).hex() for x in row) for row in logits)
    golden("mnist_mlp_logits.txt", text + "\n")


@pytest.mark.slow
@pytest.mark.usefixtures("mnist")
def test_mnist_mlp_on_all_images_is_the_same_for_any_way_and_threads() -> None:
    graph = lower(shipped("mnist"))
    images = load("mnist", "test").images
    expected = LanesEngine(graph, 1, "dense").run(images)
    some = ReferenceEngine(graph).run(images[::500])
    assert all(np.array_equal(bits(array[::500]), bits(some.values[name])) for name, array in expected.values.items())
    for threads, way in ((1, "skip"), (2, "auto"), (3, "auto")):
        assert_same(LanesEngine(graph, threads, way).run(images), expected)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_lanes_is_the_reference_on_recurrent_graphs(data: st.DataObject) -> None:
    graph = data.draw(recurrent())
    samples = data.draw(wild_samples(graph, data.draw(st.integers(1, 9), label="samples")))
    expected = ReferenceEngine(graph).run(samples)
    for way in WAYS:
        assert_same(LanesEngine(graph, way=way).run(samples), expected)
    try:
        unrolled = Unroll()(graph)
    except GraphError as error:  # its states start anew in every sample, and its sinks show nothing else
        assert "no sink depends on" in str(error)
        return
    assert_same(LanesEngine(unrolled).run(samples), ReferenceEngine(unrolled).run(samples))


def test_lanes_keeps_firings_together() -> None:
    graph = rnn(4, 3, 5)
    samples = np.random.default_rng(2).normal(0, 1, (40, 4, 3)).astype(np.float32)
    expected = ReferenceEngine(graph).run(samples)
    assert expected.values["rnn"].shape == (40, 4, 5)
    assert expected.values["steps"].shape == (40, 4, 3)
    assert_same(LanesEngine(graph).run(samples), expected)
    only = LanesEngine(graph).run(samples, keep=["rnn"])
    assert list(only.values) == ["rnn"]
    assert np.array_equal(only.values["rnn"], expected.values["rnn"])
    assert list(LanesEngine(graph).run(samples, keep="outputs").values) == ["states", "sink"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_lanes_hand_state_from_sample_to_sample(data: st.DataObject) -> None:
    graph = data.draw(recurrent(reset=False))
    samples = data.draw(wild_samples(graph, data.draw(st.integers(1, 9), label="samples")))
    lanes, expected = LanesEngine(graph), ReferenceEngine(graph).run(samples)
    assert_same(lanes.run(samples), expected)
    again = lanes.run(samples, keep="outputs")  # from the initial tokens once more
    for name, values in again.values.items():
        assert np.array_equal(bits(values), bits(expected.values[name])), name
