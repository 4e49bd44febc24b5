"""``graphsim train nalu-TASK``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape

from graphsim.cli.common import progress_bar, say_place, write_json
from graphsim.errors import UsageError


@dataclass(frozen=True)
class Samples:
    """Samples of a task, as :class:`graphsim.datasets.Dataset` has them."""

    name: str
    inputs: npt.NDArray[np.float32]
    split: str = "test"
    source: str = "made by the task"
    prepared: str = ""
    labels: npt.NDArray[np.int64] | None = None

    @property
    def sha256(self) -> Mapping[str, str]:
        """No file was read."""
        return {}

    def __len__(self) -> int:
        return len(self.inputs)


def compared(task: str, path: Path, samples: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Lower and simulate a model, compare every neuron with TensorFlow's, and say how that went."""
    from graphsim.api import compare_model

    found = compare_model(path, Samples(task, samples))
    return {
        "samples": len(samples),
        "actors": sum(layer.actors for layer in found.layers),
        "values": sum(layer.checked + layer.checked_own for layer in found.layers),
        "outside": found.neurons_outside_bound,
    }


def train_nalu(
    console: Console,
    name: str,
    folder: Path | None,
    *,
    seed: int | None,
    seeds: int | None,
    steps: int | None,
    full: bool,
    resume: bool,
    json: str | None,
) -> None:
    """Run a NALU task, and print what came of it.

    Raises:
        UsageError: there is no such task, or a number is out of range.
    """
    from graphsim.zoo.nalu.run import run_task
    from graphsim.zoo.nalu.tasks import MOST_SEEDS, task_named

    task = task_named(name)
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds: from 1 to {MOST_SEEDS:,}, not {seeds:,}")
    if seed is not None and seed >= 2**31:
        raise UsageError(f"--seed: from 0 to {2**31 - 1:,}, not {seed:,}")
    size = task.full if full else task.size
    size = size._replace(seeds=size.seeds if seeds is None else seeds, steps=size.steps if steps is None else steps)
    target = folder or Path("out/train") / f"nalu-{task.name}"
    bar, shown = ExitStack(), dict[str, Any]()

    def told(model: str, done: int, of: int) -> None:
        if model not in shown:
            shown[model] = bar.enter_context(progress_bar(model, of))
        shown[model](done)

    def done(row: dict[str, Any], known: bool) -> None:
        bar.close()
        shown.clear()
        how = "was there already" if known else f"{row['seconds']:g} s"
        console.print(f"{escape(row['model'])} ({how})", soft_wrap=True)

    with bar:
        results = run_task(
            task,
            target,
            size,
            1 if seed is None else seed,
            lambda path, samples: compared(f"nalu-{task.name}", path, samples),
            resume=resume,
            progress=told,
            done=done,
        )
    from graphsim.report.nalu import print_results

    print_results(console, results)
    say_place(console, "results:", target / "results.json", "; models beside it")
    write_json(json, {**results, "folder": str(target)})
