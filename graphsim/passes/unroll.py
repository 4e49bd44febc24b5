"""From a graph with rates to one in which every actor fires once: its homogeneous expansion.

Lee and Messerschmitt, "Static scheduling of synchronous data flow programs for digital signal processing", IEEE Trans.
Computers C-36(1), 1987: every firing becomes an actor of its own, and every token that a firing makes gets channels of
its own to the firings that take it. Here firing t of group ``g`` becomes group ``g@t``.

Token k of an iteration is the k-th that a group makes in it. With d initial tokens on a channel, what its consumer
takes as number k is the producer's token k - d. Where k < d, that is an initial token, or, on a channel that is not
reset, the token k - d of an earlier iteration:

- ``serial`` and ``take`` become groups that copy (``max`` of one input, which costs nothing): ``s@k`` is token k of
  serial ``s``; a ``take`` has a port for every token that some actor of it picks;
- the initial tokens of a channel that is reset become the constants ``g@initial`` (``sum`` of nothing, plus their value
  as bias), so that every firing of an actor has the same inputs;
- a channel that is not reset becomes one with as many initial tokens as iterations lie between, and stays so.

Nothing is computed differently, so that every value keeps every bit.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, fields, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph import Channel, Csr, Graph, Group, Ref, Table
from graphsim.graph.channels import BoolArray, IntArray, per_actor
from graphsim.graph.rates import check_steps
from graphsim.graph.window import Axis, Window
from graphsim.passes.base import Pass

#: Groups of the largest graph that is made.
MOST_GROUPS = 1 << 20
#: The op of groups that copy their one input: its first and only term is its value, to the bit, and costs nothing.
_COPY = "max"
#: The op of constants.
_CONSTANT = "sum"


@dataclass(frozen=True)
class Unroll(Pass):
    """Give every firing an actor of its own; see the module's docstring. A homogeneous graph stays as it is.

    Firings whose tokens lead to no sink, such as the last ones of a delay line, are left out.

    Raises:
        GraphError: no sink depends on a source, within an iteration.
    """

    def apply(self, graph: Graph) -> Graph:
        return _leading_to_sinks(unroll(graph).graph)


@dataclass(frozen=True)
class Unrolled:
    """An unrolled graph, and where its groups come from.

    Attributes:
        graph: every group fires once, all rates are one; initial tokens only where state goes from sample to sample.
        group: number of the group of the original that each group of ``graph`` is a firing of, int64 (groups,); -1 for
            constants.
        token: which of the tokens that group makes in an iteration it is, int64 (groups,): its firing, but for a
            ``serial``, which makes all its tokens in one firing. 0 for constants.
        owner: the actor of the original that each actor of ``graph`` is a firing of, or whose initial token it is,
            int64 (actors,).
    """

    graph: Graph
    group: IntArray
    token: IntArray
    owner: IntArray

    def firings(self, group: int) -> IntArray:
        """Numbers of the groups that one group of the original has become, int64, by token."""
        found = np.flatnonzero(self.group == group)
        return found[np.argsort(self.token[found])]


def unroll(graph: Graph) -> Unrolled:
    """Unroll a verified graph, and keep count of what comes from where. As long as the graph lives it is done once.

    A graph in which everything fires once, and no state is reset, stays as it is.

    Raises:
        GraphError: a group other than ``serial`` and ``take`` has rates other than one, or too many firings in all.
    """
    if _fires_once(graph):
        nothing = np.zeros(len(graph.groups), np.int64)
        return Unrolled(graph, np.arange(len(graph.groups)), nothing, np.arange(graph.actor_count))
    if graph not in _DONE:
        check_steps(graph)
        _DONE[graph] = _Unroller(graph).unrolled()
    return _DONE[graph]


def _fires_once(graph: Graph) -> bool:
    """Whether there is nothing to unroll."""
    if any(g.firings != 1 or g.op in ("serial", "take") for g in graph.groups):
        return False
    return all((c.produce, c.consume, c.reset) == (1, 1, False) for c in graph.channels)


#: What has been unrolled; no unrolled graph refers to its original.
_DONE: WeakKeyDictionary[Graph, Unrolled] = WeakKeyDictionary()


def _leading_to_sinks(graph: Graph) -> Graph:
    """The groups that lead to a sink, and what is between them; the graph itself where all do."""
    live, stack = set(graph.sinks), list(graph.sinks)
    while stack:
        for channel in graph.channels_into(stack.pop()):
            if channel.src not in live:
                live.add(channel.src)
                stack.append(channel.src)
    for source in graph.sources:
        if source not in live:
            name = graph.groups[source].name
            raise GraphError(f"{graph.name}: no sink depends on {name} in one iteration: unrolled, it feeds nobody")
    if len(live) == len(graph.groups):
        return graph
    number = {old: new for new, old in enumerate(sorted(live))}
    groups = [graph.groups[old] for old in number]
    channels = [replace(c, src=number[c.src], dst=number[c.dst]) for c in graph.channels if c.dst in live]
    wanted = {ref.name for group in groups for ref in group.params.values()}
    wanted |= {name for channel in channels for name in channel.references()}
    return Graph(graph.name, groups, channels, {name: graph.params[name] for name in sorted(wanted)}, graph.notes)


class _Unroller:
    """The groups and channels of an unrolled graph, as they are found; then put in order.

    ``first[g] + k`` numbers token k of group g until then; constants come last.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tokens = [graph.tokens(number) for number in range(len(graph.groups))]
        total = sum(self.tokens)
        if total > MOST_GROUPS:
            raise GraphError(
                f"{graph.name}: unrolled it would have {total:,} groups; at most {MOST_GROUPS:,} are made. The "
                "reference engine runs it as it is"
            )
        self.first = np.concatenate([[0], np.cumsum(self.tokens)]).tolist()
        self.mark = _mark(graph, self.tokens)
        self.params = dict(graph.params)
        self.constants: dict[tuple[int, Ref | None], int] = {}
        self.groups = [
            self._group(number, k) for number in range(len(graph.groups)) for k in range(self.tokens[number])
        ]
        self.keys = [(k, number, 1) for number in range(len(graph.groups)) for k in range(self.tokens[number])]
        self.channels = [made for channel in graph.channels for made in self._copies(channel)]

    def unrolled(self) -> Unrolled:
        """The graph, with its groups in an order in which channels lead forward: by step, then as they were."""
        position = np.empty(len(self.groups), np.int64)
        order = self._order()
        position[order] = np.arange(len(order))
        channels = [replace(c, src=int(position[c.src]), dst=int(position[c.dst])) for c in self.channels]
        groups = [self.groups[i] for i in order]
        made = Graph(self.graph.name, groups, channels, self.params, self.graph.notes)
        of = np.array([self.keys[i][1] if self.keys[i][2] else -1 for i in order], np.int64)
        token = np.array([self.keys[i][0] for i in order], np.int64)
        first = self.graph.first
        owner = np.concatenate([np.arange(first[g], first[g + 1]) for g in (self.keys[i][1] for i in order)])
        return Unrolled(made, of, token, owner)

    def _order(self) -> list[int]:
        """Numbers of the groups, each behind those it reads and behind the firing before it; of several the one of the
        earliest step and group.
        """
        consumers: list[list[int]] = [[] for _ in self.groups]
        waits = [0] * len(self.groups)
        for c in self.channels:
            if c.initial_tokens == 0 and c.src != c.dst:
                consumers[c.src].append(c.dst)
                waits[c.dst] += 1
        for number, group in enumerate(self.graph.groups):
            for i in range(self.first[number] + 1, self.first[number + 1] if group.op != "serial" else 0):
                consumers[i - 1].append(i)
                waits[i] += 1
        ready = [(self.keys[i], i) for i, count in enumerate(waits) if count == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            _, number = heapq.heappop(ready)
            order.append(number)
            for other in consumers[number]:
                waits[other] -= 1
                if waits[other] == 0:
                    heapq.heappush(ready, (self.keys[other], other))
        return order

    def _name(self, number: int, what: int | str) -> str:
        return f"{self.graph.groups[number].name}{self.mark}{what}"

    def _group(self, number: int, k: int) -> Group:
        """The group that makes token k of a group."""
        group = self.graph.groups[number]
        if group.op == "take":
            return replace(group, op=_COPY, params={})
        if group.op == "serial":
            group = replace(group, op=_COPY)
        if self.tokens[number] == 1:
            return group
        return replace(group, name=self._name(number, k), firings=1, observes="")

    def _constant(self, channel: Channel) -> int:
        """The group of a channel's initial tokens; channels from one group with equal initial tokens share it."""
        key = channel.src, channel.initial
        if key not in self.constants:
            count = sum(src == channel.src for src, _ in self.constants)
            src = self.graph.groups[channel.src]
            self.constants[key] = len(self.groups)
            self.groups.append(
                Group(
                    name=self._name(channel.src, f"initial{count or ''}"),
                    op=_CONSTANT,
                    shape=src.shape,
                    params={} if channel.initial is None else {"bias": channel.initial},
                    layer=src.layer,
                    call=src.call,
                )
            )
            self.keys.append((0, channel.src, 0))
        return self.constants[key]

    def _copies(self, channel: Channel) -> list[Channel]:
        """What a bundle becomes."""
        dst, first = self.graph.groups[channel.dst], self.first[channel.dst]
        if dst.op == "serial":
            edges = self._edges(channel)
            return [self._copy(one, first + k, -channel.initial_tokens) for k, one in enumerate(edges)]
        if dst.op == "take":
            picks = per_actor(dst.params["pick"], dst.size, self.graph.params)
            return [
                self._copy(replace(self._picked(channel, picks, pick), port=port), first, pick - channel.initial_tokens)
                for port, pick in enumerate(np.unique(picks).tolist())
            ]
        return [self._copy(channel, first + k, k - channel.initial_tokens) for k in range(dst.firings)]

    def _copy(self, channel: Channel, dst: int, token: int) -> Channel:
        """A bundle from a token of its producer, counted from this iteration's first, to a group of the new graph."""
        before, k = divmod(token, self.tokens[channel.src])
        if before < 0 and channel.reset:
            src, before = self._constant(channel), 0
        else:
            src = self.first[channel.src] + k
        initial = channel.initial if before < 0 else None
        return replace(
            channel, src=src, dst=dst, produce=1, consume=1, initial_tokens=-before, initial=initial, reset=False
        )

    def _edges(self, channel: Channel) -> list[Channel]:
        """A bundle with equally many edges for every consumer, as bundles with one each: by number in channel order."""
        count = self.tokens[channel.dst]
        if isinstance(channel, Window) and channel.terms == count:  # no tap leads outside
            return [replace(channel, axes=_tap_axes(channel, e)) for e in range(count)]
        sizes = self.graph.groups[channel.src].size, self.graph.groups[channel.dst].size
        src = channel.expand(*sizes, self.graph.params).src.reshape(sizes[1], count).astype(np.int32)
        return [
            Table(**_common(channel), index=self._param(f"{self._name(channel.dst, e)}/index", src[:, e : e + 1]))
            for e in range(count)
        ]

    def _picked(self, channel: Channel, picks: npt.NDArray[np.int32], pick: int) -> Channel:
        """Of a bundle with one edge for every consumer only the edges of those with this pick."""
        chosen = picks == pick
        if chosen.all():
            return channel
        if isinstance(channel, Window) and (axes := _picked_axes(channel, chosen)) is not None:
            return replace(channel, axes=axes)
        sizes = self.graph.groups[channel.src].size, self.graph.groups[channel.dst].size
        name = self._name(channel.dst, pick)
        src = channel.expand(*sizes, self.graph.params).src[chosen]
        indptr = np.concatenate([[0], np.cumsum(chosen)]).astype(np.int64)
        return Csr(
            **_common(channel),
            indptr=self._param(f"{name}/indptr", indptr),
            index=self._param(f"{name}/index", src.astype(np.int32)),
        )

    def _param(self, name: str, array: npt.NDArray[np.generic]) -> str:
        """Add a param; its name is made new if it is not."""
        while name in self.params:
            name += "'"
        self.params[name] = array
        return name


def _mark(graph: Graph, tokens: list[int]) -> str:
    """What stands between a group's name and the number of a firing, so that no new name is there already."""
    mark = "@"
    taken = {g.name for g in graph.groups}
    while any(g.name + mark in name for g in graph.groups for name in taken if len(name) > len(g.name)):
        mark += "@"
    return mark


def _common(channel: Channel) -> dict[str, Any]:
    """The fields that all kinds of bundle have."""
    return {field.name: getattr(channel, field.name) for field in fields(Channel)}


def _tap_axes(channel: Window, e: int) -> tuple[Axis, ...]:
    """The axes of a window bundle that keeps only edge ``e``, in channel order, of every consumer."""
    taps = np.unravel_index(e, [axis.taps for axis in channel.axes])
    return tuple(
        axis._replace(taps=1, dilation=1, pad=axis.pad - int(t) * axis.dilation)
        for axis, t in zip(channel.axes, taps, strict=True)
    )


def _picked_axes(channel: Window, chosen: BoolArray) -> tuple[Axis, ...] | None:
    """The axes of a window bundle that keeps only the edges of the consumers that are chosen.

    None unless the chosen ones are all those at one coordinate of one axis, and that axis has one tap.
    """
    where = chosen.reshape(channel.consumer_shape)
    for number, (axis, at) in enumerate(zip(channel.axes, channel.positions, strict=True)):
        lines = np.moveaxis(where, number, 0).reshape(axis.consumers, -1)
        full = np.flatnonzero(lines.all(axis=1))
        if axis.taps != 1 or len(full) != 1 or np.count_nonzero(where) != lines.shape[1]:
            continue
        o = int(full[0])
        # A stride of all producers leads outside for every other consumer.
        one = Axis(axis.producers, axis.consumers, stride=axis.producers, pad=o * axis.producers - int(at[o, 0]))
        return (*channel.axes[:number], one, *channel.axes[number + 1 :])
    return None
