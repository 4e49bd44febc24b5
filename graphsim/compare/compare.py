"""Compare a run with a reference, neuron by neuron.

Two judgements, each proved (:mod:`graphsim.analysis.rounding`):

* the reference's neuron against the graph's exact function of *the reference's own* inputs to that neuron, within the
  bound on the reference's arithmetic;
* graphsim's neuron against the graph's exact function of *its own* inputs, within the bound on its arithmetic.

By induction over the layers both computed the same function, up to rounding. Because every neuron is judged on inputs
that were observed, an error does not spread: a wrong weight shows at its neuron and nowhere after it. The difference
between the two values is reported as well, but not judged: it has the differences of all layers before in it.

Where the reference shows no tensor (inside a softmax), graphsim's neuron is judged alone, and the bound on the next
tensor that the reference shows spans all groups between.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from graphsim.compare.judge import Judge
from graphsim.compare.onnx_reference import OnnxReference
from graphsim.compare.reference import Tensor, TensorFlowReference
from graphsim.compare.result import Comparison, Noise, OutputAgreement
from graphsim.errors import UsageError
from graphsim.graph import Graph
from graphsim.simulate.engine import Run, input_groups, output_groups

__all__ = ["Comparison", "compare", "compare_with_reference", "wanted_tensors"]

FloatArray = npt.NDArray[np.float32]
Progress = Callable[[int], None]
#: First sample, number of samples, and the reference's tensors of them.
Shown = tuple[int, int, Mapping[Tensor, FloatArray]]

#: Samples that the reference computes at a time, at most ...
BATCH = 1000
#: ... and float32 values that it shows at a time, or makes in one layer: 0.5 GB.
SHOWN = 1 << 27
#: Samples on which the reference is compared with itself, at most.
NOISE_SAMPLES = 100


class Samples(Protocol):
    """What is needed of a dataset."""

    @property
    def inputs(self) -> FloatArray | tuple[FloatArray, ...]:
        """The samples, float32 (N, *shape); for several inputs, a tuple of such arrays in the order of the sources."""

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """Their classes, int64 (N,), where they have any."""


@dataclass(frozen=True)
class Identity:
    """What a reference is called in a comparison; see :class:`graphsim.compare.result.Comparison`."""

    name: str
    version: str = ""
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    noise: Noise | None = None


def wanted_tensors(graph: Graph) -> set[Tensor]:
    """The tensors of the source model that the graph's groups observe, without its inputs."""
    groups = [graph.groups[number] for number in _observing(graph)]
    return {(group.layer, group.call, group.observes) for group in groups if group.observes}


def _observing(graph: Graph) -> list[int]:
    return [i for i, group in enumerate(graph.groups) if group.observes and group.op != "input"]


def compare_with_reference(
    graph: Graph,
    model: Path | str,
    weights: Path | str | None,
    dataset: Samples,
    run: Run,
    *,
    progress: Progress | None = None,
    own: Mapping[str, Any] | None = None,
    whole: Graph | None = None,
) -> Comparison:
    """Compare a run over the first samples of a dataset with the outside authority on the same model file.

    That is TensorFlow for Keras models, and the reference implementation of the ``onnx`` package for ONNX.

    Args:
        graph: lowered from ``model`` (and ``weights``). run: of all groups (``keep="all"``).
        own: classes of layers that are not Keras's, by name, for TensorFlow.
        progress: called with the number of samples done.
        whole: what was lowered, if ``graph`` is that with its neurons split (:mod:`graphsim.passes.fan_in`).

    Raises:
        ReferenceUnavailableError: TensorFlow is missing or cannot read or compute the model.
        UsageError: the run does not have the values that are needed, or is not of these samples.
    """
    reference = reference_of(graph, Path(model), weights, own)
    inputs = dataset.inputs if isinstance(dataset.inputs, tuple) else (dataset.inputs,)
    images = tuple(array[: run.samples] for array in inputs)
    labels = None if dataset.labels is None else dataset.labels[: run.samples]
    _check_inputs(graph, run, images)
    wanted = wanted_tensors(graph)
    # A batch of one could not be told from one sample alone: two are always in memory.
    elements = sum(graph.groups[i].size * graph.tokens(i) for i in _observing(graph))
    widest = max(group.size for group in graph.groups)
    streamed = _Stream(reference, images, max(2, min(BATCH, SHOWN // max(1, elements))), wanted)
    seconds = reference.seconds(images, max(1, min(BATCH, SHOWN // widest)))
    identity = Identity(reference.name, reference.version, reference.notes, seconds)
    found = _compare(graph, run, streamed, labels, identity, progress, whole)
    return dataclasses.replace(found, noise=streamed.noise)


def reference_of(
    graph: Graph, model: Path, weights: Path | str | None = None, own: Mapping[str, Any] | None = None
) -> TensorFlowReference | OnnxReference:
    """Who is asked about the model file that a graph was lowered from. ``own``: classes that are not Keras's, by name.

    Raises:
        ReferenceUnavailableError: it is not installed, or cannot read the model.
    """
    if model.suffix == ".onnx":
        return OnnxReference(model)
    older = {group.layer for group in graph.groups if group.activation == "hard_sigmoid_v2" and group.layer}
    whole = "discretized" in graph.notes
    return TensorFlowReference(model, weights, hard_sigmoid_v2=older, own=own, discretize=whole)


def _check_inputs(graph: Graph, run: Run, images: tuple[FloatArray, ...]) -> None:
    groups = [graph.groups[number] for number in input_groups(graph)]
    if len(groups) != len(images):
        raise UsageError(f"{graph.name} takes {len(groups)} inputs; the samples have {len(images)}")
    for group, array in zip(groups, images, strict=True):
        ran = run.values[group.name].reshape(run.samples, -1) if group.name in run.values else None
        if ran is None:
            continue
        if len(array) != run.samples or not np.array_equal(ran, array.reshape(len(array), -1), equal_nan=True):
            raise UsageError("the run is of other samples than the ones to compare on; run the same dataset")


class _Stream:
    """What the reference shows, batch after batch: first sample, how many, and their tensors.

    Attributes:
        noise: the reference against itself, on the first batch; known once that has gone by. None where it computes
            one sample at a time anyhow.
    """

    def __init__(
        self,
        reference: TensorFlowReference | OnnxReference,
        images: tuple[FloatArray, ...],
        batch: int,
        wanted: set[Tensor],
    ) -> None:
        self._reference, self._images, self._batch, self._wanted = reference, images, batch, wanted
        self.noise: Noise | None = None

    def __iter__(self) -> Iterator[Shown]:
        for start in range(0, len(self._images[0]), self._batch):
            chunk = tuple(array[start : start + self._batch] for array in self._images)
            tensors = self._reference.run(chunk, self._batch, self._wanted, resume=start > 0)
            if self.noise is None and self._reference.in_batches and len(chunk[0]) > 1:
                self.noise = self._measure(chunk, tensors)
            yield start, len(chunk[0]), tensors

    def _measure(self, images: tuple[FloatArray, ...], tensors: Mapping[Tensor, FloatArray]) -> Noise:
        """One sample at a time against the batch."""
        greatest, same, n = 0.0, True, min(NOISE_SAMPLES, len(images[0]))
        for i in range(n):
            alone = self._reference.run(tuple(array[i : i + 1] for array in images), 1, self._wanted)
            for key, values in alone.items():
                other = tensors[key][i : i + 1]
                if values.tobytes() != other.tobytes():
                    same = False
                    difference = np.abs(values.astype(np.float64) - other)
                    greatest = max(greatest, float(np.max(difference, initial=0.0)))
        return Noise(n, len(images[0]), len(tensors), greatest, same)


def compare(
    graph: Graph,
    run: Run,
    reference: Mapping[Tensor, FloatArray],
    *,
    labels: npt.NDArray[np.int64] | None = None,
    identity: Identity | None = None,
    progress: Progress | None = None,
    whole: Graph | None = None,
) -> Comparison:
    """Judge every neuron of a run and of a reference.

    Args:
        run: values float32 (N, *shape) by group; the inputs must be among them.
        reference: float32 (N, *shape) by (layer, call, "pre" or "output"); tensors that no group observes are ignored.
        labels: int64 (N,): the right classes.
        progress: called with the number of samples judged so far.
        whole: the graph before its neurons were split, if they were.

    Raises:
        UsageError: inputs are missing from the run, or shapes or numbers of samples do not fit.
        GraphError: the graph has a group for which there is no rounding rule.
    """
    for (layer, _, _), values in reference.items():
        if len(values) != run.samples:
            raise UsageError(f"layer {layer}: the reference shows {len(values)} samples; the run has {run.samples}")
    return _compare(
        graph, run, [(0, run.samples, reference)], labels, identity or Identity("reference"), progress, whole
    )


def _compare(
    graph: Graph,
    run: Run,
    reference: Iterable[Shown],
    labels: npt.NDArray[np.int64] | None,
    identity: Identity,
    progress: Progress | None,
    whole: Graph | None,
) -> Comparison:
    classifiers = _classifiers(graph, run, labels)
    fed = [name for name in output_groups(graph) if name not in classifiers]
    judge = Judge(graph, run, keep=[*classifiers, *fed], progress=progress, whole=whole)
    for start, count, tensors in reference:
        judge.samples(start, count, tensors)
    outputs = tuple(_classify(name, run.values[name], judge.shown.get(name), labels) for name in classifiers)
    return Comparison(
        identity.name,
        identity.version,
        identity.notes,
        identity.seconds,
        run.samples,
        tuple(tally.agreement() for tally in judge.tallies.values()),
        outputs,
        judge.first,
        identity.noise,
        {name: judge.shown[name] for name in output_groups(graph) if name in judge.shown},
    )


def _classifiers(graph: Graph, run: Run, labels: npt.NDArray[np.int64] | None) -> list[str]:
    """Groups whose greatest value is a class: those that feed an argmax, or a vector that fits the labels."""
    found = []
    for sink in graph.sinks:
        group = graph.groups[graph.channels_into(sink)[0].src]
        fits = labels is not None and labels.size > 0 and group.size > max(1, int(labels.max()))
        if group.name in run.values and (graph.groups[sink].op == "argmax" or (len(group.shape) == 1 and fits)):
            found.append(group.name)
    return found


def _classify(
    name: str, values: FloatArray, shown: FloatArray | None, labels: npt.NDArray[np.int64] | None
) -> OutputAgreement:
    classes = values[:1].size if len(values) else 0
    predicted = np.argmax(values.reshape(len(values), -1), axis=1) if len(values) else np.zeros(0, np.int64)
    theirs = None if shown is None or not len(shown) else np.argmax(shown, axis=1)
    if labels is not None and (not labels.size or int(labels.max()) >= classes or int(labels.min()) < 0):
        labels = None

    def accuracy(found: npt.NDArray[np.int64] | None) -> float | None:
        return None if found is None or labels is None else float(np.mean(found == labels))

    def confusion(found: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64] | None:
        if found is None or labels is None:
            return None
        return np.bincount(labels * classes + found, minlength=classes * classes).reshape(classes, classes)

    return OutputAgreement(
        name,
        classes,
        None if theirs is None else float(np.mean(predicted == theirs)),
        () if theirs is None else tuple(np.flatnonzero(predicted != theirs).tolist()),
        accuracy(predicted),
        accuracy(theirs),
        confusion(predicted),
        confusion(theirs),
        () if labels is None else tuple(np.flatnonzero(predicted != labels).tolist()),
        predicted,
    )
