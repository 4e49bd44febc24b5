"""``graphsim sweep`` and ``graphsim pareto``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from graphsim.cli.common import JsonOption, check_outputs, console_for, progress_bar, say_place, write_json
from graphsim.errors import StudyError, UsageError
from graphsim.files import printable

if TYPE_CHECKING:
    from graphsim.explore.relax import Relaxed
    from graphsim.explore.sweep import Tally


def sweep(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="What is varied: a study.toml, see docs/explore.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the results; added to.")],
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, tcp://host:port. (processes here)"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes here. (one per core)", min=1, max=1024)
    ] = None,
    max_points: Annotated[
        int, typer.Option("--max-points", metavar="N", help="Ask before more points than this are computed.", min=0)
    ] = 1000,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say how far it is.")] = False,
    json: JsonOption = None,
) -> None:
    """Compute the points of a study: what is missing, on all cores or on a Dask cluster.

    Examples:

        graphsim sweep examples/studies/digits.toml --out study

        graphsim sweep examples/studies/digits.toml --out study --status

        graphsim sweep study.toml --out study --scheduler tcp://head:8786
    """
    from graphsim.explore.points import points_of
    from graphsim.explore.rows import write_sweep
    from graphsim.explore.study import read_study
    from graphsim.explore.sweep import cluster, missing, tally
    from graphsim.explore.sweep import sweep as sweep_points

    console = console_for(json)
    check_outputs(json)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{printable(out)}: is not a folder; --out takes one")
    if scheduler is not None and workers is not None:
        raise UsageError("--workers: only for processes here; those of --scheduler are its own")
    with progress_bar("listing the points of the study", None, say_after=1.0) as done:
        read = read_study(study)
        points = points_of(read, done)
    if not points:
        raise StudyError(f"{printable(study)}: no point meets the constraints; make them wider")
    state = tally(points, out)
    left = len(missing(points, out))
    if not status:
        if left > max_points and not yes:
            _ask(left, max_points)
        write_sweep(
            out,
            read.name,
            [one.text for one in read.constraints],
            [point.key for point in points],
            {point.model_sha256: point.path for point in points},
            {point.machine: point.spec for point in points},
        )
        if left:
            with cluster(scheduler, workers) as client, _progress(state) as told:
                state = sweep_points(points, out, client, told)
    _say(console, state)
    if not status:
        say_place(console, "results:", out / "results", f"; 'graphsim pareto {printable(out)}' weighs them")
    write_json(json, {"schema_version": 1, "study": read.name, "folder": str(out), **state.record()})
    if state.troubles:
        point, reason = state.troubles[0]
        raise StudyError(
            f"{len(state.troubles):,} points could not be computed here; the first, {point.model} on {point.machine}: "
            f"{reason}. They have no results yet: run the same again to try them"
        )


def _ask(left: int, most: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            f"{left:,} points are to be computed, more than --max-points {most:,}; add --yes if they are meant"
        )
    if not typer.confirm(f"{left:,} points are to be computed. Go on?", err=True):
        raise UsageError("nothing was computed")


def _say(console: Console, state: Tally) -> None:
    before = f" ({state.known:,} were there before)" if state.known else ""
    console.print(
        f"{state.points:,} points: {state.done:,} done{before}, {state.failed:,} of them failed, "
        f"{state.remaining:,} remaining"
    )
    for reason, count in state.failures.most_common(_REASONS):
        console.print(f"  {count:,} failed, {escape(reason)}", soft_wrap=True)
    if len(state.failures) > _REASONS:
        console.print(f"  and {len(state.failures) - _REASONS:,} other reasons; --json FILE has all")


#: Reasons why points failed that are said, the most frequent first.
_REASONS = 3


@contextmanager
def _progress(state: Tally) -> Iterator[Callable[[Tally], None]]:
    """Done, failed, per minute and what remains, on standard error; nothing is drawn where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("sweep"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]:,} failed, {task.fields[rate]:.0f} per minute, remaining"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    start = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sweep", total=state.points, completed=state.done, failed=state.failed, rate=0.0)

        def told(now: Tally) -> None:
            minutes = max(1e-9, (time.monotonic() - start) / 60)
            rate = (now.done - now.known) / minutes
            bar.update(task, completed=now.done, failed=now.failed, rate=rate)

        yield told


def pareto(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")],
    over: Annotated[
        str | None,
        typer.Option(
            "--over",
            metavar="LIST",
            help="What is weighed; else nodes,period,latency,memory,link_load and, with faults, faulty_accuracy.",
        ),
    ] = None,
    x: Annotated[str, typer.Option("--x", metavar="NAME", help="The page's horizontal axis.")] = "nodes",
    y: Annotated[str, typer.Option("--y", metavar="NAME", help="The page's vertical axis.")] = "period",
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="C", help="A constraint beside the study's, such as 'latency < 5000'."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Write pareto.html, a page with a picture, there.")
    ] = None,
    relax: Annotated[
        bool, typer.Option("--relax", help="Also say what more links, wider frames, ... would buy each of the front.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """The points of a sweep that no other beats, and what binds each of them.

    Examples:

        graphsim pareto study

        graphsim pareto study --over nodes,period --where "latency < 5000"

        graphsim pareto study --x memory --y latency --report out

        graphsim pareto study --relax
    """
    from graphsim.explore.conditions import condition
    from graphsim.explore.pareto import GREATER, measure, usual, weigh
    from graphsim.explore.rows import read_rows, read_sweep
    from graphsim.report.pareto import print_front, write_page

    console = console_for(json)
    check_outputs(json, report=report)
    measure(x), measure(y)
    constraints, keys = read_sweep(folder)
    conditions = [condition(text) for text in (*constraints, *(where or ()))]
    rows = read_rows(folder, keys)
    named = usual(rows) if over is None else [name.strip() for name in over.split(",") if name.strip()]
    found = weigh(rows, named, conditions)
    if not found.rows:
        why = f"of {len(rows):,} results, {found.failed:,} failed and {found.unmet:,} do not meet the constraints"
        raise StudyError(f"{printable(folder)}: nothing to weigh; {why}")
    bought: dict[str, list[Relaxed]] = {}
    if relax:
        from graphsim.explore.relax import relax_points

        with progress_bar("relaxing the machines of the front", len(found.front)) as done:
            bought = relax_points(folder, found.front, done)
    said = {key: [str(one) for one in some] for key, some in bought.items()}
    alike = found.alike
    print_front(console, alike, found.objectives, said)
    different = f", {len(alike):,} different ones" if len(alike) < len(found.front) else ""
    parts = [f"{len(found.front):,} of {len(found.rows):,} points are on the front{different}"]
    if found.unmet:
        parts.append(f"{found.unmet:,} more do not meet {' and '.join(one.text for one in conditions)}")
    if found.failed:
        parts.append(f"{found.failed:,} failed")
    if len(rows) < len(keys):
        parts.append(f"{len(keys) - len(rows):,} are not computed yet")
    console.print(escape("; ".join(parts)))
    if report is not None:
        remark = "".join(f"{part}. " for part in parts[1:]).strip()
        shown = (alike, found.behind, found.objectives, GREATER)
        write_page(report / "pareto.html", *shown, x, y, remark, said)
        say_place(console, "report:", report / "pareto.html")
    document = {
        "schema_version": 1,
        "objectives": list(found.objectives),
        "constraints": [one.text for one in conditions],
        "points": len(keys),
        "computed": len(rows),
        "failed": found.failed,
        "unmet": found.unmet,
        "front": found.front,
        "relaxed": {key: [one.record() for one in some] for key, some in bought.items()},
        "dominated": [row["key"] for row in found.behind],
    }
    write_json(json, document)
