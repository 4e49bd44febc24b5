"""TOML files with a strict schema: read within bounds, and every fault in them named with its key and line.

A kind of file is a :class:`Form`; its schema are :class:`Table` classes. Unknown keys, text or booleans for numbers and
NaN are faults.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from graphsim.errors import GraphsimError
from graphsim.files import printable
from graphsim.machine.model import hint, show
from graphsim.machine.positions import KeyPath, line_at, lines_of
from graphsim.machine.settings import MAX_FILE_BYTES

MAX_LINE = 2_000
"""Characters on one line of a file. It bounds the depth of dotted keys, which cost ``tomllib`` its square."""

MAX_DOTS = 100_000
"""Dots in a file. Each may be a table of a dotted key, for which ``tomllib`` takes more than a kilobyte."""

_SHOWN_FAULTS = 10


class Table(BaseModel):
    """A table of a file: only keys it knows, only values of their types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The settings that are present, tables within left out."""
        pairs = {key: getattr(self, key) for key in self.model_fields_set}
        return {key: value for key, value in pairs.items() if not isinstance(value, BaseModel)}


class Fault(Exception):  # noqa: N818 - readers turn it into an error with key and line
    """One thing wrong with what a file says, at a key path."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


@dataclass(frozen=True)
class Form:
    """A kind of TOML file.

    Attributes:
        what: it describes, e.g. ``machine``: then files are called ``machine.toml``.
        error: raised for whatever is wrong with one.
        advice: what to do about a file that is too large.
        tables: the schema of each table that may be in it, by its path without array indices.
    """

    what: str
    error: type[GraphsimError]
    advice: str
    tables: Mapping[tuple[str, ...], type[Table]]

    def read(self, path: Path) -> str:
        """The text of a file, of at most 1 MiB.

        Raises:
            error: it cannot be read, is too large, or is not UTF-8.
        """
        try:
            if path.exists() and not path.is_file():
                raise self.error(f"{printable(path)}: not a file; give a {self.what}.toml")
            with path.open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise self.error(f"{printable(path)}: cannot read it ({reason})") from error
        if len(content) > MAX_FILE_BYTES:
            raise self.error(
                f"{printable(path)}: larger than {MAX_FILE_BYTES // 2**20} MiB, the most a {self.what} file may be; "
                f"{self.advice}"
            )
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise self.error(f"{printable(path)}:{line}: not UTF-8 text; a {self.what} file is TOML") from None

    def parse(self, text: str, source: str) -> dict[str, Any]:
        """The values in a text with ``\\n`` line ends; ``source`` is what messages call it.

        Raises:
            error: it is not TOML, or TOML that would cost too much to read.
        """
        for number, line in enumerate(text.split("\n"), start=1):
            if len(line) > MAX_LINE:
                raise self.error(
                    f"{source}:{number}: a line of {len(line):,} characters; break it ({MAX_LINE:,} at most)"
                )
        if text.count(".") > MAX_DOTS:
            raise self.error(
                f"{source}: more than {MAX_DOTS:,} dots; keys nested like this are not those of a {self.what}"
            )
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self.error(_syntax_message(source, str(error), text)) from None
        except (ValueError, RecursionError):
            raise self.error(f"{source}: not TOML that can be read; a value is too long or nested too deep") from None

    def report(self, error: ValidationError | Fault, place: Callable[[KeyPath], str]) -> str:
        """One line per fault, at most ten of them; ``place`` says where a key is."""
        if isinstance(error, Fault):
            return f"{place(error.path)}: {error.message}"
        faults = error.errors(include_url=False)
        lines = [f"{place(fault['loc'])}: {self._what_is_wrong(fault)}" for fault in faults[:_SHOWN_FAULTS]]
        if len(faults) > _SHOWN_FAULTS:
            lines.append(f"and {len(faults) - _SHOWN_FAULTS:,} more faults")
        return "\n".join(lines)

    def _what_is_wrong(self, fault: ErrorDetails) -> str:
        """Pydantic's finding in the words of this project."""
        kind, given, context = fault["type"], _shown_value(fault["input"]), fault.get("ctx", {})
        if kind == "extra_forbidden":
            table = self.tables[tuple(part for part in fault["loc"][:-1] if isinstance(part, str))]
            known = [item.alias or key for key, item in table.model_fields.items()]
            return f"unknown key{hint(fault['loc'][-1], known)}; there are {' '.join(known)}"
        if kind == "missing":
            return "this key is missing; add it"
        if kind in ("greater_than_equal", "less_than_equal"):
            bound = "at least" if kind == "greater_than_equal" else "at most"
            return f"must be {bound} {context.get('ge', context.get('le')):,}, not {given}"
        if kind == "literal_error":
            return f"must be {context['expected']}, not {given}"
        if kind == "too_long":
            return f"must be an array of at most {context['max_length']:,} entries, not one of {len(fault['input']):,}"
        if kind in _WANTED:
            return f"must be {_WANTED[kind]}, not {given}"
        return f"{fault['msg'][:1].lower()}{fault['msg'][1:]}, not {given}"


def places(text: str, source: str) -> Callable[[KeyPath], str]:
    """What says where in a document a key is: ``file:line: key``. The lines are found when first asked for."""
    lines: dict[KeyPath, int] | None = None

    def place(path: KeyPath) -> str:
        nonlocal lines
        if lines is None:
            lines = _lines(text)
        line = line_at(lines, path)
        where = source if line is None else f"{source}:{line}"
        return f"{where}: {dotted(path)}" if path else where

    return place


def dotted(path: KeyPath) -> str:
    """A key path as people write it: ``links[3].from``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text if len(text) <= 120 else text[:117] + "..."


def _lines(text: str) -> dict[KeyPath, int]:
    try:
        return lines_of(text)
    except RecursionError:
        return {}


def _syntax_message(source: str, message: str, text: str) -> str:
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if match is None:
        last = text.rstrip().count("\n") + 1
        return f"{source}:{last}: not TOML: {message}"
    what, line, column = match.groups()
    return f"{source}:{line}: not TOML: {what}, in column {column}"


_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_too_short": "at least one character",
    "string_too_long": "at most 200 characters",
    "bool_type": "true or false",
    "list_type": "an array",
    "too_short": "an array of at least one entry",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _shown_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array" if value else "an empty array"
    if isinstance(value, str):
        return f"the text {show(value)}"
    return show(value) if isinstance(value, (int, float)) else f"the {type(value).__name__} {value}"
