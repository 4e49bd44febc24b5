"""Sweeps on a scheduler and workers that are processes of their own: every result once, whoever dies when."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphsim.cli import main
from graphsim.datasets import load
from graphsim.explore.compute import compute
from graphsim.explore.points import Point, points_of
from graphsim.explore.rows import known_keys, read_rows
from graphsim.explore.study import read_study, study_from_toml
from graphsim.explore.sweep import Tally, cluster, sweep, tally
from graphsim.zoo import shipped

ROOT = Path(__file__).resolve().parents[1]
STUDY = f"""
models = ["{shipped("digits")}"]
machines = ["line:{{1..3}}"]
seeds = [0, 1, 2, 3]
"""


class Cluster:
    """A scheduler and workers, started as ``dask scheduler`` and ``dask worker`` start them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self.log = (folder / "log").open("wb")
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")
        while not self.file.exists() or not self.file.read_text().strip():
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address: str = json.loads(self.file.read_text())["address"]
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_worker(self) -> None:
        self.workers.append(self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"))

    def kill_worker(self) -> None:
        self.workers[0].kill()
        self.workers.pop(0).wait()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self.log.close()

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(self.file)]
        return subprocess.Popen(
            [*command, *arguments], cwd=self.file.parent, env=environment(), stdout=self.log, stderr=self.log
        )


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.add_worker()
        made.add_worker()
        with cluster(made.address, None) as client:
            client.wait_for_workers(2)
        yield made
    finally:
        made.close()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


def in_folder(folder: Path) -> dict[str, bytes]:
    """Every row, as it is on the disk."""
    return {file.name: file.read_bytes() for file in (folder / "results").glob("*.parquet")}


def point(text: str = "", **changes: Any) -> Point:
    made = points_of(study_from_toml(f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\n{text}'))[0]
    return replace(made, **changes)


def test_a_row_says_what_was_computed_and_what_came_out() -> None:
    made = point('datasets = ["digits"]\nsamples = 20\nengine = "machine"\nlink_latency = [3]\nseeds = [5]')
    row = compute(made).row
    assert row is not None
    assert {**row, **made.configuration()} == row
    assert (row["status"], row["nodes"], row["link_latency"], row["seed"]) == ("ok", 2, 3, 5)
    assert row["bound"] <= row["period"] <= row["latency"] * 2
    assert row["binding_kind"] == "compute"
    assert row["accuracy"] == 1.0
    assert 0 < row["link_load"] <= 1
    assert all(row[f"seconds_{stage}"] >= 0 for stage in ("lower", "fold", "verify", "simulate"))


def test_a_row_is_what_the_command_line_says(tmp_path: Path) -> None:
    made = point("link_latency = [3]\nmacs_per_tick = [4]")
    row = compute(made).row
    assert row is not None
    file = tmp_path / "fold.json"
    arguments = ["fold", str(shipped("digits")), "-o", str(tmp_path / "x.fold"), "--json", str(file)]
    assert main([*arguments, "--machine", made.machine]) == 0
    schedule = json.loads(file.read_text())["schedule"]
    pairs = {"period": "period_ticks", "bound": "lower_bound_ticks", "latency": "latency_ticks"}
    more = {"memory": "peak_memory_bytes", "nodes_used": "nodes_used", "strategy": "strategy"}
    assert {key: row[key] for key in (*pairs, *more)} == {key: schedule[name] for key, name in (pairs | more).items()}
    assert row["link_load"] == schedule["busiest_link"]["utilisation"]


def test_neurons_are_compared_where_the_study_asks_for_it() -> None:
    row = compute(point('datasets = ["digits"]\nsamples = 5\ncompare = true')).row
    assert row is not None
    assert (row["status"], row["outside_bound"]) == ("ok", 0)


@pytest.mark.parametrize(
    ("text", "stage", "reason"),
    [
        ("memory_bytes = [100]", "fold", "memory"),
        ('datasets = ["alu"]', "simulate", "takes samples of shape"),
    ],
)
def test_a_point_that_fails_is_a_row_with_its_reason(text: str, stage: str, reason: str) -> None:
    row = compute(point(text)).row
    assert row is not None
    assert (row["status"], row["stage"]) == ("failed", stage)
    assert reason in row["reason"]


def test_a_file_that_holds_no_samples_is_a_row_with_the_reason(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", pictures=np.zeros((3, 64)))
    row = compute(point(f'datasets = ["{tmp_path / "own.npz"}"]')).row
    assert row is not None
    assert (row["status"], row["stage"]) == ("failed", "simulate")
    assert "has an array 'pictures'" in row["reason"]


def test_what_lies_in_the_computer_is_no_row(tmp_path: Path) -> None:
    made = point()
    assert compute(replace(made, version="0.0.1")).row is None
    assert compute(replace(made, path=str(tmp_path / "gone.h5"))).row is None
    (tmp_path / "other.h5").write_bytes(b"other")
    changed = compute(replace(made, path=str(tmp_path / "other.h5")))
    assert changed.row is None
    assert "has changed since the sweep began" in changed.trouble


def test_a_study_is_computed_once(workers: Cluster, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = study.parent / "out"
    arguments = ["sweep", str(study), "--out", str(out), "--scheduler", workers.address]
    assert main([*arguments, "--status"]) == 0
    assert "12 points: 0 done, 0 of them failed, 12 remaining" in capsys.readouterr().out
    assert not out.exists()
    assert main(arguments) == 0
    assert "12 points: 12 done, 0 of them failed, 0 remaining" in capsys.readouterr().out
    first = in_folder(out)
    assert set(first) == {f"{p.key}.parquet" for p in points_of(read_study(study))}
    study.write_text(STUDY.replace("{1..3}", "{1..4}"))
    assert main(arguments) == 0
    assert "16 points: 16 done (12 were there before)" in capsys.readouterr().out
    assert first.items() <= in_folder(out).items()
    assert main(["pareto", str(out)]) == 0


def test_failing_points_do_not_end_a_study(workers: Cluster, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study.parent / "broken.h5").write_bytes(b"this is no model")
    study.write_text(
        f'models = ["broken.h5", "{shipped("digits")}"]\nmachines = ["line:2"]\nmemory_bytes = [10, 999999]\n'
    )
    out = study.parent / "out"
    assert main(["sweep", str(study), "--out", str(out), "--scheduler", workers.address]) == 0
    said = capsys.readouterr().out
    assert "4 points: 4 done, 3 of them failed" in said
    assert f"2 failed, lower: {study.parent / 'broken.h5'}" in said
    assert "1 failed, fold: " in said
    rows = read_rows(out, [p.key for p in points_of(read_study(study))])
    assert [(row["status"], row["stage"]) for row in rows] == [
        ("failed", "lower"),
        ("failed", "lower"),
        ("failed", "fold"),
        ("ok", None),
    ]
    assert all(bool(row["reason"]) == (row["status"] == "failed") for row in rows)


def test_a_worker_that_is_killed_loses_nothing(workers: Cluster, study: Path) -> None:
    points, out = points_of(read_study(study)), study.parent / "out"
    done: list[int] = []

    def told(now: Tally) -> None:
        done.append(now.done)
        if len(done) == 3:
            workers.kill_worker()

    try:
        with cluster(workers.address, None) as client:
            state = sweep(points, out, client, told)
    finally:
        workers.add_worker()
    assert done == list(range(1, 13))
    assert (state.remaining, state.troubles) == (0, [])
    assert known_keys(out) == {p.key for p in points}
    assert [row["status"] for row in read_rows(out)] == ["ok"] * 12


def killed_and_resumed(address: str, study: Path, out: Path, wait: Callable[[], None]) -> None:
    """Kill a sweep at some moment; see that what is there is whole, and that going on adds what is missing to it."""
    command = [sys.executable, "-m", "graphsim", "sweep", str(study), "--out", str(out), "--scheduler", address]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait()
    process.send_signal(signal.SIGKILL)
    process.wait()
    points = points_of(read_study(study))
    before = in_folder(out)
    state = tally(points, out)
    assert state.done == len(before)
    assert state.failed == 0
    with cluster(address, None) as client:
        after = sweep(points, out, client)
    assert (after.known, after.done, after.remaining) == (len(before), len(points), 0)
    assert before.items() <= in_folder(out).items()
    assert set(in_folder(out)) == {f"{p.key}.parquet" for p in points}
    assert sorted(row["key"] for row in read_rows(out)) == sorted(p.key for p in points)


def at_random(chance: random.Random, out: Path) -> Callable[[], None]:
    """A moment of chance: while the process starts, or a little after it has kept some number of rows."""

    def wait() -> None:
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 3))
            return
        wanted, end = chance.randrange(12), time.monotonic() + 120
        while len(known_keys(out)) < wanted and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))

    return wait


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))])
def test_a_sweep_that_is_killed_goes_on(workers: Cluster, study: Path, seed: int) -> None:
    out = study.parent / "out"
    killed_and_resumed(workers.address, study, out, at_random(random.Random(seed), out))


def test_processes_here_give_the_same(study: Path) -> None:
    """As the command runs where no scheduler is named."""
    study.write_text(STUDY.replace("{1..3}", "2").replace("[0, 1, 2, 3]", "[0, 1]"))
    command = [sys.executable, "-m", "graphsim", "sweep", str(study), "--out", str(study.parent / "out")]
    done = subprocess.run(
        [*command, "--workers", "1"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    measured = dict.fromkeys(("seconds_lower", "seconds_fold", "seconds_verify", "seconds"))
    rows = read_rows(study.parent / "out", [p.key for p in points_of(read_study(study))])
    expected = [compute(p).row for p in points_of(read_study(study))]
    assert [row["status"] for row in rows] == ["ok", "ok"]
    for row, other in zip(rows, expected, strict=True):
        assert other is not None
        known = {name: row[name] for name in other}
        assert {**known, **measured} == {**other, **measured}


def test_no_scheduler_is_told(study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphsim.explore.sweep._ANSWER", 1)
    arguments = ["sweep", str(study), "--out", str(study.parent / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert main(arguments) == 2
    assert "tcp://127.0.0.1:9: no scheduler answers" in capsys.readouterr().err


def test_a_scheduler_that_is_silent_is_told(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphsim.explore.sweep._ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert main(["sweep", str(study), "--out", str(study.parent / "out"), "--scheduler", address]) == 2
    assert f"{address}: no scheduler answers (nothing came back within 1 s)" in capsys.readouterr().err


def test_a_scheduler_that_is_no_address_is_told(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(study), "--out", str(study.parent / "out"), "--scheduler", "nonsense"]) == 2
    assert "nonsense: no scheduler answers" in capsys.readouterr().err


def test_a_scheduler_that_dies_is_told_and_the_rows_are_kept(study: Path, tmp_path: Path) -> None:
    made = Cluster(tmp_path)
    points, out = points_of(read_study(study)), study.parent / "out"
    with contextlib.ExitStack() as ends:
        ends.callback(made.close)
        made.add_worker()
        client = ends.enter_context(cluster(made.address, None))
        with pytest.raises(Exception, match="the scheduler is gone") as caught:
            sweep(points, out, client, lambda now: made.scheduler.kill() if now.done == 2 else None)
        assert type(caught.value).__name__ == "StudyError"
    assert 2 <= len(read_rows(out)) < len(points)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--max-points", "5"], "12 points are to be computed, more than --max-points 5; add --yes"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:9"], "--workers: only for processes here"),
    ],
)
def test_nothing_starts_with_bad_options(
    study: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(study), "--out", str(study.parent / "out"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (study.parent / "out").exists()


def test_a_full_disk_is_told_and_the_study_can_be_gone_on_with(
    workers: Cluster, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = study.parent / "out"
    real = os.fsync
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    arguments = ["sweep", str(study), "--out", str(out), "--scheduler", workers.address]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"{out / 'results'}/" in said
    assert "no space left on the disk" in said
    monkeypatch.undo()
    assert len(read_rows(out)) == 3
    assert main(arguments) == 0
    assert "12 done (3 were there before)" in capsys.readouterr().out


def test_a_row_of_split_neurons_is_judged_and_measured() -> None:
    text = 'datasets = ["digits"]\nsamples = 10\ncompare = true\n'
    rows = [compute(point(text + more)).row for more in ("", "max_fan_in = [8]")]
    whole, split = rows
    assert whole is not None
    assert split is not None
    assert [row["status"] for row in (whole, split)] == ["ok", "ok"]
    assert (split["max_fan_in"], whole["max_fan_in"]) == (8, None)
    assert split["actors"] > whole["actors"]
    assert split["outside_bound"] == 0
    assert split["accuracy"] == whole["accuracy"]
    for row in (whole, split):
        assert row["period"] <= row["period_layered"] <= row["period_unpipelined"]
        assert row["traffic"] > 0


def test_rows_of_samples_of_ones_own_are_those_of_the_dataset_that_they_were_taken_from(tmp_path: Path) -> None:
    digits = load("digits", limit=30)
    assert isinstance(digits.inputs, np.ndarray)
    assert digits.labels is not None
    file = tmp_path / "own.npz"
    np.savez(file, x=digits.inputs, y=digits.labels)
    points = points_of(
        study_from_toml(
            f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\nsamples = 20\ncompare = true\n'
            f'datasets = ["digits", "{file}", "random"]'
        )
    )
    of_name, own, drawn = [compute(one).row for one in points]
    assert of_name is not None
    assert own is not None
    assert drawn is not None
    assert (own["accuracy"], own["outside_bound"]) == (of_name["accuracy"], 0)
    assert (drawn["status"], drawn["accuracy"], drawn["outside_bound"]) == ("ok", None, 0)
    renamed = points_of(
        study_from_toml(
            f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\nsamples = 20\ncompare = true\n'
            f'datasets = ["{file.rename(tmp_path / "other.npz")}"]'
        )
    )[0]
    assert renamed.key == points[1].key
    np.savez(tmp_path / "other.npz", x=digits.inputs)
    assert "has changed since the sweep began" in compute(renamed).trouble


def test_rows_with_faults_say_what_these_did(tmp_path: Path) -> None:
    """As ``graphsim run --faults`` says it of the same samples."""
    file = tmp_path / "f.toml"
    file.write_text('seed = 3\nchecksums = ["none", "crc8"]\n[corruption]\nrates = [0.002]\n')
    text = f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\ndatasets = ["digits"]\nsamples = 20\n'
    points = points_of(study_from_toml(f'{text}faults = ["{file}"]\n'))
    rows = [compute(one).row for one in points]
    arguments = ["run", "--samples", "20", "--machine", "line:2", "--no-reference", "--faults", str(file)]
    assert main([*arguments, "--json", str(tmp_path / "run.json")]) == 0
    runs = json.loads((tmp_path / "run.json").read_text())["faults"]["runs"]
    names = {"faulty_accuracy": "accuracy", "silent_rate": "silent_rate", "missing_rate": "missing_rate"}
    names["coverage"] = "detection_coverage"
    for row, run in zip(rows, runs, strict=True):
        assert row is not None
        assert row["status"] == "ok"
        assert row["checksum"] == run["checksum"]
        assert {name: row[name] for name in names} == {name: run[other] for name, other in names.items()}
    assert rows[0]["silent_rate"] > 0 == rows[1]["silent_rate"]  # type: ignore[index]
    file.write_text(file.read_text() + "\n")
    assert "has changed since the sweep began" in compute(points[0]).trouble


def test_faults_that_a_machine_does_not_have_are_a_row_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text('checksums = ["none"]\n[[crash]]\nnode = "n9"\nat = 3\n')
    text = f'models = ["{shipped("digits")}"]\nmachines = ["line:2"]\ndatasets = ["digits"]\nsamples = 3\n'
    row = compute(points_of(study_from_toml(f'{text}faults = ["{file}"]\n'))[0]).row
    assert row is not None
    assert (row["status"], row["stage"]) == ("failed", "faults")
    assert "n9" in row["reason"]


def test_a_row_of_tiles_is_that_of_the_command(tmp_path: Path) -> None:
    row = compute(point("tile = [8]")).row
    assert row is not None
    file = tmp_path / "fold.json"
    arguments = ["fold", str(shipped("digits")), "-o", str(tmp_path / "x.fold"), "--json", str(file)]
    assert main([*arguments, "--machine", "line:2", "--tile", "8"]) == 0
    found = json.loads(file.read_text())
    assert (row["tile"], row["period"]) == (8, found["schedule"]["period_ticks"])
    assert row["traffic"] == found["granularity"]["tiles of 8"]["traffic_frames"]
    assert row["period"] > found["granularity"]["neurons"]["period_ticks"]
