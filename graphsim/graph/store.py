"""The ``.gsim`` file: a graph with its params, in HDF5.

Layout, schema 1 (see also docs/formats.md)::

    /            attributes  graphsim_schema   int64 scalar: 1
                             graphsim_digest   64 bytes: Graph.digest, lowercase hexadecimal
    /text        uint8 (n,)  the graph as text (:mod:`graphsim.graph.text`)
    /params/0    the array of the first param line of the text, /params/1 that of the second, and so on

Every dataset is contiguous: no chunks, filters, external storage or virtual sources. There are no times and no
versions of any library in the file, and the order of writing is fixed: equal graphs give equal bytes. Files are
written atomically.

A file is not trusted. Before a dataset is read, its link, storage layout and size are checked, and all sizes together
must fit into the file, so reading takes little more memory than the file is long; what HDF5 takes for itself is bounded
as well. Then the SHA-256 of every param, the
digest of the graph and all rules of :mod:`graphsim.graph.verify` are checked.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.files import bounded_memory, writing_hdf5
from graphsim.graph.graph import Graph, Param
from graphsim.graph.text import dump, parse
from graphsim.graph.verify import verify

SCHEMA = 1
#: Bytes that HDF5 may take for itself, besides the arrays that it reads.
_ALLOWANCE = 64 << 20
_SCHEMA, _DIGEST, _TEXT, _PARAMS = "graphsim_schema", "graphsim_digest", "text", "params"


def save(graph: Graph, path: Path | str) -> None:
    """Write ``graph`` to ``path`` atomically; equal graphs give equal bytes.

    Raises:
        GraphError: the graph breaks a rule, or lacks params.
        UsageError: the folder cannot be written.
        OSError: the disk is full, say; names the file.
    """
    verify(graph)
    text = np.frombuffer(dump(graph).encode("ascii"), np.uint8)
    with writing_hdf5(path) as file:
        file.attrs.create(_SCHEMA, SCHEMA, dtype="<i8")
        file.attrs.create(_DIGEST, np.bytes_(graph.digest), dtype="S64")
        file.create_dataset(_TEXT, data=text, track_times=False)
        params = file.create_group(_PARAMS)
        for number, array in enumerate(graph.params.values()):
            params.create_dataset(str(number), data=array, dtype=array.dtype.newbyteorder("<"), track_times=False)


def load(path: Path | str) -> Graph:
    """Read and verify a graph that :func:`save` wrote.

    Raises:
        GraphError: there is no such file, it is not a ``.gsim`` file of this schema, it is damaged, or its graph breaks
            a rule. The message names the file and the place.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise GraphError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(status.st_mode):
        raise GraphError(f"{path}: is not a file")
    size = status.st_size
    with _naming(path), ExitStack() as stack:
        with bounded_memory(_ALLOWANCE + size):
            # h5py takes locks to guard against a writer in the same file; ours replace whole files.
            file = stack.enter_context(h5py.File(path, "r", locking=False))
            digest = _attributes(file)
            text = _read(file, _TEXT, None, size)
        try:
            bare = parse(text.tobytes().decode("ascii"))
        except UnicodeDecodeError as error:
            raise GraphError(f"/{_TEXT}: is not ASCII at byte {error.start}") from error
        except GraphError as error:
            raise GraphError(f"/{_TEXT}: {error}") from error
        with bounded_memory(_ALLOWANCE + size):
            arrays = _read_params(file, bare.declared, size - text.nbytes)
        graph = Graph(bare.name, bare.groups, bare.channels, arrays, bare.notes, declared=bare.declared)
        graph.check_params()
        verify(graph)
        if graph.digest != digest:
            raise GraphError(f"/: the graph's digest is {graph.digest}; the file says {digest}")
    return graph


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong into a GraphError that begins with the file's name."""
    try:
        yield
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error
    except (
        Exception
    ) as error:  # HDF5 on damaged files ends in almost any exception: OSError, KeyError, RuntimeError ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraphError(f"{path}: is not a readable HDF5 file ({reason}); write it again") from error


def _read_params(file: h5py.File, declared: Mapping[str, Param], room: int) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of the params, as the text declares them, of at most ``room`` bytes together."""
    folder = _member(file, _PARAMS, h5py.Group)
    if len(folder) != len(declared):
        raise GraphError(f"/{_PARAMS}: {len(folder)} arrays; the text declares {len(declared)}")
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for number, (name, param) in enumerate(declared.items()):
        arrays[name] = _read(folder, str(number), param, room)
        room -= arrays[name].nbytes
    return arrays


def _attributes(file: h5py.File) -> str:
    """Check the schema; the digest."""
    if _SCHEMA not in file.attrs:
        raise GraphError(f"/: has no attribute {_SCHEMA}; this is not a .gsim file")
    schema = int(_attribute(file, _SCHEMA, np.dtype("<i8")))
    if schema != SCHEMA:
        raise GraphError(f"/: schema {schema}; this graphsim reads schema {SCHEMA}; lower the model again")
    if _DIGEST not in file.attrs:
        raise GraphError(f"/: has no attribute {_DIGEST}")
    return bytes(_attribute(file, _DIGEST, np.dtype("S64"))).decode("ascii", "replace")


def _attribute(file: h5py.File, name: str, dtype: np.dtype[Any]) -> Any:
    """A scalar attribute, read only once its type and shape are known to be small."""
    handle = h5py.h5a.open(file.id, name.encode())
    if handle.shape != () or handle.dtype != dtype:
        raise GraphError(f"/: attribute {name} is {handle.dtype} {handle.shape}; must be one {dtype}")
    return file.attrs[name]


def _member(parent: h5py.Group, name: str, kind: type) -> Any:
    """A hard-linked member of the file itself; links that lead elsewhere are not followed."""
    place = f"{parent.name.rstrip('/')}/{name}"
    if not parent.id.links.exists(name.encode()):
        raise GraphError(f"{place}: is missing")
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise GraphError(f"{place}: is a soft or external link; only what is in the file itself is read")
    member = parent[name]
    if not isinstance(member, kind):
        raise GraphError(f"{place}: is not a {kind.__name__.lower()}")
    return member


def _read(parent: h5py.Group, name: str, param: Param | None, room: int) -> npt.NDArray[np.generic]:
    """A dataset of the declared dtype and shape (``param`` None: uint8 bytes), of at most ``room`` bytes."""
    dataset: h5py.Dataset = _member(parent, name, h5py.Dataset)
    place, plist = dataset.name, dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count() or plist.get_nfilters():
        raise GraphError(
            f"{place}: is chunked, compressed, virtual or stored elsewhere; must be contiguous, in this file"
        )
    shape, dtype = dataset.shape, dataset.dtype
    if param is None:
        fits = dtype == np.uint8 and shape is not None and len(shape) == 1
        wanted = "uint8 (bytes,)"
    else:
        fits = dtype in (np.float32, np.int32, np.int64) and dtype.name == param.dtype and shape == param.shape
        wanted = f"{param.dtype} {param.shape}"
    if not fits:
        raise GraphError(f"{place}: is {dtype} {shape}; must be {wanted}")
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    if size > room or dataset.id.get_storage_size() != size:
        raise GraphError(f"{place}: declares {size:,} bytes; the file does not hold them")
    array = np.empty(shape, dtype)
    if size:
        dataset.read_direct(array)
    return array
