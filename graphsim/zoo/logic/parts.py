"""Circuits as parts of circuits."""

from __future__ import annotations

from collections.abc import Sequence

from graphsim.frontends.circuits.netlist import Net, Netlist
from graphsim.graph.circuit import Circuit


def placed(net: Netlist, circuit: Circuit, inputs: Sequence[Net]) -> list[Net]:
    """Put a circuit without registers into a netlist, its inputs being those nets; returns the nets of its outputs."""
    assert circuit.register_count == 0
    signals = list(inputs)
    for gate in range(circuit.gate_count):
        fanins = [signals[fanin] for fanin in circuit.fanins(gate)]
        signals.append(net.gate(net.new(), fanins, int(circuit.truth[gate])))
    return [signals[signal] for signal in circuit.outputs.tolist()]
