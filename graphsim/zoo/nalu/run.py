"""Runs a task: trains each of its models, keeps it and its scores, and has it compared.

The folder holds ``results.json``, with a row per model, and ``models/*.keras`` and ``.h5``. Both are written after
every model, atomically, so that a run that was stopped goes on with the next one (``resume``).
"""

from __future__ import annotations

import importlib
import json
import math
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import DatasetError
from graphsim.files import write_bytes, write_text
from graphsim.zoo.nalu.tasks import SOURCE, Size, Task

SCHEMA_VERSION = 1

FloatArray = npt.NDArray[np.float32]
Row = dict[str, Any]
#: Lowers and simulates a model file on samples, and says how it agrees with TensorFlow: a record for the row.
Check = Callable[[Path, FloatArray], Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What came of training one model.

    Attributes:
        model: the Keras model that is kept.
        scores: those of its task, by name.
        samples: float32 (N, *input shape), on which it is compared.
        more: what else there is to see: lists of numbers, by name.
    """

    model: Any
    scores: Mapping[str, float]
    samples: FloatArray
    more: Mapping[str, Sequence[float]] = field(default_factory=dict)


def run_task(
    task: Task,
    folder: Path,
    size: Size,
    seed: int,
    check: Check,
    *,
    resume: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    done: Callable[[Row, bool], None] | None = None,
) -> dict[str, Any]:
    """Run a task, or with ``resume`` what is missing of it, and return what is in its ``results.json``.

    Args:
        progress: called with the model that is trained, the steps done and the steps in all.
        done: called with a model's row, and whether it was there already.

    Raises:
        DatasetError: the folder has results that cannot be read; or a dataset is missing.
    """
    path = folder / "results.json"
    settings = {"task": task.name, "seed": seed, **size._asdict()}
    known = {row["model"]: row for row in _rows(path, settings)} if resume else {}
    (folder / "models").mkdir(parents=True, exist_ok=True)
    course = importlib.import_module(f"graphsim.zoo.nalu.{task.family}").course
    for model in task.models:
        row = known.get(model)
        fresh = row is None
        if row is None:
            own = task.size_of(model, size)

            def told(steps: int, model: str = model, of: int = own.steps) -> None:
                if progress is not None:
                    progress(model, steps, of)

            began = time.monotonic()
            outcome = course(task, model, own, seed, told)
            seconds = time.monotonic() - began
            stem = re.sub(r"[^a-z0-9]+", "_", model.translate(_SIGNS).lower()).strip("_")
            files = [folder / "models" / f"{stem}{suffix}" for suffix in (".keras", ".h5")]
            for file in files:
                _save(outcome.model, file)
            row = {
                "model": model,
                "scores": {name: _finite(value) for name, value in outcome.scores.items()},
                "seconds": round(seconds, 1),
                "files": [str(file.relative_to(folder)) for file in files],
                "check": dict(check(files[0], outcome.samples)),
                "more": {name: [_finite(value) for value in values] for name, values in outcome.more.items()},
            }
            known[model] = row
            write_text(path, json.dumps(_document(task, settings, known), indent=1, allow_nan=False) + "\n")
        if done is not None:
            done(row, not fresh)
    return _document(task, settings, known)


_SIGNS = str.maketrans({"+": " add ", "-": " sub ", "*": " mul ", "/": " div "})


def _finite(value: float) -> float | None:
    """A number as JSON has it; None for one that is none."""
    return float(value) if math.isfinite(value) else None


def _document(task: Task, settings: Mapping[str, Any], known: Mapping[str, Row]) -> dict[str, Any]:
    rows = [known[model] for model in task.models if model in known]
    scores = {row["model"]: {k: math.nan if v is None else v for k, v in row["scores"].items()} for row in rows}
    is_whole = len(rows) == len(task.models)
    return {
        "schema_version": SCHEMA_VERSION,
        "settings": dict(settings),
        "about": task.about,
        "scores": dict(task.scores),
        "rows": list(rows),
        "published": [
            {"model": model, "score": score, "value": value, "source": SOURCE}
            for (model, score), value in task.published.items()
        ],
        "beside": task.beside,
        "claims": [{"text": claim.text, "holds": bool(claim.holds(scores))} for claim in task.claims if is_whole],
        "differs": list(task.differs),
    }


#: What a row holds.
_ROW = ("model", "scores", "seconds", "files", "check", "more")


def _rows(path: Path, settings: Mapping[str, Any]) -> list[Row]:
    """Rows of a run with the same settings; none where there was none.

    Raises:
        DatasetError: they cannot be read, or are of a run with other settings.
    """
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version, theirs = found["schema_version"], found["settings"]
        rows = [{key: row[key] for key in _ROW} for row in found["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DatasetError(f"{path}: cannot be read as results ({reason}); move it away, or do not resume") from error
    if version != SCHEMA_VERSION or theirs != dict(settings):
        raise DatasetError(
            f"{path}: holds results of a run with other settings ({theirs}); give the same ones, or name another folder"
            " with --out, or start afresh without --resume"
        )
    return rows


def _save(model: Any, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="graphsim-") as folder:
        model.save(Path(folder) / path.name)
        write_bytes(path, (Path(folder) / path.name).read_bytes())
