"""Every activation rule against its formula in 400 bits (mpmath), over the whole range of float32."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from mpmath import mp, mpf

from graphsim.graph import arithmetic
from graphsim.graph.ops import ACTIVATIONS, argmax

# 400 bits: squareplus of the least float32 needs 256 to hold x**2 + b beside x**2.
mp.prec = 400
ZERO = mpf(0)


def _clip(x: mpf, low: int, high: int) -> mpf:
    return min(max(x, mpf(low)), mpf(high))


def _sigmoid(x: mpf) -> mpf:
    return 1 / (1 + mp.exp(-x))


def _softplus(x: mpf) -> mpf:
    return mp.log1p(mp.exp(x))


def _selu(x: mpf) -> mpf:
    # Klambauer et al. 2017 with the digits of keras.activations.selu
    scale, alpha = mpf("1.0507009873554804934193349852946"), mpf("1.6732632423543772848170429916717")
    return scale * (x if x > 0 else alpha * mp.expm1(x))


#: The formulas of keras.activations, written without regard to speed or range.
FORMULAS: dict[str, Callable[..., mpf]] = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, ZERO),
    "clipped_relu": lambda x, slope, top, limit: min(x, mpf(top)) if x > limit else mpf(slope) * (x - mpf(limit)),
    "relu6": lambda x: _clip(x, 0, 6),
    "leaky_relu": lambda x, slope: x if x >= 0 else mpf(slope) * x,
    "elu": lambda x, alpha: x if x > 0 else mpf(alpha) * mp.expm1(x),
    "selu": _selu,
    "celu": lambda x, alpha: x if x > 0 else mpf(alpha) * mp.expm1(x / mpf(alpha)),
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3))),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x: _clip(x + 3, 0, 6) / 6,
    "hard_sigmoid_v2": lambda x: _clip(x / 5 + mpf(1) / 2, 0, 1),
    "tanh": mp.tanh,
    "hard_tanh": lambda x: _clip(x, -1, 1),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "silu": lambda x: x * _sigmoid(x),
    "hard_silu": lambda x: x * _clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * mp.tanh(_softplus(x)),
    "exp": mp.exp,
    "log": mp.log,
    "log_sigmoid": lambda x: -_softplus(-x),
    "hard_shrink": lambda x, limit: x if abs(x) > limit else ZERO,
    "soft_shrink": lambda x, limit: mp.sign(x) * max(abs(x) - mpf(limit), ZERO),
    "tanh_shrink": lambda x: x - mp.tanh(x),
    "threshold": lambda x, limit, default: x if x > limit else mpf(default),
    "squareplus": lambda x, b: (x + mp.sqrt(x * x + mpf(b))) / 2,
    "sparse_plus": lambda x: ZERO if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4,
    "sparse_sigmoid": lambda x: _clip((x + 1) / 2, 0, 1),
    "square": lambda x: x * x,
    "abs": abs,
    "negative": lambda x: -x,
    "sqrt": mp.sqrt,
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "clip": lambda x, least, greatest: min(max(x, mpf(least)), mpf(greatest)),
    "power": lambda x, exponent: x ** mpf(exponent),
    "sign": mp.sign,
    "floor": mp.floor,
    "ceil": mp.ceil,
    "round": mp.nint,
    "trunc": lambda x: mp.sign(x) * mp.floor(abs(x)),
    "sin": mp.sin,
    "cos": mp.cos,
    "erf": mp.erf,
    "log1p": mp.log1p,
    "expm1": mp.expm1,
    "zero": lambda x: mpf(int(x == 0)),
    "nonzero": lambda x: mpf(int(x != 0)),
    "positive": lambda x: mpf(int(x > 0)),
    "nonnegative": lambda x: mpf(int(x >= 0)),
}
ARGUMENTS: dict[str, list[tuple[float, ...]]] = {
    "clipped_relu": [(0.1, 6.0, 0.5), (0.0, math.inf, 0.0), (0.3, 1.0, -0.1)],
    "leaky_relu": [(0.2,), (0.01,)],
    "elu": [(1.0,), (0.3,)],
    "celu": [(1.0,), (0.3,)],
    "hard_shrink": [(0.5,)],
    "soft_shrink": [(0.5,), (0.1,)],
    "threshold": [(0.25, -1.0)],
    "squareplus": [(4.0,), (0.1,), (0.0,)],
    "clip": [(-0.5, 2.0)],
    "power": [(1.7,), (-2.5,), (0.5,), (3.0,), (-2.0,), (40.0,), (1.0,)],
}
CASES = [(name, args) for name in ACTIVATIONS for args in ARGUMENTS.get(name, [()])]
#: Activations of positive operands, and others that are neither flat nor straight far out.
POSITIVE = ("log", "sqrt", "rsqrt", "power")
CURVED = ("exp", "square", "reciprocal", "log1p", "expm1", "floor", "ceil", "round", "trunc", "sin", "cos")
#: Comparisons: of NaN, they are true or false.
DECIDED = ("threshold", "zero", "nonzero", "positive", "nonnegative")
#: Beyond it, every formula with an exponential in it is the one of its branches that does not grow, or overflows.
FAR = 1e4


def operands() -> list[float]:
    """Finite float32 numbers: all exponents, both signs, subnormals, the usual range, and both sides of every turn."""
    rng = np.random.default_rng(11)
    bits = rng.integers(0, 2**32, 500, dtype=np.uint64).astype(np.uint32).view(np.float32)
    scaled = np.exp2(rng.uniform(-40, 8, 700)) * rng.choice([-1, 1], 700)
    turns = np.array(
        [0, 0.02, 0.05, 0.1, 0.25, 0.29, 0.35, 0.41, 0.5, 0.7071, 1, 1.5, 2.5, 3, 6, 8.4853, 22, 88.72, 103.97],
        np.float32,
    )
    turns = np.concatenate([turns, -turns])
    around = [turns]
    for direction in (np.float32(np.inf), np.float32(-np.inf)):
        moved = turns
        for _ in range(2):
            moved = np.nextafter(moved, direction)
            around.append(moved)
    extremes = np.array([2**-149, 2**-126, np.finfo(np.float32).max, 2**-126 - 2**-149], np.float32)
    parts = [bits, scaled, rng.uniform(-20, 20, 400), rng.uniform(-105, 90, 200), *around, extremes, -extremes]
    values = np.concatenate([p.astype(np.float32) for p in parts])
    return [float(v) for v in np.unique(values[np.isfinite(values)])]


def relevant(name: str, x: float) -> bool:
    """Whether mpmath can say in reasonable time what the rule should give."""
    if name in POSITIVE:
        return x > 0
    if name == "reciprocal":
        return x != 0
    if name == "log1p":
        return x > -1
    return abs(x) < FAR or name in {
        "relu",
        "linear",
        "leaky_relu",
        "softsign",
        "squareplus",
        "hard_tanh",
        "soft_shrink",
        "square",
        "abs",
        "negative",
        "clip",
        "sign",
        "floor",
        "ceil",
        "round",
        "trunc",
        "sin",
        "cos",
        *DECIDED,
    }


def ulps(value: np.float32, true: mpf) -> float:
    """Distance of a float32 from the true value in units of the last place of float32 there."""
    if np.isinf(value):
        return 0.0 if abs(true) >= mpf(2) ** 128 - mpf(2) ** 103 else math.inf
    exponent = -126 if true == 0 else max(mp.frexp(true)[1] - 1, -126)
    return float(abs(mpf(float(value)) - true) / mpf(2) ** (exponent - 23))


@pytest.mark.parametrize(("name", "args"), CASES)
def test_rule_is_within_its_claim_everywhere(name: str, args: tuple[float, ...]) -> None:
    rule, formula = ACTIVATIONS[name].rule, FORMULAS[name]
    for x in operands():
        if not relevant(name, x):
            continue
        got, true = float(rule(x, *args)), formula(mpf(x), *args)
        if mpf(2) ** -160 < abs(true) < mpf(2) ** 129:
            assert abs(mpf(got) - true) <= mpf(6e-13) * abs(true), (x, got, true)
        with np.errstate(over="ignore"):
            assert ulps(np.float32(got), true) <= 0.50001, (x, got, true)


@pytest.mark.parametrize(("name", "args"), [case for case in CASES if case[0] not in (*POSITIVE, *CURVED)])
def test_far_out_a_rule_neither_breaks_nor_turns(name: str, args: tuple[float, ...]) -> None:
    """Between 10**4 and the greatest float32, every activation is a constant, or a multiple of its operand."""
    rule = ACTIVATIONS[name].rule
    for sign in (1.0, -1.0):
        at = [float(rule(sign * x, *args)) for x in (2.0**14, 2.0**40, 2.0**127)]
        offset = max((abs(a) for a in args if math.isfinite(a)), default=0.0)
        constant = max(at) - min(at) <= 1e-4
        factors = [value / (sign * x) for value, x in zip(at, (2.0**14, 2.0**40, 2.0**127), strict=True)]
        linear = max(factors) - min(factors) <= (offset + 1) * 2.0**-13
        assert constant or linear


def test_every_activation_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


NAN = math.nan
INFINITE: dict[str, tuple[float, float]] = {
    "linear": (math.inf, -math.inf),
    "relu": (math.inf, 0),
    "clipped_relu": (6, -math.inf),
    "relu6": (6, 0),
    "leaky_relu": (math.inf, -math.inf),
    "elu": (math.inf, -1),
    "selu": (math.inf, -arithmetic.SELU_SCALE * arithmetic.SELU_ALPHA),
    "celu": (math.inf, -1),
    "gelu": (math.inf, NAN),
    "gelu_tanh": (math.inf, NAN),
    "sigmoid": (1, 0),
    "hard_sigmoid": (1, 0),
    "hard_sigmoid_v2": (1, 0),
    "tanh": (1, -1),
    "hard_tanh": (1, -1),
    "softplus": (math.inf, 0),
    "softsign": (NAN, NAN),
    "silu": (math.inf, NAN),
    "hard_silu": (math.inf, NAN),
    "mish": (math.inf, NAN),
    "exp": (math.inf, 0),
    "log": (math.inf, NAN),
    "log_sigmoid": (0, -math.inf),
    "hard_shrink": (math.inf, -math.inf),
    "soft_shrink": (math.inf, -math.inf),
    "tanh_shrink": (math.inf, -math.inf),
    "threshold": (math.inf, -1),
    "squareplus": (math.inf, 0),
    "sparse_plus": (math.inf, 0),
    "sparse_sigmoid": (1, 0),
    "square": (math.inf, math.inf),
    "abs": (math.inf, math.inf),
    "negative": (-math.inf, math.inf),
    "sqrt": (math.inf, NAN),
    "rsqrt": (0, NAN),
    "reciprocal": (0, 0),
    "clip": (2, -0.5),
    "power": (math.inf, NAN),
    "sign": (1, -1),
    "floor": (math.inf, -math.inf),
    "ceil": (math.inf, -math.inf),
    "round": (math.inf, -math.inf),
    "trunc": (math.inf, -math.inf),
    "sin": (NAN, NAN),
    "cos": (NAN, NAN),
    "erf": (1, -1),
    "log1p": (math.inf, NAN),
    "expm1": (math.inf, -1),
    "zero": (0, 0),
    "nonzero": (1, 1),
    "positive": (1, 0),
    "nonnegative": (1, 0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_infinite_operands_give_the_limit_or_nan(name: str) -> None:
    rule, args = ACTIVATIONS[name].rule, ARGUMENTS.get(name, [()])[0]
    got = [float(rule(x, *args)) for x in (math.inf, -math.inf)]
    np.testing.assert_array_equal(got, INFINITE[name])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_gives_nan_except_where_a_comparison_decides(name: str) -> None:
    rule, args = ACTIVATIONS[name].rule, ARGUMENTS.get(name, [()])[0]
    assert math.isnan(rule(NAN, *args)) == (name not in DECIDED)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("rsqrt", "reciprocal")])
def test_zeros_of_both_signs_give_equal_values(name: str) -> None:
    rule, args = ACTIVATIONS[name].rule, ARGUMENTS.get(name, [()])[0]
    assert rule(0.0, *args) == rule(-0.0, *args)


def test_reciprocals_of_zeros_keep_their_signs() -> None:
    for rule in (arithmetic.rsqrt, arithmetic.reciprocal):
        assert (rule(0.0), rule(-0.0)) == (math.inf, -math.inf)


@pytest.mark.parametrize("exponent", [-40.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 31.0, 33.0, 40.0])
@pytest.mark.parametrize("x", [-2.5, -1.0, -1e-30, -0.0, 0.0, 1e-30, 3e38, -3e38, math.inf, -math.inf])
def test_whole_powers_of_anything(x: float, exponent: float) -> None:
    with np.errstate(all="ignore"):
        assert float(np.power(x, exponent)) == pytest.approx(arithmetic.power(x, exponent), rel=1e-12, abs=0)
    assert math.isnan(arithmetic.power(-2.0, 0.5))


def test_roots_of_what_has_none() -> None:
    assert math.isnan(arithmetic.sqrt(-1e-45))
    assert math.isnan(arithmetic.rsqrt(-1e-45))


def test_log_of_what_has_none() -> None:
    assert arithmetic.log(0.0) == arithmetic.log(-0.0) == -math.inf
    assert math.isnan(arithmetic.log(-1e-45))


FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[mpf], mpf], float, float]] = {
    "exp": (arithmetic.exp, mp.exp, -700, 700),
    "expm1": (arithmetic.expm1, mp.expm1, -40, 700),
    "log": (arithmetic.log, mp.log, 1e-300, 1e300),
    "log1p": (arithmetic.log1p, mp.log1p, -0.9, 1e10),
    "tanh": (arithmetic.tanh, mp.tanh, -25, 25),
    "erf": (arithmetic.erf, mp.erf, -7, 7),
    "normal_tail": (arithmetic.normal_tail, lambda a: mp.erfc(a / mp.sqrt(2)) / 2, 3, 30),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_are_good_to_a_few_units_of_float64(name: str) -> None:
    function, true, low, high = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    spread: npt.NDArray[np.float64] = np.exp2(rng.uniform(-60, math.log2(high), 1500)) * rng.choice([-1, 1], 1500)
    values = np.concatenate([spread, rng.uniform(max(low, -30.0), min(high, 30.0), 1500)])
    # exp(-a*a/2) in normal_tail carries the rounding of a*a: half a unit in the last place of a number up to 450.
    bound = {"normal_tail": 1.5e-13, "erf": 2e-15}.get(name, 6e-16)
    for x in values[(values >= low) & (values <= high)].tolist():
        expected = true(mpf(x))
        assert abs(mpf(float(function(x))) - expected) <= mpf(bound) * abs(expected), x


def test_powers_of_two_are_exact_over_the_whole_range() -> None:
    assert arithmetic.POWER_OF_TWO[0] == 2.0**-1074
    assert arithmetic.POWER_OF_TWO[1074] == 1.0
    assert arithmetic.POWER_OF_TWO[-1] == 2.0**1023


def test_exp_falls_to_zero_without_a_jump() -> None:
    points = np.linspace(-746.0, -740.0, 10_001)
    assert all(abs(arithmetic.exp(float(x)) - math.exp(float(x))) <= 1e-323 for x in points)


def test_argmax_takes_the_first_of_equals_and_nan_before_numbers() -> None:
    rng = np.random.default_rng(3)
    for _ in range(500):
        terms = rng.choice(np.array([-np.inf, -1, -0.0, 0, 1, np.inf, np.nan], np.float32), rng.integers(1, 7))
        assert argmax(terms) == np.argmax(terms), terms
