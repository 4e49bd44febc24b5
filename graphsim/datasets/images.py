"""Labelled images: ``digits``, which comes with scikit-learn, and ``mnist``, four files fetched once and verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graphsim.datasets import files
from graphsim.datasets.idx import parse_idx
from graphsim.datasets.shown import Shown
from graphsim.errors import DatasetError, UsageError

NAMES: tuple[str, ...] = ("digits", "mnist")
"""Every dataset of images."""

SPLITS: tuple[str, ...] = ("train", "test")

DIGITS_TEST_SAMPLES = 360
"""Size of the test split of ``digits``; the other 1437 of the 1797 images are for training."""

DIGITS_SPLIT_SEED = 0


@dataclass(frozen=True, repr=False)
class ImageDataset(Shown):
    """Images and their labels, in a fixed order.

    Attributes:
        name: ``digits`` or ``mnist``.
        split: ``train`` or ``test``.
        images: float32, shape ``(N, *shape)``, C-contiguous, values in 0..1: the stored pixel divided by ``scale``,
            as one float32 division (not a multiplication by the reciprocal, which rounds differently).
        labels: int64, shape ``(N,)``, indices into ``classes``.
        classes: the name of each class.
        scale: the stored pixel value that becomes 1.0 (255 for ``mnist``, 16 for ``digits``).
        source: where the samples were read from, for the report.
        sha256: digest of each file that was read, by file name.
    """

    name: str
    split: str
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    scale: int
    source: str
    sha256: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        """What a graph is fed with: the images."""
        return self.images

    @property
    def prepared(self) -> str:
        """In words, for the report."""
        return f"each pixel divided by {self.scale}, which gives 0 to 1"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: ``(28, 28)`` for ``mnist``, ``(8, 8)`` for ``digits``."""
        return self.images.shape[1:]


def load_images(name: str, split: str = "test", limit: int | None = None) -> ImageDataset:
    """Load one split of a dataset of images.

    ``mnist`` keeps the order of its files: 60,000 training and 10,000 test images of 28x28. ``digits`` is
    scikit-learn's copy of the test half of the UCI "Optical Recognition of Handwritten Digits", 1,797 images of 8x8;
    it has no official split, so one permutation by NumPy's legacy ``RandomState(0)``, whose stream is frozen by
    NEP 19, deals the first 360 to ``test`` and the rest to ``train``.

    Args:
        name: one of :data:`NAMES`.
        split: ``train`` or ``test``.
        limit: keep the first so many samples; all of them when None.

    Raises:
        UsageError: no such dataset or split, or ``limit`` is not between 1 and the number of samples.
        DatasetError: the files are missing or damaged; the message says how to get them.
    """
    if name not in NAMES:
        raise UsageError(f"no dataset is called {name!r}; choose one of: {', '.join(NAMES)}")
    if split not in SPLITS:
        raise UsageError(f"dataset {name} has no split {split!r}; choose one of: {', '.join(SPLITS)}")
    if name == "digits":
        return _digits(split, limit)
    return _mnist(split, limit)


def _mnist(split: str, limit: int | None) -> ImageDataset:
    prefix = "train" if split == "train" else "t10k"
    image_file, label_file = (
        files.MNIST[f"{prefix}-images-idx3-ubyte.gz"],
        files.MNIST[f"{prefix}-labels-idx1-ubyte.gz"],
    )
    image_path, image_bytes = _verified(image_file)
    label_path, label_bytes = _verified(label_file)
    pixels = parse_idx(image_bytes, str(image_path), dimensions=3)
    labels = parse_idx(label_bytes, str(label_path), dimensions=1)
    count = _checked_limit("mnist", split, limit, len(labels))
    return ImageDataset(
        name="mnist",
        split=split,
        images=_scaled(pixels[:count], 255),
        labels=labels[:count].astype(np.int64),
        classes=tuple("0123456789"),
        scale=255,
        source=str(image_path.parent),
        sha256={file.name: file.sha256 for file in (image_file, label_file)},
    )


def _digits(split: str, limit: int | None) -> ImageDataset:
    import sklearn
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = bunch.images.astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    order = np.random.RandomState(DIGITS_SPLIT_SEED).permutation(len(labels))
    chosen = order[:DIGITS_TEST_SAMPLES] if split == "test" else order[DIGITS_TEST_SAMPLES:]
    chosen = chosen[: _checked_limit("digits", split, limit, len(chosen))]
    table = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
    return ImageDataset(
        name="digits",
        split=split,
        images=_scaled(pixels[chosen], 16),
        labels=labels[chosen],
        classes=tuple("0123456789"),
        scale=16,
        source=f"scikit-learn {sklearn.__version__}, load_digits()",
        sha256={table.name: hashlib.sha256(table.read_bytes()).hexdigest()} if table.is_file() else {},
    )


def _scaled(pixels: npt.NDArray[np.uint8], scale: int) -> npt.NDArray[np.float32]:
    return np.divide(pixels, np.float32(scale), dtype=np.float32)


def _checked_limit(name: str, split: str, limit: int | None, available: int) -> int:
    if limit is None:
        return available
    if not 1 <= limit <= available:
        raise UsageError(f"{name}/{split} holds {available} samples; {limit} were asked for, ask for 1 to {available}")
    return limit


def _verified(file: files.CanonicalFile) -> tuple[Path, bytes]:
    """Find a file whose digest is right: in the cache, or in the folder that the mirror variable names."""
    folders = [files.mnist_folder()]
    mirror = os.environ.get(files.MIRROR_VARIABLE, "")
    if mirror and not files.is_url(mirror):
        folders.append(files.at_home(mirror))
    damaged = []
    for folder in folders:
        path = folder / file.name
        try:
            data = file.read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            damaged.append(f"{path} cannot be read ({error.strerror or error})")
            continue
        if data is not None:
            return path, data
        damaged.append(f"{path} is damaged: its SHA-256 is not {file.sha256}")
    found = "; ".join(damaged) if damaged else "looked in " + " and ".join(str(folder) for folder in folders)
    raise DatasetError(
        f"MNIST file {file.name} is missing: {found}. Run `graphsim fetch mnist`, or set {files.MIRROR_VARIABLE} to a"
        " folder or URL that holds the four files."
    )
