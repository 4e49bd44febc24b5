"""The oracle: every actor fires by itself, in id order, as :mod:`graphsim.graph.ops` says, in plain Python and NumPy.

Written to be believed, not to be fast: a sample of the MNIST net takes about 5 ms. All other engines are tested to
give the same bits.

A graph with rates is run as it is: every channel bundle is a queue of tokens, a group fires when all its queues hold
what a firing takes, and an iteration is over when every group has fired as often as it says.
"""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import numpy.typing as npt

from graphsim.analysis.waiting import Wait, listed, told
from graphsim.errors import SimulationError
from graphsim.graph import Channel, Graph
from graphsim.graph.channels import per_actor
from graphsim.graph.firing import Prepared, fire, prepare
from graphsim.graph.rates import channel_name
from graphsim.simulate.engine import (
    FloatArray,
    Keep,
    Progress,
    Run,
    as_inputs,
    check_runnable,
    kept_groups,
    value_shape,
)

_IGNORE = {"over": "ignore", "under": "ignore", "invalid": "ignore", "divide": "ignore"}


#: The tokens on their way in every bundle, by consumer and port, in order: each float32 (producers,).
_Queues = dict[tuple[int, int], deque[FloatArray]]


class _Group:
    """A group's actors, each with the places of its terms among the tokens of all its ports, one behind the other."""

    def __init__(self, graph: Graph, number: int) -> None:
        self.number, self.group = number, graph.groups[number]
        self.into, self.out = graph.channels_into(number), graph.channels_from(number)
        #: Where the tokens of actors of the group itself are, which others of it read in the same firing; or None.
        self.own: int | None = None
        sizes = [self.group.size if self.group.op == "input" else graph.groups[c.src].size for c in self.into]
        starts = np.cumsum([0, *sizes])[:-1] - np.array([graph.first[c.src] for c in self.into], np.int64)
        for c, first in zip(self.into, np.cumsum([0, *sizes])[:-1].tolist(), strict=True):
            if _is_own(c):
                self.own = first
        self.actors: list[tuple[Prepared, npt.NDArray[np.int64]]] = []
        for actor_id in range(int(graph.first[number]), int(graph.first[number + 1])):
            prepared = prepare(graph.actor(actor_id))
            ports = np.array([edge.port for edge in prepared.actor.inputs], np.int64)
            # Element j of a sample is on the edge to input actor j.
            local = np.array([prepared.actor.local]) if self.group.op == "input" else prepared.producers + starts[ports]
            self.actors.append((prepared, local))

    def ready(self, queues: _Queues) -> bool:
        """Whether a firing finds all the tokens that it takes."""
        return all(len(queues[c.dst, c.port]) >= c.consume for c in self.into if not _is_own(c))

    def fire(self, queues: _Queues) -> list[FloatArray]:
        """One firing of every actor: its tokens in order, each float32 (actors, elements)."""
        taken = [
            [np.zeros(self.group.size, np.float32)]
            if _is_own(c)
            else [queues[c.dst, c.port].popleft() for _ in range(c.consume)]
            for c in self.into
        ]
        if self.group.op == "take":
            rows = np.stack(taken[0])
            made = np.stack([fire(prepared, rows[:, local[0]]) for prepared, local in self.actors])
        else:
            tokens = np.concatenate([port[0] for port in taken] or [np.empty(0, np.float32)])
            made = np.stack([self._one(i, tokens) for i in range(len(self.actors))])
        found = list(made.T[:, :, None]) if self.group.op == "serial" else [made]
        for c in self.out:
            if not _is_own(c):
                queues[c.dst, c.port].extend(token[:, 0] for token in found)
        return found

    def _one(self, number: int, tokens: FloatArray) -> FloatArray:
        """One actor's firing; its token goes where those behind it in the group find it."""
        prepared, local = self.actors[number]
        token = fire(prepared, prepared.weights * tokens[local])
        if self.own is not None:
            tokens[self.own + number] = token[0]
        return token


def _is_own(channel: Channel) -> bool:
    """Whether a bundle leads from gates to others of the same group, in the same firing."""
    return channel.src == channel.dst and channel.initial_tokens == 0


class ReferenceEngine:
    """Fires one actor at a time.

    Raises:
        GraphError: the graph breaks its rules, or has rates other than one elsewhere than at ``serial`` and ``take``.
    """

    name = "reference"

    def __init__(self, graph: Graph) -> None:
        check_runnable(graph, self.name)
        self.graph = graph
        self._groups = [_Group(graph, n) for n, g in enumerate(graph.groups) if g.op != "source"]

    def run(
        self,
        samples: FloatArray | tuple[FloatArray, ...],
        *,
        keep: Keep = "all",
        progress: Progress | None = None,
    ) -> Run:
        """Run samples, float32 (N, *input shape); see :class:`graphsim.simulate.engine.Engine`."""
        graph = self.graph
        inputs = as_inputs(graph, samples)
        kept = kept_groups(graph, keep)
        began = time.perf_counter()
        n = len(inputs[0])
        values = {g: np.empty((n, *value_shape(graph, g)), np.float32) for g in kept}
        queues = {(c.dst, c.port): deque(initial_tokens(graph, c)) for c in graph.channels}
        with np.errstate(**_IGNORE):  # type: ignore[arg-type]
            for i in range(n):
                made = self._iterate([flat[i] for flat in inputs], queues)
                for g, array in values.items():
                    array[i] = np.stack(made[g]).reshape(array.shape[1:])
                if progress is not None:
                    progress(i + 1)
        named = {graph.groups[g].name: array for g, array in values.items()}
        return Run(self.name, n, named, None, time.perf_counter() - began)

    def _iterate(self, sample: list[FloatArray], queues: _Queues) -> dict[int, list[FloatArray]]:
        """One iteration: the tokens that every group made, in order, each float32 (actors, elements)."""
        graph = self.graph
        for c in graph.channels:
            if c.reset:
                queues[c.dst, c.port] = deque(initial_tokens(graph, c))
        for source, elements in zip(graph.sources, sample, strict=True):
            (c,) = graph.channels_from(source)
            queues[c.dst, c.port].append(elements)
        made: dict[int, list[FloatArray]] = {group.number: [] for group in self._groups}
        fired = dict.fromkeys(made, 0)
        waiting = self._groups
        while waiting:
            before = sum(fired.values())
            for group in waiting:
                while fired[group.number] < group.group.firings and group.ready(queues):
                    made[group.number] += group.fire(queues)
                    fired[group.number] += 1
            waiting = [group for group in waiting if fired[group.number] < group.group.firings]
            if waiting and sum(fired.values()) == before:
                stuck = [self._wait(group, fired[group.number], queues) for group in waiting]
                raise SimulationError(f"reference: this iteration cannot be completed; {told(stuck)}")
        return made

    def _wait(self, group: _Group, fired: int, queues: _Queues) -> Wait:
        """Of a group that cannot fire: for the tokens that it lacks."""
        lacking = [c for c in group.into if not _is_own(c) and len(queues[c.dst, c.port]) < c.consume]
        holds = [
            f"{channel_name(self.graph, c)} (holds {len(queues[c.dst, c.port])} of {c.consume} tokens)" for c in lacking
        ]
        behind = tuple(self.graph.groups[c.src].name for c in lacking)
        return Wait(group.group.name, f"waits with firing {fired} for {listed(holds)}", behind)


def initial_tokens(graph: Graph, channel: Channel) -> list[FloatArray]:
    """The tokens that are on a bundle at the start, each float32 (producers,)."""
    size = graph.groups[channel.src].size
    token = np.zeros(size, np.float32)
    if channel.initial is not None:
        token = token + per_actor(channel.initial, size, graph.params)
    return [token] * channel.initial_tokens
