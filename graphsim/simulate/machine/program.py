"""The machine's program: a schedule compiled into a list of events per period and tables of memory cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.tokens import input_actors, token_bits
from graphsim.errors import SimulationError
from graphsim.graph import Channel, Dense, Graph
from graphsim.graph.ops import ACTIVATIONS, OPS, SINKS
from graphsim.schedule.schedule import Schedule, durations, parameter_bytes

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

#: Kinds of event. In one tick, what becomes visible (END, CLAIM, ARRIVE) comes before what looks (FIRE, CHECK, SEND).
FIRE, END, SEND, CHECK, CLAIM, ARRIVE = range(6)
#: Ops as the interpreter knows them.
OP_CODES = {op: code for code, op in enumerate(OPS)}
ACTIVATION_CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
#: Arguments that an activation may have.
ARGUMENTS = 3
#: Columns of the run table.
CELL, STRIDE, TOKEN, COUNT, RING, SIZE = range(6)
#: Columns of the actor table.
OP, ACTIVATION, SEGMENT, SEGMENT_END, RUN, RUN_END, PENDING, WIDTH, HAS_BIAS, HAS_DIVISOR, OUT, OUT_STRIDE = range(12)
#: Columns of the hop table.
SRC_RUN, SRC_RUN_END, DST_RUN, DST_RUN_END, WIRE, WIRE_SIZE, WIRE_RING = range(7)

#: Cells, tokens in flight and iterations in flight that the engine is willing to hold.
MOST_CELLS = 2**29
MOST_STAGES = 2**20

EMPTY = -1
PARAMETER = -2


@dataclass(frozen=True)
class Program:
    """Everything the interpreter reads.

    Memory. A cell is ``cell_bytes`` bytes of a node's memory, the greatest unit in which all slots can be told apart;
    the cells of all nodes are numbered in one sequence, node v's from ``node_cell[v]`` on. Cell 0 belongs to no node
    and is never written: what has no slot is looked for there. A cell has a value (float32) and a tag: ``token << 32 |
    iteration`` of what was written there, the same with the sign bit set while a hop of several ticks writes it,
    ``EMPTY`` or ``PARAMETER``. A token of several cells has its value in the first and its tag in all.

    Runs. A list of tokens in a node's memory is a list of runs, rows ``[cell, stride, first token, count, ring,
    size]``: token ``first + i`` of iteration n is in ``size`` cells from ``cell + i * stride + (n mod depth) * size``
    on, where ``depth = rings[ring]``.

    Segments. An actor's operands, port by port: rows ``[first run, end run, first weight]`` (-1: no weights).

    Events, sorted as they happen within a period: rows ``[kind, actor or hop, stage]``; in period k an event concerns
    iteration k - stage, and happens in tick ``k * period + event_tick``. A firing reads at FIRE and writes at END. A
    hop reads at SEND, in the last tick in which it sends, and writes at ARRIVE; one of several ticks also makes sure
    at CHECK, in its first, that the parcel is there, and takes its slots at CLAIM, when its first frame arrives.
    """

    period: int
    stages: int
    events: Int32Array
    event_tick: Int64Array
    rings: Int64Array
    runs: Int32Array
    segments: Int64Array
    weights: FloatArray
    actors: Int64Array
    arguments: npt.NDArray[np.float64]
    bias: FloatArray
    divisor: FloatArray
    hops: Int64Array
    pending: int
    wire: int
    scratch: int
    cell_bytes: int
    node_cell: Int64Array
    tags: Int64Array

    def node_of_cell(self, cell: int) -> int:
        """The node that has this cell; -1 for cell 0."""
        return int(np.searchsorted(self.node_cell, cell, side="right")) - 1


class _Memory:
    """Where tokens are: slots as cells."""

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        s, nodes = schedule, len(schedule.machine.nodes)
        bits = token_bits(graph)
        self.tokens = len(bits)
        size = -(-bits[s.slot_token] // 8)
        self.cell_bytes = max(1, int(np.gcd.reduce(np.concatenate([s.slot_address, size]))))
        parameters = np.zeros(nodes, np.int64)
        for number in range(len(graph.groups)):
            np.add.at(parameters, s.node[graph.first[number] : graph.first[number + 1]], parameter_bytes(graph, number))
        top = parameters.copy()
        np.maximum.at(top, s.slot_node, s.slot_address + s.slot_depth * size)
        cells = -(-top // self.cell_bytes)
        self.node_cell = 1 + np.cumsum(cells) - cells
        count = 1 + int(cells.sum())
        if count > MOST_CELLS:
            raise SimulationError(
                f"machine: {count:,} cells of node memory are in use; this engine holds {MOST_CELLS:,}"
            )
        self.tags = np.full(count, EMPTY, np.int64)
        for first, used in zip(self.node_cell, -(-parameters // self.cell_bytes), strict=True):
            self.tags[first : first + used] = PARAMETER

        self.pair = s.slot_node.astype(np.int64) * self.tokens + s.slot_token
        self.cell = self.node_cell[s.slot_node] + s.slot_address // self.cell_bytes
        self.size = size // self.cell_bytes
        self.depth = s.slot_depth.astype(np.int64)
        self.rings: list[int] = [1]
        self.runs: list[Int64Array] = []
        self.run_count = 0

    def ring(self, depth: Int64Array) -> Int64Array:
        """The numbers of these depths in the list of rings, which grows as needed."""
        distinct, which = np.unique(depth, return_inverse=True)
        for d in distinct.tolist():
            if d not in self.rings:
                self.rings.append(d)
        numbers = np.array([self.rings.index(d) for d in distinct.tolist()], np.int64)
        return numbers[which.reshape(-1)] if len(depth) else depth

    def lists(self, node: Int64Array, token: Int64Array, ptr: Int64Array) -> Int64Array:
        """Add lists of tokens: list i is entries ``ptr[i]:ptr[i + 1]``. Returns its runs, int64 (lists + 1,)."""
        pair = node * self.tokens + token
        at = np.minimum(np.searchsorted(self.pair, pair), max(len(self.pair) - 1, 0))
        kept = self.pair[at] == pair if len(self.pair) else np.zeros(len(pair), np.bool_)
        depth, size, cell = np.ones_like(pair), np.ones_like(pair), np.zeros_like(pair)
        depth[kept], size[kept], cell[kept] = self.depth[at[kept]], self.size[at[kept]], self.cell[at[kept]]
        joins = np.zeros(len(pair), np.bool_)
        if len(pair):
            joins[1:] = (
                kept[1:] & kept[:-1] & (token[1:] == token[:-1] + 1) & (cell[1:] == cell[:-1] + (depth * size)[:-1])
            )
            joins[1:] &= (depth[1:] == depth[:-1]) & (size[1:] == size[:-1])
            joins[ptr[:-1][ptr[:-1] < len(pair)]] = False
        first = np.flatnonzero(~joins)
        count = np.diff(np.append(first, len(pair)))
        columns = [cell, depth * size, token, count, self.ring(depth), size]
        self.runs.append(np.stack([c if c is count else c[first] for c in columns], axis=1))
        bounds = self.run_count + np.searchsorted(first, ptr)
        self.run_count += len(first)
        return bounds


def compile_program(graph: Graph, schedule: Schedule) -> Program:
    """Compile a schedule whose calendars have been verified.

    Raises:
        SimulationError: the schedule keeps more memory or more iterations in flight than this engine holds.
    """
    memory = _Memory(graph, schedule)
    actors = np.zeros((graph.actor_count, 12), np.int64)
    segments, weights = _operands(graph, schedule, memory, actors)
    ticks = durations(graph, schedule.machine, schedule.node)
    hops, hop_ticks, hop_arrival = _hops(graph, schedule, memory)
    arguments, bias, divisor = _describe(graph, schedule, memory, actors)
    events, event_tick = _events(schedule, graph, ticks, hop_ticks, hop_arrival)
    stages = 1 + int(events[:, 2].max())
    wire = int(hops[-1, WIRE] + hops[-1, WIRE_SIZE] * memory.rings[hops[-1, WIRE_RING]]) if len(hops) else 0
    if stages * len(memory.rings) > MOST_STAGES or wire > MOST_CELLS:
        raise SimulationError(
            f"machine: {stages:,} iterations and {wire:,} tokens on links are in flight at once, more than this engine "
            f"holds; give the schedule a longer period or shorter links"
        )
    return Program(
        period=schedule.period,
        stages=stages,
        events=events,
        event_tick=event_tick,
        rings=np.array(memory.rings, np.int64),
        runs=np.concatenate([np.empty((0, 6), np.int64), *memory.runs]).astype(np.int32),
        segments=segments,
        weights=weights,
        actors=actors,
        arguments=arguments,
        bias=bias,
        divisor=divisor,
        hops=hops,
        pending=int(actors[:, WIDTH].sum()),
        wire=wire,
        scratch=max(int(graph.fan_in(number).max(initial=0)) for number in range(len(graph.groups))),
        cell_bytes=memory.cell_bytes,
        node_cell=memory.node_cell,
        tags=memory.tags,
    )


def _operands(graph: Graph, schedule: Schedule, memory: _Memory, actors: Int64Array) -> tuple[Int64Array, FloatArray]:
    """The segments of every actor, whose columns SEGMENT and SEGMENT_END are filled in, and the weights."""
    segments: list[Int64Array] = []
    weights: list[FloatArray] = []
    segment_count = weight_count = 0
    node = schedule.node.astype(np.int64)
    for number, group in enumerate(graph.groups):
        first = int(graph.first[number])
        channels = graph.channels_into(number)
        rows = np.empty((group.size, len(channels), 3), np.int64)
        for port, channel in enumerate(channels):
            rows[:, port, :2] = _operand_runs(graph, channel, node[first : first + group.size], memory)
            offsets, values = _operand_weights(graph, channel)
            rows[:, port, 2] = -1 if values is None else offsets + weight_count
            if values is not None:
                weights.append(values)
                weight_count += len(values)
        at = segment_count + len(channels) * np.arange(group.size + 1)
        actors[first : first + group.size, SEGMENT] = at[:-1]
        actors[first : first + group.size, SEGMENT_END] = at[1:]
        segments.append(rows.reshape(-1, 3))
        segment_count += len(rows) * len(channels)
    return np.concatenate(segments), np.concatenate([np.empty(0, np.float32), *weights])


def _operand_runs(graph: Graph, channel: Channel, node: Int64Array, memory: _Memory) -> Int64Array:
    """First and end run of every consumer's operands, int64 (consumers, 2)."""
    maker = int(graph.first[channel.src])
    sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
    if isinstance(channel, Dense) and graph.groups[channel.src].op != "source":
        # Consumers in the same block and on the same node have the same operands: one list for all of them.
        rows = sizes[0] // channel.blocks
        block = np.arange(sizes[1]) // (sizes[1] // channel.blocks)
        nodes = len(memory.node_cell)
        spots, which = np.unique(block * nodes + node, return_inverse=True)
        token = (maker + spots // nodes * rows)[:, None] + np.arange(rows)
        bounds = memory.lists(np.repeat(spots % nodes, rows), token.ravel(), rows * np.arange(len(spots) + 1))
        shared: Int64Array = np.stack([bounds[:-1], bounds[1:]], axis=1)[which.reshape(-1)]
        return shared
    edges = channel.expand(*sizes, graph.params)
    token = maker + edges.src
    if graph.groups[channel.src].op == "source":
        token = graph.actor_count + np.searchsorted(input_actors(graph), int(graph.first[channel.dst]) + edges.dst)
    ptr = np.concatenate([[0], np.cumsum(channel.fan_in(*sizes, graph.params))])
    bounds = memory.lists(node[edges.dst], token, ptr)
    return np.stack([bounds[:-1], bounds[1:]], axis=1)


def _operand_weights(graph: Graph, channel: Channel) -> tuple[Int64Array | int, FloatArray | None]:
    """Weights in the order in which consumers read them, and where each consumer's begin."""
    if channel.weight is None:
        return 0, None
    values = graph.params[channel.weight.name].astype(np.float32, copy=False)
    sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
    if isinstance(channel, Dense):
        rows, columns = values.shape
        return rows * (np.arange(sizes[1], dtype=np.int64) % columns), np.ascontiguousarray(values.T).reshape(-1)
    edges = channel.expand(*sizes, graph.params)
    assert edges.weight is not None
    fan_in = channel.fan_in(*sizes, graph.params)
    return np.cumsum(fan_in) - fan_in, values.reshape(-1)[edges.weight]


def _describe(
    graph: Graph, schedule: Schedule, memory: _Memory, actors: Int64Array
) -> tuple[npt.NDArray[np.float64], FloatArray, FloatArray]:
    """Fill in the other columns of the actor table; activation arguments, biases and divisors per actor."""
    arguments = np.zeros((graph.actor_count, ARGUMENTS), np.float64)
    bias, divisor = np.zeros(graph.actor_count, np.float32), np.zeros(graph.actor_count, np.float32)
    inputs = input_actors(graph)
    for number, group in enumerate(graph.groups):
        first, last = int(graph.first[number]), int(graph.first[number + 1])
        rows, local = actors[first:last], np.arange(group.size)
        rows[:, OP], rows[:, ACTIVATION] = OP_CODES[group.op], ACTIVATION_CODES[group.activation]
        rows[:, WIDTH] = OPS[group.op].width(int(graph.fan_in(number)[0])) if group.op in SINKS else 1
        values = {
            role: graph.params[ref.name].astype(np.float32, copy=False)[
                (local // ref.inner) % len(graph.params[ref.name])
            ]
            for role, ref in group.params.items()
            if role in ("bias", "divisor", "alpha")
        }
        given = group.activation_args
        if "alpha" in values:
            arguments[first:last, 0] = values["alpha"]
        skip = int("alpha" in values)
        arguments[first:last, skip : skip + len(given)] = given
        if "bias" in values:
            bias[first:last], rows[:, HAS_BIAS] = values["bias"], 1
        if "divisor" in values:
            divisor[first:last], rows[:, HAS_DIVISOR] = values["divisor"], 1

        if group.op == "source":  # its token at END: one element for every input actor that it feeds
            fed = np.concatenate(
                [
                    np.arange(*np.searchsorted(inputs, graph.first[c.dst : c.dst + 2]))
                    for c in graph.channels_from(number)
                ]
            )
            token, ptr = graph.actor_count + fed, np.array([0, len(fed)])
        else:
            token, ptr = np.arange(first, last), np.arange(group.size + 1)
        bounds = memory.lists(
            schedule.node[first + (0 * token if group.op == "source" else local)].astype(np.int64), token, ptr
        )
        rows[:, RUN], rows[:, RUN_END] = bounds[:-1], bounds[1:]
    actors[:, PENDING] = np.cumsum(actors[:, WIDTH]) - actors[:, WIDTH]
    return arguments, bias, divisor


def _hops(graph: Graph, schedule: Schedule, memory: _Memory) -> tuple[Int64Array, Int64Array, Int64Array]:
    """The hop table, ticks that each hop sends, and the tick from which its parcel is at the other end."""
    s, links = schedule, schedule.machine.links
    count = np.diff(s.parcel_ptr)[s.hop_parcel]
    ptr = np.concatenate([[0], np.cumsum(count)])
    within = np.arange(ptr[-1]) - np.repeat(ptr[:-1], count)
    token = s.parcel_token[np.repeat(s.parcel_ptr[s.hop_parcel], count) + within].astype(np.int64)
    bits = np.concatenate([[0], np.cumsum(token_bits(graph)[token])])
    bits = bits[ptr[1:]] - bits[ptr[:-1]]

    def of_link(name: str) -> Int64Array:
        return np.array([getattr(link, name) for link in links], np.int64)[s.hop_link]

    frames = -(-bits // of_link("frame_bits")) if len(bits) else bits
    ticks = -(-frames // of_link("frames_per_tick")) if len(bits) else bits
    hops = np.zeros((len(s.hop_link), 7), np.int64)
    source = memory.lists(np.repeat(of_link("src"), count), token, ptr)
    target = memory.lists(np.repeat(of_link("dst"), count), token, ptr)
    hops[:, SRC_RUN], hops[:, SRC_RUN_END], hops[:, DST_RUN], hops[:, DST_RUN_END] = (
        source[:-1],
        source[1:],
        target[:-1],
        target[1:],
    )
    # From its last tick of sending to its arrival a parcel is on the link; later iterations may follow meanwhile.
    rings = (1 + of_link("latency")) // s.period + 1 if len(bits) else bits
    hops[:, WIRE_SIZE], hops[:, WIRE_RING] = count, memory.ring(rings)
    hops[:, WIRE] = np.cumsum(count * rings) - count * rings
    return hops, ticks, s.hop_start + ticks + of_link("latency")


def _events(
    schedule: Schedule, graph: Graph, ticks: Int64Array, hop_ticks: Int64Array, arrival: Int64Array
) -> tuple[Int32Array, Int64Array]:
    """All events of an iteration, brought into one period and sorted as they happen.

    Within a tick older iterations go first: what they still read may be written over by younger ones in that very
    tick, and they never read what younger ones write. Within an iteration and tick, results and frames become visible
    first, then firings of no duration follow in id order, each seeing those before it, then all else starts.
    """
    s = schedule
    actor = np.arange(graph.actor_count)
    hop = np.flatnonzero(hop_ticks > 0)
    wide = np.flatnonzero(hop_ticks > 1)
    instant = ticks == 0
    latency = arrival - s.hop_start - hop_ticks
    parts = [
        (FIRE, actor, s.start, np.where(instant, 1, 2)),
        (END, actor, s.start + ticks, np.where(instant, 1, 0)),
        (SEND, hop, (s.hop_start + hop_ticks - 1)[hop], np.full(len(hop), 2)),
        (ARRIVE, hop, arrival[hop], np.zeros(len(hop), np.int64)),
        (CHECK, wide, s.hop_start[wide], np.full(len(wide), 2)),
        (CLAIM, wide, (s.hop_start + 1 + latency)[wide], np.zeros(len(wide), np.int64)),
    ]
    kind = np.concatenate([np.full(len(arg), k) for k, arg, _, _ in parts])
    arg, tick, phase = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    stage, residue = np.divmod(tick, s.period)
    if int(stage.max()) >= MOST_STAGES:
        raise SimulationError(
            f"machine: an iteration takes {int(stage.max()):,} periods of {s.period} ticks; this engine holds "
            f"{MOST_STAGES:,} iterations in flight"
        )
    order = np.lexsort([kind, arg, phase, -stage, residue])
    events = np.stack([kind, arg, stage], axis=1)[order].astype(np.int32)
    return np.ascontiguousarray(events), residue[order].astype(np.int64)


def output_columns(graph: Graph, program: Program, keep: list[int], samples: int) -> tuple[Int64Array, int]:
    """A copy of the actor table that says where in one flat array each kept value goes, and the array's length.

    Group after group, each as (samples, *shape, *token shape).
    """
    actors = program.actors.copy()
    actors[:, OUT] = -1
    top = 0
    for number in keep:
        rows = actors[int(graph.first[number]) : int(graph.first[number + 1])]
        width = int(rows[0, WIDTH])
        rows[:, OUT] = top + width * np.arange(len(rows))
        rows[:, OUT_STRIDE] = width * len(rows)
        top += width * len(rows) * samples
    return actors, top
