"""Fetching MNIST: several mirrors in turn, resumed where a transfer stopped, kept only when the SHA-256 is right.

A file being fetched is called ``<name>.part``; it takes its own name when it is complete and verified. A transfer that
stops leaves the ``.part`` file, and the next attempt, from whatever mirror, asks for the rest of it with an HTTP Range
request (RFC 9110, section 14). Bytes that prove wrong are deleted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from graphsim.datasets.files import CACHE_VARIABLE, MIRROR_VARIABLE, MNIST, CanonicalFile, at_home, is_url, mnist_folder
from graphsim.errors import DownloadError, UsageError
from graphsim.files import write_bytes

PUBLIC_MIRRORS: tuple[str, ...] = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
"""Tried in this order when no mirror is named."""

ATTEMPTS = 5
"""How often one mirror is asked for the same file, as long as every attempt brings bytes or starts afresh."""

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes of it that are here, and its size in bytes."""


class _Refused(Exception):  # noqa: N818 - it is an answer, and never leaves this module
    """This mirror does not have the file; the text says why."""


def fetch_mnist(
    mirror: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    *,
    timeout: float = 30.0,
) -> Path:
    """Make sure that the four MNIST files are in the cache, verified, and return their folder.

    Files already there with the right SHA-256 are kept; damaged ones are replaced.

    Args:
        mirror: URL or folder that holds the four files. When None, the one that ``GRAPHSIM_MNIST_MIRROR`` names; when
            that is unset too, each of :data:`PUBLIC_MIRRORS` in turn.
        force: fetch every file anew. A good file stays in place until its replacement is verified.
        progress: called now and then while bytes arrive, and once for each file already there.
        timeout: seconds without an answer or a byte after which a connection is given up.

    Raises:
        DownloadError: no mirror delivered a verified file; the message says what each of them answered.
        UsageError: the mirror is neither a folder nor an http(s) URL, or the cache cannot be written.
    """
    named = str(mirror) if mirror is not None else os.environ.get(MIRROR_VARIABLE, "")
    mirrors = (named,) if named else PUBLIC_MIRRORS
    if named and is_url(named) and not named.lower().startswith(("http://", "https://")):
        raise UsageError(f"{named}: a mirror is an http or https URL, or a folder")
    report = progress or (lambda name, done, size: None)
    folder = mnist_folder()
    with _client(timeout) as client:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                for file in MNIST.values():
                    _fetch(client, mirrors, file, folder, force, report)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot keep MNIST here ({error.strerror or error})."
                f" Set {CACHE_VARIABLE} to a folder that can be written."
            ) from error
    return folder


def _client(timeout: float) -> httpx.Client:
    try:
        return httpx.Client(follow_redirects=True, timeout=timeout)
    except (OSError, ValueError, httpx.InvalidURL) as error:
        raise DownloadError(f"the proxy or certificate settings of this environment are wrong: {error}") from error


def _fetch(
    client: httpx.Client, mirrors: tuple[str, ...], file: CanonicalFile, folder: Path, force: bool, report: Progress
) -> None:
    target, part = folder / file.name, folder / f"{file.name}.part"
    if force:
        part.unlink(missing_ok=True)
    elif target.exists():
        if file.read(target) is not None:
            report(file.name, file.size, file.size)
            return
        target.unlink()
    answers = []
    for mirror in mirrors:
        try:
            if is_url(mirror):
                _from_url(client, f"{mirror.rstrip('/')}/{file.name}", file, part, report)
                part.replace(target)
            else:
                write_bytes(target, _from_folder(at_home(mirror), file))
                report(file.name, file.size, file.size)
            return
        except _Refused as refusal:
            answers.append(f"  {mirror}: {refusal}")
    raise DownloadError(
        f"no mirror delivered {file.name}:\n" + "\n".join(answers) + "\nTry again to resume, or name another mirror:"
        f" `graphsim fetch mnist --mirror URL-OR-FOLDER`, or set {MIRROR_VARIABLE}."
    )


def _from_folder(folder: Path, file: CanonicalFile) -> bytes:
    try:
        data = file.read(folder / file.name)
    except OSError as error:
        raise _Refused(f"cannot read {folder / file.name} ({error.strerror or error})") from error
    if data is None:
        raise _Refused(f"{folder / file.name} is another file: its SHA-256 is not {file.sha256}")
    return data


def _from_url(client: httpx.Client, url: str, file: CanonicalFile, part: Path, report: Progress) -> None:
    """Complete and verify ``part``.

    Raises:
        _Refused: this mirror cannot; ``part`` is then a plausible beginning of the file, or not there.
    """
    trouble = "no answer"
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before < file.size:
            trouble = _transfer(client, url, file, part, report)
        after = _size(part)
        if after == file.size:
            if file.read(part) is not None:
                return
            digest = _digest(part)
            part.unlink()
            trouble = f"what it sent has SHA-256 {digest}, not {file.sha256}"
            if before == 0:
                break
        elif after > file.size:
            part.unlink()
            trouble = f"sent more than the file's {file.size} bytes"
            if before == 0:
                break
        elif after == before:
            break
    raise _Refused(trouble)


def _transfer(client: httpx.Client, url: str, file: CanonicalFile, part: Path, report: Progress) -> str:
    """Append what the mirror sends to ``part``, at most one byte more than the file has; return what stopped it.

    Raises:
        _Refused: the answer was not (a part of) the file; ``part`` is as it was.
    """
    offset = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                described = response.headers.get("Content-Range", "")
                if not described.startswith(f"bytes {offset}-"):
                    raise _Refused(f"was asked for bytes from {offset} and sent {described or 'an unnamed range'}")
            elif response.status_code == httpx.codes.OK:
                offset = 0
            elif response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
                return "HTTP 416: has no such range"
            else:
                raise _Refused(f"HTTP {response.status_code} {response.reason_phrase}".rstrip())
            announced = response.headers.get("Content-Length", "")
            if announced.isdecimal() and int(announced) != file.size - offset:
                raise _Refused(f"would send {announced} bytes where {file.size - offset} are missing")
            with part.open("r+b" if part.exists() else "wb") as sink:
                sink.truncate(offset)
                sink.seek(offset)
                for chunk in response.iter_raw():
                    sink.write(chunk[: file.size + 1 - offset])
                    offset += len(chunk)
                    report(file.name, min(offset, file.size), file.size)
                    if offset > file.size:
                        break
                sink.flush()
                os.fsync(sink.fileno())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{type(error).__name__}: {error}".removesuffix(": ") + f" after {_size(part)} of {file.size} bytes"
    return f"the transfer ended after {_size(part)} of {file.size} bytes"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time fetch into a folder, where the platform has file locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
