"""Covering a network of small gates with as few 3-input tables as cuts show: native code.

Cuts of at most three leaves are enumerated from the inputs on, the best few of each node are kept (priority cuts;
Mishchenko, Cho, Chatterjee, Brayton: "Combinational and sequential mapping with priority cuts", ICCAD 2007), first by
area flow, and then the cover is improved by exact local area. A table is a word of eight bits: bit m is the value
where bit i of m is the value of leaf i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.native import entry, jit_call
from graphsim.simulate.circuit.apart import ABSENT

#: Cuts that are kept of each node.
CUTS = 8
#: Rounds of exact local area.
_ROUNDS = 2

_V0, _V1, _V2 = 0xAA, 0xCC, 0xF0


def _spread_table() -> npt.NDArray[np.uint8]:
    """uint8 (8, 256): a table over the leaves whose places are the bits of the first index, as one over all places."""
    spread = np.zeros((8, 256), np.uint8)
    tables = np.arange(256)
    for places in range(8):
        chosen = [i for i in range(3) if places >> i & 1]
        for m in range(8):
            old = sum((m >> place & 1) << i for i, place in enumerate(chosen))
            spread[places] |= ((tables >> old & 1) << m).astype(np.uint8)
    return spread


SPREAD = _spread_table()


@jit_call
def _merge(a: Any, i: int, b: Any, j: int, out: Any) -> bool:
    """Union of two ascending lists of three leaves, ``a[i:i + 3]`` and ``b[j:j + 3]``; false if there are more."""
    i_end, j_end, n = i + 3, j + 3, 0
    while True:
        x = a[i] if i < i_end else ABSENT
        y = b[j] if j < j_end else ABSENT
        low = min(x, y)
        if low == ABSENT:
            break
        if n == 3:
            return False
        out[n] = low
        n += 1
        if x == low:
            i += 1
        if y == low:
            j += 1
    while n < 3:
        out[n] = ABSENT
        n += 1
    return True


@jit_call
def _spread(table: int, own: Any, at: int, whole: Any, spread: Any) -> Any:
    """A cut's table over its own leaves, ``own[at:at + 3]``, as one over more leaves."""
    places = 0
    end = at + 3
    for i in range(3):
        if at < end and whole[i] != ABSENT and own[at] == whole[i]:
            places |= 1 << i
            at += 1
    return spread[places, table]


@jit_call
def _composed(gate: int, fan_in: int, x: int, y: int, z: int) -> int:
    """The gate's table, its inputs being tables over the same leaves."""
    result = 0
    for m in range(1 << fan_in):
        if gate >> m & 1:
            term = 0xFF
            if fan_in > 0:
                term &= x if m & 1 else ~x
            if fan_in > 1:
                term &= y if m & 2 else ~y
            if fan_in > 2:
                term &= z if m & 4 else ~z
            result |= term
    return result & 0xFF


@jit_call
def _shrunk(table: int, leaves: Any) -> int:
    """Take leaves out on which the table does not depend; the table over those that are left."""
    n = 0
    for i in range(3):
        shift = 1 << i
        zeros = _V0 ^ 0xFF if i == 0 else _V1 ^ 0xFF if i == 1 else _V2 ^ 0xFF
        if leaves[i] == ABSENT or (table >> shift) & zeros == table & zeros:
            continue
        leaves[n] = leaves[i]
        if n < i:  # variable i becomes variable n: those between do not matter
            low, high = table & zeros, (table >> shift) & zeros
            ones = _V0 if n == 0 else _V1
            table = ((low | low << shift) & ~ones) | ((high | high << shift) & ones)
        n += 1
    while n < 3:
        leaves[n] = ABSENT
        n += 1
    return table & 0xFF


@jit_call
def _keep(first: int, leaves: Any, table: int, cost: Any, cuts: Any, tables: Any, costs: Any, n: int) -> int:
    """Put a cut among a node's best, by cost; how many there are then. ``first``: the number of the node's first."""
    for k in range(first, first + n):
        if cuts[3 * k] == leaves[0] and cuts[3 * k + 1] == leaves[1] and cuts[3 * k + 2] == leaves[2]:
            return n
    at = first + n
    while at > first and (
        costs[at - 1] > cost or (costs[at - 1] == cost and cuts[3 * at - 1] != ABSENT and leaves[2] == ABSENT)
    ):
        at -= 1
    if at == first + CUTS:
        return n
    for k in range(first + min(n, CUTS - 1), at, -1):
        for i in range(3):
            cuts[3 * k + i] = cuts[3 * k - 3 + i]
        tables[k] = tables[k - 1]
        costs[k] = costs[k - 1]
    for i in range(3):
        cuts[3 * at + i] = leaves[i]
    tables[at] = table
    costs[at] = cost
    return min(n + 1, CUTS)


@jit_call
def _use(cut: int, by: int, base: int, best: Any, cuts: Any, uses: Any, stack: Any) -> int:
    """Count the leaves of a cut as used once more, or less, and what those need; the gates that come or go by it."""
    area = 1
    stack[0] = cut
    top = 1
    while top:
        top -= 1
        cut = stack[top]
        for i in range(3 * cut, 3 * cut + 3):
            leaf = cuts[i]
            if leaf == ABSENT:
                break
            uses[leaf] += by
            if leaf >= base and uses[leaf] == (1 if by > 0 else 0):
                area += 1
                stack[top] = leaf * CUTS + best[leaf]
                top += 1
    return area


@entry(
    "int64(int64, int32[:,::1], uint8[::1], int32[::1], uint8[:,::1], int32[::1], uint8[::1], int32[::1], "
    "int32[::1], int32[::1])"
)
def cover(
    base: int, fanins: Any, gates: Any, roots: Any, spread: Any, cuts: Any, tables: Any, best: Any, same: Any, uses: Any
) -> int:
    """Choose a cut for each node.

    Args:
        base: leaves of the network, nodes 0 .. base - 1.
        fanins: int32 (nodes - base, 3): what a gate reads, nodes below its own; ABSENT behind the last.
        gates: tables of the gates.
        roots: int32: nodes that must be there.
        spread: SPREAD.
        cuts: int32 (nodes * CUTS * 3,): becomes the leaves of cuts, ascending, ABSENT behind the last.
        tables: uint8 (nodes * CUTS,): their tables.
        best: int32 (nodes,): the cut that is chosen, 0 .. CUTS - 1.
        same: int32 (nodes,): the node that a node is the same as, or itself.
        uses: int32 (nodes,): how often the chosen cuts and the roots use a node: 0 where it is not needed.

    Returns:
        How many gates the cover has.
    """
    nodes = len(same)
    count = np.zeros(nodes, np.int32)
    costs = np.zeros(nodes * CUTS, np.float32)
    flow = np.zeros(nodes, np.float32)
    fan_out = np.zeros(nodes, np.int32)
    single = np.zeros(nodes, np.bool_)  # an inverter: who reads it reads what it reads
    for g in range(nodes - base):
        for i in range(3):
            if fanins[g, i] != ABSENT:
                fan_out[fanins[g, i]] += 1
    for r in range(len(roots)):
        fan_out[roots[r]] += 1
    own = np.zeros(3 * (CUTS + 1) * 3, np.int32)
    own_tables = np.zeros(3 * (CUTS + 1), np.uint8)
    end = np.zeros(3, np.int64)
    two = np.zeros(3, np.int32)
    leaves = np.zeros(3, np.int32)
    for node in range(nodes):
        same[node] = node
        if node < base:
            continue
        g = node - base
        fan_in = 0
        for i in range(3):
            n = i * (CUTS + 1)
            if fanins[g, i] == ABSENT:
                for j in range(3):
                    own[3 * n + j] = ABSENT
                own_tables[n] = 0
                end[i] = n + 1
                continue
            fan_in += 1
            below = same[fanins[g, i]]
            is_constant = False
            for k in range(below * CUTS, below * CUTS + count[below]):
                for j in range(3):
                    own[3 * n + j] = cuts[3 * k + j]
                own_tables[n] = tables[k]
                is_constant |= cuts[3 * k] == ABSENT
                n += 1
            if not single[below] and not is_constant:
                own[3 * n], own[3 * n + 1], own[3 * n + 2] = below, ABSENT, ABSENT
                own_tables[n] = _V0
                n += 1
            end[i] = n
        n = 0
        first = node * CUTS
        for x in range(end[0]):
            for y in range(CUTS + 1, end[1]):
                if not _merge(own, 3 * x, own, 3 * y, two):
                    continue
                for z in range(2 * (CUTS + 1), end[2]):
                    if not _merge(two, 0, own, 3 * z, leaves):
                        continue
                    table = _composed(
                        gates[g],
                        fan_in,
                        _spread(own_tables[x], own, 3 * x, leaves, spread),
                        _spread(own_tables[y], own, 3 * y, leaves, spread),
                        _spread(own_tables[z], own, 3 * z, leaves, spread),
                    )
                    table = _shrunk(table, leaves)
                    cost = np.float32(1)
                    for i in range(3):
                        if leaves[i] != ABSENT:
                            cost += flow[leaves[i]]
                    n = _keep(first, leaves, table, cost, cuts, tables, costs, n)
        for k in range(first, first + n):
            if cuts[3 * k + 1] == ABSENT:  # a constant, a copy or an inverter: as good as it gets
                for j in range(3):
                    cuts[3 * first + j] = cuts[3 * k + j]
                tables[first] = tables[k]
                costs[first] = costs[k]
                if cuts[3 * first] != ABSENT:
                    if tables[first] == _V0:
                        same[node] = cuts[3 * first]
                    single[node] = True
                n = 1
                break
        count[node] = n
        flow[node] = costs[first] / np.float32(max(1, fan_out[node]))
    stack = np.zeros(nodes + 1, np.int32)
    for r in range(len(roots)):
        root = same[roots[r]]
        uses[root] += 1
        if uses[root] == 1 and root >= base:
            _use(root * CUTS, 1, base, best, cuts, uses, stack)
    for _ in range(_ROUNDS):
        for node in range(base, nodes):
            if uses[node] == 0 or count[node] < 2:
                continue
            first = node * CUTS
            _use(first + best[node], -1, base, best, cuts, uses, stack)
            least, chosen = 1 << 30, 0
            for k in range(count[node]):
                area = _use(first + k, 1, base, best, cuts, uses, stack)
                _use(first + k, -1, base, best, cuts, uses, stack)
                if area < least:
                    least, chosen = area, k
            best[node] = chosen
            _use(first + chosen, 1, base, best, cuts, uses, stack)
    total = 0
    for node in range(base, nodes):
        total += uses[node] > 0
    return total
