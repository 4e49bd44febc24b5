"""Judging: clean runs are within, every error is found at its neuron, and counts are what they say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from strategies import graphs, samples

from graphsim.analysis.rounding import Rounding
from graphsim.compare import compare, compare_with_reference, wanted_tensors
from graphsim.compare.compare import BATCH
from graphsim.compare.reference import Tensor
from graphsim.compare.result import RATIO_EDGES, ULP_BINS
from graphsim.datasets import load
from graphsim.errors import SimulationError, UsageError
from graphsim.frontends.keras import lower
from graphsim.graph import Dense, Graph, Group
from graphsim.simulate.engine import Run
from graphsim.simulate.reference import ReferenceEngine

FloatArray = npt.NDArray[np.float32]
MODELS = Path(__file__).parents[1] / "models"
N = 24


def backwards(graph: Graph, images: FloatArray) -> dict[Tensor, FloatArray]:
    """What another implementation shows of :func:`graphs.mlp`: every sum from right to left, in float32."""

    def layer(x: FloatArray, kernel: FloatArray, bias: FloatArray) -> FloatArray:
        total = np.repeat(bias[None, :], len(x), axis=0)
        for i in reversed(range(len(kernel))):
            total = total + x[:, i : i + 1] * kernel[i]
        return total

    params: Any = graph.params
    hidden = np.maximum(layer(images, params["dense/kernel"], params["dense/bias"]), np.float32(0))
    logits = layer(hidden, params["dense_1/kernel"], params["dense_1/bias"])
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = exps / exps[:, ::-1].sum(axis=1, keepdims=True)
    return {("dense", 0, "output"): hidden, ("dense_1", 0, "pre"): logits, ("dense_1", 0, "output"): softmax}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return mlp(40, 12, 10)


@pytest.fixture(scope="module")
def images() -> FloatArray:
    rng = np.random.default_rng(11)
    return (rng.random((N, 40)) * (rng.random((N, 40)) < 0.6)).astype(np.float32)


@pytest.fixture(scope="module")
def run(graph: Graph, images: FloatArray) -> Run:
    return ReferenceEngine(graph).run(images)


@pytest.fixture
def reference(graph: Graph, images: FloatArray) -> dict[Tensor, FloatArray]:
    return backwards(graph, images)


def with_values(run: Run, changes: Mapping[str, FloatArray]) -> Run:
    return dataclasses.replace(run, values={**run.values, **changes})


def test_another_order_of_summation_is_within(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    found = compare(graph, run, reference)
    assert found.ok
    assert found.first_divergence is None
    assert 0 < found.max_error_over_bound <= 1
    assert found.neurons_checked == N * (12 + 10 + 10)
    layers = {layer.name: layer for layer in found.layers}
    assert layers["dense"].max_difference == np.abs(run.values["dense"] - reference["dense", 0, "output"]).max() > 0
    assert layers["dense_1.exp"].checked == 0
    assert layers["dense_1.exp"].checked_own == N * 10
    assert layers["sink"].checked_own == N * 2


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_false_alarm_on_any_graph_that_is_its_own_reference(data: st.DataObject) -> None:
    """Random graphs with some groups shown and others not: the engine's values, given as the reference's."""
    graph = data.draw(graphs(windows=data.draw(st.booleans())))
    try:
        ran = ReferenceEngine(graph).run(data.draw(samples(graph)))
    except SimulationError:
        reject()
    assume(not any(np.isnan(values).any() for values in ran.values.values()))  # a lookup of an entry that is not there
    shown = [data.draw(st.booleans()) for _ in graph.groups]
    groups = [
        dataclasses.replace(g, layer=g.name, observes="output") if show and g.op not in ("source", "input") else g
        for g, show in zip(graph.groups, shown, strict=True)
    ]
    observing = Graph(graph.name, groups, graph.channels, graph.params)
    reference = {key: ran.values[key[0]] for key in wanted_tensors(observing) if "sink" not in key[0]}
    found = compare(observing, ran, reference)
    assert found.ok, found.first_divergence
    assert {layer.max_difference for layer in found.layers} <= {None, 0.0}


def test_the_first_divergence_is_by_layer_then_sample(
    graph: Graph, run: Run, reference: dict[Tensor, FloatArray]
) -> None:
    hidden = reference["dense", 0, "output"]
    on = int(np.argmax(hidden[7]))
    reference["dense_1", 0, "pre"][2, 4] += 0.01
    hidden[9, 0] += 0.01
    hidden[7, on] += 0.02
    found = compare(graph, run, reference)
    first = found.first_divergence
    assert first is not None
    assert (first.actor, first.layer, first.sample, first.judged) == (f"dense[{on}]", "dense", 7, "reference")
    assert first.reference == reference["dense", 0, "output"][7, on]
    assert first.graphsim == run.values["dense"][7, on]
    assert first.exact == pytest.approx(first.reference - 0.02, abs=1e-5)
    assert first.ratio == pytest.approx(0.02 / first.bound, rel=0.01)
    assert f"dense[{on}], sample 7" in str(first)
    assert not found.ok


def test_errors_stay_where_they_are(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    """A wrong value, given to the layers after it, is not held against them."""
    params: Any = graph.params
    hidden = reference["dense", 0, "output"]
    hidden[:, 5] += 1
    logits = (hidden.astype(np.float64) @ params["dense_1/kernel"] + params["dense_1/bias"]).astype(np.float32)
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    reference |= {("dense_1", 0, "pre"): logits, ("dense_1", 0, "output"): exps / exps.sum(axis=1, keepdims=True)}
    found = compare(graph, run, reference)
    assert {layer.name: layer.outside for layer in found.layers if layer.outside} == {"dense": N}


def test_graphsims_own_neurons_are_judged(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    exps = run.values["dense_1.exp"].copy()
    exps[3, 2] = np.nextafter(exps[3, 2], np.float32(2)) * np.float32(1.0001)
    first = compare(graph, with_values(run, {"dense_1.exp": exps}), reference).first_divergence
    assert first is not None
    assert (first.actor, first.sample, first.judged, first.reference) == ("dense_1.exp[2]", 3, "graphsim", None)


def test_sinks_copy(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    answers = run.values["sink"].copy()
    answers[5, 0] = (answers[5, 0] + 1) % 10
    first = compare(graph, with_values(run, {"sink": answers}), reference).first_divergence
    assert first is not None
    assert (first.actor, first.sample, first.bound, first.ratio) == ("sink", 5, 0.0, np.inf)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_outside(
    graph: Graph, run: Run, reference: dict[Tensor, FloatArray], value: float
) -> None:
    reference["dense_1", 0, "output"][6, 1] = value
    found = compare(graph, run, reference)
    assert found.neurons_outside_bound == 1
    assert found.first_divergence is not None
    assert found.first_divergence.ratio == np.inf
    json.dumps(found.agreement_record(), allow_nan=False)


def test_a_neuron_outside_on_both_sides_counts_once(
    graph: Graph, run: Run, reference: dict[Tensor, FloatArray]
) -> None:
    wrong = run.values["dense_1.softmax"].copy()
    wrong[0, 0] += 1
    reference["dense_1", 0, "output"][0, 0] += 1
    ran = with_values(run, {"dense_1.softmax": wrong})
    layers = {layer.name: layer for layer in compare(graph, ran, reference).layers}
    assert layers["dense_1.softmax"].outside == 1


def test_chunks_of_samples_change_nothing(
    graph: Graph, run: Run, reference: dict[Tensor, FloatArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference["dense", 0, "output"][[3, 20], [1, 2]] += 0.5
    whole = compare(graph, run, reference)
    done: list[int] = []
    monkeypatch.setattr(Rounding, "samples_at_once", property(lambda self: 7))
    chunked = compare(graph, run, reference, progress=done.append)
    assert done == [7, 14, 21, 24]
    assert chunked.first_divergence is not None
    assert whole.first_divergence is not None
    assert chunked.first_divergence.actor == whole.first_divergence.actor
    assert chunked.first_divergence.sample == whole.first_divergence.sample
    for one, other in zip(chunked.layers, whole.layers, strict=True):
        assert (one.outside, one.checked, one.ulps) == (other.outside, other.checked, other.ulps)
        assert one.max_error_over_bound == pytest.approx(other.max_error_over_bound, rel=1e-6)


def test_ulp_histogram(graph: Graph, run: Run) -> None:
    values = run.values["dense_1"].copy()
    values[:] = 1.0
    shown = values.copy()
    for column, steps in enumerate([0, 1, 2, 3, 4, 5, 100, 5000]):
        shown[0, column] = (shown[:1, column].view(np.int32) + steps).view(np.float32)[0]
    shown[0, 8], shown[0, 9] = np.nan, -1.0
    values[1, 0], shown[1, 0] = 0.0, -0.0
    values[1, 1], shown[1, 1] = np.float32(1e-45), np.float32(-1e-45)
    found = compare(graph, with_values(run, {"dense_1": values}), {("dense_1", 0, "pre"): shown})
    ulps = {layer.name: layer.ulps for layer in found.layers}["dense_1"]
    expected = dict.fromkeys(ULP_BINS, 0) | {"0": 10 * N - 10, "1": 1, "2": 2, "3-4": 2, "5-8": 1, "65-128": 1}
    assert ulps == expected | {">4096": 3}


def test_ratio_histogram_counts_every_value(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    reference["dense", 0, "output"][0, 0] += 100
    layer = compare(graph, run, reference).layers[0]
    assert sum(layer.ratios) == layer.checked == N * 12
    assert layer.ratios[-1] == layer.outside == 1
    assert len(layer.ratios) == len(RATIO_EDGES)


def test_classes_accuracy_and_confusion(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    predicted = run.values["dense_1.softmax"].argmax(axis=1)
    labels = predicted.copy().astype(np.int64)
    labels[:4] = (labels[:4] + 1) % 10
    theirs = reference["dense_1", 0, "output"]
    theirs[6] = np.roll(theirs[6], 1)
    output = compare(graph, run, reference, labels=labels).outputs[0]
    assert output.accuracy == (N - 4) / N
    assert output.reference_accuracy == (N - 5) / N
    assert (output.argmax, output.differing) == ((N - 1) / N, (6,))
    assert output.wrong == (0, 1, 2, 3)
    assert output.confusion is not None
    expected = np.zeros((10, 10), int)
    for label, answer in zip(labels, predicted, strict=True):
        expected[label, answer] += 1
    assert (output.confusion == expected).all()


def test_without_labels_there_is_no_accuracy(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    found = compare(graph, run, reference)
    assert (found.accuracy, found.reference_accuracy, found.argmax_agreement) == (None, None, 1.0)
    assert found.outputs[0].confusion is None


def test_labels_that_are_no_classes_are_ignored(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    assert compare(graph, run, reference, labels=np.full(N, 99)).accuracy is None


def test_several_outputs() -> None:
    one = mlp(6, 5, 4)
    groups = [*one.groups, Group(name="sink_hidden", op="collect")]
    graph = Graph("two", groups, [*one.channels, Dense(src=2, dst=9)], one.params)
    images = np.random.default_rng(0).random((5, 6)).astype(np.float32)
    found = compare(graph, ReferenceEngine(graph).run(images), backwards(graph, images), labels=np.arange(5) % 4)
    assert found.ok
    assert [output.name for output in found.outputs] == ["dense_1.softmax", "dense"]


def test_only_outputs_were_shown(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    """The bound then spans the whole net: wider, and still proved."""
    full = compare(graph, run, reference)
    found = compare(graph, run, {("dense_1", 0, "output"): reference["dense_1", 0, "output"]})
    assert found.ok
    assert found.neurons_checked == N * 10
    ratio = {layer.name: layer.reference_error_over_bound for layer in found.layers}["dense_1.softmax"]
    assert ratio is not None
    assert 0 < ratio <= (full.layers[-2].reference_error_over_bound or 0)


def test_the_record_is_plain_json(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    found = compare(graph, run, reference, labels=np.zeros(N, np.int64))
    record = found.agreement_record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {"argmax", "neurons_checked", "neurons_outside_bound", "max_error_over_bound", "first_divergence"} <= set(
        record
    )
    assert set(found.reference_record()) == {"name", "version", "notes", "wall_seconds"}


def test_a_run_without_its_inputs_is_refused(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    without = dataclasses.replace(run, values={k: v for k, v in run.values.items() if k != "pixels"})
    with pytest.raises(UsageError, match=r"pixels.*keep"):
        compare(graph, without, reference)


def test_a_reference_of_another_shape_is_refused(graph: Graph, run: Run, reference: dict[Tensor, FloatArray]) -> None:
    with pytest.raises(UsageError, match=r"dense: .*\(24, 12\)"):
        compare(graph, run, reference | {("dense", 0, "output"): np.zeros((N, 13), np.float32)})
    with pytest.raises(UsageError, match="dense"):
        compare(graph, run, reference | {("dense", 0, "output"): np.zeros((N - 1, 12), np.float32)})


@pytest.mark.slow
def test_digits_against_tensorflow() -> None:
    path, data = MODELS / "digits_mlp.h5", load("digits")
    graph = lower(path)
    done: list[int] = []
    found = compare_with_reference(
        graph, path, None, data, ReferenceEngine(graph).run(data.images), progress=done.append
    )
    assert found.ok, found.first_divergence
    assert found.neurons_checked == 360 * (32 + 10 + 10)
    assert (found.argmax_agreement, found.accuracy) == (1.0, found.reference_accuracy)
    assert found.accuracy is not None
    assert found.accuracy > 0.95
    assert found.reference_name == "TensorFlow"
    assert found.reference_seconds is not None
    assert found.noise is not None
    assert (found.noise.samples, found.noise.batch) == (100, min(BATCH, 360))
    assert found.noise.tensors == len(wanted_tensors(graph)) == 3
    assert found.noise_floor is not None
    assert found.noise_floor < 1e-3
    assert done == sorted(done)
    assert done[-1] == 360


@pytest.mark.slow
def test_a_run_of_other_samples_is_refused() -> None:
    path, data = MODELS / "digits_mlp.h5", load("digits", limit=5)
    graph = lower(path)
    run = ReferenceEngine(graph).run(data.images[::-1].copy())
    with pytest.raises(UsageError, match="other samples"):
        compare_with_reference(graph, path, None, data, run)
