"""The pages of ``graphsim view`` over HTTP, and in a real browser: open, zoom, follow a token, open a point."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graphsim.cli import main
from graphsim.view import Server, open_folder
from graphsim.zoo import shipped


def _serving(folder: Path) -> Iterator[str]:
    server = Server(open_folder(folder))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.address
    server.stop()
    thread.join(30)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a run on digits that is looked at."""
    folder = tmp_path_factory.mktemp("run") / "out"
    arguments = ["run", "--samples", "200", "--machine", "torus:2x2", "--report", str(folder)]
    assert main(arguments) == 0
    yield from _serving(folder)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a sweep of three points that is looked at."""
    folder = tmp_path_factory.mktemp("sweep")
    study = folder / "study.toml"
    study.write_text(f'models = ["{shipped("digits")}"]\nmachines = ["line:{{1..3}}"]\n')
    assert main(["sweep", str(study), "--out", str(folder / "out"), "--workers", "1"]) == 0
    yield from _serving(folder / "out")


def _ask(address: str, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str]:
    """Status and body of a request whose path is sent as it is written."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or parts.netloc)
    connection.endheaders()
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_the_page_is_served_below_its_token_alone(run: str) -> None:
    token = urllib.parse.urlsplit(run).path
    assert _ask(run, token)[0] == 200
    assert _ask(run, "/")[0] == 403
    assert _ask(run, "/view.js")[0] == 403
    assert _ask(run, token[:-2] + "x/api/subject")[0] == 403
    assert json.loads(_ask(run, token + "api/subject")[1])["kind"] == "run"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:80", ""])
def test_another_host_is_refused(run: str, host: str) -> None:
    parts = urllib.parse.urlsplit(run)
    given = host or f"localhost.:{parts.port}"
    assert _ask(run, parts.path, host=given)[0] == 403
    assert _ask(run, parts.path, host=f"localhost:{parts.port}")[0] == 200


@pytest.mark.parametrize(
    "path", ["../report.json", "static/../../report.json", "%2e%2e/report.json", "..%2f..%2fetc/passwd", "//etc/passwd"]
)
def test_paths_that_leave_the_folder_are_not_found(run: str, path: str) -> None:
    assert _ask(run, urllib.parse.urlsplit(run).path + path)[0] == 404


def test_nothing_can_be_written(run: str) -> None:
    path = urllib.parse.urlsplit(run).path
    assert {_ask(run, path + "api/subject", method)[0] for method in ("POST", "PUT", "DELETE")} == {405}


def test_what_is_wrong_with_a_request_is_said(run: str) -> None:
    path = urllib.parse.urlsplit(run).path + "api/run/"
    assert _ask(run, path + "nothere/graph")[0] == 404
    status, text = _ask(run, path + "run/actor?name=nothere%5B3%5D")
    assert (status, "nothere" in json.loads(text)["error"]) == (422, True)
    assert _ask(run, path + "run/times?begin=-5&end=3")[0] == 422
    assert _ask(run, path + "run/times")[0] == 422


def _open(browser: Any, address: str) -> Any:
    """Open an address anew, and wait until the page says that it is there."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(address)
    _wait(browser, "return document.documentElement.dataset.ready == 'yes'")
    return browser


def _wait(browser: Any, condition: str, *given: Any) -> None:
    end = time.monotonic() + 120
    while not browser.execute_script(condition, *given):
        assert time.monotonic() < end, f"in vain: {condition}"
        time.sleep(0.05)


def test_every_page_is_drawn_and_says_nothing_on_the_console(browser: Any, run: str) -> None:
    for page in ("", "graph", "machine", "time", "agreement", "samples"):
        shown = _open(browser, f"{run}#/{page}")
        assert shown.find_elements("css selector", "[role=alert]") == [], page
        assert shown.get_log("browser") == [], page
        plots = shown.execute_script(
            "return [...document.querySelectorAll('.plot')].map(e => !!e.querySelector('.main-svg'))"
        )
        assert all(plots) and (plots or page == "samples"), page


def test_nothing_is_asked_of_the_network_but_the_server(browser: Any, run: str) -> None:
    browser.get_log("performance")
    _open(browser, f"{run}#/graph")
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert asked and all(url.startswith((run, "data:", "blob:", "about:")) for url in asked)


def test_one_zooms_to_a_neuron_and_clicks_it(browser: Any, run: str) -> None:
    page = _open(browser, f"{run}#/graph")
    page.execute_script(
        """const plot = document.querySelector('.plot');
        const drawn = plot.data.find(d => d.type == 'heatmap' && d.text.flat().includes('dense[17]'));
        const r = drawn.text.findIndex(line => line.includes('dense[17]')), c = drawn.text[r].indexOf('dense[17]');
        const [x, y] = [drawn.x0 + c * drawn.dx, drawn.y0 + r * drawn.dy];
        window.at = [x, y];
        const [dx, dy] = [drawn.dx, drawn.dy];
        return Plotly.relayout(plot, {'xaxis.range': [x - dx, x + dx], 'yaxis.range': [y + dy, y - dy]});"""
    )
    _wait(page, "return Number(document.querySelector('.plot').dataset.finer) > 0")
    spot = page.execute_script(
        """const plot = document.querySelector('.plot'), l = plot._fullLayout;
        const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
        return [box.left + l.xaxis.l2p(window.at[0]), box.top + l.yaxis.l2p(window.at[1])];"""
    )
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(page)
    actions.w3c_actions.pointer_action.move_to_location(round(spot[0]), round(spot[1]))
    actions.pause(0.3).click().perform()
    _wait(page, "return document.querySelector('aside h2')?.textContent == 'dense[17]'")
    assert "actor=dense%5B17%5D" in page.current_url
    assert page.execute_script("return document.querySelectorAll('aside table')[0].rows.length") == 1 + 64


def test_a_neuron_a_node_and_a_tick_have_addresses(browser: Any, run: str) -> None:
    assert _open(browser, f"{run}#/graph?actor=dense[5]").find_element("css selector", "aside h2").text == "dense[5]"
    assert _open(browser, f"{run}#/machine?node=n1_0").find_element("css selector", "aside h2").text == "n1_0"
    page = _open(browser, f"{run}#/time?begin=100&end=140")
    assert page.execute_script("return document.querySelector('.plot')._fullLayout.xaxis.range") == [100, 140]


def test_a_token_is_followed_from_source_to_sink(browser: Any, run: str) -> None:
    page = _open(browser, f"{run}#/graph?actor=dense[5]")
    page.find_element("link text", "Follow its token").click()
    _wait(page, "return document.documentElement.dataset.ready == 'yes' && location.hash.startsWith('#/time')")
    rows = [row.text.split()[0] for row in page.find_elements("css selector", "tbody tr")]
    assert rows[0].startswith("pixels") and "dense[5]" in rows and rows[-1] == "sink"
    drawn = page.execute_script("return document.querySelector('.plot').data.find(d => d.name == 'the token').x")
    assert drawn == sorted(drawn)


def test_the_keyboard_zooms_and_moves_time(browser: Any, run: str) -> None:
    page = _open(browser, f"{run}#/time?begin=100&end=200")
    plot = page.find_element("css selector", ".plot")
    page.execute_script("arguments[0].focus()", plot)
    plot.send_keys("+")
    _wait(page, "return Number(document.querySelector('.plot').dataset.finer) > 0")
    low, high = page.execute_script("return document.querySelector('.plot')._fullLayout.xaxis.range")
    assert 100 < low < high < 200
    assert "begin=120&end=180" in page.current_url


def test_dark_and_light_are_the_readers_choice(browser: Any, run: str) -> None:
    colours = []
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        page = _open(browser, f"{run}#/machine")
        colours.append(
            page.execute_script(
                "const drawn = document.querySelector('.plot')._fullLayout;"
                "return [getComputedStyle(document.body).backgroundColor, drawn.font.color]"
            )
        )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert colours[0][0] != colours[1][0] and colours[0][1] != colours[1][1]


def test_a_point_of_a_sweep_opens_its_run(browser: Any, sweep: str) -> None:
    page = _open(browser, sweep)
    plots = page.execute_script("return [...document.querySelectorAll('.plot')].map(e => e.data.map(d => d.x.length))")
    assert sum(plots[0]) == 3
    page.find_element("link text", "line:2").click()
    _wait(page, "return document.documentElement.dataset.ready == 'yes' && location.hash.startsWith('#/point/')")
    assert "on line:2" in page.title
    page.find_element("link text", "Machine").click()
    _wait(page, "return document.documentElement.dataset.ready == 'yes' && location.hash.endsWith('/machine')")
    assert [e.text for e in page.find_elements("css selector", "tbody td:first-child")][:2] != []
    assert page.get_log("browser") == []


def test_points_are_filtered_by_a_condition_in_the_address(browser: Any, sweep: str) -> None:
    page = _open(browser, f"{sweep}#/?where=nodes < 3")
    assert len(page.find_elements("css selector", "tbody tr")) <= 2
    assert sum(page.execute_script("return document.querySelector('.plot').data.map(d => d.x.length)")) == 2
