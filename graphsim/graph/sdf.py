"""Timed dataflow graphs: actors that take time, channels with rates; no values. Any SDF or CSDF graph is one.

SDF: Lee and Messerschmitt, "Synchronous data flow", Proc. IEEE 75(9), 1987. CSDF, whose rates and times go in phases:
Bilsen, Engels, Lauwereins and Peperstraete, "Cyclo-static dataflow", IEEE Trans. Signal Processing 44(2), 1996.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]

#: Times, rates and tokens are at most this, so that sums of many stay below 2**63.
MOST = 1 << 40
#: Phases of all actors and of both ends of all channels, at most.
MOST_PHASES = 1 << 24


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedGraph:
    """A cyclo-static dataflow graph with execution times; an SDF graph is one in which every actor has one phase.

    Encoding. Firing n of actor a is in phase ``n mod phases(a)``, where actor a has ``phase_ptr[a + 1] -
    phase_ptr[a]`` phases, and takes ``ticks[phase_ptr[a] + phase]``. Channel c leads from actor ``src[c]`` to actor
    ``dst[c]`` and holds ``tokens[c]`` at the start; a firing of its producer in phase p puts ``produce[produce_ptr[c] +
    p]`` tokens on it when it ends, and all firings before it have; one of its consumer takes ``consume[consume_ptr[c] +
    p]`` when it starts. Tokens so keep their order, even where firings overlap and later ones take less time.

    Attributes (all arrays read-only):
        name: of the graph.
        actor_names, channel_names: unique; () where there are too many to be worth it.
        phase_ptr: int64 (actors + 1,). ticks: int64 (phases of all actors,).
        src, dst: int32 (channels,). tokens: int64 (channels,).
        produce_ptr, consume_ptr: int64 (channels + 1,). produce, consume: int64.
        concurrency: int64 (actors,): firings of an actor that may overlap; 0 where there is no limit.
        token_bits: int64 (channels,): width of a token, 0 where it is not known.
    """

    name: str
    actor_names: tuple[str, ...]
    channel_names: tuple[str, ...]
    phase_ptr: IntArray
    ticks: IntArray
    src: Int32Array
    dst: Int32Array
    tokens: IntArray
    produce_ptr: IntArray
    produce: IntArray
    consume_ptr: IntArray
    consume: IntArray
    concurrency: IntArray
    token_bits: IntArray

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __repr__(self) -> str:
        return f"<TimedGraph {self.name}: {self.actor_count:,} actors, {self.channel_count:,} channels>"

    @property
    def actor_count(self) -> int:
        """Number of actors."""
        return len(self.phase_ptr) - 1

    @property
    def channel_count(self) -> int:
        """Number of channels."""
        return len(self.src)

    @cached_property
    def phases(self) -> IntArray:
        """Phases of each actor, int64 (actors,)."""
        return np.diff(self.phase_ptr)

    @cached_property
    def homogeneous(self) -> bool:
        """Whether every actor has one phase and all rates are one."""
        return bool(np.all(self.phases == 1) and np.all(self.produce == 1) and np.all(self.consume == 1))

    def actor_name(self, actor: int) -> str:
        """What an actor is called."""
        return self.actor_names[actor] if self.actor_names else f"actor {actor}"

    def channel_name(self, channel: int) -> str:
        """A channel and its ends, for messages."""
        ends = f"{self.actor_name(int(self.src[channel]))} -> {self.actor_name(int(self.dst[channel]))}"
        return f"{self.channel_names[channel]} ({ends})" if self.channel_names else ends

    def produced(self, channel: int) -> tuple[int, ...]:
        """Tokens that the producer puts on a channel, by phase."""
        return tuple(self.produce[self.produce_ptr[channel] : self.produce_ptr[channel + 1]].tolist())

    def consumed(self, channel: int) -> tuple[int, ...]:
        """Tokens that the consumer takes from a channel, by phase."""
        return tuple(self.consume[self.consume_ptr[channel] : self.consume_ptr[channel + 1]].tolist())

    def firing_ticks(self, actor: int) -> tuple[int, ...]:
        """Execution times of an actor, by phase."""
        return tuple(self.ticks[self.phase_ptr[actor] : self.phase_ptr[actor + 1]].tolist())


@dataclass(frozen=True)
class Flow:
    """One channel, as :func:`timed_graph` takes it; a rate is a number, or one number for each phase."""

    src: str
    dst: str
    produce: int | Sequence[int] = 1
    consume: int | Sequence[int] = 1
    tokens: int = 0
    name: str = ""
    token_bits: int = 0


def timed_graph(
    name: str,
    ticks: Mapping[str, int | Sequence[int]],
    channels: Iterable[Flow],
    *,
    concurrency: Mapping[str, int] | int = 1,
) -> TimedGraph:
    """A graph from its parts: execution times by actor, and channels.

    Where a rate has several phases and a time has one, or the other way round, the single one holds for all phases.

    Args:
        concurrency: firings of an actor that may overlap, for all or by actor (1 where none is given); 0: no limit.

    Raises:
        GraphError: an actor that is not there, phases that do not fit, numbers that are negative or above 2**40, a
            channel that never carries a token.
    """
    flows = list(channels)
    number = {actor: at for at, actor in enumerate(ticks)}
    phases = {actor: len(_listed(time)) for actor, time in ticks.items()}
    for flow in flows:
        for end, rate in ((flow.src, flow.produce), (flow.dst, flow.consume)):
            if end not in number:
                raise GraphError(f"{name}: channel {flow.src} -> {flow.dst}: there is no actor {end!r}")
            phases[end] = max(phases[end], len(_listed(rate)))
    many = sum(phases.values()) + sum(phases[flow.src] + phases[flow.dst] for flow in flows)
    if many > MOST_PHASES:
        raise GraphError(f"{name}: {many:,} phases of actors and of ends of channels; at most {MOST_PHASES:,} fit")
    times = [_spread(_listed(time), phases[actor], f"{name}: actor {actor}: times") for actor, time in ticks.items()]
    made, taken = [], []
    for flow in flows:
        where = f"{name}: channel {flow.src} -> {flow.dst}"
        made.append(_spread(_listed(flow.produce), phases[flow.src], f"{where}: rates of production"))
        taken.append(_spread(_listed(flow.consume), phases[flow.dst], f"{where}: rates of consumption"))
        if not sum(made[-1]) or not sum(taken[-1]):
            raise GraphError(f"{where}: rates are 0 in all phases; leave the channel out")
        _spread([flow.tokens], 1, f"{where}: initial tokens")
    limits = {a: concurrency if isinstance(concurrency, int) else concurrency.get(a, 1) for a in ticks}
    _spread(list(limits.values()), len(limits), f"{name}: limits of concurrency")
    names = [flow.name or f"{flow.src}->{flow.dst}" for flow in flows]
    seen = Counter(names)
    names = [f"{one}#{at}" if seen[one] > 1 else one for at, one in enumerate(names)]
    return TimedGraph(
        name=name,
        actor_names=tuple(ticks),
        channel_names=tuple(names),
        phase_ptr=_ends(times),
        ticks=_flat(times),
        src=np.array([number[flow.src] for flow in flows], np.int32),
        dst=np.array([number[flow.dst] for flow in flows], np.int32),
        tokens=np.array([flow.tokens for flow in flows], np.int64),
        produce_ptr=_ends(made),
        produce=_flat(made),
        consume_ptr=_ends(taken),
        consume=_flat(taken),
        concurrency=np.array(list(limits.values()), np.int64),
        token_bits=np.array([flow.token_bits for flow in flows], np.int64),
    )


def _listed(value: int | Sequence[int]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _spread(values: list[int], phases: int, what: str) -> list[int]:
    if len(values) not in (1, phases):
        raise GraphError(f"{what}: {len(values)} phases; the actor has {phases}")
    for value in values:
        if not 0 <= value <= MOST:
            raise GraphError(f"{what}: {value}; must be from 0 to 2**40")
    return values if len(values) == phases else values * phases


def _ends(rows: Sequence[Sequence[int]]) -> IntArray:
    ends = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=ends[1:])
    return ends


def _flat(rows: Sequence[Sequence[int]]) -> IntArray:
    return np.array([value for row in rows for value in row], np.int64)
