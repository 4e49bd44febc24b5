"""What a graph is fed with: whether it fits, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from graphsim.errors import DatasetError

if TYPE_CHECKING:
    from graphsim.datasets import Dataset
    from graphsim.graph import Graph
    from graphsim.pipeline.stages import Warn
    from graphsim.simulate.engine import FloatArray

#: Samples, or what makes them for a graph.
Data: TypeAlias = "Dataset | Callable[[Graph], Dataset]"


def samples_for(data: Data, graph: Graph) -> Dataset:
    """The samples themselves, made for the graph if need be."""
    return data(graph) if callable(data) else data


def inputs_of(dataset: Dataset) -> tuple[FloatArray, ...]:
    """The samples of each input, in order: float32 (N, *shape)."""
    return dataset.inputs if isinstance(dataset.inputs, tuple) else (dataset.inputs,)


def draw(graph: Graph, count: int | None = None, seed: int = 0) -> Dataset:
    """Samples for any graph, 32 where ``count`` is None (:func:`graphsim.simulate.samples.random_samples`)."""
    from graphsim.datasets.own import ArrayDataset
    from graphsim.simulate.samples import random_samples

    arrays = random_samples(graph, 32 if count is None else count, seed)
    return ArrayDataset(
        name="random",
        split="drawn",
        inputs=arrays if len(arrays) > 1 else arrays[0],
        labels=None,
        source=f"NumPy's default generator, seed {seed}",
        prepared="drawn, even over the range that the model states, or standard normal",
    )


def check_dataset(graph: Graph, dataset: Dataset) -> None:
    """Raise DatasetError unless the samples fit the graph's inputs: their shapes, and rows that its tables have."""
    from graphsim.simulate.engine import input_groups
    from graphsim.simulate.samples import numbered_rows

    choose = "another --dataset: an .npz file of your own, or random"
    if dataset.name == "alu":
        choose = f"other --bits, --vectors or {choose}"
    groups, arrays = [graph.groups[number] for number in input_groups(graph)], inputs_of(dataset)
    if len(groups) != len(arrays):
        has = "one" if len(arrays) == 1 else str(len(arrays))
        raise DatasetError(
            f"{graph.name} takes {len(groups)} inputs; dataset {dataset.name} has {has}; choose {choose}"
        )
    for group, array in zip(groups, arrays, strict=True):
        if int(np.prod(array.shape[1:])) != group.size:
            which = "" if len(groups) == 1 else f" at {group.name}"
            raise DatasetError(
                f"{graph.name} takes samples of shape {group.shape}{which}; dataset {dataset.name} has "
                f"{array.shape[1:]}; choose {choose}"
            )
    fed = dict(zip(input_groups(graph), arrays, strict=True))
    for number, (layer, rows) in numbered_rows(graph).items():
        least = 0 if graph.notes.get("keras_semantics", "").startswith(("Keras 1", "Keras 2")) else -rows
        _check_rows(dataset.name, graph.groups[number].layer, fed[number], layer, range(least, rows))


def _check_rows(dataset: str, name: str, array: FloatArray, layer: str, rows: range) -> None:
    """Raise DatasetError unless all values, their fractions cut off, number rows of a table: float32 (N, *shape)."""
    outside = ~((array > rows.start - 1) & (array < rows.stop))
    if not outside.any():
        return
    first = np.unravel_index(int(outside.argmax()), array.shape)
    raise DatasetError(
        f"{dataset}: input {name}, sample {first[0]}, has the value {float(array[first]):g}; {layer} looks up "
        f"{rows.stop:,} rows, {rows.start:,} to {rows.stop - 1:,}; {int(outside.sum()):,} of {array.size:,} values are "
        "outside of them; "
        "number classes from 0 on, as for training, or choose --dataset random"
    )


def checked_samples(data: Data, graph: Graph, warn: Warn) -> Dataset:
    """The samples, once they fit; ``warn`` is told what is to be said of their range.

    Raises:
        DatasetError: they do not fit the graph's inputs, or number rows that a table of it does not have.
    """
    dataset = samples_for(data, graph)
    check_dataset(graph, dataset)
    for remark in (remark_on_range(graph, dataset), remark_on_rows(graph, dataset), remark_on_labels(graph, dataset)):
        if remark is not None:
            warn(remark)
    return dataset


def remark_on_range(graph: Graph, dataset: Dataset) -> str | None:
    """One line where samples lie far outside of the range that the graph's notes state for its input, or fill almost
    none of a range that the model itself brings to the size of 1; else None.
    """
    from graphsim.simulate.engine import input_groups
    from graphsim.simulate.samples import stated_ranges

    fed = {graph.groups[g].layer: array for g, array in zip(input_groups(graph), inputs_of(dataset), strict=True)}
    for name, least, greatest, why in stated_ranges(graph):
        span = greatest - least
        low, high = float(np.min(fed[name])), float(np.max(fed[name]))
        is_far = low < least - span or high > greatest + span
        is_small = why in ("Rescaling", "Normalization") and high - low < span / 50
        if is_far or is_small:
            return (
                f"{dataset.name} has values from {low:.4g} to {high:.4g} ({dataset.prepared}), and {name} expects"
                f" {least:.4g} to {greatest:.4g} (by its {why}): were they prepared as for training?"
            )
    return None


def remark_on_rows(graph: Graph, dataset: Dataset) -> str | None:
    """One line where rows of a table are numbered from its end, which few mean; else None."""
    from graphsim.simulate.engine import input_groups
    from graphsim.simulate.samples import numbered_rows

    fed = dict(zip(input_groups(graph), inputs_of(dataset), strict=True))
    for number, (layer, _) in numbered_rows(graph).items():
        if below := int((fed[number] <= -1).sum()):
            name = graph.groups[number].layer
            return (
                f"{dataset.name}: {below:,} values of input {name} are negative; {layer} counts them from its last row"
            )
    return None


def remark_on_labels(graph: Graph, dataset: Dataset) -> str | None:
    """One line where a label is no class of the graph, which can never be right; else None."""
    sinks = [graph.groups[number] for number in graph.sinks]
    if dataset.labels is None or len(sinks) != 1 or sinks[0].op != "argmax":
        return None
    classes = int(graph.fan_in(graph.sinks[0])[0])
    beyond = np.flatnonzero(dataset.labels >= classes)
    if not len(beyond):
        return None
    first = int(beyond[0])
    return (
        f"{len(beyond):,} labels of {dataset.name} are no classes of {graph.name}, which has {classes:,}, 0 to "
        f"{classes - 1:,}: the first is {int(dataset.labels[first]):,}, of sample {first:,}; they count as wrong"
    )
