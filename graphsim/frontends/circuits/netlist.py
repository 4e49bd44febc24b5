"""What circuit files are read into: nets, who drives them, and from them a circuit.

A reader asks for nets by name or for new ones, says what drives each, in any order, and asks for the circuit. What no
reader need care about is checked and done here: nets that nobody drives or that several drive, loops without a
register, the order of the gates, gates with many inputs.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from graphsim.errors import CircuitError
from graphsim.frontends.circuits.names import MOST, distinct, printable
from graphsim.graph.circuit import CLOCK, VARIABLES, Circuit, clock_note, pack
from graphsim.graph.verify import MAX_FAN_IN

#: A net's number in its netlist.
Net = int
#: Names of a loop that a message shows.
_SHOWN = 12
_ALL = (1 << 64) - 1
#: Truth tables of full and half adders: sum and carry.
_FULL, _HALF = (0x96, 0xE8), (0b0110, 0b1000)
#: The truth table of a copy of one net.
_COPY = 0b10
#: Truth tables of one input that may stand in a clock's way, and whether they turn its edges round.
_COPIES = {0b10: False, 0b01: True}


class _Gate(NamedTuple):
    fanins: tuple[Net, ...]
    truth: int
    line: int | None


class _Register(NamedTuple):
    following: Net
    initial: bool
    line: int | None


def table(fan_in: int, word: int) -> int:
    """The part of a truth word that a gate with so many inputs has."""
    return word & ((1 << (1 << fan_in)) - 1)


@lru_cache(maxsize=1 << 16)
def rewired(truth: int, places: tuple[int, ...], fan_in: int) -> int:
    """The truth table, over ``fan_in`` inputs, of a gate whose input i is now input ``places[i]``."""
    result = 0
    for m in range(1 << fan_in):
        old = sum((m >> place & 1) << i for i, place in enumerate(places))
        result |= (truth >> old & 1) << m
    return result


class Netlist:
    """Nets of a circuit while it is read.

    Args:
        path: of the file, for messages.
        name: of the circuit.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name
        self._number: dict[str, Net] = {}
        self._names: list[str] = []
        self._characters = 0
        self._seen: list[int | None] = []
        self._inputs: list[Net] = []
        self._outputs: list[tuple[str, Net, int | None]] = []
        self._driver: dict[Net, _Gate | _Register | None] = {}
        self._same: dict[Net, Net] = {}
        self._clocks: dict[tuple[Net, bool], int | None] = {}
        self._notes: dict[str, str] = {}

    def note(self, key: str, text: str) -> None:
        """Say what was decided or left out in reading: a note of the circuit."""
        self._notes[key] = text

    def fail(self, message: str, line: int | None = None) -> CircuitError:
        """An error to raise, that names the file and the line."""
        return CircuitError(self.path, line, message)

    def net(self, name: str, line: int | None = None) -> Net:
        """The net of that name; ``line``: where the file speaks of it first."""
        found = self._number.get(name)
        if found is None:
            found = self._number[name] = self.new(name, line)
        return found

    def new(self, name: str = "", line: int | None = None) -> Net:
        """A net that no name leads to; ``name`` is what it is called all the same."""
        self._characters += len(name)
        if self._characters > MOST:
            raise self.fail(f"names of nets add up to more than {MOST:,} characters", line)
        self._names.append(printable(name))
        self._seen.append(line)
        return len(self._names) - 1

    def name_of(self, net: Net) -> str:
        """What a net is called in messages."""
        return self._names[net] or f"(net {net}, without a name)"

    def is_driven(self, net: Net) -> bool:
        """Whether something drives a net already."""
        return net in self._driver or net in self._same

    def input(self, net: Net, line: int | None = None) -> None:
        """The net is an input of the circuit."""
        self._drive(net, None, line)
        self._inputs.append(net)

    def output(self, name: str, net: Net, line: int | None = None) -> None:
        """The circuit has an output of that name, which shows the net; ``line``: where the file says so."""
        self._outputs.append((printable(name), net, line))

    def gate(self, net: Net, fanins: Sequence[Net], truth: int, line: int | None = None) -> Net:
        """A gate drives the net: bit ``sum(value(fanins[i]) << i)`` of ``truth``, at most six fanins; returns the net.

        Fanins may repeat.
        """
        assert len(fanins) <= MAX_FAN_IN
        self._drive(net, _Gate(tuple(fanins), table(len(fanins), truth), line), line)
        return net

    def tree(
        self,
        net: Net,
        op: Literal["and", "or", "xor"],
        fanins: Sequence[Net],
        *,
        inverted: bool = False,
        line: int | None = None,
    ) -> Net:
        """A gate of any number of inputs drives the net: one gate, or if it has too many a tree of gates."""
        level = list(fanins)
        while len(level) > MAX_FAN_IN:
            level = [
                self.tree(self.new(), op, level[i : i + MAX_FAN_IN], line=line)
                if len(level[i : i + MAX_FAN_IN]) > 1
                else level[i]
                for i in range(0, len(level), MAX_FAN_IN)
            ]
        word = _ALL if op == "and" else 0
        for i in range(len(level)):
            v = VARIABLES[i]
            word = word & v if op == "and" else word | v if op == "or" else word ^ v
        return self.gate(net, level, word ^ (_ALL if inverted else 0), line)

    def count(self, bits: Sequence[Net]) -> list[Net]:
        """How many of one or more nets are 1: the bits of that number, least significant first.

        Full and half adders, of two gates each: three nets of a weight become one of it and one of the next, carries
        saved, until each weight has one.
        """
        found, column = [], deque(bits)
        while column:
            carries: deque[Net] = deque()
            while len(column) > 1:
                taken = [column.popleft() for _ in range(min(3, len(column)))]
                total, carry = _FULL if len(taken) == 3 else _HALF
                column.append(self.gate(self.new(), taken, total))
                carries.append(self.gate(self.new(), taken, carry))
            found.append(column.popleft())
            column = carries
        return found

    def constant(self, net: Net, value: bool, line: int | None = None) -> Net:
        """The net is always 0 or 1."""
        return self.gate(net, (), int(value), line)

    def register(self, net: Net, following: Net, initial: bool, line: int | None = None) -> None:
        """A register drives the net: ``initial`` in cycle 0, then what ``following`` was in the cycle before."""
        self._drive(net, _Register(following, initial, line), line)

    def clock(self, net: Net, rising: bool = True, line: int | None = None) -> None:
        """Registers store at the rising (or falling) edges of that net.

        A cycle of the circuit is a cycle of its clock, which therefore is no input of the circuit, though it is one of
        the file. There is one clock, and one edge of it; buffers and inverters may stand between it and registers.
        """
        self._clocks.setdefault((net, rising), line)

    def alias(self, net: Net, other: Net, line: int | None = None) -> None:
        """The net is the same as another (an assignment, a port of an instance)."""
        if net != other:
            self._free(net, line)
            self._same[net] = other

    def _free(self, net: Net, line: int | None) -> None:
        if self.is_driven(net):
            raise self.fail(f"net {self.name_of(net)!r} is driven a second time; a net has one driver", line)

    def _drive(self, net: Net, driver: _Gate | _Register | None, line: int | None) -> None:
        self._free(net, line)
        self._driver[net] = driver

    def _root(self, net: Net) -> Net:
        """The net that others are the same as."""
        path = []
        while net in self._same:
            path.append(net)
            net = self._same[net]
            if len(path) > len(self._same):
                raise self._loop(path[-min(len(path), _SHOWN) :])
        for passed in path:
            self._same[passed] = net
        return net

    def _loop(self, nets: Sequence[Net]) -> CircuitError:
        names = " <- ".join(self.name_of(net) for net in nets[:_SHOWN])
        more = f" <- ... ({len(nets):,} nets)" if len(nets) > _SHOWN else ""
        driver = self._driver.get(nets[0])
        return self.fail(
            f"combinational loop: {names}{more} <- {self.name_of(nets[0])}; a loop needs a register",
            driver.line if driver is not None else self._seen[nets[0]],
        )

    def circuit(self) -> Circuit:
        """The circuit, gates in an order in which they can be evaluated: that of the file, where it is one.

        Raises:
            CircuitError: a net has no driver, or is in a loop without a register; two outputs have one name; there are
                two clocks, or the clock is made by gates or read as data.
        """
        driver = self._driver
        self._leave_out_names()
        clock = self._clock_tree()
        inputs = [net for net in self._inputs if net not in clock]
        gates = [net for net, how in driver.items() if isinstance(how, _Gate) and net not in clock]
        registers = [net for net, how in driver.items() if isinstance(how, _Register)]
        read: dict[Net, tuple[Net, ...]] = {}
        for net in gates:
            how = driver[net]
            assert isinstance(how, _Gate)
            read[net] = tuple(self._driven(f, how.line, net) for f in how.fanins)
        order = self._order(gates, read)
        signal = {net: at for at, net in enumerate((*inputs, *registers, *order))}
        rows: list[list[int]] = []
        truth = np.zeros(len(order), np.uint64)
        for at, net in enumerate(order):
            how = driver[net]
            assert isinstance(how, _Gate)
            fanins = [signal[f] for f in read[net]]
            row = sorted(set(fanins))
            place = {s: i for i, s in enumerate(row)}
            rows.append(row)
            truth[at] = rewired(how.truth, tuple(place[s] for s in fanins), len(row))
        indptr, index = pack(rows)
        initial, following = [], []
        for net in registers:
            how = driver[net]
            assert isinstance(how, _Register)
            initial.append(how.initial)
            following.append(signal[self._driven(how.following, how.line, net)])
        names = [name for name, *_ in self._outputs]
        if len(set(names)) != len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            second = names.index(twice, names.index(twice) + 1)
            raise self.fail(f"output {twice!r} is there twice; names of outputs are unique", self._outputs[second][2])
        input_names, register_names = self._distinct(inputs, registers)
        circuit = Circuit(
            name=self.name,
            input_names=input_names,
            output_names=tuple(names),
            outputs=np.array([signal[self._driven(net, line, None)] for _, net, line in self._outputs], np.int32),
            indptr=indptr,
            index=index,
            truth=truth,
            register_names=register_names,
            initial=np.array(initial, np.bool_),
            following=np.array(following, np.int32),
            gate_names=tuple(self._names[net] for net in order) if any(self._names[net] for net in order) else (),
            notes=self._notes,
        )
        circuit.check()
        return circuit

    def _leave_out_names(self) -> None:
        """Take out copies of a net that nothing drives, where only such copies read it: they are names, not logic.

        Tools write such names of nets that they have optimised away.
        """
        driver = self._driver
        loose = [net for net in range(len(self._names)) if not self.is_driven(net)]
        if not loose:
            return
        shown = {self._root(net) for net in (*(net for _, net, _ in self._outputs), *(net for net, _ in self._clocks))}
        copies: dict[Net, list[Net]] = {}
        for net, how in driver.items():
            if isinstance(how, _Gate) and len(how.fanins) == 1 and how.truth == _COPY:
                copies.setdefault(self._root(how.fanins[0]), []).append(net)
            elif how is not None:
                shown.update(map(self._root, how.fanins if isinstance(how, _Gate) else (how.following,)))
        gone = 0
        for net in loose:
            names = [net]
            for name in names:  # grows: copies of copies
                names += copies.get(name, ())
            if not shown.intersection(names):
                gone += len(names) - 1
                for name in names[1:]:
                    del driver[name]
        if gone:
            self.note("netlist.names", f"{gone:,} nets that are named, but neither driven nor read, are left out")

    def _clock_tree(self) -> set[Net]:
        """The clock, and what buffers and inverters make of it: nets that only registers may read, as their clock."""
        driver = self._driver
        found: dict[tuple[Net, bool], int | None] = {}
        for (net, rising), line in self._clocks.items():
            root, edge = self._driven(net, line, None), rising
            path: list[Net] = []
            while isinstance(how := driver[root], _Gate) and len(how.fanins) == 1 and how.truth in _COPIES:
                if root in path:
                    raise self._loop(path[path.index(root) :])
                path.append(root)
                root, edge = self._driven(how.fanins[0], how.line, root), edge ^ _COPIES[how.truth]
            if how is not None:
                raise self.fail(
                    f"clock {self.name_of(net)!r} is made by a gate or register ({self.name_of(root)!r}); "
                    "a clock is an input, and what gates it is an enable",
                    line,
                )
            found.setdefault((root, edge), line)
        if not found:
            return set()
        (root, edge), *more = found
        clock = self.name_of(root)
        if more:
            other = self.name_of(more[0][0])
            both = f"clocked by {clock!r} and by {other!r}" if other != clock else f"clocked by both edges of {clock!r}"
            raise self.fail(f"registers are {both}; a circuit has one clock, and one edge of it", found[more[0]])
        if any(isinstance(how, _Register) for how in driver.values()):
            self.note(CLOCK, clock_note(clock, edge))
        copies: dict[Net, list[Net]] = {}
        for net, how in driver.items():
            if isinstance(how, _Gate) and len(how.fanins) == 1 and how.truth in _COPIES:
                copies.setdefault(self._root(how.fanins[0]), []).append(net)
        tree, stack = {root}, [root]
        while stack:
            new = [net for net in copies.get(stack.pop(), ()) if net not in tree]
            tree.update(new)
            stack += new
        for net, how in driver.items():
            read = how.fanins if isinstance(how, _Gate) else (how.following,) if how is not None else ()
            if net not in tree and any(self._root(f) in tree for f in read):
                assert how is not None
                raise self._clock_as_data(clock, self.name_of(net), how.line)
        for name, net, line in self._outputs:
            if self._root(net) in tree:
                raise self._clock_as_data(clock, f"output {name}", line)
        return tree

    def _clock_as_data(self, clock: str, reader: str, line: int | None) -> CircuitError:
        return self.fail(f"clock {clock!r} is read as data, by {reader!r}; a clock has no value within a cycle", line)

    def _distinct(self, inputs: Sequence[Net], registers: Sequence[Net]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of inputs and registers, none twice; those without one are numbered."""
        names = [self._names[net] or f"input{at}" for at, net in enumerate(inputs)]
        names = distinct(names + [self._names[net] or f"register{at}" for at, net in enumerate(registers)])
        return tuple(names[: len(inputs)]), tuple(names[len(inputs) :])

    def _driven(self, net: Net, line: int | None, reader: Net | None) -> Net:
        root = self._root(net)
        if root not in self._driver:
            of = f"; {self._names[reader]!r} reads it" if reader is not None and self._names[reader] else ""
            where = line if line is not None else self._seen[net]
            raise self.fail(f"net {self.name_of(net)!r} has no driver{of}", where)
        return root

    def _order(self, gates: Sequence[Net], read: dict[Net, tuple[Net, ...]]) -> list[Net]:
        """Gates, each behind those that it reads; of those that may come next always the first of the file."""
        place = {net: at for at, net in enumerate(gates)}
        waiting = [0] * len(gates)
        readers: list[list[int]] = [[] for _ in gates]
        for at, net in enumerate(gates):
            for f in set(read[net]):
                if (other := place.get(f)) is not None:
                    waiting[at] += 1
                    readers[other].append(at)
        free = [at for at, many in enumerate(waiting) if many == 0]
        order: list[Net] = []
        while free:
            at = heapq.heappop(free)
            order.append(gates[at])
            for reader in readers[at]:
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    heapq.heappush(free, reader)
        if len(order) < len(gates):
            raise self._loop(self._cycle({gates[at] for at, many in enumerate(waiting) if many}, read))
        return order

    @staticmethod
    def _cycle(stuck: set[Net], read: dict[Net, tuple[Net, ...]]) -> list[Net]:
        """A loop among gates that wait for each other, from each net to one that it reads."""
        at: dict[Net, int] = {}
        path: list[Net] = []
        net = min(stuck)
        while net not in at:
            at[net] = len(path)
            path.append(net)
            net = next(f for f in read[net] if f in stuck)
        return path[at[net] :]
