"""Every engine gives the same values, and every timing the same ticks, whatever the hardware and its clocks.

Random graphs on every topology, nodes and links of two frequencies each, links of any latency and frames of any width,
one actor per node or many: the functional reference, the machine, the events engine and the bits of the frames engine
agree in every value of every iteration; analysis and all that have a clock agree in every tick at which samples go in
and answers come out.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import graphs, samples

from graphsim.analysis.costs import PINNED_OPS
from graphsim.graph import Graph
from graphsim.machine import Machine, builtin_topologies, load_machine
from graphsim.schedule import fold, latency
from graphsim.schedule.verify import verify
from graphsim.simulate.engine import FloatArray
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.frames import FramesEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine

#: Every topology: small, and with a node for every actor of the graphs below that computes, and the host.
FOLDED = (
    "line:1", "line:3", "ring:4", "mesh:2x3", "torus:2x2x2", "full:4", "star:4", "tree:2x2", "fat_tree:2",
    "hypercube:3",
)  # fmt: skip
ONE_TO_ONE = (
    "line:12", "ring:12", "mesh:3x4", "torus:3x4", "full:12", "star:12", "tree:3x2", "fat_tree:4", "hypercube:4",
)  # fmt: skip
ACTORS = 14
COMPUTING = 11


@st.composite
def machines(draw: st.DrawFn, specs: tuple[str, ...]) -> Machine:
    """A built-in with frequencies, latencies and widths of its own; a switch and its links have one of each."""
    machine = load_machine(draw(st.sampled_from(specs), label="machine"))
    nodes = draw(st.tuples(*[st.integers(1, 8)] * 2), label="node frequencies")
    links = draw(st.tuples(*[st.sampled_from([2, 4, 8, 16])] * 2), label="link frequencies")
    latencies = draw(st.tuples(*[st.integers(0, 43)] * 2), label="latencies")
    bits = draw(st.tuples(*[st.integers(1, 128)] * 2), label="frame bits")
    kinds = 1 if machine.switches else 2
    return dataclasses.replace(
        machine,
        nodes=tuple(
            dataclasses.replace(node, frequency=links[0] if node.kind == "switch" else nodes[i % 2])
            for i, node in enumerate(machine.nodes)
        ),
        links=tuple(
            dataclasses.replace(
                link, frequency=links[i % kinds], latency=latencies[i % 2], frame_bits=bits[i % kinds],
                calendar_entries=1 << 20,
            )
            for i, link in enumerate(machine.links)
        ),
        topology="",
    )  # fmt: skip


def computing(graph: Graph) -> int:
    return sum(group.size for group in graph.groups if group.op not in PINNED_OPS)


def check(graph: Graph, machine: Machine, strategy: str, inputs: tuple[FloatArray, ...]) -> None:
    schedule = fold(graph, machine, strategy=strategy)
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period
    expected = ReferenceEngine(graph).run(inputs)
    first = min(int(schedule.start[graph.first[g] : graph.first[g + 1]].min()) for g in graph.sources)
    entered = first + schedule.period * np.arange(len(inputs[0]))
    for engine in (MachineEngine(graph, schedule), EventsEngine(graph, schedule), FramesEngine(graph, schedule)):
        run = engine.run(inputs)
        assert run.values.keys() == expected.values.keys()
        for name, values in expected.values.items():
            assert run.values[name].tobytes() == values.tobytes(), (engine.name, name)
        assert run.timing is not None
        assert run.timing.source_ticks.tolist() == entered.tolist(), engine.name
        assert run.timing.sink_ticks.tolist() == (entered + latency(graph, schedule)).tolist(), engine.name


def check_folded(data: st.DataObject) -> None:
    graph = data.draw(graphs(max_actors=ACTORS), label="graph")
    check(graph, data.draw(machines(FOLDED)), "contiguous", data.draw(samples(graph, 4)))


def check_one_to_one(data: st.DataObject) -> None:
    graph = data.draw(graphs(max_actors=ACTORS).filter(lambda graph: computing(graph) <= COMPUTING), label="graph")
    check(graph, data.draw(machines(ONE_TO_ONE)), "one-to-one", data.draw(samples(graph, 4)))


def test_every_topology_is_here() -> None:
    every = {pattern.partition(":")[0] for pattern, _, _ in builtin_topologies()}
    assert {name.partition(":")[0] for name in FOLDED} == every
    assert {name.partition(":")[0] for name in ONE_TO_ONE} == every


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_all_agree_on_folded_graphs(data: st.DataObject) -> None:
    check_folded(data)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_all_agree_with_one_actor_to_a_node(data: st.DataObject) -> None:
    check_one_to_one(data)


@pytest.mark.slow
@settings(max_examples=900, deadline=None)
@given(st.data())
def test_all_agree_on_many_folded_graphs(data: st.DataObject) -> None:
    check_folded(data)


@pytest.mark.slow
@settings(max_examples=900, deadline=None)
@given(st.data())
def test_all_agree_on_many_graphs_with_one_actor_to_a_node(data: st.DataObject) -> None:
    check_one_to_one(data)
