"""NodeSpec, Link and Machine: the cost of work, the rules that machines keep, digests."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphsim.errors import MachineError
from graphsim.graph.ops import UNITS
from graphsim.machine import WORK_UNITS, Link, Machine, NodeSpec, OpTicks, load_machine

TORUS = load_machine("torus:4x4")
PAIR = (NodeSpec("a"), NodeSpec("b"))
BOTH_WAYS = (Link(0, 1), Link(1, 0))


def machine(nodes: tuple[NodeSpec, ...] = PAIR, links: tuple[Link, ...] = BOTH_WAYS, **rest: Any) -> Machine:
    return Machine(**{"name": "pair", "clock_mhz": 200.0, "nodes": nodes, "links": links, **rest})


@given(
    macs_per_tick=st.integers(1, 64),
    op_ticks=st.fixed_dictionaries({unit: st.integers(0, 50) for unit in WORK_UNITS if unit != "mac"}),
    work=st.dictionaries(st.sampled_from(WORK_UNITS), st.integers(0, 10_000)),
)
def test_ticks_are_the_macs_rounded_up_plus_the_sum_of_the_rest(
    macs_per_tick: int, op_ticks: dict[str, int], work: dict[str, int]
) -> None:
    node = NodeSpec("n", macs_per_tick=macs_per_tick, op_ticks=op_ticks)
    rest = sum(Fraction(work.get(unit, 0)) * op_ticks[unit] for unit in op_ticks)
    assert node.cycles(work) == ceil(Fraction(work.get("mac", 0), macs_per_tick)) + rest


@pytest.mark.parametrize("ticks_per_firing", [None, 1, 7])
@pytest.mark.parametrize("work", [{}, {"mac": 0}, {"add": 0, "special": 0}])
def test_no_work_costs_nothing(ticks_per_firing: int | None, work: Mapping[str, int]) -> None:
    assert NodeSpec("n", ticks_per_firing=ticks_per_firing).cycles(work) == 0


def test_ticks_per_firing_overrides_the_work() -> None:
    assert NodeSpec("n", ticks_per_firing=3).cycles({"mac": 784, "special": 2}) == 3


def test_default_node_takes_a_tick_per_mac() -> None:
    assert NodeSpec("n").cycles({"mac": 784, "add": 1}) == 785


def test_units_are_those_of_the_graph() -> None:
    assert WORK_UNITS == UNITS


def test_switch_fires_nothing() -> None:
    switch = NodeSpec("s0", "switch")
    assert switch.cycles({}) == 0
    with pytest.raises(MachineError, match="s0 is a switch"):
        switch.cycles({"mac": 1})


def test_unknown_unit_is_refused_with_the_nearest() -> None:
    with pytest.raises(MachineError, match=re.escape("no such unit of work: 'macs' (did you mean 'mac'?)")):
        NodeSpec("n").cycles({"macs": 1})


def test_negative_work_is_refused() -> None:
    with pytest.raises(MachineError, match="-1 units of add"):
        NodeSpec("n").cycles({"add": -1})


def test_op_ticks_read_as_a_mapping_with_defaults_filled_in() -> None:
    node = NodeSpec("n", op_ticks={"divide": 20})
    assert dict(node.op_ticks) == {"add": 1, "mul": 1, "compare": 1, "divide": 20, "special": 8, "gate": 1}
    assert node.op_ticks == OpTicks(divide=20)


def test_data_is_frozen_hashable_and_copyable() -> None:
    with pytest.raises(FrozenInstanceError):
        TORUS.clock_mhz = 1.0  # type: ignore[misc]
    assert hash(TORUS) == hash(load_machine("torus:4x4"))
    assert copy.deepcopy(TORUS) == TORUS


@pytest.mark.parametrize("name", ["torus:4x4", "fat_tree:3", "star:4", "full:6"])
def test_link_tables_agree_with_the_links(name: str) -> None:
    one = load_machine(name)
    for number, link in enumerate(one.links):
        assert number in one.out_links(link.src)
        assert number in one.in_links(link.dst)
        assert one.link_between(link.src, link.dst) == number
    assert sum(len(one.out_links(node)) for node in range(len(one.nodes))) == len(one.links)
    assert sum(len(one.in_links(node)) for node in range(len(one.nodes))) == len(one.links)
    assert one.link_between(0, 0) is None


def test_nodes_and_links_by_name() -> None:
    assert TORUS.nodes[TORUS.node_id("n2_3")].name == "n2_3"
    assert TORUS.link_name(0) == "n0_0->n0_1"
    with pytest.raises(MachineError, match=re.escape("no node is called 'n2_4'")):
        TORUS.node_id("n2_4")


def test_describe_names_what_differs_as_a_range() -> None:
    text = load_machine("fat_tree:2,ticks_per_firing=1").describe()
    assert "4 compute nodes, 3 switches, 12 directed links, clock 200 MHz" in text
    assert "1 to 2 per tick" in text
    assert "1 ticks per firing, whatever the work" in text


def test_digest_of_the_default_machine_stays() -> None:
    """A schedule is valid for the machine whose digest it holds: changing what goes in strands every stored one."""
    assert TORUS.digest() == "11f0578416ba85173a874d726e0a806222db1880aa6d18bb2f3cb56ad6bee073"


@pytest.mark.parametrize(
    "other",
    [
        machine(clock_mhz=199.0),
        machine(host=1),
        machine(nodes=(NodeSpec("a"), NodeSpec("c"))),
        machine(nodes=(NodeSpec("a", macs_per_tick=2), NodeSpec("b"))),
        machine(nodes=(NodeSpec("a", op_ticks={"mul": 2}), NodeSpec("b"))),
        machine(nodes=(NodeSpec("a", memory_bytes=1), NodeSpec("b"))),
        machine(nodes=(NodeSpec("a", ticks_per_firing=1), NodeSpec("b"))),
        machine(nodes=(NodeSpec("a", frequency=2), NodeSpec("b"))),
        machine(nodes=(*PAIR, NodeSpec("s", "switch"))),
        machine(nodes=(*PAIR, NodeSpec("s", "switch", crossbar_latency=1))),
        machine(links=(Link(1, 0), Link(0, 1))),
        machine(links=(Link(0, 1, frame_bits=65), Link(1, 0))),
        machine(links=(Link(0, 1, latency=0), Link(1, 0))),
        machine(links=(Link(0, 1, frames_per_tick=2), Link(1, 0))),
        machine(links=(Link(0, 1, calendar_entries=1), Link(1, 0))),
        machine(links=(Link(0, 1, frequency=3), Link(1, 0))),
        machine(links=(Link(0, 1), Link(1, 0, frequency=3))),
    ],
)
def test_digest_tells_different_hardware_apart(other: Machine) -> None:
    assert other.digest() != machine().digest()
    assert other != machine()


def test_digest_ignores_where_the_description_came_from() -> None:
    assert replace(TORUS, name="mine", topology="").digest() == TORUS.digest()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: machine(nodes=()), "1 to 65,536 nodes, not 0"),
        (lambda: machine(nodes=(NodeSpec("a"), NodeSpec("a"))), "two nodes are called a"),
        (lambda: machine(host=2), "host 2 is not a node id"),
        (lambda: machine(host=True), "host True is not a node id"),
        (lambda: machine(nodes=(NodeSpec("a", "switch"), NodeSpec("b"))), "host a is a switch"),
        (lambda: machine(links=(Link(0, 1), Link(0, 1))), "two links from a to b"),
        (lambda: machine(links=(*BOTH_WAYS, Link(0, 2))), "link 0 -> 2 leaves the machine"),
        (lambda: machine(links=(Link(0, 1),)), "no path of links from b to host a"),
        (lambda: machine(links=(Link(1, 0),)), "no path of links from host a to b"),
        (lambda: machine(clock_mhz=0), "clock_mhz must be a number from"),
        (lambda: machine(clock_mhz=float("nan")), "not nan"),
        (lambda: machine(clock_mhz=float("inf")), "not inf"),
        (lambda: machine(clock_mhz=True), "not True"),
        (lambda: machine(name=""), "1 to 200 printable characters"),
        (lambda: machine(name="a\nb"), "1 to 200 printable characters"),
        (lambda: Link(0, 0), "joins two different nodes"),
        (lambda: Link(-1, 0), "-1 is not a node id"),
        (lambda: Link(0, True), "True is not a node id"),
        (lambda: Link(0, 1, frame_bits=0), "frame_bits must be from 1 to 1048576 bits, not 0"),
        (lambda: Link(0, 1, latency=-1), "latency must be from 0 to 2147483647 cycles, not -1"),
        (lambda: Link(0, 1, latency=1.0), "latency must be a whole number, not 1.0"),
        (lambda: Link(0, 1, frames_per_tick=True), "frames_per_tick must be a whole number, not True"),
        (lambda: Link(0, 1, calendar_entries=10**5000), "not a number of 16,610 bits"),
        (lambda: NodeSpec("0"), "a node name is a letter"),
        (lambda: NodeSpec("a b"), "a node name is a letter"),
        (lambda: NodeSpec("a" * 65), "a node name is a letter"),
        (lambda: NodeSpec("a\n"), "a node name is a letter"),
        (lambda: NodeSpec("a", "gpu"), "kind must be 'compute' or 'switch', not 'gpu'"),
        (lambda: NodeSpec("a", macs_per_tick=0), "macs_per_tick must be from 1"),
        (lambda: NodeSpec("a", memory_bytes="4"), "memory_bytes must be a whole number, not '4'"),
        (lambda: NodeSpec("a", ticks_per_firing=0), "ticks_per_firing must be from 1"),
        (lambda: NodeSpec("a", frequency=0), "frequency must be from 1"),
        (lambda: Link(0, 1, frequency=2.0), "frequency must be a whole number, not 2.0"),
        (
            lambda: machine(nodes=(NodeSpec("a", frequency=65_537), NodeSpec("b", frequency=65_539))),
            "with the 65,539 of node b, is more than 2,147,483,648; choose frequencies with more common factors",
        ),
        (
            lambda: machine(links=(Link(0, 1, frequency=2**31 - 1), Link(1, 0, frequency=2))),
            "with the 2 of link b->a, is more than 2,147,483,648",
        ),
        (lambda: NodeSpec("a", op_ticks={"div": 3}), "op_ticks has no unit 'div'"),
        (lambda: NodeSpec("a", op_ticks={"mul": -3}), "mul must be from 0"),
        (lambda: NodeSpec("a", op_ticks=3), "op_ticks maps units"),
        (lambda: NodeSpec("a", "switch", macs_per_tick=2), "a switch does no work"),
        (lambda: NodeSpec("a", "switch", memory_bytes=64), "a switch stores nothing"),
        (lambda: NodeSpec("a", crossbar_latency=1), "only a switch has a crossbar"),
        (lambda: NodeSpec("a", "switch", crossbar_latency=-1), "crossbar_latency must be from 0"),
    ],
)
def test_rules(build: Any, message: str) -> None:
    with pytest.raises(MachineError, match=re.escape(message)):
        build()


def test_strides_are_the_multiple_over_the_frequency() -> None:
    one = machine(
        nodes=(NodeSpec("a", frequency=4), NodeSpec("b", frequency=6)),
        links=(Link(0, 1, latency=2), Link(1, 0, frequency=12)),
    )
    assert one.cycle == 12
    assert one.node_strides == (3, 2)
    assert [one.link_stride(i) for i in range(2)] == [12, 1]
    assert one.ways == (36, 2)
    assert one.ticks(0, {"mac": 5}) == 15
    assert "frequency  compute nodes 4 to 6, links 1 to 12; a cycle at frequency 1 has 12 ticks" in one.describe()
    assert "latency 1 to 2 cycles" in one.describe()


def test_switches_cross_in_their_latency_and_a_cycle() -> None:
    one = load_machine("star:2,switch.crossbar_latency=2,node.frequency=3")
    assert one.crossings == (0, 0, 9)
    assert [node.memory_bytes > 0 for node in one.nodes] == [True, True, False]
    assert "a frame leaves 3 cycles after it came" in one.describe()


def test_equal_frequencies_make_a_cycle_a_tick() -> None:
    one = machine(
        nodes=[NodeSpec(n, frequency=7) for n in "ab"], links=[Link(0, 1, frequency=7), Link(1, 0, frequency=7)]
    )
    assert set(one.node_strides + one.link_strides) == {1}


def test_a_switch_may_dangle() -> None:
    assert machine(nodes=(*PAIR, NodeSpec("s", "switch"))).switches == (2,)


def test_import_is_light() -> None:
    """A built-in needs none of the libraries that take long to import."""
    code = (
        "import sys; from graphsim.machine import load_machine; load_machine('torus:4x4').digest(); "
        "print([name for name in ('networkx', 'numba', 'numpy', 'pydantic', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
