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
#: Neurons in the wide and in the narrow tile; samples in a tall one.
WIDE = 8 * LANES
NARROW = 2 * LANES
TALL = 6
#: Floats that ``compress`` takes at a time.
PACK = 16 if has("avx512vbmi2") else 8

_I8, _I32, _I64, _FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR, _PACKED = ir.VectorType(_FLOAT, LANES), ir.VectorType(_FLOAT, PACK)
_BYTES = 4 * LANES


def _int(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    load = builder.load(builder.inttoptr(address, kind.as_pointer()))
    load.align = align
    return load


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, align: int) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def _splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    kind = ir.VectorType(scalar.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))


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

    def accumulate(self, x: list[list[ir.Value]], weights: ir.Value) -> None:
        """One term: ``acc[s][v] += x[s] * weights[v]``, rounded twice; x has one copy of each value, or V."""
        b = self.builder
        row = [_load(b, b.add(weights, _int(v * _BYTES)), _VECTOR, 4) for v in range(len(self.cells[0]))]
        for copies, cells in zip(x, self.cells, strict=True):
            splats = [_splat(b, value, LANES) for value in copies]
            for v, (w, cell) in enumerate(zip(row, cells, strict=True)):
                b.store(b.fadd(b.load(cell), b.fmul(splats[v % len(splats)], w)), cell)

    def store(self) -> None:
        for addresses, cells in zip(self.at, self.cells, strict=True):
            for address, cell in zip(addresses, cells, strict=True):
                _store(self.builder, self.builder.load(cell), address, 4)


def _disguised(builder: ir.IRBuilder, address: ir.Value, copies: int) -> list[ir.Value]:
    """An address, so many times that LLVM cannot know to be one.

    What is loaded once per use becomes an operand in memory that the multiplication itself spreads over its lanes. To
    spread a value first, for several of them, costs AMD's CPUs as much time as another multiplication.
    """
    kind = ir.FunctionType(_I64, [_I64])
    return [address, *(builder.asm(kind, "", "=r,0", [address], side_effect=True) for _ in range(1, copies))]


def _dense(samples: int, vectors: int) -> Any:
    def typed(context: Any, acc: Any, acc_row: Any, weights: Any, row: Any, x: Any, x_row: Any, count: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            acc, acc_row, weights, row, x, x_row, count = args
            tile = _Tile(builder, samples, vectors, acc, acc_row)
            starts = _disguised(builder, x, vectors if samples > 1 and LANES == 16 else 1)
            with cgutils.for_range(builder, count) as loop:
                offset = builder.mul(loop.index, _int(4))
                places = [builder.add(start, offset) for start in starts]
                values = [
                    [_load(builder, builder.add(at, builder.mul(x_row, _int(s))), _FLOAT, 4) for at in places]
                    for s in range(samples)
                ]
                tile.accumulate(values, builder.add(weights, builder.mul(loop.index, row)))
            tile.store()
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), emit

    return intrinsic(typed)


#: ``dense(acc, acc_row, weights, row, x, x_row, count)``: TALL samples or one, ``count`` terms each. Samples' sums are
#: ``acc_row`` bytes apart, their inputs ``x_row``; the weights of successive terms ``row``.
dense_tall, dense_slim, dense_wide, dense_narrow = (
    _dense(TALL, NARROW // LANES),
    _dense(TALL, 1),
    _dense(1, WIDE // LANES),
    _dense(1, NARROW // LANES),
)


def _skip(vectors: int, number: ir.IntType) -> Any:
    def typed(context: Any, acc: Any, weights: Any, row: Any, values: Any, chosen: Any, count: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            acc, weights, row, values, chosen, count = args
            tile = _Tile(builder, 1, vectors, acc, _int(0))
            size = number.width // 8
            with cgutils.for_range(builder, count) as loop:
                where = builder.add(chosen, builder.mul(loop.index, _int(size)))
                term = builder.zext(_load(builder, where, number, size), _I64)
                value = _load(builder, builder.add(values, builder.mul(loop.index, _int(4))), _FLOAT, 4)
                tile.accumulate([[value]], builder.add(weights, builder.mul(term, row)))
            tile.store()
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), emit

    return intrinsic(typed)


#: ``skip(acc, weights, row, values, chosen, count)``: one sample, ``count`` terms: the e-th is ``values[e]`` times row
#: ``chosen[e]`` (a byte) of the weights.
skip_wide, skip_narrow = _skip(WIDE // LANES, _I8), _skip(NARROW // LANES, _I8)
#: The same with numbers of four bytes.
list_narrow = _skip(NARROW // LANES, _I32)


@intrinsic
def compress(context: Any, x: Any, first: Any, values: Any, chosen: Any) -> Any:
    """``compress(x, first, values, chosen) -> n``: those of PACK floats that are not zero, in order, and their numbers.

    Writes PACK floats at ``values`` and PACK bytes (numbers counted from ``first``) at ``chosen``; of each, n count.
    NaN is not zero; -0 is.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        x, first, values, chosen = args
        loaded = _load(builder, x, _PACKED, 4)
        nonzero = builder.fcmp_unordered("!=", loaded, ir.Constant(_PACKED, [0.0] * PACK))
        mask = builder.zext(builder.bitcast(nonzero, ir.IntType(PACK)), _I64)
        if PACK == 16:
            lanes = ir.Constant(ir.VectorType(_I8, 16), list(range(16)))
            numbers = _instruction(builder, "avx512.mask.compress.v16i8", lanes, lanes, nonzero)
        else:
            numbers = builder.bitcast(_lookup(builder, "graphsim_numbers", _NUMBERS, mask), ir.VectorType(_I8, 8))
        _store(builder, builder.add(numbers, _splat(builder, builder.trunc(first, _I8), PACK)), chosen, 1)
        if PACK == 16:
            _store(builder, _instruction(builder, "avx512.mask.compress.v16f32", loaded, loaded, nonzero), values, 4)
        elif has("avx2"):
            order = _lookup(builder, "graphsim_order", _ORDER, mask)
            _store(builder, _instruction(builder, "avx2.permps", loaded, order), values, 4)
        else:
            place = _int(0)
            for i in range(8):
                lane = ir.Constant(_I32, i)
                at = builder.add(values, builder.mul(place, _int(4)))
                _store(builder, builder.extract_element(loaded, lane), at, 4)
                place = builder.add(place, builder.zext(builder.extract_element(nonzero, lane), _I64))
        return builder.ctpop(mask)

    return types.int64(*[types.int64] * 4), emit


def _instruction(builder: ir.IRBuilder, name: str, *operands: ir.Value) -> ir.Value:
    """One of the CPU's own instructions, whose result is of its first operand's type."""
    kind = ir.FunctionType(operands[0].type, [operand.type for operand in operands])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    return builder.call(function, operands)


def _lookup(builder: ir.IRBuilder, name: str, table: list[ir.Constant], at: ir.Value) -> ir.Value:
    constant = ir.Constant(ir.ArrayType(table[0].type, len(table)), table)
    return builder.load(builder.gep(cgutils.global_constant(builder.module, name, constant), [_int(0), at]))


_CHOSEN = [[i for i in range(8) if mask >> i & 1] for mask in range(256)]
#: By the mask of the floats that are not zero: their numbers, as 8 bytes and as 8 integers, padded with zeros.
_NUMBERS = [_int(int.from_bytes(bytes(chosen).ljust(8, b"\0"), "little")) for chosen in _CHOSEN]
_ORDER = [ir.Constant(ir.VectorType(_I32, 8), chosen + [0] * (8 - len(chosen))) for chosen in _CHOSEN]


@intrinsic
def prefetch(context: Any, address: Any) -> Any:
    """``prefetch(address)``: have a line of memory, which need not exist, brought into the L2 cache."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        at = builder.inttoptr(args[0], cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [at.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [at, *(ir.Constant(_I32, n) for n in (0, 2, 1))])  # to read, L2, data
        return context.get_dummy_value()

    return types.void(types.int64), emit


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
ask5, ask8, ask11 = (_call(parameters, types.int64) for parameters in (5, 8, 11))
