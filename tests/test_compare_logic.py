"""What a circuit computes, worked out level by level or gate by gate, against gate by gate in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from circuits import circuits, evaluate
from hypothesis import given
from hypothesis import strategies as st

from graphsim.compare import logic
from graphsim.compare.logic import Evaluation, judge_outputs, judge_run
from graphsim.graph.circuit import Circuit, pack


@given(circuits(), st.sampled_from([0, 1 << 40]), st.data())
def test_the_authority_computes_what_gates_say(circuit: Circuit, narrow: int, data: st.DataObject) -> None:
    bits = st.lists(st.integers(0, 1), min_size=circuit.input_count, max_size=circuit.input_count)
    cycles = data.draw(st.lists(bits, min_size=1, max_size=6))
    inputs = np.array(cycles, np.uint8).reshape(len(cycles), circuit.input_count)
    work = Evaluation(circuit)
    half = len(cycles) // 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logic, "NARROW", narrow)
        found = np.concatenate([work.outputs(inputs[:half]), work.outputs(inputs[half:])])
    assert found.tolist() == evaluate(circuit, cycles)


def counter() -> Circuit:
    """One register that toggles while ``en`` is 1, shown as ``q``."""
    indptr, index = pack([(0, 1)])
    return Circuit(
        name="toggle",
        input_names=("en",),
        output_names=("q", "next"),
        outputs=np.array([1, 2], np.int32),
        indptr=indptr,
        index=index,
        truth=np.array([0b0110], np.uint64),
        register_names=("r",),
        initial=np.array([False]),
        following=np.array([2], np.int32),
    )


def test_a_run_is_judged_group_by_group_and_the_first_difference_is_named() -> None:
    inputs = np.array([[1], [0], [1], [1]], np.uint8)
    right = np.array([[1], [1], [0], [1]], np.float32)
    values = {"gate": right, "register": right, "output": np.array([[0, 1], [1, 1], [1, 0], [0, 1]], np.float32)}
    assert judge_run(counter(), inputs, values) == logic.Judgement(16, 0, None)
    wrong = right.copy()
    wrong[2] = 1
    found = judge_run(counter(), inputs, {**values, "register": wrong})
    assert (found.checked, found.differ, str(found.first)) == (16, 1, "r is 1 in cycle 2, expected 0")
    outputs = values["output"].astype(np.uint8)
    expected = np.array([[1, 1], [1, 1], [1, 0], [1, 1]], np.uint8)
    known = np.array([[0, 1], [1, 1], [1, 1], [1, 0]], np.bool_)
    assert str(judge_outputs(counter(), outputs, expected, known).first) == "q is 0 in cycle 3, expected 1"
    assert judge_outputs(counter(), outputs, expected, known & (outputs == expected)).differ == 0
