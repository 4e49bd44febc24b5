"""Activations along axes, which no neuron can compute alone."""

from __future__ import annotations

from collections.abc import Sequence

from graphsim.frontends.blocks.reduce import Over
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary
from graphsim.graph import Axis
from graphsim.graph.graph import Observed


def softmax(
    to: Builder, x: Tensor, axes: Sequence[int], *, suffix: str = "softmax", observes: Observed = "output"
) -> Tensor:
    """exp(x - max) / sum(exp(x - max))."""
    over = Over(x.shape, frozenset(axes))
    greatest = to.group("max", over.kept, suffix="max")
    over.down(to, x, greatest)
    exp = to.group("subtract", x.shape, suffix="exp", activation=Unary("exp"))
    to.one_to_one(x, exp, 0)
    over.up(to, greatest, exp, 1)
    total = to.group("sum", over.kept, suffix="sum")
    over.down(to, exp, total)
    y = to.group("divide", x.shape, suffix=suffix, observes=observes)
    to.one_to_one(exp, y, 0)
    over.up(to, total, y, 1)
    return Tensor(y.group, y.shape, classes=over.rows == 1 and x.size > 1)


def log_softmax(to: Builder, x: Tensor, axes: Sequence[int]) -> Tensor:
    """(x - max) - log(sum(exp(x - max)))."""
    over = Over(x.shape, frozenset(axes))
    greatest = to.group("max", over.kept, suffix="max")
    over.down(to, x, greatest)
    shifted = to.group("subtract", x.shape, suffix="shift")
    to.one_to_one(x, shifted, 0)
    over.up(to, greatest, shifted, 1)
    exp = to.group("sum", x.shape, suffix="exp", activation=Unary("exp"))
    to.one_to_one(shifted, exp)
    total = to.group("sum", over.kept, suffix="log", activation=Unary("log"))
    over.down(to, exp, total)
    y = to.group("subtract", x.shape, suffix="log_softmax", observes="output")
    to.one_to_one(shifted, y, 0)
    over.up(to, total, y, 1)
    return Tensor(y.group, y.shape, classes=over.rows == 1 and x.size > 1)


def sparsemax(to: Builder, x: Tensor, axes: Sequence[int]) -> Tensor:
    """max(x - tau, 0), where tau makes the outputs sum to 1."""
    over = Over(x.shape, frozenset(axes))
    if not over.is_blocks:
        raise RefusedError("its sparsemax is not along the last axis")
    tau = to.group("sparsemax", over.kept, suffix="tau")
    over.down(to, x, tau)
    y = to.group("subtract", x.shape, suffix="sparsemax", activation=Unary("relu"), observes="output")
    to.one_to_one(x, y, 0)
    over.up(to, tau, y, 1)
    return y


def glu(to: Builder, x: Tensor, axis: int) -> Tensor:
    """a * sigmoid(b), where a and b are the halves of x along ``axis``."""
    if x.shape[axis] % 2:
        raise RefusedError(f"its glu halves an axis of odd size {x.shape[axis]}")
    half = tuple(size // 2 if i == axis else size for i, size in enumerate(x.shape))

    def part(number: int) -> list[Axis]:
        return [Axis(n, n // 2, pad=-number * n // 2) if i == axis else Axis(n, n) for i, n in enumerate(x.shape)]

    gate = to.group("sum", half, suffix="gate", activation=Unary("sigmoid"))
    to.window(x, gate, part(1))
    y = to.group("product", half, suffix="glu", observes="output")
    to.window(x, y, part(0))
    to.one_to_one(gate, y, 1)
    return y
