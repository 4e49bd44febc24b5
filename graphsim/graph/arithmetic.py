"""The arithmetic that every engine shares: elementary functions and activations, in float64, from basic operations.

A rule here takes Python floats (float64) and uses only ``+ - * /``, comparisons, ``math.sqrt``, ``math.floor``,
``math.copysign`` and exact scaling by powers of two, all of which IEEE 754 defines to the last bit. Interpreted by
Python or compiled by a compiler that neither fuses nor reassociates, a rule therefore gives the same bits. An engine
widens its float32 operand to float64, applies the rule, and rounds the result to float32 once. For every finite float32
operand a rule is within 6e-13 of the true value, relatively, down to 2**-160 (tests measure this against mpmath), so
every activation is within 0.50001 ulp. An infinite operand gives what the formula gives in IEEE arithmetic: the limit,
or NaN where it subtracts or multiplies its way to inf - inf or inf * 0, as in Keras. NaN gives NaN, except where a
comparison decides.

Rules are plain functions of scalars with positional parameters and no default values, so that they can be compiled;
``ACTIVATIONS`` in :mod:`graphsim.graph.ops` lists the ones that a group may name.

Sources: range reduction and series as in Muller, Elementary Functions (3rd ed.), ch. 10-11. Activation formulas: Keras
documentation of ``keras.activations`` (Keras 3), and Keras 2.2 for the functions that changed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LOG2E = 1.4426950408889634
LN2_HI = 6.93147180369123816490e-01  # the upper 33 bits of ln 2: n * LN2_HI is exact for every n below 2**20
LN2_LO = 1.90821492927058770002e-10
TWO_OVER_PI = 0.6366197723675814
HALF_PI = 1.5707963267948966
HALF_PI_HI = 1.57079632673412561417e00  # the upper 33 bits of pi / 2: n * HALF_PI_HI is exact for every n below 2**20
HALF_PI_MID = 6.07710050630396597660e-11  # the next 33 bits
HALF_PI_LO = 2.02226624879595063154e-21
SQRT_HALF = 0.7071067811865476
SQRT_TWO_PI = 2.5066282746310002
TWO_OVER_SQRT_PI = 1.1283791670955126
SQRT_TWO_OVER_PI = 0.7978845608028654
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805

#: ``POWER_OF_TWO[n + 1074]`` is 2**n for n in -1074..1023, exactly.
POWER_OF_TWO = np.ldexp(1.0, np.arange(-1074, 1024))
#: The digits of 2 / pi in base 2**24, behind two of 0.
DIGITS_OF_TWO_OVER_PI = np.array(
    [0, 0, 0xA2F983, 0x6E4E44, 0x1529FC, 0x2757D1, 0xF534DD, 0xC0DB62, 0x95993C, 0x439041, 0xFE5163], np.float64
)


def exp(x: float) -> float:
    """e**x."""
    if x != x:
        return x
    if x > 709.0:
        return math.inf
    if x < -744.5:
        return 0.0
    n = math.floor(x * LOG2E + 0.5)
    r = (x - n * LN2_HI) - n * LN2_LO
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * POWER_OF_TWO[n + 1074]  # type: ignore[no-any-return]


def expm1(x: float) -> float:
    """e**x - 1, accurate near zero."""
    if x > 0.35 or x < -0.35 or x != x:
        return exp(x) - 1.0
    p = 1.0 / 6227020800.0
    p = p * x + 1.0 / 479001600.0
    p = p * x + 1.0 / 39916800.0
    p = p * x + 1.0 / 3628800.0
    p = p * x + 1.0 / 362880.0
    p = p * x + 1.0 / 40320.0
    p = p * x + 1.0 / 5040.0
    p = p * x + 1.0 / 720.0
    p = p * x + 1.0 / 120.0
    p = p * x + 1.0 / 24.0
    p = p * x + 1.0 / 6.0
    p = p * x + 0.5
    return (p * x) * x + x


def _log_ratio(s: float) -> float:
    """log((1 + s) / (1 - s)) for \\|s\\| <= 0.172: twice the series of artanh."""
    q = s * s
    p = 1.0 / 23.0
    p = p * q + 1.0 / 21.0
    p = p * q + 1.0 / 19.0
    p = p * q + 1.0 / 17.0
    p = p * q + 1.0 / 15.0
    p = p * q + 1.0 / 13.0
    p = p * q + 1.0 / 11.0
    p = p * q + 1.0 / 9.0
    p = p * q + 1.0 / 7.0
    p = p * q + 1.0 / 5.0
    p = p * q + 1.0 / 3.0
    return 2.0 * (s + s * q * p)


def log(x: float) -> float:
    """Natural logarithm; -inf at 0, NaN below."""
    if x != x or x < 0.0:
        return math.nan
    if x == 0.0:
        return -math.inf
    if x == math.inf:
        return x
    m, n = math.frexp(x)
    if m < SQRT_HALF:
        m = m * 2.0
        n = n - 1
    return n * LN2_HI + (_log_ratio((m - 1.0) / (m + 1.0)) + n * LN2_LO)


def log1p(x: float) -> float:
    """log(1 + x), accurate near zero."""
    if -0.29 < x < 0.41:
        return _log_ratio(x / (2.0 + x))
    return log(1.0 + x)


def erf(x: float) -> float:
    """The error function, by its all-positive series (Abramowitz and Stegun 7.1.6)."""
    if x != x:
        return x
    a = -x if x < 0.0 else x
    if a > 6.0:
        return 1.0 if x > 0.0 else -1.0
    q = 2.0 * a * a
    term = a
    total = a
    k = 1.0
    while term > total * 1e-17:
        k = k + 2.0
        term = term * q / k
        total = total + term
    value = TWO_OVER_SQRT_PI * exp(-a * a) * total
    if value > 1.0:
        value = 1.0
    return value if x > 0.0 else -value


def normal_tail(a: float) -> float:
    """How much of the standard normal distribution lies above a, for a >= 3, by its continued fraction, 40 levels deep
    (Abramowitz and Stegun 26.2.14).
    """
    value = a
    k = 40.0
    while k > 0.0:
        value = a + k / value
        k = k - 1.0
    return exp(-0.5 * (a * a)) / (SQRT_TWO_PI * value)


def sin(x: float) -> float:
    """Sine, of radians."""
    return _wave(x, 0.0)


def cos(x: float) -> float:
    """Cosine, of radians."""
    return _wave(x, 1.0)


def _wave(x: float, quarters: float) -> float:
    """The sine of x plus so many quarters of a turn: x = n pi / 2 + r, then a series in r, at most pi / 4 or so."""
    if x - x != 0.0:
        return math.nan
    a = -x if x < 0.0 else x
    if a < 1048576.0:
        n = 1.0 * math.floor(a * TWO_OVER_PI + 0.5)
        r = ((a - n * HALF_PI_HI) - n * HALF_PI_MID) - n * HALF_PI_LO
    else:
        # Payne and Hanek: only those digits of 2 / pi count whose products with x are no whole turns. x has 24 bits, as
        # float32 numbers have, and so has each digit: their products are exact, and so is what is left of the greater
        # ones without whole turns, and the sum of these.
        k = 0
        while a >= 16777216.0:
            a = a * 5.9604644775390625e-08
            k = k + 1
        t = a * DIGITS_OF_TWO_OVER_PI[k]
        t = (t - math.floor(t)) * 16777216.0
        n = t - 4.0 * math.floor(t * 0.25)
        t = a * DIGITS_OF_TWO_OVER_PI[k + 1]
        n = n + (t - 4.0 * math.floor(t * 0.25))
        t = a * DIGITS_OF_TWO_OVER_PI[k + 2] * 5.9604644775390625e-08
        n = n + (t - 4.0 * math.floor(t * 0.25))
        unit = 5.9604644775390625e-08 * 5.9604644775390625e-08
        f = n
        n = 1.0 * math.floor(n + 0.5)
        f = f - n
        t = a * DIGITS_OF_TWO_OVER_PI[k + 3] * unit
        total = f + t
        rest = total - f
        rest = (f - (total - rest)) + (t - rest)  # what the sum lost (Knuth)
        whole = math.floor(total + 0.5)
        n = n + whole
        f = (total - whole) + rest
        unit = unit * 5.9604644775390625e-08
        f = f + a * DIGITS_OF_TWO_OVER_PI[k + 4] * unit
        unit = unit * 5.9604644775390625e-08
        r = (f + a * DIGITS_OF_TWO_OVER_PI[k + 5] * unit) * HALF_PI
    if x < 0.0:
        n, r = -n, -r
    n = n + quarters
    n = n - 4.0 * math.floor(n * 0.25)
    q = r * r
    if n == 0.0 or n == 2.0:
        p = -1.0 / 1307674368000.0
        p = p * q + 1.0 / 6227020800.0
        p = p * q - 1.0 / 39916800.0
        p = p * q + 1.0 / 362880.0
        p = p * q - 1.0 / 5040.0
        p = p * q + 1.0 / 120.0
        p = p * q - 1.0 / 6.0
        value = r + r * q * p
    else:
        p = 1.0 / 20922789888000.0
        p = p * q - 1.0 / 87178291200.0
        p = p * q + 1.0 / 479001600.0
        p = p * q - 1.0 / 3628800.0
        p = p * q + 1.0 / 40320.0
        p = p * q - 1.0 / 720.0
        p = p * q + 1.0 / 24.0
        p = p * q - 0.5
        value = 1.0 + q * p
    return -value if n >= 2.0 else value


def tanh(x: float) -> float:
    """Hyperbolic tangent."""
    if x != x:
        return x
    a = -x if x < 0.0 else x
    value = 1.0
    if a < 22.0:
        t = expm1(2.0 * a)
        value = t / (t + 2.0)
    return -value if x < 0.0 else value


def sigmoid(x: float) -> float:
    """1 / (1 + e**-x)."""
    if x >= 0.0:
        return 1.0 / (1.0 + exp(-x))
    e = exp(x)
    return e / (1.0 + e)


def softplus(x: float) -> float:
    """log(1 + e**x)."""
    if x > 0.0:
        return x + log1p(exp(-x))
    return log1p(exp(x))


def linear(x: float) -> float:
    """x."""
    return x


def relu(x: float) -> float:
    """max(x, 0); NaN stays NaN."""
    return 0.0 if x <= 0.0 else x


def clipped_relu(x: float, negative_slope: float, max_value: float, threshold: float) -> float:
    """Keras ReLU: x above ``threshold`` (at most ``max_value``), else ``negative_slope`` * (x - threshold)."""
    if x > threshold or x != x:
        return x if x < max_value or x != x else max_value
    return negative_slope * (x - threshold) if negative_slope != 0.0 else 0.0


def relu6(x: float) -> float:
    """min(max(x, 0), 6)."""
    return 0.0 if x <= 0.0 else (6.0 if x >= 6.0 else x)


def leaky_relu(x: float, negative_slope: float) -> float:
    """x above zero, ``negative_slope`` * x below; also PReLU, whose slope is a parameter of the actor."""
    return x if x >= 0.0 else negative_slope * x


def elu(x: float, alpha: float) -> float:
    """x above zero, alpha * (e**x - 1) below."""
    return x if x > 0.0 else alpha * expm1(x)


def selu(x: float) -> float:
    """scale * elu(x, alpha) with the constants of Klambauer et al. 2017."""
    return SELU_SCALE * x if x > 0.0 else SELU_SCALE * (SELU_ALPHA * expm1(x))


def celu(x: float, alpha: float) -> float:
    """max(x, 0) + min(0, alpha * (e**(x / alpha) - 1))."""
    return x if x > 0.0 else alpha * expm1(x / alpha)


def gelu(x: float) -> float:
    """x/2 * (1 + erf(x / sqrt 2))."""
    if x < -3.0:
        return x * normal_tail(-x)  # 1 + erf would cancel
    return 0.5 * x * (1.0 + erf(x * SQRT_HALF))


def gelu_tanh(x: float) -> float:
    """The tanh approximation of gelu: x/2 * (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x**3), as x * sigmoid(2 u)."""
    return x * sigmoid(2.0 * (SQRT_TWO_OVER_PI * (x + 0.044715 * (x * x * x))))


def hard_sigmoid(x: float) -> float:
    """Keras 3: relu6(x + 3) / 6."""
    return 0.0 if x <= -3.0 else (1.0 if x >= 3.0 else (x + 3.0) / 6.0)


def hard_sigmoid_v2(x: float) -> float:
    """Keras 1 and 2: clip(0.2 x + 0.5, 0, 1)."""
    y = (2.0 * x + 5.0) / 10.0
    return 0.0 if y <= 0.0 else (1.0 if y >= 1.0 else y)


def hard_tanh(x: float) -> float:
    """clip(x, -1, 1)."""
    return -1.0 if x <= -1.0 else (1.0 if x >= 1.0 else x)


def softsign(x: float) -> float:
    """x / (1 + \\|x\\|)."""
    return x / (1.0 + (-x if x < 0.0 else x))


def silu(x: float) -> float:
    """x * sigmoid(x), also called swish."""
    return x * sigmoid(x)


def hard_silu(x: float) -> float:
    """x * hard_sigmoid(x), also called hard_swish."""
    return x * hard_sigmoid(x)


def mish(x: float) -> float:
    """x * tanh(softplus(x))."""
    return x * tanh(softplus(x))


def log_sigmoid(x: float) -> float:
    """log(sigmoid(x)) = -softplus(-x)."""
    return -softplus(-x)


def hard_shrink(x: float, threshold: float) -> float:
    """x outside [-threshold, threshold], 0 within."""
    return 0.0 if -threshold <= x <= threshold else x


def soft_shrink(x: float, threshold: float) -> float:
    """x moved towards zero by ``threshold``, 0 within it."""
    if x > threshold:
        return x - threshold
    if x < -threshold:
        return x + threshold
    return 0.0 if x == x else x


def tanh_shrink(x: float) -> float:
    """x - tanh(x)."""
    if x > 0.05 or x < -0.05 or x != x:
        return x - tanh(x)
    q = x * x  # nearer zero the difference would cancel; this is its series
    p = 62.0 / 2835.0 - q * (1382.0 / 155925.0)
    return x * q * (1.0 / 3.0 - q * (2.0 / 15.0 - q * (17.0 / 315.0 - q * p)))


def threshold(x: float, limit: float, default: float) -> float:
    """x above ``limit``, else ``default``."""
    return x if x > limit else default


def squareplus(x: float, b: float) -> float:
    """(x + sqrt(x**2 + b)) / 2."""
    root = math.sqrt(x * x + b)
    return 0.5 * (x + root) if x >= 0.0 else 0.5 * (b / (root - x))


def sparse_plus(x: float) -> float:
    """0 below -1, x above 1, (x + 1)**2 / 4 between."""
    return 0.0 if x <= -1.0 else (x if x >= 1.0 else 0.25 * ((x + 1.0) * (x + 1.0)))


def sparse_sigmoid(x: float) -> float:
    """0 below -1, 1 above 1, (x + 1) / 2 between."""
    return 0.0 if x <= -1.0 else (1.0 if x >= 1.0 else 0.5 * (x + 1.0))


def square(x: float) -> float:
    """x**2."""
    return x * x


def absolute(x: float) -> float:
    """\\|x\\|."""
    return math.copysign(x, 1.0)


def negative(x: float) -> float:
    """-x."""
    return -x


def sqrt(x: float) -> float:
    """The root of x; NaN below 0."""
    return math.nan if x < 0.0 else math.sqrt(x)


def rsqrt(x: float) -> float:
    """1 / sqrt(x); infinite at 0, with its sign; NaN below."""
    if x == 0.0:
        return math.copysign(math.inf, x)
    return 1.0 / sqrt(x)


def reciprocal(x: float) -> float:
    """1 / x; infinite at 0, with its sign."""
    if x == 0.0:
        return math.copysign(math.inf, x)
    return 1.0 / x


def sign(x: float) -> float:
    """-1, 0 or 1."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else x * 0.0)


def positive(x: float) -> float:
    """1 where x > 0, else 0."""
    return 1.0 if x > 0.0 else 0.0


def nonnegative(x: float) -> float:
    """1 where x >= 0, else 0."""
    return 1.0 if x >= 0.0 else 0.0


def zero(x: float) -> float:
    """1 where x = 0, else 0."""
    return 1.0 if x == 0.0 else 0.0


def nonzero(x: float) -> float:
    """0 where x = 0, else 1 (for NaN too)."""
    return 0.0 if x == 0.0 else 1.0


def clip(x: float, least: float, greatest: float) -> float:
    """x, at least ``least`` and at most ``greatest``."""
    if x < least:
        x = least
    return greatest if x > greatest else x


def power(x: float, exponent: float) -> float:
    """x**exponent: by multiplication for whole exponents up to 32, else by logarithm; NaN for roots of negative x."""
    is_whole = floor(exponent) == exponent
    is_odd = is_whole and exponent - 2.0 * floor(exponent * 0.5) == 1.0
    if exponent == 0.0 or x == 1.0:
        return 1.0
    if x < 0.0 and not is_whole:
        return math.nan
    a = math.copysign(x, 1.0)
    if is_whole and -32.0 <= exponent <= 32.0:
        value = 1.0
        for _ in range(math.floor(math.copysign(exponent, 1.0))):
            value = value * a
    else:
        value = 1.0 if a == 1.0 else exp(math.copysign(exponent, 1.0) * log(a))
    if exponent < 0.0:
        value = math.inf if value == 0.0 else 1.0 / value
    return -value if is_odd and math.copysign(1.0, x) < 0.0 else value


def floor(x: float) -> float:
    """The greatest whole number that is not above x."""
    if x != x or x >= 4503599627370496.0 or x <= -4503599627370496.0:
        return x
    return float(math.floor(x))


def ceil(x: float) -> float:
    """The least whole number that is not below x."""
    return -floor(-x)


def round_half_even(x: float) -> float:
    """The nearest whole number; of two equally near the even one."""
    below = floor(x)
    rest = x - below
    if rest > 0.5 or (rest == 0.5 and below * 0.5 != floor(below * 0.5)):
        return below + 1.0
    return below


def trunc(x: float) -> float:
    """x without its fraction."""
    return floor(x) if x > 0.0 else ceil(x)


def raised(base: Any, exponent: Any) -> Any:
    """One float32 number to the power of another, rounded to float32 once."""
    return np.float32(power(np.float64(base), np.float64(exponent)))
