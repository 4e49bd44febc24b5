"""Neurons split into partial sums and adder trees: the same terms, and values within the bound of the tree."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from strategies import recurrent

import graphsim as gs
from graphsim.analysis.rounding import gamma, trees
from graphsim.cli import main
from graphsim.compare.compare import compare
from graphsim.errors import GraphError, UsageError
from graphsim.graph import Csr, Dense, Graph, Group, OneToOne, Ref
from graphsim.graph.verify import verify
from graphsim.passes import SplitFanIn, unroll
from graphsim.passes.fan_in import NOTE
from graphsim.simulate.reference import ReferenceEngine
from graphsim.simulate.samples import random_samples
from graphsim.zoo import shipped

Terms = list[tuple[str, int, float | None, int]]


def terms_of(graph: Graph, whole: Graph, actor: int) -> Terms:
    """What an actor adds up, down to actors that the whole graph has: (group, local, weight, initial tokens)."""
    found: Terms = []
    view = graph.actor(actor)
    into = graph.channels_into(view.group_number)
    for edge in view.inputs:
        producer = graph.actor(edge.producer)
        if producer.group.name in whole.number:
            tokens = into[edge.port].initial_tokens
            found.append((producer.group.name, producer.local, edge.weight, tokens))
        else:
            assert edge.weight is None
            found += terms_of(graph, whole, edge.producer)
    return found


def check_terms(graph: Graph, whole: Graph, every: int = 1) -> None:
    for number, group in enumerate(whole.groups):
        for local in range(0, group.size, every):
            mine = terms_of(graph, whole, int(graph.first[graph.number[group.name]]) + local)
            theirs = terms_of(whole, whole, int(whole.first[number]) + local)
            assert Counter(mine) == Counter(theirs)


def widest(graph: Graph) -> int:
    return max(
        int(graph.fan_in(number).max()) for number, group in enumerate(graph.groups) if group.op in ("linear", "sum")
    )


@pytest.mark.parametrize("most", [2, 3, 7, 16, 31])
def test_no_sum_has_more_terms_and_none_is_lost(most: int) -> None:
    whole = gs.lower(shipped("digits"))
    graph = SplitFanIn(most)(whole)
    assert widest(graph) <= most
    check_terms(graph, whole)


@pytest.mark.parametrize("most", [4, 12, 60])
def test_boxes_of_taps_have_the_terms_of_a_convolution(most: int) -> None:
    whole = gs.lower("models/mnist_cnn.h5")
    graph = SplitFanIn(most)(whole)
    assert widest(graph) <= most
    check_terms(graph, whole, every=97)
    kernels = {name for name in whole.params if "kernel" in name}
    assert kernels <= set(graph.params)
    assert sum(array.size for array in graph.params.values()) <= sum(array.size for array in whole.params.values())


@settings(max_examples=40, deadline=None)
@given(whole=recurrent(max_actors=30), most=st.integers(2, 5))
def test_any_graph_keeps_its_terms(whole: Graph, most: int) -> None:
    graph = SplitFanIn(most)(whole)
    check_terms(graph, whole)
    assert [group.name for group in graph.groups if group.name in whole.number] == [g.name for g in whole.groups]


def weighted(weights: list[float], tree: int, bias: float | None = None) -> tuple[Graph, Graph]:
    """One neuron with so many weights, and the same split."""
    n = len(weights)
    params: dict[str, np.ndarray] = {"w": np.array(weights, np.float32).reshape(n, 1)}  # type: ignore[type-arg]
    own = {} if bias is None else {"bias": Ref("b")}
    if bias is not None:
        params["b"] = np.array([bias], np.float32)
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(n,)),
        Group(name="sum", op="linear", shape=(1,), params=own),
        Group(name="out", op="collect", shape=(1,)),
    ]
    channels = [Dense(src=0, dst=1), Dense(src=1, dst=2, weight=Ref("w")), OneToOne(src=2, dst=3)]
    whole = Graph("one", groups, channels, params)
    verify(whole)
    return whole, SplitFanIn(tree)(whole)


FLOATS = st.floats(-1e3, 1e3, width=32)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), n=st.integers(3, 40), most=st.integers(2, 9))
def test_values_are_within_the_bound_of_the_tree(data: st.DataObject, n: int, most: int) -> None:
    """Against exact sums of fractions. The bound is stated here anew: gamma of the depth times the sum of sizes."""
    weights = data.draw(st.lists(FLOATS, min_size=n, max_size=n))
    sample = np.array([data.draw(st.lists(FLOATS, min_size=n, max_size=n))], np.float32)
    whole, graph = weighted(weights, most)
    value = Fraction(float(ReferenceEngine(graph).run(sample).values["sum"][0, 0]))
    products = [Fraction(float(np.float32(w))) * Fraction(float(x)) for w, x in zip(weights, sample[0], strict=True)]
    size = sum(abs(p) for p in products)
    depth = trees(graph, whole).get(whole.number["sum"], n)
    assert depth <= n
    underflow = Fraction(2) ** -149 * 2 * n
    assert abs(value - sum(products)) <= Fraction(float(gamma(depth))) * size + underflow


def test_the_depth_is_that_of_the_longest_way() -> None:
    whole, graph = weighted([1.0] * 784, 28)
    assert trees(graph, whole) == {2: 1 + 27 + 27}  # the product, additions in a partial sum, additions of these
    whole, graph = weighted([1.0] * 64, 4)
    assert trees(graph, whole) == {2: 1 + 3 + 3 + 3}


def compared(whole: Graph, graph: Graph) -> tuple[int, float]:
    """Neurons outside their bounds, and the greatest error over bound of the neuron ``sum``."""
    ran = ReferenceEngine(graph).run(random_samples(whole, 20, 3))
    found = compare(graph, ran, {}, whole=whole)
    (own,) = [layer for layer in found.layers if layer.name == "sum"]
    return found.neurons_outside_bound, own.max_error_over_bound


def test_the_judge_takes_the_bound_of_the_tree() -> None:
    rng = np.random.default_rng(1)
    whole, graph = weighted(rng.normal(size=600).tolist(), 25, bias=0.5)
    outside, ratio = compared(whole, graph)
    assert outside == 0
    assert 0 < ratio < 1
    _, by_chain = compared(whole, whole)
    assert trees(graph, whole) == {2: 1 + 24 + 23}
    assert by_chain > 0


def test_a_term_that_is_lost_on_the_way_is_found() -> None:
    whole, graph = weighted(np.linspace(1, 2, 60).tolist(), 8)
    part = graph.channels_into(graph.number["sum/part"])[0]
    shorter = [
        replace(c, axes=(c.axes[0], c.axes[1]._replace(taps=7), *c.axes[2:])) if c is part else c  # type: ignore[attr-defined]
        for c in graph.channels
    ]
    broken = Graph(graph.name, graph.groups, shorter, graph.params, graph.notes)
    verify(broken)
    assert compared(whole, broken)[0] > 0
    assert compared(whole, graph)[0] == 0


def test_what_is_more_than_a_sum_is_no_adder() -> None:
    whole, graph = weighted([1.0] * 20, 5)
    odd = [replace(g, activation="tanh") if g.name == "sum/part" else g for g in graph.groups]
    with pytest.raises(GraphError, match="more than a partial sum"):
        trees(Graph("odd", odd, graph.channels, graph.params), whole)


def test_many_bundles_of_one_term_each() -> None:
    n = 11
    groups = [Group(name="source", op="source"), Group(name="x", op="input", shape=(3,))]
    groups += [Group(name=f"g{i}", op="max", shape=(3,), activation="tanh") for i in range(n)]
    groups += [Group(name="add", op="sum", shape=(3,)), Group(name="out", op="collect", shape=(3,))]
    channels = [Dense(src=0, dst=1), *(OneToOne(src=1, dst=2 + i) for i in range(n))]
    channels += [OneToOne(src=2 + i, dst=2 + n, port=i) for i in range(n)]
    channels += [OneToOne(src=2 + n, dst=3 + n)]
    whole = Graph("many", groups, channels, {})
    verify(whole)
    graph = SplitFanIn(3)(whole)
    assert widest(graph) <= 3
    check_terms(graph, whole)


def test_listed_edges() -> None:
    index = np.array([0, 1, 2, 3, 4, 1, 0, 2, 4], np.int32)
    ends = np.array([0, 5, 6, 9], np.int64)
    params = {"i": index, "e": ends, "w": np.arange(9, dtype=np.float32)}
    groups = [Group(name="source", op="source"), Group(name="x", op="input", shape=(5,))]
    groups += [Group(name="s", op="linear", shape=(3,)), Group(name="out", op="collect", shape=(3,))]
    channels = [Dense(src=0, dst=1), Csr(src=1, dst=2, weight=Ref("w"), indptr="e", index="i"), OneToOne(src=2, dst=3)]
    whole = Graph("listed", groups, channels, params)
    verify(whole)
    graph = SplitFanIn(2)(whole)
    assert widest(graph) <= 2
    check_terms(graph, whole)


def test_a_graph_without_wide_sums_stays_as_it_is() -> None:
    whole = gs.lower(shipped("digits"))
    assert SplitFanIn(64)(whole) is whole
    assert NOTE in SplitFanIn(63)(whole).notes
    with pytest.raises(UsageError):
        SplitFanIn(1)


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(whole=recurrent(max_actors=20), most=st.integers(2, 3))
def test_state_runs_and_folds(whole: Graph, most: int) -> None:
    graph = SplitFanIn(most)(whole)
    assert set(trees(unroll(graph).graph, unroll(whole).graph)) <= set(range(len(unroll(whole).graph.groups)))
    schedule = gs.fold(graph, "ring:3")
    assert gs.verify(graph, schedule).ok
    samples = random_samples(graph, 3, 0)
    timed, plain = gs.run(graph, schedule, samples), gs.run(graph, None, samples, engine="reference")
    assert all(timed.values[name].tobytes() == plain.values[name].tobytes() for name in plain.values)
    if not any(channel.initial_tokens for channel in unroll(graph).graph.channels):  # the judge knows no feedback
        assert compare(graph, plain, {}, whole=whole).neurons_outside_bound == 0


def test_the_commands_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = str(shipped("digits")), str(tmp_path / "a.fold")
    assert main(["lower", model, "--max-fan-in", "8", "-o", str(tmp_path / "a.gsim")]) == 0
    assert "the order of float32 additions is another" in capsys.readouterr().out
    assert main(["fold", model, "--max-fan-in", "8", "--machine", "ring:3", "-o", out]) == 0
    shown = capsys.readouterr().out
    assert "max-fan-in 8" in shown
    assert "actors" in next(line for line in shown.splitlines() if "granularity" in line)
    assert "frames per period" in shown
    assert main(["verify", str(tmp_path / "a.gsim"), out]) == 0
    assert main(["verify", model, out, "--max-fan-in", "8"]) == 0


def test_tensorflow_and_the_tree_agree_within_both_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--samples", "40", "--machine", "ring:3", "--engine", "machine", "--max-fan-in", "8"]
    assert main([*arguments, "--tile", "2", "--report", str(tmp_path)]) == 0
    assert "0 outside their bounds" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "sums of at most 8 terms;" in page
    assert "scheduled in tiles of 2;" in page
    assert "one actor per neuron" not in page
