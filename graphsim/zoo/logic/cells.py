"""The Keras layer of a cellular automaton made of differentiable gates. Importing this module imports TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from graphsim.zoo.logic.layers import Gates, keras, tf

_Layer: Any = keras.layers.Layer


@keras.saving.register_keras_serializable(package="graphsim")
class CellStep(_Layer):  # type: ignore[misc]
    """One step of all cells: what each perceives of its neighbourhood, then what it becomes.

    After Miotti, Niklasson, Randazzo and Mordvintsev: Differentiable Logic Cellular Automata, 2025. Every channel of a
    neighbourhood of 3x3 cells goes through the same ``kernels`` small nets of gates with one output each; their
    outputs, channel by channel, and the cell's own channels go through one more net, whose outputs are the cell's
    channels in the next step. Beyond the border every channel is 0.

    Args:
        kernels: nets that perceive.
        perceive: gates of each layer of each of them; the last has one.
        update: gates of each layer of the net that decides; the last has as many as there are channels.
        seed: of the wiring.
        start: logit of the gate that passes A on, at first.

    Input and output (batch, rows, columns, channels), float32 in 0..1.
    """

    def __init__(
        self, kernels: int, perceive: Sequence[int], update: Sequence[int], seed: int, start: float = 10.0, **more: Any
    ) -> None:
        super().__init__(**more)
        self.kernels, self.perceive, self.update = kernels, list(perceive), list(update)
        self.seed, self.start = seed, start
        self.perceiving = [
            Gates(units, [(seed, 0, kernel, at) for kernel in range(kernels)], shared=at == 0, start=start)
            for at, units in enumerate(self.perceive)
        ]
        self.updating = [Gates(units, [(seed, 1, at)], start=start) for at, units in enumerate(self.update)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the gates."""
        channels = int(input_shape[-1] or 0)
        if self.perceive[-1] != 1 or self.update[-1] != channels:
            raise ValueError(f"{self.perceive} and {self.update} gates; they end in 1 and in {channels} channels")
        for layer, inputs in zip(self.perceiving, _before(9, self.perceive, self.kernels), strict=True):
            layer.build((None, inputs))
        first = channels * (self.kernels + 1)
        for layer, inputs in zip(self.updating, _before(first, self.update, 1), strict=True):
            layer.build((None, inputs))

    def call(self, state: Any, training: bool | None = None) -> Any:
        """See the class."""
        _, rows, columns, channels = state.shape
        padded = tf.pad(state, [[0, 0], [1, 1], [1, 1], [0, 0]])
        around = [padded[:, r : r + rows, c : c + columns] for r, c in itertools.product(range(3), repeat=2)]
        seen = tf.reshape(tf.stack(around, axis=-1), (-1, 9))
        for layer in self.perceiving:
            seen = layer(seen, training=training)
        known = [tf.reshape(seen, (-1, channels * self.kernels)), tf.reshape(state, (-1, channels))]
        found = tf.concat(known, axis=1)
        for layer in self.updating:
            found = layer(found, training=training)
        return tf.reshape(found, (-1, rows, columns, channels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        own = {"kernels": self.kernels, "perceive": self.perceive, "update": self.update}
        return {**super().get_config(), **own, "seed": self.seed, "start": self.start}


def _before(inputs: int, widths: Sequence[int], nets: int) -> list[int]:
    """Inputs of each layer."""
    return [inputs, *(units * nets for units in widths[:-1])]
