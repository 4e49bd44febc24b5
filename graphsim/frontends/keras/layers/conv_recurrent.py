"""Recurrent layers whose gates are convolutions: ConvLSTM1D, ConvLSTM2D, ConvLSTM3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from graphsim.frontends.blocks.conv import Kernel
from graphsim.frontends.blocks.conv_recurrent import ConvGate
from graphsim.frontends.blocks.recurrent import Cell, LstmCell
from graphsim.frontends.blocks.spatial import Slide, along, sliding
from graphsim.frontends.builder import Builder, FloatArray, RefusedError, Stored, Tensor, Weight
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.recurrent import CellRule, Kind, function_of, recurrent
from graphsim.frontends.keras.layers.windows import channel_axis, channels_first, padding, slides
from graphsim.frontends.keras.semantics import Semantics

#: Gates in the order in which their kernels are stored.
_GATES = "ifco"


def _part(to: Builder, weight: Weight, number: int, filters: int) -> Stored:
    """One gate's share of a weight: so many of the last axis."""

    def cut(of: Callable[[Weight], FloatArray]) -> FloatArray:
        return of(weight)[..., number * filters : (number + 1) * filters].copy()

    name = f"{weight.part}/{weight.name}.{_GATES[number]}"
    return Stored(to.derive(name, cut), (*weight.shape[:-1], filters))


def _cell_of(rank: int) -> Callable[[Fields, Semantics], CellRule]:
    def rule(fields: Fields, semantics: Semantics) -> CellRule:
        if semantics.major == 1 or semantics.backend == "theano":
            raise RefusedError("recurrent convolutions by Keras 1, or on Theano, are not lowered")
        filters, first = fields.size("filters"), channels_first(fields)
        windows, name = slides(fields, rank), padding(fields)
        has_bias = fields.flag("use_bias", default=True)
        activation = function_of(fields, semantics, "activation")
        inner = function_of(fields, semantics, "recurrent_activation")

        def make(to: Builder, shape: Sequence[int], rows: int, part: str) -> Cell:
            step = Tensor(-1, tuple(shape))
            at = channel_axis(step, rank, first)
            taps = [window.taps for window in windows]
            kernel = to.weight("kernel", [*taps, step.shape[at], len(_GATES) * filters], part=part)
            of_state = to.weight("recurrent_kernel", [*taps, filters, len(_GATES) * filters], part=part)
            bias = to.weight("bias", [len(_GATES) * filters], part=part) if has_bias else None
            axes = along(step, at, [partial(sliding, slide=window, padding=name) for window in windows])
            image = Tensor(-1, tuple(filters if i == at else axis.consumers for i, axis in enumerate(axes)))
            around = along(image, at, [partial(sliding, slide=Slide(n), padding="same") for n in taps])
            i, f, c, o = (
                ConvGate(
                    _kernel(_part(to, kernel, number, filters)),
                    _kernel(_part(to, of_state, number, filters)),
                    axes,
                    around,
                    at,
                    None if bias is None else _part(to, bias, number, filters),
                    rows,
                )
                for number in range(len(_GATES))
            )
            return LstmCell(i, f, c, o, activation, inner)

        return make

    return rule


def _kernel(stored: Stored) -> Kernel:
    rank = len(stored.shape) - 2
    return Kernel(stored, stored.shape, takes=rank, gives=rank + 1)


for _rank in (1, 2, 3):
    recurrent(f"ConvLSTM{_rank}D", Kind(_cell_of(_rank), _rank))
