"""The op table and the activation table: one row per op, one column per meaning.

A firing of an actor computes, in float32 and in this order:

1. ``acc`` starts as +0 (``start == "zero"``) or as the first term (``"first"``);
2. for every input edge, port by port and within a port in channel order: ``term = w * x`` rounded (or ``x`` where the
   bundle has no weight), then ``acc = step(acc, term)`` rounded. Nothing is fused, nothing is reassociated;
3. ``mean`` divides by the number of terms; then ``acc + bias``, then ``acc / divisor``, where the group has them;
4. the activation: widened to float64, the rule of :mod:`graphsim.graph.arithmetic`, rounded to float32 once.

Because ``acc`` starts as +0 and parameters are finite, a term whose x is zero leaves every bit of ``acc`` as it was: an
engine may skip it.

Rounding is what a comparison with an outside reference needs to know (:mod:`graphsim.analysis.rounding`): how many
roundings an op makes, where an activation turns or jumps, and how far the reference's own float32 version of it may be
off. The allowances are stated for TensorFlow 2.21 on a CPU, whose elementary functions are Eigen's (its file
GenericPacketMathFunctions.h) and whose composed activations are those of keras.activations. Each is about one and a
half times the largest error found over the float32 numbers, and a test measures it again.

Work is counted in units that a machine prices in ticks: ``mac`` (one multiply-accumulate; a bias counts as one),
``add``, ``mul``, ``compare``, ``divide``, ``special`` (exp, log, tanh, sqrt, erf), ``gate`` (one logic gate). ReLU
costs nothing: it is a sign test at write-back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.graph import arithmetic as a

Work = Mapping[str, int]
#: The units of work, in the order in which they are printed.
UNITS = ("mac", "add", "mul", "compare", "divide", "special", "gate")


@dataclass(frozen=True)
class Op:
    """One row of the op table.

    Attributes:
        ports: least and greatest number of input ports (None: no limit).
        start: how ``acc`` starts; "none" for ops that do not fold their inputs.
        step: one step of the fold on two float32 scalars; None where start is "none".
        work: units of work of one firing, from the number of its input edges.
        roundings: how many float32 roundings separate the fold's result from the exact one, from the number of edges
            (an integer, or an array of them).
        relative_to: what those roundings are relative to: the sum of the absolute terms, or the absolute result.
        width: float32 values in a token that a firing produces, from the number of its input edges.
        doc: what it computes, for people.
    """

    ports: tuple[int, int | None]
    start: Literal["zero", "first", "none"]
    step: Callable[[Any, Any], Any] | None
    work: Callable[[int], Work]
    roundings: Callable[[Any], Any]
    relative_to: Literal["terms", "result"]
    width: Callable[[int], int]
    doc: str


class Allowance(NamedTuple):
    """An error bound for a float32 function f of a float32 x: 2**-24 (relative |f(x)| + operand |x| + absolute)."""

    relative: Any
    operand: Any
    absolute: Any


@dataclass(frozen=True)
class Activation:
    """One row of the activation table.

    Attributes:
        rule: the float64 function of (x, *args).
        args: names of its arguments; an argument may instead be a per-actor param of the group with role ``alpha``.
        work: units of work of one evaluation.
        turns: the operands where the function turns or jumps, from the arguments: between them it is monotone.
        reference: how far the outside reference's float32 implementation may be off, from the arguments: stated here
            from its documentation and measurement, and measured again by a test. Engines need no such allowance.
        doc: the formula.
        steepest: the greatest slope, of a function that turns too often for ``turns``; None where that says it all.
    """

    rule: Callable[..., float]
    args: tuple[str, ...]
    work: Work
    turns: Callable[..., tuple[Any, ...]]
    reference: Callable[..., Allowance]
    doc: str
    steepest: float | None = None


def _add(acc: Any, term: Any) -> Any:
    return acc + term


def _subtract(acc: Any, term: Any) -> Any:
    return acc - term


def _multiply(acc: Any, term: Any) -> Any:
    return acc * term


def _divide(acc: Any, term: Any) -> Any:
    return acc / term


def _maximum(acc: Any, term: Any) -> Any:
    return term if term > acc or term != term else acc


def _minimum(acc: Any, term: Any) -> Any:
    return term if term < acc or term != term else acc


def argmax(terms: npt.NDArray[np.float32]) -> int:
    """Number of the greatest of one or more terms, the first of equals; a NaN is greater than any number."""
    best, top = 0, terms[0]
    for i in range(1, len(terms)):
        greater = not terms[i] <= top and top == top  # two conditional moves in native code, no branch
        best, top = (i, terms[i]) if greater else (best, top)
    return best


def dot(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> np.float32:
    """Sum of products of corresponding terms (of equal number), left to right from +0, each product and sum rounded."""
    acc = np.float32(0)
    for i in range(len(left)):
        acc = acc + left[i] * right[i]
    return acc


def select(chosen: Any, one: Any, other: Any) -> Any:
    """``one`` where ``chosen`` is not zero (NaN is not), else ``other``."""
    return one if chosen != 0 else other


def lookup(table: npt.NDArray[np.float32], number: Any) -> Any:
    """Entry ``number`` of a table, its fraction cut off, from the end if negative; NaN where there is no such entry."""
    if number > -1 - len(table) and number < len(table):
        return table[int(number)]
    return np.float32(np.nan)


def lut(truth: int, terms: npt.NDArray[np.float32]) -> np.float32:
    """Bit m of a truth word, where bit i of m says whether term i is not zero: 0.0 or 1.0."""
    m = 0
    for i in range(len(terms)):
        m |= int(terms[i] != 0) << i
    return np.float32((truth >> m) & 1)


def sparsemax(terms: npt.NDArray[np.float32]) -> np.float32:
    """The threshold tau of sparsemax over one or more terms, in float32: terms descending, summed from the greatest."""
    one, total, tau = np.float32(1), np.float32(0), np.float32(0)
    descending = np.sort(terms)[::-1]
    for i in range(len(descending)):
        count, term = np.float32(i + 1), descending[i]
        total = total + term
        if i == 0 or one + count * term > total:
            tau = (total - one) / count
    return tau


OPS: dict[str, Op] = {
    "source": Op(
        (0, 0), "none", None, lambda k: {}, lambda k: 0, "result", lambda k: 1, "emits the sample, one element per edge"
    ),
    "input": Op(
        (1, 1), "none", None, lambda k: {}, lambda k: 0, "result", lambda k: 1, "presents its element of the sample"
    ),
    "linear": Op(
        (1, None), "zero", _add, lambda k: {"mac": k}, lambda k: k, "terms", lambda k: 1, "weighted sum of its inputs"
    ),
    "sum": Op(
        (0, None),
        "zero",
        _add,
        lambda k: {"add": max(k - 1, 0)},
        lambda k: k - 1,
        "terms",
        lambda k: 1,
        "sum of its inputs; without any, a constant: its bias, or +0",
    ),
    "mean": Op(
        (1, None),
        "zero",
        _add,
        lambda k: {"add": k - 1, "divide": 1},
        lambda k: k,
        "terms",
        lambda k: 1,
        "sum of its inputs divided by their number",
    ),
    "product": Op(
        (1, None),
        "first",
        _multiply,
        lambda k: {"mul": k - 1},
        lambda k: k - 1,
        "result",
        lambda k: 1,
        "product of its inputs",
    ),
    "subtract": Op(
        (2, 2), "first", _subtract, lambda k: {"add": 1}, lambda k: 1, "result", lambda k: 1, "port 0 minus port 1"
    ),
    "divide": Op(
        (2, 2),
        "first",
        _divide,
        lambda k: {"divide": 1},
        lambda k: 1,
        "result",
        lambda k: 1,
        "port 0 divided by port 1",
    ),
    "power": Op(
        (2, 2),
        "first",
        a.raised,
        lambda k: {"special": 2, "mul": 1},
        lambda k: 1,
        "result",
        lambda k: 1,
        "port 0 to the power of port 1",
    ),
    "max": Op(
        (1, None),
        "first",
        _maximum,
        lambda k: {"compare": k - 1},
        lambda k: 0,
        "result",
        lambda k: 1,
        "greatest of its inputs",
    ),
    "min": Op(
        (1, None),
        "first",
        _minimum,
        lambda k: {"compare": k - 1},
        lambda k: 0,
        "result",
        lambda k: 1,
        "least of its inputs",
    ),
    "dot": Op(
        (2, 2),
        "none",
        None,
        lambda k: {"mac": k // 2},
        lambda k: k // 2,
        "terms",
        lambda k: 1,
        "sum over e of term e of port 0 times term e of port 1, from +0",
    ),
    "select": Op(
        (3, 3),
        "none",
        None,
        lambda k: {"compare": 1},
        lambda k: 0,
        "result",
        lambda k: 1,
        "port 1 where port 0 is not zero, else port 2",
    ),
    "lookup": Op(
        (1, 1),
        "none",
        None,
        lambda k: {"add": 1},
        lambda k: 0,
        "result",
        lambda k: 1,
        "the entry of its table that its input names, from 0 on, or from the end if negative; NaN where there is none",
    ),
    "lut": Op(
        (0, None),
        "none",
        None,
        lambda k: {"gate": int(k > 0)},
        lambda k: 0,
        "result",
        lambda k: 1,
        "a logic gate: bit m of its truth word, where bit i of m is whether term i is not zero; of at most six terms",
    ),
    "serial": Op(
        (1, 1),
        "none",
        None,
        lambda k: {},
        lambda k: 0,
        "result",
        lambda k: 1,
        "emits its inputs one after the other, in channel order: one token for each firing of its consumers",
    ),
    "take": Op(
        (1, 1),
        "none",
        None,
        lambda k: {},
        lambda k: 0,
        "result",
        lambda k: 1,
        "of the tokens that its one input brings in an iteration the one whose number is its pick, from 0",
    ),
    "sparsemax": Op(
        (1, 1),
        "none",
        None,
        lambda k: {"compare": k * max(1, (k - 1).bit_length()), "add": 2 * k, "divide": 1},
        lambda k: 2 * k + 2,
        "terms",
        lambda k: 1,
        "the threshold tau of sparsemax over its inputs (Martins and Astudillo 2016, algorithm 1)",
    ),
    "argmax": Op(
        (1, 1),
        "none",
        None,
        lambda k: {"compare": k - 1},
        lambda k: 0,
        "result",
        lambda k: 2,
        "sink: the number of the greatest input (the first of equals) and its value",
    ),
    "collect": Op((1, 1), "none", None, lambda k: {}, lambda k: 0, "result", lambda k: k, "sink: all of its inputs"),
}

#: Ops that end a graph.
SINKS = ("argmax", "collect")


def _nowhere(*_: Any) -> tuple[Any, ...]:
    return ()


def _within(relative: float, operand: float = 0.0, absolute: float = 0.0) -> Callable[..., Allowance]:
    return lambda *_: Allowance(relative, operand, absolute)


#: No error at all: the function only selects or compares.
EXACT = Allowance(0.0, 0.0, 0.0)
_EXACT = _within(0.0)

ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(a.linear, (), {}, _nowhere, _EXACT, "x"),
    "relu": Activation(a.relu, (), {}, _nowhere, _EXACT, "max(x, 0)"),
    "clipped_relu": Activation(
        a.clipped_relu,
        ("negative_slope", "max_value", "threshold"),
        {"compare": 2, "mul": 1},
        lambda s, m, t: (t, m),
        _within(4),
        "Keras ReLU with negative_slope, max_value and threshold",
    ),
    "relu6": Activation(a.relu6, (), {"compare": 1}, _nowhere, _EXACT, "min(max(x, 0), 6)"),
    "leaky_relu": Activation(
        a.leaky_relu,
        ("negative_slope",),
        {"mul": 1},
        lambda s: (0.0,),
        _within(3),
        "x if x >= 0 else negative_slope x",
    ),
    "elu": Activation(
        a.elu,
        ("alpha",),
        {"special": 1, "mul": 1},
        lambda s: (0.0,),
        lambda s: Allowance(4, 0, 2 * abs(s)),
        "x if x > 0 else alpha (e^x - 1)",
    ),
    "selu": Activation(a.selu, (), {"special": 1, "mul": 2}, _nowhere, _within(4, 0, 4), "scaled elu"),
    "celu": Activation(
        a.celu,
        ("alpha",),
        {"special": 1, "mul": 2},
        lambda s: (0.0,),
        _within(10),
        "max(x, 0) + min(0, alpha (e^(x/alpha) - 1))",
    ),
    "gelu": Activation(
        a.gelu,
        (),
        {"special": 1, "mul": 3},
        lambda: (-0.7517915246935644,),
        _within(4, 2),
        "x/2 (1 + erf(x/sqrt 2))",
    ),
    "gelu_tanh": Activation(
        a.gelu_tanh,
        (),
        {"special": 1, "mul": 6},
        lambda: (-0.7524614220710163,),
        _within(4, 4),
        "tanh approximation of gelu",
    ),
    "sigmoid": Activation(a.sigmoid, (), {"special": 1, "divide": 1}, _nowhere, _within(12), "1 / (1 + e^-x)"),
    "hard_sigmoid": Activation(
        a.hard_sigmoid, (), {"compare": 2, "mul": 1, "add": 1}, _nowhere, _within(4), "relu6(x + 3) / 6 (Keras 3)"
    ),
    "hard_sigmoid_v2": Activation(
        a.hard_sigmoid_v2,
        (),
        {"compare": 2, "mul": 1, "add": 1},
        _nowhere,
        _within(3, 0, 1),
        "clip(0.2 x + 0.5, 0, 1) (Keras 1, 2)",
    ),
    "tanh": Activation(a.tanh, (), {"special": 1}, _nowhere, _within(8), "tanh x"),
    "hard_tanh": Activation(a.hard_tanh, (), {"compare": 2}, _nowhere, _EXACT, "clip(x, -1, 1)"),
    "softplus": Activation(a.softplus, (), {"special": 2}, _nowhere, _within(12), "log(1 + e^x)"),
    "softsign": Activation(a.softsign, (), {"divide": 1}, _nowhere, _within(3), "x / (1 + |x|)"),
    "silu": Activation(
        a.silu,
        (),
        {"special": 1, "divide": 1, "mul": 1},
        lambda: (-1.2784645427610737,),
        _within(13),
        "x sigmoid(x)",
    ),
    "hard_silu": Activation(
        a.hard_silu,
        (),
        {"compare": 2, "mul": 2, "add": 1},
        lambda: (-1.5,),
        _within(5),
        "x hard_sigmoid(x) (Keras 3)",
    ),
    "mish": Activation(
        a.mish, (), {"special": 3, "mul": 1}, lambda: (-1.1924312145154952,), _within(13), "x tanh(softplus(x))"
    ),
    "exp": Activation(a.exp, (), {"special": 1}, _nowhere, _within(4), "e^x"),
    "log": Activation(a.log, (), {"special": 1}, _nowhere, _within(6), "log x"),
    "log_sigmoid": Activation(a.log_sigmoid, (), {"special": 2}, _nowhere, _within(12), "log sigmoid(x)"),
    "hard_shrink": Activation(
        a.hard_shrink, ("threshold",), {"compare": 2}, lambda t: (-t, t), _EXACT, "x if |x| > threshold else 0"
    ),
    "soft_shrink": Activation(
        a.soft_shrink,
        ("threshold",),
        {"compare": 2, "add": 1},
        lambda t: (-t, t),
        _within(2, 1),
        "x moved towards zero by threshold",
    ),
    "tanh_shrink": Activation(a.tanh_shrink, (), {"special": 1, "add": 1}, _nowhere, _within(2, 4), "x - tanh x"),
    "threshold": Activation(
        a.threshold,
        ("limit", "default"),
        {"compare": 1},
        lambda t, d: (t,),
        _within(1),
        "x if x > limit else default",
    ),
    "squareplus": Activation(
        a.squareplus,
        ("b",),
        {"special": 1, "mul": 2, "add": 2},
        _nowhere,
        _within(4, 2),
        "(x + sqrt(x^2 + b)) / 2",
    ),
    "sparse_plus": Activation(
        a.sparse_plus, (), {"compare": 2, "mul": 2, "add": 1}, _nowhere, _within(6), "0, (x + 1)^2 / 4 or x"
    ),
    "sparse_sigmoid": Activation(
        a.sparse_sigmoid, (), {"compare": 2, "mul": 1, "add": 1}, _nowhere, _within(2), "0, (x + 1) / 2 or 1"
    ),
    "square": Activation(a.square, (), {"mul": 1}, lambda: (0.0,), _within(1), "x^2"),
    "abs": Activation(a.absolute, (), {}, lambda: (0.0,), _EXACT, "|x|"),
    "negative": Activation(a.negative, (), {}, _nowhere, _EXACT, "-x"),
    "sqrt": Activation(a.sqrt, (), {"special": 1}, _nowhere, _within(1.5), "root of x"),
    "rsqrt": Activation(a.rsqrt, (), {"special": 1, "divide": 1}, lambda: (0.0,), _within(5), "1 / sqrt(x)"),
    "reciprocal": Activation(a.reciprocal, (), {"divide": 1}, lambda: (0.0,), _within(4), "1 / x"),
    "sign": Activation(a.sign, (), {"compare": 1}, lambda: (0.0,), _EXACT, "-1, 0 or 1"),
    "positive": Activation(a.positive, (), {"compare": 1}, lambda: (0.0,), _EXACT, "1 where x > 0, else 0"),
    "nonnegative": Activation(a.nonnegative, (), {"compare": 1}, lambda: (0.0,), _EXACT, "1 where x >= 0, else 0"),
    "zero": Activation(a.zero, (), {"compare": 1}, lambda: (0.0,), _EXACT, "1 where x = 0, else 0"),
    "nonzero": Activation(a.nonzero, (), {"compare": 1}, lambda: (0.0,), _EXACT, "0 where x = 0, else 1"),
    "clip": Activation(
        a.clip, ("least", "greatest"), {"compare": 2}, lambda s, t: (s, t), _EXACT, "x, at least and at most"
    ),
    "power": Activation(
        a.power, ("exponent",), {"special": 2, "mul": 1}, lambda p: (0.0,), _within(4), "x to the power of exponent"
    ),
    "floor": Activation(a.floor, (), {"add": 1}, _nowhere, _EXACT, "the whole number at or below x"),
    "ceil": Activation(a.ceil, (), {"add": 1}, _nowhere, _EXACT, "the whole number at or above x"),
    "sin": Activation(a.sin, (), {"special": 1}, _nowhere, _within(4), "the sine of x, in radians", steepest=1.0),
    "cos": Activation(a.cos, (), {"special": 1}, _nowhere, _within(4), "the cosine of x, in radians", steepest=1.0),
    "round": Activation(
        a.round_half_even, (), {"add": 1}, _nowhere, _EXACT, "the nearest whole number, of two the even one"
    ),
    "trunc": Activation(a.trunc, (), {"add": 1}, _nowhere, _EXACT, "x without its fraction"),
    "erf": Activation(a.erf, (), {"special": 1}, _nowhere, _within(8), "the error function"),
    "log1p": Activation(a.log1p, (), {"special": 1, "add": 1}, _nowhere, _within(8), "log(1 + x)"),
    "expm1": Activation(a.expm1, (), {"special": 1, "add": 1}, _nowhere, _within(8), "e^x - 1"),
}


def add_work(*parts: Work) -> dict[str, int]:
    """Sum units of work; units that sum to zero are left out. In the order of ``UNITS``."""
    total = {unit: sum(part.get(unit, 0) for part in parts) for unit in UNITS}
    return {unit: count for unit, count in total.items() if count}
