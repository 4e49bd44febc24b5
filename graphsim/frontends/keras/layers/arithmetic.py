"""Neural arithmetic: the layers of :mod:`graphsim.zoo.arithmetic`, whose equations are stated there.

One actor per output, and before it those that its equation has: logarithms, affine terms, signs, cosines of turns. The
matrices that a layer derives from what it learnt (W = tanh(What) sigmoid(Mhat)) are derived here in float64 and rounded
once; TensorFlow derives them in float32, and the roundings of that count in the bounds (``extra_roundings``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphsim.frontends.blocks.arith import elementwise, unary
from graphsim.frontends.builder import (
    LINEAR,
    Builder,
    Derivation,
    FloatArray,
    RefusedError,
    Stored,
    Tensor,
    Unary,
    Weight,
)
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.registry import Lowering
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Axis, Ref
from graphsim.graph.graph import Observed

EPSILON, TINY, LARGEST = np.float32(1e-7), np.float32(2.0**-23), np.float32(20.0)
LN_PHI = math.log((1 + math.sqrt(5)) / 2)

ABS, SIGN, LOG, EXP, COS = Unary("abs"), Unary("sign"), Unary("log"), Unary("exp"), Unary("cos")
SIGMOID, POSITIVE, RECIPROCAL = Unary("sigmoid"), Unary("positive"), Unary("reciprocal")

#: Roundings of TensorFlow's tanh(v) sigmoid(v), relative to it: its allowances for both, their product, and our own.
NAC_ROUNDINGS = 8 + 12 + 2
#: Where v is multiplied by ln phi first, two more before each, which sigmoid makes |v| times as many of (|v| < 16).
GOLDEN_ROUNDINGS = NAC_ROUNDINGS + 2 + 2 * 16
SIGMOID_ROUNDINGS = 12 + 1
#: Roundings of w x + 1 - w, relative to |w x| + 1 + |w|; with |w| derived, those of W more.
AFFINE_ROUNDINGS = 3

Float64Array = NDArray[np.float64]


class Matrix(NamedTuple):
    """A matrix (I, O) of a layer: how it follows from its weights, in float64, and TensorFlow's roundings of it."""

    name: str
    rule: Callable[[Callable[[Weight], FloatArray]], Float64Array]
    roundings: int = 0


def _units(fields: Fields) -> int:
    return fields.size("units")


def inputs_of(x: Tensor) -> int:
    if len(x.shape) != 1:
        raise RefusedError(f"it takes a vector per sample, and is given a tensor of shape {x.shape}")
    return x.shape[0]


def _stored(
    to: Builder, name: str, rule: Callable[[Callable[[Weight], FloatArray]], Float64Array], *shape: int
) -> Stored:
    return Stored(to.derive(name, lambda of: rule(of).astype(np.float32).reshape(shape)), shape)


def own(weight: Weight, name: str = "w", rows: slice = slice(None)) -> Matrix:
    """A weight of the layer as it is, or some rows of it."""
    return Matrix(name, lambda of: of(weight)[rows].astype(np.float64))


def nac_matrix(to: Builder, inputs: int, units: int, which: str = "", base: float = 1.0) -> Matrix:
    what, mhat = (to.weight(f"{name}{which}", (inputs, units)) for name in ("what", "mhat"))

    def rule(of: Callable[[Weight], FloatArray]) -> Float64Array:
        a, b = (of(weight).astype(np.float64) * base for weight in (what, mhat))
        found: Float64Array = np.tanh(a) / (1 + np.exp(-b))
        return found

    return Matrix(f"matrix{which}", rule, NAC_ROUNDINGS if base == 1 else GOLDEN_ROUNDINGS)


def _sum(
    to: Builder,
    x: Tensor,
    w: Matrix,
    units: int,
    *,
    activation: Unary = LINEAR,
    suffix: str = "",
    observes: Observed = "",
) -> Tensor:
    """W x: one actor per output."""
    y = to.group(
        "linear", [units], suffix=suffix, activation=activation, extra_roundings=w.roundings, observes=observes
    )
    to.dense(x, y, weight=_stored(to, w.name, w.rule, x.size, units))
    return y


def _logs(to: Builder, x: Tensor) -> Tensor:
    """log(|x| + eps)."""
    size = unary(to, x, ABS, suffix="size", observes="")
    bias = Ref(to.constant("epsilon", np.array([EPSILON])).param)
    y = to.group("sum", x.shape, suffix="log", activation=LOG, params={"bias": bias})
    to.one_to_one(size, y)
    return y


def _affine(to: Builder, x: Tensor, w: Matrix, units: int, suffix: str) -> Tensor:
    """w_io x_i + 1 - w_io for every edge, or, of x (O, I) already edge by edge, of its element: (O, I)."""
    inputs = x.shape[-1]

    def turned(of: Callable[[Weight], FloatArray]) -> Float64Array:
        return np.ascontiguousarray(w.rule(of).astype(np.float32).T, np.float64)

    params: dict[str, Ref | None] = {
        "bias": Ref(_stored(to, f"{w.name}.{suffix}.rest", lambda of: 1 - turned(of), units * inputs).param),
        "magnitude": Ref(
            _stored(to, f"{w.name}.{suffix}.magnitude", lambda of: 1 + np.abs(turned(of)), units * inputs).param
        ),
    }
    extra = AFFINE_ROUNDINGS + w.roundings
    y = to.group("linear", [units, inputs], suffix=suffix, params=params, extra_roundings=extra)
    if len(x.shape) == 2:
        to.one_to_one(x, y, weight=Ref(_stored(to, f"{w.name}.{suffix}.edges", turned, units * inputs).param))
        return y
    axes = [Axis(1, units, stride=0, weight_consumer=inputs), Axis(inputs, inputs, weight_consumer=1)]
    to.window(x, y, axes, weight=_stored(to, f"{w.name}.{suffix}.edges", turned, units, inputs))
    return y


def _product(to: Builder, terms: list[Tensor], units: int, suffix: str = "", observes: Observed = "") -> Tensor:
    """The product of all terms (O, I) of each output, port by port."""
    y = to.group("product", [units], suffix=suffix, observes=observes)
    for port, x in enumerate(terms):
        to.window(x, y, [Axis(units, units), Axis(x.shape[1], 1, taps=x.shape[1])], port)
    return y


def blend(to: Builder, gate: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """g one + (1 - g) other."""
    rest = elementwise(to, "subtract", [np.ones(1, np.float32), gate], suffix="gate.rest", observes="")
    left = elementwise(to, "product", [gate, one], suffix="gate.one", observes="")
    right = elementwise(to, "product", [rest, other], suffix="gate.other", observes="")
    return elementwise(to, "sum", [left, right], observes="output")


def gate_by_inputs(to: Builder, x: Tensor, units: int, base: float) -> Tensor:
    """sigmoid(G x), of a NALU."""
    kernel = to.weight("gate", (inputs_of(x), units))
    gates = Matrix("gate", lambda of: of(kernel).astype(np.float64) * base, 0 if base == 1 else 3)
    return _sum(to, x, gates, units, activation=SIGMOID, suffix="gate")


def _nac(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        return _sum(to, x, nac_matrix(to, inputs_of(x), units), units, observes="output")

    return build


def _nac_mul(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        w = nac_matrix(to, inputs_of(x), units)
        return _sum(to, _logs(to, x), w, units, activation=EXP, observes="output")

    return build


def _pos_nac_mul(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        what = to.weight("what", (inputs_of(x), units))
        w = Matrix("matrix", lambda of: 1 / (1 + np.exp(-of(what).astype(np.float64))), SIGMOID_ROUNDINGS)
        return _sum(to, _logs(to, x), w, units, activation=EXP, observes="output")

    return build


def _nalu_of(base: float, separate: bool) -> Callable[[Fields, Semantics], Lowering]:
    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        units = _units(fields)

        def build(to: Builder, x: Tensor) -> Tensor:
            inputs = inputs_of(x)
            adding = nac_matrix(to, inputs, units, base=base)
            multiplying = nac_matrix(to, inputs, units, "_mul", base) if separate else adding
            gate = gate_by_inputs(to, x, units, base)
            one = _sum(to, x, adding, units, suffix="sum")
            other = _sum(to, _logs(to, x), multiplying, units, activation=EXP, suffix="product")
            return blend(to, gate, one, other)

        return build

    return rule


def _inalu(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        inputs = inputs_of(x)
        adding, multiplying = (nac_matrix(to, inputs, units, which) for which in ("", "_mul"))
        learnt = to.weight("gate", (units,))
        bias = _stored(to, "gate", lambda of: 1 / (1 + np.exp(-of(learnt).astype(np.float64))), units)
        gate = to.group(
            "sum", [units], suffix="gate", params={"bias": Ref(bias.param)}, extra_roundings=SIGMOID_ROUNDINGS
        )
        one = _sum(to, x, adding, units, suffix="sum")
        exponent = _sum(to, _logs(to, x), multiplying, units, suffix="exponent")
        least = elementwise(to, "min", [exponent, np.full(1, LARGEST)], suffix="least", observes="")
        size = unary(to, least, EXP, suffix="size", observes="")
        strength = multiplying._replace(name="strength", rule=lambda of: np.abs(multiplying.rule(of)))
        signs = _affine(to, unary(to, x, SIGN, suffix="sign", observes=""), strength, units, "affine")
        sign = _product(to, [signs], units, "sign.product")
        return blend(to, gate, one, elementwise(to, "product", [sign, size], suffix="product", observes=""))

    return build


def _nau(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        kernel = to.weight("w", (inputs_of(x), units))
        y = to.group("linear", [units], observes="output")
        to.dense(x, y, weight=kernel)
        return y

    return build


def _nmu(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        w = own(to.weight("w", (inputs_of(x), units)))
        return _product(to, [_affine(to, x, w, units, "affine")], units, observes="output")

    return build


def _npu_of(real: bool) -> Callable[[Fields, Semantics], Lowering]:
    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        units = _units(fields)

        def build(to: Builder, x: Tensor) -> Tensor:
            inputs = inputs_of(x)
            wr = to.weight("wr", (inputs, units))
            wi = None if real else to.weight("wi", (inputs, units))
            learnt = to.weight("gate", (inputs,))

            def gate(of: Callable[[Weight], FloatArray]) -> FloatArray:
                return np.clip(of(learnt), np.float32(0), np.float32(1))

            def param(name: str, derivation: Derivation) -> Ref:
                return Ref(to.derive(name, derivation))

            size = unary(to, x, ABS, suffix="size", observes="")
            tiny = Ref(to.constant("tiny", np.array([TINY])).param)
            above = to.group("sum", x.shape, suffix="above", params={"bias": tiny})
            to.one_to_one(size, above)
            rest = param("gate.rest", lambda of: np.float32(1) - gate(of))
            logs = to.group("linear", x.shape, suffix="log", activation=LOG, params={"bias": rest})
            to.one_to_one(above, logs, weight=param("gate", gate))
            negative = _negative(to, x, "negative")
            turns = to.group("linear", x.shape, suffix="turns")
            to.one_to_one(negative, turns, weight=param("gate.turns", lambda of: gate(of) * np.float32(math.pi)))

            def summed(
                logs_by: Weight | Stored | None, turns_by: Weight | Stored | None, act: Unary, suffix: str
            ) -> Tensor:
                y = to.group("linear", [units], suffix=suffix, activation=act)
                parts = [(x, w) for x, w in ((logs, logs_by), (turns, turns_by)) if w is not None]
                for port, (part, w) in enumerate(parts):
                    to.dense(part, y, port, weight=w)
                return y

            minus = None if wi is None else Stored(to.derive("wi.minus", lambda of: -of(wi)), (inputs, units))
            length = summed(wr, minus, EXP, "length")
            turn = summed(wi, wr, COS, "turn")
            return elementwise(to, "product", [length, turn], observes="output")

        return build

    return rule


def _negative(to: Builder, x: Tensor, suffix: str) -> Tensor:
    """1 where x is below 0, else 0."""
    minus = Ref(to.constant("minus_one", np.full(1, -1, np.float32)).param)
    y = to.group("linear", x.shape, suffix=suffix, activation=POSITIVE)
    to.one_to_one(x, y, weight=minus)
    return y


def _nru(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        inputs = inputs_of(x)
        w = own(to.weight("w", (inputs, units)))
        exponents = _stored(to, "w.exponent", lambda of: w.rule(of).T, units * inputs)
        spread = [Axis(1, units, stride=0), Axis(inputs, inputs)]
        size, sign = (unary(to, x, act, suffix=act.row, observes="") for act in (ABS, SIGN))
        powers = to.group(
            "sum", [units, inputs], suffix="power", activation=Unary("power"), params={"alpha": Ref(exponents.param)}
        )
        to.window(size, powers, spread)
        signed = to.group("product", [units, inputs], suffix="signed")
        to.window(sign, signed, spread)
        to.one_to_one(powers, signed, 1)
        strength = Matrix("strength", lambda of: np.abs(w.rule(of)))
        return _product(to, [_affine(to, signed, strength, units, "affine")], units, observes="output")

    return build


def _nmru(fields: Fields, semantics: Semantics) -> Lowering:
    units = _units(fields)

    def build(to: Builder, x: Tensor) -> Tensor:
        inputs = inputs_of(x)
        learnt = to.weight("w", (2 * inputs, units))
        inverse = unary(to, x, RECIPROCAL, suffix="inverse", observes="")
        halves = ((x, slice(None, inputs), "x"), (inverse, slice(inputs, None), "inverse"))
        pi = Ref(to.constant("pi", np.full(1, math.pi, np.float32)).param)
        terms, turns = [], []
        for part, rows, name in halves:
            w = own(learnt, f"w.{name}", rows)
            size = unary(to, part, ABS, suffix=f"{name}.size", observes="")
            terms.append(_affine(to, size, w, units, f"{name}.affine"))
            negative = _negative(to, part, f"{name}.negative")
            turned = to.group("linear", x.shape, suffix=f"{name}.turns")
            to.one_to_one(negative, turned, weight=pi)
            turns.append((turned, _stored(to, w.name, w.rule, inputs, units)))
        length = _product(to, terms, units, "length")
        turn = to.group("linear", [units], suffix="turn", activation=COS)
        for port, (turned, kernel) in enumerate(turns):
            to.dense(turned, turn, port, weight=kernel)
        return elementwise(to, "product", [length, turn], observes="output")

    return build


RULES: dict[str, Callable[[Fields, Semantics], Lowering]] = {
    "NAC": _nac,
    "NACMul": _nac_mul,
    "PosNACMul": _pos_nac_mul,
    "NALU": _nalu_of(1.0, False),
    "NALUSeparate": _nalu_of(1.0, True),
    "GNALU": _nalu_of(LN_PHI, False),
    "INALU": _inalu,
    "NAU": _nau,
    "NMU": _nmu,
    "SNMU": _nmu,
    "NPU": _npu_of(False),
    "RealNPU": _npu_of(True),
    "RealNPUModified": _npu_of(True),
    "NRU": _nru,
    "NMRU": _nmru,
}
