"""What the tests of engines share: bits compared, and samples that go to the edges of float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from graphsim.graph import Channel, Dense, Graph, Group
from graphsim.simulate.engine import Run

FloatArray = npt.NDArray[np.float32]

#: Zeros of both signs, the least and the greatest of each kind of number, and what is no number.
_LEAST = [1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38]
_GREATEST = [3.4028235e38, -3.4028235e38, np.inf, -np.inf, np.nan]
EDGES = np.array([0.0, -0.0, 1.0, -1.0, *_LEAST, *_GREATEST, 16777216.0, -745.0, 88.8, -103.9], np.float32)


def bits(values: FloatArray) -> npt.NDArray[np.int32]:
    """The bits of float32 values, all NaNs alike."""
    assert values.dtype == np.float32
    return np.where(np.isnan(values), np.int32(0x7FC00000), np.ascontiguousarray(values).view(np.int32))


def assert_same(found: Run, expected: Run) -> None:
    """The same groups with the same bits."""
    assert found.samples == expected.samples
    assert list(found.values) == list(expected.values)
    for name, array in expected.values.items():
        assert found.values[name].shape == array.shape
        different = np.argwhere(bits(found.values[name]) != bits(array))
        assert not different.size, f"{name}{different[0].tolist()} of {len(different)}"


@st.composite
def wild_samples(draw: st.DrawFn, graph: Graph, n: int) -> tuple[FloatArray, ...]:
    """``n`` samples for each source: float32 of every size, with as many zeros and edges as drawn."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="sample seed"))
    zeros = draw(st.sampled_from([0.0, 0.2, 0.8, 1.0]), label="zeros")
    edges = draw(st.sampled_from([0.0, 0.02, 0.3]), label="edges")
    arrays = []
    for source in graph.sources:
        shape = (n, *graph.groups[graph.channels_from(source)[0].dst].shape)
        values = rng.normal(0.0, 1.0, shape) * 10.0 ** rng.integers(-3, 4, shape)
        values = np.where(rng.random(shape) < zeros, rng.choice([0.0, -0.0], shape), values)
        values = np.where(rng.random(shape) < edges, rng.choice(EDGES, shape), values)
        arrays.append(values.astype(np.float32))
    return tuple(arrays)


def chain(group: Group, inputs: int, into: Channel, params: dict[str, npt.NDArray[np.generic]]) -> Graph:
    """source -> input of so many actors -> the group -> collect; ``into`` leads from group 1 to group 2."""
    groups = [
        Group(name="source", op="source"),
        Group(name="input", op="input", shape=(inputs,)),
        group,
        Group(name="sink", op="collect"),
    ]
    return Graph("chain", groups, [Dense(src=0, dst=1), into, Dense(src=2, dst=3)], params)
