"""An ONNX file against the reference implementation of the ``onnx`` package, every neuron within its bound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_frontends_onnx import CASES, model, node, saved, weights

from graphsim.compare.compare import compare_with_reference
from graphsim.errors import ReferenceUnavailableError
from graphsim.frontends.onnx import lower
from graphsim.graph import Graph
from graphsim.simulate.reference import ReferenceEngine


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolutional classifier."""
    nodes = [
        node("Conv", ["x", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w"], ["g"]),
        node("Softmax", ["g"]),
    ]
    constants = {"k": weights(3, 2, 3, 3), "b": weights(3), "w": weights(27, 4)}
    return saved(model(nodes, (2, 6, 6), constants), tmp_path_factory.mktemp("onnx"))


def compared(graph: Graph, path: Path, n: int = 5):  # type: ignore[no-untyped-def]
    x = np.random.default_rng(4).normal(size=(n, 2, 6, 6)).astype(np.float32)
    run = ReferenceEngine(graph).run(x)
    return compare_with_reference(graph, path, None, SimpleNamespace(inputs=x, labels=None), run)


def test_every_neuron_is_judged_and_within_its_bound(net: Path) -> None:
    graph = lower(net)
    found = compared(graph, net)
    assert found.ok
    judged = {layer.name: layer.checked for layer in found.layers if layer.checked}
    assert judged == {"Conv_c": 540, "Relu_r": 540, "MaxPool_p": 135, "Gemm_g": 20, "Softmax_y.softmax": 20}
    assert found.reference_name == "ONNX reference implementation"
    assert found.noise is None, "one sample at a time is all it does"


def test_a_wrong_weight_is_located(net: Path) -> None:
    graph = lower(net)
    kernel = graph.params["Conv_c/kernel"].copy()
    kernel[1, 0, 0, 0] += np.float32(0.01)
    params = {**graph.params, "Conv_c/kernel": kernel}
    found = compared(Graph(graph.name, graph.groups, graph.channels, params), net)
    assert found.first_divergence is not None
    assert found.first_divergence.actor.startswith("Conv_c[1,")


def test_a_file_that_the_reference_cannot_compute_is_named(net: Path, tmp_path: Path) -> None:
    graph = lower(net)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(net.read_bytes()[:100])
    with pytest.raises(ReferenceUnavailableError, match=r"broken\.onnx: onnx cannot compute"):
        compared(graph, broken)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_fresh_process_runs_and_compares_a_file(command: str, tmp_path: Path) -> None:
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["g"]), node("Softmax", ["g"])]
    saved(model(nodes, (8, 8), {"w": weights(64, 10)}), tmp_path)
    arguments = [command, "m.onnx", "--dataset", "digits", "-n", "3", "--json", "found.json"]
    done = subprocess.run(
        [sys.executable, "-m", "graphsim", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "against ONNX reference implementation" in done.stdout
    assert "TensorFlow" not in done.stdout
    assert "noise" not in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["agreement"]["neurons_checked"] == 3 * (10 + 10)
    assert found["agreement"]["neurons_outside_bound"] == 0
    assert found["agreement"]["reference_noise_floor"] is None


@pytest.mark.slow
def test_every_operator_is_within_its_bounds(tmp_path: Path) -> None:
    """All cases of the tests of lowering; inputs of their own."""
    wrong = {}
    for label, (proto, shape) in CASES.items():
        path = saved(proto, tmp_path)
        graph = lower(path)
        x = np.random.default_rng(4).normal(size=(3, *shape)).astype(np.float32)
        data = SimpleNamespace(inputs=x, labels=None)
        found = compare_with_reference(graph, path, None, data, ReferenceEngine(graph).run(x))
        if not found.ok:
            wrong[label] = found.first_divergence
    assert wrong == {}
