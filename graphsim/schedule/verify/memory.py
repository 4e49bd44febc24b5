"""Are tokens kept as long as they live, in memory of their own that the nodes have?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphsim.graph import Dense, Graph, OneToOne, Window
from graphsim.schedule.verify.deliveries import Held
from graphsim.schedule.verify.facts import FIRING_ROLES, FLOAT_BYTES, Facts, lookup
from graphsim.schedule.verify.verdict import Findings, IntArray


def check_slots(facts: Facts, held: Held, found: Findings) -> None:
    s = facts.schedule
    slot_node, slot_token = s.slot_node.astype(np.int64), s.slot_token.astype(np.int64)
    address, depth = s.slot_address.astype(np.int64), s.slot_depth.astype(np.int64)
    pair = slot_node * facts.tokens + slot_token

    found.checked("(node, token) pairs that have their one slot", len(held.pair))
    twice = np.zeros(len(pair), np.bool_)
    twice[1:] = pair[1:] == pair[:-1]
    found.add_all("slot", twice, lambda i: f"{facts.pair_name(int(pair[i]))} has two slots")
    at, there = lookup(pair, held.pair)
    found.add_all(
        "slot", ~there & ~held.optional, lambda i: f"{facts.pair_name(int(held.pair[i]))} has no slot to be kept in"
    )
    _, known = lookup(held.pair, pair)
    found.add_all("slot", ~known, lambda i: f"slot {i} is for {facts.pair_name(int(pair[i]))}, where it never is")

    found.checked("slots deep enough for the life of their tokens", len(pair))
    life = held.release - held.claim
    short = there & (-(-life // facts.period) > depth[at]) if len(pair) else there
    found.add_all(
        "slot depth",
        short,
        lambda i: (
            f"{facts.pair_name(int(held.pair[i]))} lives from tick {held.claim[i]} to {held.release[i]}; with "
            f"{depth[at[i]]} of {-(-life[i] // facts.period)} copies it is overwritten at tick "
            f"{held.claim[i] + depth[at[i]] * facts.period}"
        ),
    )

    found.checked("slots that hold all initial tokens at once", int((facts.before > 0).sum()))
    found.add_all(
        "initial",
        depth < facts.before[slot_token],
        lambda i: (
            f"{facts.pair_name(int(pair[i]))} has {depth[i]} copies; {facts.before[slot_token[i]]} initial tokens are "
            "there before tick 0"
        ),
    )

    parameters = parameter_bytes(facts)
    end = address + depth * facts.bytes[slot_token]
    found.checked("slots that share no byte with another or with the parameters", len(pair))
    found.add_all(
        "slot overlap",
        address < parameters[slot_node],
        lambda i: (
            f"the slot of {facts.pair_name(int(pair[i]))} at byte {address[i]} lies in the node's "
            f"{parameters[slot_node[i]]} bytes of parameters"
        ),
    )
    order = np.lexsort([end, address, slot_node])
    before, after = order[:-1], order[1:]
    # The farthest end so far on the same node: ends are replaced by their rank, and nodes told apart by an offset.
    ranked = np.argsort(end, kind="stable")
    rank = np.empty_like(ranked)
    rank[ranked] = np.arange(len(ranked))
    farthest = end[ranked[np.maximum.accumulate(rank[order] + slot_node[order] * len(end))[:-1] % max(len(end), 1)]]
    clash = (slot_node[before] == slot_node[after]) & (farthest > address[after])
    found.add_all(
        "slot overlap",
        clash,
        lambda i: (
            f"the slot of {facts.pair_name(int(pair[after[i]]))} at byte {address[after[i]]} begins before byte "
            f"{farthest[i]}, where a slot below it ends"
        ),
    )
    check_memory(facts, found)


def check_memory(facts: Facts, found: Findings) -> None:
    s = facts.schedule
    memory = np.array([spec.memory_bytes for spec in facts.machine.nodes], np.int64)
    found.checked("node memories that fit", len(memory))
    top = parameter_bytes(facts)
    np.maximum.at(top, s.slot_node, s.slot_address + s.slot_depth * facts.bytes[s.slot_token])
    found.add_all(
        "memory",
        top > memory,
        lambda v: f"{facts.node_name(v)} needs {top[v]} bytes of memory; it has {memory[v]}",
    )


def parameter_bytes(facts: Facts) -> IntArray:
    """Bytes of parameters on every node: 4 per element of every list of weights or params that firings there read.

    A list is known by its param, its first element and the steps from there on; actors on one node that read the same
    list need it once. A window's list is that of a consumer that misses no edge.
    """
    graph, nodes = facts.graph, len(facts.machine.nodes)
    lists: dict[tuple[str, bytes], list[IntArray]] = {}
    for number in range(len(graph.groups)):
        node = facts.node[graph.first[number] : graph.first[number + 1]]
        for param, steps, first in _read_lists(graph, number):
            pairs = np.where(first >= 0, first * nodes + node, -1)
            lists.setdefault((param, steps.tobytes()), []).append(pairs[pairs >= 0])
    total = np.zeros(nodes, np.int64)
    for (_, form), parts in lists.items():
        copies = np.bincount(np.unique(np.concatenate(parts)) % nodes, minlength=nodes)
        total += FLOAT_BYTES * np.frombuffer(form, np.int64).size * copies
    return total


def _read_lists(graph: Graph, number: int) -> Iterator[tuple[str, IntArray, IntArray]]:
    """(param, steps, first element of each actor's list or -1) of everything that firings of a group read."""
    group = graph.groups[number]
    local = np.arange(group.size)
    for role, ref in group.params.items():
        if role in FIRING_ROLES:
            yield ref.name, np.zeros(1, np.int64), local // ref.inner % graph.params[ref.name].size
        elif role == "table":
            entries, columns = graph.params[ref.name].shape
            yield ref.name, np.arange(entries) * columns, local // ref.inner % columns
    for c in graph.channels_into(number):
        if c.weight is None:
            continue
        weight, size = graph.params[c.weight.name], graph.groups[c.src].size
        if isinstance(c, OneToOne):
            yield c.weight.name, np.zeros(1, np.int64), local // c.weight.inner % weight.size
        elif isinstance(c, Dense):
            yield c.weight.name, np.arange(weight.shape[0]) * weight.shape[1], local % weight.shape[1]
        elif isinstance(c, Window):
            tap = np.indices([axis.taps for axis in c.axes]).reshape(len(c.axes), -1)
            at = np.indices([axis.consumers for axis in c.axes]).reshape(len(c.axes), -1)
            steps = np.array([axis.weight_tap for axis in c.axes]) @ tap
            yield c.weight.name, steps, np.array([axis.weight_consumer for axis in c.axes]) @ at + c.weight_offset
        else:  # every edge has a weight of its own
            edges = c.fan_in(size, group.size, graph.params)
            first = np.cumsum(edges) - edges
            for length in np.unique(edges[edges > 0]):
                yield c.weight.name, np.arange(length), np.where(edges == length, first, -1)
