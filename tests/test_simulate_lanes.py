"""The lanes engine's own parts: weighted sums of every shape, machine code, what it reports and refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from engine_cases import EDGES, assert_same, bits, chain
from graphs import mlp

from graphsim.errors import GraphError, SimulationError
from graphsim.graph import Dense, Group, OneToOne, Ref, Table
from graphsim.graph.ops import ACTIVATIONS
from graphsim.native import has, native, specialise
from graphsim.simulate.lanes import LanesEngine, Way, Ways, engine, loops, sums, tiles
from graphsim.simulate.reference import ReferenceEngine

#: Sizes around every border: lanes, narrow and wide panels, slabs of both, groups of eight and of four terms.
TERMS = (1, 3, 8, 31, 111, 112, 113, 120, 225, 449)
NEURONS = (1, 15, 16, 17, 32, 33, 63, 64, 65, 80, 129)


def left_to_right(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x @ w, each product rounded, added one by one from +0."""
    total = np.zeros((len(x), w.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for k in range(len(w)):
            total = total + x[:, k, None] * w[k]
    return total


def samples(rng: np.random.Generator, shape: tuple[int, int], zeros: float, edges: float) -> np.ndarray:
    values = np.where(rng.random(shape) < zeros, rng.choice([0.0, -0.0], shape), rng.normal(0, 1, shape))
    return np.where(rng.random(shape) < edges, rng.choice(EDGES, shape), values).astype(np.float32)


@pytest.mark.parametrize("way", ["auto", "skip", "dense"])
@pytest.mark.parametrize("terms", TERMS)
def test_sums_of_every_shape(terms: int, way: Way) -> None:
    rng = np.random.default_rng(terms)
    for neurons in NEURONS:
        weight = rng.normal(0, 1, (terms, neurons)).astype(np.float32)
        weight[rng.random(weight.shape) < 0.05] = -0.0
        group = Group(name="g", op="linear", shape=(neurons,))
        engine = LanesEngine(chain(group, terms, Dense(src=1, dst=2, weight=Ref("w")), {"w": weight}), way=way)
        for n, zeros, edges in ((1, 0.5, 0.0), (5, 0.0, 0.0), (7, 1.0, 0.0), (13, 0.9, 0.1), (101, 0.7, 0.0)):
            x = samples(rng, (n, terms), zeros, edges)
            found = engine.run(x, keep=["g"]).values["g"]
            assert np.array_equal(bits(found), bits(left_to_right(x, weight))), (neurons, n)


#: Other CPUs, as far as this one can stand in for them: one without wide registers, and one with wider ones (whose
#: vectors this one splits).
OTHERS = {
    "generic": ({"NUMBA_CPU_NAME": "generic"}, "", 8),
    "avx512": ({}, "native.has = lambda name, real=native.has: name == 'avx512f' or real(name)", 16),
}


@pytest.mark.slow
@pytest.mark.parametrize("cpu", OTHERS)
def test_sums_on_other_cpus(cpu: str, tmp_path: Path) -> None:
    settings, patch, lanes = OTHERS[cpu]
    here = f"{__file__}::test_sums_of_every_shape"
    code = f"""
import sys, pytest
from graphsim import native
{patch}
from graphsim.simulate.lanes import tiles
assert tiles.LANES == {lanes} and native.has("avx2") == ({cpu!r} != "generic" and {has("avx2")})
sys.exit(pytest.main({[f"{here}[{terms}-{way}]" for terms in (113, 449) for way in ("skip", "dense")]}))
"""
    environment = {**os.environ, **settings, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("way", ["skip", "dense"])
def test_sums_over_blocks_and_several_ports(way: Way) -> None:
    rng = np.random.default_rng(5)
    params: dict[str, Any] = {
        "a": rng.normal(0, 1, (40, 20)).astype(np.float32),
        "b": rng.normal(0, 1, (120, 60)).astype(np.float32),
        "t": rng.integers(0, 120, (60, 3)).astype(np.int32),
        "bias": rng.normal(0, 1, 20).astype(np.float32),
    }
    group = Group(name="g", op="linear", shape=(3, 20), params={"bias": Ref("bias")})
    graph = chain(group, 120, Dense(src=1, dst=2, blocks=3, weight=Ref("a")), params)
    more = [Table(src=1, dst=2, port=1, index="t"), Dense(src=1, dst=2, port=2, weight=Ref("b"))]
    graph = type(graph)("blocks", graph.groups, [*graph.channels, *more], params)
    x = samples(rng, (35, 120), 0.4, 0.01)
    assert_same(LanesEngine(graph, way=way).run(x), ReferenceEngine(graph).run(x))


def test_large_graphs_run_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_ROOM", 1)
    graph = mlp(30, 20, 5)
    x = samples(np.random.default_rng(1), (40, 30), 0.3, 0.0)
    assert_same(LanesEngine(graph).run(x), ReferenceEngine(graph).run(x))


@pytest.mark.parametrize("n, block, threads", [(1, 96, 1), (96, 96, 2), (97, 96, 2), (10_000, 96, 2), (5, 1, 8)])
def test_ranges_of_samples_are_whole_blocks_ever_shorter(n: int, block: int, threads: int) -> None:
    spans = engine._spans(n, block, threads)
    assert [first for first, _ in spans] == [0, *(last for _, last in spans[:-1])]
    assert spans[-1][1] == n
    sizes = [last - first for first, last in spans]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size % block == 0 for size in sizes[:-1])
    assert sizes[-1] <= block


@pytest.mark.parametrize("shapes", [[(3, 5)], [(7, 40), (7, 40)], [(1, 1), (130, 200), (2, 3)]])
def test_packed_weights_start_with_a_line_of_the_cache(shapes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    matrices = [rng.normal(0, 1, shape).astype(np.float32) for shape in shapes]
    packed = sums.pack(*matrices)
    assert packed.ctypes.data % 64 == 0
    assert np.array_equal(packed, np.concatenate([sums.pack(matrix) for matrix in matrices]))
    panel = packed[: shapes[0][0] * tiles.NARROW].reshape(-1, tiles.NARROW)
    if shapes[0][1] <= tiles.NARROW:
        assert np.array_equal(panel[:, : shapes[0][1]], matrices[0])
        assert not panel[:, shapes[0][1] :].any()


def test_the_way_follows_the_zeros() -> None:
    graph = mlp(300, 100, 10)
    engine = LanesEngine(graph)
    assert engine.ways == {}
    x = np.ones((200, 300), np.float32)
    engine.run(x)
    assert engine.ways["dense"] == Ways(skip=0, dense=200)
    x[:, 50:] = 0.0
    engine.run(x)
    assert engine.ways["dense"] == Ways(skip=200, dense=0)
    assert set(engine.ways) == {"dense", "dense_1"}


@pytest.mark.parametrize("way", ["skip", "dense"])
def test_a_forced_way_is_used(way: Way) -> None:
    engine = LanesEngine(mlp(30, 20, 5), way=way)
    engine.run(np.ones((9, 30), np.float32))
    expected = Ways(skip=9, dense=0) if way == "skip" else Ways(skip=0, dense=9)
    assert engine.ways == {"dense": expected, "dense_1": expected}


def test_the_environment_does_not_matter_once_prepared() -> None:
    engine = LanesEngine(mlp(30, 20, 5))
    x = np.random.default_rng(0).random((9, 30), dtype=np.float32)
    first = engine.run(x)
    for _ in range(3):
        assert_same(engine.run(x), first)


def test_no_threads_are_refused() -> None:
    with pytest.raises(SimulationError, match="0 threads"):
        LanesEngine(mlp(6, 5, 3), threads=0)


def test_indices_out_of_range_never_reach_native_code() -> None:
    index = {"t": np.array([[3]], np.int32)}
    graph = chain(Group(name="g", op="sum", shape=(1,)), 3, Table(src=1, dst=2, index="t"), index)
    with pytest.raises(GraphError, match=r"index t names producers outside 0\.\.2"):
        LanesEngine(graph)


@pytest.mark.parametrize("held", [1, 2, 7])
def test_what_was_made_samples_ago_is_read(held: int) -> None:
    start = {"start": np.array([3, -1, 2], np.float32)}
    late = OneToOne(src=1, dst=2, initial_tokens=held, initial=Ref("start"))
    graph = chain(Group(name="g", op="sum", shape=(3,)), 3, late, start)
    x = np.random.default_rng(1).random((5, 3), dtype=np.float32)
    found = LanesEngine(graph).run(x).values["g"]
    np.testing.assert_array_equal(found, np.concatenate([np.tile(start["start"], (held, 1)), x])[:5])
    assert_same(LanesEngine(graph, threads=3).run(x), ReferenceEngine(graph).run(x))


def test_numba_comes_with_the_first_engine_only() -> None:
    code = "import sys, graphsim.simulate.lanes; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
_FUSED = re.compile(r"\bv?f(n?m(add|sub|addsub|subadd)|mla|mls)\w*\s", re.IGNORECASE)
#: Flags that allow LLVM to fuse or to reassociate.
_LOOSE = re.compile(r"\bf(add|sub|mul|div)\s+(fast|contract|reassoc|arcp)\b|llvm\.(fma|fmuladd)")


def _machine_code(function: Any, signature: str) -> tuple[str, str]:
    """LLVM's and the machine's code of a function, compiled here and now."""
    compiled = numba.njit(signature, **_OPTIONS)(function)
    (ir,), (code,) = compiled.inspect_llvm().values(), compiled.inspect_asm().values()
    return ir, code


@pytest.mark.slow
def test_weighted_sums_are_not_fused() -> None:
    ir, code = _machine_code(sums.accumulate, f"int64({', '.join(['int64'] * 11)})")
    assert not _LOOSE.search(ir)
    assert not _FUSED.search(code)
    adds, products = (re.findall(rf"f{op} <{tiles.LANES} x float>", ir) for op in ("add", "mul"))
    assert len(adds) == len(products) > 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "gelu", "mish", "squareplus"])
def test_activations_are_not_fused(name: str) -> None:
    template = loops._ACTIVATE[len(ACTIVATIONS[name].args)]
    function = specialise(template, name, _rule=native(ACTIVATIONS[name].rule))
    ir, code = _machine_code(function, loops.ACTIVATE)
    assert not _LOOSE.search(ir)
    assert not _FUSED.search(code)
    assert "mul" in code


@pytest.mark.skipif(not has("fma"), reason="this CPU has no fused instructions")
def test_fused_instructions_would_be_found() -> None:
    compiled = numba.njit("float64(float64, float64, float64)", fastmath=True)(lambda a, b, c: a * b + c)
    assert _LOOSE.search(next(iter(compiled.inspect_llvm().values())))
    assert _FUSED.search(next(iter(compiled.inspect_asm().values())))
