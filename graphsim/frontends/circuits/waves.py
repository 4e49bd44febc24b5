"""Stimulus in, and what came out as, value change dumps (VCD, IEEE 1364), by the package pyvcd.

Written: one clock cycle is ten nanoseconds, and ends with the edge at which registers store, rising if the circuit says
nothing else. Everything changes at these edges, as in a synchronous design; the first one is at five nanoseconds. A
cycle's values are those just before the edge that ends it. Read: values are those just before each such edge of a
signal of one bit that is called as the circuit's clock, or else like a clock (``clk``, ``clock``, ``ck``, ...), and is
no input. Without such a signal, every time at which signals change is a cycle. Inputs that are neither 0 nor 1 are 0,
with a remark; outputs that are neither are not compared.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from vcd import VCDWriter
from vcd.reader import TokenKind, VarDecl, VCDParseError, tokenize

from graphsim.errors import DatasetError
from graphsim.files import write_text
from graphsim.frontends.circuits.names import distinct, printable, spelt
from graphsim.frontends.circuits.stimulus import BitArray, Stimulus, as_integers, check_size
from graphsim.graph.circuit import Circuit, ports

_PERIOD = 10
_CLOCKS = ("clk", "clock", "ck", "clk_i", "i_clk", "clk_in", "cp")
_UNKNOWN = 2
_SHOWN = 200


def write_vcd(path: Path, circuit: Circuit, inputs: BitArray, registers: BitArray, outputs: BitArray) -> None:
    """Write all signals with a name of their own, uint8 (cycles, I), (cycles, R) and (cycles, outputs)."""
    shown = {**as_integers(circuit.input_names, inputs), **as_integers(circuit.register_names, registers)}
    widths = {
        name: len(at) for names in (circuit.input_names, circuit.register_names) for name, at in ports(names).items()
    }
    for name, values in as_integers(circuit.output_names, outputs).items():
        if shown.get(name) != values:  # an input or register that is shown under its own name is there already
            label = distinct([name], shown)[0]
            shown[label], widths[label] = values, len(ports(circuit.output_names)[name])
    clock_name, rising = circuit.clock
    clock_name = next((name for name in (clock_name, *_CLOCKS) if name and name not in shown), "clk")
    labels = spelt([*shown, clock_name], "!-~")
    idle = int(not rising)
    file = io.StringIO()
    with VCDWriter(file, timescale="1 ns", date="", version="graphsim") as writer:
        scope = spelt([circuit.name], "A-Za-z0-9_")[0]
        clock = writer.register_var(scope, labels[-1], "wire", size=1, init=idle)
        variables = []
        for name, label in zip(shown, labels, strict=False):
            first = shown[name][0] if shown[name] else 0
            variables.append((writer.register_var(scope, label, "wire", size=widths[name], init=first), shown[name]))
        for t in range(len(outputs)):
            edge = _PERIOD * t + _PERIOD // 2
            if t:
                writer.change(clock, _PERIOD * t, idle)
            writer.change(clock, edge, 1 - idle)
            for variable, values in variables if t + 1 < len(outputs) else ():
                if values[t + 1] != values[t]:
                    writer.change(variable, edge, values[t + 1])
        writer.close(_PERIOD * len(outputs))
    write_text(path, file.getvalue())


def read_vcd(path: Path, circuit: Circuit) -> Stimulus:
    """The stimulus in a .vcd file.

    Raises:
        DatasetError: the file is no VCD, or inputs of the circuit are not in it.
    """
    reader = _Reader(path, circuit)
    try:
        rows = list(reader.rows())
    except (VCDParseError, ValueError, OverflowError, AssertionError, KeyError, IndexError) as error:
        said = printable(str(error)[:_SHOWN])
        raise DatasetError(f"{path}: is not a VCD file that can be read ({said})") from error
    if not reader.declared:
        raise DatasetError(f"{path}: ends before $enddefinitions")
    values = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), len(reader.state))
    inputs, expected = values[:, : circuit.input_count], values[:, circuit.input_count :]
    unknown = int((inputs == _UNKNOWN).sum())
    remark = f"{unknown:,} values of inputs are neither 0 nor 1; they are 0" if unknown else ""
    return Stimulus(str(path), inputs & np.uint8(1), expected & np.uint8(1), expected != _UNKNOWN, remark)


class _Reader:
    """Signals of a file that a circuit has too.

    Attributes:
        state: of inputs, then outputs: 0, 1, or 2 for what is neither.
        declared: whether the declarations have come to their end.
    """

    def __init__(self, path: Path, circuit: Circuit) -> None:
        self._path, self._circuit = path, circuit
        self.state = bytearray([_UNKNOWN]) * (circuit.input_count + len(circuit.outputs))
        self._place = {name: circuit.input_count + at for at, name in enumerate(circuit.output_names)}
        self._place.update({name: at for at, name in enumerate(circuit.input_names)})
        #: Places of the bits of a variable, least significant first, by its code.
        self._places: dict[str, list[int | None]] = {}
        self._found: set[int] = set()
        self._clock = ""
        self._clock_found = 0
        self.declared = False
        self._clock_name, self._rising = circuit.clock

    def rows(self) -> Iterator[bytes]:
        """The state in every cycle."""
        level, before, count = _UNKNOWN, bytes(self.state), 0
        timed = changed = edge = False
        # pyvcd reads on for ever behind a bracket at the very end; a line has an end.
        for token in tokenize(io.BytesIO(self._path.read_bytes() + b"\n")):
            if token.kind is TokenKind.VAR:
                self._declare(token.var)
            elif token.kind is TokenKind.ENDDEFINITIONS:
                self.declared = True
                self._check()
            elif token.kind is TokenKind.CHANGE_TIME:
                if timed:  # what is dumped before the first time is at that time
                    if edge if self._clock else changed:
                        count += 1
                        check_size(self._path, self._circuit, count)
                        yield before if self._clock else bytes(self.state)
                    changed = edge = False
                before, timed = bytes(self.state), True
            elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
                change = token.scalar_change if token.kind is TokenKind.CHANGE_SCALAR else token.vector_change
                if change.id_code == self._clock:
                    new = _bit(str(change.value))
                    edge |= (level, new) == ((0, 1) if self._rising else (1, 0))
                    level = new
                if (places := self._places.get(change.id_code)) is not None:
                    changed = True
                    self._change(places, change.value)
        if edge if self._clock else changed:
            yield before if self._clock else bytes(self.state)

    def _declare(self, variable: VarDecl) -> None:
        names = self._bit_names(variable)
        code = variable.id_code
        if any(name in self._place for name in names):
            places = [self._place.get(name) for name in names]
            known = {place for place in places if place is not None}
            if code not in self._places and not self._found & known:  # of signals in several scopes the first
                self._places[code] = places
                self._found |= known
        elif variable.size == 1 and self._clock_found < (rank := self._clock_rank(variable.reference)):
            self._clock, self._clock_found = code, rank

    def _clock_rank(self, name: str) -> int:
        """2 for the name of the circuit's clock, 1 for what clocks are called, 0 for others."""
        return 2 if name == self._clock_name else int(name.lower() in _CLOCKS)

    def _bit_names(self, variable: VarDecl) -> list[str]:
        """What the bits of a variable are called in a circuit, least significant first."""
        name, size, index = variable.reference, variable.size, variable.bit_index
        if isinstance(index, int):
            return [f"{name}[{index}]"] if size == 1 else []
        left, right = index if index is not None else (size - 1, 0)
        if abs(left - right) + 1 != size or size > len(self.state):
            return []
        names = [f"{name}[{at}]" for at in range(right, left + 1)] if left >= right else []
        names = names or [f"{name}[{at}]" for at in range(right, left - 1, -1)]
        alone = names[0] not in self._place or (index is None and name in self._place)
        return [name] if size == 1 and alone else names

    def _check(self) -> None:
        missing = [name for at, name in enumerate(self._circuit.input_names) if at not in self._found]
        if missing:
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise DatasetError(f"{self._path}: has no signal {missing[0]!r}{more}, an input of the circuit")

    def _change(self, places: list[int | None], value: int | str) -> None:
        if isinstance(value, int):
            for i, place in enumerate(places):
                if place is not None:
                    self.state[place] = value >> i & 1
            return
        fill = value[0] if value[0] in "xXzZ" else "0"  # the leftmost digit is repeated, as the standard says
        for i, bit in enumerate(reversed(value.rjust(len(places), fill))):
            if i < len(places) and (place := places[i]) is not None:
                self.state[place] = _bit(bit)


def _bit(value: str) -> int:
    return {"0": 0, "1": 1}.get(value, _UNKNOWN)
