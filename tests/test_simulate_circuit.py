"""The circuit engine gives the reference's bits, compiled and interpreted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from circuits import circuits, evaluate
from engine_cases import assert_same
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphsim.errors import SimulationError
from graphsim.graph.circuit import VARIABLES, Circuit, pack, to_graph
from graphsim.pipeline import default_engine, make_engine
from graphsim.simulate.circuit import (
    CircuitEngine,
    PackedCircuit,
    Way,
    code,
    engine,
    interpreter,
    kept,
    packed,
    ternary,
)
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.reference import ReferenceEngine

WAYS: tuple[Way, ...] = ("compiled", "interpreted")
ways = pytest.mark.parametrize("way", WAYS)
several = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled circuits go where they are in nobody's way."""
    path = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "folder", lambda: path)
        yield path


def made(inputs: int, rows: list[list[int]], truth: list[int], outputs: list[int], **more: Any) -> Circuit:
    indptr, index = pack(rows)
    return Circuit(
        name="made",
        input_names=tuple(f"i{n}" for n in range(inputs)),
        output_names=tuple(f"o{n}" for n in range(len(outputs))),
        outputs=np.array(outputs, np.int32),
        indptr=indptr,
        index=index,
        truth=np.array(truth, np.uint64),
        **{"initial": np.zeros(0, np.bool_), "following": np.zeros(0, np.int32), **more},
    )


def words(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(0, 2**64, shape, np.uint64)


def lane(values: Any, number: int) -> Any:
    """The bits of one lane: the last axis is words."""
    return (values[..., number // 64] >> np.uint64(number % 64) & np.uint64(1)).astype(int)


@several
@given(circuit=circuits(), seed=st.integers(0, 2**32 - 1), cycles=st.integers(1, 5))
def test_streams_are_those_of_the_evaluator(circuit: Circuit, seed: int, cycles: int) -> None:
    inputs = words(np.random.default_rng(seed), cycles, circuit.input_count, 2)
    found = [PackedCircuit(circuit, way=way).run_cycles(inputs) for way in WAYS]
    assert np.array_equal(found[0], found[1])
    for number in (0, 63, 77):
        assert lane(found[0], number).tolist() == evaluate(circuit, lane(inputs, number).tolist())


@several
@given(circuit=circuits(), seed=st.integers(0, 2**32 - 1), n=st.integers(0, 70))
def test_samples_are_those_of_the_reference(circuit: Circuit, seed: int, n: int) -> None:
    graph = to_graph(circuit)
    samples = np.random.default_rng(seed).integers(0, 2, (n, max(1, circuit.input_count))).astype(np.float32)
    expected = ReferenceEngine(graph).run(samples)
    for way in WAYS:
        found = CircuitEngine(graph, way=way).run(samples)
        assert_same(found, expected)
        assert found.note.split(",")[0] == (way if n else "")
    shown = CircuitEngine(graph).run(samples, keep="outputs")
    assert_same(shown, ReferenceEngine(graph).run(samples, keep="outputs"))


@ways
@pytest.mark.parametrize("many", [0, 1, 7, 8, 9, 16, 130])
def test_any_number_of_words(way: Way, many: int) -> None:
    circuit = made(3, [[0, 1, 2], [0, 1], [3, 4]], [0x96, 0x8, 0x6], [5, 3, 0, 3])
    a, b, c = inputs = words(np.random.default_rng(many), 3, many)
    found = PackedCircuit(circuit, way=way).run(inputs)
    assert np.array_equal(found, np.array([a ^ b ^ c ^ (a & b), a ^ b ^ c, a, a ^ b ^ c]).reshape(4, many))


@ways
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_matter(way: Way, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_WORTH_A_THREAD", 1)
    circuit = made(
        2,
        [[0, 1], [0, 2]],
        [0x8, 0x6],
        [3],
        following=np.array([4], np.int32),
        initial=np.array([True]),
        register_names=("r",),
    )
    inputs = words(np.random.default_rng(3), 6, 2, 333)
    one, many = (PackedCircuit(circuit, way=way, threads=n).run_cycles(inputs) for n in (1, threads))
    assert np.array_equal(one, many)


@ways
def test_streams_go_on_from_a_state(way: Way) -> None:
    # A counter of two bits.
    registers = {
        "following": np.array([2, 3], np.int32),
        "initial": np.array([False, True]),
        "register_names": ("a", "b"),
    }
    circuit = made(0, [[0], [0, 1]], [1, 6], [0, 1], **registers)
    ready = PackedCircuit(circuit, way=way)
    whole = ready.run_cycles(np.zeros((7, 0, 1), np.uint64))
    state = ready.initial(1)
    parts = [ready.run_cycles(np.zeros((n, 0, 1), np.uint64), state) for n in (3, 4)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert [int(a & 1) + 2 * int(b & 1) for a, b in whole[:, :, 0]] == [2, 3, 0, 1, 2, 3, 0]


@ways
def test_a_deep_chain(way: Way) -> None:
    n = 100_000
    rows = [[0, 1], *([i % 2, i + 1] for i in range(1, n))]
    circuit = made(2, rows, [0x6 if i % 3 else 0x7 for i in range(n)], [n + 1])
    inputs = words(np.random.default_rng(0), 2, 1)
    given = inputs[:, 0].tolist()
    expected = ~(given[0] & given[1])
    for i in range(1, n):
        expected = given[i % 2] ^ expected if i % 3 else ~(given[i % 2] & expected)
    assert int(PackedCircuit(circuit, way=way).run(inputs)[0, 0]) == expected % 2**64


@ways
def test_what_needs_no_gates(way: Way) -> None:
    circuit = made(2, [], [], [1, 0, 1])
    inputs = words(np.random.default_rng(0), 2, 3)
    assert np.array_equal(PackedCircuit(circuit, way=way).run(inputs), inputs[[1, 0, 1]])
    shift = made(
        1, [], [], [2], register_names=("a", "b"), following=np.array([0, 1], np.int32), initial=np.array([True, False])
    )
    stream = words(np.random.default_rng(1), 4, 1, 1)
    ones = np.full((1, 1), 2**64 - 1, np.uint64)
    assert np.array_equal(PackedCircuit(shift, way=way).run_cycles(stream), [ones * 0, ones, stream[0], stream[1]])


@pytest.mark.parametrize("k", [4, 5, 6])
def test_wide_gates_are_taken_apart(k: int) -> None:
    rng = np.random.default_rng(k)
    inputs = np.array([[word] for word in VARIABLES[:k]], np.uint64)
    most = (1 << (1 << k)) - 1
    trees = [most - 1, 1 << ((1 << k) - 1), sum((m.bit_count() & 1) << m for m in range(1 << k))]
    for truth in [*trees, *(int(word) & most for word in words(rng, 40))]:
        ready = PackedCircuit(made(k, [list(range(k))], [truth], [k]), way="interpreted")
        assert int(ready.run(inputs)[0, 0]) & most == truth
        assert ready.operations <= (k // 2 if truth in trees else {4: 3, 5: 7, 6: 15}[k])


def test_a_cover_finds_adders() -> None:
    """The sum and the carry of three bits, in nine gates, are two operations."""
    rows = [[0, 1], [0, 1], [3, 4], [2, 5], [2, 5], [6, 7], [0, 1], [2, 5], [9, 10]]
    truth = [0x4, 0x2, 0xE, 0x4, 0x2, 0xE, 0x8, 0x8, 0xE]
    assert PackedCircuit(made(3, rows, truth, [8, 11])).operations == 2


def test_tables_without_ternary_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for CPUs that have and, or and xor only."""
    circuit = made(3, [[0, 1, 2]] * 256, list(range(256)), list(range(3, 259)))
    inputs = np.array([[0xAA], [0xCC], [0xF0]], np.uint64)
    assert PackedCircuit(circuit, way="compiled").run(inputs)[:, 0].astype(np.uint8).tolist() == list(range(256))
    monkeypatch.setattr(code, "_TERNARY", False)
    net = ternary.network(circuit, circuit.outputs)
    translated = packed._translated(net, 256, 3)
    linked = code.Linked(translated["code"].tobytes(), "block")
    ready = packed._Ready(
        linked.address["block"],
        int(translated["slots"]),
        1,
        translated["shown"],
        translated["following"],
        int(translated["split"]),
    )
    found = np.zeros((1, 256, 1), np.uint64)
    ready.run(inputs[None], found, np.zeros((0, 1), np.uint64), 0, 1)
    assert found[0, :, 0].astype(np.uint8).tolist() == list(range(256))


def test_the_interpreter_has_a_piece_of_code_for_each_kind() -> None:
    found, kind, inputs = interpreter.kinds()
    assert len(found) == 80
    for table in range(256):
        for m in range(8):
            asked = sum((m >> int(inputs[table, i]) & 1) << i for i in range(3))
            assert found[kind[table]] >> asked & 1 == table >> m & 1


def test_code_is_kept(folder: Path) -> None:
    circuit = made(2, [[0, 1], [0, 2]], [0x8, 0x6], [3])
    inputs = words(np.random.default_rng(0), 2, 5)
    first = PackedCircuit(circuit, way="compiled")
    expected = first.run(inputs)
    assert not first.was_kept
    again = PackedCircuit(circuit)
    assert np.array_equal(again.run(inputs), expected)
    assert (again.was_kept, again.ran) == (True, "compiled")
    assert not PackedCircuit(made(2, [[0, 1], [0, 2]], [0x8, 0x7], [3]), way="compiled").was_kept
    (path,) = (p for p in folder.iterdir() if p.name == again._key)
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"x"):
        path.write_bytes(damaged)
        anew = PackedCircuit(circuit, way="compiled")
        assert np.array_equal(anew.run(inputs), expected)
        assert not anew.was_kept
    assert path.read_bytes() == whole


def test_without_a_folder_it_is_compiled_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(kept, "folder", lambda: tmp_path / "file" / "kept")
    circuit = made(2, [[0, 1]], [0x6], [2])
    inputs = words(np.random.default_rng(0), 2, 5)
    for _ in range(2):
        ready = PackedCircuit(circuit, way="compiled")
        assert np.array_equal(ready.run(inputs)[0], inputs[0] ^ inputs[1])
        assert not ready.was_kept


def test_what_pays_is_compiled() -> None:
    rng = np.random.default_rng(5)
    rows = [sorted(rng.choice(8 + g, 3, replace=False).tolist()) for g in range(300)]
    circuit = made(8, rows, rng.integers(1, 255, 300).tolist(), list(range(8, 308)))
    ready = PackedCircuit(circuit)
    first = ready.run(words(rng, 8, 1))
    assert first.shape == (300, 1)
    assert ready.ran == "interpreted"
    ready.run(words(rng, 8, 400_000))
    assert ready.ran == "compiled"


def test_samples_that_are_no_bits_are_refused() -> None:
    ready = CircuitEngine(to_graph(made(2, [[0, 1]], [0x6], [2])))
    with pytest.raises(SimulationError, match=r"input i1 is 0\.5 in sample 1; a circuit takes 0 and 1"):
        ready.run(np.array([[0, 1], [1, 0.5]], np.float32))
    with pytest.raises(SimulationError, match="takes uint64 words of 2 inputs"):
        ready.run_words(np.zeros((3, 4), np.uint64))


def test_graphs_go_to_their_engines() -> None:
    graph, net = to_graph(made(2, [[0, 1]], [0x6], [2])), mlp(3, 2, 2)
    assert (default_engine(graph), default_engine(net)) == ("circuit", "lanes")
    assert isinstance(make_engine("circuit", graph, None), CircuitEngine)  # type: ignore[arg-type]
    with pytest.raises(SimulationError, match="is a circuit; use the circuit engine"):
        LanesEngine(graph)
    with pytest.raises(SimulationError, match="is not a graph of gates; use the lanes engine"):
        CircuitEngine(net)


def test_long_runs_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_ROOM", 64)
    done: list[int] = []
    for registers in (
        {},
        {"register_names": ("r",), "following": np.array([3], np.int32), "initial": np.array([True])},
    ):
        circuit = made(2, [[0, 1], [0, 2]], [0x6, 0xE], [3, 2], **registers)
        graph = to_graph(circuit)
        samples = np.random.default_rng(0).integers(0, 2, (150, 2)).astype(np.float32)
        found = CircuitEngine(graph, way="interpreted").run(samples, progress=done.append)
        assert_same(found, ReferenceEngine(graph).run(samples))
        assert done[-1] == 150
        assert len(done) > 2
