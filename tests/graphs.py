"""Graphs made by hand, for tests that need no frontend."""

from __future__ import annotations

import numpy as np

from graphsim.graph import Axis, Dense, Graph, Group, OneToOne, Ref, Window


def mlp(inputs: int = 784, hidden: int = 128, classes: int = 10, seed: int = 0) -> Graph:
    """An inputs-hidden-classes classifier with ReLU, a real softmax and an argmax sink; seeded random weights.

    Shaped as the Keras frontend lowers Flatten, Dense(relu), Dense(softmax): the groups and names are the same.
    """
    rng = np.random.default_rng(seed)
    params = {
        "dense/kernel": rng.normal(0, inputs**-0.5, (inputs, hidden)).astype(np.float32),
        "dense/bias": rng.normal(0, 0.1, hidden).astype(np.float32),
        "dense_1/kernel": rng.normal(0, hidden**-0.5, (hidden, classes)).astype(np.float32),
        "dense_1/bias": rng.normal(0, 0.1, classes).astype(np.float32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="pixels", op="input", shape=(inputs,), layer="pixels", observes="output"),
        Group(
            name="dense",
            op="linear",
            shape=(hidden,),
            activation="relu",
            params={"bias": Ref("dense/bias")},
            layer="dense",
            observes="output",
        ),
        Group(
            name="dense_1",
            op="linear",
            shape=(classes,),
            params={"bias": Ref("dense_1/bias")},
            layer="dense_1",
            observes="pre",
        ),
        Group(name="dense_1.max", op="max", shape=(1,)),
        Group(name="dense_1.exp", op="subtract", shape=(classes,), activation="exp"),
        Group(name="dense_1.sum", op="sum", shape=(1,)),
        Group(name="dense_1.softmax", op="divide", shape=(classes,), layer="dense_1", observes="output"),
        Group(name="sink", op="argmax"),
    ]
    channels = [
        Dense(src=0, dst=1),
        Dense(src=1, dst=2, weight=Ref("dense/kernel")),
        Dense(src=2, dst=3, weight=Ref("dense_1/kernel")),
        Dense(src=3, dst=4),
        OneToOne(src=3, dst=5, port=0),
        Dense(src=4, dst=5, port=1),
        Dense(src=5, dst=6),
        OneToOne(src=5, dst=7, port=0),
        Dense(src=6, dst=7, port=1),
        Dense(src=7, dst=8),
    ]
    return Graph("mlp", groups, channels, params)


def rnn(steps: int = 4, inputs: int = 3, units: int = 5, sequences: bool = False, seed: int = 0) -> Graph:
    """A simple recurrent layer, h = tanh(W x + U h + b), over (steps, inputs), and its last state or all its states."""
    rng = np.random.default_rng(seed)
    picks = np.arange(steps) if sequences else np.array([steps - 1])
    params: dict[str, np.ndarray] = {
        "rnn/kernel": rng.normal(0, inputs**-0.5, (inputs, units)).astype(np.float32),
        "rnn/recurrent_kernel": rng.normal(0, units**-0.5, (units, units)).astype(np.float32),
        "rnn/bias": rng.normal(0, 0.1, units).astype(np.float32),
        "rnn/pick": picks.astype(np.int32),
    }
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(steps, inputs), layer="x", observes="output"),
        Group(name="steps", op="serial", shape=(inputs,)),
        Group(
            name="rnn",
            op="linear",
            shape=(units,),
            firings=steps,
            activation="tanh",
            params={"bias": Ref("rnn/bias")},
            layer="rnn",
        ),
        Group(
            name="states",
            op="take",
            shape=(steps, units) if sequences else (units,),
            params={"pick": Ref("rnn/pick", units)},
            layer="rnn",
            observes="output",
        ),
        Group(name="sink", op="collect"),
    ]
    channels = [
        Dense(src=0, dst=1),
        Window(src=1, dst=2, axes=(Axis(steps, 1, taps=steps), Axis(inputs, inputs))),
        Dense(src=2, dst=3, produce=steps, weight=Ref("rnn/kernel")),
        Dense(src=3, dst=3, port=1, weight=Ref("rnn/recurrent_kernel"), initial_tokens=1, reset=True),
        Window(src=3, dst=4, consume=steps, axes=(Axis(1, len(picks), stride=0), Axis(units, units))),
        Dense(src=4, dst=5),
    ]
    return Graph("rnn", groups, channels, params)
