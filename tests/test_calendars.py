"""Calendars: complete tables, addresses that exist, limits that are kept, and what files say of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from circuits import circuits
from graphs import mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import CASES, changed, valid
from schedule_cases import machines
from schedules import simple_schedule
from strategies import graphs

from graphsim.analysis.tokens import token_bits
from graphsim.calendars import IDLE, Calendars, Table, check, compile_calendars
from graphsim.calendars.text import FORMATS, Row, document, formatted, rows
from graphsim.cli import main
from graphsim.errors import CalendarError, InvalidAddressError, OutOfCalendarError, OutOfMemoryError, ScheduleError
from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import Machine, load_machine
from graphsim.passes import unroll
from graphsim.schedule import STRATEGIES, fold
from graphsim.schedule.schedule import Schedule, durations
from graphsim.schedule.store import save


def stretches(table: Table, units: list[int]) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Per component and ring or actor: (absolute unit counted from iteration 0, length, offset), in order."""
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for i in np.flatnonzero(table.what != IDLE):
        key = int(table.owner[i]), int(table.what[i])
        at = int(table.stage[i]) * units[key[0]] + int(table.begin[i])
        found.setdefault(key, []).append((at, int(table.length[i]), int(table.offset[i])))
    return {key: sorted(parts) for key, parts in found.items()}


def assert_right(graph: Graph, schedule: Schedule, c: Calendars) -> None:
    """Read back from the tables, firings and hops are those of the schedule."""
    flat, links = unroll(graph).graph, schedule.machine.links
    ticks = durations(graph, schedule.machine, schedule.node)
    strides, cycles = schedule.machine.node_strides, [c.period // stride for stride in schedule.machine.node_strides]
    for (node, actor), parts in stretches(c.fire, cycles).items():
        assert node == schedule.node[actor]
        assert parts[0][0] * strides[node] == schedule.start[actor]
        assert sum(n for _, n, _ in parts) * strides[node] == ticks[actor]
    instant = {int(a): (int(v), int(s) * c.period + int(t)) for a, v, s, t in zip(
        c.instant_actor, c.instant_node, c.instant_stage, c.instant_tick, strict=True
    )}  # fmt: skip
    assert instant == {int(a): (schedule.node[a], schedule.start[a]) for a in np.flatnonzero(ticks == 0)}
    assert len(c.node) == flat.actor_count
    assert np.array_equal(c.node, schedule.node)
    strides = schedule.machine.link_strides
    frames = [c.period // stride * link.frames_per_tick for stride, link in zip(strides, links, strict=True)]
    for table, flights, ends in ((c.gather, 0, c.from_switch), (c.scatter, 1, c.into_switch)):
        assert [int(table.length[table.owner == i].sum()) for i in range(len(links))] == frames
        read = stretches(table, frames)
        found = sorted(
            (link, parts[0][0] // links[link].frames_per_tick * strides[link]) for (link, _), parts in read.items()
        )
        wanted = zip(schedule.hop_link.tolist(), schedule.hop_start.tolist(), strict=True)
        assert found == sorted(
            (link, start + flights * schedule.machine.ways[link]) for link, start in wanted if not ends[link]
        )
        for parts in read.values():
            for (a, n, offset), (b, _, after) in pairwise(parts):
                assert after == offset + n
                assert a + n <= b
    assert [int(c.fire.length[c.fire.owner == v].sum()) for v in range(len(cycles))] == cycles
    assert_crossed(graph, schedule, c)


def assert_crossed(graph: Graph, schedule: Schedule, c: Calendars) -> None:
    """Outputs of switches pass on what came in just so long before: as many frames as the hops out of them have."""
    links, bits = schedule.machine.links, token_bits(unroll(graph).graph)
    passed = np.zeros(len(links), np.int64)
    wanted: set[tuple[int, int, int]] = set()
    for parcel, start, link in zip(schedule.hop_parcel, schedule.hop_start.tolist(), schedule.hop_link, strict=True):
        if c.from_switch[link]:
            tokens = schedule.parcel_token[schedule.parcel_ptr[parcel] : schedule.parcel_ptr[parcel + 1]]
            passed[link] += -(-int(bits[tokens].sum()) // links[link].frame_bits)
            came = [k for p, k in zip(schedule.hop_parcel, schedule.hop_link, strict=True) if p == parcel]
            (source,) = [k for k in came if links[k].dst == links[link].src]
            wanted.add((int(link), start % c.period, int(source)))
    busy = c.crossbar.what != IDLE
    assert np.array_equal(np.bincount(c.crossbar.owner[busy], c.crossbar.length[busy], len(links)), passed)
    at = {
        (int(link), (int(begin) + i) // links[link].frames_per_tick * schedule.machine.link_strides[link], int(what))
        for link, begin, length, what in zip(
            c.crossbar.owner[busy], c.crossbar.begin[busy], c.crossbar.length[busy], c.crossbar.what[busy], strict=True
        )
        for i in range(int(length))
    }
    assert wanted <= at


@settings(max_examples=60, deadline=None)
@given(graphs(max_actors=40), machines(), st.integers(1, 6), st.integers(0, 99))
def test_tables_say_what_the_schedule_says(graph: Graph, machine: Machine, pack: int, seed: int) -> None:
    schedule = simple_schedule(graph, machine, pack=pack, seed=seed)
    assert_right(graph, schedule, compile_calendars(graph, schedule))


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "soonest"])  # which is for circuits
@pytest.mark.parametrize("name", ["torus:4x4,latency=5", "star:16,frame_bits=24,frames_per_tick=3"])
def test_schedules_of_every_strategy_have_calendars(strategy: str, name: str) -> None:
    graph = mlp(14, 4, 2)
    schedule = fold(graph, load_machine(name), strategy=strategy)
    assert_right(graph, schedule, compile_calendars(graph, schedule))


@settings(max_examples=8, deadline=None)
@given(circuits(registers=4, gates=30), st.sampled_from(["torus:2x2", "full:3,frame_bits=5", "star:3,latency=4"]))
def test_gates_share_frames(circuit: Circuit, name: str) -> None:
    graph = to_graph(circuit)
    schedule = fold(graph, load_machine(name))
    assert_right(graph, schedule, compile_calendars(graph, schedule))


def test_rings_do_not_overlap_and_tokens_lie_apart() -> None:
    graph = mlp(40, 20, 5)
    c = compile_calendars(graph, fold(graph, load_machine("torus:2x2,latency=9")))
    assert c.ring_copies.max() > 1
    copies = sorted(
        (int(m), int(b) + i * int(s), int(n))
        for m, b, k, s, n in zip(c.ring_memory, c.ring_base, c.ring_copies, c.ring_step, c.ring_bits, strict=True)
        for i in range(int(k))
    )
    for (m, at, n), (other, after, _) in pairwise(copies):
        assert m != other or at + n <= after
    for i, j in pairwise(range(len(c.place_ring))):
        assert c.place_ring[i] != c.place_ring[j] or c.place_bit[i] + 32 <= c.place_bit[j]


# Limits


def limited(**settings: int) -> tuple[Graph, Schedule]:
    graph, schedule = valid()
    links = tuple(replace(link, **settings) for link in schedule.machine.links)
    return graph, replace(schedule, machine=replace(schedule.machine, links=links))


def test_memory_that_is_too_small() -> None:
    graph, schedule = valid()
    c = compile_calendars(graph, schedule)
    port = c.used[len(c.machine.nodes) :]
    compile_calendars(*limited(memory_frames=int(port.max())))
    first = c.memory_name(len(c.machine.nodes) + int(np.argmax(port == port.max())))
    with pytest.raises(OutOfMemoryError, match=rf"^{first}: out of memory: {port.max()} frames are needed, it has"):
        compile_calendars(*limited(memory_frames=int(port.max()) - 1))


def test_calendars_that_are_too_small() -> None:
    graph, schedule = valid()
    c = compile_calendars(graph, schedule)
    most = int(max(np.diff(c.gather.ptr).max(), np.diff(c.scatter.ptr).max()))
    compile_calendars(*limited(calendar_rows=most))
    with pytest.raises(
        OutOfCalendarError, match=rf"calendar: out of calendar: {most} rows are needed, it has {most - 1}"
    ):
        compile_calendars(*limited(calendar_rows=most - 1))


def _table(c: Calendars, name: str, **columns: object) -> Calendars:
    return replace(c, **{name: replace(getattr(c, name), **columns)})


def _busy(table: Table) -> int:
    return int(np.flatnonzero(table.what != IDLE)[0])


def _from_a_switch(c: Calendars) -> int:
    return int(np.flatnonzero(c.from_switch)[0])


def _into_a_switch(c: Calendars) -> int:
    return int(np.flatnonzero(c.into_switch)[0])


def _row(table: Table, component: int) -> int:
    """The first row of a component."""
    return int(table.ptr[component])


def _shifted(length: np.ndarray, row: int) -> np.ndarray:  # type: ignore[type-arg]
    """Row lengths with one tick of a row given to the next."""
    return changed(changed(length, row, int(length[row]) - 1), row + 1, int(length[row + 1]) + 1)


CORRUPTED: dict[str, tuple[Callable[[Calendars], Calendars], type[CalendarError]]] = {
    "a row too long": (
        lambda c: _table(c, "gather", length=changed(c.gather.length, 0, int(c.gather.length[0]) + 1)),
        OutOfCalendarError,
    ),
    "a row of nothing": (lambda c: _table(c, "fire", length=changed(c.fire.length, 0, 0)), OutOfCalendarError),
    "frames beyond their ring": (
        lambda c: _table(c, "scatter", offset=changed(c.scatter.offset, _busy(c.scatter), 99)),
        InvalidAddressError,
    ),
    "a ring of another link": (
        lambda c: _table(c, "scatter", what=changed(c.scatter.what, _busy(c.scatter), 0)),
        InvalidAddressError,
    ),
    "no such ring": (
        lambda c: _table(c, "gather", what=changed(c.gather.what, _busy(c.gather), 10**6)),
        InvalidAddressError,
    ),
    "a token beyond its ring": (lambda c: replace(c, place_bit=changed(c.place_bit, 3, 10**6)), InvalidAddressError),
    "a ring below its memory": (lambda c: replace(c, ring_base=changed(c.ring_base, 0, -8)), InvalidAddressError),
    "a ring within a frame": (lambda c: replace(c, ring_base=changed(c.ring_base, -1, 31)), InvalidAddressError),
    "a ring without copies": (lambda c: replace(c, ring_copies=changed(c.ring_copies, 0, 0)), InvalidAddressError),
    "a ring beyond its memory": (
        lambda c: replace(c, ring_base=changed(c.ring_base, -1, 32 * 2**30)),
        OutOfMemoryError,
    ),
    "an actor left out": (
        lambda c: _table(c, "fire", what=changed(c.fire.what, _busy(c.fire), IDLE)),
        OutOfCalendarError,
    ),
    "an actor twice": (
        lambda c: replace(c, instant_actor=changed(c.instant_actor, 0, int(c.instant_actor[1]))),
        OutOfCalendarError,
    ),
    "an instant after the end": (
        lambda c: replace(c, instant_tick=changed(c.instant_tick, 0, c.period)),
        OutOfCalendarError,
    ),
    "an output of another switch": (
        lambda c: _table(c, "crossbar", what=changed(c.crossbar.what, _busy(c.crossbar), _from_a_switch(c))),
        InvalidAddressError,
    ),
    "no such input": (
        lambda c: _table(c, "crossbar", what=changed(c.crossbar.what, _busy(c.crossbar), 10**6)),
        InvalidAddressError,
    ),
    "no such lane": (
        lambda c: _table(c, "crossbar", offset=changed(c.crossbar.offset, _busy(c.crossbar), 99)),
        InvalidAddressError,
    ),
    "a crossbar that waits": (
        lambda c: _table(c, "crossbar", stage=changed(c.crossbar.stage, _busy(c.crossbar), 1)),
        OutOfCalendarError,
    ),
    "a crossbar without a switch": (
        lambda c: _table(c, "crossbar", what=changed(c.crossbar.what, _row(c.crossbar, _into_a_switch(c)), 0)),
        InvalidAddressError,
    ),
    "a switch that reads memory": (
        lambda c: _table(c, "gather", what=changed(c.gather.what, _row(c.gather, _from_a_switch(c)), 0)),
        InvalidAddressError,
    ),
    "a switch that writes memory": (
        lambda c: _table(c, "scatter", what=changed(c.scatter.what, _row(c.scatter, _into_a_switch(c)), 0)),
        InvalidAddressError,
    ),
    "a firing too short": (
        lambda c: _table(c, "fire", length=_shifted(c.fire.length, int(np.flatnonzero(c.fire.length > 1)[0]))),
        CalendarError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTED)
def test_tables_that_cannot_be_loaded(name: str) -> None:
    graph, schedule = valid()
    corrupt, error = CORRUPTED[name]
    with pytest.raises(error) as caught:
        check(graph, corrupt(compile_calendars(graph, schedule)))
    assert type(caught.value) is error


def test_calendars_of_another_graph() -> None:
    graph, schedule = valid()
    with pytest.raises(ScheduleError, match="fold this graph again"):
        check(mlp(12, 6, 3, seed=7), compile_calendars(graph, schedule))


@pytest.mark.parametrize("name", CASES)
def test_corrupted_schedules_have_calendars_or_a_named_error(name: str) -> None:
    graph, schedule = valid()
    try:
        check(graph, compile_calendars(graph, CASES[name].mutate(graph, schedule)))
    except ScheduleError:
        assert not CASES[name].data


# Files


def small() -> tuple[Graph, Calendars]:
    graph = mlp(3, 2, 2)
    return graph, compile_calendars(
        graph, fold(graph, load_machine("full:2,frame_bits=48,latency=2"), strategy="contiguous")
    )


def test_text(golden: Callable[[str, str], None]) -> None:
    golden("calendars.txt", formatted(*small(), "text"))


def test_csv_has_every_row() -> None:
    graph, c = small()
    read = list(csv.DictReader(io.StringIO(formatted(graph, c, "csv"))))
    assert [list(line.values()) for line in read] == [
        ["" if v is None else str(v) for v in row] for row in rows(graph, c)
    ]
    gathered = [line for line in read if line["table"] == "gather" and line["component"] == "n0->n1"]
    assert sum(int(line["length"]) for line in gathered) == c.period


def test_json_has_rows_and_operands() -> None:
    graph, c = small()
    read = json.loads(formatted(graph, c, "json"))
    assert read == document(graph, c)
    assert set(read["gather"][0]) <= set(Row._fields)
    assert [memory["used"] for memory in read["memories"]] == c.used.tolist()
    width = {(entry["memory"], entry["bit"]): entry["actor"] for entry in read["place"]}
    counted = 0
    for entry in read["operands"]:
        actor, tokens = graph.actor(entry["actor"]), []
        for run in entry["runs"]:
            tokens += [width[run["memory"], run["bit"] + i * run["apart"]] for i in range(run["count"])]
        makers = [graph.actor(edge.producer).name for edge in actor.inputs]
        assert [token.split(" for ")[0] for token in tokens] == makers
        counted += len(makers)
    assert counted == graph.edge_count


def test_the_command(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    from graphsim.graph.store import save as save_graph

    graph = mlp(3, 2, 2)
    monkeypatch.chdir(tmp_path)
    save_graph(graph, tmp_path / "net.gsim")
    save(fold(graph, load_machine("full:2")), tmp_path / "net.fold")
    expected = compile_calendars(graph, fold(graph, load_machine("full:2")))
    for form in FORMATS:
        assert main(["calendars", "net.fold", "--format", form]) == 0
        assert capsys.readouterr().out == formatted(graph, expected, form)
    assert main(["calendars", "net.fold", "-f", "csv", "-o", "net.csv"]) == 0
    assert (tmp_path / "net.csv").read_text() == formatted(graph, expected, "csv")
    (tmp_path / "net.gsim").rename("other.gsim")
    assert main(["calendars", "net.fold"]) == 2
    assert "name the graph or the model with --graph" in capsys.readouterr().err
    assert main(["calendars", "net.fold", "--graph", "other.gsim"]) == 0
    assert main(["calendars", "net.fold", "--format", "xml"]) == 2
