"""Recurrent layers whose gates are convolutions: ConvLSTM1D, ConvLSTM2D, ConvLSTM3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from graphsim.frontends.blocks.conv import Kernel
from graphsim.frontends.blocks.conv_recurrent import ConvGate
from graphsim.frontends.blocks.recurrent import LstmCell, recur
from graphsim.frontends.blocks.spatial import Slide, along, sliding
from graphsim.frontends.builder import Builder, FloatArray, RefusedError, Stored, Tensor, Weight
from graphsim.frontends.keras.fields import Fields
from graphsim.frontends.keras.layers.recurrent import arguments, function_of, masked_of
from graphsim.frontends.keras.layers.registry import Calling, Given, calls
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


def _rule(rank: int) -> Callable[[Fields, Semantics], Calling]:
    def rule(fields: Fields, semantics: Semantics) -> Calling:
        if semantics.major == 1 or semantics.backend == "theano":
            raise RefusedError("recurrent convolutions by Keras 1, or on Theano, are not lowered")
        filters, first = fields.size("filters"), channels_first(fields)
        windows, name = slides(fields, rank), padding(fields)
        has_bias = fields.flag("use_bias", default=True)
        activation = function_of(fields, semantics, "activation")
        inner = function_of(fields, semantics, "recurrent_activation")
        masked = masked_of(fields, semantics)
        sequences, states = (fields.flag(key, default=False) for key in ("return_sequences", "return_state"))
        carries, backwards = (fields.flag(key, default=False) for key in ("stateful", "go_backwards"))

        def gates(to: Builder, shape: Sequence[int]) -> list[ConvGate]:
            step = Tensor(-1, tuple(shape))
            at = channel_axis(step, rank, first)
            taps = [window.taps for window in windows]
            kernel = to.weight("kernel", [*taps, step.shape[at], len(_GATES) * filters], part="cell")
            recurrent = to.weight("recurrent_kernel", [*taps, filters, len(_GATES) * filters], part="cell")
            bias = to.weight("bias", [len(_GATES) * filters], part="cell") if has_bias else None
            axes = along(step, at, [partial(sliding, slide=window, padding=name) for window in windows])
            image = Tensor(-1, tuple(filters if i == at else axis.consumers for i, axis in enumerate(axes)))
            around = along(image, at, [partial(sliding, slide=Slide(n), padding="same") for n in taps])
            return [
                ConvGate(
                    _kernel(_part(to, kernel, number, filters)),
                    _kernel(_part(to, recurrent, number, filters)),
                    axes,
                    around,
                    at,
                    None if bias is None else _part(to, bias, number, filters),
                )
                for number in range(len(_GATES))
            ]

        def build(to: Builder, given: Given) -> Sequence[Tensor]:
            x, mask, initial = arguments(given)
            if to.firings != 1:
                raise RefusedError("it is a recurrent convolution for every step of another layer")
            if len(x.shape) != rank + 2:
                raise to.error(f"takes steps of {rank} axes and channels; its input has shape {x.shape}")
            if mask is not None and mask.shape != x.shape[:1]:
                raise RefusedError(f"its mask has shape {mask.shape}, not one value for each of {x.shape[0]} steps")
            i, f, c, o = gates(to, x.shape[1:])
            cell = LstmCell(i, f, c, o, activation, inner)
            if initial and [tensor.shape for tensor in initial] != list(cell.shapes):
                shapes = ", ".join(str(tensor.shape) for tensor in initial)
                raise to.error(f"has states of shape {cell.shapes[0]}; it is called with ones of {shapes}")
            if carries:
                to.notes["stateful"] = "states are carried from sample to sample, as Keras does with batches of one"
            output, last = recur(
                to,
                x,
                cell,
                backwards=backwards,
                initial=initial or None,
                mask=mask,
                masked=masked,
                carries=carries,
                sequences=sequences,
            )
            y = replace(output, mask=mask) if sequences else to.last(output, "output")
            return [y, *(map(to.last, last) if states else ())]

        return build

    return rule


def _kernel(stored: Stored) -> Kernel:
    rank = len(stored.shape) - 2
    return Kernel(stored, stored.shape, takes=rank, gives=rank + 1)


for _rank in (1, 2, 3):
    calls(f"ConvLSTM{_rank}D", steps=True)(_rule(_rank))
