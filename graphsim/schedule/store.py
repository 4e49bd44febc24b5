"""The ``.fold`` file: a schedule with its machine, in HDF5.

Layout, schema 1 (see also docs/scheduling.md)::

    /              attribute   graphsim_fold_schema   int64 scalar: 1
    /header        uint8 (n,)  JSON object: graph_digest, strategy, period, bound, placement_bound, remark, sha256;
                               buffering where it is not single; tile where it is not 1
    /machine       uint8 (n,)  the machine as TOML, without its links where they stand in /links
    /links         int32 (2 * links,)  node ids, sender and receiver of each link; only of machines that are no built-in
    /<name>        the array attribute of that name of Schedule: int32 or int64, one axis

Every dataset is contiguous: no chunks, filters, external storage or virtual sources. There are no times in the file
and the order of writing is fixed: equal schedules give equal bytes. Files are written atomically.

A file is not trusted. Before a dataset is read, its link, storage layout and size are checked, and all sizes together
must fit into the file. Then the SHA-256 of all arrays and every field are checked. Whether the schedule is *right* is
for :mod:`graphsim.schedule.verify` to say.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import input_actors
from graphsim.errors import MachineError, ScheduleError
from graphsim.files import bounded_memory, writing_hdf5
from graphsim.graph import Graph
from graphsim.machine import MAX_LINKS, Machine, parse_machine
from graphsim.machine.settings import MAX_TEXT_BYTES
from graphsim.machine.writer import machine_parts
from graphsim.passes import unroll
from graphsim.schedule.schedule import BUFFERING, Bound, Schedule

SCHEMA = 1
_SCHEMA, _HEADER, _MACHINE, _LINKS = "graphsim_fold_schema", "header", "machine", "links"
#: Array attributes of Schedule, in the order in which they are written and digested.
_ARRAYS: dict[str, np.dtype[Any]] = {
    "node": np.dtype("<i4"),
    "start": np.dtype("<i8"),
    "parcel_node": np.dtype("<i4"),
    "parcel_ptr": np.dtype("<i8"),
    "parcel_token": np.dtype("<i4"),
    "hop_parcel": np.dtype("<i4"),
    "hop_link": np.dtype("<i4"),
    "hop_start": np.dtype("<i8"),
    "slot_node": np.dtype("<i4"),
    "slot_token": np.dtype("<i4"),
    "slot_address": np.dtype("<i8"),
    "slot_depth": np.dtype("<i4"),
}
#: No tick and no address in a file is greater.
_MOST = 2**50
#: Bytes that HDF5 may use beyond what the file holds.
_ALLOWANCE = 256 << 20
_MOST_TEXT = 1_000
_MOST_HEADER = 65_536


def save(schedule: Schedule, path: Path | str) -> None:
    """Write ``schedule`` to ``path`` atomically; equal schedules give equal bytes.

    Raises:
        MachineError: too much of the machine is unlike the rest of it to be written down.
        UsageError: the folder cannot be written.
        OSError: the disk is full, say; names the file.
    """
    arrays = {name: np.ascontiguousarray(getattr(schedule, name), dtype) for name, dtype in _ARRAYS.items()}
    text, pairs = machine_parts(schedule.machine)
    links = np.array(pairs, "<i4").ravel()
    header = {
        "graph_digest": schedule.graph_digest,
        "strategy": schedule.strategy,
        "period": schedule.period,
        "bound": vars(schedule.bound),
        "placement_bound": vars(schedule.placement_bound),
        "remark": schedule.remark,
        **({} if schedule.buffering == "single" else {"buffering": schedule.buffering}),
        **({} if schedule.tile == 1 else {"tile": schedule.tile}),
        "sha256": _sha256(arrays, links),
    }
    head = np.frombuffer(json.dumps(header, indent=1).encode("ascii"), np.uint8)
    machine = np.frombuffer(text.encode("utf-8"), np.uint8)
    with writing_hdf5(path) as file:
        file.attrs.create(_SCHEMA, SCHEMA, dtype="<i8")
        file.create_dataset(_HEADER, data=head, track_times=False)
        file.create_dataset(_MACHINE, data=machine, track_times=False)
        if len(links):
            file.create_dataset(_LINKS, data=links, track_times=False)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype=_ARRAYS[name], track_times=False)


def load(path: Path | str, graph: Graph | None = None) -> Schedule:
    """Read a schedule that :func:`save` wrote.

    Args:
        path: the ``.fold`` file.
        graph: the graph that it must be for.

    Raises:
        ScheduleError: there is no such file, it is not a ``.fold`` file of this schema, it is damaged, a field is out
            of range, or it is for another graph. The message names the file and the place.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise ScheduleError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(status.st_mode):
        raise ScheduleError(f"{path}: is not a file")
    with _naming(path):
        # h5py takes locks to guard against a writer in the same file; ours replace whole files.
        # A damaged heap can make HDF5 allocate without end: it gets as much as the file has, and some to work with.
        with bounded_memory(_ALLOWANCE + 2 * status.st_size), h5py.File(path, "r", locking=False) as file:
            _check_schema(file)
            left = status.st_size
            head = _read(file, _HEADER, np.dtype("u1"), min(left, _MOST_HEADER)).tobytes()
            text = _read(file, _MACHINE, np.dtype("u1"), min(left, MAX_TEXT_BYTES)).tobytes()
            left -= len(head) + len(text)
            links = np.empty(0, "<i4")
            if file.id.links.exists(_LINKS.encode()):
                links = _read(file, _LINKS, np.dtype("<i4"), min(left, 8 * MAX_LINKS))
            left -= links.nbytes
            arrays = {}
            for name, dtype in _ARRAYS.items():
                arrays[name] = _read(file, name, dtype, left)
                left -= arrays[name].nbytes
        header = _header(head)
        if graph is not None and header["graph_digest"] != graph.digest:
            raise ScheduleError(
                f"the schedule is for graph {header['graph_digest'][:12]}, not for {graph.name}, which is "
                f"{graph.digest[:12]}; fold this graph again"
            )
        if _sha256(arrays, links) != header.pop("sha256"):
            raise ScheduleError("the arrays are damaged: their SHA-256 differs from the header's; fold again")
        machine = _machine(text, links)
        _check(arrays, machine, graph)
    for array in arrays.values():
        array.flags.writeable = False
    fields: dict[str, Any] = {**header, **arrays}
    return Schedule(machine=machine, **fields)


def _sha256(arrays: dict[str, npt.NDArray[Any]], links: npt.NDArray[np.int32]) -> str:
    sha = hashlib.sha256()
    for name, array in {**arrays, **({_LINKS: links} if len(links) else {})}.items():
        sha.update(f"{name} {len(array)}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong into a ScheduleError that begins with the file's name."""
    try:
        yield
    except ScheduleError as error:
        raise ScheduleError(f"{path}: {error}") from error
    except Exception as error:  # HDF5 on damaged files ends in almost any exception: OSError, KeyError, RuntimeError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScheduleError(f"{path}: is not a readable .fold file ({reason}); fold again") from error


def _check_schema(file: h5py.File) -> None:
    if _SCHEMA not in file.attrs:
        raise ScheduleError(f"/: has no attribute {_SCHEMA}; this is not a .fold file")
    handle = h5py.h5a.open(file.id, _SCHEMA.encode())
    if handle.shape != () or handle.dtype != np.dtype("<i8"):
        raise ScheduleError(f"/: attribute {_SCHEMA} is {handle.dtype} {handle.shape}; must be one int64")
    schema = int(file.attrs[_SCHEMA])
    if schema != SCHEMA:
        raise ScheduleError(f"/: schema {schema}; this graphsim reads schema {SCHEMA}; fold again")


def _read(file: h5py.File, name: str, dtype: np.dtype[Any], room: int) -> npt.NDArray[Any]:
    """A dataset with one axis, of at most ``room`` bytes, stored in this file in one piece."""
    if not file.id.links.exists(name.encode()):
        raise ScheduleError(f"/{name}: is missing")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ScheduleError(f"/{name}: is a soft or external link; only what is in the file itself is read")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ScheduleError(f"/{name}: is not a dataset")
    plist = dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count() or plist.get_nfilters():
        raise ScheduleError(f"/{name}: is chunked, compressed, virtual or stored elsewhere; must be contiguous")
    shape = dataset.shape
    if dataset.dtype != dtype or shape is None or len(shape) != 1:
        raise ScheduleError(f"/{name}: is {dataset.dtype} {shape}; must be {dtype} with one axis")
    size = dtype.itemsize * shape[0]
    if size > room or dataset.id.get_storage_size() != size:
        raise ScheduleError(f"/{name}: declares {size:,} bytes; the file does not hold them, or they are too many")
    array = np.empty(shape, dtype)
    if size:
        dataset.read_direct(array)
    return array


def _header(text: bytes) -> dict[str, Any]:
    """The scalar fields of the schedule, and ``sha256``, every one checked."""
    try:
        data = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError):
        raise ScheduleError("/header: is not JSON") from None
    wanted = ("graph_digest", "strategy", "period", "bound", "placement_bound", "remark", "sha256")
    if not isinstance(data, dict) or set(data) - {"buffering", "tile"} != set(wanted):
        raise ScheduleError(f"/header: must have exactly the keys {', '.join(wanted)}")
    for key in ("graph_digest", "strategy", "remark", "sha256"):
        _check_text(key, data[key])
    if data.setdefault("buffering", "single") not in BUFFERING:
        raise ScheduleError(f"/header: buffering must be one of {', '.join(BUFFERING)}")
    for key in ("graph_digest", "sha256"):
        if len(data[key]) != 64 or set(data[key]) - set("0123456789abcdef"):
            raise ScheduleError(f"/header: {key} must be 64 hexadecimal digits")
    _check_whole("period", data["period"], 1)
    _check_whole("tile", data.setdefault("tile", 1), 1)
    for key in ("bound", "placement_bound"):
        value = data[key]
        if not isinstance(value, dict) or set(value) != {"ticks", "kind", "resource", "reason"}:
            raise ScheduleError(f"/header: {key} must have exactly the keys ticks, kind, resource, reason")
        _check_whole(f"{key}.ticks", value["ticks"], 0)
        if value["kind"] not in ("compute", "link", "recurrence"):
            raise ScheduleError(f"/header: {key}.kind must be compute, link or recurrence")
        _check_text(f"{key}.resource", value["resource"])
        _check_text(f"{key}.reason", value["reason"])
        data[key] = Bound(**value)
    return data


def _check_text(key: str, value: object) -> None:
    if not isinstance(value, str) or not value.isprintable() or len(value) > _MOST_TEXT:
        raise ScheduleError(f"/header: {key} must be at most {_MOST_TEXT:,} printable characters")


def _check_whole(key: str, value: object, least: int) -> None:
    if type(value) is not int or not least <= value <= _MOST:
        raise ScheduleError(f"/header: {key} must be a whole number from {least} to {_MOST}")


def _machine(text: bytes, links: npt.NDArray[np.int32]) -> Machine:
    if len(links) % 2:
        raise ScheduleError(f"/{_LINKS}: has {len(links):,} entries; must have two for each link")
    ends = list(zip(links[::2].tolist(), links[1::2].tolist(), strict=True))
    try:
        return parse_machine(text.decode("utf-8"), "/machine", ends)
    except UnicodeDecodeError as error:
        raise ScheduleError(f"/machine: is not UTF-8 at byte {error.start}") from error
    except MachineError as error:
        raise ScheduleError(str(error)) from error


def _check(arrays: dict[str, npt.NDArray[Any]], machine: Machine, graph: Graph | None) -> None:
    """Lengths that agree, ids that exist, ticks and addresses in range."""
    actors, parcels, hops, slots = (len(arrays[name]) for name in ("node", "parcel_node", "hop_link", "slot_node"))
    graph = None if graph is None else unroll(graph).graph
    if graph is not None and actors != graph.actor_count:
        raise ScheduleError(f"/node: has {actors:,} entries; {graph.name} has {graph.actor_count:,} actors")
    lengths = {
        "start": actors,
        "parcel_ptr": parcels + 1,
        "hop_parcel": hops,
        "hop_start": hops,
        "slot_token": slots,
        "slot_address": slots,
        "slot_depth": slots,
    }
    for name, length in lengths.items():
        if len(arrays[name]) != length:
            raise ScheduleError(f"/{name}: has {len(arrays[name]):,} entries; must have {length:,}")
    tokens = 2 * actors if graph is None else actors + len(input_actors(graph))
    ends = {
        "node": (0, len(machine.nodes)),
        "start": (0, _MOST),
        "parcel_node": (0, len(machine.nodes)),
        "parcel_token": (0, tokens),
        "hop_parcel": (0, parcels),
        "hop_link": (0, len(machine.links)),
        "hop_start": (0, _MOST),
        "slot_node": (0, len(machine.nodes)),
        "slot_token": (0, tokens),
        "slot_address": (0, _MOST),
        "slot_depth": (1, _MOST),
    }
    for name, (least, end) in ends.items():
        wrong = np.flatnonzero((arrays[name] < least) | (arrays[name] >= end))
        if len(wrong):
            at = int(wrong[0])
            raise ScheduleError(f"/{name}[{at}]: is {arrays[name][at]}; must be from {least} to {end - 1}")
    ptr = arrays["parcel_ptr"]
    if ptr[0] != 0 or ptr[-1] != len(arrays["parcel_token"]) or np.any(ptr[1:] < ptr[:-1]):
        raise ScheduleError(f"/parcel_ptr: must ascend from 0 to {len(arrays['parcel_token']):,}")
