"""Benchmarks of circuits: the circuit engine and boards against C that is made of the same circuits, on one thread, in
seconds of that thread, whatever else the machine does.

Circuits are read from a folder where there is one (``--circuits``: iscas85/c6288, epfl/multiplier, epfl/hyp in any
format that is read), else multipliers and a root of a sum of squares of the same size are made here. Needs gcc.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bench import Row
from bench import paired as paired_on_the_wall

from graphsim.graph.circuit import Circuit, Words, pack
from graphsim.native import entry

paired = partial(paired_on_the_wall, clock=time.thread_time)

#: Words of 64 patterns per run: what is read and written stays in a core's caches. No power of two: signals would lie
#: 8 KiB apart, in the same few sets of a cache, which slows both sides, and not alike.
WORDS = 1032
#: Patterns times gates of a run of a large circuit.
WORK = 1 << 31


class Gates:
    """A circuit of two-input gates under construction; signals are numbers, the inputs first."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self._rows: list[tuple[int, ...]] = []
        self._truth: list[int] = []

    def gate(self, truth: int, *fanins: int) -> int:
        """A gate; bit ``a + 2 b`` of ``truth`` is its value for fanins a, b."""
        if len(fanins) == 2 and fanins[0] == fanins[1]:
            truth, fanins = truth & 1 | truth >> 2 & 2, fanins[:1]
        elif len(fanins) == 2 and fanins[0] > fanins[1]:
            truth, fanins = truth & 0b1001 | truth << 1 & 0b100 | truth >> 1 & 0b10, fanins[::-1]
        self._rows.append(fanins)
        self._truth.append(truth)
        return self.inputs + len(self._rows) - 1

    def both(self, a: int, b: int) -> int:
        """And."""
        return self.gate(0b1000, a, b)

    def either(self, a: int, b: int) -> int:
        """Or."""
        return self.gate(0b1110, a, b)

    def differ(self, a: int, b: int) -> int:
        """Exclusive or, of three gates, as and-inverter graphs have it."""
        return self.either(self.gate(0b0010, a, b), self.gate(0b0100, a, b))

    def add(self, *bits: int) -> tuple[int, int]:
        """Sum and carry of two or three bits."""
        one, carry = self.differ(bits[0], bits[1]), self.both(bits[0], bits[1])
        if len(bits) == 2:
            return one, carry
        return self.differ(one, bits[2]), self.either(carry, self.both(one, bits[2]))

    def circuit(self, name: str, outputs: list[int]) -> Circuit:
        """The circuit that shows these signals."""
        indptr, index = pack(self._rows)
        return Circuit(
            name=name,
            input_names=tuple(f"i[{n}]" for n in range(self.inputs)),
            output_names=tuple(f"o[{n}]" for n in range(len(outputs))),
            outputs=np.array(outputs, np.int32),
            indptr=indptr,
            index=index,
            truth=np.array(self._truth, np.uint64),
            initial=np.zeros(0, np.bool_),
            following=np.zeros(0, np.int32),
        )


def multiplier(bits: int) -> Circuit:
    """An array multiplier of two numbers."""
    gates = Gates(2 * bits)
    row = [gates.both(j, bits) for j in range(bits)]
    outputs = [row.pop(0)]
    for i in range(1, bits):
        made: list[int] = []
        carry: list[int] = []
        for j in range(bits):
            terms = [gates.both(j, bits + i), *row[j : j + 1], *carry]
            carry = []
            if len(terms) > 1:
                total, over = gates.add(*terms)
                carry = [over]
            else:
                total = terms[0]
            made.append(total)
        made += carry
        outputs.append(made[0])
        row = made[1:]
    return gates.circuit(f"multiplier of {bits} bits", outputs + row)


def hypotenuse(bits: int) -> Circuit:
    """The root of the sum of two squares: deep, as every digit of the root waits for the one before."""
    gates = Gates(2 * bits)
    zero, one = gates.gate(0), gates.gate(1)

    def square(number: range) -> list[int]:
        total = [zero] * (2 * bits)
        for i, a in enumerate(number):
            carry = zero
            for j, b in enumerate(number):
                total[i + j], carry = gates.add(gates.both(a, b), total[i + j], carry)
            total[i + bits] = carry
        return total

    total: list[int] = []
    carry = zero
    for a, b in zip(square(range(bits)), square(range(bits, 2 * bits)), strict=True):
        digit, carry = gates.add(a, b, carry)
        total.append(digit)
    total += [carry, zero]
    width = bits + 3
    rest, root = [zero] * width, list[int]()
    for step in range(len(total) // 2 - 1, -1, -1):
        rest = [total[2 * step], total[2 * step + 1], *rest[:-2]]
        tried = ([one, zero, *reversed(root)] + [zero] * width)[:width]
        carry, difference = one, list[int]()
        for a, b in zip(rest, tried, strict=True):
            digit, carry = gates.add(a, gates.gate(0b01, b), carry)
            difference.append(digit)
        root.append(carry)
        rest = [
            gates.either(gates.both(carry, d), gates.gate(0b0100, carry, r))
            for d, r in zip(difference, rest, strict=True)
        ]
    return gates.circuit(f"hypotenuse of {bits} bits", root[::-1])


def in_c(circuit: Circuit) -> str:
    """C as it is exported: ``void circuit_c(const cell *in, cell *out)``."""
    from graphsim.frontends.circuits.c_out import write

    return write(replace(circuit, name="circuit_c"), ".c").decode("ascii")


def patterns_in_c(circuit: Circuit) -> str:
    """C that runs words of patterns: ``run(inputs, outputs, words)``, both signal by signal."""
    return f"""{in_c(circuit)}
void run(const cell *inputs, cell *outputs, long words) {{
  cell in[{max(1, circuit.input_count)}], out[{len(circuit.outputs)}];
  for (long w = 0; w < words; w++) {{
    for (int i = 0; i < {circuit.input_count}; i++) in[i] = inputs[i * words + w];
    circuit_c(in, out);
    for (int j = 0; j < {len(circuit.outputs)}; j++) outputs[j * words + w] = out[j];
  }}
}}
"""


def life_in_c(circuit: Circuit) -> str:
    """C that plays on a board of 512 x 512, a word at a time: ``play(board, other, generations)``."""
    from graphsim.life import places

    shifts = {-1: "row[x] << 1 | row[(x + WIDE - 1) % WIDE] >> 63", 0: "row[x]"}
    shifts[1] = "row[x] >> 1 | row[(x + 1) % WIDE] << 63"
    gather = "\n".join(
        f"      row = from + WIDE * ((y + ROWS + {down}) % ROWS); in[{i}] = {shifts[right]};"
        for i, (down, right) in enumerate(places(circuit))
    )
    return f"""{in_c(circuit)}
enum {{ ROWS = 512, WIDE = 8 }};
static void step(const cell *from, cell *to) {{
  cell in[9];
  const cell *row;
  for (int y = 0; y < ROWS; y++)
    for (int x = 0; x < WIDE; x++) {{
{gather}
      circuit_c(in, to + WIDE * y + x);
    }}
}}
void play(cell *board, cell *other, long generations) {{
  for (long g = 0; g < generations; g += 2) {{ step(board, other); step(other, board); }}
}}
"""


def built(text: str, level: str, folder: Path) -> Any:
    """C compiled by gcc and loaded."""
    source, library = folder / f"{time.monotonic_ns()}.c", folder / f"{time.monotonic_ns()}.so"
    source.write_text(text, encoding="ascii")
    subprocess.run(["gcc", level, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


def c_job(circuit: Circuit, level: str, inputs: Words, folder: Path) -> tuple[Callable[[], None], Words]:
    """A run of exported C over words of patterns, and where its outputs go."""
    run = built(patterns_in_c(circuit), level, folder).run
    outputs = np.zeros((len(circuit.outputs), inputs.shape[1]), np.uint64)
    arguments = (
        ctypes.c_void_p(inputs.ctypes.data),
        ctypes.c_void_p(outputs.ctypes.data),
        ctypes.c_long(inputs.shape[1]),
    )
    return lambda: run(*arguments), outputs


@entry("void(int64, int32[:,::1], uint8[::1], uint64[:,::1], uint64[:,::1])")
def _table_interpreter(first: int, fanins: Any, truth: Any, inputs: Any, values: Any) -> None:
    """The plain way: gate by gate, by a table of two-input gates, a block of words at a time."""
    size = values.shape[1]
    for begin in range(0, inputs.shape[1], size):
        for i in range(first):
            for k in range(size):
                values[i, k] = inputs[i, begin + k]
        for g in range(len(truth)):
            a, b, to, t = fanins[g, 0], fanins[g, 1], first + g, truth[g]
            if t == 0b1000:
                for k in range(size):
                    values[to, k] = values[a, k] & values[b, k]
            elif t == 0b1110:
                for k in range(size):
                    values[to, k] = values[a, k] | values[b, k]
            elif t == 0b0010:
                for k in range(size):
                    values[to, k] = values[a, k] & ~values[b, k]
            elif t == 0b0100:
                for k in range(size):
                    values[to, k] = values[b, k] & ~values[a, k]
            else:
                m0, m1, m2, m3 = (-np.int64(t & 1), -np.int64(t >> 1 & 1), -np.int64(t >> 2 & 1), -np.int64(t >> 3 & 1))
                for k in range(size):
                    x, y = np.int64(values[a, k]), np.int64(values[b, k])
                    values[to, k] = np.uint64((m0 & ~x & ~y) | (m1 & x & ~y) | (m2 & ~x & y) | (m3 & x & y))


def table_job(circuit: Circuit, inputs: Words) -> tuple[Callable[[], None], Words]:
    """A run of the plain interpreter, and its values."""
    fanins = np.zeros((circuit.gate_count, 2), np.int32)
    for i in range(2):
        chosen = circuit.fan_in > i
        fanins[chosen, i] = circuit.index[circuit.indptr[:-1][chosen] + i]
    truth = circuit.truth.astype(np.uint8)
    truth[circuit.fan_in == 1] *= 0b0101
    truth[circuit.fan_in == 1] = np.where(circuit.truth[circuit.fan_in == 1] == 1, 0b0101, 0b1010)
    truth[circuit.fan_in == 0] = circuit.truth[circuit.fan_in == 0].astype(np.uint8) * 0b1111
    values = np.zeros((circuit.signal_count, 64), np.uint64)
    return lambda: _table_interpreter(circuit.first_gate, fanins, truth, inputs, values), values


def found(folder: Path | None, name: str, otherwise: Callable[[], Circuit]) -> Circuit:
    """A circuit of the folder by the name of its file, whatever its format; or one made here."""
    from graphsim.frontends.circuits import read

    for path in sorted(folder.rglob(f"{name}.*") if folder is not None else ()):
        if path.suffix in (".aig", ".aag"):
            return read(path)
    return otherwise()


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Circuits are compiled, not found in the cache."""
    from graphsim.simulate.circuit import kept

    before = kept.folder
    with tempfile.TemporaryDirectory() as folder:
        kept.folder = lambda: Path(folder)
        try:
            yield
        finally:
            kept.folder = before


def ready_row(circuit: Circuit, least: float) -> Row:
    """From the circuit to code that runs it, against the seconds that this may take."""
    from graphsim.simulate.circuit import PackedCircuit

    times = []
    with nothing_kept():
        for _ in range(3):
            began = time.thread_time()
            PackedCircuit(circuit, way="compiled").prepare()
            times.append(time.thread_time() - began)
            from graphsim.simulate.circuit import kept

            shutil.rmtree(kept.folder(), ignore_errors=True)
    low, middle, high = sorted(times)
    name = f"logic, {circuit.name}, {circuit.gate_count:,} gates: ready to run, of the time allowed"
    return Row(name, f"{middle:.3g} s", f"{least:g} s", middle / least, low / least, high / least, 1.0, at_most=True)


def logic_rows(circuits: Path | None) -> Iterator[Row]:
    """All rows."""
    from graphsim.simulate.circuit import PackedCircuit

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _life_rows(rng, folder)
        for circuit, level, asked in (
            (found(circuits, "c6288", lambda: multiplier(16)), "-O3", 5.0),
            (found(circuits, "multiplier", lambda: multiplier(53)), "-O1", 4.0),
        ):
            inputs = rng.integers(0, 2**64, (circuit.input_count, WORDS), np.uint64)
            job, theirs = c_job(circuit, level, inputs, folder)
            ready = PackedCircuit(circuit, way="compiled")
            ours = np.zeros_like(theirs)
            job()
            assert np.array_equal(ready.run(inputs, ours), theirs)
            title = f"logic, {circuit.name}, {circuit.gate_count:,} gates, patterns/s: against exported C, gcc {level}"
            yield paired(title, partial(ready.run, inputs, ours), job, asked, rounds=9)
        yield ready_row(circuit, 3.0)
        yield from _interpreter_rows(circuit, rng)
        yield ready_row(multiplier(101), 10.0)
        large = found(circuits, "hyp", lambda: hypotenuse(80))
        yield ready_row(large, 15.0)
        yield from _interpreter_rows(large, rng)


def _life_rows(rng: np.random.Generator, folder: Path) -> Iterator[Row]:
    """The learnt Life against C of what was learnt, before it was optimised."""
    from graphsim import zoo
    from graphsim.frontends.circuits import read
    from graphsim.life import automaton, life_circuit

    learnt = read(zoo.models_folder() / "life_pruned.blif")
    board = rng.random((512, 512)) < 0.35
    ours = automaton(life_circuit(), board)
    packed = np.packbits(board, axis=1, bitorder="little").view(np.uint64).copy()
    other = np.zeros_like(packed)
    play = built(life_in_c(learnt), "-O3", folder).play
    addresses = ctypes.c_void_p(packed.ctypes.data), ctypes.c_void_p(other.ctypes.data)
    play(*addresses, ctypes.c_long(100))
    ours.step(100)
    assert np.array_equal(np.packbits(ours.board, axis=1, bitorder="little").view(np.uint64), packed)
    many, few = 100_000, 1_000
    yield paired(
        f"logic, Life, 512x512, generations: against exported C of the {learnt.gate_count} gates learnt, gcc -O3",
        lambda: ours.step(many),
        lambda: play(*addresses, ctypes.c_long(few)),
        20.0,
        rounds=9,
        ours_per_call=many,
        other_per_call=few,
    )


def _interpreter_rows(circuit: Circuit, rng: np.random.Generator) -> Iterator[Row]:
    """Both ways of the engine against the plain interpreter, gates x lanes per second; and against 1e11."""
    from graphsim.simulate.circuit import PackedCircuit

    words = max(64, WORK // circuit.gate_count // 64 // 64 * 64)
    inputs = rng.integers(0, 2**64, (circuit.input_count, words), np.uint64)
    job, values = table_job(circuit, inputs)
    outputs = np.zeros((len(circuit.outputs), words), np.uint64)
    size = circuit.gate_count * words * 64
    ways: tuple[Literal["compiled", "interpreted"], ...] = ("compiled", "interpreted")
    for way in ways:
        ready = PackedCircuit(circuit, way=way)
        ready.run(inputs, outputs)
        job()
        assert np.array_equal(outputs[:, -64:], values[circuit.outputs])
        title = f"logic, {circuit.name}, {circuit.gate_count:,} gates, {way}: against a plain Numba table interpreter"
        row = paired(title, partial(ready.run, inputs, outputs), job, 1.0, rounds=5)
        yield row
        began = time.thread_time()
        ready.run(inputs, outputs)
        rate = size / (time.thread_time() - began)
        title = f"logic, {circuit.name}, {circuit.gate_count:,} gates, {way}: gates x lanes per second, of 1e11"
        yield Row(title, f"{rate:.3g}/s", "1e+11/s", rate / 1e11, rate / 1e11, rate / 1e11, 1.0)
