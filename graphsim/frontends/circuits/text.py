"""Text files of circuits, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

#: Inputs or outputs that a file may have without a byte for each: they take no room in it, but names here.
FREE_NAMES = 1 << 16


def decoded(data: bytes) -> str:
    """Bytes as text: UTF-8, and codes such as ``\\xff`` where it is none. A mark of the order of bytes is left out."""
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "backslashreplace")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file from 1 on, without what is behind ``#`` and without spaces at their ends."""
    for number, line in enumerate(decoded(path.read_bytes()).split("\n"), 1):
        yield number, line.partition("#")[0].strip()


def quoted(text: str) -> str:
    """Text for a message: quoted, and not too long."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
