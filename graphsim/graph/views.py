"""A graph as others see it: a read-only networkx graph, DOT and GraphML.

networkx is imported when it is first used.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphsim.errors import GraphError
from graphsim.files import replacing
from graphsim.graph.channels import Channel, Csr, Edges, IntArray, Table
from graphsim.graph.graph import Graph, Group

if TYPE_CHECKING:
    import networkx as nx

#: Actors and edges, together, of the largest graph that is exported actor by actor unless the caller says otherwise.
DOT_LIMIT = 5_000

Attributes = dict[str, Any]
Neighbours = dict[int, dict[int, Attributes]]


def as_networkx(graph: Graph) -> nx.MultiDiGraph:
    """A frozen networkx MultiDiGraph that looks its edges up in ``graph``; nothing is copied.

    Nodes are actor ids. A node has the attributes ``name``, ``group`` and ``op``. An edge (u, v, k) is the k-th of the
    channels from u to v, counted port by port in channel order, with the attributes ``port``, ``produce`` and
    ``consume`` (tokens per firing), ``initial_tokens`` and, where its bundle has weights, ``weight`` (the trained one,
    float). A node that fires several times per iteration is there once, with that number as ``firings``.

    networkx's algorithms take the attribute ``weight`` for a length when they are told to use it, and some do so by
    default: ``dag_longest_path(view, weight=None)`` is the longest path in edges. ``view.copy()`` gives an ordinary
    networkx graph with all its edges in memory; the view builds an actor's neighbours when they are asked for, keeps
    the last few, and an index of 24 bytes per edge for the Table and Csr bundles that it has walked forwards.
    """
    import networkx as nx

    view = nx.freeze(nx.MultiDiGraph(name=graph.name))
    # Graph views of networkx itself are made in this way (networkx.classes.graphviews).
    view._node = _Nodes(graph)
    view._succ = _Adjacency(graph, _Outputs(graph))
    view._pred = _Adjacency(graph, _Inputs(graph))
    return view


class _PerActor(Mapping[int, Any]):
    """A mapping from every actor id to something computed."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __len__(self) -> int:
        return self._graph.actor_count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._graph.actor_count))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, (int, np.integer)) and 0 <= int(key) < self._graph.actor_count

    def _id(self, key: object) -> int:
        if key not in self:
            raise KeyError(key)
        return operator.index(key)  # type: ignore[arg-type]


class _Nodes(_PerActor):
    def __getitem__(self, key: int) -> Attributes:
        actor = self._graph.actor(self._id(key))
        group = actor.group
        return {"name": actor.name, "group": group.name, "op": group.op, "firings": group.firings}


class _Bundle(NamedTuple):
    """The edges of one actor in one bundle: ids of the actors at the other end, in channel order, and flat weights."""

    channel: Channel
    others: IntArray
    weight: IntArray | None


class _Inputs:
    """The bundles into an actor."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, key: int) -> Iterator[_Bundle]:
        graph, actor = self._graph, self._graph.actor(key)
        for c in graph.channels_into(actor.group_number):
            edges = c.inputs(actor.local, graph.groups[c.src].size, actor.group.size, graph.params)
            yield _Bundle(c, graph.first[c.src] + edges.src, edges.weight)


class _Outputs:
    """The bundles out of an actor."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._index = functools.cache(self._build_index)

    def __call__(self, key: int) -> Iterator[_Bundle]:
        graph, actor = self._graph, self._graph.actor(key)
        for number, c in enumerate(graph.channels_from(actor.group_number)):
            if isinstance(c, (Table, Csr)):  # a list per consumer: turned round once, so that no walk is quadratic
                edges, ptr = self._index(actor.group_number, number)
                part = slice(int(ptr[actor.local]), int(ptr[actor.local + 1]))
                weight = None if edges.weight is None else edges.weight[part]
                yield _Bundle(c, graph.first[c.dst] + edges.dst[part], weight)
            else:
                found = c.outputs(actor.local, actor.group.size, graph.groups[c.dst].size, graph.params)
                yield _Bundle(c, graph.first[c.dst] + found.dst, found.weight)

    def _build_index(self, group: int, number: int) -> tuple[Edges, IntArray]:
        channel = self._graph.channels_from(group)[number]
        n_src, n_dst = self._graph.groups[group].size, self._graph.groups[channel.dst].size
        edges = channel.expand(n_src, n_dst, self._graph.params)
        order = np.argsort(edges.src, kind="stable")
        ptr = np.searchsorted(edges.src[order], np.arange(n_src + 1))
        return Edges(edges.src, edges.dst[order], None if edges.weight is None else edges.weight[order]), ptr


class _Adjacency(_PerActor):
    """Actor id to its neighbours, in one direction: {neighbour: {key: attributes}}, as networkx lays it out."""

    def __init__(self, graph: Graph, bundles: _Inputs | _Outputs) -> None:
        super().__init__(graph)
        self._bundles = bundles
        self._neighbours = functools.lru_cache(maxsize=16)(self._build)

    def __getitem__(self, key: int) -> Neighbours:
        return self._neighbours(self._id(key))

    def _build(self, key: int) -> Neighbours:
        found: Neighbours = {}
        for channel, others, flat in self._bundles(key):
            common: Attributes = {
                "port": channel.port,
                "produce": channel.produce,
                "consume": channel.consume,
                "initial_tokens": channel.initial_tokens,
            }
            if flat is None or channel.weight is None:
                for other in others.tolist():
                    edges = found.setdefault(other, {})
                    edges[len(edges)] = dict(common)
            else:
                weights = self._graph.params[channel.weight.name].reshape(-1)[flat]
                for other, weight in zip(others.tolist(), weights.tolist(), strict=True):
                    edges = found.setdefault(other, {})
                    edges[len(edges)] = {**common, "weight": weight}
        return found


def to_dot(graph: Graph, limit: int = DOT_LIMIT) -> str:
    """Graphviz DOT of every actor and edge, a cluster per group; ports beyond the first at the arrow's head, weights as
    tooltips, channels with initial tokens dashed, rates other than one at the arrow's tail.

    Raises:
        GraphError: more than ``limit`` actors and edges.
    """
    _check_limit(graph, "DOT", limit)
    view = as_networkx(graph)
    lines = [f"digraph {_quote(graph.name)} {{", "  rankdir=LR;", '  node [shape=ellipse, fontname="sans-serif"];']
    for number, group in enumerate(graph.groups):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quote(_describe(group))};"]
        first, last = int(graph.first[number]), int(graph.first[number + 1])
        lines += [f"    a{i} [label={_quote(view.nodes[i]['name'])}];" for i in range(first, last)]
        lines.append("  }")
    for u, v, data in view.edges(data=True):
        options: list[str] = []
        if data["port"]:
            options.append(f"headlabel={data['port']}")
        if data["initial_tokens"]:
            options.append(f"style=dashed, label={data['initial_tokens']}")
        if (rates := (data["produce"], data["consume"])) != (1, 1):
            options.append(f'taillabel="{rates[0]}:{rates[1]}"')
        if "weight" in data:
            options.append(f'tooltip="{data["weight"]!r}"')
        lines.append(f"  a{u} -> a{v}" + (f" [{', '.join(options)}];" if options else ";"))
    return "\n".join([*lines, "}"]) + "\n"


def group_dot(graph: Graph) -> str:
    """Graphviz DOT with one box per group and one arrow per channel bundle, for graphs of any size."""
    lines = [f"digraph {_quote(graph.name)} {{", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    for number, group in enumerate(graph.groups):
        actors = "1 actor" if group.size == 1 else f"{group.size:,} actors"
        lines.append(f"  g{number} [label={_quote(_describe(group), actors)}];")
    for c in graph.channels:
        label = [c.kind, f"{graph.edges_of(c):,} edges"]
        if c.weight is not None:
            label.append(c.weight.name)
        if (c.produce, c.consume) != (1, 1):
            label.append(f"rates {c.produce}:{c.consume}")
        style = f", style=dashed, taillabel={c.initial_tokens}" if c.initial_tokens else ""
        port = f", headlabel={c.port}" if c.port else ""
        lines.append(f"  g{c.src} -> g{c.dst} [label={_quote(*label)}{port}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def to_graphml(graph: Graph, path: Path | str, limit: int = DOT_LIMIT) -> None:
    """Write GraphML of every actor and edge, with the attributes of :func:`as_networkx`, atomically.

    Raises:
        GraphError: more than ``limit`` actors and edges.
        UsageError: the folder cannot be written.
    """
    import networkx as nx

    _check_limit(graph, "GraphML", limit)
    view = as_networkx(graph)
    view.graph["name"] = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in graph.name)
    with replacing(path) as temporary:
        nx.write_graphml_xml(view, temporary)


def _check_limit(graph: Graph, what: str, limit: int) -> None:
    if graph.actor_count + graph.edge_count > limit:
        raise GraphError(
            f"{graph.name}: {graph.actor_count:,} actors and {graph.edge_count:,} edges; {what} is for at most "
            f"{limit:,} together, because few tools draw more; graphsim show --dot draws one box per group"
        )


def _describe(group: Group) -> str:
    shape = f" [{', '.join(str(n) for n in group.shape)}]" if group.shape else ""
    activation = f", {group.activation}" if group.activation != "linear" else ""
    firings = f", {group.firings} firings" if group.firings > 1 else ""
    return f"{group.name}: {group.op}{shape}{activation}{firings}"


def _quote(*lines: str) -> str:
    """A DOT string of these lines."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines)
    return '"' + "\\n".join(escaped) + '"'
