"""Runs with faults: the machine engine against processes that push single bits, and against what must be true."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from circuits import circuits
from graphs import mlp, rnn
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import valid
from schedules import simple_schedule
from strategies import graphs, samples

from graphsim.graph import Channel, Dense, Graph, Group, OneToOne, Ref
from graphsim.graph.circuit import Circuit, to_graph
from graphsim.machine import load_machine
from graphsim.schedule.fold import fold
from graphsim.schedule.schedule import Schedule
from graphsim.simulate.faults import Checksum, FaultyRun, draws, faults_from_toml, plan_faults
from graphsim.simulate.faults.damage import _Judge, _Outcome, sweep
from graphsim.simulate.faults.events import FaultyEvents
from graphsim.simulate.faults.machine import FaultyMachine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.machine.engine import CHUNK

MACHINES = (
    "line:3",
    "mesh:2x2",
    "star:3",
    "star:3,frame_bits=24,switch.crossbar_latency=2",
    "star:2,frames_per_tick=2",
    "fat_tree:2,latency=0",
    "full:3,frame_bits=24,latency=0",
    "ring:3,latency=9,frames_per_tick=3",
    "line:3,link.frequency=2,node.frequency=3",
)


def run(graph: Graph, schedule: Schedule, text: str, inputs: npt.NDArray[np.float32], rate: float = 0.0) -> FaultyRun:
    plan = plan_faults(faults_from_toml(text), graph, schedule)
    return FaultyMachine(graph, schedule, plan).run_with(inputs, rate=rate, checksum="none")


def assert_same(one: FaultyRun, other: FaultyRun) -> None:
    assert one.frames == other.frames
    for name, values in one.values.items():
        assert np.array_equal(one.missing[name], other.missing[name]), name
        assert np.array_equal(values, other.values[name], equal_nan=True), name
        assert np.all(np.isnan(values[one.missing[name]]))
    assert np.array_equal(one.noticed, other.noticed)


@st.composite
def faults(draw: st.DrawFn, graph: Graph, schedule: Schedule) -> str:
    """A file of faults that fits, with a little of everything."""
    machine, at = schedule.machine, st.integers(0, 6 * schedule.period)
    lines = [f"seed = {draw(st.integers(0, 9))}", "[corruption]", "rates = [0.0]", f"bits = {draw(st.integers(1, 3))}"]
    for _ in range(draw(st.integers(0, 1))):
        node = draw(st.sampled_from(machine.nodes)).name
        lines += ["[[crash]]", f'node = "{node}"', f"at = {draw(at)}", 'unit = "tick"']
    used = sorted(set(schedule.hop_link.tolist()))
    for kind in draw(st.lists(st.sampled_from(["link_down", "late_link"]), max_size=2, unique=True)) if used else ():
        link = machine.links[draw(st.sampled_from(used))]
        ends = f'from = "{machine.nodes[link.src].name}"\nto = "{machine.nodes[link.dst].name}"'
        when = draw(at)
        grows = link.dst in machine.switches
        if kind == "late_link" and grows and len({other.frames_per_tick for other in machine.links}) > 1:
            continue
        lines += [f"[[{kind}]]", ends, f"at = {when}", 'unit = "tick"']
        lines += [f"until = {when + draw(st.integers(1, 40))}" if kind == "link_down" else ""]
        lines += [f"latency = {draw(st.integers(link.latency * grows, 12))}" if kind == "late_link" else ""]
    actors = [a for a in graph if a.group.op != "source"]
    if draw(st.booleans()):
        lines += ["[[drop]]", f'actor = "{draw(st.sampled_from(actors)).name}"', "iterations = [0, 3]"]
    weighted = [a for a in actors if any(edge.weight is not None for edge in a.inputs)]
    for _ in range(draw(st.integers(0, 2)) if weighted else 0):
        change = draw(st.sampled_from(["flip", "stuck at 0", "stuck at 1"]))
        lines += ["[[weight]]", f'neuron = "{draw(st.sampled_from(weighted)).name}"', f'change = "{change}"']
    return "\n".join(lines)


@settings(max_examples=60, deadline=None)
@given(st.data(), graphs(max_actors=40), st.sampled_from(MACHINES), st.integers(1, 4), st.integers(0, 99))
def test_machine_and_events_agree(data: st.DataObject, graph: Graph, name: str, pack: int, seed: int) -> None:
    width = {g: data.draw(st.sampled_from([32, 32, 64])) for g in range(len(graph.groups))}
    channels = [dataclasses.replace(c, token_bits=width[c.src]) for c in graph.channels]
    graph = Graph(graph.name, graph.groups, channels, graph.params)
    schedule = simple_schedule(graph, load_machine(name), pack=pack, seed=seed)
    plan = plan_faults(faults_from_toml(data.draw(faults(graph, schedule))), graph, schedule)
    inputs = data.draw(samples(graph, 5))
    rate, checksum = (
        data.draw(st.sampled_from([0.0, 0.05, 0.5])),
        data.draw(st.sampled_from(["none", "parity", "crc8"])),
    )
    machine = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=rate, checksum=checksum)
    events = FaultyEvents(graph, schedule, plan).run_with(inputs, rate=rate, checksum=checksum)
    assert_same(machine, events)


@settings(max_examples=20, deadline=None)
@given(st.data(), circuits(), st.integers(0, 99), st.sampled_from(MACHINES))
def test_machine_and_events_agree_on_gates(data: st.DataObject, circuit: Circuit, seed: int, name: str) -> None:
    """Tokens of one bit: many in a frame, of which a flip makes the other value."""
    graph = to_graph(circuit)
    schedule = fold(graph, load_machine(name))
    plan = plan_faults(faults_from_toml(data.draw(faults(graph, schedule))), graph, schedule)
    inputs = np.random.default_rng(seed).integers(0, 2, (6, graph.groups[1].size)).astype(np.float32)
    machine = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=0.2, checksum="none")
    assert_same(machine, FaultyEvents(graph, schedule, plan).run_with(inputs, rate=0.2, checksum="none"))
    for values in machine.values.values():
        assert set(np.unique(values[~np.isnan(values)]).tolist()) <= {0.0, 1.0}


@settings(max_examples=25, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(MACHINES), st.integers(1, 3))
def test_a_sweep_says_what_whole_runs_say(data: st.DataObject, has_state: bool, name: str, threads: int) -> None:
    """Samples that corruption does not hit are run once, parts of them by several threads: to the same end."""
    graph = rnn(steps=2, sequences=True) if has_state else data.draw(graphs(max_actors=40))
    schedule = simple_schedule(graph, load_machine(name), pack=2) if not has_state else fold(graph, load_machine(name))
    text = data.draw(faults(graph, schedule)).replace("rates = [0.0]", "rates = [0, 0.01, 0.1, 1.0]")
    asked = faults_from_toml(text)
    inputs = data.draw(samples(graph, 12))
    clean = MachineEngine(graph, schedule).run(inputs)
    with mock.patch("graphsim.simulate.faults.damage._PART", data.draw(st.integers(1, 5))):
        found = sweep(asked, graph, schedule, inputs, clean, threads=threads).cases
    engine = FaultyMachine(graph, schedule, plan_faults(asked, graph, schedule))
    judge = _Judge(graph, schedule, clean)
    for case in found:
        run = engine.run_with(inputs, rate=case.rate, checksum=case.checksum)
        whole = _Outcome.of(clean.samples, schedule)
        whole.add(run, judge.fates(run), slice(None))
        expected = judge.damage(whole, case.checksum, case.rate)
        assert repr(dataclasses.replace(case, wall_seconds=expected.wall_seconds)) == repr(expected)


def test_a_value_that_is_no_number_without_faults_is_not_wrong_with_none() -> None:
    graph = mlp(4, 3, 2)
    schedule = fold(graph, load_machine("ring:3"))
    inputs = np.full((3, 4), 0.5, np.float32)
    inputs[1] = [3e38, -3e38, 3e38, -3e38]
    inputs[2] = 3e38
    clean = MachineEngine(graph, schedule).run(inputs)
    assert any(np.isnan(values).any() for values in clean.values.values())
    (case,) = sweep(
        faults_from_toml('checksums = ["none"]\n[corruption]\nrates = [0]'), graph, schedule, inputs, clean
    ).cases
    assert (case.frames.hit, case.affected, case.silent) == (0, 0, 0)


def test_machine_and_events_agree_on_state() -> None:
    """State that is lost stays lost: what depends on it is missing in every sample that follows."""
    graph = rnn(steps=3, sequences=True)
    schedule = fold(graph, load_machine("line:3"))
    inputs = np.random.default_rng(0).random((5, *graph.groups[1].shape), dtype=np.float32)
    name = next(a.name for a in graph if a.group.firings > 1 and a.group.op == "linear")
    text = f'seed = 1\n[[drop]]\nactor = "{name}"\niterations = [2]\n[corruption]\nrates = [0.01]'
    plan = plan_faults(faults_from_toml(text), graph, schedule)
    machine = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=0.01, checksum="crc8")
    assert_same(machine, FaultyEvents(graph, schedule, plan).run_with(inputs, rate=0.01, checksum="crc8"))
    assert machine.missing[name.split("[")[0]][2].any()


@settings(max_examples=40, deadline=None)
@given(st.data(), graphs(max_actors=40, windows=True), st.sampled_from(MACHINES), st.integers(0, 9))
def test_nothing_stops_a_run(data: st.DataObject, graph: Graph, name: str, seed: int) -> None:
    """Every frame hit, at eight bits: NaN, infinities and entries of tables that are not there come to every op."""
    schedule = simple_schedule(graph, load_machine(name), pack=3, seed=seed)
    text = data.draw(faults(graph, schedule)).replace("bits = ", "bits = 8 #")
    found = run(graph, schedule, text, data.draw(samples(graph, 4)), rate=1.0)
    assert found.frames.hit == found.frames.sent - found.frames.lost or "late_link" in text


def test_bits_of_what_is_no_number_are_all_alike_on_links(tmp_path: Path) -> None:
    """A flip in the exponent makes a number of it again, in which all its other bits show."""
    graph, schedule = relay(tmp_path)
    words = np.array([0x7FC00000, 0x7F800001, 0xFFC12345, 0x7FFFFFFF, 0xFF800777, 0x7FA00000, 0xFFFFFFFF, 0x7FC0DE00])
    inputs = np.tile(words.astype(np.uint32).view(np.float32), (40, 1))
    plan = plan_faults(faults_from_toml("[corruption]\nrates = [0.5]"), graph, schedule)
    machine = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=0.5, checksum="none")
    assert_same(machine, FaultyEvents(graph, schedule, plan).run_with(inputs, rate=0.5, checksum="none"))
    one_flip = {0x7FC00000 ^ 1 << bit for bit in range(23, 31)}
    assert one_flip & set(machine.values["copy"].view(np.uint32).ravel().tolist())


def test_streams_are_splitmix64() -> None:
    """The numbers that the authors' C code gives for seed 1234567."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [draws.draw(1234567, i) for i in range(5)] == expected


def relay(tmp_path: Path) -> tuple[Graph, Schedule]:
    """Eight tokens of 32 bits from n0 to n3, in eight frames over three hops."""
    groups = [
        Group(name="source", op="source"),
        Group(name="message", op="input", shape=(8,)),
        Group(name="copy", op="max", shape=(8,)),
        Group(name="sink", op="collect"),
    ]
    graph = Graph("relay", groups, [Dense(src=0, dst=1), OneToOne(src=1, dst=2), Dense(src=2, dst=3)], {})
    (tmp_path / "placement.csv").write_text("actors,node\nsource,n0\nmessage[0:8],n0\ncopy[0:8],n3\nsink,n0\n")
    return graph, fold(graph, load_machine("line:4,frame_bits=32"), placement=tmp_path / "placement.csv")


@pytest.mark.parametrize("rate", [0.0005, 0.005, 0.03, 0.1])
def test_messages_of_8_frames_over_3_hops_stay_correct_by_chance(tmp_path: Path, rate: float) -> None:
    """Of 500 each time, 500 (1 - p)^24 on average: binomial, as every frame is hit by itself on every hop."""
    graph, schedule = relay(tmp_path)
    inputs = np.random.default_rng(0).random((500, 8), dtype=np.float32)
    expected, right = (1 - rate) ** 24, []
    for seed in range(20):
        found = run(graph, schedule, f"seed = {seed}\n[corruption]\nrates = [{rate}]", inputs, rate)
        right.append(int((found.values["copy"] == inputs).all(axis=1).sum()))
    deviation = math.sqrt(500 * expected * (1 - expected))
    assert abs(sum(right) - 20 * 500 * expected) < 4 * math.sqrt(20) * deviation
    assert max(abs(n - 500 * expected) for n in right) < 5 * deviation
    assert np.std(right) == pytest.approx(deviation, rel=0.6)


def test_without_faults_that_happen_every_bit_is_as_ever() -> None:
    graph, schedule = valid()
    inputs = np.random.default_rng(0).random((2 * CHUNK + 3, 12), dtype=np.float32)
    clean = MachineEngine(graph, schedule).run(inputs)
    found = run(graph, schedule, "[corruption]\nrates = [0.5]", inputs)
    for name, values in clean.values.items():
        assert found.values[name].tobytes() == values.tobytes()
        assert not found.missing[name].any()
    assert (found.frames.hit, found.frames.lost, found.frames.withheld) == (0, 0, 0)


def test_chance_does_not_depend_on_how_many_samples_there_are() -> None:
    graph, schedule = valid()
    inputs = np.random.default_rng(0).random((CHUNK + 50, 12), dtype=np.float32)
    text = "seed = 3\n[corruption]\nrates = [0.01]"
    long, short = (run(graph, schedule, text, inputs[:n], 0.01) for n in (CHUNK + 50, 40))
    for name, values in short.values.items():
        assert np.array_equal(long.values[name][:40], values, equal_nan=True)


def test_greater_rates_hit_what_lesser_ones_hit(tmp_path: Path) -> None:
    graph, schedule = relay(tmp_path)
    inputs = np.random.default_rng(0).random((500, 8), dtype=np.float32)
    text = "[corruption]\nrates = [0.5]"
    less, more = (run(graph, schedule, text, inputs, rate).values["copy"] != inputs for rate in (0.002, 0.02))
    assert 0 < less.sum() < more.sum()
    assert np.all(more[less])  # two hits might take back each other: none do with this seed


@pytest.mark.parametrize(
    ("checksum", "bits", "least", "most"),
    [
        ("none", 1, 0.0, 0.0),
        ("parity", 1, 1.0, 1.0),
        ("parity", 2, 0.0, 0.0),
        ("parity", 3, 1.0, 1.0),
        ("crc8", 1, 1.0, 1.0),
        ("crc8", 2, 1.0, 1.0),
        ("crc8", 3, 1.0, 1.0),  # a multiple of x + 1 divides no polynomial of an odd number of terms
        ("crc8", 4, 0.98, 0.999),
    ],
)
def test_checksums_notice(checksum: Checksum, bits: int, least: float, most: float) -> None:
    graph = mlp(12, 6, 3)
    schedule = fold(graph, load_machine("mesh:2x2,frame_bits=64"))
    inputs = np.random.default_rng(0).random((500, 12), dtype=np.float32)
    plan = plan_faults(faults_from_toml(f"[corruption]\nrates = [0.3]\nbits = {bits}"), graph, schedule)
    frames = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=0.3, checksum=checksum).frames
    assert frames.hit > 2000
    assert least <= frames.noticed / frames.hit <= most


def test_a_missing_token_is_not_zero() -> None:
    """One element of one sample is lost: all that sum over it are missing, and nothing else is."""
    graph, schedule = valid()
    inputs = np.random.default_rng(0).random((9, 12), dtype=np.float32)
    found = run(graph, schedule, '[[drop]]\nactor = "pixels[5]"\niterations = [4]', inputs)
    clean = MachineEngine(graph, schedule).run(inputs)
    for name, missing in found.missing.items():
        assert missing[4].sum() == (1 if name == "pixels" else missing[4].size)
        others = np.arange(9) != 4
        assert not missing[others].any()
        assert np.array_equal(found.values[name][others], clean.values[name][others])


def test_a_crash_is_seen_by_neighbours_and_missed_by_all() -> None:
    graph = mlp(12, 6, 3)
    schedule = simple_schedule(graph, load_machine("line:3"))
    machine = schedule.machine
    plan = plan_faults(faults_from_toml('[[crash]]\nnode = "n1"\nat = 10'), graph, schedule)
    inputs = np.random.default_rng(0).random((40, 12), dtype=np.float32)
    found = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=0.0, checksum="none")
    there = ~found.missing["sink"].any(axis=1)
    assert 0 < there.sum() < 11
    assert np.array_equal(np.sort(there)[::-1], there)  # the first ones came through
    tick = 10 * schedule.period
    (told,) = plan.told(schedule)
    assert told["tick"] == tick
    neighbours = [{"node": name, "tick": tick + 1 + machine.links[0].latency} for name in ("n0", "n2")]
    assert told["neighbours"] == neighbours
    assert found.noticed[1] == -1  # it does nothing any more, and so misses nothing
    assert found.noticed[0] > tick


def test_a_link_that_comes_up_again_carries_on() -> None:
    graph, schedule = valid()
    machine = schedule.machine
    link = machine.links[int(schedule.hop_link[0])]
    ends = f'from = "{machine.nodes[link.src].name}"\nto = "{machine.nodes[link.dst].name}"'
    inputs = np.random.default_rng(0).random((60, 12), dtype=np.float32)
    found = run(graph, schedule, f"[[link_down]]\n{ends}\nat = 20\nuntil = 30", inputs)
    lost = np.flatnonzero(found.missing["sink"].any(axis=1))
    assert 9 <= len(lost) <= 12
    assert np.array_equal(lost, np.arange(lost[0], lost[0] + len(lost)))
    assert found.frames.lost > 0


def test_a_link_that_is_late_hands_over_wrong_frames() -> None:
    """Calendars count ticks: what comes a tick later is taken for something else, and no checksum says so."""
    graph, schedule = valid()
    machine = schedule.machine
    link = machine.links[int(schedule.hop_link[0])]
    ends = f'from = "{machine.nodes[link.src].name}"\nto = "{machine.nodes[link.dst].name}"'
    inputs = np.random.default_rng(0).random((60, 12), dtype=np.float32)
    plan = plan_faults(
        faults_from_toml(f"[[late_link]]\n{ends}\nat = 20\nlatency = {link.latency + 1}"), graph, schedule
    )
    found = FaultyMachine(graph, schedule, plan).run_with(inputs, rate=0.0, checksum="crc8")
    clean = MachineEngine(graph, schedule).run(inputs)
    assert found.frames.misplaced > 0
    assert np.array_equal(found.values["sink"][:15], clean.values["sink"][:15])
    assert not np.array_equal(found.values["dense"][25:], clean.values["dense"][25:])


def test_a_link_that_is_late_beyond_the_run_is_as_good_as_down() -> None:
    graph, schedule = valid()
    machine = schedule.machine
    link = machine.links[int(schedule.hop_link[0])]
    ends = f'from = "{machine.nodes[link.src].name}"\nto = "{machine.nodes[link.dst].name}"\nat = 0'
    inputs = np.random.default_rng(0).random((20, 12), dtype=np.float32)
    late = run(graph, schedule, f"[[late_link]]\n{ends}\nlatency = {2**31 - 1}", inputs)
    down = run(graph, schedule, f"[[link_down]]\n{ends}", inputs)
    assert late.frames.misplaced == 0
    assert any(flags.any() for flags in down.missing.values())
    for name, flags in down.missing.items():
        assert np.array_equal(late.missing[name], flags)
        assert np.array_equal(late.values[name], down.values[name], equal_nan=True)


@pytest.mark.parametrize(("bit", "change"), [(31, "flip"), (23, "stuck at 1"), (30, "stuck at 1"), (0, "stuck at 0")])
def test_a_wrong_weight_is_that_of_one_neuron(bit: int, change: str) -> None:
    """As a graph that has this weight; infinite weights times zero are NaN, and no zero is skipped."""
    graph, schedule = valid()
    inputs = np.random.default_rng(0).random((20, 12), dtype=np.float32)
    inputs[:10, 7] = 0.0
    text = f'[[weight]]\nneuron = "dense[2]"\nweight = 7\nbit = {bit}\nchange = "{change}"'
    found = run(graph, schedule, text, inputs)
    (wrong,) = plan_faults(faults_from_toml(text), graph, schedule).weights
    kernel = graph.params["dense/kernel"].copy()
    word = kernel[7:8, 2].view(np.uint32)
    word[:] = {"flip": word ^ (1 << bit), "stuck at 1": word | (1 << bit), "stuck at 0": word & ~np.uint32(1 << bit)}[
        change
    ]
    assert wrong.after == kernel[7, 2]
    other = Graph(graph.name, graph.groups, graph.channels, {**graph.params, "dense/kernel": kernel})
    if np.isfinite(kernel[7, 2]):
        expected = MachineEngine(other, dataclasses.replace(schedule, graph_digest=other.digest)).run(inputs)
        for name, values in expected.values.items():
            assert found.values[name].tobytes() == values.tobytes()


def test_a_wrong_weight_is_wrong_for_all_that_share_it_on_the_node(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    params = {"k": rng.normal(size=(3, 1)).astype(np.float32)}
    groups = [
        Group(name="source", op="source"),
        Group(name="x", op="input", shape=(9,)),
        Group(name="conv", op="linear", shape=(3,)),
        Group(name="sink", op="collect"),
    ]
    channels: list[Channel] = [
        Dense(src=0, dst=1),
        Dense(src=1, dst=2, weight=Ref("k"), blocks=3),
        Dense(src=2, dst=3),
    ]
    graph = Graph("shared", groups, channels, params)
    for nodes, wrong in ((("n0", "n0", "n0"), 3), (("n1", "n1", "n0"), 2), (("n0", "n1", "n2"), 1)):
        lines = ["actors,node", *(f"conv[{i}],{node}" for i, node in enumerate(nodes))]
        (tmp_path / "placement.csv").write_text("\n".join(lines))
        schedule = fold(graph, load_machine("line:3"), placement=tmp_path / "placement.csv")
        inputs = rng.random((2, 9), dtype=np.float32)
        found = run(graph, schedule, '[[weight]]\nneuron = "conv[1]"\nweight = 2\nbit = 30', inputs)
        clean = MachineEngine(graph, schedule).run(inputs)
        assert (found.values["conv"] != clean.values["conv"]).sum(axis=1).tolist() == [wrong, wrong]
