"""One input port at a time, in float64: sums, counts and folds over a bundle's edges, for many samples at once.

Bundles with a rule (Dense, OneToOne, Window) are never expanded. Along an axis that no weight depends on, any fold is
made by itself: a sum over a 3x3x64 window is a sum over 64, then over 3, then over 3. Weighted sums gather the terms of
a block of consumers, ``(consumers, terms)``, and multiply them with the weights as a matrix (what is called im2col), so
that temporaries stay near ``TERMS`` elements whatever the size of the group; where every consumer has weights of its
own, as in a depthwise convolution, they go tap by tap instead. Other bundles are gathered edge by edge.

All arrays of values are float64 (n, actors), n samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphsim.graph import Axis, Channel, Dense, Edges, Graph, OneToOne, Ref, Window

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

#: Elements of a temporary: gathered terms, or weights in float64.
TERMS = 1 << 21
#: Taps up to which consumers with weights of their own are summed tap by tap.
_TAP_BY_TAP = 128
#: Terms that are multiplied as matrices at a time, at most: float32 sums of so many are within a percent.
_AT_ONCE = 1 << 17
_NEUTRAL: dict[np.ufunc, float] = {np.maximum: -np.inf, np.minimum: np.inf, np.multiply: 1.0, np.add: 0.0}


class Ball(NamedTuple):
    """Values of one group, float64 (n, actors), and their radii; None for radius 0 (observed values)."""

    value: Array
    radius: Array | None = None

    @property
    def spread(self) -> Array:
        """The radii, as an array."""
        return np.zeros_like(self.value) if self.radius is None else self.radius

    @property
    def magnitude(self) -> Array:
        """The greatest absolute value of each."""
        return np.abs(self.value) if self.radius is None else np.abs(self.value) + self.radius

    @staticmethod
    def observed(values: npt.NDArray[np.generic]) -> Ball:
        """The ball of float32 values (n, *shape) that were seen."""
        return Ball(values.reshape(len(values), -1).astype(np.float64))


class Sums(NamedTuple):
    """Sums over each consumer's edges: of w x, of \\|w\\| times the greatest \\|x\\|, of \\|w\\| times the radius.

    ``scale`` may be up to a percent too large, never too small.
    """

    value: Array
    scale: Array
    moved: Array | None


class _Terms(NamedTuple):
    """Of some terms: their values, sizes (None: the absolute values) and radii (None: 0)."""

    value: Array
    size: Array | None
    radius: Array | None

    def map(self, function: Callable[[Array], Array]) -> _Terms:
        """The function of each array."""
        return _Terms(*(None if x is None else function(x) for x in self))  # type: ignore[arg-type]

    def weigh(self, times: np.ufunc, weights: Array) -> _Terms:
        """The product of each array with the weights, or with their absolute values."""
        absolute = np.abs(weights)
        size = np.abs(self.value) if self.size is None else self.size
        radius = None if self.radius is None else times(self.radius, absolute)
        return _Terms(times(self.value, weights), times(size, absolute), radius)

    def multiply(self, weights: npt.NDArray[np.float32]) -> _Terms:
        """Matrix products with weights (..., terms, columns), of fewer than ``_AT_ONCE`` terms.

        Sizes are multiplied in float32, which is twice as fast, and raised by what rounding may have taken from them:
        one rounding of the sizes, k of the sum, in any order. Products that underflow are off by 2**-149 each, which is
        less than what is counted for the underflow of each term anyway.
        """
        wide = weights.astype(np.float64)
        size = np.abs(self.value if self.size is None else self.size).astype(np.float32)
        lost = (weights.shape[-2] + 4) * 2.0**-24
        product = np.matmul(size, np.abs(weights)).astype(np.float64)
        product *= 1 + lost / (1 - 2 * lost)
        radius = None if self.radius is None else np.matmul(self.radius, np.abs(wide))
        return _Terms(np.matmul(self.value, wide), product, radius)


class Port:
    """One bundle, prepared.

    Attributes:
        src: number of the producers' group. n_src, n_dst: sizes.
        weighted: whether its edges have weights.
        deepest: the greatest number of edges into a consumer.
    """

    def __init__(self, graph: Graph, channel: Channel) -> None:
        self._params, self.channel = graph.params, channel
        self.n_src, self.n_dst = graph.groups[channel.src].size, graph.groups[channel.dst].size
        self.src, self.weighted = channel.src, channel.weight is not None
        self.deepest = channel.fan_in_range(self.n_src, self.n_dst, graph.params)[1]

    @property
    def fan_in(self) -> Array:
        """Edges into each consumer, (n_dst,)."""
        return self.channel.fan_in(self.n_src, self.n_dst, self._params).astype(np.float64)

    @property
    def gathers(self) -> int:
        """How many values a fold gathers per sample."""
        return 0

    def sums(self, ball: Ball) -> Sums:
        """Weighted sums (plain ones where the bundle has no weights)."""
        raise NotImplementedError

    def count(self, chosen: Bools) -> Array:
        """How many of each consumer's edges come from a chosen producer: bool (n, n_src) to (n, n_dst)."""
        raise NotImplementedError

    def weight_sum(self) -> Array:
        """At least the sum of absolute weights into each consumer, (n_dst,)."""
        raise NotImplementedError

    def terms(self, ball: Ball) -> tuple[Ball, Array | None]:
        """The inputs that :meth:`fold` takes, and their weights: None where it needs none to be multiplied."""
        return ball, None

    def fold(self, step: np.ufunc, terms: Array) -> Array:
        """Fold each consumer's terms; consumers without edges get the step's neutral element."""
        raise NotImplementedError

    @property
    def is_full(self) -> bool:
        """Whether the bundle has a rule, and every consumer has all edges that the rule may give it."""
        return False

    def rows(self, x: Array) -> Array:
        """The terms of each consumer in channel order, in the last axis; what lies before is for :meth:`spread_out`.

        Where a consumer has fewer terms than another, -inf follows.
        """
        raise NotImplementedError

    def spread_out(self, x: Array) -> Array:
        """What :meth:`rows` gave, reduced to one number per row, to (n, n_dst)."""
        raise NotImplementedError


class EdgePort(Port):
    """A bundle by its edges."""

    def __init__(self, graph: Graph, channel: Channel) -> None:
        super().__init__(graph, channel)
        edges = channel.expand(self.n_src, self.n_dst, graph.params)
        self.edges, self._starts = edges.src, np.concatenate([[0], np.cumsum(self.fan_in)]).astype(np.int64)
        self._weights = _weights_of(graph, channel, edges)
        self._matrix, self._absolute = self._sparse(self._weights), self._sparse(np.abs(self._weights))
        self._ones = self._sparse(np.ones(len(edges.src))) if self.weighted else self._matrix

    def _sparse(self, weights: Array) -> Any:
        # Copies, because SciPy may merge edges between the same two actors in place, and |a| + |b| is not |a + b|.
        return sparse.csr_matrix((weights, self.edges, self._starts), shape=(self.n_dst, self.n_src), copy=True)

    @property
    def gathers(self) -> int:
        return len(self.edges)

    def sums(self, ball: Ball) -> Sums:
        return Sums(
            np.asarray((self._matrix @ ball.value.T).T),
            np.asarray((self._absolute @ ball.magnitude.T).T),
            None if ball.radius is None else np.asarray((self._absolute @ ball.radius.T).T),
        )

    def count(self, chosen: Bools) -> Array:
        return np.asarray((self._ones @ chosen.T.astype(np.float64)).T)

    def weight_sum(self) -> Array:
        return np.asarray(self._absolute.sum(axis=1)).ravel()

    def terms(self, ball: Ball) -> tuple[Ball, Array | None]:
        gathered = Ball(ball.value[:, self.edges], None if ball.radius is None else ball.radius[:, self.edges])
        return gathered, self._weights if self.weighted else None

    def fold(self, step: np.ufunc, terms: Array) -> Array:
        out = np.full((len(terms), self.n_dst), _NEUTRAL[step])
        some = np.diff(self._starts) > 0
        if some.any():
            out[:, some] = step.reduceat(terms, self._starts[:-1][some], axis=1)
        return out

    def rows(self, x: Array) -> Array:
        counts = np.diff(self._starts)
        found = np.full((len(x), self.n_dst, self.deepest), -np.inf)
        consumer = np.repeat(np.arange(self.n_dst), counts)
        found[:, consumer, np.arange(len(consumer)) - self._starts[consumer]] = x[:, self.edges]
        return found

    def spread_out(self, x: Array) -> Array:
        return x


class WindowPort(Port):
    """A bundle by its rule along each axis. Its folds are of the inputs themselves, without weights."""

    def __init__(self, graph: Graph, channel: Channel, window: Window) -> None:
        super().__init__(graph, channel)
        self.window, self.axes = window, window.axes
        order = window.order or tuple(range(len(self.axes)))
        self._shape = tuple(self.axes[i].producers for i in order)
        self._order = (0, *(1 + order.index(i) for i in range(len(self.axes))))
        self._consumers = window.consumer_shape
        self._flat = None if window.weight is None else graph.params[window.weight.name].reshape(-1)
        #: Axes along which weights and positions both change from tap to tap.
        self._mixed = [i for i, axis in enumerate(self.axes) if axis.taps > 1 and axis.weight_tap and self.weighted]

    @property
    def is_full(self) -> bool:
        fewest, most = self.channel.fan_in_range(self.n_src, self.n_dst, self._params)
        return fewest == most == self.window.terms

    # -- folds ------------------------------------------------------------------------------------------------------

    def _tensor(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Producers' values (n, n_src) in the order of the axes: a view, (n, *producers)."""
        return x.reshape(len(x), *self._shape).transpose(self._order)

    def spread_out(self, x: Array) -> Array:
        """(n, consumers or 1 along each axis, ...) to (n, n_dst)."""
        return np.broadcast_to(x, (len(x), *self._consumers)).reshape(len(x), self.n_dst)

    def _fold(self, step: np.ufunc, x: Array, without: Sequence[int] = ()) -> Array:
        """Fold a tensor along all axes but some; an axis whose consumers all get the same has extent 1 after it."""
        axes = [i for i in range(len(self.axes)) if i not in without]
        for i in sorted(axes, key=lambda i: 1 if same_for_all(self.axes[i]) else self.axes[i].consumers):
            x = _fold_axis(step, x, 1 + i, self.axes[i])
        return x

    def fold(self, step: np.ufunc, terms: Array) -> Array:
        return self.spread_out(self._fold(step, self._tensor(terms)))

    def count(self, chosen: Bools) -> Array:
        return self.fold(np.add, chosen.astype(np.float64))

    # -- weighted sums ----------------------------------------------------------------------------------------------

    def weight_sum(self) -> Array:
        return np.broadcast_to(self._weight_totals, self._consumers).reshape(-1)

    @cached_property
    def _weight_totals(self) -> Array:
        """Sums of absolute weights over all taps, whether there is an edge or not: (consumers or 1 along each axis)."""
        if not self.weighted:
            return np.full((1,) * len(self.axes), float(self.window.terms))
        view, rank = self._weight_view(), len(self.axes)
        total = np.zeros(view.shape[:rank])
        longest = int(np.argmax(view.shape[:rank]))
        step = max(1, TERMS * view.shape[longest] // view.size)
        for lo in range(0, view.shape[longest], step):
            index = (*(slice(None) for _ in range(longest)), slice(lo, lo + step))
            total[index] = np.abs(view[index].astype(np.float64)).sum(axis=tuple(range(rank, 2 * rank)))
        return total * math.prod(axis.taps for i, axis in enumerate(self.axes) if i not in self._mixed)

    def _weight_view(self) -> npt.NDArray[Any]:
        """The weights, float32 (consumers ..., taps ...); extent 1 where they do not depend on one."""
        assert self._flat is not None
        o = [(axis.consumers, axis.weight_consumer) if axis.weight_consumer else (1, 0) for axis in self.axes]
        t = [(a.taps, a.weight_tap) if i in self._mixed else (1, 0) for i, a in enumerate(self.axes)]
        return np.lib.stride_tricks.as_strided(
            self._flat[self.window.weight_offset :],
            [extent for extent, _ in (*o, *t)],
            [stride * self._flat.itemsize for _, stride in (*o, *t)],
            writeable=False,
        )

    def sums(self, ball: Ball) -> Sums:
        if not self.weighted:
            moved = None if ball.radius is None else self.fold(np.add, ball.radius)
            return Sums(self.fold(np.add, ball.value), self.fold(np.add, ball.magnitude), moved)
        # |sum of x| is not the sum of |x|: where terms are summed before they are weighted, sizes go their own way.
        apart = any(axis.taps > 1 for i, axis in enumerate(self.axes) if i not in self._mixed)
        terms = _Terms(ball.value, np.abs(ball.value) if apart else None, ball.radius)
        terms = terms.map(lambda x: self._fold(np.add, self._tensor(x), without=self._mixed))
        own = math.prod(a.consumers for a in self.axes if a.weight_consumer and not same_for_all(a))
        others = math.prod(a.consumers for a in self.axes if a.weight_consumer and same_for_all(a))
        taps = math.prod(self.axes[i].taps for i in self._mixed)
        alone = not self._mixed or (others == 1 and own > 1 and taps <= _TAP_BY_TAP)
        value, size, moved = (self._tap_by_tap if alone else self._as_matrices)(terms).map(self.spread_out)
        assert size is not None
        return Sums(value, size if moved is None else size + moved, moved)

    def _tap_by_tap(self, terms: _Terms) -> _Terms:
        """Element by element, one tap after the other: for consumers with weights of their own, and without taps."""
        view, rank = self._weight_view(), len(self.axes)
        if not self._mixed:
            return terms.weigh(np.multiply, view.astype(np.float64).reshape(view.shape[:rank]))
        places = [_places(self.axes[i]) for i in self._mixed]
        found: _Terms | None = None
        for taps in np.ndindex(*(len(p) for p in places)):
            at, to = ([slice(None)] * (1 + rank) for _ in range(2))
            tap = [0] * rank
            for i, place, t in zip(self._mixed, places, taps, strict=True):
                tap[i], (at[1 + i], to[1 + i]) = t, place[t]
            index: Any = (..., *tap)
            weights = view[index].astype(np.float64)
            weights = weights[tuple(s if k > 1 else slice(None) for s, k in zip(to[1:], weights.shape, strict=True))]
            parts = terms.map(lambda x, at=tuple(at): x[at]).weigh(np.multiply, weights)  # type: ignore[misc]
            if found is None:
                extents = [1 if same_for_all(axis) else axis.consumers for axis in self.axes]
                extents = [max(pair) for pair in zip(extents, view.shape[:rank], strict=True)]
                found = parts.map(lambda x, extents=extents: np.zeros((len(x), *extents)))  # type: ignore[misc]
            for total, part in zip(found, parts, strict=True):
                if total is not None and part is not None:
                    total[tuple(to)] += part
        assert found is not None
        return found

    def _as_matrices(self, terms: _Terms) -> _Terms:
        """As products of gathered terms (block of consumers, terms) and weights (terms, consumers of those terms)."""
        axes, rank, n = self.axes, len(self.axes), len(terms.value)
        many = [i for i in range(rank) if not same_for_all(axes[i])]
        own = [i for i in many if axes[i].weight_consumer]
        shared = [i for i in range(rank) if i not in many and axes[i].weight_consumer]
        free = [i for i in range(rank) if i not in own and i not in shared]
        view = self._weight_view()
        shape = [axes[i].consumers if i in many or i in shared else 1 for i in range(rank)]
        n_own, n_terms = math.prod(shape[i] for i in own), math.prod(view.shape[rank:])
        apart = (
            *(1 + 2 * i for i in own),
            0,
            *(1 + 2 * i for i in (*free, *shared)),
            *(2 + 2 * i for i in range(rank)),
        )
        back = np.argsort([*(1 + i for i in own), 0, *(1 + i for i in (*free, *shared))])
        found: _Terms | None = None
        for block, lo, hi in self._blocks(n):
            extent = [hi - lo if i == block else shape[i] for i in range(rank)]
            n_own = math.prod(extent[i] for i in own)
            index = tuple(slice(lo, hi) if i == block and i in own else slice(None) for i in range(rank))
            weights = view[index].transpose(*own, *range(rank, 2 * rank), *free, *shared).reshape(n_own, n_terms, -1)
            gathered = terms.map(
                lambda x, at=(block, lo, hi), m=n_own: self._gather(x, *at).transpose(apart).reshape(m, -1, n_terms)  # type: ignore[misc]
            )
            full = [*(extent[i] for i in own), n, *(extent[i] for i in (*free, *shared))]
            parts = _matrix_products(gathered, weights).map(lambda x, full=full: x.reshape(full).transpose(back))  # type: ignore[misc]
            if len(terms.value) and hi - lo == (axes[block].consumers if block >= 0 else 1):
                return parts
            if found is None:
                found = parts.map(lambda x: np.empty((n, *shape)))
            to = (*[slice(None)] * (1 + block), slice(lo, hi))
            for total, part in zip(found, parts, strict=True):
                if total is not None and part is not None:
                    total[to] = part
        assert found is not None
        return found

    # -- gathering --------------------------------------------------------------------------------------------------

    def _blocks(self, n: int) -> Iterator[tuple[int, int, int]]:
        """Blocks of consumers along their longest axis, so that their gathered terms are few: (axis, from, to).

        The axis is -1, for one block, where all consumers have the same terms.
        """
        counts = [1 if same_for_all(axis) else axis.consumers for axis in self.axes]
        longest = int(np.argmax(counts))
        taps = math.prod(self.axes[i].taps for i in self._mixed)
        step = max(1, TERMS * counts[longest] // max(1, n * math.prod(counts) * taps))
        for lo in range(0, counts[longest], step):
            yield longest if counts[longest] > 1 else -1, lo, min(lo + step, counts[longest])

    def _gather(self, x: Array, block: int, lo: int, hi: int) -> Array:
        """Terms along the mixed axes, for some of the consumers of one axis: (n, consumers, taps, consumers, ...).

        Other axes are as they are (they were folded). There is a 0 where an edge is missing.
        """
        axes = self.axes
        for i in sorted(range(len(axes)), key=lambda i: i != block):  # the block first: the rest is then less
            if i in self._mixed:
                x = _taken(x, 1 + i, axes[i], lo if i == block else 0, hi if i == block else axes[i].consumers)
            elif i == block:
                x = x[(*(slice(None) for _ in range(1 + i)), slice(lo, hi))]
        taps = [axis.taps if i in self._mixed else 1 for i, axis in enumerate(axes)]
        split = [extent for i, t in enumerate(taps) for extent in (x.shape[1 + i] // t, t)]
        return x.reshape(len(x), *split)

    def rows(self, x: Array) -> Array:
        """The terms, (n, consumers or 1 along each axis ..., terms); the port must be full."""
        x = self._tensor(x)
        for i, axis in enumerate(self.axes):
            x = _taken(x, 1 + i, axis, 0, axis.consumers)
        split = [extent for i, axis in enumerate(self.axes) for extent in (x.shape[1 + i] // axis.taps, axis.taps)]
        rank = len(self.axes)
        x = x.reshape(len(x), *split).transpose(0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2))
        return x.reshape(*x.shape[: 1 + rank], -1)


def prepare(graph: Graph, channel: Channel, *, summed: bool) -> Port:
    """A bundle ready for its group's rule: by its rule if it has one, unless weighted terms are folded one by one."""
    window = as_window(graph, channel) if summed or channel.weight is None else None
    return EdgePort(graph, channel) if window is None else WindowPort(graph, channel, window)


def as_window(graph: Graph, channel: Channel) -> Window | None:
    """The same edges and weights by a rule along each axis; None for bundles that have no rule."""
    n_src, n_dst = graph.groups[channel.src].size, graph.groups[channel.dst].size
    common: dict[str, Any] = {"src": channel.src, "dst": channel.dst, "port": channel.port, "weight": channel.weight}
    if isinstance(channel, Window):
        return channel
    if isinstance(channel, Dense):
        rows, columns, blocks = n_src // channel.blocks, n_dst // channel.blocks, channel.blocks
        matrix = Axis(rows, columns, taps=rows, stride=0, weight_tap=columns, weight_consumer=1)
        return Window(axes=(Axis(blocks, blocks), matrix), **common)
    if isinstance(channel, OneToOne):
        inner, length = 1, 1
        if channel.weight is not None:
            inner, length = channel.weight.inner, len(graph.params[channel.weight.name])
        outer = n_dst // (inner * length)
        return Window(axes=(Axis(outer, outer), Axis(length, length, weight_consumer=1), Axis(inner, inner)), **common)
    return None


def same_for_all(axis: Axis) -> bool:
    """Whether all consumers along an axis have edges from the same producers."""
    return axis.stride == 0 or axis.consumers == 1


def _is_identity(axis: Axis) -> bool:
    return axis.producers == axis.consumers and axis[2:7] == Axis(1, 1)[2:7]


def per_actor(graph: Graph, ref: Ref, size: int) -> Array:
    """A param as each actor reads it, float64 (size,)."""
    array = graph.params[ref.name].reshape(-1).astype(np.float64)
    repeated = np.broadcast_to(array[None, :, None], (size // (len(array) * ref.inner), len(array), ref.inner))
    return repeated.reshape(size)


def _weights_of(graph: Graph, channel: Channel, edges: Edges) -> Array:
    if channel.weight is None or edges.weight is None:
        return np.ones(len(edges.src))
    return graph.params[channel.weight.name].reshape(-1)[edges.weight].astype(np.float64)


def _matrix_products(terms: _Terms, weights: npt.NDArray[Any]) -> _Terms:
    """Terms (blocks, rows, terms) times weights, float32 (blocks, terms, columns), so many weights at a time."""
    found: _Terms | None = None
    step = max(1, min(_AT_ONCE, TERMS // max(1, weights.shape[0] * weights.shape[2])))
    for lo in range(0, weights.shape[1], step):
        part = terms.map(lambda x, lo=lo: x[..., lo : lo + step])  # type: ignore[misc]
        products = part.multiply(weights[:, lo : lo + step])
        if found is None:
            found = products
            continue
        for total, product in zip(found, products, strict=True):
            if total is not None and product is not None:
                total += product
    assert found is not None
    return found


def products(left: WindowPort, right: WindowPort, a: Array, b: Array) -> Array:
    """The sum of products of corresponding terms of two ports, of the same consumers: (n, n_dst).

    Where one port's terms do not depend on the consumer's place along one axis, and the other's not along another, they
    are gathered once and multiplied as matrices.
    """
    x, y = left.rows(a), right.rows(b)
    rank, n = x.ndim - 2, len(a)
    both = [i for i in range(1, 1 + rank) if x.shape[i] > 1 and y.shape[i] > 1]
    rows = [i for i in range(1, 1 + rank) if i not in both and y.shape[i] == 1]
    columns = [i for i in range(1, 1 + rank) if i not in both and i not in rows]
    if all(x.shape[i] == 1 for i in rows) and all(y.shape[i] == 1 for i in columns):
        return left.spread_out(np.einsum("...e,...e->...", x, y))
    order = (0, *both, *rows, *columns)
    extents = [max(x.shape[i], y.shape[i]) for i in order[1:]]
    x = x.transpose(*order, rank + 1).reshape(n, math.prod(x.shape[i] for i in both), -1, x.shape[-1])
    y = y.transpose(*order, rank + 1).reshape(n, math.prod(y.shape[i] for i in both), -1, y.shape[-1])
    found = (x @ y.transpose(0, 1, 3, 2)).reshape(n, *extents)
    return left.spread_out(found.transpose(np.argsort(order)))


def _places(axis: Axis) -> list[tuple[slice, slice]]:
    """Of each tap: the producers that it leads to, and the consumers that it leads there from."""
    if same_for_all(axis):
        row = axis.position()[0]
        return [(slice(p, p + 1), slice(0, 1)) if p >= 0 else (slice(0, 0), slice(0, 0)) for p in row.tolist()]
    found = []
    for at in axis.position().T:
        to = np.flatnonzero(at >= 0)
        found.append((_progression(at[to]), _progression(to)))
    return found


def _fold_axis(step: np.ufunc, x: Array, dim: int, axis: Axis) -> Array:
    """Fold a tensor along one dimension; extent 1 is left where all consumers get the same."""
    before: tuple[Any, ...] = (slice(None),) * dim
    if _is_identity(axis):
        return x
    if same_for_all(axis):
        row = axis.position()[0]
        at = _progression(row[row >= 0])
        same: Array = step.reduce(x[(*before, at)], axis=dim, keepdims=True, initial=_NEUTRAL[step])
        return same
    out = np.full((*x.shape[:dim], axis.consumers, *x.shape[dim + 1 :]), _NEUTRAL[step])
    if axis.taps <= axis.consumers:
        for at, to in _places(axis):
            out[(*before, to)] = step(out[(*before, to)], x[(*before, at)])
    else:
        for o, row in enumerate(axis.position()):
            at = _progression(row[row >= 0])
            out[(*before, o)] = step.reduce(x[(*before, at)], axis=dim, initial=_NEUTRAL[step])
    return out


def _taken(x: Array, dim: int, axis: Axis, lo: int, hi: int) -> Array:
    """Terms of the consumers ``lo`` to ``hi`` along one dimension, taps varying fastest; 0 where an edge is missing."""
    if same_for_all(axis):
        lo, hi = 0, 1
    at = axis._replace(consumers=hi - lo, pad=axis.pad - lo * axis.stride).position().reshape(-1)
    if len(at) == x.shape[dim] and np.array_equal(at, np.arange(len(at))):
        return x
    there = at >= 0
    if not there.any():
        return np.zeros((*x.shape[:dim], len(at), *x.shape[dim + 1 :]))
    first, last = int(at[there].min()), int(at.max())
    x = x[(*(slice(None) for _ in range(dim)), slice(first, last + 1))]
    if not there.all():
        zero = np.zeros((*x.shape[:dim], 1, *x.shape[dim + 1 :]))
        x = np.concatenate([x, zero], axis=dim)
    return np.take(x, np.where(there, at - first, last + 1 - first), axis=dim)


def _progression(numbers: IntArray) -> Any:
    """Numbers in equal steps, not negative, as an index: a slice where the steps are not 0."""
    if not len(numbers):
        return slice(0, 0)
    first, last = int(numbers[0]), int(numbers[-1])
    step = int(numbers[1]) - first if len(numbers) > 1 else 1
    if step == 0:
        return numbers
    stop = last + (1 if step > 0 else -1)
    return slice(first, stop if stop >= 0 else None, step)
