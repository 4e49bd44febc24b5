"""Circuits from files of every format, and to files.

One table says which formats there are: :data:`FORMATS`. The modules that read and write a format are imported when a
file needs them. A reader has ``read(path, top)``, which returns a circuit, mostly through a
:class:`~graphsim.frontends.circuits.netlist.Netlist`; a writer has ``write(circuit, suffix)``, the bytes of a file.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from graphsim.errors import UsageError
from graphsim.files import write_bytes
from graphsim.graph.circuit import Circuit

#: Bytes of a file that a format is known by.
_HEAD = 4096


def _any(head: bytes) -> bool:
    return True


def _is_yosys(head: bytes) -> bool:
    return b'"modules"' in head


def _is_torchlogix(head: bytes) -> bool:
    return b'"n_inputs"' in head


class Format(NamedTuple):
    """A kind of circuit file.

    Attributes:
        name: what people call it.
        suffixes: of its files, lower case.
        about: what of it is read or written, for ``graphsim formats``.
        reader: the module of this package that reads it; "" if it is not read.
        writer: the module of this package that writes it; "" if it is not written.
        claims: whether a file that begins so is one, where other files have the same suffix.
    """

    name: str
    suffixes: tuple[str, ...]
    about: str
    reader: str = ""
    writer: str = ""
    claims: Callable[[bytes], bool] = _any


FORMATS: tuple[Format, ...] = (
    Format("AIGER", (".aag", ".aig"), "ASCII and binary; properties of version 1.9 are noted", "aiger", "aiger_out"),
    Format(
        "BLIF",
        (".blif",),
        "with hierarchy, and latches of one clock; cells of Yosys, no .gate of a library",
        "blif",
        "blif_out",
    ),
    Format("ISCAS", (".bench",), "netlists of the ISCAS benchmarks, and ABC's LUT", "bench"),
    Format("PLA", (".pla",), "espresso's truth tables of type f, fd, fr and fdr", "pla"),
    Format("CSV", (".csv",), "truth tables: a column per input, then one per output", "csv_table"),
    Format(
        "Verilog",
        (".v", ".sv"),
        "gates, assignments, flip-flops; behaviour by the extra rtl",
        "verilog.reader",
        "verilog_out",
    ),
    Format("C", (".c",), "straight-line code of & | ^ ~; written bit-parallel, 64 lanes a word", "c_code", "c_out"),
    Format("Yosys JSON", (".json",), "gates, tables, flip-flops; others by the extra rtl", "yosys", claims=_is_yosys),
    Format("torchlogix", (".json",), "gates and sums of a learnt circuit", "torchlogix", claims=_is_torchlogix),
    Format("DOT", (".dot",), "for Graphviz: gates by what they do, registers", writer="dot_out"),
)


def format_of(path: Path) -> Format | None:
    """The format that a circuit file is read as: by its suffix, and by how it begins; None for other files."""
    found = [kind for kind in FORMATS if kind.reader and path.suffix.lower() in kind.suffixes]
    if not found or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return next((kind for kind in found if kind.claims(head)), None)


def read(path: Path | str, top: str | None = None) -> Circuit:
    """The circuit in a file.

    Args:
        path: of a file of one of :data:`FORMATS`.
        top: the model or module that is the circuit, where a file has several; else the format's own rule decides.

    Raises:
        CircuitError: the file is not what its format says, or its nets do not make a circuit.
        UsageError: no format has this suffix.
    """
    path = Path(path)
    kind = format_of(path)
    if kind is None:
        raise UsageError(f"{path}: is not a circuit; files of circuits end in {', '.join(suffixes(writes=False))}")
    circuit: Circuit = importlib.import_module(f"{__name__}.{kind.reader}").read(path, top)
    return circuit


def can_write(path: Path) -> bool:
    """Whether a circuit can be written to a file of this name."""
    return path.suffix.lower() in suffixes(writes=True)


def write(circuit: Circuit, path: Path | str) -> None:
    """Write a circuit to a file, atomically; its suffix says as what.

    Raises:
        UsageError: no format that is written has this suffix.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    kind = next((kind for kind in FORMATS if kind.writer and suffix in kind.suffixes), None)
    if kind is None:
        raise UsageError(f"{path}: circuits are not written so; choose one of {', '.join(suffixes(writes=True))}")
    data: bytes = importlib.import_module(f"{__name__}.{kind.writer}").write(circuit, suffix)
    write_bytes(path, data)


def suffixes(*, writes: bool) -> list[str]:
    """Suffixes of all formats that are read, or written, each once."""
    of = (suffix for kind in FORMATS if (kind.writer if writes else kind.reader) for suffix in kind.suffixes)
    return list(dict.fromkeys(of))
