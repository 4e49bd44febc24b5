"""The frames engine: bits on links and in memories give the values and the times of every other engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from circuits import circuits
from engine_cases import assert_same, wild_samples
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import CASES, changed, valid
from schedule_cases import SPECS
from schedules import simple_schedule
from strategies import graphs, recurrent

from graphsim.calendars import compile_calendars
from graphsim.errors import CalendarError, SimulationError, TokenError
from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import Machine, load_machine
from graphsim.schedule import fold
from graphsim.schedule.schedule import Schedule, latency
from graphsim.simulate.frames import FramesEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine


@st.composite
def links(draw: st.DrawFn) -> Machine:
    """Any topology; frames of 1 to 128 bits, latencies of 0 to 43 cycles, two kinds of each; other frequencies."""
    machine = load_machine(draw(st.sampled_from(SPECS), label="machine"))
    kinds = [
        (draw(st.integers(1, 128), label="frame_bits"), draw(st.integers(0, 43), label="latency")) for _ in range(2)
    ]
    wide = 1 if machine.switches else 2  # a switch and its links have one width and one frequency
    fast = draw(st.booleans(), label="frequencies")
    nodes = draw(st.lists(st.integers(1, 8) if fast else st.just(1), min_size=2, max_size=2), label="of nodes")
    cables = draw(
        st.lists(st.sampled_from([2, 4, 8, 16]) if fast else st.just(1), min_size=2, max_size=2), label="of links"
    )
    rates = draw(st.lists(st.sampled_from([1, 1, 2, 3]), min_size=1, max_size=2), label="frames_per_tick")
    found = [
        replace(
            link,
            frame_bits=kinds[i % wide][0],
            latency=kinds[i % 2][1],
            frames_per_tick=rates[i % len(rates)],
            calendar_entries=1 << 20,
            frequency=cables[i % wide],
        )
        for i, link in enumerate(machine.links)
    ]
    specs = [
        replace(spec, frequency=cables[0], crossbar_latency=draw(st.integers(0, 3), label="crossbar_latency"))
        if spec.kind == "switch"
        else replace(spec, frequency=nodes[i % 2])
        for i, spec in enumerate(machine.nodes)
    ]
    return replace(machine, nodes=tuple(specs), links=tuple(found), topology="")


def agree(graph: Graph, schedule: Schedule, inputs: tuple[np.ndarray, ...]) -> None:  # type: ignore[type-arg]
    """All engines give the same bits, and those with clocks the same times."""
    frames, machine = FramesEngine(graph, schedule).run(inputs), MachineEngine(graph, schedule).run(inputs)
    assert_same(frames, ReferenceEngine(graph).run(inputs))
    assert_same(machine, frames)
    assert frames.timing is not None
    assert machine.timing is not None
    assert frames.timing.period == machine.timing.period == schedule.period
    assert frames.timing.latency == machine.timing.latency == latency(graph, schedule)


@settings(max_examples=30, deadline=None)
@given(st.data(), graphs(max_actors=25, max_group=8), links())
def test_folded_graphs(data: st.DataObject, graph: Graph, machine: Machine) -> None:
    agree(graph, fold(graph, machine), data.draw(wild_samples(graph, 3)))


@settings(max_examples=60, deadline=None)
@given(st.data(), graphs(max_actors=25, max_group=8), links(), st.integers(1, 9), st.integers(0, 99))
def test_any_placement(data: st.DataObject, graph: Graph, machine: Machine, pack: int, seed: int) -> None:
    agree(graph, simple_schedule(graph, machine, pack=pack, seed=seed), data.draw(wild_samples(graph, 3)))


@settings(max_examples=10, deadline=None)
@given(st.data(), circuits(registers=4, gates=25), links())
def test_circuits_in_single_bits(data: st.DataObject, circuit: Circuit, machine: Machine) -> None:
    graph = to_graph(circuit)
    shape = (6, *graph.groups[1].shape)
    inputs = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, shape).astype(np.float32)
    agree(graph, fold(graph, machine), (inputs,))


@settings(max_examples=20, deadline=None)
@given(st.data(), recurrent(max_actors=20, windows=False), links())
def test_firings_of_recurrent_graphs(data: st.DataObject, graph: Graph, machine: Machine) -> None:
    agree(graph, fold(graph, machine), data.draw(wild_samples(graph, 3)))


@pytest.mark.parametrize("late", [1, 3])
def test_what_was_made_iterations_ago(late: int) -> None:
    graph = mlp(6, 5, 3)
    channels = [replace(c, initial_tokens=late) if (c.src, c.dst) == (2, 3) else c for c in graph.channels]
    graph = Graph("delayed", graph.groups, channels, graph.params)
    inputs = np.random.default_rng(1).random((6, 6), dtype=np.float32)
    agree(graph, fold(graph, load_machine("torus:2x2")), (inputs,))


def test_what_is_never_written_is_not_read_as_zero() -> None:
    graph, schedule = valid()
    inputs = np.zeros((3, 12), np.float32)
    for name in ("hop_left_out", "firing_before_its_tokens", "slot_left_out"):
        with pytest.raises(TokenError, match=r"^tick \d+, node n\d: .* fires and reads iteration 0 of the token of"):
            FramesEngine(graph, CASES[name].mutate(graph, schedule)).run(inputs)


def test_a_dropped_row_is_an_invalid_frame() -> None:
    graph, schedule = valid()
    c = compile_calendars(graph, schedule)
    row = int(np.flatnonzero(c.gather.what >= 0)[0])
    dropped = replace(c, gather=replace(c.gather, what=changed(c.gather.what, row, -1)))
    with pytest.raises(TokenError, match="has bits that nothing has been written to"):
        FramesEngine(graph, dropped).run(np.zeros((3, 12), np.float32))


def test_calendars_are_checked_before_they_are_loaded() -> None:
    graph, schedule = valid()
    c = compile_calendars(graph, schedule)
    with pytest.raises(CalendarError):
        FramesEngine(graph, replace(c, ring_base=changed(c.ring_base, 0, -8)))


def test_progress_and_empty_runs() -> None:
    graph, schedule = valid()
    seen: list[int] = []
    FramesEngine(graph, schedule).run(np.zeros((5, 12), np.float32), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 5
    assert FramesEngine(graph, schedule).run(np.zeros((0, 12), np.float32)).samples == 0


def test_values_that_do_not_fit_into_a_bit() -> None:
    circuit = to_graph(circuits_one())
    schedule = fold(circuit, load_machine("line:2"))
    with pytest.raises(SimulationError, match=r"is 0\.5; one bit holds 0 or 1"):
        FramesEngine(circuit, schedule).run(np.full((2, circuit.groups[1].size), 0.5, np.float32))


def circuits_one() -> Circuit:
    """Any circuit."""
    from hypothesis import find

    return find(circuits(registers=1, gates=5), lambda c: True)


def test_widths_that_hold_no_value() -> None:
    graph = mlp(4, 3, 2)
    graph = Graph(graph.name, graph.groups, [replace(c, token_bits=24) for c in graph.channels], graph.params)
    with pytest.raises(SimulationError, match=r"the token of .* has 24 bits; values have 1, or 32 bits"):
        FramesEngine(graph, simple_schedule(graph, load_machine("line:2")))
