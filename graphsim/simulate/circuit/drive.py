"""What feeds blocks of lanes to the code of a circuit and takes its outputs: native code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types as _types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic as _intrinsic

from graphsim.native import entry
from graphsim.simulate.circuit.code import BYTES, WORDS

cgutils: Any = _cgutils
types: Any = _types
intrinsic: Callable[[Callable[..., Any]], Any] = _intrinsic

#: Vectors that :func:`drive_staged` takes at a time.
STAGE = 4
_VECTOR = ir.VectorType(ir.IntType(64), WORDS)


@intrinsic
def call(context: Any, function: Any, *arguments: Any) -> Any:
    """``call(function, *arguments)``: call the code at an address with integers or addresses."""
    many = len(arguments[0]) if len(arguments) == 1 and hasattr(arguments[0], "types") else len(arguments)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        given = cgutils.unpack_tuple(builder, args[1]) if len(args) == 2 else args[1:]
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * many)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), given)
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, many)), emit


@intrinsic
def _move(context: Any, to: Any, source: Any) -> Any:
    """``_move(to, source)``: one vector from address to address."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        to, source = (builder.inttoptr(at, _VECTOR.as_pointer()) for at in args)
        loaded = builder.load(source)
        loaded.align = 8
        builder.store(loaded, to).align = 8
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@entry(
    "void(int64, int64, uint64[:,::1], int64, uint64[:,:,::1], uint64[:,:,::1], uint64[:,::1], int32[::1], int32[::1], "
    "int64, int64, int64)"
)
def drive(
    code: int,
    argument: int,
    frame: Any,
    frame_at: int,
    inputs: Any,
    outputs: Any,
    state: Any,
    shown: Any,
    following: Any,
    split: int,
    first: int,
    last: int,
) -> None:
    """Run all cycles of words ``first`` .. ``last - 1`` of all signals.

    Args:
        code, argument: address of a function (frame, argument, inputs, outputs); its inputs are where the frame begins.
        frame: uint64 (slots, words of a block): inputs first, then registers; behind all else once more the registers.
        frame_at: its address.
        inputs: uint64 (cycles, inputs, words).
        outputs: uint64 (cycles, outputs, words).
        state: uint64 (registers, words): of the registers, before and after.
        shown: int32 (outputs,): slot of each output.
        following: int32 (registers,): slot of what each register becomes.
        split: the slot from which on the code has its outputs.
    """
    cycles, ins = inputs.shape[0], inputs.shape[1]
    outs, registers, size = len(shown), len(following), frame.shape[1]
    row = size * 8
    spare = len(frame) - registers
    in_at, in_row, in_cycle = np.int64(inputs.ctypes.data), inputs.strides[1], inputs.strides[0]
    out_at, out_row, out_cycle = np.int64(outputs.ctypes.data), outputs.strides[1], outputs.strides[0]
    for word in range(first, last, size):
        many = min(size, last - word)
        whole = many == size
        for r in range(registers):
            for k in range(many):
                frame[ins + r, k] = state[r, word + k]
        for t in range(cycles):
            if row == BYTES and whole:
                for i in range(ins):
                    _move(frame_at + i * BYTES, in_at + t * in_cycle + 8 * word + i * in_row)
            elif whole:
                for i in range(ins):
                    for k in range(0, row, BYTES):
                        _move(frame_at + i * row + k, in_at + t * in_cycle + 8 * word + i * in_row + k)
            else:
                for i in range(ins):
                    for k in range(many):
                        frame[i, k] = inputs[t, i, word + k]
            call(code, frame_at, argument, frame_at, frame_at + split * row)
            if row == BYTES and whole:
                for j in range(outs):
                    _move(out_at + t * out_cycle + 8 * word + j * out_row, frame_at + shown[j] * BYTES)
            elif whole:
                for j in range(outs):
                    for k in range(0, row, BYTES):
                        _move(out_at + t * out_cycle + 8 * word + j * out_row + k, frame_at + shown[j] * row + k)
            else:
                for j in range(outs):
                    for k in range(many):
                        outputs[t, j, word + k] = frame[shown[j], k]
            for r in range(registers):
                for k in range(0, row, BYTES):
                    _move(frame_at + (spare + r) * row + k, frame_at + following[r] * row + k)
            for r in range(registers):
                for k in range(0, row, BYTES):
                    _move(frame_at + (ins + r) * row + k, frame_at + (spare + r) * row + k)
        for r in range(registers):
            for k in range(many):
                state[r, word + k] = frame[ins + r, k]


@entry("void(int64, int64, int64, int64, uint64[:,:,::1], uint64[:,:,::1], int32[::1], int64, int64, int64)")
def drive_staged(
    code: int,
    frame_at: int,
    ins_at: int,
    outs_at: int,
    inputs: Any,
    outputs: Any,
    shown: Any,
    split: int,
    first: int,
    last: int,
) -> None:
    """As :func:`drive`, for STAGE vectors at a time of a circuit without registers.

    Rows of signals are read and written several vectors on end, as rows that lie a power of two apart fall on the same
    few places of the caches. Inputs and outputs of the vectors are at ``ins_at`` and ``outs_at``, one vector's behind
    the other's. Shown slots are inputs, or from ``split`` on.
    """
    ins, outs = inputs.shape[1] * BYTES, len(shown) * BYTES
    in_at, in_row, in_cycle = np.int64(inputs.ctypes.data), inputs.strides[1], inputs.strides[0]
    out_at, out_row, out_cycle = np.int64(outputs.ctypes.data), outputs.strides[1], outputs.strides[0]
    for t in range(inputs.shape[0]):
        for word in range(first, last, STAGE * WORDS):
            source, target = in_at + t * in_cycle + 8 * word, out_at + t * out_cycle + 8 * word
            for at in range(ins_at, ins_at + ins, BYTES):
                for k in range(STAGE):
                    _move(at + k * ins, source + k * BYTES)
                source += in_row
            for k in range(STAGE):
                call(code, frame_at, 0, ins_at + k * ins, outs_at + k * outs)
            for j in range(len(shown)):
                at, step = outs_at + (shown[j] - split) * BYTES, outs
                if shown[j] < split:
                    at, step = ins_at + shown[j] * BYTES, ins
                for k in range(STAGE):
                    _move(target + k * BYTES, at + k * step)
                target += out_row
