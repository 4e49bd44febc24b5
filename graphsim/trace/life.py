"""The life of a token: what it waits for, where it is made, which way it goes, who reads it, when it is forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphsim.errors import GraphError
from graphsim.passes import unroll
from graphsim.trace.timeline import Timeline


@dataclass(frozen=True)
class Use:
    """One firing that reads the token: which, where, in which iteration and ticks."""

    actor: str
    node: int
    iteration: int
    start: int
    end: int


@dataclass(frozen=True)
class Operand:
    """A token that the firing reads: whose, of which iteration, on its node from this tick on."""

    actor: str
    iteration: int
    there: int


@dataclass(frozen=True)
class Hop:
    """The token's way over one link: number of the hop, link, first tick of sending, tick from which it is there."""

    number: int
    link: int
    start: int
    arrival: int


@dataclass(frozen=True)
class Stay:
    """The token in a node's memory: byte address in this iteration, of how many copies, from when until when."""

    node: int
    address: int
    copies: int
    start: int
    end: int


@dataclass(frozen=True)
class Life:
    """The life of what an actor makes in one iteration. All times are ticks from the start of the run.

    Attributes:
        token: name of the actor; of a firing of a recurrent layer ``lstm@3[17]``.
        iteration: which.
        node: where it is made.
        fired: first tick of the firing, and the first after it.
        operands: what the firing reads, in channel order; tokens that sources make for inputs are theirs.
        parcel: tokens that travel with it, by name, itself among them; none if it stays.
        frames: frames of the parcel on the first link.
        hops: by time. stays: by node. uses: by time.
    """

    token: str
    iteration: int
    node: int
    fired: tuple[int, int]
    operands: tuple[Operand, ...]
    parcel: tuple[str, ...]
    frames: int
    hops: tuple[Hop, ...]
    stays: tuple[Stay, ...]
    uses: tuple[Use, ...]


def life_of(line: Timeline, name: str, iteration: int) -> Life:
    """The life of an actor's token of one iteration.

    Args:
        name: of the actor, as ``dense[17]``; where actors fire several times, of a firing, as ``lstm@3[17]``.

    Raises:
        GraphError: there is no such actor, or it has no token.
    """
    graph, flat = line.original, line.graph
    actor = (flat if flat is not graph and "@" in name else graph).actor(name)
    token = actor.id
    if flat is not graph and "@" not in name:
        made = unroll(graph)
        firings = [
            f for f in np.flatnonzero(made.owner == actor.id) if made.group[flat.actor(int(f)).group_number] >= 0
        ]
        if len(firings) != 1:
            named = ", ".join(flat.actor(int(f)).name for f in firings[:3])
            raise GraphError(f"{name} fires {len(firings):,} times per iteration; name a firing: {named}, ...")
        token = int(firings[0])
    if flat.groups[flat.actor(token).group_number].op == "source":
        raise GraphError(f"{name} makes a token for every input; name one, such as {line.token_name(flat.actor_count)}")
    return _life(line, token, iteration)


def _life(line: Timeline, token: int, iteration: int) -> Life:
    s, flat = line.schedule, line.graph
    actor, shift = flat.actor(token), iteration * s.period
    parcels = np.unique(np.searchsorted(s.parcel_ptr, np.flatnonzero(s.parcel_token == token), side="right") - 1)
    hops = np.flatnonzero(np.isin(s.hop_parcel, parcels)).tolist()
    hops.sort(key=lambda h: (int(line.hop_start[h]), h))
    slots = s.slot_node.astype(np.int64) * len(line.bits) + s.slot_token
    stays = []
    for k in np.flatnonzero(line.kept_token == token).tolist():
        node = int(line.kept_node[k])
        at = np.flatnonzero(slots == node * len(line.bits) + token)
        if len(at):
            depth = int(s.slot_depth[at[0]])
            address = int(s.slot_address[at[0]]) + iteration % depth * int(line.kept_bytes[k])
            stays.append(Stay(node, address, depth, int(line.kept_from[k]) + shift, int(line.kept_until[k]) + shift))
    return Life(
        token=actor.name,
        iteration=iteration,
        node=int(s.node[token]),
        fired=(int(line.start[token]) + shift, int(line.end[token]) + shift),
        operands=tuple(_operands(line, token, iteration)),
        parcel=tuple(line.token_name(int(t)) for p in parcels.tolist() for t in line.parcel_tokens(p)),
        frames=int(line.hop_frames[hops[0]]) if hops else 0,
        hops=tuple(
            Hop(h, int(s.hop_link[h]), int(line.hop_start[h]) + shift, int(line.hop_arrival[h]) + shift) for h in hops
        ),
        stays=tuple(stays),
        uses=tuple(_uses(line, token, iteration)),
    )


def _uses(line: Timeline, token: int, iteration: int) -> list[Use]:
    flat, s = line.graph, line.schedule
    made = flat.actor(token)
    uses = []
    for c in flat.channels_from(made.group_number):
        readers = c.consumers(made.local, made.group.size, flat.groups[c.dst].size, flat.params)
        for reader in np.unique(readers).tolist():
            a, n = int(flat.first[c.dst]) + reader, iteration + c.initial_tokens
            start, end = int(line.start[a]) + n * s.period, int(line.end[a]) + n * s.period
            uses.append(Use(flat.actor(a).name, int(s.node[a]), n, start, end))
    return sorted(uses, key=lambda use: (use.start, use.node, use.actor))


def _operands(line: Timeline, token: int, iteration: int) -> list[Operand]:
    flat, s = line.graph, line.schedule
    node, tokens = int(s.node[token]), len(line.bits)
    arrival = np.full(tokens, -1, np.int64)
    there = np.flatnonzero(s.node[line.maker] == node)
    arrival[there] = line.end[line.maker[there]]
    for h in np.flatnonzero(np.array([link.dst for link in s.machine.links], np.int64)[s.hop_link] == node).tolist():
        arrival[line.parcel_tokens(int(s.hop_parcel[h]))] = line.hop_arrival[h]
    reader = flat.actor(token)
    found = []
    for c in flat.channels_into(reader.group_number):
        edges = c.inputs(reader.local, flat.groups[c.src].size, reader.group.size, flat.params)
        n = iteration - c.initial_tokens
        for producer in edges.src.tolist():
            made = int(flat.first[c.src]) + producer
            if flat.groups[c.src].op == "source":
                made = flat.actor_count + int(np.searchsorted(line.inputs, token))
            found.append(Operand(line.token_name(made), n, max(0, int(arrival[made]) + n * s.period)))
    return found
