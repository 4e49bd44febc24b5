"""Activations by the names that Keras gives them, and the groups that the ones along an axis become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphsim.frontends.blocks.softmax import glu, log_softmax, softmax, sparsemax
from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Tensor, Unary, positive_axis
from graphsim.frontends.keras.fields import Fields, shown
from graphsim.frontends.keras.semantics import Semantics

#: Activations of each element by itself, with the defaults of their arguments.
UNARY: dict[str, Unary] = {
    "linear": LINEAR,
    "relu": Unary("relu"),
    "relu6": Unary("relu6"),
    "leaky_relu": Unary("leaky_relu", (float(np.float32(0.2)),)),
    "elu": Unary("elu", (1.0,)),
    "selu": Unary("selu"),
    "celu": Unary("celu", (1.0,)),
    "gelu": Unary("gelu"),
    "sigmoid": Unary("sigmoid"),
    "hard_sigmoid": Unary("hard_sigmoid"),
    "tanh": Unary("tanh"),
    "hard_tanh": Unary("hard_tanh"),
    "softplus": Unary("softplus"),
    "softsign": Unary("softsign"),
    "silu": Unary("silu"),
    "swish": Unary("silu"),
    "hard_silu": Unary("hard_silu"),
    "hard_swish": Unary("hard_silu"),
    "mish": Unary("mish"),
    "exponential": Unary("exp"),
    "log_sigmoid": Unary("log_sigmoid"),
    "hard_shrink": Unary("hard_shrink", (0.5,)),
    "soft_shrink": Unary("soft_shrink", (0.5,)),
    "tanh_shrink": Unary("tanh_shrink"),
    "squareplus": Unary("squareplus", (4.0,)),
    "sparse_plus": Unary("sparse_plus"),
    "sparse_sigmoid": Unary("sparse_sigmoid"),
}
#: Activations along an axis, which no neuron can compute alone.
ALONG = ("softmax", "log_softmax", "glu", "sparsemax")
#: Keras's own sparsemax was wrong until it was mended in August 2026 (its issue 23425), after 3.15.1.
SPARSEMAX_NOTE = (
    "as Martins and Astudillo (2016) define it; Keras up to 3.15.1 computes other values wherever more than one output"
    " is positive"
)
#: Keras 3 takes a sum for one with a bias, and guesses its axis; see :func:`note_column`.
COLUMN_NOTE = (
    "added along the axis that the model names; Keras 3 on TensorFlow adds numbers for channels that come first, or of"
    " a constant column, along the last axis instead, where that is of the same size"
)
#: Names that TensorFlow's own functions leave in files of Keras 2.
_ALIASES = {"softmax_v2": "softmax", "log_softmax_v2": "log_softmax"}


@dataclass(frozen=True)
class Along:
    """An activation along ``axes`` of its operand, as in the file: with the batch axis, negative from the end."""

    kind: str
    axes: tuple[Any, ...] = (-1,)


Activation = Unary | Along

#: Classes of layers that are an activation and nothing else.
LAYERS = ("Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Softmax")


def named(name: str, semantics: Semantics) -> Activation:
    """The activation that ``name`` meant to the Keras that wrote it.

    Raises:
        RefusedError: there is none.
    """
    name = _ALIASES.get(name, name)
    if name == "hard_sigmoid" and semantics.major < 3:
        return Unary("hard_sigmoid_v2")
    if name in ("hard_silu", "hard_swish") and semantics.major < 3:
        raise RefusedError(f"activation {name!r} came with Keras 3, but the file is by Keras {semantics.major}")
    if name in UNARY:
        return UNARY[name]
    if name in ALONG:
        return Along(name)
    if name == "threshold":
        raise RefusedError("activation 'threshold' has arguments that the file does not record")
    raise RefusedError(f"activation {shown(name)} is not one of Keras's; functions of one's own cannot be lowered")


def of_layer(class_name: str, fields: Fields, semantics: Semantics) -> Activation:
    """The activation that a layer of this class (one of ``LAYERS``) and config is.

    Raises:
        RefusedError: the class is no such layer, or its activation cannot be lowered.
    """
    match class_name:
        case "Activation":
            return read(fields, semantics)
        case "ReLU":
            slope = fields.number("negative_slope", default=0.0)
            top, threshold = fields.find("max_value"), fields.number("threshold", default=0.0)
            limit = math.inf if top is None else fields.number("max_value")
            if min(slope, limit, threshold) < 0:
                raise fields.error("'negative_slope', 'max_value' and 'threshold' of a ReLU should not be negative")
            if slope == 0.0 and threshold == 0.0 and limit == math.inf:
                return Unary("relu")
            if slope == 0.0 and threshold == 0.0 and limit == 6:
                return Unary("relu6")
            return Unary("clipped_relu", (slope, limit, threshold))
        case "LeakyReLU":
            return Unary("leaky_relu", (fields.number("negative_slope", "alpha", default=0.3),))
        case "ELU":
            return Unary("elu", (fields.number("alpha", default=1.0),))
        case "ThresholdedReLU":
            return Unary("threshold", (fields.number("theta", default=1.0), 0.0))
        case "Softmax":
            axis = fields.find("axis")
            axes = tuple(axis) if isinstance(axis, list) else (-1 if axis is None else axis,)
            return Along("softmax", axes)
    raise RefusedError(f"its activation is a layer of class {shown(class_name)}, which is not lowered there")


def read(fields: Fields, semantics: Semantics, key: str = "activation") -> Activation:
    """The activation under ``key`` of a layer's config: a name, an activation layer, or null for none.

    Raises:
        RefusedError: it cannot be lowered.
        ModelError: it is neither a name nor an object.
    """
    value = fields.find(key)
    if value is None:
        return LINEAR
    if isinstance(value, dict):
        described = fields.child(key)
        class_name, config = described.text("class_name"), described.find("config")
        if class_name == "function" and isinstance(config, str):
            return named(config, semantics)
        return of_layer(class_name, described.child("config", default={}), semantics)
    return named(fields.text(key), semantics)


def apply(to: Builder, x: Tensor, activation: Activation) -> Tensor:
    """``x`` after an activation of its own: a group of the current layer, or several; none for a linear one."""
    if isinstance(activation, Along):
        return along(to, x, activation)
    if activation == LINEAR:
        return x
    y = to.group("sum", x.shape, activation=activation, observes="output")
    to.one_to_one(x, y)
    return y


def along(to: Builder, x: Tensor, activation: Activation) -> Tensor:
    """``x`` after an activation along axes; ``x`` itself where the activation was of each element by itself."""
    if isinstance(activation, Unary):
        return x
    if not x.shape:
        raise RefusedError(f"its {activation.kind} needs an axis, and its input has none beside the batch")
    axes = tuple(sorted({positive_axis(axis, len(x.shape)) for axis in activation.axes}))
    if not axes:
        raise RefusedError(f"its {activation.kind} names no axis")
    match activation.kind:
        case "softmax":
            return softmax(to, x, axes)
        case "log_softmax":
            return log_softmax(to, x, axes)
        case "glu":
            return glu(to, x, axes[0])
    to.notes["sparsemax"] = SPARSEMAX_NOTE
    return sparsemax(to, x, axes)


def note_column(to: Builder, shape: Sequence[int], axis: int) -> None:
    """Note where Keras 3 adds so many numbers along another axis than ``axis``, the first after the batch.

    ``keras.src.backend.tensorflow.numpy.add`` hands sums to ``tf.nn.bias_add``, by the sizes of the operands only.
    """
    if axis == 0 and len(shape) > 1 and shape[0] == shape[-1] > 1:
        to.notes["column"] = COLUMN_NOTE
