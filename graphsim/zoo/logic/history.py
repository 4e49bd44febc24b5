"""What gates had chosen at the moments of a training, kept in its log folder: to be looked at, and for runs resumed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim import files
from graphsim.errors import UsageError
from graphsim.zoo.logic.pictures import Counts, drawn

_FILE = "choices.npz"


def keep(folder: Path, moments: Sequence[npt.NDArray[Any]], shown: Sequence[tuple[str, Counts]]) -> None:
    """Write ``choices.npz``, ``choices.png`` and ``choices.txt``, each atomically.

    ``moments``: arrays of one shape; ``shown``: the same as for :func:`graphsim.zoo.logic.pictures.bars_png`.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, choices=np.stack(moments))
    files.write_bytes(folder / _FILE, buffer.getvalue())
    picture, text = drawn(shown)
    files.write_bytes(folder / "choices.png", picture)
    files.write_text(folder / "choices.txt", text)


def kept(folder: Path, count: int) -> list[npt.NDArray[Any]]:
    """The first moments that were kept in a folder.

    Raises:
        UsageError: the file is missing or damaged.
    """
    path = folder / _FILE
    try:
        with np.load(path) as archive:
            return list(archive["choices"][:count])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path}: is missing or damaged, and the run cannot be gone on with; start afresh without resuming"
        ) from error
