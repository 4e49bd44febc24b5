"""Machines for schedule tests: every topology, odd numbers on nodes and links, nodes of several speeds."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from graphsim.machine import Machine, load_machine

SPECS = (
    "line:1", "line:2", "line:5", "ring:3", "ring:6", "mesh:2x3", "torus:2x2", "torus:3x3", "torus:2x2x2", "full:4",
    "full:7", "star:3", "star:6", "tree:2x2", "tree:1x4", "fat_tree:2", "fat_tree:3", "hypercube:3",
)  # fmt: skip


@st.composite
def machines(draw: st.DrawFn, specs: tuple[str, ...] = SPECS) -> Machine:
    """A built-in machine, mostly with other numbers than the defaults; nodes or links may differ from each other."""
    machine = load_machine(draw(st.sampled_from(specs), label="machine"))
    nodes = list(machine.nodes)
    speeds = draw(st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=3), label="macs_per_tick")
    special = draw(st.sampled_from([0, 1, 8]), label="special")
    fixed = draw(st.sampled_from([None, None, 1, 3]), label="ticks_per_firing")
    clocks = draw(st.sampled_from([((1,), (1,)), ((1,), (1,)), ((2, 3), (4,)), ((1, 6), (3, 2)), ((5,), (5,))]))
    alike = bool(machine.switches)  # a switch and its links have one frequency and one width
    for i, node in enumerate(nodes):
        crossbar = draw(st.integers(0, 3), label="crossbar_latency") if node.kind == "switch" else 0
        frequency = clocks[1][0] if node.kind == "switch" else clocks[0][i % len(clocks[0])]
        nodes[i] = dataclasses.replace(node, frequency=frequency, crossbar_latency=crossbar)
    for i in machine.compute_nodes:
        nodes[i] = dataclasses.replace(
            nodes[i],
            macs_per_tick=speeds[i % len(speeds)],
            op_ticks={"special": special},
            ticks_per_firing=fixed,
        )
    widths = draw(st.lists(st.sampled_from([1, 20, 32, 48, 64, 200]), min_size=1, max_size=2), label="frame_bits")
    latencies = draw(st.lists(st.integers(0, 7), min_size=1, max_size=3), label="latency")
    rates = draw(st.lists(st.sampled_from([1, 1, 2, 3]), min_size=1, max_size=2), label="frames_per_tick")
    links = [
        dataclasses.replace(
            link,
            frame_bits=widths[0 if alike else i % len(widths)],
            latency=latencies[i % len(latencies)],
            frames_per_tick=link.frames_per_tick * rates[i % len(rates)],
            calendar_entries=1 << 20,
            frequency=clocks[1][0 if alike else i % len(clocks[1])],
        )
        for i, link in enumerate(machine.links)
    ]
    host = draw(st.sampled_from(machine.compute_nodes), label="host")
    return dataclasses.replace(machine, nodes=tuple(nodes), links=tuple(links), host=host, topology="")
