"""Faults on purpose: copies of a graph in which one neuron computes something else.

They measure what a comparison can find. Each fault changes the parameters of a single neuron of a dense layer and
nothing else, so that a comparison should name that neuron, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph import Actor, Dense, Graph

Kind = Literal["weight zeroed", "weights swapped", "bias dropped", "weight off by 2^-10", "stuck at 0"]
#: Every kind: one weight 0; two weights exchanged; the bias 0; one weight times 1 + 2**-10; all weights and the bias 0,
#: so that a linear or ReLU neuron is 0 whatever it is given.
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Fault:
    """A faulty copy of a graph: which neuron is wrong, and how."""

    graph: Graph
    actor: str
    kind: Kind
    detail: str


def inject(actor: Actor, kind: Kind, rng: np.random.Generator) -> Fault:
    """A copy of the actor's graph in which this neuron has a fault.

    ``rng`` chooses the weights, among those whose change is one: not zero already, and for an exchange not equal.

    Raises:
        GraphError: the neuron shares its weights with others, or has none that the fault would change.
    """
    graph, group, j = actor.graph, actor.group, actor.local
    channels = [c for c in graph.channels_into(actor.group_number) if c.weight is not None]
    if len(channels) != 1 or not isinstance(channels[0], Dense) or channels[0].blocks != 1:
        raise GraphError(f"{actor.name}: faults are for neurons of one dense layer that share no weights")
    weight = channels[0].weight
    assert weight is not None
    kernel = graph.params[weight.name].astype(np.float32)
    changed: dict[str, npt.NDArray[np.generic]] = {weight.name: kernel}
    column = kernel[:, j]
    some = np.flatnonzero(column)
    bias = group.params.get("bias")
    if kind in ("bias dropped", "stuck at 0") and bias is not None:
        values = graph.params[bias.name].astype(np.float32)
        if bias.inner != 1 or len(values) != group.size:
            raise GraphError(f"{actor.name}: shares its bias with other neurons")
        detail = f"bias {values[j]:.6g} is 0"
        values[j] = 0
        changed[bias.name] = values
    if kind == "stuck at 0":
        column[:] = 0
        detail = "always 0"
    elif kind == "bias dropped":
        if bias is None or actor.param("bias") == 0:
            raise GraphError(f"{actor.name}: has no bias to drop")
    elif kind == "weights swapped":
        first = int(rng.choice(some))
        others = np.flatnonzero(column != column[first])
        if not others.size:
            raise GraphError(f"{actor.name}: has no two weights that differ")
        second = int(rng.choice(others))
        column[[first, second]] = column[[second, first]]
        detail = f"weights {first} and {second} exchanged"
    else:
        if not some.size:
            raise GraphError(f"{actor.name}: has no weight that is not 0")
        row = int(rng.choice(some))
        before = column[row]
        column[row] = 0 if kind == "weight zeroed" else before * np.float32(1 + 2.0**-10)
        detail = f"weight {row} from {before:.6g} to {column[row]:.6g}"
    return Fault(Graph(graph.name, graph.groups, graph.channels, {**graph.params, **changed}), actor.name, kind, detail)
