"""The tasks of plain numbers: the identity, and operations on sums of inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.zoo.arithmetic.layers import LAYERS
from graphsim.zoo.arithmetic.modules import keras, tf
from graphsim.zoo.nalu.run import Outcome
from graphsim.zoo.nalu.side_by_side import Learnt, train, uniform
from graphsim.zoo.nalu.tasks import Size, Task

FloatArray = npt.NDArray[np.float32]
Told = Callable[[int], None]

#: Where the identity is learnt, and where it is looked at.
INSIDE, OUTSIDE = 5.0, 20.0
#: Points of the error curve.
POINTS = 161
#: Which of the ten inputs of the static task make up a, and which b.
A, B, INPUTS = slice(0, 4), slice(3, 7), 10
JUDGED = 4096

#: What a and b become.
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "a+b": lambda a, b: a + b,
    "a-b": lambda a, b: a - b,
    "a*b": lambda a, b: a * b,
    "a/b": lambda a, b: a / b,
    "sqrt(a)": lambda a, b: a**0.5,
}


def squared(wanted: Any, found: Any) -> Any:
    """The mean squared error."""
    return tf.reduce_mean(tf.square(wanted - found))


def course(task: Task, model: str, size: Size, seed: int, told: Told) -> Outcome:
    """Train one of a task's models."""
    return _identity(model, size, seed, told) if task.name == "identity" else _static(model, size, seed, told)


# -- identity ----------------------------------------------------------------------------------------------------------


def autoencoder(activation: str, seed: int) -> Any:
    """1-8-8-8-1, with an activation on the hidden layers."""
    x = y = keras.Input((1,), name="x")
    for number in range(4):
        start = keras.initializers.GlorotUniform(10 * seed + number)
        last = number == 3
        plain = last or activation == "prelu"
        kind = None if plain else activation
        y = keras.layers.Dense(1 if last else 8, activation=kind, kernel_initializer=start)(y)
        if activation == "prelu" and not last:
            y = keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))(y)
    return keras.Model(x, y, name=f"identity_{activation}")


def _identity(activation: str, size: Size, seed: int, told: Told) -> Outcome:
    def draw(key: int, step: Any) -> tuple[Any, Any]:
        x = uniform((size.batch, 1), key, step, -INSIDE, INSIDE)
        return x, x

    learnt = train(lambda number: autoencoder(activation, number), draw, squared, size, seed, told)
    x = np.linspace(-OUTSIDE, OUTSIDE, POINTS, dtype=np.float32)[:, np.newaxis]
    errors = np.stack([np.abs(learnt.chosen(s)(x).numpy() - x)[:, 0] for s in range(size.seeds)])
    curve = errors.mean(axis=0)
    inside = np.abs(x[:, 0]) <= INSIDE
    scores = {
        "inside": float(curve[inside].mean()),
        "outside": float(curve[~inside].mean()),
        "worst": float(curve.max()),
    }
    more = {"x": x[:, 0].tolist(), "mean error": curve.tolist()}
    return Outcome(learnt.chosen(learnt.best), scores, x[:: POINTS // 16], more)


# -- static ------------------------------------------------------------------------------------------------------------


def stacked(kind: str, seed: int) -> Any:
    """Two layers of one kind on ten inputs, two hidden units between arithmetic ones and sixteen between others."""
    x = keras.Input((INPUTS,), name="x")
    if kind in LAYERS:
        y = LAYERS[kind](2, seed=2 * seed)(x)
        y = LAYERS[kind](1, seed=2 * seed + 1)(y)
    else:
        activation = "relu6" if kind == "ReLU6" else None
        starts = [keras.initializers.GlorotUniform(2 * seed + number) for number in range(2)]
        y = keras.layers.Dense(16, activation=activation, kernel_initializer=starts[0])(x)
        y = keras.layers.Dense(1, kernel_initializer=starts[1])(y)
    return keras.Model(x, y, name=f"static_{kind.lower()}")


def target(x: Any, operation: str) -> Any:
    """What should come of inputs (N, 10): (N, 1)."""
    add = tf.reduce_sum if tf.is_tensor(x) else np.sum
    return OPERATIONS[operation](add(x[:, A], axis=1, keepdims=True), add(x[:, B], axis=1, keepdims=True))


def scaled(found: FloatArray, wanted: FloatArray, untrained: FloatArray) -> float:
    """The mean absolute error in percent of that of an untrained network."""
    return float(
        100 * np.abs(found - wanted).mean(dtype=np.float64) / np.abs(untrained - wanted).mean(dtype=np.float64)
    )


def _static(model: str, size: Size, seed: int, told: Told) -> Outcome:
    kind, operation = model.split()

    def draw(key: int, step: Any) -> tuple[Any, Any]:
        x = uniform((size.batch, INPUTS), key, step, 0.0, 10.0)
        return x, target(x, operation)

    learnt: Learnt = train(lambda number: stacked(kind, number), draw, squared, size, seed, told)
    unit = np.random.default_rng(seed).random((JUDGED, INPUTS)).astype(np.float32)
    untrained, trained = stacked(kind, seed), learnt.chosen(learnt.best)
    scores = {}
    for name, x in (("inside", 10 * unit), ("outside", 100 * unit)):
        wanted = target(x, operation)
        scores[name] = scaled(trained(x).numpy(), wanted, untrained(x).numpy())
    error = trained(100 * unit).numpy().astype(np.float64) - target(100 * unit, operation)
    scores["test_loss"] = float(np.mean(error**2))
    return Outcome(trained, scores, 10 * unit[:16], {"validation loss of each seed": learnt.validation.tolist()})
