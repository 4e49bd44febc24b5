"""Compare with outputs that somebody recorded, where no TensorFlow is at hand or the recording is the authority.

Two formats are read, both data only:

* ``.npz``: ``inputs`` and ``outputs``, float arrays (N, ...); several inputs or outputs as ``inputs_0``, ``inputs_1``
  and so on, in the graph's order.
* ``.h5``: groups (or datasets) ``inputs`` and ``outputs`` of datasets (N, ...), in name order, as the test resources of
  Deeplearning4j have them; there ``predictions``, where present, holds what the model gave, by the name of the layer,
  and ``activations`` what its layers gave, and ``outputs`` may hold labels instead.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from graphsim.compare.compare import Identity, Progress, compare
from graphsim.compare.reference import Tensor
from graphsim.compare.result import Comparison
from graphsim.errors import DatasetError
from graphsim.graph import Graph
from graphsim.simulate.engine import Run

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recorded:
    """Recorded values, all float32 with N samples along the first axis.

    Attributes:
        path: where they were read from.
        inputs: one array per input of the model.
        outputs: what the model gave, one array per output.
        layers: what layers gave, by name; {} where only outputs were recorded.
    """

    path: Path
    inputs: tuple[FloatArray, ...]
    outputs: tuple[FloatArray, ...]
    layers: Mapping[str, FloatArray]


def load_recorded(path: Path | str) -> Recorded:
    """Read a recording.

    Raises:
        DatasetError: the file is missing, damaged or holds no recording; names the file and what is missing.
    """
    path = Path(path)
    try:
        arrays = _from_npz(path) if path.suffix == ".npz" else _from_hdf5(path)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: cannot be read as recorded inputs and outputs ({error})") from error
    outputs = arrays["predictions"] or arrays["outputs"]
    inputs = arrays["inputs"]
    for what, found in (("inputs", inputs), ("outputs", outputs)):
        if not found:
            raise DatasetError(f"{path}: holds no {what}; a recording has 'inputs' and 'outputs'")
    everything = [*inputs.values(), *outputs.values(), *arrays["activations"].values()]
    if len({len(array) for array in everything}) != 1:
        raise DatasetError(f"{path}: its arrays have different numbers of samples")
    layers = {name: array for name, array in (arrays["activations"] | arrays["predictions"]).items() if name}
    return Recorded(path, tuple(inputs.values()), tuple(outputs.values()), layers)


_PARTS = ("inputs", "outputs", "predictions", "activations")


def _from_npz(path: Path) -> dict[str, dict[str, FloatArray]]:
    with np.load(path, allow_pickle=False) as file:
        found: dict[str, dict[str, FloatArray]] = {part: {} for part in _PARTS}
        for part in ("inputs", "outputs"):
            names = [part] if part in file else sorted((n for n in file if n.startswith(f"{part}_")), key=_number)
            found[part] = {name: _array(file[name]) for name in names}
        return found


def _number(name: str) -> int:
    tail = name.rpartition("_")[2]
    if not tail.isdigit():
        raise ValueError(f"{name} does not end in a number")
    return int(tail)


def _from_hdf5(path: Path) -> dict[str, dict[str, FloatArray]]:
    with h5py.File(path, "r") as file:
        found: dict[str, dict[str, FloatArray]] = {}
        for part in _PARTS:
            item = file.get(part)
            named = {"": item} if isinstance(item, h5py.Dataset) else dict(item.items()) if item is not None else {}
            found[part] = {k: _array(v[()]) for k, v in sorted(named.items()) if isinstance(v, h5py.Dataset)}
        return found


def _array(values: npt.NDArray[np.generic]) -> FloatArray:
    array = np.asarray(values)
    if array.ndim < 1 or array.dtype.kind not in "fiub":
        raise ValueError(f"an array of {array.dtype} with {array.ndim} axes holds no samples")
    return array.astype(np.float32)


def compare_recorded(
    graph: Graph,
    run: Run,
    recorded: Recorded,
    *,
    labels: npt.NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare a run over the recorded inputs with the recorded outputs, and with layers where they were recorded.

    The bound on an output spans all groups back to the nearest tensors that were recorded: the more was recorded, the
    sharper the judgement. The recording is taken to be TensorFlow's arithmetic on a CPU.

    Raises:
        DatasetError: the recording has another number of outputs than the graph, or none that the graph shows.
        UsageError: shapes or numbers of samples do not fit.
    """
    tensors: dict[Tensor, FloatArray] = {}
    for group in graph.groups:
        if group.observes == "output" and group.call == 0 and group.layer in recorded.layers:
            tensors[group.layer, 0, "output"] = recorded.layers[group.layer]
    fed = [graph.groups[graph.channels_into(sink)[0].src] for sink in graph.sinks]
    if len(fed) != len(recorded.outputs):
        raise DatasetError(f"{recorded.path}: has {len(recorded.outputs)} outputs; {graph.name} has {len(fed)}")
    for group, values in zip(fed, recorded.outputs, strict=True):
        if group.observes:
            tensors.setdefault((group.layer, group.call, group.observes), values)
    if not tensors:
        raise DatasetError(f"{recorded.path}: {graph.name} shows none of the recorded tensors")
    identity = Identity("recorded outputs", recorded.path.name)
    return compare(graph, run, tensors, labels=labels, identity=identity, progress=progress)
