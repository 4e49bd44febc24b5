"""The optimum: the shortest period of a small graph on a small machine, and the least latency at it, by CP-SAT.

Periods are tried one by one, from a proved lower bound up: at each, :mod:`.exact_model` describes all schedules that
there are, and CP-SAT (OR-Tools) finds one or proves that there is none. A period may be possible and the next one not,
so none is left out. Then latency is minimised at the period that was found.

One thread, a fixed seed, and a limit in units of work and not of time make the answer the same every time. Where the
limit is met before all is proved, the answer says how far the proof went.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphsim.analysis.bounds import Bound, lower_bound
from graphsim.analysis.costs import Costs
from graphsim.analysis.tokens import readers
from graphsim.errors import GraphsimError, PlacementError, ScheduleError
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.passes import unroll
from graphsim.schedule.candidate import Candidate, Work, circled, encode, placement_bound_of
from graphsim.schedule.exact_model import Model, Problem, problem_of
from graphsim.schedule.fold import fold
from graphsim.schedule.passage import passages
from graphsim.schedule.placed import Times, constants_late
from graphsim.schedule.route import Routes
from graphsim.schedule.schedule import Schedule, latency
from graphsim.schedule.slots import allot, check_memory

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpSolver

#: The largest graph, in firings, and the largest machine, in nodes, that are taken.
MOST_FIRINGS, MOST_NODES = 100, 8
#: Work of one question to the solver, in its own deterministic unit (a few seconds each), if not said otherwise.
EFFORT = 4.0


#: The search, in a process of its own: OR-Tools and TensorFlow bring libraries of one name, which crash each other.
_CHILD = """
import pickle, sys
from graphsim.errors import GraphsimError
from graphsim.schedule.exact import search
graph, machine, effort, start = pickle.load(sys.stdin.buffer)
try:
    found = search(graph, machine, effort=effort, start=start)
except GraphsimError as error:
    found = error
sys.stdout.buffer.write(pickle.dumps(found))
"""


@dataclass(frozen=True)
class Optimum:
    """The best schedule found, and what is proved about all others.

    Attributes:
        schedule: valid, of the shortest period found, and with the least latency found at it.
        period_bound: no schedule has a shorter period, in ticks.
        latency_bound: no schedule of that period has a smaller latency, in ticks.
    """

    schedule: Schedule
    period_bound: int
    latency_bound: int


def optimum(graph: Graph, machine: Machine, *, effort: float = EFFORT, start: Schedule | None = None) -> Optimum:
    """The shortest period, and the least latency at it.

    Args:
        effort: work of one question to the solver before it is given up, in deterministic units.
        start: a schedule to improve; what :func:`~graphsim.schedule.fold.fold` finds, if not given.

    Raises:
        PlacementError: graph or machine are too large, or OR-Tools is not installed.
        InfeasibleError: a node's memory is too small for the best schedule, or there is none at all.
    """
    asked = pickle.dumps((graph, machine, effort, start))
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=asked,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-300:] or f"status {done.returncode}"
        raise ScheduleError(f"the solver (OR-Tools) failed: {said}; take a smaller --effort, or fold without --exact")
    found = pickle.loads(done.stdout)
    if isinstance(found, GraphsimError):
        raise found
    assert isinstance(found, Optimum)
    return found


def search(graph: Graph, machine: Machine, *, effort: float = EFFORT, start: Schedule | None = None) -> Optimum:
    """What :func:`optimum` does, in this process."""
    try:
        import ortools  # noqa: F401
    except ImportError:
        raise PlacementError("exact needs OR-Tools: pip install 'graphsim[exact]'") from None
    unrolled = unroll(graph)
    if unrolled.graph.actor_count > MOST_FIRINGS or len(machine.nodes) > MOST_NODES:
        raise PlacementError(
            f"exact is for up to {MOST_FIRINGS} firings and copies on {MOST_NODES} nodes; {graph.name} has "
            f"{unrolled.graph.actor_count:,}, {machine.name} {len(machine.nodes):,}; use another strategy"
        )
    if {*machine.node_strides, *machine.link_strides} != {1}:
        raise PlacementError(f"exact is for machines of one frequency; {machine.name} has several: leave --exact out")
    for v in machine.switches:
        if len({machine.links[n].frames_per_tick for n in (*machine.in_links(v), *machine.out_links(v))}) > 1:
            raise PlacementError(
                f"exact is for switches whose links have one frames_per_tick; that of the links of switch "
                f"{machine.nodes[v].name} of {machine.name} differs: leave --exact out"
            )
    best = fold(graph, machine) if start is None else start
    costs = Costs(graph, machine)
    problem, bound = problem_of(costs, unrolled), lower_bound(costs)
    least = bound.ticks
    if least < best.period:
        loads = Model(problem, None, best.period)
        solver, _ = _solve(loads, effort)
        least = max(least, _whole(solver.best_objective_bound))
    proved = True
    for period in range(least, best.period):
        model = Model(problem, period)
        model.model.clear_objective()  # type: ignore[no-untyped-call]
        solver, status = _solve(model, effort)
        if status in ("OPTIMAL", "FEASIBLE"):
            best = _schedule(costs, problem, model, solver, bound)
            break
        proved = proved and status == "INFEASIBLE"
        least += proved
    else:
        least = best.period if proved else least
    found = latency(graph, best)
    model = Model(problem, best.period, found)
    model.hint(best)
    solver, status = _solve(model, effort)
    if status in ("OPTIMAL", "FEASIBLE") and round(solver.objective_value) < found:
        best = _schedule(costs, problem, model, solver, bound)
    return Optimum(best, least, _whole(solver.best_objective_bound))


def _whole(value: float) -> int:
    """A bound on an integer, from a float that may be a little off."""
    return int(np.ceil(value - 1e-6))


def _solve(model: Model, effort: float) -> tuple[CpSolver, str]:
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = effort
    status = solver.solve(model.model)
    return solver, solver.status_name(status)


def _schedule(costs: Costs, problem: Problem, model: Model, solver: CpSolver, bound: Bound) -> Schedule:
    """What the solver found, as a schedule."""
    assert model.period is not None
    work = Work(costs, unroll(costs.graph))
    graph, machine = work.fired.graph, costs.machine
    on = [next(v for v, var in here.items() if solver.value(var)) for here in model.on]
    node = np.array(on, np.int32)[work.owner]
    start = np.array([solver.value(s) for s in model.start], np.int64)
    read = readers(graph, node, len(machine.nodes))
    routes, hop_start = _routes(problem, model, solver, node, work)
    earliest = min(int(start.min()), int(hop_start.min(initial=0)))
    start, hop_start = start - earliest, hop_start - earliest
    ticks = work.fired.durations(node)
    found = placement_bound_of(machine, node, ticks, routes)
    candidate = circled(Candidate(work, node, ticks, read, routes, found, found.ticks))
    if candidate.bound.ticks < bound.ticks:
        candidate = replace(candidate, bound=bound)
    placed = candidate.modulo
    start, hop_start = constants_late(placed, start, hop_start, model.period)
    times = Times(start, hop_start, placed.span(start))
    slots = allot(work.fired, placed, times, model.period)
    check_memory(work.fired, slots)
    return encode(candidate, "exact", model.period, times, slots, bound)


def _routes(problem: Problem, model: Model, solver: Any, node: Any, work: Work) -> tuple[Routes, Any]:
    """Parcels and their trees without links that lead to no reader; and the start of every hop, int64 (hops,)."""
    links, travels = problem.machine.links, model.travels
    group_of = np.searchsorted(work.fired.graph.first, problem.maker, side="right") - 1
    read_on = [{int(node[a]) for a, _ in row} for row in problem.readers]
    parcels: list[tuple[int, list[int], list[tuple[int, int]]]] = []  # first token, all of them, (link, parent hop)
    for i in travels:
        root = int(node[problem.maker[i]])
        firsts = [n for n in problem.machine.out_links(root) if solver.value(model.leads[i, n])]
        for some in [firsts] if problem.frames_whole else [[n] for n in firsts]:
            led = (
                [] if problem.frames_whole else [u for u in travels if u > i and solver.value(model.led[i, u, some[0]])]
            )
            members = [i, *led]
            tree = [(n, -1) for n in some]
            for at, (n, _) in enumerate(tree):
                tree += [(m, at) for m in problem.machine.out_links(links[n].dst) if solver.value(model.taken[i, m])]
            wanted = set().union(*(read_on[u] for u in members))
            kept = [links[n].dst in wanted for n, _ in tree]
            for at in range(len(tree) - 1, -1, -1):
                if kept[at] and tree[at][1] >= 0:
                    kept[tree[at][1]] = True
            number = (np.cumsum(kept) - 1).tolist()
            tree = [(n, number[p] if p >= 0 else -1) for (n, p), keep in zip(tree, kept, strict=True) if keep]
            if tree:
                parcels.append((i, members, tree))
    parcels.sort(key=lambda parcel: (work.wave[problem.maker[parcel[0]]], group_of[parcel[0]], parcel[0], parcel[2]))
    hops = [(p, n, parent, i) for p, (i, _, tree) in enumerate(parcels) for n, parent in tree]
    sizes = [len(tree) for _, _, tree in parcels]
    begin = np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).astype(np.int64)
    hop_link = np.array([n for _, n, _, _ in hops], np.int32)
    payload = np.array([sum(problem.bits[u] for u in parcels[p][1]) for p, _, _, _ in hops], np.int64)
    frames = -(-payload // np.array([links[n].frame_bits for n in hop_link], np.int64))
    parent = np.array([-1 if at < 0 else begin[p] + at for p, _, at, _ in hops], np.int64)
    found = passages(problem.machine, hop_link.astype(np.int64), parent)
    counts = np.cumsum(np.array([0, *(len(members) for _, members, _ in parcels)], np.int64))
    routes = Routes(
        parcel_node=np.array([node[problem.maker[i]] for i, _, _ in parcels], np.int32),
        parcel_ptr=counts,
        parcel_token=np.array([problem.tokens[u] for _, members, _ in parcels for u in members], np.int32),
        parcel_group=np.array([group_of[i] for i, _, _ in parcels], np.int64),
        hop_ptr=begin,
        hop_parcel=np.array([p for p, _, _, _ in hops], np.int32),
        hop_link=hop_link,
        hop_parent=parent,
        hop_frames=frames,
        hop_cycles=-(-frames // found.pace),
        hop_ticks=-(-frames // found.pace),
        passages=found,
    )
    return routes, np.array([solver.value(model.sent[i, n]) for _, n, _, i in hops], np.int64)
