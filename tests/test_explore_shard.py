"""Runs in parts on a cluster: the bits of one process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphsim as gs
from graphsim.cli import main
from graphsim.errors import UsageError
from graphsim.explore.shard import ShardedEngine
from graphsim.explore.sweep import cluster
from graphsim.graph import Graph, Group, OneToOne
from graphsim.graph.channels import Dense
from graphsim.simulate.engine import Run
from graphsim.simulate.samples import random_samples
from graphsim.zoo import shipped


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of a cluster of two processes."""
    with cluster(None, 2) as made:
        yield made


@pytest.fixture(scope="module")
def whole() -> tuple[Graph, Any, Run]:
    """A graph, samples, and their run in one process."""
    graph = gs.lower(shipped("digits"))
    (samples,) = random_samples(graph, 5003, 7)
    return graph, samples, gs.run(graph, None, samples, engine="lanes")


def check_equal(found: Run, expected: Run) -> None:
    assert found.samples == expected.samples
    assert found.values.keys() == expected.values.keys()
    for name, values in expected.values.items():
        assert found.values[name].tobytes() == values.tobytes()
        assert found.values[name].shape == values.shape


def test_parts_on_two_workers_are_the_run_bit_for_bit(client: Any, whole: tuple[Graph, Any, Run]) -> None:
    graph, samples, expected = whole
    told: list[int] = []
    check_equal(ShardedEngine(graph, client, part=500).run(samples, progress=told.append), expected)
    assert told == [*range(500, 5001, 500), 5003]
    few = ShardedEngine(graph, client).run(samples[:3], keep="outputs")
    assert few.values["sink"].tobytes() == expected.values["sink"][:3].tobytes()


def test_what_does_not_fit_into_memory_is_on_disk_and_the_same(client: Any, whole: tuple[Graph, Any, Run]) -> None:
    graph, samples, expected = whole
    found = ShardedEngine(graph, client, part=2000, in_memory=1000).run(samples)
    assert all(isinstance(values, np.memmap) for values in found.values.values())
    check_equal(found, expected)


def test_a_worker_that_is_killed_changes_nothing(client: Any, whole: tuple[Graph, Any, Run]) -> None:
    graph, samples, expected = whole
    killed: list[int] = []

    def told(done: int) -> None:
        if not killed:
            killed.append(sorted(client.run(os.getpid).values())[0])
            os.kill(killed[0], signal.SIGKILL)

    check_equal(ShardedEngine(graph, client, part=50).run(samples, progress=told), expected)
    assert len(killed) == 1


def test_state_from_sample_to_sample_is_refused() -> None:
    groups = [Group(name="source", op="source"), Group(name="x", op="input"), Group(name="s", op="sum")]
    groups += [Group(name="out", op="collect")]
    channels = [Dense(src=0, dst=1), OneToOne(src=1, dst=2), OneToOne(src=2, dst=3)]
    channels += [OneToOne(src=2, dst=2, port=1, initial_tokens=1)]
    with pytest.raises(UsageError, match="state goes from sample to sample"):
        ShardedEngine(Graph("sums", groups, channels, {}), None)


def test_the_command_runs_on_workers(tmp_path: Path) -> None:
    documents = []
    for more in ([], ["--workers", "2"]):
        file = tmp_path / f"{len(more)}.json"
        arguments = ["run", "--samples", "100", "--machine", "ring:3", "--no-reference", "--json", str(file)]
        assert main([*arguments, *more]) == 0
        documents.append(json.loads(file.read_text()))
    assert documents[0]["accuracy"] == documents[1]["accuracy"]
    assert documents[0]["schedule"]["period_ticks"] == documents[1]["schedule"]["period_ticks"]


def test_only_lanes_runs_on_workers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--engine", "machine", "--workers", "2"]) == 2
    assert "lanes only" in capsys.readouterr().err
