"""Random graphs with window bundles, the ops dot, select and lookup, and actors without edges."""

from __future__ import annotations

import itertools
import math

from hypothesis import strategies as st
from strategies import _Builder

from graphsim.graph import Axis, Graph, Group, Ref, Window


class _Windows(_Builder):
    """A builder that also knows windows."""

    def window(self, src: int, shape: tuple[int, ...], port: int, weighted: bool) -> Window:
        """Any window from a group to the next one, of this shape; consumer 0 has an edge."""
        size = self.groups[src].size
        consumers = list(shape) or [1]
        producers = [1] * len(consumers)
        for i in range(len(consumers)):
            rest = size // math.prod(producers[:i])
            producers[i] = (
                rest if i == len(consumers) - 1 else self.draw(st.sampled_from(_divisors(rest)), label="extent")
            )
        axes = []
        for n, m in zip(producers, consumers, strict=True):
            kind = self.draw(st.sampled_from(["whole", "slide", "slide", "any"]), label="axis")
            strides = self.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)), label="weights")
            if kind == "whole":
                axes.append(Axis(n, m, n, 0, 1, 1, 0, *strides))
            elif kind == "slide":
                taps = self.draw(st.integers(1, 3), label="taps")
                axes.append(Axis(n, m, taps, self.draw(st.integers(0, 2)), 1, 1, taps // 2, *strides))
            else:
                step = st.integers(-2, 2)
                taps, base = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 2))
                axes.append(Axis(n, m, taps, self.draw(step), self.draw(step), base, self.draw(step), *strides))
        order = self.draw(st.sampled_from([(), *itertools.permutations(range(len(axes)))]), label="order")
        weight = None
        if weighted:
            most = sum(a.weight_tap * (a.taps - 1) + a.weight_consumer * (a.consumers - 1) for a in axes)
            weight = Ref(self.param((most + 1,)))
        return Window(src=src, dst=len(self.groups), port=port, axes=tuple(axes), order=order, weight=weight)

    def windowed(self) -> None:
        """A group whose ports are windows; where one might leave an actor without edges, the op can do without."""
        shape = self.shape()
        ports = [
            self.window(self.pick(), shape, p, self.draw(st.booleans())) for p in range(self.draw(st.integers(1, 2)))
        ]
        size = math.prod(shape)
        ranges = [c.fan_in_range(self.groups[c.src].size, size, self.params) for c in ports]
        ports = [c for c, (_, most) in zip(ports, ranges, strict=True) if most]
        if not ports:
            return
        ops = ["linear", "linear", "sum"]
        if any(least and most for least, most in ranges):
            ops += ["max", "mean"]
        number = self.group(self.draw(st.sampled_from(ops), label="op"), shape)
        for port, c in enumerate(ports):
            self.channels.append(Window(**{**_fields(c), "port": port}))
        self.values.append(number)

    def dot(self) -> None:
        """Products of two ports of equal fan-in: the rows of one matrix by those of another."""
        shape, inner = self.shape(most=4), self.draw(st.integers(1, 3))
        size = math.prod(shape)
        number = len(self.groups)
        sides = []
        for port in range(2):
            src = self.pick()
            n = self.groups[src].size
            stride = self.draw(st.integers(0, 1))
            if (size - 1) * stride + inner > n:
                stride, inner = 0, min(inner, n)
            sides.append((src, n, stride, port))
        inner = min([inner, *(n for _, n, _, _ in sides)])
        self.group("dot", shape, plain=True)
        for src, n, stride, port in sides:
            self.channels.append(Window(src=src, dst=number, port=port, axes=(Axis(n, size, inner, stride),)))
        self.values.append(number)

    def select(self) -> None:
        """One of two values, chosen by a third."""
        number = self.group("select", self.shape(), plain=True)
        for port in range(3):
            self.channels.append(self.channel(self.pick(), number, port, weighted=False, single=True))
        self.values.append(number)

    def lookup(self) -> None:
        """A column of a table per actor, or shared by several."""
        number = self.group("lookup", self.shape(), plain=True)
        size = self.groups[number].size
        inner = self.draw(st.sampled_from(_divisors(size)))
        columns = self.draw(st.sampled_from(_divisors(size // inner)))
        table = self.param((self.draw(st.integers(1, 4)), columns))
        old = self.groups[number]
        self.groups[number] = Group(name=old.name, op="lookup", shape=old.shape, params={"table": Ref(table, inner)})
        self.channels.append(self.channel(self.pick(), number, 0, weighted=False, single=True))
        self.values.append(number)


def _fields(c: Window) -> dict[str, object]:
    return {k: v for k, v in vars(c).items() if k in Window.__dataclass_fields__}


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


@st.composite
def window_graphs(draw: st.DrawFn, max_actors: int = 60, max_layers: int = 5, max_group: int = 12) -> Graph:
    """A random valid graph; most layers are read through windows."""
    b = _Windows(draw, max_group, ("linear", "relu", "sigmoid", "leaky_relu"))
    for _ in range(draw(st.integers(1, 2), label="sources")):
        b.source()
    layers = {"fold": b.fold, "softmax": b.softmax, "windowed": b.windowed, "dot": b.dot}
    layers |= {"select": b.select, "lookup": b.lookup}
    for _ in range(draw(st.integers(1, max_layers), label="layers")):
        if b.actors >= max_actors:
            break
        layers[draw(st.sampled_from(["windowed", "windowed", "windowed", *layers]), label="layer")]()
    b.sinks()
    return Graph("windows", b.groups, b.channels, b.params)
