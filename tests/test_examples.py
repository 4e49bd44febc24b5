"""The files in examples/ do what they say."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np

from graphsim.analysis.sdf.throughput import throughput
from graphsim.api import lower, run
from graphsim.frontends.sdf3 import read

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_adder_adds_all_there_is_to_add() -> None:
    pairs = np.array(list(product(range(16), repeat=2)))
    bits = ((pairs[:, :, None] >> np.arange(4)) & 1).reshape(-1, 8)
    out = run(lower(EXAMPLES / "circuits" / "adder.blif"), None, bits).values["output"]
    assert np.array_equal(out.astype(int) @ (1 << np.arange(5)), pairs.sum(axis=1))


def test_the_counter_counts_enabled_cycles_since_the_last_clear() -> None:
    graph = lower(EXAMPLES / "circuits" / "counter.v")
    given = json.loads((EXAMPLES / "circuits" / "counter.json").read_text())
    out = run(graph, None, np.array([given["clear"], given["enable"]]).T).values["output"].astype(int)
    count, expected = 0, []
    for clear, enable in zip(given["clear"], given["enable"], strict=True):
        expected.append(count)
        count = 0 if clear else (count + enable) % 16
    assert (out @ (1 << np.arange(4))).tolist() == expected


def test_the_converter_of_rates_is_the_one_of_the_literature() -> None:
    # Bhattacharyya, Murthy and Lee, "Synthesis of Embedded Software from Synchronous Dataflow Specifications", 1999.
    found = throughput(read(EXAMPLES / "dataflow" / "cd_to_dat.xml"))
    assert found.repetition.tolist() == [147, 147, 98, 28, 32, 160]
    assert found.period == 147 * 2  # the busiest stage
