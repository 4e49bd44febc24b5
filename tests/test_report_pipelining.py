"""One sample in flight, one in each layer, as many as fit: judged by the verifier and by an engine that has a clock."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import recurrent

from graphsim.cli import main
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.pipeline import load_graph
from graphsim.report.pipelining import Pipelining, pipelining
from graphsim.schedule import Buffering, Schedule, fold, latency
from graphsim.schedule.verify import verify
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.samples import random_samples
from graphsim.zoo import shipped

CASES = ("line:1", "ring:4", "line:3,latency=20", "fat_tree:2,frame_bits=8", "star:3,frame_bits=16", "one-to-one")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_graph(shipped("digits"))


def folded(graph: Graph, spec: str, buffering: Buffering = "single") -> Schedule:
    return fold(graph, load_machine(spec, graph), buffering=buffering)


def at(schedule: Schedule, period: int) -> Schedule:
    """The same schedule, with a sample every so many ticks."""
    return replace(schedule, period=period)


@pytest.mark.parametrize("spec", CASES)
def test_the_verifier_accepts_all_three(graph: Graph, spec: str) -> None:
    schedule = folded(graph, spec)
    found = pipelining(graph, schedule)
    assert found.modulo == schedule.period <= found.layered <= found.unpipelined
    for period in (found.unpipelined, found.layered, found.modulo):
        assert verify(graph, at(schedule, period)).ok


@pytest.mark.parametrize("spec", CASES)
def test_one_sample_in_flight_takes_its_latency(graph: Graph, spec: str) -> None:
    schedule = folded(graph, spec)
    assert pipelining(graph, schedule).unpipelined == max(latency(graph, schedule), schedule.period)


@pytest.mark.parametrize("spec", ["ring:4", "line:3,latency=20", "fat_tree:2,frame_bits=8"])
def test_no_shorter_period_keeps_layers_apart(graph: Graph, spec: str) -> None:
    schedule = folded(graph, spec)
    found = pipelining(graph, schedule)
    assert found.exact
    least = max(found.longest.ticks, schedule.period)
    tried = np.unique(np.linspace(least, found.layered - 1, 12).astype(int)) if found.layered > least else []
    assert not any(verify(graph, at(schedule, int(period))).ok for period in tried)


def test_an_engine_measures_them(graph: Graph) -> None:
    schedule = folded(graph, "ring:4")
    found = pipelining(graph, schedule)
    samples = random_samples(graph, 6, 1)
    values = []
    for period in (found.unpipelined, found.layered, found.modulo):
        ran = MachineEngine(graph, at(schedule, period)).run(samples)
        assert ran.timing is not None
        assert (ran.timing.period, ran.timing.latency) == (period, found.latency)
        values.append(ran.values["sink"].tobytes())
    assert len(set(values)) == 1


def test_the_stage_of_a_layer_is_its_firings_and_the_ways_of_its_tokens(graph: Graph) -> None:
    """By hand, actor by actor and hop by hop."""
    schedule = folded(graph, "line:3,latency=20")
    stages = {stage.layer: stage for stage in pipelining(graph, schedule).stages}
    number = graph.number["dense"]
    first, last = int(graph.first[number]), int(graph.first[number + 1])
    begin = min(int(schedule.start[actor]) for actor in range(first, last))
    machine, end = schedule.machine, 0
    for actor in range(first, last):
        ticks = machine.ticks(int(schedule.node[actor]), graph.work(number, actor - first))
        end = max(end, int(schedule.start[actor]) + ticks)
    for hop, parcel in enumerate(schedule.hop_parcel.tolist()):
        tokens = schedule.parcel_token[schedule.parcel_ptr[parcel] : schedule.parcel_ptr[parcel + 1]]
        if not any(first <= token < last for token in tokens.tolist()):
            continue
        link = machine.links[int(schedule.hop_link[hop])]
        frames = -(-32 * len(tokens) // link.frame_bits)
        end = max(end, int(schedule.hop_start[hop]) + -(-frames // link.frames_per_tick) + link.latency)
    assert (stages["dense"].begin, stages["dense"].ticks) == (begin, end - begin)


def test_with_double_buffering_periods_are_whole_ones(graph: Graph) -> None:
    schedule = folded(graph, "ring:4", "double")
    found = pipelining(graph, schedule)
    assert schedule.period <= found.layered <= found.unpipelined
    assert verify(graph, at(schedule, found.layered)).ok
    assert found.unpipelined % schedule.period == 0
    assert found.unpipelined - schedule.period < found.latency <= found.unpipelined


def test_nodes_and_links_of_several_clocks(graph: Graph) -> None:
    schedule = folded(graph, "line:2,node.frequency=2,link.frequency=3")
    found = pipelining(graph, schedule)
    for period in (found.unpipelined, found.layered):
        assert period % 6 == 0  # ticks of which both have whole cycles
        assert verify(graph, at(schedule, period)).ok


@settings(max_examples=15, deadline=None)
@given(graph=recurrent(max_actors=25))
def test_recurrent_nets(graph: Graph) -> None:
    schedule = folded(graph, "ring:3")
    found = pipelining(graph, schedule)
    assert found.modulo <= found.layered <= max(found.unpipelined, found.modulo)
    for period in (found.unpipelined, found.layered):
        assert verify(graph, at(schedule, period)).ok


def test_run_says_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "run.json"
    arguments = ["run", "--machine", "ring:4", "--samples", "10", "--no-reference", "--json", str(document)]
    assert main([*arguments, "--report", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    said = json.loads(document.read_text())["schedule"]["pipelining"]
    assert said["modulo_scheduled"]["period_ticks"] < said["unpipelined"]["period_ticks"]
    page = (tmp_path / "out" / "report.html").read_text()
    for name, way in said.items():
        if isinstance(way, dict):
            rate = f"{way['samples_per_second_simulated']:,.0f}"
            assert name.replace("_", "-") in shown
            assert rate in shown
            assert rate in page


def test_effort_that_runs_out_is_said(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsim.report.pipelining._EFFORT", 1)
    schedule = folded(graph, "ring:4")
    found: Pipelining = pipelining(graph, schedule)
    assert not found.exact
    assert schedule.period <= found.layered <= found.unpipelined
    assert verify(graph, at(schedule, found.layered)).ok
