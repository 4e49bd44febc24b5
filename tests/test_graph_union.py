"""Applications side by side: one graph, one schedule, and each answers as it does alone."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from engine_cases import bits, wild_samples
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_cases import machines
from strategies import graphs, recurrent

from graphsim import pipeline
from graphsim.errors import GraphError, SimulationError, UsageError
from graphsim.graph import Dense, Graph
from graphsim.graph.circuit import is_circuit, to_graph
from graphsim.graph.text import dump, parse
from graphsim.graph.union import Union, beside, union
from graphsim.graph.verify import verify as verify_graph
from graphsim.machine import load_machine
from graphsim.passes import unroll
from graphsim.report.isolation import isolation
from graphsim.report.together import unequal
from graphsim.schedule import fold
from graphsim.schedule.schedule import durations
from graphsim.schedule.verify import verify
from graphsim.simulate.engine import FloatArray, Run
from graphsim.simulate.samples import random_samples

ROOT = Path(__file__).parents[1]
SMALL = ("line:1", "line:2", "ring:3", "mesh:2x3", "full:4", "star:3", "hypercube:3")


@st.composite
def applications(draw: st.DrawFn) -> Graph:
    """A net, a net with recurrence, or a circuit."""
    kind = draw(st.sampled_from(["net", "net", "recurrent", "circuit"]), label="kind")
    if kind == "circuit":
        return to_graph(draw(circuits(gates=12)))
    if kind == "recurrent":
        return draw(recurrent(max_actors=12))
    return draw(graphs(max_actors=14, windows=True))


def taken(data: st.DataObject, graph: Graph, n: int) -> tuple[FloatArray, ...]:
    """Bits for a circuit, for a net anything that float32 can be."""
    return random_samples(graph, n, 7) if is_circuit(graph) else data.draw(wild_samples(graph, n))


def own(both: Union, number: int, run: Run) -> dict[str, FloatArray]:
    return both.own(number, run.values)


def assert_alone(found: dict[str, FloatArray], alone: Run) -> None:
    assert list(found) == list(alone.values)
    for name, values in alone.values.items():
        assert np.array_equal(bits(found[name]), bits(values)), name


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_application_answers_as_it_does_alone(data: st.DataObject) -> None:
    """On every engine that runs schedules; its times are those of its own sources and sinks."""
    apps = {name: data.draw(applications(), label=name) for name in ("a", "b")}
    both = union(apps)
    machine = data.draw(machines(SMALL))
    schedule = fold(both.graph, machine)
    verdict = verify(both.graph, schedule)
    assert verdict.ok, verdict.violations
    assert isolation(both, schedule).ok
    n = 3
    given = [taken(data, graph, n) for graph in both.parts]
    alone = [pipeline.make_engine("reference", graph, None).run(x) for graph, x in zip(both.parts, given, strict=True)]
    unrolled = unroll(both.graph)
    ends = schedule.start + durations(both.graph, machine, schedule.node)
    of = both.of_actor[unrolled.owner]
    pinned = np.concatenate([np.full(g.size, g.op, object) for g in unrolled.graph.groups])
    for engine in ("machine", "events"):
        run = pipeline.make_engine(engine, both.graph, schedule).run(beside(given))
        for number in range(2):
            assert_alone(own(both, number, run), alone[number])
            assert run.timing is not None
            timing = run.timing.between(both.sources(number), both.sinks(number))
            begins = schedule.start[(of == number) & (pinned == "source")].min()
            done = ends[(of == number) & np.isin(pinned, ["argmax", "collect"])].max()
            assert timing.source_ticks.tolist() == [begins + k * schedule.period for k in range(n)]
            assert timing.sink_ticks.tolist() == [done + k * schedule.period for k in range(n)]
            assert timing.period == Fraction(schedule.period)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_what_one_application_is_given_is_nothing_to_the_other(data: st.DataObject) -> None:
    """Infinities and NaNs of one leave every bit and every tick of the other as they are."""
    both = union({"a": data.draw(graphs(max_actors=12)), "b": data.draw(graphs(max_actors=12))})
    engine = pipeline.make_engine("machine", both.graph, fold(both.graph, data.draw(machines(SMALL))))
    ours = data.draw(wild_samples(both.parts[1], 3))
    runs = [engine.run(beside([data.draw(wild_samples(both.parts[0], 3)), ours])) for _ in range(2)]
    first, second = (own(both, 1, run) for run in runs)
    assert all(np.array_equal(bits(first[name]), bits(second[name])) for name in first)
    one, other = (run.timing for run in runs)
    assert one is not None
    assert other is not None
    assert np.array_equal(one.ended, other.ended)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_lanes_runs_nets_side_by_side(data: st.DataObject) -> None:
    apps = {name: data.draw(graphs(max_actors=20, windows=True), label=name) for name in ("a", "b")}
    both = union(apps)
    given = [data.draw(wild_samples(graph, 3)) for graph in both.parts]
    run = pipeline.make_engine("lanes", both.graph, None).run(beside(given))
    for number, graph in enumerate(both.parts):
        assert_alone(own(both, number, run), pipeline.make_engine("lanes", graph, None).run(given[number]))


def test_frames_runs_applications_bit_by_bit() -> None:
    both = union({"a": mlp(4, 3, 2), "b": mlp(3, 2, 2, seed=1)})
    schedule = fold(both.graph, load_machine("line:2"))
    given = [random_samples(graph, 2, 5) for graph in both.parts]
    run = pipeline.make_engine("frames", both.graph, schedule).run(beside(given))
    for number, graph in enumerate(both.parts):
        assert_alone(own(both, number, run), pipeline.make_engine("reference", graph, None).run(given[number]))


@settings(max_examples=30, deadline=None)
@given(st.lists(applications(), min_size=1, max_size=4))
def test_a_union_is_its_parts(parts: list[Graph]) -> None:
    """Every actor and edge of every part is there once, by its new name, and no edge besides."""
    apps = {f"app{i}": graph for i, graph in enumerate(parts)}
    both = union(apps)
    verify_graph(both.graph)
    assert both.crossing == 0
    for i, (name, graph) in enumerate(apps.items()):
        by = int(both.graph.first[both.first[i]])
        for actor in graph:
            there = both.graph.actor(f"{name}:{actor.name}")
            assert there.id == actor.id + by
            assert there.inputs == tuple(e._replace(producer=e.producer + by) for e in actor.inputs)
            assert (there.truth, there.pick, there.work) == (actor.truth, actor.pick, actor.work)
        assert both.own(i, both.graph.notes) == graph.notes
    assert both.graph.edge_count == sum(graph.edge_count for graph in parts)
    assert parse(dump(both.graph)).digest == both.graph.digest


def test_edges_between_applications_are_found() -> None:
    both = union({"a": mlp(4, 3, 2), "b": mlp(4, 3, 2)})
    inner, sink = both.graph.number["a:dense"], both.graph.number["b:sink"]
    more = Dense(src=inner, dst=sink, port=len(both.graph.channels_into(sink)))
    joined = Graph("joined", both.graph.groups, [*both.graph.channels, more], both.graph.params)
    assert dataclasses.replace(both, graph=joined).crossing == 3 * both.graph.groups[sink].size


def test_parcels_of_two_applications_are_found() -> None:
    both = union({"a": mlp(4, 3, 2), "b": mlp(4, 3, 2)})
    schedule = fold(both.graph, load_machine("line:2"))
    assert isolation(both, schedule).parcels == 0
    of = both.of_actor
    tokens = schedule.parcel_token.copy()
    ptr = schedule.parcel_ptr
    at = next(p for p in range(len(ptr) - 1) if ptr[p + 1] - ptr[p] > 1)
    tokens[ptr[at]] = np.flatnonzero(of != of[tokens[ptr[at] + 1]])[0]
    assert isolation(both, dataclasses.replace(schedule, parcel_token=tokens)).parcels == 1


def test_values_with_other_bits_are_found() -> None:
    solo = {"sink": np.array([[0.0, 1.0], [np.nan, 2.0]], np.float32)}
    assert unequal({"sink": solo["sink"].copy()}, solo) == (4, 0, "")
    found = {"sink": np.array([[-0.0, 1.0], [np.nan, 3.0]], np.float32)}
    assert unequal(found, solo) == (4, 2, "sink, sample 0, element [0]")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a[0]", "a\n"])
def test_a_name_that_cannot_stand_before_others_is_refused(name: str) -> None:
    with pytest.raises(GraphError, match="application"):
        union({name: mlp(4, 3, 2)})


def test_no_application_at_all_is_refused() -> None:
    with pytest.raises(GraphError, match="one at least"):
        union({})


def test_what_cannot_be_run_is_refused_by_name() -> None:
    net = mlp(4, 3, 2)
    both = union({"net": net, "gates": pipeline.load_graph(ROOT / "models" / "life.blif")})
    with pytest.raises(SimulationError, match="gates beside neurons"):
        pipeline.make_engine("lanes", both.graph, None)
    with pytest.raises(UsageError, match="runs no schedules"):
        pipeline.together({"a": net}, load_machine("line:2"), engine="lanes")
