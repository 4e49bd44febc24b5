"""The loops that exist once per op or activation: templates, made into native code when a graph first needs them.

Each reads its records through their addresses and is called through its own, so that the interpreter need not be
compiled with all of them, and a new op costs a new loop nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray  # type: ignore[attr-defined]

from graphsim.graph.ops import ACTIVATIONS, OPS, argmax, sparsemax
from graphsim.simulate.engine import FloatArray
from graphsim.simulate.lanes.program import CHUNK, EACH, LIST, PORT, RANGE, STEP
from graphsim.simulate.lanes.sums import floats, pack
from graphsim.simulate.lanes.tiles import pointer
from graphsim.simulate.native import address, jit, native, specialise

__all__ = ["activation_address", "op_address", "pack"]

#: What templates call; each specialisation has its own.
_combine: Any = None
_rule: Any = None
_take: Any = None
_argmax, _sparsemax = native(argmax), native(sparsemax)


@jit
def span(port: Any, j: int) -> tuple[int, int]:
    """Of a LIST port: where consumer j's edges start, and how many there are."""
    if port.indptr == 0:
        return j * port.terms, port.terms
    indptr = carray(pointer(port.indptr + j * 8), 2, np.int64)
    return indptr[0], indptr[1] - indptr[0]


@jit
def listed(port: Any, begin: int, count: int) -> npt.NDArray[np.int32]:
    """Of a LIST port: the producers of ``count`` edges."""
    return carray(pointer(port.index + begin * 4), count, np.int32)


def _fold_each(record: int, x: int, out: int, rows: int, size: int, first: int) -> None:
    """Fold the terms of an EACH port into rows; ``first``: an actor's first term starts its fold."""
    port = carray(pointer(record), 1, PORT)[0]
    repeat, weight = port.repeat, port.weight
    count = rows * port.size
    value, acc, w = floats(x, count), floats(out, count * repeat), floats(weight.address, weight.length)
    if weight.address != 0 and repeat == 1:
        for base in range(0, count, weight.length * weight.inner):
            for i in range(weight.length):
                for j in range(base + i * weight.inner, base + (i + 1) * weight.inner):
                    term = value[j] * w[i]
                    acc[j] = term if first else _combine(acc[j], term)
    elif weight.address != 0:
        for i in range(count):
            for j in range(repeat):
                term = value[i] * w[j]
                acc[i * repeat + j] = term if first else _combine(acc[i * repeat + j], term)
    elif repeat == 1 and first:
        for i in range(count):
            acc[i] = value[i]
    elif repeat == 1:
        for i in range(count):
            acc[i] = _combine(acc[i], value[i])
    else:
        for i in range(count):
            for j in range(i * repeat, (i + 1) * repeat):
                acc[j] = value[i] if first else _combine(acc[j], value[i])


def _fold_range(record: int, x: int, out: int, rows: int, size: int, first: int) -> None:
    """The same for a RANGE port."""
    port = carray(pointer(record), 1, PORT)[0]
    terms, columns, weighted = port.terms, port.columns, port.weight.address != 0
    w = floats(port.weight.address, terms * columns)
    for block in range(rows * (port.size // terms)):
        value, acc = floats(x + block * terms * 4, terms), floats(out + block * columns * 4, columns)
        for c in range(columns):
            total = acc[c]
            if first:
                total = value[0] * w[c] if weighted else value[0]
            if weighted:
                for e in range(first, terms):
                    total = _combine(total, value[e] * w[e * columns + c])
            else:
                for e in range(first, terms):
                    total = _combine(total, value[e])
            acc[c] = total


def _fold_list(record: int, x: int, out: int, rows: int, size: int, first: int) -> None:
    """The same for a LIST port."""
    port = carray(pointer(record), 1, PORT)[0]
    weighted = port.weight.address != 0
    for r in range(rows):
        value, acc = floats(x + r * port.size * 4, port.size), floats(out + r * size * 4, size)
        for j in range(size):
            begin, count = span(port, j)
            index, w = listed(port, begin, count), floats(port.weight.address + begin * 4, count)
            total = acc[j]
            for e in range(count):
                term = value[index[e]] * w[e] if weighted else value[index[e]]
                total = term if first and e == 0 else _combine(total, term)
            acc[j] = total


_FOLD = {EACH: _fold_each, RANGE: _fold_range, LIST: _fold_list}


def _activate0(record: int, out: int, count: int, scratch: int) -> None:
    for first in range(0, count, CHUNK):
        n = min(CHUNK, count - first)
        v, x = floats(out + first * 4, n), _moved(out + first * 4, n, scratch)
        for i in range(n):
            v[i] = np.float32(_rule(np.float64(x[i])))


def _activate1(record: int, out: int, count: int, scratch: int) -> None:
    step = carray(pointer(record), 1, STEP)[0]
    a, alpha = step.arguments[0], step.alpha
    p = floats(alpha.address, alpha.length)
    for first in range(0, count, CHUNK):
        n = min(CHUNK, count - first)
        v, x = floats(out + first * 4, n), _moved(out + first * 4, n, scratch)
        if alpha.address == 0:
            for i in range(n):
                v[i] = np.float32(_rule(np.float64(x[i]), a))
        else:
            for i in range(n):
                b = np.float64(p[((first + i) // alpha.inner) % alpha.length])
                v[i] = np.float32(_rule(np.float64(x[i]), b))


def _activate2(record: int, out: int, count: int, scratch: int) -> None:
    step = carray(pointer(record), 1, STEP)[0]
    a, b = step.arguments[0], step.arguments[1]
    for first in range(0, count, CHUNK):
        n = min(CHUNK, count - first)
        v, x = floats(out + first * 4, n), _moved(out + first * 4, n, scratch)
        for i in range(n):
            v[i] = np.float32(_rule(np.float64(x[i]), a, b))


def _activate3(record: int, out: int, count: int, scratch: int) -> None:
    step = carray(pointer(record), 1, STEP)[0]
    a, b, c = step.arguments[0], step.arguments[1], step.arguments[2]
    for first in range(0, count, CHUNK):
        n = min(CHUNK, count - first)
        v, x = floats(out + first * 4, n), _moved(out + first * 4, n, scratch)
        for i in range(n):
            v[i] = np.float32(_rule(np.float64(x[i]), a, b, c))


@jit
def _moved(source: int, count: int, scratch: int) -> FloatArray:
    """Values moved aside. Results written over their operands become masked stores, which are slow."""
    x, to = floats(source, count), floats(scratch, count)
    for i in range(count):
        to[i] = x[i]
    return to


_ACTIVATE = (_activate0, _activate1, _activate2, _activate3)


def _whole(record: int, port_record: int, x: int, out: int, rows: int, gathered: int) -> None:
    """Give all terms of each actor to ``_take``, with its token to fill."""
    step, port = carray(pointer(record), 1, STEP)[0], carray(pointer(port_record), 1, PORT)[0]
    for r in range(rows):
        row = x + r * port.size * 4
        for j in range(step.size):
            if port.kind == LIST:
                begin, count = span(port, j)
                value, index, terms = floats(row, port.size), listed(port, begin, count), floats(gathered, count)
                for e in range(count):
                    terms[e] = value[index[e]]
            elif port.kind == EACH:
                terms = floats(row + j // port.repeat * 4, 1)
            else:
                terms = floats(row + j // port.columns * port.terms * 4, port.terms)
            _take(terms, floats(out + (r * step.size + j) * step.width * 4, step.width))


@jit
def _take_argmax(terms: FloatArray, token: FloatArray) -> None:
    best = _argmax(terms)
    token[0], token[1] = np.float32(best), terms[best]


@jit
def _take_sparsemax(terms: FloatArray, token: FloatArray) -> None:
    token[0] = _sparsemax(terms)


@jit
def _take_collect(terms: FloatArray, token: FloatArray) -> None:
    for i in range(len(terms)):
        token[i] = terms[i]


_TAKE = {"argmax": _take_argmax, "sparsemax": _take_sparsemax, "collect": _take_collect}


@cache
def op_address(op: str, port: int) -> int:
    """Address of an op's native loop for a kind of port.

    Of a fold: void (port record, rows of terms, rows of results, rows, actors, whether the first term starts it). Of
    the others: void (step record, port record, rows of terms, rows of tokens, rows, scratch for an actor's terms).
    """
    step = OPS[op].step
    if step is None:
        function = specialise(_whole, op, _take=_TAKE[op])
    else:
        function = specialise(_FOLD[port], f"fold{port}{step.__name__}", _combine=native(step))
    return address(f"void({', '.join(['int64'] * 6)})", function)


@cache
def activation_address(name: str) -> int:
    """Address of an activation's native loop, in place; 0 for none.

    It is void (step record, values, their number, scratch for CHUNK values).
    """
    if name == "linear":
        return 0
    row = ACTIVATIONS[name]
    function = specialise(_ACTIVATE[len(row.args)], f"activate_{name}", _rule=native(row.rule))
    return address("void(int64, int64, int64, int64)", function)
