"""What a comparison can find: faults in single neurons of the shipped MNIST model, and no false alarm without one."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from graphs import mlp

from graphsim.analysis.rounding import TENSORFLOW, Ball, Rounding
from graphsim.compare import TensorFlowReference, compare, compare_with_reference, wanted_tensors
from graphsim.compare.faults import KINDS, Fault, Kind, inject
from graphsim.compare.reference import Tensor
from graphsim.datasets import load
from graphsim.errors import GraphError
from graphsim.frontends.keras import lower
from graphsim.graph import Graph
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine

MODEL = Path(__file__).parents[1] / "models" / "mnist_mlp.h5"
FAULTS, IMAGES, SEED = 200, 1000, 2024

Tensors = dict[Tensor, npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return lower(MODEL)


@pytest.fixture(scope="module")
def shown(graph: Graph, mnist: Path) -> Tensors:
    """What TensorFlow shows for the first test images; its inputs under the name of the input group."""
    images = load("mnist", limit=IMAGES).images
    reference = TensorFlowReference(MODEL)
    return reference.run(images, IMAGES, wanted_tensors(graph)) | {("pixels", 0, "output"): images}


def faults(graph: Graph) -> list[Fault]:
    """One kind after the other, each at a neuron of either dense layer, drawn evenly from all of them."""
    rng = np.random.default_rng(SEED)
    neurons = [actor for actor in graph if actor.group.op == "linear"]
    return [inject(neurons[rng.integers(len(neurons))], KINDS[i % len(KINDS)], rng) for i in range(FAULTS)]


def outside(fault: Fault, shown: Tensors) -> set[str]:
    """Neurons of the faulty layer that the reference shows outside their bounds. All others have the same weights."""
    graph, number = fault.graph, fault.graph.actor(fault.actor).group_number
    group, rounding = graph.groups[number], Rounding(graph)
    (source,) = rounding.producers(number)
    tensors = {g.name: shown[g.layer, g.call, g.observes] for g in graph.groups if g.observes}
    ball = rounding.evaluate(number, {source: Ball.observed(tensors[graph.groups[source].name])}, TENSORFLOW)
    wrong = ~(np.abs(tensors[group.name] - ball.value) <= ball.spread)
    return {f"{group.name}[{j}]" for j in np.flatnonzero(wrong.any(axis=0))}


def forward(graph: Graph, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Class probabilities, to see what a check of the outputs alone would find."""
    p = {name: np.asarray(values, np.float32) for name, values in graph.params.items()}
    hidden = np.maximum(images.reshape(len(images), -1) @ p["dense/kernel"] + p["dense/bias"], 0)
    logits = hidden @ p["dense_1/kernel"] + p["dense_1/bias"]
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=1, keepdims=True))


@pytest.mark.slow
def test_single_neuron_faults_are_found_and_located(
    graph: Graph, shown: Tensors, capsys: pytest.CaptureFixture[str]
) -> None:
    found: Counter[Kind] = Counter()
    by_outputs: Counter[Kind] = Counter()
    by_classes: Counter[Kind] = Counter()
    expected, images = shown["dense_1", 0, "output"], shown["pixels", 0, "output"]
    for fault in faults(graph):
        named = outside(fault, shown)
        assert named <= {fault.actor}, fault.detail
        found[fault.kind] += len(named)
        probabilities = forward(fault.graph, images)
        by_outputs[fault.kind] += bool((np.abs(probabilities - expected) > 1e-3).any())
        by_classes[fault.kind] += bool((probabilities.argmax(axis=1) != expected.argmax(axis=1)).any())
    counted = [(kind, found[kind], by_outputs[kind], by_classes[kind]) for kind in KINDS]
    counted.append(("all", found.total(), by_outputs.total(), by_classes.total()))
    lines = [f"{FAULTS} faults, {IMAGES} images: found by the bound, by outputs at 1e-3, by the class"]
    lines += [f"  {kind:20} {bound:3} {outputs:3} {classes:3}" for kind, bound, outputs, classes in counted]
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert found.total() >= 0.65 * FAULTS
    assert found.total() > by_outputs.total() > by_classes.total()


@pytest.mark.slow
def test_no_false_alarm_on_ten_thousand_images(graph: Graph, mnist: Path) -> None:
    data = load("mnist")
    found = compare_with_reference(graph, MODEL, None, data, LanesEngine(graph).run(data.images))
    assert found.ok, found.first_divergence
    assert found.neurons_checked == 10_000 * (128 + 10 + 10)
    assert found.argmax_agreement == 1.0
    assert found.accuracy is not None
    assert found.accuracy >= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bias dropped", "stuck at 0"])
@pytest.mark.parametrize("name", ["dense[17]", "dense_1[3]"])
def test_a_whole_comparison_names_the_faulty_neuron_first(graph: Graph, shown: Tensors, kind: Kind, name: str) -> None:
    fault = inject(graph.actor(name), kind, np.random.default_rng(8))
    n = 60
    run = ReferenceEngine(fault.graph).run(shown["pixels", 0, "output"][:n])
    found = compare(fault.graph, run, {key: values[:n] for key, values in shown.items()})
    assert found.first_divergence is not None
    assert (found.first_divergence.actor, found.first_divergence.judged) == (name, "reference")
    assert {layer.name for layer in found.layers if layer.outside} == {name.partition("[")[0]}


def test_each_kind_changes_one_neuron_only() -> None:
    graph = mlp(12, 6, 4)
    rng = np.random.default_rng(0)
    for kind in KINDS:
        fault = inject(graph["dense", 2], kind, rng)
        for name, values in graph.params.items():
            changed = np.asarray(fault.graph.params[name] != values)
            if name.startswith("dense/"):
                columns = changed.reshape(-1, 6).any(axis=0)
                assert not columns[[0, 1, 3, 4, 5]].any()
            else:
                assert not changed.any()
        assert any((fault.graph.params[n] != v).any() for n, v in graph.params.items()), kind


def test_the_graph_itself_is_left_alone() -> None:
    graph = mlp(12, 6, 4)
    before = graph.digest
    inject(graph["dense_1", 1], "stuck at 0", np.random.default_rng(0))
    assert graph.digest == before


def test_neurons_that_cannot_have_the_fault_are_refused() -> None:
    graph = mlp(12, 6, 4)
    with pytest.raises(GraphError, match=r"dense_1\.sum"):
        inject(graph["dense_1.sum", 0], "stuck at 0", np.random.default_rng(0))
    dropped = inject(graph["dense", 2], "bias dropped", np.random.default_rng(0)).graph
    with pytest.raises(GraphError, match="no bias"):
        inject(dropped["dense", 2], "bias dropped", np.random.default_rng(0))
