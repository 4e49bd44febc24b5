"""What all engines share: one interface, one output format, bit-identical values.

An engine is made for one graph (and one schedule, where time matters), and runs samples::

    engine = LanesEngine(graph)
    run = engine.run(images)               # float32 (N, *input shape)
    run.values["dense"]                    # float32 (N, 128): every neuron of every sample

``values`` maps group names to float32 arrays (N, *group.shape). A group that makes T > 1 tokens per sample (it fires T
times, or is a ``serial``) has them in one more axis, (N, T, *group.shape); one whose token has several elements (sinks)
has those in one more, last axis. Sources have no values. Every engine gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from graphsim.errors import SimulationError
from graphsim.graph import Graph
from graphsim.graph.ops import OPS
from graphsim.graph.rates import check_steps
from graphsim.graph.verify import verify
from graphsim.passes import unroll

FloatArray = npt.NDArray[np.float32]
#: What a run keeps: every group's values, only the sinks and the groups that feed them, or the groups named.
Keep = Literal["all", "outputs"] | Collection[str]
#: Called now and then with the number of samples done so far.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Timing:
    """When samples went in and came out: measured by an engine that has a clock, in ticks.

    Attributes:
        fired: int64 (N, sources): tick at which each source fired for each sample.
        ended: int64 (N, sinks): tick at which the last firing of each sink group for each sample ended.
    """

    fired: npt.NDArray[np.int64]
    ended: npt.NDArray[np.int64]

    @cached_property
    def source_ticks(self) -> npt.NDArray[np.int64]:
        """Tick at which the first source fired for each sample, int64 (N,)."""
        first: npt.NDArray[np.int64] = self.fired.min(axis=1)
        return first

    @cached_property
    def sink_ticks(self) -> npt.NDArray[np.int64]:
        """Tick at which the last sink firing of each sample ended, int64 (N,)."""
        last: npt.NDArray[np.int64] = self.ended.max(axis=1)
        return last

    def between(self, sources: slice, sinks: slice) -> Timing:
        """The times of some sources and sinks alone."""
        return Timing(self.fired[:, sources], self.ended[:, sinks])

    @property
    def period(self) -> Fraction | None:
        """Measured ticks per sample in steady state: mean spacing of the outputs of the later half; None below two."""
        n = len(self.sink_ticks)
        if n < 2:
            return None
        first = (n - 1) // 2
        return Fraction(int(self.sink_ticks[-1] - self.sink_ticks[first]), n - 1 - first)

    @property
    def latency(self) -> int:
        """Measured ticks from source to sink, of the last sample."""
        return int(self.sink_ticks[-1] - self.source_ticks[-1])


@dataclass(frozen=True)
class Run:
    """What a run produced.

    Attributes:
        engine: name of the engine.
        samples: N.
        values: group name to float32 (N, *shape); see the module docstring.
        timing: measured times, or None for engines without a clock.
        wall_seconds: measured wall time of the run itself, without preparation.
        note: how the engine went about it, for people, where it had a choice; with the time that preparing it took.
    """

    engine: str
    samples: int
    values: Mapping[str, FloatArray]
    timing: Timing | None
    wall_seconds: float
    note: str = ""

    def __repr__(self) -> str:
        timing = "" if self.timing is None or self.timing.period is None else f", period {self.timing.period} ticks"
        return f"<Run of {self.engine}: {self.samples:,} samples, values of {len(self.values):,} groups{timing}>"


class Engine(Protocol):
    """One way to execute a graph."""

    name: str

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); with several sources, a tuple of such arrays in source order."""
        ...


def kept_groups(graph: Graph, keep: Keep) -> list[int]:
    """Numbers of the groups whose values a run keeps, in order. Sources have none."""
    if keep == "all":
        return [i for i, g in enumerate(graph.groups) if g.op != "source"]
    if keep == "outputs":
        fed = {c.src for sink in graph.sinks for c in graph.channels_into(sink)}
        return sorted(fed | set(graph.sinks))
    unknown = [name for name in keep if name not in graph.number]
    if unknown:
        raise SimulationError(f"no group {', '.join(unknown)}; there are: {', '.join(graph.number)}")
    return sorted(graph.number[name] for name in keep)


def input_groups(graph: Graph) -> list[int]:
    """For each source, in order, the number of the input group it feeds."""
    return [graph.channels_from(source)[0].dst for source in graph.sources]


def output_groups(graph: Graph) -> list[str]:
    """For each sink, in order, the name of the group that it takes from first."""
    return [graph.groups[graph.channels_into(sink)[0].src].name for sink in graph.sinks]


def token_shape(graph: Graph, group: int) -> tuple[int, ...]:
    """Shape of one token of a group: () for a single element, (width,) for a sink, whose token has several."""
    if group not in graph.sinks:
        return ()
    return (OPS[graph.groups[group].op].width(int(graph.fan_in(group)[0])),)


def value_shape(graph: Graph, group: int) -> tuple[int, ...]:
    """Shape of a group's values for one sample; a group that makes T > 1 tokens in it has T as first axis."""
    made = graph.tokens(group)
    return (*((made,) if made > 1 else ()), *graph.groups[group].shape, *token_shape(graph, group))


def check_runnable(graph: Graph, engine: str) -> None:
    """Refuse what breaks the graph's rules and what no engine executes.

    Raises:
        GraphError: see :func:`graphsim.graph.verify.verify`, as native code relies on indices and shapes that fit; or
            rates other than one elsewhere than at ``serial`` and ``take``.
        SimulationError: actors of one sink group with tokens of different widths.
    """
    verify(graph)
    check_steps(graph)
    for sink in graph.sinks:
        if np.ptp(graph.fan_in(sink)) != 0:
            name = graph.groups[sink].name
            raise SimulationError(f"{engine}: the actors of sink {name} have different numbers of inputs")


class Form:
    """A graph as engines run it in which every actor fires once: unrolled, and its values put together again.

    Attributes:
        original: the graph that was given.
        graph: unrolled; the original itself where that is homogeneous.

    Raises:
        GraphError, SimulationError: see :func:`check_runnable`.
    """

    def __init__(self, graph: Graph, engine: str) -> None:
        check_runnable(graph, engine)
        self.original = graph
        self._unrolled = unroll(graph)
        self.graph = self._unrolled.graph

    def outputs(self, keep: Keep, samples: int, flat: bool = False) -> Outputs:
        """Room for the values of a run.

        Args:
            flat: have all of them in one array.
        """
        kept = kept_groups(self.original, keep)
        shapes = {g: value_shape(self.original, g) for g in kept}
        sizes = [samples * math.prod(shape) for shape in shapes.values()]
        memory = np.empty(sum(sizes) if flat else 0, np.float32)
        values: dict[str, FloatArray] = {}
        parts: dict[int, FloatArray] = {}
        top = 0
        for (number, shape), size in zip(shapes.items(), sizes, strict=True):
            array = memory[top : top + size] if flat else np.empty(size, np.float32)
            top += size
            firings = self._firings[number]
            if len(firings) == 1:
                found = array.reshape(samples, *shape)
                parts[firings[0]] = found
            else:  # every firing's values of all samples together
                steps = array.reshape(len(firings), samples, *shape[1:])
                parts.update(zip(firings, steps, strict=True))
                found = steps.swapaxes(0, 1)
            values[self.original.groups[number].name] = found
        return Outputs(values, parts, memory)

    def ticks(self, samples: int) -> Timing:
        """Room for the times of a run: nothing has fired or ended yet."""
        never = np.iinfo(np.int64).max
        sources, sinks = len(self.original.sources), len(self.original.sinks)
        return Timing(np.full((samples, sources), never, np.int64), np.zeros((samples, sinks), np.int64))

    @cached_property
    def column(self) -> npt.NDArray[np.int64]:
        """Which source or sink of the original each actor of ``graph`` is a firing of, int64 (actors,); else 0."""
        number = np.zeros(len(self.original.groups) + 1, np.int64)  # one more for constants, which are of group -1
        for ends in (self.original.sources, self.original.sinks):
            number[list(ends)] = np.arange(len(ends))
        return np.repeat(number[self._unrolled.group], np.diff(self.graph.first))

    @cached_property
    def _firings(self) -> list[list[int]]:
        """Numbers of the unrolled groups that each group has become, by token."""
        found: list[list[int]] = [[] for _ in self.original.groups]
        for number in np.argsort(self._unrolled.token, kind="stable").tolist():
            if (of := int(self._unrolled.group[number])) >= 0:
                found[of].append(number)
        return found


@dataclass(frozen=True)
class Outputs:
    """Room for the values of a run.

    Attributes:
        values: by group of the original graph, as a :class:`Run` has them.
        parts: number of a group of the unrolled graph to its part of them, a C-contiguous view (N, *shape).
        memory: float32: all values, one group behind the other, if that was asked for.
    """

    values: dict[str, FloatArray]
    parts: dict[int, FloatArray]
    memory: FloatArray


def as_inputs(graph: Graph, samples: FloatArray | tuple[FloatArray, ...]) -> list[FloatArray]:
    """Check samples against the graph's inputs and flatten each: one C-contiguous float32 (N, actors) per source.

    Raises:
        SimulationError: the shape or the number of arrays does not fit; the message names both shapes.
    """
    arrays = samples if isinstance(samples, tuple) else (samples,)
    groups = input_groups(graph)
    if len(arrays) != len(groups):
        raise SimulationError(f"{graph.name} takes {len(groups)} inputs; {len(arrays)} were given")
    flat: list[FloatArray] = []
    for number, array in zip(groups, arrays, strict=True):
        group = graph.groups[number]
        if array.ndim < 1 or array[:1].size != group.size * len(array[:1]) or len(array) != len(arrays[0]):
            raise SimulationError(f"input {group.name} takes samples of shape {group.shape}; got {array.shape[1:]}")
        flat.append(np.ascontiguousarray(array, dtype=np.float32).reshape(len(array), group.size))
    return flat
