"""Operations on vectors of lanes as LLVM code, compiled for this machine and linked into the process.

The text is written so that the code generator has nothing left to decide: its quickest level (-O0: one pass over each
function, registers as they come) then takes about 30 us per operation and spills nothing, where -O2 takes twenty times
as long for code that is no faster, as it orders the loads by its own lights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import llvmlite.binding as llvm

from graphsim.native import has, target

#: Words of 64 lanes in a vector: what a register of this CPU holds.
WORDS = 8 if has("avx512f") else 4 if has("avx2") else 2
VECTOR = f"<{WORDS} x i64>"
BYTES = 8 * WORDS
#: Whether there is one instruction for any table of three inputs.
_TERNARY = has("avx512f")
#: Values at hand at a time. Without ternary instructions an operation needs registers of its own.
REGISTERS = 30 if _TERNARY else 11
_INTRINSIC = f"declare {VECTOR} @llvm.x86.avx512.pternlog.q.512({VECTOR}, {VECTOR}, {VECTOR}, i32)"
_ONES = f"<{', '.join(['i64 -1'] * WORDS)}>"
#: Tables of two inputs that any CPU has an instruction for.
_PLAIN = {0x88: "and", 0xEE: "or", 0x66: "xor"}
#: Numbers libraries in the process.
_SERIAL = itertools.count()


def load(name: str, base: str, number: int) -> str:
    """``%name``: a vector, by its number from an address ``%base`` on."""
    return (
        f"%{name}.p = getelementptr i8, ptr %{base}, i64 {number * BYTES}\n"
        f"%{name} = load {VECTOR}, ptr %{name}.p, align {BYTES}\n"
    )


def store(name: str, base: str, number: int) -> str:
    """``%name`` to where a vector is, by its number from an address ``%base`` on."""
    return (
        f"%{name}.q = getelementptr i8, ptr %{base}, i64 {number * BYTES}\n"
        f"store {VECTOR} %{name}, ptr %{name}.q, align {BYTES}\n"
    )


def operation(name: str, table: int, reads: list[str]) -> str:
    """``%name``: the table of up to three values, named without %."""
    if len(reads) == 2 and (kind := _PLAIN.get(table)):  # three operands: what is read stays in its register
        return f"%{name} = {kind} {VECTOR} %{reads[0]}, %{reads[1]}\n"
    if _TERNARY:
        x, y, z = (*reads, *[reads[0] if reads else ""] * (3 - len(reads)))
        if not reads:
            x = y = z = _ONES if table & 1 else "zeroinitializer"
        else:
            x, y, z = f"%{x}", f"%{y}", f"%{z}"
        # The bits of a ternary instruction are numbered with its first operand as the highest.
        operands = f"{VECTOR} {z}, {VECTOR} {y}, {VECTOR} {x}"
        return f"%{name} = call {VECTOR} @llvm.x86.avx512.pternlog.q.512({operands}, i32 {table})\n"
    lines: list[str] = []
    of = formula(table)
    if isinstance(of, tuple):
        _written(of, name, [f"%{r}" for r in reads], lines, name)
    else:
        lines.append(f"%{name} = or {VECTOR} {_written(of, name, [f'%{r}' for r in reads], lines)}, zeroinitializer\n")
    return "".join(lines)


def declarations() -> str:
    """What a text with operations begins with."""
    return _INTRINSIC + "\n" if _TERNARY else ""


#: A table as an expression: an input, or a constant, or a gate of two expressions.
Formula = int | bool | tuple[str, Any, Any]


def _written(of: Formula, name: str, reads: list[str], lines: list[str], last: str = "") -> str:
    """Write down an expression of two-input instructions; where its value is: in ``%last`` if that is given."""
    if isinstance(of, bool):
        return _ONES if of else "zeroinitializer"
    if isinstance(of, int):
        return reads[of]
    kind, a, b = of
    left, right = (_written(part, name, reads, lines) for part in (a, b))
    at = f"%{last or f'{name}.t{len(lines)}'}"
    lines.append(f"{at} = {kind} {VECTOR} {left}, {right}\n")
    return at


@cache
def _formulas() -> dict[int, Formula]:
    """For every table of three inputs an expression of and, or and xor (a complement is a xor) with fewest of them."""
    found: dict[int, Formula] = {0x00: False, 0xFF: True, 0xAA: 0, 0xCC: 1, 0xF0: 2}
    by_cost: list[list[int]] = [list(found)]
    operators: tuple[tuple[str, Callable[[int, int], int]], ...] = (
        ("and", lambda x, y: x & y),
        ("or", lambda x, y: x | y),
        ("xor", lambda x, y: x ^ y),
    )
    while len(found) < 256:
        cost, new = len(by_cost), dict[int, Formula]()
        for low in range((cost + 1) // 2):
            for x, y in itertools.product(by_cost[low], by_cost[cost - 1 - low]):
                for kind, step in operators:
                    if (table := step(x, y)) not in found and table not in new:
                        new[table] = (kind, found[x], found[y])
        by_cost.append(list(new))
        found |= new
    return found


@lru_cache(maxsize=256)
def formula(table: int) -> Formula:
    """An expression of two-input instructions for a table of three inputs."""
    return _formulas()[table]


def compiled(text: str, opt: int = 0) -> bytes:
    """The text of an LLVM module as an object file for this machine."""
    _initialise()
    module = llvm.parse_assembly(text)
    machine = _machine(opt)
    module.triple, module.data_layout = target()[0], str(machine.target_data)
    return bytes(machine.emit_object(module))


class Linked:
    """An object file in the process: addresses of its functions, which live as long as this does."""

    def __init__(self, code: bytes, *names: str) -> None:
        _initialise()
        builder = llvm.JITLibraryBuilder().add_object_img(code)
        for name in names:
            builder = builder.export_symbol(name)
        self._tracker = builder.link(_linker(), f"graphsim{next(_SERIAL)}")
        self.address = {name: int(self._tracker[name]) for name in names}


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _machine(opt: int, **more: Any) -> Any:
    triple, cpu, features = target()
    return llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=opt, **more)


@cache
def _linker() -> Any:
    return llvm.create_lljit_compiler(_machine(0, jit=True))
