"""What the commands share: consoles, progress bars, JSON output, common options."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from graphsim.errors import UsageError
from graphsim.files import printable, write_text

JsonOption = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - is standard output."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", metavar="H5", help="Weights-only .h5 that belongs to an architecture given as .json."),
]

TopOption = Annotated[
    str | None,
    typer.Option("--top", metavar="NAME", help="Model or module of a circuit file that is meant. (as its format says)"),
]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Python file with lowering rules of one's own; run as it is."),
]


DiscretizeOption = Annotated[
    bool,
    typer.Option("--discretize", help="Round weights of arithmetic modules to the whole numbers they converge to."),
]
MaxFanInOption = Annotated[
    int | None,
    typer.Option(
        "--max-fan-in",
        metavar="K",
        help="Split sums of more than K terms into partial sums and an adder tree; changes the order of additions.",
        min=2,
    ),
]
TileOption = Annotated[
    int,
    typer.Option(
        "--tile",
        metavar="N",
        help="Schedule N neurons of a layer as one: on one node, back to back, sent together. (1: each by itself)",
        min=1,
        max=2**31 - 1,
    ),
]
DistanceOption = Annotated[
    float | None,
    typer.Option(
        "--distance", metavar="D", help="With --discretize: refuse a weight that is farther from one. (default: 0.1)"
    ),
]


def distance_of(discretize: bool, distance: float | None) -> float | None:
    """How far weights may be rounded; None for no --discretize.

    Raises:
        UsageError: a distance is given without it, or is no distance to the nearest whole number.
    """
    if not discretize:
        refuse_options("--discretize, of which it says how far", {"distance": distance})
        return None
    if distance is not None and not 0 < distance < 0.5:
        raise UsageError(f"--distance {distance:g}: expected a number above 0 and below 0.5")
    return 0.1 if distance is None else distance


def load_plugins(files: list[Path] | None) -> None:
    """Run the files of ``--plugin``.

    Raises:
        UsageError: one cannot be run.
    """
    for file in files or ():
        from graphsim.frontends.keras.plugins import load

        load(file)


OpsOption = Annotated[
    str | None, typer.Option("--ops", metavar="LIST", help="alu: only these operations, e.g. '+,-,AND'.")
]


def operations(listed: str | None) -> list[str] | None:
    """The operations of an ``--ops`` option; None for no option. Letters may be small."""
    return None if listed is None else [name.strip().upper() for name in listed.split(",") if name.strip()]


def bytes_of(option: str, text: str) -> int:
    """A number of bytes: 1000000, 512K, 64M, 4G, 1T (powers of 1024), at least 1.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,15})(?:([KMGT])(?:i?B)?)?", text.strip(), re.IGNORECASE)
    if match is None or not int(match[1]):
        raise UsageError(f"{option} {text[:40]!r} is not a number of bytes; write 1000000, 512M or 4G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[(match[2] or "").upper()]


def refuse_options(only_for: str, given: Mapping[str, object]) -> None:
    """Complain about options, by name, that mean nothing here; those that were not given are None.

    Raises:
        UsageError: names them.
    """
    if named := [f"--{name}" for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(named)}: only for {only_for}")


#: Columns of what is no terminal: nothing is wrapped or cut there, so that programs find names whole.
UNWRAPPED = 1 << 16


def console_for(json_file: str | None) -> Console:
    """Where people read: standard output, or standard error when JSON goes to standard output."""
    console = Console(stderr=json_file == "-", highlight=False)
    if not console.is_terminal:
        console.width = UNWRAPPED
    return console


def say_place(console: Console, what: str, path: Path | str, more: str = "") -> None:
    """Print where something is. A path is shown as it is, whatever brackets or control characters are in it."""
    console.print(f"{what} {escape(printable(path))}{more}", soft_wrap=True)


def write_json(json_file: str | None, document: Mapping[str, Any]) -> None:
    """Write a document as JSON, atomically; ``-`` is standard output and None is nowhere."""
    if json_file is None:
        return
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if json_file == "-":
        if sys.stdout is None:
            raise UsageError("--json -: standard output is closed; name a file")
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_text(json_file, text)


def check_outputs(json_file: str | None, *outputs: Path | None, report: Path | None = None) -> None:
    """Complain about places that cannot be written before any work is done. A report's folder may be new, in any depth.

    Raises:
        UsageError: names the place, and what is in the way.
    """
    named = Path(json_file) if json_file is not None and json_file != "-" else None
    for path in (named, *outputs):
        if path is None:
            continue
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file")
        if not path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}; make it first, or name another place")
    if report is not None and report.exists() and not report.is_dir():
        raise UsageError(f"{report}: is not a folder; --report takes a folder")


@contextmanager
def progress_bar(
    description: str, total: int | None, say_after: float | None = None
) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error that goes away when done; call what it yields with the count done so far.

    Nothing is drawn where standard error is no terminal; a line there says what goes on if it does so for longer than
    ``say_after`` seconds.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    said = threading.Timer(say_after or 0.0, lambda: console.print(f"{description} ...", markup=False, soft_wrap=True))
    said.daemon = True
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        if say_after is not None and not console.is_terminal:
            said.start()
        try:
            yield lambda done: bar.update(task, completed=done)
        finally:
            said.cancel()


def reading() -> AbstractContextManager[Callable[[int], None]]:
    """A bar for the reading of a graph, model or circuit; where standard error is no terminal, a line if it is slow."""
    return progress_bar("reading (compiles native code the first time)", None, say_after=3.0)


@contextmanager
def byte_bars() -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar per file on standard error; call what it yields with (file, bytes done, bytes in all)."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def report(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done)

        yield report
