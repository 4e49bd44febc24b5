"""Samples for running, comparing and training: ``load("digits")``, ``load("mnist")``, ``load("alu")``.

``digits`` comes with scikit-learn and needs no download. ``mnist`` is the four canonical files, fetched once with
``graphsim fetch mnist`` (see :mod:`graphsim.datasets.download`). Every MNIST file is checked against its SHA-256
each time it is read. ``alu`` is calculations with integers, generated and never stored
(:mod:`graphsim.datasets.arithmetic`). ``samples.npz`` is a file of one's own
(:mod:`graphsim.datasets.own`). Samples can be drawn for any graph, too (:func:`graphsim.pipeline.draw`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphsim.datasets import images
from graphsim.datasets.arithmetic import load_calculations
from graphsim.datasets.own import SUFFIXES, load_own
from graphsim.errors import UsageError

NAMES: tuple[str, ...] = (*images.NAMES, "alu")
"""Every dataset that :func:`load` knows by name."""


class Dataset(Protocol):
    """Samples in a fixed order. What is right for each, the dataset knows: a class, or the bits of a number."""

    @property
    def name(self) -> str:
        """One of :data:`NAMES`, a file's, or ``random``."""

    @property
    def split(self) -> str:
        """Which part of the dataset this is."""

    @property
    def source(self) -> str:
        """Where the samples come from, for the report."""

    @property
    def prepared(self) -> str:
        """How the inputs were made from what is stored or asked, for the report."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """Digest of each file that was read, by file name."""

    @property
    def inputs(self) -> npt.NDArray[np.float32] | tuple[npt.NDArray[np.float32], ...]:
        """What a graph is fed with, float32 (N, *shape); a tuple of such arrays for several inputs, in their order."""

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """The class of each sample, int64 (N,); None where samples have no classes."""

    def __len__(self) -> int: ...


def load(name: str, split: str = "test", limit: int | None = None) -> Dataset:
    """Load one split of a dataset, or its first ``limit`` samples; ``name`` may be that of an .npz or .npy file.

    ``alu`` has no training split; it is what :func:`graphsim.datasets.arithmetic.load_calculations` gives by default.

    Raises:
        UsageError: no such dataset or split, or ``limit`` is out of range.
        DatasetError: the files are missing or damaged; the message says how to get them.
    """
    if name.endswith(SUFFIXES):
        return load_own(Path(name), limit)
    if name not in NAMES:
        raise UsageError(
            f"no dataset is called {name!r}; choose one of: {', '.join(NAMES)}, arithmetic, random, or an .npz file"
        )
    if name != "alu":
        return images.load_images(name, split, limit)
    if split != "test":
        raise UsageError(f"dataset alu has no split {split!r}; it is generated, choose: test")
    return load_calculations(count=limit)
