"""The scheduler against the optimum, over the fixed set of small cases in ``scheduler_cases.py``.

The optima are in ``scheduler_optima.json``: what the exact solver (``graphsim.schedule.exact``, CP-SAT) proved, case by
case. ``bench.py --scheduler`` folds all cases and holds them against that file; ``--prove`` makes the file anew.

A draw of a case whose shortest period the solver cannot prove within its limit of work is given up, and the next draw
of the same case is taken; the file lists those that were. The least latency at that period is harder to prove: where it
is not, the file has the least that is known and a proved bound.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scheduler_cases import CASES, case

from graphsim.errors import GraphsimError
from graphsim.files import write_text
from graphsim.graph import Graph
from graphsim.machine import Machine
from graphsim.schedule import fold, latency
from graphsim.schedule.exact import optimum
from graphsim.schedule.verify import verify

#: Asked: so many of 100 periods optimal, none further off than this, and latency so far off on average.
OPTIMAL, MOST_OFF, LATENCY_OFF = 90, 0.10, 0.15
FILE = Path(__file__).parent / "scheduler_optima.json"


@dataclass(frozen=True)
class Proof:
    """What is proved of one draw of a case, all in ticks.

    Attributes:
        number, draw: of the case. digest: of graph and machine: what was proved is about these.
        period: the shortest known. period_bound: no schedule has a shorter one.
        latency: the least known at that period. latency_bound: no schedule of that period has less.
        effort: work of each question to the solver.
    """

    number: int
    draw: int
    digest: str
    period: int
    period_bound: int
    latency: int
    latency_bound: int
    effort: float

    @property
    def settled(self) -> bool:
        """Whether the shortest period is proved."""
        return self.period == self.period_bound


@dataclass(frozen=True)
class Point:
    """One case folded, beside its optimum."""

    family: str
    machine: str
    actors: int
    period: int
    latency: int
    valid: bool
    best: Proof

    @property
    def off(self) -> float:
        """How far the period is above the shortest."""
        return self.period / self.best.period - 1

    @property
    def late(self) -> float | None:
        """How far latency is above the least known; None if the period is not the shortest."""
        if self.period != self.best.period:
            return None
        return 0.0 if self.latency == self.best.latency else self.latency / max(1, self.best.latency) - 1


def digest(graph: Graph, machine: Machine) -> str:
    """Names a graph on a machine."""
    return f"{graph.digest[:16]}-{machine.digest()[:16]}"


def known() -> list[Proof]:
    """What the file says, draws that were given up too, by case and draw."""
    found = [Proof(**row) for row in json.loads(FILE.read_text())["draws"]] if FILE.exists() else []
    return sorted(found, key=lambda proof: (proof.number, proof.draw))


def optima() -> list[Proof]:
    """The draw of each case whose shortest period is proved.

    Raises:
        GraphsimError: the file is not about these cases.
    """
    found = {proof.number: proof for proof in known() if proof.settled}
    for number in range(CASES):
        if number not in found or found[number].digest != digest(*case(number, found[number].draw)[1:]):
            raise GraphsimError(
                f"{FILE.name} does not have case {number} as it is now; run bench.py --scheduler --prove"
            )
    return [found[number] for number in range(CASES)]


def prove(console: Console, effort: float) -> None:
    """Find and prove the optimum of every case, and write the file after each; what it has already is kept if it is
    about the same graph and machine, and nothing was left open or no less work was done.
    """
    proofs = {(proof.number, proof.draw): proof for proof in known()}
    for number in range(CASES):
        for draw in range(100):
            family, graph, machine = case(number, draw)
            old = proofs.get((number, draw))
            same = old is not None and old.digest == digest(graph, machine)
            if old is None or not same or (old.effort < effort and old.latency > old.latency_bound):
                start = fold(graph, machine)
                best = optimum(graph, machine, effort=effort, start=start)
                if not verify(graph, best.schedule).ok:
                    raise GraphsimError(f"case {number}: the solver's schedule is not valid")
                proofs[number, draw] = new = Proof(
                    number, draw, digest(graph, machine), best.schedule.period, best.period_bound,
                    latency(graph, best.schedule), best.latency_bound, effort,
                )  # fmt: skip
                if old is not None and same and old.period == new.period:
                    proofs[number, draw] = replace(
                        new,
                        period_bound=max(old.period_bound, new.period_bound),
                        latency=min(old.latency, new.latency),
                        latency_bound=max(old.latency_bound, new.latency_bound),
                    )
                rows = [asdict(proofs[key]) for key in sorted(proofs)]
                lines = ",\n".join("    " + json.dumps(row) for row in rows)
                write_text(FILE, '{\n  "schema_version": 1,\n  "draws": [\n' + lines + "\n  ]\n}\n")
                console.print(f"{family} {number}.{draw} on {machine.name}: {proofs[number, draw]}")
            if proofs[number, draw].settled:
                break


def measure(proof: Proof) -> Point:
    """Fold one case."""
    family, graph, machine = case(proof.number, proof.draw)
    schedule = fold(graph, machine)
    valid = verify(graph, schedule).ok
    return Point(
        family, machine.name, graph.actor_count, schedule.period, latency(graph, schedule), valid, proof
    )  # fmt: skip


def scheduler(console: Console, again: bool, effort: float) -> dict[str, Any]:
    """Measure all cases, print them, their families, and what is asked; and return the same.

    Args:
        again: prove the optima first. effort: work of each question to the solver then.
    """
    if again:
        prove(console, effort)
    points = [measure(proof) for proof in optima()]
    table = Table("case", "on", "actors", "period", "shortest", "latency", "least known", "proved")
    for p in points:
        best, draw = p.best, f".{p.best.draw}" if p.best.draw else ""
        table.add_row(
            f"{p.family} {best.number}{draw}", p.machine, str(p.actors), str(p.period), str(best.period),
            str(p.latency), str(min(best.latency, p.latency) if p.late is not None else best.latency),
            str(best.latency_bound),
        )  # fmt: skip
    console.print(table)
    families: dict[str, list[Point]] = defaultdict(list)
    for p in points:
        families[p.family].append(p)
    table = Table("family", "cases", "period optimal", "most off", "latency over least known", "where it is proved")
    for name, some in [*families.items(), ("all", points)]:
        proved = [p for p in some if p.best.latency == p.best.latency_bound]
        table.add_row(
            name, str(len(some)), str(sum(p.off == 0 for p in some)), f"{max(p.off for p in some):.0%}",
            f"{_late(some):.1%}", f"{_late(proved):.1%} of {len(proved)}",
        )  # fmt: skip
    console.print(table)
    given_up = [proof for proof in known() if not proof.settled]
    for proof in given_up:
        family, _, machine = case(proof.number, proof.draw)
        console.print(
            f"{family} {proof.number}.{proof.draw} on {machine.name} was given up: period {proof.period} known, "
            f"{proof.period_bound} proved"
        )
    proved = [p for p in points if p.best.latency == p.best.latency_bound]
    met = {
        f"period optimal in {OPTIMAL} of {CASES}": sum(p.off == 0 for p in points) >= OPTIMAL,
        f"never more than {MOST_OFF:.0%} off": max(p.off for p in points) <= MOST_OFF,
        f"latency within {LATENCY_OFF:.0%} of the least known on average": _late(points) <= LATENCY_OFF,
        f"and where the least is proved ({len(proved)} cases)": _late(proved) <= LATENCY_OFF,
        "all schedules valid": all(p.valid for p in points),
    }
    for what, whether in met.items():
        console.print(f"{what}: {'yes' if whether else 'NO'}")
    return {"points": [asdict(p) for p in points], "given_up": [asdict(proof) for proof in given_up], "met": met}


def _late(points: list[Point]) -> float:
    """How far latency is above the least known, mean over the cases of shortest period in which anything takes time;
    none counts as below it.
    """
    some = [p for p in points if p.latency or p.best.latency]
    return statistics.mean([max(0.0, p.late) for p in some if p.late is not None] or [0.0])
