"""State that goes from sample to sample: where it is read, when it must be there, and what it starts with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from graphs import mlp, rnn
from mutations import changed, with_hops
from test_schedule_circuits import check

from graphsim.errors import GraphError, TokenError
from graphsim.graph import Graph, Ref
from graphsim.graph.circuit import Circuit, pack, to_graph
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify import verify
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.machine import MachineEngine


def stateful(graph: Graph, **changes: object) -> Graph:
    """The graph with state that is not reset."""
    channels = [dataclasses.replace(c, reset=False, **changes) if c.initial_tokens else c for c in graph.channels]  # type: ignore[arg-type]
    params = {**graph.params, "h0": np.linspace(-1, 1, graph.groups[3].size).astype(np.float32)}
    return Graph("stateful", graph.groups, channels, params)


@pytest.mark.parametrize(
    "machine", ["line:1", "line:3", "torus:2x2,latency=5", "line:3,node.frequency=3,link.frequency=2"]
)
@pytest.mark.parametrize("initial", [None, Ref("h0")])
def test_a_stateful_layer_folds(machine: str, initial: Ref | None) -> None:
    graph = stateful(rnn(3, 2, 4), initial=initial)
    schedule = fold(graph, load_machine(machine))
    check(graph, schedule)


@pytest.mark.parametrize("held", [1, 2, 3])
def test_a_delay_between_layers_folds(held: int) -> None:
    graph = mlp(6, 5, 3)
    channels = [dataclasses.replace(c, initial_tokens=held) if (c.src, c.dst) == (2, 3) else c for c in graph.channels]
    delayed = Graph("delayed", graph.groups, channels, graph.params)
    schedule = fold(delayed, load_machine("line:3"))
    check(delayed, schedule)
    assert schedule.slot_depth.max() >= held


def ring() -> tuple[Graph, Schedule]:
    """Two gates and a register in a circle on two nodes, folded: r = !(r ^ x)."""
    indptr, index = pack([(0, 1), (2,)])
    circuit = Circuit(
        name="ring",
        input_names=("x",),
        output_names=("o",),
        outputs=np.array([1], np.int32),
        indptr=indptr,
        index=index,
        truth=np.array([0b0110, 0b01], np.uint64),
        register_names=("r",),
        initial=np.array([True]),
        following=np.array([3], np.int32),
    )
    graph = to_graph(circuit)
    node = np.zeros(graph.actor_count, np.int32)
    for name in ("gate[1]", "register[0]"):
        node[graph.actor(name).id] = 1
    return graph, fold(graph, load_machine("line:2"), placement=node)


def test_the_circle_counts_its_transport() -> None:
    graph, schedule = ring()
    check(graph, schedule)
    # Two gates of a tick each, and a frame there and back, each a tick on its link and one in flight.
    assert schedule.period == schedule.placement_bound.ticks == 6
    assert schedule.placement_bound.kind == "recurrence"
    assert schedule.placement_bound.resource == "gate[0], gate[1], register[0]"
    assert (schedule.bound.kind, schedule.bound.ticks) == ("recurrence", 2)


def trips(graph: Graph, schedule: Schedule) -> bool:
    """Whether both engines stop at it."""
    inputs = np.random.default_rng(0).integers(0, 2, (6, graph.groups[1].size)).astype(np.float32)
    for engine in (MachineEngine(graph, schedule), EventsEngine(graph, schedule)):
        with pytest.raises(TokenError):
            engine.run(inputs)
    return True


def test_a_state_token_that_comes_late_is_found() -> None:
    graph, schedule = ring()
    late = with_hops(
        schedule,
        [
            (p, t + (schedule.period if schedule.parcel_token[schedule.parcel_ptr[p]] == register else 0), link)
            for register in [graph.actor("register[0]").id]
            for p, t, link in zip(
                schedule.hop_parcel.tolist(), schedule.hop_start.tolist(), schedule.hop_link.tolist(), strict=True
            )
        ],
    )
    assert "late" in verify(graph, late).kinds
    assert trips(graph, late)


def test_a_period_too_short_for_the_circle_is_found() -> None:
    graph, schedule = ring()
    short = dataclasses.replace(schedule, period=schedule.period - 1)
    assert {"late", "bound"} <= verify(graph, short).kinds


def test_a_lost_initial_token_is_found() -> None:
    graph, schedule = ring()
    register = graph.actor("register[0]").id
    (at,) = np.flatnonzero((schedule.slot_token == register) & (schedule.slot_node == 0))
    names = ("slot_node", "slot_token", "slot_address", "slot_depth")
    lost = dataclasses.replace(schedule, **{name: np.delete(getattr(schedule, name), at) for name in names})
    assert "slot" in verify(graph, lost).kinds
    assert trips(graph, lost)


def test_slots_without_room_for_all_initial_tokens_are_found() -> None:
    graph = mlp(6, 5, 3)
    channels = [dataclasses.replace(c, initial_tokens=3) if (c.src, c.dst) == (2, 3) else c for c in graph.channels]
    delayed = Graph("delayed", graph.groups, channels, graph.params)
    schedule = fold(delayed, load_machine("line:1"))
    small = dataclasses.replace(schedule, slot_depth=np.minimum(schedule.slot_depth, 2))
    assert "initial" in verify(delayed, small).kinds


def test_initial_tokens_of_two_values_are_found_and_refused() -> None:
    graph, schedule = ring()
    channels = [
        dataclasses.replace(c, initial=None) if c.initial_tokens and graph.groups[c.dst].name == "output" else c
        for c in graph.channels
    ]
    other = Graph(graph.name, graph.groups, channels, graph.params, graph.notes)
    found = verify(other, dataclasses.replace(schedule, graph_digest=other.digest))
    assert "initial" in found.kinds
    with pytest.raises(GraphError, match="its initial tokens differ from those of another bundle of register"):
        fold(other, load_machine("line:1"))


def test_gates_out_of_order_are_found() -> None:
    graph, schedule = ring()
    early = changed(schedule.start, graph.actor("gate[1]").id, int(schedule.start[graph.actor("gate[0]").id]))
    assert "late" in verify(graph, dataclasses.replace(schedule, start=early)).kinds


def test_a_copy_that_is_written_while_a_copy_of_it_reads_is_found() -> None:
    """Two registers in a row, on one node, in one tick: the second needs the first one's last token until it has it."""
    circuit = Circuit(
        name="shift",
        input_names=("x",),
        output_names=("o",),
        outputs=np.array([2], np.int32),
        indptr=np.zeros(1, np.int64),
        index=np.zeros(0, np.int32),
        truth=np.zeros(0, np.uint64),
        register_names=("a", "b"),
        initial=np.array([True, False]),
        following=np.array([0, 1], np.int32),
    )
    graph = to_graph(circuit)
    schedule = fold(graph, load_machine("line:1"))
    check(graph, schedule)
    (at,) = np.flatnonzero(schedule.slot_token == graph.actor("register[0]").id)
    assert schedule.slot_depth[at] == 2
    shallow = dataclasses.replace(schedule, slot_depth=changed(schedule.slot_depth, int(at), 1))
    assert "slot depth" in verify(graph, shallow).kinds
