"""``graphsim train arithmetic``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from graphsim.cli.common import progress_bar, say_place, write_json
from graphsim.errors import UsageError

#: Seeds that are trained side by side at most, and inputs of each model; each takes memory and time.
_MOST_SEEDS, _MOST_INPUTS = 1000, 1000


def train_arithmetic(
    console: Console,
    folder: Path,
    *,
    modules: str | None,
    operations: str | None,
    inputs: int | None,
    distribution: str | None,
    ranges: str | None,
    seeds: int | None,
    steps: int | None,
    json: str | None,
) -> None:
    """Run a study of the single module task, and print what came of it.

    Raises:
        UsageError: there is no such module, operation or range.
    """
    from graphsim.datasets.operations import operation_named
    from graphsim.datasets.ranges import distribution_named, range_named
    from graphsim.zoo.arithmetic.modules import MODULES, module_named
    from graphsim.zoo.arithmetic.study import Study, run_study, summary

    if inputs is not None and not 2 <= inputs <= _MOST_INPUTS:
        raise UsageError(f"--inputs: from 2 to {_MOST_INPUTS:,}, not {inputs:,}")
    if seeds is not None and not 1 <= seeds <= _MOST_SEEDS:
        raise UsageError(f"--seeds: from 1 to {_MOST_SEEDS:,}, not {seeds:,}")
    named = [name.strip() for name in (modules or "NMRU").split(",")]
    chosen = tuple(MODULES.values()) if named == ["all"] else tuple(module_named(name) for name in named)
    wanted = tuple(operation_named(op.strip()) for op in (operations or "div").split(","))
    those = distribution_named(distribution or "published")
    study = Study(
        chosen,
        wanted,
        inputs or 2,
        those if ranges is None else (range_named(ranges, those),),
        seeds or 25,
        steps,
    )
    bar, shown = ExitStack(), dict[str, Any]()

    def told(what: str, steps_done: int, of: int) -> None:
        if what not in shown:
            bar.close()
            shown.clear()
            shown[what] = bar.enter_context(progress_bar(what, of))
        shown[what](steps_done)

    def done(rows: list[dict[str, Any]], known: bool) -> None:
        bar.close()
        shown.clear()
        solved = sum(row["solved"] for row in rows)
        first = rows[0]
        what = "was there already" if known else f"{first['steps']:,} steps"
        console.print(f"{first['module']} {first['op']}: {solved:,} of {len(rows):,} models solved it ({what})")

    with bar:
        rows = run_study(study, folder, progress=told, done=done)
    found = summary(rows)
    from graphsim.report.arithmetic import print_summary, write_page

    print_summary(console, found)
    write_page(folder / "report.html", found)
    say_place(console, "report:", folder / "report.html", "; results.parquet, results.csv and models beside it")
    write_json(json, {"schema_version": 1, "study": found, "folder": str(folder)})


def judge_perfect(console: Console, *, draws: int | None, json: str | None) -> None:
    """Print what perfect weights are off by where they divide by small numbers.

    Raises:
        UsageError: the number of draws is out of range.
    """
    if draws is not None and not 1 <= draws <= _MOST_SEEDS:
        raise UsageError(f"--seeds: from 1 to {_MOST_SEEDS:,}, not {draws:,}")
    from graphsim.report.arithmetic import print_perfect
    from graphsim.zoo.arithmetic.perfect import BELOW, PUBLISHED, errors

    with progress_bar("perfect weights", len(BELOW) * len(PUBLISHED)) as told:
        found = errors(draws or 25, told)
    print_perfect(console, found)
    write_json(json, {"schema_version": 1, "perfect": found})
