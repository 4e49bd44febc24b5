"""``graphsim view``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from graphsim.cli.common import console_for


def view(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a run (run --report) or of a sweep (sweep --out).")
    ],
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="Port on 127.0.0.1; 0 is any free one.", min=0, max=65535)
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page; without, only print its address.")
    ] = True,
) -> None:
    """Look around in a run or a sweep: a page in the browser, served on this computer alone until Ctrl-C.

    The graph down to single neurons, the machine and its loads, the calendars with one token followed from source to
    sink, agreement, wrong samples; of a sweep the Pareto front, each point of which opens its run.

    Examples:

        graphsim run --dataset mnist --report out && graphsim view out

        graphsim view study --no-browser
    """
    from graphsim.view import open_folder, serve

    console = console_for(None)
    with console.status("opening"):
        subject = open_folder(folder)

    def opened(address: str) -> None:
        console.print(f"open {address}", soft_wrap=True)
        console.print("Ctrl-C ends it")
        if browser:
            import webbrowser

            webbrowser.open(address)

    with contextlib.suppress(KeyboardInterrupt):
        serve(subject, port, opened)
