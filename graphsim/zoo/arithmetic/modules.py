"""Arithmetic modules as equations: what each computes, how it starts, and what holds its weights in place.

Every function works on one model or on many side by side: a leading axis of models, if there is one, is in ``x`` (...,
batch, I) as in the weights (..., I, O). Importing this module imports TensorFlow.

Where they are from: NAC and NALU from Trask et al., *Neural Arithmetic Logic Units* (2018); the iNALU from Schlör, Ring
and Hotho, *iNALU: Improved Neural Arithmetic Logic Unit* (2020); NAU and NMU from Madsen and Johansen, *Neural
Arithmetic Units* (2020); NPU and RealNPU from Heim, Pevný and Šmídl, *Neural Power Units* (2020); sNMU, NRU, NMRU and
the modified RealNPU from Mistry, Farrahi and Hare, *Exploring the Learning Mechanisms of Neural Division Modules*
(2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from graphsim.errors import UsageError
from graphsim.zoo.quiet import import_tensorflow

tf, keras = import_tensorflow()

Tensors = Mapping[str, Any]
Kind = Literal["matrix", "inputs", "outputs"]

#: Added to |x| before its logarithm is taken.
EPSILON = 1e-7
#: Added to |x| and to x where it is inverted or raised to a power.
TINY = 2.0**-23
#: ln of the golden ratio.
LN_PHI = math.log((1 + math.sqrt(5)) / 2)
#: Greatest exponent of an iNALU.
LARGEST = 20.0
#: Where tanh and sigmoid are 1 exactly, and sigmoid of its negative 0, in float32.
FAR = 1000.0


class Weight(NamedTuple):
    """A weight of a module.

    Attributes:
        kind: a matrix is (I, O), the others are vectors.
        start: how it is drawn: "uniform" in low .. high, "normal" with mean low and deviation high.
        low, high: numbers, or functions of (I, O).
        clip: where it is held after each step; None: nowhere.
        twice: the matrix has 2 I rows.
    """

    kind: Kind
    start: Literal["uniform", "normal"]
    low: float | Callable[[int, int], float]
    high: float | Callable[[int, int], float]
    clip: tuple[float, float] | None = None
    twice: bool = False

    def shape(self, inputs: int, outputs: int) -> tuple[int, ...]:
        """For so many inputs and outputs."""
        rows = inputs * (2 if self.twice else 1)
        return {"matrix": (rows, outputs), "inputs": (inputs,), "outputs": (outputs,)}[self.kind]

    def numbers(self, inputs: int, outputs: int) -> tuple[float, float]:
        """Low and high for so many inputs and outputs."""
        low, high = (n if isinstance(n, float) else n(inputs, outputs) for n in (self.low, self.high))
        return low, high


@dataclass(frozen=True)
class Module:
    """One row of the table.

    Attributes:
        name: as the literature has it.
        formula: for people.
        weights: by name, in the order in which they are made.
        forward: (weights, x, training) to z; ``training`` is a Python bool, and noise is drawn from ``noise``.
        matrices: names and values in terms of the weights of the matrices that converge to whole numbers.
        whole: the whole numbers that they converge to.
        pull: what does so in training: "sparsity", the mean of min(|w|, |1 - |w||) of matrices and gates; "ends", of
            matrices the mean of |1 - |w|| instead; None: nothing.
        shrinks: whether the sum of |w| over matrices and gates is kept small in training, too.
        value_clip, norm_clip: of gradients, for the optimizer; None: not at all.
        noise: whether it draws noise in training.
    """

    name: str
    formula: str
    weights: Mapping[str, Weight]
    forward: Callable[..., Any]
    matrices: Callable[[Tensors], dict[str, Any]]
    whole: tuple[int, ...]
    pull: Literal["sparsity", "ends"] | None = None
    shrinks: bool = False
    value_clip: float | None = None
    norm_clip: float | None = None
    noise: bool = False


def _xavier(inputs: int, outputs: int) -> float:
    return math.sqrt(6 / (inputs + outputs))


def _minus_xavier(inputs: int, outputs: int) -> float:
    return -_xavier(inputs, outputs)


def _additive(inputs: int, outputs: int) -> float:
    return min(0.5, math.sqrt(3) * math.sqrt(2 / (inputs + outputs)))


def _minus_additive(inputs: int, outputs: int) -> float:
    return -_additive(inputs, outputs)


def _glorot(kind: Kind = "matrix") -> Weight:
    return Weight(kind, "uniform", _minus_xavier, _xavier)


# -- what modules are made of ------------------------------------------------------------------------------------------


def _nac_matrix(what: Any, mhat: Any, base: float = 1.0) -> Any:
    return tf.tanh(what * base) * tf.sigmoid(mhat * base)


def _log(x: Any) -> Any:
    return tf.math.log(tf.abs(x) + EPSILON)


def _product(w: Any, x: Any, factor: Callable[[Any, Any], Any]) -> Any:
    """prod_i factor(w_io, x_i), from the first input to the last: (..., batch, O).

    The batch is the last axis while factors are made and multiplied, since XLA vectorises along that one.
    """
    along = tf.linalg.matrix_transpose(x)[..., tf.newaxis, :]
    product, *others = tf.unstack(factor(w[..., tf.newaxis], along), axis=-3)
    for each in others:
        product *= each
    return tf.linalg.matrix_transpose(product)


def _affine(w: Any, x: Any) -> Any:
    return w * x + 1 - w


def _blend(gate: Any, one: Any, other: Any) -> Any:
    return gate * one + (1 - gate) * other


def _nac(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    return tf.matmul(x, _nac_matrix(w["what"], w["mhat"]))


def _nac_mul(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    return tf.exp(tf.matmul(_log(x), _nac_matrix(w["what"], w["mhat"])))


def _pos_nac(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    return tf.exp(tf.matmul(_log(x), tf.sigmoid(w["what"])))


def _nalu_of(base: float, separate: bool) -> Callable[..., Any]:
    def forward(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
        adding = _nac_matrix(w["what"], w["mhat"], base)
        multiplying = _nac_matrix(w["what_mul"], w["mhat_mul"], base) if separate else adding
        gate = tf.sigmoid(tf.matmul(x, w["gate"]) * base)
        return _blend(gate, tf.matmul(x, adding), tf.exp(tf.matmul(_log(x), multiplying)))

    return forward


def _inalu(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    adding = _nac_matrix(w["what"], w["mhat"])
    multiplying = _nac_matrix(w["what_mul"], w["mhat_mul"])
    size = tf.exp(tf.minimum(LARGEST, tf.matmul(_log(x), multiplying)))
    sign = _product(tf.abs(multiplying), tf.sign(x), _affine)
    gate = tf.sigmoid(w["gate"])[..., tf.newaxis, :]
    return _blend(gate, tf.matmul(x, adding), sign * size)


def _nau(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    return tf.matmul(x, w["w"])


def _nmu(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    return _product(w["w"], x, _affine)


def _snmu(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    if not training:
        return _product(w["w"], x, _affine)
    return _product(w["w"], noise * x, _affine) / _product(w["w"], noise, _affine)


def _npu_of(real: bool) -> Callable[..., Any]:
    def forward(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
        gate = tf.clip_by_value(w["gate"], 0.0, 1.0)[..., tf.newaxis, :]
        # In this order: another one loses small inputs in float32.
        logs = tf.math.log(gate * (tf.abs(x) + TINY) + (1 - gate))
        turns = tf.where(x < 0, gate * math.pi, tf.zeros_like(x))
        if real:
            return tf.exp(tf.matmul(logs, w["wr"])) * tf.cos(tf.matmul(turns, w["wr"]))
        size = tf.exp(tf.matmul(logs, w["wr"]) - tf.matmul(turns, w["wi"]))
        return size * tf.cos(tf.matmul(logs, w["wi"]) + tf.matmul(turns, w["wr"]))

    return forward


def _nru(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    def factor(weight: Any, of: Any) -> Any:
        strength = tf.square(tf.tanh(1000.0 * weight)) if training else tf.abs(weight)
        return tf.sign(of) * tf.pow(tf.abs(of), weight) * strength + 1 - strength

    return _product(w["w"], x, factor)


def _nmru(w: Tensors, x: Any, training: bool, noise: Any = None) -> Any:
    both = tf.concat([x, 1 / (x + TINY) if training else 1 / x], axis=-1)
    turns = tf.where(both < 0, math.pi * tf.ones_like(both), tf.zeros_like(both))
    return _product(w["w"], tf.abs(both), _affine) * tf.cos(tf.matmul(turns, w["w"]))


_UNIT = (0.0, 1.0)
_SIGNED = (-1.0, 1.0)
_NAC = {"what": _glorot(), "mhat": _glorot()}
_APART = {**_NAC, "what_mul": _glorot(), "mhat_mul": _glorot()}
_HALF = Weight("matrix", "uniform", 0.25, 0.75, _UNIT)
_INALU = {
    "what": Weight("matrix", "normal", 0.88, 0.2),
    "mhat": Weight("matrix", "normal", 0.5, 0.2),
    "what_mul": Weight("matrix", "normal", 0.88, 0.2),
    "mhat_mul": Weight("matrix", "normal", 0.5, 0.2),
    "gate": Weight("outputs", "normal", 0.0, 0.2),
}
_CONSTRAINED = Weight("matrix", "uniform", _minus_additive, _additive, _SIGNED)
_GATE = Weight("inputs", "uniform", 0.5, 0.5)


def _nac_matrices(base: float = 1.0) -> Callable[[Tensors], dict[str, Any]]:
    def found(w: Tensors) -> dict[str, Any]:
        matrices = {"W": _nac_matrix(w["what"], w["mhat"], base)}
        if "what_mul" in w:
            matrices["Wm"] = _nac_matrix(w["what_mul"], w["mhat_mul"], base)
        return matrices

    return found


def _own(*names: str) -> Callable[[Tensors], dict[str, Any]]:
    return lambda w: {name: w[name] for name in names}


_TABLE = (
    Module("NAC", "z = W x, W = tanh(What) sigmoid(Mhat)", _NAC, _nac, _nac_matrices(), (-1, 0, 1)),
    Module(
        "NACMul", "z = exp(W log(|x| + eps)), W = tanh(What) sigmoid(Mhat)", _NAC, _nac_mul, _nac_matrices(), (-1, 0, 1)
    ),
    Module(
        "PosNACMul",
        "z = exp(W log(|x| + eps)), W = sigmoid(What)",
        {"what": _glorot()},
        _pos_nac,
        lambda w: {"W": tf.sigmoid(w["what"])},
        (0, 1),
    ),
    Module(
        "NALU",
        "z = g (W x) + (1 - g) exp(W log(|x| + eps)), g = sigmoid(G x)",
        {**_NAC, "gate": _glorot()},
        _nalu_of(1.0, False),
        _nac_matrices(),
        (-1, 0, 1),
    ),
    Module(
        "NALUSeparate",
        "a NALU with weights of its own for each of its two paths",
        {**_APART, "gate": _glorot()},
        _nalu_of(1.0, True),
        _nac_matrices(),
        (-1, 0, 1),
    ),
    Module(
        "GNALU",
        "a NALU with the golden ratio as base: tanh(v ln phi), sigmoid(v ln phi)",
        {**_NAC, "gate": _glorot()},
        _nalu_of(LN_PHI, False),
        _nac_matrices(LN_PHI),
        (-1, 0, 1),
    ),
    Module(
        "INALU",
        "z = g (W x) + (1 - g) s exp(min(20, Wm log(|x| + eps))), s = prod(sign(x) |Wm| + 1 - |Wm|), g = sigmoid(G)",
        _INALU,
        _inalu,
        _nac_matrices(),
        (-1, 0, 1),
        value_clip=0.1,
    ),
    Module(
        "NAU",
        "z = W x",
        {"w": _CONSTRAINED},
        _nau,
        _own("w"),
        (-1, 0, 1),
        pull="sparsity",
    ),
    Module("NMU", "z = prod(W x + 1 - W)", {"w": _HALF}, _nmu, _own("w"), (0, 1), pull="sparsity"),
    Module(
        "SNMU",
        "z = NMU(n x) / NMU(n), n ~ U[1, 5] in training, 1 after it",
        {"w": _HALF},
        _snmu,
        _own("w"),
        (0, 1),
        pull="sparsity",
        noise=True,
    ),
    Module(
        "NPU",
        "z = exp(Wr log r - Wi k) cos(Wi log r + Wr k), r = g (|x| + 2^-23) + 1 - g, k = pi g where x < 0",
        {"wr": _glorot(), "wi": Weight("matrix", "uniform", 0.0, 0.0), "gate": _GATE},
        _npu_of(False),
        _own("wr", "wi", "gate"),
        (-1, 0, 1),
        shrinks=True,
    ),
    Module(
        "RealNPU",
        "z = exp(W log r) cos(W k), r = g (|x| + 2^-23) + 1 - g, k = pi g where x < 0",
        {"wr": _glorot(), "gate": _GATE},
        _npu_of(True),
        _own("wr", "gate"),
        (-1, 0, 1),
        shrinks=True,
    ),
    Module(
        "RealNPUModified",
        "a RealNPU with W held in [-1, 1] and g in [0, 1]",
        {"wr": _CONSTRAINED, "gate": _GATE._replace(clip=_UNIT)},
        _npu_of(True),
        _own("wr", "gate"),
        (-1, 0, 1),
        pull="ends",
        shrinks=True,
    ),
    Module(
        "NRU",
        "z = prod(sign(x) |x|^W |W| + 1 - |W|)",
        {"w": _CONSTRAINED},
        _nru,
        _own("w"),
        (-1, 0, 1),
        pull="sparsity",
    ),
    Module(
        "NMRU",
        "z = prod(W |xt| + 1 - W) cos(sum W k), xt = [x; 1/x], k = pi where xt < 0",
        {"w": _HALF._replace(twice=True)},
        _nmru,
        _own("w"),
        (0, 1),
        pull="sparsity",
        norm_clip=1.0,
    ),
)

#: All modules, by name.
MODULES: dict[str, Module] = {module.name: module for module in _TABLE}


def module_named(name: str) -> Module:
    """The module of a name, in any case and with hyphens or not.

    Raises:
        UsageError: there is none.
    """
    wanted = name.replace("-", "").lower()
    for module in _TABLE:
        if module.name.lower() == wanted:
            return module
    raise UsageError(f"there is no arithmetic module {name[:40]!r}; there are {', '.join(MODULES)}")


def discretized(module: Module, w: Tensors) -> dict[str, Any]:
    """The weights whose matrices and gates are the nearest whole numbers; those that converge to none as they are.

    Matrices that are made by tanh and sigmoid get weights so far out that both are -1, 0 or 1 exactly.
    """
    found = dict(w)
    for name, held in module.matrices(w).items():
        if name in w:
            low = 0 if name == "gate" else min(module.whole)
            found[name] = tf.round(tf.clip_by_value(held, float(low), float(max(module.whole))))
            continue
        which, nearest = "_mul" if name == "Wm" else "", tf.round(held)
        if f"mhat{which}" in w:
            found[f"what{which}"], found[f"mhat{which}"] = FAR * nearest, FAR * tf.ones_like(nearest)
        else:
            found[f"what{which}"] = FAR * (2 * nearest - 1)
    if "gate" in w and module.weights["gate"].kind == "outputs":
        found["gate"] = FAR * (2 * tf.round(tf.sigmoid(w["gate"])) - 1)
    return found


def sparsity_error(w: Any, axes: int = 2) -> Any:
    """How far entries are from -1, 0 and 1: max min(|w|, |1 - |w||) over the last axes."""
    size = tf.abs(w)
    return tf.reduce_max(tf.minimum(size, tf.abs(1 - size)), axis=list(range(-axes, 0)))


def penalty(module: Module, w: Tensors) -> Any:
    """What pulls a module's matrices and gates to whole numbers, without its weight in the loss: (...)."""
    total: Any = 0.0
    for name, held in module.matrices(w).items():
        size = tf.abs(held)
        away = tf.abs(1 - size)
        is_matrix = name not in module.weights or module.weights[name].kind == "matrix"
        far = away if is_matrix and module.pull == "ends" else tf.minimum(size, away)
        total = total + tf.reduce_mean(far, axis=_axes(module, name))
    return total


def length(module: Module, w: Tensors) -> Any:
    """The sum of |w| over a module's matrices and gates: (...)."""
    return sum(tf.reduce_sum(tf.abs(held), axis=_axes(module, name)) for name, held in module.matrices(w).items())


def _axes(module: Module, name: str) -> list[int]:
    """The axes of one model's matrix or gate."""
    weight = module.weights.get(name)
    return list(range(-1 if weight is not None and weight.kind != "matrix" else -2, 0))
