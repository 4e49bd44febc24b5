"""Small graphs: a search among whole schedules, because there it costs little to look at very many.

Starting from the best schedule found so far, plans (:mod:`.plans`) are changed at random and kept if they are better,
or by chance also if they are a little worse (Kirkpatrick, Gelatt and Vecchi, Science 220, 1983): first for each shorter
period that may be, from the lower bound on, until there is a schedule; then for less latency at that period. While a
node or link has more to do than the period is long, only that counts, and nothing has times yet: which is most of the
way, as what nodes and links have room for has a schedule, but for loops.

Numbers of plans are fixed and so is the seed: equal input gives equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphsim.analysis.bounds import Bound
from graphsim.analysis.tokens import readers
from graphsim.errors import InfeasibleError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule.candidate import Candidate, Work, circled, encode, placement_bound_of
from graphsim.schedule.exact_model import Problem, longest, problem_of
from graphsim.schedule.passage import passages
from graphsim.schedule.placed import IntArray, Times, constants_late
from graphsim.schedule.route import Routes
from graphsim.schedule.schedule import Schedule, latency
from graphsim.schedule.slots import allot, check_memory

#: The largest graph, in firings, and machine, in nodes, for which this is done.
MOST_FIRINGS, MOST_NODES = 60, 6
#: The largest machine, switches among its nodes.
MOST_PLACES = 8
#: Plans that are tried for a period at first, and for latency, for every firing and token; and steps of laying them out
#: that are taken for all periods together, and for latency. A thousand steps take some microseconds.
_FOR_PERIOD, _FOR_LATENCY = 200, 300
_STEPS_PERIOD, _STEPS_LATENCY = 20_000_000, 10_000_000
#: Periods that are tried in one turn, at most, turns, and times that the search for latency is begun anew.
_PERIODS, _TURNS, _STARTS = 8, 12, 2
#: Costs from here on are those of plans that are no schedules.
BAD = 1_000_000_000
#: Trees out of every node.
_WAYS = 48


@dataclass
class _Plan:
    """See :mod:`.plans`."""

    node: IntArray
    label: IntArray
    way: IntArray
    order: IntArray
    delay: IntArray

    def copy(self) -> _Plan:
        return _Plan(*(part.copy() for part in self.parts))

    @property
    def parts(self) -> tuple[IntArray, ...]:
        return self.node, self.label, self.way, self.order, self.delay


@dataclass(frozen=True)
class _Laid:
    """A plan, laid out: its cost, the start of each firing, the parcel of each token, and the hops."""

    plan: _Plan
    cost: float
    start: IntArray
    parcel: IntArray
    hops: IntArray


def able(work: Work) -> bool:
    """Whether a graph and a machine are small enough, and the machine simple enough."""
    machine = work.costs.machine
    return (
        work.buffering == "single"
        and len(work.owner) <= MOST_FIRINGS
        and 1 < len(machine.compute_nodes) <= MOST_NODES
        and len(machine.nodes) <= MOST_PLACES
        and {*machine.node_strides, *machine.link_strides} == {1}
        and len({link.frames_per_tick for link in machine.links}) == 1
        and _in_one_piece(work.costs.graph)
    )


def _in_one_piece(graph: Graph) -> bool:
    """Whether all groups hang together: tokens of applications that do not must not share parcels."""
    import networkx as nx

    pieces = nx.Graph((c.src, c.dst) for c in graph.channels)
    pieces.add_nodes_from(range(len(graph.groups)))
    return bool(nx.number_connected_components(pieces) == 1)


def improved(work: Work, best: Schedule, bound: Bound, below: int | None = None) -> Schedule | None:
    """A schedule with a shorter period, or the same one and a smaller latency, if one is found; ``work``: able.

    ``below``: without a shorter period than that it is of no use.
    """
    search = _Search(work, problem_of(work.costs, work.unrolled))
    if not search.connected:
        return None
    start = search.plan(best)
    before = latency(work.costs.graph, best)
    plan, period = search.shortest(bound.ticks, best.period, start)
    least = longest(search.problem)
    if (period == best.period and before == least) or (below is not None and period >= below):
        return None
    tries = []
    search.budget[0] = _STEPS_LATENCY
    for number in range(_STARTS):
        hot = max(4.0, before / 16)
        laid = search.anneal(period, plan.copy(), _FOR_LATENCY, hot, 0.2, seed=1 + number, enough=least)
        if laid.cost < BAD:
            tries.append(laid)
        if laid.cost <= least:
            break
    if not tries:
        return None
    laid = min(tries, key=lambda one: one.cost)
    if (period, laid.cost) >= (best.period, before):
        return None
    try:
        return search.schedule(period, laid, bound)
    except InfeasibleError:
        return None


def _aims(least: int, period: int) -> list[int]:
    """Periods to try, rising, all below the one that there is."""
    gap = period - least
    if gap <= _PERIODS:
        return list(range(least, period))
    return sorted({least + gap * i * i // (_PERIODS * _PERIODS) for i in range(_PERIODS)})


class _Search:
    """A problem as arrays, and plans laid out."""

    def __init__(self, work: Work, problem: Problem) -> None:
        self.work, self.problem, machine = work, problem, work.costs.machine
        firings, nodes = len(problem.owner), len(machine.nodes)
        by_maker = sorted(range(len(problem.tokens)), key=lambda i: (problem.maker[i], problem.tokens[i]))
        self.tokens = [problem.tokens[i] for i in by_maker]
        self.bits = [problem.bits[i] for i in by_maker]
        self.maker = np.array([problem.maker[i] for i in by_maker], np.int64)
        rows = [sorted({a for a, _ in problem.readers[i]}) for i in by_maker]
        into: list[list[tuple[int, int]]] = [[] for _ in range(firings)]
        for number, i in enumerate(by_maker):
            for reader, ago in problem.readers[i]:
                into[reader].append((number, ago))
        before, after = np.full(firings, -1, np.int64), np.full(firings, -1, np.int64)
        for chain in problem.chains:
            before[chain[1:]] = chain[:-1]
            after[chain[0]] = chain[-1]
        self.ticks = np.zeros((firings, nodes), np.int64)
        for a, priced in enumerate(problem.ticks):
            for v, t in priced.items():
                self.ticks[a, v] = t
        ends = np.zeros(firings, np.int64)
        ends[problem.sources], ends[problem.sinks] = 1, 2
        links = [
            (
                n.src, n.dst, n.latency, n.frame_bits * n.frames_per_tick, n.calendar_entries // n.frames_per_tick,
                machine.crossings[n.src],
            )
            for n in machine.links
        ]  # fmt: skip
        self.allowed = np.zeros((len(problem.allowed), nodes), np.int64)
        for owner, allowed in enumerate(problem.allowed):
            self.allowed[owner, allowed] = 1
        self.link = np.array(links, np.int64).reshape(-1, 6)
        self.trees = _trees(machine)
        self.connected = bool((self.trees[1] >= 0).all())
        flat = [pair for row in into for pair in row]
        self.fixed: tuple[Any, ...] = (
            np.array(problem.owner, np.int64), self.ticks, before, after, _ptr(into),
            np.array([t for t, _ in flat], np.int64), np.array([ago for _, ago in flat], np.int64), self.maker,
            np.array(self.bits, np.int64), np.searchsorted(self.maker, np.arange(firings + 1)).astype(np.int64),
            _ptr(rows), np.array([a for row in rows for a in row], np.int64), *self.trees, self.link, ends,
        )  # fmt: skip
        self.size = firings + 2 * len(self.tokens)
        self.budget = np.zeros(1, np.int64)

    def plan(self, schedule: Schedule) -> _Plan:
        """The plan of a schedule: its placement, parcels and order, and the trees that are most like its own."""
        node = np.zeros(len(self.problem.allowed), np.int64)
        node[self.problem.owner] = schedule.node
        order = np.lexsort((np.arange(len(schedule.start)), self.work.wave, schedule.start)).astype(np.int64)
        number = {token: t for t, token in enumerate(self.tokens)}
        label = np.arange(len(self.tokens))
        way = np.zeros(len(self.tokens), np.int64)
        if not self.problem.frames_whole:
            for row in (
                np.split(schedule.parcel_token, schedule.parcel_ptr[1:-1]) if len(schedule.parcel_ptr) > 1 else []
            ):
                members = sorted(number[t] for t in row.tolist())
                label[members] = members[0]
        for p in range(len(schedule.parcel_node)):
            members = schedule.parcel_token[schedule.parcel_ptr[p] : schedule.parcel_ptr[p + 1]].tolist()
            links = schedule.hop_link[schedule.hop_parcel == p]
            root, to = int(schedule.parcel_node[p]), self.link[links, 1]
            alike = (self.trees[0][:, root, :][:, to] == links).sum(axis=1)
            way[[number[t] for t in members]] = int(np.argmax(alike))
        return _Plan(node, label, way, order, np.zeros(len(order), np.int64))

    def shortest(self, least: int, most: int, start: _Plan) -> tuple[_Plan, int]:
        """A plan of the shortest period from ``least`` on that is found, and the period: the given ones if none is."""
        plan, period, each = start, most, _FOR_PERIOD
        self.budget[0] = _STEPS_PERIOD
        for turn in range(_TURNS):
            low = least - 1
            for aim in _aims(least, period):
                if (found := self.at(aim, plan if turn % 2 else start, each, 1 + turn)) is not None:
                    period, plan = found[0], found[1].plan
                    break
                low = aim
            while period - low > 1:
                middle = (low + period) // 2
                if (found := self.at(middle, plan, each, 1 + turn)) is not None:
                    period, plan = found[0], found[1].plan
                else:
                    low = middle
            if period <= least or self.budget[0] <= 0:
                break
            each += each // 2
        return plan, period

    def tightened(self, period: int, laid: _Laid) -> tuple[int, _Laid]:
        """A plan at the period for which its nodes and links have just room, if it can be laid out then."""
        node = laid.plan.node[self.problem.owner]
        work = np.bincount(node, weights=self.ticks[np.arange(len(node)), node])
        bits = np.bincount(laid.parcel[laid.parcel >= 0], np.array(self.bits)[laid.parcel >= 0], len(self.bits))
        frames = -(-bits[laid.hops[:, 0]] // self.link[laid.hops[:, 1], 3])
        sent = np.bincount(laid.hops[:, 1], weights=frames, minlength=1)
        busy = int(max(1, work.max(), sent.max()))
        if busy < period and (other := self.anneal(busy, laid.plan.copy(), 0, 1.0, 1.0)).cost < BAD:
            return busy, other
        return period, laid

    def at(self, period: int, start: _Plan, each: int, seed: int) -> tuple[int, _Laid] | None:
        """A plan of that period or a shorter one, and this, if one is found."""
        if self.budget[0] <= 0:
            return None
        hot = 1.0 + float(self.ticks.max(axis=1).mean())
        laid = self.anneal(period, start.copy(), each, hot, 0.3, seed=seed, enough=BAD - 1)
        return self.tightened(period, laid) if laid.cost < BAD else None

    def anneal(
        self, period: int, plan: _Plan, each: int, hot: float, cold: float, *, seed: int = 1, enough: int = 0
    ) -> _Laid:
        """Improve a plan, by trying ``each`` others for every firing and token, until it costs at most ``enough``."""
        from graphsim.schedule.plans import anneal

        tokens, nodes = len(self.tokens), self.allowed.shape[1]
        movable = np.flatnonzero(self.allowed.sum(axis=1) > 1).astype(np.int64)
        start, parcel = np.zeros(len(self.problem.owner), np.int64), np.zeros(tokens, np.int64)
        hops, count = np.zeros((tokens * nodes, 3), np.int64), np.zeros(1, np.int64)
        given: tuple[Any, ...] = (
            *self.fixed, *plan.parts, self.allowed, movable, 1 + each * self.size, hot, cold, seed,
            bool(self.problem.frames_whole), enough, start, parcel, hops, count, self.budget,
        )  # fmt: skip
        cost = float(anneal(period, *given))
        return _Laid(plan, cost, start, parcel, hops[: int(count[0])])

    def schedule(self, period: int, laid: _Laid, bound: Bound) -> Schedule:
        """A plan as a schedule.

        Raises:
            InfeasibleError: a node's memory is too small for it.
        """
        hops, start, parcel, plan = laid.hops, laid.start, laid.parcel, laid.plan
        work, graph, machine = self.work, self.work.fired.graph, self.work.costs.machine
        node = plan.node[self.problem.owner].astype(np.int32)
        leaders = sorted(set(hops[:, 0].tolist()), key=lambda t: (int(work.wave[self.maker[t]]), self.tokens[t]))
        place = {leader: p for p, leader in enumerate(leaders)}
        members = [np.flatnonzero(parcel == leader).tolist() for leader in leaders]
        hop_parcel = np.array([place[t] for t in hops[:, 0].tolist()], np.int64)
        by = np.argsort(hop_parcel, kind="stable")
        hop_parcel, hop_link, sent = hop_parcel[by], hops[by, 1], hops[by, 2]
        reached = {
            (p, int(self.link[n, 1])): h for h, (p, n) in enumerate(zip(hop_parcel.tolist(), hop_link, strict=True))
        }
        parent = [
            reached.get((p, int(self.link[n, 0])), -1) for p, n in zip(hop_parcel.tolist(), hop_link, strict=True)
        ]
        payload = np.array([sum(self.bits[t] for t in row) for row in members], np.int64)
        wide = np.array([link.frame_bits for link in machine.links], np.int64)
        rate = np.array([link.frames_per_tick for link in machine.links], np.int64)
        frames = -(-payload[hop_parcel] // wide[hop_link])
        cycles = -(-frames // rate[hop_link])
        groups = np.searchsorted(graph.first, self.maker[leaders], side="right") - 1 if leaders else np.zeros(0)
        packed = [sorted(self.tokens[t] for t in row) for row in members]
        routes = Routes(
            parcel_node=np.array([node[self.maker[t]] for t in leaders], np.int32),
            parcel_ptr=_ptr(packed),
            parcel_token=np.array([t for row in packed for t in row], np.int32),
            parcel_group=np.asarray(groups, np.int64),
            hop_ptr=np.searchsorted(hop_parcel, np.arange(len(leaders) + 1)).astype(np.int64),
            hop_parcel=hop_parcel.astype(np.int32),
            hop_link=hop_link.astype(np.int32),
            hop_parent=np.array(parent, np.int64),
            hop_frames=frames,
            hop_cycles=cycles,
            hop_ticks=cycles,
            passages=passages(machine, hop_link, np.array(parent, np.int64)),
        )
        ticks = work.fired.durations(node)
        read = readers(graph, node, len(machine.nodes))
        low = placement_bound_of(machine, node, ticks, routes)
        candidate = circled(Candidate(work, node, ticks, read, routes, low, low.ticks))
        if candidate.bound.ticks < bound.ticks:
            candidate = replace(candidate, bound=bound)
        placed = candidate.modulo
        start, sent = constants_late(placed, start, sent, period)
        times = Times(start, sent, placed.span(start))
        slots = allot(work.fired, placed, times, period)
        check_memory(work.fired, slots)
        return encode(candidate, "searched", period, times, slots, bound)


def _ptr(rows: Any) -> IntArray:
    """Where each row begins when they are put one after the other, and where the last one ends."""
    return np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)


def _trees(machine: Machine) -> tuple[IntArray, IntArray, IntArray]:
    """Trees out of every node, int64 (ways, nodes, nodes) each; see :func:`.plans.lay`: by which link each node is
    reached, the nodes in the order in which they are, -1 where there is no way, and those on the way, as bits.

    The first are shortest by time, with ties broken in favour of low and of high links; of the others, half are
    shortest too, or hardly longer, and half are any.
    """
    nodes, links = len(machine.nodes), machine.links
    rng = np.random.default_rng(0)
    base = np.array([(1 + link.latency) << 20 for link in links], np.int64)
    number = np.arange(len(links))
    weights = [base + number, base + len(links) - number]
    weights += [base + rng.integers(0, 1 << 18, len(links)) for _ in range((_WAYS - 2) // 2)]
    weights += [(base * np.exp(3 * rng.random(len(links)))).astype(np.int64) for _ in range(_WAYS - len(weights))]
    into = np.full((_WAYS, nodes, nodes), -1, np.int64)
    turn, path = into.copy(), np.zeros((_WAYS, nodes, nodes), np.int64)
    for way, weight in enumerate(weights):
        for root in range(nodes):
            far = {root: 0}
            done: list[int] = []
            while len(done) < len(far):
                v = min((u for u in far if u not in done), key=lambda u: (far[u], u))
                done.append(v)
                for n in machine.out_links(v):
                    u = links[n].dst
                    if far[v] + int(weight[n]) < far.get(u, 1 << 60):
                        far[u] = far[v] + int(weight[n])
                        into[way, root, u] = n
            turn[way, root, : len(done)] = done
            for v in done[1:]:
                path[way, root, v] = path[way, root, links[into[way, root, v]].src] | (1 << v)
    return into, turn, path
