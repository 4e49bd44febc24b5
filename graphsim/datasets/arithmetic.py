"""Calculations with unsigned integers, and how they stand in bits: what the ``alu`` dataset is made of.

A calculation is ``(a, operation, b)`` with ``a`` and ``b`` of ``bits`` bits. All integers are held in *words* of
``bits + 1`` bits, least significant bit first, each bit one number, 0.0 or 1.0:

==================  ==================================================================================================
flat inputs         ``a`` (one word), the operation one-hot in the order of :data:`OPERATIONS` (12), ``b`` (one word)
vector inputs       the same three as rows (``a``, operation, ``b``), each filled with zeros to the width of the
                    longest, then its position among the three, one-hot
result              two words: an integer of ``2 bits + 2`` bits
==================  ==================================================================================================

A comparison gives all ones in ``bits`` bits for true and 0 for false. The domain of ``-`` is ``a >= b``; that of ``/``
(quotient, rounded down) and ``%`` (remainder) is ``b > 0``; the other operations take every pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.datasets.shown import Shown
from graphsim.errors import UsageError

OPERATIONS: tuple[str, ...] = ("+", "-", "*", "/", "%", "AND", "OR", "XOR", "<", ">", "=", "!=")
"""Every operation, in the order of its one-hot code."""

MAX_BITS = 30
"""Longest operand: a product then fits in 60 bits of an int64."""

PER_OPERATION = 100
"""Random calculations of each operation, unless another number is asked for."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoding:
    """Lengths of the encoding for operands of ``bits`` bits.

    Raises:
        UsageError: ``bits`` is not between 1 and :data:`MAX_BITS`.
    """

    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise UsageError(f"operands have 1 to {MAX_BITS} bits, not {self.bits}")

    @property
    def word(self) -> int:
        """Bits of one operand as it is fed in."""
        return self.bits + 1

    @property
    def inputs(self) -> int:
        """Length of the flat form: 44 for 15 bits."""
        return 2 * self.word + len(OPERATIONS)

    @property
    def outputs(self) -> int:
        """Bits of the result: 32 for operands of 15 bits."""
        return 2 * self.word

    @property
    def vectors(self) -> tuple[int, int]:
        """Shape of the vector form: three words, and their width with the position."""
        return 3, max(self.word, len(OPERATIONS)) + 3

    @property
    def greatest(self) -> int:
        """The greatest operand, which is also what a comparison gives for true."""
        return (1 << self.bits) - 1


@dataclass(frozen=True)
class Calculations:
    """Valid calculations in a fixed order.

    Attributes:
        bits: of the operands.
        a, b: int64 (N,), operands, 0 to 2^bits - 1.
        operation: int64 (N,), indices into :data:`OPERATIONS`.
    """

    bits: int
    a: Integers
    operation: Integers
    b: Integers

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, chosen: slice | Integers | npt.NDArray[np.bool_]) -> Calculations:
        return Calculations(self.bits, self.a[chosen], self.operation[chosen], self.b[chosen])

    @property
    def encoding(self) -> Encoding:
        """How these stand in bits."""
        return Encoding(self.bits)

    @cached_property
    def results(self) -> Integers:
        """int64 (N,): what each calculation gives."""
        results = np.empty_like(self.a)
        for code in np.unique(self.operation).tolist():
            chosen = self.operation == code
            results[chosen] = _compute(OPERATIONS[code], self.a[chosen], self.b[chosen], self.encoding.greatest)
        return results

    def inputs(self) -> npt.NDArray[np.uint8]:
        """The flat form, uint8 (N, inputs), zeros and ones."""
        word = self.encoding.word
        one_hot = np.eye(len(OPERATIONS), dtype=np.uint8)[self.operation]
        return np.concatenate([to_bits(self.a, word), one_hot, to_bits(self.b, word)], axis=1)

    def vectors(self) -> npt.NDArray[np.uint8]:
        """The vector form, uint8 (N, 3, width), zeros and ones."""
        rows, width = self.encoding.vectors
        words = np.zeros((len(self), rows, width), np.uint8)
        words[:, 0, : self.encoding.word] = to_bits(self.a, self.encoding.word)
        words[np.arange(len(self)), 1, self.operation] = 1
        words[:, 2, : self.encoding.word] = to_bits(self.b, self.encoding.word)
        words[:, :, -rows:] = np.eye(rows, dtype=np.uint8)
        return words

    def targets(self) -> npt.NDArray[np.uint8]:
        """The results in bits, uint8 (N, outputs)."""
        return to_bits(self.results, self.encoding.outputs)


def _compute(operation: str, a: Integers, b: Integers, true: int) -> Integers:
    match operation:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a // b
        case "%":
            return a % b
        case "AND":
            return a & b
        case "OR":
            return a | b
        case "XOR":
            return a ^ b
        case "<":
            holds = a < b
        case ">":
            holds = a > b
        case "=":
            holds = a == b
        case "!=":
            holds = a != b
    return holds * np.int64(true)


def to_bits(values: Integers, width: int) -> npt.NDArray[np.uint8]:
    """Integers int64 (N,) as uint8 (N, width), least significant bit first."""
    return ((values[:, None] >> np.arange(width)) & 1).astype(np.uint8)


def from_bits(values: npt.NDArray[np.float32] | npt.NDArray[np.uint8]) -> Integers:
    """Integers int64 (N,) that outputs (N, width) stand for, least significant bit first: a bit is 1 above one half.

    What is not a number is no 1.
    """
    ones = np.greater(values, 0.5).astype(np.int64)
    return np.asarray(ones @ (np.int64(1) << np.arange(values.shape[1], dtype=np.int64)), np.int64)


def operation_codes(valid_ops: Sequence[str] | None = None) -> tuple[int, ...]:
    """Codes of the named operations, ascending and without repetition; all of them for None.

    Raises:
        UsageError: a name is unknown, or there is none.
    """
    if valid_ops is None:
        return tuple(range(len(OPERATIONS)))
    for name in valid_ops:
        if name not in OPERATIONS:
            raise UsageError(f"there is no operation {name!r}; choose from: {' '.join(OPERATIONS)}")
    if not valid_ops:
        raise UsageError(f"name at least one operation: {' '.join(OPERATIONS)}")
    return tuple(sorted({OPERATIONS.index(name) for name in valid_ops}))


def why_invalid(bits: int, a: int, operation: str, b: int) -> str | None:
    """Why a calculation lies outside the domain, for a person; None where it is valid."""
    greatest = Encoding(bits).greatest
    for value in (a, b):
        if not 0 <= value <= greatest:
            return f"{value} is not an unsigned integer of {bits} bits (0 to {greatest})"
    if operation == "-" and a < b:
        return f"{a} - {b} is negative; results are unsigned"
    if operation in ("/", "%") and b == 0:
        return f"{a} {operation} 0 is undefined"
    return None


def domain_size(bits: int, valid_ops: Sequence[str] | None = None) -> int:
    """How many valid calculations there are; 753,280 for 8 bits and all operations."""
    n = 1 << Encoding(bits).bits
    sizes = {"-": n * (n + 1) // 2, "/": n * (n - 1), "%": n * (n - 1)}
    return sum(sizes.get(OPERATIONS[code], n * n) for code in operation_codes(valid_ops))


def check_every(bits: int, valid_ops: Sequence[str] | None = None) -> None:
    """Raise UsageError where there are too many calculations to go through all of them."""
    size = domain_size(bits, valid_ops)
    if size > 1 << 26:
        raise UsageError(f"{size:,} calculations of {bits} bits are too many to go through; take random ones")


def every(bits: int, valid_ops: Sequence[str] | None = None) -> Calculations:
    """All valid calculations, ordered by operation, then ``a``, then ``b``.

    Raises:
        UsageError: more than 2^26 of them; ask for fewer bits or operations.
    """
    check_every(bits, valid_ops)
    return Calculations(
        bits, *(np.concatenate(part) for part in zip(*_domains(bits, operation_codes(valid_ops)), strict=True))
    )


def _domains(bits: int, codes: Sequence[int]) -> Iterator[tuple[Integers, Integers, Integers]]:
    a, b = (grid.ravel() for grid in np.indices((1 << bits, 1 << bits), dtype=np.int64))
    for code in codes:
        name = OPERATIONS[code]
        valid = a >= b if name == "-" else b > 0 if name in ("/", "%") else slice(None)
        yield a[valid], np.full(len(a[valid]), code, np.int64), b[valid]


def draw(bits: int, operation: Integers, stream: np.random.BitGenerator) -> Calculations:
    """One calculation for each operation given, uniform over that operation's domain.

    ``stream`` is read raw, which NEP 19 freezes, so that a seed means the same calculations with every NumPy. Uniform
    is meant up to 2^-31: a number below k is the upper half of a raw 32-bit number times k.

    Args:
        operation: int64 (N,), indices into :data:`OPERATIONS`.
        stream: gives ``2 N`` raw words.
    """
    n = 1 << Encoding(bits).bits
    raw = np.asarray(stream.random_raw(2 * len(operation)), np.uint64).reshape(2, -1)
    subtraction, division = np.isin(operation, operation_codes(["-"])), np.isin(operation, operation_codes(["/", "%"]))
    a = below(raw[0], np.full(len(operation), n))
    b = below(raw[1], n + subtraction - division.astype(np.int64)) + division
    # Pairs a >= b, uniformly: of the n (n + 1) pairs (a, b) with b <= n, half have b <= a; the map turns the others
    # into those, one to one.
    other = subtraction & (b > a)
    return Calculations(bits, np.where(other, n - 1 - a, a), operation, np.where(other, n - b, b))


def below(raw: npt.NDArray[np.uint64], limit: Integers) -> Integers:
    """Numbers 0 to ``limit`` - 1, int64 (N,), from raw 64-bit words; ``limit`` is at most 2^31."""
    return ((raw >> np.uint64(32)) * limit.astype(np.uint64) >> np.uint64(32)).astype(np.int64)


def sample(bits: int, count: int, seed: int = 0, valid_ops: Sequence[str] | None = None) -> Calculations:
    """``count`` random calculations, the operations in turn, each uniform over its domain."""
    codes = np.array(operation_codes(valid_ops), np.int64)
    return draw(bits, codes[np.arange(count) % len(codes)], np.random.PCG64(seed))


@dataclass(frozen=True, repr=False)
class CalculationDataset(Shown):
    """Calculations as samples for a graph.

    Attributes:
        calculations: in order.
        valid_ops: the operations that may occur.
        as_vectors: whether inputs are in the vector form, not the flat one.
        split: ``random`` or ``all``. source: in words.
    """

    calculations: Calculations
    valid_ops: tuple[str, ...]
    as_vectors: bool
    split: str
    source: str

    @property
    def name(self) -> str:
        """``alu``."""
        return "alu"

    @property
    def prepared(self) -> str:
        """In words, for the report."""
        form = "operands and operation as three vectors" if self.as_vectors else "operands and operation in one vector"
        return f"{form} of bits, each 0 or 1"

    @property
    def sha256(self) -> Mapping[str, str]:
        """Nothing: no file is read."""
        return {}

    @property
    def labels(self) -> None:
        """None: a result is bits, not a class."""
        return None

    @cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """float32 (N, inputs) or (N, 3, width), zeros and ones."""
        found = self.calculations.vectors() if self.as_vectors else self.calculations.inputs()
        return found.astype(np.float32)

    def __len__(self) -> int:
        return len(self.calculations)

    def __getitem__(self, chosen: slice) -> CalculationDataset:
        return replace(self, calculations=self.calculations[chosen])


def every_calculation(
    bits: int, valid_ops: Sequence[str] | None = None, *, as_vectors: bool = False
) -> CalculationDataset:
    """All valid calculations, in the order of :func:`every`.

    Raises:
        UsageError: too many of them, or an operation that there is not.
    """
    names = tuple(OPERATIONS[code] for code in operation_codes(valid_ops))
    source = f"all calculations of {bits} bits, operations {' '.join(names)}"
    return CalculationDataset(every(bits, names), names, as_vectors, "all", source)


def load_calculations(
    bits: int = 15,
    count: int | None = None,
    seed: int = 0,
    valid_ops: Sequence[str] | None = None,
    *,
    as_vectors: bool = False,
) -> CalculationDataset:
    """Random calculations, the operations in turn; ``PER_OPERATION`` of each where ``count`` is None.

    Raises:
        UsageError: bits, count, seed or an operation out of range.
    """
    codes = operation_codes(valid_ops)
    names = tuple(OPERATIONS[code] for code in codes)
    count = PER_OPERATION * len(codes) if count is None else count
    if not 1 <= count <= 1 << 26:
        raise UsageError(f"ask for 1 to {1 << 26:,} random calculations, not {count:,}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"the seed must be between 0 and {2**32 - 1}, not {seed}")
    source = f"random calculations of {bits} bits, seed {seed}, operations {' '.join(names)}"
    return CalculationDataset(sample(bits, count, seed, valid_ops), names, as_vectors, "random", source)
