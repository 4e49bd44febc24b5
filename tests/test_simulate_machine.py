"""The machine engine: values from memory, times from ticks, and no wrong token ever read as a right one."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from engine_cases import EDGES, assert_same, chain
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import CASES, changed, valid
from schedules import simple_schedule
from strategies import graphs, samples

from graphsim.errors import ScheduleError, SimulationError, TokenError
from graphsim.graph import Axis, Graph, Group, Window
from graphsim.machine import load_machine
from graphsim.schedule.fold import fold
from graphsim.schedule.schedule import Schedule, latency
from graphsim.schedule.verify import verify
from graphsim.simulate.engine import Run
from graphsim.simulate.lanes import LanesEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.machine.engine import CHUNK, _message
from graphsim.simulate.machine.program import FIRE, KIND, STAGE, WHO
from graphsim.simulate.reference import ReferenceEngine

MACHINES = (
    "line:1",
    "line:3",
    "mesh:2x2",
    "star:3",
    "fat_tree:1",
    "full:3,frame_bits=24,latency=0",
    "ring:3,latency=9",
)


def test_powers_of_two_tensors_are_the_same_in_all_engines() -> None:
    """Of numbers of every size, zeros and infinite ones among them."""
    n = len(EDGES)
    group = Group(name="power", op="power", shape=(n * n,))
    base = Window(src=1, dst=2, axes=(Axis(n, n), Axis(1, n, stride=0)))
    graph = chain(group, n, base, {})
    other = Window(src=1, dst=2, port=1, axes=(Axis(1, n, stride=0), Axis(n, n)))
    graph = Graph(graph.name, graph.groups, [*graph.channels, other], {})
    x = np.stack([EDGES, np.linspace(-3, 3, n, dtype=np.float32), np.arange(n, dtype=np.float32) - 5])
    expected = ReferenceEngine(graph).run(x)
    assert_same(LanesEngine(graph).run(x, keep="all"), expected)
    schedule = fold(graph, load_machine("mesh:2x2"))
    assert_same(MachineEngine(graph, schedule).run(x), expected)
    values = expected.values["power"].reshape(3, n, n)
    with np.errstate(all="ignore"):
        exact = np.power(x[:, :, None].astype(np.float64), x[:, None, :].astype(np.float64)).astype(np.float32)
    # Of negative bases, infinite ones too, only whole powers are known here.
    negative, power = x[:, :, None] < 0, x[:, None, :]
    known = ~(negative & np.isfinite(power) & (power != np.rint(power)))
    np.testing.assert_allclose(values[known], exact[known], rtol=1.2e-7)


def assert_same_values(run: Run, expected: Run) -> None:
    assert run.values.keys() == expected.values.keys()
    for name, array in expected.values.items():
        assert run.values[name].shape == array.shape
        assert run.values[name].tobytes() == array.tobytes(), name


def images(graph: Graph, n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    values = rng.random((n, graph.groups[1].size), dtype=np.float32)
    values[values < 0.3] = 0.0
    return values


@settings(max_examples=60, deadline=None)
@given(st.data(), graphs(max_actors=40), st.sampled_from(MACHINES), st.integers(1, 4), st.integers(0, 99))
def test_values_are_the_references(data: st.DataObject, graph: Graph, name: str, pack: int, seed: int) -> None:
    schedule = simple_schedule(graph, load_machine(name), pack=pack, seed=seed)
    inputs = data.draw(samples(graph, 5))
    assert_same_values(MachineEngine(graph, schedule).run(inputs), ReferenceEngine(graph).run(inputs))


@settings(max_examples=40, deadline=None)
@given(st.data(), graphs(max_actors=50), st.sampled_from(MACHINES))
def test_values_of_folded_graphs_are_the_references(data: st.DataObject, graph: Graph, name: str) -> None:
    schedule = fold(graph, load_machine(name))
    inputs = data.draw(samples(graph, 4))
    assert verify(graph, schedule).violations == ()
    run = MachineEngine(graph, schedule).run(inputs)
    assert_same_values(run, ReferenceEngine(graph).run(inputs))
    assert run.timing is not None
    assert run.timing.period == schedule.period
    assert run.timing.latency == latency(graph, schedule)


@settings(max_examples=30, deadline=None)
@given(st.data(), graphs(max_actors=30), st.integers(0, 99), st.integers(0, 3))
def test_tokens_of_any_width_at_any_address(data: st.DataObject, graph: Graph, seed: int, gap: int) -> None:
    """Widths of 1 to 64 bits: slots of one to eight bytes, which share no common word unless by chance."""
    width = {g: data.draw(st.sampled_from([1, 8, 24, 32, 64])) for g in range(len(graph.groups))}
    channels = [dataclasses.replace(c, token_bits=width[c.src]) for c in graph.channels]
    graph = Graph(graph.name, graph.groups, channels, graph.params)
    schedule = simple_schedule(graph, load_machine("line:3"), pack=3, seed=seed, gap=gap)
    assert verify(graph, schedule).violations == ()
    inputs = data.draw(samples(graph, 4))
    assert_same_values(MachineEngine(graph, schedule).run(inputs), ReferenceEngine(graph).run(inputs))


def test_times_are_those_of_the_calendar() -> None:
    graph, schedule = valid()
    timing = MachineEngine(graph, schedule).run(images(graph, 6)).timing
    assert timing is not None
    expected = schedule.start[0] + np.arange(6) * schedule.period
    assert timing.source_ticks.tolist() == expected.tolist()
    assert timing.sink_ticks.tolist() == (expected + latency(graph, schedule)).tolist()
    assert timing.period == schedule.period
    assert timing.latency == latency(graph, schedule)


def test_one_sample_has_a_latency_and_no_period() -> None:
    graph, schedule = valid()
    timing = MachineEngine(graph, schedule).run(images(graph, 1)).timing
    assert timing is not None
    assert timing.period is None
    assert timing.latency == latency(graph, schedule)


@pytest.mark.parametrize("n", [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 3])
def test_runs_are_the_same_in_any_number_of_chunks(n: int) -> None:
    graph, schedule = valid()
    inputs = images(graph, n)
    run = MachineEngine(graph, schedule).run(inputs)
    assert_same_values(run, ReferenceEngine(graph).run(inputs))
    assert run.timing is not None
    assert np.all(np.diff(run.timing.sink_ticks) == schedule.period)


def test_progress_ends_at_the_last_sample() -> None:
    graph, schedule = valid()
    seen: list[int] = []
    MachineEngine(graph, schedule).run(images(graph, 3 * CHUNK), progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert seen[-1] == 3 * CHUNK


def test_it_keeps_what_is_asked_for() -> None:
    graph, schedule = valid()
    engine, inputs = MachineEngine(graph, schedule), images(graph, 3)
    everything = engine.run(inputs)
    assert set(engine.run(inputs, keep="outputs").values) == {"dense_1.softmax", "sink"}
    only = engine.run(inputs, keep=["dense"])
    assert set(only.values) == {"dense"}
    assert np.array_equal(only.values["dense"], everything.values["dense"])
    assert everything.values["sink"].shape == (3, 2)


def test_a_run_leaves_nothing_behind() -> None:
    graph, schedule = valid()
    engine = MachineEngine(graph, schedule)
    first = engine.run(images(graph, 4, seed=1))
    engine.run(images(graph, 9, seed=2))
    assert_same_values(engine.run(images(graph, 4, seed=1)), first)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.data])
def test_a_schedule_that_breaks_the_timing_of_data_stops_the_run(name: str) -> None:
    graph, schedule = valid()
    broken = CASES[name].mutate(graph, schedule)
    with pytest.raises(
        TokenError, match=r"^tick \d+, node \w+: .* iteration \d+ of .*, which is (late|lost|overwritten)"
    ):
        MachineEngine(graph, broken).run(images(graph, 12))


@pytest.mark.parametrize("name", CASES)
def test_a_corrupted_schedule_never_gives_wrong_values(name: str) -> None:
    graph, schedule = valid()
    inputs = images(graph, 12)
    try:
        run = MachineEngine(graph, CASES[name].mutate(graph, schedule)).run(inputs)
    except (ScheduleError, TokenError):
        return
    assert_same_values(run, ReferenceEngine(graph).run(inputs))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_the_verifier_accepts_runs_and_what_runs_is_right(data: st.DataObject) -> None:
    """Random small changes to times, depths and addresses."""
    graph, schedule = valid()
    inputs = images(graph, 9)
    for _ in range(data.draw(st.integers(1, 3))):
        schedule = _perturbed(data, schedule)
    accepted = verify(graph, schedule).ok
    try:
        run = MachineEngine(graph, schedule).run(inputs)
    except (ScheduleError, TokenError):
        assert not accepted
        return
    assert_same_values(run, ReferenceEngine(graph).run(inputs))


def _perturbed(data: st.DataObject, schedule: Schedule) -> Schedule:
    name = data.draw(st.sampled_from(["start", "hop_start", "slot_depth", "slot_address", "period"]))
    step = data.draw(st.integers(-40, 40))
    if name == "period":
        return replace(schedule, period=max(1, schedule.period + step))
    array = getattr(schedule, name)
    at = data.draw(st.integers(0, len(array) - 1))
    value = max(1 if name == "slot_depth" else 0, int(array[at]) + step)
    schedule = replace(schedule, **{name: changed(array, at, value)})
    order = np.lexsort([schedule.hop_link, schedule.hop_start, schedule.hop_parcel])
    hops = {key: getattr(schedule, key)[order] for key in ("hop_parcel", "hop_start", "hop_link")}
    return replace(schedule, **hops)


def test_a_late_token_is_named_with_tick_node_and_actor() -> None:
    graph, schedule = valid()
    broken = CASES["firing_before_its_tokens"].mutate(graph, schedule)
    actor = graph.actor("dense_1[2]").id
    with pytest.raises(TokenError) as caught:
        MachineEngine(graph, broken).run(images(graph, 2))
    place = f"tick {broken.start[actor]}, node {schedule.machine.nodes[int(schedule.node[actor])].name}"
    assert str(caught.value) == (
        f"{place}: dense_1[2] fires and reads iteration 0 of the token of dense[0], "
        "which is late or lost: nothing is in its slot; also missing: the token of dense[1], the token of dense[2], "
        "the token of dense[3], the token of dense[4] and 1 more"
    )


def test_a_stale_token_is_named_with_the_iteration_that_is_still_there() -> None:
    """A periodic schedule is late in its first iteration already; so the failure of a later one is made up."""
    graph, schedule = valid()
    engine = MachineEngine(graph, schedule)
    program = engine._program
    sink = graph.actor("sink").id
    event = int(np.flatnonzero((program.events[:, WHO] == sink) & (program.events[:, KIND] == FIRE))[0])
    iteration, token = 7, sink - 1
    period = iteration + int(program.events[event, STAGE])
    tag = iteration * program.tokens + token
    message = _message(graph, engine.calendars, program, np.array([event, period, tag, tag - program.tokens, 9]))
    tick = int(schedule.start[sink]) + iteration * schedule.period
    assert message == (
        f"tick {tick}, node n0: sink fires and reads iteration 7 of the token of dense_1.softmax[2], "
        "which is late or lost: in its slot is still iteration 6, which is stale"
    )


def test_an_overwritten_token_is_named_with_what_is_there_instead() -> None:
    graph, schedule = valid()
    with pytest.raises(TokenError, match=r"which is overwritten: in its slot is iteration \d+ already"):
        MachineEngine(graph, CASES["one_copy_too_few"].mutate(graph, schedule)).run(images(graph, 9))
    with pytest.raises(TokenError, match=r"overwritten: in its slot is iteration 0 of the token of pixels\[\d+\]"):
        MachineEngine(graph, CASES["two_slots_in_one_place"].mutate(graph, schedule)).run(images(graph, 9))


def test_a_schedule_for_another_graph_is_refused() -> None:
    _, schedule = valid()
    with pytest.raises(ScheduleError, match="fold this graph again"):
        MachineEngine(mlp(12, 6, 3, seed=7), schedule)


def test_calendars_that_cannot_be_loaded_are_refused() -> None:
    graph, schedule = valid()
    with pytest.raises(ScheduleError, match=r"cannot load this schedule: n0, tick .* fire at once"):
        MachineEngine(graph, CASES["two_firings_at_once"].mutate(graph, schedule))


def test_too_many_iterations_in_flight_are_refused() -> None:
    graph, schedule = valid()
    sink = graph.actor("sink").id
    far = replace(schedule, start=changed(schedule.start, sink, int(schedule.start[sink]) + 2**22 * schedule.period))
    with pytest.raises(SimulationError, match="iterations in flight"):
        MachineEngine(graph, far)


@pytest.mark.parametrize("name", ["torus:4x4", "star:16"])
def test_a_net_of_mnist_size(name: str) -> None:
    graph = mlp()
    schedule = fold(graph, load_machine(name))
    inputs = images(graph, 40)
    run = MachineEngine(graph, schedule).run(inputs)
    assert_same_values(run, ReferenceEngine(graph).run(inputs))
    assert run.timing is not None
    assert run.timing.period == schedule.period
