"""Folding: place, route, find the period, find the times, allot the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphsim.analysis.bounds import Bound, fewest_ticks, lower_bound, tile_bounds
from graphsim.analysis.costs import Costs
from graphsim.analysis.tokens import tokens_before
from graphsim.analysis.transport import nodes_by_distance
from graphsim.errors import GraphsimError, InfeasibleError, PlacementError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.machine.topologies import is_made
from graphsim.passes import unroll
from graphsim.schedule import small
from graphsim.schedule.candidate import Candidate, Work, routed
from graphsim.schedule.fewer import shortest
from graphsim.schedule.partition import greedy, hypergraph
from graphsim.schedule.place import (
    LIGHT_LAYERS,
    Placement,
    check_placement,
    contiguous,
    one_to_one,
    read_placement,
)
from graphsim.schedule.schedule import Buffering, Schedule, latency
from graphsim.schedule.soonest import Soonest
from graphsim.schedule.tiles import Tiles
from graphsim.schedule.together import Found, Together

IntArray = npt.NDArray[np.int64]

#: Placement strategies by name, with what ``--help`` says of them.
STRATEGIES = {
    "contiguous": "every layer in contiguous ranges, balanced by work (default)",
    "one-to-one": "every actor on a node of its own",
    "hypergraph": "least traffic, by multilevel hypergraph partitioning; needs graphsim[partition]",
    "greedy": "the dearest actors first, then single moves that save traffic",
    "soonest": "circuits only: every gate where it can fire soonest (default for them)",
}


def fold(
    graph: Graph,
    machine: Machine,
    *,
    strategy: str | None = None,
    placement: Path | str | Placement | None = None,
    buffering: Buffering = "single",
    seed: int = 0,
    tile: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Schedule:
    """Fold a graph onto a machine: the smallest period first, then latency, then memory.

    Args:
        strategy: one of ``STRATEGIES``; None: ``one-to-one`` on a machine that is made for the graph, ``soonest`` for
            circuits, else ``contiguous``.
        placement: a placement file, or the node of every actor, int32 (actors,); used instead of a strategy.
        buffering: ``single``: computing and communicating overlap; ``double``: they alternate, see
            :mod:`~graphsim.schedule.double`.
        seed: of strategies that use chance.
        tile: so many actors of a layer are scheduled as one, see :mod:`~graphsim.schedule.tiles`; ``contiguous``,
            where no strategy is named.
        progress: called now and then with the number of candidates tried so far.

    Raises:
        GraphError: rates other than one elsewhere than at ``serial`` and ``take``; or bundles from one group hold
            initial tokens of different values.
        PlacementError: the strategy does not fit graph, machine or tiles, or the placement file is wrong.
        InfeasibleError: no schedule exists; names the node or link, the resource and the shortfall.
    """
    unrolled = unroll(graph)
    tokens_before(unrolled.graph)  # refuses those that no memory can hold
    if is_made(machine.topology) and placement is None:
        if strategy not in (None, "one-to-one"):
            raise PlacementError(
                f"{machine.name} has the links of its own placement, not those of {strategy}; leave out --place"
            )
        strategy = "one-to-one"
    tiles = None if tile == 1 else Tiles(unrolled.graph, tile)
    if tiles is not None and strategy in ("one-to-one", "soonest"):
        raise PlacementError(f"{strategy} places every actor by itself; leave out --tile")
    work, told = Work(Costs(graph, machine), unrolled, buffering, tiles), _Told(progress)
    if placement is not None:
        given = placement if isinstance(placement, np.ndarray) else read_placement(placement, graph, machine)
        check_placement(graph, machine, given)
        if tiles is not None:
            tiles.check(given[work.owner])
        tried = _Tried(work, told)
        tried.add(given)
        return _there(tried.schedule("file", proved(work.costs, buffering=buffering, tile=tile)))
    if strategy not in (None, *STRATEGIES):
        raise PlacementError(f"there is no placement strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}")
    if strategy == "soonest" and not _gates(work):
        raise PlacementError(f"{graph.name}: soonest places circuits, on nodes that are alike; use --place contiguous")
    bound = proved(work.costs, buffering=buffering, tile=tile)
    if tiles is not None:
        return _there(_searched(work, strategy or "contiguous", seed, told, bound))
    if strategy not in (None, "contiguous", "soonest"):
        return _there(_searched(work, strategy, seed, told, bound))

    def search(member: Machine, below: int | None) -> Schedule | None:
        other = Work(Costs(graph, member), unrolled, buffering)
        least = proved(other.costs, buffering=buffering, enough=below)
        if below is not None and least.ticks >= below:
            return None
        return _searched(other, strategy, seed, told, least, below)

    found, failed = None, None
    try:
        found = _searched(work, strategy, seed, told, bound)
    except (PlacementError, InfeasibleError) as error:
        failed = error
        if work.size > _PLACED:  # each member would search as long again
            raise
    best = shortest(work, bound, found, search)
    if best is None:
        assert failed is not None
        raise failed
    return best


def proved(costs: Costs, *, buffering: Buffering = "single", tile: int = 1, enough: int | None = None) -> Bound:
    """The lower bound on the period of every schedule that :func:`fold` may find, with these arguments of its.

    ``enough``: a bound of so many ticks is as good as any that is higher.

    Raises:
        PlacementError: the graph cannot be folded in tiles.
    """
    tiled: list[Bound] = []
    if tile != 1:
        fired = unroll(costs.graph).graph
        tiled = tile_bounds(Costs(fired, costs.machine), Tiles(fired, tile).leader)
    return lower_bound(costs, alternating=buffering == "double", besides=tiled, enough=enough)


def _there(schedule: Schedule | None) -> Schedule:
    """A schedule that is there, as none shorter than something was asked for."""
    assert schedule is not None
    return schedule


def _better(graph: Graph, best: Schedule, search: Callable[[], Schedule | None]) -> Schedule:
    """The better of a schedule and another, if there is one: by period, then latency; the first of equals."""
    try:
        other = _there(search())
    except (PlacementError, InfeasibleError):
        return best
    return min(best, other, key=lambda one: (one.period, latency(graph, one)))


class _Told:
    """Counts candidates, and says how many there were."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self.progress, self.count = progress, 0

    def __call__(self) -> None:
        self.count += 1
        if self.progress is not None:
            self.progress(self.count)


def _gates(work: Work) -> bool:
    """Whether ``soonest`` can place this."""
    return work.modular and Soonest(work.costs, work.wave).able


def _searched(
    work: Work, strategy: str | None, seed: int, told: Callable[[], None], bound: Bound, below: int | None = None
) -> Schedule | None:
    """The schedule that a strategy finds; ``bound``: of the machine.

    None only with ``below``: if it has no period below so many ticks.

    Raises:
        PlacementError, InfeasibleError: as :func:`fold`.
    """
    costs = work.costs
    if strategy is None:
        strategy = "soonest" if _gates(work) else "contiguous"
        if small.able(work) or (strategy == "soonest" and work.size <= small.MOST_FIRINGS):
            best = _there(_searched(work, strategy, seed, told, bound))
            if strategy == "soonest":  # ranges of gates on fewer nodes may have less latency
                best = _better(work.costs.graph, best, lambda: _searched(work, "contiguous", seed, told, bound))
            if small.able(work):
                best = small.improved(work, best, bound, below) or best
            return best if below is None or best.period < below else None
    tried = _Tried(work, told, below if strategy == "contiguous" and not work.chains else None)
    if strategy == "one-to-one":
        tried.add(one_to_one(costs))
    elif strategy == "hypergraph":
        tried.add(hypergraph(costs, seed))
    elif strategy == "greedy":
        tried.add(greedy(costs))
    elif strategy == "contiguous":
        _search(costs, tried, bound)
    else:
        aim = bound.ticks if work.buffering == "single" else -(-bound.ticks // 2)  # what nodes and links have
        _search_soonest(Soonest(costs, work.wave), tried, aim, below)
    return tried.schedule(strategy, bound)


def _search(costs: Costs, tried: _Tried, bound: Bound) -> None:
    """Contiguous placements on all nodes, and on the k nearest to the host wherever that might be better.

    Fewer nodes help where communication binds, or where layers happen to divide better. No placement on k nodes has a
    period below ``fewest_ticks(costs, k)``, so most numbers of nodes need not be tried.
    """
    nodes = nodes_by_distance(costs.machine)
    count, tile = len(nodes), 1 if tried.work.tiles is None else tried.work.tiles.size
    most = max(1, _PLACED // tried.work.size)
    in_vain = max(2, _PLACED_IN_VAIN // tried.work.size)
    counts = _counts(count)
    if len(LIGHT_LAYERS) * len(counts) > most:
        tried.below = None  # which placements are tried depends on the periods of others
        counts = [max(1, count >> i) for i in range(count.bit_length())]
    for k in counts:
        for light in LIGHT_LAYERS:
            if not tried.found and tried.count >= in_vain:
                return
            if tile > 1 and tried.period is not None and tried.period <= bound.ticks:
                break  # fewest_ticks, which knows of no tiles, would say that fewer nodes may have less
            if tried.period is None or (tried.count < most and fewest_ticks(costs, k) < tried.period):
                tried.attempt(lambda k=k, light=light: contiguous(costs, nodes[:k], light, tile))  # type: ignore[misc]
    if not tried.found or tried.count >= most:
        return
    best = min(tried.found, key=lambda c: c.estimate)
    # Of the same period, for latency: the least k that may have it, and other places for light layers.
    low, high = 1, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fewest_ticks(costs, middle) <= best.estimate else (middle + 1, high)
    for k in dict.fromkeys((best.nodes, low)):
        for light in LIGHT_LAYERS:
            if tried.count < most:
                tried.attempt(lambda k=k, light=light: contiguous(costs, nodes[:k], light, tile))  # type: ignore[misc]


def _search_soonest(soonest: Soonest, tried: _Tried, period: int, below: int | None) -> None:
    """Placements of gates where they can fire soonest, aiming at periods from this one on; and one in ranges.

    ``below``: what can only have a longer period, or this one, need not be found.
    """
    tried.attempt(lambda: contiguous(tried.work.costs, tried.work.costs.machine.compute_nodes))
    most = max(_FEWEST, _PLACED_GATES // tried.work.size)
    tries, aim = 0, float(period)
    growth = 1 + 1 / 8
    while tries < most and (tries == 0 or tried.period is None or int(aim) < tried.period):
        if (found := soonest.place(int(aim))) is not None:
            tried.attempt(lambda node=found: node)  # type: ignore[misc]
            tries += 1
            if tries == 1 and tried.period is not None:
                growth = max(growth, (tried.period / aim) ** (1 / most))
        aim = max(aim + 1, aim * growth)
    together = Together(tried.work.costs, tried.work.wave, few=below is not None)
    if tried.work.looped and together.able:
        _search_together(together, tried, period, below)


def _search_together(together: Together, tried: _Tried, period: int, below: int | None) -> None:
    """A placement made for the least period from this one on for which it has times, if there is one.

    What other placements promise does not count: times for them may not be found.
    """
    aim = period
    for _ in range(_AIMS):
        if below is not None and aim >= below:
            return
        for found in together.places(aim):
            before = len(tried.found)
            tried.attempt(lambda node=found.node: node, found)  # type: ignore[misc]
            if any(c.times is not None for c in tried.found[before:]):
                return
        aim += 1 + aim // 64


#: Periods that placements are made for, at most.
_AIMS = 32
#: Gates that are placed over all placements tried, and how many of these there are at least.
_PLACED_GATES = 100_000
_FEWEST = 4


def _counts(count: int) -> list[int]:
    """Numbers of nodes to try, ``count`` first, falling: the next ones and all small ones, and each fifth between."""
    found, k = {count}, 1
    while k <= count:
        found.add(k)
        k += max(1, k // 5)
    return sorted(found | set(range(max(1, count - _NEXT), count)) | set(range(1, min(_NEXT, count) + 1)), reverse=True)


#: Numbers of nodes up to this one, and down to this many below all nodes, are tried one by one.
_NEXT = 16
#: Actors that are placed over all placements tried. Where that is too few for all numbers of nodes, all, half, a
#: quarter and so on of the nodes are tried; and the search ends when that many are placed and a schedule is found.
_PLACED = 1_000_000
#: Actors that are placed at most while no schedule is found.
_PLACED_IN_VAIN = 10_000_000


class _Tried:
    """Placements tried so far, each with its routes and the period that these allow.

    Args:
        told: called for every placement.
        below: placements that allow no shorter period than this are of no use. What is found with it is what would be
            found without, if that has a shorter period.
    """

    def __init__(self, work: Work, told: Callable[[], None], below: int | None = None) -> None:
        self.work, self.told, self.below = work, told, below
        self.found: list[Candidate] = []
        self.count = 0
        self.error: GraphsimError | None = None

    @property
    def period(self) -> int | None:
        """The smallest so far, or what it must be below."""
        return min((c.estimate for c in self.found), default=self.below)

    def attempt(self, place: Callable[[], Placement], wanted: Found | None = None) -> None:
        """Add a placement, or remember why it cannot be."""
        try:
            self.add(place(), wanted)
        except (PlacementError, InfeasibleError) as error:
            self.error = self.error or error

    def add(self, node: Placement, wanted: Found | None = None) -> None:
        """Add a placement of actors; ``wanted``: the ticks that it was made for.

        Raises:
            InfeasibleError: a link's calendar is too small.
        """
        self.count += 1
        self.told()
        node = node[self.work.owner]
        if self.work.tiles is not None:
            node = node[self.work.tiles.leader]
        if any(np.array_equal(c.node, node) and c.wanted is wanted for c in self.found):
            return
        ticks = self.work.fired.durations(node)
        busy = np.bincount(node, weights=ticks).max()
        # A period that is only promised is no reason to leave out what was made with ticks for its own.
        if wanted is None and self.period is not None and busy > self.period:
            return
        if self.below is not None and busy >= self.below:
            return
        candidate = routed(self.work, node, ticks, wanted)
        if wanted is not None:  # for shorter ones others were made
            candidate = replace(candidate, estimate=max(candidate.estimate, wanted.period))
        if self.below is None or candidate.estimate < self.below:
            self.found.append(candidate)

    def schedule(self, strategy: str, bound: Bound) -> Schedule | None:
        """The best schedule: smallest period, then latency, then memory, then the fewest nodes.

        None: no placement was of use.

        Raises:
            InfeasibleError, PlacementError: none of them has a schedule.
        """
        best: tuple[tuple[int, int, int, int], Schedule] | None = None
        ranked = sorted(self.found, key=lambda c: (c.estimate, c.wanted is None, c.nodes))
        timed = max(1, min(_TIMED, _PLACED // self.work.size))
        for number, candidate in enumerate(ranked):
            if best is not None and candidate.least + (number >= timed) > best[0][0]:
                break
            try:
                found = candidate.timed(strategy, bound, None if best is None else best[0][0])
            except InfeasibleError as error:
                self.error = self.error or error
                continue
            if found is None:
                continue
            key, schedule = found
            if best is None or key < best[0]:
                best = key, schedule
        if best is None:
            if self.error is None:
                return None
            raise self.error
        return replace(best[1], remark="; ".join(filter(None, (best[1].remark, self._remark(best[1])))))

    def _remark(self, best: Schedule) -> str:
        """Why more nodes were not used, if a placement on more of them failed."""
        used, there = len(np.unique(best.node)), len(self.work.costs.machine.compute_nodes)
        if self.error is None or used == there:
            return ""
        return f"{used:,} of {there:,} nodes are used; a placement on more failed: {self.error}"[:1000]


#: Candidates of one period whose latency is found out, at most.
_TIMED = 6
