"""Which Keras wrote a file, and what that decides.

The name of a layer or function alone does not say what it computes: Keras changed some of them. graphsim computes what
the Keras that wrote the file computed, and records in the graph's notes which one that was and how it knows.

What differs between Keras 1, 2 and 3 among the layers that are lowered:

* ``hard_sigmoid``: Keras 1 and 2 clip(0.2 x + 0.5, 0, 1); Keras 3 relu6(x + 3) / 6.
* Convolutions on Theano are true ones: their kernels are stored the other way round than TensorFlow's. Keras 1 stores
  kernels with the filters first where the channels are first.
* ``BatchNormalization`` of Keras 1 calls its moving variance ``running_std``; it is a variance all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from graphsim.errors import ModelError

_FORMULA = {
    1: "hard_sigmoid(x) = clip(0.2 x + 0.5, 0, 1)",
    2: "hard_sigmoid(x) = clip(0.2 x + 0.5, 0, 1)",
    3: "hard_sigmoid(x) = relu6(x + 3) / 6",
}
_KEYS = {
    1: ("output_dim", "W_regularizer", "b_regularizer", "W_constraint"),
    2: ("batch_input_shape", "kernel_initializer", "units"),
    3: ("registered_name", "batch_shape", "__keras_tensor__"),
}


@dataclass(frozen=True)
class Semantics:
    """The Keras whose meaning of names applies.

    Attributes:
        version: as the file has it, e.g. "2.4.0"; "" where it does not say.
        major: 1, 2 or 3.
        evidence: how ``major`` is known.
        backend: what computed below Keras when the weights were written, in small letters; "" where no file says.
    """

    version: str
    major: int
    evidence: str
    backend: str = ""

    def notes(self) -> dict[str, str]:
        """For the graph's notes."""
        version = {"keras_version": self.version} if self.version else {}
        return version | {"keras_semantics": f"Keras {self.major} ({self.evidence}): {_FORMULA[self.major]}"}


def detect(version: str, config: Any, file: str, fallback: str = "") -> Semantics:
    """From the version that the file states, else from the spelling of its config, else from a second file's version.

    Raises:
        ModelError: a version is stated and is not one of Keras 1, 2 or 3.
    """
    if version:
        return Semantics(version, _major(version, file), "the file states its version")
    keys = _all_keys(config)
    for major in (3, 1, 2):
        found = next((key for key in _KEYS[major] if key in keys), None)
        if found is not None:
            return Semantics("", major, f"no version stated; the config says {found!r}")
    if fallback:
        return Semantics(fallback, _major(fallback, file), "the file with the weights states its version")
    return Semantics("", 3, "no version stated, and nothing in the config tells")


def _major(version: str, file: str) -> int:
    match = re.match(r"([123])\.", version)
    if match is None:
        raise ModelError(f"{file}: says it was written by Keras {version[:40]!r}; versions 1, 2 and 3 are known")
    return int(match[1])


def _all_keys(config: Any) -> set[str]:
    """Every key in nested JSON, and every ``class_name``. The depth was limited when it was parsed."""
    keys: set[str] = set()
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            keys.update(value)
            if isinstance(value.get("class_name"), str):
                keys.add(value["class_name"])
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return keys
