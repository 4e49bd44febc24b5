"""On which line of a TOML document does a value stand?

``tomllib`` reads values and forgets where they were. :func:`lines_of` walks a document that ``tomllib`` has already
accepted and notes the line of every key and array element, so that an error about a value can name its line. It needs
to know only how TOML nests and where strings and comments end (TOML 1.0.0, https://toml.io/en/v1.0.0), not what the
values mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

KeyPath = tuple[str | int, ...]
"""Keys and array indices from the top of the document down to a value."""

MAX_DEPTH = 16
"""Length of the longest path whose line is noted: far beyond any sensible file, and hostile ones stay cheap."""

_SPACE = re.compile(r"[ \t]*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?!")'
    r"|'''.*?'''(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([btnfr"\\]))')
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def lines_of(text: str) -> dict[KeyPath, int]:
    """Line number, from 1, of every key and array element of a valid TOML document with ``\\n`` line ends.

    A table's line is that of its header, or of the first key that makes it. Paths longer than :data:`MAX_DEPTH` are
    left out.
    """
    walker = _Walker(text)
    walker.document()
    return walker.lines


def line_at(lines: dict[KeyPath, int], path: Sequence[str | int]) -> int | None:
    """Line of ``path``, or of the nearest table or array around it that has one; None for the document itself."""
    for end in range(len(path), 0, -1):
        if tuple(path[:end]) in lines:
            return lines[tuple(path[:end])]
    return None


class _Walker:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.tables_in: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self.skip(_SPACE_AND_LINES)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_SPACE_AND_LINES)

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        found = match.group() if match else ""
        self.at += len(found)
        self.line += found.count("\n")
        return found

    def header(self) -> KeyPath:
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        keys = self.dotted_key()
        self.at += 2 if is_array else 1
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self.latest((*path, key))
        path = (*path, keys[-1])
        if not is_array:
            self.note(path)
            return path
        self.note(path)
        index = self.tables_in.get(path, 0)
        self.tables_in[path] = index + 1
        self.note((*path, index))
        return (*path, index)

    def latest(self, path: KeyPath) -> KeyPath:
        """``path``, or the newest element of the array of tables that it names."""
        self.note(path)
        return (*path, self.tables_in[path] - 1) if path in self.tables_in else path

    def note(self, path: KeyPath) -> None:
        if len(path) <= MAX_DEPTH:
            self.lines.setdefault(path, self.line)

    def pair(self, table: KeyPath) -> None:
        path = table
        for key in self.dotted_key():
            path = (*path, key)
            self.note(path)
        self.at += 1
        self.skip(_SPACE)
        self.value(path)

    def dotted_key(self) -> list[str]:
        keys = []
        while True:
            self.skip(_SPACE)
            keys.append(self.key())
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def key(self) -> str:
        if self.text[self.at] == "'":
            return self.skip(_STRING)[1:-1]
        if self.text[self.at] == '"':
            return _ESCAPE.sub(_unescape, self.skip(_STRING)[1:-1])
        return self.skip(_BARE_KEY)

    def value(self, path: KeyPath) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self.array(path)
        elif opening == "{":
            self.inline_table(path)
        elif opening in "\"'":
            self.skip(_STRING)
        else:
            self.skip(_SCALAR)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        self.skip(_SPACE_AND_LINES)
        while self.text[self.at] != "]":
            self.note((*path, index))
            self.value((*path, index))
            index += 1
            self.skip(_SPACE_AND_LINES)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_SPACE_AND_LINES)
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self.skip(_SPACE_AND_LINES)
        while self.text[self.at] != "}":
            self.pair(path)
            self.skip(_SPACE_AND_LINES)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_SPACE_AND_LINES)
        self.at += 1


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1) or match.group(2)
    return chr(int(code, 16)) if code else _ESCAPED[match.group(3)]
