"""The scalar rules of the graph package as native code, and native entry points that are compiled once per machine.

The rules of :mod:`graphsim.graph.arithmetic` and the steps of :mod:`graphsim.graph.ops` are plain Python functions.
:func:`native` compiles the very same code objects, with the functions they call replaced by their compiled forms, so
that no formula is written twice. Compiled code neither fuses nor reassociates (Numba's ``fastmath`` stays off, LLVM
contracts nothing by itself), divides as IEEE 754 says, and holds no GIL.

Entry points are kept on disk, in a folder whose name is a digest of the sources, Python, Numba and the CPU: an entry
that is found is never stale, and several processes that compile at once write the same files. Where no folder can be
written, everything works and is compiled anew in each process.

This module imports Numba; import it only where something is about to be compiled.
"""

from __future__ import annotations

import hashlib
import inspect
import platform
import shutil
import tempfile
import threading
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import platformdirs

import graphsim
from graphsim.errors import SimulationError

try:
    import numba
    import numba.np.ufunc.parallel
    from numba.core.registry import cpu_target
except ValueError as error:  # Numba reads its environment variables when it is imported
    raise SimulationError(f"Numba cannot start: {error} Check the environment variables NUMBA_*") from error
if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise SimulationError("NUMBA_DISABLE_JIT is set; unset it (only --engine reference runs without native code)")

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True}
_CFUNC_OPTIONS = {key: value for key, value in _OPTIONS.items() if key != "nogil"}
_CONFIG: Any = numba.config
_LOCK = threading.Lock()
#: What was compiled to be called through its address lives as long as the process.
_ALIVE: list[Any] = []
#: Parts of graphsim that end up in native code.
_COMPILED = ("analysis", "graph", "passes", "schedule", "simulate")
#: Folders of earlier versions that are left in peace.
_KEPT = 8
_PREFIX = "graphsim-"


def jit(function: F) -> F:
    """Compile when first called from native code; inlined there. For helpers of entry points."""
    return cast(F, numba.njit(forceinline=True, **_OPTIONS)(function))


def jit_call(function: F) -> F:
    """As :func:`jit`, for functions that are called rather than inlined."""
    return cast(F, numba.njit(**_OPTIONS)(function))


@cache
def native(rule: F) -> F:
    """The compiled form of a plain function of the graph package.

    Args:
        rule: a module-level function of scalars or arrays, without default values.
    """
    return cast(F, _namespace(inspect.getmodule(rule))[rule.__name__])


@cache
def _namespace(module: types.ModuleType) -> dict[str, Any]:
    """The module's globals, with its functions compiled and calling each other's compiled forms."""
    namespace = dict(vars(module))
    for name, value in vars(module).items():
        if inspect.isfunction(value) and value.__module__ == module.__name__ and value.__name__ == name:
            namespace[name] = jit(types.FunctionType(value.__code__, namespace, name))
    return namespace


def specialise(template: Callable[..., Any], name: str, **names: Any) -> Callable[..., Any]:
    """A plain function with a template's code, in which some global names mean something else.

    Args:
        name: its own; entry points are kept under it, and one name must always mean the same specialisation.
    """
    made = types.FunctionType(template.__code__, {**template.__globals__, **names}, name)
    made.__qualname__ = name  # Numba files what it keeps under this
    return made


def entry(signature: Any) -> Callable[[F], F]:
    """Decorator: compile an entry point now, or load it from disk.

    Args:
        signature: its one Numba signature, e.g. ``"int64(int64, float64[::1])"``. There is only one, because Numba's
            index of a function's signatures is not safe against processes that write different ones at a time.
    """

    def decorate(function: F) -> F:
        return cast(F, _kept(lambda **more: numba.njit(signature, **_OPTIONS, **more)(function)))

    return decorate


def address(signature: Any, function: Callable[..., Any]) -> int:
    """Compile a function now, or load it from disk, to be called by native code through its address.

    Args:
        signature: of scalars only.
    """
    compiled = _kept(lambda **more: numba.cfunc(signature, **_CFUNC_OPTIONS, **more)(function))
    _ALIVE.append(compiled)
    return int(compiled.address)


def _kept(compile_with: Callable[..., Any]) -> Any:
    """Compile with the folder as cache, or without."""
    with _LOCK:
        before, _CONFIG.CACHE_DIR = _CONFIG.CACHE_DIR, str(cache_folder())
        try:
            _make_writable(cache_folder())
            return compile_with(cache=True)
        except Exception:  # the folder cannot be written, or a file in it is damaged: do without
            return compile_with()
        finally:
            _CONFIG.CACHE_DIR = before


def _make_writable(folder: Path) -> None:
    """Make the folder, or raise OSError. Numba itself would turn to places where it keeps stale files."""
    if not folder.exists():
        _prune(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


@cache
def cache_folder() -> Path:
    """Where entry points are kept: ``NUMBA_CACHE_DIR`` or the user's cache folder, and a digest below it."""
    digest = hashlib.sha256()
    root = Path(graphsim.__file__).parent
    for path in sorted(path for part in _COMPILED for path in (root / part).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    for name in (platform.python_version(), numba.__version__, *target()):
        digest.update(f"{name}\0".encode())
    base = Path(_CONFIG.CACHE_DIR or platformdirs.user_cache_path("graphsim") / "native")
    return base / (_PREFIX + digest.hexdigest()[:16])


def _prune(folder: Path) -> None:
    """Remove all but the latest folders of earlier versions. What another process misses then, it compiles."""
    others = sorted(folder.parent.glob(f"{_PREFIX}*"), key=lambda p: p.stat().st_mtime)
    for path in others[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


@cache
def target() -> tuple[str, str, str]:
    """What is compiled for: triple, CPU, and its features as LLVM names them (``+avx2,+fma,-sse4a ...``)."""
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, cpu, ",".join(sorted(features.split(",")))


def has(feature: str) -> bool:
    """Whether the target CPU has a feature, by LLVM's name for it."""
    return f"+{feature}" in target()[2].split(",")
