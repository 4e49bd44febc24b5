"""Double buffering: metacycles of computing and of communicating alternate, and everything else stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from engine_cases import assert_same
from graphs import mlp, rnn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schedule_cases import machines
from strategies import graphs, recurrent, samples
from test_simulate_machine import images
from typer.testing import CliRunner

from graphsim.cli.app import app
from graphsim.errors import GraphsimError, OutOfMemoryError, ScheduleError, UsageError
from graphsim.graph import Graph
from graphsim.graph.circuit import to_graph
from graphsim.machine import load_machine
from graphsim.passes import unroll
from graphsim.schedule import Schedule, durations, fold, latency
from graphsim.schedule.store import load, save
from graphsim.schedule.verify import verify
from graphsim.simulate.engine import FloatArray
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine


def metacycle(schedule: Schedule) -> int:
    """Ticks of a metacycle, as the remark says."""
    return int(schedule.remark.split("metacycles of ")[1].split(" ")[0].replace(",", ""))


def check(graph: Graph, schedule: Schedule, inputs: tuple[FloatArray, ...] | FloatArray) -> None:
    """Firings in even metacycles, hops in odd ones with their arrival, and what is used was sent in the one before."""
    assert schedule.buffering == "double"
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    m, fired = metacycle(schedule), unroll(graph).graph
    assert schedule.period % (2 * m) == 0
    ticks = durations(graph, schedule.machine, schedule.node)
    assert np.all(schedule.start % (2 * m) + ticks <= m)
    links = schedule.machine.links
    latencies = np.array([link.latency for link in links], np.int64)[schedule.hop_link]
    assert np.all(schedule.hop_start % (2 * m) >= m)
    assert np.all(schedule.hop_start % (2 * m) + 1 + latencies <= 2 * m)
    for parcel, hop_metacycle in zip(schedule.hop_parcel, schedule.hop_start // m, strict=True):
        tokens = schedule.parcel_token[schedule.parcel_ptr[parcel] : schedule.parcel_ptr[parcel + 1]]
        made = [int(schedule.start[t]) // (2 * m) * 2 for t in tokens if t < fired.actor_count]
        assert not made or hop_metacycle == max(made) + 1
    expected = ReferenceEngine(graph).run(inputs)
    for engine in (MachineEngine(graph, schedule), EventsEngine(graph, schedule)):
        run = engine.run(inputs)
        assert_same(run, expected)
        assert run.timing is not None
        assert run.timing.period == schedule.period


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), graphs(max_actors=40), machines())
def test_random_graphs_on_random_machines(data: st.DataObject, graph: Graph, machine: object) -> None:
    check(graph, fold(graph, machine, buffering="double"), data.draw(samples(graph, 4)))  # type: ignore[arg-type]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), circuits(registers=4, gates=20).map(to_graph) | recurrent(max_actors=25), st.booleans())
def test_graphs_with_loops_get_several_pairs_of_metacycles(data: st.DataObject, graph: Graph, made: bool) -> None:
    machine = load_machine("one-to-one" if made else "torus:2x2,latency=2", graph)
    inputs = data.draw(samples(graph, 4))
    try:
        schedule = fold(graph, machine, buffering="double")
    except GraphsimError:
        with pytest.raises(GraphsimError):  # what cannot be folded at all
            fold(graph, machine)
        return
    check(graph, schedule, inputs)


@pytest.mark.parametrize(
    ("machine", "buffering", "period"),
    [
        ("one-to-one,frame_bits=128", "double", 392),
        ("one-to-one,frame_bits=128", "single", 196),
        ("one-to-one,frame_bits=64,memory_frames=392", "double", 784),
        ("one-to-one:multicast,frame_bits=128", "single", 196),
    ],
)
def test_period_of_the_mnist_net_is_measured(machine: str, buffering: str, period: int) -> None:
    graph = mlp()
    schedule = fold(graph, load_machine(machine, graph), buffering=buffering)  # type: ignore[arg-type]
    assert verify(graph, schedule).ok
    inputs = images(graph, 6)
    ran = MachineEngine(graph, schedule).run(inputs, keep="outputs")
    assert ran.timing is not None
    assert np.diff(ran.timing.sink_ticks).tolist() == [period] * 5
    if period == 392:
        slow = EventsEngine(graph, schedule).run(inputs[:2], keep="outputs")
        assert_same(slow, ReferenceEngine(graph).run(inputs[:2], keep="outputs"))
        assert slow.timing is not None
        assert np.diff(slow.timing.sink_ticks).tolist() == [period]


def test_an_image_of_more_frames_than_the_hardware_holds_is_refused() -> None:
    """The one-to-one machine has the limits of bittide hardware: 255 frames in a memory, 1,024 rows in a calendar."""
    graph = mlp(1024, 2, 2)
    machine = load_machine("one-to-one", graph)
    assert {(link.memory_frames, link.calendar_rows) for link in machine.links} == {(255, 1024)}
    with pytest.raises(OutOfMemoryError, match=r"tx host->dense.0: .*: 256 frames are needed, it has 255: 1 too few"):
        MachineEngine(graph, fold(graph, machine))


@pytest.mark.parametrize("buffering", ["single", "double"])
def test_one_host_link_with_multicast_gets_within_2_percent_of_its_bound(buffering: str) -> None:
    graph = mlp()
    schedule = fold(graph, load_machine("one-to-one:multicast", graph), buffering=buffering)  # type: ignore[arg-type]
    bound = schedule.placement_bound
    # The image crosses the link out of the host once: 784 elements of 32 bits in frames of 128.
    assert bound.ticks == 784 * 32 // 128 * (2 if buffering == "double" else 1)
    assert bound.resource == "link host->s0"
    assert bound.ticks <= schedule.period <= 1.02 * bound.ticks


def test_computing_may_need_longer_than_communicating() -> None:
    graph = mlp(20, 16, 4)
    schedule = fold(graph, load_machine("line:2", graph), buffering="double")
    ticks = durations(graph, schedule.machine, schedule.node)
    busiest = int(np.bincount(schedule.node, weights=ticks).max())
    assert schedule.period == 2 * busiest == schedule.placement_bound.ticks
    assert f"computing needs {busiest} of one" in schedule.remark
    assert latency(graph, schedule) > latency(graph, fold(graph, load_machine("line:2", graph)))


def test_a_node_alone_still_alternates() -> None:
    graph = mlp(3, 2, 2)
    single, double = (fold(graph, load_machine("line:1"), buffering=b) for b in ("single", "double"))  # type: ignore[arg-type]
    assert double.period == 2 * single.period
    assert double.remark.endswith("communicating 0")
    assert double.bound.ticks == double.period == 2 * single.bound.ticks


def test_recurrence_takes_as_many_pairs_as_it_has_ways_to_go() -> None:
    graph = rnn(4, 2, 3)
    schedule = fold(graph, load_machine("one-to-one", graph), buffering="double")
    assert schedule.period > 2 * metacycle(schedule)
    assert "times 2 metacycles" in schedule.remark
    assert verify(graph, schedule).ok


def test_the_file_says_so(tmp_path: Path) -> None:
    graph = mlp(6, 5, 3)
    schedule = fold(graph, load_machine("one-to-one", graph), buffering="double")
    save(schedule, tmp_path / "a.fold")
    again = load(tmp_path / "a.fold", graph)
    assert again.buffering == "double"
    assert again.machine == schedule.machine
    assert again.start.tobytes() == schedule.start.tobytes()
    content = (tmp_path / "a.fold").read_bytes()
    (tmp_path / "b.fold").write_bytes(content.replace(b'"buffering": "double"', b'"buffering": "triple"'))
    with pytest.raises(ScheduleError, match="buffering must be one of single, double"):
        load(tmp_path / "b.fold", graph)


def test_it_is_an_option_of_fold_and_run(tmp_path: Path) -> None:
    runner = CliRunner()
    common = ["--machine", "one-to-one", "--buffering", "double", "--frame-bits", "64"]
    folded = runner.invoke(app, ["fold", "models/digits_mlp.h5", *common, "-o", str(tmp_path / "d.fold")])
    assert folded.exit_code == 0, folded.output
    assert "double buffering: 2 metacycles of 32 ticks" in folded.output
    verified = runner.invoke(app, ["verify", "models/digits_mlp.h5", str(tmp_path / "d.fold")])
    assert verified.exit_code == 0, verified.output
    ran = runner.invoke(
        app, ["run", "--dataset", "digits", *common, "--engine", "machine", "--samples", "5", "--no-reference"]
    )
    assert ran.exit_code == 0, ran.output
    assert "period     64 ticks per sample, measured from the outputs' spacing" in ran.output
    wrong = runner.invoke(app, ["fold", "models/digits_mlp.h5", "--buffering", "triple"])
    assert isinstance(wrong.exception, UsageError)
    assert str(wrong.exception) == "there is no buffering 'triple'; choose one of single, double"
