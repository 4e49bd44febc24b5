"""Training one Keras model from several seeds side by side, as one compiled program.

The models differ in their weights alone: those have a leading axis of seeds, and what the model computes is mapped over
it. Every step, all see the same fresh samples. Importing this module imports TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.zoo import adam
from graphsim.zoo.adam import tf
from graphsim.zoo.nalu.tasks import Size

#: The generator of random numbers: in XLA's code for a CPU it takes a twentieth of the default's time.
STREAM = "threefry"
#: Steps that are taken at a time, between two calls of who watches.
STRIDE = 500
#: Batches of samples that were not trained on, which the models are judged by.
LOOKS = 8
#: Greatest norm of a model's gradients.
NORM = 1.0

#: Fresh samples of a step: (key, step) to inputs (batch, ...) and what should come of them (batch, ...).
Draw = Callable[[int, Any], tuple[Any, Any]]
#: What is wrong with the outputs for what should come: (wanted, found) to a number.
Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Learnt:
    """Trained models, S of them.

    Attributes:
        model: one that holds the weights of any of them, one at a time.
        weights: float32 (S, ...) of each of its weights, in Keras's order.
        validation: float64 (S,): the loss of each on samples of the training range that were not trained on.
    """

    model: Any
    weights: tuple[npt.NDArray[np.float32], ...]
    validation: npt.NDArray[np.float64]

    @property
    def best(self) -> int:
        """Which has the least loss, the first of equals; those that are not numbers come last."""
        return int(np.where(np.isnan(self.validation), np.inf, self.validation).argmin())

    def chosen(self, number: int, model: Any = None) -> Any:
        """The model, or another with the same weights, as one of them."""
        model = self.model if model is None else model
        model.set_weights([array[number] for array in self.weights])
        return model


def train(
    build: Callable[[int], Any],
    draw: Draw,
    loss: Loss,
    size: Size,
    seed: int,
    told: Callable[[int], None],
    unseen: Draw | None = None,
    *,
    compiled: bool = True,
    sparsity: float = 0.0,
) -> Learnt:
    """Train models from ``size.seeds`` seeds, ``seed`` and those after it: Adam, with a learning rate that falls from
    ``size.rate`` to a hundredth along half a cosine, and gradients whose norm is clipped to :data:`NORM`.

    Args:
        sparsity: weight in the loss of the sum of min(|w|, |1 - |w||) over all weights that are held in a range, as
            those of a NAU are; it grows from half of the steps on, until three quarters are done.
        compiled: by XLA, which suits all but convolutions; ``draw`` then takes random numbers of :data:`STREAM`.
        build: a model from a seed; of weights that training changes, and of no others.
        told: called with the number of steps done.
        unseen: samples that the models are judged by, where fresh ones of ``draw`` are none that were not trained on.
    """
    models = [build(seed + number) for number in range(size.seeds)]
    first = models[0]
    variables = first.trainable_variables
    # Keras's recurrent layers hold the state of a generator for dropout, which none here has.
    idle = [v.value for v in first.non_trainable_variables]
    names = [str(number) for number in range(len(variables))]
    starts = {n: np.stack([m.get_weights()[i] for m in models]) for i, n in enumerate(names)}
    constraints = {n: v.constraint for n, v in zip(names, variables, strict=True) if v.constraint is not None}
    key = int(np.random.SeedSequence([seed, size.seeds]).generate_state(1)[0] >> 1)

    def outputs(weights: dict[str, Any], x: Any) -> Any:
        """Of every model: (S, batch, ...)."""

        def one(own: Sequence[Any]) -> Any:
            return first.stateless_call(list(own), idle, x, training=False)[0]

        listed = [weights[n] for n in names]
        if size.seeds == 1:
            return one([w[0] for w in listed])[tf.newaxis]
        return tf.vectorized_map(one, listed, fallback_to_while_loop=False)

    def losses(weights: dict[str, Any], drawn: tuple[Any, Any]) -> Any:
        x, y = drawn
        found = outputs(weights, x)
        return tf.stack([loss(y, found[number]) for number in range(size.seeds)])

    def advance(step: Any, state: adam.State) -> adam.State:
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            total = tf.reduce_sum(losses(state.weights, draw(key, step)))
            if sparsity:
                grown = tf.clip_by_value(4 * tf.cast(step, tf.float32) / size.steps - 2, 0.0, 1.0)
                sizes = [tf.abs(state.weights[n]) for n in constraints]
                pulls = [tf.reduce_sum(tf.minimum(held, tf.abs(1 - held))) for held in sizes]
                total += sparsity * grown * sum(pulls, tf.constant(0.0))
        gradients = _clipped(tape.gradient(total, state.weights))
        along = tf.cast(step, tf.float32) / size.steps
        rate = size.rate * (0.01 + 0.99 * 0.5 * (1 + tf.cos(math.pi * along)))
        moved = adam.step(state, gradients, step, rate)
        held = {n: constraints[n](w) if n in constraints else w for n, w in moved.weights.items()}
        return moved._replace(weights=held)

    def steps_plain(begin: Any, end: Any, state: adam.State) -> adam.State:
        taken: adam.State = tf.while_loop(
            lambda step, state: step < end, lambda step, state: (step + 1, advance(step, state)), (begin, state)
        )[1]
        return taken

    def judge_plain(weights: dict[str, Any], number: Any) -> Any:
        return losses(weights, (unseen or draw)(key + 1, number))

    steps, judge = (tf.function(part, jit_compile=compiled) for part in (steps_plain, judge_plain))
    state = adam.start(starts)
    for begin in range(0, size.steps, STRIDE):
        end = min(begin + STRIDE, size.steps)
        state = steps(tf.constant(begin), tf.constant(end), state)
        told(end)
    looks = [np.asarray(judge(state.weights, tf.constant(number)), np.float64) for number in range(LOOKS)]
    return Learnt(first, tuple(state.weights[n].numpy() for n in names), np.mean(looks, axis=0))


def _clipped(gradients: dict[str, Any]) -> dict[str, Any]:
    """Gradients (S, ...) whose norm, each model's own, is at most :data:`NORM`; none where it is not a number."""
    squares = [tf.reduce_sum(tf.square(g), axis=list(range(1, len(g.shape)))) for g in gradients.values()]
    norm = tf.sqrt(tf.add_n(squares))
    share = tf.minimum(1.0, NORM / tf.maximum(norm, 1e-30))
    share = tf.where(tf.math.is_finite(norm), share, tf.zeros_like(share))
    shaped = {n: tf.reshape(share, [-1, *[1] * (len(g.shape) - 1)]) for n, g in gradients.items()}
    return {n: tf.math.multiply_no_nan(g, shaped[n]) for n, g in gradients.items()}


def uniform(shape: Sequence[int], key: int, step: Any, low: float, high: float) -> Any:
    """Random numbers between two, a function of key and step."""
    return tf.random.stateless_uniform(shape, [key, step], low, high, alg=STREAM)


def picked(shape: Sequence[int], key: int, step: Any, below: int, stream: str = STREAM) -> Any:
    """Random whole numbers from 0, int32, a function of key and step."""
    return tf.random.stateless_uniform(shape, [key, step], 0, below, tf.int32, alg=stream)
