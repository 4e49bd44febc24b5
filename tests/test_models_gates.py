"""The shipped classifier made of gates: its card, and its circuit against the net of chosen gates, image by image."""

from __future__ import annotations

import hashlib
import io
import zipfile

import h5py
import numpy as np
import pytest

from graphsim.datasets.images import load_images
from graphsim.frontends.circuits import read
from graphsim.graph.circuit import Circuit, of_graph, to_graph
from graphsim.simulate.circuit.packed import PackedCircuit
from graphsim.zoo import models_folder
from graphsim.zoo.card import read_facts
from graphsim.zoo.logic.images import bits_of
from graphsim.zoo.logic.learnt import Layer, Learnt
from graphsim.zoo.logic.wiring import wiring
from graphsim.zoo.recipes import RECIPES, GateImageRecipe


@pytest.fixture(scope="module")
def plan() -> GateImageRecipe:
    found = RECIPES["mnist-gates"]
    assert isinstance(found, GateImageRecipe)
    return found


@pytest.fixture(scope="module", params=[".blif", ".aig"])
def circuit(request: pytest.FixtureRequest) -> Circuit:
    return read((models_folder() / "mnist_gates").with_suffix(request.param))


@pytest.fixture(scope="module")
def net(plan: GateImageRecipe) -> Learnt:
    """The chosen gates, from the logits in the model file, without Keras."""
    path = models_folder() / "mnist_gates.keras"
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        layers = []
        inputs = 784 * len(plan.levels)
        for at, units in enumerate(plan.widths):
            name = "gates" if at == 0 else f"gates_{at}"
            logits = file[f"layers/{name}/vars/0"][()]
            assert logits.shape == (units, 16)
            gates = logits.argmax(axis=1).astype(np.uint8)
            layers.append(Layer(wiring(inputs if at == 0 else plan.widths[at - 1], units, (plan.seed, at)), gates))
    return Learnt(inputs, tuple(layers))


def test_the_card_is_about_these_files() -> None:
    facts = read_facts(models_folder() / "mnist_gates.md")
    for name in ("mnist_gates.blif", "mnist_gates.aig", "mnist_gates.keras"):
        assert facts[name] == hashlib.sha256((models_folder() / name).read_bytes()).hexdigest()


@pytest.mark.usefixtures("mnist")
def test_the_circuit_answers_image_by_image_as_the_gates_do(
    plan: GateImageRecipe, circuit: Circuit, net: Learnt
) -> None:
    test = load_images("mnist", "test")
    bits = bits_of(test, plan.levels)
    expected = net(bits).reshape(len(test), 10, -1).sum(axis=2).argmax(axis=1)
    lanes = np.packbits(np.pad(bits.T, ((0, 0), (0, -len(test) % 64))), axis=1, bitorder="little")
    found = PackedCircuit(of_graph(to_graph(circuit))).run(np.ascontiguousarray(lanes).view("<u8"))
    number = np.unpackbits(found.view(np.uint8), axis=1, bitorder="little", count=len(test)).astype(int)
    digits = (number << np.arange(len(number))[:, None]).sum(axis=0)
    assert np.array_equal(digits, expected)
    correct = int(np.count_nonzero(digits == test.labels))
    said = read_facts(models_folder() / "mnist_gates.md")["test accuracy"]
    assert said.startswith(f"{correct / 10000:.4f} ({correct} of 10000)")
    assert correct >= 9500


def test_every_gate_is_an_actor(circuit: Circuit) -> None:
    graph = to_graph(circuit)
    (gates,) = [group for group in graph.groups if group.op == "lut"]
    assert gates.size == circuit.gate_count
    assert circuit.output_names == tuple(f"class[{bit}]" for bit in range(4))


def test_the_circuit_has_the_gates_that_its_card_says() -> None:
    circuit = read(models_folder() / "mnist_gates.blif")
    said = read_facts(models_folder() / "mnist_gates.md")["circuit"]
    assert said.startswith(f"{circuit.gate_count} gates, depth {circuit.depth}: ")
