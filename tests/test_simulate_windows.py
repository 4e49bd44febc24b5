"""The lanes engine on window bundles: convolutions of every layout, padding, pooling, sums, chains and places."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from engine_cases import FloatArray, assert_same, chain, wild_samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import graphs

from graphsim.graph import Axis, Channel, Csr, Dense, Graph, Group, OneToOne, Ref, Window
from graphsim.simulate.engine import Keep
from graphsim.simulate.lanes import LanesEngine, Way, engine, program
from graphsim.simulate.reference import ReferenceEngine


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Units of a few actors and blocks of a few samples, so that small graphs have many."""
    monkeypatch.setattr(program, "_UNIT", 1)
    monkeypatch.setattr(program, "_UNIT_ROWS", 2)
    monkeypatch.setattr(engine, "_LEAST", 2)
    monkeypatch.setattr(engine, "_MOST", 2)
    yield


def values(shape: tuple[int, ...], seed: int = 0, zeros: float = 0.3) -> FloatArray:
    rng = np.random.default_rng(seed)
    found = np.where(rng.random(shape) < zeros, rng.choice([0.0, -0.0], shape), rng.normal(0, 1, shape))
    return found.astype(np.float32)


def row(n: int, k: int, step: int, *, stride: int = 1, dilation: int = 1, same: bool = True) -> Axis:
    """A spatial axis of a convolution; ``step``: of its taps in the kernel."""
    reach = (k - 1) * dilation
    m = -(-n // stride) if same else (n - reach - 1) // stride + 1
    pad = max(0, (m - 1) * stride + reach + 1 - n) // 2 if same else 0
    return Axis(n, m, k, stride, dilation, 1, pad, weight_tap=step)


#: Kernels are (y, x, channels, filters) but where it says otherwise; axes in the order of the consumers'.
CONVOLUTIONS: dict[str, tuple[Axis, ...]] = {
    "same": (row(7, 3, 3 * 4 * 9), row(5, 3, 4 * 9), Axis(4, 9, 4, 0, weight_tap=9, weight_consumer=1)),
    "valid, stride 2": (
        row(9, 3, 3 * 4 * 33, stride=2, same=False),
        row(8, 3, 4 * 33, stride=2, same=False),
        Axis(4, 33, 4, 0, weight_tap=33, weight_consumer=1),
    ),
    "dilated": (row(9, 3, 3 * 2 * 5, dilation=2), row(9, 3, 2 * 5, dilation=2), Axis(2, 5, 2, 0, 1, 1, 0, 5, 1)),
    "1x1": (row(6, 1, 0), row(5, 1, 0), Axis(7, 20, 7, 0, weight_tap=20, weight_consumer=1)),
    "1x1, stride 2": (row(6, 1, 0, stride=2), row(5, 1, 0, stride=2), Axis(7, 20, 7, 0, 1, 1, 0, 20, 1)),
    "three groups": (
        row(6, 3, 3 * 2 * 12),
        row(5, 3, 2 * 12),
        Axis(3, 3, weight_consumer=4),
        Axis(2, 4, 2, 0, weight_tap=12, weight_consumer=1),
    ),
    "channels first": (
        Axis(4, 9, 4, 0, weight_tap=9, weight_consumer=1),
        row(7, 3, 3 * 4 * 9),
        row(5, 3, 4 * 9, stride=2),
    ),
    "channels first, two groups": (
        Axis(2, 2, weight_consumer=5),
        Axis(2, 5, 2, 0, weight_tap=10, weight_consumer=1),
        row(6, 3, 3 * 2 * 10),
        row(5, 3, 2 * 10),
    ),
    "kernel (filters, channels, y, x)": (
        row(6, 3, 3),
        row(5, 3, 1),
        Axis(4, 9, 4, 0, weight_tap=9, weight_consumer=4 * 9),
    ),
    "transposed": (
        Axis(4, 9, 3, dilation=-1, base=2, weight_tap=3 * 2 * 6),
        Axis(3, 7, 3, dilation=-1, base=2, weight_tap=2 * 6),
        Axis(2, 6, 2, 0, weight_tap=6, weight_consumer=1),
    ),
    "depthwise": (row(7, 3, 3 * 20), row(6, 3, 20, stride=2), Axis(20, 20, weight_consumer=1)),
    "depthwise, times 5": (
        row(5, 3, 3 * 4 * 5),
        row(6, 3, 4 * 5),
        Axis(4, 4, weight_consumer=5),
        Axis(1, 5, 1, 0, weight_consumer=1),
    ),
    "weights of their own for every place": (
        Axis(6, 4, 3, weight_tap=2 * 8, weight_consumer=3 * 2 * 8),
        Axis(2, 8, 2, 0, weight_tap=8, weight_consumer=1),
    ),
    "one long filter bank": (row(40, 9, 3 * 7), Axis(3, 7, 3, 0, weight_tap=7, weight_consumer=1)),
    "some producers without consumers": (
        Axis(3, 1, 1, 2),
        Axis(6, 6),
        Axis(4, 5, 4, 0, weight_tap=5, weight_consumer=1),
    ),
    "one producer of several": (Axis(3, 1, 1, 2), Axis(1, 6, 1, 0, weight_consumer=1)),
    "only consumers": (Axis(1, 1), Axis(1, 6, 1, 0, weight_consumer=1)),
}


def kernel_size(axes: tuple[Axis, ...]) -> int:
    """Elements that an array of weights needs."""
    return 1 + sum(a.weight_tap * (a.taps - 1) + a.weight_consumer * (a.consumers - 1) for a in axes)


def convolution(axes: tuple[Axis, ...], *more: Channel, **params: npt.NDArray[np.generic]) -> Graph:
    """source -> input -> linear with a bias per consumer of the last axis -> collect."""
    shape = tuple(a.consumers for a in axes)
    group = Group(name="g", op="linear", shape=shape, activation="relu", params={"bias": Ref("bias")})
    kernel = values((kernel_size(axes),), 1, zeros=0.1)
    first = Window(src=1, dst=2, port=len(more), axes=axes, weight=Ref("kernel"))
    params = {"kernel": kernel, "bias": values((shape[-1],), 2), **params}
    graph = chain(group, math.prod(a.producers for a in axes), first, params)
    return Graph("convolution", graph.groups, [*graph.channels, *more], params)


def test_convolutions_are_done_as_they_should() -> None:
    """By patches where several filters share them, as they are where nothing needs to be laid out, else by runs."""
    kinds = {name: int(LanesEngine(convolution(axes))._program.ports["kind"][1]) for name, axes in CONVOLUTIONS.items()}
    assert {name for name, kind in kinds.items() if kind == program.RUNS} == {"depthwise"}
    assert {name for name, kind in kinds.items() if kind == program.MATRIX} == {"1x1", "only consumers"}
    assert set(kinds.values()) == {program.RUNS, program.MATRIX, program.PATCHES}


@pytest.mark.parametrize("way", ["auto", "skip", "dense"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, way: Way) -> None:
    graph = convolution(CONVOLUTIONS[name])
    samples = values((3, graph.groups[1].size), 3)
    assert_same(LanesEngine(graph, way=way).run(samples), ReferenceEngine(graph).run(samples))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.usefixtures("small_units")
def test_convolutions_by_small_units_behind_another_port(name: str) -> None:
    axes = CONVOLUTIONS[name]
    n, m = (math.prod(a[i] for a in axes) for i in (0, 1))
    index = np.random.default_rng(4).integers(0, n, m).astype(np.int32)
    before = Csr(src=1, dst=2, indptr="indptr", index="index", weight=Ref("w"))
    graph = convolution(axes, before, indptr=np.arange(m + 1), index=index, w=values((m,), 5))
    samples = values((5, n), 3)
    assert_same(LanesEngine(graph).run(samples), ReferenceEngine(graph).run(samples))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_is_not_finite_stays_where_it_is(name: str) -> None:
    """A patch has zeros where there is no edge; what is not finite elsewhere must not reach them."""
    graph = convolution(CONVOLUTIONS[name])
    samples = values((4, graph.groups[1].size), 3)
    samples[0, 0], samples[1, -1], samples[2, len(samples[2]) // 2] = np.nan, np.inf, -np.inf
    assert_same(LanesEngine(graph).run(samples), ReferenceEngine(graph).run(samples))


@pytest.mark.parametrize("op", ["max", "min", "mean", "sum", "product"])
def test_pooling_with_padding(op: str) -> None:
    axes = (row(7, 3, 0, stride=2), row(6, 2, 0, stride=2), Axis(5, 5))
    shape = tuple(a.consumers for a in axes)
    graph = chain(Group(name="g", op=op, shape=shape), 7 * 6 * 5, Window(src=1, dst=2, axes=axes), {})
    samples = values((3, 7 * 6 * 5), 1)
    samples[0, ::7] = np.nan
    samples[1] = -np.abs(samples[1])
    assert_same(LanesEngine(graph).run(samples), ReferenceEngine(graph).run(samples))


@pytest.mark.parametrize("op", ["max", "min", "product", "sum"])
def test_a_concatenation_of_ports(op: str) -> None:
    """Actors that have no edge on one port or the other start with the first term that they have."""
    groups = [
        Group(name="source", op="source"),
        Group(name="input", op="input", shape=(6,)),
        Group(name="g", op=op, shape=(3, 5)),
        Group(name="sink", op="collect"),
    ]
    one = Window(src=1, dst=2, port=0, axes=(Axis(3, 3), Axis(2, 5)))
    other = Window(src=1, dst=2, port=1, axes=(Axis(2, 3, stride=0), Axis(3, 5, pad=2)))
    graph = Graph("g", groups, [Dense(src=0, dst=1), one, other, Dense(src=2, dst=3)], {})
    samples = np.array([[1, -2, 3, -4, np.nan, -0.0], [-0.0, -1, -np.inf, np.inf, 0, 5]], np.float32)
    found = LanesEngine(graph).run(samples)
    assert_same(found, ReferenceEngine(graph).run(samples))
    assert np.array_equal(found.values["g"][0, 0], [1, -2, 1, -2, 3])


def block(channels: int) -> Graph:
    """A residual block on 6x5 positions: convolution, normalisation, relu, convolution, sum with the input."""
    rng, shape = np.random.default_rng(6), (6, 5, channels)
    axes = (
        row(6, 3, 3 * channels**2),
        row(5, 3, channels**2),
        Axis(channels, channels, channels, 0, 1, 1, 0, channels, 1),
    )
    params = {name: rng.normal(0, 0.3, 9 * channels**2).astype(np.float32) for name in ("k1", "k2")}
    params |= {name: rng.normal(1, 0.3, channels).astype(np.float32) for name in ("scale", "shift")}
    groups = [
        Group(name="source", op="source"),
        Group(name="input", op="input", shape=shape),
        Group(name="conv", op="linear", shape=shape),
        Group(name="norm", op="linear", shape=shape, params={"bias": Ref("shift")}),
        Group(name="relu", op="linear", shape=shape, activation="relu"),
        Group(name="conv2", op="linear", shape=shape, params={"bias": Ref("shift")}),
        Group(name="add", op="sum", shape=shape, activation="relu"),
        Group(name="pool", op="mean", shape=(channels,)),
        Group(name="sink", op="argmax"),
    ]
    bundles = [
        Dense(src=0, dst=1),
        Window(src=1, dst=2, axes=axes, weight=Ref("k1")),
        OneToOne(src=2, dst=3, weight=Ref("scale")),
        OneToOne(src=3, dst=4),
        Window(src=4, dst=5, axes=axes, weight=Ref("k2")),
        OneToOne(src=5, dst=6),
        OneToOne(src=1, dst=6, port=1),
        Window(src=6, dst=7, axes=(Axis(6, 1, 6), Axis(5, 1, 5), Axis(channels, channels))),
        Dense(src=7, dst=8),
    ]
    return Graph("block", groups, bundles, params)


@pytest.mark.parametrize("keep", ["all", "outputs", ["norm"], ["conv", "add", "sink"]])
@pytest.mark.usefixtures("small_units")
def test_chains_keep_what_is_asked_for(keep: Keep) -> None:
    graph = block(4)
    samples = values((5, 6, 5, 4), 7)
    lanes = LanesEngine(graph)
    assert_same(lanes.run(samples, keep=keep), ReferenceEngine(graph).run(samples, keep=keep))


@pytest.mark.parametrize("keep", ["all", "outputs"])
@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.usefixtures("small_units")
def test_several_threads_work_on_one_sample(threads: int, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_WORTH_A_TEAM", 1)
    graph = block(4)
    samples, seen = values((1, 6, 5, 4), 7), []
    expected = ReferenceEngine(graph).run(samples, keep=keep)
    lanes = LanesEngine(graph, threads)
    for _ in range(20):
        assert_same(lanes.run(samples, keep=keep, progress=seen.append), expected)
    assert seen == [1] * 20
    assert lanes.ways["conv"].dense + lanes.ways["conv"].skip == 30
    assert len(lanes._idle) == threads


def test_groups_that_do_not_live_together_share_a_place() -> None:
    """Of a residual block's groups, what lives only within a chain has no place at all, and the rest share two."""
    found = LanesEngine(block(8))._program
    names = {g.name: i for i, g in enumerate(found._graph.groups)}
    assert [int(found.steps["chain"][names[name] - 1]) for name in ("conv", "conv2")] == [3, 2]
    assert all(found.local[names[name]] > 0 for name in ("conv", "norm", "conv2"))
    assert found.row < 2 * 6 * 5 * 8 + 100


def test_the_edges_of_windows_are_not_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("expand", "inputs", "outputs"):
        monkeypatch.delattr(Window, name)
    assert LanesEngine(block(8)).run(values((1, 6, 5, 8))).samples == 1


@pytest.mark.slow
@pytest.mark.usefixtures("small_units")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_graphs_by_small_units_keeping_outputs(data: st.DataObject) -> None:
    graph = data.draw(graphs(windows=True))
    samples = data.draw(wild_samples(graph, 5))
    assert_same(LanesEngine(graph).run(samples, keep="outputs"), ReferenceEngine(graph).run(samples, keep="outputs"))


@pytest.mark.parametrize("n", [1, 3, 4, 31, 32, 33, 97])
def test_sparse_sums_of_any_number_of_samples(n: int) -> None:
    """A weighted sum over lists of producers, some empty, in front of and behind another port."""
    rng = np.random.default_rng(8)
    counts = rng.integers(0, 9, 37)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    params: dict[str, npt.NDArray[np.generic]] = {
        "indptr": indptr,
        "index": rng.integers(0, 50, indptr[-1]).astype(np.int32),
        "w": values((int(indptr[-1]),), 9),
        "d": values((50, 37), 10),
    }
    lists = {port: Csr(src=1, dst=2, port=port, indptr="indptr", index="index", weight=Ref("w")) for port in (0, 2)}
    graph = chain(Group(name="g", op="linear", shape=(37,), activation="relu"), 50, lists[0], params)
    more = [Dense(src=1, dst=2, port=1, weight=Ref("d")), lists[2]]
    graph = Graph("sparse", graph.groups, [*graph.channels, *more], params)
    samples = values((n, 50), 11)
    assert_same(LanesEngine(graph).run(samples), ReferenceEngine(graph).run(samples))


#: Attention of two heads of 5 over 6 steps: which steps look at which, and what they take from there; and dot products
#: whose terms are laid out in other ways on the one side than on the other.
DOTS: dict[str, tuple[tuple[Axis, ...], tuple[Axis, ...]]] = {
    "scores": (
        (Axis(2, 2), Axis(6, 6), Axis(1, 6, stride=0), Axis(5, 1, 5)),
        (Axis(2, 2), Axis(1, 6, stride=0), Axis(6, 6), Axis(5, 1, 5)),
    ),
    "mix": (
        (Axis(2, 2), Axis(6, 6), Axis(6, 1, 6), Axis(1, 5, stride=0)),
        (Axis(2, 2), Axis(1, 6, stride=0), Axis(6, 1, 6), Axis(5, 5)),
    ),
    "taps laid out differently": (
        (Axis(4, 3, 2), Axis(6, 2, 3, stride=3)),
        (Axis(4, 3, 2), Axis(4, 2, 3)),
    ),
    "taps of different axes": ((Axis(3, 3), Axis(8, 4, 2, 2)), (Axis(6, 3, 2, 2), Axis(4, 4))),
    "missing on both sides": ((Axis(4, 4, 3, pad=1),), (Axis(4, 4, 3, pad=1),)),
    "last axes of other lengths": ((Axis(3, 3), Axis(4, 4), Axis(5, 1, 5)), (Axis(12, 12), Axis(5, 1, 5))),
}


@pytest.mark.parametrize("name", DOTS)
def test_dot_products(name: str) -> None:
    left, right = DOTS[name]
    sizes = [math.prod(a.producers for a in axes) for axes in (left, right)]
    groups = [
        Group(name="source", op="source"),
        Group(name="left", op="input", shape=(sizes[0],)),
        Group(name="source2", op="source"),
        Group(name="right", op="input", shape=(sizes[1],)),
        Group(name="g", op="dot", shape=tuple(a.consumers for a in left)),
        Group(name="sink", op="collect"),
    ]
    bundles = [
        Dense(src=0, dst=1),
        Dense(src=2, dst=3),
        Window(src=1, dst=4, axes=left),
        Window(src=3, dst=4, port=1, axes=right),
        Dense(src=4, dst=5),
    ]
    graph = Graph("dot", groups, bundles, {})
    samples = values((3, sizes[0]), 1), values((3, sizes[1]), 2)
    assert_same(LanesEngine(graph).run(samples), ReferenceEngine(graph).run(samples))
