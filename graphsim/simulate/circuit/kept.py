"""Compiled circuits on disk, by content."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError
from graphsim.files import write_bytes
from graphsim.native import cache_folder

Arrays = dict[str, npt.NDArray[Any]]

_MAGIC = b"graphsim circuit code\n"
#: Files that are kept; the oldest go.
_MOST = 256


def folder() -> Path:
    """Where they are: a folder that belongs to these sources, these versions and this CPU."""
    return cache_folder() / "circuits"


def key(*parts: bytes | npt.NDArray[Any]) -> str:
    """A name for what was made of these."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def find(name: str) -> Arrays | None:
    """What was kept under a name; None where there is nothing, or nothing whole."""
    try:
        data = (folder() / name).read_bytes()
        body = data[len(_MAGIC) + 32 :]
        if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != data[len(_MAGIC) : len(_MAGIC) + 32]:
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def keep(name: str, arrays: Arrays) -> None:
    """Keep arrays under a name; where no file can be written, do nothing."""
    memory = io.BytesIO()
    np.savez(memory, allow_pickle=False, **arrays)
    body = memory.getvalue()
    try:
        write_bytes(folder() / name, _MAGIC + hashlib.sha256(body).digest() + body)
        files = sorted(folder().iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-_MOST]:
            path.unlink(missing_ok=True)
    except (OSError, UsageError):  # without a cache everything works, and is compiled anew
        return
