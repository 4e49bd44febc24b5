"""Logic circuits: the arrays that circuit files are read into, that logic passes rewrite and that gates are run from.

A circuit and a graph of gates say the same: :func:`to_graph` and :func:`of_graph` lead from one to the other and back,
with nothing lost. The graph is what goes through the house; the circuit is how those see it who think in gates.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress

import numpy as np
import numpy.typing as npt

from graphsim.errors import GraphError
from graphsim.graph.channels import BoolArray, Channel, Csr, Dense, IntArray, Ref
from graphsim.graph.graph import Graph, Group
from graphsim.graph.verify import MAX_FAN_IN

Int32Array = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

#: The note of a graph that says what its bits are called.
NAMES = "circuit.names"
#: The note of a circuit that says which edge of what clock its cycles end with.
CLOCK = "clock"
_CLOCK = re.compile(r"registers store at the (rising|falling) edge of (.+), with which a cycle ends", re.DOTALL)
_KINDS = ("inputs", "registers", "gates", "outputs")
#: Values of one variable of a truth table, for variable 0 .. 5: bit m is bit i of m.
VARIABLES = (
    0xAAAA_AAAA_AAAA_AAAA,
    0xCCCC_CCCC_CCCC_CCCC,
    0xF0F0_F0F0_F0F0_F0F0,
    0xFF00_FF00_FF00_FF00,
    0xFFFF_0000_FFFF_0000,
    0xFFFF_FFFF_0000_0000,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """A synchronous circuit of gates with up to six inputs, one clock, and registers.

    Encoding. Signals are numbered: first the ``I`` inputs, then the ``R`` registers, then the ``G`` gates. Gate g is
    signal I + R + g; its fanins are signals ``index[indptr[g]:indptr[g + 1]]``, strictly ascending and all below its
    own number, so that gates stand in an order in which they can be evaluated. Its value is bit
    ``sum(value(fanin i) << i)`` of the word ``truth[g]``, of which bits from 2**k on are 0 if it has k fanins; a gate
    without fanins is a constant. Register r presents ``initial[r]`` in cycle 0, and in cycle t + 1 what signal
    ``following[r]`` was in cycle t. Output j is signal ``outputs[j]``; there is no gate at an output.

    Attributes (all arrays read-only):
        name: of the circuit.
        input_names, register_names, output_names: one for each, unique among inputs and registers, and among outputs.
        gate_names: "" for gates whose net has no name of its own; or () where none has one.
        indptr: int64 (G + 1,). index: int32 (edges,). truth: uint64 (G,).
        initial: bool (R,). following: int32 (R,). outputs: int32 (outputs,).
        notes: what a reader had to decide or leave out, for people: notes of the graph.
    """

    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    outputs: Int32Array
    indptr: IntArray
    index: Int32Array
    truth: Words
    register_names: tuple[str, ...] = ()
    initial: BoolArray
    following: Int32Array
    gate_names: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __repr__(self) -> str:
        return (
            f"<Circuit {self.name}: {self.input_count:,} inputs, {self.register_count:,} registers, "
            f"{self.gate_count:,} gates, {len(self.outputs):,} outputs>"
        )

    @property
    def input_count(self) -> int:
        """I."""
        return len(self.input_names)

    @property
    def register_count(self) -> int:
        """R."""
        return len(self.register_names)

    @property
    def gate_count(self) -> int:
        """G."""
        return len(self.truth)

    @property
    def first_gate(self) -> int:
        """Signal of gate 0: I + R."""
        return self.input_count + self.register_count

    @property
    def signal_count(self) -> int:
        """I + R + G."""
        return self.first_gate + self.gate_count

    @property
    def clock(self) -> tuple[str, bool]:
        """What its clock is called, "" if nothing says so, and whether a cycle ends with the rising edge."""
        found = _CLOCK.fullmatch(self.notes.get(CLOCK, ""))
        return (found[2], found[1] == "rising") if found else ("", True)

    @cached_property
    def fan_in(self) -> IntArray:
        """Inputs of each gate, int64 (G,)."""
        return np.diff(self.indptr)

    def fanins(self, gate: int) -> tuple[int, ...]:
        """Signals that a gate reads."""
        return tuple(self.index[self.indptr[gate] : self.indptr[gate + 1]].tolist())

    def signal_name(self, signal: int) -> str:
        """What a signal is called: its net's name, or that of its actor (``gate[17]``)."""
        if signal < self.input_count:
            return self.input_names[signal]
        if signal < self.first_gate:
            return self.register_names[signal - self.input_count]
        gate = signal - self.first_gate
        return (self.gate_names[gate] if self.gate_names else "") or f"gate[{gate}]"

    @cached_property
    def level(self) -> Int32Array:
        """Depth of each signal, int32 (signals,): 0 for inputs, registers and constants; of a gate 1 more than of its
        deepest fanin.
        """
        level = [0] * self.signal_count
        index, indptr = self.index.tolist(), self.indptr.tolist()
        at = self.first_gate
        for g in range(self.gate_count):
            a, b = indptr[g], indptr[g + 1]
            if a != b:
                level[at + g] = 1 + max(level[s] for s in index[a:b])
        return np.array(level, np.int32)

    @property
    def depth(self) -> int:
        """Gates on the longest path without registers."""
        return int(self.level.max(initial=0))

    def leading_to_outputs(self) -> Circuit:
        """The circuit without the gates and registers that no output depends on, in any cycle. Inputs stay."""
        live = np.zeros(self.signal_count, np.bool_)
        index, indptr, following = self.index.tolist(), self.indptr.tolist(), self.following.tolist()
        stack = self.outputs.tolist()
        while stack:
            signal = stack.pop()
            if live[signal]:
                continue
            live[signal] = True
            if signal >= self.first_gate:
                gate = signal - self.first_gate
                stack += index[indptr[gate] : indptr[gate + 1]]
            elif signal >= self.input_count:
                stack.append(following[signal - self.input_count])
        live[: self.input_count] = True
        return self.only(live)

    def only(self, kept: BoolArray) -> Circuit:
        """The circuit of the signals that are kept, bool (signals,): all inputs, and whatever kept signals read."""
        number = np.cumsum(kept) - 1
        registers, gates = kept[self.input_count : self.first_gate], kept[self.first_gate :]
        fan_in = self.fan_in[gates]
        indptr = np.concatenate([[0], np.cumsum(fan_in)]).astype(np.int64)
        return replace(
            self,
            register_names=tuple(compress(self.register_names, registers)),
            initial=self.initial[registers],
            following=number[self.following[registers]].astype(np.int32),
            gate_names=tuple(compress(self.gate_names, gates)),
            truth=self.truth[gates],
            indptr=indptr,
            index=number[self.index[np.repeat(gates, self.fan_in)]].astype(np.int32),
            outputs=number[self.outputs].astype(np.int32),
        )

    def check(self) -> None:
        """Check the encoding that the class states.

        Raises:
            GraphError: it is broken; the message names the gate or signal.
        """
        gates, signals = self.gate_count, self.signal_count
        if len(self.indptr) != gates + 1 or self.indptr[0] != 0 or self.indptr[-1] != len(self.index):
            raise GraphError(f"{self.name}: indptr does not go from 0 to {len(self.index)} in {gates} gates")
        fan_in = self.fan_in
        if gates and (fan_in.min() < 0 or fan_in.max() > MAX_FAN_IN):
            at = int(np.argmax((fan_in < 0) | (fan_in > MAX_FAN_IN)))
            raise GraphError(f"{self.name}: gate {at} has {fan_in[at]} inputs; a gate has 0 to {MAX_FAN_IN}")
        own = np.repeat(np.arange(gates) + self.first_gate, fan_in)
        inner = np.ones(len(self.index), np.bool_)
        inner[self.indptr[:-1][fan_in > 0]] = False
        bad = (self.index < 0) | (self.index >= own)
        bad[1:] |= inner[1:] & (self.index[1:] <= self.index[:-1])
        if bad.any():
            at = int(own[np.argmax(bad)]) - self.first_gate
            raise GraphError(f"{self.name}: gate {at} reads signals {self.fanins(at)}; they ascend, below its own")
        over = (fan_in < MAX_FAN_IN) & (self.truth >> (np.uint64(1) << fan_in.astype(np.uint64)) % np.uint64(64) != 0)
        if over.any():
            at = int(np.argmax(over))
            raise GraphError(f"{self.name}: gate {at} has {fan_in[at]} inputs and truth table {int(self.truth[at]):#x}")
        for what, found, count in (
            ("registers", self.following, self.register_count),
            ("outputs", self.outputs, len(self.output_names)),
        ):
            if len(found) != count or (count and not (int(found.min()) >= 0 and int(found.max()) < signals)):
                raise GraphError(f"{self.name}: {what} are {found.tolist()[:8]}; {count} of {signals} signals expected")
        if len(self.initial) != self.register_count:
            raise GraphError(f"{self.name}: {len(self.initial)} initial values of {self.register_count} registers")
        if self.gate_names and len(self.gate_names) != gates:
            raise GraphError(f"{self.name}: {len(self.gate_names)} names of {gates} gates")
        for names in (self.input_names + self.register_names, self.output_names):
            if len(set(names)) != len(names):
                twice = next(name for name, count in Counter(names).items() if count > 1)
                raise GraphError(f"{self.name}: two signals are called {twice!r}")


def clock_note(name: str, rising: bool) -> str:
    """The note under :data:`CLOCK`."""
    return f"registers store at the {'rising' if rising else 'falling'} edge of {name}, with which a cycle ends"


def pack(rows: Sequence[Sequence[int]]) -> tuple[IntArray, Int32Array]:
    """``indptr`` and ``index`` of the fanins of each gate."""
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=indptr[1:])
    return indptr, np.array([signal for row in rows for signal in row], np.int32)


_BIT = re.compile(r"(.+)\[([0-9]{1,6})\]", re.DOTALL)


def ports(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Bits of a name and a number, ``a[0]`` .. ``a[7]``, as one port ``a`` of so many bits.

    Returns:
        In the order of the first bits: port name to positions in ``names``, least significant bit first. A name alone
        is a port of one bit; so are bits whose numbers do not run from 0 on without a gap, under their own names.
    """
    bits: dict[str, dict[int, int]] = {}
    alone = set(names)
    for at, name in enumerate(names):
        if found := _BIT.fullmatch(name):
            bits.setdefault(found[1], {})[int(found[2])] = at
    whole = {
        base: tuple(at for _, at in sorted(by_number.items()))
        for base, by_number in bits.items()
        if base not in alone and sorted(by_number) == list(range(len(by_number)))
    }
    result: dict[str, tuple[int, ...]] = {}
    for at, name in enumerate(names):
        found = _BIT.fullmatch(name)
        if found and found[1] in whole and bits[found[1]][int(found[2])] == at:
            result.setdefault(found[1], whole[found[1]])
        else:
            result[name] = (at,)
    return result


def to_graph(circuit: Circuit) -> Graph:
    """The graph of a circuit: one actor per gate, tokens of one bit, one clock cycle per iteration.

    Its groups, of which those without actors are left out::

        source   emits the inputs of a cycle (a circuit without any gets one that nobody reads)
        input    one actor per input
        gate     op ``lut``, one actor per gate; gates feed each other by a bundle from the group to itself
        register op ``max`` of one input: a copy, which costs nothing; its token is read one cycle later
        output   op ``max`` of one input, one actor per output
        sink     collects the outputs; of a circuit without any, the inputs

    Edges into a gate come from inputs, registers and gates, each a bundle, in this order: the order of its fanins.
    Where no gate, or no register, is read at all, what leads to no output is left out.

    Raises:
        GraphError: the circuit breaks its encoding.
    """
    circuit.check()
    read = np.zeros(circuit.signal_count, np.bool_)
    read[np.concatenate([circuit.index, circuit.following, circuit.outputs])] = True
    kinds = np.split(read, [circuit.input_count, circuit.first_gate])[1:]
    if any(len(kind) and not kind.any() for kind in kinds):
        circuit = circuit.leading_to_outputs()
    bits = (circuit.input_count, circuit.register_count, circuit.gate_count)
    sizes = {"input": max(1, bits[0]), "gate": bits[2], "register": bits[1], "output": len(circuit.outputs)}
    params: dict[str, npt.NDArray[np.generic]] = {}
    groups = [Group(name="source", op="source")]
    for name, size in sizes.items():
        if not size:
            continue
        refs = {}
        if name == "gate":
            params["gate.truth"] = circuit.truth.view(np.int64)
            refs = {"truth": Ref("gate.truth")}
        op = {"input": "input", "gate": "lut"}.get(name, "max")
        groups.append(Group(name=name, op=op, shape=(size,), params=refs))
    groups.append(Group(name="sink", op="collect"))
    number = {group.name: at for at, group in enumerate(groups)}
    channels: list[Channel] = [
        Dense(src=0, dst=1, token_bits=1),
        Dense(src=number["output" if len(circuit.outputs) else "input"], dst=number["sink"], token_bits=1),
    ]
    feeds = {
        "gate": (circuit.indptr, circuit.index),
        "register": (np.arange(bits[1] + 1, dtype=np.int64), circuit.following),
        "output": (np.arange(len(circuit.outputs) + 1, dtype=np.int64), circuit.outputs),
    }
    if bits[1]:
        params["register.initial"] = circuit.initial.astype(np.float32)
    first = 0
    for src, size in zip(("input", "register", "gate"), bits, strict=True):
        for dst, (indptr, index) in feeds.items():
            chosen = (index >= first) & (index < first + size)
            if not chosen.any():
                continue
            before = np.concatenate([[0], np.cumsum(chosen)])
            name = f"{src}->{dst}"
            params[f"{name}.indptr"], params[f"{name}.index"] = before[indptr], (index[chosen] - first).astype(np.int32)
            clocked = src == "register"
            channels.append(
                Csr(
                    src=number[src],
                    dst=number[dst],
                    port=sum(c.dst == number[dst] for c in channels),
                    token_bits=1,
                    initial_tokens=int(clocked),
                    initial=Ref("register.initial") if clocked else None,
                    indptr=f"{name}.indptr",
                    index=f"{name}.index",
                )
            )
        first += size
    names = {
        "inputs": circuit.input_names,
        "registers": circuit.register_names,
        "gates": circuit.gate_names,
        "outputs": circuit.output_names,
    }
    known = {NAMES: json.dumps(names, ensure_ascii=True, separators=(",", ":"))}
    return Graph(circuit.name, groups, channels, params, {**circuit.notes, **known})


def is_circuit(graph: Graph) -> bool:
    """Whether a graph is one that :func:`to_graph` made."""
    return NAMES in graph.notes


def of_graph(graph: Graph) -> Circuit:
    """The circuit that a graph is of.

    Raises:
        GraphError: it is not of a circuit.
    """
    try:
        names = json.loads(graph.notes[NAMES])
        known = {kind: tuple(names[kind]) for kind in _KINDS}
    except (KeyError, TypeError, ValueError) as error:
        raise GraphError(f"{graph.name}: is not a graph of gates; read it from a circuit file") from error
    counts = (len(known["inputs"]), len(known["registers"]))
    gates = graph.groups[graph.number["gate"]].size if "gate" in graph.number else 0
    starts = {"input": 0, "register": counts[0], "gate": sum(counts)}

    def fed(name: str, size: int) -> tuple[IntArray, Int32Array]:
        """Fanins of each actor of a group, by signal number."""
        at = [np.zeros(0, np.int64)]
        signal = [np.zeros(0, np.int64)]
        for c in graph.channels_into(graph.number[name]) if name in graph.number else ():
            edges = c.expand(graph.groups[c.src].size, size, graph.params)
            at.append(edges.dst)
            signal.append(edges.src + starts[graph.groups[c.src].name])
        owner, signals = np.concatenate(at), np.concatenate(signal)
        order = np.lexsort((signals, owner))
        indptr = np.zeros(size + 1, np.int64)
        np.cumsum(np.bincount(owner, minlength=size), out=indptr[1:])
        return indptr, signals[order].astype(np.int32)

    try:
        indptr, index = fed("gate", gates)
        circuit = Circuit(
            name=graph.name,
            input_names=known["inputs"],
            output_names=known["outputs"],
            outputs=fed("output", len(known["outputs"]))[1],
            indptr=indptr,
            index=index,
            truth=graph.params["gate.truth"].view(np.uint64) if gates else np.zeros(0, np.uint64),
            register_names=known["registers"],
            initial=graph.params["register.initial"].astype(np.bool_) if counts[1] else np.zeros(0, np.bool_),
            following=fed("register", counts[1])[1],
            gate_names=known["gates"],
            notes={key: note for key, note in graph.notes.items() if key != NAMES},
        )
    except (KeyError, ValueError) as error:
        raise GraphError(f"{graph.name}: its groups are not those of a circuit of the names that it notes") from error
    circuit.check()
    return circuit
