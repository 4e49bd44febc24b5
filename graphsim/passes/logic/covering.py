"""Circuits of two-input gates covered by tables of k inputs: native code.

A *cut* of a gate is a set of signals, at most k, from which its value follows: a table of these can stand for it. Gates
are taken in order; each keeps a few cuts, made by joining those of its fanins, the best ones first (priority cuts:
Mishchenko, Cho, Chatterjee, Brayton, "Combinational and sequential mapping with priority cuts", 2007). The first walk
finds the least depth, as FlowMap does (Cong and Ding 1994); the next ones choose by area flow, which shares a table's
cost among its readers, and the last by the exact number of tables that a choice adds to the cover as it stands
(Mishchenko, Chatterjee, Brayton, "Improvements to technology mapping for LUT-based FPGAs", 2007), looked at a few
tables deep. Depth is only kept where it is asked for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphsim.graph.circuit import Int32Array, Words
from graphsim.native import entry, jit, jit_call
from graphsim.passes.logic.words import ONES, V, Word, cofactor, shrunk, stretched

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
#: Cuts that a gate keeps.
_CUTS = 8
#: Walks over the circuit: by depth, by area flow, by exact area.
_FLOW, _EXACT = 2, 3
_FAR = 1 << 30


@jit
def _joined(a: Int32Array, m: int, b: Int32Array, n: int, k: int, out: Int32Array) -> int:
    """The union of two ascending sets, in ``out``; its size, or -1 if there are more than k."""
    i = j = size = 0
    while i < m or j < n:
        if size == k:
            return -1
        if j == n or (i < m and a[i] < b[j]):
            out[size] = a[i]
            i += 1
        else:
            if i < m and a[i] == b[j]:
                i += 1
            out[size] = b[j]
            j += 1
        size += 1
    return size


@jit_call
def _count(
    leaves: Int32Array,
    size: int,
    first: int,
    deep: int,
    by: int,
    best: Int32Array,
    sizes: Ints,
    used: Ints,
    stack: Ints,
) -> int:
    """Tables that come into use (by = 1), or go out of use (by = -1), with a reader of some signals: those alone that
    are at most ``deep`` tables away.
    """
    found = 0
    top = 0
    for i in range(size):
        stack[2 * top], stack[2 * top + 1] = leaves[i], deep
        top += 1
    while top:
        top -= 1
        signal, left = stack[2 * top], stack[2 * top + 1]
        before = used[signal]
        used[signal] += by
        if signal < first or (before if by > 0 else used[signal]) != 0:
            continue
        found += 1
        if left > 1:
            g = signal - first
            for i in range(sizes[g]):
                stack[2 * top], stack[2 * top + 1] = best[g, i], left - 1
                top += 1
    return found


@entry("void(int64, int64, boolean, int64[::1], int32[::1], int64[::1], int32[:,::1], int64[::1])")
def cover(
    k: int,
    first: int,
    shallow: bool,
    indptr: Ints,
    index: Int32Array,
    roots: Ints,
    best: Int32Array,
    sizes: Ints,
) -> None:
    """Choose a cut for every gate: ``best[g, : sizes[g]]``."""
    gates = len(sizes)
    signals = first + gates
    cuts = np.zeros((gates, _CUTS, k), np.int32)
    many = np.zeros(gates, np.int64)
    length = np.zeros((gates, _CUTS), np.int64)
    arrival, flow = np.zeros(signals, np.int64), np.zeros(signals, np.float64)
    required = np.full(signals, _FAR, np.int64)
    readers, used = np.zeros(signals, np.float64), np.zeros(signals, np.int64)
    for s in index:
        readers[s] += 1.0
    for s in roots:
        readers[s] += 1.0
    new = np.zeros((_CUTS + 2, k), np.int32)
    new_size, new_arrival = np.zeros(_CUTS + 2, np.int64), np.zeros(_CUTS + 2, np.int64)
    new_cost = np.zeros(_CUTS + 2, np.float64)
    one, other, out = np.zeros(k, np.int32), np.zeros(k, np.int32), np.zeros(k, np.int32)
    deep = 5 if k <= 3 else 3
    stack = np.zeros(2 * k * (k**deep + k), np.int64)
    for walk in range(1 + _FLOW + _EXACT):
        exact, by_depth = walk > _FLOW, walk == 0 and shallow
        for g in range(gates):
            start, fan_in = indptr[g], indptr[g + 1] - indptr[g]
            s = first + g
            in_use = exact and used[s] > 0
            if in_use:
                _count(best[g], sizes[g], first, deep, -1, best, sizes, used, stack)
            n = 0
            a = index[start] if fan_in > 0 else -1
            b = index[start + 1] if fan_in > 1 else -1
            count_a = many[a - first] + 1 if a >= first else 1
            count_b = many[b - first] + 1 if b >= first else 1
            # Number -1 stands for the cut that was chosen before, so that no walk makes the cover worse.
            for pair in range(-1 if walk else 0, count_a * count_b):
                if pair < 0:
                    size = sizes[g]
                    for i in range(size):
                        out[i] = best[g, i]
                else:
                    i, j = pair // count_b, pair % count_b
                    size_a = size_b = 0
                    if fan_in > 0:
                        if a >= first and i < many[a - first]:
                            size_a = length[a - first, i]
                            for x in range(size_a):
                                one[x] = cuts[a - first, i, x]
                        else:
                            one[0], size_a = a, 1
                    if fan_in > 1:
                        if b >= first and j < many[b - first]:
                            size_b = length[b - first, j]
                            for x in range(size_b):
                                other[x] = cuts[b - first, j, x]
                        else:
                            other[0], size_b = b, 1
                    size = _joined(one, size_a, other, size_b, k, out)
                if size < 0:
                    continue
                known = False
                for c in range(n):
                    same = new_size[c] == size
                    for i in range(size):
                        same = same and new[c, i] == out[i]
                    known = known or same
                if known:
                    continue
                when = 0
                for i in range(size):
                    when = max(when, arrival[out[i]])
                if size:
                    when += 1
                if walk and pair >= 0 and when > required[s]:
                    continue
                if exact:
                    cost = float(_count(out, size, first, deep, 1, best, sizes, used, stack))
                    _count(out, size, first, deep, -1, best, sizes, used, stack)
                else:
                    cost = 1.0
                    for i in range(size):
                        cost += flow[out[i]]
                # Insertion into the few best.
                at = n
                while at > 0:
                    c = at - 1
                    if by_depth:
                        less = when < new_arrival[c] or (when == new_arrival[c] and cost < new_cost[c] - 1e-9)
                    else:
                        less = cost < new_cost[c] - 1e-9 or (
                            cost <= new_cost[c] + 1e-9
                            and (when < new_arrival[c] or (when == new_arrival[c] and size < new_size[c]))
                        )
                    if not less:
                        break
                    at -= 1
                if at == _CUTS:
                    continue
                n = min(n + 1, _CUTS)
                for c in range(n - 1, at, -1):
                    for i in range(new_size[c - 1]):
                        new[c, i] = new[c - 1, i]
                    new_size[c] = new_size[c - 1]
                    new_arrival[c], new_cost[c] = new_arrival[c - 1], new_cost[c - 1]
                for i in range(size):
                    new[at, i] = out[i]
                new_size[at], new_arrival[at], new_cost[at] = size, when, cost
            for c in range(n):
                length[g, c] = new_size[c]
                for i in range(new_size[c]):
                    cuts[g, c, i] = new[c, i]
            many[g], sizes[g], arrival[s] = n, new_size[0], new_arrival[0]
            for i in range(sizes[g]):
                best[g, i] = new[0, i]
            total = 1.0
            for i in range(sizes[g]):
                total += flow[best[g, i]]
            flow[s] = total / max(1.0, readers[s])
            if in_use:
                _count(best[g], sizes[g], first, deep, 1, best, sizes, used, stack)
        # What is in use, by whom, and until when it is needed.
        used[:] = 0
        latest = 0
        for s in roots:
            used[s] += 1
            latest = max(latest, arrival[s])
        required[:] = _FAR
        if shallow:
            for s in roots:
                required[s] = latest
        for g in range(gates - 1, -1, -1):
            s = first + g
            if used[s] == 0:
                continue
            for i in range(sizes[g]):
                used[best[g, i]] += 1
                required[best[g, i]] = min(required[best[g, i]], required[s] - 1 if shallow else _FAR)
        for s in range(signals):
            readers[s] = (2.0 * readers[s] + float(used[s])) / 3.0 if walk else (readers[s] + float(used[s])) / 2.0


@jit
def _composed(table: Word, index: Int32Array, start: int, fan_in: int, word: Words) -> Word:
    """A gate of at most two inputs, of the tables of its inputs."""
    if fan_in == 0:
        return table
    x = word[index[start]]
    if fan_in == 1:
        return (cofactor(table, 0, True) & x) | (cofactor(table, 0, False) & (x ^ ONES))
    y = word[index[start + 1]]
    low, high = cofactor(table, 1, False), cofactor(table, 1, True)
    low = (cofactor(low, 0, True) & x) | (cofactor(low, 0, False) & (x ^ ONES))
    high = (cofactor(high, 0, True) & x) | (cofactor(high, 0, False) & (x ^ ONES))
    return (high & y) | (low & (y ^ ONES))


@entry(
    "int64(int64, int64[::1], int32[::1], uint64[::1], int64[::1], int32[:,::1], int64[::1], uint64[::1], boolean[::1])"
)
def tables_of(
    first: int,
    indptr: Ints,
    index: Int32Array,
    truth: Words,
    roots: Ints,
    best: Int32Array,
    sizes: Ints,
    made: Words,
    used: npt.NDArray[np.bool_],
) -> int:
    """Mark the gates whose tables are used and work out the tables; returns how many there are."""
    gates = len(sizes)
    stamp = np.full(first + gates, -1, np.int64)
    word = np.zeros(first + gates, np.uint64)
    stack = np.zeros(2 * gates + 16, np.int64)
    for s in roots:
        if s >= first:
            used[s - first] = True
    count = 0
    for g in range(gates - 1, -1, -1):
        if not used[g]:
            continue
        count += 1
        for i in range(sizes[g]):
            leaf = best[g, i]
            stamp[leaf] = g
            word[leaf] = V[i]
            if leaf >= first:
                used[leaf - first] = True
        stack[0] = first + g
        top = 1
        while top:
            s = stack[top - 1]
            if stamp[s] == g:
                top -= 1
                continue
            start, fan_in = indptr[s - first], indptr[s - first + 1] - indptr[s - first]
            ready = True
            for i in range(fan_in):
                if stamp[index[start + i]] != g:
                    stack[top] = index[start + i]
                    top += 1
                    ready = False
            if not ready:
                continue
            top -= 1
            stamp[s] = g
            word[s] = _composed(stretched(truth[s - first], fan_in), index, start, fan_in, word)
        made[g] = shrunk(word[first + g], sizes[g])
    return count
