"""In which order operations are done, in which registers, and where values wait: native code.

The order is the one of two, as given or depth first, that loads less when registers are few. Registers are emptied of
what is needed last (Belady), slots of memory are taken again when what was in them is needed no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import entry, jit_call

#: Steps of a plan: a register from a slot, a slot from a register, an operation.
LOAD, STORE, OPERATE = 0, 1, 2
_NEVER = 0x7FFFFFFF


@entry("void(int64, int32[:,::1], uint8[::1], int32[::1], int32[::1])")
def depth_first(base: int, reads: Any, fan_in: Any, roots: Any, order: Any) -> None:
    """``order``, int32 (operations,): each behind what it reads, the deepest first, from the first root on."""
    n = len(order)
    depth = np.zeros(base + n, np.int32)
    for g in range(n):
        deepest = 0
        for i in range(fan_in[g]):
            deepest = max(deepest, depth[reads[g, i]])
        depth[base + g] = deepest + 1
    state = np.zeros(n, np.uint8)  # 0 not met, 1 waits for what it reads, 2 done
    stack = np.zeros(3 * n + 1, np.int32)
    at = 0
    for r in range(len(roots)):
        if roots[r] < base:
            continue
        stack[0] = roots[r] - base
        top = 1
        while top:
            g = stack[top - 1]
            if state[g]:
                top -= 1
                if state[g] == 1:
                    state[g] = 2
                    order[at] = g
                    at += 1
                continue
            state[g] = 1
            first = top
            for i in range(fan_in[g]):
                below = reads[g, i] - base
                if below < 0 or state[below]:
                    continue
                k = top
                while k > first and depth[base + stack[k - 1]] > depth[base + below]:
                    stack[k] = stack[k - 1]
                    k -= 1
                stack[k] = below
                top += 1


@jit_call
def _next_uses(base: int, reads: Any, fan_in: Any, roots: Any, order: Any, following: Any, first: Any) -> None:
    """By position in the order and by read: the position of the next use of what is read; and of each given value."""
    n = len(order)
    for v in range(base + n):
        first[v] = _NEVER
    for r in range(len(roots)):
        first[roots[r]] = n
    for t in range(n - 1, -1, -1):
        g = order[t]
        for i in range(fan_in[g]):
            following[t, i] = first[reads[g, i]]
        for i in range(fan_in[g]):
            first[reads[g, i]] = t
        following[t, 3] = first[base + g]


@jit_call
def _take(free: Any, room: Any) -> Any:
    """A slot: one that was given back, the latest first, or a new one. ``room``: slots to be had, and slots in all."""
    if room[0]:
        room[0] -= 1
        return free[room[0]]
    room[1] += 1
    return room[1] - 1


@jit_call
def _give(free: Any, room: Any, slot: int) -> None:
    free[room[0]] = slot
    room[0] += 1


@entry(
    "int64(int64, int32[:,::1], uint8[::1], int32[::1], int32[::1], int64, int64, int32[::1], int32[:,::1], int64[::1])"
)
def plan(
    base: int,
    reads: Any,
    fan_in: Any,
    roots: Any,
    order: Any,
    registers: int,
    part: int,
    slots: Any,
    steps: Any,
    counts: Any,
) -> int:
    """How operations are done with few registers.

    Args:
        base, reads, fan_in, roots: of a network.
        order: int32 (operations,).
        registers: how many values are at hand at a time; at least 4.
        part: after every so many operations, all registers are emptied.
        slots: int32 (values,): becomes the slot of each value that was stored last; given values have their own number.
        steps: int32 (many, 2): becomes (LOAD or STORE or OPERATE, value).
        counts: int64 (2,): becomes loads, and slots.

    Returns:
        How many steps there are; or -1 if ``steps`` is too short.
    """
    n = len(order)
    values = base + n
    following = np.zeros((n, 4), np.int32)
    needed = np.zeros(values, np.int32)
    _next_uses(base, reads, fan_in, roots, order, following, needed)
    held = np.full(registers, -1, np.int32)  # value in each register
    where = np.full(values, -1, np.int32)  # register of each value
    free = np.zeros(n + 1, np.int32)
    room = np.array([0, base], np.int64)
    at = 0
    loads = 0
    pinned = np.full(registers, -1, np.int32)
    for v in range(values):
        slots[v] = v if v < base else -1
    for t in range(n):
        g = order[t]
        if at + registers + 16 > len(steps):
            return -1
        for i in range(fan_in[g] + 1):
            value = reads[g, i] if i < fan_in[g] else base + g
            if i == fan_in[g]:  # what is read the last time leaves its register, and its slot if it has one
                for j in range(fan_in[g]):
                    old = reads[g, j]
                    needed[old] = following[t, j]
                    if needed[old] == _NEVER and where[old] >= 0:
                        held[where[old]] = -1
                        where[old] = -1
                        if old >= base and slots[old] >= 0:
                            _give(free, room, slots[old])
                needed[value] = following[t, 3]
            elif where[value] >= 0:
                pinned[where[value]] = t
                continue
            chosen = -1
            latest = -1
            for k in range(registers):
                if held[k] < 0:
                    chosen = k
                    latest = _NEVER
                    break
                if (pinned[k] != t or i == fan_in[g]) and needed[held[k]] > latest:
                    latest = needed[held[k]]
                    chosen = k
            old = held[chosen]
            if old >= 0:
                where[old] = -1
                if slots[old] < 0 and needed[old] != _NEVER:
                    slots[old] = _take(free, room)
                    steps[at, 0], steps[at, 1] = STORE, old
                    at += 1
            held[chosen] = value
            where[value] = chosen
            pinned[chosen] = t
            steps[at, 0], steps[at, 1] = LOAD if i < fan_in[g] else OPERATE, value
            at += 1
            loads += i < fan_in[g]
        if (t + 1) % part == 0 or t + 1 == n:
            for k in range(registers):
                old = held[k]
                if old < 0:
                    continue
                held[k] = -1
                where[old] = -1
                if slots[old] < 0 and needed[old] != _NEVER:
                    slots[old] = _take(free, room)
                    steps[at, 0], steps[at, 1] = STORE, old
                    at += 1
    counts[0], counts[1] = loads, room[1]
    return at


@entry("int64(int64, int32[:,::1], uint8[::1], int32[::1], int32[::1], int32[::1])")
def place(base: int, reads: Any, fan_in: Any, roots: Any, order: Any, slots: Any) -> Any:
    """Slots for all values, as :func:`plan` without registers; how many there are.

    The result of an operation may have the slot of a value that it is the last to read.
    """
    n = len(order)
    following = np.zeros((n, 4), np.int32)
    needed = np.zeros(base + n, np.int32)
    _next_uses(base, reads, fan_in, roots, order, following, needed)
    free = np.zeros(n + 1, np.int32)
    room = np.array([0, base], np.int64)
    for v in range(base):
        slots[v] = v
    for t in range(n):
        g = order[t]
        for i in range(fan_in[g]):
            if reads[g, i] >= base and following[t, i] == _NEVER:
                _give(free, room, slots[reads[g, i]])
        slots[base + g] = _take(free, room)
        if following[t, 3] == _NEVER:
            _give(free, room, slots[base + g])
    return room[1]
