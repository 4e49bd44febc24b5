"""The interpreter of operations: one loop in LLVM code, with a piece of code for each kind of table.

Tables that differ by the order of their inputs are of one kind: 80 kinds in all. An operation is done on a few vectors
at a time, so that finding its piece of code costs little beside it.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
import numpy.typing as npt

from graphsim.simulate.circuit.code import BYTES, VECTOR, declarations, operation
from graphsim.simulate.circuit.ternary import Network

#: An operation as the interpreter reads it; places are in vectors from the beginning of the frame.
RECORD = np.dtype([("kind", "<u4"), ("reads", "<u4", 3), ("place", "<u4")])


def _permuted(table: int, order: tuple[int, ...]) -> int:
    """The table whose input i is input ``order[i]`` of the given one."""
    return sum((table >> sum((m >> i & 1) << order[i] for i in range(3)) & 1) << m for m in range(8))


@cache
def kinds() -> tuple[list[int], npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The kinds' tables; and by table: number of its kind, and which of its inputs are the kind's, int64 (256, 3)."""
    found: list[int] = []
    kind = np.zeros(256, np.uint32)
    inputs = np.zeros((256, 3), np.int64)
    for table in range(256):
        least, order = min((_permuted(table, order), order) for order in permutations(range(3)))
        if least == table:
            found.append(table)
        kind[table] = found.index(least)
        inputs[table] = order
    return found, kind, inputs


def records(
    net: Network, order: npt.NDArray[np.int32], slots: npt.NDArray[np.int32], vectors: int
) -> npt.NDArray[np.void]:
    """A network's operations in an order, in a frame whose slots have so many vectors."""
    _, kind, inputs = kinds()
    made = np.zeros(len(order), RECORD)
    tables = net.tables[order]
    made["kind"] = kind[tables]
    made["reads"] = slots[np.take_along_axis(net.reads[order], inputs[tables], 1)] * np.uint32(vectors)
    made["place"] = slots[net.base + order] * np.uint32(vectors)
    return made


def text() -> str:
    """``interpret(frame, arguments, inputs, outputs)``: all in the frame.

    Arguments are int64: address of the records, address of their end, bytes of a slot.
    """
    shift = BYTES.bit_length() - 1
    lines = [declarations()]
    line = lines.append
    line("define void @interpret(ptr %m, ptr %arguments, ptr %x, ptr %y) {\nentry:\n")
    line("%begin = load ptr, ptr %arguments\n")
    for name, at in (("end", 8), ("bytes", 16)):
        line(f"%{name}.at = getelementptr i8, ptr %arguments, i64 {at}\n")
    line("%end = load ptr, ptr %end.at\n%bytes = load i64, ptr %bytes.at\nbr label %next\n")
    found = kinds()[0]
    ends = ", ".join(f"[%record.behind, %done{k}]" for k in range(len(found)))
    line(f"next:\n%record = phi ptr [%begin, %entry], {ends}\n")
    line("%over = icmp eq ptr %record, %end\nbr i1 %over, label %leave, label %do\ndo:\n")
    for name, at in (("kind", 0), ("x", 4), ("y", 8), ("z", 12), ("to", 16)):
        line(f"%{name}.in = getelementptr i8, ptr %record, i64 {at}\n%{name}.word = load i32, ptr %{name}.in\n")
        if name != "kind":
            line(f"%{name}.wide = zext i32 %{name}.word to i64\n%{name}.far = shl i64 %{name}.wide, {shift}\n")
            line(f"%{name}.first = getelementptr i8, ptr %m, i64 %{name}.far\n")
    line(f"%record.behind = getelementptr i8, ptr %record, i64 {RECORD.itemsize}\n")
    line("switch i32 %kind.word, label %leave [")
    line(" ".join(f"i32 {k}, label %case{k}" for k in range(len(found))) + "]\n")
    for k, table in enumerate(found):
        line(f"case{k}:\nbr label %loop{k}\nloop{k}:\n%j{k} = phi i64 [0, %case{k}], [%j{k}.next, %loop{k}]\n")
        for name in "xyz":
            line(f"%{name}{k}.at = getelementptr i8, ptr %{name}.first, i64 %j{k}\n")
            line(f"%{name}{k} = load {VECTOR}, ptr %{name}{k}.at, align {BYTES}\n")
        line(operation(f"r{k}", table, [f"x{k}", f"y{k}", f"z{k}"]))
        line(f"%r{k}.at = getelementptr i8, ptr %to.first, i64 %j{k}\n")
        line(f"store {VECTOR} %r{k}, ptr %r{k}.at, align {BYTES}\n")
        line(f"%j{k}.next = add i64 %j{k}, {BYTES}\n%j{k}.more = icmp ult i64 %j{k}.next, %bytes\n")
        line(f"br i1 %j{k}.more, label %loop{k}, label %done{k}\ndone{k}:\nbr label %next\n")
    line("leave:\nret void\n}\n")
    return "".join(lines)
