"""The machine's program: calendars compiled into the events of a period and tables of memory cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphsim.analysis.fields import Fields
from graphsim.analysis.tokens import input_actors, token_makers
from graphsim.calendars import IDLE, Calendars
from graphsim.errors import SimulationError
from graphsim.graph import Channel, Dense, Graph, Window
from graphsim.graph.ops import ACTIVATIONS, OPS, SINKS
from graphsim.simulate.engine import Outputs
from graphsim.simulate.machine.hops import Hops, Legs, find_hops, find_legs
from graphsim.simulate.machine.memory import (
    CELL,
    COUNT,
    FIRST_CELL,
    MOST_CELLS,
    TERM,
    Memory,
    Spots,
    ramp,
)
from graphsim.simulate.machine.trains import NEVER, couple, next_of, turns

UInt32Array = npt.NDArray[np.uint32]
Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

#: Iterations in flight, times kinds of rings, that the engine is willing to hold.
MOST_STAGES = 2**20

#: Kinds of event; see :class:`Program`.
CLAIM, WRITE, END, SOURCE_END, CHECK, READ, FIRE, SOURCE_FIRE, PASS = range(9)
#: Columns of the event table.
KIND, STAGE, WHO, AT, AT_RING, LENGTH, MOVED = range(7)  # and then those of the run table
#: Columns of the actor table.
(
    OP, ACTIVATION, SEGMENT, SEGMENT_END, WIDTH, HAS_BIAS, HAS_DIVISOR, TABLE, ENTRIES, TRUTH, OUT, OUT_STRIDE, COLUMNS,
) = range(13)  # fmt: skip

#: Ops and activations as the interpreter knows them.
OP_CODES = {op: code for code, op in enumerate(OPS)}
ACTIVATION_CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
#: Arguments that an activation may have.
ARGUMENTS = 3


@dataclass(frozen=True)
class Program:
    """Everything the interpreter reads.

    Memory. A cell is a few bits of a memory, the greatest unit in which tokens there can be told apart. The cells of
    all memories are numbered in one sequence (:class:`.memory.Memory`). A cell holds a 64-bit word: the value (float32)
    in the lower half, the tag in the upper one. The tag is the number of what was written there, modulo 2**32:
    iteration * tokens + token, so that it recurs only after 2**32 tokens; a cell to which nothing has been written, or
    is just being written by a hop of several ticks, is ``EMPTY``. A token of several cells is in each of them.

    Runs. A list of tokens in a memory is a list of runs, rows ``[cell, first token, count, ring, size, step, term]``:
    token ``first + i`` of iteration n is in ``size`` cells from ``cell + i * size + (n mod depth) * step`` on, where
    ``depth = depths[ring]``. What a firing reads over a channel with d initial tokens is that of iteration
    n - d: its ring says so, ``delays[ring] = d``, and ``first token`` is d times the number of tokens less, modulo
    2**32. Tokens that cannot be there are runs in ``NO_SLOT`` or ``ON_PARAMETERS``, cells that are never written.
    ``term`` is what the run's first token is of its operands: where a window is cut off at a border, terms are left
    out.

    Initial tokens. Before the first tick, ``initial_word`` is in the cells ``initial_cell``: iterations -1, -2 and so
    on of the tokens that have some, wherever they are read.

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
    WRITE       the parcel, or those of a train, get into memory at the other end; an actor's token to where it is sent
                from
    CHECK       the first tick of a hop of several: its parcel must be there already
    CLAIM       the first frame of such a hop arrives: what was in its slots is gone
    =========== ===============================================================================================

    Legs. For those who do something to what is on links, hops through switches are events for every link, a *leg* of
    them each, and who is actors + leg; legs that several hops begin with are the same ones. All of a leg happens when
    its first frame does. Otherwise a hop is a single leg.

    =========== ===============================================================================================
    PASS        a leg out of a switch takes what is in transit over the one into it: cell and step are where that is
    WRITE       with no tokens: the first frame of a leg into a switch arrives
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
    transit: int
    scratch: int
    cells: int
    node: Int64Array
    hops: Hops
    train: Int64Array
    legs: Legs


def compile_program(graph: Graph, calendars: Calendars, *, apart: bool = False) -> Program:
    """Compile calendars that have been checked.

    Args:
        graph: unrolled.
        apart: whether every leg of every hop gets events of its own. If not, hops that follow each other on their way
            become one event, where nothing can tell the difference.

    Raises:
        SimulationError: they keep more memory or more iterations in flight than this engine holds.
    """
    hops = find_hops(graph, calendars)
    memory = Memory(graph, calendars, hops)
    actors = np.zeros((graph.actor_count, COLUMNS), np.int64)
    runs, segments, weights = _operands(graph, memory, actors)
    arguments, bias, divisor = _describe(graph, actors)
    line = _Timeline()
    start, ticks = _firing_times(calendars)
    transit = _add_firings(graph, calendars, memory, actors, start, ticks, line)
    train = np.arange(len(hops.link)) if apart else _trains(graph, calendars, memory, hops, start, ticks)
    legs = find_legs(hops) if apart else Legs(hops.link, np.full(len(train), -1), np.arange(len(train)))
    if (legs.parent >= 0).any():
        transit = _add_legs(graph, calendars, memory, hops, legs, transit, line)
    else:
        transit = _add_hops(graph, calendars, memory, hops, train, transit, line)
    events, event_tick = line.compiled(calendars.period, memory)
    initial_cell, initial_word = memory.initial(graph)
    stages = 1 + int(events[:, STAGE].max())
    if stages * len(memory.rings) > MOST_STAGES or transit > MOST_CELLS:
        raise SimulationError(
            f"machine: {stages:,} iterations and {transit:,} tokens on links are in flight at once, more than this "
            f"engine holds; give the schedule a longer period or shorter links"
        )
    return Program(
        period=calendars.period,
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
        transit=transit,
        scratch=max(int(graph.fan_in(number).max(initial=0)) for number in range(len(graph.groups))),
        cells=memory.cells,
        node=calendars.node,
        hops=hops,
        train=train,
        legs=legs,
    )


def _bounds(count: Int64Array) -> Int64Array:
    """Where parts of these sizes begin, and where the last one ends."""
    bounds: Int64Array = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return bounds


def _operands(graph: Graph, memory: Memory, actors: Int64Array) -> tuple[UInt32Array, Int64Array, FloatArray]:
    """The runs and segments of every actor, and the weights.

    Fills in the columns SEGMENT, SEGMENT_END, TABLE and ENTRIES of the actor table.
    """
    runs: list[UInt32Array] = [np.empty((0, TERM + 1), np.uint32)]
    segments: list[Int64Array] = []
    weights: list[FloatArray] = [np.empty(0, np.float32)]
    run_count = segment_count = weight_count = 0
    node = memory.node
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


def _operand_runs(graph: Graph, channel: Channel, node: Int64Array, memory: Memory) -> tuple[Int64Array, Int64Array]:
    """Runs of operands, and the first and the end one of every consumer, int64 (consumers, 2)."""
    maker, late = int(graph.first[channel.src]), channel.initial_tokens
    sizes = graph.groups[channel.src].size, graph.groups[channel.dst].size
    if isinstance(channel, Dense) and graph.groups[channel.src].op != "source":
        # Consumers in the same block and on the same node have the same operands: one list for all of them.
        rows = sizes[0] // channel.blocks
        block = np.arange(sizes[1]) // (sizes[1] // channel.blocks)
        spots, which = np.unique(block * memory.nodes + node, return_inverse=True)
        block, at = np.divmod(spots, memory.nodes)
        token = (maker + block * rows)[:, None] + np.arange(rows)
        ptr = rows * np.arange(len(spots) + 1)
        runs, bounds = memory.runs(
            memory.reading(np.repeat(at, rows), token.ravel()), ptr, np.tile(np.arange(rows), len(spots)), late
        )
        return runs, np.stack([bounds[:-1], bounds[1:]], axis=1)[which.reshape(-1)]
    if isinstance(channel, Window):
        fields = Fields(channel)
        spots, which = np.unique(fields.of * memory.nodes + node, return_inverse=True)
        field, at = np.divmod(spots, memory.nodes)
        listed = fields.listed(field)
        at = np.repeat(at, np.diff(listed.begin))
        runs, bounds = memory.runs(memory.reading(at, maker + listed.producer), listed.begin, listed.term, late)
        return runs, np.stack([bounds[:-1], bounds[1:]], axis=1)[which.reshape(-1)]
    edges = channel.expand(*sizes, graph.params)
    token = maker + edges.src
    if graph.groups[channel.src].op == "source":
        token = _element(graph, int(graph.first[channel.dst]) + edges.dst)
    fan_in = channel.fan_in(*sizes, graph.params)
    runs, bounds = memory.runs(memory.reading(node[edges.dst], token), _bounds(fan_in), ramp(fan_in), late)
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


class _Moves(NamedTuple):
    """What some events move in or out of memory: the first ``many[0]`` of ``spots`` the first event, and so on."""

    many: Int64Array
    spots: Spots


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
        self.moves.append(moves or _Moves(none, Spots(*[none[:0]] * len(Spots._fields))))

    def compiled(self, period: int, memory: Memory) -> tuple[UInt32Array, Int64Array]:
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
        count = np.concatenate([m.many for m in self.moves])
        begin = (np.cumsum(count) - count)[order]
        count = count[order]
        every = Spots(*(np.concatenate(column) for column in zip(*(m.spots for m in self.moves), strict=True)))
        runs, bounds = memory.runs(every.picked(np.repeat(begin, count) + ramp(count)), _bounds(count), ramp(count))

        # One row per run, at least one per event; a run's values in transit follow those of the runs before it.
        rows = np.maximum(np.diff(bounds), 1)
        event, part = np.repeat(order, rows), ramp(rows)
        moved = np.zeros((len(event), TERM), np.int64)
        full = np.repeat(np.diff(bounds) > 0, rows)
        moved[full] = runs[:, :TERM]
        before = np.cumsum(moved[:, COUNT]) - moved[:, COUNT]
        before -= np.repeat(before[part == 0], rows)
        at, depth, length = (
            np.concatenate([getattr(t, name) for t in self.transit])[event] for name in ("at", "depth", "length")
        )
        # An actor writes the same token to all its places; the first row counts as the end of its firing.
        before[kind[event] == END] = 0
        kind = np.where((kind[event] == END) & (part > 0), WRITE, kind[event])
        nowhere = (moved[:, CELL] < FIRST_CELL) & np.isin(kind, (WRITE, CLAIM, END, SOURCE_END))
        moved[nowhere, COUNT] = 0  # what has no slot is lost, as those find who look for it
        columns = [kind, stage[event], who[event], at + before, memory.ring(depth, np.zeros_like(depth)), length]
        events = np.concatenate([np.stack(columns, axis=1), moved], axis=1)
        return np.ascontiguousarray(events.astype(np.uint32)), residue[event]


def _add_firings(
    graph: Graph,
    calendars: Calendars,
    memory: Memory,
    actors: Int64Array,
    start: Int64Array,
    ticks: Int64Array,
    line: _Timeline,
) -> int:
    """Add the events of all firings. Returns how many values are in transit."""
    end = start + ticks
    # Phases: results become visible, then firings without duration one by one, then all others start.
    starts, ends = np.where(ticks == 0, 1, 2), np.where(ticks == 0, 1, 0)
    node, width = calendars.node, actors[:, WIDTH]
    place = np.cumsum(width) - width

    def transit(a: Int64Array) -> _Transit:
        return _Transit(place[a], np.ones_like(a), width[a])

    source = actors[:, OP] == OP_CODES["source"]
    plain = (actors[:, OP] == OP_CODES["input"]) & (actors[:, [ACTIVATION, HAS_BIAS, HAS_DIVISOR]] == 0).all(axis=1)
    written, count = _written(calendars, memory, token_makers(graph).astype(np.int64))
    first = np.cumsum(count) - count

    def writes(a: Int64Array) -> _Moves:
        return _Moves(count[a], memory.places.picked(written[np.repeat(first[a], count[a]) + ramp(count[a])]))

    a = np.flatnonzero(source)
    line.add(SOURCE_FIRE, a, start[a], starts[a])
    line.add(SOURCE_END, a, end[a], ends[a], None, writes(a))
    a = np.flatnonzero(plain)
    read = memory.reading(node[a], _element(graph, a))
    line.add(READ, a, start[a], starts[a], transit(a), _Moves(np.ones_like(a), read))
    a = np.flatnonzero(~source & ~plain)
    line.add(FIRE, a, start[a], starts[a], transit(a))
    a = np.flatnonzero(~source)
    line.add(END, a, end[a], ends[a], transit(a), writes(a))
    return int(width.sum())


def _firing_times(calendars: Calendars) -> tuple[Int64Array, Int64Array]:
    """Start in iteration 0 and ticks of every actor's firing, int64 (actors,)."""
    c, fire = calendars, calendars.fire
    start, ticks = np.zeros((2, len(c.node)), np.int64)
    busy = fire.what != IDLE
    np.add.at(ticks, fire.what[busy], fire.length[busy])
    begins = busy & (fire.offset == 0)
    start[fire.what[begins]] = (fire.stage * c.period + fire.begin * c.node_stride[fire.owner])[begins]
    start[c.instant_actor] = c.instant_stage * c.period + c.instant_tick
    return start, ticks * c.node_stride[c.node]


def _written(calendars: Calendars, memories: Memory, makers: Int64Array) -> tuple[Int64Array, Int64Array]:
    """The places that actors write their tokens to, actor by actor; and how many each actor has, int64 (actors,)."""
    c = calendars
    memory, maker = c.ring_memory[c.place_ring], makers[c.place_token]
    places = np.flatnonzero(~c.is_rx[memory] & (c.memory_node[memory] == c.node[maker]))
    # Rings that hold the same share their cells: they are written once.
    cells = np.stack([memories.places.token[places], memories.places.cell[places]])
    places = places[np.unique(cells, axis=1, return_index=True)[1]]
    places = places[np.lexsort((c.place_token[places], memory[places], maker[places]))]
    return places, np.bincount(maker[places], minlength=len(c.node))


def _hop_times(calendars: Calendars, hops: Hops) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Ticks of iteration 0, int64 (hops,): of the start, after the last tick of sending, of first and last arrival."""
    stride = calendars.link_stride[hops.link]
    start, last = hops.first * stride, hops.last * stride
    return start, last + stride, start + hops.flight, last + hops.flight


def _trains(
    graph: Graph, calendars: Calendars, memory: Memory, hops: Hops, start: Int64Array, ticks: Int64Array
) -> Int64Array:
    """The last hop of the train of each hop, int64 (hops,); ``start``, ``ticks``: of all firings."""
    c, number = calendars, np.arange(len(hops.link))
    count = np.bincount(hops.of, minlength=len(number))
    if memory.irregular or (count == 0).any() or hops.ahead.any() or len(np.unique(hops.into)) < len(number):
        return number
    begin, sent, claims, arrives = _hop_times(calendars, hops)
    read, write = turns(sent - 1, 2, c.period), turns(arrives, 0, c.period)
    begins, claimed = turns(begin, 2, c.period), turns(claims, 0, c.period)
    # What is read is written by firings in TX memories, by the hop before in RX memories.
    writer = np.full(len(c.ring_bits), -1, np.int64)
    writer[hops.into] = number
    parent = writer[hops.source]
    read_until = np.full(len(number), NEVER)
    maker = token_makers(graph)[c.place_token[hops.place]]
    made = turns(start + ticks, np.where(ticks > 0, 0, 1), c.period)[maker]
    np.minimum.at(read_until, hops.of, np.where(made >= read[hops.of], made, NEVER))
    child = np.flatnonzero(parent >= 0)
    for turn in (write, claimed):
        later = turn[parent[child]]
        read_until[child] = np.minimum(read_until[child], np.where(later >= read[child], later, NEVER))
    # What is written is read by the hops that pass it on, and by any firing of the node, to be simple.
    fires = turns(start, np.where(ticks > 0, 2, 1), c.period)
    write_until = next_of(c.node, fires, c.memory_node[c.ring_memory[hops.into]], write)
    for turn in (read, begins):
        later = np.where(turn[child] >= write[parent[child]], turn[child], NEVER)
        np.minimum.at(write_until, parent[child], later)
    return couple(
        hops.way,
        np.stack([read, (sent - 1) // c.period], axis=1),
        np.stack([write, arrives // c.period], axis=1),
        read_until,
        write_until,
        (hops.last > hops.first).astype(np.int64),
    )


def _add_hops(
    graph: Graph,
    calendars: Calendars,
    memory: Memory,
    hops: Hops,
    train: Int64Array,
    first: int,
    line: _Timeline,
) -> int:
    """Add the events of all hops, whose values in transit lie from ``first`` on. Returns where they end."""
    count = np.bincount(hops.of, minlength=len(hops.link))
    if not len(count):
        return first
    start, end, claims, arrives = _hop_times(calendars, hops)
    # Hops of one train one after the other, as they are sent.
    order = np.lexsort([np.arange(len(train)), start, train])
    amount = np.zeros(len(train), np.int64)
    np.add.at(amount, train, count)
    # From its last tick of sending to its arrival a parcel is on the link; later iterations may follow meanwhile.
    depth = (claims - start) // calendars.period + 1
    at = _bounds(amount * depth)[:-1] + first
    begin = np.cumsum(count) - count

    def moves(h: Int64Array, spots: Spots) -> _Moves:
        wanted = np.zeros(len(train), np.bool_)
        wanted[h] = True
        each = order[wanted[train[order]]]
        return _Moves(amount[h], spots.picked(np.repeat(begin[each], count[each]) + ramp(count[each])))

    sent, into = _carried(memory, hops)
    h = np.flatnonzero(train == np.arange(len(train)))
    carried = _Transit(at[h], depth[h], amount[h])
    line.add(READ, graph.actor_count + h, end[h] - 1, 2, carried, moves(h, sent))
    line.add(WRITE, graph.actor_count + h, arrives[h], 0, carried, moves(h, into))
    h = np.flatnonzero(hops.last > hops.first)
    line.add(CHECK, graph.actor_count + h, start[h], 2, None, moves(h, sent))
    _add_claims(calendars, memory, hops, graph.actor_count + np.arange(len(train)), claims, line)
    return int(at[-1] + amount[-1] * depth[-1])


def _carried(memory: Memory, hops: Hops) -> tuple[Spots, Spots]:
    """The tokens of all hops, where they are read and where they are written."""
    sent = memory.places.picked(hops.place)
    return sent, memory.spots(sent.token, hops.into[hops.of], hops.to_bit, hops.width, hops.ahead[hops.of])


def _add_claims(
    calendars: Calendars, memory: Memory, hops: Hops, who: Int64Array, claims: Int64Array, line: _Timeline
) -> None:
    """From its first frame on, what was there is gone; and padding is written over what is there too."""
    bits = hops.frames * np.array([link.frame_bits for link in calendars.machine.links], np.int64)[hops.link]
    filled = np.zeros(len(bits), np.int64)
    np.add.at(filled, hops.of, hops.width)
    h = np.flatnonzero((hops.last > hops.first) | (memory.overwrites(hops.into) & (filled < bits)))
    one = np.ones_like(h)
    whole = memory.spots(one, hops.into[h], hops.to[h], bits[h], hops.ahead[h])
    line.add(CLAIM, who[h], claims[h], 0, None, _Moves(one, whole))


def _add_legs(
    graph: Graph,
    calendars: Calendars,
    memory: Memory,
    hops: Hops,
    legs: Legs,
    first: int,
    line: _Timeline,
) -> int:
    """Add the events of all legs; otherwise as :func:`_add_hops`."""
    machine, stride, hop = calendars.machine, calendars.link_stride[legs.link], legs.hop
    count = np.bincount(hops.of, minlength=len(hops.link))
    begin = np.cumsum(count) - count
    way, crossing = (
        np.array(ticks, np.int64) for ticks in (machine.ways, [machine.crossings[link.dst] for link in machine.links])
    )
    through = crossing[legs.link]
    start = hops.first[hop] * stride
    for leg in np.flatnonzero(legs.parent >= 0).tolist():  # parents come first
        before = legs.parent[leg]
        start[leg] = start[before] + way[legs.link[before]] + through[before]
    claims = start + way[legs.link]
    long = ((hops.last - hops.first)[hop]) * stride
    alone = (legs.parent < 0) & (through == 0)
    amount = count[hop]
    depth = (claims + np.where(alone, 0, long + through) - start) // calendars.period + 1
    at = _bounds(amount * depth)[:-1] + first
    who = graph.actor_count + np.arange(len(hop))

    def transit(i: Int64Array) -> _Transit:
        return _Transit(at[i], depth[i], amount[i])

    def moves(i: Int64Array, spots: Spots) -> _Moves:
        return _Moves(amount[i], spots.picked(np.repeat(begin[hop[i]], amount[i]) + ramp(amount[i])))

    sent, into = _carried(memory, hops)
    i = np.flatnonzero(legs.parent < 0)
    line.add(READ, who[i], np.where(alone, start + long + stride - 1, start)[i], 2, transit(i), moves(i, sent))
    i = np.flatnonzero(alone & (long > 0))
    line.add(CHECK, who[i], start[i], 2, None, moves(i, sent))
    i = np.flatnonzero(legs.parent >= 0)
    parent = legs.parent[i]
    each = np.repeat(parent, amount[i])
    token = ramp(amount[i])
    one = np.ones_like(token)
    taken = Spots(token, at[each] + token, one, depth[each], amount[each], 0 * one)
    line.add(PASS, who[i], start[i], 2, transit(i), _Moves(amount[i], taken))
    i = np.flatnonzero(through > 0)
    line.add(WRITE, who[i], claims[i], 0, transit(i))
    i = np.flatnonzero(through == 0)
    line.add(WRITE, who[i], (claims + long)[i], 0, transit(i), moves(i, into))
    ends = np.zeros(len(hops.link), np.int64)
    ends[hop[i]] = i
    _add_claims(calendars, memory, hops, who[ends], claims[ends], line)
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
