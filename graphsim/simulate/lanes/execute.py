"""The interpreter: one native call runs a program over a range of samples, block by block.

All groups of the graph are done for one block of samples before the next block, so that values stay in the cache. A
group's rows of a block lie one behind the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from graphsim.graph.ops import OPS
from graphsim.simulate.lanes.program import FOLD, INPUT, MATRIX, PORT, STEP, SUM, WHOLE
from graphsim.simulate.lanes.sums import accumulate, copy, fill, floats
from graphsim.simulate.lanes.tiles import call4, call6, pointer
from graphsim.simulate.native import entry, jit_call, native

_STEP_BYTES, _PORT_BYTES = STEP.itemsize, PORT.itemsize
_add: Any = native(OPS["linear"].step)
_divide: Any = native(OPS["divide"].step)


@jit_call
def _periodic(parameter: Any, out: int, count: int, divide: bool) -> None:
    """Add a parameter to rows, or divide them by it."""
    inner, length = parameter.inner, parameter.length
    p = floats(parameter.address, length)
    for first in range(0, count, inner * length):
        v = floats(out + first * 4, inner * length)
        if inner == 1 and not divide:
            for i in range(length):
                v[i] = _add(v[i], p[i])
        else:
            for i in range(length):
                for j in range(i * inner, (i + 1) * inner):
                    v[j] = _divide(v[j], p[i]) if divide else _add(v[j], p[i])


@entry(f"void({', '.join(['int64'] * 11)})")
def execute(
    steps: int,
    step_count: int,
    ports: int,
    at: int,
    groups: int,
    room: int,
    skipped: int,
    first: int,
    last: int,
    block: int,
    way: int,
) -> None:
    """Run samples first .. last - 1.

    Args:
        steps, ports: addresses of the program's records.
        at: address of int64 (groups, 2): where the rows of sample 0 lie, and bytes from sample to sample (0 for
            values that live only as long as their block).
        room: address of 5 addresses of scratch: the four of :func:`graphsim.simulate.lanes.sums.room`, and one for
            Program.scratch.
        skipped: address of int64 (steps, 2): rows of weighted sums done by skipping zeros, and all, are added here.
        block: samples per block.
        way: of weighted sums: AUTO, SKIP or DENSE.
    """
    where = carray(pointer(at), (groups, 2), np.int64)
    counts = carray(pointer(skipped), (step_count, 2), np.int64)
    r = carray(pointer(room), 5, np.int64)
    scratch = (r[0], r[1], r[2], r[3], r[4])
    for start in range(first, last, block):
        rows = min(block, last - start)
        for s in range(step_count):
            record = steps + s * _STEP_BYTES
            step = carray(pointer(record), 1, STEP)[0]
            size, count = step.size, rows * step.size
            out = where[step.group, 0] + start * where[step.group, 1]
            fresh = step.kind == SUM
            for p in range(step.first_port, step.last_port):
                port_record = ports + p * _PORT_BYTES
                port = carray(pointer(port_record), 1, PORT)[0]
                x = where[port.source, 0] + start * where[port.source, 1]
                if step.kind == INPUT:
                    if x != out:
                        copy(out, count, x, count, 1, count)
                elif port.kind == MATRIX:
                    blocks = rows * (size // port.columns)
                    weights = port.weight.address
                    done = accumulate(x, blocks, port.terms, weights, out, port.columns, fresh, scratch, way)
                    counts[s, 0] += done
                    counts[s, 1] += blocks
                elif step.kind == WHOLE:
                    call6(port.function, (record, port_record, x, out, rows, scratch[4]))
                else:
                    if fresh:
                        fill(out, count)
                    first_term = np.int64(step.kind == FOLD and p == step.first_port)
                    call6(port.function, (port_record, x, out, rows, size, first_term))
                fresh = False
            if step.count.address != 0:
                _periodic(step.count, out, count, True)
            if step.bias.address != 0:
                _periodic(step.bias, out, count, False)
            if step.divisor.address != 0:
                _periodic(step.divisor, out, count, True)
            if step.activation != 0:
                call4(step.activation, (record, out, count, scratch[4]))
