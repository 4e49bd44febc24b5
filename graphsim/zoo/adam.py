"""Adam as a function of tensors, so that many steps, and many models side by side, are one compiled program.

Kingma and Ba, "Adam: a method for stochastic optimization", 2015, with the constants of Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from graphsim.zoo.quiet import import_tensorflow

tf, _ = import_tensorflow()


class State(NamedTuple):
    """Weights, and the running means of their gradients and of the squares of those; all by the same names."""

    weights: dict[str, Any]
    mean: dict[str, Any]
    square: dict[str, Any]


def start(weights: Mapping[str, Any]) -> State:
    """The state before the first step: weights as tensors, and zeros."""
    held = {k: tf.constant(v) for k, v in weights.items()}
    return State(held, {k: tf.zeros_like(v) for k, v in held.items()}, {k: tf.zeros_like(v) for k, v in held.items()})


def step(state: State, gradients: Mapping[str, Any], number: Any, rate: Any) -> State:
    """The state after step ``number``, from 0, with a learning rate."""
    t = tf.cast(number + 1, tf.float32)
    rate = rate * tf.sqrt(1 - tf.pow(0.999, t)) / (1 - tf.pow(0.9, t))
    mean = {k: 0.9 * state.mean[k] + 0.1 * g for k, g in gradients.items()}
    square = {k: 0.999 * state.square[k] + 0.001 * g * g for k, g in gradients.items()}
    moved = {k: w - rate * mean[k] / (tf.sqrt(square[k]) + 1e-7) for k, w in state.weights.items()}
    return State(moved, mean, square)
