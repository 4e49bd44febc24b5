"""Search for fewer gates, in circuits of few inputs, with the whole truth table of every gate at hand.

The circuit is one of two-input gates. A step takes a gate and asks which inputs its value matters for at all: those for
which some output changes with it (its *care set*, Mishchenko and Brayton, "SAT-based complete don't-care computation
for network optimization", 2005; here from truth tables). It then looks for another gate that has the value there, or
for two whose values tell it, or for one and a new gate of two others (*resubstitution*). What makes the circuit smaller
is taken; what leaves it as big is taken too, so that the search drifts over circuits of equal size and finds what no
improving step alone leads to. Chance is seeded: equal circuits and seeds make equal circuits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.native import entry, jit, jit_call

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_ZERO = np.uint64(0)
#: New gates of two others that a step tries.
_TRIALS = 12
#: Pairs that fit, of which a step looks how big the circuit would be.
_FITTING = 24


@jit
def _random(state: Words, below: int) -> Any:
    """A number below a limit (xorshift64*, Vigna 2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((x * np.uint64(0x2545_F491_4F6C_DD1D)) >> np.uint64(33)) % below


@jit
def _apply(op: int, p: Any, q: Any) -> Any:
    """A two-input gate on words: bit ``p + 2 * q`` of its table."""
    found = _ZERO
    if op & 1:
        found |= ~p & ~q
    if op & 2:
        found |= p & ~q
    if op & 4:
        found |= ~p & q
    if op & 8:
        found |= p & q
    return found


@jit_call
def _evaluate(inputs: int, count: int, a: Ints, b: Ints, op: Ints, value: Words) -> None:
    for g in range(inputs, count):
        for w in range(value.shape[1]):
            value[g, w] = _apply(op[g], value[a[g], w], value[b[g], w])


@jit_call
def _live(inputs: int, count: int, a: Ints, b: Ints, outputs: Ints, live: Ints, stack: Ints) -> int:
    """Mark what outputs (literals) depend on; returns the number of gates."""
    live[:count] = 0
    top = gates = 0
    for o in outputs:
        if live[o >> 1] == 0:
            live[o >> 1] = 1
            stack[top] = o >> 1
            top += 1
    while top:
        top -= 1
        g = stack[top]
        if g < inputs:
            continue
        gates += 1
        if live[a[g]] == 0:
            live[a[g]] = 1
            stack[top] = a[g]
            top += 1
        if live[b[g]] == 0:
            live[b[g]] = 1
            stack[top] = b[g]
            top += 1
    return gates


@jit_call
def _tidy(inputs: int, count: int, a: Ints, b: Ints, op: Ints, outputs: Ints, place: Ints, stack: Ints) -> int:
    """Renumber the gates that outputs depend on, each behind those that it reads; returns the new count of signals."""
    place[:count] = -1
    place[:inputs] = np.arange(inputs)
    new_a, new_b, new_op = a[:count].copy(), b[:count].copy(), op[:count].copy()
    made = inputs
    for o in outputs:
        top = 1
        stack[0] = o >> 1
        while top:
            g = stack[top - 1]
            if place[g] >= 0:
                top -= 1
            elif place[a[g]] < 0:
                stack[top] = a[g]
                top += 1
            elif place[b[g]] < 0:
                stack[top] = b[g]
                top += 1
            else:
                top -= 1
                new_a[made], new_b[made], new_op[made] = place[a[g]], place[b[g]], op[g]
                place[g] = made
                made += 1
    for i in range(len(outputs)):
        outputs[i] = 2 * place[outputs[i] >> 1] | (outputs[i] & 1)
    a[:made], b[:made], op[:made] = new_a[:made], new_b[:made], new_op[:made]
    return made


@jit_call
def _fits(on: Words, off: Words, p: Words, q: Words) -> Any:
    """The two-input gate of p and q that is 1 wherever ``on`` is and 0 wherever ``off`` is; -1 if there is none."""
    ones = zeros = 0
    for w in range(len(on)):
        x, y, n, f = p[w], q[w], on[w], off[w]
        if n & ~x & ~y:
            ones |= 1
        if n & x & ~y:
            ones |= 2
        if n & ~x & y:
            ones |= 4
        if n & x & y:
            ones |= 8
        if f & ~x & ~y:
            zeros |= 1
        if f & x & ~y:
            zeros |= 2
        if f & ~x & y:
            zeros |= 4
        if f & x & y:
            zeros |= 8
        if ones & zeros:
            return -1
    return ones


@jit_call
def _replace(count: int, r: int, literal: int, a: Ints, b: Ints, op: Ints, outputs: Ints) -> None:
    """Let everybody who reads gate r read a literal instead."""
    other, turned = literal >> 1, literal & 1
    for g in range(count):
        t = op[g]
        if a[g] == r:
            a[g] = other
            if turned:
                t = ((t & 5) << 1) | ((t & 10) >> 1)
        if b[g] == r:
            b[g] = other
            if turned:
                t = ((t & 3) << 2) | ((t & 12) >> 2)
        op[g] = t
    for i in range(len(outputs)):
        if outputs[i] >> 1 == r:
            outputs[i] = 2 * other | ((outputs[i] & 1) ^ turned)


@entry("int64(int64, int64, int64[::1], int64[::1], int64[::1], int64[::1], uint64[:,::1], int64, int64, uint64[::1])")
def search(
    inputs: int,
    count: int,
    a: Ints,
    b: Ints,
    op: Ints,
    outputs: Ints,
    value: Words,
    steps: int,
    rise: int,
    chance: Words,
) -> int:
    """Make a circuit smaller, in place; returns the new count of signals.

    Signals below ``inputs`` are inputs, whose values come in ``value``; signal g from there on is the gate ``op[g]`` of
    ``a[g]`` and ``b[g]``. The arrays have room for two more. ``outputs``: literals, twice a signal plus 1 for its
    complement. ``chance``: the state of the random numbers, not 0.
    """
    words = value.shape[1]
    live, stack = np.zeros(len(a), np.int64), np.zeros(2 * len(a) + 8, np.int64)
    after = np.zeros(len(a), np.int64)
    other = np.zeros_like(value)
    on, off, made = np.zeros(words, np.uint64), np.zeros(words, np.uint64), np.zeros(words, np.uint64)
    divisors = np.zeros(len(a), np.int64)
    count = _tidy(inputs, count, a, b, op, outputs, live, stack)
    _evaluate(inputs, count, a, b, op, value)
    for _ in range(steps):
        if count == inputs:
            break
        size = count - inputs
        r = inputs + _random(chance, size)
        # Where does it matter?
        after[:count] = 0
        after[r] = 1
        for w in range(words):
            other[r, w] = ~value[r, w]
        for g in range(r + 1, count):
            if after[a[g]] or after[b[g]]:
                after[g] = 1
                for w in range(words):
                    p = other[a[g], w] if after[a[g]] else value[a[g], w]
                    q = other[b[g], w] if after[b[g]] else value[b[g], w]
                    other[g, w] = _apply(op[g], p, q)
        on[:] = 0
        for o in outputs:
            if after[o >> 1]:
                for w in range(words):
                    on[w] |= value[o >> 1, w] ^ other[o >> 1, w]
        for w in range(words):
            off[w] = on[w] & ~value[r, w]
            on[w] &= value[r, w]
        # Signals that do not depend on it, in random order.
        n = 0
        for d in range(count):
            if not after[d]:
                divisors[n] = d
                n += 1
        for i in range(n - 1, 0, -1):
            j = _random(chance, i + 1)
            divisors[i], divisors[j] = divisors[j], divisors[i]
        done = False
        for i in range(n):
            d = divisors[i]
            same, opposite = True, True
            for w in range(words):
                x = value[d, w]
                if (on[w] & ~x) | (off[w] & x):
                    same = False
                if (on[w] & x) | (off[w] & ~x):
                    opposite = False
                if not same and not opposite:
                    break
            if same or opposite:
                _replace(count, r, 2 * d + int(not same), a, b, op, outputs)
                done = True
                break
        if not done:
            old_a, old_b, old_op = a[r], b[r], op[r]
            best, best_a, best_b, best_op, fitting = size + 1, -1, -1, -1, 0
            for i in range(n):
                p = divisors[i]
                for j in range(i):
                    q = divisors[j]
                    if (p == old_a and q == old_b) or (p == old_b and q == old_a):
                        continue
                    t = _fits(on, off, value[p], value[q])
                    if t < 0:
                        continue
                    a[r], b[r] = p, q
                    gates = _live(inputs, count, a, b, outputs, live, stack)
                    fitting += 1
                    if gates < best:
                        best, best_a, best_b, best_op = gates, p, q, t
                    if fitting == _FITTING:
                        break
                if fitting == _FITTING:
                    break
            if best <= size:
                a[r], b[r], op[r] = best_a, best_b, best_op
                done = True
            else:
                a[r], b[r], op[r] = old_a, old_b, old_op
            if best >= size and n > 2:
                # A new gate of two others, and one more.
                keep_a, keep_b = a[r], b[r]
                limit = size
                if rise and count + 2 < len(a) and _random(chance, rise) == 0:
                    limit += 1
                for _trial in range(_TRIALS):
                    p, q = divisors[_random(chance, n)], divisors[_random(chance, n)]
                    if p == q:
                        continue
                    kind = _random(chance, 5)
                    t = 8 if kind == 0 else 2 if kind == 1 else 4 if kind == 2 else 1 if kind == 3 else 6
                    for w in range(words):
                        made[w] = _apply(t, value[p, w], value[q, w])
                    taken = False
                    for i in range(n):
                        d = divisors[i]
                        if d in (p, q):
                            continue
                        u = _fits(on, off, value[d], made)
                        if u < 0:
                            continue
                        a[count], b[count], op[count] = p, q, t
                        a[r], b[r] = d, count
                        gates = _live(inputs, count + 1, a, b, outputs, live, stack)
                        if gates <= limit:
                            op[r] = u
                            count += 1
                            taken = done = True
                            break
                        a[r], b[r] = keep_a, keep_b
                    if taken:
                        break
        if done:
            count = _tidy(inputs, count, a, b, op, outputs, live, stack)
            _evaluate(inputs, count, a, b, op, value)
    return count
