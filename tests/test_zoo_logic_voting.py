"""Counting votes with gates, against counting them with numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from circuits import circuits
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim.errors import UsageError
from graphsim.graph.circuit import Circuit, pack
from graphsim.zoo.logic.images import answers
from graphsim.zoo.logic.learnt import run
from graphsim.zoo.logic.voting import voting


def wires(count: int) -> Circuit:
    """A circuit whose outputs are its inputs."""
    indptr, index = pack([])
    return Circuit(
        name="wires",
        input_names=tuple(f"i{n}" for n in range(count)),
        output_names=tuple(f"o{n}" for n in range(count)),
        outputs=np.arange(count, dtype=np.int32),
        indptr=indptr,
        index=index,
        truth=np.zeros(0, np.uint64),
        initial=np.zeros(0, np.bool_),
        following=np.zeros(0, np.int32),
    )


@settings(deadline=None)
@given(classes=st.integers(2, 11), share=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_the_first_class_with_the_most_votes_wins(classes: int, share: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    votes = random.random((64, classes, share)) < random.random((64, 1, 1))
    circuit = voting(wires(classes * share), classes)
    circuit.check()
    assert circuit.fan_in.max() <= 3
    assert circuit.output_names == tuple(f"class[{bit}]" for bit in range((classes - 1).bit_length()))
    found = answers(circuit, votes.reshape(64, -1))
    assert np.array_equal(found, votes.sum(axis=2).argmax(axis=1))


@given(circuits(registers=0, outputs=6), st.integers(0, 2**32 - 1))
def test_the_circuit_that_votes_is_kept(circuit: Circuit, seed: int) -> None:
    circuit = replace(circuit, outputs=np.resize(circuit.outputs, 6), output_names=tuple("abcdef"))
    inputs = np.random.default_rng(seed).random((64, circuit.input_count)) < 0.5
    votes = np.unpackbits(run(circuit, np.packbits(inputs.T, axis=1)), axis=1, count=64)
    found = answers(voting(circuit, 3), inputs)
    assert np.array_equal(found, votes.T.reshape(64, 3, 2).sum(axis=2).argmax(axis=1))


def test_votes_that_cannot_be_dealt_out() -> None:
    with pytest.raises(UsageError, match="7 votes cannot be dealt to 2 classes"):
        voting(wires(7), 2)
