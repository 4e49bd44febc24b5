"""Graphs made by hand, for tests that need no frontend."""

from __future__ import annotations

import numpy as np

from graphsim.graph import Dense, Graph, Group, OneToOne, Ref


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
