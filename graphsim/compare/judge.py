"""The judge: goes through a graph, some samples at a time, with the balls of both sides, and counts what it finds.

A ball is dropped after its last consumer, and of the reference only the samples at hand are here: the judge needs
memory for a few groups, not for the network.

Where neurons were split into adder trees (:mod:`graphsim.passes.fan_in`), each is judged by the function that it had in
the graph before, from that function's own inputs: the reference by its roundings there, the run by those of the tree.
So a term that is lost on the way shows. Partial sums are judged by themselves, too.

Actors that fire several times per sample are judged firing by firing, on the unrolled graph: what a step makes of what
the reference, or the run, showed one step before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.rounding import GRAPHSIM, TENSORFLOW, Arithmetic, Ball, Rounding, trees
from graphsim.compare.reference import Tensor
from graphsim.compare.result import RATIO_EDGES, ULP_BINS, Divergence, Judged, LayerAgreement
from graphsim.errors import UsageError
from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.passes import unroll
from graphsim.simulate.engine import Run

FloatArray = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Judge:
    """Judges every neuron of a run and of a reference.

    Args:
        whole: the graph before its neurons were split, if they were.

    Attributes:
        tallies: of every group that has values, by its number.
        first: the first divergence so far, by layer, then sample.
        shown: the reference's values of the groups in ``keep``, by name, float32 (N, elements); filled as it goes.
    """

    def __init__(
        self,
        graph: Graph,
        run: Run,
        keep: Collection[str] = (),
        progress: Callable[[int], None] | None = None,
        whole: Graph | None = None,
    ) -> None:
        unrolled = unroll(graph)
        self.original, self.graph, self.run, self.rounding = graph, unrolled.graph, run, Rounding(unrolled.graph)
        first = unrolled if whole is None else unroll(whole)
        before = first.graph
        #: The graph before neurons were split, and the number in it of each group; -1 for partial sums, and for initial
        #: tokens, whose constants are named in the order in which each graph reads them.
        self.whole = self.rounding if whole is None else Rounding(before, trees(unrolled.graph, before))
        self._number = [
            before.number.get(group.name, -1) if of >= 0 else -1
            for group, of in zip(unrolled.graph.groups, unrolled.group.tolist(), strict=True)
        ]
        self._constants = np.flatnonzero(first.group < 0).tolist()
        #: Which group of the original each group is a firing of, -1 for constants; and which of its tokens it makes.
        self._of, self._token = unrolled.group.tolist(), unrolled.token.tolist()
        self._progress = progress
        #: Both sides are judged at the same time: NumPy leaves Python to others while it computes.
        self._pool = ThreadPoolExecutor(1)
        self.shown: dict[str, FloatArray] = {}
        self._keep = frozenset(keep)
        self.tallies: dict[int, Tally] = {}
        self.first: Divergence | None = None
        self._first_group = len(self.graph.groups)
        for number, group in enumerate(graph.groups):
            if group.op == "input" and group.name not in run.values:
                raise UsageError(f'the run has no values of input {group.name}; run with keep="all" to compare')
            if group.op in ("source", "input"):
                continue
            self.tallies[number] = Tally(graph, number)
        #: Groups whose balls nobody needs any more once a group was judged.
        self._done, self._done_whole = _last_used(self.graph), _last_used(before)
        #: The balls of what the sample before has left, by ``~number``: of own inputs, of the same in the graph before,
        #: and of the reference's.
        self._left = [
            {~number: _nothing(of.graph, number) for number in of.carried}
            for of in (self.rounding, self.whole, self.whole)
        ]

    def samples(self, start: int, count: int, reference: Mapping[Tensor, FloatArray]) -> None:
        """Judge ``count`` samples from ``start`` on; ``reference`` has their tensors, float32 (count, *shape)."""
        tensors = {number: self._tensor(number, reference, count) for number in self.tallies}
        shown = {number: values for number, values in tensors.items() if values is not None}
        for name in self._keep & {self.original.groups[number].name for number in shown}:
            values = shown[self.original.number[name]]
            kept = self.shown.setdefault(name, np.empty((self.run.samples, values[0].size), np.float32))
            kept[start : start + count] = values.reshape(count, -1)
        step = min(self.rounding.samples_at_once, self.whole.samples_at_once)
        for first in range(0, count, step):
            here = slice(first, first + step)
            at_hand = {number: values[here] for number, values in shown.items()}
            self._chunk(start + first, min(step, count - first), at_hand)
            if self._progress is not None:
                self._progress(start + min(first + step, count))

    def _tensor(self, number: int, reference: Mapping[Tensor, FloatArray], count: int) -> FloatArray | None:
        """What the reference shows of a group, float32 (count, tokens, elements)."""
        group, tokens = self.original.groups[number], self.original.tokens(number)
        values = reference.get((group.layer, group.call, group.observes)) if group.observes else None
        if values is None:
            return None
        if "element" in group.params and values.ndim > 1:  # the group has some elements of the tensor only
            chosen = self.graph.params[group.params["element"].name]
            if int(chosen[-1]) < values[:1].size:
                values = values.reshape(len(values), -1)[:, chosen]
        if len(values) != count or values[:1].size != tokens * group.size * len(values[:1]):
            steps = f"{tokens}, " if tokens > 1 else ""
            raise UsageError(
                f"layer {group.layer}: the reference shows an array of shape {values.shape};"
                f" {group.name} needs ({count}, {steps}{', '.join(map(str, group.shape))})"
            )
        return values.reshape(count, tokens, group.size)

    def _values(self, number: int, start: int, stop: int) -> FloatArray | None:
        """What the run has of a firing, float32 (samples, elements)."""
        if self._of[number] < 0:
            return None
        seen = self.run.values.get(self.original.groups[self._of[number]].name)
        if seen is None:
            return None
        tokens = self.original.tokens(self._of[number])
        return seen[start:stop].reshape(stop - start, tokens, -1)[:, self._token[number]]

    def _chunk(self, start: int, count: int, reference: Mapping[int, FloatArray]) -> None:
        stop = start + count
        own = dict(self._left[0])  # by number in the graph
        known, outside = map(dict, self._left[1:])  # the same by number in the graph before, and the reference's
        for constant in self._constants:
            known[constant] = self.whole.evaluate(constant, known, GRAPHSIM, count)
            outside[constant] = self.whole.evaluate(constant, outside, TENSORFLOW, count)
        for number, group in enumerate(self.graph.groups):
            if group.op == "source":
                continue
            values, before = self._values(number, start, stop), self._number[number]
            if group.op == "input":
                assert values is not None
                own[number] = known[before] = outside[before] = Ball.observed(values)
            elif group.op in SINKS:
                if values is not None:
                    self._sink(number, values, start, stop)
            elif before < 0:
                mine = self._judge(self.rounding, number, values, own, GRAPHSIM, count)
                if self._of[number] >= 0:
                    self._count(number, start, values, None, mine, None)
            else:
                tensor = reference.get(self._of[number])
                shown = None if tensor is None else tensor[:, self._token[number]]
                other = self._pool.submit(self._judge, self.whole, before, shown, outside, TENSORFLOW, count)
                mine = self._judge(self.whole, before, values, known, GRAPHSIM, count)
                own[number] = known[before]
                self._count(number, start, values, shown, mine, other.result())
            if number in self.rounding.carried:
                self._left[0][~number] = own[number]
            if before in self.whole.carried:
                self._left[1][~before], self._left[2][~before] = known[before], outside[before]
            for finished in self._done[number]:
                own.pop(finished, None)
            for finished in self._done_whole[before] if before >= 0 else ():
                known.pop(finished, None)
                outside.pop(finished, None)

    def _judge(
        self,
        rounding: Rounding,
        number: int,
        seen: FloatArray | None,
        balls: dict[int, Ball],
        arithmetic: Arithmetic,
        count: int,
    ) -> Verdict | None:
        """The verdict on observed values; the ball of the group goes to ``balls`` for the groups after it."""
        ball = rounding.evaluate(number, balls, arithmetic, count)
        balls[number] = ball if seen is None else Ball.observed(seen)
        if seen is None:
            return None
        return _verdict(balls[number].value, ball.value, ball.spread)

    def _sink(self, number: int, values: FloatArray, start: int, stop: int) -> None:
        """A sink copies: every element must be the producer's, bit for bit, or the number of the greatest."""
        graph, group = self.graph, self.graph.groups[number]
        channel = graph.channels_into(number)[0]
        fed = self._values(channel.src, start, stop)
        if fed is None:
            return
        edges = channel.expand(graph.groups[channel.src].size, group.size, graph.params)
        inputs = fed[:, edges.src].reshape(stop - start, group.size, -1)
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
        mine: Verdict | None,
        theirs: Verdict | None,
    ) -> None:
        self.tallies[self._of[number]].add(values, shown, mine, theirs)
        if self._first_group <= number:
            return
        verdicts: list[tuple[Judged, Verdict]] = []
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


def _nothing(graph: Graph, number: int) -> Ball:
    """The initial tokens of a group: 0."""
    return Ball.observed(np.zeros((1, graph.groups[number].size), np.float32))


def _last_used(graph: Graph) -> list[list[int]]:
    """For each group, those that no later group reads."""
    done: list[list[int]] = [[] for _ in graph.groups]
    for number in range(len(graph.groups)):
        done[max([number, *(c.dst for c in graph.channels_from(number))])].append(number)
    return done


@dataclass(frozen=True)
class Verdict:
    """On values (n, elements) of one group: the exact ones, the bounds, \\|error\\|/bound, and which are outside."""

    exact: Array
    bound: Array
    ratio: Array
    outside: Bools


def _verdict(seen: Array, exact: Array, bound: Array) -> Verdict:
    with np.errstate(all="ignore"):
        error = np.abs(seen - exact)
        if not np.isfinite(error).all():
            error[seen == exact] = 0.0
        outside = ~(error <= bound)  # whatever is not a number is outside
        ratio = np.divide(error, bound, out=np.zeros_like(error), where=bound > 0)
        ratio[np.isnan(ratio)] = 0.0
        if outside.any():
            far = error[outside] / bound[outside]
            ratio[outside] = np.where(np.isnan(far), np.inf, far)
    return Verdict(exact, bound, ratio, outside)


class Tally:
    """Counts for one group, over all chunks."""

    def __init__(self, graph: Graph, number: int) -> None:
        self.group = graph.groups[number]
        self.checked = self.checked_own = self.outside = 0
        self.difference: float | None = None
        self.greatest: dict[Judged, float] = {}
        self.ulps = np.zeros(len(ULP_BINS), np.int64)
        self.ratios = np.zeros(len(RATIO_EDGES), np.int64)

    def add(
        self, values: FloatArray | None, shown: FloatArray | None, mine: Verdict | None, theirs: Verdict | None
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
            self.ratios += _by_octave(theirs.ratio, -12, len(RATIO_EDGES))
            outside = theirs.outside if outside is None else outside | theirs.outside
        if outside is not None:
            self.outside += int(np.count_nonzero(outside))
        if values is not None and shown is not None:
            with np.errstate(all="ignore"):
                apart = np.where(values == shown, 0.0, np.abs(values.astype(np.float64) - shown))
            self.difference = max(self.difference or 0.0, float(np.max(apart, initial=0.0)))
            self.ulps += _ulp_histogram(values, shown)

    def _note(self, judged: Judged, verdict: Verdict) -> None:
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
    distance = np.abs(_ordinal(a) - _ordinal(b)).astype(np.float64)
    distance[np.isnan(a) | np.isnan(b)] = np.inf
    return _by_octave(distance, 0, len(ULP_BINS))


def _by_octave(values: Array, first: int, bins: int) -> npt.NDArray[np.int64]:
    """How many values are 0, how many in (0, 2**first], in (2**first, 2**(first + 1)] and so on, the last bin open."""
    bits = np.ascontiguousarray(values).reshape(-1).view(np.int64)
    exponent = ((bits + ((1 << 52) - 1)) >> 52) - 1023  # of the next power of two, IEEE 754: 52 bits of fraction
    found = np.bincount(np.clip(exponent, first, first + bins - 2) - first + 1, minlength=bins)
    zeros = len(bits) - int(np.count_nonzero(bits))
    found[0] += zeros
    found[1] -= zeros
    return found


def _ordinal(values: FloatArray) -> npt.NDArray[np.int64]:
    """Numbers float32 values in order; both zeros are 0 (the bits are sign and magnitude, IEEE 754 section 3.4)."""
    bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
