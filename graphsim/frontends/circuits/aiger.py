"""AIGER files, ASCII (``.aag``) and binary (``.aig``), of versions 1.0 and 1.9.

What the format is: "The AIGER And-Inverter Graph (AIG) Format Version 20071012" and "AIGER 1.9 And Beyond", both by
Biere et al., FMV reports 07/1 and 11/2, JKU Linz. A literal is twice a variable's number, plus 1 if it is inverted;
variable 0 is the constant false. In a binary file variables are numbered as signals of a circuit are: inputs, latches,
ANDs, each AND behind what it reads; it is decoded array by array.

Properties of version 1.9 are for model checkers. Bad-state properties are the outputs of a file that has no others;
else they, constraints, justice and fairness properties are noted. A latch without a first value starts at 0, noted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.names import distinct, printable
from graphsim.frontends.circuits.text import FREE_NAMES, decoded, quoted
from graphsim.graph.channels import IntArray
from graphsim.graph.circuit import Circuit

_HEADER = re.compile(rb"a[ai]g(?: [0-9]{1,10}){5,9} *")
_NUMBERS = re.compile(rb"[0-9]{1,10}(?: [0-9]{1,10})* *")
_SYMBOL = re.compile(rb"([ilobcjf])([0-9]{1,10}) (.+)")
#: Bytes of the longest delta of a binary file: 2**35 is above all literals.
_LONGEST = 5
_COMMENT = 2000
_SHOWN = 12


class Header(NamedTuple):
    """The first line of a file: greatest variable, then how many there are of everything."""

    binary: bool
    greatest: int
    inputs: int
    latches: int
    outputs: int
    ands: int
    bad: int = 0
    constraints: int = 0
    justice: int = 0
    fairness: int = 0


class _Reader:
    """A file, read line by line, and where it is."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.at, self.line = str(path), data, 0, 0

    def fail(self, message: str, line: int | None = None) -> CircuitError:
        return CircuitError(self.path, line, message)

    def left(self) -> bool:
        """Whether there is anything left."""
        return self.at < len(self.data)

    def next(self, what: str) -> bytes:
        """The next line, without its end."""
        if not self.left():
            raise self.fail(f"the file ends where {what} should be", self.line + 1)
        end = self.data.find(b"\n", self.at)
        end = len(self.data) if end < 0 else end
        line = self.data[self.at : end]
        self.at, self.line = end + 1, self.line + 1
        return line.removesuffix(b"\r")

    def numbers(self, what: str, least: int, most: int) -> list[int]:
        """The numbers of the next line."""
        line = self.next(what)
        if _NUMBERS.fullmatch(line):
            numbers = [int(number) for number in line.split()]
            if least <= len(numbers) <= most:
                return numbers
        raise self.fail(f"{quoted(decoded(line[:80]))} is not {what}", self.line)


def read(path: Path, top: str | None = None) -> Circuit:
    """The circuit in an AIGER file; ``top`` means nothing here, as a file holds one.

    Raises:
        CircuitError: the file is not AIGER, or its literals do not make a circuit.
    """
    return _File(_Reader(path, path.read_bytes()), path.stem).circuit()


class _File:
    """A file's parts, as they are read.

    Literals are int64 arrays: ``latch``, ``following``, ``outputs``, ...; of ANDs ``lhs``, ``right0``, ``right1``.
    """

    def __init__(self, reader: _Reader, name: str) -> None:
        self.reader, self.name = reader, name
        self.notes: dict[str, str] = {}
        self.header = header = _header(reader)
        self.inputs = self._variables(header.inputs, "the literal of an input", 2)
        self.input_line = 2
        self.latch_line = reader.line + 1
        self._latches()
        self.output_line = reader.line + 1
        self.outputs = self._literals(header.outputs, "the literal of an output")
        self.bad = self._literals(header.bad, "the literal of a bad-state property")
        self._literals(header.constraints, "the literal of a constraint")
        sizes = [reader.numbers("the size of a justice property", 1, 1)[0] for _ in range(header.justice)]
        for size in sizes:
            for _ in range(size):
                reader.numbers("the literal of a justice property", 1, 1)
        self._literals(header.fairness, "the literal of a fairness property")
        self.and_line = reader.line + 1
        self._ands()
        self.symbols: dict[str, dict[int, str]] = {}
        self._symbols()

    def _variables(self, count: int, what: str, first: int) -> IntArray:
        """Literals that are defined one per line in an ASCII file, and by their places in a binary one."""
        if self.header.binary:
            return first + 2 * np.arange(count, dtype=np.int64)
        return self._literals(count, what)

    def _literals(self, count: int, what: str) -> IntArray:
        return np.array([self.reader.numbers(what, 1, 1)[0] for _ in range(count)], np.int64)

    def _latches(self) -> None:
        binary = self.header.binary
        latch, following, initial = [], [], []
        unknown = 0
        for at in range(self.header.latches):
            numbers = self.reader.numbers("a latch: [literal] next [first value]", 2 - binary, 3 - binary)
            if binary:
                numbers.insert(0, 2 * (self.header.inputs + at + 1))
            first = numbers[2] if len(numbers) == 3 else 0
            if first not in (0, 1, numbers[0]):
                shown = f"latch {numbers[0]} starts at {first}; 0, 1 or the latch itself (no value) can be"
                raise self.reader.fail(shown, self.reader.line)
            unknown += first == numbers[0]
            latch.append(numbers[0])
            following.append(numbers[1])
            initial.append(first == 1)
        self.latch, self.following = np.array(latch, np.int64), np.array(following, np.int64)
        self.initial = np.array(initial, np.bool_)
        if unknown:
            self.notes["aiger.first_values"] = f"{unknown:,} latches have none; they start at 0"

    def _ands(self) -> None:
        header, reader = self.header, self.reader
        if not header.binary:
            what = "an AND: literal, left and right"
            rows = np.array([reader.numbers(what, 3, 3) for _ in range(header.ands)], np.int64).reshape(-1, 3)
            self.lhs, self.right0, self.right1 = rows.T
            return
        deltas, size = _deltas(reader.data[reader.at :], 2 * header.ands)
        if len(deltas) < 2 * header.ands:
            raise reader.fail(f"its ANDs are damaged from number {len(deltas) // 2 + 1:,} of {header.ands:,} on")
        reader.at += size
        self.lhs = 2 * (header.inputs + header.latches + 1 + np.arange(header.ands, dtype=np.int64))
        self.right0 = self.lhs - deltas[0::2]
        self.right1 = self.right0 - deltas[1::2]
        wrong = (deltas[0::2] == 0) | (self.right1 < 0)
        if wrong.any():
            at = int(np.argmax(wrong))
            shown = f"{self.lhs[at]} = {self.right0[at]} & {self.right1[at]}"
            raise reader.fail(f"AND {shown} is out of order; literals descend in a binary file")

    def _symbols(self) -> None:
        reader, header = self.reader, self.header
        counts = {
            "i": header.inputs,
            "l": header.latches,
            "o": header.outputs,
            "b": header.bad,
            "c": header.constraints,
            "j": header.justice,
            "f": header.fairness,
        }
        while reader.left():
            line = reader.next("a symbol")
            found = _SYMBOL.fullmatch(line)
            if found is None:
                if line.startswith(b"c"):  # ABC writes its own things behind the c, at once
                    self._comment(line[1:] + reader.data[reader.at - 1 :])
                    return
                if not line.strip():
                    continue
                raise reader.fail(f"{quoted(decoded(line[:80]))} is not a symbol, such as: i0 name", self._place())
            kind, number = found[1].decode(), int(found[2])
            known = self.symbols.setdefault(kind, {})
            if number >= counts[kind]:
                what = f"symbol {kind}{number} names nothing: there are {counts[kind]} of its kind"
                raise reader.fail(what, self._place())
            if number in known:
                raise reader.fail(f"symbol {kind}{number} is there twice", self._place())
            known[number] = decoded(found[3])

    def _comment(self, data: bytes) -> None:
        text = decoded(data[:_COMMENT])
        if text := "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip():
            self.notes["aiger.comment"] = text

    def _place(self) -> int | None:
        """The line, where lines can be counted."""
        return None if self.header.binary else self.reader.line

    def circuit(self) -> Circuit:
        """The circuit of the parts."""
        header = self.header
        order = self._define()
        shown, kind, what = self.outputs, "o", "output"
        if not header.outputs and header.bad:
            shown, kind, what = self.bad, "b", "bad-state property"
            self.notes["aiger.outputs"] = "are the bad-state properties, as there are no others"
        for count, of in (
            (header.bad if kind == "o" else 0, "bad-state properties"),
            (header.constraints, "constraints"),
            (header.justice, "justice properties"),
            (header.fairness, "fairness properties"),
        ):
            if count:
                self.notes[f"aiger.{of.split()[0]}"] = f"{count:,} {of} are for model checkers; left out"
        right0 = self._signals(self.right0[order], "AND", order + self.and_line)
        right1 = self._signals(self.right1[order], "AND", order + self.and_line)
        made = _Gates(header.inputs + header.latches, right0, right1)
        latch_lines = np.arange(header.latches) + self.latch_line
        output_lines = np.arange(len(shown)) + self.output_line
        following = made.plain(self._signals(self.following, "latch", latch_lines))
        outputs = made.plain(self._signals(shown, what, output_lines))
        input_names = self._names("i", header.inputs, ())
        circuit = Circuit(
            name=self.name,
            input_names=input_names,
            output_names=self._names(kind, len(shown), ()),
            outputs=outputs,
            indptr=made.indptr,
            index=made.index,
            truth=made.truth,
            register_names=self._names("l", header.latches, input_names),
            initial=self.initial,
            following=following,
            notes=self.notes,
        )
        circuit.check()
        return circuit

    def _define(self) -> IntArray:
        """Number the variables as signals; the order of the ANDs, as positions in the file.

        Sets ``variables``, sorted, and ``numbers``, the signal of each.
        """
        defined = np.concatenate([self.inputs, self.latch, self.lhs])
        lines = np.concatenate(
            [
                np.arange(len(self.inputs)) + self.input_line,
                np.arange(len(self.latch)) + self.latch_line,
                np.arange(len(self.lhs)) + self.and_line,
            ]
        )
        wrong = (defined < 2) | (defined % 2 == 1) | (defined > 2 * self.header.greatest)
        if wrong.any():
            at = int(np.argmax(wrong))
            why = f"literals that are defined are even, from 2 to {2 * self.header.greatest}"
            raise self._wrong(f"literal {defined[at]} cannot be defined; {why}", int(lines[at]))
        by_variable = np.argsort(defined, kind="stable")
        self.variables = defined[by_variable] >> 1
        twice = np.nonzero(self.variables[1:] == self.variables[:-1])[0]
        if len(twice):
            at = int(by_variable[twice[0] + 1])
            raise self._wrong(f"literal {defined[at]} is defined a second time", int(lines[at]))
        self.numbers = by_variable
        order = np.arange(len(self.lhs), dtype=np.int64)
        first = len(self.inputs) + len(self.latch)
        right0 = (self._signals(self.right0, "AND", order + self.and_line) >> 1) - 1 - first
        right1 = (self._signals(self.right1, "AND", order + self.and_line) >> 1) - 1 - first
        if (np.maximum(right0, right1) < order).all():
            return order
        order = self._sorted(right0.tolist(), right1.tolist())
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        is_and = self.numbers >= first
        self.numbers[is_and] = first + place[self.numbers[is_and] - first]
        return order

    def _sorted(self, right0: Sequence[int], right1: Sequence[int]) -> IntArray:
        """ANDs behind what they read, by depth-first search from each in the order of the file."""
        order: list[int] = []
        state = bytearray(len(right0))  # 1: begun, 2: done
        for root in range(len(right0)):
            stack = [root]
            while stack:
                at = stack[-1]
                if state[at] == 2:
                    stack.pop()
                    continue
                waiting = [r for r in (right0[at], right1[at]) if r >= 0 and state[r] != 2]
                if not waiting:
                    state[at] = 2
                    order.append(stack.pop())
                elif state[at] == 1 and any(state[r] == 1 for r in waiting):
                    raise self._loop(at, right0, right1, state)
                else:
                    state[at] = 1
                    stack += waiting
        return np.array(order, np.int64)

    def _loop(self, at: int, right0: Sequence[int], right1: Sequence[int], state: bytearray) -> CircuitError:
        seen: dict[int, int] = {}
        path: list[int] = []
        while at not in seen:
            seen[at] = len(path)
            path.append(at)
            at = next(r for r in (right0[at], right1[at]) if r >= 0 and state[r] == 1)
        path = path[seen[at] :]
        names = " <- ".join(str(self.lhs[i]) for i in path[:_SHOWN])
        more = f" <- ... ({len(path):,} ANDs)" if len(path) > _SHOWN else ""
        message = f"combinational loop: literals {names}{more} <- {self.lhs[path[0]]}; a loop needs a latch"
        return self._wrong(message, self.and_line + path[0])

    def _signals(self, literals: IntArray, what: str, lines: IntArray) -> IntArray:
        """Twice (signal + 1) of each literal, plus 1 if it is inverted: literals again, of signals of the circuit."""
        variable = literals >> 1
        place = np.searchsorted(self.variables, variable)
        found = np.zeros(len(literals), np.int64)
        inside = place < len(self.variables)
        known = np.zeros(len(literals), np.bool_)
        known[inside] = self.variables[place[inside]] == variable[inside]
        missing = ~known & (variable != 0)
        if missing.any():
            at = int(np.argmax(missing))
            raise self._wrong(f"literal {literals[at]} is read by an {what} and defined nowhere", int(lines[at]))
        found[known] = self.numbers[place[known]] + 1
        return 2 * found + literals % 2

    def _wrong(self, message: str, line: int) -> CircuitError:
        return self.reader.fail(message, None if self.header.binary else line)

    def _names(self, kind: str, count: int, taken: Sequence[str]) -> tuple[str, ...]:
        """Names of the symbol table; ``i0``, ``l1``, ``o2`` where it has none."""
        given = {at: printable(name) for at, name in self.symbols.get(kind, {}).items()}
        symbols = dict(zip(given, distinct(given.values(), taken), strict=True))
        if any(symbols[at] != given[at] for at in given):
            self.notes["aiger.names"] = "some are there twice; all but the first have a number behind them"
        rest = [at for at in range(count) if at not in symbols]
        default = distinct((f"{kind}{at}" for at in rest), (*taken, *symbols.values()))
        symbols.update(zip(rest, default, strict=True))
        return tuple(symbols[at] for at in range(count))


class _Gates:
    """Gates of ANDs, and of what must be there besides: inverters and constants where a circuit has only signals.

    Args:
        first: signal of the first AND.
        right0, right1: literals of signals, as :meth:`_File._signals` makes them.
    """

    def __init__(self, first: int, right0: IntArray, right1: IntArray) -> None:
        low, high = np.minimum(right0, right1), np.maximum(right0, right1)
        low_signal, high_signal = (low >> 1) - 1, (high >> 1) - 1
        inverted = (low & 1) | (high & 1) << 1
        two = (low_signal >= 0) & (low_signal != high_signal)
        one = ((low == 1) | (low == high)) & (high_signal >= 0)
        true = (low == 1) & (high == 1)
        self._first, self._fan_in = first, np.where(two, 2, np.where(one, 1, 0))
        pairs = np.stack([low_signal, high_signal], 1)
        self._index = pairs[np.stack([two, two | one], 1)]
        self._truth = np.where(two, 1 << (3 - inverted), np.where(one, 2 - (high & 1), true)).astype(np.uint64)
        self._added: dict[int, int] = {}

    def plain(self, literals: IntArray) -> npt.NDArray[np.int32]:
        """Signals of literals."""
        signals = (literals >> 1) - 1
        for at in np.nonzero((literals % 2 == 1) | (signals < 0))[0].tolist():
            literal = int(literals[at])
            signals[at] = self._first + len(self._fan_in) + self._added.setdefault(literal, len(self._added))
        return signals.astype(np.int32)

    @property
    def indptr(self) -> IntArray:
        """As a :class:`Circuit` has it; so the others."""
        added = [int(literal > 1) for literal in self._added]
        return np.concatenate([[0], np.cumsum(np.concatenate([self._fan_in, added]))]).astype(np.int64)

    @property
    def index(self) -> npt.NDArray[np.int32]:
        added = [(literal >> 1) - 1 for literal in self._added if literal > 1]
        return np.concatenate([self._index, added]).astype(np.int32)

    @property
    def truth(self) -> npt.NDArray[np.uint64]:
        added = [literal if literal < 2 else 1 for literal in self._added]
        return np.concatenate([self._truth, np.array(added, np.uint64)])


def _header(reader: _Reader) -> Header:
    line = reader.next("the header: aag or aig M I L O A")
    if not _HEADER.fullmatch(line):
        raise reader.fail(
            f"{quoted(decoded(line[:80]))} is not a header: aag or aig, and 5 to 9 numbers M I L O A B C J F", 1
        )
    header = Header(line.startswith(b"aig"), *(int(number) for number in line.split()[1:]))
    needed = header.inputs + header.latches + header.ands
    if header.greatest < needed or (header.binary and header.greatest > needed):
        exactly = "exactly" if header.binary else "at least"
        raise reader.fail(f"variables go to {header.greatest}; I + L + A are {needed}, and M is {exactly} that", 1)
    room = len(reader.data) - reader.at + 1
    properties = header.outputs + header.bad + header.constraints + header.justice + header.fairness
    bytes_each = (0, 2, 2) if header.binary else (2, 4, 6)
    least = 2 * properties + sum(
        count * size for count, size in zip((header.inputs, header.latches, header.ands), bytes_each, strict=True)
    )
    if least > room or header.inputs > room + FREE_NAMES:
        sizes = f"{header.inputs:,} inputs, {header.latches:,} latches, {header.ands:,} ANDs and {properties:,} outputs"
        raise reader.fail(f"the header promises {sizes}, and the file has {len(reader.data):,} bytes", 1)
    return header


def _deltas(data: bytes, count: int) -> tuple[IntArray, int]:
    """The first ``count`` numbers of seven bits a byte, the lowest first, or as many as there are; and their bytes."""
    raw = np.frombuffer(data, np.uint8, min(len(data), _LONGEST * count))
    ends = np.nonzero(raw < 128)[0][:count].astype(np.int64)
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    sizes = ends - starts + 1
    if (sizes > _LONGEST).any():
        good = int(np.argmax(sizes > _LONGEST))
        ends, starts, sizes = ends[:good], starts[:good], sizes[:good]
    value = np.zeros(len(ends), np.int64)
    for at in range(int(sizes.max(initial=0))):
        longer = sizes > at
        value[longer] |= (raw[starts[longer] + at].astype(np.int64) & 127) << (7 * at)
    return value, int(ends[-1]) + 1 if len(ends) else 0
