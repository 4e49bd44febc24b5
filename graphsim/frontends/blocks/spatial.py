"""How a window slides along one axis of a tensor: what convolutions, pooling, padding and cropping share.

Each function gives an :class:`~graphsim.graph.window.Axis` without weights; its ``consumers`` are the output's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from graphsim.frontends.builder import RefusedError, Tensor
from graphsim.graph import Axis

Padding = Literal["valid", "same", "causal"]


class Slide(NamedTuple):
    """A window along one axis: of ``taps`` elements ``dilation`` apart, moved by ``stride``."""

    taps: int
    stride: int = 1
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Elements from the window's first to its last."""
        return (self.taps - 1) * self.dilation + 1


def padded(size: int, slide: Slide, before: int, after: int) -> Axis:
    """A window over an axis with so many elements of padding (none are made: there, edges are missing).

    Raises:
        RefusedError: the window does not fit into the padded axis.
    """
    room = size + before + after
    if room < slide.reach:
        raise RefusedError(f"its window reaches over {slide.reach} elements, and its input has {room} along that axis")
    out = (room - slide.reach) // slide.stride + 1
    return Axis(size, out, slide.taps, stride=slide.stride, dilation=slide.dilation, pad=before)


def sliding(size: int, slide: Slide, padding: Padding) -> Axis:
    """A window with padding by name, as TensorFlow defines it.

    "same" makes ceil(size / stride) outputs and pads by what that needs, the odd element behind; "causal" pads in front
    so that no output sees what comes after it.
    """
    match padding:
        case "valid":
            return padded(size, slide, 0, 0)
        case "causal":
            return padded(size, slide, slide.reach - 1, 0)
    total = same_padding(-(-size // slide.stride), size, slide)
    return padded(size, slide, total // 2, total - total // 2)


def same_padding(few: int, many: int, slide: Slide) -> int:
    """How much padding "same" needs in all for ``few`` outputs of a window over ``many`` inputs."""
    return max((few - 1) * slide.stride + slide.reach - many, 0)


def transposed(size: int, slide: Slide, out: int, before: int) -> Axis:
    """The transpose of a window over ``out`` elements, ``before`` of padding in front, that has ``size`` positions.

    Output p has an edge for tap t from input i where i stride + t dilation - before = p.
    """
    return Axis(size, out, slide.taps, dilation=-slide.dilation, base=slide.stride, pad=-before)


def along(x: Tensor, channels: int, axes: Sequence[Callable[[int], Axis]]) -> list[Axis]:
    """The given rules on the spatial axes of ``x``; its channels, axis number ``channels``, stay as they are.

    Raises:
        RefusedError: the number of axes does not fit.
    """
    if len(x.shape) != len(axes) + 1:
        raise RefusedError(f"its input has shape {x.shape}; it takes {len(axes)} spatial axes and channels")
    spatial = iter(axes)
    return [Axis(size, size) if i == channels else next(spatial)(size) for i, size in enumerate(x.shape)]
