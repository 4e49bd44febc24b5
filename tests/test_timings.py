"""Three timings agree on every graph of the tests: analysis, events and machine.

Analysis is the maximum cycle ratio of the folded graph with the order and the room that the schedule gives it, events
the self-timed run and the one by the calendar, machine the run of the calendars.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from graphs import mlp, rnn
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Net
from schedules import simple_schedule
from strategies import graphs, recurrent
from timings import Events

from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import load_machine
from graphsim.pipeline import load_graph
from graphsim.schedule import fold, latency
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.engine import input_groups
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.machine import MachineEngine

MODELS = Path(__file__).parents[1] / "models"
MACHINES = ("line:1", "line:3", "mesh:2x2", "full:3,frame_bits=24,latency=0", "ring:3,latency=9")


def zeros(graph: Graph, samples: int) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    return tuple(np.zeros((samples, *graph.groups[g].shape), np.float32) for g in input_groups(graph))


def spacing(ticks: np.ndarray) -> set[Fraction]:  # type: ignore[type-arg]
    """Every mean distance over a number of samples that repeats itself in the steady state: the first samples find an
    empty machine, and the last ones have nobody behind them.
    """
    half = ticks[len(ticks) // 2 : -len(ticks) // 4]
    found = set()
    for count in range(1, len(half) // 2):
        steps = half[count:] - half[:-count]
        if (steps == steps[0]).all():
            found.add(Fraction(int(steps[0]), count))
    return found


def agree(graph: Graph, schedule: Schedule, samples: int = 48) -> None:
    """All of them; a self-timed run needs some samples until its rhythm repeats itself."""
    runs = [engine(graph, schedule).run(zeros(graph, 6)) for engine in (MachineEngine, EventsEngine)]
    for run in runs:
        assert run.timing is not None
        assert (run.timing.period, run.timing.latency) == (schedule.period, latency(graph, schedule))
    proved = Events(graph, schedule).period_by_cycles()
    assert schedule.placement_bound.ticks <= schedule.period
    assert proved <= schedule.period
    free = EventsEngine(graph, schedule, mode="self_timed").run(zeros(graph, samples), keep="outputs").timing
    assert free is not None
    assert spacing(free.sink_ticks) == {proved}


@settings(max_examples=20, deadline=None)
@given(graphs(max_actors=20), st.sampled_from(MACHINES), st.integers(1, 4), st.integers(0, 99))
def test_random_graphs(graph: Graph, name: str, pack: int, seed: int) -> None:
    agree(graph, simple_schedule(graph, load_machine(name), pack=pack, seed=seed))


@settings(max_examples=10, deadline=None)
@given(graphs(max_actors=20), st.sampled_from(MACHINES))
def test_folded_random_graphs(graph: Graph, name: str) -> None:
    agree(graph, fold(graph, load_machine(name)))


@settings(max_examples=8, deadline=None)
@given(recurrent(max_actors=16, windows=False), st.sampled_from(MACHINES))
def test_recurrent_graphs(graph: Graph, name: str) -> None:
    agree(graph, fold(graph, load_machine(name)))


@settings(max_examples=5, deadline=None)
@given(circuits(registers=3, gates=10), st.sampled_from(MACHINES[:3]))
def test_circuits(circuit: Circuit, name: str) -> None:
    graph = to_graph(circuit)
    agree(graph, fold(graph, load_machine(name)))


def convolutional() -> Graph:
    """A convolution, pooling and a dense layer."""
    net = Net(6, 6, 1)
    return net.graph(net.dense(net.pool(net.conv(1, 2), "mean"), 3), "convolutional")


MADE: dict[str, Callable[[], Graph]] = {
    "mlp": lambda: mlp(12, 6, 3),
    "states": lambda: rnn(steps=3, sequences=True),
    "convolutional": convolutional,
}


@pytest.mark.parametrize("machine", ["line:3", "mesh:2x2"])
@pytest.mark.parametrize("name", MADE)
def test_graphs_of_every_kind(name: str, machine: str) -> None:
    graph = MADE[name]()
    agree(graph, fold(graph, load_machine(machine)))


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("digits_mlp.h5", "torus:2x2"),
        ("checkerboard.blif", "mesh:2x2"),
        ("life.blif", "line:3"),
    ],
)
def test_models_that_ship(name: str, machine: str) -> None:
    graph = load_graph(MODELS / name)
    agree(graph, fold(graph, load_machine(machine)), 32)


@pytest.mark.slow
def test_the_net_of_mnist() -> None:
    graph = load_graph(MODELS / "mnist_mlp.h5")
    agree(graph, fold(graph, load_machine("torus:4x4")), 24)


@settings(max_examples=8, deadline=None)
@given(graphs(max_actors=20), st.sampled_from(["line:3", "ring:4"]), st.integers(1, 3))
def test_components_of_other_frequencies(graph: Graph, name: str, rate: int) -> None:
    """Whatever starts waits for a cycle of its component: a self-timed run may wait longer than its cycles say."""
    machine = load_machine(f"{name},node.frequency=2,link.frequency=3,frames_per_tick={rate}")
    schedule = simple_schedule(graph, machine)
    for run in (engine(graph, schedule).run(zeros(graph, 6)) for engine in (MachineEngine, EventsEngine)):
        assert run.timing is not None
        assert (run.timing.period, run.timing.latency) == (schedule.period, latency(graph, schedule))
    free = EventsEngine(graph, schedule, mode="self_timed").run(zeros(graph, 12)).timing
    assert free is not None
    assert (free.sink_ticks[-1] - free.sink_ticks[0]) <= 11 * schedule.period
