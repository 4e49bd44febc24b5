"""Convolutions of every kind: one ``linear`` actor per output element, its taps by a window bundle, the kernel once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from graphsim.frontends.builder import LINEAR, Builder, RefusedError, Stored, Tensor, Unary, Weight
from graphsim.graph import Axis, Ref
from graphsim.graph.graph import Observed


class Kernel(NamedTuple):
    """A kernel in the layout in which it is stored.

    Attributes:
        stored: the param; its shape is read with C order.
        shape: as the convolution sees it; as many elements as ``stored`` has.
        takes, gives: axes of the input channels of one group, and of all output channels; the others are the taps of
            the spatial axes, in order.
        flipped: a true convolution: tap t meets the kernel's element behind t others from the end.
    """

    stored: Weight | Stored
    shape: tuple[int, ...]
    takes: int
    gives: int
    flipped: bool = False

    @property
    def steps(self) -> list[int]:
        """How far apart elements are along every axis of ``shape``."""
        return [math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]


def weighted_axes(
    shape: Sequence[int], axes: Sequence[Axis], kernel: Kernel, *, channels: int, groups: int = 1
) -> tuple[list[Axis], int]:
    """The axes of a convolution's bundle from a tensor of ``shape``, and its weight offset; see :func:`convolution`.

    Raises:
        RefusedError: channels, groups and kernel do not fit.
    """
    taken, given = kernel.shape[kernel.takes], kernel.shape[kernel.gives]
    if shape[channels] != taken * groups or given % groups:
        raise RefusedError(
            f"its kernel of shape {kernel.stored.shape} does not fit {shape[channels]} channels in {groups} groups"
        )
    steps = kernel.steps
    taps = iter(i for i in range(len(kernel.shape)) if i not in (kernel.takes, kernel.gives))
    offset = 0
    found: list[Axis] = []
    for number, axis in enumerate(axes):
        if number != channels:
            step = steps[next(taps)]
            if kernel.flipped:
                offset += (axis.taps - 1) * step
            found.append(axis._replace(weight_tap=-step if kernel.flipped else step))
            continue
        per_group = given // groups
        if groups > 1:
            found.append(Axis(groups, groups, weight_consumer=per_group * steps[kernel.gives]))
        channel = Axis(taken, per_group, taken, stride=0)
        found.append(channel._replace(weight_tap=steps[kernel.takes], weight_consumer=steps[kernel.gives]))
    return found, offset


def convolution(
    to: Builder,
    x: Tensor,
    axes: Sequence[Axis],
    kernel: Kernel,
    *,
    channels: int,
    groups: int = 1,
    bias: Weight | Stored | None = None,
    activation: Unary = LINEAR,
    observes: Observed = "",
    suffix: str = "",
    rows: int = 0,
) -> Tensor:
    """Windows over the spatial axes, over all channels of a group.

    Args:
        rows: of how many tensors side by side, whose number is an axis of ``x`` before all others; 0 for none.
        axes: for every axis of ``x``, as :func:`~graphsim.frontends.blocks.spatial.along` gives them; that of the
            channels, axis number ``channels``, is replaced.
        groups: into which input and output channels are divided; with as many as there are input channels, the
            convolution is depthwise.
        bias: of every output channel.

    Raises:
        RefusedError: channels, groups and kernel do not fit.
    """
    outer = (rows,) if rows else ()
    found, offset = weighted_axes(x.shape[len(outer) :], axes, kernel, channels=channels, groups=groups)
    given = kernel.shape[kernel.gives]
    shape = [given if i == channels else axis.consumers for i, axis in enumerate(axes)]
    inner = math.prod(shape[channels + 1 :])
    y = to.group(
        "linear",
        [*outer, *shape],
        suffix=suffix,
        activation=activation,
        params={"bias": None if bias is None else Ref(bias.param, inner)},
        observes=observes,
    )
    to.window(x, y, [*(Axis(n, n) for n in outer), *found], weight=kernel.stored, weight_offset=offset)
    return y
