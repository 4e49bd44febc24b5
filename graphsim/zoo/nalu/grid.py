"""The task of time: reach a cell of a 5x5 grid at exactly the step that is asked for, neither before nor after.

An agent sees at every step where it is and where it is to go, a vector with one 1 for each, the time T that is asked
for, and a 1, which ticks. It goes up, down, left, right, or stays. What it should do is what a planner may: any action
after which the cell can still be reached in time without entering it before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.zoo.arithmetic.layers import ArithmeticCell
from graphsim.zoo.arithmetic.modules import keras, tf
from graphsim.zoo.nalu.run import Outcome
from graphsim.zoo.nalu.side_by_side import picked, train, uniform
from graphsim.zoo.nalu.tasks import Size, Task

SIDE = 5
CELLS = SIDE * SIDE
#: Rows and columns that each action goes: up, down, left, right, stay.
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
#: The greatest T that is trained on, and that is tested on.
TRAINED, TESTED = 12, 25
FEATURES = 2 * CELLS + 2
#: Episodes that are looked at for every T.
JUDGED = 120


def _tables() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Where each action leads from each cell, (25, 5); steps between each two cells, (25, 25)."""
    row, column = np.divmod(np.arange(CELLS, dtype=np.int32), SIDE)
    rows, columns = np.array(MOVES, np.int32).T
    to_row = np.clip(row[:, np.newaxis] + rows, 0, SIDE - 1)
    to_column = np.clip(column[:, np.newaxis] + columns, 0, SIDE - 1)
    apart = np.abs(row[:, np.newaxis] - row) + np.abs(column[:, np.newaxis] - column)
    return (to_row * SIDE + to_column).astype(np.int32), apart.astype(np.int32)


NEXT, APART = _tables()


def allowed(cell: Any, goal: Any, left: Any) -> Any:
    """Which actions a planner may take with so many steps left, the one to be taken included: bool (N, 5).

    Arguments are whole numbers (N,), arrays of NumPy or tensors.
    """
    take: Any = tf.gather if tf.is_tensor(cell) else np.take
    after = take(NEXT, cell, axis=0)
    apart = take(APART.reshape(-1), after * CELLS + goal[:, None])
    there, rest = after == goal[:, None], left[:, None] - 1
    return (there & (rest == 0)) | (~there & (rest > 0) & (apart <= rest))


def agent(kind: str, seed: int, steps: int, *, unroll: bool = False) -> Any:
    """A recurrent head on what is seen, an LSTM or a NAC; with what is seen, two dense layers say what to do."""
    layers, start = keras.layers, keras.initializers
    x = keras.Input((steps, FEATURES), name="seen")
    options = {"return_sequences": True, "unroll": unroll, "name": "head"}
    if kind == "NAC":
        y = layers.RNN(ArithmeticCell("NAC", 8, seed=seed), **options)(x)
    else:
        kernel, recurrent = start.GlorotUniform(4 * seed), start.Orthogonal(seed=4 * seed + 1)
        y = layers.LSTM(16, kernel_initializer=kernel, recurrent_initializer=recurrent, **options)(x)
    y = layers.Concatenate(name="both")([y, x])
    y = layers.Dense(64, "relu", kernel_initializer=start.GlorotUniform(4 * seed + 2), name="hidden")(y)
    y = layers.Dense(len(MOVES), kernel_initializer=start.GlorotUniform(4 * seed + 3), name="action")(y)
    return keras.Model(x, y, name=f"track_time_{kind.lower()}")


def seen(cell: Any, goal: Any, time: Any) -> Any:
    """What an agent sees, float32 (N, FEATURES)."""
    if tf.is_tensor(cell):
        asked = tf.cast(time, tf.float32)[:, None]
        return tf.concat([tf.one_hot(cell, CELLS), tf.one_hot(goal, CELLS), asked, tf.ones_like(asked)], axis=1)
    marks = np.eye(CELLS, dtype=np.float32)
    asked = time[:, None].astype(np.float32)
    return np.concatenate([marks[cell], marks[goal], asked, np.ones_like(asked)], axis=1)


def _planned(batch: int, key: int, step: Any) -> tuple[Any, Any]:
    """Episodes by chance among what a planner may do: what is seen (batch, 12, FEATURES), and the shares of actions
    that are right at every step (batch, 12, 5), zeros after the end.
    """
    cell = picked((batch,), key, 3 * step, CELLS)
    goal = (cell + 1 + picked((batch,), key, 3 * step + 1, CELLS - 1)) % CELLS
    chance = uniform((batch, TRAINED + 1, len(MOVES)), key, 3 * step + 2, 0.0, 1.0)
    least = tf.gather(APART.reshape(-1), cell * CELLS + goal)
    span = tf.cast(TRAINED + 1 - least, tf.float32)
    time = least + tf.cast(tf.floor(chance[:, TRAINED, 0] * span), tf.int32)
    time = tf.minimum(time, TRAINED)
    inputs, targets = [], []
    for number in range(TRAINED):
        right = allowed(cell, goal, time - number)
        inputs.append(seen(cell, goal, time))
        shares = tf.cast(right, tf.float32)
        targets.append(shares / tf.maximum(tf.reduce_sum(shares, axis=1, keepdims=True), 1.0))
        action = tf.argmax(tf.where(right, chance[:, number], -1.0), axis=1, output_type=tf.int32)
        cell = tf.gather(NEXT.reshape(-1), cell * len(MOVES) + action)
    return tf.stack(inputs, axis=1), tf.stack(targets, axis=1)


def _loss(wanted: Any, found: Any) -> Any:
    """The cross-entropy of actions, over the steps of all episodes."""
    return -tf.reduce_sum(wanted * tf.nn.log_softmax(found)) / tf.reduce_sum(wanted)


def successes(act: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]], seed: int) -> list[float]:
    """The shares of episodes in which an agent is in its cell at exactly T, and not before, for T from 1 to 25.

    Args:
        act: what is seen, float32 (N, 25, FEATURES), to the values of actions at every step, (N, 25, 5).
    """
    rng = np.random.default_rng(seed)
    time = np.repeat(np.arange(1, TESTED + 1), JUDGED)
    cell, goal = np.empty_like(time), np.empty_like(time)
    pairs = np.argwhere(APART > 0)
    for at, most in enumerate(time):
        near = pairs[APART[pairs[:, 0], pairs[:, 1]] <= most]
        cell[at], goal[at] = near[rng.integers(len(near))]
    x = np.zeros((len(time), TESTED, FEATURES), np.float32)
    failed = np.zeros(len(time), bool)
    for step in range(TESTED):
        x[:, step] = seen(cell, goal, time)
        moved = NEXT[cell, act(x)[:, step].argmax(axis=1)]
        cell = np.where(step < time, moved, cell)
        failed |= (step < time) & ((cell == goal) != (step == time - 1))
    return [float(1 - failed[time == t].mean()) for t in range(1, TESTED + 1)]


def course(task: Task, model: str, size: Size, seed: int, told: Callable[[int], None]) -> Outcome:
    """Train one of the task's models."""

    def draw(key: int, step: Any) -> tuple[Any, Any]:
        return _planned(size.batch, key, step)

    learnt = train(lambda number: agent(model, number, TRAINED, unroll=True), draw, _loss, size, seed, told)
    long = learnt.chosen(learnt.best, agent(model, seed, TESTED))
    shares = successes(lambda x: long.predict(x, batch_size=len(x), verbose=0), seed)
    scores = {
        "trained": 100 * float(np.mean(shares[:TRAINED])),
        "near": 100 * float(np.mean(shares[TRAINED:19])),
        "far": 100 * float(np.mean(shares[19:])),
    }
    cells = np.arange(4)
    x = np.stack([seen(cells, cells + 7 + number, cells + 9) for number in range(TRAINED)], axis=1)
    more = {"share that succeeds, T from 1": shares, "validation loss of each seed": learnt.validation.tolist()}
    return Outcome(learnt.chosen(learnt.best, agent(model, seed, TRAINED)), scores, x, more)
