"""The innermost loops of weighted sums, written in LLVM IR through llvmlite, because they must stay in registers.

A tile is S samples x V vectors of neurons, each vector ``LANES`` neurons wide; its S * V accumulators are registers
for the whole loop over the terms. Every accumulator adds its terms one by one in channel order: one rounded multiply
and one rounded add per term, never fused (the instructions carry no fast-math flags), so lanes are neurons and
samples, never terms.

The functions here are Numba intrinsics. Addresses, byte counts and term counts are int64, data is float32, and no
address needs alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types as _types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic as _intrinsic

from graphsim.native import has

cgutils: Any = _cgutils
types: Any = _types
intrinsic: Callable[[Callable[..., Any]], Any] = _intrinsic

#: Neurons per vector: as wide as the CPU's registers.
LANES = 16 if has("avx512f") else 8
#: Neurons in the wide and in the narrow tile, and samples in a tall one.
WIDE = 8 * LANES
NARROW = 2 * LANES
TALL = 6
#: ``skip`` takes its terms in groups of this many.
UNROLL = 4

_I8, _I32, _I64, _FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR, _EIGHT = ir.VectorType(_FLOAT, LANES), ir.VectorType(_FLOAT, 8)
_BYTES = 4 * LANES


def _int(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    load = builder.load(builder.inttoptr(address, kind.as_pointer()))
    load.align = align
    return load


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, align: int) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def _splat(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    scalar = _load(builder, address, _FLOAT, 4)
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))


class _Tile:
    """S x V accumulators, loaded from rows of the output and stored there again."""

    def __init__(self, builder: ir.IRBuilder, samples: int, vectors: int, first: ir.Value, row: ir.Value) -> None:
        self.builder = builder
        rows = [builder.add(first, builder.mul(row, _int(s))) for s in range(samples)]
        self.at = [[builder.add(at, _int(v * _BYTES)) for v in range(vectors)] for at in rows]
        self.cells = [[cgutils.alloca_once(builder, _VECTOR) for _ in addresses] for addresses in self.at]
        for addresses, cells in zip(self.at, self.cells, strict=True):
            for address, cell in zip(addresses, cells, strict=True):
                builder.store(_load(builder, address, _VECTOR, 4), cell)

    def accumulate(self, x: list[ir.Value], weights: ir.Value) -> None:
        """One term: ``acc[s][v] += x[s] * weights[v]``, rounded twice."""
        b = self.builder
        row = [_load(b, b.add(weights, _int(v * _BYTES)), _VECTOR, 4) for v in range(len(self.cells[0]))]
        for value, cells in zip(x, self.cells, strict=True):
            for w, cell in zip(row, cells, strict=True):
                b.store(b.fadd(b.load(cell), b.fmul(value, w)), cell)

    def store(self) -> None:
        for addresses, cells in zip(self.at, self.cells, strict=True):
            for address, cell in zip(addresses, cells, strict=True):
                _store(self.builder, self.builder.load(cell), address, 4)


def _dense(samples: int, vectors: int) -> Any:
    def typed(context: Any, acc: Any, acc_row: Any, weights: Any, row: Any, x: Any, x_row: Any, count: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            acc, acc_row, weights, row, x, x_row, count = args
            tile = _Tile(builder, samples, vectors, acc, acc_row)
            rows = [builder.add(x, builder.mul(x_row, _int(s))) for s in range(samples)]
            with cgutils.for_range(builder, count) as loop:
                offset = builder.mul(loop.index, _int(4))
                values = [_splat(builder, builder.add(at, offset)) for at in rows]
                tile.accumulate(values, builder.add(weights, builder.mul(loop.index, row)))
            tile.store()
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), emit

    return intrinsic(typed)


#: ``dense(acc, acc_row, weights, row, x, x_row, count)``: TALL samples or one, ``count`` terms each. Samples' sums are
#: ``acc_row`` bytes apart, their inputs ``x_row``; the weights of successive terms ``row``.
dense_tall, dense_wide, dense_narrow = (
    _dense(TALL, NARROW // LANES),
    _dense(1, WIDE // LANES),
    _dense(1, NARROW // LANES),
)


def _skip(vectors: int, unroll: int, number: ir.IntType) -> Any:
    def typed(context: Any, acc: Any, weights: Any, row: Any, values: Any, chosen: Any, count: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            acc, weights, row, values, chosen, count = args
            tile = _Tile(builder, 1, vectors, acc, _int(0))
            size = number.width // 8
            with cgutils.for_range(builder, builder.udiv(count, _int(unroll))) as loop:
                for i in range(unroll):
                    at = builder.add(builder.mul(loop.index, _int(unroll)), _int(i))
                    where = builder.add(chosen, builder.mul(at, _int(size)))
                    term = builder.zext(_load(builder, where, number, size), _I64)
                    value = _splat(builder, builder.add(values, builder.mul(at, _int(4))))
                    tile.accumulate([value], builder.add(weights, builder.mul(term, row)))
            tile.store()
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), emit

    return intrinsic(typed)


#: ``skip(acc, weights, row, values, chosen, count)``: one sample, ``count`` terms (a multiple of UNROLL): the e-th is
#: ``values[e]`` times row ``chosen[e]`` (a byte) of the weights.
skip_wide, skip_narrow = _skip(WIDE // LANES, UNROLL, _I8), _skip(NARROW // LANES, UNROLL, _I8)
#: The same with numbers of four bytes, and any ``count``.
list_narrow = _skip(NARROW // LANES, 1, _I32)


@intrinsic
def compress8(context: Any, x: Any, first: Any, values: Any, chosen: Any) -> Any:
    """``compress8(x, first, values, chosen) -> n``: those of 8 floats that are not zero, in order, and their numbers.

    Writes 8 floats at ``values`` and 8 bytes (numbers counted from ``first``) at ``chosen``; of each, n count. NaN is
    not zero; -0 is.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        x, first, values, chosen = args
        loaded = _load(builder, x, _EIGHT, 4)
        nonzero = builder.fcmp_unordered("!=", loaded, ir.Constant(_EIGHT, [0.0] * 8))
        mask = builder.zext(builder.bitcast(nonzero, _I8), _I64)
        numbers = _lookup(builder, "graphsim_numbers", _NUMBERS, mask)
        _store(builder, builder.add(numbers, builder.mul(first, _int(0x0101010101010101))), chosen, 1)
        if has("avx2"):
            order = _lookup(builder, "graphsim_order", _ORDER, mask)
            kind = ir.FunctionType(_EIGHT, [_EIGHT, order.type])
            permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.permps")
            _store(builder, builder.call(permute, [loaded, order]), values, 4)
        else:
            place = _int(0)
            for i in range(8):
                lane = ir.Constant(_I32, i)
                at = builder.add(values, builder.mul(place, _int(4)))
                _store(builder, builder.extract_element(loaded, lane), at, 4)
                place = builder.add(place, builder.zext(builder.extract_element(nonzero, lane), _I64))
        return builder.ctpop(mask)

    return types.int64(*[types.int64] * 4), emit


def _lookup(builder: ir.IRBuilder, name: str, table: list[ir.Constant], at: ir.Value) -> ir.Value:
    constant = ir.Constant(ir.ArrayType(table[0].type, len(table)), table)
    return builder.load(builder.gep(cgutils.global_constant(builder.module, name, constant), [_int(0), at]))


_CHOSEN = [[i for i in range(8) if mask >> i & 1] for mask in range(256)]
#: By the mask of the floats that are not zero: their numbers, as 8 bytes and as 8 integers, padded with zeros.
_NUMBERS = [_int(int.from_bytes(bytes(chosen).ljust(8, b"\0"), "little")) for chosen in _CHOSEN]
_ORDER = [ir.Constant(ir.VectorType(_I32, 8), chosen + [0] * (8 - len(chosen))) for chosen in _CHOSEN]


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """``pointer(address)``: an address as a pointer, for ``numba.carray``."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit


@intrinsic
def add_atomic(context: Any, address: Any, value: Any) -> Any:
    """``add_atomic(address, value)``: add to an int64 that other threads add to; what it was comes back."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.atomic_rmw("add", builder.inttoptr(args[0], _I64.as_pointer()), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), emit


@intrinsic
def call0(context: Any, address: Any) -> Any:
    """``call0(address)``: call a native function without arguments; what comes back is dropped."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        builder.call(builder.inttoptr(args[0], ir.FunctionType(_I32, []).as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), emit


def _call(parameters: int, result: Any) -> Any:
    """An intrinsic that calls a native function through its address with int64 arguments."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = ir.FunctionType(ir.VoidType() if result == types.void else _I64, [_I64] * parameters)
        arguments = cgutils.unpack_tuple(builder, args[1], parameters)
        value = builder.call(builder.inttoptr(args[0], kind.as_pointer()), arguments)
        return context.get_dummy_value() if result == types.void else value

    def typed(context: Any, function: Any, arguments: Any) -> Any:
        return result(types.int64, types.UniTuple(types.int64, parameters)), emit

    return intrinsic(typed)


#: ``call4(address, (a, b, c, d))`` and so on; nothing comes back but, from ``ask5`` and so on, an int64.
call4, call5, call6, call8 = (_call(parameters, types.void) for parameters in (4, 5, 6, 8))
ask5, ask8, ask10 = (_call(parameters, types.int64) for parameters in (5, 8, 10))
