"""Cellular automata: boards on a torus, every cell of which becomes what a circuit makes of its neighbourhood.

A board is rows of bits, 64 cells to a word, the first in the lowest bit. Code is made that goes down the board, a row's
words side by side in vector registers, and writes each row as soon as the next one has been read. Rows that fit few
registers are there as a whole, and their neighbours to the left and right are made by turning them; wider boards are
done in strips, from one copy to another, with a word beyond each end that repeats the other end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import SimulationError
from graphsim.graph.circuit import Circuit
from graphsim.native import entry
from graphsim.simulate.circuit import code, kept
from graphsim.simulate.circuit.code import BYTES, VECTOR, WORDS
from graphsim.simulate.circuit.drive import call
from graphsim.simulate.circuit.packed import aligned
from graphsim.simulate.circuit.stencil import COLUMNS, ROW_BY_ROW, Shifted, Stencil, stencil

Board = npt.NDArray[np.bool_]

#: Rows of up to so many vectors are turned in registers.
_WHOLE = 2
#: Rows before the first and behind the last: garbage, the last row once more; the first row once more.
_ABOVE, _BELOW = 2, 1


class CellularAutomaton:
    """A board that a circuit drives.

    Args:
        circuit: nine inputs, one output, no registers.
        board: bool (rows, columns), at least 1x1.
        places: where the cell of each input lies: rows down and columns to the right. By default the neighbourhood row
            by row: input 4 is the cell itself.

    Attributes:
        operations: operations on vectors per row of a vector, without what turns rows.
        is_summed: whether sums of neighbours are made instead of the circuit's own operations, which is done where its
            512 answers, all looked at, depend on nothing else and that is less work.

    Raises:
        SimulationError: the circuit is another.
    """

    def __init__(self, circuit: Circuit, board: Board, places: Sequence[tuple[int, int]] = ROW_BY_ROW) -> None:
        if circuit.input_count != 9 or len(circuit.outputs) != 1 or circuit.register_count or len(places) != 9:
            raise SimulationError(
                f"{circuit.name} has {circuit.input_count} inputs, {len(circuit.outputs)} outputs and"
                f" {circuit.register_count} registers; an automaton takes nine inputs and one output"
            )
        self.circuit, self._places = circuit, tuple(places)
        self._stencil, self.is_summed = stencil(circuit, places)
        self.operations = len(self._stencil.operations)
        self._columns = 0
        self.board = board

    @property
    def board(self) -> Board:
        """The board, bool (rows, columns): a copy."""
        rows = self._rows
        last = self._left + self._used
        data = np.ascontiguousarray(self._memory[_ABOVE : _ABOVE + rows, self._left : last]).astype("<u8")
        bits = np.unpackbits(data.view(np.uint8), axis=1, count=self._columns, bitorder="little")
        return bits.view(np.bool_)

    @board.setter
    def board(self, board: Board) -> None:
        if board.ndim != 2 or not board.size:
            raise SimulationError(f"a board of shape {board.shape}; it has rows and columns")
        self._rows, columns = board.shape
        self._used = -(-columns // 64)
        vectors = -(-self._used // WORDS)
        self._whole = vectors <= _WHOLE
        if columns != self._columns:
            self.__dict__.pop("_code", None)
        self._columns = int(columns)
        self._left = 0 if self._whole else WORDS
        width = vectors * WORDS + (0 if self._whole else 2 * WORDS)
        self._memory = aligned(_ABOVE + self._rows + _BELOW, width)
        packed = np.zeros((self._rows, self._used * 8), np.uint8)
        packed[:, : -(-columns // 8)] = np.packbits(board, axis=1, bitorder="little")
        own = self._memory[_ABOVE : _ABOVE + self._rows, self._left : self._left + self._used]
        own[:] = packed.view("<u8")
        self._other = None if self._whole else aligned(*self._memory.shape)

    def step(self, generations: int = 1) -> None:
        """Go on by so many generations."""
        at = self._code.address["rows"]
        if self._other is None:
            _turn(at, self._memory, self._memory.ctypes.data, self._rows, generations)
            return
        memory = (self._memory, self._other)
        ends = (memory[0].ctypes.data, memory[1].ctypes.data)
        _strip(at, *memory, *ends, self._rows, self._columns, generations)
        if generations % 2:
            self._memory, self._other = self._other, self._memory

    @cached_property
    def _code(self) -> code.Linked:
        c = self.circuit
        columns = np.array([self._columns if self._whole else 0, *(n for place in self._places for n in place)])
        key = kept.key(b"cells", columns, c.indptr, c.index, c.truth, c.outputs)
        found = kept.find(key)
        if found is None:
            text = _text(self._stencil, self._columns if self._whole else None)
            found = {"code": np.frombuffer(code.compiled(text, opt=2), np.uint8)}
            kept.keep(key, found)
        return code.Linked(found["code"].tobytes(), "rows")


@entry("void(int64, uint64[:,::1], int64, int64, int64)")
def _turn(function: int, memory: Any, at: int, rows: int, generations: int) -> None:
    """Generations of a board whose rows are turned in registers: in place."""
    width = memory.shape[1]
    for _ in range(generations):
        for k in range(width):
            memory[_ABOVE - 1, k] = memory[_ABOVE + rows - 1, k]
            memory[_ABOVE + rows, k] = memory[_ABOVE, k]
        call(function, at, at, width * 8, rows + _ABOVE)


@entry("void(int64, uint64[:,::1], uint64[:,::1], int64, int64, int64, int64, int64)")
def _strip(
    function: int, one: Any, other: Any, one_at: int, other_at: int, rows: int, columns: int, generations: int
) -> None:
    """Generations of a board done in strips, from one memory to the other and back."""
    width = one.shape[1]
    used = (columns + 63) // 64
    left = WORDS
    over = columns % 64
    for g in range(generations):
        memory = other if g % 2 else one
        source, target = (other_at, one_at) if g % 2 else (one_at, other_at)
        for y in range(_ABOVE, _ABOVE + rows):
            last = memory[y, left + used - 1]
            first = memory[y, left] & np.uint64(1)
            if over:
                memory[y, left - 1] = last << np.uint64(64 - over)
                memory[y, left + used - 1] = (last & ((np.uint64(1) << np.uint64(over)) - np.uint64(1))) | (
                    first << np.uint64(over)
                )
            else:
                memory[y, left - 1] = last
                memory[y, left + used] = first
        for k in range(width):
            memory[_ABOVE - 1, k] = memory[_ABOVE + rows - 1, k]
            memory[_ABOVE + rows, k] = memory[_ABOVE, k]
        for k in range(left, left + used, WORDS):
            call(function, source + 8 * k, target + 8 * k, width * 8, rows + _ABOVE)


def _text(of: Stencil, columns: int | None) -> str:
    """``rows(source, target, bytes of a row, rows)``: of one strip, or, if ``columns`` are given, of whole rows."""
    used = -(-columns // 64) if columns is not None else WORDS
    vectors = -(-used // WORDS)
    values = COLUMNS + len(of.operations)
    lines = [code.declarations()]
    line = lines.append
    for way in ("fshl", "fshr"):
        line(f"declare {VECTOR} @llvm.{way}.v{WORDS}i64({VECTOR}, {VECTOR}, {VECTOR})\n")
    line("define void @rows(ptr %source, ptr %target, i64 %row, i64 %rows) {\nentry:\n")
    line("%begin = getelementptr i8, ptr %source, i64 %row\nbr label %loop\nloop:\n")
    line("%y = phi i64 [0, %entry], [%y.next, %loop]\n")
    line("%from = phi ptr [%begin, %entry], [%from.next, %loop]\n%to = phi ptr [%target, %entry], [%to.next, %loop]\n")
    for value in range(values):
        for age in range(1, of.ages[value] + 1):
            for v in range(vectors):
                before = _name(value, age - 1, v)
                line(f"%{_name(value, age, v)} = phi {VECTOR} [zeroinitializer, %entry], [%{before}, %loop]\n")
    for v in range(vectors):
        line(f"%at{v} = getelementptr i8, ptr %from, i64 {v * BYTES}\n")
        line(f"%v1.{v} = load {VECTOR}, ptr %at{v}, align {BYTES}\n")
    if columns is None:
        for name, off in (("before", -8), ("behind", 8)):
            line(f"%{name}.at = getelementptr i8, ptr %from, i64 {off}\n")
            line(f"%{name}0 = load {VECTOR}, ptr %{name}.at, align 8\n")
        turned = [("before0", "behind0", "v1.0")]
    else:
        turned = _turned(lines, columns, vectors)
    for v, (before, behind, cells) in enumerate(turned):
        line(_funnel(f"v0.{v}", "fshl", f"v1.{v}", before))
        line(_funnel(f"v2.{v}", "fshr", behind, cells))
    for i, operation in enumerate(of.operations):
        value = COLUMNS + i
        for v in range(vectors):
            reads = [_name(r, of.leads[r] - of.leads[value] - down, v) for r, down in operation.reads]
            line(code.operation(f"v{value}.{v}", operation.table, reads))
    _written(lines, of.output, of.leads, columns, vectors)
    line("%y.next = add i64 %y, 1\n%from.next = getelementptr i8, ptr %from, i64 %row\n")
    line("%to.next = getelementptr i8, ptr %to, i64 %row\n%more = icmp ult i64 %y.next, %rows\n")
    line("br i1 %more, label %loop, label %end\nend:\nret void\n}\n")
    return "".join(lines)


def _name(value: int, age: int, vector: int) -> str:
    """What a value of so many rows before is called."""
    return f"v{value}.{vector}" + (f".{age}" if age else "")


def _funnel(result: str, way: str, high: str, low: str) -> str:
    one = "<" + ", ".join(["i64 1"] * WORDS) + ">"
    return f"%{result} = call {VECTOR} @llvm.{way}.v{WORDS}i64({VECTOR} %{high}, {VECTOR} %{low}, {VECTOR} {one})\n"


def _constant(words: Sequence[int]) -> str:
    return "<" + ", ".join(f"i64 {word}" for word in words) + ">"


def _turned(lines: list[str], columns: int, vectors: int) -> list[tuple[str, str, str]]:
    """By vector of a row: names of each word's neighbours to the left and to the right on the torus, and of the words
    themselves, the bit behind the last cell being the first cell.
    """
    used, over = -(-columns // 64), columns % 64
    names: list[tuple[str, str, str]] = []
    for v in range(vectors):
        before, behind, cells = f"before{v}", f"behind{v}", f"v1.{v}"
        words = range(v * WORDS, (v + 1) * WORDS)
        lines.append(_shuffled(before, [(w - 1) % used if w < used else w for w in words], v))
        lines.append(_shuffled(behind, [(w + 1) % used if w < used else w for w in words], v))
        if over and v == 0:
            shifts = _constant([64 - over if w == 0 else 0 for w in words])
            before = f"last{v}"
            lines.append(f"%{before} = shl {VECTOR} %before{v}, {shifts}\n")
        if over and v == vectors - 1:
            only = _constant([int(w == used - 1) for w in words])
            shifts = _constant([over if w == used - 1 else 0 for w in words])
            lines.append(f"%first{v} = and {VECTOR} %{behind}, {only}\n")
            lines.append(f"%extra{v} = shl {VECTOR} %first{v}, {shifts}\n")
            lines.append(f"%cells{v} = or {VECTOR} %{cells}, %extra{v}\n")
            cells = f"cells{v}"
        names.append((before, behind, cells))
    return names


def _shuffled(name: str, words: list[int], own: int) -> str:
    """``%name``: words of the row, by number, from at most two of its vectors ``%v1.*``."""
    sources = sorted({w // WORDS for w in words}) or [own]
    first, second = sources[0], sources[-1]
    assert len(sources) <= 2
    places = [w % WORDS + (WORDS if w // WORDS == second != first else 0) for w in words]
    mask = "<" + ", ".join(f"i32 {place}" for place in places) + ">"
    return f"%{name} = shufflevector {VECTOR} %v1.{first}, {VECTOR} %v1.{second}, <{WORDS} x i32> {mask}\n"


def _written(lines: list[str], output: Shifted, leads: Sequence[int], columns: int | None, vectors: int) -> None:
    """Store the value that the row becomes; bits behind the last cell are 0."""
    value, down = output
    for v in range(vectors):
        name = _name(value, leads[value] - down, v)
        if columns is not None and columns < (v + 1) * WORDS * 64:
            cells = [min(64, max(0, columns - 64 * w)) for w in range(v * WORDS, (v + 1) * WORDS)]
            mask = _constant([(1 << many) - 1 for many in cells])
            lines.append(f"%written{v} = and {VECTOR} %{name}, {mask}\n")
            name = f"written{v}"
        lines.append(f"%to{v} = getelementptr i8, ptr %to, i64 {v * BYTES}\n")
        lines.append(f"store {VECTOR} %{name}, ptr %to{v}, align {BYTES}\n")
