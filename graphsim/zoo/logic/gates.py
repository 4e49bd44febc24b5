"""The sixteen gates of two inputs, as truth tables and as the polynomials that relax them.

A gate of inputs a and b in 0..1 is relaxed to the probability that its output is 1 when a and b are the probabilities
that its inputs are, independently: the one polynomial ``c0 + ca*a + cb*b + cab*a*b`` that agrees with it at the corners
(Petersen, Borgelt, Kuehne, Deussen: Deep Differentiable Logic Gate Networks, NeurIPS 2022). A mixture of gates is a
polynomial of the same form, so that four numbers stand for sixteen gates and their shares.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: The gates in the order of their logits.
NAMES = (
    "FALSE",
    "AND",
    "A&!B",
    "A",
    "B&!A",
    "B",
    "XOR",
    "OR",
    "NOR",
    "XNOR",
    "NOT B",
    "A|!B",
    "NOT A",
    "B|!A",
    "NAND",
    "TRUE",
)
#: Truth tables in that order: bit ``a + 2 * b`` is the gate's value.
TRUTHS = (
    0b0000,
    0b1000,
    0b0010,
    0b1010,
    0b0100,
    0b1100,
    0b0110,
    0b1110,
    0b0001,
    0b1001,
    0b0011,
    0b1011,
    0b0101,
    0b1101,
    0b0111,
    0b1111,
)
#: The gate that passes A on, which learning starts from.
PASS_A = NAMES.index("A")


def _polynomial(truth: int) -> tuple[int, int, int, int]:
    none, only_a, only_b, both = (truth >> m & 1 for m in range(4))
    return none, only_a - none, only_b - none, none - only_a - only_b + both


#: ``c0, ca, cb, cab`` of each gate: float32 (16, 4).
POLYNOMIALS: npt.NDArray[np.float32] = np.array([_polynomial(truth) for truth in TRUTHS], np.float32)
POLYNOMIALS.flags.writeable = False
