"""Several graphs as one: applications that run on one machine side by side, none of which can tell that others do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph.channels import Channel, Csr, IntArray, Ref, Table
from graphsim.graph.graph import Graph, Group
from graphsim.graph.verify import verify

#: Between an application's name and a name of its own.
MARK = ":"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Union:
    """Applications as one graph, their disjoint union: no edge leads from one to another.

    Encoding: the groups of application i are groups ``first[i]`` to ``first[i + 1] - 1`` of ``graph``, in the order
    that they have in its own. What is called ``dense`` in application ``a`` is called ``a:dense``: groups, params,
    layers and notes. Parameters of different applications are never one, even where they are equal. Every source and
    sink stays; an iteration is one of every application.

    Attributes:
        graph: of all.
        names: of the applications.
        parts: their own graphs.
        first: int64 (applications + 1,).
    """

    graph: Graph
    names: tuple[str, ...]
    parts: tuple[Graph, ...]
    first: IntArray

    @property
    def of_group(self) -> IntArray:
        """The application of every group, int64 (groups,)."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.first))

    @property
    def of_actor(self) -> IntArray:
        """The application of every actor, int64 (actors,)."""
        return np.repeat(self.of_group, np.diff(self.graph.first))

    def sources(self, number: int) -> slice:
        """Which of the union's sources are those of an application."""
        return self._among(self.graph.sources, number)

    def sinks(self, number: int) -> slice:
        """Which of the union's sinks are those of an application."""
        return self._among(self.graph.sinks, number)

    def _among(self, groups: tuple[int, ...], number: int) -> slice:
        low, high = np.searchsorted(groups, self.first[number : number + 2]).tolist()
        return slice(low, high)

    def own(self, number: int, by_group: Mapping[str, _T]) -> dict[str, _T]:
        """Of what is known by name of the union's groups, that of an application, by the names that it has itself."""
        front = self.names[number] + MARK
        return {name.removeprefix(front): what for name, what in by_group.items() if name.startswith(front)}

    @property
    def crossing(self) -> int:
        """Edges from actors of one application to those of another, counted in the graph as it is: there are none."""
        of = self.of_group
        return sum(self.graph.edges_of(c) for c in self.graph.channels if of[c.src] != of[c.dst])


def union(applications: Mapping[str, Graph]) -> Union:
    """The disjoint union of graphs, each by its application's name, in this order.

    Nets and circuits, and graphs whose actors fire several times, may stand side by side.

    Raises:
        GraphError: a name cannot be a name's beginning; or a graph, or all of them together, break the rules of graphs.
    """
    if not applications:
        raise GraphError("no application is given; a union has one at least")
    groups: list[Group] = []
    channels: list[Channel] = []
    params: dict[str, npt.NDArray[np.generic]] = {}
    notes: dict[str, str] = {}
    first = [0]
    for name, graph in applications.items():
        check_name(name)
        front = name + MARK
        verify(graph)
        groups += [_renamed(group, front) for group in graph.groups]
        channels += [_moved(channel, front, first[-1]) for channel in graph.channels]
        params |= {front + key: array for key, array in graph.params.items()}
        notes |= {front + key: note for key, note in graph.notes.items()}
        first.append(len(groups))
    made = Graph("+".join(applications), groups, channels, params, notes)
    verify(made)
    return Union(made, tuple(applications), tuple(applications.values()), np.array(first, np.int64))


def check_name(name: str) -> None:
    """Raise GraphError for what an application cannot be called."""
    if not name or not name.isprintable() or any(c.isspace() or c in "[]" + MARK for c in name):
        raise GraphError(
            f"application {name!r}: a name is not empty and has no whitespace, brackets, colons or control characters"
        )


def beside(samples: Sequence[tuple[_T, ...]]) -> tuple[_T, ...]:
    """What a union takes, from what each of its applications takes, in order."""
    return tuple(array for one in samples for array in one)


def _renamed(group: Group, front: str) -> Group:
    params = {role: Ref(front + ref.name, ref.inner) for role, ref in group.params.items()}
    return replace(group, name=front + group.name, params=params, layer=group.layer and front + group.layer)


def _moved(channel: Channel, front: str, by: int) -> Channel:
    """A bundle between groups whose numbers are higher by so much, with params of their new names."""
    more: dict[str, Any] = {
        role: Ref(front + ref.name, ref.inner)
        for role, ref in (("weight", channel.weight), ("initial", channel.initial))
        if ref is not None
    }
    if isinstance(channel, Table | Csr):
        more["index"] = front + channel.index
    if isinstance(channel, Csr):
        more["indptr"] = front + channel.indptr
    return replace(channel, src=channel.src + by, dst=channel.dst + by, **more)
