"""What rounding may do to a neuron: its exact value in float64, and a proved bound on any float32 evaluation of it.

A *ball* is a value with a radius: every number the neuron may hold. From the balls of its inputs, :class:`Rounding`
computes the ball of a group: the centre is the group's function evaluated in float64, the radius bounds

    |float32 evaluation, terms in any order, products fused into sums or not, from any inputs in their balls - centre|.

A float32 tensor that was observed is a ball of radius 0. A neuron whose inputs were observed is thus judged by one
group's rounding alone; where an outside reference shows no tensor (inside a softmax), radii carry through.

Weighted sums. With u = 2**-24 and gamma_n = n u / (1 - n u), a sum in which every term passes at most n roundings is
within gamma_n * sum |w| |x| of the exact one (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section
3.1, lemma 3.1 and the remark that follows (3.5): for any order). A sum of k products takes n = k, with a bias k + 1,
fused or not. Terms that are exactly zero cause no rounding in any order (a + 0 = a), so k counts the terms whose input
is not zero, sample by sample: for images that are mostly black, the bound is several times sharper.

Adder trees. Where a sum is added up as a tree (:mod:`graphsim.passes.fan_in`), a term passes the rounding of its
product and one for every addition between it and the root, d at most in all: the computed sum is the sum of the terms
w x, each times d factors 1 + delta, \\|delta\\| <= u, and by the same lemma 3.1 within gamma_d * sum |w| |x| of the
exact one. In a chain of j terms the first is added to +0, which is exact, so that no term passes more than j - 1
additions there; d is the sum of these over the levels, plus the product (:func:`trees`). Of k terms that are not zero,
none passes more than k roundings in any tree either, so n is the less of d and k; a bias is added last and counts once
more. This holds for whoever adds in that tree; an outside reference is judged by the graph before, with its own k.

Everything else rounds once per operation, relative to its result: products of k factors k - 1 times, differences and
quotients once; greatest and least not at all. An activation moves at most as far as it can get on its operand's ball
(:func:`graphsim.analysis.functions.reach`), plus the error of the implementation: half an ulp for graphsim's own rules,
and the allowance in the activation table (column ``reference``) for an outside one.

Underflow: each operation may be off by ``tiny`` where its result is subnormal; an arithmetic that flushes subnormal
numbers to zero, as TensorFlow's does, also reads them as zero. Overflow: where a sum of absolute terms passes the
greatest float32, nothing can be said and the radius is infinite. The float64 evaluation itself is counted as well, with
2**-53 in the place of u.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.analysis.functions import Argument, Array, apply, reach
from graphsim.analysis.ports import Ball, EdgePort, Port, WindowPort, per_actor, prepare, products
from graphsim.errors import GraphError
from graphsim.graph import Graph
from graphsim.graph.ops import ACTIVATIONS, EXACT, OPS

__all__ = ["GRAPHSIM", "TENSORFLOW", "Arithmetic", "Ball", "Rounding", "gamma"]

UNIT = 2.0**-24
UNIT64 = 2.0**-53
#: Error of an activation's float64 form, relative to what its allowance is relative to (some ten float64 roundings).
FORM64 = 2.0**-48
#: Roundings that a power of two tensors by TensorFlow may be off by; 2.03 is the most that was found.
POWER = 3
GREATEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Arithmetic:
    """Whose float32 arithmetic is judged.

    Attributes:
        name: of the arithmetic.
        own: graphsim's: divisions are rounded once and activations are within half an ulp; else by their allowances.
        tiny: greatest absolute error of an operation whose result is subnormal.
        flushes: whether subnormal operands are read as zero.
        divide: roundings of one division (a quotient by way of a reciprocal is rounded more than once).
    """

    name: str
    own: bool
    tiny: float
    flushes: bool
    divide: int


#: The engines: IEEE 754, gradual underflow.
GRAPHSIM = Arithmetic("graphsim", own=True, tiny=2.0**-149, flushes=False, divide=1)
#: TensorFlow on a CPU: subnormal numbers are flushed to zero and read as zero (tensorflow/core/platform/denormal.h).
#: Its softmax multiplies by a reciprocal, which vector units refine by Newton's method to about one ulp.
TENSORFLOW = Arithmetic("tensorflow", own=False, tiny=2.0**-126, flushes=True, divide=4)


class _Acc(NamedTuple):
    """A fold so far, each (n, actors) or broadcast to it.

    Attributes:
        value: in float64.
        scale: what roundings are relative to: the sum of absolute terms, or the absolute result.
        moved: how much the inputs' radii move it.
        roundings: how many float32 roundings a term passes.
        under: what underflow adds.
    """

    value: Array
    scale: Array
    moved: Array
    roundings: Array
    under: Array


def gamma(n: npt.ArrayLike, unit: float = UNIT) -> Array:
    """n u / (1 - n u); infinite where n u >= 1 (Higham, section 3.1)."""
    product = np.asarray(n, np.float64) * unit
    if np.max(product, initial=0.0) < 1:
        return product / (1 - product)
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)


class Rounding:
    """The rounding rules of one graph's groups, prepared for many samples.

    Args:
        depth: by number, of sums that graphsim adds up as trees, the most roundings that a term passes.

    Where a channel carries one token from sample to sample (initial tokens that are not reset), the ball of what its
    producer made of the sample before is that of number ``~producer``; of the first sample it is 0.

    Attributes:
        carried: numbers of the groups whose values of one sample the next one reads.

    Raises:
        GraphError: the graph has other feedback, or a group for which there is no rounding rule.
    """

    def __init__(self, graph: Graph, depth: Mapping[int, int] | None = None) -> None:
        self.graph, self._depth = graph, dict(depth or {})
        self._ports: dict[int, list[Port]] = {}
        self.carried = frozenset(channel.src for channel in graph.channels if channel.initial_tokens)
        for channel in graph.channels:
            src, dst = graph.groups[channel.src], graph.groups[channel.dst]
            if channel.initial_tokens and (channel.initial_tokens > 1 or channel.reset or channel.initial is not None):
                raise GraphError(
                    f"channel {src.name} -> {dst.name} has {channel.initial_tokens} initial tokens: there is a rounding"
                    " rule for one that is 0 and is not reset"
                )
            if dst.op not in (*_SUMS, *_FOLDS, "lookup"):
                continue
            port = prepare(graph, channel, summed=dst.op in _SUMS)
            if dst.op in ("subtract", "divide") and not (port.fan_in == 1).all():
                raise GraphError(f"group {dst.name}: {dst.op} takes one input per port; port {channel.port} has more")
            self._ports.setdefault(channel.dst, []).append(port)
        for number, ports in self._ports.items():
            shapes = {port.window.consumer_shape for port in ports if isinstance(port, WindowPort) and port.is_full}
            by_rule = len(shapes) == 1 and all(port.is_full for port in ports)
            if graph.groups[number].op in ("dot", "sparsemax") and not by_rule:
                self._ports[number] = [EdgePort(graph, port.channel) for port in ports]

    @property
    def samples_at_once(self) -> int:
        """How many samples to evaluate together so that temporaries stay near 10 MB each."""
        widest = max(g.size for g in self.graph.groups)
        gathered = max((p.gathers for ports in self._ports.values() for p in ports), default=0)
        return 1 if self.carried else max(1, 2**20 // max(1, widest, gathered))

    def producers(self, group: int) -> list[int]:
        """Numbers of the groups that a group takes its inputs from, by port; empty for groups without a rule."""
        return [port.src for port in self._ports.get(group, [])]

    def evaluate(self, group: int, inputs: Mapping[int, Ball], arithmetic: Arithmetic, samples: int = 1) -> Ball:
        """The ball of a group from those of its producers (by group number); a constant's for so many samples.

        Sources, inputs and sinks have no rule: their values are given, or copies.
        """
        ports = self._ports.get(group, [])
        if not ports:
            zeros = np.zeros((samples, self.graph.groups[group].size))
            constant = self._finish(group, _Acc(zeros, zeros, zeros, zeros, zeros), arithmetic)
            return self._activate(group, constant, arithmetic)
        balls = [inputs[~port.src if port.channel.initial_tokens else port.src] for port in ports]
        op = self.graph.groups[group].op
        with np.errstate(all="ignore"):
            if op in _SUMS:
                acc = _sum(op, ports, balls, arithmetic)
                if arithmetic.own and group in self._depth:
                    acc = acc._replace(roundings=np.minimum(acc.roundings, self._depth[group]))
            elif op == "lookup":
                table = self.graph.groups[group].params["table"]
                return _lookup(
                    self.graph.params[table.name], table.inner, _operands(ports, _terms(ports, balls, arithmetic))[0]
                )
            else:
                acc = _FOLDS[op](ports, balls, arithmetic)
            return self._activate(group, self._finish(group, acc, arithmetic), arithmetic)

    def _finish(self, group: int, acc: _Acc, arithmetic: Arithmetic) -> Ball:
        """The ball after bias and divisor: where roundings become a radius."""
        g, tiny = self.graph.groups[group], arithmetic.tiny
        value, scale, moved, roundings, under = acc
        if "bias" in g.params:
            bias = per_actor(self.graph, g.params["bias"], g.size)
            roundings = roundings + ((bias != 0) & (scale > 0))
            flushed = arithmetic.flushes & (np.abs(bias) < tiny) & (bias != 0)
            under = under + 2 * tiny * ((scale > 0) | (moved > 0) | flushed)  # 0 and a bias make that bias
            value, scale = value + bias, scale + np.abs(bias)
        if "divisor" in g.params:
            divisor = per_actor(self.graph, g.params["divisor"], g.size)
            value, scale, moved = value / divisor, scale / np.abs(divisor), moved / np.abs(divisor)
            under = under / np.abs(divisor) + tiny
            roundings = roundings + arithmetic.divide
        if g.extra_roundings and not arithmetic.own:
            roundings = roundings + g.extra_roundings
            if "magnitude" in g.params:
                scale = scale + np.abs(per_actor(self.graph, g.params["magnitude"], g.size))
        # Copies are exact here as there; 0 times an infinite scale is not a number.
        radius = np.where((roundings > 0) & (scale > 0), (gamma(roundings) + self._here(group)) * scale, 0.0)
        radius += moved * (1 + self._here(group))
        radius += 2 * under
        radius *= 1 + 2.0**-30
        ball = _unless_overflow(value, radius, scale)
        if np.isfinite(value).all():
            return ball
        # One operation on an infinite and a finite number is infinite, in any arithmetic.
        certain = np.isinf(value) & (roundings <= 1) & np.isfinite(moved)
        return Ball(value, np.where(certain, 0.0, ball.spread))

    def _here(self, group: int) -> float:
        """Relative error that the float64 evaluation of the group's fold may have, with some to spare."""
        return float(gamma(sum(port.deepest for port in self._ports.get(group, [])) + 16, UNIT64))

    def _activate(self, group: int, ball: Ball, arithmetic: Arithmetic) -> Ball:
        """The ball after the activation."""
        g = self.graph.groups[group]
        value, radius = ball.value, ball.spread
        if g.activation == "linear":
            return ball
        args: tuple[Argument, ...] = g.activation_args
        if "alpha" in g.params:
            args = (per_actor(self.graph, g.params["alpha"], g.size), *args)
        if arithmetic.flushes:  # which leaves a certain 0 as it is
            radius = radius + np.where((value != 0) | (radius > 0), arithmetic.tiny, 0.0)
        if args and not arithmetic.own:  # its arguments are float32: where it bends or jumps may be half an ulp off
            radius = radius + UNIT * np.where(np.isinf(value), 0.0, np.abs(value))
        radius = np.where(np.isinf(value) & np.isfinite(radius), 0.0, radius)
        centre, moved = apply(g.activation, value, args), reach(g.activation, value, radius, args)
        allowance = ACTIVATIONS[g.activation].reference(*args)
        if allowance == EXACT:
            return Ball(centre, moved)
        size, operand = np.abs(centre) + moved, np.where(np.isinf(value), radius, np.abs(value) + radius)
        if arithmetic.own:
            error = UNIT * (1 + 2.0**-20) * size + FORM64 * (allowance.operand * operand + allowance.absolute)
        else:
            error = UNIT * (allowance.relative * size + allowance.operand * operand + allowance.absolute)
        error = error + FORM64 * (size + allowance.operand * operand + allowance.absolute)
        widest = 2 + operand + sum(np.where(np.isfinite(arg), np.abs(arg), 0.0) for arg in args)
        return _unless_overflow(centre, moved + error + arithmetic.tiny * widest, size)


def trees(graph: Graph, whole: Graph) -> dict[int, int]:
    """The most roundings that a term of each sum of ``whole`` passes that ``graph`` adds up as a tree, by its number in
    ``whole``; the bias is not counted. Both are unrolled; groups of one name are the same neurons, and groups that only
    ``graph`` has are partial sums and adders.

    Read off the tree itself, whoever made it.

    Raises:
        GraphError: a group that only ``graph`` has is more than a sum of its inputs.
    """
    through: dict[int, int] = {}
    found = {}
    for number, group in enumerate(graph.groups):
        into = graph.channels_into(number)
        if group.name in whole.number and not any(c.src in through for c in into):
            continue
        plain = group.activation == "linear" and not group.params
        if group.op not in ("linear", "sum") or not (plain or group.name in whole.number):
            raise GraphError(f"group {group.name}: is not in {whole.name} as it was, and is more than a partial sum")
        # Of a chain of terms none passes more additions than there are terms behind the first.
        additions = max(0, int(graph.fan_in(number).max()) - 1)
        before = max(through.get(c.src, 0) + (c.weight is not None) for c in into)
        if group.name in whole.number:
            found[whole.number[group.name]] = before + additions
        else:
            through[number] = before + additions
    return found


def _unless_overflow(value: Array, radius: Array, scale: Array) -> Ball:
    """A ball whose radius is infinite where float32 may overflow on the way."""
    return Ball(value, np.where(scale + radius < GREATEST, radius, np.inf))


def _sum(op: str, ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """Weighted sums, sums and means."""
    shape = len(balls[0].value), ports[0].n_dst
    value, scale, moved, count, under = (np.zeros(shape) for _ in range(5))
    for port, ball in zip(ports, balls, strict=True):
        sums, magnitude = port.sums(ball), ball.magnitude
        value += sums.value
        scale += sums.scale
        if sums.moved is not None:
            moved += sums.moved
        count += port.count(magnitude != 0)
        if arithmetic.flushes:  # a subnormal x counts as zero, and so does a subnormal w
            under += port.weight_sum()
            if port.weighted:
                under += magnitude.sum(axis=1, keepdims=True)
    under = arithmetic.tiny * (2 * count + under)
    products = int(op != "linear" and any(port.weighted for port in ports))  # the table counts them for "linear" only
    if op != "mean":
        return _Acc(value, scale, moved, np.maximum(OPS[op].roundings(count), 0) + products, under)
    terms = np.sum([port.fan_in for port in ports], axis=0)
    roundings = np.maximum(OPS["sum"].roundings(count), 0) + products + arithmetic.divide
    return _Acc(value / terms, scale / terms, moved / terms, roundings, under / terms + arithmetic.tiny)


def _terms(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> list[Ball]:
    """What each port folds: its inputs themselves, or its edges' inputs times their weights, rounded."""
    found = []
    for port, ball in zip(ports, balls, strict=True):
        terms, weights = port.terms(ball)
        if weights is not None:
            size = np.abs(weights)
            rounding = UNIT * (1 + 2.0**-20) * size * terms.magnitude
            under = arithmetic.tiny * (2 + size + np.abs(terms.value) if arithmetic.flushes else 1.0)
            terms = Ball(terms.value * weights, size * terms.spread + rounding + under)
        found.append(terms)
    return found


def _product(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    value, least, greatest, widest = (np.ones((len(balls[0].value), ports[0].n_dst)) for _ in range(4))
    for port, ball in zip(ports, _terms(ports, balls, arithmetic), strict=True):
        magnitude = ball.magnitude
        value = value * port.fold(np.multiply, ball.value)
        least = least * port.fold(np.multiply, np.abs(ball.value))
        greatest = greatest * port.fold(np.multiply, magnitude)
        widest = widest * port.fold(np.multiply, np.maximum(magnitude, 1.0))
    terms = np.sum([port.fan_in for port in ports], axis=0)
    roundings = np.broadcast_to(OPS["product"].roundings(terms), value.shape)
    return _Acc(value, greatest, greatest - least, roundings, 2 * arithmetic.tiny * terms * widest)


def _dot(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """|a' b' - a b| <= |a' - a| |b| + |a| |b' - b| + |a' - a| |b' - b|, term by term."""
    left, right = ports

    def over(a: Array, b: Array) -> Array:
        if isinstance(left, WindowPort) and isinstance(right, WindowPort):
            return products(left, right, a, b)
        return left.fold(np.add, left.terms(Ball(a))[0].value * right.terms(Ball(b))[0].value)

    a, b = balls
    size_a, size_b = a.magnitude, b.magnitude
    value, scale = over(a.value, b.value), over(size_a, size_b)
    moved = np.zeros_like(value)
    if a.radius is not None:
        moved += over(a.radius, size_b)
    if b.radius is not None:
        moved += over(np.abs(a.value), b.radius)
    count = over((size_a != 0).astype(np.float64), (size_b != 0).astype(np.float64))
    under = 2 * count
    if arithmetic.flushes:  # a subnormal a or b counts as zero
        under = under + size_a.sum(axis=1, keepdims=True) + size_b.sum(axis=1, keepdims=True)
    return _Acc(value, scale, moved, OPS["dot"].roundings(2 * count), arithmetic.tiny * under)


def _select(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """One or the other; whatever lies from the least to the greatest of both where the condition may be 0 or not."""
    chosen, one, other = _operands(ports, _terms(ports, balls, arithmetic))
    doubt = np.abs(chosen.value) <= chosen.spread + (arithmetic.tiny if arithmetic.flushes else 0.0)
    doubt &= (chosen.value != 0) | (chosen.spread > 0)
    low, high = (
        extreme(one.value + sign * one.spread, other.value + sign * other.spread)
        for extreme, sign in ((np.minimum, -1), (np.maximum, 1))
    )
    middle = low + (high - low) / 2
    value = np.where(doubt, middle, np.where(chosen.value != 0, one.value, other.value))
    moved = np.maximum(high - middle, middle - low)
    moved = np.where(doubt, moved, np.where(chosen.value != 0, one.spread, other.spread))
    return _Acc(value, np.abs(value), moved, np.zeros_like(value), _flushed(value, moved, arithmetic))


def _lookup(table: npt.NDArray[np.generic], inner: int, number: Ball) -> Ball:
    """An entry is copied. Where the number may be that of another entry nothing can be said."""
    first, last = (np.trunc(number.value + sign * number.spread) for sign in (-1, 1))
    there = (first >= -len(table)) & (last < len(table))
    entry = np.where(there, first, 0).astype(np.int64)
    columns = (np.arange(number.value.shape[1]) // inner) % table.shape[1]
    value = np.where(there, table[entry, columns].astype(np.float64), np.nan)
    return Ball(value, np.where(first == last, 0.0, np.inf))


def _subtract(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    minuend, subtrahend = _operands(ports, _terms(ports, balls, arithmetic))
    moved = minuend.spread + subtrahend.spread
    value = minuend.value - subtrahend.value
    under = np.where((value != 0) | (moved > 0), 3 * arithmetic.tiny, 0.0)  # x - x is 0 in any arithmetic
    return _Acc(value, np.abs(value) + moved, moved, np.ones_like(value), under)


def _divide(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    dividend, divisor = _operands(ports, _terms(ports, balls, arithmetic))
    value = dividend.value / divisor.value
    # |a'/b' - a/b| = |b (a' - a) - a (b' - b)| / |b b'|, and |b'| is at least |b| less its radius.
    least = np.abs(divisor.value) - divisor.spread
    moved = np.where(least > 2 * arithmetic.tiny, (dividend.spread + np.abs(value) * divisor.spread) / least, np.inf)
    under = np.where(least > 0, arithmetic.tiny * (1 + 1 / np.maximum(least, GREATEST**-1)), np.inf)
    return _Acc(value, np.abs(value) + moved, moved, np.full_like(value, arithmetic.divide), under)


def _power(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """Over positive bases a power moves one way with either operand, so that it gets furthest at the corners; so it
    does on either side of 0 where the exponent is whole and certain. Elsewhere nothing can be said.
    """
    base, exponent = _operands(ports, _terms(ports, balls, arithmetic))
    value, wide = np.power(base.value, exponent.value), base.spread
    if arithmetic.flushes:
        wide = wide + np.where(np.abs(base.value) - wide < arithmetic.tiny, arithmetic.tiny, 0.0)
    moved = np.zeros_like(value)
    for x in (base.value - wide, base.value + wide):
        for y in (exponent.value - exponent.spread, exponent.value + exponent.spread):
            moved = np.maximum(moved, np.abs(np.power(x, y) - value))
    is_whole = (exponent.spread == 0) & (exponent.value == np.rint(exponent.value))
    away = np.abs(base.value) > wide
    moved = np.where(is_whole & ~away & (exponent.value > 0), np.maximum(moved, np.abs(value)), moved)
    known = (base.value > wide) | (is_whole & (away | (exponent.value >= 0))) | ((wide == 0) & (exponent.spread == 0))
    moved = np.where(known & ~np.isnan(moved), moved, np.inf)
    moved = np.where(moved > 0, moved + 2.0**-50 * np.abs(value), moved)
    return _Acc(
        value,
        np.abs(value) + moved,
        moved,
        np.full_like(value, OPS["power"].roundings(2) if arithmetic.own else POWER),
        np.full_like(value, 2 * arithmetic.tiny),
    )


def _operands(ports: list[Port], terms: list[Ball]) -> list[Ball]:
    """The one operand of each port."""
    return [
        Ball(port.fold(np.add, ball.value), None if ball.radius is None else port.fold(np.add, ball.radius))
        for port, ball in zip(ports, terms, strict=True)
    ]


def _extreme(step: np.ufunc) -> Callable[[list[Port], list[Ball], Arithmetic], _Acc]:
    def fold(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
        terms = _terms(ports, balls, arithmetic)
        value = step.reduce([port.fold(step, ball.value) for port, ball in zip(ports, terms, strict=True)])
        moved = np.zeros_like(value)
        for port, ball in zip(ports, terms, strict=True):
            if ball.radius is not None:
                np.maximum(moved, port.fold(np.maximum, ball.radius), out=moved)
        return _Acc(value, np.abs(value), moved, np.zeros_like(value), _flushed(value, moved, arithmetic))

    return fold


def _flushed(value: Array, moved: Array, arithmetic: Arithmetic) -> Array:
    """What underflow adds to a value that was only chosen: zeros stay zeros."""
    return np.where((value != 0) | (moved > 0), arithmetic.tiny if arithmetic.flushes else 0.0, 0.0)


def _sparsemax(ports: list[Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """tau = max over j of (sum of the j greatest - 1) / j: Martins and Astudillo 2016, proposition 1 and algorithm 1.

    The quotients rise up to the size of the support and fall after it, so that tau moves at most as far as any input.
    """
    (port,), (ball,) = ports, balls
    rows = -np.sort(-port.rows(ball.value), axis=-1)  # where a consumer has fewer terms, -inf follows
    taus = (np.cumsum(rows, axis=-1) - 1) / np.arange(1, rows.shape[-1] + 1)
    value = port.spread_out(taus.max(axis=-1))
    scale = port.fold(np.add, port.terms(Ball(ball.magnitude))[0].value) + 1
    moved = port.fold(np.maximum, port.terms(Ball(ball.spread))[0].value)
    roundings = np.full_like(value, OPS["sparsemax"].roundings(rows.shape[-1]) + arithmetic.divide)
    return _Acc(value, scale, moved, roundings, np.full_like(value, 2 * arithmetic.tiny * (rows.shape[-1] + 2)))


_SUMS = ("linear", "sum", "mean")
_FOLDS: dict[str, Callable[[list[Port], list[Ball], Arithmetic], _Acc]] = {
    "product": _product,
    "dot": _dot,
    "select": _select,
    "subtract": _subtract,
    "divide": _divide,
    "power": _power,
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "sparsemax": _sparsemax,
}
