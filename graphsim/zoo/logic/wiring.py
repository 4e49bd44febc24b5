"""Which two inputs each gate of a layer reads: fixed before training, by a rule and a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from graphsim.errors import UsageError

Wires = npt.NDArray[np.int32]


def wiring(inputs: int, gates: int, seed: int | Sequence[int]) -> Wires:
    """Inputs A and B of each gate, int32 (gates, 2), A before B.

    Pairs are taken in this order until there are enough: neighbours (1, 2), (3, 4) and so on; neighbours (2, 3), (4, 5)
    and so on; all other pairs, in random order. A layer with more gates than pairs takes them again, in the same order,
    with A and B exchanged, and so on in turn. The gates are then shuffled.

    The random numbers are those of NumPy's ``RandomState``, whose stream no version of NumPy changes: a model need not
    store its wiring.

    Raises:
        UsageError: fewer than two inputs, or no gates.
    """
    if inputs < 2 or gates < 1:
        raise UsageError(f"a layer of {gates} gates over {inputs} inputs: a gate needs two inputs, a layer one gate")
    random = np.random.RandomState(seed)
    order = _pairs(inputs, min(gates, inputs * (inputs - 1) // 2), random)
    rounds = -(-gates // len(order))
    wires = np.concatenate([order[:, :: -1 if turn % 2 else 1] for turn in range(rounds)])[:gates]
    return wires[random.permutation(gates)].astype(np.int32)


def _pairs(inputs: int, count: int, random: np.random.RandomState) -> npt.NDArray[np.int64]:
    """The first ``count`` unordered pairs."""
    first = np.arange(inputs - 1)
    neighbours = np.stack([first, first + 1], axis=1)
    near = np.concatenate([neighbours[0::2], neighbours[1::2]])[:count]
    if count == len(near):
        return near
    number = random.permutation((inputs - 1) * (inputs - 2) // 2)[: count - len(near)]
    # Pair number n of those two or more apart: all with the upper input 2, then all with 3, and so on.
    upper = ((1 + np.sqrt(8 * number.astype(np.float64) + 1)) // 2).astype(np.int64)
    lower = number - upper * (upper - 1) // 2
    return np.concatenate([near, np.stack([lower, upper + 1], axis=1)])
