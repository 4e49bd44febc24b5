"""The machine's inner loop, native: execute the events of consecutive periods. See :class:`.program.Program`.

Importing this module compiles the loop, or loads it from disk where it was compiled before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from graphsim.graph.ops import ACTIVATIONS, OPS, argmax, dot, lookup, lut, select, sparsemax
from graphsim.native import entry, jit, jit_call, native
from graphsim.simulate.machine.memory import CELL, COUNT, EMPTY, RING, SIZE, STEP, TERM, TOKEN
from graphsim.simulate.machine.program import (
    ACTIVATION,
    AT,
    AT_RING,
    CHECK,
    CLAIM,
    END,
    ENTRIES,
    FIRE,
    HAS_BIAS,
    HAS_DIVISOR,
    KIND,
    LENGTH,
    MOVED,
    OP,
    OP_CODES,
    OUT,
    OUT_STRIDE,
    READ,
    SEGMENT,
    SEGMENT_END,
    SOURCE_END,
    SOURCE_FIRE,
    STAGE,
    TABLE,
    TRUTH,
    WHO,
    WRITE,
)

#: Columns of the status row that :func:`advance` fills in when a token is not where it must be.
FAILED_EVENT, FAILED_PERIOD, FAILED_TAG, FAILED_FOUND, FAILED_CELL = range(5)

_LINEAR, _SUM, _MEAN = (OP_CODES[op] for op in ("linear", "sum", "mean"))
_ARGMAX, _COLLECT, _SPARSEMAX = (OP_CODES[op] for op in ("argmax", "collect", "sparsemax"))
_DOT, _SELECT, _LOOKUP, _LUT = (OP_CODES[op] for op in ("dot", "select", "lookup", "lut"))

# Words, cells and places in transit are unsigned, so that indexing need not look for negative numbers.
_EMPTY, _VALUE_BITS, _HALF = np.uint64(EMPTY), np.uint64(2**32 - 1), np.uint64(32)
_ONE, _TWO, _NEXT_TAG = np.uint64(1), np.uint64(2), np.uint64(2**32)
#: Which half of a word, seen as two float32, is the value.
_VALUE = np.uint64(0 if sys.byteorder == "little" else 1)

_argmax, _sparsemax, _dot, _select, _lookup, _lut = (native(f) for f in (argmax, sparsemax, dot, select, lookup, lut))


def _choose(head: str, cases: dict[int, tuple[Callable[..., Any], str]], otherwise: str) -> Callable[..., Any]:
    """A function ``head`` that compares ``code`` with each number and calls that function with those arguments.

    It is written out as text, because Numba cannot pick from a tuple of functions, and nested closures, which it can,
    take it five times as long to compile.
    """
    lines = [f"    if code == {code}: return f{code}({arguments})" for code, (_, arguments) in cases.items()]
    text = "\n".join([f"def choose({head}):", *lines, f"    return {otherwise}"])
    names: dict[str, Any] = {f"f{code}": function for code, (function, _) in cases.items()}
    exec(text, names)
    chosen: Callable[..., Any] = jit_call(names["choose"])
    return chosen


#: _step(code, acc, term): one step of an op that starts with its first term.
_step = _choose(
    "code, acc, term",
    {OP_CODES[k]: (native(op.step), "acc, term") for k, op in OPS.items() if op.start == "first" and op.step},
    "acc",
)
#: _activate(code, x, args): an activation of a float64 operand, in float64.
_activate = _choose(
    "code, x, args",
    {
        code: (native(a.rule), ", ".join(["x", *(f"args[{i}]" for i in range(len(a.args)))]))
        for code, a in enumerate(ACTIVATIONS.values())
    },
    "x",
)


@jit
def _intact(words: Any, cell: Any, count: Any, size: Any, tag: Any) -> Any:
    """Whether a run of tokens is in memory, each with the tag expected of it (``tag``: the first one's, as a word)."""
    wrong = np.uint64(0)
    if size == 1:
        for i in range(count):
            wrong |= words[cell + i] ^ (tag + i * _NEXT_TAG)
    else:
        for i in range(count):
            for j in range(size):
                wrong |= words[cell + i * size + j] ^ (tag + i * _NEXT_TAG)
    return wrong <= _VALUE_BITS


@jit_call
def _blame(words: Any, cell: Any, count: Any, size: Any, tag: Any, status: Any) -> Any:
    """Write down the first token of a run that is not there."""
    for i in range(count):
        for j in range(size):
            at, expected = cell + i * size + j, tag + i * _NEXT_TAG
            if words[at] >> _HALF != expected >> _HALF:
                status[FAILED_TAG], status[FAILED_FOUND], status[FAILED_CELL] = (
                    expected >> _HALF,
                    words[at] >> _HALF,
                    at,
                )
                return 1
    return 1


@jit_call
def _gather(
    number: Any, actor: Any, segments: Any, runs: Any, rings: Any, row: Any, words: Any, values: Any, weights: Any,
    out: Any, status: Any,
) -> Any:  # fmt: skip
    """All terms of a firing, in order; the number of them, or -1 when one is not there.

    ``number`` is that of the iteration's token 0.
    """
    k = np.int64(0)
    for s in range(actor[SEGMENT], actor[SEGMENT_END]):
        for r in range(segments[s, 0], segments[s, 1]):
            w = segments[s, 2] + np.int64(runs[r, TERM])
            count, size = np.uint64(runs[r, COUNT]), np.uint64(runs[r, SIZE])
            cell = runs[r, CELL] + rings[row + runs[r, RING]] * runs[r, STEP]
            tag = (number + runs[r, TOKEN]) << _HALF
            if not _intact(words, cell, count, size, tag):
                _blame(words, cell, count, size, tag, status)
                return -1
            for i in range(count):
                x = values[(cell + i * size) * _TWO + _VALUE]
                if segments[s, 2] >= 0:
                    x = weights[w + np.int64(i)] * x
                out[k] = x
                k += 1
    return k


@jit_call
def _weighted_sum(
    number: Any, actor: Any, segments: Any, runs: Any, rings: Any, row: Any, words: Any, values: Any, weights: Any,
    result: Any, status: Any,
) -> Any:  # fmt: skip
    """The sum of all terms from left to right, float32, in ``result[0]``; the number of terms, or -1 when a token is
    not there. Terms whose token is zero change no bit of the sum and are skipped.
    """
    acc, terms = np.float32(0), np.int64(0)
    for s in range(actor[SEGMENT], actor[SEGMENT_END]):
        first = segments[s, 2]
        for r in range(segments[s, 0], segments[s, 1]):
            w = np.uint64(max(first, 0)) + np.uint64(runs[r, TERM])
            count, size = np.uint64(runs[r, COUNT]), np.uint64(runs[r, SIZE])
            cell = runs[r, CELL] + rings[row + runs[r, RING]] * runs[r, STEP]
            tag = (number + runs[r, TOKEN]) << _HALF
            if not _intact(words, cell, count, size, tag):
                _blame(words, cell, count, size, tag, status)
                return -1
            terms += np.int64(count)
            if first < 0:
                for i in range(count):
                    acc += values[(cell + i * size) * _TWO + _VALUE]
                continue
            for i in range(count):
                x = values[(cell + i * size) * _TWO + _VALUE]
                if x != 0:
                    acc += weights[w + i] * x
    result[0] = acc
    return terms


@jit_call
def _fire(
    number: Any, actor: Any, bias: Any, divisor: Any, arguments: Any, segments: Any, runs: Any, rings: Any, row: Any,
    words: Any, values: Any, weights: Any, scratch: Any, results: Any, at: Any, status: Any,
) -> Any:  # fmt: skip
    """Read operands and compute the token, into transit from ``at`` on. Returns 1 when an operand is not there."""
    op, to = actor[OP], at * _TWO + _VALUE
    if op in (_LINEAR, _SUM, _MEAN):
        k = _weighted_sum(number, actor, segments, runs, rings, row, words, values, weights, scratch, status)
        acc = scratch[0]
        if op == _MEAN:
            acc = acc / np.float32(k)
    else:
        k = _gather(number, actor, segments, runs, rings, row, words, values, weights, scratch, status)
        if k > 0:
            if op == _COLLECT:
                for i in range(k):
                    results[to + np.uint64(i) * _TWO] = scratch[i]
                return 0
            if op == _ARGMAX:
                best = _argmax(scratch[:k])
                results[to], results[to + _TWO] = np.float32(best), scratch[best]
                return 0
        acc = scratch[0]
        if op == _SPARSEMAX:
            acc = _sparsemax(scratch[: max(k, 0)])
        elif op == _DOT:
            acc = _dot(scratch[: max(k, 0) // 2], scratch[max(k, 0) // 2 : max(k, 0)])
        elif op == _SELECT:
            acc = _select(scratch[0], scratch[1], scratch[2])
        elif op == _LOOKUP:
            acc = _lookup(weights[actor[TABLE] : actor[TABLE] + actor[ENTRIES]], scratch[0])
        elif op == _LUT:
            acc = _lut(actor[TRUTH], scratch[: max(k, 0)])
        else:
            for i in range(1, k):
                acc = _step(op, acc, scratch[i])
    if k < 0:
        return 1
    if actor[HAS_BIAS]:
        acc = acc + bias
    if actor[HAS_DIVISOR]:
        acc = acc / divisor
    results[to] = np.float32(_activate(actor[ACTIVATION], np.float64(acc), arguments))
    return 0


@jit
def _turn(k: Any, stages: Any, depths: Any, delays: Any, rings: Any) -> Any:
    """Period k begins: which copy of each kind of ring its youngest iteration uses. Returns its row of ``rings``."""
    newest = k % stages
    for d in range(len(depths)):
        rings[newest * len(depths) + d] = (k - delays[d]) % depths[d]
    return newest


@jit
def _row(newest: Any, stage: Any, stages: Any, kinds: Any) -> Any:
    """Where in ``rings`` the copies are that the iteration of a stage uses."""
    return np.uint64((newest - stage if newest >= stage else newest - stage + stages) * kinds)


@jit
def _moved(events: Any, e: Any, rings: Any, row: Any, number: Any) -> Any:
    """What an event moves, and where: tokens, cells of each, the first cell, its tag as a word, the place in transit.

    ``number`` is that of the iteration's token 0.
    """
    count, size = np.uint64(events[e, MOVED + COUNT]), np.uint64(events[e, MOVED + SIZE])
    cell = events[e, MOVED + CELL] + rings[row + events[e, MOVED + RING]] * events[e, MOVED + STEP]
    tag = (number + events[e, MOVED + TOKEN]) << _HALF
    return count, size, cell, tag, events[e, AT] + rings[row + events[e, AT_RING]] * events[e, LENGTH]


@entry(
    "int64(int64, int64, int64, int64, int64, uint64, int64, int64,"
    " uint32[:, ::1], int64[::1], int64[::1], int64[::1], uint64[::1], uint32[:, ::1], int64[:, ::1], float32[::1],"
    " int64[:, ::1], float64[:, ::1], float32[::1], float32[::1],"
    " uint64[::1], float32[::1], uint64[::1], float32[::1], float32[::1],"
    " float32[:, ::1], float32[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1])"
)
def advance(
    first_period: Any, end_period: Any, samples: Any, period: Any, stages: Any, tokens: Any, first_element: Any,
    first_row: Any,
    events: Any, event_tick: Any, depths: Any, delays: Any, rings: Any, runs: Any, segments: Any, weights: Any,
    actors: Any, arguments: Any, bias: Any, divisor: Any,
    words: Any, values: Any, transit: Any, results: Any, scratch: Any,
    inputs: Any, outputs: Any, column: Any, fired: Any, ended: Any, status: Any,
) -> Any:  # fmt: skip
    """Execute periods ``first_period`` .. ``end_period - 1`` of a run of ``samples`` iterations.

    ``words`` is the memory and ``values`` the same bytes as float32, as are ``transit`` and ``results``. ``inputs``
    holds the samples from ``first_row`` on that these periods read; the token of their first element is
    ``first_element``. ``rings`` (stages * depths) is scratch that lasts from call to call: the row of iteration n says
    which copy of each kind of ring it uses. Returns 0, or 1 when a token was not where it had to be: then ``status``
    says which, and where.
    """
    kinds = len(depths)
    for k in range(first_period, end_period):
        newest = _turn(k, stages, depths, delays, rings)
        for e in range(len(events)):
            stage = np.int64(events[e, STAGE])
            n = k - stage
            if n < 0 or n >= samples:
                continue
            row, number = _row(newest, stage, stages, kinds), np.uint64(n) * tokens
            kind, who = events[e, KIND], events[e, WHO]
            count, size, cell, tag, at = _moved(events, e, rings, row, number)
            failed = 0
            # Reading and writing stand here, not in functions: calls that pass arrays would count references to them.
            if kind == READ and size == _ONE:
                wrong = np.uint64(0)
                for i in range(count):
                    word = words[cell + i]
                    wrong |= word ^ (tag + i * _NEXT_TAG)
                    transit[at + i] = word
                if wrong > _VALUE_BITS:
                    failed = _blame(words, cell, count, size, tag, status)
            elif kind == WRITE and size == _ONE:
                for i in range(count):
                    words[cell + i] = transit[at + i] & _VALUE_BITS | (tag + i * _NEXT_TAG)
            elif kind in (READ, CHECK):
                for i in range(count):
                    wrong = words[cell] ^ tag
                    for j in range(_ONE, size):
                        wrong |= words[cell + j] ^ tag
                    if wrong > _VALUE_BITS:
                        failed = _blame(words, cell, _ONE, size, tag, status)
                    if kind == READ:
                        transit[at + i] = words[cell]
                    cell += size
                    tag += _NEXT_TAG
            elif kind in (WRITE, END):
                for i in range(count):
                    word = transit[at + i] & _VALUE_BITS | tag
                    words[cell] = word
                    for j in range(_ONE, size):
                        words[cell + j] = word
                    cell += size
                    tag += _NEXT_TAG
                if kind == END:
                    if actors[who, OUT] >= 0:
                        out = actors[who, OUT] + n * actors[who, OUT_STRIDE]
                        for i in range(events[e, LENGTH]):
                            outputs[out + i] = results[(at + i) * _TWO + _VALUE]
                    if actors[who, OP] in (_ARGMAX, _COLLECT):
                        ended[n, column[who]] = max(ended[n, column[who]], k * period + event_tick[e])
            elif kind == FIRE:
                failed = _fire(
                    number, actors[who], bias[who], divisor[who], arguments[who], segments, runs, rings, row, words,
                    values, weights, scratch, results, at, status,
                )  # fmt: skip
            elif kind == CLAIM:
                for _ in range(count):
                    for j in range(size):
                        words[cell + j] = _EMPTY
                    cell += size
            elif kind == SOURCE_FIRE:
                fired[n, column[who]] = min(fired[n, column[who]], k * period + event_tick[e])
            elif kind == SOURCE_END:
                element = events[e, MOVED + TOKEN] - first_element
                for i in range(count):
                    values[cell * _TWO + _VALUE] = inputs[n - first_row, element + np.int64(i)]
                    word = words[cell] & _VALUE_BITS | tag
                    for j in range(size):
                        words[cell + j] = word
                    cell += size
                    tag += _NEXT_TAG
            if failed != 0:
                status[FAILED_EVENT], status[FAILED_PERIOD] = e, k
                return 1
    return 0
