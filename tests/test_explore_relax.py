"""What relaxing a machine buys: beside folds of machines that are changed by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from graphsim.analysis.bounds import lower_bound
from graphsim.analysis.costs import Costs
from graphsim.cli import main
from graphsim.explore.relax import full_links, relax
from graphsim.graph import Graph
from graphsim.machine import Machine, load_machine
from graphsim.pipeline import load_graph
from graphsim.report.binding import bindings
from graphsim.report.utilisation import utilisation
from graphsim.schedule import fold
from graphsim.zoo import shipped

NARROW = "line:3,frame_bits=2"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return load_graph(shipped("digits"))


def by_words(graph: Graph, machine: Machine) -> dict[str, tuple[int, int, str]]:
    found = relax(graph, fold(graph, machine))
    return {one.what: (one.before, one.after, one.how) for one in found}


def test_changes_of_settings_are_those_of_the_machine_so_named(graph: Graph) -> None:
    found = by_words(graph, load_machine(f"{NARROW},latency=4"))
    before = fold(graph, load_machine(f"{NARROW},latency=4")).period
    wide = fold(graph, load_machine("line:3,frame_bits=4,latency=4")).period
    fast = fold(graph, load_machine(f"{NARROW},latency=4,macs_per_tick=2")).period
    near = fold(graph, load_machine(f"{NARROW},latency=2")).period
    assert wide < before  # else it is no good example
    assert found["frames twice as wide"] == (before, wide, "folded")
    assert found["twice the MACs per tick"][1] == min(before, fast)
    assert found["half the latency of all links"][1] == min(before, near)


def test_one_more_link_is_a_link_that_sends_twice_as_much(graph: Graph) -> None:
    machine = load_machine(NARROW)
    schedule = fold(graph, machine)
    full = full_links(graph, schedule)
    binding = [one.resource for one in bindings(schedule, utilisation(graph, schedule)) if one.kind == "link"]
    assert {f"link {machine.link_name(i)}" for i in full} == set(binding) != set()
    links = list(machine.links)
    for i in full:
        entries = 2 * links[i].calendar_entries
        links[i] = replace(links[i], frames_per_tick=2 * links[i].frames_per_tick, calendar_entries=entries)
    other = fold(graph, replace(machine, links=tuple(links), topology="")).period
    (what,) = [one for one in relax(graph, schedule) if "more link" in one.what]
    assert what.what.startswith(f"{len(full)} more link")
    assert (what.before, what.after) == (schedule.period, min(schedule.period, other))


def test_what_is_proved_is_not_folded(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """One firing takes the whole period: links cannot help."""
    machine = load_machine("full:70")
    schedule = fold(graph, machine)
    assert schedule.period == lower_bound(Costs(graph, machine)).ticks == 65
    folded: list[Machine] = []

    def watched(graph: Graph, machine: Machine, **options: object) -> object:
        folded.append(machine)
        return fold(graph, machine)

    monkeypatch.setattr("graphsim.explore.relax.fold", watched)
    found = {one.what: one for one in relax(graph, schedule)}
    assert found["frames twice as wide"].how == "proved"
    assert found["frames twice as wide"].gain == 0
    assert [machine.nodes[0].macs_per_tick for machine in folded] == [2]
    assert found["twice the MACs per tick"].gain > 0.4


def test_the_greatest_gain_is_first(graph: Graph) -> None:
    found = relax(graph, fold(graph, load_machine("ring:4,latency=3")))
    assert [one.after for one in found] == sorted(one.after for one in found)
    assert "twice the MACs per tick: -" in str(found[0])


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    study = tmp_path / "study.toml"
    shutil.copy(shipped("digits"), tmp_path / "model.h5")
    study.write_text(f'models = ["model.h5"]\nmachines = ["{NARROW}"]\n', encoding="utf-8")
    assert main(["sweep", str(study), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    return tmp_path / "out"


def test_the_command_says_what_relaxing_buys_and_keeps_it(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = swept / "front.json"
    arguments = ["pareto", str(swept), "--relax", "--json", str(document), "--report", str(swept / "page")]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    said = json.loads(document.read_text())
    (bought,) = said["relaxed"].values()
    assert bought[0]["gain"] > 0
    assert f"-{bought[0]['gain']:.0%} period" in shown
    assert f"-{bought[0]['gain']:.0%} period" in (swept / "page" / "pareto.html").read_text()
    (kept,) = (swept / "relaxed").glob("*.json")
    kept.write_text(kept.read_text().replace("frames twice as wide", "kept before"))
    (swept.parent / "model.h5").unlink()  # what is kept needs no model
    assert main(["pareto", str(swept), "--relax"]) == 0
    assert "kept before" in capsys.readouterr().out


def test_without_its_model_nothing_is_relaxed(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = swept.parent / "model.h5"
    model.write_bytes(model.read_bytes() + b" ")
    assert main(["pareto", str(swept), "--relax"]) == 2
    assert "has changed" in capsys.readouterr().err
    model.unlink()
    assert main(["pareto", str(swept), "--relax"]) == 2
    assert "the model model.h5 is not where it was" in capsys.readouterr().err
