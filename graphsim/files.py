"""Writing files so that a reader sees the old one or the new one, never half of either; reading hostile ones."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from graphsim.errors import UsageError

if TYPE_CHECKING:
    import h5py


def printable(path: Path | str) -> str:
    """A path as a message has it: as it is, or escaped where it has control characters, so that it stays on a line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on any exception it is removed.

    The file is flushed to disk before the rename, so that a crash leaves the old file or the new one. A link stays one:
    the file that it leads to is replaced. A device or a pipe (``/dev/null``) is written to.

    Raises:
        UsageError: the folder does not exist or cannot be written.
        OSError: the disk is full, say; names the file.
    """
    target = Path(os.path.realpath(path))
    try:
        with _replacing(target) as temporary:
            yield temporary
    except OSError as error:
        if error.errno is not None and error.filename is None:  # writing and flushing name no file
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    if target.exists() and not target.is_file() and not target.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            yield made
            with made.open("rb") as source, target.open("wb") as device:
                shutil.copyfileobj(source, device)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise UsageError(f"{printable(target)}: cannot write here ({error.strerror}); choose another place") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mode = 0o666 & ~_umask()
        temporary.chmod(mode)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        try:
            temporary.replace(target)
        except OSError as error:
            raise UsageError(f"{target}: cannot replace it ({error.strerror}); choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with ``\\n`` line ends."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def writing_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Yield an HDF5 file to fill; on success it replaces ``path`` atomically, on any exception nothing is written.

    It is made in memory and written as bytes: HDF5 1.14 finds a full disk only when it closes a file, and then ends the
    process. Groups have no times in it (its format is the oldest that HDF5 writes): equal contents give equal bytes.

    Raises:
        UsageError: the folder cannot be written.
        OSError: the disk is full, say; names the file.
    """
    import h5py

    name = f"memory of thread {threading.get_ident()}"  # nothing is written there; HDF5 wants no two open of one name
    with h5py.File(name, "w", driver="core", backing_store=False, libver="earliest", track_order=False) as file:
        yield file
        file.flush()
        made = file.id.get_file_image()
    write_bytes(path, made)


_MEMORY_LOCK = threading.Lock()


@contextmanager
def bounded_memory(extra: int) -> Iterator[None]:
    """Within it, allocations that would take the process more than ``extra`` bytes beyond its present size fail.

    For libraries that trust what they read: one wrong byte in the free list of an HDF5 file's local heap makes HDF5
    1.14 allocate without end (and never free it). With this limit it gives up and reports an error. The limit holds
    for the whole process, so keep the block short; one thread at a time is inside. Where the system has no such limit,
    this does nothing.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    with _MEMORY_LOCK:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * resource.getpagesize() + extra
        known = [n for n in (limit, soft, hard) if n != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
