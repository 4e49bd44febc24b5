"""Rates: whether the channels of a graph move as many tokens in as out, and whether its feedback can start.

A group's ``firings`` are its entry in the repetition vector. In an iteration a channel is given ``produce`` tokens by
every firing of its producer and gives up ``consume`` to every firing of its consumer; that these are equally many on
every channel is what Lee and Messerschmitt ("Synchronous Data Flow", Proc. IEEE 75(9), 1987) call consistency.

A cycle can run if it holds enough initial tokens. Two kinds are known to be enough: a channel that holds all that its
consumer takes in an iteration orders nothing within an iteration; and where all groups of a cycle fire equally often,
tokens for one firing on each channel that leads back let every firing follow the one before it. Other cycles may run
too; they are refused.
"""

from __future__ import annotations

import numpy as np

from graphsim.errors import GraphError
from graphsim.graph.channels import Channel, check_periodic
from graphsim.graph.graph import Graph, Group


def check_rates(graph: Graph) -> None:
    """Check that the graph is consistent, that its cycles can run, and what ``serial`` and ``take`` ask for.

    Raises:
        GraphError: names the channel or group, and both sides of what is unequal.
    """
    for channel in graph.channels:
        src, dst = graph.groups[channel.src], graph.groups[channel.dst]
        made, taken = channel.produce * src.firings, channel.consume * dst.firings
        if made != taken:
            raise GraphError(
                f"{channel_name(graph, channel)}: {src.name} makes {made} tokens per iteration ({channel.produce} in "
                f"each of {src.firings} firings), {dst.name} takes {taken} ({channel.consume} in each of "
                f"{dst.firings}); these must be equal"
            )
    for number, group in enumerate(graph.groups):
        if group.op in ("source", "serial", "take") and group.firings != 1:
            raise GraphError(f"group {group.name}: {group.firings} firings per iteration; op {group.op} fires once")
        if group.op == "source":
            _check_source(graph, number)
        elif group.op == "serial":
            _check_serial(graph, number)
        elif group.op == "take":
            _check_take(graph, number, group)
    _check_cycles(graph)


def check_steps(graph: Graph) -> None:
    """Check that rates other than one are those of ``serial`` and ``take``: of other ops no value says what they mean.

    Raises:
        GraphError: names the channel.
    """
    for c in graph.channels:
        produces = c.produce == 1 or graph.groups[c.src].op == "serial"
        if not produces or (c.consume > 1 and graph.groups[c.dst].op != "take"):
            raise GraphError(
                f"{channel_name(graph, c)}: rates {c.produce}:{c.consume}; only a serial makes and only a take reads "
                "several tokens in one firing"
            )


def channel_name(graph: Graph, channel: Channel) -> str:
    """A channel bundle, for messages."""
    return f"channel {graph.groups[channel.src].name} -> {graph.groups[channel.dst].name} (port {channel.port})"


def _check_source(graph: Graph, number: int) -> None:
    for c in graph.channels_from(number):
        if (c.produce, c.consume, c.initial_tokens) != (1, 1, 0):
            raise GraphError(
                f"{channel_name(graph, c)}: rates {c.produce}:{c.consume} and {c.initial_tokens} initial tokens; a "
                "source gives one token on each edge, and there are none before it"
            )


def _check_serial(graph: Graph, number: int) -> None:
    group = graph.groups[number]
    for c in graph.channels_into(number):
        fewest, most = c.fan_in_range(graph.groups[c.src].size, group.size, graph.params)
        if fewest != most:
            raise GraphError(
                f"{channel_name(graph, c)}: {fewest} to {most} edges per actor; op serial takes equally many"
            )
        for out in graph.channels_from(number):
            if out.produce != fewest:
                raise GraphError(
                    f"{channel_name(graph, out)}: rates {out.produce}:{out.consume}; {group.name} emits one token for "
                    f"each of its {fewest} edges"
                )


def _check_take(graph: Graph, number: int, group: Group) -> None:
    for c in graph.channels_into(number):
        ref = group.params["pick"]
        picks = graph.params[ref.name]
        if picks.dtype != np.int32:
            raise GraphError(f"group {group.name}: pick {ref.name} is {picks.dtype}; must be int32")
        try:
            check_periodic(ref, group.size, graph.params)
        except GraphError as error:
            raise GraphError(f"group {group.name}: pick: {error}") from error
        if int(picks.min()) < 0 or int(picks.max()) >= c.consume:
            raise GraphError(
                f"group {group.name}: pick {ref.name} names tokens from {picks.min()} to {picks.max()}; "
                f"{channel_name(graph, c)} brings tokens 0 to {c.consume - 1}"
            )


def _check_cycles(graph: Graph) -> None:
    """Refuse cycles that cannot run, or of which it is not known. Channels lead forward, or have initial tokens."""
    if all(c.src < c.dst or c.initial_tokens == 0 for c in graph.channels):
        return
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # What leads from a group to itself without initial tokens leads to actors behind: it closes no cycle.
    closing = [c for c in graph.channels if c.src != c.dst or c.initial_tokens]
    binding = [c for c in closing if c.initial_tokens < c.consume * graph.groups[c.dst].firings]
    size = len(graph.groups)
    ends = [c.src for c in binding], [c.dst for c in binding]
    matrix = coo_array((np.ones(len(binding), np.int8), ends), shape=(size, size))
    _, part = connected_components(matrix, directed=True, connection="strong")
    for c in binding:
        src, dst = graph.groups[c.src], graph.groups[c.dst]
        if part[c.src] != part[c.dst]:
            continue
        if src.firings != dst.firings:
            raise GraphError(
                f"{channel_name(graph, c)}: is part of a cycle, in which {src.name} fires {src.firings} times and "
                f"{dst.name} {dst.firings} times; groups of a cycle fire equally often, unless a channel of it has "
                "initial tokens for a whole iteration"
            )
        if c.src >= c.dst and c.initial_tokens < c.consume:
            raise GraphError(
                f"{channel_name(graph, c)}: {c.initial_tokens} initial tokens on a cycle that takes {c.consume} at a "
                "time; it would never fire"
            )
