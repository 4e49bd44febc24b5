"""Cellular automata of gates: the Keras layer, a cell as a circuit, and the clocked circuit of a board."""

from __future__ import annotations

from dataclasses import replace
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
from graphsim.zoo.logic.automaton import CheckerboardCourse, board, cell, checkerboard
from graphsim.zoo.nets import build
from graphsim.zoo.recipes import RECIPES, CheckerboardRecipe

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


@pytest.mark.slow
def test_a_training_step_leads_gradients_through_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    needed("tensorflow")
    from graphsim.zoo.logic.layers import keras, tf

    shipped = RECIPES["checkerboard"]
    assert isinstance(shipped, CheckerboardRecipe)
    size = {"rows": 3, "columns": 4, "channels": 2, "kernels": 2, "perceive": (2, 1), "update": (4, 2)}
    plan = replace(shipped, steps=4, judged=2, **size)
    model = build(keras, plan)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 1.5, weight.shape) for weight in model.get_weights()])
    course = CheckerboardCourse(plan)
    course.prepare(tf, keras, model, 0)
    found: list[Any] = []
    monkeypatch.setattr(course, "_apply", found.extend)
    loss = course._train()
    target = checkerboard(3, 4).astype(np.float32)
    with tf.GradientTape() as tape:
        states = [tf.ones((1, 3, 4, 2))]
        for _ in range(4):
            states.append(model(states[-1], training=True))
        wrong = [tf.reduce_sum(tf.square(state[0, :, :, 0] - target)) for state in states]
        total = wrong[3] + wrong[4]
    assert loss == pytest.approx(float(wrong[4]), rel=1e-5)
    for one, other in zip(found, tape.gradient(total, model.trainable_variables), strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-4 * float(np.abs(other).max()))  # rounded in another order


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
