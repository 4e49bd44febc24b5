"""The Pareto front of a sweep: the points that no other beats in one objective without losing in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError
from graphsim.explore.conditions import Condition, hold
from graphsim.explore.rows import Row
from graphsim.machine.model import hint, show

#: What is made small, unless something else is asked for.
OBJECTIVES = ("nodes", "period", "latency", "memory", "link_load")
#: All that can be.
MEASURES = (*OBJECTIVES, "nodes_used", "links", "bound", "traffic", "silent_rate", "missing_rate")


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
        objectives: made small, in this order.
        rows: of the points that went well and meet the constraints, by model, then by the objectives.
        best: whether each is on the front of its model.
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


def weigh(rows: Sequence[Row], objectives: Sequence[str], conditions: Sequence[Condition] = ()) -> Weighed:
    """The front of each model, and what is behind it.

    Raises:
        UsageError: there is no such objective.
    """
    chosen = tuple(dict.fromkeys(measure(name) for name in objectives))
    if not chosen:
        raise UsageError(f"no objective; choose some of {', '.join(MEASURES)}")
    well = [row for row in rows if row["status"] == "ok"]
    kept = [row for row in well if hold(conditions, row) and all(row[name] is not None for name in chosen)]
    kept.sort(key=lambda row: (row["model"], row["model_sha256"], *(row[name] for name in chosen), row["key"]))
    models = np.array([row["model_sha256"] for row in kept], np.str_)
    values = np.array([[row[name] for name in chosen] for row in kept], np.float64).reshape(len(kept), len(chosen))
    best = np.zeros(len(kept), np.bool_)
    for model in np.unique(models):
        own = models == model
        best[own] = front(values[own])
    return Weighed(chosen, tuple(kept), tuple(best.tolist()), len(rows) - len(well), len(well) - len(kept))


def measure(name: str) -> str:
    """The name itself, if it is one of :data:`MEASURES`.

    Raises:
        UsageError: it is none.
    """
    if name not in MEASURES:
        raise UsageError(f"{show(name)} cannot be weighed{hint(name, MEASURES)}; choose of {', '.join(MEASURES)}")
    return name
