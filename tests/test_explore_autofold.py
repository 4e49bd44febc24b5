"""The cheapest machine of a family: that of folding every one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from graphsim.analysis.bounds import fewest_latency
from graphsim.analysis.costs import Costs
from graphsim.cli import main
from graphsim.errors import MachineError, UsageError
from graphsim.explore.autofold import MINIMIZE, Minimize, Search, cheapest
from graphsim.graph import Graph
from graphsim.machine import Machine, load_machine
from graphsim.machine.family import FAMILIES, expanded, family
from graphsim.pipeline import load_graph
from graphsim.report.utilisation import utilisation
from graphsim.schedule import Schedule, fold, latency
from graphsim.schedule.verify import verify
from graphsim.zoo import shipped

SPEC = "torus:{1..2}x{1..4}"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_graph(shipped("digits"))


@pytest.fixture(scope="module")
def machines() -> list[Machine]:
    return [load_machine(name) for name in [*family(SPEC), "line:3", "line:3,macs_per_tick=4", "ring:6,latency=9"]]


@pytest.fixture(scope="module")
def everything(graph: Graph, machines: list[Machine]) -> list[Schedule]:
    """Every machine, folded."""
    return [fold(graph, machine) for machine in machines]


def by_brute_force(graph: Graph, every: Sequence[Schedule], target: float, minimize: Minimize) -> str | None:
    """The name of the machine, from all schedules there are."""
    found = []
    for number, schedule in enumerate(every):
        machine = schedule.machine
        if Fraction(machine.clock_mhz) * 10**6 / schedule.period < Fraction(target):
            continue
        nodes = len(machine.compute_nodes)
        memory = int(utilisation(graph, schedule).node_bytes.max())
        value = {"nodes": nodes, "latency": latency(graph, schedule), "memory": memory}[minimize]
        found.append((value, nodes, len(machine.links), number))
    return every[min(found)[-1]].machine.name if found else None


@pytest.mark.parametrize("minimize", MINIMIZE)
@pytest.mark.parametrize("target", [1, 100_000, 250_000, 390_000, 1e6])
def test_it_is_the_one_that_folding_all_finds(
    graph: Graph, machines: list[Machine], everything: list[Schedule], target: float, minimize: Minimize
) -> None:
    found = cheapest(graph, machines, target, minimize)
    name = by_brute_force(graph, everything, target, minimize)
    assert (None if found.schedule is None else found.schedule.machine.name) == name
    assert (found.best is None) == (name is None) == bool(found.stopped_by)
    if found.best is not None and found.schedule is not None:
        assert found.best.machine == name
        assert found.best.period == found.schedule.period <= found.best.needed
        assert verify(graph, found.schedule).ok


def test_what_is_proved_to_be_impossible_is_not_folded(graph: Graph, machines: list[Machine]) -> None:
    found = cheapest(graph, machines, 1e7)
    assert {one.outcome for one in found.tried} == {"impossible"}
    assert len(found.tried) == len(machines)
    assert all(one.period is None and one.bound is not None and one.bound.ticks > one.needed for one in found.tried)


def test_nothing_that_is_dearer_is_looked_at(graph: Graph, machines: list[Machine]) -> None:
    found = cheapest(graph, machines, 1)
    assert [one.machine for one in found.tried] == ["torus:1x1"]


def test_it_says_what_stops_the_nearest(graph: Graph) -> None:
    found = cheapest(graph, [load_machine(name) for name in family("line:{1..3}")], 1e6)
    near = found.nearest
    assert near is not None
    assert near.machine == "line:3"
    assert near.bound is not None
    assert f"{near.bound.ticks:,} ticks are proved to be needed, 200 are wanted" in found.stopped_by
    assert near.bound.reason in found.stopped_by


def test_a_schedule_that_misses_says_what_binds(graph: Graph) -> None:
    machine = load_machine("line:2,frame_bits=8,latency=3")
    schedule = fold(graph, machine)
    assert schedule.period > schedule.bound.ticks  # else nothing could miss here
    found = cheapest(graph, [machine], machine.clock_mhz * 1e6 / (schedule.bound.ticks + 0.5))
    assert [one.outcome for one in found.tried] == ["misses"]
    assert f"a period of {schedule.period:,} ticks was found" in found.stopped_by


def test_a_machine_that_is_too_small_does_not_end_the_search(graph: Graph) -> None:
    found = cheapest(graph, [load_machine("line:1,memory_bytes=100"), load_machine("line:2")], 1000)
    assert [one.outcome for one in found.tried] == ["cannot be folded", "reaches"]
    assert "bytes" in found.tried[0].why


@pytest.mark.parametrize("model", ["digits", "alu8"])
@pytest.mark.parametrize("spec", ["line:1", "line:2,latency=7", "star:3"])
def test_no_latency_is_below_the_bound(model: str, spec: str) -> None:
    graph, machine = load_graph(shipped(model)), load_machine(spec)
    bound = fewest_latency(Costs(graph, machine))
    assert 1 < bound <= latency(graph, fold(graph, machine))


def test_the_latency_of_one_node_per_actor_is_the_bound() -> None:
    """A chain that nothing delays: on one node that is fast enough for all, ticks add up along the longest way."""
    from graphsim.graph import Group, OneToOne

    groups = [Group(name="source", op="source"), Group(name="x", op="input")]
    groups += [Group(name=f"g{i}", op="max", activation="tanh") for i in range(5)]
    groups += [Group(name="sink", op="collect")]
    channels = [OneToOne(src=i, dst=i + 1) for i in range(len(groups) - 1)]
    graph, machine = Graph("chain", groups, channels, {}), load_machine("line:1")
    assert fewest_latency(Costs(graph, machine)) == latency(graph, fold(graph, machine))


@pytest.mark.parametrize("target", [0, -1, float("nan"), float("inf")])
def test_a_target_is_a_number_above_0(graph: Graph, target: float) -> None:
    with pytest.raises(UsageError, match="target"):
        cheapest(graph, [load_machine("line:1")], target)


def test_families() -> None:
    assert family("ring:{3..5}") == ["ring:3", "ring:4", "ring:5"]
    assert family("torus:{1,2}x{2..6..2},latency=2")[-1] == "torus:2x6,latency=2"
    assert family("torus:2x2") == ["torus:2x2"]
    assert len(family("torus")) == 256
    assert family("hypercube,macs_per_tick=4")[0] == "hypercube:0,macs_per_tick=4"
    assert all(load_machine(expanded(text)[-1]).links for text in FAMILIES.values())


@pytest.mark.parametrize("text", ["ring:{3..", "ring:{5..3}", "ring:{a}", "torus:{1..900}x{1..900}"])
def test_a_bad_range_is_told(text: str) -> None:
    with pytest.raises(MachineError):
        family(text)


def test_the_command_writes_the_schedule_of_the_cheapest(tmp_path: Path) -> None:
    out, document = tmp_path / "a.fold", tmp_path / "a.json"
    arguments = ["fold", str(shipped("digits")), "--machine", "ring:{1..8}", "--target-samples-per-second", "250000"]
    assert main([*arguments, "-o", str(out), "--json", str(document)]) == 0
    said = json.loads(document.read_text())
    assert said["family"]["chosen"] == said["machine"]["name"] == "ring:4"
    assert said["family"]["machines"] == 8
    assert said["schedule"]["period_ticks"] <= said["family"]["tried"][-1]["needed_period_ticks"]
    assert main(["verify", str(shipped("digits")), str(out)]) == 0


def test_the_command_says_what_stops_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "a.json"
    arguments = ["fold", str(shipped("digits")), "--machine", "ring:{1..4}", "--target-samples-per-second", "1e9"]
    assert main([*arguments, "-o", str(tmp_path / "a.fold"), "--json", str(document)]) == 2
    assert "none of 4 machines" in capsys.readouterr().err
    said = json.loads(document.read_text())
    assert said["family"]["chosen"] is None
    assert "all nodes" in said["family"]["stopped_by"]
    assert not (tmp_path / "a.fold").exists()


def test_equal_searches_are_equal(graph: Graph, machines: list[Machine]) -> None:
    def once() -> Search:
        return cheapest(graph, machines, 250_000, "latency")

    one, other = once(), once()
    assert one.record() == other.record()
    assert one.schedule is not None
    assert other.schedule is not None
    assert np.array_equal(one.schedule.start, other.schedule.start)


def test_what_is_not_made_small_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fold", str(shipped("digits")), "--target-samples-per-second", "1", "--minimize", "money"]) == 2
    assert "choose one of nodes, latency, memory" in capsys.readouterr().err
