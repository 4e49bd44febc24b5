#!/usr/bin/env python3
"""Fetch the four MNIST files into the user's cache folder: ``python scripts/download_mnist.py``.

Does what ``graphsim fetch mnist`` does.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from graphsim.datasets.download import fetch_mnist
from graphsim.errors import GraphsimError

CONSOLE = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    """Run the command line; 0 when all files are there, 2 when they are not, 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mirror", help="URL or folder to use instead of the public mirrors")
    parser.add_argument("--force", action="store_true", help="fetch files that are already there as well")
    options = parser.parse_args()
    try:
        with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=CONSOLE) as bars:
            tasks: dict[str, TaskID] = {}

            def show(name: str, done: int, size: int) -> None:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=size)
                bars.update(tasks[name], completed=done)

            folder = fetch_mnist(options.mirror, options.force, show)
    except GraphsimError as error:
        CONSOLE.print(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        CONSOLE.print("stopped; run this again to go on where it stopped")
        return 130
    Console(markup=False, highlight=False, soft_wrap=True).print(str(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
