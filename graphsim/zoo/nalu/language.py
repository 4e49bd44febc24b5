"""The task of language: what number words say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.zoo.arithmetic.modules import keras, tf
from graphsim.zoo.nalu.run import Outcome
from graphsim.zoo.nalu.sequences import last_layer
from graphsim.zoo.nalu.side_by_side import picked, train
from graphsim.zoo.nalu.tasks import Size, Task

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
ONES = (*UNITS.split(), "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
#: Every word, by number; 0 is none, which fills phrases on the left.
WORDS = ("", *ONES, *TENS, "hundred", "thousand", "and")
#: The greatest number, the words of the longest phrase, and how many phrases are trained on and chosen by.
GREATEST, LONGEST, TRAINED, VALIDATED = 1000, 5, 169, 200


def phrase(number: int) -> str:
    """A number from 0 to 1000 in words, as the British say it: five hundred and fifteen."""
    if number == GREATEST:
        return "one thousand"
    hundreds, rest = divmod(number, 100)
    words = [ONES[hundreds], "hundred"] if hundreds else []
    if hundreds and rest:
        words.append("and")
    if rest >= 20:
        words.append(TENS[rest // 10 - 2])
        rest %= 10
        if rest:
            words.append(ONES[rest])
    elif rest or not hundreds:
        words.append(ONES[rest])
    return " ".join(words)


def tokens(number: int) -> list[int]:
    """The words of a phrase by number, filled to the longest."""
    found = [WORDS.index(word) for word in phrase(number).split()]
    return [0] * (LONGEST - len(found)) + found


class Split(NamedTuple):
    """The numbers from 0 to 1000 in three parts, in random order; each int64."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def split(seed: int) -> Split:
    """169 numbers to train on, in whose phrases every word occurs; 200 to choose by; the other 632 to test."""
    order = np.random.default_rng(seed).permutation(GREATEST + 1).tolist()
    needed = set(range(1, len(WORDS)))
    first = []
    for number in order:
        if new := needed.intersection(tokens(number)):
            first.append(number)
            needed -= new
    rest = [number for number in order if number not in first]
    whole = np.array(first + rest)
    return Split(whole[:TRAINED], whole[TRAINED : TRAINED + VALIDATED], whole[TRAINED + VALIDATED :])


def reader(kind: str, seed: int, *, unroll: bool = False) -> Any:
    """An embedding of words, an LSTM, and a last layer that says the number."""
    layers, start = keras.layers, keras.initializers
    x = keras.Input((LONGEST,), name="words", dtype="int32")
    y = layers.Embedding(len(WORDS), 32, embeddings_initializer=start.RandomUniform(seed=4 * seed))(x)
    y = layers.LSTM(
        32,
        kernel_initializer=start.GlorotUniform(4 * seed + 1),
        recurrent_initializer=start.Orthogonal(seed=4 * seed + 2),
        unroll=unroll,
        name="lstm",
    )(y)
    return keras.Model(x, last_layer(kind, 4 * seed + 3)(y), name=f"language_{kind.lower()}")


def course(task: Task, model: str, size: Size, seed: int, told: Callable[[int], None]) -> Outcome:
    """Train one of the task's models."""
    parts = split(seed)
    tables = [np.array([tokens(number) for number in part], np.int32) for part in parts]
    wanted = [part[:, np.newaxis].astype(np.float32) for part in parts]

    def draw(key: int, step: Any) -> tuple[Any, Any]:
        which = picked((size.batch,), key, step, TRAINED)
        return tf.gather(tf.constant(tables[0]), which), tf.gather(tf.constant(wanted[0]), which)

    def unseen(key: int, step: Any) -> tuple[Any, Any]:
        return tf.constant(tables[1]), tf.constant(wanted[1])

    def loss(wanted: Any, found: Any) -> Any:
        return tf.reduce_mean(tf.abs(wanted - found))

    learnt = train(lambda number: reader(model, number, unroll=True), draw, loss, size, seed, told, unseen)
    trained = learnt.chosen(learnt.best, reader(model, seed))
    scores = {}
    for name, x, y in zip(("train", "validation", "test"), tables, wanted, strict=True):
        scores[name] = float(np.abs(trained.predict(x, verbose=0) - y).mean())
    samples = np.array([tokens(number) for number in (0, 7, 19, 20, 85, 100, 515, 999, 1000)], np.float32)
    return Outcome(trained, scores, samples, {"validation loss of each seed": learnt.validation.tolist()})
