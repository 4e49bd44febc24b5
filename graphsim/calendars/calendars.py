"""What the hardware loads: a calendar for every node, either end of every link and every output of a switch, and where
tokens lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graphsim.machine import Machine

IntArray = npt.NDArray[np.int64]
Int32Array = npt.NDArray[np.int32]

#: In a row that names an actor or a ring: none.
IDLE = -1


@dataclass(frozen=True)
class Table:
    """The calendars of many components, run-length encoded.

    Component c works off rows ``ptr[c]:ptr[c + 1]`` in every metacycle, from tick 0 of it to its end. Row i: for
    ``length[i]`` units (cycles of a node, frames of a link), do ``what[i]``, or nothing where that is ``IDLE``. It is
    done for iteration ``k - stage[i]`` in metacycle k; there is nothing to do before iteration 0. What crosses the end
    of a metacycle is two rows, the last and the first: the second goes on at ``offset`` units of it, in a stage that is
    one greater.

    Attributes:
        ptr: int64 (components + 1,). what: int32 (rows,). length, stage, offset: int64 (rows,).
    """

    ptr: IntArray
    what: Int32Array
    length: IntArray
    stage: IntArray
    offset: IntArray

    @cached_property
    def owner(self) -> IntArray:
        """The component of each row, int64 (rows,)."""
        return np.repeat(np.arange(len(self.ptr) - 1), np.diff(self.ptr))

    @cached_property
    def begin(self) -> IntArray:
        """Units of its metacycle before each row, int64 (rows,)."""
        before = np.cumsum(self.length) - self.length
        first: IntArray = np.append(before, 0)[np.minimum(self.ptr[:-1], len(before))]
        return before - first[self.owner]


@dataclass(frozen=True)
class Calendars:
    """The tables of one graph on one machine. All that the machine knows of a schedule is in here.

    Metacycle. All calendars are worked off once in every ``period`` ticks; metacycle k is ticks ``k * period <= t <
    (k + 1) * period``. Every node and link acts in cycles of as many ticks as its stride (:class:`~graphsim.machine.
    Machine`), the first with tick 0; a metacycle is ``period // stride`` of them, without rest where there is anything
    to do. Within a tick, older iterations come before younger ones, and for one iteration

    1. frames arrive, and firings that end take effect: their tokens are in memory;
    2. firings without duration happen, in the order of actors, each seeing the tokens of those before it;
    3. firings begin and read their operands, and frames leave.

    Memories. Numbers 0 .. nodes - 1 are those of the nodes, counted in bytes; ``nodes + l`` is the TX memory of link l
    at its source, and ``nodes + links + l`` its RX memory at its destination, counted in frames of the link. All
    addresses here are in bits: byte b is bit 8 b, frame f is bit ``f * frame_bits``.

    Rings. Tokens of several iterations are in flight, and every iteration needs room of its own: an address is a ring
    of ``ring_copies`` copies of ``ring_bits`` bits each in memory ``ring_memory``, the first one at bit ``ring_base``,
    each ``ring_step`` bits behind the one before; iteration n uses copy ``n mod copies``. (The plain hardware has fixed
    addresses, which are rings of one copy: this modulo addressing is our extension, and what lets iterations overlap.)
    Rings of ports that have equally many copies are interleaved: first the first copies of all of them, and so on.

    Compute calendars. ``fire`` has the nodes as components, cycles as units, and actors: an actor reads its operands at
    the start of its first cycle and takes effect at the end of its last. Switches have one idle row. Firings without
    duration are beside it (the host's DMA does them): ``instant_actor`` on ``instant_node`` in tick ``instant_tick`` of
    every metacycle, for iteration ``k - instant_stage``; sorted by (tick, actor).

    Gather calendars. ``gather`` has the links as components, frames as units (``frames_per_tick`` of them are a cycle),
    and rings that the engine at the link's source reads: frame i of a row is ``frame_bits`` bits from bit ``(offset +
    i) * frame_bits`` of the ring's copy on. A ring is in the link's TX memory, or, where a parcel is passed on, in the
    RX memory of a link into that node. Idle frames leave as invalid ones. A switch has no memories: over links out of
    it nothing is gathered, and over links into it nothing is scattered.

    Scatter calendars. ``scatter`` is the same at the link's destination: rings of the link's RX memory that valid
    frames are written to, ``1 + latency`` cycles after they were gathered. Invalid frames are not written.

    Crossbar calendars. ``crossbar`` has the links as components, frames as units, and links into the switch at the
    link's source: what leaves over the link is what came over that one ``1 + crossbar_latency`` cycles before, valid or
    not. The first frame of a row comes from lane ``offset`` (the lanes of a cycle are its frames, 0 ..
    ``frames_per_tick - 1``), and those in other lanes from as many lanes higher or lower. What comes in during one
    cycle may leave over several links, which is multicast. Stages are 0: a switch works off its rows in every
    metacycle, whatever comes. Idle frames leave as invalid ones. Links out of compute nodes have one idle row.

    Places. Token ``place_token`` is at bit ``place_bit`` of the copies of ring ``place_ring``: sorted by (ring, bit).
    Tokens are those of :class:`~graphsim.schedule.schedule.Schedule`; parcels are packed bit by bit. An actor writes
    its token to all places of it in its node's memory and in the TX memories of links from there. It reads a token at
    :attr:`read_place`: in its node's memory if the token is there, else in the RX memory of a link into it. Over a
    channel with d initial tokens it reads that of d iterations ago. Before tick 0 the places that are read hold all
    initial tokens, that of iteration -k in copy ``-k mod copies``, k = 1 .. d. A node's bytes below its rings hold
    its parameters (:func:`~graphsim.analysis.costs.parameter_bytes`).

    Attributes (all arrays read-only):
        graph_digest: of the graph, before it is unrolled; actors and tokens are those of the unrolled graph.
        machine: the whole machine description.
        period: ticks of a metacycle, which is one iteration.
        fire, gather, scatter, crossbar: see above.
        instant_node, instant_actor: int32 (firings without duration,); instant_tick, instant_stage: int64.
        ring_memory: int32 (rings,); ring_base, ring_copies, ring_step, ring_bits: int64 (rings,).
        place_ring, place_token: int32 (places,); place_bit: int64 (places,).
    """

    graph_digest: str
    machine: Machine
    period: int
    fire: Table
    gather: Table
    scatter: Table
    crossbar: Table
    instant_node: Int32Array
    instant_actor: Int32Array
    instant_tick: IntArray
    instant_stage: IntArray
    ring_memory: Int32Array
    ring_base: IntArray
    ring_copies: IntArray
    ring_step: IntArray
    ring_bits: IntArray
    place_ring: Int32Array
    place_token: Int32Array
    place_bit: IntArray

    @cached_property
    def node_stride(self) -> IntArray:
        """Ticks of a cycle of every node, int64 (nodes,)."""
        return np.array(self.machine.node_strides, np.int64)

    @cached_property
    def link_stride(self) -> IntArray:
        """Ticks of a cycle of every link, int64 (links,)."""
        return np.array(self.machine.link_strides, np.int64)

    @cached_property
    def from_switch(self) -> npt.NDArray[np.bool_]:
        """Which links leave switches, bool (links,)."""
        return np.array([self.machine.nodes[link.src].kind == "switch" for link in self.machine.links], np.bool_)

    @cached_property
    def into_switch(self) -> npt.NDArray[np.bool_]:
        """Which links lead to switches, bool (links,)."""
        return np.array([self.machine.nodes[link.dst].kind == "switch" for link in self.machine.links], np.bool_)

    @cached_property
    def link_rate(self) -> IntArray:
        """Frames per cycle of every link, int64 (links,)."""
        return np.array([link.frames_per_tick for link in self.machine.links], np.int64)

    @cached_property
    def link_units(self) -> IntArray:
        """Frames of a metacycle of every link, int64 (links,)."""
        return self.period // self.link_stride * self.link_rate

    @cached_property
    def unit_bits(self) -> IntArray:
        """Bits of a byte or a frame of every memory, int64 (memories,)."""
        frames = [link.frame_bits for link in self.machine.links]
        return np.array([8] * len(self.machine.nodes) + frames + frames, np.int64)

    @cached_property
    def memory_node(self) -> IntArray:
        """The node that every memory is at, int64 (memories,)."""
        links = self.machine.links
        ends = [*range(len(self.machine.nodes)), *(link.src for link in links), *(link.dst for link in links)]
        return np.array(ends, np.int64)

    @cached_property
    def is_rx(self) -> npt.NDArray[np.bool_]:
        """Which memories are RX memories, bool (memories,)."""
        nodes, links = len(self.machine.nodes), len(self.machine.links)
        return np.arange(nodes + 2 * links) >= nodes + links

    @cached_property
    def used(self) -> IntArray:
        """Bytes or frames that are in use of every memory, int64 (memories,); of a node's, without its parameters."""
        top = np.zeros(len(self.unit_bits), np.int64)
        np.maximum.at(top, self.ring_memory, self.ring_base + (self.ring_copies - 1) * self.ring_step + self.ring_bits)
        return -(-top // self.unit_bits)

    @cached_property
    def node(self) -> IntArray:
        """The node of every actor, int64 (actors,)."""
        busy = self.fire.what != IDLE
        actor = np.concatenate([self.fire.what[busy], self.instant_actor])
        found = np.zeros(int(actor.max(initial=-1)) + 1, np.int64)
        found[actor] = np.concatenate([self.fire.owner[busy], self.instant_node])
        return found

    @cached_property
    def read_place(self) -> tuple[IntArray, IntArray, IntArray]:
        """Where actors read: node, token and place, int64; sorted by (node, token), each pair once."""
        memory = self.ring_memory[self.place_ring].astype(np.int64)
        nodes, links = len(self.machine.nodes), len(self.machine.links)
        at = np.flatnonzero((memory < nodes) | (memory >= nodes + links))
        token, node = self.place_token[at].astype(np.int64), self.memory_node[memory[at]]
        order = np.lexsort((memory[at], token, node))
        kept = np.ones(len(order), np.bool_)
        kept[1:] = (np.diff(node[order]) != 0) | (np.diff(token[order]) != 0)
        order = order[kept]
        return node[order], token[order], at[order]

    def memory_name(self, memory: int) -> str:
        """How messages and files call a memory: ``node n0``, ``tx n0->n1``, ``rx n0->n1``."""
        nodes, links = len(self.machine.nodes), len(self.machine.links)
        if memory < nodes:
            return f"node {self.machine.nodes[memory].name}"
        port, link = divmod(memory - nodes, links)
        return f"{'rx' if port else 'tx'} {self.machine.link_name(link)}"
