"""Truth tables in words, for native code: of up to six variables, in one uint64.

In a *stretched* word a table of fewer variables is repeated until it fills 64 bits: it is then a table of six variables
that does not depend on the last ones, and no helper needs to know how many there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphsim.graph.circuit import VARIABLES
from graphsim.native import jit

#: A uint64 scalar of native code, which is whatever NumPy's indexing is to a type checker.
Word = Any
V = np.array(VARIABLES, np.uint64)
#: How far apart the two bits are that differ in variable i.
STEP = np.array([1 << i for i in range(6)], np.uint64)
ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
ZERO = np.uint64(0)


@jit
def stretched(word: Word, variables: int) -> Word:
    """A table of so many variables, stretched."""
    for i in range(variables, 6):
        word |= word << STEP[i]
    return word


@jit
def shrunk(word: Word, variables: int) -> Word:
    """The part of a stretched word that is the table of so many variables."""
    if variables == 6:
        return word
    return word & ((np.uint64(1) << STEP[variables]) - np.uint64(1))


@jit
def cofactor(word: Word, i: int, value: bool) -> Word:
    """The table with variable i held at a value; it no longer depends on it."""
    if value:
        high = word & V[i]
        return high | (high >> STEP[i])
    low = word & ~V[i]
    return low | (low << STEP[i])


@jit
def flipped(word: Word, i: int) -> Word:
    """The table of the complement of variable i in place of it."""
    return ((word & V[i]) >> STEP[i]) | ((word & ~V[i]) << STEP[i])


@jit
def swapped(word: Word, i: int) -> Word:
    """The table with variables i and i + 1 exchanged."""
    up, down = word & V[i] & ~V[i + 1], word & ~V[i] & V[i + 1]
    far = STEP[i + 1] - STEP[i]
    return (word & ~(V[i] ^ V[i + 1])) | (up << far) | (down >> far)


@jit
def depends(word: Word, i: int) -> bool:
    """Whether the table depends on variable i."""
    return bool((((word >> STEP[i]) ^ word) & ~V[i]) != ZERO)
