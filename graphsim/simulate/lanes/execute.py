"""The interpreter: one native call runs a program over a range of samples, block by block.

All groups of the graph are done for one block of samples before the next block, and all steps of a chain for one unit
before the next, so that values stay in the cache. A group's rows of a block lie one behind the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from graphsim.graph.ops import OPS
from graphsim.native import entry, jit, jit_call, native
from graphsim.simulate.lanes.program import ELEMENT, INPUT, MATRIX, PATCHES, PORT, STEP, WHOLE
from graphsim.simulate.lanes.sums import copy, floats
from graphsim.simulate.lanes.tiles import TALL, add_atomic, ask8, ask11, call0, call4, call5, call6, call8, pointer
from graphsim.simulate.lanes.walk import SOURCES, TERMS

_STEP_BYTES, _PORT_BYTES = STEP.itemsize, PORT.itemsize
#: How often a member of a team looks for the others before it lets other threads run.
_PATIENCE = 1000
_add: Any = native(OPS["linear"].step)
_divide: Any = native(OPS["divide"].step)


@jit_call
def _periodic(parameter: Any, out: int, count: int, divide: bool) -> None:
    """Add a parameter to values, or divide them by it."""
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


@jit_call
def _fold(
    step: Any, ports: int, where: Any, start: int, last: int, out: int, begin: int, end: int, rooms: int, counts: Any
) -> None:
    """A step's ports, one after the other, for actors begin .. end - 1 of the rows of a block that starts at ``start``.

    ``last`` and ``counts`` as in execute.
    """
    if step.first_port == step.last_port:  # a constant: nothing, from zero
        empty = floats(out + begin * 4, end - begin)
        for i in range(end - begin):
            empty[i] = np.float32(0.0)
    for p in range(step.first_port, step.last_port):
        record = ports + p * _PORT_BYTES
        port = carray(pointer(record), 1, PORT)[0]
        fresh = np.int64(p == step.first_port)
        x = where[port.source, 0] + start * where[port.source, 1] - where[port.source, 2] * begin * 4
        if port.kind == MATRIX:
            first, blocks, columns = begin // port.columns, (end - begin) // port.columns, port.columns
            from_x, to, weights = x + first * port.terms * 4, out + begin * 4, port.weight.address
            behind = (last - start) * where[port.source, 1] - (first + blocks) * port.terms * 4
            given = (from_x, blocks, port.terms, weights, to, columns, columns, fresh, rooms, port.way, max(0, behind))
            counts[0] += ask11(port.accumulate, given)
            counts[1] += blocks
        elif port.sum != 0:
            counts[0] += ask8(port.sum, (record, x, out, step.size, begin, end, fresh, rooms))
            counts[1] += (end - begin) // port.columns * np.int64(port.kind == PATCHES)
        else:
            call8(port.function, (record, x, out, step.size, begin, end, fresh, rooms))


@jit_call
def _element(
    record: int, step: Any, ports: int, where: Any, start: int, out: int, begin: int, end: int, room: Any
) -> None:
    """The same for an op on one term per port: the terms of every port are laid out first."""
    terms, n = room[TERMS], end - begin
    for p in range(step.first_port, step.last_port):
        port_record = ports + p * _PORT_BYTES
        port = carray(pointer(port_record), 1, PORT)[0]
        x = where[port.source, 0] + start * where[port.source, 1]
        to = terms + ((p - step.first_port) * n - begin) * 4
        call8(port.function, (port_record, x, to, step.size, begin, end, np.int64(1), room.ctypes.data))
    call5(step.function, (record, terms, out + begin * 4, begin, n))


@jit_call
def _meet(meeting: int, members: int) -> None:
    """Wait until all members of a team have come here.

    Args:
        meeting: address of three int64: how many are here, how often all were, and a function that lets others run, 0
            for none.
    """
    times = add_atomic(meeting + 8, 0)
    if add_atomic(meeting, 1) == members - 1:
        add_atomic(meeting, -members)
        add_atomic(meeting + 8, 1)
        return
    patience, others = 0, carray(pointer(meeting), 3, np.int64)[2]
    while add_atomic(meeting + 8, 0) == times:
        patience += 1
        if patience > _PATIENCE and others != 0:
            call0(others)


@jit
def _part(step: Any, whole: int, member: int, members: int) -> tuple[int, int]:
    """What a member of a team does of a chain: from where to where in its range."""
    if step.unit == 0:
        return 0, whole if member == 0 else 0
    share = (whole // step.granule + members - 1) // members
    share = (share + TALL - 1) // TALL * TALL * step.granule
    return min(whole, member * share), min(whole, (member + 1) * share)


@entry(f"void({', '.join(['int64'] * 13)})")
def execute(
    steps: int,
    step_count: int,
    ports: int,
    at: int,
    groups: int,
    rooms: int,
    skipped: int,
    first: int,
    last: int,
    block: int,
    member: int,
    members: int,
    meeting: int,
) -> None:
    """Run samples first .. last - 1.

    Args:
        steps, ports: addresses of the program's records.
        at: address of int64 (groups, 3): where the rows of sample 0 lie, bytes from sample to sample (0 for values that
            live only as long as their block), and 1 where only one unit lies there, else 0.
        rooms: address of 8 addresses of scratch, see :mod:`graphsim.simulate.lanes.walk`.
        skipped: address of int64 (steps, 2): rows of weighted sums done by skipping zeros, and all, are added here.
        block: samples per block.
        member, members: number of this thread in a team that runs every chain together, and how many there are. Rows of
            a block are theirs together; what lies in a unit, and scratch, is each one's own.
        meeting: address of where they meet, see :func:`_meet`.
    """
    where = carray(pointer(at), (groups, 3), np.int64)
    counts = carray(pointer(skipped), (step_count, 2), np.int64)
    room = carray(pointer(rooms), 8, np.int64)
    sources = carray(pointer(room[SOURCES]), 1 << 40, np.int64)
    for start in range(first, last, block):
        rows = min(block, last - start)
        head = 0
        while head < step_count:
            chain = carray(pointer(steps + head * _STEP_BYTES), 1, STEP)[0]
            whole = rows * chain.size
            unit = chain.unit if chain.unit else whole
            part_begin, part_end = 0, whole
            if members > 1:
                part_begin, part_end = _part(chain, whole, member, members)
            for begin in range(part_begin, part_end, unit):
                end = min(begin + unit, part_end)
                for s in range(head, head + chain.chain):
                    record = steps + s * _STEP_BYTES
                    step = carray(pointer(record), 1, STEP)[0]
                    out = where[step.group, 0] + start * where[step.group, 1]
                    if step.kind == INPUT:
                        port = carray(pointer(ports + step.first_port * _PORT_BYTES), 1, PORT)[0]
                        x = where[port.source, 0] + start * where[port.source, 1]
                        if x != out:
                            copy(out, whole, x, whole, 1, whole)
                    elif step.kind == ELEMENT:
                        _element(record, step, ports, where, start, out, begin, end, room)
                        continue
                    elif step.kind == WHOLE:
                        for p in range(step.first_port, step.last_port):
                            port = carray(pointer(ports + p * _PORT_BYTES), 1, PORT)[0]
                            sources[p - step.first_port] = where[port.source, 0] + start * where[port.source, 1]
                        first_port = ports + step.first_port * _PORT_BYTES
                        call6(step.function, (record, first_port, room[SOURCES], out, rows, rooms))
                        continue
                    else:
                        out -= where[step.group, 2] * begin * 4
                        _fold(step, ports, where, start, last, out, begin, end, rooms, counts[s])
                    to, n = out + begin * 4, end - begin
                    if step.count.address != 0:
                        _periodic(step.count, to, n, True)
                    if step.bias.address != 0:
                        _periodic(step.bias, to, n, False)
                    if step.divisor.address != 0:
                        _periodic(step.divisor, to, n, True)
                    if step.activation != 0:
                        call4(step.activation, (record, to, n, room[TERMS]))
            if members > 1:
                _meet(meeting, members)
            head += chain.chain
