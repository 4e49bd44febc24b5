"""Neural arithmetic with whole weights: the layers of :mod:`graphsim.frontends.keras.layers.arithmetic`, once learnt.

An edge of weight 0 is gone. What is left is sums of inputs, products of inputs and of reciprocals: the formula.

TensorFlow, with the same whole weights, goes the way of the layer's equation, and its roundings on that way are counted
here, where its way and the formula's part (``extra_roundings``, relative to the result, or to it and ``magnitude``):

- w x + 1 - w with w = 1 is (x + 1) - 1: two roundings, relative to |x| + 2; with w = 0 it is 1, exactly.
- |x|^w with w = 1 or -1 is within four roundings of x or 1 / x (the allowance of ``power``).
- exp(sum of w log f) with n factors f in [1e-7, 2^128): each |log f| is at most 89, each logarithm is within 6
  roundings of itself (its allowance), each term of the sum passes at most n, and the exponential is within 4. An
  exponent that is off by d makes a result that is off by e^d - 1 < 1.01 d, relatively.
- cos(sum of m turns k = fl(pi)): fl(pi) is within 1.5 roundings of pi, relative to 1, and the sum of m of them, in any
  order, within (m - 1) m pi: together d. At a multiple of pi the cosine is off by at most d^2 / 2 and its allowance, 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphsim.frontends.blocks.arith import constant, elementwise
from graphsim.frontends.builder import Builder, Learnt, Tensor, Unary
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers import arithmetic as learning
from graphsim.frontends.keras.layers.arithmetic import ABS, EPSILON, LARGEST, LN_PHI, RECIPROCAL, SIGN, TINY, Matrix
from graphsim.frontends.keras.layers.registry import Lowering, lowers, registering_own
from graphsim.frontends.keras.semantics import Semantics
from graphsim.graph import Ref
from graphsim.graph.graph import Observed

#: Rounding errors of (x + 1) - 1 as three roundings, like those of w x + 1 - w, relative to |x| + 2; of |x|^w, four.
AFFINE, MAGNITUDE, POWER = 3, 2.0, 4
#: More than |log f| of any float32 f from 1e-7 on.
GREATEST_LOG = 89
LOG, EXP, COS = 6, 4, 4
UNIT = 2.0**-24

SIGNED, UNIT_SET = (-1, 0, 1), (0, 1)
#: The note of a graph that names layers whose weights could be made whole.
ARITHMETIC = "arithmetic"
Chosen = NDArray[np.bool_]
Whole = NDArray[np.int64]


class Factors(NamedTuple):
    """Values that are multiplied: a tensor of n, and which of them each output takes, (n, O)."""

    values: Tensor
    chosen: Chosen


def rounded(to: Builder, *matrices: tuple[Matrix, Sequence[int]]) -> list[Whole]:
    """Matrices of the current layer, each rounded to the nearest of its whole numbers.

    Raises:
        ModelError: an entry of one is farther from all of them than was allowed; names the farthest of all.
    """
    learnt = _learnt(to)
    to.discretized.append(to.layer)
    found, worst = [], (0.0, "")
    for matrix, numbers in matrices:
        values = matrix.rule(learnt.of)
        allowed = np.array(numbers)
        nearest = allowed[np.argmin(np.abs(values[..., np.newaxis] - allowed), axis=-1)]
        far = np.abs(values - nearest)
        at = np.unravel_index(np.argmax(far), far.shape)
        where = ", ".join(str(i) for i in at)
        said = f"{matrix.name}[{where}] = {values[at]:.6g} is {far[at]:.3g} from {nearest[at]}"
        worst = max(worst, (float(far[at]), said))
        found.append(nearest)
    if worst[0] > learnt.distance:
        raise to.error(
            f"has not converged: {worst[1]}, farther than {learnt.distance:g}; train it for longer, allow more with"
            " --distance, or lower it as it is, without --discretize"
        )
    return found


def _learnt(to: Builder) -> Learnt:
    assert to.learnt is not None
    return to.learnt


def sums(to: Builder, x: Tensor, w: Whole, *, suffix: str = "", observes: Observed = "") -> Tensor:
    """W x: adders, and negators where some weight is -1; an output without inputs is 0."""
    negates = bool((w < 0).any())
    y = to.group("linear" if negates else "sum", [w.shape[1]], suffix=suffix, observes=observes)
    to.chosen(x, y, w != 0, weights=w.astype(np.float32) if negates else None)
    return y


def product(
    to: Builder, factors: Sequence[Factors], *, suffix: str = "", observes: Observed = "", roundings: int = 0
) -> Tensor:
    """The product of the factors that each output takes; an output that takes none is 1."""
    outputs = factors[0].chosen.shape[1]
    parts = [part for part in factors if part.chosen.any()]
    if not (taken := np.any([part.chosen.any(axis=0) for part in factors], axis=0)).all():
        one = constant(to, np.ones(1, np.float32), [1], suffix=f"{suffix}.one".strip("."))
        parts.append(Factors(one, ~taken[np.newaxis]))
    y = to.group("product", [outputs], suffix=suffix, observes=observes, extra_roundings=roundings)
    for port, part in enumerate(parts):
        to.chosen(part.values, y, part.chosen, port)
    return y


def _used(chosen: Chosen) -> NDArray[np.intp]:
    """Numbers of the inputs that some output takes."""
    return np.nonzero(chosen.any(axis=1))[0]


def _function(to: Builder, x: Tensor, of: NDArray[np.intp], function: Unary, suffix: str) -> Tensor:
    """A function of some elements."""
    y = to.group("sum", [len(of)], suffix=suffix, activation=function)
    to.table(x, y, 1, lambda: of)
    return y


def _inverted(to: Builder, x: Tensor, chosen: Chosen, suffix: str = "inverse") -> list[Factors]:
    """1 / x for those that some output takes; none where there are none."""
    if not len(used := _used(chosen)):
        return []
    return [Factors(_function(to, x, used, RECIPROCAL, suffix), chosen[used])]


def _rounded_edges(to: Builder, factors: Factors, suffix: str, roundings: int) -> Factors:
    """The factors with one copy for every edge, which counts the roundings of w x + 1 - w."""
    outputs, values = np.nonzero(factors.chosen.T)
    magnitude = Ref(to.constant("magnitude", np.full(1, MAGNITUDE, np.float32)).param)
    y = to.group("sum", [len(values)], suffix=suffix, params={"magnitude": magnitude}, extra_roundings=roundings)
    to.table(factors.values, y, 1, lambda: values)
    return Factors(y, outputs[:, np.newaxis] == np.arange(factors.chosen.shape[1]))


def _edges(to: Builder, factors: Sequence[Factors], roundings: int) -> list[Factors]:
    taken = [part for part in factors if part.chosen.any()]
    return [_rounded_edges(to, part, f"factor{n}", roundings) for n, part in enumerate(taken)] or list(factors)


def _by_exponential(factors: int) -> int:
    """Roundings of exp(sum of w log f) with so many factors, relative to the result."""
    return math.ceil(1.01 * factors * GREATEST_LOG * (LOG + factors)) + EXP + 1


def _by_cosine(turns: int) -> int:
    """Roundings of a product with the cosine of so many turns, relative to the result."""
    off = UNIT * (1.5 * turns + turns * (turns - 1) * math.pi)
    return math.ceil(off * off / 2 / UNIT) + COS + 1


def _most(w: Whole) -> int:
    """The greatest number of factors that an output has."""
    return int((w != 0).sum(axis=0).max())


def _nac_matrix(to: Builder, inputs: int, units: int, which: str = "", base: float = 1.0) -> Matrix:
    return learning.nac_matrix(to, inputs, units, which, base)._replace(name="Wm" if which else "W")


def _above(to: Builder, x: Tensor, used: NDArray[np.intp], more: np.float32) -> Tensor:
    """|x| + more, of some elements."""
    size = _function(to, x, used, ABS, "size")
    bias = Ref(to.constant("above", np.array([more])).param)
    y = to.group("sum", size.shape, suffix="above", params={"bias": bias})
    to.one_to_one(size, y)
    return y


def _powers(
    to: Builder, x: Tensor, w: Whole, *, suffix: str = "", observes: Observed = "", more: np.float32 = EPSILON
) -> Tensor:
    """exp(W log(|x| + eps)): the product of |x| + eps and of their reciprocals."""
    used = _used(w != 0)
    factors = [Factors(x, w != 0)]
    if len(used):
        above = _above(to, x, used, more)
        factors = [Factors(above, w[used] > 0), *_inverted(to, above, w[used] < 0)]
    return product(to, factors, suffix=suffix, observes=observes, roundings=_by_exponential(_most(w)))


def _nac(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        (w,) = rounded(to, (_nac_matrix(to, learning.inputs_of(x), units), SIGNED))
        return sums(to, x, w, observes="output")

    return build


def _nac_mul(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        (w,) = rounded(to, (_nac_matrix(to, learning.inputs_of(x), units), SIGNED))
        return _powers(to, x, w, observes="output")

    return build


def _pos_nac_mul(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        what = to.weight("what", (learning.inputs_of(x), units))
        matrix = Matrix("W", lambda of: 1 / (1 + np.exp(-of(what).astype(np.float64))))
        (w,) = rounded(to, (matrix, UNIT_SET))
        return _powers(to, x, w, observes="output")

    return build


def _nalu_of(base: float, separate: bool) -> Callable[[int], Lowering]:
    """The gate depends on x, and stays as it was learnt."""

    def rule(units: int) -> Lowering:
        def build(to: Builder, x: Tensor) -> Tensor:
            inputs = learning.inputs_of(x)
            matrices = [_nac_matrix(to, inputs, units, base=base)]
            matrices += [_nac_matrix(to, inputs, units, "_mul", base)] if separate else []
            adding, *others = rounded(to, *((matrix, SIGNED) for matrix in matrices))
            gate = learning.gate_by_inputs(to, x, units, base)
            one = sums(to, x, adding, suffix="sum")
            other = _powers(to, x, others[0] if separate else adding, suffix="product")
            return learning.blend(to, gate, one, other)

        return build

    return rule


def _inalu(units: int) -> Lowering:
    """The gate does not depend on x: it is 0 or 1, and chooses one of the two paths for each output."""

    def build(to: Builder, x: Tensor) -> Tensor:
        inputs = learning.inputs_of(x)
        matrices = [_nac_matrix(to, inputs, units, which) for which in ("", "_mul")]
        learnt = to.weight("gate", (units,))
        gates = Matrix("gate", lambda of: 1 / (1 + np.exp(-of(learnt).astype(np.float64))))
        adding, multiplying, gate = rounded(to, *((matrix, SIGNED) for matrix in matrices), (gates, UNIT_SET))
        paths = []
        if (adds := gate == 1).any():
            paths.append((sums(to, x, adding[:, adds], suffix="sum"), adds))
        if not adds.all():
            w = multiplying[:, ~adds]
            # Where it is limited, e^20 by TensorFlow and here differ by the allowance of exp and one rounding.
            least = elementwise(
                to, "min", [_powers(to, x, w, suffix="size"), np.exp(np.full(1, LARGEST))], suffix="least", observes=""
            )
            used = _used(w != 0)
            signs = [Factors(_function(to, x, used, SIGN, "sign"), w[used] != 0)] if len(used) else []
            each = Factors(least, np.eye(w.shape[1], dtype=bool))
            paths.append((product(to, [*signs, each], suffix="product", roundings=EXP + 1), ~adds))
        y = to.group("sum", [units], observes="output")
        for port, (values, outputs) in enumerate(paths):
            to.chosen(values, y, np.nonzero(outputs)[0][:, np.newaxis] == np.arange(units), port)
        return y

    return build


def _nau(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        (w,) = rounded(to, (learning.own(to.weight("w", (learning.inputs_of(x), units))), SIGNED))
        return sums(to, x, w, observes="output")

    return build


def _nmu(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        (w,) = rounded(to, (learning.own(to.weight("w", (learning.inputs_of(x), units))), UNIT_SET))
        return product(to, _edges(to, [Factors(x, w != 0)], AFFINE), observes="output")

    return build


def _npu_of(real: bool) -> Callable[[int], Lowering]:
    def rule(units: int) -> Lowering:
        def build(to: Builder, x: Tensor) -> Tensor:
            inputs = learning.inputs_of(x)
            own: list[tuple[Matrix, Sequence[int]]] = [(learning.own(to.weight("wr", (inputs, units)), "wr"), SIGNED)]
            if not real:  # a product with an imaginary exponent is no formula of products and quotients
                own.append((learning.own(to.weight("wi", (inputs, units)), "wi"), (0,)))
            learnt = to.weight("gate", (inputs,))
            gates = Matrix("gate", lambda of: np.clip(of(learnt).astype(np.float64), 0, 1))
            wr, *_, gate = rounded(to, *own, (gates, UNIT_SET))
            w = wr * gate[:, np.newaxis]
            used = _used(w != 0)
            factors = [Factors(x, w != 0)]
            if len(used):
                above = _above(to, x, used, TINY)
                # 1, and -1 below 0: 2 [x >= 0] - 1.
                is_positive = _function(to, x, used, Unary("nonnegative"), "nonnegative")
                bias = Ref(to.constant("minus_one", np.full(1, -1, np.float32)).param)
                sign = to.group("linear", above.shape, suffix="sign", params={"bias": bias})
                to.one_to_one(is_positive, sign, weight=Ref(to.constant("two", np.full(1, 2, np.float32)).param))
                signed = elementwise(to, "product", [sign, above], suffix="signed", observes="")
                factors = [Factors(signed, w[used] > 0), *_inverted(to, signed, w[used] < 0)]
            most = _most(w)
            return product(to, factors, observes="output", roundings=_by_exponential(most) + _by_cosine(most))

        return build

    return rule


def _nru(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        (w,) = rounded(to, (learning.own(to.weight("w", (learning.inputs_of(x), units))), SIGNED))
        factors = [Factors(x, w > 0), *_inverted(to, x, w < 0)]
        return product(to, _edges(to, factors, AFFINE + POWER), observes="output")

    return build


def _nmru(units: int) -> Lowering:
    def build(to: Builder, x: Tensor) -> Tensor:
        inputs = learning.inputs_of(x)
        (w,) = rounded(to, (learning.own(to.weight("w", (2 * inputs, units))), UNIT_SET))
        factors = [Factors(x, w[:inputs] != 0), *_inverted(to, x, w[inputs:] != 0)]
        # |xt| and the cosine of the turns of those below 0 make the sign of the product.
        return product(to, _edges(to, factors, AFFINE), observes="output", roundings=_by_cosine(_most(w)))

    return build


_WHOLE: dict[str, Callable[[int], Lowering]] = {
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


def _either(name: str) -> Callable[[Fields, Semantics], Lowering]:
    def rule(fields: Fields, semantics: Semantics) -> Lowering:
        as_learnt, as_whole = learning.RULES[name](fields, semantics), _WHOLE[name](fields.size("units"))

        def build(to: Builder, x: Tensor) -> Tensor:
            if to.learnt is not None:
                return as_whole(to, x)
            known = [name for name in to.notes.get(ARITHMETIC, "").split(", ") if name]
            to.notes[ARITHMETIC] = ", ".join(dict.fromkeys([*known, to.layer]))
            return as_learnt(to, x)

        return build

    return rule


#: The rule of each module's layer, by name: as it was learnt, or with whole weights where the builder has what was.
RULES = {name: _either(name) for name in learning.RULES}

with registering_own():
    for _name, _rule in RULES.items():
        lowers(f"graphsim>{_name}")(_rule)
