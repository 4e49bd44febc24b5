"""Stimulus of circuits, cycle by cycle, and what comes out: as JSON, CSV or VCD.

Ports of several bits (:func:`graphsim.graph.circuit.ports`) are integers, bit 0 the least significant; a bit can be
named by itself too. JSON is ``{"a": [3, 5], "en": 1, "sum": [4, null]}``, a list with one value per cycle or one value
for all of them, or the same in two parts, ``{"cycles": 2, "inputs": {...}, "outputs": {...}}``. CSV has a line of names
and a line per cycle. Names of outputs, and not of inputs, are what is expected to come out; ``null``, an empty cell,
``-`` and ``x`` are not compared. For VCD see :mod:`graphsim.frontends.circuits.waves`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import DatasetError, UsageError
from graphsim.files import write_text
from graphsim.frontends.circuits.text import decoded, quoted
from graphsim.graph.circuit import Circuit, ports

BitArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
#: Suffixes of files that are read and written.
SUFFIXES = (".json", ".csv", ".vcd")

#: Values of all inputs and outputs in all cycles that a stimulus may have.
MOST = 1 << 30
#: Decimals have few digits: many take long to read, and Python refuses them.
_NUMBER = re.compile(r"[0-9]{1,4000}|0x[0-9a-f_]+|0b[01_]+|0o[0-7_]+", re.IGNORECASE)
#: Bits of values that are written as numbers; those of more are hexadecimal text, which every reader can take.
_DECIMAL_BITS = 4096
_UNKNOWN = ("", "-", "x", "X")
#: Columns that say which cycle it is.
_COUNTERS = ("cycle", "time")
_SHOWN = 6


@dataclass(frozen=True)
class Stimulus:
    """What goes into a circuit, and what is expected to come out.

    Attributes:
        source: the file, or how it was made.
        inputs: 0 or 1, uint8 (cycles, I).
        expected: 0 or 1, uint8 (cycles, outputs).
        known: which of these are compared, bool (cycles, outputs).
        remark: what had to be decided in reading; "" for nothing.
    """

    source: str
    inputs: BitArray
    expected: BitArray
    known: BoolArray
    remark: str = ""

    @property
    def cycles(self) -> int:
        """How many cycles there are."""
        return len(self.inputs)

    def first(self, cycles: int | None) -> Stimulus:
        """The first so many cycles; all of them for None."""
        return replace(self, inputs=self.inputs[:cycles], expected=self.expected[:cycles], known=self.known[:cycles])


def random_stimulus(circuit: Circuit, cycles: int, seed: int) -> Stimulus:
    """Inputs that are 0 or 1 with equal chances; nothing is expected."""
    inputs = np.random.default_rng(seed).integers(0, 2, (cycles, circuit.input_count), np.uint8)
    nothing = np.zeros((cycles, len(circuit.outputs)), np.uint8)
    return Stimulus(f"random, seed {seed}", inputs, nothing, nothing != 0)


def read_stimulus(path: Path, circuit: Circuit) -> Stimulus:
    """The stimulus in a .json, .csv or .vcd file.

    Raises:
        DatasetError: the file is not what its suffix says, or does not fit the circuit; the message names the signal.
        UsageError: another suffix.
    """
    suffix = path.suffix.lower()
    if suffix == ".vcd":
        from graphsim.frontends.circuits.waves import read_vcd

        return read_vcd(path, circuit)
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: a stimulus is a {', '.join(SUFFIXES)} file")
    read = _of_json if suffix == ".json" else _of_csv
    return _assembled(path, circuit, read(path, circuit))


#: Values of a signal in the cycles there are, or one for all of them; None is not known.
_Values = list[int | None] | int | None


@dataclass
class _Columns:
    """Values by name, and how many cycles there are, where the file says so."""

    inputs: dict[str, _Values]
    outputs: dict[str, _Values]
    cycles: int | None = None


def _of_json(path: Path, circuit: Circuit) -> _Columns:
    try:
        document = json.loads(decoded(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not JSON that can be read ({error})") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: is not an object of names and their values")
    if any(isinstance(document.get(part), dict) for part in ("inputs", "outputs")):
        cycles = document.pop("cycles", None)
        inputs, outputs = document.pop("inputs", {}), document.pop("outputs", {})
        if document or not isinstance(inputs, dict) or not isinstance(outputs, dict):
            raise DatasetError(f"{path}: an object of two parts has inputs, outputs and cycles, and nothing else")
        read = [{name: _values(path, name, values) for name, values in part.items()} for part in (inputs, outputs)]
        columns = _Columns(read[0], read[1])
    else:
        known = _places(circuit.input_names) | _places(circuit.output_names)
        cycles = None if "cycles" in known else document.pop("cycles", None)
        columns = _split(circuit, {name: _values(path, name, values) for name, values in document.items()})
    if cycles is not None:
        if isinstance(cycles, bool) or not isinstance(cycles, int) or cycles < 0:
            raise DatasetError(f"{path}: {quoted(str(cycles))} is not a number of cycles")
        columns.cycles = cycles
    return columns


def _values(path: Path, name: str, values: Any) -> _Values:
    if isinstance(values, list):
        return [_value(path, name, value) for value in values]
    return _value(path, name, values)


def _value(path: Path, name: str, value: Any) -> int | None:
    """One value: a number, text that is one, or None."""
    if value is None or isinstance(value, int):
        return value if value is None else int(value)
    if isinstance(value, str):
        if (text := value.strip()) in _UNKNOWN:
            return None
        if _NUMBER.fullmatch(text):
            try:
                return int(text, 10 if text.isdecimal() else 0)
            except ValueError:
                pass
    raise DatasetError(f"{path}: {quoted(str(value))}, a value of {name!r}, is not a whole number")


def _of_csv(path: Path, circuit: Circuit) -> _Columns:
    reader = csv.reader(io.StringIO(decoded(path.read_bytes()), newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row and rows and len(row) != len(rows[0]):
                raise DatasetError(f"{path}:{reader.line_num}: has {len(row)} cells; the first line has {len(rows[0])}")
            rows += [row] if row else []
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: is not CSV ({error})") from error
    if not rows:
        raise DatasetError(f"{path}: is empty; the first line has the names of inputs")
    names = [name.strip() for name in rows[0]]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DatasetError(f"{path}: column {twice!r} is there twice")
    known = _places(circuit.input_names) | _places(circuit.output_names)
    columns: dict[str, _Values] = {}
    for at, name in enumerate(names):
        if name in known or name.lower() not in _COUNTERS:
            columns[name] = [_value(path, name, row[at]) for row in rows[1:]]
    found = _split(circuit, columns)
    found.cycles = len(rows) - 1
    return found


def _split(circuit: Circuit, columns: Mapping[str, _Values]) -> _Columns:
    """Columns of outputs, which are not of inputs; and others."""
    inputs, outputs = _places(circuit.input_names), _places(circuit.output_names)
    found = _Columns({}, {})
    for name, values in columns.items():
        (found.outputs if name in outputs and name not in inputs else found.inputs)[name] = values
    return found


def _places(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Positions of the bits of every port, and of every bit by itself, by name."""
    return {**{name: (at,) for at, name in enumerate(names)}, **ports(names)}


def _assembled(path: Path, circuit: Circuit, columns: _Columns) -> Stimulus:
    lengths = {
        name: len(values)
        for part in (columns.inputs, columns.outputs)
        for name, values in part.items()
        if isinstance(values, list)
    }
    cycles = columns.cycles if columns.cycles is not None else max(lengths.values(), default=1 if lengths else 0)
    if columns.cycles is None and not lengths:
        raise DatasetError(f"{path}: does not say how many cycles there are: give a list of values, or cycles")
    if wrong := next((name for name, length in lengths.items() if length != cycles), None):
        raise DatasetError(f"{path}: {wrong!r} has {lengths[wrong]:,} values; there are {cycles:,} cycles")
    check_size(path, circuit, cycles)
    inputs, given = _bits(path, "input", circuit.input_names, columns.inputs, cycles)
    if not given.all():
        missing = [circuit.input_names[at] for at in np.nonzero(~given.all(axis=0))[0]]
        raise DatasetError(f"{path}: has not a value in every cycle for input {_listed(missing)}")
    expected, known = _bits(path, "output", circuit.output_names, columns.outputs, cycles)
    return Stimulus(str(path), inputs, expected, known)


def check_size(where: Path | str, circuit: Circuit, cycles: int) -> None:
    """Refuse stimulus that is too big to hold; ``where``: what asks for it.

    Raises:
        DatasetError: it is.
    """
    if cycles * (circuit.input_count + len(circuit.outputs) + 1) > MOST:
        raise DatasetError(f"{where}: {cycles:,} cycles of this circuit's signals are more than {MOST:,} values")


def _bits(
    path: Path, what: str, names: Sequence[str], columns: Mapping[str, _Values], cycles: int
) -> tuple[BitArray, BoolArray]:
    """Bits of the signals in every cycle, and which of them the columns give."""
    places = _places(names)
    bits = np.zeros((cycles, len(names)), np.uint8)
    given = np.zeros((cycles, len(names)), np.bool_)
    for name, values in columns.items():
        at = places.get(name)
        if at is None:
            raise DatasetError(f"{path}: the circuit has no {what} {name!r}; it has {_listed(list(ports(names)))}")
        if given[:, at].any():
            raise DatasetError(f"{path}: {what} {name!r} has values twice")
        listed = values if isinstance(values, list) else [values] * min(cycles, 1)
        for value in listed:
            if value is not None and not 0 <= value < 1 << len(at):
                shown = str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length():,} bits"
                raise DatasetError(f"{path}: {shown} is not a value of {name!r}, which has {len(at)} bits")
        whole = [0 if value is None else value for value in listed]
        given[:, at] = np.array([value is not None for value in listed], np.bool_)[:, None]
        for i, place in enumerate(at):
            bits[:, place] = np.array([value >> i & 1 for value in whole], np.uint8)
    return bits, given


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more if names else "none"


def as_integers(names: Sequence[str], bits: npt.NDArray[np.generic]) -> dict[str, list[int]]:
    """Values of every port in every cycle, from bits (cycles, names)."""
    found = {}
    for name, places in ports(names).items():
        of_port = np.ascontiguousarray(bits[:, places], np.uint8)
        if len(places) == 1:
            found[name] = of_port[:, 0].tolist()
        else:
            packed = np.packbits(of_port, axis=1, bitorder="little")
            found[name] = [int.from_bytes(row.tobytes(), "little") for row in packed]
    return found


def written(value: int) -> int | str:
    """A value as files have it: a number, or hexadecimal text (``"0x1f"``) where a number has too many digits."""
    return value if value.bit_length() <= _DECIMAL_BITS else hex(value)


def check_outputs_path(path: Path | None, *, is_vcd: bool = False) -> None:
    """Complain about a place for outputs, before anything is run, whose suffix says nothing that is written.

    Raises:
        UsageError: the suffix is another.
    """
    known = (".vcd",) if is_vcd else SUFFIXES
    if path is not None and path.suffix.lower() not in known:
        raise UsageError(f"{path}: is written as {', '.join(known)}; choose another name")


def write_outputs(path: Path, circuit: Circuit, stimulus: Stimulus, outputs: BitArray, registers: BitArray) -> None:
    """Write what came out, uint8 (cycles, outputs); .vcd files have inputs and registers, (cycles, R), as well.

    Raises:
        UsageError: another suffix.
    """
    suffix = path.suffix.lower()
    if suffix == ".vcd":
        from graphsim.frontends.circuits.waves import write_vcd

        write_vcd(path, circuit, stimulus.inputs, registers, outputs)
        return
    check_outputs_path(path)
    values = {
        name: [written(value) for value in column]
        for name, column in as_integers(circuit.output_names, outputs).items()
    }
    if suffix == ".json":
        write_text(path, json.dumps({"cycles": len(outputs), "outputs": values}) + "\n")
        return
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["cycle", *values])
    writer.writerows([t, *row] for t, row in enumerate(zip(*values.values(), strict=True)))
    write_text(path, out.getvalue())
