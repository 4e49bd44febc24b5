"""The Keras layers of differentiable gates. Importing this module imports TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.zoo.logic.gates import NAMES, PASS_A, POLYNOMIALS
from graphsim.zoo.logic.wiring import Wires, wiring
from graphsim.zoo.quiet import import_tensorflow

tf, keras = import_tensorflow()
_Layer: Any = keras.layers.Layer

_LANES = 16


@keras.saving.register_keras_serializable(package="graphsim")
class Gates(_Layer):  # type: ignore[misc]
    """A layer of gates with two inputs each, every one a mixture of the sixteen of :mod:`graphsim.zoo.logic.gates`.

    The shares of a mixture are the softmax of the gate's sixteen logits. In evaluation (``training=False``) a gate is
    the one with the greatest logit, the first of several; inputs of 0 and 1 then give outputs of 0 and 1 exactly.

    Several nets can be trained side by side as one, which costs little more than one alone: with seeds s0 .. sK the
    layer is K + 1 layers of ``units`` gates each, the first wired by s0, and its outputs are theirs one after another.
    Its inputs are split among them likewise, or all of them read the same inputs (``shared``).

    Args:
        units: gates per net.
        seeds: of the wiring, one per net; each a number or a list of numbers.
        shared: whether all nets read all inputs.
        start: logit of the gate that passes A on, at first; the other logits are 0.

    Input (batch, inputs), output (batch, units * nets), float32 in 0..1. Weights: ``logits`` (units * nets, 16).
    """

    def __init__(
        self,
        units: int,
        seeds: Sequence[Any] = (0,),
        shared: bool = False,
        start: float = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units, self.shared, self.start = units, shared, start
        self.seeds = [int(seed) if np.ndim(seed) == 0 else [int(part) for part in seed] for seed in seeds]
        if not self.seeds:
            raise ValueError("a layer of gates has a seed for each of its nets, and one net at least")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Wire the gates and make their logits."""
        inputs = int(input_shape[-1] or 0)
        nets = len(self.seeds)
        self.inputs = inputs
        if not self.shared and inputs % nets:
            raise ValueError(f"{inputs} inputs cannot be split among {nets} nets")
        own = inputs if self.shared else inputs // nets
        apart = 0 if self.shared else own
        self.wires: Wires = np.concatenate(
            [wiring(own, self.units, seed) + np.int32(at * apart) for at, seed in enumerate(self.seeds)]
        )
        self._mixed = mixing(self.wires, inputs)
        fresh = np.zeros((len(self.wires), len(NAMES)), np.float32)
        fresh[:, PASS_A] = self.start
        self.logits = self.add_weight(
            name="logits", shape=fresh.shape, initializer=lambda shape, dtype=None: tf.constant(fresh, dtype)
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """See the class."""
        polynomials = tf.constant(POLYNOMIALS)
        if training:
            chosen = tf.linalg.matmul(tf.nn.softmax(self.logits), polynomials)
        else:
            chosen = tf.gather(polynomials, tf.argmax(self.logits, axis=1))
        return tf.transpose(self._mixed(tf.transpose(inputs), chosen))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, units * nets)."""
        return (*input_shape[:-1], self.units * len(self.seeds))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        own = {"units": self.units, "seeds": self.seeds, "shared": self.shared, "start": self.start}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="graphsim")
class Levels(_Layer):  # type: ignore[misc]
    """Numbers as bits: whether each exceeds each of some levels.

    Input (batch, ...), output (batch, elements * levels), 0 or 1: all elements for the first level, then for the next.
    """

    def __init__(self, levels: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.levels = [float(level) for level in levels]

    def call(self, inputs: Any) -> Any:
        """See the class."""
        flat = tf.reshape(inputs, (tf.shape(inputs)[0], math.prod(inputs.shape[1:])))
        return tf.concat([tf.cast(flat > level, flat.dtype) for level in self.levels], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, elements * levels)."""
        return input_shape[0], math.prod(size or 0 for size in input_shape[1:]) * len(self.levels)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable(package="graphsim")
class GroupSum(_Layer):  # type: ignore[misc]
    """The sum of each of ``classes`` equal parts of the inputs, divided by ``temperature``.

    Input (batch, inputs), output (batch, classes).
    """

    def __init__(self, classes: int, temperature: float, **options: Any) -> None:
        super().__init__(**options)
        self.classes, self.temperature = classes, temperature

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check that the inputs can be dealt out."""
        if (input_shape[-1] or 0) % self.classes:
            raise ValueError(f"{input_shape[-1]} outputs of gates cannot be dealt to {self.classes} classes")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        parts = tf.reshape(inputs, (-1, self.classes, inputs.shape[-1] // self.classes))
        return tf.reduce_sum(parts, axis=2) / self.temperature

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, classes)."""
        return input_shape[0], self.classes

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "classes": self.classes, "temperature": self.temperature}


def mixing(wires: Wires, inputs: int) -> Any:
    """The function that runs a layer's polynomials: (values (inputs, batch), polynomials (gates, 4)) -> (gates, batch).

    Values stand with the batch last, so that a wire is a row and gathering one is a copy. Gradients come back along the
    wires in the same way: every input gathers what its readers have for it, in their order, and nothing is scattered.
    """
    readers = _readers(wires, inputs)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def mixed(values: Any, polynomials: Any) -> Any:
        a, b = tf.gather(values, wires[:, 0]), tf.gather(values, wires[:, 1])
        c0, ca, cb, cab = (polynomials[:, at : at + 1] for at in range(4))

        def gradient(upstream: Any) -> tuple[Any, Any]:
            by_a = upstream * a
            of = tf.stack([_total(part) for part in (upstream, by_a, upstream * b, by_a * b)], axis=1)
            ends = upstream * (ca + cab * b), upstream * (cb + cab * a), tf.zeros_like(upstream[:1])
            back = tf.concat(ends, axis=0)
            down = tf.gather(back, readers[0])
            for row in readers[1:]:
                down += tf.gather(back, row)
            return down, of

        return c0 + ca * a + b * (cb + cab * a), gradient

    return mixed


def _readers(wires: Wires, inputs: int) -> npt.NDArray[np.int32]:
    """int32 (most readers, inputs): for each input the ends of wires that it feeds, ``gate`` for an A and
    ``gates + gate`` for a B, filled up with ``2 * gates``.
    """
    ends = np.concatenate([wires[:, 0], wires[:, 1]])
    order = np.argsort(ends, kind="stable")
    fed = np.bincount(ends, minlength=inputs)
    rank = np.arange(len(ends)) - np.repeat(np.cumsum(fed) - fed, fed)
    readers = np.full((max(1, int(fed.max())), inputs), len(ends), np.int32)
    readers[rank, ends[order]] = order
    return readers


def _total(values: Any) -> Any:
    """Sum along the batch, in an order that vector instructions can follow where the batch allows it."""
    batch = values.shape[1]
    if batch is not None and batch % _LANES == 0:
        values = tf.reduce_sum(tf.reshape(values, (-1, batch // _LANES, _LANES)), axis=1)
    return tf.reduce_sum(values, axis=1)
