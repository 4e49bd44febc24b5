"""The machine's program: a schedule compiled into the events of a period and tables of memory cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphsim.analysis.fields import Fields
from graphsim.analysis.tokens import input_actors, token_bits, token_makers, tokens_before
from graphsim.errors import SimulationError
from graphsim.graph import Channel, Dense, Graph, Window
from graphsim.graph.ops import ACTIVATIONS, OPS, SINKS
from graphsim.schedule.schedule import Schedule, durations, parameter_bytes
from graphsim.simulate.engine import Outputs
from graphsim.simulate.machine.trains import NEVER, couple, next_of, turns

UInt32Array = npt.NDArray[np.uint32]
Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

#: Kinds of event; see :class:`Program`.
CLAIM, WRITE, END, SOURCE_END, CHECK, READ, FIRE, SOURCE_FIRE = range(8)
#: Columns of the event table.
KIND, STAGE, WHO, AT, AT_RING, LENGTH, MOVED = range(7)
#: Columns of the run table, and, from MOVED on, of the event table.
CELL, STRIDE, TOKEN, COUNT, RING, SIZE, TERM = range(7)
#: Columns of the actor table.
(
    OP, ACTIVATION, SEGMENT, SEGMENT_END, WIDTH, HAS_BIAS, HAS_DIVISOR, TABLE, ENTRIES, TRUTH, OUT, OUT_STRIDE, COLUMNS,
) = range(13)  # fmt: skip

#: Ops and activations as the interpreter knows them.
OP_CODES = {op: code for code, op in enumerate(OPS)}
ACTIVATION_CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
#: Arguments that an activation may have.
ARGUMENTS = 3

#: Cells that belong to no node: where tokens are looked for that have no slot, or one on the node's parameters.
NO_SLOT, ON_PARAMETERS, FIRST_CELL = 0, 1, 2
#: The word of a cell to which nothing has been written: a tag that no token has before iteration 1.
EMPTY = 2**64 - 1
#: Cells, values in transit, and iterations in flight that the engine is willing to hold.
MOST_CELLS = 2**29
MOST_STAGES = 2**20


@dataclass(frozen=True)
class Program:
    """Everything the interpreter reads.

    Memory. A cell is a few bytes of a node's memory above its parameters: the greatest unit in which all slots can be
    told apart. The cells of all nodes are numbered in one sequence, node v's from ``node_cell[v]`` on. A cell holds a
    64-bit word: the value (float32) in the lower half, the tag in the upper one. The tag is the number of what was
    written there, modulo 2**32: iteration * tokens + token, so that it recurs only after 2**32 tokens; a cell to
    which nothing has been written, or is just being written by a hop of several ticks, is ``EMPTY``. A token of
    several cells is in each of them.

    Runs. A list of tokens in a node's memory is a list of runs, rows ``[cell, stride, first token, count, ring, size,
    term]``: token ``first + i`` of iteration n is in ``size`` cells from ``cell + i * stride + (n mod depth) * size``
    on, where ``depth = depths[ring]``. What a firing reads over a channel with d initial tokens is that of iteration
    n - d: its ring says so, ``delays[ring] = d``, and ``first token`` is d times the number of tokens less, modulo
    2**32. Tokens that cannot be there are runs in ``NO_SLOT`` or ``ON_PARAMETERS``, cells
    that are never written. ``term`` is what the run's first token is of its operands: where a window is cut off at a
    border, terms are left out.

    Initial tokens. Before the first tick, ``initial_word`` is in the cells ``initial_cell``: iterations -1, -2 and so
    on of the tokens that have some, in all their slots.

    Segments. An actor's operands, port by port: rows ``[first run, end run, weight of term 0]`` (-1: no weights).

    Tables. An actor of op lookup chooses from ``entries`` elements of ``weights`` from ``table`` on; ``truth`` is the
    table of a gate.

    Transit. Values on their way: results of firings that have not ended, parcels on links. An event's are the
    ``length`` values from ``at + (n mod depth) * length`` on, where ``depth = depths[at ring]``.

    Events, sorted as they happen within a period: rows ``[kind, stage, who, at, at ring, length, *run]``; who is an
    actor, or actors + hop; run is what is moved between memory and transit, count 0 for nothing. In period k an event
    concerns iteration k - stage and happens in tick ``k * period + event_tick``. What has several runs is several rows.

    =========== ===============================================================================================
    FIRE        an actor reads its operands and computes; its token is in transit
    END         its firing ends: its token gets into memory, and to the outputs
    SOURCE_FIRE a source takes a sample
    SOURCE_END  the sample's elements get into memory
    READ        a hop takes its parcel from memory, in the last tick in which it sends; an input actor its element.
                Of a *train* of hops (see ``trains.py``) who is the last, and all are read: ``train``, int64 (hops,)
    WRITE       the parcel, or those of a train, get into memory at the other end
    CHECK       the first tick of a hop of several: its parcel must be there already
    CLAIM       the first frame of such a hop arrives: what was in its slots is gone
    =========== ===============================================================================================
    """

    period: int
    stages: int
    events: UInt32Array
    event_tick: Int64Array
    tokens: int
    depths: Int64Array
    delays: Int64Array
    initial_cell: Int64Array
    initial_word: npt.NDArray[np.uint64]
    runs: UInt32Array
    segments: Int64Array
    weights: FloatArray
    actors: Int64Array
    arguments: npt.NDArray[np.float64]
    bias: FloatArray
    divisor: FloatArray
    train: Int64Array
    transit: int
    scratch: int
    node_cell: Int64Array
    cells: int


def compile_program(graph: Graph, schedule: Schedule, *, trains: bool = True) -> Program:
    """Compile a schedule whose calendars have been verified.

    Args:
        trains: hops that follow each other on a link become one event, where nothing can tell the difference.

    Raises:
        SimulationError: the schedule keeps more memory or more iterations in flight than this engine holds.
    """
    memory = _Memory(graph, schedule)
    actors = np.zeros((graph.actor_count, COLUMNS), np.int64)
    runs, segments, weights = _operands(graph, schedule, memory, actors)
    arguments, bias, divisor = _describe(graph, actors)
    line = _Timeline()
    transit = _add_firings(graph, schedule, actors, line)
    train = _trains(graph, schedule, memory) if trains else np.arange(len(schedule.hop_link))
    transit = _add_hops(graph, schedule, train, transit, line)
    events, event_tick = line.compiled(schedule.period, memory)
    initial_cell, initial_word = memory.initial(graph)
    stages = 1 + int(events[:, STAGE].max())
    if stages * len(memory.rings) > MOST_STAGES or transit > MOST_CELLS:
        raise SimulationError(
            f"machine: {stages:,} iterations and {transit:,} tokens on links are in flight at once, more than this "
            f"engine holds; give the schedule a longer period or shorter links"
        )
    return Program(
        period=schedule.period,
        stages=stages,
        events=events,
        event_tick=event_tick,
        tokens=memory.tokens,
        depths=np.array([depth for depth, _ in memory.rings], np.int64),
        delays=np.array([delay for _, delay in memory.rings], np.int64),
        initial_cell=initial_cell,
        initial_word=initial_word,
        runs=runs,
        segments=segments,
        weights=weights,
        actors=actors,
        arguments=arguments,
        bias=bias,
        divisor=divisor,
        train=train,
        transit=transit,
        scratch=max(int(graph.fan_in(number).max(initial=0)) for number in range(len(graph.groups))),
        node_cell=memory.node_cell,
        cells=memory.cells,
    )


def _ramp(count: Int64Array) -> Int64Array:
    """0 .. count[0] - 1, 0 .. count[1] - 1 and so on."""
    return np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)


def _bounds(count: Int64Array) -> Int64Array:
    """Where parts of these sizes begin, and where the last one ends."""
    bounds: Int64Array = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return bounds


class _Memory:
    """Slots as cells, and lists of tokens as runs of cells."""

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        s, nodes = schedule, len(schedule.machine.nodes)
        bits = token_bits(graph)
        self.tokens = len(bits)
        size = -(-bits[s.slot_token] // 8)
        parameters = parameter_bytes(graph, s.node, nodes)
        address = s.slot_address - parameters[s.slot_node]
        unit = max(1, int(np.gcd.reduce(np.concatenate([address, size]))))
        top = np.zeros(nodes, np.int64)
        np.maximum.at(top, s.slot_node, (address + s.slot_depth * size) // unit)
        self.node_cell = FIRST_CELL + np.cumsum(top) - top
        self.cells = FIRST_CELL + int(top.sum())
        if self.cells > MOST_CELLS:
            raise SimulationError(
                f"machine: {self.cells:,} cells of memory are in use; this engine holds {MOST_CELLS:,}"
            )

        self.pair = s.slot_node.astype(np.int64) * self.tokens + s.slot_token
        self.slot_depth = np.where(address < 0, 1, s.slot_depth).astype(np.int64)
        self.size = np.where(address < 0, 1, size // unit)
        self.cell = np.where(address < 0, ON_PARAMETERS, self.node_cell[s.slot_node] + address // unit)
        low = np.argsort(self.cell, kind="stable")
        ends = (self.cell + self.slot_depth * self.size)[low]
        #: Whether every slot has cells of its own.
        self.regular = not np.any(address < 0) and not np.any(ends[:-1] > self.cell[low][1:])
        #: Depth and delay of each kind of ring.
        self.rings: list[tuple[int, int]] = [(1, 0)]

    def ring(self, depth: Int64Array, delay: int = 0) -> Int64Array:
        """The numbers of rings of these depths that are read so many iterations later; the list grows as needed."""
        distinct, which = np.unique(depth, return_inverse=True)
        kinds = [(d, delay) for d in distinct.tolist()]
        self.rings += [kind for kind in kinds if kind not in self.rings]
        numbers = np.array([self.rings.index(kind) for kind in kinds], np.int64)
        found: Int64Array = numbers[which.reshape(-1)]
        return found

    def initial(self, graph: Graph) -> tuple[Int64Array, npt.NDArray[np.uint64]]:
        """The cells that hold initial tokens before the first tick, and the words in them."""
        count, value = tokens_before(graph)
        token = self.pair % self.tokens
        there = token < graph.actor_count
        many = np.where(there & (self.cell >= FIRST_CELL), count[np.where(there, token, 0)], 0)
        slot, back = np.repeat(np.arange(len(token)), many), 1 + _ramp(many)
        first = self.cell[slot] + -back % self.slot_depth[slot] * self.size[slot]
        size = self.size[slot]
        tag = (token[slot] - back * self.tokens) % 2**32
        word = tag.astype(np.uint64) << np.uint64(32) | value[token[slot]].view(np.uint32).astype(np.uint64)
        return np.repeat(first, size) + _ramp(size), np.repeat(word, size)

    def runs(
        self, node: Int64Array, token: Int64Array, ptr: Int64Array, term: Int64Array, delay: int = 0
    ) -> tuple[Int64Array, Int64Array]:
        """The runs of lists of tokens, where list i is entries ``ptr[i]:ptr[i + 1]``; and where each list's begin.

        ``term`` is what each token is of its list; tokens of one run have consecutive ones. ``delay``: of how many
        iterations ago they are.
        """
        cell, size, depth = np.full_like(token, NO_SLOT), np.ones_like(token), np.ones_like(token)
        if len(self.pair):
            pair = node * self.tokens + token
            at = np.minimum(np.searchsorted(self.pair, pair), len(self.pair) - 1)
            kept = self.pair[at] == pair
            at = at[kept]
            cell[kept], size[kept], depth[kept] = self.cell[at], self.size[at], self.slot_depth[at]
        joins = np.zeros(len(token), np.bool_)
        joins[1:] = (cell[:-1] >= FIRST_CELL) & (cell[1:] == (cell + depth * size)[:-1]) & (np.diff(token) == 1)
        joins[1:] &= (np.diff(depth) == 0) & (np.diff(size) == 0) & (np.diff(term) == 1)
        joins[ptr[:-1][np.diff(ptr) > 0]] = False
        first = np.flatnonzero(~joins)
        count = np.diff(np.append(first, len(token)))
        columns = [cell, depth * size, (token - delay * self.tokens) % 2**32, self.ring(depth, delay), size, term]
        cell, stride, token, ring, size, term = (column[first] for column in columns)
        return np.stack([cell, stride, token, count, ring, size, term], axis=1), np.searchsorted(first, ptr)


def _operands(
    graph: Graph, schedule: Schedule, memory: _Memory, actors: Int64Array
) -> tuple[UInt32Array, Int64Array, FloatArray]:
    """The runs and segments of every actor, and the weights.

    Fills in the columns SEGMENT, SEGMENT_END, TABLE and ENTRIES of the actor table.
    """
    runs: list[UInt32Array] = [np.empty((0, 7), np.uint32)]
    segments: list[Int64Array] = []
    weights: list[FloatArray] = [np.empty(0, np.float32)]
    run_count = segment_count = weight_count = 0
    node = schedule.node.astype(np.int64)
    for number, group in enumerate(graph.groups):
        first = int(graph.first[number])
        channels = graph.channels_into(number)
        rows = np.empty((group.size, len(channels), 3), np.int64)
        for port, channel in enumerate(channels):
            found, spans = _operand_runs(graph, channel, node[first : first + group.size], memory)
            rows[:, port, :2] = run_count + spans
            runs.append(found.astype(np.uint32))
            run_count += len(found)
            offsets, values = _operand_weights(graph, channel)
            rows[:, port, 2] = -1 if values is None else offsets + weight_count
            if values is not None:
                weights.append(values)
                weight_count += len(values)
        at = segment_count + len(channels) * np.arange(group.size + 1)
        actors[first : first + group.size, SEGMENT] = at[:-1]
        actors[first : first + group.size, SEGMENT_END] = at[1:]
        segments.append(rows.reshape(-1, 3))
        segment_count += group.size * len(channels)
        if "table" in group.params:
            ref = group.params["table"]
            table = graph.params[ref.name].astype(np.float32, copy=False)
            column = np.arange(group.size) // ref.inner % table.shape[1]
            actors[first : first + group.size, TABLE] = weight_count + column * len(table)
            actors[first : first + group.size, ENTRIES] = len(table)
            weights.append(np.ascontiguousarray(table.T).reshape(-1))
            weight_count += table.size
    return np.concatenate(runs), np.concatenate(segments), np.concatenate(weights)


def _operand_runs(graph: Graph, channel: Channel, node: Int64Array, memory: _Memory) -> tuple[Int64Array, Int64Array]:
    """Runs of operands, and the first and the end one of every consumer, int64 (consumers, 2)."""
    maker, late = int(graph.first[channel.src]), channel.initial_tokens
    sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
    if isinstance(channel, Dense) and graph.groups[channel.src].op != "source":
        # Consumers in the same block and on the same node have the same operands: one list for all of them.
        rows = sizes[0] // channel.blocks
        block = np.arange(sizes[1]) // (sizes[1] // channel.blocks)
        spots, which = np.unique(block * len(memory.node_cell) + node, return_inverse=True)
        block, at = np.divmod(spots, len(memory.node_cell))
        token = (maker + block * rows)[:, None] + np.arange(rows)
        ptr = rows * np.arange(len(spots) + 1)
        runs, bounds = memory.runs(np.repeat(at, rows), token.ravel(), ptr, np.tile(np.arange(rows), len(spots)), late)
        return runs, np.stack([bounds[:-1], bounds[1:]], axis=1)[which.reshape(-1)]
    if isinstance(channel, Window):
        fields = Fields(channel)
        spots, which = np.unique(fields.of * len(memory.node_cell) + node, return_inverse=True)
        field, at = np.divmod(spots, len(memory.node_cell))
        listed = fields.listed(field)
        at = np.repeat(at, np.diff(listed.begin))
        runs, bounds = memory.runs(at, maker + listed.producer, listed.begin, listed.term, late)
        return runs, np.stack([bounds[:-1], bounds[1:]], axis=1)[which.reshape(-1)]
    edges = channel.expand(*sizes, graph.params)
    token = maker + edges.src
    if graph.groups[channel.src].op == "source":
        token = _element(graph, int(graph.first[channel.dst]) + edges.dst)
    fan_in = channel.fan_in(*sizes, graph.params)
    runs, bounds = memory.runs(node[edges.dst], token, _bounds(fan_in), _ramp(fan_in), late)
    return runs, np.stack([bounds[:-1], bounds[1:]], axis=1)


def _element(graph: Graph, actor: Int64Array) -> Int64Array:
    """The tokens that sources send to these input actors."""
    return graph.actor_count + np.searchsorted(input_actors(graph), actor)


def _operand_weights(graph: Graph, channel: Channel) -> tuple[Int64Array | int, FloatArray | None]:
    """Where each consumer's weights begin, and weights in the order in which consumers read them."""
    if channel.weight is None:
        return 0, None
    values = graph.params[channel.weight.name].astype(np.float32, copy=False)
    sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
    if isinstance(channel, Dense):
        rows, columns = values.shape
        return rows * (np.arange(sizes[1], dtype=np.int64) % columns), np.ascontiguousarray(values.T).reshape(-1)
    if isinstance(channel, Window):
        # Filter after filter, each with all its taps.
        taps, first = np.zeros(1, np.int64), np.zeros(1, np.int64) + channel.weight_offset
        for axis in channel.axes:
            taps = (taps[:, None] + axis.weight_tap * np.arange(axis.taps)).reshape(-1)
            first = (first[:, None] + axis.weight_consumer * np.arange(axis.consumers)).reshape(-1)
        filters, which = np.unique(first, return_inverse=True)
        return len(taps) * which.reshape(-1), values.reshape(-1)[(filters[:, None] + taps).reshape(-1)]
    edges = channel.expand(*sizes, graph.params)
    assert edges.weight is not None
    return _bounds(channel.fan_in(*sizes, graph.params))[:-1], values.reshape(-1)[edges.weight]


def _describe(graph: Graph, actors: Int64Array) -> tuple[npt.NDArray[np.float64], FloatArray, FloatArray]:
    """Fill in the columns of the actor table that say what actors do; activation arguments, biases, divisors."""
    arguments = np.zeros((graph.actor_count, ARGUMENTS), np.float64)
    bias, divisor = np.zeros(graph.actor_count, np.float32), np.zeros(graph.actor_count, np.float32)
    for number, group in enumerate(graph.groups):
        at = slice(int(graph.first[number]), int(graph.first[number + 1]))
        rows, local = actors[at], np.arange(group.size)
        rows[:, OP], rows[:, ACTIVATION] = OP_CODES[group.op], ACTIVATION_CODES[group.activation]
        rows[:, WIDTH] = OPS[group.op].width(int(graph.fan_in(number)[0])) if group.op in SINKS else 1
        given = 0
        for role, ref in group.params.items():
            array = graph.params[ref.name].astype(np.float32, copy=False)
            values = array[(local // ref.inner) % len(array)]
            if role == "bias":
                bias[at], rows[:, HAS_BIAS] = values, 1
            elif role == "divisor":
                divisor[at], rows[:, HAS_DIVISOR] = values, 1
            elif role == "truth":
                rows[:, TRUTH] = graph.params[ref.name][(local // ref.inner) % len(array)]
            elif role == "alpha":
                arguments[at, 0], given = values, 1
        arguments[at, given : given + len(group.activation_args)] = group.activation_args
    return arguments, bias, divisor


@dataclass(frozen=True)
class _Transit:
    """Where the values of some events are on their way: first value, copies, values per copy; int64 (events,)."""

    at: Int64Array
    depth: Int64Array
    length: Int64Array


@dataclass(frozen=True)
class _Moves:
    """Which tokens some events move in or out of memory: ``count[i]`` of ``token``, on ``node[i]``."""

    node: Int64Array
    count: Int64Array
    token: Int64Array


class _Timeline:
    """Collects the events of iteration 0, each kind in bulk, and brings them into one period."""

    def __init__(self) -> None:
        self.rows: list[Int64Array] = []
        self.transit: list[_Transit] = []
        self.moves: list[_Moves] = []

    def add(
        self,
        kind: int,
        who: Int64Array,
        tick: Int64Array,
        phase: Int64Array | int,
        transit: _Transit | None = None,
        moves: _Moves | None = None,
    ) -> None:
        """Events of one kind, for these actors, or actors + hops; ``phase`` orders the events of one tick."""
        none = np.zeros(len(who), np.int64)
        self.rows.append(np.stack([none + kind, who, tick, none + phase], axis=1))
        self.transit.append(transit or _Transit(none, none + 1, none))
        self.moves.append(moves or _Moves(none, none, none[:0]))

    def compiled(self, period: int, memory: _Memory) -> tuple[UInt32Array, Int64Array]:
        """The event table, and the tick of each event within the period.

        Within a tick older iterations go first: what they still read may be written over by younger ones in that very
        tick, and they never read what younger ones write. Within an iteration and tick, phase decides; firings without
        duration (phase 1) follow in id order, each seeing those before it.
        """
        kind, who, tick, phase = np.concatenate(self.rows).T
        stage, residue = np.divmod(tick, period)
        if int(stage.max()) >= MOST_STAGES:
            raise SimulationError(
                f"machine: an iteration takes {int(stage.max()):,} periods of {period} ticks; this engine holds "
                f"{MOST_STAGES:,} iterations in flight"
            )
        ends = (kind == END) | (kind == SOURCE_END)
        order = np.lexsort([ends, who, np.where(phase == 1, 0, kind), phase, -stage, residue])
        count = np.concatenate([m.count for m in self.moves])
        begin = (np.cumsum(count) - count)[order]
        count = count[order]
        token = np.concatenate([m.token for m in self.moves])[np.repeat(begin, count) + _ramp(count)]
        node = np.repeat(np.concatenate([m.node for m in self.moves])[order], count)
        runs, bounds = memory.runs(node, token, _bounds(count), _ramp(count))

        # One row per run, at least one per event; a run's values in transit follow those of the runs before it.
        rows = np.maximum(np.diff(bounds), 1)
        event, part = np.repeat(order, rows), _ramp(rows)
        moved = np.zeros((len(event), TERM), np.int64)
        full = np.repeat(np.diff(bounds) > 0, rows)
        moved[full] = runs[:, :TERM]
        before = np.cumsum(moved[:, COUNT]) - moved[:, COUNT]
        before -= np.repeat(before[part == 0], rows)
        at, depth, length = (
            np.concatenate([getattr(t, name) for t in self.transit])[event] for name in ("at", "depth", "length")
        )
        nowhere = (moved[:, CELL] < FIRST_CELL) & np.isin(kind[event], (WRITE, CLAIM, END, SOURCE_END))
        moved[nowhere, COUNT] = 0  # what has no slot is lost, as those find who look for it
        columns = [kind[event], stage[event], who[event], at + before, memory.ring(depth), length]
        events = np.concatenate([np.stack(columns, axis=1), moved], axis=1)
        return np.ascontiguousarray(events.astype(np.uint32)), residue[event]


def _add_firings(graph: Graph, schedule: Schedule, actors: Int64Array, line: _Timeline) -> int:
    """Add the events of all firings. Returns how many values are in transit."""
    s = schedule
    ticks = durations(graph, s.machine, s.node)
    end = s.start + ticks
    # Phases: results become visible, then firings without duration one by one, then all others start.
    starts, ends = np.where(ticks == 0, 1, 2), np.where(ticks == 0, 1, 0)
    node, width = s.node.astype(np.int64), actors[:, WIDTH]
    place = np.cumsum(width) - width

    def transit(a: Int64Array) -> _Transit:
        return _Transit(place[a], np.ones_like(a), width[a])

    source = actors[:, OP] == OP_CODES["source"]
    plain = (actors[:, OP] == OP_CODES["input"]) & (actors[:, [ACTIVATION, HAS_BIAS, HAS_DIVISOR]] == 0).all(axis=1)
    a = np.flatnonzero(source)
    makers = token_makers(graph)[graph.actor_count :]
    elements = [graph.actor_count + np.flatnonzero(makers == i) for i in a]
    sizes = np.array([len(e) for e in elements], np.int64)
    line.add(SOURCE_FIRE, a, s.start[a], starts[a])
    line.add(SOURCE_END, a, end[a], ends[a], None, _Moves(node[a], sizes, np.concatenate([a[:0], *elements])))
    a = np.flatnonzero(plain)
    line.add(READ, a, s.start[a], starts[a], transit(a), _Moves(node[a], np.ones_like(a), _element(graph, a)))
    a = np.flatnonzero(~source & ~plain)
    line.add(FIRE, a, s.start[a], starts[a], transit(a))
    a = np.flatnonzero(~source)
    line.add(END, a, end[a], ends[a], transit(a), _Moves(node[a], np.ones_like(a), a))
    return int(width.sum())


def _of_link(schedule: Schedule, name: str) -> Int64Array:
    """A setting of the link of each hop, int64 (hops,)."""
    links = schedule.machine.links
    found: Int64Array = np.array([getattr(link, name) for link in links], np.int64)[schedule.hop_link]
    return found


def hop_cycles(graph: Graph, schedule: Schedule) -> Int64Array:
    """In how many cycles of its link each hop sends its parcel, int64 (hops,)."""
    s = schedule
    bits = np.concatenate([[0], np.cumsum(token_bits(graph)[s.parcel_token])])[s.parcel_ptr]
    frames = -(-np.diff(bits)[s.hop_parcel] // _of_link(s, "frame_bits"))
    cycles: Int64Array = -(-frames // _of_link(s, "frames_per_tick"))
    return cycles


def _trains(graph: Graph, schedule: Schedule, memory: _Memory) -> Int64Array:
    """The last hop of the train of each hop, int64 (hops,)."""
    s, period, tokens = schedule, schedule.period, memory.tokens
    hops, count = len(s.hop_link), np.diff(s.parcel_ptr)[s.hop_parcel]
    alone = np.arange(hops)
    if not hops or not memory.regular or np.any(count == 0):
        return alone
    src, dst = _of_link(s, "src"), _of_link(s, "dst")
    carrier = np.repeat(alone, count)
    token = s.parcel_token[np.repeat(s.parcel_ptr[s.hop_parcel], count) + _ramp(count)].astype(np.int64)
    duration, makers = durations(graph, s.machine, s.node), token_makers(graph)
    home = s.node[makers].astype(np.int64) * tokens + np.arange(tokens)
    comes = np.concatenate([home, dst[carrier] * tokens + token])
    if len(np.unique(comes)) < len(comes):
        return alone
    parcel_end = s.hop_parcel.astype(np.int64) * len(s.machine.nodes)
    by = np.argsort(parcel_end + dst, kind="stable")
    at = np.minimum(np.searchsorted((parcel_end + dst)[by], parcel_end + src), hops - 1)
    parent = by[at]
    fresh = s.parcel_node[s.hop_parcel] == src
    if np.any(~fresh & ((parcel_end + dst)[parent] != parcel_end + src)):
        return alone

    cycles, strides = hop_cycles(graph, s), np.array(s.machine.link_strides, np.int64)[s.hop_link]
    sent = s.hop_start + cycles * strides - 1
    arrives = sent + 1 + _of_link(s, "latency") * strides
    read, write, begins = turns(sent, 2, period), turns(arrives, 0, period), turns(s.hop_start, 2, period)
    # What is read is written by firings where it is made, by the hop before where it is passed on.
    made = turns(s.start + duration, np.where(duration > 0, 0, 1), period)[makers[token]]
    made = np.where(made >= read[carrier], made, NEVER)
    passed = np.where(write[parent] >= read, write[parent], NEVER)
    read_until = np.where(fresh, np.minimum.reduceat(made, _bounds(count)[:-1]), passed)
    # What is written is read by the hops that pass it on, and by any firing of the node, to be simple.
    fires = turns(s.start, np.where(duration > 0, 2, 1), period)
    write_until = next_of(s.node.astype(np.int64), fires, dst, write)
    child = np.flatnonzero(~fresh)
    for turn in (read, begins):
        later = np.where(turn[child] >= write[parent[child]], turn[child], NEVER)
        np.minimum.at(write_until, parent[child], later)
    stages = np.stack([sent, arrives]) // period
    return couple(
        s.hop_link.astype(np.int64),
        np.stack([read, stages[0]], axis=1),
        np.stack([write, stages[1]], axis=1),
        read_until,
        write_until,
        cycles != 1,
    )


def _add_hops(graph: Graph, schedule: Schedule, train: Int64Array, first: int, line: _Timeline) -> int:
    """Add the events of all hops, whose values in transit lie from ``first`` on. Returns where they end."""
    s = schedule
    if not len(s.hop_link):
        return first
    cycles = hop_cycles(graph, s)
    strides = np.array(s.machine.link_strides, np.int64)[s.hop_link]
    ticks = cycles * strides
    flight = np.array(s.machine.ways, np.int64)[s.hop_link]  # of a frame, from the start of its cycle
    count = np.diff(s.parcel_ptr)[s.hop_parcel]
    begin = s.parcel_ptr[s.hop_parcel]
    # Hops of one train one after the other, as they are sent.
    order = np.lexsort([np.arange(len(train)), s.hop_start, train])
    amount = np.zeros(len(train), np.int64)
    np.add.at(amount, train, count)
    # From its last tick of sending to its arrival a parcel is on the link; later iterations may follow meanwhile.
    depth = flight // s.period + 1
    at = _bounds(amount * depth)[:-1] + first
    src, dst = _of_link(s, "src"), _of_link(s, "dst")
    arrival = s.hop_start + ticks + _of_link(s, "latency") * strides

    def moves(hops: Int64Array, node: Int64Array) -> _Moves:
        wanted = np.zeros(len(train), np.bool_)
        wanted[hops] = True
        each = order[wanted[train[order]]]
        number = count[each]
        token = s.parcel_token[np.repeat(begin[each], number) + _ramp(number)]
        return _Moves(node[hops], amount[hops], token.astype(np.int64))

    h = np.flatnonzero((cycles > 0) & (train == np.arange(len(train))))
    carried = _Transit(at[h], depth[h], amount[h])
    line.add(READ, graph.actor_count + h, (s.hop_start + ticks - 1)[h], 2, carried, moves(h, src))
    line.add(WRITE, graph.actor_count + h, arrival[h], 0, carried, moves(h, dst))
    h = np.flatnonzero(cycles > 1)
    line.add(CHECK, graph.actor_count + h, s.hop_start[h], 2, None, moves(h, src))
    line.add(CLAIM, graph.actor_count + h, (s.hop_start + flight)[h], 0, None, moves(h, dst))
    return int(at[-1] + amount[-1] * depth[-1])


def output_columns(graph: Graph, program: Program, outputs: Outputs) -> Int64Array:
    """A copy of the actor table that says where in ``outputs.memory`` each kept value goes."""
    actors = program.actors.copy()
    actors[:, OUT] = -1
    for number, part in outputs.parts.items():
        rows = actors[int(graph.first[number]) : int(graph.first[number + 1])]
        start = (part.ctypes.data - outputs.memory.ctypes.data) // part.itemsize
        rows[:, OUT] = start + int(rows[0, WIDTH]) * np.arange(len(rows))
        rows[:, OUT_STRIDE] = int(rows[0, WIDTH]) * len(rows)
    return actors
