"""The cheapest machine of a family on which a graph runs as fast as is wanted, or what stops it.

A machine at f MHz gives f * 10**6 / period samples per second, so that F of them need a period of at most
``floor(f * 10**6 / F)`` ticks. Machines are looked at in the order of a lower bound on what is to be small; those
whose proved bound on the period is above what is needed are not folded, and the search ends where no machine that is
left can be cheaper than the one that was found. So the answer is that of folding every machine of the family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from graphsim.analysis.bounds import Bound, fewest_latency
from graphsim.analysis.costs import Costs
from graphsim.errors import InfeasibleError, PlacementError, UsageError
from graphsim.graph import Graph
from graphsim.graph.words import in_ticks
from graphsim.machine import Machine
from graphsim.schedule import Buffering, Schedule, fold, latency, proved

Minimize = Literal["nodes", "latency", "memory"]
#: What can be made small: nodes of the machine, the schedule's latency, bytes in its fullest node.
MINIMIZE: tuple[Minimize, ...] = get_args(Minimize)

Outcome = Literal["reaches", "misses", "impossible", "cannot be folded"]


@dataclass(frozen=True)
class Tried:
    """One machine of a family that was looked at.

    Attributes:
        machine: its name. nodes: that compute. links: of it.
        needed: the longest period, in ticks, that reaches the target at its clock.
        outcome: ``reaches``; ``misses``: the period that was found is longer; ``impossible``: proved, so that it was
            not folded; ``cannot be folded``.
        period, latency, memory: of its schedule: ticks, ticks, bytes in the fullest node; None where there is none.
        bound: proved, on its period; None where it has no price.
        why: what stops it; "" where nothing does.
    """

    machine: str
    nodes: int
    links: int
    needed: int
    outcome: Outcome
    period: int | None
    latency: int | None
    memory: int | None
    bound: Bound | None
    why: str

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "machine": self.machine,
            "nodes": self.nodes,
            "links": self.links,
            "needed_period_ticks": self.needed,
            "outcome": self.outcome,
            "period_ticks": self.period,
            "latency_ticks": self.latency,
            "memory_bytes": self.memory,
            "lower_bound_ticks": None if self.bound is None else self.bound.ticks,
            "why": self.why or None,
        }


@dataclass(frozen=True)
class Search:
    """What became of a family.

    Attributes:
        target: samples per second. minimize: what was to be small.
        machines: how many the family has.
        tried: those that were looked at, in that order; the others cannot be cheaper than the one that was found.
        schedule: on the cheapest that reaches the target; None where none does.
    """

    target: float
    minimize: Minimize
    machines: int
    tried: tuple[Tried, ...]
    schedule: Schedule | None

    @property
    def best(self) -> Tried | None:
        """The cheapest machine; None where none reaches the target."""
        reached = [one for one in self.tried if one.outcome == "reaches"]
        name = None if self.schedule is None else self.schedule.machine.name
        return next((one for one in reached if one.machine == name), None)

    @property
    def nearest(self) -> Tried | None:
        """Where none reaches the target: the machine that comes closest, by the period found, or proved to be least;
        of equals the one with most nodes.
        """
        told = [(one, one.bound) for one in self.tried if one.bound is not None]
        away = [(Fraction(one.period or bound.ticks, max(1, one.needed)), -one.nodes) for one, bound in told]
        return None if not told else told[away.index(min(away))][0]

    @property
    def stopped_by(self) -> str:
        """What stops all machines of the family; "" where one reaches the target."""
        if self.schedule is not None:
            return ""
        counts = {kind: sum(one.outcome == kind for one in self.tried) for kind in get_args(Outcome)}
        said = [
            f"for {counts['impossible']:,} it is proved to be impossible" if counts["impossible"] else "",
            f"on {counts['misses']:,} no schedule was found that is fast enough" if counts["misses"] else "",
            f"{counts['cannot be folded']:,} cannot be folded onto" if counts["cannot be folded"] else "",
        ]
        text = f"{self.target:,.10g} samples/s: none of {self.machines:,} machines: {', '.join(filter(None, said))}"
        near = self.nearest
        if near is None:
            return f"{text}; the first, {self.tried[0].machine}: {self.tried[0].why}"
        return f"{text}; the nearest, {near.machine}: {near.why}"

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "target_samples_per_second": self.target,
            "minimize": self.minimize,
            "machines": self.machines,
            "chosen": None if self.best is None else self.best.machine,
            "stopped_by": self.stopped_by or None,
            "tried": [one.record() for one in self.tried],
        }


def minimize_named(name: str) -> Minimize:
    """What can be made small, by name.

    Raises:
        UsageError: there is no such thing.
    """
    for known in MINIMIZE:
        if name == known:
            return known
    raise UsageError(f"--minimize {name}: nothing of this name is made small; choose one of {', '.join(MINIMIZE)}")


def cheapest(
    graph: Graph,
    machines: Sequence[Machine],
    target: float,
    minimize: Minimize = "nodes",
    *,
    strategy: str | None = None,
    buffering: Buffering = "single",
    seed: int = 0,
    tile: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Search:
    """The machine that reaches ``target`` samples per second with the least of what is to be small.

    Of equals the one with fewer nodes, then with fewer links, then the first.

    Args:
        strategy, buffering, seed, tile: of every fold, as :func:`~graphsim.schedule.fold` takes them.
        progress: called with the number of machines looked at.

    Raises:
        UsageError: there are no machines, or the target is not a number above 0.
    """
    if not machines:
        raise UsageError("there are no machines to choose of")
    if not (math.isfinite(target) and target > 0):
        raise UsageError(f"a target of {target} samples per second; give a number above 0")
    least = [_least(graph, machine, minimize) for machine in machines]
    sizes = [(len(machine.compute_nodes), len(machine.links), number) for number, machine in enumerate(machines)]
    tried: list[Tried] = []
    best: tuple[tuple[int, ...], Schedule] | None = None
    for number in sorted(range(len(machines)), key=lambda i: (least[i], *sizes[i])):
        if best is not None and (least[number], *sizes[number]) > best[0]:
            break
        how: dict[str, Any] = {"strategy": strategy, "buffering": buffering, "seed": seed, "tile": tile}
        one, schedule = _try(graph, machines[number], target, how)
        tried.append(one)
        if progress is not None:
            progress(len(tried))
        if one.outcome == "reaches" and schedule is not None:
            values: dict[Minimize, int | None] = {"nodes": one.nodes, "latency": one.latency, "memory": one.memory}
            value = values[minimize]
            assert value is not None
            key = (value, *sizes[number])
            if best is None or key < best[0]:
                best = key, schedule
    return Search(target, minimize, len(machines), tuple(tried), None if best is None else best[1])


def _least(graph: Graph, machine: Machine, minimize: Minimize) -> int:
    """A lower bound on what is to be small, on this machine; 0 where nothing is known."""
    if minimize == "nodes":
        return len(machine.compute_nodes)
    try:
        costs = Costs(graph, machine)
    except InfeasibleError:
        return 0
    if minimize == "latency":
        return fewest_latency(costs)
    # Every list of parameters is on one node at least, and the fullest node has its share of them at least.
    return -(-sum(costs.whole) // len(machine.compute_nodes)) if _stored_once(graph) else 0


def _stored_once(graph: Graph) -> bool:
    """Whether no two groups or bundles read one param, so that bytes of groups may be added up."""
    names = [ref.name for group in graph.groups for ref in group.params.values()]
    names += [channel.weight.name for channel in graph.channels if channel.weight is not None]
    return len(names) == len(set(names))


def _try(graph: Graph, machine: Machine, target: float, how: dict[str, Any]) -> tuple[Tried, Schedule | None]:
    """What becomes of one machine; ``how`` it is folded onto."""
    needed = math.floor(Fraction(machine.clock_mhz) * 10**6 / Fraction(target))
    about = machine.name, len(machine.compute_nodes), len(machine.links), needed
    try:
        bound = proved(Costs(graph, machine), buffering=how["buffering"], tile=how["tile"])
    except (InfeasibleError, PlacementError) as error:
        return Tried(*about, "cannot be folded", None, None, None, None, str(error)), None
    if bound.ticks > needed:
        why = (
            f"{in_ticks(bound.ticks)} are proved to be needed, {needed:,} are wanted; {bound.resource}: {bound.reason}"
        )
        return Tried(*about, "impossible", None, None, None, bound, why), None
    try:
        schedule = fold(graph, machine, **how)
    except (InfeasibleError, PlacementError) as error:
        return Tried(*about, "cannot be folded", None, None, None, bound, str(error)), None
    return _folded(graph, schedule, about, bound)


def _folded(
    graph: Graph, schedule: Schedule, about: tuple[str, int, int, int], bound: Bound
) -> tuple[Tried, Schedule | None]:
    from graphsim.report.binding import bindings, in_words, why_nothing
    from graphsim.report.utilisation import utilisation

    load, needed = utilisation(graph, schedule), about[3]
    found = schedule.period, latency(graph, schedule), int(load.node_bytes.max()), bound
    if schedule.period <= needed:
        return Tried(*about, "reaches", *found, ""), schedule
    binding = bindings(schedule, load)
    what = f"binds {in_words(binding)}" if binding else why_nothing(schedule, load)
    why = f"a period of {in_ticks(schedule.period)} was found, {needed:,} are wanted; {what}"
    return Tried(*about, "misses", *found, why), None
