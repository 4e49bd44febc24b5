"""Files that are replaced whole, and what stands in their place that is no file."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from graphsim.errors import UsageError
from graphsim.files import write_text, writing_hdf5


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Within it, the system refuses to let a file grow beyond so many bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file)
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join(30)
    assert got == ["through"]
    assert pipe.is_fifo()


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot"):
        write_text(tmp_path, "text")
    assert list(tmp_path.parent.glob("*.tmp")) == []


def test_hdf5_that_does_not_fit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "g.gsim"
    path.write_bytes(b"old")
    with small_files(8_192), pytest.raises(OSError, match="File too large") as caught, writing_hdf5(path) as file:
        file["zeros"] = np.zeros(10_000)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_that_is_full_is_named() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_text("/dev/full", "text")
    assert caught.value.filename == "/dev/full"
