"""Operations that functional models record, every one against TensorFlow within its bound, in both file formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import assert_within_bounds, samples, saved

from graphsim.errors import UnsupportedLayerError
from graphsim.frontends.keras import lower
from graphsim.frontends.keras.layers import OPERATIONS


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def _positive(o: Any, x: Any) -> Any:
    return o.abs(x) + 0.25


#: By what they show: (ops, tensor of shape (4, 6)) to a tensor.
CASES: dict[str, Callable[[Any, Any], Any]] = {
    "arithmetic": lambda o, x: (2.0 - x * 3.0) / (o.square(x) + 1.0) - o.divide(x, 4.0) + o.add(x, x) - (-x),
    "constants": lambda o, x: o.maximum(x, 0.5) + o.minimum(x, np.arange(6, dtype=np.float32)) + 1.0 / _positive(o, x),
    "arrays": lambda o, x: x * np.linspace(-1, 2, 24, dtype=np.float32).reshape(1, 4, 6) - np.ones((4, 1), np.float32),
    "extremes": lambda o, x: o.maximum(x, o.negative(x)) - o.minimum(x, x[:, ::-1]),
    "roots": lambda o, x: o.sqrt(_positive(o, x)) + o.rsqrt(_positive(o, x)) + o.log(_positive(o, x)),
    "functions": lambda o, x: o.exp(x * 0.25) + o.sign(x) + o.absolute(x) + o.reciprocal(_positive(o, x)),
    "powers": lambda o, x: x**2 + o.power(x, 3.0) + _positive(o, x) ** 0.5 + _positive(o, x) ** -1,
    "clip": lambda o, x: o.clip(x, -0.5, 1.5),
    "comparisons": lambda o, x: o.where(x > 0.1, x, 0.0) + o.where(o.less(x, x[:, ::-1]), 1.0, x),
    "more comparisons": lambda o, x: (
        o.where(x >= 0.0, x, -x) * o.where(x <= 1.0, 2.0, 3.0) + o.where(o.equal(x, x), x, 7.0)
        - o.where(o.not_equal(o.relu(x), 0.0), 1.0, 0.0)
    ),
    "sums": lambda o, x: o.sum(x, axis=-1, keepdims=True) + o.mean(x, axis=2, keepdims=True) * x,
    "greatest": lambda o, x: o.max(x, axis=(1, 2), keepdims=True) - x,
    "folds": lambda o, x: o.min(x, axis=1) + o.prod(x * 0.5, axis=1),
    "matmul": lambda o, x: o.matmul(x, o.transpose(x, (0, 2, 1))),
    "matmul with a constant": lambda o, x: o.matmul(x, np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, 3)),
    "getitem": lambda o, x: x[:, 1:3, ::-2] + x[:, -1:, 1:4][..., :1],
    "getitem new axis": lambda o, x: x[:, None, 2, ..., 1:5],
    "concatenate": lambda o, x: o.concatenate([x, x * 2.0], axis=-1),
    "stack": lambda o, x: o.stack([x, x + 1.0], axis=2),
    "split": lambda o, x: o.multiply(*o.split(x, 2, axis=1)),
    "split at": lambda o, x: o.concatenate(o.split(x, [1, 4], axis=2)[::-1], axis=2) * 2.0,
    "reshape": lambda o, x: o.relu(o.reshape(x, (-1, 3, 8))),
    "axes come and go": lambda o, x: o.squeeze(o.expand_dims(x, 1), 1) + o.expand_dims(x, -1)[..., 0],
    "relu": lambda o, x: o.relu(x) + o.relu6(x * 4.0) + o.leaky_relu(x, negative_slope=0.3) + o.elu(x, alpha=0.7),
    "sigmoid": lambda o, x: o.sigmoid(x) + o.tanh(x) + o.softplus(x) + o.softsign(x) + o.silu(x) + o.selu(x),
    "hard": lambda o, x: o.hard_sigmoid(x) + o.hard_silu(x) + o.hard_tanh(x) + o.log_sigmoid(x) + o.celu(x, 0.5),
    "shrink": lambda o, x: o.hard_shrink(x, 0.25) + o.soft_shrink(x, 0.75) + o.tanh_shrink(x) + o.threshold(x, 0.5, -1),
    "sparse": lambda o, x: o.sparse_plus(x) + o.sparse_sigmoid(x) + o.squareplus(x, 2.0) + o.gelu(x),
    "softmax": lambda o, x: o.softmax(x, axis=1) + o.log_softmax(x, axis=-1),
    "glu": lambda o, x: o.glu(x, axis=-1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_actor_is_within_its_bound(keras: Any, name: str, tmp_path: Path) -> None:
    x = keras.Input((4, 6), name="x")
    model = keras.Model(x, CASES[name](keras.ops, x))
    graph = assert_within_bounds(saved(model, tmp_path, ".keras"), samples(4, 6))
    # Keras does not open what it writes as .h5 here, so that the other file of the same model is the authority.
    older = lower(saved(model, tmp_path, ".h5"))
    assert [g.name for g in older.groups] == [g.name for g in graph.groups]
    assert older.channels == graph.channels
    assert older.declared == graph.declared


def test_every_operation_is_in_a_case(keras: Any) -> None:
    used = set()
    for case in CASES.values():
        x = keras.Input((4, 6))
        used |= {type(op).__name__ for op in keras.Model(x, case(keras.ops, x)).operations}
    assert set(OPERATIONS) - used <= {"Abs"}  # the name of an alias


def test_operations_that_are_not_there_are_listed_with_their_fellows(keras: Any, tmp_path: Path) -> None:
    o, x = keras.ops, keras.Input((4, 6))
    model = keras.Model(x, o.cumsum(x, axis=1) * 2.0 + o.sin(x) + x**2.5)
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(saved(model, tmp_path, ".keras"))
    assert [name.rstrip("_0123456789") for name, _ in caught.value.layers] == ["cumsum", "sin", "power"]


def test_the_batch_is_not_touched(keras: Any, tmp_path: Path) -> None:
    o, x = keras.ops, keras.Input((4, 6))
    for made in (o.sum(x, axis=0, keepdims=True) + x, o.reshape(x, (-1, 4)), x[:2, :] * 1.0):
        with pytest.raises(UnsupportedLayerError, match=r"batch|samples"):
            lower(saved(keras.Model(x, made), tmp_path, ".keras"))
