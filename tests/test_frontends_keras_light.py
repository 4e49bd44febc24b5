"""Lowering without Keras: what is imported, and what the shipped models become."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from graphsim.frontends.keras import lower
from graphsim.graph import Dense
from graphsim.graph.verify import verify
from graphsim.zoo import shipped

HEAVY = ("tensorflow", "keras", "numba", "sklearn", "scipy", "plotly", "networkx", "pickle5", "dill")


def test_lowering_imports_neither_keras_nor_anything_heavy() -> None:
    program = (
        "import sys; from graphsim.frontends.keras import lower; lower(sys.argv[1]);"
        " print(*(name for name in sys.modules if '.' not in name))"
    )
    path = str(shipped("mnist_mlp", ".keras"))
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & set(HEAVY) == set()
    assert "h5py" in done.stdout.split()


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_mnist_net_is_one_actor_per_neuron(suffix: str) -> None:
    graph = lower(shipped("mnist_mlp", suffix))
    verify(graph)
    sizes = {g.name: (g.op, g.shape) for g in graph.groups}
    assert sizes == {
        "source": ("source", ()),
        "pixels": ("input", (28, 28)),
        "dense": ("linear", (128,)),
        "dense_1": ("linear", (10,)),
        "dense_1.max": ("max", (1,)),
        "dense_1.exp": ("subtract", (10,)),
        "dense_1.sum": ("sum", (1,)),
        "dense_1.softmax": ("divide", (10,)),
        "sink": ("argmax", ()),
    }
    weighted = [c for c in graph.channels if c.weight is not None]
    assert sum(graph.edges_of(c) for c in weighted) == 784 * 128 + 128 * 10
    assert all(isinstance(c, Dense) for c in graph.channels[:3])
    assert {name: a.shape for name, a in graph.params.items()} == {
        "dense/bias": (128,),
        "dense/kernel": (784, 128),
        "dense_1/bias": (10,),
        "dense_1/kernel": (128, 10),
    }
    assert graph["dense", 17].inputs[400].weight == pytest.approx(float(graph.params["dense/kernel"][400, 17]))


def test_both_formats_of_a_shipped_model_are_one_graph() -> None:
    for name in ("mnist_mlp", "digits_mlp"):
        assert lower(shipped(name, ".h5")).digest == lower(shipped(name, ".keras")).digest


def test_lowering_is_deterministic_and_leaves_arrays_that_cannot_be_changed() -> None:
    graphs = [lower(shipped("digits_mlp", ".h5")) for _ in range(2)]
    assert graphs[0].digest == graphs[1].digest
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(graphs[0].params["dense/bias"])[0] = 1


def test_a_graph_takes_the_name_it_is_given() -> None:
    assert lower(shipped("digits_mlp", ".h5")).name == "digits_mlp"
    assert lower(str(shipped("digits_mlp", ".h5")), name="other").name == "other"
