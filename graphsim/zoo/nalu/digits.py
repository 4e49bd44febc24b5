"""The tasks of sequences of handwritten digits: their sum, how many of each there are, and how many are odd.

A small convolutional network looks at every digit; what it makes of ten of them, one after the other, is accumulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.images import load_images
from graphsim.zoo.arithmetic.layers import LAYERS, ArithmeticCell
from graphsim.zoo.arithmetic.modules import keras, tf
from graphsim.zoo.nalu.run import Outcome
from graphsim.zoo.nalu.side_by_side import picked, train
from graphsim.zoo.nalu.tasks import Size, Task

#: Pixels along a side, classes of digits, and features of a digit that are accumulated.
SIDE, CLASSES, FEATURES = 28, 10, 16
#: Digits of the sequences that are trained on, and of those that are tested on.
TRAINED, TESTED = 10, (1, 10, 100, 1000)
#: Images, and at most sequences, that are looked at for each length.
JUDGED, SEQUENCES = 20_000, 500
#: How strongly weights of a NAU are pulled to whole numbers; see :func:`graphsim.zoo.nalu.side_by_side.train`.
SPARSITY = 5.0
#: Training images that are held out, to choose by.
HELD_OUT = 5000


@dataclass(frozen=True)
class Images:
    """Images, float32 (N, 28, 28, 1), and their classes, int32 (N,)."""

    pixels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]


@lru_cache(maxsize=1)
def images() -> tuple[Images, Images, Images]:
    """MNIST's training images but for those held out, those, and its test images.

    Raises:
        DatasetError: MNIST is missing; the message says how to get it.
    """
    found = [load_images("mnist", split) for split in ("train", "test")]
    train, test = (Images(one.images[..., np.newaxis], one.labels.astype(np.int32)) for one in found)
    cut = len(train.classes) - HELD_OUT
    parts = (slice(None, cut), slice(cut, None))
    return *(Images(train.pixels[part], train.classes[part]) for part in parts), test  # type: ignore[return-value]


def answers(task: str, classes: Any) -> Any:
    """What should have been said after each digit of sequences (N, T): float (N, T, 1), or (N, T, 10) of counts."""
    seen: Any = classes if task == "mnist-addition" else classes % 2
    if tf.is_tensor(classes):
        each = tf.one_hot(classes, CLASSES) if task == "mnist-counting" else tf.cast(seen, tf.float32)[..., None]
        return tf.cumsum(each, axis=1)
    each = np.eye(CLASSES)[classes] if task == "mnist-counting" else seen.astype(np.float64)[..., None]
    return np.cumsum(each, axis=1)


def eye(seed: int, features: int) -> Any:
    """The network that looks at one digit: so many features of it."""
    layers = keras.layers
    starts = [keras.initializers.GlorotUniform(5 * seed + number) for number in range(3)]
    x = keras.Input((SIDE, SIDE, 1), name="digit")
    y = layers.Conv2D(8, 5, strides=2, activation="relu", kernel_initializer=starts[0], name="conv")(x)
    y = layers.Conv2D(16, 5, strides=2, activation="relu", kernel_initializer=starts[1], name="conv_1")(y)
    y = layers.Flatten(name="flatten")(y)
    y = layers.Dense(features, activation="relu", kernel_initializer=starts[2], name="features")(y)
    return keras.Model(x, y, name="eye")


def accumulator(task: str, kind: str, seed: int, steps: int, *, unroll: bool = False, sequences: bool = False) -> Any:
    """What adds up features of digits, (steps, features): after each digit, or (not ``sequences``) after the last.

    An LSTM with a linear layer on it; or a recurrent NAC or NAU, whose states are the answer.
    """
    layers, outputs = keras.layers, CLASSES if task == "mnist-counting" else 1
    x = keras.Input((steps, FEATURES), name="features")
    options = {"return_sequences": sequences, "unroll": unroll, "name": "memory"}
    if kind in LAYERS:
        return keras.Model(x, layers.RNN(ArithmeticCell(kind, outputs, seed=seed), **options)(x), name="accumulator")
    start = keras.initializers
    kernel, recurrent = start.GlorotUniform(5 * seed + 3), start.Orthogonal(seed=5 * seed + 4)
    y = layers.LSTM(32, kernel_initializer=kernel, recurrent_initializer=recurrent, **options)(x)
    y = layers.Dense(outputs, kernel_initializer=start.GlorotUniform(5 * seed + 5), name="answer")(y)
    return keras.Model(x, y, name="accumulator")


def trainee(task: str, kind: str, seed: int) -> Any:
    """The same weights as :func:`network`, arranged so that all digits of a batch are looked at at once; it answers
    after every digit, but for the parity task.
    """
    x = keras.Input((TRAINED, SIDE, SIDE, 1), name="digits")
    y = eye(seed, FEATURES)(keras.ops.reshape(x, (-1, SIDE, SIDE, 1)))
    y = keras.ops.reshape(y, (-1, TRAINED, FEATURES))
    if task == "mnist-parity":
        y = keras.ops.reshape(y, (-1, TRAINED * FEATURES))
        return keras.Model(x, last_layer(kind, seed)(y))
    return keras.Model(x, accumulator(task, kind, seed, TRAINED, unroll=True, sequences=True)(y))


def network(task: str, kind: str, seed: int) -> Any:
    """The eye on ten digits, and what accumulates: (10, 28, 28, 1) to the answer after the last."""
    x = keras.Input((TRAINED, SIDE, SIDE, 1), name="digits")
    y = keras.layers.TimeDistributed(eye(seed, FEATURES), name="eyes")(x)
    if task == "mnist-parity":
        y = last_layer(kind, seed)(keras.layers.Flatten(name="all")(y))
    else:
        y = accumulator(task, kind, seed, TRAINED)(y)
    return keras.Model(x, y, name=f"{task.replace('-', '_')}")


@keras.saving.register_keras_serializable(package="graphsim")
class Squashed(keras.layers.Layer):  # type: ignore[misc]
    """y = f(W) x without a bias, where f is the sigmoid or tanh. It is trained; what is kept is a dense layer."""

    def __init__(self, function: str, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.function, self.seed = function, seed

    def build(self, input_shape: Any) -> None:
        """Make the weight."""
        start = keras.initializers.GlorotUniform(self.seed)
        self.w = self.add_weight(name="w", shape=(input_shape[-1], 1), initializer=start)

    def squashed(self) -> Any:
        """f(W)."""
        return keras.activations.get(self.function)(self.w)

    def call(self, x: Any) -> Any:
        """See the class."""
        return tf.matmul(x, self.squashed())


#: Functions of weights in the last layers of the parity task.
FUNCTIONS = {"sigma(W)x": "sigmoid", "tanh(W)x": "tanh"}


def last_layer(kind: str, seed: int) -> Any:
    """A last layer of the parity task, on the features of all digits."""
    start = keras.initializers.GlorotUniform(5 * seed + 3)
    if kind == "NAC":
        return LAYERS["NAC"](1, seed=5 * seed + 3, name="last")
    if kind in FUNCTIONS:
        return Squashed(FUNCTIONS[kind], 5 * seed + 3, name="last")
    return keras.layers.Dense(1, use_bias=kind == "Wx+b", kernel_initializer=start, name="last")


def course(task: Task, model: str, size: Size, seed: int, told: Callable[[int], None]) -> Outcome:
    """Train one of the tasks' models."""
    train_part, held_out, test = images()
    # Outside of what is compiled, so that it is no constant there.
    parts = [
        (tf.constant(np.round(part.pixels * 255).astype(np.uint8)), tf.constant(part.classes))
        for part in (train_part, held_out)
    ]

    def sequences(part: int) -> Callable[[int, Any], tuple[Any, Any]]:
        pixels, classes = parts[part]

        def draw(key: int, step: Any) -> tuple[Any, Any]:
            which = picked((size.batch, TRAINED), key, step, len(classes), "auto_select")
            said = answers(task.name, tf.gather(classes, which))
            digits = tf.cast(tf.gather(pixels, which), tf.float32) / 255
            return digits, said[:, -1] if task.name == "mnist-parity" else said

        return draw

    def loss(wanted: Any, found: Any) -> Any:
        return tf.reduce_mean(tf.square(wanted - found))

    learnt = train(
        lambda n: trainee(task.name, model, n),
        sequences(0),
        loss,
        size,
        seed,
        told,
        sequences(1),
        compiled=False,
        sparsity=SPARSITY,
    )
    more = {"validation loss of each seed": learnt.validation.tolist()}
    trained = learnt.chosen(learnt.best)
    weights = [array[learnt.best] for array in learnt.weights]
    samples = test.pixels[: 3 * TRAINED].reshape(3, TRAINED, SIDE, SIDE, 1)
    if task.name == "mnist-parity":
        if model in FUNCTIONS:
            weights[-1] = np.asarray(trained.layers[-1].squashed())
        kept = network(task.name, "Wx" if model in FUNCTIONS else model, seed)
        kept.set_weights(weights)
        return Outcome(kept, _parity(kept, test, seed), samples, more)
    kept = network(task.name, model, seed)
    kept.set_weights(weights)
    return Outcome(kept, _lengths(task.name, model, weights, test, seed), samples, more)


def _drawn(test: Images, count: int, length: int, seed: int) -> npt.NDArray[np.int64]:
    """Which test images make up so many sequences of a length: (count, length)."""
    return np.random.default_rng([seed, length]).integers(len(test.classes), size=(count, length))


def _parity(model: Any, test: Images, seed: int) -> dict[str, float]:
    which = _drawn(test, SEQUENCES, TRAINED, seed)
    found = model.predict(test.pixels[which], batch_size=50, verbose=0)
    wanted = answers("mnist-parity", test.classes[which])[:, -1]
    return {
        "accuracy": 100 * float((np.round(found) == wanted).mean()),
        "error": float(np.abs(found - wanted).mean()),
    }


def _lengths(task: str, kind: str, weights: list[Any], test: Images, seed: int) -> dict[str, float]:
    """Mean absolute errors after the last digit of sequences of each length."""
    looks = eye(seed, FEATURES)
    count = len(looks.get_weights())
    looks.set_weights(weights[:count])
    features = looks.predict(test.pixels, batch_size=500, verbose=0)
    scores = {}
    for length in TESTED:
        which = _drawn(test, min(SEQUENCES, JUDGED // length), length, seed)
        adds = accumulator(task, kind, seed, length)
        adds.set_weights(weights[count:])
        found = adds.predict(features[which], batch_size=100, verbose=0)
        wanted = answers(task, test.classes[which])[:, -1]
        scores[f"error_{length}"] = float(np.abs(found - wanted).mean())
    return scores
