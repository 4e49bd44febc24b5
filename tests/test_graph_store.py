from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from strategies import graphs

from graphsim.errors import GraphError, UsageError
from graphsim.files import bounded_memory
from graphsim.graph import Graph
from graphsim.graph.store import load, save
from graphsim.graph.text import dump, parse


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs(rates=True))
def test_what_is_saved_is_loaded(tmp_path: Path, graph: Graph) -> None:
    save(graph, tmp_path / "g.gsim")
    back = load(tmp_path / "g.gsim")
    assert dump(back) == dump(graph)
    assert {k: v.tobytes() for k, v in back.params.items()} == {k: v.tobytes() for k, v in graph.params.items()}
    assert not any(v.flags.writeable for v in back.params.values())


def test_equal_graphs_give_equal_bytes_at_any_time(tmp_path: Path) -> None:
    save(mlp(), tmp_path / "a.gsim")
    time.sleep(1.1)  # HDF5 counts whole seconds where it keeps times
    save(mlp(), tmp_path / "b.gsim")
    assert (tmp_path / "a.gsim").read_bytes() == (tmp_path / "b.gsim").read_bytes()


def test_the_file_holds_the_text_and_every_param_once(tmp_path: Path) -> None:
    graph = mlp(20, 10, 5)
    save(graph, tmp_path / "g.gsim")
    with h5py.File(tmp_path / "g.gsim") as file:
        assert dict(file.attrs) == {"graphsim_schema": 1, "graphsim_digest": graph.digest.encode()}
        assert bytes(file["text"][...]).decode() == dump(graph)
        for number, array in enumerate(graph.params.values()):
            np.testing.assert_array_equal(file["params"][str(number)], array)
    params = sum(v.nbytes for v in graph.params.values())
    assert (tmp_path / "g.gsim").stat().st_size < params + len(dump(graph)) + 8192


def test_a_graph_that_breaks_a_rule_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="are missing"):
        save(parse(dump(mlp(3, 2, 2))), tmp_path / "g.gsim")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(mlp(3, 2, 2), tmp_path / "g.gsim")
    before = (tmp_path / "g.gsim").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "create_group", fail)
    with pytest.raises(OSError, match="disk full"):
        save(mlp(4, 2, 2), tmp_path / "g.gsim")
    assert [p.name for p in tmp_path.iterdir()] == ["g.gsim"]
    assert (tmp_path / "g.gsim").read_bytes() == before


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write here"):
        save(mlp(3, 2, 2), tmp_path / "file" / "g.gsim")


# Hostile files. Each case changes a good file of mlp(3, 2, 2) with h5py, as an attacker could.

Edit = Callable[[h5py.File], None]


def _replace(name: str, **create: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **create)

    return edit


def _link(name: str, link: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = link

    return edit


def _delete(name: str) -> Edit:
    return lambda file: file.__delitem__(name)


def _text(change: Callable[[str], str]) -> Edit:
    def edit(file: h5py.File) -> None:
        text = change(bytes(file["text"][...]).decode())
        del file["text"]
        file.create_dataset("text", data=np.frombuffer(text.encode("latin-1"), np.uint8))

    return edit


def _virtual(file: h5py.File) -> None:
    del file["params/1"]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[...] = h5py.VirtualSource("elsewhere.h5", "x", (3, 2))
    file["params"].create_virtual_dataset("1", layout)


def _element(file: h5py.File) -> None:
    file["params/1"][0, 0] += 1


def _wrong_digest(file: h5py.File) -> None:
    file.attrs.create("graphsim_digest", np.bytes_(b"0" * 64), dtype="S64")


def _attribute(name: str, value: object, **options: object) -> Edit:
    return lambda file: file.attrs.create(name, value, **options)


def _never_written(file: h5py.File) -> None:
    del file["params/1"]
    space = h5py.h5s.create_simple((2**40,))
    h5py.h5d.create(file["params"].id, b"1", h5py.h5t.IEEE_F32LE, space)


HOSTILE: dict[str, tuple[Edit, str]] = {
    "no schema": (
        lambda f: f.attrs.__delitem__("graphsim_schema"),
        "no attribute graphsim_schema; this is not a .gsim",
    ),
    "later schema": (_attribute("graphsim_schema", 2, dtype="<i8"), "schema 2; this graphsim reads schema 1"),
    "schema as text": (_attribute("graphsim_schema", "one"), "attribute graphsim_schema is .*must be one int64"),
    "schema as array": (_attribute("graphsim_schema", np.zeros(4000, "<i8")), "attribute graphsim_schema is .*4000"),
    "no digest": (lambda f: f.attrs.__delitem__("graphsim_digest"), "no attribute graphsim_digest"),
    "digest of any length": (_attribute("graphsim_digest", "abc"), "attribute graphsim_digest is"),
    "another graph's digest": (_wrong_digest, "the file says 0000"),
    "no text": (_delete("text"), "/text: is missing"),
    "text as floats": (_replace("text", data=np.zeros(9, np.float32)), "/text: is float32"),
    "text of two axes": (_replace("text", data=np.zeros((3, 3), np.uint8)), "/text: is uint8"),
    "text as string": (_replace("text", data="graphsim text 1"), "/text: "),
    "text as a group": (lambda f: (f.__delitem__("text"), f.create_group("text"))[0], "/text: is not a dataset"),
    "text not ASCII": (_text(lambda t: t + "é"), "/text: is not ASCII at byte"),
    "text that does not parse": (_text(lambda t: t + "more\n"), "/text: line 26: 'more' is none of"),
    "text that breaks a rule": (_text(lambda t: t.replace("argmax", "linear")), "no group has one of the ops argmax"),
    "text of another graph": (_text(lambda t: t.replace("relu", "tanh")), "the graph's digest is"),
    "text that claims 10**18 actors": (
        _text(lambda t: t.replace("input [3]", f"input [{10**18 - 1}]")),
        "can be numbered",
    ),
    "no params": (_delete("params"), "/params: is missing"),
    "params as a dataset": (_replace("params", data=np.zeros(3)), "/params: is not a group"),
    "a param missing": (_delete("params/2"), "/params: 3 arrays; the text declares 4"),
    "a param too many": (lambda f: f["params"].create_dataset("4", data=[1]), "/params: 5 arrays; the text declares 4"),
    "a param of another name": (lambda f: f.move("params/2", "params/x"), "/params/2: is missing"),
    "a param of another shape": (
        _replace("params/1", data=np.zeros((2, 3), np.float32)),
        r"/params/1: is float32 \(2, 3\)",
    ),
    "a param of another dtype": (_replace("params/1", data=np.zeros((3, 2))), "/params/1: is float64"),
    "a param of the other byte order": (_replace("params/1", data=np.zeros((3, 2), ">f4")), "/params/1: is >f4"),
    "a param of strings": (_replace("params/1", data=["a", "b"]), "/params/1: "),
    "a param of references": (_replace("params/1", shape=(3, 2), dtype=h5py.ref_dtype), "/params/1: "),
    "a param without a shape": (_replace("params/1", data=h5py.Empty("f4")), "/params/1: "),
    "a param with another element": (_element, "param 'dense/kernel' is .* with SHA-256"),
    "a soft link": (_link("params/1", h5py.SoftLink("/text")), "/params/1: is a soft or external link"),
    "a dangling link": (_link("params/1", h5py.SoftLink("/nowhere")), "/params/1: is a soft or external link"),
    "a link to itself": (_link("params", h5py.SoftLink("/params")), "/params: is a soft or external link"),
    "an external link": (_link("params/1", h5py.ExternalLink("/etc/passwd", "/")), "/params/1: is a soft or external"),
    "external text": (_link("text", h5py.ExternalLink("other.h5", "/text")), "/text: is a soft or external link"),
    "a virtual dataset": (_virtual, "/params/1: is chunked, compressed, virtual or stored elsewhere"),
    "external storage": (
        _replace("params/1", shape=(3, 2), dtype="f4", external=[("/etc/passwd", 0, 24)]),
        "/params/1: is chunked, compressed, virtual or stored elsewhere",
    ),
    "chunks": (_replace("params/1", data=np.zeros((3, 2), "f4"), chunks=(1, 2)), "/params/1: is chunked"),
    "a compression bomb": (
        _replace("text", shape=(2**36,), dtype="u1", compression="gzip", chunks=(2**20,)),
        "/text: is chunked, compressed",
    ),
    "a shape of 2**40 elements, never written": (_never_written, r"/params/1: is float32 \(1099511627776,\)"),
    "text of 2**40 bytes, never written": (
        _replace("text", shape=(2**40,), dtype="u1"),
        "/text: declares 1,099,511,627,776",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused_with_file_and_place(tmp_path: Path, case: str) -> None:
    path = tmp_path / "hostile.gsim"
    save(mlp(3, 2, 2), path)
    edit, message = HOSTILE[case]
    with h5py.File(path, "r+") as file:
        edit(file)
    tracemalloc.start()
    try:
        with pytest.raises(GraphError, match=message) as caught:
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_many_params_on_one_storage_do_not_multiply_memory(tmp_path: Path) -> None:
    """Hard links let a small file pass for a large one: all params together must fit into the file."""
    path = tmp_path / "bomb.gsim"
    save(mlp(3, 2, 2), path)
    digest, count, size = "0" * 64, 50, 100_000
    with h5py.File(path, "r+") as file:
        del file["params"], file["text"]
        file["params/0"] = np.zeros(size, np.float32)
        for number in range(1, count):
            file[f"params/{number}"] = file["params/0"]
        lines = [
            "graphsim text 1",
            "graph g",
            *(f"param p{i:02} float32 [{size}] sha256={digest}" for i in range(count)),
        ]
        file["text"] = np.frombuffer("\n".join(lines).encode(), np.uint8)
    with pytest.raises(GraphError, match="/params/1: declares 400,000 bytes; the file does not hold them"):
        load(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "cannot be read"),
        (lambda p: p.mkdir(), "is not a file"),
        (os.mkfifo, "is not a file"),
        (lambda p: p.write_bytes(b""), "is not a readable HDF5 file"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "is not a readable HDF5 file"),
        (lambda p: p.write_text("graphsim text 1\n"), "is not a readable HDF5 file"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "x.gsim")
    with pytest.raises(GraphError, match=rf"x\.gsim: {message}"):
        load(tmp_path / "x.gsim")


def test_truncated_files_are_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "g.gsim"
    save(mlp(3, 2, 2), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises(GraphError, match=r"g\.gsim: "):
            load(path)


def test_flipped_bits_are_refused_or_harmless(tmp_path: Path) -> None:
    """Either the flip is refused, or it hit a byte that means nothing, and the graph is bit for bit the one saved."""
    path, rng = tmp_path / "g.gsim", random.Random(2)
    graph = mlp(3, 2, 2)
    save(graph, path)
    whole = path.read_bytes()
    refused = 0
    for _ in range(800):
        damaged = bytearray(whole)
        at = rng.randrange(len(whole))
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert load(path).digest == graph.digest
        except GraphError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
    assert refused > 250


def test_an_endless_free_list_ends_in_an_error(tmp_path: Path) -> None:
    """A local heap whose free list leads round in a circle: HDF5 1.14 follows it and allocates at every step."""
    path = tmp_path / "g.gsim"
    save(mlp(3, 2, 2), path)
    data = bytearray(path.read_bytes())
    at, heaps = data.find(b"HEAP"), 0
    while at >= 0:
        size, _, segment = struct.unpack_from("<QQQ", data, at + 8)
        struct.pack_into("<Q", data, at + 16, 8)  # the list begins at offset 8 of the heap's segment ...
        struct.pack_into("<QQ", data, segment + 8, 8, size - 8)  # ... where a free block says that itself is the next
        heaps, at = heaps + 1, data.find(b"HEAP", at + 1)
    assert heaps == 2
    path.write_bytes(data)
    with pytest.raises(GraphError, match="is not a readable HDF5 file"):
        load(path)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a process its size")
def test_bounded_memory_makes_large_allocations_fail_and_lifts_the_limit_again() -> None:
    with bounded_memory(64 << 20), pytest.raises(MemoryError):
        np.ones(32 << 20)
    assert np.ones(32 << 20).nbytes == 256 << 20
