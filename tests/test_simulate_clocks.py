"""Clocks: conservation laws of elastic buffers, and closed forms of how they settle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from schedules import simple_schedule

from graphsim.cli import main
from graphsim.errors import GraphsimError, MachineError, SimulationError
from graphsim.machine import load_machine
from graphsim.schedule.verify import verify
from graphsim.simulate.clocks import Clocks, Control, run_clocks, timed_machine
from graphsim.trace import timeline
from graphsim.trace.life import life_of

TRIANGLE = load_machine("full:3")


def run(name: str, errors: list[float], control: Control, seconds: float = 0.2) -> Clocks:
    return run_clocks(load_machine(name), np.array(errors), control, seconds)


@pytest.mark.parametrize("alpha", [6.0, 8.0, 12.0])
def test_a_triangle_settles_as_in_closed_form(alpha: float) -> None:
    # Two clocks off by +alpha and -alpha; between them 1 ohm beside 2 ohms: R = 2/3.
    found = run("full:3", [alpha, -alpha, 0], Control(), 0.5)
    closed = (alpha * 200) ** 2 * (2 / 3) / (2 * 20)
    assert found.predicted == pytest.approx(closed, rel=1e-9)
    assert found.error == pytest.approx(closed, rel=0.1)


@pytest.mark.parametrize(
    ("machine", "resistance"), [("line:2", 1.0), ("line:3", 2.0), ("ring:4", 1.0), ("full:4", 0.5)]
)
def test_the_closed_form_is_resistance(machine: str, resistance: float) -> None:
    nodes = len(load_machine(machine).nodes)
    errors = np.zeros(nodes)
    far = 2 if machine == "ring:4" else nodes - 1
    errors[0], errors[far] = 5, -5
    found = run(machine, errors.tolist(), Control(kp=20, depth=1024))
    assert found.predicted == pytest.approx((5 * 200) ** 2 * resistance / 40, rel=1e-9)


def test_frequencies_meet_at_the_mean_of_the_oscillators() -> None:
    found = run("torus:4x4", np.linspace(-8, 8, 16).tolist(), Control(), 1.0)
    assert found.settled(1.0) is not None
    assert np.abs(found.parts_per_million()[-1]).max() < 0.5  # the errors' mean is 0; a frame is worth 0.1 ppm


def test_integral_control_brings_buffers_back_to_half_full() -> None:
    errors = [8.0, -8.0, 0.0]
    held = run("full:3", errors, Control(ki=200), 2.0).occupancy[-1]
    left = run("full:3", errors, Control(), 2.0).occupancy[-1]
    assert np.abs(held - 128).max() <= 2
    assert np.abs(left - 128).max() > 20


@settings(max_examples=40, deadline=None)
@given(
    errors=st.lists(st.floats(-20, 20), min_size=4, max_size=4),
    delay=st.floats(0, 5e-4),
    period=st.floats(2e-5, 3e-4),
    machine=st.sampled_from(["ring:4", "line:4", "full:4", "mesh:2x2"]),
)
def test_frames_are_neither_made_nor_lost(errors: list[float], delay: float, period: float, machine: str) -> None:
    control = Control(period=period, depth=1 << 20, delay=delay)
    hardware = load_machine(machine)
    found = run_clocks(hardware, np.array(errors), control, 0.01)
    phase = np.concatenate([np.zeros((1, 4)), np.cumsum(found.frequency * period, axis=0)])
    times = np.concatenate([[-1.0], found.time])
    for link, (ends, ticks) in enumerate(zip(hardware.links, found.latency, strict=True)):
        # The phase of the sender when it sent what arrives now, from its frequency, by another way than the engine's.
        whole = np.concatenate([[-found.uncontrolled[ends.src]], phase[:, ends.src]])
        sent = np.interp(found.time - delay, times, whole)
        exact = ticks + sent - phase[:, ends.dst]
        assert np.abs(found.occupancy[:, link] - exact).max() <= 1.01
        assert found.occupancy[0, link] == 1 << 19


def test_latencies_are_what_fills_the_cable_and_half_the_buffer() -> None:
    found = run("line:2", [0, 0], Control(delay=1e-6))  # 200 ticks of 5 ns
    assert found.latency.tolist() == [128 + 200] * 2
    assert {link.latency for link in timed_machine(load_machine("line:2"), found).links} == {327}


def test_schedules_count_with_the_lambda_of_every_link() -> None:
    """Links of different cables: the first frame of a hop is used lambda ticks after it was sent, and no sooner."""
    found = run("line:3", [1, 0, -1], Control(delay=3e-7, depth=64))
    object.__setattr__(found, "latency", found.latency + np.arange(len(found.latency)))
    machine = timed_machine(load_machine("line:3"), found)
    graph = mlp(6, 4, 3)
    schedule = simple_schedule(graph, machine)
    assert verify(graph, schedule).ok
    line = timeline(graph, schedule)
    used = set()
    for name in (f"dense[{i}]" for i in range(4)):
        for hop in life_of(line, name, 0).hops:
            used.add(hop.link)
            frames = hop.arrival - hop.start - found.latency[hop.link]
            assert frames == -(-32 // machine.links[hop.link].frame_bits) - 1
    assert len({int(found.latency[link]) for link in used}) > 1


def test_buffers_that_run_over_or_empty_are_named() -> None:
    with pytest.raises(SimulationError, match=r"ms the buffer of link n\d->n\d runs (over: \d+ frames in 16|empty)"):
        run("full:3", [50, -50, 0], Control(depth=16))


@pytest.mark.parametrize("wrong", [{"kp": float("nan")}, {"period": 0.0}, {"delay": -1.0}, {"depth": 1}])
def test_control_of_impossible_numbers_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(GraphsimError, match="control period"):
        Control(**wrong)  # type: ignore[arg-type]


def test_a_latency_below_one_tick_is_refused() -> None:
    found = run("line:2", [0, 0], Control(depth=2, delay=0, kp=0), 1e-4)
    object.__setattr__(found, "latency", found.latency - 1)
    with pytest.raises(MachineError, match="logical latency of 0"):
        timed_machine(load_machine("line:2"), found)


def test_the_command_writes_a_machine_and_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml, report, record = tmp_path / "m.toml", tmp_path / "report", tmp_path / "out.json"
    options = ["--errors", "8,-8,0", "-o", str(toml), "--report", str(report), "--json", str(record)]
    assert main(["clocks", "triangle", *options]) == 0
    assert "within 1 ppm of each other after" in capsys.readouterr().out
    listed = json.loads(record.read_text())
    timed = load_machine(str(toml))
    assert [link.latency + 1 for link in timed.links] == [row["lambda_ticks"] for row in listed["links"]]
    assert json.loads((report / "report.json").read_text()) == listed
    assert "plot-occupancy" in (report / "report.html").read_text()


@pytest.mark.parametrize("errors", ["1,2", "a,b,c", "nan,0,0", "1e9,0,0"])
def test_errors_that_are_none_are_refused(errors: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clocks", "triangle", "--errors", errors]) == 2
    assert "3 numbers" in capsys.readouterr().err
