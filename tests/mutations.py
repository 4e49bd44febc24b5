"""Ways to corrupt a valid schedule, each with the kind of violation that the verifier must find in it.

They are made on :func:`valid`: a small classifier on a star whose links carry one 32-bit token per frame, two frames
per tick, so that there are switches, parcels of several frames, hops behind hops and several copies in slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from graphs import mlp
from schedules import simple_schedule

from graphsim.graph import Graph
from graphsim.machine import Machine, load_machine
from graphsim.schedule.schedule import Bound, Schedule, durations

Mutation = Callable[[Graph, Schedule], Schedule]


def valid() -> tuple[Graph, Schedule]:
    """The graph and the schedule that are corrupted."""
    star = load_machine("star:3")
    links = tuple(replace(link, frame_bits=32, frames_per_tick=2, latency=2) for link in star.links)
    graph = mlp(12, 6, 3)
    return graph, simple_schedule(graph, replace(star, links=links), pack=5, seed=4)


@dataclass(frozen=True)
class Case:
    """A mutation, what the verifier must call it, and whether tokens are then not where they must be (engines trip)."""

    mutate: Mutation
    kind: str
    data: bool = False


CASES: dict[str, Case] = {}


def _case(kind: str, *, data: bool = False) -> Callable[[Mutation], Mutation]:
    def register(mutate: Mutation) -> Mutation:
        CASES[mutate.__name__.strip("_")] = Case(mutate, kind, data)
        return mutate

    return register


def changed(array: npt.NDArray[np.signedinteger], at: int, value: int) -> npt.NDArray[np.signedinteger]:
    """A copy with one entry replaced."""
    copy = array.copy()
    copy[at] = value
    return copy


def with_hops(schedule: Schedule, hops: list[tuple[int, int, int]]) -> Schedule:
    """The schedule with these (parcel, start, link) as its hops, sorted as the encoding wants them."""
    columns = np.array(sorted(hops), np.int64).reshape(-1, 3).T
    return replace(
        schedule,
        hop_parcel=columns[0].astype(np.int32),
        hop_start=columns[1].copy(),
        hop_link=columns[2].astype(np.int32),
    )


def hops_of(schedule: Schedule) -> list[tuple[int, int, int]]:
    """Every hop as (parcel, start, link)."""
    return [
        (int(p), int(t), int(link))
        for p, t, link in zip(schedule.hop_parcel, schedule.hop_start, schedule.hop_link, strict=True)
    ]


def _without_slot(schedule: Schedule, at: int) -> Schedule:
    names = ("slot_node", "slot_token", "slot_address", "slot_depth")
    return replace(schedule, **{name: np.delete(getattr(schedule, name), at) for name in names})


def _with_machine(schedule: Schedule, change: Callable[[Machine], Machine]) -> Schedule:
    return replace(schedule, machine=change(schedule.machine))


def _actor(graph: Graph, name: str) -> int:
    return graph.actor(name).id


def _from_host(schedule: Schedule) -> int:
    """The first hop that leaves the host."""
    links = schedule.machine.links
    return next(h for h, hop in enumerate(hops_of(schedule)) if links[hop[2]].src == schedule.machine.host)


def _from_switch(schedule: Schedule) -> int:
    """The first hop that leaves a switch; nothing hops on behind it."""
    machine = schedule.machine
    return next(h for h, hop in enumerate(hops_of(schedule)) if machine.links[hop[2]].src in machine.switches)


def _slot_of(schedule: Schedule, deep: bool) -> int:
    """A slot, with several copies or with one."""
    return next(i for i, depth in enumerate(schedule.slot_depth) if (depth > 1) == deep)


@_case("digest")
def _another_graph(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, graph_digest=mlp(12, 6, 3, seed=9).digest)


@_case("encoding")
def _too_few_nodes(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, node=schedule.node[:-1])


@_case("encoding")
def _starts_as_floats(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, start=schedule.start.astype(np.float64))


@_case("encoding")
def _no_period(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, period=0)


@_case("encoding")
def _unknown_token(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, parcel_token=changed(schedule.parcel_token, 0, 10**6))


@_case("encoding")
def _unknown_link(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, hop_link=changed(schedule.hop_link, 2, -1))


@_case("encoding")
def _parcels_descend(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, parcel_ptr=changed(schedule.parcel_ptr, 1, len(schedule.parcel_token) + 1))


@_case("encoding")
def _hops_out_of_order(graph: Graph, schedule: Schedule) -> Schedule:
    order = np.arange(len(schedule.hop_link))[::-1]
    return replace(
        schedule,
        hop_parcel=schedule.hop_parcel[order],
        hop_link=schedule.hop_link[order],
        hop_start=schedule.hop_start[order],
    )


@_case("encoding")
def _slot_without_copies(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, slot_depth=changed(schedule.slot_depth, 0, 0))


@_case("encoding")
def _slot_below_memory(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, slot_address=changed(schedule.slot_address, 0, -4))


@_case("placement")
def _node_that_is_not_there(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, node=changed(schedule.node, 5, len(schedule.machine.nodes)))


@_case("placement")
def _actor_on_a_switch(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, node=changed(schedule.node, _actor(graph, "dense[1]"), schedule.machine.switches[0]))


@_case("placement")
def _sink_away_from_the_host(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, node=changed(schedule.node, _actor(graph, "sink"), schedule.machine.host + 1))


@_case("time")
def _negative_start(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, start=changed(schedule.start, 3, -1))


@_case("time")
def _start_beyond_all_reason(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, hop_start=changed(schedule.hop_start, -1, 2**62))


@_case("stride")
def _nodes_in_cycles_of_two_ticks(graph: Graph, schedule: Schedule) -> Schedule:
    def slower(machine: Machine) -> Machine:
        nodes = tuple(replace(node, frequency=2) if node.kind == "switch" else node for node in machine.nodes)
        return replace(machine, nodes=nodes, links=tuple(replace(link, frequency=2) for link in machine.links))

    return _with_machine(schedule, slower)


@_case("stride")
def _links_in_cycles_of_two_ticks(graph: Graph, schedule: Schedule) -> Schedule:
    def slower(machine: Machine) -> Machine:
        nodes = tuple(replace(node, frequency=2) if node.kind == "compute" else node for node in machine.nodes)
        return replace(machine, nodes=nodes)

    return _with_machine(schedule, slower)


@_case("period")
def _part_of_a_cycle_in_the_period(graph: Graph, schedule: Schedule) -> Schedule:
    def faster(machine: Machine) -> Machine:
        host = replace(machine.nodes[machine.host], frequency=schedule.period + 1)
        return replace(machine, nodes=(host, *machine.nodes[1:]))

    return _with_machine(schedule, faster)


@_case("firing overlap")
def _two_firings_at_once(graph: Graph, schedule: Schedule) -> Schedule:
    """In another period, but at the same tick of it."""
    ticks = durations(graph, schedule.machine, schedule.node)
    busy = [a for a in np.flatnonzero(ticks) if schedule.node[a] == schedule.machine.host]
    sink = _actor(graph, "sink")
    first = next(a for a in busy if a != sink)
    later = schedule.start[first] + 9 * schedule.period
    return replace(schedule, start=changed(schedule.start, sink, int(later)))


@_case("firing overlap")
def _period_too_short(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, period=schedule.period // 2)


@_case("firing overlap")
def _slower_node(graph: Graph, schedule: Schedule) -> Schedule:
    def slower(machine: Machine) -> Machine:
        spec = replace(machine.nodes[machine.host], op_ticks={"compare": 90})
        return replace(machine, nodes=(spec, *machine.nodes[1:]))

    return _with_machine(schedule, slower)


@_case("link overload")
def _two_hops_at_once(graph: Graph, schedule: Schedule) -> Schedule:
    """The second of two hops over one link moves onto the first, some periods later."""
    hops = hops_of(schedule)
    link = hops[_from_switch(schedule)][2]
    first, second = [h for h in hops if h[2] == link][:2]
    hops[hops.index(second)] = (second[0], first[1] + 6 * schedule.period, link)
    return with_hops(schedule, hops)


@_case("link overload")
def _narrower_frames(graph: Graph, schedule: Schedule) -> Schedule:
    def narrower(machine: Machine) -> Machine:
        return replace(machine, links=tuple(replace(link, frame_bits=1) for link in machine.links))

    return _with_machine(schedule, narrower)


@_case("calendar")
def _calendar_too_small(graph: Graph, schedule: Schedule) -> Schedule:
    def smaller(machine: Machine) -> Machine:
        return replace(machine, links=tuple(replace(link, calendar_entries=5) for link in machine.links))

    return _with_machine(schedule, smaller)


@_case("parcel")
def _token_made_elsewhere(graph: Graph, schedule: Schedule) -> Schedule:
    foreign = next(a for a in range(1, 13) if schedule.node[a] != schedule.parcel_node[0])
    return replace(schedule, parcel_token=changed(schedule.parcel_token, 0, foreign))


@_case("parcel")
def _a_sources_own_id_as_token(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, parcel_token=changed(schedule.parcel_token, 0, 0))


@_case("parcel")
def _empty_parcel(graph: Graph, schedule: Schedule) -> Schedule:
    ptr = np.concatenate([schedule.parcel_ptr, schedule.parcel_ptr[-1:]])
    return replace(schedule, parcel_ptr=ptr, parcel_node=np.append(schedule.parcel_node, schedule.parcel_node[:1]))


@_case("parcel")
def _token_twice_in_a_parcel(graph: Graph, schedule: Schedule) -> Schedule:
    p = int(np.argmax(np.diff(schedule.parcel_ptr)))
    at = int(schedule.parcel_ptr[p])
    return replace(schedule, parcel_token=changed(schedule.parcel_token, at + 1, int(schedule.parcel_token[at])))


@_case("tree", data=True)
def _hop_from_nowhere(graph: Graph, schedule: Schedule) -> Schedule:
    """The first hop of a path is gone; the second one has nothing to send."""
    hops = hops_of(schedule)
    del hops[_from_host(schedule)]
    return with_hops(schedule, hops)


@_case("tree")
def _hop_back(graph: Graph, schedule: Schedule) -> Schedule:
    parcel, start, link = hops_of(schedule)[_from_host(schedule)]
    ends = schedule.machine.links[link]
    back = schedule.machine.link_between(ends.dst, ends.src)
    assert back is not None
    return with_hops(schedule, [*hops_of(schedule), (parcel, start + 50, back)])


@_case("hop early", data=True)
def _hop_before_its_parcel(graph: Graph, schedule: Schedule) -> Schedule:
    """All hops of the parcel that leaves last, in the same ticks of the period, but some periods too early."""
    source = np.array([link.src for link in schedule.machine.links])[schedule.hop_link]
    outward = np.where(np.isin(source, schedule.machine.switches), -1, schedule.hop_start)
    parcel = int(schedule.hop_parcel[np.argmax(outward)])
    back = int(outward.max()) // schedule.period * schedule.period
    return with_hops(schedule, [(p, t - back * (p == parcel), link) for p, t, link in hops_of(schedule)])


@_case("transit")
def _hop_out_of_a_switch_too_late(graph: Graph, schedule: Schedule) -> Schedule:
    """At the same tick of the period, so that nothing else is wrong with the link."""
    hops = hops_of(schedule)
    parcel, start, link = hops[_from_switch(schedule)]
    hops[_from_switch(schedule)] = (parcel, start + schedule.period, link)
    return with_hops(schedule, hops)


@_case("transit")
def _hop_out_of_a_switch_too_early(graph: Graph, schedule: Schedule) -> Schedule:
    hops = hops_of(schedule)
    parcel, start, link = hops[_from_switch(schedule)]
    hops[_from_switch(schedule)] = (parcel, start - 1, link)
    return with_hops(schedule, hops)


@_case("transit")
def _slower_crossbar(graph: Graph, schedule: Schedule) -> Schedule:
    def slower(machine: Machine) -> Machine:
        return replace(
            machine,
            nodes=tuple(replace(node, crossbar_latency=1) if node.kind == "switch" else node for node in machine.nodes),
        )

    return _with_machine(schedule, slower)


@_case("transit")
def _longer_links(graph: Graph, schedule: Schedule) -> Schedule:
    def longer(machine: Machine) -> Machine:
        return replace(machine, links=tuple(replace(link, latency=link.latency + 3) for link in machine.links))

    return _with_machine(schedule, longer)


@_case("late", data=True)
def _firing_before_its_tokens(graph: Graph, schedule: Schedule) -> Schedule:
    """At the same tick of the period, but some periods too early."""
    actor = _actor(graph, "dense_1[2]")
    return replace(schedule, start=changed(schedule.start, actor, int(schedule.start[actor]) % schedule.period))


@_case("late", data=True)
def _one_tick_too_early(graph: Graph, schedule: Schedule) -> Schedule:
    """An actor that fires as soon as its last token is there, on a node that is free in the tick before."""
    ticks = durations(graph, schedule.machine, schedule.node)
    busy = {
        (int(schedule.node[a]), (int(schedule.start[a]) + i) % schedule.period)
        for a in range(graph.actor_count)
        for i in range(int(ticks[a]))
    }
    there = {(int(schedule.node[a]), a): int(schedule.start[a] + ticks[a]) for a in range(graph.actor_count)}
    for parcel, start, link in hops_of(schedule):
        tokens = schedule.parcel_token[schedule.parcel_ptr[parcel] : schedule.parcel_ptr[parcel + 1]]
        spec = schedule.machine.links[link]
        for token in tokens.tolist():
            there[spec.dst, token] = start + -(-len(tokens) // spec.frames_per_tick) + spec.latency
    for actor in graph:
        node, start = int(schedule.node[actor.id]), int(schedule.start[actor.id])
        free = (node, (start - 1) % schedule.period) not in busy
        if ticks[actor.id] and free and start == max(there[node, edge.producer] for edge in actor.inputs):
            return replace(schedule, start=changed(schedule.start, actor.id, start - 1))
    raise AssertionError("every actor waits for its node, none for its tokens")


@_case("lost", data=True)
def _hop_left_out(graph: Graph, schedule: Schedule) -> Schedule:
    hops = hops_of(schedule)
    del hops[_from_switch(schedule)]
    return with_hops(schedule, hops)


@_case("lost", data=True)
def _token_left_out_of_its_parcel(graph: Graph, schedule: Schedule) -> Schedule:
    p = int(np.argmax(np.diff(schedule.parcel_ptr)))
    ptr = schedule.parcel_ptr.copy()
    ptr[p + 1 :] -= 1
    return replace(schedule, parcel_ptr=ptr, parcel_token=np.delete(schedule.parcel_token, schedule.parcel_ptr[p]))


@_case("duplicate")
def _token_in_two_parcels(graph: Graph, schedule: Schedule) -> Schedule:
    """A second parcel with the same token takes the same way, later."""
    parcel = hops_of(schedule)[_from_host(schedule)][0]
    token = schedule.parcel_token[schedule.parcel_ptr[parcel]]
    way = [(len(schedule.parcel_node), start + 40, link) for p, start, link in hops_of(schedule) if p == parcel]
    more = replace(
        schedule,
        parcel_node=np.append(schedule.parcel_node, schedule.parcel_node[parcel]),
        parcel_ptr=np.append(schedule.parcel_ptr, schedule.parcel_ptr[-1] + 1),
        parcel_token=np.append(schedule.parcel_token, token),
    )
    return with_hops(more, [*hops_of(schedule), *way])


@_case("slot", data=True)
def _slot_left_out(graph: Graph, schedule: Schedule) -> Schedule:
    """That of a token which is read where it is kept: the last one on a compute node."""
    return _without_slot(schedule, int(np.flatnonzero(schedule.slot_node < schedule.machine.switches[0])[-1]))


@_case("slot")
def _two_slots_for_a_token(graph: Graph, schedule: Schedule) -> Schedule:
    more = {
        name: np.insert(getattr(schedule, name), 0, getattr(schedule, name)[0])
        for name in ("slot_node", "slot_token", "slot_depth")
    }
    top = int(schedule.slot_address.max()) + 1000
    return replace(schedule, **more, slot_address=np.insert(schedule.slot_address, 0, top))


@_case("slot")
def _slot_for_a_token_that_never_comes(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, slot_token=changed(schedule.slot_token, 0, 0))


@_case("slot depth", data=True)
def _one_copy_too_few(graph: Graph, schedule: Schedule) -> Schedule:
    """Slots of several copies get one; what consumers still need is written over."""
    return replace(schedule, slot_depth=np.ones_like(schedule.slot_depth))


@_case("slot overlap", data=True)
def _two_slots_in_one_place(graph: Graph, schedule: Schedule) -> Schedule:
    """The pixels' slots on the node that has made most of them all begin at the first one's byte."""
    pixels = np.flatnonzero((schedule.slot_token >= 1) & (schedule.slot_token <= 12))
    pixels = pixels[schedule.slot_node[pixels] == schedule.node[schedule.slot_token[pixels]]]
    pixels = pixels[schedule.slot_node[pixels] == np.bincount(schedule.slot_node[pixels]).argmax()]
    address = schedule.slot_address.copy()
    address[pixels] = address[pixels[0]]
    return replace(schedule, slot_address=address)


@_case("slot overlap")
def _slots_that_overlap_in_part(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, slot_address=changed(schedule.slot_address, 1, int(schedule.slot_address[1]) - 1))


@_case("slot overlap", data=True)
def _slot_on_the_parameters(graph: Graph, schedule: Schedule) -> Schedule:
    """That of a token which is read where it is made."""
    made = schedule.slot_node == schedule.node[schedule.slot_token % graph.actor_count]
    first = next(i for i, v in enumerate(schedule.slot_node) if v == 1 and made[i])
    return replace(schedule, slot_address=changed(schedule.slot_address, first, 0))


@_case("memory")
def _memory_too_small(graph: Graph, schedule: Schedule) -> Schedule:
    def smaller(machine: Machine) -> Machine:
        return replace(machine, nodes=tuple(replace(n, memory_bytes=64 * (n.kind == "compute")) for n in machine.nodes))

    return _with_machine(schedule, smaller)


@_case("bound")
def _bound_above_the_period(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, placement_bound=Bound(schedule.period + 1, "link", "node n1", "a false claim"))


@_case("bound")
def _bounds_that_contradict(graph: Graph, schedule: Schedule) -> Schedule:
    return replace(schedule, bound=Bound(2, "compute", "all nodes", "more than the placement's"))
