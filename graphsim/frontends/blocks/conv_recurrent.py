"""Recurrent cells whose gates are convolutions, of the step and of the state: states are images, one per channel.

Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", 2015 (arXiv
1506.04214), without its peepholes, as Keras computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphsim.frontends.blocks.conv import Kernel, convolution, weighted_axes
from graphsim.frontends.blocks.recurrent import Function, State, along
from graphsim.frontends.builder import LINEAR, Builder, Stored, Tensor, Unary, Weight
from graphsim.graph import Axis, Ref, Window
from graphsim.graph.graph import Observed


@dataclass(frozen=True)
class ConvGate:
    """Two convolutions, their sum, a bias and an activation.

    Attributes:
        kernel, axes: of the step, and how its window slides over every axis.
        recurrent, around: of the state.
        channels: which axis is that of the channels.
        rows: of how many sequences side by side, whose number is an axis before all others; 0 for none.
    """

    kernel: Kernel
    recurrent: Kernel
    axes: Sequence[Axis]
    around: Sequence[Axis]
    channels: int
    bias: Stored | Weight | None = None
    rows: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(
            self.kernel.shape[self.kernel.gives] if i == self.channels else axis.consumers
            for i, axis in enumerate(self.axes)
        )

    def build(
        self,
        to: Builder,
        x: Tensor,
        state: State | Callable[[Tensor], None],
        function: Function,
        *,
        name: str = "",
        observes: Observed = "",
    ) -> Tensor:
        y = convolution(
            to,
            x,
            self.axes,
            self.kernel,
            channels=self.channels,
            bias=self.bias,
            activation=function if isinstance(function, Unary) else LINEAR,
            observes=observes if isinstance(function, Unary) else "",
            suffix=name,
            rows=self.rows,
        )
        if isinstance(state, State):
            self.recall(to, state, y, 1)
        else:
            state(y)
        return y if isinstance(function, Unary) else along(to, y, function, name)

    def read(self, to: Builder, x: Tensor, y: Tensor, port: int) -> None:
        axes, offset = self._recurrent_axes()
        to.window(x, y, axes, port, weight=self.recurrent.stored, weight_offset=offset)

    def recall(self, to: Builder, state: State, y: Tensor, port: int) -> None:
        axes, offset = self._recurrent_axes()
        weight = Ref(self.recurrent.stored.param)
        state.read(Window(src=y.group, dst=y.group, port=port, axes=tuple(axes), weight=weight, weight_offset=offset))

    def _recurrent_axes(self) -> tuple[list[Axis], int]:
        axes, offset = weighted_axes(self.shape, self.around, self.recurrent, channels=self.channels)
        return ([Axis(self.rows, self.rows)] if self.rows else []) + axes, offset
