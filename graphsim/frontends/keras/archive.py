"""Model files as they lie on disk: which format, the architecture's JSON, and where the weights are.

===================== ============================================ ========================================
file                  architecture                                 weights
===================== ============================================ ========================================
``.h5`` (HDF5)        attribute ``model_config`` of the root       groups under ``model_weights``
``.keras`` (zip)      member ``config.json``                       member ``model.weights.h5`` (HDF5)
``.json``             the file                                     a second file, ``.h5`` or ``.keras``
``.weights.h5``       none                                         groups under the root
===================== ============================================ ========================================

A file is known by its first bytes, never by its name. Nothing is unpacked to disk.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from graphsim.errors import ModelError
from graphsim.frontends.keras.fields import MAX_BYTES, Fields, parse, shown
from graphsim.frontends.keras.hdf5 import ALLOWANCE, MAX_EXPANSION, SIGNATURE, Hdf5

CONFIG = "config.json"
METADATA = "metadata.json"
WEIGHTS = "model.weights.h5"

_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Archive:
    """A model file, opened.

    Attributes:
        file: path, for messages.
        format: what it is, for people.
        config: the architecture; None where the file has weights only.
        version: the Keras version that the file says wrote it; "" where it does not say.
        weights: the HDF5 file with the weights; None for a JSON file.
        backend: "theano", "tensorflow" ...: what computed when the file was written; "" where it does not say.
    """

    file: str
    format: str
    config: Fields | None
    version: str
    weights: Hdf5 | None
    backend: str = ""


def open_archive(path: Path) -> Archive:
    """Open a model file.

    Raises:
        ModelError: it cannot be read, is of no known format, or is damaged or hostile.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
            size = stream.seek(0, 2)
    except OSError as error:
        hint = "; a TensorFlow SavedModel folder is not read, save as .keras or .h5" if path.is_dir() else ""
        raise ModelError(f"{file}: cannot be read ({error.strerror}){hint}") from None
    if head.startswith(SIGNATURE):
        return _open_hdf5(path, file)
    if head.startswith(_ZIP):
        return _open_zip(path, file, size)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        if size > MAX_BYTES:
            raise ModelError(f"{file}: has {size:,} bytes; an architecture in JSON has at most {MAX_BYTES:,}")
        config = parse(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), file, "the file")
        return Archive(
            file, "JSON", config, config.text("keras_version", default=""), None, config.text("backend", default="")
        )
    if not head:
        raise ModelError(f"{file}: is empty")
    hint = "; it looks like a pickle, and pickles are never loaded" if head[:1] == b"\x80" else ""
    raise ModelError(f"{file}: is no Keras model: neither HDF5 (.h5), nor zip (.keras), nor JSON{hint}")


def _open_hdf5(path: Path, file: str) -> Archive:
    weights = Hdf5(path, file)
    text = weights.texts("", "model_config")
    config = parse(text[0], file, "attribute 'model_config'") if text else None

    def stated(attribute: str) -> str:
        return next((found[0] for group in ("", "model_weights") if (found := weights.texts(group, attribute))), "")

    return Archive(file, "HDF5", config, stated("keras_version"), weights, stated("backend"))


def _open_zip(path: Path, file: str, size: int) -> Archive:
    try:
        with zipfile.ZipFile(path) as zf:
            members = _members(zf, file)
            budget = ALLOWANCE + MAX_EXPANSION * size
            config = parse(_member(zf, members, CONFIG, file, MAX_BYTES), file, CONFIG)
            version = ""
            if METADATA in members:
                version = parse(_member(zf, members, METADATA, file, 1 << 20), file, METADATA).text(
                    "keras_version", default=""
                )
            if WEIGHTS not in members:
                raise ModelError(
                    f"{file}: has no {WEIGHTS}; it holds {', '.join(map(shown, sorted(members)[:8]))}."
                    " Save the model again with model.save(..., zipped=True) and HDF5 weights"
                )
            data = _member(zf, members, WEIGHTS, file, budget)
    # Damage of every kind that zipfile meets: bad records, bad checksums, bad streams, bad names, unknown methods.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, UnicodeError) as error:
        raise ModelError(f"{file}: the zip archive is damaged ({shown(str(error))})") from None
    if not data.startswith(SIGNATURE):
        raise ModelError(f"{file}: {WEIGHTS} is not an HDF5 file")
    return Archive(file, "Keras zip", config, version, Hdf5(data, f"{file}, {WEIGHTS}"))


def _members(zf: zipfile.ZipFile, file: str) -> dict[str, zipfile.ZipInfo]:
    """The members by name, after refusing what an honest model file never has."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in zf.infolist():
        name = info.filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in info.orig_filename:
            raise ModelError(
                f"{file}: member {shown(name)} points outside the archive; no honest model file has such a name"
            )
        if name in found:
            raise ModelError(f"{file}: member {shown(name)} is there twice, which could hide one behind the other")
        if info.flag_bits & 0x1:
            raise ModelError(f"{file}: member {shown(name)} is encrypted; save the model without a password")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ModelError(f"{file}: member {shown(name)} is a symbolic link; links are not followed")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(
                f"{file}: member {shown(name)} is packed by method {info.compress_type}; only deflate is read"
            )
        found[name] = info
    return found


def _member(zf: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, file: str, limit: int) -> bytes:
    """All bytes of a member; never more than ``limit`` are unpacked, whatever the archive declares."""
    if name not in members:
        raise ModelError(f"{file}: has no {name}; it is a zip archive, but not a Keras model")
    with zf.open(members[name]) as stream:
        data = stream.read(limit + 1) if members[name].file_size <= limit else b""
    if len(data) > limit or members[name].file_size > limit:
        raise ModelError(f"{file}: {name} unpacks to more than {limit:,} bytes, too many for an archive of this size")
    return data
