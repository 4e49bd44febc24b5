"""Memory: which node keeps which token, for how long, in how many copies, at which address."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.costs import Costs, parameter_bytes
from graphsim.analysis.tokens import token_bits, tokens_before
from graphsim.errors import InfeasibleError
from graphsim.schedule.placed import Placed, Times, carried

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Slots:
    """The slots of a schedule, sorted by (node, token), and the bytes that each node needs, int64 (nodes,)."""

    node: Int32Array
    token: Int32Array
    address: IntArray
    depth: Int32Array
    used: IntArray


def allot(costs: Costs, placed: Placed, times: Times, period: int) -> Slots:
    """Slots for every token on every node that makes, reads or passes it on, from the parameters upwards."""
    graph, machine, routes, node = placed.graph, placed.machine, placed.routes, placed.node
    makers, bits, pairs = placed.makers, token_bits(graph), placed.pairs
    tokens, nodes = len(bits), len(machine.nodes)
    links = machine.links
    src = np.array([link.src for link in links], np.int64)[routes.hop_link]
    dst = np.array([link.dst for link in links], np.int64)[routes.hop_link]
    way = np.array(machine.ways, np.int64)[routes.hop_link]

    hop, moved = carried(routes)
    stores = np.array(machine.crossings, np.int64) == 0  # switches do not
    into, out = stores[dst[hop]], stores[src[hop]]
    end = times.start + placed.ticks
    made = np.unique(pairs.token)
    home = node[makers[made]].astype(np.int64)
    pair = np.concatenate([home * tokens + made, (dst[hop] * tokens + moved)[into]])
    claim = np.concatenate([end[makers[made]], (times.hop_start + way)[hop][into]])
    order = np.argsort(pair)
    pair, claim = pair[order], claim[order]

    free = claim.copy()
    sent = (times.hop_start + routes.hop_ticks)[hop][out]
    np.maximum.at(free, np.searchsorted(pair, (src[hop] * tokens + moved)[out]), sent)
    read_at = np.searchsorted(pair, pairs.node * tokens + pairs.token)
    free[read_at] = np.maximum(free[read_at], placed.last_readings(times.start, period))

    where, token = np.divmod(pair, tokens)
    depth = np.maximum(1, -(-(free - claim) // period))
    # Initial tokens are all there before tick 0.
    depth = np.maximum(depth, np.append(tokens_before(graph)[0], np.zeros(tokens - graph.actor_count, np.int64))[token])
    size = depth * -(-bits[token] // 8)
    base = parameter_bytes(graph, node, nodes)
    before = np.cumsum(size) - size
    first = np.searchsorted(where, np.arange(nodes))
    begin = np.append(before, before[-1] + size[-1] if len(size) else 0)[first]
    address = base[where] + before - begin[where]
    used = base.copy()
    np.add.at(used, where, size)
    return Slots(where.astype(np.int32), token.astype(np.int32), address, depth.astype(np.int32), used)


def check_memory(costs: Costs, slots: Slots) -> None:
    """Refuse slots that do not fit.

    Raises:
        InfeasibleError: names the node that lacks most, and how much.
    """
    machine = costs.machine
    have = np.array([spec.memory_bytes for spec in machine.nodes], np.int64)
    short = slots.used - have
    worst = int(np.argmax(short))
    if short[worst] > 0:
        raise InfeasibleError(
            f"node {machine.nodes[worst].name}: memory: parameters and token slots need {slots.used[worst]:,} bytes, "
            f"it has {have[worst]:,}: {short[worst]:,} too few; use more nodes or more memory_bytes"
        )
