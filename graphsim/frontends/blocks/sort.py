"""Elements in order: every element is compared with every other, counted, and put in its place.

The place of element i in descending order is the number of elements that come before it: those that are greater, and
equals with a lower number, as TensorFlow and ONNX order equals. With N(i, j) = 1 where x_j >= x_i, it is
n - 1 - i + sum over j < i of N(i, j) - sum over j > i of N(j, i): whole numbers, so that the sums are exact.
Source: Knuth, The Art of Computer Programming 3, 5.2 (comparison counting).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphsim.frontends.blocks.arith import Equation, contraction, elementwise, weighted
from graphsim.frontends.blocks.shape import moved
from graphsim.frontends.builder import Builder, RefusedError, Tensor, Unary
from graphsim.graph import Axis, Ref
from graphsim.graph.graph import Observed


def sorted_along(
    to: Builder,
    x: Tensor,
    axis: int,
    count: int,
    *,
    descending: bool,
    values: Observed | None = "output",
    numbers: Observed | None = None,
) -> list[Tensor]:
    """The first ``count`` elements of an axis in order, or their numbers along it, or both.

    Args:
        values, numbers: what of the layer each of them is; None where it is not wanted.

    Raises:
        RefusedError: there are not so many elements.
    """
    size = x.shape[axis]
    if not 1 <= count <= size:
        raise RefusedError(f"it takes {count} of {size} elements")
    others = [n for i, n in enumerate(x.shape) if i != axis]
    is_last = axis == len(x.shape) - 1
    rows = x if is_last else _moved(to, x, [*(i for i in range(len(x.shape)) if i != axis), axis], "turned", "")
    rows = rows.reshaped([math.prod(others), size])
    place = _places(to, rows, descending)
    wanted = np.arange(count, dtype=np.float32).reshape(count, 1)
    at = elementwise(
        to,
        "subtract",
        [place.reshaped([rows.shape[0], 1, size]), wanted],
        activation=Unary("zero"),
        suffix="at",
        observes="",
    )
    made: list[Tensor] = []
    for what, observes in (("values", values), ("numbers", numbers)):
        if observes is None:
            continue
        shown: Observed = observes if is_last else ""
        suffix = what if numbers is not None or not is_last else ""
        if what == "values":
            y = contraction(to, Equation("rkn", "rn", "rk"), at, rows, suffix=suffix, observes=shown)
        else:
            kernel = to.constant("numbers", np.arange(size, dtype=np.float32))
            y = weighted(to, Equation("rkn", "n", "rk"), at, kernel, suffix=suffix, observes=shown)
        y = y.reshaped([*others, count])
        back = [*range(axis), len(others), *range(axis, len(others))]
        made.append(y if is_last else _moved(to, y, back, f"{what}.turned", observes))
    return made


def _moved(to: Builder, x: Tensor, axes: Sequence[int], suffix: str, observes: Observed) -> Tensor:
    """Axis number i of the result is axis number ``axes[i]`` of ``x``."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return moved(to, x, [Axis(x.shape[i], x.shape[i]) for i in axes], order, suffix=suffix, observes=observes)


def _places(to: Builder, x: Tensor, descending: bool) -> Tensor:
    """The place of every element of each row of ``x``, (rows, n)."""
    rows, n = x.shape
    along = [Axis(rows, rows), Axis(n, n), Axis(1, n, stride=0)]
    across = [Axis(rows, rows), Axis(1, n, stride=0), Axis(n, n)]
    before = to.group("subtract", [rows, n, n], suffix="before", activation=Unary("nonnegative"))
    to.window(x, before, across if descending else along, 0)
    to.window(x, before, along if descending else across, 1)
    lower = np.tril(np.ones((n, n), np.float32), -1)
    bias = np.arange(n - 1, -1, -1, dtype=np.float32)
    place = to.group("linear", [rows, n], suffix="place", params={"bias": Ref(to.constant("after", bias).param)})
    own = [Axis(rows, rows), Axis(n, n, weight_consumer=n), Axis(n, 1, taps=n, weight_tap=1)]
    to.window(before, place, own, weight=to.constant("earlier", lower))
    other = [Axis(rows, rows), Axis(n, n, weight_consumer=n), Axis(n, 1, taps=n, weight_tap=1)]
    to.window(before, place, other, 1, order=[0, 2, 1], weight=to.constant("later", -lower.T.copy()))
    return place
