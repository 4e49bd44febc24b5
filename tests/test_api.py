"""The Python interface: its examples, and what it shows in a notebook."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest

import graphsim as gs
from graphsim import api
from graphsim.errors import GraphError, UsageError
from graphsim.report import notebook

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_examples_of_every_function_are_true() -> None:
    failed, tried = doctest.testmod(api, extraglobs={"gs": gs}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert (failed, tried > 12) == (0, True)


def test_everything_is_at_hand_and_nothing_is_loaded_early() -> None:
    assert {name for name in gs.__all__ if name != "__version__"} == set(api.__all__)
    assert set(api.__all__) <= set(dir(gs))
    code = "import sys, graphsim; sys.exit('numpy' in sys.modules or 'graphsim.api' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gs.nothing


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    graph = gs.lower("models/digits_mlp.h5")
    schedule = gs.fold(graph, "line:2")
    gs.save(graph, tmp_path / "g.gsim")
    gs.save(schedule, tmp_path / "g.fold")
    again = gs.load(tmp_path / "g.gsim")
    assert again.digest == graph.digest
    assert np.array_equal(gs.load(tmp_path / "g.fold", again).start, schedule.start)
    with pytest.raises(UsageError, match=r"load\(path, graph\)"):
        gs.load(tmp_path / "g.fold")


def test_circuits_are_simplified_compared_and_run(tmp_path: Path) -> None:
    twice = ".names a b x\n11 1\n.names a b z\n11 1\n.names x z y\n11 1\n"
    (tmp_path / "and.blif").write_text(f".model and\n.inputs a b\n.outputs y\n{twice}.end\n", encoding="utf-8")
    plain = gs.lower(tmp_path / "and.blif")
    smaller = gs.lower(tmp_path / "and.blif", passes=["default"])
    assert gs.equal(plain, smaller).verdict == "equal"
    assert smaller.actor_count == plain.actor_count - 2
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    for graph in (plain, smaller):
        assert gs.run(graph, samples=rows).values["output"][:, 0].tolist() == [0, 0, 0, 1]


def test_a_machine_is_made_for_a_graph() -> None:
    graph = gs.lower("models/digits_mlp.h5")
    made = gs.load_machine("one-to-one", graph)
    single, double = (gs.fold(graph, made, buffering=kind) for kind in ("single", "double"))  # type: ignore[arg-type]
    assert single.period < double.period


def test_samples_are_needed() -> None:
    with pytest.raises(UsageError, match="give it samples"):
        gs.run(gs.lower("models/digits_mlp.h5"))
    with pytest.raises(GraphError, match="no group"):
        gs.life_of(gs.lower("models/digits_mlp.h5"), gs.fold(gs.lower("models/digits_mlp.h5"), "line:2"), "nobody[3]")


def test_things_show_themselves() -> None:
    graph = gs.lower("models/digits_mlp.h5")
    schedule = gs.fold(graph, "line:2")
    run = gs.run(graph, schedule, gs.dataset("digits", 5).inputs)
    assert repr(schedule).startswith(f"<Schedule on {schedule.machine.name}: period {schedule.period:,} ticks, ")
    assert repr(run).startswith(f"<Run of machine: {run.samples:,} samples, ")
    assert max(map(len, map(repr, (graph, schedule, run)))) < 200
    assert "130 actors" in notebook.graph_html(graph)
    assert f"a period of {schedule.period:,} ticks" in notebook.schedule_html(schedule)
    assert f"measured period {schedule.period:,} ticks" in notebook.run_html(run)
    object.__setattr__(graph, "name", "<script>")
    assert "<script>" not in notebook.graph_html(graph)


def test_a_notebook_runs_and_shows_them() -> None:
    book = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells), "the notebook is kept without outputs"
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = [output.data for cell in book.cells for output in cell.get("outputs", ()) if "data" in output]
    tables = [data["text/html"] for data in shown if "text/html" in data]
    assert any("actors" in table for table in tables)
    assert any("a period of" in table for table in tables)
    assert any("outside their bounds" in table for table in tables)
