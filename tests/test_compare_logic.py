"""What a circuit computes, worked out level by level, against gate by gate in plain Python."""

from __future__ import annotations

import numpy as np
from circuits import circuits, evaluate
from hypothesis import given
from hypothesis import strategies as st

from graphsim.compare.logic import Evaluation
from graphsim.graph.circuit import Circuit


@given(circuits(), st.data())
def test_the_authority_computes_what_gates_say(circuit: Circuit, data: st.DataObject) -> None:
    bits = st.lists(st.integers(0, 1), min_size=circuit.input_count, max_size=circuit.input_count)
    cycles = data.draw(st.lists(bits, min_size=1, max_size=6))
    inputs = np.array(cycles, np.uint8).reshape(len(cycles), circuit.input_count)
    work = Evaluation(circuit)
    half = len(cycles) // 2
    found = np.concatenate([work.outputs(inputs[:half]), work.outputs(inputs[half:])])
    assert found.tolist() == evaluate(circuit, cycles)
