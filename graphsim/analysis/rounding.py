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
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphsim.analysis.functions import Argument, Array, apply, reach
from graphsim.errors import GraphError
from graphsim.graph import Channel, Dense, Graph, OneToOne, Ref
from graphsim.graph.ops import ACTIVATIONS, EXACT, OPS

UNIT = 2.0**-24
UNIT64 = 2.0**-53
#: Error of an activation's float64 form, relative to what its allowance is relative to (some ten float64 roundings).
FORM64 = 2.0**-48
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


class Ball(NamedTuple):
    """Values of one group, float64 (n, actors), and their radii; None for radius 0 (observed values)."""

    value: Array
    radius: Array | None = None

    @property
    def spread(self) -> Array:
        """The radii, as an array."""
        return np.zeros_like(self.value) if self.radius is None else self.radius

    @staticmethod
    def observed(values: npt.NDArray[np.generic]) -> Ball:
        """The ball of float32 values (n, *shape) that were seen."""
        return Ball(values.reshape(len(values), -1).astype(np.float64))


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


class _Port:
    """One bundle, prepared: sums and folds over its edges for many samples at once."""

    def __init__(self, graph: Graph, channel: Channel, summed: bool) -> None:
        sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
        self.n_src, self.n_dst = sizes
        self.src = channel.src
        self.fan_in = channel.fan_in(*sizes, graph.params)
        self.weighted = channel.weight is not None
        structured = summed or not self.weighted  # other folds need each weighted term by itself
        self.blocks = channel.blocks if structured and isinstance(channel, Dense) else 0
        self.straight = structured and isinstance(channel, OneToOne)
        weights = None if channel.weight is None else graph.params[channel.weight.name].astype(np.float64)
        self._edges = np.empty(0, np.int64)
        self._starts = np.empty(0, np.int64)
        self._weights = np.empty(0)
        self.matrix: Any = weights
        if self.straight:
            self.matrix = None if channel.weight is None else _per_actor(graph, channel.weight, self.n_dst)
        if self.blocks or self.straight:
            self.absolute = None if self.matrix is None else np.abs(self.matrix)
        else:
            edges = channel.expand(*sizes, graph.params)
            flat = np.ones(len(edges.src)) if weights is None or edges.weight is None else weights.ravel()[edges.weight]
            self._edges, self._starts = edges.src, np.concatenate([[0], np.cumsum(self.fan_in)])
            self._weights = flat
            self.matrix, self.absolute = self._sparse(flat), self._sparse(np.abs(flat))
        self.weight_sum = self._weight_sum()

    def _weight_sum(self) -> Array:
        """Sum of absolute weights into each consumer, float64 (n_dst,)."""
        if self.absolute is None:
            return self.fan_in.astype(np.float64)
        if self.straight:
            return np.asarray(self.absolute)
        if self.blocks:
            return np.tile(self.absolute.sum(axis=0), self.blocks)
        return np.asarray(self.absolute.sum(axis=1)).ravel()

    def _times(self, matrix: Any, x: Array) -> Array:
        if self.straight:
            return x if matrix is None else np.multiply(x, matrix)
        if self.blocks:
            if matrix is None:
                sums = x.reshape(len(x), self.blocks, -1).sum(axis=2)
                return np.repeat(sums, self.n_dst // self.blocks, axis=1)
            return np.asarray(x.reshape(-1, self.n_src // self.blocks) @ matrix).reshape(len(x), self.n_dst)
        return np.asarray((matrix @ x.T).T)

    def sum(self, x: Array) -> Array:
        """Sum of w x over each consumer's edges: float64 (n, n_src) to (n, n_dst)."""
        return self._times(self.matrix, x)

    def sum_absolute(self, x: Array) -> Array:
        """Sum of \\|w\\| x over each consumer's edges."""
        return self._times(self.absolute, x)

    def count(self, chosen: npt.NDArray[np.bool_]) -> Array:
        """How many of each consumer's edges come from a chosen producer: bool (n, n_src) to float64 (n, n_dst)."""
        if self.straight:
            return chosen.astype(np.float64)
        if self.blocks:
            counts = np.count_nonzero(chosen.reshape(len(chosen), self.blocks, -1), axis=2).astype(np.float64)
            return np.repeat(counts, self.n_dst // self.blocks, axis=1)
        return np.asarray((self._sparse(np.ones(len(self._edges))) @ chosen.T.astype(np.float64)).T)

    def terms(self, ball: Ball, arithmetic: Arithmetic) -> Ball:
        """The terms that :meth:`fold` takes: the inputs themselves, or each edge's input times its weight, rounded."""
        if self.blocks or self.straight:
            return ball
        x, spread, w = ball.value[:, self._edges], ball.spread[:, self._edges], np.abs(self._weights)
        if not self.weighted:
            return Ball(x, spread)
        rounding = UNIT * (1 + 2.0**-20) * w * (np.abs(x) + spread)
        under = arithmetic.tiny * (2 + w + np.abs(x) if arithmetic.flushes else 1.0)
        return Ball(x * self._weights, w * spread + rounding + under)

    def fold(self, step: np.ufunc, terms: Array) -> Array:
        """Fold each consumer's terms; consumers without edges get the step's neutral element."""
        if self.straight:
            return terms
        if self.blocks:
            folded: Array = step.reduce(terms.reshape(len(terms), self.blocks, -1), axis=2)
            return np.repeat(folded, self.n_dst // self.blocks, axis=1)
        out = np.full((len(terms), self.n_dst), _NEUTRAL[step])
        some = self.fan_in > 0
        if some.any():
            out[:, some] = step.reduceat(terms, self._starts[:-1][some], axis=1)
        return out

    def _sparse(self, weights: Array) -> Any:
        # Copies, because SciPy may merge edges between the same two actors in place, and |a| + |b| is not |a + b|.
        return sparse.csr_matrix((weights, self._edges, self._starts), shape=(self.n_dst, self.n_src), copy=True)

    @property
    def gathers(self) -> int:
        """How many values a fold gathers per sample."""
        return len(self._edges)


_NEUTRAL: dict[np.ufunc, float] = {np.maximum: -np.inf, np.minimum: np.inf, np.multiply: 1.0, np.add: 0.0}


def gamma(n: npt.ArrayLike, unit: float = UNIT) -> Array:
    """n u / (1 - n u); infinite where n u >= 1 (Higham, section 3.1)."""
    product = np.asarray(n, np.float64) * unit
    return np.where(product < 1, product / np.where(product < 1, 1 - product, 1), np.inf)


class Rounding:
    """The rounding rules of one graph's groups, prepared for many samples.

    Raises:
        GraphError: the graph has feedback (initial tokens), or a group for which there is no rounding rule.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._ports: dict[int, list[_Port]] = {}
        for channel in graph.channels:
            src, dst = graph.groups[channel.src], graph.groups[channel.dst]
            if channel.initial_tokens:
                raise GraphError(f"channel {src.name} -> {dst.name} has initial tokens: no rounding rule for feedback")
            if OPS[dst.op].step is None and dst.op != "sparsemax":
                continue
            if dst.op == "sparsemax" and (channel.weight is not None or not isinstance(channel, Dense)):
                raise GraphError(f"group {dst.name}: no rounding rule for {dst.op} over a {channel.kind} bundle")
            port = _Port(graph, channel, summed=dst.op in _SUMS)
            if dst.op in ("subtract", "divide") and not (port.fan_in == 1).all():
                raise GraphError(f"group {dst.name}: {dst.op} takes one input per port; port {channel.port} has more")
            self._ports.setdefault(channel.dst, []).append(port)

    @property
    def samples_at_once(self) -> int:
        """How many samples to evaluate together so that temporaries stay near 10 MB each."""
        widest = max(g.size for g in self.graph.groups)
        gathered = max((p.gathers for ports in self._ports.values() for p in ports), default=0)
        return max(1, 2**20 // max(1, widest, gathered))

    def producers(self, group: int) -> list[int]:
        """Numbers of the groups that a group takes its inputs from, by port; empty for groups without a rule."""
        return [port.src for port in self._ports.get(group, [])]

    def evaluate(self, group: int, inputs: Mapping[int, Ball], arithmetic: Arithmetic) -> Ball:
        """The ball of a group from those of its producers (by group number).

        Sources, inputs and sinks have no rule: their values are given, or copies.
        """
        ports = self._ports[group]
        balls = [inputs[port.src] for port in ports]
        op = self.graph.groups[group].op
        with np.errstate(all="ignore"):
            if op in _SUMS:
                acc = _sum(op, ports, balls, arithmetic)
            else:
                terms = [port.terms(ball, arithmetic) for port, ball in zip(ports, balls, strict=True)]
                acc = _FOLDS[op](ports, terms, arithmetic)
            return self._activate(group, self._finish(group, acc, arithmetic), arithmetic)

    def _finish(self, group: int, acc: _Acc, arithmetic: Arithmetic) -> Ball:
        """The ball after bias and divisor: where roundings become a radius."""
        g, tiny = self.graph.groups[group], arithmetic.tiny
        value, scale, moved, roundings, under = acc
        if "bias" in g.params:
            bias = _per_actor(self.graph, g.params["bias"], g.size)
            roundings = roundings + ((bias != 0) & (scale > 0))
            value, scale, under = value + bias, scale + np.abs(bias), under + 2 * tiny
        if "divisor" in g.params:
            divisor = _per_actor(self.graph, g.params["divisor"], g.size)
            value, scale, moved = value / divisor, scale / np.abs(divisor), moved / np.abs(divisor)
            under = under / np.abs(divisor) + tiny
            roundings = roundings + arithmetic.divide
        if g.extra_roundings and not arithmetic.own:
            roundings = roundings + g.extra_roundings
            if "magnitude" in g.params:
                scale = scale + np.abs(_per_actor(self.graph, g.params["magnitude"], g.size))
        here = gamma(self._deepest(group), UNIT64)
        radius = (np.where(scale > 0, gamma(roundings) * scale, 0.0) + moved + 2 * under) * (1 + 2.0**-30)
        return _unless_overflow(value, radius + here * (scale + moved), scale)

    def _deepest(self, group: int) -> int:
        """Float64 roundings that an evaluation of the group's fold may make, with some to spare."""
        return sum(int(port.fan_in.max(initial=0)) for port in self._ports[group]) + 16

    def _activate(self, group: int, ball: Ball, arithmetic: Arithmetic) -> Ball:
        """The ball after the activation."""
        g = self.graph.groups[group]
        value, radius = ball.value, ball.spread
        if g.activation == "linear":
            return ball
        args: tuple[Argument, ...] = g.activation_args
        if "alpha" in g.params:
            args = (_per_actor(self.graph, g.params["alpha"], g.size), *args)
        if arithmetic.flushes:
            radius = radius + arithmetic.tiny
        if args and not arithmetic.own:  # its arguments are float32: where it bends or jumps may be half an ulp off
            radius = radius + UNIT * np.abs(value)
        centre, moved = apply(g.activation, value, args), reach(g.activation, value, radius, args)
        allowance = ACTIVATIONS[g.activation].reference(*args)
        if allowance == EXACT:
            return Ball(centre, moved)
        size, operand = np.abs(centre) + moved, np.abs(value) + radius
        if arithmetic.own:
            error = UNIT * (1 + 2.0**-20) * size + FORM64 * (allowance.operand * operand + allowance.absolute)
        else:
            error = UNIT * (allowance.relative * size + allowance.operand * operand + allowance.absolute)
        error = error + FORM64 * (size + allowance.operand * operand + allowance.absolute)
        widest = 2 + operand + sum(np.where(np.isfinite(arg), np.abs(arg), 0.0) for arg in args)
        return _unless_overflow(centre, moved + error + arithmetic.tiny * widest, size)


def _unless_overflow(value: Array, radius: Array, scale: Array) -> Ball:
    """A ball whose radius is infinite where float32 may overflow on the way."""
    return Ball(value, np.where(scale + radius < GREATEST, radius, np.inf))


def _sum(op: str, ports: list[_Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """Weighted sums, sums and means."""
    shape = len(balls[0].value), ports[0].n_dst
    value, scale, moved, count, under = (np.zeros(shape) for _ in range(5))
    for port, ball in zip(ports, balls, strict=True):
        magnitude = np.abs(ball.value)
        value += port.sum(ball.value)
        if ball.radius is not None:
            moved += port.sum_absolute(ball.radius)
            magnitude = magnitude + ball.radius
        scale += port.sum_absolute(magnitude)
        count += port.count(magnitude != 0)
        if arithmetic.flushes:  # a subnormal x counts as zero, and so does a subnormal w
            under += port.weight_sum
            if port.weighted:
                under += magnitude.sum(axis=1, keepdims=True)
    under = arithmetic.tiny * (2 * count + under)
    products = int(op != "linear" and any(port.weighted for port in ports))  # the table counts them for "linear" only
    if op != "mean":
        return _Acc(value, scale, moved, np.maximum(OPS[op].roundings(count), 0) + products, under)
    terms = np.sum([port.fan_in for port in ports], axis=0).astype(np.float64)
    roundings = np.maximum(OPS["sum"].roundings(count), 0) + products + arithmetic.divide
    return _Acc(value / terms, scale / terms, moved / terms, roundings, under / terms + arithmetic.tiny)


def _product(ports: list[_Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    value, least, greatest, widest = (np.ones((len(balls[0].value), ports[0].n_dst)) for _ in range(4))
    for port, ball in zip(ports, balls, strict=True):
        magnitude = np.abs(ball.value)
        value = value * port.fold(np.multiply, ball.value)
        least = least * port.fold(np.multiply, magnitude)
        greatest = greatest * port.fold(np.multiply, magnitude + ball.spread)
        widest = widest * port.fold(np.multiply, np.maximum(magnitude + ball.spread, 1.0))
    terms = np.sum([port.fan_in for port in ports], axis=0).astype(np.float64)
    roundings = np.broadcast_to(OPS["product"].roundings(terms), value.shape)
    return _Acc(value, greatest, greatest - least, roundings, 2 * arithmetic.tiny * terms * widest)


def _subtract(ports: list[_Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    minuend, subtrahend = _operands(ports, [ball.value for ball in balls])
    moved = np.sum(_operands(ports, [ball.spread for ball in balls]), axis=0)
    value = minuend - subtrahend
    return _Acc(value, np.abs(value) + moved, moved, np.ones_like(value), np.full_like(value, 3 * arithmetic.tiny))


def _divide(ports: list[_Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    dividend, divisor = _operands(ports, [ball.value for ball in balls])
    moves, shakes = _operands(ports, [ball.spread for ball in balls])
    value = dividend / divisor
    # |a'/b' - a/b| = |b (a' - a) - a (b' - b)| / |b b'|, and |b'| is at least |b| less its radius.
    least = np.abs(divisor) - shakes
    moved = np.where(least > 2 * arithmetic.tiny, (moves + np.abs(value) * shakes) / least, np.inf)
    under = np.where(least > 0, arithmetic.tiny * (1 + 1 / np.maximum(least, GREATEST**-1)), np.inf)
    return _Acc(value, np.abs(value) + moved, moved, np.full_like(value, arithmetic.divide), under)


def _operands(ports: list[_Port], values: list[Array]) -> list[Array]:
    """The one operand of each port."""
    return [port.fold(np.add, value) for port, value in zip(ports, values, strict=True)]


def _extreme(step: np.ufunc) -> Callable[[list[_Port], list[Ball], Arithmetic], _Acc]:
    def fold(ports: list[_Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
        parts = [port.fold(step, ball.value) for port, ball in zip(ports, balls, strict=True)]
        moves = [port.fold(np.maximum, ball.spread) for port, ball in zip(ports, balls, strict=True)]
        value, moved = step.reduce(parts), np.maximum(np.maximum.reduce(moves), 0.0)
        under = np.full_like(value, arithmetic.tiny if arithmetic.flushes else 0.0)
        return _Acc(value, np.abs(value), moved, np.zeros_like(value), under)

    return fold


def _sparsemax(ports: list[_Port], balls: list[Ball], arithmetic: Arithmetic) -> _Acc:
    """tau = max over j of (sum of the j greatest - 1) / j: Martins and Astudillo 2016, proposition 1 and algorithm 1.

    The quotients rise up to the size of the support and fall after it, so that tau moves at most as far as any input.
    """
    (port,), (ball,) = ports, balls
    rows = -np.sort(-ball.value.reshape(len(ball.value), port.blocks, -1), axis=2)
    taus = (np.cumsum(rows, axis=2) - 1) / np.arange(1, rows.shape[2] + 1)
    columns = port.n_dst // port.blocks
    value = np.repeat(taus.max(axis=2), columns, axis=1)
    scale = port.fold(np.add, np.abs(ball.value) + ball.spread) + 1
    moved = port.fold(np.maximum, ball.spread)
    roundings = np.full_like(value, OPS["sparsemax"].roundings(rows.shape[2]) + arithmetic.divide)
    return _Acc(value, scale, moved, roundings, np.full_like(value, 2 * arithmetic.tiny * (rows.shape[2] + 2)))


_SUMS = ("linear", "sum", "mean")
_FOLDS: dict[str, Callable[[list[_Port], list[Ball], Arithmetic], _Acc]] = {
    "product": _product,
    "subtract": _subtract,
    "divide": _divide,
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "sparsemax": _sparsemax,
}


def _per_actor(graph: Graph, ref: Ref, size: int) -> Array:
    """A param as each actor reads it, float64 (size,)."""
    array = graph.params[ref.name].reshape(-1).astype(np.float64)
    return array[(np.arange(size) // ref.inner) % len(array)]
