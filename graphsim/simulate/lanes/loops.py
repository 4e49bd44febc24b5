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

from graphsim.graph.ops import ACTIVATIONS, OPS, argmax, dot, lookup, select, sparsemax
from graphsim.native import address, jit, native, specialise
from graphsim.simulate.engine import FloatArray
from graphsim.simulate.lanes.program import CHUNK, EACH, LIST, PORT, RANGE, RUNS, SPARSE, STEP
from graphsim.simulate.lanes.sums import BATCH, accumulate_address, floats, pack
from graphsim.simulate.lanes.tiles import ask5, pointer
from graphsim.simulate.lanes.walk import LISTS, TERMS, offsets, shifts, sum_address
from graphsim.simulate.lanes.windows import RUN, WINDOW

__all__ = [
    "BATCH",
    "accumulate_address",
    "activation_address",
    "fold_address",
    "gather_address",
    "op_address",
    "pack",
    "sum_address",
]

_PORT_BYTES, _RUN_BYTES = PORT.itemsize, RUN.itemsize

#: What templates call; each specialisation has its own. A fold starts from ``_begin(term)``; ``_start`` is what it is
#: of no term, and ``_single`` says that there is exactly one on each port, with no such start.
_combine: Any = None
_begin: Any = None
_start: Any = None
_single: Any = None
_rule: Any = None
_take: Any = None
_apply: Any = None
_argmax, _dot, _lookup, _select, _sparsemax = (native(f) for f in (argmax, dot, lookup, select, sparsemax))


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


def _fold_each(record: int, x: int, out: int, size: int, begin: int, end: int, first: int, room: int) -> None:
    """Fold the terms of an EACH port into actors begin .. end - 1 of a block's rows; ``first``: start the fold."""
    port = carray(pointer(record), 1, PORT)[0]
    repeat, weight = port.repeat, port.weight
    start, count = begin // repeat, (end - begin) // repeat
    value, acc = floats(x + start * 4, count), floats(out + begin * 4, count * repeat)
    w = floats(weight.address, weight.length)
    if weight.address != 0 and repeat == 1 and weight.inner == 1:
        for base in range(0, count, weight.length):
            v, a = floats(x + (start + base) * 4, weight.length), floats(out + (begin + base) * 4, weight.length)
            if first:
                for i in range(weight.length):
                    a[i] = _begin(v[i] * w[i])
            else:
                for i in range(weight.length):
                    a[i] = _combine(a[i], v[i] * w[i])
    elif weight.address != 0 and repeat == 1:
        for base in range(0, count, weight.length * weight.inner):
            for i in range(weight.length):
                for j in range(base + i * weight.inner, base + (i + 1) * weight.inner):
                    term = value[j] * w[i]
                    acc[j] = _begin(term) if first else _combine(acc[j], term)
    elif weight.address != 0:
        for i in range(count):
            v, a = value[i], floats(out + (begin + i * repeat) * 4, repeat)
            for j in range(repeat):
                a[j] = _begin(v * w[j]) if first else _combine(a[j], v * w[j])
    elif repeat == 1 and first:
        for i in range(count):
            acc[i] = _begin(value[i])
    elif repeat == 1:
        for i in range(count):
            acc[i] = _combine(acc[i], value[i])
    else:
        for i in range(count):
            v, a = value[i], floats(out + (begin + i * repeat) * 4, repeat)
            for j in range(repeat):
                a[j] = _begin(v) if first else _combine(a[j], v)


def _fold_range(record: int, x: int, out: int, size: int, begin: int, end: int, first: int, room: int) -> None:
    """The same for a RANGE port."""
    port = carray(pointer(record), 1, PORT)[0]
    terms, columns, weighted = port.terms, port.columns, port.weight.address != 0
    w = floats(port.weight.address, terms * columns)
    for block in range(begin // columns, end // columns):
        value, acc = floats(x + block * terms * 4, terms), floats(out + block * columns * 4, columns)
        for c in range(columns):
            total = _start if first else acc[c]
            if weighted:
                for e in range(terms):
                    total = _combine(total, value[e] * w[e * columns + c])
            else:
                for e in range(terms):
                    total = _combine(total, value[e])
            acc[c] = total


def _fold_list(record: int, x: int, out: int, size: int, begin: int, end: int, first: int, room: int) -> None:
    """The same for a LIST port."""
    port = carray(pointer(record), 1, PORT)[0]
    weighted = port.weight.address != 0
    for r in range(begin // size, end // size):
        value, acc = floats(x + r * port.size * 4, port.size), floats(out + r * size * 4, size)
        for j in range(size):
            at, count = span(port, j)
            index, w = listed(port, at, count), floats(port.weight.address + at * 4, count)
            total = _start if first else acc[j]
            for e in range(count):
                term = value[index[e]] * w[e] if weighted else value[index[e]]
                total = _begin(term) if _single and first else _combine(total, term)
            acc[j] = total


def _fold_runs(record: int, x: int, out: int, size: int, begin: int, end: int, first: int, room: int) -> None:
    """The same for a RUNS port."""
    port = carray(pointer(record), 1, PORT)[0]
    window = carray(pointer(port.window), 1, WINDOW)[0]
    lists = carray(pointer(room), TERMS + 1, np.int64)[LISTS]
    entries = carray(pointer(lists), (window.list, 2), np.int64)
    length, weights = window.length, port.weight.address
    for unit in range(begin // length, end // length):
        r, number = divmod(unit, window.number)
        row, to = x + r * port.size * 4, out + unit * length * 4
        acc = floats(to, length)
        if first:
            for i in range(length):
                acc[i] = _start
        found = offsets(window.axes, window.axis_count, number, lists, False)
        weight = weights + (window.offset + shifts(window.axes, window.axis_count, number)) * 4
        for i in range(found):
            for t in range(window.run_count):
                run = carray(pointer(window.runs + t * _RUN_BYTES), 1, RUN)[0]
                n, source = run.count, row + (entries[i, 0] + run.x) * 4
                w_at = weight + (entries[i, 1] + run.weight) * 4
                if run.step == 1 and run.x_step == 1 and (weights == 0 or run.weight_step == 1):
                    a, v, w = floats(to + run.first * 4, n), floats(source, n), floats(w_at, n)
                    if weights != 0:
                        for j in range(n):
                            a[j] = _begin(v[j] * w[j]) if _single and first else _combine(a[j], v[j] * w[j])
                    else:
                        for j in range(n):
                            a[j] = _begin(v[j]) if _single and first else _combine(a[j], v[j])
                else:
                    for j in range(n):
                        term = floats(source + j * run.x_step * 4, 1)[0]
                        if weights != 0:
                            term = term * floats(w_at + j * run.weight_step * 4, 1)[0]
                        k = run.first + j * run.step
                        acc[k] = _begin(term) if _single and first else _combine(acc[k], term)


_FOLD = {EACH: _fold_each, RANGE: _fold_range, LIST: _fold_list, RUNS: _fold_runs}
#: What a fold is before its first term, by step, where that changes nothing: by the steps' identities.
_STARTS = {"_add": 0.0, "_multiply": 1.0, "_maximum": -np.inf, "_minimum": np.inf}


@jit
def _itself(term: Any) -> Any:
    return term


@jit
def _from_zero(term: Any) -> Any:
    return np.float32(0) + term


@jit
def _second(acc: Any, term: Any) -> Any:
    return term


def _activate0(record: int, out: Any, count: int, scratch: Any) -> None:
    for first in range(0, count, CHUNK):
        v, x, n = _aside(out, count, first, scratch)
        for i in range(n):
            v[i] = np.float32(_rule(np.float64(x[i])))


def _activate1(record: int, out: Any, count: int, scratch: Any) -> None:
    step = carray(pointer(record), 1, STEP)[0]
    a, alpha = step.arguments[0], step.alpha
    p = floats(alpha.address, alpha.length)
    for first in range(0, count, CHUNK):
        v, x, n = _aside(out, count, first, scratch)
        if alpha.address == 0:
            for i in range(n):
                v[i] = np.float32(_rule(np.float64(x[i]), a))
        else:
            for i in range(n):
                b = np.float64(p[((first + i) // alpha.inner) % alpha.length])
                v[i] = np.float32(_rule(np.float64(x[i]), b))


def _activate2(record: int, out: Any, count: int, scratch: Any) -> None:
    step = carray(pointer(record), 1, STEP)[0]
    a, b = step.arguments[0], step.arguments[1]
    for first in range(0, count, CHUNK):
        v, x, n = _aside(out, count, first, scratch)
        for i in range(n):
            v[i] = np.float32(_rule(np.float64(x[i]), a, b))


def _activate3(record: int, out: Any, count: int, scratch: Any) -> None:
    step = carray(pointer(record), 1, STEP)[0]
    a, b, c = step.arguments[0], step.arguments[1], step.arguments[2]
    for first in range(0, count, CHUNK):
        v, x, n = _aside(out, count, first, scratch)
        for i in range(n):
            v[i] = np.float32(_rule(np.float64(x[i]), a, b, c))


@jit
def _aside(out: Any, count: int, first: int, scratch: Any) -> tuple[FloatArray, FloatArray, int]:
    """A chunk of values, the same moved aside, and their number.

    Results written over their operands become masked stores, which are slow.
    """
    v, x = carray(out, count)[first : first + CHUNK], carray(scratch, CHUNK)
    for i in range(len(v)):
        x[i] = v[i]
    return v, x, len(v)


ACTIVATE = "void(int64, CPointer(float32), int64, CPointer(float32))"
_ACTIVATE = (_activate0, _activate1, _activate2, _activate3)


def _gather(record: int, row: int, j: int, to: int, room: int) -> int:
    """The terms of actor j, from its producers' row, in channel order; returns how many."""
    port = carray(pointer(record), 1, PORT)[0]
    terms, value = floats(to, port.terms), floats(row, port.size)
    if port.kind == LIST or port.kind == SPARSE:
        begin, n = span(port, j)
        index = listed(port, begin, n)
        for e in range(n):
            terms[e] = value[index[e]]
        return n
    if port.kind == EACH:
        terms[0] = value[j // port.repeat]
        return 1
    if port.kind == RANGE:
        first = j // port.columns * port.terms
        for e in range(port.terms):
            terms[e] = value[first + e]
        return len(terms)
    window = carray(pointer(port.window), 1, WINDOW)[0]
    lists = carray(pointer(room), TERMS + 1, np.int64)[LISTS]
    entries = carray(pointer(lists), (window.list, 2), np.int64)
    number, k = divmod(j, window.length)
    found, count = offsets(window.axes, window.axis_count, number, lists, False), 0
    for i in range(found):
        for t in range(window.run_count):
            run = carray(pointer(window.runs + t * _RUN_BYTES), 1, RUN)[0]
            at, rest = divmod(k - run.first, run.step)
            if rest == 0 and at >= 0 and at < run.count:
                terms[count] = value[entries[i, 0] + run.x + at * run.x_step]
                count += 1
    return count


def _whole(record: int, ports: int, sources: int, out: int, rows: int, room: int) -> None:
    """Give all terms of each actor, port by port, to ``_take``, with its token to fill."""
    step = carray(pointer(record), 1, STEP)[0]
    port_count = step.last_port - step.first_port
    x, gathered = carray(pointer(sources), port_count, np.int64), carray(pointer(room), TERMS + 1, np.int64)[TERMS]
    port = carray(pointer(ports), 1, PORT)[0]
    for r in range(rows):
        for j in range(step.size):
            token = floats(out + (r * step.size + j) * step.width * 4, step.width)
            if port_count == 1 and port.kind == RANGE:
                at = x[0] + (r * port.size + j // port.columns * port.terms) * 4
                _take(floats(at, port.terms), token)
                continue
            count = 0
            for p in range(port_count):
                port_record = ports + p * _PORT_BYTES
                one = carray(pointer(port_record), 1, PORT)[0]
                row = x[p] + r * one.size * 4
                count += ask5(one.function, (port_record, row, j, gathered + count * 4, room))
            _take(floats(gathered, count), token)


def _pairs(record: int, ports: int, sources: int, out: int, rows: int, room: int) -> None:
    """Op dot over two RUNS ports whose consumers miss no edge: those along the last axis side by side."""
    step = carray(pointer(record), 1, STEP)[0]
    x = carray(pointer(sources), 2, np.int64)
    left, right = carray(pointer(ports), 1, PORT)[0], carray(pointer(ports + _PORT_BYTES), 1, PORT)[0]
    one, other = carray(pointer(left.window), 1, WINDOW)[0], carray(pointer(right.window), 1, WINDOW)[0]
    lists = carray(pointer(room), TERMS + 1, np.int64)[LISTS]
    entry = carray(pointer(lists), (one.list + other.list, 2), np.int64)
    length = one.length
    for unit in range(rows * step.size // length):
        r, number = divmod(unit, one.number)
        acc = floats(out + unit * length * 4, length)
        for j in range(length):
            acc[j] = np.float32(0)
        offsets(one.axes, one.axis_count, number, lists, False)
        offsets(other.axes, other.axis_count, number, lists + one.list * 16, False)
        i = t = k = u = 0
        for _ in range(left.terms):
            a = carray(pointer(one.runs + t * _RUN_BYTES), 1, RUN)[0]
            b = carray(pointer(other.runs + u * _RUN_BYTES), 1, RUN)[0]
            a_at = x[0] + (r * left.size + entry[i, 0] + a.x) * 4
            b_at = x[1] + (r * right.size + entry[one.list + k, 0] + b.x) * 4
            if a.x_step == 0 and b.x_step == 1:
                factor, v = floats(a_at, 1)[0], floats(b_at, length)
                for j in range(length):
                    acc[j] += factor * v[j]
            else:
                for j in range(length):
                    acc[j] += floats(a_at + j * a.x_step * 4, 1)[0] * floats(b_at + j * b.x_step * 4, 1)[0]
            t, u = t + 1, u + 1
            if t == one.run_count:
                i, t = i + 1, 0
            if u == other.run_count:
                k, u = k + 1, 0


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


@jit
def _take_dot(terms: FloatArray, token: FloatArray) -> None:
    half = len(terms) // 2
    token[0] = _dot(terms[:half], terms[half:])


_TAKE = {"argmax": _take_argmax, "sparsemax": _take_sparsemax, "collect": _take_collect, "dot": _take_dot}


def _apply_select(record: int, terms: int, out: int, begin: int, count: int) -> None:
    """Tokens of actors from ``begin`` on, from the one term of each on every port: all of port 0, all of port 1 ..."""
    chosen, one, other = floats(terms, count), floats(terms + count * 4, count), floats(terms + count * 8, count)
    token = floats(out, count)
    for i in range(count):
        token[i] = _select(chosen[i], one[i], other[i])


def _apply_lookup(record: int, terms: int, out: int, begin: int, count: int) -> None:
    """The same for op lookup."""
    step = carray(pointer(record), 1, STEP)[0]
    ref = step.table
    number, token = floats(terms, count), floats(out, count)
    table = carray(pointer(ref.address), (step.entries, ref.length), np.float32)
    for i in range(count):
        token[i] = _lookup(table[:, ((begin + i) // ref.inner) % ref.length], number[i])


_APPLY = {"select": _apply_select, "lookup": _apply_lookup}


@cache
def fold_address(op: str, port: int) -> int:
    """Address of an op's native loop for a kind of port; of "take", one that takes the only term as it is.

    It is void (port record, rows of terms, rows of results, actors, first actor, behind the last, whether to start,
    scratch); actors are numbered over all rows.
    """
    step = OPS[op].step if op != "take" else None
    name = step.__name__ if step is not None else "take"
    start = _STARTS.get(name)
    names: dict[str, Any] = {
        "_combine": _second if step is None else native(step),
        "_begin": _from_zero if start == 0.0 else _itself,
        "_start": np.float32(0.0 if start is None else start),
        "_single": start is None,
    }
    function = specialise(_FOLD[port], f"fold{port}{name}", **names)
    return address(f"void({', '.join(['int64'] * 8)})", function)


@cache
def gather_address() -> int:
    """Address of int64 (port record, row of producers, actor, where its terms go, scratch): how many terms."""
    return address("int64(int64, int64, int64, int64, int64)", _gather)


@cache
def op_address(op: str) -> int:
    """Address of the native loop of an op that folds nothing; "pairs" is a faster one of dot.

    Of select and lookup: void (step record, terms, tokens, first actor, actors). Of the others: void (step record,
    first port's record, address of the addresses of every port's rows, rows of tokens, rows, scratch).
    """
    if op == "pairs":
        return address(f"void({', '.join(['int64'] * 6)})", _pairs)
    if op in _APPLY:
        return address("void(int64, int64, int64, int64, int64)", _APPLY[op])
    return address(f"void({', '.join(['int64'] * 6)})", specialise(_whole, op, _take=_TAKE[op]))


@cache
def activation_address(name: str) -> int:
    """Address of an activation's native loop, in place; 0 for none.

    It is void (step record, values, their number, scratch for CHUNK values). Values are passed as pointers, which LLVM
    knows apart from the tables of a rule; from mere addresses it would not, and do one after the other.
    """
    if name == "linear":
        return 0
    row = ACTIVATIONS[name]
    function = specialise(_ACTIVATE[len(row.args)], f"activate_{name}", _rule=native(row.rule))
    return address(ACTIVATE, function)
