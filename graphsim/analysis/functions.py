"""The activations as float64 functions of whole arrays, and their images of intervals.

These are the outside view of :mod:`graphsim.graph.arithmetic`: written separately, from the formulas, on NumPy and
SciPy, so that an engine's rule and the value it is judged by share no code. Each form avoids cancellation where the
textbook form has it (``x * ndtr(x)`` for gelu, ``x * expit(2 y)`` for its tanh approximation).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from graphsim.graph.arithmetic import SELU_ALPHA, SELU_SCALE, SQRT_TWO_OVER_PI
from graphsim.graph.ops import ACTIVATIONS

Array = npt.NDArray[np.float64]
#: An argument of an activation: a number, or one per actor, broadcast along the samples.
Argument = float | Array


def _where(condition: npt.NDArray[np.bool_], yes: Argument, no: Argument) -> Array:
    return np.where(condition, yes, no)


def _clipped_relu(x: Array, slope: Argument, greatest: Argument, threshold: Argument) -> Array:
    return _where(x > threshold, np.minimum(x, greatest), slope * (x - threshold))


def _elu(x: Array, alpha: Argument) -> Array:
    return _where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _soft_shrink(x: Array, threshold: Argument) -> Array:
    return _where(x > threshold, x - threshold, _where(x < np.negative(threshold), x + threshold, 0.0 * x))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


#: Every row of :data:`graphsim.graph.ops.ACTIVATIONS` as a function of a float64 array and its arguments.
VECTORISED: dict[str, Callable[..., Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "clipped_relu": _clipped_relu,
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "leaky_relu": lambda x, slope: _where(x >= 0, x, slope * x),
    "elu": _elu,
    "selu": lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
    "celu": lambda x, alpha: _where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    "gelu": lambda x: _product(x, special.ndtr(x)),
    "gelu_tanh": lambda x: _product(x, special.expit(2 * SQRT_TWO_OVER_PI * (x + 0.044715 * x**3))),
    "sigmoid": special.expit,
    "hard_sigmoid": lambda x: np.clip((x + 3) / 6, 0.0, 1.0),
    "hard_sigmoid_v2": lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
    "tanh": np.tanh,
    "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "silu": lambda x: _product(x, special.expit(x)),
    "hard_silu": lambda x: _product(x, np.clip((x + 3) / 6, 0.0, 1.0)),
    "mish": lambda x: _product(x, np.tanh(_softplus(x))),
    "exp": np.exp,
    "log": np.log,
    "log_sigmoid": special.log_expit,
    "hard_shrink": lambda x, threshold: _where(np.abs(x) <= threshold, 0.0, x),
    "soft_shrink": _soft_shrink,
    "tanh_shrink": lambda x: x - np.tanh(x),
    "threshold": lambda x, limit, default: _where(x > limit, x, _where(np.isnan(x), x, default)),
    "squareplus": lambda x, b: (x + np.sqrt(x * x + b)) / 2,
    "sparse_plus": lambda x: _where(x <= -1, 0.0, _where(x >= 1, x, (np.clip(x, -1, 1) + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0.0, 1.0),
    "square": np.square,
    "abs": np.abs,
    "negative": np.negative,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "sign": np.sign,
    "positive": lambda x: (x > 0).astype(np.float64),
    "nonnegative": lambda x: (x >= 0).astype(np.float64),
    "zero": lambda x: (x == 0).astype(np.float64),
    "nonzero": lambda x: (x != 0).astype(np.float64),
    "clip": np.clip,
    "power": np.power,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "sin": np.sin,
    "cos": np.cos,
    "erf": special.erf,
    "log1p": np.log1p,
    "expm1": np.expm1,
}


def _product(x: Array, factor: Array) -> Array:
    """x * factor, and 0 where the factor has vanished, even for an infinite x."""
    return np.multiply(x, factor, where=factor != 0, out=np.zeros_like(x))


def apply(name: str, x: Array, args: tuple[Argument, ...] = ()) -> Array:
    """The activation of a float64 array; its own error is counted by :func:`graphsim.analysis.rounding.Rounding`."""
    with np.errstate(all="ignore"):
        return VECTORISED[name](x, *args)


def reach(name: str, x: Array, error: Array, args: tuple[Argument, ...] = ()) -> Array:
    """How far the activation can get from its value at x when its operand is anywhere in x - error .. x + error.

    The greatest distance is taken at an end of the interval, or at a point inside it where the function turns or
    jumps (column ``turns`` of the activation table), approached from either side: between two such points the function
    is monotone. Of a function that turns too often it is the way it goes at its steepest. Where it is flat, the answer
    is 0: a ReLU that is off for the whole interval must be exactly 0.
    """
    f = VECTORISED[name]
    with np.errstate(all="ignore"):
        slack = error + np.where(error > 0, np.abs(x) * 2.0**-52, 0.0)
        if (slope := ACTIVATIONS[name].steepest) is not None:
            return np.where(np.isfinite(x), slope * slack, np.inf)
        low, high, centre = x - slack, x + slack, f(x, *args)
        found = np.maximum(_distance(f(low, *args), centre), _distance(f(high, *args), centre))
        for turn in ACTIVATIONS[name].turns(*args):
            inside = (low <= turn) & (turn <= high) & (slack > 0)  # a certain operand is on neither side
            if inside.any():
                for point in (np.nextafter(turn, -np.inf), turn, np.nextafter(turn, np.inf)):
                    at = f(np.broadcast_to(point, x.shape), *args)
                    found = np.maximum(found, np.where(inside, _distance(at, centre), 0.0))
    return found


def _distance(a: Array, b: Array) -> Array:
    """|a - b|; 0 between equal infinities, infinite where either is not a number."""
    distance = np.where(a == b, 0.0, np.abs(a - b))
    return np.where(np.isnan(distance), np.inf, distance)
