"""The page in a real browser: it renders, says nothing on the console, and asks the network for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import drawn

from graphsim import pipeline
from graphsim.datasets import load
from graphsim.machine import load_machine
from graphsim.report.html import write_report
from graphsim.report.plots import merged
from graphsim.report.record import run_record
from graphsim.zoo import shipped


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on fifty digits, compared with TensorFlow, some of them given a wrong label."""
    folder = tmp_path_factory.mktemp("report")
    dataset = load("digits", limit=50)
    dataset.labels.flags.writeable = True
    dataset.labels[:3] = (dataset.labels[:3] + 1) % 10
    result = pipeline.run(
        shipped("digits"), dataset, load_machine("torus:2x2"), engine="machine", command="graphsim run </script> & co"
    )
    return write_report(folder, result, run_record(result))


@pytest.fixture(scope="module")
def page(browser: Any, report: Path) -> Any:
    browser.get(report.as_uri())
    return browser


def test_it_renders_every_plot(page: Any) -> None:
    assert page.execute_script("return document.documentElement.dataset.ready") == "yes"
    plots = {
        "plot-graph",
        "plot-loads",
        "plot-nodes",
        "plot-links",
        "plot-pipelining",
        "plot-agreement",
        "plot-ulps",
        "plot-confusion",
    }
    assert drawn(page, plots) == plots


def test_the_console_is_silent_and_the_network_unused(page: Any) -> None:
    assert page.get_log("browser") == []
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in page.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert any(url.startswith("file:") for url in asked)


def test_wrong_digits_are_drawn(page: Any) -> None:
    drawn = page.execute_script(
        """return [...document.querySelectorAll('canvas')].map(c =>
             [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((v, i) => i % 4 == 0))"""
    )
    first = load("digits", limit=1).images[0]
    assert len(drawn) >= 3
    assert drawn[0] == np.rint(first * 255).astype(int).ravel().tolist()


def test_text_from_outside_stays_text(page: Any) -> None:
    assert page.find_element("css selector", "#reproduce pre").text == "graphsim run </script> & co"


def test_the_same_record_is_beside_it(report: Path) -> None:
    record = json.loads((report.parent / "report.json").read_text())
    assert record["schema_version"] == 1
    assert record["simulation"]["samples"] == 50


def test_no_half_page_is_left_in_the_folder(report: Path) -> None:
    names = ["graph.gsim", "pictures.json", "report.html", "report.json", "schedule.fold"]
    assert sorted(p.name for p in report.parent.iterdir()) == names


def test_intervals_that_touch_are_one_bar() -> None:
    first, last = merged(np.array([5, 0, 9, 3]), np.array([7, 3, 10, 5]))
    assert list(zip(first.tolist(), last.tolist(), strict=True)) == [(0, 7), (9, 10)]
