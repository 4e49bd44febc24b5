"""Fetching from mirrors that behave, drop, lie, stall and redirect: local servers of two small files."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from graphsim.datasets import download, load
from graphsim.datasets.download import fetch_mnist
from graphsim.datasets.files import CanonicalFile
from graphsim.errors import DownloadError, UsageError

CONTENT = {"first.gz": bytes(range(256)) * 400, "second.gz": b"second" * 50}
FIRST = CONTENT["first.gz"]


class Mirror:
    """A web server of ``files`` on a free port, misbehaving as ``mode`` says. ``asked`` logs (name, Range or None)."""

    def __init__(self, files: dict[str, bytes], mode: str) -> None:
        self.files = files
        self.mode = mode
        self.asked: list[tuple[str, str | None]] = []
        self.release = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.rsplit("/", 1)[1]
        asked = request.headers.get("Range")
        self.asked.append((name, asked))
        data = self.files.get(name)
        if self.mode == "loop" or (self.mode == "redirect" and not request.path.startswith("/moved/")):
            request.send_response(302)
            request.send_header("Location", f"/moved/{name}" if self.mode == "redirect" else request.path)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if self.mode == "404" or data is None:
            request.send_error(404)
            return
        if self.mode == "portal":
            self.send(request, 200, b"<html>please log in</html>")
            return
        if self.mode == "corrupted":
            data = bytes([data[0] ^ 1]) + data[1:]
        if self.mode == "endless":
            request.send_response(200)
            request.end_headers()
            try:
                while not self.release.is_set():
                    request.wfile.write(bytes(65536))
            except OSError:
                pass
            return
        status, start = 200, 0
        headers = {}
        if asked and self.mode != "no-range":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206
            shown = 0 if self.mode == "wrong-range" else start
            headers["Content-Range"] = f"bytes {shown}-{len(data) - 1}/{len(data)}"
        if start >= len(data) or (asked and self.mode == "416"):
            request.send_error(416)
            return
        sent = data[start:]
        keep = len(sent)
        if self.mode == "drops":
            keep = min(keep, 30_000)
        elif self.mode in ("stall", "half"):
            keep //= 2
        self.send(request, status, sent, keep, headers)
        if self.mode == "stall":
            self.release.wait(10)

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        keep: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(body[:keep])
        request.wfile.flush()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no mirror in the environment, and a "MNIST" of two small files. Returns the fetched folder."""
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHSIM_MNIST_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    canonical = {
        name: CanonicalFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()
    }
    monkeypatch.setattr(download, "MNIST", canonical)
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def serve() -> Iterator[Callable[..., Mirror]]:
    """Start a mirror in the given mode; all are stopped afterwards."""
    started: list[Mirror] = []

    def start(mode: str = "good", files: dict[str, bytes] | None = None) -> Mirror:
        started.append(Mirror(CONTENT if files is None else files, mode))
        return started[-1]

    yield start
    for mirror in started:
        mirror.close()


Serve = Callable[..., Mirror]


def complete(folder: Path) -> bool:
    """Whether the folder holds exactly the good files (and the lock)."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    return found == CONTENT


def put(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


@pytest.mark.parametrize("mode", ["good", "redirect", "no-range", "drops"])
def test_delivers_every_file_from(mode: str, serve: Serve, cache: Path) -> None:
    assert fetch_mnist(serve(mode).url) == cache
    assert complete(cache)


def test_a_dropped_transfer_goes_on_where_it_stopped(serve: Serve) -> None:
    mirror = serve("drops")
    fetch_mnist(mirror.url)
    ranges = [asked for name, asked in mirror.asked if name == "first.gz"]
    assert ranges == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_fetched_files_are_not_fetched_again(serve: Serve) -> None:
    mirror = serve()
    fetch_mnist(mirror.url)
    asked = len(mirror.asked)
    fetch_mnist(mirror.url)
    assert len(mirror.asked) == asked == len(CONTENT)


def test_force_fetches_again(serve: Serve, cache: Path) -> None:
    mirror = serve()
    fetch_mnist(mirror.url)
    fetch_mnist(mirror.url, force=True)
    assert len(mirror.asked) == 2 * len(CONTENT)
    assert complete(cache)


def test_failed_force_keeps_the_good_file(serve: Serve, cache: Path) -> None:
    fetch_mnist(serve().url)
    with pytest.raises(DownloadError):
        fetch_mnist(serve("corrupted").url, force=True)
    assert complete(cache)


def test_part_left_by_an_earlier_process_is_completed(serve: Serve, cache: Path) -> None:
    put(cache, "first.gz.part", FIRST[:777])
    mirror = serve()
    fetch_mnist(mirror.url)
    assert mirror.asked[0] == ("first.gz", "bytes=777-")
    assert complete(cache)


def test_complete_part_is_verified_without_asking(serve: Serve, cache: Path) -> None:
    put(cache, "first.gz.part", FIRST)
    mirror = serve()
    fetch_mnist(mirror.url)
    assert [name for name, _ in mirror.asked] == ["second.gz"]
    assert complete(cache)


@pytest.mark.parametrize(
    "part", [b"not the beginning of it", b"x" * len(FIRST), b"x" * (len(FIRST) + 5)], ids=["short", "full", "long"]
)
def test_part_with_wrong_bytes_is_discarded(part: bytes, serve: Serve, cache: Path) -> None:
    put(cache, "first.gz.part", part)
    fetch_mnist(serve().url)
    assert complete(cache)


def test_unsatisfiable_range_starts_afresh(serve: Serve, cache: Path) -> None:
    put(cache, "first.gz.part", FIRST[:777])
    mirror = serve("416")
    fetch_mnist(mirror.url)
    assert [asked for name, asked in mirror.asked if name == "first.gz"] == ["bytes=777-", None]
    assert complete(cache)


def test_mislabelled_range_is_refused_and_the_part_kept(serve: Serve, cache: Path) -> None:
    put(cache, "first.gz.part", FIRST[:777])
    with pytest.raises(DownloadError, match="was asked for bytes from 777 and sent bytes 0-"):
        fetch_mnist(serve("wrong-range").url)
    assert (cache / "first.gz.part").read_bytes() == FIRST[:777]


def test_wrong_bytes_are_deleted_and_named(serve: Serve, cache: Path) -> None:
    mirror = serve("corrupted")
    with pytest.raises(DownloadError, match=r"first\.gz:\n  http.*what it sent has SHA-256 [0-9a-f]{64}, not "):
        fetch_mnist(mirror.url)
    assert [path.name for path in cache.iterdir()] == [".lock"]
    assert len(mirror.asked) == 1


def test_endless_answer_is_cut_off(serve: Serve, cache: Path) -> None:
    with pytest.raises(DownloadError, match=f"sent more than the file's {len(FIRST)} bytes"):
        fetch_mnist(serve("endless").url)
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_page_of_a_login_portal_does_not_cost_the_part(serve: Serve, cache: Path) -> None:
    put(cache, "first.gz.part", FIRST[:777])
    with pytest.raises(DownloadError, match="would send 26 bytes where"):
        fetch_mnist(serve("portal").url)
    assert (cache / "first.gz.part").read_bytes() == FIRST[:777]


def test_public_mirrors_are_tried_in_turn(serve: Serve, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent, good = serve("404"), serve()
    monkeypatch.setattr(download, "PUBLIC_MIRRORS", (absent.url, good.url))
    fetch_mnist()
    assert complete(cache)
    assert len(absent.asked) == len(good.asked) == len(CONTENT)


def test_the_next_mirror_completes_what_a_stalled_one_began(
    serve: Serve, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, good = serve("stall"), serve()
    monkeypatch.setattr(download, "PUBLIC_MIRRORS", (stalled.url, good.url))
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    fetch_mnist(timeout=0.3)
    assert good.asked[0] == ("first.gz", f"bytes={len(FIRST) // 2}-")
    assert complete(cache)


def test_failure_lists_what_each_mirror_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    absent, looping, gone = serve("404"), serve("loop"), serve()
    gone.close()
    monkeypatch.setattr(download, "PUBLIC_MIRRORS", (absent.url, looping.url, gone.url))
    with pytest.raises(DownloadError) as failure:
        fetch_mnist()
    message = str(failure.value)
    assert f"{absent.url}: HTTP 404 Not Found" in message
    assert f"{looping.url}: TooManyRedirects" in message
    assert f"{gone.url}: ConnectError" in message
    assert "graphsim fetch mnist --mirror" in message


def test_at_least_two_public_mirrors() -> None:
    assert len(set(download.PUBLIC_MIRRORS)) >= 2
    assert all(url.startswith("https://") for url in download.PUBLIC_MIRRORS)


def test_interrupted_transfer_leaves_a_part_that_is_a_prefix(serve: Serve, cache: Path) -> None:
    def interrupt(name: str, done: int, size: int) -> None:
        raise KeyboardInterrupt

    mirror = serve()
    with pytest.raises(KeyboardInterrupt):
        fetch_mnist(mirror.url, progress=interrupt)
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "first.gz.part"]
    part = (cache / "first.gz.part").read_bytes()
    assert part
    assert FIRST.startswith(part)
    fetch_mnist(mirror.url)
    assert complete(cache)


def test_damaged_file_in_the_cache_is_replaced(serve: Serve, cache: Path) -> None:
    put(cache, "first.gz", FIRST[:-1] + b"?")
    fetch_mnist(serve().url)
    assert complete(cache)


def test_progress_ends_at_the_size_of_each_file(serve: Serve) -> None:
    last: dict[str, tuple[int, int]] = {}
    fetch_mnist(serve("drops").url, progress=lambda name, done, size: last.update({name: (done, size)}))
    assert last == {name: (len(data), len(data)) for name, data in CONTENT.items()}


def test_folder_as_mirror(cache: Path, tmp_path: Path) -> None:
    for name, data in CONTENT.items():
        put(tmp_path / "mirror", name, data)
    fetch_mnist(tmp_path / "mirror")
    assert complete(cache)


@pytest.mark.parametrize(
    ("data", "reason"), [(FIRST[:-1], "is another file"), (FIRST + b"x", "is another file"), (None, "cannot read")]
)
def test_folder_with_a_wrong_file_is_refused(data: bytes | None, reason: str, cache: Path, tmp_path: Path) -> None:
    if data is not None:
        put(tmp_path / "mirror", "first.gz", data)
    with pytest.raises(DownloadError, match=reason):
        fetch_mnist(tmp_path / "mirror")
    assert not (cache / "first.gz").exists()


def test_environment_names_the_mirror(serve: Serve, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSIM_MNIST_MIRROR", serve().url + "/")
    fetch_mnist()
    assert complete(cache)


@pytest.mark.parametrize("mirror", ["ftp://example.org/mnist", "file:///tmp"])
def test_other_schemes_are_refused(mirror: str) -> None:
    with pytest.raises(UsageError, match=f"{re.escape(mirror)}: a mirror is an http or https URL, or a folder"):
        fetch_mnist(mirror)


def test_url_that_is_none(cache: Path) -> None:
    with pytest.raises(DownloadError, match="InvalidURL"):
        fetch_mnist("http://[::bad/")


def test_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "file", b"")
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"file/mnist: cannot keep MNIST here .* Set GRAPHSIM_CACHE"):
        fetch_mnist(tmp_path)


def test_two_at_once_fetch_each_file_once(serve: Serve, cache: Path) -> None:
    mirror = serve()
    both = [threading.Thread(target=fetch_mnist, args=(mirror.url,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(name for name, _ in mirror.asked) == sorted(CONTENT)
    assert complete(cache)


def test_real_files_over_http_load(mnist: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphsim.datasets.files import MNIST

    monkeypatch.setattr(download, "MNIST", MNIST)
    fetched = fetch_mnist(serve(files={name: (mnist / name).read_bytes() for name in MNIST}).url)
    assert load("mnist", "test").source == str(fetched)
    shutil.rmtree(fetched)
