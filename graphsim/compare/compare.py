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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphsim.analysis.rounding import GRAPHSIM, TENSORFLOW, Arithmetic, Ball, Rounding
from graphsim.compare.reference import Tensor, TensorFlowReference
from graphsim.compare.result import (
    RATIO_EDGES,
    ULP_BINS,
    Comparison,
    Divergence,
    Judged,
    LayerAgreement,
    Noise,
    OutputAgreement,
)
from graphsim.errors import UsageError
from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.simulate.engine import Run, output_groups

__all__ = ["Comparison", "compare", "compare_with_tensorflow", "wanted_tensors"]

FloatArray = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Progress = Callable[[int], None]

#: Samples that the reference computes at a time.
BATCH = 1000
#: Samples on which the reference is compared with itself.
NOISE_SAMPLES = 100


class Samples(Protocol):
    """What is needed of a dataset."""

    @property
    def inputs(self) -> FloatArray:
        """The samples, float32 (N, *shape)."""

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
    found: set[Tensor] = set()
    for group in graph.groups:
        if group.observes and group.op != "input":
            found.add((group.layer, group.call, group.observes))
    return found


def compare_with_tensorflow(
    graph: Graph,
    model: Path | str,
    weights: Path | str | None,
    dataset: Samples,
    run: Run,
    *,
    progress: Progress | None = None,
) -> Comparison:
    """Compare a run over the first samples of a dataset with TensorFlow on the same model file.

    Args:
        graph: lowered from ``model`` (and ``weights``). run: of all groups (``keep="all"``).
        progress: called with the number of samples done, counting the reference's run as the first half.

    Raises:
        ReferenceUnavailableError: TensorFlow is missing or cannot read or compute the model.
        UsageError: the run does not have the values that are needed, or is not of these samples.
    """
    older = {group.layer for group in graph.groups if group.activation == "hard_sigmoid_v2" and group.layer}
    reference = TensorFlowReference(model, weights, hard_sigmoid_v2=older)
    images, n = dataset.inputs[: run.samples], run.samples
    _check_inputs(graph, run, images)
    wanted = wanted_tensors(graph)
    report = progress or (lambda done: None)
    tensors = reference.run(images, BATCH, wanted, progress=lambda done: report(done // 2))
    noise = _noise(reference, images[:NOISE_SAMPLES], wanted, tensors)
    identity = Identity(reference.name, reference.version, reference.notes, reference.seconds(images, BATCH), noise)
    return compare(
        graph,
        run,
        tensors,
        labels=None if dataset.labels is None else dataset.labels[:n],
        identity=identity,
        progress=lambda done: report((n + done) // 2),
    )


def _check_inputs(graph: Graph, run: Run, images: FloatArray) -> None:
    inputs = [group for group in graph.groups if group.op == "input"]
    if len(inputs) == 1 and inputs[0].name in run.values:
        ran = run.values[inputs[0].name].reshape(run.samples, -1)
        if len(images) != run.samples or not np.array_equal(ran, images.reshape(len(images), -1), equal_nan=True):
            raise UsageError("the run is of other samples than the ones to compare on; run the same dataset")


def _noise(
    reference: TensorFlowReference, images: FloatArray, wanted: set[Tensor], tensors: Mapping[Tensor, FloatArray]
) -> Noise:
    alone = reference.run(images, 1, wanted)
    n = len(images)
    differences = [np.abs(alone[key].astype(np.float64) - tensors[key][:n]) for key in alone]
    greatest = max((float(np.max(d, initial=0.0)) for d in differences), default=0.0)
    same = all(alone[key].tobytes() == np.ascontiguousarray(tensors[key][:n]).tobytes() for key in alone)
    total = max((len(values) for values in tensors.values()), default=0)
    return Noise(n, min(BATCH, total), greatest, same)


def compare(
    graph: Graph,
    run: Run,
    reference: Mapping[Tensor, FloatArray],
    *,
    labels: npt.NDArray[np.int64] | None = None,
    identity: Identity | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Judge every neuron of a run and of a reference.

    Args:
        run: values float32 (N, *shape) by group; the inputs must be among them.
        reference: float32 (N, *shape) by (layer, call, "pre" or "output"); tensors that no group observes are ignored.
        labels: int64 (N,): the right classes.
        progress: called with the number of samples judged so far.

    Raises:
        UsageError: inputs are missing from the run, or shapes or numbers of samples do not fit.
        GraphError: the graph has a group for which there is no rounding rule.
    """
    identity = identity or Identity("reference")
    judge = _Judge(graph, run, reference)
    step = judge.rounding.samples_at_once
    for start in range(0, run.samples, step):
        stop = min(start + step, run.samples)
        judge.samples(start, stop)
        if progress is not None:
            progress(stop)
    outputs = tuple(
        _classify(name, run.values[name], judge.reference.get(name), labels)
        for name in _classifiers(graph, run, labels)
    )
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
        {name: judge.reference[name] for name in output_groups(graph) if name in judge.reference},
    )


class _Judge:
    """Goes through the graph, chunk of samples by chunk, with the balls of both sides."""

    def __init__(self, graph: Graph, run: Run, reference: Mapping[Tensor, FloatArray]) -> None:
        self.graph, self.run, self.rounding = graph, run, Rounding(graph)
        self.reference: dict[str, FloatArray] = {}
        self.tallies: dict[int, _Tally] = {}
        self.first: Divergence | None = None
        self._first_group = len(graph.groups)
        for number, group in enumerate(graph.groups):
            if group.op == "input" and group.name not in run.values:
                raise UsageError(f'the run has no values of input {group.name}; run with keep="all" to compare')
            if group.op in ("source", "input"):
                continue
            self.tallies[number] = _Tally(graph, number)
            key: Tensor | None = (group.layer, group.call, group.observes) if group.observes else None
            if key is not None and key in reference:
                values = reference[key]
                if len(values) != run.samples or values[:1].size != group.size * len(values[:1]):
                    raise UsageError(
                        f"layer {group.layer}: the reference shows an array of shape {values.shape};"
                        f" {group.name} needs ({run.samples}, {', '.join(map(str, group.shape))})"
                    )
                self.reference[group.name] = values.reshape(run.samples, -1)

    def samples(self, start: int, stop: int) -> None:
        """Judge samples ``start`` to ``stop`` of every group."""
        own: dict[int, Ball] = {}
        outside: dict[int, Ball] = {}
        for number, group in enumerate(self.graph.groups):
            seen = self.run.values.get(group.name)
            values = None if seen is None else seen[start:stop].reshape(stop - start, -1)
            if group.op == "source":
                continue
            if group.op == "input":
                assert values is not None
                own[number] = outside[number] = Ball.observed(values)
            elif group.op in SINKS:
                if values is not None:
                    self._sink(number, values, start, stop)
            else:
                shown = self.reference.get(group.name)
                shown = None if shown is None else shown[start:stop]
                mine = self._judge(number, values, own, GRAPHSIM)
                theirs = self._judge(number, shown, outside, TENSORFLOW)
                self._count(number, start, values, shown, mine, theirs)

    def _judge(
        self, number: int, seen: FloatArray | None, balls: dict[int, Ball], arithmetic: Arithmetic
    ) -> _Verdict | None:
        """The verdict on observed values; the ball of the group goes to ``balls`` for the groups after it."""
        ball = self.rounding.evaluate(number, balls, arithmetic)
        balls[number] = ball if seen is None else Ball.observed(seen)
        if seen is None:
            return None
        return _verdict(balls[number].value, ball.value, ball.spread)

    def _sink(self, number: int, values: FloatArray, start: int, stop: int) -> None:
        """A sink copies: every element must be the producer's, bit for bit, or the number of the greatest."""
        graph, group = self.graph, self.graph.groups[number]
        channel = graph.channels_into(number)[0]
        fed = self.run.values.get(graph.groups[channel.src].name)
        if fed is None:
            return
        edges = channel.expand(graph.groups[channel.src].size, group.size, graph.params)
        inputs = fed[start:stop].reshape(stop - start, -1)[:, edges.src].reshape(stop - start, group.size, -1)
        if group.op == "argmax":
            best = np.argmax(inputs, axis=2)[..., None]
            inputs = np.concatenate([best.astype(np.float32), np.take_along_axis(inputs, best, axis=2)], axis=2)
        expected = inputs.reshape(stop - start, -1).astype(np.float64)
        verdict = _verdict(values.astype(np.float64), expected, np.zeros_like(expected))
        self._count(number, start, values, None, verdict, None)

    def _count(
        self,
        number: int,
        start: int,
        values: FloatArray | None,
        shown: FloatArray | None,
        mine: _Verdict | None,
        theirs: _Verdict | None,
    ) -> None:
        self.tallies[number].add(values, shown, mine, theirs)
        if self._first_group <= number:
            return
        verdicts: list[tuple[Judged, _Verdict]] = []
        if theirs is not None and theirs.outside.any():
            verdicts.append(("reference", theirs))
        if mine is not None and mine.outside.any():
            verdicts.append(("graphsim", mine))
        if not verdicts:
            return
        judged, verdict = min(verdicts, key=lambda pair: int(np.argmax(pair[1].outside)))
        sample, local = divmod(int(np.argmax(verdict.outside)), verdict.outside.shape[1])
        group = self.graph.groups[number]
        actor = local // (verdict.outside.shape[1] // group.size)
        self._first_group = number
        self.first = Divergence(
            self.graph.actor(int(self.graph.first[number]) + actor).name,
            group.layer,
            start + sample,
            judged,
            float("nan") if values is None else float(values[sample, local]),
            None if shown is None else float(shown[sample, local]),
            float(verdict.exact[sample, local]),
            float(verdict.bound[sample, local]),
            float(verdict.ratio[sample, local]),
        )


@dataclass(frozen=True)
class _Verdict:
    """On values (n, elements) of one group: the exact ones, the bounds, \\|error\\|/bound, and which are outside."""

    exact: Array
    bound: Array
    ratio: Array
    outside: Bools


def _verdict(seen: Array, exact: Array, bound: Array) -> _Verdict:
    with np.errstate(all="ignore"):
        error = np.where(seen == exact, 0.0, np.abs(seen - exact))
        within = error <= bound  # false for whatever is not a number
        ratio = np.where(bound > 0, error / bound, np.where(within, 0.0, np.inf))
        ratio = np.where(within, np.nan_to_num(ratio, nan=0.0), np.where(np.isnan(ratio), np.inf, ratio))
    return _Verdict(exact, bound, ratio, ~within)


class _Tally:
    """Counts for one group, over all chunks."""

    def __init__(self, graph: Graph, number: int) -> None:
        self.group = graph.groups[number]
        self.checked = self.checked_own = self.outside = 0
        self.difference: float | None = None
        self.greatest: dict[Judged, float] = {}
        self.ulps = np.zeros(len(ULP_BINS), np.int64)
        self.ratios = np.zeros(len(RATIO_EDGES), np.int64)

    def add(
        self, values: FloatArray | None, shown: FloatArray | None, mine: _Verdict | None, theirs: _Verdict | None
    ) -> None:
        """Count one chunk."""
        outside: Bools | None = None
        if mine is not None:
            self.checked_own += mine.outside.size
            self._note("graphsim", mine)
            outside = mine.outside
        if theirs is not None:
            self.checked += theirs.outside.size
            self._note("reference", theirs)
            self.ratios += np.bincount(np.searchsorted(RATIO_EDGES, theirs.ratio.ravel()), minlength=len(RATIO_EDGES))
            outside = theirs.outside if outside is None else outside | theirs.outside
        if outside is not None:
            self.outside += int(np.count_nonzero(outside))
        if values is not None and shown is not None:
            with np.errstate(all="ignore"):
                apart = np.where(values == shown, 0.0, np.abs(values.astype(np.float64) - shown))
            self.difference = max(self.difference or 0.0, float(np.max(apart, initial=0.0)))
            self.ulps += _ulp_histogram(values, shown)

    def _note(self, judged: Judged, verdict: _Verdict) -> None:
        self.greatest[judged] = max(self.greatest.get(judged, 0.0), float(np.max(verdict.ratio, initial=0.0)))

    def agreement(self) -> LayerAgreement:
        """The counts, frozen."""
        group = self.group
        return LayerAgreement(
            group.name,
            group.layer,
            group.observes,
            group.size,
            self.checked,
            self.checked_own,
            self.outside,
            self.difference,
            self.greatest.get("reference"),
            self.greatest.get("graphsim"),
            {} if self.difference is None else dict(zip(ULP_BINS, map(int, self.ulps), strict=True)),
            tuple(int(count) for count in self.ratios),
        )


def _ulp_histogram(a: FloatArray, b: FloatArray) -> npt.NDArray[np.int64]:
    """How many pairs are how many float32 numbers apart, by ``ULP_BINS``; whatever is not a number is in the last."""
    distance = np.abs(_ordinal(a) - _ordinal(b)).ravel()
    distance[(np.isnan(a) | np.isnan(b)).ravel()] = 2**31
    edges = np.array([0, 1, *(2**i for i in range(1, 13))])
    return np.bincount(np.searchsorted(edges, distance), minlength=len(ULP_BINS))


def _ordinal(values: FloatArray) -> npt.NDArray[np.int64]:
    """Numbers float32 values in order; both zeros are 0 (the bits are sign and magnitude, IEEE 754 section 3.4)."""
    bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


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
