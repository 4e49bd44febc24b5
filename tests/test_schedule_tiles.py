"""Tiles: the same values, on one node, back to back, sent together; checked against the schedule's own arrays."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import mlp, rnn

import graphsim as gs
from graphsim.cli import main
from graphsim.errors import PlacementError
from graphsim.files import bounded_memory
from graphsim.graph import Graph
from graphsim.graph.ops import SINKS
from graphsim.machine import load_machine
from graphsim.passes import unroll
from graphsim.schedule import Schedule, fold, latency
from graphsim.schedule.schedule import durations
from graphsim.schedule.store import load, save
from graphsim.simulate.samples import random_samples
from graphsim.zoo import shipped

NETS = {"mlp": mlp(12, 10, 5), "rnn": rnn(sequences=True)}


def tiles_of(graph: Graph, size: int) -> list[list[int]]:
    """The firings of each tile, listed one by one."""
    fired, found = unroll(graph).graph, []
    for number, group in enumerate(fired.groups):
        if group.op not in ("source", "input", *SINKS):
            ids = list(range(int(fired.first[number]), int(fired.first[number + 1])))
            found += [ids[i : i + size] for i in range(0, len(ids), size)]
    return found


def is_tiled(graph: Graph, schedule: Schedule, size: int) -> bool:
    ends = schedule.start + durations(graph, schedule.machine, schedule.node)
    tile_of = {actor: number for number, tile in enumerate(tiles_of(graph, size)) for actor in tile}
    for tile in tiles_of(graph, size):
        if len({int(schedule.node[a]) for a in tile}) > 1:
            return False
        if any(schedule.start[b] != ends[a] for a, b in itertools.pairwise(tile)):
            return False
    actors = len(schedule.node)
    for p in range(len(schedule.parcel_node)):
        tokens = schedule.parcel_token[schedule.parcel_ptr[p] : schedule.parcel_ptr[p + 1]].tolist()
        own = {tile_of.get(t) for t in tokens if t < actors}
        if len(own) > 1:
            return False
        sent = schedule.hop_start[schedule.hop_parcel == p]
        for tile in own - {None}:
            if sent.min() < max(ends[a] for a in tiles_of(graph, size)[tile]):  # type: ignore[index]
                return False
    return True


@pytest.mark.parametrize("buffering", ["single", "double"])
@pytest.mark.parametrize("spec", ["ring:3", "star:4", "line:2,link.frequency=3,node.frequency=2"])
@pytest.mark.parametrize("net", NETS)
def test_tiles_are_fired_and_sent_as_one_and_values_stay(net: str, spec: str, buffering: str) -> None:
    graph = NETS[net]
    (samples,) = random_samples(graph, 4, 1)
    expected = gs.run(graph, None, samples, engine="reference").values
    made = fold(graph, load_machine(spec), buffering=buffering, tile=3)  # type: ignore[arg-type]
    assert gs.verify(graph, made).ok
    assert made.tile == 3
    assert is_tiled(graph, made, 3)
    assert not is_tiled(graph, fold(graph, load_machine(spec), buffering=buffering), 3)  # type: ignore[arg-type]
    ran = gs.run(graph, made, samples)
    assert {name: values.tobytes() for name, values in ran.values.items()} == {
        name: values.tobytes() for name, values in expected.items()
    }
    assert ran.timing is not None
    assert (ran.timing.period, ran.timing.latency) == (made.period, latency(graph, made))


@pytest.mark.parametrize("buffering", ["single", "double"])
def test_the_bound_counts_tiles_and_not_their_neurons(buffering: str) -> None:
    graph, machine = mlp(12, 10, 5), load_machine("ring:3")
    for size, what in (
        (5, "of the 4 largest tiles some 2 must share"),
        (10, "10 firings from dense[0] on are one tile"),
    ):
        made = fold(graph, machine, buffering=buffering, tile=size)  # type: ignore[arg-type]
        ticks = durations(graph, machine, made.node)
        tiles = sorted((int(ticks[tile].sum()) for tile in tiles_of(graph, size)), reverse=True)
        assert made.bound.ticks == max(tiles[0], tiles[2] + tiles[3]) * (2 if buffering == "double" else 1)
        assert what in made.bound.reason
        assert made.bound.ticks <= made.period <= 1.1 * made.bound.ticks


def test_coarser_tiles_take_longer_and_send_less() -> None:
    graph = gs.lower(shipped("digits"))
    made = [fold(graph, load_machine("torus:3x3"), tile=size, strategy="contiguous") for size in (1, 4, 16)]
    assert made[0].period < made[1].period < made[2].period
    frames = [len(one.parcel_token) + len(one.parcel_node) for one in made]
    assert frames[0] > frames[1] > frames[2]


@pytest.mark.parametrize("wrong", ["apart", "early", "late", "mixed"])
def test_the_verifier_sees_tiles_that_are_torn(wrong: str) -> None:
    graph = NETS["mlp"]
    good = fold(graph, load_machine("ring:3"), tile=5)
    assert gs.verify(graph, good).ok
    a = tiles_of(graph, 5)[0][2]
    if wrong == "apart":
        node = good.node.copy()
        node[a] = (node[a] + 1) % 3
        bad = replace(good, node=node)
    elif wrong == "late":
        start = good.start.copy()
        start[a:] += good.period
        bad = replace(good, start=start)
    elif wrong == "early":
        hop_start = good.hop_start.copy()
        tiled = np.isin(good.hop_parcel, np.flatnonzero(good.parcel_token[good.parcel_ptr[:-1]] < len(good.node)))
        hop_start[tiled] = 0
        bad = replace(good, hop_start=hop_start)
    else:
        bad = replace(good, tile=3)
    found = gs.verify(graph, bad)
    assert not found.ok
    assert "tile" in {one.kind for one in found.violations}


def test_a_schedule_keeps_its_tiles_in_its_file(tmp_path: Path) -> None:
    graph = NETS["mlp"]
    made = fold(graph, load_machine("ring:3"), tile=5)
    save(made, tmp_path / "x.fold")
    assert load(tmp_path / "x.fold", graph).tile == 5
    assert b'"tile"' not in _header(tmp_path, fold(graph, load_machine("ring:3")))


def _header(folder: Path, schedule: Schedule) -> bytes:
    save(schedule, folder / "y.fold")
    return (folder / "y.fold").read_bytes()


@pytest.mark.parametrize(
    ("how", "said"), [({"strategy": "one-to-one"}, "one-to-one places"), ({"tile": 0}, "--tile 0")]
)
def test_what_cannot_be_tiled_is_refused(how: dict[str, object], said: str) -> None:
    with pytest.raises(PlacementError, match=said):
        fold(NETS["mlp"], load_machine("ring:3"), **{"tile": 2, **how})  # type: ignore[arg-type]


def test_a_tile_larger_than_any_layer_takes_no_more_than_the_layer() -> None:
    with bounded_memory(1 << 30):
        made, whole = (fold(NETS["mlp"], load_machine("ring:3"), tile=size) for size in (2**31 - 1, 12))
    assert made.tile == 2**31 - 1
    assert (made.period, made.start.tolist()) == (whole.period, whole.start.tolist())


def test_a_placement_that_tears_a_tile_is_refused() -> None:
    graph = NETS["mlp"]
    node = np.zeros(graph.actor_count, np.int32)
    _a, b = tiles_of(graph, 2)[0]
    node[b] = 1
    with pytest.raises(PlacementError, match=r"are in one tile and placed on two nodes"):
        fold(graph, load_machine("ring:3"), placement=node, tile=2)
    assert gs.verify(graph, fold(graph, load_machine("ring:3"), placement=node)).ok


def test_gates_are_no_layers() -> None:
    with pytest.raises(PlacementError, match="gates feed each other"):
        fold(gs.lower("models/life.blif"), load_machine("ring:3"), tile=2)


def test_run_shows_both_grains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["run", "--samples", "20", "--machine", "ring:3", "--no-reference", "--tile", "8"]
    assert main([*arguments, "--report", str(out)]) == 0
    said = capsys.readouterr().out
    assert "tiles of 8" in said
    titles = next(line for line in said.splitlines() if line.lstrip(" │┃|").startswith("granularity"))
    assert "period" in titles and "actors" not in titles and "edges" not in titles  # tiles change no graph
    record = json.loads((out / "report.json").read_text())
    grains = record["granularity"]
    assert list(grains) == ["neurons", "tiles of 8"]
    assert grains["tiles of 8"]["period_ticks"] == record["schedule"]["period_ticks"]
    assert grains["neurons"]["period_ticks"] < grains["tiles of 8"]["period_ticks"]
    page = (out / "report.html").read_text()
    assert "tiles of 8" in page and "<th>granularity</th><th>period</th>" in page
