"""Networks of bits as gates: every output for every input, against the network itself."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from circuits import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.cli import main
from graphsim.errors import GraphError
from graphsim.graph import Channel, Dense, Graph, Group, Ref
from graphsim.graph.circuit import Circuit, of_graph, ports
from graphsim.graph.store import save
from graphsim.passes.to_logic import LEVELS, ToLogic
from graphsim.simulate.reference import ReferenceEngine


def network(
    sizes: list[int], activations: list[str], rng: np.random.Generator, sink: str = "collect", whole: bool = True
) -> Graph:
    """Dense layers with small weights; whole numbers or not."""
    groups = [Group(name="source", op="source"), Group(name="x", op="input", shape=(sizes[0],))]
    channels: list[Channel] = [Dense(src=0, dst=1)]
    params: dict[str, np.ndarray] = {}
    for n, (size, activation) in enumerate(zip(sizes[1:], activations, strict=True)):
        shape = sizes[n], size
        weights = rng.integers(-2, 3, shape) if whole else rng.normal(size=shape)
        params[f"w{n}"] = weights.astype(np.float32)
        params[f"b{n}"] = rng.integers(-2, 3, size).astype(np.float32)
        refs = {"bias": Ref(f"b{n}")}
        groups.append(Group(name=f"d{n}", op="linear", shape=(size,), activation=activation, params=refs))
        channels.append(Dense(src=n + 1, dst=n + 2, weight=Ref(f"w{n}")))
    groups.append(Group(name="sink", op=sink))
    channels.append(Dense(src=len(groups) - 2, dst=len(groups) - 1))
    return Graph("net", groups, channels, params)


def having(graph: Graph, params: dict[str, np.ndarray]) -> Graph:
    """The graph with other values of these params."""
    return Graph(graph.name, graph.groups, graph.channels, {**graph.params, **params})


def all_patterns(bits: int) -> list[list[int]]:
    return [list(p) for p in itertools.product((0, 1), repeat=bits)]


def decoded(circuit: Circuit, levels: dict[str, list[float]], cycle: list[int]) -> list[float]:
    """What the outputs of a cycle stand for, port by port."""
    of = ports(circuit.output_names)
    numbers = {port: sum(cycle[at] << i for i, at in enumerate(bits)) for port, bits in of.items()}
    return [levels[port][numbers[port]] for port in levels]


@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.sampled_from(["positive", "sign", "relu", "nonnegative", "linear"]),
    st.booleans(),
    st.integers(0, 10_000),
)
@settings(max_examples=40, deadline=None)
def test_gates_compute_what_the_network_computes(sizes: list[int], kind: str, signed: bool, seed: int) -> None:
    graph = network(sizes, [kind] * (len(sizes) - 1), np.random.default_rng(seed), whole=seed % 3 > 0)
    pair = (-1.0, 1.0) if signed else (0.0, 1.0)
    logic = ToLogic(pair)(graph)
    circuit, levels = of_graph(logic), json.loads(logic.notes[LEVELS])
    patterns = all_patterns(sizes[0])
    values = np.where(np.array(patterns, bool), np.float32(pair[1]), np.float32(pair[0])).astype(np.float32)
    expected = ReferenceEngine(graph).run(values).values["sink"].reshape(len(patterns), -1)
    found = [decoded(circuit, levels, cycle) for cycle in evaluate(circuit, patterns)]
    assert np.array_equal(np.array(found, np.float32), expected)


def test_the_class_of_an_argmax_is_a_number() -> None:
    graph = network([4, 6, 3], ["positive", "linear"], np.random.default_rng(3), sink="argmax")
    logic = ToLogic()(graph)
    circuit, levels = of_graph(logic), json.loads(logic.notes[LEVELS])
    patterns = all_patterns(4)
    expected = (
        ReferenceEngine(graph).run(np.array(patterns, np.float32)).values["sink"].reshape(len(patterns), -1)[:, 0]
    )
    assert [decoded(circuit, levels, cycle) for cycle in evaluate(circuit, patterns)] == [[c] for c in expected]


def test_neurons_of_more_bits_behind_quantised_ones_read_their_numbers() -> None:
    rng = np.random.default_rng(5)
    graph = network([12, 8, 2], ["sign", "sign"], rng)
    logic = ToLogic()(graph)
    circuit, levels = of_graph(logic), json.loads(logic.notes[LEVELS])
    patterns = [rng.integers(0, 2, 12).tolist() for _ in range(60)]
    expected = ReferenceEngine(graph).run(np.array(patterns, np.float32)).values["sink"].reshape(60, -1)
    found = [decoded(circuit, levels, cycle) for cycle in evaluate(circuit, patterns)]
    assert np.array_equal(np.array(found, np.float32), expected)


def test_neurons_of_too_many_bits_are_named() -> None:
    ones = {"w0": np.ones((13, 2), np.float32)}
    with pytest.raises(GraphError, match=r"d0\[0\] \(13\), d0\[1\] \(13\)"):
        ToLogic()(having(network([13, 2], ["sign"], np.random.default_rng(1)), ones))


def test_bits_that_do_not_matter_are_not_counted() -> None:
    weights = np.zeros((16, 2), np.float32)
    weights[4:12, 0] = 2.0 ** np.arange(1, 9)
    weights[4:12, 1] = -weights[11:3:-1, 0]
    weights[:4, 0] = weights[12:, 1] = 0.125  # too little to change a sum that is near 2^24
    params = {"w0": weights, "b0": np.full(2, 2**24, np.float32), "w1": np.array([[2], [1]], np.float32)}
    graph = having(network([16, 2, 1], ["linear", "linear"], np.random.default_rng(1)), params)
    logic = ToLogic()(graph)
    patterns = np.random.default_rng(2).integers(0, 2, (60, 16))
    expected = ReferenceEngine(graph).run(patterns.astype(np.float32)).values["sink"].reshape(60, 1)
    found = evaluate(of_graph(logic), patterns.tolist())
    assert [decoded(of_graph(logic), json.loads(logic.notes[LEVELS]), cycle) for cycle in found] == expected.tolist()


def test_the_sign_of_a_zero_counts() -> None:
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(2,)),
        Group(name="product", op="product", shape=(1,)),
        Group(name="one", op="sum", shape=(1,), params={"bias": Ref("one")}),
        Group(name="inverse", op="divide", shape=(1,)),
        Group(name="sink", op="collect"),
    ]
    channels = [Dense(src=0, dst=1), Dense(src=1, dst=2), Dense(src=3, dst=4), Dense(src=2, dst=4, port=1)]
    graph = Graph("net", groups, [*channels, Dense(src=4, dst=5)], {"one": np.ones(1, np.float32)})
    logic = ToLogic((-1.0, 0.0))(graph)
    circuit, levels = of_graph(logic), json.loads(logic.notes[LEVELS])
    found = [decoded(circuit, levels, cycle)[0] for cycle in evaluate(circuit, all_patterns(2))]
    assert found == [1.0, -np.inf, -np.inf, np.inf]


def test_a_neuron_that_is_an_output_twice_is_shown_once() -> None:
    graph = network([2, 1], ["sign"], np.random.default_rng(1))
    twice = Group(name="again", op="collect")
    graph = Graph("net", [*graph.groups, twice], [*graph.channels, Dense(src=2, dst=4)], dict(graph.params))
    assert {name.split("[")[0] for name in of_graph(ToLogic()(graph)).output_names} == {"d0.0"}


def test_a_circuit_is_none_to_be_made() -> None:
    logic = ToLogic()(network([2, 1], ["sign"], np.random.default_rng(1)))
    with pytest.raises(GraphError, match="net: is a circuit already"):
        ToLogic()(logic)


def test_lower_writes_a_circuit_of_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = network([5, 4, 2], ["sign", "positive"], np.random.default_rng(8))
    save(graph, tmp_path / "net.gsim")
    out, record = tmp_path / "net.blif", tmp_path / "r.json"
    arguments = ["lower", str(tmp_path / "net.gsim"), "--to-logic", "--levels", "-1,1", "--passes", "default"]
    assert main([*arguments, "--check", "-o", str(out), "--json", str(record)]) == 0
    assert out.read_text().startswith(".model")
    found = json.loads(record.read_text())
    assert found["check"]["verdict"] == "equal"
    assert "patterns" in found["to_logic"]["proved"]


@pytest.mark.parametrize("levels", ["1", "1,1", "a,b", "nan,1", "1,2,3", "1e39,0", "1,1.00000001"])
def test_levels_that_are_none_are_refused(levels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(network([2, 1], ["sign"], np.random.default_rng(1)), tmp_path / "n.gsim")
    assert (
        main(["lower", str(tmp_path / "n.gsim"), "--to-logic", f"--levels={levels}", "-o", str(tmp_path / "o.gsim")])
        == 2
    )
    assert "--levels" in capsys.readouterr().err
