"""Keras layers of arithmetic modules. Importing this module imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphsim.zoo.arithmetic.modules import MODULES, Module, discretized, keras, module_named, penalty, tf

_Layer: Any = keras.layers.Layer
_Constraint: Any = keras.constraints.Constraint


@keras.saving.register_keras_serializable(package="graphsim")
class Within(_Constraint):  # type: ignore[misc]
    """Holds weights between two numbers after every step."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, w: Any) -> Any:
        """The weights, clipped."""
        return tf.clip_by_value(w, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        """What makes the constraint again."""
        return {"low": self.low, "high": self.high}


def _held(layer: Any, module: Module, inputs: int) -> dict[str, Any]:
    """The weights of a module on so many inputs, made in a layer that has ``units`` and a ``seed``; by name."""
    held = {}
    for number, (name, weight) in enumerate(module.weights.items()):
        low, high = weight.numbers(inputs, layer.units)
        seed = layer.seed * len(module.weights) + number
        start = (
            keras.initializers.RandomUniform(low, high, seed)
            if weight.start == "uniform"
            else keras.initializers.RandomNormal(low, high, seed)
        )
        held[name] = layer.add_weight(
            name=name,
            shape=weight.shape(inputs, layer.units),
            initializer=start,
            constraint=None if weight.clip is None else Within(*weight.clip),
        )
    return held


def _round(layer: Any) -> None:
    for name, value in discretized(layer.module, layer.held).items():
        layer.held[name].assign(value)


class Arithmetic(_Layer):  # type: ignore[misc]
    """A layer of one arithmetic module, of which each subclass is one; see :mod:`graphsim.zoo.arithmetic.modules`.

    Args:
        units: O, the number of outputs.
        seed: of its weights, and of noise in training.
        sparsity: weight in the loss of the penalty that pulls its matrices to whole numbers: a number or a variable.

    Input (batch, I), output (batch, O), float32.
    """

    module: Module

    def __init__(self, units: int, seed: int = 0, sparsity: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.seed, self.sparsity = int(units), int(seed), sparsity
        self.noise = keras.random.SeedGenerator(seed) if self.module.noise else None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        self.held = _held(self, self.module, int(input_shape[-1] or 0))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """See the class."""
        drawn = None
        if training and self.noise is not None:
            drawn = keras.random.uniform(tf.shape(inputs), 1.0, 5.0, seed=self.noise)
        if training and (not isinstance(self.sparsity, float) or self.sparsity):
            self.add_loss(self.sparsity * penalty(self.module, self.held))
        return self.module.forward(self.held, inputs, bool(training), drawn)

    def matrices(self) -> dict[str, Any]:
        """The matrices and gates that converge to whole numbers, by name."""
        return self.module.matrices(self.held)

    def discretize(self) -> None:
        """Round the matrices and gates to the whole numbers that are nearest."""
        _round(self)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """(batch, O)."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again; a penalty that varies is not kept."""
        kept = self.sparsity if isinstance(self.sparsity, float) else 0.0
        return {**super().get_config(), "units": self.units, "seed": self.seed, "sparsity": kept}


@keras.saving.register_keras_serializable(package="graphsim")
class ArithmeticCell(_Layer):  # type: ignore[misc]
    """A recurrent cell of one arithmetic module: h(t) = module([x(t); h(t-1)]), for ``keras.layers.RNN``.

    Args:
        module: name of the module.
        units: O, the number of states.
        seed: of its weights.

    Input (batch, I), states and output (batch, O), float32. A module that draws noise in training has none here.
    """

    def __init__(self, module: str, units: int, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.module = module_named(module)
        self.units, self.seed = int(units), int(seed)
        self.state_size = self.output_size = self.units

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights."""
        self.held = _held(self, self.module, int(input_shape[-1] or 0) + self.units)

    def call(self, inputs: Any, states: Sequence[Any], training: bool | None = None) -> tuple[Any, list[Any]]:
        """See the class."""
        joined = tf.concat([inputs, states[0]], axis=-1)
        new = self.module.forward(self.held, joined, False)
        return new, [new]

    def discretize(self) -> None:
        """Round the matrices and gates to the whole numbers that are nearest."""
        _round(self)

    def get_config(self) -> dict[str, Any]:
        """What makes the cell again."""
        return {**super().get_config(), "module": self.module.name, "units": self.units, "seed": self.seed}


def _layer(module: Module) -> Any:
    made = type(module.name, (Arithmetic,), {"module": module, "__doc__": f"{module.name}: {module.formula}."})
    made.__module__ = __name__
    return keras.saving.register_keras_serializable(package="graphsim")(made)


#: The layer of each module, by name.
LAYERS: dict[str, Any] = {name: _layer(module) for name, module in MODULES.items()}
