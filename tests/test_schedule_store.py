"""The .fold file: a faithful round trip, and a hard time for files that are not what they claim."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_cases import machines

from graphsim.errors import MachineError, ScheduleError
from graphsim.machine import Machine, load_machine
from graphsim.schedule import Schedule, fold
from graphsim.schedule.store import load, save

GRAPH = mlp(12, 6, 3)
SCHEDULE = fold(GRAPH, load_machine("star:4"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "s.fold"
    save(SCHEDULE, path)
    return path


def equal(a: Schedule, b: Schedule) -> bool:
    return all(
        np.array_equal(x, y) and x.dtype == y.dtype if isinstance(x, np.ndarray) else x == y
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


@given(machines())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_schedule_comes_back_as_it_was(tmp_path: Path, machine: Machine) -> None:
    schedule = fold(GRAPH, machine)
    save(schedule, tmp_path / "s.fold")
    assert equal(load(tmp_path / "s.fold", GRAPH), schedule)


def test_equal_schedules_give_equal_bytes(saved: Path, tmp_path: Path) -> None:
    save(load(saved), tmp_path / "again.fold")
    assert (tmp_path / "again.fold").read_bytes() == saved.read_bytes()


def test_links_of_a_machine_that_is_no_built_in_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With them the text of a machine that is made for a large graph would be too long to be saved."""
    path = tmp_path / "s.fold"
    made = load_machine("one-to-one", GRAPH)
    slow = dataclasses.replace(made.links[3], latency=9)
    schedule = fold(GRAPH, dataclasses.replace(made, links=(*made.links[:3], slow, *made.links[4:])))
    monkeypatch.setattr("graphsim.machine.writer.MAX_FILE_BYTES", 1_000)
    with pytest.raises(MachineError, match="its description is larger"):
        schedule.machine.to_toml()
    save(schedule, path)
    assert equal(load(path, GRAPH), schedule)
    with h5py.File(path, "r+") as file:
        assert file["links"].shape == (2 * len(made.links),)
        assert b"links = " not in bytes(file["machine"][()])
        file["links"][1] += 1
    with pytest.raises(ScheduleError, match="the arrays are damaged"):
        load(path, GRAPH)


def test_loaded_arrays_are_read_only(saved: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        load(saved).start[0] = 1


def test_a_schedule_for_another_graph_is_refused(saved: Path) -> None:
    with pytest.raises(ScheduleError, match=r"s\.fold: the schedule is for graph .*, not for mlp"):
        load(saved, mlp(12, 6, 3, seed=1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=r"none\.fold: cannot be read"):
        load(tmp_path / "none.fold")


def replace_dataset(name: str, data: object, **options: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=data, **options)

    return change


def change_header(**fields: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        header = json.loads(bytes(file["header"][()]))
        header.update(fields)
        replace_dataset("header", np.frombuffer(json.dumps(header).encode(), np.uint8))(file)

    return change


def add(name: str, data: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.create_dataset(name, data=data)

    return change


def delete(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def link_away(file: h5py.File) -> None:
    del file["start"]
    file["start"] = h5py.ExternalLink("/etc/passwd", "/start")


def claim_much(file: h5py.File) -> None:
    del file["start"]
    file.create_dataset("start", shape=(2**40,), dtype="<i8")


def drop_schema(file: h5py.File) -> None:
    del file.attrs["graphsim_fold_schema"]


def other_schema(file: h5py.File) -> None:
    file.attrs.create("graphsim_fold_schema", 7, dtype="<i8")


def other_byte(file: h5py.File) -> None:
    file["start"][3] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (delete("start"), "/start: is missing"),
        (link_away, "/start: is a soft or external link"),
        (claim_much, "/start: declares 8,796,093,022,208 bytes"),
        (drop_schema, "has no attribute graphsim_fold_schema"),
        (other_schema, "schema 7; this graphsim reads schema 1"),
        (other_byte, "the arrays are damaged"),
        (replace_dataset("start", np.zeros(5)), r"/start: is float64 \(5,\); must be int64"),
        (replace_dataset("start", np.zeros((2, 3), "<i8")), r"/start: is int64 \(2, 3\)"),
        (replace_dataset("start", np.zeros(9, "<i8"), chunks=(3,)), "/start: is chunked"),
        (replace_dataset("header", np.frombuffer(b"{", np.uint8)), "/header: is not JSON"),
        (replace_dataset("header", np.frombuffer(b"[" * 9999, np.uint8)), "/header: is not JSON"),
        (replace_dataset("header", np.frombuffer(b"[]", np.uint8)), "/header: must have exactly the keys"),
        (replace_dataset("header", np.zeros(99_999, np.uint8)), "/header: declares 99,999 bytes"),
        (change_header(period=0), "/header: period must be a whole number from 1"),
        (change_header(period=True), "/header: period must be a whole number"),
        (change_header(period=10**4000), "/header: period must be a whole number"),
        (change_header(strategy="\n"), "/header: strategy must be at most 1,000 printable characters"),
        (change_header(graph_digest="x" * 64), "/header: graph_digest must be 64 hexadecimal digits"),
        (change_header(bound={"ticks": 1}), "/header: bound must have exactly the keys"),
        (
            change_header(bound={"ticks": 1, "kind": "magic", "resource": "", "reason": ""}),
            "/header: bound.kind must be compute, link or recurrence",
        ),
        (replace_dataset("machine", np.frombuffer(b"\xff", np.uint8)), "/machine: is not UTF-8"),
        (replace_dataset("machine", np.frombuffer(b"topology = 3", np.uint8)), "/machine:1: topology"),
        (add("links", np.zeros(4, "<i4")), "the arrays are damaged"),
        (add("links", np.zeros((2, 2), "<i4")), r"/links: is int32 \(2, 2\)"),
    ],
)
def test_a_file_that_lies_is_refused_with_the_place(
    saved: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    with h5py.File(saved, "r+") as file:
        change(file)
    with pytest.raises(ScheduleError, match=message) as error:
        load(saved, None)
    assert str(error.value).startswith(str(saved))


@pytest.mark.parametrize(
    ("name", "at", "value", "message"),
    [
        ("node", 2, 99, r"/node\[2\]: is 99; must be from 0 to 4"),
        ("start", 0, -1, r"/start\[0\]: is -1"),
        ("parcel_ptr", 1, 10**6, "/parcel_ptr: must ascend"),
        ("parcel_token", 0, 10**6, r"/parcel_token\[0\]"),
        ("hop_link", 0, -1, r"/hop_link\[0\]: is -1"),
        ("hop_parcel", 0, 10**6, r"/hop_parcel\[0\]"),
        ("slot_depth", 0, 0, r"/slot_depth\[0\]: is 0; must be from 1"),
        ("slot_address", 0, -8, r"/slot_address\[0\]: is -8"),
    ],
)
def test_fields_out_of_range_are_refused(tmp_path: Path, name: str, at: int, value: int, message: str) -> None:
    node = SCHEDULE.node.copy()
    node[GRAPH.first[2] : GRAPH.first[3]] = np.arange(6) % 4
    schedule = fold(GRAPH, SCHEDULE.machine, placement=node)
    array = getattr(schedule, name).copy()
    array[at] = value
    save(dataclasses.replace(schedule, **{name: array}), tmp_path / "s.fold")
    with pytest.raises(ScheduleError, match=message):
        load(tmp_path / "s.fold", GRAPH)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_never_end_in_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "d.fold"
    save(SCHEDULE, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4), label="flips")):
        content[data.draw(st.integers(0, len(content) - 1), label="at")] ^= data.draw(st.integers(1, 255), label="bits")
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))), label="end")
    path.write_bytes(content[:end])
    try:
        loaded = load(path, GRAPH)
    except ScheduleError as error:
        assert str(error).startswith(str(path))
    else:
        assert np.array_equal(loaded.start, SCHEDULE.start)
