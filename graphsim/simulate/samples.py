"""Samples drawn by chance from what a graph's inputs take, and the ranges that its notes state for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from graphsim.errors import SimulationError
from graphsim.graph import Graph
from graphsim.simulate.engine import FloatArray, input_groups

#: What takes whole numbers only.
_WHOLE = ("uint8", "int8", "bool", "Embedding", "CategoryEncoding")


class Range(NamedTuple):
    """What an input should be between, and what of the model says so: a layer's class, or a dtype."""

    layer: str
    least: float
    greatest: float
    why: str


def stated_ranges(graph: Graph) -> Iterator[Range]:
    """The ranges that the notes of a lowered model state for its inputs."""
    for key, note in graph.notes.items():
        if key.startswith("input.") and key.endswith(".range"):
            ends, _, why = note.partition(" by ")
            least, greatest = (float(end) for end in ends.split(".."))
            yield Range(key.removeprefix("input.").removesuffix(".range"), least, greatest, why)


def numbered_rows(graph: Graph) -> dict[int, tuple[str, int]]:
    """By input group whose values number rows of tables: the layer of the table with the fewest, and how many."""
    found: dict[int, tuple[str, int]] = {}
    for channel in graph.channels:
        table = graph.groups[channel.dst]
        if table.op == "lookup" and graph.groups[channel.src].op == "input":
            rows = len(graph.params[table.params["table"].name])
            if channel.src not in found or rows < found[channel.src][1]:
                found[channel.src] = (table.layer or table.name, rows)
    return found


def random_samples(graph: Graph, count: int, seed: int) -> tuple[FloatArray, ...]:
    """So many samples for each source, in source order: float32 (count, *input shape).

    Tokens of one bit are 0 or 1. Numbers of rows of a table are those that it has. Where a range is stated, values are
    even over it, whole numbers where it is one of indices or integers; else they are standard normal.

    Raises:
        SimulationError: no sample is asked for.
    """
    if count < 1:
        raise SimulationError(f"{count} samples; at least 1")
    rng = np.random.default_rng(seed)
    ranges = {one.layer: one for one in stated_ranges(graph)}
    for number, (_, rows) in numbered_rows(graph).items():
        own = graph.groups[number].layer
        ranges[own] = Range(own, 0, rows - 1, "Embedding")
    return tuple(_drawn(graph, number, count, ranges, rng) for number in input_groups(graph))


def _drawn(graph: Graph, number: int, count: int, ranges: dict[str, Range], rng: np.random.Generator) -> FloatArray:
    group = graph.groups[number]
    shape = (count, *group.shape)
    stated = ranges.get(group.layer)
    if max(c.token_bits for c in graph.channels_into(number)) == 1:
        return rng.integers(0, 2, shape).astype(np.float32)
    if stated is None:
        return rng.standard_normal(shape, np.float32)
    if stated.why in _WHOLE:
        return rng.integers(int(stated.least), int(stated.greatest), shape, endpoint=True).astype(np.float32)
    return rng.uniform(stated.least, stated.greatest, shape).astype(np.float32)
