"""A circuit made ready to run on words of 64 lanes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Literal

import numpy as np

from graphsim.errors import SimulationError
from graphsim.graph.circuit import Circuit, Int32Array, Words
from graphsim.simulate.circuit import code, interpreter, kept, order
from graphsim.simulate.circuit.drive import STAGE, drive, drive_staged
from graphsim.simulate.circuit.ternary import Network, network

#: How a circuit is run: code of its own, the interpreter, or what promises to be done first.
Way = Literal["auto", "compiled", "interpreted"]

#: Operations per function of compiled code.
_PART = 1000
#: More operations than these are not compiled of our own accord.
_MOST = 150_000
#: Seconds per operation: to compile it; to run it on a vector, interpreted.
_COMPILING, _INTERPRETING = 50e-6, 1.5e-9
#: Bytes that the frame of the interpreter should not exceed, and vectors of a slot.
_FRAME, _VECTORS = 512 << 10, (16, 8, 4, 2, 1)
#: The state of no registers.
_STATELESS = np.zeros((0, 0), np.uint64)
#: Operations on vectors that are worth a second thread.
_WORTH_A_THREAD = 1_000_000


class _Ready:
    """Code that runs a block of lanes, and where it has what.

    Attributes:
        address: of a function (frame, argument, inputs, outputs).
        argument: its second argument.
        slots, vectors: of the frame: its slots, and vectors in each.
        shown, following: slots of the outputs, and of what registers become.
        split: the slot from which on outputs have places of their own; 0 where they have none.
    """

    def __init__(
        self, address: int, slots: int, vectors: int, shown: Int32Array, following: Int32Array, split: int = 0
    ) -> None:
        self.address, self.slots, self.vectors, self.shown, self.following = address, slots, vectors, shown, following
        self.argument, self.split = 0, split
        self.alive: list[object] = []
        self._idle: list[_Room] = []

    def run(self, inputs: Words, outputs: Words, state: Words, first: int, last: int) -> None:
        """Run a range of words."""
        try:
            room = self._idle.pop()
        except IndexError:
            room = _Room(self, inputs.shape[1])
        if self.split and not len(self.following):
            end = last - (last - first) % (STAGE * code.WORDS)
            drive_staged(self.address, *room.at, inputs, outputs, self.shown, self.split, first, end)
            first = end
        if first < last:
            frame, to = room.frame, room.at[0]
            slots = self.shown, self.following, self.split
            drive(self.address, self.argument, frame, to, inputs, outputs, state, *slots, first, last)
        self._idle.append(room)


class _Room:
    """Memory that a run needs.

    Attributes:
        frame: uint64 (slots, words of a block).
        at: addresses of the frame, and of inputs and outputs of several blocks.
    """

    def __init__(self, of: _Ready, inputs: int) -> None:
        width = of.vectors * code.WORDS
        self.frame = aligned(of.slots + len(of.following), width)
        self._stage = aligned(STAGE * inputs, width), aligned(STAGE * len(of.shown), width)
        self.at = self.frame.ctypes.data, self._stage[0].ctypes.data, self._stage[1].ctypes.data


def aligned(rows: int, width: int) -> Words:
    """Memory for rows of words, zeros, at an address that is a multiple of 64."""
    memory = np.zeros(rows * width + 8, np.uint64)
    skip = -memory.ctypes.data // 8 % 8
    return memory[skip : skip + rows * width].reshape(rows, width)


class PackedCircuit:
    """A circuit that runs on words: bit k of word w of a signal is its value in lane 64 w + k.

    Args:
        circuit: the circuit.
        signals: the signals to show; the outputs by default.
        way: "compiled" makes code for this circuit (LLVM), "interpreted" runs its operations in a loop. "auto" takes
            code that it finds in the cache, and else compiles as soon as that pays: when as much time was, or is about
            to be, spent interpreting.
        threads: most threads to use.

    Attributes:
        ran: how the last run was done, "compiled" or "interpreted"; None before.
        compile_seconds: what compiling has taken, or finding the code in the cache; 0.0 before.
        was_kept: whether the code came from the cache.

    Results do not depend on way or threads. Not to be used from several threads at a time before the first run.
    """

    def __init__(
        self, circuit: Circuit, signals: Sequence[int] | Int32Array | None = None, way: Way = "auto", threads: int = 1
    ) -> None:
        self.circuit, self.way, self.threads = circuit, way, threads
        self.signals = np.asarray(circuit.outputs if signals is None else signals, np.int32)
        self.ran: Literal["compiled", "interpreted"] | None = None
        self.compile_seconds = 0.0
        self.was_kept = False
        self._compiled: _Ready | None = None
        self._spent = 0.0

    @property
    def operations(self) -> int:
        """Operations of three inputs that the circuit is run as."""
        return len(self._network.tables)

    def prepare(self, vectors: int = 1) -> None:
        """Do now what runs of so many vectors (cycles times words over WORDS) would have to do first."""
        self._chosen(vectors)

    def run(self, inputs: Words, outputs: Words | None = None) -> Words:
        """One cycle in every lane.

        Args:
            inputs: uint64 (inputs, words). Registers have their initial values.
            outputs: uint64 (signals, words), C-contiguous: where to write; new memory by default.

        Returns:
            uint64 (signals, words).

        Raises:
            SimulationError: the shapes do not fit.
        """
        made = None if outputs is None else outputs[None]
        found: Words = self.run_cycles(inputs[None], outputs=made)[0]
        return found

    def run_cycles(self, inputs: Words, state: Words | None = None, outputs: Words | None = None) -> Words:
        """Cycle after cycle, every lane a stream of its own.

        Args:
            inputs: uint64 (cycles, inputs, words).
            state: uint64 (registers, words), C-contiguous: the registers before, and, when it is done, after; their
                initial values by default.
            outputs: uint64 (cycles, signals, words), C-contiguous: where to write; new memory by default.

        Returns:
            uint64 (cycles, signals, words).

        Raises:
            SimulationError: the shapes do not fit.
        """
        circuit = self.circuit
        if inputs.ndim != 3 or inputs.shape[1] != circuit.input_count or inputs.dtype != np.uint64:
            raise SimulationError(
                f"{circuit.name} takes uint64 words of {circuit.input_count} inputs; got {inputs.dtype} {inputs.shape}"
            )
        inputs = np.ascontiguousarray(inputs)
        cycles, words = inputs.shape[0], inputs.shape[2]
        if state is None:
            state = self.initial(words) if circuit.register_count else _STATELESS
        elif state.shape != (circuit.register_count, words) or state.dtype != np.uint64 or not state.flags.c_contiguous:
            raise SimulationError(
                f"{circuit.name} has {circuit.register_count} registers; their state is {state.shape}"
            )
        shape = cycles, len(self.signals), words
        if outputs is None:
            outputs = np.empty(shape, np.uint64)
        elif outputs.shape != shape or outputs.dtype != np.uint64 or not outputs.flags.c_contiguous:
            raise SimulationError(f"{circuit.name} gives uint64 words {shape}; room is for {outputs.shape}")
        if not outputs.size:
            return outputs
        vectors = cycles * -(-words // code.WORDS)
        ready = self._chosen(vectors)
        began = time.perf_counter()
        threads = min(self.threads, 1 + vectors * circuit.gate_count // _WORTH_A_THREAD, -(-words // code.WORDS))
        share = -(-words // threads // code.WORDS) * code.WORDS
        ranges = [(first, min(words, first + share)) for first in range(0, words, share)]
        if len(ranges) == 1:
            ready.run(inputs, outputs, state, 0, words)
        else:
            with ThreadPoolExecutor(len(ranges)) as pool:
                for done in [pool.submit(ready.run, inputs, outputs, state, *ends) for ends in ranges]:
                    done.result()
        if self.ran == "interpreted":
            self._spent += (time.perf_counter() - began) * len(ranges)
        return outputs

    def initial(self, words: int) -> Words:
        """The registers' initial values in all lanes, uint64 (registers, words)."""
        ones = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        return np.repeat(np.where(self.circuit.initial, ones, np.uint64(0))[:, None], words, axis=1)

    def _chosen(self, vectors: int) -> _Ready:
        """The code to run so many vectors with."""
        if self.way == "compiled" or (self.way == "auto" and self._is_worth_compiling(vectors)):
            self.ran = "compiled"
            return self._compile()
        self.ran = "interpreted"
        return self._interpreted

    def _is_worth_compiling(self, vectors: int) -> bool:
        if self._compiled is not None or self._kept is not None:
            return True
        operations = self.operations
        spent = self._spent + operations * vectors * _INTERPRETING
        return operations <= _MOST and spent > operations * _COMPILING

    @cached_property
    def _network(self) -> Network:
        return network(self.circuit, np.concatenate([self.signals, self.circuit.following]).astype(np.int32))

    @cached_property
    def _key(self) -> str:
        c = self.circuit
        return kept.key(c.input_count.to_bytes(8, "little"), c.indptr, c.index, c.truth, c.following, self.signals)

    @cached_property
    def _kept(self) -> kept.Arrays | None:
        return kept.find(self._key)

    @cached_property
    def _interpreted(self) -> _Ready:
        net, count = self._network, len(self.signals)
        best, slots, size = None, np.zeros(0, np.int32), 0
        for each in _orders(net):
            places = np.zeros(net.base + len(net.tables), np.int32)
            needed = int(order.place(net.base, net.reads, net.fan_in, net.roots, each, places))
            if best is None or needed < size:
                best, slots, size = each, places, needed
        assert best is not None
        vectors = next((v for v in _VECTORS if (size + self.circuit.register_count) * v * code.BYTES <= _FRAME), 1)
        ready = _Ready(_interpret(), size, vectors, slots[net.roots[:count]], slots[net.roots[count:]])
        made = interpreter.records(net, best, slots, vectors)
        begin = made.ctypes.data
        arguments = np.array([begin, begin + made.nbytes, vectors * code.BYTES], np.int64)
        ready.argument, ready.alive = arguments.ctypes.data, [made, arguments]
        return ready

    def _compile(self) -> _Ready:
        """The circuit's own code, from the cache or made now."""
        if self._compiled is None:
            began = time.perf_counter()
            found = self._kept
            self.was_kept = found is not None
            if found is None:
                found = _translated(self._network, len(self.signals), self.circuit.input_count)
                kept.keep(self._key, found)
            linked = code.Linked(found["code"].tobytes(), "block")
            slots, split = int(found["slots"]), int(found["split"])
            ready = _Ready(linked.address["block"], slots, 1, found["shown"], found["following"], split)
            ready.alive = [linked]
            self._compiled = ready
            self.compile_seconds = time.perf_counter() - began
        return self._compiled


def _orders(net: Network) -> list[Int32Array]:
    """Orders of the operations to choose from."""
    given = np.arange(len(net.tables), dtype=np.int32)
    deep = np.zeros_like(given)
    order.depth_first(net.base, net.reads, net.fan_in, net.roots, deep)
    return [given, deep]


def _translated(net: Network, count: int, inputs: int) -> kept.Arrays:
    """Code of the operations, and where its frame has the first ``count`` roots, which are shown, and the others."""
    best: tuple[int, Int32Array, Int32Array, int] | None = None
    for each in _orders(net):
        slots = np.zeros(net.base + len(net.tables), np.int32)
        steps = np.zeros((6 * len(net.tables) + 64, 2), np.int32)
        counts = np.zeros(2, np.int64)
        many = int(
            order.plan(net.base, net.reads, net.fan_in, net.roots, each, code.REGISTERS, _PART, slots, steps, counts)
        )
        assert many >= 0
        if best is None or many < best[0]:
            best = many, slots, steps[:many], int(counts[1])
    assert best is not None
    _, slots, steps, split = best
    # What is shown has its place among the outputs, even if it is read again.
    shown, places = np.unique(net.roots[:count], return_index=True)
    made = shown >= net.base
    slots[shown[made]] = split + places[made]
    return {
        "code": np.frombuffer(code.compiled(_text(net, slots, steps, split, inputs)), np.uint8),
        "slots": np.array(split + count),
        "split": np.array(split),
        "shown": slots[net.roots[:count]],
        "following": slots[net.roots[count:]],
    }


def _text(net: Network, slots: Int32Array, steps: Int32Array, split: int, inputs: int) -> str:
    """Functions of so many operations each, and ``block(frame, argument, inputs, outputs)``, which calls them."""
    lines, functions, done = [code.declarations()], 0, 0
    slot, reads, tables, fan_in = slots.tolist(), net.reads.tolist(), net.tables.tolist(), net.fan_in.tolist()
    name: dict[int, str] = {}
    arguments = "ptr %m, ptr %x, ptr %y"

    def place(value: int) -> tuple[str, int]:
        """Where a value is: from which address on, and in the how-many-th vector."""
        number = slot[value]
        return ("x", number) if number < inputs else ("y", number - split) if number >= split else ("m", number)

    for at, (kind, value) in enumerate(steps.tolist()):
        if done == functions * _PART and kind != order.STORE:
            lines.append("ret void\n}\n" if functions else "")
            lines.append(f"define internal void @part{functions}({arguments}) {{\n")
            functions += 1
            name.clear()
        if kind == order.STORE:
            lines.append(code.store(name[value], *place(value)))
            continue
        name[value] = f"v{at}"
        if kind == order.LOAD:
            lines.append(code.load(f"v{at}", *place(value)))
        else:
            g = value - net.base
            lines.append(code.operation(f"v{at}", tables[g], [name[r] for r in reads[g][: fan_in[g]]]))
            done += 1
    lines.append("ret void\n}\n" if functions else "")
    calls = "".join(f"call void @part{n}({arguments})\n" for n in range(functions))
    lines.append(f"define void @block(ptr %m, ptr %argument, ptr %x, ptr %y) {{\n{calls}ret void\n}}\n")
    return "".join(lines)


_INTERPRETER: list[code.Linked] = []


def _interpret() -> int:
    """Address of the interpreter, compiled once per machine."""
    if not _INTERPRETER:
        key = kept.key(b"interpreter")
        found = kept.find(key)
        if found is None:
            found = {"code": np.frombuffer(code.compiled(interpreter.text(), opt=2), np.uint8)}
            kept.keep(key, found)
        _INTERPRETER.append(code.Linked(found["code"].tobytes(), "interpret"))
    return _INTERPRETER[0].address["interpret"]
