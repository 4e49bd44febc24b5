"""What steps that wait for all of the step before prove, against every placement of small recurrent layers."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from graphs import rnn

from graphsim.analysis import bounds
from graphsim.analysis.barrier import slowest_barrier
from graphsim.analysis.bounds import recurrence_bound
from graphsim.analysis.costs import Costs
from graphsim.graph import Dense, Graph, OneToOne, Ref
from graphsim.machine import load_machine
from graphsim.schedule import fold
from graphsim.schedule.verify import verify


def gated(steps: int = 5, units: int = 2) -> Graph:
    """h = z g, with z and g of the state of the step before: two layers wait for all of one."""
    base, rng = rnn(steps, 2, units), np.random.default_rng(1)
    z = dataclasses.replace(base.groups[3], name="z", activation="sigmoid", layer="")
    g = dataclasses.replace(base.groups[3], name="g", layer="")
    h = dataclasses.replace(base.groups[3], op="product", activation="linear", params={})
    weights = {"u": rng.normal(0, 0.5, (units, units)).astype(np.float32), **base.params}
    channels = [
        *base.channels[:3],
        Dense(src=2, dst=4, produce=steps, weight=Ref("rnn/kernel")),
        Dense(src=5, dst=3, port=1, weight=Ref("u"), initial_tokens=1, reset=True),
        Dense(src=5, dst=4, port=1, weight=Ref("rnn/recurrent_kernel"), initial_tokens=1, reset=True),
        OneToOne(src=3, dst=5),
        OneToOne(src=4, dst=5, port=1),
        dataclasses.replace(base.channels[4], src=5, dst=6),
        Dense(src=6, dst=7),
    ]
    return Graph("gated", [*base.groups[:3], z, g, h, *base.groups[4:]], channels, weights)


CASES = [
    (rnn(4, 2, 3), "line:3", ("rnn",)),
    (gated(4), "line:2,macs_per_tick=2", ("z", "g")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "name", "layers"), CASES, ids=lambda v: getattr(v, "name", str(v)))
def test_no_placement_is_below(
    graph: Graph, name: str, layers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules are looked for without the bound, with the layers on any nodes; the rest is on the host."""
    machine = load_machine(name)
    barrier = slowest_barrier(Costs(graph, machine))
    assert barrier is not None
    monkeypatch.setattr(bounds, "slowest_barrier", lambda costs, transport: None)
    free = [
        int(graph.first[graph.number[layer]]) + i
        for layer in layers
        for i in range(graph.groups[graph.number[layer]].size)
    ]
    found = []
    for nodes in itertools.product(range(len(machine.nodes)), repeat=len(free)):
        placed = np.full(graph.actor_count, machine.host, np.int32)
        placed[free] = nodes
        schedule = fold(graph, machine, placement=placed)
        assert verify(graph, schedule).ok
        found.append(schedule.period)
    assert min(found) >= barrier.ticks
    assert max(found) > min(found)


def test_by_hand() -> None:
    """16 units on as many nodes of a torus: a step is one firing, and two take one more way of four links and back."""
    graph, machine = rnn(16, 3, 16), load_machine("torus:4x4")
    fires = machine.nodes[machine.host].cycles(graph.actor("rnn[0]").work)
    barrier = slowest_barrier(Costs(graph, machine))
    assert barrier is not None
    assert (barrier.nodes, barrier.step, barrier.steps, barrier.firings) == (16, fires, 16, 16)
    link = machine.links[0]
    way = link.latency + -(-32 // (link.frame_bits * link.frames_per_tick))
    assert barrier.two == 2 * fires + 8 * way
    assert barrier.ticks == 7 * barrier.two + barrier.step + fires
    found = recurrence_bound(Costs(graph, machine))
    assert found is not None
    assert (found.ticks, found.resource) == (barrier.ticks, "the steps of rnn")
    assert "waits for all of the step before" in found.reason


def test_layers_that_follow_in_a_step_count() -> None:
    graph, machine = gated(), load_machine("line:1")
    z, h = (machine.nodes[0].cycles(graph.actor(name).work) for name in ("z[0]", "rnn[0]"))
    g = machine.nodes[0].cycles(graph.actor("g[0]").work)
    barrier = slowest_barrier(Costs(graph, machine))
    assert barrier is not None
    assert barrier.layers == ("z", "g")
    assert barrier.step == 2 * (z + g) + h


def test_layers_that_wait_for_some_of_the_step_before_prove_nothing() -> None:
    graph = rnn(4, 2, 4)
    one = OneToOne(src=3, dst=3, port=1, initial_tokens=1, reset=True)
    channels = [one if c.initial_tokens else c for c in graph.channels]
    assert slowest_barrier(Costs(Graph("one", graph.groups, channels, graph.params), load_machine("line:2"))) is None
