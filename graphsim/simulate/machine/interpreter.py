"""The machine's inner loop, native: execute the events of consecutive periods. See :class:`.program.Program`.

Importing this module compiles the loop, or loads it from disk where it was compiled before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from graphsim.graph.ops import ACTIVATIONS, OPS, argmax, sparsemax
from graphsim.simulate.machine.program import (
    ACTIVATION,
    ARRIVE,
    CELL,
    CHECK,
    COUNT,
    DST_RUN,
    DST_RUN_END,
    END,
    FIRE,
    HAS_BIAS,
    HAS_DIVISOR,
    OP,
    OP_CODES,
    OUT,
    OUT_STRIDE,
    PARAMETER,
    PENDING,
    RING,
    RUN,
    RUN_END,
    SEGMENT,
    SEGMENT_END,
    SEND,
    SIZE,
    SRC_RUN,
    SRC_RUN_END,
    STRIDE,
    TOKEN,
    WIDTH,
    WIRE,
    WIRE_RING,
    WIRE_SIZE,
)
from graphsim.simulate.native import entry, jit, jit_call, native

#: Columns of the status row that :func:`advance` fills in when a token is not where it must be.
FAILED_EVENT, FAILED_PERIOD, FAILED_TOKEN, FAILED_TAG, FAILED_CELL = range(5)

_SOURCE, _INPUT, _LINEAR, _SUM, _MEAN = (OP_CODES[op] for op in ("source", "input", "linear", "sum", "mean"))
_ARGMAX, _COLLECT, _SPARSEMAX = (OP_CODES[op] for op in ("argmax", "collect", "sparsemax"))
_SIGN = np.int64(-(2**63))

_argmax, _sparsemax = native(argmax), native(sparsemax)


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
def _found(tags: Any, cell: Any, stride: Any, count: Any, size: Any, tag: Any) -> Any:
    """Whether a run of tokens is in memory, each with the tag expected of it."""
    wrong = np.int64(0)
    if size == 1 and stride == 1:
        consecutive = tags[cell : cell + count]
        for i in range(count):
            wrong |= consecutive[i] ^ (tag + (i << 32))
        return wrong == 0
    for i in range(count):
        for j in range(size):
            wrong |= tags[cell + i * stride + j] ^ (tag + (i << 32))
    return wrong == 0


@jit_call
def _blame(tags: Any, cell: Any, stride: Any, count: Any, size: Any, tag: Any, status: Any) -> int:
    """Write down the first token of a run that is not there."""
    for i in range(count):
        for j in range(size):
            at = cell + i * stride + j
            if tags[at] != tag + (i << 32):
                status[FAILED_TOKEN], status[FAILED_TAG], status[FAILED_CELL] = (tag >> 32) + i, tags[at], at
                return 1
    return 1


@jit
def _mark(tags: Any, cell: Any, size: Any, tag: Any, token: Any, status: Any) -> int:
    """Tag the cells of one token, unless they hold parameters."""
    for j in range(size):
        if tags[cell + j] == PARAMETER:
            status[FAILED_TOKEN], status[FAILED_TAG], status[FAILED_CELL] = token, PARAMETER, cell + j
            return 1
        tags[cell + j] = tag
    return 0


@jit_call
def _gather(
    n: Any, actor: Any, segments: Any, runs: Any, ring: Any, tags: Any, values: Any, weights: Any, out: Any, status: Any
) -> int:
    """All terms of a firing, in order; the number of them, or -1 when one is not there."""
    k = 0
    for s in range(actor[SEGMENT], actor[SEGMENT_END]):
        w = segments[s, 2]
        for r in range(segments[s, 0], segments[s, 1]):
            count, stride, size = np.int64(runs[r, COUNT]), np.int64(runs[r, STRIDE]), np.int64(runs[r, SIZE])
            cell = runs[r, CELL] + ring[runs[r, RING]] * size
            tag = (np.int64(runs[r, TOKEN]) << 32) | n
            if not _found(tags, cell, stride, count, size, tag):
                _blame(tags, cell, stride, count, size, tag, status)
                return -1
            for i in range(count):
                x = values[cell + i * stride]
                if w >= 0:
                    x = weights[w] * x
                    w += 1
                out[k] = x
                k += 1
    return k


@jit_call
def _weighted_sum(
    n: Any,
    actor: Any,
    segments: Any,
    runs: Any,
    ring: Any,
    tags: Any,
    values: Any,
    weights: Any,
    result: Any,
    status: Any,
) -> int:
    """The sum of all terms from left to right, float32, in ``result[0]``; terms whose token is zero change no bit of it
    and are skipped. Returns 1 when a token is not there.
    """
    acc = np.float32(0)
    for s in range(actor[SEGMENT], actor[SEGMENT_END]):
        w = segments[s, 2]
        for r in range(segments[s, 0], segments[s, 1]):
            count, stride, size = np.int64(runs[r, COUNT]), np.int64(runs[r, STRIDE]), np.int64(runs[r, SIZE])
            cell = runs[r, CELL] + ring[runs[r, RING]] * size
            tag = (np.int64(runs[r, TOKEN]) << 32) | n
            if not _found(tags, cell, stride, count, size, tag):
                return _blame(tags, cell, stride, count, size, tag, status)
            if w < 0:
                for i in range(count):
                    acc += values[cell + i * stride]
                continue
            own = weights[w : w + count]
            if stride == 1:
                operands = values[cell : cell + count]
                for i in range(count):
                    x = operands[i]
                    if x != 0:
                        acc += own[i] * x
            else:
                for i in range(count):
                    x = values[cell + i * stride]
                    if x != 0:
                        acc += own[i] * x
            w += count
    result[0] = acc
    return 0


@jit_call
def _fire(
    n: Any,
    a: int,
    actor: Any,
    segments: Any,
    runs: Any,
    ring: Any,
    tags: Any,
    values: Any,
    weights: Any,
    arguments: Any,
    bias: Any,
    divisor: Any,
    scratch: Any,
    pending: Any,
    status: Any,
) -> int:
    """Read operands and compute the token; it stays pending until the firing ends. 1 when an operand is not there."""
    op, at = actor[OP], actor[PENDING]
    if op in (_LINEAR, _SUM, _MEAN):
        if _weighted_sum(n, actor, segments, runs, ring, tags, values, weights, scratch, status) != 0:
            return 1
        acc = scratch[0]
        if op == _MEAN:
            terms = 0
            for s in range(actor[SEGMENT], actor[SEGMENT_END]):
                for r in range(segments[s, 0], segments[s, 1]):
                    terms += runs[r, COUNT]
            acc = acc / np.float32(terms)
    else:
        k = _gather(n, actor, segments, runs, ring, tags, values, weights, scratch, status)
        if k < 0:
            return 1
        terms = scratch[:k]
        if op == _COLLECT:
            for i in range(k):
                pending[at + i] = terms[i]
            return 0
        if op == _ARGMAX:
            best = _argmax(terms)
            pending[at], pending[at + 1] = np.float32(best), terms[best]
            return 0
        if op == _SPARSEMAX:
            acc = _sparsemax(terms)
        else:
            acc = terms[0]
            for i in range(1, k):
                acc = _step(op, acc, terms[i])
    if actor[HAS_BIAS]:
        acc = acc + bias[a]
    if actor[HAS_DIVISOR]:
        acc = acc / divisor[a]
    pending[at] = np.float32(_activate(actor[ACTIVATION], np.float64(acc), arguments[a]))
    return 0


@jit
def _end(
    n: Any, actor: Any, runs: Any, ring: Any, tags: Any, values: Any, pending: Any, outputs: Any, status: Any
) -> int:
    """A firing ends: its token gets into memory, and to the outputs that are kept."""
    at = actor[PENDING]
    for r in range(actor[RUN], actor[RUN_END]):
        if runs[r, CELL] == 0:
            continue  # a token without a slot here: nobody on this node reads it, or they find out
        size = np.int64(runs[r, SIZE])
        cell, token = runs[r, CELL] + ring[runs[r, RING]] * size, np.int64(runs[r, TOKEN])
        if _mark(tags, cell, size, (token << 32) | n, token, status) != 0:
            return 1
        values[cell] = pending[at]
    if actor[OUT] >= 0:
        out = actor[OUT] + n * actor[OUT_STRIDE]
        for i in range(actor[WIDTH]):
            outputs[out + i] = pending[at + i]
    return 0


@jit_call
def _end_source(
    n: Any, actor: Any, sample: Any, first: Any, runs: Any, ring: Any, tags: Any, values: Any, status: Any
) -> int:
    """A source fires: the elements of its sample get into the host's memory."""
    for r in range(actor[RUN], actor[RUN_END]):
        if runs[r, CELL] == 0:
            continue
        size, stride = np.int64(runs[r, SIZE]), np.int64(runs[r, STRIDE])
        cell, token = runs[r, CELL] + ring[runs[r, RING]] * size, np.int64(runs[r, TOKEN])
        for i in range(runs[r, COUNT]):
            if _mark(tags, cell + i * stride, size, ((token + i) << 32) | n, token + i, status) != 0:
                return 1
            values[cell + i * stride] = sample[token + i - first]
    return 0


@jit
def _read(
    n: Any, first: Any, end: Any, runs: Any, ring: Any, tags: Any, values: Any, wire: Any, at: Any, status: Any
) -> int:
    """Read a parcel from memory onto a link; ``at`` < 0: only make sure that it is there."""
    for r in range(first, end):
        count, stride, size = np.int64(runs[r, COUNT]), np.int64(runs[r, STRIDE]), np.int64(runs[r, SIZE])
        cell = runs[r, CELL] + ring[runs[r, RING]] * size
        tag = (np.int64(runs[r, TOKEN]) << 32) | n
        if not _found(tags, cell, stride, count, size, tag):
            return _blame(tags, cell, stride, count, size, tag, status)
        if at >= 0:
            for i in range(count):
                wire[at + i] = values[cell + i * stride]
            at += count
    return 0


@jit
def _write(
    n: Any, first: Any, end: Any, runs: Any, ring: Any, tags: Any, values: Any, wire: Any, at: Any, status: Any
) -> int:
    """Write a parcel from a link into memory; ``at`` < 0: only take its slots."""
    sign = np.int64(0) if at >= 0 else _SIGN
    for r in range(first, end):
        count = np.int64(runs[r, COUNT])
        if runs[r, CELL] != 0:
            stride, size, token = np.int64(runs[r, STRIDE]), np.int64(runs[r, SIZE]), np.int64(runs[r, TOKEN])
            cell = runs[r, CELL] + ring[runs[r, RING]] * size
            for i in range(count):
                tag = ((token + i) << 32) | n | sign
                if _mark(tags, cell + i * stride, size, tag, token + i, status) != 0:
                    return 1
                if at >= 0:
                    values[cell + i * stride] = wire[at + i]
        if at >= 0:
            at += count
    return 0


_I64, _F32, _F64 = types.int64, types.float32, types.float64


@entry(
    "int64(int64, int64, int64, int64, int64, int64, int64,"
    " int32[:, ::1], int64[::1], int64[::1], int64[:, ::1], int32[:, ::1], int64[:, ::1], float32[::1],"
    " int64[:, ::1], float64[:, ::1], float32[::1], float32[::1], int64[:, ::1],"
    " int64[::1], float32[::1], float32[::1], float32[::1], float32[::1],"
    " float32[:, ::1], float32[::1], int64[::1], int64[::1], int64[::1])"
)
def advance(
    first_period: int,
    end_period: int,
    samples: int,
    period: int,
    stages: int,
    first_input_token: int,
    first_row: int,
    events: Any,
    event_tick: Any,
    rings: Any,
    ring_rows: Any,
    runs: Any,
    segments: Any,
    weights: Any,
    actors: Any,
    arguments: Any,
    bias: Any,
    divisor: Any,
    hops: Any,
    tags: Any,
    values: Any,
    pending: Any,
    wire: Any,
    scratch: Any,
    inputs: Any,
    outputs: Any,
    source_ticks: Any,
    sink_ticks: Any,
    status: Any,
) -> int:
    """Execute periods ``first_period`` .. ``end_period - 1`` of a run of ``samples`` iterations.

    ``inputs`` holds the samples from ``first_row`` on that these periods read. ``ring_rows`` (stages, rings) is
    scratch: the row of iteration n says which copy of each kind of ring it uses. Returns 0, or 1 when a token was not
    where it had to be: then ``status`` says which, and where.
    """
    for k in range(first_period, end_period):
        newest = k % stages
        for r in range(len(rings)):
            ring_rows[newest, r] = k % rings[r]
        for e in range(len(events)):
            stage = np.int64(events[e, 2])
            n = k - stage
            if n < 0 or n >= samples:
                continue
            kind, arg = events[e, 0], events[e, 1]
            row = newest - stage
            ring = ring_rows[row + stages if row < 0 else row]
            failed = 0
            if kind == FIRE:
                actor = actors[arg]
                if actor[OP] == _SOURCE:
                    source_ticks[n] = min(source_ticks[n], k * period + event_tick[e])
                elif actor[OP] == _INPUT and not actor[HAS_BIAS] and not actor[HAS_DIVISOR] and actor[ACTIVATION] == 0:
                    s = actor[SEGMENT]
                    failed = _read(
                        n, segments[s, 0], segments[s, 1], runs, ring, tags, values, pending, actor[PENDING], status
                    )
                else:
                    failed = _fire(
                        n, arg, actor, segments, runs, ring, tags, values, weights, arguments, bias, divisor, scratch,
                        pending, status,
                    )  # fmt: skip
            elif kind == END:
                actor = actors[arg]
                if actor[OP] == _SOURCE:
                    failed = _end_source(
                        n, actor, inputs[n - first_row], first_input_token, runs, ring, tags, values, status
                    )
                else:
                    if actor[OP] in (_ARGMAX, _COLLECT):
                        sink_ticks[n] = max(sink_ticks[n], k * period + event_tick[e])
                    failed = _end(n, actor, runs, ring, tags, values, pending, outputs, status)
            else:
                hop = hops[arg]
                at = np.int64(-1)
                if kind in (SEND, ARRIVE):
                    at = hop[WIRE] + ring[hop[WIRE_RING]] * hop[WIRE_SIZE]
                if kind in (SEND, CHECK):
                    failed = _read(n, hop[SRC_RUN], hop[SRC_RUN_END], runs, ring, tags, values, wire, at, status)
                else:
                    failed = _write(n, hop[DST_RUN], hop[DST_RUN_END], runs, ring, tags, values, wire, at, status)
            if failed != 0:
                status[FAILED_EVENT], status[FAILED_PERIOD] = e, k
                return 1
    return 0
