"""Files into graphs, and graphs into files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphsim.errors import UsageError
from graphsim.pipeline.stages import ignored

if TYPE_CHECKING:
    from graphsim.frontends.builder import Memory
    from graphsim.graph import Graph
    from graphsim.pipeline.stages import Warn


def existing(path: Path, what: str) -> Path:
    """The path, if it is a file.

    Raises:
        UsageError: it is not; the message says what was expected.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file; expected {what}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a file (a pipe or a device)"
        raise UsageError(f"{path}: is {kind}; expected {what}")
    return path


def load_graph(
    path: Path,
    weights: Path | None = None,
    top: str | None = None,
    warn: Warn = ignored,
    discretize: float | None = None,
) -> Graph:
    """A graph from a .gsim file, or lowered from a model or circuit file as :func:`lower` does.

    Raises:
        GraphError, ModelError, UsageError: the file cannot be used.
    """
    existing(path, "a .gsim graph, a model (.h5, .keras, .onnx, .json with --weights) or a circuit (.blif, .aig, ...)")
    if path.suffix == ".fold":
        raise UsageError(f"{path}: is a schedule; give the graph (.gsim) or the model that it was folded from")
    if path.suffix == ".gsim":
        from graphsim.graph.store import load

        if discretize is not None:
            raise UsageError(f"{path}: is a graph already; give --discretize where the model is lowered")
        return load(path)
    return lower(path, weights, top=top, warn=warn, discretize=discretize)


def save_graph(graph: Graph, path: Path) -> None:
    """Write a graph as .gsim, or a circuit in the format of circuits that the suffix names.

    Raises:
        UsageError: the suffix names a format of circuits, and the graph is not one of gates.
    """
    from graphsim.frontends.circuits import can_write, write
    from graphsim.graph.circuit import is_circuit, of_graph
    from graphsim.graph.store import save

    if not can_write(path):
        save(graph, path)
    elif is_circuit(graph):
        write(of_graph(graph), path)
    else:
        raise UsageError(f"{path}: {graph.name} is not a circuit; a graph of neurons is written as .gsim")


def lower(
    path: Path,
    weights: Path | None = None,
    max_memory: int | None = None,
    top: str | None = None,
    warn: Warn = ignored,
    discretize: float | None = None,
) -> Graph:
    """A graph lowered from a model file: Keras, or ONNX (``.onnx``).

    Or from a circuit file, of which ``top`` is the model or module that is meant, where it has several.

    What would take more than ``max_memory`` bytes is refused before it is built. Where that is None, ``warn`` is told
    what would take more than half of this machine's memory, and what would take more than all of it is refused.

    ``discretize``: the weights of arithmetic modules are rounded to the whole numbers that they converge to, none of
    them by more than this (:func:`graphsim.frontends.keras.lower`).

    Raises:
        ModelError, UsageError: the file cannot be used.
    """
    if discretize is not None and (is_circuit_file(path) or path.suffix == ".onnx"):
        raise UsageError(f"{path}: --discretize is for arithmetic modules, which are layers of Keras models")
    if is_circuit_file(path):
        from graphsim.frontends.circuits import read
        from graphsim.graph.circuit import to_graph

        if weights is not None:
            raise UsageError(f"{path}: is a circuit, which has no weights; leave out --weights")
        return to_graph(read(path, top))
    if top is not None:
        raise UsageError(f"{path}: is not a circuit; --top names the model or module of a circuit file")
    if path.suffix == ".onnx":
        from graphsim.frontends.onnx import lower as lower_onnx

        if weights is not None:
            raise UsageError(f"{path}: an ONNX file has its weights in it; leave out --weights")
        return lower_onnx(path, memory=_memory(max_memory, warn))
    from graphsim.frontends.keras import lower as lower_keras

    return lower_keras(path, weights, memory=_memory(max_memory, warn), discretize=discretize)


def split_neurons(graph: Graph, max_fan_in: int | None) -> Graph:
    """The graph with sums of at most so many terms (:mod:`graphsim.passes.fan_in`); itself where that is None.

    Raises:
        UsageError: that is below 2.
    """
    if max_fan_in is None:
        return graph
    from graphsim.passes import SplitFanIn

    return SplitFanIn(max_fan_in)(graph)


def is_circuit_file(path: Path) -> bool:
    """Whether a file is read as a circuit."""
    from graphsim.frontends.circuits import format_of

    return format_of(path) is not None


def own_classes() -> dict[str, Any]:
    """Classes of layers that are not Keras's, by name, which plugins bring for TensorFlow."""
    from graphsim.frontends.keras.plugins import keras_objects

    return keras_objects()


def _memory(most: int | None, warn: Warn) -> Memory:
    from graphsim.frontends.builder import ANY_MEMORY, Memory

    if most is not None:
        return Memory(most)
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # a machine that does not say
        return ANY_MEMORY
    return Memory(there, there // 2, warn)
