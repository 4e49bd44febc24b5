"""State that goes from sample to sample, for an engine that runs samples from inputs to outputs.

A channel with initial tokens that are not reset hands on what its producer made some samples ago. It is cut: its
consumers read from an input of its own instead, which the engine fills, sample after sample, with what was made then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphsim.graph import Channel, Dense, Graph, Group, Ref
from graphsim.graph.channels import per_actor
from graphsim.simulate.engine import FloatArray


@dataclass(frozen=True)
class State:
    """One input in place of state.

    Attributes:
        source, input: numbers of the groups that stand for it in the cut graph.
        group: number of the group there whose value it is, ``delay`` samples later.
        initial: float32 (actors,): its value in the first ``delay`` samples.
    """

    source: int
    input: int
    group: int
    delay: int
    initial: FloatArray

    def fill(self, sample: int, rows: FloatArray, made: FloatArray) -> None:
        """Put the state that a sample starts with into its row. Both arrays are float32 (N, actors)."""
        rows[sample] = made[sample - self.delay] if sample >= self.delay else self.initial


def cut(graph: Graph) -> tuple[Graph, list[State]]:
    """A graph in which everything fires once, without its initial tokens, and the inputs that stand for them.

    The new groups, two for every state, come first; all others keep their order.
    """
    keys: dict[tuple[int, int, Ref | None], int] = {}
    for channel in graph.channels:
        if channel.initial_tokens:
            keys.setdefault(_key(channel), len(keys))
    shift = 2 * len(keys)
    groups: list[Group] = []
    channels: list[Channel] = []
    states: list[State] = []
    names = {group.name for group in graph.groups}
    for (src, delay, initial), number in keys.items():
        of = graph.groups[src]
        name = _new(f"{of.name}.before{number}", names)
        groups += [Group(name=_new(f"{name}.source", names), op="source"), Group(name=name, op="input", shape=of.shape)]
        channels.append(Dense(src=2 * number, dst=2 * number + 1))
        token = np.zeros(of.size, np.float32)
        if initial is not None:
            token = token + per_actor(initial, of.size, graph.params)
        states.append(State(2 * number, 2 * number + 1, src + shift, delay, token))
    for channel in graph.channels:
        src = channel.src + shift
        if channel.initial_tokens:
            src = 2 * keys[_key(channel)] + 1
        channels.append(replace(channel, src=src, dst=channel.dst + shift, initial_tokens=0, initial=None))
    return Graph(graph.name, [*groups, *graph.groups], channels, graph.params, graph.notes), states


def _key(channel: Channel) -> tuple[int, int, Ref | None]:
    return channel.src, channel.initial_tokens, channel.initial


def _new(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def rows_for(states: Sequence[State], samples: int) -> list[FloatArray]:
    """Room for the states of so many samples: for each, float32 (N, actors)."""
    return [np.empty((samples, len(state.initial)), np.float32) for state in states]
