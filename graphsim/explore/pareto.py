"""The Pareto front of a sweep: the points that no other beats in one objective without losing in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError
from graphsim.explore.conditions import Condition, hold
from graphsim.explore.rows import Row
from graphsim.machine.model import hint, show

#: What is weighed, unless something else is asked for; and, where all points have faults, faulty accuracy.
OBJECTIVES = ("nodes", "period", "latency", "memory", "link_load")
#: Of what a run with faults answers.
_OF_FAULTS = ("faulty_accuracy", "silent_rate", "missing_rate")
#: All that can be. It is to be small, or, in GREATER, great.
MEASURES = (*OBJECTIVES, "nodes_used", "links", "bound", "traffic", *_OF_FAULTS)
GREATER = ("faulty_accuracy",)


def front(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which rows no other row dominates, bool (rows,); equal rows do not dominate each other.

    A row dominates another if it is nowhere greater, and smaller somewhere.

    Args:
        values: float64 (rows, objectives), all to be small.
    """
    table = np.asarray(values, np.float64)
    distinct, which = np.unique(table, axis=0, return_inverse=True)
    # Of ascending rows, none is dominated by a later one.
    best = np.zeros(len(distinct), np.bool_)
    for i, row in enumerate(distinct):
        best[i] = not (distinct[:i][best[:i]] <= row).all(axis=1).any()
    return best[which.reshape(-1)]


@dataclass(frozen=True)
class Weighed:
    """A sweep, weighed.

    Attributes:
        objectives: what is weighed, in this order.
        rows: of the points that went well and meet the constraints, by model, then by the objectives, those of faults
            after the rate of corruption.
        best: whether each is on the front of its model, and of its faults and their rate.
        failed: points that did not go well. unmet: that do not meet a constraint, or do not have what is weighed.
    """

    objectives: tuple[str, ...]
    rows: tuple[Row, ...]
    best: tuple[bool, ...]
    failed: int
    unmet: int

    @property
    def front(self) -> list[Row]:
        """The rows on a front."""
        return [row for row, best in zip(self.rows, self.best, strict=True) if best]

    @property
    def behind(self) -> list[Row]:
        """The dominated rows."""
        return [row for row, best in zip(self.rows, self.best, strict=True) if not best]

    @property
    def alike(self) -> list[list[Row]]:
        """The rows on a front, those of one model that are equal in all objectives together, in the order of rows."""
        found: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.front:
            found.setdefault((row["model_sha256"], *(row[name] for name in self.objectives)), []).append(row)
        return list(found.values())


def usual(rows: Sequence[Row]) -> tuple[str, ...]:
    """What is weighed where nothing is asked for: :data:`OBJECTIVES`, and faulty accuracy where all that went well have
    it.
    """
    well = [row for row in rows if row["status"] == "ok"]
    has_faults = bool(well) and all(row["faulty_accuracy"] is not None for row in well)
    return (*OBJECTIVES, "faulty_accuracy") if has_faults else OBJECTIVES


def weigh(rows: Sequence[Row], objectives: Sequence[str], conditions: Sequence[Condition] = ()) -> Weighed:
    """The front of each model, and what is behind it.

    A rate of corruption is nothing that is chosen: points with faults are weighed against those at the same rate.

    Raises:
        UsageError: there is no such objective.
    """
    chosen = tuple(dict.fromkeys(measure(name) for name in objectives))
    if not chosen:
        raise UsageError(f"no objective; choose some of {', '.join(MEASURES)}")
    well = [row for row in rows if row["status"] == "ok"]
    kept = [row for row in well if hold(conditions, row) and all(row[name] is not None for name in chosen)]
    kept.sort(key=lambda row: _order(row, chosen))
    together: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(kept):
        together.setdefault((row["model_sha256"], row["faults_sha256"], row["corruption_rate"]), []).append(i)
    best = np.zeros(len(kept), np.bool_)
    for own in together.values():
        best[own] = front([[_small(row, name) for name in chosen] for row in (kept[i] for i in own)])
    return Weighed(chosen, tuple(kept), tuple(best.tolist()), len(rows) - len(well), len(well) - len(kept))


def _small(row: Row, name: str) -> float:
    """A measure, the better the smaller."""
    value: float = row[name]
    return -value if name in GREATER else value


def _order(row: Row, objectives: Sequence[str]) -> tuple[Any, ...]:
    of_machine = [row[name] for name in objectives if name not in _OF_FAULTS]
    faults = (row["faults"] or "", row["faults_sha256"] or "", row["corruption_rate"] or 0, row["checksum"] or "")
    of_faults = [_small(row, name) for name in objectives if name in _OF_FAULTS]
    return (row["model"], row["model_sha256"], *of_machine, *faults, *of_faults, row["key"])


def measure(name: str) -> str:
    """The name itself, if it is one of :data:`MEASURES`.

    Raises:
        UsageError: it is none.
    """
    if name not in MEASURES:
        raise UsageError(f"{show(name)} cannot be weighed{hint(name, MEASURES)}; choose of {', '.join(MEASURES)}")
    return name
