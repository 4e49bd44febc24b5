"""From and to timed graphs: networks with a machine's prices, and homogeneous expansions."""

from __future__ import annotations

import numpy as np

from graphsim.analysis.costs import Costs
from graphsim.analysis.sdf.expansion import expand
from graphsim.analysis.sdf.rates import repetition_vector
from graphsim.errors import GraphError
from graphsim.graph import Graph
from graphsim.graph.sdf import TimedGraph
from graphsim.machine import Machine
from graphsim.passes import unroll

#: Actors whose names are kept.
MOST_NAMES = 100_000


def of_graph(graph: Graph, machine: Machine) -> TimedGraph:
    """A network or circuit as a timed graph, each actor on a node of its own, the cheapest, and no links between them.

    Every edge becomes a channel; firings of an actor that fires several times become actors, one after the other.
    """
    unrolled = unroll(graph).graph
    costs = Costs(unrolled, machine)
    count = unrolled.actor_count
    ticks = np.concatenate([costs.cheapest(g) for g in range(len(unrolled.groups))])
    src, dst, tokens, bits = [], [], [], []
    for c in unrolled.channels:
        edges = c.expand(unrolled.groups[c.src].size, unrolled.groups[c.dst].size, unrolled.params)
        src.append(edges.src + unrolled.first[c.src])
        dst.append(edges.dst + unrolled.first[c.dst])
        tokens.append(np.full(len(edges.src), c.initial_tokens, np.int64))
        bits.append(np.full(len(edges.src), c.token_bits, np.int64))
    edges_count = sum(len(part) for part in src)
    ones, ends = np.ones(edges_count, np.int64), np.arange(edges_count + 1, dtype=np.int64)
    names: tuple[str, ...] = ()
    if count <= MOST_NAMES:
        names = tuple(unrolled.actor(a).name for a in range(count))
    return TimedGraph(
        name=graph.name,
        actor_names=names,
        channel_names=(),
        phase_ptr=np.arange(count + 1, dtype=np.int64),
        ticks=ticks.astype(np.int64),
        src=np.concatenate(src).astype(np.int32),
        dst=np.concatenate(dst).astype(np.int32),
        tokens=np.concatenate(tokens),
        produce_ptr=ends,
        produce=ones,
        consume_ptr=ends,
        consume=ones,
        concurrency=np.ones(count, np.int64),
        token_bits=np.concatenate(bits),
    )


def homogeneous(graph: TimedGraph) -> TimedGraph:
    """The homogeneous expansion as a graph: an actor for every firing (``a@2``), a channel for everything it waits for.

    Raises:
        InconsistentError: the graph has no iteration.
        GraphError: it is too large to name every firing.
    """
    repetition = repetition_vector(graph)
    if int(repetition.sum()) > MOST_NAMES:
        raise GraphError(f"{graph.name}: {int(repetition.sum()):,} firings per iteration; at most {MOST_NAMES:,} fit")
    found = expand(graph, repetition)
    count, edges = len(found.ticks), len(found.src)
    names = tuple(f"{graph.actor_name(a)}@{n}" for a in range(graph.actor_count) for n in range(int(repetition[a])))
    ones, ends = np.ones(edges, np.int64), np.arange(edges + 1, dtype=np.int64)
    return TimedGraph(
        name=graph.name,
        actor_names=names,
        channel_names=tuple(f"e{e}" for e in range(edges)),
        phase_ptr=np.arange(count + 1, dtype=np.int64),
        ticks=found.ticks,
        src=found.src.astype(np.int32),
        dst=found.dst.astype(np.int32),
        tokens=found.tokens,
        produce_ptr=ends,
        produce=ones,
        consume_ptr=ends,
        consume=ones,
        concurrency=np.zeros(count, np.int64),
        token_bits=np.zeros(edges, np.int64),
    )
