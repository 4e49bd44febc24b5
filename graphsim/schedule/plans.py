"""Small graphs, native: whole schedules laid out from plans, and a search among plans.

A *plan* is the node of every actor, a label of every token, a way of every label, the order in which firings get their
ticks, and how long each of them is held back. Tokens that are made on one node and have one label travel in one parcel,
to wherever any of them is read, by the way of that label: one of several trees out of every node, pruned.

What nodes and links are loaded with follows from that at once, and where it is more than the period, nothing else is
looked at. Otherwise the plan is laid out: firings in order, each in the first ticks that its node has free modulo the
period, and parcels, as soon as they are full, in those of their links. Ticks that would leave free stretches into which
what is still to come does not fit are not taken; so what fits by its load finds room.

Importing this module compiles its entry points, or loads them from disk where they were compiled before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.native import entry, jit_call
from graphsim.schedule.gaps import NO_ROOM, place, sort_falling, together

#: Rounds in which readers of state wait longer for what comes too late.
_SWEEPS = 8
#: From here on costs are those of plans that are no schedules; below it, a plan costs its latency, in ticks.
BAD = 1_000_000_000


@jit_call
def _lay(
    period: Any, owner: Any, ticks: Any, before: Any, after: Any, in_ptr: Any, in_token: Any, in_ago: Any, maker: Any,
    bits: Any, made_ptr: Any, read_ptr: Any, read_by: Any, into: Any, turn: Any, path: Any, link: Any, ends: Any,
    node: Any, label: Any, way: Any, order: Any, delay: Any,
    start: Any, parcel: Any, hops: Any, lead: Any, mask: Any, load: Any, missing: Any, arrival: Any, there: Any,
    n_begin: Any, n_end: Any, n_busy: Any, n_left: Any, n_lefts: Any,
    l_begin: Any, l_end: Any, l_busy: Any, l_left: Any, l_lefts: Any, gap: Any, floor: Any, through: Any, behind: Any,
) -> Any:  # fmt: skip
    """Lay out a plan; returns its cost, how many hops there are, and how many steps it took. For arguments, see
    :func:`anneal`.
    """
    firings, tokens, nodes, links = len(owner), len(maker), ticks.shape[1], len(link)
    steps = firings + 2 * tokens
    # Loads.
    n_lefts[:] = 0
    load[:] = 0
    for a in range(firings):
        v = node[owner[a]]
        length = ticks[a, v]
        if length > 0:
            n_left[v, n_lefts[v]] = length
            n_lefts[v] += 1
            load[v] += length
    lead[:] = -1
    for t in range(tokens):
        root = node[owner[maker[t]]]
        where = np.int64(0)
        for r in range(read_ptr[t], read_ptr[t + 1]):
            where |= np.int64(1) << node[owner[read_by[r]]]
        where &= ~(np.int64(1) << root)
        parcel[t] = -1
        if where == 0:
            continue
        s = lead[root, label[t]]
        if s < 0:
            s = t
            lead[root, label[t]] = t
            mask[t], missing[t, 0], missing[t, 1] = 0, 0, 0
        parcel[t] = s
        mask[s] |= where
        missing[s, 0] += 1
        missing[s, 1] += bits[t]
    l_lefts[:] = 0
    for t in range(tokens):
        if parcel[t] != t:
            continue
        root, w = node[owner[maker[t]]], way[label[t]]
        pruned = np.int64(0)
        for v in range(nodes):
            if (mask[t] >> v) & 1:
                pruned |= path[w, root, v]
        mask[t] = pruned
        for v in range(nodes):
            if (pruned >> v) & 1 and v != root:
                n = into[w, root, v]
                length = -(-missing[t, 1] // link[n, 3])
                l_left[n, l_lefts[n]] = length
                l_lefts[n] += 1
                load[nodes + n] += length
    over, sent = np.int64(0), np.int64(0)
    for v in range(nodes):
        over += max(0, load[v] - period)
    for n in range(links):
        over += max(0, load[nodes + n] - min(period, link[n, 4]))
        sent += load[nodes + n]
    if over > 0:
        return BAD + period + 4 * over + sent / (1 + 8 * links), 0, steps
    # Times.
    for v in range(nodes):
        sort_falling(n_left[v], n_lefts[v])
    for n in range(links):
        sort_falling(l_left[n], l_lefts[n])
    floor[:] = delay
    count, late = 0, np.int64(0)
    for sweep in range(_SWEEPS):
        if sweep > 0:
            for v in range(nodes):
                n_lefts[v] = 0
            for a in range(firings):
                v = node[owner[a]]
                if ticks[a, v] > 0:
                    n_left[v, n_lefts[v]] = ticks[a, v]
                    n_lefts[v] += 1
            for v in range(nodes):
                sort_falling(n_left[v], n_lefts[v])
            for h in range(count):
                n = hops[h, 1]
                l_left[n, l_lefts[n]] = -(-missing[hops[h, 0], 1] // link[n, 3])
                l_lefts[n] += 1
            for n in range(links):
                sort_falling(l_left[n], l_lefts[n])
        n_busy[:] = 0
        l_busy[:] = 0
        arrival[:] = _NEVER
        start[:] = _NEVER
        for t in range(tokens):
            if parcel[t] == t:
                missing[t, 0] = 0
        for t in range(tokens):
            if parcel[t] >= 0:
                missing[parcel[t], 0] += 1
        count = 0
        done, moved = 0, True
        while moved:
            moved = False
            steps += firings
            for i in range(firings):
                a = order[i]
                if start[a] != _NEVER:
                    continue
                v = node[owner[a]]
                ready = floor[a]
                waits = False
                for e in range(in_ptr[a], in_ptr[a + 1]):
                    at = arrival[in_token[e], v]
                    if at != _NEVER:
                        ready = max(ready, at - in_ago[e] * period)
                    elif in_ago[e] == 0:
                        waits = True
                        break
                if before[a] >= 0:
                    if start[before[a]] == _NEVER:
                        waits = True
                    else:
                        ready = max(ready, start[before[a]] + ticks[before[a], v])
                if waits:
                    continue
                length = ticks[a, v]
                if length > 0:
                    ready = place(
                        n_begin[v], n_end[v], n_busy[v], period, ready, length, n_left[v], n_lefts[v], gap
                    )  # fmt: skip
                    if ready == NO_ROOM:
                        return BAD + 2 * firings, count, steps
                    n_busy[v] += 1
                    n_lefts[v] -= 1
                start[a] = ready
                steps += 2 + in_ptr[a + 1] - in_ptr[a] + n_busy[v]
                moved = True
                done += 1
                for t in range(made_ptr[a], made_ptr[a + 1]):
                    arrival[t, v] = ready + length
                    p = parcel[t]
                    if p < 0:
                        continue
                    missing[p, 0] -= 1
                    if missing[p, 0] > 0:
                        continue
                    w = way[label[p]]
                    there[v] = 0
                    for s in range(p, tokens):
                        if parcel[s] == p:
                            there[v] = max(there[v], arrival[s, v])
                    for k in range(1, nodes):
                        u = turn[w, v, k]
                        if u < 0 or not (mask[p] >> u) & 1:
                            continue
                        n = into[w, v, u]
                        if link[n, 5] > 0:
                            continue  # out of a switch: with what led there
                        length_of = -(-missing[p, 1] // link[n, 3])
                        through[0], behind[0], many = n, 0, 1
                        for further in range(k + 1, nodes):
                            x = turn[w, v, further]
                            if x < 0 or not (mask[p] >> x) & 1 or link[into[w, v, x], 5] == 0:
                                continue
                            for h in range(many):
                                if link[through[h], 1] == link[into[w, v, x], 0]:
                                    through[many] = into[w, v, x]
                                    behind[many] = behind[h] + 1 + link[through[h], 2] + link[through[many], 5]
                                    many += 1
                                    break
                        if many == 1:
                            gone = place(
                                l_begin[n], l_end[n], l_busy[n], period, there[link[n, 0]], length_of, l_left[n],
                                l_lefts[n], gap,
                            )  # fmt: skip
                        else:
                            gone = together(
                                l_begin, l_end, l_busy, period, there[link[n, 0]], length_of, through, behind, many
                            )
                        if gone == NO_ROOM:
                            return BAD + 2 * firings, count, steps
                        steps += 4 + many * l_busy[n]
                        for h in range(many):
                            n = through[h]
                            if many == 1:
                                l_busy[n] += 1
                            l_lefts[n] -= 1
                            u = link[n, 1]
                            there[u] = gone + behind[h] + length_of + link[n, 2]
                            hops[count, 0], hops[count, 1], hops[count, 2] = p, n, gone + behind[h]
                            count += 1
                            for s in range(p, tokens):
                                if parcel[s] == p:
                                    arrival[s, u] = there[u]
        if done < firings:  # a parcel waits for what waits for it
            return BAD + min(period, 2 * (firings - done)), count, steps
        late = np.int64(0)
        for a in range(firings):
            v = node[owner[a]]
            need = start[a]
            for e in range(in_ptr[a], in_ptr[a + 1]):
                if in_ago[e] > 0:
                    need = max(need, arrival[in_token[e], v] - in_ago[e] * period)
            if after[a] >= 0:
                need = max(need, start[after[a]] + ticks[after[a], v] - period)
            if need > start[a]:
                late += need - start[a]
                floor[a] = max(floor[a], need)
        if late == 0:
            break
    if late > 0:
        return BAD + period * late / (late + period), count, steps
    first, last = np.int64(1) << 60, np.int64(0)
    for a in range(firings):
        if ends[a] == 1:
            first = min(first, start[a])
        elif ends[a] == 2:
            last = max(last, start[a] + ticks[a, node[owner[a]]])
    return np.float64(last - first), count, steps


#: No tick.
_NEVER = -(1 << 60)
_I1, _I2, _I3 = "int64[::1], ", "int64[:, ::1], ", "int64[:, :, ::1], "
_FIXED = f"int64, {_I1}{_I2}{_I1 * 5}{_I1 * 5}{_I3 * 3}{_I2}{_I1}"
_PLAN = _I1 * 5


@jit_call
def _next(state: Any, below: Any) -> Any:
    """A pseudo-random number, by xorshift."""
    x = state[0]
    x ^= (x << 13) & 0x7FFFFFFFFFFFFFFF
    x ^= x >> 7
    x ^= (x << 17) & 0x7FFFFFFFFFFFFFFF
    state[0] = x
    return (x >> 11) % below


@jit_call
def _change(
    state: Any, loads_only: Any, whole: Any, period: Any, owner: Any, before: Any, in_ptr: Any, in_token: Any,
    in_ago: Any, maker: Any, made_ptr: Any, read_ptr: Any, read_by: Any, ways: Any, allowed: Any, movable: Any,
    node: Any, label: Any, way: Any, order: Any, delay: Any,
) -> Any:  # fmt: skip
    """Change a plan at random; False if nothing was changed."""
    firings, tokens, nodes = len(owner), len(maker), allowed.shape[1]
    kind = _next(state, 10 if loads_only else 18)
    if kind < 3:  # one actor to another node, more often to where its neighbours are
        if len(movable) == 0:
            return False
        o = movable[_next(state, len(movable))]
        v = _next(state, nodes)
        if kind < 2:
            a = _next(state, firings)
            for k in range(firings):
                if owner[(a + k) % firings] == o:
                    a = (a + k) % firings
                    break
            if in_ptr[a + 1] > in_ptr[a] and _next(state, 2):
                v = node[owner[maker[in_token[in_ptr[a] + _next(state, in_ptr[a + 1] - in_ptr[a])]]]]
            elif made_ptr[a + 1] > made_ptr[a]:
                t = made_ptr[a]
                if read_ptr[t + 1] > read_ptr[t]:
                    v = node[owner[read_by[read_ptr[t] + _next(state, read_ptr[t + 1] - read_ptr[t])]]]
        if allowed[o, v] == 0 or node[o] == v:
            return False
        node[o] = v
        return True
    if kind < 6:  # two actors change places
        if len(movable) < 2:
            return False
        o, q = movable[_next(state, len(movable))], movable[_next(state, len(movable))]
        if node[o] == node[q] or allowed[o, node[q]] == 0 or allowed[q, node[o]] == 0:
            return False
        node[o], node[q] = node[q], node[o]
        return True
    if kind < 8:  # another label
        if whole or tokens == 0:
            return False
        t = _next(state, tokens)
        if _next(state, 4) == 0:
            if label[t] == t:
                return False
            label[t] = t
            return True
        s = _next(state, tokens)
        root = node[owner[maker[t]]]
        for k in range(tokens):
            other = (s + k) % tokens
            if node[owner[maker[other]]] == root and label[other] != label[t]:
                if _next(state, 4) == 0:  # and all with it
                    was = label[t]
                    for u in range(tokens):
                        if label[u] == was and node[owner[maker[u]]] == root:
                            label[u] = label[other]
                else:
                    label[t] = label[other]
                return True
        return False
    if kind < 10:
        if tokens == 0:
            return False
        way[label[_next(state, tokens)]] = _next(state, ways)
        return True
    if kind < 15:  # one firing earlier in the order, behind what it waits for
        at = _next(state, firings)
        a = order[at]
        to = at
        for _ in range(1 + _next(state, 6)):
            if to == 0:
                break
            b = order[to - 1]
            waits = before[a] == b
            for e in range(in_ptr[a], in_ptr[a + 1]):
                if in_ago[e] == 0 and maker[in_token[e]] == b:
                    waits = True
            if waits:
                break
            order[to], order[to - 1] = b, a
            to -= 1
        return to != at
    a = _next(state, firings)
    if delay[a] > 0 and _next(state, 2):
        delay[a] = 0
    else:
        delay[a] = max(0, delay[a] + _next(state, 2 * period + 8) - period)
    return True


@entry(
    f"float64({_FIXED}{_PLAN}{_I2}{_I1}int64, float64, float64, int64, boolean, int64, {_I1}{_I1}{_I2}{_I1}int64[::1])"
)
def anneal(
    period: Any, owner: Any, ticks: Any, before: Any, after: Any, in_ptr: Any, in_token: Any, in_ago: Any, maker: Any,
    bits: Any, made_ptr: Any, read_ptr: Any, read_by: Any, into: Any, turn: Any, path: Any, link: Any, ends: Any,
    node: Any, label: Any, way: Any, order: Any, delay: Any, allowed: Any, movable: Any, rounds: Any, hot: Any,
    cold: Any, seed: Any, whole: Any, enough: Any, start: Any, parcel: Any, hops: Any, count: Any,
    budget: Any,
) -> Any:  # fmt: skip
    """Change a plan for the better, by chance: ``node`` .. ``delay`` become the best plan met, which is laid out.

    Args:
        period: in ticks. owner: the actor of each firing. ticks: (firings, nodes).
        before, after: the firing of the same actor before each; for the first one, -1 and the last one.
        in_ptr, in_token, in_ago: what each firing reads, and from how many iterations ago.
        maker, bits: of each token; tokens of firing a are ``made_ptr[a] .. made_ptr[a + 1] - 1``.
        read_ptr, read_by: the firings that read each token.
        into: (ways, nodes, nodes): by which link the tree out of a node gets to another. turn: the same, nodes of the
            tree in the order in which it gets to them. path: nodes on the way, as bits.
        link: (links, 6): source, destination, latency, bits per tick, ticks per period at most, and, where the source
            is a switch, ticks from when a frame is there until it leaves.
        ends: 1 for sources, 2 for sinks.
        node: of each actor. label: of each token. way: of each label. order: of the firings. delay: of each firing.
        allowed: (actors, nodes): 1 where it may be. movable: the actors that may be on several nodes.
        rounds: plans that are tried, the given one first. hot, cold: temperatures, in costs. seed: above 0.
        whole: labels stay as they are.
        enough: stop at the first plan that costs so little.
        start, parcel: filled in: of each firing; the first token of each token's parcel, or -1.
        hops: (tokens * nodes, 3): filled in: parcel, link, start; parents first. count: (1,): of them.
        budget: (1,): steps that may be taken: no more plans are tried when none are left; those taken are subtracted.

    Returns:
        The cost of the plan: below ``BAD`` if and only if it is a schedule.
    """
    firings, tokens, nodes, links = len(owner), len(maker), ticks.shape[1], len(link)
    lead, mask = np.zeros((nodes, tokens), np.int64), np.zeros(tokens, np.int64)
    load, missing = np.zeros(nodes + links, np.int64), np.zeros((tokens, 2), np.int64)
    arrival, there = np.zeros((tokens, nodes), np.int64), np.zeros(nodes, np.int64)
    n_begin, n_end = np.zeros((nodes, firings), np.int64), np.zeros((nodes, firings), np.int64)
    n_busy, n_left = np.zeros(nodes, np.int64), np.zeros((nodes, firings), np.int64)
    n_lefts, l_lefts = np.zeros(nodes, np.int64), np.zeros(links, np.int64)
    l_begin, l_end = np.zeros((links, tokens), np.int64), np.zeros((links, tokens), np.int64)
    l_busy, l_left = np.zeros(links, np.int64), np.zeros((links, tokens), np.int64)
    gap, floor = np.zeros(firings + tokens + 2, np.int64), np.zeros(firings, np.int64)
    through, behind = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    state = np.zeros(1, np.int64)
    state[0] = seed * 0x9E3779B97F4A7C15 & 0x7FFFFFFFFFFFFFFF | 1
    cost = best = np.inf
    best_node, best_label, best_way = node.copy(), label.copy(), way.copy()
    best_order, best_delay = order.copy(), delay.copy()
    old_node, old_label, old_way, old_order, old_delay = (
        node.copy(), label.copy(), way.copy(), order.copy(), delay.copy(),
    )  # fmt: skip
    for number in range(rounds):
        if best <= enough or (budget[0] <= 0 and number > 0):
            break
        heat = hot * (cold / hot) ** (number / rounds)
        if number > 0 and not _change(
            state, cost >= BAD + period, whole, period, owner, before, in_ptr, in_token, in_ago, maker, made_ptr,
            read_ptr, read_by, into.shape[0], allowed, movable, node, label, way, order, delay,
        ):  # fmt: skip
            continue
        now, _, steps = _lay(
            period, owner, ticks, before, after, in_ptr, in_token, in_ago, maker, bits, made_ptr, read_ptr, read_by,
            into, turn, path, link, ends, node, label, way, order, delay, start, parcel, hops, lead, mask, load,
            missing, arrival, there, n_begin, n_end, n_busy, n_left, n_lefts, l_begin, l_end, l_busy, l_left, l_lefts,
            gap, floor, through, behind,
        )  # fmt: skip
        budget[0] -= steps
        if now <= cost or np.exp((cost - now) / heat) * 65536 > _next(state, 65536):
            cost = now
            old_node[:], old_label[:], old_way[:], old_order[:], old_delay[:] = node, label, way, order, delay
            if now < best:
                best = now
                best_node[:], best_label[:], best_way[:], best_order[:], best_delay[:] = node, label, way, order, delay
        else:
            node[:], label[:], way[:], order[:], delay[:] = old_node, old_label, old_way, old_order, old_delay
    node[:], label[:], way[:], order[:], delay[:] = best_node, best_label, best_way, best_order, best_delay
    best, count[0], _ = _lay(
        period, owner, ticks, before, after, in_ptr, in_token, in_ago, maker, bits, made_ptr, read_ptr, read_by, into,
        turn, path, link, ends, node, label, way, order, delay, start, parcel, hops, lead, mask, load, missing, arrival,
        there, n_begin, n_end, n_busy, n_left, n_lefts, l_begin, l_end, l_busy, l_left, l_lefts, gap, floor,
        through, behind,
    )  # fmt: skip
    return best
