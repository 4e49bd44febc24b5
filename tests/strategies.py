"""Hypothesis strategies: random graphs that are valid by construction, small, and of every kind that engines meet.

``graphs()`` draws graphs with Dense (with blocks), OneToOne, Table and Csr bundles, weighted and not, groups with
several ports, reductions, softmax, shared params, biases and divisors per actor or per inner block, activations with
fixed and with per-actor arguments, several sources and sinks, and actors that nobody consumes; with ``windows=True``
also Window bundles (of any rule, in any layout of weights) and the ops dot, select and lookup. All rates are one to one
and there are no initial tokens unless ``rates=True``, which is for tests of structure: such a graph is valid, but
engines do not run it; those of ``recurrent()`` they do: parts of them fire several times, with feedback.

``samples(graph)`` draws inputs for it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from graphsim.graph import Axis, Channel, Csr, Dense, Graph, Group, OneToOne, Ref, Table, Window

#: Activations that keep finite values finite, with arguments (log, exp, roots and squares do not).
ACTIVATION_ARGS: dict[str, tuple[float, ...]] = {
    "linear": (),
    "relu": (),
    "clipped_relu": (0.1, 6.0, 0.5),
    "relu6": (),
    "leaky_relu": (0.25,),
    "elu": (1.5,),
    "selu": (),
    "celu": (0.75,),
    "gelu": (),
    "gelu_tanh": (),
    "sigmoid": (),
    "hard_sigmoid": (),
    "hard_sigmoid_v2": (),
    "tanh": (),
    "hard_tanh": (),
    "softplus": (),
    "softsign": (),
    "silu": (),
    "hard_silu": (),
    "mish": (),
    "log_sigmoid": (),
    "hard_shrink": (0.5,),
    "soft_shrink": (0.5,),
    "tanh_shrink": (),
    "threshold": (0.25, -1.0),
    "squareplus": (4.0,),
    "sparse_plus": (),
    "sparse_sigmoid": (),
    "abs": (),
    "negative": (),
    "clip": (-0.75, 2.0),
    "sign": (),
    "floor": (),
    "ceil": (),
    "round": (),
    "trunc": (),
    "sin": (),
    "cos": (),
    "erf": (),
    "zero": (),
    "nonzero": (),
    "positive": (),
    "nonnegative": (),
}
#: The other activations, with arguments.
OTHER_ARGS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("exp", "log", "square", "sqrt", "rsqrt", "reciprocal", "log1p", "expm1"), ()),
    "power": (2.5,),
}


class _Builder:
    """Grows a graph group by group; every method keeps it valid."""

    def __init__(self, draw: st.DrawFn, max_group: int, activations: Sequence[str], windows: bool) -> None:
        self.windows = windows
        self.draw, self.max_group, self.activations = draw, max_group, tuple(activations)
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
        self.groups: list[Group] = []
        self.channels: list[Channel] = []
        self.params: dict[str, npt.NDArray[np.generic]] = {}
        self.values: list[int] = []

    @property
    def actors(self) -> int:
        return sum(g.size for g in self.groups)

    def shape(self, *, most: int | None = None) -> tuple[int, ...]:
        limit = min(self.max_group, most or self.max_group)
        rank = self.draw(st.integers(0, 3), label="rank")
        shape: tuple[int, ...] = ()
        for _ in range(rank):
            shape += (self.draw(st.integers(1, max(1, limit)), label="extent"),)
            limit //= shape[-1]
        return shape

    def pick(self) -> int:
        """A group whose values may be consumed; later ones are likelier, so that graphs are deep."""
        return self.values[-1 - min(self.draw(st.integers(0, 3), label="back"), len(self.values) - 1)]

    def param(self, shape: tuple[int, ...]) -> str:
        """A float32 param: ordinary values, now and then zeros of both signs and equal ones; sometimes shared."""
        same = [k for k, v in self.params.items() if v.dtype == np.float32 and v.shape == shape]
        if same and self.draw(st.integers(0, 3), label="share") == 0:
            return self.draw(st.sampled_from(same), label="shared param")
        values = self.rng.normal(0.0, 1.0, shape).astype(np.float32)
        special = self.rng.random(shape)
        values[special < 0.05] = 0.0
        values[special < 0.02] = -0.0
        values[special > 0.97] = 1.0
        return self.add_param(values)

    def add_param(self, values: npt.NDArray[np.generic]) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = values
        return name

    def periodic(self, size: int, *, positive: bool = False) -> Ref:
        """A per-actor param that repeats evenly: some divisor of the size, some inner block."""
        inner = self.draw(st.sampled_from(_divisors(size)), label="inner")
        length = self.draw(st.sampled_from(_divisors(size // inner)), label="length")
        if positive:
            return Ref(self.add_param(self.rng.uniform(0.5, 2.0, length).astype(np.float32)), inner)
        return Ref(self.param((length,)), inner)

    def activation(self) -> tuple[str, tuple[float, ...]]:
        name = self.draw(st.sampled_from(self.activations), label="activation")
        return name, ACTIVATION_ARGS.get(name, ())

    def group(self, op: str, shape: tuple[int, ...], *, plain: bool = False) -> int:
        number = len(self.groups)
        params: dict[str, Ref] = {}
        activation, args = ("linear", ()) if plain else self.activation()
        size = int(np.prod(shape, dtype=int))
        if not plain:
            if self.draw(st.booleans(), label="bias"):
                params["bias"] = self.periodic(size)
            if self.draw(st.integers(0, 4), label="divisor") == 0:
                params["divisor"] = self.periodic(size, positive=True)
            if activation in ("leaky_relu", "elu", "squareplus") and self.draw(st.booleans(), label="alpha"):
                params["alpha"], args = self.periodic(size, positive=True), ()
        self.groups.append(
            Group(name=f"g{number}", op=op, shape=shape, activation=activation, activation_args=args, params=params)
        )
        return number

    def channel(self, src: int, dst: int, port: int, *, weighted: bool, single: bool = False) -> Channel:
        """A bundle of any kind; ``single``: with exactly one edge per consumer."""
        n_src, n_dst = self.groups[src].size, self.groups[dst].size
        kinds = ["table"] if single else ["dense", "dense", "table", "csr"]
        kinds += ["one_to_one"] * (n_src == n_dst) + ["dense"] * (single and n_src == 1)
        kinds += ["window"] * 3 * self.windows
        kind = self.draw(st.sampled_from(kinds), label="kind")
        if kind == "window":
            starved = port > 0 or self.groups[dst].op in ("linear", "sum")
            return self.window(src, dst, port, weighted=weighted, single=single, starved=starved)
        if kind == "one_to_one":
            return OneToOne(src=src, dst=dst, port=port, weight=self.periodic(n_dst) if weighted else None)
        if kind == "dense":
            blocks = self.draw(st.sampled_from([b for b in _divisors(n_src) if n_dst % b == 0]), label="blocks")
            shape = (n_src // blocks, n_dst // blocks)
            weight = Ref(self.param(shape)) if weighted else None
            return Dense(src=src, dst=dst, port=port, blocks=blocks, weight=weight)
        if kind == "table":
            k = 1 if single else self.draw(st.integers(1, 4), label="k")
            index = self.rng.integers(0, n_src, (n_dst, k)).astype(np.int32)
            weight = Ref(self.param(index.shape)) if weighted else None
            return Table(src=src, dst=dst, port=port, index=self.add_param(index), weight=weight)
        counts = self.rng.integers(0 if port else 1, 6, n_dst)  # port 0 gives every consumer an edge
        counts[-1] = max(counts[-1], 1)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        csr = self.rng.integers(0, n_src, int(indptr[-1])).astype(np.int32)
        weight = Ref(self.param(csr.shape)) if weighted else None
        return Csr(src=src, dst=dst, port=port, indptr=self.add_param(indptr), index=self.add_param(csr), weight=weight)

    def window(self, src: int, dst: int, port: int, *, weighted: bool, single: bool, starved: bool) -> Channel:
        """A window bundle, like a convolution's or any other.

        Args:
            single: with exactly one edge per consumer. starved: consumers may have no edge.
        """
        n_src, n_dst = self.groups[src].size, self.groups[dst].size
        draw = self.draw
        count = draw(st.integers(1, 3), label="axes")
        producers, consumers = (_split(draw, n, count) for n in (n_src, n_dst))
        axes = []
        for p, c in zip(producers, consumers, strict=True):
            kind = "single" if single else draw(st.sampled_from(["any", "all", "single", "slide"]), label="axis")
            if kind == "single":
                axes.append(self.single_axis(p, c))
            elif kind == "all":
                axes.append(Axis(p, c, taps=p, stride=0, pad=0))
            elif kind == "slide":
                taps = draw(st.integers(1, 3), label="taps")
                axes.append(
                    Axis(p, c, taps, max(1, p // c), draw(st.integers(1, 2)), 1, draw(st.integers(0, taps - 1)))
                )
            else:
                taps, base = draw(st.integers(1, 3), label="taps"), draw(st.integers(1, 2), label="base")
                stride, dilation = draw(st.integers(-1, 2), label="stride"), draw(st.sampled_from([-1, 0, 1, 2]))
                axes.append(Axis(p, c, taps, stride, dilation, base, draw(st.integers(-2, 2), label="pad")))
        order = tuple(draw(st.permutations(range(count)), label="order"))
        found = Window(src=src, dst=dst, port=port, axes=tuple(axes), order=order if order != (*range(count),) else ())
        least, most = found.fan_in_range(n_src, n_dst, {})
        if most < 1 or (least < 1 and not starved):
            axes = [self.single_axis(p, c) for p, c in zip(producers, consumers, strict=True)]
            found = dataclasses.replace(found, axes=tuple(axes))
        return self.with_kernel(found) if weighted else found

    def single_axis(self, producers: int, consumers: int) -> Axis:
        """One edge per consumer: an axis as it is, backwards, a slice, or a broadcast."""
        if producers < consumers:
            return Axis(producers, consumers, stride=0, pad=-self.draw(st.integers(0, producers - 1), label="chosen"))
        if self.draw(st.booleans(), label="backwards"):
            return Axis(producers, consumers, stride=-1, pad=1 - producers)
        return Axis(producers, consumers, pad=-self.draw(st.integers(0, producers - consumers), label="from"))

    def with_kernel(self, window: Window) -> Window:
        """Weights in some layout: of the taps, and of the consumers along some axes, in any order, some backwards."""
        strides = {(i, "weight_tap"): axis.taps for i, axis in enumerate(window.axes)}
        for i, axis in enumerate(window.axes):
            if self.draw(st.booleans(), label="weights differ"):
                strides[i, "weight_consumer"] = axis.consumers
        axes, step, offset = list(window.axes), 1, 0
        for i, role in self.draw(st.permutations(list(strides)), label="layout"):
            flipped = self.draw(st.integers(0, 4), label="flipped") == 0
            axes[i] = axes[i]._replace(**{role: -step if flipped else step})
            offset += (strides[i, role] - 1) * step if flipped else 0
            step *= strides[i, role]
        return dataclasses.replace(window, axes=tuple(axes), weight=Ref(self.param((step,))), weight_offset=offset)

    def dot(self) -> None:
        """Sums of products over two ports with as many edges: windows with equal taps, or dense blocks, or tables."""
        number = self.group("dot", self.shape(), plain=True)
        k = self.draw(st.integers(1, 4), label="k")
        for port in range(2):
            src = self.pick()
            n_src, n_dst = self.groups[src].size, self.groups[number].size
            if self.draw(st.booleans(), label="table"):
                index = self.rng.integers(0, n_src, (n_dst, k)).astype(np.int32)
                self.channels.append(Table(src=src, dst=number, port=port, index=self.add_param(index)))
            else:
                axes = (Axis(1, 1, k, stride=0, dilation=0), self.single_axis(n_src, n_dst))
                axes = axes if self.draw(st.booleans(), label="taps first") else axes[::-1]
                self.channels.append(Window(src=src, dst=number, port=port, axes=axes))
        self.values.append(number)

    def select(self) -> None:
        """A choice between two values per actor."""
        number = self.group("select", self.shape(), plain=True)
        for port in range(3):
            self.channels.append(self.channel(self.pick(), number, port, weighted=False, single=True))
        self.values.append(number)

    def lookup(self) -> None:
        """A table for all actors, or one for each of some; its input is now and then out of range, or no number."""
        number = self.group("lookup", self.shape(), plain=True)
        self.channels.append(self.channel(self.pick(), number, 0, weighted=False, single=True))
        size = self.groups[number].size
        inner = self.draw(st.sampled_from(_divisors(size)), label="inner")
        columns = self.draw(st.sampled_from(_divisors(size // inner)), label="columns")
        table = Ref(self.param((self.draw(st.integers(1, 4), label="entries"), columns)), inner)
        self.groups[number] = dataclasses.replace(self.groups[number], params={"table": table})
        self.values.append(number)

    def rated(self, channel: Channel) -> Channel:
        """A channel with rates that are consistent, some initial tokens and a token width."""
        draw, (src, dst) = self.draw, (self.groups[i].firings for i in (channel.src, channel.dst))
        tokens = math.lcm(src, dst) * draw(st.integers(1, 2))
        return dataclasses.replace(
            channel,
            produce=tokens // src,
            consume=tokens // dst,
            initial_tokens=draw(st.integers(0, 3)),
            token_bits=draw(st.sampled_from([1, 8, 32, 64])),
        )

    def source(self) -> None:
        number = len(self.groups)
        self.groups.append(Group(name=f"source{number}", op="source"))
        self.groups.append(Group(name=f"input{number}", op="input", shape=self.shape()))
        self.channels.append(Dense(src=number, dst=number + 1))
        self.values.append(number + 1)

    def fold(self) -> None:
        """A group whose op folds any number of inputs, on one to three ports."""
        op = self.draw(st.sampled_from(["linear", "linear", "linear", "sum", "mean", "max", "min"]), label="op")
        number = self.group(op, self.shape())
        for port in range(self.draw(st.integers(1, 3), label="ports")):
            weighted = self.draw(st.booleans(), label="weighted") if op != "linear" or port else True
            self.channels.append(self.channel(self.pick(), number, port, weighted=weighted))
        self.values.append(number)

    def pairwise(self) -> None:
        """One edge per port: a difference or a product (few factors, so that values stay finite)."""
        op = self.draw(st.sampled_from(["subtract", "product"]), label="op")
        number = self.group(op, self.shape())
        for port in range(2):
            self.channels.append(self.channel(self.pick(), number, port, weighted=False, single=True))
        self.values.append(number)

    def softmax(self) -> None:
        """A softmax over blocks of a group, or a sparsemax; both end in an elementwise op."""
        src = self.pick()
        shape, size = self.groups[src].shape, self.groups[src].size
        blocks = self.draw(st.sampled_from(_divisors(size)), label="blocks")
        if self.draw(st.integers(0, 2), label="sparsemax") == 0:
            tau = self.group("sparsemax", (blocks,), plain=True)
            last = self.group("subtract", shape, plain=True)
            self.groups[last] = dataclasses.replace(self.groups[last], activation="relu")
            self.channels += [
                Dense(src=src, dst=tau, blocks=blocks),
                OneToOne(src=src, dst=last),
                Dense(src=tau, dst=last, port=1, blocks=blocks),
            ]
            self.values.append(last)
            return
        top = self.group("max", (blocks,), plain=True)
        exp = self.group("subtract", shape, plain=True)
        self.groups[exp] = dataclasses.replace(self.groups[exp], activation="exp")
        total = self.group("sum", (blocks,), plain=True)
        last = self.group("divide", shape, plain=True)
        self.channels += [
            Dense(src=src, dst=top, blocks=blocks),
            OneToOne(src=src, dst=exp),
            Dense(src=top, dst=exp, port=1, blocks=blocks),
            Dense(src=exp, dst=total, blocks=blocks),
            OneToOne(src=exp, dst=last),
            Dense(src=total, dst=last, port=1, blocks=blocks),
        ]
        self.values.append(last)

    def recurrence(self, reset: bool) -> None:
        """A serial, groups that fire T times and feed each other back, and one or two takes."""
        draw, steps = self.draw, self.draw(st.integers(1, 4), label="steps")
        serial = self.serial(steps)
        region = [serial]
        first = len(self.groups)
        for _ in range(draw(st.integers(1, 3), label="groups that fire often")):
            op = draw(st.sampled_from(["linear", "linear", "sum", "max", "product"]), label="op")
            number = self.group(op, self.shape())
            self.groups[number] = dataclasses.replace(self.groups[number], firings=steps)
            src = draw(st.sampled_from(region), label="reads")
            one = self.channel(src, number, 0, weighted=op == "linear", single=op == "product")
            one = dataclasses.replace(one, produce=steps if src == serial else 1)
            # Now and then what it reads is late, though it comes from before.
            self.channels.append(self.state(one, reset) if draw(st.integers(0, 5), label="late") == 0 else one)
            region.append(number)
        for number in region[1:]:
            ports = 1
            for src in draw(st.lists(st.sampled_from(range(first, len(self.groups))), max_size=2), label="feedback"):
                product = self.groups[number].op == "product"
                one = self.channel(src, number, ports, weighted=False, single=product)
                self.channels.append(self.state(one, reset))
                ports += 1
        for src in draw(st.lists(st.sampled_from(region[1:]), min_size=1, max_size=2, unique=True), label="taken"):
            self.take(src, steps)
        late = {c.src for c in self.channels}
        for number in [n for n in region if n not in late]:
            self.take(number, steps)

    def serial(self, steps: int) -> int:
        src = self.pick()
        n_src, shape = self.groups[src].size, self.shape(most=6)
        size = int(np.prod(shape, dtype=int))
        number = self.group("serial", shape, plain=True)
        kind = self.draw(
            st.sampled_from(["table", "csr", *["window"] * (self.windows and n_src % steps == 0)]), label="kind"
        )
        into: Channel
        if kind == "window":  # along time, reversed or not, and all features to the first consumer, or as they are
            features, back = n_src // steps, self.draw(st.booleans(), label="backwards")
            self.groups[number] = dataclasses.replace(self.groups[number], shape=(features,))
            time = Axis(steps, 1, taps=steps, dilation=-1, pad=1 - steps) if back else Axis(steps, 1, taps=steps)
            into = Window(src=src, dst=number, axes=(time, Axis(features, features)))
        elif kind == "table":
            index = self.rng.integers(0, n_src, (size, steps)).astype(np.int32)
            into = Table(src=src, dst=number, index=self.add_param(index))
        else:
            indptr = np.arange(size + 1, dtype=np.int64) * steps
            csr = self.rng.integers(0, n_src, size * steps).astype(np.int32)
            into = Csr(src=src, dst=number, indptr=self.add_param(indptr), index=self.add_param(csr))
        self.channels.append(into)
        return number

    def take(self, src: int, steps: int) -> None:
        n_src = self.groups[src].size
        kind = self.draw(st.sampled_from(["table", "last", *["sequence"] * self.windows]), label="kind")
        shape = {"table": self.shape(), "last": self.groups[src].shape, "sequence": (steps, n_src)}[kind]
        number = self.group("take", shape, plain=True)
        size = self.groups[number].size
        into: Channel
        if kind == "sequence":
            axes = Axis(1, steps, stride=0), Axis(n_src, n_src)
            picks, into = (
                Ref(self.add_param(self.rng.permutation(steps).astype(np.int32)), n_src),
                Window(src=src, dst=number, axes=axes),
            )
        elif kind == "last":
            picks = Ref(self.add_param(np.array([steps - 1], np.int32)))
            into = OneToOne(src=src, dst=number)
        else:
            picks = Ref(self.add_param(self.rng.integers(0, steps, size).astype(np.int32)))
            index = self.rng.integers(0, n_src, (size, 1)).astype(np.int32)
            into = Table(src=src, dst=number, index=self.add_param(index))
        self.groups[number] = dataclasses.replace(self.groups[number], params={"pick": picks})
        self.channels.append(dataclasses.replace(into, consume=steps))
        self.values.append(number)

    def state(self, channel: Channel, reset: bool) -> Channel:
        """A channel with initial tokens, with a value of their own or +0."""
        initial = self.periodic(self.groups[channel.src].size) if self.draw(st.booleans(), label="initial") else None
        tokens = self.draw(st.sampled_from([1, 1, 1, 2, 5]), label="initial tokens")
        return dataclasses.replace(channel, initial_tokens=tokens, initial=initial, reset=reset)

    def sinks(self) -> None:
        """A sink for every group that nobody consumes."""
        fed = {c.src for c in self.channels}
        for number in [i for i in self.values if i not in fed]:
            sink = len(self.groups)
            op = self.draw(st.sampled_from(["argmax", "collect"]), label="sink")
            self.groups.append(Group(name=f"sink{sink}", op=op))
            self.channels.append(Dense(src=number, dst=sink))


def _split(draw: st.DrawFn, size: int, count: int) -> list[int]:
    """A size as a product of so many extents."""
    extents = []
    for _ in range(count - 1):
        extents.append(draw(st.sampled_from(_divisors(size)), label="extent"))
        size //= extents[-1]
    return [*extents, size]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


@st.composite
def graphs(
    draw: st.DrawFn,
    max_actors: int = 60,
    max_layers: int = 5,
    max_group: int = 12,
    activations: Sequence[str] = tuple(ACTIVATION_ARGS),
    rates: bool = False,
    windows: bool = False,
) -> Graph:
    """A random valid graph.

    Args:
        max_actors: no layer is added once the graph has this many (the last layer and the sinks may go beyond it).
        max_layers: layers between inputs and sinks; a softmax counts as one layer of four groups.
        max_group: actors per group.
        activations: names to draw from.
        windows: also draw window bundles, and the ops dot, select and lookup.
        rates: also draw production and consumption rates, initial tokens (on forward channels) and token widths.
    """
    b = _Builder(draw, max_group, activations, windows)
    for _ in range(draw(st.integers(1, 2), label="sources")):
        b.source()
    for _ in range(draw(st.integers(1, max_layers), label="layers")):
        if b.actors >= max_actors:
            break
        layers = [b.fold, b.fold, b.fold, b.pairwise, b.softmax] + [b.fold, b.dot, b.select, b.lookup] * windows
        draw(st.sampled_from(layers), label="layer")()
    b.sinks()
    channels = b.channels
    if rates:
        once = ("source", "input")
        b.groups = [g if g.op in once else dataclasses.replace(g, firings=draw(st.integers(1, 3))) for g in b.groups]
        channels = [c if b.groups[c.src].op == "source" else b.rated(c) for c in channels]
    notes = draw(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=2))
    return Graph("random", b.groups, channels, b.params, notes)


@st.composite
def recurrent(draw: st.DrawFn, max_actors: int = 60, reset: bool = True, windows: bool = True) -> Graph:
    """A random graph that engines run, of which some parts fire several times per sample.

    Args:
        max_actors: no layer is added once the graph has this many.
        reset: whether every sample starts from the initial tokens.
        windows: whether there may be window bundles.
    """
    b = _Builder(draw, 8, ("linear", "relu", "tanh", "sigmoid", "hard_tanh", "softsign"), windows)
    b.source()
    layers = draw(st.lists(st.sampled_from(["fold", "pairwise", "recurrence"]), max_size=2), label="layers")
    for layer in ["recurrence", *layers]:
        if b.actors < max_actors:
            b.recurrence(reset) if layer == "recurrence" else getattr(b, layer)()
    b.sinks()
    return Graph("recurrent", b.groups, b.channels, b.params)


@st.composite
def samples(draw: st.DrawFn, graph: Graph, n: int = 3) -> tuple[npt.NDArray[np.float32], ...]:
    """``n`` samples for each source of ``graph``, in source order: float32 (n, *input shape), with some zeros."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="sample seed"))
    arrays: list[npt.NDArray[np.float32]] = []
    for source in graph.sources:
        shape = (n, *graph.groups[graph.channels_from(source)[0].dst].shape)
        values = rng.normal(0.0, 1.0, shape).astype(np.float32)
        values[rng.random(shape) < 0.2] = 0.0
        arrays.append(values)
    return tuple(arrays)
