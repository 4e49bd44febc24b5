"""HDF5 files of unknown origin: what graphsim needs of them, and nothing that could reach outside the file.

A file is walked by name only. Every step must be a hard link: external, soft and user-defined links are refused, so
that no other file is ever opened and no cycle can be followed. A dataset is read only when its layout, filters, type
and shape have been checked: external storage, virtual datasets, and filters other than HDF5's own are refused; the
elements must be IEEE floats; the shape must be the one that the architecture asks for; and the bytes must be there, or,
where they are compressed, be within :data:`MAX_EXPANSION` of what the file stores. References and pickles are never
looked at.

What could make the HDF5 library itself loop for ever is looked for before it is let at the file (``_check_heaps``), and
what it may allocate is bounded call by call (``limits.py``), because it believes the sizes that a file states.

Format: HDF5 File Format Specification, version 3.0.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from graphsim.errors import ModelError
from graphsim.frontends.keras.fields import MAX_BYTES, shown
from graphsim.frontends.keras.limits import memory_at_most

#: The first bytes of an HDF5 file. The format allows a block of the user's before them; Keras writes none.
SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Compressed data may unpack to so many times the size of the file in total, and always to ALLOWANCE bytes.
MAX_EXPANSION = 100
ALLOWANCE = 1 << 24
#: Memory that HDF5 may take for itself in one call, in bytes. It takes some 2 MB for an honest file.
WORKSPACE = 1 << 28

_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF)
_FLOATS = {
    name: (getattr(h5py.h5t, f"IEEE_F{bits}{order}"), bits // 8)
    for bits, name in ((16, "float16"), (32, "float32"), (64, "float64"))
    for order in ("LE", "BE")
    for name in (f"{name}{'' if order == 'LE' else ' (big-endian)'}",)
}
#: What h5py raises on files that are damaged or that it does not understand.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)


@contextmanager
def _reading(file: str, place: str, size: int = 0) -> Iterator[None]:
    """Around every call of h5py: bounds its memory, beyond ``size`` bytes of result, and turns what it raises."""
    try:
        with memory_at_most(WORKSPACE + 2 * size):
            yield
    except _DAMAGE as error:
        reason = str(error).strip("'\"")[:200] or type(error).__name__
        raise ModelError(f"{file}: {place} cannot be read, the file is damaged ({reason})") from None


class Hdf5:
    """An open HDF5 file; close it after use.

    ``file`` names it in messages; ``source`` is its path, or its bytes where it lies inside another file.

    Raises:
        ModelError: it is no HDF5 file, or damaged.
    """

    def __init__(self, source: Path | bytes, file: str) -> None:
        self.file = file
        self._allowed = ALLOWANCE + MAX_EXPANSION * (len(source) if isinstance(source, bytes) else _size(source))
        with _reading(file, "the file's superblock"):
            if isinstance(source, bytes):
                _check_heaps(io.BytesIO(source), file)
            else:
                with source.open("rb") as stream:
                    _check_heaps(stream, file)
            if isinstance(source, bytes):
                self._h5 = h5py.File(io.BytesIO(source), "r")
            else:
                self._h5 = h5py.File(source, "r", locking=False)

    def close(self) -> None:
        """Close the file."""
        self._h5.close()

    def _open(self, path: str) -> h5py.Group | h5py.Dataset | None:
        """What lies at ``path``, by hard links alone; None when there is nothing."""
        here: h5py.Group | h5py.Dataset = self._h5
        walked = ""
        for part in path.split("/") if path else ():
            walked = f"{walked}/{part}"
            place = shown(walked)
            with _reading(self.file, place):
                name = part.encode()
                if not part or not isinstance(here, h5py.Group) or name not in here.id:
                    return None
                kind = here.id.links.get_info(name).type
            if kind != h5py.h5l.TYPE_HARD:
                links = {h5py.h5l.TYPE_EXTERNAL: "an external link", h5py.h5l.TYPE_SOFT: "a soft link"}
                raise ModelError(
                    f"{self.file}: {place} is {links.get(kind, 'a user-defined link')}; links are not followed."
                    " Save the model into one file without links"
                )
            with _reading(self.file, place):
                here = here[part]
        return here

    def has_group(self, path: str) -> bool:
        """Whether ``path`` (parts separated by slashes, "" is the root) is a group."""
        return isinstance(self._open(path), h5py.Group)

    def texts(self, path: str, name: str) -> list[str] | None:
        """Attribute ``name`` of the group or dataset at ``path``: its string, or its strings; None if it is not there.

        Raises:
            ModelError: it is not text, or longer than :data:`MAX_BYTES`.
        """
        place = f"attribute {name!r} of {shown('/' + path)}"
        here = self._open(path)
        if here is None:
            return None
        with _reading(self.file, place):
            if not h5py.h5a.exists(here.id, name.encode()):
                return None
            attribute = h5py.h5a.open(here.id, name.encode())
            kind = attribute.get_type()
            is_text = isinstance(kind, h5py.h5t.TypeStringID)
            count = math.prod(attribute.shape)
            stored = attribute.get_storage_size() if count else 0
        if not is_text and count:  # Keras writes an empty list of names as an empty array of floats
            raise ModelError(f"{self.file}: {place} is not text")
        if max(count, stored) > MAX_BYTES:
            raise ModelError(f"{self.file}: {place} has {max(count, stored):,} bytes; at most {MAX_BYTES:,} are read")
        if not count:
            return []
        with _reading(self.file, place):
            value = here.attrs[name]
        values = value.ravel().tolist() if isinstance(value, np.ndarray) else [value]
        return [self._decoded(v, place) for v in values]

    def _decoded(self, value: object, place: str) -> str:
        try:
            if isinstance(value, bytes):
                return value.decode()
            if isinstance(value, str):
                value.encode()
                return value
        except UnicodeError:
            pass
        raise ModelError(f"{self.file}: {place} is {shown(value)}, not UTF-8 text")

    def shape(self, path: str) -> tuple[int, ...] | None:
        """Shape of the dataset at ``path``, or None if there is none."""
        dataset = self._open(path)
        if not isinstance(dataset, h5py.Dataset):
            return None
        with _reading(self.file, shown("/" + path)):
            return tuple(int(n) for n in dataset.shape) if dataset.shape is not None else ()

    def read(self, path: str) -> tuple[npt.NDArray[np.float32], str]:
        """Elements of the dataset at ``path`` as finite float32, and the name of the type they are stored in.

        The caller has checked its shape, so that it is of a size that the caller expects.

        Raises:
            ModelError: nothing there, stored elsewhere or in a way that is not read, too large for the file, damaged,
                or with NaN or infinite elements.
        """
        with memory_at_most(WORKSPACE):
            dataset, stored_as, size = self._checked(path)
        place = shown("/" + path)
        with _reading(self.file, place, size):
            values = np.asarray(dataset[()])
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(values, np.float32)
        if not np.isfinite(array).all():
            at = int(np.flatnonzero(~np.isfinite(array.reshape(-1)))[0])
            raise ModelError(
                f"{self.file}: {place} holds {values.reshape(-1)[at]} at element {at:,} (of {array.size:,});"
                " weights must be finite float32 numbers. The training of this model went wrong, or the file is damaged"
            )
        return array, stored_as

    def _checked(self, path: str) -> tuple[h5py.Dataset, str, int]:
        """The dataset at ``path``, the type it is stored in, and its size in bytes, when it may be read."""
        place = shown("/" + path)
        dataset = self._open(path)
        if not isinstance(dataset, h5py.Dataset):
            raise ModelError(f"{self.file}: there is no dataset {place}")
        with _reading(self.file, place):
            kind = dataset.id.get_type()
            stored_as, width = next(((n, w) for n, (t, w) in _FLOATS.items() if kind.equal(t)), ("", 0))
            plist = dataset.id.get_create_plist()
            is_elsewhere = plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count() > 0
            filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
            size, stored = math.prod(dataset.shape or ()) * width, dataset.id.get_storage_size()
        if is_elsewhere:
            raise ModelError(f"{self.file}: {place} keeps its data in other files; save the model into one file")
        if not stored_as:
            raise ModelError(
                f"{self.file}: {place} is not of type float16, float32 or float64; other types are not read"
            )
        if any(f not in _FILTERS for f in filters):
            raise ModelError(f"{self.file}: {place} is packed by filter {filters}, which is not one of HDF5's own")
        if not filters and stored < size:
            raise ModelError(f"{self.file}: {place} declares {size:,} bytes, but the file holds {stored:,} of them")
        self._allowed -= size
        if self._allowed < 0:
            raise ModelError(f"{self.file}: {place} would unpack to {size:,} bytes, too many for a file of this size")
        return dataset, stored_as, size


def _check_heaps(stream: BinaryIO, file: str) -> None:
    """Refuse global heap collections that HDF5 1.14 never gets through, and sizes of numbers that Keras never writes.

    A collection (section III.E of the format) is a chain of objects, each as long as it says. Object 0, the free space
    at the end, counts its own header; where it claims length 0, the library steps on the spot.
    """
    head = stream.read(16)
    # Offsets and lengths take 8 bytes each, in the superblock of version 0 and 1, or of 2 and 3 (section II).
    sizes = head[13:15] if head[8:9] < b"\x02" else head[9:11]
    if len(head) == 16 and sizes != b"\x08\x08":
        raise ModelError(f"{file}: its superblock says that numbers take {list(sizes)} bytes; Keras writes 8")
    for at in _found(stream, b"GCOL\x01"):
        stream.seek(at + 8)
        length = int.from_bytes(stream.read(8), "little")
        chain = stream.read(min(length, MAX_BYTES) - 16) if length > 16 else b""
        here = 0
        while len(chain) - here >= 16:
            number = int.from_bytes(chain[here : here + 2], "little")
            size = int.from_bytes(chain[here + 8 : here + 16], "little")
            if not number and not size:
                raise ModelError(f"{file}: the heap at byte {at:,} is damaged: it never ends")
            here += size if not number else 16 + -(-size // 8) * 8


def _found(stream: BinaryIO, signature: bytes) -> list[int]:
    """Where a signature occurs in a stream."""
    found, before, start = [], b"", 0
    stream.seek(0)
    while chunk := stream.read(1 << 20):
        data = before + chunk
        at = data.find(signature)
        while at >= 0:
            found.append(start - len(before) + at)
            at = data.find(signature, at + 1)
        before, start = data[1 - len(signature) :], start + len(chunk)
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
