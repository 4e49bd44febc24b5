"""Convolutional nets made by hand, with seeded random weights: what a frontend makes of them, as window bundles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from graphsim.graph import Axis, Channel, Dense, Graph, Group, OneToOne, Ref, Window


class Net:
    """Grows a graph layer by layer; a layer is the number of its group. Images are channels last."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.groups = [Group(name="source", op="source"), Group(name="input", op="input", shape=shape)]
        self.channels: list[Channel] = [Dense(src=0, dst=1)]
        self.params: dict[str, npt.NDArray[np.generic]] = {}

    def shape(self, x: int) -> tuple[int, ...]:
        return self.groups[x].shape

    def add(
        self, name: str, op: str, shape: tuple[int, ...], *into: Channel, act: str = "linear", bias: int = 0
    ) -> int:
        """A group, fed by these bundles; with ``bias`` elements of a bias that repeats over the actors."""
        params = {}
        number = len(self.groups)
        if bias:
            params["bias"] = Ref(f"{name}{number}/bias")
            self.params[params["bias"].name] = self.rng.normal(0, 0.1, bias).astype(np.float32)
        self.groups.append(Group(name=f"{name}{number}", op=op, shape=shape, activation=act, params=params))
        self.channels += into
        return number

    def weight(self, name: str, *shape: int) -> Ref:
        """A new param."""
        ref = Ref(f"{name}{len(self.groups)}/weight")
        self.params[ref.name] = self.rng.normal(0, math.prod(shape[:-1]) ** -0.5, shape).astype(np.float32)
        return ref

    def conv(
        self, x: int, filters: int, k: int = 3, stride: int = 1, *, act: str = "linear", valid: bool = False
    ) -> int:
        """A convolution with a bias, padding "same" unless ``valid``."""
        h, w, c = self.shape(x)
        rows, columns = (_axis(n, k, stride, valid, step * c * filters) for n, step in ((h, k), (w, 1)))
        axes = (rows, columns, Axis(c, filters, taps=c, stride=0, weight_tap=filters, weight_consumer=1))
        into = Window(src=x, dst=len(self.groups), axes=axes, weight=self.weight("conv", k, k, c, filters))
        return self.add("conv", "linear", (rows.consumers, columns.consumers, filters), into, act=act, bias=filters)

    def depthwise(self, x: int, k: int = 3, stride: int = 1) -> int:
        """A depthwise convolution without bias, padding "same"."""
        h, w, c = self.shape(x)
        rows, columns = (_axis(n, k, stride, False, step * c) for n, step in ((h, k), (w, 1)))
        axes = (rows, columns, Axis(c, c, weight_consumer=1))
        into = Window(src=x, dst=len(self.groups), axes=axes, weight=self.weight("depthwise", k, k, c))
        return self.add("depthwise", "linear", (rows.consumers, columns.consumers, c), into)

    def norm(self, x: int, act: str = "relu") -> int:
        """A batch normalisation: one weight and one bias per channel."""
        c = self.shape(x)[-1]
        into = OneToOne(src=x, dst=len(self.groups), weight=self.weight("norm", c))
        return self.add("norm", "linear", self.shape(x), into, act=act, bias=c)

    def pool(self, x: int, op: str = "max", k: int = 2) -> int:
        """Pooling without overlap."""
        h, w, c = self.shape(x)
        axes = (Axis(h, h // k, taps=k, stride=k), Axis(w, w // k, taps=k, stride=k), Axis(c, c))
        return self.add("pool", op, (h // k, w // k, c), Window(src=x, dst=len(self.groups), axes=axes))

    def average(self, x: int) -> int:
        """Global average pooling."""
        h, w, c = self.shape(x)
        axes = (Axis(h, 1, taps=h), Axis(w, 1, taps=w), Axis(c, c))
        return self.add("average", "mean", (c,), Window(src=x, dst=len(self.groups), axes=axes))

    def plus(self, x: int, y: int, act: str = "relu") -> int:
        """The sum of two layers."""
        here = len(self.groups)
        return self.add(
            "plus", "sum", self.shape(x), OneToOne(src=x, dst=here), OneToOne(src=y, dst=here, port=1), act=act
        )

    def dense(self, x: int, units: int, act: str = "linear") -> int:
        """A dense layer over all of a layer."""
        into = Dense(src=x, dst=len(self.groups), weight=self.weight("dense", self.groups[x].size, units))
        return self.add("dense", "linear", (units,), into, act=act, bias=units)

    def graph(self, x: int, name: str) -> Graph:
        """Softmax over the last layer, and a sink."""
        top = self.add("max", "max", (1,), Dense(src=x, dst=len(self.groups)))
        here = len(self.groups)
        exp = self.add(
            "exp", "subtract", self.shape(x), OneToOne(src=x, dst=here), Dense(src=top, dst=here, port=1), act="exp"
        )
        total = self.add("total", "sum", (1,), Dense(src=exp, dst=here + 1))
        last = [OneToOne(src=exp, dst=here + 2), Dense(src=total, dst=here + 2, port=1)]
        out = self.add("softmax", "divide", self.shape(x), *last)
        self.add("sink", "argmax", (), Dense(src=out, dst=len(self.groups)))
        return Graph(name, self.groups, self.channels, self.params)


def _axis(n: int, k: int, stride: int, valid: bool, weight_tap: int) -> Axis:
    """A spatial axis of a convolution, padded as TensorFlow pads "same"."""
    if valid:
        return Axis(n, (n - k) // stride + 1, taps=k, stride=stride, weight_tap=weight_tap)
    out = -(-n // stride)
    return Axis(n, out, taps=k, stride=stride, pad=max(0, (out - 1) * stride + k - n) // 2, weight_tap=weight_tap)


def lenet5() -> Graph:
    """LeNet-5 on 28x28: 6 and 16 filters of 5x5, average pooling, 120, 84, 10."""
    net = Net(28, 28, 1)
    x = net.pool(net.conv(1, 6, 5, act="tanh"), "mean")
    x = net.pool(net.conv(x, 16, 5, act="tanh", valid=True), "mean")
    return net.graph(net.dense(net.dense(net.dense(x, 120, "tanh"), 84, "tanh"), 10), "lenet5")


def resnet8() -> Graph:
    """The ResNet-8 of MLPerf Tiny (image classification): 32x32x3, three stacks of 16, 32, 64 channels, 12.5 M MACs."""
    net = Net(32, 32, 3)
    x = net.norm(net.conv(1, 16))
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = net.norm(net.conv(net.norm(net.conv(x, channels, 3, stride)), channels), "linear")
        x = net.plus(x if stride == 1 else net.conv(x, channels, 1, stride), y)
    return net.graph(net.dense(net.average(x), 10), "resnet8")


def mobilenet(size: int = 96, width: float = 0.25, classes: int = 2) -> Graph:
    """MobileNetV1; as it stands the one of MLPerf Tiny (visual wake words): 96x96x3, width 1/4, 7.5 M MACs."""
    net = Net(size, size, 3)
    scaled: Callable[[int], int] = lambda c: int(c * width)  # noqa: E731
    x = net.norm(net.conv(1, scaled(32), 3, 2))
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in blocks:
        x = net.norm(net.depthwise(x, 3, stride))
        x = net.norm(net.conv(x, scaled(channels), 1))
    return net.graph(net.dense(net.average(x), classes), "mobilenet")
