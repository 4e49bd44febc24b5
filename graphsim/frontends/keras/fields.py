"""JSON objects of unknown origin, read key by key with types: what is missing or wrong ends as a ModelError."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from graphsim.errors import ModelError

#: Deeper nesting than this is no model: a Functional model nested in itself ten times stays below it.
MAX_DEPTH = 200
#: Longer text than this is no architecture: that of ResNet-152 has 0.3 MB.
MAX_BYTES = 64 << 20
#: Number of elements that an array inside a config may have.
MAX_ELEMENTS = 1 << 20

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def shown(value: object) -> str:
    """A value for an error message, cut to a readable length."""
    return _short.repr(value)


def parse(text: bytes | str, file: str, place: str) -> Fields:
    """Parse JSON text that must hold an object.

    Raises:
        ModelError: not UTF-8, not JSON, not an object, NaN or Infinity in it, too long, or nested deeper than 200.
    """

    def refuse(constant: str) -> None:
        raise ModelError(f"{file}: {place} holds {constant}, which is not a JSON number; save the model again")

    if len(text) > MAX_BYTES:
        raise ModelError(f"{file}: {place} has {len(text):,} bytes; an architecture has at most {MAX_BYTES:,}")
    try:
        data = json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ModelError(f"{file}: {place} nests deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError as error:
        raise ModelError(f"{file}: {place} is not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise ModelError(f"{file}: {place} is not valid JSON: {error}") from None
    _check_depth(data, file, place)
    if not isinstance(data, dict):
        raise ModelError(f"{file}: {place} is {shown(data)}, not a JSON object")
    return Fields(data, file, place)


def _check_depth(data: object, file: str, place: str) -> None:
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, (dict, list))
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ModelError(f"{file}: {place} nests deeper than {MAX_DEPTH} levels")


class Fields:
    """A JSON object with the place where it was found, for messages.

    Every reader takes the spellings of one key, oldest last, and uses the first that is there and not null. A reader
    without a default raises ModelError when none is.
    """

    def __init__(self, data: dict[str, Any], file: str, place: str) -> None:
        self.data, self.file, self.place = data, file, place

    def error(self, message: str) -> ModelError:
        """A ModelError that names the file and this place."""
        return ModelError(f"{self.file}: {self.place}: {message}")

    def find(self, *keys: str) -> Any:
        """The value under the first of ``keys`` that is there and not null, else None."""
        return next((self.data[key] for key in keys if self.data.get(key) is not None), None)

    def _get(self, keys: Sequence[str], kinds: type | tuple[type, ...], what: str, default: Any) -> Any:
        value = self.find(*keys)
        if value is None:
            if default is None:
                raise self.error(f"{' or '.join(repr(key) for key in keys)} is missing; it should be {what}")
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise self.error(f"{keys[0]!r} is {shown(value)}; it should be {what}")
        return value

    def text(self, *keys: str, default: str | None = None) -> str:
        """A string."""
        return str(self._get(keys, str, "a string", default))

    def flag(self, *keys: str, default: bool | None = None) -> bool:
        """True or false."""
        return bool(self._get(keys, bool, "true or false", default))

    def integer(self, *keys: str, default: int | None = None) -> int:
        """A whole number."""
        return int(self._get(keys, int, "a whole number", default))

    def size(self, *keys: str) -> int:
        """A whole number of at least 1."""
        value = self.integer(*keys)
        if value < 1:
            raise self.error(f"{keys[0]!r} is {shown(value)}; it should be at least 1")
        return value

    def number(self, *keys: str, default: float | None = None) -> float:
        """A finite number, rounded to float32 as Keras does with the constants of its layers."""
        return float32(self._get(keys, (int, float), "a number", default), self, keys[0])

    def items(self, *keys: str, default: list[Any] | None = None) -> list[Any]:
        """A list."""
        return list(self._get(keys, list, "a list", default))

    def child(self, key: str, default: dict[str, Any] | None = None) -> Fields:
        """An object."""
        return Fields(self._get((key,), dict, "an object", default), self.file, f"{self.place}, {key!r}")

    def element(self, value: object, place: str) -> Fields:
        """An element of a list, which must be an object, found at ``place``."""
        if not isinstance(value, dict):
            raise self.error(f"{place} is {shown(value)}, not an object")
        return Fields(value, self.file, f"{self.place}, {place}")

    def array(self, key: str) -> npt.NDArray[np.float32]:
        """A number, or nested lists of numbers of even lengths, or Keras 3's ``__numpy__`` or ``__tensor__`` object."""
        value = self.find(key)
        if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
            value = self.child(key).child("config").find("value")
        shape, level = [], [value]
        while isinstance(level[0], list):
            length = len(level[0])
            if not length or any(not isinstance(v, list) or len(v) != length for v in level):
                raise self.error(f"{key!r} is {shown(value)}; its lists should be of one length, and not empty")
            shape.append(length)
            level = [child for v in level for child in v]
            if len(level) > MAX_ELEMENTS or len(shape) > 16:
                raise self.error(f"{key!r} has more than {MAX_ELEMENTS:,} numbers or 16 axes")
        for v in level:
            if isinstance(v, bool) or not isinstance(v, (int, float)):
                raise self.error(f"{key!r} is {shown(value)}; it should be a number or lists of numbers")
        return np.array([float32(v, self, key) for v in level], np.float32).reshape(shape)


def float32(value: float, fields: Fields, key: str) -> float:
    """A number rounded to float32; ModelError where that is not finite."""
    try:
        with np.errstate(over="ignore"):
            rounded = float(np.float32(value))
    except OverflowError:
        rounded = math.inf
    if not math.isfinite(rounded):
        raise fields.error(f"{key!r} is {shown(value)}; it should be a finite float32 number")
    return rounded
