"""Runs in parts on a cluster: the bits of one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import graphsim as gs
from graphsim.cli import main
from graphsim.errors import UsageError
from graphsim.explore.shard import ShardedEngine
from graphsim.explore.sweep import cluster
from graphsim.graph import Graph, Group, OneToOne
from graphsim.graph.channels import Dense
from graphsim.simulate.samples import random_samples
from graphsim.zoo import shipped


def test_parts_on_two_workers_are_the_run_bit_for_bit() -> None:
    graph = gs.lower(shipped("digits"))
    (samples,) = random_samples(graph, 5003, 7)
    whole = gs.run(graph, None, samples, engine="lanes")
    told: list[int] = []
    with cluster(None, 2) as client:
        parts = ShardedEngine(graph, client, part=500).run(samples, progress=told.append)
        few = ShardedEngine(graph, client).run(samples[:3], keep="outputs")
    assert parts.samples == 5003
    assert parts.values.keys() == whole.values.keys()
    for name, values in whole.values.items():
        assert parts.values[name].tobytes() == values.tobytes()
        assert parts.values[name].shape == values.shape
    assert told == [*range(500, 5001, 500), 5003]
    assert few.values["sink"].tobytes() == whole.values["sink"][:3].tobytes()


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
