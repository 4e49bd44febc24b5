"""What a report says binds: what takes the whole period, all of it, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from graphs import mlp, rnn
from rich.console import Console

from graphsim.analysis.bounds import Bound
from graphsim.graph import Graph
from graphsim.machine import load_machine
from graphsim.passes.unroll import Unroll
from graphsim.report.binding import Binding, bindings, in_words
from graphsim.report.record import schedule_record
from graphsim.report.terminal import print_schedule
from graphsim.report.utilisation import utilisation
from graphsim.schedule import fold
from graphsim.schedule.schedule import Schedule

#: Nodes bind; links bind; both.
MACHINES = ("torus:2x2", "line:3,frame_bits=1", "full:7", "star:3,macs_per_tick=8")


def said(graph: Graph, schedule: Schedule) -> str:
    console = Console(width=10_000)
    with console.capture() as capture:
        print_schedule(console, graph, schedule)
    return capture.get()


@pytest.mark.parametrize("machine", MACHINES)
def test_what_binds_is_busy_in_every_tick_and_all_of_it_is_named(machine: str) -> None:
    graph = mlp(6, 9, 4)
    schedule = fold(graph, load_machine(machine))
    record = schedule_record(graph, schedule)["schedule"]
    full = {f"node {node['name']}" for node in record["nodes"] if node["busy_ticks"] == record["period_ticks"]}
    named = {one["resource"] for one in record["binding"] if one["kind"] == "compute"}
    assert named == full
    if record["busiest_link"]["utilisation"] == 1.0:
        assert {"kind": "link", "resource": f"link {record['busiest_link']['name']}"} in record["binding"]
    assert record["binding"], "one of them sets the period of a net without recurrence"
    first = record["binding"][0]
    assert (record["binding_kind"], record["binding_resource"]) == (first["kind"], first["resource"])
    assert f"binds      {in_words([Binding(**one) for one in record['binding']])}\n" in said(graph, schedule)


def test_nothing_binds_where_nothing_takes_the_whole_period() -> None:
    graph = rnn(6, 3, 5)
    schedule = fold(graph, load_machine("torus:2x2,latency=40"))
    load = utilisation(graph, schedule)
    assert load.node_ticks.max() < schedule.period > schedule.bound.ticks
    record = schedule_record(graph, schedule)["schedule"]
    assert (record["binding"], record["binding_resource"], record["binding_kind"]) == ([], None, None)
    text = said(graph, schedule)
    assert "binds      nothing: no node or link is busy all the time (the busiest is" in text
    assert f"{schedule.period:,} ticks are the shortest period found" in text
    assert "hint       actors that fire once per step hold samples up: graphsim lower --unroll" in text


def test_a_recurrence_binds_where_its_bound_is_the_period() -> None:
    graph = rnn(6, 3, 5)
    schedule = fold(graph, load_machine("torus:2x2,latency=40"))
    proved = Bound(schedule.period, "recurrence", "actor rnn[0]", "as it were")
    schedule = dataclasses.replace(schedule, bound=proved, placement_bound=proved)
    assert bindings(schedule, utilisation(graph, schedule)) == (Binding("recurrence", "actor rnn[0]"),)
    assert "binds      recurrence: actor rnn[0]\n" in said(graph, schedule)


def test_there_is_no_hint_to_unroll_what_is_unrolled() -> None:
    graph = Unroll()(rnn(6, 3, 5))
    assert "hint" not in said(graph, fold(graph, load_machine("torus:2x2,latency=40")))


def test_ties_are_named_and_many_are_counted() -> None:
    nodes = [Binding("compute", f"node n{i}") for i in range(5)]
    link = Binding("link", "link n0->n1")
    assert in_words(nodes[:1]) == "compute: node n0"
    assert in_words([*nodes[:2], link]) == "compute: node n0 and node n1; communication: link n0->n1"
    assert in_words(nodes[:3]) == "compute: node n0, node n1 and node n2"
    assert in_words(nodes) == "compute: node n0, node n1 and 3 more"


def test_the_folding_factor_counts_what_computes() -> None:
    graph = mlp(6, 9, 4)
    record = schedule_record(graph, fold(graph, load_machine("torus:2x2")))["schedule"]
    apart = ("source", "x", "pixels", "sink")
    computing = sum(group.size for group in graph.groups if group.name not in apart)
    assert record["folding_factor"] == pytest.approx(computing / 4)
    assert f"{computing / 4:.1f} computing actors per node" in said(graph, fold(graph, load_machine("torus:2x2")))
