"""Lowering rules of one's own: a Python file, or an installed package, that registers rules for layers of one's own.

A plugin is Python code that its user names on the command line (``--plugin FILE``) or has installed (entry points of
the group ``graphsim.lowerings``, each naming a module); nothing in a model file ever names one. Its rules are found by
the class of a layer, or by the name it was registered with (``package>Class``), and for layers that are not Keras's.

A plugin may define ``keras_objects()``, which gives the classes themselves by name, for comparisons: TensorFlow
computes the layers with them. It is called only then, so that a plugin need not import Keras to lower.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from graphsim.errors import UsageError
from graphsim.frontends.keras.layers.registry import registering_own

GROUP = "graphsim.lowerings"
"""Entry points of installed plugins."""

_objects: list[tuple[str, Callable[[], Mapping[str, Any]]]] = []


def load(path: Path) -> None:
    """Run a plugin file, which registers its rules; as in a script, it can import what lies beside it.

    Raises:
        UsageError: it is no Python file that can be run; the message has the reason.
    """
    spec = importlib.util.spec_from_file_location(f"graphsim_plugin_{path.stem}", path.resolve())
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"{path}: is not a plugin; --plugin takes a Python file (.py)")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def make() -> ModuleType:
        loader.exec_module(module)
        return module

    _run(str(path), make)


@functools.cache
def load_installed() -> None:
    """Import every installed plugin, once.

    Raises:
        UsageError: one cannot be imported; the message names it and has the reason.
    """
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        _run(f"plugin {point.name} ({point.value})", point.load)


def _run(place: str, make: Callable[[], Any]) -> None:
    try:
        with registering_own():
            module = make()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # code of the user's may raise anything, or leave
        raise UsageError(f"{place}: the plugin cannot be loaded: {type(error).__name__}: {error}") from error
    if isinstance(module, ModuleType) and callable(objects := getattr(module, "keras_objects", None)):
        _objects.append((place, objects))


def keras_objects() -> dict[str, Any]:
    """The classes that plugins give TensorFlow, by name.

    Raises:
        UsageError: a plugin fails to give them.
    """
    found: dict[str, Any] = {}
    for place, objects in _objects:
        try:
            found |= objects()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise UsageError(f"{place}: its keras_objects() fails: {type(error).__name__}: {error}") from error
    return found
