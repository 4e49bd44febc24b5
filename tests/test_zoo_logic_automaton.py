"""Cellular automata of gates: the Keras layer, a cell as a circuit, and the clocked circuit of a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from circuits import evaluate
from needed import needed

from graphsim.frontends.circuits import read
from graphsim.graph.circuit import to_graph
from graphsim.simulate.circuit.packed import PackedCircuit
from graphsim.zoo import models_folder
from graphsim.zoo.logic.automaton import board, cell, checkerboard

SHIPPED = models_folder() / "checkerboard.blif"


def automaton(seed: int) -> Any:
    """Two channels, three kernels, gates at random, on boards of 3x4 cells."""
    needed("tensorflow")
    from graphsim.zoo.logic.cells import CellStep, keras

    model = keras.Sequential([keras.Input((3, 4, 2)), CellStep(3, (8, 4, 2, 1), (12, 6, 2), seed, start=2.0)])
    random = np.random.default_rng(seed)
    model.set_weights([random.normal(0, 2, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("seed", range(4))
def test_the_clocked_circuit_goes_through_the_same_boards(seed: int) -> None:
    model = automaton(seed)
    circuit = board("board", cell(model.layers[-1]), 3, 4)
    circuit.check()
    assert circuit.register_count == 3 * 4 * 2
    assert circuit.initial.all()
    state = np.ones((1, 3, 4, 2), np.float32)
    shown = []
    for _ in range(8):
        shown.append(state[0, :, :, 0].astype(int).ravel().tolist())
        state = np.asarray(model(state, training=False))
    assert evaluate(circuit, [[]] * 8) == shown


def test_a_cell_reads_its_neighbourhood_channel_by_channel() -> None:
    model = automaton(7)
    rule = cell(model.layers[-1])
    assert rule.input_names == tuple(f"n{channel}_{at}" for channel in range(2) for at in range(9))
    random = np.random.default_rng(1)
    for _ in range(20):
        state = (random.random((1, 3, 4, 2)) < 0.5).astype(np.float32)
        found = np.asarray(model(state, training=False))[0, 1, 2]
        bits = [int(bit) for channel in range(2) for bit in state[0, 0:3, 1:4, channel].ravel()]
        assert evaluate(rule, [bits])[0] == found.astype(int).tolist()


def test_serialisation(tmp_path: Path) -> None:
    model = automaton(2)
    from graphsim.zoo.logic.cells import keras

    model.save(tmp_path / "cells.keras")
    loaded = keras.models.load_model(tmp_path / "cells.keras", compile=False)
    state = np.random.default_rng(0).random((2, 3, 4, 2), np.float32)
    for training in (False, True):
        assert np.array_equal(loaded(state, training=training), model(state, training=training))


def test_the_shipped_circuit_draws_the_checkerboard_and_keeps_it() -> None:
    circuit = read(SHIPPED)
    assert circuit.input_count == 0
    assert circuit.register_count > 0
    cycles = 60
    shown = PackedCircuit(circuit).run_cycles(np.zeros((cycles + 1, 0, 1), np.uint64))[:, :, 0] & np.uint64(1)
    side = round(len(circuit.outputs) ** 0.5)
    target = checkerboard(side, side).ravel()
    assert shown[0].all()
    for cycle in range(20, cycles + 1):
        assert np.array_equal(shown[cycle] > 0, target)


def test_the_shipped_circuit_has_initial_tokens() -> None:
    graph = to_graph(read(SHIPPED))
    clocked = [channel for channel in graph.channels if graph.groups[channel.src].name == "register"]
    assert clocked
    assert all(channel.initial_tokens == 1 for channel in clocked)
