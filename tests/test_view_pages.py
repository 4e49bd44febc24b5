"""What the pages of ``graphsim view`` are made of, against the graph and the schedule themselves."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from graphsim import pipeline
from graphsim.errors import GraphError, UsageError
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.schedule import durations, placement_of
from graphsim.view import pages
from graphsim.view.layout import Block, blocks, positions
from graphsim.view.subject import Seen, open_folder
from graphsim.zoo import shipped


@pytest.fixture(scope="module")
def seen() -> Seen:
    graph = pipeline.load_graph(shipped("digits"))
    schedule = fold(graph, load_machine("torus:2x2"))
    return Seen("digits", {}, {"figures": {}, "tiles": [], "wrong": []}, graph, schedule)


def _overlap(a: Block, b: Block) -> bool:
    apart_x = a.x + a.cell * a.columns <= b.x or b.x + b.cell * b.columns <= a.x
    apart_y = a.y + a.cell * a.rows <= b.y or b.y + b.cell * b.rows <= a.y
    return not (apart_x or apart_y)


@pytest.mark.parametrize("model", ["digits", "mnist"])
def test_blocks_of_groups_do_not_overlap_and_hold_every_actor(model: str) -> None:
    graph = pipeline.load_graph(shipped(model))
    drawn = blocks(graph)
    assert not any(_overlap(a, b) for a, b in combinations(drawn, 2))
    assert all(block.rows * block.columns >= group.size for block, group in zip(drawn, graph.groups, strict=True))


def test_a_tile_has_the_node_of_every_actor(seen: Seen) -> None:
    assert seen.schedule is not None
    number = seen.graph.number["pixels"]
    shown = pages.tile(seen.graph, seen.schedule, number, "node", (0, 10**9), (0, 10**9))
    first = int(seen.graph.first[number])
    placed = placement_of(seen.graph, seen.schedule)[first : first + 64]
    assert (shown["step"], shown["values"]) == (1, placed.reshape(8, 8).tolist())


def test_a_tile_of_many_cells_is_drawn_coarser(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "CELLS", 4)
    shown = pages.tile(seen.graph, seen.schedule, seen.graph.number["pixels"], "tick", (0, 8), (2, 8))
    assert (shown["row"], shown["column"], shown["step"]) == (0, 2, 2)
    assert np.shape(shown["values"]) == (4, 3)


def test_an_actor_is_shown_with_its_weights_and_its_firing(seen: Seen) -> None:
    assert seen.schedule is not None
    actor = seen.graph.actor("dense[3]")
    shown = pages.actor_page(seen.graph, seen.schedule, "dense[3]")
    assert [e["weight"] for e in shown["inputs"]] == [e.weight for e in actor.inputs]
    assert (shown["input_count"], shown["consumer_count"]) == (64, 10)
    assert shown["firing"]["start_tick"] == int(seen.schedule.start[actor.id])


def test_the_bars_of_a_window_cover_exactly_the_busy_ticks(seen: Seen) -> None:
    """Tick by tick over three periods, against starts and durations of the schedule."""
    assert seen.schedule is not None
    s, begin, end = seen.schedule, 37, 37 + 3 * seen.schedule.period
    shown = pages.window(seen, begin, end)
    for number, node in enumerate(s.machine.nodes):
        drawn = np.zeros(end, np.int64)
        for bar in shown["bars"]:
            if bar["row"] == node.name:
                for first, last in zip(bar["from"], bar["until"], strict=True):
                    drawn[first:last] += 1
        truly = np.zeros(end + 10 * s.period, np.int64)
        length = durations(seen.graph, s.machine, s.node)
        for actor in np.flatnonzero(s.node == number).tolist():
            for n in range(5):
                first = int(s.start[actor]) + n * s.period
                truly[first : first + int(length[actor])] += 1
        assert drawn[begin:end].tolist() == truly[begin:end].tolist()


def test_a_token_is_followed_from_an_input_to_the_sink(seen: Seen) -> None:
    found = pages.follow(seen, "dense[3]", 2)
    steps = found["steps"]
    names = [step["actor"].split("[")[0] for step in steps]
    assert (names[0], names[-1]) == ("pixels", "sink")
    assert [step["actor"] for step in steps if step["followed"]] == ["dense[3]"]
    for before, after in pairwise(steps):
        assert after["actor"] in [reader["actor"] for reader in before["readers"]]
        there = before["way"][-1]["there_from"] if before["way"] else before["fires"]["until"]
        assert there <= after["fires"]["from"]
        if before["node"] == after["node"]:
            assert before["way"] == []
        else:
            assert before["way"][-1]["link"].endswith(after["node"])


def test_the_way_of_a_followed_token_is_among_the_rows(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROWS", 1)
    rows = [row["name"] for row in pages.window(seen, 0, 10, ("dense[3]", 0))["rows"]]
    steps = pages.follow(seen, "dense[3]", 0)["steps"]
    assert {step["node"] for step in steps} | {hop["link"] for step in steps for hop in step["way"]} <= set(rows)


def test_what_is_not_there_is_said(seen: Seen) -> None:
    with pytest.raises(GraphError, match="nothere"):
        pages.actor_page(seen.graph, seen.schedule, "nothere[3]")
    with pytest.raises(UsageError, match="no node 'n9'"):
        assert seen.schedule is not None
        pages.node_page(seen.graph, seen.schedule, "n9")
    with pytest.raises(UsageError, match="later end"):
        pages.window(seen, 10, 10)


@pytest.mark.parametrize("machine", ["line:5", "ring:6", "mesh:3x4", "torus:2x3x2", "star:7", "fat_tree:2", "full:90"])
def test_every_node_is_drawn_at_a_place_of_its_own(machine: str) -> None:
    where = positions(load_machine(machine))
    assert len(np.unique(np.round(where, 3), axis=0)) == len(where)
    assert np.isfinite(where).all()


def test_a_folder_that_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither"):
        open_folder(tmp_path)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UsageError, match=r"pictures\.json: cannot be read"):
        open_folder(tmp_path)
    (tmp_path / "pictures.json").write_text("[1, 2")
    with pytest.raises(UsageError, match=r"pictures\.json: is not what graphsim writes"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"figures": 1, "tiles": [], "wrong": []}',
        '{"figures": {}, "tiles": null, "wrong": []}',
        '{"figures": {}, "tiles": [], "wrong": [1]}',
    ],
)
def test_pictures_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "pictures.json").write_text(text)
    with pytest.raises(UsageError, match="are not what graphsim writes"):
        open_folder(tmp_path)


def test_what_is_no_file_is_not_read_without_end(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "pictures.json").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="is no file"):
        open_folder(tmp_path)
