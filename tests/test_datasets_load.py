"""What ``load`` returns, against the raw files, and how it refuses."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from graphsim.datasets import load
from graphsim.datasets.files import MNIST
from graphsim.errors import DatasetError, UsageError


@pytest.mark.parametrize(("split", "prefix", "count"), [("train", "train", 60000), ("test", "t10k", 10000)])
def test_mnist_is_the_files(split: str, prefix: str, count: int, mnist: Path) -> None:
    data = load("mnist", split)
    raw = gzip.decompress((mnist / f"{prefix}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((mnist / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())[8:]
    assert data.images.shape == (count, 28, 28)
    assert data.images.dtype == np.float32
    assert data.images.flags.c_contiguous
    assert np.array_equal(np.rint(data.images * 255).astype(np.uint8).tobytes(), raw)
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == list(labels)
    assert data.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert len(data) == count


def test_mnist_digests_are_the_published_ones(mnist: Path) -> None:
    found = {**load("mnist", "train", 1).sha256, **load("mnist", "test", 1).sha256}
    assert found == {file.name: hashlib.sha256((mnist / file.name).read_bytes()).hexdigest() for file in MNIST.values()}


def nearest_float32(value: Fraction) -> np.float32:
    """The float32 nearest to an exact fraction, by comparing neighbours in exact arithmetic."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-1)), guess, np.nextafter(guess, np.float32(2))]
    return min(around, key=lambda candidate: abs(Fraction(float(candidate)) - value))


@pytest.mark.parametrize(("name", "scale"), [("mnist", 255), ("digits", 16)])
def test_every_pixel_is_correctly_rounded(name: str, scale: int, request: pytest.FixtureRequest) -> None:
    if name == "mnist":
        request.getfixturevalue("mnist")
    data = load(name, "train")
    assert data.scale == scale
    expected = {nearest_float32(Fraction(pixel, scale)) for pixel in range(scale + 1)}
    assert set(np.unique(data.images)) == expected


def test_digits_is_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    whole = load_digits()
    parts = [load("digits", split) for split in ("train", "test")]
    assert [part.images.shape for part in parts] == [(1437, 8, 8), (360, 8, 8)]

    def samples(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
        return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))

    ours = samples(
        np.concatenate([part.images * 16 for part in parts]).astype(np.float64),
        np.concatenate([part.labels for part in parts]),
    )
    assert ours == samples(whole.images, whole.target)


def test_digits_split_never_changes() -> None:
    test = load("digits")
    assert test.labels[:12].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]
    digest = hashlib.sha256((test.images * 16).astype(np.uint8).tobytes() + test.labels.astype("u1").tobytes())
    assert digest.hexdigest() == "b6a043cad3164e3dd8f92e1665413bb61a5a61177da12bd283f7e878783e2a0f"


def test_limit_keeps_the_first() -> None:
    whole, few = load("digits"), load("digits", limit=7)
    assert np.array_equal(few.images, whole.images[:7])
    assert np.array_equal(few.labels, whole.labels[:7])
    assert few.sha256 == whole.sha256


@pytest.mark.parametrize("limit", [0, -1, 361])
def test_limit_out_of_range(limit: int) -> None:
    with pytest.raises(UsageError, match=f"digits/test holds 360 samples; {limit} were asked for, ask for 1 to 360"):
        load("digits", limit=limit)


def test_unknown_dataset() -> None:
    with pytest.raises(UsageError, match="no dataset is called 'cifar'; choose one of: digits, mnist"):
        load("cifar")


def test_unknown_split() -> None:
    with pytest.raises(UsageError, match="dataset digits has no split 'validation'"):
        load("digits", "validation")


def test_missing_mnist_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path))
    monkeypatch.delenv("GRAPHSIM_MNIST_MIRROR", raising=False)
    with pytest.raises(DatasetError) as failure:
        load("mnist")
    message = str(failure.value)
    assert f"t10k-images-idx3-ubyte.gz is missing: looked in {tmp_path / 'mnist'}" in message
    assert "`graphsim fetch mnist`" in message
    assert "GRAPHSIM_MNIST_MIRROR" in message


def test_damaged_cache_is_refused(tmp_path: Path, mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray((mnist / "t10k-images-idx3-ubyte.gz").read_bytes())
    data[1000] ^= 1
    damaged = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    damaged.parent.mkdir()
    damaged.write_bytes(data)
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path))
    monkeypatch.delenv("GRAPHSIM_MNIST_MIRROR", raising=False)
    with pytest.raises(DatasetError, match=f"{damaged} is damaged: its SHA-256 is not 8d422c7b"):
        load("mnist")


def test_mirror_folder_is_read_in_place(tmp_path: Path, mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHSIM_MNIST_MIRROR", str(mnist))
    assert load("mnist", limit=1).source == str(mnist)
    assert not (tmp_path / "cache").exists()


def test_importing_the_datasets_is_light() -> None:
    code = "import sys, graphsim.datasets; print([m for m in ('sklearn', 'scipy', 'tensorflow') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"


@pytest.mark.parametrize(("mirror", "status"), [("{mnist}", 0), ("{empty}", 2)])
def test_download_script(
    mirror: str, status: int, mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHSIM_CACHE", str(tmp_path / "cache"))
    script = Path(__file__).parents[1] / "scripts" / "download_mnist.py"
    done = subprocess.run(
        [sys.executable, script, "--mirror", mirror.format(mnist=mnist, empty=tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    kept = {path.name for path in (tmp_path / "cache" / "mnist").glob("*.gz")}
    assert kept == (set(MNIST) if status == 0 else set())
