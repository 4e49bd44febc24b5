"""The tasks of sequences of numbers and of characters: running sums, and programs that add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.zoo.arithmetic.layers import LAYERS, ArithmeticCell
from graphsim.zoo.arithmetic.modules import keras, tf
from graphsim.zoo.nalu.run import Outcome
from graphsim.zoo.nalu.scalars import scaled, squared
from graphsim.zoo.nalu.side_by_side import picked, train, uniform
from graphsim.zoo.nalu.tasks import Size, Task

FloatArray = npt.NDArray[np.float32]
Told = Callable[[int], None]

#: Steps of the sequences that are trained on, and of those that are tested on.
SHORT, LONG = 10, 1000
#: Sequences that are looked at.
JUDGED = 256


def course(task: Task, model: str, size: Size, seed: int, told: Told) -> Outcome:
    """Train one of a task's models."""
    return _program(model, size, seed, told) if task.name == "program" else _recurrent(model, size, seed, told)


def summing(kind: str, seed: int, steps: int, *, unroll: bool = False) -> Any:
    """A recurrent layer on ``steps`` steps of two numbers, and a last layer: one number."""
    layers = keras.layers
    x = keras.Input((steps, 2), name="x")
    if kind in LAYERS:
        y = layers.RNN(ArithmeticCell(kind, 2, seed=2 * seed), unroll=unroll, name="rnn")(x)
        y = LAYERS[kind](1, seed=2 * seed + 1, name="last")(y)
    else:
        starts = [keras.initializers.GlorotUniform(3 * seed + number) for number in range(2)]
        options = {
            "kernel_initializer": starts[0],
            "recurrent_initializer": keras.initializers.Orthogonal(seed=3 * seed + 2),
            "unroll": unroll,
            "name": "rnn",
        }
        recurrent = layers.LSTM if kind == "LSTM" else layers.SimpleRNN
        y = recurrent(16, **options, **({} if kind == "LSTM" else {"activation": "relu"}))(x)
        y = layers.Dense(1, kernel_initializer=starts[1], name="last")(y)
    return keras.Model(x, y, name=f"recurrent_{kind.lower()}")


def total(x: Any, operation: str) -> Any:
    """a + b or a - b of sequences (N, T, 2), where a and b are the sums of their two numbers: (N, 1)."""
    add = tf.reduce_sum if tf.is_tensor(x) else np.sum
    sums = add(x, axis=1)
    return sums[:, :1] + sums[:, 1:] if operation == "a+b" else sums[:, :1] - sums[:, 1:]


def _recurrent(model: str, size: Size, seed: int, told: Told) -> Outcome:
    kind, operation = model.split()

    def draw(key: int, step: Any) -> tuple[Any, Any]:
        x = uniform((size.batch, SHORT, 2), key, step, 0.0, 1.0)
        return x, total(x, operation)

    learnt = train(lambda number: summing(kind, number, SHORT, unroll=True), draw, squared, size, seed, told)
    trained = learnt.chosen(learnt.best, summing(kind, seed, SHORT))
    rng, scores = np.random.default_rng(seed), {}
    for name, steps in (("short", SHORT), ("long", LONG)):
        x = rng.random((JUDGED, steps, 2)).astype(np.float32)
        wanted = total(x.astype(np.float64), operation)
        untrained = summing(kind, seed, steps)
        fresh = untrained.predict(x, verbose=0)
        found = learnt.chosen(learnt.best, untrained).predict(x, verbose=0)
        scores[name] = scaled(found, wanted, fresh)
        scores[f"{name}_error"] = float(np.abs(found - wanted).mean())
    samples = np.random.default_rng([seed, 1]).random((8, SHORT, 2)).astype(np.float32)
    return Outcome(trained, scores, samples, {"validation loss of each seed": learnt.validation.tolist()})


# -- program -----------------------------------------------------------------------------------------------------------

#: Characters of programs; each is a vector with one 1. What is left of a program is filled with zeros, on the left.
CHARACTERS = "0123456789+"
#: Digits of the numbers that are trained on, and that are tested on.
TRAINED, TESTED = 2, (2, 3, 4)
LENGTH = 2 * max(TESTED) + 1


def encoded(a: int, b: int) -> FloatArray:
    """``a+b`` as float32 (LENGTH, characters)."""
    text = f"{a}+{b}"
    x = np.zeros((LENGTH, len(CHARACTERS)), np.float32)
    for at, character in enumerate(text, LENGTH - len(text)):
        x[at, CHARACTERS.index(character)] = 1
    return x


def matching(wanted: int, found: float) -> float:
    """The share of decimal places in which a result, rounded, is the wanted number; none where it is negative."""
    given = str(round(found)) if np.isfinite(found) and found > -0.5 else ""
    length = max(len(str(wanted)), len(given))
    pairs = zip(str(wanted).rjust(length), given.rjust(length), strict=True)
    return sum(one == other for one, other in pairs) / length


def reader(kind: str, seed: int, *, unroll: bool = False) -> Any:
    """An LSTM that reads a program, and a last layer that says what comes of it."""
    x = keras.Input((LENGTH, len(CHARACTERS)), name="x")
    y = keras.layers.LSTM(
        32,
        kernel_initializer=keras.initializers.GlorotUniform(3 * seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=3 * seed + 1),
        unroll=unroll,
        name="lstm",
    )(x)
    return keras.Model(x, last_layer(kind, 3 * seed + 2)(y), name=f"program_{kind.lower()}")


def last_layer(kind: str, seed: int) -> Any:
    """A layer of one output: Linear, or an arithmetic module."""
    if kind == "Linear":
        return keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed), name="last")
    return LAYERS[kind](1, seed=seed, name="last")


def _program(model: str, size: Size, seed: int, told: Told) -> Outcome:
    below = 10**TRAINED
    table = tf.constant(np.stack([[encoded(a, b) for b in range(below)] for a in range(below)]).reshape(-1, LENGTH, 11))
    sums = tf.constant(np.add.outer(np.arange(below), np.arange(below)).reshape(-1, 1).astype(np.float32))

    def draw(key: int, step: Any) -> tuple[Any, Any]:
        which = picked((size.batch,), key, step, below**2)
        return tf.gather(table, which), tf.gather(sums, which)

    learnt = train(lambda number: reader(model, number, unroll=True), draw, squared, size, seed, told)
    trained = learnt.chosen(learnt.best, reader(model, seed))
    rng, scores = np.random.default_rng(seed), {}
    for digits in TESTED:
        low = 0 if digits == TRAINED else 10 ** (digits - 1)
        pairs = rng.integers(low, 10**digits, (JUDGED, 2))
        x = np.stack([encoded(a, b) for a, b in pairs.tolist()])
        found = trained.predict(x, verbose=0)[:, 0].astype(np.float64)
        wanted = pairs.sum(axis=1)
        shares = [matching(w, f) for w, f in zip(wanted.tolist(), found.tolist(), strict=True)]
        scores[f"digits_{digits}"] = 100 * float(np.mean(shares))
        scores[f"error_{digits}"] = float(np.abs(found - wanted).mean())
    samples = np.stack([encoded(a, b) for a, b in ((1, 2), (12, 34), (99, 99), (123, 456), (1234, 5678))])
    return Outcome(trained, scores, samples, {"validation loss of each seed": learnt.validation.tolist()})
