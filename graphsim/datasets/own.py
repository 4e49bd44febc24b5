"""Samples of the user's own: an ``.npz`` file of arrays, or an ``.npy`` file of inputs alone. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import lzma
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from graphsim.datasets.shown import Shown
from graphsim.errors import DatasetError, UsageError
from graphsim.files import printable

FloatArray = npt.NDArray[np.float32]

SUFFIXES: tuple[str, ...] = (".npz", ".npy")

MOST_CLASS = (1 << 31) - 1

MOST_BYTES = 1 << 32
"""Bytes of arrays that are read from a file; a small file can claim, and unpack to, more than any memory."""

#: What zipfile, its decompressors, and NumPy's reader of headers raise for files that are not what they say.
_DAMAGED = (
    OSError, EOFError, ValueError, TypeError, RuntimeError, MemoryError, SyntaxError, NotImplementedError,
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError,
)  # fmt: skip

EXPECTED = (
    "expected x, or x0, x1 and so on, one array per input of the model, each with a sample per row;"
    " and y, their classes, if they have any"
)


@dataclass(frozen=True, repr=False)
class ArrayDataset(Shown):
    """Samples that are nothing but arrays: those of a file, in its order, or drawn.

    Attributes:
        name: the file's, or ``random``.
        split: ``own`` or ``drawn``.
        inputs: float32 (N, *shape); a tuple of such arrays where there are several inputs, in the model's order.
        labels: int64 (N,); None where there are none.
        source: the file, or the generator and its seed.
        sha256: the file's digest, by its name.
    """

    name: str
    inputs: FloatArray | tuple[FloatArray, ...]
    labels: npt.NDArray[np.int64] | None
    source: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    split: str = "own"
    prepared: str = "as they are in the file"

    def __len__(self) -> int:
        return len(self.inputs[0] if isinstance(self.inputs, tuple) else self.inputs)


def load_own(path: Path, limit: int | None = None) -> ArrayDataset:
    """Read an ``.npz`` with ``x`` (``x0``, ``x1``, ... for several inputs) and perhaps ``y``, or an ``.npy`` of inputs.

    Args:
        limit: keep the first so many samples; all of them when None.

    Raises:
        DatasetError: the file is not one, or its arrays are not numbers, do not fit each other, or have a NaN.
        UsageError: ``limit`` is not between 1 and the number of samples.
    """
    if not path.is_file():
        is_there = "is no file (but a folder, a pipe or a device)" if path.exists() else "there is no such file"
        raise _wrong(path, f"{is_there}; expected samples, {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            if path.suffix == ".npz":
                arrays = _unzipped(path, stream)
            else:
                arrays = {"x": _array(path, "x", stream, path.stat().st_size)}
    except _DAMAGED as error:
        raise _wrong(path, f"cannot be read as {path.suffix}: {error or type(error).__name__}") from error
    names = _input_names(path, arrays)
    count = len(arrays[names[0]])
    for name, array in arrays.items():
        if len(array) != count:
            raise _wrong(path, f"{name} has {len(array)} samples, the first input has {count}")
    if count == 0:
        raise _wrong(path, "has no samples")
    if limit is not None and not 1 <= limit <= count:
        raise UsageError(f"{path.name!a} holds {count} samples; {limit} were asked for, ask for 1 to {count}")
    if (size := sum(4 * arrays[name][:limit].size for name in names)) > MOST_BYTES:
        raise _wrong(path, f"has {size:,} bytes of inputs as float32; at most {MOST_BYTES:,} are read, take --samples")
    kept = tuple(_numbers(path, name, arrays[name][:limit]) for name in names)
    labels = _classes(path, arrays["y"])[:limit] if "y" in arrays else None
    return ArrayDataset(path.name, kept if len(kept) > 1 else kept[0], labels, str(path), {path.name: digest})


def _wrong(path: Path, message: str) -> DatasetError:
    return DatasetError(f"{printable(path)}: {message}")


def _unzipped(path: Path, stream: IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(stream) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if (size := sum(info.file_size for info in members)) > MOST_BYTES:
            raise _wrong(path, f"has {size:,} bytes of arrays; at most {MOST_BYTES:,} are read, split it")
        found = {}
        for info in members:
            name = info.filename.removesuffix(".npy")
            if name != "y" and not re.fullmatch(r"x[0-9]{0,3}", name):
                raise _wrong(path, f"has an array {name[:80]!a}; {EXPECTED}")
            with archive.open(info) as member:
                found[name] = _array(path, name, member, info.file_size)
        return found


def _array(path: Path, name: str, stream: IO[bytes], size: int) -> npt.NDArray[Any]:
    """One array, after its header was held against the bytes that are there.

    Raises:
        DatasetError, ValueError: it is damaged, or of no numbers.
    """
    if size > MOST_BYTES:
        raise _wrong(path, f"{name} has {size:,} bytes; at most {MOST_BYTES:,} are read, split it")
    major, _ = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(stream)
    if dtype.kind not in "fiub":
        raise _wrong(path, f"{name} is of {dtype}; expected numbers")
    if not shape:
        raise _wrong(path, f"{name} is a single number; expected a sample per row")
    if min(shape) < 0:
        raise _wrong(path, f"{name} is damaged: its header says shape {shape}, with a length below 0")
    data = stream.read(size)
    count = 1
    for length in shape:
        count *= length
    if len(data) != (whole := count * dtype.itemsize):
        raise _wrong(path, f"{name} of shape {shape} is damaged: it has {len(data):,} of {whole:,} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _input_names(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    names = sorted((name for name in arrays if name != "y"), key=lambda name: int(name[1:] or 0))
    if names not in (["x"], [f"x{number}" for number in range(len(names))]) or not names:
        raise _wrong(path, f"has {', '.join(sorted(arrays)) or 'no arrays'}; {EXPECTED}")
    return names


def _numbers(path: Path, name: str, array: npt.NDArray[Any]) -> FloatArray:
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(numbers).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
        raise _wrong(path, f"{name}{list(place)} is {array[place]}, which is no finite float32")
    return numbers


def _classes(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Classes, given as such, (N,) or (N, 1), or one-hot, (N, classes)."""
    if array.ndim == 2 and array.shape[1] > 1 and np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all():
        return np.asarray(array.argmax(axis=1), np.int64)
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or not ((flat >= 0) & (flat <= MOST_CLASS) & (flat == np.floor(flat))).all():
        raise _wrong(
            path,
            f"y of shape {array.shape} is no list of classes; expected whole numbers from 0, one per sample;"
            " leave y out where samples have no classes",
        )
    return np.asarray(flat, np.int64)
