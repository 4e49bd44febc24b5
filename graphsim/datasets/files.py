"""What the MNIST files are and where they are kept. No network here."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

MIRROR_VARIABLE = "GRAPHSIM_MNIST_MIRROR"
"""Environment variable: a folder or URL that holds the four files, used instead of the public mirrors."""

CACHE_VARIABLE = "GRAPHSIM_CACHE"
"""Environment variable: the folder to use instead of the platform's user cache folder."""


@dataclass(frozen=True)
class CanonicalFile:
    """One published file, known by its SHA-256. ``size`` is in bytes, compressed."""

    name: str
    size: int
    sha256: str

    def read(self, path: Path) -> bytes | None:
        """Return the content of ``path``, or None if it is not this file. Reads at most ``size`` + 1 bytes.

        Raises:
            OSError: the file is missing or unreadable.
        """
        with path.open("rb") as source:
            data = source.read(self.size + 1)
        return data if hashlib.sha256(data).hexdigest() == self.sha256 else None


MNIST: dict[str, CanonicalFile] = {
    file.name: file
    for file in (
        CanonicalFile(
            "train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        CanonicalFile(
            "train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        CanonicalFile(
            "t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        CanonicalFile(
            "t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    )
}
"""The four files of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", by name."""


def mnist_folder() -> Path:
    """Folder in which the fetched MNIST files are kept: ``mnist`` in the user's cache folder. It need not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    cache = at_home(chosen) if chosen else Path(platformdirs.user_cache_dir("graphsim", appauthor=False))
    return cache / "mnist"


def is_url(mirror: str) -> bool:
    """Whether a mirror is a URL rather than a folder."""
    return "://" in mirror


def at_home(path: str) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced by that home folder, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
