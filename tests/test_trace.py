"""Traces: what they show is what the engines do, and other programs can read them."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import mlp, rnn
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from schedules import simple_schedule
from strategies import graphs, samples
from vcd.reader import TokenKind, tokenize

from graphsim.cli import main
from graphsim.errors import GraphError, ScheduleError, UsageError
from graphsim.graph import Graph
from graphsim.graph.store import save
from graphsim.machine import load_machine
from graphsim.report.trace import print_life
from graphsim.schedule.fold import fold
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.store import load as load_schedule
from graphsim.schedule.store import save as save_schedule
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine
from graphsim.trace import Timeline, life_of, perfetto, timeline, write_waves
from graphsim.trace.perfetto import LINKS, MEMORY, NODES

MACHINES = (
    "line:1",
    "line:3,latency=3",
    "mesh:2x2",
    "star:3",
    "fat_tree:2",
    "ring:3,frame_bits=20",
    "full:3,frames_per_tick=3",
)


def events(line: Timeline, iterations: int, follow: str | None = None) -> list[dict[str, Any]]:
    return list(json.loads(perfetto(line, iterations, follow))["traceEvents"])


def waves(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Every signal's (time, value), as pyvcd reads them back."""
    names: dict[str, str] = {}
    found: dict[str, list[tuple[int, Any]]] = {}
    scope: list[str] = []
    time = 0
    for token in tokenize(io.BytesIO(path.read_bytes())):
        if token.kind is TokenKind.SCOPE:
            scope.append(token.scope.ident)
        elif token.kind is TokenKind.UPSCOPE:
            scope.pop()
        elif token.kind is TokenKind.VAR:
            index = token.var.bit_index
            whole = token.var.reference + (f"[{index}]" if index is not None else "")
            names[token.var.id_code] = ".".join([*scope, whole])
            found[names[token.var.id_code]] = []
        elif token.kind is TokenKind.CHANGE_TIME:
            time = token.time_change
        elif isinstance(token.data, tuple) and hasattr(token.data, "id_code") and hasattr(token.data, "value"):
            found[names[token.data.id_code]].append((time, token.data.value))
    return found


def value_at(changes: list[tuple[int, Any]], tick: int) -> Any:
    return [value for time, value in changes if time <= tick][-1]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), graph=graphs(), spec=st.sampled_from(MACHINES), seed=st.integers(0, 99))
def test_a_trace_shows_every_firing_and_hop_once_and_apart(
    data: st.DataObject, graph: Graph, spec: str, seed: int
) -> None:
    schedule = simple_schedule(graph, load_machine(spec), seed=seed, pack=data.draw(st.integers(1, 3)))
    line, count = timeline(graph, schedule), 3
    shown = events(line, count)
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in shown:
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for spans in tracks.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    firings = [(e["args"]["actor"], e["args"]["iteration"]) for e in shown if e["pid"] == NODES and e["ph"] == "X"]
    assert len(set(firings)) == len(firings) == count * int((line.end > line.start).sum())
    sent = [e["args"]["frames"] for e in shown if e["pid"] == LINKS and e["ph"] == "X"]
    assert len(sent) == count * len(schedule.hop_link)
    assert sum(sent) == count * int(line.hop_frames.sum())


@settings(max_examples=25, deadline=None)
@given(data=st.data(), graph=graphs(), spec=st.sampled_from(MACHINES))
def test_sinks_end_in_the_trace_when_they_do_on_the_machine(data: st.DataObject, graph: Graph, spec: str) -> None:
    schedule = simple_schedule(graph, load_machine(spec))
    run = MachineEngine(graph, schedule).run(data.draw(samples(graph)))
    assert run.timing is not None
    line = timeline(graph, schedule)
    sinks = [a for i in line.graph.sinks for a in range(int(line.graph.first[i]), int(line.graph.first[i + 1]))]
    last = max(int(line.end[a]) for a in sinks)
    assert run.timing.sink_ticks.tolist() == [last + n * schedule.period for n in range(run.samples)]


@settings(max_examples=25, deadline=None)
@given(graph=graphs(), spec=st.sampled_from(MACHINES))
def test_memory_is_never_below_zero_and_empty_in_the_end(graph: Graph, spec: str) -> None:
    line = timeline(graph, simple_schedule(graph, load_machine(spec)))
    by_node: dict[str, list[int]] = {}
    for event in events(line, 4):
        if event["pid"] == MEMORY and event["ph"] == "C":
            by_node.setdefault(event["name"], []).append(event["args"]["bytes"])
    room = np.zeros(len(line.schedule.machine.nodes), np.int64)
    sizes = -(-line.bits[line.schedule.slot_token] // 8) * line.schedule.slot_depth
    np.add.at(room, line.schedule.slot_node, sizes)
    kept_unread = sum(line.kept_bytes[line.kept_from == line.kept_until].tolist())  # made, and read by nobody
    for name, levels in by_node.items():
        assert min(levels) >= 0
        assert levels[-1] == 0
        assert max(levels) <= room[line.schedule.machine.node_id(name)] + kept_unread


def small() -> tuple[Graph, Schedule]:
    graph = mlp(6, 4, 3)
    return graph, fold(graph, load_machine("line:2"))


def test_the_life_of_a_token_in_order() -> None:
    graph, schedule = small()
    line = timeline(graph, schedule)
    life = life_of(line, "dense[1]", 5)
    assert len(life.operands) == 6
    assert max(operand.there for operand in life.operands) <= life.fired[0]
    assert life.fired[0] == int(schedule.start[graph.actor("dense[1]").id]) + 5 * schedule.period
    assert {use.actor for use in life.uses} == {graph.actor(int(c)).name for c in graph.actor("dense[1]").consumers}
    there = {life.node: life.fired[1]} | {schedule.machine.links[hop.link].dst: hop.arrival for hop in life.hops}
    assert all(use.start >= there[use.node] for use in life.uses)
    assert {stay.node for stay in life.stays} == set(there)
    assert all(stay.end >= use.end for stay in life.stays for use in life.uses if use.node == stay.node)


def test_a_life_is_told_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    graph, schedule = small()
    line = timeline(graph, schedule)
    for name in ("dense[1]", "dense_1[0]", "pixels[0]"):
        print_life(Console(width=200), schedule.machine, life_of(line, name, 5))
        _, *events = capsys.readouterr().out.splitlines()
        ticks = [int(event.split()[0].replace(",", "")) for event in events]
        assert len(ticks) > 3
        assert ticks == sorted(ticks)


def test_the_life_of_state_reaches_the_next_iteration() -> None:
    graph = rnn(steps=3)
    line = timeline(graph, fold(graph, load_machine("line:2")))
    name = graph.groups[next(i for i, g in enumerate(graph.groups) if g.firings == 3 and g.op == "linear")].name
    with pytest.raises(GraphError, match=r"fires 3 times per iteration; name a firing: .*@0\[0\]"):
        life_of(line, f"{name}[0]", 0)
    assert any(use.actor.startswith(f"{name}@1") for use in life_of(line, f"{name}@0[0]", 0).uses)


def test_a_source_has_no_token_of_its_own() -> None:
    graph, schedule = small()
    with pytest.raises(GraphError, match="makes a token for every input; name one, such as"):
        life_of(timeline(graph, schedule), graph.groups[graph.sources[0]].name, 0)


def test_arrows_follow_a_token_to_every_node_that_reads_it() -> None:
    graph, schedule = small()
    line = timeline(graph, schedule)
    flow = [e for e in events(line, 2, "dense[1]") if e.get("cat") == "token" and e["id"] == 1]
    life = life_of(line, "dense[1]", 0)
    assert [e["ph"] for e in flow] == ["s", *"t" * len(life.hops), *"f" * len({use.node for use in life.uses})]
    assert flow[0]["ts"] == life.fired[0]


def test_waves_say_who_fires_where_and_what_it_makes(tmp_path: Path) -> None:
    graph, schedule = small()
    line = timeline(graph, schedule)
    run = ReferenceEngine(graph).run(np.random.default_rng(0).random((3, 6), np.float32))
    count = write_waves(tmp_path / "w.vcd", line, 3, values=run.values)
    found = waves(tmp_path / "w.vcd")
    assert len(found) == count
    for actor in graph:
        if line.end[actor.id] == line.start[actor.id]:
            continue
        node = schedule.machine.nodes[schedule.node[actor.id]].name
        for n in range(3):
            start, end = (int(t[actor.id]) + n * schedule.period for t in (line.start, line.end))
            assert value_at(found[f"nodes.{node}.actor"], start) == actor.name
            assert value_at(found[f"nodes.{node}.actor"], end - 1) == actor.name
            assert value_at(found[f"nodes.{node}.iteration"], start) == n
            if f"tokens.{actor.name}" in found:
                made = run.values[actor.group.name].reshape(3, -1)[n, actor.local]
                assert np.float32(value_at(found[f"tokens.{actor.name}"], end)) == made


def test_waves_count_frames(tmp_path: Path) -> None:
    graph = mlp(6, 4, 3)
    line = timeline(graph, simple_schedule(graph, load_machine("full:3,frames_per_tick=3,frame_bits=20"), pack=3))
    write_waves(tmp_path / "w.vcd", line, 2, only=r"links\..*frames")
    found = waves(tmp_path / "w.vcd")
    total = 0
    for changes in found.values():
        known = [(tick, 0 if isinstance(value, str) else value) for tick, value in changes]
        total += sum(value * (until - tick) for (tick, value), (until, _) in pairwise(known))
        assert max(value for _, value in known) <= 3
    assert total == 2 * int(line.hop_frames.sum())


def test_signals_are_chosen_by_name(tmp_path: Path) -> None:
    graph, schedule = small()
    assert write_waves(tmp_path / "w.vcd", timeline(graph, schedule), 2, only="^memory") == 2
    assert set(waves(tmp_path / "w.vcd")) == {"memory.n0", "memory.n1"}


@pytest.mark.parametrize(
    ("options", "why"),
    [({"only": "["}, "regular expression"), ({"only": "nowhere"}, "no signal"), ({"timescale": "3 ns"}, "timescale")],
)
def test_waves_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, str], why: str) -> None:
    graph, schedule = small()
    with pytest.raises(UsageError, match=why):
        write_waves(tmp_path / "w.vcd", timeline(graph, schedule), 2, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "w.vcd").exists()


def test_a_trace_that_no_viewer_opens_is_refused() -> None:
    graph, schedule = small()
    with pytest.raises(ScheduleError, match="take fewer iterations"):
        perfetto(timeline(graph, schedule), 10**6)


def test_a_rejected_schedule_has_no_timeline() -> None:
    graph, schedule = small()
    start = schedule.start.copy()
    start[-1] = 0
    object.__setattr__(schedule, "start", start)
    with pytest.raises(ScheduleError, match="breaks"):
        timeline(graph, schedule)


def test_the_command_of_a_circuit_writes_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.blif").write_text(
        ".model c\n.inputs a\n.outputs q\n.latch n q 0\n.names a q n\n01 1\n10 1\n.end\n", encoding="utf-8"
    )
    Path("s.json").write_text('{"a": [1, 1, 0, 1]}', encoding="utf-8")
    assert main(["fold", "c.blif", "-m", "line:2", "-o", "c.fold"]) == 0
    options = ["--vcd", "c.vcd", "--stimulus", "s.json", "--iterations", "4", "--signals", "tokens"]
    assert main(["trace", "c.blif", "c.fold", *options, "--json", "t.json"]) == 0
    found = waves(Path("c.vcd"))
    (state,) = (changes for name, changes in found.items() if "register" in name)
    # A tick per cycle. A register's token is what it will hold next: 0 xor 1, 1 xor 1, 0 xor 0 (no change), 0 xor 1.
    assert [(tick, str(value)) for tick, value in state] == [(0, "x"), (1, "1"), (2, "0"), (4, "1")]
    assert json.loads(Path("t.json").read_text())["graph"] == "c"


KINDS = {
    "double": (mlp(6, 4, 3), ["--machine", "one-to-one", "--buffering", "double", "--frame-bits", "128"]),
    "frequencies": (mlp(6, 4, 3), ["--machine", "ring:3,node.frequency=2,link.frequency=3,frames_per_tick=2"]),
    "states": (rnn(steps=3), ["--machine", "star:3"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_traces_of_every_kind_of_schedule_are_read_back(kind: str, tmp_path: Path) -> None:
    """What viewers get says what the schedule says: every firing of a node, every tick of a link, in both files."""
    graph, options = KINDS[kind]
    save(graph, tmp_path / "g.gsim")
    paths = [str(tmp_path / name) for name in ("g.gsim", "g.fold", "t.json", "w.vcd")]
    assert main(["fold", *paths[:1], "-o", paths[1], *options]) == 0
    assert main(["trace", *paths[:2], "--perfetto", paths[2], "--vcd", paths[3], "--iterations", "3"]) == 0
    schedule = load_schedule(Path(paths[1]), graph)
    line = timeline(graph, schedule)
    shown = json.loads(Path(paths[2]).read_text(encoding="utf-8"))["traceEvents"]
    assert shown == json.loads(json.dumps(events(line, 3)))
    fired = [e for e in shown if e["pid"] == NODES and e["ph"] == "X"]
    assert len(fired) == 3 * int((line.end > line.start).sum())
    found = waves(tmp_path / "w.vcd")
    for v, node in enumerate(schedule.machine.nodes):
        starts = sorted(
            int(line.start[a.id]) + n * schedule.period
            for a in line.graph
            for n in range(3)
            if schedule.node[a.id] == v and line.end[a.id] > line.start[a.id]
        )
        plain = re.sub(r"[^A-Za-z0-9_]", "_", node.name)  # signals are named so that every viewer reads them
        changes = found.get(f"nodes.{plain}.actor", [])
        for start in starts:
            assert value_at(changes, start) not in ("", "z", "x", None)
    sent = sum(e["args"]["frames"] for e in shown if e["pid"] == LINKS and e["ph"] == "X")
    assert sent == 3 * int(line.hop_frames.sum()) > 0


@pytest.mark.parametrize("options", [[], ["--signals", "x"], ["--actor", "nobody"], ["--vcd", "no/folder/w.vcd"]])
def test_the_command_refuses_what_means_nothing(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    graph, schedule = small()
    save(graph, tmp_path / "g.gsim")
    save_schedule(schedule, tmp_path / "g.fold")
    assert main(["trace", str(tmp_path / "g.gsim"), str(tmp_path / "g.fold"), *options]) == 2
    assert "error" in capsys.readouterr().err
