"""Nodes and ticks for the actors of loops, by ejection, native.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import entry, jit_call

_INTS = "int64[::1], "


@jit_call
def _take_out(u: Any, period: Any, length: Any, node: Any, time: Any, taken: Any, load: Any, weight: Any) -> Any:
    """Take an actor from its ticks; it weighs more from now on."""
    load[node[u]] -= length[u]
    weight[u] += 1
    for i in range(length[u]):
        taken[node[u], (time[u] + i) % period] = -1
    time[u] = _NOWHERE


#: The tick of an actor that has none.
_NOWHERE = -(1 << 60)
#: Ticks beyond where an actor fits among the others that are tried too.
_BEYOND = 6


@entry(f"int64(int64, {_INTS * 7}{_INTS * 5}int64[::1], int64[:, ::1], int64[::1], int64, int64[::1], int64[::1])")
def settle(
    period: Any,
    ptr: Any, src: Any, tokens: Any, out_ptr: Any, out_dst: Any, out_tokens: Any, length: Any,
    part: Any, first: Any, begins: Any, size: Any, slack: Any, rank: Any, away: Any, load: Any, budget: Any,
    node: Any, time: Any,
) -> Any:  # fmt: skip
    """Give every actor a node and a tick at a period; returns how many have none.

    An actor at a time gets the node and the tick where those that are in its way weigh least: who has the tick, and
    whose tokens would come too late, there or from there, at once or, by ``slack``, over others. They lose theirs, and
    weigh more from then on, and it is their turn again. This is iterative modulo scheduling (Rau, MICRO-27, 1994) for
    several nodes (Zalamea, Llosa, Ayguade and Valero, MIRS-C, MICRO-34, 2001) with weights that are learnt (Morris,
    "The breakout method", AAAI 1993).

    Args:
        ptr, src, tokens: edges by the actor that they lead to. out_ptr, out_dst, out_tokens: by the one they come from.
        length: ticks of each actor, from 1 to ``period``.
        part: the loop of each actor. first, size: the first actor of each loop, and how many follow each other there.
        begins, slack: of each loop, from ``slack[begins]`` on: by how many ticks v may start before u at most, [u, v].
        rank: who comes first of those that weigh the same.
        away: ticks from node to node. load: ticks of each node that are taken already; those of actors are added.
        budget: actors times nodes times ticks that are looked at.
        node, time: filled in, time of each loop from anywhere on.
    """
    count, nodes = len(length), len(away)
    host = load.copy()
    taken = np.full((nodes, period), -1, np.int64)
    weight = np.ones(count, np.int64)
    seen, mark = np.zeros(count, np.int64), np.int64(0)
    time[:] = _NOWHERE
    left = count
    fits = np.zeros(2 * period + 2 * _BEYOND + 3, np.int64)
    while left > 0 and budget > 0:
        v = -1
        for u in range(count):
            if time[u] == _NOWHERE and (
                v < 0 or weight[u] > weight[v] or (weight[u] == weight[v] and rank[u] < rank[v])
            ):
                v = u
        p, a, b = length[v], first[part[v]], first[part[v]] + size[part[v]]
        # By how many ticks v may start before each of its loop, and each of these before v.
        ahead, behind = begins[part[v]] + v - a, begins[part[v]] + (v - a) * size[part[v]]
        step = size[part[v]]
        low, high, alone = np.int64(_NOWHERE), np.int64(-_NOWHERE), True
        for u in range(a, b):
            if time[u] != _NOWHERE:
                alone = False
                low, high = (
                    max(low, time[u] - slack[ahead + (u - a) * step]),
                    min(high, time[u] + slack[behind + u - a]),
                )
        if alone:
            low, high = np.int64(0), np.int64(period - 1)
        if high < low:
            low, high = high, low
        high = min(high, low + 2 * period)
        begin, end = (low, high) if alone else (low - _BEYOND, high + _BEYOND)
        fits[: end - begin + 2] = 0
        if not alone:
            for u in range(a, b):
                if time[u] != _NOWHERE:
                    before = time[u] - slack[ahead + (u - a) * step]
                    after = time[u] + slack[behind + u - a] + 1
                    if before > begin:
                        fits[0] += weight[u]
                        fits[min(before, end + 1) - begin] -= weight[u]
                    if after <= end:
                        fits[max(after, begin) - begin] += weight[u]
            for i in range(1, end - begin + 1):
                fits[i] += fits[i - 1]
        best, best_time = np.int64(-1), np.int64(0)
        best_cost = best_way = best_wait = np.int64(1 << 60)
        for n in range(nodes):
            if host[n] + p > period:
                continue
            way = load[n] if alone else np.int64(0)
            for e in range(ptr[v], ptr[v + 1]):
                if time[src[e]] != _NOWHERE:
                    way += away[node[src[e]], n]
            for e in range(out_ptr[v], out_ptr[v + 1]):
                if time[out_dst[e]] != _NOWHERE:
                    way += away[n, node[out_dst[e]]]
            for t in range(begin, end + 1):
                mark += 1
                cost = fits[t - begin]
                if cost > best_cost:
                    continue
                for i in range(p):
                    u = taken[n, (t + i) % period]
                    if u >= 0 and seen[u] != mark:
                        seen[u] = mark
                        cost += weight[u]
                for e in range(ptr[v], ptr[v + 1]):
                    u = src[e]
                    there = time[u] + length[u] + away[node[u], n] - tokens[e] * period
                    if time[u] != _NOWHERE and seen[u] != mark and there > t:
                        seen[u] = mark
                        cost += weight[u]
                for e in range(out_ptr[v], out_ptr[v + 1]):
                    u = out_dst[e]
                    there = t + p + away[n, node[u]] - out_tokens[e] * period
                    if time[u] != _NOWHERE and seen[u] != mark and there > time[u]:
                        seen[u] = mark
                        cost += weight[u]
                wait = abs(t - low)
                if cost < best_cost or (
                    cost == best_cost and (way < best_way or (way == best_way and wait < best_wait))
                ):
                    best, best_time = np.int64(n), np.int64(t)
                    best_cost, best_way, best_wait = cost, way, wait
        budget -= nodes * (end - begin + 1) + count
        if best < 0:
            return left
        for i in range(p):
            u = taken[best, (best_time + i) % period]
            if u >= 0:
                _take_out(u, period, length, node, time, taken, load, weight)
                left += 1
        for e in range(ptr[v], ptr[v + 1]):
            u = src[e]
            if time[u] != _NOWHERE and time[u] + length[u] + away[node[u], best] - tokens[e] * period > best_time:
                _take_out(u, period, length, node, time, taken, load, weight)
                left += 1
        for e in range(out_ptr[v], out_ptr[v + 1]):
            u = out_dst[e]
            if time[u] != _NOWHERE and best_time + p + away[best, node[u]] - out_tokens[e] * period > time[u]:
                _take_out(u, period, length, node, time, taken, load, weight)
                left += 1
        for u in range(a, b):
            if time[u] != _NOWHERE and (
                best_time < time[u] - slack[ahead + (u - a) * step] or best_time > time[u] + slack[behind + u - a]
            ):
                _take_out(u, period, length, node, time, taken, load, weight)
                left += 1
        node[v], time[v] = best, best_time
        load[best] += p
        for i in range(p):
            taken[best, (best_time + i) % period] = v
        left -= 1
    return left
