"""Attention: scores of queries and keys, which of them count, their softmax, and the values that it weighs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphsim.frontends.blocks.arith import Equation, Value, contraction, elementwise, select
from graphsim.frontends.blocks.softmax import softmax
from graphsim.frontends.builder import Builder, FloatArray, Tensor
from graphsim.graph import Ref
from graphsim.graph.graph import Observed

#: What Keras takes off scores that do not count, and what it writes in their place.
PENALTY = 1e9
#: What TensorFlow's ``dot_product_attention`` of Keras 3 writes in their place.
LEAST = float(np.float32(np.finfo(np.float32).max * -0.7))


def causal(queries: int, keys: int) -> npt.NDArray[np.bool_]:
    """Query i counts keys up to number i: (queries, keys)."""
    return np.tri(queries, keys, dtype=np.bool_)


def sliding(queries: int, keys: int, width: int) -> npt.NDArray[np.bool_]:
    """Query i counts keys less than ``width`` away from number i: (queries, keys)."""
    near: npt.NDArray[np.bool_] = np.abs(np.arange(queries)[:, None] - np.arange(keys)) < width
    return near


def counted(
    to: Builder, masks: Sequence[Tensor], static: npt.NDArray[np.bool_] | None, suffix: str = "mask"
) -> Value | None:
    """1 where all of some masks of 1 and 0 are 1, else 0; None where there are none. They broadcast."""
    if not masks:
        return None if static is None else static.astype(np.float32)
    mask = masks[0]
    if len(masks) > 1:
        mask = elementwise(to, "product", list(masks), suffix=suffix, observes="")
    if static is not None:
        mask = elementwise(to, "product", [mask, static.astype(np.float32)], suffix=f"{suffix}.static", observes="")
    return mask


def penalised(to: Builder, scores: Tensor, mask: Value | None) -> Tensor:
    """Scores less 1e9 where the mask is 0."""
    if mask is None:
        return scores
    penalty: Value
    if isinstance(mask, Tensor):
        penalty = to.group("linear", mask.shape, suffix="penalty", params={"bias": _number(to, "offset", -PENALTY)})
        to.one_to_one(mask, penalty, weight=_number(to, "slope", PENALTY))
    else:
        penalty = ((mask - 1) * np.float32(PENALTY)).astype(np.float32)
    return elementwise(to, "sum", [scores, penalty], suffix="masked", observes="")


def replaced(to: Builder, scores: Tensor, mask: Value | None, least: float) -> Tensor:
    """Scores, and ``least`` where the mask is 0."""
    if mask is None:
        return scores
    return select(to, mask, scores, np.full((), least, np.float32), suffix="masked", observes="")


def weights_of(to: Builder, scores: Tensor, axes: Sequence[int], *, observes: Observed = "") -> Tensor:
    """The softmax over the keys."""
    return softmax(to, scores, axes, suffix="weights", observes=observes)


def mixed(to: Builder, weights: Tensor, value: Tensor, equation: Equation, *, observes: Observed = "") -> Tensor:
    """Values, weighted and summed."""
    return contraction(to, equation, weights, value, suffix="" if observes else "values", observes=observes)


def scaled(to: Builder, x: Tensor, factor: float, suffix: str) -> Tensor:
    """Times a number."""
    array: FloatArray = np.full((), factor, np.float32)
    return elementwise(to, "product", [x, array], suffix=suffix, observes="")


def _number(to: Builder, name: str, value: float) -> Ref:
    return Ref(to.constant(name, np.full(1, value, np.float32)).param)
