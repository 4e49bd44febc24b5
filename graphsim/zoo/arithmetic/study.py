"""Studies of the single module task: modules times operations, in a folder that is added to and never done twice.

The folder holds ``results.parquet`` and ``results.csv``, a row per model (:meth:`~.task.Learnt.rows`), ``summary.json``
and ``models/MODULE_OP.h5``, the best model of each module and operation as a Keras model. All are written after every
module and operation, each atomically, so that a study that is stopped goes on with the next one.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from graphsim.datasets.ranges import DISTRIBUTIONS, RANGES, Range, distribution_of
from graphsim.errors import DatasetError
from graphsim.files import write_bytes, write_text
from graphsim.zoo.arithmetic.layers import LAYERS
from graphsim.zoo.arithmetic.modules import Module, keras
from graphsim.zoo.arithmetic.task import Learnt, Recipe, recipe, train, wilson

SCHEMA = pa.schema(
    [
        ("module", pa.string()),
        ("op", pa.string()),
        ("inputs", pa.int64()),
        ("range", pa.string()),
        ("seed", pa.int64()),
        ("seeds", pa.int64()),
        ("steps", pa.int64()),
        ("best_step", pa.int64()),
        ("best_validation", pa.float64()),
        ("best_test", pa.float64()),
        ("best_sparsity_error", pa.float64()),
        ("solved", pa.bool_()),
        ("final_test", pa.float64()),
        ("final_sparsity_error", pa.float64()),
        ("solved_at_the_end", pa.bool_()),
        ("first_solved_at", pa.int64()),
    ]
)


class Published(NamedTuple):
    """A rate of success that was published, in percent, for so many inputs; where and of what."""

    module: str
    op: str
    inputs: int
    percent: float
    source: str


#: Rates over all ranges. Madsen and Johansen's task sums subsets of 100 inputs first, and is harder than this one.
PUBLISHED = (
    Published("NMRU", "div", 10, 91.6, "Mistry, Farrahi and Hare 2022"),
    Published("RealNPUModified", "div", 10, 85.3, "Mistry, Farrahi and Hare 2022"),
    Published("RealNPU", "div", 10, 70.2, "Mistry, Farrahi and Hare 2022"),
    Published("NMU", "mul", 100, 98.0, "Madsen and Johansen 2020"),
    Published("NACMul", "mul", 100, 31.0, "Madsen and Johansen 2020"),
    Published("NALU", "mul", 100, 0.0, "Madsen and Johansen 2020"),
    Published("NAU", "add", 100, 100.0, "Madsen and Johansen 2020"),
    Published("NAU", "sub", 100, 100.0, "Madsen and Johansen 2020"),
    Published("NALU", "add", 100, 14.0, "Madsen and Johansen 2020"),
)


@dataclass(frozen=True)
class Study:
    """What is studied.

    Attributes:
        modules, operations: each of the one with each of the other.
        inputs: I. ranges, seeds: of every one. steps: None for the published number.
    """

    modules: tuple[Module, ...]
    operations: tuple[str, ...]
    inputs: int = 2
    ranges: tuple[Range, ...] = RANGES
    seeds: int = 25
    steps: int | None = None

    def settings(self, module: Module) -> Recipe:
        """The recipe of a module."""
        return recipe(module, self.inputs, self.steps)


Row = dict[str, Any]


def run_study(
    study: Study,
    folder: Path,
    *,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    done: Callable[[list[Row], bool], None] | None = None,
) -> list[Row]:
    """Run what is missing of a study, and return all rows of its folder.

    Args:
        progress: called with what is trained, the steps done and the steps in all.
        done: called with the rows of a module and operation, and whether they were there already.

    Raises:
        DatasetError: the folder has results that cannot be read.
        OSError: the folder cannot be made.
        UsageError: there is no such operation.
    """
    rows = read_rows(folder / "results.parquet")
    # A folder that cannot be is told of before anything is trained.
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for module in study.modules:
        for operation in study.operations:
            settings = study.settings(module)
            asked = {
                (module.name, operation, study.inputs, one.name, seed, study.seeds, settings.steps)
                for one in study.ranges
                for seed in range(study.seeds)
            }
            known = [row for row in rows if _identity(row) in asked]
            fresh = len(known) < len(asked)
            if fresh:

                def told(steps: int, what: str = f"{module.name} {operation}", of: int = settings.steps) -> None:
                    if progress is not None:
                        progress(what, steps, of)

                seeds = range(study.seeds)
                learnt = train(
                    module, operation, settings, ranges=study.ranges, seeds=seeds, threads=threads, progress=told
                )
                known = [{**row, "seeds": study.seeds} for row in learnt.rows()]
                replaced = {_identity(row) for row in known}
                rows = [row for row in rows if _identity(row) not in replaced] + known
                rows.sort(key=_identity)
                export(learnt, folder / "models" / f"{module.name.lower()}_{operation}.h5")
                write_rows(folder, rows)
            if done is not None:
                done(known, not fresh)
    return rows


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("module", "op", "inputs", "range", "seed", "seeds", "steps"))


def read_rows(path: Path) -> list[Row]:
    """The rows of a Parquet file; none where there is no such file.

    Raises:
        DatasetError: it cannot be read, or has other columns.
    """
    if not path.exists():
        return []
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"{path}: is not a Parquet file that can be read ({reason}); move it away") from error
    if not table.schema.equals(SCHEMA):
        raise DatasetError(f"{path}: holds other columns than results of this version; name another folder with --out")
    return list(table.to_pylist())


def write_rows(folder: Path, rows: list[Row]) -> None:
    """Write results.parquet, results.csv and summary.json."""
    table = pa.Table.from_pylist(rows, SCHEMA)
    parquet, text = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    pyarrow.csv.write_csv(table, text)
    write_bytes(folder / "results.parquet", parquet.getvalue())
    write_bytes(folder / "results.csv", text.getvalue())
    write_text(folder / "summary.json", json.dumps(summary(rows), indent=2, allow_nan=False) + "\n")


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A record per module, operation, number of inputs, steps and distribution: rates of success, over those of its
    ranges that were studied and in each.
    """
    found = []
    for key in sorted({_kind(row) for row in rows}):
        own = [row for row in rows if _kind(row) == key]
        ranges = [one.name for one in DISTRIBUTIONS[key[-1]] if any(row["range"] == one.name for row in own)]
        published = [p for p in PUBLISHED if (p.module, p.op, "published") == (*key[:2], key[-1])]
        found.append(
            {
                **dict(zip(("module", "op", "inputs", "steps", "distribution"), key, strict=True)),
                **_rates(own),
                "ranges": {name: _rates([row for row in own if row["range"] == name]) for name in ranges},
                "published": [{"inputs": p.inputs, "percent": p.percent, "source": p.source} for p in published],
            }
        )
    return found


def _kind(row: Row) -> tuple[Any, ...]:
    return *(row[key] for key in ("module", "op", "inputs", "steps")), distribution_of(row["range"])


def _rates(rows: Sequence[Row]) -> dict[str, Any]:
    solved, last = (sum(row[key] for row in rows) for key in ("solved", "solved_at_the_end"))
    when = sorted(row["first_solved_at"] for row in rows if row["solved"] and row["first_solved_at"] is not None)
    apart = sorted(row["best_sparsity_error"] for row in rows if row["solved"])
    low, high = wilson(solved, len(rows))
    return {
        "models": len(rows),
        "solved": solved,
        "rate": solved / len(rows),
        "rate_interval": [low, high],
        "solved_at_the_end": last,
        "median_step": when[len(when) // 2] if when else None,
        "steps_interval": _middle(when),
        "worst_sparsity_error": apart[-1] if apart else None,
    }


def _middle(ordered: Sequence[float]) -> list[float] | None:
    """The middle half of ordered numbers."""
    if not ordered:
        return None
    low, high = np.quantile(ordered, (0.25, 0.75)).tolist()
    return [low, high]


def export(learnt: Learnt, path: Path) -> None:
    """Write the model whose test error was least at its best look, the first of equals, as a Keras model."""
    best = learnt.best_at
    errors = np.take_along_axis(learnt.test, best[np.newaxis], 0)[0]
    r, s = np.unravel_index(int(np.where(np.isnan(errors), np.inf, errors).argmin()), errors.shape)
    layer = LAYERS[learnt.module](1, name=learnt.module.lower())
    model = keras.Sequential([keras.Input((learnt.recipe.inputs,), name="x"), layer], name=path.stem)
    for name, values in learnt.best.items():
        layer.held[name].assign(values[r, s])
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / path.name)
        write_bytes(path, (Path(folder) / path.name).read_bytes())
